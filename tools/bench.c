/* bench.c - `sunup bench`: kernels by problem, whole training steps by run file, each as share of the ceiling.
 *
 * A time alone is no verdict: every row of a kernel shows its share of what bounds it on this machine, measured in
 * this process (peak f32 FMA rate and copy bandwidth of one thread), and its ratio to the plain-C reference.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "device/device.h"
#include "kernels/check.h"
#include "program.h"
#include "train/train.h"

struct ceiling {
    bool known;
    struct peak peak;
};

struct row {
    const char *problem;
    struct bench_result ours, ref;
    double bound_s; /* what the ceilings allow */
    bool by_memory;
};

/* Once, and not before it is wanted: it takes 128 MiB. */
static sunup_status find_ceilings(struct command *c, struct ceiling *top)
{
    if (top->known) return SUNUP_OK;
    const struct kernels *k;
    TRY(sunup__kernels(c->ctx, &k));
    *top = (struct ceiling){.known = true, .peak = sunup__kernels_peak(k)};
    if (!c->json)
        (void)printf("  ceilings of one thread, kernels %s: %.1f GFLOP/s f32, copy %.1f GB/s\n",
                     k->isa, 1e-9 * top->peak.flops_per_s, 1e-9 * top->peak.copy_bytes_per_s);
    return SUNUP_OK;
}

static sunup_status measure(struct command *c, const struct ceiling *top, const char *problem,
                            struct row *r)
{
    const double seconds = c->seconds > 0 ? c->seconds : 0.3;
    r->problem = problem;
    TRY(sunup__kernels_bench(c->ctx, problem, NULL, seconds, &r->ours));
    TRY(sunup__kernels_bench(c->ctx, problem, "ref", seconds / 3, &r->ref));
    const double compute_s = r->ours.flops / top->peak.flops_per_s;
    const double memory_s = r->ours.bytes / top->peak.copy_bytes_per_s;
    r->by_memory = memory_s > compute_s;
    r->bound_s = r->by_memory ? memory_s : compute_s;
    return SUNUP_OK;
}

static void show(const struct row *r)
{
    const double s = r->ours.median_s;
    (void)printf(
        "  %-36s %10.2f us  +-%4.1f %%  %8.1f GFLOP/s %7.1f GB/s  %5.1f %% of %s  %6.1fx ref\n",
        r->problem, 1e6 * s, 100 * r->ours.spread_s / s, 1e-9 * r->ours.flops / s,
        1e-9 * r->ours.bytes / s, 100 * r->bound_s / s, r->by_memory ? "copy" : "FMA ",
        r->ref.median_s / s);
}

static json_t *row_json(const struct row *r)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:s, s:f, s:f}", "problem", r->problem, "median_s",
                     r->ours.median_s, "spread_s", r->ours.spread_s, "flops", r->ours.flops,
                     "bytes", r->ours.bytes, "bound", r->by_memory ? "copy" : "fma", "share",
                     r->bound_s / r->ours.median_s, "ratio_to_ref",
                     r->ref.median_s / r->ours.median_s);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct step_times {
    int64_t n;
    double *s;
    double first_s; /* from the program's start to the end of the first step */
};

static sunup_status time_steps(struct command *c, struct session *s, struct step_times *t)
{
    t->n = c->steps > 0 ? c->steps : 200;
    t->s = sunup__alloc((size_t)t->n * sizeof *t->s);
    CHECK(t->s != NULL, c->ctx, E_MEMORY, "no memory for %lld times", (long long)t->n);
    s->run.o.run_dir = NULL;
    s->run.o.max_steps = t->n + 10;
    s->run.o.epochs = 1e6;
    TRY(session_start(c, s));
    for (int64_t i = -10; i < t->n; i++) { /* the first ten warm caches and branch predictors */
        const double from = sunup__now_s();
        TRY(sunup_trainer_step(s->trainer, NULL));
        if (i == -10) t->first_s = sunup__now_s() - c->start_s;
        if (i >= 0) t->s[i] = sunup__now_s() - from;
    }
    qsort(t->s, (size_t)t->n, sizeof *t->s, by_value);
    return SUNUP_OK;
}

struct run_row {
    const char *name;
    double median_s, spread_s, first_s, flops, share;
    int64_t peak_bytes;
    int threads;
};

static void show_run(const struct run_row *r)
{
    (void)printf("  %-36s %10.3f ms/step +-%4.1f %%  %8.1f GFLOP/s  %5.1f %% of FMA x %d threads, "
                 "first step after %.1f ms, peak %.0f MB\n",
                 r->name, 1e3 * r->median_s, 100 * r->spread_s / r->median_s,
                 1e-9 * r->flops / r->median_s, 100 * r->share, r->threads, 1e3 * r->first_s,
                 1e-6 * (double)r->peak_bytes);
}

static json_t *run_json(const struct run_row *r)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:I}", "run", r->name, "median_s", r->median_s,
                     "spread_s", r->spread_s, "flops", r->flops, "share", r->share, "first_step_s",
                     r->first_s, "peak_bytes", (json_int_t)r->peak_bytes);
}

static sunup_status measure_run(struct command *c, struct ceiling *top, struct session *s,
                                struct run_row *r)
{
    struct step_times t = {0};
    TRY(session_load(c, s));
    const sunup_status status = time_steps(c, s, &t);
    if (status == SUNUP_OK) {
        const int64_t peak_bytes = sunup__memory_peak(); /* before the ceilings take memory */
        TRY(find_ceilings(c, top));
        const double flops = sunup__trainer_plan(s->trainer).flops * s->run.o.shards;
        const int threads = sunup_context_threads(c->ctx);
        *r = (struct run_row){.name = c->operand[0],
                              .median_s = t.s[t.n / 2],
                              .spread_s = t.s[t.n * 3 / 4] - t.s[t.n / 4],
                              .first_s = t.first_s,
                              .flops = flops,
                              .share = flops / t.s[t.n / 2] / (top->peak.flops_per_s * threads),
                              .peak_bytes = peak_bytes,
                              .threads = threads};
    }
    sunup__free(t.s);
    return status;
}

static bool is_run_file(const char *operand)
{
    return strstr(operand, ".yaml") != NULL || strstr(operand, ".yml") != NULL;
}

static sunup_status bench_run(struct command *c, struct ceiling *top, const char *path,
                              json_t *rows)
{
    struct command one = *c; /* its own operand and ranks */
    struct session s = {0};
    struct run_row r;
    one.operand[0] = path;
    const sunup_status status = measure_run(&one, top, &s, &r);
    if (status == SUNUP_OK && c->json) (void)json_array_append_new(rows, run_json(&r));
    if (status == SUNUP_OK && !c->json) show_run(&r);
    session_close(&s);
    c->comm = one.comm;
    return status;
}

static sunup_status bench_kernel(struct command *c, struct ceiling *top, const char *problem,
                                 json_t *rows)
{
    struct row r = {0};
    TRY(find_ceilings(c, top));
    TRY(measure(c, top, problem, &r));
    if (c->json)
        (void)json_array_append_new(rows, row_json(&r));
    else
        show(&r);
    return SUNUP_OK;
}

int verb_bench(struct command *c)
{
    struct ceiling top = {0};
    json_t *rows = json_array();
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < c->n_operands && status == SUNUP_OK; i++) {
        const char *what = c->operand[i];
        status =
            is_run_file(what) ? bench_run(c, &top, what, rows) : bench_kernel(c, &top, what, rows);
    }
    if (status == SUNUP_OK && c->json)
        print_json(json_pack("{s:s, s:f, s:f, s:O}", "isa", sunup_context_isa(c->ctx),
                             "peak_flops_per_s", top.peak.flops_per_s, "copy_bytes_per_s",
                             top.peak.copy_bytes_per_s, "rows", rows));
    json_decref(rows);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
