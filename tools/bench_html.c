/* bench_html.c - the roofline of all rows: one HTML file that needs nothing else.
 *
 * Both axes are logarithmic: flops a byte (each operand moved once) against GFLOP/s. Two ceilings: the
 * FMA rate of all threads, and the copy rate times flops a byte. A row is a filled point for the maker
 * that a plan takes and hollow ones for the other ways; what a point is stands in its tooltip, and all
 * numbers in the table below. Model: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.
 */
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "bench_kernel.h"

enum { WIDTH = 1100, HEIGHT = 640, LEFT = 70, RIGHT = 30, TOP = 20, BOTTOM = 50 };

struct chart {
    double x0, x1, y0, y1; /* decimal logarithms of the corners */
    double fma, copy;      /* ceilings: flops/s, bytes/s        */
};

static double x_at(const struct chart *c, double flops_per_byte)
{
    return LEFT + (log10(flops_per_byte) - c->x0) / (c->x1 - c->x0) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct chart *c, double flops_per_s)
{
    const double y = (log10(1e-9 * flops_per_s) - c->y0) / (c->y1 - c->y0);
    return HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM);
}

static void put_escaped(struct text *t, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '<')
            sunup__text(t, "&lt;");
        else if (*s == '&')
            sunup__text(t, "&amp;");
        else
            sunup__text(t, "%c", *s);
    }
}

static bool drawn(const struct row *r, int way)
{
    return r->flops > 0 && r->bytes > 0 && r->ways[way].t.n > 0;
}

/* Whole decades around all points and the peak. */
static struct chart chart_of(const struct kernel_bench *k)
{
    struct chart c = {.x0 = 0, .x1 = 1, .y0 = 1, .y1 = 2};
    c.fma = k->b->top.flops_per_s;
    c.copy = k->b->top.copy_bytes_per_s;
    c.y1 = fmax(c.y1, ceil(log10(1e-9 * c.fma)));
    for (int i = 0; i < k->n_rows; i++) {
        const struct row *r = &k->rows[i];
        for (int w = 0; w < r->n_ways; w++) {
            if (!drawn(r, w)) continue;
            const double x = log10(r->flops / r->bytes);
            const double y = log10(1e-9 * r->flops / r->ways[w].t.median_s);
            c.x0 = fmin(c.x0, floor(x));
            c.x1 = fmax(c.x1, ceil(x));
            c.y0 = fmin(c.y0, floor(y));
            c.y1 = fmax(c.y1, ceil(y));
        }
    }
    return c;
}

static void put_axes(struct text *t, const struct chart *c)
{
    for (int x = (int)c->x0; x <= (int)c->x1; x++) {
        const double at = x_at(c, pow(10, x));
        sunup__text(t,
                    "<line class=grid x1=%.1f y1=%d x2=%.1f y2=%d /><text x=%.1f y=%d "
                    "text-anchor=middle>%g</text>\n",
                    at, TOP, at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 18, pow(10, x));
    }
    for (int y = (int)c->y0; y <= (int)c->y1; y++) {
        const double at = y_at(c, 1e9 * pow(10, y));
        sunup__text(t,
                    "<line class=grid x1=%d y1=%.1f x2=%d y2=%.1f /><text x=%d y=%.1f "
                    "text-anchor=end>%g</text>\n",
                    LEFT, at, WIDTH - RIGHT, at, LEFT - 8, at + 4, pow(10, y));
    }
    sunup__text(
        t,
        "<text x=%d y=%d text-anchor=middle>flops a byte, each operand moved once</text>\n"
        "<text transform='translate(18 %d) rotate(-90)' text-anchor=middle>GFLOP/s</text>\n",
        WIDTH / 2, HEIGHT - 8, HEIGHT / 2);
}

static void put_ceilings(struct text *t, const struct chart *c)
{
    const double low = pow(10, c->x0), high = pow(10, c->x1), knee = c->fma / c->copy;
    const double from = fmax(low, 1e9 * pow(10, c->y0) / c->copy);
    sunup__text(t, "<polyline class=roof points='%.1f,%.1f %.1f,%.1f %.1f,%.1f' />\n",
                x_at(c, from), y_at(c, from * c->copy), x_at(c, knee), y_at(c, c->fma),
                x_at(c, fmax(high, knee)), y_at(c, c->fma));
    sunup__text(t,
                "<text x=%d y=%.1f text-anchor=end>FMA %.0f GFLOP/s</text>"
                "<text x=%.1f y=%.1f>copy of 64 MiB %.0f GB/s</text>\n",
                WIDTH - RIGHT, y_at(c, c->fma) - 6, 1e-9 * c->fma, x_at(c, from) + 40,
                y_at(c, from * c->copy) + 14, 1e-9 * c->copy);
}

/* A colour a kind of op: the word before '_' or ':'. */
static int hue(const char *problem)
{
    unsigned h = 0;
    for (const char *s = problem; *s != '\0' && *s != ':' && *s != '_'; s++)
        h = h * 31 + (unsigned char)*s;
    return (int)(h * 47 % 360);
}

static void put_point(struct text *t, const struct chart *c, const struct row *r, int way)
{
    const struct timed_way *w = &r->ways[way];
    const double rate = r->flops / w->t.median_s;
    const bool ours = way == r->chosen;
    sunup__text(t, "<circle class=%s cx=%.1f cy=%.1f r=%g style='--hue:%d'><title>",
                ours ? "ours" : "other", x_at(c, r->flops / r->bytes), y_at(c, rate),
                ours ? 5.0 : 3.5, hue(r->text));
    put_escaped(t, r->name);
    sunup__text(t, "\n");
    put_escaped(t, r->text);
    sunup__text(t, "\n%s: %.3f ms, %.1f GFLOP/s, %.1f GB/s, %.0f%% of %s</title></circle>\n",
                w->name, 1e3 * w->t.median_s, 1e-9 * rate, 1e-9 * r->bytes / w->t.median_s,
                100 * r->bound_s / w->t.median_s, r->by_memory ? "copy" : "FMA");
}

static void put_chart(struct text *t, const struct kernel_bench *k)
{
    const struct chart c = chart_of(k);
    sunup__text(t, "<svg viewBox='0 0 %d %d'>\n", WIDTH, HEIGHT);
    put_axes(t, &c);
    put_ceilings(t, &c);
    for (int ours = 0; ours < 2; ours++)
        for (int i = 0; i < k->n_rows; i++)
            for (int w = 0; w < k->rows[i].n_ways; w++)
                if (drawn(&k->rows[i], w) && (w == k->rows[i].chosen) == (ours == 1))
                    put_point(t, &c, &k->rows[i], w);
    sunup__text(t, "</svg>\n");
}

static void put_table(struct text *t, const struct kernel_bench *k)
{
    sunup__text(t, "<table><tr><th>name<th>problem<th>way<th>ms<th>quartiles<th>GFLOP/s<th>GB/s"
                   "<th>share<th>of<th>time / ours</tr>\n");
    for (int i = 0; i < k->n_rows; i++) {
        const struct row *r = &k->rows[i];
        for (int w = 0; w < r->n_ways; w++) {
            const struct sampled *s = &r->ways[w].t;
            if (s->n == 0) continue;
            sunup__text(t, "<tr%s><td>", w == r->chosen ? " class=chosen" : "");
            put_escaped(t, r->name);
            sunup__text(t, "<td>");
            put_escaped(t, r->text);
            sunup__text(
                t, "<td>%s<td>%.3f<td>%.3f .. %.3f<td>%.1f<td>%.1f<td>%.0f%%<td>%s<td>%.2f</tr>\n",
                r->ways[w].name, 1e3 * s->median_s, 1e3 * s->q1_s, 1e3 * s->q3_s,
                1e-9 * r->flops / s->median_s, 1e-9 * r->bytes / s->median_s,
                100 * r->bound_s / s->median_s, r->by_memory ? "copy" : "FMA",
                s->median_s / r->ways[r->chosen].t.median_s);
        }
    }
    sunup__text(t, "</table>\n");
}

sunup_status bench_html(const struct kernel_bench *k, const char *path)
{
    sunup_context *ctx = k->b->c->ctx;
    struct text t = {0};
    sunup__text(&t, "<!doctype html><meta charset=utf-8><title>sunup: kernels</title>\n<style>"
                    "body{font:14px sans-serif;margin:2em;max-width:1100px}svg text{font-size:12px}"
                    ".grid{stroke:#ddd}.roof{stroke:#333;stroke-width:2;fill:none}"
                    ".ours{fill:hsl(var(--hue) 70%% 45%%);stroke:#fff}"
                    ".other{fill:none;stroke:hsl(var(--hue) 40%% 60%%);stroke-width:1.5}"
                    "table{border-collapse:collapse;font-size:12px}td,th{padding:2px 8px;"
                    "text-align:left}td:nth-child(2){word-break:break-all}.chosen{background:#eef}"
                    "pre{white-space:pre-wrap}</style>\n"
                    "<h1>Kernels under their roof</h1>\n<pre>");
    bench_origin(&t, ctx, "");
    sunup__text(&t, "</pre>\n<p>Filled: the maker that a plan takes. Hollow: other ways. Flops of "
                    "convolutions leave out taps in the padding; a maker that multiplies less "
                    "(Winograd) can stand above the roof, and so can "
                    "what caches hold: the table's shares are of a copy of as many bytes.</p>\n");
    put_chart(&t, k);
    put_table(&t, k);
    CHECK(t.s != NULL, ctx, E_MEMORY, "no memory to draw '%s'", path);
    const sunup_status status = sunup__file_write(ctx, path, t.s, t.n);
    sunup__free(t.s);
    return status;
}
