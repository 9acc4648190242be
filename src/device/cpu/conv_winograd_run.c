/* conv_winograd_run.c - a convolution by F(4x4, 3x3) or F(2x2, 5x5); see kernels/ref/winograd_ref.c
 * for the transforms.
 *
 * All tiles of targets, 4x4 or 2x2, of all mosaics of samples (winograd_mosaic.h), one after the
 * other, are cut into blocks. For each block, target plane, and each of 36 frequencies
 *
 *   M[tiles][K] = sum over depth taps t of V[plane + t][tiles][C] U[t][C][K]
 *
 * is one call of the gemm leaf for each panel of 32 columns. Three ways to share the work:
 *
 *   by tiles   U is made first. A task transforms the source planes of its blocks as the depth taps
 *              come to them (a ring of T planes), then goes through the panels; V, a panel's M and, up
 *              to 64 channels, U stay in the L2. Larger U is read for each block.
 *   by panels  for many channels and few tiles: V of all tiles is made first, and a task makes U of
 *              its panel only, so that U, which is 4 times the weights, never goes to memory. V is
 *              read for each panel.
 *   by points  for many channels and tiles of one plane: U is made first, then rounds of V, products
 *              and outputs of many tiles. A task is a panel of a frequency, whose U and V are a few
 *              hundred KB, so each is read about once; but V and M leave the L2 between.
 *
 * Every element is one chain of sums that neither way nor cut changes, so results do not
 * depend on the number of threads. Source: Lavin and Gray, "Fast algorithms for convolutional neural
 * networks", 2016; summing the third axis in the transform domain is ours.
 *
 * Ceiling: 4 times fewer products than the direct sum; transforms and partial tiles leave 3.3 (32
 * channels) to 3.9 (256) of it. Measured on two Zen 4 cores with cold caches, as products of the
 * direct sum over the peak: 2.5 at 64 channels, 56x56; 2.7 at 128, 28x28; 2.3 at 256, 14x14; 2.0 at
 * 512, 7x7, where a quarter of each tile is cut off and U is 38 MB; 2.0 at 32, 320x512, where
 * memory bounds it; 2.5 at 32, 33^3. On two Zen 5 cores within a network 1.1 at 16 channels,
 * 320x512, where memory and calls of the gemm leaf take half; 1.5 at 32, 160x256; 2.2 at 64 and 128.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_winograd.h"

enum {
    FREQUENCIES = 36,
    AREA_MOST = 25,
    PANEL = 32, /* columns of U side by side: two vectors          */
    CHUNK = 16, /* source channels that are transposed at a time   */
    LINE = 16,
    ROWS = 14,            /* of the gemm leaf's register tile                          */
    ROWS_NARROW = 28,     /* if K is one vector */
    CUT_LEAST = 7,        /* tiles that are worth a task of their own                  */
    PIECE = 4,            /* tiles of a task that only transforms                      */
    CHANNELS = 64,        /* source channels of such a task                            */
    PANEL_BLOCK = 70,     /* tiles of a block, by panels                               */
    ROUND_NEAR = 1 << 20, /* of V and M, by points: a share of an L3, ... */
    ROUND_FAR = 3 << 20,  /* ... or a few L2s where U is far away */
    L2_ELEMENTS = 256 << 10,
    CACHE_ELEMENTS = 4 << 20 /* larger results do not wait in an L3 for who reads them */
};

/* ---- planning ---- */

/* Whole cache lines, an odd number: 36 streams do not meet in a few sets of the L1. */
static int64_t odd_lines(int64_t elements)
{
    return (ceil_div(elements, LINE) | 1) * LINE;
}

/* Rows of a matrix: whole cache lines, not a large power of two apart. */
static int64_t row_pitch(int64_t channels)
{
    const int64_t pitch = ceil_div(channels, LINE) * LINE;
    return pitch % (16 * LINE) == 0 ? pitch + LINE : pitch;
}

/* Tiles of a block by tiles. In 2-D as many as V and M have room for in half an L2: few channels
 * make small products, and U is read for each block (Zen 4: 10 % of 16 channels, 5 % of 32). With
 * planes around it those of a register tile: several planes of fewer tiles at once were no faster. */
static int64_t block_of(const struct winograd *w)
{
    if (w->depth_taps > 1) return w->k > LINE ? ROWS : ROWS_NARROW;
    return most(ROWS, L2_ELEMENTS / 2 / (FREQUENCIES * (w->v_tile + w->m_tile)));
}

static void plan_by_tiles(struct winograd *w, int64_t tasks)
{
    w->cuts = most(1, least(tasks, w->all / CUT_LEAST));
    w->parts = most(1, least(tasks / w->cuts, w->target[0] / (2 * w->depth_taps)));
    w->block = least(block_of(w), ceil_div(w->all, w->cuts));
    w->v_frequency = odd_lines(w->block * w->v_tile);
    w->v_plane = FREQUENCIES * w->v_frequency;
    w->m_frequency = odd_lines(w->block * w->m_tile);
    w->u = w->panels * w->u_panel;
    w->shared = 0;
    w->slot = w->depth_taps * w->v_plane + FREQUENCIES * w->m_frequency;
}

static void plan_by_panel(struct winograd *w, int64_t tasks)
{
    w->cuts = most(1, least(ceil_div(tasks, w->panels), w->all / ROWS));
    w->parts = 1;
    w->block = least(PANEL_BLOCK, ceil_div(w->all, w->cuts));
    w->m_frequency = odd_lines(w->block * w->m_tile);
    w->u = w->stays ? w->panels * w->u_panel : 0;
    w->shared = w->source[0] * w->v_plane;
    w->slot = (w->stays ? 0 : w->u_panel) + FREQUENCIES * w->m_frequency;
}

static int64_t rounds_of(const struct winograd *w)
{
    const int64_t elements = FREQUENCIES * w->all * (w->v_tile + row_pitch(w->k));
    return ceil_div(elements, sunup__level3_far() ? ROUND_FAR : ROUND_NEAR);
}

static void plan_by_point(struct winograd *w)
{
    w->m_tile = row_pitch(w->k);
    w->block = ceil_div(w->all, rounds_of(w));
    w->v_frequency = odd_lines(w->block * w->v_tile);
    w->m_frequency = odd_lines(w->block * w->m_tile);
    w->u = w->panels * w->u_panel;
    w->shared = FREQUENCIES * (w->v_frequency + w->m_frequency);
    w->slot = 0;
}

/* The way that moves the fewest elements between a core's cache and what is beyond it. To write an
 * element there counts twice, because it is fetched before. By points, V and M of a round are read
 * again besides, and given half more; by panels, V pushes part of U out of the cache, half its size.
 * With these two the model meets the times on Sapphire Rapids (28 GB/s a core from its L3), where
 * 96 channels were faster by tiles, 128 even, 256 by points, and 512 of 7x7 by panels. */
static enum winograd_way choose_way(const struct winograd *w)
{
    const int64_t u = w->panels * w->u_panel, v = w->source[0] * w->v_plane,
                  m = FREQUENCIES * w->all * w->k, blocks = ceil_div(w->all, ROWS);
    if (u <= L2_ELEMENTS) return WINOGRAD_BY_TILES;
    const int64_t by_tiles = (2 + blocks) * u, by_panel = 3 * (2 + w->panels) * v / 2,
                  by_point = (2 + rounds_of(w)) * u + 7 * (v + m) / 2;
    const bool flat = w->source[0] == 1 && w->target[0] == 1 && w->depth_taps == 1;
    if (flat && by_point < least(by_tiles, by_panel)) return WINOGRAD_BY_POINT;
    return by_panel < by_tiles ? WINOGRAD_BY_PANEL : WINOGRAD_BY_TILES;
}

void sunup__winograd_plan_mosaic(struct winograd *w)
{
    for (int a = 0; a < 2; a++)
        w->mosaic.axis[a] = (struct mosaic_axis){.taps = w->taps,
                                                 .source = w->source[a + 1],
                                                 .target = w->target[a + 1],
                                                 .before = w->before[a + 1],
                                                 .dilation = w->dilation[a],
                                                 .circular = w->circular};
    sunup__mosaic_plan(&w->mosaic, w->samples);
    w->all = w->samples / mosaic_maps(&w->mosaic) * mosaic_tiles(&w->mosaic);
}

/* Elements of a sample. */
static int64_t sample_of(const int64_t points[3], int64_t channels)
{
    return points[0] * points[1] * points[2] * channels;
}

void sunup__winograd_place(struct winograd *w, int64_t *memory)
{
    const struct mosaic *m = &w->mosaic;
    w->sources = sunup__mosaic_sources(m, sample_of(w->source, w->c), w->c, memory);
    w->targets =
        sunup__mosaic_targets(m, sample_of(w->target, w->k), w->k, memory + sunup__mosaic_room(m));
}

void sunup__winograd_plan(struct winograd *w, int threads)
{
    const int64_t tasks = threads > 1 ? (int64_t)TASKS_PER_THREAD * threads : 1;
    sunup__winograd_plan_mosaic(w);
    w->panels = ceil_div(w->k, PANEL);
    w->u_frequency = odd_lines(w->depth_taps * w->c * PANEL);
    w->u_panel = FREQUENCIES * w->u_frequency;
    w->v_tile = row_pitch(w->c);
    w->v_frequency = odd_lines(w->all * w->v_tile);
    w->v_plane = FREQUENCIES * w->v_frequency;
    w->m_tile = least(PANEL, ceil_div(w->k, LINE) * LINE);
    w->stream = w->samples * w->target[0] * w->target[1] * w->target[2] * w->k > CACHE_ELEMENTS;
    w->way = choose_way(w);
    if (w->way == WINOGRAD_BY_POINT)
        plan_by_point(w);
    else if (w->way == WINOGRAD_BY_PANEL)
        plan_by_panel(w, tasks);
    else
        plan_by_tiles(w, tasks);
}

int64_t sunup__winograd_workspace(const struct winograd *w, int threads)
{
    return (w->shared + conv_slots_count(threads) * w->slot) * (int64_t)sizeof(float);
}

/* ---- weights ---- */

struct work {
    const struct winograd_run *r;
    int64_t from, end; /* tiles whose V is made for all panels to come */
    struct conv_slots slots;
};

/* [k][c] to [c][k] for each tap; asks for what the next chunk reads, `next` elements on. */
static void transpose(const struct winograd *w, const float *from, int64_t rows, int64_t columns,
                      int64_t next, float *to)
{
    for (int64_t tap = 0; tap < w->taps * w->taps; tap++) {
        const float *of = from + tap * w->k * w->c;
        float *out = to + tap * CHUNK * PANEL;
        for (int64_t j = 0; j < columns; j++) {
            const float *row = of + j * w->c;
            __builtin_prefetch(row + next);
            for (int64_t i = 0; i < rows; i++) out[i * PANEL + j] = row[i];
        }
    }
}

/* Source channels [from, to) of one panel of one depth tap. */
struct part {
    int64_t panel, t, from, to;
};

/* [C][32] of each frequency, of which the part's rows are filled, at u. */
static void load_weights(const struct winograd_run *r, struct part part, float *u)
{
    const struct winograd *w = r->w;
    const int64_t tap = w->c * w->k, k = part.panel * PANEL, area = w->taps * w->taps;
    struct winograd_weights_f32 g = {.taps = w->taps,
                                     .rows = part.to - part.from,
                                     .n = least(PANEL, w->k - k),
                                     .w = r->weights + area * part.t * tap + part.from * w->k + k,
                                     .w_row = w->k,
                                     .w_tap = tap,
                                     .u = u + part.from * PANEL,
                                     .u_row = PANEL,
                                     .u_frequency = w->u_frequency};
    if (!w->transposed) {
        r->leaves->winograd_weights(&g);
        return;
    }
    float turned[AREA_MOST * CHUNK * PANEL];
    const float *from = r->weights + area * (w->depth_taps - 1 - part.t) * tap + k * w->c;
    g.w = turned + (area - 1) * CHUNK * PANEL;
    g.w_row = PANEL;
    g.w_tap = -(int64_t)CHUNK * PANEL;
    for (int64_t c = part.from; c < part.to; c += CHUNK) {
        g.rows = least(CHUNK, part.to - c);
        g.u = u + c * PANEL;
        transpose(w, from + c, g.rows, g.n, c + CHUNK < part.to ? CHUNK : 0, turned);
        r->leaves->winograd_weights(&g);
    }
}

static void weights_task(void *arg, int64_t i)
{
    const struct work *work = arg;
    const struct winograd *w = work->r->w;
    const int64_t pieces = ceil_div(w->c, CHANNELS), panel = i / pieces / w->depth_taps;
    struct part part = {.panel = panel, .t = i / pieces % w->depth_taps};
    part.from = i % pieces * CHANNELS;
    part.to = least(part.from + CHANNELS, w->c);
    float *u = work->r->u + panel * w->u_panel;
    load_weights(work->r, part, u + part.t * w->c * PANEL);
}

/* ---- tiles ---- */

/* Tiles [from, end) and where V of their first is. */
struct block {
    const struct winograd_run *r;
    int64_t from, end;
    float *v, *m;
};

/* Tiles of a block side by side in one row of tiles. */
struct run {
    int64_t sample, row, column, tiles; /* the mosaic's first; row and column in tiles */
};

static struct run run_at(const struct winograd *w, int64_t u, int64_t end)
{
    const int64_t rows = w->mosaic.axis[0].tiles, columns = w->mosaic.axis[1].tiles;
    const int64_t sample = u / columns / rows * mosaic_maps(&w->mosaic);
    struct run r = {sample, u / columns % rows, u % columns, 0};
    r.tiles = least(end - u, mosaic_run(&w->mosaic.axis[1], r.column));
    return r;
}

/* Source plane `plane`, which exists, to v. */
static void load_plane(const struct block *b, int64_t plane, float *v)
{
    const struct winograd *w = b->r->w;
    const int64_t elements = w->source[1] * w->source[2] * w->c;
    struct winograd_input_f32 in = {.taps = w->taps,
                                    .channels = w->c,
                                    .x_point = w->c * w->dilation[1],
                                    .v_tile = w->v_tile,
                                    .v_frequency = w->v_frequency};
    for (int64_t u = b->from; u < b->end; u += in.tiles) {
        const struct run run = run_at(w, u, b->end);
        in.tiles = run.tiles;
        in.x = b->r->source + (run.sample * w->source[0] + plane) * elements;
        in.row = w->sources.row + mosaic_source(&w->mosaic.axis[0], run.row);
        in.column = w->sources.column + mosaic_source(&w->mosaic.axis[1], run.column);
        in.v = v + (u - b->from) * w->v_tile;
        b->r->leaves->winograd_input(&in);
    }
}

/* `channels` of target plane `plane`, from channel k on, out of M. */
static void store_plane(const struct block *b, int64_t plane, int64_t k, int64_t channels)
{
    const struct winograd *w = b->r->w;
    const int64_t elements = w->target[1] * w->target[2] * w->k;
    struct winograd_output_f32 out = {.taps = w->taps,
                                      .channels = channels,
                                      .m_tile = w->m_tile,
                                      .m_frequency = w->m_frequency,
                                      .bias = b->r->bias ? b->r->bias + k : NULL,
                                      .y_point = w->k * w->dilation[1],
                                      .stream = w->stream};
    for (int64_t u = b->from; u < b->end; u += out.tiles) {
        const struct run run = run_at(w, u, b->end);
        out.tiles = run.tiles;
        out.m = b->m + (u - b->from) * w->m_tile;
        out.y = b->r->target + (run.sample * w->target[0] + plane) * elements + k;
        out.row = w->targets.row + mosaic_target(&w->mosaic.axis[0], run.row);
        out.column = w->targets.column + mosaic_target(&w->mosaic.axis[1], run.column);
        b->r->leaves->winograd_output(&out);
    }
}

/* Depth taps that a target plane sees: where their V and U are. */
struct depth {
    int64_t n;
    int64_t v_at[WINOGRAD_DEPTH_TAPS_MOST], u_at[WINOGRAD_DEPTH_TAPS_MOST];
};

/* The first `columns` columns of M from the panel at u, for frequencies [from, to). */
static void multiply(const struct block *b, const struct depth *depth, const float *u,
                     int64_t columns, int64_t from, int64_t to)
{
    const struct winograd *w = b->r->w;
    struct gemm_f32 g = {.m = b->end - b->from,
                         .n = columns,
                         .k = w->c,
                         .batch = depth->n,
                         .a_row = w->v_tile,
                         .a_col = 1,
                         .a_at = depth->v_at,
                         .b_row = PANEL,
                         .b_at = depth->u_at,
                         .c_row = w->m_tile};
    for (int64_t f = from; f < to; f++) {
        g.a = b->v + f * w->v_frequency;
        g.b = u + f * w->u_frequency;
        g.c = b->m + f * w->m_frequency;
        b->r->leaves->gemm(&g);
    }
}

/* Source plane that tap t of target plane d sees, -1: none. */
static int64_t plane_of(const struct winograd *w, int64_t d, int64_t t)
{
    const int64_t at = d - w->before[0] + t;
    if (w->circular) return wrapped(at, w->source[0]);
    return at >= 0 && at < w->source[0] ? at : -1;
}

/* ---- by tiles ---- */

/* Target planes [from, to) of a block. A source plane is loaded when the last tap comes to it. */
static void run_block(const struct block *b, int64_t from, int64_t to)
{
    const struct winograd *w = b->r->w;
    struct depth depth;
    for (int64_t d = from; d < to; d++) {
        depth.n = 0;
        for (int64_t t = 0; t < w->depth_taps; t++) {
            const int64_t plane = plane_of(w, d, t);
            const int64_t ring = (d + t) % w->depth_taps * w->v_plane;
            if (plane < 0) continue;
            if (d == from || t == w->depth_taps - 1) load_plane(b, plane, b->v + ring);
            depth.v_at[depth.n] = ring;
            depth.u_at[depth.n++] = t * w->c * PANEL;
        }
        for (int64_t k = 0; k < w->k; k += PANEL) {
            const int64_t columns = least(PANEL, w->k - k);
            multiply(b, &depth, b->r->u + k / PANEL * w->u_panel, columns, 0, FREQUENCIES);
            store_plane(b, d, k, columns);
        }
    }
}

static void tiles_task(void *arg, int64_t i)
{
    struct work *work = arg;
    const struct winograd *w = work->r->w;
    const int64_t slot = conv_slot_take(&work->slots), cut = i / w->parts, part = i % w->parts;
    const int64_t first = cut * w->all / w->cuts, n = (cut + 1) * w->all / w->cuts - first;
    const int64_t blocks = ceil_div(n, w->block);
    float *memory = work->r->memory + w->shared + slot * w->slot;
    for (int64_t j = 0; j < blocks; j++) {
        const struct block b = {.r = work->r,
                                .from = first + j * n / blocks,
                                .end = first + (j + 1) * n / blocks,
                                .v = memory,
                                .m = memory + w->depth_taps * w->v_plane};
        run_block(&b, part * w->target[0] / w->parts, (part + 1) * w->target[0] / w->parts);
    }
    conv_slot_give(&work->slots, slot);
}

/* ---- by panels ---- */

/* Some tiles of one source plane. */
static void source_task(void *arg, int64_t i)
{
    const struct work *work = arg;
    const struct winograd *w = work->r->w;
    const int64_t pieces = ceil_div(work->end - work->from, PIECE), plane = i / pieces;
    struct block b = {.r = work->r, .from = work->from + i % pieces * PIECE};
    b.end = least(b.from + PIECE, work->end);
    float *v = work->r->memory + plane * w->v_plane;
    load_plane(&b, plane, v + (b.from - work->from) * w->v_tile);
}

static void run_panel_block(const struct block *b, int64_t panel, const float *u)
{
    const struct winograd *w = b->r->w;
    const int64_t k = panel * PANEL, channels = least(PANEL, w->k - k);
    struct depth depth;
    for (int64_t d = 0; d < w->target[0]; d++) {
        depth.n = 0;
        for (int64_t t = 0; t < w->depth_taps; t++) {
            const int64_t plane = plane_of(w, d, t);
            if (plane < 0) continue;
            depth.v_at[depth.n] = plane * w->v_plane;
            depth.u_at[depth.n++] = t * w->c * PANEL;
        }
        multiply(b, &depth, u, channels, 0, FREQUENCIES);
        store_plane(b, d, k, channels);
    }
}

static void panel_task(void *arg, int64_t i)
{
    struct work *work = arg;
    const struct winograd *w = work->r->w;
    const int64_t slot = conv_slot_take(&work->slots), cut = i % w->cuts, panel = i / w->cuts;
    const int64_t first = cut * w->all / w->cuts, n = (cut + 1) * w->all / w->cuts - first;
    const int64_t blocks = ceil_div(n, w->block);
    float *memory = work->r->memory + w->shared + slot * w->slot;
    float *u = w->stays ? work->r->u + panel * w->u_panel : memory;
    for (int64_t t = 0; t < w->depth_taps && !w->stays; t++)
        load_weights(work->r, (struct part){panel, t, 0, w->c}, u + t * w->c * PANEL);
    for (int64_t j = 0; j < blocks; j++) {
        struct block b = {.r = work->r,
                          .from = first + j * n / blocks,
                          .end = first + (j + 1) * n / blocks,
                          .m = memory + (w->stays ? 0 : w->u_panel)};
        b.v = work->r->memory + b.from * w->v_tile;
        run_panel_block(&b, panel, u);
    }
    conv_slot_give(&work->slots, slot);
}

/* ---- by points ---- */

/* All tiles of a round; memory is V, M. */
static struct block tiles_of_round(const struct work *work)
{
    const struct winograd *w = work->r->w;
    float *memory = work->r->memory;
    return (struct block){.r = work->r,
                          .from = work->from,
                          .end = work->end,
                          .v = memory,
                          .m = memory + FREQUENCIES * w->v_frequency};
}

/* A panel of a frequency. Neighbours share the frequency, so its V is read from afar once. */
static void point_task(void *arg, int64_t i)
{
    const struct work *work = arg;
    const struct winograd *w = work->r->w;
    const struct depth depth = {.n = 1};
    const int64_t f = i / w->panels, panel = i % w->panels, k = panel * PANEL;
    const float *u = work->r->u + panel * w->u_panel;
    struct block b = tiles_of_round(work);
    b.m += k;
    multiply(&b, &depth, u, least(PANEL, w->k - k), f, f + 1);
}

static void target_task(void *arg, int64_t i)
{
    const struct work *work = arg;
    const struct winograd *w = work->r->w;
    struct block b = tiles_of_round(work);
    b.from += i * PIECE;
    b.end = least(b.from + PIECE, work->end);
    b.m += i * PIECE * w->m_tile;
    store_plane(&b, 0, 0, w->k);
}

/* ---- all ---- */

void sunup__winograd_prepare(const struct winograd_run *r)
{
    const struct winograd *w = r->w;
    struct work work = {.r = r};
    sunup__parallel(r->threads, w->panels * w->depth_taps * ceil_div(w->c, CHANNELS), weights_task,
                    &work);
}

static void make_sources(struct work *work)
{
    const int64_t pieces = ceil_div(work->end - work->from, PIECE);
    sunup__parallel(work->r->threads, work->r->w->source[0] * pieces, source_task, work);
}

static void run_rounds(struct work *work)
{
    const struct winograd *w = work->r->w;
    const int threads = work->r->threads;
    for (int64_t from = 0; from < w->all; from += w->block) {
        work->from = from;
        work->end = least(from + w->block, w->all);
        make_sources(work);
        sunup__parallel(threads, FREQUENCIES * w->panels, point_task, work);
        sunup__parallel(threads, ceil_div(work->end - from, PIECE), target_task, work);
    }
}

void sunup__winograd_run(const struct winograd_run *r)
{
    const struct winograd *w = r->w;
    struct work work = {.r = r, .end = w->all, .slots = {.n = conv_slots_count(r->threads)}};
    switch (w->way) {
    case WINOGRAD_BY_PANEL:
        make_sources(&work);
        sunup__parallel(r->threads, w->panels * w->cuts, panel_task, &work);
        break;
    case WINOGRAD_BY_POINT:
        run_rounds(&work);
        break;
    default:
        sunup__parallel(r->threads, w->cuts * w->parts, tiles_task, &work);
    }
}
