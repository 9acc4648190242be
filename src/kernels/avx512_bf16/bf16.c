/* bf16.c - rounding to bf16 by the processor's conversion, a third of the instructions of
 * simd/bf16.c. It takes denormals for 0; so where a vector has any, these are rounded in integers, and
 * bits are the same at every level.
 */
#include <immintrin.h>

#include "base/integers.h"
#include "kernels/fill.h"

enum { LANES = 16, DENORMAL = 0x20 };

static inline __m512i rounded(__m512 x)
{
    const __m512i u = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(u, odd), _mm512_set1_epi32(0x7fff));
    return _mm512_srli_epi32(sum, 16);
}

/* The halves of 16 words: one of x, then one of y. */
static inline __m512i pairs(__m512 x, __m512 y)
{
    static const _Alignas(64)
        int16_t order[2 * LANES] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(y, x);
    __m512i words = _mm512_permutexvar_epi16(_mm512_load_si512(order), halves);
    const __mmask16 small_x = _mm512_fpclass_ps_mask(x, DENORMAL),
                    small_y = _mm512_fpclass_ps_mask(y, DENORMAL);
    if (__builtin_expect(!_kortestz_mask16_u8(small_x, small_y), 0)) {
        const __m512i low = _mm512_maskz_mov_epi32(small_x, rounded(x)),
                      high = _mm512_maskz_mov_epi32(small_y, rounded(y));
        words = _mm512_or_si512(words, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
    return words;
}

static inline __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= LANES ? 0xffff : n > 0 ? (1 << n) - 1 : 0);
}

/* The halves of 16 words: those of x, then those of y. */
static inline __m512i neighbours(__m512 x, __m512 y)
{
    __m512i words = (__m512i)_mm512_cvtne2ps_pbh(y, x);
    const __mmask16 small_x = _mm512_fpclass_ps_mask(x, DENORMAL),
                    small_y = _mm512_fpclass_ps_mask(y, DENORMAL);
    if (__builtin_expect(!_kortestz_mask16_u8(small_x, small_y), 0)) {
        const __m256i low = _mm512_maskz_cvtepi32_epi16(small_x, rounded(x)),
                      high = _mm512_maskz_cvtepi32_epi16(small_y, rounded(y));
        words = _mm512_or_si512(words, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
    }
    return words;
}

/* What is left of x, where y is x rounded, in the upper halves of its numbers. Denormal y count here. */
static inline __m512 left(__m512 x, __m512i y)
{
    return _mm512_sub_ps(x, _mm512_castsi512_ps(y));
}

/* What is left of the numbers that made a vector of words: `neighbours` and `pairs` of them. */
static inline __m512i neighbours_left(__m512 x, __m512 y, __m512i words)
{
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)),
                  high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1));
    return neighbours(left(x, _mm512_slli_epi32(low, 16)), left(y, _mm512_slli_epi32(high, 16)));
}

static inline __m512i pairs_left(__m512 x, __m512 y, __m512i words)
{
    return pairs(left(x, _mm512_slli_epi32(words, 16)),
                 left(y, _mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000U))));
}

static inline __attribute__((always_inline)) void words(int64_t n, const float *x, uint32_t *y,
                                                        uint32_t *low, const bool both)
{
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const __m512 first = _mm512_loadu_ps(x + i), second = _mm512_loadu_ps(x + i + LANES);
        const __m512i all = neighbours(first, second);
        _mm512_storeu_si512(y + i / 2, all);
        if (both) _mm512_storeu_si512(low + i / 2, neighbours_left(first, second, all));
    }
    if (i == n) return;
    const __m512 first = _mm512_maskz_loadu_ps(lanes(n - i), x + i),
                 second = _mm512_maskz_loadu_ps(lanes(n - i - LANES), x + i + LANES);
    const __m512i all = neighbours(first, second);
    _mm512_mask_storeu_epi32(y + i / 2, lanes((n - i + 1) / 2), all);
    if (both)
        _mm512_mask_storeu_epi32(low + i / 2, lanes((n - i + 1) / 2), neighbours_left(first, second, all));
}

/* Some columns of two rows, of which the second need not be there. */
static inline __attribute__((always_inline)) void columns(const float *x, const float *second_x, const __mmask16 some,
                                                          const __mmask16 second_some, uint32_t *y, uint32_t *low)
{
    const __m512 first = _mm512_maskz_loadu_ps(some, x), second = _mm512_maskz_loadu_ps(second_some, second_x);
    const __m512i all = pairs(first, second);
    _mm512_mask_storeu_epi32(y, some, all);
    if (low) _mm512_mask_storeu_epi32(low, some, pairs_left(first, second, all));
}

static inline __attribute__((always_inline)) void rows(int64_t k, int64_t n, const float *x, int64_t x_row,
                                                       uint32_t *y, uint32_t *low, const bool both)
{
    for (int64_t p = 0; p < k; p += 2, x += 2 * x_row, y += n) {
        int64_t j = 0;
        for (; p + 1 < k && j + LANES <= n; j += LANES)
            columns(x + j, x + x_row + j, 0xffff, 0xffff, y + j, both ? low + j : NULL);
        for (; j < n; j += LANES)
            columns(x + j, x + x_row + j, lanes(n - j), p + 1 < k ? lanes(n - j) : 0, y + j, both ? low + j : NULL);
        if (both) low += n;
    }
}

static void bf16_words(int64_t n, const float *x, uint32_t *y, uint32_t *low)
{
    if (low)
        words(n, x, y, low, true);
    else
        words(n, x, y, NULL, false);
}

static void bf16_rows(int64_t k, int64_t n, const float *x, int64_t x_row, uint32_t *y, uint32_t *low)
{
    if (low)
        rows(k, n, x, x_row, y, low, true);
    else
        rows(k, n, x, x_row, y, NULL, false);
}

void FILL(bf16)(struct kernels *k)
{
    k->f32.bf16_words = bf16_words;
    k->f32.bf16_rows = bf16_rows;
}
