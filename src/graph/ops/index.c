/* index.c - rows of a table by index (embedding) and its adjoint, rows added into a table.
 *
 *   gather       in: table [rows, width], index [..]   out: y [.., width]
 *   scatter_add  in: x [.., width], index [..]         out: y [rows, width]
 *
 * Each is the other's gradient. Repeated indices are added in the order of x, whoever does it: a
 * task owns a range of rows and reads all of the index. An index outside the table is found when it
 * runs: an error that says where.
 */
#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 16384, ROW_RANGES = 32 };

struct index_attr {
    int64_t rows; /* of the table */
};

/* --- shapes --- */

static sunup_status infer_gather(struct node *n)
{
    struct index_attr *a = n->attr;
    const sunup_value *table = n->in[0], *index = n->in[1];
    if (!table || !sunup__is_float(table->dtype) || table->shape.n != 2)
        return sunup__op_error(n, SUNUP_E_SHAPE, "table %s must be [rows, width], f32 or f64",
                               table ? TEXT(table) : "(NULL)");
    TRY(sunup__integers(n, 1, "index"));
    if (index->shape.n >= SUNUP_MAX_DIMS)
        return sunup__op_error(n, SUNUP_E_SHAPE, "index %s has %d axes, at most %d fit",
                               TEXT(index), index->shape.n, SUNUP_MAX_DIMS - 1);
    a->rows = table->shape.d[0];
    sunup_shape y = index->shape;
    y.d[y.n++] = table->shape.d[1];
    sunup__set_out(n, 0, table->dtype, y);
    return SUNUP_OK;
}

static sunup_status infer_scatter_add(struct node *n)
{
    const struct index_attr *a = n->attr;
    const sunup_value *x = n->in[0], *index = n->in[1];
    if (!x || !sunup__is_float(x->dtype) || x->shape.n < 1)
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s must be [.., width], f32 or f64",
                               x ? TEXT(x) : "(NULL)");
    TRY(sunup__integers(n, 1, "index"));
    sunup_shape lead = x->shape;
    lead.n--;
    if (!sunup__same_shape(&lead, &index->shape))
        return sunup__op_error(n, SUNUP_E_SHAPE, "index %s must have the axes of x %s but the last",
                               TEXT(index), TEXT(x));
    if (a->rows < 0) return sunup__op_error(n, SUNUP_E_ARGUMENT, "%lld rows", (long long)a->rows);
    sunup__set_out(n, 0, x->dtype, SUNUP_SHAPE(a->rows, x->shape.d[x->shape.n - 1]));
    return SUNUP_OK;
}

/* --- gradients --- */

static void grad_gather(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_scatter_add(dy[0], n->in[1], n->in[0]->shape.d[0]);
}

static void grad_scatter_add(struct node *n, sunup_value *const *dy, const bool *want,
                             sunup_value **dx)
{
    if (want[0]) dx[0] = sunup_gather(dy[0], n->in[1]);
}

/* Only the rows that the index names are read. */
static struct cost cost_gather(const struct node *n)
{
    const double y_bytes =
        (double)(sunup__elements(&n->out[0]->shape) * sunup_dtype_bytes(n->out[0]->dtype));
    return (struct cost){0, 2 * y_bytes + 4 * (double)sunup__elements(&n->in[1]->shape)};
}

static struct cost cost_scatter_add(const struct node *n)
{
    return sunup__cost_each(n, 1);
}

/* --- running --- */

struct work {
    const struct exec *e;
    sunup_dtype dtype;
    const int32_t *index;
    int64_t n, rows, width;
    struct pieces pieces; /* of the index (gather) or of the table's rows (scatter_add) */
};

/* The whole index is checked before anything is written. */
static sunup_status work_of(const struct node *n, const struct exec *e, struct work *w)
{
    const sunup_shape *y = &n->out[0]->shape;
    *w = (struct work){.e = e,
                       .dtype = n->out[0]->dtype,
                       .index = e->in[1],
                       .n = sunup__elements(&n->in[1]->shape),
                       .rows = ((const struct index_attr *)n->attr)->rows,
                       .width = y->d[y->n - 1]};
    for (int64_t i = 0; i < w->n; ++i)
        CHECK(w->index[i] >= 0 && w->index[i] < w->rows, e->ctx, E_ARGUMENT,
              "%s '%s': index number %lld of this batch "
              "is %d, but the table has %lld rows",
              n->op->name, n->layer, (long long)i, (int)w->index[i], (long long)w->rows);
    return SUNUP_OK;
}

static void gather_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = piece_from(&w->pieces, i);
    CALL(w->e, w->dtype, gather, piece_length(&w->pieces, i), w->rows, w->width, w->e->in[0],
         w->index + from, element_at(w->e->out[0], w->dtype, from * w->width));
}

static sunup_status run_gather(const struct node *n, const struct exec *e)
{
    struct work w;
    TRY(work_of(n, e, &w));
    w.pieces = sunup__pieces(w.n, w.width, PIECE_ELEMENTS, 0);
    sunup__parallel(e->threads, w.pieces.count, gather_piece, &w);
    return SUNUP_OK;
}

static void scatter_range(void *arg, int64_t i)
{
    const struct work *w = arg;
    const int64_t from = piece_from(&w->pieces, i), to = from + piece_length(&w->pieces, i);
    sunup__zero(element_at(w->e->out[0], w->dtype, from * w->width), w->dtype,
                (to - from) * w->width);
    CALL(w->e, w->dtype, scatter_add, w->n, from, to, w->width, w->e->in[0], w->index,
         w->e->out[0]);
}

static sunup_status run_scatter_add(const struct node *n, const struct exec *e)
{
    struct work w;
    TRY(work_of(n, e, &w));
    w.pieces = sunup__pieces(w.rows, w.width, PIECE_ELEMENTS, ROW_RANGES);
    sunup__parallel(e->threads, w.pieces.count, scatter_range, &w);
    return SUNUP_OK;
}

/* --- public --- */

sunup_value *sunup_gather(sunup_value *table, sunup_value *index)
{
    sunup_value *const in[] = {table, index};
    const struct index_attr attr = {0};
    return sunup__node(sunup__graph_of(2, in), &sunup__op_gather, 2, in, &attr, 0, NULL);
}

sunup_value *sunup_scatter_add(sunup_value *x, sunup_value *index, int64_t rows)
{
    sunup_value *const in[] = {x, index};
    const struct index_attr attr = {rows};
    return sunup__node(sunup__graph_of(2, in), &sunup__op_scatter_add, 2, in, &attr, 0, NULL);
}

/* --- cases --- */

static sunup_value *gather_case(sunup_graph *g, int64_t rows, int64_t width, sunup_shape index)
{
    return sunup_gather(sunup__case_input(g, "table", SUNUP_SHAPE(rows, width)),
                        sunup__case_range(g, "index", SUNUP_I32, index, 0, (double)rows));
}
static sunup_value *gather_plane(sunup_graph *g)
{
    return gather_case(g, 7, 5, SUNUP_SHAPE(3, 4));
}
static sunup_value *gather_repeats(sunup_graph *g)
{
    return gather_case(g, 2, 3, SUNUP_SHAPE(11));
}
static sunup_value *gather_one(sunup_graph *g)
{
    return gather_case(g, 5, 1, SUNUP_SCALAR);
}

static sunup_value *scatter_case(sunup_graph *g, sunup_shape index, int64_t rows, int64_t width)
{
    sunup_shape x = index;
    x.d[x.n++] = width;
    return sunup_scatter_add(sunup__case_input(g, "x", x),
                             sunup__case_range(g, "index", SUNUP_I32, index, 0, (double)rows),
                             rows);
}
static sunup_value *scatter_plane(sunup_graph *g)
{
    return scatter_case(g, SUNUP_SHAPE(3, 4), 7, 5);
}
static sunup_value *scatter_many(sunup_graph *g)
{
    return scatter_case(g, SUNUP_SHAPE(13), 101, 3);
}

static const struct op_case gather_cases[] = {
    {"gather:rows7w5:3x4", gather_plane},
    {"gather:rows2w3:11", gather_repeats},
    {"gather:rows5w1:scalar", gather_one},
};
static const struct op_case scatter_cases[] = {
    {"scatter_add:3x4w5:rows7", scatter_plane},
    {"scatter_add:13w3:rows101", scatter_many},
};

const struct op sunup__op_gather = {
    .name = "gather",
    .attr_bytes = sizeof(struct index_attr),
    .n_out = 1,
    .infer = infer_gather,
    .grad = grad_gather,
    .cost = cost_gather,
    .run = run_gather,
    .cases = gather_cases,
    .n_cases = sizeof gather_cases / sizeof *gather_cases,
};

const struct op sunup__op_scatter_add = {
    .name = "scatter_add",
    .attr_bytes = sizeof(struct index_attr),
    .n_out = 1,
    .infer = infer_scatter_add,
    .grad = grad_scatter_add,
    .cost = cost_scatter_add,
    .run = run_scatter_add,
    .cases = scatter_cases,
    .n_cases = sizeof scatter_cases / sizeof *scatter_cases,
};
