/* channel_norm.c - see channel_norm.h: the statistics of groups of channels and what follows from
 * them forward, and the cutting that both directions share.
 *
 *   y = gamma (x - mean) rstd + beta = scale x + shift
 *
 * Ioffe and Szegedy, "Batch normalization" (2015); Wu and He, "Group normalization" (2018).
 *
 * The statistics take one pass over memory. Each piece of rows sums x - pivot and its square, where
 * pivot is the mean of the piece's first sixteenth; with d = pivot - mean,
 *
 *   sum (x - mean)^2 = sum (x - pivot)^2 + 2 d sum (x - pivot) + rows d^2.
 *
 * The pivot is the mean of a share of the numbers, so it is at most 4 deviations of the piece away
 * from the piece's mean, whatever the numbers are: the sum of squares about it is at most 16 times
 * the one about the mean, and no more than 4 bits cancel. E[x^2] - mean^2 has no such bound.
 */
#include "graph/ops/channel_norm.h"

#include <math.h>
#include <string.h>

#include "graph/ops/channel_pass.h"

enum { PIECE_ELEMENTS = 32768, MOST_PIECES = 64, PIVOT_SHARE = 16 };

/* ------------------------------------------------------------------------- passes --- */

struct pass sunup__channel_pass(const struct exec *e, const struct channel_norm_attr *a,
                                sunup_dtype dtype)
{
    return (struct pass){.e = e,
                         .a = a,
                         .dtype = dtype,
                         .round = a->samples,
                         .pieces = sunup__pieces(a->rows, a->c, PIECE_ELEMENTS, MOST_PIECES),
                         .slices = sunup__pieces(a->groups, group_width(a), CHANNEL_TILE, 0)};
}

void *sunup__channel_room(struct pass *p, int64_t n, sunup_dtype dtype)
{
    char *workspace = p->e->workspace;
    void *room = workspace != NULL ? workspace + p->used : NULL;
    p->used += (n * sunup_dtype_bytes(dtype) + 63) / 64 * 64;
    return room;
}

void sunup__channel_part(const struct pass *p, const void *parts, int64_t i, int64_t from,
                         int64_t n, double *to)
{
    const void *part = element_at(parts, p->dtype, i * p->a->c + from);
    if (p->dtype == SUNUP_F64)
        memcpy(to, part, (size_t)n * sizeof *to);
    else
        for (int64_t j = 0; j < n; ++j) to[j] = (double)((const float *)part)[j];
}

bool sunup__channel_streams(const struct pass *p)
{
    const struct channel_norm_attr *a = p->a;
    return sunup__outgrows_caches(a->samples * a->rows * a->c * sunup_dtype_bytes(p->dtype));
}

struct loop {
    parallel_fn task;
    void *arg;
    int64_t first; /* of the tasks */
};
static void run_task(void *arg, int64_t i)
{
    const struct loop *l = arg;
    l->task(l->arg, l->first + i);
}
/* `each` tasks of every sample of the round. */
static void for_samples(const struct pass *p, int64_t each, bool back, parallel_fn task, void *arg)
{
    const int64_t left = p->a->samples - p->from, n = (left < p->round ? left : p->round) * each;
    struct loop l = {task, arg, p->from * each};
    (back ? sunup__parallel_back : sunup__parallel)(p->e->threads, n, run_task, &l);
}

void sunup__for_pieces(const struct pass *p, parallel_fn task, void *arg)
{
    for_samples(p, p->pieces.count, false, task, arg);
}

void sunup__for_pieces_back(const struct pass *p, parallel_fn task, void *arg)
{
    for_samples(p, p->pieces.count, true, task, arg);
}

void sunup__for_slices(const struct pass *p, parallel_fn task, void *arg)
{
    for_samples(p, p->slices.count, false, task, arg);
}

/* ------------------------------------------------------------------------ forward --- */

struct work {
    struct pass pass;
    const void *x, *gamma, *beta;
    void *pivot, *sum, *square;    /* [samples][pieces][c]               */
    double *total, *centre;        /* [samples][c]: of x, of (x - mean)^2 */
    void *scale_c, *shift_c;       /* [samples][c]                       */
    void *mean_g, *rstd_g, *var_g; /* [samples][groups], NULL: unwanted  */
};

static void moments_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct pass *p = &w->pass;
    const struct span s = span_of(p, i);
    const int64_t c = p->a->c, few = s.rows / PIVOT_SHARE + 1;
    const void *x = element_at(w->x, p->dtype, s.first);
    void *pivot = element_at(w->pivot, p->dtype, i * c), *sum = element_at(w->sum, p->dtype, i * c),
         *square = element_at(w->square, p->dtype, i * c);
    sunup__zero(pivot, p->dtype, c);
    sunup__zero(sum, p->dtype, c);
    sunup__zero(square, p->dtype, c);
    CALL(p->e, p->dtype, channel_moments, few, c, x, pivot, sum, square);
    for (int64_t j = 0; j < c; ++j)
        element_set(pivot, p->dtype, j, element_get(sum, p->dtype, j) / (double)few);
    sunup__zero(sum, p->dtype, c);
    sunup__zero(square, p->dtype, c);
    CALL(p->e, p->dtype, channel_moments, s.rows, c, x, pivot, sum, square);
}

/* total[n] += the sums of x over a sample's channels from `from` on. */
static void add_totals(const struct work *w, int64_t sample, int64_t from, int64_t n, double *total)
{
    const struct pass *p = &w->pass;
    double pivot[CHANNEL_TILE], sum[CHANNEL_TILE];
    for (int64_t k = 0; k < p->pieces.count; ++k) {
        const int64_t i = sample * p->pieces.count + k;
        const double rows = (double)piece_length(&p->pieces, k);
        sunup__channel_part(p, w->pivot, i, from, n, pivot);
        sunup__channel_part(p, w->sum, i, from, n, sum);
        for (int64_t j = 0; j < n; ++j) total[j] += sum[j] + rows * pivot[j];
    }
}

/* centre[n] holds means, and becomes the sums of (x - mean)^2. */
static void add_squares(const struct work *w, int64_t sample, int64_t from, int64_t n,
                        double *centre)
{
    const struct pass *p = &w->pass;
    double pivot[CHANNEL_TILE], sum[CHANNEL_TILE], square[CHANNEL_TILE], total[CHANNEL_TILE] = {0};
    for (int64_t k = 0; k < p->pieces.count; ++k) {
        const int64_t i = sample * p->pieces.count + k;
        const double rows = (double)piece_length(&p->pieces, k);
        sunup__channel_part(p, w->pivot, i, from, n, pivot);
        sunup__channel_part(p, w->sum, i, from, n, sum);
        sunup__channel_part(p, w->square, i, from, n, square);
        for (int64_t j = 0; j < n; ++j) {
            const double d = pivot[j] - centre[j];
            total[j] += square[j] + d * (2 * sum[j] + rows * d);
        }
    }
    memcpy(centre, total, (size_t)n * sizeof *centre);
}

static double add_group(const struct work *w, const double *channels, int64_t g)
{
    const int64_t width = group_width(w->pass.a);
    double sum = 0;
    for (int64_t j = 0; j < width; ++j) sum += channels[g * width + j];
    return sum;
}

/* What follows for group g from the sum of squares about its mean. */
static void finish_group(const struct work *w, int64_t g, double mean, double squares)
{
    const struct channel_norm_attr *a = w->pass.a;
    const sunup_dtype dtype = w->pass.dtype;
    const int64_t width = group_width(a), first = g % a->groups * width;
    const double var = fmax(squares, 0) / group_size(a), rstd = 1 / sqrt(var + a->eps);
    if (w->mean_g) element_set(w->mean_g, dtype, g, mean);
    if (w->rstd_g) element_set(w->rstd_g, dtype, g, rstd);
    if (w->var_g) element_set(w->var_g, dtype, g, var);
    for (int64_t j = 0; j < width && w->scale_c && w->shift_c; ++j) {
        const double gamma = w->gamma ? element_get(w->gamma, dtype, first + j) : 1,
                     beta = w->beta ? element_get(w->beta, dtype, first + j) : 0;
        element_set(w->scale_c, dtype, g * width + j, rstd * gamma);
        const double scale = element_get(w->scale_c, dtype, g * width + j); /* as it will act */
        element_set(w->shift_c, dtype, g * width + j, beta - mean * scale);
    }
}

static void statistics_slice(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct channel_norm_attr *a = w->pass.a;
    const struct slice s = slice_of(&w->pass, i);
    const int64_t width = group_width(a), before = s.sample * a->c, to = s.to * width;
    for (int64_t c = s.from * width; c < to; c += CHANNEL_TILE) {
        const int64_t n = to - c < CHANNEL_TILE ? to - c : CHANNEL_TILE;
        memset(w->total + c, 0, (size_t)n * sizeof *w->total);
        add_totals(w, s.sample, c - before, n, w->total + c);
    }
    for (int64_t g = s.from; g < s.to; ++g) {
        const double mean = add_group(w, w->total, g) / group_size(a);
        for (int64_t j = 0; j < width; ++j) w->centre[g * width + j] = mean;
    }
    for (int64_t c = s.from * width; c < to; c += CHANNEL_TILE)
        add_squares(w, s.sample, c - before, to - c < CHANNEL_TILE ? to - c : CHANNEL_TILE,
                    w->centre + c);
    for (int64_t g = s.from; g < s.to; ++g)
        finish_group(w, g, add_group(w, w->total, g) / group_size(a), add_group(w, w->centre, g));
}

static void lay_out(struct work *w)
{
    struct pass *p = &w->pass;
    const int64_t channels = p->a->samples * p->a->c, parts = channels * p->pieces.count;
    void **const each[] = {&w->pivot, &w->sum, &w->square};
    for (size_t i = 0; i < sizeof each / sizeof *each; ++i)
        *each[i] = sunup__channel_room(p, parts, p->dtype);
    w->total = sunup__channel_room(p, channels, SUNUP_F64);
    w->centre = sunup__channel_room(p, channels, SUNUP_F64);
}

static void find_statistics(struct work *w)
{
    sunup__for_pieces(&w->pass, moments_piece, w);
    sunup__for_slices(&w->pass, statistics_slice, w);
}

static struct work forward_work(const struct node *n, const struct exec *e)
{
    struct work w = {.pass = sunup__channel_pass(e, n->attr, n->out[0]->dtype)};
    if (e->in) {
        w.x = e->in[0];
        w.gamma = e->in[1];
        w.beta = e->in[2];
    }
    lay_out(&w);
    return w;
}

static void affine_piece(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct pass *p = &w->pass;
    const struct span s = span_of(p, i);
    CALL(p->e, p->dtype, channel_affine, s.rows, p->a->c, element_at(w->x, p->dtype, s.first),
         element_at(w->scale_c, p->dtype, s.sample * p->a->c),
         element_at(w->shift_c, p->dtype, s.sample * p->a->c), NULL, NULL, NULL, 1,
         sunup__channel_streams(p), element_at(p->e->out[0], p->dtype, s.first));
}

static void lay_out_affine(struct work *w)
{
    const int64_t channels = w->pass.a->samples * w->pass.a->c;
    w->scale_c = sunup__channel_room(&w->pass, channels, w->pass.dtype);
    w->shift_c = sunup__channel_room(&w->pass, channels, w->pass.dtype);
}

sunup_status sunup__channel_norm_run(const struct node *n, const struct exec *e)
{
    struct work w = forward_work(n, e);
    lay_out_affine(&w);
    w.mean_g = e->out[1];
    w.rstd_g = e->out[2];
    w.var_g = n->n_out > 3 ? e->out[3] : NULL;
    find_statistics(&w);
    if (e->out[0]) sunup__for_pieces(&w.pass, affine_piece, &w);
    return SUNUP_OK;
}

int64_t sunup__channel_norm_workspace(const struct node *n, int threads)
{
    (void)threads;
    struct work w = forward_work(n, &(struct exec){0});
    lay_out_affine(&w);
    return w.pass.used;
}

/* A difference, squared, two sums; a product and a sum. */
struct cost sunup__channel_norm_cost(const struct node *n)
{
    return sunup__cost_each(n, 6);
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

/* ----------------------------------------------------------- statistics on their own --- */

static sunup_status statistics_run(const struct node *n, const struct exec *e)
{
    struct work w = forward_work(n, e);
    w.scale_c = e->out[0];
    w.shift_c = e->out[1];
    w.mean_g = e->out[2];
    w.rstd_g = e->out[3];
    w.var_g = e->out[4];
    find_statistics(&w);
    return SUNUP_OK;
}

static int64_t statistics_workspace(const struct node *n, int threads)
{
    (void)threads;
    return forward_work(n, &(struct exec){0}).pass.used;
}

static struct cost statistics_cost(const struct node *n)
{
    return sunup__cost_each(n, 4);
}

static sunup_status statistics_infer(struct node *n)
{
    struct channel_norm_attr *a = n->attr;
    const sunup_value *x = n->in[0];
    a->samples = 1;
    a->c = a->groups = x->shape.d[x->shape.n - 1];
    a->rows = sunup__product(&x->shape, 0, x->shape.n - 1);
    for (int i = 0; i < n->n_out; ++i) sunup__set_out(n, i, x->dtype, SUNUP_SHAPE(a->c));
    return SUNUP_OK;
}

/* All five results in one number a channel. */
static sunup_value *case_statistics(sunup_graph *g)
{
    sunup_value *in[] = {sunup__case_input(g, "x", SUNUP_SHAPE(3, 5, 4, 11)),
                         sunup__case_input(g, "gamma", SUNUP_SHAPE(11)),
                         sunup__case_input(g, "beta", SUNUP_SHAPE(11))};
    const struct channel_norm_attr attr = {.eps = 1e-3};
    sunup_value *y = sunup__node(g, &sunup__op_batch_norm_statistics, 3, in, &attr, 0, NULL);
    if (sunup__is_poison(y)) return y;
    sunup_value *sum = sunup_add(y, sunup_mul(sunup__output(y, 1), sunup__output(y, 2)));
    return sunup_add(sum, sunup_mul(sunup__output(y, 3), sunup__output(y, 4)));
}

static const struct op_case statistics_cases[] = {
    {"batch_norm_statistics:n3h5w4c11", case_statistics},
};

const struct op sunup__op_batch_norm_statistics = {
    .name = "batch_norm_statistics",
    .attr_bytes = sizeof(struct channel_norm_attr),
    .n_out = 5,
    .infer = statistics_infer,
    .cost = statistics_cost,
    .workspace = statistics_workspace,
    .run = statistics_run,
    .cases = statistics_cases,
    .n_cases = sizeof statistics_cases / sizeof *statistics_cases,
};
