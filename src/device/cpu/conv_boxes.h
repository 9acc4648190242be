/* conv_boxes.h - the targets of a convolution as boxes whose points all see the same taps.
 *
 * "Source" is what taps read, "target" the points computed: x and y of the forward pass, dy and dx
 * of the data gradient. Along an axis, targets that see the same taps at the same distance form a
 * run: the interior is one, points near an edge are others (or one run each), and the data gradient
 * has one for each phase of the stride. A box is one run of H by one of W, cut to the part asked
 * for, in one plane of D. So no halo is copied and no tap is tested point by point, whatever the
 * stride, dilation, padding or wrapping; and the boxes of a border lie along it.
 *
 * A part is a piece of the targets of one sample, small enough for the L2 with its source, large
 * enough to be worth a task.
 */
#ifndef SUNUP_DEVICE_CPU_CONV_BOXES_H
#define SUNUP_DEVICE_CPU_CONV_BOXES_H

#include "kernels/kernels.h"

enum { BOX_TAPS_MOST = 1024 }; /* of a target */

/* Target first + i step, i < count, reads source at[j] + i advance with weight number[j]. */
struct box_run {
    int64_t first, step, count, advance, taps;
    const int64_t *at, *number;
};
struct box_axis {
    int64_t n;
    struct box_run *runs;
};

struct boxes {
    struct box_axis axis[3];
    int64_t source[4], target[4]; /* D H W and channels                                   */
    int64_t parts[3], part_count; /* along each axis, and of one sample                   */
    int64_t tap;                  /* elements of one tap's weights                        */
    int64_t taps[3];
    struct box shape; /* groups and turns of every box */
};

struct boxes_job {
    int64_t samples, parts_least; /* parts wanted of all samples, if they are not too small  */
    bool adjoint;                 /* sources are outputs and targets inputs of the window    */
};
/* Do targets see BOX_TAPS_MOST taps at most, in both directions? */
bool sunup__boxes_can(const struct window *w);
/* false: no memory. */
bool sunup__boxes_plan(struct boxes *b, const struct window *w, const struct boxes_job *job);
void sunup__boxes_end(struct boxes *b);

/* source, target: offsets of the box's first point in a sample. */
typedef void box_fn(void *arg, const struct box *box, int64_t source, int64_t target);
void sunup__boxes_of_part(const struct boxes *b, int64_t part, box_fn *fn, void *arg);

#endif
