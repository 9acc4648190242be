/* channel.c - the passes of batch norm at the speed of memory, for few channels as for many; see
 * columns.h. */
#include "base/integers.h"
#include "kernels/simd/columns.h"

static void channel_moments(int64_t rows, int64_t c, const float *x, const float *pivot, float *sum,
                            float *square)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {.term = COLUMN_MOMENTS, .x = x + at, .mean = pivot + at};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) {
            sum[at + j] += (float)total[0][j];
            square[at + j] += (float)total[1][j];
        }
    }
}

static void channel_grad_sums(int64_t rows, int64_t c, const float *x, const float *dy,
                              const float *scale, const float *shift, const float *mean,
                              const float *rstd, float *sum, float *dot)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {.term = scale ? COLUMN_MASKED : COLUMN_GRAD,
                                     .x = x + at,
                                     .dy = dy + at,
                                     .mean = mean + at,
                                     .scale = scale ? scale + at : NULL,
                                     .shift = scale ? shift + at : NULL};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) {
            sum[at + j] += (float)total[0][j];
            dot[at + j] += (float)(total[1][j] * (double)rstd[at + j]);
        }
    }
}

/* Runs `body` over rows taken together, with the vectors named; j is the column, e the element. */
#define MAP(body)                                                                                  \
    for (int64_t at = 0; at < n; at += width) {                                                    \
        const int64_t m = least(n - at, width);                                                    \
        _Pragma("omp simd") for (int64_t j = 0; j < m; j++)                                        \
        {                                                                                          \
            const int64_t e = at + j;                                                              \
            body;                                                                                  \
        }                                                                                          \
    }

static void channel_affine(int64_t rows, int64_t c, const float *x, const float *scale,
                           const float *shift, const float *r, const float *r_scale,
                           const float *r_shift, int relu, float *y)
{
    float room[4][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows), n = rows * c, width = repeat * c;
    const float *a = column_spread(room[0], scale, c, repeat);
    const float *b = column_spread(room[1], shift, c, repeat);
    const float *p = column_spread(room[2], r_scale, c, repeat);
    const float *q = column_spread(room[3], r_shift, c, repeat);
    const float low = relu ? 0.0F : -INFINITY;
#define RELU(t) y[e] = (t) < low ? low : (t)
    if (!r)
        MAP(const float t = FMA(x[e], a[j], b[j]); RELU(t))
    else if (!r_scale)
        MAP(const float t = FMA(x[e], a[j], b[j]) + r[e]; RELU(t))
    else
        MAP(const float t = FMA(x[e], a[j], b[j]) + FMA(r[e], p[j], q[j]); RELU(t))
#undef RELU
}

static void channel_grad(int64_t rows, int64_t c, const float *x, const float *dy,
                         const float *scale, const float *shift, const float *a, const float *b,
                         const float *d, float *dx)
{
    float room[5][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows), n = rows * c, width = repeat * c;
    a = column_spread(room[0], a, c, repeat);
    b = column_spread(room[1], b, c, repeat);
    d = column_spread(room[2], d, c, repeat);
    const float *p = column_spread(room[3], scale, c, repeat);
    const float *q = column_spread(room[4], shift, c, repeat);
#define DX(t) dx[e] = FMA(a[j], t, FMA(b[j], x[e], d[j]))
    if (!scale)
        MAP(DX(dy[e]))
    else
        MAP(const float t = FMA(x[e], p[j], q[j]) > 0 ? dy[e] : 0.0F; DX(t))
#undef DX
}

void FILL(channel)(struct kernels *k)
{
    k->f32.channel_moments = channel_moments;
    k->f32.channel_grad_sums = channel_grad_sums;
    k->f32.channel_affine = channel_affine;
    k->f32.channel_grad = channel_grad;
}
