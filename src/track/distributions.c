/* distributions.c - distribution functions and their inverses, and what follows from them directly: intervals of rates,
 * Fisher's exact test.
 *
 * Both tails are kept apart, so that a p-value of 1e-200 has as many right digits as one of 0.1. Terms are written as
 * deviances from the mean with Stirling's error (Loader, "Fast and accurate computation of binomial probabilities",
 * 2000): differences of large logarithms of gamma would lose the digits. Continued fractions (DLMF 8.17.22, 8.9.2) by
 * Lentz's method. Inverses: Newton on the logarithm of the smaller tail over the logit (beta) or logarithm (gamma)
 * of x, where it is concave, so that every start converges. Cost: about sqrt(max(a, b)) terms a value, 5 to 10 values
 * an inverse.
 */
#include <math.h>

#include "track/stats.h"

enum { MOST_TERMS = 1000000, MOST_STEPS = 200 };
static const double TINY = 1e-300, TWO_PI = 6.283185307179586476925;

struct tails {
    double lower, upper;
};

/* log(Gamma(z + 1)) less Stirling's formula, z > 0 */
static double stirling_error(double z)
{
    if (z < 16) return lgamma(z + 1) - (z + 0.5) * log(z) + z - 0.5 * log(TWO_PI);
    const double w = 1 / (z * z);
    return (1.0 / 12 - w * (1.0 / 360 - w * (1.0 / 1260 - w * (1.0 / 1680 - w / 1188)))) / z;
}

/* k log(k / mean) + mean - k */
static double deviance(double k, double mean)
{
    const double u = (mean - k) / k;
    return k * (u - (fabs(u) < 0.5 ? log1p(u) : log(mean / k)));
}

/* Lentz: b0 + a1 / (b1 + a2 / (b2 + ...)), one term at a time. */
struct fraction {
    double value, c, d;
};

static struct fraction fraction_begin(double b0)
{
    const double start = b0 != 0 ? b0 : TINY;
    return (struct fraction){start, start, 0};
}

/* true: it has converged */
static bool fraction_add(struct fraction *f, double a, double b)
{
    f->d = b + a * f->d;
    f->c = b + a / f->c;
    f->d = 1 / (f->d != 0 ? f->d : TINY);
    if (f->c == 0) f->c = TINY;
    f->value *= f->c * f->d;
    return fabs(f->c * f->d - 1) < 1e-16;
}

/* ---------------------------------------------------------------------------- beta --- */

/* x^a y^b / B(a, b), y = 1 - x: the density of the logit of x */
static double beta_term(double a, double b, double x, double y)
{
    const double n = a + b;
    return sqrt(a / n * b / TWO_PI) *
           exp(stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) -
               deviance(b, n * y));
}

/* x below (a + 1) / (a + b + 2). The even part of the fraction: y = 1 - x enters as such, so that nothing cancels
 * where a is large and x near 1 (DiDonato and Morris, ACM TOMS 18, 1992). */
static double beta_fraction(double a, double b, double x, double y)
{
    const double ahead = a * y - b * x + 1;
    struct fraction f = fraction_begin(a * ahead / (a + 1));
    for (int m = 1; m < MOST_TERMS; m++) {
        const double k = a + 2.0 * m, over = m * (b - m) * x / (k - 1);
        const double up = (a + m - 1) * ((a + b + m - 1) / (k - 1)) * x * over;
        if (fraction_add(&f, up, m + over + (a + m) / (k + 1) * (ahead + m * (1 + y)))) break;
    }
    return 1 / f.value;
}

static struct tails beta_tails(double a, double b, double x, double y)
{
    const double term = beta_term(a, b, x, y);
    if (x < (a + 1) / (a + b + 2)) {
        const double lower = term * beta_fraction(a, b, x, y);
        return (struct tails){lower, 1 - lower};
    }
    const double upper = term * beta_fraction(b, a, y, x);
    return (struct tails){1 - upper, upper};
}

double sunup__incomplete_beta(double a, double b, double x)
{
    if (!(a > 0 && b > 0 && x >= 0 && x <= 1)) return NAN;
    return x == 0 || x == 1 ? x : beta_tails(a, b, x, 1 - x).lower;
}

/* One step of Newton's method towards log(tail) = log(p); where the tail is nothing, half of the last one is undone. */
static bool newton(double *z, double *last, double tail, double density, double p)
{
    if (!(tail > 0 && density > 0)) {
        *z = (*z + *last) / 2;
        return false;
    }
    const double step = log(tail / p) * (tail / density);
    *last = *z;
    *z -= step;
    return fabs(step) <= 1e-15 * fmax(1, fabs(*z));
}

/* Logit of the quantile; q = 1 - p. */
static double beta_logit(double a, double b, double p, double q)
{
    if (p > q) return -beta_logit(b, a, q, p);
    double z = log(a / b), last = z;
    for (int i = 0; i < MOST_STEPS; i++) {
        const double x = 1 / (1 + exp(-z)), y = 1 / (1 + exp(z));
        if (newton(&z, &last, beta_tails(a, b, x, y).lower, beta_term(a, b, x, y), p)) break;
    }
    return z;
}

double sunup__beta_quantile(double a, double b, double p)
{
    if (!(a > 0 && b > 0 && p >= 0 && p <= 1)) return NAN;
    return p == 0 || p == 1 ? p : 1 / (1 + exp(-beta_logit(a, b, p, 1 - p)));
}

/* --------------------------------------------------------------------------- gamma --- */

/* x^a e^-x / Gamma(a): the density of log(x) */
static double gamma_term(double a, double x)
{
    return sqrt(a / TWO_PI) * exp(-stirling_error(a) - deviance(a, x));
}

static double gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;
    for (int i = 1; i < MOST_TERMS && term > 1e-17 * sum; i++) sum += term *= x / (a + i);
    return sum;
}

static double gamma_fraction(double a, double x)
{
    struct fraction f = fraction_begin(x + 1 - a);
    for (int i = 1; i < MOST_TERMS; i++)
        if (fraction_add(&f, i * (a - i), x + 2.0 * i + 1 - a)) break;
    return 1 / f.value;
}

static struct tails gamma_tails(double a, double x)
{
    const double term = gamma_term(a, x);
    if (x < a + 1) {
        const double lower = term * gamma_series(a, x);
        return (struct tails){lower, 1 - lower};
    }
    const double upper = term * gamma_fraction(a, x);
    return (struct tails){1 - upper, upper};
}

double sunup__gamma_quantile(double shape, double p)
{
    if (!(shape > 0 && p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return p == 0 ? 0 : INFINITY;
    double z = log(shape), last = z;
    for (int i = 0; i < MOST_STEPS; i++) {
        const struct tails t = gamma_tails(shape, exp(z));
        const double density = gamma_term(shape, exp(z));
        const bool low = p <= 0.5;
        double w = low ? z : -z; /* the upper tail grows leftwards */
        double w_last = low ? last : -last;
        const bool done = newton(&w, &w_last, low ? t.lower : t.upper, density, low ? p : 1 - p);
        z = low ? w : -w;
        last = low ? w_last : -w_last;
        if (done) break;
    }
    return exp(z);
}

/* ------------------------------------------------------------------------- student --- */

double sunup__student_cdf(double t, double df)
{
    if (!(df > 0) || isnan(t)) return NAN;
    if (isinf(df)) return 0.5 * erfc(-t / sqrt(2));
    if (t == 0) return 0.5;
    const double x = df / (df + t * t), y = 1 / (1 + df / t / t);
    const double tail = x > 0 ? 0.5 * beta_tails(df / 2, 0.5, x, y).lower : 0;
    return t < 0 ? tail : 1 - tail;
}

double sunup__student_quantile(double p, double df)
{
    if (!(df > 0 && p >= 0 && p <= 1)) return NAN;
    if (p > 0.5) return -sunup__student_quantile(1 - p, df);
    if (p == 0) return -INFINITY;
    if (p == 0.5) return 0;
    return -sqrt(df) * exp(-beta_logit(df / 2, 0.5, 2 * p, 1 - 2 * p) / 2);
}

/* ----------------------------------------------------------------- rates and counts --- */

struct track_interval sunup__rate_interval(int64_t k, int64_t n, double confidence)
{
    if (k < 0 || k > n || !(confidence > 0 && confidence < 1))
        return (struct track_interval){NAN, NAN};
    const double a = (double)k + 0.5, b = (double)(n - k) + 0.5, tail = (1 - confidence) / 2;
    return (struct track_interval){k == 0 ? 0 : sunup__beta_quantile(a, b, tail),
                                   k == n ? 1 : sunup__beta_quantile(a, b, 1 - tail)};
}

struct track_interval sunup__poisson_interval(int64_t k, double exposure, double confidence)
{
    if (k < 0 || !(exposure > 0) || !(confidence > 0 && confidence < 1))
        return (struct track_interval){NAN, NAN};
    const double tail = (1 - confidence) / 2;
    const double low = k == 0 ? 0 : sunup__gamma_quantile((double)k, tail);
    return (struct track_interval){low / exposure,
                                   sunup__gamma_quantile((double)k + 1, 1 - tail) / exposure};
}

/* `red` of `all` are red; of `n` drawn ones, how many? */
struct urn {
    double n, red, all;
};

/* log of the binomial probability of k in n at rate p */
static double log_binomial(double k, double n, double p)
{
    if (k == 0) return n * log1p(-p);
    if (k == n) return n * log(p);
    return stirling_error(n) - stirling_error(k) - stirling_error(n - k) - deviance(k, n * p) -
           deviance(n - k, n * (1 - p)) + 0.5 * log(n / k / (n - k) / TWO_PI);
}

static double log_drawn(const struct urn *u, double k)
{
    const double p = u->red / u->all;
    return log_binomial(k, u->n, p) + log_binomial(u->red - k, u->all - u->n, p) -
           log_binomial(u->red, u->all, p);
}

/* Probability of k and all beyond it, downwards or upwards: away from the mode, so that terms only shrink. */
static double drawn_tail(const struct urn *u, double k, bool up)
{
    const double white = u->all - u->red - u->n; /* k + white: of those left in the urn */
    double term = 1, sum = 1;
    for (double i = k; term > 1e-17 * sum; i += up ? 1 : -1)
        sum += term *= up ? (u->n - i) / (i + 1) * ((u->red - i) / (white + i + 1))
                          : i / (u->n - i + 1) * ((white + i) / (u->red - i + 1));
    return exp(log_drawn(u, k)) * sum;
}

/* Steps from the mode, up (way 1) or down (-1), to the first k that is no likelier than `most`; > steps if none is. */
static double steps_to_rare(const struct urn *u, double mode, double way, double steps, double most)
{
    if (log_drawn(u, mode + way * steps) > most) return steps + 1;
    double likelier = 0, rare = steps;
    while (rare - likelier > 1) {
        const double middle = floor((likelier + rare) / 2);
        if (log_drawn(u, mode + way * middle) > most)
            likelier = middle;
        else
            rare = middle;
    }
    return rare;
}

double sunup__fisher_p(int64_t k, int64_t n, int64_t j, int64_t m)
{
    const int64_t most = 1000000000000000; /* counts are exact in double far beyond their sums */
    if (k < 0 || k > n || j < 0 || j > m || n < 1 || m < 1 || n > most || m > most) return NAN;
    const struct urn u = {(double)n, (double)k + (double)j, (double)n + (double)m};
    if (u.red == 0 || u.red == u.all) return 1;
    const double first = fmax(0, u.red - (double)m), last = fmin(u.red, u.n), at = (double)k;
    const double mode = fmin(last, fmax(first, floor((u.red + 1) * ((u.n + 1) / (u.all + 2)))));
    const double least = log_drawn(&u, at) + 1e-9; /* equal ones differ by rounding */
    if (log_drawn(&u, mode) <= least) return 1;
    const bool below = at < mode;
    const double way = below ? 1 : -1, steps = below ? last - mode : mode - first;
    const double rare = steps_to_rare(&u, mode, way, steps, least);
    const double other = rare > steps ? 0 : drawn_tail(&u, mode + way * rare, below);
    return fmin(1, drawn_tail(&u, at, !below) + other);
}
