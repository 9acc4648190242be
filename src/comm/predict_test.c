/* predict_test.c - what is predicted of an exchange: against the simulation of the same network
 * (bench/results/sim.csv), and where it must grow or vanish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "comm/inside.h"

/* bench/sim/platform.awk: 200 GB/s a node in groups of 64, 4125 GB/s from a group; SimGrid takes
 * 92 % of that, and 5 % of the traffic the other way for acknowledgements; messages cost the node no
 * time. */
static const struct network simulated = {.latency_s = 1.25e-6,
                                         .message_s = 0,
                                         .bytes_per_s = 200e9 * 0.92 * 0.95,
                                         .far_bytes_per_s = 4125e9 / 64 * 0.92 * 0.95,
                                         .neighbours = 64};

struct figure {
    int nodes, buckets;
    double ms;
};

/* Route nearest, 100 MB, additions take no time. */
static const struct figure figures[] = {{64, 2, 1.1276},   {256, 2, 1.1416},   {1000, 2, 1.2157},
                                        {1024, 2, 1.1450}, {4096, 2, 1.1458},  {4096, 1, 1.2079},
                                        {10240, 1, 1.2085}, {10624, 1, 1.1965}};

static struct route nearest(int members)
{
    struct route r = {0};
    for (int i = 0; i < sunup__routes(); i++)
        if (sunup__route(i, members, &simulated, &r) && r.name[0] == 'n') return r;
    fail_msg("%d members have no route nearest", members);
    return r;
}

static double predicted_ms(const struct figure *f)
{
    struct group g;
    const struct route r = nearest(f->nodes);
    assert_true(sunup__group_create(f->nodes, 0, f->nodes, 1, &g));
    const int64_t bytes = 100000000 / f->buckets;
    const struct way_cost there = sunup__route_cost(&r, &simulated, &g, f->nodes, bytes, false),
                          back = sunup__route_cost(&r, &simulated, &g, f->nodes, bytes, true);
    sunup__group_end(&g);
    return 1e3 * (there.latency_s + back.latency_s + f->buckets * (there.busy_s + back.busy_s));
}

static void within_a_tenth_of_the_simulation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        const double ms = predicted_ms(&figures[i]);
        if (fabs(ms / figures[i].ms - 1) > 0.1)
            fail_msg("%d nodes, %d buckets: %.4f ms predicted, %.4f simulated", figures[i].nodes,
                     figures[i].buckets, ms, figures[i].ms);
    }
}

static void nodes_and_slices_count(void **state)
{
    (void)state;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    struct exchange_options o = {.shards = 64, .n = 1 << 24, .head = 1 << 24, .data_n = 1 << 24};
    struct machine m = {.ranks = 8, .node_ranks = 8, .bytes_per_s = 2e10, .net = simulated};
    struct exchange_cost one, two;
    assert_int_equal(sunup__exchange_predict(ctx, &o, &m, &one), SUNUP_OK);
    assert_true(one.sent_bytes == 0 && one.share_s == 0 && one.bucket_s > 0 && one.buckets == 1);
    m.ranks = 16;
    assert_int_equal(sunup__exchange_predict(ctx, &o, &m, &two), SUNUP_OK);
    /* Two nodes of eight: a rank sends half of its eighth there, and as much back. */
    assert_true(fabs(two.sent_bytes / (4.0 * (1 << 24) / 8) - 1) < 0.01);
    o.bf16 = true; /* half of what goes there, all of what comes back */
    assert_int_equal(sunup__exchange_predict(ctx, &o, &m, &two), SUNUP_OK);
    assert_true(fabs(two.sent_bytes / (4.0 * (1 << 24) / 8) - 0.75) < 0.01);
    m.ranks = 12;
    assert_int_equal(sunup__exchange_predict(ctx, &o, &m, &two), SUNUP_E_ARGUMENT);
    m.ranks = 128;
    assert_int_equal(sunup__exchange_predict(ctx, &o, &m, &two), SUNUP_E_ARGUMENT);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_a_tenth_of_the_simulation),
        cmocka_unit_test(nodes_and_slices_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
