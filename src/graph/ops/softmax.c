/* softmax.c - softmax and its logarithm over one axis, and their gradients, of any order:
 *
 *   y = softmax(x):      dx = y (dy - sum(y dy)), linear and symmetric in dy;
 *                        where g arrives at dx, it adds g (dy - sum(y dy)) - dy sum(g y) to y
 *   y = log_softmax(x):  dx = dy - exp(y) sum(dy);
 *                        where g arrives at dx, it adds g - sum(g exp(y)) to dy and
 *                        -g exp(y) sum(dy) to y
 *
 * The leaves run along the last axis; another one is brought there by a permutation.
 */
#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384 };

/* --- shapes and gradients --- */

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    if (n->in[0]->shape.n < 1)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x is a scalar; it needs an axis");
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    return SUNUP_OK;
}

static sunup_value *make(const struct op *op, sunup_value *a, sunup_value *b)
{
    sunup_value *const in[] = {a, b};
    return sunup__node(sunup__graph_of(2, in), op, b ? 2 : 1, in, NULL, 0, NULL);
}

static sunup_value *sum_last(sunup_value *x)
{
    return sunup_sum(x, 1, (const int[]){-1}, true);
}

static void grad_softmax(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = make(&sunup__op_softmax_grad, n->out[0], dy[0]);
}

static void grad_softmax_grad(struct node *n, sunup_value *const *g, const bool *want,
                              sunup_value **dx)
{
    sunup_value *y = n->in[0], *dy = n->in[1];
    if (want[0])
        dx[0] = sunup_sub(sunup_mul(g[0], sunup_sub(dy, sum_last(sunup_mul(y, dy)))),
                          sunup_mul(dy, sum_last(sunup_mul(g[0], y))));
    if (want[1]) dx[1] = make(&sunup__op_softmax_grad, y, g[0]);
}

static void grad_log_softmax(struct node *n, sunup_value *const *dy, const bool *want,
                             sunup_value **dx)
{
    if (want[0]) dx[0] = make(&sunup__op_log_softmax_grad, n->out[0], dy[0]);
}

static void grad_log_softmax_grad(struct node *n, sunup_value *const *g, const bool *want,
                                  sunup_value **dx)
{
    sunup_value *weighted = sunup_mul(g[0], sunup_exp(n->in[0]));
    if (want[0]) dx[0] = sunup_neg(sunup_mul(weighted, sum_last(n->in[1])));
    if (want[1]) dx[1] = sunup_sub(g[0], sum_last(weighted));
}

/* Maximum, difference, exponential, sum, quotient; an exponential counts as 10. */
static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 14);
}

static struct cost cost_grad(const struct node *n)
{
    return sunup__cost_each(n, 4);
}

/* --- running --- */

struct rows {
    const struct exec *e;
    sunup_dtype dtype;
    int64_t n;
    struct pieces pieces;
    bool stream; /* the result outgrows the caches */
};

static sunup_status run_rows(const struct node *n, const struct exec *e, parallel_fn task)
{
    const sunup_shape *s = &n->out[0]->shape;
    struct rows r = {.e = e, .dtype = n->out[0]->dtype, .n = s->d[s->n - 1]};
    r.pieces = sunup__pieces(sunup__product(s, 0, s->n - 1), r.n, PIECE_ELEMENTS, 0);
    r.stream = sunup__outgrows_caches(sunup__elements(s) * sunup_dtype_bytes(r.dtype));
    sunup__parallel(e->threads, r.pieces.count, task, &r);
    return SUNUP_OK;
}

/* run_<leaf>: piece i of the rows of operand 0 (and 1) through the leaf. */
#define RUN(LEAF, ...)                                                                             \
    static void LEAF##_piece(void *arg, int64_t i)                                                 \
    {                                                                                              \
        const struct rows *r = arg;                                                                \
        const int64_t rows = piece_length(&r->pieces, i),                                          \
                      first = piece_from(&r->pieces, i) * r->n;                                    \
        CALL(r->e, r->dtype, LEAF, rows, r->n, __VA_ARGS__,                                        \
             element_at(r->e->out[0], r->dtype, first));                                           \
    }                                                                                              \
    static sunup_status run_##LEAF(const struct node *n, const struct exec *e)                     \
    {                                                                                              \
        return run_rows(n, e, LEAF##_piece);                                                       \
    }
#define OPERAND(K) element_at(r->e->in[K], r->dtype, first)
RUN(softmax, OPERAND(0))
RUN(softmax_grad, OPERAND(0), OPERAND(1), r->stream)
RUN(log_softmax, OPERAND(0))
RUN(log_softmax_grad, OPERAND(0), OPERAND(1))

/* --- public --- */

static sunup_value *along(const struct op *op, sunup_value *x, int axis)
{
    if (!x || sunup__is_poison(x)) return x;
    const int last = x->shape.n - 1, a = sunup__axis(axis, x->shape.n);
    if (x->shape.n > 0 && a < 0)
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE, "%s: x %s ('%s') has no axis %d",
                                  op->name, TEXT(x), x->name, axis);
    if (a == last) return make(op, x, NULL);
    int order[SUNUP_MAX_DIMS];
    for (int i = 0; i <= last; ++i) order[i] = i == a ? last : i == last ? a : i;
    return sunup_permute(make(op, sunup_permute(x, order), NULL), order);
}

sunup_value *sunup_softmax(sunup_value *x, int axis)
{
    return along(&sunup__op_softmax, x, axis);
}

sunup_value *sunup_log_softmax(sunup_value *x, int axis)
{
    return along(&sunup__op_log_softmax, x, axis);
}

/* --- cases --- */

#define CASE(ID, BUILD)                                                                            \
    static sunup_value *ID(sunup_graph *g)                                                         \
    {                                                                                              \
        return BUILD;                                                                              \
    }
#define X(...)  sunup__case_input(g, "x", SUNUP_SHAPE(__VA_ARGS__))
#define DY(...) sunup__case_input(g, "dy", SUNUP_SHAPE(__VA_ARGS__))
CASE(softmax_rows, sunup_softmax(X(5, 17), -1))
CASE(softmax_first, sunup_softmax(X(3, 2, 5), 0))
CASE(softmax_one, sunup_softmax(X(3, 1), 1))
CASE(softmax_vector, sunup_softmax(X(7), 0))
CASE(softmax_back, make(&sunup__op_softmax_grad, sunup_softmax(X(3, 5), 1), DY(3, 5)))
CASE(log_rows, sunup_log_softmax(X(5, 17), 1))
CASE(log_middle, sunup_log_softmax(X(3, 4, 5), 1))
CASE(log_back, make(&sunup__op_log_softmax_grad, sunup_log_softmax(X(3, 5), 1), DY(3, 5)))

static const struct op_case softmax_cases[] = {
    {"softmax:n5c17", softmax_rows},
    {"softmax:3x2x5:axis0", softmax_first},
    {"softmax:n3c1", softmax_one},
    {"softmax:c7", softmax_vector},
};
static const struct op_case softmax_grad_cases[] = {{"softmax_grad:n3c5", softmax_back}};
static const struct op_case log_softmax_cases[] = {
    {"log_softmax:n5c17", log_rows},
    {"log_softmax:3x4x5:axis1", log_middle},
};
static const struct op_case log_softmax_grad_cases[] = {{"log_softmax_grad:n3c5", log_back}};

#define SOFTMAX_OP(NAME, COST)                                                                     \
    const struct op sunup__op_##NAME = {                                                           \
        .name = #NAME,                                                                             \
        .n_out = 1,                                                                                \
        .infer = infer,                                                                            \
        .grad = grad_##NAME,                                                                       \
        .cost = COST,                                                                              \
        .run = run_##NAME,                                                                         \
        .cases = NAME##_cases,                                                                     \
        .n_cases = sizeof NAME##_cases / sizeof *NAME##_cases,                                     \
    }
SOFTMAX_OP(softmax, cost);
SOFTMAX_OP(softmax_grad, cost_grad);
SOFTMAX_OP(log_softmax, cost);
SOFTMAX_OP(log_softmax_grad, cost_grad);
