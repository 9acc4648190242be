/* call.c - attributes and operands of a node, as operators ask for them.
 *
 * Older files say as an attribute what newer ones say as an operand (axes, shapes, limits): both
 * are found here. An operand that must be known while the graph is built (a shape) and is
 * computed from data is a mistake that says so.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

void sunup__onnx_fail(struct onnx_call *c, sunup_status status, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)sunup__graph_error(c->b->g, status, "%s", what);
}

const Onnx__AttributeProto *sunup__onnx_attribute(const struct onnx_call *c, const char *name)
{
    const Onnx__NodeProto *p = c->node->p;
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->name && strcmp(p->attribute[i]->name, name) == 0)
            return p->attribute[i];
    return NULL;
}

int64_t sunup__onnx_int(const struct onnx_call *c, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, name);
    return a ? a->i : otherwise;
}

double sunup__onnx_float(const struct onnx_call *c, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, name);
    return a ? (double)a->f : otherwise;
}

const char *sunup__onnx_text(const struct onnx_call *c, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, name);
    if (!a || !a->has_s || a->s.len > 62) return otherwise;
    char *text = sunup__arena_alloc(c->b->arena, a->s.len + 1);
    if (!text) return otherwise;
    memcpy(text, a->s.data, a->s.len);
    return text;
}

int sunup__onnx_ints(struct onnx_call *c, const char *name, int room, int64_t *v)
{
    const Onnx__AttributeProto *a = sunup__onnx_attribute(c, name);
    if (!a) return -1;
    if (a->n_ints > (size_t)room) {
        sunup__onnx_fail(c, SUNUP_E_UNSUPPORTED, "%s has %zu numbers; at most %d can be", name,
                         a->n_ints, room);
        return -1;
    }
    for (size_t i = 0; i < a->n_ints; i++) v[i] = a->ints[i];
    return (int)a->n_ints;
}

struct onnx_tensor *sunup__onnx_in(const struct onnx_call *c, int i)
{
    return i < c->node->n_in ? c->in[i] : NULL;
}

static int64_t whole(double x)
{
    return x >= 9e18 ? INT64_MAX : x <= -9e18 ? INT64_MIN : isnan(x) ? 0 : (int64_t)x;
}

int sunup__onnx_whole(struct onnx_call *c, int i, int room, int64_t *v)
{
    const struct onnx_tensor *t = sunup__onnx_in(c, i);
    if (!t) return -1;
    const int64_t n = sunup__elements(&t->shape);
    if (!t->known || n > room || t->shape.n > 1) {
        sunup__onnx_fail(c, SUNUP_E_UNSUPPORTED,
                         !t->known ? "'%s' follows from the data; it must follow from the file and "
                                     "the shapes alone"
                                   : "'%s' is no list of few numbers",
                         t->name);
        return -1;
    }
    for (int64_t k = 0; k < n; k++) v[k] = whole(t->known[k]);
    return (int)n;
}

int sunup__onnx_attribute_or_in(struct onnx_call *c, const char *name, int i, int room, int64_t *v)
{
    return sunup__onnx_attribute(c, name) ? sunup__onnx_ints(c, name, room, v)
                                          : sunup__onnx_whole(c, i, room, v);
}

double sunup__onnx_number(struct onnx_call *c, int i, double otherwise)
{
    const struct onnx_tensor *t = sunup__onnx_in(c, i);
    if (!t) return otherwise;
    if (!t->known || sunup__elements(&t->shape) != 1) {
        sunup__onnx_fail(c, SUNUP_E_UNSUPPORTED, "'%s' must be one number that the file says",
                         t->name);
        return otherwise;
    }
    return t->known[0];
}

int sunup__onnx_axis(struct onnx_call *c, int64_t axis, int rank)
{
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    sunup__onnx_fail(c, SUNUP_E_SHAPE, "axis %lld of a tensor of %d axes", (long long)axis, rank);
    return -1;
}

bool sunup__onnx_shape_ok(const sunup_shape *s)
{
    sunup_shape ones = *s;
    for (int i = 0; i < s->n && i < SUNUP_MAX_DIMS; i++) ones.d[i] = s->d[i] == 0 ? 1 : s->d[i];
    return sunup__shape_ok(&ones);
}

bool sunup__onnx_is_integer(int type)
{
    switch (type) {
    case ONNX(BOOL):
    case ONNX(UINT8):
    case ONNX(INT8):
    case ONNX(UINT16):
    case ONNX(INT16):
    case ONNX(UINT32):
    case ONNX(INT32):
    case ONNX(UINT64):
    case ONNX(INT64):
        return true;
    default:
        return false;
    }
}
