/* pool.c - maximum and mean over windows of space, their adjoints, and the mean over all of space.
 *
 * avg_pool and avg_pool_grad are adjoint linear maps. For fixed x, max_pool_grad is linear in dy;
 * its adjoint is max_pool_pick, which reads v where x has its maxima. So gradients of any order
 * stay among these ops.
 */
#include "graph/ops/pool.h"
#include "base/integers.h"

#include <math.h>
#include <string.h>

#include "graph/ops/op.h"
#include "graph/ops/pointwise.h"
#include "graph/ops/window.h"

/* --- shapes --- */

static sunup_shape x_shape(const struct pool_attr *a, int64_t samples)
{
    return sunup__window_shape(samples, a->w.in, a->space, a->w.c);
}
static sunup_shape y_shape(const struct pool_attr *a, int64_t samples)
{
    return sunup__window_shape(samples, a->w.out, a->space, a->w.c);
}

/* Each window must see a row of x: otherwise a maximum would be -inf. */
static sunup_status check_padding(const struct node *n, const struct pool_attr *a)
{
    for (int i = 3 - a->space; i < 3; ++i)
        if (a->w.before[i] >= a->w.taps[i] || a->after[i] >= a->w.taps[i])
            return sunup__op_error(n, SUNUP_E_ARGUMENT,
                                   "padding %lld + %lld of axis %c is not less than the window "
                                   "%lld: some windows would see padding only",
                                   (long long)a->w.before[i], (long long)a->after[i], "DHW"[i],
                                   (long long)a -> w.taps[i]);
    return SUNUP_OK;
}

static sunup_status derive(struct node *n)
{
    struct pool_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    if (x->shape.n < 3 || x->shape.n > 5)
        return sunup__op_error(n, SUNUP_E_SHAPE,
                               "x %s must be [N, W, C], [N, H, W, C] or [N, D, H, W, C]", TEXT(x));
    a->w.c = a->w.k = a->w.groups = x->shape.d[x->shape.n - 1];
    sunup__window_sizes(&x->shape, 1, a->space, a->w.in);
    TRY(sunup__window_forward(n, &a->w, (struct padding){a->padding, a->after}, x));
    return check_padding(n, a);
}

static sunup_status infer_forward(struct node *n)
{
    TRY(sunup__floats(n, 1));
    const struct pool_attr *a = n->attr;
    if (!a->complete) TRY(derive(n));
    sunup__set_out(n, 0, n->in[0]->dtype, y_shape(a, n->in[0]->shape.d[0]));
    return SUNUP_OK;
}

/* dx from x, dy or from dy alone: shaped by the window. */
static sunup_status infer_grad(struct node *n)
{
    TRY(sunup__floats(n, n->n_in));
    const struct pool_attr *a = n->attr;
    const sunup_value *dy = n->in[n->n_in - 1];
    const sunup_shape y = y_shape(a, dy->shape.d[0]);
    if (!sunup__same_shape(&dy->shape, &y))
        return sunup__op_error(n, SUNUP_E_INTERNAL, "dy %s does not belong to this window",
                               TEXT(dy));
    sunup__set_out(n, 0, dy->dtype, x_shape(a, dy->shape.d[0]));
    return SUNUP_OK;
}

/* --- gradients --- */

static sunup_value *make(const struct op *op, sunup_value *a, sunup_value *b,
                         const struct pool_attr *attr)
{
    struct pool_attr same = *attr;
    same.complete = true;
    sunup_value *const in[] = {a, b};
    return sunup__node(sunup__graph_of(2, in), op, b ? 2 : 1, in, &same, 0, NULL);
}

static void grad_max(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = make(&sunup__op_max_pool_grad, n->in[0], dy[0], n->attr);
}

/* Where the maxima are does not move with x: no gradient to it. */
static void grad_max_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    if (want[1]) dx[1] = make(&sunup__op_max_pool_pick, n->in[0], g[0], n->attr);
}

static void grad_max_pick(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    if (want[1]) dx[1] = make(&sunup__op_max_pool_grad, n->in[0], g[0], n->attr);
}

static void grad_avg(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = make(&sunup__op_avg_pool_grad, dy[0], NULL, n->attr);
}

static void grad_avg_grad(struct node *n, sunup_value *const *g, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = make(&sunup__op_avg_pool, g[0], NULL, n->attr);
}

/* One comparison or addition for each tap of each output. */
static struct cost cost(const struct node *n)
{
    const struct window *w = &((const struct pool_attr *)n->attr)->w;
    const double places =
        (double)n->in[0]->shape.d[0] * (double)(w->out[0] * w->out[1] * w->out[2] * w->c);
    return (struct cost){places * (double)sunup__window_taps(w), sunup__moved_bytes(n)};
}

/* --- running: slabs of a sample --- */

/* A slab is some rows of outputs along the first axis that is not 1, with the rows of x they see:
 * a window of its own, small enough for a cache. Rows of x belong to the slab of the first window
 * that begins at or before them. Where windows overlap along the axis, a gradient's slab also takes
 * the windows before it that reach its rows, into a scratch from which its own rows are copied: so
 * each element is the same chain of sums however slabs are cut. A gradient larger than most caches
 * goes by way of the scratch too, and from there past the caches: stores that miss would read what
 * they overwrite (on Sapphire Rapids 3x3 windows at 16x112x112x64 6.8 -> 5.3 ms, but slower by half
 * at 8 MB, which the next step finds in a cache). */
enum { SLAB_ELEMENTS = 96 << 10, TASKS_PER_THREAD = 4, STREAM_BYTES = 32 << 20 };

struct slabs {
    const struct exec *e;
    const struct window *w;
    sunup_dtype dtype;
    int axis;
    int64_t x, y, x_row, y_row;  /* elements of a sample and of a row of it     */
    int64_t stride, reach;       /* along the axis                              */
    int64_t rows, per_sample, n; /* outputs of a slab; slabs                    */
    int64_t scratch, tasks;      /* elements of a task; 0: written in place     */
    bool streamed;
};

static struct slabs slabs_of(const struct node *n, int threads, bool gradient)
{
    const struct window *w = &((const struct pool_attr *)n->attr)->w;
    struct slabs s = {.w = w,
                      .dtype = n->out[0]->dtype,
                      .x = w->in[0] * w->in[1] * w->in[2] * w->c,
                      .y = w->out[0] * w->out[1] * w->out[2] * w->c};
    while (s.axis < 2 && w->in[s.axis] == 1 && w->out[s.axis] == 1) s.axis++;
    s.x_row = s.x / w->in[s.axis];
    s.y_row = s.y / w->out[s.axis];
    s.stride = w->stride[s.axis];
    s.reach = (w->taps[s.axis] - 1) * w->dilation[s.axis] + 1;
    s.rows = most(1, SLAB_ELEMENTS / most(1, s.stride * s.x_row + s.y_row));
    s.per_sample = (w->out[s.axis] + s.rows - 1) / s.rows;
    s.n = n->in[0]->shape.d[0] * s.per_sample;
    s.tasks = least(s.n, (int64_t)TASKS_PER_THREAD * threads);
    s.streamed = n->in[0]->shape.d[0] * s.x * sunup_dtype_bytes(s.dtype) >= STREAM_BYTES;
    if (gradient && (s.streamed || (s.reach > s.stride && s.per_sample > 1)))
        s.scratch = (s.rows * s.stride + 2 * most(s.reach, s.stride)) * s.x_row;
    return s;
}

/* Rows of outputs and of x. */
struct slab {
    int64_t sample, from, to, x_from, x_to;
    struct window w;
};

static int64_t start(const struct slabs *s, int64_t row)
{
    return row * s->stride - s->w->before[s->axis];
}

/* The window of the outputs [from, to), whose x is [x_from, x_to). */
static void set_window(const struct slabs *s, struct slab *slab)
{
    slab->w = *s->w;
    slab->w.out[s->axis] = slab->to - slab->from;
    slab->w.in[s->axis] = slab->x_to - slab->x_from;
    slab->w.before[s->axis] = slab->x_from - start(s, slab->from);
}

static struct slab forward_slab(const struct slabs *s, int64_t i)
{
    struct slab slab = {.sample = i / s->per_sample, .from = i % s->per_sample * s->rows};
    slab.to = least(slab.from + s->rows, s->w->out[s->axis]);
    const int64_t in = s->w->in[s->axis];
    slab.x_from = least(most(0, start(s, slab.from)), in);
    slab.x_to = most(slab.x_from, least(in, start(s, slab.to - 1) + s->reach));
    set_window(s, &slab);
    return slab;
}

/* Own rows [own, own_to) of all that the slab's windows write. */
struct grad_slab {
    struct slab slab;
    int64_t own, own_to;
};

static struct grad_slab gradient_slab(const struct slabs *s, int64_t i)
{
    const int64_t in = s->w->in[s->axis], out = s->w->out[s->axis];
    struct grad_slab g = {.slab = forward_slab(s, i)};
    struct slab *slab = &g.slab;
    g.own = slab->from == 0 ? 0 : slab->x_from;
    g.own_to = slab->to == out ? in : least(most(0, start(s, slab->to)), in);
    if (s->scratch > 0) {
        while (slab->from > 0 && start(s, slab->from - 1) + s->reach > g.own) slab->from--;
        slab->x_from = least(g.own, most(0, start(s, slab->from)));
        slab->x_to = most(g.own_to, slab->x_to);
    } else {
        slab->x_from = g.own;
        slab->x_to = g.own_to;
    }
    set_window(s, slab);
    return g;
}

static void *x_at(const struct slabs *s, const void *x, int64_t sample, int64_t row)
{
    return element_at(x, s->dtype, sample * s->x + row * s->x_row);
}

static void *y_at(const struct slabs *s, const void *y, const struct slab *slab)
{
    return element_at(y, s->dtype, slab->sample * s->y + slab->from * s->y_row);
}

static void max_slab(void *arg, int64_t i)
{
    const struct slabs *s = arg;
    const struct slab slab = forward_slab(s, i);
    CALL(s->e, s->dtype, max_pool, &slab.w, x_at(s, s->e->in[0], slab.sample, slab.x_from),
         y_at(s, s->e->out[0], &slab));
}

static void avg_slab(void *arg, int64_t i)
{
    const struct slabs *s = arg;
    const struct slab slab = forward_slab(s, i);
    CALL(s->e, s->dtype, avg_pool, &slab.w, x_at(s, s->e->in[0], slab.sample, slab.x_from),
         y_at(s, s->e->out[0], &slab));
}

/* x NULL: of the mean. */
static void grad_slab(const struct slabs *s, int64_t i, const void *x, const void *dy,
                      void *scratch)
{
    const struct grad_slab g = gradient_slab(s, i);
    const struct slab *slab = &g.slab;
    void *own = x_at(s, s->e->out[0], slab->sample, g.own);
    void *dx = s->scratch > 0 ? scratch : own;
    if (x != NULL)
        CALL(s->e, s->dtype, max_pool_grad, &slab->w, x_at(s, x, slab->sample, slab->x_from),
             y_at(s, dy, slab), dx);
    else
        CALL(s->e, s->dtype, avg_pool_grad, &slab->w, y_at(s, dy, slab), dx);
    if (s->scratch == 0) return;
    const void *from = element_at(dx, s->dtype, (g.own - slab->x_from) * s->x_row);
    const int64_t n = (g.own_to - g.own) * s->x_row;
    if (s->streamed)
        CALL(s->e, s->dtype, stream_rows, 1, n, from, 0, own, 0);
    else
        memcpy(own, from, (size_t)(n * sunup_dtype_bytes(s->dtype)));
}

/* Task i takes its share of the slabs. */
static void grad_slabs(const struct slabs *s, int64_t i, const void *x, const void *dy)
{
    void *scratch = element_at(s->e->workspace, s->dtype, i * s->scratch);
    for (int64_t j = i * s->n / s->tasks; j < (i + 1) * s->n / s->tasks; ++j)
        grad_slab(s, j, x, dy, scratch);
}

static void max_grad_task(void *arg, int64_t i)
{
    const struct slabs *s = arg;
    grad_slabs(s, i, s->e->in[0], s->e->in[1]);
}

static void avg_grad_task(void *arg, int64_t i)
{
    const struct slabs *s = arg;
    grad_slabs(s, i, NULL, s->e->in[0]);
}

static sunup_status run_slabs(const struct node *n, const struct exec *e, parallel_fn task,
                              bool gradient)
{
    struct slabs s = slabs_of(n, e->threads, gradient);
    s.e = e;
    if (s.x > 0) sunup__parallel(e->threads, gradient ? s.tasks : s.n, task, &s);
    return SUNUP_OK;
}

static int64_t grad_workspace(const struct node *n, int threads)
{
    const struct slabs s = slabs_of(n, threads, true);
    return s.tasks * s.scratch * sunup_dtype_bytes(s.dtype);
}

/* First element of tap t of output o (both counted over all axes); -1 in the padding. */
static int64_t tap_at(const struct window *w, int64_t o, int64_t t)
{
    int64_t at = 0, step = w->c;
    for (int a = 2; a >= 0; --a) {
        const int64_t i = o % w->out[a] * w->stride[a] - w->before[a] + t % w->taps[a];
        if (i < 0 || i >= w->in[a]) return -1;
        at += i * step;
        step *= w->in[a];
        o /= w->out[a];
        t /= w->taps[a];
    }
    return at;
}

/* As the leaf max_pool finds it: the first of equals, NaN above all. */
static int64_t maximum_at(const struct slabs *s, const void *x, int64_t o, int64_t c)
{
    int64_t best = -1;
    double largest = 0;
    for (int64_t t = 0; t < sunup__window_taps(s->w); ++t) {
        const int64_t at = tap_at(s->w, o, t);
        if (at < 0) continue;
        const double v = element_get(x, s->dtype, at + c);
        if (best >= 0 && !(v > largest) && !(isnan(v) && !isnan(largest))) continue;
        largest = v;
        best = at + c;
    }
    return best;
}

static void max_pick_slab(void *arg, int64_t i)
{
    const struct slabs *s = arg;
    const struct slab slab = forward_slab(s, i);
    const void *x = x_at(s, s->e->in[0], slab.sample, 0), *v = x_at(s, s->e->in[1], slab.sample, 0);
    const int64_t c = s->w->c;
    for (int64_t j = slab.from * s->y_row; j < slab.to * s->y_row; ++j)
        element_set(s->e->out[0], s->dtype, slab.sample * s->y + j,
                    element_get(v, s->dtype, maximum_at(s, x, j / c, j % c)));
}

static sunup_status run_max(const struct node *n, const struct exec *e)
{
    return run_slabs(n, e, max_slab, false);
}
static sunup_status run_max_grad(const struct node *n, const struct exec *e)
{
    return run_slabs(n, e, max_grad_task, true);
}
static sunup_status run_max_pick(const struct node *n, const struct exec *e)
{
    return run_slabs(n, e, max_pick_slab, false);
}
static sunup_status run_avg(const struct node *n, const struct exec *e)
{
    return run_slabs(n, e, avg_slab, false);
}
static sunup_status run_avg_grad(const struct node *n, const struct exec *e)
{
    return run_slabs(n, e, avg_grad_task, true);
}

/* --- public --- */

sunup_pool_options sunup_pool_defaults(void)
{
    return (sunup_pool_options){
        .size = sizeof(sunup_pool_options), .window = {2, 2, 2}, .count_pad = true};
}

static sunup_value *pool(const struct op *op, sunup_value *x, const sunup_pool_options *options)
{
    const sunup_pool_options o = options ? *options : sunup_pool_defaults();
    const int axes = x && !sunup__is_poison(x) ? x->shape.n - 2 : 1;
    struct pool_attr a = {.space = axes < 1 ? 1 : axes > 3 ? 3 : axes, .padding = o.padding};
    int64_t stride[3];
    for (int i = 0; i < 3; ++i) stride[i] = o.stride[i] ? o.stride[i] : o.window[i];
    sunup__window_axes(a.space, o.window, 1, a.w.taps);
    sunup__window_axes(a.space, stride, 1, a.w.stride);
    sunup__window_axes(a.space, NULL, 1, a.w.dilation);
    sunup__window_axes(a.space, o.before, 0, a.w.before);
    sunup__window_axes(a.space, o.after, 0, a.after);
    a.w.count_pad = o.count_pad;
    return sunup__node(sunup__graph_of(1, &x), op, 1, &x, &a, 0, NULL);
}

/* The maximum of relu(x) is relu of the maximum of x, and gradients reach the same points: so relu
 * works on the fewer numbers, forward and backward. */
sunup_value *sunup_max_pool(sunup_value *x, const sunup_pool_options *options)
{
    const bool behind_relu = x && x->node->op == sunup__pointwise_op(PW_relu);
    sunup_value *y = pool(&sunup__op_max_pool, behind_relu ? x->node->in[0] : x, options);
    return behind_relu ? sunup_relu(y) : y;
}

sunup_value *sunup_avg_pool(sunup_value *x, const sunup_pool_options *options)
{
    return pool(&sunup__op_avg_pool, x, options);
}

sunup_value *sunup_global_avg_pool(sunup_value *x)
{
    if (!x || sunup__is_poison(x)) return x;
    if (x->shape.n < 3)
        return sunup__graph_error(x->node->graph, SUNUP_E_SHAPE,
                                  "global_avg_pool: x %s ('%s') has no space axes "
                                  "between N and C",
                                  TEXT(x), x->name);
    int axes[SUNUP_MAX_DIMS];
    for (int i = 0; i < x->shape.n - 2; ++i) axes[i] = i + 1;
    return sunup_mean(x, x->shape.n - 2, axes, false);
}

/* --- cases --- */

struct problem {
    sunup_shape x;
    sunup_pool_options o;
};

static sunup_value *build_max(sunup_graph *g, const struct problem *p)
{
    return sunup_max_pool(sunup__case_input(g, "x", p->x), &p->o);
}
static sunup_value *build_avg(sunup_graph *g, const struct problem *p)
{
    return sunup_avg_pool(sunup__case_input(g, "x", p->x), &p->o);
}
static sunup_value *build_max_grad(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = build_max(g, p);
    if (sunup__is_poison(y)) return y;
    return make(&sunup__op_max_pool_grad, y->node->in[0], sunup__case_input(g, "dy", y->shape),
                y->node->attr);
}
static sunup_value *build_max_pick(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = build_max(g, p);
    if (sunup__is_poison(y)) return y;
    return make(&sunup__op_max_pool_pick, y->node->in[0], sunup__case_input(g, "v", p->x),
                y->node->attr);
}
static sunup_value *build_avg_grad(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = build_avg(g, p);
    if (sunup__is_poison(y)) return y;
    return make(&sunup__op_avg_pool_grad, sunup__case_input(g, "dy", y->shape), NULL,
                y->node->attr);
}

/* Each geometry serves all five ops. */
#define CASES(ID, X, ...)                                                                          \
    static const struct problem problem_##ID = {X, {__VA_ARGS__}};                                 \
    CASE(max, ID) CASE(avg, ID) CASE(max_grad, ID) CASE(max_pick, ID) CASE(avg_grad, ID)
#define CASE(OP, ID)                                                                               \
    static sunup_value *OP##_##ID(sunup_graph *g)                                                  \
    {                                                                                              \
        return build_##OP(g, &problem_##ID);                                                       \
    }
#define SHAPE(N, ...)                                                                              \
    {                                                                                              \
        N,                                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
CASES(line, SHAPE(3, 2, 11, 3), .window = {3}, .stride = {2}, .before = {1})
CASES(plane, SHAPE(4, 2, 7, 5, 3), .window = {2, 3}, .stride = {2, 1}, .after = {1, 2},
      .count_pad = true)
CASES(space, SHAPE(5, 1, 3, 4, 5, 2), .window = {2, 2, 3}, .before = {1, 0, 1}, .after = {0, 1, 1})
CASES(same, SHAPE(4, 1, 5, 7, 1), .window = {3, 2}, .stride = {2, 3}, .padding = SUNUP_PADDING_SAME)
CASES(pairs, SHAPE(4, 2, 9, 8, 6), .window = {3, 2}, .stride = {2, 2}, .before = {1})
CASES(all, SHAPE(4, 3, 2, 2, 5), .window = {2, 2})

#define ROWS(OP, NAME)                                                                             \
    static const struct op_case OP##_cases[] = {                                                   \
        {NAME ":n2w11c3s3:stride2:pad1,0", OP##_line},                                             \
        {NAME ":n2h7w5c3r2s3:stride2,1:pad0+1,2:count", OP##_plane},                               \
        {NAME ":n1d3h4w5c2t2r2s3:pad1,0,1+0,1,1", OP##_space},                                     \
        {NAME ":n1h5w7c1r3s2:same:stride2,3", OP##_same},                                          \
        {NAME ":n2h9w8c6r3s2:stride2,2:pad1,0", OP##_pairs},                                       \
        {NAME ":n3h2w2c5r2s2", OP##_all},                                                          \
    };
ROWS(max, "max_pool")
ROWS(max_grad, "max_pool_grad")
ROWS(max_pick, "max_pool_pick")
ROWS(avg, "avg_pool")
ROWS(avg_grad, "avg_pool_grad")

#define POOL_OP(NAME, OP, INFER, WORKSPACE)                                                        \
    const struct op sunup__op_##NAME = {                                                           \
        .name = #NAME,                                                                             \
        .attr_bytes = sizeof(struct pool_attr),                                                    \
        .n_out = 1,                                                                                \
        .infer = INFER,                                                                            \
        .grad = grad_##OP,                                                                         \
        .cost = cost,                                                                              \
        .workspace = WORKSPACE,                                                                    \
        .run = run_##OP,                                                                           \
        .cases = OP##_cases,                                                                       \
        .n_cases = sizeof OP##_cases / sizeof *OP##_cases,                                         \
    }
POOL_OP(max_pool, max, infer_forward, NULL);
POOL_OP(max_pool_grad, max_grad, infer_grad, grad_workspace);
POOL_OP(max_pool_pick, max_pick, infer_forward, NULL);
POOL_OP(avg_pool, avg, infer_forward, NULL);
POOL_OP(avg_pool_grad, avg_grad, infer_grad, grad_workspace);
