/* create.c - options of a training run and the trainer's life. */
#include <string.h>

#include "base/memory.h"
#include "comm/halo.h"
#include "train/trainer.h"

sunup_train_options sunup_train_defaults(void)
{
    return (sunup_train_options){.size = sizeof(sunup_train_options),
                                 .batch = 64,
                                 .shards = 8,
                                 .sum = "tree",
                                 .wire = "f32",
                                 .accumulate = 1,
                                 .parts = 1,
                                 .epochs = 1,
                                 .shuffle = true,
                                 .loss = "cross_entropy",
                                 .delta = 1,
                                 .optimizer = sunup_optimizer_defaults(),
                                 .schedule = sunup_schedule_defaults(),
                                 .keep_checkpoints = 2,
                                 .hash_steps = 100,
                                 .log_steps = 50};
}

static sunup_status copy_string(sunup_trainer *t, const char **s)
{
    if (*s == NULL) return SUNUP_OK;
    *s = sunup__arena_strdup(&t->arena, *s);
    CHECK(*s != NULL, t->ctx, E_MEMORY, "no memory for the options of a run");
    return SUNUP_OK;
}

static sunup_status copy_numbers(sunup_trainer *t, const double **x, int n)
{
    if (n <= 0) return SUNUP_OK;
    double *copy = sunup__arena_alloc(&t->arena, (size_t)n * sizeof *copy);
    CHECK(copy != NULL, t->ctx, E_MEMORY, "no memory for the options of a run");
    *x = memcpy(copy, *x, (size_t)n * sizeof *copy);
    return SUNUP_OK;
}

static sunup_status copy_words(sunup_trainer *t)
{
    const int n = t->o.n_freeze > 0 ? t->o.n_freeze : 0;
    const char **copy = sunup__arena_alloc(&t->arena, (size_t)(n + 1) * sizeof *copy);
    CHECK(copy != NULL, t->ctx, E_MEMORY, "no memory for the options of a run");
    for (int i = 0; i < n; i++) {
        copy[i] = t->o.freeze[i];
        TRY(copy_string(t, &copy[i]));
    }
    t->o.freeze = copy;
    t->o.n_freeze = n;
    return SUNUP_OK;
}

static sunup_status copy_options(sunup_trainer *t, const sunup_train_options *options)
{
    t->o = options != NULL ? *options : sunup_train_defaults();
    const char **strings[] = {&t->o.loss, &t->o.target, &t->o.run_dir, &t->o.optimizer.type, &t->o.optimizer.lr_scaling,
                              &t->o.schedule.type, &t->o.split,
                              &t->o.sum, &t->o.wire, &t->o.weight};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) TRY(copy_string(t, strings[i]));
    TRY(copy_words(t));
    TRY(copy_numbers(t, &t->o.class_weights, t->o.n_class_weights));
    TRY(copy_numbers(t, &t->o.pos_weight, t->o.n_pos_weight));
    if (t->o.loss == NULL) t->o.loss = "cross_entropy";
    if (t->o.optimizer.lr_scaling == NULL) t->o.optimizer.lr_scaling = "linear";
    if (t->o.sum == NULL) t->o.sum = "tree";
    if (t->o.wire == NULL) t->o.wire = "f32";
    return SUNUP_OK;
}

static sunup_status fill(sunup_trainer *t, const sunup_train_options *options)
{
    TRY(copy_options(t, options));
    if (t->comm == NULL) {
        TRY(sunup_comm_create(t->ctx, NULL, &t->own_comm));
        t->comm = t->own_comm;
    }
    sunup_status mine = sunup__train_check_options(t);
    TRY(sunup_comm_agree(t->comm, mine));
    TRY(sunup__comm_consult(t->comm));
    TRY(sunup__train_setup(t));
    if (sunup_comm_rank(t->comm) == 0) mine = sunup__recorder_create(t, &t->recorder);
    sunup__comm_verify(t->comm, t->o.hash_steps > 0); /* whatever is no step is rare */
    return sunup_comm_agree(t->comm, mine);
}

sunup_status sunup_trainer_create(sunup_model *model, sunup_data *data, sunup_comm *comm,
                                  const sunup_train_options *options, sunup_trainer **trainer)
{
    sunup_context *ctx = model->ctx;
    *trainer = NULL;
    sunup_trainer *t = sunup__alloc(sizeof *t);
    CHECK(t != NULL, ctx, E_MEMORY, "no memory for a trainer");
    t->ctx = ctx;
    t->model = model;
    t->data = data;
    t->comm = comm;
    t->threads = ctx->threads;
    const sunup_status status = fill(t, options);
    if (status != SUNUP_OK) {
        sunup_trainer_destroy(&t);
        return status;
    }
    *trainer = t;
    return SUNUP_OK;
}

void sunup_trainer_destroy(sunup_trainer **trainer)
{
    if (trainer == NULL || *trainer == NULL) return;
    sunup_trainer *t = *trainer;
    sunup__recorder_destroy(&t->recorder);
    if (t->comm != NULL) sunup__comm_verify(t->comm, false);
    sunup__evaluation_end(t);
    sunup__stream_destroy(&t->stream);
    sunup__live_destroy(&t->live);
    if (t->exchange != NULL && t->model->flat == sunup__exchange_data(t->exchange))
        sunup__model_move(t->model, NULL);
    sunup__exchange_destroy(&t->exchange);
    sunup__optimizer_destroy(&t->optimizer);
    sunup__pass_destroy(&t->pass);
    sunup__halo_destroy(&t->halo);
    sunup__free(t->sum_room);
    sunup_comm_destroy(&t->own_comm);
    sunup__arena_end(&t->arena);
    sunup__free(t);
    *trainer = NULL;
}
