/* attention.h - attributes of attention, filled at shape inference, its two runs, and how they are cut. */
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

/* Keys that the last of queries [i, i + m) sees, and so all that any of them does. */
static inline int64_t attention_keys_seen(const struct attention_attr *a, int64_t i, int64_t m)
{
    const int64_t n = a->causal ? i + m + a->keys - a->queries : a->keys;
    return n < 0 ? 0 : n < a->keys ? n : a->keys;
}

/* A head, or every parts-th block of `queries` of it from number `part` on; and what its thread takes next: NULL if
 * nothing. */
struct attention_part {
    int64_t sample, head, part, parts;
    const struct attention_part *next;
};
typedef void attention_task(void *arg, int64_t thread, const struct attention_part *p);

/* Calls task for all parts, each once, on threads [0, threads) that take them in turn. Forward, if there are few heads
 * for the threads, a head is several parts. Back, heads that share a bias which needs a gradient go to one thread, in
 * order. */
void sunup__attention_forward(const struct attention_attr *a, int threads, int64_t queries,
                              attention_task *task, void *arg);
void sunup__attention_backward(const struct attention_attr *a, int threads, bool bias_gradient,
                               attention_task *task, void *arg);

int64_t sunup__attention_workspace(const struct node *n, int threads);
int64_t sunup__attention_grad_workspace(const struct node *n, int threads);
sunup_status sunup__attention_run(const struct node *n, const struct exec *e);
sunup_status sunup__attention_grad_run(const struct node *n, const struct exec *e);

#endif
