/* optim.h - optimizers and schedules: from summed gradients to new weights, one pass over the own slices.
 *
 * Weights and gradients are flat arrays in the same order, of which each rank updates its slices; moments are kept for
 * those only. Types that need norms of whole tensors (lars, lamb) read the segments. Sums of squares are taken in
 * fixed chunks and added exactly, and slices are cut between chunks: no result depends on threads, ranks or slices.
 * Numbers agree with PyTorch's torch.optim (lars: with the paper's formula, documented).
 */
#ifndef SUNUP_OPTIM_H
#define SUNUP_OPTIM_H

#include "base/context.h"
#include "comm/comm.h" /* struct slice */
#include "kernels/kernels.h"

/* The gradient of a tensor [rows][columns] as the product x' dy of x [terms][rows] and dy [terms][columns], which the
 * optimizer reads in each step, in the element type of the flat arrays. */
struct factors {
    const void *x, *dy;
    int64_t terms, rows, columns;
};

struct segment { /* one parameter tensor in the flat arrays */
    const char *name;
    int64_t at, n;
    bool vector; /* one dimension (bias, norm): lars leaves these without trust and decay */
    const struct factors *factors; /* its gradient, and its place in the flat one is never touched; NULL: that has it */
};

/* What is updated, and what of it here. */
struct optimizer_job {
    const struct kernels *k;
    int threads;
    bool f64;  /* element type of all arrays */
    int64_t n; /* elements of a flat array */
    int n_segments;
    const struct segment *segments; /* ascending, side by side; none: all is one tensor */
    int n_slices;
    const struct slice *slices; /* own ones, ascending, ends where cut allows; NULL: everything */
};
/* Where slices of job (an optimizer_job) may end: the last such place <= at; 0 and n are. */
int64_t sunup__optimizer_cut(const void *job, int64_t at);

/* What a step needs of the other ranks; all make the same calls. */
struct optimizer_ranks {
    sunup_status (*combine)(void *arg, int64_t n, int64_t *words); /* add up over ranks, in place */
    /* [at, at + n) of w is new: called by the thread that made it, at once. Never with padding. */
    void (*give)(void *arg, int64_t at, int64_t n);
    void *arg;
};

enum { OPTIMIZER_MOMENTS = 3 }; /* at most */
struct optimizer;
/* Checks the options: E_ARGUMENT names the field and the nearest known type. job's kernels are borrowed. */
sunup_status sunup__optimizer_create(sunup_context *ctx, const sunup_optimizer_options *o,
                                     const struct optimizer_job *job, struct optimizer **opt);
void sunup__optimizer_destroy(struct optimizer **opt);
/* Arrays that an optimizer keeps for its slices; checks the options likewise. */
sunup_status sunup__optimizer_arrays(sunup_context *ctx, const sunup_optimizer_options *o,
                                     int *arrays);
/* w -= ... in place, in the own slices; g and w are [n], and only own slices of them are touched. g holds
 * grad_scale^-1 times the gradient (the sum over shards with grad_scale = 1/shards). lr from the schedule. ranks NULL:
 * there is one. *norm: global 2-norm of the scaled gradient before clipping (always computed). A norm that is not
 * finite: E_NAN, names the first bad tensor, nothing is changed, on all ranks alike; nor is it where the first
 * combine returns an error, which is passed on. */
sunup_status sunup__optimizer_step(struct optimizer *opt, double lr, double grad_scale,
                                   const void *g, void *w, const struct optimizer_ranks *ranks,
                                   double *norm);
/* The gradient's squares of a piece that is in cache, on any thread, before the step that they belong to: what a step
 * would read again. The piece ends where slices may. seen: all own slices were, so the next step uses them. */
void sunup__optimizer_see(struct optimizer *opt, const void *g, struct slice piece);
void sunup__optimizer_seen(struct optimizer *opt);
/* What lr is multiplied by where it was chosen for lr_batch and a step has `batch` samples. */
double sunup__optimizer_lr_factor(const sunup_optimizer_options *o, double batch);
double
sunup__optimizer_lr(const struct optimizer *opt); /* the options' lr, or the type's default */
int64_t
sunup__optimizer_steps(const struct optimizer *opt); /* updates done: t of the corrections */
void sunup__optimizer_set_steps(struct optimizer *opt, int64_t t);
/* Moments for checkpoints: how many, their names, and memory: the own slices one behind the other. */
int sunup__optimizer_moments(const struct optimizer *opt);
const char *sunup__optimizer_moment_name(const struct optimizer *opt, int i);
const void *sunup__optimizer_moment(const struct optimizer *opt, int i);
/* Take the own slices out of a whole moment [n]. */
void sunup__optimizer_set_moment(struct optimizer *opt, int i, const void *whole);

struct schedule {
    sunup_schedule_options o;
    double milestones[32];
    double peak_lr; /* the optimizer's lr */
    /* plateau's memory; kept in checkpoints */
    double best, scale;
    int64_t bad;
};
/* total: updates of the whole run, used where total_steps is 0. */
sunup_status sunup__schedule_create(sunup_context *ctx, const sunup_schedule_options *o, double lr,
                                    double total, struct schedule *s);
double sunup__schedule_lr(const struct schedule *s,
                          int64_t step);                    /* lr of update number step (from 0) */
void sunup__schedule_feed(struct schedule *s, double loss); /* an evaluation's loss: plateau only */
/* Momentum that one_cycle prescribes is not cycled (PyTorch's cycle_momentum=False): documented deviation. */

#endif
