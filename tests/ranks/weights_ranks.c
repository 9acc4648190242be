/* weights_ranks.c - a bit that flips in what one rank keeps of a network is found when it is
 * compared: the ranks and the tensor are named, on all ranks. Of the weights themselves only the
 * owner's slices last, for it writes them over all others in each step; so the bit is one of a
 * running mean. By the public interface only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sunup.h>

enum { SAMPLES = 64, IN = 5, CULPRIT = 1 };

static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    sunup_value *h = sunup_layer_batch_norm(sunup_layer_linear(x, "first", 8, true), "norm");
    sunup_graph_output(g, "output", sunup_layer_linear(h, "second", 1, true));
    return sunup_graph_finish(g);
}

static void flip(sunup_model *model)
{
    const int n = sunup_model_parameters(model) + sunup_model_states(model);
    for (int i = 0; i < n; i++) {
        sunup_tensor t;
        if (sunup_model_tensor(model, i, &t) == SUNUP_OK && strcmp(t.name, "norm.running_mean") == 0)
            ((unsigned char *)t.data)[6] ^= 2;
    }
}

static sunup_status train(sunup_trainer *trainer, sunup_model *model, int rank)
{
    sunup_status s = SUNUP_OK;
    for (int step = 1; step <= 6 && s == SUNUP_OK; step++) {
        if (step == 5 && rank == CULPRIT) flip(model);
        s = sunup_trainer_step(trainer, NULL);
    }
    return s;
}

int main(void)
{
    static float x[SAMPLES][IN], y[SAMPLES];
    for (int i = 0; i < SAMPLES * IN; i++) x[i / IN][i % IN] = (float)(i % 7) - 3;
    for (int i = 0; i < SAMPLES; i++) y[i] = x[i][0] - x[i][2];
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(SAMPLES, IN), x},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(SAMPLES), y}};
    sunup_context *ctx = NULL;
    sunup_comm *comm = NULL;
    sunup_model *model = NULL;
    sunup_data *data = NULL;
    sunup_trainer *trainer = NULL;
    sunup_train_options o = sunup_train_defaults();
    o.batch = 32;
    o.shards = 4;
    o.loss = "mse";
    o.epochs = 10;
    o.hash_steps = 3;
    sunup_status s = sunup_context_create(NULL, &ctx);
    if (s == SUNUP_OK) s = sunup_comm_create(ctx, NULL, &comm);
    if (s == SUNUP_OK) s = sunup_model_create(ctx, build, NULL, 1, &model);
    if (s == SUNUP_OK) s = sunup_data_from_memory(ctx, 2, fields, &data);
    if (s == SUNUP_OK) s = sunup_trainer_create(model, data, comm, &o, &trainer);
    if (s == SUNUP_OK) s = train(trainer, model, sunup_comm_rank(comm));
    printf("rank %d: status %d: %s\n", comm ? sunup_comm_rank(comm) : -1, (int)s, sunup_error(ctx));
    sunup_trainer_destroy(&trainer);
    sunup_data_destroy(&data);
    sunup_model_destroy(&model);
    sunup_comm_destroy(&comm);
    sunup_context_destroy(&ctx);
    return s == SUNUP_E_PEER ? EXIT_SUCCESS : EXIT_FAILURE;
}
