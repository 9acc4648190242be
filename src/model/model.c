/* model.c - a network's weights, kept once, and its graph, built again for every batch size and mode.
 *
 * Owes: the discovery of parameters and states (by building once, batch 2, training), their flat array, their first
 * values, and that every later graph asks for the same ones.
 * Leaves: what the network is to the build callback; files to weights.c; what is frozen to freeze.c; use to predict.c
 * and the trainer.
 * Invariant: tensors move only with sunup__model_move, _take and _freeze; what lies between them is zero.
 */
#include "model/model.h"

#include <string.h>

#include "base/system.h"
#include "tensor/tensor.h"

enum { ALIGN_BYTES = 64 };

/* -------------------------------------------------------------------------- graphs --- */

static sunup_status new_graph(sunup_model *m, int64_t batch, bool training, sunup_graph **g)
{
    sunup_graph_options o = sunup_graph_defaults();
    o.batch = batch;
    o.training = training;
    o.dtype = m->dtype;
    return sunup_graph_create(m->ctx, &o, g);
}

/* The first mistake of building is worth more than the callback's status. */
static sunup_status build(sunup_model *m, sunup_graph *g)
{
    const sunup_status status = m->build(g, m->arg);
    TRY(sunup_graph_finish(g));
    TRY(status);
    CHECK(sunup_graph_find(g, "output") || sunup_graph_find(g, "loss"), m->ctx, E_ARGUMENT,
          "%s: the network has no output; end the build callback with sunup_graph_output(g, "
          "\"output\", v)",
          m->source);
    return SUNUP_OK;
}

static bool is_kind(const sunup_value *v, enum source_kind kind)
{
    const struct source_attr *s = sunup__source(v);
    return s && s->kind == (int)kind;
}

/* The graph asks for weights that we have, in our shapes. */
static sunup_status check_weights(sunup_model *m, const sunup_graph *g)
{
    char mine[SHAPE_TEXT], theirs[SHAPE_TEXT];
    for (int i = 0; i < g->n_nodes; i++) {
        const sunup_value *v = g->nodes[i]->out[0];
        if (!is_kind(v, SOURCE_PARAMETER) && !is_kind(v, SOURCE_STATE)) continue;
        const struct model_tensor *t = sunup__model_find(m, v->name);
        CHECK(t && t->state == is_kind(v, SOURCE_STATE), m->ctx, E_SHAPE,
              "%s: the network for batch %lld%s has a tensor '%s' that it had not for batch 2; "
              "tensors may not depend on batch size or mode",
              m->source, (long long)g->options.batch, g->options.training ? "" : ", evaluation",
              v->name);
        CHECK(sunup__same_shape(&t->t.shape, &v->shape), m->ctx, E_SHAPE,
              "%s: '%s' is %s for batch 2, but %s for batch %lld; its shape may not depend on the "
              "batch",
              m->source, v->name, sunup__shape_text(&t->t.shape, mine),
              sunup__shape_text(&v->shape, theirs), (long long)g->options.batch);
    }
    return SUNUP_OK;
}

sunup_status sunup__model_graph(sunup_model *m, int64_t batch, bool training, sunup_graph **g)
{
    TRY(new_graph(m, batch, training, g));
    sunup_status status = build(m, *g);
    if (status == SUNUP_OK) status = check_weights(m, *g);
    if (status != SUNUP_OK) sunup_graph_destroy(g);
    return status;
}

bool *sunup__needed(const sunup_value *v)
{
    const sunup_graph *g = v->node->graph;
    bool *needed = sunup__alloc((size_t)g->n_nodes * sizeof *needed);
    if (!needed) return NULL;
    needed[v->node->id] = true;
    for (int i = v->node->id; i >= 0; i--) {
        const struct node *n = g->nodes[i];
        for (int k = 0; k < n->n_in && needed[i]; k++)
            if (n->in[k]) needed[n->in[k]->node->id] = true;
    }
    return needed;
}

/* ------------------------------------------------------------------------- weights --- */

int64_t sunup__model_room(const sunup_model *m, int64_t elements)
{
    const int64_t step = ALIGN_BYTES / sunup_dtype_bytes(m->dtype);
    return (elements + step - 1) / step * step;
}

static int count_kind(const sunup_graph *g, enum source_kind kind)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += is_kind(g->nodes[i]->out[0], kind);
    return n;
}

static bool list_kind(sunup_model *m, const sunup_graph *g, enum source_kind kind,
                      struct model_tensor *t)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const sunup_value *v = g->nodes[i]->out[0];
        if (!is_kind(v, kind)) continue;
        t->t = (sunup_tensor){sunup__arena_strdup(&m->arena, v->name), v->dtype, v->shape, NULL};
        t->init = sunup__source(v)->init;
        t->state = kind == SOURCE_STATE;
        if (!t->t.name) return false;
        t++;
    }
    return true;
}

static int64_t place(const sunup_model *m, struct model_tensor *t, int64_t at)
{
    t->at = at;
    return at + sunup__model_room(m, sunup__elements(&t->t.shape));
}

/* Offsets in elements: the last trained parameter first, then the frozen ones, then the states. */
void sunup__model_lay_out(sunup_model *m)
{
    int64_t at = 0;
    m->n_trained = 0;
    for (int i = 0; i < m->n_parameters; i++)
        if (!m->tensors[i].frozen) m->trained[m->n_trained++] = i;
    for (int i = m->n_trained - 1; i >= 0; i--) at = place(m, &m->tensors[m->trained[i]], at);
    m->n_flat_parameters = at;
    for (int i = 0; i < m->n_parameters; i++)
        if (m->tensors[i].frozen) at = place(m, &m->tensors[i], at);
    for (int i = 0; i < m->n_states; i++) at = place(m, &m->tensors[m->n_parameters + i], at);
    m->n_flat = at;
}

void sunup__model_settle(sunup_model *m, void *memory)
{
    const int64_t width = sunup_dtype_bytes(m->dtype);
    m->flat = memory;
    for (int i = 0; i < m->n_parameters + m->n_states; i++)
        m->tensors[i].t.data = (char *)memory + m->tensors[i].at * width;
}

void sunup__model_move(sunup_model *m, void *memory)
{
    void *to = memory ? memory : m->home;
    memcpy(to, m->flat, (size_t)(m->n_flat * sunup_dtype_bytes(m->dtype)));
    sunup__predictor_end(&m->predictor); /* it knows the old addresses */
    sunup__model_settle(m, to);
    if (to != m->home) sunup__release_pages(m->home);
}

static sunup_status allocate(sunup_model *m)
{
    const int64_t width = sunup_dtype_bytes(m->dtype);
    /* The system may promise memory that it does not have, and end the process when it is used. */
    CHECK(m->n_flat * width <= sunup__memory_available(), m->ctx, E_MEMORY,
          "%s: %lld weights need %.1f MB, but %.1f MB are free", m->source, (long long)m->n_flat,
          1e-6 * (double)(m->n_flat * width), 1e-6 * (double)sunup__memory_available());
    m->home = sunup__alloc_aligned((size_t)(m->n_flat * width));
    CHECK(m->home, m->ctx, E_MEMORY, "%s: no memory for %lld weights (%lld bytes)", m->source,
          (long long)m->n_flat, (long long)(m->n_flat * width));
    memset(m->home, 0, (size_t)(m->n_flat * width));
    sunup__model_settle(m, m->home);
    return SUNUP_OK;
}

static sunup_status discover(sunup_model *m)
{
    sunup_graph *g;
    TRY(new_graph(m, 2, true, &g)); /* one sample has no variance for a batch norm */
    sunup_status status = build(m, g);
    if (status == SUNUP_OK) {
        m->n_parameters = count_kind(g, SOURCE_PARAMETER);
        m->n_states = count_kind(g, SOURCE_STATE);
        const size_t n = (size_t)(m->n_parameters + m->n_states);
        m->tensors = sunup__arena_alloc(&m->arena, n * sizeof *m->tensors);
        m->trained = sunup__arena_alloc(&m->arena, n * sizeof *m->trained);
        if (!m->tensors || !m->trained || !list_kind(m, g, SOURCE_PARAMETER, m->tensors) ||
            !list_kind(m, g, SOURCE_STATE, m->tensors + m->n_parameters))
            status = sunup__raise(m->ctx, SUNUP_E_MEMORY, "%s: no memory to list %d tensors",
                                  m->source, (int)n);
    }
    sunup_graph_destroy(&g);
    return status;
}

static sunup_status fill_model(sunup_model *m, uint64_t seed)
{
    TRY(discover(m));
    sunup__model_lay_out(m);
    TRY(allocate(m));
    return sunup__model_reset(m, seed);
}

/* ------------------------------------------------------------------- public handles --- */

sunup_status sunup__model_create(sunup_context *ctx, const struct model_recipe *recipe,
                                 uint64_t seed, sunup_model **model)
{
    *model = NULL;
    sunup_model *m = sunup__alloc(sizeof *m);
    if (!m) {
        sunup__raise(ctx, SUNUP_E_MEMORY, "%s: no memory for a model", recipe->source);
        if (recipe->end_arg) recipe->end_arg(recipe->arg);
        return SUNUP_E_MEMORY;
    }
    m->ctx = ctx;
    m->build = recipe->build;
    m->arg = recipe->arg;
    m->end_arg = recipe->end_arg;
    m->start = recipe->start;
    m->dtype = recipe->dtype;
    m->source = sunup__arena_strdup(&m->arena, recipe->source);
    m->note = recipe->note ? sunup__arena_strdup(&m->arena, recipe->note) : NULL;
    const sunup_status status =
        m->source ? fill_model(m, seed)
                  : sunup__raise(ctx, SUNUP_E_MEMORY, "%s: no memory", recipe->source);
    if (status == SUNUP_OK)
        *model = m;
    else
        sunup_model_destroy(&m);
    return status;
}

sunup_status sunup_model_create(sunup_context *ctx, sunup_build_fn build_fn, void *arg,
                                uint64_t seed, sunup_model **model)
{
    const struct model_recipe recipe = {
        .build = build_fn, .arg = arg, .dtype = SUNUP_F32, .source = "C"};
    return sunup__model_create(ctx, &recipe, seed, model);
}

void sunup_model_destroy(sunup_model **model)
{
    sunup_model *m = *model;
    *model = NULL;
    if (!m) return;
    sunup__predictor_end(&m->predictor);
    if (m->end_arg) m->end_arg(m->arg);
    sunup__free(m->home);
    sunup__arena_end(&m->arena);
    sunup__free(m);
}

sunup_status sunup__model_reset(sunup_model *m, uint64_t seed)
{
    m->seed = seed;
    for (int i = 0; i < m->n_parameters + m->n_states; i++) {
        const struct model_tensor *t = &m->tensors[i];
        sunup__init_fill(t->init, t->t.name, seed, t->t.dtype, sunup__elements(&t->t.shape),
                         t->t.data);
    }
    if (m->start) TRY(m->start(m->arg, m));
    return SUNUP_OK;
}

struct model_tensor *sunup__model_find(const sunup_model *m, const char *name)
{
    for (int i = 0; i < m->n_parameters + m->n_states; i++)
        if (strcmp(m->tensors[i].t.name, name) == 0) return &m->tensors[i];
    return NULL;
}

int sunup_model_parameters(const sunup_model *model)
{
    return model->n_parameters;
}

int sunup_model_states(const sunup_model *model)
{
    return model->n_states;
}

sunup_status sunup_model_tensor(const sunup_model *model, int i, sunup_tensor *t)
{
    const int n = model->n_parameters + model->n_states;
    CHECK(i >= 0 && i < n, model->ctx, E_ARGUMENT, "tensor %d of a model that has %d", i, n);
    *t = model->tensors[i].t;
    return SUNUP_OK;
}

uint64_t sunup_model_hash(const sunup_model *model)
{
    uint64_t hash = 0;
    for (int i = 0; i < model->n_parameters + model->n_states; i++) {
        const sunup_tensor *t = &model->tensors[i].t;
        const int64_t bytes = sunup__elements(&t->shape) * sunup_dtype_bytes(t->dtype);
        hash = sunup__hash(t->data, (size_t)bytes, hash);
    }
    return hash;
}

int64_t sunup__model_elements(const sunup_model *m)
{
    int64_t n = 0;
    for (int i = 0; i < m->n_parameters; i++) n += sunup__elements(&m->tensors[i].t.shape);
    return n;
}
