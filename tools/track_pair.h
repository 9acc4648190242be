/* track_pair.h - one pair: a fresh process of the baseline and one of the candidate, asked in turns
 * (track_pair.c).
 *
 * A contest is one case by two programs, and what its pairs have in common: how much is asked in a turn, found
 * by the first pair, and how long each step of the plan took in each pair that was asked for it.
 */
#ifndef SUNUP_TRACK_PAIR_H
#define SUNUP_TRACK_PAIR_H

#include "track.h"

enum { BASELINE, CANDIDATE, SIDES };
enum { MOST_PAIRS = 64 };

struct contest_step {
    const char *name;
    double s[SIDES][MOST_PAIRS]; /* in one call; 0: the program has no such step */
};
struct contest {
    const struct track_case *one;
    const char *program[SIDES];
    const char *fault; /* NULL, or NAME=value of the candidate's environment */
    /* the pairs' */
    int64_t calls, samples; /* of a sample, of a turn; 0: not known yet */
    int pairs, timed_pairs; /* that were taken; of them with steps */
    double seconds;         /* that they took */
    char version[64];       /* of the baseline */
    struct arena arena;
    int n_steps;
    struct contest_step *steps;
};

/* *x: log(candidate / baseline). timed: the steps too, MOST_PAIRS times at most. An error names the side, its
 * program and the case. */
sunup_status contest_pair(struct command *c, struct contest *t, bool timed, double *x);
void contest_end(struct contest *t);

#endif
