/* optim.h - optimizers and schedules: from summed gradients to new weights, one pass over a flat slice.
 *
 * Weights, gradients and moments are flat arrays in the same order. Types that need norms of whole tensors (lars,
 * lamb) and clipping by norm read the segments. Every sum of squares is taken in fixed chunks, so no result depends
 * on threads or ranks. Numbers agree with PyTorch's torch.optim (lars: with the paper's formula, documented).
 */
#ifndef SUNUP_OPTIM_H
#define SUNUP_OPTIM_H

#include "base/context.h"
#include "kernels/kernels.h"

struct segment {        /* one parameter tensor in the flat arrays */
    const char *name;
    int64_t at, n;
    bool vector;        /* one dimension (bias, norm): lars leaves these without trust and decay */
};

struct optimizer;
/* f64: element type of all arrays. Checks the options: E_ARGUMENT names the field and the nearest known type. */
sunup_status sunup__optimizer_create(sunup_context *ctx, const struct kernels *k, int threads,
                                     const sunup_optimizer_options *o, bool f64, int64_t n, int n_segments,
                                     const struct segment *segments, struct optimizer **opt);
void sunup__optimizer_destroy(struct optimizer **opt);
/* w -= ... in place. g [n] holds grad_scale^-1 times the gradient (the sum over shards with grad_scale = 1/shards).
 * lr from the schedule. *norm: global 2-norm of the scaled gradient before clipping (always computed). A norm that
 * is not finite: E_NAN, names the first bad tensor, nothing is changed. */
sunup_status sunup__optimizer_step(struct optimizer *opt, double lr, double grad_scale, const void *g, void *w,
                                   double *norm);
double sunup__optimizer_lr(const struct optimizer *opt);           /* the options' lr, or the type's default */
int64_t sunup__optimizer_steps(const struct optimizer *opt);      /* updates done: t of the corrections */
void sunup__optimizer_set_steps(struct optimizer *opt, int64_t t);
/* Moments for checkpoints: how many flat arrays [n] of the element type, their names and memory. */
int sunup__optimizer_moments(const struct optimizer *opt);
const char *sunup__optimizer_moment_name(const struct optimizer *opt, int i);
void *sunup__optimizer_moment(struct optimizer *opt, int i);

struct schedule {
    sunup_schedule_options o;
    double milestones[32];
    double peak_lr;         /* the optimizer's lr */
    /* plateau's memory; kept in checkpoints */
    double best, scale;
    int64_t bad;
};
/* total: updates of the whole run, used where total_steps is 0. */
sunup_status sunup__schedule_create(sunup_context *ctx, const sunup_schedule_options *o, double lr, double total,
                                    struct schedule *s);
double sunup__schedule_lr(const struct schedule *s, int64_t step); /* lr of update number step (from 0) */
void sunup__schedule_feed(struct schedule *s, double loss);        /* an evaluation's loss: plateau only */
/* Momentum that one_cycle prescribes is not cycled (PyTorch's cycle_momentum=False): documented deviation. */

#endif
