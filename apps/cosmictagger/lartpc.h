/* lartpc.h - a liquid-argon time projection chamber of SBND's size: what particles leave in it, what its wires show of
 * that, and the official events in the same form.
 *
 * x is the drift (cathode at 0, wires at -200 and 200 cm), y points up, z along the beam. A picture has one row a tick
 * (the drift of both halves, 0.3125 cm each) and one column a wire (0.3 cm); three planes of wires at -60, 60 and 0
 * degrees look at the same charge.
 */
#ifndef SUNUP_COSMICTAGGER_LARTPC_H
#define SUNUP_COSMICTAGGER_LARTPC_H

#include "app.h"

enum { PLANES = 3, WIRES = 2048, TICKS = 1280, CLASSES = 3 };
enum label { NOISE, COSMIC, NEUTRINO };
#define HALF_X    200.0 /* cm */
#define HALF_Y    200.0
#define LENGTH_Z  500.0
#define TICK_CM   0.3125
#define WIRE_CM   0.3
#define THRESHOLD 5.0 /* of a hit, in units of charge */

/* How events are made: the keys of the source. */
struct recipe {
    bool
        plain; /* few and simple particles, charge seen where it was set free, the same little noise everywhere */
    double cosmics; /* mean number of muons */
    double noise;   /* factor of the noise's standard deviation */
};

/* Events like the official ones; and plain ones, on which the PyTorch reference was trained and measured. */
extern const struct recipe lartpc_sbnd, lartpc_plain;

/* ---- charge (particles.c, events.c) ---- */

/* Free charge of a short step of a particle; shift: how much later than the beam it arrives, as a drift in cm. */
struct deposit {
    float x, y, z, charge, shift;
    enum label label;
};
/* Starts as zeros and grows; free(d). */
struct deposits {
    struct deposit *d;
    int64_t n, room;
    bool short_of_memory; /* some are missing */
};

enum kind { MUON, PION, PROTON, ELECTRON, PHOTON };
struct particle {
    enum kind kind;
    double energy;       /* kinetic, MeV */
    double at[3], to[3]; /* cm; unit vector */
};
/* Where what is simulated goes, and as what it counts. */
struct tracer {
    struct app_random *random;
    struct deposits *out;
    double shift;
    enum label label;
};
/* Follow a particle, and what it sets free, until it stops or leaves the chamber. */
void lartpc_follow(struct tracer *t, struct particle p);
bool lartpc_inside(const double at[3]);
/* A direction of polar angle acos(cosine) to `axis`, the azimuth random. */
void lartpc_turn(struct app_random *r, const double axis[3], double cosine, double to[3]);

/* A whole event: cosmic muons of the readout's time, and one neutrino. */
void lartpc_event(struct app_random *r, const struct recipe *how, struct deposits *out);

/* ---- pictures (readout.c) ---- */

struct readout; /* noise that was drawn once, and room for pictures; for any number of threads */
sunup_status lartpc_readout(sunup_context *ctx, uint64_t seed, const struct recipe *how,
                            struct readout **r);
void lartpc_readout_end(struct readout *r);

/* Hits of one plane: charge by [wire * TICKS + tick]. */
struct hits {
    int64_t n;
    const int32_t *id;
    const float *charge;
    const uint8_t *label;
};
/* x: ln(1 + charge) / 4, label: [PLANES][TICKS / pool][WIRES / pool]; a pixel has the largest charge and the largest
 * label of its hits. Once for a plane, which starts as zeros. */
void lartpc_pool(const struct hits *h, int plane, int pool, float *x, int32_t *label);
/* false: no memory. */
bool lartpc_image(struct readout *r, struct app_random *random, const struct deposits *d, int pool,
                  float *x, int32_t *label);

/* ---- the official events (official.c) ---- */

struct official; /* 5 events of the benchmark's sample */
sunup_status official_open(sunup_context *ctx, struct official **o);
void official_end(struct official *o);
int64_t official_events(const struct official *o);
void official_hits(const struct official *o, int64_t event, int plane, struct hits *h);

#endif
