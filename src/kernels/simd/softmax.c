/* softmax.c - softmax and its logarithm along rows: maximum, exponentials and their sum, result:
 * three passes over a row that stays in the cache.
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

static void softmax(int64_t rows, int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        const float max = row_max(n, x);
        double sum;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = fast_exp(x[j] - max);
        SUM_ROW(sum, n, y[j]);
        const float factor = (float)(1 / sum);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] *= factor;
    }
}

static void softmax_grad(int64_t rows, int64_t n, const float *y, const float *dy, float *dx)
{
    for (int64_t i = 0; i < rows; i++, y += n, dy += n, dx += n) {
        double sum;
        SUM_ROW(sum, n, y[j] * dy[j]);
        const float dot = (float)sum;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) dx[j] = y[j] * (dy[j] - dot);
    }
}

static void log_softmax(int64_t rows, int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        const float max = row_max(n, x);
        double sum;
        SUM_ROW(sum, n, fast_exp(x[j] - max));
        const float log_sum = (float)log(sum);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = x[j] - max - log_sum;
    }
}

static void log_softmax_grad(int64_t rows, int64_t n, const float *y, const float *dy, float *dx)
{
    for (int64_t i = 0; i < rows; i++, y += n, dy += n, dx += n) {
        double total;
        SUM_ROW(total, n, dy[j]);
        const float sum = (float)total;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) dx[j] = dy[j] - fast_exp(y[j]) * sum;
    }
}

void FILL(softmax)(struct kernels *k)
{
    k->f32.softmax = softmax;
    k->f32.softmax_grad = softmax_grad;
    k->f32.log_softmax = log_softmax;
    k->f32.log_softmax_grad = log_softmax_grad;
}
