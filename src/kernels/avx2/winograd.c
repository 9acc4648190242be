/* winograd.c - the transforms of Winograd convolution with 256-bit vectors: half of a tile's 36 spill to the
 * L1; see winograd_tile.h. */
#include <immintrin.h>

#define VEC   __m256
#define MASK  __m256i
#define LANES 8
#define MASK_OF(n)                                                                                 \
    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define SPLAT(x)        _mm256_set1_ps(x)
#define ADD(a, b)       _mm256_add_ps(a, b)
#define SUB(a, b)       _mm256_sub_ps(a, b)
#define MUL(a, b)       _mm256_mul_ps(a, b)
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STOREM(p, m, v) _mm256_maskstore_ps(p, m, v)
#define STREAM(p, v)    _mm256_stream_ps(p, v)
#define FENCE()         _mm_sfence()
#include "kernels/winograd_tile.h"
