/* product_turned.c - products with a transposed A, C[i][j] the sum over rows r of a[r][i] b[r][j]:
 * weight gradients of linear layers and of convolutions of one tap, strided or not.
 *
 * Both operands lie along the wrong axis: a strip of A, or a panel of B, is a short stretch of each
 * of many rows, up to a page apart. So a block of rows of both is copied at once, in the order in
 * which it lies in memory, to strips and panels that stay in the second level beside C. With a
 * close third level, or of a convolution to a small C, a block of whole rows is used where it is,
 * unless C is large: the leaf, which asks for a line of the next block each step, finds it in the
 * second level.
 *
 * An item is a rectangle of C; its sum goes on in C from block to block. Where threads would share
 * few elements but there are many rows, these are cut into chunks with a partial C each, added in
 * order at the end: those of convolutions, and of a small C of a matmul if the numerics allow
 * another order and the third level is close. A partial C is panels, since rows of C 1 to 4 KB apart
 * share few sets of a cache. The number of chunks follows from the shapes alone and in a
 * chunk an element is one chain of multiply-adds in order, so no bit depends on threads.
 *
 * Ceiling: 2 m n k flops, or one reading of A and B. On Sapphire Rapids the products alone run at
 * 80 % of peak, with the copies at 60 to 75 %: one core reads 12 GB/s from the third level on (on
 * Granite Rapids 64 x 256 takes 8.9 ms copied, 6.6 where it is, by conv_weight_grad_brgemm.c 9.3).
 * On Zen 5 the products alone run at 95 %, 64 x 256 from memory at 83 %, copied at 60 to 64 %.
 */
#include <string.h>

#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_sweep.h"
#include "device/cpu/makers.h"
#include "device/cpu/product.h"
#include "graph/ops/conv.h"

enum {
    STRIP = 28,     /* columns of A a call: two of the leaf's tallest two-vector tiles */
    STRIP_FAR = 14, /* with a far third level: one, so that no two tiles read the same lines of A */
    STRIP_HERE = 128, /* the same of an A where it is */
    DEPTH = 160, /* rows of a block: the first level keeps a panel from one tile of a strip to the
                  * next; 96 to 384 are up to 8 % slower (Sapphire Rapids) */
    DEPTH_FAR = 512, /* if C comes from afar with each block */
    DEPTH_HERE =
        96, /* of operands where they are, with a far third level: 64 to 160 are up to 4 % slower */
    /* Less is no faster than product_brgemm.c and conv_weight_grad_brgemm.c, which copy a strip at
     * a time or read A where it is: few columns of A share lines as it is, and a sum of few blocks
     * hardly repays a look at C. */
    LEAST_M = 96,
    LEAST_N = 32,
    LEAST_N_CONV = 96,
    LEAST_NEAR =
        64, /* columns of A and of a convolution's B with a close third level, or of a small C */
    LEAST_K = 768,
    LEAST_OPERANDS = 3 << 18, /* elements that the second level does not keep from step to step */
    /* Elements of C with a close third level, up to the one or beyond the other. Between, copies of the operands
     * beside C wait for that level (Zen 4: A's take a tenth of the time, B's up to as much), and those two take 0.79
     * to 1.0 of the time on Zen 4, but for one row 1.07, and 0.85 to 1.0 on Zen 5 (`sunup bench kernel
     * bench/resnet50.txt bench/gemm.txt`, 2026-11-29). */
    SMALL_NEAR = 1 << 16,
    LARGE_NEAR = 1 << 19,
    FLOATS_AHEAD = 4096, /* asked for before they are copied: streams begin anew in each page */
    CHUNKS_MOST = 16,
    CHUNK_ROWS = 1024, /* that make a partial C worth its adding */
    PARTIAL_ELEMENTS_MOST = 2 << 20,
    ADD_ROWS = 128 /* of a panel, whose chunks a task adds */
};

/* Rows of A are points: `line` of them at one pitch, so many lines, so many of these planes. */
struct points {
    int64_t line, lines;
    int64_t pitch, line_at, plane_at; /* floats from one to the next */
};

struct turned {
    int64_t m, n, k;
    struct points a;
    int64_t chunks;             /* of k                                         */
    int64_t items_m, items_n;   /* of one C                                     */
    int64_t rows, columns;      /* of an item, at most                          */
    int64_t depth;              /* rows of A and B in a block, at most          */
    int64_t strip_at, panel_at; /* floats from one strip, one panel to the next */
    int64_t slot;               /* floats of a task's strips and panels         */
    bool near;                  /* a block may be used where it is              */
    bool a_whole, b_whole;      /* a block is one run of memory, asked for before it is used */
    bool a_here, b_here;        /* it is used where it is                                    */
};

struct run {
    const struct turned *t;
    const struct leaves_f32 *leaves;
    const float *a, *b;
    float *c, *partial, *memory;
    struct conv_slots slots;
};

/* Columns [i0, i1) of A, [j0, j1) of B; the sum goes on in c, which begins with row 0 of column j0. */
struct item {
    int64_t i0, i1, j0, j1;
    int64_t strip; /* columns of a strip, but for the last */
    float *a, *b, *c;
    int64_t c_row, c_panel; /* floats from one row, one panel to the next */
};

/* ---- packing ---- */

typedef float four __attribute__((vector_size(16), aligned(4)));

static inline void copy_four(const float *x, float *y)
{
    *(four *)(void *)y = *(const four *)(const void *)x;
}

/* n floats, in registers: a call of memcpy would cost more than the copy. The last four may overlap
 * those before. */
static inline void copy_some(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i + 4 < n; i += 4) copy_four(x + i, y + i);
    if (n >= 4) {
        copy_four(x + n - 4, y + n - 4);
    } else {
        for (int64_t i = 0; i < n; i++) y[i] = x[i];
    }
}

/* Always inline: gcc takes a function that only asks for free of effects and drops its calls. */
static inline __attribute__((always_inline)) void ask(const float *x, int64_t n)
{
    for (int64_t j = 0; j < n; j += LINE) __builtin_prefetch(x + j);
}

/* Rows of n floats to strips of `width`, row by row, so that memory is read in order. Inlined where
 * width is known: it is all in registers then. */
static inline __attribute__((always_inline)) void
pack(const float *x, int64_t pitch, int64_t rows, int64_t n, int64_t width, float *y, int64_t next)
{
    const int64_t rows_ahead = ceil_div(FLOATS_AHEAD, n);
    for (int64_t r = 0; r < rows; r++, x += pitch) {
        float *to = y + r * width;
        ask(x + rows_ahead * pitch, n); /* the next block's first rows, too */
        int64_t j = 0;
        for (; j + width <= n; j += width, to += next) copy_some(x + j, to, width);
        copy_some(x + j, to, n - j);
    }
}

static int64_t copied_strip(void)
{
    return sunup__level3_far() ? STRIP_FAR : STRIP;
}

/* Rows [p0, p1) of A, the columns of the item. */
static void pack_a(const struct run *r, const struct item *o, int64_t p0, int64_t p1)
{
    const struct points *a = &r->t->a;
    for (int64_t p = p0; p < p1;) {
        const int64_t line = p / a->line, at = p % a->line, n = least(a->line - at, p1 - p);
        const float *from = r->a + line / a->lines * a->plane_at + line % a->lines * a->line_at +
                            at * a->pitch + o->i0;
        pack(from, a->pitch, n, o->i1 - o->i0, o->strip, o->a + (p - p0) * o->strip,
             r->t->strip_at);
        p += n;
    }
}

/* ---- products ---- */

/* Rows [p1, p2) of what is whole. */
static struct ahead ahead(const struct run *r, int64_t p1, int64_t p2)
{
    const struct turned *t = r->t;
    return (struct ahead){
        .x = {r->b + p1 * t->n, r->a + p1 * t->m},
        .n = {t->b_whole ? (p2 - p1) * t->n : 0, t->a_whole ? (p2 - p1) * t->m : 0}};
}

/* Rows [p[0], p[1]) of A and B, with those up to p[2] in sight; `more` if C has earlier ones. */
static void add_block(const struct run *r, const struct item *o, const int64_t p[3], bool more)
{
    const struct turned *t = r->t;
    const int64_t m = o->i1 - o->i0, n = o->j1 - o->j0;
    const float *a = r->a + p[0] * t->m + o->i0, *b = r->b + p[0] * t->n + o->j0;
    struct ahead next = ahead(r, p[1], p[2]);
    struct gemm_f32 g = {.k = p[1] - p[0],
                         .batch = 1,
                         .a_row = 1,
                         .a_col = t->a_here ? t->m : o->strip,
                         .b_row = t->b_here ? t->n : PANEL,
                         .c_row = o->c_row,
                         .accumulate = more};
    if (!t->a_here) pack_a(r, o, p[0], p[1]);
    if (!t->b_here) pack(b, t->n, g.k, n, PANEL, o->b, t->panel_at);
    for (int64_t i = 0; i < m; i += o->strip) {
        g.m = least(o->strip, m - i);
        g.a = t->a_here ? a + i : o->a + i / o->strip * t->strip_at;
        for (int64_t j = 0; j < n; j += PANEL) {
            g.n = least(PANEL, n - j);
            g.b = t->b_here ? b + j : o->b + j / PANEL * t->panel_at;
            g.c = o->c + (o->i0 + i) * o->c_row + j / PANEL * o->c_panel;
            ask_ahead(&next, &g);
            r->leaves->gemm(&g);
        }
    }
}

/* Floats of a chunk's sum: panels of PANEL columns, [panel][m][PANEL]. */
static int64_t chunk_elements(const struct turned *t)
{
    return t->m * round_up(t->n, PANEL);
}

/* Items of partial sums are whole panels. */
static int64_t column_unit(const struct turned *t)
{
    return t->chunks > 1 ? PANEL : LINE;
}

/* Task i: item i % items of chunk i / items. A single chunk is summed where the result belongs. */
static void run_task(void *arg, int64_t i)
{
    struct run *r = arg;
    const struct turned *t = r->t;
    const int64_t items = t->items_m * t->items_n, chunk = i / items;
    const int64_t bi = i % items / t->items_n, bj = i % t->items_n;
    const int64_t unit = column_unit(t), units = ceil_div(t->n, unit);
    const int64_t slot = conv_slot_take(&r->slots);
    struct item o = {.i0 = bi * t->m / t->items_m,
                     .i1 = (bi + 1) * t->m / t->items_m,
                     .j0 = bj * units / t->items_n * unit,
                     .j1 = least((bj + 1) * units / t->items_n * unit, t->n),
                     .a = r->memory + slot * t->slot,
                     .c_row = t->n,
                     .c_panel = PANEL};
    const int64_t strip = t->a_here ? STRIP_HERE : copied_strip();
    o.strip = ceil_div(o.i1 - o.i0, ceil_div(o.i1 - o.i0, strip));
    o.c = r->c + o.j0;
    if (t->chunks > 1) {
        o.c = r->partial + chunk * chunk_elements(t) + o.j0 * t->m;
        o.c_row = PANEL;
        o.c_panel = t->m * PANEL;
    }
    o.b = o.a + (t->a_here ? 0 : ceil_div(t->rows, copied_strip()) * t->strip_at);
    const int64_t first = chunk * t->k / t->chunks, end = (chunk + 1) * t->k / t->chunks;
    for (int64_t p = first; p < end; p += t->depth) {
        const int64_t block[] = {p, least(p + t->depth, end), least(p + 2 * t->depth, end)};
        add_block(r, &o, block, p > first);
    }
    conv_slot_give(&r->slots, slot);
}

static int64_t add_blocks(const struct turned *t)
{
    return ceil_div(t->m, ADD_ROWS);
}

/* Some rows of one panel, to where they belong. */
static void add_chunks(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct turned *t = r->t;
    const int64_t j = i / add_blocks(t) * PANEL, row = i % add_blocks(t) * ADD_ROWS;
    const int64_t rows = least(ADD_ROWS, t->m - row), n = least(PANEL, t->n - j);
    float *sum = r->partial + j * t->m + row * PANEL;
    for (int64_t c = 1; c < t->chunks; c++)
        r->leaves->add_to(rows * PANEL, sum + c * chunk_elements(t), sum);
    for (int64_t k = 0; k < rows; k++)
        copy_some(sum + k * PANEL, r->c + (row + k) * t->n + j, n);
}

static int64_t partial_elements(const struct turned *t)
{
    return t->chunks > 1 ? round_up(t->chunks * chunk_elements(t), LINE) : 0;
}

static sunup_status run_turned(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct turned *t = s->data;
    const int threads = s->device->threads;
    struct run r = {.t = t,
                    .leaves = &s->device->kernels->f32,
                    .a = s->in[0],
                    .b = s->in[1],
                    .c = s->out[0],
                    .partial = s->workspace,
                    .slots = {.n = conv_slots_count(threads)}};
    r.memory = r.partial + partial_elements(t);
    sunup__parallel(threads, t->chunks * t->items_m * t->items_n, run_task, &r);
    if (t->chunks > 1)
        sunup__parallel(threads, ceil_div(t->n, PANEL) * add_blocks(t), add_chunks, &r);
    return SUNUP_OK;
}

/* ---- cutting ---- */

/* A part of the second level that leaves room for strips, panels and what passes: of 2 MB a half (Granite Rapids:
 * C of 1024 x 512 6 %, of 2048 x 512 7 % faster than with a quarter). */
static bool c_is_near(const struct turned *t)
{
    const int64_t part = sunup__level3_far() ? 2 : 4;
    return t->rows * t->columns * (int64_t)sizeof(float) <= sunup__cache_bytes(2) / part;
}

static int64_t depth(const struct turned *t)
{
    const bool here = t->near && sunup__level3_far();
    const int64_t k = ceil_div(t->k, t->chunks);
    const int64_t deepest = here ? DEPTH_HERE : c_is_near(t) ? DEPTH : DEPTH_FAR;
    return round_up(ceil_div(k, ceil_div(k, deepest)), 8);
}

/* Cycles of an item: multiply-adds of whole vectors; C once a block; copies; calls. */
static double item_cycles(const struct turned *t)
{
    const double rows = (double)t->rows, columns = (double)t->columns;
    const double k = (double)ceil_div(t->k, t->chunks), blocks = k / (double)t->depth;
    const double calls = blocks * (double)(ceil_div(t->rows, STRIP) * ceil_div(t->columns, PANEL));
    const double a_product = sunup__level3_far() ? 1. / 32 : 1. / 16;
    return rows * columns * (k * a_product + blocks * (c_is_near(t) ? 0.1 : 1)) +
           (rows + columns) * k * 0.8 + 50 * calls;
}

static double total_cycles(struct turned *t, int threads, int64_t items_m, int64_t items_n)
{
    t->items_m = items_m;
    t->items_n = items_n;
    t->rows = ceil_div(t->m, items_m);
    t->columns = ceil_div(ceil_div(t->n, column_unit(t)), items_n) * column_unit(t);
    t->depth = depth(t);
    return ((double)ceil_div(t->chunks * items_m * items_n, threads) + 0.03) * item_cycles(t);
}

/* Rows that meet in few sets of the second level, as those of large C do beside it, are copied. */
static void look(struct turned *t)
{
    const int64_t bytes = t->rows * t->columns * (int64_t)sizeof(float);
    t->a_whole = t->near && t->items_m == 1 && t->a.line == t->k;
    t->b_whole = t->near && t->items_n == 1;
    t->a_here = t->a_whole;
    t->b_here = t->b_whole && bytes <= sunup__cache_bytes(2) / 8;
}

static void cut(struct turned *t, int threads)
{
    const int64_t most = 64 + 4 * (int64_t)threads;
    double best = 0;
    int64_t best_m = 1, best_n = 1;
    for (int64_t im = 1; im <= least(ceil_div(t->m, STRIP), most); im++) {
        for (int64_t in = 1; in <= least(ceil_div(t->n, PANEL), most); in++) {
            const double cycles = total_cycles(t, threads, im, in);
            if (best > 0 && cycles >= best) continue;
            best = cycles;
            best_m = im;
            best_n = in;
        }
    }
    (void)total_cycles(t, threads, best_m, best_n);
    look(t);
    t->strip_at =
        copied_strip() * t->depth + LINE; /* an odd number of lines: they meet in no set */
    t->panel_at = PANEL * t->depth + LINE;
    t->slot = (t->a_here ? 0 : ceil_div(t->rows, copied_strip()) * t->strip_at) +
              (t->b_here ? 0 : ceil_div(t->columns, PANEL) * t->panel_at);
}

/* ---- making ---- */

static bool pays(int64_t m, int64_t n, int64_t k, bool near)
{
    return m >= (near ? LEAST_NEAR : LEAST_M) && n >= LEAST_N && k >= LEAST_K && (m + n) * k >= LEAST_OPERANDS &&
           (sunup__level3_far() || m * n <= SMALL_NEAR || m * n > LARGE_NEAR);
}

/* With a far third level a small C of a convolution, whose chunks are each of one item; of the rest its own
 * prefetchers do better. */
static bool conv_is_near(const struct window *w)
{
    return !sunup__level3_far() || w->c * w->k <= SMALL_NEAR;
}

static sunup_status make(struct device *d, struct step *s, const struct turned *made)
{
    struct turned *t = sunup__alloc(sizeof *t);
    CHECK(t != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *t = *made;
    cut(t, d->threads);
    s->data = t;
    s->run = run_turned;
    s->end = sunup__conv_step_end;
    s->workspace_bytes =
        (partial_elements(t) + conv_slots_count(d->threads) * t->slot) * (int64_t)sizeof(float);
    return SUNUP_OK;
}

bool sunup__matmul_turned_can(const struct device *d, const struct node *n)
{
    (void)d;
    if (n->out[0]->dtype != SUNUP_F32) return false;
    const struct product p = sunup__product_of(n);
    return p.batch == 1 && p.a_col != 1 && p.b_col == 1 && !sunup__product_tall(&p) &&
           pays(p.m, p.n, p.k, !sunup__level3_far());
}

static int64_t chunks(int64_t m, int64_t n, int64_t k)
{
    const int64_t most = least(PARTIAL_ELEMENTS_MOST / (m * n), least(CHUNKS_MOST, k / CHUNK_ROWS));
    int64_t c = 1;
    while (c * 2 <= most) c *= 2;
    return c;
}

/* Each thread then reads rows of its own, A where it is (256 x 256 of 4096 rows on Zen 4: 2.5 ms
 * instead of 2.8). A C of 1 MB gained nothing. */
int64_t sunup__product_turned_chunks(const struct product *p)
{
    return p->m * p->n <= SMALL_NEAR ? chunks(p->m, p->n, p->k) : 1;
}

sunup_status sunup__make_matmul_turned(struct device *d, const struct node *n, struct step *s)
{
    const struct product p = sunup__product_of(n);
    const bool one =
        sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT || sunup__level3_far();
    const struct turned t = {.m = p.m,
                             .n = p.n,
                             .k = p.k,
                             .near = !sunup__level3_far(),
                             .a = {.line = p.k, .lines = 1, .pitch = p.m},
                             .chunks = one ? 1 : sunup__product_turned_chunks(&p)};
    return make(d, s, &t);
}

/* Its points are all of x. */
static bool is_dense(const struct window *w)
{
    return w->in[0] == w->out[0] && w->in[1] == w->out[1] && w->in[2] == w->out[2];
}

/* One tap that sees only what is there; lines and planes suffice for its points. */
static bool is_product(const struct window *w)
{
    for (int a = 0; a < 3; a++)
        if (w->taps[a] != 1 || w->before[a] != 0 || (w->out[a] - 1) * w->stride[a] >= w->in[a])
            return false;
    return w->groups == 1 && (w->in[0] == 1 || is_dense(w));
}

static struct turned of_conv(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const int64_t points = n->in[0]->shape.d[0] * w->out[0] * w->out[1] * w->out[2];
    struct turned t = {.m = w->c, .n = w->k, .k = points, .near = conv_is_near(w)};
    t.a = is_dense(w) ? (struct points){.line = points, .lines = 1, .pitch = w->c}
                      : (struct points){.line = w->out[2],
                                        .lines = w->out[1],
                                        .pitch = w->stride[2] * w->c,
                                        .line_at = w->stride[1] * w->in[2] * w->c,
                                        .plane_at = w->in[1] * w->in[2] * w->c};
    t.chunks = chunks(t.m, t.n, t.k);
    return t;
}

bool sunup__conv_weight_grad_turned_can(const struct device *d, const struct node *n)
{
    (void)d;
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    if (n->out[0]->dtype != SUNUP_F32 || !is_product(w)) return false;
    const int64_t points = n->in[0]->shape.d[0] * w->out[0] * w->out[1] * w->out[2];
    const bool near = conv_is_near(w);
    return w->k >= (near ? LEAST_NEAR : LEAST_N_CONV) && pays(w->c, w->k, points, near);
}

sunup_status sunup__make_conv_weight_grad_turned(struct device *d, const struct node *n,
                                                 struct step *s)
{
    const struct turned t = of_conv(n);
    return make(d, s, &t);
}
