/* 01_first.c - train a small network: two moons of points, told apart by a multilayer perceptron. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sunup.h>

enum { POINTS = 2000 };
/* The network: x [N, 2] -> 32 -> 32 -> 2 logits. Called by sunup for each batch size it needs. */
static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), 2));
    sunup_value *h = sunup_relu(sunup_layer_linear(x, "fc1", 32, true));
    h = sunup_relu(sunup_layer_linear(h, "fc2", 32, true));
    sunup_graph_output(g, "output", sunup_layer_linear(h, "fc3", 2, true));
    return sunup_graph_finish(g);
}

static void make_moons(float x[POINTS][2], int32_t *label)
{
    for (int i = 0; i < POINTS; i++) {
        const float a = 3.14159f * (float)(i / 2) / (POINTS / 2);
        const float noise = 0.1f * sinf(37.f * (float)i);
        label[i] = i % 2;
        x[i][0] = (label[i] ? 1.f - cosf(a) : cosf(a)) + noise;
        x[i][1] = (label[i] ? 0.5f - sinf(a) : sinf(a)) - noise;
    }
}

int main(void)
{
    static float x[POINTS][2];
    static int32_t label[POINTS];
    make_moons(x, label);
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(POINTS, 2), x},
                                   {"label", SUNUP_I32, SUNUP_SHAPE(POINTS), label}};
    sunup_train_options o = sunup_train_defaults();
    o.batch = 64;
    o.epochs = 20;
    o.optimizer.type = "adam";
    o.optimizer.lr = 1e-2;

    sunup_context *ctx = NULL;
    sunup_model *model = NULL;
    sunup_data *data = NULL;
    sunup_trainer *trainer = NULL;
    sunup_metrics m = {0};
    sunup_status s = sunup_context_create(NULL, &ctx);
    if (s == SUNUP_OK) s = sunup_model_create(ctx, build, NULL, 1, &model);
    if (s == SUNUP_OK) s = sunup_data_from_memory(ctx, 2, fields, &data);
    if (s == SUNUP_OK) s = sunup_trainer_create(model, data, NULL, &o, &trainer);
    if (s == SUNUP_OK) s = sunup_trainer_run(trainer, data, &m);
    if (s == SUNUP_OK) printf("loss %.4f, accuracy %.4f\n", m.loss, m.accuracy);
    if (s != SUNUP_OK) fprintf(stderr, "%s\n", sunup_error(ctx));
    sunup_trainer_destroy(&trainer);
    sunup_data_destroy(&data);
    sunup_model_destroy(&model);
    sunup_context_destroy(&ctx);
    return s == SUNUP_OK && m.accuracy > 0.99 ? EXIT_SUCCESS : EXIT_FAILURE;
}
