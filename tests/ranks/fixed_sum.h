/* fixed_sum.h - what a sum of block-scaled integers means, for the second of two equal steps or
 * one that was repeated: each block's bound is its largest term.
 *
 * Owes the bits that every exchange must give, from the definition: int64 sums, and exponents by
 * logarithms.
 */
#ifndef FIXED_SUM_H
#define FIXED_SUM_H

#include <math.h>
#include <stdint.h>

enum { FIXED_SUM_BLOCK = 512 };

/* Terms of a gradient: of all sizes below 8000, and of other sizes in other blocks. */
static inline float gentle_term(int shard, int64_t i, float factor)
{
    const uint64_t mix =
        ((uint64_t)shard * 0x9e3779b97f4a7c15u + (uint64_t)i + 1) * 0xbf58476d1ce4e5b9u;
    const float x = (float)((double)(int64_t)(mix >> 40) / 1000 - 8000) * factor;
    return ldexpf(x, (int)(i / 100 % 7) * -2);
}

/* S terms of four times the bound fit into 31 bits; 2^31 / S is rounded down to a float. */
static inline int fixed_exponent(int shards, float bound)
{
    int e;
    float limit = (float)(INT32_MAX / shards);
    if ((double)limit > INT32_MAX / shards) limit = nextafterf(limit, 0);
    if (bound == 0) return 126;
    (void)frexp((double)limit / (double)bound, &e);
    return e - 3 < 126 ? e - 3 : 126;
}

/* sum [head] of gentle terms. */
static inline void fixed_sum(int shards, int64_t head, float factor, float *sum)
{
    for (int64_t at = 0; at < head; at += FIXED_SUM_BLOCK) {
        const int64_t end = at + FIXED_SUM_BLOCK < head ? at + FIXED_SUM_BLOCK : head;
        float bound = 0;
        for (int64_t i = at; i < end; i++)
            for (int s = 0; s < shards; s++) bound = fmaxf(bound, fabsf(gentle_term(s, i, factor)));
        const int e = fixed_exponent(shards, bound);
        const double scale = ldexp(1, e), back = ldexp(1, -e);
        for (int64_t i = at; i < end; i++) {
            int64_t total = 0;
            for (int s = 0; s < shards; s++)
                total += (int64_t)rint((double)gentle_term(s, i, factor) * scale);
            sum[i] = (float)((double)total * back);
        }
    }
}

#endif
