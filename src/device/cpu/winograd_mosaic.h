/* winograd_mosaic.h - the maps of several samples side by side, so that Winograd's tiles may span
 * them: a map of 17x17 takes 5x5 tiles of 4x4, of which 72 % are used, 2x2 of them take 9x9.
 * Dilated by d, an axis is d phases of every d-th point, each a map to taps that are not dilated: a
 * strip of maps for each phase, which tiles do not span.
 *
 *     | map 0 ........ 0 | map 1 ........ 0 | ...     along H and along W; `pitch` from map to map
 *     |   |   |   |   |   |   |   |   |   |           tiles
 *
 * Between maps are as many points as keep the taps of one from the points of the next. They are
 * zeros in the source, which taps read, and nobody wants them in the target. Nothing is copied: the
 * place of a point is the sum of an offset of its row and one of its column, so two short tables are
 * all that tells a mosaic from a map, and a mosaic of one map is nothing special.
 *
 * The transforms mix the points of a tile. So in a row or column of points that shares a tile with
 * another sample, rounding is relative to the larger of the two, and NaN and Inf come over.
 */
#ifndef SUNUP_DEVICE_CPU_WINOGRAD_MOSAIC_H
#define SUNUP_DEVICE_CPU_WINOGRAD_MOSAIC_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

struct mosaic_axis {
    /* given */
    int64_t taps;           /* a tile has 7 - taps points of the target, 6 of the source  */
    int64_t source, target; /* points of a map                                            */
    int64_t before;         /* source points before target 0 that taps reach over, ...    */
    int64_t dilation;       /* ... a multiple of this, which is 1 if the axis is circular */
    bool circular;
    /* derived */
    int64_t maps, pitch, tiles, strips; /* maps of a strip, tiles of all */
};

/* Along H and W. */
struct mosaic {
    struct mosaic_axis axis[2];
};

/* Where rows and columns of points are, in elements; -1: there is none. */
struct mosaic_offsets {
    const int64_t *row, *column;
};

/* Taps that tiles are made for, and phases that see their own points alone. */
bool sunup__mosaic_can(const struct window *w);

/* The mosaic of the fewest tiles whose maps divide the samples: a function of the shapes alone. One
 * map if none has fewer, or for circular padding. */
void sunup__mosaic_plan(struct mosaic *m, int64_t samples);

static inline int64_t mosaic_maps(const struct mosaic *m)
{
    return m->axis[0].maps * m->axis[1].maps;
}

static inline int64_t mosaic_tiles(const struct mosaic *m)
{
    return m->axis[0].tiles * m->axis[1].tiles;
}

/* Tiles of an axis from tile i on that lie side by side, to the end of its strip. */
static inline int64_t mosaic_run(const struct mosaic_axis *a, int64_t i)
{
    const int64_t strip = a->tiles / a->strips;
    return strip - i % strip;
}

/* Number of tile i's first offset: it takes 6 of the sources, and 7 - taps of the targets. Strips of
 * sources end with the points that taps reach over. */
static inline int64_t mosaic_target(const struct mosaic_axis *a, int64_t i)
{
    return (7 - a->taps) * i;
}

static inline int64_t mosaic_source(const struct mosaic_axis *a, int64_t i)
{
    return mosaic_target(a, i) + (a->taps - 1) * (i / (a->tiles / a->strips));
}

/* Share of the taps' points that exist, of dilated axes: products outside are none of the direct sum's.
 * The model of its time has those of taps side by side in its constants. */
double sunup__mosaic_inside(const struct mosaic *m);

/* Offsets of maps [H][W][channels], `sample` elements apart. They lie at `memory`, which has
 * sunup__mosaic_room elements for each call. */
struct mosaic_offsets sunup__mosaic_sources(const struct mosaic *m, int64_t sample,
                                            int64_t channels, int64_t *memory);
struct mosaic_offsets sunup__mosaic_targets(const struct mosaic *m, int64_t sample,
                                            int64_t channels, int64_t *memory);
int64_t sunup__mosaic_room(const struct mosaic *m);

#endif
