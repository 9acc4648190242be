/* peaks.h - simulated Bragg peaks on 11 x 11 pixels, and the two ways to find one without a network. */
#ifndef SUNUP_BRAGGNN_PEAKS_H
#define SUNUP_BRAGGNN_PEAKS_H

#include "app.h"

enum { SIDE = 11, PIXELS = SIDE * SIDE };

/* A pseudo-Voigt peak: amplitude (eta Lorentz + (1 - eta) Gauss) over elliptical contours of full widths w[0], w[1] at
 * half height, the first axis turned by `angle` from the columns. at: column, row, in pixels. */
struct peak {
    double at[2], w[2], angle, eta, amplitude;
};
double peak_value(const struct peak *p, double column, double row);

/* hard: faint peaks, some with neighbours; else bright single ones, on which the centre of mass does well. */
struct peaks {
    uint64_t seed;
    bool hard;
};
/* counts: [PIXELS], row by row, Poisson distributed; centre: column, row. */
void peaks_draw(const struct peaks *s, int64_t epoch, int64_t sample, float *counts, double centre[2]);
/* To 0 .. 1 by minimum and maximum. */
void peaks_normalise(const float *counts, float *x);

/* Of what is above the minimum. */
void peaks_centre_of_mass(const float *counts, double centre[2]);
/* Least squares of one peak over a flat background, weighted by the counts' variances (Levenberg-Marquardt). */
void peaks_fit(const float *counts, double centre[2]);

#endif
