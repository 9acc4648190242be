/* shape.c - the same elements under another shape or order: reshape (a view), permute and broadcast
 * (copies).
 *
 * Owes: views cost nothing; copies are one strided copy (copy.h).
 */
#include "graph/ops/axes.h"
#include "graph/ops/copy.h"
#include "graph/ops/op.h"

#include <string.h>

/* -------------------------------------------------------------------- reshape --- */

static sunup_status reshape_infer(struct node *n)
{
    const sunup_shape *want = n->attr;
    const int64_t elements = sunup__elements(&n->in[0]->shape);
    char text[SHAPE_TEXT];
    if (sunup__elements(want) != elements)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s has %lld elements but shape %s takes %lld",
                               TEXT(n->in[0]), (long long)elements, sunup__shape_text(want, text),
                               (long long)sunup__elements(want));
    sunup__set_out(n, 0, n->in[0]->dtype, *want);
    return SUNUP_OK;
}

static void reshape_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_reshape(dy[0], n->in[0]->shape);
}

/* Replaces the one -1 by what is left; false: that is impossible. */
static bool complete(const sunup_shape *x, sunup_shape *y)
{
    int unknown = -1;
    int64_t known = 1;
    for (int i = 0; i < y->n; i++) {
        if (y->d[i] < -1 || (y->d[i] == -1 && unknown >= 0)) return false;
        if (y->d[i] == -1)
            unknown = i;
        else
            known *= y->d[i];
    }
    if (unknown < 0) return true;
    if (known == 0 || sunup__elements(x) % known != 0) return false;
    y->d[unknown] = sunup__elements(x) / known;
    return true;
}

sunup_value *sunup_reshape(sunup_value *x, sunup_shape shape)
{
    if (!x || sunup__is_poison(x)) return x;
    sunup_shape y = shape;
    char text[SHAPE_TEXT];
    if (y.n < 0 || y.n > SUNUP_MAX_DIMS || !complete(&x->shape, &y))
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                                  "reshape of '%s' %s to %s: the length -1 cannot be inferred",
                                  x->name, TEXT(x), sunup__shape_text(&shape, text));
    if (sunup__same_shape(&x->shape, &y)) return x;
    return sunup__node(x->node->graph, &sunup__op_reshape, 1, &x, &y, 0, NULL);
}

sunup_value *sunup_flatten(sunup_value *x)
{
    if (!x || sunup__is_poison(x)) return x;
    if (x->shape.n == 0) return sunup_reshape(x, SUNUP_SHAPE(1, 1));
    return sunup_reshape(x, SUNUP_SHAPE(x->shape.d[0], sunup__product(&x->shape, 1, x->shape.n)));
}

/* -------------------------------------------------------------------- permute --- */

static sunup_status permute_infer(struct node *n)
{
    const struct permute_attr *a = n->attr;
    const sunup_shape *x = &n->in[0]->shape;
    sunup_shape y = {.n = x->n};
    unsigned seen = 0;
    for (int i = 0; i < x->n; i++) {
        const int from = a->order[i];
        if (from < 0 || from >= x->n || seen >> from & 1)
            return sunup__op_error(n, SUNUP_E_SHAPE,
                                   "order[%d] is %d: an order of x %s names each axis 0 to %d once",
                                   i, from, TEXT(n->in[0]), x->n - 1);
        seen |= 1u << from;
        y.d[i] = x->d[from];
    }
    sunup__set_out(n, 0, n->in[0]->dtype, y);
    return SUNUP_OK;
}

static void permute_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct permute_attr *a = n->attr;
    int back[SUNUP_MAX_DIMS] = {0};
    for (int i = 0; i < n->in[0]->shape.n; i++) back[a->order[i]] = i;
    if (want[0]) dx[0] = sunup_permute(dy[0], back);
}

static sunup_status permute_run(const struct node *n, const struct exec *e)
{
    const struct permute_attr *a = n->attr;
    struct copy c = sunup__copy_of(&n->out[0]->shape, n->out[0]->dtype);
    int64_t stride[SUNUP_MAX_DIMS];
    sunup__strides(&n->in[0]->shape, stride);
    for (int i = 0; i < c.n; i++) c.from_stride[i] = stride[a->order[i]];
    c.from = e->in[0];
    c.to = e->out[0];
    sunup__copy(c, e->threads);
    return SUNUP_OK;
}

sunup_value *sunup_permute(sunup_value *x, const int *order)
{
    if (!x || sunup__is_poison(x)) return x;
    struct permute_attr a = {{0}};
    memcpy(a.order, order, (size_t)x->shape.n * sizeof *order);
    return sunup__node(x->node->graph, &sunup__op_permute, 1, &x, &a, 0, NULL);
}

/* ------------------------------------------------------------------ broadcast --- */

static sunup_status broadcast_infer(struct node *n)
{
    const sunup_shape *want = n->attr;
    sunup_shape both;
    char text[SHAPE_TEXT];
    if (!sunup__broadcast_shapes(&n->in[0]->shape, want, &both) || !sunup__same_shape(&both, want))
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "x %s does not stretch to %s: aligned at the last axis, lengths must be "
            "equal or 1 in x",
            TEXT(n->in[0]), sunup__shape_text(want, text));
    sunup__set_out(n, 0, n->in[0]->dtype, *want);
    return SUNUP_OK;
}

static void broadcast_grad(struct node *n, sunup_value *const *dy, const bool *want,
                           sunup_value **dx)
{
    if (want[0]) dx[0] = sunup__sum_to(dy[0], n->in[0]->shape);
}

static sunup_status broadcast_run(const struct node *n, const struct exec *e)
{
    const sunup_shape *y = &n->out[0]->shape;
    struct copy c = sunup__copy_of(y, n->out[0]->dtype);
    sunup__broadcast_strides(&n->in[0]->shape, y, c.from_stride);
    c.from = e->in[0];
    c.to = e->out[0];
    sunup__copy(c, e->threads);
    return SUNUP_OK;
}

sunup_value *sunup_broadcast(sunup_value *x, sunup_shape shape)
{
    if (!x || sunup__is_poison(x) || sunup__same_shape(&x->shape, &shape)) return x;
    return sunup__node(x->node->graph, &sunup__op_broadcast, 1, &x, &shape, 0, NULL);
}

/* ---------------------------------------------------------------------- cases --- */

static sunup_value *operand(sunup_graph *g, sunup_shape shape)
{
    return sunup_input(g, "x", sunup_graph_dtype(g), shape);
}

/* A view's output is its operand's memory; times 1 so that a check sees the op inside a graph. */
static sunup_value *reshape_infers(sunup_graph *g)
{
    return sunup_scale(sunup_reshape(operand(g, SUNUP_SHAPE(3, 4, 5)), SUNUP_SHAPE(2, -1)), 1, 0);
}

static sunup_value *reshape_scalar(sunup_graph *g)
{
    return sunup_scale(sunup_reshape(operand(g, SUNUP_SHAPE(1, 1)), SUNUP_SCALAR), 1, 0);
}

static sunup_value *flatten_case(sunup_graph *g)
{
    return sunup_scale(sunup_flatten(operand(g, SUNUP_SHAPE(3, 2, 5))), 1, 0);
}

static sunup_value *permute_reverse(sunup_graph *g)
{
    return sunup_permute(operand(g, SUNUP_SHAPE(3, 1, 5, 7)), (const int[]){3, 2, 1, 0});
}

static sunup_value *permute_rows(sunup_graph *g)
{
    return sunup_permute(operand(g, SUNUP_SHAPE(3, 5, 7)), (const int[]){1, 0, 2});
}

static sunup_value *permute_large(sunup_graph *g)
{
    return sunup_permute(operand(g, SUNUP_SHAPE(257, 263)), (const int[]){1, 0});
}

static sunup_value *broadcast_inner(sunup_graph *g)
{
    return sunup_broadcast(operand(g, SUNUP_SHAPE(5, 1)), SUNUP_SHAPE(3, 5, 7));
}

static sunup_value *broadcast_scalar(sunup_graph *g)
{
    return sunup_broadcast(operand(g, SUNUP_SCALAR), SUNUP_SHAPE(41, 1009));
}

static sunup_value *broadcast_empty(sunup_graph *g)
{
    return sunup_broadcast(operand(g, SUNUP_SHAPE(3)), SUNUP_SHAPE(0, 3));
}

static const struct op_case reshape_cases[] = {
    {"reshape:3x4x5:2x-1", reshape_infers},
    {"reshape:1x1:scalar", reshape_scalar},
    {"reshape:flatten:3x2x5", flatten_case},
};
static const struct op_case permute_cases[] = {
    {"permute:3x1x5x7:3210", permute_reverse},
    {"permute:3x5x7:102", permute_rows},
    {"permute:257x263:10", permute_large},
};
static const struct op_case broadcast_cases[] = {
    {"broadcast:5x1:3x5x7", broadcast_inner},
    {"broadcast:scalar:41x1009", broadcast_scalar},
    {"broadcast:3:0x3", broadcast_empty},
};

#define SHAPE_OP(word, attr_, flags_, run_)                                                        \
    const struct op sunup__op_##word = {                                                           \
        .name = #word,                                                                             \
        .attr_bytes = sizeof(attr_),                                                               \
        .flags = flags_,                                                                           \
        .n_out = 1,                                                                                \
        .infer = word##_infer,                                                                     \
        .grad = word##_grad,                                                                       \
        .run = run_,                                                                               \
        .cases = word##_cases,                                                                     \
        .n_cases = sizeof word##_cases / sizeof *word##_cases,                                     \
    };
SHAPE_OP(reshape, sunup_shape, OP_VIEW, NULL)
SHAPE_OP(permute, struct permute_attr, 0, permute_run)
SHAPE_OP(broadcast, sunup_shape, 0, broadcast_run)
