/* points.h - where a series changed: E-divisive means with Student's t as its test.
 *
 * The same points as Apache Otava 0.8 finds on its own test series with the same parameters. Method: Matteson and James,
 * "A nonparametric approach for multiple change point analysis of multivariate data", JASA 109, 2014; Fleming et al.,
 * "Hunter: using change point detection to hunt for performance regressions", ICPE 2023 (windows, weak points first).
 */
#ifndef SUNUP_TRACK_POINTS_H
#define SUNUP_TRACK_POINTS_H

#include "base/context.h"

struct track_point_options {
    int window;       /* of points looked at together; 50 */
    double max_p;     /* 0.001 */
    double least;     /* relative change of the means below which a point is dropped; 0.02 */
};
struct track_change {
    int at;                       /* the first point after the change */
    double before, after;         /* means of the segments on both sides */
    double sd_before, sd_after, p;
};

struct track_point_options sunup__track_point_defaults(void);
/* *changes (in order, *n of them) is released by sunup__free; cost O(n window^2). n < 0 is E_ARGUMENT. */
sunup_status sunup__track_changes(sunup_context *ctx, const double *x, int n,
                                  const struct track_point_options *o, struct track_change **changes,
                                  int *n_changes);

#endif
