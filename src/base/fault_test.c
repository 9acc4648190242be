/* fault_test.c - what SUNUP_FAULT may say, what it must not, and that it strikes where and when it says. */
#include "base/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/system.h"

static sunup_context *planted(const char *text)
{
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(sunup__faults_plant(ctx, text), SUNUP_OK);
    return ctx;
}

static void nothing_without_the_variable(void **state)
{
    (void)state;
    const char *const texts[] = {NULL, ""};
    for (int i = 0; i < 2; i++) {
        sunup_context *ctx = planted(texts[i]);
        assert_null(ctx->faults);
        assert_false(sunup__fault_due(ctx, FAULT_CRASH, 0, 0));
        assert_int_equal(sunup__fault_step(ctx, 0, 0), SUNUP_OK);
        sunup_context_destroy(&ctx);
    }
}

static void due_at_step_and_rank(void **state)
{
    (void)state;
    sunup_context *ctx = planted("crash:3,flip:5:2,oom:7:1,nan:4");
    for (int64_t step = 0; step < 9; step++)
        for (int rank = 0; rank < 4; rank++) {
            assert_int_equal(sunup__fault_due(ctx, FAULT_CRASH, step, rank), step == 3 && rank == 0);
            assert_int_equal(sunup__fault_due(ctx, FAULT_FLIP, step, rank), step >= 5 && rank == 2);
            assert_int_equal(sunup__fault_due(ctx, FAULT_OOM, step, rank), step == 7 && rank == 1);
            assert_false(sunup__fault_due(ctx, FAULT_HANG, step, rank));
        }
    sunup__fault_done(ctx, FAULT_FLIP);
    assert_false(sunup__fault_due(ctx, FAULT_FLIP, 8, 2));
    assert_int_equal(sunup__fault_step(ctx, 4, 0), SUNUP_OK);
    assert_true(ctx->faults->poisoned);
    assert_int_equal(sunup__fault_step(ctx, 5, 0), SUNUP_OK);
    assert_false(ctx->faults->poisoned);
    sunup_context_destroy(&ctx);
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    const char *const texts[] = {
        "slow",       "slow:conv",  "slow:conv:",  "slow:conv:0", "slow:conv:-5", "slow:conv:5:1",
        "slow::5",    "slow:a:inf", "slow:a:nan",  "crash",       "crash:",       "crash:x",
        "crash:-1",   "crash:1:",   "crash:1:x",   "crash:1:1:1", "crash: 1",     "crash:+1",
        "hang:1:-1",  "nan:1e3",    "oom:1,",      ",oom:1",      "oom:1,,oom:2", "flip:1:99999999999",
        "sow:conv:5", "CRASH:1",    "crash:99999999999999999999", ":", "slow:conv:5,crash"};
    sunup_context *ctx = planted(NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(sunup__faults_plant(ctx, texts[i]), SUNUP_E_ARGUMENT);
        assert_null(ctx->faults);
        assert_non_null(strstr(sunup_error(ctx), "slow:OP:PERCENT"));
    }
    char op[200], many[40 * FAULTS_MOST] = "oom:1";
    memset(op, 'a', sizeof op);
    memcpy(op, "slow:", 5);
    (void)snprintf(op + 190, 10, ":5");
    assert_int_equal(sunup__faults_plant(ctx, op), SUNUP_E_ARGUMENT);
    for (int i = 0; i < FAULTS_MOST; i++) strcat(many, ",oom:1");
    assert_int_equal(sunup__faults_plant(ctx, many), SUNUP_E_ARGUMENT);
    sunup_context_destroy(&ctx);
}

static void is_read_with_the_context(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(setenv("SUNUP_FAULT", "slow:*:5,slow:conv:2.5", 1), 0);
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(ctx->faults->n, 2);
    sunup_context_destroy(&ctx);
    assert_int_equal(setenv("SUNUP_FAULT", "slow", 1), 0);
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "'slow' is not understood"));
    sunup_context_destroy(&ctx);
    assert_int_equal(unsetenv("SUNUP_FAULT"), 0);
}

static void memory_fails_once(void **state)
{
    (void)state;
    sunup_context *ctx = planted("oom:2");
    assert_int_equal(sunup__fault_step(ctx, 1, 0), SUNUP_OK);
    assert_int_equal(sunup__fault_step(ctx, 2, 0), SUNUP_E_MEMORY);
    assert_int_equal(sunup__fault_step(ctx, 3, 0), SUNUP_OK);
    void *p = sunup__alloc(10);
    assert_non_null(p);
    sunup__free(p);
    sunup_context_destroy(&ctx);
}

/* Of a child that strikes at step 1: how it ended, 0 if it was still there after a while. */
static int signal_of(const char *text)
{
    sunup_context *ctx = planted(text);
    const pid_t child = fork();
    if (child == 0) {
        (void)sunup__fault_step(ctx, 1, 0);
        _exit(0);
    }
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 25 && ended == 0; i++) {
        (void)usleep(20000);
        ended = waitpid(child, &status, WNOHANG);
    }
    if (ended == 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, &status, 0);
        status = 0;
    }
    sunup_context_destroy(&ctx);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void crashes_and_hangs(void **state)
{
    (void)state;
    assert_int_equal(signal_of("crash:1"), SIGSEGV);
    assert_int_equal(signal_of("hang:1"), 0);
}

static void slows_by_its_share(void **state)
{
    (void)state;
    sunup_context *ctx = planted("slow:conv:100,slow:*:50");
    const double from_s = sunup__now_s();
    sunup__fault_slow(ctx, "conv", from_s - 0.01);
    assert_true(sunup__now_s() - from_s >= 0.015); /* at least: others may hold the core longer */
    const double then_s = sunup__now_s();
    sunup__fault_slow(ctx, "matmul", then_s - 0.01);
    assert_true(sunup__now_s() - then_s >= 0.005);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_without_the_variable),
                                       cmocka_unit_test(due_at_step_and_rank),
                                       cmocka_unit_test(refuses_what_is_none),
                                       cmocka_unit_test(is_read_with_the_context),
                                       cmocka_unit_test(memory_fails_once),
                                       cmocka_unit_test(crashes_and_hangs),
                                       cmocka_unit_test(slows_by_its_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
