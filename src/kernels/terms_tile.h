/* terms_tile.h - gemm_terms: tiles of rows x 1 or 2 vectors of C, each term at its own place.
 *
 * Included by the terms.c of an instruction set, with these defined:
 *
 *   VEC LANES                 vector, floats in it
 *   ZERO() SPLAT(p) FMA(a, b, c) ADD(a, b) LOAD(p) STORE(p, v)
 *   STREAM(p, v)              a store of a whole, aligned line's part around the caches
 *   ROWS2 ROWS1               rows of a tile of 2 vectors and of 1; no ROWS1 where 16 columns are 2
 *
 * A list of terms has no loop inside a loop, so a tap row of 3 terms costs no more than one of 30,
 * and a tile is left soon: small ones, whose sums a processor overlaps with the stores of the one
 * before, are the fast ones. Zen 5, 27 terms, 64 columns: 8x2 94 % of the multiply-adds, 14x2 83,
 * 28x1 50. One vector is bound by its loads, one for each multiply-add: 60 %. Where terms come in
 * runs, each a row of A beyond the one before (taps along W of one channel), a number of A is
 * loaded once for a whole run: 90 %. Stores straight from registers go around the caches while the next
 * tile computes: 3 terms reach the memory's rate. Rows that remain overlap those before them, and
 * are computed twice to the same bits.
 */
#include "kernels/unroll.h"

static inline __attribute__((always_inline)) void finish(const struct gemm_f32 *g, int64_t r0,
                                                         int64_t j0, bool stream, VEC *acc,
                                                         const int R, const int V)
{
    const int64_t c_row = g->c_row;
    float *c = g->c + r0 * c_row + j0;
    if (g->bias) {
        UNROLL
        for (int v = 0; v < V; v++) {
            const VEC add = LOAD(g->bias + j0 + v * LANES);
            UNROLL
            for (int r = 0; r < R; r++) acc[r * V + v] = ADD(acc[r * V + v], add);
        }
    }
    if (stream) {
        UNROLL
        for (int i = 0; i < R * V; i++) STREAM(c + i / V * c_row + i % V * LANES, acc[i]);
    } else {
        UNROLL
        for (int i = 0; i < R * V; i++) STORE(c + i / V * c_row + i % V * LANES, acc[i]);
    }
}

/* T terms, each a row of A beyond the one before, so that a number of A serves T rows in turn. */
static inline __attribute__((always_inline)) void multiply(const float *a, int64_t a_row,
                                                           const float *b, const int64_t *b_at,
                                                           VEC *acc, const int R, const int V,
                                                           const int T)
{
    const float *quad[6];
    VEC bv[7];
    UNROLL
    for (int q = 0; q < (R + T + 2) / 4; q++) quad[q] = a + 4 * q * a_row;
    UNROLL
    for (int i = 0; i < T * V; i++) bv[i] = LOAD(b + b_at[i / V] + i % V * LANES);
    UNROLL
    for (int r = 0; r < R + T - 1; r++) {
        const VEC x = SPLAT(quad[r / 4] + r % 4 * a_row);
        UNROLL
        for (int t = 0; t < T; t++) {
            const int to = r - t;
            if (to < 0 || to >= R) continue;
            UNROLL
            for (int v = 0; v < V; v++) acc[to * V + v] = FMA(x, bv[t * V + v], acc[to * V + v]);
        }
    }
}

/* T: of the list's runs. */
static inline __attribute__((always_inline)) void tile(const struct gemm_f32 *g, int64_t r0,
                                                       int64_t j0, bool stream, const int R,
                                                       const int V, const int T)
{
    const int64_t batch = g->batch, a_row = g->a_row, *a_at = g->a_at, *b_at = g->b_at;
    const float *a = g->a + r0 * a_row, *b = g->b + j0;
    VEC acc[16]; /* R V of them, in registers */
    UNROLL
    for (int i = 0; i < R * V; i++) acc[i] = ZERO();
    for (int64_t i = 0; i < batch; i += T) multiply(a + a_at[i], a_row, b, b_at + i, acc, R, V, T);
    finish(g, r0, j0, stream, acc, R, V);
}

/* Rows of the tile for `left` rows of m: half or a quarter of one where that is enough. */
static inline int64_t height(int64_t m, int64_t left, int64_t rows)
{
    const int64_t tall = left > rows / 2 ? rows : left > rows / 4 ? rows / 2 : rows / 4;
    return tall <= m ? tall : 1;
}

/* `rows` are whole tiles of ROWS2, or what height gives. */
static void pair(const struct gemm_f32 *g, int64_t r, int64_t rows, int64_t j, bool stream)
{
    if (rows == ROWS2)
        tile(g, r, j, stream, ROWS2, 2, 1);
    else if (rows == ROWS2 / 2)
        tile(g, r, j, stream, ROWS2 / 2, 2, 1);
    else if (rows == ROWS2 / 4)
        tile(g, r, j, stream, ROWS2 / 4, 2, 1);
    else
        tile(g, r, j, stream, 1, 2, 1);
}

#ifdef ROWS1
/* Whether the list is runs of `run` terms, each a row of A beyond the one before. */
static bool runs_of(const struct gemm_f32 *g, int64_t run)
{
    if (g->batch % run != 0) return false;
    for (int64_t i = 0; i < g->batch; i++) {
        if (i % run != 0 && g->a_at[i] - g->a_at[i - 1] != g->a_row) return false;
    }
    return true;
}

static int64_t choose_run(const struct gemm_f32 *g)
{
    static const int64_t known[] = {7, 5, 4, 3, 2};
    for (int i = 0; i < 5; i++) {
        if (runs_of(g, known[i])) return known[i];
    }
    return 1;
}

static void whole_single(const struct gemm_f32 *g, int64_t r, int64_t j, bool stream, int64_t run)
{
    switch (run) {
    case 7:
        tile(g, r, j, stream, ROWS1, 1, 7);
        break;
    case 5:
        tile(g, r, j, stream, ROWS1, 1, 5);
        break;
    case 4:
        tile(g, r, j, stream, ROWS1, 1, 4);
        break;
    case 3:
        tile(g, r, j, stream, ROWS1, 1, 3);
        break;
    case 2:
        tile(g, r, j, stream, ROWS1, 1, 2);
        break;
    default:
        tile(g, r, j, stream, ROWS1, 1, 1);
        break;
    }
}

static void single(const struct gemm_f32 *g, int64_t r, int64_t rows, int64_t j, bool stream)
{
    if (rows == ROWS1 / 2)
        tile(g, r, j, stream, ROWS1 / 2, 1, 1);
    else if (rows == ROWS1 / 4)
        tile(g, r, j, stream, ROWS1 / 4, 1, 1);
    else
        tile(g, r, j, stream, 1, 1, 1);
}

static void singles(const struct gemm_f32 *g, int64_t j, bool stream)
{
    const int64_t run = choose_run(g);
    for (int64_t r = 0, rows; r < g->m; r += rows) {
        rows = height(g->m, g->m - r, ROWS1);
        if (r + rows > g->m) r = g->m - rows;
        if (rows == ROWS1)
            whole_single(g, r, j, stream, run);
        else
            single(g, r, rows, j, stream);
    }
}
#endif

/* Pairs of vectors a tile's rows at a time, so that a point's columns are written together. */
static void gemm_terms(const struct gemm_f32 *g, bool stream)
{
    const int64_t paired = g->n / (2 * LANES) * (2 * LANES);
    if ((uintptr_t)g->c % 64 != 0 || g->c_row % 16 != 0) stream = false;
    for (int64_t r = 0, rows; r < g->m && paired > 0; r += rows) {
        rows = height(g->m, g->m - r, ROWS2);
        if (r + rows > g->m) r = g->m - rows;
        for (int64_t j = 0; j < paired; j += 2 * LANES) pair(g, r, rows, j, stream);
    }
#ifdef ROWS1
    if (paired < g->n) singles(g, paired, stream);
#endif
}
