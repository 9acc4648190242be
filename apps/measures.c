/* measures.c - how good predictions are; sums in f64. */
#include <math.h>
#include <stdlib.h>

#include "inside.h"

struct scored {
    float score;
    int32_t label;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return (x->score > y->score) - (x->score < y->score);
}

/* Mann-Whitney: mean rank of the positives, ties sharing their mean rank. */
static double rank_sum(int64_t n, const struct scored *s)
{
    double sum = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        int64_t positive = 0;
        for (to = from; to < n && s[to].score == s[from].score; to++) positive += s[to].label != 0;
        sum += (double)positive * 0.5 * (double)(from + to + 1);
    }
    return sum;
}

double app_auc(int64_t n, const float *score, const int32_t *label)
{
    struct scored *s = sunup__alloc((size_t)n * sizeof *s);
    if (s == NULL) return NAN;
    int64_t positive = 0;
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        s[i] = (struct scored){score[i], label[i]};
        positive += label[i] != 0;
        finite = finite && isfinite(score[i]);
    }
    qsort(s, (size_t)n, sizeof *s, by_score);
    const double p = (double)positive, q = (double)(n - positive);
    const double auc = (rank_sum(n, s) - 0.5 * p * (p + 1)) / (p * q);
    sunup__free(s);
    return finite ? auc : NAN;
}

/* Means, then sums of squares about them. */
struct moments {
    double y, truth, yy, tt, yt, rest; /* rest: sum of (y - truth)^2 */
};

static struct moments moments_of(int64_t n, const float *y, const float *truth)
{
    struct moments m = {0};
    for (int64_t i = 0; i < n; i++) {
        m.y += (double)y[i] / (double)n;
        m.truth += (double)truth[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)y[i] - m.y, b = (double)truth[i] - m.truth;
        const double d = (double)y[i] - (double)truth[i];
        m.yy += a * a;
        m.tt += b * b;
        m.yt += a * b;
        m.rest += d * d;
    }
    return m;
}

double app_r2(int64_t n, const float *y, const float *truth)
{
    const struct moments m = moments_of(n, y, truth);
    return m.tt > 0 ? 1 - m.rest / m.tt : NAN;
}

double app_pearson(int64_t n, const float *y, const float *truth)
{
    const struct moments m = moments_of(n, y, truth);
    return m.yy > 0 && m.tt > 0 ? m.yt / sqrt(m.yy * m.tt) : NAN;
}

double app_mse(int64_t n, const float *y, const float *truth)
{
    return n > 0 ? moments_of(n, y, truth).rest / (double)n : NAN;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double app_quantile(int64_t n, double *x, double q)
{
    if (n < 1) return NAN;
    qsort(x, (size_t)n, sizeof *x, by_value);
    const double at = q * (double)(n - 1);
    const int64_t i = (int64_t)floor(at), next = i + 1 < n ? i + 1 : i;
    return x[i] + (at - (double)i) * (x[next] - x[i]);
}
