/* kernels_test.c - every leaf passes its check at every level of this processor; the check itself
 * finds each kind of defect that it claims to find; levels can be named and refused. Whatever SUNUP_ISA
 * says, this test goes through the levels itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/system.h"
#include "kernels/check_state.h"

/* The template as a level of its own, so that what people copy stays right. */
#define ISA       template
#define FILL_LIST "kernels/template/template.def"
#include "kernels/fill.c"
#include "kernels/template/gemm.c"

static sunup_context *ctx;

static int set_up(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

static void print_failure(void *arg, const struct check_result *r)
{
    (void)arg;
    if (r->failure) print_error("%s\n", r->failure);
}

static void every_leaf_passes_at_every_level(void **state)
{
    (void)state;
    struct check_report report = {.each = print_failure};
    assert_int_equal(sunup__kernels_check(ctx, NULL, &report), SUNUP_OK);
    assert_true(report.results > 2 * LEAVES);
    assert_int_equal(report.failures, 0);
}

static void every_leaf_has_problems(void **state)
{
    (void)state;
    static const char *const names[] = {
#define LEAF(name, ...) #name,
#include "kernels/leaves.def"
#undef LEAF
    };
    for (int i = 0; i < LEAVES; i++) {
        assert_string_equal(sunup__leaf_check(i)->leaf, names[i]);
        assert_non_null(sunup__leaf_check(i)->problems[0]);
    }
    assert_null(sunup__leaf_check(LEAVES));
}

/* ---- defects ---- */

static void keep_failure(void *arg, const struct check_result *r)
{
    if (r->failure) strncpy(arg, r->failure, 511);
}

/* The sentence about an add_to with a defect; "" if none was found. */
static void check_add(void (*add)(int64_t n, const float *x, float *y), const char *problem,
                      char text[512])
{
    struct kernels k;
    assert_true(sunup__kernels_init(&k, 0, "ref"));
    k.f32.add_to = add;
    memset(text, 0, 512);
    struct check_report report = {.each = keep_failure, .arg = text};
    assert_int_equal(
        sunup__check_problem(ctx, sunup__leaf_check(LEAF_add_to), problem, &k, &report), SUNUP_OK);
    assert_int_equal(report.results, 1);
    assert_int_equal(report.failures, text[0] != '\0');
}

static void right(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
static void leaves_last(int64_t n, const float *x, float *y)
{
    right(n - 1, x, y);
}
static void off_by_ulps(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (y[i] + x[i]) * (1 + 0x1p-20F);
}
static void loses_nan(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = isnan(y[i] + x[i]) ? 0 : y[i] + x[i];
}
static void flushes_denormals(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = fabsf(y[i] + x[i]) < 0x1p-126F ? 0 : y[i] + x[i];
}
static void writes_behind(int64_t n, const float *x, float *y)
{
    right(n, x, y);
    y[n] = 0;
}
static void writes_before(int64_t n, const float *x, float *y)
{
    right(n, x, y);
    y[-1] = 0;
}
static void reads_behind(int64_t n, const float *x, float *y)
{
    right(n, x, y);
    volatile float kept = x[n];
    (void)kept;
}
static void changes_input(int64_t n, const float *x, float *y)
{
    right(n, x, y);
    ((float *)(uintptr_t)x)[0] += 1;
}
static void traps(int64_t n, const float *x, float *y)
{
    (void)n, (void)x, (void)y;
    __builtin_trap();
}

static void the_check_finds_defects(void **state)
{
    (void)state;
    static const struct {
        void (*add)(int64_t n, const float *x, float *y);
        const char *says; /* NULL: nothing is wrong */
    } defects[] = {
        {right, NULL},
        {leaves_last, "y[16]"},
        {off_by_ulps, "times the bound"},
        {loses_nan, "nan"},
        {flushes_denormals, "times the bound"},
        {writes_behind, "SIGSEGV"},
        {writes_before, "outside y[17]"},
        {reads_behind, "SIGSEGV"},
        {changes_input, "changed its input x[0]"},
        {traps, "SIGILL"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof defects / sizeof *defects; i++) {
        check_add(defects[i].add, "n17", text);
        if (!defects[i].says) {
            assert_string_equal(text, "");
            continue;
        }
        if (!strstr(text, defects[i].says))
            fail_msg("defect %d: '%s' must say '%s'", (int)i, text, defects[i].says);
        assert_non_null(strstr(text, "add_to:n17 on ref, seed"));
    }
}

static void unknown_words_are_told(void **state)
{
    (void)state;
    char text[512];
    check_add(right, "n3q7", text);
    assert_non_null(strstr(text, "'q'"));
    struct check_report report = {0};
    assert_int_equal(sunup__kernels_check(ctx, "gem", &report), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "gem"));
    assert_int_equal(sunup__kernels_check(ctx, "gemm:m1n7k9;", &report), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "';'"));
    report.isa = "mmx";
    assert_int_equal(sunup__kernels_check(ctx, "gemm", &report), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "mmx"));
}

static void one_problem_runs_at_every_level(void **state)
{
    (void)state;
    int levels = 0; /* that have a gemm of their own */
    struct kernels k = {0};
    for (int i = 0; sunup__isa_runs(i, sunup__cpu_flags()); i++) {
        const struct kernels below = k;
        assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(i)));
        levels += k.f32.gemm != below.f32.gemm;
    }
    struct check_report report = {.each = print_failure};
    assert_int_equal(sunup__kernels_check(ctx, "gemm:m19n23k29b2:a2", &report), SUNUP_OK);
    assert_int_equal(report.results, levels);
    assert_int_equal(report.failures, 0);
}

/* ---- levels and benches ---- */

static void the_template_is_right(void **state)
{
    (void)state;
    struct kernels k;
    assert_true(sunup__kernels_init(&k, 0, "ref"));
    sunup__kernels_template(&k);
    k.isa = "template";
    assert_true(k.f32.gemm != ref_gemm_f32);
    struct check_report report = {.each = print_failure};
    for (const char *const *p = sunup__leaf_check(LEAF_gemm)->problems; *p; p++) {
        assert_int_equal(sunup__check_problem(ctx, sunup__leaf_check(LEAF_gemm), *p, &k, &report),
                         SUNUP_OK);
    }
    assert_true(report.results > 20);
    assert_int_equal(report.failures, 0);
}

static void levels_are_chosen_by_flags_and_name(void **state)
{
    (void)state;
    struct kernels k;
    assert_true(sunup__kernels_init(&k, 0, NULL));
    assert_string_equal(k.isa, "ref");
    assert_true(k.f32.gemm == ref_gemm_f32);
    assert_false(sunup__kernels_init(&k, 0, "avx2"));
    assert_false(sunup__kernels_init(&k, ~0U, "mmx"));
    assert_true(sunup__kernels_init(&k, CPU_AVX2 | CPU_FMA, NULL));
    assert_string_equal(k.isa, "avx2");
    assert_true(k.f32.gemm != ref_gemm_f32);
    assert_true(sunup__kernels_init(&k, ~0U, "ref"));
    assert_true(k.f32.gemm == ref_gemm_f32);
}

static void a_bench_counts_and_repeats(void **state)
{
    (void)state;
    struct bench_result r;
    assert_int_equal(sunup__kernels_bench(ctx, "gemm:m10n20k30", "ref", 0.01, &r), SUNUP_OK);
    assert_true(r.flops == 2.0 * 10 * 20 * 30);
    assert_true(r.bytes == 4.0 * (10 * 30 + 30 * 20 + 10 * 20));
    assert_true(r.median_s > 0 && r.min_s <= r.median_s && r.calls >= 5);
    assert_int_equal(sunup__kernels_bench(ctx, "gemm:m10z3", "ref", 0.01, &r), SUNUP_E_ARGUMENT);
    assert_int_equal(sunup__kernels_bench(ctx, "gemmm:m10", "ref", 0.01, &r), SUNUP_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_leaf_passes_at_every_level),
                                       cmocka_unit_test(every_leaf_has_problems),
                                       cmocka_unit_test(the_check_finds_defects),
                                       cmocka_unit_test(unknown_words_are_told),
                                       cmocka_unit_test(the_template_is_right),
                                       cmocka_unit_test(one_problem_runs_at_every_level),
                                       cmocka_unit_test(levels_are_chosen_by_flags_and_name),
                                       cmocka_unit_test(a_bench_counts_and_repeats)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
