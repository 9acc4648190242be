/* conv_grouped_test.c - the makers of grouped and depthwise convolution against the plain way in f64, at each
 * instruction set: awkward groups, and geometries that make many runs, parts, chunks and folded
 * lines.
 *
 * The bound is that of makers_test.c: terms * 2^-24 * sum of |products|. Any number of threads must
 * give the same bits. The workspace starts as NaN, and what lies behind it and the result survives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "device/cpu/maker_f64_test.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum { PASSES = 3 };

struct problem {
    const char *name;
    sunup_shape x, w;
    int64_t groups, stride[3], dilation[3], before[3], after[3];
    bool circular;
    bool plane, wide; /* is conv_plane's, the latter with a far third level */
};

#define S SUNUP_SHAPE
static const struct problem problems[] = {
    {"plane", S(3, 14, 13, 35), S(3, 3, 1, 35), 35, .before = {1, 1}, .after = {1, 1},
     .plane = true},
    {"tall plane", S(1, 70, 28, 7), S(3, 3, 1, 7), 7, .before = {1, 1}, .after = {1, 1},
     .plane = true},
    {"planes", S(2, 3, 5, 6, 16), S(1, 3, 3, 1, 16), 16, .before = {0, 1, 1}, .after = {0, 1, 1},
     .plane = true},
    {"wide plane", S(3, 14, 30, 35), S(3, 3, 1, 35), 35, .before = {1, 1}, .after = {1, 1},
     .wide = true},
    {"bands of a plane", S(6, 30, 29, 224), S(3, 3, 1, 224), 224, .before = {1, 1},
     .after = {1, 1}, .wide = true},
    {"few channels", S(2, 9, 17, 3), S(3, 5, 1, 3), 3, .before = {1, 2}, .after = {1, 2}},
    {"strided", S(2, 15, 14, 20), S(3, 3, 1, 20), 20, .stride = {2, 2}, .before = {1, 1},
     .after = {1, 1}},
    {"stride over taps", S(2, 11, 13, 16), S(2, 1, 1, 16), 16, .stride = {3, 4}},
    {"dilated, strided", S(2, 19, 21, 18), S(3, 4, 1, 18), 18, .stride = {2, 3}, .dilation = {3, 2},
     .before = {1, 2}},
    {"much padding", S(2, 5, 4, 6), S(2, 3, 1, 6), 6, .before = {4, 5}, .after = {3, 7}},
    {"multiplied", S(2, 9, 8, 5), S(3, 3, 1, 15), 5, .before = {1, 1}, .after = {1, 1}},
    {"multiplied by 8", S(1, 9, 8, 4), S(3, 3, 1, 32), 4, .stride = {1, 2}},
    {"pairs", S(2, 9, 10, 34), S(3, 3, 2, 34), 17, .before = {1, 1}, .after = {1, 1}},
    {"threes", S(2, 9, 10, 27), S(3, 3, 3, 27), 9, .before = {1, 1}, .after = {1, 1}},
    {"fours", S(2, 19, 18, 24), S(3, 3, 4, 24), 6, .before = {1, 1}, .after = {1, 1}},
    {"eights", S(2, 9, 10, 24), S(3, 3, 8, 24), 3, .before = {1, 1}, .after = {1, 1}},
    {"five to seven", S(2, 7, 10, 10), S(3, 2, 5, 14), 2, .stride = {2, 1}},
    {"six to one", S(2, 7, 10, 18), S(3, 2, 6, 3), 3, .before = {0, 1}},
    {"circular", S(2, 7, 9, 6), S(3, 5, 1, 6), 6, .before = {1, 2}, .after = {1, 2},
     .circular = true},
    {"circular, wider than the map", S(2, 5, 3, 12), S(3, 3, 4, 12), 3, .stride = {1, 2},
     .dilation = {3, 2}, .before = {5, 3}, .after = {5, 3}, .circular = true},
    {"line", S(2, 1001, 20), S(9, 1, 20), 20, .before = {4}, .after = {4}},
    {"line, one point a row", S(1, 700, 4), S(5, 2, 4), 2, .stride = {3}, .dilation = {7}},
    {"space", S(2, 6, 7, 9, 17), S(3, 3, 3, 1, 17), 17, .before = {1, 1, 1}, .after = {1, 1, 1}},
    {"space, strided", S(1, 8, 7, 9, 8), S(3, 2, 3, 2, 8), 4, .stride = {2, 1, 2},
     .before = {1, 0, 1}},
    {"many channels", S(2, 7, 7, 512), S(3, 3, 1, 512), 512, .before = {1, 1}, .after = {1, 1},
     .plane = true},
    {"many parts", S(1, 60, 61, 64), S(5, 5, 1, 64), 64, .before = {2, 2}, .after = {2, 2}},
    {"many taps", S(1, 40, 41, 16), S(30, 31, 1, 16), 16, .before = {3, 3}},
};
#undef S
enum { PROBLEMS = sizeof problems / sizeof *problems };

static sunup_value *input(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}

/* pass 0: forward; 1: data gradient; 2: weight gradient. */
static sunup_value *build(sunup_graph *g, const struct problem *p, int pass)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        if (p->stride[i]) o.stride[i] = p->stride[i];
        if (p->dilation[i]) o.dilation[i] = p->dilation[i];
        o.before[i] = p->before[i];
        o.after[i] = p->after[i];
    }
    o.groups = p->groups;
    if (p->circular) o.pad_mode = SUNUP_PAD_CIRCULAR;
    sunup_value *y = sunup_conv(input(g, "x", p->x), input(g, "w", p->w),
                                input(g, "b", SUNUP_SHAPE(p->w.d[p->w.n - 1])), &o);
    if (sunup__is_poison(y)) fail_msg("%s: %s", p->name, g->message);
    if (pass == 0) return y;
    sunup_value *dy = input(g, "dy", y->shape);
    return pass == 1 ? sunup__conv_data_grad(y->node->in[1], dy, y->node->attr)
                     : sunup__conv_weight_grad(y->node->in[0], dy, y->node->attr);
}

static const struct maker *first_maker(const struct device *d, const struct node *n)
{
    const struct maker *m;
    assert_int_equal(sunup__makers(d, n, &m, 1), 1);
    return m;
}

static void check_pass(const struct device *cpu, const struct problem *p, int pass,
                       struct known *k)
{
    static const char *const names[][PASSES] = {
        {"conv_grouped", "conv_data_grad_grouped", "conv_weight_grad_grouped"},
        {"conv_plane", "conv_data_grad_plane", "conv_weight_grad_plane"}};
    sunup_graph *g = graph_of(cpu->ctx, SUNUP_F32), *g64 = graph_of(cpu->ctx, SUNUP_F64);
    const struct node *n = node_of(g, build(g, p, pass));
    const struct maker *m = first_maker(cpu, n);
    const bool plane = p->plane || (p->wide && sunup__level3_far());
    assert_string_equal(m->name, names[plane][pass]);
    struct operands in = draw_operands(n);
    know(k, cpu, node_of(g64, build(g64, p, pass)), &in);
    float *one = run_on_any_threads(m, cpu, n, in.f32);
    check_sums(m, n, p->name, one, k);
    sunup__free(one);
    drop_operands(&in);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&g64);
}

static struct known known[PROBLEMS][PASSES];

static void check_problems(const struct device *cpu)
{
    for (int i = 0; i < PROBLEMS; i++)
        for (int pass = 0; pass < PASSES; pass++)
            check_pass(cpu, &problems[i], pass, &known[i][pass]);
}

static void agree_with_the_plain_way(void **state)
{
    (void)state;
    at_each_level(check_problems);
    for (int i = 0; i < PROBLEMS; i++)
        for (int pass = 0; pass < PASSES; pass++) forget(&known[i][pass]);
}

/* One group, large groups, more taps than a list holds, and nothing at all are for others. */
static void leave_the_rest_to_others(void **state)
{
    (void)state;
    static const struct problem others[] = {
        {"one group", {4, {2, 5, 5, 4}}, {4, {3, 3, 4, 4}}, .groups = 1},
        {"large groups", {4, {2, 5, 5, 32}}, {4, {3, 3, 16, 32}}, .groups = 2},
        {"too many taps", {3, {1, 1100, 2}}, {3, {1030, 1, 2}}, .groups = 2},
        {"no samples", {3, {0, 11, 2}}, {3, {3, 1, 2}}, .groups = 2},
    };
    sunup_context *ctx;
    const struct device *d = open_level(NULL, SUNUP_NUMERICS_FAST, &ctx);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        sunup_graph *g = graph_of(ctx, SUNUP_F32);
        const struct node *n = node_of(g, build(g, &others[i], 0));
        assert_null(strstr(first_maker(d, n)->name, "grouped"));
        assert_null(strstr(first_maker(d, n)->name, "plane"));
        sunup_graph_destroy(&g);
    }
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_plain_way),
                                       cmocka_unit_test(leave_the_rest_to_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
