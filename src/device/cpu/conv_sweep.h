/* conv_sweep.h - all targets of a space as products of the gemm leaf: the forward convolution is
 * one sweep, the data gradient one for each phase of the stride. */
#ifndef SUNUP_DEVICE_CPU_CONV_SWEEP_H
#define SUNUP_DEVICE_CPU_CONV_SWEEP_H

#include "device/cpu/conv_slots.h"
#include "device/cpu/conv_space.h"
#include "device/device.h"

struct conv_sweep {
    struct conv_space space;
    int64_t n, k, batch; /* of one product; batch: taps                        */
    int64_t b_row;
    int64_t groups, a_group, b_group, c_group; /* elements from group to group                */
    int64_t *a_at, *b_at; /* [batch] offsets of taps in source and weights      */
    int64_t split_taps;   /* taps along the split axis if their loop is the outermost, else 1 */
    int64_t c_first, c_pitch[4]; /* of the target memory: first target, N D H W        */
};

/* Taps of one axis: source points after the first one, and number of the weight. */
struct conv_taps {
    int64_t n;
    const int64_t *at, *weight;
};
/* Fills a_at and b_at [as many as taps] from the axes' taps; the space must be planned. w_step:
 * elements from one weight number to the next, D H W. joined: the W taps are one long k, so only
 * the first counts. */
void sunup__conv_sweep_taps(struct conv_sweep *w, const struct conv_taps taps[3],
                            const int64_t w_step[3], bool joined);

/* One run of n sweeps over the same memory. memory: [conv_slots_count(threads)][slot]. */
struct conv_run {
    const struct conv_sweep *sweep;
    int n;
    const struct leaves_f32 *leaves;
    const float *source, *weights, *bias;
    float *target, *memory;
    int threads;
    int64_t slot, tasks; /* tasks and slots are the run's own */
    struct conv_slots slots;
};
void sunup__conv_run(struct conv_run *r);
/* Slot that serves all n sweeps, rounded up to whole cache lines. */
int64_t sunup__conv_slot(const struct conv_sweep *sweep, int n);
void sunup__conv_step_end(struct step *s); /* frees data, which is one block */

#endif
