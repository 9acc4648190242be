/* conv_ref.c - convolution of one sample and its two adjoints, point by point: the meaning of all
 * faster ways.
 *
 * y[o][k] = sum over taps t and channels c of x[o stride - before + t dilation][c] w[t][c][k], in
 * this order, + bias. Source points outside count as zero, or wrap if the padding is circular. A
 * group of channels sees its own K / groups.
 */
#include "kernels/ref/real.h"

#include <string.h>

/* One tap of one output point: offsets of the channels of x, of y, and of the tap's weights. */
typedef void (*visit_fn)(const struct window *w, int64_t x, int64_t y, int64_t tap,
                         const REAL *const in[2], REAL *out);

/* Source index along an axis, or -1. */
static int64_t source(const struct window *w, int axis, int64_t o, int64_t t)
{
    const int64_t n = w->in[axis],
                  i = o * w->stride[axis] - w->before[axis] + t * w->dilation[axis];
    if (w->circular) return (i % n + n) % n;
    return i >= 0 && i < n ? i : -1;
}

static void visit_taps(const struct window *w, const int64_t o[3], visit_fn visit,
                       const REAL *const in[2], REAL *out)
{
    const int64_t y = ((o[0] * w->out[1] + o[1]) * w->out[2] + o[2]) * w->k;
    int64_t tap = 0;
    for (int64_t t = 0; t < w->taps[0]; t++) {
        const int64_t d = source(w, 0, o[0], t);
        for (int64_t r = 0; r < w->taps[1]; r++) {
            const int64_t h = source(w, 1, o[1], r);
            for (int64_t s = 0; s < w->taps[2]; s++, tap += w->c / w->groups * w->k) {
                const int64_t i = source(w, 2, o[2], s);
                if (d < 0 || h < 0 || i < 0) continue;
                visit(w, ((d * w->in[1] + h) * w->in[2] + i) * w->c, y, tap, in, out);
            }
        }
    }
}

static void visit_all(const struct window *w, visit_fn visit, const REAL *a, const REAL *b,
                      REAL *out)
{
    const REAL *const in[2] = {a, b};
    for (int64_t d = 0; d < w->out[0]; d++) {
        for (int64_t h = 0; h < w->out[1]; h++) {
            for (int64_t i = 0; i < w->out[2]; i++)
                visit_taps(w, (const int64_t[3]){d, h, i}, visit, in, out);
        }
    }
}

static int64_t product(const int64_t n[3])
{
    return n[0] * n[1] * n[2];
}

static void zero(int64_t n, REAL *x)
{
    if (n > 0) memset(x, 0, (size_t)n * sizeof(REAL));
}

/* ---- forward: in = x, w; out = y ---- */

static void forward(const struct window *w, int64_t x, int64_t y, int64_t tap,
                    const REAL *const in[2], REAL *out)
{
    const int64_t cg = w->c / w->groups, kg = w->k / w->groups;
    for (int64_t c = 0; c < w->c; c++) {
        const int64_t first = c / cg * kg;
        const REAL *weights = in[1] + tap + c % cg * w->k + first;
        for (int64_t k = 0; k < kg; k++) out[y + first + k] += in[0][x + c] * weights[k];
    }
}

void NAME(ref_conv)(const struct window *w, const REAL *x, const REAL *weight, const REAL *bias,
                    REAL *y)
{
    const int64_t points = product(w->out);
    zero(points * w->k, y);
    visit_all(w, forward, x, weight, y);
    for (int64_t i = 0; bias && i < points * w->k; i++) y[i] += bias[i % w->k];
}

/* ---- by data: in = dy, w; out = dx ---- */

static void data_grad(const struct window *w, int64_t x, int64_t y, int64_t tap,
                      const REAL *const in[2], REAL *out)
{
    const int64_t cg = w->c / w->groups, kg = w->k / w->groups;
    for (int64_t c = 0; c < w->c; c++) {
        const int64_t first = c / cg * kg;
        const REAL *weights = in[1] + tap + c % cg * w->k + first;
        REAL sum = out[x + c];
        for (int64_t k = 0; k < kg; k++) sum += in[0][y + first + k] * weights[k];
        out[x + c] = sum;
    }
}

void NAME(ref_conv_data_grad)(const struct window *w, const REAL *weight, const REAL *dy, REAL *dx)
{
    zero(product(w->in) * w->c, dx);
    visit_all(w, data_grad, dy, weight, dx);
}

/* ---- by weights: in = x, dy; out = dw ---- */

static void weight_grad(const struct window *w, int64_t x, int64_t y, int64_t tap,
                        const REAL *const in[2], REAL *out)
{
    const int64_t cg = w->c / w->groups, kg = w->k / w->groups;
    for (int64_t c = 0; c < w->c; c++) {
        const int64_t first = c / cg * kg;
        REAL *dw = out + tap + c % cg * w->k + first;
        for (int64_t k = 0; k < kg; k++) dw[k] += in[0][x + c] * in[1][y + first + k];
    }
}

void NAME(ref_conv_weight_grad)(const struct window *w, const REAL *x, const REAL *dy,
                                REAL *dweight)
{
    visit_all(w, weight_grad, x, dy, dweight);
}
