/* data_test.c - whole files: their kind, the fields made of them, and the real image set where it is installed. */
#include "data/reader_test.h"

#include <unistd.h>

#include "base/system.h"

static void write_file(char path[64], const char *ending, const struct bytes *f)
{
    (void)snprintf(path, 64, "data_test_%ld%s", (long)getpid(), ending);
    assert_int_equal(sunup__file_write(ctx, path, f->b, f->n), SUNUP_OK);
}

static void test_kinds(void **state)
{
    (void)state;
    char path[64];
    struct array a;
    struct bytes plain = idx_file(0x08, 1, (unsigned[]){3});
    put(&plain, "\5\6\7", 3);
    const struct bytes packed = gzip_file(&plain);
    write_file(path, ".npy", &packed); /* a wrong ending does no harm */
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    assert_int_equal(a.dtype, SUNUP_U8);
    assert_memory_equal(a.data, "\5\6\7", 3);
    sunup__array_end(&a);
    assert_int_equal(sunup__read_array(ctx, path, "x", &a), SUNUP_E_ARGUMENT);
    (void)unlink(path);

    const struct bytes table = text("1,2\n3,4\n");
    write_file(path, ".csv", &table);
    assert_int_equal(sunup__read_array(ctx, path, "1", &a), SUNUP_OK);
    assert_true(number(&a, 0) == 2 && number(&a, 1) == 4);
    sunup__array_end(&a);
    (void)unlink(path);
    write_file(path, ".weights", &table);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FORMAT);
    assert_non_null(strstr(sunup_error(ctx), path));
    (void)unlink(path);
    write_file(path, ".npy", &table);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FORMAT);
    (void)unlink(path);
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_E_FILE);
}

static sunup_status open_pair(const char *x, const char *y, sunup_shape shape, sunup_data **d)
{
    sunup_field_options f[2] = {sunup_field_defaults(), sunup_field_defaults()};
    const double mean = 0.3, std = 0.2;
    f[0].name = "x";
    f[0].path = x;
    f[0].shape = shape;
    f[0].n_channels = 1;
    f[0].mean = &mean;
    f[0].std = &std;
    f[1].name = "y";
    f[1].path = y;
    f[1].label = true;
    return sunup_data_open(ctx, 2, f, d);
}

static void test_open(void **state)
{
    (void)state;
    char x[64], y[64];
    sunup_data *d = NULL;
    struct bytes images = idx_file(0x08, 2, (unsigned[]){2, 4}),
                 labels = idx_file(0x08, 1, (unsigned[]){2});
    put(&images, "\1\2\3\4\5\6\7\x8", 8);
    put(&labels, "\0\1", 2);
    write_file(x, ".x", &images);
    write_file(y, ".y", &labels);
    assert_int_equal(open_pair(x, y, SUNUP_SHAPE(2, 2, 1), &d), SUNUP_OK);
    assert_int_equal(sunup_data_samples(d), 2);
    assert_int_equal(sunup__data_field(d, "y"), 1);
    assert_int_equal(sunup__data_field(d, "z"), -1);
    assert_int_equal(d->fields[0].shape.n, 3);
    sunup_data_destroy(&d);
    assert_null(d);
    assert_int_equal(open_pair(x, y, SUNUP_SHAPE(5), &d), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "[5]"));
    assert_null(d);
    assert_int_equal(open_pair(x, x, SUNUP_SCALAR, &d), SUNUP_OK);
    sunup_data_destroy(&d);
    /* any allocation may fail: no crash, no leak, E_MEMORY */
    sunup_status status = SUNUP_E_MEMORY;
    for (int64_t n = 0; status != SUNUP_OK; n++) {
        assert_true(n < 100);
        sunup__fail_allocation(n);
        status = open_pair(x, y, SUNUP_SHAPE(2, 2, 1), &d);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || (status == SUNUP_E_MEMORY && d == NULL));
    }
    sunup_data_destroy(&d);
    struct bytes three = idx_file(0x08, 1, (unsigned[]){3});
    put(&three, "\0\1\2", 3);
    write_file(y, ".y", &three);
    assert_int_equal(open_pair(x, y, SUNUP_SCALAR, &d), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "3 samples"));
    (void)unlink(x);
    (void)unlink(y);
}

/* x and labels made up; NULL: what the error must say. */
static void open_random(sunup_field_options f[2], const char *error)
{
    sunup_data *d = NULL;
    const sunup_status status = sunup_data_open(ctx, 2, f, &d);
    assert_int_equal(status == SUNUP_OK, error == NULL);
    if (error != NULL) {
        assert_null(d);
        assert_non_null(strstr(sunup_error(ctx), error));
        return;
    }
    const float *x = d->fields[0].array.data;
    const int32_t *label = d->fields[1].array.data;
    double sum = 0, square = 0;
    int of_class[3] = {0};
    assert_int_equal(d->samples, 500);
    for (int i = 0; i < 500 * 12; i++) {
        sum += (double)x[i];
        square += (double)x[i] * (double)x[i];
    }
    assert_true(sum * sum < 16.0 * 6000 && square > 5400 && square < 6600); /* 4 and 5 sigma */
    for (int i = 0; i < 500; i++) {
        assert_in_range(label[i], 0, 2);
        of_class[label[i]]++;
    }
    for (int k = 0; k < 3; k++) assert_in_range(of_class[k], 120, 215);
    sunup_data_destroy(&d);
}

static void test_random(void **state)
{
    (void)state;
    sunup_field_options f[2] = {sunup_field_defaults(), sunup_field_defaults()};
    f[0].name = "x";
    f[0].shape = SUNUP_SHAPE(4, 3);
    f[1].name = "label";
    f[1].label = true;
    f[0].random = f[1].random = 500;
    open_random(f, "classes");
    f[1].classes = 3;
    open_random(f, NULL);
    f[1].random = 400;
    open_random(f, "400");
    f[1].random = -1;
    open_random(f, "no path");
    f[1].random = 500;
    f[0].path = "x.npy";
    open_random(f, "not both");
    f[0].path = NULL;
    f[0].shape = SUNUP_SCALAR;
    open_random(f, "shape");
    f[0].shape = SUNUP_SHAPE(INT64_MAX / 2);
    open_random(f, "x");
}

static void test_fashion_mnist(void **state)
{
    (void)state;
    static const char *const folder = "/usr/share/datasets/fashion-mnist/";
    char path[96];
    struct array a;
    (void)snprintf(path, sizeof path, "%s%s", folder, "t10k-images-idx3-ubyte.gz");
    if (!sunup__file_exists(path)) skip();
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    assert_true(a.dtype == SUNUP_U8 && a.shape.n == 3 && a.shape.d[0] == 10000 &&
                a.shape.d[1] == 28 && a.shape.d[2] == 28);
    double sum = 0;
    for (int64_t i = 0; i < sunup__elements(&a.shape); i++) sum += number(&a, i);
    assert_true(fabs(sum / (255 * 7840000.0) - 0.2868) < 1e-3); /* the published mean */
    sunup__array_end(&a);
    (void)snprintf(path, sizeof path, "%s%s", folder, "t10k-labels-idx1-ubyte.gz");
    assert_int_equal(sunup__read_array(ctx, path, NULL, &a), SUNUP_OK);
    int64_t count[10] = {0};
    for (int64_t i = 0; i < 10000; i++) count[((uint8_t *)a.data)[i] % 10]++;
    for (int i = 0; i < 10; i++) assert_int_equal(count[i], 1000);
    sunup__array_end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, start, end);
}
