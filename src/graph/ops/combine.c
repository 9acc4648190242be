/* combine.c - sums over all slabs of a value, and the statistics of a slab; see parts.h.
 *
 * Owes: the sum in the order of the slabs, whoever holds them. combine has an output for each slab,
 * so that what arrives at it is a gradient of each slab's own, and its adjoint is combine again.
 * moments takes the mean and variance of a slab by the passes of batch norm (channel_norm.c).
 */
#include "graph/ops/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/integers.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/op.h"

struct combining {
    const struct parts *parts;
    struct delivery way;
};
struct combine_attr {
    const struct turn *turn; /* first: sunup__parts_turn reads it */
    struct combining *c;
};

static sunup_status combine_infer(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    const struct combine_attr *a = n->attr;
    for (int i = 0; i < n->n_in; i++) {
        if (!sunup__same_shape(&n->in[i]->shape, &n->in[0]->shape))
            return sunup__op_error(n, SUNUP_E_SHAPE, "terms are %s and %s", TEXT(n->in[i]),
                                   TEXT(n->in[0]));
        sunup__set_out(n, i, n->in[i]->dtype, n->in[i]->shape);
    }
    (void)snprintf(a->c->way.site, PARTS_SITE, "sum over the parts of '%s'", n->layer);
    return SUNUP_OK;
}

/* Where the term of each slab can be read; after the turn. */
static const void *term(const struct combining *c, const struct exec *e, int slab, int64_t bytes)
{
    const struct parts *p = c->parts;
    if (sunup__slab_is_own(p, slab)) return e->in[slab - p->first];
    const int giver = slab / p->own, me = p->first / p->own;
    return c->way.take[giver < me ? giver : giver - 1].data + slab % p->own * bytes;
}

static sunup_status combine_run(const struct node *n, const struct exec *e)
{
    const struct combining *c = ((const struct combine_attr *)n->attr)->c;
    const struct parts *p = c->parts;
    const int64_t elements = sunup__elements(&n->out[0]->shape),
                  bytes = elements * sunup_dtype_bytes(n->out[0]->dtype);
    if (p->link != NULL) {
        char *room = p->link->room(p->link->arg);
        for (int i = 0; i < p->own; i++) memcpy(room + i * bytes, e->in[i], (size_t)bytes);
        struct turn turn = c->way.turn;
        turn.site = c->way.site;
        TRY(p->link->turn(p->link->arg, &turn));
    }
    memcpy(e->out[0], term(c, e, 0, bytes), (size_t)bytes);
    for (int s = 1; s < p->n; s++)
        CALL(e, n->out[0]->dtype, add_to, elements, (void *)(uintptr_t)term(c, e, s, bytes),
             e->out[0]);
    for (int o = 1; o < n->n_out; o++)
        if (e->out[o] != NULL) memcpy(e->out[o], e->out[0], (size_t)bytes);
    return SUNUP_OK;
}

static void combine_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    (void)want;
    sunup__give_back(n, &sunup__op_combine, n->attr, dy, dx);
}

/* Every process gives all its terms to all others. */
static struct combining *new_combining(const struct parts *p, const sunup_value *x)
{
    struct arena *arena = &x->node->graph->arena;
    const int processes = p->n / p->own, me = p->first / p->own;
    struct combining *c = sunup__arena_alloc(arena, sizeof *c);
    struct parcel *take = sunup__arena_alloc(arena, (size_t)processes * sizeof *take),
                  *give = sunup__arena_alloc(arena, (size_t)processes * sizeof *give);
    if (!c || !take || !give) return NULL;
    const int64_t bytes = p->own * sunup__elements(&x->shape) * sunup_dtype_bytes(x->dtype);
    for (int peer = 0, i = 0; peer < processes; peer++)
        if (peer != me) take[i++] = (struct parcel){.peer = peer, .bytes = bytes};
    memcpy(give, take, (size_t)processes * sizeof *give);
    *c = (struct combining){.parts = p, .way = {.give = give, .take = take}};
    c->way.turn = (struct turn){.bytes = bytes,
                                .n_give = processes - 1,
                                .n_take = processes - 1,
                                .give = give,
                                .take = take};
    return c;
}

void sunup__combine(const struct parts *parts, sunup_value *const *x, sunup_value **y)
{
    sunup_graph *g = sunup__graph_of(parts->own, x);
    bool bad = false;
    for (int i = 0; i < parts->own; i++) bad = bad || sunup__is_poison(x[i]);
    struct combining *c = bad ? NULL : new_combining(parts, x[0]);
    const struct combine_attr attr = {c == NULL ? NULL : &c->way.turn, c};
    if (!bad && attr.c == NULL) sunup__graph_error(g, SUNUP_E_MEMORY, "no memory for a sum");
    sunup_value *first =
        attr.c == NULL ? g->poison
                       : sunup__node(g, &sunup__op_combine, parts->own, x, &attr, parts->own, NULL);
    for (int i = 0; i < parts->own; i++) y[i] = sunup__output(first, i);
}

/* ------------------------------------------------------------------------- moments --- */

static sunup_status moments_infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    struct channel_norm_attr *a = n->attr;
    const sunup_shape *x = &n->in[0]->shape;
    if (x->n < 2) return sunup__op_error(n, SUNUP_E_SHAPE, "x %s must be [.., C]", TEXT(n->in[0]));
    const bool by_sample = a->groups > 0;
    a->c = x->d[x->n - 1];
    a->samples = by_sample ? x->d[0] : 1;
    a->rows = sunup__product(x, by_sample, x->n - 1);
    if (!by_sample) a->groups = a->c;
    for (int o = 0; o < n->n_out; o++)
        sunup__set_out(n, o, n->in[0]->dtype,
                       by_sample ? SUNUP_SHAPE(a->samples, a->groups) : SUNUP_SHAPE(a->c));
    return SUNUP_OK;
}

sunup_value *sunup__by_channel(sunup_value *v, const sunup_shape *x)
{
    if (sunup__is_poison(v) || v->shape.n == 1) return v;
    const int64_t samples = v->shape.d[0], groups = v->shape.d[1], c = x->d[x->n - 1];
    sunup_shape y = *x;
    for (int i = 1; i < y.n - 1; i++) y.d[i] = 1;
    v = sunup_reshape(v, SUNUP_SHAPE(samples, groups, 1));
    return sunup_reshape(sunup_broadcast(v, SUNUP_SHAPE(samples, groups, c / groups)), y);
}

/* dx = dmean / n + 2 (x - mean) dvar / n, for the n numbers that share statistics. */
static void moments_grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    const struct channel_norm_attr *a = n->attr;
    const sunup_shape *x = &n->in[0]->shape;
    const double each = 1 / (double)(a->rows * (a->c / a->groups));
    if (!want[0]) return;
    sunup_value *by_mean = NULL, *by_var = NULL;
    if (dy[0]) by_mean = sunup__by_channel(sunup_scale(dy[0], each, 0), x);
    if (dy[1])
        by_var = sunup_mul(sunup_sub(n->in[0], sunup__by_channel(n->out[0], x)),
                           sunup__by_channel(sunup_scale(dy[1], 2 * each, 0), x));
    dx[0] = sunup__plus(by_var, by_mean);
    if (!by_var) dx[0] = sunup_broadcast(by_mean, *x);
}

static int64_t passes_workspace(const struct node *n, int threads)
{
    return round_up(sunup__op_batch_norm_statistics.workspace(n, threads), 64);
}

/* The passes want places for the scale and shift that would follow, too. */
static int64_t moments_workspace(const struct node *n, int threads)
{
    const struct channel_norm_attr *a = n->attr;
    return passes_workspace(n, threads) +
           2 * a->samples * a->c * sunup_dtype_bytes(n->out[0]->dtype);
}

static sunup_status moments_run(const struct node *n, const struct exec *e)
{
    const struct channel_norm_attr *a = n->attr;
    const sunup_dtype dtype = n->out[0]->dtype;
    char *vectors = (char *)e->workspace + passes_workspace(n, e->threads);
    struct exec passes = *e;
    passes.in = (void *const[]){e->in[0], NULL, NULL};
    passes.out = (void *const[]){vectors, element_at(vectors, dtype, a->samples * a->c), e->out[0],
                                 NULL, e->out[1]};
    return sunup__op_batch_norm_statistics.run(n, &passes);
}

sunup_value *sunup__moments(sunup_value *x, int64_t groups)
{
    if (!x || sunup__is_poison(x)) return x;
    const struct channel_norm_attr attr = {.groups = groups};
    return sunup__node(x->node->graph, &sunup__op_moments, 1, &x, &attr, 0, NULL);
}

/* --------------------------------------------------------------------- what is shared --- */

bool sunup__slab_is_own(const struct parts *p, int slab)
{
    return slab >= p->first && slab < p->first + p->own;
}

void sunup__give_back(struct node *n, const struct op *op, const void *attr, sunup_value *const *dy,
                      sunup_value **dx)
{
    sunup_value **all = sunup__arena_alloc(&n->graph->arena, (size_t)n->n_out * sizeof *all);
    if (all == NULL) {
        sunup__op_error(n, SUNUP_E_MEMORY, "no memory for its gradient");
        return;
    }
    for (int o = 0; o < n->n_out; o++) all[o] = dy[o] ? dy[o] : sunup__zeros_like(n->out[o]);
    sunup_value *first = sunup__node(n->graph, op, n->n_out, all, attr, n->n_in, NULL);
    for (int i = 0; i < n->n_in; i++) dx[i] = sunup__output(first, i);
}

/* The attributes of every op that meets begin with its turn. */
static const struct turn *turn_of(const struct node *n)
{
    return n->op->flags & OP_MEETS ? *(const struct turn *const *)n->attr : NULL;
}

struct parts_needs sunup__parts_needs(const sunup_graph *g)
{
    struct parts_needs all = {0};
    for (int i = 0; i < g->n_nodes; i++) {
        const struct turn *t = turn_of(g->nodes[i]);
        if (t == NULL) continue;
        int64_t take = 0;
        for (int k = 0; k < t->n_take; k++) take += t->take[k].bytes;
        all.give = most(all.give, t->bytes);
        all.take = most(all.take, take);
        if (t->n_give + t->n_take > all.parcels) all.parcels = t->n_give + t->n_take;
    }
    return all;
}

int64_t sunup__parts_sent(const sunup_graph *g)
{
    int64_t bytes = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct turn *t = turn_of(g->nodes[i]);
        for (int k = 0; t != NULL && k < t->n_give; k++) bytes += t->give[k].bytes;
    }
    return bytes;
}

/* --------------------------------------------------------------------------- cases --- */

enum { SLABS = 3 };
static const struct parts case_parts = {.n = SLABS, .own = SLABS};

/* Each slab uses its sum in a way of its own. */
static sunup_value *case_combine(sunup_graph *g)
{
    sunup_value *x = sunup__case_input(g, "x", SUNUP_SHAPE(SLABS, 5)), *slab[SLABS], *sum[SLABS];
    for (int i = 0; i < SLABS; i++) slab[i] = sunup_slice(x, 0, i, 1);
    sunup__combine(&case_parts, slab, sum);
    return sunup_add(sunup_mul(sum[0], slab[1]), sunup_square(sum[2]));
}

static sunup_value *case_moments(sunup_graph *g)
{
    sunup_value *mean = sunup__moments(sunup__case_input(g, "x", SUNUP_SHAPE(2, 3, 5, 4)), 0);
    return sunup_add(mean, sunup_square(sunup__output(mean, 1)));
}

static sunup_value *case_mean(sunup_graph *g)
{
    return sunup__moments(sunup__case_input(g, "x", SUNUP_SHAPE(7, 3)), 0);
}

static sunup_value *case_groups(sunup_graph *g)
{
    sunup_value *mean = sunup__moments(sunup__case_input(g, "x", SUNUP_SHAPE(2, 3, 5, 6)), 3);
    return sunup_sub(sunup_square(sunup__output(mean, 1)), mean);
}

static const struct op_case combine_cases[] = {{"combine:3x5", case_combine}};
static const struct op_case moments_cases[] = {
    {"moments:n2h3w5c4", case_moments},
    {"moments:n7c3:mean", case_mean},
    {"moments:n2h3w5c6:groups3", case_groups},
};

const struct op sunup__op_combine = {
    .name = "combine",
    .attr_bytes = sizeof(struct combine_attr),
    .flags = OP_MEETS,
    .n_out = 1,
    .infer = combine_infer,
    .grad = combine_grad,
    .run = combine_run,
    .cases = combine_cases,
    .n_cases = sizeof combine_cases / sizeof *combine_cases,
};

const struct op sunup__op_moments = {
    .name = "moments",
    .attr_bytes = sizeof(struct channel_norm_attr),
    .n_out = 2,
    .infer = moments_infer,
    .grad = moments_grad,
    .workspace = moments_workspace,
    .run = moments_run,
    .cases = moments_cases,
    .n_cases = sizeof moments_cases / sizeof *moments_cases,
};
