/* gemm_bf16.c - gemm of bf16 pairs: the tiles of gemm_tile.h, with a pair where they have a float
 * and vdpbf16ps, two multiply-adds to a lane, where they have one. Twice the rate of f32 on Zen 4
 * and Zen 5 (two a cycle, each done after 6: 575 GFLOP/s a core in registers, 535 to
 * 545 with operands in the second cache).
 */
#include <immintrin.h>

#include "base/integers.h"
#include "kernels/fill.h"

#define ROWS1 28
#define TILES_14(V)                                                                                \
    TILE(1, V)                                                                                     \
    TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V) TILE(7, V) TILE(8, V) TILE(9, V)        \
        TILE(10, V) TILE(11, V) TILE(12, V) TILE(13, V) TILE(14, V)
#define TILES1(V)                                                                                  \
    TILES_14(V)                                                                                    \
    TILE(15, V)                                                                                    \
    TILE(16, V) TILE(17, V) TILE(18, V) TILE(19, V) TILE(20, V) TILE(21, V) TILE(22, V)            \
        TILE(23, V) TILE(24, V) TILE(25, V) TILE(26, V) TILE(27, V) TILE(28, V)
#define TILES2(V)       TILES_14(V)
#define TILES4(V)       TILE(1, V) TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V) TILE(7, V)
#define T(x)            x##_pairs
#define VEC             __m512
#define MASK            __mmask16
#define LANES           16
#define ZERO()          _mm512_setzero_ps()
#define SPLAT(p)        _mm512_broadcastss_ps(_mm_load_ss(p))
#define FMA(a, b, c)    _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
#define ADD(a, b)       _mm512_add_ps(a, b)
#define MAX(a, b)       _mm512_max_ps(a, b)
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define LOADM(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STOREM(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#include "kernels/gemm_tile.h"

enum { ROWS2 = 14, ROWS4 = 6 };

static __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
}

static void gemm_bf16(const struct gemm_f32 *g)
{
    for (int64_t j = 0; j < g->n;) {
        const int64_t left = g->n - j;
        if (left > 48 && g->m <= ROWS4) {
            panel_pairs(g, j, lanes(left - 48), tiles4_pairs, ROWS4);
            j += 64;
        } else if (left > 16) {
            panel_pairs(g, j, lanes(left - 16), tiles2_pairs, ROWS2);
            j += 32;
        } else {
            panel_pairs(g, j, lanes(left), tiles1_pairs, ROWS1);
            j += 16;
        }
    }
}

/* Each entry as three. */
static void gemm_bf16x3(const struct gemm_f32 *g)
{
    enum { PIECE = 32 };
    int64_t a_at[3 * PIECE], b_at[3 * PIECE], i = 0;
    do {
        struct gemm_f32 piece = *g;
        const int64_t end = least(g->batch, i + PIECE);
        piece.accumulate = g->accumulate || i > 0;
        piece.bias = end < g->batch ? NULL : g->bias;
        piece.relu = end == g->batch && g->relu;
        piece.a_at = a_at;
        piece.b_at = b_at;
        for (piece.batch = 0; i < end; i++, piece.batch += 3) {
            for (int j = 0; j < 3; j++) {
                a_at[piece.batch + j] = g->a_at[i] + (j == 0 ? g->a_at[g->batch] : 0);
                b_at[piece.batch + j] = g->b_at[i] + (j == 2 ? g->b_at[g->batch] : 0);
            }
        }
        gemm_bf16(&piece);
    } while (i < g->batch);
}

void FILL(gemm_bf16)(struct kernels *k)
{
    k->f32.gemm_bf16 = gemm_bf16;
    k->f32.gemm_bf16x3 = gemm_bf16x3;
    k->fast_bf16 = true;
}
