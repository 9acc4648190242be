/* report_spark.c - series over time in a few hundred bytes: at most 100 points a line, the least
 * and the largest value of every stretch among them, so that no peak is lost.
 *
 * The horizontal axis is the time of the whole history in every picture, so that pictures can be
 * compared. The vertical one spans a tenth of the largest value at least: noise is not to look like
 * mountains.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "track/page.h"

enum { STRETCHES = 50, MARKS = 24, EDGE = 6 };

struct frame {
    const struct page *p;
    int left, right, top, foot;
    double low, high;
    int64_t from, to;
};

/* As drawn: pairs as ratios; a word has no height. */
static double drawn(const struct track_series *s, int i)
{
    const struct track_point *q = &s->points[i];
    if (s->key->kind == TRACK_WORD) return NAN;
    return s->key->kind == TRACK_PAIRS ? exp(q->value) : isfinite(q->normal) ? q->normal : q->value;
}

static int x_of(const struct frame *f, int64_t at)
{
    const double part = f->to > f->from ? (double)(at - f->from) / (double)(f->to - f->from) : 1;
    return f->left + (int)lrint(fmin(fmax(part, 0), 1) * (f->right - f->left));
}

static int y_of(const struct frame *f, double value)
{
    return f->foot - (int)lrint((value - f->low) / (f->high - f->low) * (f->foot - f->top));
}

static int64_t time_of(const struct frame *f, const struct track_series *s, int i)
{
    return f->p->h->runs[s->points[i].run].at;
}

/* Indices of the points to draw; returns how many. */
static int thin(const struct frame *f, const struct track_series *s, int *out)
{
    int n = 0, low = -1, high = -1, stretch = -1;
    for (int i = 0; i <= s->n; i++) {
        if (i < s->n && !isfinite(drawn(s, i))) continue;
        const int width = f->right - f->left + 1;
        const int at = i == s->n ? -1
                       : s->n <= STRETCHES
                           ? i
                           : (x_of(f, time_of(f, s, i)) - f->left) * STRETCHES / width;
        if (at != stretch && low >= 0) {
            out[n++] = low < high ? low : high;
            if (low != high) out[n++] = low < high ? high : low;
        }
        if (i == s->n) break;
        if (at != stretch) low = high = i;
        stretch = at;
        if (drawn(s, i) < drawn(s, low)) low = i;
        if (drawn(s, i) > drawn(s, high)) high = i;
    }
    return n;
}

static void put_line(struct text *t, const struct frame *f, const struct track_series *s, int which)
{
    int at[2 * STRETCHES + 2];
    const int n = thin(f, s, at);
    char d[24 * (2 * STRETCHES + 3)];
    int length = 0, x = 0, y = 0;
    for (int i = 0; i < n; i++) {
        const int to_x = x_of(f, time_of(f, s, at[i])), to_y = y_of(f, drawn(s, at[i]));
        const char *form = i == 0 ? "M%d %dl" : to_y < y ? "%d%d" : "%d %d";
        length += snprintf(d + length, sizeof d - (size_t)length, form, to_x - x, to_y - y);
        if (i + 1 < n) d[length++] = ' ';
        x = to_x;
        y = to_y;
    }
    if (n == 0) return;
    if (n == 1) d[length - 1] = '\0';
    sunup__text(t, "<path class=\"l e%d\" d=\"%s\"/>", which, d);
    if (which == 0) sunup__text(t, "<circle cx=\"%d\" cy=\"%d\" r=\"6\"/>", x, y);
}

/* A tick where the word changed. */
static void put_words(struct text *t, const struct frame *f, const struct track_series *s)
{
    sunup__text(t, "<path class=\"l e0\" d=\"M%d %dH%d", f->left, f->foot, f->right);
    for (int i = 1; i < s->n; i++)
        if (strcmp(s->points[i].row->word, s->points[i - 1].row->word) != 0)
            sunup__text(t, "M%d %dV%d", x_of(f, time_of(f, s, i)), f->top, f->foot);
    sunup__text(t, "\"/>");
}

/* A change: a line through the picture, and a triangle that points where the value went. */
static void put_mark(struct text *t, const struct frame *f, const struct track_finding *found)
{
    const int x = x_of(f, f->p->h->runs[found->run].at), up = found->change > 0;
    char day[DAY_TEXT];
    sunup__text(t, "<path class=\"%s\" d=\"M%d %dV%dM%d %dh16l-8 %dz\"><title>%s: ",
                found->worse ? "w" : "b", x, f->top, f->foot, x - 8, up ? 12 : 0, up ? -12 : 12,
                sunup__day(day, f->p->h->runs[found->run].at));
    sunup__put_short(t, found->text, 160);
    sunup__text(t, "</title></path>");
}

static void put_marks(struct text *t, const struct frame *f, const struct track_series *s)
{
    const int number = sunup__page_series_number(f->p, s);
    if (number < 0) return;
    int n = 0;
    for (int i = f->p->first[number]; i >= 0 && n < MARKS; i = f->p->next[i], n++)
        put_mark(t, f, &f->p->v->findings[i]);
}

/* Least and largest value over all lines; false: there is none. */
static bool range(struct frame *f, const struct spark *s)
{
    f->low = INFINITY;
    f->high = -INFINITY;
    for (int l = 0; l < s->n; l++)
        for (int i = 0; i < s->series[l]->n; i++) {
            const double v = drawn(s->series[l], i);
            if (!isfinite(v)) continue;
            f->low = fmin(f->low, v);
            f->high = fmax(f->high, v);
        }
    return f->low <= f->high;
}

static void pad(struct frame *f)
{
    const double largest = fmax(fabs(f->low), fabs(f->high)), span = f->high - f->low;
    const double want = fmax(span, largest > 0 ? 0.1 * largest : 1);
    f->low -= (want - span) / 2;
    f->high += (want - span) / 2;
}

static void put_axes(struct text *t, const struct frame *f, const struct track_series *s)
{
    char human[HUMAN_TEXT], day[DAY_TEXT];
    for (int i = 0; i < 3; i++) {
        const double v = f->low + i * (f->high - f->low) / 2;
        const double raw = s->key->kind == TRACK_PAIRS ? log(v) : v;
        sunup__text(
            t, "<path class=\"grid\" d=\"M%d %dH%d\"/><text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
            f->left, y_of(f, v), f->right, f->left - 8, y_of(f, v) + 8);
        sunup__put_escaped(t, sunup__page_value(human, s, raw));
        sunup__text(t, "</text>");
    }
    sunup__text(t, "<text x=\"%d\" y=\"%d\">%s</text>", f->left, f->foot + 34,
                sunup__day(day, f->from));
    sunup__text(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", f->right, f->foot + 34,
                sunup__day(day, f->to));
}

static void put_title(struct text *t, const struct frame *f, const struct track_series *s, bool any)
{
    char a[HUMAN_TEXT], b[HUMAN_TEXT], from[DAY_TEXT], to[DAY_TEXT];
    sunup__text(t, "<title>%d %s, %s to %s", s->n, s->n == 1 ? "run" : "runs",
                sunup__day(from, time_of(f, s, 0)), sunup__day(to, time_of(f, s, s->n - 1)));
    if (any) {
        const bool pairs = s->key->kind == TRACK_PAIRS;
        sunup__text(t, ", ");
        sunup__put_escaped(t, sunup__page_value(a, s, pairs ? log(f->low) : f->low));
        sunup__text(t, " to ");
        sunup__put_escaped(t, sunup__page_value(b, s, pairs ? log(f->high) : f->high));
    }
    sunup__text(t, "</title>");
}

/* Two units of the drawing are a pixel, so that whole numbers are fine enough. */
void sunup__page_spark(const struct page *p, const struct spark *s)
{
    const struct track_series *ours = s->series[0];
    const int w = 2 * s->width, h = 2 * s->height;
    struct frame f = {.p = p, .left = EDGE, .right = w - EDGE - 4, .top = EDGE, .foot = h - EDGE};
    if (ours->n == 0) return;
    if (s->axes) f.left = 190, f.foot = h - 44;
    f.from = p->h->runs[0].at;
    f.to = p->h->runs[p->h->n_runs - 1].at;
    const bool any = range(&f, s);
    sunup__text(p->t, "<svg class=\"%s\" viewBox=\"0 0 %d %d\" role=\"img\">",
                s->axes ? "big" : "s", w, h);
    put_title(p->t, &f, ours, any);
    if (any) {
        pad(&f);
        if (s->axes) put_axes(p->t, &f, ours);
        for (int i = s->n - 1; i >= 0; i--) put_line(p->t, &f, s->series[i], i);
    }
    if (ours->key->kind == TRACK_WORD) put_words(p->t, &f, ours);
    put_marks(p->t, &f, ours);
    sunup__text(p->t, "</svg>");
}
