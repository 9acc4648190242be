/* second_order.h - gradients of gradient ops that run as one node (of norms and losses).
 *
 * Such an op computes dx.. = J(x..)' dy by a formula of its own. Its gradient is asked for rarely
 * (gradient penalties, physics-informed networks), so it is not written by hand: the forward op is
 * built once more from elementary ops, differentiated, and differentiated again.
 */
#ifndef SUNUP_GRAPH_SECOND_ORDER_H
#define SUNUP_GRAPH_SECOND_ORDER_H

#include "graph/graph.h"

struct second_order {
    /* y of the forward op from elementary ops; in: n's operands, some replaced by copies. */
    sunup_value *(*forward)(const struct node *n, sunup_value *const *in);
    int dy; /* operand of n that is the arriving gradient */
    /* Operands that outputs 0 and 1 of n are the gradients of; -1: none. Output 2, if there is one,
     * is the gradient of a shift that the forward op adds. */
    int operand[2];
};

void sunup__second_order(const struct second_order *rule, struct node *n, sunup_value *const *g,
                         const bool *want, sunup_value **dx);

#endif
