/* product_words.h - operands of a product as words of two bf16 along the sum (leaves.def).
 *
 * A number has one part, itself rounded, or two (bf16x3): the second is what rounding left of it. Ends
 * of sums are filled with zeros to whole tiles of 16 words. A lies in rows, `depth` words of each, a step
 * of the sum, beside those of the next, an odd number of cache lines apart, since tiles load 16 rows at
 * once and rows a power of two apart meet in few sets of the first cache; B in panels of 32 columns.
 * Second parts follow the first ones of a row's step, or a panel's. Without tiles, which broadcast words
 * of A wherever they lie, a turned A is left in strips of rows, [words][rows].
 */
#ifndef SUNUP_DEVICE_CPU_PRODUCT_WORDS_H
#define SUNUP_DEVICE_CPU_PRODUCT_WORDS_H

#include "device/cpu/product.h"

enum { CHUNK = 64 /* terms of the sum that are packed at once */ };

struct words {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *a, *b;
    uint32_t *b_words;
    int64_t parts;     /* of a number                                         */
    int64_t k2, depth; /* words of a sum, whole tiles; of a step, whole chunks */
    int64_t pitch;     /* from one row of A to the next                       */
    int64_t strip;     /* rows of A that lie in a strip; 0: each by itself    */
};

/* Rows [first, end) of matrix s of A, packed. */
struct rows {
    int64_t s, first, end;
    uint32_t *words;
};

/* Cuts sums of p into equal steps of `most` words at most, all parts counted: a short last one would load C for
 * little. */
struct words sunup__words_of(const struct product *p, const struct leaves_f32 *leaves, int64_t parts, int64_t most);

static inline int64_t panels_of(const struct product *p)
{
    return ceil_div(p->n, PANEL);
}

/* Matrices of an operand: one that is shared by all of C is packed once. */
static inline int64_t matrices(const struct product *p, int64_t step)
{
    return step != 0 ? p->batch : 1;
}

static inline int64_t blocks_of(const struct product *p, int64_t rows, int64_t panels)
{
    return p->batch * ceil_div(p->m, rows) * ceil_div(panels_of(p), panels);
}

/* Halves blocks of C until each of several threads has a few, or one. */
void sunup__words_share(const struct product *p, int threads, int64_t *rows, int64_t *panels);

/* Words of the step that word q belongs to; second parts lie so many words, or rows of a panel, behind the first. */
static inline int64_t step_words(const struct words *w, int64_t q)
{
    return least(w->depth, w->k2 - q / w->depth * w->depth);
}

/* What n rows of A take, a panel of B, all of B. */
static inline int64_t rows_words(const struct words *w, int64_t n)
{
    return n * ceil_div(w->k2, w->depth) * w->pitch;
}

static inline int64_t panel_words(const struct words *w)
{
    return w->k2 * w->parts * PANEL;
}

static inline int64_t b_words(const struct words *w)
{
    return matrices(w->p, w->p->b_step) * panels_of(w->p) * panel_words(w);
}

/* Word q of row i, the first of its strip. */
static inline uint32_t *a_at(const struct words *w, const struct rows *a, int64_t i, int64_t q)
{
    if (w->strip > 0) return a->words + i * w->k2 + q * least(w->strip, a->end - i);
    return a->words + (q / w->depth * (a->end - a->first) + i - a->first) * w->pitch + q % w->depth;
}

/* Word q of the first of `width` columns of a panel of matrix s of B. */
static inline uint32_t *b_at(const struct words *w, int64_t s, int64_t panel, int64_t q, int64_t width)
{
    const int64_t before = q / w->depth * w->depth * (w->parts - 1) + q;
    return w->b_words + (s * panels_of(w->p) + panel) * panel_words(w) + before * width;
}

/* Packing is cut into pieces, which any threads do in any order: of rows of A, and of one matrix of B. */
int64_t sunup__words_a_pieces(const struct words *w, const struct rows *a);
int64_t sunup__words_b_pieces(const struct words *w);
void sunup__words_pack_a(const struct words *w, const struct rows *a, int64_t piece);
void sunup__words_pack_b(const struct words *w, int64_t s, int64_t piece);

/* All matrices of either operand at once: A's rows into a_words, unless that is NULL, and B, unless b is false. */
void sunup__words_pack(const struct words *w, uint32_t *a_words, bool b, int threads);

/* Matrix s of A as that packs it. */
static inline struct rows matrix_of(const struct words *w, int64_t s, uint32_t *a_words)
{
    const int64_t matrix = w->p->a_step != 0 ? s : 0;
    return (struct rows){matrix, 0, w->p->m, a_words + matrix * rows_words(w, w->p->m)};
}

/* Whether packing and waiting for it cost less than the multiply-adds that bf16 in so many parts saves. */
bool sunup__words_pay(const struct product *p, int64_t parts);

#endif
