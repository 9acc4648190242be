/* product_bf16.c - linear and matmul with operands rounded to bf16, sums in f32.
 *
 * Owes: the product where numerics are bf16. Both operands are first written as words of two bf16
 * along the sum (leaves.def), ends of sums filled with zeros to whole tiles of 16: A in rows,
 * `depth` words of each beside those of the next, an odd number of cache lines apart, since tiles
 * load 16 rows at once and rows a power of two apart meet in few sets of the first cache; B in
 * panels of 32 columns. What comes turned is turned in pieces that stay in the first cache; but
 * without tiles, which broadcast words of A wherever they lie, a turned A is left in strips of 112
 * rows, [words][112]: 7 lines, whose multiples meet all sets, and 8 tiles of the leaf. Then
 * blocks of C, each a chain of calls of the leaf over steps of the sum that go on in C's own value,
 * so no bit depends on threads.
 *
 * With tiles a block of a large C grows in memory of its task, which stays in the second cache, and is
 * stored when its sums are whole, past the caches where C is large: tile loads wait for stores under
 * way, and those of tiles that miss the caches are done one after the other. A step has 256 words,
 * so that a panel of B may stay in the first cache while the rows of the block meet it, and the leaf
 * asks for the next panel and for A's next step. Two threads of a Xeon with AMX (Granite Rapids
 * class, 2026-11-30), ms within a step of Uno: m1000n1000k512 with A turned 1.50 -> 0.90,
 * m3000n1000k512 3.6 -> 2.3, m5270n1000k1024 8.8 -> 7.5; linear m1024n1000k1000 2.0 -> 1.7,
 * m1024n1000k5270 11.6 -> 9.6. Threads that pack their own parts right before use, without an array
 * that all share, were faster for sums of 512 terms and slower for longer: one operand is packed
 * twice, at 7 GB/s a thread. Nothing gained: packing B term by term as it lies, rows of A asked for
 * ahead.
 *
 * Ceiling: 2 m n k flops at twice the rate of f32 (Zen 4 and 5), eight times with tiles (Sapphire
 * Rapids); packing reads 4 and writes 2 bytes an element at the speed of memory, a tenth of the time
 * of 1024 x 1000 x 5270 on Zen 5, where the rest runs at 90 % of the leaf's rate; so what has few
 * rows or columns is left to f32. Blocks of all columns that pack their own rows of A gained 1-3 %
 * there, 0 on products with 256 columns, and lost where A comes turned. A block of 256 x 256 reads
 * 2 x 512 KB from the third level for a step of 134 Mflop, and C goes up and down once a step: on
 * Sapphire Rapids (2 MB of second cache) half the depth costs 5-20 %, half the rows as much again.
 * Where the second cache is 1 MB (Zen 4) blocks have half the rows and columns, so that both
 * operands of a step take half of it on either.
 */
#include <string.h>

#include "base/system.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/product.h"

enum {
    DEPTH = 512, /* words of a step, at most */
    DEPTH_TILES = 256,
    ROWS = 256, /* of a block, and its panels: most and least */
    ROWS_LEAST = 64,
    PANELS = 8,
    PANELS_LEAST = 2,
    ITEMS_PER_THREAD = 3,
    TASKS_PER_THREAD = 4, /* each with a block of C of its own */
    SMALL = 1 << 17,      /* elements of a C whose tiles are stored where they belong: the second cache holds them */
    STREAM = 1 << 19,     /* the same of one that goes past the caches */
    ROWS_FEWEST = 32,     /* rather than a thread without a block */
    CHUNK = 64,
    CHUNK_WORDS = CHUNK / 2, /* terms of the sum that are packed at once */
    WIDE = 128,              /* rows of a turned A at once */
    STRIP = 112
};

struct run {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *a, *b, *bias;
    float *c;
    uint32_t *a_words, *b_words;
    int64_t k2, depth;    /* words of a sum, whole tiles; of a step */
    int64_t used;         /* words of a sum that are multiplied: without tiles not their zeros */
    int64_t pitch;        /* from one row of A to the next */
    int64_t rows, panels; /* of a block */
    int64_t strip;        /* rows of A that lie in a strip; 0: each by itself */
    float *scratch;       /* a block of C for each task */
    int64_t tasks;        /* of all blocks, in order */
    bool streams;         /* C goes past the caches */
    int64_t a_items;      /* of packing A; 0 while B alone is packed */
};

/* Words of a sum. */
static int64_t words(const struct product *p)
{
    return round_up(ceil_div(p->k, 2), LINE);
}

/* Words of a step: equal ones, in whole chunks. A short last one would load C for little. */
static int64_t depth(const struct product *p, bool tiles)
{
    const int64_t most = tiles ? DEPTH_TILES : DEPTH;
    return round_up(ceil_div(words(p), ceil_div(words(p), most)), CHUNK_WORDS);
}

static int64_t pitch(const struct product *p)
{
    const int64_t row = least(words(p), p->depth);
    return row / LINE % 2 == 0 ? row + LINE : row;
}

/* Matrices of an operand: one that is shared by all of C is packed once. */
static int64_t matrices(const struct product *p, int64_t step)
{
    return step != 0 ? p->batch : 1;
}

static int64_t panels(const struct product *p)
{
    return ceil_div(p->n, PANEL);
}

static int64_t a_matrix(const struct product *p)
{
    return p->m * ceil_div(words(p), p->depth) * pitch(p);
}

/* Word q of row i of a matrix of A, the first of its strip. */
static uint32_t *a_at(const struct run *r, int64_t s, int64_t i, int64_t q)
{
    uint32_t *matrix = r->a_words + s * a_matrix(r->p);
    if (r->strip > 0) return matrix + i * r->k2 + q * least(r->strip, r->p->m - i);
    return matrix + (q / r->depth * r->p->m + i) * r->pitch + q % r->depth;
}

static uint32_t *b_at(const struct run *r, int64_t s, int64_t panel, int64_t q, int64_t width)
{
    return r->b_words + (s * panels(r->p) + panel) * r->k2 * PANEL + q * width;
}

static void zero(uint32_t *words, int64_t n)
{
    memset(words, 0, (size_t)n * sizeof *words);
}

/* Words of the chunk of terms from k on, with zeros up to whole tiles. */
static int64_t chunk_words(const struct run *r, int64_t k)
{
    return least(CHUNK_WORDS, r->k2 - k / 2);
}

/* Asks for a piece of rows x wide floats, which is too narrow for the processor to see a stream. */
static void ask(const float *x, int64_t rows, int64_t row, int64_t wide)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < wide; j += LINE) __builtin_prefetch(x + i * row + j, 0, 2);
    }
}

/* LINE rows of A where the terms of a row are neighbours. */
static void pack_a_rows(const struct run *r, int64_t s, int64_t from)
{
    const struct product *p = r->p;
    for (int64_t q = 0; q < r->k2; q += r->depth) {
        const int64_t left = p->k - 2 * q, n = least(2 * r->depth, left);
        for (int64_t i = from; i < least(p->m, from + LINE); i++) {
            uint32_t *to = a_at(r, s, i, q);
            r->leaves->bf16_words(n, r->a + s * p->a_step + i * p->a_row + 2 * q, to, NULL);
            zero(to + ceil_div(n, 2), least(r->depth, r->k2 - q) - ceil_div(n, 2));
        }
    }
}

/* A chunk of terms where the rows of a term are neighbours. */
static void pack_a_turned(const struct run *r, int64_t s, int64_t k)
{
    const struct product *p = r->p;
    const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(r, k);
    const int64_t most_wide = r->strip > 0 ? r->strip : WIDE;
    _Alignas(64) uint32_t piece[CHUNK_WORDS * WIDE];
    for (int64_t i = 0; i < p->m; i += most_wide) {
        const int64_t wide = least(most_wide, p->m - i);
        const float *from = r->a + s * p->a_step + k * p->a_col + i;
        uint32_t *rows = a_at(r, s, i, k / 2), *to = r->strip > 0 ? rows : piece;
        ask(from + wide, n, p->a_col, least(wide, p->m - i - wide));
        r->leaves->bf16_rows(n, wide, from, p->a_col, to, NULL);
        zero(to + ceil_div(n, 2) * wide, (n2 - ceil_div(n, 2)) * wide);
        if (r->strip == 0)
            r->leaves->transpose(n2, wide, (const float *)(const void *)piece, wide,
                                 (float *)(void *)rows, r->pitch);
    }
}

/* A chunk of terms of all panels of B where the columns of a term are neighbours. */
static void pack_b_rows(const struct run *r, int64_t s, int64_t k)
{
    const struct product *p = r->p;
    const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(r, k);
    for (int64_t j = 0; j < p->n; j += PANEL) {
        const int64_t width = least(PANEL, p->n - j);
        const float *from = r->b + s * p->b_step + k * p->b_row + j;
        uint32_t *to = b_at(r, s, j / PANEL, k / 2, width);
        ask(from + PANEL, n, p->b_row, least(PANEL, p->n - j - PANEL));
        r->leaves->bf16_rows(n, width, from, p->b_row, to, NULL);
        zero(to + ceil_div(n, 2) * width, (n2 - ceil_div(n, 2)) * width);
    }
}

/* A panel of B where the terms of a column are neighbours. */
static void pack_b_turned(const struct run *r, int64_t s, int64_t panel)
{
    const struct product *p = r->p;
    const int64_t j = panel * PANEL, width = least(PANEL, p->n - j);
    _Alignas(64) uint32_t piece[PANEL * CHUNK_WORDS];
    for (int64_t k = 0; k < p->k; k += CHUNK) {
        const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(r, k);
        for (int64_t c = 0; c < width; c++) {
            uint32_t *column = piece + c * CHUNK_WORDS;
            r->leaves->bf16_words(n, r->b + s * p->b_step + (j + c) * p->b_col + k, column, NULL);
            zero(column + ceil_div(n, 2), n2 - ceil_div(n, 2));
        }
        r->leaves->transpose(width, n2, (const float *)(const void *)piece, CHUNK_WORDS,
                             (float *)(void *)b_at(r, s, panel, k / 2, width), width);
    }
}

/* Pieces of work of packing one matrix of A, or of B. */
static int64_t a_pieces(const struct product *p)
{
    return p->a_col == 1 ? ceil_div(p->m, LINE) : ceil_div(p->k, CHUNK);
}

static int64_t b_pieces(const struct product *p)
{
    return p->b_col == 1 ? ceil_div(p->k, CHUNK) : panels(p);
}

static void pack(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    if (i < r->a_items) {
        const int64_t s = i / a_pieces(p), piece = i % a_pieces(p);
        if (p->a_col == 1)
            pack_a_rows(r, s, piece * LINE);
        else
            pack_a_turned(r, s, piece * CHUNK);
        return;
    }
    const int64_t s = (i - r->a_items) / b_pieces(p), piece = (i - r->a_items) % b_pieces(p);
    if (p->b_col == 1)
        pack_b_rows(r, s, piece * CHUNK);
    else
        pack_b_turned(r, s, piece);
}

/* Rows [row, row + rows) of C, a whole strip if there are any; panel j, the step from word q on. The
 * next panel is asked for. */
static void multiply(const struct run *r, int64_t s, int64_t row, int64_t rows, int64_t j,
                     int64_t q)
{
    const struct product *p = r->p;
    const int64_t width = least(PANEL, p->n - j * PANEL), k = least(r->depth, r->used - q);
    const uint32_t *a = a_at(r, p->a_step ? s : 0, row, q),
                   *b = b_at(r, p->b_step ? s : 0, j, q, width), *next = NULL;
    if (j + 1 < panels(p))
        next = b_at(r, p->b_step ? s : 0, j + 1, q, least(PANEL, p->n - (j + 1) * PANEL));
    r->leaves->gemm_bf16(
        &(struct gemm_f32){.m = rows,
                           .n = width,
                           .k = k,
                           .batch = 1,
                           .a = (const float *)(const void *)a,
                           .a_row = r->strip > 0 ? 1 : r->pitch,
                           .a_col = r->strip > 0 ? rows : 1,
                           .b = (const float *)(const void *)b,
                           .b_row = width,
                           .c = r->c + (s * p->m + row) * p->n + j * PANEL,
                           .c_row = p->n,
                           .accumulate = q > 0,
                           .bias = r->bias && q + r->depth >= r->k2 ? r->bias + j * PANEL : NULL,
                           .ahead = (const float *)(const void *)next,
                           .ahead_row = k * PANEL / rows,
                           .ahead_step = LINE});
}

static void block(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t across = ceil_div(panels(p), r->panels), down = ceil_div(p->m, r->rows);
    const int64_t s = i / across / down, first = i % across * r->panels,
                  row = i / across % down * r->rows, end = least(p->m, row + r->rows),
                  rows = r->strip > 0 ? r->strip : r->rows;
    for (int64_t q = 0; q < r->k2; q += r->depth) {
        for (int64_t j = first; j < least(panels(p), first + r->panels); j++) {
            for (int64_t at = row; at < end; at += rows)
                multiply(r, s, at, least(rows, end - at), j, q);
        }
    }
}

static bool grows_apart(const struct product *p, const struct device *d)
{
    return d->kernels->tiles_bf16 && p->m * p->n > SMALL;
}

static int64_t blocks(const struct run *r)
{
    return r->p->batch * ceil_div(r->p->m, r->rows) * ceil_div(panels(r->p), r->panels);
}

static int64_t block_elements(const struct run *r)
{
    return r->rows * r->panels * PANEL;
}

static int64_t tasks(const struct run *r, int threads)
{
    return least(blocks(r), (int64_t)TASKS_PER_THREAD * threads);
}

/* A block of C in the scratch of its task: rows from row on, panels [first, end) of matrix s. */
struct block {
    int64_t s, row, rows, first, end, columns;
    float *c;
};

/* The step from word q on of panels [j, end), which begin at the same distance: the last of C only by itself, if it is
 * narrow. The leaf asks for the next panel, and for A's next step. */
static void multiply_panels(const struct run *r, const struct block *k, int64_t j, int64_t end,
                            int64_t q)
{
    const struct product *p = r->p;
    const int64_t width = least(PANEL, p->n - j * PANEL), next = q + r->depth,
                  s = p->a_step ? k->s : 0;
    if (j >= end) return;
    r->leaves->panels_bf16(&(struct gemm_f32){
        .m = k->rows,
        .n = (end - j - 1) * PANEL + width,
        .k = least(r->depth, r->k2 - q),
        .batch = 1,
        .a = (const float *)(const void *)a_at(r, s, k->row, q),
        .a_row = r->pitch,
        .a_col = 1,
        .b = (const float *)(const void *)b_at(r, p->b_step ? k->s : 0, j, q, width),
        .b_row = r->k2,
        .c = k->c + (j - k->first) * PANEL,
        .c_row = k->columns,
        .accumulate = q > 0,
        .bias = r->bias && next >= r->k2 ? r->bias + j * PANEL : NULL,
        .ahead = next < r->k2 ? (const float *)(const void *)a_at(r, s, k->row, next) : NULL});
}

static void store_block(const struct run *r, const struct block *k)
{
    const int64_t n = r->p->n;
    float *c = r->c + (k->s * r->p->m + k->row) * n + k->first * PANEL;
    for (int64_t i = 0; i < k->rows; i++) {
        const float *from = k->c + i * k->columns;
        if (r->streams)
            stream_run(r->leaves, k->columns, from, c + i * n);
        else
            memcpy(c + i * n, from, (size_t)k->columns * sizeof *c);
    }
}

static void tiles_task(void *arg, int64_t task)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t across = ceil_div(panels(p), r->panels), down = ceil_div(p->m, r->rows),
                  all = blocks(r);
    for (int64_t i = task * all / r->tasks; i < (task + 1) * all / r->tasks; i++) {
        const int64_t row = i / across % down * r->rows, first = i % across * r->panels,
                      end = least(panels(p), first + r->panels), whole = least(end, p->n / PANEL);
        const struct block k = {.s = i / across / down,
                                .row = row,
                                .rows = least(p->m - row, r->rows),
                                .first = first,
                                .end = end,
                                .columns = least(p->n, end * PANEL) - first * PANEL,
                                .c = r->scratch + task * block_elements(r)};
        for (int64_t q = 0; q < r->k2; q += r->depth) {
            multiply_panels(r, &k, first, whole, q);
            multiply_panels(r, &k, whole, end, q);
        }
        store_block(r, &k);
    }
}

static int64_t a_elements(const struct product *p)
{
    return matrices(p, p->a_step) * a_matrix(p);
}

static int64_t b_elements(const struct product *p)
{
    return matrices(p, p->b_step) * panels(p) * words(p) * PANEL;
}

/* Halves blocks, not below so many rows and panels, until there are so many. */
static void halve(struct run *r, int64_t wanted, int64_t fewest_rows, int64_t fewest_panels)
{
    while (blocks(r) < wanted && (r->rows > fewest_rows || r->panels > fewest_panels)) {
        if (r->rows >= r->panels * PANEL && r->rows > fewest_rows)
            r->rows /= 2;
        else
            r->panels /= 2;
    }
}

/* Blocks whose operands of a step take half of the second cache, and that leave each thread a few. */
static void choose_blocks(struct run *r, int threads)
{
    const int64_t step_bytes = (int64_t)DEPTH * (int64_t)sizeof(uint32_t);
    r->rows = ROWS;
    r->panels = PANELS;
    while (r->rows > ROWS_LEAST && 4 * r->rows * step_bytes > sunup__cache_bytes(2)) {
        r->rows /= 2;
        r->panels /= 2;
    }
    if (threads == 1) return;
    halve(r, (int64_t)ITEMS_PER_THREAD * threads, ROWS_LEAST, PANELS_LEAST);
    halve(r, threads, ROWS_FEWEST, 1);
}

static int64_t b_items(const struct product *p)
{
    return matrices(p, p->b_step) * b_pieces(p);
}

static struct run run_of(const struct step *s)
{
    const struct product *p = s->data;
    return (struct run){.p = p,
                        .leaves = &s->device->kernels->f32,
                        .a = s->in[0],
                        .b = s->in[1],
                        .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                        .c = s->out[0],
                        .b_words = prepared_weights(s),
                        .k2 = words(p),
                        .used = s->device->kernels->tiles_bf16 ? words(p) : ceil_div(p->k, 2),
                        .depth = p->depth,
                        .pitch = pitch(p)};
}

static void prepare(const struct step *s)
{
    struct run r = run_of(s);
    sunup__parallel(s->device->threads, b_items(r.p), pack, &r);
}

/* What does not stay is packed at once. */
static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    struct run r = run_of(s);
    const struct product *p = r.p;
    const int threads = s->device->threads;
    r.a_words = (uint32_t *)s->workspace + (s->prepared != NULL ? 0 : b_elements(p));
    r.a_items = matrices(p, p->a_step) * a_pieces(p);
    choose_blocks(&r, threads);
    if (p->a_col != 1 && !s->device->kernels->tiles_bf16) {
        r.strip = least(STRIP, r.rows / 8 * 7);
        r.rows = r.rows / 8 * 7;
    }
    sunup__parallel(threads, r.a_items + (s->prepared != NULL ? 0 : b_items(p)), pack, &r);
    if (grows_apart(p, s->device)) {
        r.scratch = (float *)(void *)(r.a_words + a_elements(p));
        r.tasks = tasks(&r, threads);
        r.streams = p->batch * p->m * p->n >= STREAM;
        sunup__parallel(threads, r.tasks, tiles_task, &r);
        return SUNUP_OK;
    }
    sunup__parallel(threads, blocks(&r), block, &r);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* Packing and waiting for it cost less than the multiply-adds they save. Below these f32 is as fast
 * or faster (Zen 5: 96 cubed 1.03, 32 x 32 x 4096 0.6, 4096 x 32 x 32 0.8 times its speed). */
static bool pays(const struct product *p)
{
    enum { LEAST = 32, LEAST_TERMS = 1 << 20, TERMS_PER_ELEMENT = 24 };
    const int64_t terms = p->batch * p->m * p->n * p->k;
    const int64_t elements = matrices(p, p->a_step) * p->m * p->k +
                             matrices(p, p->b_step) * p->k * p->n + p->batch * p->m * p->n;
    return p->m >= LEAST && p->n >= LEAST && p->k >= LEAST && terms >= LEAST_TERMS &&
           terms >= TERMS_PER_ELEMENT * elements;
}

bool sunup__product_bf16_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_BF16 || !d->kernels->fast_bf16 ||
        n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    const struct product p = sunup__product_of(n);
    return pays(&p);
}

sunup_status sunup__make_product_bf16(struct device *d, const struct node *n, struct step *s)
{
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = sunup__product_of(n);
    p->depth = depth(p, d->kernels->tiles_bf16);
    s->data = p;
    s->run = run;
    s->end = end;
    s->workspace_bytes = a_elements(p) * (int64_t)sizeof(uint32_t);
    if (grows_apart(p, d)) {
        struct run r = {.p = p};
        choose_blocks(&r, d->threads);
        s->workspace_bytes += tasks(&r, d->threads) * block_elements(&r) * (int64_t)sizeof(float);
    }
    ask_prepared(s, 1, b_elements(p) * (int64_t)sizeof(uint32_t), prepare);
    return SUNUP_OK;
}
