/* export_layers.c - convolutions, pools, norms, products and attention as ONNX's.
 *
 * What works on channels takes its operand turned and gives its result so. ONNX of opset 18 has
 * no group norm of ours and no attention: both are made of smaller operators.
 */
#include <math.h>
#include <string.h>

#include "graph/ops/attention.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/conv.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pool.h"
#include "model/onnx/export.h"
#include "tensor/tensor.h"

/* -------------------------------------------------------------------------- windows --- */

static int64_t span(const struct window *w, int a)
{
    return w->dilation[a] * (w->taps[a] - 1) + 1;
}

/* kernel_shape, strides, dilations, pads of x -> y; over: rows that a transposed convolution
 * adds. */
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
    const char *y =
        b ? NODE(transposed ? "ConvTranspose" : "Conv", x, k, sunup__export_get(e, b, false))
          : NODE(transposed ? "ConvTranspose" : "Conv", x, k);
    int64_t over[3];
    window(e, &a->w, a->space, over);
    sunup__export_int(e, "group", a->w.groups);
    if (transposed) sunup__export_ints(e, "output_padding", a->space, over);
    DONE(true, y);
}

void sunup__export_conv(struct export *e)
{
    write_conv(e, false);
}

void sunup__export_conv_data_grad(struct export *e)
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

void sunup__export_max_pool(struct export *e)
{
    write_pool(e, false);
}

void sunup__export_avg_pool(struct export *e)
{
    write_pool(e, true);
}

/* -------------------------------------------------------------------------- norms --- */

/* [N, C, space..] as [N, groups, rest], each group an instance of its own; then the affine map. */
void sunup__export_group_norm(struct export *e)
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

void sunup__export_layer_norm(struct export *e)
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

void sunup__export_linear(struct export *e)
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

void sunup__export_matmul(struct export *e)
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
    sunup__export_ints(e, "perm", 4,
                       swap ? (const int64_t[]){0, 2, 3, 1} : (const int64_t[]){0, 2, 1, 3});
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

void sunup__export_attention(struct export *e)
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
