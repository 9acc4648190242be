/* dropout.h - attributes of dropout.  in: x  out: y */
#ifndef SUNUP_GRAPH_DROPOUT_H
#define SUNUP_GRAPH_DROPOUT_H

#include "graph/graph.h"

struct dropout_attr {
    double p;           /* of an element to become 0                                  */
    int64_t position;   /* names the stream; < 0: shape inference takes the node's id */
    int64_t per_sample; /* elements of one sample; 0: filled at shape inference       */
    int64_t first;      /* x's first element in its samples; above 0 in a slab of them */
};
/* The stream of a run and the number of x's first element in it. */
struct random_stream sunup__dropout_stream(const struct dropout_attr *a,
                                           const sunup_random_key *key, uint64_t *first);

#endif
