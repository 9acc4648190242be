/* sunup.h - the whole public interface of sunup, in reading order.
 *
 *   context -> graph of values -> gradients -> plan -> numbers          (sections 1-5)
 *   model + data + optimizer -> trainer, on one process or many ranks   (sections 6-10)
 *
 * Conventions
 *   - Handles are opaque and their star is visible. create(..., &x) makes one, destroy(&x) ends it, takes
 *     NULL and leaves NULL. A context must outlive everything made from it.
 *   - Fallible calls return sunup_status (0 = good). sunup_error(ctx) then says what, with which numbers,
 *     where, and what to try. Nothing here prints, exits or aborts.
 *   - Options structs come from their defaults function, which sets `size`; every default is written here.
 *   - Memory: COPY (we copy and forget yours), BORROW (yours must outlive the handle), OWN (we free it).
 *   - Shapes are channels last: N [D [H]] W C, weights [T [R]] S C K, linear weights [in][out].
 *     Dimension letters: N batch, C channels in, K channels out, D H W space, T R S taps, m n k of products.
 *   - Counts are in elements unless a name says _bytes or _s (seconds). `rank` and `ranks` mean MPI only.
 *   - No call is thread-safe on one context; two contexts are independent.
 */
#ifndef SUNUP_H
#define SUNUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SUNUP_VERSION_MAJOR 0
#define SUNUP_VERSION_MINOR 1
#define SUNUP_VERSION_PATCH 0

#if defined(__GNUC__)
#define SUNUP_API __attribute__((visibility("default")))
#else
#define SUNUP_API
#endif

/* ------------------------------------------------------------------------ 1. status --- */

#define SUNUP_STATUSES(X)                                                                          \
    X(OK, 0, "success")                                                                            \
    X(E_ARGUMENT, -1, "an argument is outside what the call accepts")                              \
    X(E_SHAPE, -2, "shapes or element types do not fit together")                                  \
    X(E_MEMORY, -3, "not enough memory")                                                           \
    X(E_FILE, -4, "a file cannot be read or written")                                              \
    X(E_FORMAT, -5, "a file's content is damaged or not what it says")                             \
    X(E_NAN, -6, "a number that is not finite where it must be")                                   \
    X(E_UNSUPPORTED, -7, "not available in this build or on this device")                          \
    X(E_PEER, -8, "another rank failed or disagrees")                                              \
    X(E_HANG, -9, "a rank did not arrive in time")                                                 \
    X(E_STOPPED, -10, "stopped on request, state saved")                                           \
    X(E_END, -11, "no more data")                                                                  \
    X(E_INTERNAL, -12, "a defect of sunup itself")

typedef enum sunup_status {
#define SUNUP__ENUM(name, value, text) SUNUP_##name = (value),
    SUNUP_STATUSES(SUNUP__ENUM)
#undef SUNUP__ENUM
} sunup_status;

/// Name of a status ("E_SHAPE") and its general sentence. Never NULL.
SUNUP_API const char *sunup_status_name(sunup_status status);
SUNUP_API const char *sunup_status_text(sunup_status status);

/// "0.1.0", then compiler and options on request of `sunup doctor`.
SUNUP_API const char *sunup_version(void);

/* ----------------------------------------------------------------------- 2. context --- */

typedef struct sunup_context sunup_context;

typedef enum sunup_log_level { SUNUP_LOG_ERROR, SUNUP_LOG_WARN, SUNUP_LOG_INFO, SUNUP_LOG_DEBUG } sunup_log_level;

/// Receives finished lines without a newline. `arg` is log_arg of the options.
typedef void (*sunup_log_fn)(void *arg, sunup_log_level level, const char *line);

/// How products (convolution, linear, matmul) are computed; all else is the same in each.
typedef enum sunup_numerics {
    SUNUP_NUMERICS_FAST,    /* the default: also Winograd convolution and, with AMX, numbers in two bf16
                               parts, errors of some 1e-6; few rows times a matrix in another order     */
    SUNUP_NUMERICS_EXACT,   /* every product as it is written, in the operands' type                   */
    SUNUP_NUMERICS_BF16     /* as fast, and f32 operands of linear, matmul and conv rounded to bf16, with
                               sums in f32, where the processor is faster so; weights stay f32         */
} sunup_numerics;

SUNUP_API const char *sunup_numerics_name(sunup_numerics numerics); /* "fast", "exact", "bf16" */

typedef struct sunup_context_options {
    size_t size;            /* sizeof of this struct; set by sunup_context_defaults                    */
    int threads;            /* 0: the cores this process may run on (SUNUP_THREADS overrides)          */
    const char *device;     /* "cpu" (SUNUP_DEVICE overrides); "memcheck" poisons and guards memory    */
    const char *isa;        /* NULL: the best this machine has (SUNUP_ISA lowers it: ref avx2 avx512)  */
    const char *tuning;     /* NULL: no tuning file; else read at create, written by tuning            */
    sunup_numerics numerics;/* SUNUP_NUMERICS_FAST (SUNUP_NUMERICS=fast exact bf16 overrides)          */
    sunup_log_fn log;       /* NULL: silent                                                            */
    void *log_arg;
    sunup_log_level log_level; /* SUNUP_LOG_INFO                                                       */
} sunup_context_options;

SUNUP_API sunup_context_options sunup_context_defaults(void);
/// options NULL: the defaults. On failure *ctx is NULL unless only the message could be kept there.
SUNUP_API sunup_status sunup_context_create(const sunup_context_options *options, sunup_context **ctx);
SUNUP_API void sunup_context_destroy(sunup_context **ctx);

/// The sentence of the last failure on this context; "" if none. Valid until the next failure.
SUNUP_API const char *sunup_error(const sunup_context *ctx);
SUNUP_API int sunup_context_threads(const sunup_context *ctx);
/// ISA level in force: "ref", "avx2", "avx512".
SUNUP_API const char *sunup_context_isa(const sunup_context *ctx);
SUNUP_API sunup_numerics sunup_context_numerics(const sunup_context *ctx);
/// For plans made from now on; SUNUP_NUMERICS, where it is set, stays in force.
SUNUP_API void sunup_context_set_numerics(sunup_context *ctx, sunup_numerics numerics);
/// E_ARGUMENT unless text is a name of sunup_numerics_name.
SUNUP_API sunup_status sunup_numerics_find(sunup_context *ctx, const char *text, sunup_numerics *numerics);

/* -------------------------------------------------------------- 3. graphs and values --- */

typedef enum sunup_dtype { SUNUP_F32, SUNUP_F64, SUNUP_I32, SUNUP_U8 } sunup_dtype;

SUNUP_API const char *sunup_dtype_name(sunup_dtype dtype); /* "f32" ... */
SUNUP_API int64_t sunup_dtype_bytes(sunup_dtype dtype);

#define SUNUP_MAX_DIMS 8

/// n dimensions d[0..n-1]; n = 0 is a scalar.
typedef struct sunup_shape {
    int n;
    int64_t d[SUNUP_MAX_DIMS];
} sunup_shape;

/// SUNUP_SHAPE(64, 28, 28, 1); SUNUP_SCALAR has no dimension.
#define SUNUP_SHAPE(...)                                                                           \
    ((sunup_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define SUNUP_SCALAR ((sunup_shape){0, {0}})

typedef struct sunup_graph sunup_graph;
/// A node's output. Owned by its graph. Building is sticky: an op given a bad value returns the graph's poison
/// value, and sunup_graph_finish reports the first mistake with the layer that made it.
typedef struct sunup_value sunup_value;

typedef struct sunup_graph_options {
    size_t size;
    bool training;      /* false: dropout is identity, batch norm uses its running statistics        */
    int64_t batch;      /* 1: what sunup_graph_batch returns; builders use it as N                   */
    sunup_dtype dtype;  /* SUNUP_F32: type of parameters made by layers; SUNUP_F64 for science        */
} sunup_graph_options;

SUNUP_API sunup_graph_options sunup_graph_defaults(void);
SUNUP_API sunup_status sunup_graph_create(sunup_context *ctx, const sunup_graph_options *options,
                                          sunup_graph **graph);
SUNUP_API void sunup_graph_destroy(sunup_graph **graph);
/// SUNUP_OK, or the first mistake made while building.
SUNUP_API sunup_status sunup_graph_finish(sunup_graph *graph);
SUNUP_API int64_t sunup_graph_batch(const sunup_graph *graph);
SUNUP_API bool sunup_graph_training(const sunup_graph *graph);
SUNUP_API sunup_dtype sunup_graph_dtype(const sunup_graph *graph);
/// Names given to values and parameters from here on start with `scope` ("block1."); NULL or "" ends it. COPY.
SUNUP_API void sunup_graph_scope(sunup_graph *graph, const char *scope);
/// Make v findable by name (the trainer looks for "loss" and for its metrics' inputs). COPY of name.
SUNUP_API void sunup_graph_output(sunup_graph *graph, const char *name, sunup_value *v);
/// An output, input, parameter or state by name; NULL if there is none.
SUNUP_API sunup_value *sunup_graph_find(const sunup_graph *graph, const char *name);

SUNUP_API sunup_shape sunup_value_shape(const sunup_value *v);
SUNUP_API sunup_dtype sunup_value_dtype(const sunup_value *v);
SUNUP_API const char *sunup_value_name(const sunup_value *v);
SUNUP_API sunup_graph *sunup_value_graph(const sunup_value *v);

/// How a parameter starts. Uniform in [-a, a], normal with sd a, or the constant a; drawn from counter-based
/// random numbers keyed by (seed, name), so adding a layer changes no other layer's start.
typedef enum sunup_init_kind { SUNUP_INIT_CONSTANT, SUNUP_INIT_UNIFORM, SUNUP_INIT_NORMAL } sunup_init_kind;
typedef struct sunup_init {
    sunup_init_kind kind;
    double a;
} sunup_init;

SUNUP_API sunup_value *sunup_input(sunup_graph *g, const char *name, sunup_dtype dtype, sunup_shape shape);
/// A trained tensor; names must be unique in the graph.
SUNUP_API sunup_value *sunup_parameter(sunup_graph *g, const char *name, sunup_shape shape, sunup_init init);
/// A kept, untrained tensor (running statistics), updated by sunup_average.
SUNUP_API sunup_value *sunup_state(sunup_graph *g, const char *name, sunup_shape shape, sunup_init init);
/// data: [elements of shape] of dtype, COPY.
SUNUP_API sunup_value *sunup_constant(sunup_graph *g, sunup_dtype dtype, sunup_shape shape, const void *data);
SUNUP_API sunup_value *sunup_scalar(sunup_graph *g, sunup_dtype dtype, double value);
/// After a training step: state = (1 - momentum) * state + momentum * mean over the shards of v.
SUNUP_API void sunup_average(sunup_value *state, sunup_value *v, double momentum);

/// Append the gradient of `loss` (a scalar) with respect to wrt[0..n-1] to the graph; grads[i] gets d loss / d
/// wrt[i], shaped as wrt[i] (zeros where loss does not depend on it). Reverse mode; may be called again.
SUNUP_API void sunup_gradient(sunup_value *loss, int n, sunup_value *const *wrt, sunup_value **grads);
/// The same for any output y given dy, the gradient that arrives at it.
SUNUP_API void sunup_gradient_from(sunup_value *y, sunup_value *dy, int n, sunup_value *const *wrt,
                                   sunup_value **grads);

/* --------------------------------------------------------------------------- 4. ops --- */
/* Every op: shape rule, gradient rule, flops and bytes, f32 and f64; see docs/adding-an-op.md.
 * Two-operand pointwise ops broadcast as NumPy does (shapes aligned at the last axis, 1 stretches). */

SUNUP_API sunup_value *sunup_add(sunup_value *a, sunup_value *b);
SUNUP_API sunup_value *sunup_sub(sunup_value *a, sunup_value *b);
SUNUP_API sunup_value *sunup_mul(sunup_value *a, sunup_value *b);
SUNUP_API sunup_value *sunup_div(sunup_value *a, sunup_value *b);
SUNUP_API sunup_value *sunup_neg(sunup_value *x);
SUNUP_API sunup_value *sunup_exp(sunup_value *x);
SUNUP_API sunup_value *sunup_log(sunup_value *x);
SUNUP_API sunup_value *sunup_sqrt(sunup_value *x);
SUNUP_API sunup_value *sunup_square(sunup_value *x);
SUNUP_API sunup_value *sunup_abs(sunup_value *x);
SUNUP_API sunup_value *sunup_sin(sunup_value *x);
SUNUP_API sunup_value *sunup_cos(sunup_value *x);
SUNUP_API sunup_value *sunup_scale(sunup_value *x, double factor, double offset); /* factor*x + offset   */
SUNUP_API sunup_value *sunup_clamp(sunup_value *x, double low, double high);      /* gradient 0 outside  */
SUNUP_API sunup_value *sunup_relu(sunup_value *x);
SUNUP_API sunup_value *sunup_leaky_relu(sunup_value *x, double slope);            /* PyTorch: 0.01       */
SUNUP_API sunup_value *sunup_elu(sunup_value *x, double alpha);                   /* PyTorch: 1.0        */
SUNUP_API sunup_value *sunup_gelu(sunup_value *x);                                /* exact, by erf       */
SUNUP_API sunup_value *sunup_sigmoid(sunup_value *x);
SUNUP_API sunup_value *sunup_tanh(sunup_value *x);
SUNUP_API sunup_value *sunup_softplus(sunup_value *x);

SUNUP_API sunup_value *sunup_floor(sunup_value *x);                               /* gradient 0          */
SUNUP_API sunup_value *sunup_erf(sunup_value *x);
SUNUP_API sunup_value *sunup_atan2(sunup_value *y, sunup_value *x);               /* angle of (x, y)     */
SUNUP_API sunup_value *sunup_mod(sunup_value *a, sunup_value *b);   /* b's sign, as Python; gradient 1 to a */
SUNUP_API sunup_value *sunup_minimum(sunup_value *a, sunup_value *b);  /* equal: half of the gradient each  */
SUNUP_API sunup_value *sunup_maximum(sunup_value *a, sunup_value *b);
SUNUP_API sunup_value *sunup_pow(sunup_value *a, sunup_value *b);

typedef enum sunup_compare_kind { SUNUP_LT, SUNUP_LE, SUNUP_GT, SUNUP_GE, SUNUP_EQ, SUNUP_NE } sunup_compare_kind;
/// 1 where the relation holds, else 0, in the operands' type; no gradient.
SUNUP_API sunup_value *sunup_compare(sunup_value *a, sunup_value *b, sunup_compare_kind kind);
/// a where cond is not 0, else b; cond has the type of a and b.
SUNUP_API sunup_value *sunup_where(sunup_value *cond, sunup_value *a, sunup_value *b);
/// Copy to another element type (i32 and u8 to floats and back; rounds to nearest). Gradient between floats only.
SUNUP_API sunup_value *sunup_cast(sunup_value *x, sunup_dtype dtype);

/// Over axes[0..n-1] (negative counts from the end; n = 0: all). keep: the axes stay with length 1.
SUNUP_API sunup_value *sunup_sum(sunup_value *x, int n, const int *axes, bool keep);
SUNUP_API sunup_value *sunup_mean(sunup_value *x, int n, const int *axes, bool keep);
/// Gradient to the first of equal maxima in memory order.
SUNUP_API sunup_value *sunup_max(sunup_value *x, int n, const int *axes, bool keep);
SUNUP_API sunup_value *sunup_min(sunup_value *x, int n, const int *axes, bool keep);
/// log(sum(exp(x))), stable.
SUNUP_API sunup_value *sunup_logsumexp(sunup_value *x, int n, const int *axes, bool keep);
/// i32 places of the k <= 128 largest (else smallest) along the last axis, best first, of equals the first; NaN counts
/// as the largest. No gradient.
SUNUP_API sunup_value *sunup_top_k(sunup_value *x, int64_t k, bool largest);
/// i32 index of the first maximum along one axis, which is removed. No gradient.
SUNUP_API sunup_value *sunup_argmax(sunup_value *x, int axis);

/// One d may be -1: inferred.
SUNUP_API sunup_value *sunup_reshape(sunup_value *x, sunup_shape shape);
/// [N, ...] -> [N, rest].
SUNUP_API sunup_value *sunup_flatten(sunup_value *x);
/// y.d[i] = x.d[order[i]].
SUNUP_API sunup_value *sunup_permute(sunup_value *x, const int *order);
SUNUP_API sunup_value *sunup_concat(int n, sunup_value *const *x, int axis);
/// parts[0..n-1] lengths along axis, which they must fill; y[0..n-1] out.
SUNUP_API void sunup_split(sunup_value *x, int axis, int n, const int64_t *parts, sunup_value **y);
/// x[..., from : from + length, ...] along axis.
SUNUP_API sunup_value *sunup_slice(sunup_value *x, int axis, int64_t from, int64_t length);
/// y[.., i, ..] = x[.., i - shift, ..] along axis, in a circle.
SUNUP_API sunup_value *sunup_roll(sunup_value *x, int axis, int64_t shift);
typedef enum sunup_pad_mode { SUNUP_PAD_ZERO, SUNUP_PAD_CIRCULAR } sunup_pad_mode;
/// before[i], after[i] for each dimension of x, >= 0.
SUNUP_API sunup_value *sunup_pad(sunup_value *x, const int64_t *before, const int64_t *after, sunup_pad_mode mode);
SUNUP_API sunup_value *sunup_broadcast(sunup_value *x, sunup_shape shape);

/// Zero with probability p, else times 1/(1-p); identity unless the graph is training. The mask depends on
/// (seed, step, sample, position of the op) only. `always`: also when not training (uncertainty by sampling).
SUNUP_API sunup_value *sunup_dropout(sunup_value *x, double p, bool always);

/// Numbers of their own for each sample (first axis), keyed as dropout, drawn in evaluation too: N(0, 1); [0, 1).
SUNUP_API sunup_value *sunup_random_normal(sunup_graph *g, sunup_shape shape);
SUNUP_API sunup_value *sunup_random_uniform(sunup_graph *g, sunup_shape shape);

/// y = x w + b. x [..., in], w [in, out], b [out] or NULL.
SUNUP_API sunup_value *sunup_linear(sunup_value *x, sunup_value *w, sunup_value *b);
enum { SUNUP_TRANSPOSE_A = 1, SUNUP_TRANSPOSE_B = 2 };
/// a [..., m, k], b [..., k, n] (or transposed as flagged); leading axes equal, or absent in one operand.
SUNUP_API sunup_value *sunup_matmul(sunup_value *a, sunup_value *b, int flags);

typedef enum sunup_padding { SUNUP_PADDING_EXPLICIT, SUNUP_PADDING_SAME, SUNUP_PADDING_VALID } sunup_padding;
/// Arrays are in the order of the space axes: entry 0 is the first one x has (W for 1-D, H for 2-D, D for 3-D).
typedef struct sunup_conv_options {
    size_t size;
    int64_t stride[3];          /* 1 1 1                                                             */
    int64_t dilation[3];        /* 1 1 1                                                             */
    sunup_padding padding;      /* SUNUP_PADDING_EXPLICIT with the counts below                      */
    int64_t before[3], after[3];/* 0: rows added on each side                                        */
    sunup_pad_mode pad_mode;    /* SUNUP_PAD_ZERO                                                    */
    int64_t groups;             /* 1                                                                 */
    int64_t output_padding[3];  /* 0: transposed convolution only                                    */
} sunup_conv_options;
SUNUP_API sunup_conv_options sunup_conv_defaults(void);
/// x [N, space.., C], w [taps.., C/groups, K], b [K] or NULL; 1, 2 or 3 space axes. y [N, out.., K],
/// out = (in + before + after - dilation (tap - 1) - 1) / stride + 1. SAME: out = ceil(in / stride), the odd
/// row goes after (as TensorFlow and ONNX SAME_UPPER). options NULL: defaults.
SUNUP_API sunup_value *sunup_conv(sunup_value *x, sunup_value *w, sunup_value *b, const sunup_conv_options *options);
/// The adjoint of sunup_conv. x [N, space.., C], w [taps.., K/groups, C], y [N, out.., K],
/// out = (in - 1) stride - before - after + dilation (tap - 1) + output_padding + 1. Zero padding only.
SUNUP_API sunup_value *sunup_conv_transpose(sunup_value *x, sunup_value *w, sunup_value *b,
                                            const sunup_conv_options *options);

/// A convolution with taps of its own at each place: x [N, W, C] or [N, H, W, C], w [out.., taps.., C, K], b [out.., K]
/// or NULL; stride and dilation of the options (NULL: 1) count, there is no padding.
SUNUP_API sunup_value *sunup_local(sunup_value *x, sunup_value *w, sunup_value *b, const sunup_conv_options *options);

typedef struct sunup_pool_options {
    size_t size;
    int64_t window[3];          /* 2 2 2                                                             */
    int64_t stride[3];          /* 0: the window                                                     */
    sunup_padding padding;      /* SUNUP_PADDING_EXPLICIT                                            */
    int64_t before[3], after[3];/* 0: -inf for max; for avg zeros that count if count_pad            */
    bool count_pad;             /* true, as PyTorch's count_include_pad                              */
} sunup_pool_options;
SUNUP_API sunup_pool_options sunup_pool_defaults(void);
/// Gradient of max to the first maximum of a window. out = (in + before + after - window) / stride + 1.
SUNUP_API sunup_value *sunup_max_pool(sunup_value *x, const sunup_pool_options *options);
SUNUP_API sunup_value *sunup_avg_pool(sunup_value *x, const sunup_pool_options *options);
/// Mean over the space axes: [N, space.., C] -> [N, C].
SUNUP_API sunup_value *sunup_global_avg_pool(sunup_value *x);
typedef enum sunup_upsample_kind { SUNUP_NEAREST, SUNUP_LINEAR } sunup_upsample_kind;
/// Each space axis finer by factors[i], 1 or more, as PyTorch with align_corners=false; LINEAR: in all axes.
SUNUP_API sunup_value *sunup_upsample(sunup_value *x, const int64_t *factors, sunup_upsample_kind kind);

/// Per channel (last axis) over all others. Training graph: batch statistics (biased variance), and the running
/// ones get them by sunup_average (unbiased variance), as PyTorch; statistics are per shard. Else: running ones.
SUNUP_API sunup_value *sunup_batch_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta,
                                        sunup_value *running_mean, sunup_value *running_var, double momentum,
                                        double eps);
/// Over the last n_axes axes; gamma, beta shaped as these, or NULL.
SUNUP_API sunup_value *sunup_layer_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta, int n_axes, double eps);
/// Per sample and group of neighbouring channels; gamma, beta [C] or NULL.
SUNUP_API sunup_value *sunup_group_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta, int64_t groups,
                                        double eps);

/// Over one axis (negative from the end).
SUNUP_API sunup_value *sunup_softmax(sunup_value *x, int axis);
SUNUP_API sunup_value *sunup_log_softmax(sunup_value *x, int axis);

typedef struct sunup_attention_options {
    size_t size;
    int64_t heads;          /* 1: must divide the channels of q, k and v                               */
    bool causal;            /* false; true: query i sees keys 0..i + Lk - Lq                           */
    double scale;           /* 0: 1 / sqrt(channels of q / heads)                                      */
} sunup_attention_options;
SUNUP_API sunup_attention_options sunup_attention_defaults(void);
/// softmax(scale q k^T + bias) v for each head. q [N, Lq, C], k [N, Lk, C], v [N, Lk, V], y [N, Lq, V]; head h has
/// channels [h C/heads, (h+1) C/heads). bias NULL or [N or 1, heads or 1, Lq, Lk], -inf hides a key; a query that sees
/// no key gives zeros. The scores are never held as a whole. options NULL: defaults.
SUNUP_API sunup_value *sunup_attention(sunup_value *q, sunup_value *k, sunup_value *v, sunup_value *bias,
                                       const sunup_attention_options *options);

/// Rows of table [rows, width] by index i32 [...] -> [..., width]. An index outside is an error at run time.
SUNUP_API sunup_value *sunup_gather(sunup_value *table, sunup_value *index);
/// y [rows, width] = sum of x[i] over i with index[i] = row; x [..., width], index [...]. Fixed order of sums.
SUNUP_API sunup_value *sunup_scatter_add(sunup_value *x, sunup_value *index, int64_t rows);

/// Rows of each sample: x [N, P, C], index i32 [N, ..] in [0, P) -> [N, .., C]. Gradient in a fixed order of sums.
SUNUP_API sunup_value *sunup_gather_rows(sunup_value *x, sunup_value *index);
/// Squared distances of points, never below 0: x [N, P, C] -> [N, P, P].
SUNUP_API sunup_value *sunup_pairwise_distance(sunup_value *x);

/* Losses: scalars, means over all elements (cross-entropy: over rows, weighted as PyTorch does). */
SUNUP_API sunup_value *sunup_mse(sunup_value *x, sunup_value *target);
SUNUP_API sunup_value *sunup_l1(sunup_value *x, sunup_value *target);
/// logits [..., classes], label i32 [...]; weight [classes] or NULL; smoothing in [0, 1).
SUNUP_API sunup_value *sunup_cross_entropy(sunup_value *logits, sunup_value *label, sunup_value *weight,
                                           double smoothing);
/// target in [0, 1], same shape; weight broadcastable or NULL; pos_weight [last axis] or NULL.
SUNUP_API sunup_value *sunup_bce_with_logits(sunup_value *x, sunup_value *target, sunup_value *weight,
                                             sunup_value *pos_weight);

/// Your own op. Buffers are dense, of the values' types and shapes. forward fills y; backward fills dx[i] for
/// every floating input (NULL where not wanted). Called by one thread at a time. BORROW of arg.
typedef struct sunup_custom {
    const char *name;
    void (*forward)(void *arg, const void *const *x, void *y);
    void (*backward)(void *arg, const void *const *x, const void *y, const void *dy, void *const *dx); /* or NULL */
    void *arg;
} sunup_custom;
SUNUP_API sunup_value *sunup_custom_op(const sunup_custom *custom, int n, sunup_value *const *x, sunup_dtype dtype,
                                       sunup_shape shape);

/* Layers: ops that make their own parameters "<name>.weight", "<name>.bias" ... with PyTorch's starts. */
/// How linear layers and convolutions start: the default, U(-b, b) with b = 1/sqrt(fan in) for weights and bias; or a
/// bias of 0 and weights of variance 2/fan in (kaiming, He et al. 2015) or 2/(fan in + fan out) (xavier, Glorot 2010).
typedef enum sunup_start {
    SUNUP_START_DEFAULT, SUNUP_START_KAIMING_UNIFORM, SUNUP_START_KAIMING_NORMAL, SUNUP_START_XAVIER_UNIFORM,
    SUNUP_START_XAVIER_NORMAL, SUNUP_START_ZEROS
} sunup_start;
/// Of the layers made from here on.
SUNUP_API void sunup_graph_start(sunup_graph *graph, sunup_start start);
SUNUP_API sunup_value *sunup_layer_linear(sunup_value *x, const char *name, int64_t out, bool bias);
SUNUP_API sunup_value *sunup_layer_conv(sunup_value *x, const char *name, int64_t channels, const int64_t *taps,
                                        bool bias, const sunup_conv_options *options);
SUNUP_API sunup_value *sunup_layer_conv_transpose(sunup_value *x, const char *name, int64_t channels,
                                                  const int64_t *taps, bool bias, const sunup_conv_options *options);
SUNUP_API sunup_value *sunup_layer_local(sunup_value *x, const char *name, int64_t channels, const int64_t *taps,
                                         bool bias, const sunup_conv_options *options);
SUNUP_API sunup_value *sunup_layer_batch_norm(sunup_value *x, const char *name); /* momentum 0.1, eps 1e-5 */
SUNUP_API sunup_value *sunup_layer_layer_norm(sunup_value *x, const char *name, int n_axes);
SUNUP_API sunup_value *sunup_layer_group_norm(sunup_value *x, const char *name, int64_t groups);
SUNUP_API sunup_value *sunup_layer_embedding(sunup_value *index, const char *name, int64_t rows, int64_t width);

/* ------------------------------------------------------------------------- 5. plans --- */

typedef struct sunup_plan sunup_plan;

/// Compile what outputs[0..n-1] need: order, fused steps, one arena, a kernel for each step. No run allocates.
/// BORROW of the graph.
SUNUP_API sunup_status sunup_plan_create(sunup_graph *graph, int n, sunup_value *const *outputs, sunup_plan **plan);
SUNUP_API void sunup_plan_destroy(sunup_plan **plan);
/// Use your memory for an input, parameter, state or output of the plan. BORROW, 64-byte aligned, dense.
SUNUP_API sunup_status sunup_plan_bind(sunup_plan *plan, sunup_value *v, void *memory);
/// Copy in (inputs, parameters, states) or out (the same and outputs), by value. bytes must match.
SUNUP_API sunup_status sunup_plan_set(sunup_plan *plan, sunup_value *v, const void *data, int64_t bytes);
SUNUP_API sunup_status sunup_plan_get(sunup_plan *plan, sunup_value *v, void *data, int64_t bytes);
/// Fill parameters and states that you did not bind as their init says.
SUNUP_API sunup_status sunup_plan_init(sunup_plan *plan, uint64_t seed);
/// What random ops are keyed by: the same numbers give the same bits.
typedef struct sunup_random_key {
    uint64_t seed, step;
    int64_t sample; /* number of the first sample of this run in the global batch */
} sunup_random_key;
SUNUP_API sunup_status sunup_plan_run(sunup_plan *plan, sunup_random_key key);

typedef struct sunup_plan_info {
    size_t size;
    int64_t steps, values;      /* kernels launched a run; values computed                            */
    int64_t arena_bytes;        /* one allocation for all intermediate values                         */
    int64_t unshared_bytes;     /* what they would need without sharing                               */
    int64_t prepared_bytes;     /* weights that stay, in the layouts of their kernels                 */
    double flops, bytes;        /* per run: arithmetic; compulsory memory traffic                     */
} sunup_plan_info;
SUNUP_API sunup_plan_info sunup_plan_describe(const sunup_plan *plan);
/// The steps as a table: number, op, layer, maker, shapes, flops, bytes. Free with sunup_free.
SUNUP_API char *sunup_plan_print(const sunup_plan *plan);
SUNUP_API void sunup_free(void *p);

/* ------------------------------------------------------------------------- 6. ranks --- */

typedef struct sunup_comm sunup_comm;

typedef struct sunup_comm_options {
    size_t size;
    double timeout_s;       /* 300 (SUNUP_TIMEOUT overrides): then the absent ranks are named, E_HANG    */
    int64_t bucket_bytes;   /* 4 MiB: pieces in which gradients travel                                  */
    bool messages;          /* false (SUNUP_MESSAGES=1): a node's ranks share no memory; same bits, slower */
    const char *verify;     /* "steps" (SUNUP_VERIFY overrides): when checksums are compared, or always, or off */
} sunup_comm_options;
SUNUP_API sunup_comm_options sunup_comm_defaults(void);
/// All ranks of the job if this process was started by mpiexec or srun (or MPI is initialised already), else one
/// rank. Initialises MPI (FUNNELED) if need be and then finalises it at destroy.
SUNUP_API sunup_status sunup_comm_create(sunup_context *ctx, const sunup_comm_options *options, sunup_comm **comm);
/// Ranks of the caller's communicator: pass MPI_Comm_c2f(comm). Duplicated.
SUNUP_API sunup_status sunup_comm_create_from(sunup_context *ctx, const sunup_comm_options *options, int mpi_comm_f,
                                              sunup_comm **comm);
SUNUP_API void sunup_comm_destroy(sunup_comm **comm);
SUNUP_API int sunup_comm_rank(const sunup_comm *comm);
SUNUP_API int sunup_comm_ranks(const sunup_comm *comm);
/// Sum of n f32 over shards, in place on every rank, with the same bits for any number of ranks.
///
///   shards  the sum's terms, a number that does not depend on the ranks; rank r holds the contiguous block
///           [r*shards/ranks, (r+1)*shards/ranks), for ranks <= shards
///   terms   [own shards][n] on this rank, overwritten
///   sum     [n] out, equal on all ranks
///
/// Order   one fixed binary tree over the shard numbers, element by element: (0+1)+(2+3), ...
/// Errors  E_SHAPE ranks disagree on n or shards; E_PEER; E_HANG
/// Cost    about (k+1) n/ranks * (ranks-1) elements sent a rank, k = aligned subtrees a rank owns
/// Source  docs/decisions/004-same-bits.md
SUNUP_API sunup_status sunup_comm_sum_shards(sunup_comm *comm, int shards, int64_t n, float *terms, float *sum);
/// The same of elements [r*n/ranks, (r+1)*n/ranks) only on rank r, at part: k n/ranks * (ranks-1) elements sent a rank.
SUNUP_API sunup_status sunup_comm_scatter_shards(sunup_comm *comm, int shards, int64_t n, float *terms, float *part);
/// Agree on a status: the first rank's that is not SUNUP_OK wins, on all.
SUNUP_API sunup_status sunup_comm_agree(sunup_comm *comm, sunup_status mine);

/* ------------------------------------------------------------------------- 7. model --- */

typedef struct sunup_model sunup_model;

/// Builds a network into g: makes inputs (with N = sunup_graph_batch(g)), ends with sunup_graph_output(g,
/// "output", v), or also "loss" for a loss of its own. Called once for each batch size and mode.
typedef sunup_status (*sunup_build_fn)(sunup_graph *g, void *arg);

/// The network and its weights: parameters, then states, f32 unless options say else.
SUNUP_API sunup_status sunup_model_create(sunup_context *ctx, sunup_build_fn build, void *arg, uint64_t seed,
                                          sunup_model **model);
/// From a YAML list of layers (docs/models.md) or an ONNX file (docs/onnx.md), told apart by content.
/// Errors name file, line and the nearest known word.
SUNUP_API sunup_status sunup_model_load(sunup_context *ctx, const char *path, uint64_t seed, sunup_model **model);
/// A network by name: resnet18 34 50 101 152, resnet20 32 44 56 (for small pictures), vgg11 13 16 19, vgg11_bn ... for
/// pictures x [N, H, W, C] of this input [H, W, C]. Tensors have torchvision's names.
SUNUP_API sunup_status sunup_model_zoo(sunup_context *ctx, const char *name, sunup_shape input, int64_t classes,
                                       uint64_t seed, sunup_model **model);
SUNUP_API void sunup_model_destroy(sunup_model **model);

typedef struct sunup_tensor {
    const char *name;
    sunup_dtype dtype;
    sunup_shape shape;
    void *data; /* dense */
} sunup_tensor;
/// Number of parameters (trained tensors), of states, and the i-th, parameters first. *t borrows the model; its data
/// stay where they are until a trainer of the model is made or destroyed, which ranks may share: all write the same.
SUNUP_API int sunup_model_parameters(const sunup_model *model);
SUNUP_API int sunup_model_states(const sunup_model *model);
SUNUP_API sunup_status sunup_model_tensor(const sunup_model *model, int i, sunup_tensor *t);
/// Weights as safetensors. Load checks names, types and shapes; on failure the weights are unchanged.
SUNUP_API sunup_status sunup_model_save_weights(const sunup_model *model, const char *path);
SUNUP_API sunup_status sunup_model_load_weights(sunup_model *model, const char *path);
/// Layer, output shape, parameters, forward flops, activation bytes at this batch; free with sunup_free.
SUNUP_API char *sunup_model_summary(sunup_model *model, int64_t batch);
/// Outputs for n samples: inputs by name (others are passed over), or without names in the order of building;
/// out [n, output shape] f32.
SUNUP_API sunup_status sunup_model_predict(sunup_model *model, int64_t n, int n_inputs, const sunup_tensor *inputs,
                                           float *out);

/* -------------------------------------------------------------------------- 8. data --- */

typedef struct sunup_data sunup_data;

/// What is done to a field before it reaches the network, in this order.
typedef struct sunup_field_options {
    size_t size;
    const char *name;       /* the input's name                                                       */
    const char *path;       /* .idx .idx.gz .npy .npz .h5 .csv (by content, then by ending)           */
    const char *member;     /* npz member, HDF5 data set, CSV column(s) "a" or "2:7"; NULL: the only one */
    sunup_shape shape;      /* per sample; n = 0: the file's; element count must agree                 */
    double scale, offset;   /* 1, 0: x * scale + offset, made f32 unless the input is i32              */
    int n_channels;         /* 0, or channels whose mean/std follow                                    */
    const double *mean, *std; /* [n_channels] after scale: (x - mean) / std. COPY                      */
    bool label;             /* false: floats; true: i32 class                                          */
    int64_t random;         /* 0; else no path: so many samples of made-up numbers, to time a run       */
    int64_t classes;        /* 0: made-up labels are below this                                        */
} sunup_field_options;
SUNUP_API sunup_field_options sunup_field_defaults(void);
/// Fields with equal sample counts. Files are read into memory at once; what does not fit is refused before it is
/// read. Errors name file, byte offset or line, and the reason.
SUNUP_API sunup_status sunup_data_open(sunup_context *ctx, int n, const sunup_field_options *fields, sunup_data **data);
/// From memory: fields [samples, ...]. COPY.
SUNUP_API sunup_status sunup_data_from_memory(sunup_context *ctx, int n, const sunup_tensor *fields, sunup_data **data);
/// Samples that are computed when they are wanted: simulations, injections, augmentations of your own.
typedef struct sunup_sampler {
    /// Write sample `sample` of pass `epoch` (0 in evaluation): y[f] is field f, dense, of its type and shape.
    /// Called by several threads at once, ahead of training, and on many ranks: the numbers must follow from
    /// (epoch, sample). false: it cannot be made, which ends the run.
    bool (*fill)(void *arg, int64_t epoch, int64_t sample, void *const *y);
    void (*end)(void *arg); /* NULL, or called once, when the data are destroyed or could not be made */
    void *arg;
} sunup_sampler;
/// fields[i]: name, type (f32, f64 or i32) and shape of one sample; their data are not looked at.
SUNUP_API sunup_status sunup_data_from_sampler(sunup_context *ctx, int n, const sunup_tensor *fields, int64_t samples,
                                               const sunup_sampler *sampler, sunup_data **data);
/// Samples that follow from what the network said before: a moving field of view, a policy in a simulation. Each place
/// of the batch has a state, which is kept in checkpoints: the bits depend on no rank and no restart.
typedef struct sunup_live {
    int64_t state_bytes; /* of a place; zeros before the first batch of the run                           */
    /// Write the sample of `place` (0 .. batch - 1) for batch `number` of the run as sunup_sampler.fill does. Called
    /// just before the batch is computed, on the rank that does, by several threads at once for different places.
    bool (*fill)(void *arg, int64_t number, int64_t place, void *state, void *const *y);
    /// After it, once, if the batch was good: the place's part of "output", dense, from before the update of weights.
    void (*seen)(void *arg, int64_t number, int64_t place, void *state, const void *output);
    void (*end)(void *arg); /* as sunup_sampler.end */
    void *arg;
} sunup_live;
/// `samples` make an epoch. For training only, with parts = 1.
SUNUP_API sunup_status sunup_data_from_live(sunup_context *ctx, int n, const sunup_tensor *fields, int64_t samples,
                                            const sunup_live *live, sunup_data **data);
SUNUP_API void sunup_data_destroy(sunup_data **data);
SUNUP_API int64_t sunup_data_samples(const sunup_data *data);

typedef struct sunup_augment {
    bool flip;              /* false: mirror W with probability 1/2                                    */
    int shift;              /* 0: move up to this many pixels in H and W, zeros come in                */
    int crop;               /* 0: pad by this many pixels, then crop at random to the old size         */
} sunup_augment;

/* ------------------------------------------------------------------ 9. optimization --- */

typedef struct sunup_optimizer_options {
    size_t size;
    const char *type;       /* "sgd": sgd adam adamw adamax adagrad rmsprop radam ranger lars lamb       */
    double lr_batch;        /* 0: lr as it is; else it is for this batch, and scaled to batch * accumulate */
    const char *lr_scaling; /* "linear": or sqrt                                                        */
    double lr;              /* 0: the type's PyTorch default (sgd, adam 1e-3, adamax 2e-3, adagrad, rmsprop 1e-2) */
    double momentum;        /* 0                                                                       */
    double dampening;       /* 0                                                                       */
    bool nesterov;          /* false                                                                   */
    double betas[2];        /* 0.9 0.999                                                               */
    double alpha;           /* 0.99: rmsprop                                                           */
    bool centered;          /* false: rmsprop                                                          */
    double eps;             /* 0: the type's PyTorch default, 1e-8 (lamb 1e-6, adagrad 1e-10)            */
    double weight_decay;    /* -1: the type's PyTorch default (adamw 1e-2, else 0)                      */
    double trust;           /* 1e-3: lars trust coefficient                                            */
    double clip_value;      /* 0: off; |g| <= this, element by element                                  */
    double clip_norm;       /* 0: off; global 2-norm <= this, before the update                        */
} sunup_optimizer_options;
SUNUP_API sunup_optimizer_options sunup_optimizer_defaults(void);

typedef struct sunup_schedule_options {
    size_t size;
    const char *type;       /* "constant": constant step multistep cosine polynomial exponential one_cycle
                               triangular triangular2 plateau                                         */
    double warmup_steps;    /* 0: linear from warmup_factor*lr                                          */
    double warmup_factor;   /* 0                                                                       */
    double total_steps;     /* 0: the whole run                                                        */
    double step_size, gamma;/* step: every step_size steps times gamma (0.1)                            */
    int n_milestones;
    const double *milestones; /* multistep: at these steps times gamma. COPY                            */
    double min_lr;          /* 0: cosine, polynomial, exponential, plateau end here, triangles begin    */
    double power;           /* 1: polynomial                                                            */
    double flat;            /* 0: the part of the run at lr before cosine, polynomial, exponential fall */
    double step_size_up;    /* 2000: half a cycle of triangular, triangular2                            */
    double pct_start, div_factor, final_div_factor; /* one_cycle: 0.3 25 1e4, lr is the peak; cosine anneal */
    double factor, patience, threshold; /* plateau: 0.1 10 1e-4, fed by the evaluation loss             */
} sunup_schedule_options;
SUNUP_API sunup_schedule_options sunup_schedule_defaults(void);

/* ---------------------------------------------------------------------- 10. training --- */

typedef struct sunup_trainer sunup_trainer;

typedef struct sunup_train_options {
    size_t size;
    int64_t batch;          /* 64: the GLOBAL batch, whatever the ranks                                */
    int shards;             /* 8: terms of every sum; part of the run's definition, ranks <= shards     */
    const char *sum;        /* "tree": or int32, exact in any order, f32 only; part of the definition   */
    const char *wire;       /* "f32": or bf16, to which partial sums are rounded; part of the definition */
    int accumulate;         /* 1: batches summed before an update                                      */
    double epochs;          /* 1                                                                       */
    int64_t max_steps;      /* 0: no limit; ends the run early, the schedule still spans all epochs    */
    uint64_t seed;          /* 0: shuffling, dropout, augmentation                                     */
    bool shuffle;           /* true                                                                    */
    const char *loss;       /* "cross_entropy": or mse l1 bce_with_logits smooth_l1 huber; unless the model
                               has "loss"; or the name of another output of the model that is one      */
    const char *target;     /* NULL: the data field that is no model input                             */
    const char *weight;     /* NULL: or a data field; the loss is sum(w l) / sum(w) over the batch     */
    double label_smoothing; /* 0                                                                       */
    const double *class_weights; /* [n_class_weights] cross_entropy, mean weighted by them, as PyTorch. COPY */
    const double *pos_weight; /* [n_pos_weight] bce_with_logits: one, or one for each last axis. COPY   */
    int n_class_weights, n_pos_weight; /* 0: none                                                      */
    double focal;           /* 0: gamma of (1 - p)^gamma, for cross_entropy and bce_with_logits         */
    double delta;           /* 1: where smooth_l1 (PyTorch's beta) and huber turn linear                */
    const char *const *freeze; /* [n_freeze] names of parameters that are not trained, * for any letters. COPY */
    int n_freeze;           /* 0                                                                       */
    sunup_augment augment;
    sunup_optimizer_options optimizer;
    sunup_schedule_options schedule;
    const char *run_dir;    /* NULL: keep nothing; else metrics, checkpoints, events, report            */
    double checkpoint_steps;/* 0: at each epoch's end only                                             */
    int keep_checkpoints;   /* 2                                                                       */
    int hash_steps;         /* 100: weights compared across ranks every so many steps; 0: never        */
    int log_steps;          /* 50: steps between metric records                                        */
    int64_t memory_bytes;   /* 0: no limit; else forward values are made again in the backward pass, the
                               cheapest first, where a shard's would take more; changes no bit         */
    int parts;              /* 1: slabs that the space of each sample is cut into, a power of two; part of the
                               run's definition. Beyond `shards` ranks, 2, 4 .. parts ranks hold one shard */
    const char *split;      /* NULL: the first space axis; else "D", "H", "W", or "N", a shard's samples, is cut */
} sunup_train_options;
SUNUP_API sunup_train_options sunup_train_defaults(void);

typedef struct sunup_metrics {
    int64_t step;           /* updates done                                                            */
    double epoch;           /* passes over the data                                                    */
    double loss;            /* of this step's batch or of the evaluation, f64                           */
    double accuracy;        /* fraction right; NaN unless labels are classes                           */
    double lr, grad_norm;   /* of this step; grad_norm NaN unless clipping by norm                     */
    double step_s, data_s, comm_s; /* wall time of the step and of the waits inside it                 */
} sunup_metrics;

/// Collective over comm (NULL: one rank). BORROW model, data, comm: destroy them after it. Fails if ranks > shards
/// beyond what parts allow, shards does not divide batch, batch > samples, or the predicted memory does not fit.
/// Several trainers of a model step in turns, in one order on all ranks; each goes on from the others' weights.
SUNUP_API sunup_status sunup_trainer_create(sunup_model *model, sunup_data *data, sunup_comm *comm,
                                            const sunup_train_options *options, sunup_trainer **trainer);
SUNUP_API void sunup_trainer_destroy(sunup_trainer **trainer);
/// One update. E_END when epochs or max_steps are done; E_NAN names step, layer and rank and changes nothing.
SUNUP_API sunup_status sunup_trainer_step(sunup_trainer *trainer, sunup_metrics *metrics);
/// Run to the end: steps, evaluation of eval (may be NULL) after each epoch, checkpoints, records.
SUNUP_API sunup_status sunup_trainer_run(sunup_trainer *trainer, sunup_data *eval, sunup_metrics *last);
/// Loss and accuracy over a data set, in evaluation mode; split over ranks, same bits for any number of them.
SUNUP_API sunup_status sunup_trainer_evaluate(sunup_trainer *trainer, sunup_data *data, sunup_metrics *metrics);
/// Write or read a checkpoint: weights, states, moments, position in the data. Resuming gives the bits of the
/// uninterrupted run. NULL path at restore: the newest valid one in run_dir, E_FILE if none.
SUNUP_API sunup_status sunup_trainer_save(sunup_trainer *trainer, const char *path);
SUNUP_API sunup_status sunup_trainer_restore(sunup_trainer *trainer, const char *path);
/// Ask a running trainer (from a signal handler or another thread) to finish its step, save and return E_STOPPED.
SUNUP_API void sunup_trainer_stop(sunup_trainer *trainer);
/// A 64-bit hash of all weights and states, equal on all ranks.
SUNUP_API uint64_t sunup_model_hash(const sunup_model *model);

#ifdef __cplusplus
}
#endif
#endif
