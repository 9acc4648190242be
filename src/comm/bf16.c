/* bf16.c - partial sums that are bf16 wherever they lie, so that they travel in half the bytes.
 *
 * bf16 is the upper half of an f32. Rows stay f32 in memory, but each term, and the result of each
 * addition, is rounded where it is made: to the nearest, ties to even; NaN and Inf stay such.
 * Owes: the same bits whoever adds and whoever sends, since packing what is rounded already loses
 * nothing. Leaves to the sum which elements these are: its first ones, `rounded`.
 *
 * Cost: a pass over pieces in the first cache after each addition. The rounding is a leaf of the
 * kernels, whose words have the first of two numbers in the lower half.
 */
#include <string.h>

#include "base/integers.h"
#include "comm/inside.h"

enum { PIECE = 1024 };

union piece {
    uint32_t word[PIECE / 2];
    uint16_t half[PIECE];
};

static void expand(int64_t n, const uint16_t *restrict half, uint32_t *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (uint32_t)half[i] << 16;
}

void sunup__bf16_pack(const struct sum *s, int64_t n, const char *x, char *halves)
{
    s->k->f32.bf16_words(n, (const float *)(const void *)x, (uint32_t *)(void *)halves, NULL);
}

void sunup__bf16_unpack(int64_t n, const char *halves, char *x)
{
    union piece p;
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t m = least(PIECE, n - at);
        memcpy(p.half, halves + at * WIRE_BF16, (size_t)(m * WIRE_BF16));
        expand(m, p.half, (uint32_t *)(void *)x + at);
    }
}

void sunup__bf16_round(const struct sum *s, struct slice range, char *x)
{
    float *const y = (float *)(void *)x;
    union piece p;
    for (int64_t at = 0, n = least(range.n, s->rounded - range.at); at < n; at += PIECE) {
        const int64_t m = least(PIECE, n - at);
        s->k->f32.bf16_words(m, y + at, p.word, NULL);
        expand(m, p.half, (uint32_t *)(void *)(y + at));
    }
}
