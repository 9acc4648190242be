/* winograd_grad_check.c - problems of the weight gradient's transforms. dy: tiles, channels c,
 * width w, columns before the first, zeros (a bit for each row of zeros), pad; dw: n and pad.
 *
 * The size of an element is the transform of absolute values by absolute matrices.
 */
#include <math.h>

#include "kernels/check.h"

#define A 0.70710678118654752440
#define B 1.4142135623730950488
static const double dy_matrix[6][6] = {{1, 0, 0, 0},           {1, A, 1 / 2.0, A / 2},
                                       {1, A, 1 / 2.0, A / 2}, {1, B, 2, 2 * B},
                                       {1, B, 2, 2 * B},       {0, 0, 0, 1}};
static const double dw_matrix[6][6] = {{1, 2 / 3.0, 2 / 3.0, 1 / 6.0, 1 / 6.0, 0},
                                       {0, 2 * A / 3, 2 * A / 3, B / 6, B / 6, 0},
                                       {0, 1 / 3.0, 1 / 3.0, 1 / 3.0, 1 / 3.0, 1}};

/* |matrix| [to][from] from both sides of |in|. */
static void size_of(int from, int to, const double (*matrix)[6], const double *in, double *out)
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
    for (int64_t i = 0; i < t->tiles * t->channels; i++) {
        const int64_t tile = i / t->channels, c = i % t->channels;
        double in[16], out[36];
        for (int e = 0; e < 16; e++) {
            const int64_t row = t->row[e / 4], column = t->first + 4 * tile + e % 4;
            const bool zero = row < 0 || column < 0 || column >= t->width;
            in[e] = zero ? 0 : t->x[row + column * t->x_point + c];
        }
        size_of(4, 6, dy_matrix, in, out);
        for (int f = 0; f < 36; f++) size[tile * t->v_tile + f * t->v_frequency + c] = out[f];
    }
}

static void run_dy(struct check *c)
{
    const int64_t tiles = sunup__check_number(c, "tiles", 1), n = sunup__check_number(c, "c", 1);
    const int64_t width = sunup__check_number(c, "w", 4), pad = sunup__check_number(c, "pad", 0);
    const int64_t first = -sunup__check_number(c, "before", 0), point = n + pad;
    const int64_t zeros = sunup__check_number(c, "zeros", 0), frequency = tiles * point + pad;
    const struct operand x = sunup__check_in(c, "dy", 4 * width * point, FILL_ANY);
    const struct operand v = sunup__check_out(c, "v", 36 * frequency, FILL_ANY);
    struct winograd_input_f32 t = {.tiles = tiles, .channels = n, .x = x.f32, .v = v.f32};
    struct winograd_input_f64 t64 = {.tiles = tiles, .channels = n, .x = x.f64, .v = v.f64};
    t.first = t64.first = first;
    t.width = t64.width = width;
    t.x_point = t64.x_point = t.v_tile = t64.v_tile = point;
    t.v_frequency = t64.v_frequency = frequency;
    for (int i = 0; i < 4; i++)
        t.row[i] = t64.row[i] = zeros >> i & 1 ? -1 : (3 - i) * width * point;
    const double elements = (double)(tiles * n);
    sunup__check_cost(c, 80 * elements, 4 * (16 + 36) * elements);
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
    const struct operand u = sunup__check_in(c, "u", 36 * pitch, FILL_ANY),
                         dw = sunup__check_out(c, "dw", 9 * pitch, FILL_ANY);
    sunup__check_cost(c, 100 * (double)n, 4 * (36 + 9) * (double)n);
    CHECK_RUN(c) c->f32->winograd_grad_dw(n, u.f32, pitch, dw.f32, pitch);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_grad_dw(n, u.f64, pitch, dw.f64, pitch);
    double *size = sunup__check_absolute(c, &dw);
    for (int64_t i = 0; i < n && size; i++) {
        double in[36], out[9];
        for (int f = 0; f < 36; f++) in[f] = u.f64[f * pitch + i];
        size_of(6, 3, dw_matrix, in, out);
        for (int e = 0; e < 9; e++) size[e * pitch + i] = out[e];
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
                                          NULL};
static const char *const dw_problems[] = {"n0",      "n1",       "n3pad1",   "n16",
                                          "n17pad5", "n33pad16", "n64pad48", NULL};
const struct leaf_check sunup__check_winograd_grad_dy = {"winograd_grad_dy", dy_problems, run_dy};
const struct leaf_check sunup__check_winograd_grad_dw = {"winograd_grad_dw", dw_problems, run_dw};
