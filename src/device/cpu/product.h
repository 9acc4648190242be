/* product.h - how one matrix product of linear or matmul is cut into work: filled by product_cut.c
 * from sizes, strides and threads, carried out by product_brgemm.c. */
#ifndef SUNUP_DEVICE_CPU_PRODUCT_H
#define SUNUP_DEVICE_CPU_PRODUCT_H

#include "base/integers.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

enum {
    PANEL = 32, /* columns of B side by side: a pair of the leaf's widest vectors */
    LINE = 16   /* floats of a cache line */
};

/* C = A B for each matrix of the batch; A(i, p) = a[i a_row + p a_col], B(p, j) = b[p b_row + j b_col].
 * An item is rows x columns of one C, at most; its sums go in steps of `depth`. Within a step a
 * strip of A meets one panel of B after the other, each a call of the leaf. */
struct product {
    int64_t batch, m, n, k;
    int64_t a_row, a_col, a_step, b_row, b_col, b_step;
    bool swapped; /* one column of C, computed as one row: C' = B' A' */
    bool stays;   /* B has the same numbers in many runs               */

    bool pack_a, pack_b; /* else read in place */
    bool prepared;       /* B is packed before the items, or the runs: each column's panels, whole sums */
    bool ahead;          /* what comes next is fetched before each call */
    bool asks_a, asks_c; /* the calls ask for the next strip of A, and of C: see ahead.h */
    bool calls;          /* each matrix is one call of the leaf, on operands where they are */
    bool stream;         /* a strip of C is computed in the workspace, then stored past the caches */
    int64_t rows, columns, depth, strip;
    int64_t items_m, items_n;          /* items of one C      */
    int64_t tasks;                     /* of all items, in order: one a claim of a thread */
    int64_t panel;                     /* floats from one packed panel to the next */
    int64_t strip_a, strips;           /* floats of a packed strip of A, and how many are packed at once */
    int64_t slot;                      /* floats of workspace a task */
    int64_t lines_a, lines_b, lines_c; /* fetched before each call */
};

/* Sizes and strides of a linear or matmul node, or of a convolution's weight gradient with one tap at every point. */
struct product sunup__product_of(const struct node *n);

/* From sizes and strides to the rest. C does not depend on it: each element stays one chain of
 * multiply-adds over p. */
void sunup__product_cut(struct product *p, int threads);

/* Transposed A, and a large C with at least twice as many rows as columns: both operands are copied. */
bool sunup__product_tall(const struct product *p);

/* Whether a small layer under training is summed in two halves, where the third level is far: each thread then reads
 * the rows of B that it wrote. */
bool sunup__product_halves(const struct product *p);

/* Chunks of product_turned.c, if it may add partial sums: chunk i ends before row (i + 1) k / chunks. */
int64_t sunup__product_turned_chunks(const struct product *p);

/* Rows of B in a chunk of product_chunks.c: its partial sums are added in order of the chunks. */
int64_t sunup__product_chunk_rows(const struct product *p);

/* n floats stored past the caches; the lines at the ends are shared with what lies beside them. */
static inline void stream_run(const struct leaves_f32 *leaves, int64_t n, const float *from, float *to)
{
    const int64_t head = least(n, (int64_t)(-(uintptr_t)to / sizeof *to % LINE));
    leaves->stream_rows(1, head, from, 0, to, 0);
    leaves->stream_rows(1, n - head, from + head, 0, to + head, 0);
}

#endif
