/* stats.h - the statistics of the tracker, each checked against SciPy's results (tests/golden/track).
 *
 * Samples are left as they are given, in any order and unit; results have their unit. Two-sided p-values. Nothing is
 * random: what is drawn comes from counter-based numbers with a fixed key, so the same data give the same verdict.
 * NaN where a result has no meaning (too few samples, a NaN among them, no variance, arguments outside their range, no
 * memory); callers treat NaN as "nothing found". Huge and tiny samples are scaled, so that no square overflows.
 */
#ifndef SUNUP_TRACK_STATS_H
#define SUNUP_TRACK_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* The power of two that brings the largest |x| into [1/2, 1): times it, squares and sums of x neither overflow nor
 * vanish, and no digit changes. NaN if a sample is not finite. */
double sunup__unit_scale(const double *x, int n);

double sunup__median(const double *x, int n);
double sunup__quantile(const double *x, int n, double p); /* linear between order statistics */
double sunup__mad(const double *x, int n); /* median of |x - median|, without any factor */

/* Distribution functions and their inverses: relative error below 1e-11 for parameters up to 1e6, in the lower tail
 * too. For an upper tail ask for the cdf of -t, not for 1 - cdf. */
double sunup__incomplete_beta(double a, double b, double x); /* regularized */
double sunup__beta_quantile(double a, double b, double p);
double sunup__gamma_quantile(double shape, double p); /* of scale 1 */
double sunup__student_cdf(double t, double df);
double sunup__student_quantile(double p, double df);

/* Centre of x (median of the averages of all pairs, Hodges and Lehmann 1963), and the interval of Wilcoxon's signed
 * ranks that holds it with `confidence` at least; n beyond 400 uses every k-th sample. The interval is exact (the
 * distribution is counted), and NaN where n is too small for one: below 6 for 0.95, below 8 for 0.99. */
struct track_centre {
    double centre, low, high;
};
struct track_centre sunup__hodges_lehmann(const double *x, int n, double confidence);
/* Did the spread change? *ratio (may be NULL): MAD of y / MAD of x; its p by dealing the distances from each side's
 * median anew, 65,536 times or until 50 deals were as uneven; of an odd number of samples the median's own distance is
 * left out. Two samples at least on each side; NaN if both MADs are 0. */
double sunup__spread_p(const double *x, int n, const double *y, int m, double *ratio);
/* k of n against j of m (Fisher's exact test): failures that became more or fewer. p: of all tables no likelier. n, m:
 * 1 to 1e15. */
double sunup__fisher_p(int64_t k, int64_t n, int64_t j, int64_t m);

struct track_interval {
    double low, high;
};
/* A rate of k in n: Beta(k + 1/2, n - k + 1/2) (Jeffreys); 0 of n begins at 0, n of n ends at 1. */
struct track_interval sunup__rate_interval(int64_t k, int64_t n, double confidence);
/* Events a unit of exposure, exact (Garwood 1936). */
struct track_interval sunup__poisson_interval(int64_t k, double exposure, double confidence);
/* Where one more of the normal population of x falls with `confidence`: a band of losses over seeds. n: 2 at least; of
 * equal samples the band has no width. */
struct track_interval sunup__prediction_interval(const double *x, int n, double confidence);

/* Which of the p-values are found at this rate of false ones among the found (Benjamini and Hochberg 1995). NaN never
 * is, nor counts among the n. Returns how many; 0 without memory. found may be NULL. */
int sunup__benjamini_hochberg(const double *p, int n, double rate, bool *found);

#endif
