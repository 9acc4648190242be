/* onednn_rows.c - norms, softmax and pointwise ops as primitives of oneDNN.
 *
 * The library's norms give and take variances where our ops have 1 / sqrt(variance + eps); the few
 * numbers are converted beside the primitive, in the library's favour without threads only where
 * they are as few as channels.
 */
#include <math.h>

#include "device/cpu/onednn.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/layer_norm.h"

/* ---------------------------------------------------------------------------- norms --- */

struct norm {
    double eps;
    const_dnnl_memory_desc_t x, statistic, affine;
};

/* out[2] = 1 / sqrt(variance + eps), out[3], if the op has it, the variance itself. */
static void give_rstd(const struct step *s, const struct onednn *o)
{
    const float *var = sunup__onednn_memory(s, o, DNNL_ARG_VARIANCE);
    const int64_t n = sunup__elements(&s->node->out[2]->shape);
    float *rstd = s->out[2];
    for (int64_t i = 0; rstd != NULL && i < n; i++) rstd[i] = 1 / sqrtf(var[i] + (float)o->eps);
}

/* The way back for the gradient: operand 3 is rstd. */
static void take_rstd(const struct step *s, const struct onednn *o)
{
    float *var = sunup__onednn_memory(s, o, DNNL_ARG_VARIANCE);
    const float *rstd = s->in[3];
    const int64_t n = sunup__elements(&s->node->in[3]->shape);
    for (int64_t i = 0; i < n; i++) var[i] = 1 / (rstd[i] * rstd[i]) - (float)o->eps;
}

static sunup_status forward_norm(struct onednn *o, const struct norm *m, const struct node *n,
                                 struct step *s)
{
    sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, m->x);
    if (n->in[1] != NULL) sunup__onednn_operand(o, DNNL_ARG_SCALE, IN, 1, m->affine);
    if (n->in[2] != NULL) sunup__onednn_operand(o, DNNL_ARG_SHIFT, IN, 2, m->affine);
    sunup__onednn_operand(o, DNNL_ARG_DST, OUT, 0, m->x);
    sunup__onednn_operand(o, DNNL_ARG_MEAN, OUT, 1, m->statistic);
    const bool has_var = n->n_out > 3;
    sunup__onednn_operand(o, DNNL_ARG_VARIANCE, has_var ? OUT : WORK, 3, m->statistic);
    o->eps = m->eps;
    o->after = give_rstd;
    return sunup__onednn_close(o, s);
}

static sunup_status backward_norm(struct onednn *o, const struct norm *m, struct step *s)
{
    sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, m->x);
    sunup__onednn_operand(o, DNNL_ARG_SCALE, IN, 1, m->affine);
    sunup__onednn_operand(o, DNNL_ARG_MEAN, IN, 2, m->statistic);
    sunup__onednn_operand(o, DNNL_ARG_VARIANCE, WORK, 3, m->statistic);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_DST, IN, 4, m->x);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_SRC, OUT, 0, m->x);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_SCALE, OUT, 1, m->affine);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_SHIFT, OUT, 2, m->affine);
    o->eps = m->eps;
    o->before = take_rstd;
    return sunup__onednn_close(o, s);
}

static unsigned affine_flags(const struct node *n)
{
    return (n->in[1] != NULL ? dnnl_use_scale : 0U) | (n->in[2] != NULL ? dnnl_use_shift : 0U);
}

/* x [rows][c] as [1, c, rows] with channels last. */
static struct norm channels(struct onednn *o, const struct node *n)
{
    const struct channel_norm_attr *a = n->attr;
    const int64_t samples = n->in[0]->shape.d[0], space = a->rows / samples;
    const int64_t dims[3] = {samples, a->c, space}, strides[3] = {space * a->c, 1, a->c};
    return (struct norm){.eps = a->eps,
                         .x = sunup__onednn_desc(o, 3, dims, strides),
                         .statistic = sunup__onednn_vector(o, a->c),
                         .affine = sunup__onednn_vector(o, a->c)};
}

sunup_status sunup__make_onednn_batch_norm(struct device *d, const struct node *n, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const struct norm m = channels(o, n);
    ONEDNN(o, dnnl_batch_normalization_forward_primitive_desc_create(
                  &o->pd, o->engine, dnnl_forward_training, m.x, m.x, (float)m.eps, affine_flags(n),
                  o->attr));
    return forward_norm(o, &m, n, s);
}

sunup_status sunup__make_onednn_batch_norm_grad(struct device *d, const struct node *n,
                                                struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const struct norm m = channels(o, n);
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    ONEDNN(o, dnnl_batch_normalization_forward_primitive_desc_create(
                  &o->forward, o->engine, dnnl_forward_training, m.x, m.x, (float)m.eps, flags,
                  o->attr));
    ONEDNN(o, dnnl_batch_normalization_backward_primitive_desc_create(
                  &o->pd, o->engine, dnnl_backward, m.x, m.x, m.x, (float)m.eps, flags, o->forward,
                  o->attr));
    return backward_norm(o, &m, s);
}

static struct norm rows(struct onednn *o, const struct node *n)
{
    const struct layer_norm_attr *a = n->attr;
    return (struct norm){.eps = a->eps,
                         .x = sunup__onednn_rows(o, a->rows, a->n),
                         .statistic = sunup__onednn_vector(o, a->rows),
                         .affine = sunup__onednn_vector(o, a->n)};
}

sunup_status sunup__make_onednn_layer_norm(struct device *d, const struct node *n, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const struct norm m = rows(o, n);
    ONEDNN(o, dnnl_layer_normalization_forward_primitive_desc_create(
                  &o->pd, o->engine, dnnl_forward_training, m.x, m.x, m.statistic, (float)m.eps,
                  affine_flags(n), o->attr));
    return forward_norm(o, &m, n, s);
}

sunup_status sunup__make_onednn_layer_norm_grad(struct device *d, const struct node *n,
                                                struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const struct norm m = rows(o, n);
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    ONEDNN(o, dnnl_layer_normalization_forward_primitive_desc_create(
                  &o->forward, o->engine, dnnl_forward_training, m.x, m.x, m.statistic,
                  (float)m.eps, flags, o->attr));
    ONEDNN(o, dnnl_layer_normalization_backward_primitive_desc_create(
                  &o->pd, o->engine, dnnl_backward, m.x, m.x, m.x, m.statistic, (float)m.eps, flags,
                  o->forward, o->attr));
    sunup__onednn_operand(o, DNNL_ARG_SHIFT, WORK, 0, m.affine); /* wanted, but not read */
    return backward_norm(o, &m, s);
}

/* --------------------------------------------------------------- softmax, pointwise --- */

static const_dnnl_memory_desc_t last_axis(struct onednn *o, const sunup_shape *s)
{
    const int64_t n = s->d[s->n - 1];
    return sunup__onednn_rows(o, sunup__elements(s) / n, n);
}

static void softmax(struct onednn *o, const struct node *n, const_dnnl_memory_desc_t x,
                    dnnl_primitive_desc_t *pd)
{
    const bool log = n->op == &sunup__op_log_softmax || n->op == &sunup__op_log_softmax_grad;
    ONEDNN(o, dnnl_softmax_forward_primitive_desc_create(
                  pd, o->engine, dnnl_forward_training,
                  log ? dnnl_softmax_log : dnnl_softmax_accurate, x, x, 1, o->attr));
}

sunup_status sunup__make_onednn_softmax(struct device *d, const struct node *n, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const_dnnl_memory_desc_t x = last_axis(o, &n->out[0]->shape);
    softmax(o, n, x, &o->pd);
    sunup__onednn_operand(o, DNNL_ARG_SRC, IN, 0, x);
    sunup__onednn_operand(o, DNNL_ARG_DST, OUT, 0, x);
    return sunup__onednn_close(o, s);
}

sunup_status sunup__make_onednn_softmax_grad(struct device *d, const struct node *n, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const_dnnl_memory_desc_t x = last_axis(o, &n->out[0]->shape);
    const bool log = n->op == &sunup__op_log_softmax_grad;
    softmax(o, n, x, &o->forward);
    ONEDNN(o, dnnl_softmax_backward_primitive_desc_create(
                  &o->pd, o->engine, log ? dnnl_softmax_log : dnnl_softmax_accurate, x, x, x, 1,
                  o->forward, o->attr));
    sunup__onednn_operand(o, DNNL_ARG_DST, IN, 0, x);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_DST, IN, 1, x);
    sunup__onednn_operand(o, DNNL_ARG_DIFF_SRC, OUT, 0, x);
    return sunup__onednn_close(o, s);
}

static void eltwise(struct onednn *o, dnnl_alg_kind_t kind, const_dnnl_memory_desc_t x, bool grad)
{
    ONEDNN(o, dnnl_eltwise_forward_primitive_desc_create(grad ? &o->forward : &o->pd, o->engine,
                                                         dnnl_forward_training, kind, x, x, 0, 0,
                                                         o->attr));
    if (grad)
        ONEDNN(o, dnnl_eltwise_backward_primitive_desc_create(&o->pd, o->engine, kind, x, x, x, 0,
                                                              0, o->forward, o->attr));
}

sunup_status sunup__make_onednn_pointwise(struct device *d, const struct node *n, struct step *s)
{
    struct onednn *o;
    TRY(sunup__onednn_open(d, s, &o));
    const int64_t count = sunup__elements(&n->out[0]->shape);
    const_dnnl_memory_desc_t x = sunup__onednn_vector(o, count);
    const bool add = n->op == &sunup__op_add;
    const bool grad = n->op == &sunup__op_relu_grad || n->op == &sunup__op_gelu_grad;
    const bool relu = n->op == &sunup__op_relu || n->op == &sunup__op_relu_grad;
    if (add)
        ONEDNN(o, dnnl_binary_primitive_desc_create(&o->pd, o->engine, dnnl_binary_add, x, x, x,
                                                    o->attr));
    else
        eltwise(o, relu ? dnnl_eltwise_relu : dnnl_eltwise_gelu_erf, x, grad);
    sunup__onednn_operand(o, add ? DNNL_ARG_SRC_0 : DNNL_ARG_SRC, IN, 0, x);
    if (add) sunup__onednn_operand(o, DNNL_ARG_SRC_1, IN, 1, x);
    if (grad) sunup__onednn_operand(o, DNNL_ARG_DIFF_DST, IN, 1, x);
    sunup__onednn_operand(o, grad ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, OUT, 0, x);
    return sunup__onednn_close(o, s);
}
