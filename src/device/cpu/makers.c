/* makers.c - the list of fast makers, and what they can do. */
#include "device/cpu/makers.h"
#include "graph/ops/matmul.h"

static bool is_f32(const struct device *d, const struct node *n)
{
    (void)d;
    return n->out[0]->dtype == SUNUP_F32 && sunup__elements(&n->out[0]->shape) > 0;
}

/* Of one term each, as the data gradient of a layer with one column: nothing is added, and the plain way writes C at a
 * higher rate (Emerald Rapids, 512 x 1000: 50 against 92 us). */
static bool has_terms(const struct device *d, const struct node *n)
{
    const struct matmul_attr *a = n->attr;
    return is_f32(d, n) && a->k != 1;
}

const struct maker sunup__cpu_makers[] = {
    {"linear_bf16", "linear", sunup__product_bf16_can, sunup__make_product_bf16},
    {"linear_bf16x3", "linear", sunup__product_bf16x3_can, sunup__make_product_bf16x3},
    {"linear_dots", "linear", sunup__product_dots_can, sunup__make_product_dots},
    {"linear_chunks", "linear", sunup__product_chunks_can, sunup__make_product_chunks},
    {"linear_halves", "linear", sunup__product_halves_can, sunup__make_product_halves},
    {"linear_brgemm", "linear", is_f32, sunup__make_product_brgemm},
    {"matmul_bf16", "matmul", sunup__product_bf16_can, sunup__make_product_bf16},
    {"matmul_bf16x3", "matmul", sunup__product_bf16x3_can, sunup__make_product_bf16x3},
    {"matmul_dots", "matmul", sunup__product_dots_can, sunup__make_product_dots},
    {"matmul_turned", "matmul", sunup__matmul_turned_can, sunup__make_matmul_turned},
    {"matmul_chunks", "matmul", sunup__product_chunks_can, sunup__make_product_chunks},
    {"matmul_brgemm", "matmul", has_terms, sunup__make_product_brgemm},
    {"conv_bf16", "conv", sunup__conv_bf16_can, sunup__make_conv_bf16},
    {"conv_data_grad_bf16", "conv_data_grad", sunup__conv_data_grad_bf16_can,
     sunup__make_conv_data_grad_bf16},
    {"conv_weight_grad_bf16", "conv_weight_grad", sunup__conv_weight_grad_bf16_can,
     sunup__make_conv_weight_grad_bf16},
    {"conv_bf16x3", "conv", sunup__conv_bf16x3_can, sunup__make_conv_bf16x3},
    {"conv_data_grad_bf16x3", "conv_data_grad", sunup__conv_data_grad_bf16x3_can,
     sunup__make_conv_data_grad_bf16x3},
    {"conv_weight_grad_bf16x3", "conv_weight_grad", sunup__conv_weight_grad_bf16x3_can,
     sunup__make_conv_weight_grad_bf16x3},
    {"conv_plane", "conv", sunup__conv_plane_can, sunup__make_conv_plane},
    {"conv_data_grad_plane", "conv_data_grad", sunup__conv_plane_can,
     sunup__make_conv_data_grad_plane},
    {"conv_weight_grad_plane", "conv_weight_grad", sunup__conv_plane_can,
     sunup__make_conv_weight_grad_plane},
    {"conv_grouped", "conv", sunup__conv_grouped_can, sunup__make_conv_grouped},
    {"conv_data_grad_grouped", "conv_data_grad", sunup__conv_grouped_can,
     sunup__make_conv_data_grad_grouped},
    {"conv_weight_grad_grouped", "conv_weight_grad", sunup__conv_grouped_can,
     sunup__make_conv_weight_grad_grouped},
    {"conv_winograd", "conv", sunup__conv_winograd_can, sunup__make_conv_winograd},
    {"conv_winograd_row", "conv", sunup__conv_winograd_row_can, sunup__make_conv_winograd_row},
    {"conv_few", "conv", sunup__conv_few_can, sunup__make_conv_few},
    {"conv_brgemm", "conv", sunup__conv_brgemm_can, sunup__make_conv_brgemm},
    {"conv_data_grad_winograd", "conv_data_grad", sunup__conv_data_grad_winograd_can,
     sunup__make_conv_data_grad_winograd},
    {"conv_data_grad_winograd_row", "conv_data_grad", sunup__conv_data_grad_winograd_row_can,
     sunup__make_conv_data_grad_winograd_row},
    {"conv_data_grad_few", "conv_data_grad", sunup__conv_data_grad_few_can,
     sunup__make_conv_data_grad_few},
    {"conv_data_grad_brgemm", "conv_data_grad", sunup__conv_data_grad_brgemm_can,
     sunup__make_conv_data_grad_brgemm},
    {"conv_weight_grad_winograd", "conv_weight_grad", sunup__conv_weight_grad_winograd_can,
     sunup__make_conv_weight_grad_winograd},
    {"conv_weight_grad_winograd_row", "conv_weight_grad", sunup__conv_weight_grad_winograd_row_can,
     sunup__make_conv_weight_grad_winograd_row},
    {"conv_weight_grad_turned", "conv_weight_grad", sunup__conv_weight_grad_turned_can,
     sunup__make_conv_weight_grad_turned},
    {"conv_weight_grad_few", "conv_weight_grad", sunup__conv_weight_grad_few_can,
     sunup__make_conv_weight_grad_few},
    {"conv_weight_grad_brgemm", "conv_weight_grad", sunup__conv_brgemm_can,
     sunup__make_conv_weight_grad_brgemm},
    {"attention_bf16x3", "attention", sunup__attention_bf16x3_can, sunup__make_attention_bf16x3},
    {"attention_grad_bf16x3", "attention_grad", sunup__attention_bf16x3_can,
     sunup__make_attention_grad_bf16x3},
    {"chain_channels", "chain", sunup__chain_channels_can, sunup__make_chain_channels},
    {"chain_channels", "fma", sunup__chain_channels_can, sunup__make_chain_channels},
    {NULL, NULL, NULL, NULL}};
