/* export_shapes.c - shapes, parts and axes as ONNX's, and which function writes an op.
 *
 * What goes along one axis works in the form that its operand is in, with the axis' place there.
 */
#include <string.h>

#include "graph/ops/axes.h"
#include "model/onnx/export.h"
#include "tensor/tensor.h"

/* -------------------------------------------------------------------------- shapes --- */

void sunup__export_reshape(struct export *e)
{
    int64_t d[SUNUP_MAX_DIMS];
    const sunup_value *y = e->at->out[0];
    if (!sunup__export_lengths(e, y, d)) {
        sunup__export_fail(e, "the batch is in two of its axes");
        return;
    }
    DONE(false, NODE("Reshape", GET(0, false), sunup__export_whole(e, y->shape.n, d)));
}

void sunup__export_permute(struct export *e)
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
void sunup__export_broadcast(struct export *e)
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

void sunup__export_concat(struct export *e)
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

void sunup__export_split(struct export *e)
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

void sunup__export_slice(struct export *e)
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

void sunup__export_pad(struct export *e)
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

void sunup__export_sum(struct export *e)
{
    reduce(e, "ReduceSum");
}

void sunup__export_max(struct export *e)
{
    reduce(e, "ReduceMax");
}

void sunup__export_argmax(struct export *e)
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

void sunup__export_softmax(struct export *e)
{
    along_last(e, "Softmax");
}

void sunup__export_log_softmax(struct export *e)
{
    along_last(e, "LogSoftmax");
}

void sunup__export_gather(struct export *e)
{
    DONE(false, NODE("Gather", GET(0, false), GET(1, false)));
}

/* Rows of each sample: [N, P, C] by places that get an axis of length 1 behind them. */
void sunup__export_gather_rows(struct export *e)
{
    const char *places = NODE("Cast", GET(1, false));
    sunup__export_int(e, "to", ONNX(INT64));
    const char *rows = NODE("Unsqueeze", places, WHOLE(-1)), *x = GET(0, false);
    const char *y = NODE("GatherND", x, rows);
    sunup__export_int(e, "batch_dims", 1);
    DONE(false, y);
}

void sunup__export_upsample(struct export *e)
{
    const struct upsample_attr *a = e->at->attr;
    float scale[SUNUP_MAX_DIMS] = {1, 1};
    const int n = in_shape(e, 0)->n;
    for (int i = 0; i < a->space; i++) scale[2 + i] = (float)a->factor[3 - a->space + i];
    const char *scales = sunup__export_tensor(e, NULL, SUNUP_F32, SUNUP_SHAPE(n), scale);
    const char *x = GET(0, true), *y = NODE("Resize", x, NULL, scales);
    sunup__export_text(e, "mode", a->linear ? "linear" : "nearest");
    sunup__export_text(e, "coordinate_transformation_mode",
                       a->linear ? "half_pixel" : "asymmetric");
    if (!a->linear) sunup__export_text(e, "nearest_mode", "floor");
    DONE(true, y);
}

void sunup__export_cast(struct export *e)
{
    static const int to[] = {[SUNUP_F32] = ONNX(FLOAT),
                             [SUNUP_F64] = ONNX(DOUBLE),
                             [SUNUP_I32] = ONNX(INT32),
                             [SUNUP_U8] = ONNX(UINT8)};
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
#define EXPORT(op) {#op, sunup__export_##op},
#include "model/onnx/export.def"
#undef EXPORT
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
