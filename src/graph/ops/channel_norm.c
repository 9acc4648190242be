/* channel_norm.c - see channel_norm.h. With h = (x - mean) rstd, over the m numbers of a sample's
 * group:
 *
 *   y  = gamma h + beta,              dgamma = sum(dy h),       dbeta = sum(dy)
 *   dx = rstd (gamma dy - A - h B),   A = sum(gamma dy) / m,    B = sum(gamma dy h) / m
 *
 * Ioffe and Szegedy, "Batch normalization" (2015); Wu and He, "Group normalization" (2018).
 *
 * Passes over the data are cut into pieces of rows, the same whatever the threads; what the pieces
 * sum is added in their order, in f64. The variance is the mean of (x - mean)^2, never E[x^2] -
 * mean^2.
 */
#include "graph/ops/channel_norm.h"

#include <math.h>

#include "graph/ops/op.h"

enum { PIECE_ELEMENTS = 32768, MOST_PIECES = 64 };

/* One run. Arrays marked c are [samples][c], those marked g are [samples][groups]. */
struct work {
    const struct exec *e;
    const struct channel_norm_attr *a;
    sunup_dtype dtype;
    struct pieces pieces; /* of the rows of a sample */
    const void *x, *dy, *gamma, *beta;
    void *part, *part2; /* [samples][pieces][c] sums of each piece */
    void *mean_c, *rstd_c;
    void *scale_c, *shift_c; /* forward: y = scale x + shift */
    void *mean_g, *rstd_g, *var_g;
    void *sum_c, *dot_c, *a_c, *b_c, *d_c; /* gradient: dx = a dy + b x + d */
};

static struct pieces pieces_of(const struct channel_norm_attr *a)
{
    return sunup__pieces(a->rows, a->c, PIECE_ELEMENTS, MOST_PIECES);
}

/* The next n elements of the workspace. */
static void *carve(const struct work *w, int64_t *used, int64_t n)
{
    void *p = element_at(w->e->workspace, w->dtype, *used);
    *used += n;
    return p;
}

static void *at(const struct work *w, const void *p, int64_t i)
{
    return element_at(p, w->dtype, i);
}
static double get(const struct work *w, const void *p, int64_t i)
{
    return element_get(p, w->dtype, i);
}
static void set(const struct work *w, void *p, int64_t i, double v)
{
    element_set(p, w->dtype, i, v);
}

/* Piece i of all samples' pieces: its sample, first element in x, and rows. */
struct span {
    int64_t sample, first, rows;
};
static struct span span_of(const struct work *w, int64_t i)
{
    const int64_t s = i / w->pieces.count, p = i % w->pieces.count;
    return (struct span){s, (s * w->a->rows + piece_from(&w->pieces, p)) * w->a->c,
                         piece_length(&w->pieces, p)};
}

static void for_pieces(struct work *w, parallel_fn task)
{
    sunup__parallel(w->e->threads, w->a->samples * w->pieces.count, task, w);
}
static void for_samples(struct work *w, parallel_fn task)
{
    sunup__parallel(w->e->threads, w->a->samples, task, w);
}

/* Sum over a sample's pieces of channel c. */
static double over_pieces(const struct work *w, const void *part, int64_t sample, int64_t c)
{
    double sum = 0;
    for (int64_t p = 0; p < w->pieces.count; ++p)
        sum += get(w, part, (sample * w->pieces.count + p) * w->a->c + c);
    return sum;
}

/* The same of all channels of a group. */
static double over_group(const struct work *w, const void *part, int64_t sample, int64_t group)
{
    const int64_t width = w->a->c / w->a->groups;
    double sum = 0;
    for (int64_t c = group * width; c < (group + 1) * width; ++c)
        sum += over_pieces(w, part, sample, c);
    return sum;
}

/* --- forward --- */

static void sum_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct span s = span_of(w, i);
    void *part = at(w, w->part, i * w->a->c);
    sunup__zero(part, w->dtype, w->a->c);
    CALL(w->e, w->dtype, channel_sum, s.rows, w->a->c, at(w, w->x, s.first), part);
}

static void square_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct span s = span_of(w, i);
    void *part = at(w, w->part, i * w->a->c);
    sunup__zero(part, w->dtype, w->a->c);
    CALL(w->e, w->dtype, channel_square, s.rows, w->a->c, at(w, w->x, s.first),
         at(w, w->mean_c, s.sample * w->a->c), part);
}

static void affine_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct span s = span_of(w, i);
    CALL(w->e, w->dtype, channel_affine, s.rows, w->a->c, at(w, w->x, s.first),
         at(w, w->scale_c, s.sample * w->a->c), at(w, w->shift_c, s.sample * w->a->c),
         at(w, w->e->out[0], s.first));
}

/* Numbers that share one mean. */
static double group_size(const struct channel_norm_attr *a)
{
    return (double)a->rows * (double)(a->c / a->groups);
}

static void mean_sample(void *arg, int64_t s)
{
    const struct work *w = arg;
    const int64_t groups = w->a->groups, width = w->a->c / groups;
    for (int64_t g = 0; g < groups; ++g) {
        const double mean = over_group(w, w->part, s, g) / group_size(w->a);
        set(w, w->mean_g, s * groups + g, mean);
        for (int64_t c = g * width; c < (g + 1) * width; ++c)
            set(w, w->mean_c, s * w->a->c + c, mean);
    }
}

static void variance_sample(void *arg, int64_t s)
{
    const struct work *w = arg;
    const int64_t groups = w->a->groups, width = w->a->c / groups;
    for (int64_t g = 0; g < groups; ++g) {
        const double mean = get(w, w->mean_g, s * groups + g);
        const double var = over_group(w, w->part, s, g) / group_size(w->a),
                     rstd = 1 / sqrt(var + w->a->eps);
        set(w, w->var_g, s * groups + g, var);
        set(w, w->rstd_g, s * groups + g, rstd);
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            const double scale = rstd * (w->gamma ? get(w, w->gamma, c) : 1);
            set(w, w->scale_c, s * w->a->c + c, scale);
            set(w, w->shift_c, s * w->a->c + c, (w->beta ? get(w, w->beta, c) : 0) - mean * scale);
        }
    }
}

/* Lays out the workspace and returns its elements; statistics nobody asked for go there too. */
static int64_t lay_out_forward(struct work *w, void *const *out, int n_out)
{
    const int64_t channels = w->a->samples * w->a->c, groups = w->a->samples * w->a->groups;
    int64_t used = 0;
    w->part = carve(w, &used, channels * w->pieces.count);
    w->mean_c = carve(w, &used, channels);
    w->scale_c = carve(w, &used, channels);
    w->shift_c = carve(w, &used, channels);
    w->mean_g = carve(w, &used, groups);
    w->rstd_g = carve(w, &used, groups);
    w->var_g = carve(w, &used, groups);
    if (out && out[1]) w->mean_g = out[1];
    if (out && out[2]) w->rstd_g = out[2];
    if (out && n_out > 3 && out[3]) w->var_g = out[3];
    return used;
}

sunup_status sunup__channel_norm_run(const struct node *n, const struct exec *e)
{
    const struct channel_norm_attr *a = n->attr;
    struct work w = {.e = e,
                     .a = a,
                     .dtype = n->out[0]->dtype,
                     .pieces = pieces_of(a),
                     .x = e->in[0],
                     .gamma = e->in[1],
                     .beta = e->in[2]};
    lay_out_forward(&w, e->out, n->n_out);
    for_pieces(&w, sum_piece);
    for_samples(&w, mean_sample);
    for_pieces(&w, square_piece);
    for_samples(&w, variance_sample);
    if (e->out[0]) for_pieces(&w, affine_piece);
    return SUNUP_OK;
}

/* --- gradient --- */

static void spread_sample(void *arg, int64_t s)
{
    const struct work *w = arg;
    const int64_t width = w->a->c / w->a->groups;
    for (int64_t c = 0; c < w->a->c; ++c) {
        set(w, w->mean_c, s * w->a->c + c, get(w, w->mean_g, s * w->a->groups + c / width));
        set(w, w->rstd_c, s * w->a->c + c, get(w, w->rstd_g, s * w->a->groups + c / width));
    }
}

static void grad_sums_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct span s = span_of(w, i);
    void *sum = at(w, w->part, i * w->a->c), *dot = at(w, w->part2, i * w->a->c);
    sunup__zero(sum, w->dtype, w->a->c);
    sunup__zero(dot, w->dtype, w->a->c);
    CALL(w->e, w->dtype, channel_grad_sums, s.rows, w->a->c, at(w, w->x, s.first),
         at(w, w->dy, s.first), at(w, w->mean_c, s.sample * w->a->c),
         at(w, w->rstd_c, s.sample * w->a->c), sum, dot);
}

/* a, b, d of one group of channels: dx = a dy + b x + d with h written out. */
static void coefficients(const struct work *w, int64_t s, int64_t g)
{
    const int64_t width = w->a->c / w->a->groups, first = s * w->a->c;
    double sum = 0, dot = 0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        const double gamma = w->gamma ? get(w, w->gamma, c) : 1;
        sum += gamma * get(w, w->sum_c, first + c);
        dot += gamma * get(w, w->dot_c, first + c);
    }
    const double mean = get(w, w->mean_g, s * w->a->groups + g),
                 rstd = get(w, w->rstd_g, s * w->a->groups + g);
    const double b = -rstd * rstd * dot / group_size(w->a);
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        set(w, w->a_c, first + c, rstd * (w->gamma ? get(w, w->gamma, c) : 1));
        set(w, w->b_c, first + c, b);
        set(w, w->d_c, first + c, -rstd * sum / group_size(w->a) - b * mean);
    }
}

static void coefficients_sample(void *arg, int64_t s)
{
    const struct work *w = arg;
    for (int64_t c = 0; c < w->a->c; ++c) {
        set(w, w->sum_c, s * w->a->c + c, over_pieces(w, w->part, s, c));
        set(w, w->dot_c, s * w->a->c + c, over_pieces(w, w->part2, s, c));
    }
    for (int64_t g = 0; g < w->a->groups; ++g) coefficients(w, s, g);
}

static void grad_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct span s = span_of(w, i);
    const int64_t c = s.sample * w->a->c;
    CALL(w->e, w->dtype, channel_grad, s.rows, w->a->c, at(w, w->x, s.first), at(w, w->dy, s.first),
         at(w, w->a_c, c), at(w, w->b_c, c), at(w, w->d_c, c), at(w, w->e->out[0], s.first));
}

static int64_t lay_out_grad(struct work *w)
{
    const int64_t channels = w->a->samples * w->a->c;
    int64_t used = 0;
    w->part = carve(w, &used, channels * w->pieces.count);
    w->part2 = carve(w, &used, channels * w->pieces.count);
    void **const each[] = {&w->mean_c, &w->rstd_c, &w->sum_c, &w->dot_c, &w->a_c, &w->b_c, &w->d_c};
    for (size_t i = 0; i < sizeof each / sizeof *each; ++i) *each[i] = carve(w, &used, channels);
    return used;
}

sunup_status sunup__channel_norm_grad_run(const struct node *n, const struct exec *e)
{
    const struct channel_norm_attr *a = n->attr;
    struct work w = {.e = e,
                     .a = a,
                     .dtype = n->out[0]->dtype,
                     .pieces = pieces_of(a),
                     .x = e->in[0],
                     .gamma = e->in[1],
                     .mean_g = e->in[2],
                     .rstd_g = e->in[3],
                     .dy = e->in[4]};
    lay_out_grad(&w);
    for_samples(&w, spread_sample);
    for_pieces(&w, grad_sums_piece);
    for_samples(&w, coefficients_sample);
    if (e->out[0]) for_pieces(&w, grad_piece);
    if (e->out[1]) sunup__add_parts(w.dot_c, w.dtype, a->samples, a->c, e->out[1]);
    if (e->out[2]) sunup__add_parts(w.sum_c, w.dtype, a->samples, a->c, e->out[2]);
    return SUNUP_OK;
}

/* --- shapes, cost, gradient rule --- */

int64_t sunup__channel_norm_workspace(const struct node *n, int threads)
{
    (void)threads;
    struct work w = {.e = &(struct exec){0},
                     .a = n->attr,
                     .dtype = n->out[0]->dtype,
                     .pieces = pieces_of(n->attr)};
    return lay_out_forward(&w, NULL, 0) * sunup_dtype_bytes(w.dtype);
}

int64_t sunup__channel_norm_grad_workspace(const struct node *n, int threads)
{
    (void)threads;
    struct work w = {.e = &(struct exec){0},
                     .a = n->attr,
                     .dtype = n->out[0]->dtype,
                     .pieces = pieces_of(n->attr)};
    return lay_out_grad(&w) * sunup_dtype_bytes(w.dtype);
}

/* A sum, a difference squared and summed, a product and a sum. */
struct cost sunup__channel_norm_cost(const struct node *n)
{
    return sunup__cost_each(n, 6);
}
struct cost sunup__channel_norm_grad_cost(const struct node *n)
{
    return sunup__cost_each(n, 8);
}

sunup_status sunup__channel_norm_infer(struct node *n, sunup_shape statistics)
{
    const struct channel_norm_attr *a = n->attr;
    TRY(sunup__vector(n, 1, "gamma", a->c, "for each channel of x"));
    TRY(sunup__vector(n, 2, "beta", a->c, "for each channel of x"));
    sunup__set_out(n, 0, n->in[0]->dtype, n->in[0]->shape);
    for (int i = 1; i < n->n_out; ++i) sunup__set_out(n, i, n->in[0]->dtype, statistics);
    return SUNUP_OK;
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
