/* batch_norm.c - normalisation of each channel over the batch and space, and its running
 * statistics.
 *
 * Training: batch statistics, whose biased variance normalises and whose unbiased one is averaged
 * into the running variance, as PyTorch does; a shard sees its own samples only. Else: the running
 * statistics, as pointwise ops that the plan fuses with their neighbours.
 */
#include "graph/ops/channel_norm.h"
#include "graph/ops/op.h"
#include "graph/ops/second_order.h"

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    struct channel_norm_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    if (x->shape.n < 2 || x->shape.d[x->shape.n - 1] < 1)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s must be [N, .., C]", TEXT(x));
    a->samples = 1;
    a->rows = sunup__product(&x->shape, 0, x->shape.n - 1);
    a->c = a->groups = x->shape.d[x->shape.n - 1];
    if (a->rows < 2)
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "x %s has %lld value(s) for each channel, but training needs at least "
            "2 for a variance; take a larger batch or fewer shards",
            TEXT(x), (long long)a->rows);
    return sunup__channel_norm_infer(n, SUNUP_SHAPE(a->c));
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    sunup__channel_norm_grad(&sunup__op_batch_norm_grad, n, dy[0], want, dx);
}

static sunup_value *elementary(const struct node *n, sunup_value *const *in)
{
    const struct channel_norm_attr *a = n->attr;
    int axes[SUNUP_MAX_DIMS];
    const int n_axes = in[0]->shape.n - 1;
    for (int i = 0; i < n_axes; ++i) axes[i] = i;
    sunup_value *centred = sunup_sub(in[0], sunup_mean(in[0], n_axes, axes, true));
    sunup_value *var = sunup_mean(sunup_square(centred), n_axes, axes, true);
    sunup_value *h = sunup_div(centred, sunup_sqrt(sunup_scale(var, 1, a->eps)));
    return in[1] ? sunup_mul(h, in[1]) : h;
}

static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    sunup__second_order(&(struct second_order){elementary, 4, {0, 1}}, n, g, want, dx);
}

static bool is_vector(const sunup_value *v, sunup_dtype dtype, int64_t c)
{
    return !v || (v->dtype == dtype && v->shape.n == 1 && v->shape.d[0] == c);
}

static sunup_value *with_running(sunup_value *x, sunup_value *gamma, sunup_value *beta,
                                 sunup_value *mean, sunup_value *var, double eps)
{
    sunup_value *scale =
        sunup_div(sunup_scalar(x->node->graph, x->dtype, 1), sunup_sqrt(sunup_scale(var, 1, eps)));
    if (gamma) scale = sunup_mul(scale, gamma);
    sunup_value *shift = sunup_neg(sunup_mul(mean, scale));
    if (beta) shift = sunup_add(shift, beta);
    return sunup_add(sunup_mul(x, scale), shift);
}

static sunup_value *with_batch(sunup_value *const in[5], double momentum, double eps)
{
    const struct channel_norm_attr attr = {.eps = eps};
    sunup_value *y = sunup__node(in[0]->node->graph, &sunup__op_batch_norm, 3, in, &attr, 0, NULL);
    if (sunup__is_poison(y) || !in[3]) return y;
    const double rows = (double)((const struct channel_norm_attr *)y->node->attr)->rows;
    sunup_average(in[3], sunup__output(y, 1), momentum);
    sunup_average(in[4], sunup_scale(sunup__output(y, 3), rows / (rows - 1), 0), momentum);
    return y;
}

sunup_value *sunup_batch_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta,
                              sunup_value *running_mean, sunup_value *running_var, double momentum,
                              double eps)
{
    static const char *const name[] = {"x", "gamma", "beta", "running_mean", "running_var"};
    sunup_value *const in[] = {x, gamma, beta, running_mean, running_var};
    sunup_graph *g = sunup__graph_of(5, in);
    if (!g) return NULL;
    for (int i = 0; i < 5; ++i)
        if (sunup__is_poison(in[i])) return g->poison;
    const bool training = sunup_graph_training(g);
    if (!x || !running_mean != !running_var || (!training && !running_mean))
        return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                  "batch_norm: x, and outside of training both running statistics, "
                                  "must be there (NULL)");
    if (!(eps >= 0))
        return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                  "batch_norm of '%s': eps %g must not be negative", x->name, eps);
    const int64_t c = x->shape.n > 0 ? x->shape.d[x->shape.n - 1] : 0;
    for (int i = 1; i < 5; ++i)
        if (!is_vector(in[i], x->dtype, c))
            return sunup__graph_error(
                g, SUNUP_E_SHAPE,
                "batch_norm: %s '%s' is %s %s, but x '%s' %s has %lld channels: "
                "%s [%lld] would fit",
                name[i], in[i]->name, sunup_dtype_name(in[i]->dtype), TEXT(in[i]), x->name, TEXT(x),
                (long long)c, sunup_dtype_name(x->dtype), (long long)c);
    return training ? with_batch(in, momentum, eps)
                    : with_running(x, gamma, beta, running_mean, running_var, eps);
}

/* --- cases: the training op itself, whatever the mode of the graph --- */

static sunup_value *build(sunup_graph *g, sunup_shape x, bool affine)
{
    const sunup_shape c = SUNUP_SHAPE(x.d[x.n - 1]);
    sunup_value *in[5] = {sunup__case_input(g, "x", x)};
    if (affine) in[1] = sunup__case_input(g, "gamma", c);
    if (affine) in[2] = sunup__case_input(g, "beta", c);
    return with_batch(in, 0.1, 1e-3);
}

/* dy is an operand of its own. */
static sunup_value *build_grad(sunup_graph *g, sunup_shape x)
{
    sunup_value *y = build(g, x, true);
    if (sunup__is_poison(y)) return y;
    sunup_value *d;
    sunup_gradient_from(y, sunup__case_input(g, "dy", x), 1, &y->node->in[0], &d);
    return d;
}

static sunup_value *case_rows(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(7, 5), true);
}
static sunup_value *case_plane(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 5, 4, 11), true);
}
static sunup_value *case_plain(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(2, 3, 1), false);
}
static sunup_value *case_line(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(1, 13, 2), true);
}
static sunup_value *case_grad(sunup_graph *g)
{
    return build_grad(g, SUNUP_SHAPE(3, 5, 2));
}

static const struct op_case cases[] = {
    {"batch_norm:n7c5", case_rows},
    {"batch_norm:n3h5w4c11", case_plane},
    {"batch_norm:n2w3c1:plain", case_plain},
    {"batch_norm:n1w13c2", case_line},
};
static const struct op_case grad_cases[] = {{"batch_norm_grad:n3w5c2", case_grad}};

const struct op sunup__op_batch_norm = {
    .name = "batch_norm",
    .attr_bytes = sizeof(struct channel_norm_attr),
    .n_out = 4,
    .infer = infer,
    .grad = grad,
    .cost = sunup__channel_norm_cost,
    .workspace = sunup__channel_norm_workspace,
    .run = sunup__channel_norm_run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_batch_norm_grad = {
    .name = "batch_norm_grad",
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
