/* export.h - a graph of ours as an ONNX graph: what export.c (walk, values, file) and
 * export_ops.c (nodes) share.
 *
 * Every value of the graph has a name in the file for the form it is in: `plain`, its own axes,
 * or `turned`, the last axis as axis 1, where ONNX wants channels. A form that is asked for and
 * not there is made by a Transpose, once.
 */
#ifndef SUNUP_MODEL_ONNX_EXPORT_H
#define SUNUP_MODEL_ONNX_EXPORT_H

#include "model/onnx/onnx.h"

struct written {
    const char *plain, *turned;
};

struct export
{
    sunup_model *model;
    sunup_graph *g;
    const sunup_graph *other; /* for another batch: lengths that differ are the batch */
    struct arena arena;
    struct written *values; /* by value id */
    Onnx__NodeProto **nodes;
    Onnx__TensorProto **tensors;
    Onnx__ValueInfoProto **inputs;
    int n_nodes, room_nodes, n_tensors, room_tensors, n_inputs, fresh;
    const struct node *at; /* the node of the graph that is being written */
    bool failed;           /* no memory, or a mistake has been raised     */
};

/* Writes what makes v, unless that is done. */
void sunup__export_need(struct export *e, sunup_value *v);
/* The name of v in a form. */
const char *sunup__export_get(struct export *e, sunup_value *v, bool turned);
/* v is there under this name. */
void sunup__export_set(struct export *e, const sunup_value *v, bool turned, const char *name);
bool sunup__export_only_turned(const struct export *e, const sunup_value *v);
/* A node with one output, whose name it gives; inputs end with the n-th, NULL is an absent one. */
const char *sunup__export_node(struct export *e, const char *op, int n, const char *const *in);
/* Attributes and further outputs of the last node. */
void sunup__export_int(struct export *e, const char *name, int64_t v);
void sunup__export_float(struct export *e, const char *name, double v);
void sunup__export_text(struct export *e, const char *name, const char *v);
void sunup__export_ints(struct export *e, const char *name, int n, const int64_t *v);
const char *sunup__export_output(struct export *e);
/* Initializers: whole numbers; n equal numbers (n < 0: a scalar); numbers as they are. */
const char *sunup__export_whole(struct export *e, int n, const int64_t *v);
const char *sunup__export_fill(struct export *e, sunup_dtype dtype, int64_t n, double x);
const char *sunup__export_tensor(struct export *e, const char *name, sunup_dtype dtype,
                                 sunup_shape shape, const void *data);
/* A weight, or anything: its axes in another order, in the file if it is a weight that has no
 * form yet. */
const char *sunup__export_ordered(struct export *e, sunup_value *v, const int *order);
/* Lengths of v with -1 for the batch; false: two axes hold it. */
bool sunup__export_lengths(const struct export *e, const sunup_value *v, int64_t *d);
void sunup__export_fail(struct export *e, const char *why);
/* Zeroed memory of the export; a copy of a text; NULL: it has failed. */
void *sunup__export_room(struct export *e, size_t bytes);
char *sunup__export_copy(struct export *e, const char *text);
int sunup__export_type(sunup_dtype dtype);

/* export_shapes.c, export_layers.c: the node e->at, by its op. */
#define EXPORT(op) void sunup__export_##op(struct export *e);
#include "model/onnx/export.def"
#undef EXPORT

/* export_shapes.c: the node e->at and, before it, what makes its operands. */
void sunup__export_op(struct export *e);
/* export_pointwise.c: false: it is no pointwise op; a batch norm, which the inference graph has
 * as a chain of those, goes back into one node. */
bool sunup__export_pointwise(struct export *e);
bool sunup__export_batch_norm(struct export *e);

/* Shorthand of functions that write a node: operand i of e->at in a form, a node of operands by
 * name, whole numbers, and the form that the result is in. */
#define GET(i, turned) sunup__export_get(e, e->at->in[i], turned)
#define NODE(op, ...)                                                                              \
    sunup__export_node(e, op, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),       \
                       (const char *const[]){__VA_ARGS__})
#define WHOLE(...)                                                                                 \
    sunup__export_whole(e, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),              \
                        (const int64_t[]){__VA_ARGS__})
#define DONE(turned, name) sunup__export_set(e, e->at->out[0], turned, name)
static inline const sunup_shape *in_shape(const struct export *e, int i)
{
    return &e->at->in[i]->shape;
}

#endif
