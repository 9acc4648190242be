/* ops_space.c - windows over space: convolutions and pools of one to three space axes, channels
 * last inside.
 *
 * Owes: ONNX's paddings as counts (auto_pad, ceil_mode, output_shape); a convolution's weight as
 * it is kept, or turned. Source: the operators' descriptions,
 * github.com/onnx/onnx/blob/main/docs/Operators.md.
 */
#include <math.h>
#include <string.h>

#include "model/onnx/ops.h"

struct extent {
    int space;
    int64_t in[3], taps[3], stride[3], dilation[3], before[3], after[3];
};

/* n numbers of an attribute, or `otherwise`; false: another count. */
static bool numbers(struct onnx_call *c, const char *name, int n, int64_t otherwise, int64_t *v)
{
    const int given = sunup__onnx_ints(c, name, 6, v);
    if (given < 0)
        for (int i = 0; i < n; i++) v[i] = otherwise;
    if (given < 0 || given == n) return true;
    FAIL(c, E_FORMAT, "%s has %d numbers, not %d", name, given, n);
    return false;
}

static bool limits(struct onnx_call *c, const struct extent *w)
{
    enum { MOST = 1 << 24 };
    for (int i = 0; i < w->space; i++) {
        const bool good = w->taps[i] > 0 && w->taps[i] < MOST && w->stride[i] > 0 &&
                          w->stride[i] < MOST && w->dilation[i] > 0 && w->dilation[i] < MOST &&
                          w->before[i] > -MOST && w->before[i] < MOST && w->after[i] > -MOST &&
                          w->after[i] < MOST;
        if (good) continue;
        FAIL(c, E_SHAPE, "space axis %d: a window, stride, dilation or padding makes no sense", i);
        return false;
    }
    return true;
}

static int64_t span(const struct extent *w, int i)
{
    return w->dilation[i] * (w->taps[i] - 1) + 1;
}

/* Everything but the taps, which are there. */
static bool read_window(struct onnx_call *c, const struct onnx_tensor *x, struct extent *w)
{
    int64_t pads[6] = {0};
    const int n = w->space = x->shape.n - 2;
    if (n < 1 || n > 3) {
        FAIL(c, E_UNSUPPORTED,
             "a tensor of %d axes; 1 to 3 space axes behind batch and channels can be", x->shape.n);
        return false;
    }
    for (int i = 0; i < n; i++) w->in[i] = x->shape.d[i + 2];
    if (!numbers(c, "strides", n, 1, w->stride) || !numbers(c, "dilations", n, 1, w->dilation) ||
        !numbers(c, "pads", 2 * n, 0, pads))
        return false;
    for (int i = 0; i < n; i++) {
        w->before[i] = pads[i];
        w->after[i] = pads[n + i];
    }
    if (!limits(c, w)) return false;
    const char *how = sunup__onnx_text(c, "auto_pad", "NOTSET");
    const bool upper = strcmp(how, "SAME_UPPER") == 0, lower = strcmp(how, "SAME_LOWER") == 0;
    for (int i = 0; i < n && strcmp(how, "NOTSET") != 0; i++) {
        const int64_t out = (w->in[i] + w->stride[i] - 1) / w->stride[i];
        const int64_t rows = (out - 1) * w->stride[i] + span(w, i) - w->in[i];
        const int64_t all = (upper || lower) && rows > 0 ? rows : 0;
        w->before[i] = lower ? all - all / 2 : all / 2;
        w->after[i] = all - w->before[i];
    }
    return true;
}

/* -------------------------------------------------------------------------- convolution --- */

/* [taps.., in, out] */
static sunup_value *weight(struct onnx_call *c, struct onnx_tensor *t)
{
    int order[SUNUP_MAX_DIMS];
    const int n = t->shape.n;
    if (t->native) return t->native;
    for (int i = 0; i < n; i++) order[i] = i < n - 2 ? i + 2 : n - 1 - i;
    return sunup__onnx_permute(sunup__onnx_first(c->b, t), order);
}

/* Of a transposed convolution: paddings that give the shape asked for. */
static bool transposed_padding(struct onnx_call *c, struct extent *w, sunup_conv_options *o)
{
    int64_t want[5] = {0}, more[3];
    const char *how = sunup__onnx_text(c, "auto_pad", "NOTSET");
    const int n = w->space, given = sunup__onnx_ints(c, "output_shape", 5, want);
    if (!numbers(c, "output_padding", n, 0, more) || (given >= 0 && given < n)) return false;
    for (int i = 0; i < n; i++) {
        const int64_t asked = given > 0 ? want[given - n + i] : 0;
        if (more[i] < 0 || more[i] > 1 << 24 || asked < 0 || asked > (int64_t)1 << 40) {
            FAIL(c, E_SHAPE, "an output_padding or output_shape makes no sense");
            return false;
        }
        o->output_padding[i] = more[i];
        const bool same = strncmp(how, "SAME", 4) == 0;
        if (given < 0 && !same) continue;
        const int64_t out = given > 0 ? want[given - n + i] : w->in[i] * w->stride[i];
        const int64_t all = (w->in[i] - 1) * w->stride[i] + more[i] + span(w, i) - out;
        const int64_t half = all > 0 ? all / 2 : 0;
        const bool upper = strcmp(how, "SAME_UPPER") == 0;
        w->before[i] = upper ? half : all > 0 ? all - half : 0;
        w->after[i] = all > 0 ? all - w->before[i] : 0;
        if (all < 0) o->output_padding[i] -= all; /* rows that no tap reaches */
    }
    return true;
}

void sunup__onnx_conv(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0), *k = sunup__onnx_need(c, 1);
    struct onnx_tensor *bias = sunup__onnx_in(c, 2);
    struct extent w = {0};
    if (!x || !k) return;
    if (k->shape.n != x->shape.n || x->shape.n < 3 || x->shape.n > 5) {
        FAIL(c, E_UNSUPPORTED, "x of %d axes and a weight of %d; both need 3, 4 or 5", x->shape.n,
             k->shape.n);
        return;
    }
    for (int i = 0; i < x->shape.n - 2; i++) w.taps[i] = k->shape.d[i + 2];
    if (!read_window(c, x, &w)) return;
    sunup_conv_options o = sunup_conv_defaults();
    const bool transposed = c->node->op->kind == 1;
    if (transposed && !transposed_padding(c, &w, &o)) return;
    o.groups = sunup__onnx_int(c, "group", 1);
    for (int i = 0; i < w.space; i++) {
        o.stride[i] = w.stride[i];
        o.dilation[i] = w.dilation[i];
        o.before[i] = w.before[i];
        o.after[i] = w.after[i];
    }
    sunup_value *v = sunup__onnx_last(c->b, x), *b = bias ? sunup__onnx_first(c->b, bias) : NULL;
    sunup_value *y = transposed ? sunup_conv_transpose(v, weight(c, k), b, &o)
                                : sunup_conv(v, weight(c, k), b, &o);
    sunup__onnx_set(c, 0, y, true, x->type);
}

/* -------------------------------------------------------------------------- pools --- */

/* Rounded up: rows behind so that a last, cut window fits, which must begin inside. Their number. */
static int64_t cut_window(const struct extent *w, int i)
{
    const int64_t rows = w->in[i] + w->before[i] + w->after[i] - span(w, i);
    int64_t out = rows < 0 ? 1 : (rows + w->stride[i] - 1) / w->stride[i] + 1;
    if ((out - 1) * w->stride[i] >= w->in[i] + w->before[i]) out--;
    const int64_t more =
        (out - 1) * w->stride[i] + span(w, i) - w->in[i] - w->before[i] - w->after[i];
    return more > 0 ? more : 0;
}

/* Zeros that count are put there first, so that those of a cut window, which do not, can follow. */
static sunup_value *average(sunup_value *x, const struct extent *w, sunup_pool_options *o, bool cut)
{
    if (o->count_pad && cut) {
        int64_t before[SUNUP_MAX_DIMS] = {0}, after[SUNUP_MAX_DIMS] = {0};
        for (int i = 0; i < w->space; i++) {
            before[i + 1] = w->before[i];
            after[i + 1] = w->after[i];
            o->before[i] = 0;
            o->after[i] -= w->after[i];
        }
        x = sunup_pad(x, before, after, SUNUP_PAD_ZERO);
        o->count_pad = false;
    }
    return sunup_avg_pool(x, o);
}

/* (sum of |x|^p)^(1/p), from the mean. */
static sunup_value *from_mean(sunup_value *mean, double count, double p)
{
    sunup_value *y = sunup_scale(mean, count, 0);
    return p == 1 ? y : p == 2 ? sunup_sqrt(y) : sunup_exp(sunup_scale(sunup_log(y), 1 / p, 0));
}

static sunup_value *to_power(sunup_value *x, double p)
{
    if (p == 1) return sunup_abs(x);
    return p == 2 ? sunup_square(x) : sunup_exp(sunup_scale(sunup_log(sunup_abs(x)), p, 0));
}

void sunup__onnx_pool(struct onnx_call *c)
{
    enum { MAX, AVERAGE, LP };
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    struct extent w = {0};
    const int kind = c->node->op->kind;
    if (!x || x->shape.n < 3 || x->shape.n > 5) {
        FAIL(c, E_UNSUPPORTED, "a tensor that has not 3, 4 or 5 axes");
        return;
    }
    if (!numbers(c, "kernel_shape", x->shape.n - 2, 0, w.taps) || !read_window(c, x, &w)) return;
    sunup_pool_options o = sunup_pool_defaults();
    const bool up = sunup__onnx_int(c, "ceil_mode", 0) != 0;
    o.count_pad = kind == LP || sunup__onnx_int(c, "count_include_pad", 0) != 0;
    bool cut = false;
    double count = 1;
    for (int i = 0; i < w.space; i++) {
        if (w.dilation[i] != 1) {
            FAIL(c, E_UNSUPPORTED, "a pool with dilation %lld", (long long)w.dilation[i]);
            return;
        }
        const int64_t more = up ? cut_window(&w, i) : 0;
        cut = cut || more > 0;
        o.window[i] = w.taps[i];
        o.stride[i] = w.stride[i];
        o.before[i] = w.before[i];
        o.after[i] = w.after[i] + more;
        count *= (double)w.taps[i];
    }
    sunup_value *v = sunup__onnx_last(c->b, x);
    const double p = (double)sunup__onnx_int(c, "p", 2);
    sunup_value *y = kind == MAX       ? sunup_max_pool(v, &o)
                     : kind == AVERAGE ? average(v, &w, &o, cut)
                                       : from_mean(sunup_avg_pool(to_power(v, p), &o), count, p);
    sunup__onnx_set(c, 0, y, true, x->type);
}

void sunup__onnx_global_pool(struct onnx_call *c)
{
    enum { MAX, AVERAGE, LP };
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    if (!x) return;
    const int kind = c->node->op->kind, space = x->shape.n - 2;
    int axes[SUNUP_MAX_DIMS];
    sunup_shape s = {.n = x->shape.n};
    double count = 1;
    for (int i = 0; i < space; i++) {
        axes[i] = i + 1;
        s.d[i + 1] = 1;
        count *= (double)x->shape.d[i + 2];
    }
    if (space < 1) {
        FAIL(c, E_SHAPE, "a tensor of %d axes has no space", x->shape.n);
        return;
    }
    s.d[0] = x->shape.d[0];
    s.d[x->shape.n - 1] = x->shape.d[1];
    sunup_value *v = sunup__onnx_last(c->b, x);
    const double p = (double)sunup__onnx_int(c, "p", 2);
    sunup_value *y = kind == MAX ? sunup_max(v, space, axes, false)
                     : kind == AVERAGE
                         ? sunup_mean(v, space, axes, false)
                         : from_mean(sunup_mean(to_power(v, p), space, axes, false), count, p);
    sunup__onnx_set(c, 0, sunup_reshape(y, s), true, x->type);
}
