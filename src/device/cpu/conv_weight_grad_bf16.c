/* conv_weight_grad_bf16.c - gradient of a convolution by its weights, operands rounded to bf16,
 * sums in f32: dw[tap][c][k] = sum over points of x dy.
 *
 * Targets are cut into boxes of a few rows of a few planes. The sum runs over the points of a
 * box's plane, row after row at the pitch of x's grid (conv_bf16.h), where dy has zeros between
 * its rows; so it must go in pairs of points. A is dy: for tiles turned, [plane][K][pairs], else in
 * strips of 128 channels, [plane][strip][pairs][128]. B is x, [plane][pairs][32 channels], twice:
 * pairs that begin at even points, and at odd ones, for taps an odd number of points away. The
 * product is dw turned, [tap][panel of channels][K][32]. A 1x1 convolution without stride and
 * padding is one row of all points.
 *
 * A visit adds a box, or several small ones, to all of dw: long sums, since C goes up and down
 * once a visit, short enough that what is read again and again stays in half of the second cache
 * (2 MB with tiles, else 1 MB): 128 rows of A and a panel of B. Points are cut into chunks with a
 * dw each, added in order at the end; their number follows from shapes alone. If a task takes whole
 * chunks, it makes A and B of a visit in memory of its own, but planes of x that the last one made,
 * and they never leave the cache (1x1 with 64 and 256 channels: half the time); without tiles
 * visits are smaller and the leaf meanwhile asks for what the next ones are made of (the same on
 * Zen 5: 2.6 instead of 4.1 ms). If several share a chunk, all boxes are made beforehand. So no bit
 * depends on threads.
 *
 * Operands in two parts (conv_bf16.h) ask ahead on tiles too; with one tap, which has no halo, a task then
 * makes half as much at once, beside which the next one's source has room (64 and 256 channels: 6.9
 * instead of 8.4 ms; Xeon with AMX, Granite Rapids class, 2 threads, 2026-11-30).
 *
 * A large dw of one tap at every point, in two parts, is x turned times dy by product_tiles.c, which turns x instead of
 * dy and reads words fewer times (Emerald Rapids with AMX, 2026-12-01, 2 threads, batch 16, old and new in turn,
 * medians of 6 or 7 rounds, ms: 14x14 of 256 to 1024 channels 7.4 and 7.9 -> 5.2 and 5.8, 1024 to 512 9.6 -> 8.4, 7x7
 * of 512 to 2048 6.8 -> 4.0, 2048 to 512 5.9 -> 4.8; but 14x14 of 1024 to 256 4.3 and 5.1 -> 4.6 and 6.2, and 56x56 of
 * 256 to 128 takes 1.3 times as long).
 *
 * Of several groups a panel's rows are dy's channels of its own group alone.
 *
 * Where x is not finite, a point that dy's zeros meet may make a sum NaN that would be finite
 * without padding; its neighbours' sums are not finite either way.
 *
 * Ceiling: the leaf's; memory: 4 bytes of x and dy read an element, dw a few times where it is
 * larger than a cache.
 */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/conv_bf16.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/makers.h"
#include "device/cpu/product_tiles.h"
#include "graph/ops/conv.h"

enum {
    WIDTH = 32, /* channels of a panel                          */
    ROWS = 128, /* of dw turned: of a product                   */
    STEP = 16,  /* words that tiles sum at once                 */
    VISIT_OPERANDS =
        256 << 10, /* words of 128 rows of A and a panel of B, both kinds of pairs; half
                                 * without tiles: of a second cache half as large */
    VISIT_MOST = 2720,
    VISIT_LEAST = 192,    /* half without tiles                           */
    OPERANDS = 192 << 10, /* words of A and B that a task makes at once; a quarter without tiles,
                           * beside which the next ones' source has room  */
    CHUNKS_MOST = 16,
    PARTIAL_ELEMENTS_MOST = 2 << 20,
    CHUNK_POINTS = 1024, /* that make a partial dw worth its adding      */
    CHUNK_POINTS_OF_GROUPS = 256, /* whose dw is small */
    PIECE = 16,          /* words of a row of A that are turned at once  */
    PIECE_ROWS = 256,
    LINES_MOST = 32,     /* asked for by a step                          */
    POINTS_LEAST = 128,  /* where operands in two parts pay              */
    ONE_TAP_LEAST = 128, /* channels there                               */
    LARGE_PRODUCT = 1 << 18, /* of K times the smaller of K and C: one tap is a product */
    PAIRS = 32, /* of a row of x that are made at once          */
    ENTRIES_MOST = VISIT_MOST / STEP
};

struct weight_grad {
    struct conv_grid x;
    int64_t parts;        /* of a number: 1 or 2 bf16 */
    int64_t a_low, b_low; /* words from what is first of a number to what is left of it */
    bool turned;  /* A, for tiles */
    int64_t step; /* words that the leaf sums at once */
    int64_t out[3], k, taps;
    struct conv_groups groups;
    int64_t k_group, rows; /* rows of a panel of dw turned; of a product */
    int64_t *at, *plane; /* [taps] first word in B's plane of its first pair; planes beyond it */
    int64_t box[3], boxes[3], units; /* targets of a box; boxes of a sample, and of all */
    int64_t row, sum; /* words: pairs of a row of a box's plane; of all of it, whole steps */
    int64_t a_row, a_plane, a_unit;  /* words                   */
    int64_t parities, panels, width; /* width: of a panel of B, where x has fewer channels */
    int64_t points[3];               /* of the grid under a box */
    int64_t b_rows, b_panel, b_plane, b_phase, b_unit; /* rows, words   */
    int64_t together;                                  /* boxes of a visit */
    int64_t products, dw, chunks, shares;
    bool fused; /* a task makes its own A and B */
    bool asks;  /* and the leaf asks for what the next ones are made of */
    bool rolls; /* and keeps the planes of x that the next box reads as well */
};

struct run {
    const struct weight_grad *g;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *dw, *partial;
    uint32_t *units; /* A and B of all boxes, or of those at work */
    struct conv_slots slots;
};

/* A box: its sample and first target. */
struct place {
    int64_t sample, first[3];
};

static void zero(uint32_t *words, int64_t n)
{
    memset(words, 0, (size_t)n * sizeof *words);
}

static int64_t unit_words(const struct weight_grad *g)
{
    return g->a_unit + g->b_unit;
}

static struct place place_of(const struct weight_grad *g, int64_t unit)
{
    const int64_t *n = g->boxes;
    return (struct place){.sample = unit / n[2] / n[1] / n[0],
                          .first = {unit / n[2] / n[1] % n[0] * g->box[0],
                                    unit / n[2] % n[1] * g->box[1], unit % n[2] * g->box[2]}};
}

/* ---- dy ---- */

/* Asks for what is read next: pieces are too narrow for the processor to see a stream. */
static void ask(const float *x, int64_t rows, int64_t row, int64_t wide)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < wide; j += STEP) __builtin_prefetch(x + i * row + j, 0, 2);
    }
}

/* Words [q, q + n) of a plane of a box, n <= PIECE, as rows of `wide` channels from k on. */
static void gather_pairs(const struct run *r, const struct place *o, const float *plane, int64_t q,
                         int64_t n, int64_t k, int64_t wide, uint32_t *piece, uint32_t *low)
{
    const struct weight_grad *g = r->g;
    const int64_t rows = least(g->box[1], g->out[1] - o->first[1]),
                  columns = least(g->box[2], g->out[2] - o->first[2]);
    for (int64_t i = 0, run; i < n; i += run) {
        const int64_t h = (q + i) / g->row, w = (q + i) % g->row;
        run = least(n - i, g->row - w);
        const int64_t points = h < rows ? most(0, least(2 * run, columns - 2 * w)) : 0;
        if (points > 0) {
            const float *from = plane + (h * g->out[2] + 2 * w) * g->k + k;
            ask(from + wide, points, g->k, least(wide, g->k - k - wide));
            r->leaves->bf16_rows(points, wide, from, g->k, piece + i * wide, low ? low + i * wide : NULL);
        }
        const int64_t used = ceil_div(points, 2);
        zero(piece + (i + used) * wide, (run - used) * wide);
        if (low) zero(low + (i + used) * wide, (run - used) * wide);
    }
}

static void pack_dy(const struct run *r, const struct place *o, uint32_t *to)
{
    const struct weight_grad *g = r->g;
    _Alignas(64) uint32_t piece[2][PIECE * PIECE_ROWS];
    for (int64_t d = 0; d < least(g->box[0], g->out[0] - o->first[0]); d++, to += g->a_plane) {
        const float *plane =
            r->dy +
            (((o->sample * g->out[0] + o->first[0] + d) * g->out[1] + o->first[1]) * g->out[2] +
             o->first[2]) *
                g->k;
        for (int64_t q = 0; q < g->sum; q += PIECE) {
            const int64_t n = least(PIECE, g->sum - q), most_wide = g->turned ? PIECE_ROWS : g->rows;
            for (int64_t k = 0; k < g->k; k += most_wide) {
                const int64_t wide = least(most_wide, g->k - k);
                uint32_t *rows = to + k * g->a_row;
                uint32_t *high = g->turned ? piece[0] : rows + q * wide,
                         *low = g->turned ? piece[1] : high + g->a_low;
                gather_pairs(r, o, plane, q, n, k, wide, high, g->parts > 1 ? low : NULL);
                for (int64_t i = 0; i < g->parts && g->turned; i++)
                    r->leaves->transpose(n, wide, (const float *)(const void *)piece[i], wide,
                                         (float *)(void *)(rows + i * g->a_low + q), g->a_row);
            }
        }
    }
}

/* ---- x in pairs ---- */

static uint32_t *low_of(const struct weight_grad *g, uint32_t *to)
{
    return g->parts > 1 ? to + g->b_low : NULL;
}

/* n words of each part. */
static void zero_parts(const struct weight_grad *g, uint32_t *words, int64_t n)
{
    for (int64_t i = 0; i < g->parts; i++) zero(words + i * g->b_low, n);
}

/* A pair of points, -1: zeros, that do not lie a stride apart. */
static void pair_apart(const struct run *r, const float *source, const int64_t at[2], int64_t wide,
                       uint32_t *to)
{
    float both[2][WIDTH];
    for (int i = 0; i < 2; i++) {
        if (at[i] < 0)
            memset(both[i], 0, sizeof both[i]);
        else
            memcpy(both[i], source + at[i] * r->g->x.channels, (size_t)wide * sizeof(float));
    }
    r->leaves->bf16_rows(2, wide, both[0], WIDTH, to, low_of(r->g, to));
}

/* A row of the grid under a box: its source, NULL: zeros; phase and first point along W. */
struct row {
    const float *source;
    int64_t phase, first;
};

/* Source point of point q of a row. */
static int64_t point(const struct weight_grad *g, const struct row *row, int64_t q)
{
    return q < g->points[2] ? sunup__conv_grid_place(&g->x, 2, row->first + q, row->phase) : -1;
}

/* Pairs [i, end) of those that begin at the points `parity`, 2 + `parity` ... of a row. */
static void pack_pairs(const struct run *r, const struct row *row, int64_t parity, int64_t panel,
                       int64_t i, int64_t end, uint32_t *to)
{
    const struct weight_grad *g = r->g;
    const struct conv_grid *x = &g->x;
    const int64_t left = x->channels - panel * WIDTH, wide = least(WIDTH, left);
    const int64_t step = x->stride[2] * x->channels;
    const float *source = row->source + panel * WIDTH;
    for (int64_t run; i < end; i += run) {
        const int64_t q = 2 * i + parity;
        const int64_t at[2] = {point(g, row, q), point(g, row, q + 1)};
        run = 1;
        if (wide < g->width || at[0] < 0 || at[1] != at[0] + x->stride[2]) {
            pair_apart(r, source, at, wide, to + i * g->width);
            continue;
        }
        if (!x->circular)
            run = least(end - i,
                        sunup__conv_grid_run(x, row->first + q, row->phase, g->points[2] - q) / 2);
        const float *from = source + at[0] * x->channels;
        if (parity == 0) ask(from + WIDTH, 2 * run, step, least(WIDTH, left - WIDTH));
        uint32_t *pairs = to + i * g->width;
        r->leaves->bf16_rows(2 * run, wide, from, step, pairs, low_of(g, pairs));
    }
}

/* Row h of plane d of a phase: both kinds of pairs of all panels. */
static void pack_row(const struct run *r, const struct place *o, const int64_t phase[3], int64_t d,
                     int64_t h, uint32_t *plane)
{
    const struct weight_grad *g = r->g;
    const struct conv_grid *x = &g->x;
    const int64_t sd = sunup__conv_grid_place(x, 0, o->first[0] + d, phase[0]),
                  sh = sunup__conv_grid_place(x, 1, o->first[1] + h, phase[1]);
    struct row row = {.phase = phase[2], .first = o->first[2]};
    if (sd >= 0 && sh >= 0)
        row.source = r->x + ((o->sample * x->source[0] + sd) * x->source[1] + sh) * x->source[2] *
                                x->channels;
    for (int64_t i = 0; i < g->row; i += PAIRS) {
        const int64_t end = least(g->row, i + PAIRS);
        for (int64_t j = 0; j < g->parities * g->panels; j++) {
            uint32_t *to = plane + j * g->b_panel + h * g->row * g->width;
            if (row.source == NULL)
                zero_parts(g, to + i * g->width, (end - i) * g->width);
            else
                pack_pairs(r, &row, j % g->parities, j / g->parities, i, end, to);
        }
    }
}

/* Plane d under a box; a task's planes go round, so that a box keeps those it shares with the last
 * one. */
static int64_t plane_at(const struct weight_grad *g, int64_t d, int64_t turn)
{
    return (d + turn) % g->points[0] * g->b_plane;
}

/* Planes from `kept` on. A plane ends with zeros, which taps at its end meet. */
static void pack_x(const struct run *r, const struct place *o, int64_t kept, int64_t turn,
                   uint32_t *to)
{
    const struct weight_grad *g = r->g;
    const int64_t *phases = g->x.phases, rows = g->points[1] * g->row;
    for (int64_t i = 0; i < phases[0] * phases[1] * phases[2] * g->points[0]; i++) {
        const int64_t d = i % g->points[0], f = i / g->points[0];
        const int64_t phase[3] = {f / phases[2] / phases[1], f / phases[2] % phases[1],
                                  f % phases[2]};
        uint32_t *plane = to + f * g->b_phase + plane_at(g, d, turn);
        if (d < kept) continue;
        for (int64_t h = 0; h < g->points[1]; h++) pack_row(r, o, phase, d, h, plane);
        for (int64_t j = 0; j < g->parities * g->panels; j++)
            zero_parts(g, plane + j * g->b_panel + rows * g->width, (g->b_rows - rows) * g->width);
    }
}

static void pack(const struct run *r, int64_t unit, int64_t kept, int64_t turn, uint32_t *to)
{
    const struct place o = place_of(r->g, unit);
    pack_dy(r, &o, to);
    pack_x(r, &o, kept, turn, to + r->g->a_unit);
}

static void pack_unit(void *arg, int64_t i)
{
    const struct run *r = arg;
    pack(r, i, 0, 0, r->units + i * unit_words(r->g));
}

/* ---- products ---- */

/* What boxes [u, end) read that those before did not; nothing if they do not follow one another. */
static struct ahead ahead(const struct run *r, int64_t u, int64_t end)
{
    const struct weight_grad *g = r->g;
    if (!g->asks || u >= end) return (struct ahead){{NULL, NULL}, {0, 0}};
    const struct place a = place_of(g, u), b = place_of(g, end);
    int64_t dy = a.sample, dy_end = b.sample;
    for (int i = 0; i < 3; i++) {
        dy = dy * g->out[i] + a.first[i];
        dy_end = dy_end * g->out[i] + b.first[i];
    }
    const int64_t x = sunup__conv_grid_source(&g->x, a.sample, a.first),
                  x_end = sunup__conv_grid_source(&g->x, b.sample, b.first);
    return (struct ahead){{r->x + x, r->dy + dy * g->k}, {x_end - x, (dy_end - dy) * g->k}};
}

/* The planes of boxes [u, end) in A, and in B as a tap sees them that begins `plane` planes further
 * on; behind them the second part; how many there are. */
static int64_t entries(const struct weight_grad *g, int64_t u, int64_t end, int64_t plane,
                       int64_t turn, int64_t *a_at, int64_t *b_at)
{
    int64_t n = 0;
    for (int64_t i = u; i < end; i++) {
        const int64_t planes = least(g->box[0], g->out[0] - place_of(g, i).first[0]);
        for (int64_t d = 0; d < planes; d++, n++) {
            a_at[n] = (i - u) * unit_words(g) + d * g->a_plane;
            b_at[n] = (i - u) * unit_words(g) + plane_at(g, d + plane, turn);
        }
    }
    a_at[n] = g->a_low;
    b_at[n] = g->b_low;
    return n;
}

/* Lines that a step must ask for, so that all are before these products of a box are done. */
static int64_t lines_of_step(const struct weight_grad *g, int64_t products, const struct ahead *next)
{
    const int64_t steps = products * g->box[0] * ceil_div(least(g->rows, g->k_group), BLOCK_ROWS) * g->sum / STEP;
    const int64_t lines = ceil_div(ceil_div(next->n[0] + next->n[1], FLOATS), most(1, steps));
    return least(LINES_MOST, ceil_div(lines, 2) * 2);
}

/* Boxes [u, end), whose words are at `units`, to products [from, to). */
static void visit(const struct run *r, int64_t u, int64_t end, const uint32_t *units, int64_t turn,
                  int64_t from, int64_t to, float *dw, bool adds, struct ahead *next)
{
    const struct weight_grad *g = r->g;
    int64_t a_at[ENTRIES_MOST + 1], b_at[ENTRIES_MOST + 1], n = 0, plane = -1;
    const int64_t lines = lines_of_step(g, (to - from) * (end - u), next);
    for (int64_t i = from; i < to; i++) {
        const int64_t tap = i % g->taps, panel = i / g->taps % g->panels,
                      group = panel * g->groups.n / g->panels, row = i / g->taps / g->panels * g->rows,
                      k = group * g->k_group + row;
        const uint32_t *b = units + g->a_unit + g->at[tap] + panel * g->parities * g->b_panel;
        const int64_t rows = least(g->rows, g->k_group - row);
        if (g->plane[tap] != plane) n = entries(g, u, end, g->plane[tap], turn, a_at, b_at);
        plane = g->plane[tap];
        struct gemm_f32 gemm = {.m = rows,
                                .n = least(WIDTH, g->x.channels - panel * WIDTH),
                                .k = g->sum,
                                .batch = n,
                                .a = (const float *)(const void *)(units + k * g->a_row),
                                .a_row = g->turned ? g->a_row : 1,
                                .a_col = g->turned ? 1 : rows,
                                .a_at = a_at,
                                .b = (const float *)(const void *)b,
                                .b_row = g->width,
                                .b_at = b_at,
                                .c = dw + ((tap * g->panels + panel) * g->k_group + row) * WIDTH,
                                .c_row = WIDTH,
                                .accumulate = adds};
        if (g->parts > 1) {
            ask_ahead_lines(next, &gemm, lines);
            r->leaves->gemm_bf16x3(&gemm);
        } else {
            ask_ahead(next, &gemm);
            r->leaves->gemm_bf16(&gemm);
        }
    }
}

/* Share i % shares of the products, of chunk i / shares. */
static void task(void *arg, int64_t i)
{
    struct run *r = arg;
    const struct weight_grad *g = r->g;
    const int64_t chunk = i / g->shares, share = i % g->shares;
    const int64_t first = chunk * g->units / g->chunks, last = (chunk + 1) * g->units / g->chunks;
    const int64_t slot = g->fused ? conv_slot_take(&r->slots) : 0;
    uint32_t *own = r->units + slot * g->together * unit_words(g);
    int64_t turn = 0;
    for (int64_t u = first; u < last; u += g->together) {
        const int64_t end = least(last, u + g->together);
        const bool follows = g->rolls && u > first && place_of(g, u).first[0] > 0;
        const int64_t kept = follows ? g->points[0] - g->box[0] : 0;
        if (follows) turn = (turn + g->box[0]) % g->points[0];
        for (int64_t j = u; j < end && g->fused; j++)
            pack(r, j, kept, turn, own + (j - u) * unit_words(g));
        struct ahead next = ahead(r, end, least(last, end + g->together));
        visit(r, u, end, g->fused ? own : r->units + u * unit_words(g), turn,
              share * g->products / g->shares, (share + 1) * g->products / g->shares,
              r->partial + chunk * g->dw, u > first, &next);
    }
    if (g->fused) conv_slot_give(&r->slots, slot);
}

/* Adds the chunks of tap i / panels and panel i % panels, and turns their sum. */
static void deliver(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct weight_grad *g = r->g;
    const int64_t tap = i / g->panels, panel = i % g->panels, n = g->k_group * WIDTH;
    const struct conv_groups *s = &g->groups;
    const int64_t last = least(g->x.channels, (panel + 1) * WIDTH);
    float *sum = r->partial + i * n;
    for (int64_t chunk = 1; chunk < g->chunks; chunk++)
        r->leaves->add_to(n, sum + chunk * g->dw, sum);
    for (int64_t j = panel * WIDTH / s->c; j * s->c < last; j++) {
        const int64_t c = most(panel * WIDTH, j * s->c);
        r->leaves->transpose(s->k, least(last, (j + 1) * s->c) - c,
                             sum + j % s->each * s->k * WIDTH + c - panel * WIDTH, WIDTH,
                             r->dw + ((tap - j) * s->c + c) * g->k + j * s->k, g->k);
    }
}

/* Boxes that have memory. */
static int64_t boxes_kept(const struct weight_grad *g, int threads)
{
    return g->fused ? conv_slots_count(threads) * g->together : g->units;
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct weight_grad *g = s->data;
    const int threads = s->device->threads;
    struct run r = {.g = g,
                    .leaves = &s->device->kernels->f32,
                    .x = s->in[0],
                    .dy = s->in[1],
                    .dw = s->out[0],
                    .units = s->workspace,
                    .slots = {.n = conv_slots_count(threads)}};
    r.partial = (float *)(void *)(r.units + boxes_kept(g, threads) * unit_words(g));
    if (!g->fused) sunup__parallel(threads, g->units, pack_unit, &r);
    sunup__parallel(threads, g->chunks * g->shares, task, &r);
    sunup__parallel(threads, g->taps * g->panels, deliver, &r);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* ---- making ---- */

/* Words of a row of `n` targets: its pairs and those of the points between rows. */
static int64_t row_of(int64_t n, int64_t reach)
{
    return (n + reach + 1) / 2;
}

/* Boxes whose sums are `visit` words at most, if one row is: rows, then planes. */
static void plan_boxes(struct weight_grad *g, const struct window *w, int64_t samples,
                       const int64_t reach[3], int64_t visit)
{
    g->box[2] = least(w->out[2], most(STEP, 2 * visit - reach[2]));
    g->box[2] = ceil_div(w->out[2], ceil_div(w->out[2], g->box[2]));
    g->row = row_of(g->box[2], reach[2]);
    g->box[1] = least(w->out[1], most(1, visit / g->row));
    g->box[1] = ceil_div(w->out[1], ceil_div(w->out[1], g->box[1]));
    g->sum = ceil_div(g->box[1] * g->row, g->step) * g->step;
    const int64_t planes = most(1, least(ENTRIES_MOST, visit / g->sum));
    g->box[0] = ceil_div(w->out[0], ceil_div(w->out[0], least(w->out[0], planes)));
    g->together = planes / g->box[0];
    g->units = samples;
    for (int a = 0; a < 3; a++) {
        g->boxes[a] = ceil_div(w->out[a], g->box[a]);
        g->units *= g->boxes[a];
        g->points[a] = g->box[a] + reach[a];
    }
}

static void plan_operands(struct weight_grad *g, const int64_t reach[3])
{
    const int64_t *phases = g->x.phases;
    g->a_row = g->turned && g->sum / STEP % 2 == 0 ? g->sum + STEP : g->sum;
    g->a_low = g->k * g->a_row;
    g->a_plane = g->parts * g->a_low;
    g->a_unit = g->box[0] * g->a_plane;
    g->b_rows = g->points[1] * g->row + reach[2] / 2 + STEP;
    g->b_panel = g->b_rows * g->width;
    g->b_low = g->parities * g->panels * g->b_panel;
    g->b_plane = g->parts * g->b_low;
    g->b_phase = g->points[0] * g->b_plane;
    g->b_unit = phases[0] * phases[1] * phases[2] * g->b_phase;
}

static void plan_taps(struct weight_grad *g, const struct window *w)
{
    const int64_t *taps = w->taps, *phases = g->x.phases;
    for (int64_t t = 0; t < g->taps; t++) {
        int64_t at[3] = {t / taps[2] / taps[1], t / taps[2] % taps[1], t % taps[2]}, phase[3];
        for (int a = 0; a < 3; a++) {
            phase[a] = at[a] * w->dilation[a] % w->stride[a];
            at[a] = at[a] * w->dilation[a] / w->stride[a];
        }
        const int64_t number = (phase[0] * phases[1] + phase[1]) * phases[2] + phase[2];
        g->at[t] =
            number * g->b_phase + at[2] % 2 * g->b_panel + (at[1] * g->row + at[2] / 2) * g->width;
        g->plane[t] = at[0];
    }
}

/* Chunks: a power of two, which most numbers of samples are a multiple of. */
static void plan_chunks(struct weight_grad *g, int64_t points, int threads)
{
    const int64_t limit =
        least(least(PARTIAL_ELEMENTS_MOST / g->dw, CHUNKS_MOST),
              points / (g->groups.n > 1 ? CHUNK_POINTS_OF_GROUPS : CHUNK_POINTS));
    for (g->chunks = 1; g->chunks * 2 <= limit; g->chunks *= 2) continue;
    const int64_t tasks = threads > g->chunks / 2 ? (int64_t)TASKS_PER_THREAD * threads : 1;
    g->shares = least(ceil_div(tasks, g->chunks), g->products);
}

/* How boxes are cut must not depend on threads: a task of a machine with few is just larger. */
static void plan(struct weight_grad *g, const struct window *w, int64_t samples, int threads)
{
    int64_t reach[3];
    for (int a = 0; a < 3; a++) reach[a] = (w->taps[a] - 1) * w->dilation[a] / w->stride[a];
    sunup__conv_grid_of(&g->x, w, samples);
    memcpy(g->out, w->out, sizeof g->out);
    g->k = w->k;
    g->parities = reach[2] > 0 ? 2 : 1;
    g->panels = ceil_div(w->c, WIDTH);
    g->width = least(WIDTH, w->c);
    g->groups = sunup__conv_groups(w);
    g->k_group = g->groups.each * g->groups.k;
    for (g->rows = ROWS; g->groups.n > 1 && g->k_group % g->rows > 0;) g->rows /= 2;
    g->products = g->taps * g->panels * ceil_div(g->k_group, g->rows);
    g->dw = g->taps * g->panels * g->k_group * WIDTH;
    plan_chunks(g, samples * w->out[0] * w->out[1] * w->out[2], threads);
    const bool small = g->chunks > 4; /* dw: tasks of their own, whose operands stay in the cache */
    const int64_t words = g->parts * (g->k + g->parities * g->panels * WIDTH), part = g->turned ? 1 : 2;
    const bool halo = reach[0] + reach[1] + reach[2] > 0, asks = part > 1 || (g->parts > 1 && !halo);

    int64_t visit = least(VISIT_MOST, VISIT_OPERANDS / part / g->parts / (least(g->k_group, g->rows) + 2 * WIDTH));
    if (small) visit = most(VISIT_LEAST / part, least(visit, OPERANDS / part / (asks ? 2 : part) / words));
    plan_boxes(g, w, samples, reach, visit);
    while (g->chunks > g->units) g->chunks /= 2;
    g->together = least(g->together, ceil_div(g->units, g->chunks));
    plan_operands(g, reach);
    plan_taps(g, w);
    g->fused = g->shares == 1;
    g->rolls = g->fused && g->together == 1 && reach[0] > 0 && g->boxes[1] * g->boxes[2] == 1 &&
               g->x.phases[0] * g->x.phases[1] * g->x.phases[2] == 1;
    bool dense = true;
    for (int a = 0; a < 3; a++) dense = dense && g->x.phases[a] == g->x.stride[a];
    g->asks = g->fused && (!g->turned || g->parts > 1) && dense && sunup__conv_boxes_follow(g->out, g->boxes);
}

/* Several groups without stride, each a panel of its own, over many points: f32 takes 1.1 to 1.5 times as long, else
 * 0.6 to 1.0 (7x7 to 56x56, 128 to 1024 channels; Emerald Rapids with AMX, 2 threads, 2026-12-01). */
static bool serves_groups(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (w->groups == 1) return true;
    if (w->stride[0] * w->stride[1] * w->stride[2] > 1 || sunup__conv_groups(w).each > 1) return false;
    return n->in[0]->shape.d[0] * w->out[0] * w->out[1] * w->out[2] >= CHUNK_POINTS;
}

bool sunup__conv_weight_grad_bf16_can(const struct device *d, const struct node *n)
{
    const bool winograd =
        sunup__conv_weight_grad_winograd_can(d, n) || sunup__conv_weight_grad_winograd_row_can(d, n);
    return serves_groups(n) && sunup__conv_bf16_pays(d, n, winograd);
}

/* Over what f32 takes, as in conv_bf16_grid.c: strided from 128 channels on 1.4 to 1.8, along W 1.4 to 2.3, 5x5 1.2 to
 * 2.1; 3x3 over Winograd 0.7 to 1.2, median 0.9; 1x1 from 128 channels on 1.3 to 1.8, else 0.7 to 1.1. With 49 points
 * 0.5 to 0.9, since dw is made turned; with 196 1.1. */
bool sunup__conv_weight_grad_bf16x3_can(const struct device *d, const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const int64_t *taps = w->taps, points = n->in[0]->shape.d[0] * w->out[0] * w->out[1] * w->out[2];
    const bool winograd = sunup__conv_weight_grad_winograd_can(d, n);
    if (!sunup__conv_bf16x3_pays(d, n, winograd || sunup__conv_weight_grad_winograd_row_can(d, n))) return false;
    if (points < POINTS_LEAST || (winograd && taps[2] == 3)) return false;
    return serves_groups(n) &&
           (taps[0] * taps[1] * taps[2] > 1 || (w->c >= ONE_TAP_LEAST && w->k >= ONE_TAP_LEAST));
}

static bool is_large_product(const struct device *d, const struct window *w, int64_t parts)
{
    return parts > 1 && d->kernels->tiles_bf16 && sunup__conv_one_tap(w) && w->groups == 1 &&
           w->k * least(w->c, w->k) >= LARGE_PRODUCT;
}

static sunup_status make(struct device *d, const struct node *n, struct step *s, int64_t parts)
{
    const struct window *given = &((const struct conv_attr *)n->attr)->w;
    if (is_large_product(d, given, parts)) return sunup__make_product_tiles(d, n, s, parts);
    const int64_t taps = given->taps[0] * given->taps[1] * given->taps[2];
    struct weight_grad *g = sunup__alloc(sizeof *g + (size_t)(2 * taps) * sizeof(int64_t));
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    const bool tiles = d->kernels->tiles_bf16;
    *g = (struct weight_grad){
        .parts = parts, .taps = taps, .at = (int64_t *)(void *)(g + 1), .turned = tiles, .step = tiles ? STEP : 1};
    g->plane = g->at + taps;
    int64_t samples = n->in[0]->shape.d[0];
    const struct window w = sunup__conv_flattened(given, &samples);
    plan(g, &w, samples, d->threads);
    s->data = g;
    s->run = run;
    s->end = end;
    s->workspace_bytes =
        (boxes_kept(g, d->threads) * unit_words(g) + g->chunks * g->dw) * (int64_t)sizeof(float);
    return SUNUP_OK;
}

sunup_status sunup__make_conv_weight_grad_bf16(struct device *d, const struct node *n, struct step *s)
{
    return make(d, n, s, 1);
}

sunup_status sunup__make_conv_weight_grad_bf16x3(struct device *d, const struct node *n, struct step *s)
{
    return make(d, n, s, 2);
}
