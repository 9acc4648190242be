/* fixed.c - terms of a sum of block-scaled integers in vectors: the processor's own conversion
 * rounds to nearest even and makes INT32_MIN of what does not fit, which C leaves undefined. Sizes
 * of floats without their sign are in the order of their bits as integers, Inf and NaN last: so
 * one integer maximum finds the largest |x| and keeps NaN.
 *
 * From memory at the speed of y += x, in cache 1.3 to 1.7 times its time.
 */
#include <immintrin.h>

#include "kernels/simd/math.h"

#ifdef __AVX512F__

typedef __m512i words;
#define LOAD(p)      _mm512_loadu_si512(p)
#define STORE(p, a)  _mm512_storeu_si512(p, a)
#define SET(a)       _mm512_set1_epi32(a)
#define ADD(a, b)    _mm512_add_epi32(a, b)
#define LARGER(a, b) _mm512_max_epu32(a, b)
#define AND(a, b)    _mm512_and_si512(a, b)
#define BITS(x)      _mm512_castps_si512(x)
#define ROUND(x)     _mm512_cvtps_epi32(x)

#else

typedef __m256i words;
#define LOAD(p)      _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, a)  _mm256_storeu_si256((__m256i *)(void *)(p), a)
#define SET(a)       _mm256_set1_epi32(a)
#define ADD(a, b)    _mm256_add_epi32(a, b)
#define LARGER(a, b) _mm256_max_epu32(a, b)
#define AND(a, b)    _mm256_and_si256(a, b)
#define BITS(x)      _mm256_castps_si256(x)
#define ROUND(x)     _mm256_cvtps_epi32(x)

#endif

struct terms {
    const float *x, *z; /* z NULL: none */
    vec scale;
    bool first;
};

/* A vector of terms from x on, or two; returns the larger sizes. */
INLINE words add_vector(const struct terms *t, vec x, vec z, int32_t *acc, words most)
{
    words sum = ROUND(x * t->scale);
    if (!t->first) sum = ADD(LOAD(acc), sum);
    most = LARGER(most, AND(BITS(x), SET(INT32_MAX)));
    if (t->z != NULL) {
        sum = ADD(sum, ROUND(z * t->scale));
        most = LARGER(most, AND(BITS(z), SET(INT32_MAX)));
    }
    STORE(acc, sum);
    return most;
}

/* The last terms go through a whole vector, of which what is beyond n is 0. */
INLINE words add_rest(const struct terms *t, int64_t i, int64_t n, int32_t *acc, words most)
{
    int32_t room[VEC_LANES] = {0};
    for (int64_t j = 0; j < n; j++) room[j] = acc[i + j];
    const vec x = vec_load_part(t->x + i, n);
    most = add_vector(t, x, t->z != NULL ? vec_load_part(t->z + i, n) : x, room, most);
    for (int64_t j = 0; j < n; j++) acc[i + j] = room[j];
    return most;
}

INLINE uint32_t add(const struct terms *t, int64_t n, int32_t *acc)
{
    words most = SET(0);
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES) {
        const vec x = vec_load(t->x + i);
        most = add_vector(t, x, t->z != NULL ? vec_load(t->z + i) : x, acc + i, most);
    }
    if (i < n) most = add_rest(t, i, n - i, acc, most);
    uint32_t lane[VEC_LANES], largest = 0;
    STORE(lane, most);
    for (int l = 0; l < VEC_LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    return largest;
}

static void fixed_add(int64_t n, const float *x, const float *z, float scale, bool first,
                      int32_t *acc, float *most)
{
    const struct terms one = {x, NULL, vec_set(scale), false}, two = {x, z, vec_set(scale), false};
    const struct terms first_one = {x, NULL, one.scale, true}, first_two = {x, z, one.scale, true};
    uint32_t now;
    if (z == NULL)
        now = first ? add(&first_one, n, acc) : add(&one, n, acc);
    else
        now = first ? add(&first_two, n, acc) : add(&two, n, acc);
    if (now > float_bits(*most)) *most = bits_float(now);
}

static void fixed_sum(int64_t n, const int32_t *x, int32_t *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)((uint32_t)x[i] + (uint32_t)y[i]);
}

static void fixed_value(int64_t n, const int32_t *x, const int32_t *z, float scale, float *y)
{
    if (z == NULL) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = (float)x[i] * scale;
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(int32_t)((uint32_t)x[i] + (uint32_t)z[i]) * scale;
}

void FILL(fixed)(struct kernels *k)
{
    k->f32.fixed_add = fixed_add;
    k->f32.fixed_sum = fixed_sum;
    k->f32.fixed_value = fixed_value;
}
