/* stats.c - what samples say: middles, spreads, centres, where one more falls, and which of many p-values to believe.
 *
 * Every function sorts or scales copies of its own. A NaN among the samples makes the result NaN, and so does want of
 * memory. Samples are scaled by a power of two before they are squared, so that neither seconds nor flop/s overflow.
 * Sources: Hodges and Lehmann, Ann. Math. Stat. 34, 1963; Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995.
 */
#include "track/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { MOST_CENTRE = 400 };

static int smaller(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A sorted copy; NULL: no samples, NaN among them, or no memory. */
static double *sorted(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (isnan(x[i])) return NULL;
    double *y = n > 0 ? sunup__alloc((size_t)n * sizeof *y) : NULL;
    if (y == NULL) return NULL;
    memcpy(y, x, (size_t)n * sizeof *y);
    qsort(y, (size_t)n, sizeof *y, smaller);
    return y;
}

double sunup__unit_scale(const double *x, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) return NAN;
        most = fmax(most, fabs(x[i]));
    }
    int exponent = 0;
    frexp(most, &exponent);
    return ldexp(1, exponent < -1000 ? 1000 : -exponent);
}

/* ------------------------------------------------------------- middles and spreads --- */

static double middle(const double *sorted_x, int64_t n)
{
    const double low = sorted_x[(n - 1) / 2], high = sorted_x[n / 2];
    return low == high ? low : 0.5 * low + 0.5 * high;
}

double sunup__median(const double *x, int n)
{
    double *y = sorted(x, n);
    const double m = y != NULL ? middle(y, n) : NAN;
    sunup__free(y);
    return m;
}

static double between(double low, double high, double part)
{
    if (low == high) return low;
    return (low < 0) == (high < 0) ? low + part * (high - low) : (1 - part) * low + part * high;
}

double sunup__quantile(const double *x, int n, double p)
{
    double *y = p >= 0 && p <= 1 ? sorted(x, n) : NULL;
    if (y == NULL) return NAN;
    const double at = p * (n - 1);
    const int i = (int)at;
    const double q = i + 1 < n ? between(y[i], y[i + 1], at - i) : y[n - 1];
    sunup__free(y);
    return q;
}

double sunup__mad(const double *x, int n)
{
    const double m = sunup__median(x, n);
    double *far = isnan(m) ? NULL : sunup__alloc((size_t)n * sizeof *far);
    if (far == NULL) return NAN;
    for (int i = 0; i < n; i++) far[i] = fabs(x[i] - m);
    const double mad = sunup__median(far, n);
    sunup__free(far);
    return mad;
}

/* ------------------------------------------------------------------------- centre --- */

/* Most k for which Wilcoxon's sum of signed ranks of n is below k with probability `tail` at most; -1: no memory. */
static int64_t rank_cut(int n, double tail)
{
    const int64_t room = (int64_t)n * (n + 1) / 4 + 1;
    double *p = sunup__alloc((size_t)room * sizeof *p);
    if (p == NULL) return -1;
    p[0] = 1;
    for (int rank = 1; rank <= n; rank++)
        for (int64_t s = room - 1; s >= 0; s--) p[s] = 0.5 * (p[s] + (s >= rank ? p[s - rank] : 0));
    int64_t k = 0;
    for (double sum = p[0]; k < room - 1 && sum <= tail; sum += p[k]) k++;
    sunup__free(p);
    return k;
}

/* Sorted averages of all pairs, i <= j, of every step-th sample. */
static double *pair_averages(const double *x, int n, int step)
{
    const size_t pairs = (size_t)n * ((size_t)n + 1) / 2;
    double *w = sunup__alloc(pairs * sizeof *w), *to = w;
    if (w == NULL) return NULL;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            const double a = x[(size_t)i * (size_t)step], b = x[(size_t)j * (size_t)step];
            *to++ = a == b ? a : 0.5 * a + 0.5 * b;
        }
    qsort(w, pairs, sizeof *w, smaller);
    return w;
}

struct track_centre sunup__hodges_lehmann(const double *x, int n, double confidence)
{
    struct track_centre c = {NAN, NAN, NAN};
    if (n < 1 || isnan(sunup__unit_scale(x, n))) return c;
    const int step = (n - 1) / MOST_CENTRE + 1, used = (n - 1) / step + 1;
    const int64_t pairs = (int64_t)used * (used + 1) / 2;
    double *w = pair_averages(x, used, step);
    if (w == NULL) return c;
    c.centre = middle(w, pairs);
    const int64_t k = confidence > 0 && confidence < 1 ? rank_cut(used, (1 - confidence) / 2) : 0;
    if (k > 0) {
        c.low = w[k - 1];
        c.high = w[pairs - k];
    }
    sunup__free(w);
    return c;
}

/* ----------------------------------------------------------------------- one more --- */

struct moments {
    double mean, squares; /* sum of squared deviations from the mean */
};

/* Of x times scale. Sums run over what differs from x[0]: equal samples have no variance at all, whatever they are. */
static struct moments moments(const double *x, int n, double scale)
{
    const double first = x[0] * scale;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i] * scale - first;
    const double mean = sum / n;
    for (int i = 0; i < n; i++) {
        const double d = x[i] * scale - first - mean;
        squares += d * d;
    }
    return (struct moments){first + mean, squares};
}

struct track_interval sunup__prediction_interval(const double *x, int n, double confidence)
{
    const double scale = n >= 2 ? sunup__unit_scale(x, n) : NAN;
    if (isnan(scale) || !(confidence > 0 && confidence < 1))
        return (struct track_interval){NAN, NAN};
    const struct moments a = moments(x, n, scale);
    const double t = -sunup__student_quantile((1 - confidence) / 2, n - 1);
    const double half = t * sqrt(a.squares / (n - 1) * (1 + 1.0 / n));
    return (struct track_interval){(a.mean - half) / scale, (a.mean + half) / scale};
}

/* ------------------------------------------------------------------ many p-values --- */

int sunup__benjamini_hochberg(const double *p, int n, double rate, bool *found)
{
    double *y = n > 0 ? sunup__alloc((size_t)n * sizeof *y) : NULL;
    int m = 0, count = 0;
    for (int i = 0; y != NULL && i < n; i++)
        if (!isnan(p[i])) y[m++] = p[i];
    if (m > 0) qsort(y, (size_t)m, sizeof *y, smaller);
    for (int i = m; i > 0 && count == 0; i--)
        if (y[i - 1] * ((double)m / i) <= rate) count = i;
    const double most = count > 0 ? y[count - 1] : NAN;
    for (int i = 0; found != NULL && i < n; i++) found[i] = p[i] <= most;
    sunup__free(y);
    return count;
}
