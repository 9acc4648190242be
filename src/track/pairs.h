/* pairs.h - gate 2: is the candidate slower than the baseline, from logarithms of their ratios taken in turns?
 *
 * A pair's number is log(candidate / baseline) of a time; one pair is one fresh process of each. What is found must hold
 * among all cases of the run (Benjamini-Hochberg), be larger than `least`, and be found once more in fresh pairs, with
 * the same sign. The exact test's smallest p is 2^(1-n): sunup__pairs_needed says how many pairs make it count.
 */
#ifndef SUNUP_TRACK_PAIRS_H
#define SUNUP_TRACK_PAIRS_H

#include "track/record.h"

struct pairs_rule {
    double max_p;      /* of the second look; 0.01 */
    double least;      /* of |ratio - 1|; 0.02 */
    double false_rate; /* among the found of the first look; 0.01 */
};
struct pairs_result {
    double ratio, low, high; /* Hodges-Lehmann of candidate / baseline, 99 % interval */
    double p;                /* of the first look */
    bool suspect;            /* the first look found it: a second one is due */
    bool found;              /* and that one agreed */
};

struct pairs_rule sunup__pairs_rule(void);
/* Pairs a case for `cases` cases, so that the smallest p can pass. */
int sunup__pairs_needed(const struct pairs_rule *rule, int cases);
/* One result a row; rows are of kind TRACK_PAIRS. p and results: n each. False: no memory. */
bool sunup__pairs_judge(const struct pairs_rule *rule, const struct track_row *const *rows, int n,
                        struct pairs_result *results);

#endif
