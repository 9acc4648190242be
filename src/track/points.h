/* points.h - where a series changed: E-divisive means with Student's t as its test.
 *
 * With as_otava the same points as Apache Otava 0.8 finds, index by index: window, max_p and least are its window_len,
 * max_pvalue and min_magnitude (whose default there is 0). Method: Matteson and James, "A nonparametric approach for
 * multiple change point analysis of multivariate data", JASA 109, 2014; Fleming et al., "Hunter: using change point
 * detection to hunt for performance regressions", ICPE 2023 (windows, weak points first).
 */
#ifndef SUNUP_TRACK_POINTS_H
#define SUNUP_TRACK_POINTS_H

#include <stdbool.h>

#include "base/context.h"

struct track_point_options {
    int window;    /* of points looked at together, 2 at least; 50 */
    double max_p;  /* 0.001; the weak points of a window: ten times that (twice from 0.05, once from 0.5) */
    double least;  /* relative change of the means, seen from the smaller one, up to which a point is dropped; 0.02 */
    bool as_otava; /* false: a point is kept only if it holds between the neighbours it has in the end. true: decide
                      with the older p-values that Otava decides with, for comparisons */
};
/* Standard deviations have divisor n, as in Otava, and p is its pooled t-test of them: a little too small on short
 * segments. p and the moments are of the segments that the changes returned leave. */
struct track_change {
    int at;               /* the first point after the change */
    double before, after; /* means of the segments on both sides */
    double sd_before, sd_after, p;
};

struct track_point_options sunup__track_point_defaults(void);
/* *changes (in order, *n_changes of them) is released by sunup__free; cost O(n window^2), at window 50
 * about a microsecond a value. Values that are not finite are passed over: `at` counts them, nothing else does.
 * n < 0, window < 2, max_p outside [0, 1] or least < 0 are E_ARGUMENT. */
sunup_status sunup__track_changes(sunup_context *ctx, const double *x, int n,
                                  const struct track_point_options *o, struct track_change **changes,
                                  int *n_changes);

#endif
