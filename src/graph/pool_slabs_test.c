/* pool_slabs_test.c - pooling ops cut their samples into slabs: each result must have the bits of
 * the leaf on whole samples, whatever the threads, also where windows overlap from slab to slab. In f64, which
 * all levels share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/random.h"
#include "graph/ops/pool.h"

enum { OPS = 4, THREADS = 2 };

struct problem {
    const char *name;
    sunup_shape x;
    sunup_pool_options o;
};

#define S SUNUP_SHAPE
/* Each has many slabs of a sample; the last rows of some are under no window. */
static const struct problem problems[] = {
    {"disjoint", S(2, 130, 90, 24), {.window = {2, 2}}},
    {"rows left over", S(2, 131, 91, 24), {.window = {2, 3}, .stride = {3, 3}}},
    {"overlapping",
     S(2, 129, 101, 24),
     {.window = {3, 3}, .stride = {2, 2}, .before = {1, 1}, .after = {1, 1}}},
    {"overlapping far",
     S(1, 97, 80, 24),
     {.window = {9, 2}, .stride = {2, 2}, .before = {8, 0}, .after = {5, 1}, .count_pad = true}},
    {"every row", S(1, 120, 100, 17), {.window = {3, 3}, .stride = {1, 1}, .before = {1, 2}}},
    {"wide rows", S(1, 9, 5000, 33), {.window = {3, 3}, .stride = {2, 1}, .before = {1, 1}}},
    {"line", S(2, 100003, 3), {.window = {5}, .stride = {3}, .before = {2}, .after = {4}}},
    {"past the caches", S(2, 305, 301, 24), {.window = {2, 3}}},
    {"space", S(1, 21, 30, 31, 16), {.window = {3, 2, 2}, .stride = {2, 2, 2}, .before = {1}}},
};
#undef S

static double *draw(int64_t n, uint64_t which)
{
    double *x = sunup__alloc_aligned((size_t)n * sizeof *x);
    const struct random_stream s = {7, RANDOM_TEST, 1, which};
    /* Few different values: equal maxima abound. */
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)(int64_t)(8 * sunup__random_unit(&s, (uint64_t)i));
    return x;
}

/* dy and its op, the gradient of y. */
static const struct node *gradient(sunup_graph *g, sunup_value *y, const struct op *op)
{
    struct pool_attr attr = *(const struct pool_attr *)y->node->attr;
    attr.complete = true;
    sunup_value *dy = sunup_input(g, op->name, SUNUP_F64, y->shape);
    sunup_value *in[] = {y->node->in[0], dy};
    const bool by_x = op == &sunup__op_max_pool_grad;
    sunup_value *dx = sunup__node(g, op, by_x ? 2 : 1, by_x ? in : &dy, &attr, 0, NULL);
    if (sunup__is_poison(dx)) fail_msg("%s", g->message);
    return dx->node;
}

static double *run(const struct node *n, const struct kernels *k, void *const *in, int threads)
{
    const int64_t bytes = sunup__elements(&n->out[0]->shape) * (int64_t)sizeof(double);
    const int64_t room = n->op->workspace ? n->op->workspace(n, threads) : 0;
    void *out = sunup__alloc_aligned((size_t)bytes),
         *workspace = sunup__alloc_aligned((size_t)room);
    memset(out, 0xff, (size_t)bytes);
    memset(workspace, 0xff, (size_t)room);
    const struct exec e = {.ctx = n->graph->ctx,
                           .kernels = k,
                           .threads = threads,
                           .in = in,
                           .out = &out,
                           .workspace = workspace};
    assert_int_equal(n->op->run(n, &e), SUNUP_OK);
    sunup__free(workspace);
    return out;
}

static int64_t sample(const int64_t n[3], int64_t c)
{
    return n[0] * n[1] * n[2] * c;
}

/* The leaf on whole samples. */
static double *whole(int op, const struct node *n, const struct kernels *k, const double *x,
                     const double *dy)
{
    const struct window *w = &((const struct pool_attr *)n->attr)->w;
    const int64_t nx = sample(w->in, w->c), ny = sample(w->out, w->c);
    double *out = sunup__alloc_aligned((size_t)sunup__elements(&n->out[0]->shape) * sizeof *out);
    for (int64_t i = 0; i < n->out[0]->shape.d[0]; i++) {
        if (op == 0) k->f64.max_pool(w, x + i * nx, out + i * ny);
        if (op == 1) k->f64.avg_pool(w, x + i * nx, out + i * ny);
        if (op == 2) k->f64.max_pool_grad(w, x + i * nx, dy + i * ny, out + i * nx);
        if (op == 3) k->f64.avg_pool_grad(w, dy + i * ny, out + i * nx);
    }
    return out;
}

static void check_op(int op, const struct problem *p, const struct node *n, const double *x,
                     const double *dy)
{
    static const int threads[THREADS] = {1, 7};
    struct kernels k;
    assert_true(sunup__kernels_init(&k, 0, "ref"));
    void *in[] = {(void *)(op == 3 ? dy : x), (void *)dy};
    double *want = whole(op, n, &k, x, dy);
    const int64_t count = sunup__elements(&n->out[0]->shape);
    for (int t = 0; t < THREADS; t++) {
        double *got = run(n, &k, in, threads[t]);
        for (int64_t i = 0; i < count; i++) {
            if (got[i] == want[i]) continue;
            fail_msg("%s of '%s', %d threads: element %lld is %g, must be %g", n->op->name, p->name,
                     threads[t], (long long)i, got[i], want[i]);
        }
        sunup__free(got);
    }
    sunup__free(want);
}

static void check_problem(sunup_context *ctx, const struct problem *p)
{
    sunup_graph_options options = sunup_graph_defaults();
    options.dtype = SUNUP_F64;
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, &options, &g), SUNUP_OK);
    sunup_value *x = sunup_input(g, "x", SUNUP_F64, p->x);
    sunup_value *max = sunup_max_pool(x, &p->o), *mean = sunup_avg_pool(x, &p->o);
    if (sunup__is_poison(max) || sunup__is_poison(mean)) fail_msg("%s: %s", p->name, g->message);
    const struct node *n[OPS] = {max->node, mean->node, gradient(g, max, &sunup__op_max_pool_grad),
                                 gradient(g, mean, &sunup__op_avg_pool_grad)};
    double *numbers = draw(sunup__elements(&x->shape), 0),
           *dy = draw(sunup__elements(&max->shape), 1);
    for (int op = 0; op < OPS; op++) check_op(op, p, n[op], numbers, dy);
    sunup__free(numbers);
    sunup__free(dy);
    sunup_graph_destroy(&g);
}

static void have_the_bits_of_whole_samples(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        check_problem(ctx, &problems[i]);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(have_the_bits_of_whole_samples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
