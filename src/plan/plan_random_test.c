/* plan_random_test.c - 200 random graphs, half of them with their gradients: planned on cpu and on
 * memcheck they give the bits of the plain way, one node after the other on one thread, with memory
 * of its own for every value.
 *
 * The arena is checked by brute force: an owner is written down for each of its bytes as the steps
 * go, and every operand must still own all of its bytes when it is read.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/ops/channel_norm.h"
#include "plan/stages.h"

enum { GRAPHS = 200, POOL = 64, SOURCES = 4, MOST_ELEMENTS = 3000, OUTPUTS = 12 };

/* ------------------------------------------------------------------------ random graphs --- */

struct recipe {
    struct random_stream stream;
    uint64_t i;
    sunup_graph *g;
    sunup_dtype dtype;
    sunup_value *pool[POOL];
    int n;
    sunup_value *outputs[OUTPUTS];
    int n_outputs;
};

static int pick(struct recipe *r, int n)
{
    return (int)sunup__random_below(&r->stream, r->i++, (uint64_t)n);
}

/* Mostly one of the last ones, so that graphs are deep. */
static sunup_value *any(struct recipe *r)
{
    const int recent = r->n < 6 || pick(r, 4) == 0 ? r->n : 6;
    return r->pool[r->n - 1 - pick(r, recent)];
}

static sunup_value *unary(struct recipe *r, sunup_value *x)
{
    switch (pick(r, 12)) {
    case 0:
        return sunup_neg(x);
    case 1:
        return sunup_tanh(x);
    case 2:
        return sunup_relu(x);
    case 3:
        return sunup_sin(x);
    case 4:
        return sunup_scale(x, 0.5, 0.25);
    case 5:
        return sunup_sigmoid(x);
    case 6:
        return sunup_clamp(x, -1, 1);
    case 7:
        return sunup_gelu(x);
    case 8:
        return sunup_abs(x);
    case 9:
        return sunup_leaky_relu(x, 0.1);
    case 10:
        return sunup_softplus(x);
    default:
        return sunup_cos(x);
    }
}

static sunup_value *binary(struct recipe *r, sunup_value *a, sunup_value *b)
{
    sunup_shape shape;
    if (!sunup__broadcast_shapes(&a->shape, &b->shape, &shape) ||
        sunup__elements(&shape) > MOST_ELEMENTS)
        return NULL;
    switch (pick(r, 6)) {
    case 0:
        return sunup_add(a, b);
    case 1:
        return sunup_sub(a, b);
    case 2:
        return sunup_mul(a, b);
    case 3:
        return sunup_compare(a, b, SUNUP_LT);
    case 4:
        return sunup_where(sunup_compare(a, b, SUNUP_GE), a, b);
    default:
        return sunup_div(a, sunup_scale(sunup_square(b), 1, 1));
    }
}

static sunup_value *product(struct recipe *r, sunup_value *a, sunup_value *b)
{
    (void)r;
    if (a->shape.n != 2 || b->shape.n != 2) return NULL;
    if (a->shape.d[0] * b->shape.d[0] > MOST_ELEMENTS ||
        a->shape.d[1] * b->shape.d[1] > MOST_ELEMENTS)
        return NULL;
    if (a->shape.d[1] == b->shape.d[1]) return sunup_matmul(a, b, SUNUP_TRANSPOSE_B);
    if (a->shape.d[0] == b->shape.d[0]) return sunup_matmul(a, b, SUNUP_TRANSPOSE_A);
    return a->shape.d[1] == b->shape.d[0] ? sunup_matmul(a, b, 0) : NULL;
}

static sunup_value *of_shape(struct recipe *r, sunup_value *x)
{
    const int last = x->shape.n - 1;
    if (last < 0) return sunup_reshape(x, SUNUP_SHAPE(1));
    const int axis = pick(r, last + 1);
    const int64_t length = x->shape.d[axis];
    switch (pick(r, 7)) {
    case 0:
        return sunup_sum(x, 1, &axis, pick(r, 2) == 0);
    case 1:
        return length > 0 ? sunup_max(x, 1, &axis, pick(r, 2) == 0) : NULL;
    case 2:
        return sunup_reshape(x, SUNUP_SHAPE(sunup__elements(&x->shape)));
    case 3:
        return last == 1 ? sunup_permute(x, (int[]){1, 0}) : NULL;
    case 4:
        return length > 1 ? sunup_slice(x, axis, 1, length - 1) : NULL;
    case 5:
        return sunup_reshape(x, last == 1 ? SUNUP_SHAPE(x->shape.d[1], 1, x->shape.d[0])
                                          : SUNUP_SHAPE(1, -1));
    default:
        return sunup_mean(x, 0, NULL, false);
    }
}

/* Batch norm, or group norm of x as one sample; and mostly an activation, with a residual or not: what
 * the plan takes apart. */
static sunup_value *normalised(struct recipe *r, sunup_value *x, sunup_value *b)
{
    const int last = x->shape.n - 1;
    if (last < 1 || x->shape.d[last] < 1 || sunup__elements(&x->shape) < 2 * x->shape.d[last])
        return NULL;
    const sunup_shape c = SUNUP_SHAPE(x->shape.d[last]);
    sunup_value *gamma = sunup__same_shape(&r->pool[1]->shape, &c) ? r->pool[1] : NULL,
                *beta = pick(r, 2) == 0 ? gamma : NULL;
    const bool like = sunup__same_shape(&b->shape, &x->shape);
    sunup_value *y;
    if (pick(r, 3) == 0) {
        const sunup_shape one = SUNUP_SHAPE(1, sunup__elements(&x->shape) / c.d[0], c.d[0]);
        y = sunup_group_norm(sunup_reshape(x, one), gamma, beta, pick(r, 2) == 0 ? 1 : c.d[0], 0.1);
        if (like) b = sunup_reshape(b, one);
    } else
        y = sunup_batch_norm(x, gamma, beta, NULL, NULL, 0.1, 0.1);
    if (r->n + 3 < POOL && pick(r, 4) == 0) r->pool[r->n++] = y;
    if (like && pick(r, 2) == 0) y = sunup_add(y, b);
    switch (pick(r, 5)) {
    case 0:
        return y;
    case 1:
        return sunup_leaky_relu(y, pick(r, 2) == 0 ? 0.1 : -0.1);
    case 2:
        return sunup_gelu(y);
    default:
        return sunup_relu(y);
    }
}

static void grow(struct recipe *r, int n)
{
    for (int tries = 0; r->n < n && tries < 500; tries++) {
        sunup_value *a = any(r), *b = any(r), *y;
        switch (pick(r, 10)) {
        case 8:
        case 9:
            y = normalised(r, a, b);
            break;
        case 0:
        case 1:
        case 2:
            y = unary(r, a);
            break;
        case 3:
        case 4:
            y = binary(r, a, b);
            break;
        case 5:
            y = product(r, a, b);
            break;
        case 6:
            y = a->shape.n > 0 && a->shape.d[a->shape.n - 1] > 0 ? sunup_softmax(a, -1) : NULL;
            break;
        default:
            y = of_shape(r, a);
            break;
        }
        if (y != NULL) r->pool[r->n++] = y;
    }
}

static void add_gradients(struct recipe *r)
{
    sunup_value *loss = sunup_scalar(r->g, r->dtype, 0), *grads[SOURCES];
    for (int i = 0; i < 4; i++)
        loss = sunup_add(loss, sunup_mean(sunup_tanh(any(r)), 0, NULL, false));
    sunup_gradient(loss, SOURCES, r->pool, grads);
    for (int i = 0; i < SOURCES; i++) r->outputs[r->n_outputs++] = grads[i];
    r->outputs[r->n_outputs++] = loss;
}

/* Everything follows from the seed. */
static void build(struct recipe *r, sunup_context *ctx, int seed)
{
    *r = (struct recipe){.stream = {(uint64_t)seed, RANDOM_TEST, 0, 0},
                         .dtype = seed % 5 == 4 ? SUNUP_F64 : SUNUP_F32};
    sunup_graph_options o = sunup_graph_defaults();
    o.dtype = r->dtype;
    o.training = true;
    assert_int_equal(sunup_graph_create(ctx, &o, &r->g), SUNUP_OK);
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 16, 33, 64};
    const int64_t m = seed % 40 == 39 ? 0 : sizes[pick(r, 8)], n = sizes[pick(r, 8)];
    const sunup_shape shapes[SOURCES] = {SUNUP_SHAPE(m, n), SUNUP_SHAPE(n), SUNUP_SHAPE(m, 1),
                                         SUNUP_SCALAR};
    for (int i = 0; i < SOURCES; i++)
        r->pool[r->n++] = sunup_input(r->g, (char[]){(char)('a' + i), 0}, r->dtype, shapes[i]);
    r->pool[r->n++] = sunup_scalar(r->g, r->dtype, 0.75);
    grow(r, 8 + pick(r, POOL - 8));
    const int n_outputs = 1 + pick(r, 5);
    for (int i = 0; i < n_outputs; i++) r->outputs[r->n_outputs++] = any(r);
    if (seed % 2 == 1) add_gradients(r);
    if (sunup_graph_finish(r->g) != SUNUP_OK) fail_msg("seed %d: %s", seed, sunup_error(ctx));
}

/* Element i of source s. */
static void fill(sunup_value *v, int s, void *data)
{
    const struct random_stream stream = {(uint64_t)s, RANDOM_TEST, 1, 0};
    for (int64_t i = 0; i < sunup__elements(&v->shape); i++) {
        const double x = sunup__random_normal(&stream, (uint64_t)i);
        if (v->dtype == SUNUP_F64)
            ((double *)data)[i] = x;
        else
            ((float *)data)[i] = (float)x;
    }
}

/* ------------------------------------------------------------------------- the plain way --- */

static void run_node(struct device *d, const struct node *n, void **memory)
{
    const struct maker *maker[1];
    void *in[MAX_IN], *out[MAX_OUT];
    assert_true(n->n_in <= MAX_IN && n->n_out <= MAX_OUT);
    assert_int_equal(sunup__makers(d, n, maker, 1), 1);
    struct device alone = *d;
    alone.threads = 1;
    struct step s = {.maker = maker[0], .node = n, .device = &alone, .in = in, .out = out};
    assert_int_equal(maker[0]->make(&alone, n, &s), SUNUP_OK);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i] != NULL ? memory[n->in[i]->id] : NULL;
    for (int o = 0; o < n->n_out; o++) out[o] = memory[n->out[o]->id];
    s.workspace = sunup__alloc((size_t)s.workspace_bytes);
    const sunup_random_key key = {0};
    if (s.run(&s, &key) != SUNUP_OK) fail_msg("%s", sunup_error(d->ctx));
    sunup__free(s.workspace);
    if (s.end != NULL) s.end(&s);
}

/* Memory of all values of the graph, computed; views are copies. */
static void **interpret(struct recipe *r)
{
    struct device *d;
    assert_int_equal(sunup__device(r->g->ctx, &d), SUNUP_OK);
    void **memory = sunup__alloc((size_t)r->g->n_values * sizeof(void *));
    int source = 0;
    for (int i = 0; i < r->g->n_nodes; i++) {
        const struct node *n = r->g->nodes[i];
        for (int o = 0; o < n->n_out; o++)
            memory[n->out[o]->id] = sunup__alloc((size_t)sunup__value_bytes(n->out[o]));
        const struct source_attr *attr = sunup__source(n->out[0]);
        if (attr == NULL)
            run_node(d, n, memory);
        else if (attr->data != NULL)
            memcpy(memory[n->out[0]->id], attr->data, (size_t)sunup__value_bytes(n->out[0]));
        else
            fill(n->out[0], source++, memory[n->out[0]->id]);
    }
    return memory;
}

/* --------------------------------------------------------------------- arena, brute force --- */

/* The value whose numbers a view shows. */
static const sunup_value *shown(const sunup_value *v)
{
    while (v->node->op->flags & OP_VIEW) v = v->node->in[0];
    return v;
}

static bool in_arena(const sunup_plan *p, const void *at)
{
    return at != NULL && p->memory != NULL && (const char *)at >= (const char *)p->memory &&
           (const char *)at < (const char *)p->memory + p->arena_bytes;
}

/* -1 in the owner of every byte of a value. */
static void check_owner(const sunup_plan *p, const int *owner, const void *at, const sunup_value *v,
                        int who, int seed)
{
    if (!in_arena(p, at)) return;
    const int64_t from = (const char *)at - (const char *)p->memory;
    assert_true(from % 64 == 0 && from + sunup__value_bytes(v) <= p->arena_bytes);
    for (int64_t b = from; b < from + sunup__value_bytes(v); b++)
        if (owner[b] != who)
            fail_msg("seed %d: byte %lld of '%s' was overwritten", seed, (long long)(b - from),
                     v->name);
}

static void own(const sunup_plan *p, int *owner, const void *at, int64_t bytes, int who)
{
    if (!in_arena(p, at)) return;
    const int64_t from = (const char *)at - (const char *)p->memory;
    for (int64_t b = from; b < from + bytes; b++) owner[b] = who;
}

static void arena_is_sound(const sunup_plan *p, int seed)
{
    int *owner = sunup__alloc((size_t)(p->arena_bytes + 1) * sizeof *owner);
    for (int64_t b = 0; b < p->arena_bytes; b++) owner[b] = -1;
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        const struct node *n = s->node;
        if (s->workspace_bytes > 0)
            own(p, owner, s->workspace, s->workspace_bytes,
                -2); /* before operands: apart from them */
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != NULL)
                check_owner(p, owner, s->in[k], n->in[k], shown(n->in[k])->id, seed);
        for (int o = 0; o < n->n_out; o++)
            own(p, owner, s->out[o], sunup__value_bytes(n->out[o]), n->out[o]->id);
        if (s->workspace_bytes > 0 && in_arena(p, s->workspace)) /* and from results */
            for (int64_t b = 0; b < s->workspace_bytes; b++)
                assert_int_equal(owner[(const char *)s->workspace - (const char *)p->memory + b],
                                 -2);
    }
    sunup__free(owner);
}

/* ------------------------------------------------------------------------------ compare --- */

static void compare(sunup_plan *p, struct recipe *r, void **expected, int seed)
{
    for (int i = 0; i < r->n_outputs; i++) {
        sunup_value *v = r->outputs[i];
        const int64_t bytes = sunup__value_bytes(v);
        char *got = sunup__alloc((size_t)bytes);
        assert_int_equal(sunup_plan_get(p, v, got, bytes), SUNUP_OK);
        if (memcmp(got, expected[v->id], (size_t)bytes) != 0)
            fail_msg("seed %d on %s: output %d (%s '%s') differs from the plain way", seed,
                     p->device->ops->name, i, v->node->op->name, v->name);
        sunup__free(got);
    }
}

struct counts {
    int steps, nodes, chains, in_place;
    int norms, sums, programs; /* norms, their sums, those that make the dy they read */
    int64_t arena_bytes, unshared_bytes;
};

static void count(const sunup_plan *p, struct counts *c)
{
    c->steps += p->n_steps;
    c->nodes += p->graph->n_nodes;
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        if (s->node->op == &sunup__op_chain) c->chains++;
        if (s->node->op == &sunup__op_batch_norm_statistics) c->norms++;
        if (s->node->op == &sunup__op_batch_norm_sums) c->sums++;
        if (s->node->op == &sunup__op_batch_norm_sums && s->node->n_out > SUMS_RESULTS)
            c->programs++;
        for (int k = 0; k < s->node->n_in; k++)
            if (s->in[k] != NULL && s->in[k] == s->out[0]) c->in_place++;
    }
    c->arena_bytes += p->arena_bytes;
    c->unshared_bytes += p->unshared_bytes;
}

static void try_seed(sunup_context *ctx, int seed, struct counts *c)
{
    struct recipe r;
    build(&r, ctx, seed);
    void **expected = interpret(&r);
    sunup_plan *p;
    if (sunup_plan_create(r.g, r.n_outputs, r.outputs, &p) != SUNUP_OK)
        fail_msg("seed %d: %s", seed, sunup_error(ctx));
    for (int i = 0; i < SOURCES; i++)
        (void)sunup_plan_set(p, r.pool[i], expected[r.pool[i]->id],
                             sunup__value_bytes(r.pool[i])); /* not all are used */
    arena_is_sound(p, seed);
    for (int run = 0; run < 2; run++) {
        const int64_t allocations = sunup__allocations();
        if (sunup_plan_run(p, (sunup_random_key){0}) != SUNUP_OK)
            fail_msg("seed %d: %s", seed, sunup_error(ctx));
        if (run == 1) assert_int_equal(sunup__allocations(), allocations);
        compare(p, &r, expected, seed);
    }
    count(p, c);
    sunup_plan_destroy(&p);
    for (int i = 0; i < r.g->n_values; i++) sunup__free(expected[i]);
    sunup__free(expected);
    sunup_graph_destroy(&r.g);
}

static struct counts try_all(const char *device, int threads)
{
    unsetenv("SUNUP_DEVICE");
    sunup_context_options o = sunup_context_defaults();
    o.device = device;
    o.threads = threads;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    struct counts c = {0};
    for (int seed = 0; seed < GRAPHS; seed++) try_seed(ctx, seed, &c);
    sunup_context_destroy(&ctx);
    return c;
}

static void cpu_gives_the_bits_of_the_plain_way(void **state)
{
    (void)state;
    const struct counts c = try_all("cpu", 2);
    /* The graphs exercise what they are for. */
    assert_true(c.chains > 2 * GRAPHS && c.in_place > GRAPHS);
    assert_true(c.steps < c.nodes);
    assert_true(c.norms > GRAPHS && c.sums > GRAPHS / 4 && c.programs > GRAPHS / 8);
    assert_true(c.arena_bytes < c.unshared_bytes / 2);
}

static void memcheck_gives_the_bits_of_the_plain_way(void **state)
{
    (void)state;
    const struct counts c = try_all("memcheck", 1);
    assert_true(c.chains > GRAPHS);
    assert_int_equal(c.in_place, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_gives_the_bits_of_the_plain_way),
        cmocka_unit_test(memcheck_gives_the_bits_of_the_plain_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
