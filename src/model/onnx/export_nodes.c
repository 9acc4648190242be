/* export_nodes.c - what an ONNX graph is made of: nodes, attributes and tensors, in the export's
 * arena.
 *
 * Everything made here lives until the file is written. Names of values that are not a network's
 * own are the layer and a number, "conv1/12".
 */
#include <stdio.h>
#include <string.h>

#include "model/onnx/export.h"
#include "tensor/tensor.h"

void *sunup__export_room(struct export *e, size_t bytes)
{
    void *p = sunup__arena_alloc(&e->arena, bytes + 1);
    if (!p && !e->failed)
        (void)sunup__raise(e->model->ctx, SUNUP_E_MEMORY, "%s: no memory to write it",
                           e->model->source);
    e->failed = e->failed || !p;
    return p;
}

char *sunup__export_copy(struct export *e, const char *text)
{
    const size_t n = strlen(text) + 1;
    char *p = sunup__export_room(e, n);
    if (p) memcpy(p, text, n);
    return p;
}

/* list with room for one more pointer. */
static bool grow(void *list, int n, int *size)
{
    void ***p = list;
    if (n < *size) return true;
    const int more = *size > 0 ? 2 * *size : 64;
    void **grown = sunup__realloc(*p, (size_t)more * sizeof *grown);
    if (!grown) return false;
    *p = grown;
    *size = more;
    return true;
}

/* -------------------------------------------------------------------------- nodes --- */

static char *fresh_name(struct export *e)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%.120s/%d", e->at ? e->at->layer : "", e->fresh++);
    return sunup__export_copy(e, text);
}

const char *sunup__export_node(struct export *e, const char *op, int n, const char *const *in)
{
    Onnx__NodeProto *p = sunup__export_room(e, sizeof *p);
    char **operands = sunup__export_room(e, (size_t)n * sizeof *operands),
         **outputs = sunup__export_room(e, sizeof *outputs);
    if (e->failed || !grow(&e->nodes, e->n_nodes, &e->room_nodes)) {
        e->failed = true;
        return "";
    }
    onnx__node_proto__init(p);
    for (int i = 0; i < n; i++) operands[i] = sunup__export_copy(e, in[i] ? in[i] : "");
    p->op_type = sunup__export_copy(e, op);
    p->n_input = (size_t)n;
    p->input = operands;
    p->n_output = 1;
    p->output = outputs;
    outputs[0] = fresh_name(e);
    p->name = outputs[0];
    e->nodes[e->n_nodes++] = p;
    return e->failed ? "" : outputs[0];
}

const char *sunup__export_output(struct export *e)
{
    if (e->failed) return "";
    Onnx__NodeProto *p = e->nodes[e->n_nodes - 1];
    char **outputs = sunup__export_room(e, (p->n_output + 1) * sizeof *outputs),
         *name = fresh_name(e);
    if (e->failed) return "";
    memcpy(outputs, p->output, p->n_output * sizeof *outputs);
    outputs[p->n_output++] = name;
    p->output = outputs;
    return name;
}

static Onnx__AttributeProto *attribute(struct export *e, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
    if (e->failed) return NULL;
    Onnx__NodeProto *p = e->nodes[e->n_nodes - 1];
    Onnx__AttributeProto *a = sunup__export_room(e, sizeof *a),
                         **all = sunup__export_room(e, (p->n_attribute + 1) * sizeof *all);
    if (e->failed) return NULL;
    onnx__attribute_proto__init(a);
    a->name = sunup__export_copy(e, name);
    a->has_type = true;
    a->type = type;
    if (p->n_attribute > 0)
        memcpy(all, p->attribute, p->n_attribute * sizeof(Onnx__AttributeProto *));
    all[p->n_attribute++] = a;
    p->attribute = all;
    return a;
}

void sunup__export_int(struct export *e, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = attribute(e, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a) return;
    a->has_i = true;
    a->i = v;
}

void sunup__export_float(struct export *e, const char *name, double v)
{
    Onnx__AttributeProto *a = attribute(e, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a) return;
    a->has_f = true;
    a->f = (float)v;
}

void sunup__export_text(struct export *e, const char *name, const char *v)
{
    Onnx__AttributeProto *a = attribute(e, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *text = sunup__export_copy(e, v);
    if (!a || !text) return;
    a->has_s = true;
    a->s = (ProtobufCBinaryData){.len = strlen(v), .data = (unsigned char *)text};
}

void sunup__export_ints(struct export *e, const char *name, int n, const int64_t *v)
{
    Onnx__AttributeProto *a = attribute(e, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *ints = sunup__export_room(e, (size_t)n * sizeof *ints);
    if (!a || !ints) return;
    for (int i = 0; i < n; i++) ints[i] = v[i];
    a->n_ints = (size_t)n;
    a->ints = ints;
}

/* -------------------------------------------------------------------------- tensors --- */

int sunup__export_type(sunup_dtype dtype)
{
    return dtype == SUNUP_F64   ? (int)ONNX(DOUBLE)
           : dtype == SUNUP_F32 ? (int)ONNX(FLOAT)
           : dtype == SUNUP_I32 ? (int)ONNX(INT32)
                                : (int)ONNX(UINT8);
}

static const char *tensor(struct export *e, const char *name, int type, sunup_shape shape,
                          size_t bytes, const void *data)
{
    Onnx__TensorProto *p = sunup__export_room(e, sizeof *p);
    int64_t *dims = sunup__export_room(e, sizeof shape.d);
    unsigned char *raw = sunup__export_room(e, bytes);
    if (e->failed || !grow(&e->tensors, e->n_tensors, &e->room_tensors)) {
        e->failed = true;
        return "";
    }
    onnx__tensor_proto__init(p);
    for (int i = 0; i < shape.n; i++) dims[i] = shape.d[i];
    if (bytes > 0) memcpy(raw, data, bytes);
    p->name = name ? sunup__export_copy(e, name) : fresh_name(e);
    p->has_data_type = true;
    p->data_type = type;
    p->n_dims = (size_t)shape.n;
    p->dims = dims;
    p->has_raw_data = true;
    p->raw_data = (ProtobufCBinaryData){.len = bytes, .data = raw};
    e->tensors[e->n_tensors++] = p;
    return p->name ? p->name : "";
}

const char *sunup__export_tensor(struct export *e, const char *name, sunup_dtype dtype,
                                 sunup_shape shape, const void *data)
{
    const size_t bytes = (size_t)(sunup__elements(&shape) * sunup_dtype_bytes(dtype));
    return tensor(e, name, sunup__export_type(dtype), shape, bytes, data);
}

const char *sunup__export_whole(struct export *e, int n, const int64_t *v)
{
    return tensor(e, NULL, ONNX(INT64), SUNUP_SHAPE(n), (size_t)n * sizeof *v, v);
}

const char *sunup__export_fill(struct export *e, sunup_dtype dtype, int64_t n, double x)
{
    const sunup_shape shape = n < 0 ? SUNUP_SCALAR : SUNUP_SHAPE(n);
    const int64_t count = n < 0 ? 1 : n;
    double *wide = sunup__export_room(e, (size_t)count * sizeof *wide);
    float *narrow = sunup__export_room(e, (size_t)count * sizeof *narrow);
    if (e->failed) return "";
    for (int64_t i = 0; i < count; i++) narrow[i] = (float)(wide[i] = x);
    return sunup__export_tensor(e, NULL, dtype, shape,
                                dtype == SUNUP_F64 ? (const void *)wide : narrow);
}
