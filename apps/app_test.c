/* app_test.c - measures against exact values, random numbers against their moments, keys of a source. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "inside.h"

static void expect_near(double x, double wanted, double tolerance)
{
    if (!(fabs(x - wanted) <= tolerance)) fail_msg("%.12g is not %.12g", x, wanted);
}

static void test_measures(void **state)
{
    (void)state;
    const float score[6] = {0.1F, 0.4F, 0.4F, 0.8F, 0.9F, 0.2F};
    const int32_t label[6] = {0, 0, 1, 1, 1, 0};
    expect_near(app_auc(6, score, label), 8.5 / 9, 1e-12); /* nine pairs, one tied */
    const float y[4] = {1, 2, 3, 5}, truth[4] = {1, 2, 4, 5};
    expect_near(app_mse(4, y, truth), 0.25, 1e-12);
    expect_near(app_r2(4, y, truth), 1 - 1 / 10.0, 1e-12);
    expect_near(app_pearson(4, y, truth), 9 / sqrt(8.75 * 10), 1e-9);
    double x[5] = {5, 1, 4, 2, 3};
    expect_near(app_quantile(5, x, 0.5), 3, 0);
    expect_near(app_quantile(5, x, 0.9), 4.6, 1e-12);
    const float same[4] = {2, 2, 2, 2};
    assert_true(isnan(app_pearson(4, same, truth)) && isnan(app_auc(6, score, (int32_t[6]){0})));
}

/* The mean within 5 sigma of n draws, the variance within 10 %. */
static void expect_moments(double (*draw)(struct app_random *), double mean, double variance)
{
    enum { N = 20000 };
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < N; i++) {
        struct app_random r = app_random(3, "test", 0, i);
        const double x = draw(&r);
        sum += x / N;
        squares += x * x / N;
    }
    expect_near(sum, mean, 5 * sqrt(variance / N));
    expect_near(squares - sum * sum, variance, 0.1 * variance);
}

static double normal(struct app_random *r)
{
    return app_normal(r);
}

static double exponential(struct app_random *r)
{
    return app_exponential(r, 3);
}

static double gamma_of_half(struct app_random *r)
{
    return app_gamma(r, 0.5);
}

static double gamma_of_seven(struct app_random *r)
{
    return app_gamma(r, 7);
}

static double poisson_of_two(struct app_random *r)
{
    return (double)app_poisson(r, 2);
}

static double poisson_of_thousand(struct app_random *r)
{
    return (double)app_poisson(r, 1000);
}

static double below_ten(struct app_random *r)
{
    return (double)app_below(r, 10);
}

static void test_random(void **state)
{
    (void)state;
    expect_moments(normal, 0, 1);
    expect_moments(exponential, 3, 9);
    expect_moments(gamma_of_half, 0.5, 0.5);
    expect_moments(gamma_of_seven, 7, 7);
    expect_moments(poisson_of_two, 2, 2);
    expect_moments(poisson_of_thousand, 1000, 1000);
    expect_moments(below_ten, 4.5, 8.25);
    struct app_random a = app_random(1, "a", 2, 3), b = app_random(1, "b", 2, 3);
    assert_true(app_uniform(&a, 0, 1) != app_uniform(&b, 0, 1));
}

static void test_scores(void **state)
{
    (void)state;
    struct app_scores s = {0};
    struct app_run r = {.name = "none", .variant = "run", .scores = &s};
    app_score(&r, "auc", 0.9, APP_AT_LEAST, 0.8, NULL);
    app_score(&r, "error", 0.9, APP_AT_MOST, 0.8, "too much");
    app_score(&r, "lost", NAN, APP_AT_MOST, 0.8, NULL);
    app_score(&r, "seen", NAN, APP_REPORT, 0, NULL);
    assert_int_equal(app_scores_missed(&s), 2);
    app_scores_end(&s);
}

static void test_sources(void **state)
{
    (void)state;
    sunup_context *ctx;
    sunup_data *d;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    const struct source s = {.name = "visoin", .where = "run.yaml:3:5"};
    assert_int_equal(app_open_source(ctx, &s, true, 1, &d), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "did you mean 'vision'"));
    sunup_tensor t;
    assert_int_equal(app_read(ctx, "nowhere/none.npz", NULL, &t), SUNUP_E_FILE);
    assert_non_null(strstr(sunup_error(ctx), "nowhere/none.npz"));
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
