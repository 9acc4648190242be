/* chain_channels_test.c - the chains that chain_channels.c takes on, and only these, give the bits
 * of the steps one after the other: at every instruction set, with any number of threads, also over
 * an operand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/system.h"
#include "device/cpu/makers.h"

enum { TENSORS = 2, VECTORS = 5, OPERANDS = TENSORS + VECTORS, MOST_STEPS = 4 };
enum { RESIDUAL = 5 }; /* below */

/* Operands: x, r or dy, then vectors; results from register 7 on. */
static const struct chain {
    const char *name;
    int n_steps;
    struct chain_step steps[MOST_STEPS];
    bool taken;
} chains[] = {
    {"affine", 1, {{PW_fma, 0, 2, 3, {0}}}, true},
    {"affine, relu", 2, {{PW_fma, 0, 2, 3, {0}}, {PW_relu, 7, -1, -1, {0}}}, true},
    {"affine, leaky relu", 2, {{PW_fma, 0, 2, 3, {0}}, {PW_leaky_relu, 7, -1, -1, {0.1}}}, true},
    {"affine, leaky relu of slope 0",
     2,
     {{PW_fma, 0, 2, 3, {0}}, {PW_leaky_relu, 7, -1, -1, {0}}},
     false},
    {"affine, leaky relu, steeper below 0",
     2,
     {{PW_fma, 0, 2, 3, {0}}, {PW_leaky_relu, 7, -1, -1, {1.5}}},
     false},
    {"r + affine, relu",
     3,
     {{PW_fma, 0, 2, 3, {0}}, {PW_add, 1, 7, -1, {0}}, {PW_relu, 8, -1, -1, {0}}},
     true},
    {"affine + affine",
     3,
     {{PW_fma, 0, 2, 3, {0}}, {PW_fma, 1, 4, 5, {0}}, {PW_add, 7, 8, -1, {0}}},
     true},
    {"affine + affine, relu",
     4,
     {{PW_fma, 1, 4, 5, {0}},
      {PW_fma, 0, 2, 3, {0}},
      {PW_add, 7, 8, -1, {0}},
      {PW_relu, 9, -1, -1, {0}}},
     true},
    {"gradient", 2, {{PW_fma, 0, 2, 3, {0}}, {PW_fma, 1, 4, 7, {0}}}, true},
    {"masked gradient",
     4,
     {{PW_fma, 0, 5, 6, {0}},
      {PW_relu_grad, 7, 1, -1, {0}},
      {PW_fma, 0, 2, 3, {0}},
      {PW_fma, 8, 4, 9, {0}}},
     true},
    {"leaky masked gradient",
     4,
     {{PW_fma, 0, 5, 6, {0}},
      {PW_leaky_relu_grad, 7, 1, -1, {0.1}},
      {PW_fma, 0, 2, 3, {0}},
      {PW_fma, 8, 4, 9, {0}}},
     true},
    {"mask by another tensor",
     4,
     {{PW_fma, 1, 5, 6, {0}},
      {PW_relu_grad, 7, 1, -1, {0}},
      {PW_fma, 0, 2, 3, {0}},
      {PW_fma, 8, 4, 9, {0}}},
     false},
    {"a step more", 2, {{PW_fma, 0, 2, 3, {0}}, {PW_exp, 7, -1, -1, {0}}}, false},
    {"three tensors", 1, {{PW_fma, 0, 1, 0, {0}}}, false},
};

static const sunup_shape shapes[] = {
    {2, {1, 1}}, {2, {3, 7}}, {4, {2, 5, 3, 64}}, {3, {3, 401, 96}}, {2, {61, 1100}},
};

struct bench {
    sunup_context *ctx;
    sunup_graph *g;
    struct device d;
    struct node *n;
    int out; /* the register that is the result: the node's attributes point here */
    float *in[OPERANDS];
    int64_t elements;
};

static void build(struct bench *b, const struct chain *c, const sunup_shape *shape)
{
    static const char *const names[OPERANDS] = {"x", "r", "p", "q", "s", "t", "u"};
    const sunup_shape channels = SUNUP_SHAPE(shape->d[shape->n - 1]);
    sunup_value *in[OPERANDS];
    for (int i = 0; i < OPERANDS; i++)
        in[i] = sunup_input(b->g, names[i], SUNUP_F32, i < TENSORS ? *shape : channels);
    b->out = OPERANDS + c->n_steps - 1;
    const struct chain_attr attr = {c->n_steps, 1, c->steps, &b->out};
    sunup_value *y = sunup__node(b->g, &sunup__op_chain, OPERANDS, in, &attr, 1, NULL);
    assert_false(sunup__is_poison(y));
    b->n = y->node;
    b->elements = sunup__elements(shape);
    for (int i = 0; i < OPERANDS; i++) {
        const int64_t n = sunup__elements(&in[i]->shape);
        const struct random_stream s = {11, RANDOM_TEST, 1, (uint64_t)i};
        b->in[i] = sunup__alloc_aligned((size_t)n * sizeof(float));
        for (int64_t k = 0; k < n; k++)
            b->in[i][k] = (float)(2 * sunup__random_unit(&s, (uint64_t)k) - 1);
    }
}

static float *plain(const struct bench *b)
{
    void *in[OPERANDS], *y = sunup__alloc_aligned((size_t)b->elements * sizeof(float));
    for (int i = 0; i < OPERANDS; i++) in[i] = b->in[i];
    void *workspace = sunup__alloc_aligned((size_t)b->n->op->workspace(b->n, 1));
    const struct exec e = {.ctx = b->ctx,
                           .kernels = b->d.kernels,
                           .threads = 1,
                           .in = in,
                           .out = &y,
                           .workspace = workspace};
    assert_int_equal(b->n->op->run(b->n, &e), SUNUP_OK);
    sunup__free(workspace);
    return y;
}

/* over: the tensor that the result is written over, -1: none. */
static void compare(struct bench *b, const float *want, int threads, int over, const char *name)
{
    const size_t bytes = (size_t)b->elements * sizeof(float);
    void *in[OPERANDS], *y = sunup__alloc_aligned(bytes);
    for (int i = 0; i < OPERANDS; i++) in[i] = b->in[i];
    if (over >= 0) in[over] = memcpy(y, b->in[over], bytes);
    struct step s = {.node = b->n, .device = &b->d, .in = in, .out = &y};
    b->d.threads = threads;
    assert_int_equal(sunup__make_chain_channels(&b->d, b->n, &s), SUNUP_OK);
    const sunup_random_key key = {0};
    assert_int_equal(s.run(&s, &key), SUNUP_OK);
    s.end(&s);
    if (memcmp(y, want, bytes) != 0)
        fail_msg("%s, %lld elements, %d threads, over %d: other bits", name, (long long)b->elements,
                 threads, over);
    sunup__free(y);
}

static void try_chain(struct bench *b, const struct chain *c, const sunup_shape *shape)
{
    build(b, c, shape);
    assert_int_equal(sunup__chain_channels_can(&b->d, b->n), c->taken);
    float *want = plain(b);
    if (c->taken) {
        compare(b, want, 1, -1, c->name);
        compare(b, want, 3, -1, c->name);
        compare(b, want, 2, 0, c->name);
        compare(b, want, 2, 1, c->name);
    }
    sunup__free(want);
    for (int i = 0; i < OPERANDS; i++) sunup__free(b->in[i]);
}

static void bits_of_the_steps(void **state)
{
    (void)state;
    struct bench b = {0};
    assert_int_equal(sunup_context_create(NULL, &b.ctx), SUNUP_OK);
    for (int level = 0; sunup__isa_name(level); level++) {
        struct kernels k;
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(level))) continue;
        b.d = (struct device){.ctx = b.ctx, .kernels = &k, .threads = 1};
        for (size_t c = 0; c < sizeof chains / sizeof *chains; c++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                assert_int_equal(sunup_graph_create(b.ctx, NULL, &b.g), SUNUP_OK);
                try_chain(&b, &chains[c], &shapes[s]);
                sunup_graph_destroy(&b.g);
            }
    }
    sunup_context_destroy(&b.ctx);
}

/* Of a result large enough to go past the caches, here and in the chain; over an operand it does not. */
static void bits_of_a_large_result(void **state)
{
    (void)state;
    static const sunup_shape large = {2, {40961, 80}};
    struct bench b = {0};
    struct kernels k;
    assert_int_equal(sunup_context_create(NULL, &b.ctx), SUNUP_OK);
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    b.d = (struct device){.ctx = b.ctx, .kernels = &k, .threads = 1};
    assert_int_equal(sunup_graph_create(b.ctx, NULL, &b.g), SUNUP_OK);
    try_chain(&b, &chains[RESIDUAL], &large);
    sunup_graph_destroy(&b.g);
    sunup_context_destroy(&b.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_of_the_steps),
                                       cmocka_unit_test(bits_of_a_large_result)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
