/* golden_test.c - values and gradients of ops against PyTorch's, kept in
 * tests/golden/ops_golden.txt (made by make_ops.py there, which describes the format).
 *
 * Each case runs in f64 and in f32, with 1 and with 3 threads: the latter must have the former's
 * bits.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/system.h"
#include "graph/interpret.h"

enum { MOST_TENSORS = 16, MOST_CASES = 96, NAME = 32 };

struct tensor {
    char kind, name[NAME]; /* f or i: input; y: output; d: gradient */
    sunup_shape shape;
    double *v;
};
struct golden {
    char name[NAME];
    int n;
    struct tensor t[MOST_TENSORS];
};
struct file {
    int n;
    struct golden cases[MOST_CASES];
};

/* --- the file --- */

static void read_tensor(FILE *f, char kind, struct tensor *t)
{
    t->kind = kind;
    assert_int_equal(fscanf(f, "%31s %d", t->name, &t->shape.n), 2);
    assert_in_range(t->shape.n, 0, SUNUP_MAX_DIMS);
    for (int i = 0; i < t->shape.n; ++i) {
        long d;
        assert_int_equal(fscanf(f, "%ld", &d), 1);
        t->shape.d[i] = d;
    }
    assert_int_equal(fscanf(f, " :"), 0);
    const int64_t n = sunup__elements(&t->shape);
    t->v = malloc((size_t)n * sizeof *t->v);
    assert_non_null(t->v);
    for (int64_t i = 0; i < n; ++i) assert_int_equal(fscanf(f, "%lf", &t->v[i]), 1);
}

static int read_file(void **state)
{
    struct file *all = calloc(1, sizeof *all);
    FILE *f = fopen(SOURCE_DIR "/tests/golden/ops_golden.txt", "r");
    if (!all || !f) return -1;
    char word[NAME];
    struct golden *c = NULL;
    while (fscanf(f, "%31s", word) == 1) {
        if (strcmp(word, "case") == 0) {
            assert_true(all->n < MOST_CASES);
            c = &all->cases[all->n++];
            assert_int_equal(fscanf(f, "%31s", c->name), 1);
        } else {
            assert_true(c && c->n < MOST_TENSORS && strlen(word) == 1);
            read_tensor(f, word[0], &c->t[c->n++]);
        }
    }
    fclose(f);
    *state = all;
    return 0;
}

static int free_file(void **state)
{
    struct file *all = *state;
    for (int i = 0; i < all->n; ++i)
        for (int k = 0; k < all->cases[i].n; ++k) free(all->cases[i].t[k].v);
    free(all);
    return 0;
}

/* --- one case built --- */

struct build {
    const struct golden *golden;
    sunup_graph *g;
    sunup_value *in[MOST_TENSORS]; /* by tensor of the case; NULL: not asked for */
    sunup_value *average[2];       /* batch norm: new statistics                 */
};

/* The case's input of that name; NULL if it has none (bias). */
static sunup_value *in(struct build *b, const char *name)
{
    for (int i = 0; i < b->golden->n; ++i) {
        const struct tensor *t = &b->golden->t[i];
        if ((t->kind != 'f' && t->kind != 'i') || strcmp(t->name, name) != 0) continue;
        const sunup_dtype dtype = t->kind == 'i' ? SUNUP_I32 : sunup_graph_dtype(b->g);
        if (!b->in[i])
            b->in[i] = strncmp(name, "running", 7) == 0
                           ? sunup_state(b->g, name, t->shape, (sunup_init){SUNUP_INIT_CONSTANT, 0})
                           : sunup_input(b->g, name, dtype, t->shape);
        return b->in[i];
    }
    return NULL;
}

static sunup_value *conv(struct build *b, sunup_conv_options o)
{
    const sunup_conv_options standard = sunup_conv_defaults();
    o.size = standard.size;
    for (int i = 0; i < 3; ++i) {
        if (!o.stride[i]) o.stride[i] = 1;
        if (!o.dilation[i]) o.dilation[i] = 1;
    }
    if (!o.groups) o.groups = 1;
    return strncmp(b->golden->name, "transpose", 9) == 0
               ? sunup_conv_transpose(in(b, "x"), in(b, "w"), in(b, "b"), &o)
               : sunup_conv(in(b, "x"), in(b, "w"), in(b, "b"), &o);
}

static sunup_value *local(struct build *b, int64_t stride_h, int64_t stride_w)
{
    sunup_conv_options o = sunup_conv_defaults();
    o.stride[0] = stride_h;
    o.stride[1] = stride_w;
    return sunup_local(in(b, "x"), in(b, "w"), in(b, "b"), &o);
}

static sunup_value *pool(struct build *b, sunup_pool_options o)
{
    o.size = sunup_pool_defaults().size;
    return strncmp(b->golden->name, "max", 3) == 0 ? sunup_max_pool(in(b, "x"), &o)
                                                   : sunup_avg_pool(in(b, "x"), &o);
}

static sunup_value *upsample(struct build *b, sunup_upsample_kind kind, int64_t f0, int64_t f1,
                             int64_t f2)
{
    return sunup_upsample(in(b, "x"), (const int64_t[]){f0, f1, f2}, kind);
}

static sunup_value *batch_norm(struct build *b)
{
    sunup_value *y = sunup_batch_norm(in(b, "x"), in(b, "gamma"), in(b, "beta"),
                                      in(b, "running_mean"), in(b, "running_var"), 0.1, 1e-5);
    for (int i = 0; i < b->g->n_averages; ++i) {
        const struct average *a = &b->g->averages[i];
        b->average[i] = sunup_add(sunup_scale(a->state, 1 - a->momentum, 0),
                                  sunup_scale(a->value, a->momentum, 0));
    }
    return y;
}

static sunup_value *attention(struct build *b, int64_t heads, bool causal)
{
    sunup_attention_options o = sunup_attention_defaults();
    o.heads = heads;
    o.causal = causal;
    return sunup_attention(in(b, "q"), in(b, "k"), in(b, "v"), in(b, "bias"), &o);
}

static sunup_value *cross_entropy(struct build *b, double smoothing)
{
    return sunup_cross_entropy(in(b, "x"), in(b, "label"), in(b, "constant_weight"), smoothing);
}

#define BUILD(NAME, ...)                                                                           \
    static sunup_value *build_##NAME(struct build *b)                                              \
    {                                                                                              \
        return __VA_ARGS__;                                                                        \
    }
#define CONV(NAME, ...) BUILD(NAME, conv(b, (sunup_conv_options){__VA_ARGS__}))
#define POOL(NAME, ...) BUILD(NAME, pool(b, (sunup_pool_options){__VA_ARGS__}))
CONV(conv_line, .stride = {2}, .before = {1}, .after = {2})
CONV(conv_plane, .before = {1, 1}, .after = {1, 1})
CONV(conv_space, .stride = {2, 1, 1}, .before = {0, 1, 1}, .after = {1, 1, 0})
CONV(conv_groups, .stride = {2, 2}, .dilation = {2, 3}, .groups = 2, .before = {2, 2},
     .after = {2, 2})
CONV(conv_depthwise_circular, .groups = 3, .pad_mode = SUNUP_PAD_CIRCULAR, .before = {1, 2},
     .after = {1, 1})
CONV(conv_same, .padding = SUNUP_PADDING_SAME, .stride = {2, 3})
CONV(conv_one, .stride = {2, 2})
CONV(transpose_line, .stride = {2}, .dilation = {2}, .groups = 2)
CONV(transpose_plane, .stride = {2, 3}, .before = {1, 1}, .after = {1, 1}, .output_padding = {1, 2})
CONV(transpose_space, .stride = {1, 2, 2}, .before = {1, 0, 1}, .after = {1, 0, 1})
POOL(max_pool_plane, .window = {3, 3}, .stride = {2, 2}, .before = {1, 1}, .after = {1, 1})
POOL(max_pool_line, .window = {2})
POOL(avg_pool_plane, .window = {3, 2}, .stride = {2, 1}, .before = {1, 1}, .after = {1, 1},
     .count_pad = true)
POOL(avg_pool_no_pad, .window = {3, 2}, .stride = {2, 1}, .before = {1, 1}, .after = {1, 1})
POOL(avg_pool_space, .window = {2, 2, 2}, .stride = {1, 1, 1}, .count_pad = true)
BUILD(attention_bias, attention(b, 2, false))
BUILD(attention_causal, attention(b, 3, true))
BUILD(global_avg_pool, sunup_global_avg_pool(in(b, "x")))
BUILD(upsample_line, upsample(b, SUNUP_LINEAR, 3, 1, 1))
BUILD(upsample_plane, upsample(b, SUNUP_LINEAR, 2, 2, 1))
BUILD(upsample_space, upsample(b, SUNUP_LINEAR, 2, 2, 2))
BUILD(upsample_nearest, upsample(b, SUNUP_NEAREST, 4, 1, 1))
BUILD(linear, sunup_linear(in(b, "x"), in(b, "w"), in(b, "b")))
BUILD(matmul, sunup_matmul(in(b, "a"), in(b, "b"), 0))
BUILD(matmul_transposed,
      sunup_matmul(in(b, "a"), in(b, "b"), SUNUP_TRANSPOSE_A | SUNUP_TRANSPOSE_B))
BUILD(batch_norm, batch_norm(b))
BUILD(layer_norm, sunup_layer_norm(in(b, "x"), in(b, "gamma"), in(b, "beta"), 2, 1e-5))
BUILD(group_norm, sunup_group_norm(in(b, "x"), in(b, "gamma"), in(b, "beta"), 3, 1e-5))
BUILD(softmax, sunup_softmax(in(b, "x"), 1))
BUILD(log_softmax, sunup_log_softmax(in(b, "x"), -1))
BUILD(cross_entropy, cross_entropy(b, 0))
BUILD(cross_entropy_smooth, cross_entropy(b, 0.1))
BUILD(cross_entropy_both, cross_entropy(b, 0.25))
BUILD(mse, sunup_mse(in(b, "x"), in(b, "target")))
BUILD(l1, sunup_l1(in(b, "x"), in(b, "target")))
BUILD(bce, sunup_bce_with_logits(in(b, "x"), in(b, "target"), in(b, "constant_weight"),
                                 in(b, "constant_pos_weight")))
BUILD(gelu, sunup_gelu(in(b, "x")))
BUILD(elu, sunup_elu(in(b, "x"), 0.7))
BUILD(softplus, sunup_softplus(in(b, "x")))
BUILD(leaky_relu, sunup_leaky_relu(in(b, "x"), 0.01))
BUILD(sigmoid, sunup_sigmoid(in(b, "x")))
BUILD(tanh, sunup_tanh(in(b, "x")))
BUILD(erf, sunup_erf(in(b, "x")))
BUILD(atan2, sunup_atan2(in(b, "a"), in(b, "b")))
BUILD(mod, sunup_mod(in(b, "a"), in(b, "b")))
BUILD(minimum, sunup_minimum(in(b, "a"), in(b, "b")))
BUILD(maximum, sunup_maximum(in(b, "a"), in(b, "b")))
BUILD(pow, sunup_pow(in(b, "a"), in(b, "b")))
BUILD(gather, sunup_gather(in(b, "table"), in(b, "index")))
BUILD(gather_rows, sunup_gather_rows(in(b, "x"), in(b, "index")))
BUILD(logsumexp, sunup_logsumexp(in(b, "x"), 2, (const int[]){0, -1}, false))
BUILD(min, sunup_min(in(b, "x"), 1, (const int[]){1}, true))
BUILD(roll, sunup_roll(in(b, "x"), 1, -2))
BUILD(pairwise, sunup_pairwise_distance(in(b, "x")))
BUILD(local_line, sunup_local(in(b, "x"), in(b, "w"), in(b, "b"), NULL))
BUILD(local_plane, local(b, 1, 2))
BUILD(scatter_add, sunup_scatter_add(in(b, "x"), in(b, "index"), 5))

static const struct row {
    const char *name;
    sunup_value *(*build)(struct build *b);
} rows[] = {
#define ROW(NAME)                                                                                  \
    {                                                                                              \
#NAME, build_##NAME                                                                        \
    }
    ROW(conv_line),
    ROW(conv_plane),
    ROW(conv_space),
    ROW(conv_groups),
    ROW(conv_depthwise_circular),
    ROW(conv_same),
    ROW(conv_one),
    ROW(transpose_line),
    ROW(transpose_plane),
    ROW(transpose_space),
    ROW(max_pool_plane),
    ROW(max_pool_line),
    ROW(avg_pool_plane),
    ROW(avg_pool_no_pad),
    ROW(avg_pool_space),
    ROW(global_avg_pool),
    ROW(upsample_line),
    ROW(upsample_plane),
    ROW(upsample_space),
    ROW(upsample_nearest),
    ROW(linear),
    ROW(matmul),
    ROW(matmul_transposed),
    ROW(batch_norm),
    {"batch_norm_eval", build_batch_norm},
    ROW(layer_norm),
    ROW(attention_bias),
    ROW(attention_causal),
    ROW(group_norm),
    ROW(softmax),
    ROW(log_softmax),
    ROW(cross_entropy),
    {"cross_entropy_weight", build_cross_entropy},
    ROW(cross_entropy_smooth),
    ROW(cross_entropy_both),
    ROW(mse),
    ROW(l1),
    ROW(bce),
    {"bce_weighted", build_bce},
    ROW(gelu),
    ROW(elu),
    ROW(softplus),
    ROW(leaky_relu),
    ROW(sigmoid),
    ROW(tanh),
    ROW(erf),
    ROW(atan2),
    ROW(mod),
    ROW(minimum),
    ROW(maximum),
    ROW(pow),
    ROW(gather),
    ROW(scatter_add),
    ROW(local_line),
    ROW(local_plane),
    ROW(gather_rows),
    ROW(logsumexp),
    ROW(min),
    ROW(roll),
    ROW(pairwise),
};
enum { ROWS = sizeof rows / sizeof *rows };

/* --- running and comparing --- */

/* The value that must equal tensor i of the case; NULL for inputs. */
static sunup_value *result(struct build *b, int i, sunup_value *y)
{
    const struct tensor *t = &b->golden->t[i];
    sunup_value *d;
    if (t->kind == 'y' && strcmp(t->name, "y") == 0) return y;
    if (t->kind == 'y') return b->average[strcmp(t->name, "running_var") == 0];
    if (t->kind != 'd') return NULL;
    sunup_value *x = in(b, t->name);
    sunup_gradient_from(y, in(b, "dy"), 1, &x, &d);
    return d;
}

static void put(const struct interpreter *t, const sunup_value *v, const double *from)
{
    void *to = sunup__interpreter_memory(t, v);
    for (int64_t i = 0; to && i < sunup__elements(&v->shape); ++i) {
        if (v->dtype == SUNUP_I32) ((int32_t *)to)[i] = (int32_t)from[i];
        if (v->dtype == SUNUP_F32) ((float *)to)[i] = (float)from[i];
        if (v->dtype == SUNUP_F64) ((double *)to)[i] = from[i];
    }
}

/* The bound is for sums of some tens of numbers of size 1 that may cancel. */
static void compare(const struct interpreter *t, const sunup_value *v, const struct tensor *want)
{
    const void *got = sunup__interpreter_memory(t, v);
    const bool f64 = v->dtype == SUNUP_F64;
    assert_true(sunup__same_shape(&v->shape, &want->shape));
    for (int64_t i = 0; i < sunup__elements(&v->shape); ++i) {
        const double x = f64 ? ((const double *)got)[i] : (double)((const float *)got)[i];
        const double bound = (f64 ? 2e-12 : 2e-5) * (1 + fabs(want->v[i]));
        if (!(fabs(x - want->v[i]) <= bound))
            fail_msg("%c %s[%ld] is %.12g, PyTorch has %.12g", want->kind, want->name, (long)i, x,
                     want->v[i]);
    }
}

static void run(struct build *b, int threads, sunup_value *const *results, struct interpreter *t)
{
    sunup_value *list[MOST_TENSORS];
    int n = 0;
    for (int i = 0; i < b->golden->n; ++i)
        if (results[i]) list[n++] = results[i];
    struct kernels kernels;
    assert_true(sunup__kernels_init(&kernels, sunup__cpu_flags(), NULL));
    assert_int_equal(sunup__interpreter_create(b->g, n, list, t), SUNUP_OK);
    t->kernels = &kernels; /* for this run only */
    t->threads = threads;
    for (int i = 0; i < b->golden->n; ++i)
        if (b->in[i]) put(t, b->in[i], b->golden->t[i].v);
    if (sunup__interpreter_run(t) != SUNUP_OK) fail_msg("%s", sunup_error(b->g->ctx));
}

static void check(const struct row *row, const struct golden *golden, sunup_dtype dtype)
{
    sunup_context *ctx;
    sunup_graph_options o = sunup_graph_defaults();
    o.training = strstr(row->name, "eval") == NULL;
    o.dtype = dtype;
    struct build b = {.golden = golden};
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(ctx, &o, &b.g), SUNUP_OK);
    sunup_value *y = row->build(&b), *results[MOST_TENSORS];
    for (int i = 0; i < golden->n; ++i) results[i] = result(&b, i, y);
    if (sunup_graph_finish(b.g) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    struct interpreter one, three;
    run(&b, 1, results, &one);
    run(&b, 3, results, &three);
    for (int i = 0; i < golden->n; ++i) {
        if (!results[i]) continue;
        compare(&one, results[i], &golden->t[i]);
        assert_memory_equal(
            sunup__interpreter_memory(&one, results[i]),
            sunup__interpreter_memory(&three, results[i]),
            (size_t)(sunup__elements(&results[i]->shape) * sunup_dtype_bytes(dtype)));
    }
    sunup__interpreter_end(&one);
    sunup__interpreter_end(&three);
    sunup_graph_destroy(&b.g);
    sunup_context_destroy(&ctx);
}

static void test_case(void **state)
{
    const struct row *row = *state;
    void *file;
    assert_int_equal(read_file(&file), 0);
    const struct file *all = file;
    const struct golden *golden = NULL;
    for (int i = 0; i < all->n; ++i)
        if (strcmp(all->cases[i].name, row->name) == 0) golden = &all->cases[i];
    assert_non_null(golden);
    check(row, golden, SUNUP_F64);
    check(row, golden, SUNUP_F32);
    free_file(&file);
}

/* Every case of the file has its row here. */
static void test_complete(void **state)
{
    (void)state;
    void *file;
    assert_int_equal(read_file(&file), 0);
    assert_int_equal(((struct file *)file)->n, ROWS);
    free_file(&file);
}

int main(void)
{
    struct CMUnitTest tests[ROWS + 1] = {{.name = "complete", .test_func = test_complete}};
    for (int i = 0; i < ROWS; ++i)
        tests[i + 1] = (struct CMUnitTest){.name = rows[i].name,
                                           .test_func = test_case,
                                           .initial_state = (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
