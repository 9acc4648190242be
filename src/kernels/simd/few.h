/* few.h - rows of at most FEW numbers (three classes, say), turned on their side: 64 rows at a time
 * become columns of a block in the first cache, so that a vector holds the same number of 16 rows
 * and no lane is empty. Turning costs a load and a store a number, about a cycle.
 *
 * A vector for each row would be empty but for n of its lanes, and its sum a tree of shuffles: some
 * 20 cycles a row for its exponentials alone, whatever n.
 */
#ifndef SUNUP_KERNELS_SIMD_FEW_H
#define SUNUP_KERNELS_SIMD_FEW_H

#include "kernels/simd/simd.h"

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
    for (int64_t j = 0; j < n; j++) {
        for (int64_t r = 0; r < rows; r++) to[j][r] = x[r * n + j];
        for (int64_t r = rows; r < few_wide(rows); r++) to[j][r] = 0;
    }
}

/* And back. */
static inline void few_return(int64_t rows, int64_t n, const few_column *from, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) y[r * n + j] = from[j][r];
}

#endif
