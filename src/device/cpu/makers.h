/* makers.h - the fast ways of the cpu, all drivers of the batch-reduce GEMM leaf; cpu.c asks them
 * before the plain way.
 *
 * None of their results depends on the number of threads: an element of a product is one chain of
 * sums however the work is cut, and where partial sums are needed (weight gradients) their number
 * follows from the shapes alone.
 */
#ifndef SUNUP_DEVICE_CPU_MAKERS_H
#define SUNUP_DEVICE_CPU_MAKERS_H

#include "device/device.h"

extern const struct maker sunup__cpu_makers[]; /* ends with name NULL */
extern const struct maker sunup__onednn_makers[]; /* onednn.c; the same, if it is built */

/* One maker a file; f32 only. */
sunup_status sunup__make_product_brgemm(struct device *d, const struct node *n, struct step *s);
/* A small linear layer whose threads keep rows of its weights, where numerics allow it; the same file. */
bool sunup__product_halves_can(const struct device *d, const struct node *n);
sunup_status sunup__make_product_halves(struct device *d, const struct node *n, struct step *s);
/* A transposed, as in gradients of weights, and large enough to repay packing both operands; of a
 * convolution with one tap as well. product_turned.c. */
bool sunup__matmul_turned_can(const struct device *d, const struct node *n);
sunup_status sunup__make_matmul_turned(struct device *d, const struct node *n, struct step *s);
bool sunup__conv_weight_grad_turned_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_weight_grad_turned(struct device *d, const struct node *n,
                                                 struct step *s);
/* A matrix times a vector as dot products, where numerics allow it; product_dots.c. */
bool sunup__product_dots_can(const struct device *d, const struct node *n);
sunup_status sunup__make_product_dots(struct device *d, const struct node *n, struct step *s);
/* A few rows times a large matrix, summed in chunks, where numerics allow it; product_chunks.c. */
bool sunup__product_chunks_can(const struct device *d, const struct node *n);
sunup_status sunup__make_product_chunks(struct device *d, const struct node *n, struct step *s);
/* Only where numerics are bf16 and the processor multiplies it faster. */
bool sunup__product_bf16_can(const struct device *d, const struct node *n);
sunup_status sunup__make_product_bf16(struct device *d, const struct node *n, struct step *s);
bool sunup__product_bf16x3_can(const struct device *d, const struct node *n);
sunup_status sunup__make_product_bf16x3(struct device *d, const struct node *n, struct step *s);
/* The same for convolutions, with tiles those of 16 channels and more, else of 32 where Winograd's
 * way does not serve; conv_bf16.c, conv_weight_grad_bf16.c. */
bool sunup__conv_bf16_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_bf16_can(const struct device *d, const struct node *n);
bool sunup__conv_weight_grad_bf16_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_bf16(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_bf16(struct device *d, const struct node *n,
                                             struct step *s);
sunup_status sunup__make_conv_weight_grad_bf16(struct device *d, const struct node *n,
                                               struct step *s);
/* Of operands in two parts, where numerics are fast and tiles there. */
bool sunup__conv_bf16x3_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_bf16x3_can(const struct device *d, const struct node *n);
bool sunup__conv_weight_grad_bf16x3_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_bf16x3(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_bf16x3(struct device *d, const struct node *n,
                                               struct step *step);
sunup_status sunup__make_conv_weight_grad_bf16x3(struct device *d, const struct node *n,
                                                 struct step *s);
sunup_status sunup__make_conv_brgemm(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_brgemm(struct device *d, const struct node *n,
                                               struct step *s);
sunup_status sunup__make_conv_weight_grad_brgemm(struct device *d, const struct node *n,
                                                 struct step *s);

sunup_status sunup__make_conv_weight_grad_winograd(struct device *d, const struct node *n,
                                                   struct step *s);

/* Geometries that the convolution drivers serve: not so many
 * groups that a product has hardly a column. */
bool sunup__conv_brgemm_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_brgemm_can(const struct device *d, const struct node *n);
bool sunup__conv_weight_grad_winograd_can(const struct device *d, const struct node *n);

/* Depthwise 3x3 of stride 1 with rows of at most 28 points; conv_plane.c. */
bool sunup__conv_plane_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_plane(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_plane(struct device *d, const struct node *n,
                                              struct step *s);
sunup_status sunup__make_conv_weight_grad_plane(struct device *d, const struct node *n,
                                                struct step *s);

/* Several groups of at most 8 channels. */
bool sunup__conv_grouped_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_grouped(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_grouped(struct device *d, const struct node *n,
                                                struct step *s);
sunup_status sunup__make_conv_weight_grad_grouped(struct device *d, const struct node *n,
                                                  struct step *s);

/* One group, stride and dilation 1, at most 8 channels of the target; conv_few.c. */
bool sunup__conv_few_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_few_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_few(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_few(struct device *d, const struct node *n, struct step *s);
/* One channel to at most 16; conv_weight_grad_few.c. */
bool sunup__conv_weight_grad_few_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_weight_grad_few(struct device *d, const struct node *n,
                                              struct step *s);

/* One group, stride 1, 3x3 or 5x5 taps in H and W, where numerics allow it and it pays; conv_winograd.c. */
bool sunup__conv_winograd_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_winograd_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_winograd(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_winograd(struct device *d, const struct node *n,
                                                 struct step *s);

/* The same with 3 to 48 taps along W only, dilated or not; conv_winograd_row.c and
 * conv_weight_grad_winograd_row.c. */
bool sunup__conv_winograd_row_can(const struct device *d, const struct node *n);
bool sunup__conv_data_grad_winograd_row_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_winograd_row(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_conv_data_grad_winograd_row(struct device *d, const struct node *n,
                                                     struct step *s);
bool sunup__conv_weight_grad_winograd_row_can(const struct device *d, const struct node *n);
sunup_status sunup__make_conv_weight_grad_winograd_row(struct device *d, const struct node *n,
                                                       struct step *s);

/* Products of operands in two parts of bf16, where numerics allow it and the processor has tiles;
 * attention_bf16x3.c. */
bool sunup__attention_bf16x3_can(const struct device *d, const struct node *n);
sunup_status sunup__make_attention_bf16x3(struct device *d, const struct node *n, struct step *s);
sunup_status sunup__make_attention_grad_bf16x3(struct device *d, const struct node *n,
                                               struct step *s);

/* Chains that are a batch norm's result or gradient, with relu and a residual; chain_channels.c. */
bool sunup__chain_channels_can(const struct device *d, const struct node *n);
sunup_status sunup__make_chain_channels(struct device *d, const struct node *n, struct step *s);

#endif
