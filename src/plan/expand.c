/* expand.c - third stage: batch norm in passes that only read, and pointwise work that the next
 * stage joins with its neighbours.
 *
 *   y = batch_norm(x)          statistics(x) -> scale, shift ...;     y = scale x + shift
 *   dx = batch_norm_grad(dy)   sums(x, dy) -> a, b, d ...;            dx = a dy + (b x + d)
 *
 * and group norm of one sample likewise, whose scale and shift are vectors of channels too.
 *
 * Two values are then cheaper to make again than to keep or to write:
 *
 *   y    whoever reads it after the first, if pointwise, makes it again from x, which the backward
 *        pass reads anyhow: y is written only if a convolution or the like wants it. A mask by
 *        relu(y) > 0 becomes one by y > 0.
 *   dy   if it is a mask of y on one gradient g, the sums read g and x, and so does dx: dy is never
 *        written. Batch norm and relu then move 3 tensors forward and 5 backward.
 *
 * Whatever is done twice is done by the same steps, so no bit changes.
 */
#include <string.h>

#include "graph/ops/channel_norm.h"
#include "graph/ops/pointwise.h"
#include "plan/stages.h"

struct expanding {
    sunup_plan *p;
    struct node **list; /* what becomes p->nodes                                  */
    int n_list;
    struct node **maker; /* [values] who in the list makes it                      */
    int n_given;         /* values before this stage                               */
    int *reads;          /* [values] by nodes of the plan, and one if it is wanted */
    bool *cheap, *met;   /* [values] y of a batch norm; it has been read           */
    struct node **norm;  /* [values] statistics of x in the list                   */
    /* Room for all that may come, so that nothing can fail on the way. */
    struct node *nodes;
    sunup_value *values, **pointers;
    struct pointwise_attr *attrs;
    struct channel_sums_attr *sums;
};

/* Most of what a node can become. */
enum { NODES_OF_FORWARD = 2, NODES_OF_GRAD = 7, NEW_VALUES = 6, POINTERS = 10 };

/* ----------------------------------------------------------------------- making --- */

static void append(struct expanding *e, struct node *n)
{
    e->list[e->n_list++] = n;
    for (int o = 0; o < n->n_out; o++) e->maker[n->out[o]->id] = n;
}

static sunup_value **copy_pointers(struct expanding *e, int n, sunup_value *const *from)
{
    sunup_value **to = e->pointers;
    e->pointers += n;
    for (int i = 0; i < n; i++) to[i] = from[i];
    return to;
}

/* A node in the place of `of`: op, attr, operands and results from n. */
static struct node *add_node(struct expanding *e, const struct node *of, struct node n)
{
    struct node *made = e->nodes++;
    n.in = copy_pointers(e, n.n_in, n.in);
    n.out = copy_pointers(e, n.n_out, n.out);
    n.graph = of->graph;
    n.layer = of->layer;
    n.id = e->p->n_ids++;
    *made = n;
    for (int o = 0; o < n.n_out; o++)
        if (n.out[o]->id >= e->n_given) n.out[o]->node = made;
    append(e, made);
    return made;
}

static sunup_value *new_value(struct expanding *e, const sunup_value *like,
                              const sunup_shape *shape)
{
    sunup_value *v = e->values++;
    *v = *like;
    v->shape = *shape;
    v->id = e->p->n_values++;
    return v;
}

/* y as `code` of operands; y NULL: a new value like a. Returns y. */
static sunup_value *add_pointwise(struct expanding *e, const struct node *of,
                                  const struct pointwise_attr *attr, sunup_value *const in[3],
                                  sunup_value *y)
{
    sunup_value *out = y != NULL ? y : new_value(e, in[0], &in[0]->shape);
    *e->attrs = *attr;
    add_node(e, of,
             (struct node){.op = sunup__pointwise_op(attr->code),
                           .n_in = sunup__pointwise_operands(attr->code),
                           .n_out = 1,
                           .in = (sunup_value **)in,
                           .out = &out,
                           .attr = e->attrs++});
    return out;
}

static sunup_value *add_fma(struct expanding *e, const struct node *of, sunup_value *a,
                            sunup_value *b, sunup_value *c, sunup_value *y)
{
    return add_pointwise(e, of, &(struct pointwise_attr){.code = PW_fma},
                         (sunup_value *[3]){a, b, c}, y);
}

/* A copy of y of a batch norm, for reader `of`. */
static sunup_value *again(struct expanding *e, const struct node *of, const sunup_value *y)
{
    const struct node *n = e->maker[y->id];
    sunup_value *v = add_fma(e, of, n->in[0], n->in[1], n->in[2], NULL);
    e->cheap[v->id] = e->met[v->id] = true;
    return v;
}

/* ---------------------------------------------------------------------- readers --- */

static bool is_pointwise(const struct node *n)
{
    return n != NULL && (n->op->flags & OP_POINTWISE) != 0;
}

static int code_of(const struct node *n)
{
    return is_pointwise(n) ? ((const struct pointwise_attr *)n->attr)->code : -1;
}

/* A mask by relu's result is one by relu's operand too; the operand, if it is y of a batch norm. */
static sunup_value *masked_by(const struct expanding *e, const struct node *n)
{
    const int mask = code_of(n);
    sunup_value *v = n->in[0];
    if (mask != PW_relu_grad && mask != PW_leaky_relu_grad) return v;
    const struct node *relu = e->maker[v->id];
    const int code = code_of(relu);
    if (code != PW_relu && code != PW_leaky_relu) return v;
    if (code == PW_leaky_relu && ((const struct pointwise_attr *)relu->attr)->imm[0] < 0) return v;
    return e->cheap[relu->in[0]->id] ? relu->in[0] : v;
}

static void read_pointwise(struct expanding *e, struct node *n)
{
    sunup_value *in[3] = {NULL};
    bool same = true;
    for (int k = 0; k < n->n_in; k++) {
        in[k] = k == 0 ? masked_by(e, n) : n->in[k];
        if (e->cheap[in[k]->id] && e->met[in[k]->id]) in[k] = again(e, n, in[k]);
        e->met[in[k]->id] = true;
        same = same && in[k] == n->in[k];
    }
    if (same)
        append(e, n);
    else
        add_pointwise(e, n, n->attr, in, n->out[0]);
}

static void read_other(struct expanding *e, struct node *n)
{
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] != NULL) e->met[n->in[k]->id] = true;
    append(e, n);
}

/* ------------------------------------------------------------------------ norms --- */

static bool is_norm(const struct node *n, const struct op *batch, const struct op *group)
{
    return n->op == batch ||
           (n->op == group && ((const struct channel_norm_attr *)n->attr)->samples == 1);
}

static bool is_forward(const struct node *n)
{
    return is_norm(n, &sunup__op_batch_norm, &sunup__op_group_norm);
}

static bool is_grad(const struct node *n)
{
    return is_norm(n, &sunup__op_batch_norm_grad, &sunup__op_group_norm_grad);
}

static struct node *add_statistics(struct expanding *e, const struct node *n)
{
    const sunup_value *y = n->out[0];
    const sunup_shape c = SUNUP_SHAPE(((const struct channel_norm_attr *)n->attr)->c);
    sunup_value *var = n->n_out > 3 ? n->out[3] : new_value(e, y, &n->out[1]->shape);
    sunup_value *out[] = {new_value(e, y, &c), new_value(e, y, &c), n->out[1], n->out[2], var};
    return add_node(e, n,
                    (struct node){.op = &sunup__op_batch_norm_statistics,
                                  .n_in = n->n_in,
                                  .n_out = 5,
                                  .in = n->in,
                                  .out = out,
                                  .attr = n->attr});
}

/* The statistics that a copy of a norm (recompute.c) need not take again; NULL: it must. */
static const struct node *taken(const struct expanding *e, const struct node *n)
{
    const struct node *norm = e->norm[n->in[0]->id];
    if (norm == NULL || memcmp(norm->attr, n->attr, n->op->attr_bytes) != 0) return NULL;
    for (int k = 0; k < n->n_in; k++)
        if (norm->in[k] != n->in[k]) return NULL;
    for (int o = 1; o < n->n_out; o++)
        if (e->reads[n->out[o]->id] > 0) return NULL;
    return norm;
}

static void expand_norm(struct expanding *e, const struct node *n)
{
    sunup_value *x = n->in[0], *y = n->out[0];
    const struct node *norm = taken(e, n);
    if (norm == NULL) norm = e->norm[x->id] = add_statistics(e, n);
    if (e->reads[y->id] == 0) return;
    add_fma(e, n, x, norm->out[0], norm->out[1], y);
    e->cheap[y->id] = true;
}

/* dy can be made again from x and one tensor that is in memory. */
static bool is_repeatable(const struct expanding *e, const sunup_value *dy, const sunup_value *x)
{
    const struct node *n = e->maker[dy->id];
    if (!is_pointwise(n) || e->reads[dy->id] > 1 || sunup__pointwise_flops(code_of(n)) > 2)
        return false;
    int others = 0;
    for (int k = 0; k < n->n_in; k++) {
        const sunup_value *v = n->in[k];
        if (!sunup__same_shape(&v->shape, &x->shape)) return false;
        if (e->cheap[v->id] ? e->maker[v->id]->in[0] != x : is_pointwise(e->maker[v->id]))
            return false;
        others += !e->cheap[v->id];
    }
    return others < 2;
}

static sunup_value *repeat(struct expanding *e, const struct node *of, sunup_value *dy)
{
    const struct node *n = e->maker[dy->id];
    sunup_value *in[3] = {NULL};
    for (int k = 0; k < n->n_in; k++)
        in[k] = e->cheap[n->in[k]->id] ? again(e, of, n->in[k]) : n->in[k];
    return add_pointwise(e, of, n->attr, in, NULL);
}

static void expand_grad(struct expanding *e, const struct node *n)
{
    sunup_value *x = n->in[0], *dy = n->in[4], *dx = n->out[0];
    const struct channel_norm_attr *attr = n->attr;
    const sunup_shape c = SUNUP_SHAPE(attr->c);
    sunup_value *out[] = {new_value(e, x, &c), new_value(e, x, &c), new_value(e, x, &c), n->out[1],
                          n->out[2]};
    *e->sums = (struct channel_sums_attr){.norm = *attr};
    add_node(e, n,
             (struct node){.op = &sunup__op_batch_norm_sums,
                           .n_in = n->n_in,
                           .n_out = SUMS_RESULTS,
                           .in = n->in,
                           .out = out,
                           .attr = e->sums++});
    if (e->reads[dx->id] == 0) return;
    if (is_repeatable(e, dy, x)) dy = repeat(e, n, dy);
    sunup_value *rest = add_fma(e, n, x, out[1], out[2], NULL);
    add_fma(e, n, dy, out[0], rest, dx);
}

/* ------------------------------------------------------------------------ stage --- */

static sunup_status make_room(struct expanding *e)
{
    sunup_plan *p = e->p;
    int nodes = 0, norms = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        const struct node *n = p->nodes[i];
        const bool forward = is_forward(n), grad = is_grad(n);
        nodes += forward ? NODES_OF_FORWARD : grad ? NODES_OF_GRAD : 1;
        if (is_pointwise(n)) nodes += n->n_in;
        norms += forward || grad;
    }
    const int values = p->n_values + nodes + NEW_VALUES * norms;
    bool *wanted = scratch_alloc(p, values, sizeof *wanted);
    e->list = plan_alloc(p, nodes, sizeof(struct node *));
    e->maker = scratch_alloc(p, values, sizeof(struct node *));
    e->reads = scratch_alloc(p, values, sizeof *e->reads);
    e->cheap = scratch_alloc(p, values, sizeof *e->cheap);
    e->met = scratch_alloc(p, values, sizeof *e->met);
    e->norm = scratch_alloc(p, values, sizeof(struct node *));
    e->nodes = plan_alloc(p, nodes, sizeof *e->nodes);
    e->values = plan_alloc(p, values - p->n_values, sizeof *e->values);
    e->pointers = plan_alloc(p, (int64_t)nodes * POINTERS, sizeof *e->pointers);
    e->attrs = plan_alloc(p, nodes, sizeof *e->attrs);
    e->sums = plan_alloc(p, norms, sizeof *e->sums);
    CHECK(wanted && e->list && e->maker && e->reads && e->cheap && e->met && e->norm && e->nodes &&
              e->values && e->pointers && e->attrs && e->sums,
          p->ctx, E_MEMORY, "no memory to describe a plan of %d nodes", nodes);
    for (int v = 0; v < p->n_values; v++) wanted[v] = p->wanted[v];
    p->wanted = wanted;
    return SUNUP_OK;
}

static void count_reads(struct expanding *e)
{
    const sunup_plan *p = e->p;
    for (int v = 0; v < p->n_values; v++) e->reads[v] = p->wanted[v];
    for (int i = 0; i < p->n_nodes; i++)
        for (int k = 0; k < p->nodes[i]->n_in; k++)
            if (p->nodes[i]->in[k] != NULL) e->reads[p->nodes[i]->in[k]->id]++;
}

sunup_status sunup__plan_expand(sunup_plan *p)
{
    struct expanding e = {.p = p, .n_given = p->n_values};
    TRY(make_room(&e));
    count_reads(&e);
    for (int i = 0; i < p->n_nodes; i++) {
        struct node *n = p->nodes[i];
        if (is_forward(n))
            expand_norm(&e, n);
        else if (is_grad(n))
            expand_grad(&e, n);
        else if (is_pointwise(n))
            read_pointwise(&e, n);
        else
            read_other(&e, n);
    }
    p->nodes = e.list;
    p->n_nodes = e.n_list;
    return sunup__plan_drop_unread(p); /* relu whose mask is read from y instead */
}
