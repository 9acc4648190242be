/* split_test.c - networks in parts against the same networks whole, and parts held by several
 * processes (threads here, each with a context of its own) against one that holds them all.
 *
 * What must be equal to the bit: outputs of convolution and pooling, part for part with the whole;
 * everything, whoever holds the parts. What differs by the order of sums only: gradients of
 * weights, and batch norm's statistics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/system.h"
#include "graph/interpret.h"
#include "graph/split/split.h"
#include "tensor/tensor.h"

enum { PARTS = 4, MOST_WEIGHTS = 20 };

struct net {
    const char *name;
    sunup_shape x;
    char axis;
    bool bits; /* outputs are those of the whole, bit for bit */
    sunup_value *(*build)(sunup_value *x);
};

/* ---------------------------------------------------------------------- networks --- */

static sunup_value *weight(sunup_value *x, const char *name, sunup_shape shape)
{
    return sunup_parameter(x->node->graph, name, shape, (sunup_init){SUNUP_INIT_UNIFORM, 1});
}

struct window_net {
    sunup_shape taps; /* with channels in and out */
    int64_t stride, dilation, before, after, more;
};

static sunup_conv_options options_of(const struct window_net *w, int space)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < space; i++) {
        o.stride[i] = w->stride;
        o.dilation[i] = w->dilation;
        o.before[i] = w->before;
        o.after[i] = w->after;
        o.output_padding[i] = w->more;
    }
    return o;
}

static sunup_value *conv(sunup_value *x, const char *name, struct window_net w)
{
    char bias[32];
    (void)snprintf(bias, sizeof bias, "%s.b", name);
    const sunup_conv_options o = options_of(&w, x->shape.n - 2);
    return sunup_conv(x, weight(x, name, w.taps),
                      weight(x, bias, SUNUP_SHAPE(w.taps.d[w.taps.n - 1])), &o);
}

static sunup_value *transpose(sunup_value *x, const char *name, struct window_net w)
{
    const sunup_conv_options o = options_of(&w, x->shape.n - 2);
    return sunup_conv_transpose(x, weight(x, name, w.taps), NULL, &o);
}

#define S SUNUP_SHAPE
#define CONV(ID, ...)                                                                              \
    static sunup_value *ID(sunup_value *x)                                                         \
    {                                                                                              \
        return conv(x, "w", (struct window_net){__VA_ARGS__});                                     \
    }
#define BACK(ID, ...)                                                                              \
    static sunup_value *ID(sunup_value *x)                                                         \
    {                                                                                              \
        return transpose(x, "w", (struct window_net){__VA_ARGS__});                                \
    }
CONV(conv1, S(1, 1, 3, 4), 1, 1, 0, 0, 0)
CONV(conv3, S(3, 3, 3, 4), 1, 1, 1, 1, 0)
CONV(conv5, S(5, 5, 3, 2), 1, 1, 2, 2, 0)
CONV(conv_uneven, S(4, 3, 3, 2), 1, 1, 2, 1, 0)
CONV(conv_valid, S(3, 3, 3, 4), 1, 1, 0, 0, 0)
CONV(conv_stride, S(3, 3, 3, 4), 2, 1, 1, 1, 0)
CONV(conv_stride3, S(4, 4, 3, 2), 3, 1, 2, 2, 0)
CONV(conv_skips, S(1, 1, 3, 2), 2, 1, 0, 0, 0)
CONV(conv_dilated, S(3, 3, 3, 2), 1, 3, 3, 3, 0)
CONV(conv_line, S(5, 3, 2), 1, 2, 4, 4, 0)
CONV(conv_space, S(3, 3, 3, 2, 3), 1, 1, 1, 1, 0)
BACK(back2, S(2, 2, 2, 3), 2, 1, 0, 0, 0)
BACK(back3, S(3, 3, 2, 3), 2, 1, 1, 1, 1)
BACK(back4, S(4, 4, 2, 3), 2, 1, 1, 1, 0)
BACK(back_plain, S(3, 3, 2, 3), 1, 1, 1, 1, 0)
BACK(back_dilated, S(3, 3, 2, 3), 1, 2, 2, 2, 0)
BACK(back_gaps, S(2, 2, 2, 3), 3, 1, 0, 0, 1)

static sunup_value *pool(sunup_value *x, bool max, int64_t window, int64_t stride, int64_t pad)
{
    sunup_pool_options o = sunup_pool_defaults();
    for (int i = 0; i < 3; i++) {
        o.window[i] = window;
        o.stride[i] = stride;
        o.before[i] = o.after[i] = pad;
    }
    o.count_pad = pad == 1;
    x = sunup_mul(x, weight(x, "w", S(x->shape.d[x->shape.n - 1])));
    return max ? sunup_max_pool(x, &o) : sunup_avg_pool(x, &o);
}
#define POOL(ID, ...)                                                                              \
    static sunup_value *ID(sunup_value *x)                                                         \
    {                                                                                              \
        return pool(x, __VA_ARGS__);                                                               \
    }
POOL(max2, true, 2, 2, 0)
POOL(max3, true, 3, 2, 1)
POOL(mean2, false, 2, 2, 0)
POOL(mean3, false, 3, 2, 1)
POOL(mean5, false, 5, 3, 2)

static sunup_value *norm(sunup_value *x, const char *name)
{
    char beta[32];
    (void)snprintf(beta, sizeof beta, "%s.beta", name);
    const sunup_shape c = S(x->shape.d[x->shape.n - 1]);
    return sunup_batch_norm(x, weight(x, name, c), weight(x, beta, c), NULL, NULL, 0.1, 1e-3);
}

static sunup_value *norm_alone(sunup_value *x)
{
    return norm(x, "w");
}

static sunup_value *group_norm(sunup_value *x)
{
    return sunup_group_norm(x, weight(x, "w", SUNUP_SHAPE(6)), weight(x, "b", SUNUP_SHAPE(6)), 3,
                            1e-3);
}

static sunup_value *by_rows(sunup_value *x)
{
    sunup_graph *g = x->node->graph;
    const int64_t rows = x->shape.d[1], c = x->shape.d[3];
    sunup_value *position =
        sunup_parameter(g, "position", S(rows, 1, c), (sunup_init){SUNUP_INIT_UNIFORM, 1});
    sunup_value *y = sunup_linear(sunup_add(x, position), weight(x, "w", S(c, 5)), NULL);
    y = sunup_layer_norm(sunup_softmax(y, -1), NULL, NULL, 1, 1e-3);
    sunup_value *both[] = {sunup_slice(y, -1, 1, 2), sunup_max(x, 1, (int[]){3}, true)};
    return sunup_concat(2, both, -1);
}

/* A mean over all of space, and a head that each part repeats. */
static sunup_value *classifier(sunup_value *x)
{
    sunup_value *y = sunup_relu(conv(x, "c", (struct window_net){S(3, 3, 3, 4), 1, 1, 1, 1, 0}));
    return sunup_linear(sunup_global_avg_pool(y), weight(x, "w", S(4, 3)), weight(x, "b", S(3)));
}

/* Two levels with skips; the odd rows of ragged volumes leave slabs of different cuts. */
static sunup_value *u_net(sunup_value *x)
{
    const struct window_net first = {S(3, 3, 3, 4), 1, 1, 1, 1, 0},
                            deep = {S(3, 3, 4, 6), 1, 1, 1, 1, 0},
                            last = {S(3, 3, 8, 2), 1, 1, 1, 1, 0};
    sunup_value *top = sunup_relu(norm(conv(x, "c1", first), "n1"));
    sunup_value *low = sunup_relu(norm(conv(pool(top, true, 2, 2, 0), "c2", deep), "n2"));
    sunup_value *up = transpose(low, "up", (struct window_net){S(2, 2, 4, 6), 2, 1, 0, 0, 0});
    sunup_value *both[] = {top, up};
    return conv(sunup_concat(2, both, -1), "c3", last);
}

/* Four rows of coarse values for four parts: the cuts of the fine ones cannot be theirs. */
static sunup_value *down_and_up(sunup_value *x)
{
    sunup_conv_options o = sunup_conv_defaults();
    o.stride[0] = 3;
    o.before[0] = o.after[0] = 1;
    sunup_value *low = sunup_conv(x, weight(x, "w", S(3, 1, 3, 4)), NULL, &o);
    o.before[0] = o.after[0] = 0;
    return sunup_mul(x, sunup_conv_transpose(low, weight(x, "v", S(2, 1, 3, 4)), NULL, &o));
}

static sunup_value *finer(sunup_value *x, sunup_upsample_kind kind)
{
    x = sunup_mul(x, weight(x, "w", S(x->shape.d[x->shape.n - 1])));
    return sunup_upsample(x, (const int64_t[]){2, 3, 2}, kind);
}

static sunup_value *nearest(sunup_value *x)
{
    return finer(x, SUNUP_NEAREST);
}

static sunup_value *linear_between(sunup_value *x)
{
    return finer(x, SUNUP_LINEAR);
}

/* Down by pooling and up by upsampling, as many science networks do. */
static sunup_value *pyramid(sunup_value *x)
{
    const struct window_net first = {S(3, 3, 3, 4), 1, 1, 1, 1, 0},
                            last = {S(3, 3, 8, 2), 1, 1, 1, 1, 0};
    sunup_value *top = sunup_relu(conv(x, "c1", first));
    sunup_value *both[] = {
        top, sunup_upsample(pool(top, true, 2, 2, 0), (const int64_t[]){2, 2}, SUNUP_LINEAR)};
    return conv(sunup_concat(2, both, -1), "c2", last);
}

/* Of each pixel the two largest channels, and rows of a table that no part cuts. */
static sunup_value *chosen(sunup_value *x)
{
    const int64_t *d = x->shape.d;
    sunup_value *index = sunup_top_k(x, 2, true);
    sunup_value *table = sunup_gather(weight(x, "w", S(d[3], 4)), index);
    sunup_value *rows =
        sunup_gather_rows(sunup_broadcast(weight(x, "r", S(1, d[3], 4)), S(d[0], d[3], 4)), index);
    return sunup_mul(table, rows);
}

/* Axes in another order, and space as one axis, on which channels are mixed. */
static sunup_value *turned(sunup_value *x)
{
    const int64_t *d = x->shape.d;
    sunup_value *y = sunup_reshape(x, S(d[0], d[1] * d[2], d[3]));
    y = sunup_permute(sunup_linear(y, weight(x, "w", S(d[3], 4)), NULL), (const int[]){1, 0, 2});
    return sunup_permute(sunup_tanh(y), (const int[]){1, 2, 0});
}

/* Whatever keeps samples apart, and one norm over all of them. */
static sunup_value *of_samples(sunup_value *x)
{
    const int64_t *d = x->shape.d;
    sunup_value *y =
        sunup_relu(norm(conv(x, "c", (struct window_net){S(3, 3, 3, 4), 1, 1, 1, 1, 0}), "n"));
    y = sunup_upsample(pool(y, false, 2, 2, 0), (const int64_t[]){2, 1}, SUNUP_LINEAR);
    y = sunup_local(y, weight(x, "l", S(d[1] - 1, d[2] / 2 - 1, 2, 2, 4, 6)), NULL, NULL);
    y = sunup_group_norm(y, weight(x, "g", S(6)), weight(x, "gb", S(6)), 2, 1e-3);
    const int64_t *e = y->shape.d;
    y = sunup_reshape(y, S(e[0], e[1] * e[2], e[3]));
    y = sunup_attention(y, y, y, NULL, NULL);
    y = sunup_matmul(y, y, SUNUP_TRANSPOSE_B);
    y = sunup_gather_rows(y, sunup_top_k(y, 2, true));
    y = sunup_dropout(sunup_flatten(y), 0.3, true);
    return sunup_linear(y, weight(x, "fc", S(y->shape.d[1], 3)), weight(x, "fcb", S(3)));
}

static const struct net nets[] = {
    {"conv 1", S(2, 9, 5, 3), 0, true, conv1},
    {"conv 3", S(2, 9, 5, 3), 'H', true, conv3},
    {"conv 3 by columns", S(2, 5, 9, 3), 'W', true, conv3},
    {"conv 5 over slabs of one row", S(1, 5, 6, 3), 0, true, conv5},
    {"conv 4 x 3, uneven padding", S(1, 11, 6, 3), 0, true, conv_uneven},
    {"conv valid", S(1, 12, 6, 3), 0, true, conv_valid},
    {"conv stride 2", S(1, 16, 6, 3), 0, true, conv_stride},
    {"conv stride 2, ragged", S(2, 13, 7, 3), 0, true, conv_stride},
    {"conv stride 3", S(1, 17, 8, 3), 0, true, conv_stride3},
    {"conv that skips rows", S(1, 15, 6, 3), 0, true, conv_skips},
    {"conv dilated over two slabs", S(1, 6, 8, 3), 0, true, conv_dilated},
    {"conv of a line", S(2, 21, 3), 'W', true, conv_line},
    {"conv in space, D", S(1, 7, 4, 5, 2), 'D', true, conv_space},
    {"conv in space, H", S(2, 3, 6, 5, 2), 'H', true, conv_space},
    {"transposed 2", S(2, 6, 4, 3), 0, true, back2},
    {"transposed 3", S(2, 7, 4, 3), 0, true, back3},
    {"transposed 4", S(1, 8, 4, 3), 0, true, back4},
    {"transposed, stride 1", S(1, 8, 4, 3), 0, true, back_plain},
    {"transposed, dilated", S(1, 8, 4, 3), 0, true, back_dilated},
    {"transposed with gaps", S(1, 5, 4, 3), 0, true, back_gaps},
    {"max pool 2", S(2, 16, 6, 3), 0, true, max2},
    {"max pool 2, ragged", S(2, 11, 6, 3), 0, true, max2},
    {"max pool 3", S(1, 13, 7, 3), 0, true, max3},
    {"mean pool 2", S(1, 10, 6, 3), 0, true, mean2},
    {"mean pool 3", S(1, 13, 7, 3), 'H', true, mean3},
    {"mean pool 5", S(1, 14, 8, 3), 'H', true, mean5},
    {"batch norm", S(3, 9, 5, 3), 0, false, norm_alone},
    {"group norm", S(2, 9, 5, 6), 0, false, group_norm},
    {"rows of channels", S(2, 9, 5, 3), 0, true, by_rows},
    {"classifier", S(2, 9, 5, 3), 0, false, classifier},
    {"U-Net", S(2, 16, 8, 3), 0, false, u_net},
    {"U-Net, ragged", S(1, 14, 8, 3), 0, false, u_net},
    {"nearest upsampling", S(2, 9, 5, 3), 0, true, nearest},
    {"nearest upsampling of columns", S(1, 5, 9, 3), 'W', true, nearest},
    {"linear upsampling", S(2, 9, 5, 3), 0, true, linear_between},
    {"linear upsampling of single rows", S(1, 4, 4, 2), 'H', true, linear_between},
    {"linear upsampling in space", S(1, 6, 3, 5, 2), 'W', true, linear_between},
    {"pyramid", S(2, 16, 6, 3), 0, true, pyramid},
    {"chosen channels", S(2, 9, 5, 3), 0, true, chosen},
    {"turned axes", S(2, 9, 5, 3), 0, true, turned},
    {"samples", S(8, 6, 8, 3), 'N', false, of_samples},
    {"samples, ragged", S(7, 6, 8, 3), 'N', false, of_samples},
    {"convolution of samples", S(5, 9, 5, 3), 'N', true, conv3},
    {"transposed convolution of samples", S(4, 6, 4, 3), 'N', true, back3},
    {"norm of samples", S(8, 3, 3, 3), 'N', false, norm_alone},
    {"norm of a line of samples", S(9, 3), 'N', false, norm_alone},
    {"classifier of samples", S(6, 9, 5, 3), 'N', false, classifier},
    {"U-Net of samples", S(4, 16, 8, 3), 'N', false, u_net},
    {"down and up by 3 rows, slabs re-cut", S(2, 11, 5, 3), 0, true, down_and_up},
};
#undef S
enum { NETS = sizeof nets / sizeof *nets };

/* ----------------------------------------------------------------------- running --- */

/* Of one process; the whole is one process with one part. */
struct result {
    int n_weights;
    int64_t n_y, n_weight[MOST_WEIGHTS];
    double *y, *dx, *weight[MOST_WEIGHTS];
    int64_t rows_from; /* of y along the axis */
};

static double *numbers(const struct interpreter *t, const sunup_value *v, int64_t *n)
{
    *n = sunup__elements(&v->shape);
    double *x = sunup__alloc((size_t)(*n + 1) * sizeof *x);
    const void *from = sunup__interpreter_memory(t, v);
    for (int64_t i = 0; i < *n; i++)
        x[i] = v->dtype == SUNUP_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
    return x;
}

/* By name, so that every process draws the same. Of inputs in parts of samples a process has its own. */
static void fill_sources(struct interpreter *t, int64_t from)
{
    for (int i = 0; i < t->g->n_nodes; i++) {
        const sunup_value *v = t->g->nodes[i]->out[0];
        const struct source_attr *s = sunup__source(v);
        if (!s || s->kind == SOURCE_CONSTANT || !sunup__interpreter_memory(t, v)) continue;
        const int64_t n = sunup__elements(&v->shape), width = sunup_dtype_bytes(v->dtype);
        const int64_t skip = s->kind == SOURCE_INPUT && from > 0 ? n / v->shape.d[0] * from : 0;
        char *all = sunup__alloc((size_t)((skip + n) * width));
        sunup__init_fill((sunup_init){SUNUP_INIT_NORMAL, 1}, v->name, 5, v->dtype, skip + n, all);
        memcpy(sunup__interpreter_memory(t, v), all + skip * width, (size_t)(n * width));
        sunup__free(all);
    }
}

static sunup_graph *new_graph(sunup_context *ctx, const struct net *net, sunup_dtype dtype)
{
    sunup_graph *g;
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    o.batch = net->x.d[0];
    o.dtype = dtype;
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    sunup_value *y = net->build(sunup_input(g, "x", dtype, net->x));
    sunup_graph_output(g, "y", y);
    if (sunup__is_poison(y)) fail_msg("%s: %s", net->name, g->message);
    sunup_value *target = sunup_input(g, "target", dtype, y->shape);
    sunup_graph_output(g, "loss", sunup_mean(sunup_mul(y, target), 0, NULL, false));
    assert_int_equal(sunup_graph_finish(g), SUNUP_OK);
    return g;
}

/* from: the first sample of x, which has n_x elements in all processes. */
static void interpret(sunup_graph *g, sunup_value *y, sunup_value *loss, int64_t from, int64_t n_x,
                      struct result *r)
{
    sunup_value *wrt[MOST_WEIGHTS + 1] = {sunup_graph_find(g, "x")}, *grads[MOST_WEIGHTS + 2];
    for (int i = 0; i < g->n_nodes; i++) {
        const struct source_attr *s = sunup__source(g->nodes[i]->out[0]);
        if (s && s->kind == SOURCE_PARAMETER) wrt[++r->n_weights] = g->nodes[i]->out[0];
    }
    sunup_gradient(loss, r->n_weights + 1, wrt, grads);
    if (sunup_graph_finish(g) != SUNUP_OK) fail_msg("%s", g->message);
    grads[r->n_weights + 1] = y;
    struct kernels k;
    struct interpreter t;
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    assert_int_equal(sunup__interpreter_create(g, r->n_weights + 2, grads, &t), SUNUP_OK);
    t.kernels = &k;
    t.threads = 1;
    fill_sources(&t, from);
    const sunup_status status = sunup__interpreter_run(&t);
    if (status != SUNUP_OK) fail_msg("%s", sunup_error(g->ctx));
    int64_t n;
    double *dx = numbers(&t, grads[0], &n);
    r->dx = sunup__alloc((size_t)n_x * sizeof *dx);
    memcpy(r->dx + n / wrt[0]->shape.d[0] * from, dx, (size_t)n * sizeof *dx);
    sunup__free(dx);
    for (int i = 0; i < r->n_weights; i++)
        r->weight[i] = numbers(&t, grads[i + 1], &r->n_weight[i]);
    r->y = numbers(&t, y, &r->n_y);
    sunup__interpreter_end(&t);
}

static void free_result(struct result *r)
{
    sunup__free(r->y);
    sunup__free(r->dx);
    for (int i = 0; i < r->n_weights; i++) sunup__free(r->weight[i]);
}

/* --------------------------------------------------------------------- processes --- */

struct meeting {
    pthread_barrier_t barrier;
    char *room[2][PARTS];
    int64_t bytes;
};
struct process {
    const struct net *net;
    sunup_dtype dtype;
    int parts, number, processes, turns;
    struct meeting *meeting;
    struct result r;
    bool cut;
    int64_t outer;
};

static char *room_of(void *arg)
{
    const struct process *p = arg;
    return p->meeting->room[p->turns % 2][p->number];
}

static sunup_status take_turn(void *arg, struct turn *t)
{
    struct process *p = arg;
    if (t->bytes > p->meeting->bytes) return SUNUP_E_INTERNAL;
    pthread_barrier_wait(&p->meeting->barrier);
    for (int i = 0; i < t->n_take; i++)
        t->take[i].data = p->meeting->room[p->turns % 2][t->take[i].peer] + t->take[i].at;
    p->turns++;
    return SUNUP_OK;
}

static void *run_process(void *arg)
{
    struct process *p = arg;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_graph *whole = new_graph(ctx, p->net, p->dtype);
    const struct parts_link link = {p, room_of, take_turn};
    const int own = p->parts / p->processes;
    const struct split_options o = {
        .axis = p->net->axis,
        .parts = {p->parts, p->number * own, own, p->processes > 1 ? &link : NULL}};
    struct split *s;
    if (sunup__split_create(whole, &o, &s) != SUNUP_OK)
        fail_msg("%s: %s", p->net->name, sunup_error(ctx));
    sunup_value *y = sunup_graph_find(whole, "y");
    p->cut = sunup__split_is_cut(s, y);
    sunup_value *mine = sunup__split_own(s, y);
    p->outer = 1; /* of the axis that is cut, which is shorter in each of many processes */
    for (int i = 0; i < y->shape.n && mine->shape.d[i] == y->shape.d[i]; i++)
        p->outer *= y->shape.d[i];
    interpret(sunup__split_graph(s), mine, sunup__split_share(s, sunup_graph_find(whole, "loss")),
              p->net->axis == 'N' ? p->number * own * p->net->x.d[0] / p->parts : 0,
              sunup__elements(&p->net->x), &p->r);
    assert_true(sunup__parts_needs(sunup__split_graph(s)).give <= 1 << 20);
    sunup__split_destroy(&s);
    sunup_graph_destroy(&whole);
    sunup_context_destroy(&ctx);
    return NULL;
}

/* Gradients of all processes along the tree; dx by slabs, each of which only its owner fills. */
static void add_up(struct process *p, int n)
{
    for (int i = 0; i < p[0].r.n_weights; i++)
        for (int step = 1; step < n; step *= 2)
            for (int a = 0; a + step < n; a += 2 * step)
                for (int64_t j = 0; j < p[0].r.n_weight[i]; j++) {
                    double *x = &p[a].r.weight[i][j];
                    const double sum = *x + p[a + step].r.weight[i][j];
                    *x = p->dtype == SUNUP_F32 ? (double)(float)sum : sum;
                }
    const int64_t n_x = sunup__elements(&p->net->x);
    for (int a = 1; a < n; a++)
        for (int64_t j = 0; j < n_x; j++) p[0].r.dx[j] += p[a].r.dx[j];
}

/* y of all processes, outer by outer. */
static void join_outputs(struct process *p, int n, int64_t outer)
{
    if (!p[0].cut || n == 1) return;
    int64_t total = 0, at = 0;
    for (int a = 0; a < n; a++) total += p[a].r.n_y;
    double *y = sunup__alloc((size_t)total * sizeof *y);
    for (int64_t o = 0; o < outer; o++)
        for (int a = 0; a < n; a++) {
            const int64_t each = p[a].r.n_y / outer;
            memcpy(y + at, p[a].r.y + o * each, (size_t)each * sizeof *y);
            at += each;
        }
    sunup__free(p[0].r.y);
    p[0].r.y = y;
    p[0].r.n_y = total;
}

static struct result run_parts(const struct net *net, sunup_dtype dtype, int parts, int processes)
{
    struct meeting m = {.bytes = 1 << 20};
    struct process p[PARTS];
    pthread_t thread[PARTS];
    pthread_barrier_init(&m.barrier, NULL, (unsigned)processes);
    for (int i = 0; i < processes; i++) {
        for (int side = 0; side < 2; side++) m.room[side][i] = sunup__alloc((size_t)m.bytes);
        p[i] = (struct process){net, dtype, parts, i, processes, 0, &m, {0}, false, 1};
    }
    for (int i = 0; i < processes && processes > 1; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_process, &p[i]), 0);
    for (int i = 0; i < processes && processes > 1; i++) pthread_join(thread[i], NULL);
    if (processes == 1) run_process(&p[0]);
    for (int i = 0; i < processes; i++)
        for (int side = 0; side < 2; side++) sunup__free(m.room[side][i]);
    pthread_barrier_destroy(&m.barrier);
    join_outputs(p, processes, p[0].outer);
    add_up(p, processes);
    for (int i = 1; i < processes; i++) free_result(&p[i].r);
    return p[0].r;
}

static struct result run_whole(const struct net *net, sunup_dtype dtype)
{
    sunup_context *ctx;
    struct result r = {0};
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_graph *g = new_graph(ctx, net, dtype);
    interpret(g, sunup_graph_find(g, "y"), sunup_graph_find(g, "loss"), 0, sunup__elements(&net->x),
              &r);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
    return r;
}

/* ------------------------------------------------------------------------- tests --- */

static double largest_of(const double *a, int64_t n)
{
    double size = 0;
    for (int64_t i = 0; i < n; i++) size = fmax(size, fabs(a[i]));
    return size;
}

/* Differences are at most limit times size. */
static void compare(const struct net *net, const char *what, const double *a, const double *b,
                    int64_t n, double limit, double size)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= limit * size))
            fail_msg("%s: %s differs at %lld: %.9g and %.9g", net->name, what, (long long)i, a[i],
                     b[i]);
}

static void compare_results(const struct net *net, const struct result *a, const struct result *b,
                            double forward, double backward)
{
    assert_int_equal(a->n_y, b->n_y);
    assert_int_equal(a->n_weights, b->n_weights);
    const int64_t n_x = sunup__elements(&net->x);
    double size = 0; /* of all weights' gradients: that of a bias before a norm is all rounding */
    for (int i = 0; i < a->n_weights; i++)
        size = fmax(size, largest_of(a->weight[i], a->n_weight[i]));
    compare(net, "output", a->y, b->y, a->n_y, forward, largest_of(a->y, a->n_y));
    compare(net, "dx", a->dx, b->dx, n_x, backward, largest_of(a->dx, n_x));
    for (int i = 0; i < a->n_weights; i++)
        compare(net, "a weight's gradient", a->weight[i], b->weight[i], a->n_weight[i], backward,
                size);
}

static void parts_are_the_whole(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++)
        for (int parts = 1; parts <= PARTS; parts *= 2) {
            struct result f32 = run_whole(&nets[i], SUNUP_F32),
                          in_parts = run_parts(&nets[i], SUNUP_F32, parts, 1);
            compare_results(&nets[i], &f32, &in_parts, nets[i].bits ? 0 : 3e-6, 1e-5);
            free_result(&f32);
            free_result(&in_parts);
            struct result f64 = run_whole(&nets[i], SUNUP_F64);
            in_parts = run_parts(&nets[i], SUNUP_F64, parts, 1);
            compare_results(&nets[i], &f64, &in_parts, nets[i].bits ? 0 : 1e-13, 1e-12);
            free_result(&f64);
            free_result(&in_parts);
        }
}

static void processes_give_the_bits_of_one(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++)
        for (int processes = 2; processes <= PARTS; processes *= 2) {
            struct result one = run_parts(&nets[i], SUNUP_F32, PARTS, 1),
                          many = run_parts(&nets[i], SUNUP_F32, PARTS, processes);
            compare_results(&nets[i], &one, &many, 0, 0);
            free_result(&one);
            free_result(&many);
        }
}

/* ---------------------------------------------------------------------- mistakes --- */

static sunup_value *folds(sunup_value *x)
{
    return sunup_linear(sunup_flatten(x), weight(x, "w", SUNUP_SHAPE(9 * 5 * 3, 2)), NULL);
}

static sunup_value *mixes(sunup_value *x)
{
    return sunup_reshape(x, SUNUP_SHAPE(2, 270));
}

static sunup_value *wraps(sunup_value *x)
{
    sunup_conv_options o = sunup_conv_defaults();
    o.before[0] = o.after[0] = 1;
    o.pad_mode = SUNUP_PAD_CIRCULAR;
    return sunup_conv(x, weight(x, "w", SUNUP_SHAPE(3, 1, 3, 2)), NULL, &o);
}

static sunup_value *largest(sunup_value *x)
{
    return sunup_max(x, 1, (int[]){1}, true);
}

static sunup_value *multiplies(sunup_value *x)
{
    return sunup_matmul(x, x, SUNUP_TRANSPOSE_B);
}

static void refused(const struct net *net, int parts, const char *says)
{
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_graph *g;
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    o.batch = net->x.d[0];
    assert_int_equal(sunup_graph_create(ctx, &o, &g), SUNUP_OK);
    (void)net->build(sunup_input(g, "x", SUNUP_F32, net->x));
    struct split *s;
    const struct split_options split = {.axis = net->axis, .parts = {parts, 0, parts, NULL}};
    assert_int_not_equal(sunup__split_create(g, &split, &s), SUNUP_OK);
    if (!strstr(sunup_error(ctx), says))
        fail_msg("\"%s\" does not say \"%s\"", sunup_error(ctx), says);
    assert_null(s);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

static sunup_value *as_it_is(sunup_value *x)
{
    return sunup_relu(x);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    const sunup_shape x = SUNUP_SHAPE(1, 9, 5, 3);
    refused(&(struct net){"", x, 0, false, folds}, 4, "in 4 parts: it works along");
    refused(&(struct net){"", SUNUP_SHAPE(4, 9, 5, 3), 'N', false, mixes}, 4,
            "folds the axis that is split");
    refused(&(struct net){"", x, 0, false, wraps}, 4, "circular padding along the axis");
    refused(&(struct net){"", x, 0, false, largest}, 4, "works along the axis that is split");
    refused(&(struct net){"", SUNUP_SHAPE(1, 5, 9, 3), 'W', false, multiplies}, 4, "matmul");
    refused(&(struct net){"", x, 0, false, as_it_is}, 16, "16 parts of an axis of 9 rows");
    refused(&(struct net){"", x, 'D', false, as_it_is}, 2, "split D: the input has 2 space axes");
    refused(&(struct net){"", x, 0, false, as_it_is}, 3, "a power of two would fit");
    refused(&(struct net){"", SUNUP_SHAPE(4, 7), 0, false, as_it_is}, 2, "no input");
    refused(&(struct net){"", SUNUP_SHAPE(1, 9, 8, 3), 0, false, max2}, 8, "too short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(processes_give_the_bits_of_one),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
