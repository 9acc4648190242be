/* conv_bf16.h - what the bf16 convolutions read: a grid of points, each its channels as words of
 * two bf16, with the padding around it; of a box of targets at a time.
 *
 * A number is one bf16, or where numerics are fast the sum of two (x3: three of the four products are
 * kept, sums in f32): a plane of what is first of all numbers, and one of what is left of them. Within
 * 2^-15 of each product, 1.2 x 2^-18 as a rule. Inf in an operand, or what rounds to it, from 2^128 (1 - 2^-9)
 * on, gives NaN; denormals count as 0.
 *
 * With a stride, points of one phase, those a whole number of strides apart, are a grid of their
 * own. So a tap, seen from a row of targets, is always a row of neighbouring points, and rows go
 * on from one to the next at the grid's pitch: all targets of a box's plane, and between its rows
 * a few points more whose results nobody wants, are the rows of one product.
 */
#ifndef SUNUP_DEVICE_CPU_CONV_BF16_H
#define SUNUP_DEVICE_CPU_CONV_BF16_H

#include "device/device.h"

/* Axes are D H W. Point q of phase f along an axis is point (first + q) stride + f - before of the
 * source, zero where there is none such, or the other end's; `first` is the box's first target. */
struct conv_grid {
    int64_t samples, channels, source[3];
    int64_t parts; /* of a number: 1 or 2 bf16 */
    int64_t stride[3], before[3];
    bool circular;
    int64_t phases[3];            /* that are read            */
    int64_t targets[3], reach[3]; /* points that taps see beyond the targets */
    int64_t box[3], boxes[3],
        points[3]; /* targets of a box; boxes of a sample; points of a phase */
    /* from sunup__conv_grid_plan */
    int64_t words; /* of a point, what its channels take and zeros up to equal steps of the leaf */
    int64_t pitch; /* words from point to point  */
    int64_t low;   /* words from what is first of a number to what is left of it */
    int64_t plane; /* words of points[1] x points[2], all parts */
    int64_t phase; /* of a phase  */
    int64_t all;   /* of a box    */
};

/* A box: its sample, its first target and how many there are. */
struct conv_place {
    int64_t sample, first[3], n[3];
};

/* Groups of channels as products take them: `each` of the window's are one, with zeros between them, so that sums and
 * columns are whole panels; n of these. c, k: channels of one of the window's. */
struct conv_groups {
    int64_t n, each, c, k;
};
struct conv_groups sunup__conv_groups(const struct window *w);

/* The grid of x of a convolution, all but the box. */
void sunup__conv_grid_of(struct conv_grid *g, const struct window *w, int64_t samples);
/* Whether there is one tap, at every point: it sees no neighbours. */
bool sunup__conv_one_tap(const struct window *w);
/* Such a window with one row of all points; others as they are. */
struct window sunup__conv_flattened(const struct window *w, int64_t *samples);
/* Cuts boxes of `most` words at most, if a piece of a row is no more than that. */
void sunup__conv_grid_plan(struct conv_grid *g, int64_t most);
int64_t sunup__conv_grid_boxes(const struct conv_grid *g);
struct conv_place sunup__conv_grid_box(const struct conv_grid *g, int64_t i);

/* Whether boxes lie one behind the other in memory, and the element of the source where a box's
 * first target is read: what asks ahead for the next box goes from one to the next. */
bool sunup__conv_boxes_follow(const int64_t targets[3], const int64_t boxes[3]);
int64_t sunup__conv_grid_source(const struct conv_grid *g, int64_t sample, const int64_t first[3]);

/* Words of n channels, the sum of one tap: equal steps of 16 or a little less. */
int64_t sunup__conv_words(int64_t channels);
/* Source point of point q of a phase along an axis, q counted from target 0; -1: zeros. */
int64_t sunup__conv_grid_place(const struct conv_grid *g, int axis, int64_t q, int64_t phase);
/* Of n points of a phase along W from q on, whose first is no zeros: those whose sources follow, a
 * stride apart. */
int64_t sunup__conv_grid_run(const struct conv_grid *g, int64_t q, int64_t phase, int64_t n);
/* Word of point at[] of a phase; and what tap t of the first target reads. */
int64_t sunup__conv_grid_at(const struct conv_grid *g, const int64_t phase[3], const int64_t at[3]);
int64_t sunup__conv_grid_tap(const struct conv_grid *g, const struct window *w, int64_t t);
/* Planes of a box's grid, counted through its phases, and how many of them there are. */
int64_t sunup__conv_grid_planes(const struct conv_grid *g);
void sunup__conv_grid_fill(const struct conv_grid *g, const struct leaves_f32 *leaves,
                           const struct conv_place *box, int64_t first, int64_t last,
                           const float *source, uint32_t *grid);

/* Only where numerics are bf16 and the leaf is faster than f32's; `winograd`: Winograd's way in f32
 * is there as well, which only tiles beat. */
bool sunup__conv_bf16_pays(const struct device *d, const struct node *n, bool winograd);
/* The same of operands in two parts: only where numerics are fast and tiles there. */
bool sunup__conv_bf16x3_pays(const struct device *d, const struct node *n, bool winograd);

#endif
