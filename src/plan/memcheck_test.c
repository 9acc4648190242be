/* memcheck_test.c - faults planted in ops of the user's own are found and named: step, op, layer,
 * value, offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

enum { N = 13 };

/* out = forward(x) behind a sound step before and in front of one after it. */
struct bench {
    sunup_context *ctx;
    sunup_graph *graph;
    sunup_plan *plan;
    sunup_value *x, *y;
    sunup_dtype dtype;
};

static void set_up(struct bench *b, sunup_dtype dtype,
                   void (*forward)(void *, const void *const *, void *), void *arg)
{
    setenv("SUNUP_DEVICE", "memcheck", 1);
    *b = (struct bench){.dtype = dtype};
    assert_int_equal(sunup_context_create(NULL, &b->ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(b->ctx, NULL, &b->graph), SUNUP_OK);
    b->x = sunup_input(b->graph, "x", dtype, SUNUP_SHAPE(N));
    sunup_value *before = dtype == SUNUP_I32 ? b->x : sunup_exp(b->x);
    const sunup_custom custom = {.name = "planted", .forward = forward, .arg = arg};
    b->y = sunup_custom_op(&custom, 1, &before, dtype, SUNUP_SHAPE(N));
    if (dtype != SUNUP_I32) b->y = sunup_neg(b->y);
    assert_int_equal(sunup_plan_create(b->graph, 1, &b->y, &b->plan), SUNUP_OK);
    const double zeros[N] = {0};
    assert_int_equal(sunup_plan_set(b->plan, b->x, zeros, N * sunup_dtype_bytes(dtype)), SUNUP_OK);
}

static void tear_down(struct bench *b)
{
    sunup_plan_destroy(&b->plan);
    sunup_graph_destroy(&b->graph);
    sunup_context_destroy(&b->ctx);
}

/* A run must end in E_INTERNAL with both words in its sentence, and again when run again. */
static void trapped(sunup_dtype dtype, void (*forward)(void *, const void *const *, void *),
                    const char *first, const char *second)
{
    struct bench b;
    set_up(&b, dtype, forward, NULL);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(sunup_plan_run(b.plan, (sunup_random_key){0}), SUNUP_E_INTERNAL);
        const char *error = sunup_error(b.ctx);
        assert_non_null(strstr(error, "custom 'planted'"));
        if (strstr(error, first) == NULL || strstr(error, second) == NULL) fail_msg("%s", error);
    }
    tear_down(&b);
}

static void sound(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 0; i < N; i++) ((float *)y)[i] = 2 * ((const float *)x[0])[i];
}

static void sound_step_passes(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, SUNUP_F32, sound, NULL);
    float y[N];
    for (int run = 0; run < 3; run++) {
        assert_int_equal(sunup_plan_run(b.plan, (sunup_random_key){0}), SUNUP_OK);
        assert_int_equal(sunup_plan_get(b.plan, b.y, y, sizeof y), SUNUP_OK);
        for (int i = 0; i < N; i++) assert_true(y[i] == -2);
    }
    tear_down(&b);
}

static void one_past(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    ((float *)y)[N] = 0;
}
static void one_byte_before(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    ((unsigned char *)y)[-1] = 0;
}
static void last_guard_byte(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    ((unsigned char *)y)[127] = 1; /* 52 bytes, padded to 64, and 64 of guard */
}

static void finds_writes_outside(void **state)
{
    (void)state;
    trapped(SUNUP_F32, one_past, "wrote outside: byte 52 from the start of 'planted'",
            "has 52 bytes");
    trapped(SUNUP_F32, one_byte_before, "wrote outside: byte 1 before the start of 'planted'",
            "step 1");
    trapped(SUNUP_F32, last_guard_byte, "wrote outside: byte 127 from the start of 'planted'",
            "op_run");
}

static void writes_operand(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    ((float *)(uintptr_t)x[0])[N - 1] = 0;
}

static void finds_a_changed_operand(void **state)
{
    (void)state;
    trapped(SUNUP_F32, writes_operand, "changed its operand 0", "exp");
}

static void leaves_last(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 0; i + 1 < N; i++) ((float *)y)[i] = ((const float *)x[0])[i];
}
static void leaves_first_f64(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 1; i < N; i++) ((double *)y)[i] = ((const double *)x[0])[i];
}
static void leaves_all_i32(void *arg, const void *const *x, void *y)
{
    (void)arg;
    (void)x;
    (void)y;
}

static void finds_what_was_not_written(void **state)
{
    (void)state;
    trapped(SUNUP_F32, leaves_last, "did not write element 12 (of 13)", "output 0");
    trapped(SUNUP_F64, leaves_first_f64, "did not write element 0 (of 13)", "output 0");
    trapped(SUNUP_I32, leaves_all_i32, "did not write element 0 (of 13)", "output 0");
}

static void adds_to_nothing(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 0; i < N; i++) ((float *)y)[i] += ((const float *)x[0])[i];
}
static void adds_to_nothing_f64(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 0; i < N; i++) ((double *)y)[i] += ((const double *)x[0])[i];
}
static void reads_past_the_end(void *arg, const void *const *x, void *y)
{
    (void)arg;
    for (int i = 0; i < N; i++) ((float *)y)[i] = 2 * ((const float *)x[0])[i + 1];
}

static void finds_reads_of_nothing(void **state)
{
    (void)state;
    trapped(SUNUP_F32, adds_to_nothing, "computed element 0", "memory that nobody wrote");
    trapped(SUNUP_F64, adds_to_nothing_f64, "computed element 0", "memory that nobody wrote");
    trapped(SUNUP_F32, reads_past_the_end, "computed element 12", "memory that nobody wrote");
}

/* The first op shows its operand's address to the second one, which reads it when it is dead. */
static const float *shown;

static void shows(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    shown = x[0];
}
static void reads_the_dead(void *arg, const void *const *x, void *y)
{
    sound(arg, x, y);
    ((float *)y)[3] = shown[3] + 1;
}

static void finds_reads_of_the_dead(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, SUNUP_F32, shows, NULL);
    sunup_plan_destroy(&b.plan);
    const sunup_custom second = {.name = "second", .forward = reads_the_dead};
    sunup_value *z = sunup_custom_op(&second, 1, &b.y, SUNUP_F32, SUNUP_SHAPE(N));
    assert_int_equal(sunup_plan_create(b.graph, 1, &z, &b.plan), SUNUP_OK);
    const float zeros[N] = {0};
    assert_int_equal(sunup_plan_set(b.plan, b.x, zeros, sizeof zeros), SUNUP_OK);
    assert_int_equal(sunup_plan_run(b.plan, (sunup_random_key){0}), SUNUP_E_INTERNAL);
    assert_non_null(strstr(sunup_error(b.ctx), "custom 'second'"));
    assert_non_null(strstr(sunup_error(b.ctx), "computed element 3"));
    tear_down(&b);
}

/* Memory of the caller's has no guards, and stays the caller's. */
static void bound_memory_is_left_alone(void **state)
{
    (void)state;
    struct bench b;
    set_up(&b, SUNUP_F32, sound, NULL);
    float *mine = sunup__alloc_aligned(256);
    memset(mine, 0x11, 256);
    assert_int_equal(sunup_plan_bind(b.plan, b.y, mine), SUNUP_OK);
    assert_int_equal(sunup_plan_run(b.plan, (sunup_random_key){0}), SUNUP_OK);
    for (int i = 0; i < N; i++) assert_true(mine[i] == -2);
    for (int i = N * 4; i < 256; i++) assert_int_equal(((unsigned char *)mine)[i], 0x11);
    tear_down(&b);
    sunup__free(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_step_passes),          cmocka_unit_test(finds_writes_outside),
        cmocka_unit_test(finds_a_changed_operand),    cmocka_unit_test(finds_what_was_not_written),
        cmocka_unit_test(finds_reads_of_nothing),     cmocka_unit_test(finds_reads_of_the_dead),
        cmocka_unit_test(bound_memory_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
