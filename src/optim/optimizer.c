/* optimizer.c - one update of flat arrays: norm, clipping, then the type's leaf over fixed chunks.
 *
 * Owes: the step and the memory of the moments. Leaves: formulas to the update leaves, tensor-wise rates to
 * layerwise.c, the options' meaning to options.c.
 * Invariant: a step allocates nothing, and its bits depend on options, segments, g, w and moments only. If the
 * gradient's norm is not finite, nothing has been written.
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

static int64_t chunks_of(int64_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

static sunup_status check_segments(sunup_context *ctx, int64_t n, int n_segments,
                                   const struct segment *s)
{
    for (int i = 0; i < n_segments; i++) {
        CHECK(s[i].at >= 0 && s[i].n >= 0 && s[i].n <= n - s[i].at, ctx, E_ARGUMENT,
              "optimizer: tensor '%s' takes [%lld, +%lld) of %lld elements", s[i].name,
              (long long)s[i].at, (long long)s[i].n, (long long)n);
    }
    return SUNUP_OK;
}

static void cut_chunks(struct optimizer *opt)
{
    int64_t c = 0;
    for (int s = 0; s < opt->n_segments; s++) {
        const struct segment *segment = &opt->segments[s];
        for (int64_t i = 0; i < segment->n; i += CHUNK) {
            const int64_t left = segment->n - i;
            opt->chunks[c++] = (struct chunk){s, segment->at + i, left < CHUNK ? left : CHUNK};
        }
    }
}

/* The segments given, or one that spans everything. */
static bool copy_segments(struct optimizer *opt, int n_segments, const struct segment *segments)
{
    const struct segment whole = {"all weights", 0, opt->n, false};
    const struct segment *from = n_segments > 0 ? segments : &whole;
    opt->n_segments = n_segments > 0 ? n_segments : 1;
    const size_t count = (size_t)opt->n_segments;
    opt->segments = sunup__alloc(count * sizeof *opt->segments);
    if (!opt->segments) return false;
    for (int s = 0; s < opt->n_segments; s++) {
        char *name = sunup__strdup(from[s].name);
        if (!name) return false;
        opt->segments[s] = (struct segment){name, from[s].at, from[s].n, from[s].vector};
        opt->n_chunks += chunks_of(from[s].n);
    }
    opt->chunks = sunup__alloc((size_t)opt->n_chunks * sizeof *opt->chunks);
    opt->partial = sunup__alloc((size_t)opt->n_chunks * sizeof *opt->partial);
    opt->square_g = sunup__alloc(4 * count * sizeof(double));
    if (!opt->chunks || !opt->partial || !opt->square_g) return false;
    opt->square_w = opt->square_g + count;
    opt->square_r = opt->square_w + count;
    opt->rate = opt->square_r + count;
    cut_chunks(opt);
    return true;
}

static bool add_flat(const struct optimizer *opt, void **data)
{
    const size_t bytes = (size_t)opt->n * (opt->f64 ? sizeof(double) : sizeof(float));
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
    case OPT_LAMB:
        m[0].name = "exp_avg";
        m[1].name = "exp_avg_sq";
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
    for (int i = 0; i < MAX_MOMENTS; i++) {
        if (!opt->moments[i].name) continue;
        if (!add_flat(opt, &opt->moments[i].data)) return false;
        opt->n_moments++;
    }
    return opt->type != OPT_LAMB || add_flat(opt, &opt->direction);
}

sunup_status sunup__optimizer_create(sunup_context *ctx, const struct kernels *k, int threads,
                                     const sunup_optimizer_options *o, bool f64, int64_t n,
                                     int n_segments, const struct segment *segments,
                                     struct optimizer **opt)
{
    *opt = NULL;
    sunup_optimizer_options options = o ? *o : sunup_optimizer_defaults();
    enum optimizer_type type;
    TRY(sunup__optimizer_resolve(ctx, &options, &type));
    TRY(check_segments(ctx, n, n_segments, segments));
    struct optimizer *made = sunup__alloc(sizeof *made);
    if (made) {
        *made = (struct optimizer){.ctx = ctx,
                                   .kernels = k,
                                   .threads = threads,
                                   .type = type,
                                   .o = options,
                                   .f64 = f64,
                                   .n = n};
    }
    if (!made || !copy_segments(made, n_segments, segments) || !make_moments(made)) {
        sunup__optimizer_destroy(&made);
        RAISE(ctx, E_MEMORY, "no memory for the %s optimizer's moments of %lld weights",
              options.type, (long long)n);
    }
    *opt = made;
    return SUNUP_OK;
}

void sunup__optimizer_destroy(struct optimizer **opt)
{
    struct optimizer *o = *opt;
    *opt = NULL;
    if (!o) return;
    for (int s = 0; o->segments && s < o->n_segments; s++) sunup__free((void *)o->segments[s].name);
    for (int i = 0; i < MAX_MOMENTS; i++) sunup__free(o->moments[i].data);
    sunup__free(o->segments);
    sunup__free(o->chunks);
    sunup__free(o->partial);
    sunup__free(o->square_g);
    sunup__free(o->direction);
    sunup__free(o);
}

/* --------------------------------------------------------------------------- a step --- */

static void square_task(void *arg, int64_t i)
{
    const struct step_job *job = arg;
    struct optimizer *opt = job->opt;
    if (opt->f64)
        squares_f64(job, opt->chunks[i], &opt->partial[i]);
    else
        squares_f32(job, opt->chunks[i], &opt->partial[i]);
}

double sunup__optimizer_squares(struct step_job *job, const void *x, double *squares)
{
    struct optimizer *opt = job->opt;
    job->x = x;
    sunup__parallel(opt->threads, opt->n_chunks, square_task, job);
    double total = 0;
    for (int s = 0; s < opt->n_segments; s++) squares[s] = 0;
    for (int64_t i = 0; i < opt->n_chunks; i++) squares[opt->chunks[i].segment] += opt->partial[i];
    for (int s = 0; s < opt->n_segments; s++) total += squares[s];
    return total;
}

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
    const struct chunk c = opt->chunks[i];
    const struct update u = opt->type == OPT_LARS ? lars_constants(job, c.segment) : job->u;
    if (opt->f64)
        update_f64(job, &u, c);
    else
        update_f32(job, &u, c);
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

static sunup_status not_finite(const struct optimizer *opt)
{
    int s = 0;
    while (s < opt->n_segments - 1 && isfinite(opt->square_g[s])) s++;
    RAISE(opt->ctx, E_NAN,
          "the gradient of '%s' is not finite at update %lld; no weight was changed. Try a lower "
          "lr, a longer warm-up or clip_norm, and look for log(0) or a division by 0",
          opt->segments[s].name, (long long)opt->t);
}

sunup_status sunup__optimizer_step(struct optimizer *opt, double lr, double grad_scale,
                                   const void *g, void *w, double *norm)
{
    struct step_job job = {.opt = opt, .g = g, .w = w};
    *norm = fabs(grad_scale) * sqrt(sunup__optimizer_squares(&job, g, opt->square_g));
    if (!isfinite(*norm)) return not_finite(opt);
    const double limit = opt->o.clip_norm / (*norm + 1e-6);
    const double clip = opt->o.clip_norm > 0 && limit < 1 ? limit : 1;
    job.u = constants(opt, lr, grad_scale * clip);
    if (opt->type == OPT_LARS) sunup__lars_rates(&job);
    sunup__parallel(opt->threads, opt->n_chunks, update_task, &job);
    if (opt->type == OPT_LAMB) sunup__lamb_update(&job);
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

void *sunup__optimizer_moment(struct optimizer *opt, int i)
{
    return moment_at(opt, i)->data;
}
