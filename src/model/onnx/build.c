/* build.c - one graph of an ONNX file, for a batch size and mode.
 *
 * Owes: inputs, weights and nodes in order; a node whose operands are all known numbers is
 * computed here and now, so that arithmetic with shapes (which knows the real batch, since the
 * graph is built for it) ends as constants. It is built by the same functions into a small graph
 * of f64, which holds whole numbers up to 2^53, and interpreted. Leaves: what an operator is to
 * ops*.c. Cost: known numbers are kept while the graph is built, at most MAX_KNOWN of them.
 */
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "graph/interpret.h"
#include "model/onnx/onnx.h"
#include "tensor/tensor.h"

enum { MAX_KNOWN = 1 << 23, MAX_MADE = 64 }; /* numbers in all; outputs of one node */

/* -------------------------------------------------------------------------- sources --- */

static sunup_status no_memory(const struct onnx_build *b)
{
    RAISE(b->m->ctx, E_MEMORY, "%s: no memory, or more than %d known numbers", b->m->source,
          (int)MAX_KNOWN);
}

/* Memory for known numbers, or NULL. */
static double *known_room(struct onnx_build *b, int64_t n)
{
    if (n > b->room) return NULL;
    b->room -= n;
    return sunup__arena_alloc(b->arena, (size_t)(n + 1) * sizeof(double));
}

static sunup_status read_known(struct onnx_build *b, struct onnx_tensor *t,
                               const Onnx__TensorProto *p)
{
    const int64_t n = sunup__elements(&t->shape); /* as many as are in the file */
    double *x = sunup__arena_alloc(b->arena, (size_t)(n + 1) * sizeof *x);
    if (!x) return no_memory(b);
    sunup__onnx_tensor_read(p, n, x);
    t->known = x;
    return SUNUP_OK;
}

static void make_weight(struct onnx_build *b, struct onnx_tensor *t)
{
    sunup_shape shape = t->shape;
    for (int i = 0; i < shape.n; i++) shape.d[i] = t->shape.d[t->weight->order[i]];
    const sunup_init zero = {SUNUP_INIT_CONSTANT, 0};
    sunup_value *v = t->weight->kind == ONNX_STATE ? sunup_state(b->g, t->name, shape, zero)
                                                   : sunup_parameter(b->g, t->name, shape, zero);
    *(t->weight->reordered ? &t->native : &t->first) = v;
}

static sunup_status make_weights(struct onnx_build *b)
{
    for (int i = 0; i < b->m->n_values; i++) {
        const struct onnx_weight *w = b->m->weight_of[i];
        if (!w) continue;
        struct onnx_tensor *t = &b->t[i];
        t->there = true;
        t->weight = w;
        t->shape = w->shape;
        t->type = w->p->data_type;
        if (w->kind == ONNX_CONSTANT)
            TRY(read_known(b, t, w->p));
        else
            make_weight(b, t);
    }
    return sunup_graph_finish(b->g);
}

/* The file's shape with the graph's batch in front; what it leaves open must be the batch. */
static sunup_status input_shape(const struct onnx_build *b, const Onnx__ValueInfoProto *p,
                                sunup_shape *s)
{
    const Onnx__TypeProto *type = p->type;
    CHECK(type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && type->tensor_type &&
              type->tensor_type->shape,
          b->m->ctx, E_UNSUPPORTED, "%s: input '%s' is no tensor with a shape", b->m->source,
          p->name);
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    CHECK(shape->n_dim <= SUNUP_MAX_DIMS, b->m->ctx, E_UNSUPPORTED, "%s: input '%s' has %zu axes",
          b->m->source, p->name, shape->n_dim);
    *s = (sunup_shape){.n = (int)shape->n_dim};
    for (int i = 0; i < s->n; i++) {
        const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
        const bool said = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (i == 0 && !b->m->o.as_is) {
            s->d[0] = sunup_graph_batch(b->g);
            continue;
        }
        CHECK(said, b->m->ctx, E_UNSUPPORTED,
              "%s: axis %d of input '%s' has no length; only the batch, axis 0, may be open: "
              "export the network with the lengths you want",
              b->m->source, i, p->name);
        s->d[i] = d->dim_value;
    }
    CHECK(sunup__onnx_shape_ok(s), b->m->ctx, E_FORMAT, "%s: input '%s' has an impossible shape",
          b->m->source, p->name);
    return SUNUP_OK;
}

static const Onnx__ValueInfoProto *find_input(const struct onnx_build *b, const char *name)
{
    const Onnx__GraphProto *g = b->m->proto->graph;
    for (size_t i = 0; i < g->n_input; i++)
        if (strcmp(g->input[i]->name, name) == 0) return g->input[i];
    return NULL;
}

/* Data come as f32 or i32, whatever floats and integers the file computes with. */
static sunup_status make_input(struct onnx_build *b, struct onnx_tensor *t)
{
    const Onnx__ValueInfoProto *p = find_input(b, t->name);
    TRY(input_shape(b, p, &t->shape));
    t->there = true;
    t->type = p->type->tensor_type->elem_type;
    const bool real = t->type == ONNX(FLOAT) || t->type == ONNX(DOUBLE);
    CHECK(real || sunup__onnx_is_integer(t->type), b->m->ctx, E_UNSUPPORTED,
          "%s: input '%s' is of type %s", b->m->source, t->name, sunup__onnx_type_name(t->type));
    const sunup_dtype dtype = real && b->m->o.as_is ? sunup__onnx_dtype(b, t->type)
                              : real                ? SUNUP_F32
                                                    : SUNUP_I32;
    sunup_shape shape = t->shape;
    const bool last = b->m->o.channels_last && shape.n > 2 && real;
    for (int i = 1; i < shape.n && last; i++) shape.d[i] = t->shape.d[i + 1 < shape.n ? i + 1 : 1];
    sunup_value *v = sunup_input(b->g, t->name, dtype, shape);
    if (real) v = sunup_cast(v, sunup__onnx_dtype(b, t->type));
    *(last ? &t->last : real ? &t->first : &t->index) = v;
    return SUNUP_OK;
}

/* -------------------------------------------------------------------------- nodes --- */

static const char *label(const struct onnx_node *n)
{
    if (n->p->name && n->p->name[0] != '\0') return n->p->name;
    return n->n_out > 0 ? n->p->output[0] : n->op->name;
}

/* The first mistake of a graph, with file and node in front. */
static sunup_status locate(const struct onnx_build *b, const struct onnx_node *n, sunup_graph *g)
{
    if (g->status == SUNUP_OK) return SUNUP_OK;
    struct text t = {0};
    sunup__text(&t, "%s: node '%s' (%s): %s", b->m->source, label(n), n->op->name,
                g->message ? g->message : sunup_status_text(g->status));
    g->message = t.s ? sunup__arena_strdup(&g->arena, t.s) : NULL;
    sunup__free(t.s);
    return sunup_graph_finish(g);
}

static bool all_known(const struct onnx_call *c)
{
    for (int i = 0; i < c->node->n_in; i++)
        if (c->in[i] && !c->in[i]->known) return false;
    return strcmp(c->node->op->name, "Dropout") != 0;
}

/* Numbers of the outputs, which the interpreter has computed. */
static sunup_status keep_known(struct onnx_build *b, const struct interpreter *t,
                               struct onnx_tensor *out, const sunup_value *v)
{
    const int64_t n = sunup__elements(&v->shape);
    double *x = known_room(b, n);
    if (!x) return no_memory(b);
    const void *from = sunup__interpreter_memory(t, v);
    for (int64_t i = 0; i < n; i++)
        x[i] = v->dtype == SUNUP_F64   ? ((const double *)from)[i]
               : v->dtype == SUNUP_I32 ? (double)((const int32_t *)from)[i]
                                       : (double)((const float *)from)[i];
    out->known = x;
    out->first = out->last = out->index = NULL;
    return SUNUP_OK;
}

static sunup_status interpret(struct onnx_build *b, const struct onnx_call *c)
{
    sunup_value *made[MAX_MADE];
    struct onnx_tensor *outs[MAX_MADE];
    int n = 0;
    for (int i = 0; i < c->node->n_out && n < MAX_MADE; i++) {
        struct onnx_tensor *t = c->out[i];
        if (!t || !t->there || t->known) continue;
        made[n] = t->index ? t->index : sunup__onnx_first(b, t);
        outs[n++] = t;
    }
    TRY(sunup_graph_finish(b->g));
    if (n == 0) return SUNUP_OK;
    double all = 0;
    for (int i = 0; i < b->g->n_nodes; i++)
        all += (double)sunup__elements(&b->g->nodes[i]->out[0]->shape);
    if (all > MAX_KNOWN) return no_memory(b);
    struct interpreter t;
    TRY(sunup__interpreter_create(b->g, n, made, &t));
    sunup_status status = sunup__kernels(b->m->ctx, &t.kernels);
    if (status == SUNUP_OK) status = sunup__interpreter_run(&t);
    for (int i = 0; i < n && status == SUNUP_OK; i++) status = keep_known(b, &t, outs[i], made[i]);
    sunup__interpreter_end(&t);
    return status;
}

/* Through a small graph of its own: operands are copies, so that the network's do not see it. */
static sunup_status fold(struct onnx_build *b, struct onnx_call *c)
{
    sunup_graph *network = b->g, *g;
    sunup_graph_options o = sunup_graph_defaults();
    o.batch = network->options.batch;
    o.dtype = SUNUP_F64;
    TRY(sunup_graph_create(b->m->ctx, &o, &g));
    const size_t n = (size_t)c->node->n_in;
    struct onnx_tensor *copies = sunup__arena_alloc(&g->arena, (n + 1) * sizeof *copies);
    for (size_t i = 0; copies && i < n; i++) {
        if (!c->in[i]) continue;
        copies[i] = *c->in[i];
        copies[i].first = copies[i].last = copies[i].index = NULL;
        c->in[i] = &copies[i];
    }
    b->g = g;
    b->folding = true;
    if (copies) c->node->op->make(c);
    sunup_status status = copies ? locate(b, c->node, g) : no_memory(b);
    if (status == SUNUP_OK) status = interpret(b, c);
    b->g = network;
    b->folding = false;
    sunup_graph_destroy(&g);
    return status;
}

static sunup_status make_node(struct onnx_build *b, const struct onnx_node *n)
{
    struct onnx_call c = {.b = b, .node = n};
    const size_t bytes = sizeof(struct onnx_tensor *);
    c.in = sunup__arena_alloc(b->arena, ((size_t)n->n_in + 1) * bytes);
    c.out = sunup__arena_alloc(b->arena, ((size_t)n->n_out + 1) * bytes);
    if (!c.in || !c.out) return no_memory(b);
    for (int i = 0; i < n->n_in; i++) c.in[i] = n->in[i] >= 0 ? &b->t[n->in[i]] : NULL;
    for (int i = 0; i < n->n_out; i++) c.out[i] = n->out[i] >= 0 ? &b->t[n->out[i]] : NULL;
    for (int i = 0; i < n->n_in; i++)
        CHECK(!c.in[i] || c.in[i]->there, b->m->ctx, E_UNSUPPORTED,
              "%s: node '%s' (%s) reads '%s', an output that is not made here", b->m->source,
              n->p->name ? n->p->name : "", n->op->name, c.in[i]->name);
    if (all_known(&c)) return fold(b, &c);
    sunup__graph_layer(b->g, label(n));
    n->op->make(&c);
    sunup__graph_layer(b->g, NULL);
    return locate(b, n, b->g);
}

/* -------------------------------------------------------------------------- outputs --- */

/* The first output is "output"; all are found by name as well. One number called "loss" is the
 * loss. */
static sunup_status make_outputs(struct onnx_build *b)
{
    for (int i = 0; i < b->m->n_outputs; i++) {
        struct onnx_tensor *t = &b->t[b->m->outputs[i]];
        CHECK(t->there, b->m->ctx, E_UNSUPPORTED, "%s: its output '%s' is not made here",
              b->m->source, t->name);
        const bool last = b->m->o.channels_last && t->shape.n > 2;
        sunup_value *v = t->index ? t->index
                         : last   ? sunup__onnx_last(b, t)
                                  : sunup__onnx_first(b, t);
        if (i == 0) sunup_graph_output(b->g, "output", v);
        const bool loss = strcmp(t->name, "loss") == 0 && !b->m->o.as_is;
        if (loss && sunup__elements(&t->shape) != 1) continue;
        if (loss) v = sunup_reshape(v, SUNUP_SCALAR);
        if (strcmp(t->name, "output") != 0) sunup_graph_output(b->g, t->name, v);
    }
    return sunup_graph_finish(b->g);
}

sunup_status sunup__onnx_build(sunup_graph *g, void *model)
{
    const struct onnx_model *m = model;
    struct onnx_build b = {.m = m, .g = g, .arena = &g->arena, .room = MAX_KNOWN};
    b.t = sunup__arena_alloc(&g->arena, ((size_t)m->n_values + 1) * sizeof *b.t);
    if (!b.t) return no_memory(&b);
    for (int i = 0; i < m->n_values; i++) b.t[i].name = m->names[i];
    for (int i = 0; i < m->n_inputs; i++) TRY(make_input(&b, &b.t[m->inputs[i]]));
    TRY(make_weights(&b));
    for (int i = 0; i < m->n_nodes; i++) TRY(make_node(&b, &m->nodes[i]));
    return make_outputs(&b);
}
