/* winograd_grad_ref.c - the weight gradient F(3x3, 4x4): dy to 36 frequencies, and sums of products
 * back to 3x3 taps.
 *
 * y = A^T ((G w G^T) * (B^T x B)) A of winograd_ref.c is trilinear in w, x and what y is multiplied
 * by, so dw = G^T (sum over tiles of (B^T x B) * (A dy A^T)) G with the same matrices, and x goes
 * through the same winograd_input (Winograd, "Arithmetic complexity of computations", 1980,
 * transposition principle).
 */
#include "kernels/ref/real.h"

static const REAL A = RC(0.70710678118654752440), B = RC(1.4142135623730950488);

/* A d, of four numbers to six. */
static void to_points(const REAL *d, int d_step, REAL *y, int y_step)
{
    const REAL d0 = d[0], d1 = d[d_step], d2 = d[2 * d_step], d3 = d[3 * d_step];
    const REAL even_a = d0 + d2 / 2, odd_a = A * (d1 + d3 / 2);
    const REAL even_b = d0 + 2 * d2, odd_b = B * (d1 + 2 * d3);
    y[0] = d0;
    y[y_step] = even_a + odd_a;
    y[2 * y_step] = even_a - odd_a;
    y[3 * y_step] = even_b + odd_b;
    y[4 * y_step] = even_b - odd_b;
    y[5 * y_step] = d3;
}

/* G^T u, of six numbers to three. */
static void to_taps(const REAL *u, int u_step, REAL *w, int w_step)
{
    const REAL u1 = u[u_step], u2 = u[2 * u_step], u3 = u[3 * u_step], u4 = u[4 * u_step];
    w[0] = u[0] - RC(2) / 3 * (u1 + u2) + RC(1) / 6 * (u3 + u4);
    w[w_step] = RC(2) / 3 * A * (u2 - u1) + RC(1) / 6 * B * (u3 - u4);
    w[2 * w_step] = RC(1) / 3 * (u3 + u4) - RC(1) / 3 * (u1 + u2) + u[5 * u_step];
}

void NAME(ref_winograd_grad_dy)(const struct NAME(winograd_input) * t)
{
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        REAL d[16], half[24], all[36];
        for (int e = 0; e < 16; e++) {
            const int64_t row = t->row[e / 4], column = t->first + 4 * tile + e % 4;
            const bool zero = row < 0 || column < 0 || column >= t->width;
            d[e] = zero ? 0 : t->x[row + column * t->x_point + c];
        }
        for (int j = 0; j < 4; j++) to_points(d + j, 4, half + j, 4);
        for (int j = 0; j < 6; j++) to_points(half + 4 * j, 1, all + 6 * j, 1);
        for (int f = 0; f < 36; f++) t->v[tile * t->v_tile + f * t->v_frequency + c] = all[f];
    }
}

void NAME(ref_winograd_grad_dw)(int64_t n, const REAL *u, int64_t frequency, REAL *dw, int64_t tap)
{
    for (int64_t c = 0; c < n; c++) {
        REAL all[36], half[18], taps[9];
        for (int f = 0; f < 36; f++) all[f] = u[f * frequency + c];
        for (int j = 0; j < 6; j++) to_taps(all + j, 6, half + j, 6);
        for (int j = 0; j < 3; j++) to_taps(half + 6 * j, 1, taps + 3 * j, 1);
        for (int e = 0; e < 9; e++) dw[e * tap + c] = taps[e];
    }
}
