/* matmul.h - attributes of matmul, filled at shape inference, and the product that linear shares
 * with it. */
#ifndef SUNUP_GRAPH_MATMUL_H
#define SUNUP_GRAPH_MATMUL_H

#include "graph/graph.h"

/* y[i] = op(a[i]) op(b[i]) for i < batch, m x k times k x n. */
struct matmul_attr {
    int flags; /* SUNUP_TRANSPOSE_A, _B                                */
    int64_t batch, m, n, k;
    int64_t a_step, b_step; /* elements from matrix to matrix; 0: one for all of y  */
};

/* y = op(a) op(b) (+ bias [n]); scratch: [matrices of b][k][n] if b is transposed. */
void sunup__matmul_run(const struct exec *e, sunup_dtype dtype, const struct matmul_attr *attr,
                       const void *bias);

#endif
