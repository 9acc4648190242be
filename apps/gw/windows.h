/* windows.h - seconds of whitened strain of one detector, half of them with a chirp added: what the
 * network learns from.
 *
 * Noise: a second anywhere in the first or last part of a file, none from 2 s before to 0.3 s after
 * the event. Signal: two masses of 10 to 50, any phase, the merger 0.75 to 0.95 s into the window,
 * scaled to the signal-to-noise ratio that the window holds. Everything follows from (seed, epoch,
 * sample).
 */
#ifndef SUNUP_APPS_GW_WINDOWS_H
#define SUNUP_APPS_GW_WINDOWS_H

#include "chirp.h"

#define GW_EARLIEST_S 0.75
#define GW_LATEST_S   0.95
#define GW_EXPECTED_S 0.85 /* where a window that asks about a given time has it */

/* The fields of a sample: the window to variance 1; 1 if there is a signal; its ratio, else 0; the
 * deviation that the window had; the number of its strain and its rate. */
enum { FIELD_X, FIELD_LABEL, FIELD_SNR, FIELD_DEVIATION, FIELD_STRAIN, FIELDS };

struct windows {
    sunup_context *ctx;
    int n; /* strains */
    struct strain strain[EVENTS * DETECTORS];
    struct app_fft fft; /* of 4 s */
    int64_t rate;       /* Hz; also samples of a window */
    uint64_t seed;
    double snr_min, snr_max, curriculum; /* epochs until the faintest signals come */
    bool isco;
};

/* events: names with + between, or "all". *w is freed by gw_windows_end. */
sunup_status gw_windows_open(sunup_context *ctx, const char *events, int64_t rate,
                             struct windows **w);
void gw_windows_end(void *w);
/* *data takes w over, even if it fails. */
sunup_status gw_windows_data(struct windows *w, int64_t samples, sunup_data **data);

/* out: [4 s][2], both polarisations whitened by the noise of strain k, the merger at GW_MERGER_S.
 * */
#define GW_MERGER_S 3.2
void gw_windows_signal(const struct windows *w, int k, const struct chirp *c, double *out);

/* Windows in steps of step_s round each event: sample i is of strain i / count, and expects a
 * merger (i % count - count / 2) * step_s after the event. Takes w over. */
sunup_status gw_sweep_data(struct windows *w, int64_t count, double step_s, sunup_data **data);

#endif
