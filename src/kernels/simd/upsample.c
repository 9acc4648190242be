/* upsample.c - one axis finer by a factor, f32: two new points come from each pair of neighbours for
 * factor 2, whatever lies inside (channels); few channels by loops of constant length, which become
 * shuffles instead of one short loop a point.
 */
#include "kernels/upsample.h"

#include <string.h>

#include "kernels/simd/simd.h"

#define INLINE static inline __attribute__((always_inline))

/* ---------------------------------------------------------------------- forward --- */

static void repeat(int64_t times, int64_t c, const float *x, float *y)
{
    for (int64_t k = 0; k < times; k++) memcpy(y + k * c, x, (size_t)c * sizeof *y);
}

INLINE void between(int64_t c, float b, const float *restrict x, float *restrict y)
{
    const float a = 1.0F - b;
#pragma omp simd
    for (int64_t e = 0; e < c; e++) y[e] = FMA(a, x[e], b * x[c + e]);
}

INLINE void pairs(int64_t n, int64_t c, const float *restrict x, float *restrict y)
{
#pragma omp simd
    for (int64_t e = 0; e < n * c; e++) {
        const int64_t to = e + e / c * c;
        y[to] = FMA(0.75F, x[e], 0.25F * x[c + e]);
        y[to + c] = FMA(0.25F, x[e], 0.75F * x[c + e]);
    }
}

static void pairs_wide(int64_t n, int64_t c, const float *restrict x, float *restrict y)
{
    for (int64_t w = 0; w < n; w++, x += c, y += 2 * c) {
#pragma omp simd
        for (int64_t e = 0; e < c; e++) {
            y[e] = FMA(0.75F, x[e], 0.25F * x[c + e]);
            y[c + e] = FMA(0.25F, x[e], 0.75F * x[c + e]);
        }
    }
}

static void between_all(int64_t n, int64_t factor, int64_t c, const float *x, float *y)
{
    if (factor == 2 && c == 1) {
        pairs(n, 1, x, y);
    } else if (factor == 2 && c == 2) {
        pairs(n, 2, x, y);
    } else if (factor == 2 && c == 4) {
        pairs(n, 4, x, y);
    } else if (factor == 2 && c == 8) {
        pairs(n, 8, x, y);
    } else if (factor == 2) {
        pairs_wide(n, c, x, y);
    } else {
        for (int64_t k = 0; k < factor; k++) {
            const float b = (float)upsample_share(k, factor);
            for (int64_t w = 0; w < n; w++) {
                const float *from = x + w * c;
                float *to = y + (w * factor + k) * c;
                if (b > 0)
                    between(c, b, from, to);
                else
                    repeat(1, c, from, to);
            }
        }
    }
}

static void upsample(bool linear, int64_t n, int64_t factor, int64_t c, const float *x, float *y)
{
    if (n == 0 || c == 0) return;
    if (linear) {
        const int64_t first = factor / 2, last = factor - first;
        repeat(first, c, x, y);
        between_all(n - 1, factor, c, x, y + first * c);
        repeat(last, c, x + (n - 1) * c, y + (n * factor - last) * c);
    } else {
        for (int64_t w = 0; w < n; w++) repeat(factor, c, x + w * c, y + w * factor * c);
    }
}

/* --------------------------------------------------------------------- backward --- */

INLINE void add_point(int64_t c, float weight, const float *restrict dy, float *restrict dx)
{
#pragma omp simd
    for (int64_t e = 0; e < c; e++) dx[e] = FMA(weight, dy[e], dx[e]);
}

static void any_point(bool linear, int64_t i, int64_t n, int64_t factor, int64_t c, const float *dy,
                      float *dx)
{
    memset(dx, 0, (size_t)c * sizeof *dx);
    for (int64_t o = upsample_from(i, factor, linear); o < upsample_to(i, n, factor, linear); o++)
        add_point(c, (float)upsample_weight(o, i, n, factor, linear), dy + o * c, dx);
}

/* Points that have both neighbours; dy at the first that sees the first of them. */
INLINE void fours(int64_t n, int64_t c, const float *restrict dy, float *restrict dx)
{
#pragma omp simd
    for (int64_t e = 0; e < n * c; e++) {
        const float *const d = dy + e + e / c * c;
        dx[e] = FMA(0.25F, d[3 * c], FMA(0.75F, d[2 * c], FMA(0.75F, d[c], 0.25F * d[0])));
    }
}

static void fours_wide(int64_t n, int64_t c, const float *restrict dy, float *restrict dx)
{
    for (int64_t w = 0; w < n; w++, dx += c, dy += 2 * c) {
#pragma omp simd
        for (int64_t e = 0; e < c; e++)
            dx[e] = FMA(0.25F, dy[3 * c + e],
                        FMA(0.75F, dy[2 * c + e], FMA(0.75F, dy[c + e], 0.25F * dy[e])));
    }
}

static void inner_points(int64_t n, int64_t c, const float *dy, float *dx)
{
    if (c == 1)
        fours(n, 1, dy, dx);
    else if (c == 2)
        fours(n, 2, dy, dx);
    else if (c == 4)
        fours(n, 4, dy, dx);
    else if (c == 8)
        fours(n, 8, dy, dx);
    else
        fours_wide(n, c, dy, dx);
}

static void upsample_grad(bool linear, int64_t n, int64_t factor, int64_t c, const float *dy,
                          float *dx)
{
    if (c == 0) return;
    const bool fast = linear && factor == 2 && n > 2;
    for (int64_t i = 0; i < n; i += fast && i == 0 ? n - 1 : 1)
        any_point(linear, i, n, factor, c, dy, dx + i * c);
    if (fast) inner_points(n - 2, c, dy + c, dx + c);
}

/* ------------------------------------------------------------------------- rows --- */

/* Up to four rows at once. */
INLINE void some_rows(int rows, int64_t n, const float *const x[4], const float *w, bool add,
                      float *restrict y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float sum = add ? FMA(w[0], x[0][i], y[i]) : w[0] * x[0][i];
        if (rows > 1) sum = FMA(w[1], x[1][i], sum);
        if (rows > 2) sum = FMA(w[2], x[2][i], sum);
        if (rows > 3) sum = FMA(w[3], x[3][i], sum);
        y[i] = sum;
    }
}

#define SOME(rows)                                                                                 \
    case rows:                                                                                     \
        if (add)                                                                                   \
            some_rows(rows, n, x, w, true, y);                                                     \
        else                                                                                       \
            some_rows(rows, n, x, w, false, y);                                                    \
        break

static void up_to_four(int rows, int64_t n, const float *const x[4], const float *weight, bool add,
                       float *y)
{
    float w[4] = {0};
    for (int r = 0; r < rows; r++) w[r] = weight[r];
    switch (rows) {
        SOME(1);
        SOME(2);
        SOME(3);
        SOME(4);
    default:
        break;
    }
}

static void weighted_rows(int64_t rows, int64_t n, const float *x, const int64_t *at,
                          const float *weight, bool add, float *y)
{
    enum { BLOCK = 1024 }; /* stays in the first cache while many rows are added */
    if (rows == 0 && !add) memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t length = n - from < BLOCK ? n - from : BLOCK;
        for (int64_t r = 0; r < rows; r += 4) {
            const float *p[4] = {NULL};
            const int some = (int)(rows - r < 4 ? rows - r : 4);
            for (int k = 0; k < some; k++) p[k] = x + at[r + k] + from;
            up_to_four(some, length, p, weight + r, add || r > 0, y + from);
        }
    }
}

void FILL(upsample)(struct kernels *k)
{
    k->f32.upsample = upsample;
    k->f32.upsample_grad = upsample_grad;
    k->f32.weighted_rows = weighted_rows;
}
