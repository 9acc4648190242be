/* dropout_check.c - problems of dropout: n; first, the number of the first element (also across
 * 2^34, where the block's counter leaves 32 bits); p in per cent. An element wrongly kept or
 * dropped is far outside the bound of one rounding.
 */
#include "kernels/check.h"

static void run(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1), first = sunup__check_number(c, "first", 0);
    const double p = (double)sunup__check_number(c, "p", 50) / 100;
    const struct random_stream s = {c->seed + 77, RANDOM_DROPOUT, 5, c->seed << 33 | 9};
    const struct operand x = sunup__check_in(c, "x", n, FILL_ANY),
                         y = sunup__check_out(c, "y", n, FILL_ANY);
    sunup__check_cost(c, (double)n, 8.0 * (double)n);
    CHECK_RUN(c) c->f32->dropout(n, x.f32, &s, (uint64_t)first, p, y.f32);
    if (!sunup__check_wanted(c)) return;
    c->f64->dropout(n, x.f64, &s, (uint64_t)first, p, y.f64);
    sunup__check_close(c, &y, NULL, 2);
}

static const char *const problems[] = {
    "n0",     "n1",       "n3first2", "n1003first5",     "n300first17179869100",
    "n100p0", "n100p100", "n999p10",  "n257first255p75", NULL};
const struct leaf_check sunup__check_dropout = {"dropout", problems, run};
