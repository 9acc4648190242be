/* pairs.c - two looks: a wide first one over all cases, a fresh second one at what it found. */
#include "track/pairs.h"

#include <math.h>

#include "track/stats.h"

struct pairs_rule sunup__pairs_rule(void)
{
    return (struct pairs_rule){.max_p = 0.01, .least = 0.02, .false_rate = 0.01};
}

int sunup__pairs_needed(const struct pairs_rule *rule, int cases)
{
    int n = 8; /* 2^(1-8) < 0.01 */
    while (ldexp(1, 1 - n) > rule->max_p || ldexp(1, 1 - n) * cases > rule->false_rate) n++;
    return n;
}

static bool large(const struct pairs_rule *rule, double log_ratio)
{
    return fabs(exp(log_ratio) - 1) > rule->least;
}

/* The same again, by itself. */
static bool confirmed(const struct pairs_rule *rule, const struct track_row *r, double first)
{
    if (r->n_confirm == 0) return false;
    const struct track_centre again = sunup__hodges_lehmann(r->confirm, r->n_confirm, 0.99);
    const double p = sunup__sign_flip_p(r->confirm, r->n_confirm);
    return p < rule->max_p && again.centre * first > 0 && large(rule, again.centre);
}

bool sunup__pairs_judge(const struct pairs_rule *rule, const struct track_row *const *rows, int n,
                        struct pairs_result *results)
{
    double *p = sunup__alloc((size_t)(n + 1) * sizeof *p);
    bool *below = sunup__alloc((size_t)(n + 1) * sizeof *below);
    for (int i = 0; i < n && p != NULL; i++) p[i] = sunup__sign_flip_p(rows[i]->values, rows[i]->n);
    if (p != NULL && below != NULL) (void)sunup__benjamini_hochberg(p, n, rule->false_rate, below);
    for (int i = 0; i < n && p != NULL && below != NULL; i++) {
        const struct track_centre c = sunup__hodges_lehmann(rows[i]->values, rows[i]->n, 0.99);
        results[i] = (struct pairs_result){.ratio = exp(c.centre),
                                           .low = exp(c.low),
                                           .high = exp(c.high),
                                           .p = p[i],
                                           .suspect = below[i] && large(rule, c.centre)};
        results[i].found = results[i].suspect && confirmed(rule, rows[i], c.centre);
    }
    const bool done = p != NULL && below != NULL;
    sunup__free(p);
    sunup__free(below);
    return done;
}
