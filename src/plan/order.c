/* order.c - first stage: the nodes that the outputs need, in the order in which the graph made
 * them.
 *
 * The order of making is a valid order to run, and one in which gradients follow what they are
 * gradients of; nothing else is promised, so later stages may move nodes (fuse.c does).
 */
#include "plan/stages.h"

sunup_status sunup__plan_order(sunup_plan *p)
{
    const sunup_graph *g = p->graph;
    bool *needed = scratch_alloc(p, g->n_nodes, sizeof *needed);
    p->n_values = g->n_values;
    p->n_ids = g->n_nodes;
    p->wanted = scratch_alloc(p, 2 * (int64_t)g->n_values, sizeof *p->wanted); /* see recompute.c */
    NEED(p, needed);
    NEED(p, p->wanted);
    for (int i = 0; i < p->n_outputs; i++) {
        p->wanted[p->outputs[i]->id] = true;
        needed[p->outputs[i]->node->id] = true;
    }
    int count = 0;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        if (!needed[i]) continue;
        count++;
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k] != NULL) needed[g->nodes[i]->in[k]->node->id] = true;
    }
    p->nodes = plan_alloc(p, count, sizeof *p->nodes);
    NEED(p, p->nodes);
    for (int i = 0; i < g->n_nodes; i++)
        if (needed[i]) p->nodes[p->n_nodes++] = g->nodes[i];
    return SUNUP_OK;
}
