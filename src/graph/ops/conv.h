/* conv.h - attributes of the three convolution ops, filled at shape inference.
 *
 *   conv              in: x, w, bias or NULL   out: y    y = x * w + bias
 *   conv_data_grad    in: w, dy                out: dx   adjoint of x -> y; transposed convolution
 *   conv_weight_grad  in: x, dy                out: dw   adjoint of w -> y
 *
 * All three carry the geometry of the same forward convolution x -> y (w.in, w.c: x's; w.out, w.k:
 * y's), so that a gradient rule hands its attributes on unchanged. x [N, space.., C], w [taps..,
 * C/groups, K], y [N, out.., K].
 */
#ifndef SUNUP_GRAPH_CONV_H
#define SUNUP_GRAPH_CONV_H

#include "graph/graph.h"

struct conv_attr {
    struct window w; /* complete after shape inference; what makers read */
    int space;       /* space axes the operands have: 1, 2 or 3          */
    /* What the caller asked for; only shape inference reads it. Order D H W, as in the window. */
    sunup_padding padding;
    int64_t after[3], output_padding[3];
    bool complete; /* the window was complete before (gradients): check, do not derive it */
};

/* Made by gradient rules; attr must be complete. */
sunup_value *sunup__conv_data_grad(sunup_value *w, sunup_value *dy, const struct conv_attr *attr);
sunup_value *sunup__conv_weight_grad(sunup_value *x, sunup_value *dy, const struct conv_attr *attr);

/* Shape rules (conv_shape.c). */
sunup_status sunup__conv_infer(struct node *n);
sunup_status sunup__conv_data_grad_infer(struct node *n);
sunup_status sunup__conv_weight_grad_infer(struct node *n);

#endif
