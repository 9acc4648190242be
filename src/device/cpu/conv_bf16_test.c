/* conv_bf16_test.c - the three bf16 convolutions against the op's plain way in f64 on the same
 * rounded operands, and those of operands in two parts on operands as they are, whatever geometry
 * decides how they cut their work; and the same bits from any number of threads. They must be right
 * where they do not pay, too. Without tiles they offer themselves only where Winograd's way does not,
 * and taps see the input rather than padding.
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
    int64_t stride[3], dilation[3], before[3], after[3];
    bool circular;
};

#define S SUNUP_SHAPE
#define ONES                                                                                       \
    {                                                                                              \
        1, 1, 1                                                                                    \
    }
#define PAD(n)                                                                                     \
    {                                                                                              \
        n, n, n                                                                                    \
    }
static const struct problem problems[] = {
    {S(2, 9, 11, 32), S(3, 3, 32, 32), ONES, ONES, PAD(1), PAD(1), false},
    {S(3, 7, 7, 66), S(3, 3, 66, 70), ONES, ONES, PAD(1), PAD(1), false},
    {S(2, 16, 18, 17), S(3, 3, 17, 19), ONES, ONES, PAD(0), PAD(0), false},
    {S(2, 13, 9, 40), S(3, 3, 40, 31), ONES, ONES, {2, 0}, {1, 3}, false},
    {S(2, 15, 14, 33), S(3, 3, 33, 48), {2, 2}, {1, 1}, PAD(1), PAD(1), false},
    {S(2, 14, 15, 16), S(1, 1, 16, 130), {2, 2}, {1, 1}, PAD(0), PAD(0), false},
    {S(2, 8, 9, 64), S(1, 1, 64, 40), ONES, ONES, PAD(0), PAD(0), false},
    {S(1, 5, 4, 530), S(1, 1, 530, 33), ONES, ONES, PAD(0), PAD(0), false},
    {S(2, 20, 17, 18), S(3, 2, 18, 16), {3, 2}, {2, 3}, {2, 1}, {1, 2}, false},
    {S(2, 19, 20, 16), S(2, 2, 16, 17), {3, 3}, {1, 1}, PAD(0), PAD(0), false},
    {S(1, 31, 33, 20), S(5, 7, 20, 24), {1, 2}, {1, 1}, {2, 3}, {2, 3}, false},
    {S(3, 300, 16), S(20, 16, 24), ONES, ONES, PAD(0), PAD(0), false},
    {S(2, 77, 31), S(3, 31, 65), {1}, {4}, {4}, {4}, false},
    {S(1, 6, 7, 8, 16), S(3, 3, 3, 16, 19), ONES, ONES, PAD(1), PAD(1), false},
    {S(1, 7, 6, 9, 18), S(3, 3, 3, 18, 16), {2, 2, 2}, ONES, PAD(1), PAD(1), false},
    {S(2, 9, 8, 17), S(3, 3, 17, 16), ONES, ONES, PAD(1), PAD(1), true},
    {S(2, 9, 8, 16), S(5, 3, 16, 16), {2, 1}, {1, 2}, PAD(2), PAD(2), true},
    {S(16, 28, 28, 64), S(3, 3, 64, 64), ONES, ONES, PAD(1), PAD(1), false}, /* several chunks */
    {S(16, 56, 56, 64), S(1, 1, 64, 96), ONES, ONES, PAD(0), PAD(0), false}, /* streamed */
    /* several boxes of a plane */
    {S(2, 95, 90, 64), S(3, 3, 64, 16), {2, 2}, ONES, PAD(1), PAD(1), false},
    {S(1, 67, 150, 40), S(2, 3, 40, 72), {3, 2}, {1, 2}, {1, 2}, {2, 2}, false},
    {S(1, 60, 70, 96), S(1, 1, 96, 96), ONES, ONES, PAD(0), PAD(0), false},
    {S(1, 9000, 32), S(3, 32, 64), {2}, ONES, {2}, {0}, false},
    {S(1, 12, 33, 30, 48), S(3, 3, 3, 48, 48), ONES, ONES, PAD(1), PAD(1), false},
    {S(1, 40, 34, 33, 32), S(3, 1, 1, 32, 32), ONES, ONES, {1}, {1}, false}, /* planes kept */
    {S(1, 13, 11, 521), S(1, 1, 521, 525), ONES, ONES, PAD(0), PAD(0), false}, /* dw as a product */
    {S(1, 60, 50, 96), S(3, 3, 96, 130), ONES, ONES, PAD(1), PAD(1), false}, /* weights shared */
    /* groups: of a panel, of several, two in one */
    {S(3, 9, 11, 96), S(3, 3, 32, 96), ONES, ONES, PAD(1), PAD(1), false},
    {S(2, 15, 14, 128), S(3, 3, 64, 192), {2, 2}, {1, 1}, PAD(1), PAD(1), false},
    {S(2, 9, 8, 192), S(3, 3, 96, 64), ONES, ONES, PAD(1), PAD(1), true},
    {S(2, 12, 13, 64), S(3, 3, 16, 64), ONES, ONES, PAD(1), PAD(1), false},
    {S(2, 11, 9, 64), S(3, 2, 16, 128), {2, 1}, {1, 2}, PAD(1), PAD(1), false},
    {S(1, 6, 7, 8, 128), S(2, 2, 2, 32, 64), {2, 2, 2}, ONES, PAD(0), PAD(0), false},
    {S(2, 8, 9, 96), S(1, 1, 48, 96), ONES, ONES, PAD(0), PAD(0), false},
};
#undef S
enum { PROBLEMS = sizeof problems / sizeof *problems };

enum way { FORWARD, DATA_GRAD, WEIGHT_GRAD, OPS };
enum parts { ONE, TWO, PARTS };
static const char *const names[PARTS][OPS] = {
    {"conv_bf16", "conv_data_grad_bf16", "conv_weight_grad_bf16"},
    {"conv_bf16x3", "conv_data_grad_bf16x3", "conv_weight_grad_bf16x3"}};

static sunup_value *build(sunup_graph *g, const struct problem *p, enum way op)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        o.stride[i] = p->stride[i] > 0 ? p->stride[i] : 1;
        o.dilation[i] = p->dilation[i] > 0 ? p->dilation[i] : 1;
        o.before[i] = i < p->x.n - 2 ? p->before[i] : 0;
        o.after[i] = i < p->x.n - 2 ? p->after[i] : 0;
    }
    o.groups = p->x.d[p->x.n - 1] / p->w.d[p->w.n - 2];
    if (p->circular) o.pad_mode = SUNUP_PAD_CIRCULAR;
    const sunup_dtype dtype = sunup_graph_dtype(g);
    sunup_value *x = sunup_input(g, "x", dtype, p->x), *w = sunup_input(g, "w", dtype, p->w);
    sunup_value *bias =
        op == FORWARD ? sunup_input(g, "b", dtype, SUNUP_SHAPE(p->w.d[p->w.n - 1])) : NULL;
    sunup_value *y = sunup_conv(x, w, bias, &o);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    if (op == FORWARD) return y;
    sunup_value *dy = sunup_input(g, "dy", dtype, y->shape);
    return op == DATA_GRAD ? sunup__conv_data_grad(w, dy, y->node->attr)
                           : sunup__conv_weight_grad(x, dy, y->node->attr);
}

static double rounded(float x)
{
    uint32_t word;
    ref_bf16_words_f32(1, &x, &word, NULL);
    word <<= 16;
    memcpy(&x, &word, sizeof x);
    return (double)x;
}

/* Normal numbers: as they are, rounded, and these without signs; the bias is not rounded. */
struct operand {
    void *f32, *rounded, *size, *f64;
};
static struct operand draw(const sunup_value *v, uint64_t which)
{
    const int64_t n = sunup__elements(&v->shape);
    float *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    double *all[3];
    for (int i = 0; i < 3; i++) all[i] = sunup__alloc_aligned((size_t)n * sizeof(double));
    const struct random_stream s = {7, RANDOM_TEST, 1, which};
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)sunup__random_normal(&s, (uint64_t)i);
        all[0][i] = which == 2 ? (double)x[i] : rounded(x[i]);
        all[1][i] = fabs(all[0][i]);
        all[2][i] = (double)x[i];
    }
    return (struct operand){x, all[0], all[1], all[2]};
}

/* Terms of the longest sum. */
static double terms(const struct problem *p, const struct node *n, enum way op)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const double taps = (double)(w->taps[0] * w->taps[1] * w->taps[2]);
    if (op == WEIGHT_GRAD) return (double)(p->x.d[0] * w->out[0] * w->out[1] * w->out[2]);
    return taps * (double)((op == FORWARD ? w->c : w->k) / w->groups);
}

/* Sums as exact as f32 allows, of rounded operands; or of operands in two parts, whose products err as
 * sunup__product_error says. Their size is that of the rounded operands, each at most 2^-8 smaller. */
static void compare(const struct problem *p, const struct node *n, enum way op, enum parts parts, const float *got,
                    const double *sum, const double *size)
{
    const double error = sunup__product_error(maker_named(names[TWO][op]));
    const double sums = (terms(p, n, op) + 4) * 0x1p-24, bound = parts == TWO ? 1.008 * (sums + error) : sums;
    for (int64_t i = 0; i < sunup__elements(&n->out[0]->shape); i++) {
        const double y = (double)got[i];
        if (!(fabs(y - sum[i]) <= bound * size[i] + 0x1p-100))
            fail_msg("%s %d: element %lld is %g, not %g", names[parts][op], (int)(p - problems),
                     (long long)i, y, sum[i]);
    }
}

static void check_problem(const struct device *d, const struct problem *p, enum way op)
{
    sunup_graph *g = graph_of(d->ctx, SUNUP_F32), *g64 = graph_of(d->ctx, SUNUP_F64);
    const struct node *n = node_of(g, build(g, p, op)), *n64 = node_of(g64, build(g64, p, op));
    if (d->kernels->fast_bf16 && !(p->circular && op == DATA_GRAD)) {
        void *in[4][3];
        for (int j = 0; j < n->n_in; j++) {
            const struct operand o = draw(n->in[j], (uint64_t)j);
            in[0][j] = o.f32;
            in[1][j] = o.rounded;
            in[2][j] = o.size;
            in[3][j] = o.f64;
        }
        float *got[PARTS];
        for (int j = 0; j < PARTS; j++) got[j] = run_on_any_threads(maker_named(names[j][op]), d, n, in[0]);
        if (RUNS > 1) { /* the sanitizers look at the maker, and would see its plain way for minutes */
            double *want[3];
            for (int j = 0; j < 3; j++) want[j] = run_plain(d, n64, in[j + 1]);
            compare(p, n, op, ONE, got[ONE], want[0], want[1]);
            compare(p, n, op, TWO, got[TWO], want[2], want[1]);
            for (int j = 0; j < 3; j++) sunup__free(want[j]);
        }
        for (int j = 0; j < PARTS; j++) sunup__free(got[j]);
        for (int j = 0; j < n->n_in; j++)
            for (int k = 0; k < 4; k++) sunup__free(in[k][j]);
    }
    sunup_graph_destroy(&g64);
    sunup_graph_destroy(&g);
}

static sunup_context *context(sunup_numerics numerics)
{
    unsetenv("SUNUP_NUMERICS");
    sunup_context_options o = sunup_context_defaults();
    o.numerics = numerics;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    return ctx;
}

static void check_all(enum way op)
{
    sunup_context *ctx = context(SUNUP_NUMERICS_BF16);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    for (int i = 0; i < PROBLEMS; i++) check_problem(d, &problems[i], op);
    sunup_context_destroy(&ctx);
}

static void forward(void **state)
{
    (void)state;
    check_all(FORWARD);
}

static void data_grad(void **state)
{
    (void)state;
    check_all(DATA_GRAD);
}

static void weight_grad(void **state)
{
    (void)state;
    check_all(WEIGHT_GRAD);
}

static bool offers(sunup_context *ctx, const struct problem *p, enum way op, enum parts parts)
{
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    sunup_graph *g = graph_of(ctx, SUNUP_F32);
    const bool can = maker_named(names[parts][op])->can(d, node_of(g, build(g, p, op)));
    sunup_graph_destroy(&g);
    return can;
}

static void only_where_it_is_faster(void **state)
{
    (void)state;
    static const struct problem
        one = {SUNUP_SHAPE(2, 8, 9, 64), SUNUP_SHAPE(1, 1, 64, 40), ONES, ONES, PAD(0), PAD(0), 0},
        winograd = {
            SUNUP_SHAPE(16, 28, 28, 64), SUNUP_SHAPE(3, 3, 64, 64), ONES, ONES, PAD(1), PAD(1), 0},
        edges = {
            SUNUP_SHAPE(32, 2, 2, 512), SUNUP_SHAPE(3, 3, 512, 512), ONES, ONES, PAD(1), PAD(1), 0};
    sunup_context *ctx = context(SUNUP_NUMERICS_BF16);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    for (enum way op = FORWARD; op < OPS; op++) {
        assert_int_equal(offers(ctx, &one, op, ONE), d->kernels->fast_bf16);
        assert_int_equal(offers(ctx, &winograd, op, ONE), d->kernels->tiles_bf16);
        assert_int_equal(offers(ctx, &edges, op, ONE), d->kernels->tiles_bf16);
    }
    sunup_context_destroy(&ctx);
}

static void only_where_it_is_asked_for(void **state)
{
    (void)state;
    sunup_context *ctx = context(SUNUP_NUMERICS_FAST);
    for (enum way op = FORWARD; op < OPS; op++) assert_false(offers(ctx, &problems[6], op, ONE));
    sunup_context_destroy(&ctx);
    static const sunup_numerics others[] = {SUNUP_NUMERICS_EXACT, SUNUP_NUMERICS_BF16};
    for (int i = 0; i < 2; i++) {
        ctx = context(others[i]);
        for (enum way op = FORWARD; op < OPS; op++) assert_false(offers(ctx, &problems[17], op, TWO));
        sunup_context_destroy(&ctx);
    }
}

/* Operands in two parts: on tiles alone, and where Winograd's way, few channels or taps or points are no better. */
static void in_two_parts_only_where_it_is_faster(void **state)
{
    (void)state;
    static const struct {
        struct problem p;
        bool offers[OPS];
    } cases[] = {
        {{SUNUP_SHAPE(4, 28, 28, 64), SUNUP_SHAPE(5, 5, 64, 64), ONES, ONES, PAD(2), PAD(2), 0}, {1, 1, 1}},
        {{SUNUP_SHAPE(16, 28, 28, 64), SUNUP_SHAPE(3, 3, 64, 64), ONES, ONES, PAD(1), PAD(1), 0}, {1, 1, 0}},
        {{SUNUP_SHAPE(16, 64, 64, 16), SUNUP_SHAPE(3, 3, 16, 16), ONES, ONES, PAD(1), PAD(1), 0}, {0, 0, 0}},
        {{SUNUP_SHAPE(16, 28, 28, 16), SUNUP_SHAPE(3, 3, 16, 16), {2, 2}, ONES, PAD(1), PAD(1), 0}, {1, 1, 1}},
        {{SUNUP_SHAPE(16, 28, 28, 64), SUNUP_SHAPE(1, 1, 64, 256), ONES, ONES, PAD(0), PAD(0), 0}, {1, 1, 0}},
        {{SUNUP_SHAPE(16, 28, 28, 128), SUNUP_SHAPE(1, 1, 128, 256), ONES, ONES, PAD(0), PAD(0), 0}, {1, 1, 1}},
        {{SUNUP_SHAPE(1, 7, 7, 128), SUNUP_SHAPE(1, 1, 128, 256), ONES, ONES, PAD(0), PAD(0), 0}, {1, 1, 0}},
        {{SUNUP_SHAPE(32, 2, 2, 512), SUNUP_SHAPE(3, 3, 512, 512), ONES, ONES, PAD(1), PAD(1), 0}, {0, 0, 0}},
        {{SUNUP_SHAPE(4, 999, 3), SUNUP_SHAPE(20, 3, 128), ONES, ONES, PAD(0), PAD(0), 0}, {0, 0, 0}},
    };
    sunup_context *ctx = context(SUNUP_NUMERICS_FAST);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (enum way op = FORWARD; op < OPS; op++)
            assert_int_equal(offers(ctx, &cases[i].p, op, TWO), d->kernels->tiles_bf16 && cases[i].offers[op]);
    }
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward), cmocka_unit_test(data_grad),
                                       cmocka_unit_test(weight_grad),
                                       cmocka_unit_test(only_where_it_is_faster),
                                       cmocka_unit_test(only_where_it_is_asked_for),
                                       cmocka_unit_test(in_two_parts_only_where_it_is_faster)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
