/* attention_bf16x3_test.c - attention whose operands have two parts, beside sums in f64 written out here.
 *
 * A part of bf16 has 8 bits, so an operand of two errs by 2^-17 of itself, and what a product leaves out is 2^-16 of
 * it: 2^-15 in all. That of a score moves its weight and, forward, the sum of weights by as much as it is; what follows
 * from it is added up along the way, element by element.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "device/cpu/maker_run_test.h"
#include "graph/ops/attention.h"

enum { Q, K, V, BIAS, Y, LSE, DY, INPUTS };
enum { DQ, DK, DV, DBIAS, OUTPUTS };

struct sizes {
    int64_t n, queries, keys, c, v, heads, bias_n, bias_heads; /* c, v of all heads */
    bool causal;
};

static const struct sizes problems[] = {
    {2, 64, 256, 32, 32, 1, 0, 0, false}, {1, 70, 70, 36, 54, 2, 0, 0, true},
    {1, 33, 515, 48, 32, 1, 0, 0, false}, {1, 35, 300, 16, 16, 1, 0, 0, true},
    {1, 90, 40, 33, 17, 1, 0, 0, true},   {2, 67, 45, 40, 66, 2, 2, 2, false},
    {3, 34, 35, 64, 32, 2, 1, 1, false},  {2, 65, 257, 40, 40, 2, 1, 2, true},
    {1, 1, 1, 1, 1, 1, 0, 0, false},      {1, 128, 64, 130, 70, 1, 0, 0, false}};

/* Operands, what is expected, and how far from it a result may be. */
struct truth {
    const struct sizes *s;
    float *in[INPUTS];
    int64_t count[INPUTS];
    double *y, *lse, *want[OUTPUTS], *y_bound, *lse_bound, *bound[OUTPUTS];
};

static double *doubles(int64_t n)
{
    double *x = sunup__alloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = 0;
    return x;
}

/* One query of a head: its scores, weights and their gradients, and errors of these. */
struct query {
    double s[600], p[600], ds[600], error[600];
    double scores_error;
};

static double scale_of(const struct sizes *s)
{
    return 1 / sqrt((double)(s->c / s->heads));
}

/* The error of a product of operands in two parts and of sums in f32, as a share of the sum of |products|. */
static double share(int64_t terms)
{
    return 0x1p-15 + (double)(terms + 40) * 0x1p-23;
}

static int64_t bias_at(const struct sizes *s, int64_t n, int64_t h, int64_t i)
{
    const int64_t sample = s->bias_n > 1 ? n : 0, head = s->bias_heads > 1 ? h : 0;
    return ((sample * s->bias_heads + head) * s->queries + i) * s->keys;
}

static void score(const struct truth *t, int64_t n, int64_t h, int64_t i, int64_t seen, struct query *q)
{
    const struct sizes *s = t->s;
    const int64_t d = s->c / s->heads;
    const float *x = t->in[Q] + (n * s->queries + i) * s->c + h * d;
    q->scores_error = 0;
    for (int64_t j = 0; j < seen; j++) {
        const float *k = t->in[K] + (n * s->keys + j) * s->c + h * d;
        const double bias = t->in[BIAS] ? (double)t->in[BIAS][bias_at(s, n, h, i) + j] : 0;
        double sum = 0, size = 0;
        for (int64_t e = 0; e < d; e++) {
            sum += (double)x[e] * (double)k[e];
            size += fabs((double)x[e] * (double)k[e]);
        }
        q->s[j] = scale_of(s) * sum + bias;
        q->scores_error = fmax(q->scores_error, scale_of(s) * size * share(d) +
                                                    0x1p-20 * (1 + fabs(bias) + fabs(q->s[j])));
    }
}

static void forward_query(struct truth *t, int64_t n, int64_t h, int64_t i, int64_t seen, struct query *q)
{
    const struct sizes *s = t->s;
    const int64_t d = s->v / s->heads, at = (n * s->queries + i) * s->v + h * d,
                  row = (n * s->heads + h) * s->queries + i;
    double most = (double)-INFINITY, total = 0;
    score(t, n, h, i, seen, q);
    for (int64_t j = 0; j < seen; j++) most = fmax(most, q->s[j]);
    for (int64_t j = 0; j < seen; j++) total += q->p[j] = exp(q->s[j] - most);
    for (int64_t j = 0; j < seen; j++) q->p[j] /= total;
    t->lse[row] = seen > 0 ? most + log(total) : (double)-INFINITY;
    t->lse_bound[row] = q->scores_error + 0x1p-20 * (1 + fabs(t->lse[row]));
    for (int64_t e = 0; e < d; e++) {
        for (int64_t j = 0; j < seen; j++) {
            const double term = q->p[j] * (double)t->in[V][(n * s->keys + j) * s->v + h * d + e];
            t->y[at + e] += term;
            t->y_bound[at + e] += fabs(term) * (2.1 * q->scores_error + share(s->keys));
        }
        t->in[Y][at + e] = (float)t->y[at + e];
    }
    t->in[LSE][row] = (float)t->lse[row];
}

static void grow(struct truth *t, int which, int64_t at, double term, double bound)
{
    t->want[which][at] += term;
    t->bound[which][at] += bound;
}

static void backward_query(struct truth *t, int64_t n, int64_t h, int64_t i, int64_t seen, struct query *q)
{
    const struct sizes *s = t->s;
    const int64_t c = s->c / s->heads, v = s->v / s->heads, at = (n * s->queries + i) * s->v + h * v,
                  at_q = (n * s->queries + i) * s->c + h * c;
    const double scale = scale_of(s), p_error = 1.1 * q->scores_error + 0x1p-18, sums = share(s->keys + s->queries);
    double delta = 0, delta_size = 0;
    for (int64_t e = 0; e < v; e++) {
        const double term = (double)t->in[Y][at + e] * (double)t->in[DY][at + e];
        delta += term;
        delta_size += fabs(term);
    }
    for (int64_t j = 0; j < seen; j++) {
        const int64_t at_k = (n * s->keys + j) * s->c + h * c, at_v = (n * s->keys + j) * s->v + h * v;
        double dp = 0, dp_size = 0;
        for (int64_t e = 0; e < v; e++) {
            const double dy = (double)t->in[DY][at + e], term = (double)t->in[V][at_v + e] * dy;
            dp += term;
            dp_size += fabs(term);
            grow(t, DV, at_v + e, q->p[j] * dy, q->p[j] * fabs(dy) * (p_error + sums));
        }
        const double d = q->p[j] * (dp - delta),
                     error = p_error * fabs(d) +
                             q->p[j] * (share(v) * dp_size + (double)(v + 8) * 0x1p-23 * (delta_size + dp_size)),
                     ds = scale * d, ds_error = scale * error + sums * fabs(ds);
        if (t->in[BIAS]) grow(t, DBIAS, bias_at(s, n, h, i) + j, d, error + 0x1p-20 * fabs(d));
        for (int64_t e = 0; e < c; e++) {
            const double x = (double)t->in[Q][at_q + e], k = (double)t->in[K][at_k + e];
            grow(t, DQ, at_q + e, ds * k, ds_error * fabs(k));
            grow(t, DK, at_k + e, ds * x, ds_error * fabs(x));
        }
    }
}

static void find(struct truth *t, const struct sizes *s)
{
    static struct query q;
    const int64_t rows = s->n * s->heads * s->queries;
    const int64_t count[INPUTS] = {s->n * s->queries * s->c, s->n * s->keys * s->c,    s->n * s->keys * s->v,
                                   s->bias_n * s->bias_heads * s->queries * s->keys,
                                   s->n * s->queries * s->v, rows, s->n * s->queries * s->v};
    *t = (struct truth){.s = s};
    for (int i = 0; i < INPUTS; i++) {
        const struct random_stream r = {7, RANDOM_TEST, 1, (uint64_t)i};
        t->count[i] = count[i];
        if (count[i] == 0) continue;
        t->in[i] = sunup__alloc_aligned((size_t)count[i] * sizeof(float));
        for (int64_t j = 0; j < count[i]; j++) t->in[i][j] = (float)sunup__random_normal(&r, (uint64_t)j);
    }
    t->y = doubles(count[Y]);
    t->y_bound = doubles(count[Y]);
    t->lse = doubles(rows);
    t->lse_bound = doubles(rows);
    for (int i = 0; i < OUTPUTS; i++) {
        t->want[i] = doubles(count[i]);
        t->bound[i] = doubles(count[i]);
    }
    for (int64_t n = 0; n < s->n; n++) {
        for (int64_t h = 0; h < s->heads; h++) {
            for (int64_t i = 0; i < s->queries; i++) {
                const int64_t end = s->causal ? i + 1 + s->keys - s->queries : s->keys,
                              seen = end < 0 ? 0 : end < s->keys ? end : s->keys;
                forward_query(t, n, h, i, seen, &q);
                backward_query(t, n, h, i, seen, &q);
            }
        }
    }
}

static void forget(struct truth *t)
{
    for (int i = 0; i < INPUTS; i++) sunup__free(t->in[i]);
    for (int i = 0; i < OUTPUTS; i++) {
        sunup__free(t->want[i]);
        sunup__free(t->bound[i]);
    }
    sunup__free(t->y);
    sunup__free(t->y_bound);
    sunup__free(t->lse);
    sunup__free(t->lse_bound);
}

static void compare(const char *what, const struct truth *t, int64_t n, const float *got, const double *want,
                    const double *bound)
{
    const struct sizes *s = t->s;
    for (int64_t i = 0; i < n; i++) {
        if ((double)got[i] == want[i] || fabs((double)got[i] - want[i]) <= bound[i] + 0x1p-100) continue;
        fail_msg("%s, %d queries, %d keys, %d + %d channels: [%d] is %g, must be %g +- %g", what, (int)s->queries,
                 (int)s->keys, (int)s->c, (int)s->v, (int)i, (double)got[i], want[i], bound[i]);
    }
}

typedef sunup_status make_fn(struct device *d, const struct node *n, struct step *s);

/* Outputs of sizes count[], guarded; the caller's. */
static void run_threads(const struct device *cpu, const struct node *n, make_fn *make, int threads, void **in,
                        const int64_t *count, float **out)
{
    struct device d = *cpu;
    d.threads = threads;
    void *outputs[OUTPUTS] = {NULL};
    for (int i = 0; i < n->op->n_out; i++)
        if (count[i] > 0) outputs[i] = out[i] = guarded(count[i] * (int64_t)sizeof(float));
    struct step s = {.node = n, .device = &d, .in = in, .out = outputs};
    assert_int_equal(make(&d, n, &s), SUNUP_OK);
    s.workspace = guarded(s.workspace_bytes);
    for (int i = 0; i < RUNS; i++) assert_int_equal(s.run(&s, &(sunup_random_key){0}), SUNUP_OK);
    check_guard(s.workspace, s.workspace_bytes);
    for (int i = 0; i < n->op->n_out; i++)
        if (count[i] > 0) check_guard(out[i], count[i] * (int64_t)sizeof(float));
    sunup__free(s.workspace);
}

static void run_all(const struct device *cpu, const struct node *n, make_fn *make, const struct truth *t,
                    const int64_t *count, float **out)
{
    static const int threads[] = {2, 7};
    void *in[INPUTS];
    for (int i = 0; i < INPUTS; i++) in[i] = t->in[i];
    run_threads(cpu, n, make, 1, in, count, out);
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
        float *more[OUTPUTS] = {NULL};
        run_threads(cpu, n, make, threads[k], in, count, more);
        for (int i = 0; i < n->op->n_out; i++) {
            if (count[i] > 0) assert_memory_equal(out[i], more[i], (size_t)count[i] * sizeof(float));
            sunup__free(more[i]);
        }
    }
}

static sunup_value *input(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}

static sunup_value *build(sunup_graph *g, const struct sizes *s)
{
    sunup_attention_options o = sunup_attention_defaults();
    o.heads = s->heads;
    o.causal = s->causal;
    sunup_value *bias = NULL;
    if (s->bias_n > 0) bias = input(g, "bias", SUNUP_SHAPE(s->bias_n, s->bias_heads, s->queries, s->keys));
    sunup_value *y = sunup_attention(input(g, "q", SUNUP_SHAPE(s->n, s->queries, s->c)),
                                     input(g, "k", SUNUP_SHAPE(s->n, s->keys, s->c)),
                                     input(g, "v", SUNUP_SHAPE(s->n, s->keys, s->v)), bias, &o);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    return y;
}

static const struct node *back_of(sunup_graph *g, const struct node *n)
{
    sunup_value *const in[] = {n->in[0], n->in[1], n->in[2], n->in[3], n->out[0], n->out[1],
                               input(g, "dy", n->out[0]->shape)};
    return sunup__node(g, &sunup__op_attention_grad, INPUTS, in, n->attr, 0, NULL)->node;
}

static void check_problem(const struct device *cpu, const struct sizes *s)
{
    struct truth t;
    find(&t, s);
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(cpu->ctx, NULL, &g), SUNUP_OK);
    const struct node *n = build(g, s)->node;
    float *y[OUTPUTS] = {NULL}, *dx[OUTPUTS] = {NULL};
    const int64_t forward[] = {t.count[Y], t.count[LSE]};
    run_all(cpu, n, sunup__make_attention_bf16x3, &t, forward, y);
    compare("y", &t, t.count[Y], y[0], t.y, t.y_bound);
    compare("lse", &t, t.count[LSE], y[1], t.lse, t.lse_bound);
    run_all(cpu, back_of(g, n), sunup__make_attention_grad_bf16x3, &t, t.count, dx);
    for (int i = 0; i < OUTPUTS; i++) {
        compare((const char *const[]){"dq", "dk", "dv", "dbias"}[i], &t, t.count[i], dx[i], t.want[i], t.bound[i]);
        sunup__free(dx[i]);
        sunup__free(y[i]);
    }
    sunup_graph_destroy(&g);
    forget(&t);
}

static void check_level(const struct device *cpu)
{
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) check_problem(cpu, &problems[i]);
}

static void within_what_two_parts_allow(void **state)
{
    (void)state;
    at_each_level(check_level);
}

static bool offers(const struct device *cpu, const struct sizes *s)
{
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(cpu->ctx, NULL, &g), SUNUP_OK);
    const bool can = sunup__attention_bf16x3_can(cpu, build(g, s)->node);
    sunup_graph_destroy(&g);
    return can;
}

static void only_where_it_is_asked_for_and_pays(void **state)
{
    (void)state;
    static const struct sizes large = {1, 256, 256, 256, 256, 8, 0, 0, false},
                              small = {1, 256, 256, 32, 32, 4, 0, 0, false};
    for (int numerics = SUNUP_NUMERICS_FAST; numerics <= SUNUP_NUMERICS_BF16; numerics++) {
        sunup_context *ctx;
        struct device *cpu = open_level(NULL, (sunup_numerics)numerics, &ctx);
        assert_int_equal(offers(cpu, &large), numerics != SUNUP_NUMERICS_EXACT && cpu->kernels->tiles_bf16);
        assert_false(offers(cpu, &small));
        sunup_context_destroy(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_what_two_parts_allow),
                                       cmocka_unit_test(only_where_it_is_asked_for_and_pays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
