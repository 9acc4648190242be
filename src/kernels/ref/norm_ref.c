/* norm_ref.c - normalisation of each row of n to mean 0 and variance 1, then gamma and beta (layer
 * norm; group norm after a reshape).
 *
 * Variance is the mean of (x - mean)^2 in a second pass, never E[x^2] - mean^2. Sums in double.
 * With h = (x - mean) rstd and g = dy gamma:
 *
 *   dx = rstd (g - mean(g) - h mean(g h)), and over the rows dgamma += sum dy h, dbeta += sum dy
 */
#include "kernels/ref/real.h"

void NAME(ref_norm)(int64_t rows, int64_t n, const REAL *x, const REAL *gamma, const REAL *beta,
                    REAL eps, bool stream, REAL *y, REAL *mean, REAL *rstd)
{
    (void)stream;
    for (int64_t i = 0; i < rows; i++, x += n, y += n) {
        double sum = 0, square = 0;
        for (int64_t j = 0; j < n; j++) sum += x[j];
        const double m = sum / (double)n;
        for (int64_t j = 0; j < n; j++) square += (x[j] - m) * (x[j] - m);
        const double r = 1 / sqrt(square / (double)n + eps);
        for (int64_t j = 0; j < n; j++) {
            y[j] = RC((x[j] - m) * r * (gamma ? gamma[j] : 1) + (beta ? beta[j] : 0));
        }
        mean[i] = RC(m);
        rstd[i] = RC(r);
    }
}

static void data_grad(int64_t n, const REAL *x, const REAL *gamma, const double at[2],
                      const REAL *dy, REAL *dx)
{
    double sum = 0, dot = 0;
    for (int64_t j = 0; j < n; j++) {
        const double g = dy[j] * (double)(gamma ? gamma[j] : 1);
        sum += g;
        dot += g * (x[j] - at[0]) * at[1];
    }
    for (int64_t j = 0; j < n; j++) {
        const double g = dy[j] * (double)(gamma ? gamma[j] : 1), h = (x[j] - at[0]) * at[1];
        dx[j] = RC(at[1] * (g - sum / (double)n - h * (dot / (double)n)));
    }
}

void NAME(ref_norm_grad)(int64_t rows, int64_t n, const REAL *x, const REAL *gamma,
                         const REAL *mean, const REAL *rstd, const REAL *dy, bool stream, REAL *dx,
                         REAL *dgamma, REAL *dbeta)
{
    (void)stream;
    for (int64_t i = 0; i < rows && dx; i++) {
        const double at[2] = {mean[i], rstd[i]};
        data_grad(n, x + i * n, gamma, at, dy + i * n, dx + i * n);
    }
    for (int64_t j = 0; j < n; j++) {
        double dot = 0, sum = 0;
        for (int64_t i = 0; i < rows; i++) {
            const double h = ((double)x[i * n + j] - mean[i]) * rstd[i];
            dot += dy[i * n + j] * h;
            sum += dy[i * n + j];
        }
        if (dgamma) dgamma[j] += RC(dot);
        if (dbeta) dbeta[j] += RC(sum);
    }
}
