/* source.c - values that come from outside: inputs, parameters, states and constants.
 *
 * Owes: their names (unique among inputs, parameters and states), types and shapes, and a copy of
 * constants' data.
 * Leaves: where they live and how they are filled to plan and model; there is nothing to run.
 */
#include "graph/ops/op.h"

#include <string.h>

static const char *const kinds[] = {"input", "parameter", "state", "constant"};

static sunup_status infer(struct node *n)
{
    const struct source_attr *s = n->attr;
    char text[SHAPE_TEXT];
    if (s->shape.n < 0 || s->shape.n > SUNUP_MAX_DIMS)
        return sunup__op_error(n, SUNUP_E_SHAPE, "%d dimensions, but a tensor has 0 to %d",
                               s->shape.n, SUNUP_MAX_DIMS);
    if (!sunup__shape_ok(&s->shape))
        return sunup__op_error(n, SUNUP_E_SHAPE, "shape %s is outside what fits",
                               sunup__shape_text(&s->shape, text));
    if ((unsigned)s->dtype > SUNUP_U8)
        return sunup__op_error(n, SUNUP_E_ARGUMENT, "element type %d does not exist",
                               (int)s->dtype);
    sunup__set_out(n, 0, s->dtype, s->shape);
    return SUNUP_OK;
}

/* A source needs no gradient rule: a sweep ends here. */
const struct op sunup__op_source = {
    .name = "source",
    .attr_bytes = sizeof(struct source_attr),
    .flags = OP_SOURCE | OP_FLAT,
    .n_out = 1,
    .infer = infer,
};

static sunup_value *named_source(sunup_graph *g, const char *name, const struct source_attr *attr)
{
    const char *kind = kinds[attr->kind];
    if (!name || !*name)
        return sunup__graph_error(g, SUNUP_E_ARGUMENT, "%s: it needs a name", kind);
    sunup_value *v = sunup__node(g, &sunup__op_source, 0, NULL, attr, 0, name);
    if (sunup__is_poison(v)) return v;
    for (int i = 0; i < v->node->id; i++) {
        const sunup_value *other = g->nodes[i]->out[0];
        const struct source_attr *s = sunup__source(other);
        if (s && s->kind != SOURCE_CONSTANT && strcmp(other->name, v->name) == 0)
            return sunup__graph_error(
                g, SUNUP_E_ARGUMENT,
                "%s '%s': the name is taken by the %s at node %d; choose another, or a scope", kind,
                v->name, kinds[s->kind], i);
    }
    return v;
}

sunup_value *sunup_input(sunup_graph *g, const char *name, sunup_dtype dtype, sunup_shape shape)
{
    const struct source_attr attr = {.kind = SOURCE_INPUT, .dtype = dtype, .shape = shape};
    return named_source(g, name, &attr);
}

sunup_value *sunup__case_range(sunup_graph *g, const char *name, sunup_dtype dtype,
                               sunup_shape shape, double low, double high)
{
    const struct source_attr attr = {
        .kind = SOURCE_INPUT, .dtype = dtype, .shape = shape, .low = low, .high = high};
    return named_source(g, name, &attr);
}

sunup_value *sunup_parameter(sunup_graph *g, const char *name, sunup_shape shape, sunup_init init)
{
    const struct source_attr attr = {
        .kind = SOURCE_PARAMETER, .dtype = g->options.dtype, .shape = shape, .init = init};
    return named_source(g, name, &attr);
}

sunup_value *sunup_state(sunup_graph *g, const char *name, sunup_shape shape, sunup_init init)
{
    const struct source_attr attr = {
        .kind = SOURCE_STATE, .dtype = g->options.dtype, .shape = shape, .init = init};
    return named_source(g, name, &attr);
}

sunup_value *sunup_constant(sunup_graph *g, sunup_dtype dtype, sunup_shape shape, const void *data)
{
    struct source_attr attr = {.kind = SOURCE_CONSTANT, .dtype = dtype, .shape = shape};
    sunup_value *v = sunup__node(g, &sunup__op_source, 0, NULL, &attr, 0, NULL);
    if (sunup__is_poison(v)) return v;
    const size_t bytes = (size_t)(sunup__elements(&shape) * sunup_dtype_bytes(dtype));
    void *copy = sunup__arena_alloc(&g->arena, bytes);
    if (!copy)
        return sunup__graph_error(g, SUNUP_E_MEMORY, "constant '%s': no memory for its %lld bytes",
                                  v->name, (long long)bytes);
    if (bytes) memcpy(copy, data, bytes);
    ((struct source_attr *)v->node->attr)->data = copy;
    return v;
}

sunup_value *sunup_scalar(sunup_graph *g, sunup_dtype dtype, double value)
{
    const float f32 = (float)value;
    const int32_t i32 = dtype == SUNUP_I32 ? (int32_t)value : 0;
    const uint8_t u8 = dtype == SUNUP_U8 ? (uint8_t)value : 0;
    const void *const data[] = {&f32, &value, &i32, &u8};
    return sunup_constant(g, dtype, SUNUP_SCALAR, (unsigned)dtype <= SUNUP_U8 ? data[dtype] : NULL);
}

sunup_value *sunup__zeros_like(sunup_value *x)
{
    if (!x || sunup__is_poison(x)) return x;
    return sunup_broadcast(sunup_scalar(x->node->graph, x->dtype, 0), x->shape);
}
