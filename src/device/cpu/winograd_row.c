/* winograd_row.c - matrices, cuts and transforms of the convolution along one axis; see
 * winograd_row.h. */
#include "device/cpu/winograd_row.h"
#include "base/integers.h"

#include <string.h>

#include "graph/ops/conv.h"

enum {
    SIZE_LEAST = 3,
    TILES_AHEAD = 2,
    CALL = 100 /* cycles a vector for calls and memory */
};
static const double PRODUCT = 1.18; /* the gemm leaf comes to 85 % of the peak */

/* ---- matrices ---- */

/* Half of the points; the others are their negatives and infinity. By size - SIZE_LEAST. */
static const double pairs[][ROW_SIZE_MOST - 1] = {
    {0.375, 1.25}, {0.3125, 0.875, 1.75}, {0.25, 0.6875, 1.125, 2}};

/* Coefficients of the product over all finite points but `left_out` of (z - point) / scale, where
 * scale makes the value at left_out 1; left_out -1: the product itself. */
static void polynomial(const double *point, int64_t n, int64_t left_out, double *to)
{
    int64_t degree = 0;
    memset(to, 0, (size_t)(n + 1) * sizeof *to);
    to[0] = 1;
    for (int64_t i = 0; i < n; i++) {
        if (i == left_out) continue;
        const double scale = left_out < 0 ? 1 : 1 / (point[left_out] - point[i]);
        degree++;
        for (int64_t e = degree; e >= 0; e--)
            to[e] = scale * ((e > 0 ? to[e - 1] : 0) - point[i] * to[e]);
    }
}

static void fill_matrices(struct winograd_row *w)
{
    const int64_t n = w->points - 1;
    double point[ROW_POINTS_MOST], row[ROW_POINTS_MOST];
    for (int64_t i = 0; i < n; i++)
        point[i] = (i % 2 == 0 ? 1 : -1) * pairs[w->size - SIZE_LEAST][i / 2];
    for (int64_t i = 0; i < w->points; i++) {
        polynomial(point, n, i < n ? i : -1, row);
        for (int64_t e = 0; e < w->points; e++) w->inputs[i * w->points + e] = (float)row[e];
        double power = 1;
        for (int64_t e = 0; e < w->size; e++) {
            const double value = i < n ? power : (double)(e == w->size - 1);
            w->values[i * w->size + e] = w->sums[e * w->points + i] = (float)value;
            if (i < n) power *= point[i];
        }
    }
}

/* ---- geometry ---- */

bool sunup__winograd_row_fits(const struct device *d, const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT) return false;
    if (n->out[0]->dtype != SUNUP_F32 || w->groups != 1 || w->circular) return false;
    if (sunup__elements(&n->in[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0 ||
        sunup__elements(&n->out[0]->shape) == 0)
        return false;
    for (int a = 0; a < 2; a++) {
        if (w->taps[a] != 1 || w->stride[a] != 1 || w->before[a] != 0 || w->in[a] != w->out[a])
            return false;
    }
    return w->stride[2] == 1 && w->taps[2] >= SIZE_LEAST &&
           w->taps[2] <= SIZE_LEAST * ROW_CHUNKS_MOST;
}

struct winograd_row sunup__winograd_row(const struct node *n, bool data_gradient)
{
    const struct window *g = &((const struct conv_attr *)n->attr)->w;
    const struct row_side x = {g->c, g->in[2], 0}, y = {g->k, g->out[2], 0};
    struct winograd_row w = {.samples =
                                 n->in[data_gradient ? 1 : 0]->shape.d[0] * g->in[0] * g->in[1],
                             .taps = g->taps[2],
                             .dilation = g->dilation[2],
                             .source = data_gradient ? y : x,
                             .target = data_gradient ? x : y};
    w.source.before = data_gradient ? (w.taps - 1) * w.dilation - g->before[2] : g->before[2];
    /* The fewest products for a target; on a draw the fewest points, which err less. */
    for (int64_t size = SIZE_LEAST; size <= ROW_SIZE_MOST; size++) {
        const int64_t points = 2 * size - 1, chunks = ceil_div(w.taps, size);
        if (w.size > 0 && points * chunks * w.size >= w.points * w.chunks * size) continue;
        w.size = size;
        w.points = points;
        w.chunks = chunks;
    }
    w.sequences = w.samples * w.dilation;
    w.tiles = ceil_div(ceil_div(w.target.width, w.dilation), w.size);
    fill_matrices(&w);
    return w;
}

void sunup__winograd_row_cut(struct winograd_row *w, int64_t rows)
{
    w->cuts = ceil_div(w->tiles, rows);
    w->together = w->cuts > 1 ? 1 : most(1, least(rows / (w->tiles + w->chunks - 1), w->sequences));
    w->strips = w->cuts * ceil_div(w->sequences, w->together);
    w->strip_tiles = ceil_div(w->tiles, w->cuts);
    w->pitch = w->strip_tiles + w->chunks - 1;
}

struct row_strip sunup__winograd_row_strip(const struct winograd_row *w, int64_t i)
{
    const int64_t cut = i % w->cuts, first = i / w->cuts * w->together;
    struct row_strip s = {.first = first,
                          .count = least(w->together, w->sequences - first),
                          .from = cut * w->tiles / w->cuts,
                          .to = (cut + 1) * w->tiles / w->cuts};
    s.rows = (s.count - 1) * w->pitch + s.to - s.from;
    return s;
}

/* ---- costs ---- */

static double vectors(int64_t channels)
{
    return (double)ceil_div(channels, ROW_LINE);
}

/* Rows of targets, with those that are of none. */
static double rows_of(const struct winograd_row *w)
{
    return (double)(w->sequences * (w->together > 1 ? w->pitch : w->tiles));
}

/* Without the taps that see padding only, which the direct way leaves out. */
double sunup__winograd_row_direct(const struct winograd_row *w)
{
    const int64_t width = least(w->target.width, w->source.width);
    return PRODUCT * (double)(w->samples * width * w->taps * w->source.channels) *
           vectors(w->target.channels);
}

double sunup__winograd_row_products(const struct winograd_row *w)
{
    return PRODUCT * rows_of(w) * (double)(w->points * w->chunks * w->source.channels) *
           vectors(w->target.channels);
}

double sunup__winograd_row_transform(const struct winograd_row *w, int64_t channels, int64_t terms)
{
    const double tiles = (double)(w->sequences * (w->tiles + w->cuts * (w->chunks - 1)));
    return tiles * vectors(channels) * (double)(terms + CALL);
}

/* ---- parts of tensors ---- */

struct row_span sunup__winograd_row_span(const struct winograd_row *w, const struct row_side *s,
                                         int64_t sequence)
{
    const int64_t d = w->dilation, start = sequence % d - s->before;
    return (struct row_span){
        .at = (sequence / d * s->width + start) * s->channels,
        .step = d * s->channels,
        .first = start < 0 ? ceil_div(-start, d) : 0,
        .end = start < s->width ? ceil_div(s->width - start, d) : 0,
    };
}

/* Asks for the points [from, to): a product reads a narrow strip of rows, which is nothing that the
 * processor would guess. */
static void fetch(const struct row_load *l, const struct row_span *span, int64_t from, int64_t to)
{
    for (int64_t e = most(from, span->first); e < least(to, span->end); e++) {
        const float *row = l->from + (span->at + e * span->step);
        for (int64_t c = 0; c < l->channels; c += ROW_LINE) __builtin_prefetch(row + c);
    }
}

void sunup__winograd_row_load(const struct winograd_row *w, const struct row_load *l, int64_t from,
                              int64_t to)
{
    const struct row_span span = sunup__winograd_row_span(w, l->side, l->sequence);
    const int64_t seen = l->by_values ? w->size : w->points;
    const float *matrix = l->by_values ? w->values : w->inputs;
    struct gemm_f32 g = {.m = w->points,
                         .n = l->channels,
                         .batch = 1,
                         .a_row = seen,
                         .a_col = 1,
                         .b_row = span.step,
                         .c_row = l->out_point};
    for (int64_t t = from; t < to; t++) {
        const int64_t first = t * w->size, ahead = first + seen + TILES_AHEAD * w->size,
                      e = most(first, span.first);
        g.k = most(0, least(first + seen, span.end) - e);
        g.a = matrix + (g.k > 0 ? e - first : 0);
        g.b = l->from + (g.k > 0 ? span.at + e * span.step : 0);
        g.c = l->out + (t - from) * l->out_row;
        fetch(l, &span, ahead - w->size, ahead);
        l->leaves->gemm(&g); /* k = 0: zeros */
    }
}
