/* conv_box.c - grouped convolution with 256-bit vectors; see box_tile.h for what it owes.
 *
 * Of 16 registers up to 12 hold sums. A ragged last vector costs masked loads here, which whole
 * vectors do not pay.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC               __m256
#define MASK              __m256i
#define INDEX             __m256i
#define LANES             8
#define ZERO()            _mm256_setzero_ps()
#define FMA(a, b, c)      _mm256_fmadd_ps(a, b, c)
#define ADD(a, b)         _mm256_add_ps(a, b)
#define LOAD(p)           _mm256_loadu_ps(p)
#define STORE(p, v)       _mm256_storeu_ps(p, v)
#define STREAM(p, v)      _mm256_stream_ps(p, v)
#define LOADM(p, m)       _mm256_maskload_ps(p, m)
#define STOREM(p, m, v)   _mm256_maskstore_ps(p, m, v)
#define TURN(v, index, m) _mm256_and_ps(_mm256_permutevar8x32_ps(v, index), _mm256_castsi256_ps(m))
#define MASK_OF(p)        _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define INDEX_OF(p)       MASK_OF(p)
#define UP_TO_1(F, R)     F(1, R)
#define UP_TO_2(F, R)     UP_TO_1(F, R) F(2, R)
#define UP_TO_5(F, R)     UP_TO_2(F, R) F(3, R) F(4, R) F(5, R)
#define UP_TO_12(F, R)    UP_TO_5(F, R) F(6, R) F(7, R) F(8, R) F(9, R) F(10, R) F(11, R) F(12, R)
#define POINTS_1          UP_TO_12
#define POINTS_2          UP_TO_5
#define POINTS_4          UP_TO_2
#define POINTS_8          UP_TO_1
#define TAPS_1            UP_TO_12
#define TAPS_2            UP_TO_5
#define TAPS_4            UP_TO_2
#define TAPS_8            UP_TO_1
#define ROWS_OF_3         UP_TO_2
#include "kernels/box_tile.h"
