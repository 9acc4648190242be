/* winograd_lines.h - where rows and columns of a Winograd problem's points are: maps [rows][w][point]
 * side by side, `pitch` columns from one to the next, rows turned upside down.
 *
 * Of a problem: w, maps, pitch; before: columns ahead of the first; zeros: a bit for each row that
 * does not exist; circular: columns wrap.
 */
#ifndef SUNUP_KERNELS_REF_WINOGRAD_LINES_H
#define SUNUP_KERNELS_REF_WINOGRAD_LINES_H

#include "kernels/check.h"

struct winograd_lines {
    int64_t row[6], *column;
    int64_t elements; /* of all maps */
};

/* `width`: w if the problem has none. */
static inline struct winograd_lines winograd_lines(struct check *c, int64_t rows, int64_t columns,
                                                   int64_t width, int64_t point)
{
    const int64_t w = sunup__check_number(c, "w", width), maps = sunup__check_number(c, "maps", 1);
    const int64_t pitch = sunup__check_number(c, "pitch", w), map = rows * w * point;
    const int64_t before = sunup__check_number(c, "before", 0);
    const int64_t zeros = sunup__check_number(c, "zeros", 0);
    const bool circular = sunup__check_number(c, "circular", 0) != 0;
    struct winograd_lines l = {.column = (int64_t *)(void *)sunup__check_scratch(c, columns),
                               .elements = maps * map};
    for (int64_t i = 0; i < rows; i++) l.row[i] = zeros >> i & 1 ? -1 : (rows - 1 - i) * w * point;
    for (int64_t i = 0; i < columns && l.column; i++) {
        const int64_t p = i - before, at = circular ? (p % w + w) % w : p % pitch;
        const bool exists = circular || (p >= 0 && p / pitch < maps && at < w);
        l.column[i] = exists ? (circular ? 0 : p / pitch * map) + at * point : -1;
    }
    return l;
}

#endif
