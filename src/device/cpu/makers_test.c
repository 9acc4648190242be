/* makers_test.c - every fast maker against the plain way in f64, on the ops' own cases and on sizes
 * that make them cut their work: many samples, parts, phases, blocks, groups, chunks.
 *
 * All these ops are sums of products, so the error bound is theirs: terms * 2^-24 * sum of
 * |products|, where the sum is the f64 run on absolute values and terms its length; wider where operands are rounded
 * (sunup__product_error). Any number of
 * threads must give the same bits. Workspaces start as NaN; bytes behind outputs and workspaces
 * must survive.
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

typedef sunup_value *(*build_fn)(sunup_graph *g);

/* What is known of each problem, whatever maker and level comes next. */
enum { MOST_PROBLEMS = 4096 };
static struct {
    build_fn build;
    struct known known;
} problems_known[MOST_PROBLEMS];
static int n_known;

static struct known *known_of(build_fn build)
{
    for (int i = 0; i < n_known; i++)
        if (problems_known[i].build == build) return &problems_known[i].known;
    assert_true(n_known < MOST_PROBLEMS);
    problems_known[n_known].build = build;
    return &problems_known[n_known++].known;
}

static void check_maker(const struct device *cpu, const struct maker *m, const char *problem,
                        build_fn build)
{
    sunup_graph *g = graph_of(cpu->ctx, SUNUP_F32), *g64 = graph_of(cpu->ctx, SUNUP_F64);
    const struct node *n = node_of(g, build(g)), *n64 = node_of(g64, build(g64));
    if (strcmp(n->op->name, m->op) == 0 && m->can(cpu, n)) {
        struct operands in = draw_operands(n);
        struct known *k = known_of(build);
        know(k, cpu, n64, &in);
        float *one = run_on_any_threads(m, cpu, n, in.f32);
        check_sums(m, n, problem, one, k);
        sunup__free(one);
        drop_operands(&in);
    }
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&g64);
}

/* ---- problems ---- */

static sunup_value *input(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}

struct problem {
    sunup_shape x, w;
    int64_t stride[3], dilation[3], before[3], after[3], groups;
    bool circular;
};

static sunup_value *conv(sunup_graph *g, const struct problem *p)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        if (p->stride[i]) o.stride[i] = p->stride[i];
        if (p->dilation[i]) o.dilation[i] = p->dilation[i];
        o.before[i] = p->before[i];
        o.after[i] = p->after[i];
    }
    if (p->groups) o.groups = p->groups;
    if (p->circular) o.pad_mode = SUNUP_PAD_CIRCULAR;
    return sunup_conv(input(g, "x", p->x), input(g, "w", p->w),
                      input(g, "b", SUNUP_SHAPE(p->w.d[p->w.n - 1])), &o);
}

static sunup_value *data_grad(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = conv(g, p);
    if (sunup__is_poison(y)) return y;
    return sunup__conv_data_grad(y->node->in[1], input(g, "dy", y->shape), y->node->attr);
}

static sunup_value *weight_grad(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = conv(g, p);
    if (sunup__is_poison(y)) return y;
    return sunup__conv_weight_grad(y->node->in[0], input(g, "dy", y->shape), y->node->attr);
}

#define S SUNUP_SHAPE
/* Each line is built as a convolution and as both of its gradients. */
#define PROBLEMS(X)                                                                                \
    X(lenet_first, S(9, 28, 28, 1), S(5, 5, 1, 6))                                                 \
    X(lenet_second, S(5, 14, 14, 6), S(5, 5, 6, 16))                                               \
    X(few_in_bands, S(2, 150, 130, 12), S(3, 4, 12, 7), .before = {1, 2}, .after = {1, 1})         \
    X(few_in_space, S(11, 5, 9, 13, 5), S(3, 2, 3, 5, 6), .before = {1, 0, 2}, .after = {2, 1, 0}) \
    X(few_circular, S(37, 8, 8, 3), S(3, 3, 3, 8), .before = {1, 1}, .after = {1, 1},              \
      .circular = true)                                                                            \
    X(few_circular_wide, S(3, 2, 5, 4), S(4, 3, 4, 7), .before = {2, 1}, .after = {2, 2},          \
      .circular = true)                                                                            \
    X(few_circular_space, S(5, 4, 5, 7, 2), S(2, 3, 3, 2, 5), .before = {1, 0, 2},                 \
      .after = {0, 2, 0}, .circular = true)                                                        \
    X(few_across, S(37, 14, 12, 6), S(5, 5, 6, 16), .before = {0, 1})                              \
    X(few_across_in_bands, S(32, 34, 30, 5), S(5, 5, 5, 16))                                       \
    X(few_across_circular, S(45, 6, 5, 4), S(3, 4, 4, 7), .before = {1, 2}, .after = {1, 1},       \
      .circular = true)                                                                            \
    X(few_across_line, S(48, 20, 5), S(5, 5, 16))                                                  \
    X(grey_strided, S(7, 70, 91, 1), S(5, 3, 1, 13), .stride = {2, 3}, .before = {4, 1})           \
    X(grey_space, S(3, 9, 8, 21, 1), S(3, 3, 3, 1, 16), .before = {1, 1, 1}, .after = {1, 1, 1})   \
    X(grey_space_strided, S(2, 11, 14, 33, 1), S(3, 2, 4, 1, 5), .stride = {2, 1, 2},              \
      .before = {2, 0, 1})                                                                         \
    X(padded, S(3, 17, 15, 16), S(3, 3, 16, 35), .before = {1, 1}, .after = {1, 1})                \
    X(more_samples_than_a_part, S(37, 9, 7, 33), S(3, 3, 33, 20), .before = {1, 1},                \
      .after = {1, 1})                                                                             \
    X(rows_cut, S(1, 61, 67, 40), S(3, 3, 40, 9), .before = {1, 1}, .after = {1, 1})               \
    X(one_tap, S(3, 13, 11, 37), S(1, 1, 37, 50))                                                  \
    X(one_tap_turned, S(3, 33, 39, 97), S(1, 1, 97, 131))                                          \
    X(one_tap_turned_strided, S(11, 33, 41, 97), S(1, 1, 97, 131), .stride = {2, 2})               \
    X(one_tap_turned_large, S(2, 31, 31, 64), S(1, 1, 64, 601))                                    \
    X(one_tap_strided, S(3, 13, 11, 17), S(1, 1, 17, 21), .stride = {2, 3})                        \
    X(one_tap_strided_streamed, S(3, 150, 151, 32), S(1, 1, 32, 48), .stride = {2, 2})             \
    X(strided, S(2, 23, 22, 8), S(3, 3, 8, 24), .stride = {2, 2}, .before = {1, 1},                \
      .after = {1, 1})                                                                             \
    X(wide_stride, S(2, 19, 17, 3), S(7, 7, 3, 10), .stride = {3, 2}, .before = {3, 2},            \
      .after = {1, 3})                                                                             \
    X(stride_over_taps, S(2, 11, 13, 4), S(2, 1, 4, 8), .stride = {3, 4})                          \
    X(dilated, S(2, 19, 21, 5), S(3, 3, 5, 12), .dilation = {2, 3}, .before = {2, 1},              \
      .after = {2, 4})                                                                             \
    X(dilated_strided, S(2, 19, 21, 5), S(3, 4, 5, 12), .dilation = {3, 2}, .stride = {2, 3},      \
      .before = {1, 2})                                                                            \
    X(much_padding, S(2, 5, 4, 6), S(2, 3, 6, 9), .before = {4, 5}, .after = {3, 7})               \
    X(groups, S(3, 9, 10, 12), S(3, 3, 4, 24), .groups = 3, .before = {1, 1}, .after = {1, 1})     \
    X(groups_one_column_of_taps, S(3, 9, 10, 20), S(3, 1, 5, 16), .groups = 4, .stride = {1, 2})   \
    X(circular, S(2, 7, 9, 6), S(3, 5, 6, 11), .before = {1, 2}, .after = {1, 2},                  \
      .circular = true)                                                                            \
    X(circular_more, S(2, 5, 3, 6), S(3, 3, 6, 11), .before = {2, 1}, .after = {1, 3},             \
      .circular = true)                                                                            \
    X(circular_strided, S(2, 8, 9, 5), S(3, 4, 5, 7), .stride = {2, 1}, .before = {1, 0},          \
      .after = {1, 2}, .circular = true)                                                           \
    X(circular_wide, S(1, 3, 4, 2, 9), S(2, 3, 5, 9, 17), .before = {3, 1, 2}, .after = {0, 4, 2}, \
      .dilation = {1, 2, 1}, .circular = true)                                                     \
    X(pages_apart, S(2, 4, 5, 1024), S(1, 1, 1024, 48))                                            \
    X(pages_apart_strided, S(3, 9, 7, 512), S(1, 1, 512, 100), .stride = {2, 2})                   \
    X(short_rows, S(3, 7, 7, 48), S(3, 3, 48, 70), .before = {1, 1}, .after = {1, 1})              \
    X(short_rows_strided, S(2, 47, 41, 65), S(3, 3, 65, 69), .stride = {2, 2}, .before = {1, 1},   \
      .after = {1, 1})                                                                             \
    X(short_rows_of_planes, S(2, 5, 6, 7, 40), S(3, 3, 3, 40, 66), .stride = {2, 1, 2},            \
      .dilation = {1, 2, 1}, .before = {1, 3, 1}, .after = {1, 1, 2})                              \
    X(no_whole_tap, S(2, 3, 6, 40), S(3, 3, 40, 33), .dilation = {1, 6}, .before = {1, 6},         \
      .after = {1, 6})                                                                             \
    X(head, S(3, 13, 11, 33), S(1, 1, 33, 3))                                                      \
    X(space_to_one, S(2, 5, 9, 11, 32), S(1, 1, 1, 32, 1))                                         \
    X(to_four, S(3, 12, 13, 70), S(3, 3, 70, 4), .before = {1, 1}, .after = {1, 1})                \
    X(to_one, S(2, 6, 9, 21), S(3, 5, 21, 1), .before = {1, 2}, .after = {1, 2}, .stride = {1, 2}) \
    X(from_two, S(2, 9, 5, 31, 2), S(3, 3, 3, 2, 18), .before = {1, 1, 1}, .after = {1, 1, 1})     \
    X(from_four, S(2, 12, 17, 4), S(3, 3, 4, 20), .dilation = {1, 2}, .before = {1, 2},            \
      .after = {1, 2})                                                                             \
    X(wide_line, S(1, 2100, 3), S(9, 3, 64), .before = {4}, .after = {4})                          \
    X(deep, S(1, 7, 5, 300), S(3, 3, 300, 290), .before = {1, 1}, .after = {1, 1})                 \
    X(one_tap_padded, S(2, 5, 6, 40), S(1, 1, 40, 64), .before = {2, 3}, .after = {1, 4})          \
    X(streamed, S(1, 410, 500, 1), S(1, 1, 1, 32))                                                 \
    X(whole_map, S(21, 5, 5, 16), S(5, 5, 16, 40))                                                 \
    X(line, S(3, 801, 5), S(20, 5, 32), .before = {10}, .after = {9})                              \
    X(line_long, S(1, 5003, 24), S(7, 24, 16), .stride = {3})                                      \
    X(space, S(2, 9, 8, 10, 6), S(3, 3, 3, 6, 16), .before = {1, 1, 1}, .after = {1, 1, 1})        \
    X(space_strided, S(1, 12, 10, 9, 8), S(3, 2, 3, 8, 12), .stride = {2, 1, 2},                   \
      .before = {1, 0, 1})                                                                         \
    X(flat_space, S(2, 3, 14, 15, 4), S(3, 3, 3, 4, 8), .before = {0, 1, 1}, .after = {0, 1, 1})   \
    X(many_weights, S(3, 6, 6, 150), S(3, 3, 150, 200), .before = {1, 1}, .after = {1, 1})         \
    X(many_weights_few_points, S(9, 2, 2, 200), S(3, 3, 200, 600), .before = {1, 1},               \
      .after = {1, 1})                                                                             \
    X(tiny_maps, S(11, 2, 2, 40), S(3, 3, 40, 300), .before = {1, 1}, .after = {1, 1})             \
    X(tiny_maps_pages_apart, S(8, 2, 2, 256), S(3, 3, 256, 40), .before = {1, 1}, .after = {1, 1}) \
    X(tiny_maps_strided, S(9, 4, 3, 64), S(3, 3, 64, 310), .stride = {2, 2}, .before = {1, 1},     \
      .after = {1, 1})                                                                             \
    X(tiny_maps_dilated, S(17, 5, 6, 24), S(3, 3, 24, 18), .dilation = {3, 2}, .before = {3, 2},   \
      .after = {2, 3})                                                                             \
    X(tiny_maps_of_groups, S(8, 3, 3, 40), S(3, 3, 20, 36), .groups = 2, .before = {1, 1},         \
      .after = {1, 1})                                                                             \
    X(tiny_spaces, S(9, 2, 3, 4, 20), S(3, 3, 3, 20, 17), .before = {1, 1, 1}, .after = {1, 1, 1}) \
    X(tiny_map_thinned, S(9, 4, 4, 32), S(1, 1, 32, 40), .stride = {2, 2})

#define BUILD(name, X_SHAPE, W_SHAPE, ...)                                                         \
    static const struct problem problem_##name = {.x = X_SHAPE, .w = W_SHAPE, __VA_ARGS__};        \
    static sunup_value *conv_##name(sunup_graph *g)                                                \
    {                                                                                              \
        return conv(g, &problem_##name);                                                           \
    }                                                                                              \
    static sunup_value *data_grad_##name(sunup_graph *g)                                           \
    {                                                                                              \
        return data_grad(g, &problem_##name);                                                      \
    }                                                                                              \
    static sunup_value *weight_grad_##name(sunup_graph *g)                                         \
    {                                                                                              \
        return weight_grad(g, &problem_##name);                                                    \
    }
PROBLEMS(BUILD)

static const struct {
    const char *name;
    build_fn build[3];
} convs[] = {
#define LINE(name, ...) {#name, {conv_##name, data_grad_##name, weight_grad_##name}},
    PROBLEMS(LINE)
#undef LINE
};

#define PRODUCT(name, A, B, FLAGS)                                                                 \
    static sunup_value *name(sunup_graph *g)                                                       \
    {                                                                                              \
        return sunup_matmul(input(g, "a", A), input(g, "b", B), FLAGS);                            \
    }
enum { TA = SUNUP_TRANSPOSE_A, TB = SUNUP_TRANSPOSE_B };
PRODUCT(square, S(129, 67), S(67, 131), 0)
PRODUCT(left, S(64, 401), S(64, 121), TA)
PRODUCT(right, S(64, 120), S(401, 120), TB)
PRODUCT(both, S(63, 50), S(47, 63), TA | TB)
PRODUCT(deep, S(57, 3011), S(3011, 53), 0)
PRODUCT(deep_right, S(5, 2003), S(70, 2003), TB)
PRODUCT(large, S(150, 410), S(410, 523), 0)
PRODUCT(batched, S(3, 5, 7, 9), S(3, 5, 9, 33), 0)
PRODUCT(batched_right, S(4, 7, 9), S(4, 33, 9), TB)
PRODUCT(one_b, S(4, 9, 7), S(9, 33), TA)
PRODUCT(one_a, S(7, 9), S(4, 33, 9), TB)
PRODUCT(vector, S(1, 1000), S(1000, 301), 0)
PRODUCT(column, S(301, 100), S(100, 1), 0)
static sunup_value *linear(sunup_graph *g)
{
    return sunup_linear(input(g, "x", S(3, 43, 400)), input(g, "w", S(400, 121)),
                        input(g, "b", S(121)));
}
static sunup_value *linear_large(sunup_graph *g)
{
    return sunup_linear(input(g, "x", S(66, 1601)), input(g, "w", S(1601, 97)),
                        input(g, "b", S(97)));
}
#undef S

static const struct {
    const char *name;
    build_fn build;
} products[] = {
#define LINE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
    LINE(square), LINE(left),    LINE(right),         LINE(both),  LINE(deep),  LINE(deep_right),
    LINE(large),  LINE(batched), LINE(batched_right), LINE(one_b), LINE(one_a), LINE(vector),
    LINE(column), LINE(linear),  LINE(linear_large)
#undef LINE
};

static void check_problem(const struct device *cpu, const char *name, build_fn build)
{
    for (const struct maker *m = sunup__cpu_makers; m->name; m++) check_maker(cpu, m, name, build);
}

static void check_level(const struct device *cpu)
{
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        for (int j = 0; j < 3; j++) check_problem(cpu, convs[i].name, convs[i].build[j]);
    }
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        check_problem(cpu, products[i].name, products[i].build);
    }
    for (int i = 0; sunup__op_at(i); i++) {
        const struct op *op = sunup__op_at(i);
        for (int j = 0; j < op->n_cases; j++)
            check_problem(cpu, op->cases[j].problem, op->cases[j].build);
    }
}

static void agree_with_the_plain_way(void **state)
{
    (void)state;
    at_each_level(check_level);
    while (n_known > 0) forget(&problems_known[--n_known].known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_plain_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
