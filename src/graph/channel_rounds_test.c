/* channel_rounds_test.c - group norm's gradient takes a few samples at a time, as many as caches hold: each sample's
 * results, as those of the norm, must have the bits that it has alone, and the sums over samples their order,
 * whatever the threads and so the rounds. In f64, which all levels share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/random.h"
#include "graph/ops/channel_norm.h"
#include "graph/ops/op.h"

/* A sample is 2 MB: rounds of one, and with the threads below some of two or three and a shorter last one. */
enum { SAMPLES = 5, ROWS = 4096, C = 64, GROUPS = 16, EACH = ROWS * C, OUTS = 3, MOST_IN = 5 };

static double *draw(int64_t n, uint64_t which)
{
    double *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    const struct random_stream s = {7, RANDOM_TEST, 1, which};
    for (int64_t i = 0; i < n; i++) x[i] = sunup__random_unit(&s, (uint64_t)i) + 0.25;
    return x;
}

/* Runs n on operands that begin at `in`, into new memory. */
static void run(const struct node *n, const struct kernels *k, double *const *in, int threads, double **out)
{
    void *to[OUTS], *from[MOST_IN];
    for (int i = 0; i < n->n_in; i++) from[i] = in[i];
    for (int o = 0; o < OUTS; o++) {
        const size_t bytes = (size_t)sunup__elements(&n->out[o]->shape) * sizeof(double);
        to[o] = out[o] = sunup__alloc_aligned(bytes);
        memset(out[o], 0xff, bytes);
    }
    const int64_t room = n->op->workspace(n, threads);
    void *workspace = sunup__alloc_aligned((size_t)room);
    memset(workspace, 0xff, (size_t)room);
    const struct exec e = {.ctx = n->graph->ctx,
                           .kernels = k,
                           .threads = threads,
                           .in = from,
                           .out = to,
                           .workspace = workspace};
    assert_int_equal(n->op->run(n, &e), SUNUP_OK);
    sunup__free(workspace);
}

static void free_all(double **out)
{
    for (int o = 0; o < OUTS; o++) sunup__free(out[o]);
}

/* The op, or its gradient, of so many samples. */
static const struct node *norm_of(sunup_graph *g, int64_t samples, bool back)
{
    const sunup_shape shape = SUNUP_SHAPE(samples, ROWS, C);
    sunup_value *x = sunup_input(g, "x", SUNUP_F64, shape),
                *gamma = sunup_input(g, "gamma", SUNUP_F64, SUNUP_SHAPE(C)),
                *beta = sunup_input(g, "beta", SUNUP_F64, SUNUP_SHAPE(C));
    sunup_value *y = sunup_group_norm(x, gamma, beta, GROUPS, 1e-5);
    if (sunup__is_poison(y)) fail_msg("%s", g->message);
    if (!back) return y->node;
    sunup_value *dy = sunup_input(g, "dy", SUNUP_F64, shape);
    sunup_value *const in[] = {x, gamma, sunup__output(y, 1), sunup__output(y, 2), dy};
    sunup_value *dx = sunup__node(g, &sunup__op_group_norm_grad, 5, in, y->node->attr, 0, NULL);
    if (sunup__is_poison(dx)) fail_msg("%s", g->message);
    return dx->node;
}

/* Elements of an operand or result that belong to a sample; 0: it belongs to all. */
static int64_t of_sample(const sunup_value *v)
{
    return v->shape.n > 1 ? sunup__elements(&v->shape) / v->shape.d[0] : 0;
}

static void same_bits(const double *got, const double *want, int64_t n, const char *what, int threads)
{
    if (memcmp(got, want, (size_t)n * sizeof *got) != 0)
        fail_msg("%s of a sample has other bits among others, with %d threads", what, threads);
}

/* `all`: of all samples, against each one alone. */
static void check(const struct node *all, const struct node *one, double *const *in, double **kept)
{
    static const int threads[] = {1, 5, 7};
    struct kernels k;
    assert_true(sunup__kernels_init(&k, 0, "ref"));
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        double *got[OUTS], sum[OUTS][C] = {{0}};
        run(all, &k, in, threads[t], got);
        for (int64_t s = 0; s < SAMPLES; s++) {
            double *from[MOST_IN], *want[OUTS];
            for (int i = 0; i < all->n_in; i++) from[i] = in[i] + s * of_sample(all->in[i]);
            run(one, &k, from, 1, want);
            for (int o = 0; o < OUTS; o++) {
                const int64_t n = of_sample(all->out[o]);
                if (n > 0) same_bits(got[o] + s * n, want[o], n, all->op->name, threads[t]);
                for (int64_t c = 0; c < C && n == 0; c++) sum[o][c] += want[o][c];
            }
            free_all(want);
        }
        for (int o = 0; o < OUTS; o++)
            if (of_sample(all->out[o]) == 0) same_bits(got[o], sum[o], C, "sum", threads[t]);
        if (kept && t == 0)
            memcpy(kept, got, sizeof got);
        else
            free_all(got);
    }
}

static void samples_in_rounds_have_the_bits_of_one(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_graph_options options = sunup_graph_defaults();
    options.dtype = SUNUP_F64;
    sunup_graph *g, *h; /* of all samples, of one */
    assert_int_equal(sunup_graph_create(ctx, &options, &g), SUNUP_OK);
    assert_int_equal(sunup_graph_create(ctx, &options, &h), SUNUP_OK);
    double *x = draw(SAMPLES * EACH, 0), *dy = draw(SAMPLES * EACH, 1), *gamma = draw(C, 2),
           *beta = draw(C, 3), *out[OUTS];
    check(norm_of(g, SAMPLES, false), norm_of(h, 1, false), (double *[]){x, gamma, beta}, out);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&h);
    assert_int_equal(sunup_graph_create(ctx, &options, &g), SUNUP_OK);
    assert_int_equal(sunup_graph_create(ctx, &options, &h), SUNUP_OK);
    check(norm_of(g, SAMPLES, true), norm_of(h, 1, true), (double *[]){x, gamma, out[1], out[2], dy}, NULL);
    free_all(out);
    sunup__free(x);
    sunup__free(dy);
    sunup__free(gamma);
    sunup__free(beta);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&h);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_in_rounds_have_the_bits_of_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
