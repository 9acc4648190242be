/* upsample.c - space made finer by whole factors, nearest or linear, and its adjoint.
 *
 *   upsample       in: x [N, space.., C]    out: y [N, space * factor.., C]
 *   upsample_grad  in: dy                   out: dx
 *
 * Linear in each axis alone, so a row of y along W is at most four rows of x added with weights (the
 * axes before W), which W then makes finer; a row of dx is made the other way round from the rows of
 * dy that see it. Rows are gathered, never scattered: each is one chain of sums, whoever makes it.
 * The place of new points is in kernels/upsample.h.
 */
#include "kernels/upsample.h"
#include "base/integers.h"
#include "graph/ops/axes.h"
#include "graph/ops/op.h"
#include "graph/ops/window.h"

/* A y that no cache holds goes past them, by way of the scratch: on Zen 5 half the time at 205 MB, the
 * same at 134 MB, but twice as long at 67 MB. */
enum { TASKS_PER_THREAD = 4, ROWS_AT_ONCE = 32, STREAM_BYTES = 128 << 20 };

/* --- shapes --- */

static sunup_status check_attr(const struct node *n)
{
    const struct upsample_attr *a = n->attr;
    TRY(sunup__floats(n, 1));
    if (n->in[0]->shape.n < 3 || n->in[0]->shape.n > 5)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "x %s must be [N, W, C], [N, H, W, C] or [N, D, H, W, C]",
                               TEXT(n->in[0]));
    for (int i = 3 - a->space; i < 3; i++)
        if (a->factor[i] < 1 || a->factor[i] > INT32_MAX)
            return sunup__op_error(n, SUNUP_E_ARGUMENT, "factor %lld of axis %c must be 1 or more",
                                   (long long)a->factor[i], "DHW"[i]);
    return SUNUP_OK;
}

static sunup_status infer(struct node *n)
{
    TRY(check_attr(n));
    const struct upsample_attr *a = n->attr;
    sunup_shape y = n->in[0]->shape;
    for (int i = 0; i < a->space; i++) {
        const int64_t factor = a->factor[3 - a->space + i];
        if (y.d[i + 1] > INT64_MAX / factor)
            return sunup__op_error(n, SUNUP_E_SHAPE, "%lld rows times %lld do not fit",
                                   (long long)y.d[i + 1], (long long)factor);
        y.d[i + 1] *= factor;
    }
    if (!sunup__shape_ok(&y))
        return sunup__op_error(n, SUNUP_E_SHAPE, "x %s so much finer does not fit", TEXT(n->in[0]));
    sunup__set_out(n, 0, n->in[0]->dtype, y);
    return SUNUP_OK;
}

static sunup_status infer_grad(struct node *n)
{
    TRY(check_attr(n));
    const struct upsample_attr *a = n->attr;
    sunup_shape x = n->in[0]->shape;
    for (int i = 0; i < a->space; i++) {
        const int64_t factor = a->factor[3 - a->space + i];
        if (x.d[i + 1] % factor != 0)
            return sunup__op_error(n, SUNUP_E_INTERNAL, "dy %s is not of these factors",
                                   TEXT(n->in[0]));
        x.d[i + 1] /= factor;
    }
    sunup__set_out(n, 0, n->in[0]->dtype, x);
    return SUNUP_OK;
}

/* --- gradients --- */

static sunup_value *other(const struct node *n, const struct op *op, sunup_value *v)
{
    return sunup__node(n->graph, op, 1, &v, n->attr, 0, NULL);
}

static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = other(n, &sunup__op_upsample_grad, dy[0]);
}

static void grad_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = other(n, &sunup__op_upsample, g[0]);
}

/* A product and a sum for each axis of each new point. */
static struct cost cost(const struct node *n)
{
    const struct upsample_attr *a = n->attr;
    const int64_t x = sunup__elements(&n->in[0]->shape), y = sunup__elements(&n->out[0]->shape);
    const double each = a->linear ? 3.0 * a->space : 0;
    return (struct cost){each * (double)most(x, y), sunup__moved_bytes(n)};
}

/* --- running: rows along W --- */

struct rows {
    const struct exec *e;
    const struct upsample_attr *a;
    sunup_dtype dtype;
    int64_t in[3], fine[3], c; /* D H W of the coarse side and of the fine one */
    int64_t n, tasks;          /* rows to make; shares of them                */
    int64_t from_row, scratch; /* elements of a row that is read; of a task   */
    bool streamed;
};

static struct rows rows_of(const struct node *n, const struct exec *e, int threads, bool backward)
{
    const struct upsample_attr *a = n->attr;
    const sunup_shape *coarse = backward ? &n->out[0]->shape : &n->in[0]->shape;
    struct rows r = {.e = e, .a = a, .dtype = n->out[0]->dtype, .c = coarse->d[coarse->n - 1]};
    sunup__window_sizes(coarse, 1, a->space, r.in);
    for (int i = 0; i < 3; i++) r.fine[i] = r.in[i] * a->factor[i];
    const int64_t *made = backward ? r.in : r.fine, *read = backward ? r.fine : r.in;
    r.n = coarse->d[0] * made[0] * made[1];
    r.from_row = r.scratch = read[2] * r.c;
    r.streamed = !backward && r.n * made[2] * r.c * sunup_dtype_bytes(r.dtype) >= STREAM_BYTES;
    if (r.streamed) r.scratch += made[2] * r.c;
    r.tasks = least(r.n, (int64_t)TASKS_PER_THREAD * threads);
    return r;
}

/* Rows that are waiting to be added with their weights. */
struct sum {
    const struct rows *r;
    void *y;
    bool begun;
    int n;
    int64_t at[ROWS_AT_ONCE];
    double f64[ROWS_AT_ONCE];
    float f32[ROWS_AT_ONCE];
};

static void flush(struct sum *s)
{
    const struct rows *r = s->r;
    const void *weight = r->dtype == SUNUP_F64 ? (const void *)s->f64 : s->f32;
    CALL(r->e, r->dtype, weighted_rows, s->n, r->from_row, r->e->in[0], s->at, weight, s->begun,
         s->y);
    s->begun = true;
    s->n = 0;
}

static void add_row(struct sum *s, int64_t row, double weight)
{
    if (weight == 0) return;
    if (s->n == ROWS_AT_ONCE) flush(s);
    s->at[s->n] = row * s->r->from_row;
    s->f64[s->n] = weight;
    s->f32[s->n++] = (float)weight;
}

/* The sum of the rows named, in y; or the one row itself. */
static const void *finish(struct sum *s)
{
    if (!s->begun && s->n == 1 && s->f64[0] == 1)
        return element_at(s->r->e->in[0], s->r->dtype, s->at[0]);
    flush(s);
    return s->y;
}

static struct upsample_place place(const struct rows *r, int axis, int64_t o)
{
    return upsample_place(o, r->in[axis], r->a->factor[axis], r->a->linear);
}

static const void *coarse_row(const struct rows *r, int64_t sample, int64_t d, int64_t h, void *y)
{
    struct sum s = {.r = r, .y = y};
    const struct upsample_place at_d = place(r, 0, d), at_h = place(r, 1, h);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            add_row(&s, (sample * r->in[0] + at_d.at + i) * r->in[1] + at_h.at + j,
                    (i ? at_d.right : 1 - at_d.right) * (j ? at_h.right : 1 - at_h.right));
    return finish(&s);
}

static double weight(const struct rows *r, int axis, int64_t o, int64_t i)
{
    return upsample_weight(o, i, r->in[axis], r->a->factor[axis], r->a->linear);
}

static const void *fine_rows(const struct rows *r, int64_t sample, int64_t d, int64_t h, void *y)
{
    struct sum s = {.r = r, .y = y};
    const bool linear = r->a->linear;
    const int64_t *f = r->a->factor;
    for (int64_t i = upsample_from(d, f[0], linear); i < upsample_to(d, r->in[0], f[0], linear);
         i++)
        for (int64_t j = upsample_from(h, f[1], linear); j < upsample_to(h, r->in[1], f[1], linear);
             j++)
            add_row(&s, (sample * r->fine[0] + i) * r->fine[1] + j,
                    weight(r, 0, i, d) * weight(r, 1, j, h));
    return finish(&s);
}

static void *scratch_of(const struct rows *r, int64_t task)
{
    return element_at(r->e->workspace, r->dtype, task * r->scratch);
}

static void forward_task(void *arg, int64_t i)
{
    const struct rows *r = arg;
    const int64_t length = r->fine[2] * r->c;
    void *scratch = scratch_of(r, i), *finer = element_at(scratch, r->dtype, r->from_row);
    for (int64_t row = i * r->n / r->tasks; row < (i + 1) * r->n / r->tasks; row++) {
        const int64_t h = row % r->fine[1], d = row / r->fine[1] % r->fine[0],
                      sample = row / (r->fine[1] * r->fine[0]);
        void *y = element_at(r->e->out[0], r->dtype, row * length);
        CALL(r->e, r->dtype, upsample, r->a->linear, r->in[2], r->a->factor[2], r->c,
             coarse_row(r, sample, d, h, scratch), r->streamed ? finer : y);
        if (r->streamed) CALL(r->e, r->dtype, stream_rows, 1, length, finer, 0, y, 0);
    }
}

static void backward_task(void *arg, int64_t i)
{
    const struct rows *r = arg;
    for (int64_t row = i * r->n / r->tasks; row < (i + 1) * r->n / r->tasks; row++) {
        const int64_t h = row % r->in[1], d = row / r->in[1] % r->in[0],
                      sample = row / (r->in[1] * r->in[0]);
        CALL(r->e, r->dtype, upsample_grad, r->a->linear, r->in[2], r->a->factor[2], r->c,
             fine_rows(r, sample, d, h, scratch_of(r, i)),
             element_at(r->e->out[0], r->dtype, row * r->in[2] * r->c));
    }
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    struct rows r = rows_of(n, e, e->threads, false);
    if (r.scratch > 0) sunup__parallel(e->threads, r.tasks, forward_task, &r);
    return SUNUP_OK;
}

static sunup_status run_grad(const struct node *n, const struct exec *e)
{
    struct rows r = rows_of(n, e, e->threads, true);
    if (r.scratch > 0) sunup__parallel(e->threads, r.tasks, backward_task, &r);
    return SUNUP_OK;
}

static int64_t workspace(const struct node *n, int threads)
{
    const struct rows r = rows_of(n, NULL, threads, false);
    return r.tasks * r.scratch * sunup_dtype_bytes(r.dtype);
}

static int64_t workspace_grad(const struct node *n, int threads)
{
    const struct rows r = rows_of(n, NULL, threads, true);
    return r.tasks * r.scratch * sunup_dtype_bytes(r.dtype);
}

/* --- public --- */

sunup_value *sunup_upsample(sunup_value *x, const int64_t *factors, sunup_upsample_kind kind)
{
    if (!x || sunup__is_poison(x)) return x;
    if ((unsigned)kind > SUNUP_LINEAR)
        return sunup__graph_error(x->node->graph, SUNUP_E_ARGUMENT,
                                  "upsample: kind %d does not exist", (int)kind);
    const int space = (int)most(1, least(3, x->shape.n - 2));
    struct upsample_attr a = {.space = space, .linear = kind == SUNUP_LINEAR};
    sunup__window_axes(space, factors, 1, a.factor);
    return sunup__node(x->node->graph, &sunup__op_upsample, 1, &x, &a, 0, NULL);
}

/* --- cases --- */

static sunup_value *forward_case(sunup_graph *g, sunup_shape x, const int64_t *factors, bool linear)
{
    return sunup_upsample(sunup__case_input(g, "x", x), factors,
                          linear ? SUNUP_LINEAR : SUNUP_NEAREST);
}

static sunup_value *grad_case(sunup_graph *g, sunup_shape x, const int64_t *factors, bool linear)
{
    const sunup_value *y = forward_case(g, x, factors, linear);
    return sunup__is_poison(y)
               ? g->poison
               : other(y->node, &sunup__op_upsample_grad, sunup__case_input(g, "dy", y->shape));
}

#define CASE(kind, name, shape, linear, ...)                                                       \
    static sunup_value *kind##_##name(sunup_graph *g)                                              \
    {                                                                                              \
        return kind##_case(g, shape, (const int64_t[]){__VA_ARGS__}, linear);                      \
    }
#define CASES(kind, name)                                                                          \
    CASE(kind, line, SUNUP_SHAPE(2, 5, 3), true, 2)                                                \
    CASE(kind, line_5, SUNUP_SHAPE(1, 4, 1), true, 5)                                              \
    CASE(kind, plane, SUNUP_SHAPE(2, 3, 4, 2), true, 2, 2)                                         \
    CASE(kind, plane_3, SUNUP_SHAPE(1, 3, 2, 5), true, 3, 1)                                       \
    CASE(kind, one, SUNUP_SHAPE(2, 1, 1, 3), true, 2, 3)                                           \
    CASE(kind, space, SUNUP_SHAPE(1, 2, 3, 2, 2), true, 2, 2, 2)                                   \
    CASE(kind, many, SUNUP_SHAPE(1, 2, 2, 1), true, 41, 2)                                         \
    CASE(kind, nearest, SUNUP_SHAPE(2, 3, 2, 3), false, 4, 1)                                      \
    CASE(kind, nearest_space, SUNUP_SHAPE(1, 2, 1, 3, 2), false, 1, 3, 2)                          \
    CASE(kind, empty, SUNUP_SHAPE(0, 2, 3, 2), true, 2, 2)                                         \
    static const struct op_case kind##_cases[] = {                                                 \
        {name ":2x5x3:2", kind##_line},                                                            \
        {name ":1x4x1:5", kind##_line_5},                                                          \
        {name ":2x3x4x2:2,2", kind##_plane},                                                       \
        {name ":1x3x2x5:3,1", kind##_plane_3},                                                     \
        {name ":2x1x1x3:2,3", kind##_one},                                                         \
        {name ":1x2x3x2x2:2,2,2", kind##_space},                                                   \
        {name ":1x2x2x1:41,2", kind##_many},                                                       \
        {name ":2x3x2x3:nearest:4,1", kind##_nearest},                                             \
        {name ":1x2x1x3x2:nearest:1,3,2", kind##_nearest_space},                                   \
        {name ":0x2x3x2:2,2", kind##_empty},                                                       \
    };
CASES(forward, "upsample")
CASES(grad, "upsample_grad")

#define UPSAMPLE_OP(word, infer_, grad_, workspace_, run_, cases_)                                 \
    const struct op sunup__op_##word = {                                                           \
        .name = #word,                                                                             \
        .attr_bytes = sizeof(struct upsample_attr),                                                \
        .n_out = 1,                                                                                \
        .infer = infer_,                                                                           \
        .grad = grad_,                                                                             \
        .cost = cost,                                                                              \
        .workspace = workspace_,                                                                   \
        .run = run_,                                                                               \
        .cases = cases_,                                                                           \
        .n_cases = sizeof cases_ / sizeof *cases_,                                                 \
    }
UPSAMPLE_OP(upsample, infer, grad, workspace, run, forward_cases);
UPSAMPLE_OP(upsample_grad, infer_grad, grad_grad, workspace_grad, run_grad, grad_cases);
