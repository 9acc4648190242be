/* reduce.c - sums and maxima over the middle axis: along rows if inner is 1, down columns else. */
#include "kernels/simd/columns.h"
#include "kernels/simd/rows.h"

static void sum_columns(int64_t r, int64_t inner, const float *x, float *y)
{
    double total[2][COLUMN_TILE];
    for (int64_t at = 0; at < inner; at += COLUMN_TILE) {
        const struct column_in in = {.term = COLUMN_X, .x = x + at};
        const int64_t width = inner - at < COLUMN_TILE ? inner - at : COLUMN_TILE;
        columns_total(in, r, inner, width, total);
        for (int64_t j = 0; j < width; j++) y[at + j] = (float)total[0][j];
    }
}

static void max_columns(int64_t r, int64_t inner, const float *x, float *y)
{
    for (int64_t j = 0; j < inner; j++) y[j] = -INFINITY;
    for (int64_t i = 0; i < r; i++, x += inner) {
#pragma omp simd
        for (int64_t j = 0; j < inner; j++) y[j] = larger(y[j], x[j]);
    }
}

static void reduce(int kind, int64_t outer, int64_t r, int64_t inner, const float *x, float *y)
{
    for (int64_t o = 0; o < outer; o++, x += r * inner, y += inner) {
        if (inner == 1)
            *y = kind == REDUCE_SUM ? (float)row_sum(r, x) : row_max(r, x);
        else if (kind == REDUCE_SUM)
            sum_columns(r, inner, x, y);
        else
            max_columns(r, inner, x, y);
    }
}

static int64_t first_max(int64_t n, const float *x)
{
    const float max = row_max(n, x);
    int64_t j = 0;
    while (j < n - 1 && (max != max ? x[j] == x[j] : x[j] != max)) j++;
    return j;
}

/* Best value and its index down a block of columns. */
static void argmax_columns(int64_t r, int64_t inner, const float *x, int32_t *y)
{
    enum { BLOCK = 256 };
    float best[BLOCK];
    for (int64_t at = 0; at < inner; at += BLOCK) {
        const int64_t n = inner - at < BLOCK ? inner - at : BLOCK;
        for (int64_t j = 0; j < n; j++) y[at + j] = 0;
        for (int64_t j = 0; j < n && r > 0; j++) best[j] = x[at + j];
        for (int64_t i = 1; i < r; i++) {
            const float *row = x + i * inner + at;
#pragma omp simd
            for (int64_t j = 0; j < n; j++) {
                const bool now = (row[j] > best[j]) | ((row[j] != row[j]) & (best[j] == best[j]));
                best[j] = now ? row[j] : best[j];
                y[at + j] = now ? (int32_t)i : y[at + j];
            }
        }
    }
}

static void argmax(int64_t outer, int64_t r, int64_t inner, const float *x, int32_t *y)
{
    for (int64_t o = 0; o < outer; o++, x += r * inner, y += inner) {
        if (inner == 1)
            *y = (int32_t)first_max(r, x);
        else
            argmax_columns(r, inner, x, y);
    }
}

void FILL(reduce)(struct kernels *k)
{
    k->f32.reduce = reduce;
    k->f32.argmax = argmax;
}
