/* visit.c - an app's look at samples: in order, one process, with or without the network's outputs. */
#include "data/data.h"
#include "graph/graph.h"
#include "inside.h"
#include "model/model.h"

/* Samples looked at together: CHUNK, fewer if they have more than CHUNK_ELEMENTS outputs. */
enum { CHUNK = 64, CHUNK_ELEMENTS = 1 << 22, MAX_FIELDS = 16 };

struct visit {
    const sunup_data *data;
    sunup_model *model; /* NULL: fields only */
    app_visit_fn fn;
    void *arg;
    float *y; /* [chunk, elements] */
    int64_t elements, chunk, done;
};

/* The outputs of a chunk; the network picks its inputs by name. */
static sunup_status predict(struct visit *v, const struct batch *b)
{
    sunup_tensor t[MAX_FIELDS];
    for (int f = 0; f < v->data->n_fields; f++) {
        const struct field *field = &v->data->fields[f];
        t[f] = (sunup_tensor){field->name, field->dtype, {.n = field->shape.n + 1}, b->data[0][f]};
        t[f].shape.d[0] = b->counts[0];
        for (int i = 0; i < field->shape.n; i++) t[f].shape.d[i + 1] = field->shape.d[i];
    }
    return sunup_model_predict(v->model, b->counts[0], v->data->n_fields, t, v->y);
}

static sunup_status visit_chunk(struct visit *v, const struct batch *b)
{
    if (v->model != NULL) TRY(predict(v, b));
    for (int64_t i = 0; i < b->counts[0]; i++) {
        const void *fields[MAX_FIELDS];
        for (int f = 0; f < v->data->n_fields; f++) {
            const struct field *field = &v->data->fields[f];
            const int64_t bytes = sunup__elements(&field->shape) * sunup_dtype_bytes(field->dtype);
            fields[f] = (const char *)b->data[0][f] + i * bytes;
        }
        v->fn(v->arg, v->done++, v->y != NULL ? v->y + i * v->elements : NULL, fields);
    }
    return SUNUP_OK;
}

static sunup_status visit(struct visit *v)
{
    CHECK(v->data->n_fields <= MAX_FIELDS, v->data->ctx, E_UNSUPPORTED,
          "data of %d fields; at most %d can be visited", v->data->n_fields, MAX_FIELDS);
    const struct stream_options o = {.batch = v->chunk, .shards = 1, .to = 1};
    struct stream *s;
    TRY(sunup__stream_create((sunup_data *)(uintptr_t)v->data, &o, &s));
    const struct batch *b;
    sunup_status status;
    while ((status = sunup__stream_next(s, &b)) == SUNUP_OK)
        if ((status = visit_chunk(v, b)) != SUNUP_OK) break;
    sunup__stream_destroy(&s);
    return status == SUNUP_E_END ? SUNUP_OK : status;
}

sunup_status app_visit_fields(sunup_data *data, app_visit_fn fn, void *arg)
{
    struct visit v = {.data = data, .chunk = 1, .fn = fn, .arg = arg};
    return visit(&v);
}

sunup_shape app_field_shape(const sunup_data *data, int f)
{
    return f >= 0 && f < data->n_fields ? data->fields[f].shape : SUNUP_SCALAR;
}

static sunup_status output_elements(sunup_model *m, int64_t *elements)
{
    sunup_graph *g = NULL;
    TRY(sunup__model_graph(m, 1, false, &g));
    const sunup_value *y = sunup_graph_find(g, "output");
    if (y != NULL) *elements = sunup__elements(&y->shape);
    sunup_graph_destroy(&g);
    CHECK(*elements > 0, m->ctx, E_ARGUMENT, "the network has no value named 'output'");
    return SUNUP_OK;
}

sunup_status app_visit(const struct app_run *r, sunup_data *data, app_visit_fn fn, void *arg)
{
    struct visit v = {.data = data, .model = r->model, .fn = fn, .arg = arg};
    TRY(output_elements(r->model, &v.elements));
    v.chunk = v.elements < CHUNK_ELEMENTS / CHUNK ? CHUNK
              : v.elements < CHUNK_ELEMENTS       ? CHUNK_ELEMENTS / v.elements
                                                  : 1;
    v.y = sunup__alloc_aligned((size_t)(v.chunk * v.elements) * sizeof *v.y);
    CHECK(v.y != NULL, r->ctx, E_MEMORY, "no memory for the outputs of %lld samples",
          (long long)v.chunk);
    const sunup_status status = visit(&v);
    sunup__free(v.y);
    return status;
}
