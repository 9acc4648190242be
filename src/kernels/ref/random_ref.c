/* random_ref.c - uniform and normal numbers of 32-bit words: element i has word (first + i) mod 4 of
 * block (first + i) / 4 of the stream, as dropout.
 *
 * Normal: words 0 and 1, and 2 and 3, make two each (Box and Muller, 1958): the radius of the first
 * word, up to 6.8, times cosine and sine of the angle of the second.
 */
#include "kernels/ref/real.h"

/* -2 log((a + 1/2) 2^-32) without cancellation near 1. */
static REAL square_of_radius(uint32_t a)
{
    const REAL u = RC(((double)a + 0.5) * 0x1p-32), missing = RC(((double)~a + 0.5) * 0x1p-32);
    return RC(-2) * (a >> 31 ? LOG1P(-missing) : LOG(u));
}

static REAL normal_of(const uint32_t number[4], uint64_t at)
{
    const uint32_t *pair = number + (at & 2);
    const REAL radius = SQRT(square_of_radius(pair[0]));
    /* Of a turn, whole quarters apart, so that zeros of sine and cosine are exact. */
    const uint32_t quarters = (pair[1] + 0x20000000U) >> 30;
    const REAL angle = RC((double)(int32_t)(pair[1] - (quarters << 30)) * 0x1.921fb54442d18p-30);
    const uint32_t q = (quarters + (at & 1 ? 0 : 1)) & 3;
    const REAL wave = q & 1 ? COS(angle) : SIN(angle);
    return q & 2 ? -radius * wave : radius * wave;
}

static REAL uniform_of(uint32_t word)
{
    const REAL v = RC((double)word * 0x1p-32);
    return v < 1 ? v : RC(1 - 0x1p-24); /* rounded up */
}

void NAME(ref_random)(bool normal, int64_t n, const struct random_stream *s, uint64_t first,
                      REAL *y)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = first + (uint64_t)i;
        uint32_t number[4];
        sunup__random4(s, at / 4, number);
        y[i] = normal ? normal_of(number, at) : uniform_of(number[at % 4]);
    }
}
