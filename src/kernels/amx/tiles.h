/* tiles.h - blocks of C of 32 rows x 32 columns at most, in four tile registers beside two of A's rows and two
 * of B's columns, each 16 rows of 16 words: their shape, what enters and leaves them. */
#ifndef SUNUP_KERNELS_AMX_TILES_H
#define SUNUP_KERNELS_AMX_TILES_H

#include <immintrin.h>

#include "base/integers.h"
#include "kernels/kernels.h"

enum { ROWS = 16, WORDS = 16, ROW_BYTES = 64, LINE_BYTES = 64 };
enum { C00, C01, C10, C11, A0, A1, B0, B1 };

/* As LDTILECFG wants it. */
struct shape {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* The block that tiles are shaped for (0: none yet), of steps of so many words. */
struct tiles {
    int64_t rows, columns, words;
    struct shape shape;
};

/* Tile loads do not say that they read memory: stores must be done before. */
static inline void settle(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void set_tile(struct shape *s, int tile, int64_t rows, int64_t words)
{
    const bool used = rows > 0 && words > 0;
    s->rows[tile] = used ? (uint8_t)rows : 0;
    s->row_bytes[tile] = used ? (uint16_t)(4 * words) : 0;
}

/* Shapes the tiles for a block, if they are not so already; which is told by two numbers, since to
 * read a shape just written in bytes would wait for all stores before it, tiles among them. So most
 * blocks have one that is never written. */
static inline void shape_tiles(struct tiles *t, int64_t rows, int64_t columns)
{
    static const struct shape whole = {.palette = 1,
                                       .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                       .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    if (rows == t->rows && columns == t->columns) return;
    t->rows = rows;
    t->columns = columns;
    if (rows == 2 * ROWS && columns == 2 * WORDS && t->words == WORDS) {
        _tile_loadconfig(&whole);
        return;
    }
    const int64_t m[2] = {least(rows, ROWS), rows - least(rows, ROWS)};
    const int64_t n[2] = {least(columns, WORDS), columns - least(columns, WORDS)};
    struct shape s = {.palette = 1};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) set_tile(&s, C00 + 2 * i + j, m[i], n[j]);
        set_tile(&s, A0 + i, m[i], t->words);
        set_tile(&s, B0 + i, t->words, n[i]);
    }
    t->shape = s;
    settle();
    _tile_loadconfig(&t->shape);
}

/* C's own values, or zeros. */
static inline __attribute__((always_inline)) void begin_tiles(const float *c, size_t c_bytes, const bool accumulate,
                                                              const bool two_rows, const bool two_columns)
{
    const char *low = (const char *)c + ROWS * c_bytes;
    if (accumulate) {
        _tile_loadd(0, c, c_bytes);
        if (two_columns) _tile_loadd(1, c + WORDS, c_bytes);
        if (two_rows) _tile_loadd(2, low, c_bytes);
        if (two_rows && two_columns) _tile_loadd(3, low + ROW_BYTES, c_bytes);
    } else {
        _tile_zero(0);
        if (two_columns) _tile_zero(1);
        if (two_rows) _tile_zero(2);
        if (two_rows && two_columns) _tile_zero(3);
    }
}

/* Tiles of A and of B, and their products to C. */
static inline __attribute__((always_inline)) void load_a(const void *a, size_t a_bytes, const bool two_rows)
{
    _tile_loadd(4, a, a_bytes);
    if (two_rows) _tile_loadd(5, (const char *)a + ROWS * a_bytes, a_bytes);
}

static inline __attribute__((always_inline)) void load_b(const void *b, size_t b_bytes, const bool two_columns)
{
    _tile_loadd(6, b, b_bytes);
    if (two_columns) _tile_loadd(7, (const char *)b + ROW_BYTES, b_bytes);
}

static inline __attribute__((always_inline)) void add_products(const bool two_rows, const bool two_columns)
{
    _tile_dpbf16ps(0, 4, 6);
    if (two_rows) _tile_dpbf16ps(2, 5, 6);
    if (two_columns) _tile_dpbf16ps(1, 4, 7);
    if (two_rows && two_columns) _tile_dpbf16ps(3, 5, 7);
}

static inline __attribute__((always_inline)) void store_tiles(float *c, size_t c_bytes, const bool two_rows,
                                                              const bool two_columns)
{
    char *low = (char *)c + ROWS * c_bytes;
    _tile_stored(0, c, c_bytes);
    if (two_columns) _tile_stored(1, c + WORDS, c_bytes);
    if (two_rows) _tile_stored(2, low, c_bytes);
    if (two_rows && two_columns) _tile_stored(3, low + ROW_BYTES, c_bytes);
}

/* Bias and relu of the block from row r, column j on, while it is in the first cache. NaN stays: it is the
 * second operand. */
static inline void finish_block(const struct gemm_f32 *g, int64_t r, int64_t j, int64_t rows, int64_t columns)
{
    const int64_t end = j + columns;
    for (; j < end; j += WORDS) {
        const __mmask16 mask = (__mmask16)((1U << least(WORDS, end - j)) - 1);
        const __m512 bias = g->bias ? _mm512_maskz_loadu_ps(mask, g->bias + j) : _mm512_setzero_ps();
        float *c = g->c + r * g->c_row + j;
        for (int64_t i = 0; i < rows; i++, c += g->c_row) {
            __m512 x = _mm512_maskz_loadu_ps(mask, c);
            if (g->bias) x = _mm512_add_ps(x, bias);
            if (g->relu) x = _mm512_max_ps(_mm512_setzero_ps(), x);
            _mm512_mask_storeu_ps(c, mask, x);
        }
    }
}

#endif
