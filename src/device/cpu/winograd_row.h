/* winograd_row.h - convolution along W by Winograd's (Toom and Cook's) F(m, m): the geometry and
 * the transforms that the convolution, its data gradient and its weight gradient share.
 *
 * Taps are cut into chunks of m, the last one filled up with zeros, targets into tiles of m. Tile
 * t sees through chunk j the 2m - 1 source points that tile t + j sees through chunk 0, so a
 * source is transformed once for all chunks:
 *
 *   y[tile t] = V^T sum over chunks j and channels of (V w[chunk j]) * (B x[tile t + j])
 *   dw[chunk j] = V^T sum over tiles t of (V dy[tile t]) * (B x[tile t + j])
 *
 * V has the values of a polynomial of m coefficients at 2m - 1 points, the last of which is
 * infinity, B the coefficients of the polynomials that are 1 at one point and 0 at all others. All
 * are small matrices times rows of channels, which is what the gemm leaf does. What is summed at
 * each point are matrices: tiles by channels times channels by channels.
 *
 * Products for a target and a channel, of the direct sum's r: 5/3 of 3 with 3 taps, 7/4 of 4, 9/5
 * of 5, 7/2 of 8, 18/5 of 10, 7 of 16, 36/5 of 20.
 *
 * Points are pairs +-a and infinity, without zero, because that loses least: they were found by
 * minimising the root mean square of the error for random numbers, then rounded so that their
 * powers are exact. With 9 points it is a third of that of 0, +-1/2, +-1, +-2, 4 and infinity.
 * Most of what remains are the additions of long sums, so these are cut into chains. Largest error
 * of normal numbers, as a share of the largest result: 0.5e-6 to 0.8e-6 for 3 taps, 1e-6 to 3.3e-6
 * for 5 to 32; the direct way's 0.8e-6 to 1.4e-6 and 0.8e-6 to 2.3e-6. More points (11, F(6, 6))
 * would save a fifth at most but err 3 times as much.
 *
 * A dilated convolution is `dilation` ordinary ones, whose points lie `dilation` apart. Each of
 * them, of each sample, is a sequence. Source: Winograd, "Arithmetic complexity of computations",
 * 1980.
 */
#ifndef SUNUP_DEVICE_CPU_WINOGRAD_ROW_H
#define SUNUP_DEVICE_CPU_WINOGRAD_ROW_H

#include "device/device.h"

enum { ROW_SIZE_MOST = 5, ROW_POINTS_MOST = 9, ROW_CHUNKS_MOST = 16, ROW_LINE = 16 };

/* A tensor [samples][width][channels]; point e of a sample's sequence s is at s - before +
 * dilation e. */
struct row_side {
    int64_t channels, width, before;
};

struct winograd_row {
    int64_t samples, taps, dilation;
    struct row_side source, target;
    int64_t size, points, chunks;                    /* m; 2m - 1                                */
    int64_t sequences, tiles;                        /* tiles of the longest sequence            */
    float inputs[ROW_POINTS_MOST * ROW_POINTS_MOST]; /* B [points][points]    */
    float values[ROW_POINTS_MOST * ROW_SIZE_MOST];   /* V [points][size]      */
    float sums[ROW_SIZE_MOST * ROW_POINTS_MOST];     /* V^T                   */
    /* How sequences are cut into strips: `together` whole ones, or one of `cuts` of one. */
    int64_t cuts, together, strips;
    int64_t strip_tiles, pitch; /* of one sequence in a strip, at most; rows to the next one */
};

/* Whether it is a convolution along W only, of stride 1 and one group, in f32, with zeros for
 * padding, where the numerics allow it. Rows of maps count as samples. */
bool sunup__winograd_row_fits(const struct device *d, const struct node *n);
/* Of a node that fits. data_gradient: the target is dx, the source dy. */
struct winograd_row sunup__winograd_row(const struct node *n, bool data_gradient);
/* Strips of about `rows` tiles of the source. */
void sunup__winograd_row_cut(struct winograd_row *w, int64_t rows);

/* Tiles [from, to) of `count` sequences from the first on. Its matrices have `rows` of targets,
 * `pitch` for each sequence but the last: as a tile sees chunks - 1 tiles of the source past it, so
 * many rows at the end of each are of no target. One product takes them along. */
struct row_strip {
    int64_t first, count, from, to, rows;
};
struct row_strip sunup__winograd_row_strip(const struct winograd_row *w, int64_t i);

/* Cycles of a core that does one multiply-add of 16 lanes in each: of the direct sum, and of the
 * products at all points. */
double sunup__winograd_row_direct(const struct winograd_row *w);
double sunup__winograd_row_products(const struct winograd_row *w);
/* For a vector of channels of all tiles of one tensor that are transformed, `terms` multiply-adds
 * for each: the rest is calls and memory. */
double sunup__winograd_row_transform(const struct winograd_row *w, int64_t channels, int64_t terms);

/* The points of a sequence in a tensor: offset of point 0 (there may be none), elements from one to
 * the next, and those that exist. */
struct row_span {
    int64_t at, step, first, end;
};
struct row_span sunup__winograd_row_span(const struct winograd_row *w, const struct row_side *s,
                                         int64_t sequence);

/* Some channels of one sequence's tiles to `points` matrices, out_point apart, rows of which are
 * tiles, out_row apart: by B from windows of `points`, or by V from tiles of `size` (dy). */
struct row_load {
    const struct leaves_f32 *leaves;
    const struct row_side *side;
    const float *from; /* the tensor, at the first channel */
    bool by_values;
    int64_t sequence, channels;
    float *out;
    int64_t out_row, out_point;
};
void sunup__winograd_row_load(const struct winograd_row *w, const struct row_load *l, int64_t from,
                              int64_t to);

/* Whole cache lines, an odd number: rows that far apart do not meet in a few sets of a cache. */
static inline int64_t row_pitch(int64_t elements)
{
    return ((elements + ROW_LINE - 1) / ROW_LINE | 1) * ROW_LINE;
}

#endif
