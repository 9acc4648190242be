/* conv_winograd_row_test.c - the Winograd convolution along W, its data gradient and its weight
 * gradient against the op's plain way in f64 at every level, on sizes that make them cut their
 * work: ragged widths and channels, several sequences in a strip, dilation, taps of every size of
 * tile; and the same bits from any number of threads.
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

enum direction { FORWARD, DATA_GRADIENT, WEIGHT_GRADIENT, DIRECTIONS };
static const char *const names[] = {"conv_winograd_row", "conv_data_grad_winograd_row",
                                    "conv_weight_grad_winograd_row"};

struct problem {
    sunup_shape x, w;
    int64_t before, after, dilation;
    bool biased;
};

#define S SUNUP_SHAPE
static const struct problem problems[] = {
    {S(1, 40, 16), S(3, 16, 16), 1, 1, 1, false},
    {S(3, 17, 33), S(4, 33, 20), 0, 0, 1, true},
    {S(2, 23, 17), S(5, 17, 67), 2, 2, 1, true},
    {S(2, 31, 8), S(6, 8, 9), 7, 9, 1, true}, /* tiles of padding only */
    {S(1, 300, 20), S(7, 20, 33), 3, 3, 1, true},
    {S(2, 19, 130), S(8, 130, 66), 0, 0, 1, true}, /* pieces of a chunk */
    {S(2, 1501, 24), S(9, 24, 40), 4, 4, 1, true}, /* strips */
    {S(1, 2400, 128), S(10, 128, 33), 0, 0, 1, true},
    {S(70, 12, 16), S(5, 16, 31), 2, 2, 1, true}, /* sequences in a strip */
    {S(3, 45, 48), S(13, 48, 16), 5, 1, 1, false},
    {S(2, 101, 16), S(16, 16, 18), 0, 0, 2, true},
    {S(5, 83, 18), S(3, 18, 16), 3, 2, 3, true},
    {S(1, 9, 16), S(3, 16, 16), 4, 4, 4, true},   /* sequences that see nothing */
    {S(1, 3, 16), S(4, 16, 16), 11, 10, 7, true}, /* sequences without targets  */
    {S(2, 61, 40), S(20, 40, 24), 0, 0, 1, true},
    {S(3, 30, 9), S(30, 9, 130), 0, 0, 1, true}, /* one target */
    {S(2, 5, 26, 16), S(1, 5, 16, 18), 0, 4, 1, true},
};
#undef S

/* ---- a node and its operands ---- */

static sunup_value *build(sunup_graph *g, const struct problem *p, enum direction direction)
{
    sunup_conv_options o = sunup_conv_defaults();
    const int axis = p->x.n - 3;
    o.before[axis] = p->before;
    o.after[axis] = p->after;
    o.dilation[axis] = p->dilation;
    const sunup_dtype dtype = sunup_graph_dtype(g);
    const sunup_shape bias = SUNUP_SHAPE(p->w.d[p->w.n - 1]);
    sunup_value *w = sunup_input(g, "w", dtype, p->w), *x = sunup_input(g, "x", dtype, p->x);
    sunup_value *y = sunup_conv(x, w, p->biased ? sunup_input(g, "b", dtype, bias) : NULL, &o);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    if (direction == FORWARD) return y;
    sunup_value *dy = sunup_input(g, "dy", dtype, y->shape);
    if (direction == DATA_GRADIENT) return sunup__conv_data_grad(w, dy, y->node->attr);
    return sunup__conv_weight_grad(x, dy, y->node->attr);
}

/* ---- running it ---- */

static struct largest run(const struct device *cpu, const struct problem *p,
                          enum direction direction, struct known *k)
{
    sunup_graph *g = graph_of(cpu->ctx, SUNUP_F32), *g64 = graph_of(cpu->ctx, SUNUP_F64);
    const struct node *n = node_of(g, build(g, p, direction));
    struct operands in = draw_operands(n);
    know(k, cpu, node_of(g64, build(g64, p, direction)), &in);
    float *one = run_on_any_threads(maker_named(names[direction]), cpu, n, in.f32);
    const struct largest l = largest_of(sunup__elements(&n->out[0]->shape), one, k);
    sunup__free(one);
    drop_operands(&in);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&g64);
    return l;
}

/* ---- tests ---- */

enum { PROBLEMS = sizeof problems / sizeof *problems };
static struct known known[PROBLEMS][DIRECTIONS];

static void check_problems(const struct device *cpu)
{
    for (int i = 0; i < PROBLEMS; i++) {
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            const struct largest l =
                run(cpu, &problems[i], (enum direction)direction, &known[i][direction]);
            if (l.error <= 64 * 0x1p-24 * l.sum) continue;
            fail_msg("%s: %s of problem %d: error %g, largest sum of |products| %g",
                     cpu->kernels->isa, names[direction], i, l.error, l.sum);
        }
    }
}

static void agree_with_the_plain_way(void **state)
{
    (void)state;
    at_each_level(check_problems);
    for (int i = 0; i < PROBLEMS; i++)
        for (int direction = 0; direction < DIRECTIONS; direction++) forget(&known[i][direction]);
}

/* Shares of the largest result; winograd_row.h says so. */
static void check_errors(const struct device *cpu)
{
    static const struct {
        struct problem p;
        double most;
    } shapes[] = {
        {{SUNUP_SHAPE(2, 900, 128), SUNUP_SHAPE(3, 128, 128), 1, 1, 1, false}, 1.2e-6},
        {{SUNUP_SHAPE(2, 900, 64), SUNUP_SHAPE(16, 64, 128), 0, 0, 1, false}, 2e-6},
        {{SUNUP_SHAPE(2, 900, 128), SUNUP_SHAPE(10, 128, 128), 0, 0, 1, false}, 3.4e-6},
        {{SUNUP_SHAPE(2, 900, 300), SUNUP_SHAPE(5, 300, 64), 2, 2, 1, false}, 3e-6},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            struct known k = {NULL, NULL};
            const struct largest l = run(cpu, &shapes[i].p, (enum direction)direction, &k);
            forget(&k);
            if (l.error <= shapes[i].most * l.result) continue;
            fail_msg("%s: %s of shape %d: error %.2g of the largest", cpu->kernels->isa,
                     names[direction], (int)i, l.error / l.result);
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

static bool chosen(sunup_numerics numerics, const struct problem *p, enum direction direction)
{
    sunup_context *ctx;
    const struct device *cpu = open_level(NULL, numerics, &ctx);
    sunup_graph *g = graph_of(ctx, SUNUP_F32);
    const bool can =
        maker_named(names[direction])->can(cpu, node_of(g, build(g, p, direction)));
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return can;
}

/* Only where numerics allow it, and not where the direct sum is as fast. */
static void is_chosen_where_it_pays(void **state)
{
    (void)state;
#define S SUNUP_SHAPE
    const struct problem large = {S(4, 6000, 128), S(10, 128, 128), 0, 0, 1, false},
                         dilated = {S(32, 504, 128), S(16, 128, 256), 0, 0, 2, false},
                         few = {S(4, 6000, 2), S(10, 2, 128), 0, 0, 1, false},
                         narrow = {S(1, 20, 64), S(20, 64, 64), 0, 0, 1, false},
                         square = {S(4, 60, 60, 64), S(3, 3, 64, 64), 0, 0, 1, false};
#undef S
    for (int i = 0; i < DIRECTIONS; i++) {
        assert_true(chosen(SUNUP_NUMERICS_FAST, &large, (enum direction)i));
        assert_true(chosen(SUNUP_NUMERICS_FAST, &dilated, (enum direction)i));
        assert_false(chosen(SUNUP_NUMERICS_EXACT, &large, (enum direction)i));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &few, (enum direction)i));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &narrow, (enum direction)i));
        assert_false(chosen(SUNUP_NUMERICS_FAST, &square, (enum direction)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_plain_way),
                                       cmocka_unit_test(errors_are_as_documented),
                                       cmocka_unit_test(is_chosen_where_it_pays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
