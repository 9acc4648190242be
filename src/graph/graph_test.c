/* graph_test.c - building (names, mistakes and their sentences, lack of memory) and gradients with
 * closed forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "graph/interpret.h"

static sunup_context *ctx;
static sunup_graph *g;

static int set_up(void **state)
{
    (void)state;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return -1;
    sunup_graph_options options = sunup_graph_defaults();
    options.dtype = SUNUP_F64;
    options.batch = 3;
    return sunup_graph_create(ctx, &options, &g) == SUNUP_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return 0;
}

static sunup_value *f64(const char *name, sunup_shape shape)
{
    return sunup_input(g, name, SUNUP_F64, shape);
}

static const sunup_init zero = {SUNUP_INIT_CONSTANT, 0};

/* ------------------------------------------------------------------- mistakes --- */

/* The graph's first mistake is of this kind and says this. */
static void assert_mistake(sunup_status status, const char *sentence)
{
    assert_int_equal(sunup_graph_finish(g), status);
    assert_string_equal(sunup_error(ctx), sentence);
}

static void shapes_that_do_not_fit_are_named(void **state)
{
    (void)state;
    sunup__graph_layer(g, "join1");
    sunup_value *v = sunup_add(f64("a", SUNUP_SHAPE(2, 3)), f64("b", SUNUP_SHAPE(4)));
    sunup__graph_layer(g, NULL);
    assert_true(sunup__is_poison(v));
    assert_mistake(SUNUP_E_SHAPE,
                   "add 'join1': shapes [2, 3] and [4] do not broadcast: aligned at the "
                   "last axis, lengths must be equal or 1");
}

static void the_first_mistake_is_kept_and_poison_spreads(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2, 3));
    sunup_value *bad = sunup_slice(x, 1, 2, 2), *y[2];
    sunup_value *worse = sunup_reshape(sunup_relu(bad), SUNUP_SHAPE(7));
    sunup_split(worse, 0, 2, (const int64_t[]){3, 4}, y);
    sunup_gradient(sunup_sum(sunup_mul(y[0], x), 0, NULL, false), 1, &x, y);
    assert_true(sunup__is_poison(worse) && sunup__is_poison(y[0]) && sunup__is_poison(y[1]));
    sunup_reshape(x, SUNUP_SHAPE(7));
    assert_mistake(SUNUP_E_SHAPE,
                   "slice 'slice1': axis 1: 2 elements from 2 on are not all inside x [2, 3]");
}

static void types_must_agree(void **state)
{
    (void)state;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(2));
    assert_true(sunup__is_poison(sunup_mul(x, f64("y", SUNUP_SHAPE(2)))));
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "sunup_cast"));
}

static void an_absent_operand_is_a_mistake(void **state)
{
    (void)state;
    assert_true(sunup__is_poison(sunup_add(f64("x", SUNUP_SHAPE(2)), NULL)));
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_ARGUMENT);
    assert_null(sunup_add(NULL, NULL));
}

static void operands_of_two_graphs_do_not_mix(void **state)
{
    (void)state;
    sunup_graph *other;
    assert_int_equal(sunup_graph_create(ctx, NULL, &other), SUNUP_OK);
    sunup_value *y = sunup_input(other, "y", SUNUP_F64, SUNUP_SHAPE(2));
    assert_true(sunup__is_poison(sunup_add(f64("x", SUNUP_SHAPE(2)), y)));
    assert_mistake(SUNUP_E_ARGUMENT, "add 'add1': operand 1 ('y') is of another graph");
    sunup_graph_destroy(&other);
    assert_null(other);
}

static void names_are_unique(void **state)
{
    (void)state;
    sunup_graph_scope(g, "block1.");
    sunup_parameter(g, "weight", SUNUP_SHAPE(2), zero);
    sunup_graph_scope(g, "block2.");
    sunup_parameter(g, "weight", SUNUP_SHAPE(2), zero);
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    sunup_state(g, "weight", SUNUP_SHAPE(2), zero);
    assert_mistake(SUNUP_E_ARGUMENT,
                   "state 'block2.weight': the name is taken by the parameter at node 1; "
                   "choose another, or a scope");
}

static void a_loss_is_a_scalar(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2, 1)), *dx;
    sunup_gradient(x, 1, &x, &dx);
    assert_true(sunup__is_poison(dx));
    assert_mistake(
        SUNUP_E_SHAPE,
        "gradient of 'x': a loss must be a scalar but it has shape [2, 1]; use sunup_sum, "
        "sunup_mean or sunup_gradient_from");
}

static void integers_have_no_gradient(void **state)
{
    (void)state;
    sunup_value *i = sunup_input(g, "i", SUNUP_I32, SUNUP_SHAPE(2)), *di;
    sunup_gradient(sunup_sum(sunup_cast(i, SUNUP_F64), 0, NULL, false), 1, &i, &di);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "'i', which is i32"));
}

static void averages_go_to_states(void **state)
{
    (void)state;
    sunup_value *s = sunup_state(g, "running", SUNUP_SHAPE(2), zero);
    sunup_average(s, f64("x", SUNUP_SHAPE(2)), 0.1);
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    assert_int_equal(g->n_averages, 1);
    sunup_average(s, f64("y", SUNUP_SHAPE(3)), 0.1);
    assert_int_equal(sunup_graph_finish(g), SUNUP_E_SHAPE);
}

static void outputs_and_sources_are_found(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2)), *y = sunup_exp(x);
    sunup_graph_scope(g, "head.");
    sunup_value *w = sunup_parameter(g, "w", SUNUP_SHAPE(2), zero);
    sunup_graph_output(g, "loss", y);
    assert_ptr_equal(sunup_graph_find(g, "x"), x);
    assert_ptr_equal(sunup_graph_find(g, "head.w"), w);
    assert_ptr_equal(sunup_graph_find(g, "loss"), y);
    assert_null(sunup_graph_find(g, "w"));
    assert_null(sunup_graph_find(g, y->name)); /* layers are not found, only sources and outputs */
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    sunup_graph_output(g, "loss", x);
    assert_mistake(SUNUP_E_ARGUMENT, "there are two outputs 'loss'");
}

static void options_are_checked(void **state)
{
    (void)state;
    sunup_graph *other;
    sunup_graph_options options = sunup_graph_defaults();
    options.batch = 0;
    assert_int_equal(sunup_graph_create(ctx, &options, &other), SUNUP_E_ARGUMENT);
    assert_null(other);
    options = sunup_graph_defaults();
    options.dtype = SUNUP_U8;
    assert_int_equal(sunup_graph_create(ctx, &options, &other), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup_graph_batch(g), 3);
    assert_int_equal(sunup_graph_dtype(g), SUNUP_F64);
    assert_false(sunup_graph_training(g));
}

/* Makes every allocation fail in turn: a sentence each time, and no crash. */
static void lack_of_memory_is_a_mistake_too(void **state)
{
    (void)state;
    int failures = 0;
    for (int64_t nth = 0;; nth++) {
        sunup_graph *small = NULL;
        sunup__fail_allocation(nth);
        sunup_status status = sunup_graph_create(ctx, NULL, &small);
        if (status == SUNUP_OK) {
            sunup_value *x = sunup_input(small, "x", SUNUP_F32, SUNUP_SHAPE(70000)), *dx;
            sunup_value *c =
                sunup_constant(small, SUNUP_F32, SUNUP_SHAPE(1, 20000), (float[20000]){0});
            sunup_gradient(sunup_sum(sunup_mul(x, sunup_sum(c, 0, NULL, false)), 0, NULL, false), 1,
                           &x, &dx);
            sunup_graph_output(small, "dx", dx);
            status = sunup_graph_finish(small);
        }
        sunup__fail_allocation(-1);
        sunup_graph_destroy(&small);
        if (status == SUNUP_OK) break;
        assert_int_equal(status, SUNUP_E_MEMORY);
        failures++;
    }
    assert_true(failures > 5);
}

/* -------------------------------------------------------------------- gradients --- */

static struct interpreter run;
static struct kernels kernels;

/* Computes outputs[0..n-1] with x filled from `numbers`; the interpreter lives until stop(). */
static void start(int n, sunup_value **outputs, sunup_value *x, const double *numbers)
{
    sunup_value *all[8] = {x};
    memcpy(all + 1, outputs, (size_t)n * sizeof *outputs);
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    assert_true(sunup__kernels_init(&kernels, sunup__cpu_flags(), NULL));
    assert_int_equal(sunup__interpreter_create(g, n + 1, all, &run), SUNUP_OK);
    run.kernels = &kernels;
    memcpy(sunup__interpreter_memory(&run, x), numbers,
           (size_t)sunup__elements(&x->shape) * sizeof(double));
    assert_int_equal(sunup__interpreter_run(&run), SUNUP_OK);
}

static double result(const sunup_value *v, int i)
{
    return ((const double *)sunup__interpreter_memory(&run, v))[i];
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-14 * (1 + fabs(want)))) fail_msg("%.17g is not %.17g", got, want);
}

static sunup_value *total(sunup_value *x)
{
    return sunup_sum(x, 0, NULL, false);
}

static void a_value_used_twice_adds_its_gradients(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(3)), *dx;
    sunup_value *e = sunup_exp(x);
    sunup_gradient(total(sunup_add(sunup_mul(e, x), sunup_mul(x, x))), 1, &x, &dx);
    const double at[] = {-0.5, 0, 1.25};
    start(1, &dx, x, at);
    for (int i = 0; i < 3; i++) assert_near(result(dx, i), exp(at[i]) * (at[i] + 1) + 2 * at[i]);
    sunup__interpreter_end(&run);
}

static void relu_before_a_max_pool_works_on_its_results(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(1, 8, 1)), *dx;
    sunup_pool_options o = sunup_pool_defaults();
    o.window[0] = 2;
    sunup_value *y = sunup_max_pool(sunup_relu(x), &o);
    assert_int_equal(sunup__elements(&y->node->in[0]->shape), 4);
    sunup_gradient(total(sunup_mul(y, y)), 1, &x, &dx);
    const double at[] = {-1, 3, 2, 2, -2, -1, 0, -5}, pooled[] = {3, 2, 0, 0};
    sunup_value *outputs[] = {y, dx};
    start(2, outputs, x, at);
    for (int i = 0; i < 4; i++) assert_near(result(y, i), pooled[i]);
    for (int i = 0; i < 8; i++) assert_near(result(dx, i), i == 1 ? 6 : i == 2 ? 4 : 0);
    sunup__interpreter_end(&run);
}

static void stretched_operands_get_sums(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2, 1)), *dx;
    const double row[] = {1, 10, 100};
    sunup_value *c = sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(3), row);
    sunup_gradient(total(sunup_mul(sunup_square(x), c)), 1, &x, &dx);
    assert_int_equal(dx->shape.n, 2);
    const double at[] = {3, -0.5};
    start(1, &dx, x, at);
    for (int i = 0; i < 2; i++) assert_near(result(dx, i), 2 * at[i] * 111);
    sunup__interpreter_end(&run);
}

static void independent_values_get_zeros(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2)), *w = f64("w", SUNUP_SHAPE(5, 3));
    sunup_value *later, *wrt[3] = {w, x, NULL}, *d[3];
    sunup_value *loss = total(sunup_where(sunup_compare(x, x, SUNUP_EQ), x, sunup_neg(x)));
    later = wrt[2] = sunup_sin(x);
    sunup_gradient(loss, 3, wrt, d);
    assert_true(sunup__same_shape(&d[0]->shape, &w->shape));
    assert_true(sunup__same_shape(&d[2]->shape, &later->shape));
    start(3, d, x, (const double[]){4, 5});
    for (int i = 0; i < 15; i++) assert_true(result(d[0], i) == 0);
    assert_near(result(d[1], 1), 1);
    assert_true(result(d[2], 0) == 0);
    sunup__interpreter_end(&run);
}

static void gradients_by_intermediate_values(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SCALAR), *d[3];
    sunup_value *u = sunup_square(x), *y = sunup_mul(u, x);
    sunup_value *wrt[] = {u, x, y};
    sunup_gradient(y, 3, wrt, d);
    start(3, d, x, (const double[]){3});
    assert_near(result(d[0], 0), 3);  /* d (u x) / du, x held */
    assert_near(result(d[1], 0), 27); /* 3 x^2                */
    assert_near(result(d[2], 0), 1);
    sunup__interpreter_end(&run);
}

static void gradients_of_gradients(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2)), *d[6];
    sunup_value *cube = sunup_mul(sunup_square(x), x);
    sunup_value *y[] = {cube, sunup_tanh(x), sunup_gelu(x)};
    for (int k = 0; k < 3; k++) {
        sunup_gradient(total(y[k]), 1, &x, &d[k]);
        sunup_gradient(total(d[k]), 1, &x, &d[3 + k]);
    }
    sunup_gradient(total(d[3]), 1, &x, &d[0]); /* the third derivative of the cube */
    const double at[] = {-0.75, 0.5};
    start(6, d, x, at);
    for (int i = 0; i < 2; i++) {
        const double t = tanh(at[i]), a2 = at[i] * at[i];
        assert_near(result(d[0], i), 6);
        assert_near(result(d[3], i), 6 * at[i]);
        assert_near(result(d[4], i), -2 * t * (1 - t * t));
        assert_near(result(d[5], i), (2 - a2) * exp(-a2 / 2) / sqrt(2 * acos(-1)));
    }
    sunup__interpreter_end(&run);
}

static void gradient_nodes_carry_their_layer(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(2)), *dx;
    sunup_graph_scope(g, "net.");
    sunup__graph_layer(g, "act1");
    sunup_value *y = sunup_softplus(x);
    sunup__graph_layer(g, NULL);
    sunup_gradient(total(y), 1, &x, &dx);
    assert_string_equal(y->name, "net.act1");
    assert_string_equal(dx->node->layer, "net.act1.grad");
    assert_string_equal(g->scope, "net.");
    assert_null(g->layer);
}

static void a_graph_prints_one_line_a_node(void **state)
{
    (void)state;
    sunup_value *y[2];
    sunup_split(f64("x", SUNUP_SHAPE(2, 3)), 1, 2, (const int64_t[]){1, 2}, y);
    sunup_graph_output(g, "y", sunup_add(y[0], y[1]));
    char *text = sunup__graph_print(g);
    assert_string_equal(
        text, " node  op               layer                    values  <- operands\n"
              "    0  input            x                        f64 [2, 3]\n"
              "    1  split            split1                   f64 [2, 1], f64 [2, 2]  <- 0\n"
              "    2  add              add2                     f64 [2, 2]  <- 1.0 1.1\n"
              "output 'y' is node 2\n");
    sunup_free(text);
}

static void costs_count_flops_and_bytes(void **state)
{
    (void)state;
    sunup_value *x = f64("x", SUNUP_SHAPE(5, 3)), *b = f64("b", SUNUP_SHAPE(3));
    const struct cost add = sunup__node_cost(sunup_add(x, b)->node);
    const struct cost view = sunup__node_cost(sunup_reshape(x, SUNUP_SHAPE(15))->node);
    const struct cost copy = sunup__node_cost(sunup_permute(x, (const int[]){1, 0})->node);
    assert_true(add.flops == 15 && add.bytes == 8 * (15 + 3 + 15));
    assert_true(view.flops == 0 && view.bytes == 0);
    assert_true(copy.flops == 0 && copy.bytes == 8 * 30);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(shapes_that_do_not_fit_are_named),
        TEST(the_first_mistake_is_kept_and_poison_spreads),
        TEST(types_must_agree),
        TEST(an_absent_operand_is_a_mistake),
        TEST(operands_of_two_graphs_do_not_mix),
        TEST(names_are_unique),
        TEST(a_loss_is_a_scalar),
        TEST(integers_have_no_gradient),
        TEST(averages_go_to_states),
        TEST(outputs_and_sources_are_found),
        TEST(options_are_checked),
        TEST(lack_of_memory_is_a_mistake_too),
        TEST(a_value_used_twice_adds_its_gradients),
        TEST(relu_before_a_max_pool_works_on_its_results),
        TEST(stretched_operands_get_sums),
        TEST(independent_values_get_zeros),
        TEST(gradients_by_intermediate_values),
        TEST(gradients_of_gradients),
        TEST(gradient_nodes_carry_their_layer),
        TEST(a_graph_prints_one_line_a_node),
        TEST(costs_count_flops_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
