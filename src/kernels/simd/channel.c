/* channel.c - the passes of batch norm at the speed of memory, for few channels as for many; see
 * columns.h. */
#include "kernels/simd/columns.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void channel_sum(int64_t rows, int64_t c, const float *x, float *sum)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {COLUMN_X, x + at, NULL, NULL};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) sum[at + j] += (float)total[0][j];
    }
}

static void channel_square(int64_t rows, int64_t c, const float *x, const float *mean,
                           float *square)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {COLUMN_SQUARE, x + at, NULL, mean + at};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) square[at + j] += (float)total[0][j];
    }
}

static void channel_grad_sums(int64_t rows, int64_t c, const float *x, const float *dy,
                              const float *mean, const float *rstd, float *sum, float *dot)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {COLUMN_GRAD, x + at, dy + at, mean + at};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) {
            sum[at + j] += (float)total[0][j];
            dot[at + j] += (float)(total[1][j] * (double)rstd[at + j]);
        }
    }
}

static void channel_affine(int64_t rows, int64_t c, const float *x, const float *scale,
                           const float *shift, float *y)
{
    float room[2][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows), n = rows * c, width = repeat * c;
    const float *a = column_spread(room[0], scale, c, repeat);
    const float *b = column_spread(room[1], shift, c, repeat);
    for (int64_t at = 0; at < n; at += width) {
        const int64_t m = least(n - at, width);
#pragma omp simd
        for (int64_t j = 0; j < m; j++) y[at + j] = FMA(x[at + j], a[j], b[j]);
    }
}

static void channel_grad(int64_t rows, int64_t c, const float *x, const float *dy, const float *a,
                         const float *b, const float *d, float *dx)
{
    float room[3][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows), n = rows * c, width = repeat * c;
    a = column_spread(room[0], a, c, repeat);
    b = column_spread(room[1], b, c, repeat);
    d = column_spread(room[2], d, c, repeat);
    for (int64_t at = 0; at < n; at += width) {
        const int64_t m = least(n - at, width);
#pragma omp simd
        for (int64_t j = 0; j < m; j++) {
            dx[at + j] = FMA(a[j], dy[at + j], FMA(b[j], x[at + j], d[j]));
        }
    }
}

void FILL(channel)(struct kernels *k)
{
    k->f32.channel_sum = channel_sum;
    k->f32.channel_square = channel_square;
    k->f32.channel_grad_sums = channel_grad_sums;
    k->f32.channel_affine = channel_affine;
    k->f32.channel_grad = channel_grad;
}
