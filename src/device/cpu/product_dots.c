/* product_dots.c - a matrix times a vector, where both come with the sum's terms side by side: dot
 * products, if the numerics allow the terms of one to be added in another order.
 *
 * Owes: a linear or matmul of one column of a plain B, or one row times a transposed B. By the gemm
 * leaf they would need the matrix turned, and each element is a chain of dependent sums: `exact`
 * pays for both. The leaf gemm_dots adds up 16 rows in 16 vectors; an element's sum depends on its
 * length alone, so no bit depends on threads.
 * Ceiling: one reading of the matrix, from where it lies.
 */
#include "base/system.h"
#include "device/cpu/makers.h"
#include "device/cpu/product.h"

enum {
    TILE = 16,          /* rows of the leaf's tile of one column */
    ELEMENTS = 1 << 14, /* of the matrix, a task: a microsecond from the second level */
    LEAST = 32          /* terms of a sum that pay for folding a vector */
};

struct run {
    const struct product *p;
    const struct leaves_f32 *leaves;
    const float *matrix, *vector, *bias;
    float *y;
};

/* The vector is A where there is one row of it. */
static bool is_row(const struct product *p)
{
    return p->m == 1 && p->b_col != 1;
}

static int64_t rows(const struct product *p)
{
    return is_row(p) ? p->n : p->m;
}

static int64_t rows_per_task(const struct product *p)
{
    return round_up(ceil_div(ELEMENTS, p->k), TILE);
}

static void run_task(void *arg, int64_t t)
{
    const struct run *r = arg;
    const struct product *p = r->p;
    const bool row = is_row(p);
    const int64_t count = rows(p), each = rows_per_task(p), tasks = ceil_div(count, each);
    const int64_t s = t / tasks, from = t % tasks * each;
    r->leaves->gemm_dots(
        &(struct gemm_f32){.m = least(each, count - from),
                           .n = 1,
                           .k = p->k,
                           .batch = 1,
                           .a = r->matrix + s * (row ? p->b_step : p->a_step) + from * p->k,
                           .a_row = p->k,
                           .a_col = 1,
                           .b = r->vector + s * (row ? p->a_step : p->b_step),
                           .b_row = p->k,
                           .c = r->y + s * count + from,
                           .c_row = 1,
                           .bias = r->bias});
}

static sunup_status run(const struct step *s, const sunup_random_key *key)
{
    (void)key;
    const struct product *p = s->data;
    const bool row = is_row(p);
    struct run r = {p,
                    &s->device->kernels->f32,
                    s->in[row ? 1 : 0],
                    s->in[row ? 0 : 1],
                    s->node->n_in > 2 ? s->in[2] : NULL,
                    s->out[0]};
    const int64_t tasks = p->batch * ceil_div(rows(p), rows_per_task(p));
    sunup__parallel(s->device->threads, tasks, run_task, &r);
    return SUNUP_OK;
}

static void end(struct step *s)
{
    sunup__free(s->data);
    s->data = NULL;
}

/* A row with a bias is none of linear's: its B is never transposed. */
bool sunup__product_dots_can(const struct device *d, const struct node *n)
{
    if (sunup_context_numerics(d->ctx) == SUNUP_NUMERICS_EXACT || n->out[0]->dtype != SUNUP_F32 ||
        sunup__elements(&n->out[0]->shape) == 0)
        return false;
    const struct product p = sunup__product_of(n);
    return p.k >= LEAST && ((p.n == 1 && p.a_col == 1) || (p.m == 1 && p.b_row == 1));
}

sunup_status sunup__make_product_dots(struct device *d, const struct node *n, struct step *s)
{
    struct product *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, d->ctx, E_MEMORY, "no memory for a step");
    *p = sunup__product_of(n);
    s->data = p;
    s->run = run;
    s->end = end;
    return SUNUP_OK;
}
