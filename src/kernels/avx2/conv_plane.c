/* conv_plane.c - depthwise 3x3 of planes with 256-bit vectors; see plane_tile.h.
 *
 * Of 16 registers 6 hold sums or dy of two points, 9 the weights or their sums, one x.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m256
#define MASK            __m256i
#define LANES           8
#define ZERO()          _mm256_setzero_ps()
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define ADD(a, b)       _mm256_add_ps(a, b)
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STOREM(p, m, v) _mm256_maskstore_ps(p, m, v)
#define STRIP           2
#define STRIPS(F)       F(1) F(2)

static inline __m256i lanes(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#include "kernels/plane_tile.h"
