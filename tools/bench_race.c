/* bench_race.c - times one problem by every maker that can and by PyTorch, in turns.
 *
 * A round gives each way one sample (as many calls as fill a slice of time), and times beside them the
 * FMA rate and a copy that moves as many bytes as the problem must: machines drift, most of all in
 * memory bandwidth, and a ratio within rounds does not. Between turns there is a pause, for idle threads
 * of GNU's OpenMP spin for 3 ms and would hold a core of the next one's, and calls without the clock,
 * which wake the threads and warm the caches. Cold: 64 MiB go through the caches before every call, as
 * other layers do in a step; that wakes our threads, but not another runtime's.
 *
 * Flops: a convolution's taps that fall into the padding are not counted, for nobody must compute them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/system.h"
#include "bench_kernel.h"
#include "graph/ops/conv.h"

static const double slice_least_s = 2e-4, slice_most_s = 1e-2, warm_s = 3e-3;
static const double reference_flops_per_s = 1e9; /* a guess from below, one thread */
enum { PAUSE_US = 6000, SWEEP_BYTES = 64 << 20 };

/* ------------------------------------------------------------------------- samples --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sampled_finish(struct sampled *t)
{
    double sorted[BENCH_ROUNDS];
    if (t->n == 0) return;
    memcpy(sorted, t->s, (size_t)t->n * sizeof *sorted);
    qsort(sorted, (size_t)t->n, sizeof *sorted, by_value);
    t->median_s = sorted[t->n / 2];
    t->q1_s = sorted[t->n / 4];
    t->q3_s = sorted[t->n * 3 / 4];
}

static void add_sample(struct sampled *t, double s)
{
    if (t->n < BENCH_ROUNDS) t->s[t->n++] = s;
}

/* ---------------------------------------------------------------------------- flops --- */

/* Pairs (output, tap) of an axis that meet x. */
static double pairs(const struct window *w, int axis)
{
    double n = 0;
    for (int64_t o = 0; o < w->out[axis]; o++)
        for (int64_t t = 0; t < w->taps[axis]; t++) {
            const int64_t i = o * w->stride[axis] - w->before[axis] + t * w->dilation[axis];
            n += w->circular || (i >= 0 && i < w->in[axis]);
        }
    return n;
}

double bench_flops(const struct node *n)
{
    const bool conv = n->op == &sunup__op_conv || n->op == &sunup__op_conv_data_grad ||
                      n->op == &sunup__op_conv_weight_grad;
    if (!conv) return sunup__node_cost(n).flops;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const sunup_value *batched = n->in[n->op == &sunup__op_conv_data_grad ? 1 : 0];
    const double sums = (double)w->k * (double)(w->c / w->groups);
    return 2 * (double)batched->shape.d[0] * sums * pairs(w, 0) * pairs(w, 1) * pairs(w, 2);
}

/* ---------------------------------------------------------------------------- racers --- */

enum { TORCH = -1, PLAN = -2 };

struct racer {
    struct timed_way *way;
    int maker; /* of the problem, or enum pipe_way; PLAN, TORCH */
    int64_t calls;
    double call_s; /* estimate */
    bool once;     /* too slow for every round: its first sample counts */
};

struct race {
    struct kernel_bench *k;
    struct problem p;
    sunup_plan *plan;  /* of the problem, if that is more than one step */
    struct pipe *pipe; /* instead of the problem */
    const struct kernels *kernels;
    struct racer racers[BENCH_WAYS];
    int n_racers;
    char *from, *to; /* of the copy */
    int64_t copy_bytes;
    struct sampled copy, fma;
};

static void sweep_task(void *arg, int64_t i)
{
    enum { PIECES = 64 };
    float *x = (float *)arg + i * (SWEEP_BYTES / PIECES / (int64_t)sizeof(float));
    for (int64_t j = 0; j < SWEEP_BYTES / PIECES / (int64_t)sizeof(float); j++) x[j] += 1;
}

static void sweep(const struct kernel_bench *k)
{
    if (k->cold) sunup__parallel(sunup_context_threads(k->b->c->ctx), 64, sweep_task, k->sweep);
}

static sunup_status run_way(struct race *r, int maker)
{
    if (r->pipe != NULL) return pipe_run(r->pipe, (enum pipe_way)maker);
    return maker == PLAN ? sunup_plan_run(r->plan, (sunup_random_key){0})
                         : sunup__problem_run(&r->p, maker);
}

/* Seconds of one call on average. */
static sunup_status time_maker(struct race *r, int maker, int64_t calls, double *s)
{
    double took_s = 0;
    const int64_t block = r->k->cold ? 1 : calls; /* the clock is read once where it can be */
    for (int64_t i = 0; i < calls; i += block) {
        sweep(r->k);
        const double from_s = sunup__now_s();
        for (int64_t j = 0; j < block; j++) TRY(run_way(r, maker));
        took_s += sunup__now_s() - from_s;
    }
    *s = took_s / (double)calls;
    return SUNUP_OK;
}

static sunup_status time_torch(struct race *r, int64_t calls, double *s)
{
    char question[64];
    json_t *answer;
    (void)snprintf(question, sizeof question, "time %lld %d", (long long)calls, r->k->cold);
    TRY(peer_ask(r->k->b->c->ctx, &r->k->torch, question, &answer));
    *s = json_number_value(json_object_get(answer, "s"));
    json_decref(answer);
    return SUNUP_OK;
}

static sunup_status time_racer(struct race *r, const struct racer *a, int64_t calls, double *s)
{
    return a->maker == TORCH ? time_torch(r, calls, s) : time_maker(r, a->maker, calls, s);
}

static void add_racer(struct race *r, struct row *row, const char *name, int maker)
{
    struct timed_way *w = &row->ways[row->n_ways++];
    struct racer *a = &r->racers[r->n_racers++];
    (void)snprintf(w->name, sizeof w->name, "%s", name);
    *a = (struct racer){.way = w, .maker = maker, .calls = 1};
}

/* Calls that fill a slice, from one or two calls. */
static sunup_status calibrate(struct race *r, struct racer *a)
{
    TRY(time_racer(r, a, 1, &a->call_s)); /* it also makes the step */
    if (a->call_s < r->k->seconds / 4) TRY(time_racer(r, a, 1, &a->call_s));
    double slice_s = r->k->seconds / (15 * (double)r->n_racers);
    if (slice_s < slice_least_s) slice_s = slice_least_s;
    if (slice_s > slice_most_s) slice_s = slice_most_s;
    const double calls = slice_s / (a->call_s + 1e-9);
    a->calls = r->k->cold || calls < 1 ? 1 : calls > 1e4 ? 10000 : (int64_t)calls;
    return SUNUP_OK;
}

/* What would take longer than the whole row is not tried; there is always another maker then. */
static bool is_hopeless(const struct race *r, const struct row *row, int maker)
{
    if (strcmp(r->p.ways[maker].maker->name, "op_run") != 0 || maker == r->p.chosen) return false;
    const int threads = sunup_context_threads(r->k->b->c->ctx);
    return row->flops / (reference_flops_per_s * threads) > 4 * r->k->seconds;
}

static sunup_status add_torch(struct race *r, struct row *row)
{
    if (r->k->torch.pid <= 0) return SUNUP_OK;
    char question[PROBLEM_TEXT + 16];
    json_t *answer;
    (void)snprintf(question, sizeof question, "problem %s", row->text);
    TRY(peer_ask(r->k->b->c->ctx, &r->k->torch, question, &answer));
    if (json_is_true(json_object_get(answer, "ok"))) add_racer(r, row, "PyTorch", TORCH);
    json_decref(answer);
    return SUNUP_OK;
}

/* A plan takes some ops apart (batch norm) to join the parts with their neighbours: then it is the way
 * that a network goes, with no neighbours here. */
static sunup_status add_plan(struct race *r, struct row *row)
{
    const struct node *n = r->p.node;
    TRY(sunup_plan_create(r->p.graph, n->n_out, n->out, &r->plan));
    if (sunup_plan_describe(r->plan).steps < 2) return SUNUP_OK;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != NULL) TRY(sunup_plan_bind(r->plan, n->in[i], r->p.in[i]));
    row->chosen = row->n_ways;
    add_racer(r, row, "plan", PLAN);
    return SUNUP_OK;
}

static void add_pipe(struct race *r, struct row *row)
{
    static const char *const names[PIPE_WAYS] = {"plan", "op by op", "op by op, oneDNN"};
    for (int i = 0; i < PIPE_WAYS; i++)
        if (pipe_has(r->pipe, (enum pipe_way)i)) add_racer(r, row, names[i], i);
}

static sunup_status add_makers(struct race *r, struct row *row)
{
    for (int i = 0; i < r->p.n_ways; i++) {
        if (is_hopeless(r, row, i)) continue;
        if (i == r->p.chosen) row->chosen = row->n_ways;
        add_racer(r, row, r->p.ways[i].maker->name, i);
    }
    return add_plan(r, row);
}

static sunup_status prepare_copy(struct race *r, const struct row *row)
{
    r->copy_bytes = (int64_t)(row->bytes / 2) + 64;
    r->from = sunup__alloc_aligned((size_t)r->copy_bytes);
    r->to = sunup__alloc_aligned((size_t)r->copy_bytes);
    CHECK(r->from != NULL && r->to != NULL, r->k->b->c->ctx, E_MEMORY,
          "no memory for the copy beside '%s'", row->text);
    memset(r->from, 1, (size_t)r->copy_bytes);
    memset(r->to, 2, (size_t)r->copy_bytes);
    return SUNUP_OK;
}

static sunup_status line_up(struct race *r, struct row *row)
{
    if (r->pipe != NULL)
        add_pipe(r, row);
    else
        TRY(add_makers(r, row));
    TRY(add_torch(r, row));
    for (int i = 0; i < r->n_racers; i++) {
        struct racer *a = &r->racers[i];
        TRY(calibrate(r, a));
        a->once = a->call_s > r->k->seconds / 4 && a->way != &row->ways[row->chosen];
        if (a->once) add_sample(&a->way->t, a->call_s);
    }
    return prepare_copy(r, row);
}

/* ---------------------------------------------------------------------------- rounds --- */

static sunup_status turn(struct race *r, struct racer *a)
{
    double s;
    if (a->once) return SUNUP_OK;
    TRY(sunup__fault_step(r->k->b->c->ctx, r->k->b->turns++, 0));
    (void)usleep(PAUSE_US);
    const double warm = warm_s / a->call_s;
    if (!r->k->cold) TRY(time_racer(r, a, warm < 1 ? 1 : (int64_t)warm, &s));
    TRY(time_racer(r, a, a->calls, &s));
    add_sample(&a->way->t, s);
    return SUNUP_OK;
}

/* The two bounds in the same round; a small copy is repeated, as a small problem is. */
static void time_bounds(struct race *r)
{
    sunup_context *ctx = r->k->b->c->ctx;
    const int64_t copies = r->k->cold ? 1 : 1 + (int64_t)2e6 / r->copy_bytes;
    (void)usleep(PAUSE_US);
    const double from_s = sunup__now_s();
    while (!r->k->cold && sunup__now_s() - from_s < warm_s)
        (void)bench_copy(ctx, r->from, r->to, r->copy_bytes);
    double s = 0;
    for (int64_t i = 0; i < copies; i++) {
        sweep(r->k);
        s += bench_copy(ctx, r->from, r->to, r->copy_bytes);
    }
    add_sample(&r->copy, s / (double)copies);
    add_sample(&r->fma, fmax(bench_fma(ctx, r->kernels),
                             bench_fma(ctx, r->kernels))); /* of the two: threads wake */
}

static sunup_status run_rounds(struct race *r)
{
    const double from_s = sunup__now_s();
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        if (round >= LEAST_ROUNDS && sunup__now_s() - from_s > r->k->seconds) break;
        for (int i = 0; i < r->n_racers; i++) TRY(turn(r, &r->racers[i]));
        time_bounds(r);
    }
    return SUNUP_OK;
}

static void judge(struct race *r, struct row *row)
{
    for (int i = 0; i < row->n_ways; i++) sampled_finish(&row->ways[i].t);
    sampled_finish(&r->copy);
    sampled_finish(&r->fma);
    row->copy_s = r->copy.median_s;
    row->fma_per_s = r->fma.median_s;
    const double compute_s = row->flops / row->fma_per_s;
    row->by_memory = row->copy_s > compute_s;
    row->bound_s = row->by_memory ? row->copy_s : compute_s;
    row->canary = r->copy;
    for (int i = 0; i < r->fma.n && !row->by_memory; i++)
        row->canary.s[i] = row->flops / r->fma.s[i];
}

static sunup_status open_pipe(struct race *r, const char *problem, struct row *row)
{
    TRY(pipe_open(r->k->b->c->ctx, problem, &r->pipe));
    (void)snprintf(row->text, sizeof row->text, "%s", pipe_text(r->pipe));
    row->flops = pipe_cost(r->pipe).flops;
    row->bytes = pipe_cost(r->pipe).bytes;
    return SUNUP_OK;
}

static sunup_status open_problem(struct race *r, const char *problem, struct row *row)
{
    TRY(sunup__problem_open(r->k->b->c->ctx, problem, &r->p));
    r->p.weights_stay = true;
    (void)snprintf(row->text, sizeof row->text, "%s", r->p.text);
    row->flops = bench_flops(r->p.node);
    row->bytes = sunup__node_cost(r->p.node).bytes;
    return SUNUP_OK;
}

static sunup_status race(struct race *r, const char *problem, struct row *row)
{
    TRY(sunup__kernels(r->k->b->c->ctx, &r->kernels));
    TRY(strchr(problem, '|') != NULL ? open_pipe(r, problem, row) : open_problem(r, problem, row));
    TRY(line_up(r, row));
    TRY(run_rounds(r));
    judge(r, row);
    return SUNUP_OK;
}

sunup_status bench_race(struct kernel_bench *k, const char *problem, struct row *row)
{
    struct race *r = sunup__alloc(sizeof *r);
    CHECK(r != NULL, k->b->c->ctx, E_MEMORY, "no memory for a race");
    r->k = k;
    const sunup_status status = race(r, problem, row);
    sunup_plan_destroy(&r->plan);
    pipe_close(&r->pipe);
    sunup__problem_close(&r->p);
    sunup__free(r->from);
    sunup__free(r->to);
    sunup__free(r);
    return status;
}

/* ---------------------------------------------------------------------------- leaves --- */

/* One thread, one process, one after the other: a leaf has no peers. */
sunup_status bench_leaf(struct kernel_bench *k, const char *problem, struct row *row)
{
    sunup_context *ctx = k->b->c->ctx;
    const struct kernels *table;
    TRY(sunup__kernels(ctx, &table));
    const struct peak peak = sunup__kernels_peak(table);
    const char *const isas[] = {sunup_context_isa(ctx), "ref"};
    (void)snprintf(row->text, sizeof row->text, "%s", problem);
    for (int i = 0; i < 2; i++) {
        struct bench_result b;
        TRY(sunup__kernels_bench(ctx, problem, isas[i], k->seconds / 4, &b));
        struct timed_way *w = &row->ways[row->n_ways++];
        (void)snprintf(w->name, sizeof w->name, "%s leaf", isas[i]);
        w->t = (struct sampled){.s = {b.median_s},
                                .n = 1,
                                .median_s = b.median_s,
                                .q1_s = b.median_s - b.spread_s / 2,
                                .q3_s = b.median_s + b.spread_s / 2};
        row->flops = b.flops;
        row->bytes = b.bytes;
        if (strcmp(isas[0], "ref") == 0) break;
    }
    row->fma_per_s = peak.flops_per_s;
    row->copy_s = row->bytes / peak.copy_bytes_per_s;
    row->by_memory = row->copy_s > row->flops / peak.flops_per_s;
    row->bound_s = row->by_memory ? row->copy_s : row->flops / peak.flops_per_s;
    return SUNUP_OK;
}
