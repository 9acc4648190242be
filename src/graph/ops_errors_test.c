/* ops_errors_test.c - what ops say when operands do not fit, when an index is outside, and what
 * dropout promises: masks that follow the sample, not the batch it is in.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/system.h"
#include "graph/interpret.h"

#define S SUNUP_SHAPE

static int begin(void **state)
{
    sunup_context *ctx;
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return -1;
    *state = ctx;
    return 0;
}
static int end(void **state)
{
    sunup_context *ctx = *state;
    sunup_context_destroy(&ctx);
    return 0;
}

static sunup_graph *graph(sunup_context *ctx, int64_t batch)
{
    sunup_graph_options o = sunup_graph_defaults();
    sunup_graph *g;
    o.training = true;
    o.batch = batch;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    return g;
}

/* --- sentences --- */

static sunup_value *in(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, SUNUP_F32, shape);
}
static sunup_value *index_in(sunup_graph *g, sunup_shape shape)
{
    return sunup_input(g, "i", SUNUP_I32, shape);
}

static sunup_value *conv_of(sunup_graph *g, sunup_shape x, sunup_shape w, sunup_conv_options o)
{
    const sunup_conv_options standard = sunup_conv_defaults();
    o.size = standard.size;
    for (int i = 0; i < 3; ++i) {
        if (!o.stride[i]) o.stride[i] = 1;
        if (!o.dilation[i]) o.dilation[i] = 1;
    }
    if (!o.groups) o.groups = 1;
    return sunup_conv(in(g, "x", x), in(g, "w", w), NULL, &o);
}

static sunup_value *up_of(sunup_graph *g, sunup_shape x, sunup_shape w, sunup_conv_options o)
{
    for (int i = 0; i < 3; ++i) o.stride[i] = o.stride[i] ? o.stride[i] : 1, o.dilation[i] = 1;
    o.groups = 1;
    return sunup_conv_transpose(in(g, "x", x), in(g, "w", w), NULL, &o);
}

static sunup_value *pool_of(sunup_graph *g, sunup_shape x, sunup_pool_options o)
{
    return sunup_max_pool(in(g, "x", x), &o);
}

/* Each line: what is built; words its sentence must have, in order; its status. */
#define MISTAKES(M)                                                                                \
    M(conv_channels,                                                                               \
      conv_of(g, S(8, 28, 28, 16), S(3, 3, 8, 32), (sunup_conv_options){.groups = 1}),             \
      "conv '|x [8, 28, 28, 16] has 16 channels but w [3, 3, 8, 32] takes 8 (groups 1)", SHAPE)    \
    M(conv_axes, conv_of(g, S(8, 28, 16), S(3, 3, 16, 32), (sunup_conv_options){.groups = 1}),     \
      "x [8, 28, 16] has 1 space axes, but w [3, 3, 16, 32] is for 2", SHAPE)                      \
    M(conv_no_space, conv_of(g, S(8, 28), S(3, 3), (sunup_conv_options){.groups = 1}),             \
      "x [8, 28] must be", SHAPE)                                                                  \
    M(conv_groups, conv_of(g, S(1, 5, 5, 4), S(3, 3, 2, 3), (sunup_conv_options){.groups = 2}),    \
      "groups 2 do not divide the last axis of w [3, 3, 2, 3]", SHAPE)                             \
    M(conv_large,                                                                                  \
      conv_of(g, S(1, 5, 4, 1), S(3, 3, 1, 1), (sunup_conv_options){.dilation = {1, 2}}),          \
      "axis W of x [1, 5, 4, 1] has 4 rows|a window of 3 taps with dilation 2 spans 5", SHAPE)     \
    M(conv_circular,                                                                               \
      conv_of(g, S(1, 3, 1), S(3, 1, 1),                                                           \
              (sunup_conv_options){.before = {4}, .pad_mode = SUNUP_PAD_CIRCULAR}),                \
      "goes more than once around axis W|at most 3", SHAPE)                                        \
    M(conv_stride, conv_of(g, S(1, 3, 1), S(3, 1, 1), (sunup_conv_options){.stride = {-1}}),       \
      "stride of axis W is -1", ARGUMENT)                                                          \
    M(conv_dilation,                                                                               \
      conv_of(g, S(1, 3, 1), S(3, 1, 1), (sunup_conv_options){.dilation = {INT64_MAX}}),           \
      "dilation", ARGUMENT)                                                                        \
    M(conv_null, sunup_conv(in(g, "x", S(1, 3, 1)), NULL, NULL, NULL), "operand 1 is missing",     \
      ARGUMENT)                                                                                    \
    M(conv_bias,                                                                                   \
      sunup_conv(in(g, "x", S(1, 3, 1)), in(g, "w", S(3, 1, 4)), in(g, "b", S(5)), NULL),          \
      "b is [5] but [4] would fit", SHAPE)                                                         \
    M(conv_type,                                                                                   \
      sunup_conv(in(g, "x", S(1, 3, 1)), sunup_input(g, "w", SUNUP_F64, S(3, 1, 4)), NULL, NULL),  \
      "types f32 and f64", SHAPE)                                                                  \
    M(up_channels, up_of(g, S(1, 3, 3, 5), S(2, 2, 3, 4), (sunup_conv_options){.stride = {1}}),    \
      "x [1, 3, 3, 5] has 5 channels but the transposed w [2, 2, 3, 4] takes 4", SHAPE)            \
    M(up_more,                                                                                     \
      up_of(g, S(1, 3, 4), S(2, 3, 4),                                                             \
            (sunup_conv_options){.stride = {2}, .output_padding = {2}}),                           \
      "output_padding 2 of axis W must be below the stride 2", ARGUMENT)                           \
    M(up_empty,                                                                                    \
      up_of(g, S(1, 1, 4), S(2, 3, 4), (sunup_conv_options){.before = {1}, .after = {1}}),         \
      "no output", SHAPE)                                                                          \
    M(up_bias,                                                                                     \
      sunup_conv_transpose(in(g, "x", S(1, 3, 4)), in(g, "w", S(2, 3, 4)), in(g, "b", S(1)),       \
                           NULL),                                                                  \
      "b [1] is not one number for each of the 3 channels", SHAPE)                                 \
    M(pool_padding,                                                                                \
      pool_of(g, S(1, 5, 5, 1), (sunup_pool_options){.window = {2, 2}, .before = {2}}),            \
      "padding 2 + 0 of axis H is not less than the window 2", ARGUMENT)                           \
    M(pool_large, pool_of(g, S(1, 5, 1), (sunup_pool_options){.window = {6}}), "axis W|6 taps",    \
      SHAPE)                                                                                       \
    M(pool_axes, pool_of(g, S(5, 1), (sunup_pool_options){.window = {2}}), "x [5, 1] must be",     \
      SHAPE)                                                                                       \
    M(global_pool, sunup_global_avg_pool(in(g, "x", S(5, 1))), "no space axes", SHAPE)             \
    M(linear_features, sunup_linear(in(g, "x", S(8, 28, 28)), in(g, "w", S(784, 10)), NULL),       \
      "x [8, 28, 28] has 28 features but w [784, 10] takes 784; flatten x first", SHAPE)           \
    M(linear_bias, sunup_linear(in(g, "x", S(8, 3)), in(g, "w", S(3, 10)), in(g, "b", S(3))),      \
      "[10] would fit", SHAPE)                                                                     \
    M(matmul_inner, sunup_matmul(in(g, "a", S(2, 3)), in(g, "b", S(2, 3)), 0),                     \
      "a [2, 3] has 3 columns|b [2, 3] has 2", SHAPE)                                              \
    M(matmul_leading, sunup_matmul(in(g, "a", S(2, 3, 4)), in(g, "b", S(3, 4, 5)), 0),             \
      "leading axes", SHAPE)                                                                       \
    M(matmul_flags, sunup_matmul(in(g, "a", S(2, 3)), in(g, "b", S(3, 3)), 4), "flags 4",          \
      ARGUMENT)                                                                                    \
    M(norm_one, sunup_batch_norm(in(g, "x", S(1, 1, 8)), NULL, NULL, NULL, NULL, 0.1, 1e-5),       \
      "x [1, 1, 8] has 1 value(s) for each channel|at least 2", SHAPE)                             \
    M(norm_gamma,                                                                                  \
      sunup_batch_norm(in(g, "x", S(4, 8)), in(g, "gamma", S(4)), NULL, NULL, NULL, 0.1, 1e-5),    \
      "gamma 'gamma' is f32 [4], but x 'x' [4, 8] has 8 channels", SHAPE)                          \
    M(group_count, sunup_group_norm(in(g, "x", S(4, 8)), NULL, NULL, 3, 1e-5),                     \
      "3 groups do not divide the 8", SHAPE)                                                       \
    M(layer_axes, sunup_layer_norm(in(g, "x", S(4, 8)), NULL, NULL, 3, 1e-5),                      \
      "3 axes of x [4, 8]", SHAPE)                                                                 \
    M(layer_gamma, sunup_layer_norm(in(g, "x", S(4, 8)), in(g, "gamma", S(4)), NULL, 1, 1e-5),     \
      "gamma is [4], but the last 1 axes of x [4, 8] would fit", SHAPE)                            \
    M(softmax_axis, sunup_softmax(in(g, "x", S(4, 8)), 2),                                         \
      "softmax: x [4, 8] ('x') has no axis 2", SHAPE)                                              \
    M(entropy_label, sunup_cross_entropy(in(g, "x", S(4, 8)), index_in(g, S(8)), NULL, 0),         \
      "label [8] does not fit logits [4, 8]", SHAPE)                                               \
    M(entropy_type, sunup_cross_entropy(in(g, "x", S(4, 8)), in(g, "label", S(4)), NULL, 0),       \
      "not i32", SHAPE)                                                                            \
    M(entropy_smooth, sunup_cross_entropy(in(g, "x", S(4, 8)), index_in(g, S(4)), NULL, 1),        \
      "smoothing 1", ARGUMENT)                                                                     \
    M(mse_shape, sunup_mse(in(g, "x", S(4, 1)), in(g, "t", S(4))),                                 \
      "x 'x' is f32 [4, 1] but target 't' is f32 [4]", SHAPE)                                      \
    M(bce_weight,                                                                                  \
      sunup_bce_with_logits(in(g, "x", S(4, 2)), in(g, "t", S(4, 2)), NULL, in(g, "p", S(3))),     \
      "pos_weight 'p' f32 [3] does not broadcast to x 'x' f32 [4, 2]", SHAPE)                      \
    M(dropout_p, sunup_dropout(in(g, "x", S(4)), 1.5, false), "p is 1.5", ARGUMENT)                \
    M(gather_table, sunup_gather(in(g, "x", S(4)), index_in(g, S(4))),                             \
      "table [4] must be [rows, width]", SHAPE)                                                    \
    M(scatter_index, sunup_scatter_add(in(g, "x", S(4, 2)), index_in(g, S(3)), 5),                 \
      "index [3]|x [4, 2]", SHAPE)

#define FUNCTION(ID, BUILD, WORDS, STATUS)                                                         \
    static sunup_value *build_##ID(sunup_graph *g)                                                 \
    {                                                                                              \
        return BUILD;                                                                              \
    }
MISTAKES(FUNCTION)

static const struct mistake {
    const char *id;
    sunup_value *(*build)(sunup_graph *g);
    const char *words; /* parts, separated by | */
    sunup_status status;
} mistakes[] = {
#define ROW(ID, BUILD, WORDS, STATUS) {#ID, build_##ID, WORDS, SUNUP_E_##STATUS},
    MISTAKES(ROW)};

static void assert_words(const char *sentence, const char *words)
{
    char part[256];
    for (const char *at = sentence; *words;) {
        const size_t n = strcspn(words, "|");
        memcpy(part, words, n);
        part[n] = 0;
        const char *found = strstr(at, part);
        if (!found) fail_msg("\"%s\" is not in \"%s\"", part, sentence);
        at = found + n;
        words += n + (words[n] == '|');
    }
}

static void test_sentences(void **state)
{
    sunup_context *ctx = *state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; ++i) {
        sunup_graph *g = graph(ctx, 1);
        sunup_value *y = mistakes[i].build(g);
        if (!sunup__is_poison(y)) fail_msg("%s was accepted", mistakes[i].id);
        if (sunup_graph_finish(g) != mistakes[i].status)
            fail_msg("%s: %s", mistakes[i].id, sunup_error(ctx));
        assert_words(sunup_error(ctx), mistakes[i].words);
        sunup_graph_destroy(&g);
    }
}

/* --- errors of a run --- */

static sunup_status run(sunup_value *y, const sunup_random_key *key, struct interpreter *t,
                        sunup_value *x, const void *data)
{
    struct kernels kernels;
    assert_true(sunup__kernels_init(&kernels, sunup__cpu_flags(), NULL));
    assert_int_equal(sunup__interpreter_create(y->node->graph, 1, &y, t), SUNUP_OK);
    t->kernels = &kernels; /* for this run only */
    t->threads = 2;
    if (key) t->key = *key;
    if (x)
        memcpy(sunup__interpreter_memory(t, x), data,
               (size_t)(sunup__elements(&x->shape) * sunup_dtype_bytes(x->dtype)));
    return sunup__interpreter_run(t);
}

static void expect_index_error(sunup_context *ctx, sunup_value *y, sunup_value *i,
                               const int32_t *data, const char *words)
{
    struct interpreter t;
    assert_int_equal(run(y, NULL, &t, i, data), SUNUP_E_ARGUMENT);
    assert_words(sunup_error(ctx), words);
    sunup__interpreter_end(&t);
}

static void test_index_outside(void **state)
{
    sunup_context *ctx = *state;
    sunup_graph *g = graph(ctx, 1);
    sunup_value *i = index_in(g, S(3));
    sunup_value *logits = in(g, "x", S(3, 5));
    sunup_value *loss = sunup_cross_entropy(logits, i, NULL, 0), *d;
    sunup_gradient(loss, 1, &logits, &d);
    sunup_value *y = sunup_gather(in(g, "table", S(5, 2)), i);
    sunup_value *z = sunup_scatter_add(logits, i, 5);
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    const int32_t high[] = {0, 5, 1}, low[] = {0, 1, -7};
    expect_index_error(ctx, loss, i, high, "cross_entropy '|label number 1|is 5|5 classes, 0 to 4");
    expect_index_error(ctx, d, i, low, "label number 2|is -7");
    expect_index_error(ctx, y, i, high, "gather '|index number 1|is 5|5 rows");
    expect_index_error(ctx, z, i, low, "scatter_add '|index number 2|is -7");
    sunup_graph_destroy(&g);
}

/* --- dropout --- */

enum { SAMPLES = 6, WIDTH = 37 };

/* y of samples [first, first + n) of a batch of ones, and the gradient of sum(y) in it. */
static void masks(sunup_context *ctx, sunup_random_key key, int64_t n, float *y, float *dx)
{
    float ones[SAMPLES * WIDTH];
    for (int i = 0; i < SAMPLES * WIDTH; ++i) ones[i] = 1;
    sunup_graph *g = graph(ctx, n);
    sunup_value *x = in(g, "x", S(n, WIDTH)), *v = sunup_dropout(x, 0.25, false), *d;
    sunup_gradient(sunup_sum(v, 0, NULL, false), 1, &x, &d);
    struct interpreter t;
    assert_int_equal(run(v, &key, &t, x, ones), SUNUP_OK);
    memcpy(y, sunup__interpreter_memory(&t, v), (size_t)(n * WIDTH) * sizeof *y);
    sunup__interpreter_end(&t);
    sunup_value *both = sunup_add(v, d);
    assert_int_equal(run(both, &key, &t, x, ones), SUNUP_OK);
    memcpy(dx, sunup__interpreter_memory(&t, d), (size_t)(n * WIDTH) * sizeof *dx);
    sunup__interpreter_end(&t);
    sunup_graph_destroy(&g);
}

static void test_dropout(void **state)
{
    float whole[SAMPLES * WIDTH], part[SAMPLES * WIDTH], other[SAMPLES * WIDTH],
        dx[SAMPLES * WIDTH];
    masks(*state, (sunup_random_key){7, 3, 12}, SAMPLES, whole, dx);
    assert_memory_equal(whole, dx, sizeof whole);
    int kept = 0;
    for (int i = 0; i < SAMPLES * WIDTH; ++i) {
        assert_true(whole[i] == 0 || whole[i] == 1 / 0.75f);
        kept += whole[i] != 0;
    }
    assert_in_range(kept, 140, 192); /* 222 * 0.75 = 166.5, 4 standard deviations are 26 */
    masks(*state, (sunup_random_key){7, 3, 14}, 3, part, dx);
    assert_memory_equal(whole + 2 * WIDTH, part, 3 * WIDTH * sizeof *part);
    masks(*state, (sunup_random_key){7, 4, 12}, SAMPLES, other, dx);
    assert_memory_not_equal(whole, other, sizeof whole);
    masks(*state, (sunup_random_key){8, 3, 12}, SAMPLES, other, dx);
    assert_memory_not_equal(whole, other, sizeof whole);
}

/* --- random values --- */

static void draw(sunup_context *ctx, sunup_random_key key, int64_t n, bool normal, float *y)
{
    sunup_graph *g = graph(ctx, n);
    sunup_value *v =
        normal ? sunup_random_normal(g, S(n, WIDTH)) : sunup_random_uniform(g, S(n, WIDTH));
    struct interpreter t;
    assert_int_equal(run(v, &key, &t, NULL, NULL), SUNUP_OK);
    memcpy(y, sunup__interpreter_memory(&t, v), (size_t)(n * WIDTH) * sizeof *y);
    sunup__interpreter_end(&t);
    sunup_graph_destroy(&g);
}

/* Mean and variance within 4 standard deviations of 222 numbers. */
static void test_random(void **state)
{
    for (int normal = 0; normal < 2; ++normal) {
        float whole[SAMPLES * WIDTH], part[SAMPLES * WIDTH];
        const double mean = normal ? 0 : 0.5, variance = normal ? 1 : 1 / 12.0;
        double sum = 0, square = 0;
        draw(*state, (sunup_random_key){7, 3, 12}, SAMPLES, normal, whole);
        for (int i = 0; i < SAMPLES * WIDTH; ++i) {
            sum += (double)whole[i] - mean;
            square += ((double)whole[i] - mean) * ((double)whole[i] - mean);
            assert_true(normal || (whole[i] >= 0 && whole[i] < 1));
        }
        assert_true(fabs(sum / 222) < 4 * sqrt(variance / 222));
        assert_true(fabs(square / 222 / variance - 1) < 4 * sqrt((normal ? 2 : 0.8) / 222));
        draw(*state, (sunup_random_key){7, 3, 14}, 3, normal, part);
        assert_memory_equal(whole + 2 * WIDTH, part, 3 * WIDTH * sizeof *part);
        draw(*state, (sunup_random_key){7, 4, 12}, SAMPLES, normal, part);
        assert_memory_not_equal(whole, part, sizeof whole);
    }
}

static void test_dropout_identity(void **state)
{
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(*state, NULL, &g), SUNUP_OK);
    sunup_value *x = in(g, "x", S(3));
    assert_ptr_equal(sunup_dropout(x, 0.5, false), x);
    assert_ptr_not_equal(sunup_dropout(x, 0.5, true), x);
    assert_ptr_equal(sunup_dropout(x, 0, true), x);
    sunup_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sentences, begin, end),
        cmocka_unit_test_setup_teardown(test_index_outside, begin, end),
        cmocka_unit_test_setup_teardown(test_dropout, begin, end),
        cmocka_unit_test_setup_teardown(test_random, begin, end),
        cmocka_unit_test_setup_teardown(test_dropout_identity, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
