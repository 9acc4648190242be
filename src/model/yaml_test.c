/* yaml_test.c - model files: what good ones build, and the exact place and words of the refusal of bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/system.h"
#include "model/description.h"
#include "tensor/tensor.h"

static sunup_context *ctx;

#define IMAGE  "model:\n  input: {name: x, shape: [8, 6, 3]}\n  layers:\n"
#define VECTOR "model:\n  input: {name: x, shape: [5]}\n  layers:\n"

static sunup_status parse(const char *text, sunup_model **m)
{
    return sunup__model_parse(ctx, text, strlen(text), "net.yaml", 1, m);
}

static sunup_model *good(const char *text)
{
    sunup_model *m;
    if (parse(text, &m) != SUNUP_OK) fail_msg("%s\n%s", sunup_error(ctx), text);
    return m;
}

static void bad(const char *text, const char *part)
{
    sunup_model *m;
    const sunup_status status = parse(text, &m);
    assert_int_not_equal(status, SUNUP_OK);
    assert_null(m);
    if (!strstr(sunup_error(ctx), part))
        fail_msg("'%s' lacks '%s' for\n%s", sunup_error(ctx), part, text);
}

static void check_tensor(sunup_model *m, const char *name, sunup_shape shape)
{
    const struct model_tensor *t = sunup__model_find(m, name);
    char text[SHAPE_TEXT];
    if (!t) fail_msg("no tensor '%s'", name);
    if (!sunup__same_shape(&t->t.shape, &shape))
        fail_msg("'%s' is %s", name, sunup__shape_text(&t->t.shape, text));
}

static void check_output(sunup_model *m, sunup_shape shape)
{
    sunup_graph *g;
    char text[SHAPE_TEXT];
    if (sunup__model_graph(m, 2, false, &g) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    const sunup_shape s = sunup_value_shape(sunup_graph_find(g, "output"));
    if (!sunup__same_shape(&s, &shape)) fail_msg("output is %s", sunup__shape_text(&s, text));
    sunup_graph_destroy(&g);
    sunup_model_destroy(&m);
}

static void builds_a_network(void **state)
{
    (void)state;
    sunup_model *m =
        good(IMAGE "    - conv: {out_channels: 4, kernel_size: 3, padding: same}\n"
                   "    - batch_norm: {}\n"
                   "    - relu:\n"
                   "    - max_pool: 2\n"
                   "    - conv: {name: last, out_channels: 6, kernel_size: [3, 1], bias: false}\n"
                   "    - relu\n"
                   "    - flatten:\n"
                   "    - dropout: 0.25\n"
                   "    - linear: 10\n");
    assert_int_equal(sunup_model_parameters(m), 7);
    assert_int_equal(sunup_model_states(m), 2);
    check_tensor(m, "conv1.weight", SUNUP_SHAPE(3, 3, 3, 4));
    check_tensor(m, "conv1.bias", SUNUP_SHAPE(4));
    check_tensor(m, "batch_norm1.running_var", SUNUP_SHAPE(4));
    check_tensor(m, "last.weight", SUNUP_SHAPE(3, 1, 4, 6));
    check_tensor(m, "linear1.weight", SUNUP_SHAPE(2 * 3 * 6, 10));
    assert_null(sunup__model_find(m, "last.bias"));
    check_output(m, SUNUP_SHAPE(2, 10));
}

static void joins_branches(void **state)
{
    (void)state;
    check_output(good(IMAGE "    - conv: {name: a, out_channels: 4, kernel_size: 1}\n"
                            "    - relu: {name: r}\n"
                            "    - conv: {name: b, out_channels: 4, kernel_size: 3, padding: 1}\n"
                            "    - add: {inputs: [r, b]}\n"
                            "    - conv: {name: c, inputs: a, out_channels: 2, kernel_size: 1}\n"
                            "    - concat: [add1, c, x]\n"
                            "    - global_avg_pool:\n"),
                 SUNUP_SHAPE(2, 4 + 2 + 3));
}

/* The k nearest of each point, and what they have. */
static void finds_neighbours(void **state)
{
    (void)state;
    check_output(good("model:\n  input: {name: x, shape: [9, 3]}\n  layers:\n"
                      "    - pairwise_distance: {name: d}\n"
                      "    - top_k: {name: near, k: 4, largest: false}\n"
                      "    - gather_rows: [x, near]\n"),
                 SUNUP_SHAPE(2, 9, 4, 3));
    bad(VECTOR "    - top_k: 6\n", "k is 6; it must be from 1 to 128");
    bad(IMAGE "    - upsample: {scale_factor: 2, mode: trilinear}\n",
        "trilinear is for 3 space axes, its input has 2");
    bad(IMAGE "    - upsample: {scale_factor: 2, mode: bilinaer}\n", "did you mean 'bilinear'");
    bad(IMAGE "    - local: {out_channels: 2, kernel_size: 9}\n", "does not fit into its input");
}

static void names_its_output(void **state)
{
    (void)state;
    check_output(
        good(
            "model:\n"
            "  inputs: [{name: a, shape: [3]}, {name: b, shape: [3]}]\n"
            "  output: y\n"
            "  layers: [{sub: {name: d, inputs: [a, b]}}, {linear: {name: y, out_features: 4}}]\n"),
        SUNUP_SHAPE(2, 4));
}

static void repeats_a_block(void **state)
{
    (void)state;
    sunup_model *m = good(VECTOR "    - linear: 7\n"
                                 "    - repeat:\n"
                                 "        name: block\n"
                                 "        times: 3\n"
                                 "        layers:\n"
                                 "          - linear: {name: fc, out_features: 7}\n"
                                 "          - relu:\n"
                                 "          - add: {inputs: [in, relu1]}\n"
                                 "    - linear: 2\n");
    assert_int_equal(sunup_model_parameters(m), 10);
    check_tensor(m, "block.1.fc.weight", SUNUP_SHAPE(7, 7));
    check_tensor(m, "block.3.fc.bias", SUNUP_SHAPE(7));
    check_tensor(m, "linear2.weight", SUNUP_SHAPE(7, 2));
    check_output(m, SUNUP_SHAPE(2, 2));
}

/* Every kind once, with all its keys. */
static const struct {
    const char *layer;
    sunup_shape shape;
} image[] = {
    {"conv: {out_channels: 4, kernel_size: 3, stride: [2, 1], padding: [1, 0], dilation: 1, "
     "groups: 1, bias: true, "
     "padding_mode: zeros}",
     {4, {2, 4, 4, 4}}},
    {"conv: {out_channels: 6, kernel_size: 3, padding: 1, groups: 3, padding_mode: circular}",
     {4, {2, 8, 6, 6}}},
    {"conv: {out_channels: 4, kernel_size: 3, padding: valid}", {4, {2, 6, 4, 4}}},
    {"conv_transpose: {out_channels: 4, kernel_size: 2, stride: 2, padding: 0, output_padding: "
     "1, dilation: 1, "
     "groups: 1, bias: false}",
     {4, {2, 17, 13, 4}}},
    {"linear: {out_features: 4, bias: false}", {4, {2, 8, 6, 4}}},
    {"batch_norm: {eps: 1e-3, momentum: 0.01, affine: false}", {4, {2, 8, 6, 3}}},
    {"layer_norm: 3", {4, {2, 8, 6, 3}}},
    {"layer_norm: {n_axes: 1, eps: 1e-6, affine: false}", {4, {2, 8, 6, 3}}},
    {"group_norm: 3", {4, {2, 8, 6, 3}}},
    {"relu:", {4, {2, 8, 6, 3}}},
    {"leaky_relu: 0.2", {4, {2, 8, 6, 3}}},
    {"elu: {alpha: 0.5}", {4, {2, 8, 6, 3}}},
    {"gelu:", {4, {2, 8, 6, 3}}},
    {"sigmoid:", {4, {2, 8, 6, 3}}},
    {"tanh:", {4, {2, 8, 6, 3}}},
    {"softplus:", {4, {2, 8, 6, 3}}},
    {"softmax:", {4, {2, 8, 6, 3}}},
    {"log_softmax: -1", {4, {2, 8, 6, 3}}},
    {"dropout: {p: 0.1, always: true}", {4, {2, 8, 6, 3}}},
    {"max_pool: {kernel_size: 3, stride: 2, padding: 1}", {4, {2, 4, 3, 3}}},
    {"max_pool: [2, 1]", {4, {2, 4, 6, 3}}},
    {"avg_pool: {kernel_size: 2, padding: same, count_include_pad: false}", {4, {2, 4, 3, 3}}},
    {"global_avg_pool:", {2, {2, 3}}},
    {"flatten:", {2, {2, 144}}},
    {"reshape: [12, -1]", {3, {2, 12, 12}}},
    {"permute: [0, 3, 1, 2]", {4, {2, 3, 8, 6}}},
    {"slice: {axis: 1, start: 2, length: 5}", {4, {2, 5, 6, 3}}},
    {"pad: {padding: [1, 2], padding_mode: circular}", {4, {2, 10, 10, 3}}},
    {"concat: {inputs: [x, x], axis: 1}", {4, {2, 16, 6, 3}}},
    {"add: [x, x, x]", {4, {2, 8, 6, 3}}},
    {"sub: [x, x]", {4, {2, 8, 6, 3}}},
    {"mul: [x, x]", {4, {2, 8, 6, 3}}},
    {"div: [x, x]", {4, {2, 8, 6, 3}}},
    {"matmul: {inputs: [x, x], transpose_a: true, transpose_b: false}", {4, {2, 8, 3, 3}}},
    {"local: {out_channels: 4, kernel_size: [3, 2], stride: [1, 2], dilation: 1, bias: true}",
     {4, {2, 6, 3, 4}}},
    {"upsample: 2", {4, {2, 16, 12, 3}}},
    {"upsample: {scale_factor: [4, 1], mode: nearest}", {4, {2, 32, 6, 3}}},
    {"upsample: {scale_factor: 2, mode: bilinear}", {4, {2, 16, 12, 3}}},
    {"atan2: [x, x]", {4, {2, 8, 6, 3}}},
    {"mod: [x, x]", {4, {2, 8, 6, 3}}},
    {"minimum: [x, x]", {4, {2, 8, 6, 3}}},
    {"maximum: [x, x]", {4, {2, 8, 6, 3}}},
    {"pow: [x, x]", {4, {2, 8, 6, 3}}},
    {"floor:", {4, {2, 8, 6, 3}}},
    {"erf:", {4, {2, 8, 6, 3}}},
    {"min: {axes: [1, 2], keepdim: true}", {4, {2, 1, 1, 3}}},
    {"logsumexp: -1", {3, {2, 8, 6}}},
    {"roll: {axis: 1, shift: -3}", {4, {2, 8, 6, 3}}},
    {"top_k: {k: 2, largest: false}", {4, {2, 8, 6, 2}}},
    {"random_normal:", {4, {2, 8, 6, 3}}},
    {"random_uniform:", {4, {2, 8, 6, 3}}},
    {"neg:", {4, {2, 8, 6, 3}}},
    {"exp:", {4, {2, 8, 6, 3}}},
    {"log:", {4, {2, 8, 6, 3}}},
    {"sqrt:", {4, {2, 8, 6, 3}}},
    {"square:", {4, {2, 8, 6, 3}}},
    {"abs:", {4, {2, 8, 6, 3}}},
    {"sin:", {4, {2, 8, 6, 3}}},
    {"cos:", {4, {2, 8, 6, 3}}},
    {"scale: {factor: 2, offset: -1}", {4, {2, 8, 6, 3}}},
    {"clamp: {min: -1, max: 1}", {4, {2, 8, 6, 3}}},
    {"sum: {axes: [1, 2], keepdim: true}", {4, {2, 1, 1, 3}}},
    {"mean: [1, 2]", {2, {2, 3}}},
    {"max: -1", {3, {2, 8, 6}}},
};

static void knows_every_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof image / sizeof image[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, IMAGE "    - %s\n", image[i].layer);
        check_output(good(text), image[i].shape);
    }
    sunup_model *m = good("model:\n  input: {name: word, shape: [7], dtype: i32}\n  layers:\n"
                          "    - embedding: {num_embeddings: 20, embedding_dim: 4}\n");
    check_tensor(m, "embedding1.weight", SUNUP_SHAPE(20, 4));
    check_output(m, SUNUP_SHAPE(2, 7, 4));
}

/* Weights once, gradients added: d(sum of both)/dw = d of each. */
static void shares_weights(void **state)
{
    (void)state;
    sunup_model *m = good("model:\n  inputs: [{name: a, shape: [3]}, {name: b, shape: [3]}]\n  layers:\n"
                          "    - repeat: {name: one, times: 1, inputs: a, layers: &t [linear: 4, relu, "
                          "batch_norm, repeat: {times: 2, layers: [linear: 4]}]}\n"
                          "    - repeat: {name: two, times: 1, inputs: b, weights: one, layers: *t}\n"
                          "    - linear: {name: last, out_features: 4, weights: one.1.repeat1.2.linear1}\n"
                          "    - linear: {name: more, out_features: 4, weights: last}\n"
                          "    - add: [one.1.repeat1.2.linear1, more]\n");
    assert_int_equal(sunup_model_parameters(m), 8);
    assert_int_equal(sunup_model_states(m), 2);
    check_tensor(m, "one.1.linear1.weight", SUNUP_SHAPE(3, 4));
    sunup_graph *g;
    assert_int_equal(sunup__model_graph(m, 2, true, &g), SUNUP_OK);
    assert_int_equal(g->n_averages, 4); /* each use moves the running statistics */
    sunup_graph_destroy(&g);
    check_output(m, SUNUP_SHAPE(2, 4));
    bad(VECTOR "    - linear: {name: a, out_features: 5}\n    - linear: {out_features: 4, weights: a}\n",
        "net.yaml:5:7: 'linear1' shares");
    bad(VECTOR "    - linear: {name: a, out_features: 5}\n    - linear: {out_features: 4, weights: a}\n",
        "but needs 'a.weight' as [5, 4], and it is [5, 5]");
    bad(VECTOR "    - linear: {name: a, out_features: 5, bias: false}\n"
               "    - linear: {out_features: 5, weights: a}\n",
        "which has no 'a.bias'");
    bad(VECTOR "    - linear: {name: a, out_features: 5}\n    - layer_norm: {weights: a}\n",
        "net.yaml:5:29: layer_norm 'layer_norm1' cannot share the weights of linear 'a'");
    bad(VECTOR "    - linear: {out_features: 5, weights: x}\n", "the weights of input 'x'");
    bad(VECTOR "    - linear: {name: abc, out_features: 5}\n    - linear: {out_features: 5, weights: abd}\n",
        "did you mean 'abc'?");
    bad(VECTOR "    - relu: {weights: x}\n", "weights");
    bad(VECTOR "    - repeat: {times: 1, weights: t, layers: [linear: 5]}\n", "no earlier repeat is named 't'");
}

static void can_be_of_doubles(void **state)
{
    (void)state;
    sunup_model *m =
        good("model:\n  dtype: f64\n  input: {name: x, shape: [5]}\n  layers: [linear: 2]\n");
    sunup_tensor t;
    assert_int_equal(sunup_model_tensor(m, 0, &t), SUNUP_OK);
    assert_int_equal(t.dtype, SUNUP_F64);
    check_output(m, SUNUP_SHAPE(2, 2));
}

static void says_which_word_it_does_not_know(void **state)
{
    (void)state;
    bad(IMAGE "    - relu:\n    - con: {out_channels: 4, kernel_size: 3}\n",
        "net.yaml:5:7: there is no layer 'con'; did you mean 'conv'?");
    bad(IMAGE "    - conv: {out_channels: 4,\n             kernel: 3}\n",
        "net.yaml:5:14: conv has no key 'kernel'; did you mean 'kernel_size'?");
    bad(IMAGE "    - relu: {slope: 3}\n", "net.yaml:4:14: relu has no key 'slope'");
    bad(IMAGE "    - relu: {name: r}\n    - add: [r, realu]\n",
        "net.yaml:5:16: no earlier value is named 'realu'");
    bad(IMAGE "    - relu: {name: first}\n    - add: [fisrt, x]\n", "; did you mean 'first'?");
    bad("model:\n  inptu: {name: x, shape: [5]}\n  layers: [relu]\n",
        "net.yaml:2:3: model has no key 'inptu'; did you mean 'input'?");
    bad(IMAGE "    - conv: {out_channels: 4, kernel_size: 3, padding: sane}\n",
        "'padding' must be same, valid or whole numbers, not 'sane'; did you mean 'same'?");
    bad(IMAGE "    - pad: {padding: 1, padding_mode: circlar}\n",
        "not 'circlar'; did you mean 'circular'?");
    bad("model:\n  input: {name: x, shape: [5], type: f32}\n  layers: [relu]\n",
        "did you mean 'dtype'?");
    bad(IMAGE "    - repeat: {time: 3, layers: [relu]}\n", "did you mean 'times'?");
}

static void says_which_type_it_wants(void **state)
{
    (void)state;
    bad(VECTOR "    - linear: ten\n",
        "net.yaml:4:15: 'out_features' must be a whole number, not 'ten'");
    bad(VECTOR "    - linear: 2.5\n", "must be a whole number, not '2.5'");
    bad(VECTOR "    - linear: 12345678901\n", "is 12345678901, beyond what fits");
    bad(VECTOR "    - linear: 0\n", "'out_features' must be at least 1, not 0");
    bad(VECTOR "    - linear: [1, 2]\n", "must be a whole number, not 'a list'");
    bad(VECTOR "    - linear: {out_features: 2, bias: yes}\n",
        "'bias' must be true or false, not 'yes'");
    bad(VECTOR "    - dropout: nan\n", "'p' must be finite, not nan");
    bad(VECTOR "    - dropout: {p: }\n", "'p' must be a number");
    bad(VECTOR "    - relu: 3\n", "net.yaml:4:13: relu takes no value of its own");
    bad(IMAGE "    - max_pool: {kernel_size: {a: 1}}\n", "must be a whole number, not 'a map'");
    bad(IMAGE "    - max_pool: []\n", "'kernel_size' is an empty list");
    bad(IMAGE "    - max_pool: [1, 1, 1, 1, 1, 1, 1, 1, 1]\n",
        "'kernel_size' has 9 numbers; at most 8 fit");
    bad("model:\n  input: {name: x, shape: [0]}\n  layers: [relu]\n",
        "'shape' must be at least 1, not 0");
    bad("model:\n  input: {name: x, shape: [5], dtype: u8}\n  layers: [relu]\n",
        "expected f32, f64 or i32");
    bad("model:\n  input: {name: 'a b', shape: [5]}\n  layers: [relu]\n",
        "net.yaml:2:17: a name has");
    bad("model:\n  input: {name: \"a\\0b\", shape: [5]}\n  layers: [relu]\n", "zero byte");
}

static void says_what_is_missing(void **state)
{
    (void)state;
    bad(IMAGE "    - conv: {out_channels: 4}\n", "net.yaml:4:7: conv 'conv1' needs kernel_size");
    bad(VECTOR "    - linear:\n", "linear 'linear1' needs out_features");
    bad(IMAGE "    - add: x\n", "add 'add1' has 1 input, but needs two or more");
    bad(IMAGE "    - sub: [x, x, x]\n", "sub 'sub1' has 3 inputs, but needs two");
    bad(IMAGE "    - relu: {inputs: [x, x]}\n", "relu 'relu1' has 2 inputs, but needs one");
    bad("model:\n  inputs: [{name: a, shape: [3]}, {name: b, shape: [3]}]\n  layers:\n    - "
        "relu:\n",
        "net.yaml:4:7: relu 'relu1' needs inputs: [...], as the network has 2 inputs");
    bad("model:\n  layers: [relu]\n", "a model has either input or inputs");
    bad("model:\n  input: {name: x}\n  layers: [relu]\n", "an input needs name and shape");
    bad("model:\n  input: {name: x, shape: [5]}\n", "model has no layers");
    bad("model:\n  input: {name: x, shape: [5]}\n  layers: []\n", "the list is empty");
    bad("model:\n  input: {name: x, shape: [5]}\n  layers: relu\n", "layers: expected a list");
    bad("model:\n", "model: expected a map");
    bad("train: {}\n", "there is no key 'model'");
    bad("model: other.yaml\n", "net.yaml:1:8: the model is in another file, 'other.yaml'");
    bad("", "net.yaml: is empty");
    bad("- relu\n", "expected a map with the key 'model'");
    bad(VECTOR "    - repeat: {times: 2}\n", "repeat needs times and layers");
    bad(VECTOR "    - repeat: 2\n", "repeat needs a map");
}

static void says_what_is_too_much(void **state)
{
    (void)state;
    bad(VECTOR "    - relu: {name: a}\n    - relu: {name: a}\n",
        "net.yaml:5:20: there are two values named 'a'");
    bad(VECTOR "    - relu: {name: output}\n", "'output' has a meaning of its own");
    bad(VECTOR "    - relu: {name: a}\n    - tanh: {inputs: x}\n",
        "net.yaml:4:7: no layer reads relu 'a', and it is not the output");
    bad("model:\n  inputs: [{name: a, shape: [3]}, {name: b, shape: [3]}]\n  layers: [relu: "
        "{inputs: a}]\n",
        "no layer reads input 'b'");
    bad(IMAGE "    - conv:\n      out_channels: 4\n", "net.yaml:5:7: a layer is one key");
    bad(VECTOR "    - dropout: {p: 0.1, p: 0.2}\n", "key 'p' stands twice");
    bad(VECTOR "    - repeat: {times: 100000, layers: [relu]}\n", "more than 10000 layers");
    bad(VECTOR "    - repeat: &a {times: 2, layers: [relu, repeat: *a]}\n", "nested deeper than");
    bad(VECTOR "    - {}\n", "found 0 keys");
    bad(VECTOR "    - [relu]\n", "net.yaml:4:7: expected a layer");
}

static void gives_shape_mistakes_their_place(void **state)
{
    (void)state;
    bad(VECTOR "    - relu:\n    - conv: {name: c, out_channels: 4, kernel_size: 3}\n",
        "net.yaml:5:7: ");
    bad(VECTOR "    - relu:\n    - conv: {name: c, out_channels: 4, kernel_size: 3}\n", "'c'");
    bad(IMAGE "    - conv: {out_channels: 4, kernel_size: 9}\n", "net.yaml:4:7: conv 'conv1': ");
    bad(IMAGE "    - conv: {out_channels: 4, kernel_size: [3, 3, 3]}\n",
        "kernel_size has 3 numbers, its input has 2 space axes");
    bad(IMAGE "    - conv: {out_channels: 4, kernel_size: 3, groups: 2}\n", "groups");
    bad(IMAGE "    - flatten: {name: f}\n    - add: [f, x]\n", "net.yaml:5:7: add 'add1': ");
    bad(IMAGE "    - reshape: [7, -1]\n", "net.yaml:4:7: reshape 'reshape1': ");
    bad(IMAGE "    - permute: [0, 1]\n", "order has 2 numbers");
    bad(IMAGE "    - pad: {padding: same}\n", "pad 'pad1'");
}

static void refuses_what_is_no_yaml(void **state)
{
    (void)state;
    bad("model: [1, 2\n", "net.yaml:2:1: ");
    bad("model:\n  input: {name: x\n  layers\n\t- relu", "net.yaml:");
    bad("\xff\xfe\xff", "net.yaml:");
    bad("model: *nowhere\n", "net.yaml:");
}

/* Cut and changed at every byte: any answer will do, as long as it is one. */
static void survives_any_text(void **state)
{
    (void)state;
    static const char text[] =
        IMAGE "    - &c conv: {out_channels: 4, kernel_size: [3, 3], padding: same}\n"
              "    - repeat: {times: 2, layers: [*c, {add: [in, x]}]}\n"
              "    - mean: [1, 2]\n";
    static const char odd[] = "\0\n:-{}[]*&'\"9\xff";
    char changed[sizeof text];
    sunup_model *m;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        if (sunup__model_parse(ctx, text, i, "cut", 1, &m) == SUNUP_OK) sunup_model_destroy(&m);
        memcpy(changed, text, sizeof text);
        for (size_t k = 0; k < sizeof odd - 1; k++) {
            changed[i] = odd[k];
            if (sunup__model_parse(ctx, changed, sizeof text - 1, "odd", 1, &m) == SUNUP_OK)
                sunup_model_destroy(&m);
        }
    }
}

static void survives_no_memory(void **state)
{
    (void)state;
    static const char text[] =
        IMAGE "    - conv: {out_channels: 4, kernel_size: 3}\n    - batch_norm:\n";
    sunup_model *m = NULL;
    int nth = 0;
    for (sunup_status status = SUNUP_E_MEMORY; status != SUNUP_OK; nth++) {
        sunup__fail_allocation(nth);
        status = parse(text, &m);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && !m));
    }
    assert_true(nth > 10);
    sunup_model_destroy(&m);
}

static char *manual(void)
{
    void *data;
    size_t bytes;
    if (sunup__file_read(ctx, SOURCE_DIR "/docs/models.md", &data, &bytes) != SUNUP_OK)
        fail_msg("%s", sunup_error(ctx));
    char *text = sunup__alloc(bytes + 1);
    memcpy(text, data, bytes);
    sunup__free(data);
    return text;
}

/* docs/models.md names every kind and every key, and its first example is a model. */
static void manual_is_complete(void **state)
{
    (void)state;
    static const char *const keys[] = {
#define KEY(name, type, least) "`" #name "`", "**" #name "**",
#define LAYER(kind, inputs, keys)
#include "model/layers.def"
#undef KEY
#undef LAYER
    };
    char *text = manual(), word[64];
    for (int i = 0; sunup__layer_kind(i); i++) {
        snprintf(word, sizeof word, "`%s`", sunup__layer_kind(i)->name);
        if (!strstr(text, word)) fail_msg("docs/models.md lacks %s", word);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i += 2)
        if (!strstr(text, keys[i]) && !strstr(text, keys[i + 1]))
            fail_msg("docs/models.md lacks %s", keys[i]);
    char *from = strstr(text, "```yaml\n") + 8;
    *strstr(from, "```") = '\0';
    check_output(good(from), SUNUP_SHAPE(2, 10));
    sunup__free(text);
}

static int open_context(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx);
}

static int close_context(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_a_network),
        cmocka_unit_test(joins_branches),
        cmocka_unit_test(names_its_output),
        cmocka_unit_test(repeats_a_block),
        cmocka_unit_test(knows_every_kind),
        cmocka_unit_test(finds_neighbours),
        cmocka_unit_test(shares_weights),
        cmocka_unit_test(can_be_of_doubles),
        cmocka_unit_test(says_which_word_it_does_not_know),
        cmocka_unit_test(says_which_type_it_wants),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(says_what_is_too_much),
        cmocka_unit_test(gives_shape_mistakes_their_place),
        cmocka_unit_test(refuses_what_is_no_yaml),
        cmocka_unit_test(survives_any_text),
        cmocka_unit_test(survives_no_memory),
        cmocka_unit_test(manual_is_complete),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
