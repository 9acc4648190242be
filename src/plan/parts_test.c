/* parts_test.c - plans of networks in parts: exact numerics give each output the bits of the whole,
 * a pass keeps a part of the memory on each process, and slabs joined with their margins are made
 * again for gradients instead of kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "graph/split/split.h"
#include "plan/plan.h"
#include "tensor/tensor.h"

enum { PARTS = 4, ROWS = 32, SIDE = 20, CLASSES = 3 };

static sunup_value *weight(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_parameter(g, name, shape, (sunup_init){SUNUP_INIT_UNIFORM, 0.1});
}

static sunup_value *conv(sunup_value *x, const char *name, int64_t taps, int64_t k)
{
    sunup_conv_options o = sunup_conv_defaults();
    o.padding = SUNUP_PADDING_SAME;
    const int64_t c = x->shape.d[x->shape.n - 1];
    return sunup_conv(x, weight(x->node->graph, name, SUNUP_SHAPE(taps, taps, taps, c, k)), NULL,
                      &o);
}

static sunup_value *up(sunup_value *x, const char *name, int64_t k)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) o.stride[i] = 2;
    const int64_t c = x->shape.d[x->shape.n - 1];
    return sunup_conv_transpose(x, weight(x->node->graph, name, SUNUP_SHAPE(2, 2, 2, k, c)), NULL,
                                &o);
}

/* Two levels with a skip; outputs "y" and "loss". */
static sunup_graph *net(sunup_context *ctx)
{
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(1, ROWS, SIDE, SIDE, 2));
    sunup_value *top = sunup_relu(conv(sunup_relu(conv(x, "a", 3, 16)), "b", 3, 16));
    sunup_value *low = sunup_relu(conv(sunup_max_pool(top, NULL), "c", 5, 32));
    sunup_value *both[] = {top, up(low, "d", 16)};
    sunup_value *y = conv(sunup_concat(2, both, -1), "e", 1, CLASSES);
    sunup_graph_output(g, "y", y);
    sunup_graph_output(g, "loss", sunup_mean(sunup_square(y), 0, NULL, false));
    if (sunup_graph_finish(g) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    return g;
}

static struct split *split(sunup_graph *whole, int own)
{
    struct split *s;
    const struct split_options o = {.parts = {.n = PARTS, .own = own}};
    if (sunup__split_create(whole, &o, &s) != SUNUP_OK) fail_msg("%s", sunup_error(whole->ctx));
    return s;
}

static float *run(sunup_graph *g, sunup_value *y)
{
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(g, 1, &y, &p), SUNUP_OK);
    assert_int_equal(sunup_plan_init(p, 3), SUNUP_OK);
    static float x[ROWS * SIDE * SIDE * 2];
    for (int i = 0; i < ROWS * SIDE * SIDE * 2; i++) x[i] = (float)(i * 37 % 101) / 50 - 1;
    assert_int_equal(sunup_plan_set(p, sunup_graph_find(g, "x"), x, sizeof x), SUNUP_OK);
    assert_int_equal(sunup_plan_run(p, (sunup_random_key){0}), SUNUP_OK);
    float *out = sunup__alloc(ROWS * SIDE * SIDE * CLASSES * sizeof *out);
    assert_int_equal(sunup_plan_get(p, y, out, ROWS * SIDE * SIDE * CLASSES * sizeof *out),
                     SUNUP_OK);
    sunup_plan_destroy(&p);
    return out;
}

static void exact_outputs_have_the_bits_of_the_whole(void **state)
{
    (void)state;
    sunup_context *ctx;
    sunup_context_options o = sunup_context_defaults();
    o.numerics = SUNUP_NUMERICS_EXACT;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    sunup_context_set_numerics(ctx, SUNUP_NUMERICS_EXACT);
    sunup_graph *g = net(ctx);
    sunup_value *y = sunup_graph_find(g, "y");
    struct split *s = split(g, PARTS);
    float *whole = run(g, y), *parts = run(sunup__split_graph(s), sunup__split_own(s, y));
    assert_memory_equal(whole, parts, ROWS * SIDE * SIDE * CLASSES * sizeof *whole);
    sunup__free(whole);
    sunup__free(parts);
    sunup__split_destroy(&s);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

/* Of a training pass. */
static double arena(sunup_graph *g, sunup_value *loss)
{
    enum { WEIGHTS = 5 };
    static const char *const names[WEIGHTS] = {"a", "b", "c", "d", "e"};
    sunup_value *wrt[WEIGHTS], *outputs[WEIGHTS + 1];
    for (int i = 0; i < WEIGHTS; i++) wrt[i] = sunup_graph_find(g, names[i]);
    sunup_gradient(loss, WEIGHTS, wrt, outputs);
    outputs[WEIGHTS] = loss;
    sunup_plan *p;
    const struct plan_options o = {.dry = true};
    assert_int_equal(sunup__plan_create(g, WEIGHTS + 1, outputs, &o, &p), SUNUP_OK);
    const double bytes = (double)sunup_plan_describe(p).arena_bytes;
    sunup_plan_destroy(&p);
    return bytes;
}

static double arena_of_parts(sunup_context *ctx, int own)
{
    sunup_graph *g = net(ctx);
    struct split *s = split(g, own);
    const double bytes =
        arena(sunup__split_graph(s), sunup__split_share(s, sunup_graph_find(g, "loss")));
    sunup__split_destroy(&s);
    sunup_graph_destroy(&g);
    return bytes;
}

/* Less than whole even on one process: what a step needs beside it is that of one slab. The limits are between the
 * figures with and without slabs made again. */
static void each_process_keeps_its_part(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_graph *g = net(ctx);
    const double whole = arena(g, sunup_graph_find(g, "loss"));
    sunup_graph_destroy(&g);
    assert_true(arena_of_parts(ctx, PARTS) < 0.96 * whole);
    assert_true(arena_of_parts(ctx, PARTS / 2) < 0.59 * whole);
    assert_true(arena_of_parts(ctx, 1) < 0.37 * whole);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_outputs_have_the_bits_of_the_whole),
        cmocka_unit_test(each_process_keeps_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
