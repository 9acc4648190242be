/* conv_bf16.c - convolution and its gradient by the input, operands rounded to bf16, sums in f32.
 *
 * The source is written as a grid of bf16 words (conv_bf16.h), a box at a time; the weights once,
 * as panels of 32 columns, [tap][words of a sum][32]. Targets are a sweep: rows of neighbouring
 * points of a plane of the grid, a batch of taps, all of them one call of gemm_bf16 for each
 * panel, into memory of the task that holds also the points between the rows of targets; what is
 * wanted leaves it for its place. Where a plane of the grid is a plane of targets, products write
 * there at once. The gradient is a sweep for each phase of the stride over the grid of dy.
 *
 * If all weights stay in a second cache, a task makes a box's grid for itself, uses it for all
 * panels and sweeps, and it never leaves the cache; without tiles the leaf meanwhile asks for the
 * source of the next box, which is small where boxes share no halo (256 to 64 channels at 56x56 on
 * Zen 5: 2.2 instead of 2.7 ms); where boxes lie behind one another in depth, planes of the grid
 * are made when they are needed, and those that the next box reads too are kept. Else grids of all
 * samples are made first, and tasks take as many panels as the cache holds through all points. An
 * element is one chain over taps and channels whatever is cut, so no bit depends on threads.
 *
 * With several groups a panel's sums run over the words of its own channels, which lie side by side in each point.
 * Groups of 16 channels go two by two, with zeros between them among the weights.
 *
 * Ceiling: the leaf's, of which small maps lose the points between their rows (2 of 9 for 7x7 with
 * 3x3 taps, 2 of 58 for 56x56); and memory: source read, targets written. Under tiles this is 1.3
 * (64 channels) to 3.5 times (256) as fast as Winograd in f32. With vdpbf16ps, twice the rate of
 * f32, Winograd's 2.1 to 3.5 times are more, so that it serves the rest alone: 1x1 and strided ones,
 * 1.3 to 2 times as fast as in f32 (Zen 5, ResNet-50).
 *
 * Operands in two parts (x3) take three products of tiles where one part takes one, so the leaf has time
 * to ask for the source of the next box: 256 to 128 channels at 56x56 in 6.0 instead of 8.4 ms, with boxes
 * half as large, beside which that source has room in the cache. Weights may fill half of it rather than a
 * quarter, so that grids are read fewer times (3x3 with 256 channels and stride 2: 6.4 instead of 7.6 ms),
 * and products have 256 rows (5.9). Up to 1430 GFLOP/s on two cores (NT3's ten taps), whose ceiling in f32
 * is 460 (Xeon with AMX, Granite Rapids class, 2026-11-30).
 */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/conv_bf16.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "graph/ops/conv.h"

enum {
    WIDTH = 32, /* of a panel                                     */
    ROWS = 128, /* of a product, about; of operands in two parts  */
    ROWS_OF_PARTS = 256,
    ROWS_LEAST = 32,
    STREAM_BLOCK = 8 << 10, /* elements of rows that are streamed, all columns */
    BOX_LEAST = 8 << 10,
    BOXES_PER_THREAD = 3,
    STREAM = 2 << 20, /* elements that no near cache holds until they are read */
    GROUPED_MOST = 256 << 10, /* weights of a data gradient in groups: 1024 channels at 7x7 take 0.86 in f32 */
    CHUNK = 128,      /* terms of turned weights at once           */
    LINES_MOST = 32   /* asked for by a step                       */
};

/* Targets that see the same taps. */
struct sweep {
    int64_t targets[3], taps;
    int64_t first, pitch[4]; /* elements of the target memory: N D H W */
    int64_t *a_at, *b_at;    /* [taps] words in the grid and in a panel; then to the second part */
};

struct conv {
    struct conv_grid grid;
    struct sweep *sweeps;
    int64_t n_sweeps;
    int64_t n, k, taps; /* columns; terms of a tap, in elements; taps */
    int64_t words;      /* of these terms */
    struct conv_groups groups;
    int64_t block_n, block_k, row; /* columns and terms of a group of the window's; its row of weights */
    bool turned;        /* weights are [tap][n][k]                    */
    int64_t panels, low, tap_words, panel_words; /* low: as the grid's, in a panel */
    bool stream, fused; /* fused: a task makes its own grids        */
    bool asks;          /* and the leaf asks for the next one's source */
    bool rolls;         /* and planes when they are needed, what boxes share once */
    int64_t rows;       /* of a product, about                      */
};

struct run {
    const struct conv *c;
    const struct leaves_f32 *leaves;
    const float *source, *w, *bias;
    float *target;
    uint32_t *grid, *weights;
    int64_t group, groups, shares; /* panels at once; shares of the boxes */
    struct conv_slots slots;
};

/* A box and what reads it. */
struct work {
    const struct run *r;
    const struct sweep *sweep;
    struct conv_place box;
    uint32_t *grid;
    int64_t filled;      /* planes of the grid */
    int64_t lines;       /* of the next box's source, asked for by a step of gemm_bf16x3 */
    int64_t first, last; /* panels */
    struct ahead *next;
};

/* Words of weights at work, a quarter of the second cache, half of it for two parts; of the grid of a box that stays in
 * it. */
static int64_t weights_most(int64_t parts)
{
    return sunup__cache_bytes(2) / 16 * parts;
}

static int64_t box_most(void)
{
    return sunup__cache_bytes(2) / 64 * 5;
}

static int64_t lines(int64_t words)
{
    return ceil_div(words, 16) * 16;
}

static void zero(uint32_t *words, int64_t n)
{
    memset(words, 0, (size_t)n * sizeof *words);
}

/* ---- weights ---- */

/* Columns [n][k] of a tap to [words][WIDTH]. */
static void pack_turned(const struct run *r, const float *from, int64_t width, uint32_t *to)
{
    const struct conv *c = r->c;
    _Alignas(64) uint32_t piece[2][WIDTH * CHUNK / 2];
    for (int64_t k = 0; k < c->block_k; k += CHUNK) {
        const int64_t n = least(CHUNK, c->block_k - k), n2 = ceil_div(n, 2);
        for (int64_t j = 0; j < width; j++)
            r->leaves->bf16_words(n, from + j * c->row + k, piece[0] + j * CHUNK / 2,
                                  c->grid.parts > 1 ? piece[1] + j * CHUNK / 2 : NULL);
        for (int64_t i = 0; i < c->grid.parts; i++)
            r->leaves->transpose(width, n2, (const float *)(const void *)piece[i], CHUNK / 2,
                                 (float *)(void *)(to + i * c->low + k / 2 * WIDTH), WIDTH);
    }
}

/* What a panel has of a group of the window's. */
static void pack_block(const struct run *r, int64_t tap, int64_t panel, int64_t group, uint32_t *to)
{
    const struct conv *c = r->c;
    const int64_t first = most(panel * WIDTH, group * c->block_n);
    const int64_t width = least((panel + 1) * WIDTH, (group + 1) * c->block_n) - first;
    to += group % c->groups.each * c->block_k / 2 * WIDTH + first - panel * WIDTH;
    uint32_t *low = c->grid.parts > 1 ? to + c->low : NULL;
    const float *from = r->w + tap * c->row * (c->turned ? c->block_n : c->block_k);
    if (c->turned) {
        pack_turned(r, from + (first - group * c->block_n) * c->row + group * c->block_k, width, to);
    } else if (width == WIDTH) {
        r->leaves->bf16_rows(c->block_k, width, from + first, c->row, to, low);
    } else {
        for (int64_t k = 0; k < c->block_k; k += 2)
            r->leaves->bf16_rows(least(2, c->block_k - k), width, from + k * c->row + first, c->row,
                                 to + k / 2 * WIDTH, low ? low + k / 2 * WIDTH : NULL);
    }
}

/* Tap i / panels of panel i % panels. */
static void pack_weights(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct conv *c = r->c;
    const int64_t tap = i / c->panels, panel = i % c->panels;
    const int64_t used = ceil_div(c->k, 2);
    uint32_t *to = r->weights + panel * c->panel_words + tap * c->tap_words;
    if (c->groups.each > 1) zero(to, c->tap_words);
    for (int64_t group = panel * WIDTH / c->block_n;
         group * c->block_n < least(c->n, (panel + 1) * WIDTH); group++)
        pack_block(r, tap, panel, group, to);
    for (int64_t part = 0; part < c->grid.parts; part++)
        zero(to + part * c->low + used * WIDTH, c->low - used * WIDTH);
}

/* ---- products ---- */

/* Points [u, end) of a box's plane, columns of a panel, from the task's memory to the targets. */
static void deliver(const struct work *k, const float *from, int64_t u, int64_t end, int64_t n,
                    float *plane)
{
    const struct sweep *s = k->sweep;
    const int64_t pitch = k->r->c->grid.points[2];
    while (u < end) {
        const int64_t h = u / pitch, w = u % pitch;
        const int64_t to = least(end - u, most(0, k->box.n[2] - w));
        float *y = plane + h * s->pitch[2] + w * s->pitch[3];
        if (k->r->c->stream) {
            k->r->leaves->stream_rows(to, n, from, WIDTH, y, s->pitch[3]);
        } else if (n == WIDTH) {
            for (int64_t i = 0; i < to; i++)
                memcpy(y + i * s->pitch[3], from + i * WIDTH, WIDTH * sizeof *y);
        } else {
            for (int64_t i = 0; i < to; i++)
                memcpy(y + i * s->pitch[3], from + i * WIDTH, (size_t)n * sizeof *y);
        }
        const int64_t run = least(end - u, pitch - w);
        from += run * WIDTH;
        u += run;
    }
}

/* Points [from, to) of plane d of the box. */
static void multiply(const struct work *k, int64_t d, int64_t from, int64_t to, float *plane)
{
    const struct run *r = k->r;
    const struct conv *c = r->c;
    const struct sweep *s = k->sweep;
    const bool whole =
        k->box.n[2] == c->grid.points[2] && s->pitch[2] == c->grid.points[2] * s->pitch[3];
    const bool direct = !c->stream && (whole || k->box.n[1] == 1);
    _Alignas(64) float memory[(ROWS_OF_PARTS + WIDTH) * WIDTH];
    const uint32_t *a = k->grid + d * c->grid.plane + from * c->grid.pitch;
    struct gemm_f32 g = {.m = to - from,
                         .k = c->words,
                         .batch = s->taps,
                         .a_row = c->grid.pitch,
                         .a_col = 1,
                         .a_at = s->a_at,
                         .b_row = WIDTH,
                         .b_at = s->b_at,
                         .c = memory,
                         .c_row = direct ? s->pitch[3] : WIDTH};
    for (int64_t j = k->first; j < k->last; j++) {
        const int64_t group = j * c->groups.n / c->panels;
        g.n = least(WIDTH, c->n - j * WIDTH);
        g.a = (const float *)(const void *)(a + group * c->words);
        g.b = (const float *)(const void *)(r->weights + j * c->panel_words);
        g.bias = r->bias ? r->bias + j * WIDTH : NULL;
        if (direct) g.c = plane + from * s->pitch[3] + j * WIDTH;
        if (c->grid.parts > 1) {
            ask_ahead_lines(k->next, &g, k->lines);
            r->leaves->gemm_bf16x3(&g);
        } else {
            ask_ahead(k->next, &g);
            r->leaves->gemm_bf16(&g);
        }
        if (!direct) deliver(k, memory, from, to, g.n, plane + j * WIDTH);
    }
}

/* Planes of the box's grid up to `planes`. */
static void fill(struct work *k, int64_t planes)
{
    if (k->filled >= planes) return;
    sunup__conv_grid_fill(&k->r->c->grid, k->r->leaves, &k->box, k->filled, planes, k->r->source,
                          k->grid);
    k->filled = planes;
}

/* Goes on to the next box, keeping the planes that it shares if it lies behind this one. */
static void roll(struct work *k, const struct conv_place *next)
{
    const struct conv_grid *g = &k->r->c->grid;
    const int64_t shared = g->reach[0], passed = k->filled - shared;
    if (k->r->c->rolls && passed > 0 && next->sample == k->box.sample &&
        next->first[0] == k->box.first[0] + passed) {
        memmove(k->grid, k->grid + passed * g->plane,
                (size_t)(shared * g->plane) * sizeof *k->grid);
        k->filled = shared;
    } else {
        k->filled = 0;
    }
    k->box = *next;
}

/* The box's targets of a sweep, in blocks of whole tiles. */
static void run_sweep(struct work *k)
{
    const struct sweep *s = k->sweep;
    for (int a = 0; a < 3; a++) k->box.n[a] = least(k->box.n[a], s->targets[a] - k->box.first[a]);
    if (k->box.n[0] <= 0 || k->box.n[1] <= 0 || k->box.n[2] <= 0) return;
    const int64_t points = (k->box.n[1] - 1) * k->r->c->grid.points[2] + k->box.n[2];
    const int64_t rows = k->r->c->rows;
    const int64_t size = ceil_div(ceil_div(points, ceil_div(points, rows)), WIDTH) * WIDTH;
    float *target = k->r->target + s->first + k->box.sample * s->pitch[0];
    for (int a = 0; a < 3; a++) target += k->box.first[a] * s->pitch[a + 1];
    for (int64_t d = 0; d < k->box.n[0]; d++) {
        if (k->r->c->rolls) fill(k, d + 1 + k->r->c->grid.reach[0]);
        for (int64_t from = 0; from < points; from += size)
            multiply(k, d, from, least(points, from + size), target + d * s->pitch[1]);
    }
}

/* What box u reads, but its halo; nothing if boxes do not follow one another. */
static struct ahead ahead(const struct run *r, int64_t u)
{
    const struct conv_grid *g = &r->c->grid;
    if (!r->c->asks || u >= sunup__conv_grid_boxes(g)) return (struct ahead){{NULL, NULL}, {0, 0}};
    const struct conv_place a = sunup__conv_grid_box(g, u), b = sunup__conv_grid_box(g, u + 1);
    const int64_t x = sunup__conv_grid_source(g, a.sample, a.first),
                  end = sunup__conv_grid_source(g, b.sample, b.first);
    return (struct ahead){{r->source + x, NULL}, {end - x, 0}};
}

/* Lines that a step must ask for, so that all of the next box's are before this one is done. */
static int64_t lines_of_step(const struct conv *c, const struct conv_place *box, const struct ahead *next)
{
    const int64_t points = (box->n[1] - 1) * c->grid.points[2] + box->n[2];
    int64_t steps = 0;
    for (int64_t n = 0; n < c->n_sweeps; n++) steps += c->sweeps[n].taps * ceil_div(c->words, STEP_WORDS);
    steps *= box->n[0] * ceil_div(points, BLOCK_ROWS) * c->panels;
    const int64_t lines = ceil_div(ceil_div(most(0, next->n[0]), FLOATS), most(1, steps));
    return least(LINES_MOST, ceil_div(lines, 2) * 2);
}

/* Share i % shares of the boxes, group i / shares of the panels. */
static void task(void *arg, int64_t i)
{
    struct run *r = arg;
    const struct conv *c = r->c;
    const int64_t share = i % r->shares, boxes = sunup__conv_grid_boxes(&c->grid);
    const int64_t first = i / r->shares * r->group, last = least(c->panels, first + r->group);
    const int64_t slot = c->fused ? conv_slot_take(&r->slots) : 0;
    struct work k = {.r = r, .first = first, .last = last};
    for (int64_t u = share * boxes / r->shares; u < (share + 1) * boxes / r->shares; u++) {
        const struct conv_place box = sunup__conv_grid_box(&c->grid, u);
        k.grid = r->grid + (c->fused ? slot : u) * lines(c->grid.all);
        roll(&k, &box);
        if (c->fused && !c->rolls) fill(&k, sunup__conv_grid_planes(&c->grid));
        struct ahead next = ahead(r, u + 1);
        k.next = &next;
        k.lines = lines_of_step(c, &box, &next);
        for (int64_t n = 0; n < c->n_sweeps; n++) {
            k.sweep = &c->sweeps[n];
            k.box = box;
            run_sweep(&k);
        }
    }
    if (c->fused) conv_slot_give(&r->slots, slot);
}

static void fill_box(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct conv_place box = sunup__conv_grid_box(&r->c->grid, i);
    sunup__conv_grid_fill(&r->c->grid, r->leaves, &box, 0, sunup__conv_grid_planes(&r->c->grid),
                          r->source, r->grid + i * lines(r->c->grid.all));
}

/* Boxes that have memory. */
static int64_t boxes_kept(const struct conv *c, int threads)
{
    return c->fused ? conv_slots_count(threads) : sunup__conv_grid_boxes(&c->grid);
}

static int64_t weights_bytes(const struct conv *c)
{
    return c->panels * c->panel_words * (int64_t)sizeof(uint32_t);
}

static void prepare(const struct step *s)
{
    const struct conv *c = s->data;
    struct run r = {.c = c,
                    .leaves = &s->device->kernels->f32,
                    .w = s->in[c->turned ? 0 : 1],
                    .weights = prepared_weights(s)};
    sunup__parallel(s->device->threads, c->panels * c->taps, pack_weights, &r);
}

static sunup_status run_conv(const struct step *s, const float *source, const float *bias)
{
    const struct conv *c = s->data;
    const int threads = s->device->threads;
    const int64_t boxes = sunup__conv_grid_boxes(&c->grid);
    struct run r = {.c = c,
                    .leaves = &s->device->kernels->f32,
                    .source = source,
                    .bias = bias,
                    .target = s->out[0],
                    .weights = have_prepared(s),
                    .grid = workspace_behind(s, weights_bytes(c)),
                    .slots = {.n = conv_slots_count(threads)}};
    r.group = c->fused ? c->panels : most(1, least(c->panels, weights_most(c->grid.parts) / c->panel_words));
    r.groups = ceil_div(c->panels, r.group);
    r.shares = least(boxes, most(1, ceil_div((int64_t)TASKS_PER_THREAD * threads, r.groups)));
    if (!c->fused) sunup__parallel(threads, boxes, fill_box, &r);
    sunup__parallel(threads, r.groups * r.shares, task, &r);
    return SUNUP_OK;
}

static sunup_status run_forward(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    return run_conv(s, s->in[0], s->node->n_in > 2 ? s->in[2] : NULL);
}

static sunup_status run_data_grad(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    return run_conv(s, s->in[1], NULL);
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* ---- making ---- */

/* Room for all sweeps' lists behind the struct. */
static struct conv *room_for(int64_t sweeps, int64_t taps)
{
    const size_t lists = (size_t)(2 * sweeps * (taps + 1)) * sizeof(int64_t);
    struct conv *c = sunup__alloc(sizeof *c + (size_t)sweeps * sizeof(struct sweep) + lists);
    if (c == NULL) return NULL;
    *c = (struct conv){.sweeps = (struct sweep *)(void *)(c + 1), .taps = taps};
    int64_t *list = (int64_t *)(void *)(c->sweeps + sweeps);
    for (int64_t i = 0; i < sweeps; i++, list += 2 * (taps + 1))
        c->sweeps[i] = (struct sweep){.a_at = list, .b_at = list + taps + 1};
    return c;
}

/* Columns and terms, of weights [tap][c of a group][k]. */
static void set_groups(struct conv *c, const struct window *w)
{
    const struct conv_groups g = sunup__conv_groups(w);
    c->groups = g;
    c->n = c->turned ? w->c : w->k;
    c->block_n = c->turned ? g.c : g.k;
    c->block_k = c->turned ? g.k : g.c;
    c->k = g.each * c->block_k;
    c->row = w->k;
}

/* Tap t of a sweep, which its first target sees at a word of the grid. */
static void add_tap(const struct conv *c, struct sweep *s, int64_t t, int64_t at)
{
    s->a_at[s->taps] = at;
    s->b_at[s->taps++] = t * c->tap_words;
    s->a_at[s->taps] = c->grid.low;
    s->b_at[s->taps] = c->low;
}

/* Cuts boxes, as large as leave each thread a few, since a box's halo is made twice; what has none
 * and asks ahead leaves the cache room for the next one's source. Sweeps are made next. */
static void plan(struct conv *c, const struct device *d, int64_t parts)
{
    const int threads = d->threads;
    bool dense = true, halo = false;
    for (int a = 0; a < 3; a++) {
        dense = dense && c->grid.phases[a] == c->grid.stride[a];
        halo = halo || c->grid.reach[a] > 0;
    }
    const bool tiles = d->kernels->tiles_bf16;
    c->grid.parts = parts;
    c->panels = ceil_div(c->n, WIDTH);
    c->words = sunup__conv_words(c->k);
    c->low = c->words * WIDTH;
    c->tap_words = parts * c->low;
    c->panel_words = c->taps * c->tap_words;
    c->fused = c->panels * c->panel_words <= weights_most(parts);
    const int64_t largest = !halo && !tiles ? box_most() / 5 : parts > 1 && c->fused ? box_most() / 2 : box_most();
    for (int64_t most = largest; most >= BOX_LEAST; most /= 2) {
        sunup__conv_grid_plan(&c->grid, most);
        if (sunup__conv_grid_boxes(&c->grid) >= (int64_t)BOXES_PER_THREAD * threads) break;
    }
    c->asks = c->fused && (!tiles || parts > 1) && dense &&
              sunup__conv_boxes_follow(c->grid.targets, c->grid.boxes);
}

static void finish(struct conv *c, const struct device *d, struct step *s, int64_t elements)
{
    const struct conv_grid *g = &c->grid;
    c->stream = elements >= STREAM;
    c->rolls = c->fused && c->n_sweeps == 1 && g->reach[0] > 0 && g->boxes[1] * g->boxes[2] == 1 &&
               g->phases[0] * g->phases[1] * g->phases[2] == 1;
    c->rows = g->parts > 1 ? ROWS_OF_PARTS : ROWS;
    if (c->stream && !d->kernels->tiles_bf16) c->rows = most(ROWS_LEAST, least(ROWS, STREAM_BLOCK / c->n));
    s->data = c;
    s->end = end;
    s->workspace_bytes =
        boxes_kept(c, d->threads) * lines(c->grid.all) * (int64_t)sizeof(uint32_t);
    ask_prepared(s, c->turned ? 0 : 1, weights_bytes(c), prepare);
}

bool sunup__conv_bf16_can(const struct device *d, const struct node *n)
{
    return sunup__conv_bf16_pays(
        d, n, sunup__conv_winograd_can(d, n) || sunup__conv_winograd_row_can(d, n));
}

bool sunup__conv_bf16x3_can(const struct device *d, const struct node *n)
{
    return sunup__conv_bf16x3_pays(
        d, n, sunup__conv_winograd_can(d, n) || sunup__conv_winograd_row_can(d, n));
}

static sunup_status make_forward(struct device *d, const struct node *n, struct step *step, int64_t parts)
{
    int64_t samples = n->in[0]->shape.d[0];
    const struct window window =
        sunup__conv_flattened(&((const struct conv_attr *)n->attr)->w, &samples);
    const struct window *w = &window;
    const int64_t *taps = w->taps;
    struct conv *c = room_for(1, taps[0] * taps[1] * taps[2]);
    CHECK(c != NULL, d->ctx, E_MEMORY, "no memory for a step");
    set_groups(c, w);
    c->n_sweeps = 1;
    sunup__conv_grid_of(&c->grid, w, samples);
    plan(c, d, parts);
    struct sweep *s = c->sweeps;
    s->pitch[3] = w->k;
    for (int a = 2; a >= 0; a--) s->pitch[a] = s->pitch[a + 1] * w->out[a];
    memcpy(s->targets, w->out, sizeof s->targets);
    for (int64_t t = 0; t < c->taps; t++) add_tap(c, s, t, sunup__conv_grid_tap(&c->grid, w, t));
    finish(c, d, step, sunup__elements(&n->out[0]->shape));
    step->run = run_forward;
    return SUNUP_OK;
}

sunup_status sunup__make_conv_bf16(struct device *d, const struct node *n, struct step *step)
{
    return make_forward(d, n, step, 1);
}

sunup_status sunup__make_conv_bf16x3(struct device *d, const struct node *n, struct step *step)
{
    return make_forward(d, n, step, 2);
}

static bool data_grad_can(const struct device *d, const struct node *n,
                          bool (*pays)(const struct device *, const struct node *, bool))
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (w->circular || (w->groups > 1 && sunup__elements(&n->in[0]->shape) > GROUPED_MOST)) return false;
    return pays(d, n, sunup__conv_data_grad_winograd_can(d, n) || sunup__conv_data_grad_winograd_row_can(d, n));
}

bool sunup__conv_data_grad_bf16_can(const struct device *d, const struct node *n)
{
    return data_grad_can(d, n, sunup__conv_bf16_pays);
}

bool sunup__conv_data_grad_bf16x3_can(const struct device *d, const struct node *n)
{
    return data_grad_can(d, n, sunup__conv_bf16x3_pays);
}

/* Targets of a phase along an axis, which are first + i stride, and the output that tap t of
 * the first one reads; false: none. */
static int64_t first_target(const struct window *w, int a, int64_t phase)
{
    return ((phase - w->before[a]) % w->stride[a] + w->stride[a]) % w->stride[a];
}

static bool output_of(const struct window *w, int a, int64_t phase, int64_t t, int64_t *output)
{
    const int64_t at = first_target(w, a, phase) + w->before[a] - t * w->dilation[a];
    *output = at / w->stride[a];
    return at % w->stride[a] == 0;
}

static int64_t targets_of(const struct window *w, int a, int64_t phase)
{
    const int64_t left = w->in[a] - first_target(w, a, phase);
    return left > 0 ? ceil_div(left, w->stride[a]) : 0;
}

/* The outputs that all phases read along an axis: the grid's points. */
static void plan_grid_axis(struct conv_grid *g, const struct window *w, int a)
{
    int64_t low = INT64_MAX, high = INT64_MIN, output;
    for (int64_t f = 0; f < w->stride[a]; f++) {
        const int64_t targets = targets_of(w, a, f);
        g->targets[a] = most(g->targets[a], targets);
        for (int64_t t = 0; t < w->taps[a] && targets > 0; t++) {
            if (!output_of(w, a, f, t, &output)) continue;
            low = least(low, output);
            high = most(high, output);
        }
    }
    if (low > high) low = high = 0;
    g->source[a] = w->out[a];
    g->stride[a] = g->phases[a] = 1;
    g->before[a] = -low;
    g->reach[a] = high - low;
}

static void plan_phase(struct conv *c, const struct window *w, const int64_t phase[3])
{
    struct sweep *s = &c->sweeps[c->n_sweeps];
    const int64_t *taps = w->taps, none[3] = {0, 0, 0};
    int64_t step = w->c, at[3];
    s->first = s->taps = 0;
    s->a_at[0] = s->b_at[0] = 0;
    for (int a = 2; a >= 0; a--) {
        s->targets[a] = targets_of(w, a, phase[a]);
        s->first += first_target(w, a, phase[a]) * step;
        s->pitch[a + 1] = w->stride[a] * step;
        step *= w->in[a];
    }
    s->pitch[0] = step;
    if (s->targets[0] * s->targets[1] * s->targets[2] == 0) return;
    for (int64_t t = 0; t < c->taps; t++) {
        const int64_t tap[3] = {t / taps[2] / taps[1], t / taps[2] % taps[1], t % taps[2]};
        bool seen = true;
        for (int a = 0; a < 3; a++) {
            seen = output_of(w, a, phase[a], tap[a], &at[a]) && seen;
            at[a] += c->grid.before[a];
        }
        if (!seen) continue;
        add_tap(c, s, t, sunup__conv_grid_at(&c->grid, none, at));
    }
    c->n_sweeps++;
}

static sunup_status make_data_grad(struct device *d, const struct node *n, struct step *step, int64_t parts)
{
    int64_t samples = n->in[1]->shape.d[0];
    const struct window window =
        sunup__conv_flattened(&((const struct conv_attr *)n->attr)->w, &samples);
    const struct window *w = &window;
    const int64_t *taps = w->taps, *stride = w->stride, sweeps = stride[0] * stride[1] * stride[2];
    struct conv *c = room_for(sweeps, taps[0] * taps[1] * taps[2]);
    CHECK(c != NULL, d->ctx, E_MEMORY, "no memory for a step");
    c->turned = true;
    set_groups(c, w);
    c->grid = (struct conv_grid){.samples = samples, .channels = w->k};
    for (int a = 0; a < 3; a++) plan_grid_axis(&c->grid, w, a);
    plan(c, d, parts);
    for (int64_t i = 0; i < sweeps; i++)
        plan_phase(c, w,
                   (const int64_t[3]){i / stride[2] / stride[1], i / stride[2] % stride[1],
                                      i % stride[2]});
    finish(c, d, step, sunup__elements(&n->out[0]->shape));
    step->run = run_data_grad;
    return SUNUP_OK;
}

sunup_status sunup__make_conv_data_grad_bf16(struct device *d, const struct node *n, struct step *step)
{
    return make_data_grad(d, n, step, 1);
}

sunup_status sunup__make_conv_data_grad_bf16x3(struct device *d, const struct node *n, struct step *step)
{
    return make_data_grad(d, n, step, 2);
}
