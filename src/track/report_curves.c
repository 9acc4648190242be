/* report_curves.c - the roofline of the newest runs, and curves over ranks and over bytes.
 *
 * Curves over ranks: series of one case and quantity that differ in ranks. Over bytes: series whose
 * cases differ in a size at the end of their names alone ("allreduce:f32:1MiB"; what says its bytes
 * and no flops). Lines of all engines, suites and machines of that name are in one picture, so a
 * vendor's stands beside ours. Both axes are logarithmic.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/chart.h"
#include "track/page.h"
#include "track/stats.h"

enum { CHARTS = 40, LINES = 6, ROWS = 300 };

/* --------------------------------------------------------------------------- roofline --- */

static bool on_roof(const struct track_row *row)
{
    return row->kind == TRACK_SAMPLES && row->flops > 0 && row->bytes > 0 &&
           strcmp(row->unit, "s") == 0 && row->n > 0;
}

static struct roofline_point roof_point(const struct track_row *row)
{
    return (struct roofline_point){.flops = row->flops,
                                   .bytes = row->bytes,
                                   .seconds = sunup__median(row->values, row->n),
                                   .ours = strcmp(row->engine, "sunup") == 0,
                                   .problem = row->name};
}

/* The run's own ceilings; without them the highest bounds that its rows name. */
static void ceilings(const struct track_run *run, struct roofline *r)
{
    r->flops_per_s = strtod(sunup__track_fact(run, "peak_flops_per_s"), NULL);
    r->bytes_per_s = strtod(sunup__track_fact(run, "copy_bytes_per_s"), NULL);
    r->flops_name = "peak";
    r->bytes_name = "copy";
    const bool no_flops = !(r->flops_per_s > 0), no_bytes = !(r->bytes_per_s > 0);
    if (no_flops) r->flops_name = "highest bound";
    if (no_bytes) r->bytes_name = "highest bound";
    for (int i = 0; i < run->n_rows; i++) {
        const struct track_row *row = &run->rows[i];
        if (!on_roof(row) || !(row->bound_s > 0)) continue;
        if (no_flops) r->flops_per_s = fmax(r->flops_per_s, row->flops / row->bound_s);
        if (no_bytes) r->bytes_per_s = fmax(r->bytes_per_s, row->bytes / row->bound_s);
    }
}

static void put_roof_points(const struct page *p, const struct track_run *run, struct roofline *r)
{
    for (int ours = 0; ours < 2; ours++)
        for (int i = 0; i < run->n_rows; i++) {
            const struct track_row *row = &run->rows[i];
            struct roofline_point point = roof_point(row);
            if (!on_roof(row) || point.ours != (ours == 1)) continue;
            char time[HUMAN_TEXT], rate[HUMAN_TEXT], title[400];
            (void)snprintf(title, sizeof title, "%.200s\n%.60s: %s, %s", row->name, row->engine,
                           sunup__human(time, point.seconds, "s"),
                           sunup__human(rate, row->flops / point.seconds, "flop/s"));
            point.title = title;
            sunup__roofline_point(p->t, r, &point);
        }
}

static void put_roof_table(const struct page *p, const struct track_run *run)
{
    sunup__text(
        p->t,
        "<details><summary>The points as a table</summary><div class=\"box\"><table><thead><tr>"
        "<th scope=\"col\">case</th><th scope=\"col\">engine</th><th scope=\"col\">time</th>"
        "<th scope=\"col\">rate</th><th scope=\"col\">moved</th><th scope=\"col\">of its "
        "bound</th></tr></thead>\n");
    for (int i = 0, n = 0; i < run->n_rows && n < ROWS; i++) {
        const struct track_row *row = &run->rows[i];
        char time[HUMAN_TEXT], rate[HUMAN_TEXT], moved[HUMAN_TEXT];
        if (!on_roof(row)) continue;
        const double seconds = sunup__median(row->values, row->n);
        sunup__text(p->t, "<tr><td>");
        sunup__put_short(p->t, row->name, 120);
        sunup__text(p->t, "</td><td>");
        sunup__put_short(p->t, row->engine, 60);
        sunup__text(p->t,
                    "</td><td class=\"num\">%s</td><td class=\"num\">%s</td><td "
                    "class=\"num\">%s</td><td class=\"num\">",
                    sunup__human(time, seconds, "s"),
                    sunup__human(rate, row->flops / seconds, "flop/s"),
                    sunup__human(moved, row->bytes / seconds, "B/s"));
        if (row->bound_s > 0) sunup__text(p->t, "%.0f %%", 100 * row->bound_s / seconds);
        sunup__text(p->t, "</td></tr>\n");
        n++;
    }
    sunup__text(p->t, "</table></div></details>\n");
}

static bool put_roof(const struct page *p, const struct track_run *run)
{
    struct roofline r = sunup__roofline("roofline of the newest run", 900, 480);
    int n = 0;
    for (int i = 0; i < run->n_rows; i++) {
        const struct roofline_point point = roof_point(&run->rows[i]);
        if (!on_roof(&run->rows[i])) continue;
        sunup__roofline_include(&r, &point);
        n++;
    }
    if (n == 0) return false;
    ceilings(run, &r);
    sunup__text(p->t, "<h3>Roofline ");
    sunup__put_short(p->t, sunup__track_fact(run, "machine"), 100);
    sunup__text(p->t, "</h3><p class=\"dim\">Filled: sunup. Hollow: other engines. A colour a kind "
                      "of operation; what a "
                      "point is stands in its tooltip and in the table.</p><div class=\"roof\">\n");
    sunup__roofline_begin(p->t, &r);
    put_roof_points(p, run, &r);
    sunup__text(p->t, "</svg></div>\n");
    put_roof_table(p, run);
    return true;
}

void sunup__page_roofline(const struct page *p)
{
    bool any = false;
    sunup__text(p->t, "<h2 id=\"curves\">Roofline and scaling</h2>\n");
    for (int i = 0; i < p->h->n_runs; i++)
        if (p->newest[i] == i) any = put_roof(p, &p->h->runs[i]) || any;
    if (!any) sunup__text(p->t, "<p>No row of the newest run says its flops and bytes.</p>\n");
}

/* ----------------------------------------------------------------------------- curves --- */

struct spot {
    const struct track_series *s;
    int stem; /* bytes of the name that tell curves apart */
    double x;
};

/* Length of the name without ":1MiB" or "_4096" at its end; 0: there is no size. */
static int stem_of(const char *name)
{
    const char *end = name + strlen(name), *at = end;
    while (at > name && isalpha((unsigned char)at[-1])) at--;
    const char *letters = at;
    while (at > name && (isdigit((unsigned char)at[-1]) || at[-1] == '.')) at--;
    if (at == letters || at <= name + 1 || end - letters > 3) return 0;
    if (letters < end && strchr("kKMGTB", *letters) == NULL) return 0;
    return strchr(":_-/ ", at[-1]) != NULL ? (int)(at - 1 - name) : 0;
}

static bool drawable(const struct track_series *s)
{
    const double y = sunup__page_newest(s);
    return s->key->kind == TRACK_SAMPLES && y > 0 && isfinite(y);
}

static int order_of(const char *a, const char *b)
{
    return a == b ? 0 : strcmp(a, b);
}

/* Are they in one picture? As qsort's comparisons. */
static int by_picture(const struct spot *a, const struct spot *b, bool over_bytes)
{
    const int shorter = a->stem < b->stem ? a->stem : b->stem;
    const int stem = strncmp(a->s->key->name, b->s->key->name, (size_t)shorter);
    if (stem != 0) return stem;
    if (a->stem != b->stem) return a->stem - b->stem;
    const int quantity = order_of(a->s->key->quantity, b->s->key->quantity);
    if (quantity != 0) return quantity;
    const int unit = order_of(a->s->key->unit, b->s->key->unit);
    return unit != 0 || !over_bytes ? unit : a->s->key->ranks - b->s->key->ranks;
}

/* Ours first, then by name. */
static int by_line(const struct spot *a, const struct spot *b)
{
    const int ours =
        (strcmp(b->s->key->engine, "sunup") == 0) - (strcmp(a->s->key->engine, "sunup") == 0);
    if (ours != 0) return ours;
    const int engine = order_of(a->s->key->engine, b->s->key->engine);
    if (engine != 0) return engine;
    const int source = order_of(a->s->key->source, b->s->key->source);
    return source != 0 ? source : order_of(a->s->machine, b->s->machine);
}

static int compare(const struct spot *a, const struct spot *b, bool over_bytes)
{
    const int picture = by_picture(a, b, over_bytes), line = picture != 0 ? picture : by_line(a, b);
    return line != 0 ? line : (a->x > b->x) - (a->x < b->x);
}

static int over_ranks(const void *a, const void *b)
{
    return compare(a, b, false);
}

static int over_bytes(const void *a, const void *b)
{
    return compare(a, b, true);
}

/* One past the line that begins at i. */
static int line_end(const struct spot *s, int i, int n)
{
    int j = i;
    while (j < n && by_line(&s[j], &s[i]) == 0) j++;
    return j;
}

static void put_marker(struct text *t, int line, double x, double y)
{
    static const char *const shapes[LINES] = {"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
                                              "m-4-4h8v8h-8z",
                                              "m0-5l5 9h-10z",
                                              "m0-5l5 5l-5 5l-5-5z",
                                              "m-4-4l8 8m0-8l-8 8",
                                              "m-5 0h10m-5-5v10"};
    sunup__text(t, "<path class=\"mark c%d\" d=\"M%.1f %.1f%s\"/>", line, x, y, shapes[line]);
}

static void put_curve(const struct page *p, const struct chart *c, const struct spot *s, int n,
                      int line)
{
    sunup__text(p->t, "<polyline class=\"l e%d\" points=\"", line);
    for (int i = 0; i < n; i++)
        sunup__text(p->t, "%.1f,%.1f ", sunup__chart_x(c, s[i].x),
                    sunup__chart_y(c, sunup__page_newest(s[i].s)));
    sunup__text(p->t, "\"/>");
    for (int i = 0; i < n; i++)
        put_marker(p->t, line, sunup__chart_x(c, s[i].x),
                   sunup__chart_y(c, sunup__page_newest(s[i].s)));
}

static void put_key(const struct page *p, const struct track_series *s, int line)
{
    sunup__text(p->t,
                "<span class=\"legend\"><svg class=\"key\" viewBox=\"0 0 34 10\"><path class=\"l "
                "e%d\" d=\"M0 5H34\"/>",
                line);
    put_marker(p->t, line, 17, 5);
    sunup__text(p->t, "</svg>");
    sunup__put_short(p->t, s->key->engine, 60);
    sunup__text(p->t, " <small>");
    if (strcmp(s->key->source, "sunup") != 0) sunup__put_short(p->t, s->key->source, 40);
    if (p->many_machines) sunup__text(p->t, " ");
    if (p->many_machines) sunup__put_short(p->t, s->machine, 60);
    sunup__text(p->t, "</small></span> ");
}

static void put_picture(const struct page *p, const struct spot *s, int n, bool bytes)
{
    char title[256];
    const struct track_row *key = s->s->key;
    (void)snprintf(title, sizeof title, "%s of %.*s", key->quantity, s->stem < 160 ? s->stem : 160,
                   key->name);
    if (bytes && key->ranks != 1)
        (void)snprintf(title + strlen(title), sizeof title - strlen(title), ", %d ranks",
                       key->ranks);
    struct chart c = sunup__chart(title, 520, 320);
    c.x.title = bytes ? "bytes" : "ranks";
    c.x.unit = bytes ? "B" : "";
    c.x.doubles = true;
    c.y.unit = key->unit;
    for (int i = 0; i < n; i++) sunup__chart_include(&c, s[i].x, sunup__page_newest(s[i].s));
    sunup__text(p->t, "<figure><figcaption>");
    sunup__put_short(p->t, title, 200);
    sunup__text(p->t, "</figcaption><div class=\"box\">\n");
    sunup__chart_begin(p->t, &c);
    for (int i = 0, line = 0; i < n && line < LINES; i = line_end(s, i, n), line++)
        put_curve(p, &c, s + i, line_end(s, i, n) - i, line);
    sunup__text(p->t, "</svg></div><p>");
    for (int i = 0, line = 0; i < n && line < LINES; i = line_end(s, i, n), line++)
        put_key(p, s[i].s, line);
    sunup__text(p->t, "</p></figure>\n");
}

/* A line alone makes a curve: two points at least. */
static bool is_curve(const struct spot *s, int n)
{
    for (int i = 0; i < n; i = line_end(s, i, n))
        if (s[line_end(s, i, n) - 1].x > s[i].x) return true;
    return false;
}

static int gather(const struct page *p, bool bytes, struct spot *spots)
{
    int n = 0;
    for (int i = 0; i < p->v->table.n; i++) {
        const struct track_series *s = &p->v->table.series[i];
        if (!drawable(s)) continue;
        const struct track_row *key = s->key;
        const bool sized = key->bytes > 0 && !(key->flops > 0);
        struct spot q = {s, (int)strlen(key->name), key->ranks};
        if (bytes) q = (struct spot){s, stem_of(key->name), key->bytes};
        if (q.stem > 0 && q.x > 0 && isfinite(q.x) && (!bytes || sized)) spots[n++] = q;
    }
    qsort(spots, (size_t)n, sizeof *spots, bytes ? over_bytes : over_ranks);
    return n;
}

static void put_pictures(const struct page *p, bool bytes, struct spot *spots)
{
    const int n = gather(p, bytes, spots);
    int drawn = 0, left = 0;
    for (int i = 0, j; i < n; i = j) {
        for (j = i; j < n && by_picture(&spots[j], &spots[i], bytes) == 0;) j++;
        if (!is_curve(spots + i, j - i)) continue;
        left += drawn == CHARTS;
        if (drawn == CHARTS) continue;
        if (drawn++ == 0)
            sunup__text(p->t, "<h3>Over %s</h3><div class=\"charts\">\n",
                        bytes ? "bytes" : "ranks");
        put_picture(p, spots + i, j - i, bytes);
    }
    if (drawn > 0) sunup__text(p->t, "</div>\n");
    if (left > 0) sunup__text(p->t, "<p>%d more are not drawn.</p>\n", left);
}

void sunup__page_curves(const struct page *p)
{
    struct spot *spots = sunup__alloc(((size_t)p->v->table.n + 1) * sizeof *spots);
    if (spots != NULL) {
        put_pictures(p, false, spots);
        put_pictures(p, true, spots);
    } else {
        sunup__text_fail(p->t);
    }
    sunup__free(spots);
}
