/* cross_entropy.c - formulas of cross_entropy_ref.c; per row one pass for the maximum, one for the
 * exponentials, one for the smoothed part or the gradient.
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

static double weight_sum(int64_t n, const float *weight)
{
    double sum = (double)n;
    if (weight) SUM_ROW(sum, n, weight[j]);
    return sum;
}

/* sum over j of weight_j (log_sum + max - x_j): minus the weighted log-probabilities; a class of
 * weight 0 is not there, even if its x is -inf */
static double smoothed(int64_t n, const float *x, const float *weight, float max, float log_sum)
{
    double sum;
    if (weight)
        SUM_ROW(sum, n, weight[j] != 0 ? weight[j] * (log_sum - (x[j] - max)) : 0.0F);
    else
        SUM_ROW(sum, n, log_sum - (x[j] - max));
    return sum;
}

static void cross_entropy(int64_t rows, int64_t n, const float *x, const int32_t *label,
                          const float *weight, float smoothing, float *loss, float *scale)
{
    for (int64_t i = 0; i < rows; i++, x += n) {
        loss[i] = scale[i] = NAN;
        const int32_t t = label[i];
        if (t < 0 || t >= n) continue;
        double sum, part = 0;
        const float max = row_max(n, x);
        SUM_ROW(sum, n, fast_exp(x[j] - max));
        const double log_sum = log(sum), w = weight ? (double)weight[t] : 1;
        const double hard = (1 - (double)smoothing) * w;
        if (smoothing != 0) {
            part = (double)smoothing / (double)n * smoothed(n, x, weight, max, (float)log_sum);
        }
        if (hard != 0) part += hard * (log_sum - ((double)x[t] - (double)max));
        loss[i] = (float)part;
        scale[i] = (float)w;
    }
}

static void cross_entropy_grad(int64_t rows, int64_t n, const float *x, const int32_t *label,
                               const float *weight, float smoothing, float factor, float *dx)
{
    const double share = n > 0 ? (double)smoothing / (double)n : 0;
    const double soft_total = smoothing != 0 ? share * weight_sum(n, weight) : 0;
    const float soft = (float)share;
    for (int64_t i = 0; i < rows; i++, x += n, dx += n) {
        const int32_t t = label[i];
        const bool valid = t >= 0 && t < n;
        const double hard =
            !valid ? (double)NAN : (1 - (double)smoothing) * (weight ? (double)weight[t] : 1);
        const float max = row_max(n, x);
        double sum;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) dx[j] = fast_exp(x[j] - max);
        SUM_ROW(sum, n, dx[j]);
        const float p = (float)((hard + soft_total) / sum);
        const float at_label = valid ? dx[t] * p - (float)hard : NAN;
        if (weight && smoothing != 0) {
#pragma omp simd
            for (int64_t j = 0; j < n; j++) dx[j] = factor * (dx[j] * p - soft * weight[j]);
        } else {
#pragma omp simd
            for (int64_t j = 0; j < n; j++) dx[j] = factor * (dx[j] * p - soft);
        }
        if (valid)
            dx[t] = factor * (at_label - (smoothing != 0 && weight ? soft * weight[t] : soft));
    }
}

void FILL(cross_entropy)(struct kernels *k)
{
    k->f32.cross_entropy = cross_entropy;
    k->f32.cross_entropy_grad = cross_entropy_grad;
}
