/* bench_html.c - the roofline of all rows: one HTML file that needs nothing else.
 *
 * Both axes are logarithmic: flops a byte (each operand moved once) against FLOP/s. Two ceilings: the
 * FMA rate of all threads, and the copy rate times flops a byte. A row is a filled point for the maker
 * that a plan takes and hollow ones for the other ways; what a point is stands in its tooltip, and all
 * numbers in the table below. The picture itself is track/chart.h's.
 */
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "bench_kernel.h"
#include "track/chart.h"
#include "track/draw.h"

enum { WIDTH = 1100, HEIGHT = 640 };

static bool drawn(const struct row *r, int way)
{
    return r->flops > 0 && r->bytes > 0 && r->ways[way].t.n > 0;
}

static struct roofline_point point_of(const struct row *r, int way)
{
    return (struct roofline_point){.flops = r->flops,
                                   .bytes = r->bytes,
                                   .seconds = r->ways[way].t.median_s,
                                   .ours = way == r->chosen,
                                   .problem = r->text};
}

static void put_point(struct text *t, const struct roofline *roof, const struct row *r, int way)
{
    const struct timed_way *w = &r->ways[way];
    char title[BENCH_NAME + PROBLEM_TEXT + 128];
    (void)snprintf(title, sizeof title, "%s\n%s\n%s: %.3f ms, %.1f GFLOP/s, %.1f GB/s, %.0f%% of %s", r->name, r->text,
                   w->name, 1e3 * w->t.median_s, 1e-9 * r->flops / w->t.median_s,
                   1e-9 * r->bytes / w->t.median_s, 100 * r->bound_s / w->t.median_s,
                   r->by_memory ? "copy" : "FMA");
    struct roofline_point p = point_of(r, way);
    p.title = title;
    sunup__roofline_point(t, roof, &p);
}

static void put_chart(struct text *t, const struct kernel_bench *k)
{
    struct roofline roof = sunup__roofline("kernels under their roof", WIDTH, HEIGHT);
    roof.flops_per_s = k->b->top.flops_per_s;
    roof.bytes_per_s = k->b->top.copy_bytes_per_s;
    roof.flops_name = "FMA";
    roof.bytes_name = "copy of 64 MiB";
    for (int i = 0; i < k->n_rows; i++)
        for (int w = 0; w < k->rows[i].n_ways; w++) {
            const struct roofline_point p = point_of(&k->rows[i], w);
            if (drawn(&k->rows[i], w)) sunup__roofline_include(&roof, &p);
        }
    sunup__roofline_begin(t, &roof);
    for (int ours = 0; ours < 2; ours++)
        for (int i = 0; i < k->n_rows; i++)
            for (int w = 0; w < k->rows[i].n_ways; w++)
                if (drawn(&k->rows[i], w) && (w == k->rows[i].chosen) == (ours == 1))
                    put_point(t, &roof, &k->rows[i], w);
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
            sunup__put_escaped(t, r->name);
            sunup__text(t, "<td>");
            sunup__put_escaped(t, r->text);
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
