/* gemm_bf16.c - gemm of bf16 pairs on tiles: 32 rows x 32 columns of C in four tile registers, two
 * tiles of A's rows and two of B's, each 16 rows of 16 words. A step of 16 words is four products
 * of 16 cycles for four loads of 8: eight times the rate of vdpbf16ps on Sapphire Rapids.
 *
 * Tiles shrink to what a block has, rows, columns and words, so nothing is read outside. A sum is
 * cut into equal steps of up to 16 words; where the last is shorter it is copied beside zeros, and
 * so is all of an A whose words are not neighbours (slow: drivers pack A in rows). Each step's
 * terms are summed from zero, then added to C, in an order that k and the batch alone decide.
 *
 * Operands in two parts take eight loads for twelve products a step. Beside so many it is no gain to cut
 * the sum into pieces whose B stays in the first cache: C's own loads and stores cost more (3x3, 256
 * channels: 5.0 ms in one piece, 5.4 in pieces of 4 steps, 6.4 of 8; Xeon with AMX, Granite Rapids class,
 * 2 threads, 2026-11-30). And there is time to ask for what comes next, into the second cache.
 *
 * The tiles' shape is set at the start of a call and released at its end, so that threads carry no
 * state, and no 8 KB of tiles through a context switch.
 */
#include <string.h>

#include "kernels/amx/tiles.h"
#include "kernels/fill.h"

enum { STEPS = 16 /* of a piece: 32 KB of B */ };

/* How the sum of a batch entry is cut: `full` steps of `words`, then `rest` words; `each` in all. */
struct steps {
    int64_t words, full, rest, each;
};

/* The words of a step that are not read in place, beside zeros. */
struct copies {
    _Alignas(64) uint32_t a[2][2 * ROWS][WORDS], b[2][WORDS][2 * WORDS]; /* of either part */
};

struct work {
    const struct gemm_f32 *g;
    struct steps steps;
    int64_t all; /* steps of all entries */
    bool parts;
    int64_t a_low, b_low; /* words from a part to the other */
    bool copy_a; /* every step's A       */
    bool copies; /* some steps'          */
    struct tiles tiles;
    struct copies copied;
};

/* A block of C: rows from r on, columns from j on, 32 at most of either. */
struct block {
    int64_t r, j, rows, columns;
};

/* Where a step's operands are. */
struct operands {
    const uint32_t *a, *b;
    size_t a_bytes, b_bytes; /* from row to row */
    int64_t a_low, b_low;
    const char *ahead; /* of which each step asks for some lines */
    int64_t lines;
};

/* C += A B for one step; of operands in two parts A_low B + A B + A B_low. */
static inline __attribute__((always_inline)) void multiply(const struct operands *o, const bool parts,
                                                           const bool two_rows, const bool two_columns)
{
    load_b(o->b, o->b_bytes, two_columns);
    if (parts) {
        load_a(o->a + o->a_low, o->a_bytes, two_rows);
        add_products(two_rows, two_columns);
    }
    load_a(o->a, o->a_bytes, two_rows);
    add_products(two_rows, two_columns);
    if (parts) {
        for (int64_t i = 0; i < o->lines; i++) __builtin_prefetch(o->ahead + i * LINE_BYTES, 0, 2);
        load_b(o->b + o->b_low, o->b_bytes, two_columns);
        add_products(two_rows, two_columns);
    }
}

static void copy_a(uint32_t to[2 * ROWS][WORDS], const struct gemm_f32 *g, const uint32_t *a, int64_t rows,
                   int64_t words)
{
    memset(to, 0, sizeof(uint32_t[2 * ROWS][WORDS]));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < words; p++) to[r][p] = a[r * g->a_row + p * g->a_col];
}

static void copy_b(uint32_t to[WORDS][2 * WORDS], const struct gemm_f32 *g, const uint32_t *b, int64_t columns,
                   int64_t words)
{
    memset(to, 0, sizeof(uint32_t[WORDS][2 * WORDS]));
    for (int64_t p = 0; p < words; p++)
        memcpy(to[p], b + p * g->b_row, (size_t)columns * sizeof *b);
}

/* A step with copies: the short last one, or any of an A that does not lie in rows. */
static inline __attribute__((always_inline)) void
multiply_copied(struct work *w, const struct block *k, const struct operands *from, int64_t words, const bool parts,
                const bool two_rows, const bool two_columns)
{
    const struct gemm_f32 *g = w->g;
    const bool short_step = words < w->steps.words;
    for (int i = 0; i < (parts ? 2 : 1); i++) {
        copy_a(w->copied.a[i], g, from->a + i * w->a_low, k->rows, words);
        if (short_step) copy_b(w->copied.b[i], g, from->b + i * w->b_low, k->columns, words);
    }
    settle();
    struct operands o = *from;
    o.a = w->copied.a[0][0];
    o.a_bytes = ROW_BYTES;
    o.a_low = (int64_t)2 * ROWS * WORDS;
    if (short_step) {
        o.b = w->copied.b[0][0];
        o.b_bytes = (size_t)2 * ROW_BYTES;
        o.b_low = (int64_t)2 * WORDS * WORDS;
    }
    multiply(&o, parts, two_rows, two_columns);
}

/* Steps [from, to) of entry i. */
static inline __attribute__((always_inline)) void
multiply_entry(struct work *w, const struct block *k, int64_t i, int64_t from, int64_t to,
               const bool copies, const bool parts, const bool two_rows, const bool two_columns)
{
    const struct gemm_f32 *g = w->g;
    const int64_t words = w->steps.words, full = w->steps.full;
    const int64_t a_step = words * g->a_col, b_step = words * g->b_row;
    struct operands o = {.a = (const uint32_t *)(const void *)g->a + k->r * g->a_row,
                         .b = (const uint32_t *)(const void *)g->b + k->j,
                         .a_bytes = (size_t)g->a_row * sizeof(uint32_t),
                         .b_bytes = (size_t)g->b_row * sizeof(uint32_t),
                         .a_low = w->a_low,
                         .b_low = w->b_low,
                         .ahead = (const char *)g->ahead,
                         .lines = parts && g->ahead ? g->ahead_step : 0};
    o.a += (g->a_at ? g->a_at[i] : 0) + from * a_step;
    o.b += (g->b_at ? g->b_at[i] : 0) + from * b_step;
    if (o.lines > 0)
        o.ahead += k->r * g->ahead_row * (int64_t)sizeof(float) + (i * w->steps.each + from) * o.lines * LINE_BYTES;
    for (; from < to; from++, o.a += a_step, o.b += b_step, o.ahead += o.lines * LINE_BYTES) {
        if (copies && (w->copy_a || from == full))
            multiply_copied(w, k, &o, from == full ? w->steps.rest : words, parts, two_rows, two_columns);
        else
            multiply(&o, parts, two_rows, two_columns);
    }
}

/* Steps [from, to) of the sum, counted through all entries. Where all are read in place the loop
 * must have no stores, of spilled registers either: tile loads wait for those under way. */
static inline __attribute__((always_inline)) void
multiply_steps(struct work *w, const struct block *k, int64_t from, int64_t to, const bool copies,
               const bool parts, const bool two_rows, const bool two_columns)
{
    const int64_t each = w->steps.each, skipped = from % each;
    int64_t i = from / each;
    if (skipped > 0) {
        const int64_t end = least(each, skipped + to - from);
        multiply_entry(w, k, i++, skipped, end, copies, parts, two_rows, two_columns);
        from += end - skipped;
    }
    for (; from < to; from += each, i++)
        multiply_entry(w, k, i, 0, least(each, to - from), copies, parts, two_rows, two_columns);
}

static inline __attribute__((always_inline)) void
multiply_block(struct work *w, const struct block *k, int64_t from, int64_t to, const bool copies, const bool parts)
{
    if (k->rows > ROWS && k->columns > WORDS)
        multiply_steps(w, k, from, to, copies, parts, true, true);
    else if (k->rows > ROWS)
        multiply_steps(w, k, from, to, copies, parts, true, false);
    else if (k->columns > WORDS)
        multiply_steps(w, k, from, to, copies, parts, false, true);
    else
        multiply_steps(w, k, from, to, copies, parts, false, false);
}

static __attribute__((noinline)) void multiply_in_place(struct work *w, const struct block *k,
                                                        int64_t from, int64_t to)
{
    multiply_block(w, k, from, to, false, false);
}

static __attribute__((noinline)) void multiply_parts_in_place(struct work *w, const struct block *k,
                                                              int64_t from, int64_t to)
{
    multiply_block(w, k, from, to, false, true);
}

static __attribute__((noinline)) void multiply_with_copies(struct work *w, const struct block *k,
                                                           int64_t from, int64_t to)
{
    if (w->parts)
        multiply_block(w, k, from, to, true, true);
    else
        multiply_block(w, k, from, to, true, false);
}

/* A piece of the sum, steps [from, to), of a block of C. */
static void any_block(struct work *w, const struct block *k, int64_t from, int64_t to)
{
    const struct gemm_f32 *g = w->g;
    const bool two_rows = k->rows > ROWS, two_columns = k->columns > WORDS;
    const size_t c_bytes = (size_t)g->c_row * sizeof(float);
    float *c = g->c + k->r * g->c_row + k->j;
    shape_tiles(&w->tiles, k->rows, k->columns);
    begin_tiles(c, c_bytes, g->accumulate || from > 0, two_rows, two_columns);
    if (w->copies)
        multiply_with_copies(w, k, from, to);
    else if (w->parts)
        multiply_parts_in_place(w, k, from, to);
    else
        multiply_in_place(w, k, from, to);
    store_tiles(c, c_bytes, two_rows, two_columns);
    if ((g->bias || g->relu) && to == w->all) finish_block(g, k->r, k->j, k->rows, k->columns);
}

static struct steps cut(int64_t k)
{
    const int64_t n = k > 0 ? (k + WORDS - 1) / WORDS : 1, words = (k + n - 1) / n;
    struct steps s = {.words = words > 0 ? words : 1};
    s.full = k / s.words;
    s.rest = k % s.words;
    s.each = most(1, s.full + (s.rest > 0));
    return s;
}

static void product(const struct gemm_f32 *g, bool parts)
{
    if (g->m <= 0 || g->n <= 0) return;
    struct work w;
    w.g = g;
    w.parts = parts;
    w.a_low = parts ? g->a_at[g->batch] : 0;
    w.b_low = parts ? g->b_at[g->batch] : 0;
    w.steps = cut(g->k);
    w.copy_a = g->a_col != 1;
    w.copies = w.copy_a || w.steps.rest > 0;
    w.tiles.rows = w.tiles.columns = 0;
    w.tiles.words = w.steps.words;
    w.all = g->k > 0 ? g->batch * w.steps.each : 0;
    const bool cut_sum = !parts && g->m > 2 * ROWS && g->batch > 1;
    const int64_t pieces = cut_sum ? most(1, ceil_div(w.all, STEPS)) : 1;
    for (int64_t j = 0; j < g->n; j += 2 * WORDS) {
        for (int64_t i = 0; i < pieces; i++) {
            for (int64_t r = 0; r < g->m; r += 2 * ROWS)
                any_block(&w,
                          &(struct block){.r = r,
                                          .j = j,
                                          .rows = least(2 * ROWS, g->m - r),
                                          .columns = least(2 * WORDS, g->n - j)},
                          i * w.all / pieces, (i + 1) * w.all / pieces);
        }
    }
    _tile_release();
}

static void gemm_bf16(const struct gemm_f32 *g)
{
    product(g, false);
}

static void gemm_bf16x3(const struct gemm_f32 *g)
{
    product(g, true);
}

void FILL(gemm_bf16)(struct kernels *k)
{
    k->f32.gemm_bf16 = gemm_bf16;
    k->f32.gemm_bf16x3 = gemm_bf16x3;
    k->fast_bf16 = true;
    k->tiles_bf16 = true;
}
