/* onnx.h - an ONNX file as a network: what the importer's parts share.
 *
 *   file.c     bytes -> message (and back), refusing what could hurt; numbers of tensors in files of their own
 *   resolve.c  message -> values by number, nodes in order, which initializers are trained
 *   build.c    one graph from it, for a batch size and mode; nodes of known numbers are computed at once
 *   layout.c   where axis 1 is kept last, and where it has to come back
 *   ops*.c     one function for each operator of ops.def
 *   model.c    the recipe of a model; trained numbers back into the message
 *
 * Invariant: after resolve every node's operands are numbers of values that exist before it.
 * Shapes, types and numbers of the file are trusted nowhere: each use checks them.
 */
#ifndef SUNUP_MODEL_ONNX_H
#define SUNUP_MODEL_ONNX_H

#include <onnx.pb-c.h>

#include "model/model.h"

typedef Onnx__TensorProto__DataType onnx_type;
#define ONNX(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

struct onnx_op;

struct onnx_node {
    const Onnx__NodeProto *p;
    const struct onnx_op *op;
    int n_in, n_out;
    const int *in, *out; /* numbers of values; -1: absent */
};

/* An initializer: constant, or a parameter or state of the model, which keeps it with its axes in
 * another order where every use wants that: axis i of ours is axis order[i] of the file's. */
enum onnx_kind { ONNX_CONSTANT, ONNX_PARAMETER, ONNX_STATE };
struct onnx_weight {
    Onnx__TensorProto *p;
    sunup_shape shape; /* the file's */
    enum onnx_kind kind;
    bool reordered;
    int order[SUNUP_MAX_DIMS];
};

struct onnx_model {
    sunup_context *ctx;
    struct arena arena;
    const char *source;
    Onnx__ModelProto *proto;
    struct onnx_options o;
    int64_t opset;
    sunup_dtype dtype; /* of the trained numbers */
    int n_values, n_nodes, n_inputs, n_outputs, n_weights;
    const char **names; /* [n_values] */
    struct onnx_node *nodes;
    const int *inputs, *outputs;    /* numbers of values; inputs without initializers */
    struct onnx_weight **weight_of; /* [n_values] NULL: none */
    struct onnx_weight *weights;
    struct text note; /* what a user who trains it should know */
};

/* ---- file.c ---- */
sunup_status sunup__onnx_parse(struct onnx_model *m, const void *data, size_t bytes);
sunup_status sunup__onnx_pack(struct onnx_model *m, const char *path);
/* Shape and number of elements agree with the data that are there. */
sunup_status sunup__onnx_tensor_check(const struct onnx_model *m, const Onnx__TensorProto *p,
                                      sunup_shape *shape);
/* The numbers of a checked tensor. */
void sunup__onnx_tensor_read(const Onnx__TensorProto *p, int64_t n, double *x);
/* n numbers into it, in its own type; false: no memory, or a type that is not written. */
bool sunup__onnx_tensor_write(Onnx__TensorProto *p, int64_t n, const double *x);
const char *sunup__onnx_type_name(int type);

/* ---- resolve.c ---- */
sunup_status sunup__onnx_resolve(struct onnx_model *m);
/* ---- roles.c: kind and order of every weight; the note. ---- */
sunup_status sunup__onnx_roles(struct onnx_model *m);

/* ---- build.c ---- */
struct onnx_tensor {
    const char *name;
    int type; /* onnx_type */
    bool there;
    sunup_shape shape;   /* as ONNX says, whatever the layout */
    const double *known; /* the numbers, where they follow from the file and the shapes alone */
    sunup_value *first,
        *last; /* in the graph, with axis 1 where ONNX has it, or last; NULL: not made (yet) */
    sunup_value *index;  /* integers as i32 */
    sunup_value *native; /* a parameter as it is kept */
    const struct onnx_weight *weight;
};

struct onnx_build {
    const struct onnx_model *m;
    sunup_graph
        *g; /* the network's, or while nodes of known numbers are computed a small one of f64 */
    struct arena *arena;
    struct onnx_tensor *t; /* [n_values] */
    bool folding;
    int64_t room; /* known numbers that may still be kept */
};

struct onnx_call {
    struct onnx_build *b;
    const struct onnx_node *node;
    struct onnx_tensor **in, **out; /* NULL: absent */
};

struct onnx_op {
    const char *name;
    void (*make)(struct onnx_call *c);
    const char *roles; /* of its operands; the last letter goes on */
    int kind;
};
const struct onnx_op *sunup__onnx_op(const char *name);
const char *sunup__onnx_op_name(int i); /* NULL past the end */

sunup_status sunup__onnx_build(sunup_graph *g, void *model);

/* ---- model.c ---- */
sunup_status sunup__onnx_open(sunup_context *ctx, const struct onnx_file *file,
                              struct onnx_model **model);
void sunup__onnx_close(struct onnx_model **model);
/* The file's numbers into t, which has our order of axes; false: no memory. */
bool sunup__onnx_weight_read(const struct onnx_weight *w, const sunup_tensor *t);

/* ---- what operators are written with (call.c, layout.c) ---- */
/* A mistake of this node. */
void sunup__onnx_fail(struct onnx_call *c, sunup_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const Onnx__AttributeProto *sunup__onnx_attribute(const struct onnx_call *c, const char *name);
int64_t sunup__onnx_int(const struct onnx_call *c, const char *name, int64_t otherwise);
double sunup__onnx_float(const struct onnx_call *c, const char *name, double otherwise);
const char *sunup__onnx_text(const struct onnx_call *c, const char *name, const char *otherwise);
/* Integers of an attribute; their number, -1: not given, or more than room (a mistake). */
int sunup__onnx_ints(struct onnx_call *c, const char *name, int room, int64_t *v);
struct onnx_tensor *sunup__onnx_in(const struct onnx_call *c, int i);
/* Known integers of operand i, -1 where it is absent or not known (a mistake). */
int sunup__onnx_whole(struct onnx_call *c, int i, int room, int64_t *v);
/* The attribute, or else the operand. -1: neither. */
int sunup__onnx_attribute_or_in(struct onnx_call *c, const char *name, int i, int room, int64_t *v);
/* The one known number of operand i; otherwise where it is absent. */
double sunup__onnx_number(struct onnx_call *c, int i, double otherwise);
/* Axis in [0, rank), or -1 and a mistake. */
int sunup__onnx_axis(struct onnx_call *c, int64_t axis, int rank);

/* The dtype in which numbers of this type are computed. */
sunup_dtype sunup__onnx_dtype(const struct onnx_build *b, int type);
sunup_value *sunup__onnx_first(struct onnx_build *b, struct onnx_tensor *t);
sunup_value *sunup__onnx_last(struct onnx_build *b, struct onnx_tensor *t);
sunup_value *sunup__onnx_index(struct onnx_build *b, struct onnx_tensor *t);
/* Axis 1 is last, and where it came first it has not been asked for. */
bool sunup__onnx_only_last(const struct onnx_tensor *t);
/* Place in a last layout of rank n of ONNX's axis. */
int sunup__onnx_place(int axis, int n);
/* A value in ONNX's order with axis 1 last. */
sunup_value *sunup__onnx_turn(sunup_value *v);
/* A permutation, as a view where no element moves. */
sunup_value *sunup__onnx_permute(sunup_value *v, const int *order);
/* Set output i of the node. */
void sunup__onnx_set(struct onnx_call *c, int i, sunup_value *v, bool last, int type);
void sunup__onnx_known(struct onnx_call *c, int i, sunup_shape shape, int type, const double *x);
/* Rows of axis by indices that are known. */
sunup_value *sunup__onnx_take(struct onnx_call *c, sunup_value *x, int axis, int n,
                              const int64_t *rows);
bool sunup__onnx_is_integer(int type); /* bool is one */
/* Within the limits, also without its axes of length 0: then no product of some of its lengths
 * overflows. */
bool sunup__onnx_shape_ok(const sunup_shape *s);

#endif
