/* gemm.c - gemm with 512-bit vectors, and 256-bit ones for up to 8 columns that remain.
 *
 * 32 registers: 28x1 (B in one, A broadcast by the multiply-add itself), 14x2, 6x4 for few rows,
 * where more columns are what hides the latency of 4 cycles. A machine that issues two 256-bit
 * multiply-adds where it issues one of 512 bits loses nothing on narrow C: 6 columns use 6 of 8
 * lanes, not 6 of 16. Whole panels have tiles of their own: a masked load takes one of the two
 * ports of multiply-adds on Intel's machines.
 */
#include <immintrin.h>

#include "kernels/fill.h"

#define ROWS1          28
#define TILES_7(F, V)  F(1, V) F(2, V) F(3, V) F(4, V) F(5, V) F(6, V) F(7, V)
#define TILES_14(F, V) TILES_7(F, V) F(8, V) F(9, V) F(10, V) F(11, V) F(12, V) F(13, V) F(14, V)
#define TILES_28(F, V)                                                                             \
    TILES_14(F, V)                                                                                 \
    F(15, V)                                                                                       \
    F(16, V)                                                                                       \
    F(17, V) F(18, V) F(19, V) F(20, V) F(21, V) F(22, V) F(23, V) F(24, V) F(25, V) F(26, V)      \
        F(27, V) F(28, V)

#define T(x)            x##_256
#define VEC             __m256
#define MASK            __mmask8
#define LANES           8
#define ZERO()          _mm256_setzero_ps()
#define SPLAT(p)        _mm256_broadcast_ss(p)
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define ADD(a, b)       _mm256_add_ps(a, b)
#define MAX(a, b)       _mm256_max_ps(a, b)
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define LOADM(p, m)     _mm256_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm256_mask_storeu_ps(p, m, v)
#define TILES1(V)       TILES_28(TILE, V)
#include "kernels/gemm_tile.h"
#undef T
#undef VEC
#undef MASK
#undef LANES
#undef ZERO
#undef SPLAT
#undef FMA
#undef ADD
#undef MAX
#undef LOAD
#undef STORE
#undef LOADM
#undef STOREM

/* c + b *p. Of an *p that two use, compilers would make a load of its own. */
static inline __m512 fma_at(const float *p, __m512 b, __m512 c)
{
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(b), "m"(*p));
    return c;
}

#define VEC          __m512
#define MASK         __mmask16
#define LANES        16
#define ZERO()       _mm512_setzero_ps()
#define SPLAT(p)     _mm512_broadcastss_ps(_mm_load_ss(p))
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FMA_AT       fma_at
#define ADD(a, b)    _mm512_add_ps(a, b)
#define MAX(a, b)    _mm512_max_ps(a, b)
#define LOAD(p)      _mm512_loadu_ps(p)
#define STORE(p, v)  _mm512_storeu_ps(p, v)
#define TILES2(V)    TILES_14(TILE, V)
#define TILES4(V)    TILES_7(TILE, V)

#define T(x)            x##_full
#define LOADM(p, m)     ((void)(m), LOAD(p))
#define STOREM(p, m, v) ((void)(m), STORE(p, v))
#include "kernels/gemm_tile.h"
#undef T
#undef LOADM
#undef STOREM

#define T(x)            x##_ragged
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#include "kernels/gemm_tile.h"

enum { ROWS2 = 14, ROWS4 = 6 };

static __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
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

/* Panels as wide as the rows allow; what remains in the narrowest vectors that hold it. */
static void gemm(const struct gemm_f32 *g)
{
    for (int64_t j = 0; j < g->n;) {
        const int64_t left = g->n - j;
        if (left <= 8) {
            panel_256(g, j, (__mmask8)lanes(left), tiles1_256, ROWS1);
            return;
        }
        const bool two = left > 16 && (left > 24 || g->m < 4);
        const int width = left > 48 && g->m <= ROWS4 ? 4 : two ? 2 : 1;
        columns(g, j, width);
        j += width * LANES;
    }
}

void FILL(gemm)(struct kernels *k)
{
    k->f32.gemm = gemm;
}
