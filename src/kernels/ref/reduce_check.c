/* reduce_check.c - problems of the reductions: o r i are outer, r, inner; max: the maximum, not
 * the sum. */
#include <math.h>

#include "kernels/check.h"

struct shape {
    int64_t o, r, i, in, out;
};

static struct shape read_shape(struct check *c)
{
    struct shape s = {sunup__check_number(c, "o", 1), sunup__check_number(c, "r", 1),
                      sunup__check_number(c, "i", 1), 0, 0};
    s.out = s.o * s.i;
    s.in = s.out * s.r;
    sunup__check_cost(c, (double)s.in, 4.0 * (double)(s.in + s.out));
    return s;
}

/* Terms in one float, at most: of a naive sum for few, of partial sums that go on in double for
 * many. */
static double sum_terms(int64_t r)
{
    return (double)(r < 80 ? r : 80) + 1;
}

static void run_reduce(struct check *c)
{
    const int kind = sunup__check_number(c, "max", 0) != 0 ? REDUCE_MAX : REDUCE_SUM;
    const struct shape s = read_shape(c);
    const struct operand x =
        sunup__check_in(c, "x", s.in, kind == REDUCE_MAX ? FILL_TIES : FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", s.out, FILL_ANY);
    CHECK_RUN(c) c->f32->reduce(kind, s.o, s.r, s.i, x.f32, y.f32);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_scratch(c, s.out);
    c->f64->reduce(REDUCE_SUM, s.o, s.r, s.i, sunup__check_absolute(c, &x), size);
    c->f64->reduce(kind, s.o, s.r, s.i, x.f64, y.f64);
    sunup__check_close(c, &y, size, kind == REDUCE_MAX ? 0 : sum_terms(s.r));
}

static void run_argmax(struct check *c)
{
    const struct shape s = read_shape(c);
    const struct operand x = sunup__check_in(c, "x", s.in, FILL_TIES);
    const struct operand y = sunup__check_ints_out(c, "y", s.out);
    CHECK_RUN(c) c->f32->argmax(s.o, s.r, s.i, x.f32, y.i32);
    if (!sunup__check_wanted(c)) return;
    c->f64->argmax(s.o, s.r, s.i, x.f64, y.i32_want);
    sunup__check_same_ints(c, &y);
}

static void run_max_grad(struct check *c)
{
    const struct shape s = read_shape(c);
    const struct operand x = sunup__check_in(c, "x", s.in, FILL_TIES);
    const struct operand dy = sunup__check_in(c, "dy", s.out, FILL_ANY);
    const struct operand dx = sunup__check_out(c, "dx", s.in, FILL_ANY);
    CHECK_RUN(c) c->f32->reduce_max_grad(s.o, s.r, s.i, x.f32, dy.f32, dx.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->reduce_max_grad(s.o, s.r, s.i, x.f64, dy.f64, dx.f64);
    sunup__check_close(c, &dx, NULL, 0);
}

static const char *const reduce_problems[] = {
    "o0",       "o3r0",     "o1r1",       "o7r10",       "o5r33",       "o3r1003",   "r50021",
    "o3r7i2",   "o2r300i6", "o1r9000i1",  "r1003i17",    "r40i513",     "r9i1100",   "o2r5i0",
    "o3r0i5",   "o7r10max", "o3r1003max", "o2r300i6max", "o3r0max",     "o3r0i5max", "r9i1100max",
    "r5000i64", "o100r64",  "r128i512",   "o2r31i1max",  "o2r64i33max", NULL};
static const char *const argmax_problems[] = {"o0",     "o7r10",  "o3r1003", "o64r10",
                                              "o2r5i3", "r9i600", "o2r1",    "o2r1i5",
                                              "o3r0",   "o3r0i2", NULL};
static const char *const max_grad_problems[] = {"o0", "o7r10", "o3r1003", "o2r5i3", "r9i600", NULL};
const struct leaf_check sunup__check_reduce = {"reduce", reduce_problems, run_reduce};
const struct leaf_check sunup__check_argmax = {"argmax", argmax_problems, run_argmax};
const struct leaf_check sunup__check_reduce_max_grad = {"reduce_max_grad", max_grad_problems,
                                                        run_max_grad};
