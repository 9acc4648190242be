/* recompute_test.c - a limit on memory changes what is kept, never a bit: residual blocks with batch
 * norm, dropout and views. What is cheap to make again goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/stages.h"

enum { BLOCKS = 6, WEIGHTS = BLOCKS + 1, OUTPUTS = 1 + WEIGHTS + 1 };

struct net {
    sunup_context *ctx;
    sunup_graph *g;
    sunup_value *x, *w[WEIGHTS], *out[OUTPUTS];
    int n_out;
};

static sunup_value *norm_of_conv(struct net *n, sunup_value *x, int i)
{
    char name[8] = {'w', (char)('0' + i), '\0'};
    n->w[i] =
        sunup_parameter(n->g, name, SUNUP_SHAPE(5, 5, 4, 4), (sunup_init){SUNUP_INIT_UNIFORM, 0.3});
    sunup_conv_options same = sunup_conv_defaults();
    same.padding = SUNUP_PADDING_SAME;
    sunup_value *y = sunup_conv(x, n->w[i], NULL, &same);
    return sunup_relu(sunup_batch_norm(y, NULL, NULL, NULL, NULL, 0.1, 1e-5));
}

static sunup_value *block(struct net *n, sunup_value *x, int i)
{
    sunup_value *y = norm_of_conv(n, x, i);
    y = sunup_reshape(sunup_reshape(y, SUNUP_SHAPE(2, 80, 4)), SUNUP_SHAPE(2, 10, 8, 4));
    return sunup_add(x, sunup_dropout(y, 0.3, false));
}

static struct net start(sunup_shape x)
{
    struct net n;
    unsetenv("SUNUP_DEVICE");
    assert_int_equal(sunup_context_create(NULL, &n.ctx), SUNUP_OK);
    sunup_graph_options o = sunup_graph_defaults();
    o.training = true;
    assert_int_equal(sunup_graph_create(n.ctx, &o, &n.g), SUNUP_OK);
    n.x = sunup_input(n.g, "x", SUNUP_F32, x);
    return n;
}

static struct net make(void)
{
    struct net n = start(SUNUP_SHAPE(2, 10, 8, 4));
    sunup_value *y = n.x;
    for (int i = 0; i < BLOCKS; i++) y = block(&n, y, i);
    n.w[BLOCKS] =
        sunup_parameter(n.g, "head", SUNUP_SHAPE(4, 1), (sunup_init){SUNUP_INIT_UNIFORM, 0.3});
    sunup_value *middle = y;
    n.out[0] = sunup_mean(sunup_square(sunup_linear(y, n.w[BLOCKS], NULL)), 0, NULL, false);
    sunup_gradient(n.out[0], WEIGHTS, n.w, n.out + 1);
    n.n_out = OUTPUTS;
    n.out[1 + WEIGHTS] = sunup_reshape(middle, SUNUP_SHAPE(640)); /* a view that is an output */
    return n;
}

static void tear_down(struct net *n)
{
    sunup_graph_destroy(&n->g);
    sunup_context_destroy(&n->ctx);
}

/* All outputs after one run of a plan under the limit, one after another. */
static float *run(struct net *n, int64_t memory_bytes, int64_t *arena_bytes, int *again)
{
    sunup_plan *p;
    const struct plan_options o = {.memory_bytes = memory_bytes};
    if (sunup__plan_create(n->g, n->n_out, n->out, &o, &p) != SUNUP_OK)
        fail_msg("%s", sunup_error(n->ctx));
    *arena_bytes = p->arena_bytes;
    *again = p->n_again;
    float x[640];
    for (int i = 0; i < 640; i++) x[i] = (float)((i * 37) % 101) / 50 - 1;
    assert_int_equal(sunup_plan_init(p, 1), SUNUP_OK);
    assert_int_equal(sunup_plan_set(p, n->x, x, sizeof x), SUNUP_OK);
    if (sunup_plan_run(p, (sunup_random_key){.seed = 3, .step = 5}) != SUNUP_OK)
        fail_msg("%s", sunup_error(n->ctx));
    float *all = sunup__alloc(4096 * sizeof *all);
    int64_t at = 0;
    for (int i = 0; i < OUTPUTS; i++) {
        const int64_t bytes = sunup__value_bytes(n->out[i]);
        assert_int_equal(sunup_plan_get(p, n->out[i], all + at, bytes), SUNUP_OK);
        at += bytes / (int64_t)sizeof *all;
    }
    sunup_plan_destroy(&p);
    return all;
}

static void same_bits_in_less_memory(void **state)
{
    (void)state;
    struct net n = make();
    int64_t whole, bytes;
    int again;
    float *want = run(&n, 0, &whole, &again);
    assert_int_equal(again, 0);
    float *roomy = run(&n, whole, &bytes, &again);
    assert_int_equal(again, 0); /* what fits is left alone */
    assert_memory_equal(want, roomy, 4096 * sizeof *want);
    sunup__free(roomy);
    int most = 0;
    for (int64_t limit = whole - 1; limit > 0; limit = bytes - 1) {
        sunup_plan *p;
        const struct plan_options dry = {.dry = true, .memory_bytes = limit};
        if (sunup__plan_create(n.g, OUTPUTS, n.out, &dry, &p) != SUNUP_OK) {
            assert_null(p);
            assert_non_null(strstr(sunup_error(n.ctx), "memory_bytes"));
            break;
        }
        sunup_plan_destroy(&p);
        float *got = run(&n, limit, &bytes, &again);
        assert_true(bytes <= limit && again > 0);
        most = again > most ? again : most;
        assert_memory_equal(want, got, 4096 * sizeof *want);
        sunup__free(got);
    }
    assert_true(most > BLOCKS);
    sunup__free(want);
    tear_down(&n);
}

/* Convolutions, each with batch norm and relu. */
static struct net make_stack(void)
{
    struct net n = start(SUNUP_SHAPE(2, 40, 32, 4));
    sunup_value *y = n.x;
    for (int i = 0; i < BLOCKS; i++) y = norm_of_conv(&n, y, i);
    n.n_out = 1 + BLOCKS;
    n.out[0] = sunup_mean(sunup_square(y), 0, NULL, false);
    sunup_gradient(n.out[0], BLOCKS, n.w, n.out + 1);
    return n;
}

struct counts {
    int convs, norms;
    int64_t arena_bytes;
};

static struct counts count(const struct net *n, int64_t memory_bytes)
{
    sunup_plan *p;
    const struct plan_options o = {.dry = true, .memory_bytes = memory_bytes};
    if (sunup__plan_create(n->g, n->n_out, n->out, &o, &p) != SUNUP_OK)
        fail_msg("%s", sunup_error(n->ctx));
    struct counts c = {.arena_bytes = p->arena_bytes};
    for (int i = 0; i < p->n_steps; i++) {
        const char *op = p->steps[i].node->op->name;
        c.convs += strcmp(op, "conv") == 0;
        c.norms += strcmp(op, "batch_norm_statistics") == 0;
    }
    sunup_plan_destroy(&p);
    return c;
}

/* Norms are applied again by the statistics there are, and no convolution runs twice, while that is enough. */
static void cheap_first(void **state)
{
    (void)state;
    struct net n = make_stack();
    const struct counts whole = count(&n, 0);
    assert_int_equal(whole.convs, BLOCKS);
    assert_int_equal(whole.norms, BLOCKS);
    const struct counts less = count(&n, whole.arena_bytes - 1);
    assert_int_equal(less.convs, BLOCKS);
    assert_int_equal(less.norms, BLOCKS);
    const int64_t y_bytes = (int64_t)sizeof(float) * 2 * 40 * 32 * 4;
    assert_true(less.arena_bytes <= whole.arena_bytes - y_bytes);
    tear_down(&n);
}

/* Sums of residual blocks, which nothing cheap replaces. */
static void dear_then(void **state)
{
    (void)state;
    struct net n = make();
    assert_true(count(&n, count(&n, 0).arena_bytes - 1).convs > BLOCKS);
    tear_down(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits_in_less_memory),
                                       cmocka_unit_test(cheap_first), cmocka_unit_test(dear_then)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
