/* dots.c - gemm_dots with 256-bit vectors: tiles of 8x1, 4x2, 2x3, 2x4. */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m256
#define MASK            __m256i
#define LANES           8
#define ZERO()          _mm256_setzero_ps()
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STOREM(p, m, v) _mm256_maskstore_ps(p, m, v)
#define FOLD(acc)       fold(acc)
#define ROWS2           4
#define ROWS3           2
#define ROWS4           2

static inline __m256i lanes(int64_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - (n < 8 ? n : 8)));
}

/* hadd leaves in each half the sums of four vectors there. */
static inline __m256 fold4(const __m256 *v)
{
    return _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
}

static inline __m256 fold(const __m256 *v)
{
    const __m256 a = fold4(v), b = fold4(v + 4);
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

#include "kernels/dots_tile.h"

void FILL(dots)(struct kernels *k)
{
    k->f32.gemm_dots = gemm_dots;
}
