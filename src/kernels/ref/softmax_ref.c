/* softmax_ref.c - softmax, its logarithm and their gradients along rows of n.
 *
 * The row's maximum is taken off first, so that nothing overflows; sums in double. A NaN or +inf
 * in a row, or a row of -inf only, makes the row NaN, as the formulas say.
 *
 *   y = exp(x - max) / sum exp(x - max)            dx = y (dy - sum y dy)
 *   y = x - max - log sum exp(x - max)             dx = dy - exp(y) sum dy
 */
#include "kernels/ref/real.h"

static REAL maximum(int64_t n, const REAL *x)
{
    REAL max = RC(-INFINITY);
    for (int64_t j = 0; j < n; j++) max = x[j] > max ? x[j] : max;
    return max;
}

static double sum_exp(int64_t n, const REAL *x, REAL max)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += EXP(x[j] - max);
    return sum;
}

void NAME(ref_softmax)(int64_t rows, int64_t n, const REAL *x, REAL *y)
{
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        const REAL max = maximum(n, x);
        const double sum = sum_exp(n, x, max);
        for (int64_t j = 0; j < n; j++) y[j] = RC(EXP(x[j] - max) / sum);
    }
}

void NAME(ref_softmax_grad)(int64_t rows, int64_t n, const REAL *y, const REAL *dy, bool stream,
                            REAL *dx)
{
    (void)stream;
    for (int64_t i = 0; i < rows; i++, y += n, dy += n, dx += n) {
        double dot = 0;
        for (int64_t j = 0; j < n; j++) dot += (double)y[j] * dy[j];
        for (int64_t j = 0; j < n; j++) dx[j] = RC(y[j] * (dy[j] - dot));
    }
}

void NAME(ref_log_softmax)(int64_t rows, int64_t n, const REAL *x, REAL *y)
{
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        const REAL max = maximum(n, x);
        const double log_sum = log(sum_exp(n, x, max));
        for (int64_t j = 0; j < n; j++) y[j] = RC(x[j] - max - log_sum);
    }
}

void NAME(ref_log_softmax_grad)(int64_t rows, int64_t n, const REAL *y, const REAL *dy, REAL *dx)
{
    for (int64_t i = 0; i < rows; i++, y += n, dy += n, dx += n) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += dy[j];
        for (int64_t j = 0; j < n; j++) dx[j] = RC(dy[j] - EXP(y[j]) * sum);
    }
}
