/* layer_norm.h - attributes of layer_norm and layer_norm_grad, filled at shape inference.
 *
 *   layer_norm       in: x, gamma, beta (NULL: 1, 0)    out: y, mean, rstd
 *   layer_norm_grad  in: x, gamma, mean, rstd, dy       out: dx, dgamma, dbeta
 */
#ifndef SUNUP_GRAPH_LAYER_NORM_H
#define SUNUP_GRAPH_LAYER_NORM_H

#include "graph/graph.h"

struct layer_norm_attr {
    int axes;        /* the last so many axes are one row */
    int64_t rows, n; /* x [rows][n]                       */
    double eps;
};

#endif
