/* exps.h - what softmax and cross-entropy begin with: exponentials of a group of rows (rows.h) less
 * each row's maximum, and their sums.
 *
 * Rows that fit into a vector stay in one from the first load to the fold of their sums: some
 * twenty cycles a row, most of them the exponential.
 */
#ifndef SUNUP_KERNELS_SIMD_EXPS_H
#define SUNUP_KERNELS_SIMD_EXPS_H

#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

/* Calls for the next group's rows too: over this one's exponentials the processor does not look so
 * far ahead. */
INLINE void term_exp(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    const int64_t next = (r + row_group(g->n)) * g->n + j;
    __builtin_prefetch(g->x + next, 0, 2);
    if (g->to) __builtin_prefetch(g->to + next, 1, 2);
    const vec e = vec_exp(vec_load_part(g->x + r * g->n + j, left) - vec_set(g->a[r]));
    if (g->to) vec_store_part(g->to + r * g->n + j, e, left);
    sum[0] += e;
}

INLINE void exps_short(struct rows *g, int64_t rows, double sum[VEC_LANES])
{
    const vec least = vec_set(-INFINITY);
    const int64_t n = g->n;
    vec e[VEC_LANES];
    float folded[VEC_LANES];
    for (int64_t r = 0; r < VEC_LANES; r++)
        e[r] = r < rows ? vec_keep(vec_load_part(g->x + r * n, n), least, n) : least;
    vec_store(g->a, vec_fold_max(e));
    for (int64_t r = 0; r < rows; r++) {
        e[r] = vec_exp(e[r] - vec_set(g->a[r]));
        if (g->to) vec_store_part(g->to + r * n, e[r], n);
    }
    vec_store(folded, vec_fold_add(e));
    for (int l = 0; l < VEC_LANES; l++) sum[l] = (double)folded[l];
}

/* a: the rows' maxima, out; `to`, if there: the exponentials */
INLINE void exps_of(struct rows *g, int64_t rows, double sum[VEC_LANES])
{
    if (g->n <= VEC_LANES) {
        exps_short(g, rows, sum);
        return;
    }
    rows_max(rows, g->n, g->x, g->a);
    rows_sum(term_exp, g, rows, 1, (double(*)[VEC_LANES])sum);
}

#endif
