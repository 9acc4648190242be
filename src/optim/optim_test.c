/* optim_test.c - optimizers and schedules against PyTorch's numbers (tests/golden/make_optim.py), and what the golden
 * values cannot say: chunks, threads, padding, refusals, gradients that are not finite.
 *
 * Bounds: f64 1e-14 of the largest weight. f32 one unit in the last place (2^-23) of it a step: PyTorch rounds each
 * intermediate to f32 (decay, then step), the leaves round once when storing.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <golden/optim_golden.h>
#include <golden/schedule_golden.h>

#include "base/memory.h"
#include "base/system.h"
#include "optim/optim.h"

enum {
    OPTIMIZERS = sizeof golden_optimizers / sizeof golden_optimizers[0],
    SCHEDULES = sizeof golden_schedules / sizeof golden_schedules[0],
    VECTOR_AT = 48,
    FLAT = 64
};

static sunup_context *ctx;
static const struct segment segments[] = {
    {"fc.weight", 0, GOLDEN_MATRIX, false, NULL},
    {"fc.bias", VECTOR_AT, GOLDEN_COUNT - GOLDEN_MATRIX, true, NULL},
};

static struct kernels kernels(const char *isa)
{
    struct kernels k;
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), isa));
    return k;
}

/* Over everything. */
static sunup_status create(const sunup_optimizer_options *o, const struct kernels *k, bool f64,
                           struct optimizer **opt)
{
    const struct optimizer_job job = {
        .k = k, .threads = 2, .f64 = f64, .n = FLAT, .n_segments = 2, .segments = segments};
    return sunup__optimizer_create(ctx, o, &job, opt);
}

static int flat_index(int i)
{
    return i < GOLDEN_MATRIX ? i : VECTOR_AT + i - GOLDEN_MATRIX;
}

/* Golden numbers into a flat array of either type; what lies between the tensors is `padding`. */
static void spread(const double *from, double factor, double padding, bool f64, void *to)
{
    for (int i = 0; i < FLAT; i++) {
        if (f64)
            ((double *)to)[i] = padding;
        else
            ((float *)to)[i] = (float)padding;
    }
    for (int i = 0; i < GOLDEN_COUNT; i++) {
        if (f64)
            ((double *)to)[flat_index(i)] = from[i] * factor;
        else
            ((float *)to)[flat_index(i)] = (float)(from[i] * factor);
    }
}

static double at(const void *flat, bool f64, int i)
{
    return f64 ? ((const double *)flat)[i] : (double)((const float *)flat)[i];
}

/* Largest difference in units of bound * max(1, |w|). */
static double distance(const void *w, bool f64, const double *golden)
{
    double worst = 0;
    for (int i = 0; i < GOLDEN_COUNT; i++) {
        const double d = fabs(at(w, f64, flat_index(i)) - golden[i]) / fmax(1, fabs(golden[i]));
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static void run_golden(const struct golden_optimizer *c, const char *isa, bool f64)
{
    double g[FLAT], w[FLAT], norm;
    const struct kernels k = kernels(isa);
    const double bound = f64 ? 1e-14 : FLT_EPSILON;
    struct optimizer *opt;
    assert_int_equal(create(&c->o, &k, f64, &opt), SUNUP_OK);
    spread(golden_weights, 1, -7, f64, w);
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        spread(golden_gradients + step * GOLDEN_COUNT, 4, NAN, f64, g);
        assert_int_equal(
            sunup__optimizer_step(opt, sunup__optimizer_lr(opt), 0.25, g, w, NULL, &norm),
            SUNUP_OK);
        if (step > 0 && step < GOLDEN_STEPS - 1) continue;
        const double *golden = (f64 ? c->f64 : c->f32) + (step > 0 ? GOLDEN_COUNT : 0);
        const double d = distance(w, f64, golden);
        if (!(d <= bound * (1 + step)))
            fail_msg("%s, %s, step %d: %.2g, more than %.2g", c->options, f64 ? "f64" : isa, step,
                     d, bound * (1 + step));
    }
    assert_true(at(w, f64, GOLDEN_MATRIX) == -7 && at(w, f64, FLAT - 1) == -7);
    assert_int_equal(sunup__optimizer_steps(opt), GOLDEN_STEPS);
    sunup__optimizer_destroy(&opt);
    assert_null(opt);
}

static void agrees_with_golden_steps(void **state)
{
    (void)state;
    for (int i = 0; i < OPTIMIZERS; i++) {
        run_golden(&golden_optimizers[i], "ref", true);
        for (int isa = 0; sunup__isa_name(isa); isa++) {
            if (sunup__isa_runs(isa, sunup__cpu_flags()))
                run_golden(&golden_optimizers[i], sunup__isa_name(isa), false);
        }
    }
}

/* A network's worth of tensors, one of them several ragged chunks, on a number of threads. */
static void run_large(const sunup_optimizer_options *o, int threads, float *w)
{
    enum { N = 16 * 4000 };
    const struct segment large[] = {{"a", 0, 50021, false, NULL},
                                    {"empty", 50048, 0, true, NULL},
                                    {"b", 50048, 13, true, NULL},
                                    {"c", 50064, 2 * 16 - 1, false, NULL}};
    static float g[N];
    const struct kernels k = kernels(NULL);
    const struct optimizer_job job = {
        .k = &k, .threads = threads, .n = N, .n_segments = 4, .segments = large};
    struct optimizer *opt;
    double norm;
    assert_int_equal(sunup__optimizer_create(ctx, o, &job, &opt), SUNUP_OK);
    for (int i = 0; i < N; i++) w[i] = sinf((float)i);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < N; i++) g[i] = cosf((float)(i * (step + 1)));
        assert_int_equal(sunup__optimizer_step(opt, 0.01, 1, g, w, NULL, &norm), SUNUP_OK);
    }
    sunup__optimizer_destroy(&opt);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    enum { N = 16 * 4000 };
    static float one[N], three[N];
    static const char *const types[] = {"sgd", "adam", "ranger", "lars", "lamb"};
    for (int i = 0; i < 5; i++) {
        sunup_optimizer_options o = sunup_optimizer_defaults();
        o.type = types[i];
        o.clip_norm = 1;
        o.momentum = 0.9;
        run_large(&o, 1, one);
        run_large(&o, 3, three);
        assert_memory_equal(one, three, sizeof one);
    }
}

enum { TERMS = 3, ROWS = 29, COLUMNS = 211, PRODUCT = ROWS * COLUMNS, AFTER = 6144, ALL = AFTER + 16 };

/* Two tensors, of which the first has a gradient of factors, or the product that the leaf makes of them. */
static sunup_status run_factors(const char *type, const char *isa, bool f64, bool kept, const void *x, const void *dy,
                                void *w, double *norm)
{
    static double g[ALL];
    const struct factors f = {x, dy, TERMS, ROWS, COLUMNS};
    const struct segment both[] = {{"fc.weight", 0, PRODUCT, false, kept ? NULL : &f},
                                   {"fc.bias", AFTER, 7, true, NULL}};
    const struct kernels k = kernels(isa);
    const struct optimizer_job job = {
        .k = &k, .threads = 2, .f64 = f64, .n = ALL, .n_segments = 2, .segments = both};
    sunup_optimizer_options o = sunup_optimizer_defaults();
    o.type = type;
    o.clip_norm = 1;
    o.weight_decay = 0.01;
    memset(g, kept ? 0 : 0xff, sizeof g); /* NaN where nothing may be read */
    memset((char *)g + AFTER * (f64 ? sizeof(double) : sizeof(float)), 0, 7 * sizeof(double));
    const struct gemm_f32 a = {.m = ROWS, .n = COLUMNS, .k = TERMS, .batch = 1, .a = x, .a_row = 1, .a_col = ROWS,
                               .b = dy, .b_row = COLUMNS, .c = (float *)g, .c_row = COLUMNS};
    const struct gemm_f64 b = {.m = ROWS, .n = COLUMNS, .k = TERMS, .batch = 1, .a = x, .a_row = 1, .a_col = ROWS,
                               .b = dy, .b_row = COLUMNS, .c = g, .c_row = COLUMNS};
    if (kept && f64) k.f64.gemm(&b);
    if (kept && !f64) k.f32.gemm(&a);
    struct optimizer *opt;
    assert_int_equal(sunup__optimizer_create(ctx, &o, &job, &opt), SUNUP_OK);
    sunup_status status = SUNUP_OK;
    for (int step = 0; step < 3 && status == SUNUP_OK; step++)
        status = sunup__optimizer_step(opt, 0.01, 0.5, g, w, NULL, norm);
    sunup__optimizer_destroy(&opt);
    return status;
}

static void put(void *to, bool f64, int n, double factor)
{
    for (int i = 0; i < n; i++) {
        if (f64)
            ((double *)to)[i] = sin(factor * i);
        else
            ((float *)to)[i] = sinf((float)(factor * i));
    }
}

static void factors_have_the_bits_of_their_product(void **state)
{
    (void)state;
    static double x[TERMS * ROWS], dy[TERMS * COLUMNS], w[2][ALL];
    static const char *const types[] = {"sgd", "adam", "ranger", "adamax", "adagrad", "rmsprop", "lars", "lamb"};
    for (int i = 0; i < 8 * 6; i++) {
        static const char *const isas[] = {"ref", "avx2", "avx512", NULL, "ref", NULL};
        const bool f64 = i % 6 >= 4;
        struct kernels k;
        double norm[2];
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), isas[i % 6])) continue;
        put(x, f64, TERMS * ROWS, 1.3);
        put(dy, f64, TERMS * COLUMNS, 0.7);
        for (int kept = 0; kept < 2; kept++) {
            put(w[kept], f64, ALL, 0.9);
            assert_int_equal(run_factors(types[i / 6], isas[i % 6], f64, kept, x, dy, w[kept], &norm[kept]), SUNUP_OK);
        }
        assert_true(norm[0] == norm[1] && norm[0] > 0);
        assert_memory_equal(w[0], w[1], sizeof w[0]);
    }
}

static void factors_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static float x[TERMS * ROWS], dy[TERMS * COLUMNS], w[ALL], before[ALL];
    double norm;
    put(w, false, ALL, 0.9);
    memcpy(before, w, sizeof w);
    put(x, false, TERMS * ROWS, 1.3);
    dy[COLUMNS + 5] = INFINITY;
    assert_int_equal(run_factors("adam", NULL, false, false, x, dy, w, &norm), SUNUP_E_NAN);
    assert_non_null(strstr(sunup_error(ctx), "'fc.weight'"));
    assert_memory_equal(w, before, sizeof w);

    const struct factors f = {x, dy, TERMS, ROWS, COLUMNS - 1};
    const struct segment s = {"fc.weight", 0, PRODUCT, false, &f};
    const struct kernels k = kernels(NULL);
    const struct optimizer_job job = {.k = &k, .threads = 1, .n = PRODUCT, .n_segments = 1, .segments = &s};
    struct optimizer *opt;
    assert_int_equal(sunup__optimizer_create(ctx, NULL, &job, &opt), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "'fc.weight' has 6119 elements, its factors [3][29] and [3][210]"));
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    const struct kernels k = kernels(NULL);
    float g[FLAT] = {1}, w[FLAT] = {1};
    for (int i = 0; i < OPTIMIZERS; i++) {
        struct optimizer *opt;
        double norm;
        assert_int_equal(create(&golden_optimizers[i].o, &k, false, &opt), SUNUP_OK);
        const int64_t before = sunup__allocations();
        assert_int_equal(sunup__optimizer_step(opt, 0.1, 1, g, w, NULL, &norm), SUNUP_OK);
        assert_int_equal(sunup__allocations(), before);
        sunup__optimizer_destroy(&opt);
    }
}

static void says_where_a_gradient_is_not_finite(void **state)
{
    (void)state;
    const struct kernels k = kernels(NULL);
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float g[FLAT] = {1, 2}, w[FLAT] = {3, 4}, before[FLAT];
        struct optimizer *opt;
        double norm;
        memcpy(before, w, sizeof w);
        assert_int_equal(create(NULL, &k, false, &opt), SUNUP_OK);
        g[VECTOR_AT + 1] = (float)bad[i];
        assert_int_equal(sunup__optimizer_step(opt, 0.1, 1, g, w, NULL, &norm), SUNUP_E_NAN);
        assert_non_null(strstr(sunup_error(ctx), "'fc.bias'"));
        assert_memory_equal(w, before, sizeof w);
        assert_int_equal(sunup__optimizer_steps(opt), 0);
        sunup__optimizer_destroy(&opt);
    }
}

static void moments_carry_on(void **state)
{
    (void)state;
    const struct kernels k = kernels(NULL);
    sunup_optimizer_options o = sunup_optimizer_defaults();
    o.type = "rmsprop";
    o.momentum = 0.5;
    float g[FLAT] = {0.5F, -1}, w[FLAT] = {3, 4}, v[FLAT];
    struct optimizer *a, *b;
    double norm;
    create(&o, &k, false, &a);
    create(&o, &k, false, &b);
    assert_int_equal(sunup__optimizer_moments(a), 2);
    assert_string_equal(sunup__optimizer_moment_name(a, 0), "momentum_buffer");
    assert_string_equal(sunup__optimizer_moment_name(a, 1), "square_avg");
    sunup__optimizer_step(a, 0.1, 1, g, w, NULL, &norm);
    assert_true(fabs(norm - sqrt(1.25)) < 1e-15);
    memcpy(v, w, sizeof w);
    for (int i = 0; i < 2; i++) sunup__optimizer_set_moment(b, i, sunup__optimizer_moment(a, i));
    sunup__optimizer_set_steps(b, sunup__optimizer_steps(a));
    sunup__optimizer_step(a, 0.1, 1, g, w, NULL, &norm);
    sunup__optimizer_step(b, 0.1, 1, g, v, NULL, &norm);
    assert_memory_equal(w, v, sizeof w);
    sunup__optimizer_destroy(&a);
    sunup__optimizer_destroy(&b);
}

static void refuses(sunup_optimizer_options o, const char *part)
{
    const struct kernels k = kernels(NULL);
    struct optimizer *opt;
    assert_int_equal(create(&o, &k, false, &opt), SUNUP_E_ARGUMENT);
    assert_null(opt);
    if (!strstr(sunup_error(ctx), part)) fail_msg("'%s' lacks '%s'", sunup_error(ctx), part);
}

static void refuses_bad_optimizers(void **state)
{
    (void)state;
    sunup_optimizer_options o = sunup_optimizer_defaults();
    o.type = "adamm";
    refuses(o, "did you mean 'adam'?");
    o.type = NULL;
    refuses(o, "(null)");
    o = sunup_optimizer_defaults();
    o.lr = -0.1;
    refuses(o, "optimizer.lr is -0.1");
    o.lr = NAN;
    refuses(o, "optimizer.lr");
    o = sunup_optimizer_defaults();
    o.betas[1] = 1;
    refuses(o, "optimizer.betas[1] is 1");
    o = sunup_optimizer_defaults();
    o.nesterov = true;
    refuses(o, "needs momentum");
    o = sunup_optimizer_defaults();
    o.type = "lars";
    o.clip_value = 1;
    refuses(o, "clip_norm");
    o = sunup_optimizer_defaults();
    o.lr_scaling = "sqr";
    refuses(o, "did you mean 'sqrt'?");
    refuses((sunup_optimizer_options){0}, "sunup_optimizer_defaults()");
}

static void survives_no_memory(void **state)
{
    (void)state;
    const struct kernels k = kernels(NULL);
    sunup_optimizer_options o = sunup_optimizer_defaults();
    o.type = "lamb";
    struct optimizer *opt = NULL;
    sunup_status status = SUNUP_E_MEMORY;
    int nth = 0;
    for (; nth < 50 && status != SUNUP_OK; nth++) {
        sunup__fail_allocation(nth);
        status = create(&o, &k, true, &opt);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && opt == NULL));
    }
    assert_true(status == SUNUP_OK && nth > 5);
    sunup__optimizer_destroy(&opt);
}

static void schedules_agree_with_golden_rates(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULES; i++) {
        const struct golden_schedule *c = &golden_schedules[i];
        struct schedule s;
        assert_int_equal(sunup__schedule_create(ctx, &c->o, GOLDEN_LR, GOLDEN_RATES, &s), SUNUP_OK);
        for (int step = 0; step < GOLDEN_RATES; step++) {
            const double lr = sunup__schedule_lr(&s, step);
            if (!(fabs(lr - c->lr[step]) <= 1e-13 * GOLDEN_LR))
                fail_msg("%s, step %d: %.17g, not %.17g", c->options, step, lr, c->lr[step]);
            if (strcmp(s.o.type, "plateau") == 0) sunup__schedule_feed(&s, golden_losses[step]);
        }
    }
}

static void schedules_stay_at_their_end(void **state)
{
    (void)state;
    sunup_schedule_options o = sunup_schedule_defaults();
    struct schedule s;
    o.min_lr = 0.01;
    o.type = "cosine";
    assert_int_equal(sunup__schedule_create(ctx, &o, 1, 10, &s), SUNUP_OK);
    assert_true(sunup__schedule_lr(&s, 10) == 0.01 && sunup__schedule_lr(&s, 1000) == 0.01);
    o.type = "one_cycle";
    assert_int_equal(sunup__schedule_create(ctx, &o, 1, 1, &s), SUNUP_OK);
    assert_true(isfinite(sunup__schedule_lr(&s, 0)) && isfinite(sunup__schedule_lr(&s, 5)));
    o.type = "constant";
    o.warmup_steps = 4;
    assert_int_equal(sunup__schedule_create(ctx, &o, 1, 0, &s), SUNUP_OK);
    assert_true(sunup__schedule_lr(&s, 0) == 0 && sunup__schedule_lr(&s, 1) == 0.25);
}

static void refuses_schedule(sunup_schedule_options o, const char *part)
{
    struct schedule s;
    assert_int_equal(sunup__schedule_create(ctx, &o, 1, 100, &s), SUNUP_E_ARGUMENT);
    if (!strstr(sunup_error(ctx), part)) fail_msg("'%s' lacks '%s'", sunup_error(ctx), part);
}

static void refuses_bad_schedules(void **state)
{
    (void)state;
    static const double backwards[] = {3, 2};
    sunup_schedule_options o = sunup_schedule_defaults();
    o.type = "cosinus";
    refuses_schedule(o, "did you mean 'cosine'?");
    o.type = "step";
    refuses_schedule(o, "schedule.step_size is 0");
    o.type = "multistep";
    refuses_schedule(o, "milestones is empty");
    o.milestones = backwards;
    o.n_milestones = 2;
    refuses_schedule(o, "must ascend");
    o.n_milestones = 1000;
    refuses_schedule(o, "at most 32");
    o = sunup_schedule_defaults();
    o.type = "exponential";
    refuses_schedule(o, "falls from lr to min_lr");
    o.flat = 1.5;
    refuses_schedule(o, "schedule.flat is 1.5");
    o = sunup_schedule_defaults();
    o.type = "polynomial";
    o.warmup_steps = 100;
    refuses_schedule(o, "total_steps 100, warmup_steps 100");
    o.warmup_steps = NAN;
    refuses_schedule(o, "schedule.warmup_steps");
    refuses_schedule((sunup_schedule_options){0}, "sunup_schedule_defaults()");
}

static int open_context(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx);
}

static int close_context(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_golden_steps),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(factors_have_the_bits_of_their_product),
        cmocka_unit_test(factors_that_do_not_fit_are_refused),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(says_where_a_gradient_is_not_finite),
        cmocka_unit_test(moments_carry_on),
        cmocka_unit_test(refuses_bad_optimizers),
        cmocka_unit_test(survives_no_memory),
        cmocka_unit_test(schedules_agree_with_golden_rates),
        cmocka_unit_test(schedules_stay_at_their_end),
        cmocka_unit_test(refuses_bad_schedules),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
