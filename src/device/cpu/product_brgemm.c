/* product_brgemm.c - linear and matmul: blocks of C, each a few calls of the gemm leaf.
 *
 * B is packed into panels of 32 columns, one vector pair wide, if it comes transposed, or if it is
 * so large that reading 32 columns of wide rows costs a page and a cache line each time. A is read
 * where it is, by strides. Long sums are cut at K_BLOCK so that a panel of B and a block of A stay
 * in a 1 MB L2: the cut goes on in C's own value, so that the chain of an element, and with it its
 * bits, is the same for any block sizes.
 */
#include "base/system.h"
#include "device/cpu/makers.h"
#include "graph/ops/matmul.h"

enum {
    PANEL = 32,
    K_BLOCK = 1024,
    ROWS = 112, /* of a block: a multiple of the tiles' 28 and 14 */
    COLUMNS = 128,
    PACK_FROM_BYTES = 512 << 10,
    PACK_FROM_ROWS = 48
};
static const double task_flops = 3e5; /* less is not worth another thread's wake-up */

struct product {
    int64_t batch, m, n, k;
    int64_t a_row, a_col, a_step, b_step;
    bool b_transposed, packed;
    int64_t blocks_m, blocks_n;
};

/* One run of it. */
struct run {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *a, *b, *bias;
    float *c, *panels;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- packing: panel j of matrix s lies at (s * n + j * PANEL) * k, [k][its width] ---- */

static void transpose_panel(const float *b, int64_t k, int64_t width, float *panel)
{
    enum { STRIP = 16 }; /* one cache line of each source row at a time */
    for (int64_t p0 = 0; p0 < k; p0 += STRIP) {
        const int64_t p1 = least(p0 + STRIP, k);
        for (int64_t j = 0; j < width; j++) {
            for (int64_t p = p0; p < p1; p++) panel[p * width + j] = b[j * k + p];
        }
    }
}

static void copy_panel(const float *b, const struct product *p, int64_t width, float *panel)
{
    for (int64_t r = 0; r < p->k; r++) {
        for (int64_t j = 0; j < width; j++) panel[r * width + j] = b[r * p->n + j];
    }
}

static void pack(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t panels = (p->n + PANEL - 1) / PANEL, s = i / panels, j = i % panels * PANEL;
    const int64_t width = least(PANEL, p->n - j);
    float *panel = r->panels + (s * p->n + j) * p->k;
    const float *b = r->b + s * p->b_step;
    if (p->b_transposed) {
        transpose_panel(b + j * p->k, p->k, width, panel);
    } else {
        copy_panel(b + j, p, width, panel);
    }
}

/* ---- products ---- */

struct block {
    int64_t s, i0, i1, j0, j1;
};

/* Columns [j, j + width) of the block over sums [p0, p1). */
static void columns(const struct run *r, const struct block *o, int64_t j, int64_t width,
                    int64_t p0, int64_t p1)
{
    const struct product *p = r->p;
    const int64_t bs = p->b_step ? o->s : 0;
    const float *b = p->packed ? r->panels + (bs * p->n + j) * p->k + p0 * width
                               : r->b + o->s * p->b_step + p0 * p->n + j;
    const struct gemm_f32 g = {
        .m = o->i1 - o->i0,
        .n = width,
        .k = p1 - p0,
        .batch = 1,
        .a = r->a + o->s * p->a_step + o->i0 * p->a_row + p0 * p->a_col,
        .a_row = p->a_row,
        .a_col = p->a_col,
        .b = b,
        .b_row = p->packed ? width : p->n,
        .c = r->c + (o->s * p->m + o->i0) * p->n + j,
        .c_row = p->n,
        .accumulate = p0 > 0,
        .bias = r->bias && p1 == p->k ? r->bias + j : NULL,
    };
    r->leaves->gemm(&g);
}

static void run_block(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t bi = i / p->blocks_n % p->blocks_m, bj = i % p->blocks_n;
    const int64_t panels = (p->n + PANEL - 1) / PANEL;
    const struct block o = {.s = i / p->blocks_n / p->blocks_m,
                            .i0 = bi * p->m / p->blocks_m,
                            .i1 = (bi + 1) * p->m / p->blocks_m,
                            .j0 = bj * panels / p->blocks_n * PANEL,
                            .j1 = least((bj + 1) * panels / p->blocks_n * PANEL, p->n)};
    const int64_t step = p->packed ? PANEL : o.j1 - o.j0;
    int64_t p0 = 0;
    do { /* once even if k = 0: C must be written */
        const int64_t p1 = p->k - p0 > K_BLOCK * 3 / 2 ? p0 + K_BLOCK : p->k;
        for (int64_t j = o.j0; j < o.j1; j += step)
            columns(r, &o, j, least(step, o.j1 - j), p0, p1);
        p0 = p1;
    } while (p0 < p->k);
}

static sunup_status run_product(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct product *p = s->data;
    struct run r = {p,
                    &s->device->kernels->f32,
                    s->in[0],
                    s->in[1],
                    s->node->n_in > 2 ? s->in[2] : NULL,
                    s->out[0],
                    s->workspace};
    if (p->packed) {
        const int64_t panels = (p->n + PANEL - 1) / PANEL;
        sunup__parallel(s->device->threads, (p->b_step ? p->batch : 1) * panels, pack, &r);
    }
    sunup__parallel(s->device->threads, p->batch * p->blocks_m * p->blocks_n, run_block, &r);
    return SUNUP_OK;
}

/* ---- making ---- */

/* Blocks small enough that each thread gets some, but not
 * so small that starting them costs more. */
static void cut(struct product *p, int threads)
{
    const double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k;
    int64_t rows = ROWS, cols = COLUMNS;
    for (;;) {
        p->blocks_m = (p->m + rows - 1) / rows;
        p->blocks_n = (p->n + cols - 1) / cols;
        const int64_t blocks = p->blocks_m * p->blocks_n;
        if (p->batch * blocks >= 2 * threads || flops / (double)blocks < 2 * task_flops) return;
        if (cols > PANEL && p->n > cols / 2) {
            cols /= 2;
        } else if (rows > 28 && p->m > rows / 2) {
            rows /= 2;
        } else {
            return;
        }
    }
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

static sunup_status make(struct device *d, struct step *s, const struct product *made)
{
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = *made;
    const int64_t b_bytes = p->k * p->n * (int64_t)sizeof(float);
    p->packed =
        p->b_transposed || (p->m >= PACK_FROM_ROWS && p->n > PANEL && b_bytes >= PACK_FROM_BYTES);
    cut(p, d->threads);
    s->data = p;
    s->run = run_product;
    s->end = end;
    s->workspace_bytes = p->packed ? b_bytes * (p->b_step ? p->batch : 1) : 0;
    return SUNUP_OK;
}

sunup_status sunup__make_linear_brgemm(struct device *d, const struct node *n, struct step *s)
{
    const int64_t k = n->in[1]->shape.d[0], columns_of_c = n->in[1]->shape.d[1];
    const struct product p = {.batch = 1,
                              .m = sunup__elements(&n->out[0]->shape) / columns_of_c,
                              .n = columns_of_c,
                              .k = k,
                              .a_row = k,
                              .a_col = 1};
    return make(d, s, &p);
}

sunup_status sunup__make_matmul_brgemm(struct device *d, const struct node *n, struct step *s)
{
    const struct matmul_attr *t = n->attr;
    const bool ta = t->flags & SUNUP_TRANSPOSE_A;
    const struct product p = {.batch = t->batch,
                              .m = t->m,
                              .n = t->n,
                              .k = t->k,
                              .a_row = ta ? 1 : t->k,
                              .a_col = ta ? t->m : 1,
                              .a_step = t->a_step,
                              .b_step = t->b_step,
                              .b_transposed = t->flags & SUNUP_TRANSPOSE_B};
    return make(d, s, &p);
}
