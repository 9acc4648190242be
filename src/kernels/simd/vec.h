/* vec.h - vectors of the instruction set's own width, for loops that a compiler cannot be trusted
 * with: partial sums that stay in registers, short rows, many rows folded at once.
 *
 * Owes: VEC_LANES floats in a vec with the operators of C (+ - * / by element), and the few functions
 * that have no operator. `left` counts the elements from a place to the end of its row; the _part
 * functions touch min(left, VEC_LANES) of them: lanes past the end read 0 and are not written.
 *
 * vec_fold_add and vec_fold_max take VEC_LANES vectors to one, whose lane r is the sum (maximum) of
 * vector r's lanes as a tree: halves, quarters, ... By shuffles of pairs this is 3 instructions for
 * each vector that goes, where folding them one by one would be 2 for each step of the tree. The
 * _one functions do that for a single vector, in the same order.
 */
#ifndef SUNUP_KERNELS_SIMD_VEC_H
#define SUNUP_KERNELS_SIMD_VEC_H

#include <immintrin.h>

#include "kernels/simd/simd.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__

enum { VEC_LANES = 16 };
typedef __m512 vec;
typedef int32_t vec_int __attribute__((vector_size(64)));

INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}
INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void vec_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}
INLINE void vec_stream(float *p, vec x) /* p: at a whole vector; past the caches */
{
    _mm512_stream_ps(p, x);
}
INLINE __mmask16 vec_mask(int64_t left) /* left < VEC_LANES */
{
    return (__mmask16)((1U << left) - 1);
}
INLINE vec vec_load_part(const float *p, int64_t left)
{
    return left >= VEC_LANES ? vec_load(p) : _mm512_maskz_loadu_ps(vec_mask(left), p);
}
INLINE void vec_store_part(float *p, vec x, int64_t left)
{
    if (left >= VEC_LANES)
        vec_store(p, x);
    else
        _mm512_mask_storeu_ps(p, vec_mask(left), x);
}
/* `rest` in the lanes past the end */
INLINE vec vec_keep(vec x, vec rest, int64_t left)
{
    return left >= VEC_LANES ? x : _mm512_mask_mov_ps(rest, vec_mask(left), x);
}
INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* b where either is NaN */
INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
INLINE vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
/* NaN is the largest number. */
INLINE vec vec_larger(vec best, vec x)
{
    return _mm512_mask_mov_ps(_mm512_max_ps(x, best), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
/* 0 where w is 0, else x */
INLINE vec vec_zero_where(vec w, vec x)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(w, vec_set(0), _CMP_NEQ_UQ), x);
}
/* x where w > 0, else 0 */
INLINE vec vec_where_positive(vec w, vec x)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(w, vec_set(0), _CMP_GT_OQ), x);
}
/* x where w > 0, else y */
INLINE vec vec_choose_positive(vec w, vec x, vec y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(w, vec_set(0), _CMP_GT_OQ), x);
}
/* x, 0 where it is `low` */
INLINE vec vec_zero_at(vec x, float low)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, vec_set(low), _CMP_NEQ_UQ), x);
}
/* Lane l: from[at[l]] where which[l] == k, else rest[l] */
INLINE vec vec_pick(vec rest, vec_int which, int k, vec_int at, vec from)
{
    const __mmask16 here = _mm512_cmpeq_epi32_mask((__m512i)which, _mm512_set1_epi32(k));
    return _mm512_mask_permutexvar_ps(rest, here, (__m512i)at, from);
}
/* x 2^n for whole n, with one rounding, and 0 where y < least */
INLINE vec vec_scale_from(vec x, vec n, vec y, float least)
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(y, vec_set(least), _CMP_NLT_UQ), x, n);
}

#define FOLD_ONE(op, x)                                                                            \
    x = op(x, _mm512_shuffle_f32x4(x, x, 0xee));                                                   \
    x = op(x, _mm512_shuffle_f32x4(x, x, 0x55));                                                   \
    x = op(x, _mm512_shuffle_ps(x, x, 0xee));                                                      \
    x = op(x, _mm512_shuffle_ps(x, x, 0x55));                                                      \
    return _mm512_cvtss_f32(x)

#define FOLD(op)                                                                                   \
    vec h[8], q[4], t[2];                                                                          \
    for (int k = 0; k < 8; k++) {                                                                  \
        const vec a = v[k % 4 + k / 4 * 8], b = v[k % 4 + k / 4 * 8 + 4];                          \
        h[k] = op(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));             \
    }                                                                                              \
    for (int k = 0; k < 4; k++) {                                                                  \
        q[k] = op(_mm512_shuffle_f32x4(h[k], h[k + 4], 0x88),                                      \
                  _mm512_shuffle_f32x4(h[k], h[k + 4], 0xdd));                                     \
    }                                                                                              \
    for (int k = 0; k < 2; k++) {                                                                  \
        t[k] = op(_mm512_shuffle_ps(q[2 * k], q[2 * k + 1], 0x44),                                 \
                  _mm512_shuffle_ps(q[2 * k], q[2 * k + 1], 0xee));                                \
    }                                                                                              \
    return op(_mm512_shuffle_ps(t[0], t[1], 0x88), _mm512_shuffle_ps(t[0], t[1], 0xdd))

#else

enum { VEC_LANES = 8 };
typedef __m256 vec;
typedef int32_t vec_int __attribute__((vector_size(32)));

INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}
INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}
INLINE void vec_stream(float *p, vec x)
{
    _mm256_stream_ps(p, x);
}
INLINE __m256i vec_mask(int64_t left)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), lane);
}
INLINE vec vec_load_part(const float *p, int64_t left)
{
    return left >= VEC_LANES ? vec_load(p) : _mm256_maskload_ps(p, vec_mask(left));
}
INLINE void vec_store_part(float *p, vec x, int64_t left)
{
    if (left >= VEC_LANES)
        vec_store(p, x);
    else
        _mm256_maskstore_ps(p, vec_mask(left), x);
}
INLINE vec vec_keep(vec x, vec rest, int64_t left)
{
    return left >= VEC_LANES ? x : _mm256_blendv_ps(rest, x, _mm256_castsi256_ps(vec_mask(left)));
}
INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
INLINE vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
INLINE vec vec_larger(vec best, vec x)
{
    return _mm256_blendv_ps(_mm256_max_ps(x, best), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
INLINE vec vec_zero_where(vec w, vec x)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(w, vec_set(0), _CMP_NEQ_UQ));
}
INLINE vec vec_where_positive(vec w, vec x)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(w, vec_set(0), _CMP_GT_OQ));
}
INLINE vec vec_choose_positive(vec w, vec x, vec y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(w, vec_set(0), _CMP_GT_OQ));
}
INLINE vec vec_zero_at(vec x, float low)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(x, vec_set(low), _CMP_NEQ_UQ));
}
INLINE vec vec_pick(vec rest, vec_int which, int k, vec_int at, vec from)
{
    const __m256i here = _mm256_cmpeq_epi32((__m256i)which, _mm256_set1_epi32(k));
    return _mm256_blendv_ps(rest, _mm256_permutevar8x32_ps(from, (__m256i)at),
                            _mm256_castsi256_ps(here));
}
/* Two factors, the first of which cannot underflow. */
INLINE vec vec_scale_from(vec x, vec n, vec y, float least)
{
    const vec keep = _mm256_cmp_ps(y, vec_set(least), _CMP_NLT_UQ);
    const __m256i k = _mm256_cvtps_epi32(_mm256_and_ps(n, keep)), half = _mm256_srai_epi32(k, 1);
    const __m256i rest = _mm256_sub_epi32(k, half), bias = _mm256_set1_epi32(127);
    const vec a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const vec b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_and_ps(x, keep) * a * b;
}

#define FOLD_ONE(op, x)                                                                            \
    x = op(x, _mm256_permute2f128_ps(x, x, 0x11));                                                 \
    x = op(x, _mm256_shuffle_ps(x, x, 0xee));                                                      \
    x = op(x, _mm256_shuffle_ps(x, x, 0x55));                                                      \
    return _mm256_cvtss_f32(x)

#define FOLD(op)                                                                                   \
    vec h[4], t[2];                                                                                \
    for (int k = 0; k < 4; k++) {                                                                  \
        h[k] = op(_mm256_permute2f128_ps(v[k], v[k + 4], 0x20),                                    \
                  _mm256_permute2f128_ps(v[k], v[k + 4], 0x31));                                   \
    }                                                                                              \
    for (int k = 0; k < 2; k++) {                                                                  \
        t[k] = op(_mm256_shuffle_ps(h[2 * k], h[2 * k + 1], 0x44),                                 \
                  _mm256_shuffle_ps(h[2 * k], h[2 * k + 1], 0xee));                                \
    }                                                                                              \
    return op(_mm256_shuffle_ps(t[0], t[1], 0x88), _mm256_shuffle_ps(t[0], t[1], 0xdd))

#endif

/* 0, 1 .. of the lanes */
INLINE vec_int vec_lanes(void)
{
    vec_int lane;
    for (int l = 0; l < VEC_LANES; l++) lane[l] = l;
    return lane;
}

/* x, loaded before anybody asks which lanes of it are wanted: compilers make one masked load of a
 * load and a choice, and it waits for the numbers that the mask comes from. Zen 5, two threads: dy
 * where x > 0 from memory, 51 MB each, 3.0 -> 1.3 ms. */
INLINE vec vec_whole(vec x)
{
    __asm__("" : "+v"(x));
    return x;
}

/* x where w > 0; else 0, or slope x */
INLINE vec vec_masked(const bool sloped, vec w, vec x, float slope)
{
    x = vec_whole(x);
    return sloped ? vec_choose_positive(w, x, vec_set(slope) * x) : vec_where_positive(w, x);
}

/* Stores past the caches: of whole lines only, so that none is written in two ways. */
static inline bool vec_streams(bool stream, int64_t width, const float *to)
{
    return stream && width % VEC_LANES == 0 && (uintptr_t)to % sizeof(vec) == 0;
}
INLINE void vec_write(const bool stream, float *p, vec x, int64_t left)
{
    if (stream && left >= VEC_LANES)
        vec_stream(p, x);
    else
        vec_store_part(p, x, left);
}

INLINE vec vec_add(vec a, vec b)
{
    return a + b;
}
INLINE vec vec_fold_add(const vec v[VEC_LANES])
{
    FOLD(vec_add);
}
INLINE vec vec_fold_max(const vec v[VEC_LANES])
{
    FOLD(vec_max);
}
INLINE float vec_fold_one_add(vec x)
{
    FOLD_ONE(vec_add, x);
}
INLINE float vec_fold_one_max(vec x)
{
    FOLD_ONE(vec_larger, x);
}
#undef FOLD
#undef FOLD_ONE

#endif
