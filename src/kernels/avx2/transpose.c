/* transpose.c - blocks of 8x8: 16 shuffles each, since the halves of two rows are joined by the loads.
 *
 * 512-bit blocks of 16x16 need as many cycles on a machine that splits their shuffles, so every
 * stronger level uses this one. Strips of 16 rows fill whole cache lines of y. Ceiling: a quarter of
 * a cycle an element.
 */
#include <immintrin.h>

#include "kernels/fill.h"

enum { SIDE = 8, STRIP = 16 };

/* In each half: rows a b c d of 4 become columns. */
static inline void turn(__m256 a, __m256 b, __m256 c, __m256 d, __m256 out[4])
{
    const __m256d ab0 = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)),
                  ab2 = _mm256_castps_pd(_mm256_unpackhi_ps(a, b)),
                  cd0 = _mm256_castps_pd(_mm256_unpacklo_ps(c, d)),
                  cd2 = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab0, cd0));
    out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab0, cd0));
    out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab2, cd2));
    out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab2, cd2));
}

/* 4 columns of 8 rows: rows i and i + 4 share a vector. */
static inline void four(const float *x, int64_t x_row, float *y, int64_t y_row)
{
    __m256 v[4];
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x + i * x_row)),
                                    _mm_loadu_ps(x + (i + 4) * x_row), 1);
    }
    turn(v[0], v[1], v[2], v[3], v);
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(y + i * y_row, v[i]);
}

/* 4 columns of r < 8 rows. Whole vectors write beyond them, which only `dense` ones may: those that
 * are written next lie there. Masked stores are slow on some machines. */
static inline __attribute__((always_inline)) void
four_of(const int r, const bool dense, const float *x, int64_t x_row, float *y, int64_t y_row)
{
    __m256 v[4];
    for (int i = 0; i < 4; i++) {
        const __m128 high = i + 4 < r ? _mm_loadu_ps(x + (i + 4) * x_row) : _mm_setzero_ps();
        const __m128 low = i < r ? _mm_loadu_ps(x + i * x_row) : _mm_setzero_ps();
        v[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
    }
    turn(v[0], v[1], v[2], v[3], v);
    for (int i = 0; i < 4; i++) {
        const __m128 low = _mm256_castps256_ps128(v[i]);
        const __m128 rest = r < 4 ? low : _mm256_extractf128_ps(v[i], 1);
        float *to = y + i * y_row;
        if (dense) {
            _mm256_storeu_ps(to, v[i]);
            continue;
        }
        if (r >= 4) _mm_storeu_ps(to, low);
        if (r % 4 >= 2) _mm_storel_pi((__m64 *)(void *)(to + r / 4 * 4), rest);
        if (r % 4 == 1) _mm_store_ss(to + r / 4 * 4, rest);
        if (r % 4 == 3) _mm_store_ss(to + r / 4 * 4 + 2, _mm_movehl_ps(rest, rest));
    }
}

#define STRIP_OF(r)                                                                                \
    case r:                                                                                        \
        for (; dense && j + 4 < n; j += 4) four_of(r, true, x + j, x_row, y + j * r, r);           \
        for (; j < n; j += 4) four_of(r, false, x + j, x_row, y + j * y_row, y_row);               \
        return;

/* The last rows, of n columns, a multiple of 4. */
static void strip(int64_t rows, int64_t n, const float *x, int64_t x_row, float *y, int64_t y_row)
{
    const bool dense = y_row == rows && rows > 1; /* 4 columns are a vector at least */
    int64_t j = 0;
    switch (rows) {
        STRIP_OF(1)
        STRIP_OF(2)
        STRIP_OF(3)
        STRIP_OF(4)
        STRIP_OF(5)
        STRIP_OF(6)
        STRIP_OF(7)
    }
}

static void edge(int64_t rows, int64_t n, const float *x, int64_t x_row, float *y, int64_t y_row)
{
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < rows; i++) y[j * y_row + i] = x[i * x_row + j];
    }
}

static void transpose(int64_t rows, int64_t n, const float *x, int64_t x_row, float *y,
                      int64_t y_row)
{
    const int64_t whole = n / 4 * 4;
    int64_t i = 0;
    for (; i + STRIP <= rows; i += STRIP) {
        const float *top = x + i * x_row, *low = top + SIDE * x_row;
        for (int64_t j = 0; j < whole; j += 4) {
            four(top + j, x_row, y + j * y_row + i, y_row);
            four(low + j, x_row, y + j * y_row + i + SIDE, y_row);
        }
    }
    for (; i + SIDE <= rows; i += SIDE) {
        for (int64_t j = 0; j < whole; j += 4)
            four(x + i * x_row + j, x_row, y + j * y_row + i, y_row);
    }
    strip(rows - i, whole, x + i * x_row, x_row, y + i, y_row);
    edge(rows, n - whole, x + whole, x_row, y + whole * y_row, y_row);
}

void FILL(transpose)(struct kernels *k)
{
    k->f32.transpose = transpose;
}
