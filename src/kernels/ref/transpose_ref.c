/* transpose_ref.c - y = x transposed, rows of both apart by any stride. */
#include "kernels/ref/real.h"

void NAME(ref_transpose)(int64_t rows, int64_t n, const REAL *x, int64_t x_row, REAL *y,
                         int64_t y_row)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j++) y[j * y_row + i] = x[i * x_row + j];
    }
}
