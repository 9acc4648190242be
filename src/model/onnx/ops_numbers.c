/* ops_numbers.c - operators that make numbers out of the file and the shapes: constants, ranges,
 * masks, shapes. */
#include <math.h>
#include <string.h>

#include "model/onnx/ops.h"

enum { MAX_NUMBERS = 1 << 23 };

static double *room(struct onnx_call *c, int64_t n)
{
    double *x = n >= 0 && n <= MAX_NUMBERS
                    ? sunup__arena_alloc(c->b->arena, ((size_t)n + 1) * sizeof *x)
                    : NULL;
    if (!x)
        FAIL(c, E_UNSUPPORTED, "%lld numbers; at most %d can be made", (long long)n, MAX_NUMBERS);
    return x;
}

static void known_tensor(struct onnx_call *c, const Onnx__TensorProto *p)
{
    sunup_shape s;
    if (sunup__onnx_tensor_check(c->b->m, p, &s) != SUNUP_OK) {
        FAIL(c, E_FORMAT, "%s", sunup_error(c->b->m->ctx));
        return;
    }
    const int64_t n = sunup__elements(&s);
    double *x = room(c, n);
    if (!x) return;
    sunup__onnx_tensor_read(p, n, x);
    sunup__onnx_known(c, 0, s, p->data_type, x);
}

void sunup__onnx_constant(struct onnx_call *c)
{
    const Onnx__NodeProto *p = c->node->p;
    const Onnx__AttributeProto *a = p->n_attribute > 0 ? p->attribute[0] : NULL;
    if (!a || !a->name) {
        FAIL(c, E_FORMAT, "it has no value");
        return;
    }
    const size_t n = strcmp(a->name, "value_floats") == 0 ? a->n_floats : a->n_ints;
    double *x = room(c, (int64_t)n);
    for (size_t i = 0; x && i < n; i++)
        x[i] = a->n_floats > i ? (double)a->floats[i] : (double)a->ints[i];
    if (!x) return;
    const double one = strcmp(a->name, "value_int") == 0 ? (double)a->i : (double)a->f;
    const int real = ONNX(FLOAT), whole = ONNX(INT64);
    if (strcmp(a->name, "value") == 0 && a->t)
        known_tensor(c, a->t);
    else if (strcmp(a->name, "value_floats") == 0 || strcmp(a->name, "value_ints") == 0)
        sunup__onnx_known(c, 0, SUNUP_SHAPE((int64_t)n), a->name[6] == 'f' ? real : whole, x);
    else if (strcmp(a->name, "value_float") == 0 || strcmp(a->name, "value_int") == 0)
        sunup__onnx_known(c, 0, SUNUP_SCALAR, a->name[6] == 'f' ? real : whole, &one);
    else
        FAIL(c, E_UNSUPPORTED, "a constant given as '%.40s'", a->name);
}

void sunup__onnx_constant_of_shape(struct onnx_call *c)
{
    sunup_shape s = {0};
    s.n = sunup__onnx_whole(c, 0, SUNUP_MAX_DIMS, s.d);
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, "value");
    sunup_shape one = SUNUP_SCALAR;
    double value = 0;
    if (s.n < 0 || !sunup__onnx_shape_ok(&s)) {
        FAIL(c, E_SHAPE, "an impossible shape");
        return;
    }
    if (a && a->t) {
        if (sunup__onnx_tensor_check(c->b->m, a->t, &one) != SUNUP_OK ||
            sunup__elements(&one) != 1) {
            FAIL(c, E_FORMAT, "its value is not one number");
            return;
        }
        sunup__onnx_tensor_read(a->t, 1, &value);
    }
    const int64_t n = sunup__elements(&s);
    double *x = room(c, n);
    for (int64_t i = 0; x && i < n; i++) x[i] = value;
    if (x) sunup__onnx_known(c, 0, s, a && a->t ? a->t->data_type : (int)ONNX(FLOAT), x);
}

/* Shape (kind 0) and Size (kind 1): known whatever the tensor is. */
void sunup__onnx_shape(struct onnx_call *c)
{
    const struct onnx_tensor *t = sunup__onnx_need(c, 0);
    if (!t) return;
    const int rank = t->shape.n;
    double d[SUNUP_MAX_DIMS] = {0};
    int64_t from = sunup__onnx_int(c, "start", 0), to = sunup__onnx_int(c, "end", rank);
    from = from < -rank ? 0 : from < 0 ? from + rank : from > rank ? rank : from;
    to = to < -rank ? 0 : to < 0 ? to + rank : to > rank ? rank : to;
    sunup_shape s = {1, {0}};
    for (int64_t i = from; i < to; i++) d[s.d[0]++] = (double)t->shape.d[i];
    const double size = (double)sunup__elements(&t->shape);
    if (c->node->op->kind == 1)
        sunup__onnx_known(c, 0, SUNUP_SCALAR, ONNX(INT64), &size);
    else
        sunup__onnx_known(c, 0, s, ONNX(INT64), d);
}

void sunup__onnx_range(struct onnx_call *c)
{
    const double from = sunup__onnx_number(c, 0, 0), to = sunup__onnx_number(c, 1, 0);
    const double step = sunup__onnx_number(c, 2, 1), count = ceil((to - from) / step);
    const int64_t n = count > 0 && count <= MAX_NUMBERS + 1. ? (int64_t)count : 0;
    double *x = room(c, count > MAX_NUMBERS ? -1 : n);
    if (!x || !sunup__onnx_need(c, 0)) return;
    for (int64_t i = 0; i < n; i++) x[i] = from + (double)i * step;
    sunup__onnx_known(c, 0, SUNUP_SHAPE(n), c->in[0]->type, x);
}

/* Ones where column - row is k; the shape is its operand's. */
void sunup__onnx_eye_like(struct onnx_call *c)
{
    const struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const int64_t k = sunup__onnx_int(c, "k", 0);
    if (!t || t->shape.n != 2) {
        FAIL(c, E_SHAPE, "its operand has not 2 axes");
        return;
    }
    const int64_t rows = t->shape.d[0], columns = t->shape.d[1];
    double *x = room(c, rows * columns);
    if (!x) return;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) x[i * columns + j] = j - i == k;
    sunup__onnx_known(c, 0, t->shape, (int)sunup__onnx_int(c, "dtype", t->type), x);
}

/* The upper or lower part of matrices, by a mask of ones. */
void sunup__onnx_trilu(struct onnx_call *c)
{
    struct onnx_tensor *t = sunup__onnx_need(c, 0);
    const double k = sunup__onnx_number(c, 1, 0);
    const bool upper = sunup__onnx_int(c, "upper", 1) != 0;
    if (!t || t->shape.n < 2) {
        FAIL(c, E_SHAPE, "its operand has not 2 axes or more");
        return;
    }
    const int64_t rows = t->shape.d[t->shape.n - 2], columns = t->shape.d[t->shape.n - 1];
    double *mask = room(c, rows * columns);
    sunup_value *x = sunup__onnx_first(c->b, t);
    if (!mask || sunup__is_poison(x)) return;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const double d = (double)(j - i);
            mask[i * columns + j] = upper ? d >= k : d <= k;
        }
    const sunup_dtype dtype = sunup_value_dtype(x);
    sunup_value *m =
        sunup_cast(sunup_constant(c->b->g, SUNUP_F64, SUNUP_SHAPE(rows, columns), mask), dtype);
    sunup__onnx_set(c, 0, sunup_where(m, x, sunup_scalar(c->b->g, dtype, 0)), false, t->type);
}

/* The number `on` where a new axis counts to the index, else `off`. */
void sunup__onnx_one_hot(struct onnx_call *c)
{
    struct onnx_tensor *index = sunup__onnx_need(c, 0), *values = sunup__onnx_need(c, 2);
    const double depth = sunup__onnx_number(c, 1, 0);
    if (!index || !values || !values->known || sunup__elements(&values->shape) != 2) {
        FAIL(c, E_UNSUPPORTED, "its two values must be known");
        return;
    }
    const int rank = index->shape.n + 1;
    const int axis =
        rank <= SUNUP_MAX_DIMS ? sunup__onnx_axis(c, sunup__onnx_int(c, "axis", -1), rank) : -1;
    double *count = room(c, depth > 0 && depth < 1e7 ? (int64_t)depth : -1);
    if (axis < 0 || !count) return;
    const int64_t n = (int64_t)depth;
    sunup_shape s = {.n = rank}, places = {.n = rank};
    for (int i = 0; i < rank; i++) {
        s.d[i] = i == axis ? 1 : index->shape.d[i - (i > axis)];
        places.d[i] = i == axis ? n : 1;
    }
    for (int64_t i = 0; i < n; i++) count[i] = (double)i;
    sunup_graph *g = c->b->g;
    sunup_value *i = sunup_cast(sunup__onnx_first(c->b, index), SUNUP_F64);
    sunup_value *below = sunup_compare(i, sunup_scalar(g, SUNUP_F64, 0), SUNUP_LT);
    i = sunup_reshape(sunup_add(i, sunup_scale(below, depth, 0)), s);
    sunup_value *hot = sunup_compare(i, sunup_constant(g, SUNUP_F64, places, count), SUNUP_EQ);
    const double off = values->known[0], on = values->known[1];
    sunup_value *y = sunup_scale(hot, on - off, off);
    sunup__onnx_set(c, 0, sunup_cast(y, sunup__onnx_dtype(c->b, values->type)), false,
                    values->type);
}
