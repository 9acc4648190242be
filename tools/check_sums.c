/* check_sums.c - sums over shards, bit by bit, against a plain recursion over their tree
 * (decision 004).
 *
 * Terms cancel at 2^60, so any other order shows. Three ways: the caller's rows
 * (sunup_comm_sum_shards; each of its algorithms, and those of reduce-scatters and of sums of integers, from the
 * table of check_comm.c), an exchange whose total all ranks need whole, and one whose ranks sum
 * slices, make new data of them and share those. Each exchange runs twice, in f32 and f64.
 */
#include <stdlib.h>
#include <string.h>

#include "check_comm.h"
#include "comm/tree_sum.h"
#include "device/device.h"

enum { N_SIZES = 6, STEPS = 2 };

static void fill_terms(int shard, int64_t n, bool f64, void *to)
{
    for (int64_t i = 0; i < n; i++) {
        if (f64)
            ((double *)to)[i] = hostile_term(shard, i);
        else
            ((float *)to)[i] = (float)hostile_term(shard, i);
    }
}

static void compare(struct comm_check *t, int shards, const void *x, struct slice s, bool f64)
{
    const int level = tree_height(shards);
    t->row_checked++;
    for (int64_t i = s.at; i < s.at + s.n; i++) {
        const double right = f64 ? tree_sum_f64(shards, level, 0, i)
                                 : (double)tree_sum_f32(shards, level, 0, i);
        const double found = f64 ? ((const double *)x)[i] : ((const float *)x)[i];
        if (memcmp(&found, &right, sizeof found) == 0) continue;
        check_wrong(t, "sum", s.n * (f64 ? 8 : 4), i * (f64 ? 8 : 4));
        return;
    }
}

/* ------------------------------------------------------------------------- the ways --- */

/* The caller's own rows; all: whole sums, else a part on each rank. */
static sunup_status check_rows(struct comm_check *t, bool all, int shards, int64_t n)
{
    int from, to;
    const int ranks = sunup_comm_ranks(t->comm), rank = sunup_comm_rank(t->comm);
    const int64_t at = n * rank / ranks, part = n * (rank + 1) / ranks - at;
    sunup__shards_of(shards, ranks, rank, &from, &to);
    float *terms = malloc((size_t)((to - from) * n + 1) * sizeof *terms);
    float *sum = malloc((size_t)(n + 1) * sizeof *sum);
    sunup_status status = terms != NULL && sum != NULL ? SUNUP_OK : SUNUP_E_MEMORY;
    status = sunup_comm_agree(t->comm, status);
    for (int s = from; status == SUNUP_OK && s < to; s++)
        fill_terms(s, n, false, terms + (s - from) * n);
    if (status == SUNUP_OK && all) status = sunup_comm_sum_shards(t->comm, shards, n, terms, sum);
    if (status == SUNUP_OK && !all) status = sunup_comm_scatter_shards(t->comm, shards, n, terms, sum + at);
    if (status == SUNUP_OK) compare(t, shards, sum, all ? (struct slice){0, n} : (struct slice){at, part}, false);
    free(terms);
    free(sum);
    return status;
}

/* Integers of all sizes, whose sums wrap. */
static uint32_t integer(int rank, int64_t i)
{
    return (uint32_t)(((uint64_t)i + (uint64_t)rank * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u >> 32);
}

static sunup_status check_integers(struct comm_check *t, bool all, int64_t n)
{
    const int ranks = sunup_comm_ranks(t->comm), rank = sunup_comm_rank(t->comm);
    const int64_t from = all ? 0 : n * rank / ranks, to = all ? n : n * (rank + 1) / ranks;
    int32_t *x = malloc((size_t)(n + 2) * sizeof *x);
    TRY(sunup_comm_agree(t->comm, x != NULL ? SUNUP_OK : SUNUP_E_MEMORY));
    x[0] = x[n + 1] = 0x5a5a5a5a; /* guards */
    for (int64_t i = 0; i < n; i++) x[1 + i] = (int32_t)integer(rank, i);
    const sunup_status status = all ? sunup__comm_sum_integers(t->comm, x + 1, n, "check")
                                    : sunup__comm_scatter_integers(t->comm, x + 1, n, "check");
    t->row_checked++;
    if (x[0] != 0x5a5a5a5a || x[n + 1] != 0x5a5a5a5a) check_wrong(t, "integers", 4 * n, -1);
    for (int64_t i = from; status == SUNUP_OK && i < to; i++) {
        uint32_t right = 0;
        for (int r = 0; r < ranks; r++) right += integer(r, i);
        if ((uint32_t)x[1 + i] == right) continue;
        check_wrong(t, "integers", 4 * n, 4 * i);
        break;
    }
    free(x);
    return status;
}

sunup_status check_sum(struct comm_check *t, enum collective what, int64_t n)
{
    const int ranks = sunup_comm_ranks(t->comm);
    const bool all = what == COLLECTIVE_allreduce || what == COLLECTIVE_allreduce_int32;
    if (what == COLLECTIVE_allreduce_int32 || what == COLLECTIVE_reduce_scatter_int32)
        return check_integers(t, all, n);
    TRY(check_rows(t, all, ranks, n));
    return n < 1000 ? check_rows(t, all, 2 * ranks + 1, n) : SUNUP_OK;
}

/* The new data of a slice are its sums. */
static sunup_status share(struct comm_check *t, struct exchange *x,
                          const struct exchange_options *o)
{
    const struct slice *own;
    const int64_t element = o->f64 ? 8 : 4;
    const int n = sunup__exchange_slices(x, sunup_comm_rank(t->comm), &own);
    char *data = sunup__exchange_data(x);
    const char *total = sunup__exchange_total(x);
    for (int i = 0; i < n; i++) {
        compare(t, o->shards, total, own[i], o->f64);
        memcpy(data + own[i].at * element, total + own[i].at * element,
               (size_t)(own[i].n * element));
        sunup__exchange_give(x, own[i].at, own[i].n);
    }
    TRY(sunup__exchange_share(x, "check"));
    compare(t, o->shards, data, (struct slice){0, o->head}, o->f64);
    return SUNUP_OK;
}

static sunup_status combine(struct comm_check *t, struct exchange *x)
{
    const int64_t ranks = sunup_comm_ranks(t->comm), rank = sunup_comm_rank(t->comm);
    int64_t words[3] = {rank, -rank, INT64_C(1) << 40};
    const int64_t right[3] = {ranks * (ranks - 1) / 2, -ranks * (ranks - 1) / 2, ranks << 40};
    TRY(sunup__exchange_combine(x, "check", 3, words));
    t->row_checked++;
    if (memcmp(words, right, sizeof words) != 0) check_wrong(t, "integers", sizeof words, 0);
    return SUNUP_OK;
}

static sunup_status step(struct comm_check *t, struct exchange *x, const struct exchange_options *o)
{
    int from, to;
    sunup__shards_of(o->shards, sunup_comm_ranks(t->comm), sunup_comm_rank(t->comm), &from, &to);
    for (int s = from; s < to; s++) {
        fill_terms(s, o->n, o->f64, sunup__exchange_slot(x));
        sunup__exchange_push(x);
    }
    TRY(sunup__exchange_reduce(x, "check"));
    if (o->head > 0) TRY(combine(t, x)); /* others may still be writing the tail before it */
    compare(t, o->shards, sunup__exchange_total(x), (struct slice){o->head, o->n - o->head},
            o->f64);
    return o->head > 0 ? share(t, x, o) : SUNUP_OK;
}

static sunup_status check_exchange(struct comm_check *t, int shards, int64_t n, int64_t head,
                                   bool f64)
{
    struct exchange *x;
    struct exchange_options o = {.threads = sunup_context_threads(t->c->ctx),
                                 .shards = shards,
                                 .n = n,
                                 .head = head,
                                 .data_n = head,
                                 .f64 = f64};
    TRY(sunup__kernels(t->c->ctx, &o.k));
    TRY(sunup__exchange_create(t->comm, &o, &x));
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < STEPS && status == SUNUP_OK; i++) status = step(t, x, &o);
    sunup__exchange_destroy(&x);
    return status;
}

/* ------------------------------------------------------------------------- the rows --- */

enum way { ROWS, WHOLE, SLICES, N_WAYS };

static sunup_status check_way(struct comm_check *t, enum way way, int shards, int64_t n)
{
    if (way == ROWS) return check_rows(t, true, shards, n);
    TRY(check_exchange(t, shards, n, way == SLICES ? n : 0, false));
    return check_exchange(t, shards, n, way == SLICES ? n - n / 3 : 0, true);
}

sunup_status check_sums(struct comm_check *t, const char *where)
{
    static const char *const ways[N_WAYS] = {"rows", "whole", "slices"};
    const int ranks = sunup_comm_ranks(t->comm), shards[] = {ranks, ranks + 1, 2 * ranks, 16};
    const int64_t sizes[N_SIZES] = {0, 1, ranks - 1, ranks, ranks + 1, 20011};
    for (int w = 0; w < N_WAYS; w++) {
        t->algorithm = ways[w];
        for (size_t s = 0; s < sizeof shards / sizeof *shards; s++)
            for (int i = 0; i < N_SIZES && shards[s] >= ranks; i++)
                TRY(check_way(t, (enum way)w, shards[s], sizes[i]));
        TRY(check_add_up(t, "sum", where));
    }
    return SUNUP_OK;
}
