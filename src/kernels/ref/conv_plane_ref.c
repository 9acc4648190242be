/* conv_plane_ref.c - depthwise 3x3 of a plane and its adjoint by the weights: the meaning of the
 * leaves conv_plane and conv_plane_weight_grad (struct plane in kernels.h).
 */
#include "kernels/ref/real.h"

/* Is x there at (row, point) of the targets or one beside them? */
static bool there(const struct plane *p, int64_t row, int64_t point)
{
    if ((row < 0 && p->above) || (row == p->rows && p->below)) return false;
    return point >= 0 && point < p->points;
}

void NAME(ref_conv_plane)(const struct plane *p, const REAL *x, const REAL *w, const REAL *bias,
                          REAL *y)
{
    for (int64_t i = 0; i < p->rows * p->points; i++) {
        const int64_t row = i / p->points, point = i % p->points;
        REAL *to = y + row * p->row + point * p->point;
        for (int64_t c = 0; c < p->channels; c++) to[c] = 0;
        for (int64_t t = 0; t < 9; t++) {
            const int64_t r = row + t / 3 - 1, s = point + t % 3 - 1;
            if (!there(p, r, s)) continue;
            for (int64_t c = 0; c < p->channels; c++)
                to[c] += x[r * p->row + s * p->point + c] * w[t * p->w_tap + c];
        }
        for (int64_t c = 0; bias && c < p->channels; c++) to[c] += bias[c];
    }
}

void NAME(ref_conv_plane_weight_grad)(const struct plane *p, const REAL *x, const REAL *dy,
                                      REAL *dw)
{
    for (int64_t i = 0; i < p->rows * p->points; i++) {
        const int64_t row = i / p->points, point = i % p->points;
        const REAL *from = dy + row * p->row + point * p->point;
        for (int64_t t = 0; t < 9; t++) {
            const int64_t r = row + t / 3 - 1, s = point + t % 3 - 1;
            if (!there(p, r, s)) continue;
            for (int64_t c = 0; c < p->channels; c++)
                dw[t * p->w_tap + c] += x[r * p->row + s * p->point + c] * from[c];
        }
    }
}
