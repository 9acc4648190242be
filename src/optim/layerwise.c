/* layerwise.c - optimizers that measure each tensor: lars and lamb.
 *
 *   lars   rate = lr trust |w| / (|g| + decay |w| + eps);   v = momentum v + rate (g + decay w);   w -= v
 *          vectors (bias, norm) have rate = lr and no decay, as the paper's experiments do
 *   lamb   r = m^ / (sqrt(v^) + eps) + decay w;             w -= lr |w| / |r| r
 *
 * Where a norm is 0 the ratio is 1. Norms are of the gradient after scaling and clipping by norm.
 * Source: You, Gitman, Ginsburg (2017), equation 6 and algorithm 1; You et al. (ICLR 2020), algorithm 2, with phi the
 * identity.
 */
#include <math.h>

#include "base/system.h"
#include "optim/optimizer.h"

/* square: of each tensor's gradient, then of its weights. */
static double lars_ratio(const struct step_job *job, int s)
{
    const struct optimizer *opt = job->opt;
    const double w = sqrt(opt->square[opt->n_segments + s]);
    const double g = fabs(job->u.grad_scale) * sqrt(opt->square[s]);
    if (opt->segments[s].vector || w == 0 || g == 0) return 1;
    return opt->o.trust * w / (g + opt->o.weight_decay * w + opt->o.eps);
}

void sunup__lars_rates(struct step_job *job)
{
    struct optimizer *opt = job->opt;
    for (int s = 0; s < opt->n_segments; s++) opt->rate[s] = job->u.lr * lars_ratio(job, s);
}

/* w -= rate r; r is scratch. */
static void descend_task(void *arg, int64_t i)
{
    const struct step_job *job = arg;
    const struct optimizer *opt = job->opt;
    const struct chunk c = opt->chunks[i];
    const double imm[2] = {opt->rate[c.segment], 0};
    if (opt->f64) {
        double *w = (double *)job->w + c.at, *r = (double *)opt->direction + c.own;
        opt->kernels->f64.pointwise(PW_affine, c.n, r, r, NULL, NULL, imm);
        opt->kernels->f64.pointwise(PW_sub, c.n, w, w, r, NULL, imm);
    } else {
        float *w = (float *)job->w + c.at, *r = (float *)opt->direction + c.own;
        opt->kernels->f32.pointwise(PW_affine, c.n, r, r, NULL, NULL, imm);
        opt->kernels->f32.pointwise(PW_sub, c.n, w, w, r, NULL, imm);
    }
    sunup__give(job, &c);
}

sunup_status sunup__lamb_update(struct step_job *job)
{
    struct optimizer *opt = job->opt;
    const int n = opt->n_segments;
    sunup__squares_by_tensor(job, job->w, false, opt->sums);
    sunup__squares_by_tensor(job, opt->direction, true, opt->sums + n);
    TRY(sunup__combine_squares(job, 2 * n));
    for (int s = 0; s < n; s++) {
        const double w = sqrt(opt->square[s]), r = sqrt(opt->square[n + s]);
        opt->rate[s] = job->u.lr * (w > 0 && r > 0 ? w / r : 1);
    }
    sunup__parallel(opt->threads, opt->n_chunks, descend_task, job);
    return SUNUP_OK;
}
