/* dropout_ref.c - keep an element if its 32-bit number is at least p 2^32, and scale what is kept
 * by 1 / (1 - p).
 *
 * The number of element i is lane (first + i) mod 4 of block (first + i) / 4 of the stream, so
 * that any part of a tensor can be done alone, and again in the backward pass.
 */
#include "kernels/ref/real.h"

void NAME(ref_dropout)(int64_t n, const REAL *x, const struct random_stream *s, uint64_t first,
                       double p, REAL *y)
{
    const REAL scale = RC(1 / (1 - p));
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = first + (uint64_t)i;
        uint32_t number[4];
        sunup__random4(s, at / 4, number);
        y[i] = (double)number[at % 4] >= p * 0x1p32 ? x[i] * scale : 0;
    }
}
