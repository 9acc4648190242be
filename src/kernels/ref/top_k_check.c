/* top_k_check.c - problems of top_k: k of n numbers in each of so many rows; ties: many are equal. */
#include "kernels/check.h"

static void run(struct check *c)
{
    const int64_t rows = sunup__check_number(c, "rows", 1), n = sunup__check_number(c, "n", 1),
                  k = sunup__check_number(c, "k", 1);
    const bool largest = sunup__check_number(c, "largest", 0) != 0,
               ties = sunup__check_number(c, "ties", 0) != 0;
    const struct operand x = sunup__check_in(c, "x", rows * n, ties ? FILL_TIES : FILL_ANY),
                         index = sunup__check_ints_out(c, "index", rows * k);
    sunup__check_cost(c, (double)x.n, 4.0 * (double)(x.n + index.n));
    CHECK_RUN(c) c->f32->top_k(largest, rows, n, k, x.f32, index.i32);
    if (!sunup__check_wanted(c)) return;
    c->f64->top_k(largest, rows, n, k, x.f64, index.i32_want);
    sunup__check_same_ints(c, &index);
}

static const char *const problems[] = {"rows0n3k1",
                                       "rows3n1k1",
                                       "rows2n5k5,largest",
                                       "rows5n17k16,ties",
                                       "rows3n40k2,ties",
                                       "rows300n128k16,ties,largest", /* so many that no branch is learnt by heart */
                                       "rows300n128k16",
                                       "rows2n1003k20,largest",
                                       "rows2n300k128,ties",
                                       "rows2n128k128,largest",
                                       "rows2n128k60,largest",
                                       "rows2n5003k20,ties",
                                       "rows2n6007k128,largest",
                                       NULL};
const struct leaf_check sunup__check_top_k = {"top_k", problems, run};
