/* optimizer.h - what the files of this folder share about an optimizer.
 *
 * The flat arrays are visited in chunks: pieces of at most CHUNK elements that never cross a tensor's end. The
 * padding between tensors is never read or written. Chunks depend on the segments only, so sums over them do too.
 */
#ifndef SUNUP_OPTIM_OPTIMIZER_H
#define SUNUP_OPTIM_OPTIMIZER_H

#include "optim/optim.h"

enum { CHUNK = 16384, MAX_MOMENTS = 3 };

enum optimizer_type { OPT_SGD, OPT_ADAM, OPT_ADAMW, OPT_ADAMAX, OPT_RMSPROP, OPT_LARS, OPT_LAMB };

struct chunk {
    int segment;
    int64_t at, n;
};

struct moment {
    const char *name; /* PyTorch's name of it */
    void *data;
};

struct optimizer {
    sunup_context *ctx;
    const struct kernels *kernels;
    int threads;
    enum optimizer_type type;
    sunup_optimizer_options o; /* with defaults filled in */
    bool f64;
    int64_t n, t; /* elements of the flat arrays; updates done */
    int n_segments;
    struct segment *segments;
    int64_t n_chunks;
    struct chunk *chunks;
    double *partial;                        /* [n_chunks] sums of squares of the pass at hand */
    double *square_g, *square_w, *square_r; /* [n_segments] of gradient, weights, direction */
    double *rate; /* [n_segments] what lars and lamb multiply a tensor's step by */
    int n_moments;
    struct moment moments[MAX_MOMENTS]; /* in the order in which the leaf takes them */
    void *direction;                    /* [n] lamb only */
};

/* One step's constants and arrays, as tasks see them. */
struct step_job {
    struct optimizer *opt;
    struct update u;
    const void *g;
    void *w;
    const void *x; /* whose squares are summed */
};

/* options.c: the type's index, or E_ARGUMENT; fills what was left to defaults. */
sunup_status sunup__optimizer_resolve(sunup_context *ctx, sunup_optimizer_options *o,
                                      enum optimizer_type *type);

/* optimizer.c: squares[s] of each tensor of x, and their sum. */
double sunup__optimizer_squares(struct step_job *job, const void *x, double *squares);

/* layerwise.c: rates of each tensor for lars, the whole update for lamb. */
void sunup__lars_rates(struct step_job *job);
void sunup__lamb_update(struct step_job *job);

#endif
