/* report_findings.c - each finding with its evidence: the sentence, how it was found, the series,
 * the pairs themselves, what changed between the runs, and what moved inside the step.
 *
 * New ones are articles, worst first as the verdict has them; older ones are a table, and of
 * thousands the first.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "track/page.h"
#include "track/stats.h"

enum { OPEN = 20, OLD = 500, MOVED = 12, CHANGED = 1500, LINES = 4000 };

static const char *how(enum track_gate gate)
{
    static const char *const texts[TRACK_GATES] = {
        [TRACK_GATE_COUNT] = "exact count or word: any change is a fact",
        [TRACK_GATE_PAIRS] =
            "pairs of one job, candidate and baseline in turns, found again by a second look",
        [TRACK_GATE_POINT] = "change point of the long series, at the canary's pace",
        [TRACK_GATE_SPREAD] = "the values scatter differently",
        [TRACK_GATE_OUTCOME] = "how the case ended",
        [TRACK_GATE_RATE] = "how often the case fails",
    };
    return (unsigned)gate < TRACK_GATES ? texts[gate] : "";
}

/* ------------------------------------------------------------------------- evidence --- */

static void put_interval(const struct page *p, const struct track_finding *f)
{
    char low[HUMAN_TEXT], high[HUMAN_TEXT];
    sunup__text(p->t, "<p class=\"dim\">");
    sunup__page_where(p, f->series);
    sunup__text(p->t, "%s%s", p->many_machines || f->series->key->ranks != 1 ? ": " : "",
                how(f->gate));
    if (isfinite(f->interval.low) && isfinite(f->interval.high))
        sunup__text(p->t, "; interval of the change %s to %s", sunup__percent(low, f->interval.low),
                    sunup__percent(high, f->interval.high));
    if (isfinite(f->p)) sunup__text(p->t, "; p = %.2g", f->p);
    if (f->row != NULL && f->row->baseline[0] != '\0') sunup__text(p->t, "; baseline ");
    if (f->row != NULL) sunup__put_short(p->t, f->row->baseline, 80);
    sunup__text(p->t, "</p>\n");
}

struct scale {
    double low, high;
    int width;
};

static void put_dots(const struct page *p, const struct scale *s, const double *x, int n, int y)
{
    for (int i = 0; i < n && i < 200; i++)
        if (isfinite(x[i]))
            sunup__text(p->t, "<circle class=\"%s\" cx=\"%.0f\" cy=\"%d\" r=\"5\"/>",
                        y < 40 ? "first" : "again",
                        20 + (x[i] - s->low) / (s->high - s->low) * (s->width - 40), y);
}

static void widen(struct scale *s, const double *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        s->low = fmin(s->low, x[i]);
        s->high = fmax(s->high, x[i]);
    }
}

/* Every pair is a dot at the logarithm of its ratio; the second look below the first, hollow. */
static void put_pairs(const struct page *p, const struct track_row *row)
{
    struct scale s = {.low = -0.01, .high = 0.01, .width = 1200};
    char low[HUMAN_TEXT], high[HUMAN_TEXT];
    widen(&s, row->values, row->n);
    widen(&s, row->confirm, row->n_confirm);
    if (!(s.high - s.low < 100)) return;
    const double zero = 20 + -s.low / (s.high - s.low) * (s.width - 40);
    sunup__text(
        p->t,
        "<svg class=\"big pairs\" viewBox=\"0 0 %d 108\" role=\"img\"><title>%d pairs against ",
        s.width, row->n);
    sunup__put_short(p->t, row->baseline, 60);
    sunup__text(p->t,
                ", %d of a second look (hollow), from %s to %s</title><path class=\"grid\" d=\"M20 "
                "26H1180M20 60H1180\"/>"
                "<path class=\"zero\" d=\"M%.0f 8V76\"/>",
                row->n_confirm, sunup__percent(low, exp(s.low) - 1),
                sunup__percent(high, exp(s.high) - 1), zero);
    put_dots(p, &s, row->values, row->n, 26);
    put_dots(p, &s, row->confirm, row->n_confirm, 60);
    const char *anchor = zero < 120 ? "start" : zero > 1080 ? "end" : "middle";
    if (zero > 300) sunup__text(p->t, "<text x=\"20\" y=\"102\">%s</text>", low);
    if (zero < 900)
        sunup__text(p->t, "<text x=\"1180\" y=\"102\" text-anchor=\"end\">%s</text>", high);
    sunup__text(p->t, "<text x=\"%.0f\" y=\"102\" text-anchor=\"%s\">no change</text>", zero,
                anchor);
    sunup__text(p->t, "</svg>\n");
}

static void put_moved(const struct page *p, const struct track_row *row)
{
    double most = 0;
    for (int i = 0; i < row->n_moved; i++)
        if (isfinite(row->moved[i].seconds)) most = fmax(most, fabs(row->moved[i].seconds));
    if (most <= 0) return;
    sunup__text(p->t,
                "<p>What moved inside, of a step:</p><div class=\"box\"><table class=\"moved\">\n");
    for (int i = 0; i < row->n_moved && i < MOVED; i++) {
        const struct track_moved *m = &row->moved[i];
        char human[HUMAN_TEXT];
        const double part = isfinite(m->seconds) ? fabs(m->seconds) / most : 0;
        sunup__text(p->t, "<tr><th scope=\"row\">");
        sunup__put_short(p->t, m->what, 200);
        sunup__text(p->t,
                    "</th><td class=\"num\">%s%s</td><td><span class=\"bar\" "
                    "style=\"width:%.0fpx\"></span>",
                    m->seconds > 0 ? "+" : "", sunup__human(human, m->seconds, "s"), 90 * part);
        if (isfinite(m->p)) sunup__text(p->t, "<small>p = %.2g</small>", m->p);
        sunup__text(p->t, "</td></tr>\n");
    }
    sunup__text(p->t, "</table></div>\n");
}

static void put_changed(const struct page *p, const struct track_finding *f)
{
    char changed[CHANGED], day[DAY_TEXT];
    if (f->before < 0 || f->before >= p->h->n_runs || f->run < 0 || f->run >= p->h->n_runs) return;
    const struct track_run *before = &p->h->runs[f->before];
    sunup__track_changed(before, &p->h->runs[f->run], changed, sizeof changed);
    sunup__text(p->t, "<p>Since the run of %s: ", sunup__day(day, before->at));
    sunup__put_short(p->t, changed[0] != '\0' ? changed : "no fact of the run changed", CHANGED);
    sunup__text(p->t, ".</p>\n");
}

/* Where and how it failed stands in the sentence. */
static void put_failure(const struct page *p, const struct track_row *row)
{
    if (row->kind != TRACK_OUTCOME) return;
    sunup__text(p->t, "<p>Failed %d of %d tries.</p>\n", row->failures, row->tries);
    if (row->message[0] == '\0') return;
    sunup__text(p->t, "<pre>");
    sunup__put_short(p->t, row->message, LINES);
    sunup__text(p->t, "</pre>\n");
}

/* ------------------------------------------------------------------------ one and all --- */

static void put_picture(const struct page *p, const struct track_finding *f)
{
    const int number = sunup__page_series_number(p, f->series);
    if (number < 0) {
        sunup__page_outcomes(p, f->series);
        return;
    }
    const struct spark s = {
        .width = 600, .height = 120, .axes = true, .n = 1, .series = {f->series}};
    if (f->series->key->kind != TRACK_WORD) sunup__page_spark(p, &s);
    sunup__text(p->t, "<p><a href=\"#s%d\">the series beside others</a></p>\n", number);
}

static void put_finding(const struct page *p, const struct track_finding *f)
{
    sunup__text(p->t, "<article class=\"%s\"><div><h3><span class=\"tag\">%s</span> ",
                f->worse ? "bad" : "good", f->worse ? "✖ worse:" : "✔ better:");
    sunup__put_short(p->t, f->text, 600);
    sunup__text(p->t, "</h3>\n");
    put_interval(p, f);
    put_changed(p, f);
    if (f->row != NULL) {
        put_failure(p, f->row);
        put_moved(p, f->row);
    }
    sunup__text(p->t, "</div><div>");
    if (f->row != NULL && f->row->kind == TRACK_PAIRS) put_pairs(p, f->row);
    put_picture(p, f);
    sunup__text(p->t, "</div></article>\n");
}

static void put_old(const struct page *p, const struct track_finding *f)
{
    char day[DAY_TEXT], changed[CHANGED] = "";
    const struct track_run *run = &p->h->runs[f->run];
    if (f->before >= 0) sunup__track_changed(&p->h->runs[f->before], run, changed, sizeof changed);
    sunup__text(p->t, "<tr><td class=\"num\">%s</td><td>%s</td><td>", sunup__day(day, run->at),
                f->worse ? "✖ worse" : "✔ better");
    sunup__put_short(p->t, f->text, 400);
    sunup__text(p->t, "<br/><small>");
    sunup__put_short(p->t, changed, 300);
    sunup__text(p->t, "</small></td></tr>\n");
}

static void put_all_new(const struct page *p, int n)
{
    sunup__text(p->t, "<h2 id=\"new\">New</h2>\n%s",
                n == 0 ? "<p>Nothing new was found.</p>\n" : "");
    for (int i = 0, shown = 0; i < p->v->n; i++) {
        if (!p->v->findings[i].is_new) continue;
        if (shown == OPEN) sunup__text(p->t, "<details><summary>%d more</summary>\n", n - OPEN);
        put_finding(p, &p->v->findings[i]);
        shown++;
    }
    if (n > OPEN) sunup__text(p->t, "</details>\n");
}

static void put_all_old(const struct page *p, int n)
{
    sunup__text(p->t, "<h2 id=\"old\">Older findings</h2>\n");
    if (n == 0) {
        sunup__text(p->t, "<p>None.</p>\n");
        return;
    }
    sunup__text(p->t, "<details><summary>%d</summary><div class=\"box\"><table>\n", n);
    for (int i = 0, shown = 0; i < p->v->n && shown < OLD; i++) {
        if (p->v->findings[i].is_new) continue;
        put_old(p, &p->v->findings[i]);
        shown++;
    }
    sunup__text(p->t, "</table></div>%s</details>\n",
                n > OLD ? "<p>and more: the first are shown</p>" : "");
}

void sunup__page_findings(const struct page *p, bool are_new)
{
    int n = 0;
    for (int i = 0; i < p->v->n; i++) n += p->v->findings[i].is_new == are_new;
    if (are_new)
        put_all_new(p, n);
    else
        put_all_old(p, n);
}
