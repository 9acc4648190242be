/* ops_test.c - every case of every op at the plain-C level and at the level in force; that the
 * check itself can fail; and what cases cannot say: exact values at ties, limits and edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "graph/interpret.h"
#include "graph/ops_check.h"

static sunup_context *ctx;
static sunup_graph *g;
static struct kernels kernels;

static int set_up(void **state)
{
    (void)state;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return -1;
    if (!sunup__kernels_init(&kernels, sunup__cpu_flags(), ctx->options.isa)) return -1;
    return sunup_graph_create(ctx, NULL, &g) == SUNUP_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return 0;
}

static void print_failure(void *arg, const struct check_result *r)
{
    (void)arg;
    if (r->failure)
        print_error("%s:%s at %s, seed %llu: %s\n", r->leaf, r->problem, r->isa,
                    (unsigned long long)r->seed, r->failure);
}

static void every_op_passes_its_cases(void **state)
{
    (void)state;
    struct check_report report = {.each = print_failure};
    assert_int_equal(sunup__ops_check(ctx, NULL, &report), SUNUP_OK);
    assert_true(report.results > 300);
    assert_int_equal(report.failures, 0);
}

static void unknown_ops_are_refused(void **state)
{
    (void)state;
    struct check_report report = {.isa = "ref"};
    assert_int_equal(sunup__ops_check(ctx, "softsign", &report), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup__ops_check(ctx, "sum:no such case", &report), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup__ops_check(ctx, "sum:13x11:all", &report), SUNUP_OK);
    assert_int_equal(report.results, 1);
}

/* ----------------------------------------- the check finds what is wrong with an op --- */

enum fault { NO_FAULT, GRADIENT, PRECISION, THREADS, TOO_FAR, TOO_SHORT };

/* y = 2 x, with one fault. */
struct doubling {
    enum fault fault;
};

static sunup_status doubling_infer(struct node *n)
{
    n->out[0]->dtype = n->in[0]->dtype;
    n->out[0]->shape = n->in[0]->shape;
    return SUNUP_OK;
}

static void doubling_grad(struct node *n, sunup_value *const *dy, const bool *want,
                          sunup_value **dx)
{
    const struct doubling *a = n->attr;
    if (want[0]) dx[0] = sunup_scale(dy[0], a->fault == GRADIENT ? 2.00001 : 2, 0);
}

static sunup_status doubling_run(const struct node *n, const struct exec *e)
{
    const enum fault fault = ((const struct doubling *)n->attr)->fault;
    const bool f64 = n->out[0]->dtype == SUNUP_F64;
    const int64_t elements = sunup__elements(&n->out[0]->shape);
    for (int64_t i = 0; i < elements + (fault == TOO_FAR) - (fault == TOO_SHORT); i++) {
        double y = 2 * (f64 ? ((double *)e->in[0])[i] : (double)((float *)e->in[0])[i]);
        if (fault == PRECISION && !f64) y *= 1 + 1e-4;
        if (fault == THREADS) y *= 1 + 1e-15 * e->threads;
        if (f64)
            ((double *)e->out[0])[i] = y;
        else
            ((float *)e->out[0])[i] = (float)y;
    }
    return SUNUP_OK;
}

extern const struct op doubling_op;

static sunup_value *doubled(sunup_graph *graph, enum fault fault)
{
    sunup_value *x = sunup_input(graph, "x", sunup_graph_dtype(graph), SUNUP_SHAPE(5, 3));
    const struct doubling attr = {fault};
    return sunup__node(graph, &doubling_op, 1, &x, &attr, 0, NULL);
}

#define FAULT(name, fault)                                                                         \
    static sunup_value *name(sunup_graph *graph)                                                   \
    {                                                                                              \
        return doubled(graph, fault);                                                              \
    }
FAULT(right, NO_FAULT)
FAULT(wrong_gradient, GRADIENT)
FAULT(imprecise, PRECISION)
FAULT(by_threads, THREADS)
FAULT(too_far, TOO_FAR)
FAULT(too_short, TOO_SHORT)

static const struct op_case doubling_cases[] = {
    {"doubling:right", right},         {"doubling:gradient", wrong_gradient},
    {"doubling:precision", imprecise}, {"doubling:threads", by_threads},
    {"doubling:too_far", too_far},     {"doubling:too_short", too_short},
};
static const struct op_case no_cases[1];

const struct op doubling_op = {
    .name = "doubling",
    .attr_bytes = sizeof(struct doubling),
    .n_out = 1,
    .infer = doubling_infer,
    .grad = doubling_grad,
    .run = doubling_run,
    .cases = doubling_cases,
    .n_cases = 6,
};

struct seen {
    int n;
    char text[6][512];
};

static void keep(void *arg, const struct check_result *r)
{
    struct seen *s = arg;
    strncpy(s->text[s->n++], r->failure ? r->failure : "", 511);
}

static void the_check_finds_faults(void **state)
{
    (void)state;
    static const char *const says[] = {"",
                                       "the gradient of operand 'x' is wrong",
                                       "in f32 but",
                                       "threads give other bits",
                                       "writes past the end of output 0",
                                       "nan"};
    struct seen seen = {.n = 0};
    struct check_report report = {.each = keep, .arg = &seen};
    sunup__op_check(ctx, &doubling_op, NULL, &kernels, &report);
    assert_int_equal(report.results, 6);
    assert_int_equal(report.failures, 5);
    assert_string_equal(seen.text[0], "");
    for (int i = 1; i < 6; i++)
        if (!strstr(seen.text[i], says[i]))
            fail_msg("'%s' says nothing of '%s'", seen.text[i], says[i]);
}

static void a_gradient_rule_without_cases_fails(void **state)
{
    (void)state;
    struct op op = doubling_op;
    op.cases = no_cases;
    op.n_cases = 0;
    struct check_report report = {.each = NULL};
    sunup__op_check(ctx, &op, NULL, &kernels, &report);
    assert_int_equal(report.failures, 1);
}

/* --------------------------------------------------------------- exact values --- */

static sunup_value *f32(sunup_shape shape, const float *numbers)
{
    return sunup_constant(g, SUNUP_F32, shape, numbers);
}

/* v has these numbers, whatever its type. */
static void assert_values(sunup_value *v, int n, const double *want)
{
    struct interpreter run;
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    assert_int_equal(sunup__elements(&v->shape), n);
    assert_int_equal(sunup__interpreter_create(g, 1, &v, &run), SUNUP_OK);
    run.kernels = &kernels;
    run.threads = 2;
    assert_int_equal(sunup__interpreter_run(&run), SUNUP_OK);
    const void *p = sunup__interpreter_memory(&run, v);
    for (int i = 0; i < n; i++) {
        const double got = v->dtype == SUNUP_F32   ? (double)((const float *)p)[i]
                           : v->dtype == SUNUP_F64 ? ((const double *)p)[i]
                           : v->dtype == SUNUP_I32 ? ((const int32_t *)p)[i]
                                                   : ((const uint8_t *)p)[i];
        if (got != want[i] && !(isnan(got) && isnan(want[i])))
            fail_msg("element %d is %g, not %g", i, got, want[i]);
    }
    sunup__interpreter_end(&run);
}

#define VALUES(v, ...)                                                                             \
    assert_values(v, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)),                      \
                  (const double[]){__VA_ARGS__})
#define NUMBERS(...)                                                                               \
    (const float[])                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static sunup_value *gradient_of_sum(sunup_value *y, sunup_value *x)
{
    sunup_value *dx;
    sunup_gradient(sunup_sum(y, 0, NULL, false), 1, &x, &dx);
    return dx;
}

static void maxima_take_the_first_of_equals(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(2, 2, 3), NUMBERS(1, 7, 0, 3, 3, 2, 7, 0, 7, 3, 1, 1));
    sunup_value *ends = sunup_max(x, 2, (const int[]){0, 2}, false);
    VALUES(ends, 7, 3);
    VALUES(gradient_of_sum(ends, x), 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    VALUES(gradient_of_sum(sunup_max(x, 1, (const int[]){0}, true), x), 0, 1, 0, 1, 1, 1, 1, 0, 1,
           0, 0, 0);
    VALUES(sunup_argmax(x, -1), 1, 0, 0, 0);
    VALUES(sunup_argmax(x, 0), 1, 0, 1, 0, 0, 0);
}

static void sums_keep_or_drop_axes(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(2, 1, 3), NUMBERS(1, 2, 3, 4, 5, 6));
    sunup_value *kept = sunup_sum(x, 2, (const int[]){-1, 1}, true),
                *all = sunup_mean(x, 0, NULL, false);
    assert_int_equal(kept->shape.n, 3);
    assert_int_equal(all->shape.n, 0);
    VALUES(kept, 6, 15);
    VALUES(all, 3.5);
    VALUES(sunup_mean(f32(SUNUP_SHAPE(0, 2), NULL), 1, (const int[]){0}, false), NAN, NAN);
    VALUES(sunup_sum(f32(SUNUP_SHAPE(0, 2), NULL), 1, (const int[]){0}, false), 0, 0);
}

static void the_best_are_in_order_and_the_first_of_equals(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(2, 5), NUMBERS(3, 1, 3, NAN, 2, 0, -0.0F, -INFINITY, 0, -1));
    VALUES(sunup_top_k(x, 3, true), 3, 0, 2, 0, 1, 3);
    VALUES(sunup_top_k(x, 5, false), 1, 4, 0, 2, 3, 2, 4, 0, 1, 3);
    sunup_top_k(x, 6, true);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "k is 6; it must be from 1 to 128"));
}

static void logsumexp_holds_at_its_ends(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(4, 2),
                         NUMBERS(-INFINITY, -INFINITY, INFINITY, 1, 3e38F, 3e38F, -INFINITY, 88));
    sunup_value *y = sunup_logsumexp(x, 1, (const int[]){1}, false);
    VALUES(y, -INFINITY, INFINITY, 3e38F, 88);
    sunup_value *z = f32(SUNUP_SHAPE(3), NUMBERS(1000, 1000, -1000));
    VALUES(gradient_of_sum(sunup_logsumexp(z, 0, NULL, true), z), 0.5, 0.5, 0);
}

static void rolls_go_in_a_circle(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(2, 3), NUMBERS(1, 2, 3, 4, 5, 6));
    VALUES(sunup_roll(x, -1, 4), 3, 1, 2, 6, 4, 5);
    VALUES(sunup_roll(x, 0, -2), 1, 2, 3, 4, 5, 6);
    VALUES(sunup_min(x, 1, (const int[]){0}, true), 1, 2, 3);
    sunup_roll(x, 2, 1);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "no axis 2"));
}

/* Points far from 0 and equal ones: what rounding leaves is not below 0. */
static void distances_are_not_below_0(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(1, 3, 2), NUMBERS(1000.1F, 7.3F, 1000.1F, 7.3F, 3, 4));
    sunup_value *low = sunup_min(sunup_pairwise_distance(x), 0, NULL, false);
    VALUES(sunup_compare(low, sunup_scalar(g, SUNUP_F32, 0), SUNUP_GE), 1);
    sunup_value *y = f32(SUNUP_SHAPE(1, 2, 2), NUMBERS(1, 2, 4, 6));
    VALUES(sunup_pairwise_distance(y), 0, 25, 25, 0);
}

static void wrong_axes_are_named(void **state)
{
    (void)state;
    sunup_sum(f32(SUNUP_SHAPE(1, 2), NUMBERS(0, 0)), 2, (const int[]){1, -1}, false);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "[1, 2]: axis -1 is named twice"));
}

static void nothing_has_no_maximum(void **state)
{
    (void)state;
    sunup_max(f32(SUNUP_SHAPE(2, 0), NULL), 1, (const int[]){1}, false);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "nothing has no maximum"));
}

static void clamp_stops_the_gradient_outside(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(5), NUMBERS(-2, -1, 0.5F, 1, 3)), *y = sunup_clamp(x, -1, 1);
    VALUES(y, -1, -1, 0.5, 1, 1);
    VALUES(gradient_of_sum(y, x), 0, 1, 1, 1, 0);
    VALUES(gradient_of_sum(sunup_relu(x), x), 0, 0, 1, 1, 1);
    sunup_clamp(x, 1, -1);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_ARGUMENT);
}

static void compare_and_where_select(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(3), NUMBERS(1, 2, 3)), *two = sunup_scalar(g, SUNUP_F32, 2);
    VALUES(sunup_compare(x, two, SUNUP_LE), 1, 1, 0);
    VALUES(sunup_compare(x, two, SUNUP_NE), 1, 0, 1);
    VALUES(sunup_where(sunup_compare(x, two, SUNUP_GT), x, sunup_neg(two)), -2, -2, 3);
}

static void casts_round_and_stay_in_range(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(7), NUMBERS(-1.5F, 0.5F, 1.5F, 254.6F, 1e10F, -1e10F, NAN));
    VALUES(sunup_cast(x, SUNUP_I32), -2, 0, 2, 255, INT32_MAX, INT32_MIN, 0);
    VALUES(sunup_cast(x, SUNUP_U8), 0, 0, 2, 255, 255, 0, 0);
    VALUES(sunup_cast(f32(SUNUP_SHAPE(1), NUMBERS(0.1F)), SUNUP_F64), (double)0.1F);
    const int32_t large = 16777217;
    VALUES(sunup_cast(sunup_constant(g, SUNUP_I32, SUNUP_SHAPE(1), &large), SUNUP_F32), 16777216);
}

static void circular_padding_wraps_more_than_once(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(3), NUMBERS(1, 2, 3));
    sunup_value *y = sunup_pad(x, (const int64_t[]){4}, (const int64_t[]){5}, SUNUP_PAD_CIRCULAR);
    VALUES(y, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2);
    VALUES(gradient_of_sum(y, x), 4, 4, 4);
    VALUES(sunup_pad(x, (const int64_t[]){1}, (const int64_t[]){2}, SUNUP_PAD_ZERO), 0, 1, 2, 3, 0,
           0);
}

static void boxes_move_their_elements(void **state)
{
    (void)state;
    sunup_value *x = f32(SUNUP_SHAPE(2, 3), NUMBERS(1, 2, 3, 4, 5, 6)), *y[2], *turned[2];
    sunup_split(x, 1, 2, (const int64_t[]){1, 2}, y);
    VALUES(y[0], 1, 4);
    VALUES(y[1], 2, 3, 5, 6);
    turned[0] = y[1];
    turned[1] = y[0];
    VALUES(sunup_concat(2, turned, -1), 2, 3, 1, 5, 6, 4);
    VALUES(sunup_permute(x, (const int[]){1, 0}), 1, 4, 2, 5, 3, 6);
    VALUES(sunup_broadcast(y[0], SUNUP_SHAPE(2, 2, 2)), 1, 1, 4, 4, 1, 1, 4, 4);
    VALUES(sunup_reshape(x, SUNUP_SHAPE(-1, 2)), 1, 2, 3, 4, 5, 6);
    sunup_reshape(x, SUNUP_SHAPE(-1, 4));
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
}

/* ---------------------------------------------------------------- chain, custom --- */

enum { LONG = 1543 };

/* 2 exp(x * b) + x, once as a chain written over x, once as single ops: equal bits. */
static void a_chain_has_the_bits_of_its_steps(void **state)
{
    (void)state;
    static const struct chain_step steps[] = {
        {PW_mul, 0, 1, -1, {0, 0}},
        {PW_exp, 2, -1, -1, {0, 0}},
        {PW_affine, 3, -1, -1, {2, 0}},
        {PW_add, 4, 0, -1, {0, 0}},
    };
    const struct chain_attr attr = {4, 1, steps, (const int[]){5}};
    static float numbers[LONG];
    for (int i = 0; i < LONG; i++) numbers[i] = sinf((float)i);
    sunup_value *in[2] = {f32(SUNUP_SHAPE(LONG), numbers), f32(SUNUP_SHAPE(1), NUMBERS(0.7F))};
    sunup_value *v[2] = {sunup__node(g, &sunup__op_chain, 2, in, &attr, 1, NULL),
                         sunup_add(sunup_scale(sunup_exp(sunup_mul(in[0], in[1])), 2, 0), in[0])};
    struct interpreter run;
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    assert_int_equal(sunup__interpreter_create(g, 2, v, &run), SUNUP_OK);
    run.kernels = &kernels;
    assert_int_equal(sunup__interpreter_run(&run), SUNUP_OK);
    const void *want = sunup__interpreter_memory(&run, v[1]);
    assert_memory_equal(sunup__interpreter_memory(&run, v[0]), want, sizeof numbers);
    float scale[1] = {0.7F}, space[8 * LONG];
    assert_true(sunup__op_chain.workspace(v[0]->node, 1) <= (int64_t)sizeof space);
    void *operands[2] = {numbers, scale}, *results[1] = {numbers};
    const struct exec e = {ctx, &kernels, 1, operands, results, space, NULL};
    assert_int_equal(sunup__op_chain.run(v[0]->node, &e), SUNUP_OK);
    assert_memory_equal(numbers, want, sizeof numbers);
    sunup__interpreter_end(&run);
}

static void chains_that_are_no_program_are_refused(void **state)
{
    (void)state;
    static const struct chain_step steps[] = {
        {PW_add, 0, 1, -1, {0, 0}}}; /* register 1 is its own result */
    const struct chain_attr attr = {1, 1, steps, (const int[]){1}};
    sunup_value *x = f32(SUNUP_SHAPE(1), NUMBERS(1));
    assert_true(sunup__is_poison(sunup__node(g, &sunup__op_chain, 1, &x, &attr, 1, NULL)));
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_INTERNAL);
}

static void sum_forward(void *arg, const void *const *x, void *y)
{
    *(float *)y = *(const float *)arg * (*(const float *)x[0] + *(const float *)x[1]);
}

static void a_custom_op_without_backward_has_no_gradient(void **state)
{
    (void)state;
    float factor = 10;
    const sunup_custom custom = {"ours", sum_forward, NULL, &factor};
    sunup_value *x[2] = {f32(SUNUP_SCALAR, NUMBERS(1)), f32(SUNUP_SCALAR, NUMBERS(2))}, *dx;
    sunup_value *y = sunup_custom_op(&custom, 2, x, SUNUP_F32, SUNUP_SCALAR);
    VALUES(y, 30);
    sunup_gradient(y, 1, x, &dx);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_UNSUPPORTED);
    assert_string_equal(sunup_error(ctx),
                        "custom 'ours': its gradient was asked for but backward is NULL");
}

static void scaling_backward(void *arg, const void *const *x, const void *y, const void *dy,
                             void *const *dx)
{
    (void)x;
    (void)y;
    for (int i = 0; i < 2; i++)
        if (dx[i]) *(float *)dx[i] = *(const float *)arg * *(const float *)dy;
}

static void a_custom_op_is_differentiable_once(void **state)
{
    (void)state;
    float factor = 10;
    const sunup_custom custom = {"ours", sum_forward, scaling_backward, &factor};
    sunup_value *x[2] = {f32(SUNUP_SCALAR, NUMBERS(1)), f32(SUNUP_SCALAR, NUMBERS(2))}, *dx[2],
                *again;
    sunup_value *y = sunup_custom_op(&custom, 2, x, SUNUP_F32, SUNUP_SCALAR);
    sunup_gradient(sunup_square(y), 2, x, dx);
    VALUES(dx[1], 600);
    sunup_gradient(dx[0], 1, x, &again);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_UNSUPPORTED);
    assert_non_null(strstr(sunup_error(ctx), "custom_grad 'ours.grad'"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_op_passes_its_cases),
        TEST(unknown_ops_are_refused),
        TEST(the_check_finds_faults),
        TEST(a_gradient_rule_without_cases_fails),
        TEST(maxima_take_the_first_of_equals),
        TEST(sums_keep_or_drop_axes),
        TEST(the_best_are_in_order_and_the_first_of_equals),
        TEST(logsumexp_holds_at_its_ends),
        TEST(rolls_go_in_a_circle),
        TEST(distances_are_not_below_0),
        TEST(wrong_axes_are_named),
        TEST(nothing_has_no_maximum),
        TEST(clamp_stops_the_gradient_outside),
        TEST(compare_and_where_select),
        TEST(casts_round_and_stay_in_range),
        TEST(circular_padding_wraps_more_than_once),
        TEST(boxes_move_their_elements),
        TEST(a_chain_has_the_bits_of_its_steps),
        TEST(chains_that_are_no_program_are_refused),
        TEST(a_custom_op_without_backward_has_no_gradient),
        TEST(a_custom_op_is_differentiable_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
