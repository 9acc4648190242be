/* dropout.c - dropout with Philox4x32-10 in vectors: the numbers of sunup__random4, many blocks of
 * four at a time.
 *
 * Invariant: the same bits as dropout_ref.c. Source: Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3" (2011).
 */
#include <math.h>

#include "kernels/simd/simd.h"

enum { BLOCKS = 64 }; /* of four numbers, drawn together */

struct philox {
    uint32_t key[2], high[2]; /* high: words 2 and 3 of every counter */
};

static struct philox philox_of(const struct random_stream *s)
{
    const uint64_t name = ((uint64_t)s->purpose << 32) | s->a;
    const uint64_t key = sunup__hash(&name, sizeof name, s->seed);
    return (struct philox){{(uint32_t)key, (uint32_t)(key >> 32)},
                           {(uint32_t)s->b, (uint32_t)(s->b >> 32)}};
}

/* out[4 b + lane] = number `lane` of block first + b */
static void draw(const struct philox *p, uint64_t first, uint32_t out[4 * BLOCKS])
{
    const uint32_t high0 = p->high[0], high1 = p->high[1], key0 = p->key[0], key1 = p->key[1];
#pragma omp simd
    for (uint32_t b = 0; b < BLOCKS; b++) {
        const uint32_t low = (uint32_t)first + b;
        uint32_t c0 = low, c1 = (uint32_t)(first >> 32) + (low < b), c2 = high0, c3 = high1;
        uint32_t k0 = key0, k1 = key1;
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const uint64_t m0 = 0xD2511F53ULL * c0, m1 = 0xCD9E8D57ULL * c2;
            c0 = (uint32_t)(m1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(m0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)m1;
            c3 = (uint32_t)m0;
            k0 += 0x9E3779B9U;
            k1 += 0xBB67AE85U;
        }
        out[4 * b] = c0;
        out[4 * b + 1] = c1;
        out[4 * b + 2] = c2;
        out[4 * b + 3] = c3;
    }
}

static void dropout(int64_t n, const float *x, const struct random_stream *s, uint64_t first,
                    double p, float *y)
{
    const struct philox philox = philox_of(s);
    const double limit = ceil(p * 0x1p32); /* number >= p 2^32 */
    const bool none = limit >= 0x1p32;
    const uint32_t least = none || !(limit > 0) ? 0 : (uint32_t)limit;
    const float scale = none ? 0.0F : (float)(1 / (1 - p));
    uint32_t number[4 * BLOCKS];
    for (int64_t i = 0; i < n;) {
        const uint64_t at = first + (uint64_t)i;
        const uint32_t *from = number + at % 4;
        const int64_t room = 4 * BLOCKS - (int64_t)(at % 4), m = n - i < room ? n - i : room;
        draw(&philox, at / 4, number);
#pragma omp simd
        for (int64_t j = 0; j < m; j++) {
            y[i + j] = ((from[j] >= least) & !none) ? x[i + j] * scale : 0.0F;
        }
        i += m;
    }
}

void FILL(dropout)(struct kernels *k)
{
    k->f32.dropout = dropout;
}
