/* series.h - the history turned round: for each quantity its values over time.
 *
 * A series is one quantity of one case by one engine on one kind of machine: what differs in suite, case, engine,
 * quantity, source, ranks or in a fact that says where it ran (machine, threads, isa, numerics) is another series. What
 * may change within one, and is looked at when it moved, are the other facts: commit, compiler, MPI, driver, knobs.
 */
#ifndef SUNUP_TRACK_SERIES_H
#define SUNUP_TRACK_SERIES_H

#include "track/record.h"

struct track_point {
    int run;                     /* of the history */
    const struct track_row *row;
    double value;                /* median of the samples, or the count */
    double spread;               /* median absolute deviation of the samples */
    double normal;               /* value, had the canary run at the series' usual pace; value without one */
};
struct track_series {
    const struct track_row *key; /* of the newest point */
    const char *machine;
    int n;
    struct track_point *points;  /* in order of time */
};
struct track_table {
    struct arena arena;
    int n;
    struct track_series *series; /* in order of suite, case, quantity, engine, source, ranks, machine */
};

/* All kinds but outcomes. The names of machines are kept in the history. */
sunup_status sunup__track_tabulate(sunup_context *ctx, struct track_history *h,
                                   struct track_table *t);
/* Where each case's outcomes stand: as above, of rows of kind TRACK_OUTCOME. value: 1 failed, 0 not. */
sunup_status sunup__track_outcomes(sunup_context *ctx, struct track_history *h,
                                   struct track_table *t);
void sunup__track_table_end(struct track_table *t);

/* The facts that differ between two runs, "commit 3f2a -> 77b1, compiler gcc 12.2 -> 13.1"; "" if none. room bytes. */
void sunup__track_changed(const struct track_run *before, const struct track_run *after, char *text,
                          size_t room);

#endif
