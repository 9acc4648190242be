/* product_bf16.c - linear and matmul with operands rounded to bf16, sums in f32.
 *
 * Owes: the product where numerics are bf16; with tiles it is product_tiles.c's. Both operands are
 * first written as words (product_words.h), a turned A in strips of 112 rows: 7 lines, whose multiples
 * meet all sets, and 8 tiles of the leaf. Then blocks of C, each a chain of calls of the leaf over
 * steps of the sum that go on in C's own value, so no bit depends on threads.
 *
 * Ceiling: 2 m n k flops at twice the rate of f32 (Zen 4 and 5); packing is a tenth of the time of
 * 1024 x 1000 x 5270 on Zen 5, where the rest runs at 90 % of the leaf's rate; so what has few rows or
 * columns is left to f32. Blocks of all columns that pack their own rows of A gained 1-3 % there, 0 on
 * products with 256 columns, and lost where A comes turned. Where the second cache is 1 MB (Zen 4)
 * blocks have 128 rows and columns, else 256, so that both operands of a step take half of it.
 */
#include "base/system.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/product_tiles.h"

enum {
    DEPTH = 512, /* words of a step, at most */
    ROWS = 256,  /* of a block at most, and its panels */
    ROWS_LEAST = 64,
    PANELS = 8,
    STRIP = 112
};

struct run {
    struct words w;
    uint32_t *a_words;
    const float *bias;
    float *c;
    int64_t used;         /* words of a sum that are multiplied: not their zeros */
    int64_t rows, panels; /* of a block */
};

/* Rows [row, row + rows) of C, a whole strip if there are any; panel j, the step from word q on. The
 * next panel is asked for. */
static void multiply(const struct run *r, int64_t s, int64_t row, int64_t rows, int64_t j, int64_t q)
{
    const struct words *w = &r->w;
    const struct product *p = w->p;
    const int64_t width = least(PANEL, p->n - j * PANEL), k = least(w->depth, r->used - q);
    const struct rows matrix = matrix_of(w, s, r->a_words);
    const uint32_t *a = a_at(w, &matrix, row, q), *b = b_at(w, p->b_step ? s : 0, j, q, width), *next = NULL;
    if (j + 1 < panels_of(p))
        next = b_at(w, p->b_step ? s : 0, j + 1, q, least(PANEL, p->n - (j + 1) * PANEL));
    w->leaves->gemm_bf16(&(struct gemm_f32){.m = rows,
                                            .n = width,
                                            .k = k,
                                            .batch = 1,
                                            .a = (const float *)(const void *)a,
                                            .a_row = w->strip > 0 ? 1 : w->pitch,
                                            .a_col = w->strip > 0 ? rows : 1,
                                            .b = (const float *)(const void *)b,
                                            .b_row = width,
                                            .c = r->c + (s * p->m + row) * p->n + j * PANEL,
                                            .c_row = p->n,
                                            .accumulate = q > 0,
                                            .bias = r->bias && q + w->depth >= w->k2 ? r->bias + j * PANEL : NULL,
                                            .ahead = (const float *)(const void *)next,
                                            .ahead_row = k * PANEL / rows,
                                            .ahead_step = LINE});
}

static void block(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->w.p;
    const int64_t across = ceil_div(panels_of(p), r->panels), down = ceil_div(p->m, r->rows);
    const int64_t s = i / across / down, first = i % across * r->panels, row = i / across % down * r->rows,
                  end = least(p->m, row + r->rows), rows = r->w.strip > 0 ? r->w.strip : r->rows;
    for (int64_t q = 0; q < r->w.k2; q += r->w.depth) {
        for (int64_t j = first; j < least(panels_of(p), first + r->panels); j++) {
            for (int64_t at = row; at < end; at += rows) multiply(r, s, at, least(rows, end - at), j, q);
        }
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
    sunup__words_share(r->w.p, threads, &r->rows, &r->panels);
    if (r->w.p->a_col == 1) return;
    r->w.strip = least(STRIP, r->rows / 8 * 7);
    r->rows = r->rows / 8 * 7;
}

static struct run run_of(const struct step *s)
{
    const struct product *p = s->data;
    struct run r = {.w = sunup__words_of(p, &s->device->kernels->f32, 1, DEPTH),
                    .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                    .c = s->out[0],
                    .used = ceil_div(p->k, 2)};
    r.w.a = s->in[0];
    r.w.b = s->in[1];
    r.w.b_words = prepared_weights(s);
    choose_blocks(&r, s->device->threads);
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
    r.a_words = (uint32_t *)s->workspace + (s->prepared != NULL ? 0 : b_words(&r.w));
    sunup__words_pack(&r.w, r.a_words, s->prepared == NULL, s->device->threads);
    sunup__parallel(s->device->threads, blocks_of(p, r.rows, r.panels), block, &r);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

bool sunup__product_bf16_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) != SUNUP_NUMERICS_BF16 || !d->kernels->fast_bf16 ||
        n->out[0]->dtype != SUNUP_F32 || sunup__elements(&n->out[0]->shape) == 0)
        return false;
    const struct product p = sunup__product_of(n);
    return sunup__words_pay(&p, 1);
}

sunup_status sunup__make_product_bf16(struct device *d, const struct node *n, struct step *s)
{
    if (d->kernels->tiles_bf16) return sunup__make_product_tiles(d, n, s, 1);
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = sunup__product_of(n);
    s->data = p;
    s->run = run;
    s->end = end;
    const struct words w = sunup__words_of(p, &d->kernels->f32, 1, DEPTH);
    s->workspace_bytes = matrices(p, p->a_step) * rows_words(&w, p->m) * (int64_t)sizeof(uint32_t);
    ask_prepared(s, 1, b_words(&w) * (int64_t)sizeof(uint32_t), prepare);
    return SUNUP_OK;
}
