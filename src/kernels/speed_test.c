/* speed_test.c - no leaf is slower than its plain-C reference, on any problem of its check.
 *
 * The least time of a few short windows, in turn, since other work on the machine can only add. A fifth
 * more and half a microsecond a call are allowed, in which vectors and tables are set up. Left out are
 * problems of saturated arguments, whose results below 2^-126 cost some cores 150 cycles of microcode a
 * vector, by which no training is slower; stream_rows and the winograd_output that write past the caches
 * on purpose; and rows of few different numbers to top_k, which leave insertion nothing to do: distances
 * are not like that.
 * Compilers that instrument the reference or the leaf measure themselves, so the test passes over such
 * builds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "kernels/check.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define TIMED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TIMED false
#endif
#endif
#ifndef TIMED
#define TIMED true
#endif

enum { WINDOWS = 60 };
static const double window_s = 150e-6, a_call_s = 500e-9, allowed = 1.2;

static sunup_context *ctx;

static double least_s(const char *problem, const char *isa, double so_far)
{
    struct bench_result r;
    assert_int_equal(sunup__kernels_bench(ctx, problem, isa, window_s, &r), SUNUP_OK);
    return r.min_s < so_far ? r.min_s : so_far;
}

static bool is_slower(const char *leaf, const char *problem)
{
    char text[256];
    double fast = 1e9, plain = 1e9;
    (void)snprintf(text, sizeof text, "%s:%s", leaf, problem);
    for (int i = 0; i < WINDOWS; i++) {
        fast = least_s(text, ctx->options.isa, fast);
        plain = least_s(text, "ref", plain);
        if (fast <= allowed * plain + a_call_s) return false;
    }
    print_error("%s takes %.0f ns, its reference %.0f ns\n", text, 1e9 * fast, 1e9 * plain);
    return true;
}

/* Where a level has the reference itself, nothing but the places of the operands differs. */
static bool is_reference(const struct kernels *mine, const struct kernels *ref, int leaf)
{
    const size_t bytes = sizeof mine->f32.gemm, at = (size_t)leaf * bytes;
    return memcmp((const char *)&mine->f32 + at, (const char *)&ref->f32 + at, bytes) == 0;
}

static bool left_out(const char *leaf, const char *problem)
{
    return strstr(problem, "scale200") != NULL || strcmp(leaf, "stream_rows") == 0 ||
           (strcmp(leaf, "winograd_output") == 0 && strstr(problem, "stream") != NULL) ||
           (strcmp(leaf, "top_k") == 0 && strstr(problem, "ties") != NULL);
}

static void no_leaf_is_slower_than_its_reference(void **state)
{
    (void)state;
    int slower = 0, problems = 0;
    struct kernels mine, ref;
    if (!TIMED) skip();
    assert_true(sunup__kernels_init(&mine, sunup__cpu_flags(), ctx->options.isa));
    assert_true(sunup__kernels_init(&ref, sunup__cpu_flags(), "ref"));
    for (int i = 0; i < LEAVES; i++) {
        const struct leaf_check *check = sunup__leaf_check(i);
        if (is_reference(&mine, &ref, i)) continue;
        for (const char *const *p = check->problems; *p != NULL; p++, problems++)
            slower += !left_out(check->leaf, *p) && is_slower(check->leaf, *p);
    }
    print_message("%d problems\n", problems);
    assert_int_equal(slower, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_leaf_is_slower_than_its_reference)};
    if (sunup_context_create(NULL, &ctx) != SUNUP_OK) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sunup_context_destroy(&ctx);
    return failed;
}
