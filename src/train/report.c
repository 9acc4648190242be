/* report.c - one self-contained HTML file: what was trained, curves, confusion matrix, the most wrong images.
 *
 * Inline SVG and CSS only: readable without JavaScript, on a phone, in a mail, offline. Images are drawn as one
 * <rect> a pixel run, which needs no image library.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/system.h"
#include "train/record.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>sunup "
    "run</title>\n<style>"
    ":root{--fg:#1d2530;--dim:#667;--line:#d7dce3;--a:#0b6e99;--b:#d1495b;--bg:#fff}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e9ee;--dim:#99a;--line:#3a424e;--a:#5ab4dc;--"
    "b:#f08a98;"
    "--bg:#14181e}}"
    "body{font:15px/1.5 "
    "system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1000px;margin:0 auto;"
    "padding:16px}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid "
    "var(--line)}"
    "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid "
    "var(--line)}"
    "th{font-weight:600}.scroll{overflow-x:auto}svg{max-width:100%;height:auto}"
    ".curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:16px}"
    ".wrong{display:flex;flex-wrap:wrap;gap:12px}.wrong figure{margin:0;width:112px}"
    "figcaption{font-size:12px;color:var(--dim)}text{fill:var(--dim);font-size:11px}.cell{fill:var("
    "--fg)}"
    "</style></head><body>\n";

/* ------------------------------------------------------------------ curves --- */

enum { W = 460, H = 260, LEFT = 52, BOTTOM = 28, TOP = 22 };

struct axis {
    double low, high;
};

static void widen(struct axis *a, double x)
{
    if (!isfinite(x)) return;
    if (x < a->low) a->low = x;
    if (x > a->high) a->high = x;
}

static double place(const struct axis *a, double x, double from, double to)
{
    const double span = a->high - a->low;
    return from + (to - from) * (span > 0 ? (x - a->low) / span : 0.5);
}

static double metric(const struct row *r, int which)
{
    const double values[] = {r->m.loss, r->m.accuracy, r->m.lr, r->m.grad_norm};
    return values[which];
}

static void polyline(struct text *out, const struct recorder *r, bool eval, int which,
                     const struct axis axes[2])
{
    sunup__text(out, "<polyline fill=\"none\" stroke=\"var(--%s)\" stroke-width=\"2\" points=\"",
                eval ? "b" : "a");
    for (int64_t i = 0; i < r->n_rows; i++) {
        const double y = metric(&r->rows[i], which);
        if (r->rows[i].eval != eval || !isfinite(y)) continue;
        sunup__text(out, "%.1f,%.1f ", place(&axes[0], r->rows[i].m.epoch, LEFT, W - 8),
                    place(&axes[1], y, H - BOTTOM, TOP));
    }
    sunup__text(out, "\"/>");
}

/* Evaluations are few, and a line through one point is nothing. */
static void dots(struct text *out, const struct recorder *r, int which, const struct axis axes[2])
{
    for (int64_t i = 0; i < r->n_rows; i++) {
        const double y = metric(&r->rows[i], which);
        if (!r->rows[i].eval || !isfinite(y)) continue;
        sunup__text(out, "<circle r=\"3\" fill=\"var(--b)\" cx=\"%.1f\" cy=\"%.1f\"/>",
                    place(&axes[0], r->rows[i].m.epoch, LEFT, W - 8),
                    place(&axes[1], y, H - BOTTOM, TOP));
    }
}

static void ticks(struct text *out, const struct axis axes[2])
{
    for (int i = 0; i <= 4; i++) {
        const double x = axes[0].low + i * (axes[0].high - axes[0].low) / 4;
        const double y = axes[1].low + i * (axes[1].high - axes[1].low) / 4;
        const double at = place(&axes[1], y, H - BOTTOM, TOP);
        sunup__text(out,
                    "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--line)\"/>",
                    LEFT, W - 8, at, at);
        sunup__text(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>", LEFT - 6,
                    at + 4, y);
        sunup__text(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.2g</text>",
                    place(&axes[0], x, LEFT, W - 8), H - 10, x);
    }
}

static void curve(struct text *out, const struct recorder *r, const char *title, int which)
{
    struct axis axes[2] = {{0, 0}, {INFINITY, -INFINITY}};
    for (int64_t i = 0; i < r->n_rows; i++) {
        if (!isfinite(metric(&r->rows[i], which))) continue;
        widen(&axes[0], r->rows[i].m.epoch);
        widen(&axes[1], metric(&r->rows[i], which));
    }
    if (!(axes[1].high >= axes[1].low)) return; /* never measured */
    sunup__text(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s over epochs\">", W, H,
                title);
    ticks(out, axes);
    polyline(out, r, false, which, axes);
    polyline(out, r, true, which, axes);
    dots(out, r, which, axes);
    sunup__text(out, "<text x=\"%d\" y=\"14\" class=\"cell\">%s</text></svg>\n", LEFT, title);
}

static void curves(struct text *out, const struct recorder *r)
{
    sunup__text(
        out, "<h2>Curves</h2><p>Over epochs; <span style=\"color:var(--a)\">training</span>, <span "
             "style=\"color:var(--b)\">evaluation</span>.</p><div class=\"curves\">");
    curve(out, r, "loss", 0);
    curve(out, r, "accuracy", 1);
    curve(out, r, "learning rate", 2);
    curve(out, r, "gradient norm", 3);
    sunup__text(out, "</div>\n");
}

/* -------------------------------------------------------- tables and pictures --- */

static void epochs(struct text *out, const struct recorder *r)
{
    sunup__text(
        out,
        "<h2>Evaluations</h2><div class=\"scroll\"><table><tr><th>epoch<th>step<th>loss<th>accuracy"
        "<th>seconds</tr>\n");
    for (int64_t i = 0; i < r->n_rows; i++) {
        const sunup_metrics *m = &r->rows[i].m;
        if (!r->rows[i].eval) continue;
        sunup__text(out, "<tr><td>%.2f<td>%lld<td>%.4f<td>", m->epoch, (long long)m->step, m->loss);
        if (isfinite(m->accuracy)) sunup__text(out, "%.4f", m->accuracy);
        sunup__text(out, "<td>%.2f</tr>\n", m->step_s);
    }
    sunup__text(out, "</table></div>\n");
}

static void confusion(struct text *out, const struct confusion *c)
{
    if (c->classes == 0 || c->classes > 40) return;
    sunup__text(out, "<h2>Confusion</h2><p>Row: the truth. Column: what the network says.</p><div "
                     "class=\"scroll\">"
                     "<table><tr><th>");
    for (int j = 0; j < c->classes; j++) sunup__text(out, "<th>%d", j);
    for (int i = 0; i < c->classes; i++) {
        int64_t all = 0;
        for (int j = 0; j < c->classes; j++) all += c->count[i * c->classes + j];
        sunup__text(out, "</tr>\n<tr><th>%d", i);
        for (int j = 0; j < c->classes; j++) {
            const int64_t n = c->count[i * c->classes + j];
            const double part = all > 0 ? (double)n / (double)all : 0;
            sunup__text(
                out,
                "<td style=\"background:color-mix(in srgb,var(--%s) %.0f%%,transparent)\">%lld",
                i == j ? "a" : "b", 60 * sqrt(part), (long long)n);
        }
    }
    sunup__text(out, "</tr></table></div>\n");
}

/* First field that looks like pictures: [H, W] or [H, W, C] of at most 128 x 128. */
static const struct field *picture_field(const sunup_data *data)
{
    if (data->sampler.fill != NULL) return NULL; /* they are nowhere */
    for (int i = 0; i < data->n_fields; i++) {
        const sunup_shape *s = &data->fields[i].shape;
        if ((s->n == 2 || s->n == 3) && s->d[0] > 1 && s->d[1] > 1 && s->d[0] <= 128 &&
            s->d[1] <= 128)
            return &data->fields[i];
    }
    return NULL;
}

/* First channel in grey, runs of equal grey as one rectangle. */
static void picture(struct text *out, const struct field *f, int64_t sample)
{
    const int64_t h = f->shape.d[0], w = f->shape.d[1], c = f->shape.n == 3 ? f->shape.d[2] : 1;
    const int64_t base = sample * h * w * c;
    struct axis range = {INFINITY, -INFINITY};
    for (int64_t i = 0; i < h * w; i++) widen(&range, sunup__array_number(&f->array, base + i * c));
    sunup__text(out, "<svg viewBox=\"0 0 %lld %lld\" shape-rendering=\"crispEdges\" width=\"112\">",
                (long long)w, (long long)h);
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0, from = 0, grey = -1; x <= w; x++) {
            const double p = x < w ? sunup__array_number(&f->array, base + (y * w + x) * c) : 0;
            const int64_t now = x < w ? (int64_t)place(&range, p, 0, 15.99) : -1;
            if (now == grey) continue;
            if (grey >= 0)
                sunup__text(out, "<path d=\"M%lld %lldh%lldv1H%lldz\" fill=\"#%llx%llx%llx\"/>",
                            (long long)from, (long long)y, (long long)(x - from), (long long)from,
                            (unsigned long long)grey, (unsigned long long)grey,
                            (unsigned long long)grey);
            from = x;
            grey = now;
        }
    }
    sunup__text(out, "</svg>");
}

static void mistakes(struct text *out, const sunup_trainer *t, const sunup_data *eval)
{
    if (t->n_mistakes == 0 || eval == NULL) return;
    const struct field *f = picture_field(eval);
    sunup__text(out, "<h2>Most wrong</h2><div class=\"wrong\">");
    for (int i = 0; i < t->n_mistakes; i++) {
        const struct mistake *m = &t->mistakes[i];
        sunup__text(out, "<figure>");
        if (f != NULL && m->sample < eval->samples) picture(out, f, m->sample);
        sunup__text(out,
                    "<figcaption>sample %lld: is %d, said %d (%.0f %%)</figcaption></figure>\n",
                    (long long)m->sample, m->truth, m->guess, 100 * (double)m->p);
    }
    sunup__text(out, "</div>\n");
}

static void facts(struct text *out, const sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    char processor[64], date[32];
    sunup__cpu_name(processor, sizeof processor);
    const time_t now = time(NULL);
    struct tm utc;
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
    sunup__text(
        out, "<h1>sunup run</h1><p>%s, %s, %d rank(s) of %d thread(s), kernels %s, sunup %s.</p>",
        date, processor, sunup_comm_ranks(t->comm), t->threads, t->kernels->isa, sunup_version());
    sunup__text(out,
                "<p>%lld parameters; %s, batch %lld in %d shards, %lld of %lld steps, seed %llu; "
                "weights' hash "
                "%016llx.</p>\n",
                (long long)sunup__model_elements(t->model), o->optimizer.type, (long long)o->batch,
                o->shards, (long long)t->step, (long long)t->total_steps,
                (unsigned long long)o->seed, (unsigned long long)sunup_model_hash(t->model));
}

static void summary(struct text *out, const sunup_trainer *t)
{
    char *table = sunup_model_summary(t->model, t->pass->count);
    sunup__text(out, "<h2>Network</h2><div class=\"scroll\"><pre>");
    for (const char *c = table; c != NULL && *c != '\0'; c++) { /* layer names are the user's */
        if (*c == '<')
            sunup__text(out, "&lt;");
        else if (*c == '&')
            sunup__text(out, "&amp;");
        else
            sunup__text(out, "%c", *c);
    }
    sunup__text(out, "</pre></div>\n");
    sunup_free(table);
}

sunup_status sunup__record_report(struct recorder *r, sunup_trainer *t, sunup_data *eval)
{
    if (r == NULL || t->o.run_dir == NULL) return SUNUP_OK;
    struct text out = {0}, path = {0};
    sunup__text(&out, "%s", head);
    facts(&out, t);
    curves(&out, r);
    epochs(&out, r);
    confusion(&out, &t->confusion);
    mistakes(&out, t, eval);
    summary(&out, t);
    sunup__text(&out, "</body></html>\n");
    sunup__text(&path, "%s/report.html", t->o.run_dir);
    sunup_status status = SUNUP_E_MEMORY;
    if (out.s != NULL && path.s != NULL) status = sunup__file_write(t->ctx, path.s, out.s, out.n);
    sunup__free(out.s);
    sunup__free(path.s);
    return status;
}
