/* model.c - an ONNX file as a model: its recipe, its numbers as first weights, and trained ones
 * back into it.
 *
 * The message stays with the model: it has the first weights, and what is written back is the
 * same message with other numbers, so that names, structure and everything that is not understood
 * here stay as they were.
 */
#include <string.h>

#include "base/system.h"
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

static void end_model(void *arg)
{
    struct onnx_model *m = arg;
    if (m->proto) onnx__model_proto__free_unpacked(m->proto, NULL);
    sunup__free(m->note.s);
    sunup__arena_end(&m->arena);
    sunup__free(m);
}

static struct onnx_weight *find(const struct onnx_model *m, const char *name)
{
    for (int i = 0; i < m->n_weights; i++)
        if (strcmp(m->weights[i].p->name, name) == 0) return &m->weights[i];
    return NULL;
}

/* Element i of ours, in the file. */
static int64_t place(const struct onnx_weight *w, int64_t i)
{
    int64_t stride[SUNUP_MAX_DIMS], at = 0;
    sunup__strides(&w->shape, stride);
    for (int a = w->shape.n - 1; a >= 0; a--) {
        const int64_t length = w->shape.d[w->order[a]];
        at += i % length * stride[w->order[a]];
        i /= length;
    }
    return at;
}

bool sunup__onnx_weight_read(const struct onnx_weight *w, const sunup_tensor *t)
{
    const int64_t n = sunup__elements(&t->shape);
    double *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    if (!x) return false;
    sunup__onnx_tensor_read(w->p, n, x);
    for (int64_t i = 0; i < n; i++) {
        const double v = x[place(w, i)];
        if (t->dtype == SUNUP_F64)
            ((double *)t->data)[i] = v;
        else
            ((float *)t->data)[i] = (float)v;
    }
    sunup__free(x);
    return true;
}

/* The file's numbers as first weights. */
static sunup_status start(void *arg, sunup_model *model)
{
    const struct onnx_model *m = arg;
    for (int i = 0; i < model->n_parameters + model->n_states; i++) {
        const sunup_tensor *t = &model->tensors[i].t;
        const struct onnx_weight *w = find(m, t->name);
        CHECK(w && sunup__onnx_weight_read(w, t), m->ctx, E_MEMORY, "%s: no memory for '%s'",
              m->source, t->name);
    }
    return SUNUP_OK;
}

bool sunup__onnx_is(const void *data, size_t bytes, const char *path)
{
    const unsigned char *p = data;
    const size_t n = strlen(path);
    const bool named = n > 5 && strcmp(path + n - 5, ".onnx") == 0;
    return named ||
           (bytes > 2 && p[0] == 0x08 && p[1] < 0x20); /* ir_version, no letter of a text */
}

sunup_status sunup__onnx_open(sunup_context *ctx, const struct onnx_file *file,
                              struct onnx_model **model)
{
    struct onnx_model *m = sunup__alloc(sizeof *m);
    *model = NULL;
    CHECK(m, ctx, E_MEMORY, "%s: no memory for a model", file->name);
    m->ctx = ctx;
    m->o = file->options;
    m->source = sunup__arena_strdup(&m->arena, file->name);
    sunup_status status =
        m->source ? sunup__onnx_parse(m, file->data, file->bytes) : SUNUP_E_MEMORY;
    if (status == SUNUP_OK) status = sunup__onnx_resolve(m);
    if (status == SUNUP_OK)
        *model = m;
    else
        end_model(m);
    return status;
}

void sunup__onnx_close(struct onnx_model **model)
{
    if (*model) end_model(*model);
    *model = NULL;
}

sunup_status sunup__onnx_model(sunup_context *ctx, const struct onnx_file *file, uint64_t seed,
                               sunup_model **model)
{
    struct onnx_model *m;
    *model = NULL;
    TRY(sunup__onnx_open(ctx, file, &m));
    const struct model_recipe recipe = {.build = sunup__onnx_build,
                                        .arg = m,
                                        .end_arg = end_model,
                                        .start = start,
                                        .note = m->note.s,
                                        .dtype = m->dtype,
                                        .source = m->source};
    return sunup__model_create(ctx, &recipe, seed, model);
}

/* -------------------------------------------------------------------------- back --- */

static bool write_tensor(struct onnx_weight *w, const sunup_tensor *t)
{
    const int64_t n = sunup__elements(&t->shape);
    double *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    if (!x) return false;
    for (int64_t i = 0; i < n; i++)
        x[place(w, i)] = t->dtype == SUNUP_F64 ? ((const double *)t->data)[i]
                                               : (double)((const float *)t->data)[i];
    const bool written = sunup__onnx_tensor_write(w->p, n, x);
    sunup__free(x);
    return written;
}

bool sunup__onnx_made(const sunup_model *model)
{
    return model->build == sunup__onnx_build;
}

sunup_status sunup__onnx_write_back(const sunup_model *model, const char *path)
{
    struct onnx_model *m = model->arg;
    for (int i = 0; i < model->n_parameters + model->n_states; i++) {
        const sunup_tensor *t = &model->tensors[i].t;
        CHECK(write_tensor(find(m, t->name), t), m->ctx, E_MEMORY, "%s: no memory for '%s'", path,
              t->name);
    }
    return sunup__onnx_pack(m, path);
}
