/* run_open.c - what a run file names: data from files or from an app, a network from a file, an app or the zoo. */
#include <string.h>

#include "base/system.h"
#include "inside.h"
#include "model/model.h"
#include "program.h"

sunup_status run_file_data(struct command *c, const struct run_file *r, const struct field_list *list,
                           sunup_data **data)
{
    *data = NULL;
    if (list->source != NULL)
        return app_open_source(c->ctx, list->source, list->source == r->train.source, r->o.seed,
                               data);
    return list->n > 0 ? sunup_data_open(c->ctx, list->n, list->fields, data) : SUNUP_OK;
}

static const char *last_part(const char *model)
{
    const char *slash = strrchr(model, '/');
    return slash != NULL ? slash + 1 : model;
}

/* A word that is no file may be the name of an app that builds its network in C, or of a network of the zoo. */
static const struct app *builder(const char *model)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", last_part(model));
    name[strcspn(name, "-")] = '\0';
    const struct app *a = app_find(name);
    return a != NULL && a->build != NULL && !sunup__file_exists(model) ? a : NULL;
}

/* "lite" of "jets-lite", "" of "jets". */
static char *variant(char *model)
{
    char *dash = strrchr(model, '/');
    dash = strchr(dash != NULL ? dash : model, '-');
    return dash != NULL ? dash + 1 : model + strlen(model);
}

static bool in_zoo(const char *model)
{
    return sunup__zoo_has(last_part(model)) && !sunup__file_exists(model);
}

const char *run_file_named(const char *model)
{
    return builder(model) != NULL || in_zoo(model) ? last_part(model) : NULL;
}

static sunup_status make_model(struct command *c, struct run_file *r, sunup_model **model)
{
    const struct app *a = builder(r->model);
    struct app_network *net = &r->network;
    net->ctx = c->ctx;
    net->variant = variant(r->model);
    if (a != NULL) return sunup_model_create(c->ctx, a->build, net, r->o.seed, model);
    if (in_zoo(r->model))
        return sunup_model_zoo(c->ctx, last_part(r->model), net->input, net->classes, r->o.seed,
                               model);
    CHECK(net->input.n == 0 && net->classes == 0, c->ctx, E_ARGUMENT,
          "%s: model.input and model.classes belong to a network by name, but '%s' is none",
          r->path, r->model);
    struct onnx_options o = r->onnx;
    o.train_bn = o.train_bn || c->train_bn;
    return sunup__model_load(c->ctx, r->model, o, r->o.seed, model);
}

sunup_status run_file_model(struct command *c, struct run_file *r, sunup_model **model)
{
    TRY(make_model(c, r, model));
    return r->weights != NULL ? sunup_model_load_weights(*model, r->weights) : SUNUP_OK;
}
