/* summary.c - `sunup summary` of a network, `sunup config`, `plan` and `tune` of a run: all that is known, or can be
 * measured, before it starts. */
#include <string.h>

#include "base/system.h"
#include "base/yaml.h"
#include "program.h"
#include "train/trainer.h"

/* A network's file and a run file are told apart by their keys: a run file says which data. */
static sunup_status model_of(struct command *c, const char *path, struct run_file *run,
                             const char **model)
{
    void *text;
    size_t bytes;
    struct yaml *root;
    struct arena a = {0};
    TRY(sunup__file_read(c->ctx, path, &text, &bytes));
    sunup_status status = sunup__yaml_parse(c->ctx, text, bytes, path, &a, &root);
    sunup__free(text);
    const bool is_run = status == SUNUP_OK && sunup__yaml_get(root, "data") != NULL;
    sunup__arena_end(&a);
    TRY(status);
    *model = path;
    if (!is_run) return SUNUP_OK;
    TRY(run_file_load(c, path, run));
    *model = run->model;
    return SUNUP_OK;
}

static sunup_status summary(struct command *c, struct run_file *run)
{
    const char *path;
    TRY(model_of(c, c->operand[0], run, &path));
    sunup_model *m = NULL;
    TRY(sunup_model_load(c->ctx, path, 0, &m));
    char *text = sunup_model_summary(m, c->batch > 0 ? c->batch : 1);
    if (c->json && text != NULL) {
        json_t *j = json_object();
        (void)json_object_set_new(j, "model", json_string(path));
        (void)json_object_set_new(j, "parameters", json_integer(sunup__model_elements(m)));
        (void)json_object_set_new(j, "table", json_string(text));
        print_json(j);
    } else if (text != NULL) {
        (void)printf("%s", text);
    }
    const bool made = text != NULL;
    sunup_free(text);
    sunup_model_destroy(&m);
    return made ? SUNUP_OK : SUNUP_E_MEMORY;
}

int verb_summary(struct command *c)
{
    struct run_file run = {0};
    const sunup_status status = summary(c, &run);
    run_file_end(&run);
    return status == SUNUP_OK ? 0 : fail(c, status);
}

int verb_config(struct command *c)
{
    struct run_file run = {0};
    const sunup_status status = run_file_load(c, c->operand[0], &run);
    if (status == SUNUP_OK) run_file_print(&run, stdout);
    run_file_end(&run);
    return status == SUNUP_OK ? 0 : fail(c, status);
}

/* Elements that one rank sends in a step: partial sums of every other rank's slice, then its slice to all. */
static double sent_bytes(const sunup_trainer *t, int ranks)
{
    int most = 0;
    for (int r = 0; r < ranks; r++) {
        int from, to, start[64], level[64];
        sunup__shards_of(t->o.shards, ranks, r, &from, &to);
        const int k = sunup__subtrees(t->o.shards, from, to, start, level);
        if (k > most) most = k;
    }
    const double element = (double)sunup_dtype_bytes(t->model->dtype);
    return element * (most + 1.0) * (double)t->terms.n * (ranks - 1.0) / ranks;
}

struct prediction {
    int ranks, shards_most;
    double flops, memory_bytes, sent_bytes;
};

static sunup_status predict(struct command *c, const sunup_trainer *t, struct prediction *p)
{
    const int ranks = c->ranks > 0 ? (int)c->ranks : sunup_comm_ranks(c->comm);
    CHECK(ranks <= t->o.shards, c->ctx, E_ARGUMENT, "%d ranks cannot share %d shards; raise shards",
          ranks, t->o.shards);
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    *p = (struct prediction){.ranks = ranks, .shards_most = (t->o.shards + ranks - 1) / ranks};
    p->flops = info.flops * p->shards_most;
    const int64_t here = sunup__exchange_bytes(t->o.shards, sunup_comm_ranks(c->comm), t->terms.n,
                                               t->model->dtype == SUNUP_F64);
    const int64_t there =
        sunup__exchange_bytes(t->o.shards, ranks, t->terms.n, t->model->dtype == SUNUP_F64);
    p->memory_bytes = (double)(sunup__trainer_bytes(t) - here + there);
    p->sent_bytes = sent_bytes(t, ranks);
    return SUNUP_OK;
}

static void show_prediction(const sunup_trainer *t, const struct prediction *p)
{
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    char *steps = sunup_plan_print(t->pass->plan);
    if (steps != NULL) (void)printf("%s\n", steps);
    sunup_free(steps);
    (void)printf("  a shard   %lld samples, %lld steps, %.3f GFLOP, arena %.2f MB (%.2f MB without "
                 "sharing)\n",
                 (long long)t->pass->count, (long long)info.steps, 1e-9 * info.flops,
                 1e-6 * (double)info.arena_bytes, 1e-6 * (double)info.unshared_bytes);
    (void)printf("  a rank    of %d: at most %d shards, %.3f GFLOP a step, %.1f MB memory, sends "
                 "%.3f MB a step\n",
                 p->ranks, p->shards_most, 1e-9 * p->flops, 1e-6 * p->memory_bytes,
                 1e-6 * p->sent_bytes);
    (void)printf("  the run   %lld steps of batch %lld, %lld an epoch\n", (long long)t->total_steps,
                 (long long)t->o.batch, (long long)t->steps_per_epoch);
}

static void prediction_json(const sunup_trainer *t, const struct prediction *p)
{
    const sunup_plan_info info = sunup_plan_describe(t->pass->plan);
    json_t *j = json_object();
    (void)json_object_set_new(j, "ranks", json_integer(p->ranks));
    (void)json_object_set_new(j, "steps", json_integer(t->total_steps));
    (void)json_object_set_new(j, "shards_per_rank", json_integer(p->shards_most));
    (void)json_object_set_new(j, "flops_per_step", json_real(p->flops));
    (void)json_object_set_new(j, "memory_bytes", json_real(p->memory_bytes));
    (void)json_object_set_new(j, "sent_bytes_per_step", json_real(p->sent_bytes));
    (void)json_object_set_new(j, "arena_bytes", json_integer(info.arena_bytes));
    (void)json_object_set_new(j, "kernels_per_shard", json_integer(info.steps));
    print_json(j);
}

int verb_plan(struct command *c)
{
    struct session s;
    struct prediction p = {0};
    c->quiet = true;
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = predict(c, s.trainer, &p);
    if (status == SUNUP_OK && c->json) prediction_json(s.trainer, &p);
    if (status == SUNUP_OK && !c->json) show_prediction(s.trainer, &p);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    session_close(&s);
    return result;
}

int verb_tune(struct command *c)
{
    struct session s = {0};
    if (c->output == NULL) return complain(EXIT_USAGE, "sunup tune needs --output FILE");
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = sunup__trainer_tune(s.trainer, c->output);
    if (status == SUNUP_OK)
        (void)printf("  choices in %s; use them with --tuning %s, from the run's first step on\n",
                     c->output, c->output);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    session_close(&s);
    return result;
}
