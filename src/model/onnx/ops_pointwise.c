/* ops_pointwise.c - operators that work element by element: formulas of ours; those of one
 * operand lie in unary.def.
 *
 * Owes: operands of different ranks and forms brought together (align), and ONNX's rules for
 * whole numbers: they are computed in f64, division and conversion cut towards zero. Truth values
 * are 0 and 1 of a floating type.
 */
#include <math.h>
#include <string.h>

#include "model/onnx/ops.h"

/* -------------------------------------------------------------------------- helpers --- */

static sunup_value *number(sunup_value *like, double x)
{
    return sunup_scalar(sunup_value_graph(like), sunup_value_dtype(like), x);
}

static sunup_value *is(sunup_value *x, sunup_compare_kind kind, double y)
{
    return sunup_compare(x, number(x, y), kind);
}

static sunup_value *pick(sunup_value *condition, sunup_value *a, sunup_value *b)
{
    return sunup_where(sunup_cast(condition, sunup_value_dtype(a)), a, b);
}

static sunup_value *ceiling(sunup_value *x)
{
    return sunup_neg(sunup_floor(sunup_neg(x)));
}

sunup_value *sunup__onnx_trunc(sunup_value *x)
{
    return pick(is(x, SUNUP_LT, 0), ceiling(x), sunup_floor(x));
}

/* To the nearest whole number, of two the even one. */
static sunup_value *rounded(sunup_value *x)
{
    sunup_value *r = sunup_floor(sunup_scale(x, 1, 0.5));
    sunup_value *between = is(sunup_sub(r, x), SUNUP_EQ, 0.5);
    return sunup_sub(r, sunup_mul(between, sunup_mod(r, number(x, 2))));
}

static sunup_value *sign(sunup_value *x)
{
    return sunup_sub(is(x, SUNUP_GT, 0), is(x, SUNUP_LT, 0));
}

/* The other side of a right triangle of hypotenuse 1. */
static sunup_value *side(sunup_value *x)
{
    return sunup_sqrt(sunup_scale(sunup_square(x), -1, 1));
}

/* -------------------------------------------------------------------------- one operand --- */

static sunup_value *gelu(const struct onnx_call *c, sunup_value *x)
{
    if (strcmp(sunup__onnx_text(c, "approximate", "none"), "tanh") != 0) return sunup_gelu(x);
    sunup_value *cube = sunup_mul(x, sunup_square(x));
    sunup_value *inner =
        sunup_scale(sunup_add(x, sunup_scale(cube, 0.044715, 0)), sqrt(2 / M_PI), 0);
    return sunup_mul(sunup_scale(x, 0.5, 0), sunup_scale(sunup_tanh(inner), 1, 1));
}

static sunup_value *shrink(const struct onnx_call *c, sunup_value *x)
{
    const double lambda = sunup__onnx_float(c, "lambd", 0.5),
                 bias = sunup__onnx_float(c, "bias", 0);
    sunup_value *low = sunup_mul(is(x, SUNUP_LT, -lambda), sunup_scale(x, 1, bias));
    return sunup_add(low, sunup_mul(is(x, SUNUP_GT, lambda), sunup_scale(x, 1, -bias)));
}

static sunup_value *infinite(const struct onnx_call *c, sunup_value *x)
{
    const double high = sunup__onnx_int(c, "detect_positive", 1) ? (double)INFINITY : (double)NAN;
    const double low = sunup__onnx_int(c, "detect_negative", 1) ? -(double)INFINITY : (double)NAN;
    return sunup_add(is(x, SUNUP_EQ, high), is(x, SUNUP_EQ, low));
}

static sunup_value *hard_sigmoid(const struct onnx_call *c, sunup_value *x)
{
    const double alpha = sunup__onnx_float(c, "alpha", 0.2);
    return sunup_clamp(sunup_scale(x, alpha, sunup__onnx_float(c, "beta", 0.5)), 0, 1);
}

static sunup_value *selu(const struct onnx_call *c, sunup_value *x)
{
    sunup_value *y = sunup_elu(x, sunup__onnx_float(c, "alpha", 1.67326319217681884765625));
    return sunup_scale(y, sunup__onnx_float(c, "gamma", 1.05070102214813232421875), 0);
}

static sunup_value *asinh_of(sunup_value *x)
{
    sunup_value *a = sunup_abs(x);
    return sunup_mul(sign(x),
                     sunup_log(sunup_add(a, sunup_sqrt(sunup_scale(sunup_square(a), 1, 1)))));
}

static sunup_value *unary(const struct onnx_call *c, sunup_value *x)
{
    const double alpha = sunup__onnx_float(c, "alpha", 1);
    switch ((enum unary_kind)c->node->op->kind) {
#define FORMULA(name, y)                                                                           \
    case UNARY_##name:                                                                             \
        return y;
#include "model/onnx/unary.def"
#undef FORMULA
    }
    return x;
}

void sunup__onnx_unary(struct onnx_call *c)
{
    const int kind = c->node->op->kind;
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    if (!x) return;
    const bool truth = kind == UNARY_IsInf || kind == UNARY_IsNaN || kind == UNARY_Not;
    if (kind == UNARY_Identity && x->index && !x->first) { /* stays i32 */
        sunup__onnx_set(c, 0, x->index, false, x->type);
        return;
    }
    bool last;
    sunup_value *v = either(c, x, &last);
    sunup__onnx_set(c, 0, unary(c, v), last, truth ? (int)ONNX(BOOL) : x->type);
}

/* -------------------------------------------------------------------------- types --- */

static void cast_to(struct onnx_call *c, struct onnx_tensor *x, int type)
{
    const bool real = type == ONNX(FLOAT) || type == ONNX(DOUBLE);
    if (!real && !sunup__onnx_is_integer(type)) {
        FAIL(c, E_UNSUPPORTED, "a cast to %s", sunup__onnx_type_name(type));
        return;
    }
    const bool from_integer = sunup__onnx_is_integer(x->type);
    if (!real && type != ONNX(BOOL) && from_integer && x->index) {
        sunup__onnx_set(c, 0, x->index, false, type);
        return;
    }
    bool last;
    sunup_value *v = either(c, x, &last);
    if (type == ONNX(BOOL)) v = is(v, SUNUP_NE, 0);
    if (!real && type != ONNX(BOOL) && !from_integer) v = sunup__onnx_trunc(v);
    sunup__onnx_set(c, 0, sunup_cast(v, sunup__onnx_dtype(c->b, type)), last, type);
}

void sunup__onnx_cast(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    const bool like = c->node->op->kind == 1;
    struct onnx_tensor *other = like ? sunup__onnx_need(c, 1) : NULL;
    if (!x || (like && !other)) return;
    cast_to(c, x, like ? other->type : (int)sunup__onnx_int(c, "to", 0));
}

void sunup__onnx_clip(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    struct onnx_tensor *low = sunup__onnx_in(c, 1), *high = sunup__onnx_in(c, 2);
    if (!x) return;
    bool last;
    sunup_value *v = either(c, x, &last);
    if ((low && !low->known) || (high && !high->known)) {
        if (low) v = sunup_maximum(v, sunup__onnx_first(c->b, low));
        if (high) v = sunup_minimum(v, sunup__onnx_first(c->b, high));
    } else {
        double least = sunup__onnx_number(c, 1, sunup__onnx_float(c, "min", -(double)INFINITY));
        const double most = sunup__onnx_number(c, 2, sunup__onnx_float(c, "max", (double)INFINITY));
        if (least > most) least = most; /* as min(max(x, least), most) */
        v = sunup_clamp(v, least, most);
    }
    sunup__onnx_set(c, 0, v, last, x->type);
}

void sunup__onnx_dropout(struct onnx_call *c)
{
    struct onnx_tensor *x = sunup__onnx_need(c, 0);
    if (!x) return;
    const double p = sunup__onnx_number(c, 1, sunup__onnx_float(c, "ratio", 0.5));
    bool last;
    sunup_value *v = either(c, x, &last);
    sunup__onnx_set(c, 0, sunup_dropout(v, p, false), last, x->type);
    if (c->node->n_out > 1 && !sunup_graph_training(c->b->g)) /* what was kept: everything */
        sunup__onnx_set(c, 1, sunup_compare(v, v, SUNUP_EQ), last, ONNX(BOOL));
}

/* -------------------------------------------------------------------------- several operands --- */

/* t among operands of `rank` axes: axes of length 1 in front; a single number needs none. */
static sunup_value *beside(struct onnx_call *c, struct onnx_tensor *t, int rank, bool last)
{
    if (t->shape.n == rank) return last ? sunup__onnx_last(c->b, t) : sunup__onnx_first(c->b, t);
    sunup_value *v = sunup__onnx_first(c->b, t);
    if (sunup__is_poison(v)) return v;
    if (sunup__elements(&t->shape) == 1) return sunup_reshape(v, SUNUP_SCALAR);
    sunup_shape s = {.n = rank};
    for (int i = 0; i < rank; i++)
        s.d[i] = i < rank - t->shape.n ? 1 : t->shape.d[i - (rank - t->shape.n)];
    v = sunup_reshape(v, s);
    return last ? sunup__onnx_turn(v) : v;
}

/* All operands for a broadcast, of one type from number `from` on; false: a mistake. */
static bool align(struct onnx_call *c, sunup_value **v, int from, bool *last)
{
    int rank = 0;
    *last = false;
    for (int i = 0; i < c->node->n_in; i++) {
        if (!sunup__onnx_need(c, i)) return false;
        if (c->in[i]->shape.n > rank) rank = c->in[i]->shape.n;
    }
    for (int i = 0; i < c->node->n_in; i++)
        *last = *last || (c->in[i]->shape.n == rank && sunup__onnx_only_last(c->in[i]));
    sunup_dtype dtype = SUNUP_F32;
    for (int i = 0; i < c->node->n_in; i++) {
        v[i] = beside(c, c->in[i], rank, *last);
        if (sunup__is_poison(v[i])) return false;
        if (i >= from && sunup_value_dtype(v[i]) == SUNUP_F64) dtype = SUNUP_F64;
    }
    for (int i = 0; i < c->node->n_in; i++)
        if (sunup_value_dtype(v[i]) != dtype) v[i] = sunup_cast(v[i], dtype);
    return true;
}

static sunup_value *quotient(const struct onnx_call *c, sunup_value *a, sunup_value *b)
{
    sunup_value *y = sunup_div(a, b);
    return sunup__onnx_is_integer(c->in[0]->type) ? sunup__onnx_trunc(y) : y;
}

static sunup_value *remainder_of(const struct onnx_call *c, sunup_value *a, sunup_value *b)
{
    if (!sunup__onnx_int(c, "fmod", 0)) return sunup_mod(a, b);
    return sunup_mul(sign(a), sunup_mod(sunup_abs(a), sunup_abs(b))); /* a's sign */
}

/* x to a known power: by products where it is a small whole number. */
static sunup_value *known_power(sunup_value *x, double e)
{
    if (e == 0.5) return sunup_sqrt(x);
    if (e == 1) return x;
    if (e == 2) return sunup_square(x);
    if (e != floor(e) || fabs(e) > 16 || e == 0) return sunup_pow(x, number(x, e));
    sunup_value *y = x;
    for (int i = 1; i < (int)fabs(e); i++) y = sunup_mul(y, x);
    return e < 0 ? sunup_div(number(x, 1), y) : y;
}

static sunup_value *power(const struct onnx_call *c, sunup_value *x, sunup_value *e)
{
    const struct onnx_tensor *t = c->in[1];
    const bool one = t->known && sunup__elements(&t->shape) == 1;
    return one ? known_power(x, t->known[0]) : sunup_pow(x, e);
}

static sunup_value *pair(const struct onnx_call *c, sunup_value *a, sunup_value *b)
{
    switch ((enum many_kind)c->node->op->kind) {
    case MANY_Add:
    case MANY_Sum:
    case MANY_Mean:
        return sunup_add(a, b);
    case MANY_Sub:
        return sunup_sub(a, b);
    case MANY_Mul:
    case MANY_And:
        return sunup_mul(a, b);
    case MANY_Div:
        return quotient(c, a, b);
    case MANY_PRelu:
        return sunup_sub(sunup_relu(a), sunup_mul(b, sunup_relu(sunup_neg(a))));
    case MANY_Max:
        return sunup_maximum(a, b);
    case MANY_Min:
        return sunup_minimum(a, b);
    case MANY_Mod:
        return remainder_of(c, a, b);
    case MANY_Pow:
        return power(c, a, b);
    case MANY_Equal:
        return sunup_compare(a, b, SUNUP_EQ);
    case MANY_Greater:
        return sunup_compare(a, b, SUNUP_GT);
    case MANY_GreaterOrEqual:
        return sunup_compare(a, b, SUNUP_GE);
    case MANY_Less:
        return sunup_compare(a, b, SUNUP_LT);
    case MANY_LessOrEqual:
        return sunup_compare(a, b, SUNUP_LE);
    case MANY_Or:
        return is(sunup_add(a, b), SUNUP_NE, 0);
    case MANY_Xor:
        return sunup_compare(a, b, SUNUP_NE);
    case MANY_Where:
        break;
    }
    return a;
}

void sunup__onnx_many(struct onnx_call *c)
{
    const int kind = c->node->op->kind, n = c->node->n_in;
    sunup_value **v = sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *v);
    bool last;
    const bool variadic = kind >= MANY_Sum && kind <= MANY_Min, where = kind == MANY_Where;
    if (!v || n < 1 || (!variadic && n != (where ? 3 : 2))) {
        FAIL(c, E_FORMAT, "it has %d operands", n);
        return;
    }
    if (!align(c, v, where ? 1 : 0, &last)) return;
    sunup_value *y = where ? sunup_where(v[0], v[1], v[2]) : v[0];
    for (int i = 1; i < n && !where; i++) y = pair(c, y, v[i]);
    if (kind == MANY_Mean) y = sunup_scale(y, 1.0 / n, 0);
    const bool truth = kind >= MANY_Equal && kind <= MANY_Xor;
    sunup__onnx_set(c, 0, y, last, truth ? (int)ONNX(BOOL) : c->in[where ? 1 : 0]->type);
}
