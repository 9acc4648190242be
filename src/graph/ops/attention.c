/* attention.c - softmax(scale q k' + bias) v for each head: shapes, gradients, cost.
 *
 * Owes: sunup_attention and its gradient as one op each. Leaves: the work to attention_run.c. A
 * second derivative is built from elementary ops, scores and all.
 */
#include "graph/ops/attention.h"

#include <math.h>

#include "graph/ops/op.h"

sunup_attention_options sunup_attention_defaults(void)
{
    return (sunup_attention_options){.size = sizeof(sunup_attention_options), .heads = 1};
}

/* --- shapes --- */

static sunup_status check_bias(const struct node *n, struct attention_attr *a)
{
    const sunup_value *b = n->in[3];
    a->bias_n = a->bias_heads = 0;
    if (!b) return SUNUP_OK;
    const int64_t *d = b->shape.d;
    if (b->shape.n != 4 || (d[0] != 1 && d[0] != a->n) || (d[1] != 1 && d[1] != a->heads) ||
        d[2] != a->queries || d[3] != a->keys)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "bias %s must be [%lld or 1, %lld or 1, %lld, %lld]: samples, "
                               "heads, queries, keys",
                               TEXT(b), (long long)a->n, (long long)a->heads, (long long)a->queries,
                               (long long)a->keys);
    a->bias_heads = d[1] == 1 ? 0 : d[2] * d[3];
    a->bias_n = d[0] == 1 ? 0 : d[1] * d[2] * d[3];
    return SUNUP_OK;
}

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 3));
    struct attention_attr *a = n->attr;
    const sunup_value *q = n->in[0], *k = n->in[1], *v = n->in[2];
    if (q->shape.n != 3 || k->shape.n != 3 || v->shape.n != 3)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "q %s, k %s and v %s must be [N, length, channels]", TEXT(q),
                               TEXT(k), TEXT(v));
    *a = (struct attention_attr){.heads = a->heads,
                                 .causal = a->causal,
                                 .scale = a->scale,
                                 .n = q->shape.d[0],
                                 .queries = q->shape.d[1],
                                 .keys = k->shape.d[1],
                                 .c = q->shape.d[2],
                                 .v = v->shape.d[2]};
    if (k->shape.d[0] != a->n || v->shape.d[0] != a->n || v->shape.d[1] != a->keys ||
        k->shape.d[2] != a->c)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "q %s, k %s and v %s do not fit: the samples of all, the channels "
                               "of q and k, and the lengths of k and v must agree",
                               TEXT(q), TEXT(k), TEXT(v));
    if (a->heads < 1 || a->c < 1 || a->v < 1 || a->c % a->heads != 0 || a->v % a->heads != 0)
        return sunup__op_error(n, SUNUP_E_ARGUMENT,
                               "%lld heads must divide the channels of q and k (%lld) and of v "
                               "(%lld)",
                               (long long)a->heads, (long long)a->c, (long long)a->v);
    if (!isfinite(a->scale))
        return sunup__op_error(n, SUNUP_E_ARGUMENT, "scale %g must be finite", a->scale);
    if (a->scale == 0) a->scale = 1 / sqrt((double)(a->c / a->heads));
    TRY(check_bias(n, a));
    sunup__set_out(n, 0, q->dtype, SUNUP_SHAPE(a->n, a->queries, a->v));
    sunup__set_out(n, 1, q->dtype, SUNUP_SHAPE(a->n, a->heads, a->queries));
    return SUNUP_OK;
}

static sunup_status infer_grad(struct node *n)
{
    for (int i = 0; i < 3; i++) sunup__set_out(n, i, n->in[i]->dtype, n->in[i]->shape);
    sunup__set_out(n, 3, n->in[0]->dtype, n->in[3] ? n->in[3]->shape : SUNUP_SHAPE(0));
    return SUNUP_OK;
}

/* --- gradients --- */

static sunup_value *back(struct node *n, sunup_value *const *in, sunup_value *const *saved,
                         sunup_value *dy)
{
    sunup_value *const operands[] = {in[0], in[1], in[2], in[3], saved[0], saved[1], dy};
    return sunup__node(n->graph, &sunup__op_attention_grad, 7, operands, n->attr, 0, NULL);
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (!dy[0]) return; /* the second output is for the gradient alone */
    sunup_value *d = back(n, n->in, n->out, dy[0]);
    for (int i = 0; i < 4; i++)
        if (n->in[i] && want[i]) dx[i] = sunup__output(d, i);
}

/* [N, L, heads * d] -> [N, heads, L, d]. */
static sunup_value *by_head(sunup_value *x, int64_t heads)
{
    const int64_t *d = x->shape.d;
    return sunup_permute(sunup_reshape(x, SUNUP_SHAPE(d[0], d[1], heads, d[2] / heads)),
                         (const int[]){0, 2, 1, 3});
}

/* 0 where a query sees a key, else far below every score: [queries][keys]. */
static sunup_value *causal_bias(struct node *n)
{
    const struct attention_attr *a = n->attr;
    sunup_graph *g = n->graph;
    double *hide = sunup__arena_alloc(&g->arena, (size_t)(a->queries * a->keys) * sizeof *hide);
    if (!hide) return sunup__graph_error(g, SUNUP_E_MEMORY, "attention: no memory for a mask");
    for (int64_t i = 0; i < a->queries; i++)
        for (int64_t j = 0; j < a->keys; j++)
            hide[i * a->keys + j] = j <= i + a->keys - a->queries ? 0 : -1e30;
    return sunup_cast(sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(a->queries, a->keys), hide),
                      n->in[0]->dtype);
}

static sunup_value *elementary(struct node *n, sunup_value *const *in)
{
    const struct attention_attr *a = n->attr;
    sunup_value *s =
        sunup_matmul(by_head(in[0], a->heads), by_head(in[1], a->heads), SUNUP_TRANSPOSE_B);
    s = sunup_scale(s, a->scale, 0);
    if (in[3]) s = sunup_add(s, in[3]);
    if (a->causal) s = sunup_add(s, causal_bias(n));
    sunup_value *y = sunup_matmul(sunup_softmax(s, -1), by_head(in[2], a->heads), 0);
    return sunup_reshape(sunup_permute(y, (const int[]){0, 2, 1, 3}),
                         SUNUP_SHAPE(a->n, a->queries, a->v));
}

/* Operands 0 to 3 and 6 (dy) are differentiated; 4 and 5 are functions of them. */
static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    static const int at[] = {0, 1, 2, 3, 6};
    sunup_value *in[7] = {NULL}, *wrt[5], *first[5];
    int back_to[5], n_wrt = 0;
    for (int i = 0; i < 5; i++) {
        if (!n->in[at[i]]) continue;
        in[at[i]] = wrt[n_wrt] = sunup__alias(n->in[at[i]]);
        back_to[n_wrt++] = at[i];
    }
    sunup_value *y = elementary(n, in);
    for (int o = 0; o < 4; o++) {
        if (!g[o] || !in[o]) continue;
        sunup_value *d;
        sunup_gradient_from(y, in[6], 1, &in[o], &d);
        sunup_gradient_from(d, g[o], n_wrt, wrt, first);
        for (int i = 0; i < n_wrt; i++)
            if (want[back_to[i]]) dx[back_to[i]] = sunup__plus(dx[back_to[i]], first[i]);
    }
}

/* An exponential counts as 10; a causal mask halves what is computed. */
static double flops(const struct attention_attr *a, double products, double each)
{
    const double scores = (double)a->n * (double)a->queries * (double)a->keys;
    return (a->causal ? 0.5 : 1) * scores * (products + each * (double)a->heads);
}

static struct cost cost(const struct node *n)
{
    const struct attention_attr *a = n->attr;
    return (struct cost){flops(a, 2.0 * (double)(a->c + a->v), 14), sunup__moved_bytes(n)};
}

static struct cost cost_grad(const struct node *n)
{
    const struct attention_attr *a = n->attr;
    return (struct cost){flops(a, 6.0 * (double)a->c + 4.0 * (double)a->v, 16),
                         sunup__moved_bytes(n)};
}

/* --- public --- */

sunup_value *sunup_attention(sunup_value *q, sunup_value *k, sunup_value *v, sunup_value *bias,
                             const sunup_attention_options *options)
{
    sunup_value *const in[] = {q, k, v, bias};
    sunup_graph *g = sunup__graph_of(4, in);
    const sunup_attention_options o = options ? *options : sunup_attention_defaults();
    if (g && o.size != sizeof o)
        return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                  "attention: its options do not come from "
                                  "sunup_attention_defaults of this version");
    const struct attention_attr attr = {.heads = o.heads, .causal = o.causal, .scale = o.scale};
    return sunup__node(g, &sunup__op_attention, 4, in, &attr, 0, NULL);
}

/* --- cases --- */

struct made {
    int64_t n, queries, keys, c, v, heads, bias_n, bias_heads;
    bool causal;
};

static sunup_value *build(sunup_graph *g, const struct made *m)
{
    sunup_attention_options o = sunup_attention_defaults();
    o.heads = m->heads;
    o.causal = m->causal;
    sunup_value *bias = NULL;
    if (m->bias_n)
        bias = sunup__case_input(g, "bias",
                                 SUNUP_SHAPE(m->bias_n, m->bias_heads, m->queries, m->keys));
    return sunup_attention(sunup__case_input(g, "q", SUNUP_SHAPE(m->n, m->queries, m->c)),
                           sunup__case_input(g, "k", SUNUP_SHAPE(m->n, m->keys, m->c)),
                           sunup__case_input(g, "v", SUNUP_SHAPE(m->n, m->keys, m->v)), bias, &o);
}

#define CASE(ID, ...)                                                                              \
    static sunup_value *ID(sunup_graph *g)                                                         \
    {                                                                                              \
        return build(g, &(struct made){__VA_ARGS__});                                              \
    }
CASE(plain, 2, 5, 7, 6, 4, 2, 0, 0, false)
CASE(one, 1, 1, 1, 1, 1, 1, 0, 0, false)
CASE(causal, 1, 70, 70, 4, 6, 2, 0, 0, true)
CASE(long_keys, 1, 3, 515, 2, 2, 1, 0, 0, false)
CASE(causal_more_keys, 1, 3, 300, 2, 2, 1, 0, 0, true)
CASE(causal_fewer_keys, 1, 7, 4, 2, 2, 1, 0, 0, true)
CASE(biased, 2, 3, 5, 4, 6, 2, 2, 2, false)
CASE(bias_shared, 3, 4, 5, 4, 4, 2, 1, 1, false)
CASE(bias_of_heads, 2, 3, 4, 4, 4, 2, 1, 2, true)

static sunup_value *second(sunup_graph *g)
{
    sunup_value *y = build(g, &(struct made){1, 3, 4, 4, 2, 2, 1, 2, true});
    if (sunup__is_poison(y)) return y;
    return back(y->node, y->node->in, y->node->out,
                sunup__case_input(g, "dy", SUNUP_SHAPE(1, 3, 2)));
}

static const struct op_case cases[] = {
    {"attention:n2q5k7c6v4:heads2", plain},
    {"attention:n1q1k1c1v1", one},
    {"attention:n1q70k70c4v6:heads2:causal", causal},
    {"attention:n1q3k515c2v2", long_keys},
    {"attention:n1q3k300c2v2:causal", causal_more_keys},
    {"attention:n1q7k4c2v2:causal", causal_fewer_keys},
    {"attention:n2q3k5c4v6:heads2:bias", biased},
    {"attention:n3q4k5c4v4:heads2:bias_shared", bias_shared},
    {"attention:n2q3k4c4v4:heads2:causal:bias_of_heads", bias_of_heads},
};
static const struct op_case grad_cases[] = {{"attention_grad:n1q3k4c4v2:heads2", second}};

const struct op sunup__op_attention = {
    .name = "attention",
    .attr_bytes = sizeof(struct attention_attr),
    .n_out = 2,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .workspace = sunup__attention_workspace,
    .run = sunup__attention_run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_attention_grad = {
    .name = "attention_grad",
    .attr_bytes = sizeof(struct attention_attr),
    .n_out = 4,
    .infer = infer_grad,
    .grad = grad_grad,
    .cost = cost_grad,
    .workspace = sunup__attention_grad_workspace,
    .run = sunup__attention_grad_run,
    .cases = grad_cases,
    .n_cases = sizeof grad_cases / sizeof *grad_cases,
};
