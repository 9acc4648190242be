/* ffn.c - flood-filling networks: neurons followed through a volume of electron microscopy.
 *
 * Scored are examples of a slab that the network has not been trained on, with a seed in the
 * middle: which voxels belong to the seed's body? After one evaluation, in its window; and after
 * all windows that the network moves to, in the whole example. Beside both stands the guess that
 * all voxels do, which is right more often than not, as examples are centred on bodies.
 */
#include "ffn.h"

enum { WALKS = 128 };

struct scores {
    struct app_run *r;
    struct volume v;
    int64_t window;
    struct ffn_tally first, moved;
    int32_t cubes[WALKS][3];
    int64_t n;
};

/* A voxel is inside if its probability is at least one half. */
static void count_first(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct scores *s = arg;
    const float *inside = f[1];
    const int32_t *cube = f[2];
    const int64_t voxels = s->window * s->window * s->window;
    for (int64_t i = 0; i < voxels; i++) ffn_count(&s->first, y[i] >= 0, inside[i] > 0.5F);
    if (sample >= WALKS) return;
    for (int i = 0; i < 3; i++) s->cubes[sample][i] = cube[i];
    s->n = sample + 1;
}

/* Windows that move are what the network is for, but goals are set for what minutes of training
 * reach. */
static void report(struct app_run *r, const struct ffn_tally *t, bool moved)
{
    const char *guess = "all voxels inside";
    const char *const names[2][3] = {{"voxel accuracy", "IoU", "F1"},
                                     {"moved voxel accuracy", "moved IoU", "moved F1"}};
    const char *const *name = names[moved];
    const enum app_goal goal = moved ? APP_REPORT : APP_AT_LEAST;
    app_score(r, name[0], t->right / t->all, goal, 0.75,
              moved ? "all windows that it moves to" : "one evaluation, slab of its own");
    app_beside(r, name[0], guess, t->yes / t->all);
    app_score(r, name[1], t->both / t->either, goal, 0.68, NULL);
    app_beside(r, name[1], guess, t->yes / t->all);
    app_score(r, name[2], 2 * t->both / (t->both + t->either), APP_REPORT, 0, NULL);
    app_beside(r, name[2], guess, 2 * t->yes / (t->yes + t->all));
}

static sunup_status count_moved(struct scores *s)
{
    sunup_status status = ffn_volume_read(s->r->ctx, &s->v);
    for (int64_t i = 0; i < s->n && status == SUNUP_OK; i++)
        status = ffn_walk(s->r, &s->v, s->window, s->cubes[i], &s->moved);
    ffn_volume_end(&s->v);
    return status;
}

sunup_status ffn_score(struct app_run *r)
{
    struct scores s = {.r = r, .window = app_field_shape(r->eval, 1).d[0]};
    sunup_status status = app_visit(r, r->eval, count_first, &s);
    if (status == SUNUP_OK) status = count_moved(&s);
    if (status != SUNUP_OK) return status;
    report(r, &s.first, false);
    report(r, &s.moved, true);
    return SUNUP_OK;
}

const struct app app_ffn = {
    .name = "ffn",
    .question = "which voxels of an electron microscopy volume belong to the same neuron?",
    .files = "fib25/volume.npz fib25/truth.npz fib25/ffn_published_segmentation.npz "
             "fib25/ffn_published_weights.npz",
    .open = ffn_open,
    .build = ffn_build,
    .score = ffn_score,
    .task = ffn_task,
};
