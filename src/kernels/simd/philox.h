/* philox.h - Philox4x32-10 in vectors: the numbers of sunup__random4, many blocks of four at a time.
 *
 * Invariant: the same bits as sunup__random4. Source: Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3" (2011).
 */
#ifndef SUNUP_KERNELS_SIMD_PHILOX_H
#define SUNUP_KERNELS_SIMD_PHILOX_H

#include "kernels/simd/vec.h"

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
#endif

enum { BLOCKS = 32 }; /* of four numbers, drawn together: independent chains of ten rounds */

enum { ROUNDS = 10 };

struct philox {
    uint64_t key[ROUNDS][2], high[2]; /* of each round; words 2 and 3 of every counter */
};

static inline struct philox philox_of(const struct random_stream *s)
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

/* The numbers of 4 * BLOCKS elements, the first of which is in block `first`. */
INLINE void draw_all(const struct philox *p, uint64_t first, uint32_t out[4 * BLOCKS])
{
    for (int b = 0; b < BLOCKS; b += VEC_BLOCKS) draw(p, first + (uint64_t)b, out + 4 * b);
}

#endif
