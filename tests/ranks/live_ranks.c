/* live_ranks.c - samples that follow from the network's output: the same bits on any number of
 * ranks, and after a checkpoint written on all ranks in the middle of the places' sequences is
 * read on one.
 *
 * What stands at a place of the batch walks: its sample is where it stands, and how far it goes
 * next is what the network said there. Every third time it starts again somewhere else, at
 * different times. By the public interface only.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sunup.h>

enum { BATCH = 12, SHARDS = 4, STEPS = 10, STOP = 5, IN = 3 };

struct walk {
    double at;
    int64_t turn, walks;
};

static bool fill(void *arg, int64_t number, int64_t place, void *state, void *const *y)
{
    (void)arg;
    struct walk *w = state;
    if (number == 0) w->turn = place % 3;
    if (w->turn == 0) w->at = (double)((place * 7 + w->walks * 3) % 11) / 11;
    float *x = y[0], *target = y[1];
    for (int i = 0; i < IN; i++) x[i] = (float)(w->at * (i + 1));
    *target = (float)(w->at * w->at);
    return true;
}

static void seen(void *arg, int64_t number, int64_t place, void *state, const void *output)
{
    (void)arg, (void)number, (void)place;
    struct walk *w = state;
    w->at += 0.1 * (double)*(const float *)output;
    w->turn = (w->turn + 1) % 3;
    w->walks += w->turn == 0;
}

static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    sunup_value *h = sunup_tanh(sunup_layer_linear(x, "first", 5, true));
    sunup_graph_output(g, "output", sunup_layer_linear(h, "second", 1, true));
    return sunup_graph_finish(g);
}

struct job {
    sunup_context *ctx;
    sunup_comm *all, *self;
};

static sunup_status train(const struct job *job, sunup_comm *comm, const char *from, const char *to,
                          uint64_t *hash)
{
    sunup_model *model = NULL;
    sunup_data *data = NULL;
    sunup_trainer *trainer = NULL;
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(IN), NULL},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(1), NULL}};
    const sunup_live live = {.state_bytes = sizeof(struct walk), .fill = fill, .seen = seen};
    sunup_train_options o = sunup_train_defaults();
    o.batch = BATCH;
    o.shards = SHARDS;
    o.loss = "mse";
    o.optimizer.type = "adam";
    o.max_steps = to != NULL ? STOP : STEPS;
    sunup_status s = sunup_model_create(job->ctx, build, NULL, 1, &model);
    if (s == SUNUP_OK) s = sunup_data_from_live(job->ctx, 2, fields, BATCH * STEPS, &live, &data);
    if (s == SUNUP_OK) s = sunup_trainer_create(model, data, comm, &o, &trainer);
    if (s == SUNUP_OK && from != NULL) s = sunup_trainer_restore(trainer, from);
    while (s == SUNUP_OK) s = sunup_trainer_step(trainer, NULL);
    if (s == SUNUP_E_END) s = to != NULL ? sunup_trainer_save(trainer, to) : SUNUP_OK;
    *hash = sunup_model_hash(model);
    sunup_trainer_destroy(&trainer);
    sunup_data_destroy(&data);
    sunup_model_destroy(&model);
    return s;
}

int main(void)
{
    struct job job = {0};
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS) return 1;
    uint64_t one = 0, many = 1, stopped, resumed = 2;
    sunup_status s = sunup_context_create(NULL, &job.ctx);
    if (s == SUNUP_OK) s = sunup_comm_create(job.ctx, NULL, &job.all);
    if (s == SUNUP_OK)
        s = sunup_comm_create_from(job.ctx, NULL, (int)MPI_Comm_c2f(MPI_COMM_SELF), &job.self);
    char path[64];
    (void)snprintf(path, sizeof path, "live_ranks.%d.safetensors", sunup_comm_ranks(job.all));
    if (s == SUNUP_OK) s = train(&job, job.self, NULL, NULL, &one);
    if (s == SUNUP_OK) s = train(&job, job.all, NULL, NULL, &many);
    if (s == SUNUP_OK) s = train(&job, job.all, NULL, path, &stopped);
    if (s == SUNUP_OK) s = train(&job, job.self, path, NULL, &resumed);
    const bool good = s == SUNUP_OK && one == many && one == resumed;
    if (s != SUNUP_OK) (void)printf("%s: %s\n", sunup_status_name(s), sunup_error(job.ctx));
    if (sunup_comm_rank(job.all) == 0)
        (void)printf("live samples %s on %d ranks: %llx %llx %llx\n", good ? "right" : "WRONG",
                     sunup_comm_ranks(job.all), (unsigned long long)one, (unsigned long long)many,
                     (unsigned long long)resumed);
    sunup_comm_destroy(&job.self);
    sunup_comm_destroy(&job.all);
    sunup_context_destroy(&job.ctx);
    return MPI_Finalize() == MPI_SUCCESS && good ? 0 : 1;
}
