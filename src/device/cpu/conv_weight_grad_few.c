/* conv_weight_grad_few.c - gradient by the weights of a convolution of one channel to few: of grey
 * images and volumes.
 *
 * Taps along W alone are too few rows for a product, and the taps of a window lie on no even grid.
 * So a row of outputs gets its R T rows of x side by side, as [W][R T]: there the taps (s, r, t) of a
 * point follow each other, and those of the next point begin R T floats later. They are the rows of
 * the product, or its columns where that takes fewer vectors: whole ones, whose last columns mean
 * nothing. The sum runs over the points of a band of rows.
 *
 * Samples are cut into chunks with a partial dw each, added in order at the end; the number of
 * chunks follows from shapes alone, and within a chunk an element is one chain over the points in
 * order. So the bits do not depend on threads.
 *
 * Ceiling: multiply-adds of ragged vectors; the turning takes a third of their time.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

#include <string.h>

enum {
    COLUMNS_MOST = 16, /* of dy: more fill the registers with the taps along W alone  */
    TAPS_LEAST = 4,    /* that pay for the turning                                    */
    TAPS_MOST = 128,
    BAND = 6 << 10,         /* floats of [W][R T] and dy at work: half of a first level of 48 KB */
    BAND_FAR = 24 << 10,    /* with a far third level, of which the next band's dy is asked meanwhile */
    TURNED_MOST = 64 << 10, /* floats of a row's [W][R T]                                */
    ROW_FAR = 8 << 10, /* and of its dy with a far third level: 1.6 to 5 times as many take 1.2 to 1.7 times as long
                        * as by conv_weight_grad_brgemm.c, fewer 0.55 to 0.95 (Xeon with AMX, 2026-11-30) */
    CHUNKS_MOST = 16,
    CHUNK_POINTS = 1024, /* that make a partial dw worth its adding                     */
    LINE = 16
};

struct few_grad {
    const struct window *w;
    int64_t samples, taps, k; /* taps of a window                          */
    int64_t beside;           /* rows of x beside each other: R T          */
    int64_t width;            /* points of x that a row of outputs sees    */
    int64_t band;             /* rows of outputs of a product              */
    bool upright;             /* taps are columns                          */
    bool asks;                /* for the next band's dy                    */
    int64_t chunks, dw;       /* floats of a partial dw                    */
    int64_t lists, slot;
};

static int64_t lines(int64_t floats)
{
    return (floats + LINE - 1) / LINE * LINE;
}

static int64_t row_width(const struct window *w)
{
    return (w->out[2] - 1) * w->stride[2] + w->taps[2];
}

bool sunup__conv_weight_grad_few_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->in[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[1]->shape) == 0 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    const int64_t beside = w->taps[0] * w->taps[1], taps = beside * w->taps[2];
    if (sunup__level3_far() && row_width(w) * beside + w->out[2] * w->k > ROW_FAR) return false;
    return w->groups == 1 && w->c == 1 && w->k <= COLUMNS_MOST && !w->circular &&
           w->dilation[1] == 1 && w->dilation[2] == 1 && beside > 1 && taps >= TAPS_LEAST &&
           taps <= TAPS_MOST && row_width(w) * beside <= TURNED_MOST;
}

/* ---- running ---- */

struct work {
    const struct few_grad *g;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *partial, *memory;
    struct conv_slots slots;
};

/* Rows of x under the outputs [row, row + rows) of plane d, as [rows][T][width], zeros outside. */
static void load(const struct few_grad *g, const float *x, int64_t d, int64_t row, int64_t rows,
                 float *to)
{
    const struct window *w = g->w;
    const int64_t from = most(0, -w->before[2]);
    const int64_t at = least(g->width, most(0, w->before[2]));
    const int64_t n = most(0, least(w->in[2] - from, g->width - at));
    const int64_t all = ((rows - 1) * w->stride[1] + w->taps[1]) * w->taps[0];
    for (int64_t i = 0; i < all; i++, to += g->width) {
        const int64_t plane = d * w->stride[0] - w->before[0] + i % w->taps[0] * w->dilation[0];
        const int64_t source = row * w->stride[1] - w->before[1] + i / w->taps[0];
        memset(to, 0, (size_t)g->width * sizeof(float));
        if (plane >= 0 && plane < w->in[0] && source >= 0 && source < w->in[1])
            memcpy(to + at, x + (plane * w->in[1] + source) * w->in[2] + from,
                   (size_t)n * sizeof(float));
    }
}

/* Without it a third of the product's time is waiting for dy: 64x64x64 to 16 channels 1.58 -> 1.47 ms, 16 samples of
 * 64x64 0.140 -> 0.127 (with the longer bands; Xeon with AMX, 2026-11-30). */
static void ask_next(const struct work *w, int64_t row)
{
    const struct window *a = w->g->w;
    const int64_t n = a->out[2] * a->k, rows = w->g->samples * a->out[0] * a->out[1];
    for (int64_t j = 0; row < rows && j < n; j += LINE)
        __builtin_prefetch(w->dy + row * n + j, 0, 2);
}

/* Adds the outputs [row, row + rows) of a plane of all samples' outputs; memory: a task's. */
static void add_band(const struct work *w, int64_t plane, int64_t row, int64_t rows, float *memory,
                     struct gemm_f32 *product)
{
    const struct few_grad *g = w->g;
    const struct window *a = g->w;
    const int64_t turned_row = g->width * g->beside, sample = plane / a->out[0];
    int64_t *x_at = (int64_t *)(void *)memory, *dy_at = x_at + g->band;
    float *turned = memory + g->lists, *copy = turned + lines(g->band * turned_row);
    load(g, w->x + sample * a->in[0] * a->in[1] * a->in[2], plane % a->out[0], row, rows, copy);
    for (int64_t i = 0; i < rows; i++) {
        w->leaves->transpose(g->beside, g->width,
                             copy + i * a->stride[1] * a->taps[0] * g->width, g->width,
                             turned + i * turned_row, g->beside);
        if (g->asks) ask_next(w, plane * a->out[1] + row + rows + i);
        x_at[i] = i * turned_row;
        dy_at[i] = i * a->out[2] * g->k;
    }
    const float *dy = w->dy + (plane * a->out[1] + row) * a->out[2] * g->k;
    product->batch = rows;
    product->a = g->upright ? dy : turned;
    product->a_at = g->upright ? dy_at : x_at;
    product->b = g->upright ? turned : dy;
    product->b_at = g->upright ? x_at : dy_at;
    w->leaves->gemm(product);
    product->accumulate = true;
}

static void run_chunk(void *arg, int64_t i)
{
    struct work *w = arg;
    const struct few_grad *g = w->g;
    const int64_t step = g->w->stride[2] * g->beside, slot = conv_slot_take(&w->slots);
    struct gemm_f32 product = {.m = g->upright ? g->k : g->taps,
                               .n = g->upright ? lines(g->taps) : g->k,
                               .k = g->w->out[2],
                               .a_row = 1,
                               .a_col = g->upright ? g->k : step,
                               .b_row = g->upright ? step : g->k,
                               .c = w->partial + i * g->dw,
                               .c_row = g->upright ? lines(g->taps) : g->k};
    const int64_t planes = g->samples * g->w->out[0];
    for (int64_t s = i * planes / g->chunks; s < (i + 1) * planes / g->chunks; s++) {
        for (int64_t row = 0; row < g->w->out[1]; row += g->band)
            add_band(w, s, row, least(g->band, g->w->out[1] - row), w->memory + slot * g->slot,
                     &product);
    }
    conv_slot_give(&w->slots, slot);
}

/* All chunks in order, from (s, r, t) to (t, r, s). */
static void add_chunks(const struct work *w, float *dw)
{
    const struct few_grad *g = w->g;
    const int64_t *taps = g->w->taps;
    for (int64_t c = 1; c < g->chunks; c++)
        w->leaves->add_to(g->dw, w->partial + c * g->dw, w->partial);
    for (int64_t i = 0; i < g->taps; i++) {
        const int64_t t = i / taps[2] / taps[1], r = i / taps[2] % taps[1];
        const int64_t tap = i % taps[2] * g->beside + r * taps[0] + t;
        for (int64_t k = 0; k < g->k; k++)
            dw[i * g->k + k] = w->partial[g->upright ? k * lines(g->taps) + tap : tap * g->k + k];
    }
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct few_grad *g = s->data;
    const int threads = s->device->threads;
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[0],
                     .dy = s->in[1],
                     .partial = s->workspace,
                     .slots = {.n = conv_slots_count(threads)}};
    w.memory = w.partial + g->chunks * g->dw;
    sunup__parallel(threads, g->chunks, run_chunk, &w);
    add_chunks(&w, s->out[0]);
    return SUNUP_OK;
}

/* ---- making ---- */

static void plan(struct few_grad *g)
{
    const struct window *w = g->w;
    const int64_t row = g->width * g->beside;
    const int64_t columns = g->k * (lines(g->taps) / LINE), rows = g->taps * (lines(g->k) / LINE);
    g->upright = columns < rows;
    g->asks = sunup__level3_far();
    g->band = least(w->out[1], most(1, (g->asks ? BAND_FAR : BAND) / (row + w->out[2] * g->k)));
    const int64_t planes = g->samples * w->out[0], points = planes * w->out[1] * w->out[2];
    const int64_t limit = least(least(CHUNKS_MOST, planes), points / CHUNK_POINTS);
    for (g->chunks = 1; g->chunks * 2 <= limit; g->chunks *= 2) continue;
    g->dw = g->upright ? lines(g->taps) * g->k : lines(g->taps * g->k);
    g->lists = lines(2 * g->band * (int64_t)(sizeof(int64_t) / sizeof(float)));
    g->slot = g->lists + lines(g->band * row) +
              lines(((g->band - 1) * w->stride[1] + w->taps[1]) * w->taps[0] * g->width);
}

sunup_status sunup__make_conv_weight_grad_few(struct device *d, const struct node *n,
                                              struct step *s)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct few_grad *g = sunup__alloc(sizeof *g);
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *g = (struct few_grad){.w = w,
                           .samples = n->in[0]->shape.d[0],
                           .taps = w->taps[0] * w->taps[1] * w->taps[2],
                           .beside = w->taps[0] * w->taps[1],
                           .k = w->k,
                           .width = row_width(w)};
    plan(g);
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes =
        (g->chunks * g->dw + conv_slots_count(d->threads) * g->slot) * (int64_t)sizeof(float);
    return SUNUP_OK;
}
