/* export.c - any model as an ONNX file for inference: opset 18, weights under their names,
 * channels first at the border.
 *
 * The inference graph is written from its end, operands first. A picture that goes into a
 * convolution is an input N C [D [H]] W; weights are kept as PyTorch keeps them (a convolution's
 * [out, in, taps..], a linear layer's [out, in] where it has two axes), so that both read the
 * file by names. What ONNX does not have is made of what it has (attention, a group norm). The
 * batch is open: the graph is built for two batches, and lengths in which they differ are the
 * batch.
 */
#include "model/onnx/export.h"

#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "tensor/tensor.h"

enum { OPSET = 18, IR_VERSION = 8, BATCH = 2, OTHER_BATCH = 3 };

void sunup__export_fail(struct export *e, const char *why)
{
    if (!e->failed)
        (void)sunup__raise(e->model->ctx, SUNUP_E_UNSUPPORTED,
                           "%s: '%s' (%s) cannot be written as ONNX: %s", e->model->source,
                           e->at ? e->at->layer : "", e->at ? e->at->op->name : "", why);
    e->failed = true;
}

/* -------------------------------------------------------------------------- values --- */

static void *weight_data(const struct export *e, const sunup_value *v)
{
    const struct source_attr *s = sunup__source(v);
    const struct model_tensor *t =
        s && s->kind != SOURCE_INPUT ? sunup__model_find(e->model, v->name) : NULL;
    return t ? t->t.data : s && s->kind == SOURCE_CONSTANT ? s->data : NULL;
}

/* The numbers of a source in another order of axes, as an initializer under its name (a constant
 * has none). */
static const char *turned_tensor(struct export *e, const sunup_value *v, const int *order)
{
    const char *from = weight_data(e, v);
    const int64_t n = sunup__elements(&v->shape);
    const size_t width = (size_t)sunup_dtype_bytes(v->dtype);
    char *to = sunup__export_room(e, (size_t)n * width);
    sunup_shape y = v->shape;
    int64_t stride[SUNUP_MAX_DIMS];
    if (!to || !from) return "";
    sunup__strides(&v->shape, stride);
    for (int a = 0; a < y.n; a++) y.d[a] = v->shape.d[order[a]];
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0;
        for (int a = y.n - 1; a >= 0; a--) {
            at += rest % y.d[a] * stride[order[a]];
            rest /= y.d[a];
        }
        memcpy(to + (size_t)i * width, from + (size_t)at * width, width);
    }
    const bool named = sunup__source(v)->kind != SOURCE_CONSTANT;
    return sunup__export_tensor(e, named ? v->name : NULL, v->dtype, y, to);
}

static const char *transpose(struct export *e, const char *name, int n, const int *order)
{
    int64_t perm[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++) perm[i] = order[i];
    const char *y = sunup__export_node(e, "Transpose", 1, &name);
    sunup__export_ints(e, "perm", n, perm);
    return y;
}

static void write_input(struct export *e, const sunup_value *v, bool turned)
{
    Onnx__ValueInfoProto *p = sunup__export_room(e, sizeof *p);
    Onnx__TypeProto *type = sunup__export_room(e, sizeof *type);
    Onnx__TypeProto__Tensor *t = sunup__export_room(e, sizeof *t);
    Onnx__TensorShapeProto *shape = sunup__export_room(e, sizeof *shape);
    Onnx__TensorShapeProto__Dimension **dims =
        sunup__export_room(e, sizeof(void *) * SUNUP_MAX_DIMS);
    int64_t d[SUNUP_MAX_DIMS];
    if (e->failed) return;
    onnx__value_info_proto__init(p);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(t);
    onnx__tensor_shape_proto__init(shape);
    (void)sunup__export_lengths(e, v, d);
    const int n = v->shape.n;
    for (int i = 0; i < n; i++) {
        const int64_t length = d[!turned || i == 0 ? i : i == 1 ? n - 1 : i - 1];
        dims[i] = sunup__export_room(e, sizeof *dims[i]);
        if (e->failed) return;
        onnx__tensor_shape_proto__dimension__init(dims[i]);
        dims[i]->value_case = length < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                         : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (length < 0)
            dims[i]->dim_param = sunup__export_copy(e, "batch");
        else
            dims[i]->dim_value = length;
    }
    shape->n_dim = (size_t)n;
    shape->dim = dims;
    t->has_elem_type = true;
    t->elem_type = sunup__export_type(v->dtype);
    t->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = t;
    p->name = sunup__export_copy(e, v->name);
    p->type = type;
    e->inputs[e->n_inputs++] = p;
}

/* A source in the form that is asked for first. */
static void write_source(struct export *e, sunup_value *v, bool turned)
{
    if (sunup__source(v)->kind == SOURCE_INPUT) {
        write_input(e, v, turned);
        sunup__export_set(e, v, turned, v->name);
        return;
    }
    int order[SUNUP_MAX_DIMS];
    for (int i = 0; i < v->shape.n; i++) order[i] = i;
    sunup__export_set(e, v, false, turned_tensor(e, v, order));
}

bool sunup__export_only_turned(const struct export *e, const sunup_value *v)
{
    return e->values[v->id].turned && !e->values[v->id].plain;
}

void sunup__export_set(struct export *e, const sunup_value *v, bool turned, const char *name)
{
    *(turned && v->shape.n > 2 ? &e->values[v->id].turned : &e->values[v->id].plain) = name;
}

const char *sunup__export_get(struct export *e, sunup_value *v, bool turned)
{
    struct written *w = &e->values[v->id];
    const int n = v->shape.n;
    turned = turned && n > 2;
    sunup__export_need(e, v);
    if (!w->plain && !w->turned && sunup__source(v)) write_source(e, v, turned);
    if (e->failed || (!w->plain && !w->turned)) {
        sunup__export_fail(e, "an operand is not there");
        return "";
    }
    int order[SUNUP_MAX_DIMS];
    for (int i = 0; i < n; i++)
        order[i] = i == 0 ? 0 : turned ? (i == 1 ? n - 1 : i - 1) : (i == n - 1 ? 1 : i + 1);
    if (turned && !w->turned) w->turned = transpose(e, w->plain, n, order);
    if (!turned && !w->plain) w->plain = transpose(e, w->turned, n, order);
    return turned ? w->turned : w->plain;
}

const char *sunup__export_ordered(struct export *e, sunup_value *v, const int *order)
{
    const struct written *w = &e->values[v->id];
    const struct source_attr *s = sunup__source(v);
    if (s && s->kind != SOURCE_INPUT && !w->plain) {
        int back[SUNUP_MAX_DIMS];
        const char *name = turned_tensor(e, v, order);
        for (int i = 0; i < v->shape.n; i++) back[order[i]] = i;
        bool again = false; /* is it read in our order as well? */
        for (int k = 0; k < e->g->n_nodes && !again; k++)
            for (int i = 0; i < e->g->nodes[k]->n_in && !again; i++)
                again = e->g->nodes[k] != e->at && e->g->nodes[k]->in[i] == v;
        if (again && !e->failed)
            sunup__export_set(e, v, false, transpose(e, name, v->shape.n, back));
        return name;
    }
    return transpose(e, sunup__export_get(e, v, false), v->shape.n, order);
}

bool sunup__export_lengths(const struct export *e, const sunup_value *v, int64_t *d)
{
    const struct node *n = e->other->nodes[v->node->id];
    const sunup_shape *s = &n->out[v->index]->shape;
    int open = 0;
    for (int i = 0; i < v->shape.n; i++) {
        d[i] = v->shape.d[i] == s->d[i] ? v->shape.d[i] : -1;
        open += d[i] < 0;
    }
    return open <= 1;
}

/* -------------------------------------------------------------------------- the file --- */

/* On demand, operands before their readers: what nobody reads is not written. Depth: that of the
 * network. */
void sunup__export_need(struct export *e, sunup_value *v)
{
    const struct written *w = &e->values[v->id];
    if (e->failed || w->plain || w->turned || sunup__source(v)) return;
    const struct node *before = e->at;
    e->at = v->node;
    sunup__export_op(e);
    e->at = before;
}

static sunup_status pack(struct export *e, sunup_value *y, const char *path)
{
    struct onnx_model m = {.ctx = e->model->ctx, .source = e->model->source};
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = {&set};
    const bool turned = sunup__export_only_turned(e, y);
    const char *last = sunup__export_get(e, y, turned);
    const char *result = sunup__export_node(e, "Identity", 1, &last);
    const int n = e->n_inputs;
    write_input(e, y, turned); /* the same description; it becomes the output's */
    if (e->failed) return SUNUP_E_MEMORY;
    Onnx__ValueInfoProto *output = e->inputs[n];
    output->name = e->nodes[e->n_nodes - 1]->output[0] = sunup__export_copy(e, "output");
    (void)result;
    set.domain = sunup__export_copy(e, "");
    set.has_version = true;
    set.version = OPSET;
    graph.name = sunup__export_copy(e, "sunup");
    graph.n_node = (size_t)e->n_nodes;
    graph.node = e->nodes;
    graph.n_initializer = (size_t)e->n_tensors;
    graph.initializer = e->tensors;
    graph.n_input = (size_t)n;
    graph.input = e->inputs;
    graph.n_output = 1;
    graph.output = &output;
    model.has_ir_version = true;
    model.ir_version = IR_VERSION;
    model.n_opset_import = 1;
    model.opset_import = sets;
    model.producer_name = sunup__export_copy(e, "sunup");
    model.producer_version = sunup__export_copy(e, sunup_version());
    model.graph = &graph;
    m.proto = &model;
    return e->failed ? SUNUP_E_MEMORY : sunup__onnx_pack(&m, path);
}

static sunup_status write_graph(struct export *e, const char *path)
{
    sunup_value *y = sunup_graph_find(e->g, "output");
    CHECK(y, e->model->ctx, E_ARGUMENT, "%s: the network has no output", e->model->source);
    e->values = sunup__export_room(e, (size_t)e->g->n_values * sizeof *e->values);
    e->inputs = sunup__export_room(e, (size_t)(e->g->n_nodes + 1) * sizeof(Onnx__ValueInfoProto *));
    if (!e->failed) sunup__export_need(e, y);
    return e->failed ? SUNUP_E_UNSUPPORTED : pack(e, y, path);
}

sunup_status sunup__onnx_export(sunup_model *model, const char *path)
{
    struct export e = {.model = model};
    sunup_graph *other = NULL;
    sunup_status status = sunup__model_graph(model, BATCH, false, &e.g);
    if (status == SUNUP_OK) status = sunup__model_graph(model, OTHER_BATCH, false, &other);
    e.other = other;
    if (status == SUNUP_OK) status = write_graph(&e, path);
    sunup_graph_destroy(&e.g);
    sunup_graph_destroy(&other);
    sunup__free(e.nodes);
    sunup__free(e.tensors);
    sunup__arena_end(&e.arena);
    return status;
}
