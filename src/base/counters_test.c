/* counters_test.c - what is done is counted, each kind by itself; instructions where the system lets us. */
#include "base/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/system.h"

static void add_up(void **state)
{
    (void)state;
    struct counts sum = {0};
    const struct counts from = sunup__counts();
    sunup__count(COUNT_SENT_BYTES, 1000);
    sunup__count(COUNT_SENT_BYTES, 24);
    sunup__tick(COUNT_MEETINGS);
    sunup__free(sunup__alloc(1));
    const struct counts to = sunup__counts();
    sunup__counts_add(&sum, &from, &to);
    sunup__counts_add(&sum, &from, &to);
    assert_int_equal(sum.count[COUNT_SENT_BYTES], 2048);
    assert_int_equal(sum.count[COUNT_MEETINGS], 2);
    assert_int_equal(sum.count[COUNT_FILES], 0);
    assert_int_equal(sum.allocations, 2);
    assert_int_equal(sum.instructions, -1); /* nobody has begun to count them */
}

static void task(void *arg, int64_t i)
{
    (void)arg;
    (void)i;
    sunup__count(COUNT_MESSAGES, 1);
}

static void by_many_threads(void **state)
{
    (void)state;
    const int64_t before = sunup__counted(COUNT_MESSAGES);
    sunup__parallel(4, 10000, task, NULL);
    assert_int_equal(sunup__counted(COUNT_MESSAGES) - before, 10000);
}

static void files(void **state)
{
    (void)state;
    sunup_context *ctx;
    char path[64];
    void *data;
    size_t bytes;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    (void)snprintf(path, sizeof path, "/tmp/sunup-counters-%d", (int)getpid());
    const int64_t before = sunup__counted(COUNT_FILES);
    assert_int_equal(sunup__file_write(ctx, path, "x", 1), SUNUP_OK);
    assert_int_equal(sunup__file_read(ctx, path, &data, &bytes), SUNUP_OK);
    FILE *f = sunup__file_open(path, "r");
    assert_non_null(f);
    (void)fclose(f);
    assert_int_equal(sunup__counted(COUNT_FILES) - before, 3);
    sunup__free(data);
    (void)unlink(path);
    sunup_context_destroy(&ctx);
}

static int64_t loop(int n)
{
    volatile int64_t x = 0;
    const int64_t before = sunup__instructions();
    for (int i = 0; i < n; i++) x = x + i;
    return x >= 0 ? sunup__instructions() - before : -1;
}

static void instructions(void **state)
{
    (void)state;
    assert_int_equal(sunup__instructions(), -1);
    if (!sunup__instructions_begin()) {
        assert_int_equal(sunup__instructions(), -1);
        skip(); /* virtual machines seldom show the processor's counters */
    }
    assert_true(sunup__instructions_begin());
    const int64_t few = loop(1000), many = loop(1000000);
    assert_true(few > 1000 && many > 1000000 && many < 1000 * few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(add_up), cmocka_unit_test(by_many_threads),
                                       cmocka_unit_test(files), cmocka_unit_test(instructions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
