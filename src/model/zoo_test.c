/* zoo_test.c - networks by name: as many weights as torchvision counts, any size, bad requests. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "model/model.h"

static sunup_context *ctx;

static int start(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

static void expect_weights(const char *name, sunup_shape input, int64_t classes, int64_t weights)
{
    sunup_model *m;
    if (sunup_model_zoo(ctx, name, input, classes, 1, &m) != SUNUP_OK)
        fail_msg("%s", sunup_error(ctx));
    if (sunup__model_elements(m) != weights)
        fail_msg("%s has %lld weights, not %lld", name, (long long)sunup__model_elements(m),
                 (long long)weights);
    sunup_model_destroy(&m);
}

static void test_weights(void **state)
{
    (void)state;
    expect_weights("resnet18", SUNUP_SHAPE(64, 64, 3), 1000, 11689512);
    expect_weights("resnet34", SUNUP_SHAPE(33, 47, 3), 1000, 21797672);
    expect_weights("resnet50", SUNUP_SHAPE(224, 224, 3), 1000, 25557032);
    expect_weights("resnet20", SUNUP_SHAPE(32, 32, 3), 10, 269722);
    expect_weights("resnet56", SUNUP_SHAPE(28, 28, 1), 10, 852730);
    expect_weights("vgg11_bn", SUNUP_SHAPE(32, 32, 3), 10, 9225984 + 513 * 4096 + 4097 * 4096 +
                                                              40970); /* features, classifier */
}

static void test_outputs(void **state)
{
    (void)state;
    sunup_model *m;
    static float x[3 * 31 * 29 * 2], y[3 * 7];
    for (int i = 0; i < 3 * 31 * 29 * 2; i++) x[i] = sinf((float)i);
    const sunup_tensor in = {"x", SUNUP_F32, SUNUP_SHAPE(3, 31, 29, 2), x};
    assert_int_equal(sunup_model_zoo(ctx, "resnet20", SUNUP_SHAPE(31, 29, 2), 7, 1, &m), SUNUP_OK);
    assert_int_equal(sunup_model_predict(m, 3, 1, &in, y), SUNUP_OK);
    for (int i = 0; i < 21; i++) assert_true(isfinite(y[i]));
    sunup_model_destroy(&m);
}

static void expect_refusal(const char *name, sunup_shape input, int64_t classes, const char *words)
{
    sunup_model *m;
    assert_int_not_equal(sunup_model_zoo(ctx, name, input, classes, 1, &m), SUNUP_OK);
    assert_null(m);
    if (strstr(sunup_error(ctx), words) == NULL) fail_msg("%s", sunup_error(ctx));
}

static void test_bad_requests(void **state)
{
    (void)state;
    expect_refusal("resnet5O", SUNUP_SHAPE(32, 32, 3), 10, "did you mean 'resnet50'?");
    expect_refusal("vgg16", SUNUP_SHAPE(28, 28, 1), 10, "at least 32 pixels");
    expect_refusal("resnet18", SUNUP_SHAPE(32, 32), 10, "not [32, 32]");
    expect_refusal("resnet18", SUNUP_SHAPE(32, 32, 3), 0, "0 classes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_bad_requests),
    };
    return cmocka_run_group_tests(tests, start, end);
}
