/* optimizer.c - one update of flat arrays: norm, clipping, then the type's leaf over fixed chunks.
 *
 * Owes: the step and the memory of the moments. Leaves: formulas to the update leaves, radam's to rectified.c, who owns
 * which chunk to chunks.c, norms to norms.c, tensor-wise rates to layerwise.c, the options' meaning to options.c.
 * Invariant: a step allocates nothing, and its bits depend on options, segments, g, w and moments only, not on slices.
 * If the gradient's norm is not finite, nothing has been written.
 * Source: torch.optim, torch.nn.utils.clip_grad_norm_ (max / (norm + 1e-6), never above 1).
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "optim/optimizer.h"

#define REAL    float
#define NAME(x) x##_f32
#define LEAVES  f32
#include "optim/leaves.h"
#undef REAL
#undef NAME
#undef LEAVES
#define REAL    double
#define NAME(x) x##_f64
#define LEAVES  f64
#include "optim/leaves.h"
#undef REAL
#undef NAME
#undef LEAVES

/* --------------------------------------------------------------------------- making --- */

/* What steps write beside weights and moments. */
static bool make_room(struct optimizer *opt)
{
    const size_t n = (size_t)opt->n_segments;
    opt->partial = sunup__alloc((size_t)opt->n_chunks * sizeof *opt->partial);
    opt->sums = sunup__alloc((sunup__layerwise(opt) ? 2 * n : 1) * sizeof *opt->sums);
    opt->bad = sunup__alloc(n * sizeof *opt->bad);
    opt->square = sunup__alloc(3 * n * sizeof *opt->square);
    opt->rate = opt->square ? opt->square + 2 * n : NULL;
    return opt->partial && opt->sums && opt->bad && opt->square;
}

static bool add_array(const struct optimizer *opt, void **data)
{
    const size_t bytes = (size_t)opt->n_own * (opt->f64 ? sizeof(double) : sizeof(float));
    *data = sunup__alloc_aligned(bytes);
    if (*data) memset(*data, 0, bytes);
    return *data != NULL;
}

/* Which moments the type keeps, at the place where its leaf takes them; a leaf's unused place stays NULL. */
static void name_moments(struct optimizer *opt)
{
    struct moment *m = opt->moments;
    switch (opt->type) {
    case OPT_SGD:
    case OPT_LARS:
        m[0].name = opt->o.momentum > 0 ? "momentum_buffer" : NULL;
        break;
    case OPT_ADAM:
    case OPT_ADAMW:
    case OPT_RADAM:
    case OPT_RANGER:
    case OPT_LAMB:
        m[0].name = "exp_avg";
        m[1].name = "exp_avg_sq";
        m[2].name = opt->type == OPT_RANGER ? "slow" : NULL;
        break;
    case OPT_ADAGRAD:
        m[0].name = "sum";
        break;
    case OPT_ADAMAX:
        m[0].name = "exp_avg";
        m[1].name = "exp_inf";
        break;
    case OPT_RMSPROP:
        m[0].name = opt->o.momentum > 0 ? "momentum_buffer" : NULL;
        m[1].name = "square_avg";
        m[2].name = opt->o.centered ? "grad_avg" : NULL;
        break;
    }
}

static bool make_moments(struct optimizer *opt)
{
    name_moments(opt);
    for (int i = 0; i < OPTIMIZER_MOMENTS; i++) {
        if (!opt->moments[i].name) continue;
        if (!add_array(opt, &opt->moments[i].data)) return false;
        opt->n_moments++;
    }
    return opt->type != OPT_LAMB || add_array(opt, &opt->direction);
}

sunup_status sunup__optimizer_arrays(sunup_context *ctx, const sunup_optimizer_options *o,
                                     int *arrays)
{
    struct optimizer opt = {.o = o ? *o : sunup_optimizer_defaults()};
    TRY(sunup__optimizer_resolve(ctx, &opt.o, &opt.type));
    name_moments(&opt);
    *arrays = opt.type == OPT_LAMB;
    for (int i = 0; i < OPTIMIZER_MOMENTS; i++) *arrays += opt.moments[i].name != NULL;
    return SUNUP_OK;
}

static sunup_status fill(struct optimizer *opt, const struct optimizer_job *job)
{
    const sunup_status status = sunup__optimizer_chunks(opt, job);
    if (status == SUNUP_OK && make_room(opt) && make_moments(opt)) return SUNUP_OK;
    CHECK(status != SUNUP_OK && status != SUNUP_E_MEMORY, opt->ctx, E_MEMORY,
          "no memory for the %s optimizer's moments of %lld weights", opt->o.type,
          (long long)opt->n_own);
    return status;
}

sunup_status sunup__optimizer_create(sunup_context *ctx, const sunup_optimizer_options *o,
                                     const struct optimizer_job *job, struct optimizer **opt)
{
    *opt = NULL;
    sunup_optimizer_options options = o ? *o : sunup_optimizer_defaults();
    enum optimizer_type type;
    TRY(sunup__optimizer_resolve(ctx, &options, &type));
    struct optimizer *made = sunup__alloc(sizeof *made);
    CHECK(made, ctx, E_MEMORY, "no memory for the %s optimizer", options.type);
    *made = (struct optimizer){.ctx = ctx,
                               .kernels = job->k,
                               .threads = job->threads,
                               .type = type,
                               .o = options,
                               .f64 = job->f64,
                               .n = job->n};
    const sunup_status status = fill(made, job);
    if (status == SUNUP_OK)
        *opt = made;
    else
        sunup__optimizer_destroy(&made);
    return status;
}

void sunup__optimizer_destroy(struct optimizer **opt)
{
    struct optimizer *o = *opt;
    *opt = NULL;
    if (!o) return;
    for (int s = 0; o->segments && s < o->n_segments; s++) sunup__free((void *)o->segments[s].name);
    for (int i = 0; i < OPTIMIZER_MOMENTS; i++) sunup__free(o->moments[i].data);
    sunup__free(o->segments);
    sunup__free(o->slices);
    sunup__free(o->chunks);
    sunup__free(o->partial);
    sunup__free(o->sums);
    sunup__free(o->bad);
    sunup__free(o->square);
    sunup__free(o->direction);
    sunup__free(o);
}

/* --------------------------------------------------------------------------- a step --- */

/* lars puts the tensor's rate where v = momentum v + rate (g + decay w) has it, and steps by v itself. */
static struct update lars_constants(const struct step_job *job, int segment)
{
    const struct optimizer *opt = job->opt;
    struct update u = job->u;
    u.lr = 1;
    u.grad_scale *= opt->rate[segment];
    u.weight_decay *= opt->segments[segment].vector ? 0 : opt->rate[segment];
    return u;
}

static void update_task(void *arg, int64_t i)
{
    const struct step_job *job = arg;
    const struct optimizer *opt = job->opt;
    const struct chunk *c = &opt->chunks[i];
    const struct update u = opt->type == OPT_LARS ? lars_constants(job, c->segment) : job->u;
    if (opt->f64)
        update_f64(job, &u, c);
    else
        update_f32(job, &u, c);
    if (opt->type != OPT_LAMB) sunup__give(job, c);
}

static struct update constants(const struct optimizer *opt, double lr, double grad_scale)
{
    const sunup_optimizer_options *o = &opt->o;
    const double t = (double)(opt->t + 1);
    return (struct update){
        .lr = lr,
        .weight_decay = o->weight_decay,
        .momentum = o->momentum,
        .dampening = o->dampening,
        .beta1 = o->betas[0],
        .beta2 = o->betas[1],
        .alpha = o->alpha,
        .eps = o->eps,
        .grad_scale = grad_scale,
        .clip_value = o->clip_value,
        .correction1 = 1 - pow(o->betas[0], t),
        .correction2 = 1 - pow(o->betas[1], t),
        .nesterov = o->nesterov,
        .decoupled = opt->type == OPT_ADAMW,
        .first = opt->t == 0,
        .centered = o->centered,
    };
}

sunup_status sunup__optimizer_step(struct optimizer *opt, double lr, double grad_scale,
                                   const void *g, void *w, const struct optimizer_ranks *ranks,
                                   double *norm)
{
    struct step_job job = {.opt = opt, .g = g, .w = w, .ranks = ranks};
    double squares;
    TRY(sunup__gradient_squares(&job, &squares));
    *norm = fabs(grad_scale) * sqrt(squares);
    if (!isfinite(*norm)) return sunup__gradient_not_finite(&job);
    const double limit = opt->o.clip_norm / (*norm + 1e-6);
    const double clip = opt->o.clip_norm > 0 && limit < 1 ? limit : 1;
    job.u = constants(opt, lr, grad_scale * clip);
    if (opt->type == OPT_LARS) sunup__lars_rates(&job);
    if (opt->type == OPT_RADAM || opt->type == OPT_RANGER) sunup__rectify(&job.u, opt->t + 1);
    sunup__parallel(opt->threads, opt->n_chunks, update_task, &job);
    if (opt->type == OPT_LAMB) TRY(sunup__lamb_update(&job));
    opt->t++;
    return SUNUP_OK;
}

/* -------------------------------------------------------------------- for checkpoints --- */

int64_t sunup__optimizer_steps(const struct optimizer *opt)
{
    return opt->t;
}

void sunup__optimizer_set_steps(struct optimizer *opt, int64_t t)
{
    opt->t = t;
}

double sunup__optimizer_lr(const struct optimizer *opt)
{
    return opt->o.lr;
}

int sunup__optimizer_moments(const struct optimizer *opt)
{
    return opt->n_moments;
}

/* The i-th moment that is kept. */
static const struct moment *moment_at(const struct optimizer *opt, int i)
{
    const struct moment *m = opt->moments;
    while (!m->name || i-- > 0) m++;
    return m;
}

const char *sunup__optimizer_moment_name(const struct optimizer *opt, int i)
{
    return moment_at(opt, i)->name;
}

const void *sunup__optimizer_moment(const struct optimizer *opt, int i)
{
    return moment_at(opt, i)->data;
}

void sunup__optimizer_set_moment(struct optimizer *opt, int i, const void *whole)
{
    const int64_t width = opt->f64 ? sizeof(double) : sizeof(float);
    char *to = moment_at(opt, i)->data;
    for (int s = 0; s < opt->n_slices; s++) {
        const struct slice *slice = &opt->slices[s];
        memcpy(to, (const char *)whole + slice->at * width, (size_t)(slice->n * width));
        to += slice->n * width;
    }
}
