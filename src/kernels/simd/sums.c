/* sums.c - y += x, and the sum of squares in double with 32 partial sums, folded after each 4096
 * terms so that its error grows with n / 4096 only; an order that depends on n only.
 */
#include "kernels/simd/simd.h"

static void add_to(int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static double squares(int64_t n, const float *x)
{
    enum { LANES = 32 };
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            const double v = (double)x[i + l];
            lane[l] = __builtin_fma(v, v, lane[l]);
        }
    }
    for (int l = 0; i < n; i++, l++) lane[l] += (double)x[i] * (double)x[i];
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    }
    return lane[0];
}

static void sum_squares(int64_t n, const float *x, double *sum)
{
    enum { BLOCK = 4096 };
    *sum = 0;
    for (int64_t i = 0; i < n; i += BLOCK) *sum += squares(n - i < BLOCK ? n - i : BLOCK, x + i);
}

void FILL(sums)(struct kernels *k)
{
    k->f32.add_to = add_to;
    k->f32.sum_squares = sum_squares;
}
