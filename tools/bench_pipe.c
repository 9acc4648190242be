/* bench_pipe.c - a few ops one after the other, as a plan that may join them and op by op.
 *
 *   batch_norm:16x56x56x256|add|relu            a problem, then pointwise ops on its result; what else
 *                                               these need is new and shaped as the result
 *   batch_norm+grads:16x56x56x256|add|relu      and back: the gradients of all inputs, from a given dy
 *
 * Ways: "plan" (what a network does), "op by op" (each op by the maker it has for itself, results in
 * memory between them), "op by op, oneDNN" (by that library's makers where there are some). Bytes are
 * those that must move: inputs read and outputs written once.
 */
#include <string.h>

#include "bench_kernel.h"
#include "graph/ops/pointwise.h"

enum { PIPE_OUTPUTS = 16, SIDES = 2 };

struct pipe {
    sunup_context *ctx;
    sunup_graph *graph;
    struct device *device;
    sunup_plan *plan;
    sunup_value *outputs[PIPE_OUTPUTS];
    int n_outputs;
    bool *wanted;  /* [values] */
    void **memory; /* [values] of ours: inputs, and results op by op; a view's is its operand's */
    struct step *steps[SIDES]; /* ours, oneDNN */
    void **slots;              /* in and out of all steps */
    int n_steps, n_slots;
    bool has_onednn;
    char text[PROBLEM_TEXT];
    struct cost cost;
};

static sunup_status wrong(struct pipe *p, const char *text, const char *what)
{
    RAISE(p->ctx, E_ARGUMENT, "'%s': %s", text, what);
}

static sunup_value *apply(struct pipe *p, const struct op *op, sunup_value *v, int place)
{
    int code = 0;
    while (sunup__pointwise_op(code) != op) code++;
    sunup_value *in[3] = {v, NULL, NULL};
    for (int i = 1; i < sunup__pointwise_operands(code); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "step%d.%d", place, i);
        in[i] = sunup_input(p->graph, name, v->dtype, v->shape);
    }
    return sunup__pointwise(code, in[0], in[1], in[2], 0.5, 1);
}

/* The problem before the first '|', without "+grads". */
static sunup_status read_first(struct pipe *p, const char *text, sunup_value **v, bool *grads)
{
    char first[PROBLEM_TEXT];
    const struct node *n;
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(text, "|"), text);
    char *plus = strstr(first, "+grads");
    *grads = plus != NULL;
    if (plus != NULL) memmove(plus, plus + 6, strlen(plus + 6) + 1);
    TRY(sunup__problem_read(p->ctx, first, &p->graph, &n));
    char canonical[PROBLEM_TEXT];
    sunup__problem_text(n, canonical, sizeof canonical);
    const size_t op = strcspn(canonical, ":");
    (void)snprintf(p->text, sizeof p->text, "%.*s%s%s%s", (int)op, canonical,
                   *grads ? "+grads" : "", canonical + op, text + strcspn(text, "|"));
    *v = n->out[0];
    return SUNUP_OK;
}

static sunup_status read_pipe(struct pipe *p, const char *text)
{
    sunup_value *v;
    bool grads;
    TRY(read_first(p, text, &v, &grads));
    int place = 0;
    for (const char *at = strchr(text, '|'); at != NULL; at = strchr(at + 1, '|')) {
        char name[BENCH_NAME];
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "|"), at + 1);
        const struct op *op = sunup__op_find(name);
        if (op == NULL || !(op->flags & OP_POINTWISE))
            return wrong(p, text, "pointwise ops follow the first problem, as in |add|relu");
        v = apply(p, op, v, ++place);
    }
    p->outputs[p->n_outputs++] = v;
    if (!grads) return sunup_graph_finish(p->graph);
    sunup_value *inputs[PIPE_OUTPUTS - 1];
    int n = 0;
    for (int i = 0; i < p->graph->n_nodes && n < PIPE_OUTPUTS - 1; i++)
        if (p->graph->nodes[i]->op->flags & OP_SOURCE) inputs[n++] = p->graph->nodes[i]->out[0];
    sunup_gradient_from(v, sunup_input(p->graph, "dy", v->dtype, v->shape), n, inputs,
                        &p->outputs[1]);
    p->n_outputs += n;
    return sunup_graph_finish(p->graph);
}

/* ----------------------------------------------------------------------- op by op --- */

static int64_t bytes_of(const sunup_value *v)
{
    return sunup__elements(&v->shape) * sunup_dtype_bytes(v->dtype);
}

static bool is_wanted(const struct pipe *p, const struct node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (p->wanted[n->out[i]->id]) return true;
    return false;
}

/* What the outputs need, from the last node to the first; counts steps, their slots, and the cost. */
static void mark(struct pipe *p)
{
    for (int i = 0; i < p->n_outputs; i++) p->wanted[p->outputs[i]->id] = true;
    for (int i = 0; i < p->n_outputs; i++) p->cost.bytes += (double)bytes_of(p->outputs[i]);
    for (int i = p->graph->n_nodes - 1; i >= 0; i--) {
        const struct node *n = p->graph->nodes[i];
        if (!is_wanted(p, n)) continue;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != NULL) p->wanted[n->in[k]->id] = true;
        if (n->op->flags & OP_SOURCE) p->cost.bytes += (double)bytes_of(n->out[0]);
        if (n->op->flags & (OP_SOURCE | OP_VIEW)) continue;
        p->cost.flops += bench_flops(n);
        p->n_steps++;
        p->n_slots += n->n_in + n->n_out;
    }
}

static sunup_status place(struct pipe *p, const struct node *n)
{
    if (n->op->flags & OP_VIEW) {
        p->memory[n->out[0]->id] = p->memory[n->in[0]->id];
        return SUNUP_OK;
    }
    for (int i = 0; i < n->n_out; i++) {
        const sunup_value *v = n->out[i];
        TRY(p->device->ops->alloc(p->device, bytes_of(v), &p->memory[v->id]));
        memset(p->memory[v->id], 0, (size_t)bytes_of(v));
        if (n->op->flags & OP_SOURCE) sunup__problem_draw(v, (uint64_t)v->id, p->memory[v->id]);
    }
    return SUNUP_OK;
}

static sunup_status make_step(struct pipe *p, const struct node *n, int side, struct step *s)
{
    const struct maker *list[PROBLEM_WAYS];
    const int found = sunup__makers(p->device, n, list, PROBLEM_WAYS);
    CHECK(found > 0, p->ctx, E_UNSUPPORTED, "no way to compute %s", n->op->name);
    *s = (struct step){.maker = list[0],
                       .node = n,
                       .device = p->device,
                       .in = p->slots + p->n_slots,
                       .out = p->slots + p->n_slots + n->n_in};
    for (int i = 0; i < n->n_in; i++) s->in[i] = n->in[i] != NULL ? p->memory[n->in[i]->id] : NULL;
    for (int i = 0; i < n->n_out; i++) s->out[i] = p->memory[n->out[i]->id];
    p->n_slots += n->n_in + n->n_out;
    for (int i = 0; i < found && side == 1; i++) {
        if (strncmp(list[i]->name, "onednn_", 7) != 0) continue;
        s->maker = list[i];
        p->has_onednn = true;
    }
    TRY(s->maker->make(p->device, n, s));
    if (s->workspace_bytes > 0)
        TRY(p->device->ops->alloc(p->device, s->workspace_bytes, &s->workspace));
    return SUNUP_OK;
}

static sunup_status make_sides(struct pipe *p)
{
    const struct sunup_graph *g = p->graph;
    const int slots = p->n_slots;
    p->slots = sunup__alloc((size_t)(SIDES * slots + 1) * sizeof *p->slots);
    p->n_slots = 0;
    for (int i = 0; i < SIDES; i++)
        p->steps[i] = sunup__alloc((size_t)(p->n_steps + 1) * sizeof **p->steps);
    CHECK(p->slots != NULL && p->steps[0] != NULL && p->steps[1] != NULL, p->ctx, E_MEMORY,
          "no memory for %d steps", p->n_steps);
    for (int i = 0; i < g->n_nodes; i++)
        if (is_wanted(p, g->nodes[i])) TRY(place(p, g->nodes[i]));
    for (int side = 0; side < SIDES; side++)
        for (int i = 0, s = 0; i < g->n_nodes; i++) {
            const struct node *n = g->nodes[i];
            if (!is_wanted(p, n) || n->op->flags & (OP_SOURCE | OP_VIEW)) continue;
            TRY(make_step(p, n, side, &p->steps[side][s++]));
        }
    return SUNUP_OK;
}

static sunup_status make_plan(struct pipe *p)
{
    TRY(sunup_plan_create(p->graph, p->n_outputs, p->outputs, &p->plan));
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct node *n = p->graph->nodes[i];
        if (n->op->flags & OP_SOURCE && p->wanted[n->out[0]->id])
            TRY(sunup_plan_bind(p->plan, n->out[0], p->memory[n->out[0]->id]));
    }
    return SUNUP_OK;
}

static sunup_status open_pipe(struct pipe *p, const char *text)
{
    TRY(sunup__device(p->ctx, &p->device));
    TRY(read_pipe(p, text));
    p->wanted = sunup__alloc((size_t)p->graph->n_values * sizeof *p->wanted);
    p->memory = sunup__alloc((size_t)p->graph->n_values * sizeof *p->memory);
    CHECK(p->wanted != NULL && p->memory != NULL, p->ctx, E_MEMORY, "no memory for '%s'", text);
    mark(p);
    TRY(make_sides(p));
    return make_plan(p);
}

/* ---------------------------------------------------------------------------- public --- */

sunup_status pipe_open(sunup_context *ctx, const char *text, struct pipe **pipe)
{
    struct pipe *p = *pipe = sunup__alloc(sizeof *p);
    CHECK(p != NULL, ctx, E_MEMORY, "no memory for '%s'", text);
    p->ctx = ctx;
    return open_pipe(p, text);
}

const char *pipe_text(const struct pipe *p)
{
    return p->text;
}

sunup_plan *pipe_plan(const struct pipe *p)
{
    return p->plan;
}

struct cost pipe_cost(const struct pipe *p)
{
    return p->cost;
}

bool pipe_has(const struct pipe *p, enum pipe_way way)
{
    return way != PIPE_ONEDNN || p->has_onednn;
}

sunup_status pipe_run(struct pipe *p, enum pipe_way way)
{
    const sunup_random_key key = {0};
    if (way == PIPE_PLAN) return sunup_plan_run(p->plan, key);
    const struct step *steps = p->steps[way == PIPE_ONEDNN];
    for (int i = 0; i < p->n_steps; i++) TRY(steps[i].run(&steps[i], &key));
    return SUNUP_OK;
}

static void end_steps(struct pipe *p)
{
    for (int side = 0; side < SIDES; side++) {
        for (int i = 0; i < p->n_steps && p->steps[side] != NULL; i++) {
            struct step *s = &p->steps[side][i];
            if (s->end != NULL) s->end(s);
            if (s->workspace != NULL) p->device->ops->free(p->device, s->workspace);
        }
        sunup__free(p->steps[side]);
    }
    for (int i = 0; i < p->graph->n_nodes && p->memory != NULL; i++) {
        const struct node *n = p->graph->nodes[i];
        for (int k = 0; k < n->n_out && !(n->op->flags & OP_VIEW); k++)
            if (p->memory[n->out[k]->id] != NULL)
                p->device->ops->free(p->device, p->memory[n->out[k]->id]);
    }
}

void pipe_close(struct pipe **pipe)
{
    struct pipe *p = *pipe;
    if (p == NULL) return;
    sunup_plan_destroy(&p->plan);
    if (p->graph != NULL) end_steps(p);
    sunup__free(p->wanted);
    sunup__free(p->memory);
    sunup__free(p->slots);
    sunup_graph_destroy(&p->graph);
    sunup__free(p);
    *pipe = NULL;
}
