/* terms.c - gemm_terms with 256-bit vectors: tiles of 4x2, which 16 registers hold. Two such
 * vectors are a line, which is written whole. */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC          __m256
#define LANES        8
#define ZERO()       _mm256_setzero_ps()
#define SPLAT(p)     _mm256_broadcast_ss(p)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b)    _mm256_add_ps(a, b)
#define LOAD(p)      _mm256_loadu_ps(p)
#define STORE(p, v)  _mm256_storeu_ps(p, v)
#define STREAM(p, v) _mm256_stream_ps(p, v)
#define ROWS2        4
#include "kernels/terms_tile.h"

void FILL(terms)(struct kernels *k)
{
    k->f32.gemm_terms = gemm_terms;
}
