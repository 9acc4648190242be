/* features.c - from particles to numbers: momenta as logarithms, places from the jet's axis, kinds of particles. */
#include <math.h>
#include <stdlib.h>

#include "jets.h"

void jets_end(struct jets *j)
{
    if (j == NULL) return;
    float *const arrays[] = {j->pt,    j->dy,     j->dphi,     j->pid,
                             j->label, j->jet_pt, j->jet_mass, j->n_particles};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) sunup_free(arrays[i]);
    free(j);
}

static sunup_status read_one(sunup_context *ctx, const char *file, const char *member, int64_t *n, int64_t width,
                             float **x)
{
    sunup_tensor t;
    const sunup_status status = app_read_f32(ctx, file, member, &t);
    if (status != SUNUP_OK) return status;
    const bool first = *n < 0;
    if (first) *n = t.shape.d[0];
    *x = t.data;
    const bool fits = t.shape.d[0] == *n && (width == 1 ? t.shape.n == 1 : t.shape.n == 2 && t.shape.d[1] == width);
    return fits ? SUNUP_OK
                : app_error(ctx, SUNUP_E_SHAPE, "%s: '%s' is not [%lld%s]", file, member, (long long)*n,
                            width == 1 ? "" : ", 100");
}

struct jets *jets_read(sunup_context *ctx, const char *file)
{
    struct jets *j = calloc(1, sizeof *j);
    if (j == NULL) {
        (void)app_error(ctx, SUNUP_E_MEMORY, "no memory for jets");
        return NULL;
    }
    j->n = -1;
    const struct {
        const char *member;
        int64_t width;
        float **x;
    } wanted[] = {{"pt", PARTICLES, &j->pt},   {"dy", PARTICLES, &j->dy},  {"dphi", PARTICLES, &j->dphi},
                  {"pid", PARTICLES, &j->pid}, {"label", 1, &j->label},    {"jet_pt", 1, &j->jet_pt},
                  {"jet_mass", 1, &j->jet_mass}, {"n_particles", 1, &j->n_particles}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (read_one(ctx, file, wanted[i].member, &j->n, wanted[i].width, wanted[i].x) == SUNUP_OK) continue;
        jets_end(j);
        return NULL;
    }
    j->to = j->n;
    return j;
}

/* Photon, electron, muon, charged and neutral hadron. */
enum kind { PHOTON, ELECTRON, MUON, CHARGED, NEUTRAL, KINDS };

static enum kind kind_of(int pid)
{
    switch (abs(pid)) {
    case 22:
        return PHOTON;
    case 11:
        return ELECTRON;
    case 13:
        return MUON;
    case 130:  /* K0L */
    case 310:  /* K0S */
    case 2112: /* n   */
    case 3122: /* Lambda, Xi0: those that live long enough to be seen */
    case 3322:
        return NEUTRAL;
    default:
        return CHARGED;
    }
}

/* The sign of a charged hadron's code is its charge but for the negative hyperons and leptons. */
static float charge_of(int pid)
{
    const enum kind kind = kind_of(pid);
    if (kind == PHOTON || kind == NEUTRAL) return 0;
    const bool negative = abs(pid) == 3112 || abs(pid) == 3312 || abs(pid) == 3334;
    const bool turned = kind == ELECTRON || kind == MUON || negative;
    return (pid > 0) != turned ? 1 : -1;
}

static void show_particle(const struct jets *j, int64_t jet, double pt, const double at[2], int pid, float *f)
{
    const double r = hypot(at[0], at[1]);
    f[0] = (float)(0.5 * log(pt) - 1);
    f[1] = (float)(0.5 * log(pt / (double)j->jet_pt[jet]) + 2);
    f[2] = (float)(20 * pt / (double)j->jet_pt[jet]);
    f[3] = (float)(4 * at[0]);
    f[4] = (float)(4 * at[1]);
    f[5] = (float)(4 * r);
    f[6] = (float)(0.5 * log(r + 1e-3) + 1.5);
    f[7] = charge_of(pid);
    for (int k = 0; k < KINDS; k++) f[8 + k] = k == (int)kind_of(pid);
}

void jets_show(const struct jets *j, int64_t jet, double angle, bool mirror, const struct jets_view *v)
{
    const double c = cos(angle), s = sin(angle);
    for (int i = 0; i < PARTICLES; i++) {
        const int64_t k = jet * PARTICLES + i;
        const double y = mirror ? -(double)j->dy[k] : (double)j->dy[k], phi = (double)j->dphi[k];
        const double at[2] = {c * y - s * phi, s * y + c * phi};
        const bool there = j->pt[k] > 0;
        float *f = v->particles + i * FEATURES;
        for (int x = 0; x < FEATURES; x++) f[x] = 0;
        if (there) show_particle(j, jet, (double)j->pt[k], at, (int)j->pid[k], f);
        v->mask[i] = there;
        for (int x = 0; x < 2; x++) v->at[2 * i + x] = there ? (float)at[x] : 0;
    }
}
