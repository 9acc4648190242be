/* conv.c - convolution and its two adjoints; the transposed convolution is one of them.
 *
 * Owes: shapes, gradients, and the plain way to run each through the leaves of one sample. Fast
 * ways are makers. The three ops are bilinear and adjoint to each other, so gradients of any order
 * stay among them. When g arrives at
 *
 *   conv(x, w):          dx = data_grad(w, g),     dw = weight_grad(x, g)
 *   data_grad(w, dy):    dw = weight_grad(g, dy),  d dy = conv(g, w)
 *   weight_grad(x, dy):  dx = data_grad(g, dy),    d dy = conv(x, g)
 */
#include "graph/ops/conv.h"

#include "graph/ops/op.h"
#include "graph/ops/window.h"

/* --- gradients --- */

static sunup_value *make(const struct op *op, sunup_value *a, sunup_value *b,
                         const struct conv_attr *attr)
{
    struct conv_attr same = *attr;
    same.complete = true;
    sunup_value *const in[] = {a, b};
    return sunup__node(sunup__graph_of(2, in), op, 2, in, &same, 0, NULL);
}

sunup_value *sunup__conv_data_grad(sunup_value *w, sunup_value *dy, const struct conv_attr *attr)
{
    return make(&sunup__op_conv_data_grad, w, dy, attr);
}

sunup_value *sunup__conv_weight_grad(sunup_value *x, sunup_value *dy, const struct conv_attr *attr)
{
    return make(&sunup__op_conv_weight_grad, x, dy, attr);
}

static void grad_conv(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    if (want[0]) dx[0] = sunup__conv_data_grad(n->in[1], dy[0], n->attr);
    if (want[1]) dx[1] = sunup__conv_weight_grad(n->in[0], dy[0], n->attr);
    if (n->n_in > 2 && n->in[2] && want[2]) dx[2] = sunup__sum_to_last(dy[0]);
}

static void grad_data_grad(struct node *n, sunup_value *const *g, const bool *want,
                           sunup_value **dx)
{
    if (want[0]) dx[0] = sunup__conv_weight_grad(g[0], n->in[1], n->attr);
    if (want[1]) dx[1] = make(&sunup__op_conv, g[0], n->in[0], n->attr);
}

static void grad_weight_grad(struct node *n, sunup_value *const *g, const bool *want,
                             sunup_value **dx)
{
    if (want[0]) dx[0] = sunup__conv_data_grad(g[0], n->in[1], n->attr);
    if (want[1]) dx[1] = make(&sunup__op_conv, n->in[0], g[0], n->attr);
}

static struct cost cost(const struct node *n)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    const sunup_shape *batched = &n->in[n->op == &sunup__op_conv_data_grad ? 1 : 0]->shape;
    const double places = (double)batched->d[0] * (double)(w->out[0] * w->out[1] * w->out[2]);
    const double sums = (double)w->k * (double)(w->c / w->groups) * (double)sunup__window_taps(w);
    return (struct cost){2 * places * sums, sunup__moved_bytes(n)};
}

/* --- running: one task a sample --- */

struct samples {
    const struct exec *e;
    const struct window *w;
    sunup_dtype dtype;
    int64_t n, x, y, weights; /* samples; elements of one sample of x and y, and of w */
    struct pieces pieces;     /* of samples: weight gradient */
};

static struct samples samples_of(const struct node *n, const struct exec *e, int batched)
{
    const struct window *w = &((const struct conv_attr *)n->attr)->w;
    return (struct samples){.e = e,
                            .w = w,
                            .dtype = n->out[0]->dtype,
                            .n = n->in[batched]->shape.d[0],
                            .x = w->in[0] * w->in[1] * w->in[2] * w->c,
                            .y = w->out[0] * w->out[1] * w->out[2] * w->k,
                            .weights = sunup__window_taps(w) * (w->c / w->groups) * w->k};
}

static void conv_sample(void *arg, int64_t i)
{
    const struct samples *s = arg;
    void *const *in = s->e->in;
    CALL(s->e, s->dtype, conv, s->w, element_at(in[0], s->dtype, i * s->x), in[1], in[2],
         element_at(s->e->out[0], s->dtype, i * s->y));
}

static sunup_status run_conv(const struct node *n, const struct exec *e)
{
    void *const in[] = {e->in[0], e->in[1], n->n_in > 2 ? e->in[2] : NULL};
    struct exec three = *e;
    three.in = in;
    struct samples s = samples_of(n, &three, 0);
    sunup__parallel(e->threads, s.n, conv_sample, &s);
    return SUNUP_OK;
}

static void data_grad_sample(void *arg, int64_t i)
{
    const struct samples *s = arg;
    CALL(s->e, s->dtype, conv_data_grad, s->w, s->e->in[0],
         element_at(s->e->in[1], s->dtype, i * s->y), element_at(s->e->out[0], s->dtype, i * s->x));
}

static sunup_status run_data_grad(const struct node *n, const struct exec *e)
{
    struct samples s = samples_of(n, e, 1);
    sunup__parallel(e->threads, s.n, data_grad_sample, &s);
    return SUNUP_OK;
}

/* Samples in at most this many pieces, each with a partial sum of its own. */
enum { WEIGHT_GRAD_PIECES = 8 };

static void weight_grad_piece(void *arg, int64_t i)
{
    const struct samples *s = arg;
    void *sum = element_at(s->e->workspace, s->dtype, i * s->weights);
    const int64_t from = piece_from(&s->pieces, i), length = piece_length(&s->pieces, i);
    sunup__zero(sum, s->dtype, s->weights);
    for (int64_t j = from; j < from + length; ++j)
        CALL(s->e, s->dtype, conv_weight_grad, s->w, element_at(s->e->in[0], s->dtype, j * s->x),
             element_at(s->e->in[1], s->dtype, j * s->y), sum);
}

static sunup_status run_weight_grad(const struct node *n, const struct exec *e)
{
    struct samples s = samples_of(n, e, 0);
    s.pieces = sunup__pieces(s.n, 1, 1, WEIGHT_GRAD_PIECES);
    sunup__parallel(e->threads, s.pieces.count, weight_grad_piece, &s);
    sunup__add_parts(e->workspace, s.dtype, s.pieces.count, s.weights, e->out[0]);
    return SUNUP_OK;
}

static int64_t weight_grad_workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct pieces p = sunup__pieces(n->in[0]->shape.d[0], 1, 1, WEIGHT_GRAD_PIECES);
    return p.count * sunup__elements(&n->out[0]->shape) * sunup_dtype_bytes(n->out[0]->dtype);
}

/* --- public --- */

sunup_conv_options sunup_conv_defaults(void)
{
    return (sunup_conv_options){.size = sizeof(sunup_conv_options),
                                .stride = {1, 1, 1},
                                .dilation = {1, 1, 1},
                                .padding = SUNUP_PADDING_EXPLICIT,
                                .pad_mode = SUNUP_PAD_ZERO,
                                .groups = 1};
}

/* What options say about x with this many space axes; more or fewer than 1..3 are found at shape
 * inference. */
static struct conv_attr attr_of(const sunup_conv_options *options, const sunup_value *x)
{
    const sunup_conv_options o = options ? *options : sunup_conv_defaults();
    const int axes = x && !sunup__is_poison(x) ? x->shape.n - 2 : 1;
    struct conv_attr a = {.space = axes < 1 ? 1 : axes > 3 ? 3 : axes, .padding = o.padding};
    sunup__window_axes(a.space, o.stride, 1, a.w.stride);
    sunup__window_axes(a.space, o.dilation, 1, a.w.dilation);
    sunup__window_axes(a.space, o.before, 0, a.w.before);
    sunup__window_axes(a.space, o.after, 0, a.after);
    sunup__window_axes(a.space, o.output_padding, 0, a.output_padding);
    a.w.groups = o.groups;
    a.w.circular = o.pad_mode == SUNUP_PAD_CIRCULAR;
    return a;
}

sunup_value *sunup_conv(sunup_value *x, sunup_value *w, sunup_value *b,
                        const sunup_conv_options *options)
{
    sunup_value *const in[] = {x, w, b};
    const struct conv_attr attr = attr_of(options, x);
    return sunup__node(sunup__graph_of(3, in), &sunup__op_conv, 3, in, &attr, 0, NULL);
}

sunup_value *sunup_conv_transpose(sunup_value *x, sunup_value *w, sunup_value *b,
                                  const sunup_conv_options *options)
{
    sunup_value *const in[] = {w, x};
    const struct conv_attr attr = attr_of(options, x);
    sunup_graph *g = sunup__graph_of(2, in);
    sunup_value *y = sunup__node(g, &sunup__op_conv_data_grad, 2, in, &attr, 0, NULL);
    if (!b || sunup__is_poison(y) || sunup__is_poison(b)) return b && sunup__is_poison(b) ? b : y;
    if (b->shape.n != 1 || b->shape.d[0] != y->shape.d[y->shape.n - 1])
        return sunup__graph_error(
            g, SUNUP_E_SHAPE,
            "conv_transpose '%s': b %s is not one number for each of the %lld "
            "channels of y %s",
            y->node->layer, TEXT(b), (long long)y->shape.d[y->shape.n - 1], TEXT(y));
    return sunup_add(y, b);
}

/* --- cases --- */

struct problem {
    sunup_shape x, w;
    sunup_conv_options o; /* zero: the default */
    bool bias;
};

static sunup_conv_options filled(const struct problem *p)
{
    sunup_conv_options o = p->o;
    const sunup_conv_options standard = sunup_conv_defaults();
    o.size = standard.size;
    for (int i = 0; i < 3; ++i) {
        if (o.stride[i] == 0) o.stride[i] = standard.stride[i];
        if (o.dilation[i] == 0) o.dilation[i] = standard.dilation[i];
    }
    if (o.groups == 0) o.groups = standard.groups;
    return o;
}

static sunup_value *build_conv(sunup_graph *g, const struct problem *p)
{
    const sunup_conv_options o = filled(p);
    return sunup_conv(sunup__case_input(g, "x", p->x), sunup__case_input(g, "w", p->w),
                      p->bias ? sunup__case_input(g, "b", SUNUP_SHAPE(p->w.d[p->w.n - 1])) : NULL,
                      &o);
}

static sunup_value *build_transpose(sunup_graph *g, const struct problem *p)
{
    const sunup_conv_options o = filled(p);
    return sunup_conv_transpose(sunup__case_input(g, "x", p->x), sunup__case_input(g, "w", p->w),
                                NULL, &o);
}

/* x and a y of the convolution's shape; the op is their weight gradient. */
static sunup_value *build_weight_grad(sunup_graph *g, const struct problem *p)
{
    sunup_value *y = build_conv(g, p);
    if (sunup__is_poison(y)) return y;
    sunup_value *dy = sunup__case_input(g, "dy", sunup_value_shape(y));
    return sunup__conv_weight_grad(y->node->in[0], dy, y->node->attr);
}

#define CASE(KIND, ID, X, W, ...)                                                                  \
    static sunup_value *KIND##_##ID(sunup_graph *g)                                                \
    {                                                                                              \
        return build_##KIND(g, &(struct problem){.x = X, .w = W, __VA_ARGS__});                    \
    }
#define S SUNUP_SHAPE
CASE(conv, line, S(2, 11, 3), S(4, 3, 5), .o = {.stride = {2}, .before = {1}, .after = {2}},
     .bias = true)
CASE(conv, plane, S(2, 5, 4, 3), S(3, 3, 3, 6), .o = {.before = {1, 1}, .after = {1, 1}},
     .bias = true)
CASE(conv, space, S(1, 4, 5, 3, 2), S(2, 3, 2, 2, 3),
     .o = {.before = {0, 1, 1}, .after = {1, 1, 0}}, .bias = true)
CASE(conv, one_tap, S(3, 2, 3, 5), S(1, 1, 5, 7), .bias = false)
CASE(conv, strided, S(1, 7, 9, 2), S(3, 2, 2, 3),
     .o = {.stride = {2, 3}, .before = {1}, .after = {0, 1}})
CASE(conv, dilated, S(1, 9, 8, 2), S(3, 2, 2, 2),
     .o = {.dilation = {3, 5}, .before = {2, 1}, .after = {1, 2}}, .bias = true)
CASE(conv, groups, S(2, 4, 4, 6), S(3, 3, 2, 9),
     .o = {.groups = 3, .before = {1, 1}, .after = {1, 1}}, .bias = true)
CASE(conv, depthwise, S(1, 5, 5, 5), S(3, 3, 1, 10), .o = {.groups = 5, .stride = {2, 1}})
CASE(conv, same, S(1, 7, 6, 2), S(4, 2, 2, 3),
     .o = {.padding = SUNUP_PADDING_SAME, .stride = {2, 1}})
CASE(conv, valid, S(1, 5, 5, 1), S(5, 4, 1, 2), .o = {.padding = SUNUP_PADDING_VALID})
CASE(conv, circular, S(2, 5, 3, 2), S(3, 3, 2, 2),
     .o = {.before = {2, 1}, .after = {1, 3}, .pad_mode = SUNUP_PAD_CIRCULAR}, .bias = true)
CASE(conv, circular_line, S(1, 7, 1), S(3, 1, 2),
     .o = {.before = {4},
           .after = {4},
           .dilation = {3},
           .stride = {2},
           .pad_mode = SUNUP_PAD_CIRCULAR})
CASE(conv, skips, S(1, 6, 5, 1), S(1, 1, 1, 1), .o = {.stride = {4, 3}})
CASE(transpose, line, S(2, 4, 5), S(4, 3, 5), .o = {.stride = {2}, .before = {1}, .after = {2}})
CASE(transpose, more, S(1, 3, 4, 2), S(3, 3, 4, 2),
     .o = {.stride = {2, 3}, .before = {1, 1}, .after = {1, 1}, .output_padding = {1, 2}})
CASE(transpose, dilated, S(1, 3, 3, 2), S(2, 3, 3, 2),
     .o = {.dilation = {3, 2}, .output_padding = {2, 0}})
CASE(transpose, groups, S(2, 3, 2, 6), S(2, 2, 2, 6), .o = {.groups = 3, .stride = {2, 2}})
CASE(transpose, same, S(1, 3, 4, 2), S(3, 4, 1, 2),
     .o = {.padding = SUNUP_PADDING_SAME, .stride = {2, 3}})
CASE(transpose, space, S(1, 2, 2, 2, 2), S(3, 2, 1, 3, 2),
     .o = {.stride = {2, 1, 3}, .before = {1}})
CASE(weight_grad, line, S(3, 11, 2), S(4, 2, 3), .o = {.stride = {2}, .before = {1}, .after = {2}})
CASE(weight_grad, many, S(11, 4, 3, 2), S(3, 3, 1, 4),
     .o = {.groups = 2, .before = {1, 1}, .after = {1, 1}})
CASE(weight_grad, circular, S(2, 5, 3, 1), S(3, 3, 1, 2),
     .o = {.before = {1, 1}, .after = {1, 1}, .pad_mode = SUNUP_PAD_CIRCULAR})

static const struct op_case conv_cases[] = {
    {"conv:n2w11c3k5s4:stride2:pad1,2:bias", conv_line},
    {"conv:n2h5w4c3k6r3s3:pad1:bias", conv_plane},
    {"conv:n1d4h5w3c2k3t2r3s2:pad0,1,1+1,1,0:bias", conv_space},
    {"conv:n3h2w3c5k7r1s1", conv_one_tap},
    {"conv:n1h7w9c2k3r3s2:stride2,3:pad1,0+0,1", conv_strided},
    {"conv:n1h9w8c2k2r3s2:dilation3,5:pad2,1+1,2:bias", conv_dilated},
    {"conv:n2h4w4c6k9r3s3:groups3:pad1:bias", conv_groups},
    {"conv:n1h5w5c5k10r3s3:groups5:stride2,1", conv_depthwise},
    {"conv:n1h7w6c2k3r4s2:same:stride2,1", conv_same},
    {"conv:n1h5w5c1k2r5s4:valid", conv_valid},
    {"conv:n2h5w3c2k2r3s3:circular:pad2,1+1,3:bias", conv_circular},
    {"conv:n1w7c1k2s3:circular:pad4:dilation3:stride2", conv_circular_line},
    {"conv:n1h6w5c1k1r1s1:stride4,3", conv_skips},
};
static const struct op_case data_grad_cases[] = {
    {"conv_data_grad:n2w4c5k3s4:stride2:pad1,2", transpose_line},
    {"conv_data_grad:n1h3w4c2k4r3s3:stride2,3:pad1:more1,2", transpose_more},
    {"conv_data_grad:n1h3w3c2k3r2s3:dilation3,2:more2,0", transpose_dilated},
    {"conv_data_grad:n2h3w2c6k6r2s2:groups3:stride2", transpose_groups},
    {"conv_data_grad:n1h3w4c2k1r3s4:same:stride2,3", transpose_same},
    {"conv_data_grad:n1d2h2w2c2k3t3r2s1:stride2,1,3:pad1,0,0", transpose_space},
};
static const struct op_case weight_grad_cases[] = {
    {"conv_weight_grad:n3w11c2k3s4:stride2:pad1,2", weight_grad_line},
    {"conv_weight_grad:n11h4w3c2k4r3s3:groups2:pad1", weight_grad_many},
    {"conv_weight_grad:n2h5w3c1k2r3s3:circular:pad1", weight_grad_circular},
};

#define CONV_OP(NAME, GRAD, WORKSPACE, RUN, CASES)                                                 \
    const struct op sunup__op_##NAME = {                                                           \
        .name = #NAME,                                                                             \
        .attr_bytes = sizeof(struct conv_attr),                                                    \
        .n_out = 1,                                                                                \
        .infer = sunup__##NAME##_infer,                                                            \
        .grad = GRAD,                                                                              \
        .cost = cost,                                                                              \
        .workspace = WORKSPACE,                                                                    \
        .run = RUN,                                                                                \
        .cases = CASES,                                                                            \
        .n_cases = sizeof CASES / sizeof *CASES,                                                   \
    }
CONV_OP(conv, grad_conv, NULL, run_conv, conv_cases);
CONV_OP(conv_data_grad, grad_data_grad, NULL, run_data_grad, data_grad_cases);
CONV_OP(conv_weight_grad, grad_weight_grad, weight_grad_workspace, run_weight_grad,
        weight_grad_cases);
