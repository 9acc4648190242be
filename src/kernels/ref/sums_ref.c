/* sums_ref.c - the addition of the gradient tree, and the sum of squares behind every norm.
 *
 * Squares are summed pairwise in double: a float's square cannot overflow there, so the sum is
 * finite exactly if all of x is.
 */
#include "kernels/ref/real.h"

void NAME(ref_add_to)(int64_t n, const REAL *x, REAL *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static double squares(int64_t n, const REAL *x)
{
    if (n > 8) return squares(n / 2, x) + squares(n - n / 2, x + n / 2);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

void NAME(ref_sum_squares)(int64_t n, const REAL *x, double *sum)
{
    *sum = squares(n, x);
}
