/* sum.c - the two things that exchanges do with numbers: add and copy.
 *
 * Owes: one rounding an addition, element by element, so that only the tree decides the bits. Apart
 * from the algorithms so that a simulation (bench/sim) can count the work instead of doing it.
 */
#include <string.h>

#include "comm/inside.h"

void sunup__sum_add(const struct sum *s, int64_t n, const char *x, char *y)
{
    if (s->f64)
        s->k->f64.add_to(n, (const double *)(const void *)x, (double *)(void *)y);
    else
        s->k->f32.add_to(n, (const float *)(const void *)x, (float *)(void *)y);
}

void sunup__sum_copy(const struct sum *s, int64_t n, const char *x, char *y)
{
    if (x != y) memcpy(y, x, (size_t)(n * sunup__sum_element(s)));
}
