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
    {"fc.weight", 0, GOLDEN_MATRIX, false},
    {"fc.bias", VECTOR_AT, GOLDEN_COUNT - GOLDEN_MATRIX, true},
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
    const struct segment large[] = {{"a", 0, 50021, false},
                                    {"empty", 50048, 0, true},
                                    {"b", 50048, 13, true},
                                    {"c", 50064, 2 * 16 - 1, false}};
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
