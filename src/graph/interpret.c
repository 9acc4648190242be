/* interpret.c - see interpret.h. */
#include "graph/interpret.h"

#include <string.h>

enum { GUARD = 64, GUARD_BYTE = 0xA5, NAN_BYTE = 0xFF }; /* all bits set is a NaN in f32 and f64 */

static size_t bytes_of(const sunup_value *v)
{
    return (size_t)(sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype));
}

/* Walks back from the outputs. */
static void mark(struct interpreter *t, int n, sunup_value *const *outputs)
{
    for (int i = 0; i < n; i++) {
        t->needed[outputs[i]->node->id] = true;
        t->read[outputs[i]->id] = true;
    }
    for (int k = t->g->n_nodes - 1; k >= 0; k--) {
        const struct node *m = t->g->nodes[k];
        for (int i = 0; i < m->n_in && t->needed[k]; i++) {
            if (!m->in[i]) continue;
            t->needed[m->in[i]->node->id] = true;
            t->read[m->in[i]->id] = true;
        }
    }
}

static bool allocate(struct interpreter *t, const sunup_value *v)
{
    const size_t bytes = bytes_of(v);
    char *p = sunup__alloc_aligned(bytes + GUARD);
    if (!p) return false;
    memset(p, 0, bytes);
    memset(p + bytes, GUARD_BYTE, GUARD);
    const struct source_attr *s = sunup__source(v);
    if (s && s->kind == SOURCE_CONSTANT && bytes) memcpy(p, s->data, bytes);
    t->memory[v->id] = p;
    return true;
}

static bool allocate_all(struct interpreter *t)
{
    for (int k = 0; k < t->g->n_nodes; k++) {
        const struct node *m = t->g->nodes[k];
        if (!t->needed[k]) continue;
        for (int o = 0; o < m->n_out; o++) {
            const sunup_value *v = m->out[o];
            if (m->op->flags & OP_VIEW)
                t->memory[v->id] = t->memory[m->in[0]->id];
            else if ((o == 0 || t->read[v->id]) && !allocate(t, v))
                return false;
        }
    }
    return true;
}

sunup_status sunup__interpreter_create(sunup_graph *g, int n, sunup_value *const *outputs,
                                       struct interpreter *t)
{
    *t = (struct interpreter){.g = g, .threads = 1};
    int room = 1;
    for (int k = 0; k < g->n_nodes; k++) {
        if (g->nodes[k]->n_in > room) room = g->nodes[k]->n_in;
        if (g->nodes[k]->n_out > room) room = g->nodes[k]->n_out;
    }
    t->memory = sunup__alloc((size_t)g->n_values * sizeof *t->memory);
    t->read = sunup__alloc((size_t)g->n_values * sizeof *t->read);
    t->needed = sunup__alloc((size_t)g->n_nodes * sizeof *t->needed);
    t->in = sunup__alloc((size_t)room * sizeof *t->in);
    t->out = sunup__alloc((size_t)room * sizeof *t->out);
    bool good = t->memory && t->read && t->needed && t->in && t->out;
    if (good) mark(t, n, outputs);
    good = good && allocate_all(t);
    if (!good) {
        sunup__interpreter_end(t);
        RAISE(g->ctx, E_MEMORY, "not enough memory for the graph's values");
    }
    return SUNUP_OK;
}

void sunup__interpreter_end(struct interpreter *t)
{
    for (int k = 0; t->memory && t->needed && k < t->g->n_nodes; k++) {
        const struct node *m = t->g->nodes[k];
        for (int o = 0; o < m->n_out && !(m->op->flags & OP_VIEW); o++)
            sunup__free(t->memory[m->out[o]->id]);
    }
    sunup__free(t->memory);
    sunup__free(t->read);
    sunup__free(t->needed);
    sunup__free(t->in);
    sunup__free(t->out);
    *t = (struct interpreter){.g = NULL};
}

static bool guard_intact(const char *end)
{
    for (int i = 0; i < GUARD; i++)
        if ((unsigned char)end[i] != GUARD_BYTE) return false;
    return true;
}

static sunup_status run_in(struct interpreter *t, const struct node *m, char *workspace,
                           size_t bytes)
{
    const struct exec e = {
        t->g->ctx, t->kernels, t->threads, t->in, t->out, bytes ? workspace : NULL, &t->key};
    TRY(m->op->run(m, &e));
    CHECK(guard_intact(workspace + bytes), t->g->ctx, E_INTERNAL,
          "%s '%s' writes past the %lld bytes of its workspace", m->op->name, m->layer,
          (long long)bytes);
    for (int o = 0; o < m->n_out; o++)
        CHECK(!t->out[o] || guard_intact((char *)t->out[o] + bytes_of(m->out[o])), t->g->ctx,
              E_INTERNAL, "%s '%s' writes past the end of output %d", m->op->name, m->layer, o);
    return SUNUP_OK;
}

static sunup_status run_node(struct interpreter *t, const struct node *m)
{
    for (int i = 0; i < m->n_in; i++) t->in[i] = m->in[i] ? t->memory[m->in[i]->id] : NULL;
    for (int o = 0; o < m->n_out; o++) {
        t->out[o] = t->memory[m->out[o]->id];
        if (t->out[o]) memset(t->out[o], NAN_BYTE, bytes_of(m->out[o]));
    }
    const int64_t asked = m->op->workspace ? m->op->workspace(m, t->threads) : 0;
    CHECK(asked >= 0, t->g->ctx, E_INTERNAL, "%s '%s' asks for %lld bytes of workspace",
          m->op->name, m->layer, (long long)asked);
    const size_t bytes = (size_t)asked;
    char *workspace = sunup__alloc_aligned(bytes + GUARD);
    CHECK(workspace, t->g->ctx, E_MEMORY, "no memory for the workspace of %s '%s'", m->op->name,
          m->layer);
    memset(workspace, NAN_BYTE, bytes);
    memset(workspace + bytes, GUARD_BYTE, GUARD);
    const sunup_status status = run_in(t, m, workspace, bytes);
    sunup__free(workspace);
    return status;
}

sunup_status sunup__interpreter_run(struct interpreter *t)
{
    for (int k = 0; k < t->g->n_nodes; k++) {
        const struct node *m = t->g->nodes[k];
        if (t->needed[k] && !(m->op->flags & (OP_SOURCE | OP_VIEW))) TRY(run_node(t, m));
    }
    return SUNUP_OK;
}
