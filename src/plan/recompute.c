/* recompute.c - second stage: forward values that are made again instead of kept.
 *
 * A training pass keeps every forward value that a gradient reads. Here some are made again instead, just
 * before the first gradient that reads them: by copies of their nodes, which read what is kept or what other
 * copies made. A copy does the same work on the same operands, and a random one draws the same numbers, for its
 * position is an attribute: no bit changes.
 *
 * Always made again is what an op says is cheaper so (OP_AGAIN). The others where memory is short: the forward
 * pass is cut into segments; of each but the last only what later segments read is kept, and what costs more to
 * make than the caller pays (Chen et al., "Training deep nets with sublinear memory cost", 2016). Cuts are put
 * where little crosses them, at equal shares of what would be kept.
 */
#include <string.h>

#include "plan/stages.h"

/* Flops that a machine does while it moves a byte, so that prices have one unit; Xeons and EPYCs: 5 to 18. */
#define FLOPS_A_BYTE 8.0

/* A result that takes less than this share of another of its node stays: statistics beside a norm. */
enum { BESIDE = 16 };

struct cutting {
    sunup_plan *p;
    struct again how;
    int n;               /* forward nodes: the first of p->nodes            */
    int *segment;        /* [n_values] of the node that makes it; -1: not forward */
    bool *kept, *read;   /* [n_values] in memory until its gradients; read by one */
    sunup_value **again; /* [n_values] the value made again, NULL: not yet */
    struct node **list;  /* what becomes p->nodes */
    int n_list;
};

static int64_t bytes_of(const sunup_value *v)
{
    return v->node->op->flags & (OP_SOURCE | OP_VIEW) ? 0 : sunup__value_bytes(v);
}

static bool is_forward(const sunup_plan *p, const struct node *n)
{
    return n->id < p->graph->gradient_from;
}

static void mark_read(struct cutting *c)
{
    for (int i = c->n; i < c->p->n_nodes; i++)
        for (int k = 0; k < c->p->nodes[i]->n_in; k++)
            if (c->p->nodes[i]->in[k] != NULL) c->read[c->p->nodes[i]->in[k]->id] = true;
    for (int i = c->n - 1; i >= 0; i--) /* a view is read: so is what it lies in */
        if (c->p->nodes[i]->op->flags & OP_VIEW && c->read[c->p->nodes[i]->out[0]->id])
            c->read[c->p->nodes[i]->in[0]->id] = true;
}

/* Bytes that gradients read of what node i makes. */
static int64_t saved(const struct cutting *c, int i)
{
    const struct node *n = c->p->nodes[i];
    int64_t bytes = 0;
    for (int o = 0; o < n->n_out; o++)
        if (c->read[n->out[o]->id]) bytes += bytes_of(n->out[o]);
    return bytes;
}

/* last[v]: the last forward node that reads v. */
static void fill_last(const struct cutting *c, int *last)
{
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->p->nodes[i]->n_in; k++)
            if (c->p->nodes[i]->in[k] != NULL) last[c->p->nodes[i]->in[k]->id] = i;
}

/* crossing[i]: bytes that nodes behind i read of what was made up to it. */
static void fill_crossing(const struct cutting *c, const int *last, int64_t *crossing)
{
    for (int i = 0; i < c->n; i++) {
        const struct node *n = c->p->nodes[i];
        for (int o = 0; o < n->n_out; o++) {
            const int64_t bytes = bytes_of(n->out[o]);
            for (int j = i; j < last[n->out[o]->id]; j++) crossing[j] += bytes;
        }
    }
}

/* Ends each segment at the cheapest cut near its share of what would be saved. */
static sunup_status choose_cuts(struct cutting *c)
{
    sunup_plan *p = c->p;
    int *last = scratch_alloc(p, p->n_values, sizeof *last);
    int64_t *crossing = scratch_alloc(p, c->n, sizeof *crossing);
    NEED(p, last);
    NEED(p, crossing);
    fill_last(c, last);
    fill_crossing(c, last, crossing);
    int64_t total = 0, sum = 0;
    for (int i = 0; i < c->n; i++) total += saved(c, i);
    for (int segment = 0, i = 0; segment < c->how.segments; segment++) {
        const int64_t most = total / c->how.segments * (segment + 1) + total / c->how.segments / 2;
        int best = -1, from = i;
        int64_t at = sum;
        for (int j = from; j < c->n; j++) { /* candidates: from half a share before to half after */
            at += saved(c, j);
            if (segment + 1 < c->how.segments && at > most && best >= 0) break;
            const bool near = at >= most - total / c->how.segments;
            if (near && (best < 0 || crossing[j] < crossing[best])) best = j;
        }
        if (best < 0 || segment + 1 == c->how.segments) best = c->n - 1;
        for (; i <= best; i++) {
            sum += saved(c, i);
            for (int o = 0; o < p->nodes[i]->n_out; o++)
                c->segment[p->nodes[i]->out[o]->id] = segment;
        }
    }
    return SUNUP_OK;
}

/* What result costs, in flops for each of its bytes. */
static double price(const struct node *n)
{
    int64_t made = 0;
    for (int o = 0; o < n->n_out; o++) made += bytes_of(n->out[o]);
    const struct cost cost = sunup__node_cost(n);
    return made == 0 ? 0 : (cost.flops + FLOPS_A_BYTE * cost.bytes) / (double)made;
}

static bool is_small(const struct node *n, const sunup_value *v)
{
    int64_t most = 0;
    for (int o = 0; o < n->n_out; o++)
        if (bytes_of(n->out[o]) > most) most = bytes_of(n->out[o]);
    return bytes_of(v) < most / BESIDE;
}

/* Kept: sources, outputs of the plan, the last segment, what a later segment reads, what is dear or small, and
 * what came from other processes, which may cut their passes elsewhere. */
static void choose_kept(struct cutting *c)
{
    const sunup_plan *p = c->p;
    for (int i = 0; i < c->n; i++) {
        const struct node *n = p->nodes[i];
        const bool dear = price(n) > c->how.price;
        for (int o = 0; o < n->n_out; o++) {
            const int v = n->out[o]->id;
            const bool last = c->segment[v] == c->how.segments - 1;
            c->kept[v] = c->kept[v] || n->op->flags & (OP_SOURCE | OP_MEETS) || p->wanted[v] ||
                         (!(n->op->flags & OP_AGAIN) && (last || dear || is_small(n, n->out[o])));
        }
        const int mine = n->n_out > 0 ? c->segment[n->out[0]->id] : 0;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != NULL && c->segment[n->in[k]->id] < mine) c->kept[n->in[k]->id] = true;
    }
    /* A view keeps what it lies in. */
    for (int i = c->n - 1; i >= 0; i--)
        if (p->nodes[i]->op->flags & OP_VIEW && c->kept[p->nodes[i]->out[0]->id])
            c->kept[p->nodes[i]->in[0]->id] = true;
}

static bool lost(const struct cutting *c, const sunup_value *v)
{
    return v != NULL && c->segment[v->id] >= 0 && !c->kept[v->id];
}

static sunup_value *again(struct cutting *c, const sunup_value *v);

/* A copy of n, behind what it reads that has to be made again. */
static struct node *add_copy(struct cutting *c, const struct node *n)
{
    sunup_plan *p = c->p;
    struct node *copy = plan_alloc(p, 1, sizeof *copy);
    sunup_value **in = plan_alloc(p, n->n_in, sizeof(sunup_value *));
    if (copy == NULL || in == NULL) return NULL;
    for (int k = 0; k < n->n_in; k++) {
        in[k] = lost(c, n->in[k]) ? again(c, n->in[k]) : n->in[k];
        if (in[k] == NULL && n->in[k] != NULL) return NULL;
    }
    *copy = *n;
    copy->in = in;
    return c->list[c->n_list++] = copy;
}

/* v from a copy of its node, whose other results come with it; NULL: no memory. */
static sunup_value *again(struct cutting *c, const sunup_value *v)
{
    if (c->again[v->id] != NULL) return c->again[v->id];
    sunup_plan *p = c->p;
    const struct node *n = v->node;
    struct node *copy = add_copy(c, n);
    sunup_value **out = plan_alloc(p, n->n_out, sizeof(sunup_value *));
    sunup_value *values = plan_alloc(p, n->n_out, sizeof *values);
    if (copy == NULL || out == NULL || values == NULL) return NULL;
    copy->out = out;
    copy->id = p->n_ids++;
    for (int o = 0; o < n->n_out; o++) {
        values[o] = *n->out[o];
        values[o].node = copy;
        values[o].id = p->n_values++;
        out[o] = c->again[n->out[o]->id] = &values[o];
    }
    p->n_again++;
    return c->again[v->id];
}

static sunup_status rewrite(struct cutting *c)
{
    sunup_plan *p = c->p;
    c->list = plan_alloc(p, p->n_nodes + c->n, sizeof *c->list);
    NEED(p, c->list);
    memcpy(c->list, p->nodes, (size_t)c->n * sizeof *c->list);
    c->n_list = c->n;
    for (int i = c->n; i < p->n_nodes; i++) {
        struct node *n = p->nodes[i];
        bool reads_lost = false;
        for (int k = 0; k < n->n_in; k++) reads_lost = reads_lost || lost(c, n->in[k]);
        if (reads_lost)
            NEED(p, add_copy(c, n));
        else
            c->list[c->n_list++] = n;
    }
    p->nodes = c->list;
    p->n_nodes = c->n_list;
    return SUNUP_OK;
}

sunup_status sunup__plan_recompute(sunup_plan *p, struct again how)
{
    struct cutting c = {.p = p, .how = how};
    while (c.n < p->n_nodes && is_forward(p, p->nodes[c.n])) c.n++;
    if (c.n == p->n_nodes) return SUNUP_OK;
    if (c.n < how.segments) c.how.segments = 1;
    c.segment = scratch_alloc(p, p->n_values, sizeof *c.segment);
    c.kept = scratch_alloc(p, p->n_values, sizeof *c.kept);
    c.read = scratch_alloc(p, p->n_values, sizeof *c.read);
    c.again = scratch_alloc(p, p->n_values, sizeof(sunup_value *));
    NEED(p, c.segment);
    NEED(p, c.kept);
    NEED(p, c.read);
    NEED(p, c.again);
    for (int v = 0; v < p->n_values; v++) c.segment[v] = -1;
    mark_read(&c);
    TRY(choose_cuts(&c));
    choose_kept(&c);
    return rewrite(&c);
}
