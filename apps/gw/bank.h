/* bank.h - the classical search to stand beside the network: a matched filter with a bank of
 * chirps. */
#ifndef SUNUP_APPS_GW_BANK_H
#define SUNUP_APPS_GW_BANK_H

#include "windows.h"

enum { TEMPLATES = 16 }; /* equal masses, 10 to 50, evenly spaced in their logarithm */

struct bank {
    int64_t rate;
    struct app_fft fft; /* of 2 s */
    double *spectrum
        [EVENTS *
         DETECTORS]; /* by the strain's number: [TEMPLATES][2 * rate][2]; NULL: not asked for */
    double *work;    /* [2][2 * rate][2] */
};

sunup_status gw_bank_open(sunup_context *ctx, const struct windows *w, struct bank *b);
void gw_bank_end(struct bank *b);
/* The largest SNR over templates and mergers GW_EARLIEST_S to GW_LATEST_S into the window x [rate],
 * whose deviation was `deviation`, in the noise of that strain. */
double gw_bank_snr(const struct bank *b, int strain, const float *x, double deviation);

#endif
