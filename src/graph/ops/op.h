/* op.h - what op files share: checks of operands, access to elements of either type, fixed chunks
 * of work.
 *
 * Invariant of every `run`: work is cut into pieces whose number and bounds follow from shapes
 * alone, and partial sums are added in the order of the pieces, so that no result depends on the
 * number of threads.
 */
#ifndef SUNUP_GRAPH_OP_H
#define SUNUP_GRAPH_OP_H

#include "base/system.h"
#include "graph/graph.h"

/* The leaf of the element type; void pointers fit both. */
#define CALL(e, dtype, leaf, ...)                                                                  \
    ((dtype) == SUNUP_F64 ? (e)->kernels->f64.leaf(__VA_ARGS__)                                    \
                          : (e)->kernels->f32.leaf(__VA_ARGS__))

/* "[8, 28, 28, 1]" of a value, alive until the end of the block. */
#define TEXT(v) sunup__shape_text(&(v)->shape, (char[SHAPE_TEXT]){0})

static inline void *element_at(const void *p, sunup_dtype dtype, int64_t i)
{
    return p ? (char *)p + i * sunup_dtype_bytes(dtype) : NULL;
}
/* For the few numbers of a channel or a scalar; f32 rounds once. */
static inline double element_get(const void *p, sunup_dtype dtype, int64_t i)
{
    return dtype == SUNUP_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}
static inline void element_set(void *p, sunup_dtype dtype, int64_t i, double v)
{
    if (dtype == SUNUP_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}
void sunup__zero(void *p, sunup_dtype dtype, int64_t n);

/* [0, n) in `count` pieces of `size`, the last one ragged. */
struct pieces {
    int64_t n, size, count;
};
/* Pieces of about `work` elements where an item has `width`, but at most `most` of them (0: any
 * number). */
struct pieces sunup__pieces(int64_t n, int64_t width, int64_t work, int64_t most);
static inline int64_t piece_from(const struct pieces *p, int64_t i)
{
    return i * p->size;
}
static inline int64_t piece_length(const struct pieces *p, int64_t i)
{
    const int64_t left = p->n - i * p->size;
    return left < p->size ? left : p->size;
}
/* y[i] = sum over parts of x[part][i], in order, in f64. */
void sunup__add_parts(const void *x, sunup_dtype dtype, int64_t parts, int64_t n, void *y);

/* Operands [0, required) are there, and all that are there have one floating type. */
sunup_status sunup__floats(const struct node *n, int required);
/* Operand i is there, i32. */
sunup_status sunup__integers(const struct node *n, int i, const char *what);
/* Operand i, if there, is a vector of `length`, what the message calls `meaning`. */
sunup_status sunup__vector(const struct node *n, int i, const char *name, int64_t length,
                           const char *meaning);
void sunup__set_out(struct node *n, int i, sunup_dtype dtype, sunup_shape shape);

/* Bytes of all operands and outputs, each once. */
double sunup__moved_bytes(const struct node *n);
/* cost with `flops` for each element of operand 0. */
struct cost sunup__cost_each(const struct node *n, double flops);

/* Product of d over the axes from `from` up to `to`, which is not included. */
int64_t sunup__product(const sunup_shape *s, int from, int to);
/* Sum over all axes but the last. */
sunup_value *sunup__sum_to_last(sunup_value *x);
/* A new value equal to x: what a gradient rule differentiates by, so that paths around its own
 * operands do not count. */
sunup_value *sunup__alias(sunup_value *x);
/* Sum of two gradients, either of which may be NULL (zero). */
sunup_value *sunup__plus(sunup_value *a, sunup_value *b);

/* Operand of a case: "x" with the graph's element type. */
sunup_value *sunup__case_input(sunup_graph *g, const char *name, sunup_shape shape);

#endif
