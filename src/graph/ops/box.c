/* box.c - parts of a tensor: slice, pad, concat, split.
 *
 * Owes: each moves rectangular boxes by the strided copy (copy.h) between a whole and its parts,
 * and each is another one's adjoint: slice and zero pad, concat and split. Circular padding is made
 * of slices and a concat, axis by axis.
 */
#include "graph/ops/axes.h"
#include "graph/ops/copy.h"
#include "graph/ops/op.h"

#include <string.h>

/* Which way elements move between the whole, at an offset, and a dense part. */
enum way { OUT_OF_WHOLE, INTO_WHOLE };

struct move {
    enum way way;
    const sunup_value *whole, *part;
    const int64_t *from; /* [whole dims] */
    void *memory;        /* of the whole */
    void *part_memory;
};

static void move_box(const struct move *m, int threads)
{
    const sunup_dtype dtype = m->whole->dtype;
    struct copy c = sunup__copy_of(&m->part->shape, dtype);
    int64_t stride[SUNUP_MAX_DIMS], at = 0;
    sunup__strides(&m->whole->shape, stride);
    for (int i = 0; i < c.n; i++) at += m->from[i] * stride[i];
    void *inside = element_at(m->memory, dtype, at);
    const bool out = m->way == OUT_OF_WHOLE;
    memcpy(out ? c.from_stride : c.to_stride, stride, (size_t)c.n * sizeof *stride);
    c.from = out ? inside : m->part_memory;
    c.to = out ? m->part_memory : inside;
    sunup__copy(c, threads);
}

/* ---------------------------------------------------------------------- slice --- */

static sunup_status slice_infer(struct node *n)
{
    const struct box_attr *a = n->attr;
    const sunup_shape *x = &n->in[0]->shape;
    for (int i = 0; i < x->n; i++)
        if (a->from[i] < 0 || a->shape.d[i] < 0 || a->from[i] > x->d[i] - a->shape.d[i])
            return sunup__op_error(n, SUNUP_E_SHAPE,
                                   "axis %d: %lld elements from %lld on are not all inside x %s", i,
                                   (long long)a->shape.d[i], (long long)a->from[i], TEXT(n->in[0]));
    sunup__set_out(n, 0, n->in[0]->dtype, a->shape);
    return SUNUP_OK;
}

static sunup_status slice_run(const struct node *n, const struct exec *e)
{
    const struct box_attr *a = n->attr;
    const struct move m = {OUT_OF_WHOLE, n->in[0], n->out[0], a->from, e->in[0], e->out[0]};
    move_box(&m, e->threads);
    return SUNUP_OK;
}

static sunup_value *box_node(const struct op *op, sunup_value *x, const int64_t *from,
                             sunup_shape shape)
{
    struct box_attr a = {.shape = shape};
    memcpy(a.from, from, (size_t)shape.n * sizeof *from);
    return sunup__node(x->node->graph, op, 1, &x, &a, 0, NULL);
}

static void slice_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct box_attr *a = n->attr;
    if (want[0]) dx[0] = box_node(&sunup__op_pad, dy[0], a->from, n->in[0]->shape);
}

sunup_value *sunup__slice_box(sunup_value *x, const int64_t *from, sunup_shape shape)
{
    if (!x || sunup__is_poison(x) || sunup__same_shape(&x->shape, &shape)) return x;
    return box_node(&sunup__op_slice, x, from, shape);
}

sunup_value *sunup_slice(sunup_value *x, int axis, int64_t from, int64_t length)
{
    if (!x || sunup__is_poison(x)) return x;
    const int at = sunup__axis(axis, x->shape.n);
    if (at < 0)
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                                  "slice of '%s' %s: it has no axis %d", x->name, TEXT(x), axis);
    int64_t start[SUNUP_MAX_DIMS] = {0};
    sunup_shape shape = x->shape;
    start[at] = from;
    shape.d[at] = length;
    return box_node(&sunup__op_slice, x, start, shape);
}

/* ------------------------------------------------------------------------ pad --- */

static sunup_status pad_infer(struct node *n)
{
    const struct box_attr *a = n->attr;
    sunup__set_out(n, 0, n->in[0]->dtype, a->shape);
    return SUNUP_OK;
}

static void pad_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct box_attr *a = n->attr;
    if (want[0]) dx[0] = sunup__slice_box(dy[0], a->from, n->in[0]->shape);
}

static sunup_status pad_run(const struct node *n, const struct exec *e)
{
    const struct box_attr *a = n->attr;
    const sunup_value *y = n->out[0];
    sunup__zero(e->out[0], y->dtype, sunup__elements(&y->shape));
    const struct move m = {INTO_WHOLE, y, n->in[0], a->from, e->out[0], e->in[0]};
    move_box(&m, e->threads);
    return SUNUP_OK;
}

/* x repeated along the axis from position -before to length + after: whole periods and the cut ones
 * at the ends. */
static sunup_value *wrap(sunup_value *x, int axis, int64_t before, int64_t after)
{
    enum { ROOM = 16 };
    const int64_t length = x->shape.d[axis];
    sunup_value *parts[ROOM];
    int n = 0;
    if (length == 0 || (before + after) / length > ROOM - 4)
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                                  "pad of '%s' %s: axis %d cannot be wrapped by %lld and %lld",
                                  x->name, TEXT(x), axis, (long long)before, (long long)after);
    const int64_t head = before % length, tail = after % length;
    if (head > 0) parts[n++] = sunup_slice(x, axis, length - head, head);
    for (int64_t i = 0; i < before / length + 1 + after / length; i++) parts[n++] = x;
    if (tail > 0) parts[n++] = sunup_slice(x, axis, 0, tail);
    return sunup_concat(n, parts, axis);
}

sunup_value *sunup_pad(sunup_value *x, const int64_t *before, const int64_t *after,
                       sunup_pad_mode mode)
{
    if (!x || sunup__is_poison(x)) return x;
    sunup_shape shape = x->shape;
    bool any = false;
    for (int i = 0; i < shape.n; i++) {
        if (before[i] < 0 || after[i] < 0)
            return sunup__graph_error(
                x->node->graph, SUNUP_E_ARGUMENT,
                "pad of '%s' %s: axis %d by %lld and %lld; to cut, use sunup_slice", x->name,
                TEXT(x), i, (long long)before[i], (long long)after[i]);
        shape.d[i] += before[i] + after[i];
        any = any || shape.d[i] != x->shape.d[i];
    }
    if (!any) return x;
    if (mode == SUNUP_PAD_ZERO) return box_node(&sunup__op_pad, x, before, shape);
    for (int i = 0; i < shape.n && !sunup__is_poison(x); i++)
        if (before[i] + after[i] > 0) x = wrap(x, i, before[i], after[i]);
    return x;
}

/* -------------------------------------------------------------- concat, split --- */

static sunup_status concat_infer(struct node *n)
{
    const struct axis_attr *a = n->attr;
    const sunup_value *first = n->in[0];
    sunup_shape y = first->shape;
    y.d[a->axis] = 0;
    for (int i = 0; i < n->n_in; i++) {
        const sunup_value *x = n->in[i];
        if (!x) return sunup__op_error(n, SUNUP_E_ARGUMENT, "operand %d is missing (NULL)", i);
        sunup_shape same = x->shape;
        if (same.n > a->axis) same.d[a->axis] = first->shape.d[a->axis];
        if (x->dtype != first->dtype || !sunup__same_shape(&same, &first->shape))
            return sunup__op_error(
                n, SUNUP_E_SHAPE,
                "operand %d is %s %s but operand 0 is %s %s: only lengths of axis %d "
                "may differ",
                i, TEXT(x), sunup_dtype_name(x->dtype), TEXT(first), sunup_dtype_name(first->dtype),
                a->axis);
        y.d[a->axis] += x->shape.d[a->axis];
    }
    sunup__set_out(n, 0, first->dtype, y);
    return SUNUP_OK;
}

/* Moves all parts (operands of concat, outputs of split), one after the other along the axis. */
static void move_parts(const struct exec *e, enum way way, const sunup_value *whole, int n_parts,
                       sunup_value *const *parts, int axis)
{
    int64_t from[SUNUP_MAX_DIMS] = {0};
    const bool out = way == OUT_OF_WHOLE;
    for (int i = 0; i < n_parts; i++) {
        const struct move m = {
            way, whole, parts[i], from, out ? e->in[0] : e->out[0], out ? e->out[i] : e->in[i]};
        if (m.part_memory) move_box(&m, e->threads);
        from[axis] += parts[i]->shape.d[axis];
    }
}

static sunup_status concat_run(const struct node *n, const struct exec *e)
{
    const struct axis_attr *a = n->attr;
    move_parts(e, INTO_WHOLE, n->out[0], n->n_in, n->in, a->axis);
    return SUNUP_OK;
}

static sunup_status split_run(const struct node *n, const struct exec *e)
{
    const struct axis_attr *a = n->attr;
    move_parts(e, OUT_OF_WHOLE, n->in[0], n->n_out, n->out, a->axis);
    return SUNUP_OK;
}

/* Slices, since some parts may not be wanted. */
static void concat_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct axis_attr *a = n->attr;
    int64_t at = 0;
    for (int i = 0; i < n->n_in; i++) {
        const int64_t length = n->in[i]->shape.d[a->axis];
        if (want[i]) dx[i] = sunup_slice(dy[0], a->axis, at, length);
        at += length;
    }
}

static void split_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct axis_attr *a = n->attr;
    if (!want[0]) return;
    sunup_value **parts = sunup__arena_alloc(&n->graph->arena, (size_t)n->n_out * sizeof *parts);
    if (!parts) {
        sunup__op_error(n, SUNUP_E_MEMORY, "no memory for its gradient");
        return;
    }
    for (int o = 0; o < n->n_out; o++) parts[o] = dy[o] ? dy[o] : sunup__zeros_like(n->out[o]);
    dx[0] = sunup_concat(n->n_out, parts, a->axis);
}

sunup_value *sunup_concat(int n, sunup_value *const *x, int axis)
{
    sunup_graph *g = sunup__graph_of(n, x);
    if (!g) return NULL;
    if (!x[0]) return sunup__graph_error(g, SUNUP_E_ARGUMENT, "concat: operand 0 is NULL");
    if (sunup__is_poison(x[0])) return x[0];
    const struct axis_attr attr = {sunup__axis(axis, x[0]->shape.n)};
    if (attr.axis < 0)
        return sunup__graph_error(g, SUNUP_E_SHAPE, "concat: operand 0 %s has no axis %d",
                                  TEXT(x[0]), axis);
    return sunup__node(g, &sunup__op_concat, n, x, &attr, 0, NULL);
}

/* infer cannot know the lengths from attr, which has a fixed size: sunup_split leaves them in the
 * graph's arena. */
struct split_attr {
    struct axis_attr axis; /* first: split_run and split_grad read only this */
    const int64_t *parts;
};

static sunup_status split_infer(struct node *n)
{
    const struct split_attr *a = n->attr;
    const int axis = a->axis.axis;
    const sunup_shape *x = &n->in[0]->shape;
    int64_t sum = 0;
    for (int o = 0; o < n->n_out; o++) {
        sunup_shape y = *x;
        y.d[axis] = a->parts[o];
        sum += a->parts[o];
        sunup__set_out(n, o, n->in[0]->dtype, y);
        if (a->parts[o] < 0)
            return sunup__op_error(n, SUNUP_E_ARGUMENT, "part %d has length %lld", o,
                                   (long long)a->parts[o]);
    }
    if (sum != x->d[axis])
        return sunup__op_error(
            n, SUNUP_E_SHAPE, "the %d parts add to %lld but axis %d of x %s has length %lld",
            n->n_out, (long long)sum, axis, TEXT(n->in[0]), (long long)x->d[axis]);
    return SUNUP_OK;
}

static sunup_value *split_node(sunup_value *x, int axis, int n, const int64_t *parts)
{
    sunup_graph *g = x->node->graph;
    const int at = sunup__axis(axis, x->shape.n);
    if (n < 1 || at < 0)
        return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                  "split of '%s' %s into %d parts along axis %d", x->name, TEXT(x),
                                  n, axis);
    int64_t *copy = sunup__arena_alloc(&g->arena, (size_t)n * sizeof *copy);
    if (!copy) return sunup__graph_error(g, SUNUP_E_MEMORY, "split: no memory");
    memcpy(copy, parts, (size_t)n * sizeof *copy);
    const struct split_attr attr = {{at}, copy};
    return sunup__node(g, &sunup__op_split, 1, &x, &attr, n, NULL);
}

void sunup_split(sunup_value *x, int axis, int n, const int64_t *parts, sunup_value **y)
{
    sunup_value *first = !x || sunup__is_poison(x) ? x : split_node(x, axis, n, parts);
    for (int i = 0; i < n; i++) y[i] = sunup__output(first, i);
}

/* ---------------------------------------------------------------------- cases --- */

static sunup_value *operand(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}

static sunup_value *slice_middle(sunup_graph *g)
{
    return sunup_slice(operand(g, "x", SUNUP_SHAPE(3, 7, 5)), 1, 2, 3);
}

static sunup_value *slice_last(sunup_graph *g)
{
    return sunup_slice(operand(g, "x", SUNUP_SHAPE(30011, 3)), -1, 2, 1);
}

static sunup_value *slice_nothing(sunup_graph *g)
{
    return sunup_slice(operand(g, "x", SUNUP_SHAPE(3, 7)), 0, 3, 0);
}

static sunup_value *pad_zero(sunup_graph *g)
{
    return sunup_pad(operand(g, "x", SUNUP_SHAPE(2, 3, 5)), (const int64_t[]){0, 2, 1},
                     (const int64_t[]){1, 0, 3}, SUNUP_PAD_ZERO);
}

static sunup_value *pad_wrap(sunup_graph *g)
{
    return sunup_pad(operand(g, "x", SUNUP_SHAPE(2, 3, 5)), (const int64_t[]){0, 7, 1},
                     (const int64_t[]){1, 0, 3}, SUNUP_PAD_CIRCULAR);
}

static sunup_value *concat_three(sunup_graph *g)
{
    sunup_value *x[] = {operand(g, "a", SUNUP_SHAPE(3, 1, 5)),
                        operand(g, "b", SUNUP_SHAPE(3, 4, 5)),
                        operand(g, "c", SUNUP_SHAPE(3, 0, 5))};
    return sunup_concat(3, x, 1);
}

static sunup_value *concat_twice(sunup_graph *g)
{
    sunup_value *x = operand(g, "x", SUNUP_SHAPE(101, 211)), *both[] = {x, x};
    return sunup_concat(2, both, -1);
}

static sunup_value *extend_rows(sunup_graph *g)
{
    sunup_value *x[] = {operand(g, "a", SUNUP_SHAPE(3, 0, 5)),
                        operand(g, "b", SUNUP_SHAPE(3, 4, 5)),
                        operand(g, "c", SUNUP_SHAPE(3, 2, 5))};
    const struct axis_attr attr = {1};
    return sunup__node(g, &sunup__op_extend, 3, x, &attr, 0, NULL);
}

static sunup_value *split_uneven(sunup_graph *g)
{
    sunup_value *y[3];
    sunup_split(operand(g, "x", SUNUP_SHAPE(3, 8, 5)), 1, 3, (const int64_t[]){4, 1, 3}, y);
    return sunup_mul(sunup_mul(y[0], y[1]), sunup_slice(y[2], 1, 0, 1));
}

static sunup_value *split_one_read(sunup_graph *g)
{
    sunup_value *y[2];
    sunup_split(operand(g, "x", SUNUP_SHAPE(5, 3)), 0, 2, (const int64_t[]){2, 3}, y);
    return y[1];
}

static const struct op_case slice_cases[] = {
    {"slice:3x7x5:1,2+3", slice_middle},
    {"slice:30011x3:1,2+1", slice_last},
    {"slice:3x7:0,3+0", slice_nothing},
};
static const struct op_case pad_cases[] = {
    {"pad:2x3x5:zero", pad_zero},
    {"pad:2x3x5:circular", pad_wrap},
};
static const struct op_case concat_cases[] = {
    {"concat:3x1x5,3x4x5,3x0x5:1", concat_three},
    {"concat:101x211:twice", concat_twice},
};
static const struct op_case extend_cases[] = {{"extend:3x0x5,3x4x5,3x2x5:1", extend_rows}};
static const struct op_case split_cases[] = {
    {"split:3x8x5:4+1+3", split_uneven},
    {"split:5x3:2+3", split_one_read},
};

#define BOX_OP(word, attr_)                                                                        \
    const struct op sunup__op_##word = {                                                           \
        .name = #word,                                                                             \
        .attr_bytes = sizeof(attr_),                                                               \
        .n_out = 1,                                                                                \
        .infer = word##_infer,                                                                     \
        .grad = word##_grad,                                                                       \
        .run = word##_run,                                                                         \
        .cases = word##_cases,                                                                     \
        .n_cases = sizeof word##_cases / sizeof *word##_cases,                                     \
    };
BOX_OP(slice, struct box_attr)
BOX_OP(pad, struct box_attr)
BOX_OP(concat, struct axis_attr)
BOX_OP(split, struct split_attr)

/* A slab between the rows of its neighbours (parts.h): cheaper to join again than to keep. */
const struct op sunup__op_extend = {
    .name = "extend",
    .attr_bytes = sizeof(struct axis_attr),
    .flags = OP_AGAIN,
    .n_out = 1,
    .infer = concat_infer,
    .grad = concat_grad,
    .run = concat_run,
    .cases = extend_cases,
    .n_cases = sizeof extend_cases / sizeof *extend_cases,
};
