/* gemm_ref.c - C (+)= sum_i A_i B_i, bias, relu: the meaning of struct gemm, one row of C after
 * another.
 *
 * Each element is one chain of multiply-adds over (i, p). relu keeps NaN.
 */
#include "kernels/ref/real.h"

static void add_products(const struct NAME(gemm) * g, int64_t r, REAL *c)
{
    for (int64_t i = 0; i < g->batch; i++) {
        const REAL *a = g->a + (g->a_at ? g->a_at[i] : 0) + r * g->a_row;
        const REAL *b = g->b + (g->b_at ? g->b_at[i] : 0);
        for (int64_t p = 0; p < g->k; p++, b += g->b_row) {
            const REAL x = a[p * g->a_col];
            for (int64_t j = 0; j < g->n; j++) c[j] += x * b[j];
        }
    }
}

void NAME(ref_gemm)(const struct NAME(gemm) * g)
{
    for (int64_t r = 0; r < g->m; r++) {
        REAL *c = g->c + r * g->c_row;
        for (int64_t j = 0; !g->accumulate && j < g->n; j++) c[j] = 0;
        add_products(g, r, c);
        for (int64_t j = 0; g->bias && j < g->n; j++) c[j] += g->bias[j];
        for (int64_t j = 0; g->relu && j < g->n; j++) c[j] = c[j] < 0 ? 0 : c[j];
    }
}
