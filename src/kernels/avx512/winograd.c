/* winograd.c - the transforms of Winograd convolution with 512-bit vectors: 32 registers hold nearly a whole
 * tile; see winograd_tile.h. */
#include <immintrin.h>

#define VEC             __m512
#define MASK            __mmask16
#define LANES           16
#define MASK_OF(n)      ((__mmask16)((1U << (n)) - 1))
#define SPLAT(x)        _mm512_set1_ps(x)
#define ADD(a, b)       _mm512_add_ps(a, b)
#define SUB(a, b)       _mm512_sub_ps(a, b)
#define MUL(a, b)       _mm512_mul_ps(a, b)
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define STREAM(p, v)    _mm512_stream_ps(p, v)
#define FENCE()         _mm_sfence()
#include "kernels/winograd_tile.h"
