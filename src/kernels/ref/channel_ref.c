/* channel_ref.c - the four passes of batch norm over rows of c channels: statistics and result
 * forward, sums and result backward. Formulas in leaves.def. Sums of one call are in double, then
 * added to what is there.
 */
#include "kernels/ref/real.h"

void NAME(ref_channel_moments)(int64_t rows, int64_t c, const REAL *x, const REAL *pivot, REAL *sum,
                               REAL *square)
{
    for (int64_t j = 0; j < c; j++) {
        double s = 0, q = 0;
        for (int64_t i = 0; i < rows; i++) {
            const double d = (double)x[i * c + j] - pivot[j];
            s += d;
            q += d * d;
        }
        sum[j] += RC(s);
        square[j] += RC(q);
    }
}

/* 0 whatever x is where slope is 0. */
static REAL below(REAL slope, REAL x)
{
    return slope == 0 ? 0 : slope * x;
}

void NAME(ref_channel_affine)(int64_t rows, int64_t c, const REAL *x, const REAL *scale,
                              const REAL *shift, const REAL *r, const REAL *r_scale,
                              const REAL *r_shift, REAL slope, bool stream, REAL *y)
{
    (void)stream;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < c; j++) {
            const int64_t e = i * c + j;
            REAL t = x[e] * scale[j] + shift[j];
            if (r) t += r_scale ? r[e] * r_scale[j] + r_shift[j] : r[e];
            y[e] = t < 0 ? below(slope, t) : t;
        }
    }
}

/* Whether dy counts in full at x, of channel j. */
static bool counts(const REAL *scale, const REAL *shift, REAL x, int64_t j)
{
    return !scale || x * scale[j] + shift[j] > 0;
}

void NAME(ref_channel_grad_sums)(int64_t rows, int64_t c, const REAL *x, const REAL *dy,
                                 const REAL *scale, const REAL *shift, REAL slope, const REAL *mean,
                                 const REAL *rstd, REAL *sum, REAL *dot)
{
    for (int64_t j = 0; j < c; j++) {
        double s = 0, d = 0;
        for (int64_t i = 0; i < rows; i++) {
            const REAL g = dy[i * c + j];
            const REAL e = counts(scale, shift, x[i * c + j], j) ? g : below(slope, g);
            s += e;
            d += e * ((double)x[i * c + j] - mean[j]);
        }
        sum[j] += RC(s);
        dot[j] += RC(d * rstd[j]);
    }
}

void NAME(ref_channel_grad)(int64_t rows, int64_t c, const REAL *x, const REAL *dy,
                            const REAL *scale, const REAL *shift, REAL slope, const REAL *a,
                            const REAL *b, const REAL *d, bool stream, REAL *dx)
{
    (void)stream;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < c; j++) {
            const int64_t k = i * c + j;
            const REAL e = counts(scale, shift, x[k], j) ? dy[k] : below(slope, dy[k]);
            dx[k] = a[j] * e + (b[j] * x[k] + d[j]);
        }
    }
}
