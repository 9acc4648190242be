/* gw_test.c - the transform against its definition, the chirp against the textbook's, and with the
 * data: noise that is white and knows no event, and the published signal-to-noise ratios. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bank.h"

static void near(double x, double wanted, double tolerance)
{
    if (!(fabs(x - wanted) <= tolerance)) fail_msg("%.12g is not %.12g", x, wanted);
}

static void test_transform(void **state)
{
    (void)state;
    enum { N = 64 };
    struct app_fft f;
    double x[2 * N], y[2 * N];
    struct app_random r = app_random(1, "transform", 0, 0);
    for (int i = 0; i < 2 * N; i++) y[i] = x[i] = app_normal(&r);
    assert_true(app_fft_open(&f, N));
    app_fft_forward(&f, y);
    for (int k = 0; k < N; k++) {
        double sum[2] = {0};
        for (int j = 0; j < N; j++) {
            const double c = cos(2 * M_PI * j * k / N), s = sin(2 * M_PI * j * k / N);
            sum[0] += c * x[2 * j] + s * x[2 * j + 1];
            sum[1] += c * x[2 * j + 1] - s * x[2 * j];
        }
        for (int c = 0; c < 2; c++) near(y[2 * k + c], sum[c], 1e-12);
    }
    app_fft_inverse(&f, y);
    for (int i = 0; i < 2 * N; i++) near(y[i], x[i], 1e-14);
    app_fft_close(&f);
    assert_false(app_fft_open(&f, 48));
    app_fft_close(&f);
}

/* 134 Hz (1.21 suns / Mc)^(5/8) (1 s / tau)^(3/8):
 * Maggiore, Gravitational Waves (2008), eq. 4.20. */
static void test_chirp(void **state)
{
    (void)state;
    enum { RATE = 65536 };
    const struct chirp c = {30, 30, 0, false};
    double *h = malloc(2 * RATE * sizeof *h);
    gw_chirp(&c, RATE, RATE, 0.9 * RATE, h);
    const double mc = 30 * pow(2, -0.2),
                 left = 0.0049;  /* to the collision from the peak, M f = 0.057 */
    const int64_t at = RATE / 2; /* 0.4 s before the peak */
    const double *a = h + 2 * at, *b = a + 2;
    const double hz = asin((a[0] * b[1] - a[1] * b[0]) / (hypot(a[0], a[1]) * hypot(b[0], b[1])));
    near(hz * RATE / (2 * M_PI), 134 * pow(1.21 / mc, 0.625) * pow(0.4 + left, -0.375), 0.1);
    for (int64_t i = at; i < RATE; i++) /* no jump at the merger */
        assert_true(hypot(h[2 * i] - h[2 * i - 2], h[2 * i + 1] - h[2 * i - 1]) < 0.1);
    free(h);
}

/* ---- with the data ---- */

static sunup_context *ctx;

static struct windows *all(int64_t rate)
{
    struct windows *w;
    char *there = app_data_path(ctx, gw_events[EVENTS - 1].template_file);
    if (there == NULL) skip(); /* cmocka leaves here */
    sunup_free(there);
    assert_int_equal(gw_windows_open(ctx, "all", rate, &w), SUNUP_OK);
    w->seed = 5;
    w->snr_min = w->snr_max = 15;
    return w;
}

/* In white noise the band of 30 to 800 Hz holds 770/1024 of the variance at 2048 Hz. */
static void test_white(void **state)
{
    (void)state;
    struct windows *w = all(2048);
    for (int k = 0; k < w->n; k++) {
        double sum = 0;
        for (int i = 3 * 2048; i < 15 * 2048 - 2048; i++)
            sum += w->strain[k].white[i] * w->strain[k].white[i];
        near(sum / (11 * 2048), 770.0 / 1024, 0.06);
    }
    gw_windows_end(w);
}

static void test_published_ratios(void **state)
{
    (void)state;
    struct windows *w = all(2048), *fast = all(8192);
    for (int k = 0; k < w->n; k++) {
        const double published = w->strain[k].event->snr[w->strain[k].detector];
        double snr = 0, again = 0;
        assert_int_equal(gw_matched_snr(ctx, &w->strain[k], &snr), SUNUP_OK);
        near(snr, published, 0.6);
        if (k > 1) continue; /* the rate changes nothing */
        assert_int_equal(gw_matched_snr(ctx, &fast->strain[k], &again), SUNUP_OK);
        near(again, snr, 1e-6);
    }
    gw_windows_end(w);
    gw_windows_end(fast);
}

/* The overlap of a chirp with GW150914's published template, in H1's noise: its SNR, scaled to 1. */
static double overlap(const struct chirp *c)
{
    struct windows *w = all(2048);
    struct strain *s = &w->strain[0];
    struct app_fft f;
    const int64_t n = FILE_S * 2048;
    double *h = malloc((size_t)(2 * n) * sizeof *h), sum = 0, snr = 0;
    assert_true(app_fft_open(&f, n));
    gw_chirp(c, 2048, n, s->event->at_s * 2048, h);
    gw_whiten(s, &f, 2048, h);
    for (int64_t i = 0; i < n; i++) sum += h[2 * i] * h[2 * i];
    for (int64_t i = 0; i < n; i++) s->white[i] = h[2 * i] / sqrt(sum);
    assert_int_equal(gw_matched_snr(ctx, s, &snr), SUNUP_OK);
    app_fft_close(&f);
    free(h);
    gw_windows_end(w);
    return snr;
}

static void test_overlap(void **state)
{
    (void)state;
    const struct chirp peak = {45, 40, 0, false}, isco = {40, 35, 0, true};
    near(overlap(&peak), 0.97, 0.01);
    near(overlap(&isco), 0.66, 0.02);
}

struct seen {
    struct bank bank;
    int64_t signals;
    double snr; /* mean of what the bank says of signals of 15 */
};

static void look(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)y;
    struct seen *s = arg;
    const float *x = f[FIELD_X];
    for (int i = 0; i < 2048; i++) assert_true(isfinite(x[i]));
    assert_int_equal(*(const int32_t *)f[FIELD_LABEL], sample % 2);
    near((double)*(const float *)f[FIELD_SNR], sample % 2 == 1 ? 15 : 0, 1e-6);
    if (sample % 2 == 0) return;
    const double deviation = (double)*(const float *)f[FIELD_DEVIATION];
    s->snr += gw_bank_snr(&s->bank, *(const int32_t *)f[FIELD_STRAIN], x, deviation);
    s->signals++;
}

/* No window of noise reaches into an event; a bank of 16 finds most of what was added. */
static void test_windows(void **state)
{
    (void)state;
    struct windows *w = all(2048);
    struct seen s = {.signals = 0};
    assert_int_equal(gw_bank_open(ctx, w, &s.bank), SUNUP_OK);
    for (int k = 0; k < w->n; k++) {
        const double at = w->strain[k].event->at_s;
        for (int i = (int)((at - 1.99) * 2048); i < (int)((at + 0.29) * 2048); i++)
            w->strain[k].white[i] = NAN;
        for (int i = 0; i < 2 * 2048 - 1; i++)
            w->strain[k].white[i] = w->strain[k].white[FILE_S * 2048 - 1 - i] = NAN;
    }
    sunup_data *data;
    assert_int_equal(gw_windows_data(w, 400, &data), SUNUP_OK);
    assert_int_equal(app_visit_fields(data, look, &s), SUNUP_OK);
    sunup_data_destroy(&data);
    gw_bank_end(&s.bank);
    near(s.snr / (double)s.signals, 14.5, 1);
}

static void test_bad_names(void **state)
{
    (void)state;
    struct windows *w;
    assert_int_equal(gw_windows_open(ctx, "GW150914+GW170814", 2048, &w), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "'GW150914+GW170814' must be names of events"));
    assert_int_equal(gw_windows_open(ctx, "all", 1024, &w), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "rate is 1024 Hz"));
}

static int start(void **state)
{
    (void)state;
    return sunup_context_create(NULL, &ctx) == SUNUP_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    sunup_context_destroy(&ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transform), cmocka_unit_test(test_chirp),
        cmocka_unit_test(test_bad_names), cmocka_unit_test(test_white),
        cmocka_unit_test(test_windows),   cmocka_unit_test(test_published_ratios),
        cmocka_unit_test(test_overlap),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
