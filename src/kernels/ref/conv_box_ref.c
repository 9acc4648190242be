/* conv_box_ref.c - grouped convolution of the points of a box and its adjoint by the weights, by
 * turns: the meaning of the leaves conv_box and conv_box_weight_grad (struct box in kernels.h).
 *
 * y[p][g][i] = sum over taps t and channels j of x[p + t][g][j] w[t][r][g][j], where r is the turn
 * in which j meets i, + bias.
 */
#include "kernels/ref/real.h"

/* Channel of y that channel c of x meets in turn r, -1: none. */
static int64_t meets(const struct box *b, int64_t c, int64_t r)
{
    const int64_t i = (c % b->cg + r) % b->turns;
    return i < b->kg ? c / b->cg * b->kg + i : -1;
}

static void conv_point(const struct box *b, const REAL *x, const REAL *w, REAL *y)
{
    for (int64_t t = 0; t < b->taps; t++) {
        for (int64_t r = 0; r < b->turns; r++) {
            for (int64_t c = 0; c < b->groups * b->cg; c++) {
                const int64_t k = meets(b, c, r);
                if (k >= 0) y[k] += x[b->x_at[t] + c] * w[b->w_at[t] + r * b->w_turn + c];
            }
        }
    }
}

void NAME(ref_conv_box)(const struct box *b, const REAL *x, const REAL *w, const REAL *bias,
                        REAL *y)
{
    for (int64_t i = 0; i < b->rows; i++) {
        for (int64_t p = 0; p < b->points; p++) {
            REAL *to = y + i * b->y_row + p * b->y_point;
            for (int64_t k = 0; k < b->groups * b->kg; k++) to[k] = 0;
            conv_point(b, x + i * b->x_row + p * b->x_point, w, to);
            for (int64_t k = 0; bias && k < b->groups * b->kg; k++) to[k] += bias[k];
        }
    }
}

static void grad_point(const struct box *b, const REAL *x, const REAL *dy, REAL *dw)
{
    for (int64_t t = 0; t < b->taps; t++) {
        for (int64_t r = 0; r < b->turns; r++) {
            for (int64_t c = 0; c < b->groups * b->cg; c++) {
                const int64_t k = meets(b, c, r);
                if (k >= 0) dw[b->w_at[t] + r * b->w_turn + c] += x[b->x_at[t] + c] * dy[k];
            }
        }
    }
}

void NAME(ref_conv_box_weight_grad)(const struct box *b, const REAL *x, const REAL *dy, REAL *dw)
{
    for (int64_t i = 0; i < b->rows; i++) {
        for (int64_t p = 0; p < b->points; p++)
            grad_point(b, x + i * b->x_row + p * b->x_point, dy + i * b->y_row + p * b->y_point,
                       dw);
    }
}
