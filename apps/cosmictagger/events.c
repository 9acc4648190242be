/* events.c - what happens in the chamber while it is read out: cosmic muons at any time, and one neutrino with the beam.
 *
 * Muons come from above by cos^2 of the zenith angle, energies by a power law; the wires see those of a drift time
 * before and after the beam, shifted along the drift, in part. Three in ten arrive with the one before (an air shower).
 * Neutrinos have 0.3 to 2.5 GeV: muon or electron kind, one in six a neutral current; with protons, pions, photons of
 * neutral pions, and neutrons that show by recoils and photons far off. Made up to look alike, from no generator. Plain
 * events have a part of this only.
 */
#include <math.h>

#include "lartpc.h"

const struct recipe lartpc_sbnd = {false, 10, 1}, lartpc_plain = {true, 9, 1.01};

static void copy(const double from[3], double to[3])
{
    for (int i = 0; i < 3; i++) to[i] = from[i];
}

static double any(struct app_random *r)
{
    return app_uniform(r, 0, 1);
}

static void inside(struct app_random *r, double at[3])
{
    at[0] = app_uniform(r, -HALF_X, HALF_X);
    at[1] = app_uniform(r, -HALF_Y, HALF_Y);
    at[2] = app_uniform(r, 0, LENGTH_Z);
}

/* ---- cosmic ---- */

/* Where a line from above the chamber first meets it; false: it misses. */
static bool enter(double at[3], const double to[3])
{
    static const double low[3] = {-HALF_X, -HALF_Y, 0}, high[3] = {HALF_X, HALF_Y, LENGTH_Z};
    double first = 0, last = 1e9;
    for (int i = 0; i < 3; i++) {
        const double a = (low[i] - at[i]) / to[i], b = (high[i] - at[i]) / to[i];
        first = fmax(first, fmin(a, b));
        last = fmin(last, fmax(a, b));
    }
    for (int i = 0; i < 3; i++) at[i] += (first + 1e-3) * to[i];
    return first < last - 2e-3;
}

static void muon(struct tracer *t)
{
    static const double down[3] = {0, -1, 0};
    struct app_random *r = t->random;
    struct particle p = {.kind = MUON};
    do {
        p.at[0] = app_uniform(r, -800, 800);
        p.at[1] = HALF_Y + 1e-6;
        p.at[2] = app_uniform(r, -600, LENGTH_Z + 600);
        lartpc_turn(r, down, pow(any(r), 0.25), p.to);
    } while (!enter(p.at, p.to));
    p.energy = 5000 * (pow(1 - any(r), -0.5) - 1) + 50;
    lartpc_follow(t, p);
}

/* Photons that came in unseen, from neutrons or muons outside. */
static void stray(struct tracer *t)
{
    struct particle p = {
        .kind = PHOTON,
        .energy = 1 + app_exponential(t->random, app_uniform(t->random, 0, 1) < 0.05 ? 40 : 3)};
    inside(t->random, p.at);
    lartpc_turn(t->random, (const double[3]){0, -1, 0}, app_uniform(t->random, 0, 1), p.to);
    lartpc_follow(t, p);
}

static void cosmic(struct app_random *r, const struct recipe *how, struct deposits *out)
{
    struct tracer t = {r, out, 0, COSMIC};
    const int64_t muons = app_poisson(r, how->cosmics),
                  strays = how->plain ? 0 : app_poisson(r, 25);
    const double most = how->plain ? 150 : HALF_X, together = how->plain ? 0 : 0.3;
    for (int64_t i = 0; i < muons; i++) {
        if (i == 0 || any(r) > together) t.shift = app_uniform(r, -most, most);
        muon(&t);
    }
    for (int64_t i = 0; i < strays; i++) {
        t.shift = app_uniform(r, -HALF_X, HALF_X);
        stray(&t);
    }
}

/* ---- neutrino ---- */

static const double beam[3] = {0, 0, 1};

static void shoot(struct tracer *t, const double at[3], enum kind kind, double energy,
                  double cosine)
{
    struct particle p = {.kind = kind, .energy = energy};
    copy(at, p.at);
    lartpc_turn(t->random, beam, cosine, p.to);
    lartpc_follow(t, p);
}

/* Two photons, back to back where the pion rests, thrown forward by its speed. */
static void neutral_pion(struct tracer *t, const double at[3], double energy)
{
    const double gamma = 1 + energy / 135, beta = sqrt(1 - 1 / (gamma * gamma));
    const double c = app_uniform(t->random, -1, 1);
    double axis[3];
    lartpc_turn(t->random, beam, app_uniform(t->random, -1, 1), axis);
    for (int side = -1; side <= 1; side += 2) {
        struct particle p = {.kind = PHOTON, .energy = 67.5 * gamma * (1 + side * beta * c)};
        copy(at, p.at);
        lartpc_turn(t->random, axis, (beta + side * c) / (1 + side * beta * c), p.to);
        lartpc_follow(t, p);
    }
}

/* Some collisions on its way, each a short recoil and photons of a few MeV. */
static void neutron(struct tracer *t, const double from[3])
{
    struct app_random *r = t->random;
    double at[3], to[3];
    copy(from, at);
    lartpc_turn(r, beam, 1 - 2 * pow(any(r), 1.5), to);
    for (int64_t left = 1 + app_poisson(r, 2); left > 0; left--) {
        const double far = app_exponential(r, 35);
        for (int i = 0; i < 3; i++) at[i] += far * to[i];
        if (!lartpc_inside(at)) return;
        if (any(r) < 0.5) shoot(t, at, PROTON, app_exponential(r, 15), app_uniform(r, -1, 1));
        for (int64_t k = app_poisson(r, 3); k > 0; k--)
            shoot(t, at, PHOTON, 0.5 + app_exponential(r, 2), app_uniform(r, -1, 1));
        lartpc_turn(r, to, app_uniform(r, -0.5, 1), to);
    }
}

/* Angle of a lepton whose momentum across the beam is some 300 MeV. */
static double forward(struct app_random *r, double energy)
{
    return cos(fmin(app_exponential(r, 300) / energy, 2.5));
}

static void neutrino(struct app_random *r, struct deposits *out)
{
    struct tracer t = {r, out, 0, NEUTRINO};
    double at[3];
    inside(r, at);
    const double energy = 300 + 0.5 * (app_exponential(r, 900) + app_exponential(r, 900));
    const double share = app_uniform(r, 0.4, 0.95), kind = any(r);
    if (kind < 5.0 / 6)
        shoot(&t, at, kind < 2.5 / 6 ? MUON : ELECTRON, share * energy, forward(r, share * energy));
    for (int64_t n = app_poisson(r, 1.2); n > 0; n--)
        shoot(&t, at, PROTON, app_exponential(r, 70), app_uniform(r, -0.5, 1));
    const double rest = (1 - share) * energy;
    if (rest > 150 && any(r) < 0.25) shoot(&t, at, PION, rest - 139, app_uniform(r, -0.5, 1));
    if (kind >= 5.0 / 6 || (rest > 150 && any(r) < 0.25))
        neutral_pion(&t, at, app_exponential(r, 200));
    for (int64_t n = app_poisson(r, 2.5); n > 0; n--) neutron(&t, at);
    for (int64_t n = app_poisson(r, 1.5); n > 0; n--) /* of the nucleus */
        shoot(&t, at, PHOTON, 1 + app_exponential(r, 2.5), app_uniform(r, -1, 1));
}

/* A muon, an electron or two photons; protons; blips. The ranges of muons and protons are exponential. */
static void plain_neutrino(struct app_random *r, struct deposits *out)
{
    struct tracer t = {r, out, 0, NEUTRINO};
    double at[3];
    inside(r, at);
    const int64_t kind = app_below(r, 3);
    const double energy = 30 + app_exponential(r, 100);
    if (kind == 0)
        shoot(&t, at, MUON, 8 / 0.63 * pow(app_exponential(r, 120), 0.63), forward(r, 400));
    else if (kind == 1)
        shoot(&t, at, ELECTRON, energy, forward(r, 400));
    else
        neutral_pion(&t, at, energy);
    for (int64_t n = app_poisson(r, 1.5); n > 0; n--)
        shoot(&t, at, PROTON, 17 / 0.58 * pow(app_exponential(r, 12), 0.58),
              app_uniform(r, -0.5, 1));
    for (int64_t n = app_poisson(r, 1); n > 0; n--)
        shoot(&t, at, PHOTON, 1 + app_exponential(r, 3), app_uniform(r, -1, 1));
}

void lartpc_event(struct app_random *r, const struct recipe *how, struct deposits *out)
{
    cosmic(r, how, out);
    (how->plain ? plain_neutrino : neutrino)(r, out);
}
