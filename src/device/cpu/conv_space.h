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
 * all, into a slot of fixed pitches; a running task has one slot. A caller that visits only what is
 * inside (`skip`) is spared that, and gets rows along W alone. Where a map is so small that its
 * rows are a few points, rows run `across` samples instead: one point of all samples of a part,
 * which meet the same taps. Results do not depend on how ranges are cut.
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
    bool skip;      /* the caller leaves out what lies outside: nothing is copied */
    bool across;    /* rows are one target of several samples; outside is left out, too */
    int64_t beside; /* elements that go with each target point                    */
    int64_t budget; /* elements that a part may touch: what stays in the second level */
    int64_t points; /* that a part should have at least, whatever they take       */
    int64_t period; /* targets a multiple of this many floats apart get in each other's way: such
                       sources are copied, a line further apart                    */
    /* derived */
    bool copy;
    int64_t thin[3]; /* source points from one that is copied to the next                  */
    int axis;
    int64_t rows_most, samples_most; /* of a part                                              */
    int64_t pitch[4];                /* of the memory that taps read: N D H W, in elements     */
    int64_t slot;                    /* elements; 0 unless copy                                */
};

void sunup__conv_space_plan(struct conv_space *s);
/* Whether rows across samples are the longer ones, and all samples fit a part. */
bool sunup__conv_across_pays(const struct conv_space *s);

struct conv_part {
    int64_t sample, samples, row, rows;
};
/* The part that begins at u and ends at `end` at most; returns its end. */
int64_t sunup__conv_part(const struct conv_space *s, int64_t u, int64_t end,
                         struct conv_part *part);
/* Memory that the part's taps read, filled if it is the slot; *at: where in it the first tap of the
 * part's first target lies, < 0 if that is outside. */
const float *sunup__conv_load(const struct conv_space *s, const struct conv_part *part,
                              const float *source, float *slot, int64_t *at);

/* A part as rows that lie evenly in both memories, in three loops around them. */
struct conv_rows {
    int64_t m, a_row, c_row;                /* rows; elements from one to the next     */
    int64_t count[3], a_step[3], c_step[3]; /* outer to inner                          */
    int axis[3];                            /* of each loop; -1: samples, -2: none     */
};
/* Targets along an axis in a part. */
static inline int64_t conv_part_count(const struct conv_space *s, const struct conv_part *part,
                                      int axis)
{
    return axis == s->axis ? part->rows : s->target[axis];
}
bool sunup__conv_reaches_over(const struct conv_space *s);

struct stretch {
    int64_t from, to;
};
/* Targets along an axis for which the tap `at` source points after the first one is inside. */
struct stretch sunup__conv_inside(const struct conv_space *s, int axis, int64_t at);

/* Target number along each axis of the rows at an index of the loops; -1: several. */
void sunup__conv_position(const struct conv_space *s, const struct conv_part *part,
                          const struct conv_rows *rows, const int64_t index[3], int64_t target[3]);
/* c_pitch: of the targets' memory, N D H W. */
struct conv_rows sunup__conv_rows(const struct conv_space *s, const struct conv_part *part,
                                  const int64_t c_pitch[4]);

/* Asks for share i of n of the floats that lie `ahead`, or beyond the end, where asking is free.
 * Always inline, as every function that only asks: gcc takes one for free of effects and drops its
 * calls. */
static inline __attribute__((always_inline)) void conv_ask(const float *from, int64_t ahead,
                                                           int64_t floats, int64_t i, int64_t n)
{
    const uintptr_t first = (uintptr_t)from + (size_t)ahead * sizeof(float);
    for (int64_t p = i * floats / n; p < (i + 1) * floats / n; p += 16)
        __builtin_prefetch((const void *)(first + (size_t)p * sizeof(float)), 0, 2);
}

#endif
