/* conv_winograd.h - convolution of stride 1 with 3x3 or 5x5 taps in H and W, dilated or not, by Winograd's F(4x4, 3x3)
 * or F(2x2, 5x5): the plan and the run that the forward direction and the data gradient share. */
#ifndef SUNUP_DEVICE_CPU_CONV_WINOGRAD_H
#define SUNUP_DEVICE_CPU_CONV_WINOGRAD_H

#include "device/cpu/winograd_mosaic.h"
#include "kernels/kernels.h"

enum { WINOGRAD_DEPTH_TAPS_MOST = 16 };

enum winograd_way { WINOGRAD_BY_TILES, WINOGRAD_BY_PANEL, WINOGRAD_BY_POINT };

/* "Source" is what taps read (x, or dy for the data gradient), "target" what is computed. */
struct winograd {
    /* given */
    int64_t samples, c, k;        /* c: channels of the source, k: of the target              */
    int64_t source[3], target[3]; /* D H W                                                    */
    int64_t before[3];            /* source points before target 0 that taps reach over       */
    int64_t dilation[2];          /* along H and W                                            */
    int64_t depth_taps, taps;     /* taps: in H and in W, 3 or 5                              */
    bool circular, transposed;    /* transposed: weights are [T][taps][taps][k][c], to be flipped */
    bool stays;                   /* weights are the same in many runs                        */
    /* derived */
    struct mosaic mosaic;
    struct mosaic_offsets sources, targets;
    int64_t all;           /* tiles of all samples                                        */
    int64_t panels;        /* of k                                                        */
    enum winograd_way way; /* see conv_winograd_run.c                                     */
    bool stream;           /* the target is larger than the caches                        */
    int64_t cuts, parts;   /* tasks along tiles and depth                                 */
    int64_t block;         /* tiles of a block                                            */
    /* Memory in elements: V and M are [36][tiles][channels]; U [panels][36][T][C][32]. */
    int64_t v_tile, v_frequency, v_plane, m_tile, m_frequency, u_panel, u_frequency;
    int64_t u;            /* of all panels, before the other memory; 0: tasks make U  */
    int64_t shared, slot; /* of all tasks; of each task that runs                     */
};

/* Given fields to derived ones but offsets; the mosaic alone. */
void sunup__winograd_plan(struct winograd *w, int threads);
void sunup__winograd_plan_mosaic(struct winograd *w);
/* Fills the offsets, which lie at `memory`: twice sunup__mosaic_room elements. */
void sunup__winograd_place(struct winograd *w, int64_t *memory);
int64_t sunup__winograd_workspace(const struct winograd *w, int threads); /* bytes, without u */

struct winograd_run {
    const struct winograd *w;
    const struct leaves_f32 *leaves;
    const float *source, *weights, *bias; /* bias may be NULL */
    float *target, *u, *memory;           /* memory: the workspace */
    int threads;
};
/* Fills u; where there is one it must be filled before a run. */
void sunup__winograd_prepare(const struct winograd_run *r);
void sunup__winograd_run(const struct winograd_run *r);

#endif
