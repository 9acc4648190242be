/* pairs.c - see pairs.h. */
#include "track/pairs.h"

#include <math.h>
#include <stdlib.h>

#include "track/stats.h"

enum {
    UNITS = 1000,
    FAR = 4,
    LEAST_PAIRS = 16,
    MOST_PAIRS = 32,
    WRONG_PAIRS = 4,
    LEAST_HOPELESS = 8
};
static const double confidence = 0.99, hopeless_p = 0.25;

struct pairs_rule sunup__pairs_rule(void)
{
    return (struct pairs_rule){.max_p = 0.01, .least = 0.02, .false_rate = 0.01};
}

/* ---- the test ---- */

/* Sizes in units, cut at their median, 0 of what is far off; returns their signed sum. */
static int64_t cut(const double *x, int n, double *size, int *units)
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++) size[i] = fabs(x[i]);
    const double middle = sunup__median(size, n);
    for (int i = 0; i < n; i++) {
        if (size[i] > FAR * middle) continue; /* units[i] is 0 */
        units[i] = size[i] < middle ? (int)lround(UNITS * size[i] / middle)
                   : middle > 0     ? UNITS
                                    : 0;
        sum += x[i] < 0 ? -units[i] : units[i];
    }
    return sum;
}

/* ways[s]: the share of sign patterns whose positive sizes add up to s. */
static double share_beyond(const int *units, int n, int64_t sum, double *ways)
{
    int64_t total = 0;
    ways[0] = 1;
    for (int i = 0; i < n; i++) {
        for (int64_t s = total; s >= 0 && units[i] > 0; s--) {
            ways[s] /= 2;
            ways[s + units[i]] += ways[s];
        }
        total += units[i];
    }
    double share = 0;
    for (int64_t s = 0; s <= total; s++)
        if (llabs(2 * s - total) >= llabs(sum)) share += ways[s];
    return share;
}

double sunup__pairs_p(const double *x, int n)
{
    double p = NAN;
    for (int i = 0; i < n; i++)
        if (isnan(x[i])) return NAN;
    if (n < 1) return NAN;
    double *size = sunup__alloc((size_t)n * sizeof *size),
           *ways = sunup__alloc(((size_t)n * UNITS + 1) * sizeof *ways);
    int *units = sunup__alloc((size_t)n * sizeof *units);
    if (size != NULL && ways != NULL && units != NULL) {
        const int64_t sum = cut(x, n, size, units);
        p = share_beyond(units, n, sum, ways);
    }
    sunup__free(size);
    sunup__free(ways);
    sunup__free(units);
    return p;
}

bool sunup__pairs_hopeless(const double *x, int n)
{
    return n >= LEAST_HOPELESS && !(sunup__pairs_p(x, n) <= hopeless_p);
}

/* Both tails of the sign patterns with `wrong` of n alike pairs pointing the other way, or fewer. */
static double tails(int n, int wrong)
{
    double patterns = 0, choose = 1;
    for (int i = 0; i <= wrong; i++) {
        patterns += choose;
        choose *= (double)(n - i) / (i + 1);
    }
    return 2 * patterns / pow(2, n);
}

int sunup__pairs_needed(const struct pairs_rule *rule, int cases)
{
    const double threshold = rule->false_rate / (cases > 1 ? cases : 1);
    int n = LEAST_PAIRS;
    while (n < MOST_PAIRS && tails(n, WRONG_PAIRS) > threshold) n++;
    return n;
}

/* ---- the decision ---- */

/* Of the pairs that count. */
static double centre(const double *x, int n, struct pairs_result *r)
{
    double *kept = sunup__alloc(2 * (size_t)n * sizeof *kept + 1), *size = kept + n;
    int m = 0;
    for (int i = 0; kept != NULL && i < n; i++) size[i] = fabs(x[i]);
    const double far = kept != NULL ? FAR * sunup__median(size, n) : NAN;
    for (int i = 0; kept != NULL && i < n; i++)
        if (size[i] <= far) kept[m++] = x[i];
    const struct track_centre c = sunup__hodges_lehmann(kept, m, confidence);
    sunup__free(kept);
    r->ratio = exp(c.centre);
    r->low = exp(c.low);
    r->high = exp(c.high);
    return r->ratio - 1;
}

static bool large(const struct pairs_rule *rule, double effect)
{
    return fabs(effect) > rule->least;
}

static void look_again(const struct pairs_rule *rule, const struct track_row *row,
                       struct pairs_result *r)
{
    const double first = r->ratio - 1, again = centre(row->confirm, row->n_confirm, r);
    r->p_again = sunup__pairs_p(row->confirm, row->n_confirm);
    r->found =
        r->suspect && r->p_again <= rule->max_p && large(rule, again) && (again > 0) == (first > 0);
}

bool sunup__pairs_judge(const struct pairs_rule *rule, const struct track_row *const *rows, int n,
                        struct pairs_result *results)
{
    double *p = sunup__alloc((size_t)n * sizeof *p);
    bool *below = sunup__alloc((size_t)n * sizeof *below);
    const bool ok = p != NULL && below != NULL;
    for (int i = 0; ok && i < n; i++) {
        results[i] =
            (struct pairs_result){.p = sunup__pairs_p(rows[i]->values, rows[i]->n), .p_again = NAN};
        p[i] = results[i].p;
    }
    if (ok) (void)sunup__benjamini_hochberg(p, n, rule->false_rate, below);
    for (int i = 0; ok && i < n; i++) {
        results[i].suspect =
            large(rule, centre(rows[i]->values, rows[i]->n, &results[i])) && below[i];
        if (rows[i]->n_confirm > 0) look_again(rule, rows[i], &results[i]);
    }
    sunup__free(p);
    sunup__free(below);
    return ok;
}
