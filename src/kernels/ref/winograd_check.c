/* winograd_check.c - problems of the Winograd transforms: taps 3 or 5, tiles and channels c
 * (weights: rows and n); where points are, see winograd_lines.h; bias stream flip; pad: elements
 * between rows of any matrix.
 *
 * Bound: terms roundings of the largest value that a sum can have on the way, which is the largest
 * |operand| times the square of the largest sum of |coefficients| in a row of the matrix.
 */
#include <math.h>

#include "kernels/check.h"
#include "kernels/ref/winograd_lines.h"

enum { FREQUENCIES = 36 };
/* Largest sums: B^T 5.13; with 3 taps G 1.48, A^T 7.37; with 5 taps 1.88 and 5.25. */
static const double input_most = 26.4, weights_most[2] = {2.2, 3.6}, output_most[2] = {54.4, 27.6};

/* size[i] = most * the largest |x| of all that are neither Inf nor NaN. */
static double *bound(struct check *c, const struct operand *x, int64_t n, double most)
{
    double *size = sunup__check_scratch(c, n), largest = 0;
    for (int64_t i = 0; i < x->n; i++) {
        const double v = x->f64[i] < 0 ? -x->f64[i] : x->f64[i];
        if (v > largest && v < INFINITY) largest = v;
    }
    for (int64_t i = 0; size && i < n; i++) size[i] = most * largest;
    return size;
}

static int64_t taps_of(struct check *c)
{
    return sunup__check_number(c, "taps", 3);
}

static void run_input(struct check *c)
{
    const int64_t tiles = sunup__check_number(c, "tiles", 1), n = sunup__check_number(c, "c", 1);
    const int64_t pad = sunup__check_number(c, "pad", 0), point = n + pad, taps = taps_of(c);
    const int64_t frequency = tiles * point + pad;
    const struct winograd_lines l = winograd_lines(c, 6, (7 - taps) * tiles + taps - 1, 6, point);
    const struct operand x = sunup__check_in(c, "x", l.elements, FILL_ANY);
    const struct operand v = sunup__check_out(c, "v", FREQUENCIES * frequency, FILL_FINITE);
    const struct winograd_input_f32 t = {taps,     tiles, n,     x.f32, l.row,
                                         l.column, point, v.f32, point, frequency};
    const struct winograd_input_f64 t64 = {taps,     tiles, n,     x.f64, l.row,
                                           l.column, point, v.f64, point, frequency};
    if (!l.column) return;
    const double elements = (double)(FREQUENCIES * tiles * n);
    sunup__check_cost(c, 4 * elements, 8 * elements);
    CHECK_RUN(c) c->f32->winograd_input(&t);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_input(&t64);
    sunup__check_close(c, &v, bound(c, &x, v.n, input_most), 10);
}

static void run_weights(struct check *c)
{
    const int64_t rows = sunup__check_number(c, "rows", 1), n = sunup__check_number(c, "n", 1);
    const int64_t row = n + sunup__check_number(c, "pad", 0), tap = rows * row;
    const int64_t taps = taps_of(c), area = taps * taps;
    const bool flip = sunup__check_number(c, "flip", 0) != 0;
    const struct operand w = sunup__check_in(c, "w", area * tap, FILL_ANY);
    const struct operand u = sunup__check_out(c, "u", FREQUENCIES * tap, FILL_FINITE);
    const int64_t at = flip ? (area - 1) * tap : 0, step = flip ? -tap : tap;
    const struct winograd_weights_f32 t = {taps, rows, n, w.f32 + at, row, step, u.f32, row, tap};
    const struct winograd_weights_f64 t64 = {taps, rows, n, w.f64 + at, row, step, u.f64, row, tap};
    const double elements = (double)(rows * n);
    sunup__check_cost(c, 100 * elements, 4 * (double)(area + FREQUENCIES) * elements);
    CHECK_RUN(c) c->f32->winograd_weights(&t);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_weights(&t64);
    sunup__check_close(c, &u, bound(c, &w, u.n, weights_most[taps == 5]), 14);
}

static void run_output(struct check *c)
{
    const int64_t tiles = sunup__check_number(c, "tiles", 1), n = sunup__check_number(c, "c", 1);
    const int64_t pad = sunup__check_number(c, "pad", 0), point = n + pad;
    const int64_t taps = taps_of(c), side = 7 - taps, frequency = tiles * point + pad;
    const struct winograd_lines l = winograd_lines(c, side, side * tiles, side * tiles, point);
    const bool biased = sunup__check_number(c, "bias", 0) != 0;
    const struct operand m = sunup__check_in(c, "m", FREQUENCIES * frequency, FILL_ANY);
    const struct operand bias = sunup__check_in(c, "bias", n, FILL_UNIT);
    const struct operand y = sunup__check_out(c, "y", l.elements, FILL_FINITE);
    const struct winograd_output_f32 t = {.taps = taps,
                                          .tiles = tiles,
                                          .channels = n,
                                          .m = m.f32,
                                          .m_tile = point,
                                          .m_frequency = frequency,
                                          .bias = biased ? bias.f32 : NULL,
                                          .y = y.f32,
                                          .row = l.row,
                                          .column = l.column,
                                          .y_point = point,
                                          .stream = sunup__check_number(c, "stream", 0) != 0};
    const struct winograd_output_f64 t64 = {.taps = taps,
                                            .tiles = tiles,
                                            .channels = n,
                                            .m = m.f64,
                                            .m_tile = point,
                                            .m_frequency = frequency,
                                            .bias = biased ? bias.f64 : NULL,
                                            .y = y.f64,
                                            .row = l.row,
                                            .column = l.column,
                                            .y_point = point};
    if (!l.column) return;
    const double elements = (double)(tiles * n);
    sunup__check_cost(c, 100 * elements, 4 * (double)(FREQUENCIES + side * side) * elements);
    CHECK_RUN(c) c->f32->winograd_output(&t);
    if (!sunup__check_wanted(c)) return;
    c->f64->winograd_output(&t64);
    double *size = bound(c, &m, y.n, output_most[taps == 5]);
    for (int64_t i = 0; size && i < y.n; i++) size[i] += 1;
    sunup__check_close(c, &y, size, 16);
}

static const char *const inputs[] = {"tiles0c3",
                                     "tiles1c0",
                                     "tiles1c1",
                                     "tiles1c1w2:before1",
                                     "tiles1c5w1:before1,zeros33",
                                     "tiles3c16w12:before1,zeros1",
                                     "tiles4c17w15:before1,pad3",
                                     "tiles3c40w9:before2,zeros48,pad1",
                                     "tiles7c64w28:before1",
                                     "tiles2c33w3:before5,circular",
                                     "tiles2c3w1:before1,circular",
                                     "tiles3c150w11:before1",
                                     "tiles2c530w7:before1,zeros1",
                                     "tiles5c16w5:before1,maps4,pitch6",
                                     "tiles4c150w2:before2,maps4,pitch4,zeros8",
                                     "tiles3c33w1:before1,maps5,pitch2,pad1",
                                     "taps5tiles1c3w2:before2",
                                     "taps5tiles4c17w9:before2,zeros3,pad3",
                                     "taps5tiles5c32w14:before2",
                                     "taps5tiles3c20w4:before2,circular",
                                     "taps5tiles6c40w5:before2,maps2,pitch7",
                                     NULL};
static const char *const weights[] = {"rows0n3",
                                      "rows1n0",
                                      "rows1n1",
                                      "rows3n16",
                                      "rows5n17",
                                      "rows4n33pad2",
                                      "rows7n9flip",
                                      "rows3n64flip:pad1",
                                      "taps5rows1n1",
                                      "taps5rows3n16",
                                      "taps5rows11n37pad2",
                                      "taps5rows3n64flip:pad1",
                                      NULL};
static const char *const outputs[] = {"tiles0c3",
                                      "tiles1c0",
                                      "tiles1c1",
                                      "tiles1c1w1zeros14:bias",
                                      "tiles3c16",
                                      "tiles2c17w7zeros8:pad3,bias",
                                      "tiles3c40w10zeros12:bias",
                                      "tiles7c64w28:bias,stream",
                                      "tiles3c48w11:pad16,stream",
                                      "tiles2c24zeros8:stream",
                                      "tiles2c150w5",
                                      "tiles1c530w3zeros12:bias",
                                      "tiles5c16w5:maps4,pitch6,bias",
                                      "tiles4c33w2:maps4,pitch4,zeros2,pad1",
                                      "tiles3c5w1:maps5,pitch2,zeros5",
                                      "tiles7c32w13:maps2,pitch14,stream,zeros4",
                                      "taps5tiles1c1w1zeros2:bias",
                                      "taps5tiles4c17w7zeros2:pad3,bias",
                                      "taps5tiles6c40w5:maps2,pitch7,zeros1",
                                      "taps5tiles7c64w14:bias,stream",
                                      "taps5tiles3c48w5:pad16,stream",
                                      NULL};
const struct leaf_check sunup__check_winograd_input = {"winograd_input", inputs, run_input};
const struct leaf_check sunup__check_winograd_weights = {"winograd_weights", weights, run_weights};
const struct leaf_check sunup__check_winograd_output = {"winograd_output", outputs, run_output};
