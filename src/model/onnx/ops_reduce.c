/* ops_reduce.c - operators that go along axes: sums and their kin, the place of the largest,
 * softmax, running sums.
 *
 * A tensor whose axis 1 is last stays so where the result says which axes are left: with
 * keepdims, or while batch and channels stay.
 */
#include <math.h>

#include "model/onnx/ops.h"

/* -------------------------------------------------------------------------- sums --- */

struct axes {
    int n;
    int v[SUNUP_MAX_DIMS];     /* ONNX's, 0 and more */
    bool left[SUNUP_MAX_DIMS]; /* [axis] it is not among them */
};

/* False: a mistake. No axes given: all, or none if the node says so. */
static bool find_axes(struct onnx_call *c, int rank, struct axes *a)
{
    int64_t v[SUNUP_MAX_DIMS];
    const int n = sunup__onnx_attribute_or_in(c, "axes", 1, SUNUP_MAX_DIMS, v);
    const bool none = n <= 0 && sunup__onnx_int(c, "noop_with_empty_axes", 0);
    *a = (struct axes){0};
    for (int i = 0; i < rank; i++) a->left[i] = n > 0 || none;
    for (int i = 0; i < n; i++) {
        const int axis = sunup__onnx_axis(c, v[i], rank);
        if (axis < 0) return false;
        a->left[axis] = false;
    }
    for (int i = 0; i < rank; i++)
        if (!a->left[i]) a->v[a->n++] = i;
    return true;
}

static sunup_value *product(sunup_value *x, int axis)
{
    const int64_t n = sunup_value_shape(x).d[axis];
    sunup_value *y = n > 0 ? sunup_slice(x, axis, 0, 1) : NULL;
    for (int64_t i = 1; i < n; i++) y = sunup_mul(y, sunup_slice(x, axis, i, 1));
    return y;
}

/* Length 0 leaves 1. */
static sunup_value *products(sunup_value *x, const struct axes *a, const int *axes)
{
    for (int i = 0; i < a->n; i++) {
        sunup_shape s = sunup_value_shape(x);
        sunup_value *one = sunup_scalar(sunup_value_graph(x), sunup_value_dtype(x), 1);
        const bool empty = s.d[axes[i]] == 0;
        s.d[axes[i]] = 1;
        x = empty ? sunup_broadcast(one, s) : product(x, axes[i]);
    }
    return x;
}

static sunup_value *reduce(struct onnx_call *c, sunup_value *x, const struct axes *a,
                           const int *axes)
{
    const int n = a->n;
    switch ((enum reduce_kind)c->node->op->kind) {
    case REDUCE_ReduceL1:
        return sunup_sum(sunup_abs(x), n, axes, true);
    case REDUCE_ReduceL2:
        return sunup_sqrt(sunup_sum(sunup_square(x), n, axes, true));
    case REDUCE_ReduceLogSum:
        return sunup_log(sunup_sum(x, n, axes, true));
    case REDUCE_ReduceLogSumExp:
        return sunup_logsumexp(x, n, axes, true);
    case REDUCE_ReduceMax:
        return sunup_max(x, n, axes, true);
    case REDUCE_ReduceMean:
        return sunup_mean(x, n, axes, true);
    case REDUCE_ReduceMin:
        return sunup_min(x, n, axes, true);
    case REDUCE_ReduceProd:
        return products(x, a, axes);
    case REDUCE_ReduceSum:
        return sunup_sum(x, n, axes, true);
    case REDUCE_ReduceSumSquare:
        return sunup_sum(sunup_square(x), n, axes, true);
    }
    return x;
}

/* Of no numbers: what a first number replaces. */
static sunup_value *reduce_empty(struct onnx_call *c, sunup_value *x, const struct axes *a,
                                 const int *axes)
{
    const int kind = c->node->op->kind;
    const double end = kind == REDUCE_ReduceMin ? (double)INFINITY : -(double)INFINITY;
    sunup_shape s = sunup_value_shape(x);
    for (int i = 0; i < a->n; i++) s.d[axes[i]] = 1;
    const bool truth = c->in[0]->type == ONNX(BOOL);
    const double value = truth ? kind == REDUCE_ReduceMin : end;
    return sunup_broadcast(sunup_scalar(c->b->g, sunup_value_dtype(x), value), s);
}

static bool has_none(const struct onnx_call *c, const struct onnx_tensor *t, const struct axes *a)
{
    const int kind = c->node->op->kind;
    bool none = false;
    for (int i = 0; i < a->n; i++) none = none || t->shape.d[a->v[i]] == 0;
    return none &&
           (kind == REDUCE_ReduceMax || kind == REDUCE_ReduceMin || kind == REDUCE_ReduceLogSumExp);
}

/* x over no axis: what is done to each number stays to be done. */
static sunup_value *reduce_none(struct onnx_call *c, sunup_value *x)
{
    switch ((enum reduce_kind)c->node->op->kind) {
    case REDUCE_ReduceL1:
    case REDUCE_ReduceL2:
        return sunup_abs(x);
    case REDUCE_ReduceLogSum:
        return sunup_log(x);
    case REDUCE_ReduceSumSquare:
        return sunup_square(x);
    default:
        return x;
    }
}

void sunup__onnx_reduce(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    struct axes a;
    if (!t || !find_axes(c, t->shape.n, &a)) return;
    const bool keep = sunup__onnx_int(c, "keepdims", 1) != 0;
    bool last;
    sunup_value *x = either(c, t, &last);
    const int rank = t->shape.n;
    if (a.n == 0) {
        sunup__onnx_set(c, 0, reduce_none(c, x), last, t->type);
        return;
    }
    if (last && !keep && !(a.left[0] && a.left[1])) {
        x = sunup__onnx_first(c->b, t);
        last = false;
    }
    int axes[SUNUP_MAX_DIMS];
    bool gone[SUNUP_MAX_DIMS] = {false};
    for (int i = 0; i < a.n; i++) axes[i] = last ? sunup__onnx_place(a.v[i], rank) : a.v[i];
    for (int i = 0; i < a.n; i++) gone[axes[i]] = true;
    sunup_value *y = has_none(c, t, &a) ? reduce_empty(c, x, &a, axes) : reduce(c, x, &a, axes);
    if (!keep && !sunup__is_poison(y)) {
        const sunup_shape s = sunup_value_shape(y);
        sunup_shape left = {0};
        for (int i = 0; i < rank; i++)
            if (!gone[i]) left.d[left.n++] = s.d[i];
        y = sunup_reshape(y, left);
    }
    sunup__onnx_set(c, 0, y, last, t->type);
}

/* -------------------------------------------------------------------------- places --- */

void sunup__onnx_arg(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", 0), t->shape.n) : -1;
    if (axis < 0) return;
    sunup_value *x = sunup__onnx_first(c->b, t);
    if (c->node->op->kind < 0) x = sunup_neg(x);
    const int n = (int)t->shape.d[axis];
    const bool backwards = sunup__onnx_int(c, "select_last_index", 0) != 0;
    if (backwards) {
        int64_t *rows = sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *rows);
        for (int i = 0; rows && i < n; i++) rows[i] = n - 1 - i;
        if (rows) x = sunup__onnx_take(c, x, axis, n, rows);
    }
    sunup_value *y = sunup_argmax(x, axis);
    if (backwards) y = sunup_cast(sunup_scale(sunup_cast(y, SUNUP_F64), -1, n - 1), SUNUP_I32);
    if (sunup__onnx_int(c, "keepdims", 1)) {
        sunup_shape s = t->shape;
        s.d[axis] = 1;
        y = sunup_reshape(y, s);
    }
    sunup__onnx_set(c, 0, y, false, ONNX(INT64));
}

/* 0 .. n-1 along an axis of a tensor of `rank` axes. */
static sunup_value *counting(struct onnx_call *c, sunup_dtype dtype, int64_t n, int axis, int rank)
{
    sunup_shape s = {.n = rank};
    for (int i = 0; i < rank; i++) s.d[i] = i == axis ? n : 1;
    double *x = sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *x);
    if (!x)
        return sunup__graph_error(c->b->g, SUNUP_E_MEMORY, "no memory to count to %lld",
                                  (long long)n);
    for (int64_t i = 0; i < n; i++) x[i] = (double)i;
    return sunup_cast(sunup_constant(c->b->g, SUNUP_F64, s, x), dtype);
}

void sunup__onnx_hardmax(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int axis = t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", -1), t->shape.n) : -1;
    if (axis < 0) return;
    sunup_value *x = sunup__onnx_first(c->b, t);
    const sunup_dtype dtype = sunup_value_dtype(x);
    sunup_shape one = t->shape;
    one.d[axis] = 1;
    sunup_value *place = sunup_cast(sunup_reshape(sunup_argmax(x, axis), one), dtype);
    sunup_value *count = counting(c, dtype, t->shape.d[axis], axis, t->shape.n);
    sunup__onnx_set(c, 0, sunup_compare(place, count, SUNUP_EQ), false, t->type);
}

/* -------------------------------------------------------------------------- softmax --- */

/* Before opset 13 all axes from `axis` on were one. */
void sunup__onnx_softmax(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const bool old = c->b->m->opset < 13;
    const int axis =
        t ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", old ? 1 : -1), t->shape.n) : -1;
    if (axis < 0) return;
    const bool logarithm = c->node->op->kind == 1;
    bool last = false;
    if (!old || axis == t->shape.n - 1) {
        sunup_value *x = either(c, t, &last);
        const int at = last ? sunup__onnx_place(axis, t->shape.n) : axis;
        sunup_value *y = logarithm ? sunup_log_softmax(x, at) : sunup_softmax(x, at);
        sunup__onnx_set(c, 0, y, last, t->type);
        return;
    }
    sunup_shape flat = {2, {1, 1}};
    for (int i = 0; i < t->shape.n; i++) flat.d[i >= axis] *= t->shape.d[i];
    sunup_value *x = sunup_reshape(sunup__onnx_first(c->b, t), flat);
    sunup_value *y = logarithm ? sunup_log_softmax(x, 1) : sunup_softmax(x, 1);
    sunup__onnx_set(c, 0, sunup_reshape(y, t->shape), false, t->type);
}

/* y = x U along the axis, with U of ones and zeros: n n numbers, so for short axes. */
void sunup__onnx_cumsum(struct onnx_call *c)
{
    enum { LONGEST = 2048 };
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    /* Any number may stand there. */
    const double along = fmax(fmin(sunup__onnx_number(c, 1, 0), 99), -99);
    const int axis = t ? sunup__onnx_axis(c, (int64_t)along, t->shape.n) : -1;
    if (axis < 0) return;
    const int n = (int)t->shape.d[axis], rank = t->shape.n;
    if (t->shape.d[axis] > LONGEST) {
        FAIL(c, E_UNSUPPORTED, "an axis of %lld; at most %d can be", (long long)t->shape.d[axis],
             LONGEST);
        return;
    }
    const bool exclusive = sunup__onnx_int(c, "exclusive", 0),
               reverse = sunup__onnx_int(c, "reverse", 0);
    double *u = sunup__arena_alloc(c->b->arena, (size_t)(n * n + 1) * sizeof *u);
    for (int i = 0; u && i < n; i++)
        for (int k = 0; k < n; k++)
            u[i * n + k] = (reverse ? i > k : i < k) || (i == k && !exclusive);
    int swap[SUNUP_MAX_DIMS];
    for (int i = 0; i < rank; i++) swap[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
    sunup_value *x = sunup__onnx_permute(sunup__onnx_first(c->b, t), swap);
    if (!u || sunup__is_poison(x)) return;
    sunup_value *ones =
        sunup_cast(sunup_constant(c->b->g, SUNUP_F64, SUNUP_SHAPE(n, n), u), sunup_value_dtype(x));
    sunup__onnx_set(c, 0, sunup__onnx_permute(sunup_linear(x, ones, NULL), swap), false, t->type);
}
