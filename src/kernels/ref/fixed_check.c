/* fixed_check.c - problems of the leaves of block-scaled integers: n; scale 2^s or, with down,
 * 2^-s; z: two at once. All results are equal to the reference's: there is nothing to round twice.
 */
#include <math.h>

#include "kernels/check.h"

static double scale_of(struct check *c)
{
    const int s = (int)sunup__check_number(c, "s", 0);
    return ldexp(1, sunup__check_number(c, "down", 0) ? -s : s);
}

/* Contents that wrap when something is added, among others. */
static struct operand sums(struct check *c, const char *name, int64_t n)
{
    const struct operand y = sunup__check_ints_out(c, name, n);
    for (int64_t i = 0; y.i32 && i < n; i++)
        y.i32[i] = y.i32_want[i] = (int32_t)((uint32_t)i * 2654435761U);
    return y;
}

static void run_add(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const double scale = scale_of(c);
    const bool first = sunup__check_number(c, "first", 0) > 0;
    const bool two = sunup__check_number(c, "z", 0) > 0;
    const struct operand x = sunup__check_in(c, "x", n, FILL_ANY),
                         z = sunup__check_in(c, "z", two ? n : 0, FILL_ANY),
                         acc = sums(c, "acc", n);
    float most = 0.25F;
    double want = 0.25;
    sunup__check_cost(c, (two ? 4.0 : 2.0) * (double)n,
                      (8.0 + (first ? 0 : 4) + (two ? 4 : 0)) * (double)n);
    CHECK_RUN(c)
    c->f32->fixed_add(n, x.f32, two ? z.f32 : NULL, (float)scale, first, acc.i32, &most);
    if (!sunup__check_wanted(c)) return;
    c->f64->fixed_add(n, x.f64, two ? z.f64 : NULL, scale, first, acc.i32_want, &want);
    sunup__check_same_ints(c, &acc);
    sunup__check_value(c, "most", (double)most, want, 0, 0);
}

static void run_sum(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const struct operand x = sunup__check_ints(c, "x", n, INT32_MIN, INT32_MAX),
                         y = sums(c, "y", n);
    sunup__check_cost(c, (double)n, 12.0 * (double)n);
    CHECK_RUN(c) c->f32->fixed_sum(n, x.i32, y.i32);
    if (!sunup__check_wanted(c)) return;
    c->f64->fixed_sum(n, x.i32_want, y.i32_want);
    sunup__check_same_ints(c, &y);
}

static void run_value(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1);
    const double scale = sunup__check_number(c, "nan", 0) ? (double)NAN : scale_of(c);
    const bool two = sunup__check_number(c, "z", 0) > 0;
    const struct operand x = sunup__check_ints(c, "x", n, INT32_MIN, INT32_MAX),
                         z = sunup__check_ints(c, "z", two ? n : 0, INT32_MIN, INT32_MAX),
                         y = sunup__check_out(c, "y", n, FILL_ZERO);
    sunup__check_cost(c, (two ? 2.0 : 1.0) * (double)n, (two ? 12.0 : 8.0) * (double)n);
    CHECK_RUN(c) c->f32->fixed_value(n, x.i32, two ? z.i32 : NULL, (float)scale, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->fixed_value(n, x.i32_want, two ? z.i32_want : NULL, scale, y.f64);
    sunup__check_close(c, &y, NULL, 0);
}

static const char *const terms[] = {"n0",
                                    "n1s20",
                                    "n17s24",
                                    "n17s24z",
                                    "n17s24first",
                                    "n31s30z:first",
                                    "n1003s31",
                                    "n1003s31z",
                                    "n1003s60first",
                                    "n512s23",
                                    "n4097s126z",
                                    "n4097s10down",
                                    "n1003s117down",
                                    "n4096s20",
                                    "n4096s20z",
                                    "n4096s20z:first",
                                    "n4096s20first",
                                    NULL};
static const char *const added[] = {"n0", "n1", "n17", "n31", "n1003", "n4097", "n70001", NULL};
static const char *const values[] = {"n0",        "n1s3",         "n17s20down", "n31s126down:z",
                                     "n1003s120", "n4097s24down", "n1003nan",   "n4097s24down:z",
                                     NULL};
const struct leaf_check sunup__check_fixed_add = {"fixed_add", terms, run_add};
const struct leaf_check sunup__check_fixed_sum = {"fixed_sum", added, run_sum};
const struct leaf_check sunup__check_fixed_value = {"fixed_value", values, run_value};
