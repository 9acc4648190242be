/* pairs_test.c - the decision about pairs: exact where all sign patterns can be counted, rarely wrong where
 * nothing changed, and not to be turned by a few pairs that are far off.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "track/pairs.h"
#include "track/stats.h"

enum { MOST = 32 };

static double noise(uint32_t set, int i)
{
    const struct random_stream s = {.seed = 7, .purpose = RANDOM_TEST, .a = set};
    const double x = sunup__random_normal(&s, 2 * (uint64_t)i),
                 u = sunup__random_unit(&s, 4000 + (uint64_t)i);
    return 0.01 * x + (u < 0.04   ? 0.69
                       : u > 0.96 ? -0.69
                                  : 0); /* one in 12 is off by a factor of 2 */
}

static void draw(uint32_t set, int n, double shift, double *x)
{
    for (int i = 0; i < n; i++) x[i] = shift + noise(set, i);
}

/* By all sign patterns of sizes cut at their median. */
static double by_counting(const double *x, int n)
{
    double size[MOST], sum = 0;
    for (int i = 0; i < n; i++) size[i] = fabs(x[i]);
    const double middle = sunup__median(size, n);
    for (int i = 0; i < n; i++) {
        size[i] = size[i] > 4 * middle ? 0 : round(1000 * fmin(size[i], middle) / middle);
        sum += copysign(size[i], x[i]);
    }
    int beyond = 0;
    for (int pattern = 0; pattern < 1 << n; pattern++) {
        double s = 0;
        for (int i = 0; i < n; i++) s += pattern >> i & 1 ? size[i] : -size[i];
        beyond += fabs(s) >= fabs(sum);
    }
    return beyond / ldexp(1, n);
}

static void all_patterns(void **state)
{
    (void)state;
    double x[MOST];
    for (uint32_t set = 0; set < 20; set++) {
        const int n = 1 + (int)set % 12;
        draw(set, n, 0.005, x);
        assert_true(fabs(sunup__pairs_p(x, n) - by_counting(x, n)) < 1e-12);
    }
    for (int i = 0; i < MOST; i++) x[i] = 0.05;
    for (int n = 1; n <= MOST; n++)
        assert_true(fabs(sunup__pairs_p(x, n) - ldexp(1, 1 - n)) < 1e-12);
}

static void nothing_to_test(void **state)
{
    (void)state;
    const double zero[3] = {0, 0, 0}, bad[2] = {0.1, NAN},
                 far[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
    assert_true(isnan(sunup__pairs_p(zero, 0)));
    assert_true(isnan(sunup__pairs_p(bad, 2)));
    assert_true(sunup__pairs_p(zero, 3) == 1);
    assert_false(sunup__pairs_hopeless(bad, 2)); /* too few to tell */
    const double p = sunup__pairs_p(far, 4);
    assert_true(isnan(p) || p > 0); /* no crash; nothing is found in it either way */
}

static void giving_up(void **state)
{
    (void)state;
    double x[10], same[10];
    for (int i = 0; i < 10; i++) {
        x[i] = i < 2 ? -0.69 : 0.05;
        same[i] = i % 2 == 0 ? 0.01 : -0.01;
    }
    assert_false(sunup__pairs_hopeless(x, 10));
    assert_true(sunup__pairs_hopeless(same, 10));
    same[3] = NAN;
    assert_true(sunup__pairs_hopeless(same, 10));
}

/* p <= 0.05 in no more than 5 % of sets without a change; of 1,000 that is 71 with 99.9 %. */
static void exact_without_a_change(void **state)
{
    (void)state;
    enum { SETS = 1000, N = 20 };
    int below = 0;
    double x[N];
    for (uint32_t set = 0; set < SETS; set++) {
        draw(1000 + set, N, 0, x);
        below += sunup__pairs_p(x, N) <= 0.05;
    }
    assert_in_range(below, 29, 71);
}

/* 5 % among 20 cases, with a quarter of the pairs off by a factor of 2. */
static void far_off_pairs_do_not_hide_a_change(void **state)
{
    (void)state;
    enum { SETS = 200, CASES = 20 };
    const struct pairs_rule rule = sunup__pairs_rule();
    const int n = sunup__pairs_needed(&rule, CASES);
    int found = 0;
    double x[MOST];
    for (uint32_t set = 0; set < SETS; set++) {
        draw(set, n, log(1.05), x);
        found += sunup__pairs_p(x, n) <= rule.false_rate / CASES;
    }
    assert_in_range(found, SETS * 98 / 100, SETS);
}

static void needed(void **state)
{
    (void)state;
    const struct pairs_rule rule = sunup__pairs_rule();
    int last = 0;
    for (int cases = 1; cases <= 1000; cases *= 10) {
        const int n = sunup__pairs_needed(&rule, cases);
        assert_in_range(n, 16, 32);
        assert_true(n >= last && ldexp(1, 1 - n) * cases < rule.false_rate);
        last = n;
    }
}

static void two_looks(void **state)
{
    (void)state;
    static const struct {
        double first, second;
        bool again, suspect, found;
    } want[] = {
        {1.05, 1.05, true, true, true},   {0.9, 0.9, true, true, true},
        {1.05, 1.0, true, true, false},   {1.05, 0.95, true, true, false},
        {1.01, 1.01, true, false, false}, {1.0, 1.0, true, false, false},
        {1.05, 1.05, false, true, false}, /* nobody looked again */
    };
    enum { CASES = sizeof want / sizeof want[0], N = 24 };
    static double first[CASES][N], second[CASES][N];
    struct track_row row[CASES];
    const struct track_row *rows[CASES];
    struct pairs_result r[CASES];
    const struct pairs_rule rule = sunup__pairs_rule();
    for (uint32_t i = 0; i < CASES; i++) {
        draw(100 + i, N, log(want[i].first), first[i]);
        draw(200 + i, N, log(want[i].second), second[i]);
        row[i] = sunup__track_row(TRACK_PAIRS, "s", "n", "e", "time");
        row[i].n = N;
        row[i].values = first[i];
        row[i].n_confirm = want[i].again ? N : 0;
        row[i].confirm = second[i];
        rows[i] = &row[i];
    }
    assert_true(sunup__pairs_judge(&rule, rows, CASES, r));
    for (int i = 0; i < CASES; i++) {
        assert_int_equal(r[i].suspect, want[i].suspect);
        assert_int_equal(r[i].found, want[i].found);
        assert_true(fabs(r[i].ratio - (want[i].again ? want[i].second : want[i].first)) < 0.01);
        assert_true(r[i].low <= r[i].ratio && r[i].ratio <= r[i].high);
        assert_int_equal(isnan(r[i].p_again), !want[i].again);
    }
    row[0].n = row[0].n_confirm = 0; /* a case that could not be compared */
    assert_true(sunup__pairs_judge(&rule, rows, 1, r));
    assert_false(r[0].suspect || r[0].found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_patterns),
        cmocka_unit_test(nothing_to_test),
        cmocka_unit_test(giving_up),
        cmocka_unit_test(exact_without_a_change),
        cmocka_unit_test(far_off_pairs_do_not_hide_a_change),
        cmocka_unit_test(needed),
        cmocka_unit_test(two_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
