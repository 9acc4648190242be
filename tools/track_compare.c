/* track_compare.c - `sunup track compare`: baseline and candidate in turns, and what moved inside.
 *
 * First look: pairs of all cases in turns, so that a bad minute of the machine touches a few pairs of each and
 * not all of one. Half-way, cases of which nothing can be made any more are given up (src/track/pairs.h: that
 * costs power, not truth).
 * Second look: what the first one found, with as many fresh pairs, in which the steps of the plan are timed as
 * well. The steps that moved are those whose seconds differ by the same test, at a rate of false ones of 5 %
 * among those named.
 *
 * Of what is found, rows "step NAME" keep the seconds of each step on both sides in each pair: the trace. Apps
 * are no cases here: a pair would train one twice; a train case of its run file says the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "track/pairs.h"
#include "track/stats.h"
#include "track_pair.h"

enum { PATH_ROOM = 4096, MOST_MOVED = 8 };
static const double step_false_rate = 0.05, step_least = 0.05; /* of the whole change */

struct entry {
    struct contest contest;
    struct track_row row;
    double first[MOST_PAIRS], again[MOST_PAIRS];
    bool out; /* of the looks: given up or failed */
};
struct comparison {
    struct command *c;
    struct track_history *h;
    struct track_run *run;
    struct pairs_rule rule;
    int n, pairs, failed;
    struct entry *entries;
    const struct track_row **rows;
    struct pairs_result *results;
};

/* ---- cases ---- */

static void enter(struct comparison *q, const struct track_case *one, const char *const *programs)
{
    struct entry *e = &q->entries[q->n];
    e->contest = (struct contest){.one = one, .program = {programs[BASELINE], programs[CANDIDATE]}};
    e->row = sunup__track_row(TRACK_PAIRS, one->suite, one->name, "sunup", "time");
    e->row.better = TRACK_LESS;
    e->row.ranks = one->ranks;
    e->row.values = e->first;
    e->row.confirm = e->again;
    q->rows[q->n++] = &e->row;
}

static sunup_status enter_all(struct comparison *q, const struct track_cases *cases,
                              const char *const *programs)
{
    const size_t n = (size_t)cases->n;
    q->entries = sunup__alloc(n * sizeof *q->entries);
    q->rows = sunup__alloc(n * sizeof *q->rows);
    q->results = sunup__alloc(n * sizeof *q->results);
    CHECK(q->entries != NULL && q->rows != NULL && q->results != NULL, q->c->ctx, E_MEMORY,
          "no memory to compare %d cases", cases->n);
    for (int i = 0; i < cases->n; i++)
        if (cases->cases[i].kind < CASE_APP) enter(q, &cases->cases[i], programs);
    CHECK(q->n > 0, q->c->ctx, E_ARGUMENT,
          "nothing to compare: kernels, collectives and trainings can be, apps cannot");
    CHECK(q->c->pairs <= MOST_PAIRS, q->c->ctx, E_ARGUMENT, "--pairs is %lld; %d are the most",
          (long long)q->c->pairs, MOST_PAIRS);
    q->pairs = q->c->pairs > 0 ? (int)q->c->pairs : sunup__pairs_needed(&q->rule, q->n);
    return SUNUP_OK;
}

/* ---- looks ---- */

/* A case that fails is out, and said to be; the others go on. */
static void take(struct comparison *q, struct entry *e, bool again)
{
    struct track_row *r = &e->row;
    double x;
    if (contest_pair(q->c, &e->contest, again, &x) != SUNUP_OK) {
        (void)complain(EXIT_ERROR, "not compared: %s", sunup_error(q->c->ctx));
        e->out = true;
        q->failed++;
        r->n = r->n_confirm = 0;
    } else if (again) {
        e->again[r->n_confirm++] = x;
    } else {
        e->first[r->n++] = x;
        e->out = r->n == q->pairs / 2 && sunup__pairs_hopeless(e->first, r->n);
    }
}

static sunup_status judge(struct comparison *q)
{
    CHECK(sunup__pairs_judge(&q->rule, q->rows, q->n, q->results), q->c->ctx, E_MEMORY,
          "no memory to judge pairs");
    return SUNUP_OK;
}

static sunup_status look(struct comparison *q)
{
    for (int k = 0; k < q->pairs; k++)
        for (int i = 0; i < q->n; i++)
            if (!q->entries[i].out) take(q, &q->entries[i], false);
    TRY(judge(q));
    for (int k = 0; k < q->pairs; k++)
        for (int i = 0; i < q->n; i++)
            if (q->results[i].suspect && !q->entries[i].out) take(q, &q->entries[i], true);
    return judge(q);
}

/* ---- what moved ---- */

static double difference(const struct contest_step *s, int n, double *x)
{
    for (int i = 0; i < n; i++) x[i] = s->s[CANDIDATE][i] - s->s[BASELINE][i];
    return sunup__hodges_lehmann(x, n, 0.95).centre;
}

static int most_first(const void *a, const void *b)
{
    const double x = fabs(((const struct track_moved *)a)->seconds),
                 y = fabs(((const struct track_moved *)b)->seconds);
    return (x < y) - (x > y);
}

/* The steps that stand, of n: those found, and no small change. */
static int choose(struct track_moved *m, int n, const double *p, bool *below)
{
    double most = 0;
    int kept = 0;
    (void)sunup__benjamini_hochberg(p, n, step_false_rate, below);
    for (int i = 0; i < n; i++)
        if (below[i]) most = fmax(most, fabs(m[i].seconds));
    for (int i = 0; i < n; i++)
        if (below[i] && fabs(m[i].seconds) > step_least * most) m[kept++] = m[i];
    qsort(m, (size_t)kept, sizeof *m, most_first);
    return kept < MOST_MOVED ? kept : MOST_MOVED;
}

static sunup_status find_moved(struct comparison *q, struct entry *e)
{
    const struct contest *t = &e->contest;
    const size_t n = (size_t)t->n_steps;
    struct track_moved *m = sunup__arena_alloc(&q->h->arena, (n + 1) * sizeof *m);
    double *p = sunup__arena_alloc(&q->h->arena, (n + 1) * sizeof *p), x[MOST_PAIRS];
    bool *below = sunup__arena_alloc(&q->h->arena, n + 1);
    CHECK(m != NULL && p != NULL && below != NULL, q->c->ctx, E_MEMORY, "no memory for what moved");
    for (int i = 0; i < t->n_steps; i++) {
        m[i].what = sunup__track_intern(q->h, t->steps[i].name);
        CHECK(m[i].what != NULL, q->c->ctx, E_MEMORY, "no memory for what moved");
        m[i].seconds = difference(&t->steps[i], t->timed_pairs, x);
        m[i].p = p[i] = sunup__pairs_p(x, t->timed_pairs);
    }
    e->row.moved = m;
    e->row.n_moved = choose(m, t->n_steps, p, below);
    return SUNUP_OK;
}

/* ---- rows ---- */

static sunup_status copy_values(struct comparison *q, const double *x, int n, double **copy)
{
    *copy = sunup__arena_alloc(&q->h->arena, ((size_t)n + 1) * sizeof *x);
    CHECK(*copy != NULL, q->c->ctx, E_MEMORY, "no memory for %d values", n);
    memcpy(*copy, x, (size_t)n * sizeof *x);
    return SUNUP_OK;
}

static sunup_status add(struct comparison *q, const struct track_row *r)
{
    struct track_row *row = sunup__track_add_row(q->h, q->run, r->kind);
    CHECK(row != NULL, q->c->ctx, E_MEMORY, "no memory for a row");
    *row = *r;
    row->suite = sunup__track_intern(q->h, r->suite);
    row->name = sunup__track_intern(q->h, r->name);
    row->quantity = sunup__track_intern(q->h, r->quantity);
    row->baseline = sunup__track_intern(q->h, r->baseline);
    CHECK(row->suite != NULL && row->name != NULL && row->quantity != NULL && row->baseline != NULL,
          q->c->ctx, E_MEMORY, "no memory for a row");
    TRY(copy_values(q, r->values, r->n, &row->values));
    return r->n_confirm > 0 ? copy_values(q, r->confirm, r->n_confirm, &row->confirm) : SUNUP_OK;
}

static sunup_status add_step(struct comparison *q, const struct entry *e, struct contest_step *s,
                             int side)
{
    static const char *const engines[SIDES] = {"baseline", "candidate"};
    struct text name = {0};
    sunup__text(&name, "step %s", s->name);
    struct track_row r = sunup__track_row(TRACK_SAMPLES, e->row.suite, e->row.name, engines[side],
                                          name.s != NULL ? name.s : "step");
    r.unit = "s";
    r.better = TRACK_NEITHER;
    r.ranks = e->row.ranks;
    r.n = e->contest.timed_pairs;
    r.values = s->s[side];
    const sunup_status status = add(q, &r);
    sunup__free(name.s);
    return status;
}

static sunup_status add_entry(struct comparison *q, int i)
{
    struct entry *e = &q->entries[i];
    struct contest *t = &e->contest;
    if (e->row.n == 0) return SUNUP_OK;
    if (q->results[i].found) TRY(find_moved(q, e));
    e->row.baseline = t->version;
    TRY(add(q, &e->row));
    for (int s = 0; q->results[i].found && s < t->n_steps; s++)
        for (int side = 0; side < SIDES; side++) TRY(add_step(q, e, &t->steps[s], side));
    return SUNUP_OK;
}

static const char *verdict(const struct pairs_result *r)
{
    if (r->found) return r->ratio > 1 ? "SLOWER" : "faster";
    return r->suspect ? "not seen again" : "no change seen";
}

static void show(const struct comparison *q, int i)
{
    const struct entry *e = &q->entries[i];
    const struct pairs_result *r = &q->results[i];
    char interval[48] = "";
    if (e->row.n == 0) return;
    if (!isnan(r->low)) /* a few pairs hold none */
        (void)snprintf(interval, sizeof interval, "(%.3f .. %.3f)", r->low, r->high);
    (void)printf("  %-24s %7.3fx %-18s p %-8.2g %2d pairs %5.1f s  %s\n", e->row.name, r->ratio,
                 interval, r->p, e->row.n + e->row.n_confirm, e->contest.seconds, verdict(r));
    for (int m = 0; m < e->row.n_moved; m++)
        (void)printf("      %+10.3g s  %s\n", e->row.moved[m].seconds, e->row.moved[m].what);
}

static sunup_status compare(struct comparison *q)
{
    TRY(look(q));
    for (int i = 0; i < q->n; i++) TRY(add_entry(q, i));
    for (int i = 0; i < q->n && !q->c->json && !q->c->quiet; i++) show(q, i);
    CHECK(q->failed == 0, q->c->ctx, E_PEER, "%d of %d cases could not be compared, see above",
          q->failed, q->n);
    return SUNUP_OK;
}

sunup_status track_compare(struct command *c, const char *baseline, const char *candidate,
                           const struct track_cases *cases, struct track_history *h,
                           struct track_run *run)
{
    char self[PATH_ROOM];
    struct comparison q = {.c = c, .h = h, .run = run, .rule = sunup__pairs_rule()};
    TRY(peer_self(c->ctx, self, sizeof self));
    const char *const programs[SIDES] = {baseline, candidate != NULL ? candidate : self};
    sunup_status status = enter_all(&q, cases, programs);
    if (status == SUNUP_OK) status = compare(&q);
    for (int i = 0; i < q.n; i++) contest_end(&q.entries[i].contest);
    sunup__free(q.entries);
    sunup__free(q.rows);
    sunup__free(q.results);
    return status;
}
