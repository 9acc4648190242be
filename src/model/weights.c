/* weights.c - a model's weights to and from safetensors.
 *
 * Invariant: loading is all or nothing. Every tensor of the model must be in the file with its type and shape, and
 * the file may hold no others, before the first number is copied.
 */
#include <string.h>

#include "base/words.h"
#include "model/model.h"
#include "tensor/tensor.h"

static int tensors_of(const sunup_model *m)
{
    return m->n_parameters + m->n_states;
}

sunup_status sunup_model_save_weights(const sunup_model *model, const char *path)
{
    const int n = tensors_of(model);
    struct tensors t = {.n = n, .t = sunup__alloc((size_t)n * sizeof *t.t)};
    CHECK(t.t, model->ctx, E_MEMORY, "%s: no memory for a list of %d tensors", path, n);
    for (int i = 0; i < n; i++) t.t[i] = model->tensors[i].t;
    const sunup_status status = sunup__tensors_write(model->ctx, path, &t);
    sunup__free(t.t);
    return status;
}

static const sunup_tensor *find(const struct tensors *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->t[i].name, name) == 0) return &t->t[i];
    return NULL;
}

/* ": did you mean" the nearest of the file's names. */
static sunup_status absent(const sunup_model *m, const char *path, const struct tensors *t,
                           const char *name)
{
    char hint[HINT_TEXT] = "";
    const char **names = sunup__alloc((size_t)t->n * sizeof *names);
    for (int i = 0; names && i < t->n; i++) names[i] = t->t[i].name;
    if (names) sunup__hint(hint, name, t->n, names);
    sunup__free(names);
    RAISE(m->ctx, E_FORMAT, "%s: the model's tensor '%s' is not among its %d%s", path, name, t->n,
          hint);
}

/* What a checkpoint holds beside weights and states. */
static bool of_training(const char *name)
{
    return strncmp(name, "optimizer.", 10) == 0 || strcmp(name, "sum.bounds") == 0 ||
           strcmp(name, "live.state") == 0;
}

static sunup_status check(const sunup_model *m, const char *path, const struct tensors *t)
{
    char mine[SHAPE_TEXT], theirs[SHAPE_TEXT];
    for (int i = 0; i < tensors_of(m); i++) {
        const sunup_tensor *ours = &m->tensors[i].t, *file = find(t, ours->name);
        if (!file) return absent(m, path, t, ours->name);
        CHECK(file->dtype == ours->dtype && sunup__same_shape(&file->shape, &ours->shape), m->ctx,
              E_SHAPE, "%s: '%s' is %s %s, the model has %s %s", path, ours->name,
              sunup_dtype_name(file->dtype), sunup__shape_text(&file->shape, theirs),
              sunup_dtype_name(ours->dtype), sunup__shape_text(&ours->shape, mine));
    }
    for (int i = 0; i < t->n; i++) {
        if (of_training(t->t[i].name)) continue;
        CHECK(sunup__model_find(m, t->t[i].name), m->ctx, E_FORMAT,
              "%s: holds '%s', which the model does not have", path, t->t[i].name);
    }
    return SUNUP_OK;
}

sunup_status sunup_model_load_weights(sunup_model *model, const char *path)
{
    struct tensors t;
    TRY(sunup__tensors_read(model->ctx, path, &t));
    const sunup_status status = check(model, path, &t);
    for (int i = 0; i < tensors_of(model) && status == SUNUP_OK; i++) {
        const sunup_tensor *ours = &model->tensors[i].t;
        const int64_t bytes = sunup__elements(&ours->shape) * sunup_dtype_bytes(ours->dtype);
        if (bytes > 0) memcpy(ours->data, find(&t, ours->name)->data, (size_t)bytes);
    }
    sunup__tensors_end(&t);
    return status;
}
