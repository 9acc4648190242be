/* product_words.c - writes operands of a product as words of two bf16.
 *
 * What comes turned is turned in pieces that stay in the first cache; a piece of few columns or rows of a
 * wide matrix asks for the next one, since the processor sees no stream in it.
 *
 * Ceiling: 4 bytes read and 2 or 4 written an element at the speed of memory, a tenth of the time of
 * 1024 x 1000 x 5270 on Zen 5 in one part. One core of a Xeon with AMX (Granite Rapids class, 2026-11-30) does
 * 60 to 80 GB/s of that in its caches, in two parts.
 */
#include <string.h>

#include "base/system.h"
#include "device/cpu/product_words.h"

enum {
    CHUNK_WORDS = CHUNK / 2,
    WIDE = 128 /* rows of a turned A at once */
};

struct words sunup__words_of(const struct product *p, const struct leaves_f32 *leaves, int64_t parts, int64_t most)
{
    struct words w = {.p = p, .leaves = leaves, .parts = parts, .k2 = round_up(ceil_div(p->k, 2), LINE)};
    w.depth = round_up(ceil_div(w.k2, ceil_div(w.k2, most / parts)), CHUNK_WORDS);
    const int64_t row = least(w.k2, w.depth) * parts;
    w.pitch = row / LINE % 2 == 0 ? row + LINE : row;
    return w;
}

/* Second parts, if there are any, so far behind the first. */
static uint32_t *low_of(const struct words *w, uint32_t *words, int64_t distance)
{
    return w->parts > 1 ? words + distance : NULL;
}

/* Words [from, to), and as many second parts. */
static void zero(uint32_t *words, uint32_t *low, int64_t from, int64_t to)
{
    memset(words + from, 0, (size_t)(to - from) * sizeof *words);
    if (low) memset(low + from, 0, (size_t)(to - from) * sizeof *low);
}

/* Words of the chunk of terms from k on, with zeros up to whole tiles. */
static int64_t chunk_words(const struct words *w, int64_t k)
{
    return least(CHUNK_WORDS, w->k2 - k / 2);
}

static void ask(const float *x, int64_t rows, int64_t row, int64_t wide)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < wide; j += LINE) __builtin_prefetch(x + i * row + j, 0, 2);
    }
}

/* Words [rows][columns], `row` apart, to [columns][rows]. */
static void turn(const struct words *w, int64_t rows, int64_t columns, const uint32_t *from, int64_t row, uint32_t *to,
                 int64_t to_row)
{
    w->leaves->transpose(rows, columns, (const float *)(const void *)from, row, (float *)(void *)to, to_row);
}

/* LINE rows of A where the terms of a row are neighbours. */
static void pack_a_rows(const struct words *w, const struct rows *a, int64_t first)
{
    const struct product *p = w->p;
    for (int64_t q = 0; q < w->k2; q += w->depth) {
        const int64_t left = p->k - 2 * q, n = least(2 * w->depth, left);
        for (int64_t i = first; i < least(a->end, first + LINE); i++) {
            uint32_t *to = a_at(w, a, i, q), *low = low_of(w, to, step_words(w, q));
            w->leaves->bf16_words(n, w->a + a->s * p->a_step + i * p->a_row + 2 * q, to, low);
            zero(to, low, ceil_div(n, 2), step_words(w, q));
        }
    }
}

/* A chunk of terms where the rows of a term are neighbours. */
static void pack_a_turned(const struct words *w, const struct rows *a, int64_t k)
{
    const struct product *p = w->p;
    const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(w, k), most_wide = w->strip > 0 ? w->strip : WIDE;
    _Alignas(64) uint32_t pieces[2][CHUNK_WORDS * WIDE];
    for (int64_t i = a->first; i < a->end; i += most_wide) {
        const int64_t wide = least(most_wide, a->end - i);
        const float *from = w->a + a->s * p->a_step + k * p->a_col + i;
        uint32_t *rows = a_at(w, a, i, k / 2), *to = w->strip > 0 ? rows : pieces[0],
                 *low = low_of(w, to, CHUNK_WORDS * WIDE);
        ask(from + wide, n, p->a_col, least(wide, a->end - i - wide));
        w->leaves->bf16_rows(n, wide, from, p->a_col, to, low);
        zero(to, low, ceil_div(n, 2) * wide, n2 * wide);
        for (int64_t part = 0; part < w->parts && w->strip == 0; part++)
            turn(w, n2, wide, pieces[part], wide, rows + part * step_words(w, k / 2), w->pitch);
    }
}

/* A chunk of terms of all panels of B where the columns of a term are neighbours. */
static void pack_b_rows(const struct words *w, int64_t s, int64_t k)
{
    const struct product *p = w->p;
    const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(w, k);
    for (int64_t j = 0; j < p->n; j += PANEL) {
        const int64_t width = least(PANEL, p->n - j);
        const float *from = w->b + s * p->b_step + k * p->b_row + j;
        uint32_t *to = b_at(w, s, j / PANEL, k / 2, width), *low = low_of(w, to, step_words(w, k / 2) * width);
        ask(from + PANEL, n, p->b_row, least(PANEL, p->n - j - PANEL));
        w->leaves->bf16_rows(n, width, from, p->b_row, to, low);
        zero(to, low, ceil_div(n, 2) * width, n2 * width);
    }
}

/* A panel of B where the terms of a column are neighbours. */
static void pack_b_turned(const struct words *w, int64_t s, int64_t panel)
{
    const struct product *p = w->p;
    const int64_t j = panel * PANEL, width = least(PANEL, p->n - j);
    _Alignas(64) uint32_t pieces[2][PANEL * CHUNK_WORDS];
    for (int64_t k = 0; k < p->k; k += CHUNK) {
        const int64_t n = least(CHUNK, p->k - k), n2 = chunk_words(w, k);
        for (int64_t c = 0; c < width; c++) {
            uint32_t *column = pieces[0] + c * CHUNK_WORDS, *low = low_of(w, column, PANEL * CHUNK_WORDS);
            w->leaves->bf16_words(n, w->b + s * p->b_step + (j + c) * p->b_col + k, column, low);
            zero(column, low, ceil_div(n, 2), n2);
        }
        uint32_t *to = b_at(w, s, panel, k / 2, width);
        for (int64_t part = 0; part < w->parts; part++, to += step_words(w, k / 2) * width)
            turn(w, width, n2, pieces[part], CHUNK_WORDS, to, width);
    }
}

int64_t sunup__words_a_pieces(const struct words *w, const struct rows *a)
{
    return w->p->a_col == 1 ? ceil_div(a->end - a->first, LINE) : ceil_div(w->p->k, CHUNK);
}

int64_t sunup__words_b_pieces(const struct words *w)
{
    return w->p->b_col == 1 ? ceil_div(w->p->k, CHUNK) : panels_of(w->p);
}

void sunup__words_pack_a(const struct words *w, const struct rows *a, int64_t piece)
{
    if (w->p->a_col == 1)
        pack_a_rows(w, a, a->first + piece * LINE);
    else
        pack_a_turned(w, a, piece * CHUNK);
}

void sunup__words_pack_b(const struct words *w, int64_t s, int64_t piece)
{
    if (w->p->b_col == 1)
        pack_b_rows(w, s, piece * CHUNK);
    else
        pack_b_turned(w, s, piece);
}

struct packing {
    const struct words *w;
    uint32_t *a_words;
    int64_t a_pieces, a_items;
};

static void pack(void *arg, int64_t i)
{
    const struct packing *k = arg;
    const int64_t b_pieces = sunup__words_b_pieces(k->w);
    if (i < k->a_items) {
        const struct rows a = matrix_of(k->w, i / k->a_pieces, k->a_words);
        sunup__words_pack_a(k->w, &a, i % k->a_pieces);
    } else {
        sunup__words_pack_b(k->w, (i - k->a_items) / b_pieces, (i - k->a_items) % b_pieces);
    }
}

void sunup__words_pack(const struct words *w, uint32_t *a_words, bool b, int threads)
{
    const struct product *p = w->p;
    struct packing k = {.w = w, .a_words = a_words};
    if (a_words != NULL) {
        const struct rows a = matrix_of(w, 0, a_words);
        k.a_pieces = sunup__words_a_pieces(w, &a);
        k.a_items = matrices(p, p->a_step) * k.a_pieces;
    }
    sunup__parallel(threads, k.a_items + (b ? matrices(p, p->b_step) * sunup__words_b_pieces(w) : 0), pack, &k);
}

/* Not below so many rows and panels, until there are so many blocks. */
static void halve(const struct product *p, int64_t *rows, int64_t *panels, int64_t wanted, int64_t fewest_rows,
                  int64_t fewest_panels)
{
    while (blocks_of(p, *rows, *panels) < wanted && (*rows > fewest_rows || *panels > fewest_panels)) {
        if (*rows >= *panels * PANEL && *rows > fewest_rows)
            *rows /= 2;
        else
            *panels /= 2;
    }
}

void sunup__words_share(const struct product *p, int threads, int64_t *rows, int64_t *panels)
{
    enum { BLOCKS_PER_THREAD = 3, ROWS_LEAST = 64, PANELS_LEAST = 2, ROWS_FEWEST = 32, PANELS_FEWEST = 1 };
    if (threads == 1) return;
    halve(p, rows, panels, (int64_t)BLOCKS_PER_THREAD * threads, ROWS_LEAST, PANELS_LEAST);
    halve(p, rows, panels, threads, ROWS_FEWEST, PANELS_FEWEST);
}

/* Below these f32 is as fast or faster. One part, Zen 5: 96 cubed 1.03, 32 x 32 x 4096 0.6, 4096 x 32 x 32 0.8 times
 * its speed. Two, with tiles: 32 columns 0.5 to 0.9 times, 48 and 64 1.0 to 1.3; of many matrices that come from afar
 * (Emerald Rapids, 2026-12-01) 48 columns 0.76, sums of 32 and 48 terms 0.77 to 0.92, of 64 with 128 columns 0.92, with
 * 256 1.17. */
bool sunup__words_pay(const struct product *p, int64_t parts)
{
    enum {
        LEAST = 32,
        LEAST_COLUMNS_2 = 48,
        LEAST_COLUMNS_FAR = 64,
        LEAST_TERMS = 1 << 20,
        TERMS_PER_ELEMENT = 24,
        TERMS_PER_ELEMENT_FAR = 40,
        FAR = 1 << 20 /* elements of many matrices in two parts that second levels do not keep */
    };
    const int64_t terms = p->batch * p->m * p->n * p->k;
    const int64_t elements = matrices(p, p->a_step) * p->m * p->k + matrices(p, p->b_step) * p->k * p->n +
                             p->batch * p->m * p->n;
    const bool far = parts > 1 && p->b_step != 0 && elements >= FAR;
    const int64_t columns = far ? LEAST_COLUMNS_FAR : parts > 1 ? LEAST_COLUMNS_2 : LEAST;
    return p->m >= LEAST && p->n >= columns && p->k >= LEAST && terms >= LEAST_TERMS &&
           terms >= (far ? TERMS_PER_ELEMENT_FAR : TERMS_PER_ELEMENT) * elements;
}
