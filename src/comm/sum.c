/* sum.c - the two things that exchanges do with numbers: add and copy.
 *
 * Owes: one rounding an addition of reals, element by element, so that only the tree decides the bits; none of
 * integers, and the larger of two sizes, in any order. Apart
 * from the algorithms so that a simulation (bench/sim) can count the work instead of doing it.
 */
#include <string.h>

#include "comm/inside.h"

static void take_larger(int64_t n, const uint32_t *x, uint32_t *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] > y[i] ? x[i] : y[i];
}

void sunup__sum_add(const struct sum *s, int64_t n, const char *x, char *y)
{
    if (s->of == OF_SIZES)
        take_larger(n, (const uint32_t *)(const void *)x, (uint32_t *)(void *)y);
    else if (s->of == OF_INTEGERS)
        s->k->f32.fixed_sum(n, (const int32_t *)(const void *)x, (int32_t *)(void *)y);
    else if (s->f64)
        s->k->f64.add_to(n, (const double *)(const void *)x, (double *)(void *)y);
    else
        s->k->f32.add_to(n, (const float *)(const void *)x, (float *)(void *)y);
}

void sunup__sum_copy(const struct sum *s, int64_t n, const char *x, char *y)
{
    if (x != y) memcpy(y, x, (size_t)(n * sunup__sum_element(s)));
}
