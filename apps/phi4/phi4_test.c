/* phi4_test.c - the lattice against closed forms and its own derivative, ensembles against
 * weights that are known, the flow's densities against the action in plain C. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "phi4.h"

static void expect_near(double x, double wanted, double tolerance)
{
    if (!(fabs(x - wanted) <= tolerance)) fail_msg("%.12g is not %.12g", x, wanted);
}

static void fill_normal(int64_t n, uint64_t seed, double *x)
{
    struct app_random random = app_random(seed, "phi4 test", 0, 0);
    for (int64_t i = 0; i < n; i++) x[i] = app_normal(&random);
}

static void test_action(void **state)
{
    (void)state;
    const struct lattice l = {6, -4, 8};
    double phi[36], force[36];
    for (int i = 0; i < 36; i++) phi[i] = 0.5; /* neighbours cancel the 2 phi^2 of each axis */
    expect_near(phi4_action(&l, phi), 36 * (-4 * 0.25 + 8 * 0.0625), 1e-12);
    fill_normal(36, 1, phi);
    phi4_force(&l, phi, force);
    for (int i = 0; i < 36; i++) {
        const double keep = phi[i], h = 1e-5;
        phi[i] = keep + h;
        const double up = phi4_action(&l, phi);
        phi[i] = keep - h;
        const double down = phi4_action(&l, phi);
        phi[i] = keep;
        expect_near((up - down) / (2 * h), force[i], 1e-5 * (1 + fabs(force[i])));
    }
}

/* The free field: log Z in closed form, chi = 1 / (2 m2), <phi^2> the mean of 1 / (2 A_k). */
static void test_free_field(void **state)
{
    (void)state;
    const struct lattice l = {8, 4, 0};
    expect_near(phi4_free_log_z(&l), -28.831, 5e-4);
    struct estimate chi, phi2, log_z;
    assert_true(phi4_walk_measure(&l, 40000, 3, &chi, &phi2));
    double mean = 0;
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 8; b++)
            mean += 1 / (2 * (8 - 2 * cos(acos(-1.0) * a / 4) - 2 * cos(acos(-1.0) * b / 4))) / 64;
    expect_near(chi.value, 0.125, 5 * chi.error);
    expect_near(phi2.value, mean, 5 * phi2.error);
    assert_true(chi.error < 0.01 && phi2.error < 0.001);
    /* from m2 = 4 to another free field: by the integral, and as it is */
    const struct lattice heavy = {4, 9, 0};
    assert_true(phi4_log_z(&heavy, 4000, 5, &log_z));
    expect_near(log_z.value, phi4_free_log_z(&heavy), 5 * log_z.error + 1e-6);
    assert_true(log_z.error < 0.05);
}

/* log Z of an interacting 4 x 4 lattice: the integral against weighted normal numbers. */
static void test_log_z(void **state)
{
    (void)state;
    const struct lattice l = {4, 1, 2};
    struct estimate by_path;
    assert_true(phi4_log_z(&l, 20000, 7, &by_path));
    struct ensemble e;
    enum { N = 40000, SITES = 16 };
    assert_true(phi4_ensemble_begin(&e, N));
    const double width = 0.33;
    for (int64_t i = 0; i < N; i++) {
        double phi[SITES], log_q = -SITES * log(width * sqrt(2 * acos(-1.0)));
        fill_normal(SITES, (uint64_t)i, phi);
        for (int x = 0; x < SITES; x++) {
            log_q -= 0.5 * phi[x] * phi[x];
            phi[x] *= width;
        }
        e.log_w[i] = -phi4_action(&l, phi) - log_q;
    }
    const struct estimate by_weights = phi4_weighted_log_z(&e);
    expect_near(by_path.value, by_weights.value, 5 * hypot(by_path.error, by_weights.error));
    assert_true(by_path.error < 0.02 && by_weights.error < 0.05);
    phi4_ensemble_end(&e);
}

/* q: standard normal numbers, p~ = 3 exp(-(x - 0.5)^2 / 2): log w = x / 2 + known constant. */
static void test_ensemble(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct ensemble e;
    assert_true(phi4_ensemble_begin(&e, N));
    fill_normal(N, 9, e.phi2);
    for (int64_t i = 0; i < N; i++) e.log_w[i] = 0.5 * e.phi2[i] - 0.125 + log(3);
    const struct estimate log_z = phi4_weighted_log_z(&e), mean = phi4_reweighted(&e, e.phi2),
                          loss = phi4_loss(&e);
    expect_near(log_z.value, log(3), 5 * log_z.error);
    expect_near(mean.value, 0.5, 5 * mean.error);
    expect_near(loss.value, 0.125 - log(3), 5 * loss.error);
    expect_near(phi4_ess(&e), exp(-0.25), 0.02);
    struct estimate along;
    const double accepted = phi4_chain(&e, 1, e.phi2, &along);
    expect_near(along.value, 0.5, 5 * along.error);
    expect_near(accepted, erfc(0.25), 0.01); /* 2 P(y > x), y - x of N(-1/2, 2) */
    for (int64_t i = 0; i < N; i++)
        e.log_w[i] = 700; /* weights whose exponential would overflow in sums */
    expect_near(phi4_ess(&e), 1, 1e-12);
    expect_near(phi4_weighted_log_z(&e).value, 700, 1e-9);
    phi4_ensemble_end(&e);
}

/* The flow's own sums against plain C: log p~ = -S of the fields it returns. */
static void test_flow(void **state)
{
    (void)state;
    enum { N = 64, L = 8, SITES = L * L };
    sunup_context *ctx;
    sunup_model *model;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    struct app_network net = {.ctx = ctx, .input = SUNUP_SHAPE(L, L, 1)};
    assert_int_equal(sunup_model_create(ctx, app_phi4.build, &net, 4, &model), SUNUP_OK);
    static float z[N * SITES], y[N * (SITES + 2)];
    static double phi[N * SITES];
    fill_normal(N * SITES, 11, phi);
    for (int i = 0; i < N * SITES; i++) z[i] = (float)phi[i];
    const sunup_tensor in = {"z", SUNUP_F32, SUNUP_SHAPE(N, L, L, 1), z};
    assert_int_equal(sunup_model_predict(model, N, 1, &in, y), SUNUP_OK);
    const struct lattice l = {L, PHI4_M2, PHI4_LAMBDA};
    for (int i = 0; i < N; i++) {
        const float *row = y + i * (SITES + 2);
        for (int x = 0; x < SITES; x++) phi[x] = (double)row[2 + x];
        const double s = phi4_action(&l, phi);
        expect_near((double)row[1], -s, 1e-6 * (fabs(s) + 100));
    }
    net.input = SUNUP_SHAPE(8, 6, 1);
    sunup_model *bad = NULL;
    assert_int_equal(sunup_model_create(ctx, app_phi4.build, &net, 4, &bad), SUNUP_E_SHAPE);
    assert_non_null(strstr(sunup_error(ctx), "even L"));
    sunup_model_destroy(&bad);
    sunup_model_destroy(&model);
    sunup_context_destroy(&ctx);
}

/* log q against the determinant of the flow's derivative, by differences: 4 x 4 sites. */
static void test_density(void **state)
{
    (void)state;
    enum { L = 4, SITES = 16, ROW = SITES + 2 };
    sunup_context *ctx;
    sunup_model *model;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    struct app_network net = {.ctx = ctx, .input = SUNUP_SHAPE(L, L, 1)};
    assert_int_equal(sunup_model_create(ctx, app_phi4.build, &net, 4, &model), SUNUP_OK);
    static float z[(2 * SITES + 1) * SITES], y[(2 * SITES + 1) * ROW];
    double first[SITES], square = 0, j[SITES][SITES], log_det = 0;
    const double h = 1.0 / 128;
    fill_normal(SITES, 13, first);
    for (int i = 0; i <= 2 * SITES; i++)
        for (int x = 0; x < SITES; x++)
            z[i * SITES + x] = (float)(first[x] + (i == 1 + x ? h : i == 1 + SITES + x ? -h : 0));
    const sunup_tensor in = {"z", SUNUP_F32, SUNUP_SHAPE(2 * SITES + 1, L, L, 1), z};
    assert_int_equal(sunup_model_predict(model, 2 * SITES + 1, 1, &in, y), SUNUP_OK);
    for (int a = 0; a < SITES; a++) {
        square += (double)z[a] * (double)z[a];
        for (int b = 0; b < SITES; b++)
            j[a][b] =
                ((double)y[(1 + a) * ROW + 2 + b] - (double)y[(1 + SITES + a) * ROW + 2 + b]) /
                (2 * h);
    }
    for (int p = 0; p < SITES;
         p++) { /* pivots on the diagonal: the flow is near the identity times a scale */
        log_det += log(fabs(j[p][p]));
        for (int a = p + 1; a < SITES; a++)
            for (int b = SITES - 1; b >= p; b--) j[a][b] -= j[a][p] / j[p][p] * j[p][b];
    }
    const double log_q = -0.5 * square - 0.5 * SITES * log(2 * acos(-1.0)) - log_det;
    expect_near((double)y[1] - (double)y[0], log_q, 0.01);
    sunup_model_destroy(&model);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_action), cmocka_unit_test(test_free_field),
        cmocka_unit_test(test_log_z),  cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_flow),   cmocka_unit_test(test_density),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
