/* factors.c - which gradients are kept as their factors: of large linear layers' weights, if a step has few samples.
 *
 * Owes: such a gradient is no output of the plan, so nobody writes it, and its place in the flat array has no
 * memory; its factors are outputs, which the optimizer multiplies where it needs a chunk (optim/factors.c).
 * Where: a step is one pass of one rank, so that the gradient is added to no other; of few terms, and of rows so short
 * that a chunk has several, which share what they read of dy. Timed, whole steps of a linear layer alone, kept and as
 * factors (Emerald Rapids with AMX, 2026-12-01): [65536][256] of 16 terms 26.1 and 23.6 ms, [65536][64] the same within
 * noise, but [64][65536] of 16 terms 7.7 and 14.5.
 */
#include "graph/ops/matmul.h"
#include "train/trainer.h"

enum { TERMS = 16, COLUMNS = 256, ELEMENTS = 1 << 22 };

static bool one_pass(const sunup_trainer *t, const struct pass *p)
{
    return t->o.shards == 1 && t->o.accumulate == 1 && sunup_comm_ranks(t->comm) == 1 && !p->in_parts &&
           !sunup__train_by_integers(t) && !sunup__train_rounds_sums(t);
}

/* The same numbers without views. A parameter changes while it is a factor: it is none. */
static sunup_value *factor(sunup_value *v)
{
    while (v->node->op->flags & OP_VIEW) v = v->node->in[0];
    const struct source_attr *s = sunup__source(v);
    return s == NULL || s->kind == SOURCE_INPUT ? v : NULL;
}

/* gradient = x' dy, as the backward pass of a linear layer has it. */
static void find(struct pass *p, int i)
{
    const struct node *n = p->gradients[i]->node;
    if (n->op != &sunup__op_matmul) return;
    const struct matmul_attr *m = n->attr;
    if (m->flags != SUNUP_TRANSPOSE_A || m->batch != 1) return;
    if (m->k > TERMS || m->n > COLUMNS || m->m * m->n < ELEMENTS) return;
    sunup_value *x = factor(n->in[0]), *dy = factor(n->in[1]);
    if (x == NULL || dy == NULL) return;
    p->factor[i][0] = x;
    p->factor[i][1] = dy;
    p->factors[i] = (struct factors){.terms = m->k, .rows = m->m, .columns = m->n};
}

sunup_status sunup__pass_find_factors(const sunup_trainer *t, struct pass *p)
{
    const size_t n = (size_t)t->model->n_trained + 1;
    p->factor = sunup__arena_alloc(&p->graph->arena, n * sizeof *p->factor);
    p->factors = sunup__arena_alloc(&p->graph->arena, n * sizeof *p->factors);
    CHECK(p->factor != NULL && p->factors != NULL, t->ctx, E_MEMORY, "no memory for the factors of %d gradients",
          t->model->n_trained);
    for (int i = 0; i < t->model->n_trained && one_pass(t, p); i++) find(p, i);
    return SUNUP_OK;
}

void sunup__pass_place_factors(const sunup_trainer *t, const struct pass *p)
{
    for (int i = 0; i < t->model->n_trained; i++) {
        if (p->factor[i][0] == NULL) continue;
        p->factors[i].x = sunup__plan_address(p->plan, p->factor[i][0]);
        p->factors[i].dy = sunup__plan_address(p->plan, p->factor[i][1]);
    }
}

int64_t sunup__pass_spares(const sunup_trainer *t, const struct pass *p)
{
    int64_t n = 0;
    for (int i = 0; i < t->model->n_trained; i++) {
        const struct factors *f = &p->factors[i];
        n += f->rows * f->columns - f->terms * (f->rows + f->columns);
    }
    return n;
}
