/* gate_pairs.c - gate 2 over a history: the pairs of one run are judged together, each run for itself. */
#include <math.h>

#include "track/gates.h"
#include "track/pairs.h"

struct place {
    const struct track_series *s;
    int at;
};

static int of_run(const struct judge *j, int run, struct place *places, const struct track_row **rows)
{
    int n = 0;
    for (int i = 0; i < j->v->table.n; i++) {
        const struct track_series *s = &j->v->table.series[i];
        if (s->key->kind != TRACK_PAIRS) continue;
        for (int k = 0; k < s->n; k++) {
            if (s->points[k].run != run) continue;
            places[n] = (struct place){s, k};
            rows[n++] = s->points[k].row;
        }
    }
    return n;
}

static sunup_status report(struct judge *j, const struct place *at, const struct pairs_result *r)
{
    const struct track_row *row = at->s->points[at->at].row;
    struct track_finding *f = sunup__track_found(j, TRACK_GATE_PAIRS, at->s, at->at);
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    f->from = 1;
    f->to = r->ratio;
    f->change = r->ratio - 1;
    f->interval.low = r->low - 1;
    f->interval.high = r->high - 1;
    f->p = r->p;
    f->worse = sunup__track_worse(row, f->change);
    struct text moved = {0};
    sunup__text(&moved, "%s", "");
    if (row->n_moved > 0)
        sunup__text(&moved, "; most by %s, %+.3f ms", row->moved[0].what, 1e3 * row->moved[0].seconds);
    const sunup_status status = sunup__track_say(
        j, f, "%s %s by %.1f %% (%.1f .. %.1f) against %s%s", row->quantity,
        f->change > 0 ? "grew" : "fell", 100 * fabs(f->change), 100 * f->interval.low,
        100 * f->interval.high, row->baseline[0] != '\0' ? row->baseline : "the baseline",
        moved.s != NULL ? moved.s : "");
    sunup__free(moved.s);
    return status;
}

static sunup_status judge_run(struct judge *j, int run, struct place *places,
                              const struct track_row **rows)
{
    const struct pairs_rule rule = {j->o->max_p, j->o->least, j->o->false_rate};
    const int n = of_run(j, run, places, rows);
    if (n == 0) return SUNUP_OK;
    struct pairs_result *results = sunup__alloc((size_t)n * sizeof *results);
    CHECK(results != NULL && sunup__pairs_judge(&rule, rows, n, results), j->ctx, E_MEMORY,
          "no memory for %d pairs", n);
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < n && status == SUNUP_OK; i++)
        if (results[i].found) status = report(j, &places[i], &results[i]);
    sunup__free(results);
    return status;
}

/* The most pairs that a run has, and whether there are any. */
static int count_pairs(const struct track_history *h, int run)
{
    int n = 0;
    for (int i = 0; i < h->runs[run].n_rows; i++) n += h->runs[run].rows[i].kind == TRACK_PAIRS;
    return n;
}

sunup_status sunup__gate_pairs(struct judge *j)
{
    for (int run = 0; run < j->h->n_runs; run++) {
        const size_t n = (size_t)count_pairs(j->h, run);
        if (n == 0) continue;
        struct place *places = sunup__alloc(n * sizeof *places);
        const struct track_row **rows = sunup__alloc(n * sizeof *rows);
        const sunup_status status = places != NULL && rows != NULL
                                        ? judge_run(j, run, places, rows)
                                        : sunup__raise(j->ctx, SUNUP_E_MEMORY, "no memory for %zu pairs", n);
        sunup__free(places);
        sunup__free(rows);
        TRY(status);
    }
    return SUNUP_OK;
}
