/* dots_ref.c - gemm_dots: the gemm whose B comes with its columns as rows; and rows copied. */
#include "kernels/ref/real.h"

static REAL element(const struct NAME(gemm) * g, int64_t r, int64_t j)
{
    REAL sum = 0;
    for (int64_t i = 0; i < g->batch; i++) {
        const REAL *a = g->a + (g->a_at ? g->a_at[i] : 0) + r * g->a_row;
        const REAL *b = g->b + (g->b_at ? g->b_at[i] : 0) + j * g->b_row;
        for (int64_t p = 0; p < g->k; p++) sum += a[p] * b[p];
    }
    return sum;
}

void NAME(ref_gemm_dots)(const struct NAME(gemm) * g)
{
    for (int64_t r = 0; r < g->m; r++) {
        REAL *c = g->c + r * g->c_row;
        for (int64_t j = 0; j < g->n; j++) {
            REAL sum = element(g, r, j);
            if (g->accumulate) sum += c[j];
            if (g->bias) sum += g->bias[j];
            c[j] = g->relu && sum < 0 ? 0 : sum;
        }
    }
}

void NAME(ref_stream_rows)(int64_t rows, int64_t n, const REAL *x, int64_t x_row, REAL *y,
                           int64_t y_row)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++) y[r * y_row + i] = x[r * x_row + i];
    }
}
