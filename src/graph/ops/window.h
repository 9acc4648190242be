/* window.h - geometry that convolution and pooling share: from sizes, taps and padding to output
 * sizes.
 *
 * Space axes are kept in the order D H W and at the end: 1-D fills entry 2, 2-D entries 1 and 2;
 * the rest are 1 (stride, dilation, taps, sizes) or 0 (padding).
 */
#ifndef SUNUP_GRAPH_WINDOW_H
#define SUNUP_GRAPH_WINDOW_H

#include "graph/graph.h"

/* Padding that the window itself does not keep. */
struct padding {
    sunup_padding kind;
    int64_t *after; /* [3] */
};

/* option[0..space-1] into to[3]; other entries get `rest`. option NULL: all rest. */
void sunup__window_axes(int space, const int64_t *option, int64_t rest, int64_t to[3]);
/* The space axes of [N, space.., C] or [space.., C, K], which start at `from`. */
void sunup__window_sizes(const sunup_shape *s, int from, int space, int64_t to[3]);
/* [first, size.., last]; first < 0: absent. */
sunup_shape sunup__window_shape(int64_t first, const int64_t size[3], int space, int64_t last);

/* Given in, taps, stride, dilation: fills before, after (SAME, VALID) and out. x: for messages. */
sunup_status sunup__window_forward(const struct node *n, struct window *w, struct padding pad,
                                   const sunup_value *x);
/* The other way round: in from out, as the transposed convolution does. */
sunup_status sunup__window_backward(const struct node *n, struct window *w, struct padding pad,
                                    const int64_t more[3], const sunup_value *x);
int64_t sunup__window_taps(const struct window *w);

#endif
