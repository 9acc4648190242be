/* gemm.c - gemm with 256-bit vectors and 16 registers: tiles of 12x1, 6x2, and 2x4 for few rows.
 *
 * Masked loads and stores cost extra here (86 instead of 96 % of the peak on Zen 4), so whole
 * panels have tiles of their own.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define VEC          __m256
#define MASK         __m256i
#define LANES        8
#define ROWS1        12
#define ZERO()       _mm256_setzero_ps()
#define SPLAT(p)     _mm256_broadcast_ss(p)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b)    _mm256_add_ps(a, b)
#define MAX(a, b)    _mm256_max_ps(a, b)
#define LOAD(p)      _mm256_loadu_ps(p)
#define STORE(p, v)  _mm256_storeu_ps(p, v)

#define TILES_3(V) TILE(1, V) TILE(2, V) TILE(3, V)
#define TILES_6(V) TILES_3(V) TILE(4, V) TILE(5, V) TILE(6, V)
#define TILES1(V)  TILES_6(V) TILE(7, V) TILE(8, V) TILE(9, V) TILE(10, V) TILE(11, V) TILE(12, V)
#define TILES2(V)  TILES_6(V)
#define TILES4(V)  TILES_3(V)

#define T(x)            x##_full
#define LOADM(p, m)     ((void)(m), LOAD(p))
#define STOREM(p, m, v) ((void)(m), STORE(p, v))
#include "kernels/gemm_tile.h"
#undef T
#undef LOADM
#undef STOREM

#define T(x)            x##_ragged
#define LOADM(p, m)     _mm256_maskload_ps(p, m)
#define STOREM(p, m, v) _mm256_maskstore_ps(p, m, v)
#include "kernels/gemm_tile.h"

enum { ROWS2 = 6, ROWS4 = 2 };

static __m256i lanes(int64_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - (n < 8 ? n : 8)));
}

/* `width` vectors of columns from j on, whole or the last one masked. */
static void columns(const struct gemm_f32 *g, int64_t j, int width)
{
    static const tile_fn_full *const full[] = {NULL, tiles1_full, tiles2_full, NULL, tiles4_full};
    static const tile_fn_ragged *const ragged[] = {NULL, tiles1_ragged, tiles2_ragged, NULL,
                                                   tiles4_ragged};
    static const int64_t rows[] = {0, ROWS1, ROWS2, 0, ROWS4};
    const int64_t last = g->n - j - LANES * (width - 1);
    if (last >= LANES) {
        panel_full(g, j, lanes(LANES), full[width], rows[width]);
    } else {
        panel_ragged(g, j, lanes(last), ragged[width], rows[width]);
    }
}

static void gemm(const struct gemm_f32 *g)
{
    for (int64_t j = 0; j < g->n;) {
        const int64_t left = g->n - j;
        const int width = left > 3 * LANES && g->m <= ROWS4 ? 4 : left > LANES ? 2 : 1;
        columns(g, j, width);
        j += width * LANES;
    }
}

void FILL(gemm)(struct kernels *k)
{
    k->f32.gemm = gemm;
}
