/* losses.c - losses that are a pointwise chain and a mean: squared and absolute error, binary
 * cross-entropy.
 *
 * No ops of their own: the plan fuses the chain. Shapes must be equal, so that a forgotten axis is
 * an error instead of a broadcast.
 */
#include "graph/ops/op.h"

/* NULL if x and target fit; else what the loss returns. */
static sunup_value *refuse(const char *loss, sunup_value *x, sunup_value *target)
{
    sunup_value *const in[] = {x, target};
    sunup_graph *g = sunup__graph_of(2, in);
    if (!g) return NULL;
    if (!x || !target)
        return sunup__graph_error(g, SUNUP_E_ARGUMENT, "%s: x or target is missing (NULL)", loss);
    if (sunup__is_poison(x) || sunup__is_poison(target)) return g->poison;
    if (x->dtype == target->dtype && sunup__same_shape(&x->shape, &target->shape)) return NULL;
    return sunup__graph_error(g, SUNUP_E_SHAPE,
                              "%s: x '%s' is %s %s but target '%s' is %s %s; they must be equal, "
                              "sunup_reshape or sunup_cast one of them",
                              loss, x->name, sunup_dtype_name(x->dtype), TEXT(x), target->name,
                              sunup_dtype_name(target->dtype), TEXT(target));
}

static sunup_value *mean(sunup_value *x)
{
    return sunup_mean(x, 0, NULL, false);
}

sunup_value *sunup_mse(sunup_value *x, sunup_value *target)
{
    sunup_value *bad = refuse("mse", x, target);
    return bad || !x ? bad : mean(sunup_square(sunup_sub(x, target)));
}

sunup_value *sunup_l1(sunup_value *x, sunup_value *target)
{
    sunup_value *bad = refuse("l1", x, target);
    return bad || !x ? bad : mean(sunup_abs(sunup_sub(x, target)));
}

/* (1 - t) x + (1 + (p - 1) t) log(1 + exp(-x)), PyTorch's formula; without p the pointwise code
 * bce. */
static sunup_value *binary(sunup_value *x, sunup_value *target, sunup_value *pos_weight)
{
    if (!pos_weight) return sunup__pointwise(PW_bce, x, target, NULL, 0, 0);
    sunup_value *factor = sunup_scale(sunup_mul(sunup_scale(pos_weight, 1, -1), target), 1, 1);
    return sunup_add(sunup_mul(sunup_scale(target, -1, 1), x),
                     sunup_mul(factor, sunup_softplus(sunup_neg(x))));
}

/* Stretches to x's shape without changing it. */
static bool stretches(const sunup_value *v, const sunup_value *x)
{
    sunup_shape both;
    return v->dtype == x->dtype && sunup__broadcast_shapes(&v->shape, &x->shape, &both) &&
           sunup__same_shape(&both, &x->shape);
}

sunup_value *sunup_bce_with_logits(sunup_value *x, sunup_value *target, sunup_value *weight,
                                   sunup_value *pos_weight)
{
    sunup_value *bad = refuse("bce_with_logits", x, target);
    if (bad || !x) return bad;
    sunup_value *const extra[] = {weight, pos_weight};
    for (int i = 0; i < 2; ++i) {
        if (!extra[i]) continue;
        if (sunup__is_poison(extra[i])) return extra[i];
        if (!stretches(extra[i], x))
            return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                                      "bce_with_logits: %s '%s' %s %s does not broadcast "
                                      "to x '%s' %s %s",
                                      i ? "pos_weight" : "weight", extra[i]->name,
                                      sunup_dtype_name(extra[i]->dtype), TEXT(extra[i]), x->name,
                                      sunup_dtype_name(x->dtype), TEXT(x));
    }
    sunup_value *loss = binary(x, target, pos_weight);
    return mean(weight ? sunup_mul(loss, weight) : loss);
}
