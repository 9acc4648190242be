/* rules.c - ops that go slab by slab: what they do to a row of the axis depends on that row alone.
 *
 * Owes: which ops these are, along which axis their results are cut, and their attributes with the
 * slab's rows in the place of the whole axis. An op that would mix rows of the axis is refused by name.
 */
#include "graph/ops/axes.h"
#include "graph/ops/dropout.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/matmul.h"
#include "graph/ops/op.h"
#include "graph/split/inside.h"

/* Operands of one node: own slabs of each, with the same cuts; [n_in][own]. */
struct operands {
    const int64_t *cut;
    sunup_value ***of;
};

/* One slab of a node, for those who fit attributes to it. */
struct slab {
    const struct node *whole;
    int number, axis; /* of the output */
    int64_t from, rows;
};

static int axis_of(const struct split *s, const sunup_value *v)
{
    return slabs_of(s, v)->axis;
}

/* A whole operand that reaches along the output's axis is sliced as the slabs are. */
static sunup_value *along(const struct split *s, const struct node *n, int k,
                          const struct slab *slab)
{
    sunup_value *x = slab_of(s, n->in[k], slab->number - s->parts->first);
    const int axis = slab->axis - (n->out[0]->shape.n - n->in[k]->shape.n);
    const bool aligned = (n->op->flags & OP_POINTWISE) || n->op == &sunup__op_concat;
    if (!aligned || axis < 0 || sunup__is_poison(x)) return x;
    if (x->shape.d[axis] != n->out[0]->shape.d[slab->axis] || x->shape.d[axis] == 1) return x;
    return sunup_slice(x, axis, slab->from, slab->rows);
}

static struct slab slab_at(const struct split *s, const struct node *n, const int64_t *cut,
                           int axis, int i)
{
    const int number = s->parts->first + i;
    return (struct slab){n, number, axis, cut[number], rows_of(s, cut, i)};
}

static bool take(struct split *s, const struct node *n, int axis, struct operands *o)
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
            for (int i = 0; n->in[k] != NULL && i < own; i++) {
                const struct slab slab = slab_at(s, n, o->cut, axis, i);
                o->of[k][i] = along(s, n, k, &slab);
            }
    }
    return o->of != NULL;
}

typedef void (*fit_fn)(const struct slab *slab, void *attr);

/* The op on each slab, whose outputs are cut along axis. fit changes a copy of its attributes; NULL: none. */
static void by_slab(struct split *s, const struct node *n, int axis, fit_fn fit)
{
    struct operands o = {0};
    sunup_value **in = sunup__split_room(s, n->n_in, sizeof(sunup_value *));
    char *attr = sunup__split_room(s, 1, n->op->attr_bytes + 1);
    if (in == NULL || attr == NULL || !take(s, n, axis, &o)) return;
    for (int k = 0; k < n->n_out; k++)
        if (sunup__split_begin(s, n->out[k], o.cut, axis) == NULL) return;
    for (int i = 0; i < s->parts->own; i++) {
        const struct slab slab = slab_at(s, n, o.cut, axis, i);
        for (size_t b = 0; b < n->op->attr_bytes; b++) attr[b] = ((const char *)n->attr)[b];
        if (fit != NULL) fit(&slab, attr);
        for (int k = 0; k < n->n_in; k++) in[k] = o.of[k][i];
        sunup_value *y = sunup__split_remake(s, n, attr, in);
        for (int k = 0; k < n->n_out; k++) slabs_of(s, n->out[k])->of[i] = sunup__output(y, k);
    }
}

static void refuse_axis(struct split *s, const struct node *n)
{
    sunup__split_refuse(s, n, "it works along the axis that is split");
}

/* Slab by slab if that fits, else a mistake. */
static void by_slab_if(struct split *s, const struct node *n, bool fits, int axis, fit_fn fit)
{
    if (fits)
        by_slab(s, n, axis, fit);
    else
        refuse_axis(s, n);
}

/* Operand 0 alone is cut, or is cut as all that are. */
static bool first_is_cut(const struct split *s, const struct node *n, bool alone)
{
    for (int k = 1; k < n->n_in; k++)
        if (is_cut(s, n->in[k]) && (alone || axis_of(s, n->in[k]) != axis_of(s, n->in[0])))
            return false;
    return is_cut(s, n->in[0]);
}

static void any(struct split *s, const struct node *n)
{
    by_slab(s, n, axis_of(s, n->in[0]), NULL);
}

/* Axes are aligned at the last one. */
static void pointwise(struct split *s, const struct node *n)
{
    int axis = -1;
    for (int k = 0; k < n->n_in; k++) {
        if (!is_cut(s, n->in[k])) continue;
        const int at = axis_of(s, n->in[k]) + n->out[0]->shape.n - n->in[k]->shape.n;
        if (axis >= 0 && at != axis) {
            sunup__split_refuse(s, n, "its operands are split along different axes");
            return;
        }
        axis = at;
    }
    by_slab(s, n, axis, NULL);
}

/* Rows of the last axis; weights are whole. */
static void last_axis(struct split *s, const struct node *n)
{
    const int axis = axis_of(s, n->in[0]);
    by_slab_if(s, n, first_is_cut(s, n, true) && axis < n->in[0]->shape.n - 1, axis, NULL);
}

static void layer_norm(struct split *s, const struct node *n)
{
    const struct layer_norm_attr *a = n->attr;
    const int axis = axis_of(s, n->in[0]);
    by_slab_if(s, n, axis < n->in[0]->shape.n - a->axes, axis, NULL);
}

static void reduction(struct split *s, const struct node *n)
{
    const struct reduce_attr *a = n->attr;
    const int axis = axis_of(s, n->in[0]);
    const bool across = axis >= a->from && axis < a->to;
    if (across && n->op == &sunup__op_sum)
        sunup__split_sum(s, n);
    else
        by_slab_if(s, n, !across, axis, NULL);
}

static void concat(struct split *s, const struct node *n)
{
    int first = 0, axis;
    while (!is_cut(s, n->in[first])) first++;
    axis = axis_of(s, n->in[first]);
    bool fits = ((const struct axis_attr *)n->attr)->axis != axis;
    for (int k = first; k < n->n_in; k++)
        fits = fits && (!is_cut(s, n->in[k]) || axis_of(s, n->in[k]) == axis);
    by_slab_if(s, n, fits, axis, NULL);
}

static void fit_box(const struct slab *slab, void *attr)
{
    ((struct box_attr *)attr)->shape.d[slab->axis] = slab->rows;
}

static void box(struct split *s, const struct node *n)
{
    const struct box_attr *a = n->attr;
    const int axis = axis_of(s, n->in[0]);
    by_slab_if(s, n, a->from[axis] == 0 && a->shape.d[axis] == n->in[0]->shape.d[axis], axis,
               fit_box);
}

static void permute(struct split *s, const struct node *n)
{
    const int *order = ((const struct permute_attr *)n->attr)->order;
    int axis = 0;
    while (order[axis] != axis_of(s, n->in[0])) axis++;
    by_slab(s, n, axis, NULL);
}

static void fit_shape(const struct slab *slab, void *attr)
{
    ((sunup_shape *)attr)->d[slab->axis] = slab->rows;
}

static void broadcast(struct split *s, const struct node *n)
{
    by_slab(s, n, axis_of(s, n->in[0]) + n->out[0]->shape.n - n->in[0]->shape.n, fit_shape);
}

/* cut in rows of y along axis, each of `to` elements where the old ones have `from`; NULL: it falls into rows. */
static const int64_t *folded_cuts(struct split *s, const int64_t *cut, int64_t from, int64_t to)
{
    const int parts = s->parts->n;
    bool fits = true, same = from == to;
    for (int i = 0; i <= parts; i++) fits = fits && cut[i] * from % to == 0;
    if (!fits || same) return fits ? cut : NULL;
    int64_t *y = sunup__split_room(s, parts + 1, sizeof *y);
    for (int i = 0; y != NULL && i <= parts; i++) y[i] = cut[i] * from / to;
    return y;
}

/* Axes behind the one that is split may be folded into it or unfolded from it: slabs stay what they are in memory. */
static void reshape(struct split *s, const struct node *n)
{
    const struct slabs *from = slabs_of(s, n->in[0]);
    const sunup_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
    const int64_t outer = sunup__product(x, 0, from->axis),
                  inner = sunup__product(x, from->axis + 1, x->n);
    const int64_t *cut = NULL;
    int axis = 0;
    for (; axis < y->n; axis++) {
        if (y->d[axis] < s->parts->n || sunup__product(y, 0, axis) != outer) continue;
        cut = folded_cuts(s, from->cut, inner, sunup__product(y, axis + 1, y->n));
        if (cut != NULL) break;
    }
    if (cut == NULL) {
        sunup__split_refuse(s, n, "it folds the axis that is split into others");
        return;
    }
    if (sunup__split_begin(s, n->out[0], cut, axis) == NULL) return;
    for (int i = 0; i < s->parts->own; i++) {
        sunup_shape shape = *y;
        shape.d[axis] = rows_of(s, cut, i);
        slabs_of(s, n->out[0])->of[i] = sunup__split_remake(s, n, &shape, &from->of[i]);
    }
}

/* Samples draw their own numbers, wherever they are; slabs of a sample draw from streams of their own. */
static void fit_dropout(const struct slab *slab, void *attr)
{
    enum { NODES = 1 << 20 }; /* more than a graph has */
    struct dropout_attr *a = attr;
    const sunup_shape *x = &slab->whole->out[0]->shape;
    if (slab->axis == 0) {
        a->first = slab->from * sunup__product(x, 1, x->n);
        return;
    }
    a->position += (int64_t)slab->number * NODES;
    a->per_sample = 0;
}

static void dropout(struct split *s, const struct node *n)
{
    by_slab(s, n, axis_of(s, n->in[0]), fit_dropout);
}

/* ops of x [N, space.., C]: by samples, else by what reads the space that is split. */
static void by_samples_or(struct split *s, const struct node *n, int at, split_rule in_space)
{
    const sunup_value *x = n->in[at];
    const bool samples = is_cut(s, x) && axis_of(s, x) == 0;
    bool weights = true;
    for (int k = 0; k < n->n_in; k++) weights = weights && (k == at || !is_cut(s, n->in[k]));
    if (samples && weights)
        by_slab(s, n, 0, NULL);
    else if (is_cut(s, x) && (samples || axis_of(s, x) == x->shape.n - 1))
        refuse_axis(s, n);
    else
        in_space(s, n);
}

static void conv(struct split *s, const struct node *n)
{
    by_samples_or(s, n, 0, sunup__split_conv);
}

static void conv_transpose(struct split *s, const struct node *n)
{
    by_samples_or(s, n, 1, sunup__split_conv_transpose);
}

static void pool(struct split *s, const struct node *n)
{
    by_samples_or(s, n, 0, sunup__split_pool);
}

static void upsample(struct split *s, const struct node *n)
{
    by_samples_or(s, n, 0, sunup__split_upsample);
}

static void group_norm(struct split *s, const struct node *n)
{
    by_samples_or(s, n, 0, sunup__split_norm);
}

static void batch_norm(struct split *s, const struct node *n)
{
    if (first_is_cut(s, n, true) && axis_of(s, n->in[0]) < n->in[0]->shape.n - 1)
        sunup__split_norm(s, n);
    else
        refuse_axis(s, n);
}

/* All of q, k, v by samples; a bias as they are, or one for all. */
static void attention(struct split *s, const struct node *n)
{
    bool fits = true;
    for (int k = 0; k < 3; k++) fits = fits && is_cut(s, n->in[k]) && axis_of(s, n->in[k]) == 0;
    const sunup_value *bias = n->in[3];
    if (bias != NULL)
        fits = fits && (is_cut(s, bias) ? axis_of(s, bias) == 0 : bias->shape.d[0] == 1);
    by_slab_if(s, n, fits, 0, NULL);
}

/* Batches of matrices of both, or the rows of the first one. */
static void matmul(struct split *s, const struct node *n)
{
    const sunup_value *a = n->in[0], *b = n->in[1];
    const int last = a->shape.n - 1, axis = axis_of(s, a);
    const bool both = is_cut(s, a) && is_cut(s, b),
               batches =
                   both && a->shape.n == b->shape.n && axis == axis_of(s, b) && axis < last - 1,
               turned = ((const struct matmul_attr *)n->attr)->flags & SUNUP_TRANSPOSE_A,
               rows = is_cut(s, a) && !both && axis == last - 1 && !turned;
    by_slab_if(s, n, batches || rows, axis + n->out[0]->shape.n - a->shape.n, NULL);
}

/* By the index, or the table by its columns. */
static void gather(struct split *s, const struct node *n)
{
    const bool index = is_cut(s, n->in[1]), table = is_cut(s, n->in[0]);
    const bool fits = index ? !table : axis_of(s, n->in[0]) == 1;
    by_slab_if(s, n, fits, index ? axis_of(s, n->in[1]) : n->in[1]->shape.n, NULL);
}

/* By samples, by the index where rows are whole, or by channels. */
static void gather_rows(struct split *s, const struct node *n)
{
    const bool index = is_cut(s, n->in[1]), rows = is_cut(s, n->in[0]);
    const int of_index = axis_of(s, n->in[1]), of_rows = axis_of(s, n->in[0]);
    const bool samples = index && rows && of_index == 0 && of_rows == 0,
               by_index = index && !rows && of_index > 0, channels = rows && !index && of_rows == 2;
    by_slab_if(s, n, samples || by_index || channels, index ? of_index : n->in[1]->shape.n, NULL);
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
        {&sunup__op_reshape, reshape},
        {&sunup__op_broadcast, broadcast},
        {&sunup__op_dropout, dropout},
        {&sunup__op_conv, conv},
        {&sunup__op_conv_data_grad, conv_transpose},
        {&sunup__op_max_pool, pool},
        {&sunup__op_avg_pool, pool},
        {&sunup__op_upsample, upsample},
        {&sunup__op_batch_norm, batch_norm},
        {&sunup__op_group_norm, group_norm},
        {&sunup__op_attention, attention},
        {&sunup__op_matmul, matmul},
        {&sunup__op_gather, gather},
        {&sunup__op_gather_rows, gather_rows},
        {&sunup__op_top_k, last_axis},
        {&sunup__op_cross_entropy, sunup__split_cross_entropy},
    };
    if (op->flags & OP_POINTWISE) return pointwise;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op) return rules[i].rule;
    return NULL;
}
