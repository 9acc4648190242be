/* judge.c - every series through its gates, the findings in order of what a reader wants first. */
#include "track/judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/gates.h"

struct track_judge_options sunup__track_judge_defaults(void)
{
    return (struct track_judge_options){
        .max_p = 0.01, .least = 0.02, .false_rate = 0.01, .points = sunup__track_point_defaults()};
}

const char *sunup__track_gate_name(enum track_gate g)
{
    static const char *const names[TRACK_GATES] = {"count", "pairs", "point", "spread", "outcome", "rate"};
    return (unsigned)g < TRACK_GATES ? names[g] : "unknown";
}

/* --------------------------------------------------------------- what gates share --- */

static bool has_suite(const struct track_run *run, const char *suite)
{
    for (int i = 0; i < run->n_rows; i++)
        if (run->rows[i].suite == suite || strcmp(run->rows[i].suite, suite) == 0) return true;
    return false;
}

/* Runs of another machine have other strings in series->machine, so a run is the series' own if its facts agree. */
static bool same_machine(const struct track_history *h, int a, int b)
{
    static const char *const keys[] = {"machine", "threads", "isa", "numerics"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(sunup__track_fact(&h->runs[a], keys[i]), sunup__track_fact(&h->runs[b], keys[i])) != 0)
            return false;
    return true;
}

int sunup__track_newest(const struct judge *j, const struct track_series *s)
{
    const int last = s->points[s->n - 1].run;
    for (int i = j->h->n_runs - 1; i > last; i--)
        if (same_machine(j->h, i, last) && has_suite(&j->h->runs[i], s->key->suite)) return i;
    return last;
}

struct track_finding *sunup__track_found(struct judge *j, enum track_gate gate,
                                         const struct track_series *s, int at)
{
    struct track_verdict *v = j->v;
    if (v->n == j->room) {
        const int room = 2 * j->room + 64;
        struct track_finding *more = sunup__realloc(v->findings, (size_t)room * sizeof *more);
        if (more == NULL) return NULL;
        v->findings = more;
        j->room = room;
    }
    struct track_finding *f = &v->findings[v->n++];
    *f = (struct track_finding){.gate = gate,
                                .series = s,
                                .run = s->points[at].run,
                                .before = at > 0 ? s->points[at - 1].run : -1,
                                .is_new = s->points[at].run == sunup__track_newest(j, s),
                                .interval = {NAN, NAN},
                                .from = NAN,
                                .to = NAN,
                                .change = NAN,
                                .p = NAN,
                                .row = s->points[at].row,
                                .text = ""};
    return f;
}

bool sunup__track_worse(const struct track_row *r, double change)
{
    return r->better == TRACK_LESS ? change > 0 : r->better == TRACK_MORE && change < 0;
}

/* Sources with changes of their own may be any. */
static bool is_dirty(const struct track_run *run)
{
    return strcmp(sunup__track_fact(run, "dirty"), "yes") == 0;
}

bool sunup__track_same_commit(const struct track_history *h, int before, int after)
{
    if (is_dirty(&h->runs[before]) || is_dirty(&h->runs[after])) return false;
    const char *a = sunup__track_fact(&h->runs[before], "commit"),
               *b = sunup__track_fact(&h->runs[after], "commit");
    return a[0] != '\0' && strcmp(a, b) == 0;
}

sunup_status sunup__track_say(struct judge *j, struct track_finding *f, const char *format, ...)
{
    CHECK(f != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    const struct track_row *r = f->series->key;
    char sentence[512], ranks[32] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (r->ranks > 1) (void)snprintf(ranks, sizeof ranks, " on %d ranks", r->ranks);
    const bool ours = strcmp(r->engine, "sunup") == 0 || r->engine[0] == '\0';
    struct text t = {0};
    sunup__text(&t, "%s %s%s%s%s: %s", r->suite, r->name, ranks, ours ? "" : " by ", ours ? "" : r->engine,
                sentence);
    f->text = t.s != NULL ? sunup__arena_strdup(&j->v->arena, t.s) : NULL;
    sunup__free(t.s);
    CHECK(f->text != NULL, j->ctx, E_MEMORY, "no memory for a finding");
    return SUNUP_OK;
}

/* --------------------------------------------------------------------------- order --- */

static double size_of(const struct track_finding *f)
{
    const double x = fabs(log(f->to / f->from));
    return isnan(x) ? INFINITY : x;
}

static int by_importance(const void *a, const void *b)
{
    const struct track_finding *x = a, *y = b;
    if (x->is_new != y->is_new) return x->is_new ? -1 : 1;
    if (!x->is_new && x->run != y->run) return x->run > y->run ? -1 : 1;
    if (x->worse != y->worse) return x->worse ? -1 : 1;
    const double p = size_of(x), q = size_of(y);
    if (p != q) return p > q ? -1 : 1;
    return strcmp(x->text, y->text);
}

static sunup_status judge_series(struct judge *j)
{
    struct track_verdict *v = j->v;
    for (int i = 0; i < v->table.n; i++) {
        const struct track_series *s = &v->table.series[i];
        if (s->key->kind == TRACK_COUNT || s->key->kind == TRACK_WORD) TRY(sunup__gate_counts(j, s));
        if (s->key->kind == TRACK_SAMPLES) TRY(sunup__gate_points(j, s));
        if (s->key->kind == TRACK_SAMPLES) TRY(sunup__gate_spread(j, s));
    }
    TRY(sunup__gate_pairs(j));
    for (int i = 0; i < v->outcomes.n; i++) TRY(sunup__gate_outcomes(j, &v->outcomes.series[i]));
    return SUNUP_OK;
}

sunup_status sunup__track_judge(sunup_context *ctx, struct track_history *h,
                                const struct track_judge_options *o, struct track_verdict *v)
{
    struct judge j = {.ctx = ctx, .h = h, .o = o, .v = v};
    *v = (struct track_verdict){0};
    sunup_status status = sunup__track_tabulate(ctx, h, &v->table);
    if (status == SUNUP_OK) status = sunup__track_outcomes(ctx, h, &v->outcomes);
    if (status == SUNUP_OK) status = judge_series(&j);
    if (status != SUNUP_OK) sunup__track_verdict_end(v);
    if (v->n > 1) qsort(v->findings, (size_t)v->n, sizeof *v->findings, by_importance);
    for (int i = 0; i < v->n; i++) {
        v->n_new += v->findings[i].is_new;
        v->n_new_worse += v->findings[i].is_new && v->findings[i].worse;
    }
    return status;
}

void sunup__track_verdict_end(struct track_verdict *v)
{
    sunup__track_table_end(&v->table);
    sunup__track_table_end(&v->outcomes);
    sunup__free(v->findings);
    sunup__arena_end(&v->arena);
    *v = (struct track_verdict){0};
}
