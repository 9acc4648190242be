/* cross_entropy.h - attributes of cross_entropy and cross_entropy_grad.
 *
 *   cross_entropy       in: logits, label, weight (NULL: 1)         out: loss, divisor (scalars)
 *   cross_entropy_grad  in: logits, label, weight, divisor, dloss   out: dlogits
 */
#ifndef SUNUP_GRAPH_CROSS_ENTROPY_H
#define SUNUP_GRAPH_CROSS_ENTROPY_H

#include "graph/graph.h"

struct cross_entropy_attr {
    double smoothing;
    int64_t rows, classes; /* filled at shape inference */
};

#endif
