/* gate_facts.c - gate 1: counts and words, where every change is a fact; and outcomes, which are facts too.
 *
 * Counts of instructions are not exact: interrupts and spinning threads add to those that the processor counts,
 * addresses to those of callgrind.
 */
#include <math.h>
#include <string.h>

#include "track/gates.h"
#include "track/stats.h"

enum { RECENT = 10 }; /* runs whose failures are set against all before */

/* Of the count, in which no change is seen. */
static double noise_of(const char *quantity)
{
    if (strcmp(quantity, "instructions") == 0) return 0.005;
    return strcmp(quantity, "instructions by callgrind") == 0 ? 1e-4 : 0;
}

static bool moved(const struct track_row *from, const struct track_row *to)
{
    if (to->kind == TRACK_WORD) return strcmp(from->word, to->word) != 0;
    return fabs(to->count - from->count) > noise_of(to->quantity) * fabs(from->count);
}

static sunup_status report(struct judge *j, const struct track_series *s, int at)
{
    const struct track_row *from = s->points[at - 1].row, *to = s->points[at].row;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_COUNT, s, at);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    const bool same = sunup__track_same_commit(j->h, f->before, f->run);
    const char *though = same ? ", of the same commit" : "";
    if (to->kind == TRACK_WORD) {
        f->worse = same;
        return sunup__track_say(j, f, "%s was %s and is %s%s", to->quantity, from->word, to->word, though);
    }
    f->from = from->count;
    f->to = to->count;
    f->change = to->count / from->count - 1;
    f->worse = sunup__track_worse(to, to->count - from->count) || (same && to->better == TRACK_NEITHER);
    return sunup__track_say(j, f, "%s %s from %.15g to %.15g%s%s%s", to->quantity,
                            to->count > from->count ? "grew" : "fell", from->count, to->count,
                            to->unit[0] != '\0' ? " " : "", to->unit, though);
}

sunup_status sunup__gate_counts(struct judge *j, const struct track_series *s)
{
    for (int i = 1; i < s->n; i++)
        if (moved(s->points[i - 1].row, s->points[i].row)) TRY(report(j, s, i));
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------ outcomes --- */

static sunup_status failed(struct judge *j, const struct track_series *s, int at)
{
    const struct track_row *r = s->points[at].row;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_OUTCOME, s, at);
    struct text t = {0};
    sunup__text(&t, "%s", sunup__track_outcome_name(r->outcome));
    if (r->signal != 0) sunup__text(&t, ", signal %d", r->signal);
    if (r->rank >= 0) sunup__text(&t, ", rank %d", r->rank);
    if (r->step >= 0) sunup__text(&t, ", step %lld", (long long)r->step);
    if (r->layer[0] != '\0') sunup__text(&t, ", layer %s", r->layer);
    if (r->collective[0] != '\0') sunup__text(&t, ", in %s", r->collective);
    if (r->message[0] != '\0') sunup__text(&t, ": %s", r->message);
    if (f != NULL) f->worse = true;
    const sunup_status status = sunup__track_say(j, f, "%s", t.s != NULL ? t.s : "failed");
    sunup__free(t.s);
    return status;
}

/* A case that was measured in the run before the newest one, and not in it, though that had no choice of cases. */
static sunup_status vanished(struct judge *j, const struct track_series *s)
{
    const int newest = sunup__track_newest(j, s), last = s->points[s->n - 1].run;
    if (newest == last || sunup__track_fact(&j->h->runs[newest], "selection")[0] != '\0') return SUNUP_OK;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_OUTCOME, s, s->n - 1);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    f->before = last;
    f->run = newest;
    f->worse = f->is_new = true;
    return sunup__track_say(j, f, "no longer measured since run %s", j->h->runs[last].id);
}

static sunup_status rate_changed(struct judge *j, const struct track_series *s)
{
    int64_t late = 0, early = 0;
    const int before = s->n - RECENT;
    if (before < RECENT) return SUNUP_OK;
    for (int i = 0; i < s->n; i++) {
        const bool bad = s->points[i].row->outcome != TRACK_OK; /* a flaky case is no sound one */
        *(i < before ? &early : &late) += bad;
    }
    const double p = sunup__fisher_p(late, RECENT, early, before);
    if (!(p < j->o->max_p)) return SUNUP_OK;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_RATE, s, s->n - 1);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    f->before = s->points[before].run;
    f->from = (double)early / before;
    f->to = (double)late / RECENT;
    f->change = f->to / f->from - 1;
    f->p = p;
    f->worse = f->to > f->from;
    return sunup__track_say(j, f, "fails or is flaky in %lld of the last %d runs, %lld of %d before",
                            (long long)late, RECENT, (long long)early, before);
}

sunup_status sunup__gate_outcomes(struct judge *j, const struct track_series *s)
{
    for (int i = 0; i < s->n; i++) {
        const enum track_outcome now = s->points[i].row->outcome,
                                 old = i > 0 ? s->points[i - 1].row->outcome : TRACK_OK;
        if (now != TRACK_OK) TRY(failed(j, s, i));
        if (now != TRACK_OK || old == TRACK_OK) continue;
        struct track_finding *f = sunup__track_found(j, TRACK_GATE_OUTCOME, s, i);
        TRY(sunup__track_say(j, f, "ok again, after %s", sunup__track_outcome_name(old)));
    }
    TRY(vanished(j, s));
    return rate_changed(j, s);
}
