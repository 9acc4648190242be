/* layer_norm.c - normalisation over the last axes of each row (Ba, Kiros, Hinton, "Layer
 * normalization", 2016).
 *
 * Rows are cut into pieces; a row's numbers do not depend on them. In the gradient each piece has
 * its own sums of dgamma and dbeta, which are added in order.
 */
#include "graph/ops/layer_norm.h"

#include "graph/ops/op.h"
#include "graph/ops/second_order.h"

enum { PIECE_ELEMENTS = 16384, MOST_PIECES = 64 };

/* --- shapes --- */

/* gamma and beta have the shape of the normalised axes. */
static sunup_status check_affine(const struct node *n, int i, const char *name,
                                 const sunup_shape *row)
{
    const sunup_value *v = n->in[i];
    if (!v || sunup__same_shape(&v->shape, row)) return SUNUP_OK;
    return sunup__op_error(n, SUNUP_E_SHAPE, "%s is %s, but the last %d axes of x %s would fit",
                           name, TEXT(v), row->n, TEXT(n->in[0]));
}

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 1));
    struct layer_norm_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    if (a->axes < 1 || a->axes > x->shape.n)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "%d axes of x %s cannot be normalised; 1 to %d can", a->axes,
                               TEXT(x), x->shape.n);
    const int lead = x->shape.n - a->axes;
    sunup_shape row = {a->axes, {0}}, rows = x->shape;
    for (int i = 0; i < a->axes; ++i) row.d[i] = x->shape.d[lead + i];
    rows.n = lead;
    a->rows = sunup__elements(&rows);
    a->n = sunup__elements(&row);
    if (a->n < 1 || !(a->eps >= 0))
        return sunup__op_error(n, SUNUP_E_ARGUMENT,
                               "rows of x %s must not be empty and eps %g not negative", TEXT(x),
                               a->eps);
    TRY(check_affine(n, 1, "gamma", &row));
    TRY(check_affine(n, 2, "beta", &row));
    sunup__set_out(n, 0, x->dtype, x->shape);
    sunup__set_out(n, 1, x->dtype, rows);
    sunup__set_out(n, 2, x->dtype, rows);
    return SUNUP_OK;
}

static sunup_status infer_grad(struct node *n)
{
    const struct layer_norm_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    sunup_shape row = {a->axes, {0}};
    for (int i = 0; i < a->axes; ++i) row.d[i] = x->shape.d[x->shape.n - a->axes + i];
    sunup__set_out(n, 0, x->dtype, x->shape);
    sunup__set_out(n, 1, x->dtype, row);
    sunup__set_out(n, 2, x->dtype, row);
    return SUNUP_OK;
}

/* --- gradients --- */

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (!dy[0]) return; /* only the statistics were used: they are constants to a gradient */
    sunup_value *const in[] = {n->in[0], n->in[1], n->out[1], n->out[2], dy[0]};
    sunup_value *d = sunup__node(n->graph, &sunup__op_layer_norm_grad, 5, in, n->attr, 0, NULL);
    for (int i = 0; i < 3; ++i)
        if (n->in[i] && want[i]) dx[i] = sunup__output(d, i);
}

static sunup_value *elementary(const struct node *n, sunup_value *const *in)
{
    const struct layer_norm_attr *a = n->attr;
    int axes[SUNUP_MAX_DIMS];
    for (int i = 0; i < a->axes; ++i) axes[i] = -1 - i;
    sunup_value *centred = sunup_sub(in[0], sunup_mean(in[0], a->axes, axes, true));
    sunup_value *var = sunup_mean(sunup_square(centred), a->axes, axes, true);
    sunup_value *h = sunup_div(centred, sunup_sqrt(sunup_scale(var, 1, a->eps)));
    return in[1] ? sunup_mul(h, in[1]) : h;
}

static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    sunup__second_order(&(struct second_order){elementary, 4, {0, 1}}, n, g, want, dx);
}

static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 8);
}

/* --- running --- */

struct work {
    const struct exec *e;
    const struct layer_norm_attr *a;
    sunup_dtype dtype;
    struct pieces pieces;
    bool stream;                      /* the result outgrows the caches  */
    void *mean, *rstd;                /* forward: [rows]                 */
    void *dgamma, *dbeta;             /* gradient: [pieces][n], or NULL  */
    void *piece_dgamma, *piece_dbeta; /* one piece's part of them    */
    void *scratch;                    /* [pieces][n]                     */
};

static struct work work_of(const struct node *n, const struct exec *e)
{
    const struct layer_norm_attr *a = n->attr;
    const sunup_dtype dtype = n->out[0]->dtype;
    const bool large = sunup__outgrows_caches(a->rows * a->n * sunup_dtype_bytes(dtype));
    return (struct work){.e = e,
                         .a = a,
                         .dtype = dtype,
                         .pieces = sunup__pieces(a->rows, a->n, PIECE_ELEMENTS, MOST_PIECES),
                         .stream = large && e && e->out[0]};
}

/* Rows [first, first + rows) into y. */
static void norm_rows(const struct work *w, int64_t first, int64_t rows, void *y)
{
    void *const *in = w->e->in;
    const int64_t n = w->a->n;
    void *x = element_at(in[0], w->dtype, first * n);
    void *mean = element_at(w->mean, w->dtype, first), *rstd = element_at(w->rstd, w->dtype, first);
    if (w->dtype == SUNUP_F64)
        w->e->kernels->f64.norm(rows, n, x, in[1], in[2], w->a->eps, w->stream, y, mean, rstd);
    else
        w->e->kernels->f32.norm(rows, n, x, in[1], in[2], (float)w->a->eps, w->stream, y, mean,
                                rstd);
}

static void grad_rows(const struct work *w, int64_t first, int64_t rows, void *dx)
{
    void *const *in = w->e->in;
    const int64_t n = w->a->n;
    CALL(w->e, w->dtype, norm_grad, rows, n, element_at(in[0], w->dtype, first * n), in[1],
         element_at(in[2], w->dtype, first), element_at(in[3], w->dtype, first),
         element_at(in[4], w->dtype, first * n), w->stream, dx, w->piece_dgamma, w->piece_dbeta);
}

/* Piece i by `rows_of`, into the rows of out[0]; if nobody reads that, row by row into the piece's
 * scratch row. */
static void run_piece(const struct work *w, int64_t i,
                      void (*rows_of)(const struct work *w, int64_t first, int64_t rows, void *y))
{
    const int64_t first = piece_from(&w->pieces, i), rows = piece_length(&w->pieces, i),
                  n = w->a->n;
    if (w->e->out[0]) rows_of(w, first, rows, element_at(w->e->out[0], w->dtype, first * n));
    for (int64_t r = 0; r < rows && !w->e->out[0]; ++r)
        rows_of(w, first + r, 1, element_at(w->scratch, w->dtype, i * n));
}

static void norm_piece(void *arg, int64_t i)
{
    run_piece(arg, i, norm_rows);
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct work w = work_of(n, e);
    w.mean = e->out[1] ? e->out[1] : e->workspace;
    w.rstd = e->out[2] ? e->out[2] : element_at(e->workspace, w.dtype, w.a->rows);
    w.scratch = element_at(e->workspace, w.dtype, 2 * w.a->rows);
    sunup__parallel(e->threads, w.pieces.count, norm_piece, &w);
    return SUNUP_OK;
}

static int64_t workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct work w = work_of(n, NULL);
    return (2 * w.a->rows + w.pieces.count * w.a->n) * sunup_dtype_bytes(w.dtype);
}

static void grad_piece(void *arg, int64_t i)
{
    struct work w = *(const struct work *)arg;
    w.piece_dgamma = element_at(w.dgamma, w.dtype, i * w.a->n);
    w.piece_dbeta = element_at(w.dbeta, w.dtype, i * w.a->n);
    if (w.dgamma) sunup__zero(w.piece_dgamma, w.dtype, w.a->n);
    if (w.dbeta) sunup__zero(w.piece_dbeta, w.dtype, w.a->n);
    run_piece(&w, i, grad_rows);
}

static sunup_status run_grad(const struct node *n, const struct exec *e)
{
    struct work w = work_of(n, e);
    const int64_t parts = w.pieces.count * w.a->n;
    if (e->out[1]) w.dgamma = e->workspace;
    if (e->out[2]) w.dbeta = element_at(e->workspace, w.dtype, parts);
    w.scratch = element_at(e->workspace, w.dtype, 2 * parts);
    sunup__parallel(e->threads, w.pieces.count, grad_piece, &w);
    for (int i = 1; i <= 2; ++i)
        if (e->out[i])
            CALL(e, w.dtype, reduce, REDUCE_SUM, 1, w.pieces.count, w.a->n,
                 i == 1 ? w.dgamma : w.dbeta, e->out[i]);
    return SUNUP_OK;
}

static int64_t grad_workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct work w = work_of(n, NULL);
    return 3 * w.pieces.count * w.a->n * sunup_dtype_bytes(w.dtype);
}

sunup_value *sunup_layer_norm(sunup_value *x, sunup_value *gamma, sunup_value *beta, int n_axes,
                              double eps)
{
    sunup_value *const in[] = {x, gamma, beta};
    const struct layer_norm_attr attr = {.axes = n_axes, .eps = eps};
    return sunup__node(sunup__graph_of(3, in), &sunup__op_layer_norm, 3, in, &attr, 0, NULL);
}

/* --- cases --- */

static sunup_value *build(sunup_graph *g, sunup_shape x, sunup_shape row, bool affine)
{
    return sunup_layer_norm(sunup__case_input(g, "x", x),
                            affine ? sunup__case_input(g, "gamma", row) : NULL,
                            affine ? sunup__case_input(g, "beta", row) : NULL, row.n, 1e-3);
}
static sunup_value *case_rows(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(5, 17), SUNUP_SHAPE(17), true);
}
static sunup_value *case_two(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(2, 3, 5, 4), SUNUP_SHAPE(5, 4), true);
}
static sunup_value *case_plain(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 2, 7), SUNUP_SHAPE(7), false);
}
static sunup_value *case_whole(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 5), SUNUP_SHAPE(3, 5), true);
}
static sunup_value *case_grad(sunup_graph *g)
{
    sunup_value *y = build(g, SUNUP_SHAPE(3, 5), SUNUP_SHAPE(5), true), *d;
    if (sunup__is_poison(y)) return y;
    sunup_gradient_from(y, sunup__case_input(g, "dy", y->shape), 1, &y->node->in[0], &d);
    return d;
}

static const struct op_case cases[] = {
    {"layer_norm:n5c17", case_rows},
    {"layer_norm:n2d3h5w4:axes2", case_two},
    {"layer_norm:n3w2c7:plain", case_plain},
    {"layer_norm:n3c5:axes2", case_whole},
};
static const struct op_case grad_cases[] = {{"layer_norm_grad:n3c5", case_grad}};

const struct op sunup__op_layer_norm = {
    .name = "layer_norm",
    .attr_bytes = sizeof(struct layer_norm_attr),
    .n_out = 3,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .workspace = workspace,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .attr_bytes = sizeof(struct layer_norm_attr),
    .n_out = 3,
    .infer = infer_grad,
    .grad = grad_grad,
    .cost = cost,
    .workspace = grad_workspace,
    .run = run_grad,
    .cases = grad_cases,
    .n_cases = sizeof grad_cases / sizeof *grad_cases,
};
