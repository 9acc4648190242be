/* pointwise_test.c - accuracy of the pointwise functions in units of the last place, at every
 * instruction set.
 *
 * Each function is tried on every 1021st float of its range, both signs, against the math library
 * in double. The bounds are those that simd/math.h states; ref calls the C library, whose accuracy
 * is not ours to assert. Also: bits do not depend on where an element stands in a vector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "kernels/kernels.h"

enum { N = 509, STEP = 1021 };

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double elu(double x)
{
    return x > 0 ? x : expm1(x);
}

static const struct accuracy {
    const char *name;
    int op;
    double (*fn)(double x);
    double ulp;
} functions[] = {
    {"exp", PW_exp, exp, 0.9},    {"log", PW_log, log, 0.8},
    {"tanh", PW_tanh, tanh, 2.5}, {"sigmoid", PW_sigmoid, sigmoid, 2.1},
    {"sin", PW_sin, sin, 1.6},    {"cos", PW_cos, cos, 1.6},
    {"sqrt", PW_sqrt, sqrt, 0.5}, {"erf", PW_erf, erf, 5.2},
    {"elu", PW_elu, elu, 1.0},    {"softplus", PW_softplus, softplus, 2.1},
};

static double ulps(float got, double want)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (fabs(want) > (double)FLT_MAX && isinf(got)) return 0;
    if (!isfinite(want) || !isfinite(got)) return (double)got == want ? 0 : INFINITY;
    const double unit = fmax(ldexp(1, ilogb(want) - 23), 0x1p-149);
    return fabs((double)got - want) / (want == 0 ? 0x1p-149 : unit);
}

static double worst(const struct kernels *k, const struct accuracy *f)
{
    const double imm[2] = {1, 0};
    double most = 0;
    for (uint64_t from = 0; from < 1ULL << 32; from += (uint64_t)N * STEP) {
        float x[N], y[N];
        for (uint32_t i = 0; i < N; i++) {
            const uint32_t bits = (uint32_t)(from + (uint64_t)i * STEP);
            memcpy(&x[i], &bits, sizeof bits);
        }
        k->f32.pointwise(f->op, N, y, x, NULL, NULL, imm);
        for (int i = 0; i < N; i++) most = fmax(most, ulps(y[i], f->fn((double)x[i])));
    }
    return most;
}

static void functions_are_as_accurate_as_stated(void **state)
{
    (void)state;
    for (int level = 1; sunup__isa_name(level); level++) {
        struct kernels k;
        const char *isa = sunup__isa_name(level);
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), isa)) continue;
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
            const double most = worst(&k, &functions[i]);
            if (most > functions[i].ulp) {
                fail_msg("%s on %s: %.3f units of the last place, stated %.3f", functions[i].name,
                         isa, most, functions[i].ulp);
            }
            printf("%-6s %-8s %.3f\n", isa, functions[i].name, most);
        }
    }
}

static void bits_do_not_depend_on_place(void **state)
{
    (void)state;
    struct kernels k;
    const double imm[2] = {-0.5, 0.75};
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    float x[N], whole[N], part[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.0371F * (i % 7 == 0 ? 1e9F : 1.0F);
    for (int op = 0; op < PW_COUNT; op++) {
        k.f32.pointwise(op, N, whole, x, x, x, imm);
        for (int from = 0, n = 1; from < N; from += n, n = n % 37 + 1) {
            const int m = n < N - from ? n : N - from;
            k.f32.pointwise(op, m, part, x + from, x + from, x + from, imm);
            assert_memory_equal(part, whole + from, (size_t)m * sizeof(float));
        }
    }
}

/* Beyond where its quotient of polynomials is cut off, gelu is a or 0, its slope 1 or 0. */
static void gelu_is_exact_far_out(void **state)
{
    (void)state;
    const float x[] = {6, 64, 1e30F, -6, -64, -1e30F}, ones[] = {1, 1, 1, 1, 1, 1};
    for (int level = 1; sunup__isa_name(level); level++) {
        struct kernels k;
        float y[6], slope[6];
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(level))) continue;
        k.f32.pointwise(PW_gelu, 6, y, x, NULL, NULL, NULL);
        k.f32.pointwise(PW_gelu_grad, 6, slope, x, ones, NULL, NULL);
        for (int i = 0; i < 6; i++) {
            assert_true(y[i] == (i < 3 ? x[i] : 0));
            assert_true(slope[i] == (i < 3 ? 1 : 0));
        }
    }
}

static double mod(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : copysign(r == 0 ? 0 : r, b);
}

static void angles_and_remainders_at_their_edges(void **state)
{
    (void)state;
    static const float v[] = {0,        -0.0F,     1,     -1,   2.5F,  -2.5F,     0x1p-149F,
                              1e-30F,   -1e-30F,   3e38F, 1e9F, 7,     -1e20F,    3.25F,
                              INFINITY, -INFINITY, NAN,   0.1F, -0.3F, 6.2831855F};
    enum { V = sizeof v / sizeof *v };
    float a[V * V], b[V * V], y[V * V];
    for (int i = 0; i < V * V; i++) a[i] = v[i / V], b[i] = v[i % V];
    for (int level = 0; sunup__isa_name(level); level++) {
        struct kernels k;
        if (!sunup__kernels_init(&k, sunup__cpu_flags(), sunup__isa_name(level))) continue;
        k.f32.pointwise(PW_atan2, V * V, y, a, b, NULL, NULL);
        for (int i = 0; i < V * V; i++) {
            const double want = atan2((double)a[i], (double)b[i]);
            if (ulps(y[i], want) > 2.5 || (!isnan(want) && !signbit(y[i]) != !signbit(want)))
                fail_msg("atan2(%g, %g) is %g", (double)a[i], (double)b[i], (double)y[i]);
        }
        k.f32.pointwise(PW_mod, V * V, y, a, b, NULL, NULL);
        for (int i = 0; i < V * V; i++)
            if (ulps(y[i], mod((double)a[i], (double)b[i])) > 0.5)
                fail_msg("%g mod %g is %g", (double)a[i], (double)b[i], (double)y[i]);
    }
}

static void angles_are_as_accurate_as_stated(void **state)
{
    (void)state;
    enum { POINTS = 1 << 20 };
    struct kernels k;
    static float a[N], b[N], y[N];
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    double most = 0;
    for (int at = 0; at < POINTS; at += N) {
        for (int i = 0; i < N; i++) {
            const double angle = 6.283185307179586 * (at + i) / POINTS,
                         radius = ldexp(1, (at + i) % 80 - 40);
            a[i] = (float)(radius * sin(angle)), b[i] = (float)(radius * cos(angle));
        }
        k.f32.pointwise(PW_atan2, N, y, a, b, NULL, NULL);
        for (int i = 0; i < N; i++)
            most = fmax(most, ulps(y[i], atan2((double)a[i], (double)b[i])));
    }
    printf("atan2 %.3f\n", most);
    assert_true(most <= 2.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_is_exact_far_out),
        cmocka_unit_test(functions_are_as_accurate_as_stated),
        cmocka_unit_test(bits_do_not_depend_on_place),
        cmocka_unit_test(angles_and_remainders_at_their_edges),
        cmocka_unit_test(angles_are_as_accurate_as_stated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
