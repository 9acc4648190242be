/* conv_weight_grad_winograd_test.c - the Winograd weight gradient against the op's plain way in f64
 * at every level, on sizes that make it cut its work: ragged maps and channels, several samples in
 * a part, chunks, blocks, more parts than one of a large dU; and the same bits from any number of
 * threads.
 *
 * Bound: 10^-5 of the largest |dw|. The error of large layers is 0.5e-6 to 3e-6 of it, one to six
 * times that of the direct way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/cpu/maker_f64_test.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

struct problem {
    sunup_shape x, w;
    int64_t before[3], after[3];
    bool circular;
    int64_t dilation[3]; /* 0: 1 */
};

#define S SUNUP_SHAPE
static const struct problem problems[] = {
    {S(1, 12, 12, 16), S(3, 3, 16, 16), {1, 1}, {1, 1}, false, {0}},
    {S(3, 17, 15, 33), S(3, 3, 33, 20), {1, 1}, {1, 1}, false, {0}},
    {S(2, 16, 18, 17), S(3, 3, 17, 18), {0, 0}, {0, 0}, false, {0}},
    {S(2, 13, 9, 20), S(3, 3, 20, 31), {2, 0}, {1, 3}, false, {0}},
    {S(19, 7, 7, 70), S(3, 3, 70, 65), {1, 1}, {1, 1}, false, {0}},     /* blocks, samples of a part */
    {S(8, 17, 17, 16), S(3, 3, 16, 24), {1, 1}, {1, 1}, false, {0}},    /* mosaics of 2x2 */
    {S(16, 14, 14, 33), S(3, 3, 33, 20), {1, 1}, {1, 1}, false, {0}},   /* and of 4x4 */
    {S(5, 14, 14, 129), S(3, 3, 129, 140), {1, 1}, {1, 1}, false, {0}}, /* large dU, by points */
    {S(4, 60, 60, 66), S(3, 3, 66, 70), {1, 1}, {1, 1}, false, {0}},    /* in parts */
    {S(2, 62, 131, 24), S(3, 3, 24, 40), {1, 1}, {1, 1}, false, {0}},   /* chunks */
    {S(1, 19, 22, 24, 70), S(3, 3, 3, 70, 16), {1, 1, 1}, {1, 1, 1}, false, {0}}, /* and blocks */
    {S(2, 9, 11, 16), S(3, 3, 16, 21), {1, 1}, {1, 1}, true, {0}},
    {S(2, 8, 6, 18), S(3, 3, 18, 16), {3, 2}, {2, 4}, true, {0}},
    {S(2, 9, 13, 15, 16), S(3, 3, 3, 16, 19), {1, 1, 1}, {1, 1, 1}, false, {0}},
    {S(8, 3, 9, 13, 16), S(3, 3, 3, 16, 19), {1, 1, 1}, {1, 1, 1}, false, {0}}, /* mosaics */
    {S(1, 30, 9, 10, 20), S(2, 3, 3, 20, 33), {1, 1, 1}, {1, 1, 1}, false, {0}},
    {S(1, 7, 9, 10, 70), S(5, 3, 3, 70, 80), {2, 1, 1}, {2, 1, 1}, false, {0}},
    {S(2, 4, 9, 10, 16), S(1, 3, 3, 16, 18), {1, 1, 1}, {0, 1, 1}, false, {0}},
    {S(1, 5, 9, 8, 16), S(3, 3, 3, 16, 17), {1, 1, 1}, {2, 1, 1}, true, {0}},
    {S(1, 12, 12, 16), S(5, 5, 16, 16), {2, 2}, {2, 2}, false, {0}},
    {S(3, 17, 15, 33), S(5, 5, 33, 20), {2, 2}, {2, 2}, false, {0}},
    {S(2, 13, 9, 20), S(5, 5, 20, 31), {4, 0}, {1, 3}, false, {0}},
    {S(19, 5, 7, 70), S(5, 5, 70, 65), {2, 2}, {2, 2}, false, {0}},
    {S(3, 8, 14, 129), S(5, 5, 129, 140), {2, 2}, {2, 2}, false, {0}},
    {S(2, 45, 45, 66), S(5, 5, 66, 70), {2, 2}, {2, 2}, false, {0}}, /* in two parts */
    {S(2, 32, 61, 24), S(5, 5, 24, 40), {2, 2}, {2, 2}, false, {0}},
    {S(2, 9, 11, 16), S(5, 5, 16, 21), {2, 2}, {2, 2}, true, {0}},
    {S(4, 9, 7, 16), S(5, 5, 16, 21), {4, 4}, {4, 4}, false, {0}}, /* mosaics */
    {S(2, 5, 7, 8, 16), S(3, 5, 5, 16, 19), {1, 2, 2}, {1, 2, 2}, false, {0}},
    {S(2, 4, 9, 10, 16), S(1, 5, 5, 16, 18), {1, 2, 2}, {0, 2, 2}, false, {0}},
    {S(2, 16, 12, 16), S(3, 3, 16, 17), {2, 2}, {2, 2}, false, {2, 2}}, /* dilated */
    {S(3, 13, 20, 33), S(3, 3, 33, 20), {2, 6}, {1, 5}, false, {2, 3}}, /* in ragged phases */
    {S(4, 2, 9, 16), S(3, 3, 16, 20), {4, 0}, {4, 1}, false, {4, 1}},   /* and empty ones */
    {S(4, 17, 17, 20), S(5, 5, 20, 24), {4, 4}, {4, 4}, false, {2, 2}},
    {S(2, 62, 131, 24), S(3, 3, 24, 40), {2, 3}, {2, 3}, false, {2, 3}},
    {S(1, 4, 9, 7, 16), S(3, 3, 3, 16, 18), {1, 2, 2}, {1, 2, 2}, false, {1, 2, 2}},
};
#undef S

static sunup_value *build(sunup_graph *g, const struct problem *p)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        o.before[i] = p->before[i];
        o.after[i] = p->after[i];
        if (p->dilation[i] > 0) o.dilation[i] = p->dilation[i];
    }
    if (p->circular) o.pad_mode = SUNUP_PAD_CIRCULAR;
    const sunup_dtype dtype = sunup_graph_dtype(g);
    sunup_value *x = sunup_input(g, "x", dtype, p->x);
    sunup_value *y = sunup_conv(x, sunup_input(g, "w", dtype, p->w), NULL, &o);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    return sunup__conv_weight_grad(x, sunup_input(g, "dy", dtype, y->shape), y->node->attr);
}

enum { PROBLEMS = sizeof problems / sizeof *problems };
static struct known known[PROBLEMS];

static void check_problems(const struct device *cpu)
{
    for (int i = 0; i < PROBLEMS; i++) {
        sunup_graph *g = graph_of(cpu->ctx, SUNUP_F32), *g64 = graph_of(cpu->ctx, SUNUP_F64);
        const struct node *n = node_of(g, build(g, &problems[i]));
        struct operands in = draw_operands(n);
        know(&known[i], cpu, node_of(g64, build(g64, &problems[i])), &in);
        float *one = run_on_any_threads(maker_named("conv_weight_grad_winograd"), cpu, n, in.f32);
        const struct largest l = largest_of(sunup__elements(&n->out[0]->shape), one, &known[i]);
        if (!(l.error <= 1e-5 * l.result))
            fail_msg("%s: problem %d: error %g, largest result %g", cpu->kernels->isa, i, l.error,
                     l.result);
        sunup__free(one);
        drop_operands(&in);
        sunup_graph_destroy(&g);
        sunup_graph_destroy(&g64);
    }
}

static void agrees_with_the_plain_way(void **state)
{
    (void)state;
    at_each_level(check_problems);
    for (int i = 0; i < PROBLEMS; i++) forget(&known[i]);
}

static bool can(sunup_numerics numerics, const struct problem *p)
{
    sunup_context *ctx;
    const struct device *cpu = open_level(NULL, numerics, &ctx);
    sunup_graph *g = graph_of(ctx, SUNUP_F32);
    const bool yes = maker_named("conv_weight_grad_winograd")->can(cpu, node_of(g, build(g, p)));
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return yes;
}

static void serves_what_it_is_asked_for_and_fast_at(void **state)
{
    (void)state;
    const struct problem
        wide = {SUNUP_SHAPE(4, 56, 56, 64), SUNUP_SHAPE(3, 3, 64, 64), {1, 1}, {1, 1}, false, {0}},
        thin = {SUNUP_SHAPE(4, 56, 56, 3), SUNUP_SHAPE(3, 3, 3, 64), {1, 1}, {1, 1}, false, {0}},
        five = {SUNUP_SHAPE(4, 56, 56, 64), SUNUP_SHAPE(5, 5, 64, 64), {2, 2}, {2, 2}, false, {0}},
        seven = {SUNUP_SHAPE(4, 56, 56, 64), SUNUP_SHAPE(7, 7, 64, 64), {3, 3}, {3, 3}, false, {0}},
        line = {SUNUP_SHAPE(4, 560, 64), SUNUP_SHAPE(3, 64, 64), {1}, {1}, false, {0}},
        dilated = {SUNUP_SHAPE(4, 56, 56, 64), SUNUP_SHAPE(3, 3, 64, 64), {2, 2}, {2, 2}, false, {2, 2}};
    assert_true(can(SUNUP_NUMERICS_FAST, &wide));
    assert_false(can(SUNUP_NUMERICS_EXACT, &wide));
    assert_false(can(SUNUP_NUMERICS_FAST, &thin));
    assert_true(can(SUNUP_NUMERICS_FAST, &five));
    assert_true(can(SUNUP_NUMERICS_FAST, &dilated));
    assert_false(can(SUNUP_NUMERICS_FAST, &seven));
    assert_false(can(SUNUP_NUMERICS_FAST, &line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_plain_way),
        cmocka_unit_test(serves_what_it_is_asked_for_and_fast_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
