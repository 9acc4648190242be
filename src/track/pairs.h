/* pairs.h - gate 2: is the candidate slower than the baseline, from logarithms of their ratios taken in turns?
 *
 * A pair's number is log(candidate / baseline) of a time; one pair is one fresh process of each. If nothing
 * changed, which of the two was called candidate is chance, and so is each number's sign: the sign-flip test
 * is exact whatever the noise looks like. Noise here has long tails (a process that shares its core is slow
 * for all its life: on a loaded machine one pair in four), so no pair counts for more than the middle one: sizes
 * are cut at their median, and pairs beyond 4 times that are left out. A flip of signs changes neither.
 *
 * What is found must hold among all cases of the run (Benjamini-Hochberg), be larger than `least`, and be
 * found once more in fresh pairs, with the same sign. The exact test's smallest p is 2^(1-n):
 * sunup__pairs_needed says how many pairs make it count. If nothing changed, a run finds anything with a
 * probability of false_rate * max_p / 2 at most, however many cases it has.
 */
#ifndef SUNUP_TRACK_PAIRS_H
#define SUNUP_TRACK_PAIRS_H

#include "track/record.h"

struct pairs_rule {
    double max_p;      /* of the second look; 0.01 */
    double least;      /* of |ratio - 1|; 0.02 */
    double false_rate; /* among the found of the first look; 0.01 */
};
/* Of the second look if there is one, which what chose the case has not touched; but p and suspect. */
struct pairs_result {
    double ratio, low, high; /* Hodges-Lehmann of candidate / baseline, 99 % interval */
    double p;                /* of the first look */
    double p_again;          /* of the second; NaN: there is none */
    bool suspect;            /* the first look found it: a second one is due */
    bool found;              /* and that one agreed */
};

struct pairs_rule sunup__pairs_rule(void);
/* Pairs a case for `cases` cases, so that one change among them passes although four pairs point the wrong
 * way. */
int sunup__pairs_needed(const struct pairs_rule *rule, int cases);
/* The sign-flip test of x other than 0, sizes cut at their median and rounded to 1/1000 of it,
 * those beyond 4 times it left out, exact for any
 * n: O(n^2). NaN: nothing to test. */
double sunup__pairs_p(const double *x, int n);
/* One result a row; rows are of kind TRACK_PAIRS. False: no memory. */
bool sunup__pairs_judge(const struct pairs_rule *rule, const struct track_row *const *rows, int n,
                        struct pairs_result *results);
/* Half of the pairs may show that the rest is not worth its time: true if nothing can be made of them (p > 0.25
 * of 8 or more). What is given up is not found, so this costs power, never truth. */
bool sunup__pairs_hopeless(const double *x, int n);

#endif
