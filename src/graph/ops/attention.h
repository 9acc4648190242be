/* attention.h - attributes of attention, filled at shape inference, and its two runs. */
#ifndef SUNUP_GRAPH_ATTENTION_H
#define SUNUP_GRAPH_ATTENTION_H

#include "graph/graph.h"

struct attention_attr {
    int64_t heads;
    bool causal;
    double scale;
    int64_t n, queries, keys;   /* N Lq Lk                                          */
    int64_t c, v;               /* channels of q and k, and of v, of all heads      */
    int64_t bias_n, bias_heads; /* elements from one sample or head to the next; 0: shared */
};

int64_t sunup__attention_workspace(const struct node *n, int threads);
int64_t sunup__attention_grad_workspace(const struct node *n, int threads);
sunup_status sunup__attention_run(const struct node *n, const struct exec *e);
sunup_status sunup__attention_grad_run(const struct node *n, const struct exec *e);

#endif
