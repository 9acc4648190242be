/* picture.c - PNG by zlib; plots and confusion matrices as SVG. All are small files that any browser shows. */
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "base/random.h"
#include "base/system.h"
#include "inside.h"

static sunup_status write_picture(const struct app_run *r, const char *file, const void *data,
                                  size_t bytes)
{
    struct text path = {0};
    sunup__text(&path, "%s/%s", r->run_dir, file);
    CHECK(path.s != NULL, r->ctx, E_MEMORY, "no memory for the picture %s", file);
    sunup_status status = sunup__make_folder(r->ctx, r->run_dir);
    if (status == SUNUP_OK) status = sunup__file_write(r->ctx, path.s, data, bytes);
    sunup__free(path.s);
    return status;
}

/* ---- PNG: signature, header, one compressed block of rows that each begin with filter 0, end ---- */

static uint8_t *put32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (24 - 8 * i));
    return p + 4;
}

static uint8_t *put_chunk(uint8_t *p, const char *kind, const void *data, size_t bytes)
{
    p = put32(p, (uint32_t)bytes);
    uint8_t *start = p;
    memcpy(p, kind, 4);
    if (bytes > 0) memcpy(p + 4, data, bytes);
    p += 4 + bytes;
    return put32(p, sunup__crc32(start, 4 + bytes, 0));
}

sunup_status app_png(const struct app_run *r, const char *file, int64_t height, int64_t width,
                     const uint8_t *rgb)
{
    if (r->run_dir == NULL) return SUNUP_OK;
    const size_t row = (size_t)(3 * width), plain = (size_t)height * (row + 1);
    uLongf packed = compressBound(plain);
    uint8_t *rows = sunup__alloc(plain), *out = sunup__alloc(packed),
            *png = sunup__alloc(packed + 64);
    sunup_status status = SUNUP_E_MEMORY;
    if (rows != NULL && out != NULL && png != NULL) {
        for (int64_t y = 0; y < height; y++)
            memcpy(rows + (size_t)y * (row + 1) + 1, rgb + (size_t)y * row, row);
        (void)compress2(out, &packed, rows, plain, 9);
        uint8_t head[13] = {[8] = 8, [9] = 2}; /* 8 bits, RGB */
        (void)put32(put32(head, (uint32_t)width), (uint32_t)height);
        memcpy(png, "\x89PNG\r\n\x1a\n", 8);
        uint8_t *p = put_chunk(png + 8, "IHDR", head, sizeof head);
        p = put_chunk(put_chunk(p, "IDAT", out, packed), "IEND", NULL, 0);
        status = write_picture(r, file, png, (size_t)(p - png));
    } else {
        status = app_error(r->ctx, SUNUP_E_MEMORY, "no memory for the picture %s", file);
    }
    sunup__free(rows);
    sunup__free(out);
    sunup__free(png);
    return status;
}

/* ---- SVG ---- */

enum { WIDTH = 640, HEIGHT = 400, LEFT = 64, RIGHT = 16, TOP = 36, BOTTOM = 48 };

struct axis {
    double low, high;
    int from, to; /* pixels */
};

static double place(const struct axis *a, double x)
{
    return a->from + (a->to - a->from) * (x - a->low) / (a->high - a->low);
}

static void widen(struct axis *a, int64_t n, const double *x)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        a->low = fmin(a->low, x[i]);
        a->high = fmax(a->high, x[i]);
    }
}

static void settle(struct axis *a)
{
    if (!(a->low <= a->high)) a->low = 0, a->high = 1;
    if (a->low == a->high) a->low -= 0.5, a->high += 0.5;
}

/* 1, 2 or 5 times a power of ten, so that about five fit. */
static double step_of(const struct axis *a)
{
    const double rough = (a->high - a->low) / 5, power = pow(10, floor(log10(rough)));
    const double by = rough / power;
    return power * (by < 1.5 ? 1 : by < 3.5 ? 2 : by < 7.5 ? 5 : 10);
}

static void ticks(struct text *t, const struct axis *a, bool horizontal)
{
    const double step = step_of(a);
    for (double v = ceil(a->low / step) * step; v <= a->high + 1e-9 * step; v += step) {
        const double x = fabs(v) < 1e-9 * step ? 0 : v;
        const double p = place(a, x);
        if (horizontal)
            sunup__text(t,
                        "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
                        "text-anchor=\"middle\">%.4g</text>\n",
                        p, TOP, HEIGHT - BOTTOM, p, HEIGHT - BOTTOM + 16, x);
        else
            sunup__text(t,
                        "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                        "text-anchor=\"end\">%.4g</text>\n",
                        LEFT, p, WIDTH - RIGHT, LEFT - 6, p + 4, x);
    }
}

static const char *const colours[] = {"#1f5fa8", "#c0392b", "#2e8b57", "#8e5aa8", "#b8860b",
                                      "#555555", "#2aa5b8", "#d6679a", "#8bab1f", "#7a4a24"};
enum { N_COLOURS = sizeof colours / sizeof colours[0] };

static void draw_line(struct text *t, const struct app_series *s, const struct axis a[2])
{
    char move = 'M';
    sunup__text(t, "<path fill=\"none\" stroke-width=\"1.6\" d=\"");
    for (int64_t i = 0; i < s->n; i++) {
        const bool good = isfinite(s->x[i]) && isfinite(s->y[i]);
        if (good) sunup__text(t, "%c%.1f %.1f", move, place(&a[0], s->x[i]), place(&a[1], s->y[i]));
        move = good ? 'L' : 'M';
    }
    sunup__text(t, "\"/>\n");
}

static void draw_points(struct text *t, const struct app_series *s, const struct axis a[2])
{
    for (int64_t i = 0; i < s->n; i++)
        if (isfinite(s->x[i]) && isfinite(s->y[i]))
            sunup__text(t, "<circle r=\"2\" stroke=\"none\" cx=\"%.1f\" cy=\"%.1f\"/>\n",
                        place(&a[0], s->x[i]), place(&a[1], s->y[i]));
}

static void draw_series(struct text *t, const struct app_plot *p, int i, const struct axis a[2])
{
    const struct app_series *s = &p->series[i];
    sunup__text(t, "<g stroke=\"%s\" fill=\"%s\">", colours[i % N_COLOURS], colours[i % N_COLOURS]);
    if (s->mark == APP_LINE)
        draw_line(t, s, a);
    else
        draw_points(t, s, a);
    if (s->name != NULL)
        sunup__text(t, "<text stroke=\"none\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>",
                    WIDTH - RIGHT - 6, TOP + 16 * (i + 1), s->name);
    sunup__text(t, "</g>\n");
}

static void draw(struct text *t, const struct app_plot *p)
{
    struct axis a[2] = {{INFINITY, -INFINITY, LEFT, WIDTH - RIGHT},
                        {INFINITY, -INFINITY, HEIGHT - BOTTOM, TOP}};
    for (int i = 0; i < p->n; i++) {
        widen(&a[0], p->series[i].n, p->series[i].x);
        widen(&a[1], p->series[i].n, p->series[i].y);
    }
    settle(&a[0]);
    settle(&a[1]);
    sunup__text(t,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                "font-family=\"sans-serif\" font-size=\"12\"><style>.grid{stroke:#ddd}</style>"
                "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                WIDTH, HEIGHT, WIDTH, HEIGHT);
    ticks(t, &a[0], true);
    ticks(t, &a[1], false);
    for (int i = 0; i < p->n; i++) draw_series(t, p, i, a);
    if (isfinite(p->mark_x))
        sunup__text(t, "<path stroke=\"#000\" stroke-dasharray=\"4 3\" d=\"M%.1f %dV%d\"/>\n",
                    place(&a[0], p->mark_x), TOP, HEIGHT - BOTTOM);
    sunup__text(t,
                "<text x=\"%d\" y=\"20\" font-size=\"14\">%s</text><text x=\"%d\" y=\"%d\" "
                "text-anchor=\"middle\">%s</text><text transform=\"translate(14 %d) rotate(-90)\" "
                "text-anchor=\"middle\">%s</text></svg>\n",
                LEFT, p->title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, p->x_label,
                (TOP + HEIGHT - BOTTOM) / 2, p->y_label);
}

static sunup_status write_svg(const struct app_run *r, const char *file, struct text *t)
{
    sunup_status status = SUNUP_E_MEMORY;
    if (t->s != NULL)
        status = write_picture(r, file, t->s, t->n);
    else
        status = app_error(r->ctx, SUNUP_E_MEMORY, "no memory for the picture %s", file);
    sunup__free(t->s);
    return status;
}

sunup_status app_svg(const struct app_run *r, const char *file, const struct app_plot *plot)
{
    if (r->run_dir == NULL) return SUNUP_OK;
    struct text t = {0};
    draw(&t, plot);
    return write_svg(r, file, &t);
}

enum { CELL_WIDTH = 56, CELL_HEIGHT = 28, NAMES_WIDTH = 84, NAMES_HEIGHT = 64 };

/* The cells of class i, the darker the more of it were said to be that. */
static void draw_class(struct text *t, const struct app_confusion *c, int i)
{
    const int64_t *count = c->count + (int64_t)i * c->n;
    int64_t all = 0;
    for (int j = 0; j < c->n; j++) all += count[j];
    const int top = NAMES_HEIGHT + i * CELL_HEIGHT, base = top + CELL_HEIGHT / 2 + 4;
    sunup__text(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", NAMES_WIDTH - 6, base,
                c->names[i]);
    for (int j = 0; j < c->n; j++) {
        const double share = all > 0 ? (double)count[j] / (double)all : 0;
        const int left = NAMES_WIDTH + j * CELL_WIDTH;
        sunup__text(t,
                    "<rect class=\"cell\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
                    "fill-opacity=\"%.3f\"/>",
                    left, top, CELL_WIDTH, CELL_HEIGHT, share);
        if (count[j] > 0)
            sunup__text(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%.1f</text>",
                        left + CELL_WIDTH / 2, base, share > 0.5 ? "#fff" : "#000", 100 * share);
        sunup__text(t, "\n");
    }
}

sunup_status app_confusion(const struct app_run *r, const char *file, const struct app_confusion *c)
{
    if (r->run_dir == NULL) return SUNUP_OK;
    const int width = NAMES_WIDTH + c->n * CELL_WIDTH + RIGHT,
              height = NAMES_HEIGHT + c->n * CELL_HEIGHT + RIGHT;
    struct text t = {0};
    sunup__text(&t,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                "font-family=\"sans-serif\" font-size=\"12\">"
                "<style>.cell{fill:#1f5fa8;stroke:#ddd}</style>"
                "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
                "<text x=\"%d\" y=\"20\" font-size=\"14\">%s</text>\n",
                width, height, width, height, NAMES_WIDTH, c->title);
    for (int j = 0; j < c->n; j++)
        sunup__text(&t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                    NAMES_WIDTH + j * CELL_WIDTH + CELL_WIDTH / 2, NAMES_HEIGHT - 8, c->names[j]);
    for (int i = 0; i < c->n; i++) draw_class(&t, c, i);
    sunup__text(&t, "</svg>\n");
    return write_svg(r, file, &t);
}
