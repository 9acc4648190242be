/* gemm.c - what a new instruction set starts from: gemm from the shared micro-kernel, here with the
 * compiler's own vectors of 4 floats, so that it runs anywhere. Copy the folder, replace the macros
 * by intrinsics, then follow docs/adding-an-isa.md. kernels_test compiles this file and checks it
 * like any other level.
 *
 * Give here: number and width of registers, the tile shapes that follow, what was tried and lost.
 * 16 registers: 12x1 and 6x2 leave room for B and one broadcast of A.
 */
#include <string.h>

#include "kernels/fill.h"

typedef float vec4 __attribute__((vector_size(16)));

static inline vec4 load4(const float *p)
{
    vec4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vec4 load_lanes(const float *p, int n)
{
    vec4 v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

static inline void store_lanes(float *p, int n, vec4 v)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

/* The second operand if either is NaN. */
static inline vec4 max4(vec4 a, vec4 b)
{
    typedef int32_t int4 __attribute__((vector_size(16)));
    const int4 larger = a > b;
    return (vec4)((larger & (int4)a) | (~larger & (int4)b));
}

#define T(x)            x##_4
#define VEC             vec4
#define MASK            int
#define LANES           4
#define ROWS1           12
#define ZERO()          ((vec4){0})
#define SPLAT(p)        ((vec4){*(p), *(p), *(p), *(p)})
#define FMA(a, b, c)    ((a) * (b) + (c))
#define ADD(a, b)       ((a) + (b))
#define MAX(a, b)       max4(a, b)
#define LOAD(p)         load4(p)
#define STORE(p, v)     memcpy(p, &(v), sizeof(vec4))
#define LOADM(p, m)     load_lanes(p, m)
#define STOREM(p, m, v) store_lanes(p, m, v)
#define TILES_3(V)      TILE(1, V) TILE(2, V) TILE(3, V)
#define TILES_6(V)      TILES_3(V) TILE(4, V) TILE(5, V) TILE(6, V)
#define TILES_9(V)      TILES_6(V) TILE(7, V) TILE(8, V) TILE(9, V)
#define TILES1(V)       TILES_9(V) TILE(10, V) TILE(11, V) TILE(12, V)
#define TILES2(V)       TILES_6(V)
#define TILES4(V)       TILES_3(V)
#include "kernels/gemm_tile.h"

enum { ROWS2 = 6, ROWS4 = 3 };

static void gemm(const struct gemm_f32 *g)
{
    for (int64_t j = 0; j < g->n;) {
        const int64_t left = g->n - j;
        const int width = left > 3 * LANES && g->m <= ROWS4 ? 4 : left > LANES ? 2 : 1;
        const int64_t last = left - (width - 1) * LANES;
        const int lanes = last < LANES ? (int)last : LANES;
        if (width == 4) panel_4(g, j, lanes, tiles4_4, ROWS4);
        if (width == 2) panel_4(g, j, lanes, tiles2_4, ROWS2);
        if (width == 1) panel_4(g, j, lanes, tiles1_4, ROWS1);
        j += width * LANES;
    }
}

void FILL(gemm)(struct kernels *k)
{
    k->f32.gemm = gemm;
}
