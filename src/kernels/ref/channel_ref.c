/* channel_ref.c - the five passes of batch norm over rows of c channels: two for the statistics,
 * one forward, two backward. Formulas in leaves.def. Sums of one call are in double, then added to
 * what is there.
 */
#include "kernels/ref/real.h"

void NAME(ref_channel_sum)(int64_t rows, int64_t c, const REAL *x, REAL *sum)
{
    for (int64_t j = 0; j < c; j++) {
        double s = 0;
        for (int64_t i = 0; i < rows; i++) s += x[i * c + j];
        sum[j] += RC(s);
    }
}

void NAME(ref_channel_square)(int64_t rows, int64_t c, const REAL *x, const REAL *mean,
                              REAL *square)
{
    for (int64_t j = 0; j < c; j++) {
        double s = 0;
        for (int64_t i = 0; i < rows; i++) {
            const double d = (double)x[i * c + j] - mean[j];
            s += d * d;
        }
        square[j] += RC(s);
    }
}

void NAME(ref_channel_affine)(int64_t rows, int64_t c, const REAL *x, const REAL *scale,
                              const REAL *shift, REAL *y)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < c; j++) y[i * c + j] = x[i * c + j] * scale[j] + shift[j];
    }
}

void NAME(ref_channel_grad_sums)(int64_t rows, int64_t c, const REAL *x, const REAL *dy,
                                 const REAL *mean, const REAL *rstd, REAL *sum, REAL *dot)
{
    for (int64_t j = 0; j < c; j++) {
        double s = 0, d = 0;
        for (int64_t i = 0; i < rows; i++) {
            s += dy[i * c + j];
            d += dy[i * c + j] * ((double)x[i * c + j] - mean[j]);
        }
        sum[j] += RC(s);
        dot[j] += RC(d * rstd[j]);
    }
}

void NAME(ref_channel_grad)(int64_t rows, int64_t c, const REAL *x, const REAL *dy, const REAL *a,
                            const REAL *b, const REAL *d, REAL *dx)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < c; j++) {
            dx[i * c + j] = a[j] * dy[i * c + j] + b[j] * x[i * c + j] + d[j];
        }
    }
}
