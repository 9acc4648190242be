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
    struct peak peak;
    const char *isa;
};

struct row {
    const char *problem;
    struct bench_result ours, ref;
    double bound_s; /* what the ceilings allow */
    bool by_memory;
};

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
    double first_s; /* from here to the end of the first step: plan, memory, first touch */
};

static sunup_status time_steps(struct command *c, struct session *s, struct step_times *t)
{
    const double start = sunup__now_s();
    t->n = c->steps > 0 ? c->steps : 200;
    t->s = sunup__alloc((size_t)t->n * sizeof *t->s);
    CHECK(t->s != NULL, c->ctx, E_MEMORY, "no memory for %lld times", (long long)t->n);
    s->run.o.run_dir = NULL;
    s->run.o.max_steps = t->n + 10;
    s->run.o.epochs = 1e6;
    sunup_trainer_destroy(&s->trainer);
    TRY(sunup_trainer_create(s->model, s->train, c->comm, &s->run.o, &s->trainer));
    for (int64_t i = -10; i < t->n; i++) { /* the first ten warm caches and branch predictors */
        const double from = sunup__now_s();
        TRY(sunup_trainer_step(s->trainer, NULL));
        if (i == -10) t->first_s = sunup__now_s() - start;
        if (i >= 0) t->s[i] = sunup__now_s() - from;
    }
    qsort(t->s, (size_t)t->n, sizeof *t->s, by_value);
    return SUNUP_OK;
}

static sunup_status bench_run(struct command *c, const struct ceiling *top, struct session *s,
                              json_t *rows)
{
    struct step_times t = {0};
    const sunup_status status = time_steps(c, s, &t);
    if (status == SUNUP_OK) {
        const sunup_plan_info info = sunup__trainer_plan(s->trainer);
        const double flops = info.flops * s->run.o.shards, median = t.s[t.n / 2];
        const double share =
            flops / median / (top->peak.flops_per_s * sunup_context_threads(c->ctx));
        const double spread = t.s[t.n * 3 / 4] - t.s[t.n / 4];
        if (c->json)
            (void)json_array_append_new(
                rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:I}", "run", c->operand[0], "median_s",
                                median, "spread_s", spread, "flops", flops, "share", share,
                                "peak_bytes", (json_int_t)sunup__memory_peak()));
        else
            (void)printf("  %-36s %10.3f ms/step +-%4.1f %%  %8.1f GFLOP/s  %5.1f %% of FMA x %d "
                         "threads, first step "
                         "%.1f ms, peak %.0f MB\n",
                         c->operand[0], 1e3 * median, 100 * spread / median, 1e-9 * flops / median,
                         100 * share, sunup_context_threads(c->ctx), 1e3 * t.first_s,
                         1e-6 * (double)sunup__memory_peak());
    }
    sunup__free(t.s);
    return status;
}

static bool is_run_file(const char *operand)
{
    return strstr(operand, ".yaml") != NULL || strstr(operand, ".yml") != NULL;
}

static sunup_status bench(struct command *c, const struct ceiling *top, json_t *rows)
{
    for (int i = 0; i < c->n_operands; i++) {
        if (is_run_file(c->operand[i])) {
            struct command one = *c;
            struct session s;
            one.operand[0] = c->operand[i];
            sunup_status status = session_open(&one, &s);
            if (status == SUNUP_OK) status = bench_run(&one, top, &s, rows);
            session_close(&s);
            c->comm = one.comm; /* for the report of a failure; the program ends it */
            if (status != SUNUP_OK || i + 1 == c->n_operands) return status;
            sunup_comm_destroy(&c->comm);
            continue;
        }
        struct row r = {0};
        TRY(measure(c, top, c->operand[i], &r));
        if (c->json)
            (void)json_array_append_new(rows, row_json(&r));
        else
            show(&r);
    }
    return SUNUP_OK;
}

int verb_bench(struct command *c)
{
    const struct kernels *k;
    sunup_status status = sunup__kernels(c->ctx, &k);
    if (status != SUNUP_OK) return fail(c, status);
    const struct ceiling top = {.peak = sunup__kernels_peak(k), .isa = k->isa};
    json_t *rows = json_array();
    if (!c->json)
        (void)printf("  ceilings of one thread, kernels %s: %.1f GFLOP/s f32, copy %.1f GB/s\n",
                     top.isa, 1e-9 * top.peak.flops_per_s, 1e-9 * top.peak.copy_bytes_per_s);
    status = bench(c, &top, rows);
    if (status == SUNUP_OK && c->json)
        print_json(json_pack("{s:s, s:f, s:f, s:O}", "isa", top.isa, "peak_flops_per_s",
                             top.peak.flops_per_s, "copy_bytes_per_s", top.peak.copy_bytes_per_s,
                             "rows", rows));
    json_decref(rows);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
