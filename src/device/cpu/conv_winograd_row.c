/* conv_winograd_row.c - makers of convolution along W and its data gradient by F(m, m), m of 3 to
 * 5, where the numerics allow it and it is faster than the direct sum; see winograd_row.h.
 *
 * The data gradient is the convolution of dy with taps flipped, channels transposed, and padding
 * (taps - 1) dilation - before.
 *
 * U = V w is made first. A task transforms a strip of tiles of the source; then, for each panel of
 * 32 columns, multiplies and transforms back, so that what lies between them stays in a cache:
 *
 *   M[chain][point][tiles][32] = sum over the chain's chunks j and channels of
 *                                source[point][tiles + j][C] U[panel][point][j][C][32]
 *
 * A chain is at most CHAIN products; chains meet in the transform back, which costs 4 % but halves
 * the error. Every element is one order of sums that no cut changes, so results do not depend on
 * the number of threads.
 *
 * Ceiling: products at the gemm leaf's rate. Measured on two Sapphire Rapids cores with 128
 * channels and 10 taps of 60000 points: 85 ms, 2.2 times as fast as the direct way, where 2.8
 * times fewer products would allow 69. The rest is transforms, which wait for the memory; fetching
 * the next strip ahead during the products gained nothing. Dilated by 2, 64 to 256 channels of 16
 * taps: 1.75 to 2.0 times as fast (of 2.3); 3 to 7 taps of 32 to 256 channels 1.3 to 1.9.
 */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/winograd_row.h"
#include "graph/ops/conv.h"

enum {
    PANEL = 32,  /* columns of U side by side: two vectors      */
    CHAIN = 128, /* products of a sum                           */
    CHAINS_MOST = 64,
    ROWS = 14,       /* of the gemm leaf's register tile        */
    ROWS_LEAST = 28, /* tiles of a strip, as long as U stays in the L2 */
    ROWS_LARGE = 112,
    ROWS_MOST = 224,
    STRIP_ELEMENTS = 128 << 10, /* of a transformed strip: half of an L2 of 1 MB, */
    L2_ELEMENTS = 256 << 10,    /* the smaller of those that we have measured     */
    CACHE_ELEMENTS = 4 << 20,   /* larger results do not wait in an L3 for who reads them */
    CHANNELS_LEAST = 8
};

/* Of the cost model: for a vector of U; to read it from an L3 or the L2; two loops over tasks.
 * GAIN: a smaller one is not worth the error. */
enum { WEIGHTS = 20, FAR = 16, NEAR = 2, START = 20000 };
static const double GAIN = 1.15;

struct conv_row {
    struct winograd_row w;
    bool transposed;                /* weights are [taps][k][c], to be flipped                   */
    bool stream;                    /* the target is larger than the caches                      */
    bool u_large;                   /* U is larger than the L2                                   */
    int64_t chains, joined, pieces; /* a chain is `joined` chunks or a piece of one              */
    int64_t panels;
    /* Memory in elements: V of a strip [points][rows][C], M [chains][points][rows][32]. */
    int64_t v_row, v_point, m_point, u_point, u_panel, slot;
    int64_t v_at[ROW_CHUNKS_MOST], u_at[ROW_CHUNKS_MOST];
    float sums[ROW_SIZE_MOST * CHAINS_MOST * ROW_POINTS_MOST]; /* V^T for each chain */
};

struct work {
    const struct conv_row *r;
    const struct leaves_f32 *leaves;
    const float *source, *weights, *bias;
    float *target, *u, *memory;
    struct conv_slots slots;
};

/* ---- planning ---- */

static void plan_chains(struct conv_row *r)
{
    const int64_t c = r->w.source.channels;
    r->joined = most(1, CHAIN / c);
    r->pieces = ceil_div(c, CHAIN);
    r->chains = ceil_div(r->w.chunks, r->joined) * r->pieces;
    const int64_t row = r->chains * r->w.points;
    for (int64_t e = 0; e < r->w.size; e++) {
        for (int64_t i = 0; i < row; i++)
            r->sums[e * row + i] = r->w.sums[e * r->w.points + i % r->w.points];
    }
}

static void plan(struct conv_row *r)
{
    struct winograd_row *w = &r->w;
    const int64_t c = w->source.channels;
    plan_chains(r);
    r->stream = w->samples * w->target.width * w->target.channels > CACHE_ELEMENTS;
    r->panels = ceil_div(w->target.channels, PANEL);
    r->u_point = row_pitch(w->chunks * c * PANEL);
    r->u_panel = w->points * r->u_point;
    r->u_large = r->panels * r->u_panel > L2_ELEMENTS;
    r->v_row = row_pitch(c);
    const int64_t rows = STRIP_ELEMENTS / (w->points * r->v_row) / ROWS * ROWS,
                  enough = r->u_large ? ROWS_LARGE : ROWS_LEAST;
    sunup__winograd_row_cut(w, most(enough, least(rows, ROWS_MOST)));
    r->v_point = row_pitch(w->together * w->pitch * r->v_row);
    r->m_point = row_pitch(w->together * w->pitch * PANEL);
    r->slot = most(w->size * c * PANEL, w->points * (r->v_point + r->chains * r->m_point));
    for (int64_t j = 0; j < w->chunks; j++) {
        r->v_at[j] = j * r->v_row;
        r->u_at[j] = j * c * PANEL;
    }
}

/* ---- weights ---- */

/* Taps of a chunk as [taps][C][32], zeros where there is no column; returns how many. */
static int64_t gather(const struct work *work, int64_t panel, int64_t chunk, float *to)
{
    const struct conv_row *r = work->r;
    const int64_t c = r->w.source.channels, k = r->w.target.channels, area = c * PANEL,
                  first = chunk * r->w.size, n = least(r->w.size, r->w.taps - first),
                  columns = least(PANEL, k - panel * PANEL);
    if (columns < PANEL) memset(to, 0, (size_t)(n * area) * sizeof *to);
    for (int64_t e = 0; e < n; e++) {
        const int64_t tap = r->transposed ? r->w.taps - 1 - first - e : first + e;
        const float *from = work->weights + tap * c * k + panel * PANEL * (r->transposed ? c : 1);
        if (r->transposed)
            work->leaves->transpose(columns, c, from, c, to + e * area, PANEL);
        else {
            for (int64_t i = 0; i < c; i++)
                memcpy(to + e * area + i * PANEL, from + i * k, (size_t)columns * sizeof *to);
        }
    }
    return n;
}

/* One chunk of one panel. */
static void weights_task(void *arg, int64_t i)
{
    struct work *work = arg;
    const struct conv_row *r = work->r;
    const int64_t slot = conv_slot_take(&work->slots), area = r->w.source.channels * PANEL,
                  chunk = i % r->w.chunks, panel = i / r->w.chunks;
    float *taps = work->memory + slot * r->slot;
    const struct gemm_f32 g = {.m = r->w.points,
                               .n = area,
                               .k = gather(work, panel, chunk, taps),
                               .batch = 1,
                               .a = r->w.values,
                               .a_row = r->w.size,
                               .a_col = 1,
                               .b = taps,
                               .b_row = area,
                               .c = work->u + panel * r->u_panel + chunk * area,
                               .c_row = r->u_point};
    work->leaves->gemm(&g);
    conv_slot_give(&work->slots, slot);
}

/* ---- strips ---- */

static void load(const struct work *work, const struct row_strip *s, float *v)
{
    const struct conv_row *r = work->r;
    struct row_load l = {.leaves = work->leaves,
                         .side = &r->w.source,
                         .from = work->source,
                         .channels = r->w.source.channels,
                         .out_row = r->v_row,
                         .out_point = r->v_point};
    for (int64_t q = 0; q < s->count; q++) {
        l.sequence = s->first + q;
        l.out = v + q * r->w.pitch * r->v_row;
        sunup__winograd_row_load(&r->w, &l, s->from, s->to + r->w.chunks - 1);
    }
}

/* M of one panel. */
static void multiply(const struct work *work, const struct row_strip *s, int64_t panel,
                     const float *v, float *m)
{
    const struct conv_row *r = work->r;
    const int64_t c = r->w.source.channels;
    struct gemm_f32 g = {.m = s->rows,
                         .n = least(PANEL, r->w.target.channels - panel * PANEL),
                         .a_row = r->v_row,
                         .a_col = 1,
                         .a_at = r->v_at,
                         .b_row = PANEL,
                         .b_at = r->u_at,
                         .c_row = PANEL};
    for (int64_t i = 0; i < r->w.points * r->chains; i++) {
        const int64_t point = i / r->chains, chain = i % r->chains, piece = chain % r->pieces,
                      chunk = chain / r->pieces * r->joined, from = piece * c / r->pieces;
        g.k = (piece + 1) * c / r->pieces - from;
        g.batch = least(r->joined, r->w.chunks - chunk);
        g.b = work->u + panel * r->u_panel + point * r->u_point + r->u_at[chunk] + from * PANEL;
        g.a = v + point * r->v_point + r->v_at[chunk] + from;
        g.c = m + (chain * r->w.points + point) * r->m_point;
        work->leaves->gemm(&g);
    }
}

/* Targets of the strip in one panel, out of M; larger ones than the caches go to memory by way of
 * a tile in the L1, which spares reading their lines. */
static void store(const struct work *work, const struct row_strip *s, int64_t panel, const float *m)
{
    const struct conv_row *r = work->r;
    const int64_t row = r->chains * r->w.points;
    float tile[ROW_SIZE_MOST * PANEL];
    struct gemm_f32 g = {.n = least(PANEL, r->w.target.channels - panel * PANEL),
                         .k = row,
                         .batch = 1,
                         .a = r->sums,
                         .a_row = row,
                         .a_col = 1,
                         .b_row = r->m_point,
                         .bias = work->bias ? work->bias + panel * PANEL : NULL};
    for (int64_t q = 0; q < s->count; q++) {
        const struct row_span span = sunup__winograd_row_span(&r->w, &r->w.target, s->first + q);
        g.c_row = r->stream ? PANEL : span.step;
        for (int64_t t = s->from; t < s->to; t++) {
            g.m = least(r->w.size, span.end - t * r->w.size);
            if (g.m <= 0) break;
            float *to = work->target + span.at + t * r->w.size * span.step + panel * PANEL;
            g.b = m + (q * r->w.pitch + t - s->from) * PANEL;
            g.c = r->stream ? tile : to;
            work->leaves->gemm(&g);
            if (r->stream) work->leaves->stream_rows(g.m, g.n, tile, PANEL, to, span.step);
        }
    }
}

static void strip_task(void *arg, int64_t i)
{
    struct work *work = arg;
    const struct conv_row *r = work->r;
    const int64_t slot = conv_slot_take(&work->slots);
    float *v = work->memory + slot * r->slot, *m = v + r->w.points * r->v_point;
    const struct row_strip s = sunup__winograd_row_strip(&r->w, i);
    load(work, &s, v);
    for (int64_t panel = 0; panel < r->panels; panel++) {
        multiply(work, &s, panel, v, m);
        store(work, &s, panel, m);
    }
    conv_slot_give(&work->slots, slot);
}

static int64_t u_bytes(const struct conv_row *r)
{
    return r->panels * r->u_panel * (int64_t)sizeof(float);
}

static struct work work_of(const struct step *s)
{
    const struct conv_row *r = s->data;
    return (struct work){.r = r,
                         .leaves = &s->device->kernels->f32,
                         .source = s->in[r->transposed ? 1 : 0],
                         .weights = s->in[r->transposed ? 0 : 1],
                         .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                         .target = s->out[0],
                         .u = prepared_weights(s),
                         .memory = workspace_behind(s, u_bytes(r)),
                         .slots = {.n = conv_slots_count(s->device->threads)}};
}

static void prepare(const struct step *s)
{
    struct work work = work_of(s);
    sunup__parallel(s->device->threads, work.r->panels * work.r->w.chunks, weights_task, &work);
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct work work = work_of(s);
    (void)have_prepared(s);
    sunup__parallel(s->device->threads, work.r->w.strips, strip_task, &work);
    return SUNUP_OK;
}

/* ---- making ---- */

static sunup_status make(struct device *d, const struct node *n, struct step *s, bool transposed)
{
    struct conv_row *r = sunup__alloc(sizeof *r);
    CHECK(r != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *r = (struct conv_row){.w = sunup__winograd_row(n, transposed), .transposed = transposed};
    plan(r);
    s->data = r;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = conv_slots_count(d->threads) * r->slot * (int64_t)sizeof(float);
    ask_prepared(s, transposed ? 0 : 1, u_bytes(r), prepare);
    return SUNUP_OK;
}

sunup_status sunup__make_conv_winograd_row(struct device *d, const struct node *n, struct step *s)
{
    return make(d, n, s, false);
}

sunup_status sunup__make_conv_data_grad_winograd_row(struct device *d, const struct node *n,
                                                     struct step *s)
{
    return make(d, n, s, true);
}

/* Besides products and transforms: U, and reading it for each strip. Fitted to times on Sapphire
 * Rapids, in half cycles as it does two multiply-adds in each; a core that does one waits less for
 * its memory, so it gains a little more than this says. */
static bool pays(const struct conv_row *r)
{
    const struct winograd_row *w = &r->w;
    const double u = (double)(r->panels * r->u_panel) / ROW_LINE;
    const double cost =
        sunup__winograd_row_products(w) +
        u * (double)(WEIGHTS + w->strips * (r->u_large ? FAR : NEAR)) +
        sunup__winograd_row_transform(w, w->source.channels, w->points * w->points) +
        sunup__winograd_row_transform(w, w->target.channels, r->chains * w->points * w->size);
    return GAIN * (cost + START) < sunup__winograd_row_direct(w);
}

static bool can(const struct device *d, const struct node *n, bool transposed)
{
    if (!sunup__winograd_row_fits(d, n)) return false;
    struct conv_row r = {.w = sunup__winograd_row(n, transposed)};
    const int64_t c = r.w.source.channels;
    if (c < CHANNELS_LEAST || r.w.target.channels < CHANNELS_LEAST) return false;
    if (ceil_div(r.w.chunks, most(1, CHAIN / c)) * ceil_div(c, CHAIN) > CHAINS_MOST) return false;
    plan(&r);
    return pays(&r);
}

bool sunup__conv_winograd_row_can(const struct device *d, const struct node *n)
{
    return can(d, n, false);
}

bool sunup__conv_data_grad_winograd_row_can(const struct device *d, const struct node *n)
{
    return can(d, n, true);
}
