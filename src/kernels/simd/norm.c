/* norm.c - layer norm along rows; formulas of norm_ref.c. gamma or beta NULL costs a pass of its
 * own kind, not a test an element.
 */
#include <math.h>

#include "kernels/simd/rows.h"

static void norm(int64_t rows, int64_t n, const float *x, const float *gamma, const float *beta,
                 float eps, float *y, float *mean, float *rstd)
{
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        double sum, square;
        SUM_ROW(sum, n, x[j]);
        const float m = (float)(sum / (double)n);
        SUM_ROW(square, n, (x[j] - m) * (x[j] - m));
        const float r = (float)(1 / sqrt(square / (double)n + (double)eps));
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = (x[j] - m) * r;
#pragma omp simd
        for (int64_t j = 0; j < (gamma ? n : 0); j++) y[j] *= gamma[j];
#pragma omp simd
        for (int64_t j = 0; j < (beta ? n : 0); j++) y[j] += beta[j];
        mean[i] = m;
        rstd[i] = r;
    }
}

static void data_grad(int64_t n, const float *x, const float *gamma, const float at[2],
                      const float *dy, float *dx)
{
    const float m = at[0], r = at[1];
    double sum, dot;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) dx[j] = gamma ? dy[j] * gamma[j] : dy[j];
    SUM_ROW(sum, n, dx[j]);
    SUM_ROW(dot, n, dx[j] * ((x[j] - m) * r));
    const float a = (float)(sum / (double)n), b = (float)(dot / (double)n);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) dx[j] = r * (dx[j] - a - (x[j] - m) * r * b);
}

/* Eight rows at a time, as a tree, into each dgamma and dbeta; fewer at the end. */
static void parameter_grad(int64_t rows, int64_t n, const float *x, const float *const at[2],
                           const float *dy, float *const d[2])
{
    enum { GROUP = 8 };
    for (int64_t i = 0; i < rows; i += GROUP) {
        const int64_t group = rows - i < GROUP ? rows - i : GROUP;
        for (int64_t j0 = 0; j0 < n; j0 += ROW_BLOCK) {
            const int64_t m = n - j0 < ROW_BLOCK ? n - j0 : ROW_BLOCK;
            float dot[ROW_BLOCK] = {0}, sum[ROW_BLOCK] = {0};
            for (int64_t g = i; g < i + group; g++) {
                const float *xr = x + g * n + j0, *dr = dy + g * n + j0;
                const float mean = at[0][g], rstd = at[1][g];
#pragma omp simd
                for (int64_t j = 0; j < m; j++) {
                    dot[j] += dr[j] * ((xr[j] - mean) * rstd);
                    sum[j] += dr[j];
                }
            }
            for (int64_t j = 0; j < m && d[0]; j++) d[0][j0 + j] += dot[j];
            for (int64_t j = 0; j < m && d[1]; j++) d[1][j0 + j] += sum[j];
        }
    }
}

static void norm_grad(int64_t rows, int64_t n, const float *x, const float *gamma,
                      const float *mean, const float *rstd, const float *dy, float *dx,
                      float *dgamma, float *dbeta)
{
    for (int64_t i = 0; i < rows && dx; i++) {
        const float at[2] = {mean[i], rstd[i]};
        data_grad(n, x + i * n, gamma, at, dy + i * n, dx + i * n);
    }
    const float *const at[2] = {mean, rstd};
    float *const d[2] = {dgamma, dbeta};
    if (dgamma || dbeta) parameter_grad(rows, n, x, at, dy, d);
}

void FILL(norm)(struct kernels *k)
{
    k->f32.norm = norm;
    k->f32.norm_grad = norm_grad;
}
