/* graph.c - graphs, their nodes and values, and the first mistake made while building.
 *
 * Owes: sunup__node, the only place where nodes come to be. A node that is in the graph has
 * operands of this graph, a shape rule that agreed, and outputs within the limits, so nothing after
 * building asks again.
 * Leaves: what each op means to ops/; gradients to autodiff.c; where values live and when they are
 * computed to plan.
 *
 * Building is sticky: a mistake is recorded once, with the layer that made it, and its result is
 * the poison value, which every later op passes on. So a builder needs no check after each call;
 * finish tells.
 */
#include "graph/graph.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct op *const ops[] = {
#define OP(name) &sunup__op_##name,
#include "graph/ops/ops.def"
#undef OP
};
enum { N_OPS = sizeof ops / sizeof *ops };

const struct op *sunup__op_at(int i)
{
    return i >= 0 && i < N_OPS ? ops[i] : NULL;
}

const struct op *sunup__op_find(const char *name)
{
    for (int i = 0; i < N_OPS; i++)
        if (strcmp(ops[i]->name, name) == 0) return ops[i];
    return NULL;
}

/* ------------------------------------------------------------------- mistakes --- */

static const char no_memory[] = "not enough memory to build the graph";

static void record(sunup_graph *g, sunup_status status, const char *what, const char *format,
                   va_list arguments)
{
    if (g->status != SUNUP_OK) return;
    char text[1024];
    int n = snprintf(text, sizeof text, "%s", what);
    if (n < 0 || n >= (int)sizeof text) n = 0;
    vsnprintf(text + n, sizeof text - (size_t)n, format, arguments);
    g->status = status;
    g->message = sunup__arena_strdup(&g->arena, text);
}

sunup_status sunup__op_error(const struct node *n, sunup_status status, const char *format, ...)
{
    char what[256];
    snprintf(what, sizeof what, "%s '%s': ", n->op->name, n->layer);
    va_list arguments;
    va_start(arguments, format);
    record(n->graph, status, what, format, arguments);
    va_end(arguments);
    return status;
}

sunup_value *sunup__graph_error(sunup_graph *g, sunup_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(g, status, "", format, arguments);
    va_end(arguments);
    return g->poison;
}

bool sunup__is_poison(const sunup_value *v)
{
    return v && v == v->node->graph->poison;
}

/* ---------------------------------------------------------------------- nodes --- */

sunup_graph *sunup__graph_of(int n, sunup_value *const *in)
{
    for (int i = 0; i < n; i++)
        if (in[i]) return in[i]->node->graph;
    return NULL;
}

static char *joined(sunup_graph *g, const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *s = sunup__arena_alloc(&g->arena, n + m + 1);
    if (!s) return NULL;
    memcpy(s, a, n);
    memcpy(s + n, b, m + 1);
    return s;
}

static const char *layer_name(sunup_graph *g, const struct op *op, const char *name)
{
    char numbered[64];
    if (!name && g->layer) return g->layer;
    if (!name) snprintf(numbered, sizeof numbered, "%s%d", op->name, g->n_nodes);
    return joined(g, g->scope, name ? name : numbered);
}

/* A node with its outputs, not yet in the graph; NULL: no memory. */
static struct node *new_node(sunup_graph *g, const struct op *op, int n_in, int n_out)
{
    struct node *n = sunup__arena_alloc(&g->arena, sizeof *n);
    sunup_value **in = sunup__arena_alloc(&g->arena, (size_t)n_in * sizeof *in);
    sunup_value **out = sunup__arena_alloc(&g->arena, (size_t)n_out * sizeof *out);
    sunup_value *values = sunup__arena_alloc(&g->arena, (size_t)n_out * sizeof *values);
    void *attr = sunup__arena_alloc(&g->arena, op->attr_bytes);
    if (!n || !in || !out || !values || !attr) return NULL;
    *n = (struct node){op, g, g->n_nodes, "", n_in, n_out, in, out, attr};
    for (int o = 0; o < n_out; o++) {
        values[o] = (sunup_value){.node = n, .index = o, .id = g->n_values + o, .name = ""};
        out[o] = &values[o];
    }
    return n;
}

/* False: the result is poison; a new mistake has been recorded. */
static bool operands_fit(const struct node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const sunup_value *v = n->in[i];
        if (v && v->node->graph != n->graph)
            return sunup__op_error(n, SUNUP_E_ARGUMENT, "operand %d ('%s') is of another graph", i,
                                   v->name) == SUNUP_OK;
        if (sunup__is_poison(v)) return false;
    }
    return true;
}

static bool outputs_fit(const struct node *n)
{
    char text[SHAPE_TEXT];
    for (int o = 0; o < n->n_out; o++) {
        if (sunup__shape_ok(&n->out[o]->shape)) continue;
        sunup__op_error(n, SUNUP_E_SHAPE, "the result would have shape %s, outside what fits",
                        sunup__shape_text(&n->out[o]->shape, text));
        return false;
    }
    return true;
}

static bool append(sunup_graph *g, struct node *n)
{
    if (g->n_nodes == g->room_nodes) {
        const int room = g->room_nodes ? 2 * g->room_nodes : 64;
        struct node **more = sunup__realloc(g->nodes, (size_t)room * sizeof(struct node *));
        if (!more) return false;
        g->nodes = more;
        g->room_nodes = room;
    }
    g->nodes[g->n_nodes++] = n;
    g->n_values += n->n_out;
    return true;
}

sunup_value *sunup__node(sunup_graph *g, const struct op *op, int n_in, sunup_value *const *in,
                         const void *attr, int n_out, const char *name)
{
    if (!g) return NULL;
    struct node *n = new_node(g, op, n_in, n_out > 0 ? n_out : op->n_out);
    if (!n) return sunup__graph_error(g, SUNUP_E_MEMORY, no_memory);
    const char *layer = layer_name(g, op, name);
    if (!layer) return sunup__graph_error(g, SUNUP_E_MEMORY, no_memory);
    n->layer = layer;
    for (int o = 0; o < n->n_out; o++) n->out[o]->name = layer;
    if (n_in) memcpy(n->in, in, (size_t)n_in * sizeof(sunup_value *));
    if (op->attr_bytes) memcpy(n->attr, attr, op->attr_bytes);
    if (!operands_fit(n)) return g->poison;
    const sunup_status status = op->infer(n);
    if (status != SUNUP_OK) {
        sunup__op_error(n, status, "its operands do not fit"); /* unless infer said why */
        return g->poison;
    }
    if (!outputs_fit(n)) return g->poison;
    if (!append(g, n)) return sunup__graph_error(g, SUNUP_E_MEMORY, no_memory);
    return n->out[0];
}

sunup_value *sunup__output(sunup_value *v, int i)
{
    return !v || sunup__is_poison(v) ? v : v->node->out[i];
}

const struct source_attr *sunup__source(const sunup_value *v)
{
    return v && v->node->op == &sunup__op_source ? v->node->attr : NULL;
}

struct cost sunup__node_cost(const struct node *n)
{
    if (n->op->cost) return n->op->cost(n);
    struct cost c = {0, 0};
    if (n->op->flags & (OP_VIEW | OP_SOURCE)) return c;
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const sunup_value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        if (v) c.bytes += (double)(sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype));
    }
    return c;
}

/* --------------------------------------------------------------------- graphs --- */

sunup_graph_options sunup_graph_defaults(void)
{
    return (sunup_graph_options){sizeof(sunup_graph_options), false, 1, SUNUP_F32};
}

static const struct op poison_op = {.name = "poison", .flags = OP_SOURCE, .n_out = 1};

static sunup_status set_up(sunup_graph *g)
{
    const sunup_graph_options *o = &g->options;
    CHECK(o->batch >= 1, g->ctx, E_ARGUMENT, "graph: batch is %lld but must be at least 1",
          (long long)o->batch);
    CHECK(sunup__is_float(o->dtype), g->ctx, E_ARGUMENT,
          "graph: parameters can be f32 or f64, not %s", sunup_dtype_name(o->dtype));
    struct node *poison = new_node(g, &poison_op, 0, 1);
    CHECK(poison, g->ctx, E_MEMORY, "%s", no_memory);
    poison->layer = poison->out[0]->name = "poison";
    g->poison = poison->out[0];
    return SUNUP_OK;
}

sunup_status sunup_graph_create(sunup_context *ctx, const sunup_graph_options *options,
                                sunup_graph **graph)
{
    *graph = NULL;
    sunup_graph *g = sunup__alloc(sizeof *g);
    CHECK(g, ctx, E_MEMORY, "%s", no_memory);
    *g = (sunup_graph){.ctx = ctx,
                       .options = sunup_graph_defaults(),
                       .gradient_from = INT_MAX,
                       .scope = ""};
    if (options) {
        const size_t known = sizeof g->options;
        memcpy(&g->options, options, options->size < known ? options->size : known);
    }
    const sunup_status status = set_up(g);
    if (status == SUNUP_OK)
        *graph = g;
    else
        sunup_graph_destroy(&g);
    return status;
}

void sunup_graph_destroy(sunup_graph **graph)
{
    sunup_graph *g = *graph;
    if (!g) return;
    sunup__arena_end(&g->arena);
    sunup__free(g->nodes);
    sunup__free(g->averages);
    sunup__free(g->outputs);
    sunup__free(g);
    *graph = NULL;
}

sunup_status sunup_graph_finish(sunup_graph *graph)
{
    if (graph->status == SUNUP_OK) return SUNUP_OK;
    return sunup__raise(graph->ctx, graph->status, "%s",
                        graph->message ? graph->message : no_memory);
}

int64_t sunup_graph_batch(const sunup_graph *graph)
{
    return graph->options.batch;
}

bool sunup_graph_training(const sunup_graph *graph)
{
    return graph->options.training;
}

sunup_dtype sunup_graph_dtype(const sunup_graph *graph)
{
    return graph->options.dtype;
}

void sunup_graph_start(sunup_graph *graph, sunup_start start)
{
    graph->start = start;
}

void sunup_graph_scope(sunup_graph *graph, const char *scope)
{
    const char *copy = sunup__arena_strdup(&graph->arena, scope ? scope : "");
    if (copy)
        graph->scope = copy;
    else
        sunup__graph_error(graph, SUNUP_E_MEMORY, no_memory);
}

void sunup__graph_layer(sunup_graph *g, const char *name)
{
    g->layer = name ? joined(g, g->scope, name) : NULL;
}

void sunup_graph_output(sunup_graph *graph, const char *name, sunup_value *v)
{
    if (!v) {
        sunup__graph_error(graph, SUNUP_E_ARGUMENT, "output '%s' is NULL", name);
        return;
    }
    for (int i = 0; i < graph->n_outputs; i++)
        if (strcmp(graph->outputs[i].name, name) == 0) {
            sunup__graph_error(graph, SUNUP_E_ARGUMENT, "there are two outputs '%s'", name);
            return;
        }
    const size_t n = (size_t)graph->n_outputs;
    struct named *more = sunup__realloc(graph->outputs, (n + 1) * sizeof *more);
    if (more) graph->outputs = more;
    const char *copy = sunup__arena_strdup(&graph->arena, name);
    if (!more || !copy)
        sunup__graph_error(graph, SUNUP_E_MEMORY, no_memory);
    else
        graph->outputs[graph->n_outputs++] = (struct named){copy, v};
}

sunup_value *sunup_graph_find(const sunup_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_outputs; i++)
        if (strcmp(graph->outputs[i].name, name) == 0) return graph->outputs[i].value;
    for (int i = 0; i < graph->n_nodes; i++) {
        sunup_value *v = graph->nodes[i]->out[0];
        const struct source_attr *s = sunup__source(v);
        if (s && s->kind != SOURCE_CONSTANT && strcmp(v->name, name) == 0) return v;
    }
    return NULL;
}

void sunup_average(sunup_value *state, sunup_value *v, double momentum)
{
    sunup_value *both[2] = {state, v};
    sunup_graph *g = sunup__graph_of(2, both);
    if (!g || sunup__is_poison(state) || sunup__is_poison(v)) return;
    const struct source_attr *s = sunup__source(state);
    if (!v || !s || s->kind != SOURCE_STATE || v->dtype != state->dtype ||
        !sunup__same_shape(&v->shape, &state->shape) || v->node->graph != state->node->graph) {
        sunup__graph_error(g, SUNUP_E_SHAPE,
                           "average of '%s' in '%s': that is no state of the same type and shape",
                           v ? v->name : "NULL", state ? state->name : "NULL");
        return;
    }
    const size_t n = (size_t)g->n_averages;
    struct average *more = sunup__realloc(g->averages, (n + 1) * sizeof *more);
    if (!more) {
        sunup__graph_error(g, SUNUP_E_MEMORY, no_memory);
        return;
    }
    g->averages = more;
    g->averages[g->n_averages++] = (struct average){state, v, momentum};
}

/* --------------------------------------------------------------------- values --- */

sunup_shape sunup_value_shape(const sunup_value *v)
{
    return v->shape;
}

sunup_dtype sunup_value_dtype(const sunup_value *v)
{
    return v->dtype;
}

const char *sunup_value_name(const sunup_value *v)
{
    return v->name;
}

sunup_graph *sunup_value_graph(const sunup_value *v)
{
    return v->node->graph;
}
