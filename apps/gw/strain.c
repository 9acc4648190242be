/* strain.c - reading, Welch's estimate of the noise (median of 31 segments of 2 s), whitening by
 * FFT, matched filter.
 *
 * All in f64: strain has a deviation of 1e-19 and its spectrum falls by ten orders. The spectrum
 * comes from the whole file, the event in it: a median hardly notices. Allen et al., Phys. Rev. D
 * 85, 122006 (2012), section III and appendix B.
 */
#include "strain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAND_LOW  30.0
#define BAND_HIGH 800.0

#define FILES(gps, release)                                                                        \
    {                                                                                              \
        "ligo/H-H1_LOSC_4_" release "-" gps "-32.hdf5",                                            \
            "ligo/L-L1_LOSC_4_" release "-" gps "-32.hdf5"                                         \
    }

const struct event gw_events[EVENTS] = {
    {"GW150914", FILES("1126259446", "V2"), "ligo/GW150914_4_template.hdf5", 16.44, {18.6, 13.2}},
    {"LVT151012", FILES("1128678884", "V2"), "ligo/LVT151012_4_template.hdf5", 16.44, {6.4, 6.0}},
    {"GW151226", FILES("1135136334", "V2"), "ligo/GW151226_4_template.hdf5", 16.65, {9.6, 7.2}},
    {"GW170104", FILES("1167559920", "V1"), "ligo/GW170104_4_template.hdf5", 16.60, {7.7, 9.4}},
};
const char *const gw_detectors[DETECTORS] = {"H1", "L1"};

/* ---- the noise ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { SEGMENT = FILE_RATE * SEGMENT_S, SEGMENTS = 2 * FILE_S / SEGMENT_S - 1 };

static double mean_of(int64_t n, const double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* |X|^2 of a segment under a Hann window, as density. work: [SEGMENT][2] */
static void periodogram(const struct app_fft *f, const double *x, double *work, double *density)
{
    const double mean = mean_of(SEGMENT, x),
                 power = 0.375 * SEGMENT; /* sum of the window's squares */
    for (int64_t i = 0; i < SEGMENT; i++) {
        work[2 * i] = (x[i] - mean) * 0.5 * (1 - cos(2 * M_PI * (double)i / SEGMENT));
        work[2 * i + 1] = 0;
    }
    app_fft_forward(f, work);
    for (int64_t k = 0; k < PSD_BINS; k++)
        density[k] = 2 * (work[2 * k] * work[2 * k] + work[2 * k + 1] * work[2 * k + 1]) /
                     (FILE_RATE * power);
}

/* The median of an exponential distribution is ln 2 of its mean. */
static bool estimate_psd(const double *x, double *psd)
{
    struct app_fft f;
    const bool planned = app_fft_open(&f, SEGMENT);
    double *all = malloc((size_t)(SEGMENTS * PSD_BINS + 2 * SEGMENT) * sizeof *all);
    const bool good = planned && all != NULL;
    for (int s = 0; good && s < SEGMENTS; s++)
        periodogram(&f, x + s * SEGMENT / 2, all + SEGMENTS * PSD_BINS, all + s * PSD_BINS);
    for (int64_t k = 0; good && k < PSD_BINS; k++) {
        double column[SEGMENTS];
        for (int s = 0; s < SEGMENTS; s++) column[s] = all[s * PSD_BINS + k];
        qsort(column, SEGMENTS, sizeof *column, ascending);
        psd[k] = column[SEGMENTS / 2] / M_LN2;
    }
    free(all);
    app_fft_close(&f);
    return good;
}

static double psd_at(const struct strain *s, double hz)
{
    const double at = hz * SEGMENT_S;
    const int64_t k = (int64_t)at;
    return k + 1 < PSD_BINS ? s->psd[k] + (at - (double)k) * (s->psd[k + 1] - s->psd[k])
                            : s->psd[PSD_BINS - 1];
}

void gw_whiten(const struct strain *s, const struct app_fft *f, int64_t rate, double *x)
{
    app_fft_forward(f, x);
    for (int64_t k = 0; k < f->n; k++) {
        const double hz = (double)(k <= f->n / 2 ? k : f->n - k) * (double)rate / (double)f->n;
        const bool in = hz >= BAND_LOW && hz <= BAND_HIGH;
        const double by = in ? sqrt(2 / (psd_at(s, hz) * (double)rate)) : 0;
        x[2 * k] *= by;
        x[2 * k + 1] *= by;
    }
    app_fft_inverse(f, x);
}

/* ---- a file ---- */

enum { SAMPLES = FILE_RATE * FILE_S };

/* The ends fade within a second, else they ring. */
static double taper(int64_t i)
{
    const int64_t far = i < SAMPLES - 1 - i ? i : SAMPLES - 1 - i;
    return far >= FILE_RATE ? 1 : 0.5 * (1 - cos(M_PI * (double)far / FILE_RATE));
}

/* x whitened at the file's rate: [SAMPLES][2]. */
static void whiten_file(const struct strain *s, const struct app_fft *f, const double *x,
                        double *out)
{
    const double mean = mean_of(SAMPLES, x);
    for (int64_t i = 0; i < SAMPLES; i++) {
        out[2 * i] = taper(i) * (x[i] - mean);
        out[2 * i + 1] = 0;
    }
    gw_whiten(s, f, FILE_RATE, out);
}

/* x, [a->n][2], at another rate: y, [b->n][2]. The band fits into both, so the spectrum is moved from
 * one length to the other; the sum of squares stays. x is lost. */
static void resample(const struct app_fft *a, double *x, const struct app_fft *b, double *y)
{
    const int64_t half = (a->n < b->n ? a->n : b->n) / 2;
    const double by = sqrt((double)b->n / (double)a->n);
    app_fft_forward(a, x);
    memset(y, 0, (size_t)(2 * b->n) * sizeof *y);
    for (int64_t i = 0; i < 2 * half; i++) {
        y[i] = by * x[i];
        y[2 * (b->n - half) + i] = by * x[2 * (a->n - half) + i];
    }
    app_fft_inverse(b, y);
}

static bool make_white(struct strain *s, const double *x)
{
    struct app_fft file, own;
    const int64_t n = FILE_S * s->rate;
    const bool planned = app_fft_open(&file, SAMPLES), both = app_fft_open(&own, n);
    double *work = malloc((size_t)(2 * SAMPLES + 2 * n) * sizeof *work);
    s->white = malloc((size_t)n * sizeof *s->white);
    const bool good = planned && both && work != NULL && s->white != NULL;
    if (good) {
        double *y = work + 2 * SAMPLES;
        whiten_file(s, &file, x, work);
        resample(&file, work, &own, y);
        for (int64_t i = 0; i < n; i++) s->white[i] = y[2 * i];
    }
    free(work);
    app_fft_close(&file);
    app_fft_close(&own);
    return good;
}

static sunup_status expect(sunup_context *ctx, const char *file, const sunup_tensor *t,
                           sunup_dtype dtype, int64_t n)
{
    int64_t has = 1;
    for (int i = 0; i < t->shape.n; i++) has *= t->shape.d[i];
    if (t->dtype == dtype && has == n) return SUNUP_OK;
    return app_error(ctx, SUNUP_E_SHAPE,
                     "%s: %lld numbers of another type or count than the %lld expected", file,
                     (long long)has, (long long)n);
}

sunup_status gw_strain_read(sunup_context *ctx, const struct event *e, int detector, int64_t rate,
                            struct strain *s)
{
    *s = (struct strain){.event = e, .detector = detector, .rate = rate};
    sunup_tensor t;
    sunup_status status = app_read(ctx, e->file[detector], "strain/Strain", &t);
    if (status != SUNUP_OK) return status;
    status = expect(ctx, e->file[detector], &t, SUNUP_F64, SAMPLES);
    if (status == SUNUP_OK && !(estimate_psd(t.data, s->psd) && make_white(s, t.data)))
        status = app_error(ctx, SUNUP_E_MEMORY, "no memory to whiten %s", e->file[detector]);
    sunup_free(t.data);
    return status;
}

int gw_strain_number(const struct strain *s)
{
    return (int)(s->event - gw_events) * DETECTORS + s->detector;
}

void gw_strain_end(struct strain *s)
{
    free(s->white);
    s->white = NULL;
}

/* ---- matched filter ---- */

/* out <- correlation of x with the conjugate of h, both [n][2]; h is lost. */
static void correlate(const struct app_fft *f, double *h, double *x)
{
    app_fft_forward(f, h);
    app_fft_forward(f, x);
    for (int64_t k = 0; k < f->n; k++) {
        const double re = x[2 * k] * h[2 * k] + x[2 * k + 1] * h[2 * k + 1];
        x[2 * k + 1] = x[2 * k + 1] * h[2 * k] - x[2 * k] * h[2 * k + 1];
        x[2 * k] = re;
    }
    app_fft_inverse(f, x);
}

static int64_t peak_of(const double *h)
{
    int64_t best = 0;
    for (int64_t i = 0; i < SAMPLES; i++)
        if (hypot(h[2 * i], h[2 * i + 1]) > hypot(h[2 * best], h[2 * best + 1])) best = i;
    return best;
}

static double loudest(const struct strain *s, const struct app_fft *f, double *h, double *x)
{
    const int64_t peak = peak_of(h);
    gw_whiten(s, f, FILE_RATE, h);
    double norm = 0;
    for (int64_t i = 0; i < 2 * SAMPLES; i++) norm += h[i] * h[i] / 2; /* of one polarisation */
    correlate(f, h, x);
    double best = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        const double at = (double)((i + peak) % SAMPLES) / FILE_RATE;
        if (fabs(at - s->event->at_s) < 0.1) best = fmax(best, hypot(x[2 * i], x[2 * i + 1]));
    }
    return best / sqrt(norm);
}

/* The white strain at the file's rate. */
static bool at_file_rate(const struct strain *s, const struct app_fft *file, double *x)
{
    struct app_fft own;
    const bool planned = app_fft_open(&own, FILE_S * s->rate);
    double *y = calloc((size_t)(2 * FILE_S * s->rate), sizeof *y);
    const bool good = planned && y != NULL;
    for (int64_t i = 0; good && i < own.n; i++) y[2 * i] = s->white[i];
    if (good) resample(&own, y, file, x);
    free(y);
    app_fft_close(&own);
    return good;
}

sunup_status gw_matched_snr(sunup_context *ctx, const struct strain *s, double *snr)
{
    sunup_tensor t;
    sunup_status status = app_read_f32(ctx, s->event->template_file, "template", &t);
    if (status != SUNUP_OK) return status;
    status = expect(ctx, s->event->template_file, &t, SUNUP_F32, 2 * SAMPLES);
    struct app_fft f;
    const bool planned = app_fft_open(&f, SAMPLES);
    double *h = malloc(4 * SAMPLES * sizeof *h);
    double *x = h != NULL ? h + 2 * SAMPLES : NULL;
    if (status == SUNUP_OK && planned && h != NULL && at_file_rate(s, &f, x)) {
        for (int64_t i = 0; i < 2 * SAMPLES; i++)
            h[2 * (i % SAMPLES) + i / SAMPLES] = (double)((const float *)t.data)[i];
        *snr = loudest(s, &f, h, x);
    } else if (status == SUNUP_OK) {
        status = app_error(ctx, SUNUP_E_MEMORY, "no memory for a matched filter");
    }
    free(h);
    app_fft_close(&f);
    sunup_free(t.data);
    return status;
}
