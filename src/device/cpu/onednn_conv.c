/* onednn_conv.c - convolutions, pooling and products as primitives of oneDNN.
 *
 * Activations are described as they are, channels last; weights are offered in any layout, so that
 * the library picks its best one, and are converted, once if they stay (see struct step). Logical order of
 * the library: x [n, c, space..], w [groups, k, c, taps..]; ours in memory: [n, space.., c] and
 * [taps.., c, k].
 */
#include "device/cpu/onednn.h"
#include "graph/ops/conv.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pool.h"

enum { AXES = 6 };

struct geometry {
    const struct window *w;
    int space, first; /* axes first .. 2 of the window are in use */
    dnnl_dims_t stride, dilation, taps, before, after;
};

/* Padding behind; what a stride leaves over is none. */
static int64_t behind(const struct window *w, int axis)
{
    const int64_t reach = w->dilation[axis] * (w->taps[axis] - 1) + 1;
    const int64_t pad =
        (w->out[axis] - 1) * w->stride[axis] + reach - w->in[axis] - w->before[axis];
    return pad < 0 && -pad < w->stride[axis] ? 0 : pad;
}

static struct geometry geometry_of(const struct window *w, int space)
{
    struct geometry g = {.w = w, .space = space, .first = 3 - space};
    for (int i = 0; i < space; i++) {
        const int axis = g.first + i;
        g.stride[i] = w->stride[axis];
        g.dilation[i] = w->dilation[axis] - 1;
        g.taps[i] = w->taps[axis];
        g.before[i] = w->before[axis];
        g.after[i] = behind(w, axis);
    }
    return g;
}

static bool window_can(const struct node *n, const struct window *w)
{
    if (n->out[0]->dtype != SUNUP_F32 || w->circular) return false;
    if (sunup__elements(&n->out[0]->shape) == 0 || sunup__elements(&n->in[0]->shape) == 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (behind(w, i) < 0) return false;
    return true;
}

bool sunup__onednn_conv_can(const struct device *d, const struct node *n)
{
    (void)d;
    return sunup__elements(&n->in[1]->shape) > 0 &&
           window_can(n, &((const struct conv_attr *)n->attr)->w);
}

bool sunup__onednn_pool_can(const struct device *d, const struct node *n)
{
    (void)d;
    return window_can(n, &((const struct pool_attr *)n->attr)->w);
}

/* [n, space.., c] as the library names it. */
static const_dnnl_memory_desc_t image(struct onednn *o, const struct geometry *g, int64_t n,
                                      const int64_t size[3], int64_t c)
{
    int64_t dims[AXES] = {n, c}, strides[AXES] = {0, 1}, step = c;
    for (int i = g->space - 1; i >= 0; i--) {
        dims[2 + i] = size[g->first + i];
        strides[2 + i] = step;
        step *= dims[2 + i];
    }
    strides[0] = step;
    return sunup__onednn_desc(o, 2 + g->space, dims, strides);
}

static const_dnnl_memory_desc_t taps(struct onednn *o, const struct geometry *g, bool any)
{
    const struct window *w = g->w;
    const int64_t kg = w->k / w->groups, cg = w->c / w->groups;
    int64_t dims[AXES] = {w->groups, kg, cg}, strides[AXES] = {kg, 1, w->k}, step = cg * w->k;
    for (int i = g->space - 1; i >= 0; i--) {
        dims[3 + i] = g->taps[i];
        strides[3 + i] = step;
        step *= g->taps[i];
    }
    const int skip = w->groups == 1 ? 1 : 0; /* without groups there is no such axis */
    return sunup__onednn_desc(o, 3 + g->space - skip, dims + skip, any ? NULL : strides + skip);
}

struct conv {
    struct onednn *o;
    struct geometry g;
    const_dnnl_memory_desc_t x, w, any, y;
};

static sunup_status open(struct device *d, const struct node *n, struct step *s, struct conv *c)
{
    const struct conv_attr *a = n->attr;
    const sunup_value *batched = n->in[n->op == &sunup__op_conv_data_grad ? 1 : 0];
    TRY(sunup__onednn_open(d, s, &c->o));
    c->g = geometry_of(&a->w, a->space);
    c->x = image(c->o, &c->g, batched->shape.d[0], a->w.in, a->w.c);
    c->y = image(c->o, &c->g, batched->shape.d[0], a->w.out, a->w.k);
    c->w = taps(c->o, &c->g, false);
    c->any = taps(c->o, &c->g, true);
    return SUNUP_OK;
}

static void forward(const struct conv *c, const_dnnl_memory_desc_t bias, dnnl_primitive_desc_t *pd)
{
    const struct geometry *g = &c->g;
    ONEDNN(c->o, dnnl_convolution_forward_primitive_desc_create(
                     pd, c->o->engine, dnnl_forward_training, dnnl_convolution_direct, c->x, c->any,
                     bias, c->y, g->stride, g->dilation, g->before, g->after, c->o->attr));
}

sunup_status sunup__make_onednn_conv(struct device *d, const struct node *n, struct step *s)
{
    struct conv c;
    TRY(open(d, n, s, &c));
    const bool has_bias = n->n_in > 2 && n->in[2] != NULL;
    const_dnnl_memory_desc_t bias = has_bias ? sunup__onednn_vector(c.o, c.g.w->k) : NULL;
    forward(&c, bias, &c.o->pd);
    sunup__onednn_operand(c.o, DNNL_ARG_SRC, IN, 0, c.x);
    sunup__onednn_operand(c.o, DNNL_ARG_WEIGHTS, IN, 1, c.w);
    if (has_bias) sunup__onednn_operand(c.o, DNNL_ARG_BIAS, IN, 2, bias);
    sunup__onednn_operand(c.o, DNNL_ARG_DST, OUT, 0, c.y);
    return sunup__onednn_close(c.o, s);
}

sunup_status sunup__make_onednn_conv_data_grad(struct device *d, const struct node *n,
                                               struct step *s)
{
    struct conv c;
    TRY(open(d, n, s, &c));
    const struct geometry *g = &c.g;
    forward(&c, NULL, &c.o->forward);
    ONEDNN(c.o, dnnl_convolution_backward_data_primitive_desc_create(
                    &c.o->pd, c.o->engine, dnnl_convolution_direct, c.x, c.any, c.y, g->stride,
                    g->dilation, g->before, g->after, c.o->forward, c.o->attr));
    sunup__onednn_operand(c.o, DNNL_ARG_WEIGHTS, IN, 0, c.w);
    sunup__onednn_operand(c.o, DNNL_ARG_DIFF_DST, IN, 1, c.y);
    sunup__onednn_operand(c.o, DNNL_ARG_DIFF_SRC, OUT, 0, c.x);
    return sunup__onednn_close(c.o, s);
}

sunup_status sunup__make_onednn_conv_weight_grad(struct device *d, const struct node *n,
                                                 struct step *s)
{
    struct conv c;
    TRY(open(d, n, s, &c));
    const struct geometry *g = &c.g;
    forward(&c, NULL, &c.o->forward);
    ONEDNN(c.o, dnnl_convolution_backward_weights_primitive_desc_create(
                    &c.o->pd, c.o->engine, dnnl_convolution_direct, c.x, c.any, NULL, c.y,
                    g->stride, g->dilation, g->before, g->after, c.o->forward, c.o->attr));
    sunup__onednn_operand(c.o, DNNL_ARG_SRC, IN, 0, c.x);
    sunup__onednn_operand(c.o, DNNL_ARG_DIFF_DST, IN, 1, c.y);
    sunup__onednn_operand(c.o, DNNL_ARG_DIFF_WEIGHTS, OUT, 0, c.w);
    return sunup__onednn_close(c.o, s);
}

/* Forward only: our gradient of a maximum starts from x, theirs from a record of where it was. */
sunup_status sunup__make_onednn_pool(struct device *d, const struct node *n, struct step *s)
{
    const struct pool_attr *a = n->attr;
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const struct geometry g = geometry_of(&a->w, a->space);
    const int64_t samples = n->in[0]->shape.d[0];
    const_dnnl_memory_desc_t x = image(o, &g, samples, a->w.in, a->w.c),
                             y = image(o, &g, samples, a->w.out, a->w.c);
    const dnnl_alg_kind_t kind = n->op == &sunup__op_max_pool ? dnnl_pooling_max
                                 : a->w.count_pad             ? dnnl_pooling_avg_include_padding
                                                              : dnnl_pooling_avg_exclude_padding;
    ONEDNN(o, dnnl_pooling_forward_primitive_desc_create(&o->pd, o->engine, dnnl_forward_inference,
                                                         kind, x, y, g.stride, g.taps, g.dilation,
                                                         g.before, g.after, o->attr));
    sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, x);
    sunup__onednn_operand(o, DNNL_ARG_DST, OUT, 0, y);
    return sunup__onednn_close(o, s);
}

/* ------------------------------------------------------------------------- products --- */

struct product {
    int64_t batch, m, n, k;
    bool ta, tb, one_a, one_b, bias;
    bool weights; /* b is one matrix that a network would keep in any layout */
};

/* [batch, rows, columns], or transposed in memory; batch 1 with one. */
static const_dnnl_memory_desc_t matrix(struct onednn *o, int64_t batch, int64_t rows,
                                       int64_t columns, bool transposed)
{
    const int64_t dims[3] = {batch, rows, columns};
    const int64_t strides[3] = {rows * columns, transposed ? 1 : columns, transposed ? rows : 1};
    return sunup__onednn_desc(o, 3, dims, strides);
}

static sunup_status make_product(struct device *d, const struct product *p, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const int64_t b_dims[3] = {p->one_b ? 1 : p->batch, p->k, p->n};
    const_dnnl_memory_desc_t a = matrix(o, p->one_a ? 1 : p->batch, p->m, p->k, p->ta),
                             b = matrix(o, b_dims[0], p->k, p->n, p->tb),
                             y = matrix(o, p->batch, p->m, p->n, false), bias = NULL;
    if (p->bias) bias = matrix(o, 1, 1, p->n, false);
    ONEDNN(o, dnnl_matmul_primitive_desc_create(
                  &o->pd, o->engine, a, p->weights ? sunup__onednn_desc(o, 3, b_dims, NULL) : b,
                  bias, y, o->attr));
    sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, a);
    sunup__onednn_operand(o, DNNL_ARG_WEIGHTS, IN, 1, b);
    if (p->bias) sunup__onednn_operand(o, DNNL_ARG_BIAS, IN, 2, bias);
    sunup__onednn_operand(o, DNNL_ARG_DST, OUT, 0, y);
    return sunup__onednn_close(o, s);
}

sunup_status sunup__make_onednn_linear(struct device *d, const struct node *n, struct step *s)
{
    const sunup_shape *w = &n->in[1]->shape;
    const struct product p = {.batch = 1,
                              .m = sunup__elements(&n->out[0]->shape) / w->d[1],
                              .n = w->d[1],
                              .k = w->d[0],
                              .bias = n->n_in > 2 && n->in[2] != NULL,
                              .weights = true};
    return make_product(d, &p, s);
}

/* One matrix b under a plain a is a layer's weights (data gradient); a' b is a weight gradient, whose
 * b is an activation, as both are in attention. */
sunup_status sunup__make_onednn_matmul(struct device *d, const struct node *n, struct step *s)
{
    const struct matmul_attr *t = n->attr;
    const struct product p = {.batch = t->batch,
                              .m = t->m,
                              .n = t->n,
                              .k = t->k,
                              .ta = t->flags & SUNUP_TRANSPOSE_A,
                              .tb = t->flags & SUNUP_TRANSPOSE_B,
                              .one_a = t->a_step == 0,
                              .one_b = t->b_step == 0,
                              .weights = t->batch == 1 && !(t->flags & SUNUP_TRANSPOSE_A)};
    return make_product(d, &p, s);
}
