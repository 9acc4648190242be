/* fft.h - discrete Fourier transforms in f64 for simulators and loaders, for lengths that are
 * powers of two.
 *
 * Debian's KissFFT is single precision, which strain spans more than, and FFTW's licence is not ours:
 * so this is a plain radix-2 transform. A plan is read-only once made; any number of threads may use
 * it.
 */
#ifndef SUNUP_APPS_FFT_H
#define SUNUP_APPS_FFT_H

#include <stdbool.h>
#include <stdint.h>

struct app_fft {
    int64_t n;
    double *root; /* [n / 2][2]: exp(-2 pi i k / n) */
};

bool app_fft_open(struct app_fft *f, int64_t n); /* false: n is no power of two, or no memory */
void app_fft_close(struct app_fft *f);
/* x: [n][2], real and imaginary parts, in place. X[k] = sum_j x[j] exp(-2 pi i j k / n). */
void app_fft_forward(const struct app_fft *f, double *x);
/* Its inverse, 1/n and all. */
void app_fft_inverse(const struct app_fft *f, double *x);

#endif
