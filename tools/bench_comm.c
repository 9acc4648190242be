/* bench_comm.c - `mpiexec -n N sunup bench comm SIZE...`: the sum of a vector over all ranks, by each way there is.
 *
 * A loop over one buffer flatters whoever leaves the data in a cache. So the ways take turns, and each call has its
 * whole input written before and its whole result read after it: "call" is the call alone, "total" with both. A time
 * is the slowest rank's, the median over the rounds. Beside them every rank copies a vector of the size at the same
 * time: what a sum in memory must move at least, since each rank reads a vector's worth of terms and writes as much.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "bench.h"
#include "comm/comm.h"
#include "device/device.h"

enum { ROUNDS_LEAST = 7, ROUNDS_MOST = 200, CALLS_MOST = 256, N_WAYS = 4 };
#define SECONDS    1.5       /* a size, unless --seconds says else */
#define CALL_BYTES (8 << 20) /* of the calls of a turn, about */

struct vectors { /* of one way */
    struct exchange *x;
    float *in, *out; /* private; NULL: in the exchange */
};

struct comm_bench {
    struct bench *b;
    sunup_comm *comm, *messages;
    const struct kernels *k;
    int64_t n, calls;
    struct vectors v[N_WAYS];
    double call_s[N_WAYS][ROUNDS_MOST], total_s[N_WAYS][ROUNDS_MOST];
    float checksum; /* keeps the reads */
};

static const char *const way_names[N_WAYS] = {"shared", "messages", "MPI_Allreduce", "copy"};
enum { SHARED, MESSAGES, MPI, COPY };

/* "64K", "4M", "1000": bytes. */
static sunup_status read_size(const struct command *c, const char *text, int64_t *n)
{
    char *end;
    const double value = strtod(text, &end);
    const double unit = *end == 'K' ? 1024 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 1;
    if (unit > 1) end++;
    CHECK(end != text && *end == '\0' && value * unit >= 4 && value * unit <= 1e11, c->ctx,
          E_ARGUMENT, "'%s' is no size of a vector: bytes, 4 or more, such as 1000, 64K or 4M",
          text);
    *n = (int64_t)(value * unit) / 4;
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- one call --- */

static float *input_of(const struct comm_bench *t, int way)
{
    return t->v[way].x != NULL ? sunup__exchange_slot(t->v[way].x) : t->v[way].in;
}

static sunup_status call(struct comm_bench *t, int way, const float **result)
{
    struct vectors *v = &t->v[way];
    *result = v->out != NULL ? v->out : v->in;
    if (way == MPI) return sunup__comm_mpi_sum(t->comm, v->in, t->n);
    if (way == COPY) {
        memcpy(v->out, v->in, (size_t)t->n * sizeof(float));
        return SUNUP_OK;
    }
    sunup__exchange_push(v->x);
    TRY(sunup__exchange_reduce(v->x, "bench"));
    *result = sunup__exchange_total(v->x);
    return SUNUP_OK;
}

/* Every rank's terms, in whole numbers: their sum is exact in any order. */
static void write_input(const struct comm_bench *t, float *to)
{
    const float term = (float)(sunup_comm_rank(t->comm) + 1);
    for (int64_t i = 0; i < t->n; i++) to[i] = term + (float)(i & 7);
}

static float read_result(const struct comm_bench *t, const float *x)
{
    float sum[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= t->n; i += 16)
        for (int j = 0; j < 16; j++) sum[j] += x[i + j];
    for (; i < t->n; i++) sum[0] += x[i];
    for (int j = 1; j < 16; j++) sum[0] += sum[j];
    return sum[0];
}

static sunup_status turn(struct comm_bench *t, int way, double *call_s, double *total_s)
{
    double in_calls = 0;
    TRY(sunup__comm_barrier(t->comm, "bench"));
    const double from_s = sunup__now_s();
    for (int64_t i = 0; i < t->calls; i++) {
        const float *result;
        write_input(t, input_of(t, way));
        const double call_from_s = sunup__now_s();
        TRY(call(t, way, &result));
        in_calls += sunup__now_s() - call_from_s;
        t->checksum += read_result(t, result);
    }
    *total_s = (sunup__now_s() - from_s) / (double)t->calls;
    *call_s = in_calls / (double)t->calls;
    return SUNUP_OK;
}

static sunup_status check(struct comm_bench *t, int way)
{
    const float *result;
    const int ranks = sunup_comm_ranks(t->comm);
    write_input(t, input_of(t, way));
    TRY(call(t, way, &result));
    for (int64_t i = 0; i < t->n && way != COPY; i++) {
        const float right = (float)(ranks * (ranks + 1) / 2) + (float)(ranks * (i & 7));
        CHECK(result[i] == right, t->b->c->ctx, E_INTERNAL, "%s: element %lld is %g, not %g",
              way_names[way], (long long)i, (double)result[i], (double)right);
    }
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- one size --- */

static sunup_status open_ways(struct comm_bench *t)
{
    const int ranks = sunup_comm_ranks(t->comm), threads = sunup_context_threads(t->b->c->ctx);
    const size_t bytes = (size_t)t->n * sizeof(float);
    const struct exchange_options o = {
        .k = t->k, .threads = threads, .shards = ranks, .n = t->n};
    TRY(sunup__exchange_create(t->comm, &o, &t->v[SHARED].x));
    TRY(sunup__exchange_create(t->messages, &o, &t->v[MESSAGES].x));
    t->v[MPI].in = sunup__alloc_aligned(bytes);
    t->v[COPY].in = sunup__alloc_aligned(bytes);
    t->v[COPY].out = sunup__alloc_aligned(bytes);
    const bool room = t->v[MPI].in && t->v[COPY].in && t->v[COPY].out;
    sunup_status mine = SUNUP_OK;
    if (!room)
        mine =
            sunup__raise(t->b->c->ctx, SUNUP_E_MEMORY, "no memory for vectors of %zu bytes", bytes);
    return sunup_comm_agree(t->comm, mine);
}

static void close_ways(struct comm_bench *t)
{
    for (int w = 0; w < N_WAYS; w++) {
        sunup__exchange_destroy(&t->v[w].x);
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

static double middle(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return x[n / 2];
}

static void show(struct comm_bench *t, int rounds)
{
    const double bytes = 4.0 * (double)t->n, ranks = sunup_comm_ranks(t->comm);
    double call_s[N_WAYS], total_s[N_WAYS], spread[N_WAYS];
    json_t *ways = json_object();
    for (int w = 0; w < N_WAYS; w++) {
        call_s[w] = middle(t->call_s[w], rounds);
        spread[w] = 0.5 * (t->call_s[w][3 * rounds / 4] - t->call_s[w][rounds / 4]) / call_s[w];
        total_s[w] = middle(t->total_s[w], rounds);
        (void)json_object_set_new(ways, way_names[w],
                                  json_pack("{s:f, s:f, s:f}", "call_s", call_s[w], "spread",
                                            spread[w], "total_s", total_s[w]));
    }
    for (int w = 0; w < N_WAYS && !t->b->c->json; w++)
        (void)printf(
            "  %12.0f bytes  %-14s call %10.2f us +-%4.1f %%  total %10.2f us  algbw %7.2f GB/s  "
            "busbw %7.2f  %4.0f %% of copy  %6.2fx (total %.2fx) shared\n",
            bytes, way_names[w], 1e6 * call_s[w], 100 * spread[w], 1e6 * total_s[w],
            1e-9 * bytes / call_s[w], 2e-9 * bytes * (ranks - 1) / ranks / call_s[w],
            100 * call_s[COPY] / call_s[w], call_s[w] / call_s[SHARED],
            total_s[w] / total_s[SHARED]);
    (void)fflush(stdout);
    (void)json_array_append_new(t->b->rows,
                                json_pack("{s:f, s:f, s:i, s:o}", "bytes", bytes, "ranks", ranks,
                                          "rounds", rounds, "ways", ways));
}

static sunup_status time_size(struct comm_bench *t)
{
    int rounds = 0;
    const int64_t calls = CALL_BYTES / (4 * t->n);
    t->calls = calls < 1 ? 1 : calls > CALLS_MOST ? CALLS_MOST : calls;
    TRY(open_ways(t));
    for (int w = 0; w < N_WAYS; w++) TRY(check(t, w));
    TRY(run_rounds(t, &rounds));
    if (sunup_comm_rank(t->comm) == 0) show(t, rounds);
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------- the verb --- */

static sunup_status bench_sizes(struct comm_bench *t)
{
    struct command *c = t->b->c;
    sunup_comm_options o = sunup_comm_defaults();
    o.messages = true;
    TRY(sunup_comm_create(c->ctx, &o, &t->messages));
    for (int i = 1; i < c->n_operands; i++) {
        sunup_status status = read_size(c, c->operand[i], &t->n);
        if (status == SUNUP_OK) status = time_size(t);
        close_ways(t);
        TRY(status);
    }
    return SUNUP_OK;
}

sunup_status bench_comm(struct bench *b)
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
    if (status == SUNUP_OK && sunup_comm_rank(c->comm) == 0 && !c->json)
        (void)printf("  %d ranks, %d threads each; kernels %s; %s\n", sunup_comm_ranks(c->comm),
                     sunup_context_threads(c->ctx), t->k->isa, sunup__comm_library(c->comm));
    if (status == SUNUP_OK) status = bench_sizes(t);
    sunup_comm_destroy(&t->messages);
    sunup__free(t);
    return status;
}
