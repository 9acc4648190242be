/* exact_test.c - exact sums against whole numbers of 128 bits, in any order and grouping, over the whole range. */
#include "base/exact.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

static double sum_of(int n, const double *x)
{
    struct exact sum = {0};
    for (int i = 0; i < n; i++) sunup__exact_add(&sum, x[i]);
    return sunup__exact_value(&sum);
}

static void one_term_is_itself(void **state)
{
    (void)state;
    const double x[] = {
        0,         1,          -1,          DBL_MAX, -DBL_MAX,       DBL_MIN,
        0x1p-1074, -0x1p-1074, 0x1.8p-1073, M_PI,    -1e-300 * M_PI, 0x1.fffffffffffffp-1023};
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) assert_true(sum_of(1, &x[i]) == x[i]);
    for (int e = -1074; e < 1024; e++) {
        const double power = ldexp(1, e), odd = ldexp(1 + DBL_EPSILON, e);
        assert_true(sum_of(1, &power) == power && sum_of(1, &odd) == odd);
    }
    assert_true(sum_of(0, NULL) == 0);
}

static void terms_that_cancel(void **state)
{
    (void)state;
    assert_true(sum_of(3, (double[]){1e308, 0x1p-1074, -1e308}) == 0x1p-1074);
    assert_true(sum_of(4, (double[]){DBL_MAX, DBL_MAX, -DBL_MAX, -1}) == DBL_MAX);
    assert_true(sum_of(3, (double[]){-1e300, 1, 1e300}) == 1);
    assert_true(sum_of(2, (double[]){-3, 0x1p-1074}) == -3);
}

/* One rounding, ties to even, whatever lies how far below. */
static void rounds_once(void **state)
{
    (void)state;
    const double half = DBL_EPSILON / 2;
    assert_true(sum_of(2, (double[]){1, half}) == 1);
    assert_true(sum_of(3, (double[]){1, half, 0x1p-1074}) == 1 + DBL_EPSILON);
    assert_true(sum_of(3, (double[]){1, half, -0x1p-1074}) == 1);
    assert_true(sum_of(2, (double[]){1 + DBL_EPSILON, half}) == 1 + 2 * DBL_EPSILON);
    assert_true(sum_of(3, (double[]){-1, -half, -0x1p-1074}) == -1 - DBL_EPSILON);
    const double top = ldexp(1, 970); /* half a unit of DBL_MAX */
    assert_true(sum_of(2, (double[]){DBL_MAX, top}) == INFINITY);
    assert_true(sum_of(3, (double[]){DBL_MAX, top, -0x1p-1074}) == DBL_MAX);
    assert_true(sum_of(2, (double[]){-DBL_MAX, -DBL_MAX}) == -INFINITY);
}

static double random_term(uint64_t i)
{
    const struct random_stream s = {.seed = 5, .purpose = RANDOM_TEST};
    const double unit = sunup__random_unit(&s, 2 * i) - 0.5;
    return ldexp(unit, (int)(60 * sunup__random_unit(&s, 2 * i + 1)));
}

/* Terms are multiples of 2^-53 below 2^60: their sum fits into 128 bits, whose conversion rounds once too. */
static void agrees_with_whole_numbers(void **state)
{
    (void)state;
    __extension__ typedef __int128 wide;
    for (int n = 1; n < 400; n++) {
        struct exact sum = {0};
        wide whole = 0;
        for (int i = 0; i < n; i++) {
            const double x = ldexp(rint(ldexp(random_term((uint64_t)(n * 1000 + i)), 53)), -53);
            sunup__exact_add(&sum, x);
            whole += (wide)ldexp(x, 53);
        }
        assert_true(sunup__exact_value(&sum) == ldexp((double)whole, -53));
    }
}

static void order_and_groups_change_no_bit(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct exact up = {0}, down = {0}, part[7] = {{{0}}}, merged = {0};
    for (int i = 0; i < N; i++) {
        sunup__exact_add(&up, random_term((uint64_t)i));
        sunup__exact_add(&down, random_term((uint64_t)(N - 1 - i)));
        sunup__exact_add(&part[i * i % 7], random_term((uint64_t)i));
    }
    for (int p = 0; p < 7; p++) {
        sunup__exact_carry(&part[p]);
        sunup__exact_merge(&merged, &part[p]);
    }
    const double a = sunup__exact_value(&up), b = sunup__exact_value(&merged);
    assert_true(a == b && a == sunup__exact_value(&down));
    sunup__exact_carry(&up);
    sunup__exact_carry(&merged);
    assert_memory_equal(&up, &merged, sizeof up);
}

/* 2^30 terms a rank on 2^15 ranks, by doubling. */
static void survives_as_many_as_it_promises(void **state)
{
    (void)state;
    const double extremes[] = {DBL_MAX, -DBL_MAX, 0x1.fffffffffffffp31, -0x1.fffffffffffffp31};
    for (int e = 0; e < 4; e++) {
        struct exact sum = {0};
        sunup__exact_add(&sum, extremes[e]);
        for (int i = 0; i < 30; i++) sunup__exact_merge(&sum, &sum);
        sunup__exact_carry(&sum);
        for (int i = 0; i < 15; i++) sunup__exact_merge(&sum, &sum);
        assert_true(sunup__exact_value(&sum) == ldexp(extremes[e], 45));
    }
}

static void not_finite_terms_survive(void **state)
{
    (void)state;
    assert_true(sum_of(3, (double[]){1, INFINITY, -DBL_MAX}) == INFINITY);
    assert_true(sum_of(2, (double[]){-INFINITY, 1}) == -INFINITY);
    assert_true(isnan(sum_of(2, (double[]){INFINITY, -INFINITY})));
    assert_true(isnan(sum_of(3, (double[]){NAN, 1, INFINITY})));
    struct exact sum = {0}, bad = {0};
    sunup__exact_add(&bad, -NAN);
    sunup__exact_add(&sum, 2);
    sunup__exact_merge(&sum, &bad);
    assert_true(isnan(sunup__exact_value(&sum)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_term_is_itself),
        cmocka_unit_test(terms_that_cancel),
        cmocka_unit_test(rounds_once),
        cmocka_unit_test(agrees_with_whole_numbers),
        cmocka_unit_test(order_and_groups_change_no_bit),
        cmocka_unit_test(survives_as_many_as_it_promises),
        cmocka_unit_test(not_finite_terms_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
