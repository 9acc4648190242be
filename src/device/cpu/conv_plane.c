/* conv_plane.c - depthwise 3x3 of stride 1 and as much padding, on maps of short rows: forward, and
 * the gradients by data and by weights, by the leaf conv_plane.
 *
 * A task is some rows of a plane of some channels, in the forward pass and the data gradient, which
 * has the taps backwards. The weight gradient cuts the rows of all planes into chunks with a partial
 * sum each, added in order at the end; their number follows from shapes alone, and a task is some
 * channels of a chunk: no bit depends on threads.
 *
 * A few channels of a plane are lines far apart, which a far third level is slow to give. There a task's rows
 * are cut into bands of which two stay in the second level, all channels: while the leaf goes through one, it
 * asks for the next as it lies. Results that do not wait in the caches there, and longer rows elsewhere, are
 * those of maps that come from memory: boxes of conv_grouped.c.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

#include <string.h>

enum {
    TAPS = 9,
    POINTS_MOST = 28,
    ROWS_LEAST = 8, /* of a task, which reads two more */
    CHUNKS_MOST = 16,
    CHUNK_POINTS = 512, /* that make a partial sum worth its adding */
    LINE = 16,          /* channels of a vector */
    ADD_ELEMENTS = 4096,
    FAR = 1 << 20       /* elements that no second level holds */
};

struct planes {
    int64_t n, rows, points, channels; /* planes, and of one */
    int64_t bands, strips;             /* of a plane: tasks along the rows and the channels */
    int64_t chunks;
    int64_t band; /* most rows of a call of the weight gradient's */
    bool asks;    /* for the next band */
};

static bool is_same(const struct window *w)
{
    for (int a = 0; a < 3; a++) {
        const int64_t taps = a == 0 ? 1 : 3;
        if (w->taps[a] != taps || w->before[a] != taps / 2 || w->in[a] != w->out[a]) return false;
        if (w->stride[a] != 1 || w->dilation[a] != 1) return false;
    }
    return !w->circular;
}

/* Results of 12 MB and more take 0.95 to 1.25 times as long here as by boxes that write them past the caches, shorter
 * ones 0.6 to 0.95, weight gradients 0.5 to 0.85 (7x7 to 112x112; Emerald Rapids without AMX, 2026-12-01). */
static bool is_near(const struct window *w, const struct node *n)
{
    const int64_t bytes = sunup__elements(&n->out[0]->shape) * (int64_t)sizeof(float);
    return sunup__level3_far() ? !sunup__outgrows_caches(bytes) : w->out[2] <= POINTS_MOST;
}

bool sunup__conv_plane_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0)
        return false;
    return w->groups > 1 && w->c == w->groups && w->k == w->groups && is_same(w) &&
           is_near(w, n);
}

/* ---- running ---- */

struct work {
    const struct planes *g;
    const struct leaves_f32 *leaves;
    const float *x, *weights, *bias, *dy;
    int64_t w_tap;
    float *y, *dw, *partial; /* chunk 0 is summed in dw, the others in partial */
};

/* Rows [from, to) of a plane, part i of n of its channels: *channel is the first of them, *at the first
 * element. */
static struct plane plane_of(const struct work *w, int64_t plane, int64_t from, int64_t to,
                             int64_t i, int64_t n, int64_t *channel, int64_t *at)
{
    const struct planes *g = w->g;
    const int64_t lines = ceil_div(g->channels, LINE), row = g->points * g->channels;
    *channel = i * lines / n * LINE;
    *at = (plane * g->rows + from) * row + *channel;
    return (struct plane){.rows = to - from,
                          .points = g->points,
                          .channels = least(g->channels, (i + 1) * lines / n * LINE) - *channel,
                          .row = row,
                          .point = g->channels,
                          .w_tap = w->w_tap,
                          .ahead = g->asks && n == 1 ? (to - from) * row : 0,
                          .above = from == 0,
                          .below = to == g->rows};
}

static void sweep_task(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct planes *g = w->g;
    const int64_t strip = i % g->strips, band = i / g->strips % g->bands;
    int64_t c, at;
    const struct plane p = plane_of(w, i / g->strips / g->bands, band * g->rows / g->bands,
                                    (band + 1) * g->rows / g->bands, strip, g->strips, &c, &at);
    w->leaves->conv_plane(&p, w->x + at, w->weights + c, w->bias ? w->bias + c : NULL, w->y + at);
}

static sunup_status run_conv(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct planes *g = s->data;
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[0],
                     .weights = s->in[1],
                     .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                     .w_tap = g->channels,
                     .y = s->out[0]};
    sunup__parallel(s->device->threads, g->n * g->bands * g->strips, sweep_task, &w);
    return SUNUP_OK;
}

static sunup_status run_data_grad(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct planes *g = s->data;
    const float *weights = s->in[0];
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[1],
                     .weights = weights + (TAPS - 1) * g->channels,
                     .w_tap = -g->channels,
                     .y = s->out[0]};
    sunup__parallel(s->device->threads, g->n * g->bands * g->strips, sweep_task, &w);
    return SUNUP_OK;
}

/* Task i: some channels of chunk i / strips. */
static void sum_task(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct planes *g = w->g;
    const int64_t chunk = i / g->strips, all = g->n * g->rows, end = (chunk + 1) * all / g->chunks;
    float *dw = chunk == 0 ? w->dw : w->partial + (chunk - 1) * TAPS * g->channels;
    bool fresh = true;
    for (int64_t from = chunk * all / g->chunks, to; from < end; from = to, fresh = false) {
        const int64_t plane = from / g->rows, first = plane * g->rows;
        to = least(least(end, first + g->rows), from + g->band);
        int64_t c, at;
        const struct plane p =
            plane_of(w, plane, from - first, to - first, i % g->strips, g->strips, &c, &at);
        for (int t = 0; fresh && t < TAPS; t++)
            memset(dw + t * g->channels + c, 0, (size_t)p.channels * sizeof(float));
        w->leaves->conv_plane_weight_grad(&p, w->x + at, w->dy + at, dw + c);
    }
}

static void add_chunks(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t all = TAPS * w->g->channels, from = i * ADD_ELEMENTS;
    for (int64_t c = 0; c + 1 < w->g->chunks; c++)
        w->leaves->add_to(least(ADD_ELEMENTS, all - from), w->partial + c * all + from,
                          w->dw + from);
}

static sunup_status run_weight_grad(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct planes *g = s->data;
    const int threads = s->device->threads;
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[0],
                     .dy = s->in[1],
                     .w_tap = g->channels,
                     .dw = s->out[0],
                     .partial = s->workspace};
    sunup__parallel(threads, g->chunks * g->strips, sum_task, &w);
    if (g->chunks > 1)
        sunup__parallel(threads, ceil_div(TAPS * g->channels, ADD_ELEMENTS), add_chunks, &w);
    return SUNUP_OK;
}

/* ---- making ---- */

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* So many that this one's and the next one's x and y take half of the second level. */
static int64_t bands_of(const struct planes *g)
{
    const int64_t elements = sunup__cache_bytes(2) / (int64_t)sizeof(float) / 8;
    return least(g->rows, ceil_div(g->rows * g->points * g->channels, elements));
}

/* Channels are cut, and then rows, only where there are too few planes, or chunks, for the tasks that
 * threads want. Bands do not depend on threads, as a sum of the weight gradient is one over bands. */
static sunup_status make(struct device *d, const struct node *n, struct step *s, int x)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    struct planes *g = sunup__alloc(sizeof *g);
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *g = (struct planes){.n = n->in[x]->shape.d[0] * w->in[0],
                         .rows = w->in[1],
                         .points = w->in[2],
                         .channels = w->c};
    g->asks = sunup__level3_far() && g->n * g->rows * g->points * g->channels > FAR;
    g->chunks = most(1, least(CHUNKS_MOST, g->n * g->rows * g->points / CHUNK_POINTS));
    const int64_t bands = g->asks ? bands_of(g) : 1, tasks = (int64_t)TASKS_PER_THREAD * d->threads;
    const int64_t alone = s->run == run_weight_grad ? g->chunks : g->n * bands;
    g->strips = least(ceil_div(g->channels, LINE), ceil_div(tasks, alone));
    g->bands = most(bands, least(g->rows / ROWS_LEAST, ceil_div(tasks, alone * g->strips)));
    g->band = ceil_div(g->rows, bands);
    s->data = g;
    s->end = end;
    if (s->run == run_weight_grad)
        s->workspace_bytes = (g->chunks - 1) * TAPS * g->channels * (int64_t)sizeof(float);
    return SUNUP_OK;
}

sunup_status sunup__make_conv_plane(struct device *d, const struct node *n, struct step *s)
{
    s->run = run_conv;
    return make(d, n, s, 0);
}

sunup_status sunup__make_conv_data_grad_plane(struct device *d, const struct node *n,
                                              struct step *s)
{
    s->run = run_data_grad;
    return make(d, n, s, 1);
}

sunup_status sunup__make_conv_weight_grad_plane(struct device *d, const struct node *n,
                                                struct step *s)
{
    s->run = run_weight_grad;
    return make(d, n, s, 0);
}
