/* conv_space.h - walking over the target points of a convolution: where their source values lie,
 * with a halo.
 *
 * "Source" is what taps read (x, or dy for the data gradient), "target" the points computed. Axes
 * are D H W. Channels are last, so a row of targets is the rows of a GEMM whose A is the source
 * itself, `stride * channels` apart.
 *
 * Targets are numbered u = sample * target[axis] + row, where `axis` is the outermost axis with
 * more than one target; any range of u is walked as parts: some rows of one sample, or several
 * whole samples. If taps reach over an edge (`copy`), a part's source is first copied, halo and
 * all, into a slot of fixed pitches; a running task has one slot. Results do not depend on how
 * ranges are cut.
 */
#ifndef SUNUP_DEVICE_CPU_CONV_SPACE_H
#define SUNUP_DEVICE_CPU_CONV_SPACE_H

#include "kernels/kernels.h"

struct conv_space {
    /* given */
    int64_t samples, channels; /* of the source                                          */
    int64_t source[3], target[3];
    int64_t stride[3]; /* source points from target to target                    */
    int64_t first[3];  /* source point of the first tap for target 0, may be < 0 */
    int64_t reach[3];  /* source points that taps span                           */
    bool circular;
    int64_t beside; /* elements that go with each target point (cache budget) */
    /* derived */
    bool copy;
    int axis;
    int64_t rows_most, samples_most; /* of a part                                              */
    int64_t pitch[4];                /* of the memory that taps read: N D H W, in elements     */
    int64_t slot;                    /* elements; 0 unless copy                                */
};

void sunup__conv_space_plan(struct conv_space *s);

struct conv_part {
    int64_t sample, samples, row, rows;
};
/* The part that begins at u and ends at `end` at most; returns its end. */
int64_t sunup__conv_part(const struct conv_space *s, int64_t u, int64_t end,
                         struct conv_part *part);
/* Address of the first tap for the part's first target; fills the slot if need be. */
const float *sunup__conv_load(const struct conv_space *s, const struct conv_part *part,
                              const float *source, float *slot);

/* A part as rows that lie evenly in both memories, in three loops around them. */
struct conv_rows {
    int64_t m, a_row, c_row;                /* rows; elements from one to the next     */
    int64_t count[3], a_step[3], c_step[3]; /* outer to inner                          */
    int split;                              /* the loop over the split axis; -1: none  */
};
/* c_pitch: of the targets' memory, N D H W. */
struct conv_rows sunup__conv_rows(const struct conv_space *s, const struct conv_part *part,
                                  const int64_t c_pitch[4]);

#endif
