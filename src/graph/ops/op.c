/* op.c - see op.h. */
#include "graph/ops/op.h"

#include <string.h>

void sunup__zero(void *p, sunup_dtype dtype, int64_t n)
{
    if (n > 0) memset(p, 0, (size_t)(n * sunup_dtype_bytes(dtype)));
}

struct pieces sunup__pieces(int64_t n, int64_t width, int64_t work, int64_t most)
{
    int64_t size = width > 0 ? work / width : n;
    if (most > 0 && size < (n + most - 1) / most) size = (n + most - 1) / most;
    if (size < 1) size = 1;
    return (struct pieces){n, size, (n + size - 1) / size};
}

void sunup__add_parts(const void *x, sunup_dtype dtype, int64_t parts, int64_t n, void *y)
{
    for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t p = 0; p < parts; ++p) sum += element_get(x, dtype, p * n + i);
        element_set(y, dtype, i, sum);
    }
}

sunup_status sunup__floats(const struct node *n, int required)
{
    const sunup_value *first = NULL;
    for (int i = 0; i < n->n_in; ++i) {
        const sunup_value *v = n->in[i];
        if (!v && i < required)
            return sunup__op_error(n, SUNUP_E_ARGUMENT, "operand %d is missing (NULL)", i);
        if (!v) continue;
        if (!sunup__is_float(v->dtype))
            return sunup__op_error(n, SUNUP_E_SHAPE,
                                   "operand %d %s has type %s, not f32 or f64; sunup_cast "
                                   "would fit",
                                   i, TEXT(v), sunup_dtype_name(v->dtype));
        if (first && first->dtype != v->dtype)
            return sunup__op_error(n, SUNUP_E_SHAPE,
                                   "operands of types %s and %s; sunup_cast one of them",
                                   sunup_dtype_name(first->dtype), sunup_dtype_name(v->dtype));
        if (!first) first = v;
    }
    return SUNUP_OK;
}

sunup_status sunup__integers(const struct node *n, int i, const char *what)
{
    const sunup_value *v = n->in[i];
    if (!v) return sunup__op_error(n, SUNUP_E_ARGUMENT, "the %s is missing (NULL)", what);
    if (v->dtype != SUNUP_I32)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "the %s %s has type %s, not i32; sunup_cast would fit", what,
                               TEXT(v), sunup_dtype_name(v->dtype));
    return SUNUP_OK;
}

sunup_status sunup__vector(const struct node *n, int i, const char *name, int64_t length,
                           const char *meaning)
{
    const sunup_value *v = i < n->n_in ? n->in[i] : NULL;
    if (!v || (v->shape.n == 1 && v->shape.d[0] == length)) return SUNUP_OK;
    return sunup__op_error(n, SUNUP_E_SHAPE, "%s is %s but [%lld] would fit: one number %s", name,
                           TEXT(v), (long long)length, meaning);
}

void sunup__set_out(struct node *n, int i, sunup_dtype dtype, sunup_shape shape)
{
    n->out[i]->dtype = dtype;
    n->out[i]->shape = shape;
}

static double value_bytes(const sunup_value *v)
{
    return v ? (double)sunup__elements(&v->shape) * (double)sunup_dtype_bytes(v->dtype) : 0;
}

double sunup__moved_bytes(const struct node *n)
{
    double bytes = 0;
    for (int i = 0; i < n->n_in; ++i) bytes += value_bytes(n->in[i]);
    for (int i = 0; i < n->n_out; ++i) bytes += value_bytes(n->out[i]);
    return bytes;
}

struct cost sunup__cost_each(const struct node *n, double flops)
{
    return (struct cost){flops * (double)sunup__elements(&n->in[0]->shape), sunup__moved_bytes(n)};
}

int64_t sunup__product(const sunup_shape *s, int from, int to)
{
    int64_t product = 1;
    for (int i = from; i < to; ++i) product *= s->d[i];
    return product;
}

sunup_value *sunup__sum_to_last(sunup_value *x)
{
    const sunup_shape s = sunup_value_shape(x);
    return sunup__sum_to(x, SUNUP_SHAPE(s.d[s.n - 1]));
}

sunup_value *sunup__alias(sunup_value *x)
{
    return sunup__pointwise(PW_copy, x, NULL, NULL, 0, 0);
}

sunup_value *sunup__plus(sunup_value *a, sunup_value *b)
{
    if (!a || !b) return a ? a : b;
    return sunup_add(a, b);
}

sunup_value *sunup__case_input(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}
