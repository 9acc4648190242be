/* winograd_ref.c - the transforms of convolution by F(4x4, 3x3), 36 instead of 144 products for a
 * tile of 4x4 results, and by F(2x2, 5x5), 36 instead of 100 for one of 2x2.
 *
 *   y = A^T ((G w G^T) * (B^T x B)) A     x 6x6, w r x r, y m x m, m + r - 1 = 6,
 *                                         * element by element
 *
 * Interpolation (Toom-Cook) at 0, a, -a, b, -b and infinity with a = sqrt(1/2), b = sqrt(2). As a^2
 * and b^2 are 1/2 and 2, all coefficients but a and b themselves are short, the operations as few
 * as with the usual points 0, 1, -1, 2, -2, and the error is lower: the largest of a test with 32
 * to 256 channels of random numbers is 3 to 6 times lower.
 * G and A are powers of the points, A m columns of them and G r, with a scale for each row of G; B
 * depends on the points alone. Lavin and Gray, "Fast algorithms for convolutional neural
 * networks", 2016, is the source of the method. Number of an element of 6x6: 6 i + j, i along H.
 */
#include "kernels/ref/winograd_points.h"

static const REAL A = RC(WINOGRAD_A), B = RC(WINOGRAD_B);

/* B^T d, of six numbers `step` apart, in place. */
static void to_points(REAL *d, int step)
{
    const REAL d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
               d5 = d[5 * step];
    const REAL even_a = d4 - 2 * d2, odd_a = A * (d3 - 2 * d1);
    const REAL even_b = d4 - d2 / 2, odd_b = B * (d3 - d1 / 2);
    d[0] = d0 + d4 - RC(2.5) * d2;
    d[step] = even_a + odd_a;
    d[2 * step] = even_a - odd_a;
    d[3 * step] = even_b + odd_b;
    d[4 * step] = even_b - odd_b;
    d[5 * step] = d1 + d5 - RC(2.5) * d3;
}

/* G w. */
static void taps_to_points(int taps, const REAL *w, int step, REAL u[6])
{
    winograd_values(taps, w, step, u);
    for (int p = 0; p < 4; p++) u[p + 1] *= winograd_scales[p];
}

void NAME(ref_winograd_input)(const struct NAME(winograd_input) * t)
{
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        REAL d[36];
        for (int e = 0; e < 36; e++) {
            const int64_t row = t->row[e / 6], column = t->column[(7 - t->taps) * tile + e % 6];
            d[e] = row < 0 || column < 0 ? 0 : t->x[row + column + c];
        }
        for (int j = 0; j < 6; j++) to_points(d + j, 6);
        for (int j = 0; j < 6; j++) to_points(d + 6 * j, 1);
        REAL *v = t->v + tile * t->v_tile + c;
        for (int f = 0; f < 36; f++) v[f * t->v_frequency] = d[f];
    }
}

void NAME(ref_winograd_weights)(const struct NAME(winograd_weights) * t)
{
    const int n = (int)t->taps;
    for (int64_t i = 0; i < t->rows * t->n; i++) {
        const int64_t row = i / t->n, c = i % t->n;
        const REAL *w = t->w + row * t->w_row + c;
        REAL *u = t->u + row * t->u_row + c;
        REAL taps[25], half[5][6], all[6];
        for (int e = 0; e < n * n; e++) taps[e] = w[e * t->w_tap];
        for (int j = 0; j < n; j++) taps_to_points(n, taps + j, n, half[j]);
        for (int f = 0; f < 36; f++) {
            if (f % 6 == 0) taps_to_points(n, &half[0][f / 6], 6, all);
            u[f * t->u_frequency] = all[f % 6];
        }
    }
}

void NAME(ref_winograd_output)(const struct NAME(winograd_output) * t)
{
    const int n = 7 - (int)t->taps;
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        const REAL *m = t->m + tile * t->m_tile + c;
        REAL all[6][6], half[4][6], y[16];
        for (int f = 0; f < 36; f++) all[f % 6][f / 6] = m[f * t->m_frequency];
        for (int j = 0; j < 6; j++) winograd_sums(n, all[j], &half[0][j], 6);
        for (int j = 0; j < n; j++) winograd_sums(n, half[j], y + n * j, 1);
        for (int e = 0; e < n * n; e++) {
            const int64_t row = t->row[e / n], column = t->column[n * tile + e % n];
            if (row < 0 || column < 0) continue;
            t->y[row + column + c] = y[e] + (t->bias ? t->bias[c] : 0);
        }
    }
}
