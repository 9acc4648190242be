/* fft.c - Cooley and Tukey (1965): bit reversal, then butterflies of doubling span; roots are
 * computed one by one, so errors stay at a few units of the last place. */
#include "fft.h"

#include <math.h>
#include <stdlib.h>

bool app_fft_open(struct app_fft *f, int64_t n)
{
    *f = (struct app_fft){.n = n};
    if (n < 1 || (n & (n - 1)) != 0) return false;
    f->root = malloc((size_t)(n < 2 ? 2 : n) * sizeof(double));
    if (f->root == NULL) return false;
    for (int64_t k = 0; k < n / 2; k++) {
        const double angle = -2 * M_PI * (double)k / (double)n;
        f->root[2 * k] = cos(angle);
        f->root[2 * k + 1] = sin(angle);
    }
    return true;
}

void app_fft_close(struct app_fft *f)
{
    free(f->root);
    *f = (struct app_fft){0};
}

static void swap(double *x, int64_t i, int64_t j)
{
    for (int c = 0; c < 2; c++) {
        const double kept = x[2 * i + c];
        x[2 * i + c] = x[2 * j + c];
        x[2 * j + c] = kept;
    }
}

static void reverse_bits(int64_t n, double *x)
{
    for (int64_t i = 0, j = 0; i < n; i++) {
        if (i < j) swap(x, i, j);
        int64_t bit = n / 2;
        for (; bit > 0 && (j & bit) != 0; bit /= 2) j ^= bit;
        j |= bit;
    }
}

/* a, b <- a + w b, a - w b */
static void butterfly(double *a, double *b, double re, double im)
{
    const double u = re * b[0] - im * b[1], v = re * b[1] + im * b[0];
    b[0] = a[0] - u;
    b[1] = a[1] - v;
    a[0] += u;
    a[1] += v;
}

static void transform(const struct app_fft *f, double sign, double *x)
{
    reverse_bits(f->n, x);
    for (int64_t half = 1; half < f->n; half *= 2) {
        const int64_t stride = f->n / (2 * half);
        for (int64_t at = 0; at < f->n; at += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                const double *w = &f->root[2 * k * stride];
                butterfly(&x[2 * (at + k)], &x[2 * (at + k + half)], w[0], sign * w[1]);
            }
    }
}

void app_fft_forward(const struct app_fft *f, double *x)
{
    transform(f, 1, x);
}

void app_fft_inverse(const struct app_fft *f, double *x)
{
    transform(f, -1, x);
    for (int64_t i = 0; i < 2 * f->n; i++) x[i] /= (double)f->n;
}
