/* local.c - locally connected layers: a convolution whose taps are of each place alone.
 *
 * A formula of other ops: what each place sees is gathered from x with the samples behind space, and a
 * batched product over places multiplies it by the place's matrix. Weights are as large as all places
 * together and are read once; what is gathered is as large for as many samples as there are channels
 * out. Valid padding.
 */
#include "graph/ops/op.h"
#include "graph/ops/window.h"

struct local {
    struct window w;
    int space;
    int64_t samples, places, rows, taps; /* rows: of x's space */
};

static sunup_value *refuse(const sunup_value *x, const char *why)
{
    return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE, "local of '%s' %s: %s", x->name,
                              TEXT(x), why);
}

/* NULL, or what is wrong. */
static const char *geometry(const sunup_value *x, const sunup_value *w, const sunup_conv_options *o,
                            struct local *l)
{
    *l = (struct local){.space = x->shape.n - 2, .places = 1, .rows = 1, .taps = 1};
    if (l->space < 1 || l->space > 2) return "x must be [N, W, C] or [N, H, W, C]";
    if (w->shape.n != 2 * l->space + 2) return "weights must be [places.., taps.., C, K]";
    if (o->padding == SUNUP_PADDING_SAME || o->before[0] || o->before[1] || o->after[0] ||
        o->after[1] || o->groups != 1 || o->pad_mode != SUNUP_PAD_ZERO)
        return "padding and groups are not for layers of this kind";
    sunup__window_sizes(&x->shape, 1, l->space, l->w.in);
    sunup__window_sizes(&w->shape, 0, l->space, l->w.out);
    sunup__window_sizes(&w->shape, l->space, l->space, l->w.taps);
    sunup__window_axes(l->space, o->stride, 1, l->w.stride);
    sunup__window_axes(l->space, o->dilation, 1, l->w.dilation);
    l->samples = x->shape.d[0];
    l->w.c = x->shape.d[x->shape.n - 1];
    l->w.k = w->shape.d[w->shape.n - 1];
    for (int i = 0; i < 3; i++) {
        if (l->w.stride[i] < 1 || l->w.dilation[i] < 1 || l->w.taps[i] < 1)
            return "taps, stride and dilation must be 1 or more";
        const int64_t room = l->w.in[i] - l->w.dilation[i] * (l->w.taps[i] - 1) - 1;
        if (room < 0 || l->w.out[i] != room / l->w.stride[i] + 1)
            return "the weights' places are not (in - dilation (tap - 1) - 1) / stride + 1";
        l->places *= l->w.out[i];
        l->rows *= l->w.in[i];
        l->taps *= l->w.taps[i];
    }
    return w->shape.d[w->shape.n - 2] == l->w.c ? NULL : "weights are for other channels";
}

/* The row of x that tap t of place p sees. */
static int64_t row_of(const struct local *l, int64_t p, int64_t t)
{
    int64_t row = 0, step = 1;
    for (int i = 2; i >= 0; i--) {
        row += step * (p % l->w.out[i] * l->w.stride[i] + t % l->w.taps[i] * l->w.dilation[i]);
        step *= l->w.in[i];
        p /= l->w.out[i];
        t /= l->w.taps[i];
    }
    return row;
}

static sunup_value *seen(sunup_graph *g, const struct local *l)
{
    int32_t *rows = sunup__alloc((size_t)(l->places * l->taps) * sizeof *rows);
    if (!rows) return sunup__graph_error(g, SUNUP_E_MEMORY, "local: no memory for its index");
    for (int64_t p = 0; p < l->places; p++)
        for (int64_t t = 0; t < l->taps; t++) rows[p * l->taps + t] = (int32_t)row_of(l, p, t);
    sunup_value *index = sunup_constant(g, SUNUP_I32, SUNUP_SHAPE(l->places, l->taps), rows);
    sunup__free(rows);
    return index;
}

/* [places, samples, taps * C] */
static sunup_value *patches(sunup_value *x, const struct local *l)
{
    x = sunup_reshape(x, SUNUP_SHAPE(l->samples, l->rows, l->w.c));
    x = sunup_permute(x, (const int[]){1, 0, 2});
    x = sunup_reshape(x, SUNUP_SHAPE(l->rows, l->samples * l->w.c));
    x = sunup_gather(x, seen(x->node->graph, l));
    x = sunup_reshape(x, SUNUP_SHAPE(l->places, l->taps, l->samples, l->w.c));
    x = sunup_permute(x, (const int[]){0, 2, 1, 3});
    return sunup_reshape(x, SUNUP_SHAPE(l->places, l->samples, l->taps * l->w.c));
}

sunup_value *sunup_local(sunup_value *x, sunup_value *w, sunup_value *b,
                         const sunup_conv_options *options)
{
    if (!x || sunup__is_poison(x)) return x;
    if (!w || sunup__is_poison(w)) return w;
    const sunup_conv_options o = options ? *options : sunup_conv_defaults();
    struct local l;
    const char *why = geometry(x, w, &o, &l);
    if (why) return refuse(x, why);
    w = sunup_reshape(w, SUNUP_SHAPE(l.places, l.taps * l.w.c, l.w.k));
    sunup_value *y = sunup_permute(sunup_matmul(patches(x, &l), w, 0), (const int[]){1, 0, 2});
    y = sunup_reshape(y, sunup__window_shape(l.samples, l.w.out, l.space, l.w.k));
    return b ? sunup_add(y, b) : y;
}
