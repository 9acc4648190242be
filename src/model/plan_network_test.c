/* plan_network_test.c - a training step of a small network gives the same bits on cpu and on memcheck,
 * where every op and every fast maker is watched, whatever the threads.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

enum { CLASSES = 3, BATCH = 4, PIXELS = 9 * 7 * 2, MOST_GRADIENTS = 16 };

/* A small network with many kinds of layers; returns its loss. */
static sunup_value *network(sunup_graph *g, sunup_value *x, sunup_value *label)
{
    sunup_value *h = sunup_layer_conv(x, "conv1", 4, (int64_t[]){3, 3}, true, NULL);
    sunup_value *skip = h = sunup_relu(sunup_layer_batch_norm(h, "norm1"));
    sunup_conv_options same = sunup_conv_defaults();
    same.padding = SUNUP_PADDING_SAME;
    h = sunup_layer_conv(h, "conv2", 4, (int64_t[]){3, 3}, false, &same);
    h = sunup_relu(sunup_add(sunup_layer_group_norm(h, "norm2", 2), skip));
    h = sunup_dropout(sunup_flatten(sunup_max_pool(h, NULL)), 0.25, false);
    h = sunup_gelu(sunup_layer_layer_norm(sunup_layer_linear(h, "full1", 8, true), "norm3", 1));
    h = sunup_layer_linear(h, "full2", CLASSES, true);
    sunup_graph_output(g, "output", h);
    return sunup_cross_entropy(h, label, NULL, 0.1);
}

static int parameters_of(sunup_graph *g, sunup_value *list[MOST_GRADIENTS])
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct source_attr *source = sunup__source(g->nodes[i]->out[0]);
        if (source == NULL || source->kind != SOURCE_PARAMETER) continue;
        assert_true(n < MOST_GRADIENTS);
        list[n++] = g->nodes[i]->out[0];
    }
    return n;
}

/* The gradients of all parameters and the loss after two runs, as hashes; how many. */
static int network_hashes(const char *device, int threads, uint64_t hash[MOST_GRADIENTS + 1])
{
    unsetenv("SUNUP_DEVICE");
    unsetenv("SUNUP_THREADS");
    sunup_context_options c = sunup_context_defaults();
    c.device = device;
    c.threads = threads;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&c, &ctx), SUNUP_OK);
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(BATCH, 9, 7, 2));
    sunup_value *label = sunup_input(g, "label", SUNUP_I32, SUNUP_SHAPE(BATCH));
    sunup_value *wrt[MOST_GRADIENTS], *outputs[MOST_GRADIENTS + 1];
    sunup_value *loss = network(g, x, label);
    const int n = parameters_of(g, wrt);
    sunup_gradient(loss, n, wrt, outputs);
    outputs[n] = loss;
    sunup_plan *p;
    if (sunup_plan_create(g, n + 1, outputs, &p) != SUNUP_OK) fail_msg("%s", sunup_error(ctx));
    float data[BATCH * PIXELS];
    for (int i = 0; i < BATCH * PIXELS; i++) data[i] = (float)(i * 7 % 31) / 16 - 1;
    assert_int_equal(sunup_plan_set(p, x, data, sizeof data), SUNUP_OK);
    assert_int_equal(sunup_plan_set(p, label, (int32_t[]){0, 2, 1, 2}, 16), SUNUP_OK);
    assert_int_equal(sunup_plan_init(p, 3), SUNUP_OK);
    for (int r = 0; r < 2; r++)
        if (sunup_plan_run(p, (sunup_random_key){1, 2, 3}) != SUNUP_OK)
            fail_msg("%s", sunup_error(ctx));
    for (int i = 0; i <= n; i++) {
        const int64_t count = sunup__elements(&outputs[i]->shape);
        const float *y = sunup__plan_address(p, outputs[i]);
        for (int64_t k = 0; k < count; k++) assert_true(isfinite(y[k]));
        hash[i] = sunup__hash(y, (size_t)count * sizeof *y, 0);
    }
    sunup_plan_destroy(&p);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return n + 1;
}

static void same_bits_on_both_devices(void **state)
{
    (void)state;
    uint64_t cpu[MOST_GRADIENTS + 1], other[MOST_GRADIENTS + 1];
    const int n = network_hashes("cpu", 1, cpu);
    assert_int_equal(n, 14);
    assert_int_equal(network_hashes("memcheck", 1, other), n);
    assert_memory_equal(cpu, other, (size_t)n * sizeof *cpu);
    for (int threads = 2; threads <= 3; threads++) {
        assert_int_equal(network_hashes("cpu", threads, other), n);
        assert_memory_equal(cpu, other, (size_t)n * sizeof *cpu);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_on_both_devices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
