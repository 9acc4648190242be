/* report_series.c - every series: ours with what was found in it marked, and on the same axis the
 * other engines' of the same case and quantity; the newest value, its share of the bound, and how
 * ours compares.
 *
 * A series of an engine that ran beside ours joins where suite and machine agree as well; what a
 * vendor published joins wherever case, quantity and ranks do. A series that joins nowhere stands
 * for itself. Cost: a sort and a search each.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "track/page.h"

struct panels {
    const struct page *p;
    int n_others;
    const struct track_series **others; /* sorted by name, quantity, ranks */
    bool *joined;                       /* of each series of the table */
};

static bool same(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

static bool ours(const struct track_series *s)
{
    return same(s->key->engine, "sunup") && same(s->key->source, "sunup");
}

/* Pairs and words are nobody else's. */
static bool comparable(const struct track_series *s)
{
    return s->key->kind == TRACK_SAMPLES || s->key->kind == TRACK_COUNT;
}

static int by_case(const struct track_series *x, const struct track_series *y)
{
    const int name = strcmp(x->key->name, y->key->name);
    const int quantity = name != 0 ? name : strcmp(x->key->quantity, y->key->quantity);
    return quantity != 0 ? quantity
                         : (x->key->ranks > y->key->ranks) - (x->key->ranks < y->key->ranks);
}

static int by_case_then_place(const void *a, const void *b)
{
    const struct track_series *x = *(const struct track_series *const *)a,
                              *y = *(const struct track_series *const *)b;
    const int order = by_case(x, y);
    return order != 0 ? order : x < y ? -1 : x > y;
}

/* Those that join `leader`; out has room for SPARK_LINES - 1. */
static int others_of(const struct panels *q, const struct track_series *leader,
                     const struct track_series **out)
{
    int low = 0, n = 0;
    for (int high = q->n_others; low < high;) {
        const int middle = (low + high) / 2;
        if (by_case(q->others[middle], leader) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (int i = low; i < q->n_others && by_case(q->others[i], leader) == 0; i++) {
        const struct track_series *o = q->others[i];
        const bool beside =
            same(o->key->suite, leader->key->suite) && same(o->machine, leader->machine);
        if (!same(o->key->unit, leader->key->unit) || (!beside && same(o->key->source, "sunup")))
            continue;
        q->joined[sunup__page_series_number(q->p, o)] = true;
        if (n < SPARK_LINES - 1) out[n++] = o;
    }
    return n;
}

static bool prepare(struct panels *q)
{
    const struct track_table *t = &q->p->v->table;
    q->others = sunup__alloc(((size_t)t->n + 1) * sizeof *q->others);
    q->joined = sunup__alloc(((size_t)t->n + 1) * sizeof *q->joined);
    if (q->others == NULL || q->joined == NULL) return false;
    for (int i = 0; i < t->n; i++)
        if (!ours(&t->series[i]) && comparable(&t->series[i]))
            q->others[q->n_others++] = &t->series[i];
    qsort(q->others, (size_t)q->n_others, sizeof *q->others, by_case_then_place);
    const struct track_series *out[SPARK_LINES];
    for (int i = 0; i < t->n; i++)
        if (ours(&t->series[i]) && comparable(&t->series[i]))
            (void)others_of(q, &t->series[i], out);
    return true;
}

static bool leads(const struct panels *q, int i)
{
    return !q->joined[i] && q->p->v->table.series[i].n > 0;
}

/* ---------------------------------------------------------------------------- one row --- */

static void put_share(struct text *t, const struct track_series *s)
{
    const double value = sunup__page_newest(s), share = s->key->bound_s / value;
    if (!(s->key->bound_s > 0) || !same(s->key->unit, "s") || !(value > 0)) return;
    sunup__text(t,
                " <span class=\"share\"><i style=\"width:%.0f%%\"></i></span><small>%.0f %% of the "
                "bound</small>",
                100 * fmin(share, 1), 100 * share);
}

/* "ours 1.06x faster": of times and rates; of other quantities lower or higher. */
static void put_ratio(struct text *t, const struct track_series *s,
                      const struct track_series *other)
{
    const double a = sunup__page_newest(s), b = sunup__page_newest(other);
    const bool time = same(s->key->unit, "s"), speed = time || strstr(s->key->unit, "/s") != NULL;
    if (!(a > 0) || !(b > 0) || !isfinite(a / b)) return;
    const bool high = time ? a < b : a > b;
    const double ratio = fmax(a, b) / fmin(a, b);
    if (ratio < 1.005)
        sunup__text(t, ", ours level");
    else
        sunup__text(t, ", ours %.2f× %s", ratio,
                    speed  ? (high ? "faster" : "slower")
                    : high ? "higher"
                           : "lower");
}

static void put_other(const struct page *p, const struct track_series *s,
                      const struct track_series *other, int line)
{
    char human[HUMAN_TEXT];
    sunup__text(
        p->t,
        "<p><svg class=\"key\" viewBox=\"0 0 68 16\"><path class=\"l e%d\" d=\"M0 8H68\"/></svg>",
        line);
    sunup__put_short(p->t, other->key->engine, 60);
    if (!same(other->key->source, "sunup")) {
        sunup__text(p->t, " (");
        sunup__put_short(p->t, other->key->source, 40);
        if (!same(other->machine, s->machine)) sunup__text(p->t, ", ");
        if (!same(other->machine, s->machine)) sunup__put_short(p->t, other->machine, 60);
        sunup__text(p->t, ")");
    }
    sunup__text(p->t, " ");
    sunup__put_escaped(p->t, sunup__page_value(human, other, sunup__page_newest(other)));
    put_ratio(p->t, s, other);
    sunup__text(p->t, "</p>");
}

static void put_newest(const struct page *p, const struct track_series *s)
{
    const struct track_point *last = &s->points[s->n - 1];
    char human[HUMAN_TEXT];
    sunup__text(p->t, "<p><b>");
    if (s->key->kind == TRACK_WORD)
        sunup__put_short(p->t, last->row->word, 80);
    else
        sunup__put_escaped(p->t, sunup__page_value(human, s, last->value));
    sunup__text(p->t, "</b>");
    if (s->key->kind == TRACK_SAMPLES && last->value > 0 && last->spread > 0)
        sunup__text(p->t, " <small>± %.2g %%</small>", 100 * last->spread / last->value);
    if (s->key->kind == TRACK_PAIRS) sunup__text(p->t, " <small>against ");
    if (s->key->kind == TRACK_PAIRS) sunup__put_short(p->t, last->row->baseline, 40);
    if (s->key->kind == TRACK_PAIRS) sunup__text(p->t, "</small>");
    put_share(p->t, s);
    sunup__text(p->t, "</p>");
}

/* Found in the newest run? The first of a series' findings is new if any is. */
static void put_news(const struct page *p, int number)
{
    const int f = p->first[number];
    if (f < 0 || !p->v->findings[f].is_new) return;
    sunup__text(p->t, "<p class=\"%s\"><b class=\"tag\">%s</b></p>",
                p->v->findings[f].worse ? "bad" : "good",
                p->v->findings[f].worse ? "✖ newly worse" : "✔ newly better");
}

static void put_row(const struct panels *q, int number)
{
    const struct page *p = q->p;
    const struct track_series *s = &p->v->table.series[number];
    struct spark spark = {.width = 240, .height = 36, .n = 1, .series = {s}};
    if (ours(s) && comparable(s)) spark.n += others_of(q, s, spark.series + 1);
    sunup__text(p->t, "<div class=\"m\" id=\"s%d\"><div>", number);
    sunup__put_short(p->t, s->key->quantity, 60);
    if (!ours(s)) {
        sunup__text(p->t, " of ");
        sunup__put_short(p->t, s->key->engine, 60);
    }
    sunup__text(p->t, " <small>");
    sunup__page_where(p, s);
    sunup__text(p->t, "</small></div>");
    sunup__page_spark(p, &spark);
    sunup__text(p->t, "<div>");
    put_news(p, number);
    put_newest(p, s);
    for (int i = 1; i < spark.n; i++) put_other(p, s, spark.series[i], i);
    sunup__text(p->t, "</div></div>\n");
}

/* ---------------------------------------------------------------------------- suites --- */

/* One past the last series of the suite, or of the case, that begins at i. */
static int end_of(const struct page *p, int i, bool whole_suite)
{
    const struct track_table *t = &p->v->table;
    const struct track_row *first = t->series[i].key;
    while (i < t->n && same(t->series[i].key->suite, first->suite) &&
           (whole_suite || same(t->series[i].key->name, first->name)))
        i++;
    return i;
}

static void put_case(const struct panels *q, int from, int to)
{
    const struct page *p = q->p;
    int n = 0;
    for (int i = from; i < to; i++) n += leads(q, i);
    if (n == 0) return;
    sunup__text(p->t, "<div class=\"c\"><h4>");
    sunup__put_short(p->t, p->v->table.series[from].key->name, 300);
    sunup__text(p->t, "</h4>\n");
    for (int i = from; i < to; i++)
        if (leads(q, i)) put_row(q, i);
    sunup__text(p->t, "</div>\n");
}

static void put_suite(const struct panels *q, int from, int to)
{
    const struct page *p = q->p;
    const char *suite = p->v->table.series[from].key->suite;
    int n = 0, worse = 0;
    for (int i = from; i < to; i++) {
        const int f = p->first[i];
        n += leads(q, i);
        worse += f >= 0 && p->v->findings[f].is_new && p->v->findings[f].worse;
    }
    if (n == 0) return;
    sunup__text(p->t, "<details class=\"g\" data-suite=\"");
    sunup__put_short(p->t, suite, 100);
    sunup__text(p->t, "\"><summary>");
    sunup__put_short(p->t, suite[0] != '\0' ? suite : "(no suite)", 100);
    sunup__text(p->t, " <small>%d series", n);
    if (worse > 0) sunup__text(p->t, ", %d newly worse", worse);
    sunup__text(p->t, "</small></summary>\n");
    for (int i = from; i < to; i = end_of(p, i, false)) put_case(q, i, end_of(p, i, false));
    sunup__text(p->t, "</details>\n");
}

void sunup__page_series(const struct page *p)
{
    struct panels q = {.p = p};
    const int n = p->v->table.n;
    sunup__text(p->t, "<h2 id=\"series\">Series</h2>\n<div id=\"search\" hidden=\"hidden\"><label "
                      "for=\"filter\">Show only cases "
                      "with</label><input id=\"filter\" type=\"search\"/> <small id=\"hits\" "
                      "aria-live=\"polite\"></small></div>\n"
                      "<p class=\"dim\">Over the time of the whole history; values as the canary's "
                      "pace would have them. "
                      "Triangles: what was found, pointing where the value went. Dashed: other "
                      "engines, same axis.</p>\n");
    if (n == 0) sunup__text(p->t, "<p>Nothing was measured.</p>\n");
    if (prepare(&q))
        for (int i = 0; i < n; i = end_of(p, i, true)) put_suite(&q, i, end_of(p, i, true));
    else
        sunup__text_fail(p->t);
    sunup__free(q.others);
    sunup__free(q.joined);
}
