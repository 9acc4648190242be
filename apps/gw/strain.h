/* strain.h - the public strain of four black-hole events, whitened, and what a matched filter finds
 * in it.
 *
 * Units of whitened strain: a signal h in noise of spectral density S has sum_t h(t)^2 = SNR^2
 * (optimal), whatever the rate; white noise over the full band would have unit variance a sample.
 */
#ifndef SUNUP_APPS_GW_STRAIN_H
#define SUNUP_APPS_GW_STRAIN_H

#include "app.h"
#include "fft.h"

enum {
    EVENTS = 4,
    DETECTORS = 2,
    FILE_RATE = 4096, /* Hz */
    FILE_S = 32,
    SEGMENT_S = 2, /* of the Welch estimate */
    PSD_BINS = FILE_RATE * SEGMENT_S / 2 + 1
};

struct event {
    const char *name;
    const char *file[DETECTORS], *template_file;
    double at_s;           /* seconds into the files */
    double snr[DETECTORS]; /* of the published tutorial's matched filter */
};
extern const struct event gw_events[EVENTS];
extern const char *const gw_detectors[DETECTORS];

struct strain {
    const struct event *event;
    int detector;
    double psd[PSD_BINS]; /* one-sided, 1/Hz, every 1/SEGMENT_S Hz */
    int64_t rate;         /* Hz, of white */
    double *white;        /* [FILE_S * rate]; the first and last GW_END_S are the filter's own */
};
#define GW_END_S 2.0

/* rate: a power of two above twice the band's 800 Hz. */
sunup_status gw_strain_read(sunup_context *ctx, const struct event *e, int detector, int64_t rate,
                            struct strain *s);
/* Among all: event * DETECTORS + detector. */
int gw_strain_number(const struct strain *s);
void gw_strain_end(struct strain *s);

/* x: [f->n][2], samples at `rate`, whitened and limited to 30-800 Hz in place. */
void gw_whiten(const struct strain *s, const struct app_fft *f, int64_t rate, double *x);

/* The largest SNR within 0.1 s of the event by the published template, both polarisations. */
sunup_status gw_matched_snr(sunup_context *ctx, const struct strain *s, double *snr);

#endif
