/* conv_box.c - grouped convolution with 512-bit vectors; see box_tile.h for what it owes.
 *
 * Of 32 registers up to 24 hold sums; the others are the weights of up to three taps (forward) or dy
 * by turns (weight gradient). With data in the L1 or L2, depthwise 3x3 and 5x5 reach 70 to 88 % of
 * the peak, groups of four 85 to 97 %.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC               __m512
#define MASK              __mmask16
#define INDEX             __m512i
#define LANES             16
#define ZERO()            _mm512_setzero_ps()
#define FMA(a, b, c)      _mm512_fmadd_ps(a, b, c)
#define ADD(a, b)         _mm512_add_ps(a, b)
#define LOAD(p)           _mm512_loadu_ps(p)
#define STORE(p, v)       _mm512_storeu_ps(p, v)
#define STREAM(p, v)      _mm512_stream_ps(p, v)
#define LOADM(p, m)       _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v)   _mm512_mask_storeu_ps(p, m, v)
#define TURN(v, index, m) _mm512_maskz_permutexvar_ps(m, index, v)
#define MASK_OF(p)        _mm512_movepi32_mask(_mm512_loadu_si512(p))
#define INDEX_OF(p)       _mm512_loadu_si512(p)
#define UP_TO_2(F, R)     F(1, R) F(2, R)
#define UP_TO_3(F, R)     UP_TO_2(F, R) F(3, R)
#define UP_TO_5(F, R)     UP_TO_3(F, R) F(4, R) F(5, R)
#define UP_TO_6(F, R)     UP_TO_5(F, R) F(6, R)
#define UP_TO_10(F, R)    UP_TO_6(F, R) F(7, R) F(8, R) F(9, R) F(10, R)
#define UP_TO_14(F, R)    UP_TO_10(F, R) F(11, R) F(12, R) F(13, R) F(14, R)
#define POINTS_1          UP_TO_14
#define POINTS_2          UP_TO_10
#define POINTS_4          UP_TO_6
#define POINTS_8          UP_TO_2
#define TAPS_1            UP_TO_14
#define TAPS_2            UP_TO_10
#define TAPS_4            UP_TO_5
#define TAPS_8            UP_TO_2
#define ROWS_OF_3         UP_TO_3
#include "kernels/box_tile.h"
