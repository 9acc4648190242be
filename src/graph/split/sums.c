/* sums.c - ops that read all of the axis: a term of each slab, combined in the order of the slabs.
 *
 * Batch and group norm: a slab's mean and variance by the same passes as whole ones, then in f64
 *
 *   sum = n mean,  squares = n (var + mean^2);   combined:  mean = sum / n,
 *   var = squares / n - mean^2,  scale = gamma / sqrt(var + eps),  y = scale x + (beta - scale mean)
 *
 * f64 of f32 moments loses nothing to the difference. All of it is made of ops with gradients, and
 * what backward keeps of x's size is x alone. One meeting forward, one backward.
 */
#include "graph/ops/axes.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/cross_entropy.h"
#include "graph/ops/op.h"
#include "graph/split/inside.h"

/* Own terms to own copies of the sum, which become the whole value v. */
static void combine(struct split *s, const sunup_value *v, sunup_value *const *term)
{
    sunup_value **of = sunup__split_begin(s, v, NULL, 0);
    if (of != NULL) sunup__combine(s->parts, term, of);
}

static sunup_value **room(struct split *s)
{
    return sunup__split_room(s, s->parts->own, sizeof(sunup_value *));
}

void sunup__split_sum(struct split *s, const struct node *n)
{
    sunup_value **term = room(s);
    if (term == NULL) return;
    for (int i = 0; i < s->parts->own; i++)
        term[i] = sunup__split_remake(s, n, n->attr, &slabs_of(s, n->in[0])->of[i]);
    combine(s, n->out[0], term);
}

/* The mean over the rows of a slab counts as its rows do. */
void sunup__split_cross_entropy(struct split *s, const struct node *n)
{
    const struct cross_entropy_attr *a = n->attr;
    sunup_value **term = room(s), **label = room(s);
    if (term == NULL || label == NULL) return;
    const bool both = is_cut(s, n->in[0]) && is_cut(s, n->in[1]);
    const int axis = slabs_of(s, n->in[0])->axis;
    if (n->in[2] != NULL || !both || axis != slabs_of(s, n->in[1])->axis ||
        axis == n->in[0]->shape.n - 1) {
        sunup__split_refuse(s, n, "class weights, or labels that are not cut as logits are");
        return;
    }
    sunup__split_recut(s, n->in[1], slabs_of(s, n->in[0])->cut, label);
    for (int i = 0; i < s->parts->own; i++) {
        sunup_value *in[3] = {slab_of(s, n->in[0], i), label[i], NULL};
        sunup_value *mean = sunup__split_remake(s, n, a, in);
        if (sunup__is_poison(mean)) return;
        const struct cross_entropy_attr *mine = mean->node->attr;
        term[i] = sunup_scale(mean, (double)mine->rows / (double)a->rows, 0);
    }
    combine(s, n->out[0], term);
}

/* ---------------------------------------------------------------------------- norms --- */

/* Numbers of x that share statistics. */
static double count_of(const struct channel_norm_attr *a)
{
    return (double)(a->rows * (a->c / a->groups));
}

/* f64: the slab's sums of x, then of x^2. */
static sunup_value *sums_of(sunup_value *x, int64_t groups)
{
    sunup_value *moments = sunup__moments(x, groups);
    if (sunup__is_poison(moments)) return moments;
    const double n = count_of(moments->node->attr);
    sunup_value *mean = sunup_cast(moments, SUNUP_F64),
                *var = sunup_cast(sunup__output(moments, 1), SUNUP_F64);
    sunup_value *both[] = {sunup_scale(mean, n, 0),
                           sunup_scale(sunup_add(var, sunup_square(mean)), n, 0)};
    return sunup_concat(2, both, 0);
}

struct statistics { /* f64, [C] or [N, groups] */
    sunup_value *mean, *var, *rstd;
};

static struct statistics statistics_of(sunup_value *sums, const struct channel_norm_attr *a)
{
    const double each = 1 / count_of(a);
    const int64_t half = sums->shape.d[0] / 2;
    struct statistics t;
    t.mean = sunup_scale(sunup_slice(sums, 0, 0, half), each, 0);
    sunup_value *squares = sunup_scale(sunup_slice(sums, 0, half, half), each, 0);
    t.var = sunup_relu(sunup_sub(squares, sunup_square(t.mean)));
    sunup_value *one = sunup_scalar(sums->node->graph, SUNUP_F64, 1);
    t.rstd = sunup_div(one, sunup_sqrt(sunup_scale(t.var, 1, a->eps)));
    return t;
}

static sunup_value *normalise(sunup_value *x, const struct statistics *t, sunup_value *gamma,
                              sunup_value *beta)
{
    sunup_value *scale = sunup__by_channel(t->rstd, &x->shape);
    if (gamma) scale = sunup_mul(scale, sunup_cast(gamma, SUNUP_F64));
    scale = sunup_cast(scale, x->dtype);
    sunup_value *mean = sunup__by_channel(t->mean, &x->shape);
    sunup_value *shift = sunup_neg(sunup_mul(mean, sunup_cast(scale, SUNUP_F64)));
    if (beta) shift = sunup_add(sunup_cast(beta, SUNUP_F64), shift);
    return sunup__pointwise(PW_fma, x, scale, sunup_cast(shift, x->dtype), 0, 0);
}

void sunup__split_norm(struct split *s, const struct node *n)
{
    const struct channel_norm_attr *a = n->attr;
    const int own = s->parts->own;
    const int64_t groups = n->op == &sunup__op_group_norm ? a->groups : 0;
    sunup_value **term = room(s), **sums = room(s), **of[MAX_OUT];
    const struct slabs *in = slabs_of(s, n->in[0]);
    of[0] = sunup__split_begin(s, n->out[0], in->cut, in->axis);
    for (int o = 1; o < n->n_out; o++) of[o] = sunup__split_begin(s, n->out[o], NULL, 0);
    for (int o = 0; o < n->n_out; o++)
        if (term == NULL || sums == NULL || of[o] == NULL) return;
    for (int i = 0; i < own; i++) term[i] = sums_of(slab_of(s, n->in[0], i), groups);
    sunup__combine(s->parts, term, sums);
    for (int i = 0; i < own && !sunup__is_poison(sums[i]); i++) {
        sunup_value *x = slab_of(s, n->in[0], i);
        const struct statistics t = statistics_of(sums[i], a);
        of[0][i] = normalise(x, &t, slab_of(s, n->in[1], i), slab_of(s, n->in[2], i));
        sunup_value *const whole[] = {t.mean, t.rstd, t.var};
        for (int o = 1; o < n->n_out; o++) of[o][i] = sunup_cast(whole[o - 1], x->dtype);
    }
}
