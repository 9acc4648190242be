/* bf16.c - rounding to bf16 in integer arithmetic: adding just under half of the last place kept,
 * or half where that place is odd, carries into the upper half exactly when it must. Memory bound.
 */
#include "kernels/simd/math.h"

static inline uint32_t rounded(float x)
{
    const uint32_t u = float_bits(x), near = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : near;
}

/* What is left of x beside it: no bit is lost. */
static inline float left(float x)
{
    return x - bits_float(rounded(x) << 16);
}

static inline __attribute__((always_inline)) uint32_t word(float x, float y, const bool low)
{
    return low ? rounded(left(x)) | rounded(left(y)) << 16 : rounded(x) | rounded(y) << 16;
}

static inline __attribute__((always_inline)) void words(int64_t n, const float *x, uint32_t *y, const bool low)
{
#pragma omp simd
    for (int64_t i = 0; i < n / 2; i++) y[i] = word(x[2 * i], x[2 * i + 1], low);
    if (n % 2) y[n / 2] = word(x[n - 1], 0, low);
}

static inline __attribute__((always_inline)) void rows(int64_t k, int64_t n, const float *x, int64_t x_row,
                                                       uint32_t *y, const bool low)
{
    for (int64_t p = 0; p + 1 < k; p += 2, x += 2 * x_row, y += n) {
        const float *below = x + x_row;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = word(x[j], below[j], low);
    }
#pragma omp simd
    for (int64_t j = 0; j < (k % 2) * n; j++) y[j] = word(x[j], 0, low);
}

static void bf16_words(int64_t n, const float *x, uint32_t *y, uint32_t *low)
{
    words(n, x, y, false);
    if (low) words(n, x, low, true);
}

static void bf16_rows(int64_t k, int64_t n, const float *x, int64_t x_row, uint32_t *y, uint32_t *low)
{
    rows(k, n, x, x_row, y, false);
    if (low) rows(k, n, x, x_row, low, true);
}

void FILL(bf16)(struct kernels *k)
{
    k->f32.bf16_words = bf16_words;
    k->f32.bf16_rows = bf16_rows;
}
