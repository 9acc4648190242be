/* pool.h - attributes of the pooling ops, filled at shape inference.
 *
 *   max_pool       in: x       out: y
 *   max_pool_grad  in: x, dy   out: dx
 *   max_pool_pick  in: x, v    out: y, v where x has its maxima
 *   avg_pool       in: x       out: y
 *   avg_pool_grad  in: dy      out: dx
 *
 * All carry the geometry of the forward pooling x -> y; x [N, space.., C], y [N, out.., C].
 */
#ifndef SUNUP_GRAPH_POOL_H
#define SUNUP_GRAPH_POOL_H

#include "graph/graph.h"

struct pool_attr {
    struct window w;       /* complete after shape inference; what makers read                    */
    int space;             /* space axes of x: 1, 2 or 3                                          */
    sunup_padding padding; /* asked for; only shape inference reads it and `after` (order D H W)  */
    int64_t after[3];
    bool complete; /* the window was complete before (gradients): check, do not derive it */
};

#endif
