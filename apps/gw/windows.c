/* windows.c - drawing windows, adding signals, and sweeping over the real events. */
#include "windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE_EVENT_S 2.0
#define AFTER_EVENT_S  0.3
enum { SIGNAL_S = 4 };

/* ---- the strains ---- */

/* Is name one of those in "a+b+c"? */
static bool named(const char *events, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = events; *at != '\0'; at += strcspn(at, "+"), at += *at == '+')
        if (strcspn(at, "+") == n && strncmp(at, name, n) == 0) return true;
    return strcmp(events, "all") == 0;
}

/* Every part of the text must be an event. */
static sunup_status check_names(sunup_context *ctx, const char *events)
{
    int parts = 1, known = 0;
    for (const char *at = events; *at != '\0'; at++) parts += *at == '+';
    for (int e = 0; e < EVENTS; e++) known += named(events, gw_events[e].name);
    if (strcmp(events, "all") == 0 || parts == known) return SUNUP_OK;
    return app_error(
        ctx, SUNUP_E_ARGUMENT,
        "gw: '%s' must be names of events with + between: GW150914, LVT151012, GW151226, GW170104, "
        "each once; or all",
        events);
}

static sunup_status read_strains(struct windows *w, const char *events)
{
    sunup_status status = check_names(w->ctx, events);
    for (int i = 0; i < EVENTS * DETECTORS && status == SUNUP_OK; i++) {
        const struct event *e = &gw_events[i / DETECTORS];
        if (!named(events, e->name)) continue;
        status = gw_strain_read(w->ctx, e, i % DETECTORS, w->rate, &w->strain[w->n++]);
    }
    return status;
}

sunup_status gw_windows_open(sunup_context *ctx, const char *events, int64_t rate,
                             struct windows **windows)
{
    *windows = NULL;
    if (rate != 2048 && rate != 4096 && rate != 8192)
        return app_error(ctx, SUNUP_E_ARGUMENT,
                         "gw: rate is %lld Hz; there are 2048, 4096 and 8192", (long long)rate);
    struct windows *w = calloc(1, sizeof *w);
    if (w == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for windows of strain");
    *w = (struct windows){.ctx = ctx, .rate = rate};
    sunup_status status = read_strains(w, events);
    if (status == SUNUP_OK && !app_fft_open(&w->fft, SIGNAL_S * rate))
        status = app_error(ctx, SUNUP_E_MEMORY, "no memory for a transform of %d s", SIGNAL_S);
    if (status == SUNUP_OK)
        *windows = w;
    else
        gw_windows_end(w);
    return status;
}

void gw_windows_end(void *arg)
{
    struct windows *w = arg;
    if (w == NULL) return;
    for (int i = 0; i < w->n; i++) gw_strain_end(&w->strain[i]);
    app_fft_close(&w->fft);
    free(w);
}

/* ---- a sample ---- */

/* The first sample of a window of noise: before or after the event. */
static int64_t draw_start(const struct windows *w, const struct strain *s, struct app_random *r)
{
    const double before = s->event->at_s - BEFORE_EVENT_S - 1 - GW_END_S;
    const double after = FILE_S - GW_END_S - 1 - (s->event->at_s + AFTER_EVENT_S);
    const double t = app_uniform(r, 0, before + after);
    const double start = t < before ? GW_END_S + t : s->event->at_s + AFTER_EVENT_S + (t - before);
    return (int64_t)(start * (double)w->rate);
}

void gw_windows_signal(const struct windows *w, int k, const struct chirp *c, double *out)
{
    gw_chirp(c, w->rate, w->fft.n, GW_MERGER_S * (double)w->rate, out);
    gw_whiten(&w->strain[k], &w->fft, w->rate, out);
}

/* From 5 times the ratio in the first epoch to 1 when the curriculum ends. */
static double easier(const struct windows *w, int64_t epoch)
{
    const double left = w->curriculum > 0 ? 1 - (double)epoch / w->curriculum : 0;
    return left > 0 ? 1 + 4 * left : 1;
}

/* Adds a signal to x; its ratio, or -1 without memory. */
static double add_signal(const struct windows *w, int k, double ease, struct app_random *r,
                         double *x)
{
    double *h = malloc((size_t)(2 * w->fft.n) * sizeof *h);
    if (h == NULL) return -1;
    const struct chirp c = {app_uniform(r, 10, 50), app_uniform(r, 10, 50),
                            app_uniform(r, 0, 2 * M_PI), w->isco};
    const double snr = ease * app_uniform(r, w->snr_min, w->snr_max);
    const double at = GW_MERGER_S - app_uniform(r, GW_EARLIEST_S, GW_LATEST_S);
    const double *from = h + 2 * (int64_t)(at * (double)w->rate);
    gw_windows_signal(w, k, &c, h);
    double sum = 0;
    for (int64_t i = 0; i < w->rate; i++) sum += from[2 * i] * from[2 * i];
    for (int64_t i = 0; i < w->rate; i++) x[i] += snr / sqrt(sum) * from[2 * i];
    free(h);
    return snr;
}

/* To mean 0 and variance 1; the deviation that it had. */
static double standardise(int64_t n, const double *x, float *out)
{
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (int64_t i = 0; i < n; i++) out[i] = (float)((x[i] - mean) / sqrt(square));
    return sqrt(square);
}

static void deliver(const struct windows *w, const double *x, int k, double snr, void *const *y)
{
    *(float *)y[FIELD_DEVIATION] = (float)standardise(w->rate, x, y[FIELD_X]);
    *(int32_t *)y[FIELD_LABEL] = snr > 0;
    *(float *)y[FIELD_SNR] = (float)snr;
    ((int32_t *)y[FIELD_STRAIN])[0] = gw_strain_number(&w->strain[k]);
    ((int32_t *)y[FIELD_STRAIN])[1] = (int32_t)w->rate;
}

/* Even samples are noise, odd ones hold a signal; half of all is turned upside down. */
static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    const struct windows *w = arg;
    struct app_random r = app_random(w->seed, "strain", epoch, sample);
    const int k = (int)app_below(&r, w->n);
    const double *from = w->strain[k].white + draw_start(w, &w->strain[k], &r);
    const double sign = app_below(&r, 2) == 0 ? 1 : -1;
    double *x = malloc((size_t)w->rate * sizeof *x);
    if (x == NULL) return false;
    for (int64_t i = 0; i < w->rate; i++) x[i] = sign * from[i];
    const double snr = sample % 2 == 1 ? add_signal(w, k, easier(w, epoch), &r, x) : 0;
    if (snr >= 0) deliver(w, x, k, snr, y);
    free(x);
    return snr >= 0;
}

static sunup_status as_data(struct windows *w, int64_t samples, const sunup_sampler *sampler,
                            sunup_data **data)
{
    const sunup_tensor fields[FIELDS] = {{"x", SUNUP_F32, SUNUP_SHAPE(w->rate, 1), NULL},
                                         {"label", SUNUP_I32, SUNUP_SCALAR, NULL},
                                         {"snr", SUNUP_F32, SUNUP_SHAPE(1), NULL},
                                         {"deviation", SUNUP_F32, SUNUP_SHAPE(1), NULL},
                                         {"strain", SUNUP_I32, SUNUP_SHAPE(2), NULL}};
    return sunup_data_from_sampler(w->ctx, FIELDS, fields, samples, sampler, data);
}

sunup_status gw_windows_data(struct windows *w, int64_t samples, sunup_data **data)
{
    const sunup_sampler sampler = {fill, gw_windows_end, w};
    return as_data(w, samples, &sampler, data);
}

/* ---- the events themselves ---- */

struct sweep {
    struct windows *w;
    int64_t count;
    double step_s;
};

static void end_sweep(void *arg)
{
    struct sweep *s = arg;
    gw_windows_end(s->w);
    free(s);
}

static bool fill_sweep(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    (void)epoch;
    const struct sweep *s = arg;
    const struct windows *w = s->w;
    const int k = (int)(sample / s->count);
    const double after = (double)(sample % s->count - s->count / 2) * s->step_s;
    const double start = w->strain[k].event->at_s + after - GW_EXPECTED_S;
    deliver(w, w->strain[k].white + (int64_t)(start * (double)w->rate), k, 0, y);
    return true;
}

sunup_status gw_sweep_data(struct windows *w, int64_t count, double step_s, sunup_data **data)
{
    struct sweep *s = malloc(sizeof *s);
    if (s == NULL) {
        const sunup_status status = app_error(w->ctx, SUNUP_E_MEMORY, "no memory for a sweep");
        gw_windows_end(w);
        return status;
    }
    *s = (struct sweep){w, count, step_s};
    const sunup_sampler sampler = {fill_sweep, end_sweep, s};
    return as_data(w, w->n * count, &sampler, data);
}
