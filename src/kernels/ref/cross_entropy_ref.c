/* cross_entropy_ref.c - softmax and negative log-likelihood in one, with class weights w and label
 * smoothing s.
 *
 * As PyTorch's CrossEntropyLoss: with target t, p = softmax(x) and q_j = (1 - s) w_t [j = t] + (s
 * / n) w_j,
 *
 *   loss = - sum_j q_j log p_j,     scale = w_t,     d loss / d x_k = p_k sum_j q_j - q_k
 *
 * The mean over a batch is sum(loss) / sum(scale). A label outside [0, n) makes all of a row's
 * results NaN.
 */
#include "kernels/ref/real.h"

struct row {
    double max, log_sum; /* log p_j = x_j - max - log_sum */
    bool valid;
};

static struct row row_of(int64_t n, const REAL *x, int32_t label)
{
    struct row r = {-INFINITY, 0, label >= 0 && label < n};
    double sum = 0;
    for (int64_t j = 0; j < n; j++) r.max = x[j] > r.max ? x[j] : r.max;
    for (int64_t j = 0; j < n; j++) sum += exp(x[j] - r.max);
    r.log_sum = log(sum);
    return r;
}

static double target(int64_t j, int64_t n, int32_t label, const REAL *weight, double smoothing)
{
    const double w = weight ? weight[j] : 1;
    const double soft = smoothing != 0 ? smoothing / (double)n * w : 0; /* w may be NaN elsewhere */
    return soft + (j == label ? (1 - smoothing) * w : 0);
}

void NAME(ref_cross_entropy)(int64_t rows, int64_t n, const REAL *x, const int32_t *label,
                             const REAL *weight, REAL smoothing, REAL *loss, REAL *scale)
{
    for (int64_t i = 0; i < rows; i++, x += n) {
        const struct row r = row_of(n, x, label[i]);
        double sum = r.valid ? 0 : NAN;
        for (int64_t j = 0; j < n; j++) {
            const double q = target(j, n, label[i], weight, smoothing);
            if (q != 0) sum -= q * (x[j] - r.max - r.log_sum); /* 0 * inf: a class not wanted */
        }
        loss[i] = RC(sum);
        scale[i] = !r.valid ? RC(NAN) : weight ? weight[label[i]] : 1;
    }
}

void NAME(ref_cross_entropy_grad)(int64_t rows, int64_t n, const REAL *x, const int32_t *label,
                                  const REAL *weight, REAL smoothing, REAL factor, REAL *dx)
{
    for (int64_t i = 0; i < rows; i++, x += n, dx += n) {
        const struct row r = row_of(n, x, label[i]);
        double total = r.valid ? 0 : NAN;
        for (int64_t j = 0; j < n; j++) total += target(j, n, label[i], weight, smoothing);
        for (int64_t j = 0; j < n; j++) {
            const double p = exp(x[j] - r.max - r.log_sum);
            dx[j] = RC(factor * (p * total - target(j, n, label[i], weight, smoothing)));
        }
    }
}
