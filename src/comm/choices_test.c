/* choices_test.c - which line of a tuning file an exchange follows, and which are left out with a
 * warning. The choices of several ranks: tests/program/ranks.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "comm/inside.h"
#include "plan/plan.h"

enum { MEMBERS = 8, MIB = 1 << 20 };

struct bench {
    sunup_context *ctx;
    sunup_comm *comm;
    int warnings;
};

static void count(void *arg, sunup_log_level level, const char *line)
{
    struct bench *b = arg;
    if (level == SUNUP_LOG_WARN && strstr(line, "tune again") != NULL) b->warnings++;
}

static void set_up(struct bench *b)
{
    *b = (struct bench){0};
    sunup_context_options o = sunup_context_defaults();
    o.log = count;
    o.log_arg = b;
    assert_int_equal(sunup_context_create(&o, &b->ctx), SUNUP_OK);
    assert_int_equal(sunup_comm_create(b->ctx, NULL, &b->comm), SUNUP_OK);
}

static void tear_down(struct bench *b)
{
    sunup_comm_destroy(&b->comm);
    sunup_context_destroy(&b->ctx);
}

static void choose(struct bench *b, const char *problem, const char *maker)
{
    assert_int_equal(sunup__tuning_set(b->ctx, problem, maker), SUNUP_OK);
}

static struct exchange_way ask(struct bench *b, int64_t bytes, const char *of)
{
    struct exchange_way way;
    assert_int_equal(sunup__exchange_consult(b->comm, of, bytes, MEMBERS, &way), SUNUP_OK);
    return way;
}

static void the_nearest_size_is_followed(void **state)
{
    struct bench b;
    (void)state;
    set_up(&b);
    choose(&b, "exchange:f32:1MiB:ranks1:nodes1", "nearest:bucket64KiB");
    choose(&b, "exchange:f32:3MiB:ranks1:nodes1", "direct:bucket1MiB");
    choose(&b, "exchange:f32:16MiB:ranks2:nodes1", "direct:bucket16MiB");
    choose(&b, "exchange:f32:16MiB:ranks1:nodes1:messages", "direct:bucket16MiB");
    const struct {
        int64_t bytes, bucket_bytes;
    } cases[] = {{MIB / 2 - 4, 0},        {MIB / 2, MIB / 16}, {MIB, MIB / 16}, {7 * MIB / 4, MIB},
                 {3 * MIB / 2, MIB / 16}, {6 * MIB, MIB},      {7 * MIB, 0},    {16 * MIB, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct exchange_way way = ask(&b, cases[i].bytes, "f32");
        assert_int_equal(way.tuned, cases[i].bucket_bytes > 0);
        if (way.tuned) assert_int_equal(way.bucket_bytes, cases[i].bucket_bytes);
        if (!way.tuned) assert_int_equal(way.bucket_bytes, sunup_comm_defaults().bucket_bytes);
    }
    assert_string_equal(ask(&b, MIB, "f32").route, "nearest");
    assert_false(ask(&b, MIB, "f64").tuned);
    b.comm->options.bucket_bytes = 2 * MIB; /* the caller's wish */
    assert_false(ask(&b, MIB, "f32").tuned);
    assert_int_equal(b.warnings, 0);
    tear_down(&b);
}

static void what_is_no_way_is_left_out(void **state)
{
    const char *const hostile[] = {"",
                                   "nearest",
                                   ":bucket1MiB",
                                   "telepathy:bucket1MiB",
                                   "wide:bucket1MiB",
                                   "nearest:bucket",
                                   "nearest:bucket0",
                                   "nearest:bucket-1",
                                   "nearest:bucketnan",
                                   "nearest:bucket1e300",
                                   "nearest:bucket2KiB",
                                   "nearest:bucket2GiB",
                                   "nearest:bucket1MiB more",
                                   "nearest:1MiB",
                                   "a_route_of_a_name_that_is_long:bucket1MiB"};
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct bench b;
        set_up(&b);
        choose(&b, "exchange:f32:1MiB:ranks1:nodes1", hostile[i]);
        choose(&b, "exchange:f32:1900KiB:ranks1:nodes1", "direct:bucket8KiB");
        const struct exchange_way way = ask(&b, MIB, "f32");
        if (way.bucket_bytes != 8192 || b.warnings != 1) fail_msg("'%s'", hostile[i]);
        tear_down(&b);
    }
}

static void what_is_no_problem_is_passed_over(void **state)
{
    const char *const odd[] = {"exchange",
                               "exchange:f32:",
                               "exchange:f32::ranks1:nodes1",
                               "exchange:f32:1MiB",
                               "exchange:f32:1MiB:ranks1:nodes1:more",
                               "exchange:f16:1MiB:ranks1:nodes1",
                               "exchange:f32:-1MiB:ranks1:nodes1"};
    struct bench b;
    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) choose(&b, odd[i], "direct:bucket8KiB");
    assert_false(ask(&b, MIB, "f32").tuned);
    assert_int_equal(b.warnings, 0);
    tear_down(&b);
}

static void problems_are_read_as_they_are_written(void **state)
{
    struct bench b;
    char problem[CHOICE_TEXT], text[WAY_TEXT];
    const struct exchange_way way = {.route = "nearest", .bucket_bytes = 16 * MIB};
    (void)state;
    set_up(&b);
    sunup__choice_problem(b.comm, COLLECTIVES, "f64", 24 * MIB + 8, problem);
    assert_string_equal(problem, "exchange:f64:25165832B:ranks1:nodes1");
    choose(&b, problem, sunup__way_text(&way, text));
    const struct exchange_way read = ask(&b, 24 * MIB + 8, "f64");
    assert_true(read.tuned);
    assert_string_equal(read.route, way.route);
    assert_int_equal(read.bucket_bytes, way.bucket_bytes);
    assert_string_equal(sunup__choice_problem(b.comm, COLLECTIVE_barrier, "u8", 0, problem),
                        "barrier:ranks1:nodes1");
    assert_string_equal(sunup__choice_problem(b.comm, COLLECTIVE_alltoall, "u8", 65536, problem),
                        "alltoall:u8:64KiB:ranks1:nodes1");
    tear_down(&b);
}

int main(void)
{
    unsetenv("SUNUP_TUNING");
    unsetenv("SUNUP_MESSAGES");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_size_is_followed),
        cmocka_unit_test(what_is_no_way_is_left_out),
        cmocka_unit_test(what_is_no_problem_is_passed_over),
        cmocka_unit_test(problems_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
