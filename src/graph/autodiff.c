/* autodiff.c - reverse-mode differentiation: walks the nodes backwards and appends what each op's
 * gradient rule says.
 *
 * Owes: d y / d wrt for any values of one graph, as new values of the same graph, so a gradient can
 * be differentiated again. Contributions to a value are added in a fixed order (last use first,
 * operands left to right), so that the bits of a gradient depend on the graph only.
 * Leaves: the rules to ops/ (op.grad), fusion and reuse of memory to plan.
 *
 * Invariant: only nodes on a path from some wrt to y are visited; everything else costs nothing.
 * Source: Griewank and Walther, Evaluating Derivatives, 2nd ed. (2008), section 3.2.
 */
#include "graph/graph.h"

#include <stdio.h>

/* One call of sunup_gradient_from; arrays are indexed by value id and cover the graph as it was at
 * the call. */
struct sweep {
    sunup_graph *g;
    bool *need;             /* depends on some wrt, in floating point   */
    sunup_value **arrived;  /* gradient so far; NULL: none arrived yet  */
    sunup_value **dy, **dx; /* of one node: room for its outputs, inputs */
    bool *want;
    int n_values, room;
};

static sunup_status begin(struct sweep *s, int last)
{
    s->n_values = s->g->n_values;
    s->room = 1;
    for (int i = 0; i <= last; i++) {
        const struct node *n = s->g->nodes[i];
        if (n->n_in > s->room) s->room = n->n_in;
        if (n->n_out > s->room) s->room = n->n_out;
    }
    s->need = sunup__alloc((size_t)s->n_values * sizeof *s->need);
    s->arrived = sunup__alloc((size_t)s->n_values * sizeof *s->arrived);
    s->dy = sunup__alloc((size_t)s->room * sizeof *s->dy);
    s->dx = sunup__alloc((size_t)s->room * sizeof *s->dx);
    s->want = sunup__alloc((size_t)s->room * sizeof *s->want);
    return s->need && s->arrived && s->dy && s->dx && s->want ? SUNUP_OK : SUNUP_E_MEMORY;
}

static void end(struct sweep *s)
{
    sunup__free(s->need);
    sunup__free(s->arrived);
    sunup__free(s->dy);
    sunup__free(s->dx);
    sunup__free(s->want);
}

/* Marks what depends on wrt, among the nodes up to and including `last`. */
static void mark(struct sweep *s, int last, int n_wrt, sunup_value *const *wrt)
{
    for (int i = 0; i < n_wrt; i++) s->need[wrt[i]->id] = sunup__is_float(wrt[i]->dtype);
    for (int k = 0; k <= last; k++) {
        const struct node *n = s->g->nodes[k];
        bool any = false;
        for (int i = 0; i < n->n_in; i++) any = any || (n->in[i] && s->need[n->in[i]->id]);
        for (int o = 0; o < n->n_out && any; o++)
            if (sunup__is_float(n->out[o]->dtype)) s->need[n->out[o]->id] = true;
    }
}

static void arrive(struct sweep *s, struct node *n, int i)
{
    sunup_value *v = n->in[i], *d = s->dx[i];
    if (!d || !s->want[i]) return;
    if (!sunup__is_poison(d) &&
        (d->dtype != v->dtype || !sunup__same_shape(&d->shape, &v->shape))) {
        char want[SHAPE_TEXT], got[SHAPE_TEXT];
        sunup__op_error(n, SUNUP_E_INTERNAL, "the gradient of operand %d has shape %s, not %s",
                        i + 1, sunup__shape_text(&d->shape, got),
                        sunup__shape_text(&v->shape, want));
        return;
    }
    sunup_value **at = &s->arrived[v->id];
    *at = *at ? sunup_add(*at, d) : d;
}

/* Nodes that the rule makes belong to the layer "<layer>.grad", for messages and tables. */
static void apply_rule(struct sweep *s, struct node *n)
{
    char layer[256];
    snprintf(layer, sizeof layer, "%s.grad", n->layer);
    const char *scope = s->g->scope, *outer = s->g->layer;
    s->g->scope = ""; /* n->layer has its own */
    sunup__graph_layer(s->g, layer);
    n->op->grad(n, s->dy, s->want, s->dx);
    for (int i = 0; i < n->n_in; i++) arrive(s, n, i);
    s->g->scope = scope;
    s->g->layer = outer; /* a rule may itself call sunup_gradient_from */
}

static void visit(struct sweep *s, struct node *n)
{
    bool any_dy = false, any_want = false;
    for (int o = 0; o < n->n_out; o++) {
        s->dy[o] = s->arrived[n->out[o]->id];
        any_dy = any_dy || s->dy[o];
    }
    for (int i = 0; i < n->n_in; i++) {
        s->want[i] = n->in[i] && s->need[n->in[i]->id];
        s->dx[i] = NULL;
        any_want = any_want || s->want[i];
    }
    if (!any_dy || !any_want || n->op->flags & OP_FLAT) return;
    if (n->op->grad)
        apply_rule(s, n);
    else
        sunup__op_error(n, SUNUP_E_UNSUPPORTED, "a gradient through it was asked for; it has none");
}

/* NULL if all is well, else the poison to give back. */
static sunup_value *refuse(sunup_graph *g, sunup_value *y, sunup_value *dy, int n,
                           sunup_value *const *wrt)
{
    if (!y || !dy || y->node->graph != dy->node->graph)
        return sunup__graph_error(g, SUNUP_E_ARGUMENT, "gradient: y and dy must be of one graph");
    if (sunup__is_poison(y) || sunup__is_poison(dy)) return g->poison;
    if (!sunup__is_float(y->dtype) || dy->dtype != y->dtype ||
        !sunup__same_shape(&dy->shape, &y->shape))
        return sunup__graph_error(
            g, SUNUP_E_SHAPE, "gradient of '%s': dy ('%s') must have its shape and floating type",
            y->name, dy->name);
    for (int i = 0; i < n; i++) {
        if (!wrt[i] || wrt[i]->node->graph != g)
            return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                      "gradient of '%s': value %d is not of its graph", y->name, i);
        if (sunup__is_poison(wrt[i])) return g->poison;
        if (!sunup__is_float(wrt[i]->dtype))
            return sunup__graph_error(g, SUNUP_E_SHAPE,
                                      "gradient of '%s' with respect to '%s', which is %s: only "
                                      "f32 and f64 values have gradients",
                                      y->name, wrt[i]->name, sunup_dtype_name(wrt[i]->dtype));
    }
    return NULL;
}

static void run_sweep(struct sweep *s, sunup_value *y, sunup_value *dy, int n,
                      sunup_value *const *wrt, sunup_value **grads)
{
    const int last = y->node->id;
    if (begin(s, last) != SUNUP_OK) {
        sunup_value *poison = sunup__graph_error(s->g, SUNUP_E_MEMORY, "no memory for gradients");
        for (int i = 0; i < n; i++) grads[i] = poison;
        return;
    }
    mark(s, last, n, wrt);
    s->arrived[y->id] = dy;
    for (int k = last; k >= 0; k--) visit(s, s->g->nodes[k]);
    for (int i = 0; i < n; i++) {
        sunup_value *d = s->arrived[wrt[i]->id];
        grads[i] = d ? d : sunup__zeros_like(wrt[i]);
    }
}

void sunup_gradient_from(sunup_value *y, sunup_value *dy, int n, sunup_value *const *wrt,
                         sunup_value **grads)
{
    sunup_value *both[2] = {y, dy};
    sunup_graph *g = sunup__graph_of(2, both);
    sunup_value *poison = g ? refuse(g, y, dy, n, wrt) : NULL;
    if (!g || poison) {
        for (int i = 0; i < n; i++) grads[i] = poison;
        return;
    }
    if (g->gradient_from > g->n_nodes) g->gradient_from = g->n_nodes;
    struct sweep s = {.g = g};
    run_sweep(&s, y, dy, n, wrt, grads);
    end(&s);
}

void sunup_gradient(sunup_value *loss, int n, sunup_value *const *wrt, sunup_value **grads)
{
    sunup_graph *g = sunup__graph_of(1, &loss);
    sunup_value *dy = g ? g->poison : NULL;
    if (g && !sunup__is_poison(loss)) {
        char text[SHAPE_TEXT];
        if (loss->shape.n == 0)
            dy = sunup_scalar(g, loss->dtype, 1);
        else
            sunup__graph_error(g, SUNUP_E_SHAPE,
                               "gradient of '%s': a loss must be a scalar but it has shape %s; use "
                               "sunup_sum, sunup_mean or sunup_gradient_from",
                               loss->name, sunup__shape_text(&loss->shape, text));
    }
    sunup_gradient_from(loss, dy, n, wrt, grads);
}
