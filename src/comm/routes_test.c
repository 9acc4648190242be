/* routes_test.c - every route's radices multiply to the number of members, neighbours come first,
 * and the choice follows what the model says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "comm/inside.h"

enum { MEMBERS_MOST = 10624 };

static bool make(const char *name, int members, struct route *r)
{
    struct network net = sunup__network_defaults();
    net.neighbours = 64;
    for (int i = 0; i < sunup__routes(); i++)
        if (sunup__route(i, members, &net, r) && strcmp(r->name, name) == 0) return true;
    return false;
}

static void assert_radices(const char *name, int members, int stages, const int *radix)
{
    struct route r;
    assert_true(make(name, members, &r));
    assert_int_equal(r.stages, stages);
    for (int j = 0; j < stages; j++) assert_int_equal(r.radix[j], radix[j]);
}
#define RADICES(name, members, ...)                                                                \
    assert_radices(name, members, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)),                 \
                   (int[]){__VA_ARGS__})

static void radices_multiply_to_the_members(void **state)
{
    (void)state;
    struct network net = sunup__network_defaults();
    for (int members = 1; members <= MEMBERS_MOST; members++)
        for (int i = 0; i < sunup__routes(); i++) {
            struct route r;
            const bool there = sunup__route(i, members, &net, &r);
            assert_true(there || i > 0);
            int64_t product = 1;
            assert_in_range(r.stages, 0, ROUTE_STAGES);
            for (int j = 0; j < r.stages; j++) {
                assert_true(r.radix[j] >= 2);
                product *= r.radix[j];
            }
            if (there) assert_int_equal(product, members);
        }
}

static void routes_are_what_they_are_called(void **state)
{
    (void)state;
    RADICES("direct", 12, 12);
    RADICES("nearest", 12, 2, 2, 3);
    RADICES("nearest", 1000, 2, 2, 2, 5, 5, 5);
    RADICES("wide", 1000, 8, 5, 5, 5);
    RADICES("blocks", 1000, 50, 5, 4);
    RADICES("blocks", 10624, 64, 2, 83);
}

static void routes_that_say_nothing_new_are_not_there(void **state)
{
    (void)state;
    struct route r;
    assert_false(make("nearest", 7, &r));
    assert_false(make("wide", 15, &r));
    assert_false(make("blocks", 67, &r));
    assert_false(make("blocks", 64, &r));
    assert_true(make("direct", 1, &r));
    assert_int_equal(r.stages, 0);
}

static struct group members(int n, int *from)
{
    for (int i = 0; i <= n; i++) from[i] = i;
    return (struct group){.members = n, .from = from};
}

static void few_stages_for_little_and_few_messages_for_many(void **state)
{
    (void)state;
    static int from[MEMBERS_MOST + 1];
    const struct network net = sunup__network_defaults();
    struct route r;
    struct group g = members(4, from);
    sunup__route_choose(&net, &g, 4, 64, &r);
    assert_string_equal(r.name, "direct");
    g = members(4096, from);
    sunup__route_choose(&net, &g, 4096, 64, &r);
    assert_in_range(r.stages, 4, 12);
    g = members(7, from);
    sunup__route_choose(&net, &g, 7, 1 << 20, &r);
    assert_string_equal(r.name, "direct");
    g = members(1, from);
    sunup__route_choose(&net, &g, 1, 1 << 20, &r);
    assert_int_equal(r.stages, 0);
}

/* Shares of a power of two and no power of two: more rows, more time; never less than the bytes
 * take. */
static void rows_and_bytes_count(void **state)
{
    (void)state;
    static int from[MEMBERS_MOST + 1];
    const struct network net = sunup__network_defaults();
    const int64_t bytes = (int64_t)100 << 20;
    struct route r;
    struct group g = members(64, from);
    assert_true(make("nearest", 64, &r));
    const double whole_s = sunup__route_s(&r, &net, &g, 64, bytes);
    assert_true(whole_s > 2 * (double)bytes * 63 / 64 / net.bytes_per_s);
    for (int i = 0; i <= 64; i++) from[i] = i * 100 / 64;
    assert_true(sunup__route_s(&r, &net, &g, 100, bytes) > 1.2 * whole_s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(radices_multiply_to_the_members),
        cmocka_unit_test(routes_are_what_they_are_called),
        cmocka_unit_test(routes_that_say_nothing_new_are_not_there),
        cmocka_unit_test(few_stages_for_little_and_few_messages_for_many),
        cmocka_unit_test(rows_and_bytes_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
