/* order.c - first stage: the nodes that the outputs need, in the order in which the graph made
 * them.
 *
 * The order of making is a valid order to run, and one in which gradients follow what they are
 * gradients of; nothing else is promised, so later stages may move nodes (fuse.c does).
 */
#include <string.h>

#include "plan/stages.h"

sunup_status sunup__plan_drop_unread(sunup_plan *p)
{
    bool *read = scratch_alloc(p, p->n_values, sizeof *read);
    bool *keep = scratch_alloc(p, p->n_nodes, sizeof *keep);
    NEED(p, read);
    NEED(p, keep);
    for (int i = p->n_nodes - 1; i >= 0; i--) {
        const struct node *n = p->nodes[i];
        for (int o = 0; o < n->n_out; o++)
            keep[i] = keep[i] || p->wanted[n->out[o]->id] || read[n->out[o]->id];
        for (int k = 0; keep[i] && k < n->n_in; k++)
            if (n->in[k] != NULL) read[n->in[k]->id] = true;
    }
    int kept = 0;
    for (int i = 0; i < p->n_nodes; i++)
        if (keep[i]) p->nodes[kept++] = p->nodes[i];
    p->n_nodes = kept;
    return SUNUP_OK;
}

sunup_status sunup__plan_order(sunup_plan *p)
{
    const sunup_graph *g = p->graph;
    p->n_values = g->n_values;
    p->n_ids = g->n_nodes;
    p->wanted = scratch_alloc(p, 2 * (int64_t)g->n_values, sizeof *p->wanted); /* recompute.c doubles */
    NEED(p, p->wanted);
    for (int i = 0; i < p->n_outputs; i++) p->wanted[p->outputs[i]->id] = true;
    p->nodes = plan_alloc(p, g->n_nodes, sizeof *p->nodes);
    NEED(p, p->nodes);
    if (g->n_nodes > 0) memcpy(p->nodes, g->nodes, (size_t)g->n_nodes * sizeof *p->nodes);
    p->n_nodes = g->n_nodes;
    return sunup__plan_drop_unread(p);
}
