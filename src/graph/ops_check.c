/* ops_check.c - see ops_check.h. */
#include "graph/ops_check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "graph/interpret.h"

enum { MAX_SOURCES = 16, MAX_OUTPUTS = MAX_SOURCES + 1, DIRECTIONS = 2, PROBES = 8 };

/* A case built in one type: y, the gradients with respect to its floating operands, and what feeds
 * them. */
struct built {
    sunup_graph *g;
    sunup_value
        *source[MAX_SOURCES]; /* inputs, parameters and states in order of building; dy last */
    int n_sources;
    sunup_value *wrt[MAX_SOURCES]; /* the floating ones of them without dy                        */
    int n_wrt;
    sunup_value *dy; /* NULL: no gradients                                          */
    sunup_value
        *output[MAX_OUTPUTS + MAX_SOURCES]; /* y, the gradients; beyond n_outputs the sources */
    int n_outputs;
    struct interpreter run;
};

/* One case under check. The first failure is kept. */
struct trial {
    sunup_context *ctx;
    const struct op *op;
    const struct op_case *op_case;
    const struct kernels *kernels;
    uint64_t seed;
    struct built f32, f64;
    double worst;
    bool failed;
    char failure[512];
};

__attribute__((format(printf, 2, 3))) static void fail(struct trial *t, const char *format, ...)
{
    if (t->failed) return;
    t->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->failure, sizeof t->failure, format, arguments);
    va_end(arguments);
}

/* Error as a share of its bound; NaN and anything above 1 is a failure. */
static bool within(struct trial *t, double error, double bound)
{
    const double share = error <= bound ? (bound > 0 ? error / bound : 0) : INFINITY;
    if (share > t->worst) t->worst = share;
    return error <= bound;
}

/* -------------------------------------------------------------------- numbers --- */

static int64_t elements(const sunup_value *v)
{
    return sunup__elements(&v->shape);
}

static double get(const struct built *b, const sunup_value *v, int64_t i)
{
    const void *p = sunup__interpreter_memory(&b->run, v);
    switch (v->dtype) {
    case SUNUP_F32:
        return (double)((const float *)p)[i];
    case SUNUP_F64:
        return ((const double *)p)[i];
    case SUNUP_I32:
        return ((const int32_t *)p)[i];
    case SUNUP_U8:
        return ((const uint8_t *)p)[i];
    }
    return NAN;
}

static void set(const struct built *b, const sunup_value *v, int64_t i, double x)
{
    void *p = sunup__interpreter_memory(&b->run, v);
    switch (v->dtype) {
    case SUNUP_F32:
        ((float *)p)[i] = (float)x;
        break;
    case SUNUP_F64:
        ((double *)p)[i] = x;
        break;
    case SUNUP_I32:
        ((int32_t *)p)[i] = (int32_t)floor(x);
        break;
    case SUNUP_U8:
        ((uint8_t *)p)[i] = (uint8_t)floor(x);
        break;
    }
}

static double draw(const struct trial *t, uint32_t stream, int64_t i)
{
    const struct random_stream s = {t->seed, RANDOM_TEST, stream, 0};
    return sunup__random_unit(&s, (uint64_t)i);
}

/* The same numbers in both types: they are f32. */
static void fill_sources(const struct trial *t, const struct built *b)
{
    for (int k = 0; k < b->n_sources; k++) {
        const sunup_value *v = b->source[k];
        const struct source_attr *s = sunup__source(v);
        const bool given = s->low != 0 || s->high != 0;
        const double low = given ? s->low : sunup__is_float(v->dtype) ? -1.5 : 0;
        const double high = given ? s->high : sunup__is_float(v->dtype) ? 1.5 : 3;
        for (int64_t i = 0; i < elements(v); i++)
            set(b, v, i, (double)(float)(low + (high - low) * draw(t, (uint32_t)k, i)));
    }
}

static bool run(struct trial *t, struct built *b, int threads)
{
    b->run.kernels = t->kernels;
    b->run.threads = threads;
    b->run.key = (sunup_random_key){t->seed, 3, 5};
    if (sunup__interpreter_run(&b->run) == SUNUP_OK) return true;
    fail(t, "%s", sunup_error(t->ctx));
    return false;
}

/* ------------------------------------------------------------------- building --- */

static bool collect_sources(struct built *b)
{
    for (int i = 0; i < b->g->n_nodes; i++) {
        sunup_value *v = b->g->nodes[i]->out[0];
        const struct source_attr *s = sunup__source(v);
        if (!s || s->kind == SOURCE_CONSTANT) continue;
        if (b->n_sources == MAX_SOURCES - 1) return false;
        b->source[b->n_sources++] = v;
        if (sunup__is_float(v->dtype)) b->wrt[b->n_wrt++] = v;
    }
    return true;
}

static void add_gradients(struct built *b)
{
    sunup_value *y = b->output[0];
    b->dy = sunup_input(b->g, "dy of the check", y->dtype, y->shape);
    b->source[b->n_sources++] = b->dy;
    sunup_gradient_from(y, b->dy, b->n_wrt, b->wrt, b->output + 1);
    b->n_outputs += b->n_wrt;
}

static bool build(struct trial *t, sunup_dtype dtype, struct built *b)
{
    sunup_graph_options options = sunup_graph_defaults();
    options.training = true;
    options.dtype = dtype;
    if (sunup_graph_create(t->ctx, &options, &b->g) != SUNUP_OK) return false;
    b->output[0] = t->op_case->build(b->g);
    b->n_outputs = 1;
    if (!b->output[0]) return false;
    if (sunup_graph_finish(b->g) != SUNUP_OK || !collect_sources(b)) return false;
    if (t->op->grad && sunup__is_float(b->output[0]->dtype)) add_gradients(b);
    if (sunup_graph_finish(b->g) != SUNUP_OK) return false;
    /* As if they were outputs, so that sources have memory even where nothing reads them. */
    memcpy(b->output + b->n_outputs, b->source, (size_t)b->n_sources * sizeof *b->source);
    return sunup__interpreter_create(b->g, b->n_outputs + b->n_sources, b->output, &b->run) ==
           SUNUP_OK;
}

static void unbuild(struct built *b)
{
    if (b->run.g) sunup__interpreter_end(&b->run);
    sunup_graph_destroy(&b->g);
}

static const char *output_name(const struct built *b, int o, char room[96])
{
    if (o == 0) return "the output";
    snprintf(room, 96, "the gradient of '%s'", b->wrt[o - 1]->name);
    return room;
}

/* ------------------------------------------------------------------- gradient --- */

static const double step = 0x1p-17; /* h */

/* Moves operand k by `by` along direction d, from the numbers kept in `at`. */
static void move(const struct trial *t, int k, int d, const double *at, double by)
{
    const struct built *b = &t->f64;
    const uint32_t stream = (uint32_t)(100 + k * DIRECTIONS + d);
    for (int64_t i = 0; i < elements(b->wrt[k]); i++)
        set(b, b->wrt[k], i, at[i] + by * (2 * draw(t, stream, i) - 1));
}

struct sums {
    double value, size; /* of the terms; of their absolute values */
};

static void add_term(struct sums *s, double x)
{
    s->value += x;
    s->size += fabs(x);
}

/* <y, u> scaled: u is dy, which the gradient graph was given. */
static void add_outputs(const struct built *b, double scale, struct sums *s)
{
    const sunup_value *y = b->output[0];
    for (int64_t i = 0; i < elements(y); i++) {
        const double term = scale * get(b, y, i) * get(b, b->dy, i);
        s->value += term;
        s->size += fabs(term);
    }
}

/* at: operand k's numbers; slope: its gradient, both [elements]. */
static void check_direction(struct trial *t, int k, int d, const double *at, const double *slope)
{
    struct built *b = &t->f64;
    const uint32_t stream = (uint32_t)(100 + k * DIRECTIONS + d);
    struct sums forward = {0, 0}, backward = {0, 0};
    for (int sign = -1; sign <= 1; sign += 2) {
        move(t, k, d, at, sign * step);
        if (!run(t, b, 1)) return;
        add_outputs(b, sign / (2 * step), &forward);
    }
    move(t, k, d, at, 0);
    for (int64_t i = 0; i < elements(b->wrt[k]); i++)
        add_term(&backward, slope[i] * (2 * draw(t, stream, i) - 1));
    const double error = fabs(forward.value - backward.value);
    const double size = forward.size * 2 * step + backward.size;
    const double bound = (64 * 0x1p-52 / step + 1000 * step * step) * size;
    if (!within(t, error, bound))
        fail(t,
             "the gradient of operand '%s' is wrong: along direction %d the output changes by "
             "%.12g, the gradient "
             "says %.12g; they may differ by %.3g",
             b->wrt[k]->name, d, forward.value, backward.value, bound);
}

static void check_operand(struct trial *t, int k)
{
    struct built *b = &t->f64;
    const int64_t n = elements(b->wrt[k]);
    double *at = sunup__alloc((size_t)(2 * n) * sizeof *at), *slope = at + n;
    if (!at) {
        fail(t, "no memory for the check");
        return;
    }
    if (run(t, b, 1)) {
        for (int64_t i = 0; i < n; i++) {
            at[i] = get(b, b->wrt[k], i);
            slope[i] = get(b, b->output[k + 1], i);
        }
        for (int d = 0; d < DIRECTIONS && !t->failed; d++) check_direction(t, k, d, at, slope);
    }
    sunup__free(at);
}

static void check_gradients(struct trial *t)
{
    for (int k = 0; k < t->f64.n_wrt && t->f64.dy && !t->failed; k++) check_operand(t, k);
}

/* ------------------------------------------------------------------ precision --- */

/* Numbers of all outputs, one after the other. */
static double *all_outputs(const struct built *b, int64_t *total)
{
    *total = 0;
    for (int o = 0; o < b->n_outputs; o++) *total += elements(b->output[o]);
    double *numbers = sunup__alloc((size_t)*total * sizeof *numbers);
    for (int o = 0, at = 0; o < b->n_outputs && numbers; o++)
        for (int64_t i = 0; i < elements(b->output[o]); i++)
            numbers[at++] = get(b, b->output[o], i);
    return numbers;
}

/* Multiplies all floating operands by 1 +- delta; returns how many elements they have. */
static int64_t perturb(const struct trial *t, int probe, double delta)
{
    const struct built *b = &t->f64;
    int64_t n = 0;
    for (int k = 0; k < b->n_sources; k++) {
        const sunup_value *v = b->source[k];
        if (!sunup__is_float(v->dtype)) continue;
        n += elements(v);
        for (int64_t i = 0; i < elements(v); i++) {
            const bool up = draw(t, (uint32_t)(1000 + probe * MAX_SOURCES + k), i) < 0.5;
            set(b, v, i, get(b, v, i) * (up ? 1 + delta : 1 - delta));
        }
    }
    return n;
}

/* square[i] += (response of output i to a relative change of size 1)^2. */
static int64_t add_response(struct trial *t, int probe, const double *y, double *square)
{
    const double delta = 0x1p-20;
    struct built *b = &t->f64;
    fill_sources(t, b);
    const int64_t n = perturb(t, probe, delta);
    if (!run(t, b, 1)) return n;
    for (int64_t o = 0, at = 0; o < b->n_outputs; o++)
        for (int64_t i = 0; i < elements(b->output[o]); i++, at++) {
            const double change = (get(b, b->output[o], i) - y[at]) / delta;
            square[at] += change * change;
        }
    return n;
}

static void compare_output(struct trial *t, int o, const double *want, const double *square,
                           int64_t n)
{
    const struct built *b = &t->f32;
    const sunup_value *v = b->output[o];
    const bool exact = !sunup__is_float(v->dtype);
    double largest = 0, response = 0;
    for (int64_t i = 0; i < elements(v); i++) {
        largest = fmax(largest, fabs(want[i]));
        response = fmax(response, sqrt(square[i] / PROBES));
    }
    const double bound =
        exact ? 0 : 2 * 0x1p-24 * (largest + sqrt((double)n) * response) + 0x1p-149;
    for (int64_t i = 0; i < elements(v) && !t->failed; i++) {
        char room[96];
        if (!within(t, fabs(get(b, v, i) - want[i]), bound))
            fail(t, "element %lld of %s is %.9g in f32 but %.9g in f64; they may differ by %.3g",
                 (long long)i, output_name(b, o, room), get(b, v, i), want[i], bound);
    }
}

static void check_precision(struct trial *t)
{
    int64_t total = 0, n = 0;
    fill_sources(t, &t->f64);
    if (!run(t, &t->f32, 1) || !run(t, &t->f64, 1)) return;
    double *y = all_outputs(&t->f64, &total);
    double *square = sunup__alloc((size_t)total * sizeof *square);
    if (!y || !square) fail(t, "no memory for the check");
    for (int probe = 0; probe < PROBES && !t->failed; probe++)
        n = add_response(t, probe, y, square);
    for (int64_t o = 0, at = 0; o < t->f32.n_outputs && !t->failed; o++) {
        compare_output(t, (int)o, y + at, square + at, n);
        at += elements(t->f32.output[o]);
    }
    sunup__free(square);
    sunup__free(y);
}

/* -------------------------------------------------------------------- threads --- */

static void check_threads(struct trial *t, struct built *b)
{
    int64_t total = 0, again = 0;
    fill_sources(t, b);
    if (!run(t, b, 1)) return;
    double *one = all_outputs(b, &total);
    for (int threads = 2; threads <= 3 && !t->failed && one; threads++) {
        if (!run(t, b, threads)) break;
        double *more = all_outputs(b, &again);
        if (!more)
            fail(t, "no memory for the check");
        else if (memcmp(one, more, (size_t)total * sizeof *one) != 0)
            fail(t, "%d threads give other bits than 1, in %s", threads,
                 sunup_dtype_name(sunup_graph_dtype(b->g)));
        sunup__free(more);
    }
    if (!one) fail(t, "no memory for the check");
    sunup__free(one);
}

/* --------------------------------------------------------------------- report --- */

static void run_trial(struct trial *t)
{
    if (!build(t, SUNUP_F32, &t->f32) || !build(t, SUNUP_F64, &t->f64)) {
        const char *why = sunup_error(t->ctx);
        fail(t, "the case does not build: %s", why[0] ? why : "NULL, or too many operands");
    }
    if (!t->failed) {
        fill_sources(t, &t->f32);
        fill_sources(t, &t->f64);
        check_gradients(t);
    }
    if (!t->failed) check_precision(t);
    if (!t->failed) check_threads(t, &t->f32);
    if (!t->failed) check_threads(t, &t->f64);
    unbuild(&t->f32);
    unbuild(&t->f64);
}

static void tell(struct check_report *report, const struct check_result *r)
{
    report->results++;
    report->failures += r->failure != NULL;
    if (report->each) report->each(report->arg, r);
}

static const char *after_colon(const char *problem)
{
    const char *colon = strchr(problem, ':');
    return colon ? colon + 1 : problem;
}

static void check_case(sunup_context *ctx, const struct op *op, const struct op_case *c,
                       const struct kernels *kernels, struct check_report *report)
{
    const int seeds = report->seeds > 0 ? report->seeds : 1;
    char failure[sizeof((struct trial *)0)->failure] = "";
    struct check_result r = {op->name, after_colon(c->problem), kernels->isa, 0, 0, 0, NULL};
    for (int s = 0; s < seeds && !r.failure; s++) {
        struct trial t = {.ctx = ctx, .op = op, .op_case = c, .kernels = kernels};
        t.seed = r.seed = report->first_seed + (uint64_t)s;
        run_trial(&t);
        r.runs++;
        r.worst = fmax(r.worst, t.worst);
        if (!t.failed) continue;
        memcpy(failure, t.failure, sizeof failure);
        r.failure = failure;
    }
    tell(report, &r);
}

void sunup__op_check(sunup_context *ctx, const struct op *op, const char *problem,
                     const struct kernels *kernels, struct check_report *report)
{
    for (int c = 0; c < op->n_cases; c++)
        if (!problem || strcmp(op->cases[c].problem, problem) == 0)
            check_case(ctx, op, &op->cases[c], kernels, report);
    if (op->n_cases > 0 || !op->grad) return;
    const struct check_result r = {op->name,
                                   "",
                                   kernels->isa,
                                   0,
                                   0,
                                   INFINITY,
                                   "it has a gradient rule but no cases to check it by"};
    tell(report, &r);
}

static sunup_status check_level(sunup_context *ctx, const char *filter,
                                const struct kernels *kernels, struct check_report *report)
{
    const int64_t before = report->results;
    const size_t length = filter ? strcspn(filter, ":") : 0;
    for (int i = 0; sunup__op_at(i); i++) {
        const struct op *op = sunup__op_at(i);
        const bool named =
            strlen(op->name) == length && strncmp(op->name, filter ? filter : "", length) == 0;
        if (!filter || named)
            sunup__op_check(ctx, op, filter && filter[length] ? filter : NULL, kernels, report);
    }
    CHECK(report->results > before || !filter, ctx, E_ARGUMENT,
          "check: there is no op or case '%s'", filter);
    return SUNUP_OK;
}

sunup_status sunup__ops_check(sunup_context *ctx, const char *filter, struct check_report *report)
{
    struct kernels kernels;
    const char *first = report->isa ? report->isa : "ref";
    report->results = report->failures = 0;
    CHECK(sunup__kernels_init(&kernels, sunup__cpu_flags(), first), ctx, E_ARGUMENT,
          "check: there is no level '%s' on this machine", first);
    TRY(check_level(ctx, filter, &kernels, report));
    if (report->isa) return SUNUP_OK;
    const char *best = ctx->options.isa; /* NULL: the best this machine has */
    CHECK(sunup__kernels_init(&kernels, sunup__cpu_flags(), best), ctx, E_ARGUMENT,
          "check: there is no level '%s' on this machine", best);
    return strcmp(kernels.isa, "ref") == 0 ? SUNUP_OK : check_level(ctx, filter, &kernels, report);
}
