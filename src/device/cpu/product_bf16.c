/* product_bf16.c - linear and matmul with operands rounded to bf16, sums in f32.
 *
 * Owes: the product where numerics are bf16. Both operands are first written as words of two bf16 along
 * the sum (leaves.def): A as it lies, B in panels of 32 columns. Then blocks of C, each a chain of
 * gemm_bf16 calls over steps of the sum that go on in C's own value, so no bit depends on threads.
 * Ceiling: 2 m n k flops at twice the rate of f32; packing reads 4 and writes 2 bytes an element, so
 * what has few rows or columns is left to f32.
 */
#include "base/system.h"
#include "device/cpu/makers.h"
#include "device/cpu/product.h"

enum { ROWS = 112, PANELS = 4, DEPTH = 512 /* words */, LEAST = 32, PACK_ROWS = 64 };

struct run {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *a, *b, *bias;
    float *c;
    uint32_t *a_words, *b_words, *spare; /* spare: rows of B as words, if B is transposed */
    int64_t k2;                          /* words of a sum */
};

static int64_t words(const struct product *p)
{
    return (p->k + 1) / 2;
}

/* Matrices of an operand: one that is shared by all of C is packed once. */
static int64_t matrices(const struct product *p, int64_t step)
{
    return step != 0 ? p->batch : 1;
}

static int64_t panels(const struct product *p)
{
    return parts(p->n, PANEL);
}

/* Rows of A where they lie in rows: A(i, q) = words[i k2 + q]; else pairs of rows of k. */
static void pack_a(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    if (p->a_col == 1) {
        const int64_t blocks = parts(p->m, PACK_ROWS), s = i / blocks,
                      from = i % blocks * PACK_ROWS;
        for (int64_t row = from; row < least(p->m, from + PACK_ROWS); row++)
            r->leaves->bf16_words(p->k, r->a + s * p->a_step + row * p->a_row,
                                  r->a_words + (s * p->m + row) * r->k2);
    } else {
        const int64_t blocks = parts(p->k, PACK_ROWS), s = i / blocks,
                      from = i % blocks * PACK_ROWS;
        r->leaves->bf16_rows(least(PACK_ROWS, p->k - from), p->m,
                             r->a + s * p->a_step + from * p->a_col, p->a_col,
                             r->a_words + (s * r->k2 + from / 2) * p->m);
    }
}

static void pack_b(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t s = i / panels(p), j = i % panels(p) * PANEL, width = least(PANEL, p->n - j);
    uint32_t *panel = r->b_words + (s * panels(p) + j / PANEL) * r->k2 * PANEL;
    const float *b = r->b + s * p->b_step;
    if (p->b_col == 1) {
        r->leaves->bf16_rows(p->k, width, b + j, p->b_row, panel);
        return;
    }
    uint32_t *rows = r->spare + i * r->k2 * PANEL; /* words as columns of B, then turned */
    for (int64_t c = 0; c < width; c++)
        r->leaves->bf16_words(p->k, b + (j + c) * p->b_col, rows + c * r->k2);
    r->leaves->transpose(width, r->k2, (const float *)(const void *)rows, r->k2,
                         (float *)(void *)panel, width);
}

static void block(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t across = parts(panels(p), PANELS), down = parts(p->m, ROWS);
    const int64_t s = i / across / down, row = i / across % down * ROWS,
                  first = i % across * PANELS;
    const int64_t a_matrix = p->a_step ? s : 0, b_matrix = p->b_step ? s : 0;
    const int64_t a_row = p->a_col == 1 ? r->k2 : 1, a_col = p->a_col == 1 ? 1 : p->m;
    for (int64_t q = 0; q < r->k2 || q == 0; q += DEPTH) {
        for (int64_t j = first; j < least(panels(p), first + PANELS); j++) {
            const int64_t width = least(PANEL, p->n - j * PANEL);
            const uint32_t *a = r->a_words + a_matrix * p->m * r->k2 + row * a_row + q * a_col;
            const uint32_t *b = r->b_words + (b_matrix * panels(p) + j) * r->k2 * PANEL + q * width;
            r->leaves->gemm_bf16(&(struct gemm_f32){
                .m = least(ROWS, p->m - row),
                .n = width,
                .k = least(DEPTH, r->k2 - q),
                .batch = 1,
                .a = (const float *)(const void *)a,
                .a_row = a_row,
                .a_col = a_col,
                .b = (const float *)(const void *)b,
                .b_row = width,
                .c = r->c + (s * p->m + row) * p->n + j * PANEL,
                .c_row = p->n,
                .accumulate = q > 0,
                .bias = r->bias && q + DEPTH >= r->k2 ? r->bias + j * PANEL : NULL});
        }
    }
}

static int64_t a_elements(const struct product *p)
{
    return round_up(matrices(p, p->a_step) * p->m * words(p), LINE);
}

static int64_t b_elements(const struct product *p)
{
    return matrices(p, p->b_step) * panels(p) * words(p) * PANEL;
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct product *p = s->data;
    struct run r = {.p = p,
                    .leaves = &s->device->kernels->f32,
                    .a = s->in[0],
                    .b = s->in[1],
                    .bias = s->node->n_in > 2 ? s->in[2] : NULL,
                    .c = s->out[0],
                    .a_words = s->workspace,
                    .k2 = words(p)};
    r.b_words = r.a_words + a_elements(p);
    r.spare = r.b_words + b_elements(p);
    const int threads = s->device->threads;
    const int64_t along = p->a_col == 1 ? p->m : p->k;
    sunup__parallel(threads, matrices(p, p->a_step) * parts(along, PACK_ROWS), pack_a, &r);
    sunup__parallel(threads, matrices(p, p->b_step) * panels(p), pack_b, &r);
    sunup__parallel(threads, p->batch * parts(p->m, ROWS) * parts(panels(p), PANELS), block, &r);
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
    return p.m >= LEAST && p.n >= LEAST && p.k >= LEAST;
}

sunup_status sunup__make_product_bf16(struct device *d, const struct node *n, struct step *s)
{
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = sunup__product_of(n);
    s->data = p;
    s->run = run;
    s->end = end;
    const int64_t spare = p->b_col == 1 ? 0 : b_elements(p);
    s->workspace_bytes = (a_elements(p) + b_elements(p) + spare) * (int64_t)sizeof(uint32_t);
    return SUNUP_OK;
}
