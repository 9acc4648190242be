/* track_selftest.c - `sunup track selftest [SUITE|CASE...]`: how often this machine cries wolf, and what it can see.
 *
 * Pairs of the program against itself are measured once into pools, and as many with every step of the candidate's
 * plan 5 % slower (SUNUP_FAULT); --history FOLDER keeps them, so that pools grow from call to call. From a pool
 * many runs of the tracker are drawn: as many pairs as one case among 100 gets, then as many others for the second
 * look, each without replacement, by numbers that depend on nothing but their place. They pass the very decision
 * of src/track/pairs.c. A slow-down by x is log(1 + x) more in each pair with itself; the planted 5 % are there to
 * show that a real one is found as those are.
 *
 * What drawing cannot show: it mixes the order of the pairs. So what the exactness of the test rests upon is shown
 * beside: of pairs with themselves one half is positive, and half of the neighbours in time have the same sign.
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

enum { RUNS = 500, CASES_OF_A_RUN = 100, WEEKS = 52, DEFAULT_PAIRS = 60, PATH_ROOM = 4096 };
enum { SELF, SLOW, POOLS };
static const char *const quantities[POOLS] = {"self", "slow 5 %"};
static const char fault[] = "SUNUP_FAULT=slow:*:5";

/* Runs are drawn from a pool whose pairs are made so many per cent slower. */
enum { FALSE_ONES, PLANTED = 5, TRIALS };
static const struct trial {
    int pool, percent;
} trials[TRIALS] = {{SELF, 0}, {SELF, 1}, {SELF, 2}, {SELF, 5}, {SELF, 10}, {SLOW, 0}};

/* All pairs of a case. */
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
    struct pool pools[POOLS];
    struct drawn drawn[TRIALS];
    double pair_s, spread, planted; /* planted: what the slow ones really are */
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

/* A collective has no steps to slow down. */
static bool is_subject(const struct track_case *one, int pool)
{
    return one->kind < CASE_APP && (pool == SELF || one->kind != CASE_COMM);
}

static sunup_status add_pair(struct selftest *t, struct track_run *run,
                             const struct track_case *one, int pool, const double *x)
{
    struct track_row *row = sunup__track_add_row(&t->h, run, TRACK_PAIRS);
    double *copy = sunup__arena_alloc(&t->h.arena, 2 * sizeof *copy);
    CHECK(row != NULL && copy != NULL, t->c->ctx, E_MEMORY, "no memory for a pair");
    copy[0] = x[0];
    copy[1] = x[1];
    row->suite = sunup__track_intern(&t->h, one->suite);
    row->name = sunup__track_intern(&t->h, one->name);
    row->quantity = sunup__track_intern(&t->h, quantities[pool]);
    row->values = copy;
    row->n = 2; /* the logarithm, and the seconds that the pair took */
    return SUNUP_OK;
}

static sunup_status measure_pair(struct selftest *t, struct contest *one, int pool,
                                 struct track_run *run)
{
    double x[2];
    const double before_s = one->seconds;
    TRY(contest_pair(t->c, one, false, &x[0]));
    x[1] = one->seconds - before_s;
    return add_pair(t, run, one->one, pool, x);
}

/* A pair for each pool of each case, again and again: what happens to the machine happens to all. */
static sunup_status measure(struct selftest *t, const char *const *programs, struct track_run *run)
{
    const int n = t->cases.n * POOLS;
    const int64_t pairs = t->c->pairs > 0 ? t->c->pairs : DEFAULT_PAIRS;
    struct contest *contests = sunup__alloc((size_t)n * sizeof *contests);
    CHECK(contests != NULL, t->c->ctx, E_MEMORY, "no memory for %d cases", t->cases.n);
    for (int i = 0; i < n; i++)
        contests[i] = (struct contest){.one = &t->cases.cases[i / POOLS],
                                       .program = {programs[BASELINE], programs[CANDIDATE]},
                                       .fault = i % POOLS == SLOW ? fault : NULL};
    sunup_status status = SUNUP_OK;
    for (int64_t k = 0; k < pairs * n && status == SUNUP_OK; k++)
        if (is_subject(contests[k % n].one, (int)(k % POOLS)))
            status = measure_pair(t, &contests[k % n], (int)(k % POOLS), run);
    for (int i = 0; i < n; i++) contest_end(&contests[i]);
    sunup__free(contests);
    return status;
}

/* All pairs of all runs, in order of time. x NULL: only counted. */
static int gather(const struct selftest *t, const struct track_case *one, int pool, double *x,
                  double *seconds)
{
    int n = 0;
    for (int r = 0; r < t->h.n_runs; r++)
        for (int i = 0; i < t->h.runs[r].n_rows; i++) {
            const struct track_row *row = &t->h.runs[r].rows[i];
            if (row->kind != TRACK_PAIRS || row->n != 2 || strcmp(row->name, one->name) != 0 ||
                strcmp(row->suite, one->suite) != 0 || strcmp(row->quantity, quantities[pool]) != 0)
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
    for (int pool = 0; pool < POOLS; pool++) {
        struct pool *p = &s->pools[pool];
        p->n = gather(t, s->one, pool, NULL, NULL);
        p->x = sunup__arena_alloc(&t->h.arena, ((size_t)p->n + 1) * sizeof *p->x);
        CHECK(p->x != NULL, t->c->ctx, E_MEMORY, "no memory for %d pairs", p->n);
        n += gather(t, s->one, pool, p->x, &seconds);
    }
    s->pair_s = seconds / n;
    s->planted = expm1(sunup__median(s->pools[SLOW].x, s->pools[SLOW].n));
    return SUNUP_OK;
}

/* ---- runs ---- */

static void draw(const struct pool *p, int run, int from, int n, double *x)
{
    const struct random_stream stream = {
        .seed = 1, .purpose = RANDOM_TRACK, .a = 2, .b = (uint64_t)run};
    const struct random_permutation order = sunup__random_permutation(&stream, (uint64_t)p->n);
    for (int i = 0; i < n; i++) x[i] = p->x[sunup__random_permute(&order, (uint64_t)(from + i))];
}

static void slow_down(double *x, int n, int percent)
{
    for (int i = 0; i < n; i++) x[i] += log1p(percent / 100.0);
}

/* As track_compare.c does it: half the pairs, perhaps the other half, perhaps a second look. */
static bool one_run(const struct selftest *t, const struct subject *s, int trial, int run,
                    struct drawn *d)
{
    const struct pool *p = &s->pools[trials[trial].pool];
    double first[MOST_PAIRS], again[MOST_PAIRS];
    struct track_row row = sunup__track_row(TRACK_PAIRS, "", "", "", "");
    const struct track_row *rows = &row;
    struct pairs_result r;
    draw(p, run, 0, t->pairs, first);
    draw(p, run, t->pairs, t->pairs, again);
    slow_down(first, t->pairs, trials[trial].percent);
    slow_down(again, t->pairs, trials[trial].percent);
    row.values = first;
    row.confirm = again;
    row.n = sunup__pairs_hopeless(first, t->pairs / 2) ? t->pairs / 2 : t->pairs;
    if (!sunup__pairs_judge(&t->rule, &rows, 1, &r)) return false;
    if (r.suspect) row.n_confirm = t->pairs;
    if (r.suspect && !sunup__pairs_judge(&t->rule, &rows, 1, &r)) return false;
    d->runs++;
    d->pairs += row.n + row.n_confirm;
    d->suspects += r.suspect;
    d->found += r.found;
    return true;
}

static sunup_status look_at(struct selftest *t, struct subject *s)
{
    TRY(fill_pools(t, s));
    for (int i = 0; i < TRIALS * RUNS; i++) {
        const int trial = i / RUNS;
        if (s->pools[trials[trial].pool].n < 2 * t->pairs) continue; /* too few yet */
        CHECK(one_run(t, s, trial, i % RUNS, &s->drawn[trial]), t->c->ctx, E_MEMORY,
              "no memory to judge pairs");
    }
    const struct pool *self = &s->pools[SELF];
    s->spread = sunup__mad(self->x, self->n);
    for (int i = 0; i < self->n; i++) s->positive += self->x[i] > 0;
    for (int i = 1; i < self->n; i++) s->alike += (self->x[i] > 0) == (self->x[i - 1] > 0);
    return SUNUP_OK;
}

/* ---- what it says ---- */

static double found(const struct subject *s, int trial)
{
    return s->drawn[trial].runs > 0 ? (double)s->drawn[trial].found / s->drawn[trial].runs : NAN;
}

/* The smallest change of those tried that is seen with so much certainty; NaN: none. */
static double smallest(const struct subject *s, double certainty)
{
    for (int trial = 1; trial < PLANTED; trial++)
        if (found(s, trial) >= certainty) return trials[trial].percent;
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
        const struct drawn *d = &t->subjects[i].drawn[FALSE_ONES];
        a.found += d->found;
        a.runs += d->runs;
        a.suspects += d->suspects;
        if (d->runs > 0) a.apart += t->subjects[i].pools[SELF].n / t->pairs;
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
    return s->drawn[FALSE_ONES].runs > 0
               ? s->pair_s * s->drawn[FALSE_ONES].pairs / s->drawn[FALSE_ONES].runs
               : NAN;
}

static json_t *subject_json(const struct subject *s)
{
    json_t *sizes = json_object();
    for (int trial = 1; trial < PLANTED; trial++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", trials[trial].percent);
        (void)json_object_set_new(sizes, name, number(found(s, trial)));
    }
    return json_pack("{s:s, s:s, s:i, s:f, s:f, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "suite",
                     s->one->suite, "name", s->one->name, "pairs", s->pools[SELF].n, "pair_s",
                     s->pair_s, "spread", s->spread, "positive", s->positive, "alike", s->alike,
                     "metric_s", number(metric_s(s)), "found", sizes, "planted", number(s->planted),
                     "planted_found", number(found(s, PLANTED)), "smallest_99",
                     number(smallest(s, 0.99)), "smallest_90", number(smallest(s, 0.9)));
}

static void show_json(const struct selftest *t, const struct alarms *a, double bound)
{
    json_t *cases = json_array();
    for (int i = 0; i < t->cases.n; i++)
        if (is_subject(t->subjects[i].one, SELF))
            (void)json_array_append_new(cases, subject_json(&t->subjects[i]));
    print_json(json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:o}", "pairs_of_a_look",
                         t->pairs, "runs", a->runs, "runs_apart", a->apart, "suspects", a->suspects,
                         "alarms", a->found, "alarms_per_100_metrics_a_year", a->a_year, "low",
                         a->interval.low, "high", a->interval.high, "alarms_a_year_at_most", bound,
                         "cases", cases));
}

static void show_share(const struct subject *s, int trial)
{
    if (s->drawn[trial].runs > 0)
        (void)printf(" %5.1f %%", 100 * found(s, trial));
    else
        (void)printf("   %5s", "-");
}

static void show_subject(const struct subject *s)
{
    const int n = s->pools[SELF].n;
    char case_s[16] = "-"; /* no run was drawn yet */
    if (isfinite(metric_s(s))) (void)snprintf(case_s, sizeof case_s, "%.1f", metric_s(s));
    (void)printf("  %-16s %5d %6.2f %6s %6.2f %% %4.0f %% %4.0f %% ", s->one->name, n, s->pair_s,
                 case_s, 100 * s->spread, 100.0 * s->positive / n,
                 100.0 * s->alike / (n > 1 ? n - 1 : 1));
    for (int trial = 1; trial < TRIALS; trial++) show_share(s, trial);
    if (s->drawn[PLANTED].runs > 0) (void)printf(" (are %.1f %%)", 100 * s->planted);
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
    (void)printf("  %-16s %5s %6s %6s %8s %6s %6s %8s %7s %7s %7s   planted 5 %%\n", "case",
                 "pairs", "s/pair", "s/case", "spread", "above", "alike", "1 %", "2 %", "5 %",
                 "10 %");
    for (int i = 0; i < t->cases.n; i++)
        if (is_subject(t->subjects[i].one, SELF)) show_subject(&t->subjects[i]);
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
        if (is_subject(t->subjects[i].one, SELF)) TRY(look_at(t, &t->subjects[i]));
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
