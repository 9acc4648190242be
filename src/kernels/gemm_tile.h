/* gemm_tile.h - the batch-reduce GEMM micro-kernel: R rows x V vectors of C stay in registers over
 * the whole sum.
 *
 * Included by the gemm.c of an instruction set, once for each vector width, with these defined:
 *
 *   T(x)                      name of x for this width
 *   VEC MASK LANES            vector, mask of its lanes, floats in it
 *   ZERO() SPLAT(p) FMA(a, b, c) ADD(a, b) MAX(a, b)
 *   FMA_AT(p, b, c)           FMA(SPLAT(p), b, c) as one instruction; may be missing
 *   LOAD(p) STORE(p, v) LOADM(p, mask) STOREM(p, mask, v)
 *   TILES1(V) TILES2(V) TILES4(V)  TILE(R, V) for R = 1, 2 ... as many rows as registers allow
 *   ROWS1                     the most rows of all; TILES2 and TILES4 may be missing
 *
 * One element of C is one chain of fused multiply-adds over (i, p), so tiles can be cut anywhere
 * without changing bits. A is read by broadcast loads, hence any strides; the last vector of a tile
 * is masked. Rows of A are reached from every second or fourth row's pointer with a scaled index,
 * else 28 addresses would not fit the general registers. Source: Georganas et al., "High-performance
 * deep learning via a single building block", 2020.
 *
 * Instructions are scarce: 14x2 needs 51 a step with a broadcast for each row, of the 84 that a core
 * can issue meanwhile, or of 42 if what runs beside it on the core takes its half. So where an FMA reads
 * A itself, most rows of two vectors do: each saves an instruction for one more load, of which 28 a
 * step are free. With an index such an FMA is two instructions again: rows in place do it at their
 * pointers, every second one (47 a step), and of rows that lie beside each other, whose distances
 * are constants, all do but every seventh (36). Emerald Rapids, in the first level: 1.07 and 1.18 times
 * as fast while others seem to share the core, else the same.
 */
#include "kernels/unroll.h"

#ifdef FMA_AT
#define READS 1
#else
#define READS           0
#define FMA_AT(p, b, c) FMA(SPLAT(p), b, c)
#endif

typedef void (*T(tile_fn))(const struct gemm_f32 *g, int64_t r0, int64_t j0, MASK mask);

static inline __attribute__((always_inline)) int64_t T(at)(const int64_t *offsets, int64_t i)
{
    return offsets ? offsets[i] : 0;
}

/* acc += A_i B_i for one i. c: the tile's place in C if this is the last i, else NULL. Its lines,
 * and those of the tile below, are fetched 48 steps before they are needed, about a memory's
 * latency: stores that miss hold back the loads of the next tile (up to 8 % of the time if rows of
 * C are 4 KB apart). The steps before and after the fetch are one loop run twice, so that it holds
 * no test but its end: a machine of two multiply-adds a cycle has no instruction to spare (210
 * instead of 190 GFLOP/s of 235 on Sapphire Rapids).
 *
 * `ask`: a line of `ahead` is fetched each step. Memory answers at its full rate only if it is
 * asked evenly and in order: bursts before each call, of which a core holds some 24 at a time, cost
 * 25 % of the weight gradient of 64 to 256 channels on Zen 5, a line each step 5 to 10 %. Tiles of
 * one vector are twice as tall, and those of few rows read two lines of B a step: they ask for two. */
static inline __attribute__((always_inline)) void
T(multiply)(const struct gemm_f32 *g, const float *a, const float *b, const float *c, MASK mask,
            VEC *acc, const int R, const int V, const float *ahead, const bool ask,
            const bool beside)
{
    const int64_t a_row = beside ? 1 : g->a_row, a_col = g->a_col, b_row = g->b_row;
    const bool reads = READS && V == 2;
    const int lines = V == 1 || R < 4 ? 2 : 1; /* asked for each step */
    const int each = beside ? ROWS1 : reads ? 2 : 4; /* rows a pointer */
    const float *from[ROWS1];
    UNROLL
    for (int q = 0; q < (R + each - 1) / each; q++) from[q] = a + each * q * a_row;
    int64_t later = c && g->k > 48 ? 48 : 0;
    for (int64_t steps = g->k - later;; steps = later, later = 0) {
        for (int64_t p = steps; p > 0; p--) {
            VEC bv[4];
            UNROLL
            for (int v = 0; v < V; v++)
                bv[v] = v < V - 1 ? LOAD(b + v * LANES) : LOADM(b + v * LANES, mask);
            b += b_row;
            if (ask) {
                UNROLL
                for (int i = 0; i < lines; i++) __builtin_prefetch(ahead + 16 * i);
                ahead += g->ahead_step;
            }
            UNROLL
            for (int r = 0; r < R; r++) {
                const float *at = from[r / each] + r % each * a_row;
                if (reads && (beside ? r % 7 != 0 : r % 2 == 0)) {
                    UNROLL
                    for (int v = 0; v < V; v++) acc[r * V + v] = FMA_AT(at, bv[v], acc[r * V + v]);
                    continue;
                }
                const VEC x = SPLAT(at);
                UNROLL
                for (int v = 0; v < V; v++) acc[r * V + v] = FMA(x, bv[v], acc[r * V + v]);
            }
            UNROLL
            for (int q = 0; q < (R + each - 1) / each; q++) {
                from[q] += a_col;
                if (reads)
                    __asm__("" : "+r"(from[q])); /* else clang makes them one, and an index */
            }
        }
        if (later == 0) return;
        for (int64_t r = 0; r < 2 * R; r++) {
            __builtin_prefetch(c + r * g->c_row, 1);
            __builtin_prefetch(c + r * g->c_row + V * LANES - 1, 1);
        }
    }
}

/* A loop over rows for each thing to do: one loop with the conditions inside is too long for
 * clang to unroll. */
static inline __attribute__((always_inline)) void T(finish)(const struct gemm_f32 *g, float *c,
                                                            const float *bias, MASK mask, VEC *acc,
                                                            const int R, const int V)
{
    if (bias) {
        VEC add[4];
        UNROLL
        for (int v = 0; v < V; v++)
            add[v] = v < V - 1 ? LOAD(bias + v * LANES) : LOADM(bias + v * LANES, mask);
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int v = 0; v < V; v++) acc[r * V + v] = ADD(acc[r * V + v], add[v]);
        }
    }
    if (g->relu) {
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int v = 0; v < V; v++)
                acc[r * V + v] =
                    MAX(ZERO(), acc[r * V + v]); /* keeps NaN: it is the second operand */
        }
    }
    UNROLL
    for (int r = 0; r < R; r++) {
        float *row = c + r * g->c_row;
        UNROLL
        for (int v = 0; v < V - 1; v++) STORE(row + v * LANES, acc[r * V + v]);
        STOREM(row + (V - 1) * LANES, mask, acc[r * V + V - 1]);
    }
}

static inline __attribute__((always_inline)) void T(sum)(const struct gemm_f32 *g, int64_t r0,
                                                         int64_t j0, MASK mask, VEC *acc,
                                                         const int R, const int V, const bool ask,
                                                         const bool beside)
{
    const float *c = g->c + r0 * g->c_row + j0;
    const float *ahead = ask ? g->ahead + r0 * g->ahead_row : NULL;
    for (int64_t i = 0; i < g->batch; i++) {
        T(multiply)
        (g, g->a + T(at)(g->a_at, i) + r0 * g->a_row, g->b + T(at)(g->b_at, i) + j0,
         i + 1 < g->batch ? NULL : c, mask, acc, R, V, ahead, ask, beside);
        if (ask) ahead += g->ahead_step * g->k;
    }
}

/* Tiles of four vectors, which are of few rows, do not ask ahead. */
static inline __attribute__((always_inline)) void
T(tile)(const struct gemm_f32 *g, int64_t r0, int64_t j0, MASK mask, const int R, const int V)
{
    VEC acc[32]; /* R V of them, in registers */
    float *c = g->c + r0 * g->c_row + j0;
    if (g->accumulate) {
        UNROLL
        for (int r = 0; r < R; r++) {
            const float *row = c + r * g->c_row;
            UNROLL
            for (int v = 0; v < V; v++)
                acc[r * V + v] = v < V - 1 ? LOAD(row + v * LANES) : LOADM(row + v * LANES, mask);
        }
    } else {
        UNROLL
        for (int i = 0; i < R * V; i++) acc[i] = ZERO();
    }
    if (V <= 2 && g->ahead && g->a_row == 1) {
        T(sum)(g, r0, j0, mask, acc, R, V, true, true);
    } else if (V <= 2 && g->ahead) {
        T(sum)(g, r0, j0, mask, acc, R, V, true, false);
    } else if (V <= 2 && g->a_row == 1) {
        T(sum)(g, r0, j0, mask, acc, R, V, false, true);
    } else {
        T(sum)(g, r0, j0, mask, acc, R, V, false, false);
    }
    T(finish)(g, c, g->bias ? g->bias + j0 : NULL, mask, acc, R, V);
}

/* One function for each row count up to the largest, in a table indexed by it. */
#define TILE(R, V)                                                                                 \
    static void T(tile_##R##x##V)(const struct gemm_f32 *g, int64_t r0, int64_t j0, MASK mask)     \
    {                                                                                              \
        T(tile)(g, r0, j0, mask, R, V);                                                            \
    }
TILES1(1)
#ifdef TILES2
TILES2(2)
TILES4(4)
#endif
#undef TILE
#define TILE(R, V) T(tile_##R##x##V),
static const T(tile_fn) T(tiles1)[] = {NULL, TILES1(1)};
#ifdef TILES2
static const T(tile_fn) T(tiles2)[] = {NULL, TILES2(2)};
static const T(tile_fn) T(tiles4)[] = {NULL, TILES4(4)};
#endif
#undef TILE

/* Columns [j0, j0 + one tile) of C: m rows in equal tiles of at
 * most `rows`, the first ones one row taller. */
static void T(panel)(const struct gemm_f32 *g, int64_t j0, MASK mask, const T(tile_fn) * tiles,
                     int64_t rows)
{
    const int64_t n = (g->m + rows - 1) / rows, base = n > 0 ? g->m / n : 0,
                  taller = n > 0 ? g->m % n : 0;
    for (int64_t r = 0, t = 0; t < n; t++) {
        const int64_t height = base + (t < taller);
        tiles[height](g, r, j0, mask);
        r += height;
    }
}

#if !READS
#undef FMA_AT
#endif
#undef READS
