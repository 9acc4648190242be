/* dots.c - gemm_dots with 512-bit vectors: tiles of 16x1, 8x2, 5x3, 4x4; and stream_rows.
 *
 * Stores of stream_rows go around the caches where a line is written whole, so it is not read
 * first; memory of a result too large for them then sees half the traffic.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC             __m512
#define MASK            __mmask16
#define LANES           16
#define ZERO()          _mm512_setzero_ps()
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define FOLD(acc)       fold(acc)
#define ROWS2           8
#define ROWS3           5
#define ROWS4           4

static inline __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
}

/* In each 128 bits: the sums of a, b, c, d there. */
static inline __m512 fold4(const __m512 *v)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    const __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    const __m512d hi = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    return _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
}

static inline __m512 halve(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

static inline __m512 fold(const __m512 *v)
{
    return halve(halve(fold4(v), fold4(v + 4)), halve(fold4(v + 8), fold4(v + 12)));
}

#include "kernels/dots_tile.h"

static void stream_rows(int64_t rows, int64_t n, const float *x, int64_t x_row, float *y,
                        int64_t y_row)
{
    for (int64_t r = 0; r < rows; r++, x += x_row, y += y_row) {
        int64_t i = 0;
        if ((uintptr_t)y % 64 == 0) {
            for (; i + 16 <= n; i += 16) _mm512_stream_ps(y + i, _mm512_loadu_ps(x + i));
        }
        for (; i < n; i += 16)
            _mm512_mask_storeu_ps(y + i, lanes(n - i), _mm512_maskz_loadu_ps(lanes(n - i), x + i));
    }
}

void FILL(dots)(struct kernels *k)
{
    k->f32.gemm_dots = gemm_dots;
    k->f32.stream_rows = stream_rows;
}
