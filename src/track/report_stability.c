/* report_stability.c - how cases ended: a calendar of weeks, and rates of failures with their
 * intervals.
 *
 * A cell is the worst outcome of its week: a letter, its word in the title, a colour. Cases that
 * were well all year are named, not drawn, where there are many. A rate counts a run as failed if
 * it failed to the end; a run that passed when it was tried again is flaky. Failures a 1,000
 * node-hours: the exposure is seconds times the nodes a case can have used, the lesser of its ranks
 * and the run's fact "nodes" (1 without one).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "track/page.h"
#include "track/stats.h"

enum { WEEKS = 52, WEEK = 7 * 86400, CASES = 120, FEW = 12 };

struct cell {
    const struct track_row *row; /* the worst of the week; NULL: none */
    int run, runs, failed;
};
struct line {
    const struct track_series *s;
    struct cell cells[WEEKS]; /* the newest last */
    int failed, flaky, failures;
    double node_hours;
};

static void put_letter(struct text *t, enum track_outcome o)
{
    static const char *const letters[TRACK_OUTCOMES] = {"·", "F", "C", "H", "N",
                                                        "D", "M", "O", "W", "I"};
    sunup__text(t, "%s", (unsigned)o < TRACK_OUTCOMES ? letters[o] : "?");
}

/* ok, flaky, failed, or not the program's own fault. */
static int colour(enum track_outcome o)
{
    return o == TRACK_OK ? 0 : o == TRACK_FLAKY ? 1 : o >= TRACK_WALLTIME ? 3 : 2;
}

/* Weeks begin on Monday; day 0 of 1970 was a Thursday. */
static int64_t week_of(int64_t at)
{
    return (at + 3 * 86400) / WEEK;
}

/* --------------------------------------------------------------------------- counting --- */

static double nodes_of(const struct track_run *run, const struct track_row *row)
{
    const double nodes = strtod(sunup__track_fact(run, "nodes"), NULL);
    return isfinite(nodes) ? fmax(1, fmin(nodes, row->ranks)) : 1;
}

static void count_point(const struct page *p, struct line *l, const struct track_point *q,
                        int64_t newest)
{
    const struct track_row *row = q->row;
    const struct track_run *run = &p->h->runs[q->run];
    const bool failed = row->outcome >= TRACK_CRASH;
    l->failed += failed;
    l->flaky += row->outcome == TRACK_FLAKY;
    l->failures += row->failures > 0 ? row->failures : failed;
    if (row->seconds > 0) l->node_hours += row->seconds / 3600 * nodes_of(run, row);
    const int64_t back = newest - week_of(run->at);
    if (back < 0 || back >= WEEKS) return;
    struct cell *c = &l->cells[WEEKS - 1 - back];
    c->runs++;
    c->failed += failed;
    if (c->row != NULL && row->outcome < c->row->outcome) return;
    c->row = row;
    c->run = q->run;
}

static int ill(const struct line *l)
{
    int n = 0;
    for (int i = 0; i < WEEKS; i++)
        n += l->cells[i].row != NULL && l->cells[i].row->outcome != TRACK_OK;
    return n;
}

/* Most weeks with trouble first, then as the table has them. */
static int by_trouble(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    const int difference = ill(y) - ill(x);
    return difference != 0 ? difference : x->s < y->s ? -1 : 1;
}

static struct line *count(const struct page *p, int64_t newest)
{
    const struct track_table *o = &p->v->outcomes;
    struct line *lines = sunup__alloc(((size_t)o->n + 1) * sizeof *lines);
    if (lines == NULL) return NULL;
    for (int i = 0; i < o->n; i++) {
        lines[i].s = &o->series[i];
        for (int j = 0; j < o->series[i].n; j++)
            count_point(p, &lines[i], &o->series[i].points[j], newest);
    }
    qsort(lines, (size_t)o->n, sizeof *lines, by_trouble);
    return lines;
}

/* --------------------------------------------------------------------------- calendar --- */

static void put_case(const struct page *p, const struct track_series *s)
{
    sunup__put_short(p->t, s->key->name, 80);
    sunup__text(p->t, " <small>");
    sunup__page_where(p, s);
    sunup__text(p->t, " ");
    sunup__put_short(p->t, s->key->suite, 60);
    sunup__text(p->t, "</small>");
}

static void put_cell(const struct page *p, const struct cell *c)
{
    char day[DAY_TEXT];
    if (c->row == NULL) {
        sunup__text(p->t, "<td></td>");
        return;
    }
    const struct track_row *row = c->row;
    sunup__text(p->t, "<td class=\"k%d\" title=\"%s %s", colour(row->outcome),
                sunup__track_outcome_name(row->outcome), sunup__day(day, p->h->runs[c->run].at));
    if (c->runs > 1) sunup__text(p->t, ", %d of %d runs failed", c->failed, c->runs);
    if (row->outcome != TRACK_OK) {
        if (row->rank >= 0) sunup__text(p->t, ", rank %d", row->rank);
        if (row->layer[0] != '\0') sunup__text(p->t, ", layer ");
        sunup__put_short(p->t, row->layer, 60);
        if (row->message[0] != '\0') sunup__text(p->t, ": ");
        sunup__put_short(p->t, row->message, 160);
    }
    sunup__text(p->t, "\">");
    put_letter(p->t, row->outcome);
    sunup__text(p->t, "</td>");
}

/* The months above the weeks. */
static void put_months(const struct page *p, int64_t newest)
{
    char month[DAY_TEXT], next[DAY_TEXT];
    sunup__text(p->t, "<thead><tr><th scope=\"col\">week of</th>");
    for (int i = 0, from = 0; i < WEEKS; i++) {
        const int64_t monday = (newest - (WEEKS - 1 - i)) * WEEK - 3 * 86400;
        sunup__day(month, monday);
        sunup__day(next, monday + WEEK);
        if (i + 1 < WEEKS && strncmp(month, next, 7) == 0) continue;
        sunup__text(p->t, "<th scope=\"colgroup\" colspan=\"%d\">%.7s</th>", i + 1 - from, month);
        from = i + 1;
    }
    sunup__text(p->t, "</tr></thead>\n");
}

static void put_legend(const struct page *p)
{
    sunup__text(p->t, "<p class=\"dim\">A cell is the worst of its week:");
    for (int i = 0; i < TRACK_OUTCOMES; i++) {
        sunup__text(p->t, "%s <b>", i > 0 ? "," : "");
        put_letter(p->t, (enum track_outcome)i);
        sunup__text(p->t, "</b> %s", sunup__track_outcome_name((enum track_outcome)i));
    }
    sunup__text(p->t, "; empty: not run.</p>\n");
}

static void put_calendar(const struct page *p, const struct line *lines, int n, int64_t newest)
{
    put_legend(p);
    sunup__text(
        p->t,
        "<div class=\"box end\" tabindex=\"0\" role=\"region\" aria-label=\"calendar of outcomes\">"
        "<table class=\"cal\">\n");
    put_months(p, newest);
    for (int i = 0; i < n; i++) {
        sunup__text(p->t, "<tr><th scope=\"row\" title=\"");
        sunup__put_short(p->t, lines[i].s->key->suite, 60);
        sunup__text(p->t, " ");
        sunup__put_short(p->t, lines[i].s->key->name, 200);
        sunup__text(p->t, "\">");
        put_case(p, lines[i].s);
        sunup__text(p->t, "</th>");
        for (int w = 0; w < WEEKS; w++) put_cell(p, &lines[i].cells[w]);
        sunup__text(p->t, "</tr>\n");
    }
    sunup__text(p->t, "</table></div>\n");
}

void sunup__page_outcomes(const struct page *p, const struct track_series *s)
{
    sunup__text(p->t, "<div class=\"box\"><table class=\"cal row\"><tr>");
    for (int i = s->n > WEEKS ? s->n - WEEKS : 0; i < s->n; i++) {
        const struct cell c = {s->points[i].row, s->points[i].run, 1, 0};
        put_cell(p, &c);
    }
    sunup__text(p->t, "</tr></table></div>\n");
}

/* ------------------------------------------------------------------------------ rates --- */

static void put_rate(const struct page *p, const struct line *l)
{
    const struct track_interval r = sunup__rate_interval(l->failed, l->s->n, 0.95);
    sunup__text(p->t, "<tr><th scope=\"row\">");
    put_case(p, l->s);
    sunup__text(p->t,
                "</th><td class=\"num\">%d of %d</td><td class=\"num\">%d</td><td "
                "class=\"num\">%.1f to %.1f %%</td>",
                l->failed, l->s->n, l->flaky, 100 * r.low, 100 * r.high);
    if (l->node_hours > 0) {
        const struct track_interval e =
            sunup__poisson_interval(l->failures, l->node_hours / 1000, 0.95);
        sunup__text(p->t, "<td class=\"num\">%.3g</td><td class=\"num\">%.3g to %.3g</td></tr>\n",
                    l->node_hours, e.low, e.high);
    } else {
        sunup__text(p->t, "<td class=\"num\">unknown</td><td></td></tr>\n");
    }
}

static void put_rates(const struct page *p, const struct line *lines, int n)
{
    sunup__text(p->t,
                "<details><summary>Failure rates of %d case%s, with intervals of 95 "
                "%%</summary><div class=\"box\">"
                "<table><thead><tr><th scope=\"col\">case</th><th scope=\"col\">runs failed</th>"
                "<th scope=\"col\">flaky</th><th scope=\"col\">rate of failed runs</th><th "
                "scope=\"col\">node-hours"
                "</th><th scope=\"col\">failures a 1,000 node-hours</th></tr></thead>\n",
                n, n == 1 ? "" : "s");
    for (int i = 0; i < n; i++) put_rate(p, &lines[i]);
    sunup__text(p->t, "</table></div></details>\n");
}

static void put_well(const struct page *p, const struct line *lines, int from, int n)
{
    if (from >= n) return;
    sunup__text(p->t, "<details><summary>%d case%s without a failure in %d weeks</summary><p>",
                n - from, n - from == 1 ? "" : "s", WEEKS);
    for (int i = from; i < n; i++) {
        sunup__text(p->t, "%s", i > from ? ", " : "");
        put_case(p, lines[i].s);
    }
    sunup__text(p->t, "</p></details>\n");
}

void sunup__page_stability(const struct page *p)
{
    const int n = p->v->outcomes.n;
    sunup__text(p->t, "<h2 id=\"stability\">Stability</h2>\n");
    if (n == 0 || p->h->n_runs == 0) {
        sunup__text(p->t, "<p>No outcome was recorded.</p>\n");
        return;
    }
    const int64_t newest = week_of(p->h->runs[p->h->n_runs - 1].at);
    struct line *lines = count(p, newest);
    if (lines == NULL) {
        sunup__text_fail(p->t);
        return;
    }
    int sick = 0;
    while (sick < n && ill(&lines[sick]) > 0) sick++;
    const int drawn = n <= FEW ? n : sick < FEW ? FEW : sick < CASES ? sick : CASES;
    put_calendar(p, lines, drawn, newest);
    if (sick > drawn)
        sunup__text(p->t, "<p>%d more cases failed in some week: see the rates.</p>\n",
                    sick - drawn);
    put_well(p, lines, sick > drawn ? sick : drawn, n);
    put_rates(p, lines, n);
    sunup__free(lines);
}
