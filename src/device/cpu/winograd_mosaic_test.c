/* winograd_mosaic_test.c - mosaics of all small maps: every target is in one tile, and its taps see the
 * points of its own map and zeros, dilated or not; fewer tiles than map by map where that is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/cpu/winograd_mosaic.h"

enum { CHANNELS = 2, DEPTH = 3, ROOM = 4096 };

static struct mosaic plan(int64_t samples, struct mosaic_axis h, struct mosaic_axis w)
{
    struct mosaic m = {{h, w}};
    sunup__mosaic_plan(&m, samples);
    return m;
}

/* Target `at` of a map whose sources begin at `first` is point `i` of the targets. Its taps see the source. */
static void check_taps(const struct mosaic_axis *a, const int64_t *source, int64_t i, int64_t at,
                       int64_t first, int64_t point)
{
    const int64_t side = 7 - a->taps;
    source += mosaic_source(a, i / side) + i % side;
    for (int64_t t = 0; t < a->taps; t++) {
        int64_t from = at - a->before + t * a->dilation;
        if (a->circular) from = (from % a->source + a->source) % a->source;
        const bool exists = from >= 0 && from < a->source;
        assert_int_equal(source[t], exists ? first + from * point : -1);
    }
}

/* `map`, `point`: elements in source and target. */
static void check_axis(const struct mosaic_axis *a, const int64_t *source, const int64_t *target,
                       const int64_t map[2], const int64_t point[2])
{
    int64_t i = 0;
    for (int64_t phase = 0; phase < a->strips; phase++) {
        for (int64_t number = 0; number < a->maps; number++) {
            for (int64_t at = phase; at < a->target; at += a->dilation, i++) {
                while (target[i] < 0) i++;
                assert_int_equal(target[i], number * map[1] + at * point[1]);
                check_taps(a, source, i, at, number * map[0], point[0]);
            }
        }
    }
    for (; i < (7 - a->taps) * a->tiles; i++) assert_true(target[i] < 0);
}

static void check_mosaic(const struct mosaic *m)
{
    static int64_t memory[2][ROOM];
    const struct mosaic_axis *h = &m->axis[0], *w = &m->axis[1];
    const int64_t sample[2] = {DEPTH * h->source * w->source * CHANNELS,
                               DEPTH * h->target * w->target * CHANNELS};
    const int64_t band[2] = {w->maps * sample[0], w->maps * sample[1]};
    const int64_t row[2] = {w->source * CHANNELS, w->target * CHANNELS};
    const int64_t column[2] = {CHANNELS, CHANNELS};
    assert_true(sunup__mosaic_room(m) <= ROOM);
    const struct mosaic_offsets s = sunup__mosaic_sources(m, sample[0], CHANNELS, memory[0]),
                                t = sunup__mosaic_targets(m, sample[1], CHANNELS, memory[1]);
    check_axis(h, s.row, t.row, band, row);
    check_axis(w, s.column, t.column, sample, column);
}

static void taps_see_their_own_map(void **state)
{
    (void)state;
    for (int64_t taps = 3; taps <= 5; taps += 2) {
        for (int64_t source = 1; source < 12; source++) {
            for (int64_t pads = 0; pads < 64; pads++) {
                const int64_t before = pads / 8, after = pads % 8,
                              target = source + before + after - taps + 1;
                if (target < 1) continue;
                struct mosaic_axis h = {taps, source, target, before, 1, false, 0, 0, 0, 0};
                const struct mosaic_axis w = {taps, 17, 15 - taps + 7, 2, 1, false, 0, 0, 0, 0};
                struct mosaic_axis gradient = {
                    taps, target, source, taps - 1 - before, 1, false, 0, 0, 0, 0};
                for (int64_t samples = 1; samples < 9; samples++) {
                    struct mosaic m = plan(samples, h, w);
                    check_mosaic(&m);
                    m = plan(samples, w, gradient);
                    check_mosaic(&m);
                }
                h.circular = true;
                const struct mosaic m = plan(4, h, w);
                assert_int_equal(mosaic_maps(&m), 1);
                check_mosaic(&m);
            }
        }
    }
}

/* Points that the dilation does not divide, and fewer than it. */
static void dilated_taps_see_their_own_phase(void **state)
{
    (void)state;
    for (int64_t dilation = 2; dilation < 5; dilation++) {
        for (int64_t source = 1; source < 14; source++) {
            for (int64_t pads = 0; pads < 16; pads++) {
                const int64_t before = pads / 4 * dilation,
                              target = source + before + pads % 4 - 2 * dilation;
                if (target < 1) continue;
                const struct mosaic_axis w = {3, source, target, before, dilation, false, 0, 0, 0, 0},
                                         h = {3, 17, 15, 0, 1, false, 0, 0, 0, 0};
                const struct mosaic_axis gradient = {
                    3, target, source, 2 * dilation - before, dilation, false, 0, 0, 0, 0};
                for (int64_t samples = 1; samples < 9; samples++) {
                    struct mosaic m = plan(samples, h, w);
                    check_mosaic(&m);
                    m = plan(samples, gradient, w);
                    if (before <= 2 * dilation) check_mosaic(&m);
                }
            }
        }
    }
}

static struct mosaic of_square(int64_t samples, int64_t taps, int64_t n)
{
    const struct mosaic_axis a = {taps, n, n, taps / 2, 1, false, 0, 0, 0, 0};
    return plan(samples, a, a);
}

static void saves_tiles(void **state)
{
    (void)state;
    static const struct {
        int64_t samples, taps, n, maps, tiles;
    } known[] = {{4, 3, 17, 4, 81},  {16, 3, 17, 4, 81}, {3, 3, 17, 3, 70},  {16, 3, 14, 16, 225},
                 {16, 3, 28, 1, 49}, {16, 3, 7, 1, 4},   {7, 3, 33, 7, 540}, {8, 5, 5, 1, 9}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct mosaic m = of_square(known[i].samples, known[i].taps, known[i].n);
        assert_int_equal(mosaic_maps(&m), known[i].maps);
        assert_int_equal(mosaic_tiles(&m), known[i].tiles);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(taps_see_their_own_map),
                                       cmocka_unit_test(dilated_taps_see_their_own_phase),
                                       cmocka_unit_test(saves_tiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
