/* export_ops.c - nodes of our graph as nodes of ONNX: one function for each op that inference graphs have. */
#include <math.h>
#include <string.h>

#include "graph/ops/attention.h"
#include "graph/ops/axes.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/conv.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pool.h"
#include "model/onnx/export.h"
#include "tensor/tensor.h"

#define GET(i, turned) sunup__export_get(e, e->at->in[i], turned)
#define NODE(op, ...)                                                                              \
    sunup__export_node(e, op, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),       \
                       (const char *const[]){__VA_ARGS__})
#define WHOLE(...)                                                                                 \
    sunup__export_whole(e, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),              \
                        (const int64_t[]){__VA_ARGS__})
#define DONE(turned, name) sunup__export_set(e, e->at->out[0], turned, name)

static const sunup_shape *in_shape(const struct export *e, int i)
{
    return &e->at->in[i]->shape;
}

/* -------------------------------------------------------------------------- windows --- */

static int64_t span(const struct window *w, int a)
{
    return w->dilation[a] * (w->taps[a] - 1) + 1;
}

/* kernel_shape, strides, dilations, pads of x -> y; over: rows that a transposed convolution adds. */
static void window(struct export *e, const struct window *w, int space, int64_t *over)
{
    int64_t taps[3] = {0}, stride[3] = {0}, dilation[3] = {0}, pads[6] = {0};
    for (int i = 0; i < space; i++) {
        const int a = 3 - space + i;
        const int64_t after = (w->out[a] - 1) * w->stride[a] + span(w, a) - w->in[a] - w->before[a];
        taps[i] = w->taps[a];
        stride[i] = w->stride[a];
        dilation[i] = w->dilation[a];
        pads[i] = w->before[a];
        pads[space + i] = after > 0 ? after : 0;
        if (over) over[i] = after < 0 ? -after : 0;
    }
    sunup__export_ints(e, "kernel_shape", space, taps);
    sunup__export_ints(e, "strides", space, stride);
    if (over) sunup__export_ints(e, "dilations", space, dilation); /* pools of opset 18 have none */
    sunup__export_ints(e, "pads", 2 * space, pads);
}

static void write_conv(struct export *e, bool transposed)
{
    const struct conv_attr *a = e->at->attr;
    sunup_value *w = e->at->in[transposed ? 0 : 1];
    int order[SUNUP_MAX_DIMS];
    const int n = w->shape.n;
    for (int i = 0; i < n; i++) order[i] = i < 2 ? n - 1 - i : i - 2;
    if (a->w.circular) {
        sunup__export_fail(e, "its padding is circular");
        return;
    }
    const char *x = GET(transposed ? 1 : 0, true), *k = sunup__export_ordered(e, w, order);
    sunup_value *b = !transposed && e->at->n_in > 2 ? e->at->in[2] : NULL;
    const char *y = b ? NODE(transposed ? "ConvTranspose" : "Conv", x, k, sunup__export_get(e, b, false))
                      : NODE(transposed ? "ConvTranspose" : "Conv", x, k);
    int64_t over[3];
    window(e, &a->w, a->space, over);
    sunup__export_int(e, "group", a->w.groups);
    if (transposed) sunup__export_ints(e, "output_padding", a->space, over);
    DONE(true, y);
}

static void export_conv(struct export *e)
{
    write_conv(e, false);
}

static void export_conv_transpose(struct export *e)
{
    write_conv(e, true);
}

static void write_pool(struct export *e, bool average)
{
    const struct pool_attr *a = e->at->attr;
    const char *y = NODE(average ? "AveragePool" : "MaxPool", GET(0, true));
    window(e, &a->w, a->space, NULL);
    if (average) sunup__export_int(e, "count_include_pad", a->w.count_pad);
    DONE(true, y);
}

static void export_max_pool(struct export *e)
{
    write_pool(e, false);
}

static void export_avg_pool(struct export *e)
{
    write_pool(e, true);
}

/* -------------------------------------------------------------------------- norms --- */

/* [N, C, space..] as [N, groups, rest], each group an instance of its own; then the affine map. */
static void export_group_norm(struct export *e)
{
    const struct channel_norm_attr *a = e->at->attr;
    const sunup_shape *s = in_shape(e, 0);
    const sunup_dtype dtype = e->at->in[0]->dtype;
    const int64_t c = s->d[s->n - 1];
    int64_t back[SUNUP_MAX_DIMS] = {0, c}, vector[SUNUP_MAX_DIMS];
    for (int i = 2; i < s->n; i++) back[i] = s->d[i - 1];
    for (int i = 0; i < s->n - 1; i++) vector[i] = i == 0 ? c : 1;
    const char *rows = NODE("Reshape", GET(0, true), WHOLE(0, a->groups, -1));
    const char *y = NODE("InstanceNormalization", rows, sunup__export_fill(e, dtype, a->groups, 1),
                         sunup__export_fill(e, dtype, a->groups, 0));
    sunup__export_float(e, "epsilon", a->eps);
    y = NODE("Reshape", y, sunup__export_whole(e, s->n, back));
    const char *shape = sunup__export_whole(e, s->n - 1, vector);
    for (int i = 1; i <= 2; i++) {
        if (i >= e->at->n_in || !e->at->in[i]) continue;
        const char *v = NODE("Reshape", GET(i, false), shape);
        y = NODE(i == 1 ? "Mul" : "Add", y, v);
    }
    DONE(true, y);
}

static void export_layer_norm(struct export *e)
{
    const struct layer_norm_attr *a = e->at->attr;
    const char *gamma = e->at->n_in > 1 && e->at->in[1] ? GET(1, false) : NULL;
    const char *beta = e->at->n_in > 2 && e->at->in[2] ? GET(2, false) : NULL;
    const sunup_shape *s = in_shape(e, 0);
    if (!gamma) {
        const char *ones = sunup__export_fill(e, e->at->in[0]->dtype, a->n, 1);
        gamma = NODE("Reshape", ones, sunup__export_whole(e, a->axes, s->d + s->n - a->axes));
    }
    const char *y = beta ? NODE("LayerNormalization", GET(0, false), gamma, beta)
                         : NODE("LayerNormalization", GET(0, false), gamma);
    sunup__export_int(e, "axis", -a->axes);
    sunup__export_float(e, "epsilon", a->eps);
    DONE(false, y);
}

/* -------------------------------------------------------------------------- products --- */

static void export_linear(struct export *e)
{
    static const int swap[] = {1, 0};
    sunup_value *b = e->at->n_in > 2 ? e->at->in[2] : NULL;
    const char *x = GET(0, false), *y;
    if (in_shape(e, 0)->n == 2) {
        const char *w = sunup__export_ordered(e, e->at->in[1], swap);
        y = b ? NODE("Gemm", x, w, sunup__export_get(e, b, false)) : NODE("Gemm", x, w);
        sunup__export_int(e, "transB", 1);
    } else {
        y = NODE("MatMul", x, GET(1, false));
        if (b) y = NODE("Add", y, sunup__export_get(e, b, false));
    }
    DONE(false, y);
}

static const char *swapped(struct export *e, const char *x, int n)
{
    int64_t perm[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++) perm[i] = i < n - 2 ? i : 2 * n - 3 - i;
    const char *y = NODE("Transpose", x);
    sunup__export_ints(e, "perm", n, perm);
    return y;
}

static void export_matmul(struct export *e)
{
    const int flags = ((const struct matmul_attr *)e->at->attr)->flags;
    const char *a = GET(0, false), *b = GET(1, false);
    if (flags & SUNUP_TRANSPOSE_A) a = swapped(e, a, in_shape(e, 0)->n);
    if (flags & SUNUP_TRANSPOSE_B) b = swapped(e, b, in_shape(e, 1)->n);
    DONE(false, NODE("MatMul", a, b));
}

/* [N, L, C] as [N, heads, L, C/heads], or with the last two swapped. */
static const char *heads(struct export *e, int i, int64_t n, bool swap)
{
    const sunup_shape *s = in_shape(e, i);
    const char *y = NODE("Reshape", GET(i, false), WHOLE(0, s->d[1], n, s->d[2] / n));
    y = NODE("Transpose", y);
    sunup__export_ints(e, "perm", 4, swap ? (const int64_t[]){0, 2, 3, 1} : (const int64_t[]){0, 2, 1, 3});
    return y;
}

static const char *causal_mask(struct export *e, const struct attention_attr *a)
{
    float *x = sunup__arena_alloc(&e->arena, (size_t)(a->queries * a->keys) * sizeof *x);
    for (int64_t i = 0; x && i < a->queries; i++)
        for (int64_t k = 0; k < a->keys; k++)
            x[i * a->keys + k] = k <= i + a->keys - a->queries ? 0 : -(float)INFINITY;
    return x ? sunup__export_tensor(e, NULL, SUNUP_F32, SUNUP_SHAPE(a->queries, a->keys), x) : "";
}

static void export_attention(struct export *e)
{
    const struct attention_attr *a = e->at->attr;
    const sunup_dtype dtype = e->at->in[0]->dtype;
    const char *q = heads(e, 0, a->heads, false), *k = heads(e, 1, a->heads, true);
    const char *v = heads(e, 2, a->heads, false);
    const char *y = NODE("MatMul", q, k);
    const double scale = a->scale > 0 ? a->scale : 1 / sqrt((double)(a->c / a->heads));
    y = NODE("Mul", y, sunup__export_fill(e, dtype, -1, scale));
    if (e->at->n_in > 3 && e->at->in[3]) y = NODE("Add", y, GET(3, false));
    if (a->causal && dtype != SUNUP_F32) sunup__export_fail(e, "it is causal and not f32");
    if (a->causal) y = NODE("Add", y, causal_mask(e, a));
    y = NODE("Softmax", y);
    y = NODE("MatMul", y, v);
    y = NODE("Transpose", y);
    sunup__export_ints(e, "perm", 4, (const int64_t[]){0, 2, 1, 3});
    DONE(false, NODE("Reshape", y, WHOLE(0, a->queries, a->v)));
}

/* -------------------------------------------------------------------------- shapes --- */

static void export_reshape(struct export *e)
{
    int64_t d[SUNUP_MAX_DIMS];
    const sunup_value *y = e->at->out[0];
    if (!sunup__export_lengths(e, y, d)) {
        sunup__export_fail(e, "the batch is in two of its axes");
        return;
    }
    DONE(false, NODE("Reshape", GET(0, false), sunup__export_whole(e, y->shape.n, d)));
}

static void export_permute(struct export *e)
{
    const struct permute_attr *a = e->at->attr;
    int64_t perm[SUNUP_MAX_DIMS];
    const int n = in_shape(e, 0)->n;
    for (int i = 0; i < n; i++) perm[i] = a->order[i];
    const char *y = NODE("Transpose", GET(0, false));
    sunup__export_ints(e, "perm", n, perm);
    DONE(false, y);
}

/* Expand leaves axes that are 1 in its shape as they are. */
static void export_broadcast(struct export *e)
{
    int64_t d[SUNUP_MAX_DIMS];
    const sunup_value *y = e->at->out[0];
    const sunup_shape *x = in_shape(e, 0);
    const int more = y->shape.n - x->n;
    (void)sunup__export_lengths(e, y, d);
    for (int i = 0; i < y->shape.n; i++) {
        if (i >= more && x->d[i - more] == y->shape.d[i]) d[i] = 1;
        if (d[i] < 0) sunup__export_fail(e, "it repeats something for every sample");
    }
    DONE(false, NODE("Expand", GET(0, false), sunup__export_whole(e, y->shape.n, d)));
}

/* The axis in the form that is there. */
static int placed(int axis, int n, bool turned)
{
    return !turned || axis == 0 ? axis : axis == n - 1 ? 1 : axis + 1;
}

static bool any_turned(const struct export *e)
{
    bool turned = false;
    for (int i = 0; i < e->at->n_in; i++)
        turned = turned || (e->at->in[i] && sunup__export_only_turned(e, e->at->in[i]));
    return turned;
}

static void export_concat(struct export *e)
{
    const struct axis_attr *a = e->at->attr;
    const bool turned = any_turned(e);
    const char **in = sunup__arena_alloc(&e->arena, (size_t)(e->at->n_in + 1) * sizeof *in);
    for (int i = 0; in && i < e->at->n_in; i++) in[i] = GET(i, turned);
    if (!in) return;
    const char *y = sunup__export_node(e, "Concat", e->at->n_in, in);
    sunup__export_int(e, "axis", placed(a->axis, in_shape(e, 0)->n, turned));
    DONE(turned, y);
}

static void export_split(struct export *e)
{
    const struct axis_attr *a = e->at->attr; /* first of its attributes */
    const bool turned = any_turned(e);
    int64_t *parts = sunup__arena_alloc(&e->arena, (size_t)(e->at->n_out + 1) * sizeof *parts);
    for (int i = 0; parts && i < e->at->n_out; i++) parts[i] = e->at->out[i]->shape.d[a->axis];
    if (!parts) return;
    const char *y = NODE("Split", GET(0, turned), sunup__export_whole(e, e->at->n_out, parts));
    sunup__export_int(e, "axis", placed(a->axis, in_shape(e, 0)->n, turned));
    for (int i = 0; i < e->at->n_out; i++)
        sunup__export_set(e, e->at->out[i], turned, i == 0 ? y : sunup__export_output(e));
}

static void export_slice(struct export *e)
{
    const struct box_attr *a = e->at->attr;
    const bool turned = any_turned(e);
    int64_t from[SUNUP_MAX_DIMS], to[SUNUP_MAX_DIMS], axes[SUNUP_MAX_DIMS];
    const sunup_shape *x = in_shape(e, 0);
    int n = 0;
    for (int i = 0; i < x->n; i++) {
        if (a->shape.d[i] == x->d[i]) continue;
        from[n] = a->from[i];
        to[n] = a->from[i] + a->shape.d[i];
        axes[n++] = placed(i, x->n, turned);
    }
    const char *f = sunup__export_whole(e, n, from), *t = sunup__export_whole(e, n, to);
    DONE(turned, NODE("Slice", GET(0, turned), f, t, sunup__export_whole(e, n, axes)));
}

static void export_pad(struct export *e)
{
    const struct box_attr *a = e->at->attr;
    const bool turned = any_turned(e);
    int64_t pads[2 * SUNUP_MAX_DIMS];
    const sunup_shape *x = in_shape(e, 0);
    for (int i = 0; i < x->n; i++) {
        const int at = placed(i, x->n, turned);
        pads[at] = a->from[i];
        pads[x->n + at] = e->at->out[0]->shape.d[i] - x->d[i] - a->from[i];
    }
    DONE(turned, NODE("Pad", GET(0, turned), sunup__export_whole(e, 2 * x->n, pads)));
}

/* -------------------------------------------------------------------------- along axes --- */

static void reduce(struct export *e, const char *op)
{
    const struct reduce_attr *a = e->at->attr;
    int64_t axes[SUNUP_MAX_DIMS];
    const int n = in_shape(e, 0)->n;
    const bool keep = e->at->out[0]->shape.n == n, turned = keep && any_turned(e);
    for (int i = a->from; i < a->to; i++) axes[i - a->from] = placed(i, n, turned);
    const char *y = NODE(op, GET(0, turned), sunup__export_whole(e, a->to - a->from, axes));
    sunup__export_int(e, "keepdims", keep);
    DONE(turned, y);
}

static void export_sum(struct export *e)
{
    reduce(e, "ReduceSum");
}

static void export_max(struct export *e)
{
    reduce(e, "ReduceMax");
}

static void export_argmax(struct export *e)
{
    const struct reduce_attr *a = e->at->attr;
    const char *y = NODE("ArgMax", GET(0, false));
    sunup__export_int(e, "axis", a->from);
    sunup__export_int(e, "keepdims", e->at->out[0]->shape.n == in_shape(e, 0)->n);
    y = NODE("Cast", y);
    sunup__export_int(e, "to", ONNX(INT32));
    DONE(false, y);
}

static void along_last(struct export *e, const char *op)
{
    const char *y = NODE(op, GET(0, false));
    sunup__export_int(e, "axis", -1);
    DONE(false, y);
}

static void export_softmax(struct export *e)
{
    along_last(e, "Softmax");
}

static void export_log_softmax(struct export *e)
{
    along_last(e, "LogSoftmax");
}

static void export_gather(struct export *e)
{
    DONE(false, NODE("Gather", GET(0, false), GET(1, false)));
}

static void export_cast(struct export *e)
{
    static const int to[] = {[SUNUP_F32] = ONNX(FLOAT), [SUNUP_F64] = ONNX(DOUBLE), [SUNUP_I32] = ONNX(INT32), [SUNUP_U8] = ONNX(UINT8)};
    const bool turned = any_turned(e), whole = e->at->out[0]->dtype == SUNUP_I32;
    const char *x = GET(0, turned);
    if (whole && sunup__is_float(e->at->in[0]->dtype)) x = NODE("Round", x); /* ONNX cuts */
    const char *y = NODE("Cast", x);
    sunup__export_int(e, "to", to[e->at->out[0]->dtype]);
    DONE(turned, y);
}

static const struct {
    const char *op;
    void (*write)(struct export *e);
} table[] = {
    {"argmax", export_argmax},         {"attention", export_attention},
    {"avg_pool", export_avg_pool},     {"broadcast", export_broadcast},
    {"cast", export_cast},             {"concat", export_concat},
    {"conv", export_conv},             {"conv_data_grad", export_conv_transpose},
    {"gather", export_gather},         {"group_norm", export_group_norm},
    {"layer_norm", export_layer_norm}, {"linear", export_linear},
    {"log_softmax", export_log_softmax}, {"matmul", export_matmul},
    {"max", export_max},               {"max_pool", export_max_pool},
    {"pad", export_pad},               {"permute", export_permute},
    {"reshape", export_reshape},       {"slice", export_slice},
    {"softmax", export_softmax},       {"split", export_split},
    {"sum", export_sum},
};

void sunup__export_op(struct export *e)
{
    if (sunup__export_batch_norm(e)) return;
    for (int i = 0; i < e->at->n_in; i++)
        if (e->at->in[i]) sunup__export_need(e, e->at->in[i]);
    if (e->failed || sunup__export_pointwise(e)) return;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].op, e->at->op->name) == 0) {
            table[i].write(e);
            return;
        }
    sunup__export_fail(e, "ONNX has no such operator");
}
