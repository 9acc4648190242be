/* random.c - random numbers as a value of the graph: standard normal, or uniform in [0, 1).
 *
 * Keyed as dropout is (dropout.c): element i of sample s of the global batch is number s * per_sample + i
 * of the stream (seed, position, step), so it is the same whichever rank or thread draws it. Drawn in
 * evaluation too. Nothing flows back: a sample is made to depend on parameters by what is done with
 * these numbers.
 */
#include "base/random.h"

#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384 };

struct random_attr {
    sunup_dtype dtype;
    sunup_shape shape;
    int64_t position, per_sample; /* position -1: the node's own */
    bool normal;
};

static sunup_status infer(struct node *n)
{
    struct random_attr *a = n->attr;
    if (a->shape.n < 0 || a->shape.n > SUNUP_MAX_DIMS || !sunup__shape_ok(&a->shape))
        return sunup__op_error(n, SUNUP_E_SHAPE, "its shape is outside what fits");
    const int64_t elements = sunup__elements(&a->shape), batch = sunup_graph_batch(n->graph);
    if (a->position < 0) a->position = n->id;
    a->per_sample = elements % batch == 0 ? elements / batch : elements;
    sunup__set_out(n, 0, a->dtype, a->shape);
    return SUNUP_OK;
}

/* A quarter of a Philox block of 10 rounds, and for a normal number half a logarithm and a root, and a
 * sine. */
static struct cost cost(const struct node *n)
{
    const double elements = (double)sunup__elements(&n->out[0]->shape);
    return (struct cost){elements * (((const struct random_attr *)n->attr)->normal ? 40 : 20),
                         sunup__moved_bytes(n)};
}

struct work {
    const struct exec *e;
    const struct random_attr *a;
    struct pieces pieces;
    struct random_stream stream;
    uint64_t first;
};

static void piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = piece_from(&w->pieces, i);
    CALL(w->e, w->a->dtype, random, w->a->normal, piece_length(&w->pieces, i), &w->stream,
         w->first + (uint64_t)from, element_at(w->e->out[0], w->a->dtype, from));
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    const struct random_attr *a = n->attr;
    const sunup_random_key *key = e->key;
    struct work w = {.e = e, .a = a, .first = (uint64_t)key->sample * (uint64_t)a->per_sample};
    w.pieces = sunup__pieces(sunup__elements(&a->shape), 1, PIECE_ELEMENTS, 0);
    w.stream = (struct random_stream){key->seed, RANDOM_VALUE, (uint32_t)a->position, key->step};
    sunup__parallel(e->threads, w.pieces.count, piece, &w);
    return SUNUP_OK;
}

static sunup_value *draw(sunup_graph *g, sunup_shape shape, bool normal)
{
    if (!g) return NULL;
    const struct random_attr a = {
        .dtype = sunup_graph_dtype(g), .shape = shape, .position = -1, .normal = normal};
    return sunup__node(g, &sunup__op_random, 0, NULL, &a, 0, NULL);
}

sunup_value *sunup_random_normal(sunup_graph *g, sunup_shape shape)
{
    return draw(g, shape, true);
}

sunup_value *sunup_random_uniform(sunup_graph *g, sunup_shape shape)
{
    return draw(g, shape, false);
}

static sunup_value *case_normal(sunup_graph *g)
{
    return sunup_random_normal(g, SUNUP_SHAPE(3, 5, 7));
}
static sunup_value *case_uniform(sunup_graph *g)
{
    return sunup_random_uniform(g, SUNUP_SHAPE(5003));
}

static const struct op_case cases[] = {
    {"random:3x5x7:normal", case_normal},
    {"random:5003:uniform", case_uniform},
};

const struct op sunup__op_random = {
    .name = "random",
    .attr_bytes = sizeof(struct random_attr),
    .flags = OP_RANDOM | OP_FLAT,
    .n_out = 1,
    .infer = infer,
    .cost = cost,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
