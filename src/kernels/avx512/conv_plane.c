/* conv_plane.c - depthwise 3x3 of planes with 512-bit vectors; see plane_tile.h.
 *
 * Of 32 registers 21 hold sums or dy of seven points, 9 the weights or their sums, one x.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m512
#define MASK            __mmask16
#define LANES           16
#define ZERO()          _mm512_setzero_ps()
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define ADD(a, b)       _mm512_add_ps(a, b)
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define lanes(n)        ((__mmask16)((1U << (n)) - 1))
#define STRIP           7
#define STRIPS(F)       F(1) F(2) F(3) F(4) F(5) F(6) F(7)
#include "kernels/plane_tile.h"
