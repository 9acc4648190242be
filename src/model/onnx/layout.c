/* layout.c - axis 1 first, as ONNX has it, or last, as our kernels want it.
 *
 * A tensor of three or more axes is in the graph in one form or both; an operator takes the form
 * it needs, which is made when it is first asked for. Pointwise operators, reductions,
 * concatenations and the like work in the form that is there, so that a chain of convolutions is
 * turned once in front and once behind. A Transpose of the file that says the same thing as a
 * turn is none at all. Invariant: shape is ONNX's whatever the form. Up to two axes both forms
 * are one.
 */
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

sunup_dtype sunup__onnx_dtype(const struct onnx_build *b, int type)
{
    if (b->folding || sunup__onnx_is_integer(type) || type == ONNX(DOUBLE)) return SUNUP_F64;
    return sunup_graph_dtype(b->g);
}

bool sunup__onnx_only_last(const struct onnx_tensor *t)
{
    return t->last && !t->first;
}

int sunup__onnx_place(int axis, int n)
{
    return axis == 0 || n < 3 ? axis : axis == 1 ? n - 1 : axis - 1;
}

sunup_value *sunup__onnx_permute(sunup_value *v, const int *order)
{
    const sunup_shape s = sunup_value_shape(v);
    sunup_shape y = s;
    int before = -1;
    bool moves = false;
    for (int i = 0; i < s.n; i++) {
        y.d[i] = s.d[order[i]];
        if (y.d[i] == 1) continue;
        moves = moves || order[i] < before;
        before = order[i];
    }
    return moves ? sunup_permute(v, order) : sunup_reshape(v, y);
}

static void turns(int n, int *to_last, int *to_first)
{
    for (int i = 0; i < n; i++) to_first[i] = sunup__onnx_place(i, n);
    for (int i = 0; i < n; i++) to_last[to_first[i]] = i;
}

/* A value in the graph for a tensor that is there as numbers. */
static sunup_value *constant(struct onnx_build *b, const struct onnx_tensor *t)
{
    const int64_t n = sunup__elements(&t->shape);
    const sunup_dtype dtype = sunup__onnx_dtype(b, t->type);
    if (dtype == SUNUP_F64) return sunup_constant(b->g, dtype, t->shape, t->known);
    float *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    if (!x) return sunup__graph_error(b->g, SUNUP_E_MEMORY, "no memory for '%s'", t->name);
    for (int64_t i = 0; i < n; i++) x[i] = (float)t->known[i];
    sunup_value *v = sunup_constant(b->g, dtype, t->shape, x);
    sunup__free(x);
    return v;
}

static sunup_value *from_native(const struct onnx_tensor *t)
{
    int back[SUNUP_MAX_DIMS];
    for (int i = 0; i < t->shape.n; i++) back[t->weight->order[i]] = i;
    return sunup__onnx_permute(t->native, back);
}

sunup_value *sunup__onnx_first(struct onnx_build *b, struct onnx_tensor *t)
{
    int to_last[SUNUP_MAX_DIMS], to_first[SUNUP_MAX_DIMS];
    turns(t->shape.n, to_last, to_first);
    if (!t->first && t->native) t->first = from_native(t);
    if (!t->first && t->last) t->first = sunup__onnx_permute(t->last, to_first);
    if (!t->first && t->index) t->first = sunup_cast(t->index, SUNUP_F64);
    if (!t->first && t->known) t->first = constant(b, t);
    return t->first ? t->first : b->g->poison;
}

sunup_value *sunup__onnx_turn(sunup_value *v)
{
    int to_last[SUNUP_MAX_DIMS], to_first[SUNUP_MAX_DIMS];
    const int n = sunup_value_shape(v).n;
    if (n < 3 || sunup__is_poison(v)) return v;
    turns(n, to_last, to_first);
    return sunup__onnx_permute(v, to_last);
}

sunup_value *sunup__onnx_last(struct onnx_build *b, struct onnx_tensor *t)
{
    if (t->last) return t->last;
    sunup_value *v = sunup__onnx_turn(sunup__onnx_first(b, t));
    if (t->shape.n > 2 && !sunup__is_poison(v)) t->last = v;
    return v;
}

sunup_value *sunup__onnx_index(struct onnx_build *b, struct onnx_tensor *t)
{
    if (!t->index) t->index = sunup_cast(sunup__onnx_first(b, t), SUNUP_I32);
    return t->index;
}

void sunup__onnx_set(struct onnx_call *c, int i, sunup_value *v, bool last, int type)
{
    if (i >= c->node->n_out || !c->out[i] || !v) return;
    struct onnx_tensor *t = c->out[i];
    const sunup_shape s = sunup_value_shape(v);
    t->there = true;
    t->type = type;
    t->shape = s;
    last = last && s.n > 2;
    for (int a = 0; a < s.n && last; a++) t->shape.d[a] = s.d[sunup__onnx_place(a, s.n)];
    *(sunup_value_dtype(v) == SUNUP_I32 ? &t->index : last ? &t->last : &t->first) = v;
}

void sunup__onnx_known(struct onnx_call *c, int i, sunup_shape shape, int type, const double *x)
{
    if (i >= c->node->n_out || !c->out[i]) return;
    struct onnx_tensor *t = c->out[i];
    const int64_t n = sunup__elements(&shape);
    double *copy =
        n <= c->b->room ? sunup__arena_alloc(c->b->arena, (size_t)(n + 1) * sizeof *copy) : NULL;
    if (!copy) {
        sunup__onnx_fail(c, SUNUP_E_MEMORY, "no room for %lld known numbers", (long long)n);
        return;
    }
    c->b->room -= n;
    for (int64_t k = 0; k < n; k++) copy[k] = x[k];
    t->there = true;
    t->type = type;
    t->shape = shape;
    t->known = copy;
}

sunup_value *sunup__onnx_take(struct onnx_call *c, sunup_value *x, int axis, int n,
                              const int64_t *rows)
{
    const sunup_shape s = sunup_value_shape(x);
    sunup_shape flat = {2, {s.d[axis], 1}}, moved = s;
    int there[SUNUP_MAX_DIMS], back[SUNUP_MAX_DIMS];
    for (int i = 0; i < s.n; i++) there[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
    for (int i = 0; i < s.n; i++) back[there[i]] = i;
    for (int i = 0; i < s.n; i++) moved.d[i] = s.d[there[i]];
    for (int i = 1; i < s.n; i++) flat.d[1] *= moved.d[i];
    int32_t *index = sunup__arena_alloc(c->b->arena, (size_t)(n + 1) * sizeof *index);
    if (!index) return sunup__graph_error(c->b->g, SUNUP_E_MEMORY, "no memory for %d indices", n);
    for (int i = 0; i < n; i++) index[i] = (int32_t)rows[i];
    sunup_value *table = sunup_reshape(sunup__onnx_permute(x, there), flat);
    sunup_value *y = sunup_gather(table, sunup_constant(c->b->g, SUNUP_I32, SUNUP_SHAPE(n), index));
    moved.d[0] = n;
    return sunup__onnx_permute(sunup_reshape(y, moved), back);
}
