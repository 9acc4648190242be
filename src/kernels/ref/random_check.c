/* random_check.c - problems of random: n numbers from number `first` on, uniform or normal. */
#include "kernels/check.h"

static void run(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1), first = sunup__check_number(c, "first", 0);
    const bool normal = sunup__check_number(c, "normal", 0) != 0;
    const struct random_stream s = {c->seed + 77, RANDOM_VALUE, 5, c->seed << 33 | 9};
    const struct operand y = sunup__check_out(c, "y", n, FILL_ANY);
    sunup__check_cost(c, (double)n, 4.0 * (double)n);
    CHECK_RUN(c) c->f32->random(normal, n, &s, (uint64_t)first, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->random(normal, n, &s, (uint64_t)first, y.f64);
    sunup__check_close(c, &y, NULL, normal ? 8 : 1);
}

static const char *const problems[] = {"n0",
                                       "n1,normal",
                                       "n3first2,normal",
                                       "n10007first5,normal",
                                       "n300first17179869100,normal",
                                       "n3first2",
                                       "n10007first5",
                                       "n257first255",
                                       NULL};
const struct leaf_check sunup__check_random = {"random", problems, run};
