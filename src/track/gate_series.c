/* gate_series.c - gate 3: changes of the level of a long series, and of its spread.
 *
 * Student's t, which finds the points, takes weeks for independent and normal. Real ones are neither: single weeks are
 * slow, and noise has a memory. So points are looked for in a series without its lone spikes, and a point is a finding
 * only if the medians of both sides, of LEAST_SIDE weeks at least, lie eight standard errors apart, for noise of the
 * series' own size and memory. docs/tracking.md has what that does to false alarms, and what it costs.
 *
 * The spread within runs is a series of its own, of MAD / median; that from run to run is set against that
 * of earlier runs by permutation. Both need a large change: spreads are rough estimates.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "track/gates.h"
#include "track/stats.h"

enum { RECENT = 20, EARLIER = 60 }; /* runs whose spread is set against those before */
enum { LEAST_SIDE = 4, NEAR = 2, REMEMBERED = 26 };
static const double spread_least = 1, spread_p = 5e-4, spread_ratio = 4;
static const double spike_sds = 4, apart_sds = 8, normal_sd = 1.4826; /* sd of a normal's MAD */

static double level(const struct track_point *p)
{
    return p->normal;
}

static double spread(const struct track_point *p)
{
    return p->value != 0 ? p->spread / fabs(p->value) : NAN;
}

/* ------------------------------------------------------------- what a point must be --- */

/* y: x with each value that is far from the median of its two neighbours on either side put there. d: room for n. */
static void without_spikes(const double *x, int n, double *y, double *d)
{
    for (int i = 0; i < n; i++) {
        int from = i - NEAR;
        if (from > n - 1 - 2 * NEAR) from = n - 1 - 2 * NEAR;
        if (from < 0) from = 0;
        y[i] = sunup__median(x + from, n - from < 2 * NEAR + 1 ? n - from : 2 * NEAR + 1);
        d[i] = x[i] - y[i];
    }
    const double far = spike_sds * normal_sd * sunup__mad(d, n);
    for (int i = 0; i < n; i++)
        if (!(fabs(d[i]) > far)) y[i] = x[i];
}

/* How much the noise d of a week stays for the next one; large values cut to two sds. */
static double memory_of(const double *d, int n, double sd)
{
    double next = 0, all = 0, before = 0;
    for (int i = 0; i < n; i++) {
        const double x = fmax(-2 * sd, fmin(2 * sd, d[i]));
        if (i > 0) next += x * before;
        all += x * x;
        before = x;
    }
    const double r = all > 0 ? next / all + 1.0 / n : 0; /* the estimate is too low by that */
    return r < 0 ? 0 : r > 0.8 ? 0.8 : r;
}

/* x[from..at) and x[at..to) differ by more than noise and `least` explain. d: room for to - from. */
static bool stands_out(const double *x, int from, int at, int to, double least, double *d)
{
    if (at - from < LEAST_SIDE || to - at < LEAST_SIDE) return false;
    const double before = sunup__median(x + from, at - from), after = sunup__median(x + at, to - at);
    for (int i = from; i < to; i++) d[i - from] = x[i] - (i < at ? before : after);
    const double sd = normal_sd * sunup__mad(d, to - from), r = memory_of(d, to - from, sd);
    const double error = sd * sqrt(acos(-1) / 2 * (1 + r) / (1 - r) * (1.0 / (at - from) + 1.0 / (to - at)));
    return fabs(after - before) > apart_sds * error && fabs(after - before) > least * fabs(before);
}

static int keep_sound(const double *x, int n, double least, struct track_change *c, int n_changes,
                      double *d)
{
    int kept = 0;
    for (int i = 0; i < n_changes; i++) {
        const int from = i > 0 ? c[i - 1].at : 0, to = i + 1 < n_changes ? c[i + 1].at : n;
        c[i].p = stands_out(x, from, c[i].at, to, least, d) ? c[i].p : NAN;
    }
    for (int i = 0; i < n_changes; i++)
        if (!isnan(c[i].p)) c[kept++] = c[i];
    return kept;
}

/* A kind of values of a series, and how much of them must change. */
struct look {
    enum track_gate gate;
    double (*value)(const struct track_point *p);
    double least;
};

/* Points of the first n values of the series. *changes is to be released. */
static sunup_status find(struct judge *j, const struct track_series *s, int n, const struct look *l,
                         struct track_change **changes, int *n_changes)
{
    double *x = sunup__alloc((size_t)(3 * n + 1) * sizeof *x), *y = x + n, *d = y + n;
    CHECK(x != NULL, j->ctx, E_MEMORY, "no memory for a series of %d", n);
    struct track_point_options o = j->o->points;
    o.least = l->least;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        x[i] = l->value(&s->points[i]);
        finite &= isfinite(x[i]) != 0;
    }
    *changes = NULL;
    *n_changes = 0;
    if (finite) without_spikes(x, n, y, d);
    const sunup_status status =
        finite ? sunup__track_changes(j->ctx, y, n, &o, changes, n_changes) : SUNUP_OK;
    if (status == SUNUP_OK) *n_changes = keep_sound(y, n, l->least, *changes, *n_changes, d);
    sunup__free(x);
    return status;
}

/* Was a point near this one found in one of the last weeks already? A point that comes and goes is new once. */
static sunup_status was_known(struct judge *j, const struct track_series *s, const struct look *l, int at,
                              bool *known)
{
    *known = false;
    for (int n = s->n - 1; n >= at + LEAST_SIDE && n >= s->n - REMEMBERED && !*known; n--) {
        struct track_change *old;
        int n_old;
        TRY(find(j, s, n, l, &old, &n_old));
        for (int i = 0; i < n_old; i++) *known |= abs(old[i].at - at) <= LEAST_SIDE;
        sunup__free(old);
    }
    return SUNUP_OK;
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

static sunup_status report_all(struct judge *j, const struct track_series *s, const struct look *l)
{
    struct track_change *all;
    int n;
    TRY(find(j, s, s->n, l, &all, &n));
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < n && status == SUNUP_OK; i++) {
        bool known = true;
        if (all[i].at > s->n - REMEMBERED) status = was_known(j, s, l, all[i].at, &known);
        if (status == SUNUP_OK) status = report(j, l->gate, s, &all[i], !known);
    }
    sunup__free(all);
    return status;
}

sunup_status sunup__gate_points(struct judge *j, const struct track_series *s)
{
    const double least = j->o->points.least > j->o->least ? j->o->points.least : j->o->least;
    const struct look levels = {TRACK_GATE_POINT, level, least};
    return report_all(j, s, &levels);
}

/* From week to week, so that a change of level is one large step and no spread. */
static double step_to(const struct track_series *s, int i)
{
    return log(level(&s->points[i]) / level(&s->points[i - 1]));
}

struct spreads {
    double before, after, ratio, p;
};

/* Of the RECENT steps up to the n-th point against the EARLIER ones before them. False: nothing worth a word. */
static bool compare_spreads(const struct track_series *s, int n, struct spreads *r)
{
    double x[RECENT], y[EARLIER];
    const int before = n - 1 - RECENT < EARLIER ? n - 1 - RECENT : EARLIER;
    if (before < RECENT) return false;
    for (int i = 0; i < RECENT; i++) x[i] = step_to(s, n - RECENT + i);
    for (int i = 0; i < before; i++) y[i] = step_to(s, n - RECENT - before + i);
    r->after = sunup__mad(x, RECENT);
    r->before = sunup__mad(y, before);
    const double rough = r->after / r->before; /* cheap, and seldom enough */
    if (!(rough > spread_ratio || rough < 1 / spread_ratio)) return false;
    r->p = sunup__spread_p(y, before, x, RECENT, &r->ratio);
    return r->p < spread_p;
}

static sunup_status between_runs(struct judge *j, const struct track_series *s)
{
    struct spreads now, old;
    if (!compare_spreads(s, s->n, &now)) return SUNUP_OK;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_SPREAD, s, s->n - 1);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    f->from = now.before;
    f->to = now.after;
    f->change = now.ratio - 1;
    f->before = s->points[s->n - RECENT - 1].run;
    f->p = now.p;
    f->worse = now.ratio > 1;
    f->is_new = f->is_new && !compare_spreads(s, s->n - 1, &old);
    return sunup__track_say(j, f, "spread of %s from run to run %s from %.1f to %.1f %% in the last %d runs",
                            s->key->quantity, f->worse ? "grew" : "fell", 100 * f->from, 100 * f->to, RECENT);
}

sunup_status sunup__gate_spread(struct judge *j, const struct track_series *s)
{
    const struct look within = {TRACK_GATE_SPREAD, spread, spread_least};
    TRY(report_all(j, s, &within));
    return between_runs(j, s);
}
