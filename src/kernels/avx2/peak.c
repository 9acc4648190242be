/* peak.c - multiply-adds in registers: what the processor can
 * do at most. 12 chains fit 16 registers. */
#include <immintrin.h>

#include "kernels/fill.h"

static double fma_loop(int64_t rounds)
{
    enum { CHAINS = 12 };
    volatile float half = 0.5F; /* unknown to the compiler, which else finds fixed points */
    const __m256 f = _mm256_set1_ps(half);
    __m256 x[CHAINS], sum = f;
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++) x[j] = _mm256_set1_ps(half + (float)j);
    for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++) x[j] = _mm256_fmadd_ps(x[j], f, f);
    }
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++) sum = _mm256_add_ps(sum, x[j]);
    half = _mm256_cvtss_f32(sum);
    return 2.0 * 8 * CHAINS * (double)rounds;
}

void FILL(peak)(struct kernels *k)
{
    k->fma_loop = fma_loop;
}
