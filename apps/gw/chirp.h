/* chirp.h - the signal that is injected: two black holes of m1 and m2 solar masses (detector frame)
 * fall into one. */
#ifndef SUNUP_APPS_GW_CHIRP_H
#define SUNUP_APPS_GW_CHIRP_H

#include "strain.h"

struct chirp {
    double m1, m2; /* solar masses */
    double phase;  /* at the merger */
    bool isco;     /* the inspiral ends at the innermost stable orbit: the cruder recipe */
};

/* out: [n][2], plus and cross; the merger is at sample `at`. Arbitrary amplitude. */
void gw_chirp(const struct chirp *c, int64_t rate, int64_t n, double at, double *out);

#endif
