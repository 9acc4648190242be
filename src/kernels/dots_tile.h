/* dots_tile.h - the gemm of few columns as dot products: R rows x N columns of C, each in a vector
 * of partial sums over k, folded at the end.
 *
 * Included by the dots.c of an instruction set with these defined:
 *
 *   VEC MASK LANES  ZERO() FMA(a, b, c) LOAD(p) LOADM(p, mask) STORE(p, v) STOREM(p, mask, v)
 *   lanes(n)        mask of the first n lanes
 *   FOLD(acc)       vector whose lane i is the sum over acc[i], for LANES vectors
 *   ROWS2 ROWS3 ROWS4  most rows of a tile with 2, 3, 4 columns; with one they are LANES
 *
 * With one column of C, a vector of columns would use one lane of 16. Here all are busy: an element
 * of A is loaded once for all columns, and a load of A is the only one that a multiply-add needs.
 * A machine that loads one vector a cycle reaches 80 to 90 % of its multiply-adds, less the folding
 * (45 instructions for 16 sums). From memory it needs what lies ahead asked for evenly: 32 channels
 * to one 0.48 -> 0.42 ms, near a copy's time, the gradient of one channel by 16 taps of 64 6.8 -> 4.1
 * (Emerald Rapids with AMX, 2026-12-01). An element's sum depends on k and the batch alone, not on
 * the rows beside it.
 */

#include "kernels/unroll.h"

enum { LINE = 16 };

typedef void (*tile_fn)(const struct gemm_f32 *g, int64_t r0, int64_t from);

/* Asks for one step's share of what lies ahead. */
static inline __attribute__((always_inline)) const float *ask(const float *ahead, int64_t floats)
{
    for (int64_t i = 0; i < floats; i += LINE) __builtin_prefetch(ahead + i);
    return ahead + floats;
}

/* Returns what is still to be asked for. */
static inline __attribute__((always_inline)) const float *
add_products(const struct gemm_f32 *g, const float *a, const float *b, const float *ahead, VEC *acc,
             const int R, const int N, const bool asks)
{
    const int64_t a_row = g->a_row, b_row = g->b_row, whole = g->k / LANES * LANES;
    for (int64_t p = 0; p < whole; p += LANES) {
        VEC bv[4];
        for (int j = 0; j < N; j++) bv[j] = LOAD(b + j * b_row + p);
        if (asks) ahead = ask(ahead, g->ahead_step);
        for (int r = 0; r < R; r++) {
            const VEC x = LOAD(a + r * a_row + p);
            for (int j = 0; j < N; j++) acc[r * N + j] = FMA(x, bv[j], acc[r * N + j]);
        }
    }
    if (whole == g->k) return ahead;
    const MASK rest = lanes(g->k - whole);
    VEC bv[4];
    for (int j = 0; j < N; j++) bv[j] = LOADM(b + j * b_row + whole, rest);
    for (int r = 0; r < R; r++) {
        const VEC x = LOADM(a + r * a_row + whole, rest);
        for (int j = 0; j < N; j++) acc[r * N + j] = FMA(x, bv[j], acc[r * N + j]);
    }
    return asks ? ask(ahead, g->ahead_step) : ahead;
}

/* Rows [from, R) of the tile: the ones before are another tile's. */
static inline __attribute__((always_inline)) void
put(const struct gemm_f32 *g, float *c, int64_t from, VEC sums, const int R, const int N)
{
    const bool plain = from == 0 && !g->accumulate && !g->bias && !g->relu;
    if (plain && g->c_row == N) {
        STOREM(c, lanes(R * N), sums);
        return;
    }
    float sum[LANES];
    STORE(sum, sums);
    if (plain) {
        for (int r = 0; r < R; r++, c += g->c_row) {
            for (int j = 0; j < N; j++) c[j] = sum[r * N + j];
        }
        return;
    }
    c += from * g->c_row;
    for (int64_t r = from; r < R; r++, c += g->c_row) {
        for (int j = 0; j < N; j++) {
            const float v =
                sum[r * N + j] + (g->accumulate ? c[j] : 0) + (g->bias ? g->bias[j] : 0);
            c[j] = g->relu && v < 0 ? 0 : v;
        }
    }
}

static inline __attribute__((always_inline)) void tile(const struct gemm_f32 *g, int64_t r0,
                                                       int64_t from, const int R, const int N,
                                                       const bool asks)
{
    VEC acc[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) acc[i] = ZERO();
    const float *ahead = asks ? g->ahead + r0 * g->ahead_row : NULL;
    for (int64_t i = 0; i < g->batch; i++)
        ahead = add_products(g, g->a + (g->a_at ? g->a_at[i] : 0) + r0 * g->a_row,
                             g->b + (g->b_at ? g->b_at[i] : 0), ahead, acc, R, N, asks);
    put(g, g->c + r0 * g->c_row, from, FOLD(acc), R, N);
}

/* Tiles that ask are functions of their own: others keep their registers. */
#define TILE(R, N)                                                                                 \
    static void tile_##N(const struct gemm_f32 *g, int64_t r0, int64_t from)                       \
    {                                                                                              \
        tile(g, r0, from, R, N, false);                                                            \
    }                                                                                              \
    static void asking_##N(const struct gemm_f32 *g, int64_t r0, int64_t from)                     \
    {                                                                                              \
        tile(g, r0, from, R, N, true);                                                             \
    }                                                                                              \
    static void row_##N(const struct gemm_f32 *g, int64_t r0, int64_t from)                        \
    {                                                                                              \
        tile(g, r0, from, 1, N, false);                                                            \
    }
TILE(LANES, 1)
TILE(ROWS2, 2)
TILE(ROWS3, 3)
TILE(ROWS4, 4)

/* Floats of each step that make a tile's rows of what lies ahead. */
static int64_t floats_ahead(const struct gemm_f32 *g)
{
    static const int64_t height[] = {0, LANES, ROWS2, ROWS3, ROWS4};
    const int64_t steps = g->batch * ((g->k + LANES - 1) / LANES);
    if (!g->ahead || steps == 0) return 0;
    return (height[g->n < 4 ? g->n : 4] * g->ahead_row + steps - 1) / steps;
}

/* Up to 4 columns: whole tiles, the last one reaching back; fewer rows than that one by one. */
static void columns(const struct gemm_f32 *g)
{
    static const tile_fn tiles[] = {NULL, tile_1, tile_2, tile_3, tile_4};
    static const tile_fn asking[] = {NULL, asking_1, asking_2, asking_3, asking_4};
    static const tile_fn single[] = {NULL, row_1, row_2, row_3, row_4};
    static const int64_t height[] = {0, LANES, ROWS2, ROWS3, ROWS4};
    const int64_t rows = height[g->n];
    const tile_fn whole = g->ahead_step > 0 ? asking[g->n] : tiles[g->n];
    int64_t r = 0;
    for (; r + rows <= g->m; r += rows) whole(g, r, 0);
    if (r < g->m && g->m >= rows) {
        tiles[g->n](g, g->m - rows, r - (g->m - rows));
        return;
    }
    for (; r < g->m; r++) single[g->n](g, r, 0);
}

static void gemm_dots(const struct gemm_f32 *g)
{
    struct gemm_f32 part = *g;
    for (int64_t j = 0; j < g->n; j += 4) {
        part.n = g->n - j < 4 ? g->n - j : 4;
        part.b = g->b + j * g->b_row;
        part.c = g->c + j;
        part.bias = g->bias ? g->bias + j : NULL;
        part.ahead_step = j == 0 ? floats_ahead(g) : 0;
        columns(&part);
    }
}
