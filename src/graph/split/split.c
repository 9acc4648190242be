/* split.c - see split.h: the pass over the whole graph, and where values come from.
 *
 * Owes: sources of the new graph (an input is read whole and sliced; parameters by a tree of
 * views), where the cuts of the volume lie, the shares that processes add up. Leaves what becomes
 * of each op to the rules.
 *
 * Cuts: as equal as they can be where strides still divide them, so that slabs of every level fit
 * each other; an axis too short for that is cut anywhere, and slabs are re-cut where they meet.
 */
#include "graph/split/split.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/ops/axes.h"
#include "graph/ops/conv.h"
#include "graph/ops/op.h"
#include "graph/ops/pool.h"
#include "graph/split/inside.h"

/* --------------------------------------------------------------------- what rules use --- */

void *sunup__split_room(struct split *s, int64_t n, size_t width)
{
    void *p = sunup__arena_alloc(&s->graph->arena, (size_t)n * width);
    if (p == NULL) sunup__graph_error(s->graph, SUNUP_E_MEMORY, "no memory to split a graph");
    return p;
}

sunup_value **sunup__split_begin(struct split *s, const sunup_value *v, const int64_t *cut,
                                 int axis)
{
    sunup_value **of = sunup__split_room(s, s->parts->own, sizeof(sunup_value *));
    *slabs_of(s, v) = (struct slabs){cut, of, axis};
    return of;
}

void sunup__split_refuse(struct split *s, const struct node *n, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sunup__graph_error(s->graph, SUNUP_E_UNSUPPORTED, "%s '%s' in %d parts: %s", n->op->name,
                       n->layer, s->parts->n, text);
}

void sunup__split_recut(struct split *s, const sunup_value *v, const int64_t *cut,
                        sunup_value **out)
{
    const struct slabs *from = slabs_of(s, v);
    const struct windows w = {from->cut, cut, cut + 1};
    sunup__windows(s->parts, from->axis, w, from->of, out);
}

sunup_value *sunup__split_remake(struct split *s, const struct node *n, const void *attr,
                                 sunup_value *const *in)
{
    return sunup__node(s->graph, n->op, n->n_in, in, attr, n->n_out, NULL);
}

/* --------------------------------------------------------------------------- sources --- */

/* The first input with space; volumes and labels have its lengths behind the batch. */
static void find_volume(struct split *s, char letter)
{
    if (letter == 'N') {
        s->volume = SUNUP_SHAPE(sunup_graph_batch(s->whole));
        return;
    }
    for (int i = 0; i < s->whole->n_nodes && s->volume.n == 0; i++) {
        const sunup_value *v = s->whole->nodes[i]->out[0];
        const struct source_attr *source = sunup__source(v);
        if (source && source->kind == SOURCE_INPUT && v->shape.n >= 3 && v->shape.n <= 5)
            s->volume = v->shape;
    }
    const int n = s->volume.n;
    s->axis = letter == 'D' ? n - 4 : letter == 'H' ? n - 3 : letter == 'W' ? n - 2 : 1;
    if (n == 0)
        sunup__graph_error(s->graph, SUNUP_E_UNSUPPORTED,
                           "%d parts: the network has no input [N, .., C] with space to split",
                           s->parts->n);
    else if (s->axis < 1)
        sunup__graph_error(s->graph, SUNUP_E_ARGUMENT,
                           "split %c: the input has %d space axes, so no %c", letter, n - 2,
                           letter);
}

static bool is_volume(const struct split *s, const sunup_shape *x)
{
    if (s->axis == 0) return x->n > 0 && x->d[0] == s->volume.d[0];
    bool same = x->n == s->volume.n || x->n == s->volume.n - 1;
    for (int i = 0; same && i < s->volume.n - 1; i++) same = x->d[i] == s->volume.d[i];
    return same;
}

/* Rows of the volume to one row of the coarsest value. */
static int64_t coarsest(const struct split *s)
{
    double *scale = sunup__alloc((size_t)s->whole->n_values * sizeof *scale), most = 1;
    const int axis = 3 - (s->volume.n - 2) + s->axis - 1; /* D H W */
    for (int i = 0; scale != NULL && i < s->whole->n_nodes; i++) {
        const struct node *n = s->whole->nodes[i];
        double now = 1;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != NULL) now = fmax(now, scale[n->in[k]->id]);
        const bool conv = n->op == &sunup__op_conv, back = n->op == &sunup__op_conv_data_grad,
                   pool = n->op == &sunup__op_max_pool || n->op == &sunup__op_avg_pool;
        if (conv || back || pool) {
            const struct window *w = pool ? &((const struct pool_attr *)n->attr)->w
                                          : &((const struct conv_attr *)n->attr)->w;
            const double stride = (double)w->stride[axis];
            now = back ? now / stride : now * stride;
        }
        if (n->op == &sunup__op_upsample)
            now /= (double)((const struct upsample_attr *)n->attr)->factor[axis];
        for (int o = 0; o < n->n_out; o++) scale[n->out[o]->id] = now;
        most = fmax(most, now);
    }
    sunup__free(scale);
    return (int64_t)most;
}

static const int64_t *volume_cuts(struct split *s)
{
    const int parts = s->parts->n;
    const int64_t length = s->volume.d[s->axis];
    int64_t align = s->align, *cut = sunup__split_room(s, parts + 1, sizeof *cut);
    if (cut == NULL) return NULL;
    if (length / align < parts) align = 1;
    for (int i = 0; i <= parts; i++)
        cut[i] = i == parts ? length : i * length / (parts * align) * align;
    for (int i = 0; i < parts; i++)
        if (cut[i] == cut[i + 1]) {
            sunup__graph_error(s->graph, SUNUP_E_SHAPE,
                               "%d parts of an axis of %lld rows; at most %lld have a row each",
                               parts, (long long)length, (long long)length);
            return NULL;
        }
    return cut;
}

/* Where an input begins: of samples it has the own ones only, of space all. */
static void split_input(struct split *s, const sunup_value *v)
{
    const bool volume = is_volume(s, &v->shape);
    const int64_t *cut = volume ? volume_cuts(s) : NULL;
    const int first = s->parts->first, own = s->parts->own;
    sunup_value **of = sunup__split_begin(s, v, cut, s->axis);
    if (of == NULL || (volume && cut == NULL)) return;
    sunup_shape shape = v->shape;
    const bool few = volume && s->axis == 0;
    if (few) shape.d[0] = cut[first + own] - cut[first];
    sunup_value *x = sunup_input(s->graph, v->name, v->dtype, shape);
    for (int i = 0; i < own; i++)
        of[i] = volume ? sunup_slice(x, s->axis, cut[first + i] - (few ? cut[first] : 0),
                                     rows_of(s, cut, i))
                       : x;
}

static sunup_value *view_of(sunup_value *x)
{
    return sunup__is_poison(x) ? x
                               : sunup__node(x->node->graph, &sunup__op_reshape, 1, &x, &x->shape,
                                             0, x->node->layer);
}

/* Leaves [0, n) of a binary tree of views of x. */
static void grow(sunup_value *x, int n, sunup_value **leaf)
{
    if (n == 1) {
        leaf[0] = x;
        return;
    }
    grow(view_of(x), n / 2, leaf);
    grow(view_of(x), n / 2, leaf + n / 2);
}

static void split_source(struct split *s, const struct node *n)
{
    const struct source_attr *a = n->attr;
    const sunup_value *v = n->out[0];
    if (a->kind == SOURCE_INPUT) {
        split_input(s, v);
        return;
    }
    sunup_value *x =
        a->kind == SOURCE_PARAMETER ? sunup_parameter(s->graph, v->name, a->shape, a->init)
        : a->kind == SOURCE_STATE   ? sunup_state(s->graph, v->name, a->shape, a->init)
                                    : sunup_constant(s->graph, a->dtype, a->shape, a->data);
    sunup_value **of = sunup__split_begin(s, v, NULL, 0);
    if (of == NULL) return;
    if (a->kind == SOURCE_PARAMETER)
        grow(x, s->parts->own, of);
    else
        for (int i = 0; i < s->parts->own; i++) of[i] = x;
}

/* ----------------------------------------------------------------------------- pass --- */

static bool reads_cut(const struct split *s, const struct node *n)
{
    for (int k = 0; k < n->n_in; k++)
        if (is_cut(s, n->in[k])) return true;
    return false;
}

/* Whole operands only: each slab does the same. */
static void copy_node(struct split *s, const struct node *n)
{
    sunup_value **in = sunup__split_room(s, n->n_in + 1, sizeof(sunup_value *));
    for (int o = 0; o < n->n_out; o++)
        if (in == NULL || sunup__split_begin(s, n->out[o], NULL, 0) == NULL) return;
    for (int i = 0; i < s->parts->own; i++) {
        for (int k = 0; k < n->n_in; k++) in[k] = slab_of(s, n->in[k], i);
        sunup_value *y = sunup__split_remake(s, n, n->attr, in);
        for (int o = 0; o < n->n_out; o++) slabs_of(s, n->out[o])->of[i] = sunup__output(y, o);
    }
}

static void split_node(struct split *s, const struct node *n)
{
    sunup__graph_layer(s->graph, n->layer);
    const split_rule rule = sunup__split_rule(n->op);
    if (n->op == &sunup__op_source)
        split_source(s, n);
    else if (!reads_cut(s, n))
        copy_node(s, n);
    else if (rule != NULL)
        rule(s, n);
    else
        sunup__split_refuse(s, n,
                            "it has no form for slabs; a network that uses it cannot be split");
    sunup__graph_layer(s->graph, NULL);
}

static void split_averages(struct split *s)
{
    for (int i = 0; i < s->whole->n_averages; i++) {
        const struct average *a = &s->whole->averages[i];
        sunup_average(slab_of(s, a->state, 0), sunup__split_share(s, a->value), a->momentum);
    }
}

static sunup_status check(const sunup_graph *whole, const struct parts *p)
{
    CHECK(p->n >= 1 && (p->n & (p->n - 1)) == 0, whole->ctx, E_ARGUMENT,
          "%d parts; a power of two would fit", p->n);
    CHECK(p->own >= 1 && p->n % p->own == 0 && p->first % p->own == 0 && p->first >= 0 &&
              p->first < p->n,
          whole->ctx, E_INTERNAL, "slabs %d to %d of %d", p->first, p->first + p->own, p->n);
    return SUNUP_OK;
}

static sunup_status fill(struct split *s, const struct split_options *o)
{
    struct parts *parts = sunup__split_room(s, 1, sizeof *parts);
    s->slabs = sunup__split_room(s, s->whole->n_values, sizeof *s->slabs);
    TRY(sunup_graph_finish(s->graph));
    *parts = o->parts;
    s->parts = parts;
    find_volume(s, o->axis);
    TRY(sunup_graph_finish(s->graph));
    s->align = s->axis > 0 ? coarsest(s) : 1;
    for (int i = 0; i < s->whole->n_nodes && s->graph->status == SUNUP_OK; i++)
        split_node(s, s->whole->nodes[i]);
    TRY(sunup_graph_finish(s->graph));
    split_averages(s);
    return sunup_graph_finish(s->graph);
}

sunup_status sunup__split_create(sunup_graph *whole, const struct split_options *o,
                                 struct split **split)
{
    *split = NULL;
    TRY(check(whole, &o->parts));
    sunup_graph *g;
    TRY(sunup_graph_create(whole->ctx, &whole->options, &g));
    struct split *s = sunup__arena_alloc(&g->arena, sizeof *s);
    if (s == NULL) {
        sunup_graph_destroy(&g);
        RAISE(whole->ctx, E_MEMORY, "no memory to split a graph");
    }
    *s = (struct split){.whole = whole, .graph = g};
    const sunup_status status = fill(s, o);
    if (status == SUNUP_OK)
        *split = s;
    else
        sunup_graph_destroy(&g);
    return status;
}

void sunup__split_destroy(struct split **split)
{
    if (*split == NULL) return;
    sunup_graph *g = (*split)->graph;
    *split = NULL;
    sunup_graph_destroy(&g);
}

/* -------------------------------------------------------------------------- results --- */

sunup_graph *sunup__split_graph(const struct split *s)
{
    return s->graph;
}

/* The sum of n shares along the tree of slabs: all powers of two, so exact. */
static sunup_value *tree(sunup_value *const *x, int n)
{
    return n == 1 ? x[0] : sunup_add(tree(x, n / 2), tree(x + n / 2, n / 2));
}

sunup_value *sunup__split_share(const struct split *s, const sunup_value *v)
{
    const int own = s->parts->own;
    sunup_value **share = sunup__arena_alloc(&s->graph->arena, (size_t)own * sizeof *share);
    if (share == NULL || is_cut(s, v))
        return sunup__graph_error(s->graph, share ? SUNUP_E_UNSUPPORTED : SUNUP_E_MEMORY,
                                  "'%s' of a network in parts: %s", v->name,
                                  share ? "it is no sum over all parts" : "no memory");
    for (int i = 0; i < own; i++) share[i] = sunup_scale(slab_of(s, v, i), 1.0 / s->parts->n, 0);
    return tree(share, own);
}

sunup_value *sunup__split_own(const struct split *s, const sunup_value *v)
{
    const struct slabs *slabs = slabs_of(s, v);
    if (slabs->cut == NULL || s->parts->own == 1) return slabs->of[0];
    return sunup_concat(s->parts->own, slabs->of, slabs->axis);
}

bool sunup__split_is_cut(const struct split *s, const sunup_value *v)
{
    return is_cut(s, v);
}
