/* kernels.h - THE table of leaf functions, one typed pointer each (listed and documented in leaves.def).
 *
 * sunup__kernels_init fills it from ref (plain C, the meaning of each leaf, f32 and f64), then lets each
 * instruction set of isa.def that the processor has, weakest first, overwrite what it does better (f32).
 */
#ifndef SUNUP_KERNELS_H
#define SUNUP_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

/* Codes of pointwise ops; POINTWISE(name, operands, immediates) in pointwise.def, with formulas. */
enum pointwise {
#define POINTWISE(name, operands, immediates) PW_##name,
#include "kernels/pointwise.def"
#undef POINTWISE
    PW_COUNT
};
enum { REDUCE_SUM, REDUCE_MAX };
enum { TOP_K_MOST = 128 };

/* Geometry of windows over space (convolution, pooling); absent axes are 1. Order D H W, taps T R S. */
struct window {
    int64_t in[3], out[3];      /* D H W and D' H' W'             */
    int64_t taps[3], stride[3], dilation[3], before[3];
    int64_t c, k, groups;       /* pooling: k = c, groups = c     */
    bool circular;              /* padding wraps instead of zeros */
    bool count_pad;             /* avg_pool: zeros of the padding count in the mean */
};

/* Points of a grouped convolution that see the same taps: rows x points of them, x_row ... y_point elements apart; tap
 * t reads x x_at[t] further on and has its weights at w_at[t]. A group has cg channels of x and kg of y. In turn r of
 * `turns` (a power of two, cg or kg at least, BOX_TURNS at most), channel j of a group of x meets channel
 * (j + r) % turns of y, if it is there: so no channel has to be moved before a turn's sum is complete. With a far third
 * level the weight gradient reads memory `in_order`, some points of all channels before the next ones, and `streamed`
 * targets, which are not read soon, go past the caches. */
enum { BOX_TURNS = 8 };
struct box {
    int64_t rows, points, x_row, x_point, y_row, y_point;
    int64_t taps, groups, cg, kg, turns, w_turn; /* w_turn: elements from one turn's weights to the next */
    const int64_t *x_at, *w_at;
    bool in_order, streamed;
};

/* Depthwise 3x3 of stride 1 and as much padding: rows x points targets, `row` and `point` elements
 * apart as their sources are, which begin at the same place. Rows are whole: taps beyond their ends
 * are left out, and where x ends above or below, those that reach over. Weights of tap (r, s) lie
 * (3 r + s) w_tap further on, which may be negative. As many elements of x and y, `ahead` of these, are
 * asked for meanwhile (0: none). */
struct plane {
    int64_t rows, points, channels, row, point, w_tap, ahead;
    bool above, below; /* x ends there */
};

/* Constants of one optimizer update; fields that a type does not name are unused. All products with lr are done
 * in f64 by the caller. Formulas beside each leaf's reference, as PyTorch documents them. */
struct update {
    double lr, weight_decay, momentum, dampening, beta1, beta2, alpha, eps;
    double grad_scale;          /* g is multiplied by this first (1/shards, clipping by norm) */
    double clip_value;          /* then limited to [-c, c]; 0: off */
    double correction1, correction2; /* 1 - beta1^t, 1 - beta2^t  */
    bool nesterov, decoupled, first, centered; /* first: momentum buffer starts as g */
};

#define REAL float
#define NAME(x) x##_f32
#include "kernels/table.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "kernels/table.h"
#undef REAL
#undef NAME

struct kernels {
    const char *isa;            /* the strongest level used       */
    struct leaves_f32 f32;
    struct leaves_f64 f64;
    bool fast_bf16;             /* gemm_bf16 is faster than gemm  */
    bool tiles_bf16;            /* several times as fast: tiles of 16 rows, whose words lie in rows */
    double (*fma_loop)(int64_t rounds); /* flops done in registers: the ceiling that benches divide by */
};
double sunup__fma_loop(int64_t rounds);

/* isa NULL: the best of flags (sunup__cpu_flags()), else at most that level. false: no such level here. */
bool sunup__kernels_init(struct kernels *k, unsigned flags, const char *isa);

/* Levels of isa.def, weakest first: "ref" is 0. NULL when i is past the end. */
const char *sunup__isa_name(int i);
bool sunup__isa_runs(int i, unsigned flags);

#endif
