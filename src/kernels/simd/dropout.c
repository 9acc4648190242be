/* dropout.c - dropout with Philox4x32-10 in vectors: the numbers of sunup__random4, many blocks of
 * four at a time.
 *
 * Invariant: the same bits as dropout_ref.c. Source: Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3" (2011).
 */
#include <math.h>

#include "kernels/simd/rows.h"

/* A lane of 64 bits holds one word of a block in its lower half, so that a product needs no moving;
 * what the upper half holds is never looked at. ORDER: the block of each lane, so that putting the
 * four words of each together (JOIN) leaves the blocks in order. */
#ifdef __AVX512F__
typedef __m512i words;
enum { VEC_BLOCKS = 8 };
#define SET(x)           _mm512_set1_epi64((int64_t)(x))
#define ORDER            _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)
#define PLUS(a, b)       _mm512_add_epi64(a, b)
#define PRODUCT(a, b)    _mm512_mul_epu32(a, b)
#define HIGH(a)          _mm512_srli_epi64(a, 32)
#define XOR3(a, b, c)    _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define PAIR(a, b)       _mm512_mask_mov_epi32(a, 0xaaaa, _mm512_slli_epi64(b, 32))
#define JOIN(half, a, b) _mm512_unpack##half##_epi64(a, b)
#define STORE(p, a)      _mm512_storeu_si512(p, a)

/* x where number >= least, else 0 */
INLINE vec kept(const uint32_t *number, uint32_t least, vec x)
{
    const __m512i drawn = _mm512_loadu_si512(number);
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(drawn, _mm512_set1_epi32((int)least)), x);
}
#else
typedef __m256i words;
enum { VEC_BLOCKS = 4 };
#define SET(x)           _mm256_set1_epi64x((int64_t)(x))
#define ORDER            _mm256_setr_epi64x(0, 2, 1, 3)
#define PLUS(a, b)       _mm256_add_epi64(a, b)
#define PRODUCT(a, b)    _mm256_mul_epu32(a, b)
#define HIGH(a)          _mm256_srli_epi64(a, 32)
#define XOR3(a, b, c)    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
#define PAIR(a, b)       _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa)
#define JOIN(half, a, b) _mm256_unpack##half##_epi64(a, b)
#define STORE(p, a)      _mm256_storeu_si256((__m256i *)(void *)(p), a)

INLINE vec kept(const uint32_t *number, uint32_t least, vec x)
{
    const __m256i drawn = _mm256_loadu_si256((const __m256i *)(const void *)number);
    const __m256i most = _mm256_max_epu32(drawn, _mm256_set1_epi32((int)least));
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(most, drawn)));
}
#endif

enum { BLOCKS = 32 }; /* of four numbers, drawn together: independent chains of ten rounds */

enum { ROUNDS = 10 };

struct philox {
    uint64_t key[ROUNDS][2], high[2]; /* of each round; words 2 and 3 of every counter */
};

static struct philox philox_of(const struct random_stream *s)
{
    const uint64_t name = ((uint64_t)s->purpose << 32) | s->a;
    const uint64_t key = sunup__hash(&name, sizeof name, s->seed);
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    struct philox p = {.high = {(uint32_t)s->b, s->b >> 32}};
    for (int round = 0; round < ROUNDS; round++) {
        p.key[round][0] = k[0];
        p.key[round][1] = k[1];
        k[0] += 0x9E3779B9U;
        k[1] += 0xBB67AE85U;
    }
    return p;
}

/* out[4 b + w]: word w of block `first` + b, b < VEC_BLOCKS */
INLINE void draw(const struct philox *p, uint64_t first, uint32_t out[4 * VEC_BLOCKS])
{
    words c0 = PLUS(SET(first), ORDER), c1 = HIGH(c0), c2 = SET(p->high[0]), c3 = SET(p->high[1]);
#pragma GCC unroll 10
    for (int round = 0; round < ROUNDS; round++) {
        const words m0 = PRODUCT(c0, SET(0xD2511F53)), m1 = PRODUCT(c2, SET(0xCD9E8D57));
        c0 = XOR3(HIGH(m1), c1, SET(p->key[round][0]));
        c2 = XOR3(HIGH(m0), c3, SET(p->key[round][1]));
        c1 = m1;
        c3 = m0;
    }
    const words a = PAIR(c0, c1), b = PAIR(c2, c3);
    STORE(out, JOIN(lo, a, b));
    STORE(out + 2 * VEC_BLOCKS, JOIN(hi, a, b));
}

static void dropout(int64_t n, const float *x, const struct random_stream *s, uint64_t first,
                    double p, float *y)
{
    const struct philox philox = philox_of(s);
    const double limit = ceil(p * 0x1p32); /* number >= p 2^32 */
    if (limit >= 0x1p32) {
        for (int64_t i = 0; i < n; i++) y[i] = 0;
        return;
    }
    const uint32_t least = limit > 0 ? (uint32_t)limit : 0;
    const vec scale = vec_set((float)(1 / (1 - p)));
    _Alignas(64) uint32_t number[4 * BLOCKS + VEC_LANES] = {0}; /* the last: read, not used */
    for (int64_t i = 0; i < n;) {
        const uint64_t at = first + (uint64_t)i;
        const uint32_t *from = number + at % 4;
        const int64_t room = 4 * BLOCKS - (int64_t)(at % 4), m = n - i < room ? n - i : room;
        for (int b = 0; b < BLOCKS; b += VEC_BLOCKS)
            draw(&philox, at / 4 + (uint64_t)b, number + 4 * b);
        ALONG(m, const vec v = vec_load_part(x + i + j, left) * scale;
              vec_store_part(y + i + j, kept(from + j, least, v), left););
        i += m;
    }
}

void FILL(dropout)(struct kernels *k)
{
    k->f32.dropout = dropout;
}
