/* reduce.c - sum, mean, max and argmax over axes, and their gradients.
 *
 * Owes: an op reduces neighbouring axes [from, to) of x, which keep their place with length 1; as
 * the leaf sees it, x is [outer][r][inner]. The public functions take any axes: one node for each
 * run of neighbours, the innermost run first (so that among equal maxima the first in memory order
 * wins), then a view that drops the axes.
 * Leaves: the sums of r numbers and their rounding to the reduce leaf.
 *
 * Few outer and long r (a bias gradient, a loss) are cut into pieces of r, at most 64, whose
 * results are reduced again. The pieces follow from the sizes alone.
 */
#include "graph/ops/axes.h"
#include "graph/ops/op.h"

#include <string.h>

enum { WORK = 32768, MOST_PIECES = 64, ENOUGH_TASKS = 8 };

struct geometry {
    int64_t outer, r, inner;
    struct pieces rows; /* of outer                                         */
    struct pieces cut;  /* of r, for each outer; count 1: r is not cut      */
};

static struct geometry geometry_of(const struct node *n)
{
    const struct reduce_attr *a = n->attr;
    const sunup_shape *x = &n->in[0]->shape;
    struct geometry g = {sunup__product(x, 0, a->from),
                         sunup__product(x, a->from, a->to),
                         sunup__product(x, a->to, x->n),
                         {0, 0, 0},
                         {0, 0, 0}};
    g.rows = sunup__pieces(g.outer, g.r * g.inner, WORK, 0);
    const bool cut = g.rows.count < ENOUGH_TASKS && g.inner > 0 && g.r > 0;
    g.cut = cut ? sunup__pieces(g.r, g.inner, WORK, MOST_PIECES) : (struct pieces){g.r, g.r, 1};
    return g;
}

/* Set x's element type and shape with the axes [from, to) at length 1. */
static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    const struct reduce_attr *a = n->attr;
    sunup_shape y = n->in[0]->shape;
    for (int i = a->from; i < a->to; i++) y.d[i] = 1;
    sunup__set_out(n, 0, n->in[0]->dtype, y);
    return SUNUP_OK;
}

static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 1);
}

/* ------------------------------------------------------------------ sum, max --- */

static int64_t workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct geometry g = geometry_of(n);
    if (g.cut.count <= 1) return 0;
    return g.outer * g.cut.count * g.inner * sunup_dtype_bytes(n->out[0]->dtype);
}

struct reduction {
    struct geometry g;
    const struct exec *e;
    sunup_dtype dtype;
    int kind;
};

static void reduce_rows(void *arg, int64_t i)
{
    const struct reduction *t = arg;
    const struct geometry *g = &t->g;
    const int64_t from = piece_from(&g->rows, i);
    CALL(t->e, t->dtype, reduce, t->kind, piece_length(&g->rows, i), g->r, g->inner,
         element_at(t->e->in[0], t->dtype, from * g->r * g->inner),
         element_at(t->e->out[0], t->dtype, from * g->inner));
}

/* Piece i % count of outer i / count, into the workspace [outer][count][inner]. */
static void reduce_piece(void *arg, int64_t i)
{
    const struct reduction *t = arg;
    const struct geometry *g = &t->g;
    const int64_t outer = i / g->cut.count, piece = i % g->cut.count;
    const int64_t row = outer * g->r + piece_from(&g->cut, piece);
    CALL(t->e, t->dtype, reduce, t->kind, 1, piece_length(&g->cut, piece), g->inner,
         element_at(t->e->in[0], t->dtype, row * g->inner),
         element_at(t->e->workspace, t->dtype, i * g->inner));
}

static sunup_status run_kind(const struct node *n, const struct exec *e, int kind)
{
    struct reduction t = {geometry_of(n), e, n->out[0]->dtype, kind};
    const struct geometry *g = &t.g;
    if (g->cut.count > 1) {
        sunup__parallel(e->threads, g->outer * g->cut.count, reduce_piece, &t);
        CALL(e, t.dtype, reduce, kind, g->outer, g->cut.count, g->inner, e->workspace, e->out[0]);
    } else {
        sunup__parallel(e->threads, g->rows.count, reduce_rows, &t);
    }
    return SUNUP_OK;
}

static sunup_status run_sum(const struct node *n, const struct exec *e)
{
    return run_kind(n, e, REDUCE_SUM);
}

static sunup_status run_max(const struct node *n, const struct exec *e)
{
    return run_kind(n, e, REDUCE_MAX);
}

static void sum_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_broadcast(dy[0], n->in[0]->shape);
}

static sunup_status max_infer(struct node *n)
{
    TRY(infer(n));
    const struct reduce_attr *a = n->attr;
    if (sunup__product(&n->in[0]->shape, a->from, a->to) == 0)
        return sunup__op_error(n, SUNUP_E_SHAPE, "nothing has no maximum: x is %s", TEXT(n->in[0]));
    return SUNUP_OK;
}

static sunup_value *max_grad_node(sunup_value *x, sunup_value *dy, const struct reduce_attr *a)
{
    sunup_value *in[2] = {x, dy};
    return sunup__node(x->node->graph, &sunup__op_max_grad, 2, in, a, 0, NULL);
}

static void max_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = max_grad_node(n->in[0], dy[0], n->attr);
}

/* ------------------------------------------------------- the gradient of max --- */

static sunup_status max_grad_infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    return SUNUP_OK;
}

/* y is dy where x is the maximum: linear in dy, flat in x. The maximum's place is where the
 * gradient of ones is 1. */
static void max_grad_grad(struct node *n, sunup_value *const *dy, const bool *want,
                          sunup_value **dx)
{
    if (!want[1]) return;
    sunup_value *x = n->in[0], *d = n->in[1];
    sunup_value *one = sunup_scalar(n->graph, d->dtype, 1);
    sunup_value *place = max_grad_node(x, sunup_broadcast(one, d->shape), n->attr);
    dx[1] = sunup__sum_to(sunup_mul(place, dy[0]), d->shape);
}

static void max_grad_rows(void *arg, int64_t i)
{
    const struct reduction *t = arg;
    const struct geometry *g = &t->g;
    const int64_t from = piece_from(&g->rows, i), x = from * g->r * g->inner;
    CALL(t->e, t->dtype, reduce_max_grad, piece_length(&g->rows, i), g->r, g->inner,
         element_at(t->e->in[0], t->dtype, x), element_at(t->e->in[1], t->dtype, from * g->inner),
         element_at(t->e->out[0], t->dtype, x));
}

static sunup_status run_max_grad(const struct node *n, const struct exec *e)
{
    struct reduction t = {geometry_of(n), e, n->out[0]->dtype, 0};
    sunup__parallel(e->threads, t.g.rows.count, max_grad_rows, &t);
    return SUNUP_OK;
}

/* --------------------------------------------------------------------- argmax --- */

static sunup_status argmax_infer(struct node *n)
{
    TRY(max_infer(n));
    n->out[0]->dtype = SUNUP_I32;
    return SUNUP_OK;
}

static void argmax_rows(void *arg, int64_t i)
{
    const struct reduction *t = arg;
    const struct geometry *g = &t->g;
    const int64_t from = piece_from(&g->rows, i);
    CALL(t->e, t->dtype, argmax, piece_length(&g->rows, i), g->r, g->inner,
         element_at(t->e->in[0], t->dtype, from * g->r * g->inner),
         (int32_t *)t->e->out[0] + from * g->inner);
}

static sunup_status run_argmax(const struct node *n, const struct exec *e)
{
    struct reduction t = {geometry_of(n), e, n->in[0]->dtype, 0};
    sunup__parallel(e->threads, t.g.rows.count, argmax_rows, &t);
    return SUNUP_OK;
}

/* ----------------------------------------------------------- public functions --- */

/* Marks the axes; false: a mistake has been recorded. */
static bool mark_axes(const char *what, sunup_value *x, int n, const int *axes, bool *marked)
{
    for (int i = 0; i < SUNUP_MAX_DIMS; i++) marked[i] = n == 0 && i < x->shape.n;
    for (int i = 0; i < n; i++) {
        const int axis = sunup__axis(axes[i], x->shape.n);
        if (axis < 0 || marked[axis]) {
            sunup__graph_error(x->node->graph, SUNUP_E_SHAPE, "%s of '%s' %s: axis %d is %s", what,
                               x->name, TEXT(x), axes[i], axis < 0 ? "outside" : "named twice");
            return false;
        }
        marked[axis] = true;
    }
    return true;
}

static sunup_shape without(const sunup_shape *x, const bool *marked)
{
    sunup_shape y = {.n = 0};
    for (int i = 0; i < x->n; i++)
        if (!marked[i]) y.d[y.n++] = x->d[i];
    return y;
}

/* A node for each run of marked axes that is longer than 1, innermost first. */
static sunup_value *reduce_runs(const struct op *op, sunup_value *x, const bool *marked)
{
    for (int to = x->shape.n; to > 0;) {
        if (!marked[to - 1]) {
            to--;
            continue;
        }
        int from = to;
        while (from > 0 && marked[from - 1]) from--;
        const struct reduce_attr attr = {from, to};
        if (sunup__product(&x->shape, from, to) != 1)
            x = sunup__node(x->node->graph, op, 1, &x, &attr, 0, NULL);
        if (sunup__is_poison(x)) return x;
        to = from;
    }
    return x;
}

static sunup_value *reduce(const struct op *op, sunup_value *x, int n, const int *axes, bool keep)
{
    if (!x || sunup__is_poison(x)) return x;
    bool marked[SUNUP_MAX_DIMS];
    if (!mark_axes(op->name, x, n, axes, marked)) return x->node->graph->poison;
    const sunup_shape dropped = without(&x->shape, marked);
    sunup_value *y = reduce_runs(op, x, marked);
    return keep || sunup__is_poison(y) ? y : sunup_reshape(y, dropped);
}

sunup_value *sunup_sum(sunup_value *x, int n, const int *axes, bool keep)
{
    return reduce(&sunup__op_sum, x, n, axes, keep);
}

sunup_value *sunup_max(sunup_value *x, int n, const int *axes, bool keep)
{
    return reduce(&sunup__op_max, x, n, axes, keep);
}

sunup_value *sunup_mean(sunup_value *x, int n, const int *axes, bool keep)
{
    sunup_value *sum = sunup_sum(x, n, axes, keep);
    if (!sum || sunup__is_poison(sum)) return sum;
    double count = 1; /* of numbers in each mean, also where some other axis is empty */
    bool marked[SUNUP_MAX_DIMS];
    mark_axes("mean", x, n, axes, marked);
    for (int i = 0; i < x->shape.n; i++)
        if (marked[i]) count *= (double)x->shape.d[i];
    return sunup_scale(sum, 1 / count, 0);
}

sunup_value *sunup_argmax(sunup_value *x, int axis)
{
    if (!x || sunup__is_poison(x)) return x;
    bool marked[SUNUP_MAX_DIMS];
    if (!mark_axes("argmax", x, 1, &axis, marked)) return x->node->graph->poison;
    const int at = sunup__axis(axis, x->shape.n);
    const struct reduce_attr attr = {at, at + 1};
    sunup_value *y = sunup__node(x->node->graph, &sunup__op_argmax, 1, &x, &attr, 0, NULL);
    return sunup__is_poison(y) ? y : sunup_reshape(y, without(&x->shape, marked));
}

sunup_value *sunup__sum_to(sunup_value *x, sunup_shape shape)
{
    if (!x || sunup__is_poison(x) || sunup__same_shape(&x->shape, &shape)) return x;
    int axes[SUNUP_MAX_DIMS], n = 0;
    const int ahead = x->shape.n - shape.n;
    for (int i = 0; i < x->shape.n; i++)
        if (x->shape.d[i] != (i < ahead ? 1 : shape.d[i - ahead])) axes[n++] = i;
    if (n > 0) x = sunup_sum(x, n, axes, true);
    return sunup_reshape(x, shape);
}

/* ---------------------------------------------------------------------- cases --- */

static sunup_value *operand(sunup_graph *g, sunup_shape shape)
{
    return sunup_input(g, "x", sunup_graph_dtype(g), shape);
}

#define REDUCE_CASE(name, op, shape, n, ...)                                                       \
    static sunup_value *name(sunup_graph *g)                                                       \
    {                                                                                              \
        return sunup_##op(operand(g, shape), n, (const int[]){__VA_ARGS__}, false);                \
    }
REDUCE_CASE(sum_last, sum, SUNUP_SHAPE(3, 5, 7), 1, -1)
REDUCE_CASE(sum_middle, sum, SUNUP_SHAPE(3, 5, 7), 1, 1)
REDUCE_CASE(sum_ends, sum, SUNUP_SHAPE(3, 1, 5, 7), 2, 0, -1)
REDUCE_CASE(sum_all, sum, SUNUP_SHAPE(13, 11), 0, 0)
REDUCE_CASE(sum_empty, sum, SUNUP_SHAPE(0, 3), 1, 0)
REDUCE_CASE(sum_long, sum, SUNUP_SHAPE(70001), 0, 0)
REDUCE_CASE(sum_tall, sum, SUNUP_SHAPE(2, 20011, 3), 1, 1)
REDUCE_CASE(sum_rows, sum, SUNUP_SHAPE(40009, 2), 1, 1)
REDUCE_CASE(mean_ends, mean, SUNUP_SHAPE(3, 1, 5, 7), 2, 0, -1)
REDUCE_CASE(max_last, max, SUNUP_SHAPE(3, 5, 7), 1, -1)
REDUCE_CASE(max_ends, max, SUNUP_SHAPE(3, 1, 5, 7), 2, 0, -1)
REDUCE_CASE(max_one, max, SUNUP_SHAPE(1), 0, 0)

/* Of whole numbers: among so many others, the two largest would be too close for differences. */
static sunup_value *max_tall(sunup_graph *g)
{
    sunup_value *x = sunup__case_range(g, "x", SUNUP_I32, SUNUP_SHAPE(2, 20011, 3), -9999, 9999);
    return sunup_max(sunup_cast(x, sunup_graph_dtype(g)), 1, (const int[]){1}, false);
}

static sunup_value *max_grad_middle(sunup_graph *g)
{
    const struct reduce_attr attr = {1, 2};
    sunup_value *dy = sunup_input(g, "dy", sunup_graph_dtype(g), SUNUP_SHAPE(3, 1, 7));
    return max_grad_node(operand(g, SUNUP_SHAPE(3, 5, 7)), dy, &attr);
}

static sunup_value *argmax_first(sunup_graph *g)
{
    return sunup_argmax(operand(g, SUNUP_SHAPE(11, 3)), 0);
}

static sunup_value *argmax_last(sunup_graph *g)
{
    return sunup_argmax(operand(g, SUNUP_SHAPE(30011, 3)), -1);
}

static const struct op_case sum_cases[] = {
    {"sum:3x5x7:2", sum_last},     {"sum:3x5x7:1", sum_middle}, {"sum:3x1x5x7:0,3", sum_ends},
    {"sum:13x11:all", sum_all},    {"sum:0x3:0", sum_empty},    {"sum:70001:all", sum_long},
    {"sum:2x20011x3:1", sum_tall}, {"sum:40009x2:1", sum_rows}, {"sum:mean:3x1x5x7:0,3", mean_ends},
};
static const struct op_case max_cases[] = {
    {"max:3x5x7:2", max_last},
    {"max:3x1x5x7:0,3", max_ends},
    {"max:1:all", max_one},
    {"max:2x20011x3:1", max_tall},
};
static const struct op_case max_grad_cases[] = {{"max_grad:3x5x7:1", max_grad_middle}};
static const struct op_case argmax_cases[] = {
    {"argmax:11x3:0", argmax_first},
    {"argmax:30011x3:1", argmax_last},
};

#define REDUCE_OP(word, infer_, grad_, workspace_)                                                 \
    const struct op sunup__op_##word = {                                                           \
        .name = #word,                                                                             \
        .attr_bytes = sizeof(struct reduce_attr),                                                  \
        .n_out = 1,                                                                                \
        .infer = infer_,                                                                           \
        .grad = grad_,                                                                             \
        .cost = cost,                                                                              \
        .workspace = workspace_,                                                                   \
        .run = run_##word,                                                                         \
        .cases = word##_cases,                                                                     \
        .n_cases = sizeof word##_cases / sizeof *word##_cases,                                     \
    };
REDUCE_OP(sum, infer, sum_grad, workspace)
REDUCE_OP(max, max_infer, max_grad, workspace)
REDUCE_OP(max_grad, max_grad_infer, max_grad_grad, NULL)
REDUCE_OP(argmax, argmax_infer, NULL, NULL)
