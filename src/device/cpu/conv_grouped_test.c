/* conv_grouped_test.c - the makers of grouped convolution against the plain way in f64, at each
 * instruction set: awkward groups, and geometries that make many runs, parts, chunks and folded
 * lines.
 *
 * The bound is that of makers_test.c: terms * 2^-24 * sum of |products|. Any number of threads must
 * give the same bits. The workspace starts as NaN, and what lies behind it and the result survives.
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
#include "base/system.h"
#include "device/cpu/maker_run_test.h"
#include "device/cpu/makers.h"
#include "graph/ops/conv.h"

enum { OPERANDS = 3, PASSES = 3 };

struct problem {
    const char *name;
    sunup_shape x, w;
    int64_t groups, stride[3], dilation[3], before[3], after[3];
    bool circular;
};

#define S SUNUP_SHAPE
static const struct problem problems[] = {
    {"plane", S(3, 14, 13, 35), S(3, 3, 1, 35), 35, .before = {1, 1}, .after = {1, 1}},
    {"few channels", S(2, 9, 17, 3), S(3, 5, 1, 3), 3, .before = {1, 2}, .after = {1, 2}},
    {"strided", S(2, 15, 14, 20), S(3, 3, 1, 20), 20, .stride = {2, 2}, .before = {1, 1},
     .after = {1, 1}},
    {"stride over taps", S(2, 11, 13, 16), S(2, 1, 1, 16), 16, .stride = {3, 4}},
    {"dilated, strided", S(2, 19, 21, 18), S(3, 4, 1, 18), 18, .stride = {2, 3}, .dilation = {3, 2},
     .before = {1, 2}},
    {"much padding", S(2, 5, 4, 6), S(2, 3, 1, 6), 6, .before = {4, 5}, .after = {3, 7}},
    {"multiplied", S(2, 9, 8, 5), S(3, 3, 1, 15), 5, .before = {1, 1}, .after = {1, 1}},
    {"multiplied by 8", S(1, 9, 8, 4), S(3, 3, 1, 32), 4, .stride = {1, 2}},
    {"pairs", S(2, 9, 10, 34), S(3, 3, 2, 34), 17, .before = {1, 1}, .after = {1, 1}},
    {"threes", S(2, 9, 10, 27), S(3, 3, 3, 27), 9, .before = {1, 1}, .after = {1, 1}},
    {"fours", S(2, 19, 18, 24), S(3, 3, 4, 24), 6, .before = {1, 1}, .after = {1, 1}},
    {"eights", S(2, 9, 10, 24), S(3, 3, 8, 24), 3, .before = {1, 1}, .after = {1, 1}},
    {"five to seven", S(2, 7, 10, 10), S(3, 2, 5, 14), 2, .stride = {2, 1}},
    {"six to one", S(2, 7, 10, 18), S(3, 2, 6, 3), 3, .before = {0, 1}},
    {"circular", S(2, 7, 9, 6), S(3, 5, 1, 6), 6, .before = {1, 2}, .after = {1, 2},
     .circular = true},
    {"circular, wider than the map", S(2, 5, 3, 12), S(3, 3, 4, 12), 3, .stride = {1, 2},
     .dilation = {3, 2}, .before = {5, 3}, .after = {5, 3}, .circular = true},
    {"line", S(2, 1001, 20), S(9, 1, 20), 20, .before = {4}, .after = {4}},
    {"line, one point a row", S(1, 700, 4), S(5, 2, 4), 2, .stride = {3}, .dilation = {7}},
    {"space", S(2, 6, 7, 9, 17), S(3, 3, 3, 1, 17), 17, .before = {1, 1, 1}, .after = {1, 1, 1}},
    {"space, strided", S(1, 8, 7, 9, 8), S(3, 2, 3, 2, 8), 4, .stride = {2, 1, 2},
     .before = {1, 0, 1}},
    {"many channels", S(2, 7, 7, 512), S(3, 3, 1, 512), 512, .before = {1, 1}, .after = {1, 1}},
    {"many parts", S(1, 60, 61, 64), S(5, 5, 1, 64), 64, .before = {2, 2}, .after = {2, 2}},
    {"many taps", S(1, 40, 41, 16), S(30, 31, 1, 16), 16, .before = {3, 3}},
};
#undef S

static sunup_value *input(sunup_graph *g, const char *name, sunup_shape shape)
{
    return sunup_input(g, name, sunup_graph_dtype(g), shape);
}

/* pass 0: forward; 1: data gradient; 2: weight gradient. */
static sunup_value *build(sunup_graph *g, const struct problem *p, int pass)
{
    sunup_conv_options o = sunup_conv_defaults();
    for (int i = 0; i < 3; i++) {
        if (p->stride[i]) o.stride[i] = p->stride[i];
        if (p->dilation[i]) o.dilation[i] = p->dilation[i];
        o.before[i] = p->before[i];
        o.after[i] = p->after[i];
    }
    o.groups = p->groups;
    if (p->circular) o.pad_mode = SUNUP_PAD_CIRCULAR;
    sunup_value *y = sunup_conv(input(g, "x", p->x), input(g, "w", p->w),
                                input(g, "b", SUNUP_SHAPE(p->w.d[p->w.n - 1])), &o);
    if (sunup__is_poison(y)) fail_msg("%s: %s", p->name, g->message);
    if (pass == 0) return y;
    sunup_value *dy = input(g, "dy", y->shape);
    return pass == 1 ? sunup__conv_data_grad(y->node->in[1], dy, y->node->attr)
                     : sunup__conv_weight_grad(y->node->in[0], dy, y->node->attr);
}

static const struct node *node_of(sunup_context *ctx, sunup_dtype dtype, const struct problem *p,
                                  int pass, sunup_graph **g)
{
    sunup_graph_options o = sunup_graph_defaults();
    o.dtype = dtype;
    assert_int_equal(sunup_graph_create(ctx, &o, g), SUNUP_OK);
    return build(*g, p, pass)->node;
}

static double *plain(const struct node *n, const struct device *d, double *const *in)
{
    void *out = guarded(sunup__elements(&n->out[0]->shape) * (int64_t)sizeof(double));
    void *workspace = guarded(n->op->workspace ? n->op->workspace(n, 1) : 0);
    const struct exec e = {.ctx = n->graph->ctx,
                           .kernels = d->kernels,
                           .threads = 1,
                           .in = (void *const *)in,
                           .out = &out,
                           .workspace = workspace};
    assert_int_equal(n->op->run(n, &e), SUNUP_OK);
    sunup__free(workspace);
    return out;
}

/* The same numbers in f32, f64 and absolute f64. */
struct operands {
    float *f32[OPERANDS];
    double *f64[OPERANDS], *absolute[OPERANDS];
};

static struct operands draw(const struct node *n)
{
    struct operands o = {{0}, {0}, {0}};
    for (int i = 0; i < n->n_in; i++) {
        const int64_t count = sunup__elements(&n->in[i]->shape);
        const struct random_stream s = {7, RANDOM_TEST, 1, (uint64_t)i};
        o.f32[i] = sunup__alloc_aligned((size_t)count * sizeof(float));
        o.f64[i] = sunup__alloc_aligned((size_t)count * sizeof(double));
        o.absolute[i] = sunup__alloc_aligned((size_t)count * sizeof(double));
        for (int64_t j = 0; j < count; j++) {
            o.f32[i][j] = (float)(2 * sunup__random_unit(&s, (uint64_t)j) - 1);
            o.f64[i][j] = (double)o.f32[i][j];
            o.absolute[i][j] = fabs(o.f64[i][j]);
        }
    }
    return o;
}

static void drop(struct operands *o)
{
    for (int i = 0; i < OPERANDS; i++) {
        sunup__free(o->f32[i]);
        sunup__free(o->f64[i]);
        sunup__free(o->absolute[i]);
    }
}

static void compare(const struct node *n, const char *name, const float *got, const double *want,
                    const double *size)
{
    const int64_t count = sunup__elements(&n->out[0]->shape);
    /* x4: borders have fewer terms than others */
    const double terms = sunup__node_cost(n).flops / 2 / (double)count * 4 + 20;
    for (int64_t i = 0; i < count; i++) {
        const double bound = terms * 0x1p-24 * size[i];
        if (fabs((double)got[i] - want[i]) <= bound) continue;
        fail_msg("%s of '%s': element %lld of %lld is %g, must be %g, bound %g", n->op->name, name,
                 (long long)i, (long long)count, (double)got[i], want[i], bound);
    }
}

static const struct maker *first_maker(const struct device *d, const struct node *n)
{
    const struct maker *m;
    assert_int_equal(sunup__makers(d, n, &m, 1), 1);
    return m;
}

static void check_pass(sunup_context *ctx, const struct problem *p, int pass)
{
    static const char *const names[PASSES] = {"conv_grouped", "conv_data_grad_grouped",
                                              "conv_weight_grad_grouped"};
    static const int threads[] = {2, 3, 7};
    struct device *cpu;
    assert_int_equal(sunup__device(ctx, &cpu), SUNUP_OK);
    struct device d = *cpu;
    sunup_graph *g, *g64;
    const struct node *n = node_of(ctx, SUNUP_F32, p, pass, &g),
                      *n64 = node_of(ctx, SUNUP_F64, p, pass, &g64);
    const struct maker *m = first_maker(&d, n);
    assert_string_equal(m->name, names[pass]);
    struct operands in = draw(n);
    double *want = plain(n64, &d, in.f64), *size = plain(n64, &d, in.absolute);
    d.threads = 1;
    float *one = run_maker(m, &d, d.threads, n, (void **)in.f32);
    compare(n, p->name, one, want, size);
    for (int i = 0; i < 3; i++) {
        d.threads = threads[i];
        float *more = run_maker(m, &d, d.threads, n, (void **)in.f32);
        assert_memory_equal(one, more, (size_t)sunup__elements(&n->out[0]->shape) * sizeof(float));
        sunup__free(more);
    }
    sunup__free(one);
    sunup__free(want);
    sunup__free(size);
    drop(&in);
    sunup_graph_destroy(&g);
    sunup_graph_destroy(&g64);
}

static sunup_context *context(const char *isa)
{
    sunup_context_options o = sunup_context_defaults();
    o.isa = isa;
    sunup_context *ctx;
    unsetenv("SUNUP_ISA"); /* this test goes through the levels itself */
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    return ctx;
}

static void agree_with_the_plain_way(void **state)
{
    (void)state;
    for (int i = 0; sunup__isa_name(i); i++) {
        if (!sunup__isa_runs(i, sunup__cpu_flags())) continue;
        sunup_context *ctx = context(sunup__isa_name(i));
        for (size_t j = 0; j < sizeof problems / sizeof *problems; j++) {
            for (int pass = 0; pass < PASSES; pass++) check_pass(ctx, &problems[j], pass);
        }
        sunup_context_destroy(&ctx);
    }
}

/* One group, large groups, more taps than a list holds, and nothing at all are for others. */
static void leave_the_rest_to_others(void **state)
{
    (void)state;
    static const struct problem others[] = {
        {"one group", {4, {2, 5, 5, 4}}, {4, {3, 3, 4, 4}}, .groups = 1},
        {"large groups", {4, {2, 5, 5, 32}}, {4, {3, 3, 16, 32}}, .groups = 2},
        {"too many taps", {3, {1, 1100, 2}}, {3, {1030, 1, 2}}, .groups = 2},
        {"no samples", {3, {0, 11, 2}}, {3, {3, 1, 2}}, .groups = 2},
    };
    sunup_context *ctx = context(NULL);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        sunup_graph *g;
        const struct node *n = node_of(ctx, SUNUP_F32, &others[i], 0, &g);
        assert_null(strstr(first_maker(d, n)->name, "grouped"));
        sunup_graph_destroy(&g);
    }
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_plain_way),
                                       cmocka_unit_test(leave_the_rest_to_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
