/* braggnn_test.c - the simulator's peaks are where they should be, and the fit finds them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "peaks.h"

static void test_profile(void **state)
{
    (void)state;
    const struct peak p = {{5, 5}, {2, 3}, 0.3, 0.4, 100};
    assert_true(fabs(peak_value(&p, 5, 5) - 100) < 1e-12);
    const double u[2] = {cos(0.3), sin(0.3)}; /* half a width along the first axis: half the height */
    assert_true(fabs(peak_value(&p, 5 + u[0], 5 + u[1]) - 50) < 1e-12);
    assert_true(fabs(peak_value(&p, 5 - 1.5 * u[1], 5 + 1.5 * u[0]) - 50) < 1e-12);
}

static void test_fit(void **state)
{
    (void)state;
    const struct peaks easy = {7, false};
    double sum = 0;
    for (int i = 0; i < 200; i++) {
        float counts[PIXELS];
        double at[2], found[2];
        peaks_draw(&easy, 0, i, counts, at);
        peaks_fit(counts, found);
        sum += hypot(at[0] - found[0], at[1] - found[1]) / 200;
    }
    assert_true(sum < 0.06);
}

static void test_same_numbers(void **state)
{
    (void)state;
    const struct peaks hard = {7, true};
    float a[PIXELS], b[PIXELS];
    double at[2], there[2];
    peaks_draw(&hard, 3, 11, a, at);
    peaks_draw(&hard, 3, 11, b, there);
    assert_memory_equal(a, b, sizeof a);
    assert_true(fabs(at[0] - 5) <= 1.5 && fabs(at[1] - 5) <= 1.5);
    peaks_draw(&hard, 4, 11, b, there);
    assert_true(memcmp(a, b, sizeof a) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
