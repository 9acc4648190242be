/* window.c - see window.h. SAME is TensorFlow's and ONNX's SAME_UPPER: the odd row goes after. */
#include "graph/ops/window.h"

#include "graph/ops/op.h"

/* Far above any use, far below overflow: strides, dilations, paddings and taps are at most this. */
#define LIMIT ((int64_t)1 << 24)

static const char axis_name[] = "DHW";

void sunup__window_axes(int space, const int64_t *option, int64_t rest, int64_t to[3])
{
    for (int a = 0; a < 3; ++a) to[a] = option && a >= 3 - space ? option[a - (3 - space)] : rest;
}

void sunup__window_sizes(const sunup_shape *s, int from, int space, int64_t to[3])
{
    sunup__window_axes(space, s->d + from, 1, to);
}

sunup_shape sunup__window_shape(int64_t first, const int64_t size[3], int space, int64_t last)
{
    sunup_shape s = {0, {0}};
    if (first >= 0) s.d[s.n++] = first;
    for (int a = 3 - space; a < 3; ++a) s.d[s.n++] = size[a];
    s.d[s.n++] = last;
    return s;
}

int64_t sunup__window_taps(const struct window *w)
{
    return w->taps[0] * w->taps[1] * w->taps[2];
}

static sunup_status in_limits(const struct node *n, const char *what, int axis, int64_t value,
                              int64_t least)
{
    if (value >= least && value <= LIMIT) return SUNUP_OK;
    return sunup__op_error(n, SUNUP_E_ARGUMENT, "%s of axis %c is %lld; it must be in [%lld, %lld]",
                           what, axis_name[axis], (long long)value, (long long)least,
                           (long long)LIMIT);
}

static sunup_status axis_limits(const struct node *n, const struct window *w, const int64_t *after,
                                int a)
{
    TRY(in_limits(n, "window", a, w->taps[a], 1));
    TRY(in_limits(n, "stride", a, w->stride[a], 1));
    TRY(in_limits(n, "dilation", a, w->dilation[a], 1));
    TRY(in_limits(n, "padding before", a, w->before[a], 0));
    return in_limits(n, "padding after", a, after[a], 0);
}

/* Rows of padding that give `out` windows over `in` rows. */
static void pad_for(struct window *w, int64_t *after, int a, int64_t in, int64_t out)
{
    const int64_t span = w->dilation[a] * (w->taps[a] - 1) + 1;
    const int64_t rows = (out - 1) * w->stride[a] + span - in;
    w->before[a] = rows > 0 ? rows / 2 : 0;
    after[a] = rows > 0 ? rows - rows / 2 : 0;
}

static sunup_status forward_axis(const struct node *n, struct window *w, struct padding pad, int a,
                                 const sunup_value *x)
{
    TRY(axis_limits(n, w, pad.after, a));
    const int64_t in = w->in[a], span = w->dilation[a] * (w->taps[a] - 1) + 1;
    if (in < 1)
        return sunup__op_error(n, SUNUP_E_SHAPE, "axis %c of x %s is empty", axis_name[a], TEXT(x));
    if (pad.kind == SUNUP_PADDING_VALID) w->before[a] = pad.after[a] = 0;
    if (pad.kind == SUNUP_PADDING_SAME)
        pad_for(w, pad.after, a, in, (in + w->stride[a] - 1) / w->stride[a]);
    const int64_t padded = in + w->before[a] + pad.after[a];
    if (padded < span)
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "axis %c of x %s has %lld rows with padding, but a window of %lld "
            "taps with dilation %lld spans %lld; take a smaller window or pad more",
            axis_name[a], TEXT(x), (long long)padded, (long long)w->taps[a],
            (long long)w->dilation[a], (long long)span);
    if (w->circular && (w->before[a] > in || pad.after[a] > in))
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "circular padding of %lld + %lld rows goes more than once around "
                               "axis %c of x %s; at most %lld on each side",
                               (long long)w->before[a], (long long)pad.after[a], axis_name[a],
                               TEXT(x), (long long)in);
    w->out[a] = (padded - span) / w->stride[a] + 1;
    return SUNUP_OK;
}

sunup_status sunup__window_forward(const struct node *n, struct window *w, struct padding pad,
                                   const sunup_value *x)
{
    for (int a = 0; a < 3; ++a) TRY(forward_axis(n, w, pad, a, x));
    return SUNUP_OK;
}

static sunup_status backward_axis(const struct node *n, struct window *w, struct padding pad,
                                  int64_t more, int a, const sunup_value *x)
{
    TRY(axis_limits(n, w, pad.after, a));
    TRY(in_limits(n, "output_padding", a, more, 0));
    const int64_t out = w->out[a], span = w->dilation[a] * (w->taps[a] - 1) + 1;
    if (out < 1)
        return sunup__op_error(n, SUNUP_E_SHAPE, "axis %c of x %s is empty", axis_name[a], TEXT(x));
    if (more > 0 &&
        (pad.kind == SUNUP_PADDING_SAME || (more >= w->stride[a] && more >= w->dilation[a])))
        return sunup__op_error(n, SUNUP_E_ARGUMENT,
                               "output_padding %lld of axis %c must be below the stride %lld or "
                               "the dilation %lld, and 0 with padding 'same'",
                               (long long)more, axis_name[a], (long long)w->stride[a],
                               (long long)w->dilation[a]);
    if (pad.kind == SUNUP_PADDING_VALID) w->before[a] = pad.after[a] = 0;
    if (pad.kind == SUNUP_PADDING_SAME) pad_for(w, pad.after, a, out * w->stride[a], out);
    w->in[a] = pad.kind == SUNUP_PADDING_SAME
                   ? out * w->stride[a]
                   : (out - 1) * w->stride[a] + span + more - w->before[a] - pad.after[a];
    if (w->in[a] < 1)
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "axis %c of x %s with %lld rows gives no output: padding %lld + %lld "
            "takes away more than a window of %lld taps makes",
            axis_name[a], TEXT(x), (long long)out, (long long)w->before[a], (long long)pad.after[a],
            (long long)w->taps[a]);
    return SUNUP_OK;
}

sunup_status sunup__window_backward(const struct node *n, struct window *w, struct padding pad,
                                    const int64_t more[3], const sunup_value *x)
{
    for (int a = 0; a < 3; ++a) TRY(backward_axis(n, w, pad, more[a], a, x));
    return SUNUP_OK;
}
