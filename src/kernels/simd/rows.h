/* rows.h - sums and maxima along rows of n floats, for a group of rows at once.
 *
 * A sum has 32 partial sums, folded as a tree and added in double after each 1024 terms: at most
 * 32 + 5 roundings in float on the way of any term, however long the row. The order depends on n
 * only: not on the group, nor on the instruction set.
 *
 * A group is as many rows as a vector has lanes, or fewer if they are long, so that it stays in the
 * first cache from the pass that sums to the pass that writes. Folding many rows together costs
 * what two steps along a row cost, where one row alone waits for five dependent shuffles; so rows
 * of ten numbers take some twenty cycles each.
 */
#ifndef SUNUP_KERNELS_SIMD_ROWS_H
#define SUNUP_KERNELS_SIMD_ROWS_H

#include <math.h>

#include "kernels/simd/vec.h"

enum { ROW_LANES = 32, ROW_BLOCK = 1024, ROW_VECS = ROW_LANES / VEC_LANES, GROUP_FLOATS = 2048 };

/* Rows of length n that are taken together. */
INLINE int64_t row_group(int64_t n)
{
    const int64_t fit = GROUP_FLOATS / (n > 0 ? n : 1);
    return fit > VEC_LANES ? VEC_LANES : fit >= 4 ? fit : 1;
}

/* Lanes in use of what holds a number for each row: where `rows` is a constant 1, nothing is done for
 * the others. */
INLINE int row_count(int64_t rows)
{
    return rows == 1 ? 1 : VEC_LANES;
}

/* Rows [at, at + rows) of a matrix of n columns, all pointers at row `at`; others as a term wants.
 */
struct rows {
    int64_t n;
    const float *x, *y, *weight;
    float *to;
    float a[VEC_LANES], b[VEC_LANES], c[VEC_LANES], d[VEC_LANES]; /* a number for each row */
};

/* Add to each sum what row r has at its elements [j, j + VEC_LANES), of which `left` are there. */
typedef void row_term(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2]);

/* Up to two sums along a row at once; one that is not wanted costs nothing, since all is inlined. */
INLINE void row_lanes(row_term *term, const struct rows *g, int64_t r, int64_t from, int64_t to,
                      vec sum[2])
{
    vec lane[ROW_VECS][2];
    for (int v = 0; v < ROW_VECS; v++) lane[v][0] = lane[v][1] = vec_set(0);
    int64_t j = from;
    for (; j + ROW_LANES <= to; j += ROW_LANES) {
        for (int v = 0; v < ROW_VECS; v++) term(g, r, j + v * VEC_LANES, VEC_LANES, lane[v]);
    }
    for (int v = 0; v < ROW_VECS; v++) {
        const int64_t at = j + v * VEC_LANES, left = to - at;
        if (left <= 0) continue;
        const vec old[2] = {lane[v][0], lane[v][1]};
        term(g, r, at, left, lane[v]);
        for (int s = 0; s < 2; s++) lane[v][s] = vec_keep(lane[v][s], old[s], left);
    }
    for (int half = ROW_VECS / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) {
            for (int s = 0; s < 2; s++) lane[v][s] += lane[v + half][s];
        }
    }
    for (int s = 0; s < 2; s++) sum[s] = lane[0][s];
}

/* sum[s][r], s < sums <= 2, of each row of the group */
INLINE void rows_sum(row_term *term, const struct rows *g, int64_t rows, int sums,
                     double sum[][VEC_LANES])
{
    for (int s = 0; s < sums; s++) {
        for (int l = 0; l < row_count(rows); l++) sum[s][l] = 0;
    }
    for (int64_t from = 0; from < g->n; from += ROW_BLOCK) {
        const int64_t to = g->n - from < ROW_BLOCK ? g->n : from + ROW_BLOCK;
        vec part[2][VEC_LANES];
        if (rows == 1) {
            row_lanes(term, g, 0, from, to, part[0]);
            for (int s = 0; s < sums; s++) sum[s][0] += (double)vec_fold_one_add(part[0][s]);
            continue;
        }
        for (int64_t r = 0; r < VEC_LANES; r++) {
            vec now[2] = {vec_set(0), vec_set(0)};
            if (r < rows) row_lanes(term, g, r, from, to, now);
            for (int s = 0; s < sums; s++) part[s][r] = now[s];
        }
        for (int s = 0; s < sums; s++) {
            float folded[VEC_LANES];
            vec_store(folded, vec_fold_add(part[s]));
            for (int l = 0; l < VEC_LANES; l++) sum[s][l] += (double)folded[l];
        }
    }
}

/* NaN is the largest number. */
static inline float larger(float best, float x)
{
    return ((x > best) | (x != x)) ? x : best;
}

INLINE vec row_max_lanes(int64_t n, const float *x, vec (*op)(vec best, vec x))
{
    const vec least = vec_set(-INFINITY);
    vec lane[ROW_VECS];
    for (int v = 0; v < ROW_VECS; v++) lane[v] = least;
    int64_t j = 0;
    for (; j + ROW_LANES <= n; j += ROW_LANES) {
        for (int v = 0; v < ROW_VECS; v++) lane[v] = op(lane[v], vec_load(x + j + v * VEC_LANES));
    }
    for (int v = 0; v < ROW_VECS; v++) {
        const int64_t at = j + v * VEC_LANES, left = n - at;
        if (left > 0) lane[v] = op(lane[v], vec_keep(vec_load_part(x + at, left), least, left));
    }
    for (int v = 1; v < ROW_VECS; v++) lane[0] = op(lane[0], lane[v]);
    return lane[0];
}

/* max[r] of each row of the group; -Inf of nothing. Where a row has a NaN, some other number of it:
 * that is found anyway when its exponentials are added. */
INLINE void rows_max(int64_t rows, int64_t n, const float *x, float max[VEC_LANES])
{
    vec part[VEC_LANES];
    if (rows == 1) {
        max[0] = vec_fold_one_max(row_max_lanes(n, x, vec_max));
        return;
    }
    for (int64_t r = 0; r < VEC_LANES; r++)
        part[r] = r < rows ? row_max_lanes(n, x + r * n, vec_max) : vec_set(0);
    vec_store(max, vec_fold_max(part));
}

static inline float row_max(int64_t n, const float *x)
{
    return vec_fold_one_max(row_max_lanes(n, x, vec_larger));
}

INLINE void term_x(const struct rows *g, int64_t r, int64_t j, int64_t left, vec sum[2])
{
    sum[0] += vec_load_part(g->x + r * g->n + j, left);
}

static inline double row_sum(int64_t n, const float *x)
{
    const struct rows g = {.n = n, .x = x};
    double sum[1][VEC_LANES];
    rows_sum(term_x, &g, 1, 1, sum);
    return sum[0][0];
}

/* For the columns j of a row of n, a vector at a time; `left` is a constant in all but the last. */
#define ALONG(n, ...)                                                                              \
    do {                                                                                           \
        int64_t j = 0;                                                                             \
        for (; j + VEC_LANES <= (n); j += VEC_LANES) {                                             \
            enum { left = VEC_LANES };                                                             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (j < (n)) {                                                                             \
            const int64_t left = (n)-j;                                                            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
