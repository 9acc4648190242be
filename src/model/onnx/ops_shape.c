/* ops_shape.c - the same numbers in another shape or order, and several tensors as one.
 *
 * A file made for one batch size has it in its shapes; where such a shape cannot be right for the
 * real batch, it is meant to follow it (batch_follows).
 */
#include <string.h>

#include "model/onnx/ops.h"

/* -------------------------------------------------------------------------- shapes --- */

/* The batch that the file was made for; 0: it leaves it open. */
static int64_t file_batch(const struct onnx_model *m)
{
    const Onnx__GraphProto *g = m->proto->graph;
    for (size_t i = 0; i < g->n_input && !m->o.as_is; i++) {
        const Onnx__TypeProto *t = g->input[i]->type;
        const bool there = t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
                           t->tensor_type && t->tensor_type->shape &&
                           t->tensor_type->shape->n_dim > 0;
        if (!there || strcmp(g->input[i]->name, m->names[m->n_inputs ? m->inputs[0] : 0]) != 0)
            continue;
        const Onnx__TensorShapeProto__Dimension *d = t->tensor_type->shape->dim[0];
        return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value
                                                                                     : 0;
    }
    return 0;
}

static void batch_follows(const struct onnx_call *c, const sunup_shape *x, sunup_shape *y)
{
    const int64_t made_for = file_batch(c->b->m), batch = sunup_graph_batch(c->b->g);
    if (made_for < 1 || made_for == batch || c->b->folding || y->n < 1) return;
    double n = 1; /* the file may say anything */
    bool open = false;
    for (int i = 0; i < y->n; i++) {
        open = open || y->d[i] < 0;
        n *= y->d[i] < 0 ? 1 : (double)y->d[i];
    }
    if (open && y->d[0] == made_for && x->n > 0 && x->d[0] == batch) y->d[0] = batch;
    if (open || y->d[0] % made_for != 0) return;
    if ((double)sunup__elements(x) * (double)made_for == n * (double)batch && n > 0)
        y->d[0] = y->d[0] / made_for * batch;
}

void sunup__onnx_reshape(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t want[SUNUP_MAX_DIMS];
    const int n = sunup__onnx_attribute_or_in(c, "shape", 1, SUNUP_MAX_DIMS, want);
    if (!t || n < 0) {
        FAIL(c, E_FORMAT, "no shape to reshape to");
        return;
    }
    sunup_shape s = {.n = n};
    const bool zero = sunup__onnx_int(c, "allowzero", 0) != 0;
    for (int i = 0; i < n; i++)
        s.d[i] = want[i] == 0 && !zero && i < t->shape.n ? t->shape.d[i] : want[i];
    sunup_shape closed = s;
    for (int i = 0; i < n; i++) closed.d[i] = s.d[i] == -1 ? 1 : s.d[i];
    if (!sunup__onnx_shape_ok(&closed)) {
        FAIL(c, E_SHAPE, "an impossible shape");
        return;
    }
    batch_follows(c, &t->shape, &s);
    sunup__onnx_set(c, 0, sunup_reshape(sunup__onnx_first(c->b, t), s), false, t->type);
}

void sunup__onnx_flatten(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    if (!t) return;
    int64_t axis = sunup__onnx_int(c, "axis", 1);
    axis = axis < 0 ? axis + t->shape.n : axis;
    sunup_shape s = {2, {1, 1}};
    for (int i = 0; i < t->shape.n; i++) s.d[i >= axis] *= t->shape.d[i];
    sunup__onnx_set(c, 0, sunup_reshape(sunup__onnx_first(c->b, t), s), false, t->type);
}

/* Axes go (kind 0) or come (kind 1). An i32 stays one. */
void sunup__onnx_squeeze(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t given[SUNUP_MAX_DIMS];
    const int n = sunup__onnx_attribute_or_in(c, "axes", 1, SUNUP_MAX_DIMS, given);
    if (!t) return;
    const bool more = c->node->op->kind == 1;
    const int rank = t->shape.n + (more && n > 0 ? n : 0);
    bool among[SUNUP_MAX_DIMS] = {false};
    if (rank > SUNUP_MAX_DIMS) {
        FAIL(c, E_UNSUPPORTED, "%d axes; at most %d can be", rank, SUNUP_MAX_DIMS);
        return;
    }
    for (int i = 0; i < n; i++) {
        const int axis = sunup__onnx_axis(c, given[i], rank);
        if (axis < 0) return;
        among[axis] = true;
    }
    for (int i = 0; i < rank && n < 0; i++) among[i] = !more && t->shape.d[i] == 1;
    sunup_shape s = {0};
    int from = 0;
    for (int i = 0; i < rank; i++) {
        if (more) s.d[s.n++] = among[i] || from >= t->shape.n ? 1 : t->shape.d[from++];
        if (!more && !among[i]) s.d[s.n++] = t->shape.d[i];
    }
    sunup_value *x = t->index && !t->first ? t->index : sunup__onnx_first(c->b, t);
    sunup__onnx_set(c, 0, sunup_reshape(x, s), false, t->type);
}

void sunup__onnx_transpose(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    if (!t) return;
    int64_t given[SUNUP_MAX_DIMS];
    const int rank = t->shape.n, n = sunup__onnx_ints(c, "perm", SUNUP_MAX_DIMS, given);
    int order[SUNUP_MAX_DIMS];
    unsigned seen = 0;
    bool to_last = rank > 2, to_first = rank > 2;
    for (int i = 0; i < rank; i++) {
        order[i] = n == rank ? (int)given[i] : rank - 1 - i;
        if (order[i] >= 0 && order[i] < rank) seen |= 1u << order[i];
        to_last = to_last && order[i] == (i == 0 ? 0 : i + 1 < rank ? i + 1 : 1);
        to_first = to_first && order[i] == (i == 0 ? 0 : i == 1 ? rank - 1 : i - 1);
    }
    if ((n >= 0 && n != rank) || seen != (1u << rank) - 1) {
        FAIL(c, E_FORMAT, "perm is no order of %d axes", rank);
        return;
    }
    if (to_last && t->last)
        sunup__onnx_set(c, 0, t->last, false, t->type);
    else if (to_first)
        sunup__onnx_set(c, 0, sunup__onnx_first(c->b, t), true, t->type);
    else
        sunup__onnx_set(c, 0, sunup__onnx_permute(sunup__onnx_first(c->b, t), order), false,
                        t->type);
}

/* -------------------------------------------------------------------------- copies --- */

void sunup__onnx_expand(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    sunup_shape want = {0}, y;
    want.n = sunup__onnx_whole(c, 1, SUNUP_MAX_DIMS, want.d);
    if (!t || want.n < 0) return;
    if (!sunup__broadcast_shapes(&t->shape, &want, &y) || !sunup__onnx_shape_ok(&y)) {
        FAIL(c, E_SHAPE, "the shapes of its operands do not broadcast");
        return;
    }
    sunup__onnx_set(c, 0, sunup_broadcast(sunup__onnx_first(c->b, t), y), false, t->type);
}

void sunup__onnx_tile(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    int64_t times[SUNUP_MAX_DIMS];
    const int n = sunup__onnx_whole(c, 1, SUNUP_MAX_DIMS, times);
    if (!t) return;
    if (n != t->shape.n) {
        FAIL(c, E_SHAPE, "%d repeats for %d axes", n, t->shape.n);
        return;
    }
    sunup_shape s = t->shape;
    sunup_value *y = sunup__onnx_first(c->b, t);
    for (int i = 0; i < n; i++) {
        sunup_shape rows = {3, {1, 1, 1}};
        for (int k = 0; k < n; k++) rows.d[k < i ? 0 : 2] *= s.d[k];
        y = sunup_reshape(y, rows);
        rows.d[1] = times[i]; /* below 0 is no shape */
        if (!sunup__onnx_shape_ok(&rows)) {
            FAIL(c, E_SHAPE, "%lld repeats", (long long)times[i]);
            return;
        }
        s.d[i] *= times[i];
        y = sunup_reshape(sunup_broadcast(y, rows), s);
    }
    sunup__onnx_set(c, 0, y, false, t->type);
}

void sunup__onnx_concat(struct onnx_call *c)
{
    const int n = c->node->n_in;
    sunup_value **v = sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *v);
    bool last = false, wide = false;
    for (int i = 0; i < n; i++) {
        if (!v || !sunup__onnx_need(c, i)) return;
        last = last || sunup__onnx_only_last(c->in[i]);
        if (c->in[i]->shape.n == c->in[0]->shape.n) continue;
        FAIL(c, E_SHAPE, "operands of %d and %d axes", c->in[0]->shape.n, c->in[i]->shape.n);
        return;
    }
    const int rank = n > 0 ? c->in[0]->shape.n : 0;
    const int axis = sunup__onnx_axis(c, sunup__onnx_int(c, "axis", 1), rank);
    if (axis < 0) return;
    for (int i = 0; i < n; i++) {
        v[i] = last ? sunup__onnx_last(c->b, c->in[i]) : sunup__onnx_first(c->b, c->in[i]);
        if (sunup__is_poison(v[i])) return;
        wide = wide || sunup_value_dtype(v[i]) == SUNUP_F64;
    }
    for (int i = 0; i < n && wide; i++) v[i] = sunup_cast(v[i], SUNUP_F64);
    sunup_value *y = sunup_concat(n, v, last ? sunup__onnx_place(axis, rank) : axis);
    sunup__onnx_set(c, 0, y, last, c->in[0]->type);
}

/* Blocks of channels become blocks of pixels (kind 0) or the other way round. */
void sunup__onnx_depth_to_space(struct onnx_call *c)
{
    static const int orders[][6] = {{0, 3, 4, 1, 5, 2},
                                    {0, 1, 4, 2, 5, 3}, /* DCR, CRD */
                                    {0, 3, 5, 1, 2, 4},
                                    {0, 1, 3, 5, 2, 4}}; /* and back */
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int64_t b = sunup__onnx_int(c, "blocksize", 0);
    if (!t) return;
    if (t->shape.n != 4 || b < 1 || b > 1 << 20) {
        FAIL(c, E_SHAPE, "blocks of %lld in a tensor of %d axes", (long long)b, t->shape.n);
        return;
    }
    const int64_t *d = t->shape.d;
    const bool back = c->node->op->kind == 1;
    const bool crd = strcmp(sunup__onnx_text(c, "mode", "DCR"), "CRD") == 0;
    sunup_value *x = sunup__onnx_first(c->b, t);
    if (back ? d[2] % b != 0 || d[3] % b != 0 : d[1] % (b * b) != 0) {
        FAIL(c, E_SHAPE, "blocks of %lld do not divide its axes", (long long)b);
        return;
    }
    const int64_t k = back ? 0 : d[1] / (b * b);
    const sunup_shape in = back  ? SUNUP_SHAPE(d[0], d[1], d[2] / b, b, d[3] / b, b)
                           : crd ? SUNUP_SHAPE(d[0], k, b, b, d[2], d[3])
                                 : SUNUP_SHAPE(d[0], b, b, k, d[2], d[3]);
    const sunup_shape out = back ? SUNUP_SHAPE(d[0], d[1] * b * b, d[2] / b, d[3] / b)
                                 : SUNUP_SHAPE(d[0], k, d[2] * b, d[3] * b);
    sunup_value *y = sunup_permute(sunup_reshape(x, in), orders[2 * back + crd]);
    sunup__onnx_set(c, 0, sunup_reshape(y, out), false, t->type);
}
