/* again.c - results that are cheaper to make again than to keep until their gradients (OP_AGAIN).
 *
 * A forward node whose op says so gets a copy just before the first gradient that reads its result;
 * gradients read the copy's. So the result lives twice for a moment instead of once throughout: the
 * slab between its margins (graph/ops/parts.h) would otherwise double what a pass keeps. The copy
 * does the same work on the same operands: no bit changes.
 */
#include "plan/stages.h"

struct doubling {
    sunup_plan *p;
    struct node **list; /* what becomes p->nodes */
    int n_list;
    sunup_value **again; /* [values of the graph] what gradients read instead; NULL: not yet */
};

static bool is_forward(const sunup_plan *p, const struct node *n)
{
    return n->id < p->graph->gradient_from;
}

static bool is_lost(const struct doubling *d, const sunup_value *v)
{
    return v != NULL && v->node->op->flags & OP_AGAIN && is_forward(d->p, v->node) &&
           !d->p->wanted[v->id];
}

/* Appends a copy of the node that makes v (one result). */
static sunup_status make_again(struct doubling *d, const sunup_value *v)
{
    sunup_plan *p = d->p;
    struct node *n = plan_alloc(p, 1, sizeof *n);
    sunup_value *y = plan_alloc(p, 1, sizeof *y);
    sunup_value **out = plan_alloc(p, 1, sizeof(sunup_value *));
    NEED(p, n);
    NEED(p, y);
    NEED(p, out);
    *n = *v->node;
    n->id = p->n_ids++;
    n->out = out;
    *y = *v;
    y->node = n;
    y->id = p->n_values++;
    out[0] = d->again[v->id] = y;
    d->list[d->n_list++] = n;
    return SUNUP_OK;
}

/* Appends gradient node n, or a copy that reads what was made again. */
static sunup_status add_gradient(struct doubling *d, struct node *n)
{
    sunup_plan *p = d->p;
    struct node *m = n;
    for (int k = 0; k < n->n_in; k++) {
        if (!is_lost(d, n->in[k])) continue;
        if (d->again[n->in[k]->id] == NULL) TRY(make_again(d, n->in[k]));
        if (m == n) {
            m = plan_alloc(p, 1, sizeof *m);
            NEED(p, m);
            *m = *n;
            m->in = plan_alloc(p, n->n_in, sizeof(sunup_value *));
            NEED(p, m->in);
            for (int j = 0; j < n->n_in; j++) m->in[j] = n->in[j];
        }
        m->in[k] = d->again[n->in[k]->id];
    }
    d->list[d->n_list++] = m;
    return SUNUP_OK;
}

sunup_status sunup__plan_again(sunup_plan *p)
{
    struct doubling d = {.p = p};
    d.list = plan_alloc(p, 2 * (int64_t)p->n_nodes, sizeof(struct node *));
    d.again = scratch_alloc(p, p->n_values, sizeof(sunup_value *));
    NEED(p, d.list);
    NEED(p, d.again);
    for (int i = 0; i < p->n_nodes; i++) {
        if (is_forward(p, p->nodes[i]))
            d.list[d.n_list++] = p->nodes[i];
        else
            TRY(add_gradient(&d, p->nodes[i]));
    }
    p->nodes = d.list;
    p->n_nodes = d.n_list;
    return SUNUP_OK;
}
