/* linear.c - the fully connected layer y = x w + b; the rows of x are all its axes but the last.
 *
 * An op of its own, not matmul + add, so that a device can add the bias while the product is in
 * registers.
 */
#include "graph/ops/matmul.h"
#include "graph/ops/op.h"

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    const sunup_value *x = n->in[0], *w = n->in[1];
    if (x->shape.n < 1 || w->shape.n != 2)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "x %s must be [..., in] and w %s must be [in, out]", TEXT(x),
                               TEXT(w));
    const int64_t in = x->shape.d[x->shape.n - 1], out = w->shape.d[1];
    if (in != w->shape.d[0])
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s has %lld features but w %s takes %lld%s",
                               TEXT(x), (long long)in, TEXT(w), (long long)w->shape.d[0],
                               x->shape.n > 2 &&
                                       sunup__product(&x->shape, 1, x->shape.n) == w->shape.d[0]
                                   ? "; flatten x first"
                                   : "");
    TRY(sunup__vector(n, 2, "b", out, "for each output"));
    sunup_shape y = x->shape;
    y.d[y.n - 1] = out;
    sunup__set_out(n, 0, x->dtype, y);
    return SUNUP_OK;
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    sunup_value *x = n->in[0], *w = n->in[1];
    const int64_t in = w->shape.d[0], out = w->shape.d[1],
                  rows = sunup__product(&x->shape, 0, x->shape.n - 1);
    if (want[0]) {
        sunup_value *d =
            sunup_matmul(sunup_reshape(dy[0], SUNUP_SHAPE(rows, out)), w, SUNUP_TRANSPOSE_B);
        dx[0] = sunup_reshape(d, x->shape);
    }
    if (want[1])
        dx[1] = sunup_matmul(sunup_reshape(x, SUNUP_SHAPE(rows, in)),
                             sunup_reshape(dy[0], SUNUP_SHAPE(rows, out)), SUNUP_TRANSPOSE_A);
    if (n->n_in > 2 && n->in[2] && want[2]) dx[2] = sunup__sum_to_last(dy[0]);
}

static struct matmul_attr as_matmul(const struct node *n)
{
    const sunup_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
    return (struct matmul_attr){
        .batch = 1, .m = sunup__product(x, 0, x->n - 1), .n = w->d[1], .k = w->d[0]};
}

static struct cost cost(const struct node *n)
{
    const struct matmul_attr t = as_matmul(n);
    return (struct cost){2.0 * (double)t.m * (double)t.n * (double)t.k, sunup__moved_bytes(n)};
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    const struct matmul_attr t = as_matmul(n);
    sunup__matmul_run(e, n->out[0]->dtype, &t, n->n_in > 2 ? e->in[2] : NULL);
    return SUNUP_OK;
}

sunup_value *sunup_linear(sunup_value *x, sunup_value *w, sunup_value *b)
{
    sunup_value *const in[] = {x, w, b};
    return sunup__node(sunup__graph_of(3, in), &sunup__op_linear, 3, in, NULL, 0, NULL);
}

static sunup_value *linear_case(sunup_graph *g, sunup_shape x, int64_t in, int64_t out, bool bias)
{
    return sunup_linear(sunup__case_input(g, "x", x),
                        sunup__case_input(g, "w", SUNUP_SHAPE(in, out)),
                        bias ? sunup__case_input(g, "b", SUNUP_SHAPE(out)) : NULL);
}
static sunup_value *case_bias(sunup_graph *g)
{
    return linear_case(g, SUNUP_SHAPE(7, 13), 13, 5, true);
}
static sunup_value *case_plain(sunup_graph *g)
{
    return linear_case(g, SUNUP_SHAPE(3, 17), 17, 31, false);
}
static sunup_value *case_vector(sunup_graph *g)
{
    return linear_case(g, SUNUP_SHAPE(5), 5, 1, true);
}
static sunup_value *case_deep(sunup_graph *g)
{
    return linear_case(g, SUNUP_SHAPE(2, 3, 5, 4), 4, 3, true);
}

static const struct op_case cases[] = {
    {"linear:n7i13o5:bias", case_bias},
    {"linear:n3i17o31", case_plain},
    {"linear:i5o1:bias:no-rows-axis", case_vector},
    {"linear:n2x3x5i4o3:bias", case_deep},
};

const struct op sunup__op_linear = {
    .name = "linear",
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
