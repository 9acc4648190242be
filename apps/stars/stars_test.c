/* stars_test.c - the split keeps its promises: shares, nobody on two sides, the same whatever else is in the catalogue. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "stars.h"

enum { STARS = 20000 };

static struct place place(int i, uint64_t split, bool validation)
{
    const float star[FEATURES] = {15.0F + 1e-3F * (float)i, 16, 0.5F, 0.25F};
    return place_of(star, split, validation);
}

static void test_shares(void **state)
{
    (void)state;
    double test[3] = {0}, validation[3] = {0}, turn = 0;
    for (int i = 0; i < STARS; i++) {
        test[place(i, 1, false).part] += 1.0 / STARS;
        validation[place(i, 1, true).part] += 1.0 / STARS;
        turn += place(i, 1, false).turn / STARS;
    }
    assert_true(fabs(test[PART_HELD] - 0.2) < 0.01 && test[PART_OUT] == 0);
    assert_true(fabs(validation[PART_HELD] - 0.1) < 0.01 && fabs(turn - 0.5) < 0.01);
}

/* What is tested on is out of sight while something is chosen, and what is chosen on was training before. */
static void test_sides(void **state)
{
    (void)state;
    int differ = 0;
    for (int i = 0; i < STARS; i++) {
        const struct place test = place(i, 1, false), validation = place(i, 1, true);
        assert_true((validation.part == PART_OUT) == (test.part == PART_HELD));
        assert_true(test.turn == validation.turn);
        differ += place(i, 2, false).part != test.part;
    }
    assert_true(differ > STARS / 5);
}

/* The split is fixed. */
static void test_fixed(void **state)
{
    (void)state;
    int held = 0;
    for (int i = 0; i < 100; i++) held += place(i, 1, false).part == PART_HELD ? i : 0;
    assert_int_equal(held, 1194);
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
