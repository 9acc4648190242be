/* ensemble.c - what independent samples with weights say: how good they are, and what they say of
 * the field. f64.
 *
 * Weights are held as logarithms and taken relative to the largest, so that none overflows. An
 * effective sample size comes from few heavy weights and jumps from one set of samples to the
 * next: it is a report, no verdict.
 */
#include <math.h>
#include <stdlib.h>

#include "phi4.h"

enum { BLOCKS = 100, JACKKNIFE = 64 };

struct estimate phi4_blocked(int64_t n, const double *x)
{
    const int64_t each = n / BLOCKS;
    double sum = 0, squares = 0;
    if (each < 1) return (struct estimate){NAN, NAN};
    for (int64_t b = 0; b < BLOCKS; b++) {
        double mean = 0;
        for (int64_t i = b * each; i < (b + 1) * each; i++) mean += x[i] / (double)each;
        sum += mean;
        squares += mean * mean;
    }
    const double mean = sum / BLOCKS, variance = fmax(0, squares / BLOCKS - mean * mean);
    return (struct estimate){mean, sqrt(variance / (BLOCKS - 1))};
}

bool phi4_ensemble_begin(struct ensemble *e, int64_t n)
{
    double *room = malloc((size_t)(3 * n + 1) * sizeof *room);
    *e = (struct ensemble){room != NULL ? n : 0, room, room + n, room + 2 * n};
    return room != NULL;
}

void phi4_ensemble_end(struct ensemble *e)
{
    free(e->log_w);
    *e = (struct ensemble){0};
}

static double largest(const struct ensemble *e)
{
    double top = -INFINITY;
    for (int64_t i = 0; i < e->n; i++) top = fmax(top, e->log_w[i]);
    return top;
}

double phi4_ess(const struct ensemble *e)
{
    const double top = largest(e);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < e->n; i++) {
        const double w = exp(e->log_w[i] - top);
        sum += w;
        squares += w * w;
    }
    return sum * sum / ((double)e->n * squares);
}

struct estimate phi4_loss(const struct ensemble *e)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < e->n; i++) sum -= e->log_w[i] / (double)e->n;
    for (int64_t i = 0; i < e->n; i++)
        squares += (e->log_w[i] + sum) * (e->log_w[i] + sum) / (double)e->n;
    return (struct estimate){sum, sqrt(squares / (double)(e->n - 1))};
}

struct estimate phi4_weighted_log_z(const struct ensemble *e)
{
    const double top = largest(e), n = (double)e->n;
    double sum = 0;
    for (int64_t i = 0; i < e->n; i++) sum += exp(e->log_w[i] - top);
    return (struct estimate){top + log(sum / n), sqrt((1 / phi4_ess(e) - 1) / n)};
}

struct estimate phi4_reweighted(const struct ensemble *e, const double *x)
{
    const double top = largest(e);
    double w[JACKKNIFE] = {0}, wx[JACKKNIFE] = {0}, all_w = 0, all_wx = 0, squares = 0;
    for (int64_t i = 0; i < e->n; i++) {
        const int64_t b = i * JACKKNIFE / e->n;
        const double weight = exp(e->log_w[i] - top);
        w[b] += weight;
        wx[b] += weight * x[i];
    }
    for (int b = 0; b < JACKKNIFE; b++) {
        all_w += w[b];
        all_wx += wx[b];
    }
    const double mean = all_wx / all_w;
    for (int b = 0; b < JACKKNIFE; b++) {
        const double without = (all_wx - wx[b]) / (all_w - w[b]);
        squares += (without - mean) * (without - mean);
    }
    return (struct estimate){mean, sqrt(squares * (JACKKNIFE - 1) / JACKKNIFE)};
}

double phi4_chain(const struct ensemble *e, uint64_t seed, const double *x, struct estimate *mean)
{
    struct app_random random = app_random(seed, "phi4 chain", 0, 0);
    double *series = malloc((size_t)e->n * sizeof *series);
    int64_t at = 0, accepted = 0;
    for (int64_t i = 0; i < e->n; i++) {
        const double gain = e->log_w[i] - e->log_w[at];
        if (i > 0 && (gain >= 0 || app_uniform(&random, 0, 1) < exp(gain))) {
            at = i;
            accepted++;
        }
        if (series != NULL) series[i] = x[at];
    }
    *mean = series != NULL ? phi4_blocked(e->n, series) : (struct estimate){NAN, NAN};
    free(series);
    return (double)accepted / (double)(e->n - 1);
}
