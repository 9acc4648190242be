/* problem_check.c - every maker of a problem against the op's own way in f64, on the same numbers.
 *
 * Bound of an element: (64 + 4 sums) u size, with u = 2^-24 (2^-8 where numerics are bf16), sums the
 * multiply-adds an output has on average (x4: borders have fewer than others), and size
 *   for sums of products (convolution, products, their gradients): the f64 run on absolute values,
 *   for any other op: the largest value of that output.
 * Where a maker rounds the operands of products, their error (sunup__product_error) of size more.
 * A NaN is never within it. It is wide (right makers stay below a fifth, Winograd's larger constant
 * included): it tells a wrong kernel from a right one, not a good one from a better one.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/ops/conv.h"
#include "plan/problem.h"

struct reference {
    struct problem p;    /* in f64 */
    double *size;        /* of out[0], or NULL: by the largest value */
    double factor;       /* (64 + 4 sums) u */
    const char *problem; /* without the op's name */
};

static bool is_bilinear(const struct op *op)
{
    static const struct op *const ops[] = {&sunup__op_conv, &sunup__op_conv_data_grad,
                                           &sunup__op_conv_weight_grad, &sunup__op_linear,
                                           &sunup__op_matmul};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i] == op) return true;
    return false;
}

static int plain_way(const struct problem *p)
{
    for (int i = 0; i < p->n_ways; i++)
        if (strcmp(p->ways[i].maker->name, "op_run") == 0) return i;
    return 0;
}

/* The same problem in f64, run on the numbers and, where that is the size, on their absolutes. */
static sunup_status run_reference(sunup_context *ctx, const struct problem *p, struct reference *r)
{
    char text[PROBLEM_TEXT];
    snprintf(text, sizeof text, "%s", p->text);
    char *type = strrchr(text, ':');
    CHECK(strcmp(type, ":f32") == 0, ctx, E_ARGUMENT,
          "'%s' is computed by its reference alone; problems of f32 can be checked", p->text);
    memcpy(type, ":f64", 4);
    TRY(sunup__problem_open(ctx, text, &r->p));
    TRY(sunup__problem_run(&r->p, plain_way(&r->p)));
    const struct node *n = r->p.node;
    const int64_t count = sunup__elements(&n->out[0]->shape);
    const double u = sunup_context_numerics(ctx) == SUNUP_NUMERICS_BF16 ? 0x1p-8 : 0x1p-24;
    r->factor = (64 + 2 * sunup__node_cost(n).flops / (double)(count > 0 ? count : 1)) * u;
    if (!is_bilinear(n->op)) return SUNUP_OK;
    r->size = r->p.out[0];
    r->p.out[0] = NULL;
    for (int i = 0; i < n->n_in; i++) {
        double *x = r->p.in[i];
        const int64_t elements = n->in[i] != NULL ? sunup__elements(&n->in[i]->shape) : 0;
        for (int64_t k = 0; k < elements; k++) x[k] = fabs(x[k]);
    }
    TRY(r->p.device->ops->alloc(r->p.device, count * (int64_t)sizeof(double), &r->p.out[0]));
    TRY(sunup__problem_run(&r->p, plain_way(&r->p)));
    void *size = r->p.out[0]; /* and back: size and value change places */
    r->p.out[0] = r->size;
    r->size = size;
    return SUNUP_OK;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabs(x[i]) > most) most = fabs(x[i]);
    return most;
}

/* Largest error of an output as a share of its bound; *at: where. */
static double worst_of(const struct problem *p, const struct reference *r, double factor, int output, int64_t *at)
{
    const int64_t n = sunup__elements(&p->node->out[output]->shape);
    const float *got = p->out[output];
    const double *want = r->p.out[output];
    const double most = largest(want, n);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double size = output == 0 && r->size != NULL ? r->size[i] : most;
        const double error = fabs((double)got[i] - want[i]), bound = factor * size + 0x1p-126;
        const double share = isnan(error) ? INFINITY : error / bound;
        if (share <= worst) continue;
        worst = share;
        *at = i;
    }
    return worst;
}

static sunup_status check_way(struct problem *p, const struct reference *r, int way,
                              struct check_report *report)
{
    const struct node *n = p->node;
    struct check_result result = {.leaf = p->ways[way].maker->name,
                                  .problem = p->text,
                                  .isa = p->device->kernels->isa,
                                  .runs = 1};
    char sentence[512];
    for (int o = 0; o < n->n_out; o++)
        memset(p->out[o], 0xff,
               (size_t)(sunup__elements(&n->out[o]->shape) * sunup_dtype_bytes(n->out[o]->dtype)));
    TRY(sunup__problem_run(p, way));
    for (int o = 0; o < n->n_out; o++) {
        int64_t at = 0;
        const double share = worst_of(p, r, r->factor + sunup__product_error(p->ways[way].maker), o, &at);
        if (share > result.worst) result.worst = share;
        if (share <= 1 || result.failure != NULL) continue;
        snprintf(sentence, sizeof sentence,
                 "%s: %s: element %lld of output %d is %g, must be %g: %.3g of its bound", p->text,
                 result.leaf, (long long)at, o, (double)((const float *)p->out[o])[at],
                 ((const double *)r->p.out[o])[at], share);
        result.failure = sentence;
    }
    report->results++;
    report->failures += result.failure != NULL;
    if (report->each != NULL) report->each(report->arg, &result);
    return SUNUP_OK;
}

static sunup_status check_ways(sunup_context *ctx, struct problem *p, struct reference *r,
                               struct check_report *report)
{
    TRY(run_reference(ctx, p, r));
    for (int i = 0; i < p->n_ways; i++) TRY(check_way(p, r, i, report));
    return SUNUP_OK;
}

sunup_status sunup__problem_check(sunup_context *ctx, const char *text, struct check_report *report)
{
    struct problem p;
    struct reference r = {.size = NULL};
    TRY(sunup__problem_open(ctx, text, &p));
    const sunup_status status = check_ways(ctx, &p, &r, report);
    if (r.size != NULL) p.device->ops->free(p.device, r.size);
    sunup__problem_close(&r.p);
    sunup__problem_close(&p);
    return status;
}
