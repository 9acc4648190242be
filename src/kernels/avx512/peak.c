/* peak.c - multiply-adds in registers: what the processor can do at most. 16 chains hide any
 * latency up to 8 cycles. */
#include <immintrin.h>

#include "kernels/fill.h"

static double fma_loop(int64_t rounds)
{
    enum { CHAINS = 16 };
    volatile float half = 0.5F; /* unknown to the compiler, which else finds fixed points */
    const __m512 f = _mm512_set1_ps(half);
    __m512 x[CHAINS], sum = f;
#pragma GCC unroll 16
    for (int j = 0; j < CHAINS; j++) x[j] = _mm512_set1_ps(half + (float)j);
    for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++) x[j] = _mm512_fmadd_ps(x[j], f, f);
    }
#pragma GCC unroll 16
    for (int j = 0; j < CHAINS; j++) sum = _mm512_add_ps(sum, x[j]);
    half = _mm512_cvtss_f32(sum);
    return 2.0 * 16 * CHAINS * (double)rounds;
}

void FILL(peak)(struct kernels *k)
{
    k->fma_loop = fma_loop;
}
