/* sum_calls.c - sums over buffers of the caller: the calls, and their algorithm by stages, which is by messages among
 * all ranks, whatever they share. Other algorithms: sum_shared.c, sum_exact.c.
 *
 * Cost: a plan of stages is made in each call that takes them; who sums often and much trains with an exchange.
 */
#include "base/integers.h"
#include "base/memory.h"
#include "comm/inside.h"
#include "device/device.h"

sunup_status sunup__check_sum(sunup_comm *comm, int shards, int64_t n)
{
    CHECK(shards >= 1, comm->ctx, E_ARGUMENT, "a sum over %d shards; there must be at least one",
          shards);
    CHECK(comm->ranks <= shards, comm->ctx, E_ARGUMENT,
          "%d ranks share %d shards, so some would have nothing to do: start at most %d ranks, or "
          "raise shards "
          "(it is part of the run's definition)",
          comm->ranks, shards, shards);
    CHECK(n >= 0 && n < (int64_t)1 << 48, comm->ctx, E_ARGUMENT, "a sum of %lld elements",
          (long long)n);
    return SUNUP_OK;
}

struct call sunup__sum_call(const struct sum *s, const char *site)
{
    return (struct call){s->f64 ? CALL_SUM_F64 : CALL_SUM_F32, s->n, s->shards, site};
}

/* --- by stages --- */

/* Parts of a reduce-scatter are those of one bucket of one stage. */
sunup_status sunup__routed_sum_show(sunup_comm *comm, const struct transfer *t)
{
    struct addends *a = t->sum;
    const struct network net = sunup__network_defaults();
    struct group g;
    struct route route;
    const char *name = a->all ? sunup__comm_choice(comm, a->what, t->bytes) : "direct";
    CHECK(a->all || t->bytes / comm->ranks < WIRE_MAX, comm->ctx, E_UNSUPPORTED,
          "a rank's part of %lld bytes is more than a message holds; scatter fewer at a time",
          (long long)(t->bytes / comm->ranks));
    CHECK(sunup__group_create(comm->ranks, comm->rank, a->sum.shards, 1, &g), comm->ctx, E_MEMORY,
          "no memory for the exchange of %d ranks", comm->ranks);
    (void)sunup__route_named(name, comm->ranks, &net, &route);
    const struct stages_options o = {.sum = &a->sum,
                                     .group = &g,
                                     .route = &route,
                                     .bucket_bytes = comm->options.bucket_bytes,
                                     .ranges = a->all ? 0 : 1,
                                     .range = a->all ? NULL : &a->range};
    const sunup_status status = sunup__stages_create(comm, &o, &a->stages);
    sunup__group_end(&g);
    return status;
}

sunup_status sunup__routed_sum(sunup_comm *comm, const struct transfer *t)
{
    const struct addends *a = t->sum;
    struct slice where;
    if (a->all) {
        TRY(sunup__stages_sum(a->stages, a->row, a->to));
        return sunup__stages_compare(a->stages, &where);
    }
    const struct slice own = sunup__own_part(a, comm->rank, comm->ranks);
    TRY(sunup__stages_reduce(a->stages, a->row, a->row[0]));
    TRY(sunup__stages_compare(a->stages, &where));
    sunup__sum_copy(&a->sum, own.n, a->row[0] + own.at * sunup__sum_element(&a->sum), a->to);
    return SUNUP_OK;
}

/* --- the calls --- */

/* One rank's sum, and the own part of it. */
static void keep_row(const struct addends *a)
{
    sunup__sum_copy(&a->sum, a->sum.n, a->row[0], a->to);
}

static sunup_status add_up(sunup_comm *comm, const struct call *call, sunup_status mine, struct addends *a)
{
    const struct transfer t = {.bytes = a->sum.n * sunup__sum_element(&a->sum), .sum = a};
    sunup_status status = sunup__move(comm, a->what, call, mine, &t);
    if (status == SUNUP_OK && comm->ranks == 1) keep_row(a);
    sunup__stages_destroy(&a->stages);
    return status;
}

static sunup_status prepare(sunup_comm *comm, struct sum *s)
{
    TRY(sunup__check_sum(comm, s->shards, s->n));
    return sunup__kernels(comm->ctx, &s->k);
}

static void merge_shards(const sunup_comm *comm, const struct sum *s, float *terms, struct rows *rows)
{
    int from, to;
    sunup__shards_of(s->shards, comm->ranks, comm->rank, &from, &to);
    for (int i = from; i < to; i++) {
        rows->row[rows->depth] = (char *)(terms + (i - from) * s->n);
        sunup__rows_merge(s, rows, i, (struct slice){0, s->n});
        sunup__rows_push(s, rows, i);
    }
}

static sunup_status sum_shards(sunup_comm *comm, struct addends *a, float *terms, const char *site)
{
    struct rows rows = {.depth = 0};
    const struct call call = {a->all ? CALL_SUM_F32 : CALL_SCATTER_F32, a->sum.n, a->sum.shards, site};
    const sunup_status mine = prepare(comm, &a->sum);
    if (mine == SUNUP_OK) merge_shards(comm, &a->sum, terms, &rows);
    a->rows = rows.depth;
    a->row = rows.row;
    return add_up(comm, &call, mine, a);
}

sunup_status sunup_comm_sum_shards(sunup_comm *comm, int shards, int64_t n, float *terms,
                                   float *sum)
{
    struct addends a = {.what = COLLECTIVE_allreduce,
                        .sum = {.threads = comm->ctx->threads, .shards = shards, .n = n},
                        .all = true,
                        .to = (char *)sum,
                        .range = {0, n},
                        .each = 1};
    return sum_shards(comm, &a, terms, "sunup_comm_sum_shards");
}

sunup_status sunup_comm_scatter_shards(sunup_comm *comm, int shards, int64_t n, float *terms,
                                       float *part)
{
    struct addends a = {.what = COLLECTIVE_reduce_scatter,
                        .sum = {.threads = comm->ctx->threads, .shards = shards, .n = n},
                        .to = (char *)part,
                        .range = {0, n},
                        .each = 1};
    return sum_shards(comm, &a, terms, "sunup_comm_scatter_shards");
}

/* A rank has one row, its own, whatever the shards. */
static sunup_status sum_integers(sunup_comm *comm, bool all, int32_t *x, int64_t n, const char *site)
{
    char *row = (char *)x;
    struct addends a = {.what = all ? COLLECTIVE_allreduce_int32 : COLLECTIVE_reduce_scatter_int32,
                        .sum = {.threads = comm->ctx->threads, .shards = comm->ranks, .n = n, .of = OF_INTEGERS},
                        .rows = 1,
                        .row = &row,
                        .all = all,
                        .range = {0, n},
                        .each = 1};
    const struct call call = {all ? CALL_SUM_INTEGERS : CALL_SCATTER_INTEGERS, n, 0, site};
    const int64_t own = n > 0 && !all ? sunup__own_part(&a, comm->rank, comm->ranks).at : 0;
    a.to = (char *)(x + own);
    return add_up(comm, &call, prepare(comm, &a.sum), &a);
}

sunup_status sunup__comm_sum_integers(sunup_comm *comm, int32_t *x, int64_t n, const char *site)
{
    return sum_integers(comm, true, x, n, site);
}

sunup_status sunup__comm_scatter_integers(sunup_comm *comm, int32_t *x, int64_t n, const char *site)
{
    return sum_integers(comm, false, x, n, site);
}
