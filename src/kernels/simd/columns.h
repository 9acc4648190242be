/* columns.h - work down the columns of [rows][c], in vectors also where c is small.
 *
 * `repeat` rows are taken as one row of repeat * c, a multiple of 16 floats where that fits into
 * COLUMN_TILE; what belongs to a column is then repeated as often (column_spread). Sums take 4
 * such rows at a time as a tree, 256 of them into one float, and go on in double: at most 2 + 64 +
 * 8 roundings in float on the way of any term, however many rows.
 *
 * The four rows are of four runs, a quarter of all rows each, that are read from one end to the
 * other: the processor foresees long runs. Bound by memory: on Zen 4, two threads, 50176 x 256 from
 * memory (51 MB each of x and dy), statistics take 1.57 to 1.64 ms, 1.01 to 1.05 times a plain read
 * beside them, and sums of a gradient 3.2 to 3.3 ms, 1.04 times. Neighbouring rows, asked for ahead,
 * took 2.2 to 2.5 and 3.9 to 4.4 ms; rows one after the other were slower in a cache, by half.
 */
#ifndef SUNUP_KERNELS_SIMD_COLUMNS_H
#define SUNUP_KERNELS_SIMD_COLUMNS_H

#include <math.h>
#include <string.h>

#include "kernels/simd/vec.h"

enum { COLUMN_TILE = 1024, COLUMN_CHUNK = 64 };

/* 1 if c is too wide to be repeated. */
static inline int64_t column_repeat(int64_t c, int64_t rows)
{
    int64_t repeat = 16;
    while (repeat > 1 && repeat / 2 * c % 16 == 0) repeat /= 2;
    while (repeat * c < 128 && repeat < rows) repeat *= 2;
    if (repeat * c > COLUMN_TILE) return 1;
    return repeat < rows ? repeat : rows > 0 ? rows : 1;
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
 * + shift > 0, or else times slope: each reads what the one before does. All pointers are at the first
 * column wanted. */
enum column_term { COLUMN_X, COLUMN_MOMENTS, COLUMN_GRAD, COLUMN_MASKED, COLUMN_SLOPED };
struct column_in {
    enum column_term term;
    const float *x, *dy, *mean, *scale, *shift;
    float slope;
};

enum { COLUMN_RUNS = 4 };

/* What a row of each of `runs` runs, `step` apart, adds to the sums of VEC_LANES columns. */
INLINE void columns_at(const enum column_term term, const int runs, int64_t step, int64_t j,
                       int64_t left, const struct column_in *in, float sum[2][COLUMN_TILE])
{
    const vec mean = term == COLUMN_X ? vec_set(0) : vec_load_part(in->mean + j, left);
    vec a[COLUMN_RUNS], b[COLUMN_RUNS];
    for (int i = 0; i < runs; i++) {
        const vec x = vec_load_part(in->x + i * step + j, left), d = x - mean;
        a[i] = term == COLUMN_X ? x : d;
        if (term >= COLUMN_GRAD) a[i] = vec_load_part(in->dy + i * step + j, left);
        if (term > COLUMN_GRAD) {
            const vec y =
                vec_fma(x, vec_load_part(in->scale + j, left), vec_load_part(in->shift + j, left));
            a[i] = vec_masked(term == COLUMN_SLOPED, y, a[i], in->slope);
        }
        b[i] = a[i] * d;
    }
    if (runs == COLUMN_RUNS) {
        a[0] = (a[0] + a[1]) + (a[2] + a[3]);
        b[0] = (b[0] + b[1]) + (b[2] + b[3]);
    }
    vec_store_part(sum[0] + j, vec_load_part(sum[0] + j, left) + a[0], left);
    if (term == COLUMN_X) return;
    vec_store_part(sum[1] + j, vec_load_part(sum[1] + j, left) + b[0], left);
}

/* n rows of each run. */
INLINE void columns_of(const enum column_term term, const int runs, int64_t n, int64_t step,
                       int64_t stride, int64_t width, struct column_in in,
                       float sum[2][COLUMN_TILE])
{
    for (; n > 0; n--, in.x += stride) {
        int64_t j = 0;
        for (; j + VEC_LANES <= width; j += VEC_LANES)
            columns_at(term, runs, step, j, VEC_LANES, &in, sum);
        if (j < width) columns_at(term, runs, step, j, width - j, &in, sum);
        if (term >= COLUMN_GRAD) in.dy += stride;
    }
}

INLINE void columns_add(const int runs, int64_t n, int64_t step, int64_t stride, int64_t width,
                        const struct column_in *in, float sum[2][COLUMN_TILE])
{
    switch (in->term) {
    case COLUMN_X:
        columns_of(COLUMN_X, runs, n, step, stride, width, *in, sum);
        return;
    case COLUMN_MOMENTS:
        columns_of(COLUMN_MOMENTS, runs, n, step, stride, width, *in, sum);
        return;
    case COLUMN_GRAD:
        columns_of(COLUMN_GRAD, runs, n, step, stride, width, *in, sum);
        return;
    case COLUMN_MASKED:
        columns_of(COLUMN_MASKED, runs, n, step, stride, width, *in, sum);
        return;
    case COLUMN_SLOPED:
        columns_of(COLUMN_SLOPED, runs, n, step, stride, width, *in, sum);
        return;
    }
}

/* Rows on: of what is summed. */
static inline void columns_skip(struct column_in *in, int64_t elements)
{
    in->x += elements;
    if (in->dy) in->dy += elements;
}

/* total[2][width] = the sums over rows of `width` columns, out of c, beginning at in's pointers. */
static inline void columns_total(struct column_in in, int64_t rows, int64_t c, int64_t width,
                                 double total[2][COLUMN_TILE])
{
    const int64_t repeat = width == c ? column_repeat(c, rows) : 1;
    const int64_t stride = repeat * c, wide = repeat * width, all = rows / repeat;
    const int64_t run = all / COLUMN_RUNS;
    const int sums = in.term == COLUMN_X ? 1 : 2;
    float mean[COLUMN_TILE], scale[COLUMN_TILE], shift[COLUMN_TILE], sum[2][COLUMN_TILE];
    in.mean = column_spread(mean, in.mean, c, repeat);
    in.scale = column_spread(scale, in.scale, c, repeat);
    in.shift = column_spread(shift, in.shift, c, repeat);
    for (int s = 0; s < sums; s++) memset(total[s], 0, (size_t)width * sizeof total[s][0]);
    for (int64_t at = 0; at <= run; at += COLUMN_CHUNK) {
        const int64_t n = run - at < COLUMN_CHUNK ? run - at : COLUMN_CHUNK;
        for (int s = 0; s < sums; s++) memset(sum[s], 0, (size_t)wide * sizeof sum[s][0]);
        columns_add(COLUMN_RUNS, n, run * stride, stride, wide, &in, sum);
        columns_skip(&in, n * stride);
        if (n < COLUMN_CHUNK) { /* the last: what is behind the runs, and a part of a wide row */
            columns_skip(&in, (COLUMN_RUNS - 1) * run * stride);
            columns_add(1, all - COLUMN_RUNS * run, 0, stride, wide, &in, sum);
            columns_skip(&in, (all - COLUMN_RUNS * run) * stride);
            columns_add(1, rows % repeat > 0, 0, stride, rows % repeat * width, &in, sum);
        }
        for (int s = 0; s < sums; s++) {
            for (int64_t i = 0; i < repeat; i++) {
                for (int64_t j = 0; j < width; j++) total[s][j] += (double)sum[s][i * width + j];
            }
        }
    }
}

#endif
