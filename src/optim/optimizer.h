/* optimizer.h - what the files of this folder share about an optimizer.
 *
 * The flat arrays are visited in chunks: pieces of at most CHUNK elements that never cross a tensor's end. The
 * padding between tensors is never read or written. Chunks depend on the segments only, so sums over them do too.
 * A chunk belongs to one rank; CHUNK is small, so that slices at thousands of ranks differ little.
 */
#ifndef SUNUP_OPTIM_OPTIMIZER_H
#define SUNUP_OPTIM_OPTIMIZER_H

#include "base/exact.h"
#include "optim/optim.h"

enum { CHUNK = 2048 };

enum optimizer_type {
    OPT_SGD,
    OPT_ADAM,
    OPT_ADAMW,
    OPT_ADAMAX,
    OPT_ADAGRAD,
    OPT_RMSPROP,
    OPT_RADAM,
    OPT_RANGER,
    OPT_LARS,
    OPT_LAMB
};

struct chunk {
    int segment;
    int64_t at, own, n; /* elements; where in the flat arrays, where in the own memory */
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
    int n_slices;
    struct slice *slices; /* own */
    int64_t n_own;        /* elements in them */
    int64_t n_chunks;
    struct chunk *chunks; /* own */
    double *partial;      /* [n_chunks] sums of squares of the pass at hand */
    bool seen;            /* they are the next step's gradient's */
    struct exact *sums;   /* [2 n_segments], or [1] where only the global norm is wanted */
    int64_t *bad;         /* [n_segments] chunks that are not finite, counted when a step fails */
    double *square;       /* [2 n_segments] values of sums */
    double *rate;         /* [n_segments] what lars and lamb multiply a tensor's step by */
    int n_moments;
    struct moment
        moments[OPTIMIZER_MOMENTS]; /* [n_own] each, in the order in which the leaf takes them */
    void *direction;                /* [n_own] lamb only */
};

/* One step's constants and arrays, as tasks see them. */
struct step_job {
    struct optimizer *opt;
    struct update u;
    const void *g;
    void *w;
    const struct optimizer_ranks *ranks; /* NULL: one */
    const void *x;                       /* whose squares are summed */
    bool x_own;                          /* x holds the own slices only */
};

/* options.c: the type's index, or E_ARGUMENT; fills what was left to defaults. */
sunup_status sunup__optimizer_resolve(sunup_context *ctx, sunup_optimizer_options *o,
                                      enum optimizer_type *type);

/* chunks.c: copies of segments and slices, and the own chunks. E_ARGUMENT if they do not fit. */
sunup_status sunup__optimizer_chunks(struct optimizer *opt, const struct optimizer_job *job);

static inline const void *sunup__element(const struct optimizer *opt, const void *flat, int64_t at)
{
    return (const char *)flat + at * (int64_t)(opt->f64 ? sizeof(double) : sizeof(float));
}

/* factors.c: the gradient of a chunk, where it lies or made in `room`. */
const void *sunup__chunk_gradient(const struct step_job *job, const struct chunk *c, double room[CHUNK]);

/* norms.c */
static inline bool sunup__layerwise(const struct optimizer *opt)
{
    return opt->type == OPT_LARS || opt->type == OPT_LAMB;
}
/* Own squares of x, of each tensor into sums[s], or of all into sums[0]. */
void sunup__squares_by_tensor(struct step_job *job, const void *x, bool own, struct exact *sums);
void sunup__squares_of_all(struct step_job *job, const void *x, struct exact *sum);
/* The first n of sums over all ranks, and their values in square. */
sunup_status sunup__combine_squares(struct step_job *job, int n);
/* The gradient's squares over all ranks, before scaling; lars: square has those of each tensor, then the weights'. */
sunup_status sunup__gradient_squares(struct step_job *job, double *sum);
/* E_NAN, on all ranks, which name the same tensor. */
sunup_status sunup__gradient_not_finite(struct step_job *job);

/* rectified.c: adam's constants become radam's at update t, from 1. */
void sunup__rectify(struct update *u, int64_t t);
enum { LOOK_AHEAD_STEPS = 6 }; /* ranger: every so many updates the weights go back ... */
#define LOOK_AHEAD_SHARE 0.5   /* ... to this part of the way from the slow weights     */

/* layerwise.c: rates of each tensor for lars, the whole update for lamb. */
void sunup__lars_rates(struct step_job *job);
sunup_status sunup__lamb_update(struct step_job *job);

static inline void sunup__give(const struct step_job *job, const struct chunk *c)
{
    if (job->ranks != NULL) job->ranks->give(job->ranks->arg, c->at, c->n);
}

#endif
