/* conv_weight_grad_winograd.c - gradient of a 3x3 convolution by its weights as F(3x3, 4x4), 36
 * products for each 4x4 tile of dy where the direct way has 144, and of a 5x5 one as F(5x5, 2x2),
 * 36 for each 2x2 tile where it has 100.
 *
 * dU[f][t][c][k] = sum over tiles of V[f][tile][c] Y[f][tile][k], V of x and Y of dy by the
 * transforms of winograd_ref.c and winograd_grad_ref.c, then dw from dU. H and W are transformed;
 * along D a slice of dy meets the slice of x that is t further on, a shift in V because slices lie
 * one after the other. A slice is one of a mosaic of samples, see winograd_mosaic.h. A part is a
 * range of slices times a range of tiles; its tiles are the k of 36 products for each block of
 * channels. Slices of 2-D maps are mosaics, so a part of small maps has several.
 *
 * Two ways to share the work, chosen by the size of dU:
 *   small   the parts are dealt to chunks with a dU each, which are added in order at the end;
 *           their number follows from shapes alone. V, Y and dU of a task stay in or near the L2.
 *   large   all threads transform one large part, then share the blocks of dU among them; or, where
 *           reading V and Y for each block would move more than dU is, each block's 36 points.
 * Either way an element of dU is a sum in an order that the shapes decide, so bits do not depend on
 * threads. Largest error 0.5e-6 to 3e-6 of the largest |dw|, 1.2 to 6 times the direct way's.
 *
 * Ceiling: a quarter of the direct way's products, at 78 % of the peak, where 4 divides the map
 * (7x7: a third); the transforms add a third of that for 64 channels, half for 32. In all 2.2 to
 * 3.5 times as fast as the direct way at its best, 1.3 for 32 channels of 14x14. Fetching the next
 * part's x and dy ahead during the products gained nothing.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/winograd_mosaic.h"
#include "graph/ops/conv.h"

enum {
    POINTS = 36,
    SIDE = 6,   /* of a tile of x: that of dy and taps - 1 */
    WIDTH = 64, /* channels in a block at most */
    LINE = 16,  /* floats; one more keeps the points off each other's cache sets */
    ROWS_OF_TASK = 16,
    RUN_MOST = 18,           /* slices in a part if T > 1, ... */
    RUN_TILES = 5,           /* ... and tiles of each at least */
    ROWS = 64,               /* in a part at least; of a large dU as many as ELEMENTS of V and Y */
    PART = 144 << 10,        /* elements of V and Y in a part: half of a 1 MB L2 */
    ELEMENTS = 3 << 20,      /* a few L2s, or a share of an L3; more if dU, which each ... */
    ELEMENTS_MOST = 8 << 20, /* ... part reads and writes, is larger */
    PARTIAL_ELEMENTS_MOST = 5 << 20,
    CHUNKS_MOST = 32, /* but more than CHUNKS only if they are long */
    CHUNKS = 8,
    ROWS_OF_CHUNK = 48,
    ROWS_OF_LONG_CHUNK = 384,
    ITEMS = 4 /* as many and more are faster the large way */
};

/* x or dy and what it becomes: [blocks][POINTS][rows][width]. */
struct side {
    int64_t channels, slices, slice; /* of a sample; elements of one */
    int64_t first;                   /* slice that slice 0 of dy meets */
    bool circular;
    struct mosaic_offsets at;
    int64_t halo; /* slices more than dy's */
    int64_t blocks, width;
    int64_t pitch, block; /* elements from point to point, from block to block */
};

struct winograd {
    struct side x, dy;
    int64_t taps, plane_taps; /* T; in H and in W, 3 or 5 */
    struct mosaic mosaic;
    int64_t tiles;             /* of a slice of a mosaic */
    int64_t sequences, length; /* slices of dy that follow each other in D; T = 1: all of them */
    int64_t slice_parts, tile_parts, parts;
    int64_t items, item, u_pitch; /* dU: [items][POINTS][c][k], an item for each t and two blocks */
    int64_t chunks;               /* 0: large */
    bool by_point;   /* large: all dU is kept, and a task is a point of an item, not an item */
    int64_t slot, u; /* elements of V and Y; of all dU */
};

struct work {
    const struct winograd *g;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *dw, *u, *memory; /* memory: [slots][slot] */
    int64_t part;
    struct conv_slots slots;
};

static int64_t channels_of(const struct side *s, int64_t block)
{
    return least(s->width, s->channels - block * s->width);
}

/* ---- parts and their transforms ---- */

struct part {
    int64_t sequence, slice, slices, tile, tiles;
};

static struct part part_of(const struct winograd *g, int64_t i)
{
    const int64_t t = i % g->tile_parts, s = i / g->tile_parts % g->slice_parts;
    struct part p = {.sequence = i / g->tile_parts / g->slice_parts,
                     .slice = s * g->length / g->slice_parts,
                     .tile = t * g->tiles / g->tile_parts};
    p.slices = (s + 1) * g->length / g->slice_parts - p.slice;
    p.tiles = (t + 1) * g->tiles / g->tile_parts - p.tile;
    return p;
}

/* Slice i of a sequence; NULL: zeros. */
static const float *find_slice(const struct winograd *g, const struct side *s, const float *source,
                               int64_t sequence, int64_t i)
{
    const int64_t n = s->slices, mosaic = g->taps == 1 ? i / g->dy.slices : sequence;
    int64_t d = s->first + (g->taps == 1 ? i % g->dy.slices : i);
    if (s->circular) d = wrapped(d, n);
    if (d < 0 || d >= n) return NULL;
    return source + (mosaic * mosaic_maps(&g->mosaic) * n + d) * s->slice;
}

/* Rows [from, to) of V or Y, in runs of tiles next to each other; row = slice * tiles + tile. */
static void transform(const struct work *w, const struct part *p, const struct side *s,
                      int64_t from, int64_t to, float *out)
{
    static const int64_t none[SIDE] = {-1, -1, -1, -1, -1, -1};
    const struct winograd *g = w->g;
    const bool is_x = s == &g->x;
    const struct mosaic_axis *h = &g->mosaic.axis[0], *v = &g->mosaic.axis[1];
    int64_t (*number)(const struct mosaic_axis *, int64_t) = is_x ? mosaic_source : mosaic_target;
    for (int64_t row = from, next; row < to; row = next) {
        const int64_t tile = p->tile + row % p->tiles, at = tile % v->tiles;
        next = least(row + mosaic_run(v, at), least(to, (row / p->tiles + 1) * p->tiles));
        struct winograd_input_f32 t = {
            .taps = g->plane_taps,
            .tiles = next - row,
            .x = find_slice(g, s, is_x ? w->x : w->dy, p->sequence, p->slice + row / p->tiles),
            .column = s->at.column + number(v, at),
            .x_point = s->channels * v->dilation,
            .v_tile = s->width,
            .v_frequency = s->pitch};
        t.row = t.x ? s->at.row + number(h, tile / v->tiles) : none;
        for (int64_t b = 0; b < s->blocks; b++) {
            t.channels = channels_of(s, b);
            t.v = out + b * s->block + row * s->width;
            if (is_x)
                w->leaves->winograd_input(&t);
            else
                w->leaves->winograd_grad_dy(&t);
            if (t.x) t.x += s->width;
        }
    }
}

static int64_t rows_of(const struct part *p, const struct side *s)
{
    return (p->slices + s->halo) * p->tiles;
}

static float *dy_memory(const struct winograd *g, float *slot)
{
    return slot + g->x.blocks * g->x.block;
}

/* ---- products, and back to taps ---- */

struct item {
    int64_t t, c, k, rows, columns; /* tap, blocks, and their channels */
};

static struct item item_of(const struct winograd *g, int64_t i)
{
    struct item m = {.t = i / g->dy.blocks / g->x.blocks,
                     .c = i / g->dy.blocks % g->x.blocks,
                     .k = i % g->dy.blocks};
    m.rows = channels_of(&g->x, m.c);
    m.columns = channels_of(&g->dy, m.k);
    return m;
}

/* u (+)= the part's sum for item i, of points [from, to). */
static void multiply(const struct work *w, const struct part *p, int64_t i, int from, int to,
                     const float *slot, float *u, bool first)
{
    const struct winograd *g = w->g;
    const struct item m = item_of(g, i);
    const float *v = slot + m.c * g->x.block + m.t * p->tiles * g->x.width,
                *y = slot + g->x.blocks * g->x.block + m.k * g->dy.block;
    struct gemm_f32 gemm = {.m = m.rows,
                            .n = m.columns,
                            .k = rows_of(p, &g->dy),
                            .batch = 1,
                            .a_row = 1,
                            .a_col = g->x.width,
                            .b_row = g->dy.width,
                            .c_row = g->dy.width,
                            .accumulate = !first};
    for (int f = from; f < to; f++) {
        gemm.a = v + f * g->x.pitch;
        gemm.b = y + f * g->dy.pitch;
        gemm.c = u + f * g->u_pitch;
        w->leaves->gemm(&gemm);
    }
}

/* Rows [from, to) of item i, out of u into dw. */
static void finish(const struct work *w, int64_t i, const float *u, int64_t from, int64_t to)
{
    const struct winograd *g = w->g;
    const struct item m = item_of(g, i);
    const int64_t tap = g->x.channels * g->dy.channels, area = g->plane_taps * g->plane_taps;
    for (int64_t r = from; r < to; r++) {
        float *dw =
            w->dw + m.t * area * tap + (m.c * g->x.width + r) * g->dy.channels + m.k * g->dy.width;
        w->leaves->winograd_grad_dw(g->plane_taps, m.columns, u + r * g->dy.width, g->u_pitch, dw,
                                    tap);
    }
}

/* ---- small dU ---- */

static void run_chunk(void *arg, int64_t chunk)
{
    struct work *w = arg;
    const struct winograd *g = w->g;
    const int64_t from = chunk * g->parts / g->chunks, to = (chunk + 1) * g->parts / g->chunks,
                  taken = conv_slot_take(&w->slots);
    float *slot = w->memory + taken * g->slot, *u = w->u + chunk * g->items * g->item;
    for (int64_t i = from; i < to; i++) {
        const struct part p = part_of(g, i);
        transform(w, &p, &g->x, 0, rows_of(&p, &g->x), slot);
        transform(w, &p, &g->dy, 0, rows_of(&p, &g->dy), dy_memory(g, slot));
        for (int64_t j = 0; j < g->items; j++)
            multiply(w, &p, j, 0, POINTS, slot, u + j * g->item, i == from);
    }
    conv_slot_give(&w->slots, taken);
}

/* Task i: some rows of an item, of all chunks. */
static void add_chunks(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct winograd *g = w->g;
    const int64_t tasks = ceil_div(g->x.width, ROWS_OF_TASK), item = i / tasks,
                  from = i % tasks * ROWS_OF_TASK,
                  to = least(from + ROWS_OF_TASK, item_of(g, item).rows);
    if (from >= to) return;
    float *u = w->u + item * g->item;
    for (int64_t c = 1; c < g->chunks; c++) {
        for (int64_t at = from * g->dy.width; at < POINTS * g->u_pitch; at += g->u_pitch)
            w->leaves->add_to((to - from) * g->dy.width, u + c * g->items * g->item + at, u + at);
    }
    finish(w, item, u, from, to);
}

static void finish_all(int threads, struct work *w)
{
    const int64_t tasks = w->g->items * ceil_div(w->g->x.width, ROWS_OF_TASK);
    sunup__parallel(threads, tasks, add_chunks, w);
}

/* ---- large dU ---- */

/* Some rows of V, then of Y. */
static void transform_some(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct winograd *g = w->g;
    const struct part p = part_of(g, w->part);
    const int64_t x_tasks = ceil_div(rows_of(&p, &g->x), ROWS_OF_TASK);
    const bool is_x = i < x_tasks;
    const struct side *s = is_x ? &g->x : &g->dy;
    const int64_t from = (is_x ? i : i - x_tasks) * ROWS_OF_TASK;
    transform(w, &p, s, from, least(from + ROWS_OF_TASK, rows_of(&p, s)),
              is_x ? w->memory : dy_memory(g, w->memory));
}

/* One item of the only part: its dU is gone when it is done. */
static void multiply_item(void *arg, int64_t i)
{
    struct work *w = arg;
    const struct winograd *g = w->g;
    const struct part p = part_of(g, 0);
    const int64_t taken = conv_slot_take(&w->slots);
    float *u = w->u + taken * g->item;
    multiply(w, &p, i, 0, POINTS, w->memory, u, true);
    finish(w, i, u, 0, item_of(g, i).rows);
    conv_slot_give(&w->slots, taken);
}

/* A point of an item. Neighbours share the point, so V and Y of it are read from afar once. */
static void multiply_point(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct winograd *g = w->g;
    const struct part p = part_of(g, w->part);
    const int64_t item = i % g->items;
    const int f = (int)(i / g->items);
    multiply(w, &p, item, f, f + 1, w->memory, w->u + item * g->item, w->part == 0);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct winograd *g = s->data;
    const int threads = s->device->threads;
    struct work w = {.g = g,
                     .leaves = &s->device->kernels->f32,
                     .x = s->in[0],
                     .dy = s->in[1],
                     .dw = s->out[0],
                     .u = s->workspace,
                     .slots = {.n = conv_slots_count(threads)}};
    w.memory = w.u + g->u;
    if (g->chunks > 0) {
        sunup__parallel(threads, g->chunks, run_chunk, &w);
        finish_all(threads, &w);
        return SUNUP_OK;
    }
    for (; w.part < g->parts; w.part++) {
        const struct part p = part_of(g, w.part);
        const int64_t tasks = ceil_div(rows_of(&p, &g->x), ROWS_OF_TASK) +
                              ceil_div(rows_of(&p, &g->dy), ROWS_OF_TASK);
        sunup__parallel(threads, tasks, transform_some, &w);
        if (g->by_point)
            sunup__parallel(threads, g->items * POINTS, multiply_point, &w);
        else
            sunup__parallel(threads, g->items, multiply_item, &w);
    }
    if (g->by_point) finish_all(threads, &w);
    return SUNUP_OK;
}

/* ---- making ---- */

static void plan_side(struct side *s, int64_t channels, const int64_t extent[3])
{
    *s = (struct side){.channels = channels,
                       .slices = extent[0],
                       .slice = extent[1] * extent[2] * channels,
                       .blocks = ceil_div(channels, WIDTH)};
    s->width = ceil_div(ceil_div(channels, s->blocks), LINE) * LINE;
    s->blocks = ceil_div(channels, s->width);
}

static void plan_memory(struct side *s, int64_t slices, int64_t tiles)
{
    s->pitch = (slices + s->halo) * tiles * s->width + LINE;
    s->block = POINTS * s->pitch;
}

/* Parts of about `rows` rows: whole slices if they are small, runs of slices if these share x. */
static void plan_parts(struct winograd *g, int64_t rows)
{
    const int64_t tiles = g->tiles, run = g->taps > 1 ? least(RUN_MOST, most(1, rows / RUN_TILES))
                                                      : ceil_div(rows, tiles);
    g->slice_parts = ceil_div(g->length, run);
    const int64_t slices = ceil_div(g->length, g->slice_parts);
    g->tile_parts = ceil_div(tiles, least(tiles, ceil_div(rows < 1 ? 1 : rows, slices)));
    g->parts = g->sequences * g->slice_parts * g->tile_parts;
    plan_memory(&g->x, slices, ceil_div(tiles, g->tile_parts));
    plan_memory(&g->dy, slices, ceil_div(tiles, g->tile_parts));
    g->slot = g->x.blocks * g->x.block + g->dy.blocks * g->dy.block;
}

static void plan(struct winograd *g, const struct window *w, int64_t samples)
{
    plan_side(&g->x, w->c, w->in);
    plan_side(&g->dy, w->k, w->out);
    g->x.first = -w->before[0];
    g->x.circular = w->circular;
    g->x.halo = w->taps[0] - 1;
    g->taps = w->taps[0];
    g->plane_taps = w->taps[1];
    for (int a = 0; a < 2; a++)
        g->mosaic.axis[a] = (struct mosaic_axis){.taps = g->plane_taps,
                                                 .source = w->in[a + 1],
                                                 .target = w->out[a + 1],
                                                 .before = w->before[a + 1],
                                                 .dilation = w->dilation[a + 1],
                                                 .circular = w->circular};
    sunup__mosaic_plan(&g->mosaic, samples);
    g->tiles = mosaic_tiles(&g->mosaic);
    const int64_t mosaics = samples / mosaic_maps(&g->mosaic);
    g->sequences = g->taps > 1 ? mosaics : 1;
    g->length = g->taps > 1 ? g->dy.slices : mosaics * g->dy.slices;
    g->u_pitch = g->x.width * g->dy.width + LINE;
    g->item = POINTS * g->u_pitch;
    g->items = g->taps * g->x.blocks * g->dy.blocks;
}

static int64_t rows_of_part(const struct winograd *g)
{
    return most(ROWS, PART / (POINTS * (g->x.width + g->dy.width)));
}

/* A power of two, so that they are shared evenly by most numbers of threads; 0: the large way, for
 * which a single chunk is no match. */
static int64_t plan_chunks(const struct winograd *g)
{
    const int64_t rows = g->sequences * g->length * g->tiles,
                  some = least(rows / ROWS_OF_CHUNK, CHUNKS), more = rows / ROWS_OF_LONG_CHUNK,
                  wanted = more > some ? more : some,
                  room = PARTIAL_ELEMENTS_MOST / (g->items * g->item);
    int64_t chunks = 1;
    while (2 * chunks <= least(least(wanted, CHUNKS_MOST), room)) chunks *= 2;
    return g->items < ITEMS && chunks > 1 ? chunks : 0;
}

/* Do items reading V and Y for each block of the other side move more than dU written, fetched and
 * read? */
static bool is_far(const struct winograd *g)
{
    const int64_t v = g->x.blocks * g->x.block, y = g->dy.blocks * g->dy.block;
    return v * (g->taps * g->dy.blocks - 1) + y * (g->taps * g->x.blocks - 1) >
           3 * g->items * g->item;
}

static void plan_ways(struct winograd *g, int64_t slots)
{
    const int64_t all = g->items * g->item;
    g->chunks = plan_chunks(g);
    if (g->chunks > 0) {
        plan_parts(g, rows_of_part(g));
        g->chunks = least(g->chunks, g->parts);
        g->u = g->chunks * all;
    } else {
        const int64_t elements = all > ELEMENTS ? least(all, ELEMENTS_MOST) : ELEMENTS;
        plan_parts(g, elements / (POINTS * (g->x.channels + g->dy.channels)));
        g->by_point = g->parts > 1 || g->items < ITEMS || is_far(g);
        g->u = g->by_point ? all : slots * g->item;
    }
}

/* Where the points of x and dy are; `memory` is twice sunup__mosaic_room. */
static void place_sides(struct winograd *g, int64_t *memory)
{
    struct side *x = &g->x, *dy = &g->dy;
    x->at = sunup__mosaic_sources(&g->mosaic, x->slices * x->slice, x->channels, memory);
    memory += sunup__mosaic_room(&g->mosaic);
    dy->at = sunup__mosaic_targets(&g->mosaic, dy->slices * dy->slice, dy->channels, memory);
}

sunup_status sunup__make_conv_weight_grad_winograd(struct device *d, const struct node *n,
                                                   struct step *s)
{
    struct winograd of = {0};
    plan(&of, &((const struct conv_attr *)n->attr)->w, n->in[0]->shape.d[0]);
    const int64_t slots = conv_slots_count(d->threads),
                  offsets = 2 * sunup__mosaic_room(&of.mosaic);
    plan_ways(&of, slots);
    struct winograd *g = sunup__alloc(sizeof *g + (size_t)offsets * sizeof(int64_t));
    CHECK(g != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *g = of;
    place_sides(g, (int64_t *)(g + 1));
    s->data = g;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = (g->u + (g->chunks > 0 ? slots : 1) * g->slot) * (int64_t)sizeof(float);
    return SUNUP_OK;
}

/* Cycles of one core with 16 lanes and, like a Sapphire Rapids, two multiply-adds a cycle, at 78 %
 * of the peak: one that has half of them, like Zen 4, gains more. The direct way is the further
 * from its peak the smaller its products are. 24 for each channel of a transformed tile, and what
 * it takes to store and add up dU, are the same on both. The last makes the direct way win on maps
 * of few points, the transforms on few channels. */
static bool is_faster(const struct winograd *g, const struct window *w)
{
    const double slices = (double)(g->sequences * g->length), tiles = slices * (double)g->tiles,
                 points = slices * (double)(mosaic_maps(&g->mosaic) * w->out[1] * w->out[2]);
    const double pairs = (double)(g->taps * w->c * w->k) / LINE,
                 area = (double)(g->plane_taps * g->plane_taps);
    const double chunks = (double)(plan_chunks(g) + 1);
    const double each = 0.5 + 8 / (double)(w->c > w->k ? w->c : w->k);
    const double direct = each * points * area * pairs * sunup__mosaic_inside(&g->mosaic);
    const double winograd =
        tiles * (0.64 * POINTS * pairs + 24 * (double)(w->c + w->k)) + 4 * POINTS * pairs * chunks;
    return 1.25 * winograd < direct;
}

bool sunup__conv_weight_grad_winograd_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT || n->out[0]->dtype != SUNUP_F32 ||
        sunup__elements(&n->out[0]->shape) == 0 || sunup__elements(&n->in[1]->shape) == 0)
        return false;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (!sunup__mosaic_can(w) || w->c < LINE || w->k < LINE) return false;
    struct winograd g = {0};
    plan(&g, w, n->in[0]->shape.d[0]);
    return is_faster(&g, w);
}
