/* winograd_grad_check.c - problems of the weight gradient's transforms. taps 3 or 5; dy: tiles,
 * channels c, where points are (winograd_lines.h), pad; dw: n and pad.
 *
 * The size of an element is the transform of absolute values by absolute matrices.
 */
#include <math.h>

#include "kernels/check.h"
#include "kernels/ref/winograd_lines.h"

/* |powers| of the points, and of G's scales; a value at infinity is the last coefficient's. */
#define A 0.70710678118654752440
#define B 1.4142135623730950488
static const double powers[6][5] = {{1, 0, 0, 0, 0},          {1, A, 0.5, A / 2, 0.25},
                                    {1, A, 0.5, A / 2, 0.25}, {1, B, 2.0, 2 * B, 4.0},
                                    {1, B, 2.0, 2 * B, 4.0},  {0, 0, 0, 0, 0}};
static const double scales[6] = {1, 2 / 3.0, 2 / 3.0, 1 / 6.0, 1 / 6.0, 1};

/* |A| [6][side], or |G^T| [taps][6]. */
static void dy_matrix(int side, double matrix[6][6])
{
    for (int p = 0; p < 6; p++) {
        for (int e = 0; e < side; e++)
            matrix[p][e] = p == 5 ? (double)(e == side - 1) : powers[p][e];
    }
}

static void dw_matrix(int taps, double matrix[6][6])
{
    for (int p = 0; p < 6; p++) {
        for (int e = 0; e < taps; e++)
            matrix[e][p] = p == 5 ? (double)(e == taps - 1) : scales[p] * powers[p][e];
    }
}

/* |matrix| [to][from] from both sides of |in|. */
static void size_of(int from, int to, double (*matrix)[6], const double *in, double *out)
{
    for (int i = 0; i < to * to; i++) {
        out[i] = 0;
        for (int e = 0; e < from * from; e++) {
            const double m = matrix[i / to][e / from] * matrix[i % to][e % from];
            if (m != 0) out[i] += m * fabs(in[e]);
        }
    }
}

static void size_of_dy(const struct winograd_input_f64 *t, double *size)
{
    const int side = 7 - (int)t->taps;
    double matrix[6][6];
    dy_matrix(side, matrix);
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        double in[16], out[36];
        for (int e = 0; e < side * side; e++) {
            const int64_t row = t->row[e / side], column = t->column[side * tile + e % side];
            in[e] = row < 0 || column < 0 ? 0 : t->x[row + column + c];
        }
        size_of(side, 6, matrix, in, out);
        for (int f = 0; f < 36; f++) size[tile * t->v_tile + f * t->v_frequency + c] = out[f];
    }
}

static void run_dy(struct check *c)
{
    const int64_t tiles = sunup__check_number(c, "tiles", 1), n = sunup__check_number(c, "c", 1);
    const int64_t taps = sunup__check_number(c, "taps", 3), side = 7 - taps;
    const int64_t pad = sunup__check_number(c, "pad", 0), point = n + pad;
    const int64_t frequency = tiles * point + pad;
    const struct winograd_lines l = winograd_lines(c, side, side * tiles, side, point);
    const struct operand x = sunup__check_in(c, "dy", l.elements, FILL_ANY);
    const struct operand v = sunup__check_out(c, "v", 36 * frequency, FILL_ANY);
    const struct winograd_input_f32 t = {taps,     tiles, n,     x.f32, l.row,
                                         l.column, point, v.f32, point, frequency};
    const struct winograd_input_f64 t64 = {taps,     tiles, n,     x.f64, l.row,
                                           l.column, point, v.f64, point, frequency};
    if (!l.column) return;
    const double elements = (double)(tiles * n);
    sunup__check_cost(c, 80 * elements, 4 * (double)(side * side + 36) * elements);
    CHECK_RUN(c) c->f32->winograd_grad_dy(&t);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_grad_dy(&t64);
    double *size = sunup__check_absolute(c, &v); /* gaps keep what they had */
    if (size) size_of_dy(&t64, size);
    sunup__check_close(c, &v, size, 20);
}

static void run_dw(struct check *c)
{
    const int64_t n = sunup__check_number(c, "n", 1), pitch = n + sunup__check_number(c, "pad", 0);
    const int64_t taps = sunup__check_number(c, "taps", 3), area = taps * taps;
    const struct operand u = sunup__check_in(c, "u", 36 * pitch, FILL_ANY),
                         dw = sunup__check_out(c, "dw", area * pitch, FILL_ANY);
    sunup__check_cost(c, 100 * (double)n, 4 * (double)((36 + area) * n));
    CHECK_RUN(c) c->f32->winograd_grad_dw(taps, n, u.f32, pitch, dw.f32, pitch);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_grad_dw(taps, n, u.f64, pitch, dw.f64, pitch);
    double *size = sunup__check_absolute(c, &dw), matrix[6][6];
    dw_matrix((int)taps, matrix);
    for (int64_t i = 0; i < n && size; i++) {
        double in[36], out[25];
        for (int f = 0; f < 36; f++) in[f] = u.f64[f * pitch + i];
        size_of(6, (int)taps, matrix, in, out);
        for (int e = 0; e < area; e++) size[e * pitch + i] = out[e];
    }
    sunup__check_close(c, &dw, size, 24);
}

static const char *const dy_problems[] = {"tiles0c3",
                                          "tiles1c0",
                                          "tiles1c1",
                                          "tiles1c3w2:before1,zeros5",
                                          "tiles2c16w8",
                                          "tiles3c17w10:pad3",
                                          "tiles2c40w5:zeros8,pad1",
                                          "tiles3c70w12",
                                          "tiles3c150w11:before1",
                                          "tiles7c64w28",
                                          "tiles5c16w5:maps4,pitch6",
                                          "tiles4c150w2:maps4,pitch4,zeros2",
                                          "tiles3c5w1:maps5,pitch2",
                                          "taps5tiles1c3w2:before1,zeros1",
                                          "taps5tiles5c40w9:zeros2,pad1",
                                          "taps5tiles3c150w5:before1",
                                          "taps5tiles7c64w14",
                                          "taps5tiles6c40w5:maps2,pitch7",
                                          NULL};
static const char *const dw_problems[] = {
    "n0",       "n1",          "n3pad1",        "n16",           "n17pad5", "n33pad16",
    "n64pad48", "taps5n3pad1", "taps5n33pad16", "taps5n64pad48", NULL};
const struct leaf_check sunup__check_winograd_grad_dy = {"winograd_grad_dy", dy_problems, run_dy};
const struct leaf_check sunup__check_winograd_grad_dw = {"winograd_grad_dw", dw_problems, run_dw};
