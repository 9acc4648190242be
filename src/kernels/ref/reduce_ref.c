/* reduce_ref.c - reductions over the middle axis of [outer][r][inner]: sum, maximum, and where the
 * maximum is.
 *
 * Sums are pairwise (error grows with log r) and in double. NaN is larger than every number, so a
 * NaN anywhere shows in the maximum; of equal maxima the first counts, which fixes where the
 * gradient goes. r = 0: the sum is 0, the maximum -inf, its index 0.
 */
#include "kernels/ref/real.h"

static double sum(int64_t r, const REAL *x, int64_t stride)
{
    if (r <= 8) {
        double s = 0;
        for (int64_t i = 0; i < r; i++) s += x[i * stride];
        return s;
    }
    const int64_t half = r / 2;
    return sum(half, x, stride) + sum(r - half, x + half * stride, stride);
}

static int64_t first_max(int64_t r, const REAL *x, int64_t stride)
{
    int64_t best = 0;
    for (int64_t i = 1; i < r; i++) {
        const REAL max = x[best * stride], now = x[i * stride];
        if (now > max || (isnan(now) && !isnan(max))) best = i;
    }
    return best;
}

void NAME(ref_reduce)(int kind, int64_t outer, int64_t r, int64_t inner, const REAL *x, REAL *y)
{
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < inner; i++) {
            const REAL *line = x + o * r * inner + i;
            if (kind == REDUCE_SUM)
                y[o * inner + i] = RC(sum(r, line, inner));
            else
                y[o * inner + i] = r > 0 ? line[first_max(r, line, inner) * inner] : RC(-INFINITY);
        }
    }
}

void NAME(ref_argmax)(int64_t outer, int64_t r, int64_t inner, const REAL *x, int32_t *y)
{
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < inner; i++) {
            y[o * inner + i] = (int32_t)first_max(r, x + o * r * inner + i, inner);
        }
    }
}

void NAME(ref_reduce_max_grad)(int64_t outer, int64_t r, int64_t inner, const REAL *x,
                               const REAL *dy, REAL *dx)
{
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < inner; i++) {
            const int64_t at = o * r * inner + i, best = first_max(r, x + at, inner);
            for (int64_t j = 0; j < r; j++) {
                dx[at + j * inner] = j == best ? dy[o * inner + i] : 0;
            }
        }
    }
}
