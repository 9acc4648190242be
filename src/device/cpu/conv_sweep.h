/* conv_sweep.h - all targets of a space as products of the gemm leaf: the forward convolution is
 * one sweep, the data gradient one for each phase of the stride. */
#ifndef SUNUP_DEVICE_CPU_CONV_SWEEP_H
#define SUNUP_DEVICE_CPU_CONV_SWEEP_H

#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_space.h"
#include "device/device.h"

/* Taps of one axis: source points after the first one, growing, and numbers of the weights. */
struct conv_taps {
    int64_t n;
    const int64_t *at, *weight;
};

/* How weights lie: [group][panel][tap][k][width], packed or as they came. A panel is as many
 * columns as the leaf likes to take at once. For dots: [t][r][column][s][k]. */
struct conv_panels {
    int64_t width, n;                  /* columns of a panel; panels of a group             */
    int64_t row, panel, group, tap[3]; /* elements from one to the next; taps: D H W */
};
struct conv_panels sunup__conv_panels_packed(int64_t n, int64_t k, const int64_t taps[3],
                                             int64_t width);
/* Few columns of long sums are dot products, by the leaf gemm_dots; of one tap, which memory bounds,
 * those of a vector, too. */
static inline bool conv_dots_pay(const struct window *w, int64_t n, int64_t k)
{
    const int64_t taps = w->taps[0] * w->taps[1] * w->taps[2];
    return w->groups == 1 && n <= 4 && (taps == 1 ? 16 : 16 * n) <= taps * k;
}
/* Its weights: from [tap][k][n] or, turned, from [tap][n][k] with the taps along W backwards. */
struct conv_panels sunup__conv_panels_dots(int64_t n, int64_t k, const int64_t taps[3]);
void sunup__conv_pack_dots(const struct conv_panels *b, int64_t k, const int64_t taps[3],
                           bool turned, const float *from, float *to);

struct conv_sweep {
    struct conv_space space;
    struct conv_taps taps[3];
    int64_t n, k; /* columns of a group, and its channels of one tap     */
    int64_t groups, a_group, c_group;
    struct conv_panels b;
    bool dots;                   /* few columns: gemm_dots                              */
    bool joined;                 /* neighbours along W are one long k                   */
    int64_t c_first, c_pitch[4]; /* of the target memory: first target, N D H W         */
    bool brief;                  /* few terms: gemm_terms; from sunup__conv_sweep_space        */
    /* from sunup__conv_sweep_plan */
    int64_t together, first_pass; /* taps along W of one pass; the one that sees all, or -1 */
    int64_t passes;
    bool far;      /* source and target are in memory, not in a cache     */
    bool stream;   /* targets go around the caches                        */
    bool ask;      /* targets are asked for before they are written       */
    bool asks;     /* the leaf asks for what the next block reads ...     */
    bool asks_targets; /* and for its targets                             */
    int64_t block; /* panels that stay in the cache together              */
    int64_t rows;  /* of a block at most, in tiles that meet a panel      */
    int64_t tile;  /* rows of a product at most                           */
};
/* In this order: all but b, joined and what comes from the plan is filled; _space decides whether
 * to copy halos or to skip what is outside; _width tells how wide panels should be; b and joined
 * are filled; _plan decides how to cut. */
void sunup__conv_sweep_space(struct conv_sweep *w);
void sunup__conv_sweep_plan(struct conv_sweep *w);
int64_t sunup__conv_sweep_width(const struct conv_sweep *w);

/* One run of n sweeps over the same memory. memory: [conv_slots_count(threads)][slot]. */
struct conv_run {
    const struct conv_sweep *sweep;
    int n;
    const struct leaves_f32 *leaves;
    const float *source, *weights, *bias;
    float *target, *memory;
    int threads;
    int64_t slot;
    int64_t row_shares, panel_shares; /* the run's own, as are the slots */
    struct conv_slots slots;
};
void sunup__conv_run(struct conv_run *r);
/* Slot that serves all n sweeps, in floats, whole cache lines. */
int64_t sunup__conv_slot(const struct conv_sweep *sweep, int n);
void sunup__conv_step_end(struct step *s); /* frees data, which is one block */

#endif
