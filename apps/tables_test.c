/* tables_test.c - columns made comparable and least squares of levels, against exact facts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inside.h"

/* Two factors without noise: found exactly, also where a level is not in every row. */
static void test_exact(void **state)
{
    (void)state;
    enum { A = 7, B = 5 };
    int32_t level[A * B * 2], other[2 * 2] = {0, A + 4, 6, A + 1};
    float y[A * B], said[2];
    int64_t n = 0;
    for (int a = 0; a < A; a++)
        for (int b = 0; b < B; b++) {
            if ((a == 0 && b == 4) || (a == 6 && b == 1)) continue; /* these two are asked for below */
            level[2 * n] = a;
            level[2 * n + 1] = A + b;
            y[n++] = (float)(a * a - 3 * b);
        }
    struct app_levels l = {n, A + B, 2, level};
    double *effect = app_effects(&l, y);
    assert_non_null(effect);
    l = (struct app_levels){2, A + B, 2, other};
    app_effects_predict(&l, effect, said);
    assert_true(fabs((double)said[0] + 12) < 1e-4 && fabs((double)said[1] - 33) < 1e-4);
    free(effect);
}

/* One factor: the mean of each level; a level that nobody saw says the mean of all. */
static void test_means(void **state)
{
    (void)state;
    const int32_t level[5] = {0, 0, 1, 1, 1}, asked[3] = {0, 1, 2};
    const float y[5] = {1, 3, 10, 20, 30};
    float said[3];
    struct app_levels l = {5, 3, 1, level};
    double *effect = app_effects(&l, y);
    assert_non_null(effect);
    l = (struct app_levels){3, 3, 1, asked};
    app_effects_predict(&l, effect, said);
    assert_true(fabsf(said[0] - 2) < 1e-5F && fabsf(said[1] - 20) < 1e-5F && fabsf(said[2] - 12.8F) < 1e-5F);
    free(effect);
}

/* A pair of drugs: one table of effects, used twice in a row; their order says nothing. */
static void test_shared_table(void **state)
{
    (void)state;
    const int32_t level[6 * 2] = {0, 1, 0, 2, 1, 2, 1, 0, 3, 0, 1, 3}, asked[4] = {2, 3, 3, 2};
    const double of[4] = {1, 2, 4, 8};
    float y[6], said[2];
    for (int i = 0; i < 6; i++) y[i] = (float)(of[level[2 * i]] + of[level[2 * i + 1]]);
    struct app_levels l = {6, 4, 2, level};
    double *effect = app_effects(&l, y);
    assert_non_null(effect);
    l = (struct app_levels){2, 4, 2, asked};
    app_effects_predict(&l, effect, said);
    assert_true(fabsf(said[0] - 12) < 1e-4F && said[0] == said[1]);
    free(effect);
}

/* Mean and deviation are those of the used rows; the widest columns stay, in order; constants become 0. */
static void test_columns(void **state)
{
    (void)state;
    float x[4 * 4] = {1, 10, 5, 0, 3, 30, 5, 0.1F, 99, 20, 5, 0, -99, 1e6F, 5, 0};
    const bool used[4] = {true, true, false, false};
    sunup_context *ctx = NULL;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    sunup_tensor t = {"x", SUNUP_F32, SUNUP_SHAPE(4, 4), x};
    assert_int_equal(app_columns(ctx, &t, used, 5), SUNUP_E_ARGUMENT);
    assert_int_equal(app_columns(ctx, &t, used, 2), SUNUP_OK);
    assert_int_equal(t.shape.d[1], 2);
    const float expected[8] = {-1, -1, 1, 1, 5, 0, -5, 5};
    for (int i = 0; i < 8; i++) assert_true(fabsf(x[i] - expected[i]) < 1e-6F);
    float constant[2] = {7, 7};
    t = (sunup_tensor){"c", SUNUP_F32, SUNUP_SHAPE(2, 1), constant};
    assert_int_equal(app_columns(ctx, &t, used, 1), SUNUP_OK);
    assert_true(constant[0] == 0 && constant[1] == 0);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_shared_table),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
