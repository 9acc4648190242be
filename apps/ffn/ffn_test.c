/* ffn_test.c - measures against exact small cases and against the published segmentation's
 * figures; moves of a flood. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ffn.h"

static void expect_near(double x, double wanted, double tolerance)
{
    if (!(fabs(x - wanted) <= tolerance)) fail_msg("%.12g is not %.12g", x, wanted);
}

static struct agreement compare(int64_t n, const int32_t *segment, const int32_t *body,
                                bool covered)
{
    sunup_context *ctx;
    struct agreement a;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(ffn_compare(ctx, n, segment, body, covered, &a), SUNUP_OK);
    sunup_context_destroy(&ctx);
    return a;
}

static void equal_but_for_names(void **state)
{
    (void)state;
    const int32_t segment[6] = {3, 3, 1, 1, 1, 2}, body[6] = {1, 1, 2, 2, 2, 5};
    const struct agreement a = compare(6, segment, body, false);
    expect_near(a.rand_error, 0, 0);
    expect_near(a.split, 0, 1e-12);
    expect_near(a.merge, 0, 1e-12);
    assert_int_equal(a.voxels, 6);
}

/* One body of four cut in halves: of 12 ordered pairs of the body 4 stay together, and all 4 pairs
 * of segments are right: F = 2 4 / (12 + 4). One bit says in which half a voxel is. */
static void one_body_in_halves(void **state)
{
    (void)state;
    const int32_t segment[4] = {1, 1, 2, 2}, body[4] = {1, 1, 1, 1};
    struct agreement a = compare(4, segment, body, false);
    expect_near(a.rand_error, 0.5, 1e-12);
    expect_near(a.split, 1, 1e-12);
    expect_near(a.merge, 0, 1e-12);
    a = compare(4, body, segment, false); /* two bodies joined */
    expect_near(a.rand_error, 0.5, 1e-12);
    expect_near(a.split, 0, 1e-12);
    expect_near(a.merge, 1, 1e-12);
}

/* Voxels without a body never count, those without a segment only if not covered. */
static void holes(void **state)
{
    (void)state;
    const int32_t segment[6] = {1, 1, 0, 0, 2, 1}, body[6] = {1, 1, 1, 1, 0, 1};
    struct agreement a = compare(6, segment, body, true);
    assert_int_equal(a.voxels, 3);
    expect_near(a.rand_error, 0, 0);
    a = compare(6, segment, body, false);
    assert_int_equal(a.voxels, 5);
    expect_near(a.split, -0.6 * log2(0.6) - 0.4 * log2(0.4), 1e-12);
    assert_true(isnan(compare(1, segment + 4, body + 4, true).rand_error));
}

struct read {
    sunup_context *ctx;
    struct volume v;
    int32_t *segment;
};

static bool open(struct read *r)
{
    *r = (struct read){0};
    assert_int_equal(sunup_context_create(NULL, &r->ctx), SUNUP_OK);
    return ffn_volume_read(r->ctx, &r->v) == SUNUP_OK &&
           ffn_labels_read(r->ctx, &r->v, "fib25/ffn_published_segmentation.npz", "segment",
                           &r->segment) == SUNUP_OK;
}

static void end(struct read *r)
{
    sunup_free(r->segment);
    ffn_volume_end(&r->v);
    sunup_context_destroy(&r->ctx);
}

/* As computed by NumPy from the same files. */
static void the_published_segmentation(void **state)
{
    (void)state;
    struct read r;
    if (!open(&r)) {
        end(&r);
        skip();
    }
    struct agreement a = compare(r.v.voxels, r.segment, r.v.body, true);
    assert_int_equal(a.voxels, 13867123);
    expect_near(a.rand_error, 0.055737551707, 1e-11);
    expect_near(a.split, 0.612568145161, 1e-10);
    expect_near(a.merge, 0.263210366227, 1e-10);
    a = compare(r.v.voxels, r.segment, r.v.body, false);
    assert_int_equal(a.voxels, 15624750);
    expect_near(a.rand_error, 0.157365577993, 1e-11);
    expect_near(a.split, 0.898652842271, 1e-10);
    expect_near(a.merge, 0.918403700506, 1e-10);
    end(&r);
}

/* Object 3 takes one evaluation, of which every voxel is known. */
static void the_smallest_object(void **state)
{
    (void)state;
    struct read r;
    if (!open(&r)) {
        end(&r);
        skip();
    }
    struct net net;
    struct flood *flood;
    struct grown g;
    const int64_t seed[3] = {16, 24, 204};
    sunup_context_set_numerics(r.ctx, SUNUP_NUMERICS_EXACT);
    assert_int_equal(ffn_net_create(r.ctx, &net), SUNUP_OK);
    assert_int_equal(ffn_flood_create(r.ctx, &r.v, &net, &flood), SUNUP_OK);
    int32_t *owner = test_malloc((size_t)r.v.voxels * sizeof *owner);
    for (int64_t i = 0; i < r.v.voxels; i++) owner[i] = r.segment[i] < 3 ? r.segment[i] : 0;
    assert_true(ffn_flood_may_start(flood, seed, owner));
    assert_false(ffn_flood_may_start(flood, (const int64_t[]){15, 24, 204}, owner));
    assert_int_equal(ffn_flood_grow(flood, seed, 3, owner, &g), SUNUP_OK);
    assert_int_equal(g.evaluations, 1);
    assert_int_equal(g.voxels, 1757);
    assert_true(g.kept);
    for (int64_t i = 0; i < r.v.voxels; i++)
        assert_int_equal(owner[i], r.segment[i] <= 3 ? r.segment[i] : 0);
    assert_false(ffn_flood_may_start(flood, seed, owner));
    assert_int_equal(ffn_flood_grow(flood, (const int64_t[]){16, 24, 240}, 4, owner, &g),
                     SUNUP_E_ARGUMENT);
    test_free(owner);
    ffn_flood_destroy(&flood);
    ffn_net_destroy(&net);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_but_for_names),
        cmocka_unit_test(one_body_in_halves),
        cmocka_unit_test(holes),
        cmocka_unit_test(the_published_segmentation),
        cmocka_unit_test(the_smallest_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
