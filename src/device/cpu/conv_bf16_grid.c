/* conv_bf16_grid.c - the grids of the bf16 convolutions; see conv_bf16.h. */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_bf16.h"
#include "graph/ops/conv.h"

enum {
    STEP = 16,    /* words that the leaf sums at once */
    PERIOD = 256, /* points a multiple of this many words apart meet in few sets of a first cache */
    ROW_LEAST = 32,   /* targets of a box along W, if there are so many */
    PANEL = 32,
    EACH_MOST = 2,    /* groups in one: half of its products are with zeros */
    TILES_LEAST = 16, /* channels */
    CHANNELS_LEAST = 32,
    TAPS_LEAST = 9,
    INSIDE_LEAST = 70 /* per cent of the taps */
};

int64_t sunup__conv_words(int64_t channels)
{
    const int64_t words = ceil_div(channels, 2), steps = ceil_div(words, STEP);
    return ceil_div(words, steps) * steps;
}

/* The largest box along an axis, others as they are, that takes `most` words; cut evenly. */
static void cut(struct conv_grid *g, int axis, int64_t most)
{
    int64_t others = g->phases[0] * g->phases[1] * g->phases[2] * g->parts * g->pitch;
    for (int a = 0; a < 3; a++) {
        if (a != axis) others *= g->box[a] + g->reach[a];
    }
    const int64_t least_box = axis == 2 ? least(g->targets[2], ROW_LEAST) : 1;
    int64_t n = most / others - g->reach[axis];
    n = least(g->targets[axis], n > least_box ? n : least_box);
    g->boxes[axis] = ceil_div(g->targets[axis], n);
    g->box[axis] = ceil_div(g->targets[axis], g->boxes[axis]);
}

void sunup__conv_grid_plan(struct conv_grid *g, int64_t most)
{
    g->words = sunup__conv_words(g->channels);
    g->pitch = g->words % PERIOD == 0 ? g->words + STEP : g->words;
    g->box[0] = g->box[1] = 1;
    for (int a = 2; a >= 0; a--) cut(g, a, most);
    for (int a = 0; a < 3; a++) g->points[a] = g->box[a] + g->reach[a];
    g->low = g->points[1] * g->points[2] * g->pitch;
    g->plane = g->parts * g->low;
    g->phase = g->points[0] * g->plane;
    g->all = g->phases[0] * g->phases[1] * g->phases[2] * g->phase;
}

int64_t sunup__conv_grid_boxes(const struct conv_grid *g)
{
    return g->samples * g->boxes[0] * g->boxes[1] * g->boxes[2];
}

struct conv_place sunup__conv_grid_box(const struct conv_grid *g, int64_t i)
{
    const int64_t *n = g->boxes;
    struct conv_place p = {.sample = i / n[2] / n[1] / n[0],
                           .first = {i / n[2] / n[1] % n[0] * g->box[0],
                                     i / n[2] % n[1] * g->box[1], i % n[2] * g->box[2]}};
    for (int a = 0; a < 3; a++) p.n[a] = least(g->box[a], g->targets[a] - p.first[a]);
    return p;
}

bool sunup__conv_boxes_follow(const int64_t targets[3], const int64_t boxes[3])
{
    if (boxes[2] > 1) return targets[0] == 1 && targets[1] == 1;
    return boxes[1] == 1 || targets[0] == 1;
}

int64_t sunup__conv_grid_source(const struct conv_grid *g, int64_t sample, const int64_t first[3])
{
    int64_t at = sample;
    for (int a = 0; a < 3; a++) at = at * g->source[a] + first[a] * g->stride[a];
    return at * g->channels;
}

int64_t sunup__conv_grid_at(const struct conv_grid *g, const int64_t phase[3], const int64_t at[3])
{
    const int64_t number = (phase[0] * g->phases[1] + phase[1]) * g->phases[2] + phase[2];
    return number * g->phase + at[0] * g->plane + (at[1] * g->points[2] + at[2]) * g->pitch;
}

/* With one tap a single phase is read. */
void sunup__conv_grid_of(struct conv_grid *g, const struct window *w, int64_t samples)
{
    *g = (struct conv_grid){.samples = samples, .channels = w->c, .circular = w->circular};
    for (int a = 0; a < 3; a++) {
        g->source[a] = w->in[a];
        g->stride[a] = w->stride[a];
        g->before[a] = w->before[a];
        g->phases[a] = w->taps[a] == 1 ? 1 : w->stride[a];
        g->targets[a] = w->out[a];
        g->reach[a] = (w->taps[a] - 1) * w->dilation[a] / w->stride[a];
    }
}

struct conv_groups sunup__conv_groups(const struct window *w)
{
    struct conv_groups g = {.each = 1, .c = w->c / w->groups, .k = w->k / w->groups};
    while (w->groups > 1 && g.each < EACH_MOST && (g.each * g.c % PANEL > 0 || g.each * g.k % PANEL > 0)) g.each *= 2;
    g.n = w->groups / g.each;
    return g;
}

bool sunup__conv_one_tap(const struct window *w)
{
    for (int a = 0; a < 3; a++)
        if (w->taps[a] != 1 || w->stride[a] != 1 || w->in[a] != w->out[a]) return false;
    return true;
}

struct window sunup__conv_flattened(const struct window *w, int64_t *samples)
{
    struct window flat = *w;
    int64_t points = *samples;
    if (!sunup__conv_one_tap(w)) return flat;
    for (int a = 0; a < 3; a++) {
        points *= w->in[a];
        flat.in[a] = flat.out[a] = 1;
        flat.before[a] = 0;
    }
    flat.in[2] = flat.out[2] = points;
    *samples = 1;
    return flat;
}

int64_t sunup__conv_grid_tap(const struct conv_grid *g, const struct window *w, int64_t t)
{
    const int64_t *taps = w->taps;
    int64_t phase[3], at[3] = {t / taps[2] / taps[1], t / taps[2] % taps[1], t % taps[2]};
    for (int a = 0; a < 3; a++) {
        phase[a] = at[a] * w->dilation[a] % w->stride[a];
        at[a] = at[a] * w->dilation[a] / w->stride[a];
    }
    return sunup__conv_grid_at(g, phase, at);
}

int64_t sunup__conv_grid_place(const struct conv_grid *g, int axis, int64_t q, int64_t phase)
{
    const int64_t at = q * g->stride[axis] + phase - g->before[axis], n = g->source[axis];
    if (g->circular) return (at % n + n) % n;
    return at >= 0 && at < n ? at : -1;
}

int64_t sunup__conv_grid_run(const struct conv_grid *g, int64_t q, int64_t phase, int64_t n)
{
    const int64_t at = sunup__conv_grid_place(g, 2, q, phase);
    return least(n, ceil_div(g->source[2] - at, g->stride[2]));
}

static void zero(uint32_t *words, int64_t n)
{
    memset(words, 0, (size_t)n * sizeof *words);
}

/* n words of each part. */
static void zero_parts(const struct conv_grid *g, uint32_t *words, int64_t n)
{
    for (int64_t i = 0; i < g->parts; i++) zero(words + i * g->low, n);
}

/* n points from q on, whose first is the source's point `at`. */
static void fill_points(const struct conv_grid *g, const struct leaves_f32 *leaves,
                        const float *row, int64_t at, int64_t n, uint32_t *to)
{
    const int64_t c = g->channels, step = g->stride[2] * c, used = ceil_div(c, 2);
    const float *from = row + at * c;
    uint32_t *low = g->parts > 1 ? to + g->low : NULL;
    if (g->stride[2] == 1 && c == 2 * g->pitch) {
        leaves->bf16_words(n * c, from, to, low);
        return;
    }
    for (int64_t i = 0; i < n; i++, from += step, to += g->pitch) {
        leaves->bf16_words(c, from, to, low);
        if (low) low += g->pitch;
        if (used < g->pitch) zero_parts(g, to + used, g->pitch - used);
    }
}

/* Points of a phase along W from target `first` on; row: its source. */
static void fill_row(const struct conv_grid *g, const struct leaves_f32 *leaves, const float *row,
                     int64_t first, int64_t phase, uint32_t *to)
{
    for (int64_t q = 0, run; q < g->points[2]; q += run, to += run * g->pitch) {
        const int64_t at = sunup__conv_grid_place(g, 2, first + q, phase);
        run = 1;
        if (at < 0) {
            zero_parts(g, to, g->pitch);
            continue;
        }
        run = sunup__conv_grid_run(g, first + q, phase, g->points[2] - q);
        fill_points(g, leaves, row, at, run, to);
    }
}

int64_t sunup__conv_grid_planes(const struct conv_grid *g)
{
    return g->phases[0] * g->phases[1] * g->phases[2] * g->points[0];
}

void sunup__conv_grid_fill(const struct conv_grid *g, const struct leaves_f32 *leaves,
                           const struct conv_place *box, int64_t first, int64_t last,
                           const float *source, uint32_t *grid)
{
    const int64_t *n = g->points, *phases = g->phases;
    for (int64_t i = first * n[1]; i < last * n[1]; i++) {
        const int64_t h = i % n[1], d = i / n[1] % n[0], f = i / n[1] / n[0];
        const int64_t sd = sunup__conv_grid_place(g, 0, box->first[0] + d,
                                                  f / phases[2] / phases[1]),
                      sh = sunup__conv_grid_place(g, 1, box->first[1] + h,
                                                  f / phases[2] % phases[1]);
        uint32_t *to = grid + i / n[1] * g->plane + h * n[2] * g->pitch;
        if (sd < 0 || sh < 0) {
            zero_parts(g, to, n[2] * g->pitch);
            continue;
        }
        const float *row = source + ((box->sample * g->source[0] + sd) * g->source[1] + sh) *
                                        g->source[2] * g->channels;
        fill_row(g, leaves, row, box->first[2], f % phases[2], to);
    }
}

/* Of the taps of all targets, those that see the input. The others are multiplied with zeros here, and left out in
 * f32: 3x3 on maps of 2x2 sees 0.44 and takes 1.4 to 2.3 times as long in bf16 without tiles, with stride from 4x4 0.69
 * and 0.9 to 1.8 times (ResNet-18 at 64x64, 32 samples, 2 threads of a Zen 4, `sunup bench profile`). */
static double share_inside(const struct window *w)
{
    double share = 1;
    for (int a = 0; a < 3 && !w->circular; a++) {
        int64_t inside = 0;
        for (int64_t o = 0; o < w->out[a]; o++)
            for (int64_t t = 0; t < w->taps[a]; t++) {
                const int64_t at = o * w->stride[a] + t * w->dilation[a] - w->before[a];
                inside += at >= 0 && at < w->in[a];
            }
        share *= (double)inside / (double)(w->out[a] * w->taps[a]);
    }
    return share;
}

static int64_t taps_of(const struct window *w)
{
    return w->taps[0] * w->taps[1] * w->taps[2];
}

/* Several groups: with tiles, if sums and columns are whole panels. Groups of 32 channels take 1.1 to 2.1 times as long
 * in f32 as in two parts, of 16 1.1 to 1.6; with one tap 0.8 to 1.35 (Emerald Rapids with AMX, 2 threads,
 * 2026-12-01). */
static bool serves_groups(const struct device *d, const struct window *w)
{
    const struct conv_groups g = sunup__conv_groups(w);
    if (!d->kernels->tiles_bf16 || taps_of(w) < TAPS_LEAST || w->groups % g.each > 0) return false;
    return g.each * g.c % PANEL == 0 && g.each * g.k % PANEL == 0;
}

/* Of f32, not empty, of so many channels. */
static bool serves(const struct device *d, const struct node *n, int64_t channels)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0) return false;
    if (sunup__elements(&n->in[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0) return false;
    return w->groups > 1 ? serves_groups(d, w) : w->c >= channels && w->k >= channels;
}

bool sunup__conv_bf16_pays(const struct device *d, const struct node *n, bool winograd)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_BF16 || !d->kernels->fast_bf16) return false;
    const bool tiles = d->kernels->tiles_bf16;
    if (!serves(d, n, tiles ? TILES_LEAST : CHANNELS_LEAST)) return false;
    return tiles || (!winograd && 100 * share_inside(w) >= INSIDE_LEAST);
}

/* What f32 takes over what operands in two parts take, forward and data gradient (`sunup bench kernel`, lists resnet50,
 * 1d, 2d, 3d and odd; Xeon with AMX, Granite Rapids class, 2 threads, 2026-11-30): from 32 channels on, 1x1 1.0 to 2.3,
 * strided 1.6 to 2.9, 5x5 1.2 to 1.6 over Winograd, along W 1.6 to 3.0, 3x3 over Winograd 0.9 to 1.9, median
 * 1.1. With 16 channels 1.5 to 2.5 where there are 9 taps and no Winograd (else 0.95 to 1.0), 0.8 to 1.0 for 2x2 with
 * stride 2. With fewer 0.1 to 1.2. On maps of 2x2 0.45, 3x3 with stride from 4x4 0.6 to 0.9. */
bool sunup__conv_bf16x3_pays(const struct device *d, const struct node *n, bool winograd)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_FAST || !d->kernels->tiles_bf16) return false;
    const bool many_taps = taps_of(w) >= TAPS_LEAST;
    return serves(d, n, many_taps && !winograd ? TILES_LEAST : CHANNELS_LEAST) && 100 * share_inside(w) >= INSIDE_LEAST;
}
