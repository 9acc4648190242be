/* random.c - Philox4x32-10 streams, permutations without tables, hashes.
 *
 * Source  Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), through Random123.
 * Invariant  every result is a pure function of its arguments, on every machine.
 */
#include "base/random.h"

#include <Random123/philox.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

void sunup__random4(const struct random_stream *s, uint64_t i, uint32_t out[4])
{
    const philox4x32_ctr_t counter = {
        {(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)s->b, (uint32_t)(s->b >> 32)}};
    /* The 64-bit key carries the seed; purpose and a are mixed in by a hash, so that streams of one seed differ. */
    const uint64_t name = ((uint64_t)s->purpose << 32) | s->a;
    const uint64_t mixed = sunup__hash(&name, sizeof name, s->seed);
    const philox4x32_key_t key = {{(uint32_t)mixed, (uint32_t)(mixed >> 32)}};
    const philox4x32_ctr_t r = philox4x32(counter, key);
    memcpy(out, r.v, 4 * sizeof out[0]);
}

static uint64_t bits64(const struct random_stream *s, uint64_t i)
{
    uint32_t r[4];
    sunup__random4(s, i, r);
    return ((uint64_t)r[0] << 32) | r[1];
}

double sunup__random_unit(const struct random_stream *s, uint64_t i)
{
    return (double)(bits64(s, i) >> 11) * 0x1p-53;
}

double sunup__random_normal(const struct random_stream *s, uint64_t i)
{
    uint32_t r[4];
    sunup__random4(s, i, r);
    const uint64_t a = ((uint64_t)r[0] << 32) | r[1], b = ((uint64_t)r[2] << 32) | r[3];
    const double radius = ((double)(a >> 11) + 1.0) * 0x1p-53; /* (0, 1]: its logarithm is finite */
    const double angle = (double)(b >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(radius)) * cos(6.283185307179586476925 * angle);
}

uint64_t sunup__random_below(const struct random_stream *s, uint64_t i, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)bits64(s, i) * n) >> 64);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

struct random_permutation sunup__random_permutation(const struct random_stream *s, uint64_t n)
{
    struct random_permutation p = {.key = sunup__hash(s, sizeof *s, s->seed), .n = n, .half = 1};
    while (p.half < 32 && n > 0 && (n - 1) >> (2 * p.half) != 0) p.half++;
    return p;
}

/* A balanced Feistel network permutes [0, 4^h) >= n; outside [0, n) it is applied again until inside (at most four
 * times on average, since 4^h < 4 n). Six rounds: neighbours end far apart. */
uint64_t sunup__random_permute(const struct random_permutation *p, uint64_t i)
{
    const uint64_t mask = (1ULL << p->half) - 1;
    if (p->n < 2) return 0;
    do {
        uint64_t left = i >> p->half, right = i & mask;
        for (uint64_t round = 0; round < 6; round++) {
            const uint64_t next = left ^ (mix(right + p->key + round * 0x9e3779b97f4a7c15ULL) & mask);
            left = right;
            right = next;
        }
        i = (left << p->half) | right;
    } while (i >= p->n);
    return i;
}

uint64_t sunup__hash(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = mix(seed + 0x9e3779b97f4a7c15ULL * (bytes + 1));
    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        h = mix(h ^ word) + 0x9e3779b97f4a7c15ULL;
    }
    uint64_t tail = 0;
    memcpy(&tail, p, bytes);
    return mix(h ^ tail);
}

uint32_t sunup__crc32(const void *data, size_t bytes, uint32_t crc)
{
    const unsigned char *p = data;
    while (bytes > 0) {
        const size_t part = bytes < (1U << 30) ? bytes : 1U << 30; /* zlib counts in unsigned int */
        crc = (uint32_t)crc32(crc, p, (uInt)part);
        p += part;
        bytes -= part;
    }
    return crc;
}

uint32_t sunup__crc32c(const void *data, size_t bytes, uint32_t crc)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1U)));
    }
    return ~crc;
}
