/* summary.c - `sunup summary` of a network, `sunup config` and `tune` of a run. What a run will cost: plan.c. */
#include <string.h>

#include "base/system.h"
#include "base/yaml.h"
#include "program.h"
#include "train/trainer.h"

/* An ONNX file by its content; a network in YAML and a run file by their keys: a run file says which data. */
sunup_status run_file_or_network(struct command *c, const char *path, struct run_file *run)
{
    void *text;
    size_t bytes;
    struct yaml *root;
    struct arena a = {0};
    TRY(sunup__file_read(c->ctx, path, &text, &bytes));
    const bool onnx = sunup__onnx_is(text, bytes, path);
    const sunup_status status =
        onnx ? SUNUP_OK : sunup__yaml_parse(c->ctx, text, bytes, path, &a, &root);
    sunup__free(text);
    const bool is_run = !onnx && status == SUNUP_OK && sunup__yaml_get(root, "data") != NULL;
    sunup__arena_end(&a);
    TRY(status);
    if (is_run) return run_file_load(c, path, run);
    run->model = sunup__arena_strdup(&run->arena, path);
    CHECK(run->model != NULL, c->ctx, E_MEMORY, "no memory for the name of a network");
    return SUNUP_OK;
}

bool run_file_has_weights(const struct run_file *r, const sunup_model *model)
{
    const bool begun = r->o.run_dir != NULL && sunup__file_exists(r->o.run_dir);
    return !begun && sunup__onnx_made(model);
}

static sunup_status summary(struct command *c, struct run_file *run)
{
    TRY(run_file_or_network(c, c->operand[0], run));
    sunup_model *m = NULL;
    TRY(run_file_model(c, run, &m));
    char *text = sunup_model_summary(m, c->batch > 0 ? c->batch : 1);
    if (c->json && text != NULL) {
        json_t *j = json_object();
        (void)json_object_set_new(j, "model", json_string(run->model));
        (void)json_object_set_new(j, "parameters", json_integer(sunup__model_elements(m)));
        (void)json_object_set_new(j, "table", json_string(text));
        if (m->note != NULL) (void)json_object_set_new(j, "note", json_string(m->note));
        print_json(j);
    } else if (text != NULL) {
        (void)printf("%s%s%s", text, m->note != NULL ? "\n" : "", m->note != NULL ? m->note : "");
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

int verb_tune(struct command *c)
{
    struct session s = {0};
    struct text table = {0};
    if (c->output == NULL) return complain(EXIT_USAGE, "sunup tune needs --output FILE");
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = sunup__trainer_tune(s.trainer, c->output, &table);
    if (status == SUNUP_OK && sunup_comm_rank(c->comm) == 0)
        (void)printf("%s  choices in %s; use them with --tuning %s, from the run's first step on\n",
                     table.s != NULL ? table.s : "", c->output, c->output);
    sunup__free(table.s);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    session_close(&s);
    return result;
}
