/* ops_norm.c - normalizations.
 *
 * A BatchNormalization of a file for inference is, in a training graph, the affine map of its
 * running statistics, unless the model was asked to train it with those of the batch (train_bn)
 * or the file says so (training_mode).
 */
#include <math.h>

#include "model/onnx/ops.h"

/* A vector of channels for x [.., C]. */
static sunup_value *vector(struct onnx_call *c, int i)
{
    struct onnx_tensor *t = sunup__onnx_in(c, i);
    return t ? sunup__onnx_first(c->b, t) : NULL;
}

static sunup_value *affine(sunup_value *x, sunup_value *const v[4], double eps)
{
    sunup_value *scale = sunup_div(v[0], sunup_sqrt(sunup_scale(v[3], 1, eps)));
    return sunup_add(sunup_mul(x, scale), sunup_sub(v[1], sunup_mul(v[2], scale)));
}

/* Statistics of the batch where there is no state to keep running ones: outputs 1 and 2 are
 * those. */
static sunup_value *by_batch(struct onnx_call *c, sunup_value *x, sunup_value *v[4], double eps)
{
    int axes[SUNUP_MAX_DIMS];
    const int n = sunup_value_shape(x).n - 1;
    const double keep = sunup__onnx_float(c, "momentum", 0.9);
    for (int i = 0; i < n; i++) axes[i] = i;
    sunup_value *mean = sunup_mean(x, n, axes, false);
    sunup_value *variance = sunup_mean(sunup_square(sunup_sub(x, mean)), n, axes, false);
    sunup_value *running[] = {mean, variance};
    for (int i = 0; i < 2; i++) {
        sunup_value *y =
            sunup_add(sunup_scale(v[2 + i], keep, 0), sunup_scale(running[i], 1 - keep, 0));
        sunup__onnx_set(c, 1 + i, y, false, c->in[0]->type);
        v[2 + i] = running[i];
    }
    return affine(x, v, eps);
}

void sunup__onnx_batch_norm(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    sunup_value *v[4];
    for (int i = 0; i < 4; i++) {
        if (!sunup__onnx_need(c, i + 1)) return;
        v[i] = vector(c, i + 1);
    }
    if (!x) return;
    const double eps = sunup__onnx_float(c, "epsilon", 1e-5);
    const double momentum = 1 - sunup__onnx_float(c, "momentum", 0.9);
    const bool said = sunup__onnx_int(c, "training_mode", 0) != 0;
    const bool by_state = c->in[3]->weight && c->in[4]->weight &&
                          c->in[3]->weight->kind == ONNX_STATE &&
                          c->in[4]->weight->kind == ONNX_STATE;
    const bool trained = said || c->b->m->o.train_bn, training = sunup_graph_training(c->b->g);
    sunup_value *input = sunup__onnx_last(c->b, x), *y;
    if (sunup__is_poison(input)) return;
    if (said && !by_state)
        y = by_batch(c, input, v, eps);
    else if (by_state && (trained || !training))
        y = sunup_batch_norm(input, v[0], v[1], v[2], v[3], momentum, eps);
    else
        y = affine(input, v, eps);
    sunup__onnx_set(c, 0, y, true, x->type);
}

/* A number for each group (until opset 20) as one for each channel. */
static sunup_value *for_channels(sunup_value *v, int64_t groups, int64_t channels)
{
    if (!v || sunup__is_poison(v) || sunup_value_shape(v).d[0] == channels) return v;
    v = sunup_broadcast(sunup_reshape(v, SUNUP_SHAPE(groups, 1)),
                        SUNUP_SHAPE(groups, channels / groups));
    return sunup_reshape(v, SUNUP_SHAPE(channels));
}

void sunup__onnx_group_norm(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    if (!x || !sunup__onnx_need(c, 1) || !sunup__onnx_need(c, 2)) return;
    const int64_t channels = x->shape.n > 2 ? x->shape.d[1] : 0;
    const int64_t groups = c->node->op->kind == 1 ? channels : sunup__onnx_int(c, "num_groups", 0);
    if (groups < 1 || channels % groups != 0) {
        FAIL(c, E_SHAPE, "%lld groups of %lld channels", (long long)groups, (long long)channels);
        return;
    }
    const double eps = sunup__onnx_float(c, "epsilon", 1e-5);
    sunup_value *y =
        sunup_group_norm(sunup__onnx_last(c->b, x), for_channels(vector(c, 1), groups, channels),
                         for_channels(vector(c, 2), groups, channels), groups, eps);
    sunup__onnx_set(c, 0, y, true, x->type);
}

/* -------------------------------------------------------------------------- over last axes --- */

static sunup_value *root_mean_square(sunup_value *x, int n, const int *axes, double eps)
{
    sunup_value *mean = sunup_mean(sunup_square(x), n, axes, true);
    return sunup_div(x, sunup_sqrt(sunup_scale(mean, 1, eps)));
}

/* Outputs 1 and 2 of LayerNormalization, where somebody reads them. */
static void statistics(struct onnx_call *c, sunup_value *x, int n, const int *axes, double eps)
{
    sunup_value *mean = sunup_mean(x, n, axes, true);
    sunup_value *variance = sunup_mean(sunup_square(sunup_sub(x, mean)), n, axes, true);
    sunup_value *one = sunup_scalar(c->b->g, sunup_value_dtype(x), 1);
    sunup__onnx_set(c, 1, mean, false, c->in[0]->type);
    sunup__onnx_set(c, 2, sunup_div(one, sunup_sqrt(sunup_scale(variance, 1, eps))), false,
                    c->in[0]->type);
}

static bool shaped_as_end(const sunup_value *v, const sunup_shape *x, int n)
{
    const sunup_shape s = v ? sunup_value_shape(v) : SUNUP_SCALAR;
    bool same = v && s.n == n;
    for (int i = 0; i < n && same; i++) same = s.d[i] == x->d[x->n - n + i];
    return same;
}

void sunup__onnx_layer_norm(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", -1), t->shape.n) : -1;
    if (axis < 0) return;
    const int n = t->shape.n - axis;
    const double eps = sunup__onnx_float(c, "epsilon", 1e-5);
    int axes[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++) axes[i] = axis + i;
    sunup_value *x = sunup__onnx_first(c->b, t), *scale = vector(c, 1), *bias = vector(c, 2), *y;
    if (sunup__is_poison(x)) return;
    const bool squares = c->node->op->kind == 1;
    const bool whole = !squares && shaped_as_end(scale, &t->shape, n) &&
                       (!bias || shaped_as_end(bias, &t->shape, n));
    if (whole) {
        y = sunup_layer_norm(x, scale, bias, n, eps);
    } else {
        y = squares ? root_mean_square(x, n, axes, eps) : sunup_layer_norm(x, NULL, NULL, n, eps);
        if (scale) y = sunup_mul(y, scale);
        if (bias) y = sunup_add(y, bias);
    }
    sunup__onnx_set(c, 0, y, false, t->type);
    if (!squares && c->node->n_out > 1) statistics(c, x, n, axes, eps);
}

/* -------------------------------------------------------------------------- others --- */

void sunup__onnx_lp_norm(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", -1), t->shape.n) : -1;
    if (axis < 0) return;
    sunup_value *x = sunup__onnx_first(c->b, t);
    sunup_value *size = sunup__onnx_int(c, "p", 2) == 1
                            ? sunup_sum(sunup_abs(x), 1, &axis, true)
                            : sunup_sqrt(sunup_sum(sunup_square(x), 1, &axis, true));
    sunup_value *zero = sunup_scalar(c->b->g, sunup_value_dtype(size), 0);
    sunup_value *none = sunup_compare(size, zero, SUNUP_EQ); /* 0 / 1 = 0 */
    sunup__onnx_set(c, 0, sunup_div(x, sunup_add(size, none)), false, t->type);
}

/* The sum over neighbouring channels is a pool along the last axis. */
void sunup__onnx_lrn(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int64_t size = sunup__onnx_int(c, "size", 1);
    if (!t) return;
    if (t->shape.n < 3 || size < 1 || size > 1 << 20) {
        FAIL(c, E_SHAPE, "%lld channels at a time of a tensor of %d axes", (long long)size,
             t->shape.n);
        return;
    }
    sunup_value *x = sunup__onnx_last(c->b, t);
    sunup_pool_options o = sunup_pool_defaults();
    o.window[0] = size;
    o.stride[0] = 1;
    o.before[0] = (size - 1) / 2;
    o.after[0] = size - 1 - o.before[0];
    sunup_value *rows = sunup_reshape(sunup_square(x), SUNUP_SHAPE(-1, t->shape.d[1], 1));
    sunup_value *mean = sunup_reshape(sunup_avg_pool(rows, &o), sunup_value_shape(x));
    const double alpha = sunup__onnx_float(c, "alpha", 1e-4),
                 bias = sunup__onnx_float(c, "bias", 1);
    sunup_value *power = sunup_scale(sunup_log(sunup_scale(mean, alpha, bias)),
                                     -sunup__onnx_float(c, "beta", 0.75), 0);
    sunup__onnx_set(c, 0, sunup_mul(x, sunup_exp(power)), true, t->type);
}

void sunup__onnx_mean_variance(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t given[SUNUP_MAX_DIMS] = {0, 2, 3};
    int n = sunup__onnx_ints(c, "axes", SUNUP_MAX_DIMS, given), axes[SUNUP_MAX_DIMS];
    if (!t) return;
    if (n < 0) n = 3;
    for (int i = 0; i < n; i++)
        if ((axes[i] = sunup__onnx_axis(c, given[i], t->shape.n)) < 0) return;
    sunup_value *x = sunup__onnx_first(c->b, t);
    sunup_value *d = sunup_sub(x, sunup_mean(x, n, axes, true));
    sunup_value *sd = sunup_sqrt(sunup_mean(sunup_square(d), n, axes, true));
    sunup__onnx_set(c, 0, sunup_div(d, sunup_scale(sd, 1, 1e-9)), false, t->type);
}
