/* gather_rows.c - rows of each sample by an index of its own (neighbours in a cloud of points), and its
 * adjoint.
 *
 *   gather_rows   in: x [N, P, C], index [N, ..]    out: y [N, .., C]
 *   scatter_rows  in: y [N, .., C], index [N, ..]   out: x [N, P, C], rows added
 *
 * Each is the other's gradient. Repeated indices are added in the order of y, whoever does it: a task
 * owns a range of rows of one sample. An index outside is found when it runs, as in index.c.
 */
#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384, ROW_RANGES = 32, ENOUGH_SAMPLES = 32 };

struct rows_attr {
    int64_t rows; /* P; scatter_rows: as given */
};

/* --- shapes --- */

static sunup_status infer_gather(struct node *n)
{
    struct rows_attr *a = n->attr;
    const sunup_value *x = n->in[0], *index = n->in[1];
    if (!x || !sunup__is_float(x->dtype) || x->shape.n != 3)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s must be [samples, rows, width], f32 or f64",
                               x ? TEXT(x) : "(NULL)");
    TRY(sunup__integers(n, 1, "index"));
    if (index->shape.n < 1 || index->shape.n >= SUNUP_MAX_DIMS ||
        index->shape.d[0] != x->shape.d[0])
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "index %s must be [samples, ..] for x %s, with %d axes at most",
                               TEXT(index), TEXT(x), SUNUP_MAX_DIMS - 1);
    a->rows = x->shape.d[1];
    sunup_shape y = index->shape;
    y.d[y.n++] = x->shape.d[2];
    sunup__set_out(n, 0, x->dtype, y);
    return SUNUP_OK;
}

static sunup_status infer_scatter(struct node *n)
{
    const struct rows_attr *a = n->attr;
    const sunup_value *y = n->in[0], *index = n->in[1];
    if (!y || !sunup__is_float(y->dtype) || y->shape.n < 2)
        return sunup__op_error(n, SUNUP_E_SHAPE, "y %s must be [samples, .., width], f32 or f64",
                               y ? TEXT(y) : "(NULL)");
    TRY(sunup__integers(n, 1, "index"));
    sunup_shape lead = y->shape;
    lead.n--;
    if (!sunup__same_shape(&lead, &index->shape))
        return sunup__op_error(n, SUNUP_E_SHAPE, "index %s must have the axes of y %s but the last",
                               TEXT(index), TEXT(y));
    sunup__set_out(n, 0, y->dtype, SUNUP_SHAPE(lead.d[0], a->rows, y->shape.d[lead.n]));
    return SUNUP_OK;
}

/* --- gradients --- */

static sunup_value *scatter(sunup_value *y, sunup_value *index, int64_t rows)
{
    sunup_value *const in[] = {y, index};
    const struct rows_attr attr = {rows};
    return sunup__node(sunup__graph_of(2, in), &sunup__op_scatter_rows, 2, in, &attr, 0, NULL);
}

static void grad_gather(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = scatter(dy[0], n->in[1], n->in[0]->shape.d[1]);
}

static void grad_scatter(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_gather_rows(dy[0], n->in[1]);
}

static struct cost cost_gather(const struct node *n)
{
    return (struct cost){0, sunup__moved_bytes(n)};
}

static struct cost cost_scatter(const struct node *n)
{
    return sunup__cost_each(n, 1);
}

/* --- running --- */

struct work {
    const struct exec *e;
    sunup_dtype dtype;
    const int32_t *index;
    int64_t samples, n, rows, width; /* n: indices of a sample                          */
    struct pieces pieces;            /* of a sample's indices (gather) or rows (scatter) */
};

/* The whole index is checked before anything is written. */
static sunup_status work_of(const struct node *n, const struct exec *e, struct work *w)
{
    const sunup_value *index = n->in[1];
    const sunup_shape *y = &n->out[0]->shape;
    *w = (struct work){.e = e,
                       .dtype = n->out[0]->dtype,
                       .index = e->in[1],
                       .samples = index->shape.d[0],
                       .n = sunup__product(&index->shape, 1, index->shape.n),
                       .rows = ((const struct rows_attr *)n->attr)->rows,
                       .width = y->d[y->n - 1]};
    for (int64_t i = 0; i < w->samples * w->n; ++i)
        CHECK(w->index[i] >= 0 && w->index[i] < w->rows, e->ctx, E_ARGUMENT,
              "%s '%s': index %lld of sample %lld of this batch is %d, but there are %lld rows",
              n->op->name, n->layer, (long long)(i % w->n), (long long)(i / w->n), (int)w->index[i],
              (long long)w->rows);
    return SUNUP_OK;
}

static void gather_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t sample = i / w->pieces.count, piece = i % w->pieces.count;
    const int64_t from = sample * w->n + piece_from(&w->pieces, piece);
    CALL(w->e, w->dtype, gather, piece_length(&w->pieces, piece), w->rows, w->width,
         element_at(w->e->in[0], w->dtype, sample * w->rows * w->width), w->index + from,
         element_at(w->e->out[0], w->dtype, from * w->width));
}

static sunup_status run_gather(const struct node *n, const struct exec *e)
{
    struct work w;
    TRY(work_of(n, e, &w));
    w.pieces = sunup__pieces(w.n, w.width, PIECE_ELEMENTS, 0);
    sunup__parallel(e->threads, w.samples * w.pieces.count, gather_piece, &w);
    return SUNUP_OK;
}

static void scatter_range(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t sample = i / w->pieces.count, piece = i % w->pieces.count;
    const int64_t from = piece_from(&w->pieces, piece), to = from + piece_length(&w->pieces, piece);
    void *y = element_at(w->e->out[0], w->dtype, sample * w->rows * w->width);
    sunup__zero(element_at(y, w->dtype, from * w->width), w->dtype, (to - from) * w->width);
    CALL(w->e, w->dtype, scatter_add, w->n, from, to, w->width,
         element_at(w->e->in[0], w->dtype, sample * w->n * w->width), w->index + sample * w->n, y);
}

static sunup_status run_scatter(const struct node *n, const struct exec *e)
{
    struct work w;
    TRY(work_of(n, e, &w));
    const int64_t ranges = w.samples >= ENOUGH_SAMPLES ? 1 : ROW_RANGES;
    w.pieces = sunup__pieces(w.rows, w.width, PIECE_ELEMENTS, ranges);
    sunup__parallel(e->threads, w.samples * w.pieces.count, scatter_range, &w);
    return SUNUP_OK;
}

/* --- public --- */

sunup_value *sunup_gather_rows(sunup_value *x, sunup_value *index)
{
    sunup_value *const in[] = {x, index};
    const struct rows_attr attr = {0};
    return sunup__node(sunup__graph_of(2, in), &sunup__op_gather_rows, 2, in, &attr, 0, NULL);
}

/* --- cases --- */

static sunup_value *index_of(sunup_graph *g, sunup_shape shape, int64_t rows)
{
    return sunup__case_range(g, "index", SUNUP_I32, shape, 0, (double)rows);
}
static sunup_value *gather_neighbours(sunup_graph *g)
{
    return sunup_gather_rows(sunup__case_input(g, "x", SUNUP_SHAPE(2, 7, 5)),
                             index_of(g, SUNUP_SHAPE(2, 7, 3), 7));
}
static sunup_value *gather_one(sunup_graph *g)
{
    return sunup_gather_rows(sunup__case_input(g, "x", SUNUP_SHAPE(3, 2, 1)),
                             index_of(g, SUNUP_SHAPE(3), 2));
}
static sunup_value *scatter_neighbours(sunup_graph *g)
{
    return scatter(sunup__case_input(g, "y", SUNUP_SHAPE(2, 4, 3, 5)),
                   index_of(g, SUNUP_SHAPE(2, 4, 3), 6), 6);
}
static sunup_value *scatter_wide(sunup_graph *g)
{
    return scatter(sunup__case_input(g, "y", SUNUP_SHAPE(1, 61, 701)),
                   index_of(g, SUNUP_SHAPE(1, 61), 53), 53);
}

static const struct op_case gather_cases[] = {
    {"gather_rows:2x7x5:2x7x3", gather_neighbours},
    {"gather_rows:3x2x1:3", gather_one},
};
static const struct op_case scatter_cases[] = {
    {"scatter_rows:2x4x3x5:rows6", scatter_neighbours},
    {"scatter_rows:1x61x701:rows53", scatter_wide},
};

const struct op sunup__op_gather_rows = {
    .name = "gather_rows",
    .attr_bytes = sizeof(struct rows_attr),
    .n_out = 1,
    .infer = infer_gather,
    .grad = grad_gather,
    .cost = cost_gather,
    .run = run_gather,
    .cases = gather_cases,
    .n_cases = sizeof gather_cases / sizeof *gather_cases,
};

const struct op sunup__op_scatter_rows = {
    .name = "scatter_rows",
    .attr_bytes = sizeof(struct rows_attr),
    .n_out = 1,
    .infer = infer_scatter,
    .grad = grad_scatter,
    .cost = cost_scatter,
    .run = run_scatter,
    .cases = scatter_cases,
    .n_cases = sizeof scatter_cases / sizeof *scatter_cases,
};
