/* transpose_check.c - problems of the transpose leaf: m rows of n; ldx ldy gaps added to the rows.
 */
#include "kernels/check.h"

static void run(struct check *c)
{
    const int64_t m = sunup__check_number(c, "m", 1), n = sunup__check_number(c, "n", 1);
    const int64_t x_row = n + sunup__check_number(c, "ldx", 0);
    const int64_t y_row = m + sunup__check_number(c, "ldy", 0);
    const struct operand x = sunup__check_in(c, "x", m * x_row, FILL_ANY);
    const struct operand y = sunup__check_out(c, "y", n * y_row, FILL_FINITE);
    sunup__check_cost(c, 0, 8.0 * (double)(m * n));
    CHECK_RUN(c) c->f32->transpose(m, n, x.f32, x_row, y.f32, y_row);
    if (!sunup__check_wanted(c)) return;
    c->f64->transpose(m, n, x.f64, x_row, y.f64, y_row);
    sunup__check_close(c, &y, NULL, 0);
}

static const char *const problems[] = {
    "m0n5",       "m5n0",       "m1n1",      "m7n9",        "m8n8",      "m16n8",
    "m15n17ldx3", "m8n23",      "m23n8ldy5", "m32n64ldx64", "m33n257",   "m61n40ldx2:ldy3",
    "m6n448",     "m5n32ldx3",  "m3n21",     "m2n12",       "m7n13ldy1", "m4n9",
    "m1n19ldx1",  "m14n16ldy2", NULL};
const struct leaf_check sunup__check_transpose = {"transpose", problems, run};
