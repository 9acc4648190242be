/* layers.c - ops that make their own parameters, started as PyTorch starts them.
 *
 * Owes: the parameters' names ("<name>.weight" ...), shapes and starts. Leaves every check of shapes to the ops: a
 * parameter's shape follows from what the layer is given, and the op says what does not fit.
 * Starts: linear and convolutions kaiming_uniform(a = sqrt 5), that is U(-b, b) with b = 1 / sqrt(fan in), weight and
 * bias alike; norms one and zero; embedding N(0, 1).
 * Source: reset_parameters of torch.nn.Linear, _ConvNd, _BatchNorm, LayerNorm, GroupNorm, Embedding.
 */
#include "model/layers.h"

#include <math.h>
#include <stdio.h>

#include "tensor/tensor.h"

/* A layer under construction: where it hangs and what stood there before. */
struct layer_site {
    sunup_graph *g;
    const char *name, *outer;
};

/* False: x is NULL or poison, and so must be the result. */
static bool enter(struct layer_site *l, sunup_value *x, const char *name)
{
    if (!x || sunup__is_poison(x)) return false;
    l->g = x->node->graph;
    l->name = name;
    l->outer = l->g->layer;
    sunup__graph_layer(l->g, name);
    return true;
}

static sunup_value *leave(const struct layer_site *l, sunup_value *y)
{
    l->g->layer = l->outer;
    return y;
}

static sunup_value *refuse(const struct layer_site *l, const char *why)
{
    return leave(l, sunup__graph_error(l->g, SUNUP_E_SHAPE, "layer '%s': %s", l->name, why));
}

/* What the owner has under this name, if it has the shape that this layer wants. */
static sunup_value *borrow(const struct layer_site *l, const char *name, sunup_shape shape)
{
    sunup_value *v = sunup_graph_find(l->g, name);
    if (v && sunup__same_shape(&v->shape, &shape)) return v;
    char room[2][SHAPE_TEXT];
    if (!v)
        return sunup__graph_error(l->g, SUNUP_E_SHAPE, "'%s' shares the weights of '%s', which has "
                                  "no '%s'", l->name, l->g->owner, name);
    return sunup__graph_error(l->g, SUNUP_E_SHAPE, "'%s' shares the weights of '%s', but needs '%s' "
                              "as %s, and it is %s", l->name, l->g->owner, name,
                              sunup__shape_text(&shape, room[0]),
                              sunup__shape_text(&v->shape, room[1]));
}

static sunup_value *tensor(const struct layer_site *l, const char *part, bool state,
                           sunup_shape shape, sunup_init init)
{
    char name[256];
    const char *owner = l->g->owner ? l->g->owner : l->name;
    const int n = snprintf(name, sizeof name, "%s.%s", owner, part);
    if (n < 0 || n >= (int)sizeof name)
        return sunup__graph_error(l->g, SUNUP_E_ARGUMENT, "layer name of %d letters is too long",
                                  n);
    if (l->g->owner) return borrow(l, name, shape);
    return state ? sunup_state(l->g, name, shape, init) : sunup_parameter(l->g, name, shape, init);
}

static sunup_init constant(double a)
{
    return (sunup_init){SUNUP_INIT_CONSTANT, a};
}

/* For weights that take in and give out so many numbers each. */
static sunup_init start(const struct layer_site *l, int64_t in, int64_t out)
{
    const double fan_in = in > 0 ? (double)in : INFINITY, both = 0.5 * (fan_in + (double)out);
    switch (l->g->start) {
    case SUNUP_START_KAIMING_UNIFORM:
        return (sunup_init){SUNUP_INIT_UNIFORM, sqrt(6 / fan_in)};
    case SUNUP_START_KAIMING_NORMAL:
        return (sunup_init){SUNUP_INIT_NORMAL, sqrt(2 / fan_in)};
    case SUNUP_START_XAVIER_UNIFORM:
        return (sunup_init){SUNUP_INIT_UNIFORM, sqrt(3 / both)};
    case SUNUP_START_XAVIER_NORMAL:
        return (sunup_init){SUNUP_INIT_NORMAL, sqrt(1 / both)};
    case SUNUP_START_ZEROS:
        return constant(0);
    case SUNUP_START_DEFAULT:
        break;
    }
    return (sunup_init){SUNUP_INIT_UNIFORM, 1 / sqrt(fan_in)};
}

static sunup_init bias_start(const struct layer_site *l, int64_t in)
{
    return l->g->start == SUNUP_START_DEFAULT ? start(l, in, 0) : constant(0);
}

static int64_t last_axis(const sunup_value *x)
{
    return x->shape.n > 0 ? x->shape.d[x->shape.n - 1] : 0;
}

sunup_value *sunup_layer_linear(sunup_value *x, const char *name, int64_t out, bool bias)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const int64_t in = last_axis(x);
    sunup_value *w = tensor(&l, "weight", false, SUNUP_SHAPE(in, out), start(&l, in, out));
    sunup_value *b = bias ? tensor(&l, "bias", false, SUNUP_SHAPE(out), bias_start(&l, in)) : NULL;
    return leave(&l, sunup_linear(x, w, b));
}

/* [taps.., a, b] for an x of that many space axes; n = 0 if x is no image. */
static sunup_shape tap_shape(const sunup_value *x, const int64_t *taps, int64_t a, int64_t b)
{
    const int space = x->shape.n - 2;
    sunup_shape s = {0};
    if (space < 1 || space > 3) return s;
    for (int i = 0; i < space; i++) s.d[s.n++] = taps[i];
    s.d[s.n++] = a;
    s.d[s.n++] = b;
    return s;
}

/* Weights of one output (the last axis left out), or of one input (the axis before it). */
static int64_t fan(const sunup_shape *w, int left_out)
{
    int64_t n = 1;
    for (int i = 0; i < w->n; i++)
        if (i != left_out) n *= w->d[i];
    return n;
}

static const char no_image[] = "it needs [batch, space.., channels] with 1 to 3 space axes";
static const char no_groups[] = "groups must be at least 1 and divide the channels in and out";

sunup_value *sunup_layer_conv(sunup_value *x, const char *name, int64_t channels,
                              const int64_t *taps, bool bias, const sunup_conv_options *options)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const int64_t groups = options ? options->groups : 1, c = last_axis(x);
    if (groups < 1 || c % groups != 0 || channels % groups != 0) return refuse(&l, no_groups);
    const sunup_shape shape = tap_shape(x, taps, c / groups, channels);
    if (shape.n == 0) return refuse(&l, no_image);
    const int64_t in = fan(&shape, shape.n - 1), out = fan(&shape, shape.n - 2);
    sunup_value *w = tensor(&l, "weight", false, shape, start(&l, in, out));
    sunup_value *b = bias ? tensor(&l, "bias", false, SUNUP_SHAPE(channels), bias_start(&l, in)) : NULL;
    return leave(&l, sunup_conv(x, w, b, options));
}

/* PyTorch counts the fan-in of its transposed weight [in, out/groups, taps] over the last axes: so out/groups. */
sunup_value *sunup_layer_conv_transpose(sunup_value *x, const char *name, int64_t channels,
                                        const int64_t *taps, bool bias,
                                        const sunup_conv_options *options)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const int64_t groups = options ? options->groups : 1, c = last_axis(x);
    if (groups < 1 || c % groups != 0 || channels % groups != 0) return refuse(&l, no_groups);
    const sunup_shape shape = tap_shape(x, taps, channels / groups, c);
    if (shape.n == 0) return refuse(&l, no_image);
    const int64_t in = fan(&shape, shape.n - 1), out = fan(&shape, shape.n - 2);
    sunup_value *w = tensor(&l, "weight", false, shape, start(&l, in, out));
    sunup_value *b = bias ? tensor(&l, "bias", false, SUNUP_SHAPE(channels), bias_start(&l, in)) : NULL;
    return leave(&l, sunup_conv_transpose(x, w, b, options));
}

/* Not in PyTorch: starts as its convolutions do. */
sunup_value *sunup_layer_local(sunup_value *x, const char *name, int64_t channels,
                               const int64_t *taps, bool bias, const sunup_conv_options *options)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const sunup_conv_options o = options ? *options : sunup_conv_defaults();
    const int space = x->shape.n - 2;
    if (space < 1 || space > 2) return refuse(&l, "it needs [batch, W, C] or [batch, H, W, C]");
    sunup_shape w = {0}, b;
    const sunup_shape window = tap_shape(x, taps, last_axis(x), channels);
    const int64_t in = fan(&window, window.n - 1), out = fan(&window, window.n - 2);
    for (int i = 0; i < space; i++) {
        const int64_t room = x->shape.d[i + 1] - o.dilation[i] * (taps[i] - 1) - 1;
        if (room < 0 || o.stride[i] < 1)
            return refuse(&l, "its window does not fit into its input");
        w.d[w.n++] = room / o.stride[i] + 1;
    }
    b = w;
    b.d[b.n++] = channels;
    for (int i = 0; i < window.n; i++) w.d[w.n++] = window.d[i];
    sunup_value *weight = tensor(&l, "weight", false, w, start(&l, in, out));
    sunup_value *offset = bias ? tensor(&l, "bias", false, b, bias_start(&l, in)) : NULL;
    return leave(&l, sunup_local(x, weight, offset, &o));
}

struct norm_options sunup__norm_defaults(void)
{
    return (struct norm_options){.eps = 1e-5, .momentum = 0.1, .affine = true};
}

sunup_value *sunup__layer_batch_norm(sunup_value *x, const char *name, struct norm_options o)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const sunup_shape c = SUNUP_SHAPE(last_axis(x));
    sunup_value *gamma = o.affine ? tensor(&l, "weight", false, c, constant(1)) : NULL;
    sunup_value *beta = o.affine ? tensor(&l, "bias", false, c, constant(0)) : NULL;
    sunup_value *mean = tensor(&l, "running_mean", true, c, constant(0));
    sunup_value *var = tensor(&l, "running_var", true, c, constant(1));
    return leave(&l, sunup_batch_norm(x, gamma, beta, mean, var, o.momentum, o.eps));
}

sunup_value *sunup__layer_layer_norm(sunup_value *x, const char *name, int n_axes,
                                     struct norm_options o)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    if (n_axes < 1 || n_axes > x->shape.n)
        return refuse(&l, "n_axes must be at least 1 and at most the number of axes");
    sunup_shape s = {.n = n_axes};
    for (int i = 0; i < n_axes; i++) s.d[i] = x->shape.d[x->shape.n - n_axes + i];
    sunup_value *gamma = o.affine ? tensor(&l, "weight", false, s, constant(1)) : NULL;
    sunup_value *beta = o.affine ? tensor(&l, "bias", false, s, constant(0)) : NULL;
    return leave(&l, sunup_layer_norm(x, gamma, beta, n_axes, o.eps));
}

sunup_value *sunup__layer_group_norm(sunup_value *x, const char *name, int64_t groups,
                                     struct norm_options o)
{
    struct layer_site l;
    if (!enter(&l, x, name)) return x;
    const sunup_shape c = SUNUP_SHAPE(last_axis(x));
    sunup_value *gamma = o.affine ? tensor(&l, "weight", false, c, constant(1)) : NULL;
    sunup_value *beta = o.affine ? tensor(&l, "bias", false, c, constant(0)) : NULL;
    return leave(&l, sunup_group_norm(x, gamma, beta, groups, o.eps));
}

sunup_value *sunup_layer_batch_norm(sunup_value *x, const char *name)
{
    return sunup__layer_batch_norm(x, name, sunup__norm_defaults());
}

sunup_value *sunup_layer_layer_norm(sunup_value *x, const char *name, int n_axes)
{
    return sunup__layer_layer_norm(x, name, n_axes, sunup__norm_defaults());
}

sunup_value *sunup_layer_group_norm(sunup_value *x, const char *name, int64_t groups)
{
    return sunup__layer_group_norm(x, name, groups, sunup__norm_defaults());
}

sunup_value *sunup_layer_embedding(sunup_value *index, const char *name, int64_t rows,
                                   int64_t width)
{
    struct layer_site l;
    if (!enter(&l, index, name)) return index;
    const sunup_init normal = {SUNUP_INIT_NORMAL, 1};
    sunup_value *table = tensor(&l, "weight", false, SUNUP_SHAPE(rows, width), normal);
    return leave(&l, sunup_gather(table, index));
}
