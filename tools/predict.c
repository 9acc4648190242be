/* predict.c - `sunup predict RUN.yaml --output out.npy`: outputs of a trained network for samples without labels.
 *
 * The samples are the run's evaluation data, or those of --input in place of the first input's file; they are prepared
 * exactly as in training (scale, mean, std). One process: predictions need no ranks.
 */
#include <string.h>

#include "base/system.h"
#include "data/data.h"
#include "data/tensors.h"
#include "graph/graph.h"
#include "model/model.h"
#include "inside.h"
#include "program.h"
#include "train/train.h"

struct job {
    struct run_file run;
    sunup_model *model;
    sunup_data *data;
    struct stream *stream;
    sunup_shape output; /* of one sample */
    float *out;
    int64_t done;
};

/* Fields that the network takes in; the target is not needed. */
static sunup_status input_fields(struct command *c, struct job *j, sunup_graph *g,
                                 struct field_list *list)
{
    const struct field_list *from = j->run.eval.n > 0 ? &j->run.eval : &j->run.train;
    if (from->source != NULL) {
        CHECK(c->input == NULL, c->ctx, E_ARGUMENT,
              "%s: its samples are made by '%s', so --input has no place", j->run.path,
              from->source->name);
        *list = *from;
        return SUNUP_OK;
    }
    list->fields = sunup__arena_alloc(&j->run.arena, (size_t)(from->n + 1) * sizeof *list->fields);
    CHECK(list->fields != NULL, c->ctx, E_MEMORY, "no memory for %d fields", from->n);
    for (int i = 0; i < from->n; i++)
        if (sunup_graph_find(g, from->fields[i].name) != NULL)
            list->fields[list->n++] = from->fields[i];
    CHECK(list->n > 0, c->ctx, E_ARGUMENT, "%s: no data field is an input of the network",
          j->run.path);
    if (c->input != NULL) list->fields[0].path = c->input;
    return SUNUP_OK;
}

static sunup_status open_data(struct command *c, struct job *j, sunup_graph *g)
{
    struct field_list list = {0};
    TRY(input_fields(c, j, g, &list));
    TRY(run_file_data(c, &j->run, &list, &j->data));
    const sunup_value *y = sunup_graph_find(g, "output");
    CHECK(y != NULL, c->ctx, E_ARGUMENT, "%s: the network has no output", j->run.model);
    const sunup_shape s = sunup_value_shape(y);
    j->output.n = s.n - 1;
    for (int i = 1; i < s.n; i++) j->output.d[i - 1] = s.d[i];
    const int64_t batch = c->batch > 0 ? c->batch : 64;
    const struct stream_options o = {.batch = batch, .shards = 1, .to = 1};
    return sunup__stream_create(j->data, &o, &j->stream);
}

static sunup_status load_weights(struct command *c, struct job *j)
{
    if (c->weights != NULL) return sunup_model_load_weights(j->model, c->weights);
    if (run_file_has_weights(&j->run, j->model)) return SUNUP_OK;
    CHECK(j->run.o.run_dir != NULL, c->ctx, E_ARGUMENT,
          "sunup predict needs --weights FILE, since %s names no run_dir", j->run.path);
    struct text path = {0};
    sunup_status status = sunup__checkpoint_newest(c->ctx, j->run.o.run_dir, &path);
    if (status == SUNUP_OK) status = sunup_model_load_weights(j->model, path.s);
    sunup__free(path.s);
    return status;
}

static sunup_status open_job(struct command *c, struct job *j)
{
    TRY(run_file_load(c, c->operand[0], &j->run));
    CHECK(c->output != NULL, c->ctx, E_ARGUMENT, "sunup predict needs --output FILE.npy");
    TRY(run_file_model(c, &j->run, &j->model));
    TRY(load_weights(c, j));
    sunup_graph *g = NULL;
    sunup_status status = sunup__model_graph(j->model, 1, false, &g);
    if (status == SUNUP_OK) status = open_data(c, j, g);
    sunup_graph_destroy(&g);
    return status;
}

static sunup_status predict_batch(struct job *j, const struct batch *b)
{
    sunup_tensor inputs[16];
    const int n = j->data->n_fields < 16 ? j->data->n_fields : 16;
    for (int f = 0; f < n; f++) {
        const struct field *field = &j->data->fields[f];
        sunup_shape s = {.n = field->shape.n + 1, .d = {b->counts[0]}};
        for (int i = 0; i < field->shape.n; i++) s.d[i + 1] = field->shape.d[i];
        inputs[f] = (sunup_tensor){
            .name = field->name, .dtype = field->dtype, .shape = s, .data = b->data[0][f]};
    }
    float *to = j->out + j->done * sunup__elements(&j->output);
    TRY(sunup_model_predict(j->model, b->counts[0], n, inputs, to));
    j->done += b->counts[0];
    return SUNUP_OK;
}

static sunup_status write_npy(struct command *c, const struct job *j)
{
    sunup_tensor t = {"predictions", SUNUP_F32, {.n = j->output.n + 1, .d = {j->done}}, j->out};
    for (int i = 0; i < j->output.n; i++) t.shape.d[i + 1] = j->output.d[i];
    char *file;
    size_t bytes;
    TRY(sunup__npy_bytes(c->ctx, &t, &file, &bytes));
    const sunup_status status = sunup__file_write(c->ctx, c->output, file, bytes);
    sunup__free(file);
    return status;
}

static sunup_status predict(struct command *c, struct job *j)
{
    TRY(open_job(c, j));
    const int64_t samples = sunup_data_samples(j->data);
    j->out = sunup__alloc_aligned((size_t)(samples * sunup__elements(&j->output)) * sizeof(float));
    CHECK(j->out != NULL, c->ctx, E_MEMORY, "no memory for the predictions of %lld samples",
          (long long)samples);
    const struct batch *b;
    sunup_status status;
    while ((status = sunup__stream_next(j->stream, &b)) == SUNUP_OK) TRY(predict_batch(j, b));
    if (status != SUNUP_E_END) return status;
    return write_npy(c, j);
}

int verb_predict(struct command *c)
{
    struct job j = {0};
    const sunup_status status = predict(c, &j);
    if (status == SUNUP_OK && c->json)
        print_json(json_pack("{s:I, s:s}", "samples", (json_int_t)j.done, "output", c->output));
    else if (status == SUNUP_OK)
        (void)printf("  %lld predictions in %s\n", (long long)j.done, c->output);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    sunup__stream_destroy(&j.stream);
    sunup_data_destroy(&j.data);
    sunup_model_destroy(&j.model);
    sunup__free(j.out);
    run_file_end(&j.run);
    return result;
}
