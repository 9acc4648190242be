/* series.c - rows grouped by what they measure; a sort of pointers, then one pass.
 *
 * The normal value of a point is value / (canary / usual canary), for times: on a day when the fixed kernel took 10 %
 * longer, a time 10 % longer is no news. For quantities of which more is better it is a product. Counts and words
 * do not depend on the day.
 */
#include "track/series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/stats.h"

/* Facts that say where a run ran: with another value it is another series. */
static const char *const where[] = {"machine", "threads", "isa", "numerics"};

struct entry {
    const struct track_row *row;
    int run;
    const char *machine; /* all of `where`, in one text */
};

static const char *machine_of(struct track_history *h, const struct track_run *run)
{
    char text[512];
    int n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof where / sizeof where[0] && n < (int)sizeof text; i++) {
        const char *v = sunup__track_fact(run, where[i]);
        if (v[0] == '\0') continue;
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%s", n > 0 ? ", " : "",
                      i == 0 ? "" : where[i], i == 0 ? "" : " ");
        if (n < (int)sizeof text) n += snprintf(text + n, sizeof text - (size_t)n, "%s", v);
    }
    return sunup__track_intern(h, text);
}

/* --------------------------------------------------------------------------- order --- */

static int by_key(const struct entry *x, const struct entry *y)
{
    const char *const pairs[][2] = {{x->row->suite, y->row->suite},       {x->row->name, y->row->name},
                                    {x->row->quantity, y->row->quantity}, {x->row->engine, y->row->engine},
                                    {x->row->source, y->row->source},     {x->machine, y->machine}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const int d = pairs[i][0] == pairs[i][1] ? 0 : strcmp(pairs[i][0], pairs[i][1]);
        if (d != 0) return d;
        if (i == 4 && x->row->ranks != y->row->ranks) return x->row->ranks < y->row->ranks ? -1 : 1;
    }
    return (x->row->kind > y->row->kind) - (x->row->kind < y->row->kind);
}

static int by_key_and_time(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const int d = by_key(x, y);
    if (d != 0) return d;
    if (x->run != y->run) return x->run < y->run ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row); /* of one run, in the order of its rows */
}

static bool wanted(const struct track_row *r, bool outcomes)
{
    return (r->kind == TRACK_OUTCOME) == outcomes && (r->kind != TRACK_SAMPLES || r->n > 0);
}

static int64_t gather(struct track_history *h, bool outcomes, struct entry *e)
{
    int64_t n = 0;
    for (int i = 0; i < h->n_runs; i++) {
        const struct track_run *run = &h->runs[i];
        const char *machine = e != NULL ? machine_of(h, run) : "";
        if (machine == NULL) return -1;
        for (int k = 0; k < run->n_rows; k++) {
            if (!wanted(&run->rows[k], outcomes)) continue;
            if (e != NULL) e[n] = (struct entry){&run->rows[k], i, machine};
            n++;
        }
    }
    return n;
}

/* -------------------------------------------------------------------------- points --- */

static struct track_point point_of(const struct entry *e)
{
    const struct track_row *r = e->row;
    struct track_point p = {.run = e->run, .row = r};
    switch (r->kind) {
    case TRACK_COUNT: p.value = r->count; break;
    case TRACK_OUTCOME: p.value = r->outcome >= TRACK_CRASH; break;
    case TRACK_WORD: break;
    default:
        p.value = sunup__median(r->values, r->n);
        p.spread = sunup__mad(r->values, r->n);
    }
    p.normal = p.value;
    return p;
}

/* Leaves a series alone in which any point lacks its canary: half of a correction is none. */
static void normalise(struct track_series *s, double *pace)
{
    for (int i = 0; i < s->n; i++) {
        const struct track_row *r = s->points[i].row;
        if (r->kind != TRACK_SAMPLES || r->n_canary == 0) return;
        pace[i] = sunup__median(r->canary, r->n_canary);
        if (!(pace[i] > 0)) return;
    }
    const double usual = sunup__median(pace, s->n);
    for (int i = 0; i < s->n; i++) {
        struct track_point *p = &s->points[i];
        p->normal = p->row->better == TRACK_MORE ? p->value * pace[i] / usual : p->value * usual / pace[i];
    }
}

static sunup_status fill(sunup_context *ctx, const struct entry *e, int64_t n, struct track_table *t)
{
    int64_t most = 1;
    for (int64_t i = 0; i < n; i++) t->n += i == 0 || by_key(&e[i - 1], &e[i]) != 0;
    t->series = sunup__arena_alloc(&t->arena, (size_t)(t->n + 1) * sizeof *t->series);
    struct track_point *points = sunup__arena_alloc(&t->arena, (size_t)(n + 1) * sizeof *points);
    CHECK(t->series != NULL && points != NULL, ctx, E_MEMORY, "no memory for %lld points", (long long)n);
    struct track_series *s = t->series - 1;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || by_key(&e[i - 1], &e[i]) != 0) *++s = (struct track_series){.points = &points[i]};
        s->points[s->n++] = point_of(&e[i]);
        s->key = e[i].row;
        s->machine = e[i].machine;
        if (s->n > most) most = s->n;
    }
    double *pace = sunup__alloc((size_t)most * sizeof *pace);
    CHECK(pace != NULL, ctx, E_MEMORY, "no memory for %lld points", (long long)most);
    for (int i = 0; i < t->n; i++) normalise(&t->series[i], pace);
    sunup__free(pace);
    return SUNUP_OK;
}

static sunup_status tabulate(sunup_context *ctx, struct track_history *h, bool outcomes,
                             struct track_table *t)
{
    *t = (struct track_table){0};
    const int64_t n = gather(h, outcomes, NULL);
    struct entry *e = sunup__alloc((size_t)(n + 1) * sizeof *e);
    CHECK(e != NULL && gather(h, outcomes, e) == n, ctx, E_MEMORY, "no memory for %lld rows", (long long)n);
    qsort(e, (size_t)n, sizeof *e, by_key_and_time);
    const sunup_status status = fill(ctx, e, n, t);
    sunup__free(e);
    return status;
}

sunup_status sunup__track_tabulate(sunup_context *ctx, struct track_history *h, struct track_table *t)
{
    return tabulate(ctx, h, false, t);
}

sunup_status sunup__track_outcomes(sunup_context *ctx, struct track_history *h, struct track_table *t)
{
    return tabulate(ctx, h, true, t);
}

void sunup__track_table_end(struct track_table *t)
{
    sunup__arena_end(&t->arena);
    *t = (struct track_table){0};
}

/* ------------------------------------------------------------------- what changed --- */

static int put(char *text, size_t room, int n, const char *format, const char *key, const char *from,
               const char *to)
{
    if (n >= (int)room) return n;
    char part[512];
    (void)snprintf(part, sizeof part, format, key, from, to);
    return n + snprintf(text + n, room - (size_t)n, "%s%s", n > 0 ? ", " : "", part);
}

void sunup__track_changed(const struct track_run *before, const struct track_run *after, char *text,
                          size_t room)
{
    int n = 0;
    text[0] = '\0';
    for (int i = 0; i < after->n_facts; i++) {
        const struct track_fact *f = &after->facts[i];
        const char *old = sunup__track_fact(before, f->key);
        if (strcmp(old, f->value) != 0)
            n = put(text, room, n, old[0] != '\0' ? "%s %s -> %s" : "%s%s new: %s", f->key, old, f->value);
    }
    for (int i = 0; i < before->n_facts; i++) {
        const struct track_fact *f = &before->facts[i];
        if (f->value[0] != '\0' && sunup__track_fact(after, f->key)[0] == '\0')
            n = put(text, room, n, "%s %s (gone)%s", f->key, f->value, "");
    }
}
