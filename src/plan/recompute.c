/* recompute.c - second stage: forward values that are made again instead of kept.
 *
 * A training pass keeps every forward value that a gradient reads. Here the forward pass is cut into
 * segments; of each but the last only what later segments read is kept, and the rest is made again
 * from it just before the segment's gradients (Chen et al., "Training deep nets with sublinear memory
 * cost", 2016). The price is at most one more forward pass.
 *
 * Cuts are put where little crosses them, at equal shares of what would be kept. The nodes that run
 * again are copies with values of their own; a random one draws the same numbers, for its position
 * is an attribute. So no bit changes.
 */
#include <string.h>

#include "plan/stages.h"

struct cutting {
    sunup_plan *p;
    int n; /* forward nodes: the first of p->nodes            */
    int segments;
    int *segment;        /* [n_values] of the node that makes it; -1: not forward */
    bool *kept, *read;   /* [n_values] in memory until its gradients; read by one */
    sunup_value **again; /* [n_values] the value made again, NULL: not yet */
    bool *done;          /* [segments] its nodes have run again */
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
    for (int segment = 0, i = 0; segment < c->segments; segment++) {
        const int64_t most = total / c->segments * (segment + 1) + total / c->segments / 2;
        int best = -1, from = i;
        int64_t at = sum;
        for (int j = from; j < c->n; j++) { /* candidates: from half a share before to half after */
            at += saved(c, j);
            if (segment + 1 < c->segments && at > most && best >= 0) break;
            const bool near = at >= most - total / c->segments;
            if (near && (best < 0 || crossing[j] < crossing[best])) best = j;
        }
        if (best < 0 || segment + 1 == c->segments) best = c->n - 1;
        for (; i <= best; i++) {
            sum += saved(c, i);
            for (int o = 0; o < p->nodes[i]->n_out; o++)
                c->segment[p->nodes[i]->out[o]->id] = segment;
        }
    }
    return SUNUP_OK;
}

/* Kept: sources, outputs of the plan, the last segment, what a later segment reads, and what came from other
 * processes, which may cut their passes elsewhere. */
static void choose_kept(struct cutting *c)
{
    const sunup_plan *p = c->p;
    for (int i = 0; i < c->n; i++) {
        const struct node *n = p->nodes[i];
        for (int o = 0; o < n->n_out; o++) {
            const int v = n->out[o]->id;
            c->kept[v] = c->kept[v] || n->op->flags & (OP_SOURCE | OP_MEETS) || p->wanted[v] ||
                         c->segment[v] == c->segments - 1;
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

/* A copy of n that reads what was made again; made: with new values as results. */
static struct node *copy(struct cutting *c, const struct node *n, bool made)
{
    sunup_plan *p = c->p;
    struct node *m = plan_alloc(p, 1, sizeof *m);
    sunup_value **in = plan_alloc(p, n->n_in, sizeof(sunup_value *));
    sunup_value **out = plan_alloc(p, n->n_out, sizeof(sunup_value *));
    if (m == NULL || in == NULL || out == NULL) return NULL;
    *m = *n;
    for (int k = 0; k < n->n_in; k++) in[k] = lost(c, n->in[k]) ? c->again[n->in[k]->id] : n->in[k];
    m->in = in;
    if (!made) return m;
    m->out = out;
    m->id = p->n_ids++;
    for (int o = 0; o < n->n_out; o++) {
        out[o] = plan_alloc(p, 1, sizeof *out[o]);
        if (out[o] == NULL) return NULL;
        *out[o] = *n->out[o];
        out[o]->node = m;
        out[o]->id = p->n_values++;
        c->again[n->out[o]->id] = out[o];
    }
    return m;
}

/* Nodes of the segment that its gradients need, appended to list. */
static sunup_status repeat(struct cutting *c, int segment, struct node **list, int *n_list)
{
    sunup_plan *p = c->p;
    bool *needed = scratch_alloc(p, c->n, sizeof *needed);
    NEED(p, needed);
    for (int i = c->n - 1; i >= 0; i--) {
        const struct node *n = p->nodes[i];
        bool need = false;
        for (int o = 0; o < n->n_out; o++)
            need = need || (c->segment[n->out[o]->id] == segment && !c->kept[n->out[o]->id] &&
                            c->read[n->out[o]->id]);
        needed[i] = need;
        for (int k = 0; need && k < n->n_in; k++)
            if (lost(c, n->in[k])) c->read[n->in[k]->id] = true;
    }
    for (int i = 0; i < c->n; i++) {
        if (!needed[i]) continue;
        list[*n_list] = copy(c, p->nodes[i], true);
        NEED(p, list[*n_list]);
        ++*n_list;
    }
    c->done[segment] = true;
    return SUNUP_OK;
}

static sunup_status rewrite(struct cutting *c)
{
    sunup_plan *p = c->p;
    struct node **list = plan_alloc(p, p->n_nodes + c->n, sizeof *list);
    NEED(p, list);
    int n_list = c->n;
    memcpy(list, p->nodes, (size_t)c->n * sizeof *list);
    for (int i = c->n; i < p->n_nodes; i++) {
        struct node *n = p->nodes[i];
        bool reads_lost = false;
        for (int k = 0; k < n->n_in; k++) {
            if (!lost(c, n->in[k])) continue;
            reads_lost = true;
            const int segment = c->segment[n->in[k]->id];
            if (!c->done[segment]) TRY(repeat(c, segment, list, &n_list));
        }
        list[n_list] = reads_lost ? copy(c, n, false) : n;
        NEED(p, list[n_list]);
        n_list++;
    }
    p->n_again = n_list - p->n_nodes;
    p->nodes = list;
    p->n_nodes = n_list;
    return SUNUP_OK;
}

sunup_status sunup__plan_recompute(sunup_plan *p, int segments)
{
    struct cutting c = {.p = p, .segments = segments};
    while (c.n < p->n_nodes && is_forward(p, p->nodes[c.n])) c.n++;
    if (segments < 2 || c.n == p->n_nodes || c.n < segments) return SUNUP_OK;
    c.segment = scratch_alloc(p, p->n_values, sizeof *c.segment);
    c.kept = scratch_alloc(p, p->n_values, sizeof *c.kept);
    c.read = scratch_alloc(p, p->n_values, sizeof *c.read);
    c.again = scratch_alloc(p, p->n_values, sizeof(sunup_value *));
    c.done = scratch_alloc(p, segments, sizeof *c.done);
    NEED(p, c.segment);
    NEED(p, c.kept);
    NEED(p, c.read);
    NEED(p, c.again);
    NEED(p, c.done);
    for (int v = 0; v < p->n_values; v++) c.segment[v] = -1;
    mark_read(&c);
    TRY(choose_cuts(&c));
    choose_kept(&c);
    return rewrite(&c);
}
