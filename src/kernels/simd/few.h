/* few.h - rows of at most FEW numbers (three classes, say), turned on their side: 64 rows at a time
 * become columns of a block in the first cache, so that a vector holds the same number of 16 rows
 * and no lane is empty. Whole vectors are turned by picking: n numbers of VEC_LANES rows are n vectors, and a
 * column has lanes of each. Numbers stored one by one would have to reach the cache before a vector of them can be
 * loaded.
 *
 * A vector for each row would be empty but for n of its lanes, and its sum a tree of shuffles: some
 * 20 cycles a row for its exponentials alone, whatever n.
 */
#ifndef SUNUP_KERNELS_SIMD_FEW_H
#define SUNUP_KERNELS_SIMD_FEW_H

#include "kernels/simd/vec.h"

enum { FEW = 16, FEW_ROWS = 64, FEW_STEP = 16 };

typedef float few_column[FEW_ROWS];

/* Rows that are worked on: whole vectors, the last ones filled up with zeros. */
static inline int64_t few_wide(int64_t rows)
{
    return (rows + FEW_STEP - 1) / FEW_STEP * FEW_STEP;
}

/* x[rows][n], n <= FEW, rows <= FEW_ROWS, to the columns `to` of few_wide(rows) numbers. */
static inline void few_turn(int64_t rows, int64_t n, const float *x, few_column *to)
{
    const int64_t whole = rows / VEC_LANES * VEC_LANES;
    for (int j = 0; j < (int)n; j++) {
        const vec_int place = vec_lanes() * (int)n + j, which = place / VEC_LANES,
                      at = place % VEC_LANES;
        for (int64_t r = 0; r < whole; r += VEC_LANES) {
            vec column = vec_set(0);
            for (int k = 0; k < (int)n; k++)
                column = vec_pick(column, which, k, at, vec_load(x + r * n + k * VEC_LANES));
            vec_store(to[j] + r, column);
        }
        for (int64_t r = whole; r < rows; r++) to[j][r] = x[r * n + j];
        for (int64_t r = rows; r < few_wide(rows); r++) to[j][r] = 0;
    }
}

/* And back. */
static inline void few_return(int64_t rows, int64_t n, const few_column *from, float *y)
{
    const int64_t whole = rows / VEC_LANES * VEC_LANES;
    for (int k = 0; k < (int)n; k++) {
        const vec_int place = vec_lanes() + k * VEC_LANES;
        /* exact: places are below 256 */
        const vec row = (__builtin_convertvector(place, vec) + 0.5F) * (1 / (float)n);
        const vec_int at = __builtin_convertvector(row, vec_int), which = place - at * (int)n;
        for (int64_t r = 0; r < whole; r += VEC_LANES) {
            vec numbers = vec_set(0);
            for (int j = 0; j < (int)n; j++)
                numbers = vec_pick(numbers, which, j, at, vec_load(from[j] + r));
            vec_store(y + r * n + k * VEC_LANES, numbers);
        }
    }
    for (int64_t r = whole; r < rows; r++)
        for (int64_t j = 0; j < n; j++) y[r * n + j] = from[j][r];
}

#endif
