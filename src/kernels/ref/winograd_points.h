/* winograd_points.h - the points of F(4x4, 3x3) and F(2x2, 5x5), see winograd_ref.c: 0, a, -a, b,
 * -b and infinity with a = sqrt(1/2), b = sqrt(2).
 *
 * A polynomial of n coefficients has six values: at the first five points, and its last
 * coefficient, the value at infinity.
 */
#ifndef SUNUP_KERNELS_REF_WINOGRAD_POINTS_H
#define SUNUP_KERNELS_REF_WINOGRAD_POINTS_H

#include "kernels/ref/real.h"

#define WINOGRAD_A 0.70710678118654752440
#define WINOGRAD_B 1.4142135623730950488

/* Powers 0 to 4 of the points between 0 and infinity. */
static const REAL winograd_powers[4][5] = {
    {1, RC(WINOGRAD_A), RC(0.5), RC(WINOGRAD_A / 2), RC(0.25)},
    {1, RC(-WINOGRAD_A), RC(0.5), RC(-WINOGRAD_A / 2), RC(0.25)},
    {1, RC(WINOGRAD_B), 2, RC(WINOGRAD_B * 2), 4},
    {1, RC(-WINOGRAD_B), 2, RC(-WINOGRAD_B * 2), 4}};

/* What G has besides powers, one over the product of differences to the other points. */
static const REAL winograd_scales[4] = {RC(-2.0 / 3), RC(-2.0 / 3), RC(1.0 / 6), RC(1.0 / 6)};

/* The six values of n coefficients. */
static inline void winograd_values(int n, const REAL *from, int step, REAL value[6])
{
    value[0] = from[0];
    for (int p = 0; p < 4; p++) {
        value[p + 1] = 0;
        for (int e = 0; e < n; e++) value[p + 1] += winograd_powers[p][e] * from[e * step];
    }
    value[5] = from[(n - 1) * step];
}

/* The transpose of that: n sums of six values. */
static inline void winograd_sums(int n, const REAL value[6], REAL *to, int step)
{
    for (int e = 0; e < n; e++) {
        REAL sum = e == 0 ? value[0] : 0;
        for (int p = 0; p < 4; p++) sum += winograd_powers[p][e] * value[p + 1];
        to[e * step] = e == n - 1 ? sum + value[5] : sum;
    }
}

#endif
