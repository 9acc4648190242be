/* conv_winograd_test.c - the Winograd convolution and its data gradient against the op's plain way in
 * f64 at every level, on sizes that make them cut their work: ragged maps and channels, tiles of
 * several samples in a block, tiles that span samples, panels, parts of the depth, all ways of
 * sharing; and the same bits from any number of threads.
 *
 * Bound: an element's error is in proportion to the sums of |products| of its whole tile, so it is
 * given as a share of the largest: 64 roundings of the largest sum of |products|. What the
 * documentation says of the error, as a share of the largest result, is asserted for normal
 * numbers.
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

/* OTHER_PERIOD: of y than of x, so that there is no gradient this way. */
enum { CIRCULAR = 1, BIASED = 2, OTHER_PERIOD = 4 };

struct problem {
    sunup_shape x, w;
    int64_t before[3], after[3];
    int flags;
    int64_t dilation[3]; /* 0: 1 */
};

#define S SUNUP_SHAPE
static const struct problem problems[] = {
    {S(1, 12, 12, 16), S(3, 3, 16, 16), {1, 1}, {1, 1}, 0, {0}},
    {S(3, 17, 15, 33), S(3, 3, 33, 20), {1, 1}, {1, 1}, BIASED, {0}},
    {S(2, 16, 19, 17), S(3, 3, 17, 67), {0, 0}, {0, 0}, BIASED, {0}},
    {S(2, 13, 9, 5), S(3, 3, 5, 3), {2, 0}, {1, 3}, BIASED, {0}},
    {S(2, 3, 4, 16), S(3, 3, 16, 9), {5, 6}, {7, 5}, BIASED, {0}}, /* tiles of padding only */
    {S(2, 11, 6, 1), S(3, 3, 1, 33), {1, 1}, {1, 1}, BIASED, {0}},
    {S(37, 1, 1, 20), S(3, 3, 20, 18), {1, 1}, {1, 1}, BIASED, {0}}, /* narrow maps */
    {S(9, 2, 3, 16), S(3, 3, 16, 40), {1, 1}, {1, 1}, 0, {0}},
    {S(5, 5, 4, 16), S(3, 3, 16, 16), {1, 1}, {1, 1}, BIASED, {0}},
    {S(19, 7, 7, 70), S(3, 3, 70, 65), {1, 1}, {1, 1}, BIASED, {0}}, /* samples in a block */
    {S(1, 61, 131, 24), S(3, 3, 24, 40), {1, 1}, {1, 1}, BIASED, {0}},
    {S(8, 17, 17, 16), S(3, 3, 16, 24), {1, 1}, {1, 1}, BIASED, {0}},   /* mosaics of 2x2, */
    {S(16, 14, 14, 33), S(3, 3, 33, 20), {1, 1}, {1, 1}, BIASED, {0}},  /* of 4x4          */
    {S(6, 5, 9, 96), S(3, 3, 96, 100), {0, 1}, {2, 1}, BIASED, {0}},    /* and ragged ones */
    {S(32, 6, 6, 130), S(3, 3, 130, 130), {1, 1}, {1, 1}, BIASED, {0}}, /* by points       */
    {S(3, 7, 7, 144), S(3, 3, 144, 200), {1, 1}, {1, 1}, BIASED, {0}},  /* by panels */
    {S(23, 5, 6, 64), S(3, 3, 64, 250), {1, 1}, {0, 1}, BIASED, {0}},   /* and blocks */
    {S(2, 9, 11, 16), S(3, 3, 16, 21), {1, 1}, {1, 1}, CIRCULAR | BIASED, {0}},
    {S(2, 8, 6, 18), S(3, 3, 18, 16), {3, 2}, {2, 4}, CIRCULAR | OTHER_PERIOD, {0}},
    {S(2, 2, 1, 18), S(3, 3, 18, 16), {1, 1}, {1, 1}, CIRCULAR, {0}},
    {S(2, 9, 13, 15, 16), S(3, 3, 3, 16, 19), {1, 1, 1}, {1, 1, 1}, BIASED, {0}},
    {S(1, 30, 6, 7, 20), S(2, 3, 3, 20, 33), {1, 1, 1}, {0, 1, 1}, BIASED, {0}}, /* parts */
    {S(8, 3, 9, 13, 16), S(3, 3, 3, 16, 17), {1, 1, 1}, {1, 1, 1}, BIASED, {0}}, /* mosaics */
    {S(1, 3, 9, 10, 17), S(5, 3, 3, 17, 18), {4, 1, 1}, {6, 1, 1}, BIASED, {0}}, /* no taps seen */
    {S(2, 4, 9, 10, 16), S(1, 3, 3, 16, 18), {1, 1, 1}, {0, 1, 1}, BIASED, {0}},
    {S(1, 4, 6, 7, 64), S(3, 3, 3, 64, 70), {1, 1, 1}, {1, 1, 1}, BIASED, {0}}, /* by panels */
    {S(1, 5, 9, 8, 16), S(3, 3, 3, 16, 17), {1, 1, 1}, {1, 1, 1}, CIRCULAR, {0}},
    {S(1, 2, 5, 6, 16), S(5, 3, 3, 16, 17), {2, 1, 1}, {2, 1, 1}, CIRCULAR, {0}},
    {S(1, 12, 12, 16), S(5, 5, 16, 16), {2, 2}, {2, 2}, 0, {0}},
    {S(3, 17, 15, 33), S(5, 5, 33, 20), {2, 2}, {2, 2}, BIASED, {0}},
    {S(2, 13, 9, 5), S(5, 5, 5, 3), {4, 0}, {1, 3}, BIASED, {0}},
    {S(2, 11, 6, 1), S(5, 5, 1, 33), {2, 2}, {2, 2}, BIASED, {0}},
    {S(2, 2, 3, 16), S(5, 5, 16, 9), {7, 8}, {9, 6}, BIASED, {0}}, /* tiles of padding only */
    {S(37, 1, 1, 20), S(5, 5, 20, 18), {2, 2}, {2, 2}, BIASED, {0}},
    {S(19, 5, 7, 70), S(5, 5, 70, 65), {2, 2}, {2, 2}, BIASED, {0}},
    {S(1, 61, 31, 24), S(5, 5, 24, 40), {1, 2}, {3, 2}, BIASED, {0}},
    {S(2, 4, 5, 144), S(5, 5, 144, 200), {2, 2}, {2, 2}, BIASED, {0}},   /* by panels */
    {S(1, 12, 20, 96), S(5, 5, 96, 200), {2, 2}, {2, 2}, BIASED, {0}},   /* by points */
    {S(2, 26, 26, 130), S(5, 5, 130, 130), {2, 2}, {2, 2}, BIASED, {0}}, /* and rounds */
    {S(2, 9, 11, 16), S(5, 5, 16, 21), {2, 2}, {2, 2}, CIRCULAR | BIASED, {0}},
    {S(4, 9, 7, 16), S(5, 5, 16, 21), {0, 4}, {0, 4}, BIASED, {0}}, /* mosaics */
    {S(2, 9, 7, 8, 16), S(3, 5, 5, 16, 19), {1, 2, 2}, {1, 2, 2}, BIASED, {0}},
    {S(2, 4, 9, 10, 16), S(1, 5, 5, 16, 18), {1, 2, 2}, {0, 2, 2}, BIASED, {0}},
    {S(1, 30, 6, 7, 20), S(2, 5, 5, 20, 33), {1, 2, 2}, {0, 2, 2}, BIASED, {0}},
    {S(2, 16, 12, 16), S(3, 3, 16, 17), {2, 2}, {2, 2}, BIASED, {2, 2}}, /* dilated */
    {S(3, 13, 20, 33), S(3, 3, 33, 20), {2, 6}, {1, 5}, BIASED, {2, 3}}, /* in ragged phases */
    {S(4, 2, 9, 16), S(3, 3, 16, 20), {4, 0}, {4, 1}, BIASED, {4, 1}},   /* and empty ones */
    {S(4, 17, 17, 20), S(5, 5, 20, 24), {4, 4}, {4, 4}, 0, {2, 2}},
    {S(2, 9, 9, 144), S(3, 3, 144, 200), {2, 2}, {2, 2}, BIASED, {2, 2}},
    {S(1, 4, 9, 7, 16), S(3, 3, 3, 16, 18), {1, 2, 2}, {1, 2, 2}, BIASED, {1, 2, 2}},
};
#undef S

/* ---- a node and its operands ---- */

static sunup_value *build(sunup_graph *g, const struct problem *p, bool gradient)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        o.before[i] = p->before[i];
        o.after[i] = p->after[i];
        if (p->dilation[i] > 0) o.dilation[i] = p->dilation[i];
    }
    if (p->flags & CIRCULAR) o.pad_mode = SUNUP_PAD_CIRCULAR;
    const sunup_dtype dtype = sunup_graph_dtype(g);
    const sunup_shape bias = SUNUP_SHAPE(p->w.d[p->w.n - 1]);
    sunup_value *w = sunup_input(g, "w", dtype, p->w);
    sunup_value *y = sunup_conv(sunup_input(g, "x", dtype, p->x), w,
                                p->flags & BIASED ? sunup_input(g, "b", dtype, bias) : NULL, &o);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    if (!gradient) return y;
    return sunup__conv_data_grad(w, sunup_input(g, "dy", dtype, y->shape), y->node->attr);
}

/* ---- running it ---- */

static const struct maker *maker(bool gradient)
{
    return maker_named(gradient ? "conv_data_grad_winograd" : "conv_winograd");
}

static struct largest run(const struct device *cpu, const struct problem *p, bool gradient,
                          struct known *k)
{
    sunup_graph *g = graph_of(cpu->ctx, SUNUP_F32), *g64 = graph_of(cpu->ctx, SUNUP_F64);
    const struct node *n = node_of(g, build(g, p, gradient));
    struct operands in = draw_operands(n);
    know(k, cpu, node_of(g64, build(g64, p, gradient)), &in);
    float *one = run_on_any_threads(maker(gradient), cpu, n, in.f32);
    const struct largest l = largest_of(sunup__elements(&n->out[0]->shape), one, k);
    sunup__free(one);
    drop_operands(&in);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&g64);
    return l;
}

/* ---- tests ---- */

enum { PROBLEMS = sizeof problems / sizeof *problems };
static struct known known[PROBLEMS][2];

static void check_problems(const struct device *cpu)
{
    for (size_t i = 0; i < PROBLEMS; i++) {
        for (int gradient = 0; gradient < 2; gradient++) {
            const struct problem *p = &problems[i];
            if (gradient && (p->flags & OTHER_PERIOD)) continue;
            const struct largest l = run(cpu, p, gradient != 0, &known[i][gradient]);
            if (l.error <= 64 * 0x1p-24 * l.sum) continue;
            fail_msg("%s: %s of problem %d: error %g, largest sum of |products| %g",
                     cpu->kernels->isa, gradient ? "gradient" : "convolution", (int)i, l.error,
                     l.sum);
        }
    }
}

static void agree_with_the_plain_way(void **state)
{
    (void)state;
    at_each_level(check_problems);
    for (int i = 0; i < PROBLEMS; i++)
        for (int gradient = 0; gradient < 2; gradient++) forget(&known[i][gradient]);
}

/* Normal numbers; the largest error as a share of the largest result. */
static void check_errors(const struct device *cpu)
{
    static const struct {
        int64_t taps, channels;
        double most;
    } shapes[] = {{3, 32, 3e-6}, {3, 64, 4e-6}, {3, 256, 8e-6},
                  {5, 32, 3e-6}, {5, 64, 4e-6}, {5, 256, 8e-6}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t c = shapes[i].channels, taps = shapes[i].taps, pad = taps / 2;
        const struct problem p = {
            SUNUP_SHAPE(1, 14, 14, c), SUNUP_SHAPE(taps, taps, c, c), {pad, pad}, {pad, pad}, 0, {0}};
        for (int gradient = 0; gradient < 2; gradient++) {
            struct known k = {NULL, NULL};
            const struct largest l = run(cpu, &p, gradient != 0, &k);
            forget(&k);
            print_message("%s, %d x %d, %d channels, %s: %.2g of the largest\n", cpu->kernels->isa,
                          (int)taps, (int)taps, (int)c, gradient ? "gradient" : "forward",
                          l.error / l.result);
            assert_true(l.error <= shapes[i].most * l.result);
        }
    }
}

static void errors_are_as_documented(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* a minute for numbers that do not depend on the sanitizer */
#endif
    at_each_level(check_errors);
}

static bool chosen(sunup_numerics numerics, const struct problem *p, bool gradient)
{
    sunup_context *ctx;
    const struct device *cpu = open_level(NULL, numerics, &ctx);
    sunup_graph *g = graph_of(ctx, SUNUP_F32);
    const bool can = maker(gradient)->can(cpu, node_of(g, build(g, p, gradient)));
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return can;
}

/* Only where numerics allow it, and not where the direct sum is as fast. */
static void is_chosen_where_it_pays(void **state)
{
    (void)state;
#define S SUNUP_SHAPE
    const struct problem large = {S(16, 28, 28, 64), S(3, 3, 64, 64), {1, 1}, {1, 1}, 0, {0}},
                         few = {S(16, 28, 28, 3), S(3, 3, 3, 64), {1, 1}, {1, 1}, 0, {0}},
                         narrow = {S(1, 1, 1, 64), S(3, 3, 64, 64), {1, 1}, {1, 1}, 0, {0}},
                         weights = {S(1, 7, 7, 512), S(3, 3, 512, 512), {1, 1}, {1, 1}, 0, {0}},
                         shifted = {S(16, 28, 28, 64),
                                    S(3, 3, 64, 64),
                                    {2, 1},
                                    {2, 1},
                                    CIRCULAR | OTHER_PERIOD,
                                    {0}},
                         five = {S(16, 28, 28, 64), S(5, 5, 64, 64), {2, 2}, {2, 2}, 0, {0}},
                         taps = {S(16, 28, 28, 64), S(3, 5, 64, 64), {1, 2}, {1, 2}, 0, {0}},
                         seven = {S(16, 28, 28, 64), S(7, 7, 64, 64), {3, 3}, {3, 3}, 0, {0}},
                         dilated = {S(4, 56, 56, 64), S(3, 3, 64, 64), {2, 2}, {2, 2}, 0, {2, 2}},
                         uneven = {S(4, 56, 56, 64), S(3, 3, 64, 64), {1, 2}, {3, 2}, 0, {2, 2}};
#undef S
    assert_true(chosen(SUNUP_NUMERICS_FAST, &shifted, false));
    assert_false(chosen(SUNUP_NUMERICS_FAST, &shifted, true));
    for (int gradient = 0; gradient < 2; gradient++) {
        assert_true(chosen(SUNUP_NUMERICS_FAST, &large, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_EXACT, &large, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &few, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &narrow, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &weights, gradient != 0));
        assert_true(chosen(SUNUP_NUMERICS_FAST, &five, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &taps, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &seven, gradient != 0));
        assert_true(chosen(SUNUP_NUMERICS_FAST, &dilated, gradient != 0));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &uneven, gradient != 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_plain_way),
                                       cmocka_unit_test(errors_are_as_documented),
                                       cmocka_unit_test(is_chosen_where_it_pays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
