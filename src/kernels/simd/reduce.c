/* reduce.c - sums and maxima over the middle axis: along rows if inner is 1, down columns else.
 * Rows of few numbers become columns first (few.h).
 */
#include "kernels/simd/columns.h"
#include "kernels/simd/few.h"
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

static void reduce_few(int kind, int64_t rows, int64_t n, const float *x, float *y)
{
    few_column column[FEW];
    few_turn(rows, n, x, column);
    for (int64_t j = 1; j < n; j++) {
#pragma omp simd
        for (int64_t r = 0; r < few_wide(rows); r++)
            column[0][r] = kind == REDUCE_SUM ? column[0][r] + column[j][r]
                                              : larger(column[0][r], column[j][r]);
    }
    for (int64_t r = 0; r < rows; r++) y[r] = column[0][r];
}

static void reduce(int kind, int64_t outer, int64_t r, int64_t inner, const float *x, float *y)
{
    if (inner == 1 && r > 0 && r <= FEW) {
        for (int64_t o = 0; o < outer; o += FEW_ROWS)
            reduce_few(kind, outer - o < FEW_ROWS ? outer - o : FEW_ROWS, r, x + o * r, y + o);
        return;
    }
    for (int64_t o = 0; o < outer; o++, x += r * inner, y += inner) {
        if (inner == 1)
            *y = kind == REDUCE_SUM ? (float)row_sum(r, x) : row_max(r, x);
        else if (kind == REDUCE_SUM)
            sum_columns(r, inner, x, y);
        else
            max_columns(r, inner, x, y);
    }
}

/* Blocks are skipped at the speed of a vector compare until one has the maximum. */
static int64_t first_max(int64_t n, const float *x)
{
    enum { BLOCK = 64 };
    const float max = row_max(n, x);
    int64_t j = 0;
    for (int found = 0; j + BLOCK < n; j += BLOCK) {
#pragma omp simd reduction(| : found)
        for (int64_t l = 0; l < BLOCK; l++)
            found |= (int)(x[j + l] == max) | (int)(x[j + l] != x[j + l]);
        if (found) break;
    }
    while (j < n - 1 && (max != max ? x[j] == x[j] : x[j] != max)) j++;
    return j;
}

/* Best value and its index down `width` columns, a block at a time; rows are x_row apart. */
static void argmax_columns(int64_t r, int64_t x_row, int64_t width, const float *x, int32_t *y)
{
    enum { BLOCK = 256 };
    float best[BLOCK];
    for (int64_t at = 0; at < width; at += BLOCK) {
        const int64_t n = width - at < BLOCK ? width - at : BLOCK;
        for (int64_t j = 0; j < n; j++) y[at + j] = 0;
        for (int64_t j = 0; j < n && r > 0; j++) best[j] = x[at + j];
        for (int64_t i = 1; i < r; i++) {
            const float *row = x + i * x_row + at;
#pragma omp simd
            for (int64_t j = 0; j < n; j++) {
                const bool now = (row[j] > best[j]) | ((row[j] != row[j]) & (best[j] == best[j]));
                best[j] = now ? row[j] : best[j];
                y[at + j] = now ? (int32_t)i : y[at + j];
            }
        }
    }
}

static void argmax_few(int64_t rows, int64_t n, const float *x, int32_t *y)
{
    few_column column[FEW];
    int32_t at[FEW_ROWS];
    few_turn(rows, n, x, column);
    argmax_columns(n, FEW_ROWS, few_wide(rows), column[0], at);
    for (int64_t r = 0; r < rows; r++) y[r] = at[r];
}

static void argmax(int64_t outer, int64_t r, int64_t inner, const float *x, int32_t *y)
{
    if (inner == 1 && r > 0 && r <= FEW) {
        for (int64_t o = 0; o < outer; o += FEW_ROWS)
            argmax_few(outer - o < FEW_ROWS ? outer - o : FEW_ROWS, r, x + o * r, y + o);
        return;
    }
    for (int64_t o = 0; o < outer; o++, x += r * inner, y += inner) {
        if (inner == 1)
            *y = (int32_t)first_max(r, x);
        else
            argmax_columns(r, inner, inner, x, y);
    }
}

void FILL(reduce)(struct kernels *k)
{
    k->f32.reduce = reduce;
    k->f32.argmax = argmax;
}
