/* chirp.c - leading-order inspiral, then a damped ring.
 *
 * f(tau) = (5 Mc / tau)^(3/8) / (8 pi Mc), amplitude ~ f^(2/3), up to the peak of the emission,
 * M f = 0.057; from there the ring of a black hole of spin 0.7: M f = 0.085, decay 12 M. In H1's
 * noise the best such chirp overlaps with GW150914's published template by 0.97; one that ends at the
 * innermost stable orbit and rings at 1.5 of its frequency, by 0.66 (gw_test.c).
 * Peters, Phys. Rev. 136, B1224 (1964); Berti et al., Class. Quantum Grav. 26, 163001 (2009).
 */
#include "chirp.h"

#include <math.h>
#include <string.h>

#define SUN_S    4.925491e-6 /* G M / c^3 */
#define START_HZ 20.0        /* the band begins at 30 */

struct shape {
    double mc, end_hz, ring_hz, decay_s;
    double left_s; /* from the end of the inspiral to where the leading order would collide */
};

/* How long before the collision of the leading order its frequency is hz. */
static double left_at(double mc, double hz)
{
    return 5 * mc * pow(8 * M_PI * mc * hz, -8.0 / 3);
}

static struct shape shape_of(const struct chirp *c)
{
    const double m = (c->m1 + c->m2) * SUN_S;
    struct shape s = {.mc = pow(c->m1 * c->m2, 0.6) / pow(c->m1 + c->m2, 0.2) * SUN_S,
                      .end_hz = 0.057 / m,
                      .ring_hz = 0.085 / m,
                      .decay_s = 12 * m};
    if (c->isco) {
        s.end_hz = 1 / (pow(6, 1.5) * M_PI * m);
        s.ring_hz = 1.5 * s.end_hz;
        s.decay_s = 1 / s.ring_hz;
    }
    s.left_s = left_at(s.mc, s.end_hz);
    return s;
}

void gw_chirp(const struct chirp *c, int64_t rate, int64_t n, double at, double *out)
{
    const struct shape s = shape_of(c);
    const double last = -2 * pow(s.left_s / (5 * s.mc), 0.625);
    const double first_s = s.left_s - left_at(s.mc, START_HZ), end_s = 20 * s.decay_s;
    memset(out, 0, (size_t)(2 * n) * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        const double t = ((double)i - at) / (double)rate, tau = s.left_s - t;
        if (t < first_s || t > end_s) continue;
        const bool ring = t >= 0;
        const double a = ring ? exp(-t / s.decay_s) : pow(s.left_s / tau, 0.25); /* hz^(2/3) */
        const double phase =
            ring ? 2 * M_PI * s.ring_hz * t : -2 * pow(tau / (5 * s.mc), 0.625) - last;
        out[2 * i] = a * cos(phase + c->phase);
        out[2 * i + 1] = a * sin(phase + c->phase);
    }
}
