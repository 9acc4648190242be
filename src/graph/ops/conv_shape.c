/* conv_shape.c - shape rules of the three convolution ops.
 *
 * Owes: the complete window of each node, and sentences for what does not fit. A node made by a
 * caller has options and derives the window from its operands; one made by a gradient rule brings
 * the window and is only checked.
 */
#include "graph/ops/conv.h"
#include "graph/ops/op.h"
#include "graph/ops/window.h"

static sunup_shape x_shape(const struct conv_attr *a, int64_t samples)
{
    return sunup__window_shape(samples, a->w.in, a->space, a->w.c);
}
static sunup_shape y_shape(const struct conv_attr *a, int64_t samples)
{
    return sunup__window_shape(samples, a->w.out, a->space, a->w.k);
}
static sunup_shape w_shape(const struct conv_attr *a)
{
    sunup_shape s = sunup__window_shape(-1, a->w.taps, a->space, a->w.c / a->w.groups);
    s.d[s.n++] = a->w.k;
    return s;
}

/* Operand i must have this shape: only a defect of a gradient rule can break it. */
static sunup_status expect(const struct node *n, int i, sunup_shape shape)
{
    if (sunup__same_shape(&n->in[i]->shape, &shape)) return SUNUP_OK;
    return sunup__op_error(n, SUNUP_E_INTERNAL, "operand %d %s is not %s", i, TEXT(n->in[i]),
                           sunup__shape_text(&shape, (char[SHAPE_TEXT]){0}));
}

/* x [N, space.., C] and w [taps.., C/groups, K] agree on the number of axes; groups divide
 * `channels`. */
static sunup_status check_axes(const struct node *n, const sunup_value *x, const sunup_value *w)
{
    const struct conv_attr *a = n->attr;
    if (x->shape.n < 3 || x->shape.n > 5)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "x %s must be [N, W, C], [N, H, W, C] or [N, D, H, W, C]", TEXT(x));
    if (w->shape.n != x->shape.n)
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "x %s has %d space axes, but w %s is for %d; w must be [taps.., C, K] "
            "with %d axes",
            TEXT(x), x->shape.n - 2, TEXT(w), w->shape.n - 2, x->shape.n);
    if (a->w.groups < 1 || w->shape.d[w->shape.n - 1] % a->w.groups != 0)
        return sunup__op_error(n, SUNUP_E_SHAPE, "groups %lld do not divide the last axis of w %s",
                               (long long)a->w.groups, TEXT(w));
    return SUNUP_OK;
}

static sunup_status derive_forward(struct node *n, const sunup_value *x, const sunup_value *w)
{
    struct conv_attr *a = n->attr;
    const int last = x->shape.n - 1;
    a->w.c = x->shape.d[last];
    a->w.k = w->shape.d[last];
    if (a->w.c != w->shape.d[last - 1] * a->w.groups)
        return sunup__op_error(
            n, SUNUP_E_SHAPE, "x %s has %lld channels but w %s takes %lld (groups %lld)", TEXT(x),
            (long long)a->w.c, TEXT(w), (long long)(w->shape.d[last - 1] * a->w.groups),
            (long long)a->w.groups);
    sunup__window_sizes(&x->shape, 1, a->space, a->w.in);
    sunup__window_sizes(&w->shape, 0, a->space, a->w.taps);
    return sunup__window_forward(n, &a->w, (struct padding){a->padding, a->after}, x);
}

sunup_status sunup__conv_infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    struct conv_attr *a = n->attr;
    const sunup_value *x = n->in[0], *w = n->in[1];
    TRY(check_axes(n, x, w));
    if (!a->complete) TRY(derive_forward(n, x, w));
    TRY(expect(n, 0, x_shape(a, x->shape.d[0])));
    TRY(expect(n, 1, w_shape(a)));
    TRY(sunup__vector(n, 2, "b", a->w.k, "for each channel of y"));
    sunup__set_out(n, 0, x->dtype, y_shape(a, x->shape.d[0]));
    return SUNUP_OK;
}

/* Transposed: the caller's x is the forward convolution's y. */
static sunup_status derive_backward(struct node *n, const sunup_value *w, const sunup_value *x)
{
    struct conv_attr *a = n->attr;
    const int last = x->shape.n - 1;
    a->w.k = w->shape.d[last];
    a->w.c = w->shape.d[last - 1] * a->w.groups;
    if (a->w.k != x->shape.d[last])
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "x %s has %lld channels but the transposed w %s takes %lld (w is "
                               "[taps.., K/groups, C])",
                               TEXT(x), (long long)x->shape.d[last], TEXT(w), (long long)a->w.k);
    if (a->w.circular)
        return sunup__op_error(n, SUNUP_E_UNSUPPORTED,
                               "a transposed convolution pads with zeros only, not circular");
    sunup__window_sizes(&x->shape, 1, a->space, a->w.out);
    sunup__window_sizes(&w->shape, 0, a->space, a->w.taps);
    return sunup__window_backward(n, &a->w, (struct padding){a->padding, a->after},
                                  a->output_padding, x);
}

sunup_status sunup__conv_data_grad_infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    struct conv_attr *a = n->attr;
    const sunup_value *w = n->in[0], *dy = n->in[1];
    TRY(check_axes(n, dy, w));
    if (!a->complete) TRY(derive_backward(n, w, dy));
    TRY(expect(n, 0, w_shape(a)));
    TRY(expect(n, 1, y_shape(a, dy->shape.d[0])));
    sunup__set_out(n, 0, dy->dtype, x_shape(a, dy->shape.d[0]));
    return SUNUP_OK;
}

sunup_status sunup__conv_weight_grad_infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    const struct conv_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    TRY(expect(n, 0, x_shape(a, x->shape.d[0])));
    TRY(expect(n, 1, y_shape(a, x->shape.d[0])));
    sunup__set_out(n, 0, x->dtype, w_shape(a));
    return SUNUP_OK;
}
