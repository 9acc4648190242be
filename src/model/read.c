/* read.c - a model file's document: where the network is, its inputs, its output; docs/models.md is its manual.
 *
 * Owes: a description in which every name is unique, every input is the number of an earlier value, every required
 * key is there, and every layer is used. Leaves the layers to read_layers.c, single values to read_value.c, shapes to
 * the graph.
 * Invariant: hostile text costs bounded work: MAX_BYTES of text here, layers and repeats limited in read_layers.c.
 */
#include <string.h>

#include "base/system.h"
#include "model/read.h"

enum { MAX_BYTES = 16 << 20 };

/* ------------------------------------------------------------------------- network --- */

static sunup_status read_dtype(const struct reader *r, const struct yaml *n, const char *what,
                               bool integers, sunup_dtype *dtype)
{
    const sunup_dtype known[] = {SUNUP_F32, SUNUP_F64, SUNUP_I32};
    const char *s = n->kind == YAML_TEXT ? n->text : NULL;
    for (int i = 0; s && i < (integers ? 3 : 2); i++) {
        if (strcmp(s, sunup_dtype_name(known[i])) != 0) continue;
        *dtype = known[i];
        return SUNUP_OK;
    }
    return sunup__yaml_error(r->ctx, n, "%s: expected f32%s", what,
                             integers ? ", f64 or i32" : " or f64");
}

static sunup_status read_input(struct reader *r, const struct yaml *n)
{
    static const char *const words[] = {"name", "shape", "dtype"};
    if (n->kind != YAML_MAP)
        return sunup__yaml_error(r->ctx, n, "input: expected a map with name and shape");
    TRY(sunup__yaml_known(r->ctx, n, "input", 3, words));
    const struct yaml *name = sunup__yaml_get(n, "name"), *shape = sunup__yaml_get(n, "shape");
    const struct yaml *dtype = sunup__yaml_get(n, "dtype");
    if (!name || !shape) return sunup__yaml_error(r->ctx, n, "an input needs name and shape");
    struct model_input in = {.dtype = r->d->dtype};
    struct attribute dims = {0};
    TRY(sunup__read_name(r, name, &in.name));
    TRY(sunup__read_new_name(r, name, in.name));
    TRY(sunup__read_wholes(r, shape, "shape", 1, &dims));
    if (dims.n >= SUNUP_MAX_DIMS)
        return sunup__yaml_error(r->ctx, shape,
                                 "shape: %d axes, but at most %d fit beside the batch", dims.n,
                                 SUNUP_MAX_DIMS - 1);
    in.shape.n = dims.n;
    for (int i = 0; i < dims.n; i++) in.shape.d[i] = (int64_t)dims.v[i];
    if (dtype) TRY(read_dtype(r, dtype, "dtype", true, &in.dtype));
    TRY(sunup__read_grow(r));
    r->names[r->d->n_inputs] = in.name;
    r->used[r->d->n_inputs] = false;
    r->d->inputs[r->d->n_inputs++] = in;
    return SUNUP_OK;
}

/* `input: {...}` or `inputs: [{...}, ...]`. */
static sunup_status read_model_inputs(struct reader *r, const struct yaml *model)
{
    const struct yaml *one = sunup__yaml_get(model, "input");
    const struct yaml *many = sunup__yaml_get(model, "inputs");
    if (!one == !many)
        return sunup__yaml_error(r->ctx, model, "a model has either input or inputs");
    if (many && many->kind != YAML_LIST)
        return sunup__yaml_error(r->ctx, many, "inputs: expected a list of maps");
    const int n = many ? many->n : 1;
    if (n < 1 || n > MAX_INPUTS)
        return sunup__yaml_error(r->ctx, many, "inputs: %d of them, but 1 to %d are possible", n,
                                 (int)MAX_INPUTS);
    r->d->inputs = sunup__arena_alloc(&r->d->arena, (size_t)n * sizeof *r->d->inputs);
    CHECK(r->d->inputs, r->ctx, E_MEMORY, "%s: no memory", r->d->source);
    for (int i = 0; i < n; i++) TRY(read_input(r, many ? many->item[i] : one));
    return SUNUP_OK;
}

/* A layer that nobody reads is a slip: most often a branch that was never joined. */
static sunup_status check_used(struct reader *r)
{
    const struct description *d = r->d;
    r->used[d->output] = true;
    for (int i = 0; i < sunup__read_values(r); i++) {
        if (r->used[i]) continue;
        const struct layer *l = i < d->n_inputs ? NULL : &d->layers[i - d->n_inputs];
        if (!l) RAISE(r->ctx, E_FORMAT, "%s: no layer reads input '%s'", d->source, r->names[i]);
        RAISE(r->ctx, E_FORMAT, "%s:%d:%d: no layer reads %s '%s', and it is not the output",
              d->source, l->line, l->column, l->kind->name, l->name);
    }
    return SUNUP_OK;
}

static sunup_status read_model(struct reader *r, const struct yaml *model)
{
    static const char *const words[] = {"input", "inputs", "layers", "output", "dtype"};
    if (model->kind != YAML_MAP)
        return sunup__yaml_error(r->ctx, model, "model: expected a map with input and layers");
    TRY(sunup__yaml_known(r->ctx, model, "model", 5, words));
    const struct yaml *dtype = sunup__yaml_get(model, "dtype");
    const struct yaml *layers = sunup__yaml_get(model, "layers");
    const struct yaml *output = sunup__yaml_get(model, "output");
    if (dtype) TRY(read_dtype(r, dtype, "dtype", false, &r->d->dtype));
    if (!layers) return sunup__yaml_error(r->ctx, model, "model has no layers");
    TRY(read_model_inputs(r, model));
    struct scope top = {.prefix = "", .entry = -1, .previous = r->d->n_inputs == 1 ? 0 : -1};
    TRY(sunup__read_list(r, &top, layers));
    r->d->output = top.previous;
    if (output) TRY(sunup__read_input_name(r, &top, output, &r->d->output));
    return check_used(r);
}

/* -------------------------------------------------------------------------- document --- */

static sunup_status read_document(struct reader *r, const struct yaml *root)
{
    CHECK(root->kind == YAML_MAP, r->ctx, E_FORMAT, "%s: expected a map with the key 'model'",
          r->d->source);
    const struct yaml *model = sunup__yaml_get(root, "model");
    if (!model) return sunup__yaml_error(r->ctx, root, "there is no key 'model'");
    if (model->kind == YAML_TEXT && !sunup__yaml_null(model))
        return sunup__yaml_error(r->ctx, model, "the model is in another file, '%.200s'",
                                 model->text);
    return read_model(r, model);
}

sunup_status sunup__description_read(sunup_context *ctx, const char *text, size_t bytes,
                                     const char *name, struct description *d)
{
    struct reader r = {.ctx = ctx, .d = d};
    struct arena tree = {0};
    struct yaml *root;
    CHECK(bytes <= MAX_BYTES, ctx, E_FORMAT, "%s: %zu bytes, but a model takes at most %d", name,
          bytes, (int)MAX_BYTES);
    d->source = sunup__arena_strdup(&d->arena, name);
    CHECK(d->source, ctx, E_MEMORY, "%s: no memory", name);
    sunup_status status = sunup__yaml_parse(ctx, text, bytes, name, &tree, &root);
    if (status == SUNUP_OK) status = read_document(&r, root);
    sunup__arena_end(&tree);
    sunup__free(r.names);
    sunup__free(r.used);
    return status;
}

void sunup__description_end(struct description *d)
{
    sunup__free(d->layers);
    sunup__arena_end(&d->arena);
    *d = (struct description){0};
}

static void end_description(void *arg)
{
    sunup__description_end(arg);
    sunup__free(arg);
}

sunup_status sunup__model_parse(sunup_context *ctx, const char *text, size_t bytes,
                                const char *name, uint64_t seed, sunup_model **m)
{
    *m = NULL;
    struct description *d = sunup__alloc(sizeof *d);
    CHECK(d, ctx, E_MEMORY, "%s: no memory for its description", name);
    const sunup_status status = sunup__description_read(ctx, text, bytes, name, d);
    if (status != SUNUP_OK) {
        end_description(d);
        return status;
    }
    const struct model_recipe recipe = {.build = sunup__description_build,
                                        .arg = d,
                                        .end_arg = end_description,
                                        .dtype = d->dtype,
                                        .source = d->source};
    return sunup__model_create(ctx, &recipe, seed, m);
}

sunup_status sunup__model_load(sunup_context *ctx, const char *path, struct onnx_options o,
                               uint64_t seed, sunup_model **model)
{
    void *text;
    size_t bytes;
    *model = NULL;
    TRY(sunup__file_read(ctx, path, &text, &bytes));
    const struct onnx_file onnx = {text, bytes, path, o};
    const sunup_status status = sunup__onnx_is(text, bytes, path)
                                    ? sunup__onnx_model(ctx, &onnx, seed, model)
                                    : sunup__model_parse(ctx, text, bytes, path, seed, model);
    sunup__free(text);
    return status;
}

sunup_status sunup_model_load(sunup_context *ctx, const char *path, uint64_t seed,
                              sunup_model **model)
{
    return sunup__model_load(ctx, path, (struct onnx_options){0}, seed, model);
}
