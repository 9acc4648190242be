/* print.c - a graph as text, one line a node: number, op, layer, outputs, and the numbers of the
 * operands' nodes. */
#include "graph/graph.h"

#include <stdio.h>

static void print_node(struct text *t, const struct node *n)
{
    static const char *const kinds[] = {"input", "parameter", "state", "constant"};
    const struct source_attr *s = sunup__source(n->out[0]);
    sunup__text(t, "%5d  %-16s %-24s", n->id, s ? kinds[s->kind] : n->op->name, n->layer);
    for (int o = 0; o < n->n_out; o++) {
        char shape[SHAPE_TEXT];
        sunup__text(t, "%s%s %s", o ? ", " : " ", sunup_dtype_name(n->out[o]->dtype),
                    sunup__shape_text(&n->out[o]->shape, shape));
    }
    if (n->n_in) sunup__text(t, "  <-");
    for (int i = 0; i < n->n_in; i++) {
        const sunup_value *v = n->in[i];
        if (!v)
            sunup__text(t, " -");
        else if (v->node->n_out > 1)
            sunup__text(t, " %d.%d", v->node->id, v->index);
        else
            sunup__text(t, " %d", v->node->id);
    }
    sunup__text(t, "\n");
}

char *sunup__graph_print(const sunup_graph *g)
{
    struct text t = {NULL, 0, 0};
    sunup__text(&t, "%5s  %-16s %-24s %s\n", "node", "op", "layer", "values  <- operands");
    for (int i = 0; i < g->n_nodes; i++) print_node(&t, g->nodes[i]);
    for (int i = 0; i < g->n_outputs; i++)
        sunup__text(&t, "output '%s' is node %d\n", g->outputs[i].name,
                    g->outputs[i].value->node->id);
    return t.s;
}
