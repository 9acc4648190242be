/* export_pointwise.c - pointwise ops as ONNX's, and the batch norm that an inference graph has as
 * a chain of them.
 *
 * They are written in the form that their operands are in: turned where one of full rank is only
 * there so. Operands of fewer axes stand at the last ones of ours, so they get axes of length 1
 * behind them there.
 */
#include <math.h>
#include <string.h>

#include "graph/ops/pointwise.h"
#include "model/onnx/export.h"
#include "tensor/tensor.h"

static const struct {
    int code;
    const char *op;
} plain[] = {
    {PW_copy, "Identity"},     {PW_add, "Add"},     {PW_sub, "Sub"},         {PW_mul, "Mul"},
    {PW_div, "Div"},           {PW_neg, "Neg"},     {PW_exp, "Exp"},         {PW_log, "Log"},
    {PW_sqrt, "Sqrt"},         {PW_abs, "Abs"},     {PW_sign, "Sign"},       {PW_sin, "Sin"},
    {PW_cos, "Cos"},           {PW_relu, "Relu"},   {PW_sigmoid, "Sigmoid"}, {PW_tanh, "Tanh"},
    {PW_softplus, "Softplus"}, {PW_floor, "Floor"}, {PW_erf, "Erf"},         {PW_minimum, "Min"},
    {PW_maximum, "Max"},       {PW_pow, "Pow"},
};
static const struct {
    int code;
    const char *op;
    bool opposite;
} compared[] = {
    {PW_lt, "Less", false},           {PW_le, "LessOrEqual", false}, {PW_gt, "Greater", false},
    {PW_ge, "GreaterOrEqual", false}, {PW_eq, "Equal", false},       {PW_ne, "Equal", true},
};

static const char *node1(struct export *e, const char *op, const char *a)
{
    return sunup__export_node(e, op, 1, &a);
}

static const char *node2(struct export *e, const char *op, const char *a, const char *b)
{
    const char *const in[] = {a, b};
    return sunup__export_node(e, op, 2, in);
}

static const char *number(struct export *e, double x)
{
    return sunup__export_fill(e, e->at->out[0]->dtype, -1, x);
}

static const char *to_type(struct export *e, const char *x, int type)
{
    const char *y = node1(e, "Cast", x);
    sunup__export_int(e, "to", type);
    return y;
}

static int our_type(const struct export *e)
{
    return e->at->out[0]->dtype == SUNUP_F64 ? (int)ONNX(DOUBLE) : (int)ONNX(FLOAT);
}

/* Operand v of a node of `rank` axes. */
static const char *operand(struct export *e, sunup_value *v, int rank, bool turned)
{
    if (v->shape.n == rank || !turned || sunup__elements(&v->shape) == 1) {
        const bool same = v->shape.n == rank;
        const char *name = sunup__export_get(e, v, turned && same);
        if (same || v->shape.n == 0 || !turned) return name;
        return node2(e, "Reshape", name, sunup__export_whole(e, 1, (const int64_t[]){1}));
    }
    int64_t d[SUNUP_MAX_DIMS], y[SUNUP_MAX_DIMS];
    int order = 0;
    if (!sunup__export_lengths(e, v, d))
        sunup__export_fail(e, "the batch is in two axes of an operand");
    const int missing = rank - v->shape.n; /* ours is [1.., v's axes]; the last goes to place 1 */
    for (int i = 0; i < rank; i++) {
        const int from = i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
        y[order++] = from < missing ? 1 : d[from - missing];
    }
    /* Space axes besides the channels would have to be turned with them. */
    if (v->shape.n > 1) {
        int64_t full[SUNUP_MAX_DIMS], perm[SUNUP_MAX_DIMS];
        for (int i = 0; i < rank; i++) {
            full[i] = i < missing ? 1 : d[i - missing];
            perm[i] = i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
        }
        const char *name =
            node2(e, "Reshape", sunup__export_get(e, v, false), sunup__export_whole(e, rank, full));
        name = node1(e, "Transpose", name);
        sunup__export_ints(e, "perm", rank, perm);
        return name;
    }
    return node2(e, "Reshape", sunup__export_get(e, v, false), sunup__export_whole(e, rank, y));
}

static const char *affine(struct export *e, const char *x, double factor, double offset)
{
    if (factor != 1) x = node2(e, "Mul", x, number(e, factor));
    return offset != 0   ? node2(e, "Add", x, number(e, offset))
           : factor != 1 ? x
                         : node1(e, "Identity", x);
}

static const char *clamp(struct export *e, const char *x, double low, double high)
{
    const char *const in[] = {x, isinf(low) ? NULL : number(e, low),
                              isinf(high) ? NULL : number(e, high)};
    return sunup__export_node(e, "Clip", isinf(high) ? isinf(low) ? 1 : 2 : 3, in);
}

static const char *gelu(struct export *e, const char *x)
{
    const char *y = node1(e, "Erf", node2(e, "Mul", x, number(e, sqrt(0.5))));
    return node2(e, "Mul", node2(e, "Mul", x, number(e, 0.5)), node2(e, "Add", y, number(e, 1)));
}

static const char *with_number(struct export *e, const char *op, const char *x, double alpha)
{
    const char *y = node1(e, op, x);
    sunup__export_float(e, "alpha", alpha);
    return y;
}

/* NULL: there is no such operator. */
static const char *write(struct export *e, const struct pointwise_attr *a, const char *const x[3])
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (plain[i].code == a->code)
            return x[1] ? node2(e, plain[i].op, x[0], x[1]) : node1(e, plain[i].op, x[0]);
    for (size_t i = 0; i < sizeof compared / sizeof compared[0]; i++) {
        if (compared[i].code != a->code) continue;
        const char *y = node2(e, compared[i].op, x[0], x[1]);
        return to_type(e, compared[i].opposite ? node1(e, "Not", y) : y, our_type(e));
    }
    switch (a->code) {
    case PW_square:
        return node2(e, "Mul", x[0], x[0]);
    case PW_fma:
        return node2(e, "Add", node2(e, "Mul", x[0], x[1]), x[2]);
    case PW_affine:
        return affine(e, x[0], a->imm[0], a->imm[1]);
    case PW_clamp:
        return clamp(e, x[0], a->imm[0], a->imm[1]);
    case PW_mod: { /* b's sign; ONNX's own is of whole numbers */
        const char *q = node1(e, "Floor", node2(e, "Div", x[0], x[1]));
        return node2(e, "Sub", x[0], node2(e, "Mul", q, x[1]));
    }
    case PW_leaky_relu:
        return with_number(e, "LeakyRelu", x[0], a->imm[0]);
    case PW_elu:
        return with_number(e, "Elu", x[0], a->imm[0]);
    case PW_gelu:
        return gelu(e, x[0]);
    case PW_where: {
        const char *const in[] = {to_type(e, x[0], ONNX(BOOL)), x[1], x[2]};
        return sunup__export_node(e, "Where", 3, in);
    }
    default:
        return NULL;
    }
}

bool sunup__export_pointwise(struct export *e)
{
    if (!(e->at->op->flags & OP_POINTWISE)) return false;
    const int rank = e->at->out[0]->shape.n;
    const char *x[3] = {NULL, NULL, NULL};
    bool turned = false;
    for (int i = 0; i < e->at->n_in && i < 3; i++)
        turned =
            turned || (e->at->in[i]->shape.n == rank && sunup__export_only_turned(e, e->at->in[i]));
    for (int i = 0; i < e->at->n_in && i < 3; i++) x[i] = operand(e, e->at->in[i], rank, turned);
    const char *y = e->failed ? NULL : write(e, e->at->attr, x);
    if (!y) sunup__export_fail(e, "ONNX has no such operator");
    if (y) sunup__export_set(e, e->at->out[0], turned, y);
    return true;
}

/* -------------------------------------------------------------------------- batch norm --- */

static const struct node *is(const sunup_value *v, int code)
{
    const struct node *n = v ? v->node : NULL;
    const bool same = n && (n->op->flags & OP_POINTWISE) &&
                      ((const struct pointwise_attr *)n->attr)->code == code;
    return same ? n : NULL;
}

struct norm {
    sunup_value *x, *gamma, *beta, *mean, *variance;
    double eps;
};

/* 1 / sqrt(variance + eps), times gamma. */
static bool is_scale(sunup_value *v, struct norm *m)
{
    const struct node *product = is(v, PW_mul),
                      *quotient = is(product ? product->in[0] : v, PW_div);
    const struct node *root = quotient ? is(quotient->in[1], PW_sqrt) : NULL;
    const struct node *shifted = root ? is(root->in[0], PW_affine) : NULL;
    if (!shifted) return false;
    const struct source_attr *s = sunup__source(shifted->in[0]);
    m->gamma = product ? product->in[1] : NULL;
    m->variance = shifted->in[0];
    m->eps = ((const struct pointwise_attr *)shifted->attr)->imm[1];
    return s && s->kind == SOURCE_STATE;
}

/* -mean scale, plus beta. */
static bool is_shift(sunup_value *v, const sunup_value *scale, struct norm *m)
{
    const struct node *sum = is(v, PW_add), *negative = is(sum ? sum->in[0] : v, PW_neg);
    const struct node *product = negative ? is(negative->in[0], PW_mul) : NULL;
    if (!product || product->in[1] != scale) return false;
    m->beta = sum ? sum->in[1] : NULL;
    m->mean = product->in[0];
    const struct source_attr *s = sunup__source(m->mean);
    return s && s->kind == SOURCE_STATE;
}

static const char *or_fill(struct export *e, sunup_value *v, const struct norm *m, double x)
{
    return v ? sunup__export_get(e, v, false)
             : sunup__export_fill(e, m->mean->dtype, m->mean->shape.d[0], x);
}

/* x scale + shift, as sunup_batch_norm builds it outside of training. */
bool sunup__export_batch_norm(struct export *e)
{
    struct norm m = {0};
    const struct node *sum = e->at,
                      *product = is(sum->out[0], PW_add) ? is(sum->in[0], PW_mul) : NULL;
    if (!product || !is_scale(product->in[1], &m) || !is_shift(sum->in[1], product->in[1], &m))
        return false;
    m.x = product->in[0];
    if (m.x->shape.n < 2) return false;
    const char *const in[] = {sunup__export_get(e, m.x, true), or_fill(e, m.gamma, &m, 1),
                              or_fill(e, m.beta, &m, 0), sunup__export_get(e, m.mean, false),
                              sunup__export_get(e, m.variance, false)};
    const char *y = sunup__export_node(e, "BatchNormalization", 5, in);
    sunup__export_float(e, "epsilon", m.eps);
    sunup__export_set(e, e->at->out[0], true, y);
    return true;
}
