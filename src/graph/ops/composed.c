/* composed.c - functions that are formulas of other ops, so that gradients, fusion and checks are theirs.
 */
#include <float.h>

#include "graph/ops/axes.h"
#include "graph/ops/op.h"

sunup_value *sunup_min(sunup_value *x, int n, const int *axes, bool keep)
{
    return sunup_neg(sunup_max(sunup_neg(x), n, axes, keep));
}

/* log of sums of exp(x - shift), and shift again. A whole number below the maximum serves as well as
 * the maximum does, and floor carries no gradient; a finite one makes infinities come out right. */
sunup_value *sunup_logsumexp(sunup_value *x, int n, const int *axes, bool keep)
{
    if (!x || sunup__is_poison(x)) return x;
    const double most = x->dtype == SUNUP_F64 ? DBL_MAX : (double)FLT_MAX;
    sunup_value *shift = sunup_floor(sunup_clamp(sunup_max(x, n, axes, true), -most, most));
    sunup_value *sum = sunup_sum(sunup_exp(sunup_sub(x, shift)), n, axes, keep);
    if (sunup__is_poison(sum)) return sum;
    return sunup_add(sunup_log(sum), sunup_reshape(shift, sum->shape));
}

sunup_value *sunup_roll(sunup_value *x, int axis, int64_t shift)
{
    if (!x || sunup__is_poison(x)) return x;
    const int at = sunup__axis(axis, x->shape.n);
    if (at < 0)
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE, "roll of '%s' %s: no axis %d",
                                  x->name, TEXT(x), axis);
    const int64_t n = x->shape.d[at], by = n > 0 ? (shift % n + n) % n : 0;
    if (by == 0) return x;
    sunup_value *const parts[] = {sunup_slice(x, at, n - by, by), sunup_slice(x, at, 0, n - by)};
    return sunup_concat(2, parts, at);
}

/* |a|^2 + |b|^2 - 2 a b, not let below 0 where rounding would. */
sunup_value *sunup_pairwise_distance(sunup_value *x)
{
    if (!x || sunup__is_poison(x)) return x;
    if (x->shape.n != 3)
        return sunup__graph_error(
            x->node->graph, SUNUP_E_SHAPE,
            "pairwise_distance of '%s': %s must be [samples, points, channels]", x->name, TEXT(x));
    const int64_t samples = x->shape.d[0], points = x->shape.d[1];
    sunup_value *size = sunup_sum(sunup_square(x), 1, (const int[]){2}, true);
    sunup_value *sizes = sunup_add(size, sunup_reshape(size, SUNUP_SHAPE(samples, 1, points)));
    sunup_value *products = sunup_matmul(x, x, SUNUP_TRANSPOSE_B);
    return sunup_relu(sunup_add(sizes, sunup_scale(products, -2, 0)));
}
