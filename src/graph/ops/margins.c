/* margins.c - rows that slabs read of other slabs; see parts.h.
 *
 * Owes: margins and their adjoint. Which rows go from which slab to which other one is
 * listed when the node is made, the same list on every process; each takes from it what concerns
 * its slabs, so that no process asks another one where its bytes are.
 * Leaves: how bytes travel to the link; the rows of the slab itself to extend (a concat that the
 * plan makes again for gradients instead of keeping it).
 * Cost: a margin's rows are copied once into the room and once out of it.
 */
#include "graph/ops/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/integers.h"
#include "graph/ops/op.h"

enum { SIDES = 2 };

/* Rows [row, row + n) of the axis go from slab `from` to slab `to`'s margin on one side. */
struct flow {
    int from, to, side;
    int64_t row, n;
};

struct margins {
    const struct parts *parts;
    int axis, n_flows;
    struct windows w;
    struct flow *flow;
    int64_t outer, inner_bytes, element;
    struct delivery way[2]; /* forward, back */
};
struct margins_attr {
    const struct turn *turn; /* first: sunup__parts_turn reads it */
    struct margins *m;
};

static int64_t slab_rows(const struct margins *m, int slab)
{
    return m->w.cut[slab + 1] - m->w.cut[slab];
}

/* The rows of a margin: before the slab (side 0) or behind it. */
static void margin(const struct windows *w, int slab, int side, int64_t *from, int64_t *to)
{
    *from = side == 0 ? w->from[slab] : most(w->from[slab], w->cut[slab + 1]);
    *to = side == 0 ? least(w->to[slab], w->cut[slab]) : w->to[slab];
    if (*to < *from) *to = *from;
}

/* ----------------------------------------------------------------- who gives what --- */

static bool flow_of(const struct windows *w, int from, int to, struct flow *f)
{
    int64_t first, end;
    *f = (struct flow){.from = from, .to = to, .side = from < to ? 0 : 1};
    margin(w, to, f->side, &first, &end);
    f->row = most(first, w->cut[from]);
    f->n = least(end, w->cut[from + 1]) - f->row;
    return f->n > 0;
}

static bool list_flows(struct margins *m, struct arena *arena)
{
    const int n = m->parts->n;
    m->flow = sunup__arena_alloc(arena, (size_t)n * (size_t)n * sizeof *m->flow);
    for (int to = 0; m->flow != NULL && to < n; to++)
        for (int from = 0; from < n; from++)
            if (from != to && flow_of(&m->w, from, to, &m->flow[m->n_flows])) m->n_flows++;
    return m->flow != NULL;
}

static int64_t flow_bytes(const struct margins *m, const struct flow *f)
{
    return m->outer * f->n * m->inner_bytes;
}

/* Every process's room is filled in the order of the flows. */
static bool list_parcels(struct margins *m, int back, struct arena *arena)
{
    const struct parts *p = m->parts;
    struct delivery *s = &m->way[back];
    int64_t *used = sunup__arena_alloc(arena, (size_t)(p->n / p->own) * sizeof *used);
    s->give = sunup__arena_alloc(arena, (size_t)(m->n_flows + 1) * sizeof *s->give);
    s->take = sunup__arena_alloc(arena, (size_t)(m->n_flows + 1) * sizeof *s->take);
    if (!used || !s->give || !s->take) return false;
    for (int i = 0; i < m->n_flows; i++) {
        const struct flow *f = &m->flow[i];
        const int giver = (back ? f->to : f->from) / p->own,
                  taker = (back ? f->from : f->to) / p->own, me = p->first / p->own;
        if (giver == taker) continue;
        const struct parcel parcel = {.at = used[giver], .bytes = flow_bytes(m, f)};
        used[giver] += (parcel.bytes + 63) / 64 * 64;
        if (giver == me) s->give[s->turn.n_give++] = parcel;
        if (giver == me) s->give[s->turn.n_give - 1].peer = taker;
        if (taker == me) s->take[s->turn.n_take++] = parcel;
        if (taker == me) s->take[s->turn.n_take - 1].peer = giver;
    }
    s->turn.bytes = used[p->first / p->own];
    s->turn.give = s->give;
    s->turn.take = s->take;
    return true;
}

/* ------------------------------------------------------------------- moving rows --- */

struct rows {
    void *data;
    int64_t rows, at; /* the tensor's rows; the first of ours */
};

static char *row_at(const struct margins *m, const struct rows *r, int64_t outer)
{
    return (char *)r->data + (outer * r->rows + r->at) * m->inner_bytes;
}

static void copy_rows(const struct margins *m, int64_t n, struct rows from, struct rows to)
{
    for (int64_t o = 0; o < m->outer; o++)
        memcpy(row_at(m, &to, o), row_at(m, &from, o), (size_t)(n * m->inner_bytes));
}

static void add_rows(const struct margins *m, const struct exec *e, int64_t n, struct rows from,
                     struct rows to)
{
    const sunup_dtype dtype = m->element == 8 ? SUNUP_F64 : SUNUP_F32;
    for (int64_t o = 0; o < m->outer; o++)
        CALL(e, dtype, add_to, n * (m->inner_bytes / m->element), (void *)row_at(m, &from, o),
             (void *)row_at(m, &to, o));
}

/* Where flow f lies in its slab, of which `slabs` holds the own ones. */
static struct rows in_slab(const struct margins *m, const struct flow *f, void *const *slabs)
{
    return (struct rows){slabs[f->from - m->parts->first], slab_rows(m, f->from),
                         f->row - m->w.cut[f->from]};
}

/* ... and in the margin that it goes to. */
static struct rows in_margin(const struct margins *m, const struct flow *f, void *const *margins)
{
    int64_t from, to;
    margin(&m->w, f->to, f->side, &from, &to);
    return (struct rows){margins[(f->to - m->parts->first) * SIDES + f->side], to - from,
                         f->row - from};
}

/* Give what others want of `in`, and wait for what they give. */
static sunup_status exchange(const struct margins *m, int back, void *const *in)
{
    const struct parts *p = m->parts;
    struct delivery s = m->way[back];
    if (p->link == NULL) return SUNUP_OK;
    char *room = p->link->room(p->link->arg);
    for (int i = 0, given = 0; i < m->n_flows; i++) {
        const struct flow *f = &m->flow[i];
        const bool mine = sunup__slab_is_own(p, back ? f->to : f->from),
                   stays = sunup__slab_is_own(p, back ? f->from : f->to);
        if (!mine || stays) continue;
        copy_rows(m, f->n, back ? in_margin(m, f, in) : in_slab(m, f, in),
                  (struct rows){room + s.give[given++].at, f->n, 0});
    }
    s.turn.site = s.site;
    return p->link->turn(p->link->arg, &s.turn);
}

/* Rows of flow f, which another process gave in parcel number *taken. */
static struct rows received(const struct margins *m, int back, const struct flow *f, int *taken)
{
    return (struct rows){(void *)(uintptr_t)m->way[back].take[(*taken)++].data, f->n, 0};
}

static sunup_status margins_run(const struct node *n, const struct exec *e)
{
    const struct margins *m = ((const struct margins_attr *)n->attr)->m;
    TRY(exchange(m, 0, e->in));
    for (int i = 0, taken = 0; i < m->n_flows; i++) {
        const struct flow *f = &m->flow[i];
        if (!sunup__slab_is_own(m->parts, f->to)) continue;
        const struct rows from = sunup__slab_is_own(m->parts, f->from) ? in_slab(m, f, e->in)
                                                                       : received(m, 0, f, &taken),
                          to = in_margin(m, f, e->out);
        if (to.data != NULL) copy_rows(m, f->n, from, to);
    }
    return SUNUP_OK;
}

static sunup_status margins_grad_run(const struct node *n, const struct exec *e)
{
    const struct margins *m = ((const struct margins_attr *)n->attr)->m;
    TRY(exchange(m, 1, e->in));
    for (int o = 0; o < n->n_out; o++)
        if (e->out[o] != NULL)
            sunup__zero(e->out[o], n->out[o]->dtype, sunup__elements(&n->out[o]->shape));
    for (int i = 0, taken = 0; i < m->n_flows; i++) {
        const struct flow *f = &m->flow[i];
        if (!sunup__slab_is_own(m->parts, f->from)) continue;
        const struct rows from = sunup__slab_is_own(m->parts, f->to) ? in_margin(m, f, e->in)
                                                                     : received(m, 1, f, &taken),
                          to = in_slab(m, f, e->out);
        if (to.data != NULL) add_rows(m, e, f->n, from, to);
    }
    return SUNUP_OK;
}

/* ------------------------------------------------------------------ shapes, gradients --- */

static void name_sites(struct margins *m, const struct node *n)
{
    static const char *const of[] = {"margins of", "gradients of the margins of"};
    for (int back = 0; back < 2; back++)
        (void)snprintf(m->way[back].site, PARTS_SITE, "%s '%s'", of[back], n->layer);
}

static sunup_status margins_infer(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    const struct margins_attr *a = n->attr;
    for (int o = 0; o < n->n_out; o++) {
        int64_t from, to;
        margin(&a->m->w, a->m->parts->first + o / SIDES, o % SIDES, &from, &to);
        sunup_shape shape = n->in[0]->shape;
        shape.d[a->m->axis] = to - from;
        sunup__set_out(n, o, n->in[0]->dtype, shape);
    }
    name_sites(a->m, n);
    return SUNUP_OK;
}

static sunup_status margins_grad_infer(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    const struct margins_attr *a = n->attr;
    for (int o = 0; o < n->n_out; o++) {
        sunup_shape shape = n->in[0]->shape;
        shape.d[a->m->axis] = slab_rows(a->m, a->m->parts->first + o);
        sunup__set_out(n, o, n->in[0]->dtype, shape);
    }
    return SUNUP_OK;
}

static void turn_round(struct node *n, const struct op *op, int back, sunup_value *const *dy,
                       sunup_value **dx)
{
    struct margins *m = ((const struct margins_attr *)n->attr)->m;
    sunup__give_back(n, op, &(struct margins_attr){&m->way[back].turn, m}, dy, dx);
}

/* Wanted or not: every process must make this node. */
static void margins_grad_of(struct node *n, sunup_value *const *dy, const bool *want,
                            sunup_value **dx)
{
    (void)want;
    turn_round(n, &sunup__op_margins_grad, 1, dy, dx);
}

static void margins_grad_grad(struct node *n, sunup_value *const *dy, const bool *want,
                              sunup_value **dx)
{
    (void)want;
    turn_round(n, &sunup__op_margins, 0, dy, dx);
}

/* -------------------------------------------------------------------------- windows --- */

static const int64_t *copied(struct arena *arena, int n, const int64_t *x)
{
    int64_t *y = sunup__arena_alloc(arena, (size_t)n * sizeof *y);
    if (y != NULL) memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static struct margins *new_margins(const struct parts *parts, int axis, struct windows w,
                                   const sunup_value *x)
{
    struct arena *arena = &x->node->graph->arena;
    struct margins *m = sunup__arena_alloc(arena, sizeof *m);
    if (m == NULL) return NULL;
    *m = (struct margins){.parts = parts, .axis = axis};
    m->w = (struct windows){copied(arena, parts->n + 1, w.cut), copied(arena, parts->n, w.from),
                            copied(arena, parts->n, w.to)};
    m->outer = sunup__product(&x->shape, 0, axis);
    m->element = sunup_dtype_bytes(x->dtype);
    m->inner_bytes = sunup__product(&x->shape, axis + 1, x->shape.n) * m->element;
    if (!m->w.cut || !m->w.from || !m->w.to || !list_flows(m, arena)) return NULL;
    return list_parcels(m, 0, arena) && list_parcels(m, 1, arena) ? m : NULL;
}

/* The slab's own rows of its window. */
static sunup_value *core(struct windows w, int slab, int axis, sunup_value *x)
{
    const int64_t from = least(most(w.from[slab], w.cut[slab]), w.cut[slab + 1]),
                  to = most(from, least(w.to[slab], w.cut[slab + 1]));
    if (from == w.cut[slab] && to == w.cut[slab + 1]) return x;
    return sunup_slice(x, axis, from - w.cut[slab], to - from);
}

static void extend_all(const struct margins *m, int axis, sunup_value *const *x,
                       sunup_value *margins, sunup_value **window)
{
    sunup_graph *g = margins->node->graph;
    for (int i = 0; i < m->parts->own; i++) {
        sunup_value *three[] = {sunup__output(margins, SIDES * i),
                                core(m->w, m->parts->first + i, axis, x[i]),
                                sunup__output(margins, SIDES * i + 1)};
        window[i] = sunup__node(g, &sunup__op_extend, 3, three, &axis, 0, NULL);
    }
}

void sunup__windows(const struct parts *parts, int axis, struct windows w, sunup_value *const *x,
                    sunup_value **window)
{
    sunup_graph *g = sunup__graph_of(parts->own, x);
    bool bad = false;
    for (int i = 0; i < parts->own; i++) bad = bad || sunup__is_poison(x[i]);
    struct margins *m = bad ? NULL : new_margins(parts, axis, w, x[0]);
    if (m != NULL && m->n_flows > 0) {
        const struct margins_attr attr = {&m->way[0].turn, m};
        sunup_value *margins =
            sunup__node(g, &sunup__op_margins, parts->own, x, &attr, SIDES * parts->own, NULL);
        extend_all(m, axis, x, margins, window);
        return;
    }
    if (!bad && m == NULL) sunup__graph_error(g, SUNUP_E_MEMORY, "no memory for margins");
    for (int i = 0; i < parts->own; i++)
        window[i] = m == NULL ? g->poison : core(w, parts->first + i, axis, x[i]);
}

/* ---------------------------------------------------------------------------- cases --- */

enum { SLABS = 3 };
static const struct parts case_parts = {.n = SLABS, .own = SLABS};

/* Slabs of 2, 1 and 3 rows; windows that reach over a neighbour, are smaller than the slab, or lie
 * elsewhere. */
static sunup_value *case_windows(sunup_graph *g, int axis, sunup_shape shape)
{
    static const int64_t cut[] = {0, 2, 3, 6}, from[] = {0, 0, 1}, to[] = {4, 6, 2};
    sunup_value *x = sunup__case_input(g, "x", shape), *slab[SLABS], *window[SLABS];
    for (int i = 0; i < SLABS; i++) slab[i] = sunup_slice(x, axis, cut[i], cut[i + 1] - cut[i]);
    sunup__windows(&case_parts, axis, (struct windows){cut, from, to}, slab, window);
    return sunup_concat(SLABS, window, axis);
}

static sunup_value *case_rows(sunup_graph *g)
{
    return case_windows(g, 1, SUNUP_SHAPE(2, 6, 3));
}

static sunup_value *case_columns(sunup_graph *g)
{
    return case_windows(g, 2, SUNUP_SHAPE(1, 5, 6, 2));
}

static sunup_value *case_back(sunup_graph *g)
{
    sunup_value *y = case_rows(g), *dx;
    if (sunup__is_poison(y)) return y;
    sunup_gradient_from(y, sunup__case_input(g, "dy", y->shape), 1,
                        (sunup_value *[]){sunup_graph_find(g, "x")}, &dx);
    return dx;
}

static const struct op_case margins_cases[] = {
    {"margins:2x6x3:1", case_rows},
    {"margins:1x5x6x2:2", case_columns},
};
static const struct op_case margins_grad_cases[] = {{"margins_grad:2x6x3:1", case_back}};

const struct op sunup__op_margins = {
    .name = "margins",
    .attr_bytes = sizeof(struct margins_attr),
    .flags = OP_MEETS,
    .n_out = SIDES,
    .infer = margins_infer,
    .grad = margins_grad_of,
    .run = margins_run,
    .cases = margins_cases,
    .n_cases = sizeof margins_cases / sizeof *margins_cases,
};

const struct op sunup__op_margins_grad = {
    .name = "margins_grad",
    .attr_bytes = sizeof(struct margins_attr),
    .flags = OP_MEETS,
    .n_out = 1,
    .infer = margins_grad_infer,
    .grad = margins_grad_grad,
    .run = margins_grad_run,
    .cases = margins_grad_cases,
    .n_cases = sizeof margins_grad_cases / sizeof *margins_grad_cases,
};
