/* resolve.c - an ONNX message as values by number and nodes in order.
 *
 * Owes: every name found once, so that building asks for no string: a value has a number, a node
 * an operator's row, and its operands exist before it (ONNX demands nodes in such an order).
 * Leaves: what an initializer is to roles.c.
 */
#include <string.h>

#include "base/words.h"
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

enum { MAX_NODES = 100000, MAX_OPERANDS = 4096 };

/* Open addressing; a slot holds a value's number + 1. */
struct table {
    size_t slots; /* a power of two */
    int *slot;
    struct onnx_model *m;
};

static size_t place(const struct table *t, const char *name)
{
    size_t hash = 1469598103934665603u;
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t at = hash & (t->slots - 1);
    while (t->slot[at] && strcmp(t->m->names[t->slot[at] - 1], name) != 0)
        at = (at + 1) & (t->slots - 1);
    return at;
}

static int find(const struct table *t, const char *name)
{
    return t->slot[place(t, name)] - 1;
}

/* A new name's number; -1: there is such a value already. */
static int add(struct table *t, const char *name)
{
    const size_t at = place(t, name);
    if (t->slot[at]) return -1;
    t->m->names[t->m->n_values] = name;
    t->slot[at] = ++t->m->n_values;
    return t->slot[at] - 1;
}

static void *room(struct onnx_model *m, size_t n, size_t bytes)
{
    return sunup__arena_alloc(&m->arena, (n + 1) * bytes);
}

static sunup_status begin(struct table *t, struct onnx_model *m)
{
    const Onnx__GraphProto *g = m->proto->graph;
    size_t most = g->n_initializer + g->n_input;
    CHECK(g->n_node <= MAX_NODES, m->ctx, E_UNSUPPORTED, "%s: %zu nodes; at most %d can be",
          m->source, g->n_node, (int)MAX_NODES);
    for (size_t i = 0; i < g->n_node; i++) {
        CHECK(g->node[i]->n_input <= MAX_OPERANDS && g->node[i]->n_output <= MAX_OPERANDS, m->ctx,
              E_UNSUPPORTED, "%s: node %zu has more than %d operands", m->source, i,
              (int)MAX_OPERANDS);
        most += g->node[i]->n_output;
    }
    for (t->slots = 16; t->slots < 2 * most; t->slots *= 2) continue;
    t->m = m;
    t->slot = sunup__alloc(t->slots * sizeof *t->slot);
    m->names = room(m, most, sizeof *m->names);
    m->weight_of = room(m, most, sizeof *m->weight_of);
    m->weights = room(m, g->n_initializer, sizeof *m->weights);
    m->nodes = room(m, g->n_node, sizeof *m->nodes);
    CHECK(t->slot && m->names && m->weight_of && m->weights && m->nodes, m->ctx, E_MEMORY,
          "%s: no memory for its %zu nodes", m->source, g->n_node);
    return SUNUP_OK;
}

static sunup_status read_weights(struct onnx_model *m, struct table *t)
{
    const Onnx__GraphProto *g = m->proto->graph;
    CHECK(g->n_sparse_initializer == 0, m->ctx, E_UNSUPPORTED, "%s: sparse initializers",
          m->source);
    for (size_t i = 0; i < g->n_initializer; i++) {
        struct onnx_weight *w = &m->weights[m->n_weights++];
        w->p = g->initializer[i];
        CHECK(w->p->name && w->p->name[0] != '\0', m->ctx, E_FORMAT,
              "%s: initializer %zu has no name", m->source, i);
        TRY(sunup__onnx_tensor_check(m, w->p, &w->shape));
        const int value = add(t, w->p->name);
        CHECK(value >= 0, m->ctx, E_FORMAT, "%s: two initializers are called '%s'", m->source,
              w->p->name);
        m->weight_of[value] = w;
    }
    return SUNUP_OK;
}

/* Inputs that are no initializers (before version 4 of the format all initializers were inputs as
 * well). */
static sunup_status read_inputs(struct onnx_model *m, struct table *t)
{
    const Onnx__GraphProto *g = m->proto->graph;
    int *inputs = room(m, g->n_input, sizeof *inputs);
    CHECK(inputs, m->ctx, E_MEMORY, "%s: no memory for its inputs", m->source);
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = g->input[i]->name;
        CHECK(name, m->ctx, E_FORMAT, "%s: input %zu has no name", m->source, i);
        const int there = find(t, name);
        if (there >= 0 && m->weight_of[there]) continue;
        inputs[m->n_inputs] = add(t, name);
        CHECK(inputs[m->n_inputs] >= 0, m->ctx, E_FORMAT, "%s: two inputs are called '%s'",
              m->source, name);
        m->n_inputs++;
    }
    m->inputs = inputs;
    return SUNUP_OK;
}

static sunup_status find_op(const struct onnx_model *m, struct onnx_node *n)
{
    const char *type = n->p->op_type ? n->p->op_type : "", *domain = n->p->domain;
    const bool plain = !domain || domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
    n->op = plain ? sunup__onnx_op(type) : NULL;
    if (n->op) return SUNUP_OK;
    char hint[HINT_TEXT] = "";
    const char *known[512] = {0};
    int count = 0;
    while (plain && count < 512 && (known[count] = sunup__onnx_op_name(count))) count++;
    RAISE(m->ctx, E_UNSUPPORTED,
          "%s: node '%s' is the operator %s%s%.80s, which is not among those of docs/onnx.md%s",
          m->source, n->p->name ? n->p->name : "", plain ? "" : domain, plain ? "" : ".", type,
          sunup__hint(hint, type, count, known));
}

static sunup_status read_node(struct onnx_model *m, struct table *t, struct onnx_node *n)
{
    n->n_in = (int)n->p->n_input;
    n->n_out = (int)n->p->n_output;
    int *in = room(m, n->p->n_input, sizeof *in), *out = room(m, n->p->n_output, sizeof *out);
    const char *name = n->p->name ? n->p->name : "";
    CHECK(in && out, m->ctx, E_MEMORY, "%s: no memory for node '%s'", m->source, name);
    TRY(find_op(m, n));
    for (int i = 0; i < n->n_in; i++) {
        const char *operand = n->p->input[i];
        in[i] = operand[0] == '\0' ? -1 : find(t, operand);
        CHECK(in[i] >= 0 || operand[0] == '\0', m->ctx, E_FORMAT,
              "%s: node '%s' (%s) reads '%s', which nothing before it makes", m->source, name,
              n->p->op_type, operand);
    }
    for (int i = 0; i < n->n_out; i++) {
        const char *result = n->p->output[i];
        out[i] = result[0] == '\0' ? -1 : add(t, result);
        CHECK(out[i] >= 0 || result[0] == '\0', m->ctx, E_FORMAT,
              "%s: node '%s' (%s) makes '%s', which is there already", m->source, name,
              n->p->op_type, result);
    }
    n->in = in;
    n->out = out;
    return SUNUP_OK;
}

static sunup_status read_outputs(struct onnx_model *m, struct table *t)
{
    const Onnx__GraphProto *g = m->proto->graph;
    int *outputs = room(m, g->n_output, sizeof *outputs);
    CHECK(outputs, m->ctx, E_MEMORY, "%s: no memory for its outputs", m->source);
    CHECK(g->n_output > 0, m->ctx, E_FORMAT, "%s: the graph has no output", m->source);
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name;
        outputs[i] = name ? find(t, name) : -1;
        CHECK(outputs[i] >= 0, m->ctx, E_FORMAT, "%s: nothing makes the output '%s'", m->source,
              name ? name : "");
    }
    m->outputs = outputs;
    m->n_outputs = (int)g->n_output;
    return SUNUP_OK;
}

static sunup_status read_all(struct onnx_model *m, struct table *t)
{
    const Onnx__GraphProto *g = m->proto->graph;
    for (size_t i = 0; i < m->proto->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = m->proto->opset_import[i];
        if (!o->domain || o->domain[0] == '\0' || strcmp(o->domain, "ai.onnx") == 0)
            m->opset = o->version;
    }
    TRY(begin(t, m));
    TRY(read_weights(m, t));
    TRY(read_inputs(m, t));
    for (size_t i = 0; i < g->n_node; i++) {
        m->nodes[i].p = g->node[i];
        TRY(read_node(m, t, &m->nodes[i]));
        m->n_nodes++;
    }
    return read_outputs(m, t);
}

sunup_status sunup__onnx_resolve(struct onnx_model *m)
{
    struct table t = {0};
    const sunup_status status = read_all(m, &t);
    sunup__free(t.slot);
    TRY(status);
    return sunup__onnx_roles(m);
}
