/* rules.c - ops that go slab by slab: what they do to a row of the axis depends on that row alone.
 *
 * Owes: which ops these are, and their attributes with the slab's rows in the place of the whole
 * axis. An op that would mix or move rows of the axis is refused by name.
 */
#include "graph/ops/axes.h"
#include "graph/ops/dropout.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/op.h"
#include "graph/split/inside.h"

/* Operands of one node: own slabs of each, with the same cuts; [n_in][own]. */
struct operands {
    const int64_t *cut;
    sunup_value ***of;
};

/* A whole operand that reaches along the axis is sliced as the slabs are. */
static sunup_value *along(const struct split *s, const struct node *n, int k, int i,
                          const int64_t *cut)
{
    sunup_value *x = slab_of(s, n->in[k], i);
    const int axis = s->axis - (n->out[0]->shape.n - n->in[k]->shape.n);
    if (!(n->op->flags & OP_POINTWISE) || axis < 0 || sunup__is_poison(x)) return x;
    if (x->shape.d[axis] != n->out[0]->shape.d[s->axis] || x->shape.d[axis] == 1) return x;
    return sunup_slice(x, axis, cut[s->parts->first + i], rows_of(s, cut, i));
}

static bool take(struct split *s, const struct node *n, struct operands *o)
{
    const int own = s->parts->own;
    o->of = sunup__split_room(s, n->n_in, sizeof *o->of);
    for (int k = 0; k < n->n_in && o->cut == NULL; k++)
        if (is_cut(s, n->in[k])) o->cut = slabs_of(s, n->in[k])->cut;
    for (int k = 0; o->of != NULL && k < n->n_in; k++) {
        o->of[k] = sunup__split_room(s, own, sizeof(sunup_value *));
        if (o->of[k] == NULL) return false;
        if (is_cut(s, n->in[k]))
            sunup__split_recut(s, n->in[k], o->cut, o->of[k]);
        else
            for (int i = 0; n->in[k] != NULL && i < own; i++)
                o->of[k][i] = along(s, n, k, i, o->cut);
    }
    return o->of != NULL;
}

/* attr: room for a copy that fit changes for a slab of so many rows; NULL: as it is. */
static void by_slab(struct split *s, const struct node *n,
                    void (*fit)(const struct split *s, int i, int64_t rows, void *attr))
{
    struct operands o = {0};
    sunup_value **in = sunup__split_room(s, n->n_in, sizeof(sunup_value *));
    char *attr = sunup__split_room(s, 1, n->op->attr_bytes + 1);
    if (in == NULL || attr == NULL || !take(s, n, &o)) return;
    for (int k = 0; k < n->n_out; k++)
        if (sunup__split_begin(s, n->out[k], o.cut) == NULL) return;
    for (int i = 0; i < s->parts->own; i++) {
        for (size_t b = 0; b < n->op->attr_bytes; b++) attr[b] = ((const char *)n->attr)[b];
        if (fit != NULL) fit(s, i, rows_of(s, o.cut, i), attr);
        for (int k = 0; k < n->n_in; k++) in[k] = o.of[k][i];
        sunup_value *y = sunup__split_remake(s, n, attr, in);
        for (int k = 0; k < n->n_out; k++) slabs_of(s, n->out[k])->of[i] = sunup__output(y, k);
    }
}

static void refuse_axis(struct split *s, const struct node *n)
{
    sunup__split_refuse(s, n, "it works along the axis that is split");
}

static void any(struct split *s, const struct node *n)
{
    by_slab(s, n, NULL);
}

/* Axis numbers count from the front, so operands that are cut must have all axes of the result. */
static void pointwise(struct split *s, const struct node *n)
{
    for (int k = 0; k < n->n_in; k++)
        if (is_cut(s, n->in[k]) && n->in[k]->shape.n != n->out[0]->shape.n) {
            sunup__split_refuse(s, n, "its operands have %d and %d axes", n->in[k]->shape.n,
                                n->out[0]->shape.n);
            return;
        }
    by_slab(s, n, NULL);
}

/* Rows of the last axis; weights are whole. */
static void last_axis(struct split *s, const struct node *n)
{
    bool fits = s->axis < n->in[0]->shape.n - 1;
    for (int k = 1; k < n->n_in; k++) fits = fits && !is_cut(s, n->in[k]);
    if (fits)
        by_slab(s, n, NULL);
    else
        refuse_axis(s, n);
}

static void layer_norm(struct split *s, const struct node *n)
{
    const struct layer_norm_attr *a = n->attr;
    if (s->axis < n->in[0]->shape.n - a->axes)
        by_slab(s, n, NULL);
    else
        refuse_axis(s, n);
}

static void reduction(struct split *s, const struct node *n)
{
    const struct reduce_attr *a = n->attr;
    if (s->axis < a->from || s->axis >= a->to)
        by_slab(s, n, NULL);
    else if (n->op == &sunup__op_sum)
        sunup__split_sum(s, n);
    else
        refuse_axis(s, n);
}

static void concat(struct split *s, const struct node *n)
{
    bool all = ((const struct axis_attr *)n->attr)->axis != s->axis;
    for (int k = 0; k < n->n_in; k++) all = all && is_cut(s, n->in[k]);
    if (all)
        by_slab(s, n, NULL);
    else
        refuse_axis(s, n);
}

static void fit_box(const struct split *s, int i, int64_t rows, void *attr)
{
    (void)i;
    ((struct box_attr *)attr)->shape.d[s->axis] = rows;
}

static void box(struct split *s, const struct node *n)
{
    const struct box_attr *a = n->attr;
    if (a->from[s->axis] == 0 && a->shape.d[s->axis] == n->in[0]->shape.d[s->axis])
        by_slab(s, n, fit_box);
    else
        refuse_axis(s, n);
}

static void permute(struct split *s, const struct node *n)
{
    if (((const struct permute_attr *)n->attr)->order[s->axis] == s->axis)
        by_slab(s, n, NULL);
    else
        refuse_axis(s, n);
}

static void fit_shape(const struct split *s, int i, int64_t rows, void *attr)
{
    (void)i;
    ((sunup_shape *)attr)->d[s->axis] = rows;
}

/* Axes behind the one that is split may be folded or unfolded. */
static void shape(struct split *s, const struct node *n)
{
    const sunup_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
    bool same = y->n > s->axis;
    for (int i = 0; same && i <= s->axis; i++) same = x->d[i] == y->d[i];
    if (same && (n->op == &sunup__op_reshape || x->n == y->n))
        by_slab(s, n, fit_shape);
    else
        sunup__split_refuse(s, n, "it folds the axis that is split into others");
}

/* Slabs draw from streams of their own. */
static void fit_dropout(const struct split *s, int i, int64_t rows, void *attr)
{
    (void)rows;
    enum { NODES = 1 << 20 }; /* more than a graph has */
    ((struct dropout_attr *)attr)->position += (int64_t)(s->parts->first + i) * NODES;
}

static void dropout(struct split *s, const struct node *n)
{
    by_slab(s, n, fit_dropout);
}

split_rule sunup__split_rule(const struct op *op)
{
    static const struct {
        const struct op *op;
        split_rule rule;
    } rules[] = {
        {&sunup__op_cast, any},
        {&sunup__op_linear, last_axis},
        {&sunup__op_softmax, last_axis},
        {&sunup__op_log_softmax, last_axis},
        {&sunup__op_layer_norm, layer_norm},
        {&sunup__op_sum, reduction},
        {&sunup__op_max, reduction},
        {&sunup__op_argmax, reduction},
        {&sunup__op_concat, concat},
        {&sunup__op_slice, box},
        {&sunup__op_pad, box},
        {&sunup__op_permute, permute},
        {&sunup__op_reshape, shape},
        {&sunup__op_broadcast, shape},
        {&sunup__op_dropout, dropout},
        {&sunup__op_conv, sunup__split_conv},
        {&sunup__op_conv_data_grad, sunup__split_conv_transpose},
        {&sunup__op_max_pool, sunup__split_pool},
        {&sunup__op_avg_pool, sunup__split_pool},
        {&sunup__op_batch_norm, sunup__split_norm},
        {&sunup__op_group_norm, sunup__split_norm},
        {&sunup__op_cross_entropy, sunup__split_cross_entropy},
    };
    if (op->flags & OP_POINTWISE) return pointwise;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op) return rules[i].rule;
    return NULL;
}
