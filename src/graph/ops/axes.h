/* axes.h - attributes of ops that name axes, for those who rewrite graphs (graph/split). */
#ifndef SUNUP_GRAPH_AXES_H
#define SUNUP_GRAPH_AXES_H

#include "graph/graph.h"

struct reduce_attr { /* sum, max, argmax: the axes [from, to) */
    int from, to;
};
struct box_attr {                 /* slice, pad */
    int64_t from[SUNUP_MAX_DIMS]; /* where the part begins in the whole */
    sunup_shape shape;            /* of the output                      */
};
struct axis_attr { /* concat, extend */
    int axis;
};
struct upsample_attr {
    int64_t factor[3]; /* D H W */
    int space;
    bool linear;
};
struct permute_attr {
    int order[SUNUP_MAX_DIMS];
};

#endif
