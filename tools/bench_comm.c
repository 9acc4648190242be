/* bench_comm.c - `mpiexec -n N sunup bench comm SIZE|PROBLEM|LIST...`: collectives, by each way
 * there is.
 *
 * A problem is COLLECTIVE:DTYPE:BYTES, such as allreduce:f32:1MiB, or "barrier"; a plain size is
 * an allreduce of f32, in an exchange, whose memory ranks share. Of buffers of the caller's are sum:f32, sum:int32,
 * reduce_scatter:f32 and reduce_scatter:int32. Bytes are a sum's vector, a broadcast's data, what each rank gives to
 * a gather, what it gives to each other one in an all-to-all.
 *
 * A loop over one buffer flatters whoever leaves the data in a cache. So the ways take turns, and
 * each call has its whole input written before and its whole result read after it: "call" is the
 * call alone, "total" with both. A time is the slowest rank's, the median over the rounds. Beside
 * them every rank copies what the call must move in memory at least, all at the same time: a sum
 * reads a vector's worth of terms and writes as much.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/system.h"
#include "bench_serve.h"
#include "bench_update.h"
#include "comm/comm.h"
#include "device/device.h"
#include "oneccl.h"

enum { ROUNDS_LEAST = 7, ROUNDS_MOST = 200, CALLS_MOST = 256, N_WAYS = 5 };
#define SECONDS    1.5       /* a problem, unless --seconds says else */
#define CALL_BYTES (8 << 20) /* of the calls of a turn, about */

enum { OURS, MESSAGES, MPI, COPY, ONECCL };
enum { ALLREDUCE = COLLECTIVES, UPDATE };

static const struct kind {
    const char *name, *ways[N_WAYS], *dtype; /* NULL: any */
} kinds[] = {
    [COLLECTIVE_broadcast] = {"broadcast", {"sunup", "messages", "MPI_Bcast", "copy"}, NULL},
    [COLLECTIVE_allgather] = {"allgather", {"sunup", "messages", "MPI_Allgather", "copy"}, NULL},
    [COLLECTIVE_alltoall] = {"alltoall", {"sunup", "messages", "MPI_Alltoall", "copy"}, NULL},
    [COLLECTIVE_barrier] = {"barrier", {"sunup", "messages", "MPI_Barrier", "copy"}, NULL},
    [COLLECTIVE_allreduce] = {"sum", {"sunup", "messages", "MPI_Allreduce", "copy"}, "f32"},
    [COLLECTIVE_reduce_scatter] = {"reduce_scatter", {"sunup", "messages", "MPI", "copy"}, "f32"},
    [COLLECTIVE_allreduce_int32] = {"sum", {"sunup", "messages", "MPI_Allreduce", "copy"}, "int32"},
    [COLLECTIVE_reduce_scatter_int32] = {"reduce_scatter", {"sunup", "messages", "MPI", "copy"}, "int32"},
    [ALLREDUCE] = {"allreduce", {"shared", "messages", "MPI_Allreduce", "copy", "oneCCL"}, "f32"},
    [UPDATE] = {"update", {"sunup", "unfused", "MPI+Adam", "copy"}, "f32"},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

struct vectors { /* of one way */
    struct exchange *x;
    struct updater *u;
    char *in, *out; /* private; NULL: in the exchange */
};

struct comm_bench {
    struct bench *b;
    sunup_comm *comm, *messages;
    struct oneccl *oneccl; /* NULL: there is none */
    const struct kernels *k;
    const char *problem;
    int kind;
    int64_t bytes, calls;
    int64_t in_blocks, out_blocks, copy_blocks; /* of so many bytes */
    struct vectors v[N_WAYS];
    double call_s[N_WAYS][ROUNDS_MOST], total_s[N_WAYS][ROUNDS_MOST];
    float checksum; /* keeps the reads */
};

/* ------------------------------------------------------------------------- problems --- */

static bool read_bytes(const char *text, int64_t *bytes)
{
    const char *end = sunup__bytes_read(text, bytes);
    return end != NULL && *end == '\0';
}

static int64_t element_bytes(const char *dtype, size_t n)
{
    static const struct {
        const char *name;
        int bytes;
    } dtypes[] = {{"u8", 1}, {"f32", 4}, {"int32", 4}, {"f64", 8}};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strlen(dtypes[i].name) == n && strncmp(dtype, dtypes[i].name, n) == 0)
            return dtypes[i].bytes;
    return 0;
}

static bool is_sum(const struct comm_bench *t) /* of buffers of the caller's */
{
    return t->kind >= COLLECTIVE_allreduce && t->kind <= COLLECTIVE_reduce_scatter_int32;
}

static bool scatters(const struct comm_bench *t)
{
    return t->kind == COLLECTIVE_reduce_scatter || t->kind == COLLECTIVE_reduce_scatter_int32;
}

static bool of_integers(const struct comm_bench *t)
{
    return t->kind == COLLECTIVE_allreduce_int32 || t->kind == COLLECTIVE_reduce_scatter_int32;
}

/* ":f32:1MiB" */
static bool read_amount(struct comm_bench *t, const char *text)
{
    const size_t n = text[0] == ':' ? strcspn(text + 1, ":") : 0;
    const int64_t element = element_bytes(text + 1, n);
    if (n == 0 || text[1 + n] != ':' || element == 0 || !read_bytes(text + n + 2, &t->bytes))
        return false;
    return t->bytes % element == 0 && (!scatters(t) || t->bytes % (4 * sunup_comm_ranks(t->comm)) == 0);
}

static void lay_out(struct comm_bench *t)
{
    const int ranks = sunup_comm_ranks(t->comm);
    const bool all = t->kind == COLLECTIVE_allgather || t->kind == COLLECTIVE_alltoall;
    t->in_blocks = t->kind == COLLECTIVE_alltoall ? ranks : 1;
    t->out_blocks = all ? ranks : 1;
    t->copy_blocks = all ? ranks - 1 : 1;
}

static bool read_collective(struct comm_bench *t, const char *text)
{
    const size_t n = strcspn(text, ":");
    t->bytes = 0;
    for (t->kind = 0; t->kind < N_KINDS; t->kind++) {
        const struct kind *k = &kinds[t->kind];
        const size_t of = k->dtype != NULL ? strlen(k->dtype) : 0;
        const bool typed = of == 0 || (text[n] == ':' && strncmp(text + n + 1, k->dtype, of) == 0);
        if (strlen(k->name) == n && strncmp(text, k->name, n) == 0 && typed) break;
    }
    if (t->kind == COLLECTIVE_barrier) return text[n] == '\0';
    return t->kind < N_KINDS && read_amount(t, text + n);
}

static sunup_status read_problem(struct comm_bench *t, const char *text)
{
    t->problem = text;
    if (isdigit((unsigned char)text[0])) {
        t->kind = ALLREDUCE;
        CHECK(read_bytes(text, &t->bytes) && t->bytes >= 4, t->b->c->ctx, E_ARGUMENT,
              "'%s' is no size of a vector: bytes, 4 or more, such as 1000, 64K or 4M", text);
        t->bytes -= t->bytes % 4;
    } else {
        CHECK(read_collective(t, text), t->b->c->ctx, E_ARGUMENT,
              "'%s' is no collective: allreduce:f32:BYTES, update:f32:BYTES, sum or reduce_scatter (of equal parts) "
              "with f32 or int32, or broadcast, allgather, alltoall with "
              "u8, f32 or f64 and "
              "a multiple of it (such as broadcast:u8:64KiB), or barrier; a plain size (64K) is a "
              "sum of f32",
              text);
    }
    lay_out(t);
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- one call --- */

static bool has_way(const struct comm_bench *t, int way)
{
    return way != ONECCL || (t->oneccl != NULL && t->kind == ALLREDUCE);
}

static char *input_of(const struct comm_bench *t, int way)
{
    if (t->v[way].u != NULL) return (char *)updater_gradient(t->v[way].u);
    return t->v[way].x != NULL ? sunup__exchange_slot(t->v[way].x) : t->v[way].in;
}

static sunup_status sum(struct comm_bench *t, int way, const char **result)
{
    struct vectors *v = &t->v[way];
    if (way == MPI) return sunup__comm_mpi_sum(t->comm, (float *)(void *)v->in, t->bytes / 4);
    if (way == ONECCL) return oneccl_sum(t->oneccl, (float *)(void *)v->in, t->bytes / 4);
    sunup__exchange_push(v->x);
    TRY(sunup__exchange_reduce(v->x, "bench"));
    *result = sunup__exchange_total(v->x);
    return SUNUP_OK;
}

/* Integers are summed in place. */
static sunup_status private_sum(const struct comm_bench *t, sunup_comm *comm, const struct vectors *v,
                                const char **result)
{
    const int ranks = sunup_comm_ranks(comm);
    const int64_t n = t->bytes / 4, at = scatters(t) ? n * sunup_comm_rank(comm) / ranks : 0;
    float *in = (float *)(void *)v->in, *out = (float *)(void *)v->out;
    int32_t *integers = (int32_t *)(void *)v->in;
    if (of_integers(t)) *result = v->in + 4 * at;
    if (t->kind == COLLECTIVE_allreduce_int32) return sunup__comm_sum_integers(comm, integers, n, "bench");
    if (of_integers(t)) return sunup__comm_scatter_integers(comm, integers, n, "bench");
    if (scatters(t)) return sunup_comm_scatter_shards(comm, ranks, n, in, out);
    return sunup_comm_sum_shards(comm, ranks, n, in, out);
}

static sunup_status call(struct comm_bench *t, int way, const char **result)
{
    const struct vectors *v = &t->v[way];
    sunup_comm *comm = way == MESSAGES ? t->messages : t->comm;
    *result = v->out != NULL ? v->out : v->in;
    if (way == COPY) {
        for (int i = 0; i < t->copy_blocks; i++)
            memcpy(v->out + i * t->bytes, v->in + i % t->in_blocks * t->bytes, (size_t)t->bytes);
        return SUNUP_OK;
    }
    if (t->kind == ALLREDUCE) return sum(t, way, result);
    if (t->kind == UPDATE) return updater_run(v->u, result);
    if (way == MPI) return sunup__comm_mpi(comm, (enum collective)t->kind, v->in, t->bytes, v->out);
    switch (t->kind) {
    case COLLECTIVE_broadcast:
        return sunup__comm_broadcast(comm, v->out, t->bytes, 0, "bench");
    case COLLECTIVE_allgather:
        return sunup__comm_gather(comm, v->in, t->bytes, v->out, "bench");
    case COLLECTIVE_alltoall:
        return sunup__comm_alltoall(comm, v->in, t->bytes, v->out, "bench");
    case COLLECTIVE_allreduce:
    case COLLECTIVE_reduce_scatter:
    case COLLECTIVE_allreduce_int32:
    case COLLECTIVE_reduce_scatter_int32:
        return private_sum(t, comm, v, result);
    default:
        return sunup__comm_barrier(comm, "bench");
    }
}

/* What rank gives to the rank `to`, in whole numbers: sums of them are exact in any order. */
static float term(int rank, int64_t to, int64_t i)
{
    return (float)(rank + 1) + (float)to + (float)(i & 7);
}

/* Read as floats these are no denormal numbers, which would take longer to read. */
static void write_integers(char *to, int64_t n, int rank)
{
    for (int64_t i = 0; i < n; i++) ((int32_t *)(void *)to)[i] = ((rank + 1) << 24) + (int32_t)(i & 7);
}

/* Words, and the bytes that are left over, which are rank + 1. Terms repeat, so that lines are copied as fast as
 * memory takes them: making each word took longer than most calls. */
static void write_block(char *to, int64_t bytes, int rank, int64_t block)
{
    float line[16], *x = (float *)(void *)to;
    for (int64_t i = 0; i < 16; i++) line[i] = term(rank, block, i);
    for (int64_t i = 0; i < bytes / 64; i++) memcpy(x + 16 * i, line, sizeof line);
    for (int64_t i = bytes / 64 * 16; i < bytes / 4; i++) x[i] = term(rank, block, i);
    for (int64_t i = bytes / 4 * 4; i < bytes; i++) to[i] = (char)(rank + 1);
}

static void write_input(const struct comm_bench *t, int way)
{
    const int rank = sunup_comm_rank(t->comm);
    if (t->kind == COLLECTIVE_broadcast && way != COPY) {
        if (rank == 0) write_block(t->v[way].out, t->bytes, 0, 0);
        return;
    }
    char *to = input_of(t, way);
    if (of_integers(t)) {
        write_integers(to, t->bytes / 4, rank);
        return;
    }
    for (int64_t i = 0; i < t->in_blocks; i++) write_block(to + i * t->bytes, t->bytes, rank, i);
}

static float read_result(const struct comm_bench *t, const char *from)
{
    const int64_t bytes = t->out_blocks * t->bytes / (scatters(t) ? sunup_comm_ranks(t->comm) : 1), n = bytes / 4;
    const float *x = (const float *)(const void *)from;
    float sum[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) sum[j] += x[i + j];
    for (; i < n; i++) sum[0] += x[i];
    for (i = 4 * n; i < bytes; i++) sum[0] += (float)from[i];
    for (int j = 1; j < 16; j++) sum[0] += sum[j];
    return sum[0];
}

/* Planted faults only. */
static sunup_status strike(struct comm_bench *t)
{
    sunup_context *ctx = t->b->c->ctx;
    if (ctx->faults == NULL) return SUNUP_OK;
    const int rank = sunup_comm_rank(t->comm);
    return sunup_comm_agree(t->comm, sunup__fault_step(ctx, t->b->turns++, rank));
}

static sunup_status turn(struct comm_bench *t, int way, double *call_s, double *total_s)
{
    double in_calls = 0;
    TRY(strike(t));
    TRY(sunup__comm_barrier(t->comm, "bench"));
    const double from_s = sunup__now_s();
    for (int64_t i = 0; i < t->calls; i++) {
        const char *result;
        write_input(t, way);
        const double call_from_s = sunup__now_s();
        TRY(call(t, way, &result));
        in_calls += sunup__now_s() - call_from_s;
        t->checksum += read_result(t, result);
    }
    *total_s = (sunup__now_s() - from_s) / (double)t->calls;
    *call_s = in_calls / (double)t->calls;
    return SUNUP_OK;
}

static float right_word(const struct comm_bench *t, int64_t block, int64_t i)
{
    const int ranks = sunup_comm_ranks(t->comm);
    if (t->kind == ALLREDUCE || is_sum(t)) return (float)(ranks * (ranks + 1) / 2) + (float)(ranks * (i & 7));
    const int64_t to = t->kind == COLLECTIVE_alltoall ? sunup_comm_rank(t->comm) : 0;
    return term((int)block, to, i);
}

/* The weights of every way must be those of the first, bit by bit. */
static sunup_status check_update(const struct comm_bench *t, int way, const char *weights)
{
    const char *first;
    updater_weights(t->v[OURS].u, &first);
    CHECK(way == COPY || memcmp(first, weights, (size_t)t->bytes) == 0, t->b->c->ctx, E_INTERNAL,
          "%s: the weights of %s are not those of sunup", t->problem, kinds[t->kind].ways[way]);
    return SUNUP_OK;
}

static sunup_status check_sum(const struct comm_bench *t, int way, const char *result)
{
    const int ranks = sunup_comm_ranks(t->comm);
    const int64_t n = t->bytes / 4, at = scatters(t) ? n * sunup_comm_rank(t->comm) / ranks : 0;
    for (int64_t i = 0; i < (scatters(t) ? n / ranks : n) && way != COPY; i++) {
        const int64_t right = (ranks * (ranks + 1) / 2 << 24) + ranks * ((at + i) & 7);
        const bool same = of_integers(t) ? ((const int32_t *)(const void *)result)[i] == right
                                         : ((const float *)(const void *)result)[i] == right_word(t, 0, at + i);
        CHECK(same, t->b->c->ctx, E_INTERNAL, "%s by %s: word %lld is wrong", t->problem, kinds[t->kind].ways[way],
              (long long)i);
    }
    return SUNUP_OK;
}

static sunup_status check(struct comm_bench *t, int way)
{
    const char *result;
    write_input(t, way);
    TRY(call(t, way, &result));
    if (t->kind == UPDATE) return check_update(t, way, result);
    if (is_sum(t)) return check_sum(t, way, result);
    for (int64_t b = 0; b < t->out_blocks && way != COPY; b++) {
        const float *x = (const float *)(const void *)(result + b * (t->bytes / 4 * 4));
        for (int64_t i = 0; i < t->bytes / 4 && t->bytes % 4 == 0; i++)
            CHECK(x[i] == right_word(t, b, i), t->b->c->ctx, E_INTERNAL,
                  "%s by %s: word %lld is %g, not %g", t->problem, kinds[t->kind].ways[way],
                  (long long)(b * t->bytes / 4 + i), (double)x[i], (double)right_word(t, b, i));
    }
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- one problem --- */

static sunup_status open_sums(struct comm_bench *t)
{
    const int ranks = sunup_comm_ranks(t->comm), threads = sunup_context_threads(t->b->c->ctx);
    const struct exchange_options o = {
        .k = t->k, .threads = threads, .shards = ranks, .n = t->bytes / 4};
    TRY(sunup__exchange_create(t->comm, &o, &t->v[OURS].x));
    return sunup__exchange_create(t->messages, &o, &t->v[MESSAGES].x);
}

static sunup_status open_updates(struct comm_bench *t)
{
    static const enum update_way ways[] = {UPDATE_FUSED, UPDATE_APART, UPDATE_MPI};
    for (int w = OURS; w <= MPI; w++)
        TRY(updater_open(t->b->c->ctx, t->comm, ways[w], t->bytes / 4, &t->v[w].u));
    return SUNUP_OK;
}

static bool wants_input(const struct comm_bench *t, int way)
{
    if (t->v[way].u != NULL || !has_way(t, way)) return false;
    return way == COPY || (t->v[way].x == NULL && t->kind != COLLECTIVE_broadcast);
}

static bool wants_output(const struct comm_bench *t, int way)
{
    const bool in_place = (way == MPI || way == ONECCL) && t->kind == ALLREDUCE;
    return has_way(t, way) && t->v[way].x == NULL && t->v[way].u == NULL && !in_place;
}

static sunup_status open_ways(struct comm_bench *t)
{
    if (t->kind == ALLREDUCE) TRY(open_sums(t));
    if (t->kind == UPDATE) TRY(open_updates(t));
    sunup_status mine = SUNUP_OK;
    const size_t in = (size_t)(t->in_blocks * t->bytes) + 1,
                 out = (size_t)(t->out_blocks * t->bytes) + 1;
    for (int w = 0; w < N_WAYS; w++) {
        struct vectors *v = &t->v[w];
        if (wants_input(t, w)) v->in = sunup__alloc_aligned(in);
        if (wants_output(t, w)) v->out = sunup__alloc_aligned(out);
        if ((wants_input(t, w) && v->in == NULL) || (wants_output(t, w) && v->out == NULL))
            mine = sunup__raise(t->b->c->ctx, SUNUP_E_MEMORY, "no memory for vectors of %zu bytes",
                                in + out);
    }
    return sunup_comm_agree(t->comm, mine);
}

static void close_ways(struct comm_bench *t)
{
    for (int w = 0; w < N_WAYS; w++) {
        sunup__exchange_destroy(&t->v[w].x);
        updater_close(&t->v[w].u);
        sunup__free(t->v[w].in);
        sunup__free(t->v[w].out);
        t->v[w] = (struct vectors){0};
    }
}

/* The slowest rank's times of a turn, to all ranks. */
static sunup_status slowest(struct comm_bench *t, double *call_s, double *total_s, bool *enough)
{
    const int ranks = sunup_comm_ranks(t->comm);
    const double mine[3] = {*call_s, *total_s, *enough};
    double *all = sunup__alloc((size_t)ranks * sizeof mine);
    const sunup_status status =
        all != NULL ? sunup__comm_gather(t->comm, mine, sizeof mine, all, "bench times")
                    : SUNUP_E_MEMORY;
    for (int r = 0; status == SUNUP_OK && r < ranks; r++) {
        *call_s = fmax(*call_s, all[3 * r]);
        *total_s = fmax(*total_s, all[3 * r + 1]);
    }
    if (status == SUNUP_OK) *enough = all[2] != 0; /* rank 0 decides */
    sunup__free(all);
    return status;
}

static sunup_status run_rounds(struct comm_bench *t, int *rounds)
{
    const double seconds = t->b->c->seconds > 0 ? t->b->c->seconds : SECONDS,
                 from_s = sunup__now_s();
    bool enough = false;
    for (*rounds = 0; !enough && *rounds < ROUNDS_MOST; ++*rounds) {
        for (int w = 0; w < N_WAYS; w++) {
            if (!has_way(t, w)) continue;
            double *call_s = &t->call_s[w][*rounds], *total_s = &t->total_s[w][*rounds];
            TRY(turn(t, w, call_s, total_s));
            enough = *rounds + 1 >= ROUNDS_LEAST && sunup__now_s() - from_s > seconds;
            TRY(slowest(t, call_s, total_s, &enough));
        }
    }
    return SUNUP_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sorted [ROUNDS_MOST]: room, in which they are afterwards. */
static double middle(const double *x, int n, double *sorted)
{
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return sorted[n / 2];
}

static json_t *samples_json(const double *x, int n)
{
    json_t *j = json_array();
    for (int i = 0; i < n; i++) (void)json_array_append_new(j, json_real(x[i]));
    return j;
}

struct row {
    double call_s[N_WAYS], total_s[N_WAYS], spread[N_WAYS];
};

/* Bytes that make the algorithm's rate, and those of them that a rank must send or receive. */
static double rated_bytes(const struct comm_bench *t)
{
    return (double)(t->out_blocks * t->bytes);
}

static double bus_share(const struct comm_bench *t)
{
    const double ranks = sunup_comm_ranks(t->comm), others = (ranks - 1) / ranks;
    if (t->kind == COLLECTIVE_broadcast) return 1;
    return t->kind >= ALLREDUCE || (is_sum(t) && !scatters(t)) ? 2 * others : others;
}

static const char *algorithm_of(const struct comm_bench *t, int way)
{
    if (t->kind >= ALLREDUCE || way > MESSAGES) return "";
    return sunup__comm_choice(way == OURS ? t->comm : t->messages, (enum collective)t->kind,
                              t->bytes);
}

static void print_row(const struct comm_bench *t, const struct row *r)
{
    for (int w = 0; w < N_WAYS; w++) {
        if (!has_way(t, w)) continue;
        (void)printf("  %-22s %-14s %-8s call %10.2f us +-%4.1f %%  total %10.2f us", t->problem,
                     kinds[t->kind].ways[w], algorithm_of(t, w), 1e6 * r->call_s[w],
                     100 * r->spread[w], 1e6 * r->total_s[w]);
        if (t->bytes > 0)
            (void)printf("  algbw %7.2f GB/s  busbw %7.2f  %4.0f %% of copy",
                         1e-9 * rated_bytes(t) / r->call_s[w],
                         1e-9 * rated_bytes(t) * bus_share(t) / r->call_s[w],
                         100 * r->call_s[COPY] / r->call_s[w]);
        (void)printf("  %6.2fx (total %.2fx) %s\n", r->call_s[w] / r->call_s[OURS],
                     r->total_s[w] / r->total_s[OURS], kinds[t->kind].ways[OURS]);
    }
    (void)fflush(stdout);
}

static void show(struct comm_bench *t, int rounds)
{
    struct row r;
    double sorted[ROUNDS_MOST];
    json_t *ways = json_object();
    for (int w = 0; w < N_WAYS; w++) {
        if (!has_way(t, w)) continue;
        r.total_s[w] = middle(t->total_s[w], rounds, sorted);
        r.call_s[w] = middle(t->call_s[w], rounds, sorted);
        r.spread[w] = 0.5 * (sorted[3 * rounds / 4] - sorted[rounds / 4]) / r.call_s[w];
        (void)json_object_set_new(
            ways, kinds[t->kind].ways[w],
            json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "algorithm", algorithm_of(t, w),
                      "call_s", r.call_s[w], "spread", r.spread[w], "total_s", r.total_s[w],
                      "algbw_bytes_per_s", rated_bytes(t) / r.call_s[w], "busbw_bytes_per_s",
                      rated_bytes(t) * bus_share(t) / r.call_s[w], "call_samples_s",
                      samples_json(t->call_s[w], rounds), "total_samples_s",
                      samples_json(t->total_s[w], rounds)));
    }
    if (!t->b->c->json) print_row(t, &r);
    (void)json_array_append_new(t->b->rows, json_pack("{s:s, s:I, s:i, s:i, s:o}", "problem",
                                                      t->problem, "bytes", (json_int_t)t->bytes,
                                                      "ranks", sunup_comm_ranks(t->comm),
                                                      "rounds", rounds, "ways", ways));
}

static sunup_status time_problem(struct comm_bench *t)
{
    int rounds = 0;
    const int64_t bytes = t->out_blocks * t->bytes,
                  calls = bytes > 0 ? CALL_BYTES / bytes : CALLS_MOST;
    t->calls = calls < 1 ? 1 : calls > CALLS_MOST ? CALLS_MOST : calls;
    TRY(open_ways(t));
    for (int w = 0; w < N_WAYS; w++)
        if (has_way(t, w)) TRY(check(t, w));
    TRY(run_rounds(t, &rounds));
    if (sunup_comm_rank(t->comm) == 0) show(t, rounds);
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- the verb --- */

static sunup_status each_problem(void *arg, const char *name, const char *problem)
{
    struct comm_bench *t = arg;
    (void)name; /* a problem says it all */
    sunup_status status = read_problem(t, problem);
    if (status == SUNUP_OK) status = time_problem(t);
    close_ways(t);
    return status;
}

static sunup_status open_messages(struct comm_bench *t)
{
    sunup_comm_options o = sunup_comm_defaults();
    o.messages = true;
    TRY(sunup_comm_create(t->b->c->ctx, &o, &t->messages));
    TRY(sunup__comm_consult(t->comm));
    return sunup__comm_consult(t->messages);
}

static sunup_status bench_all(struct comm_bench *t)
{
    const struct command *c = t->b->c;
    TRY(oneccl_open(t->comm, c->ctx, &t->oneccl));
    if (sunup_comm_rank(c->comm) == 0 && !c->json)
        (void)printf("  %d ranks, %d threads each; kernels %s; %s\n", sunup_comm_ranks(c->comm),
                     sunup_context_threads(c->ctx), t->k->isa, sunup__comm_library(c->comm));
    for (int i = 1; i < c->n_operands; i++) {
        const char *what = c->operand[i];
        const bool list = strstr(what, ".txt") != NULL || strchr(what, '/') != NULL;
        TRY(list ? bench_list(t->b, what, each_problem, t) : each_problem(t, "", what));
    }
    return SUNUP_OK;
}

/* Ranks and memory for run, which answers for what it makes of them. */
static sunup_status with_ranks(struct bench *b, sunup_status (*run)(struct comm_bench *t))
{
    struct command *c = b->c;
    struct comm_bench *t = sunup__alloc(sizeof *t);
    CHECK(t != NULL, c->ctx, E_MEMORY, "no memory for the times of a bench");
    t->b = b;
    sunup_status status = sunup__kernels(c->ctx, &t->k);
    if (status == SUNUP_OK) status = session_ranks(c);
    t->comm = c->comm;
    if (status == SUNUP_OK && sunup_comm_ranks(c->comm) < 2)
        status = sunup__raise(c->ctx, SUNUP_E_ARGUMENT,
                              "sunup bench comm needs ranks: mpiexec -n 2 sunup bench comm 64K 4M");
    if (status == SUNUP_OK) status = open_messages(t);
    if (status == SUNUP_OK) status = run(t);
    close_ways(t);
    oneccl_close(&t->oneccl);
    sunup_comm_destroy(&t->messages);
    sunup__free(t);
    return status;
}

sunup_status bench_comm(struct bench *b)
{
    return with_ranks(b, bench_all);
}

/* ---- `sunup bench serve comm PROBLEM` ---- */

static sunup_status sample_ours(void *arg, int64_t calls, double *call_s)
{
    struct comm_bench *t = arg;
    double total_s;
    bool enough = false;
    t->calls = calls;
    TRY(turn(t, OURS, call_s, &total_s));
    return slowest(t, call_s, &total_s, &enough);
}

static sunup_status serve(struct comm_bench *t)
{
    double call_s;
    TRY(read_problem(t, t->b->c->operand[2]));
    TRY(open_ways(t));
    TRY(check(t, OURS));
    TRY(sample_ours(t, 1, &call_s));
    struct served s = {.sample = sample_ours, .arg = t, .comm = t->comm};
    return bench_answer(t->b->c, &s, json_pack("{s:f}", "bytes", rated_bytes(t)));
}

sunup_status bench_comm_serve(struct bench *b)
{
    return with_ranks(b, serve);
}
