/* winograd_mosaic.c - which maps lie side by side, and where their points are.
 *
 * A target point p of a map sees its sources p - before to p - before + taps - 1, so the next map's
 * first source is far enough at target + taps - 1 - before, and its first target, whose taps reach
 * `before` back, at source + before; dilated, in points of a phase. Four maps have all that there is
 * to gain: tiles then meet maps as at first. More are for numbers of samples that 2 does not divide.
 */
#include "device/cpu/winograd_mosaic.h"

#include "base/integers.h"

enum { POINTS = 6, MAPS_MOST = 64 };

bool sunup__mosaic_can(const struct window *w)
{
    for (int a = 0; a < 3; a++) {
        const bool dilated = w->taps[a] > 1 && w->dilation[a] > 1;
        if (w->stride[a] != 1 || (dilated && (a == 0 || w->circular))) return false;
        if (a > 0 && w->before[a] % w->dilation[a] != 0) return false;
    }
    const bool square = w->taps[1] == w->taps[2] && (w->taps[1] == 3 || w->taps[1] == 5);
    return square && w->groups == 1;
}

static int64_t side_of(const struct mosaic_axis *a)
{
    return POINTS + 1 - a->taps;
}

/* The first phase has as many points as any. */
static int64_t pitch_of(const struct mosaic_axis *a)
{
    const int64_t source = ceil_div(a->source, a->dilation), before = a->before / a->dilation,
                  target = ceil_div(a->target, a->dilation);
    const int64_t apart = most(target + a->taps - 1 - before, source + before);
    return most(apart, most(source, target));
}

static int64_t tiles_of(const struct mosaic_axis *a, int64_t maps)
{
    const int64_t target = ceil_div(a->target, a->dilation);
    return a->strips * ceil_div((maps - 1) * a->pitch + target, side_of(a));
}

void sunup__mosaic_plan(struct mosaic *m, int64_t samples)
{
    struct mosaic_axis *h = &m->axis[0], *w = &m->axis[1];
    const int64_t maps_most = h->circular || w->circular ? 1 : most(1, least(samples, MAPS_MOST));
    int64_t fewest = INT64_MAX;
    for (int a = 0; a < 2; a++) {
        m->axis[a].pitch = pitch_of(&m->axis[a]);
        m->axis[a].strips = least(m->axis[a].dilation, m->axis[a].target);
    }
    for (int64_t i = 1; i <= maps_most; i++) {
        for (int64_t j = 1; samples % i == 0 && j <= maps_most; j++) {
            if (samples / i % j != 0) continue;
            const int64_t tiles = samples / i / j * tiles_of(h, j) * tiles_of(w, i);
            if (tiles >= fewest) continue;
            fewest = tiles;
            h->maps = j;
            w->maps = i;
        }
    }
    h->tiles = tiles_of(h, h->maps);
    w->tiles = tiles_of(w, w->maps);
}

double sunup__mosaic_inside(const struct mosaic *m)
{
    double share = 1;
    for (const struct mosaic_axis *a = m->axis; a < m->axis + 2; a++) {
        int64_t points = 0;
        for (int64_t t = 0; t < a->taps; t++) {
            const int64_t first = t * a->dilation - a->before;
            points += most(0, least(a->target, a->source - first) - most(0, -first));
        }
        if (a->dilation > 1) share *= (double)points / (double)(a->taps * a->target);
    }
    return share;
}

/* ---- offsets ---- */

/* Points of an axis: of n of a map, from number `first` of a phase's first map on. */
struct points {
    int64_t first, n;
    bool circular;
    int64_t point, map; /* elements from point to point, from map to map */
};

/* `all` of them, as many for each strip. */
static void fill(const struct mosaic_axis *a, struct points of, int64_t all, int64_t *offset)
{
    const int64_t strip = all / a->strips;
    for (int64_t i = 0; i < all; i++) {
        const int64_t p = of.first + i % strip;
        const int64_t at = p < 0 ? p : p % a->pitch * a->dilation + i / strip;
        if (of.circular)
            offset[i] = wrapped(p, of.n) * of.point;
        else if (at < 0 || at >= of.n || p >= a->maps * a->pitch)
            offset[i] = -1;
        else
            offset[i] = p / a->pitch * of.map + at * of.point;
    }
}

static int64_t targets_of(const struct mosaic_axis *a)
{
    return mosaic_target(a, a->tiles);
}

static int64_t sources_of(const struct mosaic_axis *a)
{
    return mosaic_source(a, a->tiles);
}

int64_t sunup__mosaic_room(const struct mosaic *m)
{
    return sources_of(&m->axis[0]) + sources_of(&m->axis[1]);
}

struct mosaic_offsets sunup__mosaic_sources(const struct mosaic *m, int64_t sample,
                                            int64_t channels, int64_t *memory)
{
    const struct mosaic_axis *h = &m->axis[0], *w = &m->axis[1];
    int64_t *column = memory + sources_of(h);
    const struct points rows = {-h->before / h->dilation, h->source, h->circular, w->source * channels,
                                w->maps * sample},
                        columns = {-w->before / w->dilation, w->source, w->circular, channels, sample};
    fill(h, rows, sources_of(h), memory);
    fill(w, columns, sources_of(w), column);
    return (struct mosaic_offsets){memory, column};
}

struct mosaic_offsets sunup__mosaic_targets(const struct mosaic *m, int64_t sample,
                                            int64_t channels, int64_t *memory)
{
    const struct mosaic_axis *h = &m->axis[0], *w = &m->axis[1];
    int64_t *column = memory + targets_of(h);
    const struct points rows = {0, h->target, false, w->target * channels, w->maps * sample},
                        columns = {0, w->target, false, channels, sample};
    fill(h, rows, targets_of(h), memory);
    fill(w, columns, targets_of(w), column);
    return (struct mosaic_offsets){memory, column};
}
