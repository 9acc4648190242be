/* problem_ways.c - memory and steps for one problem: what a plan of one node would have, for each of
 * its makers.
 *
 * Owes: operands that are a function of the problem alone. Leaves: what to do with the ways. Not used
 * by plans: a plan has one arena, here every way has its workspace, so that what a maker keeps there
 * survives.
 */
#include <string.h>

#include "base/random.h"
#include "graph/ops/conv.h"
#include "graph/ops/matmul.h"
#include "plan/problem.h"

static int64_t bytes_of(const sunup_value *v)
{
    return sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype);
}

static sunup_status memory_for(struct problem *p, const sunup_value *v, void **memory)
{
    return p->device->ops->alloc(p->device, bytes_of(v), memory);
}

/* The same numbers in either type, for a check compares them. */
void sunup__problem_draw(const sunup_value *v, uint64_t which, void *memory)
{
    const struct random_stream s = {7, RANDOM_TEST, 2, which};
    const struct source_attr *a = sunup__source(v);
    const double low = a->low < a->high ? a->low : -1, high = a->low < a->high ? a->high : 1;
    const int64_t n = sunup__elements(&v->shape);
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)(low + (high - low) * sunup__random_unit(&s, (uint64_t)i));
        if (v->dtype == SUNUP_F64)
            ((double *)memory)[i] = (double)x;
        else
            ((float *)memory)[i] = x;
    }
}

static sunup_status prepare(sunup_context *ctx, const char *text, struct problem *p)
{
    TRY(sunup__device(ctx, &p->device));
    TRY(sunup__problem_read(ctx, text, &p->graph, &p->node));
    sunup__problem_text(p->node, p->text, sizeof p->text);
    const struct node *n = p->node;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] == NULL) continue;
        TRY(memory_for(p, n->in[i], &p->in[i]));
        sunup__problem_draw(n->in[i], (uint64_t)i, p->in[i]);
    }
    for (int i = 0; i < n->n_out; i++) TRY(memory_for(p, n->out[i], &p->out[i]));
    const struct maker *list[PROBLEM_WAYS];
    p->n_ways = sunup__makers(p->device, n, list, PROBLEM_WAYS);
    CHECK(p->n_ways > 0, ctx, E_UNSUPPORTED, "the device '%s' has no way to compute '%s'",
          p->device->ops->name, text);
    const char *tuned = sunup__tuned(ctx, n);
    for (int i = 0; i < p->n_ways; i++) {
        p->ways[i].maker = list[i];
        if (tuned != NULL && strcmp(tuned, list[i]->name) == 0) p->chosen = i;
    }
    return SUNUP_OK;
}

sunup_status sunup__problem_open(sunup_context *ctx, const char *text, struct problem *p)
{
    *p = (struct problem){.chosen = 0};
    const sunup_status status = prepare(ctx, text, p);
    if (status != SUNUP_OK) sunup__problem_close(p);
    return status;
}

/* A layer's weights: of a product one matrix B, unless A comes transposed, as in a gradient of weights. */
static int weights_operand(const struct node *n)
{
    if (n->op == &sunup__op_conv || n->op == &sunup__op_linear) return 1;
    if (n->op == &sunup__op_conv_data_grad) return 0;
    if (n->op != &sunup__op_matmul) return -1;
    const struct matmul_attr *a = n->attr;
    return a->b_step == 0 && !(a->flags & SUNUP_TRANSPOSE_A) ? 1 : -1;
}

static sunup_status make(struct problem *p, struct way *w)
{
    struct device *d = p->device;
    const int weights = weights_operand(p->node);
    if (p->weights_stay && weights >= 0) p->stays[weights] = true;
    w->step = (struct step){.maker = w->maker,
                            .node = p->node,
                            .device = d,
                            .in = p->in,
                            .out = p->out,
                            .stays = p->stays};
    const sunup_status status = w->maker->make(d, p->node, &w->step);
    if (status != SUNUP_OK) {
        w->step.run = NULL;
        return status;
    }
    if (w->step.workspace_bytes > 0)
        TRY(d->ops->alloc(d, w->step.workspace_bytes, &w->step.workspace));
    if (w->step.prepared_bytes == 0) return SUNUP_OK;
    TRY(d->ops->alloc(d, w->step.prepared_bytes, &w->step.prepared));
    w->step.prepare(&w->step);
    return SUNUP_OK;
}

sunup_status sunup__problem_run(struct problem *p, int way)
{
    const sunup_random_key key = {0};
    struct way *w = &p->ways[way];
    if (w->step.run == NULL) TRY(make(p, w));
    return sunup__step_run(&w->step, &key);
}

void sunup__problem_close(struct problem *p)
{
    for (int i = 0; i < p->n_ways; i++) {
        struct step *s = &p->ways[i].step;
        if (s->end != NULL) s->end(s);
        if (s->workspace != NULL) p->device->ops->free(p->device, s->workspace);
        if (s->prepared != NULL) p->device->ops->free(p->device, s->prepared);
    }
    for (int i = 0; p->node != NULL && i < p->node->n_in; i++)
        if (p->in[i] != NULL) p->device->ops->free(p->device, p->in[i]);
    for (int i = 0; p->node != NULL && i < p->node->n_out; i++)
        if (p->out[i] != NULL) p->device->ops->free(p->device, p->out[i]);
    sunup_graph_destroy(&p->graph);
    *p = (struct problem){.chosen = 0};
}
