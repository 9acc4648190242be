/* build.c - from the description of a model file to a graph: one function for each kind of layer.
 *
 * Owes: every kind of layers.def, with PyTorch's defaults. Leaves: names, types and required keys to read.c, which
 * has checked them; shapes to the ops. A mistake found while building gets the layer's place in the file in front.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/description.h"
#include "model/layers.h"
#include "tensor/tensor.h"

/* ---------------------------------------------------------------------- attributes --- */

static const struct attribute *given(const struct layer *l, enum key key)
{
    for (int i = 0; i < l->n_attributes; i++)
        if (l->attributes[i].key == key) return &l->attributes[i];
    return NULL;
}

static double number(const struct layer *l, enum key key, double otherwise)
{
    const struct attribute *a = given(l, key);
    return a ? a->v[0] : otherwise;
}

static int64_t whole(const struct layer *l, enum key key, int64_t otherwise)
{
    return (int64_t)number(l, key, (double)otherwise);
}

static bool flag(const struct layer *l, enum key key, bool otherwise)
{
    return number(l, key, otherwise) != 0;
}

static sunup_value *mistake(const struct layer *l, sunup_value *x, const char *what, int n,
                            int space)
{
    return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                              "%s '%s': %s has %d numbers, its input has %d space axes",
                              l->kind->name, l->name, what, n, space);
}

/* One number for all space axes of x, or one each. False: a mistake has been recorded. */
static bool per_axis(const struct layer *l, enum key key, const char *what, sunup_value *x,
                     int64_t *v)
{
    const struct attribute *a = given(l, key);
    const int space = x->shape.n - 2;
    if (!a || a->padding != SUNUP_PADDING_EXPLICIT) return true;
    if (a->list && a->n != space) {
        mistake(l, x, what, a->n, space);
        return false;
    }
    for (int i = 0; i < 3; i++) v[i] = (int64_t)a->v[a->list ? (i < a->n ? i : a->n - 1) : 0];
    return true;
}

static sunup_padding padding_rule(const struct layer *l)
{
    const struct attribute *a = given(l, KEY_padding);
    return a ? a->padding : SUNUP_PADDING_EXPLICIT;
}

static sunup_pad_mode padding_mode(const struct layer *l)
{
    return flag(l, KEY_padding_mode, false) ? SUNUP_PAD_CIRCULAR : SUNUP_PAD_ZERO;
}

/* Integers as ints; their number. */
static int ints(const struct layer *l, enum key key, int v[SUNUP_MAX_DIMS])
{
    const struct attribute *a = given(l, key);
    for (int i = 0; a && i < a->n; i++) v[i] = (int)a->v[i];
    return a ? a->n : 0;
}

/* ------------------------------------------------------------- layers with weights --- */

static bool conv_options(const struct layer *l, sunup_value *x, int64_t *taps,
                         sunup_conv_options *o)
{
    *o = sunup_conv_defaults();
    o->groups = whole(l, KEY_groups, 1);
    o->padding = padding_rule(l);
    o->pad_mode = padding_mode(l);
    return per_axis(l, KEY_kernel_size, "kernel_size", x, taps) &&
           per_axis(l, KEY_stride, "stride", x, o->stride) &&
           per_axis(l, KEY_dilation, "dilation", x, o->dilation) &&
           per_axis(l, KEY_padding, "padding", x, o->before) &&
           per_axis(l, KEY_padding, "padding", x, o->after) &&
           per_axis(l, KEY_output_padding, "output_padding", x, o->output_padding);
}

static sunup_value *make_conv(const struct layer *l, sunup_value *const *x)
{
    int64_t taps[3];
    sunup_conv_options o;
    if (!conv_options(l, x[0], taps, &o)) return x[0]->node->graph->poison;
    return sunup_layer_conv(x[0], l->name, whole(l, KEY_out_channels, 1), taps,
                            flag(l, KEY_bias, true), &o);
}

static sunup_value *make_conv_transpose(const struct layer *l, sunup_value *const *x)
{
    int64_t taps[3];
    sunup_conv_options o;
    if (!conv_options(l, x[0], taps, &o)) return x[0]->node->graph->poison;
    return sunup_layer_conv_transpose(x[0], l->name, whole(l, KEY_out_channels, 1), taps,
                                      flag(l, KEY_bias, true), &o);
}

static sunup_value *make_local(const struct layer *l, sunup_value *const *x)
{
    int64_t taps[3];
    sunup_conv_options o;
    if (!conv_options(l, x[0], taps, &o)) return x[0]->node->graph->poison;
    return sunup_layer_local(x[0], l->name, whole(l, KEY_out_channels, 1), taps,
                             flag(l, KEY_bias, true), &o);
}

static sunup_value *make_linear(const struct layer *l, sunup_value *const *x)
{
    return sunup_layer_linear(x[0], l->name, whole(l, KEY_out_features, 1),
                              flag(l, KEY_bias, true));
}

static sunup_value *make_embedding(const struct layer *l, sunup_value *const *x)
{
    return sunup_layer_embedding(x[0], l->name, whole(l, KEY_num_embeddings, 1),
                                 whole(l, KEY_embedding_dim, 1));
}

static struct norm_options norm_options(const struct layer *l)
{
    const struct norm_options o = sunup__norm_defaults();
    return (struct norm_options){.eps = number(l, KEY_eps, o.eps),
                                 .momentum = number(l, KEY_momentum, o.momentum),
                                 .affine = flag(l, KEY_affine, o.affine)};
}

static sunup_value *make_batch_norm(const struct layer *l, sunup_value *const *x)
{
    return sunup__layer_batch_norm(x[0], l->name, norm_options(l));
}

static sunup_value *make_layer_norm(const struct layer *l, sunup_value *const *x)
{
    return sunup__layer_layer_norm(x[0], l->name, (int)whole(l, KEY_n_axes, 1), norm_options(l));
}

static sunup_value *make_group_norm(const struct layer *l, sunup_value *const *x)
{
    return sunup__layer_group_norm(x[0], l->name, whole(l, KEY_num_groups, 1), norm_options(l));
}

/* ----------------------------------------------------------------------- attention --- */

static sunup_value *make_attention(const struct layer *l, sunup_value *const *x)
{
    if (l->n_in != 3 && l->n_in != 4)
        return sunup__graph_error(x[0]->node->graph, SUNUP_E_ARGUMENT,
                                  "attention '%s' has %d inputs; it takes q, k, v and, where "
                                  "scores are shifted or hidden, a bias",
                                  l->name, l->n_in);
    sunup_attention_options o = sunup_attention_defaults();
    o.heads = whole(l, KEY_num_heads, 1);
    o.causal = flag(l, KEY_causal, false);
    return sunup_attention(x[0], x[1], x[2], l->n_in > 3 ? x[3] : NULL, &o);
}

/* --------------------------------------------------------------------- activations --- */

#define PLAIN(kind)                                                                                \
    static sunup_value *make_##kind(const struct layer *l, sunup_value *const *x)                  \
    {                                                                                              \
        (void)l;                                                                                   \
        return sunup_##kind(x[0]);                                                                 \
    }
PLAIN(relu)
PLAIN(gelu)
PLAIN(sigmoid)
PLAIN(tanh)
PLAIN(softplus)
PLAIN(neg)
PLAIN(exp)
PLAIN(log)
PLAIN(sqrt)
PLAIN(square)
PLAIN(abs)
PLAIN(sin)
PLAIN(cos)
PLAIN(floor)
PLAIN(erf)
PLAIN(flatten)
PLAIN(global_avg_pool)
PLAIN(pairwise_distance)
#undef PLAIN

static sunup_value *make_leaky_relu(const struct layer *l, sunup_value *const *x)
{
    return sunup_leaky_relu(x[0], number(l, KEY_negative_slope, 0.01));
}

static sunup_value *make_elu(const struct layer *l, sunup_value *const *x)
{
    return sunup_elu(x[0], number(l, KEY_alpha, 1));
}

static sunup_value *make_softmax(const struct layer *l, sunup_value *const *x)
{
    return sunup_softmax(x[0], (int)whole(l, KEY_axis, -1));
}

static sunup_value *make_log_softmax(const struct layer *l, sunup_value *const *x)
{
    return sunup_log_softmax(x[0], (int)whole(l, KEY_axis, -1));
}

static sunup_value *make_dropout(const struct layer *l, sunup_value *const *x)
{
    return sunup_dropout(x[0], number(l, KEY_p, 0.5), flag(l, KEY_always, false));
}

static sunup_value *make_scale(const struct layer *l, sunup_value *const *x)
{
    return sunup_scale(x[0], number(l, KEY_factor, 1), number(l, KEY_offset, 0));
}

static sunup_value *make_clamp(const struct layer *l, sunup_value *const *x)
{
    return sunup_clamp(x[0], number(l, KEY_min, -INFINITY), number(l, KEY_max, INFINITY));
}

/* ------------------------------------------------------------------ space and shape --- */

static bool pool_options(const struct layer *l, sunup_value *x, sunup_pool_options *o)
{
    *o = sunup_pool_defaults();
    o->padding = padding_rule(l);
    o->count_pad = flag(l, KEY_count_include_pad, true);
    return per_axis(l, KEY_kernel_size, "kernel_size", x, o->window) &&
           per_axis(l, KEY_stride, "stride", x, o->stride) &&
           per_axis(l, KEY_padding, "padding", x, o->before) &&
           per_axis(l, KEY_padding, "padding", x, o->after);
}

static sunup_value *make_max_pool(const struct layer *l, sunup_value *const *x)
{
    sunup_pool_options o;
    return pool_options(l, x[0], &o) ? sunup_max_pool(x[0], &o) : x[0]->node->graph->poison;
}

static sunup_value *make_avg_pool(const struct layer *l, sunup_value *const *x)
{
    sunup_pool_options o;
    return pool_options(l, x[0], &o) ? sunup_avg_pool(x[0], &o) : x[0]->node->graph->poison;
}

/* mode: 0 nearest; 1 linear, which PyTorch calls bilinear (2) or trilinear (3) by the number of axes. */
static sunup_value *make_upsample(const struct layer *l, sunup_value *const *x)
{
    static const char *const names[] = {"linear", "bilinear", "trilinear"};
    const int64_t mode = whole(l, KEY_mode, 0), space = x[0]->shape.n - 2;
    int64_t factors[3] = {1, 1, 1};
    if (mode > 1 && space != mode)
        return sunup__graph_error(x[0]->node->graph, SUNUP_E_SHAPE,
                                  "upsample '%s': %s is for %lld space axes, its input has %lld",
                                  l->name, names[mode - 1], (long long)mode, (long long)space);
    if (!per_axis(l, KEY_scale_factor, "scale_factor", x[0], factors))
        return x[0]->node->graph->poison;
    return sunup_upsample(x[0], factors, mode > 0 ? SUNUP_LINEAR : SUNUP_NEAREST);
}

/* The batch stays in front of the shape given. */
static sunup_value *make_reshape(const struct layer *l, sunup_value *const *x)
{
    const struct attribute *a = given(l, KEY_shape);
    if (a->n >= SUNUP_MAX_DIMS) return mistake(l, x[0], "shape", a->n, x[0]->shape.n - 2);
    sunup_shape s = {.n = a->n + 1, .d = {x[0]->shape.d[0]}};
    for (int i = 0; i < a->n; i++) s.d[i + 1] = (int64_t)a->v[i];
    return sunup_reshape(x[0], s);
}

static sunup_value *make_permute(const struct layer *l, sunup_value *const *x)
{
    int order[SUNUP_MAX_DIMS] = {0};
    const int n = ints(l, KEY_order, order);
    if (n != x[0]->shape.n)
        return sunup__graph_error(x[0]->node->graph, SUNUP_E_SHAPE,
                                  "permute '%s': order has %d numbers, its input has %d axes, the "
                                  "batch included",
                                  l->name, n, x[0]->shape.n);
    return sunup_permute(x[0], order);
}

static sunup_value *make_slice(const struct layer *l, sunup_value *const *x)
{
    return sunup_slice(x[0], (int)whole(l, KEY_axis, -1), whole(l, KEY_start, 0),
                       whole(l, KEY_length, 1));
}

/* Space axes only: axis 0 is the batch, the last one the channels. */
static sunup_value *make_pad(const struct layer *l, sunup_value *const *x)
{
    int64_t by[3] = {0}, sides[SUNUP_MAX_DIMS] = {0};
    const int space = x[0]->shape.n - 2;
    if (padding_rule(l) != SUNUP_PADDING_EXPLICIT || space < 1 || space > 3)
        return sunup__graph_error(x[0]->node->graph, SUNUP_E_SHAPE,
                                  "pad '%s': it needs numbers, and 1 to 3 space axes to pad",
                                  l->name);
    if (!per_axis(l, KEY_padding, "padding", x[0], by)) return x[0]->node->graph->poison;
    for (int i = 0; i < space; i++) sides[i + 1] = by[i];
    return sunup_pad(x[0], sides, sides, padding_mode(l));
}

static sunup_value *make_concat(const struct layer *l, sunup_value *const *x)
{
    return sunup_concat(l->n_in, x, (int)whole(l, KEY_axis, -1));
}

/* ------------------------------------------------------------- several inputs, sums --- */

static sunup_value *make_add(const struct layer *l, sunup_value *const *x)
{
    sunup_value *y = x[0];
    for (int i = 1; i < l->n_in; i++) y = sunup_add(y, x[i]);
    return y;
}

static sunup_value *make_mul(const struct layer *l, sunup_value *const *x)
{
    sunup_value *y = x[0];
    for (int i = 1; i < l->n_in; i++) y = sunup_mul(y, x[i]);
    return y;
}

#define PAIR(kind)                                                                                 \
    static sunup_value *make_##kind(const struct layer *l, sunup_value *const *x)                  \
    {                                                                                              \
        (void)l;                                                                                   \
        return sunup_##kind(x[0], x[1]);                                                           \
    }
PAIR(sub)
PAIR(div)
PAIR(atan2)
PAIR(mod)
PAIR(minimum)
PAIR(maximum)
PAIR(pow)
PAIR(gather_rows)
#undef PAIR

static sunup_value *make_matmul(const struct layer *l, sunup_value *const *x)
{
    const int a = flag(l, KEY_transpose_a, false) ? SUNUP_TRANSPOSE_A : 0;
    const int b = flag(l, KEY_transpose_b, false) ? SUNUP_TRANSPOSE_B : 0;
    return sunup_matmul(x[0], x[1], a | b);
}

#define REDUCE(kind)                                                                               \
    static sunup_value *make_##kind(const struct layer *l, sunup_value *const *x)                  \
    {                                                                                              \
        int axes[SUNUP_MAX_DIMS];                                                                  \
        const int n = ints(l, KEY_axes, axes);                                                     \
        return sunup_##kind(x[0], n, axes, flag(l, KEY_keepdim, false));                           \
    }
REDUCE(sum)
REDUCE(mean)
REDUCE(max)
REDUCE(min)
REDUCE(logsumexp)
#undef REDUCE

/* ------------------------------------------------------- neighbours, random numbers --- */

static sunup_value *make_top_k(const struct layer *l, sunup_value *const *x)
{
    return sunup_top_k(x[0], whole(l, KEY_k, 1), flag(l, KEY_largest, true));
}

static sunup_value *make_roll(const struct layer *l, sunup_value *const *x)
{
    return sunup_roll(x[0], (int)whole(l, KEY_axis, -1), whole(l, KEY_shift, 0));
}

/* Of the input's shape; what it holds is not looked at. */
static sunup_value *make_random_normal(const struct layer *l, sunup_value *const *x)
{
    (void)l;
    return sunup_random_normal(x[0]->node->graph, x[0]->shape);
}

static sunup_value *make_random_uniform(const struct layer *l, sunup_value *const *x)
{
    (void)l;
    return sunup_random_uniform(x[0]->node->graph, x[0]->shape);
}

/* --------------------------------------------------------------------------- graph --- */

static const struct layer_kind kinds[] = {
#define KEY(name, type, least)
#define LAYER(kind, inputs, keys) {#kind, inputs, keys, make_##kind},
#include "model/layers.def"
#undef KEY
#undef LAYER
};

const struct layer_kind *sunup__layer_kind(int i)
{
    return i >= 0 && i < (int)(sizeof kinds / sizeof kinds[0]) ? &kinds[i] : NULL;
}

/* Put the layer's place in front of what the graph says (and its name, unless an op has said it), and pass it on. */
static sunup_status locate(sunup_graph *g, const struct description *d, const struct layer *l)
{
    char text[1500], name[300] = "";
    const char *message = g->message ? g->message : sunup_status_text(g->status);
    if (!strstr(message, l->name)) snprintf(name, sizeof name, "%s '%s': ", l->kind->name, l->name);
    snprintf(text, sizeof text, "%s:%d:%d: %s%s", d->source, l->line, l->column, name, message);
    g->message = sunup__arena_strdup(&g->arena, text);
    return sunup_graph_finish(g);
}

static sunup_value *build_input(sunup_graph *g, const struct model_input *in)
{
    sunup_shape s = {.n = in->shape.n + 1, .d = {sunup_graph_batch(g)}};
    for (int i = 0; i < in->shape.n; i++) s.d[i + 1] = in->shape.d[i];
    return sunup_input(g, in->name, in->dtype, s);
}

static sunup_value *build_layer(sunup_graph *g, const struct layer *l, sunup_value *const *values)
{
    sunup_value **x = sunup__arena_alloc(&g->arena, (size_t)l->n_in * sizeof(sunup_value *));
    if (!x) return sunup__graph_error(g, SUNUP_E_MEMORY, "no memory to build '%s'", l->name);
    for (int i = 0; i < l->n_in; i++) x[i] = values[l->in[i]];
    sunup__graph_layer(g, l->name);
    sunup_graph_start(g, (sunup_start)whole(l, KEY_init, SUNUP_START_DEFAULT));
    g->owner = l->owner;
    sunup_value *y = l->kind->make(l, x);
    g->owner = NULL;
    sunup__graph_layer(g, NULL);
    return y;
}

sunup_status sunup__description_build(sunup_graph *g, void *arg)
{
    const struct description *d = arg;
    const size_t n = (size_t)(d->n_inputs + d->n_layers);
    sunup_value **values = sunup__arena_alloc(&g->arena, n * sizeof(sunup_value *));
    CHECK(values, g->ctx, E_MEMORY, "%s: no memory to build %zu values", d->source, n);
    for (int i = 0; i < d->n_inputs; i++) values[i] = build_input(g, &d->inputs[i]);
    TRY(sunup_graph_finish(g));
    for (int i = 0; i < d->n_layers; i++) {
        values[d->n_inputs + i] = build_layer(g, &d->layers[i], values);
        if (g->status != SUNUP_OK) return locate(g, d, &d->layers[i]);
    }
    sunup_graph_output(g, "output", values[d->output]);
    return sunup_graph_finish(g);
}
