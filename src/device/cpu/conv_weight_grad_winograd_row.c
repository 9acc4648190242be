/* conv_weight_grad_winograd_row.c - maker of the gradient of a convolution along W by its weights
 * as F(m, m), m of 3 to 5; see winograd_row.h for the method.
 *
 *   dU[point][j][C][K] = sum over tiles t of x[point][t + j][C] dy[point][t][K], then dw = V^T dU
 *
 * An item is a block of channels of x and one of dy, small enough that its dU stays in an L2 with
 * a transformed strip of tiles. The strips are dealt to shares, which are added in order at the
 * end; a task is one item of one share. Within a share a chain of additions is a few strips long
 * and the chains are added up: that keeps the error low. All of this follows from shapes alone, so
 * bits do not depend on threads.
 *
 * Ceiling: products at the gemm leaf's rate. Measured on two Sapphire Rapids cores with 128
 * channels and 10 taps of 60000 points: 103 ms, 2.0 times as fast as the direct way, where 2.8
 * times fewer products would allow 75. A quarter is transforms, which wait for the memory, as each
 * block of x meets all of dy; fetching the next strip ahead during the products gained nothing.
 */
#include "base/integers.h"
#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/winograd_row.h"
#include "graph/ops/conv.h"

enum {
    BLOCK_C = 64, /* channels of a block at most */
    BLOCK_K = 128,
    STRIP = 84,       /* tiles                                        */
    CHAIN = 168,      /* tiles of a chain of additions                */
    SHARE_STRIPS = 4, /* that make another dU worth its adding, but   */
    FEW_SHARES = 4,   /* so many, if strips allow it, for the threads */
    SHARES_MOST = 16,
    PARTIAL_ELEMENTS_MOST = 8 << 20,
    ROWS_OF_TASK = 16,
    CHANNELS_LEAST = 16
};

/* Of the cost model: for a vector of dU added to; two loops over tasks. GAIN: a smaller one is not
 * worth the error. */
enum { ADD = 8, START = 20000 };
static const double GAIN = 1.15;

/* The channels of x or dy in blocks. */
struct blocks {
    int64_t channels, n, width;
};

struct grad_row {
    struct winograd_row w;
    struct blocks c, k;
    int64_t items, shares;
    /* Elements: of a slot [points][rows][width], twice, and a dU [points][chunks][C][K]. */
    int64_t x_row, x_point, y_row, y_point, u_row, u_chunk, u_point, item;
    int64_t slot;
};

struct work {
    const struct grad_row *r;
    const struct leaves_f32 *leaves;
    const float *x, *dy;
    float *dw, *partial, *memory; /* partial: [shares][items][item] */
    struct conv_slots slots;
};

/* ---- planning ---- */

static struct blocks cut_channels(int64_t channels, int64_t width_most)
{
    struct blocks b = {.channels = channels, .n = ceil_div(channels, width_most)};
    b.width = ceil_div(channels, b.n);
    return b;
}

/* A power of two, so that they are shared evenly by most numbers of threads. */
static int64_t plan_shares(const struct grad_row *r)
{
    const int64_t room = least(SHARES_MOST, PARTIAL_ELEMENTS_MOST / (r->items * r->item)),
                  few = least(r->w.strips, FEW_SHARES), more = r->w.strips / SHARE_STRIPS,
                  wanted = least(room, most(few, more));
    int64_t shares = 1;
    while (2 * shares <= wanted) shares *= 2;
    return shares;
}

static void plan(struct grad_row *r, const struct node *n)
{
    struct winograd_row *w = &r->w;
    *w = sunup__winograd_row(n, false);
    sunup__winograd_row_cut(w, STRIP);
    r->c = cut_channels(w->source.channels, BLOCK_C);
    r->k = cut_channels(w->target.channels, BLOCK_K);
    r->items = r->c.n * r->k.n;
    r->x_row = row_pitch(r->c.width);
    r->x_point = row_pitch(w->together * w->pitch * r->x_row);
    r->y_row = row_pitch(r->k.width);
    r->y_point = row_pitch(w->together * w->pitch * r->y_row);
    r->u_row = r->k.width;
    r->u_chunk = r->c.width * r->u_row;
    r->u_point = row_pitch(w->chunks * r->u_chunk);
    r->item = w->points * r->u_point;
    r->slot = w->points * (r->x_point + r->y_point) + r->item;
    r->shares = plan_shares(r);
}

struct item {
    int64_t c, k, rows, columns; /* first channels, and how many */
};

static struct item item_of(const struct grad_row *r, int64_t i)
{
    struct item m = {.c = i / r->k.n * r->c.width, .k = i % r->k.n * r->k.width};
    m.rows = least(r->c.width, r->c.channels - m.c);
    m.columns = least(r->k.width, r->k.channels - m.k);
    return m;
}

/* ---- sums over tiles ---- */

/* How an item's channels of x and dy are transformed at slot. */
struct loads {
    struct row_load x, y;
};

static struct loads loads_of(const struct work *work, const struct item *m)
{
    const struct grad_row *r = work->r;
    return (struct loads){.x = {.leaves = work->leaves,
                                .side = &r->w.source,
                                .from = work->x + m->c,
                                .channels = m->rows,
                                .out_row = r->x_row,
                                .out_point = r->x_point},
                          .y = {.leaves = work->leaves,
                                .side = &r->w.target,
                                .from = work->dy + m->k,
                                .by_values = true,
                                .channels = m->columns,
                                .out_row = r->y_row,
                                .out_point = r->y_point}};
}

/* Rows of no target are zeros in dy. */
static void load(const struct work *work, struct loads l, const struct row_strip *s, float *slot)
{
    const struct grad_row *r = work->r;
    const int64_t all = s->to + r->w.chunks - 1;
    for (int64_t q = 0; q < s->count; q++) {
        l.x.sequence = l.y.sequence = s->first + q;
        l.x.out = slot + q * r->w.pitch * r->x_row;
        l.y.out = slot + r->w.points * r->x_point + q * r->w.pitch * r->y_row;
        sunup__winograd_row_load(&r->w, &l.x, s->from, all);
        sunup__winograd_row_load(&r->w, &l.y, s->from, q + 1 < s->count ? all : s->to);
    }
}

/* u (+)= the strip's sum. */
static void multiply(const struct work *work, const struct item *m, const struct row_strip *s,
                     const float *slot, float *u, bool first)
{
    const struct grad_row *r = work->r;
    struct gemm_f32 g = {.m = m->rows,
                         .n = m->columns,
                         .k = s->rows,
                         .batch = 1,
                         .a_row = 1,
                         .a_col = r->x_row,
                         .b_row = r->y_row,
                         .c_row = r->u_row,
                         .accumulate = !first};
    for (int64_t i = 0; i < r->w.points * r->w.chunks; i++) {
        const int64_t point = i / r->w.chunks, chunk = i % r->w.chunks;
        g.c = u + point * r->u_point + chunk * r->u_chunk;
        g.a = slot + point * r->x_point + chunk * r->x_row;
        g.b = slot + r->w.points * r->x_point + point * r->y_point;
        work->leaves->gemm(&g);
    }
}

static void share_task(void *arg, int64_t i)
{
    struct work *work = arg;
    const struct grad_row *r = work->r;
    const struct item m = item_of(r, i % r->items);
    const struct loads l = loads_of(work, &m);
    const int64_t share = i / r->items, from = share * r->w.strips / r->shares,
                  to = (share + 1) * r->w.strips / r->shares, chain = most(1, CHAIN / STRIP),
                  taken = conv_slot_take(&work->slots);
    float *slot = work->memory + taken * r->slot, *sum = work->partial + i * r->item,
          *other = slot + r->slot - r->item;
    for (int64_t j = from; j < to; j++) {
        const struct row_strip s = sunup__winograd_row_strip(&r->w, j);
        const int64_t at = (j - from) % chain;
        float *u = j - from < chain ? sum : other;
        load(work, l, &s, slot);
        multiply(work, &m, &s, slot, u, at == 0);
        if (u == other && (at == chain - 1 || j == to - 1)) work->leaves->add_to(r->item, u, sum);
    }
    conv_slot_give(&work->slots, taken);
}

/* ---- back to taps ---- */

/* Some rows of an item's chunk: all shares added up in share 0, then dw. */
static void finish_task(void *arg, int64_t i)
{
    const struct work *work = arg;
    const struct grad_row *r = work->r;
    const int64_t tasks = ceil_div(r->c.width, ROWS_OF_TASK), from = i % tasks * ROWS_OF_TASK,
                  chunk = i / tasks % r->w.chunks, item = i / tasks / r->w.chunks,
                  k = r->k.channels, tap = chunk * r->w.size;
    const struct item m = item_of(r, item);
    const int64_t to = least(from + ROWS_OF_TASK, m.rows);
    float *u = work->partial + item * r->item + chunk * r->u_chunk;
    for (int64_t share = 1; share < r->shares && from < to; share++) {
        for (int64_t at = from * r->u_row, p = 0; p < r->w.points; p++, at += r->u_point)
            work->leaves->add_to((to - from) * r->u_row, u + share * r->items * r->item + at,
                                 u + at);
    }
    struct gemm_f32 g = {.m = least(r->w.size, r->w.taps - tap),
                         .n = m.columns,
                         .k = r->w.points,
                         .batch = 1,
                         .a = r->w.sums,
                         .a_row = r->w.points,
                         .a_col = 1,
                         .b_row = r->u_point,
                         .c_row = r->c.channels * k};
    for (int64_t row = from; row < to; row++) {
        g.b = u + row * r->u_row;
        g.c = work->dw + tap * g.c_row + (m.c + row) * k + m.k;
        work->leaves->gemm(&g);
    }
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct grad_row *r = s->data;
    const int threads = s->device->threads;
    struct work work = {.r = r,
                        .leaves = &s->device->kernels->f32,
                        .x = s->in[0],
                        .dy = s->in[1],
                        .dw = s->out[0],
                        .partial = s->workspace,
                        .slots = {.n = conv_slots_count(threads)}};
    work.memory = work.partial + r->shares * r->items * r->item;
    sunup__parallel(threads, r->shares * r->items, share_task, &work);
    sunup__parallel(threads, r->items * r->w.chunks * ceil_div(r->c.width, ROWS_OF_TASK),
                    finish_task, &work);
    return SUNUP_OK;
}

/* ---- making ---- */

sunup_status sunup__make_conv_weight_grad_winograd_row(struct device *d, const struct node *n,
                                                       struct step *s)
{
    struct grad_row *r = sunup__alloc(sizeof *r);
    CHECK(r != NULL, d->ctx, E_MEMORY, "no memory for a step");
    plan(r, n);
    s->data = r;
    s->run = run;
    s->end = sunup__conv_step_end;
    s->workspace_bytes = (r->shares * r->items * r->item + conv_slots_count(d->threads) * r->slot) *
                         (int64_t)sizeof(float);
    return SUNUP_OK;
}

/* Besides products and transforms, which are done anew for each block of the other tensor: dU is
 * read and written for each strip and each share. Fitted as that of conv_winograd_row.c. */
static bool pays(const struct grad_row *r)
{
    const struct winograd_row *w = &r->w;
    const double u = (double)(r->items * r->item) / ROW_LINE,
                 passes = (double)(w->strips + 2 * r->shares);
    const double cost =
        sunup__winograd_row_products(w) + ADD * u * passes +
        (double)r->k.n * sunup__winograd_row_transform(w, r->c.channels, w->points * w->points) +
        (double)r->c.n * sunup__winograd_row_transform(w, r->k.channels, w->points * w->size);
    return GAIN * (cost + START) < sunup__winograd_row_direct(w);
}

bool sunup__conv_weight_grad_winograd_row_can(const struct device *d, const struct node *n)
{
    if (!sunup__winograd_row_fits(d, n)) return false;
    struct grad_row r;
    plan(&r, n);
    return r.c.channels >= CHANNELS_LEAST && r.k.channels >= CHANNELS_LEAST && pays(&r);
}
