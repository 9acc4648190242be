/* pool.c - pooling with 512-bit vectors; see pool_tile.h for what it owes.
 *
 * The maximum must keep NaN: max gives x if either operand is NaN, so lanes whose best is NaN
 * already are masked out. The last vector of channels is masked at no cost.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m512
#define MASK            __mmask16
#define CHOICE          __mmask16
#define LANES           16
#define ZERO()          _mm512_setzero_ps()
#define SPLAT(v)        _mm512_set1_ps(v)
#define ADD(a, b)       _mm512_add_ps(a, b)
#define DIV(a, b)       _mm512_div_ps(a, b)
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define MASK_OF(n)      ((__mmask16)((1U << (n)) - 1))
#define ORDERED(a)      _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q)
#define LARGER(best, x) _mm512_mask_max_ps(best, ORDERED(best), best, x)
#define ANY(a)          ((a) != 0)
#define UNORDERED(a)    _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q)
#define MAX(a, b)       _mm512_max_ps(a, b)
/* "Not at most" is true if either is NaN. */
#define MORE(x, best)       _mm512_mask_cmp_ps_mask(ORDERED(best), x, best, _CMP_NLE_UQ)
#define EQUAL(a, b)         _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
#define BLEND(choice, a, b) _mm512_mask_mov_ps(b, choice, a)
#define INDEX               __m512i
#define INDEX_OF(list)      _mm512_loadu_si512(list)
#define TAKE(a, index)      _mm512_permutexvar_ps(index, a)
#define TAKE2(a, b, index)  _mm512_permutex2var_ps(a, index, b)
#include "kernels/pool_tile.h"
