/* attention.c - scores of attention made into weights: a block of a row stays in the first cache,
 * so the exponentials are what it costs (some 10 vector instructions for 16 keys).
 */
#include "kernels/simd/math.h"
#include "kernels/simd/rows.h"

static int64_t seen(const struct attention_f32 *a, int64_t row)
{
    const int64_t n = a->see + row;
    return n < 0 ? 0 : n < a->n ? n : a->n;
}

static void scale_row(const struct attention_f32 *a, int64_t row, int64_t n, float *s)
{
    const float scale = a->scale;
    if (a->bias) {
        const float *bias = a->bias + row * a->bias_row;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) s[j] = FMA(scale, s[j], bias[j]);
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) s[j] *= scale;
    }
}

static void attention_scores(const struct attention_f32 *a, float *s, float *max, float *sum,
                             float *shrink)
{
    for (int64_t r = 0; r < a->rows; r++, s += a->n) {
        const int64_t n = seen(a, r);
        scale_row(a, r, n, s);
        const float m = larger(max[r], row_max(n, s)), base = m == -INFINITY ? 0 : m;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) s[j] = fast_exp(s[j] - base);
        const double total = row_sum(n, s);
        for (int64_t j = n; j < a->n; j++) s[j] = 0;
        shrink[r] = fast_exp(max[r] - base);
        sum[r] = (float)((double)sum[r] * (double)shrink[r] + total);
        max[r] = m;
    }
}

static void attention_grad(const struct attention_f32 *a, const float *lse, const float *delta,
                           float *s, float *dp, float *dbias)
{
    const float scale = a->scale;
    for (int64_t r = 0; r < a->rows; r++, s += a->n, dp += a->n) {
        const int64_t n = lse[r] == -INFINITY ? 0 : seen(a, r);
        const float base = lse[r], mean = delta[r];
        scale_row(a, r, n, s);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            s[j] = fast_exp(s[j] - base);
            dp[j] = s[j] * (dp[j] - mean);
        }
        if (dbias) {
            float *to = dbias + r * a->bias_row;
#pragma omp simd
            for (int64_t j = 0; j < n; j++) to[j] += dp[j];
        }
#pragma omp simd
        for (int64_t j = 0; j < n; j++) dp[j] *= scale;
        for (int64_t j = n; j < a->n; j++) s[j] = dp[j] = 0;
    }
}

void FILL(attention)(struct kernels *k)
{
    k->f32.attention_scores = attention_scores;
    k->f32.attention_grad = attention_grad;
}
