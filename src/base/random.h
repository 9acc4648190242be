/* random.h - counter-based random numbers: a pure function of (key, counter), so that any sample's numbers can
 * be drawn by any rank or thread in any order. Philox4x32-10 from Random123 (Salmon et al., SC 2011).
 *
 * A stream is named by (seed, purpose, a, b); i counts within the stream. 4 numbers a call.
 */
#ifndef SUNUP_BASE_RANDOM_H
#define SUNUP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum random_purpose {
    RANDOM_INIT,
    RANDOM_SHUFFLE,
    RANDOM_DROPOUT,
    RANDOM_AUGMENT,
    RANDOM_TEST,
    RANDOM_USER,
    RANDOM_VALUE,
    RANDOM_TRACK
};

/* key of a stream: what stays the same while i runs */
struct random_stream {
    uint64_t seed;
    uint32_t purpose;
    uint32_t a; /* e.g. hash of a name, op position      */
    uint64_t b; /* e.g. step and sample, mixed by caller */
};
void sunup__random4(const struct random_stream *s, uint64_t i, uint32_t out[4]);
double sunup__random_unit(const struct random_stream *s, uint64_t i);   /* [0, 1), 53 bits */
double sunup__random_normal(const struct random_stream *s, uint64_t i); /* Box-Muller      */
uint64_t sunup__random_below(const struct random_stream *s, uint64_t i,
                             uint64_t n); /* [0, n), unbiased to 2^-64 */
/* A random permutation of [0, n), and where element i goes in it: a bijection, by a Feistel network with cycle
 * walking (no table, so a shuffle of 10^9 samples costs nothing to start). */
struct random_permutation {
    uint64_t key, n;
    int half; /* of the bits that n needs */
};
struct random_permutation sunup__random_permutation(const struct random_stream *s, uint64_t n);
uint64_t sunup__random_permute(const struct random_permutation *p, uint64_t i);

/* 64-bit hash (splitmix rounds over 8-byte words, length mixed in): weights, names; not for adversaries. */
uint64_t sunup__hash(const void *data, size_t bytes, uint64_t seed);
uint32_t sunup__crc32(const void *data, size_t bytes,
                      uint32_t crc); /* zlib's polynomial; start with 0     */
uint32_t sunup__crc32c(const void *data, size_t bytes,
                       uint32_t crc); /* Castagnoli (TensorBoard records)   */

#endif
