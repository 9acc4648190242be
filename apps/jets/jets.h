/* jets.h - jets in memory and what networks see of them. */
#ifndef SUNUP_JETS_H
#define SUNUP_JETS_H

#include "app.h"

enum { PARTICLES = 100, FEATURES = 13 };

/* Arrays of a file of jets; owned. */
struct jets {
    int64_t n;
    float *pt, *dy, *dphi; /* [n][PARTICLES], zeros behind the last particle */
    float *pid;            /* PDG codes */
    float *label;          /* [n] 1 quark, 0 gluon */
    float *jet_pt, *jet_mass, *n_particles;
    int64_t from, to; /* the jets that serve */
    uint64_t seed;
    bool turn; /* each epoch sees each jet turned and perhaps mirrored about its axis */
};
void jets_end(struct jets *j);
/* NULL after an error. */
struct jets *jets_read(sunup_context *ctx, const char *file);

/* A jet's particles as [PARTICLES][FEATURES], 1 and 0 for there and not, and their (dy, dphi); angle and mirror turn it. */
struct jets_view {
    float *particles, *mask, *at;
};
/* ParticleNet; network: struct app_network of variant "lite" or "". */
sunup_status jets_build(sunup_graph *g, void *network);
void jets_show(const struct jets *j, int64_t jet, double angle, bool mirror, const struct jets_view *v);

#endif
