/* group_norm.c - normalisation of each sample's groups of neighbouring channels over space; the
 * same when training and not, and whatever the batch.
 */
#include "graph/ops/channel_norm.h"
#include "graph/ops/op.h"
#include "graph/ops/second_order.h"

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    struct channel_norm_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    if (x->shape.n < 2)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s must be [N, .., C]", TEXT(x));
    a->samples = x->shape.d[0];
    a->rows = sunup__product(&x->shape, 1, x->shape.n - 1);
    a->c = x->shape.d[x->shape.n - 1];
    if (a->groups < 1 || a->c % a->groups != 0)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "%lld groups do not divide the %lld channels of x %s",
                               (long long)a->groups, (long long)a->c, TEXT(x));
    if (a->rows * a->c < 1 || !(a->eps >= 0))
        return sunup__op_error(n, SUNUP_E_ARGUMENT,
                               "x %s must not be empty and eps %g not negative", TEXT(x), a->eps);
    return sunup__channel_norm_infer(n, SUNUP_SHAPE(a->samples, a->groups));
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    sunup__channel_norm_grad(&sunup__op_group_norm_grad, n, dy[0], want, dx);
}

static sunup_value *elementary(const struct node *n, sunup_value *const *in)
{
    const struct channel_norm_attr *a = n->attr;
    const int axes[] = {1, 3};
    sunup_value *x =
        sunup_reshape(in[0], SUNUP_SHAPE(a->samples, a->rows, a->groups, a->c / a->groups));
    sunup_value *centred = sunup_sub(x, sunup_mean(x, 2, axes, true));
    sunup_value *var = sunup_mean(sunup_square(centred), 2, axes, true);
    sunup_value *h = sunup_div(centred, sunup_sqrt(sunup_scale(var, 1, a->eps)));
    h = sunup_reshape(h, in[0]->shape);
    return in[1] ? sunup_mul(h, in[1]) : h;
}

static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    sunup__second_order(&(struct second_order){elementary, 4, {0, 1}}, n, g, want, dx);
}

sunup_value *sunup_group_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta, int64_t groups,
                              double eps)
{
    sunup_value *const in[] = {x, gamma, beta};
    const struct channel_norm_attr attr = {.groups = groups, .eps = eps};
    return sunup__node(sunup__graph_of(3, in), &sunup__op_group_norm, 3, in, &attr, 0, NULL);
}

/* --- cases --- */

static sunup_value *build(sunup_graph *g, sunup_shape x, int64_t groups, bool affine)
{
    const sunup_shape c = SUNUP_SHAPE(x.d[x.n - 1]);
    return sunup_group_norm(sunup__case_input(g, "x", x),
                            affine ? sunup__case_input(g, "gamma", c) : NULL,
                            affine ? sunup__case_input(g, "beta", c) : NULL, groups, 1e-3);
}
static sunup_value *case_plane(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(2, 3, 5, 6), 3, true);
}
static sunup_value *case_one(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 7, 5), 1, true);
}
static sunup_value *case_instance(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(2, 11, 3), 3, false);
}
static sunup_value *case_rows(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 10), 2, true);
}
static sunup_value *case_grad(sunup_graph *g)
{
    sunup_value *y = build(g, SUNUP_SHAPE(2, 3, 4), 2, true), *d;
    if (sunup__is_poison(y)) return y;
    sunup_gradient_from(y, sunup__case_input(g, "dy", y->shape), 1, &y->node->in[0], &d);
    return d;
}

static const struct op_case cases[] = {
    {"group_norm:n2h3w5c6:groups3", case_plane},
    {"group_norm:n3w7c5:groups1", case_one},
    {"group_norm:n2w11c3:groups3:plain", case_instance},
    {"group_norm:n3c10:groups2", case_rows},
};
static const struct op_case grad_cases[] = {{"group_norm_grad:n2w3c4:groups2", case_grad}};

const struct op sunup__op_group_norm = {
    .name = "group_norm",
    .attr_bytes = sizeof(struct channel_norm_attr),
    .n_out = 3,
    .infer = infer,
    .grad = grad,
    .cost = sunup__channel_norm_cost,
    .workspace = sunup__channel_norm_workspace,
    .run = sunup__channel_norm_run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_group_norm_grad = {
    .name = "group_norm_grad",
    .attr_bytes = sizeof(struct channel_norm_attr),
    .n_out = 3,
    .infer = sunup__channel_norm_grad_infer,
    .grad = grad_grad,
    .cost = sunup__channel_norm_grad_cost,
    .workspace = sunup__channel_norm_grad_workspace,
    .run = sunup__channel_norm_grad_run,
    .cases = grad_cases,
    .n_cases = sizeof grad_cases / sizeof *grad_cases,
};
