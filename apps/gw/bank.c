/* bank.c - templates are cut to the second of a window whose merger comes at GW_EXPECTED_S, as
 * complex numbers (plus and cross), so the phase is maximised by taking the modulus. */
#include "bank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One template's conjugate spectrum, for a sum over plus of 1. signal: [4 s][2] */
static void make_template(const struct bank *b, const double *signal, double *out)
{
    const int64_t from = (int64_t)((GW_MERGER_S - GW_EXPECTED_S) * (double)b->rate);
    double sum = 0;
    for (int64_t i = 0; i < 2 * b->rate; i++)
        sum += signal[2 * from + i] * signal[2 * from + i] / 2;
    memset(out, 0, (size_t)(4 * b->rate) * sizeof *out);
    for (int64_t i = 0; i < 2 * b->rate; i++) out[i] = signal[2 * from + i] / sqrt(sum);
    app_fft_forward(&b->fft, out);
    for (int64_t i = 0; i < 2 * b->rate; i++) out[2 * i + 1] = -out[2 * i + 1];
}

static bool make_templates(const struct windows *w, int k, struct bank *b)
{
    double *signal = malloc((size_t)(2 * w->fft.n) * sizeof *signal);
    double **to = &b->spectrum[gw_strain_number(&w->strain[k])];
    *to = malloc((size_t)(TEMPLATES * 4 * b->rate) * sizeof **to);
    const bool good = signal != NULL && *to != NULL;
    for (int t = 0; good && t < TEMPLATES; t++) {
        const double m = 10 * pow(5, (double)t / (TEMPLATES - 1));
        const struct chirp c = {m, m, 0, w->isco};
        gw_windows_signal(w, k, &c, signal);
        make_template(b, signal, *to + t * 4 * b->rate);
    }
    free(signal);
    return good;
}

sunup_status gw_bank_open(sunup_context *ctx, const struct windows *w, struct bank *b)
{
    *b = (struct bank){.rate = w->rate};
    b->work = malloc((size_t)(8 * w->rate) * sizeof *b->work);
    bool good = app_fft_open(&b->fft, 2 * w->rate) && b->work != NULL;
    for (int k = 0; good && k < w->n; k++) good = make_templates(w, k, b);
    return good ? SUNUP_OK
                : app_error(ctx, SUNUP_E_MEMORY, "no memory for a bank of %d templates", TEMPLATES);
}

void gw_bank_end(struct bank *b)
{
    for (int i = 0; i < EVENTS * DETECTORS; i++) free(b->spectrum[i]);
    free(b->work);
    app_fft_close(&b->fft);
}

/* The largest modulus at lags of a merger that comes early or late; lags below 0 are at the end. */
static double largest(const struct bank *b, const double *z)
{
    const int64_t early = (int64_t)((GW_EARLIEST_S - GW_EXPECTED_S) * (double)b->rate);
    const int64_t late = (int64_t)((GW_LATEST_S - GW_EXPECTED_S) * (double)b->rate),
                  n = 2 * b->rate;
    double best = 0;
    for (int64_t lag = early; lag <= late; lag++) {
        const double *at = z + 2 * ((lag + n) % n);
        best = fmax(best, at[0] * at[0] + at[1] * at[1]);
    }
    return sqrt(best);
}

double gw_bank_snr(const struct bank *b, int strain, const float *x, double deviation)
{
    double *z = b->work, *out = z + 4 * b->rate, best = 0;
    memset(z, 0, (size_t)(4 * b->rate) * sizeof *z);
    for (int64_t i = 0; i < b->rate; i++) z[2 * i] = deviation * (double)x[i];
    app_fft_forward(&b->fft, z);
    for (int t = 0; t < TEMPLATES; t++) {
        const double *h = b->spectrum[strain] + t * 4 * b->rate;
        for (int64_t i = 0; i < 4 * b->rate; i += 2) {
            out[i] = z[i] * h[i] - z[i + 1] * h[i + 1];
            out[i + 1] = z[i] * h[i + 1] + z[i + 1] * h[i];
        }
        app_fft_inverse(&b->fft, out);
        best = fmax(best, largest(b, out));
    }
    return best;
}
