/* fixed_ref.c - terms of a sum of block-scaled integers, their sum, and its value.
 *
 * Integers add in any order with the same result, as long as no sum overflows; that the scale is
 * right for it is the caller's affair, who learns the largest |x|. Here nothing is undefined
 * whatever x is: what does not fit becomes INT32_MIN, as processors have it, and sums wrap.
 */
#include "kernels/ref/real.h"

static int32_t wrapped_sum(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static int32_t rounded(REAL v)
{
    const REAL r = MATH(rint)(v), end = RC(0x1p31);
    return r >= -end && r < end ? (int32_t)r : INT32_MIN; /* no comparison with NaN is true */
}

static void add(int64_t n, const REAL *x, REAL scale, bool first, int32_t *acc, REAL *most)
{
    for (int64_t i = 0; i < n; i++) {
        acc[i] = wrapped_sum(first ? 0 : acc[i], rounded(x[i] * scale));
        if (ABS(x[i]) > *most || isnan(x[i])) *most = ABS(x[i]);
    }
}

void NAME(ref_fixed_add)(int64_t n, const REAL *x, const REAL *z, REAL scale, bool first,
                         int32_t *acc, REAL *most)
{
    add(n, x, scale, first, acc, most);
    if (z != NULL) add(n, z, scale, false, acc, most);
}

void NAME(ref_fixed_sum)(int64_t n, const int32_t *x, int32_t *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = wrapped_sum(x[i], y[i]);
}

void NAME(ref_fixed_value)(int64_t n, const int32_t *x, const int32_t *z, REAL scale, REAL *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = RC(wrapped_sum(x[i], z != NULL ? z[i] : 0)) * scale;
}
