/* interpret.h - runs a graph node by node, each value in memory of its own: for checks and tests of
 * ops.
 *
 * It knows nothing of plans and devices, and is as suspicious as it is slow: outputs and workspace
 * start as NaN, outputs but the first that nobody reads are NULL, and guard bytes behind every
 * buffer must survive.
 */
#ifndef SUNUP_GRAPH_INTERPRET_H
#define SUNUP_GRAPH_INTERPRET_H

#include "graph/graph.h"

struct interpreter {
    sunup_graph *g;
    void **memory;                 /* by value id; NULL: not needed for the outputs */
    bool *needed;                  /* by node id                                    */
    bool *read;                    /* by value id: an operand or an output          */
    void **in, **out;              /* room for one node's                           */
    const struct kernels *kernels; /* may be set again between runs          */
    int threads;
    sunup_random_key key;
};

/* For what outputs[0..n-1] need. Constants are filled, other sources are zero until the caller
 * writes them. */
sunup_status sunup__interpreter_create(sunup_graph *g, int n, sunup_value *const *outputs,
                                       struct interpreter *t);
void sunup__interpreter_end(struct interpreter *t);
sunup_status sunup__interpreter_run(struct interpreter *t);
static inline void *sunup__interpreter_memory(const struct interpreter *t, const sunup_value *v)
{
    return t->memory[v->id];
}

#endif
