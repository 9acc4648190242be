/* gates.h - between judge.c, which collects findings, and gate_*.c, which make them. */
#ifndef SUNUP_TRACK_GATES_H
#define SUNUP_TRACK_GATES_H

#include "track/judge.h"

struct judge {
    sunup_context *ctx;
    const struct track_history *h;
    const struct track_judge_options *o;
    struct track_verdict *v;
    int room;
};

/* The newest run of the suite on the machine of this series. */
int sunup__track_newest(const struct judge *j, const struct track_series *s);
/* A finding about point `at` of the series, with the one before it; fill in the rest. NULL: no memory. */
struct track_finding *sunup__track_found(struct judge *j, enum track_gate gate,
                                         const struct track_series *s, int at);
/* "models lenet: ", with engine, ranks and machine where they tell; then the sentence. */
sunup_status sunup__track_say(struct judge *j, struct track_finding *f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A change in this direction is for the worse. */
bool sunup__track_worse(const struct track_row *r, double change);
bool sunup__track_same_commit(const struct track_history *h, int before, int after);

sunup_status sunup__gate_counts(struct judge *j, const struct track_series *s);
sunup_status sunup__gate_pairs(struct judge *j); /* all series: they share their rate of false findings */
sunup_status sunup__gate_points(struct judge *j, const struct track_series *s);
sunup_status sunup__gate_spread(struct judge *j, const struct track_series *s);
sunup_status sunup__gate_outcomes(struct judge *j, const struct track_series *s);

#endif
