/* track_selftest.c - `sunup track selftest [SUITE|CASE...]`: how often this machine cries wolf, and what it
 * can see.
 *
 * Pairs of the program against itself, and against itself with everything 1, 2, 5 and 10 % slower
 * (SUNUP_FAULT), are measured once into pools; --history FOLDER keeps them, so that pools grow from call to
 * call. From a pool many runs of the tracker are drawn: as many pairs as one case among 100 gets, then as many
 * others for the second look, each without replacement, by numbers that depend on nothing but their place.
 * They pass the very decision of src/track/pairs.c.
 *
 * What drawing cannot show: it mixes the order of the pairs. So what the exactness of the test rests upon is
 * shown beside: of pairs with themselves one half is positive, and one half of the neighbours in time have the
 * same sign.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "peer.h"
#include "track/pairs.h"
#include "track/stats.h"
#include "track_pair.h"

enum {
    LEVELS = 5,
    RUNS = 500,
    CASES_OF_A_RUN = 100,
    WEEKS = 52,
    DEFAULT_PAIRS = 60,
    PATH_ROOM = 4096
};
static const int percents[LEVELS] = {0, 1, 2, 5, 10};

/* All pairs of a case at a level. */
struct pool {
    double *x;
    int n;
};
/* What the draws from a pool gave. */
struct drawn {
    int runs, suspects, found;
    double pairs; /* of a run, on average */
};
struct subject {
    const struct track_case *one;
    struct pool pools[LEVELS];
    struct drawn drawn[LEVELS];
    double pair_s, spread;
    int positive, alike;
};
struct selftest {
    struct command *c;
    struct track_cases cases;
    struct track_history h;
    struct pairs_rule rule; /* of one case among CASES_OF_A_RUN */
    int pairs;              /* of a look */
    struct subject *subjects;
};

/* ---- pools ---- */

static void quantity(char *room, size_t n, int level)
{
    if (percents[level] == 0)
        (void)snprintf(room, n, "self");
    else
        (void)snprintf(room, n, "slow %d %%", percents[level]);
}

static bool has_steps(const struct track_case *one)
{
    return one->kind == CASE_KERNEL || one->kind == CASE_TRAIN;
}

static bool is_subject(const struct track_case *one, int level)
{
    return one->kind != CASE_APP &&
           (level == 0 || has_steps(one)); /* a collective has no steps to slow down */
}

static sunup_status add_pair(struct selftest *t, struct track_run *run,
                             const struct track_case *one, int level, const double *x)
{
    char name[32];
    quantity(name, sizeof name, level);
    struct track_row *row = sunup__track_add_row(&t->h, run, TRACK_PAIRS);
    double *copy = sunup__arena_alloc(&t->h.arena, 2 * sizeof *copy);
    CHECK(row != NULL && copy != NULL, t->c->ctx, E_MEMORY, "no memory for a pair");
    copy[0] = x[0];
    copy[1] = x[1];
    row->suite = sunup__track_intern(&t->h, one->suite);
    row->name = sunup__track_intern(&t->h, one->name);
    row->quantity = sunup__track_intern(&t->h, name);
    row->values = copy;
    row->n = 2; /* the logarithm, and the seconds that the pair took */
    return SUNUP_OK;
}

/* One pair of each case at each level, again and again: what happens to the machine happens to all. */
static sunup_status measure(struct selftest *t, const char *const *programs, struct track_run *run)
{
    const int n = t->cases.n, pairs = t->c->pairs > 0 ? (int)t->c->pairs : DEFAULT_PAIRS;
    struct contest *contests = sunup__alloc((size_t)n * LEVELS * sizeof *contests);
    CHECK(contests != NULL, t->c->ctx, E_MEMORY, "no memory for %d cases", n);
    sunup_status status = SUNUP_OK;
    for (int k = 0; k < pairs && status == SUNUP_OK; k++)
        for (int i = 0; i < n * LEVELS && status == SUNUP_OK; i++) {
            struct contest *one = &contests[i];
            char fault[64];
            double x[2];
            const int level = i % LEVELS;
            if (!is_subject(&t->cases.cases[i / LEVELS], level)) continue;
            (void)snprintf(fault, sizeof fault, "SUNUP_FAULT=slow:*:%d", percents[level]);
            one->one = &t->cases.cases[i / LEVELS];
            one->fault = level > 0 ? fault : NULL;
            for (int side = 0; side < SIDES; side++) one->program[side] = programs[side];
            const double before_s = one->seconds;
            status = contest_pair(t->c, one, false, &x[0]);
            x[1] = one->seconds - before_s;
            if (status == SUNUP_OK) status = add_pair(t, run, one->one, level, x);
        }
    for (int i = 0; i < n * LEVELS; i++) contest_end(&contests[i]);
    sunup__free(contests);
    return status;
}

/* All pairs of all runs, in order of time. x NULL: only counted. */
static int gather(const struct selftest *t, const struct track_case *one, int level, double *x,
                  double *seconds)
{
    char name[32];
    int n = 0;
    quantity(name, sizeof name, level);
    for (int r = 0; r < t->h.n_runs; r++)
        for (int i = 0; i < t->h.runs[r].n_rows; i++) {
            const struct track_row *row = &t->h.runs[r].rows[i];
            if (row->kind != TRACK_PAIRS || row->n != 2 || strcmp(row->name, one->name) != 0 ||
                strcmp(row->suite, one->suite) != 0 || strcmp(row->quantity, name) != 0)
                continue;
            if (x != NULL) x[n] = row->values[0];
            if (seconds != NULL) *seconds += row->values[1];
            n++;
        }
    return n;
}

static sunup_status fill_pools(struct selftest *t, struct subject *s)
{
    double seconds = 0;
    int n = 0;
    for (int level = 0; level < LEVELS; level++) {
        struct pool *p = &s->pools[level];
        p->n = gather(t, s->one, level, NULL, NULL);
        p->x = sunup__arena_alloc(&t->h.arena, ((size_t)p->n + 1) * sizeof *p->x);
        CHECK(p->x != NULL, t->c->ctx, E_MEMORY, "no memory for %d pairs", p->n);
        n += gather(t, s->one, level, p->x, &seconds);
    }
    s->pair_s = seconds / n;
    return SUNUP_OK;
}

/* ---- runs ---- */

static void draw(const struct pool *p, int run, int from, int n, double *x)
{
    const struct random_stream stream = {
        .seed = 1, .purpose = RANDOM_TRACK, .a = 2, .b = (uint64_t)run};
    for (int i = 0; i < n; i++)
        x[i] = p->x[sunup__random_permute(&stream, (uint64_t)(from + i), (uint64_t)p->n)];
}

/* As track_compare.c does it: half the pairs, perhaps the other half, perhaps a second look. */
static bool one_run(const struct selftest *t, const struct pool *p, int run, struct drawn *d)
{
    double first[MOST_PAIRS], again[MOST_PAIRS];
    struct track_row row = sunup__track_row(TRACK_PAIRS, "", "", "", "");
    const struct track_row *rows = &row;
    struct pairs_result r;
    draw(p, run, 0, t->pairs, first);
    row.values = first;
    row.confirm = again;
    row.n = sunup__pairs_hopeless(first, t->pairs / 2) ? t->pairs / 2 : t->pairs;
    if (!sunup__pairs_judge(&t->rule, &rows, 1, &r)) return false;
    d->pairs += row.n;
    d->runs++;
    if (!r.suspect) return true;
    d->suspects++;
    draw(p, run, t->pairs, t->pairs, again);
    row.n_confirm = t->pairs;
    d->pairs += row.n_confirm;
    if (!sunup__pairs_judge(&t->rule, &rows, 1, &r)) return false;
    d->found += r.found;
    return true;
}

static sunup_status try_pool(struct selftest *t, struct subject *s, int level)
{
    const struct pool *p = &s->pools[level];
    for (int run = 0; run < RUNS && p->n >= 2 * t->pairs; run++)
        CHECK(one_run(t, p, run, &s->drawn[level]), t->c->ctx, E_MEMORY,
              "no memory to judge pairs");
    return SUNUP_OK;
}

static sunup_status look_at(struct selftest *t, struct subject *s)
{
    TRY(fill_pools(t, s));
    for (int level = 0; level < LEVELS; level++) TRY(try_pool(t, s, level));
    const struct pool *self = &s->pools[0];
    s->spread = sunup__mad(self->x, self->n);
    for (int i = 0; i < self->n; i++) s->positive += self->x[i] > 0;
    for (int i = 1; i < self->n; i++) s->alike += (self->x[i] > 0) == (self->x[i - 1] > 0);
    return SUNUP_OK;
}

/* ---- what it says ---- */

static double found(const struct subject *s, int level)
{
    return s->drawn[level].runs > 0 ? (double)s->drawn[level].found / s->drawn[level].runs : NAN;
}

/* The smallest change that each of the cases, or this one, sees with so much certainty; NaN: none of those
 * tried. */
static double smallest(const struct subject *s, double certainty)
{
    for (int level = 1; level < LEVELS; level++)
        if (found(s, level) >= certainty) return percents[level];
    return NAN;
}

/* Alarms and how many of the runs were independent of each other: of disjoint pairs. */
struct alarms {
    int found, runs, suspects, apart;
    double a_year;
    struct track_interval interval; /* of a_year, 95 %, from those apart */
};

static struct alarms count_alarms(const struct selftest *t)
{
    struct alarms a = {0};
    for (int i = 0; i < t->cases.n; i++) {
        const struct drawn *d = &t->subjects[i].drawn[0];
        a.found += d->found;
        a.runs += d->runs;
        a.suspects += d->suspects;
        if (d->runs > 0) a.apart += t->subjects[i].pools[0].n / t->pairs;
    }
    const double year = WEEKS * 100, share = a.runs > 0 ? (double)a.found / a.runs : 0;
    a.interval = sunup__rate_interval(lround(share * a.apart), a.apart, 0.95);
    a.interval.low *= year;
    a.interval.high *= year;
    a.a_year = share * year;
    return a;
}

static json_t *number(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

/* Seconds for a case in a run of the tracker in which nothing moved. */
static double metric_s(const struct subject *s)
{
    return s->drawn[0].runs > 0 ? s->pair_s * s->drawn[0].pairs / s->drawn[0].runs : NAN;
}

static json_t *subject_json(const struct subject *s)
{
    json_t *levels = json_object();
    for (int level = 1; level < LEVELS; level++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", percents[level]);
        (void)json_object_set_new(levels, name, number(found(s, level)));
    }
    return json_pack("{s:s, s:s, s:i, s:f, s:f, s:i, s:i, s:o, s:o, s:o, s:o}", "suite",
                     s->one->suite, "name", s->one->name, "pairs", s->pools[0].n, "pair_s",
                     s->pair_s, "spread", s->spread, "positive", s->positive, "alike", s->alike,
                     "metric_s", number(metric_s(s)), "found", levels, "smallest_99",
                     number(smallest(s, 0.99)), "smallest_90", number(smallest(s, 0.9)));
}

static void show_json(const struct selftest *t, const struct alarms *a, double bound)
{
    json_t *cases = json_array();
    for (int i = 0; i < t->cases.n; i++)
        if (is_subject(t->subjects[i].one, 0))
            (void)json_array_append_new(cases, subject_json(&t->subjects[i]));
    print_json(json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:o}", "pairs_of_a_look",
                         t->pairs, "runs", a->runs, "runs_apart", a->apart, "suspects", a->suspects,
                         "alarms", a->found, "alarms_per_100_metrics_a_year", a->a_year, "low",
                         a->interval.low, "high", a->interval.high, "alarms_a_year_at_most", bound,
                         "cases", cases));
}

static void show_subject(const struct subject *s)
{
    const int n = s->pools[0].n;
    (void)printf("  %-20s %5d %8.2f %7.1f %7.2f %% %5.0f %% %5.0f %% ", s->one->name, n, s->pair_s,
                 metric_s(s), 100 * s->spread, 100.0 * s->positive / n,
                 100.0 * s->alike / (n > 1 ? n - 1 : 1));
    for (int level = 1; level < LEVELS; level++)
        if (s->drawn[level].runs > 0)
            (void)printf(" %5.1f %%", 100 * found(s, level));
        else
            (void)printf("  %5s ", "-");
    (void)printf("\n");
}

static void show(const struct selftest *t)
{
    const struct alarms a = count_alarms(t);
    const struct pairs_rule rule = sunup__pairs_rule();
    const double bound = WEEKS * rule.false_rate * rule.max_p / 2;
    if (t->c->json) {
        show_json(t, &a, bound);
        return;
    }
    (void)printf("  %-20s %5s %8s %7s %9s %7s %7s   found of 1 %%    2 %%     5 %%    10 %%\n",
                 "case", "pairs", "s/pair", "s/case", "spread", "above 0", "alike");
    for (int i = 0; i < t->cases.n; i++)
        if (is_subject(t->subjects[i].one, 0)) show_subject(&t->subjects[i]);
    if (a.runs == 0) {
        (void)printf("  too few pairs yet: two looks take %d; --pairs measures more, --history "
                     "adds to earlier ones\n",
                     2 * t->pairs);
        return;
    }
    (void)printf("  %d false alarms and %d suspects in %d drawn runs of a case, %d of them of "
                 "disjoint pairs: %.2f alarms "
                 "per 100 metrics a year (%.2f .. %.0f)\n",
                 a.found, a.suspects, a.runs, a.apart, a.a_year, a.interval.low, a.interval.high);
    (void)printf("  the test lets through %.4f a year at most if signs are chance: 'above 0' and "
                 "'alike' are then 50 %%\n",
                 bound);
}

/* ---- the part ---- */

static sunup_status run(struct selftest *t)
{
    struct command *c = t->c;
    char self[PATH_ROOM];
    TRY(track_cases_load(c, track_suites(c), c->n_operands - 1, c->operand + 1, &t->cases));
    TRY(peer_self(c->ctx, self, sizeof self));
    const char *baseline = c->baseline != NULL ? c->baseline : self;
    const char *const programs[SIDES] = {baseline, c->candidate != NULL ? c->candidate : baseline};
    t->subjects = sunup__alloc((size_t)t->cases.n * sizeof *t->subjects);
    CHECK(t->subjects != NULL, c->ctx, E_MEMORY, "no memory for %d cases", t->cases.n);
    if (c->history != NULL) TRY(sunup__track_load(c->ctx, c->history, &t->h));
    struct track_run *run = sunup__track_add_run(&t->h, "", (int64_t)time(NULL));
    CHECK(run != NULL, c->ctx, E_MEMORY, "no memory for a run");
    run->id = NULL;
    TRY(measure(t, programs, run));
    if (c->history != NULL) TRY(sunup__track_write(c->ctx, c->history, run));
    for (int i = 0; i < t->cases.n; i++) {
        t->subjects[i].one = &t->cases.cases[i];
        if (is_subject(t->subjects[i].one, 0)) TRY(look_at(t, &t->subjects[i]));
    }
    show(t);
    return SUNUP_OK;
}

int track_selftest(struct command *c)
{
    struct selftest t = {.c = c, .rule = sunup__pairs_rule()};
    t.pairs = sunup__pairs_needed(&t.rule, CASES_OF_A_RUN);
    t.rule.false_rate /=
        CASES_OF_A_RUN; /* nothing else moves: then Benjamini and Hochberg ask for this */
    const sunup_status status = run(&t);
    track_cases_end(&t.cases);
    sunup__track_end(&t.h);
    sunup__free(t.subjects);
    return track_done(c, status, 0);
}
