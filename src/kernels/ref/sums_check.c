/* sums_check.c - problems of add_to and sum_squares: n. */
#include <math.h>

#include "kernels/check.h"

static void run_add(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const struct operand x = sunup__check_in(c, "x", n, FILL_ANY),
                         y = sunup__check_out(c, "y", n, FILL_ANY);
    sunup__check_cost(c, (double)n, 12.0 * (double)n);
    CHECK_RUN(c) c->f32->add_to(n, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->add_to(n, x.f64, y.f64);
    sunup__check_close(c, &y, NULL, 1);
}

/* In double: no more roundings of 2^-53 than 200 partial sums and one per 4096 terms would give. */
static void run_squares(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const struct operand x = sunup__check_in(c, "x", n, FILL_ANY);
    double got = NAN, want = NAN;
    sunup__check_cost(c, 2.0 * (double)n, 4.0 * (double)n);
    CHECK_RUN(c) c->f32->sum_squares(n, x.f32, &got);
    if (!sunup__check_wanted(c)) return;
    c->f64->sum_squares(n, x.f64, &want);
    if (!isfinite(want) && !isfinite(got)) return;
    const double bound = (200 + (double)n / 4096) * 0x1p-53 * want;
    if (!(fabs(got - want) <= bound))
        sunup__check_fail(c, "sum is %.17g, expected %.17g", got, want);
}

static const char *const problems[] = {"n0", "n1", "n17", "n31", "n1003", "n4097", "n70001", NULL};
const struct leaf_check sunup__check_add_to = {"add_to", problems, run_add};
const struct leaf_check sunup__check_sum_squares = {"sum_squares", problems, run_squares};
