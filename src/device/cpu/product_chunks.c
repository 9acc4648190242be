/* product_chunks.c - a few rows times a large matrix from memory, read as one run.
 *
 * Owes: linear or matmul of up to 24 rows and a plain B of 16 MB and more, if the numerics allow
 * the terms of a sum to be added in another order. Memory gives its full rate only to runs as long as
 * can be: two threads that each read half of every row got 34 GB/s where halves of B got 57 (rows of
 * 200, Zen 5), but a sum that is one chain leaves no other way to share B. So k is cut into chunks,
 * each with a partial C, added in order at the end. Their number follows from m and k alone, and
 * within a chunk an element is one chain: no bit depends on threads.
 *
 * A chunk goes in blocks of whole rows of B, used where they are. Each call of the leaf brings a
 * stretch of the next block to the caches, line by line in order, by the leaf's own asking: it asks
 * for a line each step of each tile, and a call has two lines of B a step; with a single tile half
 * of the stretch is fetched before the call. A's part of the block is copied: its rows, k apart,
 * may meet in one set of the first level.
 *
 * A B that stays from run to run is packed to panels once, if threads can share those: a panel is one
 * run of memory, too, and its partial sums need not leave the first level.
 *
 * Ceiling: one reading of B. On Zen 5 one row of 4096 x 4096 runs at 80 to 105 % of a copy's rate,
 * 1.2 to 1.9 times product_brgemm.c; 20 rows of 77360 x 200 at 60 to 70 %, 1.7 to 2.6 times. A B
 * that a close third level holds gains nothing from long runs, and loses nothing. With a far one
 * (Xeon with AMX, 2026-11-30, 2 threads) 4 and 20 rows of 200 columns run 1.65 and 1.9 times as fast, 8 and 24 of 1024
 * 2.4 and 3 times, 2 to 16 of 4096 1.1 to 1.3; one row 1.3 times with 200 columns, but 0.9 with 1030 and 4096.
 */
#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/product.h"

#include <string.h>

enum {
    ROWS_MOST = 24, /* from there on products bound */
    FEWEST_COLUMNS = 128,
    MOST_COLUMNS = 8192,      /* blocks of eight rows, two of them in half of 1 MB */
    MOST_COLUMNS_FAR = 512,   /* beside one row, with a far third level */
    LEAST_ELEMENTS = 4 << 20, /* of B: from memory */
    CHUNKS_MOST = 32,         /* cores that take all a memory gives */
    CHUNKS_LEAST = 8,
    ROWS_PER_C = 16, /* of a chunk, for each row of C: the partial ones are a small part of B */
    BLOCK = 1 << 16, /* elements of a block of B */
    DEEPEST = 32,    /* its rows */
    PANELS_LEAST = 16, /* of a B that is packed, for each thread */
    PACK_ROWS = 64,
    ADD_ELEMENTS = 2048
};

struct chunks {
    struct product p;
    int64_t n, rows; /* chunks; rows of B in one, but for the last */
    int64_t depth;
    int64_t panels; /* of a packed B, [panel][k][PANEL]; else 0 */
};

struct run {
    const struct chunks *t;
    const struct leaves_f32 *leaves;
    const float *a, *b, *bias;
    float *c, *partial; /* of a packed B: A's rows further apart, in prepare the panels */
};

/* ---- products ---- */

/* A's columns [p0, p0 + n), and the same of the next block fetched. */
static void copy_a(const struct run *r, int64_t p0, int64_t n, float *to)
{
    const struct product *p = &r->t->p;
    const float *from = r->a + p0 * p->a_col;
    for (int64_t i = 0; i < p->m; i++, from += p->a_row, to += r->t->depth) {
        for (int64_t s = 0; s < n; s++) to[s] = from[s * p->a_col];
        __builtin_prefetch(from + n * p->a_col);
        __builtin_prefetch(from + (2 * n - 1) * p->a_col);
    }
}

/* The next block's share of a call; a single tile leaves half of it to be fetched here. */
static void ask(struct ahead *next, struct gemm_f32 *g)
{
    enum { ONE_TILE = 14 };
    if (g->m <= ONE_TILE) {
        const int64_t half = least(g->k * LINE, next->n[0]);
        for (int64_t i = 0; i < half; i += LINE) __builtin_prefetch(next->x[0] + i, 0, 2);
        next->x[0] += half;
        next->n[0] -= half;
    }
    ask_ahead(next, g);
}

/* Rows [p0, p0 + n) of B; what follows is asked for even if it is another chunk's: often this
 * thread's next one. */
static void run_block(const struct run *r, int64_t p0, int64_t n, struct gemm_f32 *g, float *c)
{
    const struct product *p = &r->t->p;
    const float *b = r->b + p0 * p->n;
    struct ahead next = {{b + n * p->n}, {least(r->t->depth, p->k - p0 - n) * p->n}};
    g->k = n;
    for (int64_t j = 0; j < p->n; j += PANEL) {
        g->n = least(PANEL, p->n - j);
        g->b = b + j;
        g->c = c + j;
        ask(&next, g);
        r->leaves->gemm(g);
    }
}

static void run_chunk(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct chunks *t = r->t;
    const struct product *p = &t->p;
    const int64_t from = i * t->rows, to = least(p->k, from + t->rows);
    float *c = i == 0 ? r->c : r->partial + (i - 1) * p->m * p->n;
    _Alignas(64) float a[ROWS_MOST * DEEPEST];
    struct gemm_f32 g = {
        .m = p->m, .batch = 1, .a = a, .a_row = t->depth, .a_col = 1, .b_row = p->n, .c_row = p->n};
    for (int64_t p0 = from; p0 < to; p0 += t->depth) {
        const int64_t n = least(t->depth, to - p0);
        copy_a(r, p0, n, a);
        g.accumulate = p0 > from;
        run_block(r, p0, n, &g, c);
    }
}

/* To the first chunk's sums, which lie in C. */
static void add_up(void *arg, int64_t part)
{
    const struct run *r = arg;
    const struct product *p = &r->t->p;
    const int64_t n = p->m * p->n, from = part * ADD_ELEMENTS, to = least(n, from + ADD_ELEMENTS);
    for (int64_t k = 0; k < r->t->n - 1; k++)
        r->leaves->add_to(to - from, r->partial + k * n + from, r->c + from);
    if (!r->bias) return;
    for (int64_t i = from, j = from % p->n; i < to; i++, j = j + 1 < p->n ? j + 1 : 0)
        r->c[i] += r->bias[j];
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct chunks *t = s->data;
    struct run r = {t,
                    &s->device->kernels->f32,
                    s->in[0],
                    s->in[1],
                    s->node->n_in > 2 ? s->in[2] : NULL,
                    s->out[0],
                    s->workspace};
    sunup__parallel(s->device->threads, t->n, run_chunk, &r);
    sunup__parallel(s->device->threads, ceil_div(t->p.m * t->p.n, ADD_ELEMENTS), add_up, &r);
    return SUNUP_OK;
}

/* ---- packed ---- */

/* Rows of A apart by an odd number of lines. */
static int64_t a_pitch(const struct product *p)
{
    return round_up(p->k, 2 * LINE) + LINE;
}

static void pack_rows(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = &r->t->p;
    for (int64_t row = i * PACK_ROWS; row < least(p->k, (i + 1) * PACK_ROWS); row++) {
        float *to = r->partial + row * PANEL;
        for (int64_t j = 0; j < p->n; j += PANEL, to += p->k * PANEL)
            memcpy(to, r->b + row * p->n + j, (size_t)least(PANEL, p->n - j) * sizeof(float));
    }
}

static void prepare(const struct step *s)
{
    const struct chunks *t = s->data;
    struct run r = {.t = t, .b = s->in[1], .partial = prepared_weights(s)};
    sunup__parallel(s->device->threads, ceil_div(t->p.k, PACK_ROWS), pack_rows, &r);
}

static void copy_row_of_a(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = &r->t->p;
    const float *from = r->a + i * p->a_row;
    for (int64_t s = 0; s < p->k; s++) r->partial[i * a_pitch(p) + s] = from[s * p->a_col];
}

/* A panel of C: its chunks one after the other, each added to those before. */
static void run_panel(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct chunks *t = r->t;
    const struct product *p = &t->p;
    _Alignas(64) float sum[ROWS_MOST * PANEL], one[ROWS_MOST * PANEL];
    const int64_t width = least(PANEL, p->n - i * PANEL);
    struct gemm_f32 g = {.m = p->m,
                         .n = width,
                         .batch = 1,
                         .a_row = a_pitch(p),
                         .a_col = 1,
                         .b_row = PANEL,
                         .c_row = width};
    for (int64_t from = 0; from < p->k; from += g.k) {
        g.k = least(t->rows, p->k - from);
        g.a = r->partial + from;
        g.b = r->b + (i * p->k + from) * PANEL;
        g.c = from == 0 ? sum : one;
        struct ahead next = {{g.b + g.k * PANEL}, {g.k * PANEL}};
        ask_ahead(&next, &g);
        r->leaves->gemm(&g);
        if (from > 0) r->leaves->add_to(p->m * width, one, sum);
    }
    for (int64_t row = 0; row < p->m; row++) {
        float *c = r->c + row * p->n + i * PANEL;
        memcpy(c, sum + row * width, (size_t)width * sizeof *c);
        for (int64_t j = 0; r->bias && j < width; j++) c[j] += r->bias[i * PANEL + j];
    }
}

static sunup_status run_panels(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct chunks *t = s->data;
    struct run r = {t,
                    &s->device->kernels->f32,
                    s->in[0],
                    have_prepared(s),
                    s->node->n_in > 2 ? s->in[2] : NULL,
                    s->out[0],
                    s->workspace};
    sunup__parallel(s->device->threads, t->p.m, copy_row_of_a, &r);
    sunup__parallel(s->device->threads, t->panels, run_panel, &r);
    return SUNUP_OK;
}

/* ---- making ---- */

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

int64_t sunup__product_chunk_rows(const struct product *p)
{
    enum { FEWEST = 128 };
    const int64_t least_rows = p->m * ROWS_PER_C < FEWEST ? FEWEST : p->m * ROWS_PER_C;
    const int64_t chunks = least(CHUNKS_MOST, p->k / least_rows);
    return chunks > 0 ? ceil_div(p->k, chunks) : p->k;
}

bool sunup__product_chunks_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT || n->out[0]->dtype != SUNUP_F32) return false;
    const struct product p = sunup__product_of(n);
    if (p.m == 1 && p.n > MOST_COLUMNS_FAR && sunup__level3_far()) return false;
    return p.batch == 1 && p.m > 0 && p.m <= ROWS_MOST && p.b_col == 1 && p.n >= FEWEST_COLUMNS &&
           p.n <= MOST_COLUMNS && p.k * p.n >= LEAST_ELEMENTS &&
           ceil_div(p.k, sunup__product_chunk_rows(&p)) >= CHUNKS_LEAST;
}

/* Few rows have next to no work that would cover a burst of requests: their blocks are smaller. */
static int64_t depth(const struct product *p)
{
    enum { FEW_ROWS = 4, SHALLOW = 8 };
    const int64_t block = p->m <= FEW_ROWS ? BLOCK / 2 : BLOCK;
    const int64_t deep = least(DEEPEST, block / p->n / SHALLOW * SHALLOW);
    return deep < SHALLOW ? SHALLOW : deep;
}

sunup_status sunup__make_product_chunks(struct device *d, const struct node *n, struct step *s)
{
    struct chunks *t = sunup__alloc(sizeof *t);
    CHECK(t != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *t = (struct chunks){.p = sunup__product_of(n)};
    t->rows = sunup__product_chunk_rows(&t->p);
    t->n = ceil_div(t->p.k, t->rows);
    t->depth = depth(&t->p);
    s->data = t;
    s->end = end;
    const int64_t panels = ceil_div(t->p.n, PANEL);
    if (operand_stays(s, 1) && panels >= PANELS_LEAST * d->threads) {
        t->panels = panels;
        s->run = run_panels;
        s->workspace_bytes = t->p.m * a_pitch(&t->p) * (int64_t)sizeof(float);
        ask_prepared(s, 1, panels * t->p.k * PANEL * (int64_t)sizeof(float), prepare);
        return SUNUP_OK;
    }
    s->run = run;
    s->workspace_bytes = (t->n - 1) * t->p.m * t->p.n * (int64_t)sizeof(float);
    return SUNUP_OK;
}
