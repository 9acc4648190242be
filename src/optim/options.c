/* options.c - an optimizer's options: defaults, PyTorch's numbers for each type, and what is refused.
 *
 * Owes: resolved options that the other files may trust. Every refusal names the option, its value and its range.
 * Source: the constructors of torch.optim; lars from You, Gitman, Ginsburg, "Large batch training of convolutional
 * networks" (2017); lamb from You et al., "Large batch optimization for deep learning" (ICLR 2020); ranger is radam
 * with lookahead (rectified.c).
 */
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "optim/optimizer.h"

static const struct {
    const char *name;
    double lr, eps, weight_decay;
} types[] = {
    [OPT_SGD] = {"sgd", 1e-3, 1e-8, 0},          [OPT_ADAM] = {"adam", 1e-3, 1e-8, 0},
    [OPT_ADAMW] = {"adamw", 1e-3, 1e-8, 1e-2},   [OPT_ADAMAX] = {"adamax", 2e-3, 1e-8, 0},
    [OPT_ADAGRAD] = {"adagrad", 1e-2, 1e-10, 0}, [OPT_RMSPROP] = {"rmsprop", 1e-2, 1e-8, 0},
    [OPT_RADAM] = {"radam", 1e-3, 1e-8, 0},      [OPT_RANGER] = {"ranger", 1e-3, 1e-8, 0},
    [OPT_LARS] = {"lars", 0.1, 1e-8, 0},         [OPT_LAMB] = {"lamb", 1e-3, 1e-6, 0},
};
enum { TYPES = sizeof types / sizeof types[0] };

sunup_optimizer_options sunup_optimizer_defaults(void)
{
    return (sunup_optimizer_options){
        .size = sizeof(sunup_optimizer_options),
        .type = "sgd",
        .lr_scaling = "linear",
        .betas = {0.9, 0.999},
        .alpha = 0.99,
        .weight_decay = -1,
        .trust = 1e-3,
    };
}

static sunup_status find_type(sunup_context *ctx, const char *name, enum optimizer_type *type)
{
    const char *names[TYPES];
    for (int i = 0; i < TYPES; i++) {
        names[i] = types[i].name;
        if (name && strcmp(name, names[i]) == 0) {
            *type = (enum optimizer_type)i;
            return SUNUP_OK;
        }
    }
    char hint[HINT_TEXT] = "";
    if (name) sunup__hint(hint, name, TYPES, names);
    RAISE(ctx, E_ARGUMENT,
          "optimizer.type is '%s'; known are sgd adam adamw adamax adagrad rmsprop radam ranger lars "
          "lamb%s",
          name ? name : "(null)", hint);
}

/* low <= value < high, and so not NaN. */
static sunup_status check_range(sunup_context *ctx, const char *field, double value, double low,
                                double high)
{
    CHECK(value >= low && value < high, ctx, E_ARGUMENT,
          "optimizer.%s is %g, but must be at least %g and below %g", field, value, low, high);
    return SUNUP_OK;
}

static sunup_status check_numbers(sunup_context *ctx, const sunup_optimizer_options *o)
{
    TRY(check_range(ctx, "lr", o->lr, 0, INFINITY));
    TRY(check_range(ctx, "lr_batch", o->lr_batch, 0, INFINITY));
    TRY(check_range(ctx, "momentum", o->momentum, 0, INFINITY));
    TRY(check_range(ctx, "dampening", o->dampening, -INFINITY, INFINITY));
    TRY(check_range(ctx, "betas[0]", o->betas[0], 0, 1));
    TRY(check_range(ctx, "betas[1]", o->betas[1], 0, 1));
    TRY(check_range(ctx, "alpha", o->alpha, 0, INFINITY));
    TRY(check_range(ctx, "eps", o->eps, 0, INFINITY));
    TRY(check_range(ctx, "weight_decay", o->weight_decay, 0, INFINITY));
    TRY(check_range(ctx, "trust", o->trust, 0, INFINITY));
    TRY(check_range(ctx, "clip_value", o->clip_value, 0, INFINITY));
    return check_range(ctx, "clip_norm", o->clip_norm, 0, INFINITY);
}

static sunup_status check_combinations(sunup_context *ctx, const sunup_optimizer_options *o,
                                       enum optimizer_type type)
{
    CHECK(!o->nesterov || (o->momentum > 0 && o->dampening == 0), ctx, E_ARGUMENT,
          "optimizer.nesterov needs momentum > 0 and dampening 0, but they are %g and %g",
          o->momentum, o->dampening);
    CHECK(type != OPT_LARS || o->clip_value == 0, ctx, E_ARGUMENT,
          "optimizer.clip_value (%g) does not go with lars, which sets each tensor's step by its "
          "norm; use clip_norm",
          o->clip_value);
    return SUNUP_OK;
}

static sunup_status check_scaling(sunup_context *ctx, sunup_optimizer_options *o)
{
    static const char *const rules[] = {"linear", "sqrt"};
    char hint[HINT_TEXT];
    if (o->lr_scaling == NULL) o->lr_scaling = rules[0];
    CHECK(strcmp(o->lr_scaling, rules[0]) == 0 || strcmp(o->lr_scaling, rules[1]) == 0, ctx,
          E_ARGUMENT, "there is no optimizer.lr_scaling '%s'%s; known are linear, sqrt",
          o->lr_scaling, sunup__hint(hint, o->lr_scaling, 2, rules));
    return SUNUP_OK;
}

double sunup__optimizer_lr_factor(const sunup_optimizer_options *o, double batch)
{
    if (o->lr_batch == 0) return 1;
    return strcmp(o->lr_scaling, "sqrt") == 0 ? sqrt(batch / o->lr_batch) : batch / o->lr_batch;
}

sunup_status sunup__optimizer_resolve(sunup_context *ctx, sunup_optimizer_options *o,
                                      enum optimizer_type *type)
{
    CHECK(o->size == sizeof *o, ctx, E_ARGUMENT,
          "optimizer options of %zu bytes, expected %zu; start from sunup_optimizer_defaults()",
          o->size, sizeof *o);
    TRY(find_type(ctx, o->type, type));
    o->type = types[*type].name;
    if (o->lr == 0) o->lr = types[*type].lr;
    if (o->eps == 0) o->eps = types[*type].eps;
    if (o->weight_decay == -1) o->weight_decay = types[*type].weight_decay;
    TRY(check_scaling(ctx, o));
    TRY(check_numbers(ctx, o));
    return check_combinations(ctx, o, *type);
}
