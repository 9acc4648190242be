/* terms.c - gemm_terms with 512-bit vectors: tiles of 16x1 and 8x2. */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC          __m512
#define LANES        16
#define ZERO()       _mm512_setzero_ps()
#define SPLAT(p)     _mm512_broadcastss_ps(_mm_load_ss(p))
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b)    _mm512_add_ps(a, b)
#define LOAD(p)      _mm512_loadu_ps(p)
#define STORE(p, v)  _mm512_storeu_ps(p, v)
#define STREAM(p, v) _mm512_stream_ps(p, v)
#define ROWS1        16
#define ROWS2        8
#include "kernels/terms_tile.h"

void FILL(terms)(struct kernels *k)
{
    k->f32.gemm_terms = gemm_terms;
}
