/* liveness.c - third stage: which nodes are steps, who lives in whose memory, from when to when.
 *
 * A root owns memory; every other value names, directly or by way of others, the root it lies in:
 *   view       lies in its operand. If it is an output of the plan it needs memory that the caller
 *              can bind: then its operand lies in the view, or, if that has such memory too, the
 *              view becomes a step that copies.
 *   in place   the only result of a pointwise node or chain, or of the program ahead of sums, may
 *              lie in an operand of its shape that nobody reads afterwards (kernels.h: pointwise may
 *              write over any operand; graph.h says when a chain may).
 * Sources and outputs of the plan are external: memory of their own, never written over.
 *
 * Times are step numbers; a root's span covers those of all who lie in it.
 */
#include "graph/ops/channel_norm.h"
#include "plan/stages.h"

static int root_of(const sunup_plan *p, const sunup_value *v)
{
    int r = v->id;
    while (p->placed[r].root != r) r = p->placed[r].root;
    return r;
}

static struct placed *place(sunup_plan *p, const sunup_value *v, bool external)
{
    struct placed *at = &p->placed[v->id];
    *at = (struct placed){.value = v,
                          .offset = -1,
                          .first = -1,
                          .last = -1,
                          .root = v->id,
                          .region = -1,
                          .external = external};
    return at;
}

/* True: the view needs no step. */
static bool place_view(sunup_plan *p, const struct node *n)
{
    const sunup_value *v = n->out[0];
    const int under = root_of(p, n->in[0]);
    place(p, v, p->wanted[v->id]);
    if (!p->wanted[v->id])
        p->placed[v->id].root = under;
    else if (!p->placed[under].external)
        p->placed[under].root = v->id;
    else
        return false;
    return true;
}

static void place_all(sunup_plan *p)
{
    for (int i = 0; i < p->n_nodes; i++) {
        const struct node *n = p->nodes[i];
        if (n->op->flags & OP_SOURCE) {
            place(p, n->out[0], true);
            continue;
        }
        if (n->op->flags & OP_VIEW) {
            if (place_view(p, n)) continue;
        } else {
            for (int o = 0; o < n->n_out; o++) place(p, n->out[o], p->wanted[n->out[o]->id]);
        }
        p->steps[p->n_steps] = (struct step){.node = n, .number = p->n_steps};
        p->n_steps++;
    }
}

static void time_all(sunup_plan *p)
{
    for (int s = 0; s < p->n_steps; s++) {
        const struct node *n = p->steps[s].node;
        for (int o = 0; o < n->n_out; o++) p->placed[root_of(p, n->out[o])].first = s;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != NULL) p->placed[root_of(p, n->in[k])].last = s;
    }
}

/* The result that is written element by element as operands from `from` on are read; -1: none. */
static int result_by_element(const struct node *n, int *from)
{
    const bool sums = n->op == &sunup__op_batch_norm_sums;
    *from = sums ? SUMS_OPERANDS : 0;
    if (sums) return n->n_out == SUMS_RESULTS + 1 ? SUMS_RESULTS : -1;
    return n->n_out == 1 && (n->op->flags & OP_POINTWISE || n->op == &sunup__op_chain) ? 0 : -1;
}

/* The operand whose memory result y of step s may take; -1 if there is none. */
static int operand_for_result(const sunup_plan *p, int s, const sunup_value *y, int from)
{
    const struct node *n = p->steps[s].node;
    for (int k = from; k < n->n_in; k++) {
        if (n->in[k] == NULL || n->in[k]->dtype != y->dtype) continue;
        const int r = root_of(p, n->in[k]);
        if (p->placed[r].external || p->placed[r].last != s) continue;
        bool fits = true; /* every operand in that memory is read element by element */
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] != NULL && root_of(p, n->in[j]) == r)
                fits = fits && j >= from && sunup__same_shape(&n->in[j]->shape, &y->shape);
        if (fits) return r;
    }
    return -1;
}

static void share_in_place(sunup_plan *p)
{
    for (int s = 0; s < p->n_steps; s++) {
        int from;
        const struct node *n = p->steps[s].node;
        const int o = result_by_element(n, &from);
        if (o < 0) continue;
        const int y = root_of(p, n->out[o]);
        if (p->placed[y].external || p->placed[y].last < 0) continue;
        const int r = operand_for_result(p, s, n->out[o], from);
        if (r < 0) continue;
        p->placed[y].root = r;
        p->placed[r].last = p->placed[y].last;
    }
}

sunup_status sunup__plan_liveness(sunup_plan *p)
{
    p->n_placed = p->n_values;
    p->placed = plan_alloc(p, p->n_placed, sizeof *p->placed);
    p->steps = plan_alloc(p, p->n_nodes, sizeof *p->steps);
    NEED(p, p->placed);
    NEED(p, p->steps);
    place_all(p);
    time_all(p);
    if (p->device->ops->share) share_in_place(p);
    p->externals = plan_alloc(p, p->n_placed, sizeof *p->externals);
    NEED(p, p->externals);
    for (int v = 0; v < p->n_placed; v++) {
        if (p->placed[v].value == NULL) continue;
        p->placed[v].root = root_of(p, p->placed[v].value);
        if (p->placed[v].external) p->externals[p->n_externals++] = v;
    }
    return SUNUP_OK;
}
