/* judge.h - what is worth a person's time: the findings of a history, by three gates and by outcomes.
 *
 * 1. counts and words: each value against the one before it in its series; a change is a fact. It is for the worse if
 *    the count grew where less is better, or if something changed although the commit did not.
 * 2. pairs: sign-flip test over the logarithms of candidate / baseline, |effect| > least, Benjamini-Hochberg over all
 *    pairs of the run, and the second look must find the same again (pairs.h).
 * 3. points: changes in the long series, of values as the canary's pace would have them (points.h).
 * Beside them: spreads that changed, within runs and between them; outcomes that failed or came back, cases that are
 * no longer measured, failure rates that changed.
 *
 * A finding is new if it concerns the newest run of its suite on its machine (a point: if it was not found without that
 * run), else it is history.
 */
#ifndef SUNUP_TRACK_JUDGE_H
#define SUNUP_TRACK_JUDGE_H

#include "track/points.h"
#include "track/series.h"

enum track_gate {
    TRACK_GATE_COUNT,
    TRACK_GATE_PAIRS,
    TRACK_GATE_POINT,
    TRACK_GATE_SPREAD,
    TRACK_GATE_OUTCOME,
    TRACK_GATE_RATE, /* of failures */
    TRACK_GATES
};

struct track_judge_options {
    double max_p;      /* of pairs; 0.01 */
    double least;      /* relative effect below which nothing is said; 0.02 */
    double false_rate; /* of findings among pairs (Benjamini-Hochberg); 0.01 */
    struct track_point_options points;
};

struct track_finding {
    enum track_gate gate;
    bool worse, is_new;
    const struct track_series *series; /* its row tells suite, case, engine, quantity */
    int run, before;                   /* runs of the history; before -1: none */
    double from, to;                   /* values; of pairs 1 and the ratio */
    double change;                     /* to / from - 1 */
    struct {
        double low, high;
    } interval;                  /* of change; NaN: none */
    double p;                    /* NaN: a fact */
    const struct track_row *row; /* at `run`: message, what moved ... */
    const char *text;            /* one sentence: "models lenet: time grew by 5.1 % ..." */
};

struct track_verdict {
    struct arena arena;
    struct track_table table, outcomes;
    int n, n_new, n_new_worse;
    struct track_finding *findings; /* new before old, worse before better, then larger changes first */
};

struct track_judge_options sunup__track_judge_defaults(void);
sunup_status sunup__track_judge(sunup_context *ctx, struct track_history *h,
                                const struct track_judge_options *o, struct track_verdict *v);
void sunup__track_verdict_end(struct track_verdict *v);
const char *sunup__track_gate_name(enum track_gate g);

#endif
