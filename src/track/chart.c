/* chart.c - logarithmic axes with their ticks, ceilings and points of a roofline. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "track/chart.h"
#include "track/draw.h"

enum { LEFT = 92, RIGHT = 16, TOP = 14, BOTTOM = 48 };

struct chart sunup__chart(const char *title, int width, int height)
{
    const struct chart_axis nothing = {.title = "", .unit = "", .low = INFINITY, .high = -INFINITY};
    return (struct chart){title, width, height, nothing, nothing};
}

static bool fits(double x)
{
    return x > 0 && isfinite(x);
}

static void widen(struct chart_axis *a, double x)
{
    a->low = fmin(a->low, log10(x));
    a->high = fmax(a->high, log10(x));
}

void sunup__chart_include(struct chart *c, double x, double y)
{
    if (!fits(x) || !fits(y)) return;
    widen(&c->x, x);
    widen(&c->y, y);
}

static double place(const struct chart_axis *a, double x, double from, double to)
{
    return from + (log10(x) - a->low) / (a->high - a->low) * (to - from);
}

double sunup__chart_x(const struct chart *c, double x)
{
    return place(&c->x, x, LEFT, c->width - RIGHT);
}

double sunup__chart_y(const struct chart *c, double y)
{
    return place(&c->y, y, c->height - BOTTOM, TOP);
}

/* A little room around, and a third of a decade at least. */
static void settle(struct chart_axis *a)
{
    if (!(a->low <= a->high)) a->low = 0, a->high = 1;
    const double room = fmax(0.05 * (a->high - a->low), (0.33 - (a->high - a->low)) / 2);
    a->low -= room;
    a->high += room;
}

/* "10 GFLOP/s" and "1.5 ms", never "10.0 GFLOP/s" or "1.50 ms". */
static void tick_text(char *room, double x, const char *unit)
{
    sunup__human(room, x, unit);
    char *end = strchr(room, '.');
    if (end == NULL) return;
    while (isdigit((unsigned char)end[1])) end++;
    char *last = end;
    while (*last == '0') last--;
    last += *last != '.';
    memmove(last, end + 1, strlen(end + 1) + 1);
}

static void binary_text(char *room, double x)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int i = 0;
    for (; x >= 1024 && i < 4; i++) x /= 1024;
    (void)snprintf(room, HUMAN_TEXT, "%.4g %s", x, units[i]);
}

static void put_tick(struct text *t, const struct chart *c, bool along_x, double value)
{
    const int right = c->width - RIGHT, foot = c->height - BOTTOM;
    const struct chart_axis *a = along_x ? &c->x : &c->y;
    char label[HUMAN_TEXT];
    if (a->doubles && strcmp(a->unit, "B") == 0)
        binary_text(label, value);
    else
        tick_text(label, value, a->unit);
    const double at = along_x ? sunup__chart_x(c, value) : sunup__chart_y(c, value);
    if (along_x)
        sunup__text(t,
                    "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
                    "text-anchor=\"middle\">",
                    at, TOP, foot, at, foot + 17);
    else
        sunup__text(t,
                    "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                    "text-anchor=\"end\">",
                    LEFT, at, right, LEFT - 6, at + 4);
    sunup__put_escaped(t, label);
    sunup__text(t, "</text>\n");
}

/* Of many, every second, fourth ... power. */
static void put_doubles(struct text *t, const struct chart *c, bool along_x)
{
    const struct chart_axis *a = along_x ? &c->x : &c->y;
    int every = 1;
    while ((a->high - a->low) / (every * log10(2)) > 8) every *= 2;
    for (int k = (int)floor(a->low / log10(2)) / every * every; k * log10(2) <= a->high; k += every)
        if (k * log10(2) >= a->low) put_tick(t, c, along_x, exp2(k));
}

/* Decades; some values of each where they are few. More decades than ten: every second, third ...
 */
static void put_ticks(struct text *t, const struct chart *c, bool along_x)
{
    static const double steps[] = {1, 2, 5, 1.5, 3, 7};
    const struct chart_axis *a = along_x ? &c->x : &c->y;
    const double span = a->high - a->low;
    const int per = span < 0.8 ? 6 : span < 2.2 ? 3 : 1, every = 1 + (int)(span / 10);
    if (a->doubles) {
        put_doubles(t, c, along_x);
        return;
    }
    for (int k = (int)floor(a->low); k <= (int)ceil(a->high); k += every)
        for (int i = 0; i < per; i++) {
            const double at = log10(steps[i]) + k;
            if (at >= a->low && at <= a->high) put_tick(t, c, along_x, steps[i] * pow(10, k));
        }
}

void sunup__chart_begin(struct text *t, struct chart *c)
{
    settle(&c->x);
    settle(&c->y);
    sunup__text(t, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>", c->width, c->height);
    sunup__put_short(t, c->title, 200);
    sunup__text(t, "</title>\n");
    put_ticks(t, c, true);
    put_ticks(t, c, false);
    sunup__text(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + c->width - RIGHT) / 2,
                c->height - 8);
    sunup__put_escaped(t, c->x.title);
    sunup__text(t,
                "</text>\n<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">",
                (TOP + c->height - BOTTOM) / 2);
    sunup__put_escaped(t, c->y.title);
    sunup__text(t, "</text>\n");
}

/* ------------------------------------------------------------------------- roofline --- */

struct roofline sunup__roofline(const char *title, int width, int height)
{
    struct roofline r = {
        .chart = sunup__chart(title, width, height), .flops_name = "", .bytes_name = ""};
    r.chart.x.title = "flops a byte, each operand moved once";
    r.chart.y.unit = "flop/s";
    return r;
}

void sunup__roofline_include(struct roofline *r, const struct roofline_point *p)
{
    sunup__chart_include(&r->chart, p->flops / p->bytes, p->flops / p->seconds);
}

static void put_ceiling_name(struct text *t, double rate, const char *name, const char *unit)
{
    char human[HUMAN_TEXT];
    sunup__put_escaped(t, name);
    sunup__text(t, " %s</text>\n", sunup__human(human, rate, unit));
}

/* From the left edge, or the foot, up to the knee and along the peak. */
static void put_ceilings(struct text *t, const struct roofline *r)
{
    const struct chart *c = &r->chart;
    const double low = pow(10, c->x.low), high = pow(10, c->x.high), foot = pow(10, c->y.low);
    const bool slope = fits(r->bytes_per_s), flat = fits(r->flops_per_s);
    const double knee = slope && flat ? r->flops_per_s / r->bytes_per_s : flat ? low : high;
    sunup__text(t, "<polyline class=\"roof\" points=\"");
    const double from = slope ? fmax(low, foot / r->bytes_per_s) : low, end = fmin(knee, high);
    if (slope && from < end)
        sunup__text(t, "%.1f,%.1f %.1f,%.1f ", sunup__chart_x(c, from),
                    sunup__chart_y(c, from * r->bytes_per_s), sunup__chart_x(c, end),
                    sunup__chart_y(c, end * r->bytes_per_s));
    if (flat && knee < high)
        sunup__text(t, "%.1f,%.1f %.1f,%.1f", sunup__chart_x(c, fmax(knee, low)),
                    sunup__chart_y(c, r->flops_per_s), sunup__chart_x(c, high),
                    sunup__chart_y(c, r->flops_per_s));
    sunup__text(t, "\"/>\n");
    if (flat) {
        sunup__text(t, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", c->width - RIGHT - 4,
                    sunup__chart_y(c, r->flops_per_s) - 6);
        put_ceiling_name(t, r->flops_per_s, r->flops_name, "flop/s");
    }
    if (slope && from < end) {
        sunup__text(t, "<text x=\"%.1f\" y=\"%.1f\">", sunup__chart_x(c, from) + 40,
                    sunup__chart_y(c, from * r->bytes_per_s) + 4);
        put_ceiling_name(t, r->bytes_per_s, r->bytes_name, "B/s");
    }
}

void sunup__roofline_begin(struct text *t, struct roofline *r)
{
    if (fits(r->flops_per_s)) widen(&r->chart.y, r->flops_per_s);
    if (fits(r->flops_per_s) && fits(r->bytes_per_s))
        widen(&r->chart.x, r->flops_per_s / r->bytes_per_s);
    sunup__chart_begin(t, &r->chart);
    put_ceilings(t, r);
}

static int hue(const char *problem)
{
    unsigned h = 0;
    for (const char *s = problem; *s != '\0' && *s != ':' && *s != '_'; s++)
        h = h * 31 + (unsigned char)*s;
    return (int)(h * 137 % 360);
}

void sunup__roofline_point(struct text *t, const struct roofline *r, const struct roofline_point *p)
{
    const double x = p->flops / p->bytes, y = p->flops / p->seconds;
    if (!fits(x) || !fits(y)) return;
    sunup__text(t,
                "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" style=\"--hue:%d\"><title>",
                p->ours ? "ours" : "other", sunup__chart_x(&r->chart, x),
                sunup__chart_y(&r->chart, y), p->ours ? 5.0 : 3.5, hue(p->problem));
    sunup__put_escaped(t, p->title);
    sunup__text(t, "</title></circle>\n");
}
