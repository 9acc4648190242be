/* predict.c - outputs for samples in memory, in chunks of at most CHUNK through a plan in evaluation mode.
 *
 * The plan of the last chunk size stays with the model, so that repeated calls pay for building once. Weights are
 * bound, not copied: a prediction sees what training wrote; those of several chunks are prepared once for all of them.
 */
#include <string.h>

#include "model/model.h"
#include "plan/plan.h"
#include "tensor/tensor.h"

enum { CHUNK = 64, MAX_INPUTS = 16 };

struct request {
    sunup_model *m;
    int64_t n;
    int n_inputs;
    const sunup_tensor *inputs;
    float *out;
};

void sunup__predictor_end(struct predictor *p)
{
    sunup_plan_destroy(&p->plan);
    sunup_graph_destroy(&p->graph);
    p->batch = 0;
}

static sunup_status bind_weights(sunup_model *m, const struct predictor *p, const bool *needed)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        sunup_value *v = p->graph->nodes[i]->out[0];
        const struct model_tensor *t = needed[i] ? sunup__model_find(m, v->name) : NULL;
        const struct source_attr *s = sunup__source(v);
        if (t && s && (s->kind == SOURCE_PARAMETER || s->kind == SOURCE_STATE))
            TRY(sunup_plan_bind(p->plan, v, t->t.data));
    }
    return SUNUP_OK;
}

static sunup_status check_output(const sunup_model *m, const sunup_value *y, int64_t batch)
{
    char text[SHAPE_TEXT];
    CHECK(y, m->ctx, E_ARGUMENT, "%s: the network has a loss, but no value named 'output'",
          m->source);
    CHECK(y->shape.n > 0 && y->shape.d[0] == batch, m->ctx, E_SHAPE,
          "%s: the output is %s, so not one row for each of %lld samples", m->source,
          sunup__shape_text(&y->shape, text), (long long)batch);
    return SUNUP_OK;
}

static sunup_status prepare(sunup_model *m, int64_t batch, bool weights_stay)
{
    struct predictor *p = &m->predictor;
    if (p->batch == batch) return SUNUP_OK;
    sunup__predictor_end(p);
    TRY(sunup__model_graph(m, batch, false, &p->graph));
    sunup_value *y = sunup_graph_find(p->graph, "output");
    TRY(check_output(m, y, batch));
    TRY(sunup__plan_create(p->graph, 1, &y, &(struct plan_options){.weights_stay = weights_stay},
                           &p->plan));
    bool *needed = sunup__needed(y);
    CHECK(needed, m->ctx, E_MEMORY, "%s: no memory to list %d nodes", m->source, p->graph->n_nodes);
    const sunup_status status = bind_weights(m, p, needed);
    sunup__free(needed);
    if (status == SUNUP_OK) p->batch = batch;
    return status;
}

/* Inputs that the output depends on, in the order of building; their number. */
static int list_inputs(const sunup_value *y, sunup_value **inputs)
{
    const sunup_graph *g = y->node->graph;
    bool *needed = sunup__needed(y);
    int n = 0;
    for (int i = 0; needed && i < g->n_nodes && n < MAX_INPUTS; i++) {
        const struct source_attr *s = sunup__source(g->nodes[i]->out[0]);
        if (needed[i] && s && s->kind == SOURCE_INPUT) inputs[n++] = g->nodes[i]->out[0];
    }
    sunup__free(needed);
    return n;
}

/* The tensor of that name; else, where tensors have no names, the i-th. */
static sunup_status find_input(const struct request *r, int i, const sunup_value *v,
                               const sunup_tensor **t)
{
    for (int k = 0; k < r->n_inputs; k++) {
        *t = &r->inputs[k];
        if ((*t)->name != NULL && strcmp((*t)->name, v->name) == 0) return SUNUP_OK;
    }
    *t = &r->inputs[i];
    CHECK(i < r->n_inputs && (*t)->name == NULL, r->m->ctx, E_ARGUMENT,
          "input %d of the network, '%s', is not among the %d given", i, v->name, r->n_inputs);
    return SUNUP_OK;
}

/* Same type, and the same shape but for the number of samples. */
static sunup_status check_input(const struct request *r, int i, const sunup_tensor *t,
                                const sunup_value *v)
{
    char given[SHAPE_TEXT], wanted[SHAPE_TEXT];
    sunup_shape shape = v->shape;
    if (shape.n > 0) shape.d[0] = r->n;
    CHECK(t->dtype == v->dtype && sunup__same_shape(&t->shape, &shape), r->m->ctx, E_SHAPE,
          "input %d ('%s') is %s %s, but %s %s is needed for %lld samples", i, v->name,
          sunup_dtype_name(t->dtype), sunup__shape_text(&t->shape, given),
          sunup_dtype_name(v->dtype), sunup__shape_text(&shape, wanted), (long long)r->n);
    return SUNUP_OK;
}

static int64_t bytes_of(const sunup_value *v)
{
    return sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype);
}

static float as_float(const void *data, sunup_dtype dtype, int64_t i)
{
    switch (dtype) {
    case SUNUP_F64:
        return (float)((const double *)data)[i];
    case SUNUP_I32:
        return (float)((const int32_t *)data)[i];
    case SUNUP_U8:
        return (float)((const uint8_t *)data)[i];
    default:
        return ((const float *)data)[i];
    }
}

static sunup_status take_output(const struct request *r, sunup_value *y, int64_t from)
{
    const int64_t n = sunup__elements(&y->shape), bytes = bytes_of(y);
    float *out = r->out + from * (n / y->shape.d[0]);
    if (y->dtype == SUNUP_F32) return sunup_plan_get(r->m->predictor.plan, y, out, bytes);
    void *room = sunup__alloc((size_t)bytes);
    CHECK(room, r->m->ctx, E_MEMORY, "no memory for %lld output bytes", (long long)bytes);
    const sunup_status status = sunup_plan_get(r->m->predictor.plan, y, room, bytes);
    for (int64_t i = 0; i < n && status == SUNUP_OK; i++) out[i] = as_float(room, y->dtype, i);
    sunup__free(room);
    return status;
}

/* Samples [from, from + batch of the plan). */
static sunup_status run_chunk(const struct request *r, int64_t from)
{
    const struct predictor *p = &r->m->predictor;
    sunup_value *y = sunup_graph_find(p->graph, "output"), *inputs[MAX_INPUTS];
    const int n = list_inputs(y, inputs);
    for (int i = 0; i < n; i++) {
        const sunup_tensor *t;
        TRY(find_input(r, i, inputs[i], &t));
        TRY(check_input(r, i, t, inputs[i]));
        const int64_t bytes = bytes_of(inputs[i]);
        const char *data = (const char *)t->data + from * (bytes / p->batch);
        TRY(sunup_plan_set(p->plan, inputs[i], data, bytes));
    }
    TRY(sunup_plan_run(p->plan, (sunup_random_key){r->m->seed, 0, from}));
    return take_output(r, y, from);
}

sunup_status sunup_model_predict(sunup_model *model, int64_t n, int n_inputs,
                                 const sunup_tensor *inputs, float *out)
{
    const struct request r = {model, n, n_inputs, inputs, out};
    CHECK(n >= 0, model->ctx, E_ARGUMENT, "predict: %lld samples", (long long)n);
    if (model->predictor.plan != NULL) sunup__plan_weights_changed(model->predictor.plan);
    for (int64_t from = 0; from < n; from += CHUNK) {
        TRY(prepare(model, n - from < CHUNK ? n - from : CHUNK, n - from > CHUNK));
        TRY(run_chunk(&r, from));
    }
    return SUNUP_OK;
}
