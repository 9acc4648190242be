/* gate_series.c - gate 3: changes of the level of a long series, and of its spread.
 *
 * The spread within runs is a series of its own, of MAD / median; that between runs is set against earlier runs' by
 * permutation. Both need a large change: spreads are rough estimates.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "track/gates.h"
#include "track/stats.h"

enum { RECENT = 20, EARLIER = 60 }; /* runs whose spread is set against those before */
static const double spread_least = 1, spread_p = 5e-4, spread_ratio = 2.5;

static double level(const struct track_point *p)
{
    return p->normal;
}

static double spread(const struct track_point *p)
{
    return p->value != 0 ? p->spread / fabs(p->value) : NAN;
}

/* Points of the first n values of the series. *changes is to be released. */
static sunup_status find(struct judge *j, const struct track_series *s, int n,
                         double (*value)(const struct track_point *p), double least,
                         struct track_change **changes, int *n_changes)
{
    double *x = sunup__alloc((size_t)(n + 1) * sizeof *x);
    CHECK(x != NULL, j->ctx, E_MEMORY, "no memory for a series of %d", n);
    struct track_point_options o = j->o->points;
    o.least = least;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        x[i] = value(&s->points[i]);
        finite &= isfinite(x[i]) != 0;
    }
    *changes = NULL;
    *n_changes = 0;
    const sunup_status status =
        finite ? sunup__track_changes(j->ctx, x, n, &o, changes, n_changes) : SUNUP_OK;
    sunup__free(x);
    return status;
}

/* Found by all points, and by all but the last within two places of it. */
static bool is_old(const struct track_change *c, const struct track_change *old, int n_old)
{
    for (int i = 0; i < n_old; i++)
        if (abs(old[i].at - c->at) <= 2) return true;
    return false;
}

static sunup_status report(struct judge *j, enum track_gate gate, const struct track_series *s,
                           const struct track_change *c, bool is_new)
{
    struct track_finding *f = sunup__track_found(j, gate, s, c->at);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    const char *quantity = s->key->quantity, *id = j->h->runs[s->points[c->at].run].id;
    f->from = c->before;
    f->to = c->after;
    f->change = c->after / c->before - 1;
    f->p = c->p;
    f->is_new = is_new && s->points[s->n - 1].run == sunup__track_newest(j, s);
    if (gate == TRACK_GATE_SPREAD) {
        f->worse = f->change > 0;
        return sunup__track_say(j, f, "spread of %s within a run %s from %.1f to %.1f %% since run %s",
                                quantity, f->worse ? "grew" : "fell", 100 * f->from, 100 * f->to, id);
    }
    f->worse = sunup__track_worse(s->key, f->change);
    return sunup__track_say(j, f, "%s %s by %.1f %% since run %s", quantity,
                            f->change > 0 ? "grew" : "fell", 100 * fabs(f->change), id);
}

static sunup_status report_all(struct judge *j, enum track_gate gate, const struct track_series *s,
                               double (*value)(const struct track_point *p), double least)
{
    struct track_change *all, *old = NULL;
    int n_all, n_old = 0;
    TRY(find(j, s, s->n, value, least, &all, &n_all));
    sunup_status status =
        n_all > 0 ? find(j, s, s->n - 1, value, least, &old, &n_old) : SUNUP_OK;
    for (int i = 0; i < n_all && status == SUNUP_OK; i++)
        status = report(j, gate, s, &all[i], !is_old(&all[i], old, n_old));
    sunup__free(all);
    sunup__free(old);
    return status;
}

sunup_status sunup__gate_points(struct judge *j, const struct track_series *s)
{
    const double least = j->o->points.least > j->o->least ? j->o->points.least : j->o->least;
    return report_all(j, TRACK_GATE_POINT, s, level, least);
}

static sunup_status between_runs(struct judge *j, const struct track_series *s)
{
    double x[RECENT], y[EARLIER], ratio;
    const int before = s->n - RECENT < EARLIER ? s->n - RECENT : EARLIER;
    if (before < RECENT) return SUNUP_OK;
    for (int i = 0; i < RECENT; i++) x[i] = log(level(&s->points[s->n - RECENT + i]));
    for (int i = 0; i < before; i++) y[i] = log(level(&s->points[s->n - RECENT - before + i]));
    const double rough = sunup__mad(x, RECENT) / sunup__mad(y, before); /* cheap, and rarely enough */
    if (!(rough > spread_ratio || rough < 1 / spread_ratio)) return SUNUP_OK;
    const double p = sunup__spread_p(y, before, x, RECENT, &ratio);
    if (!(p < spread_p)) return SUNUP_OK;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_SPREAD, s, s->n - 1);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    f->from = sunup__mad(y, before);
    f->to = sunup__mad(x, RECENT);
    f->change = ratio - 1;
    f->before = s->points[s->n - RECENT - 1].run;
    f->p = p;
    f->worse = ratio > 1;
    return sunup__track_say(j, f, "spread of %s between runs %s from %.1f to %.1f %% in the last %d runs",
                            s->key->quantity, ratio > 1 ? "grew" : "fell", 100 * f->from, 100 * f->to,
                            RECENT);
}

sunup_status sunup__gate_spread(struct judge *j, const struct track_series *s)
{
    TRY(report_all(j, TRACK_GATE_SPREAD, s, spread, spread_least));
    return between_runs(j, s);
}
