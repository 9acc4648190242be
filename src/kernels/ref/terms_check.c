/* terms_check.c - problems of gemm_terms: m n, b terms, of which `run` at a time lie a row of A
 * apart; step from row to row of A, ldc gap added to the rows of C; bias, stream. */
#include "base/integers.h"
#include "kernels/check.h"

enum { MAX_TERMS = 128 };

static void reference(const struct check *c, const struct gemm_f32 *g, const double *a,
                      const double *b, const double *bias, double *y)
{
    const struct gemm_f64 same = {.m = g->m,
                                  .n = g->n,
                                  .k = 1,
                                  .batch = g->batch,
                                  .a = a,
                                  .a_row = g->a_row,
                                  .a_at = g->a_at,
                                  .b = b,
                                  .b_at = g->b_at,
                                  .c = y,
                                  .c_row = g->c_row,
                                  .bias = g->bias ? bias : NULL};
    c->f64->gemm_terms(&same, false);
}

static void run_terms(struct check *c)
{
    int64_t a_at[MAX_TERMS], b_at[MAX_TERMS];
    struct gemm_f32 g = {.m = sunup__check_number(c, "m", 1),
                         .n = sunup__check_number(c, "n", 16),
                         .k = 1,
                         .batch = sunup__check_number(c, "b", 1),
                         .a_row = sunup__check_number(c, "step", 1),
                         .a_at = a_at,
                         .b_at = b_at};
    const bool with_bias = sunup__check_number(c, "bias", 0) != 0;
    const bool stream = sunup__check_number(c, "stream", 0) != 0;
    const int64_t run = sunup__check_number(c, "run", 1);
    if (run < 1) sunup__check_fail(c, "run is at least 1");
    g.c_row = g.n + sunup__check_number(c, "ldc", 0);
    if (g.n % 16 != 0) sunup__check_fail(c, "n is a multiple of 16");
    if (g.batch > MAX_TERMS) sunup__check_fail(c, "b is at most %d", MAX_TERMS);
    for (int64_t i = 0; i < g.batch && i < MAX_TERMS; i++) {
        a_at[i] = (i % most(1, run)) * g.a_row + i / most(1, run) * 2;
        b_at[i] = (g.batch - 1 - i) * g.n;
    }
    const int64_t reach = (g.m + run) * g.a_row + 2 * g.batch;
    const struct operand a = sunup__check_in(c, "a", reach, FILL_ANY);
    const struct operand b = sunup__check_in(c, "b", g.batch * g.n, FILL_ANY);
    const struct operand bias = sunup__check_in(c, "bias", g.n, FILL_ANY);
    const struct operand y = sunup__check_out(c, "c", g.m * g.c_row, FILL_FINITE);
    sunup__check_cost(c, 2.0 * (double)(g.m * g.n * g.batch), 4.0 * (double)(a.n + b.n + y.n));
    g.a = a.f32;
    g.b = b.f32;
    g.c = y.f32;
    g.bias = with_bias ? bias.f32 : NULL;
    CHECK_RUN(c) c->f32->gemm_terms(&g, stream);
    if (!sunup__check_wanted(c)) return;
    double *size = sunup__check_absolute(c, &y);
    reference(c, &g, sunup__check_absolute(c, &a), sunup__check_absolute(c, &b),
              sunup__check_absolute(c, &bias), size);
    reference(c, &g, a.f64, b.f64, bias.f64, y.f64);
    sunup__check_close(c, &y, size, (double)g.batch + 3);
}

static const char *const terms[] = {"m0n16b3",
                                    "m3n0b4",
                                    "m1n16b1",
                                    "m7n16b9:bias",
                                    "m19n16b25:step3",
                                    "m33n16b0:bias",
                                    "m64n16b27:run3:stream",
                                    "m35n16b25:run5",
                                    "m18n16b14:run7:step2",
                                    "m5n32b9:step4:bias",
                                    "m9n32b18:stream",
                                    "m10n64b27:bias:stream",
                                    "m33n48b75:ldc16:stream",
                                    "m21n80b8:ldc3:step2:stream",
                                    NULL};
const struct leaf_check sunup__check_gemm_terms = {"gemm_terms", terms, run_terms};
