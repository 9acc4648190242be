/* graph.h - nodes, values and ops: what is to be computed, never how or where.
 *
 * A graph is a list of nodes in the order they were made, which is a valid order to run them. A node is an op with
 * its attributes and operands; a value is one of its outputs. Nothing is ever removed or changed; who needs another
 * graph (the plan's fusion) makes new nodes of its own.
 *
 * An op is a row: shape rule, gradient rule, cost, and `run`, its plain way to be computed from leaf functions of
 * kernels.h on host memory. The device table may know better ways (makers); `run` is the meaning and the fallback.
 */
#ifndef SUNUP_GRAPH_H
#define SUNUP_GRAPH_H

#include "base/context.h"
#include "base/memory.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

enum { MAX_IN = 8, MAX_OUT = 4 }; /* of most ops; concat, split and custom have as many as they are given */

struct sunup_value {
    struct node *node;
    int index;              /* which output of the node        */
    int id;                 /* dense number in the graph       */
    sunup_dtype dtype;
    sunup_shape shape;
    const char *name;       /* layer or tensor name; never NULL */
};

/* Everything `run` may see: dense operands, outputs, scratch, leaves and threads. */
struct exec {
    sunup_context *ctx;
    const struct kernels *kernels;
    int threads;
    void *const *in;        /* [n_in], NULL for an absent operand  */
    void *const *out;       /* [n_out]; out[1] on are NULL where nobody reads them */
    void *workspace;        /* as many bytes as op->workspace said */
    const sunup_random_key *key;
};

struct node {
    const struct op *op;
    sunup_graph *graph;
    int id;                 /* position in the graph: also the "position of the op" of random ops */
    const char *layer;      /* scope and name for messages and tables; never NULL */
    int n_in, n_out;
    sunup_value **in;       /* entries may be NULL: absent operand (bias) */
    sunup_value **out;
    void *attr;             /* op->attr_bytes, copied when made */
};

/* What one run costs; bytes: each operand and output moved once. */
struct cost {
    double flops, bytes;
};

enum {
    OP_POINTWISE = 1,       /* attr is struct pointwise_attr; fused into chains by the plan      */
    OP_VIEW = 2,            /* out[0] is in[0]'s memory under another shape                      */
    OP_SOURCE = 4,          /* input, parameter, state, constant: memory, not a step             */
    OP_RANDOM = 8,          /* depends on exec.key                                               */
    OP_FLAT = 16,           /* derivative 0 wherever there is one (compare, sign): no rule needed */
    OP_MEETS = 32,          /* may wait for other processes (ops/parts.h): runs once, in the graph's order */
    OP_AGAIN = 64           /* gradients do not keep its result: the plan makes it again for them  */
};

struct op {
    const char *name;
    size_t attr_bytes;
    unsigned flags;
    int n_out;
    /* Shape rule: refuse operands that may not be NULL, read n->in, fill dtype and shape of n->out[..]; on a mistake
     * return sunup__op_error(n, ...). */
    sunup_status (*infer)(struct node *n);
    /* Gradient rule: dy[o] arrives at out[o] (NULL: nothing does); set dx[i] for operands wanted by want[i] (leave
     * NULL for zero). Built from the public op functions. NULL: asking for a gradient through the op is a mistake,
     * unless it is OP_FLAT or its outputs are integers. */
    void (*grad)(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx);
    /* NULL: flops 0; bytes of operands and outputs. */
    struct cost (*cost)(const struct node *n);
    /* NULL: 0. */
    int64_t (*workspace)(const struct node *n, int threads);
    /* NULL only for OP_SOURCE and OP_VIEW. */
    sunup_status (*run)(const struct node *n, const struct exec *e);
    /* Problems of `sunup check ops`: function that builds the op on small awkward operands; see ops_check.h. */
    const struct op_case *cases;
    int n_cases;
};

struct pointwise_attr {
    int code;               /* enum pointwise */
    double imm[2];
};

/* A fused chain (made by the plan only): a straight program over registers. Registers 0..n_in-1 are the operands,
 * then one for each step's result. Outputs are results of steps. All outputs have the broadcast shape of the operands;
 * an output may lie in the memory of an operand of its own shape only if n_out is 1 (and out[0] the last step). */
enum { CHAIN_STEPS = 32, CHAIN_IN = 16 };
struct chain_step {
    int code, a, b, c;      /* registers; -1: unused */
    double imm[2];
};
struct chain_attr {
    int n_steps, n_out;
    const struct chain_step *steps;
    const int *out;         /* [n_out] the register that is output o */
};
extern const struct op sunup__op_chain; /* ops/chain.c: operands broadcast to the (common) output shape */

struct source_attr {        /* input, parameter, state, constant */
    int kind;               /* enum source_kind */
    sunup_dtype dtype;
    sunup_shape shape;
    sunup_init init;
    void *data;             /* constant: dense data in the graph's arena */
    double low, high;       /* checks draw it from [low, high); both 0: they choose */
};
enum source_kind { SOURCE_INPUT, SOURCE_PARAMETER, SOURCE_STATE, SOURCE_CONSTANT };

struct average {            /* from sunup_average */
    sunup_value *state, *value;
    double momentum;
};
struct named {
    const char *name;
    sunup_value *value;
};

struct sunup_graph {
    sunup_context *ctx;
    sunup_graph_options options;
    struct arena arena;
    struct node **nodes;
    int n_nodes, room_nodes, n_values;
    int gradient_from;      /* nodes from here on were made by a gradient; INT_MAX: there is none */
    sunup_value *poison;
    sunup_status status;    /* of the first mistake */
    char *message;
    const char *scope;      /* "" at first; never NULL */
    const char *layer;      /* sunup__graph_layer; NULL: none */
    sunup_start start;      /* of layers' weights */
    const char *owner;      /* a layer made now takes the parameters of this one; NULL: it makes its own */
    struct average *averages;
    int n_averages;
    struct named *outputs;
    int n_outputs;
};

/* Make a node; the single entrance. in may hold NULL (absent) or poison (then the result is poison). attr is copied.
 * name NULL: the layer that is being built, else op name and number. g NULL (no operand at all): NULL. Returns out[0];
 * others by sunup__output(v, i). n_out from the op (chain, split, custom: n_out > 0 here overrides). */
sunup_value *sunup__node(sunup_graph *g, const struct op *op, int n_in, sunup_value *const *in, const void *attr,
                         int n_out, const char *name);
sunup_value *sunup__output(sunup_value *v, int i);
bool sunup__is_poison(const sunup_value *v);
/* The graph of the first operand that has one; NULL if none. */
sunup_graph *sunup__graph_of(int n, sunup_value *const *in);
/* Record the first mistake ("conv 'conv2': ...") and return the status / poison. */
sunup_status sunup__op_error(const struct node *n, sunup_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
sunup_value *sunup__graph_error(sunup_graph *g, sunup_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Nodes made without a name from here on belong to this layer (scope is put before it); NULL ends it. COPY. */
void sunup__graph_layer(sunup_graph *g, const char *name);
struct cost sunup__node_cost(const struct node *n);
const struct source_attr *sunup__source(const sunup_value *v); /* NULL if v is computed */
/* The first n numbers of a parameter or state (f32 or f64), a function of seed and name alone. */
void sunup__init_fill(sunup_init init, const char *name, uint64_t seed, sunup_dtype dtype, int64_t n, void *data);
char *sunup__graph_print(const sunup_graph *g);                /* one line a node; sunup_free */

/* Ops that only gradient rules use; public ops are in sunup.h. Same conventions. */
sunup_value *sunup__pointwise(int code, sunup_value *a, sunup_value *b, sunup_value *c, double i, double j);
sunup_value *sunup__sum_to(sunup_value *x, sunup_shape shape);   /* undo a broadcast; x itself if equal */
sunup_value *sunup__zeros_like(sunup_value *x);
/* The box of `shape` that starts at from[]; and its adjoint, x put into zeros. */
sunup_value *sunup__slice_box(sunup_value *x, const int64_t *from, sunup_shape shape);

/* All ops, generated from ops/ops.def: OP(conv) declares sunup__op_conv. */
#define OP(name) extern const struct op sunup__op_##name;
#include "graph/ops/ops.def"
#undef OP
const struct op *sunup__op_find(const char *name);
const struct op *sunup__op_at(int i); /* NULL past the end */

/* A check of one op: build makes operands of type sunup_graph_dtype(g) by sunup_input, or by sunup__case_range where
 * the values must lie in a range (also indices), and returns the output (poison: the case is wrong). */
struct op_case {
    const char *problem;    /* "conv:n2c3h5w4k6r3s3:stride2": unique, printed on failure */
    sunup_value *(*build)(sunup_graph *g);
};
sunup_value *sunup__case_range(sunup_graph *g, const char *name, sunup_dtype dtype, sunup_shape shape, double low,
                               double high);

#endif
