/* channel.c - the passes of batch norm at the speed of memory, for few channels as for many; see
 * columns.h. */
#include "base/integers.h"
#include "kernels/simd/columns.h"
#include "kernels/simd/rows.h"

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
                              const float *scale, const float *shift, float slope,
                              const float *mean, const float *rstd, float *sum, float *dot)
{
    const enum column_term term = !scale ? COLUMN_GRAD : slope == 0 ? COLUMN_MASKED : COLUMN_SLOPED;
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < c; at += COLUMN_TILE) {
        const struct column_in in = {.term = term,
                                     .x = x + at,
                                     .dy = dy + at,
                                     .mean = mean + at,
                                     .scale = scale ? scale + at : NULL,
                                     .shift = scale ? shift + at : NULL,
                                     .slope = slope};
        const int64_t width = least(c - at, COLUMN_TILE);
        columns_total(in, rows, c, width, total);
        for (int64_t j = 0; j < width; j++) {
            sum[at + j] += (float)total[0][j];
            dot[at + j] += (float)(total[1][j] * (double)rstd[at + j]);
        }
    }
}

/* Runs `body` over rows taken together, a vector at a time: j is the column, e the element, and
 * `left` how many there are, a constant in all but the last. */
#define MAP(stream, to, body)                                                                      \
    for (int64_t at = 0; at < n; at += width) {                                                    \
        const int64_t m = least(n - at, width);                                                    \
        ALONG(m, const int64_t e = at + j; vec_write(stream, (to) + e, (body), left););            \
    }
#define AT(p)     vec_load_part((p) + e, left)
#define COLUMN(p) vec_load_part((p) + j, left)

/* x scale + shift + r: summands, what is added; r or r_scale and r_shift as there are. The result is
 * the largest of low, t and slope t: relu is low 0 and slope 1, for 0 t is no number where t is infinite. */
struct affine {
    int64_t n, width;
    const float *x, *a, *b, *r, *p, *q;
    float low, slope, *y;
};
INLINE vec sloped(vec low, vec slope, vec t)
{
    return vec_max(vec_max(low, t), slope * t);
}
INLINE void affine(const struct affine *g, const bool stream, const int summands)
{
    const int64_t n = g->n, width = g->width;
    const vec low = vec_set(g->low), slope = vec_set(g->slope);
    if (summands == 0)
        MAP(stream, g->y, sloped(low, slope, vec_fma(AT(g->x), COLUMN(g->a), COLUMN(g->b))))
    if (summands == 1)
        MAP(stream, g->y,
            sloped(low, slope, vec_fma(AT(g->x), COLUMN(g->a), COLUMN(g->b)) + AT(g->r)))
    if (summands == 2)
        MAP(stream, g->y,
            sloped(low, slope,
                   vec_fma(AT(g->x), COLUMN(g->a), COLUMN(g->b)) +
                       vec_fma(AT(g->r), COLUMN(g->p), COLUMN(g->q))))
}

static void channel_affine(int64_t rows, int64_t c, const float *x, const float *scale,
                           const float *shift, const float *r, const float *r_scale,
                           const float *r_shift, float slope, bool stream, float *y)
{
    float room[4][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows);
    const struct affine g = {.n = rows * c,
                             .width = repeat * c,
                             .x = x,
                             .a = column_spread(room[0], scale, c, repeat),
                             .b = column_spread(room[1], shift, c, repeat),
                             .r = r,
                             .p = column_spread(room[2], r_scale, c, repeat),
                             .q = column_spread(room[3], r_shift, c, repeat),
                             .low = slope == 0 ? 0.0F : -INFINITY,
                             .slope = slope == 0 ? 1.0F : slope,
                             .y = y};
    const int summands = !r ? 0 : !r_scale ? 1 : 2;
    if (vec_streams(stream, g.width, y)) {
        if (summands == 0) affine(&g, true, 0);
        if (summands == 1) affine(&g, true, 1);
        if (summands == 2) affine(&g, true, 2);
    } else {
        if (summands == 0) affine(&g, false, 0);
        if (summands == 1) affine(&g, false, 1);
        if (summands == 2) affine(&g, false, 2);
    }
}

/* a dy + (b x + d), dy where x p + q > 0 only, or else times slope, if these are there */
struct grad {
    int64_t n, width;
    const float *x, *dy, *a, *b, *d, *p, *q;
    float slope, *dx;
};
INLINE void grad(const struct grad *g, const bool stream, const bool masked, const bool slope)
{
    const int64_t n = g->n, width = g->width;
    if (masked)
        MAP(stream, g->dx,
            vec_fma(COLUMN(g->a),
                    vec_masked(slope, vec_fma(AT(g->x), COLUMN(g->p), COLUMN(g->q)), AT(g->dy),
                               g->slope),
                    vec_fma(COLUMN(g->b), AT(g->x), COLUMN(g->d))))
    else
        MAP(stream, g->dx,
            vec_fma(COLUMN(g->a), AT(g->dy), vec_fma(COLUMN(g->b), AT(g->x), COLUMN(g->d))))
}

static void channel_grad(int64_t rows, int64_t c, const float *x, const float *dy,
                         const float *scale, const float *shift, float slope, const float *a,
                         const float *b, const float *d, bool stream, float *dx)
{
    float room[5][COLUMN_TILE];
    const int64_t repeat = column_repeat(c, rows);
    const struct grad g = {.n = rows * c,
                           .width = repeat * c,
                           .x = x,
                           .dy = dy,
                           .a = column_spread(room[0], a, c, repeat),
                           .b = column_spread(room[1], b, c, repeat),
                           .d = column_spread(room[2], d, c, repeat),
                           .p = column_spread(room[3], scale, c, repeat),
                           .q = column_spread(room[4], shift, c, repeat),
                           .slope = slope,
                           .dx = dx};
    if (vec_streams(stream, g.width, dx)) {
        if (!scale) grad(&g, true, false, false);
        if (scale && slope == 0) grad(&g, true, true, false);
        if (scale && slope != 0) grad(&g, true, true, true);
    } else {
        if (!scale) grad(&g, false, false, false);
        if (scale && slope == 0) grad(&g, false, true, false);
        if (scale && slope != 0) grad(&g, false, true, true);
    }
}

void FILL(channel)(struct kernels *k)
{
    k->f32.channel_moments = channel_moments;
    k->f32.channel_grad_sums = channel_grad_sums;
    k->f32.channel_affine = channel_affine;
    k->f32.channel_grad = channel_grad;
}
