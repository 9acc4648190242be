/* uno_test.c - the split keeps its promises, whatever the data: shares, and nobody on two sides. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "uno.h"

enum { LINES = 400, MOLECULES = 200 };

static void count(bool validation, double share[4])
{
    for (int i = 0; i < 4; i++) share[i] = 0;
    for (int64_t l = 0; l < LINES; l++)
        for (int64_t m = 0; m < MOLECULES; m++)
            share[part_of(l, m, 1, validation)] += 1.0 / (LINES * MOLECULES);
}

static void test_shares(void **state)
{
    (void)state;
    double test[4], validation[4];
    count(false, test);
    count(true, validation);
    assert_true(fabs(test[PART_LINES] - 0.1) < 0.04 && test[PART_OUT] == 0);
    assert_true(fabs(test[PART_PAIRS] / (1 - test[PART_LINES]) - 0.2) < 0.01);
    assert_true(fabs(validation[PART_OUT] - test[PART_PAIRS] - test[PART_LINES]) < 1e-9);
    assert_true(validation[PART_LINES] > 0.03 && validation[PART_PAIRS] > 0.05);
}

/* A blind line is blind for every molecule, and what is held out for validation was training before. */
static void test_sides(void **state)
{
    (void)state;
    for (int64_t l = 0; l < LINES; l++) {
        int blind = 0;
        for (int64_t m = 0; m < MOLECULES; m++) {
            const enum part test = part_of(l, m, 1, false), validation = part_of(l, m, 1, true);
            blind += test == PART_LINES;
            assert_true((validation == PART_OUT) == (test != PART_TRAIN));
        }
        assert_true(blind == 0 || blind == MOLECULES);
    }
}

/* The split is fixed: a few places of it, and another number gives another one. */
static void test_fixed(void **state)
{
    (void)state;
    int differ = 0, sum = 0;
    for (int64_t m = 0; m < MOLECULES; m++) {
        differ += part_of(3, m, 1, false) != part_of(3, m, 2, false);
        sum += part_of(3, m, 1, false) == PART_PAIRS ? (int)m : 0;
    }
    assert_true(differ > 0);
    assert_int_equal(sum, 4186);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
