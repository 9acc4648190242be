/* dropout.c - zeros with probability p, the rest times 1 / (1 - p) (Srivastava et al., 2014).
 *
 * Element i of sample s of the global batch draws number s * per_sample + i of the stream (seed,
 * position, step). So the mask is the same whichever rank computes the sample, and the gradient,
 * which is the same op on dy with the forward op's position, draws it again instead of keeping it.
 */
#include "graph/ops/dropout.h"

#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384 };

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    struct dropout_attr *a = n->attr;
    const int64_t elements = sunup__elements(&n->in[0]->shape), batch = sunup_graph_batch(n->graph);
    if (!(a->p >= 0 && a->p < 1))
        return sunup__op_error(n, SUNUP_E_ARGUMENT, "p is %g; it must be in [0, 1]", a->p);
    if (a->position < 0) a->position = n->id;
    /* Samples are the first axis, or part of it if the network folds more axes into it. */
    if (a->per_sample == 0) a->per_sample = elements % batch == 0 ? elements / batch : elements;
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    return SUNUP_OK;
}

/* Linear in x: the same map on dy. */
static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup__node(n->graph, &sunup__op_dropout, 1, dy, n->attr, 0, NULL);
}

/* A quarter of a Philox block, 10 rounds of 8 operations, and the product. */
static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 21);
}

struct random_stream sunup__dropout_stream(const struct dropout_attr *a,
                                           const sunup_random_key *key, uint64_t *first)
{
    *first = (uint64_t)key->sample * (uint64_t)a->per_sample + (uint64_t)a->first;
    return (struct random_stream){key->seed, RANDOM_DROPOUT, (uint32_t)a->position, key->step};
}

struct work {
    const struct exec *e;
    const struct dropout_attr *a;
    sunup_dtype dtype;
    struct pieces pieces;
    struct random_stream stream;
    uint64_t first;
};

static void piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = piece_from(&w->pieces, i), length = piece_length(&w->pieces, i);
    CALL(w->e, w->dtype, dropout, length, element_at(w->e->in[0], w->dtype, from), &w->stream,
         w->first + (uint64_t)from, w->a->p, element_at(w->e->out[0], w->dtype, from));
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct work w = {.e = e, .a = n->attr, .dtype = n->out[0]->dtype};
    w.pieces = sunup__pieces(sunup__elements(&n->out[0]->shape), 1, PIECE_ELEMENTS, 0);
    w.stream = sunup__dropout_stream(w.a, e->key, &w.first);
    sunup__parallel(e->threads, w.pieces.count, piece, &w);
    return SUNUP_OK;
}

sunup_value *sunup_dropout(sunup_value *x, double p, bool always)
{
    if (!x || sunup__is_poison(x)) return x;
    sunup_graph *g = x->node->graph;
    if (p == 0 || (p > 0 && p <= 1 && !always && !sunup_graph_training(g))) return x;
    if (p == 1) return sunup__zeros_like(x);
    const struct dropout_attr attr = {.p = p, .position = -1};
    return sunup__node(g, &sunup__op_dropout, 1, &x, &attr, 0, NULL);
}

static sunup_value *case_plane(sunup_graph *g)
{
    return sunup_dropout(sunup__case_input(g, "x", SUNUP_SHAPE(3, 5, 7)), 0.3, true);
}
static sunup_value *case_vector(sunup_graph *g)
{
    return sunup_dropout(sunup__case_input(g, "x", SUNUP_SHAPE(13)), 0.5, true);
}

static const struct op_case cases[] = {
    {"dropout:3x5x7:p0.3", case_plane},
    {"dropout:13:p0.5", case_vector},
};

const struct op sunup__op_dropout = {
    .name = "dropout",
    .attr_bytes = sizeof(struct dropout_attr),
    .flags = OP_RANDOM,
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
