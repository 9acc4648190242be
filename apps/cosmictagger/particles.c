/* particles.c - particles in liquid argon, step by step.
 *
 * Owes straight muons with delta rays, stopping protons, and electromagnetic showers that look like showers, because
 * they grow by what makes them: bremsstrahlung, pairs, Compton electrons, multiple scattering. Cross sections are rough
 * fits, good to some ten per cent. Charge is what recombination leaves of an energy loss. Nothing is followed outside.
 * Cost: some 11 ms of a core for an event (Emerald Rapids).
 * Source: Particle Data Group, Passage of particles through matter; loss by range and Birks' recombination at 500 V/cm:
 * Acciarri et al. (ArgoNeuT), JINST 8 P08005 (2013); Amoruso et al. (ICARUS), NIM A 523, 275 (2004).
 */
#include <math.h>
#include <stdlib.h>

#include "lartpc.h"

enum { MOST_WAITING = 256 };
#define RADIATION_CM  14.0
#define ELECTRON_MASS 0.511 /* MeV */
#define MIP_LOSS      1.65  /* MeV / cm, without delta rays above CUT */
#define FAST          750   /* MeV; beyond it muons, pions and protons lose MIP_LOSS */
#define DELTA_RATE    0.097 /* of them above T, per cm, times T in MeV */
#define CUT           0.5   /* MeV: of delta rays */
#define FAINT         0.1   /* MeV: of everything else */
#define GAIN          195.0 /* charge a MeV that recombination leaves */

struct stack {
    int n;
    struct particle p[MOST_WAITING];
};

bool lartpc_inside(const double at[3])
{
    return fabs(at[0]) < HALF_X && fabs(at[1]) < HALF_Y && at[2] > 0 && at[2] < LENGTH_Z;
}

void lartpc_turn(struct app_random *r, const double axis[3], double cosine, double to[3])
{
    const double phi = app_uniform(r, 0, 2 * M_PI), c = fmin(fmax(cosine, -1), 1);
    const double s = sqrt(1 - c * c), sign = axis[2] >= 0 ? 1 : -1;
    /* two unit vectors across the axis (Duff et al. 2017) */
    const double a = -1 / (sign + axis[2]), b = axis[0] * axis[1] * a;
    const double u[3] = {1 + sign * axis[0] * axis[0] * a, sign * b, -sign * axis[0]};
    const double v[3] = {b, sign + axis[1] * axis[1] * a, -axis[1]};
    double out[3];
    for (int i = 0; i < 3; i++) out[i] = c * axis[i] + s * (cos(phi) * u[i] + sin(phi) * v[i]);
    for (int i = 0; i < 3; i++) to[i] = out[i];
}

static void wait(struct stack *s, const struct particle *parent, enum kind kind, double energy)
{
    if (energy < FAINT || s->n == MOST_WAITING) return;
    s->p[s->n] = *parent;
    s->p[s->n].kind = kind;
    s->p[s->n++].energy = energy;
}

static double mass(enum kind k)
{
    static const double of[] = {105.7, 139.6, 938.3, ELECTRON_MASS, 0};
    return of[k];
}

static void scatter(struct app_random *r, struct particle *p, double step)
{
    const double m = mass(p->kind), t = p->energy, beta_p = t * (t + 2 * m) / (t + m);
    const double sd = 13.6 / beta_p * sqrt(step / RADIATION_CM);
    const double a = sd * app_normal(r), b = sd * app_normal(r);
    lartpc_turn(r, p->to, cos(fmin(hypot(a, b), M_PI)), p->to);
}

static bool grow(struct deposits *out)
{
    const int64_t room = 2 * out->room + 4096;
    struct deposit *d = realloc(out->d, (size_t)room * sizeof *d);
    out->short_of_memory = d == NULL;
    if (d == NULL) return false;
    out->d = d;
    out->room = room;
    return true;
}

static void deposit(struct tracer *t, const struct particle *p, double energy, double loss)
{
    struct deposits *out = t->out;
    if (out->n == out->room && !grow(out)) return;
    const double left = 0.8 / (1 + 0.0694 * loss);
    out->d[out->n++] = (struct deposit){(float)p->at[0], (float)p->at[1],
                                        (float)p->at[2], (float)(GAIN * left * energy),
                                        (float)t->shift, t->label};
}

/* MeV / cm; the slow end of a heavy particle follows its range R: A R^b. Fast ones, most of all, need no power. */
static double loss_of(const struct particle *p)
{
    const double e = p->energy;
    if (p->kind != ELECTRON && e > FAST) return MIP_LOSS;
    switch (p->kind) {
    case MUON: /* R = (0.63 T / 8)^(1 / 0.63) */
    case PION:
        return fmax(MIP_LOSS, 8 * pow(fmax(0.07875 * e, 1e-3), -0.37 / 0.63) - 0.4);
    case PROTON:
        return fmax(MIP_LOSS, 17 * pow(fmax(0.58 / 17 * e, 1e-3), -0.42 / 0.58));
    default:
        return MIP_LOSS * (1 + 0.15 * fmax(0, 1 - e));
    }
}

/* A delta ray of the step, if there is one: 1 / T^2 above the cut. */
static double knock(struct tracer *t, struct stack *s, const struct particle *p, double step)
{
    const double gamma = 1 + p->energy / mass(p->kind);
    const double most = p->kind == ELECTRON
                            ? p->energy / 2
                            : fmin(2 * ELECTRON_MASS * (gamma * gamma - 1), p->energy / 2);
    if (most <= CUT || app_uniform(t->random, 0, 1) >= DELTA_RATE / CUT * step) return 0;
    const double e = CUT / (1 - app_uniform(t->random, 0, 1));
    if (e > most) return 0;
    struct particle delta = *p;
    lartpc_turn(t->random, p->to, sqrt(e / (e + 2 * ELECTRON_MASS)), delta.to);
    wait(s, &delta, ELECTRON, e);
    return e;
}

/* Photons above the cut: 4/3 dk / k a radiation length, soft ones kept as loss. */
static double radiate(struct tracer *t, struct stack *s, const struct particle *p, double step)
{
    if (p->kind != ELECTRON || p->energy <= 2 * FAINT) return 0;
    const double span = log(p->energy / FAINT);
    if (app_uniform(t->random, 0, 1) >= 4.0 / 3 * span * step / RADIATION_CM) return 0;
    const double k = FAINT * exp(span * app_uniform(t->random, 0, 1)), y = k / p->energy;
    if (app_uniform(t->random, 0, 1) > 1 - y + 0.75 * y * y) return 0;
    wait(s, p, PHOTON, k);
    return k;
}

static void stop(struct tracer *t, struct stack *s, const struct particle *p)
{
    if (p->kind != MUON) return;
    struct particle michel = *p; /* energies of the decay: x^2 (3 - 2 x), by rejection */
    double x = 0;
    do x = app_uniform(t->random, 0, 1);
    while (app_uniform(t->random, 0, 1) > x * x * (3 - 2 * x));
    lartpc_turn(t->random, p->to, app_uniform(t->random, -1, 1), michel.to);
    wait(s, &michel, ELECTRON, 52.8 * x);
}

static void follow_charged(struct tracer *t, struct stack *s, struct particle p)
{
    while (lartpc_inside(p.at)) {
        const double step = p.kind == MUON && p.energy > 500 ? 0.15 : 0.1, loss = loss_of(&p);
        const double mean = loss * step;
        const double lost = mean * app_gamma(t->random, 5) / 5,
                     e = p.energy > 1.5 * lost ? lost : p.energy;
        deposit(t, &p, e, p.kind == ELECTRON ? 2.1 : loss + 0.4);
        p.energy -= e + knock(t, s, &p, step) + radiate(t, s, &p, step);
        if (p.energy < FAINT / 2) {
            stop(t, s, &p);
            return;
        }
        for (int i = 0; i < 3; i++) p.at[i] += step * p.to[i];
        scatter(t->random, &p, step);
        if (p.kind == PION && app_uniform(t->random, 0, 1) < step / 100) return; /* absorbed */
    }
}

static void compton(struct tracer *t, struct stack *s, struct particle p)
{
    /* the electron's share: flat up to the kinematic edge */
    const double k = p.energy, edge = k * 2 * k / (ELECTRON_MASS + 2 * k);
    const double e = edge * app_uniform(t->random, 0, 1);
    struct particle electron = p;
    const double c = (1 + ELECTRON_MASS / k) * sqrt(e / (e + 2 * ELECTRON_MASS));
    lartpc_turn(t->random, p.to, c, electron.to);
    const double momentum = sqrt(e * (e + 2 * ELECTRON_MASS));
    double norm = 0;
    for (int i = 0; i < 3; i++) {
        p.to[i] = k * p.to[i] - momentum * electron.to[i];
        norm += p.to[i] * p.to[i];
    }
    for (int i = 0; i < 3; i++) p.to[i] /= sqrt(norm) + 1e-12;
    wait(s, &electron, ELECTRON, e);
    wait(s, &p, PHOTON, k - e);
}

static void follow_photon(struct tracer *t, struct stack *s, struct particle p)
{
    const double compton_cm = 12 * pow(p.energy, 0.6);
    const double pair_cm = p.energy > 2 ? 18 * (1 + 10 / p.energy) : 1e9;
    const double rate = 1 / compton_cm + 1 / pair_cm, far = app_exponential(t->random, 1 / rate);
    for (int i = 0; i < 3; i++) p.at[i] += far * p.to[i];
    if (!lartpc_inside(p.at)) return;
    if (app_uniform(t->random, 0, 1) * rate < 1 / compton_cm) {
        compton(t, s, p);
        return;
    }
    const double share = app_uniform(t->random, 0, 1), e = p.energy - 2 * ELECTRON_MASS;
    lartpc_turn(t->random, p.to, cos(fmin(ELECTRON_MASS / p.energy, 1)), p.to);
    wait(s, &p, ELECTRON, share * e);
    wait(s, &p, ELECTRON, (1 - share) * e);
}

void lartpc_follow(struct tracer *t, struct particle p)
{
    struct stack s = {.n = 1};
    s.p[0] = p;
    while (s.n > 0) {
        const struct particle next = s.p[--s.n];
        if (next.kind == PHOTON)
            follow_photon(t, &s, next);
        else
            follow_charged(t, &s, next);
    }
}
