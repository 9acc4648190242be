/* tree_sum.h - what a sum over shards means, as plainly as it can be said: recursion over one
 * element's terms.
 *
 * For tests and `sunup check comm` only: owes the bits that every exchange must give. Its own rule
 * for a missing right sibling: the left one stands alone.
 */
#ifndef TREE_SUM_H
#define TREE_SUM_H

#include <math.h>
#include <stdint.h>

/* Terms of the adversary: huge numbers that cancel, and small ones whose survival depends on the
 * order. */
static inline double hostile_term(int shard, int64_t i)
{
    const uint64_t mix =
        ((uint64_t)shard * 0x9e3779b97f4a7c15u + (uint64_t)i + 1) * 0xbf58476d1ce4e5b9u;
    const double small = (double)(int64_t)(mix >> 40) / 1000 - 8000;
    switch ((mix >> 20) % 5) {
    case 0:
        return 0x1p60;
    case 1:
        return -0x1p60;
    case 2:
        return small * 0x1p-30;
    default:
        return small;
    }
}

/* float rounds after each addition as the exchange in f32 does. */
static inline float tree_sum_f32(int shards, int level, int start, int64_t i)
{
    if (level == 0) return (float)hostile_term(start, i);
    const int half = 1 << (level - 1);
    const float left = tree_sum_f32(shards, level - 1, start, i);
    return start + half < shards ? left + tree_sum_f32(shards, level - 1, start + half, i) : left;
}

static inline double tree_sum_f64(int shards, int level, int start, int64_t i)
{
    if (level == 0) return hostile_term(start, i);
    const int half = 1 << (level - 1);
    const double left = tree_sum_f64(shards, level - 1, start, i);
    return start + half < shards ? left + tree_sum_f64(shards, level - 1, start + half, i) : left;
}

/* Eight bits of mantissa, ties to even; of numbers within bf16's range. */
static inline float to_bf16(float x)
{
    int exponent;
    const float mantissa = frexpf(x, &exponent);
    return ldexpf(rintf(ldexpf(mantissa, 8)), exponent - 8);
}

/* Terms of like sizes, so that each addition must be rounded to bf16 again: where 2^60 is about, few must. */
static inline float like_term(int shard, int64_t i)
{
    uint64_t mix = ((uint64_t)i * 64 + (uint64_t)shard + 1) * 0x9e3779b97f4a7c15u;
    mix = (mix ^ mix >> 30) * 0xbf58476d1ce4e5b9u;
    return i % 5 == 0 ? (float)hostile_term(shard, i) : (float)(int64_t)(mix >> 40) * 0x1p-24F - 0.3F;
}

/* Terms and sums as they would travel in bf16. */
static inline float tree_sum_bf16(int shards, int level, int start, int64_t i)
{
    if (level == 0) return to_bf16(like_term(start, i));
    const int half = 1 << (level - 1);
    const float left = tree_sum_bf16(shards, level - 1, start, i);
    if (start + half >= shards) return left;
    return to_bf16(left + tree_sum_bf16(shards, level - 1, start + half, i));
}

static inline int tree_height(int shards)
{
    int level = 0;
    while ((1 << level) < shards) level++;
    return level;
}

#endif
