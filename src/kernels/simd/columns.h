/* columns.h - work down the columns of [rows][c], in vectors also where c is small.
 *
 * `repeat` rows are taken as one row of repeat * c, a multiple of 16 floats where that fits into
 * COLUMN_TILE; what belongs to a column is then repeated as often (column_spread). Sums take 8
 * such rows at a time as a tree, 512 of them into one float, and go on in double: at most 3 + 64 +
 * 8 roundings in float on the way of any term, however many rows.
 */
#ifndef SUNUP_KERNELS_SIMD_COLUMNS_H
#define SUNUP_KERNELS_SIMD_COLUMNS_H

#include <string.h>

#include "kernels/simd/simd.h"

enum { COLUMN_TILE = 512, COLUMN_CHUNK = 512 };

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
    for (int64_t i = 0; i < repeat; i++) memcpy(to + i * c, from, (size_t)c * sizeof *to);
    return to;
}

/* What is summed: x, (x - mean)^2, or both dy and dy (x - mean). All pointers are at the first
 * column wanted. */
enum column_term { COLUMN_X, COLUMN_SQUARE, COLUMN_GRAD };
struct column_in {
    enum column_term term;
    const float *x, *dy, *mean;
};

#define COLUMN_TREE(t)  (((t(0) + t(1)) + (t(2) + t(3))) + ((t(4) + t(5)) + (t(6) + t(7))))
#define COLUMN_AT(p, i) p[(i)*stride + j]

static inline void columns_x(int64_t rows, int64_t stride, int64_t width, const float *x,
                             float *restrict sum)
{
#define TERM(i) COLUMN_AT(x, i)
    for (; rows >= 8; rows -= 8, x += 8 * stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) sum[j] += COLUMN_TREE(TERM);
    }
    for (; rows > 0; rows--, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) sum[j] += TERM(0);
    }
#undef TERM
}

static inline void columns_square(int64_t rows, int64_t stride, int64_t width, const float *x,
                                  const float *mean, float *restrict sum)
{
#define TERM(i) (COLUMN_AT(x, i) - m) * (COLUMN_AT(x, i) - m)
    for (; rows >= 8; rows -= 8, x += 8 * stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float m = mean[j];
            sum[j] += COLUMN_TREE(TERM);
        }
    }
    for (; rows > 0; rows--, x += stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float m = mean[j];
            sum[j] += TERM(0);
        }
    }
#undef TERM
}

static inline void columns_grad(int64_t rows, int64_t stride, int64_t width,
                                const struct column_in *in, float *restrict sum,
                                float *restrict dot)
{
    const float *x = in->x, *dy = in->dy, *mean = in->mean;
#define DY(i)   COLUMN_AT(dy, i)
#define TERM(i) COLUMN_AT(dy, i) * (COLUMN_AT(x, i) - m)
    for (; rows >= 8; rows -= 8, x += 8 * stride, dy += 8 * stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float m = mean[j];
            sum[j] += COLUMN_TREE(DY);
            dot[j] += COLUMN_TREE(TERM);
        }
    }
    for (; rows > 0; rows--, x += stride, dy += stride) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float m = mean[j];
            sum[j] += DY(0);
            dot[j] += TERM(0);
        }
    }
#undef TERM
#undef DY
}

static inline void columns_add(const struct column_in *in, int64_t rows, int64_t stride,
                               int64_t width, float sum[2][COLUMN_TILE])
{
    switch (in->term) {
    case COLUMN_X:
        columns_x(rows, stride, width, in->x, sum[0]);
        return;
    case COLUMN_SQUARE:
        columns_square(rows, stride, width, in->x, in->mean, sum[0]);
        return;
    case COLUMN_GRAD:
        columns_grad(rows, stride, width, in, sum[0], sum[1]);
        return;
    }
}

/* total[2][width] = the sums over rows of `width` columns, out of c, beginning at in's pointers. */
static inline void columns_total(struct column_in in, int64_t rows, int64_t c, int64_t width,
                                 double total[2][COLUMN_TILE])
{
    const int64_t repeat = width == c ? column_repeat(c, rows) : 1;
    const int64_t stride = repeat * c, wide = repeat * width;
    const int sums = in.term == COLUMN_GRAD ? 2 : 1;
    float mean[COLUMN_TILE], sum[2][COLUMN_TILE];
    in.mean = column_spread(mean, in.mean, c, repeat);
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
