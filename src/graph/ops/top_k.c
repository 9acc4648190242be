/* top_k.c - i32 places of the k largest or smallest numbers along the last axis, best first.
 *
 * Of equals the one in front comes first, so the result is the same everywhere; NaN is the largest.
 * Integers carry no gradient: what is gathered by them does (gather_rows.c).
 */
#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384 };

struct top_k_attr {
    int64_t k;
    bool largest;
};

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    const struct top_k_attr *a = n->attr;
    sunup_shape y = n->in[0]->shape;
    if (y.n < 1) return sunup__op_error(n, SUNUP_E_SHAPE, "a scalar has no axis to choose from");
    const int64_t length = y.d[y.n - 1];
    if (a->k < 1 || a->k > TOP_K_MOST || a->k > length)
        return sunup__op_error(
            n, SUNUP_E_ARGUMENT,
            "k is %lld; it must be from 1 to %d and at most the last axis of x %s", (long long)a->k,
            (int)TOP_K_MOST, TEXT(n->in[0]));
    y.d[y.n - 1] = a->k;
    sunup__set_out(n, 0, SUNUP_I32, y);
    return SUNUP_OK;
}

static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 1);
}

struct work {
    const struct exec *e;
    const struct top_k_attr *a;
    sunup_dtype dtype;
    int64_t length;
    struct pieces rows;
};

static void piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = piece_from(&w->rows, i);
    CALL(w->e, w->dtype, top_k, w->a->largest, piece_length(&w->rows, i), w->length, w->a->k,
         element_at(w->e->in[0], w->dtype, from * w->length),
         (int32_t *)w->e->out[0] + from * w->a->k);
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    const sunup_shape *x = &n->in[0]->shape;
    struct work w = {.e = e, .a = n->attr, .dtype = n->in[0]->dtype, .length = x->d[x->n - 1]};
    w.rows = sunup__pieces(sunup__product(x, 0, x->n - 1), w.length, PIECE_ELEMENTS, 0);
    sunup__parallel(e->threads, w.rows.count, piece, &w);
    return SUNUP_OK;
}

sunup_value *sunup_top_k(sunup_value *x, int64_t k, bool largest)
{
    const struct top_k_attr attr = {k, largest};
    return sunup__node(sunup__graph_of(1, &x), &sunup__op_top_k, 1, &x, &attr, 0, NULL);
}

static sunup_value *case_rows(sunup_graph *g)
{
    return sunup_top_k(sunup__case_input(g, "x", SUNUP_SHAPE(3, 5, 7)), 3, true);
}
static sunup_value *case_all(sunup_graph *g)
{
    return sunup_top_k(sunup__case_input(g, "x", SUNUP_SHAPE(11)), 11, false);
}
static sunup_value *case_many(sunup_graph *g)
{
    return sunup_top_k(sunup__case_input(g, "x", SUNUP_SHAPE(2, 300, 128)), 16, false);
}

static const struct op_case cases[] = {
    {"top_k:3x5x7:k3:largest", case_rows},
    {"top_k:11:k11", case_all},
    {"top_k:2x300x128:k16", case_many},
};

const struct op sunup__op_top_k = {
    .name = "top_k",
    .attr_bytes = sizeof(struct top_k_attr),
    .n_out = 1,
    .infer = infer,
    .cost = cost,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
