/* prepared_test.c - weights that are prepared once a change, not once a run, change no bit: products, convolutions and
 * their gradients by the input in every geometry that has a maker of its own, each with two sets of weights in turn. A
 * plan that is not told of a change must show that it uses what it prepared, and memcheck must name the step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "plan/stages.h"

enum { LAYERS = 9, TURNS = 5 };

struct net {
    sunup_context *ctx;
    sunup_graph *g;
    sunup_value *x[LAYERS], *w[LAYERS], *out[2 * LAYERS];
};

static sunup_value *source(struct net *n, char kind, int i, sunup_shape shape)
{
    const char name[] = {kind, (char)('0' + i), '\0'};
    return kind == 'x' ? sunup_input(n->g, name, SUNUP_F32, shape)
                       : sunup_parameter(n->g, name, shape, (sunup_init){SUNUP_INIT_UNIFORM, 0.5});
}

static void add_conv(struct net *n, int i, sunup_shape x, sunup_shape w, int stride, int dilation)
{
    sunup_conv_options o = sunup_conv_defaults();
    o.padding = stride == 1 ? SUNUP_PADDING_SAME : SUNUP_PADDING_VALID;
    for (int a = 0; a < 3; a++) o.stride[a] = stride, o.dilation[a] = dilation;
    n->x[i] = source(n, 'x', i, x);
    n->w[i] = source(n, 'w', i, w);
    n->out[i] = sunup_conv(n->x[i], n->w[i], NULL, &o);
}

static void add_layers(struct net *n)
{
    n->x[0] = source(n, 'x', 0, SUNUP_SHAPE(67, 600));
    n->w[0] = source(n, 'w', 0, SUNUP_SHAPE(600, 530));
    n->out[0] = sunup_linear(n->x[0], n->w[0], NULL);
    n->x[1] = source(n, 'x', 1, SUNUP_SHAPE(5, 600));
    n->w[1] = source(n, 'w', 1, SUNUP_SHAPE(75, 600));
    n->out[1] = sunup_matmul(n->x[1], n->w[1], SUNUP_TRANSPOSE_B);
    n->x[2] = source(n, 'x', 2, SUNUP_SHAPE(3, 40, 64)); /* a view, and one matrix for three */
    n->w[2] = source(n, 'w', 2, SUNUP_SHAPE(64 * 33));
    n->out[2] =
        sunup_matmul(n->x[2], sunup_reshape(n->w[2], SUNUP_SHAPE(33, 64)), SUNUP_TRANSPOSE_B);
    add_conv(n, 3, SUNUP_SHAPE(2, 28, 28, 16), SUNUP_SHAPE(3, 3, 16, 48), 1,
             1); /* Winograd's, by tiles */
    add_conv(n, 4, SUNUP_SHAPE(2, 7, 7, 160), SUNUP_SHAPE(3, 3, 160, 144), 1,
             1); /* other ways, large weights */
    add_conv(n, 5, SUNUP_SHAPE(2, 700, 32), SUNUP_SHAPE(8, 32, 40), 1, 1); /* along W */
    add_conv(n, 6, SUNUP_SHAPE(2, 19, 17, 32), SUNUP_SHAPE(3, 2, 32, 70), 2,
             1);                                                                /* direct, phases */
    add_conv(n, 7, SUNUP_SHAPE(2, 30, 31, 3), SUNUP_SHAPE(5, 5, 3, 4), 1, 1);   /* few channels */
    add_conv(n, 8, SUNUP_SHAPE(2, 20, 20, 48), SUNUP_SHAPE(1, 1, 48, 2), 1, 1); /* dot products */
}

static void set_up(struct net *n, const char *device, sunup_numerics numerics)
{
    unsetenv("SUNUP_DEVICE");
    unsetenv("SUNUP_NUMERICS");
    sunup_context_options o = sunup_context_defaults();
    o.device = device;
    o.numerics = numerics;
    o.threads = 3;
    assert_int_equal(sunup_context_create(&o, &n->ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(n->ctx, NULL, &n->g), SUNUP_OK);
    add_layers(n);
    for (int i = 0; i < LAYERS; i++)
        sunup_gradient(sunup_sum(sunup_square(n->out[i]), 0, NULL, false), 1, &n->x[i],
                       &n->out[LAYERS + i]);
}

static void tear_down(struct net *n)
{
    sunup_graph_destroy(&n->g);
    sunup_context_destroy(&n->ctx);
}

static int64_t floats(const sunup_value *v)
{
    return sunup__elements(&v->shape);
}

static void draw(const sunup_value *v, uint64_t seed, float *to)
{
    sunup__init_fill((sunup_init){SUNUP_INIT_UNIFORM, 1}, v->name, seed, SUNUP_F32, floats(v), to);
}

static sunup_plan *make(struct net *n, bool weights_stay)
{
    sunup_plan *p;
    const struct plan_options o = {.weights_stay = weights_stay};
    if (sunup__plan_create(n->g, 2 * LAYERS, n->out, &o, &p) != SUNUP_OK)
        fail_msg("%s", sunup_error(n->ctx));
    for (int i = 0; i < LAYERS; i++) {
        float *x = sunup__alloc((size_t)floats(n->x[i]) * sizeof *x);
        draw(n->x[i], 1, x);
        assert_int_equal(sunup_plan_set(p, n->x[i], x, floats(n->x[i]) * 4), SUNUP_OK);
        sunup__free(x);
    }
    return p;
}

static void set_weights(struct net *n, sunup_plan *p, uint64_t seed)
{
    for (int i = 0; i < LAYERS; i++) {
        float *w = sunup__alloc((size_t)floats(n->w[i]) * sizeof *w);
        draw(n->w[i], seed, w);
        assert_int_equal(sunup_plan_set(p, n->w[i], w, floats(n->w[i]) * 4), SUNUP_OK);
        sunup__free(w);
    }
}

static void run(sunup_plan *p)
{
    if (sunup_plan_run(p, (sunup_random_key){0}) != SUNUP_OK) fail_msg("%s", sunup_error(p->ctx));
}

/* The layers (0 to LAYERS - 1, and their gradients) of which the plans differ, a bit each. */
static unsigned different(const struct net *n, const sunup_plan *p, const sunup_plan *q)
{
    unsigned found = 0;
    for (int i = 0; i < 2 * LAYERS; i++) {
        const void *a = sunup__plan_address(p, n->out[i]), *b = sunup__plan_address(q, n->out[i]);
        if (memcmp(a, b, (size_t)floats(n->out[i]) * sizeof(float)) != 0) found |= 1u << i;
    }
    return found;
}

/* Weights are changed before the turns 0, 2 and 3; other turns run with what is there. */
static void same_bits(const char *device, sunup_numerics numerics)
{
    struct net n;
    set_up(&n, device, numerics);
    sunup_plan *stay = make(&n, true), *plain = make(&n, false);
    assert_int_equal(plain->prepared_bytes, 0);
    assert_true(stay->prepared_bytes > 0);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        if (turn % 2 == 0 || turn == 3) {
            set_weights(&n, stay, turn);
            set_weights(&n, plain, turn);
        }
        run(stay);
        run(plain);
        if (different(&n, stay, plain) != 0)
            fail_msg("%s, numerics %d, turn %d: layers 0x%x differ", device, (int)numerics,
                     (int)turn, different(&n, stay, plain));
    }
    sunup_plan_destroy(&stay);
    sunup_plan_destroy(&plain);
    tear_down(&n);
}

static void prepared_weights_change_no_bit(void **state)
{
    (void)state;
    for (int numerics = SUNUP_NUMERICS_FAST; numerics <= SUNUP_NUMERICS_BF16; numerics++) {
        same_bits("cpu", (sunup_numerics)numerics);
        same_bits("memcheck", (sunup_numerics)numerics);
    }
    same_bits("cpu", SUNUP_NUMERICS_EXACT);
}

/* Steps that prepare something, as bits of `different`. */
static unsigned that_prepare(const struct net *n, const sunup_plan *p)
{
    unsigned found = 0;
    for (int i = 0; i < 2 * LAYERS; i++)
        if (p->steps[sunup__plan_writer(p, n->out[i])].prepared != NULL) found |= 1u << i;
    return found;
}

/* Weights in memory of the caller's, written without a word: all that is prepared must be stale, and nothing else. */
static void a_change_must_be_told(void **state)
{
    (void)state;
    struct net n;
    set_up(&n, "cpu", SUNUP_NUMERICS_FAST);
    sunup_plan *stay = make(&n, true), *plain = make(&n, false), *old = make(&n, false);
    set_weights(&n, stay, 1);
    set_weights(&n, old, 1);
    set_weights(&n, plain, 2);
    run(stay);
    run(old);
    run(plain);
    for (int i = 0; i < LAYERS; i++) {
        float *w = stay->placed[n.w[i]->id].memory;
        draw(n.w[i], 2, w);
    }
    run(stay);
    assert_int_equal(different(&n, stay, plain) & that_prepare(&n, stay), that_prepare(&n, stay));
    sunup__plan_weights_changed(stay);
    run(stay);
    assert_int_equal(different(&n, stay, plain), 0);
    assert_int_equal(different(&n, old, plain), (1u << 2 * LAYERS) - 1); /* the numbers do matter */
    sunup_plan_destroy(&stay);
    sunup_plan_destroy(&plain);
    sunup_plan_destroy(&old);
    tear_down(&n);
}

static void memcheck_names_stale_weights(void **state)
{
    (void)state;
    struct net n;
    set_up(&n, "memcheck", SUNUP_NUMERICS_FAST);
    sunup_plan *p = make(&n, true);
    set_weights(&n, p, 1);
    run(p);
    run(p);
    ((float *)p->placed[n.w[6]->id].memory)[0] += 1;
    assert_int_equal(sunup_plan_run(p, (sunup_random_key){0}), SUNUP_E_INTERNAL);
    assert_non_null(strstr(sunup_error(n.ctx), "has prepared weights"));
    assert_non_null(strstr(sunup_error(n.ctx), "conv"));
    sunup_plan_destroy(&p);
    tear_down(&n);
}

static int64_t prepared_under(struct net *n, int64_t memory_bytes)
{
    sunup_plan *p;
    const struct plan_options o = {.memory_bytes = memory_bytes, .weights_stay = true};
    assert_int_equal(sunup__plan_create(n->g, 2 * LAYERS, n->out, &o, &p), SUNUP_OK);
    const int64_t bytes = p->prepared_bytes;
    assert_int_equal(sunup_plan_describe(p).prepared_bytes, bytes);
    sunup_plan_destroy(&p);
    return bytes;
}

/* A limit that the values fit, but not the prepared weights beside them. */
static void memory_is_limited(void **state)
{
    (void)state;
    struct net n;
    set_up(&n, "cpu", SUNUP_NUMERICS_FAST);
    sunup_plan *p = make(&n, true);
    const int64_t both = p->arena_bytes + p->prepared_bytes;
    assert_int_equal(prepared_under(&n, both), p->prepared_bytes);
    assert_int_equal(prepared_under(&n, both - 1), 0);
    sunup_plan_destroy(&p);
    tear_down(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepared_weights_change_no_bit), cmocka_unit_test(a_change_must_be_told),
        cmocka_unit_test(memcheck_names_stale_weights), cmocka_unit_test(memory_is_limited)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
