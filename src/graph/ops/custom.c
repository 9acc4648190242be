/* custom.c - an op of the user's own: two function pointers, forward and backward, inside a graph.
 *
 * Owes: what sunup_custom promises, one call at a time, dense buffers; its gradient is the node
 * custom_grad, with an output for each floating operand, which calls backward with NULL where
 * nobody reads one.
 * Leaves: the meaning, and all checks of numbers, to the user. There is no second derivative.
 */
#include "graph/ops/op.h"

#include <string.h>

struct custom_attr {
    sunup_custom custom;
    sunup_dtype dtype;
    sunup_shape shape;
};

static sunup_status infer(struct node *n)
{
    const struct custom_attr *a = n->attr;
    char text[SHAPE_TEXT];
    for (int i = 0; i < n->n_in; i++)
        if (!n->in[i])
            return sunup__op_error(n, SUNUP_E_ARGUMENT, "operand %d is missing (NULL)", i);
    if (!a->custom.forward) return sunup__op_error(n, SUNUP_E_ARGUMENT, "forward is NULL");
    if (a->shape.n < 0 || a->shape.n > SUNUP_MAX_DIMS || !sunup__shape_ok(&a->shape))
        return sunup__op_error(n, SUNUP_E_SHAPE, "its shape %s is outside what fits",
                               a->shape.n < 0 || a->shape.n > SUNUP_MAX_DIMS
                                   ? "of that many axes"
                                   : sunup__shape_text(&a->shape, text));
    sunup__set_out(n, 0, a->dtype, a->shape);
    return SUNUP_OK;
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    const struct custom_attr *a = n->attr;
    a->custom.forward(a->custom.arg, (const void *const *)e->in, e->out[0]);
    return SUNUP_OK;
}

sunup_value *sunup_custom_op(const sunup_custom *custom, int n, sunup_value *const *x,
                             sunup_dtype dtype, sunup_shape shape)
{
    const struct custom_attr attr = {*custom, dtype, shape};
    sunup_graph *g = sunup__graph_of(n, x);
    return sunup__node(g, &sunup__op_custom, n, x, &attr, 0, g && g->layer ? NULL : custom->name);
}

/* ---------------------------------------------------------------- its gradient --- */

/* Operands x.. y dy. Outputs: the gradients of the floating x, in order. */
static sunup_status grad_infer(struct node *n)
{
    int o = 0;
    for (int i = 0; i < n->n_in - 2; i++)
        if (sunup__is_float(n->in[i]->dtype))
            sunup__set_out(n, o++, n->in[i]->dtype, n->in[i]->shape);
    return SUNUP_OK;
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct custom_attr *a = n->attr;
    sunup_value **in = sunup__arena_alloc(&n->graph->arena, (size_t)(n->n_in + 2) * sizeof *in);
    if (!a->custom.backward || !in) {
        sunup__op_error(n, in ? SUNUP_E_UNSUPPORTED : SUNUP_E_MEMORY,
                        in ? "its gradient was asked for but backward is NULL" : "no memory");
        return;
    }
    int floats = 0;
    for (int i = 0; i < n->n_in; i++) {
        in[i] = n->in[i];
        floats += sunup__is_float(n->in[i]->dtype);
    }
    in[n->n_in] = n->out[0];
    in[n->n_in + 1] = dy[0];
    sunup_value *first =
        sunup__node(n->graph, &sunup__op_custom_grad, n->n_in + 2, in, a, floats, NULL);
    for (int i = 0, o = 0; i < n->n_in; i++) {
        if (!sunup__is_float(n->in[i]->dtype)) continue;
        if (want[i]) dx[i] = sunup__output(first, o);
        o++;
    }
}

/* Room for dx[], and a place to write for operands that a backward does not ask about: none, NULL
 * says so. */
static int64_t grad_workspace(const struct node *n, int threads)
{
    (void)threads;
    return n->n_in * (int64_t)sizeof(void *);
}

static sunup_status grad_run(const struct node *n, const struct exec *e)
{
    const struct custom_attr *a = n->attr;
    const int n_x = n->n_in - 2;
    void **dx = e->workspace;
    for (int i = 0, o = 0; i < n_x; i++)
        dx[i] = sunup__is_float(n->in[i]->dtype) ? e->out[o++] : NULL;
    a->custom.backward(a->custom.arg, (const void *const *)e->in, e->in[n_x], e->in[n_x + 1], dx);
    return SUNUP_OK;
}

/* ---------------------------------------------------------------------- cases --- */

/* y[i] = scale a[i]^2 b[i] for elements of type real and 5 of them; the index is only carried
 * along. */
enum { EXAMPLE = 5 };
static const double example_scale = 1.5;

#define EXAMPLE_OF(real)                                                                           \
    static void forward_##real(void *arg, const void *const *x, void *y)                           \
    {                                                                                              \
        const real *a = x[0], *b = x[2], scale = (real) * (const double *)arg;                     \
        for (int i = 0; i < EXAMPLE; i++) ((real *)y)[i] = scale * a[i] * a[i] * b[i];             \
    }                                                                                              \
    static void backward_##real(void *arg, const void *const *x, const void *y, const void *dy,    \
                                void *const *dx)                                                   \
    {                                                                                              \
        const real *a = x[0], *b = x[2], *d = dy, scale = (real) * (const double *)arg;            \
        real *da = dx[0], *db = dx[2];                                                             \
        (void)y;                                                                                   \
        for (int i = 0; i < EXAMPLE && da; i++) da[i] = scale * 2 * a[i] * b[i] * d[i];            \
        for (int i = 0; i < EXAMPLE && db; i++) db[i] = scale * a[i] * a[i] * d[i];                \
    }
EXAMPLE_OF(float)
EXAMPLE_OF(double)

static sunup_value *example(sunup_graph *g, bool constant_b)
{
    const sunup_dtype dtype = sunup_graph_dtype(g);
    const sunup_shape shape = SUNUP_SHAPE(EXAMPLE);
    const bool f64 = dtype == SUNUP_F64;
    const sunup_custom custom = {"example", f64 ? forward_double : forward_float,
                                 f64 ? backward_double : backward_float, (void *)&example_scale};
    sunup_value *b = sunup_input(g, "b", dtype, shape);
    sunup_value *x[] = {sunup_input(g, "a", dtype, shape),
                        sunup__case_range(g, "index", SUNUP_I32, shape, 0, 9),
                        constant_b ? sunup_compare(b, b, SUNUP_EQ) : b};
    return sunup_custom_op(&custom, 3, x, dtype, shape);
}

static sunup_value *both_wanted(sunup_graph *g)
{
    return example(g, false);
}

static sunup_value *one_wanted(sunup_graph *g)
{
    return example(g, true);
}

static const struct op_case cases[] = {{"custom:both", both_wanted}, {"custom:one", one_wanted}};

const struct op sunup__op_custom = {
    .name = "custom",
    .attr_bytes = sizeof(struct custom_attr),
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_custom_grad = {
    .name = "custom_grad",
    .attr_bytes = sizeof(struct custom_attr),
    .n_out = 1,
    .infer = grad_infer,
    .workspace = grad_workspace,
    .run = grad_run,
};
