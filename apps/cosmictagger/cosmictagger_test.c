/* cosmictagger_test.c - the chamber against what is known: where charge appears, that none is lost, how much a particle
 * leaves, how often noise passes the threshold; and the official events' counts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lartpc.h"

enum { ALL = PLANES * TICKS * WIRES };

static const struct recipe silent = {false, 10, 0};
static sunup_context *ctx;
static float *x;
static int32_t *label;

static double charge_at(int plane, int tick, int wire)
{
    return expm1(4 * (double)x[(plane * TICKS + tick) * WIRES + wire]);
}

/* One cloud of 1e6 without noise: the picture's sum and centre. */
static double look(struct deposit d, int plane, double *tick, double *wire)
{
    struct readout *r;
    assert_int_equal(lartpc_readout(ctx, 1, &silent, &r), SUNUP_OK);
    struct app_random random = app_random(1, "test", 0, 0);
    const struct deposits one = {&d, 1, 1, false};
    assert_true(lartpc_image(r, &random, &one, 1, x, label));
    lartpc_readout_end(r);
    double sum = 0;
    *tick = *wire = 0;
    for (int t = 0; t < TICKS; t++)
        for (int w = 0; w < WIRES; w++) {
            const double q = charge_at(plane, t, w);
            sum += q;
            *tick += q * (t + 0.5);
            *wire += q * (w + 0.5);
        }
    *tick /= sum;
    *wire /= sum;
    return sum;
}

static void test_places(void **state)
{
    (void)state;
    double tick, wire;
    const struct deposit near = {-50, 30, 400, 1e6F, 0, COSMIC},
                         far = {50, 30, 400, 1e6F, 20, NEUTRINO};
    const double side = 0.866025 * 30, z[PLANES] = {75 - side, 75 + side, 150};
    for (int plane = 0; plane < PLANES; plane++) {
        assert_true(fabs(look(near, plane, &tick, &wire) / 1e6 - 1) < 1e-3);
        assert_true(fabs(tick - 150 / TICK_CM) < 0.1);
        assert_true(fabs(wire - 1024 - z[plane] / WIRE_CM) < 0.1);
        assert_true(fabs(look(far, plane, &tick, &wire) / 1e6 - 1) < 1e-3);
        assert_true(fabs(tick - (TICKS - 170 / TICK_CM)) <
                    0.1); /* 20 cm late: further from its wires */
        assert_true(fabs(wire - 1024 - z[plane] / WIRE_CM) < 0.1);
    }
    int labels[CLASSES] = {0};
    for (int i = 0; i < ALL; i++) labels[label[i]]++;
    assert_int_equal(labels[COSMIC], 0);
    assert_in_range(labels[NEUTRINO], 3, 60);
    struct deposit late = near;
    late.shift = 60; /* beyond the readout */
    look(late, 0, &tick, &wire);
    assert_true(isnan(tick));
}

static int hits_in(int plane, int half)
{
    int n = 0;
    for (int t = half * TICKS / 2; t < (half + 1) * TICKS / 2; t++)
        for (int w = 0; w < WIRES; w++) n += x[(plane * TICKS + t) * WIRES + w] > 0;
    return n;
}

/* White noise passes as a Gauss curve's tail says; the noisy halves are where they should be. */
static void test_noise(void **state)
{
    (void)state;
    struct readout *r;
    assert_int_equal(lartpc_readout(ctx, 3, &lartpc_sbnd, &r), SUNUP_OK);
    struct app_random random = app_random(3, "test", 0, 0);
    const struct deposits none = {0};
    assert_true(lartpc_image(r, &random, &none, 1, x, label));
    lartpc_readout_end(r);
    for (int half = 0; half < 2; half++) {
        const double collection = 1666 * 640 * 0.5 * erfc(THRESHOLD / 1.40 / M_SQRT2);
        assert_true(fabs(hits_in(2, half) - collection) < 5 * sqrt(collection));
    }
    const double quiet = 1986 * 640 * 0.5 * erfc(THRESHOLD / 1.57 / M_SQRT2);
    const double noisy = 1986 * 640 * 0.5 * erfc(THRESHOLD / 2.10 / M_SQRT2);
    assert_true(fabs(hits_in(0, 0) - quiet) < 5 * sqrt(quiet));
    assert_true(fabs(hits_in(1, 1) - quiet) < 5 * sqrt(quiet));
    assert_true(fabs(hits_in(0, 1) / noisy - 1) < 0.1); /* correlated: fluctuates more */
    assert_true(fabs(hits_in(1, 0) / noisy - 1) < 0.1);
    for (int i = 0; i < ALL; i++) assert_int_equal(label[i], NOISE);
}

static double total(struct particle p, uint64_t seed, int64_t *n)
{
    struct deposits d = {0};
    struct app_random r = app_random(seed, "test", 0, 0);
    struct tracer t = {&r, &d, 0, COSMIC};
    lartpc_follow(&t, p);
    double sum = 0;
    for (int64_t i = 0; i < d.n; i++) sum += (double)d.d[i].charge;
    *n = d.n;
    free(d.d);
    return sum;
}

static void test_particles(void **state)
{
    (void)state;
    int64_t n, shower = 0;
    double muon = 0, low = 0, high = 0;
    for (uint64_t s = 0; s < 20; s++) {
        muon += total((struct particle){MUON, 1e4, {0, 199, 250}, {0, -1, 0}}, s, &n) / 20 / 399;
        low += total((struct particle){ELECTRON, 200, {0, 0, 200}, {0, 0, 1}}, s, &n) / 20;
        high += total((struct particle){ELECTRON, 400, {0, 0, 200}, {0, 0, 1}}, s, &n) / 20;
        shower += n;
    }
    assert_true(muon > 195 * 0.7 * 2.0 &&
                muon < 195 * 0.7 * 2.9); /* MeV a cm, minimum ionizing and delta rays */
    assert_true(fabs(low / (195 * 0.7 * 200) - 1) < 0.1); /* a shower leaves its energy */
    assert_true(fabs(high / low - 2) < 0.1);
    assert_true((double)shower > 20 * 400 / 1.65 / 0.1 * 0.8);
    /* a proton of 100 MeV stops within some 8 cm */
    (void)total((struct particle){PROTON, 100, {0, 0, 200}, {0, 0, 1}}, 1, &n);
    assert_in_range(n, 50, 120);
    double to[3];
    struct app_random r = app_random(5, "test", 0, 0);
    lartpc_turn(&r, (const double[3]){0.6, 0, -0.8}, 0.5, to);
    assert_true(fabs(0.6 * to[0] - 0.8 * to[2] - 0.5) < 1e-12);
    assert_true(fabs(to[0] * to[0] + to[1] * to[1] + to[2] * to[2] - 1) < 1e-12);
}

/* The largest charge and label of a block. */
static void test_pool(void **state)
{
    (void)state;
    const int32_t id[3] = {5 * TICKS + 9, 6 * TICKS + 8, 8 * TICKS + 9};
    const float charge[3] = {10, 20, 30};
    const uint8_t labels[3] = {COSMIC, NOISE, NEUTRINO};
    const struct hits h = {3, id, charge, labels};
    memset(x, 0, ALL * sizeof *x);
    memset(label, 0, ALL * sizeof *label);
    lartpc_pool(&h, 1, 4, x, label);
    const int at = (1 * TICKS / 4 + 2) * (WIRES / 4) + 1;
    assert_true(fabsf(x[at] - logf(21) / 4) < 1e-6F);
    assert_int_equal(label[at], COSMIC);
    assert_int_equal(label[at + 1], NEUTRINO);
    assert_true(x[at + 2] == 0);
}

/* Pooled pixels of a recipe's events: the occupied share, and what labels the occupied ones have. */
static double occupied(const struct recipe *how, double share[CLASSES])
{
    enum { EVENTS = 20, POOL = 4, PIXELS = ALL / POOL / POOL };
    struct readout *r;
    int n[CLASSES] = {0};
    assert_int_equal(lartpc_readout(ctx, 1, how, &r), SUNUP_OK);
    for (int e = 0; e < EVENTS; e++) {
        struct app_random random = app_random(1, "test", 0, e);
        struct deposits d = {0};
        lartpc_event(&random, how, &d);
        assert_true(lartpc_image(r, &random, &d, POOL, x, label));
        free(d.d);
        for (int i = 0; i < PIXELS; i++) n[label[i]] += x[i] > 0;
    }
    lartpc_readout_end(r);
    const double all = n[NOISE] + n[COSMIC] + n[NEUTRINO];
    for (int c = 0; c < CLASSES; c++) share[c] = n[c] / all;
    return all / EVENTS / PIXELS;
}

/* README.md: the official events' shares, and those of the plain recipe. */
static void test_recipes(void **state)
{
    (void)state;
    double share[CLASSES];
    assert_true(fabs(occupied(&lartpc_sbnd, share) - 0.049) < 0.006);
    assert_true(fabs(share[NOISE] - 0.79) < 0.04 && fabs(share[COSMIC] - 0.17) < 0.04);
    assert_true(fabs(occupied(&lartpc_plain, share) - 0.021) < 0.003);
    assert_true(fabs(share[NOISE] - 0.58) < 0.06 && fabs(share[COSMIC] - 0.40) < 0.06);
    assert_true(share[NEUTRINO] > 0.01 && share[NEUTRINO] < 0.05);
}

static void test_official(void **state)
{
    (void)state;
    struct official *o = NULL;
    if (official_open(ctx, &o) != SUNUP_OK) skip(); /* not on this machine */
    assert_int_equal(official_events(o), 5);
    int64_t n[CLASSES] = {0};
    for (int64_t e = 0; e < 5; e++)
        for (int plane = 0; plane < PLANES; plane++) {
            struct hits h;
            official_hits(o, e, plane, &h);
            for (int64_t i = 0; i < h.n; i++) n[h.label[i]]++;
        }
    assert_int_equal(n[NOISE], 149099);
    assert_int_equal(n[COSMIC], 103664);
    assert_int_equal(n[NEUTRINO], 24001);
    official_end(o);
}

static int start(void **state)
{
    (void)state;
    x = malloc(ALL * sizeof *x);
    label = malloc(ALL * sizeof *label);
    return x == NULL || label == NULL || sunup_context_create(NULL, &ctx) != SUNUP_OK;
}

static int end(void **state)
{
    (void)state;
    free(x);
    free(label);
    sunup_context_destroy(&ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),    cmocka_unit_test(test_noise),
        cmocka_unit_test(test_particles), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_recipes),   cmocka_unit_test(test_official),
    };
    return cmocka_run_group_tests(tests, start, end);
}
