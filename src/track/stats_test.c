/* stats_test.c - every function of stats.h against SciPy, NumPy or plain enumeration (tests/golden/track/stats.txt,
 * made by make_stats.py there, which describes the format), to a relative error of 1e-9 in both tails; what is drawn,
 * within the scatter of its draws, twice the same; how often the test of spreads is wrong where nothing changed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "track/stats.h"

enum { MOST = 300, ROOM = 16384, DRAWS = 65536, ENOUGH = 50 };

struct golden {
    double a[MOST], expected[MOST];
    int n, cut, n_expected; /* cut: arguments before the "/" */
};

/* ------------------------------------------------------------- one caller a function --- */

static int beta_of(const struct golden *g, double *r)
{
    *r = sunup__incomplete_beta(g->a[0], g->a[1], g->a[2]);
    return 1;
}
static int beta_quantile_of(const struct golden *g, double *r)
{
    *r = sunup__beta_quantile(g->a[0], g->a[1], g->a[2]);
    return 1;
}
static int gamma_quantile_of(const struct golden *g, double *r)
{
    *r = sunup__gamma_quantile(g->a[0], g->a[1]);
    return 1;
}
static int student_cdf_of(const struct golden *g, double *r)
{
    *r = sunup__student_cdf(g->a[0], g->a[1]);
    return 1;
}
static int student_quantile_of(const struct golden *g, double *r)
{
    *r = sunup__student_quantile(g->a[0], g->a[1]);
    return 1;
}
static int median_of(const struct golden *g, double *r)
{
    *r = sunup__median(g->a, g->n);
    return 1;
}
static int mad_of(const struct golden *g, double *r)
{
    *r = sunup__mad(g->a, g->n);
    return 1;
}
static int quantile_of(const struct golden *g, double *r)
{
    *r = sunup__quantile(g->a + 1, g->n - 1, g->a[0]);
    return 1;
}
static int centre_of(const struct golden *g, double *r)
{
    const struct track_centre c = sunup__hodges_lehmann(g->a + 1, g->n - 1, g->a[0]);
    memcpy(r, (double[]){c.centre, c.low, c.high}, 3 * sizeof *r);
    return 3;
}
static int interval(struct track_interval i, double *r)
{
    r[0] = i.low;
    r[1] = i.high;
    return 2;
}
static int prediction_of(const struct golden *g, double *r)
{
    return interval(sunup__prediction_interval(g->a + 1, g->n - 1, g->a[0]), r);
}
static int rate_of(const struct golden *g, double *r)
{
    return interval(sunup__rate_interval((int64_t)g->a[0], (int64_t)g->a[1], g->a[2]), r);
}
static int poisson_of(const struct golden *g, double *r)
{
    return interval(sunup__poisson_interval((int64_t)g->a[0], g->a[1], g->a[2]), r);
}
static int spread_of(const struct golden *g, double *r)
{
    r[1] = sunup__spread_p(g->a, g->cut, g->a + g->cut, g->n - g->cut, &r[0]);
    return 2;
}
static int fisher_of(const struct golden *g, double *r)
{
    const int64_t v[4] = {(int64_t)g->a[0], (int64_t)g->a[1], (int64_t)g->a[2], (int64_t)g->a[3]};
    *r = sunup__fisher_p(v[0], v[1], v[2], v[3]);
    return 1;
}
static int found_of(const struct golden *g, double *r)
{
    bool found[MOST];
    int count = sunup__benjamini_hochberg(g->a + 1, g->n - 1, g->a[0], found);
    assert_int_equal(sunup__benjamini_hochberg(g->a + 1, g->n - 1, g->a[0], NULL), count);
    for (int i = 0; i < g->n - 1; i++) {
        r[i] = found[i];
        count -= found[i];
    }
    assert_int_equal(count, 0);
    return g->n - 1;
}

static const struct row {
    const char *name;
    int (*call)(const struct golden *g, double *r);
    int drawn; /* the result of this number, from 1, is an estimate of a probability */
} rows[] = {
    {"incomplete_beta", beta_of, 0},
    {"beta_quantile", beta_quantile_of, 0},
    {"gamma_quantile", gamma_quantile_of, 0},
    {"student_cdf", student_cdf_of, 0},
    {"student_quantile", student_quantile_of, 0},
    {"median", median_of, 0},
    {"mad", mad_of, 0},
    {"quantile", quantile_of, 0},
    {"hodges_lehmann", centre_of, 0},
    {"prediction_interval", prediction_of, 0},
    {"rate_interval", rate_of, 0},
    {"poisson_interval", poisson_of, 0},
    {"spread_p", spread_of, 2},
    {"fisher_p", fisher_of, 0},
    {"benjamini_hochberg", found_of, 0},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* ------------------------------------------------------------------------ compare --- */

static int numbers(char **at, double *to)
{
    int n = 0;
    for (char *end;; *at = end) {
        to[n] = strtod(*at, &end);
        if (end == *at) return n;
        assert_true(++n < MOST);
    }
}

static struct golden read_line(char *p)
{
    struct golden g = {.n = 0};
    g.n = g.cut = numbers(&p, g.a);
    p += strspn(p, " ");
    if (*p == '/') {
        p++;
        g.n += numbers(&p, g.a + g.cut);
        p += strspn(p, " ");
    }
    assert_int_equal(*p++, '=');
    g.n_expected = numbers(&p, g.expected);
    return g;
}

/* five standard deviations of an estimate that ends after ENOUGH extreme draws, if not after DRAWS */
static double scatter(double p)
{
    return 5 * p / sqrt(fmin(ENOUGH, p * DRAWS)) + 2.0 / DRAWS;
}

static bool agree(double got, double expected, double allowed, double *worst)
{
    if (isnan(expected) || got == expected) return isnan(got) == isnan(expected);
    *worst = fmax(*worst, fabs(got / expected - 1));
    return fabs(got - expected) <= allowed;
}

static void compare(const struct row *row, char *line, double *worst)
{
    const struct golden g = read_line(line + strlen(row->name));
    double got[MOST];
    assert_int_equal(row->call(&g, got), g.n_expected);
    for (int i = 0; i < g.n_expected; i++) {
        const double e = g.expected[i];
        const double allowed = row->drawn == i + 1 ? scatter(e) : 1e-9 * fabs(e);
        if (!agree(got[i], e, allowed, worst))
            fail_msg("%.90s: result %d is %.17g, not %.17g", line, i + 1, got[i], e);
    }
}

static void test_golden(void **state)
{
    (void)state;
    FILE *f = fopen(SOURCE_DIR "/tests/golden/track/stats.txt", "r");
    assert_non_null(f);
    static char line[ROOM];
    int compared[ROWS] = {0}, lines = 0;
    double worst[ROWS] = {0};
    while (fgets(line, sizeof line, f) != NULL) {
        assert_non_null(strchr(line, '\n'));
        int i = 0;
        while (i < ROWS && strncmp(line, rows[i].name, strcspn(line, " ")) != 0) i++;
        if (line[0] == '#') continue;
        assert_true(i < ROWS);
        compare(&rows[i], line, &worst[i]);
        compared[i]++;
        lines++;
    }
    fclose(f);
    for (int i = 0; i < ROWS; i++) {
        assert_true(compared[i] > 0);
        printf("%-20s %3d cases, largest relative error %.1e\n", rows[i].name, compared[i],
               worst[i]);
    }
    assert_true(lines > 600);
}

/* --------------------------------------------------------------------------- edges --- */

static void test_no_meaning(void **state)
{
    (void)state;
    assert_true(isnan(sunup__incomplete_beta(0, 1, 0.5)) &&
                isnan(sunup__incomplete_beta(1, 1, 1.5)));
    assert_true(isnan(sunup__beta_quantile(1, -1, 0.5)) && isnan(sunup__beta_quantile(1, 1, NAN)));
    assert_true(isnan(sunup__gamma_quantile(0, 0.5)) && isnan(sunup__gamma_quantile(1, -0.1)));
    assert_true(isnan(sunup__student_cdf(NAN, 3)) && isnan(sunup__student_quantile(0.5, 0)));
    assert_true(isnan(sunup__rate_interval(1, 2, 1).low) &&
                isnan(sunup__poisson_interval(-1, 1, 0.9).low));
    assert_true(isnan(sunup__fisher_p(1, INT64_MAX, 1, INT64_MAX)));
}

static void test_ends(void **state)
{
    (void)state;
    assert_true(sunup__beta_quantile(2, 3, 0) == 0 && sunup__beta_quantile(2, 3, 1) == 1);
    assert_true(sunup__incomplete_beta(2, 3, 0) == 0 && sunup__incomplete_beta(2, 3, 1) == 1);
    assert_true(sunup__gamma_quantile(2, 0) == 0 && isinf(sunup__gamma_quantile(2, 1)));
    assert_true(isinf(sunup__student_quantile(0, 3)) && isinf(sunup__student_quantile(1, 3)));
    assert_true(sunup__student_cdf(-INFINITY, 3) == 0 && sunup__student_cdf(INFINITY, 3) == 1);
    assert_true(sunup__student_cdf(-1e200, 3) < 1e-290);
    assert_true(fabs(sunup__student_cdf(-1.96, INFINITY) - 0.0249978951482204) < 1e-12);
}

/* Whatever the parameters, a quantile ends, and leads back to its probability unless it is nearer to 0 than numbers. */
static void test_quantiles_lead_back(void **state)
{
    (void)state;
    const struct random_stream s = {7, RANDOM_TEST, 0, 0};
    for (uint64_t i = 0; i < 1500; i++) {
        const double a = exp(30 * sunup__random_unit(&s, 3 * i) - 8);
        const double b = exp(30 * sunup__random_unit(&s, 3 * i + 1) - 8);
        const double p = pow(sunup__random_unit(&s, 3 * i + 2), 8),
                     x = sunup__beta_quantile(a, b, p);
        assert_true(x >= 0 && x <= 1 && sunup__gamma_quantile(a, p) >= 0);
        const double grain =
            x > 0.5 ? (a + b) * 1e-16 / (1 - x + 1e-16) : 0; /* of x, as seen by p */
        if (x < 1e-300 || grain > 1e-9 || a > 1e6 || b > 1e6) continue;
        assert_true(fabs(sunup__incomplete_beta(a, b, x) - p) <= 1e-9 * p + 1e-15);
    }
}

static void test_samples_stay(void **state)
{
    (void)state;
    double x[20], y[20];
    for (int i = 0; i < 20; i++) y[i] = x[i] = 7 * i % 20;
    double ratio;
    sunup__median(x, 20);
    sunup__hodges_lehmann(x, 20, 0.9);
    sunup__spread_p(x, 10, x + 10, 10, &ratio);
    assert_memory_equal(x, y, sizeof x);
    assert_true(sunup__spread_p(x, 10, x + 10, 10, NULL) ==
                sunup__spread_p(x, 10, x + 10, 10, &ratio));
}

static void test_many_samples(void **state)
{
    (void)state;
    static double x[5000];
    const struct random_stream s = {7, RANDOM_TEST, 1, 0};
    for (int i = 0; i < 5000; i++) x[i] = 3 + sunup__random_normal(&s, (uint64_t)i);
    const struct track_centre c = sunup__hodges_lehmann(x, 5000, 0.99);
    assert_true(c.low < 3 && c.high > 3 && c.high - c.low < 0.3 && fabs(c.centre - 3) < 0.15);
    double ways[401]; /* the longest that is used whole; every second one of more */
    for (int i = 0; i <= 400; i++) ways[i] = i % 2;
    assert_true(sunup__hodges_lehmann(ways, 400, 0.95).centre == 0.5);
    assert_true(sunup__hodges_lehmann(ways, 401, 0.95).centre == 0);
}

/* Nothing changed: p < 0.05 in a twentieth of all cases, less or more a little. */
static void test_spread_level(void **state)
{
    (void)state;
    const int sizes[][2] = {{10, 10}, {9, 12}, {26, 26}, {5, 30}};
    for (int k = 0; k < 4; k++) {
        int found = 0;
        for (uint32_t trial = 0; trial < 600; trial++) {
            const struct random_stream s = {11, RANDOM_TEST, trial, (uint64_t)k};
            double x[60];
            for (int i = 0; i < 60; i++) x[i] = sunup__random_normal(&s, (uint64_t)i);
            found += sunup__spread_p(x, sizes[k][0], x + 30, sizes[k][1], NULL) < 0.05;
        }
        printf("spread of %d and %d normal samples: p < 0.05 in %.1f %%\n", sizes[k][0],
               sizes[k][1], found / 6.0);
        assert_in_range(found, 8, 54);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    double x[20], p = NAN;
    for (int i = 0; i < 20; i++) x[i] = i % 7 - 2;
    for (int nth = 0; isnan(p); nth++) {
        sunup__fail_allocation(nth);
        p = sunup__spread_p(x, 10, x + 10, 10, NULL) + sunup__mad(x, 20) +
            sunup__hodges_lehmann(x, 20, 0.9).low;
        sunup__fail_allocation(-1);
        assert_true(nth < 30);
    }
    sunup__fail_allocation(0);
    assert_int_equal(sunup__benjamini_hochberg((double[]){0.001}, 1, 0.05, NULL), 0);
    sunup__fail_allocation(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_no_meaning),
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_quantiles_lead_back),
        cmocka_unit_test(test_samples_stay), cmocka_unit_test(test_many_samples),
        cmocka_unit_test(test_spread_level), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
