/* index_ref.c - rows taken from a table and rows added into one. Repeated indices add in the order
 * of i; the range [from, to) lets threads share a table without sharing a row.
 */
#include "kernels/ref/real.h"

void NAME(ref_gather)(int64_t n, int64_t rows, int64_t width, const REAL *table,
                      const int32_t *index, REAL *y)
{
    for (int64_t i = 0; i < n; i++) {
        const bool inside = index[i] >= 0 && index[i] < rows;
        for (int64_t j = 0; j < width; j++) {
            y[i * width + j] = inside ? table[index[i] * width + j] : RC(NAN);
        }
    }
}

void NAME(ref_scatter_add)(int64_t n, int64_t from, int64_t to, int64_t width, const REAL *x,
                           const int32_t *index, REAL *y)
{
    for (int64_t i = 0; i < n; i++) {
        if (index[i] < from || index[i] >= to) continue;
        for (int64_t j = 0; j < width; j++) y[index[i] * width + j] += x[i * width + j];
    }
}
