/* winograd_grad_ref.c - the weight gradients F(3x3, 4x4) and F(5x5, 2x2): dy to 36 frequencies, and
 * sums of products back to taps.
 *
 * y = A^T ((G w G^T) * (B^T x B)) A of winograd_ref.c is trilinear in w, x and what y is multiplied
 * by, so dw = G^T (sum over tiles of (B^T x B) * (A dy A^T)) G with the same matrices, and x goes
 * through the same winograd_input (Winograd, "Arithmetic complexity of computations", 1980,
 * transposition principle).
 */
#include "kernels/ref/winograd_points.h"

/* G^T u, of six numbers to taps. */
static void to_taps(int taps, const REAL u[6], REAL *w, int step)
{
    REAL scaled[6] = {u[0], 0, 0, 0, 0, u[5]};
    for (int p = 0; p < 4; p++) scaled[p + 1] = winograd_scales[p] * u[p + 1];
    winograd_sums(taps, scaled, w, step);
}

void NAME(ref_winograd_grad_dy)(const struct NAME(winograd_input) * t)
{
    const int n = 7 - (int)t->taps;
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        REAL d[16], half[4][6], all[6];
        for (int e = 0; e < n * n; e++) {
            const int64_t row = t->row[e / n], column = t->column[n * tile + e % n];
            d[e] = row < 0 || column < 0 ? 0 : t->x[row + column + c];
        }
        for (int j = 0; j < n; j++) winograd_values(n, d + j, n, half[j]);
        for (int f = 0; f < 36; f++) {
            if (f % 6 == 0) winograd_values(n, &half[0][f / 6], 6, all);
            t->v[tile * t->v_tile + f * t->v_frequency + c] = all[f % 6];
        }
    }
}

void NAME(ref_winograd_grad_dw)(int64_t taps, int64_t n, const REAL *u, int64_t frequency, REAL *dw,
                                int64_t tap)
{
    const int side = (int)taps;
    for (int64_t c = 0; c < n; c++) {
        REAL all[6][6], half[5][6], w[25];
        for (int f = 0; f < 36; f++) all[f % 6][f / 6] = u[f * frequency + c];
        for (int j = 0; j < 6; j++) to_taps(side, all[j], &half[0][j], 6);
        for (int j = 0; j < side; j++) to_taps(side, half[j], w + side * j, 1);
        for (int e = 0; e < side * side; e++) dw[e * tap + c] = w[e];
    }
}
