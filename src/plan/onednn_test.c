/* onednn_test.c - the makers of oneDNN, against the ops' own ways; built where they are.
 *
 * That none is chosen without a tuning file, that one which is chosen runs, and its numbers on awkward
 * sizes: ragged channels, leftover rows of strides, one row, absent gamma.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "plan/problem.h"

static const char *const problems[] = {
    "conv:n3h17w15c16k35r3s3:pad1:bias",
    "conv:n2h13w11c17k21r1s1:stride2",
    "conv:n2h9w8c6k4r3s3:stride1x2:pad1x0:to9x3:groups2",
    "conv:n1h9w9c8k8r3s3:groups8:same",
    "conv:n2w41c3k5s4:dilation3:pad2",
    "conv:n2d5h6w7c3k4t3r2s1:same",
    "conv_data_grad:n2h23w22c8k24r3s3:stride2:pad1",
    "conv_data_grad:n2d5h6w7c3k4t3r2s1",
    "conv_data_grad:n1h9w9c12k8r3s3:groups4:same",
    "conv_weight_grad:n3h9w10c12k24r3s3:groups3:pad1",
    "conv_weight_grad:n3w801c5k32s20:same",
    "conv_weight_grad:n1h1w1c1k1r1s1",
    "linear:m37n20k50:bias",
    "linear:m1n301k1000",
    "matmul:m33n20k17:tb",
    "matmul:m33n20k17:ta",
    "matmul:m33n20k17:batch5:ta:tb",
    "matmul:m9n33k7:batch4:one_b:ta",
    "matmul:m9n33k7:batch4:one_a",
    "max_pool:n2h12w12c64r3s3:stride2:pad1",
    "avg_pool:n2h12w13c20r3s2",
    "avg_pool:n2w13c5s3:stride2:pad1:count",
    "batch_norm:6x5x4x11",
    "batch_norm:7x5,-,-",
    "batch_norm_grad:6x5x4x11",
    "layer_norm:40x25",
    "layer_norm:3x4x5:axes2",
    "layer_norm_grad:40x25",
    "softmax:40x25",
    "softmax_grad:1x7",
    "log_softmax:4x40x25",
    "log_softmax_grad:40x25",
    "gelu:33x17",
    "gelu_grad:33x17",
    "relu:33x17",
    "relu_grad:33x17",
    "add:33x17,33x17",
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static sunup_context *context(int threads)
{
    sunup_context_options o = sunup_context_defaults();
    o.threads = threads;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    return ctx;
}

static void each(void *arg, const struct check_result *r)
{
    if (strncmp(r->leaf, "onednn_", 7) == 0) ++*(int *)arg;
    if (r->failure != NULL) fail_msg("%s", r->failure);
}

static void numbers_are_right(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        sunup_context *ctx = context(threads);
        for (int i = 0; i < PROBLEMS; i++) {
            int theirs = 0;
            struct check_report r = {.each = each, .arg = &theirs};
            if (sunup__problem_check(ctx, problems[i], &r) != SUNUP_OK)
                fail_msg("%s", sunup_error(ctx));
            if (theirs != 1) fail_msg("%s: %d makers of oneDNN", problems[i], theirs);
        }
        sunup_context_destroy(&ctx);
    }
}

/* What a problem's one output is when the named maker makes it twice, with weights prepared or not. */
static void the_second_run_is_the_first(void **state)
{
    (void)state;
    sunup_context *ctx = context(2);
    for (int stays = 0; stays < 2; stays++) {
        struct problem p;
        assert_int_equal(sunup__problem_open(ctx, "conv:n2h9w9c20k37r3s3:same", &p), SUNUP_OK);
        p.weights_stay = stays == 1;
        int theirs = 0;
        while (strncmp(p.ways[theirs].maker->name, "onednn_", 7) != 0) theirs++;
        float *y = p.out[0], first[4];
        assert_int_equal(sunup__problem_run(&p, theirs), SUNUP_OK);
        memcpy(first, y, sizeof first);
        memset(y, 0xff, sizeof first);
        assert_int_equal(sunup__problem_run(&p, theirs), SUNUP_OK);
        assert_memory_equal(first, y, sizeof first);
        sunup__problem_close(&p);
    }
    sunup_context_destroy(&ctx);
}

static void ours_come_first(void **state)
{
    (void)state;
    sunup_context *ctx = context(2);
    for (int i = 0; i < PROBLEMS; i++) {
        struct problem p;
        assert_int_equal(sunup__problem_open(ctx, problems[i], &p), SUNUP_OK);
        assert_int_equal(p.chosen, 0);
        assert_true(strncmp(p.ways[0].maker->name, "onednn_", 7) != 0);
        sunup__problem_close(&p);
    }
    sunup_context_destroy(&ctx);
}

static void a_plan_runs_what_was_measured(void **state)
{
    (void)state;
    sunup_context *ctx = context(2);
    assert_int_equal(sunup__tuning_set(ctx, "linear:m3n4k5:f32", "onednn_linear"), SUNUP_OK);
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(3, 5)),
                *w = sunup_input(g, "w", SUNUP_F32, SUNUP_SHAPE(5, 4)),
                *y = sunup_linear(x, w, NULL);
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(g, 1, &y, &p), SUNUP_OK);
    char *text = sunup_plan_print(p);
    assert_non_null(strstr(text, "onednn_linear"));
    float ones[20], twos[20], out[12];
    for (int i = 0; i < 20; i++) ones[i] = 1, twos[i] = 2;
    assert_int_equal(sunup_plan_set(p, x, ones, 15 * sizeof(float)), SUNUP_OK);
    const float *const weights[] = {ones, twos}; /* other weights, other results */
    for (int run = 0; run < 2; run++) {
        assert_int_equal(sunup_plan_set(p, w, weights[run], sizeof ones), SUNUP_OK);
        assert_int_equal(sunup_plan_run(p, (sunup_random_key){0}), SUNUP_OK);
        assert_int_equal(sunup_plan_get(p, y, out, sizeof out), SUNUP_OK);
        for (int i = 0; i < 12; i++) assert_float_equal(out[i], (float)(5 * (run + 1)), 0);
    }
    sunup_free(text);
    sunup_plan_destroy(&p);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_right),
        cmocka_unit_test(the_second_run_is_the_first),
        cmocka_unit_test(ours_come_first),
        cmocka_unit_test(a_plan_runs_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
