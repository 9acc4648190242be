/* schedule.c - the learning rate of every update, a pure function of the update's number (plateau: and of the losses
 * fed to it).
 *
 *   warm-up   the first `warmup_steps` updates go in a line from warmup_factor * lr to lr; in front of any type
 *   step, multistep   count updates from the start of the run
 *   cosine, polynomial, exponential, one_cycle   fill what warm-up leaves of total_steps, then stay at their end; all
 *             but the last one stay at lr first, for the part `flat` of that
 *   triangular, triangular2   up and down between min_lr and lr, from the end of warm-up on; the second halves the
 *             height after each cycle
 *   plateau   multiplies by `factor` when the evaluation loss has not improved for more than `patience` evaluations
 *
 * Source: torch.optim.lr_scheduler (LinearLR, StepLR, MultiStepLR, CosineAnnealingLR, PolynomialLR, ExponentialLR,
 * CyclicLR and OneCycleLR with cycle_momentum=False, ReduceLROnPlateau), in closed form.
 */
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "optim/optim.h"

enum { MILESTONES = sizeof((struct schedule *)0)->milestones / sizeof(double) };

static double constant_lr(const struct schedule *s, double t)
{
    (void)t;
    return s->peak_lr;
}

static double step_lr(const struct schedule *s, double t)
{
    return s->peak_lr * pow(s->o.gamma, floor(t / s->o.step_size));
}

static double multistep_lr(const struct schedule *s, double t)
{
    int passed = 0;
    for (int i = 0; i < s->o.n_milestones; i++) passed += s->milestones[i] <= t;
    return s->peak_lr * pow(s->o.gamma, passed);
}

/* The share of the way down behind update t: 0 while the rate is flat, 1 at the end of the run. */
static double progress(const struct schedule *s, double t)
{
    const double length = s->o.total_steps - s->o.warmup_steps;
    const double done = t - s->o.warmup_steps, flat = s->o.flat * length;
    if (done >= length) return 1;
    return done <= flat ? 0 : (done - flat) / (length - flat);
}

static double cosine_between(double from, double to, double share)
{
    return to + (from - to) * 0.5 * (1 + cos(3.14159265358979323846 * share));
}

static double cosine_lr(const struct schedule *s, double t)
{
    return cosine_between(s->peak_lr, s->o.min_lr, progress(s, t));
}

static double polynomial_lr(const struct schedule *s, double t)
{
    return s->o.min_lr + (s->peak_lr - s->o.min_lr) * pow(1 - progress(s, t), s->o.power);
}

static double exponential_lr(const struct schedule *s, double t)
{
    return s->peak_lr * pow(s->o.min_lr / s->peak_lr, progress(s, t));
}

/* x: cycles behind update t. */
static double triangle(const struct schedule *s, double x, double shrink)
{
    const double height = 1 - fabs(2 * (x - floor(x)) - 1);
    return s->o.min_lr + (s->peak_lr - s->o.min_lr) * height * pow(shrink, floor(x));
}

static double cycles(const struct schedule *s, double t)
{
    return (t - s->o.warmup_steps) / (2 * s->o.step_size_up);
}

static double triangular_lr(const struct schedule *s, double t)
{
    return triangle(s, cycles(s, t), 1);
}

static double triangular2_lr(const struct schedule *s, double t)
{
    return triangle(s, cycles(s, t), 0.5);
}

/* The first update runs at peak/div_factor, number pct_start*length - 1 at the peak, the last one at the end value. */
static double one_cycle_lr(const struct schedule *s, double t)
{
    const double length = s->o.total_steps - s->o.warmup_steps, last = length - 1;
    const double top = fmax(s->o.pct_start * length - 1, 0);
    const double done = fmin(t - s->o.warmup_steps, last);
    const double start = s->peak_lr / s->o.div_factor;
    if (done < top) return cosine_between(start, s->peak_lr, done / top);
    const double share = last > top ? (done - top) / (last - top) : 1;
    return cosine_between(s->peak_lr, start / s->o.final_div_factor, share);
}

static double plateau_lr(const struct schedule *s, double t)
{
    (void)t;
    return fmax(s->peak_lr * s->scale, fmin(s->o.min_lr, s->peak_lr));
}

static const struct {
    const char *name;
    double (*lr)(const struct schedule *s, double t);
    bool ends; /* needs the length of the run */
} types[] = {
    {"constant", constant_lr, false},    {"step", step_lr, false},
    {"multistep", multistep_lr, false},  {"cosine", cosine_lr, true},
    {"polynomial", polynomial_lr, true}, {"exponential", exponential_lr, true},
    {"one_cycle", one_cycle_lr, true},   {"triangular", triangular_lr, false},
    {"triangular2", triangular2_lr, false},
    {"plateau", plateau_lr, false},
};
enum { TYPES = sizeof types / sizeof types[0] };

/* Index of a known type; TYPES if it is none. */
static int type_of(const char *name)
{
    int i = 0;
    while (i < TYPES && !(name && strcmp(name, types[i].name) == 0)) i++;
    return i;
}

sunup_schedule_options sunup_schedule_defaults(void)
{
    return (sunup_schedule_options){
        .size = sizeof(sunup_schedule_options),
        .type = "constant",
        .gamma = 0.1,
        .step_size_up = 2000,
        .power = 1,
        .pct_start = 0.3,
        .div_factor = 25,
        .final_div_factor = 1e4,
        .factor = 0.1,
        .patience = 10,
        .threshold = 1e-4,
    };
}

static sunup_status unknown_type(sunup_context *ctx, const char *name)
{
    const char *names[TYPES];
    for (int i = 0; i < TYPES; i++) names[i] = types[i].name;
    char hint[HINT_TEXT] = "";
    if (name) sunup__hint(hint, name, TYPES, names);
    RAISE(ctx, E_ARGUMENT,
          "schedule.type is '%s'; known are constant step multistep cosine polynomial exponential "
          "one_cycle triangular triangular2 plateau%s",
          name ? name : "(null)", hint);
}

/* low <= value <= high, and so not NaN. */
static sunup_status check_range(sunup_context *ctx, const char *field, double value, double low,
                                double high)
{
    CHECK(value >= low && value <= high, ctx, E_ARGUMENT,
          "schedule.%s is %g, but must be at least %g and at most %g", field, value, low, high);
    return SUNUP_OK;
}

static sunup_status check_numbers(sunup_context *ctx, const sunup_schedule_options *o)
{
    const double most = 1e300, least = 1e-300;
    TRY(check_range(ctx, "warmup_steps", o->warmup_steps, 0, most));
    TRY(check_range(ctx, "warmup_factor", o->warmup_factor, 0, most));
    TRY(check_range(ctx, "total_steps", o->total_steps, 0, most));
    TRY(check_range(ctx, "gamma", o->gamma, 0, most));
    TRY(check_range(ctx, "min_lr", o->min_lr, 0, most));
    TRY(check_range(ctx, "power", o->power, 0, most));
    TRY(check_range(ctx, "flat", o->flat, 0, 1));
    TRY(check_range(ctx, "step_size_up", o->step_size_up, 1e-9, most));
    TRY(check_range(ctx, "pct_start", o->pct_start, 0, 1));
    TRY(check_range(ctx, "div_factor", o->div_factor, least, most));
    TRY(check_range(ctx, "final_div_factor", o->final_div_factor, least, most));
    TRY(check_range(ctx, "factor", o->factor, 0, 1));
    TRY(check_range(ctx, "patience", o->patience, 0, most));
    TRY(check_range(ctx, "threshold", o->threshold, 0, 1));
    return check_range(ctx, "n_milestones", o->n_milestones, 0, MILESTONES);
}

static sunup_status check_type(sunup_context *ctx, const struct schedule *s, int type)
{
    const sunup_schedule_options *o = &s->o;
    if (types[type].lr == step_lr) TRY(check_range(ctx, "step_size", o->step_size, 1e-9, 1e300));
    CHECK(types[type].lr != exponential_lr || (o->min_lr > 0 && s->peak_lr > 0), ctx, E_ARGUMENT,
          "schedule 'exponential' falls from lr to min_lr, which must be above 0, but they are %g "
          "and %g",
          s->peak_lr, o->min_lr);
    if (types[type].lr == multistep_lr) {
        CHECK(o->n_milestones > 0, ctx, E_ARGUMENT,
              "schedule.type is 'multistep', but schedule.milestones is empty");
        for (int i = 1; i < o->n_milestones; i++) {
            CHECK(s->milestones[i] >= s->milestones[i - 1], ctx, E_ARGUMENT,
                  "schedule.milestones must ascend, but %g follows %g", s->milestones[i],
                  s->milestones[i - 1]);
        }
    }
    CHECK(!types[type].ends || o->total_steps > o->warmup_steps, ctx, E_ARGUMENT,
          "schedule '%s' needs more updates than its warm-up: total_steps %g, warmup_steps %g",
          types[type].name, o->total_steps, o->warmup_steps);
    return SUNUP_OK;
}

sunup_status sunup__schedule_create(sunup_context *ctx, const sunup_schedule_options *o, double lr,
                                    double total, struct schedule *s)
{
    *s = (struct schedule){.o = o ? *o : sunup_schedule_defaults()};
    CHECK(s->o.size == sizeof s->o, ctx, E_ARGUMENT,
          "schedule options of %zu bytes, expected %zu; start from sunup_schedule_defaults()",
          s->o.size, sizeof s->o);
    const int type = type_of(s->o.type);
    if (type == TYPES) return unknown_type(ctx, s->o.type);
    TRY(check_numbers(ctx, &s->o));
    for (int i = 0; i < s->o.n_milestones; i++) s->milestones[i] = s->o.milestones[i];
    s->o.milestones = NULL;
    s->o.type = types[type].name;
    if (s->o.total_steps == 0) s->o.total_steps = total;
    s->peak_lr = lr;
    s->best = INFINITY;
    s->scale = 1;
    return check_type(ctx, s, type);
}

double sunup__schedule_lr(const struct schedule *s, int64_t step)
{
    const double t = (double)step, warmup = s->o.warmup_steps, factor = s->o.warmup_factor;
    double (*lr)(const struct schedule *, double) = types[type_of(s->o.type)].lr;
    if (t >= warmup) return lr(s, t);
    return lr(s, warmup) * (factor + (1 - factor) * t / warmup);
}

void sunup__schedule_feed(struct schedule *s, double loss)
{
    if (loss < s->best * (1 - s->o.threshold)) {
        s->best = loss;
        s->bad = 0;
    } else {
        s->bad++;
    }
    if ((double)s->bad <= s->o.patience) return;
    s->scale *= s->o.factor;
    s->bad = 0;
}
