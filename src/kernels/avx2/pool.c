/* pool.c - pooling with 256-bit vectors; see pool_tile.h for what it owes.
 *
 * The maximum must keep NaN: max gives x if either operand is NaN, so lanes whose best is NaN
 * already keep it. All loads and stores are masked: whole vectors with a full mask.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m256
#define MASK            __m256i
#define CHOICE          __m256
#define LANES           8
#define ZERO()          _mm256_setzero_ps()
#define SPLAT(v)        _mm256_set1_ps(v)
#define ADD(a, b)       _mm256_add_ps(a, b)
#define DIV(a, b)       _mm256_div_ps(a, b)
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STOREM(p, m, v) _mm256_maskstore_ps(p, m, v)
#define MASK_OF(n)                                                                                 \
    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LARGER(best, x)                                                                            \
    _mm256_blendv_ps(_mm256_max_ps(best, x), best, _mm256_cmp_ps(best, best, _CMP_UNORD_Q))
#define ANY(a)       (_mm256_movemask_ps(a) != 0)
#define UNORDERED(a) _mm256_cmp_ps(a, a, _CMP_UNORD_Q)
#define MAX(a, b)    _mm256_max_ps(a, b)
/* "Not at most" is true if either is NaN. */
#define MORE(x, best)                                                                              \
    _mm256_and_ps(_mm256_cmp_ps(x, best, _CMP_NLE_UQ), _mm256_cmp_ps(best, best, _CMP_ORD_Q))
#define EQUAL(a, b)         _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
#define BLEND(choice, a, b) _mm256_blendv_ps(b, a, choice)
#define INDEX               __m256i
#define INDEX_OF(list)      _mm256_loadu_si256((const __m256i *)(const void *)(list))
#define TAKE(a, index)      _mm256_permutevar8x32_ps(a, index)
/* Bit 3 of a lane's number is the sign that blends. */
#define TAKE2(a, b, index)                                                                         \
    _mm256_blendv_ps(TAKE(a, index), TAKE(b, index),                                               \
                     _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)))
#include "kernels/pool_tile.h"
