/* checksum.c - a sum over numbers on their way between ranks that no flipped bit survives.
 *
 * Two sums of the 32-bit words w of a message, modulo the prime p = 2^32 - 5: a, of the words, and
 * b, of the words times their distance from the end. This is Adler's checksum (RFC 1950) with
 * words for bytes. What it finds, for less than 16 GiB:
 *   - any change of one word, unless it takes one of 0..4 to that + p or back: no flipped bit
 *     does;
 *   - any two flipped bits: 2^j +- 2^k is a multiple of p only for j = k in different words, which
 *     changes b;
 *   - two different words in each other's place, but for the same pairs: a stays, b changes by
 *     their difference times their distance.
 * Anything else is missed once in 2^64 if it is random. It is no defence against intent.
 *
 * Of int32 there is a second one, linear: the two sums modulo 2^32, so that those of terms add up to
 * those of their sum. It finds any flipped bit, and two but for the same bit 2^j of words that are a
 * multiple of 2^(32 - j) apart.
 *
 * Cost: lanes of 64-bit sums in vectors, two additions a word and no product; remainders are taken
 * once a block. The speed is that of the additions, at any size (docs/faults.md).
 */
#include "comm/checksum.h"

#include <string.h>

/* A block of ROWS words a lane: what lanes add up stays below 2^32 (LANES ROWS)^2 < 2^64. */
enum { LANES = 8, ROWS = 4096, ROW_BYTES = LANES * 4 };
#define PRIME UINT64_C(4294967291)

struct sums {
    uint64_t a, b; /* < PRIME */
};

typedef uint64_t lanes __attribute__((vector_size(ROW_BYTES)));

/* Lane by lane, then to one order of words: word j of row r has the distance (rows - r) LANES - j. */
static inline __attribute__((always_inline)) struct sums sum_lanes(const unsigned char *data,
                                                                   int64_t rows)
{
    lanes a[2] = {{0}}, b[2] = {{0}}; /* of even words, of odd words */
    for (int64_t r = 0; r < rows; r++) {
        lanes pairs;
        memcpy(&pairs, data + r * ROW_BYTES, sizeof pairs);
        a[0] += pairs & UINT32_MAX;
        a[1] += pairs >> 32;
        b[0] += a[0];
        b[1] += a[1];
    }
    struct sums s = {0, 0};
    for (uint64_t j = 0; j < LANES; j++) {
        const uint64_t aj = a[j % 2][j / 2], bj = b[j % 2][j / 2];
        s.a += aj;
        s.b += bj * LANES - j * aj;
    }
    return (struct sums){s.a % PRIME, s.b % PRIME};
}

#ifdef __x86_64__
/* The same integers at twice the speed. The question is answered from memory, unlike
 * sunup__cpu_flags, which takes longer than a message. */
__attribute__((target("avx2"))) static struct sums sum_wide(const unsigned char *data, int64_t rows)
{
    return sum_lanes(data, rows);
}
static struct sums sum_block(const unsigned char *data, int64_t rows)
{
    return __builtin_cpu_supports("avx2") ? sum_wide(data, rows) : sum_lanes(data, rows);
}
#else
#define sum_block sum_lanes
#endif

/* The sums of a block and of what stood before it: each earlier word is `rows` rows further from
 * the end. */
static void append(struct sums *s, struct sums block, int64_t rows)
{
    s->b = (s->b + s->a * (uint64_t)(rows * LANES) + block.b) % PRIME;
    s->a = (s->a + block.a) % PRIME;
}

uint64_t sunup__checksum(const void *data, int64_t bytes)
{
    const unsigned char *p = data;
    struct sums s = {1, 0}; /* as Adler: zeros count */
    while (bytes >= ROW_BYTES) {
        const int64_t rows = bytes / ROW_BYTES < ROWS ? bytes / ROW_BYTES : ROWS;
        append(&s, sum_block(p, rows), rows);
        p += rows * ROW_BYTES;
        bytes -= rows * ROW_BYTES;
    }
    if (bytes > 0) {
        unsigned char rest[ROW_BYTES] = {0};
        memcpy(rest, p, (size_t)bytes);
        append(&s, sum_block(rest, 1), 1);
    }
    return s.b << 32 | s.a;
}

/* --- of integers --- */

typedef uint32_t words __attribute__((vector_size(ROW_BYTES)));

static inline __attribute__((always_inline)) uint64_t integer_lanes(const int32_t *x, int64_t n)
{
    words a = {0}, b = {0};
    for (int64_t at = 0; at < n; at += LANES) {
        words row = {0};
        if (n - at >= LANES)
            memcpy(&row, x + at, sizeof row);
        else
            memcpy(&row, x + at, (size_t)(n - at) * sizeof *x);
        a += row;
        b += a;
    }
    uint32_t sum_a = 0, sum_b = 0;
    for (uint32_t j = 0; j < LANES; j++) {
        sum_a += a[j];
        sum_b += b[j] * LANES - j * a[j];
    }
    return (uint64_t)sum_b << 32 | sum_a;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t integers_wide(const int32_t *x, int64_t n)
{
    return integer_lanes(x, n);
}
uint64_t sunup__checksum_integers(const int32_t *x, int64_t n)
{
    return __builtin_cpu_supports("avx2") ? integers_wide(x, n) : integer_lanes(x, n);
}
#else
uint64_t sunup__checksum_integers(const int32_t *x, int64_t n)
{
    return integer_lanes(x, n);
}
#endif

uint64_t sunup__checksum_plus(uint64_t x, uint64_t y)
{
    const uint64_t low = UINT32_MAX;
    return ((x & ~low) + (y & ~low)) | ((x + y) & low);
}
