/* net.c - the published flood-filling network, and its plan for one window with bound buffers.
 *
 * Input: image and the seed's logits; output: new logits. 12 stages of two 3x3x3 convolutions with
 * 32 channels; from the second on, a stage adds to what it reads. Names of layers are those of the
 * published weights. Source: Januszewski et al., Nature Methods 15, 605 (2018); google/ffn, model
 * of FIB-25.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffn.h"

enum { DEPTH = 12, CHANNELS = 32, NAME = 32 };

static sunup_value *conv(sunup_value *x, int stage, char letter)
{
    char name[NAME];
    sunup_conv_options o = sunup_conv_defaults();
    o.padding = SUNUP_PADDING_SAME;
    (void)snprintf(name, sizeof name, "conv%d_%c", stage, letter);
    return sunup_layer_conv(x, name, CHANNELS, (const int64_t[]){3, 3, 3}, true, &o);
}

sunup_status ffn_build(sunup_graph *g, void *arg)
{
    (void)arg;
    const int64_t n = sunup_graph_batch(g), w = FFN_WINDOW;
    sunup_value *in = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(n, w, w, w, 2));
    sunup_value *x = conv(sunup_relu(conv(in, 0, 'a')), 0, 'b');
    for (int d = 1; d < DEPTH; d++) {
        sunup_value *y = conv(sunup_relu(x), d, 'a');
        x = sunup_add(x, conv(sunup_relu(y), d, 'b'));
    }
    sunup_value *change =
        sunup_layer_conv(sunup_relu(x), "conv_lom", 1, (const int64_t[]){1, 1, 1}, true, NULL);
    sunup_graph_output(g, "output", sunup_add(sunup_slice(in, -1, 1, 1), change));
    return sunup_graph_finish(g);
}

void ffn_net_destroy(struct net *net)
{
    sunup_plan_destroy(&net->plan);
    sunup_graph_destroy(&net->graph);
    free(net->x);
    free(net->y);
    *net = (struct net){0};
}

static int64_t bytes_of(const sunup_tensor *t)
{
    int64_t bytes = sunup_dtype_bytes(t->dtype);
    for (int i = 0; i < t->shape.n; i++) bytes *= t->shape.d[i];
    return bytes;
}

static sunup_status read_weight(sunup_context *ctx, const char *name, sunup_tensor *t)
{
    return app_read(ctx, "fib25/ffn_published_weights.npz", name, t);
}

static sunup_status set_weight(sunup_context *ctx, struct net *net, const char *name)
{
    sunup_tensor t;
    sunup_status status = read_weight(ctx, name, &t);
    if (status != SUNUP_OK) return status;
    status = sunup_plan_set(net->plan, sunup_graph_find(net->graph, name), t.data, bytes_of(&t));
    sunup_free(t.data);
    return status;
}

sunup_status ffn_take_weight(sunup_context *ctx, const sunup_tensor *to)
{
    sunup_tensor t;
    sunup_status status = read_weight(ctx, to->name, &t);
    if (status != SUNUP_OK) return status;
    if (t.dtype == to->dtype && bytes_of(&t) == bytes_of(to))
        memcpy(to->data, t.data, (size_t)bytes_of(to));
    else
        status = app_error(ctx, SUNUP_E_SHAPE, "the published '%s' has another size; use --full",
                           to->name);
    sunup_free(t.data);
    return status;
}

/* Kernels lie in the file as the library wants them: z, y, x, channels in, channels out. */
static sunup_status set_weights(sunup_context *ctx, struct net *net)
{
    sunup_status status = SUNUP_OK;
    for (int i = 0; i <= 2 * DEPTH; i++)
        for (int bias = 0; bias < 2 && status == SUNUP_OK; bias++) {
            char name[NAME], layer[NAME / 2] = "conv_lom";
            if (i < 2 * DEPTH) (void)snprintf(layer, sizeof layer, "conv%d_%c", i / 2, "ab"[i % 2]);
            (void)snprintf(name, sizeof name, "%s.%s", layer, bias ? "bias" : "weight");
            status = set_weight(ctx, net, name);
        }
    return status;
}

static sunup_status create(sunup_context *ctx, struct net *net)
{
    sunup_status status = sunup_graph_create(ctx, NULL, &net->graph);
    if (status == SUNUP_OK) status = ffn_build(net->graph, NULL);
    sunup_value *y = sunup_graph_find(net->graph, "output");
    if (status == SUNUP_OK) status = sunup_plan_create(net->graph, 1, &y, &net->plan);
    if (status == SUNUP_OK)
        status = sunup_plan_bind(net->plan, sunup_graph_find(net->graph, "x"), net->x);
    if (status == SUNUP_OK) status = sunup_plan_bind(net->plan, y, net->y);
    return status == SUNUP_OK ? set_weights(ctx, net) : status;
}

sunup_status ffn_net_create(sunup_context *ctx, struct net *net)
{
    const size_t bytes = (FFN_CUBE * sizeof(float) + 63) / 64 * 64;
    *net = (struct net){.x = aligned_alloc(64, 2 * bytes), .y = aligned_alloc(64, bytes)};
    const sunup_status status =
        net->x != NULL && net->y != NULL
            ? create(ctx, net)
            : app_error(ctx, SUNUP_E_MEMORY, "no memory for a window of %d voxels", FFN_CUBE);
    if (status != SUNUP_OK) ffn_net_destroy(net);
    return status;
}

sunup_status ffn_net_run(struct net *net)
{
    const double from_s = ffn_now_s();
    const sunup_status status = sunup_plan_run(net->plan, (sunup_random_key){0});
    net->seconds += ffn_now_s() - from_s;
    net->runs++;
    return status;
}
