/* channel_norm_grad.c - see channel_norm.h: the gradient of a normalisation. With h = (x - mean)
 * rstd, over the m numbers of a sample's group:
 *
 *   dgamma = sum(dy h),   dbeta = sum(dy)
 *   dx = rstd (gamma dy - A - h B) = a dy + (b x + d),  A = sum(gamma dy) / m, B = sum(gamma dy h) / m
 *
 * Two passes over memory: sums, then dx, which finds in the second-level cache what a round of samples
 * has left there. The sums may come with a program that computes dy (the gradient of an activation, a
 * sum of branches): it runs on a block of rows, which the sums then find in that cache. A block is 128
 * KiB of each of dy, x, and an operand or two.
 */
#include "graph/ops/channel_norm.h"

#include "graph/ops/channel_pass.h"
#include "graph/ops/pointwise.h"

enum { BLOCK_ELEMENTS = 32768 };

struct work {
    struct pass pass;
    const void *x, *dy, *gamma, *mean_g, *rstd_g;
    const void *mean_c, *rstd_c;     /* [samples][c]                */
    void *sum, *dot;                 /* [samples][pieces][c]        */
    double *sum_c, *dot_c;           /* [samples][c]                */
    void *a_c, *b_c, *d_c;           /* [samples][c], all or NULL   */
    const struct node *node;         /* whose program computes dy   */
    const struct chain_attr *before; /* NULL: dy is there           */
    const void *scale, *shift;       /* dy counts where scale x + shift > 0; NULL: everywhere */
    double slope;                    /* and elsewhere times this */
    char *rooms;                     /* of the program, for each piece */
    int64_t room_bytes;
    char *blocks; /* of dy if it is no result, for each piece */
};

/* ------------------------------------------------------------------------ program --- */

/* The program on a few rows, as a chain of its own. */
struct excerpt {
    struct node node;
    sunup_value value[CHAIN_IN + CHAIN_STEPS];
    sunup_value *in[CHAIN_IN], *out[CHAIN_STEPS];
    void *from[CHAIN_IN], *to[CHAIN_STEPS];
};

static bool is_like(const struct work *w, const sunup_value *v)
{
    return sunup__elements(&v->shape) == w->pass.a->rows * w->pass.a->c;
}

static void excerpt(const struct work *w, int64_t rows, struct excerpt *t)
{
    const struct node *n = w->node;
    const int n_in = n->n_in - SUMS_OPERANDS, n_out = n->n_out - SUMS_RESULTS;
    const sunup_shape block = SUNUP_SHAPE(rows, w->pass.a->c);
    for (int i = 0; i < n_in; ++i) {
        const sunup_value *v = n->in[SUMS_OPERANDS + i];
        const bool one = sunup__elements(&v->shape) == 1;
        t->value[i] = *v;
        t->value[i].shape = is_like(w, v) ? block : one ? SUNUP_SCALAR : SUNUP_SHAPE(w->pass.a->c);
        t->in[i] = &t->value[i];
    }
    for (int o = 0; o < n_out; ++o) {
        t->value[n_in + o] = *n->out[SUMS_RESULTS + o];
        t->value[n_in + o].shape = block;
        t->out[o] = &t->value[n_in + o];
    }
    t->node = *n;
    t->node.n_in = n_in;
    t->node.n_out = n_out;
    t->node.in = t->in;
    t->node.out = t->out;
}

/* dy of `rows` rows of piece i from element `first` on. */
static const void *dy_of_block(const struct work *w, int64_t i, int64_t first, int64_t rows)
{
    const struct exec *e = w->pass.e;
    const sunup_dtype dtype = w->pass.dtype;
    if (!w->before) return element_at(w->dy, dtype, first);
    struct excerpt t;
    excerpt(w, rows, &t);
    for (int k = 0; k < t.node.n_in; ++k) {
        void *in = e->in[SUMS_OPERANDS + k];
        t.from[k] = is_like(w, w->node->in[SUMS_OPERANDS + k]) ? element_at(in, dtype, first) : in;
    }
    for (int o = 0; o < t.node.n_out; ++o)
        t.to[o] = element_at(e->out[SUMS_RESULTS + o], dtype, first);
    if (!t.to[0]) t.to[0] = element_at(w->blocks, dtype, i * BLOCK_ELEMENTS);
    struct exec one = *e;
    one.threads = 1;
    one.in = t.from;
    one.out = t.to;
    one.workspace = w->rooms + i * w->room_bytes;
    (void)sunup__chain_run(&t.node, w->before, &one); /* it has nothing to fail of */
    return t.to[0];
}

/* --------------------------------------------------------------------------- sums --- */

static int64_t block_rows(const struct channel_norm_attr *a)
{
    return a->c < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / a->c : 1;
}

static void sums_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct pass *p = &w->pass;
    const struct span s = span_of(p, i);
    const int64_t c = p->a->c, most = block_rows(p->a);
    void *sum = element_at(w->sum, p->dtype, i * c), *dot = element_at(w->dot, p->dtype, i * c);
    sunup__zero(sum, p->dtype, c);
    sunup__zero(dot, p->dtype, c);
    for (int64_t row = 0; row < s.rows; row += most) {
        const int64_t rows = s.rows - row < most ? s.rows - row : most, first = s.first + row * c;
        const void *x = element_at(w->x, p->dtype, first), *dy = dy_of_block(w, i, first, rows),
                   *mean = element_at(w->mean_c, p->dtype, s.sample * c),
                   *rstd = element_at(w->rstd_c, p->dtype, s.sample * c);
        if (p->dtype == SUNUP_F64)
            p->e->kernels->f64.channel_grad_sums(rows, c, x, dy, w->scale, w->shift, w->slope, mean,
                                                 rstd, sum, dot);
        else
            p->e->kernels->f32.channel_grad_sums(rows, c, x, dy, w->scale, w->shift,
                                                 (float)w->slope, mean, rstd, sum, dot);
    }
}

/* total[n] = the sum of a sample's pieces, channels from `from` on. */
static void add_pieces(const struct work *w, const void *parts, int64_t sample, int64_t from,
                       int64_t n, double *total)
{
    const struct pass *p = &w->pass;
    double part[CHANNEL_TILE];
    for (int64_t j = 0; j < n; ++j) total[j] = 0;
    for (int64_t k = 0; k < p->pieces.count; ++k) {
        sunup__channel_part(p, parts, sample * p->pieces.count + k, from, n, part);
        for (int64_t j = 0; j < n; ++j) total[j] += part[j];
    }
}

/* a, b, d of the channels of group g. */
static void coefficients(const struct work *w, int64_t g)
{
    const struct channel_norm_attr *a = w->pass.a;
    const sunup_dtype dtype = w->pass.dtype;
    const int64_t width = group_width(a), first = g % a->groups * width;
    double sum = 0, dot = 0;
    for (int64_t j = 0; j < width; ++j) {
        const double gamma = w->gamma ? element_get(w->gamma, dtype, first + j) : 1;
        sum += gamma * w->sum_c[g * width + j];
        dot += gamma * w->dot_c[g * width + j];
    }
    const double mean = element_get(w->mean_g, dtype, g), rstd = element_get(w->rstd_g, dtype, g);
    const double b = -rstd * rstd * dot / group_size(a);
    for (int64_t j = 0; j < width; ++j) {
        const double gamma = w->gamma ? element_get(w->gamma, dtype, first + j) : 1;
        element_set(w->a_c, dtype, g * width + j, rstd * gamma);
        element_set(w->b_c, dtype, g * width + j, b);
        element_set(w->d_c, dtype, g * width + j, -rstd * sum / group_size(a) - b * mean);
    }
}

static void coefficients_slice(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct channel_norm_attr *a = w->pass.a;
    const struct slice s = slice_of(&w->pass, i);
    const int64_t width = group_width(a), before = s.sample * a->c, to = s.to * width;
    for (int64_t c = s.from * width; c < to; c += CHANNEL_TILE) {
        const int64_t n = to - c < CHANNEL_TILE ? to - c : CHANNEL_TILE;
        add_pieces(w, w->sum, s.sample, c - before, n, w->sum_c + c);
        add_pieces(w, w->dot, s.sample, c - before, n, w->dot_c + c);
    }
    for (int64_t g = s.from; g < s.to && w->a_c; ++g) coefficients(w, g);
}

/* Statistics of groups, one for each channel. */
static void spread_slice(void *arg, int64_t i)
{
    const struct work *w = arg;
    const sunup_dtype dtype = w->pass.dtype;
    const struct slice s = slice_of(&w->pass, i);
    const int64_t width = group_width(w->pass.a);
    for (int64_t c = s.from * width; c < s.to * width; ++c) {
        element_set((void *)w->mean_c, dtype, c, element_get(w->mean_g, dtype, c / width));
        element_set((void *)w->rstd_c, dtype, c, element_get(w->rstd_g, dtype, c / width));
    }
}

/* y[c] = the sum over samples, if it is wanted. */
static void add_samples(const struct work *w, const double *channels, void *y)
{
    const struct channel_norm_attr *a = w->pass.a;
    for (int64_t c = 0; c < a->c && y; ++c) {
        double sum = 0;
        for (int64_t s = 0; s < a->samples; ++s) sum += channels[s * a->c + c];
        element_set(y, w->pass.dtype, c, sum);
    }
}

static void find_sums(struct work *w)
{
    const struct channel_norm_attr *a = w->pass.a;
    if (a->groups < a->c) sunup__for_slices(&w->pass, spread_slice, w);
    sunup__for_pieces(&w->pass, sums_piece, w);
    sunup__for_slices(&w->pass, coefficients_slice, w);
}

static struct work grad_work(const struct node *n, const struct channel_norm_attr *a,
                             const struct exec *e)
{
    struct work w = {.pass = sunup__channel_pass(e, a, n->in[0]->dtype)};
    struct pass *p = &w.pass;
    const int64_t channels = a->samples * a->c, parts = channels * p->pieces.count;
    if (e->in) {
        w.x = e->in[0];
        w.gamma = e->in[1];
        w.mean_c = w.mean_g = e->in[2];
        w.rstd_c = w.rstd_g = e->in[3];
        w.dy = e->in[4];
    }
    w.sum = sunup__channel_room(p, parts, p->dtype);
    w.dot = sunup__channel_room(p, parts, p->dtype);
    w.sum_c = sunup__channel_room(p, channels, SUNUP_F64);
    w.dot_c = sunup__channel_room(p, channels, SUNUP_F64);
    if (a->groups == a->c) return w;
    w.mean_c = sunup__channel_room(p, channels, p->dtype);
    w.rstd_c = sunup__channel_room(p, channels, p->dtype);
    return w;
}

/* ----------------------------------------------------------------------- gradient --- */

static struct work whole_work(const struct node *n, const struct exec *e)
{
    const struct channel_norm_attr *a = n->attr;
    struct work w = grad_work(n, a, e);
    void **const each[] = {&w.a_c, &w.b_c, &w.d_c};
    for (size_t i = 0; i < sizeof each / sizeof *each; ++i)
        *each[i] = sunup__channel_room(&w.pass, a->samples * a->c, w.pass.dtype);
    return w;
}

static void grad_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct pass *p = &w->pass;
    const struct span s = span_of(p, i);
    const int64_t c = s.sample * p->a->c;
    CALL(p->e, p->dtype, channel_grad, s.rows, p->a->c, element_at(w->x, p->dtype, s.first),
         element_at(w->dy, p->dtype, s.first), NULL, NULL, 0, element_at(w->a_c, p->dtype, c),
         element_at(w->b_c, p->dtype, c), element_at(w->d_c, p->dtype, c),
         sunup__channel_streams(p), element_at(p->e->out[0], p->dtype, s.first));
}

/* As many samples as half of the second levels holds of x or dy, at least one. For the forward pass, which reads
 * x alone twice, rounds cost more than they save: 16 samples of 56x56x256 took 5.0 ms in place of 4.4 where the
 * gradient took 7.5 in place of 9.2. */
static int64_t samples_that_stay(const struct pass *p)
{
    const int64_t bytes = p->a->rows * p->a->c * sunup_dtype_bytes(p->dtype);
    const int64_t fit = p->e->threads * sunup__cache_bytes(2) / 2 / (bytes > 0 ? bytes : 1);
    return fit > 1 ? fit : 1;
}

sunup_status sunup__channel_norm_grad_run(const struct node *n, const struct exec *e)
{
    struct work w = whole_work(n, e);
    w.pass.round = samples_that_stay(&w.pass);
    for (struct pass *p = &w.pass; p->from < p->a->samples; p->from += p->round) {
        find_sums(&w);
        if (e->out[0]) sunup__for_pieces_back(p, grad_piece, &w);
    }
    add_samples(&w, w.dot_c, e->out[1]);
    add_samples(&w, w.sum_c, e->out[2]);
    return SUNUP_OK;
}

int64_t sunup__channel_norm_grad_workspace(const struct node *n, int threads)
{
    (void)threads;
    return whole_work(n, &(struct exec){0}).pass.used;
}

struct cost sunup__channel_norm_grad_cost(const struct node *n)
{
    return sunup__cost_each(n, 8);
}

sunup_status sunup__channel_norm_grad_infer(struct node *n)
{
    const struct channel_norm_attr *a = n->attr;
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    for (int i = 1; i < 3; ++i) sunup__set_out(n, i, n->in[0]->dtype, SUNUP_SHAPE(a->c));
    return SUNUP_OK;
}

void sunup__channel_norm_grad(const struct op *back, struct node *n, sunup_value *dy,
                              const bool *want, sunup_value **dx)
{
    if (!dy) return; /* only the statistics were used: they are constants to a gradient */
    sunup_value *const in[] = {n->in[0], n->in[1], n->out[1], n->out[2], dy};
    sunup_value *d = sunup__node(n->graph, back, 5, in, n->attr, 0, NULL);
    for (int i = 0; i < 3; ++i)
        if (n->in[i] && want[i]) dx[i] = sunup__output(d, i);
}

/* --------------------------------------------------------------- sums on their own --- */

static struct work sums_work(const struct node *n, const struct exec *e)
{
    const struct channel_sums_attr *a = n->attr;
    struct work w = grad_work(n, &a->norm, e);
    w.node = n;
    if (a->before.n_steps == 0) return w;
    const int64_t pieces = w.pass.pieces.count, rows = block_rows(&a->norm);
    struct excerpt t;
    excerpt(&w, rows < a->norm.rows ? rows : a->norm.rows, &t);
    w.before = &a->before;
    w.room_bytes = (sunup__chain_workspace(&t.node, &a->before, 1) + 63) / 64 * 64;
    w.rooms = sunup__channel_room(&w.pass, pieces * w.room_bytes / sunup_dtype_bytes(w.pass.dtype),
                                  w.pass.dtype);
    w.blocks = sunup__channel_room(&w.pass, pieces * rows * a->norm.c, w.pass.dtype);
    return w;
}

/* A mask that the leaf knows; leaky relu of slope 0 has other bits than relu. */
static bool masks(const struct chain_step *s)
{
    return s->code == PW_relu_grad || (s->code == PW_leaky_relu_grad && s->imm[0] != 0);
}

/* A program that only masks by y = scale x + shift, as that of batch norm and relu, leaky or not:
 * the leaf does it in registers. */
static bool is_mask(const struct node *n)
{
    const struct chain_attr *a = &((const struct channel_sums_attr *)n->attr)->before;
    const int n_in = n->n_in - SUMS_OPERANDS;
    if (a->n_steps != 2 || a->n_out != 1 || a->steps[0].code != PW_fma || !masks(&a->steps[1]) ||
        a->steps[1].a != n_in || a->steps[1].b >= n_in ||
        n->in[SUMS_OPERANDS + a->steps[0].a] != n->in[0])
        return false;
    const int64_t c = n->out[0]->shape.d[0];
    const sunup_value *scale = n->in[SUMS_OPERANDS + a->steps[0].b],
                      *shift = n->in[SUMS_OPERANDS + a->steps[0].c];
    return sunup__elements(&scale->shape) == c && sunup__elements(&shift->shape) == c &&
           sunup__same_shape(&n->in[SUMS_OPERANDS + a->steps[1].b]->shape, &n->in[0]->shape);
}

static void use_mask(struct work *w, const struct exec *e)
{
    const struct chain_step *steps = w->before->steps;
    w->scale = e->in[SUMS_OPERANDS + steps[0].b];
    w->shift = e->in[SUMS_OPERANDS + steps[0].c];
    w->dy = e->in[SUMS_OPERANDS + steps[1].b];
    w->slope = steps[1].code == PW_relu_grad ? 0 : steps[1].imm[0];
    w->before = NULL;
}

static sunup_status sums_run(const struct node *n, const struct exec *e)
{
    struct work w = sums_work(n, e);
    if (w.before && !e->out[SUMS_RESULTS] && is_mask(n)) use_mask(&w, e);
    if (e->out[0] && e->out[1] && e->out[2]) {
        w.a_c = e->out[0];
        w.b_c = e->out[1];
        w.d_c = e->out[2];
    }
    find_sums(&w);
    add_samples(&w, w.dot_c, e->out[3]);
    add_samples(&w, w.sum_c, e->out[4]);
    return SUNUP_OK;
}

static int64_t sums_workspace(const struct node *n, int threads)
{
    (void)threads;
    return sums_work(n, &(struct exec){0}).pass.used;
}

static struct cost sums_cost(const struct node *n)
{
    const struct channel_sums_attr *a = n->attr;
    double flops = 4;
    for (int t = 0; t < a->before.n_steps; ++t)
        flops += sunup__pointwise_flops(a->before.steps[t].code);
    return sunup__cost_each(n, flops);
}

static sunup_status sums_infer(struct node *n)
{
    struct channel_sums_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    a->norm.samples = 1;
    a->norm.c = a->norm.groups = x->shape.d[x->shape.n - 1];
    a->norm.rows = sunup__product(&x->shape, 0, x->shape.n - 1);
    for (int i = 0; i < n->n_out; ++i)
        sunup__set_out(n, i, x->dtype, i < SUMS_RESULTS ? SUNUP_SHAPE(a->norm.c) : x->shape);
    return SUNUP_OK;
}

/* All five sums and the result of the program in one value. */
static sunup_value *build(sunup_graph *g, sunup_shape x, const struct chain_attr *before)
{
    const sunup_shape c = SUNUP_SHAPE(x.d[x.n - 1]);
    sunup_value *in[] = {sunup__case_input(g, "x", x),    sunup__case_input(g, "gamma", c),
                         sunup__case_input(g, "mean", c), sunup__case_input(g, "rstd", c),
                         sunup__case_input(g, "dy", x),   sunup__case_input(g, "bias", c)};
    const struct channel_sums_attr attr = {.before = *before};
    sunup_value *y = sunup__node(g, &sunup__op_batch_norm_sums, before->n_steps > 0 ? 6 : 5, in,
                                 &attr, SUMS_RESULTS + before->n_out, NULL);
    if (sunup__is_poison(y)) return y;
    sunup_value *sum = y;
    for (int o = 1; o < SUMS_RESULTS + before->n_out; ++o)
        sum = sunup_add(sunup_scale(sum, 0.5, 0), sunup__output(y, o));
    return sum;
}

static sunup_value *case_plain(sunup_graph *g)
{
    return build(g, SUNUP_SHAPE(3, 5, 4, 11), &(struct chain_attr){0});
}

/* dy = where(operand > 0) (operand + bias), over more than one block. */
static sunup_value *case_program(sunup_graph *g)
{
    static const struct chain_step steps[] = {{PW_add, 0, 1, -1, {0, 0}},
                                              {PW_relu_grad, 0, 2, -1, {0, 0}}};
    static const int out[] = {3};
    return build(g, SUNUP_SHAPE(71, 1000), &(struct chain_attr){2, 1, steps, out});
}

static const struct op_case sums_cases[] = {
    {"batch_norm_sums:n3h5w4c11", case_plain},
    {"batch_norm_sums:n71c1000:program", case_program},
};

const struct op sunup__op_batch_norm_sums = {
    .name = "batch_norm_sums",
    .attr_bytes = sizeof(struct channel_sums_attr),
    .n_out = SUMS_RESULTS,
    .infer = sums_infer,
    .cost = sums_cost,
    .workspace = sums_workspace,
    .run = sums_run,
    .cases = sums_cases,
    .n_cases = sizeof sums_cases / sizeof *sums_cases,
};
