/* conv_sweep.c - runs sweeps; see conv_sweep.h.
 *
 * A product's rows are neighbouring targets, its batch the taps along D and H that are inside, its
 * k one tap's channels or those of several neighbours along W. If a row is short, taps along W are
 * passes of their own over the targets for which they are inside (`skip`), so that no zero of the
 * padding is multiplied: of 7x7 maps that is 10 % of the work, of 33^3 3 %. Otherwise the padding
 * is copied along with the source, since longer sums and rows cost less. A few columns are dot
 * products, whose rows may be as short as they like: nothing is copied, each cut of a row sees the
 * taps it sees.
 *
 * Order: panels of the weights that together fit half of a 1 MB L2, passes, rows of a part, panels.
 * Rows are cut at a tile of the leaf, or a few if sums are short, and each product first asks for
 * the memory it will write and a share of what the next rows read: the access pattern of a tile,
 * many short stretches, is none that a processor foresees (1x1 with 64 to 256 channels gains 15 to
 * 25 %, 2x2 with stride 2 of 16 channels 40 %). Whole panels leave the asking to the leaf, a line
 * each step (another 5 to 20 % of 1x1 with 64 to 512 channels, on Zen 5 as on Granite Rapids, where
 * copying the rows first, 14 to 112 of them a call and weights of up to 1 MB at work gain nothing
 * more). Some tiles meet a panel while the first level holds it. Large results leave past the
 * caches. Tasks are shares of the targets, or of the panels where weights are more than what they
 * are applied to. All that decides no bit: an element's sum runs over passes, then (t, r, s, channel).
 *
 * Sums of few terms to whole vectors of columns go a row of targets at a time to gemm_terms, which
 * stores from registers and so needs no tiles, asking or copies here.
 *
 * Ceiling: multiply-adds, of which 90 to 95 % are reached from 32 channels on, and by gemm_terms; 70
 * to 80 % where other sums are shorter than 30 terms; memory for 1x1 to few columns.
 * Source: Georganas et al. 2020, section 3.2 (convolution as batch-reduce GEMM over taps).
 */
#include "device/cpu/conv_sweep.h"
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/ahead.h"

enum {
    ROWS = 14,
    ROWS_MOST = 112,
    TERMS = 128, /* of a product, about: shorter sums get more rows                  */
    TWICE = 256, /* below it twice the rows where the third level is close: 4 % of 128 terms (Zen 4) */
    LINE = 16,
    WIDTH = 32,
    SHORT_ROWS = 6,         /* the leaf takes 64 columns of so few rows                         */
    PART = 96 << 10,        /* elements that a part touches, or 3/8 of the second level: on Sapphire
                               Rapids (2 MB) 10 to 20 % if there are many channels                */
    PANELS_MOST = 64 << 10, /* elements of weights at work                                      */
    TILES = 4,              /* that meet a panel one after the other: a panel of 256 terms stays in
                               a first level of 48 KB                                           */
    TILES_TERMS = 16 << 10, /* terms of those tiles' rows, all together                         */
    FAR = 256 << 10,        /* elements that the L2 does not hold                               */
    SHARED = 96 << 10,      /* elements of the source that several sweeps share                 */
    STREAM = 6 << 20,       /* elements that no cache holds until they are read                 */
    STREAM_FAR = 2 << 20,   /* the same of a far third level, of targets with zeros between     */
    BRIEF_TERMS = 48,       /* of a sum by gemm_terms; or in a row of taps                      */
    BRIEF_ROW = 16,
    DOTS_FAR = 1 << 20,     /* elements that dots ask for: fewer are in the second levels of some cores */
    DOTS_AHEAD = 2 << 10,   /* floats from what a tile of dots reads to what it asks for        */
    TARGETS_NEAR = 8 << 20, /* elements of source and targets that are in memory, not in a far third level */
    BRIEF_WEIGHTS = 8 << 10 /* that stay in the first level                                     */
};
/* Points a multiple of 4 KB apart share one set of 8 lines of a 32 KB L1, where a tile reads 14 at
 * a time: 1x1 convolutions of 1024 channels lost 20 %. A far third level takes longer to copy from
 * than that (Granite Rapids, 12 lines a set: 2 to 3 %), but for 2048 channels or a stride. */
enum { PAGE = 1024, NEVER = 1 << 30, NEAR = 128 };
static const double pass_terms = 3; /* what another pass over targets costs, in terms of a sum */

/* ---- planning ---- */

/* Number of a W tap that is inside for all targets, -1: none. */
static int64_t whole_tap(const struct conv_sweep *w, double *outside)
{
    const int64_t all = w->space.target[2];
    int64_t whole = -1, missing = 0;
    for (int64_t i = 0; i < w->taps[2].n; i++) {
        const struct stretch in = sunup__conv_inside(&w->space, 2, w->taps[2].at[i]);
        if (in.from == 0 && in.to == all) whole = i;
        missing += all - most(0, in.to - in.from);
    }
    *outside = (double)missing / (double)(all * most(1, w->taps[2].n));
    return whole;
}

/* Sums of few terms, or of few to a row of taps, for which the gemm leaf sets out again and again:
 * one list of all terms, whose weights stay in the first level. Zen 5: 1.1 to 1.7 times. One vector
 * of columns needs one channel, whose points are loaded for several taps, or sums so short that
 * memory is all. */
static bool brief_pays(const struct conv_sweep *w)
{
    const struct conv_space *s = &w->space;
    const struct conv_part part = {.samples = s->samples_most, .rows = s->rows_most};
    const int64_t row = w->taps[2].n * w->k, terms = w->taps[0].n * w->taps[1].n * row;
    if (w->dots || s->skip || s->across || terms == 0) return false;
    const bool few = terms <= BRIEF_TERMS || row <= BRIEF_ROW;
    const bool lanes =
        w->n == LINE ? terms <= LINE || s->channels * s->stride[2] == 1 : w->n % (2 * LINE) == 0;
    return few && lanes && terms * w->n <= BRIEF_WEIGHTS &&
           sunup__conv_rows(s, &part, w->c_pitch).m >= LINE;
}

/* Of the targets, and as many source points. */
static int64_t elements(const struct conv_sweep *w)
{
    const struct conv_space *s = &w->space;
    return s->samples * s->target[0] * s->target[1] * s->target[2] * (w->n * w->groups + s->channels);
}

void sunup__conv_sweep_space(struct conv_sweep *w)
{
    struct conv_space *s = &w->space;
    double outside;
    const int64_t whole = whole_tap(w, &outside);
    const double terms = (double)(w->taps[0].n * w->taps[1].n * w->k);
    s->across = !w->dots && sunup__conv_across_pays(s);
    s->skip = !s->circular && !s->across && (w->dots || outside * terms > pass_terms) &&
              sunup__conv_reaches_over(s);
    w->first_pass = s->skip && !w->dots ? whole : 0;
    const bool evenly = s->reach[0] * s->reach[1] * s->reach[2] * s->stride[2] == 1;
    s->period = evenly && s->channels <= PAGE && sunup__level3_far() ? NEVER : PAGE;
    s->budget = most(PART, sunup__cache_bytes(2) / (int64_t)sizeof(float) * 3 / 8);
    sunup__conv_space_plan(s);
    w->far = elements(w) >= FAR;
    w->brief = brief_pays(w);
}

/* Behind a far L3, weights of 16 columns are more likely to stay in the L1 through the passes, unless
 * their 28 rows do not. Else a tile of one vector loads too much (Zen 5: 32 are 5 to 15 % faster). */
int64_t sunup__conv_sweep_width(const struct conv_sweep *w)
{
    const struct conv_space *s = &w->space;
    const struct conv_part part = {.samples = s->samples_most, .rows = s->rows_most};
    const int64_t rows = sunup__conv_rows(s, &part, w->c_pitch).m;
    if (w->brief) return w->n;
    if (rows <= SHORT_ROWS) return 2 * WIDTH;
    const bool narrow = s->skip && rows > LINE && s->stride[2] * s->channels <= NEAR;
    return narrow && sunup__level3_far() ? LINE : WIDTH;
}

/* Stores past the caches are not overlapped with products: they pay where sums are so short that memory is waited for
 * anyway (Zen 5: 1.1 to 1.6 times on 16 and 25 terms, and on the zeros between the targets of strided 1x1). Longer
 * sums: from half of the third level on, if targets are not asked for evenly meanwhile: on Zen 5 1.04 to 1.7 times as
 * fast, 0 to 4 % of ResNet-50's step (Zen 4, not timed since, gained 15 to 25 % by such stores over asking in bursts).
 * With a far one they cost 30 to 60 % (13 to 257 MB of 64 and 128 terms on Granite Rapids), but where there are zeros
 * between the targets: those of strided 1x1 gain 6 to 10 % from 13 MB on. Nor do those that gemm_terms stores from
 * registers, which need the time of a copy: 16 to 96 channels at 112x112 and back 6.4 -> 3.0 ms, one channel to 64 in
 * 1-D 5.0 -> 2.2, 3x3 of 3 channels to 64 2.8 -> 1.8 (2026-11-30; 13 to 17 MB 0.95 to 1.06 times as long). */
static bool stream_pays(const struct conv_sweep *w, int64_t terms, bool scattered)
{
    const int64_t *target = w->space.target, all = w->space.samples * w->c_pitch[0];
    if (w->passes > 1 || w->n % LINE != 0) return false;
    const bool lone = w->b.panel <= w->k * w->b.width; /* of one tap */
    const bool far = sunup__level3_far();
    if (far && !w->brief) return lone && w->c_pitch[3] > w->n * w->groups && all >= STREAM_FAR;
    if (far || terms < TERMS / 2) return all >= STREAM;
    return (scattered || terms >= TERMS) &&
           w->space.samples * target[0] * target[1] * target[2] * w->n * w->groups >=
               most(STREAM, sunup__cache_bytes(3) / (int64_t)sizeof(float) / 2);
}

/* One panel has fewer steps than lines of a wider source and its targets: then the source alone is asked for, if both
 * are in memory. 64 and 96 channels to 32 at 112x112 10.0 -> 5.0 and 13.5 -> 7.1 ms with none of the targets asked for;
 * of 32 to 32, or of several panels, that cost up to 15 % (Emerald Rapids at the level avx512, 2026-12-01). */
static bool too_many_lines(const struct conv_sweep *w)
{
    return w->b.n == 1 && w->space.channels > w->n && elements(w) >= TARGETS_NEAR && sunup__level3_far();
}

void sunup__conv_sweep_plan(struct conv_sweep *w)
{
    const int64_t one = most(1, w->taps[0].n * w->taps[1].n * w->k * w->b.width), s = w->taps[2].n;
    w->brief = w->brief && w->b.n == 1; /* another sweep of the run may have chosen panels */
    const bool all = w->dots || w->space.across;
    w->together = all ? most(1, s) : w->space.skip ? 1 : most(1, least(s, PANELS_MOST / one));
    w->passes = most(1, ceil_div(s, w->together)) + (w->first_pass < 0);
    w->block = most(1, PANELS_MOST / (one * w->together));
    const int64_t terms = most(1, w->taps[0].n * w->taps[1].n * w->together * w->k);
    const int64_t tile = least(w->n, w->b.width) <= LINE ? 2 * ROWS : ROWS;
    w->tile = least(ROWS_MOST, tile * most(terms < TWICE && !sunup__level3_far() ? 2 : 1, ceil_div(TERMS, terms)));
    const bool scattered = w->c_pitch[3] > least(w->n, w->b.width);
    const bool panels = w->n == LINE || least(w->n, w->b.width) == WIDTH;
    const bool asks = w->dots ? w->space.stride[2] == 1 && elements(w) >= DOTS_FAR : w->far && panels;
    w->asks = asks && w->space.stride[1] == 1;
    const bool can_ask = w->asks && w->c_pitch[3] == w->n && w->b.n <= w->block;
    w->stream = !(can_ask && terms >= TERMS / 2) && stream_pays(w, terms, scattered);
    w->asks_targets = can_ask && !w->stream && !too_many_lines(w);
    w->ask = w->far && !w->stream && !can_ask && (scattered || terms < TERMS);
    if (w->stream) w->tile = terms < TERMS / 2 ? 2 * tile : tile;
    const bool alone = w->stream || terms < 2 * TERMS; /* scattered targets like that better */
    w->rows = w->tile * (alone ? 1 : most(1, least(TILES, TILES_TERMS / (w->tile * terms))));
}

struct conv_panels sunup__conv_panels_packed(int64_t n, int64_t k, const int64_t taps[3],
                                             int64_t width)
{
    const int64_t panels = ceil_div(n, width), tap = k * width,
                  panel = taps[0] * taps[1] * taps[2] * tap;
    return (struct conv_panels){.width = width,
                                .n = panels,
                                .row = width,
                                .panel = panel,
                                .group = panels * panel,
                                .tap = {taps[1] * taps[2] * tap, taps[2] * tap, tap}};
}

struct conv_panels sunup__conv_panels_dots(int64_t n, int64_t k, const int64_t taps[3])
{
    const int64_t row = taps[2] * k;
    return (struct conv_panels){.width = n,
                                .n = 1,
                                .row = row,
                                .group = taps[0] * taps[1] * n * row,
                                .tap = {taps[1] * n * row, n * row, k}};
}

void sunup__conv_pack_dots(const struct conv_panels *b, int64_t k, const int64_t taps[3],
                           bool turned, const float *from, float *to)
{
    const int64_t n = b->width;
    for (int64_t tr = 0; tr < taps[0] * taps[1]; tr++) {
        for (int64_t s = 0; s < taps[2]; s++, from += n * k) {
            float *tap = to + tr * b->tap[1] + (turned ? taps[2] - 1 - s : s) * k;
            for (int64_t j = 0; j < n; j++) {
                for (int64_t p = 0; p < k; p++)
                    tap[j * b->row + p] = from[turned ? j * k + p : p * n + j];
            }
        }
    }
}

/* Entries of a product's batch at most. */
static int64_t entries(const struct conv_sweep *w)
{
    const int64_t rows = w->taps[0].n * w->taps[1].n;
    return w->brief ? rows * w->together * w->k : rows * (w->joined ? 1 : w->together);
}

/* A task's memory: lists of a batch, targets before they are streamed, halo; floats. */
static int64_t lists_room(const struct conv_sweep *w)
{
    return ceil_div(2 * entries(w) * (int64_t)(sizeof(int64_t) / sizeof(float)), LINE) * LINE;
}

static int64_t stream_room(const struct conv_sweep *w)
{
    return w->stream && !w->brief ? w->tile * w->b.width : 0;
}

int64_t sunup__conv_slot(const struct conv_sweep *sweep, int n)
{
    int64_t slot = 0;
    for (const struct conv_sweep *w = sweep; w < sweep + n; w++)
        slot = most(slot, lists_room(w) + stream_room(w) + w->space.slot);
    return ceil_div(slot, LINE) * LINE;
}

/* ---- running ---- */

/* One part and some panels: what the loops hand down. */
struct walk {
    const struct conv_run *r;
    const struct conv_sweep *w;
    struct conv_part part;
    struct conv_rows rows;
    const float *a;
    float *c;
    int64_t first; /* of the first target's first tap in a */
    /* The batch of the latest cut: offsets from its first tap, which lies `tap` after the run. */
    int64_t *a_at, *b_at, tap, batch;
    struct stretch listed[3];
    float *streamed; /* room for rows of targets             */
    struct stretch panels, pass;
    bool adds; /* to what an earlier pass wrote */
};

/* Taps along D or H that are inside for a target; all where the position is not one (-1). */
static struct stretch taps_inside(const struct conv_sweep *w, int axis, int64_t target)
{
    const struct conv_space *s = &w->space;
    const struct conv_taps *taps = &w->taps[axis];
    struct stretch in = {0, taps->n};
    if (s->circular || target < 0) return in;
    const int64_t first = s->first[axis] + target * s->stride[axis];
    while (in.from < in.to && first + taps->at[in.from] < 0) in.from++;
    while (in.to > in.from && first + taps->at[in.to - 1] >= s->source[axis]) in.to--;
    return in;
}

/* Rows of a run and the taps along W that they see. */
struct cut {
    struct stretch rows, taps;
};

static bool same(struct stretch a, struct stretch b)
{
    return a.from == b.from && a.to == b.to;
}

/* The entries of one tap: a source point `at` from the first one, and its weights. */
static void list_tap(struct walk *k, int64_t at, int64_t weights)
{
    const struct conv_sweep *w = k->w;
    const int64_t n = w->brief ? w->k : 1;
    if (k->batch == 0) k->tap = at;
    for (int64_t p = 0; p < n; p++) {
        k->a_at[k->batch] = at + p - k->tap;
        k->b_at[k->batch++] = weights + p * w->b.row;
    }
}

static void list_taps(struct walk *k)
{
    const struct conv_sweep *w = k->w;
    const struct stretch d = k->listed[0], h = k->listed[1], taps = k->listed[2];
    const struct conv_taps *axis = w->taps;
    const int64_t *pitch = w->space.pitch + 1, *b = w->b.tap;
    const int64_t end = w->joined && !w->brief ? least(taps.from + 1, taps.to) : taps.to;
    k->batch = 0;
    for (int64_t t = d.from; t < d.to; t++) {
        for (int64_t r = h.from; r < h.to; r++) {
            for (int64_t s = taps.from; s < end; s++)
                list_tap(
                    k,
                    axis[0].at[t] * pitch[0] + axis[1].at[r] * pitch[1] + axis[2].at[s] * pitch[2],
                    axis[0].weight[t] * b[0] + axis[1].weight[r] * b[1] + axis[2].weight[s] * b[2]);
        }
    }
}

/* The batch for a run's position and the taps of a cut. Most runs of a part share it. */
static void choose_taps(struct walk *k, const int64_t target[2], struct stretch taps)
{
    const struct stretch d = taps_inside(k->w, 0, target[0]), h = taps_inside(k->w, 1, target[1]);
    if (k->batch >= 0 && same(d, k->listed[0]) && same(h, k->listed[1]) && same(taps, k->listed[2]))
        return;
    k->listed[0] = d;
    k->listed[1] = h;
    k->listed[2] = taps;
    list_taps(k);
}

static inline __attribute__((always_inline)) void ask_for_target(const struct gemm_f32 *g)
{
    for (int64_t r = 0; r < g->m; r++) {
        for (int64_t j = 0; j < g->n; j += LINE) __builtin_prefetch(g->c + r * g->c_row + j, 1, 3);
    }
}

/* How far ahead of a block lie the rows read next; 0: near already, or not known. */
static int64_t ahead_of(const struct walk *k, const struct gemm_f32 *g)
{
    const struct conv_sweep *w = k->w;
    if (!w->far || w->space.copy || g->accumulate || k->panels.from > 0 || g->batch == 0) return 0;
    return k->rows.count[2] > 1 ? k->rows.a_step[2] : w->rows * g->a_row;
}

/* Asks for share i of n of what the next block reads first: the last tap's row, or as many taps
 * along H as the stride leads on. */
static inline __attribute__((always_inline)) void
ask_share(const struct walk *k, const struct gemm_f32 *block, int64_t ahead, int64_t i, int64_t n)
{
    const struct conv_sweep *w = k->w;
    const struct stretch taps = k->listed[2];
    const int64_t step = w->joined ? 1 : most(1, taps.to - taps.from);
    const int64_t rows = k->rows.axis[2] == 1 ? least(w->space.stride[1], block->batch / step) : 1;
    for (int64_t r = 0; r < most(1, rows); r++)
        conv_ask(block->a, ahead + block->a_at[block->batch - 1 - r * step],
                 block->m * block->a_row, i, n);
}

/* What the leaf asks for: what the next block reads, and targets after those that it fetches itself. */
static struct ahead next_block(const struct walk *k, const struct gemm_f32 *g, const float *c,
                               int64_t ahead)
{
    const struct conv_sweep *w = k->w;
    struct ahead next = {.n = {0}};
    if (!w->asks || g->accumulate) return next;
    if (w->asks_targets) {
        next.x[0] = c + 2 * g->m * g->c_row;
        next.n[0] = g->m * g->c_row;
    }
    if (ahead == 0) return next;
    next.x[1] = g->a + ahead + g->a_at[g->batch - 1];
    next.n[1] = g->m * g->a_row;
    return next;
}

/* A block against one panel, in tiles: with each goes a share of the asking, since of many lines
 * asked for at once most are waited for. */
static void multiply_tiles(const struct walk *k, const struct gemm_f32 *block, int64_t panel,
                           int64_t ahead, struct ahead *next)
{
    const struct conv_sweep *w = k->w;
    const int64_t tiles = ceil_div(block->m, w->tile), panels = k->panels.to - k->panels.from;
    struct gemm_f32 g = *block;
    if (w->stream) g.c_row = w->b.width;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t from = i * block->m / tiles;
        float *c = block->c + from * block->c_row;
        g.m = (i + 1) * block->m / tiles - from;
        g.a = block->a + from * block->a_row;
        g.c = w->stream ? k->streamed : c;
        if (w->asks)
            ask_ahead(next, &g);
        else if (ahead != 0)
            ask_share(k, block, ahead, panel * tiles + i, panels * tiles);
        if (w->ask) ask_for_target(&g);
        k->r->leaves->gemm(&g);
        if (w->stream) k->r->leaves->stream_rows(g.m, g.n, g.c, g.c_row, c, block->c_row);
    }
}

/* A block against the panels. */
static void multiply_panels(const struct walk *k, struct gemm_f32 *g, const float *b,
                            const float *bias, float *c)
{
    const struct conv_sweep *w = k->w;
    const int64_t columns = least(w->n, k->panels.to * w->b.width) - k->panels.from * w->b.width;
    const int64_t ahead = ahead_of(k, g);
    struct ahead next = next_block(k, g, c, ahead);
    for (int64_t j = k->panels.from; j < k->panels.to; j++) {
        const int64_t column = (j - k->panels.from) * w->b.width;
        g->n = least(w->b.width, columns - column);
        g->b = b + j * w->b.panel;
        g->c = c + column;
        g->bias = bias ? bias + column : NULL;
        multiply_tiles(k, g, j - k->panels.from, ahead, &next);
    }
}

/* Rows of a run in blocks, for one group. */
static void multiply(const struct walk *k, struct gemm_f32 *g, struct stretch rows, int64_t group,
                     int64_t at, float *c)
{
    const struct conv_sweep *w = k->w;
    const int64_t first = group * w->n + k->panels.from * w->b.width, n = rows.to - rows.from;
    const float *b = k->r->weights + group * w->b.group;
    const float *bias = k->r->bias && !g->accumulate ? k->r->bias + first : NULL;
    const int64_t blocks = ceil_div(n, w->rows);
    c += group * w->c_group + k->panels.from * w->b.width;
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t from = rows.from + i * n / blocks;
        g->m = rows.from + (i + 1) * n / blocks - from;
        g->a = k->a + (at + group * w->a_group + from * g->a_row);
        multiply_panels(k, g, b, bias, c + from * g->c_row);
    }
}

static void multiply_dots(const struct walk *k, struct gemm_f32 *g, struct stretch rows, int64_t at,
                          float *c)
{
    g->m = rows.to - rows.from;
    g->n = k->w->n;
    g->a = k->a + (at + rows.from * g->a_row);
    g->b = k->r->weights;
    g->c = c + rows.from * g->c_row;
    g->bias = k->r->bias;
    g->ahead = NULL;
    if (k->w->asks && g->batch > 0) {
        g->ahead = g->a + g->a_at[g->batch - 1] + most(0, g->k - g->a_row) + DOTS_AHEAD;
        g->ahead_row = g->a_row;
    }
    k->r->leaves->gemm_dots(g);
}

static void multiply_terms(const struct walk *k, struct gemm_f32 *g, int64_t group, int64_t at,
                           float *c)
{
    const struct conv_sweep *w = k->w;
    g->m = k->rows.m;
    g->n = w->n;
    g->k = 1;
    g->a = k->a + (at + group * w->a_group);
    g->b = k->r->weights + group * w->b.group;
    g->c = c + group * w->c_group;
    g->bias = k->r->bias ? k->r->bias + group * w->n : NULL;
    k->r->leaves->gemm_terms(g, w->stream);
}

/* The cut that begins at row `from`; target: of the run along W, if it is one. */
static struct cut cut_at(const struct walk *k, int64_t from, int64_t target)
{
    const struct conv_sweep *w = k->w;
    const struct conv_space *s = &w->space;
    const int64_t m = k->rows.m, row = s->axis == 2 ? k->part.row : 0;
    struct cut cut = {{from, m}, k->pass};
    if (s->across) cut.taps = taps_inside(w, 2, target);
    if (!s->skip || k->pass.to == k->pass.from) return cut;
    if (!w->dots) {
        const struct stretch in = sunup__conv_inside(s, 2, w->taps[2].at[k->pass.from]);
        cut.rows = (struct stretch){most(in.from - row, 0), least(in.to - row, m)};
        return cut;
    }
    cut.taps = taps_inside(w, 2, row + from);
    cut.rows.to = from + 1;
    if (cut.taps.to - cut.taps.from == w->taps[2].n)
        cut.rows.to = least(m, sunup__conv_inside(s, 2, w->taps[2].at[w->taps[2].n - 1]).to - row);
    return cut;
}

/* One pass over one row of targets (or several that lie evenly). index: of the loops around it. */
static void sweep_row(struct walk *k, const int64_t index[3])
{
    const struct conv_sweep *w = k->w;
    const struct conv_rows *rows = &k->rows;
    int64_t target[3], at = k->first;
    float *c = k->c;
    sunup__conv_position(&w->space, &k->part, rows, index, target);
    for (int i = 0; i < 3; i++) {
        at += index[i] * rows->a_step[i];
        c += index[i] * rows->c_step[i];
    }
    struct gemm_f32 g = {.a_row = rows->a_row,
                         .a_col = 1,
                         .a_at = k->a_at,
                         .b_row = w->b.row,
                         .b_at = k->b_at,
                         .c_row = rows->c_row,
                         .accumulate = k->adds};
    struct cut cut;
    for (int64_t from = 0; from < rows->m; from = w->dots ? cut.rows.to : rows->m) {
        cut = cut_at(k, from, target[2]);
        g.k = w->joined ? w->k * (cut.taps.to - cut.taps.from) : w->k;
        choose_taps(k, target, cut.taps);
        g.batch = k->batch;
        if (cut.rows.to <= cut.rows.from || (g.batch == 0 && k->adds)) continue;
        const int64_t first = g.batch > 0 ? at + k->tap : 0;
        if (w->dots) multiply_dots(k, &g, cut.rows, first, c);
        for (int64_t group = 0; group < w->groups && !w->dots; group++) {
            if (w->brief)
                multiply_terms(k, &g, group, first, c);
            else
                multiply(k, &g, cut.rows, group, first, c);
        }
    }
}

/* Pass i of w->passes. The one that sees all targets comes first, and has no taps if there is none
 * such: it writes, the others add. */
static void choose_pass(struct walk *k, int64_t i)
{
    const struct conv_sweep *w = k->w;
    const int64_t first = w->first_pass, pass = i == 0 ? first : i <= first ? i - 1 : i;
    const int64_t n = first < 0 ? pass - (i > 0) : pass;
    k->adds = i > 0;
    k->pass = (struct stretch){0, 0};
    if (n >= 0)
        k->pass = (struct stretch){least(n * w->together, w->taps[2].n),
                                   least((n + 1) * w->together, w->taps[2].n)};
}

static void sweep_block(struct walk *k)
{
    const int64_t *n = k->rows.count;
    for (int64_t pass = 0; pass < k->w->passes; pass++) {
        choose_pass(k, pass);
        for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++)
            sweep_row(k, (const int64_t[3]){i / n[2] / n[1], i / n[2] % n[1], i % n[2]});
    }
}

static void sweep_part(struct walk *k, struct stretch panels, const float *source, float *slot)
{
    const struct conv_sweep *w = k->w;
    k->a = sunup__conv_load(&w->space, &k->part, source, slot, &k->first);
    k->rows = sunup__conv_rows(&w->space, &k->part, w->c_pitch);
    k->c = k->r->target + w->c_first + k->part.sample * w->c_pitch[0] +
           k->part.row * w->c_pitch[w->space.axis + 1];
    for (int64_t j = panels.from; j < panels.to; j += w->block) {
        k->panels = (struct stretch){j, least(j + w->block, panels.to)};
        sweep_block(k);
    }
}

/* Targets that stay in one share: rows across samples are cut between samples. */
static int64_t share_unit(const struct conv_space *s)
{
    return s->across ? s->target[s->axis] : 1;
}

/* Task i takes its share of each sweep. */
static void work(void *arg, int64_t i)
{
    struct conv_run *r = arg;
    const int64_t slot = conv_slot_take(&r->slots);
    float *memory = r->memory + slot * r->slot;
    const int64_t row = i / r->panel_shares, column = i % r->panel_shares;
    for (const struct conv_sweep *w = r->sweep; w < r->sweep + r->n; w++) {
        const int64_t unit = share_unit(&w->space);
        const int64_t all = w->space.samples * w->space.target[w->space.axis] / unit;
        const int64_t end = (row + 1) * all / r->row_shares * unit;
        const struct stretch panels = {column * w->b.n / r->panel_shares,
                                       (column + 1) * w->b.n / r->panel_shares};
        struct walk k = {.r = r, .w = w, .a_at = (int64_t *)(void *)memory, .batch = -1};
        k.b_at = k.a_at + entries(w);
        k.streamed = memory + lists_room(w);
        for (int64_t u = row * all / r->row_shares * unit; u < end;) {
            u = sunup__conv_part(&w->space, u, end, &k.part);
            sweep_part(&k, panels, r->source, k.streamed + stream_room(w));
        }
    }
    conv_slot_give(&r->slots, slot);
}

/* Weights that are more than the numbers they meet are shared, else the targets are. What several
 * sweeps read one after the other should stay in the cache. */
static void choose_shares(struct conv_run *r)
{
    const struct conv_sweep *w = r->sweep;
    const struct conv_space *s = &w->space;
    const int64_t points = s->source[0] * s->source[1] * s->source[2];
    const int64_t weights =
        w->b.n * w->b.width * w->k * w->groups * w->taps[0].n * w->taps[1].n * w->taps[2].n;
    const int64_t tasks = r->threads > 1 ? (int64_t)TASKS_PER_THREAD * r->threads : 1;
    const int64_t rows = s->samples * s->target[s->axis] / share_unit(s);
    const int64_t source = s->samples * points * s->channels;
    const bool panels_first = weights > source;
    r->panel_shares = panels_first ? least(w->b.n, tasks) : 1;
    r->row_shares = ceil_div(tasks, r->panel_shares);
    if (r->n > 1 && !panels_first) r->row_shares = most(r->row_shares, source / SHARED);
    r->row_shares = most(1, least(rows, r->row_shares));
    if (!panels_first) r->panel_shares = least(w->b.n, ceil_div(tasks, r->row_shares));
}

void sunup__conv_run(struct conv_run *r)
{
    if (r->n == 0) return;
    r->slots.n = conv_slots_count(r->threads);
    choose_shares(r);
    sunup__parallel(r->threads, r->row_shares * r->panel_shares, work, r);
}

void sunup__conv_step_end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}
