/* product_brgemm.c - linear and matmul: blocks of C, each a few calls of the gemm leaf.
 *
 * Owes: every product of f32 with any strides, by the plan of product_cut.c: a task packs its own
 * blocks of B (and of A, if its rows collide in the cache) into its slot of the workspace, so
 * threads meet only at the end. Where it pays, a few lines of what the next calls read and write are
 * fetched before each call, or asked for by the calls, if it is one run of memory. A step goes on
 * in C's own value: the chain of an element, and with it its bits, is the same for any blocks.
 * With a far third level, and where numerics allow it, the terms of a small linear layer are summed in two halves, as
 * two matrices of a batch: a thread then reads the rows of B that it wrote, not half of them from the other's caches
 * (halves, below).
 * Source of the blocking: Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008, with A in place.
 * Ceiling: 2 m n k flops, or one reading of B; on Zen 4 91-96 % of one core's peak from 512 cubed
 * on, on Sapphire Rapids 70-80 % of two cores' (MKL 75-83 %), and a few rows times a large B at the speed of memory.
 */
#include <string.h>

#include "base/system.h"
#include "device/cpu/ahead.h"
#include "device/cpu/makers.h"
#include "device/cpu/prepared.h"
#include "device/cpu/product.h"
#include "graph/ops/conv.h"
#include "graph/ops/matmul.h"

/* One run of it. */
struct run {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *a, *b, *bias;
    float *c, *workspace, *prepared;
};

/* Number bi, bj of matrix s, where it is, and room for its packed operands and a strip of C. */
struct item {
    int64_t s, bi, bj;
    int64_t i0, i1, j0, j1;
    float *a, *b, *c;
};

static const float *a_at(const struct run *r, const struct item *o, int64_t i, int64_t p)
{
    return r->a + o->s * r->p->a_step + i * r->p->a_row + p * r->p->a_col;
}

static const float *b_at(const struct run *r, const struct item *o, int64_t p, int64_t j)
{
    return r->b + o->s * r->p->b_step + p * r->p->b_row + j * r->p->b_col;
}

static int64_t panels_of_item(const struct product *p)
{
    return ceil_div(p->columns, PANEL);
}

/* Packed panels of the item, sums from p0 on. */
static float *panels_at(const struct run *r, const struct item *o, int64_t p0)
{
    const struct product *p = r->p;
    if (!p->prepared) return o->b;
    const int64_t column = (p->b_step != 0 ? o->s : 0) * p->items_n + o->bj;
    return r->prepared + column * panels_of_item(p) * p->panel + p0 * PANEL;
}

/* ---- fetching ---- */

/* Rows of a matrix that are still to be fetched, and where in the first of them. */
struct rows {
    const float *x;
    int64_t rows, width, row, at;
};

static void fetch(struct rows *a, int64_t lines)
{
    for (; lines > 0 && a->rows > 0; lines--) {
        __builtin_prefetch(a->x + a->at, 0, 2);
        a->at += LINE;
        if (a->at < a->width + LINE - 1) continue; /* rows need not start with a line */
        a->at = 0;
        a->x += a->row;
        a->rows--;
    }
}

/* A matrix [rows][n] of which one of the strides is 1. */
static struct rows rows_of(const float *x, int64_t rows, int64_t n, int64_t row, int64_t column)
{
    return column == 1 ? (struct rows){x, rows, n, row, 0} : (struct rows){x, n, rows, column, 0};
}

/* The block of B after the sums before p: further down, or of the item to the right. */
static struct rows next_b(const struct run *r, const struct item *o, int64_t p0)
{
    const struct product *p = r->p;
    int64_t j0 = o->j0, j1 = o->j1;
    if (p0 >= p->k) {
        p0 = 0;
        j0 = o->j1;
        j1 = least(p->n, o->j1 + p->columns);
    }
    if (p->prepared) {
        struct item next = *o;
        if (j0 != o->j0) next.bj++;
        return (struct rows){panels_at(r, &next, p0), ceil_div(j1 - j0, PANEL),
                              least(p->depth, p->k - p0) * PANEL, p->panel, 0};
    }
    return rows_of(b_at(r, o, p0, j0), least(p->depth, p->k - p0), j1 - j0, p->b_row, p->b_col);
}

/* ---- packing ---- */

/* One row of a panel, in registers: a call of memcpy would cost more than the copy. */
static inline void copy_row(const float *x, float *y)
{
    typedef float four __attribute__((vector_size(16), aligned(4)));
    four row[PANEL / 4];
    for (int i = 0; i < PANEL / 4; i++) row[i] = *(const four *)(const void *)(x + 4 * i);
    for (int i = 0; i < PANEL / 4; i++) *(four *)(void *)(y + 4 * i) = row[i];
}

/* Row by row of B, so that memory is read in order. */
static void copy_panels(const struct product *p, int64_t rows, int64_t n, const float *x, float *y)
{
    enum { ROWS_AHEAD = 8 };
    const int64_t whole = n / PANEL * PANEL;
    for (int64_t r = 0; r < rows; r++, x += p->b_row, y += PANEL) {
        float *to = y;
        for (int64_t j = 0; j < whole; j += PANEL, to += p->panel) {
            const float *next = x + ROWS_AHEAD * p->b_row + j;
            __builtin_prefetch(next);
            __builtin_prefetch(next + LINE);
            copy_row(x + j, to);
        }
        memcpy(to, x + whole, (size_t)(n - whole) * sizeof *x);
    }
}

static void pack_b(const struct run *r, const struct item *o, int64_t p0, int64_t p1)
{
    const struct product *p = r->p;
    if (p->b_col == 1) {
        copy_panels(p, p1 - p0, o->j1 - o->j0, b_at(r, o, p0, o->j0), panels_at(r, o, p0));
        return;
    }
    float *panel = panels_at(r, o, p0);
    for (int64_t j = o->j0; j < o->j1; j += PANEL, panel += p->panel) {
        r->leaves->transpose(least(PANEL, o->j1 - j), p1 - p0, b_at(r, o, p0, j), p->b_col, panel,
                             PANEL);
    }
}

/* Strips from row i on as they are, the rows of each closer together, or, transposed, the columns: of several
 * strips at once, since a column of one is two lines of memory that nothing reads ahead. */
static void pack_a(const struct run *r, const struct item *o, int64_t i, int64_t p0, int64_t k)
{
    const struct product *p = r->p;
    const int64_t end = least(o->i1, i + p->strips * p->strip);
    const float *x = a_at(r, o, i, p0);
    if (p->a_col == 1) {
        for (float *y = o->a; i < end; i++, x += p->a_row, y += p->depth + LINE)
            memcpy(y, x, (size_t)k * sizeof *x);
        return;
    }
    for (int64_t q = 0; q < k; q++, x += p->a_col) {
        float *y = o->a + q * p->strip;
        for (int64_t at = i; at < end; at += p->strip, y += p->strip_a)
            memcpy(y, x + (at - i), (size_t)least(p->strip, end - at) * sizeof *x);
    }
}

/* A strip of A as it was packed, sums from p0 on. */
static void use_packed_a(const struct run *r, const struct item *o, int64_t i, int64_t p0, struct gemm_f32 *g)
{
    const struct product *p = r->p;
    const int64_t number = (i - o->i0) / p->strip % p->strips;
    if (number == 0) pack_a(r, o, i, p0, g->k);
    g->a = o->a + number * p->strip_a;
    *(p->a_col == 1 ? &g->a_row : &g->a_col) = p->a_col == 1 ? p->depth + LINE : p->strip;
}

/* ---- products ---- */

/* What comes after strip i of the item's sums [p0, p1): the next strip of A and of C, and the next
 * block of B, which is fetched over all strips. Or the runs of memory that those two strips are. */
struct next {
    struct rows a, b, c;
    struct ahead runs;
};

static void look(const struct run *r, const struct item *o, int64_t i, int64_t p0, struct next *n)
{
    const struct product *p = r->p;
    const int64_t p1 = least(p0 + p->depth, p->k), rows = least(p->strip, o->i1 - i - p->strip);
    n->a.rows = n->c.rows = 0;
    if (i == o->i0) n->b = next_b(r, o, p1);
    if (rows <= 0) return;
    i += p->strip;
    n->a = rows_of(a_at(r, o, i, p0), rows, p1 - p0, p->a_row, p->a_col);
    n->c = (struct rows){r->c + (o->s * p->m + i) * p->n + o->j0, rows, o->j1 - o->j0, p->n, 0};
}

/* Rows of A and C go on from item to item: often the next strip is this thread's, too. */
static void look_along(const struct run *r, const struct item *o, int64_t i, struct next *n)
{
    const struct product *p = r->p;
    const int64_t all = p->batch * p->m, from = least(all, o->s * p->m + i + p->strip);
    const int64_t rows = least(p->strip, all - from);
    n->runs = (struct ahead){.x = {r->a + from * p->k, r->c + from * p->n},
                             .n = {rows * p->k, p->asks_c ? rows * p->n : 0}};
}

static void fetch_some(const struct product *p, struct next *n)
{
    fetch(&n->a, p->lines_a);
    fetch(&n->b, p->lines_b);
    fetch(&n->c, p->lines_c);
}

/* A strip of A from row i on with all panels of the item, sums [p0, p0 + g->k); in one call if B is
 * in place and nothing is fetched: few rows then have tiles of four vectors. */
static void multiply_strip(const struct run *r, const struct item *o, struct gemm_f32 *g, int64_t i,
                           int64_t p0, struct next *next)
{
    const struct product *p = r->p;
    float *to = r->c + (o->s * p->m + i) * p->n, *c = p->stream ? o->c : to;
    const float *panel = panels_at(r, o, p0);
    const int64_t width = p->pack_b || p->ahead || p->asks_a ? PANEL : p->columns;
    for (int64_t j = o->j0; j < o->j1; j += width, panel += p->panel) {
        if (p->ahead) fetch_some(p, next);
        if (p->asks_a) ask_ahead(&next->runs, g);
        g->n = least(width, o->j1 - j);
        g->b = p->pack_b ? panel : b_at(r, o, p0, j);
        g->c = c + j;
        g->bias = r->bias && p0 + g->k == p->k && !p->swapped ? r->bias + j : NULL;
        r->leaves->gemm(g);
    }
    if (p->stream) stream_run(r->leaves, g->m * p->n, c, to);
}

static void multiply(const struct run *r, const struct item *o, int64_t p0, int64_t p1)
{
    const struct product *p = r->p;
    struct next next = {.b.rows = 0};
    if (p->pack_b && !p->prepared) pack_b(r, o, p0, p1);
    for (int64_t i = o->i0; i < o->i1; i += p->strip) {
        struct gemm_f32 g = {.m = least(p->strip, o->i1 - i),
                             .k = p1 - p0,
                             .batch = 1,
                             .a = a_at(r, o, i, p0),
                             .a_row = p->a_row,
                             .a_col = p->a_col,
                             .b_row = p->pack_b ? PANEL : p->b_row,
                             .c_row = p->n,
                             .accumulate = p0 > 0};
        if (p->pack_a) use_packed_a(r, o, i, p0, &g);
        if (p->ahead) look(r, o, i, p0, &next);
        if (p->asks_a) look_along(r, o, i, &next);
        multiply_strip(r, o, &g, i, p0, &next);
    }
}

static void run_item(const struct run *r, const struct item *o)
{
    const struct product *p = r->p;
    int64_t p0 = 0;
    do { /* once even if k = 0: C must be written */
        const int64_t p1 = least(p0 + p->depth, p->k);
        multiply(r, o, p0, p1);
        p0 = p1;
    } while (p0 < p->k);
    if (!p->swapped || !r->bias) return;
    for (int64_t j = o->j0; j < o->j1; j++) r->c[o->s * p->n + j] += *r->bias;
}

static void place(const struct product *p, struct item *o)
{
    const int64_t lines = ceil_div(p->n, LINE);
    o->i0 = o->bi * p->m / p->items_m;
    o->i1 = (o->bi + 1) * p->m / p->items_m;
    o->j0 = o->bj * lines / p->items_n * LINE;
    o->j1 = least((o->bj + 1) * lines / p->items_n * LINE, p->n);
}

/* No divisions where a matrix is one item: there may be thousands of small ones. */
static void go_on(const struct product *p, struct item *o)
{
    if (p->items_m * p->items_n == 1) {
        o->s++;
        return;
    }
    if (++o->bj == p->items_n) {
        o->bj = 0;
        if (++o->bi == p->items_m) o->bi = 0, o->s++;
    }
    place(p, o);
}

/* Matrices [s, end): what does not change from one to the next is said once (Emerald Rapids with AMX: 4096 of 16 x 16 x
 * 16 338 and 341 instead of 458 and 434 us). A batch has no bias. */
static void call_each(const struct run *r, int64_t s, int64_t end)
{
    const struct product *p = r->p;
    struct gemm_f32 g = {.m = p->m,
                         .n = p->n,
                         .k = p->k,
                         .batch = 1,
                         .a = r->a + s * p->a_step,
                         .a_row = p->a_row,
                         .a_col = p->a_col,
                         .b = r->b + s * p->b_step,
                         .b_row = p->b_row,
                         .c = r->c + s * p->m * p->n,
                         .c_row = p->n};
    for (; s < end; s++, g.a += p->a_step, g.b += p->b_step, g.c += p->m * p->n) r->leaves->gemm(&g);
}

static void run_task(void *arg, int64_t t)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t each = p->items_m * p->items_n, items = p->batch * each;
    const int64_t first = t * items / p->tasks, end = (t + 1) * items / p->tasks;
    if (p->calls) {
        call_each(r, first, end);
        return;
    }
    struct item o = {.s = first / each,
                     .bi = first % each / p->items_n,
                     .bj = first % p->items_n,
                     .b = r->workspace + t * p->slot};
    o.a = o.b + (p->pack_b && !p->prepared ? panels_of_item(p) * p->panel : 0);
    o.c = o.a + (p->pack_a ? p->strips * p->strip_a : 0);
    place(p, &o);
    for (int64_t i = first; i < end; i++, go_on(p, &o)) run_item(r, &o);
}

/* Columns of items that have panels. */
static int64_t prepared_columns(const struct product *p)
{
    return p->prepared ? (p->b_step != 0 ? p->batch : 1) * p->items_n : 0;
}

static int64_t prepared_bytes(const struct product *p)
{
    return prepared_columns(p) * panels_of_item(p) * p->panel * (int64_t)sizeof(float);
}

static struct run run_of(const struct step *s)
{
    const struct product *p = s->data;
    return (struct run){p,
                        &s->device->kernels->f32,
                        s->in[p->swapped ? 1 : 0],
                        s->in[p->swapped ? 0 : 1],
                        s->node->n_in > 2 ? s->in[2] : NULL,
                        s->out[0],
                        workspace_behind(s, prepared_bytes(p)),
                        prepared_weights(s)};
}

static sunup_status run_product(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    (void)have_prepared(s);
    struct run r = run_of(s);
    sunup__parallel(s->device->threads, r.p->tasks, run_task, &r);
    return SUNUP_OK;
}

/* ---- halves of a sum ----
 * Of a small layer under training: what changes hands costs more than a C that is written three times. A
 * step of a network of 784-128-10 with a batch of 64 takes 183 and 189 instead of 223 and 238 us (Emerald Rapids
 * without AMX, 2026-12-01, 2 threads, medians of 15 rounds in turn). */

/* C = first + second + bias, by rows. */
struct addition {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *first, *second, *bias;
    float *c;
};

static void add_row(void *arg, int64_t i)
{
    const struct addition *o = arg;
    const int64_t n = o->p->n, at = i * n;
    o->leaves->pointwise(PW_add, n, o->c + at, o->first + at, o->second + at, NULL, NULL);
    if (o->bias) o->leaves->add_to(n, o->bias, o->c + at);
}

/* Floats of the halves' two C. */
static int64_t halves_elements(const struct product *p)
{
    return round_up(2 * p->m * p->n, LINE);
}

static sunup_status run_halves(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    (void)have_prepared(s);
    struct run r = run_of(s);
    struct addition sum = {.p = r.p,
                           .leaves = r.leaves,
                           .first = r.workspace,
                           .second = r.workspace + r.p->m * r.p->n,
                           .bias = r.bias,
                           .c = r.c};
    r.c = r.workspace;
    r.workspace += halves_elements(r.p);
    r.bias = NULL;
    sunup__parallel(s->device->threads, r.p->tasks, run_task, &r);
    sunup__parallel(s->device->threads, r.p->m, add_row, &sum);
    return SUNUP_OK;
}

/* ---- preparing ---- */

static int64_t steps_of(const struct product *p)
{
    return ceil_div(p->k, p->depth);
}

/* Step i % steps of a column of items. */
static void prepare_task(void *arg, int64_t i)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const int64_t column = i / steps_of(p), p0 = i % steps_of(p) * p->depth;
    struct item o = {.s = column / p->items_n, .bj = column % p->items_n};
    place(p, &o);
    pack_b(r, &o, p0, least(p->k, p0 + p->depth));
}

static void prepare_product(const struct step *s)
{
    struct run r = run_of(s);
    sunup__parallel(s->device->threads, prepared_columns(r.p) * steps_of(r.p), prepare_task, &r);
}

/* ---- making ---- */

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* One column is the row of the product with both operands transposed. */
static struct product swap(const struct product *p)
{
    struct product q = *p;
    q.swapped = true;
    q.m = 1, q.n = p->m;
    q.a_row = p->b_col, q.a_col = p->b_row, q.a_step = p->b_step;
    q.b_row = p->a_col, q.b_col = p->a_row, q.b_step = p->a_step;
    return q;
}

static sunup_status make(struct device *d, struct step *s, const struct product *made)
{
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = made->n == 1 && made->m > 1 ? swap(made) : *made;
    p->stays = operand_stays(s, p->swapped ? 0 : 1);
    sunup__product_cut(p, d->threads);
    s->data = p;
    s->run = run_product;
    s->end = end;
    s->workspace_bytes = p->slot * p->tasks * (int64_t)sizeof(float);
    ask_prepared(s, p->swapped ? 0 : 1, prepared_bytes(p), prepare_product);
    return SUNUP_OK;
}

static struct product of_linear(const struct node *n)
{
    const int64_t k = n->in[1]->shape.d[0], columns = n->in[1]->shape.d[1];
    return (struct product){.batch = 1,
                            .m = sunup__elements(&n->out[0]->shape) / columns,
                            .n = columns,
                            .k = k,
                            .a_row = k,
                            .a_col = 1,
                            .b_row = columns,
                            .b_col = 1};
}

static struct product of_matmul(const struct node *n)
{
    const struct matmul_attr *t = n->attr;
    const bool ta = t->flags & SUNUP_TRANSPOSE_A, tb = t->flags & SUNUP_TRANSPOSE_B;
    return (struct product){.batch = t->batch,
                            .m = t->m,
                            .n = t->n,
                            .k = t->k,
                            .a_row = ta ? 1 : t->k,
                            .a_col = ta ? t->m : 1,
                            .a_step = t->a_step,
                            .b_row = tb ? 1 : t->n,
                            .b_col = tb ? t->k : 1,
                            .b_step = t->b_step};
}

/* x, with a row for each point, turned, times dy. */
static struct product of_weight_grad(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    return (struct product){.batch = 1,
                            .m = w->c,
                            .n = w->k,
                            .k = sunup__elements(&n->in[1]->shape) / w->k,
                            .a_row = 1,
                            .a_col = w->c,
                            .b_row = w->k,
                            .b_col = 1};
}

struct product sunup__product_of(const struct node *n)
{
    if (n->op == &sunup__op_conv_weight_grad) return of_weight_grad(n);
    return n->op == &sunup__op_linear ? of_linear(n) : of_matmul(n);
}

sunup_status sunup__make_product_brgemm(struct device *d, const struct node *n, struct step *s)
{
    const struct product p = sunup__product_of(n);
    return make(d, s, &p);
}

/* What changes hands in a step of training, if each thread has rows of the weights: half of A, which the gradient of
 * the weights wants anyway, and C, twice; else half of B, and once more when it is updated. */
bool sunup__product_halves(const struct product *p)
{
    enum { LEAST_ROWS = 16, LEAST_B = 1 << 15, MOST_B = 1 << 18 };
    return sunup__level3_far() && p->m >= LEAST_ROWS && p->m <= p->n && 4 * p->m <= p->k && p->k * p->n >= LEAST_B &&
           p->k * p->n < MOST_B;
}

bool sunup__product_halves_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT || n->out[0]->dtype != SUNUP_F32) return false;
    const struct product p = sunup__product_of(n);
    return p.k % 2 == 0 && sunup__product_halves(&p);
}

/* First and second half of the terms: a batch of two. */
sunup_status sunup__make_product_halves(struct device *d, const struct node *n, struct step *s)
{
    struct product p = sunup__product_of(n);
    p.batch = 2;
    p.k /= 2;
    p.a_step = p.k * p.a_col;
    p.b_step = p.k * p.b_row;
    TRY(make(d, s, &p));
    s->run = run_halves;
    s->workspace_bytes += halves_elements(&p) * (int64_t)sizeof(float);
    return SUNUP_OK;
}
