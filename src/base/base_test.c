/* base_test.c - allocation, errors, files, random numbers, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"

static void allocation(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 63, 64, 65, (size_t)5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *p = sunup__alloc(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(p[j], 0);
        memset(p, 1, sizes[i]);
        p = sunup__realloc(p, sizes[i] + 100);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(p[j], 1);
        sunup__free(p);
    }
    assert_null(sunup__alloc(SIZE_MAX - 8));
    const int64_t before = sunup__allocations();
    sunup__free(sunup__alloc(1));
    assert_int_equal(sunup__allocations(), before + 1);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    int n = 0;
    for (sunup_status status = SUNUP_E_MEMORY; status != SUNUP_OK; n++) {
        assert_true(n < 20);
        sunup_context *ctx;
        sunup__fail_allocation(n);
        status = sunup_context_create(NULL, &ctx);
        sunup__fail_allocation(-1);
        sunup_context_destroy(&ctx);
        assert_null(ctx);
    }
    assert_true(n > 2);
}

static void arena_and_text(void **state)
{
    (void)state;
    struct arena a = {0};
    for (size_t i = 0; i < 1000; i++) {
        char *p = sunup__arena_alloc(&a, i);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t j = 0; j < i; j++) assert_int_equal(p[j], 0);
        memset(p, 255, i);
    }
    assert_non_null(sunup__arena_alloc(&a, (size_t)1 << 20));
    sunup__arena_end(&a);
    struct text t = {0};
    for (int i = 0; i < 1000; i++) sunup__text(&t, "%d,", i % 10);
    assert_int_equal(t.n, 2000);
    assert_string_equal(t.s + 1994, "7,8,9,");
    sunup__free(t.s);
}

static sunup_status inner(sunup_context *ctx)
{
    RAISE(ctx, E_SHAPE, "layer '%s' takes %d channels", "a", 3);
}

static sunup_status outer(sunup_context *ctx)
{
    TRY(SUNUP_OK);
    if (inner(ctx) != SUNUP_OK) RAISE(ctx, E_SHAPE, "net.yaml:7: %s", sunup_error(ctx));
    return SUNUP_OK;
}

static void errors(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_string_equal(sunup_error(ctx), "");
    assert_int_equal(outer(ctx), SUNUP_E_SHAPE);
    assert_string_equal(sunup_error(ctx), "net.yaml:7: layer 'a' takes 3 channels");
    assert_string_equal(sunup_status_name(SUNUP_E_SHAPE), "E_SHAPE");
    sunup_context_destroy(&ctx);
    assert_int_equal(setenv("SUNUP_THREADS", "two", 1), 0);
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "SUNUP_THREADS is 'two'"));
    assert_int_equal(unsetenv("SUNUP_THREADS"), 0);
    sunup_context_destroy(&ctx);
}

static void files(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    char folder[] = "/tmp/sunup-base-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[128], deep[128];
    (void)snprintf(deep, sizeof deep, "%s/a/b", folder);
    (void)snprintf(path, sizeof path, "%s/a/b/file", folder);
    assert_int_equal(sunup__file_write(ctx, path, "x", 1), SUNUP_E_FILE);
    assert_non_null(strstr(sunup_error(ctx), path));
    assert_int_equal(sunup__make_folder(ctx, deep), SUNUP_OK);
    assert_int_equal(sunup__make_folder(ctx, deep), SUNUP_OK);
    for (size_t n = 0; n < 3; n++) {
        assert_int_equal(sunup__file_write(ctx, path, "xyz", n), SUNUP_OK);
        void *data;
        size_t bytes;
        assert_int_equal(sunup__file_read(ctx, path, &data, &bytes), SUNUP_OK);
        assert_int_equal(bytes, n);
        assert_memory_equal(data, "xyz", n);
        assert_int_equal(((char *)data)[n], 0);
        sunup__free(data);
    }
    void *data;
    size_t bytes;
    assert_int_equal(sunup__file_read(ctx, deep, &data, &bytes), SUNUP_E_FILE);
    assert_int_equal(sunup__make_folder(ctx, path), SUNUP_E_FILE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(deep), 0);
    (void)snprintf(deep, sizeof deep, "%s/a", folder);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(folder), 0);
    sunup_context_destroy(&ctx);
}

static void checksums(void **state)
{
    (void)state;
    assert_int_equal(sunup__crc32("123456789", 9, 0), 0xcbf43926);
    assert_int_equal(sunup__crc32c("123456789", 9, 0), 0xe3069283);
    assert_int_equal(sunup__crc32c("56789", 5, sunup__crc32c("1234", 4, 0)), 0xe3069283);
    assert_true(sunup__hash("a", 1, 0) != sunup__hash("a\0", 2, 0));
    assert_true(sunup__hash("a", 1, 0) != sunup__hash("a", 1, 1));
}

static void permutations(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1, 2, 3, 4, 5, 17, 64, 1000, 4097};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        const uint64_t n = sizes[k];
        char *seen = sunup__alloc(n);
        const struct random_stream s = {.seed = 7, .purpose = RANDOM_SHUFFLE, .b = k};
        const struct random_permutation p = sunup__random_permutation(&s, n);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t to = sunup__random_permute(&p, i);
            assert_true(to < n);
            assert_int_equal(seen[to]++, 0);
        }
        sunup__free(seen);
    }
}

/* Mean and variance within 5 standard errors; neighbours of a stream and two streams are uncorrelated. */
static void distributions(void **state)
{
    (void)state;
    enum { N = 20000 };
    const struct random_stream a = {.seed = 1, .purpose = RANDOM_TEST};
    const struct random_stream b = {.seed = 1, .purpose = RANDOM_TEST, .a = 1};
    double sum = 0, square = 0, product = 0, normal = 0, normal2 = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double u = sunup__random_unit(&a, i), v = sunup__random_unit(&b, i);
        assert_true(u >= 0 && u < 1);
        assert_true(sunup__random_below(&a, i, 10) < 10);
        sum += u;
        square += (u - 0.5) * (u - 0.5);
        product += (u - 0.5) * (v - 0.5);
        const double z = sunup__random_normal(&a, i);
        normal += z;
        normal2 += z * z;
    }
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(square / N - 1.0 / 12) < 5 * sqrt(1.0 / 180 / N));
    assert_true(fabs(product / N) < 5 / 12.0 / sqrt(N));
    assert_true(fabs(normal / N) < 5 / sqrt(N));
    assert_true(fabs(normal2 / N - 1) < 5 * sqrt(2.0 / N));
}

static void square(void *arg, int64_t i)
{
    ((int64_t *)arg)[i] = i * i;
}

static void count_one(void *arg, int64_t i)
{
    ((_Atomic int *)arg)[i]++;
}

/* Short loops of changing length, so that late workers meet the next loop at every point of its start. */
static void every_iteration_runs_once(void **state)
{
    (void)state;
    static _Atomic int count[64];
    for (int round = 0; round < 300000; round++) {
        const int64_t n = 2 + round * 7 % 61;
        (round % 5 < 2 ? sunup__parallel_back : sunup__parallel)(2 + round % 3, n, count_one, count);
        for (int64_t i = 0; i < 64; i++) {
            assert_int_equal(count[i], i < n ? 1 : 0);
            count[i] = 0;
        }
    }
}

static void parallel_loops(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        for (int64_t n = 0; n < 10; n++) {
            int64_t out[10] = {0};
            sunup__parallel(threads, n, square, out);
            for (int64_t i = 0; i < 10; i++) assert_int_equal(out[i], i < n ? i * i : 0);
            memset(out, 0, sizeof out);
            sunup__parallel_back(threads, n, square, out);
            for (int64_t i = 0; i < 10; i++) assert_int_equal(out[i], i < n ? i * i : 0);
        }
    }
    int64_t *many = sunup__alloc(100003 * sizeof *many);
    for (int round = 0; round < 200;
         round++) { /* workers that come late must find the next loop or none */
        sunup__parallel(4, 100003, square, many);
        for (int64_t i = round; i < 100003; i += 997) assert_int_equal(many[i], i * i);
        memset(many, 0, 100003 * sizeof *many);
    }
    sunup__free(many);
    assert_true(sunup__cpu_count() >= 1);
    assert_true(sunup__memory_available() > 0);
    assert_false(sunup__outgrows_caches(64 << 10));
    assert_true(sunup__outgrows_caches(12 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocation),     cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(arena_and_text), cmocka_unit_test(errors),
        cmocka_unit_test(files),          cmocka_unit_test(checksums),
        cmocka_unit_test(permutations),   cmocka_unit_test(distributions),
        cmocka_unit_test(every_iteration_runs_once),
        cmocka_unit_test(parallel_loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
