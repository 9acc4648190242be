/* chart.h - the frame of a picture with two logarithmic axes, and the roofline drawn into one.
 *
 * First everything that is to be seen is included, then begin draws the frame, then points go into
 * it; the caller closes with "</svg>". Classes (grid, roof, ours, other) are the page's own CSS; a
 * point is ours (filled) or another's (hollow), its title is raw text. Model: Williams, Waterman,
 * Patterson, "Roofline", CACM 52(4), 2009.
 */
#ifndef SUNUP_TRACK_CHART_H
#define SUNUP_TRACK_CHART_H

#include <stdbool.h>

#include "base/memory.h"

struct chart_axis {
    const char *title, *unit; /* unit: of sunup__human */
    double low, high;         /* decimal logarithms; low > high: nothing was included */
    bool doubles;             /* ticks at powers of two: ranks, bytes */
};
struct chart {
    const char *title;
    int width, height;
    struct chart_axis x, y;
};

struct chart sunup__chart(const char *title, int width, int height);
/* What is not positive and finite is passed over. */
void sunup__chart_include(struct chart *c, double x, double y);
void sunup__chart_begin(struct text *t, struct chart *c);
double sunup__chart_x(const struct chart *c, double x);
double sunup__chart_y(const struct chart *c, double y);

struct roofline {
    struct chart chart;
    double flops_per_s, bytes_per_s;     /* 0: unknown, not drawn */
    const char *flops_name, *bytes_name; /* of the ceilings: "FMA", "copy of 64 MiB" */
};
struct roofline_point {
    double flops, bytes, seconds;
    bool ours;
    const char *problem; /* one colour a kind of op: the word before '_' or ':' */
    const char *title;
};

struct roofline sunup__roofline(const char *title, int width, int height);
void sunup__roofline_include(struct roofline *r, const struct roofline_point *p);
void sunup__roofline_begin(struct text *t, struct roofline *r);
void sunup__roofline_point(struct text *t, const struct roofline *r,
                           const struct roofline_point *p);

#endif
