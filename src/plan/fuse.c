/* fuse.c - fourth stage: neighbouring pointwise nodes become one chain: one pass over memory.
 *
 * Nodes are dealt into groups that run one after the other; a value is made in a group at or before
 * every group that reads it, so the order of groups stays valid whatever joins. Two passes:
 *
 *   late   from the last node to the first: a pointwise node joins the earliest group that reads
 *          it, if that is pointwise of the same type and shape; otherwise it opens a group of its
 *          own, ahead of all so far.
 *   fork   from the first group to the last: a group moves up into the latest one it reads from, if
 *          that saves at least as many values from being written as it makes (a gradient that goes
 *          two ways).
 *
 *   sums   the sums of a batch norm's gradient move up into the group that makes the dy they read,
 *          which then need not be read again, nor written if nobody else reads it.
 *
 * So nothing is computed twice that expand.c did not double, no value is made earlier than it must
 * be unless another one is saved by that, and the result depends on the graph alone. A group of one
 * stays the graph's own node.
 */
#include "graph/ops/channel_norm.h"
#include "plan/stages.h"

struct group {
    bool pointwise;
    sunup_dtype dtype;
    const sunup_shape *shape;
    int n_nodes, n_in, n_out;
    sunup_value *in[CHAIN_IN]; /* made outside, each once */
    struct node *sums;         /* that read a result of this group; NULL: none */
};

struct fusing {
    sunup_plan *p;
    struct group *groups; /* in reverse running order: the last to run is 0 */
    int n_groups;
    int *group_of;       /* [node ids] -1: not dealt yet                         */
    int *maker;          /* [values] id of the node that makes it                */
    int *readers, *from; /* ids of the nodes that read value v: readers[from[v] .. from[v + 1]) */
    int *reg;            /* [values] register in the chain that is being written */
};

static int made_in(const struct fusing *f, const sunup_value *v)
{
    return f->group_of[f->maker[v->id]];
}

static bool is_source(const sunup_value *v)
{
    return (v->node->op->flags & OP_SOURCE) != 0;
}

/* ---------------------------------------------------------------- operands of groups --- */

/* What group `self` would read from outside for `from`, added to list[n]; -1 if too many. */
static int add_operands(const struct fusing *f, int self, sunup_value *const *from, int n_from,
                        sunup_value **list, int n)
{
    for (int i = 0; i < n_from; i++) {
        if (from[i] == NULL || made_in(f, from[i]) == self) continue;
        int at = 0;
        while (at < n && list[at] != from[i]) at++;
        if (at < n) continue;
        if (n == CHAIN_IN) return -1;
        list[n++] = from[i];
    }
    return n;
}

static bool read_only_in(const struct fusing *f, const sunup_value *v, int a, int b)
{
    if (f->p->wanted[v->id]) return false;
    for (int i = f->from[v->id]; i < f->from[v->id + 1]; i++) {
        const int g = f->group_of[f->readers[i]];
        if (g != a && g != b) return false;
    }
    return true;
}

/* The first group to run of those that read v; -1 if only the caller of the plan does. */
static int earliest_reader(const struct fusing *f, const sunup_value *v)
{
    int g = -1;
    for (int i = f->from[v->id]; i < f->from[v->id + 1]; i++)
        if (f->group_of[f->readers[i]] > g) g = f->group_of[f->readers[i]];
    return g;
}

static sunup_status list_readers(struct fusing *f)
{
    const sunup_plan *p = f->p;
    int n = 0;
    for (int i = 0; i < p->n_nodes; i++)
        for (int o = 0; o < p->nodes[i]->n_out; o++)
            f->maker[p->nodes[i]->out[o]->id] = p->nodes[i]->id;
    for (int i = 0; i < p->n_nodes; i++)
        for (int k = 0; k < p->nodes[i]->n_in; k++)
            if (p->nodes[i]->in[k] != NULL) {
                f->from[p->nodes[i]->in[k]->id + 1]++;
                n++;
            }
    f->readers = scratch_alloc(f->p, n, sizeof *f->readers);
    int *next = scratch_alloc(f->p, p->n_values, sizeof *next);
    NEED(p, f->readers);
    NEED(p, next);
    for (int v = 0; v < p->n_values; v++) {
        f->from[v + 1] += f->from[v];
        next[v] = f->from[v];
    }
    for (int i = 0; i < p->n_nodes; i++)
        for (int k = 0; k < p->nodes[i]->n_in; k++)
            if (p->nodes[i]->in[k] != NULL)
                f->readers[next[p->nodes[i]->in[k]->id]++] = p->nodes[i]->id;
    return SUNUP_OK;
}

/* ------------------------------------------------------------------------ pass: late --- */

static bool joins(struct fusing *f, struct node *n, int g)
{
    const sunup_value *v = n->out[0];
    struct group *to = &f->groups[g];
    if (!to->pointwise || to->dtype != v->dtype || !sunup__same_shape(to->shape, &v->shape) ||
        to->n_nodes == CHAIN_STEPS)
        return false;
    const bool escapes = !read_only_in(f, v, g, g);
    if (to->n_out + (escapes ? 1 : 0) > MAX_OUT) return false;
    f->group_of[n->id] = g; /* so that the result no longer counts as an operand */
    struct group joined = *to;
    const int kept = add_operands(f, g, to->in, to->n_in, joined.in, 0);
    joined.n_in = add_operands(f, g, n->in, n->n_in, joined.in, kept);
    if (joined.n_in < 0) return false;
    joined.n_nodes++;
    joined.n_out += escapes ? 1 : 0;
    *to = joined;
    return true;
}

static void open_group(struct fusing *f, struct node *n)
{
    struct group *g = &f->groups[f->n_groups];
    f->group_of[n->id] = f->n_groups++;
    *g = (struct group){.pointwise = (n->op->flags & OP_POINTWISE) != 0,
                        .dtype = n->out[0]->dtype,
                        .shape = &n->out[0]->shape,
                        .n_nodes = 1,
                        .n_out = 1};
    if (g->pointwise) g->n_in = add_operands(f, f->n_groups - 1, n->in, n->n_in, g->in, 0);
}

static void deal_late(struct fusing *f)
{
    for (int i = f->p->n_nodes - 1; i >= 0; i--) {
        struct node *n = f->p->nodes[i];
        const bool pointwise = (n->op->flags & OP_POINTWISE) != 0;
        const int reader = pointwise ? earliest_reader(f, n->out[0]) : -1;
        if (reader < 0 || !joins(f, n, reader)) open_group(f, n);
    }
}

/* ------------------------------------------------------------------------ pass: fork --- */

/* The last group to run of those that b reads from; -1 if it reads sources only. */
static int latest_operand(const struct fusing *f, const struct group *b)
{
    int a = -1;
    for (int i = 0; i < b->n_in; i++) {
        const int g = made_in(f, b->in[i]);
        if (!is_source(b->in[i]) && (a < 0 || g < a)) a = g;
    }
    return a;
}

static void move_up(struct fusing *f, int from, int to)
{
    struct group *b = &f->groups[from], *a = &f->groups[to];
    if (!a->pointwise || a->dtype != b->dtype || !sunup__same_shape(a->shape, b->shape) ||
        a->n_nodes + b->n_nodes > CHAIN_STEPS)
        return;
    int saved = 0;
    for (int i = 0; i < b->n_in; i++)
        if (made_in(f, b->in[i]) == to && read_only_in(f, b->in[i], to, from)) saved++;
    if (saved < b->n_out || a->n_out - saved + b->n_out > MAX_OUT) return;
    struct group both = *a;
    both.n_in = add_operands(f, to, b->in, b->n_in, both.in, a->n_in);
    if (both.n_in < 0) return;
    both.n_nodes += b->n_nodes;
    both.n_out += b->n_out - saved;
    *a = both;
    b->n_nodes = 0;
    for (int i = 0; i < f->p->n_nodes; i++)
        if (f->group_of[f->p->nodes[i]->id] == from) f->group_of[f->p->nodes[i]->id] = to;
}

static void join_forks(struct fusing *f)
{
    for (int b = f->n_groups - 1; b >= 0; b--) {
        if (!f->groups[b].pointwise) continue;
        const int a = latest_operand(f, &f->groups[b]);
        if (a >= 0) move_up(f, b, a);
    }
}

/* ------------------------------------------------------------------------ pass: sums --- */

/* What the sums can read block by block: like x, a number a channel, or one number. */
static bool is_by_rows(const sunup_value *v, const sunup_shape *x)
{
    const int64_t n = sunup__elements(&v->shape), c = x->d[x->n - 1];
    return n == 1 || sunup__same_shape(&v->shape, x) || (n == c && v->shape.d[v->shape.n - 1] == c);
}

/* True: the sums can run as early as group g, and read its operands. */
static bool can_move_up(const struct fusing *f, const struct node *sums, int g)
{
    const struct group *to = &f->groups[g];
    const sunup_shape *x = &sums->in[0]->shape;
    if (!to->pointwise || to->sums != NULL || !sunup__same_shape(to->shape, x)) return false;
    for (int i = 0; i < to->n_in; i++)
        if (!is_by_rows(to->in[i], x)) return false;
    for (int i = 0; i < SUMS_OPERANDS; i++)
        if (sums->in[i] != NULL && !is_source(sums->in[i]) && made_in(f, sums->in[i]) <= g)
            return false;
    return true;
}

static void join_sums(struct fusing *f)
{
    for (int i = 0; i < f->p->n_nodes; i++) {
        struct node *n = f->p->nodes[i];
        if (n->op != &sunup__op_batch_norm_sums || is_source(n->in[SUMS_OPERANDS])) continue;
        const int g = made_in(f, n->in[SUMS_OPERANDS]);
        if (!can_move_up(f, n, g)) continue;
        f->groups[f->group_of[n->id]].n_nodes = 0;
        f->group_of[n->id] = g;
        f->groups[g].sums = n;
        f->groups[g].n_nodes++;
    }
}

/* ------------------------------------------------------------------------ the chains --- */

struct writing {
    struct chain_attr attr;
    struct chain_step *steps;
    int *out;
    int n_in;
    sunup_value **in, **values; /* of the node; the program's start behind those of the sums */
};

static int same_step(const struct writing *w, const struct chain_step *step)
{
    for (int t = 0; t < w->attr.n_steps; t++) {
        const struct chain_step *s = &w->steps[t];
        if (s->code == step->code && s->a == step->a && s->b == step->b && s->c == step->c &&
            s->imm[0] == step->imm[0] && s->imm[1] == step->imm[1])
            return t;
    }
    return -1;
}

/* A step of node n, or the one before that gives the same; output: others read it. */
static void write_step(struct fusing *f, struct writing *w, const struct node *n, bool output)
{
    const struct pointwise_attr *attr = n->attr;
    int operand[3] = {-1, -1, -1};
    for (int k = 0; k < n->n_in && k < 3; k++)
        if (n->in[k] != NULL) operand[k] = f->reg[n->in[k]->id];
    const struct chain_step step = {.code = attr->code,
                                    .a = operand[0],
                                    .b = operand[1],
                                    .c = operand[2],
                                    .imm = {attr->imm[0], attr->imm[1]}};
    const int same = output ? -1 : same_step(w, &step);
    const int at = same >= 0 ? same : w->attr.n_steps;
    w->steps[at] = step;
    f->reg[n->out[0]->id] = w->n_in + at;
    if (same < 0) w->attr.n_steps++;
}

static void write_output(const struct fusing *f, struct writing *w, sunup_value *v)
{
    w->out[w->attr.n_out] = f->reg[v->id];
    w->values[w->attr.n_out++] = v;
}

/* The program of group g, whose nodes are members[0..n_nodes-1] in order. */
static void write_program(struct fusing *f, int g, struct node **members, struct writing *w)
{
    const struct group *group = &f->groups[g];
    const sunup_value *dy = group->sums != NULL ? group->sums->in[SUMS_OPERANDS] : NULL;
    for (int i = 0; i < group->n_nodes; i++)
        if (members[i] != group->sums)
            w->n_in = add_operands(f, g, members[i]->in, members[i]->n_in, w->in, w->n_in);
    for (int i = 0; i < w->n_in; i++) f->reg[w->in[i]->id] = i;
    for (int i = 0; i < group->n_nodes; i++) {
        if (members[i] == group->sums) continue;
        sunup_value *v = members[i]->out[0];
        write_step(f, w, members[i], v == dy || !read_only_in(f, v, g, g));
    }
    if (dy != NULL) write_output(f, w, group->sums->in[SUMS_OPERANDS]);
    for (int i = 0; i < group->n_nodes; i++) {
        sunup_value *v = members[i]->out[0];
        if (members[i] != group->sums && v != dy && !read_only_in(f, v, g, g))
            write_output(f, w, v);
    }
    w->attr.steps = w->steps;
    w->attr.out = w->out;
}

/* The node of group g. Its outputs are the graph's own values, so readers need no change. */
static sunup_status write_group(struct fusing *f, int g, struct node **members, struct node **made)
{
    sunup_plan *p = f->p;
    const struct group *group = &f->groups[g];
    const struct node *sums = group->sums;
    const int before_in = sums != NULL ? SUMS_OPERANDS : 0,
              before_out = sums != NULL ? SUMS_RESULTS : 0;
    struct node *n = plan_alloc(p, 1, sizeof *n);
    struct channel_sums_attr *attr =
        plan_alloc(p, 1, sizeof *attr); /* or a chain's, which is in it */
    sunup_value **in = plan_alloc(p, CHAIN_IN + SUMS_OPERANDS, sizeof(sunup_value *));
    sunup_value **out = plan_alloc(p, group->n_nodes + SUMS_RESULTS, sizeof(sunup_value *));
    struct writing w = {.steps = plan_alloc(p, group->n_nodes, sizeof *w.steps),
                        .out = plan_alloc(p, group->n_nodes, sizeof *w.out)};
    CHECK(n && attr && in && out && w.steps && w.out, p->ctx, E_MEMORY, "no memory for a chain");
    for (int i = 0; i < before_in; i++) in[i] = sums->in[i];
    for (int o = 0; o < before_out; o++) out[o] = sums->out[o];
    w.in = in + before_in;
    w.values = out + before_out;
    write_program(f, g, members, &w);
    if (sums != NULL) attr->norm = ((const struct channel_sums_attr *)sums->attr)->norm;
    attr->before = w.attr;
    const struct node *last = sums != NULL ? sums : members[group->n_nodes - 1];
    *n = (struct node){.op = sums != NULL ? sums->op : &sunup__op_chain,
                       .graph = p->graph,
                       .id = last->id,
                       .layer = last->layer,
                       .n_in = before_in + w.n_in,
                       .n_out = before_out + w.attr.n_out,
                       .in = in,
                       .out = out,
                       .attr = sums != NULL ? (void *)attr : (void *)&attr->before};
    *made = n;
    return SUNUP_OK;
}

/* Sources ahead of all (they are no steps), then group by group, in a group the graph's order. */
static sunup_status emit(struct fusing *f)
{
    sunup_plan *p = f->p;
    int *from = scratch_alloc(p, f->n_groups + 1, sizeof *from);
    struct node **sorted = scratch_alloc(p, p->n_nodes, sizeof(struct node *));
    NEED(p, from);
    NEED(p, sorted);
    for (int g = f->n_groups - 1, at = 0; g >= 0; g--) {
        from[g] = at;
        at += f->groups[g].n_nodes;
    }
    for (int i = 0; i < p->n_nodes; i++) sorted[from[f->group_of[p->nodes[i]->id]]++] = p->nodes[i];
    int n = 0;
    for (int i = 0; i < p->n_nodes; i++)
        if (sorted[i]->op->flags & OP_SOURCE) p->nodes[n++] = sorted[i];
    for (int i = 0; i < p->n_nodes;) {
        const int g = f->group_of[sorted[i]->id], size = f->groups[g].n_nodes;
        if (size > 1)
            TRY(write_group(f, g, &sorted[i], &p->nodes[n++]));
        else if (!(sorted[i]->op->flags & OP_SOURCE))
            p->nodes[n++] = sorted[i];
        i += size;
    }
    p->n_nodes = n;
    return SUNUP_OK;
}

sunup_status sunup__plan_fuse(sunup_plan *p)
{
    struct fusing f = {.p = p,
                       .groups = scratch_alloc(p, p->n_nodes, sizeof(struct group)),
                       .group_of = scratch_alloc(p, p->n_ids, sizeof(int)),
                       .maker = scratch_alloc(p, p->n_values, sizeof(int)),
                       .from = scratch_alloc(p, p->n_values + 1, sizeof(int)),
                       .reg = scratch_alloc(p, p->n_values, sizeof(int))};
    NEED(p, f.groups);
    NEED(p, f.group_of);
    NEED(p, f.maker);
    NEED(p, f.from);
    NEED(p, f.reg);
    for (int i = 0; i < p->n_ids; i++) f.group_of[i] = -1;
    TRY(list_readers(&f));
    deal_late(&f);
    join_forks(&f);
    join_sums(&f);
    return emit(&f);
}
