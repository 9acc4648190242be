/* ops_product.c - products of matrices: Gemm, and MatMul with NumPy's rules for its leading axes.
 *
 * A right operand of two axes makes a linear layer, whatever the left one has; other pairs are
 * batched products.
 */
#include "model/onnx/ops.h"

/* B as [in, out]: as it is kept, or turned here. */
static sunup_value *gemm_weight(struct onnx_call *c, struct onnx_tensor *b)
{
    static const int swap[] = {1, 0};
    if (!sunup__onnx_int(c, "transB", 0)) return sunup__onnx_first(c->b, b);
    return b->native ? b->native : sunup__onnx_permute(sunup__onnx_first(c->b, b), swap);
}

void sunup__onnx_gemm(struct onnx_call *c)
{
    static const int swap[] = {1, 0};
    struct onnx_tensor *a = sunup__onnx_need(c, 0), *b = sunup__onnx_need(c, 1);
    struct onnx_tensor *add = sunup__onnx_in(c, 2);
    if (!a || !b) return;
    if (a->shape.n != 2 || b->shape.n != 2) {
        FAIL(c, E_SHAPE, "operands of %d and %d axes; both need 2", a->shape.n, b->shape.n);
        return;
    }
    const double alpha = sunup__onnx_float(c, "alpha", 1), beta = sunup__onnx_float(c, "beta", 1);
    sunup_value *x = sunup__onnx_first(c->b, a), *w = gemm_weight(c, b), *bias = NULL;
    if (sunup__is_poison(x) || sunup__is_poison(w)) return;
    if (sunup__onnx_int(c, "transA", 0)) x = sunup__onnx_permute(x, swap);
    const int64_t n = sunup_value_shape(w).d[1];
    const bool plain = add && alpha == 1 && beta == 1 && sunup__elements(&add->shape) == n &&
                       (add->shape.n == 0 || add->shape.d[add->shape.n - 1] == n);
    if (plain) bias = sunup_reshape(sunup__onnx_first(c->b, add), SUNUP_SHAPE(n));
    sunup_value *y = sunup_linear(x, w, bias);
    if (alpha != 1) y = sunup_scale(y, alpha, 0);
    if (add && !plain) y = sunup_add(y, sunup_scale(sunup__onnx_first(c->b, add), beta, 0));
    sunup__onnx_set(c, 0, y, false, a->type);
}

static sunup_value *with_axis(sunup_value *x, int at)
{
    sunup_shape s = sunup_value_shape(x);
    if (s.n != 1) return x;
    s.n = 2;
    s.d[1 - at] = s.d[0];
    s.d[at] = 1;
    return sunup_reshape(x, s);
}

/* Both to their common leading axes; false: there are none. */
static bool broadcast(struct onnx_call *c, sunup_value **a, sunup_value **b)
{
    sunup_shape sa = sunup_value_shape(*a), sb = sunup_value_shape(*b), lead;
    const sunup_shape ma = sa, mb = sb;
    sa.n -= 2;
    sb.n -= 2;
    if (!sunup__broadcast_shapes(&sa, &sb, &lead) || lead.n + 2 > SUNUP_MAX_DIMS) {
        FAIL(c, E_SHAPE, "the leading axes of its operands do not fit");
        return false;
    }
    sunup_shape ya = lead, yb = lead;
    ya.n = yb.n = lead.n + 2;
    for (int i = 0; i < 2; i++) {
        ya.d[lead.n + i] = ma.d[ma.n - 2 + i];
        yb.d[lead.n + i] = mb.d[mb.n - 2 + i];
    }
    *a = sunup_broadcast(*a, ya);
    *b = sunup_broadcast(*b, yb);
    return true;
}

void sunup__onnx_matmul(struct onnx_call *c)
{
    struct onnx_tensor *ta = sunup__onnx_need(c, 0), *tb = sunup__onnx_need(c, 1);
    if (!ta || !tb) return;
    sunup_value *a = sunup__onnx_first(c->b, ta), *b = sunup__onnx_first(c->b, tb);
    if (sunup__is_poison(a) || sunup__is_poison(b)) return;
    const bool row = ta->shape.n == 1, column = tb->shape.n == 1;
    if (ta->shape.n < 1 || tb->shape.n < 1) {
        FAIL(c, E_SHAPE, "an operand without axes");
        return;
    }
    a = with_axis(a, 0);
    b = with_axis(b, 1);
    const bool linear = sunup_value_shape(b).n == 2;
    if (!linear && sunup_value_shape(a).n > 2 && !broadcast(c, &a, &b)) return;
    sunup_value *y = linear ? sunup_linear(a, b, NULL) : sunup_matmul(a, b, 0);
    if ((row || column) && !sunup__is_poison(y)) {
        const sunup_shape s = sunup_value_shape(y);
        sunup_shape left = {0};
        for (int i = 0; i < s.n; i++)
            if (!(row && i == s.n - 2) && !(column && i == s.n - 1)) left.d[left.n++] = s.d[i];
        y = sunup_reshape(y, left);
    }
    sunup__onnx_set(c, 0, y, false, ta->type);
}
