/* problem_test.c - texts of problems: read, written back, and refused with a position. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"

/* {text, what it is written back as; NULL: the same} */
static const char *const texts[][2] = {
    {"conv:n16h56w56c64k64r3s3:pad1x1:to56x56:f32", NULL},
    {"conv:n16h56w56c64k64r3s3:same", "conv:n16h56w56c64k64r3s3:pad1x1:to56x56:f32"},
    {"conv:n16h56w56c64k64r3s3:pad1", "conv:n16h56w56c64k64r3s3:pad1x1:to56x56:f32"},
    {"conv:n1h224w224c3k64r7s7:stride2:pad3",
     "conv:n1h224w224c3k64r7s7:stride2x2:pad3x3:to112x112:f32"},
    {"conv:n2h9w8c6k4r3s3:stride1x2:pad1x0:to9x3:groups2:f32", NULL},
    {"conv:k4n2h9w8s3c6r3:bias", "conv:n2h9w8c6k4r3s3:bias:f32"},
    {"conv:n2w20c3k4s3:dilation2:circular:pad2",
     "conv:n2w20c3k4s3:dilation2:pad2:to20:circular:f32"},
    {"conv_data_grad:n2d5h6w7c3k4t3r2s1:f64", NULL},
    {"conv_data_grad:n2h7w7c3k4r3s3:same:stride2",
     "conv_data_grad:n2h7w7c3k4r3s3:stride2x2:pad1x1:to4x4:f32"},
    {"conv_weight_grad:n3w11c2k3s4:valid", "conv_weight_grad:n3w11c2k3s4:f32"},
    {"max_pool:n16h112w112c64r3s3:stride2:pad1",
     "max_pool:n16h112w112c64r3s3:stride2x2:pad1x1:to56x56:f32"},
    {"max_pool_grad:n2w60c8s10:stride10:to6", "max_pool_grad:n2w60c8s10:stride10:to6:f32"},
    {"avg_pool:n2h7w5c3r2s3:count", "avg_pool:n2h7w5c3r2s3:count:f32"},
    {"avg_pool_grad:n2h7w5c3r2s3:f32", NULL},
    {"linear:m512n1000k942:bias:f32", NULL},
    {"linear:m3n4k5", "linear:m3n4k5:f32"},
    {"matmul:m64n48k300:tb:f32", NULL},
    {"matmul:m3n4k5:batch7:ta:f64", NULL},
    {"matmul:m3n4k5:batch7:one_b:ta:f32", NULL},
    {"matmul:m3n4k5:batch7:one_a:f32", NULL},
    {"gelu:4096x3072:f32", NULL},
    {"gelu_grad:8x9", "gelu_grad:8x9,8x9:f32"},
    {"add:4x3,3:f32", NULL},
    {"softmax:4x3x2:f64", NULL},
    {"log_softmax_grad:64x10", "log_softmax_grad:64x10,64x10:f32"},
    {"layer_norm:4096x256", "layer_norm:4096x256,256,256:f32"},
    {"layer_norm:4x5x6,5x6,5x6:axes2:f32", NULL},
    {"layer_norm_grad:40x25", "layer_norm_grad:40x25,25,40,40,40x25:f32"},
    {"batch_norm:16x14x14x25,-,-:f32", NULL},
    {"batch_norm_grad:16x14x25", "batch_norm_grad:16x14x25,25,25,25,16x14x25:f32"},
    {"group_norm:4x5x6:groups3", "group_norm:4x5x6,6,6:groups3:f32"},
    {"attention:2x9x8:heads2:causal", "attention:2x9x8,2x9x8,2x9x8,-:heads2:causal:f32"},
    {"attention:2x9x8,2x7x8,2x7x6,1x1x9x7:f32", NULL},
    {"attention_grad:2x9x8,2x7x8,2x7x6",
     "attention_grad:2x9x8,2x7x8,2x7x6,-,2x9x6,2x1x9,2x9x6:f32"},
    {"chain:4x6,6:add+relu", "chain:4x6,6:add.0.1+relu.2:f32"},
    {"chain:4x6:mul+add+relu", "chain:4x6,4x6,4x6:mul.0.1+add.3.2+relu.4:f32"},
    {"chain:4x6,4x6:mul.0.1+relu_grad.0.2:out3.2:f32", NULL},
};

static const struct {
    const char *text, *says;
} mistakes[] = {
    {"cnov:n1", "did you mean 'conv'"},
    {"reshape:4x5", "no op with problems"},
    {"conv", "its end (character 5) is not sizes"},
    {"conv:n16h56q3", "'q3' (character 12) is not one of the letters"},
    {"conv:n16n2", "'n2' (character 9)"},
    {"conv:n16h56wc3", "'c3' (character 13) is not a number"},
    {"conv:n1h5w5c1k1s3", "not w s, or h w r s"},
    {"conv:n1w5c1s3", "all of n, c, k"},
    {"conv:n0w5c1k1s3", "'0w5c1k1s3' (character 7) is not a size"},
    {"conv:n1w5c1k1s3:pad1x1", "one number, or one for each axis"},
    {"conv:n1w5c1k1s3:same:pad1", "one of same, valid"},
    {"conv:n1w5c1k1s7", "7 taps do not fit into axis w of 5"},
    {"conv:n1w5c4k4s3:groups3", "3 groups do not divide"},
    {"conv:n1w5c4k4s3:strid2", "'strid2' (character 17) is not one of stride"},
    {"conv:n1w5c4k4s3:f32:same", "'f32' (character 17)"},
    {"conv_data_grad:n1w5c4k4s3:bias", "is not one of stride"},
    {"conv:n2000000000w2000000000c4k4s3", "more than 2^36 elements"},
    {"linear:m3n4", "all of m, n, k"},
    {"matmul:m3n4k5:batch2:one_b", "another op"},
    {"gelu:4x", "its end (character 8) is not a number"},
    {"gelu:4x5,4x5", "fewer operands"},
    {"gelu:4x5:6", "'6' (character 10) is not f32, f64 or nothing"},
    {"layer_norm:4x5,6", "operand 2 of layer_norm"},
    {"group_norm:4x5:groups2", "group_norm"},
    {"batch_norm:1x5", "at least 2"},
    {"chain:4x5", "the steps"},
    {"chain:4x5:add+cosh", "'cosh' (character 15)"},
    {"chain:4x5:add.0.1+relu", "as the first step"},
    {"chain:4x5:relu.7", "chain"},
};

static sunup_context *context(void)
{
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    return ctx;
}

static void written(sunup_context *ctx, const char *text, char *room)
{
    sunup_graph *g;
    const struct node *n;
    if (sunup__problem_read(ctx, text, &g, &n) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    sunup__problem_text(n, room, PROBLEM_TEXT);
    sunup_graph_destroy(&g);
}

static void texts_come_back(void **state)
{
    (void)state;
    sunup_context *ctx = context();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char once[PROBLEM_TEXT], twice[PROBLEM_TEXT];
        written(ctx, texts[i][0], once);
        assert_string_equal(once, texts[i][1] != NULL ? texts[i][1] : texts[i][0]);
        written(ctx, once, twice);
        assert_string_equal(once, twice);
    }
    sunup_context_destroy(&ctx);
}

static void mistakes_have_places(void **state)
{
    (void)state;
    sunup_context *ctx = context();
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        sunup_graph *g;
        const struct node *n;
        if (sunup__problem_read(ctx, mistakes[i].text, &g, &n) == SUNUP_OK)
            fail_msg("'%s' was read", mistakes[i].text);
        if (strstr(sunup_error(ctx), mistakes[i].says) == NULL)
            fail_msg("'%s': %s", mistakes[i].text, sunup_error(ctx));
        assert_null(g);
    }
    sunup_context_destroy(&ctx);
}

static sunup_value *parameter(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_parameter(g, name, shape, (sunup_init){SUNUP_INIT_NORMAL, 1});
}

/* The same op in a network and read from its own text. */
static void networks_and_texts_agree(void **state)
{
    (void)state;
    sunup_context *ctx = context();
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(4, 9, 11, 3));
    sunup_conv_options c = sunup_conv_defaults();
    c.padding = SUNUP_PADDING_SAME;
    c.stride[0] = 2;
    sunup_value *y = sunup_conv(x, parameter(g, "w", SUNUP_SHAPE(4, 3, 3, 6)),
                                parameter(g, "b", SUNUP_SHAPE(6)), &c);
    y = sunup_batch_norm(y, parameter(g, "gamma", SUNUP_SHAPE(6)), NULL, NULL, NULL, 0.1, 1e-5);
    y = sunup_flatten(sunup_max_pool(sunup_relu(y), NULL));
    y = sunup_linear(y, parameter(g, "fc", SUNUP_SHAPE(y->shape.d[1], 5)), NULL);
    y = sunup_layer_norm(y, parameter(g, "ln", SUNUP_SHAPE(5)), NULL, 1, 1e-5);
    sunup_value *dx, *loss = sunup_mean(sunup_softmax(y, -1), 0, NULL, false);
    sunup_gradient(loss, 1, &x, &dx);
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    int read = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        static const char *const ops[] = {
            "conv",    "conv_data_grad", "batch_norm",      "batch_norm_grad", "max_pool",
            "linear",  "max_pool_grad",  "layer_norm_grad", "layer_norm",      "relu",
            "softmax", "softmax_grad",   "matmul",          "relu_grad"};
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            if (strcmp(g->nodes[i]->op->name, ops[k]) != 0) continue;
            char text[PROBLEM_TEXT], back[PROBLEM_TEXT];
            sunup__problem_text(g->nodes[i], text, sizeof text);
            written(ctx, text, back);
            assert_string_equal(text, back);
            read++;
        }
    }
    assert_true(read >= 14);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

/* Every problem of the lists in bench/, with its gradients where "+grads" asks for them. */
static void read_line(sunup_context *ctx, const char *problem)
{
    static const char *const passes[] = {"", "_grad", "_data_grad", "_weight_grad"};
    const char *plus = strstr(problem, "+grads");
    const bool conv = strncmp(problem, "conv", 4) == 0, linear = strncmp(problem, "linear", 6) == 0;
    for (int i = 0; i < 4; i++) {
        char text[PROBLEM_TEXT], back[PROBLEM_TEXT];
        if (i > 0 && (plus == NULL || linear || (i == 1) == conv)) continue;
        if (plus == NULL)
            snprintf(text, sizeof text, "%s", problem);
        else
            snprintf(text, sizeof text, "%.*s%s%s", (int)(plus - problem), problem, passes[i],
                     plus + 6);
        written(ctx, text, back);
    }
}

static void lists_can_be_read(void **state)
{
    (void)state;
    static const char *const lists[] = {"resnet50", "3d", "2d", "1d", "odd", "gemm", "memory"};
    sunup_context *ctx = context();
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char path[512], line[512], name[64], problem[256];
        snprintf(path, sizeof path, SOURCE_DIR "/bench/%s.txt", lists[i]);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        int problems = 0;
        while (fgets(line, sizeof line, f) != NULL) {
            if (line[0] == '#' || line[0] == '\n') continue;
            assert_int_equal(sscanf(line, "%63s %255[^|\n]", name, problem),
                             2); /* first of a pipe */
            read_line(ctx, problem);
            problems++;
        }
        assert_true(problems > 5);
        fclose(f);
    }
    sunup_context_destroy(&ctx);
}

static void long_texts_stay_unique(void **state)
{
    (void)state;
    sunup_context *ctx = context();
    char text[2][PROBLEM_TEXT], room[2][64];
    written(ctx, "chain:16x56x56x256:add+relu+sin+cos+square+abs+exp+neg+tanh", text[0]);
    written(ctx, "chain:16x56x56x256:add+relu+sin+cos+square+abs+exp+neg+relu", text[1]);
    for (int i = 0; i < 2; i++) {
        sunup_graph *g;
        const struct node *n;
        assert_int_equal(sunup__problem_read(ctx, text[i], &g, &n), SUNUP_OK);
        sunup__problem_text(n, room[i], sizeof room[i]);
        assert_int_equal(strlen(room[i]), sizeof room[i] - 1);
        sunup_graph_destroy(&g);
    }
    assert_string_not_equal(room[0], room[1]);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back),          cmocka_unit_test(mistakes_have_places),
        cmocka_unit_test(networks_and_texts_agree), cmocka_unit_test(lists_can_be_read),
        cmocka_unit_test(long_texts_stay_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
