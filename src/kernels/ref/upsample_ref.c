/* upsample_ref.c - one axis made finer by a whole factor, its adjoint, and rows added with weights, of
 * which the other axes are made. Sums run in the order of the new points, so that nothing is scattered.
 */
#include "kernels/upsample.h"

#include "kernels/ref/real.h"

void NAME(ref_upsample)(bool linear, int64_t n, int64_t factor, int64_t c, const REAL *x, REAL *y)
{
    for (int64_t o = 0; o < n * factor; o++) {
        const struct upsample_place p = upsample_place(o, n, factor, linear);
        const REAL *left = x + p.at * c, *right = p.at + 1 < n ? left + c : left;
        const REAL b = RC(p.right), a = 1 - b;
        for (int64_t e = 0; e < c; e++)
            y[o * c + e] = p.right > 0 ? a * left[e] + b * right[e] : left[e];
    }
}

void NAME(ref_upsample_grad)(bool linear, int64_t n, int64_t factor, int64_t c, const REAL *dy,
                             REAL *dx)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = upsample_from(i, factor, linear),
                      to = upsample_to(i, n, factor, linear);
        for (int64_t e = 0; e < c; e++) {
            REAL sum = 0;
            for (int64_t o = from; o < to; o++)
                sum += RC(upsample_weight(o, i, n, factor, linear)) * dy[o * c + e];
            dx[i * c + e] = sum;
        }
    }
}

void NAME(ref_weighted_rows)(int64_t rows, int64_t n, const REAL *x, const int64_t *at,
                             const REAL *weight, bool add, REAL *y)
{
    for (int64_t i = 0; i < n; i++) {
        REAL sum = add ? y[i] : 0;
        for (int64_t r = 0; r < rows; r++) sum += weight[r] * x[at[r] + i];
        y[i] = sum;
    }
}
