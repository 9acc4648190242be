/* cross_entropy.c - mean cross-entropy of class labels, with class weights and label smoothing, as
 * PyTorch defines it:
 *
 *   q_j  = (1 - s) w_t [j = t] + (s / n) w_j            t the label of a row, n classes
 *   loss = sum over rows of (- sum_j q_j log softmax(x)_j) / sum over rows of w_t
 *
 * The divisor is an output of its own, for the gradient. Row losses are added in f64, in pieces of
 * rows that follow from the sizes alone. A label outside [0, classes) is found when it runs: an
 * error that says where, never a NaN.
 */
#include "graph/ops/cross_entropy.h"

#include <stdatomic.h>

#include "graph/ops/op.h"
#include "graph/ops/second_order.h"

enum { PIECE_ELEMENTS = 16384 };

/* --- shapes --- */

static sunup_status check_operands(const struct node *n)
{
    static const int floats[] = {0, 2};
    for (int k = 0; k < 2; ++k) {
        const sunup_value *v = n->in[floats[k]];
        if (v && (!sunup__is_float(v->dtype) || v->dtype != n->in[0]->dtype))
            return sunup__op_error(
                n, SUNUP_E_SHAPE,
                "%s %s has type %s; logits and weight must both be f32 or both f64",
                k ? "weight" : "logits", TEXT(v), sunup_dtype_name(v->dtype));
    }
    return sunup__integers(n, 1, "label");
}

static sunup_status infer(struct node *n)
{
    struct cross_entropy_attr *a = n->attr;
    const sunup_value *x = n->in[0], *label = n->in[1];
    if (!x) return sunup__op_error(n, SUNUP_E_ARGUMENT, "the logits are missing (NULL)");
    TRY(check_operands(n));
    sunup_shape rows = x->shape;
    rows.n = x->shape.n - 1;
    if (x->shape.n < 1 || !sunup__same_shape(&rows, &label->shape))
        return sunup__op_error(
            n, SUNUP_E_SHAPE,
            "label %s does not fit logits %s: it must have the same axes without "
            "the last, the classes",
            TEXT(label), TEXT(x));
    a->rows = sunup__elements(&rows);
    a->classes = x->shape.d[x->shape.n - 1];
    if (a->rows < 1 || a->classes < 1)
        return sunup__op_error(
            n, SUNUP_E_SHAPE, "logits %s have no rows or no classes, so there is no mean", TEXT(x));
    if (!(a->smoothing >= 0 && a->smoothing < 1))
        return sunup__op_error(n, SUNUP_E_ARGUMENT, "smoothing %g must be in [0, 1)", a->smoothing);
    TRY(sunup__vector(n, 2, "weight", a->classes, "for each class"));
    sunup__set_out(n, 0, x->dtype, SUNUP_SCALAR);
    sunup__set_out(n, 1, x->dtype, SUNUP_SCALAR);
    return SUNUP_OK;
}

static sunup_status infer_grad(struct node *n)
{
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    return SUNUP_OK;
}

/* --- gradients --- */

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (!dy[0]) return;
    sunup_value *const in[] = {n->in[0], n->in[1], n->in[2], n->out[1], dy[0]};
    if (want[0])
        dx[0] = sunup__node(n->graph, &sunup__op_cross_entropy_grad, 5, in, n->attr, 0, NULL);
    if (n->in[2] && want[2]) {
        sunup__op_error(n, SUNUP_E_UNSUPPORTED,
                        "class weights have no gradient; they are constants");
        dx[2] = n->graph->poison;
    }
}

/* [classes] 0, 1, .. in x's type, from i32 so that one array serves both types. */
static sunup_value *class_numbers(const sunup_value *x, int64_t classes)
{
    int32_t *number = sunup__arena_alloc(&x->node->graph->arena, (size_t)classes * sizeof *number);
    if (!number)
        return sunup__graph_error(x->node->graph, SUNUP_E_MEMORY,
                                  "not enough memory to build the graph");
    for (int64_t j = 0; j < classes; ++j) number[j] = (int32_t)j;
    return sunup_cast(sunup_constant(x->node->graph, SUNUP_I32, SUNUP_SHAPE(classes), number),
                      x->dtype);
}

static sunup_value *elementary(const struct node *n, sunup_value *const *in)
{
    const struct cross_entropy_attr *a = n->attr;
    sunup_value *x = sunup_reshape(in[0], SUNUP_SHAPE(a->rows, a->classes));
    sunup_value *label = sunup_cast(sunup_reshape(in[1], SUNUP_SHAPE(a->rows, 1)), in[0]->dtype);
    sunup_value *target = sunup_compare(label, class_numbers(in[0], a->classes), SUNUP_EQ);
    sunup_value *q = sunup_scale(target, 1 - a->smoothing, a->smoothing / (double)a->classes);
    if (in[2]) q = sunup_mul(q, in[2]);
    sunup_value *sum = sunup_sum(sunup_mul(q, sunup_log_softmax(x, -1)), 0, NULL, false);
    return sunup_neg(sunup_div(sum, in[3]));
}

static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    sunup__second_order(&(struct second_order){elementary, 4, {0, -1}}, n, g, want, dx);
}

static struct cost cost(const struct node *n)
{
    return sunup__cost_each(n, 14);
}

/* --- running --- */

struct work {
    const struct exec *e;
    const struct cross_entropy_attr *a;
    sunup_dtype dtype;
    struct pieces pieces;
    void *loss, *scale;   /* [rows] */
    struct total *totals; /* [pieces] */
    atomic_bool *misfit;  /* a label is outside [0, classes) */
    double factor;
};
struct total {
    double loss, scale;
};

static struct work work_of(const struct node *n, const struct exec *e)
{
    const struct cross_entropy_attr *a = n->attr;
    return (struct work){.e = e,
                         .a = a,
                         .dtype = n->out[0]->dtype,
                         .pieces = sunup__pieces(a->rows, a->classes, PIECE_ELEMENTS, 0)};
}

static void note_labels(const struct work *w, int64_t rows, const int32_t *label)
{
    const uint32_t classes = (uint32_t)w->a->classes;
    int misfit = 0;
    for (int64_t i = 0; i < rows; ++i) misfit |= (uint32_t)label[i] >= classes;
    if (misfit) atomic_store(w->misfit, true);
}

/* The first label outside, if there is one. */
static sunup_status check_labels(const struct node *n, const struct work *w)
{
    const struct cross_entropy_attr *a = n->attr;
    const int32_t *label = w->e->in[1];
    for (int64_t i = 0; i < a->rows && atomic_load(w->misfit); ++i)
        CHECK(label[i] >= 0 && label[i] < a->classes, w->e->ctx, E_ARGUMENT,
              "cross_entropy '%s': label number %lld of "
              "this batch is %d, but there are %lld classes, 0 to %lld; check the labels or the "
              "last layer's width",
              n->layer, (long long)i, (int)label[i], (long long)a->classes,
              (long long)(a->classes - 1));
    return SUNUP_OK;
}

/* By 4 partial sums, so that one addition need not wait for the one before. */
static double sum_of(const void *x, sunup_dtype dtype, int64_t n)
{
    enum { LANES = 4 };
    double part[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; ++l) part[l] += element_get(x, dtype, i + l);
    for (; i < n; ++i) part[0] += element_get(x, dtype, i);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

static void loss_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    void *const *in = w->e->in;
    const int64_t row = piece_from(&w->pieces, i), rows = piece_length(&w->pieces, i),
                  n = w->a->classes;
    const int32_t *label = (const int32_t *)in[1] + row;
    void *x = element_at(in[0], w->dtype, row * n), *loss = element_at(w->loss, w->dtype, row);
    void *scale = element_at(w->scale, w->dtype, row);
    note_labels(w, rows, label);
    if (w->dtype == SUNUP_F64)
        w->e->kernels->f64.cross_entropy(rows, n, x, label, in[2], w->a->smoothing, loss, scale);
    else
        w->e->kernels->f32.cross_entropy(rows, n, x, label, in[2], (float)w->a->smoothing, loss,
                                         scale);
    w->totals[i] = (struct total){sum_of(loss, w->dtype, rows), sum_of(scale, w->dtype, rows)};
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct work w = work_of(n, e);
    atomic_bool misfit = false;
    w.misfit = &misfit;
    w.totals = e->workspace;
    w.loss = w.totals + w.pieces.count;
    w.scale = element_at(w.loss, w.dtype, w.a->rows);
    sunup__parallel(e->threads, w.pieces.count, loss_piece, &w);
    TRY(check_labels(n, &w));
    double loss = 0, divisor = 0;
    for (int64_t i = 0; i < w.pieces.count; ++i) {
        loss += w.totals[i].loss;
        divisor += w.totals[i].scale;
    }
    if (e->out[0]) element_set(e->out[0], w.dtype, 0, loss / divisor);
    if (e->out[1]) element_set(e->out[1], w.dtype, 0, divisor);
    return SUNUP_OK;
}

static int64_t workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct cross_entropy_attr *a = n->attr;
    const struct pieces pieces = sunup__pieces(a->rows, a->classes, PIECE_ELEMENTS, 0);
    return pieces.count * (int64_t)sizeof(struct total) +
           2 * a->rows * sunup_dtype_bytes(n->out[0]->dtype);
}

static void grad_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    void *const *in = w->e->in;
    const int64_t row = piece_from(&w->pieces, i), rows = piece_length(&w->pieces, i),
                  n = w->a->classes;
    const int32_t *label = (const int32_t *)in[1] + row;
    void *x = element_at(in[0], w->dtype, row * n),
         *dx = element_at(w->e->out[0], w->dtype, row * n);
    note_labels(w, rows, label);
    if (w->dtype == SUNUP_F64)
        w->e->kernels->f64.cross_entropy_grad(rows, n, x, label, in[2], w->a->smoothing, w->factor,
                                              dx);
    else
        w->e->kernels->f32.cross_entropy_grad(rows, n, x, label, in[2], (float)w->a->smoothing,
                                              (float)w->factor, dx);
}

static sunup_status run_grad(const struct node *n, const struct exec *e)
{
    struct work w = work_of(n, e);
    atomic_bool misfit = false;
    w.misfit = &misfit;
    w.factor = element_get(e->in[4], w.dtype, 0) / element_get(e->in[3], w.dtype, 0);
    sunup__parallel(e->threads, w.pieces.count, grad_piece, &w);
    return check_labels(n, &w);
}

sunup_value *sunup_cross_entropy(sunup_value *logits, sunup_value *label, sunup_value *weight,
                                 double smoothing)
{
    sunup_value *const in[] = {logits, label, weight};
    const struct cross_entropy_attr attr = {.smoothing = smoothing};
    return sunup__node(sunup__graph_of(3, in), &sunup__op_cross_entropy, 3, in, &attr, 0, NULL);
}

/* --- cases --- */

static const double class_weight[] = {1, 0.5, 2, 0.25, 3};

static sunup_value *build(sunup_graph *g, sunup_shape rows, bool weighted, double smoothing)
{
    enum { CLASSES = 5 };
    sunup_shape x = rows;
    x.d[x.n++] = CLASSES;
    sunup_value *weight = sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(CLASSES), class_weight);
    return sunup_cross_entropy(sunup__case_input(g, "logits", x),
                               sunup__case_range(g, "label", SUNUP_I32, rows, 0, CLASSES),
                               weighted ? sunup_cast(weight, sunup_graph_dtype(g)) : NULL,
                               smoothing);
}
static sunup_value *case_plain(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(7), false, 0);
}
static sunup_value *case_weighted(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 5), true, 0);
}
static sunup_value *case_smooth(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(2, 3, 2), true, 0.1);
}
static sunup_value *case_one(sunup_graph *g)
{
    return build(g, SUNUP_SCALAR, false, 0.3);
}
static sunup_value *case_grad(sunup_graph *g)
{
    sunup_value *loss = build(g, SUNUP_SHAPE(3), true, 0.1), *d;
    if (sunup__is_poison(loss)) return loss;
    sunup_gradient_from(loss, sunup__case_input(g, "dloss", SUNUP_SCALAR), 1, &loss->node->in[0],
                        &d);
    return d;
}

static const struct op_case cases[] = {
    {"cross_entropy:n7c5", case_plain},
    {"cross_entropy:n3w5c5:weight", case_weighted},
    {"cross_entropy:n2h3w2c5:weight:smoothing0.1", case_smooth},
    {"cross_entropy:c5:smoothing0.3:no-rows-axis", case_one},
};
static const struct op_case grad_cases[] = {
    {"cross_entropy_grad:n3c5:weight:smoothing0.1", case_grad}};

const struct op sunup__op_cross_entropy = {
    .name = "cross_entropy",
    .attr_bytes = sizeof(struct cross_entropy_attr),
    .n_out = 2,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .workspace = workspace,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};

const struct op sunup__op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .attr_bytes = sizeof(struct cross_entropy_attr),
    .n_out = 1,
    .infer = infer_grad,
    .grad = grad_grad,
    .cost = cost,
    .run = run_grad,
    .cases = grad_cases,
    .n_cases = sizeof grad_cases / sizeof *grad_cases,
};
