/* panels_bf16.c - a strip of C on tiles: all panels of B with the same rows of A, in blocks of
 * 32 x 32 as in gemm_bf16.c.
 *
 * Tiles are shaped once for a call, and again only where it meets its last columns or rows: a shape
 * and its release cost 75 ns, a block of 128 words 160, and what a caller writes to say what it
 * wants makes tile loads wait. B's panel stays in the first cache while the rows of the strip meet
 * it, if it has 128 to 192 words: operands in the second cache then run at 2000 to 2250 GFLOP/s on
 * one core, with C's own value at 1500 to 1900, beside 3300 from the first cache and 1500 with 384
 * words or more (Xeon with AMX, Granite Rapids class, 2026-11-30).
 *
 * From the third level they are slower than that. So each step of 16 words asks for 4 lines of what
 * comes next of either operand, into the second cache (into the first costs a third): with
 * 256 x 256 of C a panel of B and a block of A are asked for just once. Steps of Uno gain 4 to 5 %.
 *
 * Operands in two parts take eight loads for twelve products a step, fewer for each than one part: 2050 to 2350
 * GFLOP/s from the second cache with 64 to 128 words of each, 1900 to 1950 with C's own value or 192 words.
 */
#include "kernels/amx/tiles.h"
#include "kernels/fill.h"

enum { ASKED = 4 };

struct block {
    const uint32_t *a, *b;
    float *c;
    size_t a_bytes, b_bytes, c_bytes; /* from row to row */
    int64_t steps;
    const char *ahead_a, *ahead_b; /* what comes next: ASKED lines of each a step and part */
    int64_t a_low, b_low;          /* bytes from a word to what is left of it */
};

static inline __attribute__((always_inline)) void ask(const char *from, const int lines)
{
    for (int x = 0; x < lines; x++) __builtin_prefetch(from + x * LINE_BYTES, 0, 2);
}

/* The loop has no stores, of spilled registers either: tile loads wait for those under way. */
static inline __attribute__((always_inline)) void
multiply(const struct block *k, const bool parts, const bool accumulate, const bool two_rows,
         const bool two_columns)
{
    const char *ahead_a = k->ahead_a, *ahead_b = k->ahead_b;
    const size_t a_bytes = k->a_bytes, b_bytes = k->b_bytes, c_bytes = k->c_bytes;
    const char *a = (const void *)k->a, *b = (const void *)k->b;
    const int64_t a_low = k->a_low, b_low = k->b_low;
    const int asked = parts ? 2 * ASKED : ASKED;
    begin_tiles(k->c, c_bytes, accumulate, two_rows, two_columns);
    for (int64_t i = k->steps; i > 0; i--) {
        load_b(b, b_bytes, two_columns);
        if (parts) {
            load_a(a + a_low, a_bytes, two_rows);
            add_products(two_rows, two_columns);
        }
        load_a(a, a_bytes, two_rows);
        ask(ahead_b, asked);
        add_products(two_rows, two_columns);
        if (parts) {
            load_b(b + b_low, b_bytes, two_columns);
            add_products(two_rows, two_columns);
        }
        ask(ahead_a, asked);
        ahead_a += asked * LINE_BYTES;
        ahead_b += asked * LINE_BYTES;
        a += 4 * WORDS;
        b += WORDS * b_bytes;
    }
    store_tiles(k->c, c_bytes, two_rows, two_columns);
}

static __attribute__((noinline)) void whole_fresh(const struct block *k)
{
    multiply(k, false, false, true, true);
}

static __attribute__((noinline)) void whole_more(const struct block *k)
{
    multiply(k, false, true, true, true);
}

static __attribute__((noinline)) void parts_fresh(const struct block *k)
{
    multiply(k, true, false, true, true);
}

static __attribute__((noinline)) void parts_more(const struct block *k)
{
    multiply(k, true, true, true, true);
}

static inline __attribute__((always_inline)) void at_an_end(const struct block *k, const bool parts, bool accumulate,
                                                            bool two_rows, bool two_columns)
{
    if (two_rows && two_columns)
        multiply(k, parts, accumulate, true, true);
    else if (two_rows)
        multiply(k, parts, accumulate, true, false);
    else if (two_columns)
        multiply(k, parts, accumulate, false, true);
    else
        multiply(k, parts, accumulate, false, false);
}

static __attribute__((noinline)) void end_of_whole(const struct block *k, bool accumulate, bool two_rows,
                                                   bool two_columns)
{
    at_an_end(k, false, accumulate, two_rows, two_columns);
}

static __attribute__((noinline)) void end_of_parts(const struct block *k, bool accumulate, bool two_rows,
                                                   bool two_columns)
{
    at_an_end(k, true, accumulate, two_rows, two_columns);
}

static inline __attribute__((always_inline)) void panels(const struct gemm_f32 *g, const bool parts)
{
    if (g->m <= 0 || g->n <= 0) return;
    struct tiles tiles;
    tiles.rows = tiles.columns = 0;
    tiles.words = WORDS;
    const uint32_t *a = (const void *)g->a, *b = (const void *)g->b;
    const int64_t bytes = g->k / WORDS * (parts ? 2 : 1) * ASKED * LINE_BYTES; /* asked for by a block */
    const char *ahead_a = g->ahead ? (const void *)g->ahead : (const void *)g->a;
    for (int64_t j = 0; j < g->n; j += 2 * WORDS) {
        const int64_t columns = least(2 * WORDS, g->n - j);
        const uint32_t *next = b + (j + columns < g->n ? j + columns : j) * g->b_row;
        for (int64_t r = 0; r < g->m; r += 2 * ROWS) {
            const int64_t rows = least(2 * ROWS, g->m - r);
            const struct block k = {.a = a + r * g->a_row,
                                    .b = b + j * g->b_row,
                                    .c = g->c + r * g->c_row + j,
                                    .a_bytes = (size_t)g->a_row * sizeof *a,
                                    .b_bytes = (size_t)columns * sizeof *b,
                                    .c_bytes = (size_t)g->c_row * sizeof(float),
                                    .steps = g->k / WORDS,
                                    .ahead_a = ahead_a,
                                    .ahead_b = (const char *)next + r / (2 * ROWS) * bytes,
                                    .a_low = parts ? 4 * g->a_at[1] : 0,
                                    .b_low = parts ? 4 * g->b_at[1] : 0};
            if (g->ahead) ahead_a += bytes;
            shape_tiles(&tiles, rows, columns);
            if (rows < 2 * ROWS || columns < 2 * WORDS)
                (parts ? end_of_parts : end_of_whole)(&k, g->accumulate, rows > ROWS, columns > WORDS);
            else if (g->accumulate)
                (parts ? parts_more : whole_more)(&k);
            else
                (parts ? parts_fresh : whole_fresh)(&k);
            if (g->bias || g->relu) finish_block(g, r, j, rows, columns);
        }
    }
    _tile_release();
}

static void panels_bf16(const struct gemm_f32 *g)
{
    panels(g, false);
}

static void panels_bf16x3(const struct gemm_f32 *g)
{
    panels(g, true);
}

void FILL(panels_bf16)(struct kernels *k)
{
    k->f32.panels_bf16 = panels_bf16;
    k->f32.panels_bf16x3 = panels_bf16x3;
}
