/* maker_run_test.h - one run of a maker's step as its tests want it: memory of NaN, with bytes behind it
 * that must survive, run twice, since a step may leave nothing behind in its workspace.
 * Included after cmocka.h. */
#ifndef SUNUP_MAKER_RUN_TEST_H
#define SUNUP_MAKER_RUN_TEST_H

#include <string.h>

#include "device/device.h"

enum { GUARD = 256 };

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
    for (int twice = 0; twice < 2; twice++) assert_int_equal(s.run(&s, &key), SUNUP_OK);
    check_guard(out, bytes);
    check_guard(s.workspace, s.workspace_bytes);
    sunup__free(s.workspace);
    if (s.end) s.end(&s);
    return out;
}

#endif
