/* terms_ref.c - gemm_terms: the gemm. */
#include "kernels/ref/real.h"

void NAME(ref_gemm_terms)(const struct NAME(gemm) * g, bool stream)
{
    (void)stream;
    for (int64_t r = 0; r < g->m; r++) {
        for (int64_t j = 0; j < g->n; j++) {
            REAL sum = 0;
            for (int64_t i = 0; i < g->batch; i++)
                sum += g->a[g->a_at[i] + r * g->a_row] * g->b[g->b_at[i] + j];
            g->c[r * g->c_row + j] = g->bias ? sum + g->bias[j] : sum;
        }
    }
}
