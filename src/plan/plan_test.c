/* plan_test.c - what a plan promises from outside: values in and out, errors, fusion, sharing of
 * memory, no allocation in a run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

static const sunup_random_key no_key;

struct bench {
    sunup_context *ctx;
    sunup_graph *g;
};

static struct bench set_up(const char *device)
{
    struct bench b;
    unsetenv("SUNUP_DEVICE");
    sunup_context_options o = sunup_context_defaults();
    o.device = device;
    assert_int_equal(sunup_context_create(&o, &b.ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(b.ctx, NULL, &b.g), SUNUP_OK);
    return b;
}

static void tear_down(struct bench *b)
{
    sunup_graph_destroy(&b->g);
    sunup_context_destroy(&b->ctx);
}

static sunup_plan *plan_of(struct bench *b, int n, sunup_value *const *outputs)
{
    sunup_plan *p;
    if (sunup_plan_create(b->g, n, outputs, &p) != SUNUP_OK) fail_msg("%s", sunup_error(b->ctx));
    return p;
}

static void run(sunup_plan *p)
{
    if (sunup_plan_run(p, no_key) != SUNUP_OK) fail_msg("%s", sunup_error(p->ctx));
}

static void expect(sunup_plan *p, sunup_value *v, int n, const float *expected)
{
    float y[32];
    assert_true(n <= 32);
    assert_int_equal(sunup_plan_get(p, v, y, n * (int64_t)sizeof(float)), SUNUP_OK);
    for (int i = 0; i < n; i++)
        if (!(y[i] == expected[i]))
            fail_msg("[%d] is %g, not %g", i, (double)y[i], (double)expected[i]);
}

static const char *const devices[] = {"cpu", "memcheck"};

/* -------------------------------------------------------------------- unusual outputs --- */

static void outputs_that_are_sources_or_views(const char *device)
{
    struct bench b = set_up(device);
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(2, 3));
    sunup_value *view = sunup_reshape(x, SUNUP_SHAPE(3, 2)),
                *flat = sunup_reshape(view, SUNUP_SHAPE(6));
    sunup_value *c = sunup_scalar(b.g, SUNUP_F32, 7);
    sunup_value *cview = sunup_reshape(c, SUNUP_SHAPE(1));
    sunup_value *y = sunup_neg(x), *yview = sunup_reshape(y, SUNUP_SHAPE(6)),
                *yview2 = sunup_reshape(y, SUNUP_SHAPE(3, 2)), *z = sunup_neg(yview2);
    sunup_value *outputs[] = {x, view, flat, x, c, cview, yview, z, yview2, yview};
    sunup_plan *p = plan_of(&b, 10, outputs);
    const float data[] = {1, 2, 3, 4, 5, 6}, minus[] = {-1, -2, -3, -4, -5, -6}, seven[] = {7};
    assert_int_equal(sunup_plan_set(p, x, data, sizeof data), SUNUP_OK);
    run(p);
    expect(p, x, 6, data);
    expect(p, view, 6, data);
    expect(p, flat, 6, data);
    expect(p, c, 1, seven);
    expect(p, cview, 1, seven);
    expect(p, yview, 6, minus);
    expect(p, yview2, 6, minus);
    expect(p, z, 6, data);
    assert_int_equal(sunup_plan_get(p, y, (float[6]){0}, 24), SUNUP_E_ARGUMENT); /* not asked for */
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void odd_outputs(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) outputs_that_are_sources_or_views(devices[i]);
}

/* A view that is an output gives its memory to what it is a view of: no step copies. */
static void view_output_costs_no_copy(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(2, 3));
    sunup_value *y = sunup_reshape(sunup_neg(x), SUNUP_SHAPE(6));
    sunup_plan *p = plan_of(&b, 1, &y);
    assert_int_equal(sunup_plan_describe(p).steps, 1);
    float *mine = sunup__alloc_aligned(64);
    assert_int_equal(sunup_plan_bind(p, y, mine), SUNUP_OK);
    assert_ptr_equal(p->steps[0].out[0], mine);
    assert_int_equal(sunup_plan_set(p, x, (float[]){1, 2, 3, 4, 5, 6}, 24), SUNUP_OK);
    run(p);
    for (int i = 0; i < 6; i++) assert_true(mine[i] == -(float)(i + 1));
    sunup_plan_destroy(&p);
    sunup__free(mine);
    tear_down(&b);
}

static void no_steps_no_outputs_no_elements(const char *device)
{
    struct bench b = set_up(device);
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(3));
    sunup_value *e = sunup_input(b.g, "empty", SUNUP_F32, SUNUP_SHAPE(0, 4));
    sunup_value *y = sunup_exp(sunup_neg(e)), *s = sunup_sum(e, 0, NULL, false), *t = sunup_neg(s);
    sunup_plan *p = plan_of(&b, 0, NULL);
    run(p);
    sunup_plan_destroy(&p);
    p = plan_of(&b, 1, &x);
    assert_int_equal(sunup_plan_describe(p).steps, 0);
    assert_int_equal(sunup_plan_set(p, x, (float[]){1, 2, 3}, 12), SUNUP_OK);
    run(p);
    expect(p, x, 3, (float[]){1, 2, 3});
    sunup_plan_destroy(&p);
    sunup_value *outputs[] = {y, t};
    p = plan_of(&b, 2, outputs);
    assert_int_equal(sunup_plan_set(p, e, NULL, 0), SUNUP_OK);
    run(p);
    assert_int_equal(sunup_plan_get(p, y, NULL, 0), SUNUP_OK);
    expect(p, t, 1, (float[]){0});
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void nothing_to_do(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) no_steps_no_outputs_no_elements(devices[i]);
}

/* ------------------------------------------------------------------------------ fusion --- */

static int64_t steps_of(struct bench *b, int n, sunup_value *const *outputs)
{
    sunup_plan *p = plan_of(b, n, outputs);
    const int64_t steps = sunup_plan_describe(p).steps;
    sunup_plan_destroy(&p);
    return steps;
}

static void chains_become_one_step(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(4, 5));
    sunup_value *c = sunup_input(b.g, "c", SUNUP_F32, SUNUP_SHAPE(5));
    sunup_value *u = sunup_exp(sunup_add(x, c)), *y = sunup_relu(sunup_mul(u, sunup_sub(u, x)));
    assert_int_equal(steps_of(&b, 1, &y), 1);
    sunup_value *both[] = {y, u};
    assert_int_equal(steps_of(&b, 2, both), 1);
    /* A sum must see its whole operand, and what it gives has another shape. */
    sunup_value *s = sunup_sum(y, 1, (int[]){0}, false), *t = sunup_neg(sunup_exp(s));
    assert_int_equal(steps_of(&b, 1, &t), 3);
    sunup_value *r = sunup_mul(y, t);
    assert_int_equal(steps_of(&b, 1, &r), 4);
    /* A value that goes two ways is not written, only its two successors are. */
    sunup_value *left = sunup_sum(sunup_square(u), 0, NULL, false),
                *right = sunup_sum(sunup_sin(u), 0, NULL, false);
    sunup_value *ends[] = {left, right};
    assert_int_equal(steps_of(&b, 2, ends), 3);
    /* A value that must be written anyway is not joined by one that is wanted later. */
    sunup_value *late[] = {sunup_sum(u, 0, NULL, false), sunup_sum(sunup_cos(u), 0, NULL, false)};
    assert_int_equal(steps_of(&b, 2, late), 4);
    tear_down(&b);
}

/* ------------------------------------------------------------------------- batch norm --- */

/* conv, batch norm, residual or not, relu, conv; its plan has the steps named, in this order. */
static void norm_steps(bool residual, int n, const char *const *steps)
{
    struct bench b;
    unsetenv("SUNUP_DEVICE");
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    assert_int_equal(sunup_context_create(NULL, &b.ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(b.ctx, &o, &b.g), SUNUP_OK);
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(6, 5));
    sunup_value *w = sunup_input(b.g, "w", SUNUP_F32, SUNUP_SHAPE(5, 5));
    sunup_value *gamma = sunup_input(b.g, "gamma", SUNUP_F32, SUNUP_SHAPE(5));
    sunup_value *z = sunup_matmul(x, w, 0);
    sunup_value *y = sunup_batch_norm(z, gamma, gamma, NULL, NULL, 0.1, 1e-5);
    if (residual) y = sunup_add(y, x);
    sunup_value *last = sunup_matmul(sunup_relu(y), w, 0), *wrt[] = {w, x}, *d[2];
    sunup_gradient(sunup_sum(last, 0, NULL, false), residual ? 2 : 1, wrt, d);
    sunup_plan *p = plan_of(&b, residual ? 2 : 1, d);
    int at = 0;
    for (int i = 0; i < p->n_steps; i++) {
        char text[PROBLEM_TEXT];
        sunup__problem_text(p->steps[i].node, text, sizeof text);
        if (at < n && strncmp(text, steps[at], strlen(steps[at])) == 0) at++;
        if (strncmp(text, "relu", 4) == 0 || strncmp(text, "batch_norm:", 11) == 0)
            fail_msg("step %d is %s", i, text);
    }
    if (at < n) fail_msg("no step %s", steps[at]);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

/* Forward: statistics, and one pass. Back: sums that mask what they read, and one pass that does it
 * again; behind a residual, whose gradient is the masked one too, the sums write it. */
static void batch_norm_takes_two_passes_each_way(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "batch_norm_statistics:6x5,5,5:f32", "chain:6x5,5,5:fma.0.1.2+relu.3:f32",
        "batch_norm_sums:6x5,5,5,5,6x5,5,5,6x5:fma.0.1.2+relu_grad.4.3:f32",
        "chain:6x5,5,5,6x5,5,5,5:fma.0.1.2+relu_grad.7.3+fma.0.4.5+fma.8.6.9:f32"};
    norm_steps(false, 4, plain);
    static const char *const residual[] = {"batch_norm_statistics:6x5,5,5:f32",
                                           "chain:6x5,5,5,6x5:fma.0.1.2+add.4.3+relu.5:f32",
                                           "batch_norm_sums:6x5,5,5,5,6x5,6x5:relu_grad.0.1:f32",
                                           "chain:6x5,5,5,6x5,5:fma.0.1.2+fma.3.4.5:f32"};
    norm_steps(true, 4, residual);
}

/* a * sum(a): the chain of the product may not swallow a, which the sum must see first. */
static void fusion_keeps_order(void **state)
{
    (void)state;
    struct bench b = set_up("memcheck");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(2, 2));
    sunup_value *a = sunup_square(x), *r = sunup_sum(a, 0, NULL, false),
                *y = sunup_sub(sunup_mul(a, r), x);
    sunup_plan *p = plan_of(&b, 1, &y);
    assert_int_equal(sunup_plan_set(p, x, (float[]){1, 2, 3, 4}, 16), SUNUP_OK);
    run(p);
    expect(p, y, 4, (float[]){29, 118, 267, 476});
    assert_int_equal(sunup_plan_describe(p).steps, 3);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void chains_keep_their_limits(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(3)), *y = x,
                *outputs[MAX_OUT + 2];
    for (int i = 0; i < 2 * CHAIN_STEPS + 1; i++) y = sunup_scale(y, 1, 1);
    assert_int_equal(steps_of(&b, 1, &y), 3);
    sunup_value *sum = x;
    for (int i = 0; i < CHAIN_IN + 3; i++)
        sum = sunup_add(sum,
                        sunup_input(b.g, (char[]){(char)('a' + i), 0}, SUNUP_F32, SUNUP_SHAPE(3)));
    assert_int_equal(steps_of(&b, 1, &sum), 2);
    y = x;
    for (int i = 0; i < MAX_OUT + 2; i++) outputs[i] = y = sunup_scale(y, 1, 1);
    sunup_plan *p = plan_of(&b, MAX_OUT + 2, outputs);
    assert_int_equal(sunup_plan_describe(p).steps, 2);
    assert_int_equal(sunup_plan_set(p, x, (float[]){0, 1, 2}, 12), SUNUP_OK);
    run(p);
    for (int i = 0; i < MAX_OUT + 2; i++)
        expect(p, outputs[i], 3, (float[]){(float)(i + 1), (float)(i + 2), (float)(i + 3)});
    sunup_plan_destroy(&p);
    tear_down(&b);
}

/* ------------------------------------------------------------------------------ memory --- */

/* A row of sums and broadcasts alternates between a few places however long it is. */
static void long_rows_share_memory(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(64, 16)), *y = x;
    for (int i = 0; i < 30; i++) y = sunup_permute(y, (int[]){1, 0});
    sunup_value *s = sunup_sum(y, 0, NULL, false);
    sunup_plan *p = plan_of(&b, 1, &s);
    const sunup_plan_info info = sunup_plan_describe(p);
    assert_int_equal(info.steps, 31);
    assert_true(info.unshared_bytes >= 30 * 4096);
    assert_true(info.arena_bytes < 4 * 4096);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void in_place_saves_memory(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(32, 32));
    sunup_value *t = sunup_permute(x, (int[]){1, 0}),
                *y = sunup_exp(sunup_reshape(t, SUNUP_SHAPE(1024)));
    sunup_value *s = sunup_sum(y, 0, NULL, false);
    sunup_plan *p = plan_of(&b, 1, &s);
    assert_ptr_equal(p->steps[1].in[0], p->steps[1].out[0]);
    sunup_plan_destroy(&p);
    /* Not when the operand is read again, is the caller's, or is stretched. */
    sunup_value *again =
        sunup_sum(sunup_mul(sunup_sum(t, 1, (int[]){0}, false), y = sunup_exp(t)), 0, NULL, false);
    sunup_value *late = sunup_add(again, sunup_sum(t, 0, NULL, false));
    p = plan_of(&b, 1, &late);
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++)
            if (p->steps[i].node->in[k] == x || p->steps[i].node->in[k] == t)
                assert_ptr_not_equal(p->steps[i].in[k], p->steps[i].out[0]);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void a_run_allocates_nothing(const char *device)
{
    struct bench b = set_up(device);
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(6, 5));
    sunup_value *w =
        sunup_parameter(b.g, "w", SUNUP_SHAPE(5, 4), (sunup_init){SUNUP_INIT_UNIFORM, 1});
    sunup_value *h = sunup_softmax(sunup_relu(sunup_linear(x, w, NULL)), -1), *g;
    sunup_value *loss = sunup_mean(sunup_square(h), 0, NULL, false);
    sunup_gradient(loss, 1, &w, &g);
    sunup_value *outputs[] = {loss, g};
    sunup_plan *p = plan_of(&b, 2, outputs);
    float data[30];
    for (int i = 0; i < 30; i++) data[i] = (float)(i % 7) - 3;
    assert_int_equal(sunup_plan_set(p, x, data, sizeof data), SUNUP_OK);
    assert_int_equal(sunup_plan_init(p, 1), SUNUP_OK);
    if (strcmp(device, "memcheck") == 0) run(p); /* its table of hashes grows in the first run */
    const int64_t before = sunup__allocations();
    for (int i = 0; i < 3; i++) run(p);
    assert_int_equal(sunup__allocations(), before);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void no_allocation(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) a_run_allocates_nothing(devices[i]);
}

static void too_large_is_told_before(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    const int64_t huge = INT64_C(1) << 45;
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(huge));
    sunup_value *y = sunup_sum(sunup_exp(x), 0, NULL, false);
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(b.g, 1, &y, &p), SUNUP_E_MEMORY);
    assert_null(p);
    assert_non_null(strstr(sunup_error(b.ctx), "MiB"));
    assert_int_equal(sunup__plan_create(b.g, 1, &y, &(struct plan_options){.dry = true}, &p),
                     SUNUP_OK);
    assert_true(p->owned_bytes >= 4 * huge);
    assert_true(sunup_plan_describe(p).arena_bytes >= 4 * huge);
    assert_int_equal(sunup_plan_run(p, no_key), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup_plan_set(p, x, &huge, 4 * huge), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup_plan_init(p, 1), SUNUP_E_ARGUMENT);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(4, 5));
    sunup_value *y = sunup_sum(sunup_exp(sunup_neg(x)), 0, NULL, false);
    sunup_status status = SUNUP_E_MEMORY;
    int failures = 0;
    for (int nth = 0; status != SUNUP_OK && nth < 100; nth++) {
        sunup_plan *p = NULL;
        sunup__fail_allocation(nth);
        status = sunup_plan_create(b.g, 1, &y, &p);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && p == NULL));
        failures += status != SUNUP_OK;
        sunup_plan_destroy(&p);
    }
    assert_int_equal(status, SUNUP_OK);
    assert_true(failures >= 4);
    tear_down(&b);
}

/* ------------------------------------------------------------------------------ errors --- */

#define REFUSED(b, call, status, words)                                                            \
    do {                                                                                           \
        assert_int_equal(call, status);                                                            \
        if (strstr(sunup_error((b).ctx), words) == NULL) fail_msg("%s", sunup_error((b).ctx));     \
    } while (0)

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct bench b = set_up("cpu"), other = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(2, 8)),
                *c = sunup_scalar(b.g, SUNUP_F32, 1);
    sunup_value *h = sunup_sum(x, 1, (int[]){0}, false),
                *y = sunup_sum(sunup_mul(h, c), 0, NULL, false);
    sunup_value *foreign = sunup_input(other.g, "x", SUNUP_F32, SUNUP_SHAPE(3));
    sunup_plan *p;
    REFUSED(b, sunup_plan_create(b.g, 1, &foreign, &p), SUNUP_E_ARGUMENT, "output 0");
    REFUSED(b, sunup_plan_create(b.g, 1, (sunup_value *[]){NULL}, &p), SUNUP_E_ARGUMENT, "NULL");
    REFUSED(b, sunup_plan_create(b.g, -1, &y, &p), SUNUP_E_ARGUMENT, "-1");
    assert_int_equal(sunup_plan_create(NULL, 1, &y, &p), SUNUP_E_ARGUMENT);
    p = plan_of(&b, 1, &y);
    float data[16] = {0};
    REFUSED(b, sunup_plan_run(p, no_key), SUNUP_E_ARGUMENT, "input 'x' [2, 8] has no numbers");
    REFUSED(b, sunup_plan_get(p, x, data, 64), SUNUP_E_ARGUMENT, "no numbers yet");
    REFUSED(b, sunup_plan_set(p, x, data, 60), SUNUP_E_SHAPE, "64 bytes of f32, not 60");
    REFUSED(b, sunup_plan_set(p, x, NULL, 64), SUNUP_E_ARGUMENT, "NULL");
    REFUSED(b, sunup_plan_set(p, h, data, 32), SUNUP_E_ARGUMENT, "list it as an output");
    REFUSED(b, sunup_plan_set(p, y, data, 4), SUNUP_E_ARGUMENT, "not set from outside");
    REFUSED(b, sunup_plan_set(p, c, data, 4), SUNUP_E_ARGUMENT, "constant");
    REFUSED(b, sunup_plan_set(p, foreign, data, 12), SUNUP_E_ARGUMENT, "list it");
    REFUSED(b, sunup_plan_set(p, NULL, data, 12), SUNUP_E_ARGUMENT, "NULL");
    REFUSED(b, sunup_plan_bind(p, c, data), SUNUP_E_ARGUMENT, "constant");
    char *memory = sunup__alloc_aligned(256);
    REFUSED(b, sunup_plan_bind(p, x, memory + 4), SUNUP_E_ARGUMENT, "aligned to 64");
    REFUSED(b, sunup_plan_bind(p, x, NULL), SUNUP_E_ARGUMENT, "aligned to 64");
    assert_int_equal(sunup_plan_set(p, x, data, 64), SUNUP_OK);
    REFUSED(b, sunup_plan_get(p, y, data, 4), SUNUP_E_ARGUMENT, "run the plan first");
    assert_int_equal(sunup_plan_bind(p, y, memory + 64), SUNUP_OK);
    assert_int_equal(sunup_plan_bind(p, x, memory + 128), SUNUP_OK);
    REFUSED(b, sunup_plan_bind(p, y, memory + 128), SUNUP_E_ARGUMENT, "overlaps");
    assert_int_equal(sunup_plan_bind(p, y, memory + 64), SUNUP_OK); /* again, where it is */
    /* A value made after the plan is none of its values. */
    sunup_value *later = sunup_neg(y);
    REFUSED(b, sunup_plan_get(p, later, data, 4), SUNUP_E_ARGUMENT, "list it");
    sunup_plan_destroy(&p);
    sunup_plan_destroy(&p);
    sunup_plan_destroy(NULL);
    sunup__free(memory);
    tear_down(&other);
    tear_down(&b);
}

static void a_bad_graph_makes_no_plan(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(2)),
                *y = sunup_input(b.g, "y", SUNUP_F32, SUNUP_SHAPE(3));
    sunup_value *bad = sunup_add(x, y);
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(b.g, 1, &bad, &p), SUNUP_E_SHAPE);
    assert_null(p);
    tear_down(&b);
}

static void bound_memory_is_used(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(4)),
                *t = sunup_input(b.g, "t", SUNUP_F32, SUNUP_SHAPE(4));
    sunup_value *v = sunup_reshape(x, SUNUP_SHAPE(2, 2)),
                *y = sunup_sub(sunup_sum(v, 1, (int[]){0}, false), sunup_sum(t, 0, NULL, false));
    sunup_plan *p = plan_of(&b, 1, &y);
    float *memory = sunup__alloc_aligned(256), *in = memory, *out = memory + 16,
          *out2 = memory + 32;
    for (int i = 0; i < 4; i++) in[i] = (float)(i + 1);
    assert_int_equal(sunup_plan_bind(p, x, in), SUNUP_OK);
    assert_int_equal(sunup_plan_bind(p, t, in), SUNUP_OK); /* two sources may share */
    assert_int_equal(sunup_plan_bind(p, y, out), SUNUP_OK);
    assert_ptr_equal(sunup__plan_address(p, y), out);
    run(p);
    assert_true(out[0] == -6 && out[1] == -4);
    assert_int_equal(sunup_plan_bind(p, y, out2), SUNUP_OK);
    in[0] = 5;
    run(p);
    assert_true(out[0] == -6 && out2[0] == -6 && out2[1] == -8);
    assert_int_equal(sunup_plan_set(p, x, (float[]){0, 0, 0, 1}, 16), SUNUP_OK);
    assert_true(in[3] == 1);
    sunup_plan_destroy(&p);
    sunup__free(memory);
    tear_down(&b);
}

/* ------------------------------------------------------------------------------- init --- */

static void init_depends_on_seed_and_name(void **state)
{
    (void)state;
    struct bench b = set_up("cpu"), c = set_up("cpu");
    const sunup_init uniform = {SUNUP_INIT_UNIFORM, 0.5}, normal = {SUNUP_INIT_NORMAL, 2},
                     one = {SUNUP_INIT_CONSTANT, 1};
    sunup_value *w = sunup_parameter(b.g, "w", SUNUP_SHAPE(1000), uniform),
                *n = sunup_parameter(b.g, "n", SUNUP_SHAPE(1000), normal);
    sunup_value *s = sunup_state(b.g, "s", SUNUP_SHAPE(3), one);
    sunup_value *first = sunup_parameter(c.g, "first", SUNUP_SHAPE(1000), uniform),
                *w2 = sunup_parameter(c.g, "w", SUNUP_SHAPE(1000), uniform);
    sunup_plan *p = plan_of(&b, 3, (sunup_value *[]){w, n, s}),
               *q = plan_of(&c, 2, (sunup_value *[]){first, w2});
    static float x[1000], y[1000], z[1000];
    assert_int_equal(sunup_plan_init(p, 5), SUNUP_OK);
    assert_int_equal(sunup_plan_init(q, 5), SUNUP_OK);
    assert_int_equal(sunup_plan_get(p, w, x, sizeof x), SUNUP_OK);
    assert_int_equal(sunup_plan_get(q, w2, y, sizeof y), SUNUP_OK);
    assert_int_equal(sunup_plan_get(q, first, z, sizeof z), SUNUP_OK);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_not_equal(x, z, sizeof x);
    double low = 0, high = 0, square = 0;
    for (int i = 0; i < 1000; i++) {
        low = fmin(low, (double)x[i]);
        high = fmax(high, (double)x[i]);
    }
    assert_true(low >= -0.5 && low < -0.49 && high <= 0.5 && high > 0.49);
    assert_int_equal(sunup_plan_get(p, n, y, sizeof y), SUNUP_OK);
    for (int i = 0; i < 1000; i++) square += (double)(y[i] * y[i]);
    assert_true(square > 3600 && square < 4400);
    expect(p, s, 3, (float[]){1, 1, 1});
    assert_int_equal(sunup_plan_init(p, 6), SUNUP_OK);
    assert_int_equal(sunup_plan_get(p, w, y, sizeof y), SUNUP_OK);
    assert_memory_not_equal(x, y, sizeof x);
    /* Bound parameters are the caller's. */
    float *mine = sunup__alloc(4096);
    assert_int_equal(sunup_plan_bind(p, w, mine), SUNUP_OK);
    assert_int_equal(sunup_plan_init(p, 5), SUNUP_OK);
    for (int i = 0; i < 1000; i++) assert_true(mine[i] == 0);
    sunup_plan_destroy(&p);
    sunup_plan_destroy(&q);
    sunup__free(mine);
    tear_down(&b);
    tear_down(&c);
}

/* ------------------------------------------------------------------------------ print --- */

static void prints_its_steps(void **state)
{
    (void)state;
    struct bench b = set_up("cpu");
    sunup_value *x = sunup_input(b.g, "x", SUNUP_F32, SUNUP_SHAPE(6, 5));
    sunup_value *w = sunup_input(b.g, "w", SUNUP_F32, SUNUP_SHAPE(5, 4));
    sunup_value *y = sunup_exp(sunup_neg(sunup_linear(x, w, NULL)));
    sunup_plan *p = plan_of(&b, 1, &y), *q = plan_of(&b, 1, &y);
    char *text = sunup_plan_print(p), *same = sunup_plan_print(q);
    assert_non_null(strstr(text, "linear:m6n4k5:f32"));
    assert_non_null(strstr(text, "chain:6x4:neg.0+exp.1:f32"));
    assert_non_null(strstr(text, "2 steps on cpu"));
    assert_string_equal(text, same);
    const sunup_plan_info info = sunup_plan_describe(p);
    assert_int_equal(info.values, 2);
    assert_true(info.flops >= 240);
    assert_true(info.bytes >= 4 * (30 + 20 + 24));
    sunup_free(text);
    sunup_free(same);
    sunup_plan_destroy(&p);
    sunup_plan_destroy(&q);
    assert_null(sunup_plan_print(NULL));
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_outputs),
        cmocka_unit_test(view_output_costs_no_copy),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(chains_become_one_step),
        cmocka_unit_test(batch_norm_takes_two_passes_each_way),
        cmocka_unit_test(fusion_keeps_order),
        cmocka_unit_test(chains_keep_their_limits),
        cmocka_unit_test(long_rows_share_memory),
        cmocka_unit_test(in_place_saves_memory),
        cmocka_unit_test(no_allocation),
        cmocka_unit_test(too_large_is_told_before),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(a_bad_graph_makes_no_plan),
        cmocka_unit_test(bound_memory_is_used),
        cmocka_unit_test(init_depends_on_seed_and_name),
        cmocka_unit_test(prints_its_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
