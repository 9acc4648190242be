/* gemm_ref.c - C (+)= sum_i A_i B_i, bias, relu: the meaning of struct gemm, one element of C after
 * another.
 *
 * Each element is one chain of multiply-adds over (i, p). relu keeps NaN.
 */
#include "kernels/ref/real.h"

static REAL element(const struct NAME(gemm) * g, int64_t r, int64_t j, REAL sum)
{
    for (int64_t i = 0; i < g->batch; i++) {
        const REAL *a = g->a + (g->a_at ? g->a_at[i] : 0) + r * g->a_row;
        const REAL *b = g->b + (g->b_at ? g->b_at[i] : 0) + j;
        for (int64_t p = 0; p < g->k; p++) sum += a[p * g->a_col] * b[p * g->b_row];
    }
    return sum;
}

void NAME(ref_gemm)(const struct NAME(gemm) * g)
{
    for (int64_t r = 0; r < g->m; r++) {
        REAL *c = g->c + r * g->c_row;
        for (int64_t j = 0; j < g->n; j++) {
            REAL sum = element(g, r, j, g->accumulate ? c[j] : 0);
            if (g->bias) sum += g->bias[j];
            c[j] = g->relu && sum < 0 ? 0 : sum;
        }
    }
}
