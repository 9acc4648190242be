/* checkpoint.c - all that a run needs to go on as if it had never stopped, in one safetensors file.
 *
 * Holds: weights and states under their names, moments as "optimizer.<moment>", with sum: int32 the bounds
 * of gradients as "sum.bounds", with live samples the states of places as "live.state", and as metadata the run's
 * definition (batch, shards, wire, accumulate, parts, seed) and
 * position (step, evaluations done, memory of the schedule). Nothing depends on ranks, so any number of them may
 * resume. Rank 0 collects the slices of the moments and writes, atomically; all ranks learn whether it worked. When
 * it has read a file, each rank takes its slices of what rank 0 sends.
 *
 * Invariant: a file that can be read is whole (its checksum is verified before anything is taken from it).
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"
#include "train/trainer.h"

enum { NUMBER = 32, MAX_KEPT = 4096 };
#define BOUNDS "sum.bounds"

/* What is written beside the tensors; doubles as hexadecimal floats, so that no bit is lost. */
struct entry {
    const char *key;
    int64_t *integer;
    double *real;
    const char *
        definition; /* not NULL: must equal the running trainer's, or the result would be another run's */
    const char *absent; /* not NULL: what a file without the entry means */
};

struct position {
    int64_t batch, shards, wire, accumulate, parts, split, seed, frozen, step, evaluated, updates,
        bad, kernels;
    double best, scale;
};

enum { ENTRIES = 15 };

static void list_entries(struct position *p, struct entry e[ENTRIES])
{
    const struct entry list[ENTRIES] = {{"batch", &p->batch, NULL, "batch", NULL},
                                        {"shards", &p->shards, NULL, "shards", NULL},
                                        {"wire", &p->wire, NULL, "wire: (bits of a float)", "32"},
                                        {"accumulate", &p->accumulate, NULL, "accumulate", NULL},
                                        {"parts", &p->parts, NULL, "parts", "1"},
                                        {"split", &p->split, NULL, "split (a letter's code)", "0"},
                                        {"seed", &p->seed, NULL, "seed", NULL},
                                        {"frozen", &p->frozen, NULL, "freeze: (hash of names)", "0"},
                                        {"step", &p->step, NULL, NULL, NULL},
                                        {"evaluated", &p->evaluated, NULL, NULL, NULL},
                                        {"updates", &p->updates, NULL, NULL, NULL},
                                        {"schedule.bad", &p->bad, NULL, NULL, NULL},
                                        {"kernels", &p->kernels, NULL, NULL, NULL},
                                        {"schedule.best", NULL, &p->best, NULL, NULL},
                                        {"schedule.scale", NULL, &p->scale, NULL, NULL}};
    memcpy(e, list, sizeof list);
}

static struct position position_of(const sunup_trainer *t)
{
    return (struct position){.batch = t->o.batch,
                             .shards = t->o.shards,
                             .wire = sunup__train_rounds_sums(t) ? 16 : 32,
                             .accumulate = t->o.accumulate,
                             .parts = t->o.parts,
                             .split = t->o.split != NULL ? t->o.split[0] : 0,
                             .seed = (int64_t)t->o.seed,
                             .frozen = (int64_t)sunup__model_frozen(t->model),
                             .step = t->step,
                             .evaluated = t->evaluated,
                             .updates = sunup__optimizer_steps(t->optimizer),
                             .bad = t->schedule.bad,
                             .kernels = (int64_t)sunup__train_kernels(t),
                             .best = t->schedule.best,
                             .scale = t->schedule.scale};
}

static int weight_count(const sunup_trainer *t)
{
    return t->model->n_parameters + t->model->n_states;
}

/* Weights and states, moments, and what a sum of integers foresees. */
static int moments_end(const sunup_trainer *t)
{
    return weight_count(t) + sunup__optimizer_moments(t->optimizer);
}

static int bounds_end(const sunup_trainer *t)
{
    return moments_end(t) + sunup__train_by_integers(t);
}

static bool has_states(const sunup_trainer *t)
{
    return t->live != NULL && t->data->live.state_bytes > 0;
}

static int tensor_count(const sunup_trainer *t)
{
    return bounds_end(t) + has_states(t);
}

static sunup_tensor bounds_of(const sunup_trainer *t)
{
    int64_t n;
    const float *bounds = sunup__exchange_bounds(t->exchange, &n);
    return (sunup_tensor){.name = BOUNDS,
                          .dtype = SUNUP_F32,
                          .shape = SUNUP_SHAPE(n),
                          .data = (void *)(uintptr_t)bounds}; /* only read */
}

/* Tensor i of the checkpoint; a moment has no data, as this rank has slices of it only, nor have states.
 * name: room for its name. */
static sunup_tensor tensor_of(const sunup_trainer *t, int i, char name[64])
{
    const int n = weight_count(t);
    if (i < n) return t->model->tensors[i].t;
    if (i >= bounds_end(t)) return sunup__live_tensor(t);
    if (i >= moments_end(t)) return bounds_of(t);
    (void)snprintf(name, 64, "optimizer.%s", sunup__optimizer_moment_name(t->optimizer, i - n));
    return (sunup_tensor){
        .name = name, .dtype = t->model->dtype, .shape = SUNUP_SHAPE(t->model->n_flat_parameters)};
}

static sunup_status write_all(sunup_trainer *t, const char *path,
                              const struct whole_moments *moments, char *states, struct arena *a)
{
    const int n = tensor_count(t);
    struct position p = position_of(t);
    struct entry e[ENTRIES];
    list_entries(&p, e);
    sunup_tensor *tensors = sunup__arena_alloc(a, (size_t)(n + 1) * sizeof *tensors);
    char(*names)[64] = sunup__arena_alloc(a, (size_t)(n + 1) * sizeof *names);
    const char **keys = sunup__arena_alloc(a, ENTRIES * sizeof *keys);
    const char **values = sunup__arena_alloc(a, ENTRIES * sizeof *values);
    char(*numbers)[NUMBER] = sunup__arena_alloc(a, ENTRIES * sizeof *numbers);
    CHECK(tensors && names && keys && values && numbers, t->ctx, E_MEMORY, "no memory to write %s",
          path);
    for (int i = 0; i < n; i++) tensors[i] = tensor_of(t, i, names[i]);
    for (int i = weight_count(t); i < moments_end(t); i++)
        tensors[i].data = (void *)moments->data[i - weight_count(t)]; /* only read */
    if (has_states(t)) tensors[n - 1].data = states;
    for (int i = 0; i < ENTRIES; i++) {
        keys[i] = e[i].key;
        values[i] = numbers[i];
        if (e[i].integer != NULL)
            (void)snprintf(numbers[i], NUMBER, "%" PRId64, *e[i].integer);
        else
            (void)snprintf(numbers[i], NUMBER, "%a", *e[i].real);
    }
    const struct tensors file = {
        .n = n, .t = tensors, .n_meta = ENTRIES, .meta_key = keys, .meta_value = values};
    return sunup__tensors_write(t->ctx, path, &file);
}

sunup_status sunup_trainer_save(sunup_trainer *t, const char *path)
{
    struct whole_moments moments = {0};
    struct arena a = {0};
    char *states = NULL;
    sunup__take_weights(t);
    sunup_status status = sunup__moments_collect(t, &moments);
    if (status == SUNUP_OK) status = sunup__live_collect(t, &states);
    if (status == SUNUP_OK) {
        const bool mine = sunup_comm_rank(t->comm) == 0;
        status =
            sunup_comm_agree(t->comm, mine ? write_all(t, path, &moments, states, &a) : SUNUP_OK);
    }
    sunup__free(states);
    sunup__arena_end(&a);
    sunup__moments_end(&moments, status);
    return status;
}

static sunup_status read_entry(sunup_trainer *t, const char *path, const struct tensors *file,
                               const struct entry *e)
{
    const char *text = sunup__tensors_meta(file, e->key);
    if (text == NULL) text = e->absent;
    CHECK(text != NULL, t->ctx, E_FORMAT, "%s: no entry '%s': not a checkpoint of a training run",
          path, e->key);
    char *end;
    if (e->integer != NULL)
        *e->integer = strtoll(text, &end, 10);
    else
        *e->real = strtod(text, &end);
    CHECK(*end == '\0' && end != text, t->ctx, E_FORMAT, "%s: entry '%s' is '%s', not a number",
          path, e->key, text);
    return SUNUP_OK;
}

static sunup_status read_position(sunup_trainer *t, const char *path, const struct tensors *file,
                                  struct position *p)
{
    struct position now = position_of(t);
    struct entry theirs[ENTRIES], ours[ENTRIES];
    list_entries(p, theirs);
    list_entries(&now, ours);
    for (int i = 0; i < ENTRIES; i++) {
        TRY(read_entry(t, path, file, &theirs[i]));
        if (theirs[i].definition == NULL) continue;
        CHECK(
            *theirs[i].integer == *ours[i].integer, t->ctx, E_ARGUMENT,
            "%s was written by a run with %s %lld, this one has %lld: it would not be the same run",
            path, theirs[i].definition, (long long)*theirs[i].integer, (long long)*ours[i].integer);
    }
    if (p->kernels != now.kernels)
        sunup__log(t->ctx, SUNUP_LOG_WARN,
                   "%s was written with other kernels (instruction set or tuning file): this run "
                   "goes on, but its bits "
                   "will not be those of the uninterrupted one",
                   path);
    CHECK(p->step >= 0 && p->updates >= 0 && p->step <= INT64_MAX / 2, t->ctx, E_FORMAT,
          "%s: step %lld is impossible", path, (long long)p->step);
    return SUNUP_OK;
}

static const sunup_tensor *tensor_in(const struct tensors *file, const char *name)
{
    for (int i = 0; i < file->n; i++)
        if (strcmp(file->t[i].name, name) == 0) return &file->t[i];
    return NULL;
}

static sunup_status check_sum(sunup_trainer *t, const char *path, const struct tensors *file)
{
    const bool theirs = tensor_in(file, BOUNDS) != NULL, ours = sunup__train_by_integers(t);
    CHECK(
        theirs == ours, t->ctx, E_ARGUMENT,
        "%s was written by a run with sum: %s, this one has sum: %s: it would not be the same run",
        path, theirs ? "int32" : "tree", ours ? "int32" : "tree");
    return SUNUP_OK;
}

static sunup_status check_tensors(sunup_trainer *t, const char *path, const struct tensors *file)
{
    for (int i = 0; i < tensor_count(t); i++) {
        char name[64], room[2][SHAPE_TEXT];
        const sunup_tensor ours = tensor_of(t, i, name);
        const sunup_tensor *theirs = tensor_in(file, ours.name);
        CHECK(theirs != NULL, t->ctx, E_FORMAT, "%s: has no tensor '%s'", path, ours.name);
        CHECK(theirs->dtype == ours.dtype && sunup__same_shape(&theirs->shape, &ours.shape), t->ctx,
              E_FORMAT, "%s: '%s' is %s %s there, but %s %s in this network", path, ours.name,
              sunup_dtype_name(theirs->dtype), sunup__shape_text(&theirs->shape, room[0]),
              sunup_dtype_name(ours.dtype), sunup__shape_text(&ours.shape, room[1]));
    }
    return SUNUP_OK;
}

static void take_position(sunup_trainer *t, const struct position *p)
{
    t->step = p->step;
    t->evaluated = p->evaluated;
    sunup__optimizer_set_steps(t->optimizer, p->updates);
    t->schedule.bad = p->bad;
    t->schedule.best = p->best;
    t->schedule.scale = p->scale;
}

/* Everything is verified before the first number of the trainer is changed. Moments stay in the file. */
static sunup_status take(sunup_trainer *t, const char *path, const struct tensors *file)
{
    struct position p;
    TRY(read_position(t, path, file, &p));
    TRY(check_sum(t, path, file));
    TRY(check_tensors(t, path, file));
    if (sunup__train_by_integers(t))
        TRY(sunup__exchange_restore(t->exchange, tensor_in(file, BOUNDS)->data));
    for (int i = 0; i < weight_count(t); i++) {
        const sunup_tensor *ours = &t->model->tensors[i].t;
        const int64_t bytes = sunup__elements(&ours->shape) * sunup_dtype_bytes(ours->dtype);
        memcpy(ours->data, tensor_in(file, ours->name)->data, (size_t)bytes);
    }
    take_position(t, &p);
    return SUNUP_OK;
}

/* file: stays for the moments; nothing in it after a failure. */
static sunup_status restore_from(sunup_trainer *t, const char *path, struct tensors *file)
{
    *file = (struct tensors){0};
    TRY(sunup__tensors_read(t->ctx, path, file));
    const sunup_status status = take(t, path, file);
    if (status != SUNUP_OK) sunup__tensors_end(file);
    return status;
}

static void folder_of(const char *run_dir, struct text *path)
{
    sunup__text(path, "%s/checkpoints", run_dir);
}

/* Steps of the checkpoints in the run folder, descending; returns how many. */
static int descending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static int list_checkpoints(const char *folder, int64_t *steps)
{
    DIR *d = opendir(folder);
    if (d == NULL) return 0;
    int n = 0;
    for (const struct dirent *e; n < MAX_KEPT && (e = readdir(d)) != NULL;) {
        long long step;
        int end = -1;
        if (sscanf(e->d_name, "step-%lld.safetensors%n", &step, &end) == 1 && end > 0 &&
            e->d_name[end] == '\0')
            steps[n++] = step;
    }
    (void)closedir(d);
    qsort(steps, (size_t)n, sizeof *steps, descending);
    return n;
}

static void name_checkpoint(struct text *path, const char *folder, int64_t step)
{
    path->n = 0;
    sunup__text(path, "%s/step-%08" PRId64 ".safetensors", folder, step);
}

/* The newest that can be read; older ones serve if it is damaged. Tried on rank 0; the others take its choice. */
static sunup_status restore_newest(sunup_trainer *t, const char *folder, int64_t *steps,
                                   struct tensors *file)
{
    const int n = list_checkpoints(folder, steps);
    sunup_status last = SUNUP_E_FILE;
    for (int i = 0; i < n; i++) {
        struct text path = {0};
        name_checkpoint(&path, folder, steps[i]);
        CHECK(path.s != NULL, t->ctx, E_MEMORY, "no memory for the name of a checkpoint");
        last = restore_from(t, path.s, file);
        sunup__free(path.s);
        if (last != SUNUP_E_FORMAT && last != SUNUP_E_FILE) return last;
        sunup__log(t->ctx, SUNUP_LOG_WARN, "checkpoint passed over: %s", sunup_error(t->ctx));
    }
    if (n == 0) RAISE(t->ctx, E_FILE, "%s: holds no checkpoint to resume from", folder);
    return last;
}

static sunup_status restore_locally(sunup_trainer *t, const char *path, struct tensors *file)
{
    if (path != NULL) return restore_from(t, path, file);
    CHECK(t->o.run_dir != NULL, t->ctx, E_ARGUMENT, "no run folder to resume from (run_dir)");
    struct text folder = {0};
    int64_t *steps = sunup__alloc(MAX_KEPT * sizeof *steps);
    folder_of(t->o.run_dir, &folder);
    sunup_status status = SUNUP_E_MEMORY;
    if (steps != NULL && folder.s != NULL) status = restore_newest(t, folder.s, steps, file);
    sunup__free(steps);
    sunup__free(folder.s);
    return status;
}

/* Where moment i lies in rank 0's file; NULL on other ranks. */
static void *moment_in(const sunup_trainer *t, int i, const struct tensors *file)
{
    char name[64];
    (void)tensor_of(t, weight_count(t) + i, name);
    return sunup_comm_rank(t->comm) == 0 ? tensor_in(file, name)->data : NULL;
}

/* Rank 0 has taken them from its file. */
static sunup_status spread_bounds(sunup_trainer *t)
{
    int64_t n;
    const float *mine = sunup__exchange_bounds(t->exchange, &n);
    const size_t bytes = (size_t)n * sizeof *mine;
    if (n == 0) return SUNUP_OK;
    /* The slot for the next shard is free between steps. */
    float *bounds = memcpy(sunup__exchange_slot(t->exchange), mine, bytes);
    TRY(sunup__comm_broadcast(t->comm, bounds, (int64_t)bytes, 0, "bounds of a checkpoint"));
    return sunup_comm_agree(t->comm, sunup__exchange_restore(t->exchange, bounds));
}

/* Rank 0's state goes to all: the others need not see the file. */
static sunup_status broadcast(sunup_trainer *t, const struct tensors *file)
{
    struct position p = position_of(t);
    TRY(sunup__comm_broadcast(t->comm, &p, sizeof p, 0, "position of a checkpoint"));
    take_position(t, &p);
    for (int i = 0; i < weight_count(t); i++) {
        const sunup_tensor *ours = &t->model->tensors[i].t;
        const int64_t bytes = sunup__elements(&ours->shape) * sunup_dtype_bytes(ours->dtype);
        TRY(sunup__comm_broadcast(t->comm, ours->data, bytes, 0, "tensors of a checkpoint"));
    }
    for (int i = 0; i < sunup__optimizer_moments(t->optimizer); i++)
        TRY(sunup__moment_spread(t, i, moment_in(t, i, file)));
    const sunup_tensor *states = tensor_in(file, LIVE_STATE);
    TRY(sunup__live_spread(t, states != NULL ? states->data : NULL));
    return spread_bounds(t);
}

sunup_status sunup_trainer_restore(sunup_trainer *t, const char *path)
{
    struct tensors file = {0};
    sunup_status mine = SUNUP_OK;
    sunup__take_weights(t);
    if (sunup_comm_rank(t->comm) == 0) mine = restore_locally(t, path, &file);
    sunup_status status = sunup_comm_agree(t->comm, mine);
    if (status == SUNUP_OK) status = broadcast(t, &file);
    if (!sunup__late_messages(status)) sunup__tensors_end(&file);
    TRY(status);
    t->claimed = true;
    sunup__record_rewind(t->recorder, t->step);
    return sunup__train_rewind(t);
}

/* Remove all but the newest `keep_checkpoints`. */
static void prune(const sunup_trainer *t, const char *folder, struct text *path)
{
    int64_t *steps = sunup__alloc(MAX_KEPT * sizeof *steps);
    if (steps == NULL) return;
    const int n = list_checkpoints(folder, steps);
    for (int i = t->o.keep_checkpoints > 1 ? t->o.keep_checkpoints : 1; i < n; i++) {
        name_checkpoint(path, folder, steps[i]);
        if (path->s != NULL) (void)unlink(path->s);
    }
    sunup__free(steps);
}

static sunup_status keep(sunup_trainer *t, struct text *folder, struct text *path)
{
    folder_of(t->o.run_dir, folder);
    CHECK(folder->s != NULL, t->ctx, E_MEMORY, "no memory for the name of a checkpoint");
    if (t->o.hash_steps > 0) /* whoever goes on from here goes on from what all ranks have */
        TRY(sunup__compare_weights(t, "weights of a checkpoint"));
    sunup_status mine = SUNUP_OK;
    if (sunup_comm_rank(t->comm) == 0) mine = sunup__make_folder(t->ctx, folder->s);
    TRY(sunup_comm_agree(t->comm, mine));
    name_checkpoint(path, folder->s, t->step);
    CHECK(path->s != NULL, t->ctx, E_MEMORY, "no memory for the name of a checkpoint");
    TRY(sunup_trainer_save(t, path->s));
    if (sunup_comm_rank(t->comm) == 0) prune(t, folder->s, path);
    return SUNUP_OK;
}

/* A new run must not mix with an old one: its checkpoints would be taken for this run's. */
static sunup_status claim_locally(sunup_trainer *t, const char *folder)
{
    int64_t *steps = sunup__alloc(MAX_KEPT * sizeof *steps);
    CHECK(steps != NULL, t->ctx, E_MEMORY, "no memory for a list of checkpoints");
    const int n = list_checkpoints(folder, steps);
    sunup__free(steps);
    CHECK(n == 0, t->ctx, E_ARGUMENT,
          "%s holds %d checkpoint(s) of an earlier run; resume it (--resume), remove it, or choose "
          "another run_dir",
          t->o.run_dir, n);
    return SUNUP_OK;
}

sunup_status sunup__checkpoint_claim(sunup_trainer *t)
{
    if (t->o.run_dir == NULL || t->claimed) return SUNUP_OK;
    struct text folder = {0};
    folder_of(t->o.run_dir, &folder);
    sunup_status mine = folder.s != NULL ? SUNUP_OK : SUNUP_E_MEMORY;
    if (mine == SUNUP_OK && sunup_comm_rank(t->comm) == 0) mine = claim_locally(t, folder.s);
    sunup__free(folder.s);
    t->claimed = true;
    return sunup_comm_agree(t->comm, mine);
}

sunup_status sunup__checkpoint_newest(sunup_context *ctx, const char *run_dir, struct text *path)
{
    struct text folder = {0};
    int64_t *steps = sunup__alloc(MAX_KEPT * sizeof *steps);
    folder_of(run_dir, &folder);
    const int n = steps != NULL && folder.s != NULL ? list_checkpoints(folder.s, steps) : 0;
    if (n > 0) name_checkpoint(path, folder.s, steps[0]);
    sunup__free(steps);
    sunup__free(folder.s);
    CHECK(n > 0 && path->s != NULL, ctx, E_FILE, "%s holds no checkpoint", run_dir);
    return SUNUP_OK;
}

sunup_status sunup__checkpoint_keep(sunup_trainer *t)
{
    if (t->o.run_dir == NULL) return SUNUP_OK;
    struct text folder = {0}, path = {0};
    const sunup_status status = keep(t, &folder, &path);
    sunup__free(folder.s);
    sunup__free(path.s);
    return status;
}
