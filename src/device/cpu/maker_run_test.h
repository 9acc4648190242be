/* maker_run_test.h - one run of a maker's step as its tests want it: memory of NaN, with bytes behind it
 * that must survive, run twice, since a step may leave nothing behind in its workspace.
 * Included after cmocka.h. */
#ifndef SUNUP_MAKER_RUN_TEST_H
#define SUNUP_MAKER_RUN_TEST_H

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "device/cpu/makers.h"

enum { GUARD = 256 };
#ifdef __SANITIZE_ADDRESS__
enum { RUNS = 1 }; /* minutes; what a run leaves behind and other cuts are for the other builds */
#else
enum { RUNS = 2 };
#endif

/* `bytes` of 0xff, which is NaN, and a guard. */
static inline void *guarded(int64_t bytes)
{
    unsigned char *p = sunup__alloc_aligned((size_t)bytes + GUARD);
    assert_non_null(p);
    memset(p, 0xff, (size_t)bytes);
    memset(p + bytes, 0xa5, GUARD);
    return p;
}

static inline void check_guard(const void *p, int64_t bytes)
{
    for (int i = 0; i < GUARD; i++) assert_int_equal(((const unsigned char *)p)[bytes + i], 0xa5);
}

/* The same step where all operands stay: what it makes of them once gives the expected bits in every run. */
static inline void run_prepared(const struct maker *m, struct device *d, const struct node *n,
                                void **in, const float *expected)
{
    enum { OPERANDS = 8 };
    bool stays[OPERANDS];
    const int64_t bytes = sunup__elements(&n->out[0]->shape) * (int64_t)sizeof(float);
    void *out = guarded(bytes);
    struct step s = {.maker = m, .node = n, .device = d, .in = in, .out = &out, .stays = stays};
    assert_true(n->n_in <= OPERANDS);
    for (int i = 0; i < OPERANDS; i++) stays[i] = true;
    assert_int_equal(m->make(d, n, &s), SUNUP_OK);
    s.workspace = guarded(s.workspace_bytes);
    if (s.prepared_bytes > 0) {
        s.prepared = guarded(s.prepared_bytes);
        s.prepare(&s);
        check_guard(s.prepared, s.prepared_bytes);
        memset(s.workspace, 0xff, (size_t)s.workspace_bytes);
    }
    const sunup_random_key key = {0};
    for (int i = 0; i < RUNS; i++) {
        memset(out, 0xff, (size_t)bytes);
        assert_int_equal(s.run(&s, &key), SUNUP_OK);
        assert_memory_equal(out, expected, (size_t)bytes);
    }
    check_guard(out, bytes);
    check_guard(s.workspace, s.workspace_bytes);
    if (s.prepared != NULL) check_guard(s.prepared, s.prepared_bytes);
    sunup__free(s.prepared);
    sunup__free(s.workspace);
    sunup__free(out);
    if (s.end) s.end(&s);
}

/* The first result; the caller's. */
static inline float *run_maker(const struct maker *m, const struct device *cpu, int threads,
                               const struct node *n, void **in)
{
    struct device d = *cpu;
    d.threads = threads;
    const int64_t bytes = sunup__elements(&n->out[0]->shape) * (int64_t)sizeof(float);
    void *out = guarded(bytes);
    struct step s = {.maker = m, .node = n, .device = &d, .in = in, .out = &out};
    assert_int_equal(m->make(&d, n, &s), SUNUP_OK);
    s.workspace = guarded(s.workspace_bytes);
    const sunup_random_key key = {0};
    for (int i = 0; i < RUNS; i++) assert_int_equal(s.run(&s, &key), SUNUP_OK);
    check_guard(out, bytes);
    check_guard(s.workspace, s.workspace_bytes);
    sunup__free(s.workspace);
    if (s.end) s.end(&s);
    return out;
}

/* The same bits on 1, 2 and 7 threads, and from prepared operands: those of one, the caller's. 7 are
 * more than many problems have tasks for. Where all is slow, in plain C or under the sanitizers, the
 * most cuts stand for the others. */
static inline float *run_on_any_threads(const struct maker *m, const struct device *cpu,
                                        const struct node *n, void **in)
{
    enum { FEW = 2, MOST = 7 };
    const size_t bytes = (size_t)sunup__elements(&n->out[0]->shape) * sizeof(float);
    float *one = run_maker(m, cpu, 1, n, in), *most = run_maker(m, cpu, MOST, n, in);
    assert_memory_equal(one, most, bytes);
    sunup__free(most);
    struct device d = *cpu;
    d.threads = MOST;
    run_prepared(m, &d, n, in, one);
    if (RUNS > 1 && strcmp(cpu->kernels->isa, "ref") != 0) {
        float *few = run_maker(m, cpu, FEW, n, in);
        assert_memory_equal(one, few, bytes);
        sunup__free(few);
    }
    return one;
}

static inline const struct maker *maker_named(const char *name)
{
    const struct maker *m = sunup__cpu_makers;
    while (m->name && strcmp(m->name, name) != 0) m++;
    assert_non_null(m->name);
    return m;
}

/* The op's own way on a node of f64; the caller's. */
static inline double *run_plain(const struct device *d, const struct node *n, void **in)
{
    void *out = sunup__alloc((size_t)sunup__elements(&n->out[0]->shape) * sizeof(double));
    void *workspace = sunup__alloc((size_t)(n->op->workspace ? n->op->workspace(n, 1) : 0));
    const struct exec e = {.ctx = d->ctx,
                           .kernels = d->kernels,
                           .threads = 1,
                           .in = in,
                           .out = &out,
                           .workspace = workspace};
    assert_int_equal(n->op->run(n, &e), SUNUP_OK);
    sunup__free(workspace);
    return out;
}

static inline struct device *open_level(const char *isa, sunup_numerics numerics,
                                        sunup_context **ctx)
{
    sunup_context_options o = sunup_context_defaults();
    o.isa = isa;
    o.numerics = numerics;
    unsetenv("SUNUP_ISA"); /* this test goes through the levels itself */
    unsetenv("SUNUP_NUMERICS");
    assert_int_equal(sunup_context_create(&o, ctx), SUNUP_OK);
    struct device *cpu;
    assert_int_equal(sunup__device(*ctx, &cpu), SUNUP_OK);
    return cpu;
}

typedef void check_fn(const struct device *cpu);

/* Where a test that goes through the levels starts: at the best one, unless the build is to test the weaker ones
 * (SUNUP_TEST_ISA). Leaves of all levels are checked one by one anyway, by kernels_test. */
static inline int first_level(int least)
{
#ifdef TEST_ISA
    return least;
#else
    int best = least;
    for (int i = least; sunup__isa_name(i); i++)
        if (sunup__isa_runs(i, sunup__cpu_flags())) best = i;
    return best;
#endif
}

static inline void at_each_level(check_fn *check)
{
    for (int i = first_level(0); sunup__isa_name(i); i++) {
        if (!sunup__isa_runs(i, sunup__cpu_flags())) continue;
        sunup_context *ctx;
        check(open_level(sunup__isa_name(i), SUNUP_NUMERICS_FAST, &ctx));
        sunup_context_destroy(&ctx);
    }
}

#endif
