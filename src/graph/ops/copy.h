/* copy.h - the one strided copy: permute, broadcast, slice, concat, split and pad are all it with
 * other strides.
 *
 * Elements are numbered in row-major order of `extent`; element i goes from `from` at sum
 * idx*from_stride to `to` at sum idx*to_stride (strides in elements). Where the inner strides are
 * both 1, rows move by memcpy.
 */
#ifndef SUNUP_GRAPH_COPY_H
#define SUNUP_GRAPH_COPY_H

#include "graph/graph.h"

struct copy {
    int n; /* axes                          */
    int64_t extent[SUNUP_MAX_DIMS];
    int64_t from_stride[SUNUP_MAX_DIMS]; /* 0 on a stretched axis        */
    int64_t to_stride[SUNUP_MAX_DIMS];
    int64_t bytes; /* of an element: 1, 4 or 8      */
    const void *from;
    void *to;
};

/* Copy of a tensor of this shape with dense strides on both sides, axes not yet merged. */
struct copy sunup__copy_of(const sunup_shape *shape, sunup_dtype dtype);
/* Drop axes of length 1 and merge neighbours that are one axis on both sides. */
void sunup__copy_merge(struct copy *c);
/* Elements [first, first + count); `to` is where element `first` goes: for dense to_stride only. */
void sunup__copy_range(const struct copy *c, int64_t first, int64_t count, void *to);
/* All elements, cut into pieces that do not depend on the threads. */
void sunup__copy(struct copy c, int threads);

#endif
