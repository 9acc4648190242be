/* phi4.h - the parts of the lattice workload: the field's action and its Monte Carlo (lattice.c),
 * what weighted samples say (ensemble.c), the flow (flow.c); phi4.c puts them together.
 *
 * Two-dimensional scalar field phi on a periodic L x L lattice,
 *     S = sum_x [ m2 phi^2 + lambda phi^4 + sum_mu (2 phi^2 - phi (phi_{+mu} + phi_{-mu})) ],
 *     p = exp(-S) / Z,
 * with m2 = -4, lambda = 8 as in Albergo et al., arXiv 2101.08176, so that our numbers stand
 * beside theirs.
 */
#ifndef PHI4_H
#define PHI4_H

#include "app.h"

#define PHI4_M2     (-4.0)
#define PHI4_LAMBDA 8.0

struct lattice {
    int64_t length; /* L: sites along an axis */
    double m2, lambda;
};

static inline int64_t phi4_sites(const struct lattice *l)
{
    return l->length * l->length;
}

/* phi: [L][L]. */
double phi4_action(const struct lattice *l, const double *phi);
/* dS/dphi at each site. */
void phi4_force(const struct lattice *l, const double *phi, double *force);
/* log Z where lambda is 0 and m2 above 0: a product over momenta. */
double phi4_free_log_z(const struct lattice *l);

struct estimate {
    double value, error; /* one standard deviation */
};

/* Local Metropolis updates from a field of zeros, whose width is found while it comes to rest. */
struct walk {
    struct lattice l;
    double *phi; /* [L][L] */
    double width;
    struct app_random random;
};
bool phi4_walk_begin(struct walk *w, const struct lattice *l, uint64_t seed);
void phi4_walk_end(struct walk *w);
/* Every site once; the fraction of changes that were accepted. */
double phi4_sweep(struct walk *w);
/* chi = <(sum phi)^2> / V and <phi^2>, by so many sweeps. */
bool phi4_walk_measure(const struct lattice *l, int64_t sweeps, uint64_t seed, struct estimate *chi,
                       struct estimate *phi2);
/* log Z(l) by integrating <dS/dt> from the free field of m2 = 4 at t = 0 to l at t = 1: so many
 * sweeps at each of 12 points. */
bool phi4_log_z(const struct lattice *l, int64_t sweeps, uint64_t seed, struct estimate *log_z);

/* Mean of a series in time, its error by blocking: 100 blocks, each much longer than the memory of
 * the series. */
struct estimate phi4_blocked(int64_t n, const double *x);

/* Independent samples of q, each with log w = log p~ - log q, p~ = exp(-S) without its Z. */
struct ensemble {
    int64_t n;
    double *log_w, *m2_site, *phi2; /* [n]: log weight, (sum phi)^2 / V, mean of phi^2 */
};
bool phi4_ensemble_begin(struct ensemble *e, int64_t n);
void phi4_ensemble_end(struct ensemble *e);
/* Effective part of the samples, (sum w)^2 / (n sum w^2). */
double phi4_ess(const struct ensemble *e);
/* -<log w>: the loss; with log Z of p it is the Kullback-Leibler divergence of q from p. */
struct estimate phi4_loss(const struct ensemble *e);
/* log <w> estimates log Z of p. */
struct estimate phi4_weighted_log_z(const struct ensemble *e);
/* sum w x / sum w, its error by the jackknife over 64 blocks. */
struct estimate phi4_reweighted(const struct ensemble *e, const double *x);
/* The samples in their order as proposals of independence Metropolis: part accepted, and the mean
 * of x[n] along the chain. */
double phi4_chain(const struct ensemble *e, uint64_t seed, const double *x, struct estimate *mean);

/* The network: app_phi4.build. */
sunup_status phi4_flow(sunup_graph *g, void *network);

#endif
