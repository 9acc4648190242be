/* columns.h - work down the columns of [rows][c], in vectors also where c is small.
 *
 * `repeat` rows are taken as one row of repeat * c, a multiple of 16 floats where that fits into
 * COLUMN_TILE; what belongs to a column is then repeated as often (column_spread). Sums take 4
 * such rows at a time as a tree, 256 of them into one float, and go on in double: at most 2 + 64 +
 * 4 roundings in float on the way of any term, however many rows. Bound by memory: sums of columns
 * read at 73 to 84 % of the speed of a plain sum.
 */
#ifndef SUNUP_KERNELS_SIMD_COLUMNS_H
#define SUNUP_KERNELS_SIMD_COLUMNS_H

#include <math.h>
#include <string.h>

#include "kernels/simd/vec.h"

enum { COLUMN_TILE = 512, COLUMN_CHUNK = 256 };

/* 1 if c is too wide to be repeated. */
static inline int64_t column_repeat(int64_t c, int64_t rows)
{
    int64_t repeat = 16;
    while (repeat > 1 && repeat / 2 * c % 16 == 0) repeat /= 2;
    while (repeat * c < 128 && repeat < rows) repeat *= 2;
    if (repeat * c > COLUMN_TILE) return 1;
    return repeat < rows ? repeat : rows;
}

/* from[c] repeated in to[COLUMN_TILE], or `from` itself if it is needed once only. */
static inline const float *column_spread(float *to, const float *from, int64_t c, int64_t repeat)
{
    if (repeat <= 1 || !from) return from;
    const int64_t all = repeat * c;
    memcpy(to, from, (size_t)c * sizeof *to);
    /* A call for each repetition took longer than the sums. */
    for (int64_t have = c; have < all; have *= 2)
        memcpy(to + have, to, (size_t)(all - have < have ? all - have : have) * sizeof *to);
    return to;
}

/* What is summed: x; x - mean and its square; dy and dy (x - mean), also with dy only where scale x
 * + shift > 0, or else times slope. All pointers are at the first column wanted. */
enum column_term { COLUMN_X, COLUMN_MOMENTS, COLUMN_GRAD, COLUMN_MASKED, COLUMN_SLOPED };
struct column_in {
    enum column_term term;
    const float *x, *dy, *mean, *scale, *shift;
    float slope;
};

#define COLUMN_TREE(t)  ((t(0) + t(1)) + (t(2) + t(3)))
#define COLUMN_AT(p, i) p[(i)*stride + j]

/* The hardware foresees one row, not four at once: unasked, memory is read at half its speed on
 * Zen 4. It is asked 32 KB ahead into the second level and 8 KB ahead into the first. The first
 * alone has too few misses under way on Zen 4: with both, statistics of 50176 x 256 take 1.4 instead
 * of 2.1 ms and its gradient sums 3.3 instead of 4.4 (the second level alone: 1.2 and 2.7). The
 * second alone, 64 KB ahead, is 1 to 25 % slower than the first on Zen 5 (statistics and gradient
 * sums of ResNet-50, sums of 4 x 33^3 x 32). */
enum { COLUMN_ROWS = 4, COLUMN_STEP = 64, COLUMN_FAR = 8192, COLUMN_NEAR = 2048, COLUMN_LINE = 16 };
static inline void columns_ahead(const float *x, int64_t stride, int64_t from, int64_t to)
{
    for (int64_t i = 0; i < COLUMN_ROWS; i++) {
        for (int64_t j = from; j < to; j += COLUMN_LINE) {
            __builtin_prefetch(x + i * stride + j + COLUMN_FAR, 0, 2);
            __builtin_prefetch(x + i * stride + j + COLUMN_NEAR, 0, 3);
        }
    }
}

static inline int64_t column_end(int64_t from, int64_t width)
{
    return width - from < COLUMN_STEP ? width : from + COLUMN_STEP;
}

static inline void columns_x(int64_t rows, int64_t stride, int64_t width, const float *x,
                             float *restrict sum)
{
#define TERM(i) COLUMN_AT(x, i)
    for (; rows >= COLUMN_ROWS; rows -= COLUMN_ROWS, x += COLUMN_ROWS * stride) {
        for (int64_t from = 0; from < width; from += COLUMN_STEP) {
            const int64_t to = column_end(from, width);
            columns_ahead(x, stride, from, to);
#pragma omp simd
            for (int64_t j = from; j < to; j++) sum[j] += COLUMN_TREE(TERM);
        }
    }
    for (; rows > 0; rows--, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) sum[j] += TERM(0);
    }
#undef TERM
}

static inline void columns_moments(int64_t rows, int64_t stride, int64_t width, const float *x,
                                   const float *mean, float *restrict sum, float *restrict square)
{
#define TERM(i)  (COLUMN_AT(x, i) - m)
#define TWICE(i) TERM(i) * TERM(i)
    for (; rows >= COLUMN_ROWS; rows -= COLUMN_ROWS, x += COLUMN_ROWS * stride) {
        for (int64_t from = 0; from < width; from += COLUMN_STEP) {
            const int64_t to = column_end(from, width);
            columns_ahead(x, stride, from, to);
#pragma omp simd
            for (int64_t j = from; j < to; j++) {
                const float m = mean[j];
                sum[j] += COLUMN_TREE(TERM);
                square[j] += COLUMN_TREE(TWICE);
            }
        }
    }
    for (; rows > 0; rows--, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float m = mean[j];
            sum[j] += TERM(0);
            square[j] += TWICE(0);
        }
    }
#undef TWICE
#undef TERM
}

/* What 4 rows, or one, add to the sums of VEC_LANES columns from j on. */
INLINE void columns_grad_at(const int rows, const enum column_term term, int64_t stride, int64_t j,
                            int64_t left, const struct column_in *in, float *sum, float *dot)
{
    const vec mean = vec_load_part(in->mean + j, left);
    vec e[COLUMN_ROWS], d[COLUMN_ROWS];
    for (int i = 0; i < rows; i++) {
        const vec x = vec_load_part(in->x + i * stride + j, left);
        e[i] = vec_load_part(in->dy + i * stride + j, left);
        if (term != COLUMN_GRAD) {
            const vec y =
                vec_fma(x, vec_load_part(in->scale + j, left), vec_load_part(in->shift + j, left));
            e[i] = vec_masked(term == COLUMN_SLOPED, y, e[i], in->slope);
        }
        d[i] = e[i] * (x - mean);
    }
    if (rows == COLUMN_ROWS) {
        e[0] = (e[0] + e[1]) + (e[2] + e[3]);
        d[0] = (d[0] + d[1]) + (d[2] + d[3]);
    }
    vec_store_part(sum + j, vec_load_part(sum + j, left) + e[0], left);
    vec_store_part(dot + j, vec_load_part(dot + j, left) + d[0], left);
}

INLINE void columns_grad(const enum column_term term, int64_t rows, int64_t stride, int64_t width,
                         struct column_in in, float *restrict sum, float *restrict dot)
{
    for (; rows >= COLUMN_ROWS; rows -= COLUMN_ROWS) {
        for (int64_t from = 0; from < width; from += COLUMN_STEP) {
            const int64_t to = column_end(from, width);
            columns_ahead(in.x, stride, from, to);
            columns_ahead(in.dy, stride, from, to);
            int64_t j = from;
            for (; j + VEC_LANES <= to; j += VEC_LANES)
                columns_grad_at(COLUMN_ROWS, term, stride, j, VEC_LANES, &in, sum, dot);
            if (j < to) columns_grad_at(COLUMN_ROWS, term, stride, j, to - j, &in, sum, dot);
        }
        in.x += COLUMN_ROWS * stride;
        in.dy += COLUMN_ROWS * stride;
    }
    for (; rows > 0; rows--, in.x += stride, in.dy += stride) {
        for (int64_t j = 0; j < width; j += VEC_LANES)
            columns_grad_at(1, term, stride, j, width - j, &in, sum, dot);
    }
}

static inline void columns_add(const struct column_in *in, int64_t rows, int64_t stride,
                               int64_t width, float sum[2][COLUMN_TILE])
{
    switch (in->term) {
    case COLUMN_X:
        columns_x(rows, stride, width, in->x, sum[0]);
        return;
    case COLUMN_MOMENTS:
        columns_moments(rows, stride, width, in->x, in->mean, sum[0], sum[1]);
        return;
    case COLUMN_GRAD:
        columns_grad(COLUMN_GRAD, rows, stride, width, *in, sum[0], sum[1]);
        return;
    case COLUMN_MASKED:
        columns_grad(COLUMN_MASKED, rows, stride, width, *in, sum[0], sum[1]);
        return;
    case COLUMN_SLOPED:
        columns_grad(COLUMN_SLOPED, rows, stride, width, *in, sum[0], sum[1]);
        return;
    }
}

/* total[2][width] = the sums over rows of `width` columns, out of c, beginning at in's pointers. */
static inline void columns_total(struct column_in in, int64_t rows, int64_t c, int64_t width,
                                 double total[2][COLUMN_TILE])
{
    const int64_t repeat = width == c ? column_repeat(c, rows) : 1;
    const int64_t stride = repeat * c, wide = repeat * width;
    const int sums = in.term == COLUMN_X ? 1 : 2;
    float mean[COLUMN_TILE], scale[COLUMN_TILE], shift[COLUMN_TILE], sum[2][COLUMN_TILE];
    in.mean = column_spread(mean, in.mean, c, repeat);
    in.scale = column_spread(scale, in.scale, c, repeat);
    in.shift = column_spread(shift, in.shift, c, repeat);
    for (int s = 0; s < sums; s++) memset(total[s], 0, (size_t)width * sizeof total[s][0]);
    while (rows > 0) {
        const int64_t now = rows < COLUMN_CHUNK * repeat ? rows : COLUMN_CHUNK * repeat;
        for (int s = 0; s < sums; s++) memset(sum[s], 0, (size_t)wide * sizeof sum[s][0]);
        columns_add(&in, now / repeat, stride, wide, sum);
        in.x += now / repeat * stride;
        if (in.dy) in.dy += now / repeat * stride;
        if (now % repeat > 0) columns_add(&in, 1, stride, now % repeat * width, sum);
        for (int s = 0; s < sums; s++) {
            for (int64_t i = 0; i < repeat; i++) {
                for (int64_t j = 0; j < width; j++) total[s][j] += (double)sum[s][i * width + j];
            }
        }
        rows -= now; /* a part of a wide row comes last only */
    }
}

#endif
