/* product_tiles.c - linear and matmul on tiles, which multiply bf16 and add in f32.
 *
 * Owes: the product where numerics are bf16, of rounded operands; and where they are fast as bf16x3, which is
 * about as near to f32 as Winograd's convolutions: each operand is a sum of two bf16 within 2^-17 of it, and of
 * their four products that of both second parts, 2^-16 of the whole at most, is left out. So a term errs by 2^-15
 * of itself at most; sums of 64 to 5270 normal numbers by 5 to 6e-6 of the largest, 4.5e-6 of the mean result,
 * beside 0.3 to 3e-6 and 0.1 to 1.3e-6 in f32. Inf may become NaN, denormals count as 0.
 *
 * Operands are written as words (product_words.h). A block of C grows in memory of its task, which stays in
 * the second cache, a chain of steps of the sum, and is stored when it is whole, past the caches where C is
 * large: tile loads wait for stores under way, and those of tiles that miss the caches are done one after the
 * other. A step has 256 words of all parts, so that a panel of B may stay in the first cache while the rows of
 * the block meet it, and the leaf asks for the next panel and for A's next step. Where each thread has two
 * blocks of 192 to 256 rows or more, a task packs A's rows for itself and takes them through all columns; then
 * the leaf asks for the rows of its next block.
 *
 * Of many small matrices, as in attention, a task packs both operands of one after the other.
 *
 * A long sum of a small C with a turned A, a weight gradient, reads more than it multiplies. It is cut into
 * chunks of terms, each with a partial C in the second cache, where steps of both operands are packed and used
 * at once; partial ones are added in order. Chunks follow from the shapes alone, so no bit depends on threads.
 * A small layer under training (sunup__product_halves) has two, so that only partial C change hands, and a weight
 * gradient whose B is small packs it in each task: a step of 784-128-10 with a batch of 64 takes 206 instead of 263 us
 * (Emerald Rapids with AMX, 2026-12-01, 2 threads, medians of 50 rounds in turn; part of it is slots that stay with
 * their thread and a cheaper draw of samples).
 *
 * Ceiling: 2 m n k flops at a third (bf16x3) of 2050 to 2350 GFLOP/s of the leaf (one core of a Xeon with AMX, Granite
 * Rapids class, 2026-11-30; f32 is 240 there), or all of it (bf16), and reading the operands.
 */
#include <string.h>

#include "base/system.h"
#include "device/cpu/conv_slots.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/product_tiles.h"

enum {
    DEPTH = 256, /* words of a step */
    ROWS = 256,  /* of a block at most, and its panels */
    ROWS_LEAST = 64, /* of a task on a chunk */
    ROWS_OWN = 192, /* of blocks whose tasks pack A */
    PANELS = 8,
    STREAM = 1 << 19,   /* elements of a C that goes past the caches */
    DIRECT = 1 << 17,   /* of one that is not made elsewhere first */
    CHUNKED = 1 << 18,  /* of one that a sum in chunks may have */
    CHUNK_TERMS = 1024, /* that make a partial C worth its adding, at least */
    CHUNKS_MOST = 16,
    SMALL_B = 1 << 14, /* words that each task packs rather than read what another core wrote */
    ADDED = 1 << 13 /* elements of all partial C that a task adds, about */
};

struct tiled {
    struct product p;
    int64_t parts, chunks;
};

struct run {
    struct words w;
    const float *bias;
    float *c;
    int64_t rows, panels; /* of a block */
    bool own;             /* a task packs its rows of A itself  */
    bool own_b;           /* and B, which is small              */
    bool matrices;        /* and B, of whole matrices           */
    bool streams;         /* C goes past the caches             */
    bool direct;          /* C is small, and made in one step where it belongs */
    int64_t tasks;
    int64_t chunks, rows_task, panels_task; /* a sum's; the part of a partial C that a task adds to */
    int64_t added;                          /* elements of C, whole rows, that a task makes of partial ones */
    uint32_t *a_words;
    float *scratch; /* blocks of C, of tasks or slots; partial C */
    struct conv_slots slots;
};

/* A block of C where it grows: rows from row on, panels from `first` on, of matrix s; and what it is made of. */
struct block {
    int64_t s, row, rows, first, end, columns;
    struct rows a;
    const float *next; /* rows of A that are packed afterwards, if they lie in one run, or NULL */
    float *c;
};

/* The step from word q on of panels [j, end), which begin at the same distance: the last of C only by itself, if it is
 * narrow. more: C goes on. */
static void multiply_panels(const struct run *r, const struct block *k, int64_t j, int64_t end, int64_t q, bool more)
{
    const struct words *w = &r->w;
    const struct product *p = w->p;
    const int64_t width = least(PANEL, p->n - j * PANEL), next = q + w->depth, words = step_words(w, q);
    if (j >= end) return;
    const float *ahead = NULL;
    if (k->next != NULL)
        ahead = k->next + q * k->rows * w->parts + (j - k->first) * PANEL * words;
    else if (!r->own && next < w->k2)
        ahead = (const float *)(const void *)a_at(w, &k->a, k->row, next);
    (w->parts > 1 ? w->leaves->panels_bf16x3 : w->leaves->panels_bf16)(
        &(struct gemm_f32){.m = k->rows,
                           .n = (end - j - 1) * PANEL + width,
                           .k = words,
                           .batch = 1,
                           .a = (const float *)(const void *)a_at(w, &k->a, k->row, q),
                           .a_row = w->pitch,
                           .a_col = 1,
                           .a_at = (const int64_t[]){0, words},
                           .b = (const float *)(const void *)b_at(w, p->b_step ? k->s : 0, j, q, width),
                           .b_row = panel_words(w) / PANEL,
                           .b_at = (const int64_t[]){0, words * width},
                           .c = k->c + (j - k->first) * PANEL,
                           .c_row = k->columns,
                           .accumulate = more,
                           .bias = r->bias && next >= w->k2 ? r->bias + j * PANEL : NULL,
                           .ahead = ahead});
}

static void multiply(const struct run *r, const struct block *k, int64_t q, bool more)
{
    const int64_t whole = least(k->end, r->w.p->n / PANEL);
    multiply_panels(r, k, k->first, whole, q, more);
    multiply_panels(r, k, whole, k->end, q, more);
}

static void store_block(const struct run *r, const struct block *k)
{
    const int64_t n = r->w.p->n;
    float *c = r->c + (k->s * r->w.p->m + k->row) * n + k->first * PANEL;
    for (int64_t i = 0; i < k->rows; i++) {
        const float *from = k->c + i * k->columns;
        if (r->streams)
            stream_run(r->w.leaves, k->columns, from, c + i * n);
        else
            memcpy(c + i * n, from, (size_t)k->columns * sizeof *c);
    }
}

/* All steps of a block that knows its rows, first panel, operand and memory. */
static void make_block(const struct run *r, struct block *k)
{
    const struct product *p = r->w.p;
    k->end = least(panels_of(p), k->first + r->panels);
    k->columns = least(p->n, k->end * PANEL) - k->first * PANEL;
    if (r->direct) {
        k->columns = p->n;
        k->c = r->c + (k->s * p->m + k->row) * p->n + k->first * PANEL;
        multiply(r, k, 0, false);
        return;
    }
    for (int64_t q = 0; q < r->w.k2; q += r->w.depth) multiply(r, k, q, q > 0);
    store_block(r, k);
}

static int64_t row_blocks(const struct run *r)
{
    return r->w.p->batch * ceil_div(r->w.p->m, r->rows);
}

static int64_t blocks(const struct run *r)
{
    return blocks_of(r->w.p, r->rows, r->panels);
}

static int64_t block_elements(const struct run *r)
{
    return r->rows * r->panels * PANEL;
}

static void blocks_task(void *arg, int64_t task)
{
    const struct run *r = arg;
    const int64_t across = ceil_div(panels_of(r->w.p), r->panels), down = ceil_div(r->w.p->m, r->rows), all = blocks(r);
    for (int64_t i = task * all / r->tasks; i < (task + 1) * all / r->tasks; i++) {
        struct block k = {.s = i / across / down,
                          .row = i / across % down * r->rows,
                          .rows = least(r->w.p->m - i / across % down * r->rows, r->rows),
                          .first = i % across * r->panels,
                          .c = r->scratch + task * block_elements(r)};
        k.a = matrix_of(&r->w, k.s, r->a_words);
        make_block(r, &k);
    }
}

static void pack_rows(const struct words *w, const struct rows *a)
{
    for (int64_t i = 0; i < sunup__words_a_pieces(w, a); i++) sunup__words_pack_a(w, a, i);
}

/* Where block i of `down` begins: they are as equal as whole panels let them be. */
static int64_t first_row(const struct product *p, int64_t i, int64_t down)
{
    return least(p->m, i * ceil_div(p->m, PANEL) / down * PANEL);
}

/* All columns of a block of rows; the rows of the next one, if it follows, are asked for in the first of them. */
static void rows_block(const struct run *r, int64_t i, bool follows, float *memory)
{
    const struct product *p = r->w.p;
    const int64_t down = ceil_div(p->m, r->rows), s = i / down, row = first_row(p, i % down, down);
    const struct rows a = {p->a_step ? s : 0, row, first_row(p, i % down + 1, down),
                           (uint32_t *)(void *)(memory + block_elements(r))};
    const bool run = follows && p->a_col == 1 && p->a_row == p->k && a.end < p->m;
    struct block k = {.s = s, .row = row, .rows = a.end - row, .a = a, .c = memory};
    if (run) k.next = r->w.a + a.s * p->a_step + a.end * p->a_row;
    pack_rows(&r->w, &a);
    for (; k.first < panels_of(p); k.first += r->panels, k.next = NULL) make_block(r, &k);
}

static int64_t own_words(const struct run *r)
{
    return block_elements(r) + rows_words(&r->w, r->rows);
}

/* Of one task, and a matrix of B. */
static int64_t matrix_words(const struct run *r)
{
    return own_words(r) + panels_of(r->w.p) * panel_words(&r->w);
}

static void pack_matrix(const struct words *w)
{
    for (int64_t i = 0; i < sunup__words_b_pieces(w); i++) sunup__words_pack_b(w, 0, i);
}

static void rows_task(void *arg, int64_t task)
{
    struct run *r = arg, mine = *r;
    const int64_t slot = conv_slot_take(&r->slots), all = row_blocks(r), end = (task + 1) * all / r->tasks;
    float *memory = r->scratch + slot * (r->own_b ? matrix_words(r) : own_words(r));
    if (r->own_b) {
        mine.w.b_words = (uint32_t *)(void *)(memory + own_words(r));
        pack_matrix(&mine.w);
    }
    for (int64_t i = task * all / r->tasks; i < end; i++) rows_block(&mine, i, i + 1 < end, memory);
    conv_slot_give(&r->slots, slot);
}

/* ---- small matrices ---- */

/* Whole matrices, of which both operands are packed right here. */
static void matrices_task(void *arg, int64_t task)
{
    struct run *r = arg;
    const int64_t slot = conv_slot_take(&r->slots), all = r->w.p->batch;
    struct product p = *r->w.p;
    struct run one = *r;
    float *memory = r->scratch + slot * matrix_words(r);
    p.batch = 1;
    one.w.p = &p;
    one.w.b_words = (uint32_t *)(void *)(memory + own_words(r));
    for (int64_t s = task * all / r->tasks; s < (task + 1) * all / r->tasks; s++) {
        one.w.a = r->w.a + s * p.a_step;
        one.w.b = r->w.b + s * p.b_step;
        one.c = r->c + s * p.m * p.n;
        pack_matrix(&one.w);
        for (int64_t i = 0; i < row_blocks(&one); i++) rows_block(&one, i, false, memory);
    }
    conv_slot_give(&r->slots, slot);
}

/* ---- long sums in chunks ---- */

static int64_t first_term(const struct run *r, int64_t chunk)
{
    const int64_t k = r->w.p->k;
    return chunk < r->chunks ? chunk * k / r->chunks / CHUNK * CHUNK : k;
}

/* Both operands of a step. */
static int64_t step_memory(const struct run *r)
{
    return panels_of(r->w.p) * r->w.depth * r->w.parts * PANEL + ROWS * r->w.pitch;
}

/* Terms [k, k + p->k) of rows [row, end) of a partial C, whose columns are p's; more: it goes on. */
static void add_step(const struct run *r, const struct product *p, int64_t k, int64_t row, int64_t end, bool more,
                     float *c, uint32_t *memory)
{
    struct run step = *r;
    step.bias = NULL;
    step.w = sunup__words_of(p, r->w.leaves, r->w.parts, DEPTH);
    step.w.a = r->w.a + k * p->a_col;
    step.w.b = r->w.b + k * p->b_row;
    step.w.b_words = memory;
    pack_matrix(&step.w);
    for (; row < end; row += ROWS) {
        const struct rows a = {0, row, least(end, row + ROWS), memory + b_words(&step.w)};
        pack_rows(&step.w, &a);
        multiply(&step,
                 &(struct block){.row = row,
                                 .rows = a.end - row,
                                 .end = panels_of(p),
                                 .columns = r->w.p->n,
                                 .a = a,
                                 .c = c + row * r->w.p->n},
                 0, more);
    }
}

/* Tasks on each chunk. */
static int64_t chunk_tasks(const struct run *r)
{
    return ceil_div(r->w.p->m, r->rows_task) * ceil_div(panels_of(r->w.p), r->panels_task);
}

static void chunk_task(void *arg, int64_t i)
{
    struct run *r = arg;
    struct run part = *r;
    struct product p = *r->w.p;
    const int64_t tasks = chunk_tasks(r), across = ceil_div(panels_of(&p), r->panels_task), chunk = i / tasks,
                  row = i % tasks / across * r->rows_task, column = i % across * r->panels_task * PANEL,
                  slot = conv_slot_take(&r->slots);
    const int64_t first = first_term(r, chunk), last = first_term(r, chunk + 1);
    p.n = least(p.n - column, r->panels_task * PANEL);
    part.w.b += column * p.b_col;
    for (int64_t k = first; k < last; k += p.k) {
        p.k = least(2 * r->w.depth, last - k);
        add_step(&part, &p, k, row, least(p.m, row + r->rows_task), k > first,
                 r->scratch + chunk * p.m * r->w.p->n + column, r->a_words + slot * step_memory(r));
    }
    conv_slot_give(&r->slots, slot);
}

static void add_chunks(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct leaves_f32 *leaves = r->w.leaves;
    const int64_t n = r->w.p->n, all = r->w.p->m * n, at = i * r->added, some = least(r->added, all - at);
    const float *part = r->scratch + at;
    float *c = r->c + at;
    leaves->pointwise(PW_add, some, c, part, part + all, NULL, NULL);
    for (int64_t k = 2; k < r->chunks; k++) leaves->add_to(some, part + k * all, c);
    for (int64_t row = 0; r->bias && row < some; row += n) leaves->add_to(n, r->bias, c + row);
}

/* ---- cutting ---- */

static int64_t chunks(const struct product *p)
{
    if (p->a_col == 1 && p->b_col == 1 && p->batch == 1 && sunup__product_halves(p)) return 2;
    if (p->batch > 1 || p->a_col == 1 || p->b_col != 1 || p->m * p->n > CHUNKED) return 1;
    return most(1, least(CHUNKS_MOST, p->k / CHUNK_TERMS));
}

/* Equal blocks of rows, two or more for each thread, if they are high enough and A's rows of one stay in the second
 * cache; or smaller ones of fewer columns. */
static void choose_blocks(struct run *r, int threads)
{
    const struct product *p = r->w.p;
    const int64_t equal = round_up(ceil_div(p->m, ROWS), threads);
    r->rows = round_up(ceil_div(p->m, equal), PANEL);
    r->panels = PANELS;
    r->own = equal >= 2 * (int64_t)threads && r->rows >= ROWS_OWN &&
             2 * rows_words(&r->w, r->rows) * (int64_t)sizeof(uint32_t) <= sunup__cache_bytes(2);
    r->own_b = r->own && p->batch == 1 && p->a_col != 1 && b_words(&r->w) <= SMALL_B;
    if (r->own) return;
    r->rows = ROWS;
    sunup__words_share(p, threads, &r->rows, &r->panels);
}

/* Whether matrices are small enough for the second cache, and enough for all threads. */
static bool choose_matrices(struct run *r, int threads)
{
    const struct product *p = r->w.p;
    r->rows = round_up(ceil_div(p->m, ceil_div(p->m, ROWS)), PANEL);
    r->panels = PANELS;
    r->own = p->b_step != 0 && p->batch >= TASKS_PER_THREAD * (int64_t)threads &&
             2 * matrix_words(r) * (int64_t)sizeof(uint32_t) <= sunup__cache_bytes(2);
    return r->own;
}

/* What a task does of a chunk: all columns, and all rows, or so many that each thread has two tasks; of the two chunks
 * of a small layer all rows, and all columns, or so many that each thread has a task. */
static void cut_chunks(struct run *r, int threads)
{
    const struct product *p = r->w.p;
    const bool halves = p->a_col == 1;
    r->rows_task = p->m;
    r->panels_task = panels_of(p);
    while (halves && r->panels_task > 1 && r->chunks * chunk_tasks(r) < threads)
        r->panels_task = ceil_div(r->panels_task, 2);
    while (!halves && r->rows_task > ROWS_LEAST && r->chunks * chunk_tasks(r) < 2 * (int64_t)threads)
        r->rows_task = round_up(ceil_div(r->rows_task, 2), PANEL);
    r->added = most(1, least(ADDED / p->n, ceil_div(p->m, threads))) * p->n;
}

static struct run cut(const struct tiled *t, const struct device *d)
{
    const struct product *p = &t->p;
    struct run r = {.w = sunup__words_of(p, &d->kernels->f32, t->parts, DEPTH),
                    .chunks = t->chunks,
                    .streams = p->batch * p->m * p->n >= STREAM,
                    .slots = {.n = conv_slots_count(d->threads)}};
    r.direct = r.w.k2 <= r.w.depth && p->batch * p->m * p->n < DIRECT;
    if (r.chunks > 1) {
        cut_chunks(&r, d->threads);
        return r;
    }
    r.matrices = choose_matrices(&r, d->threads);
    if (r.matrices) {
        r.tasks = least(p->batch, (int64_t)TASKS_PER_THREAD * d->threads);
        return r;
    }
    choose_blocks(&r, d->threads);
    r.tasks = least(r.own ? row_blocks(&r) : blocks(&r), (r.own_b ? 1 : (int64_t)TASKS_PER_THREAD) * d->threads);
    return r;
}

/* Words of A, and of them and blocks of C or partial ones. */
static int64_t a_memory(const struct run *r)
{
    const struct product *p = r->w.p;
    if (r->chunks > 1) return r->slots.n * step_memory(r);
    if (r->matrices) return 0;
    return r->own ? 0 : matrices(p, p->a_step) * rows_words(&r->w, p->m);
}

static int64_t memory(const struct run *r)
{
    const int64_t partial = r->chunks * r->w.p->m * r->w.p->n, blocks = r->tasks * block_elements(r);
    if (r->chunks > 1) return a_memory(r) + partial;
    if (r->matrices || r->own_b) return r->slots.n * matrix_words(r);
    return a_memory(r) + (r->own ? r->slots.n * own_words(r) : blocks);
}

/* Whether B is packed before the tasks. */
static bool packs_first(const struct run *r)
{
    return r->chunks == 1 && !r->matrices && !r->own_b;
}

static struct run run_of(const struct step *s)
{
    struct run r = cut(s->data, s->device);
    r.w.a = s->in[0];
    r.w.b = s->in[1];
    r.w.b_words = prepared_weights(s);
    r.bias = s->node->n_in > 2 ? s->in[2] : NULL;
    r.c = s->out[0];
    r.a_words = (uint32_t *)s->workspace + (s->prepared != NULL || !packs_first(&r) ? 0 : b_words(&r.w));
    r.scratch = (float *)(void *)(r.a_words + a_memory(&r));
    return r;
}

static void prepare(const struct step *s)
{
    const struct run r = run_of(s);
    sunup__words_pack(&r.w, NULL, true, s->device->threads);
}

/* What does not stay is packed at once. */
static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct run r = run_of(s);
    const struct product *p = r.w.p;
    const int threads = s->device->threads;
    if (r.chunks > 1) {
        sunup__parallel(threads, r.chunks * chunk_tasks(&r), chunk_task, &r);
        sunup__parallel(threads, ceil_div(p->m * p->n, r.added), add_chunks, &r);
        return SUNUP_OK;
    }
    if (r.matrices) {
        sunup__parallel(threads, r.tasks, matrices_task, &r);
        return SUNUP_OK;
    }
    sunup__words_pack(&r.w, r.own ? NULL : r.a_words, s->prepared == NULL && !r.own_b, threads);
    sunup__parallel(threads, r.tasks, r.own ? rows_task : blocks_task, &r);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

sunup_status sunup__make_product_tiles(struct device *d, const struct node *n, struct step *s, int64_t parts)
{
    struct tiled *t = sunup__alloc(sizeof *t);
    CHECK(t != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *t = (struct tiled){.p = sunup__product_of(n), .parts = parts};
    t->chunks = chunks(&t->p);
    s->data = t;
    s->run = run;
    s->end = end;
    const struct run r = cut(t, d);
    s->workspace_bytes = memory(&r) * (int64_t)sizeof(uint32_t);
    if (packs_first(&r)) ask_prepared(s, 1, b_words(&r.w) * (int64_t)sizeof(uint32_t), prepare);
    return SUNUP_OK;
}

bool sunup__product_bf16x3_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_FAST || !d->kernels->tiles_bf16 ||
        n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    const struct product p = sunup__product_of(n);
    return sunup__words_pay(&p, 2);
}

sunup_status sunup__make_product_bf16x3(struct device *d, const struct node *n, struct step *s)
{
    return sunup__make_product_tiles(d, n, s, 2);
}
