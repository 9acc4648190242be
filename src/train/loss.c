/* loss.c - the loss that a run file names, on top of a network's output.
 *
 * Owes: `loss` and its options (label_smoothing, class_weights, pos_weight, focal, delta, weight) as a graph of ops,
 * and every mismatch between them, the output and the data, with a sentence. A network that marks a "loss", or the
 * output that `loss` names, has its own.
 *
 * A weighted mean is sum(w l) / sum(w) over the whole batch, not over a shard: a pass gives the means of w l and of w
 * (pass.loss, pass.weight) over its shard, both are summed over the shards, and the trainer divides the sums, also of
 * the gradients. So it is PyTorch's weighted mean of one process, whatever the shards.
 *
 * Source: torch.nn.functional (cross_entropy, binary_cross_entropy_with_logits, smooth_l1_loss, huber_loss); focal:
 * Lin et al., "Focal loss for dense object detection" (ICCV 2017), equation 4.
 */
#include <math.h>
#include <string.h>

#include "base/words.h"
#include "train/trainer.h"

static const char *const losses[] = {"cross_entropy", "mse", "l1", "bce_with_logits", "smooth_l1",
                                     "huber"};
enum { LOSSES = sizeof losses / sizeof losses[0] };

static bool is_loss(const sunup_trainer *t, const char *name)
{
    return strcmp(t->o.loss, name) == 0;
}

static sunup_value *mean(sunup_value *x)
{
    return sunup_mean(x, 0, NULL, false);
}

static sunup_value *last_sum(sunup_value *x)
{
    return sunup_sum(x, 1, (const int[]){-1}, false);
}

/* A few numbers of the options in the type of `like`. */
static sunup_value *numbers(sunup_value *like, const double *x, int n)
{
    sunup_graph *g = sunup_value_graph(like);
    return sunup_cast(sunup_constant(g, SUNUP_F64, SUNUP_SHAPE(n), x), sunup_value_dtype(like));
}

/* ---------------------------------------------------------------------------- options --- */

static sunup_status check_belongs(const sunup_trainer *t, bool given, const char *key,
                                  const char *one, const char *other)
{
    CHECK(!given || is_loss(t, one) || is_loss(t, other), t->ctx, E_ARGUMENT,
          "%s belongs to loss %s%s%s, but the loss is %s", key, one, one != other ? " or " : "",
          one != other ? other : "", t->o.loss);
    return SUNUP_OK;
}

static sunup_status check_numbers(const sunup_trainer *t, const char *key, const double *x, int n)
{
    for (int i = 0; i < n; i++)
        CHECK(isfinite(x[i]) && x[i] >= 0, t->ctx, E_ARGUMENT,
              "%s holds %g at place %d; it must be finite and at least 0", key, x[i], i);
    return SUNUP_OK;
}

sunup_status sunup__train_check_loss(const sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    static const char ce[] = "cross_entropy", bce[] = "bce_with_logits";
    CHECK(o->label_smoothing >= 0 && o->label_smoothing < 1, t->ctx, E_ARGUMENT,
          "label_smoothing is %g; it must be in [0, 1)", o->label_smoothing);
    CHECK(o->focal >= 0 && isfinite(o->focal), t->ctx, E_ARGUMENT,
          "focal is %g; gamma must be finite and at least 0", o->focal);
    CHECK(o->delta > 0 && isfinite(o->delta), t->ctx, E_ARGUMENT,
          "delta is %g; it must be finite and above 0", o->delta);
    TRY(check_numbers(t, "class_weights", o->class_weights, o->n_class_weights));
    TRY(check_numbers(t, "pos_weight", o->pos_weight, o->n_pos_weight));
    TRY(check_belongs(t, o->n_class_weights > 0, "class_weights", ce, ce));
    TRY(check_belongs(t, o->n_pos_weight > 0, "pos_weight", bce, bce));
    return check_belongs(t, o->focal > 0, "focal", ce, bce);
}

/* ----------------------------------------------------------------------------- fields --- */

/* The data field that is neither an input of the network nor the weight, unless the options name it. */
static sunup_status find_target(const sunup_trainer *t, const sunup_data *data, sunup_graph *g,
                                int *field)
{
    *field = -1;
    if (t->o.target != NULL) {
        *field = sunup__data_field(data, t->o.target);
        CHECK(*field >= 0, t->ctx, E_ARGUMENT, "the data have no field '%s' for the target",
              t->o.target);
        return SUNUP_OK;
    }
    for (int i = 0; i < data->n_fields; i++) {
        const char *name = data->fields[i].name;
        const bool weight = t->o.weight != NULL && strcmp(name, t->o.weight) == 0;
        if (weight || sunup_graph_find(g, name) != NULL) continue;
        CHECK(*field < 0, t->ctx, E_ARGUMENT,
              "fields '%s' and '%s' of the data are both no input of the network; say which is the "
              "target",
              data->fields[*field].name, name);
        *field = i;
    }
    CHECK(*field >= 0, t->ctx, E_ARGUMENT,
          "all %d fields of the data are inputs of the network; there is no target for loss '%s'",
          data->n_fields, t->o.loss);
    return SUNUP_OK;
}

/* The input of the graph that takes a field: one of the network's, or a new one. */
static sunup_value *input_of(sunup_graph *g, const struct field *f, int64_t count)
{
    sunup_value *v = sunup_graph_find(g, f->name);
    sunup_shape s = {.n = f->shape.n + 1, .d = {count}};
    for (int i = 0; i < f->shape.n; i++) s.d[i + 1] = f->shape.d[i];
    return v != NULL ? v : sunup_input(g, f->name, f->dtype, s);
}

/* Floats of the data are f32; a network of f64 converts at its border. */
static sunup_value *as_dtype(sunup_value *v, sunup_dtype dtype)
{
    const sunup_dtype has = sunup_value_dtype(v);
    return has == dtype || has == SUNUP_I32 ? v : sunup_cast(v, dtype);
}

/* A target that has one axis less than the output of width 1 ([N] and [N, 1]) means the same. */
static sunup_value *like_output(sunup_value *target, sunup_value *output)
{
    const sunup_shape a = sunup_value_shape(target), b = sunup_value_shape(output);
    return sunup__elements(&a) == sunup__elements(&b) ? sunup_reshape(target, b) : target;
}

/* A weight for each element, for each row of the last axis, or for each sample, so that it broadcasts to x. */
static sunup_value *weight_of(sunup_value *weight, sunup_value *x)
{
    const sunup_shape x_shape = sunup_value_shape(x), has = sunup_value_shape(weight);
    const int64_t all = sunup__elements(&x_shape), n = sunup__elements(&has);
    sunup_shape to = x_shape;
    if (n != all && to.n > 0) to.d[to.n - 1] = 1;
    for (int i = 1; n != sunup__elements(&to) && i < to.n; i++) to.d[i] = 1;
    if (n == sunup__elements(&to)) return sunup_reshape(weight, to);
    char room[2][SHAPE_TEXT];
    return sunup__graph_error(sunup_value_graph(x), SUNUP_E_SHAPE,
                              "weight '%s' is %s, but the losses that it shall weigh are %s; give "
                              "one for each of them, for each of their rows, or for each sample",
                              sunup_value_name(weight), sunup__shape_text(&has, room[0]),
                              sunup__shape_text(&x_shape, room[1]));
}

/* ------------------------------------------------------------------------ single losses --- */

/* (1 - p)^gamma of the probability p that was given to what is true; kept from 0, whose logarithm has no gradient. */
static sunup_value *focus(sunup_value *p, double gamma)
{
    sunup_value *q = sunup_scale(p, -1, 1);
    if (gamma == 1) return q;
    if (gamma == 2) return sunup_square(q);
    return sunup_exp(sunup_scale(sunup_log(sunup_clamp(q, 1e-8, 1)), gamma, 0));
}

/* [.., classes]: 1 where the label is. */
static sunup_value *one_hot(sunup_value *label, sunup_value *output, int classes)
{
    double number[MAX_CLASSES];
    for (int i = 0; i < classes; i++) number[i] = i;
    sunup_shape s = sunup_value_shape(label);
    s.d[s.n++] = 1;
    sunup_value *column = sunup_cast(sunup_reshape(label, s), sunup_value_dtype(output));
    return sunup_compare(column, numbers(output, number, classes), SUNUP_EQ);
}

/* Each row's class weight. A gather refuses labels outside the classes. */
static sunup_value *row_weights(sunup_value *label, sunup_value *table)
{
    const int64_t classes = sunup_value_shape(table).d[0];
    sunup_value *w = sunup_gather(sunup_reshape(table, SUNUP_SHAPE(classes, 1)), label);
    return sunup_reshape(w, sunup_value_shape(label));
}

/* Losses of rows, unreduced, with the class weights in them; *weight: the class weights of the rows. */
static sunup_value *row_losses(const sunup_trainer *t, sunup_value *output, sunup_value *label,
                               sunup_value **weight)
{
    const sunup_shape s = sunup_value_shape(output);
    const int classes = (int)s.d[s.n - 1];
    double one[MAX_CLASSES];
    for (int i = 0; i < classes; i++) one[i] = 1;
    const double *given = t->o.n_class_weights > 0 ? t->o.class_weights : one;
    sunup_value *table = numbers(output, given, classes), *hot = one_hot(label, output, classes);
    const double smooth = t->o.label_smoothing;
    sunup_value *q = smooth > 0 ? sunup_scale(hot, 1 - smooth, smooth / classes) : hot;
    sunup_value *log_p = sunup_log_softmax(output, -1);
    sunup_value *loss = sunup_neg(last_sum(sunup_mul(sunup_mul(q, table), log_p)));
    *weight = row_weights(label, table);
    if (t->o.focal == 0) return loss;
    return sunup_mul(focus(sunup_exp(last_sum(sunup_mul(hot, log_p))), t->o.focal), loss);
}

/* PyTorch's formula, which stays exact where p and the target are 1. */
static sunup_value *binary_losses(const sunup_trainer *t, sunup_value *x, sunup_value *target)
{
    sunup_value *certain = sunup_softplus(sunup_neg(x));
    if (t->o.n_pos_weight > 0) {
        sunup_value *p = numbers(x, t->o.pos_weight, t->o.n_pos_weight);
        certain = sunup_mul(sunup_scale(sunup_mul(sunup_scale(p, 1, -1), target), 1, 1), certain);
    }
    sunup_value *loss = sunup_add(sunup_mul(sunup_scale(target, -1, 1), x), certain);
    if (t->o.focal == 0) return loss;
    sunup_value *p = sunup_sigmoid(x), *both = sunup_mul(p, target);
    sunup_value *right = sunup_add(both, sunup_sub(sunup_scale(target, -1, 1), sunup_sub(p, both)));
    return sunup_mul(focus(right, t->o.focal), loss);
}

/* With c = min(|d|, delta): huber = c (|d| - c / 2), smooth_l1 = huber / delta. */
static sunup_value *bent_losses(const sunup_trainer *t, sunup_value *output, sunup_value *target)
{
    sunup_value *d = sunup_abs(sunup_sub(output, target)), *c = sunup_clamp(d, 0, t->o.delta);
    sunup_value *huber = sunup_mul(c, sunup_sub(d, sunup_scale(c, 0.5, 0)));
    return is_loss(t, "huber") ? huber : sunup_scale(huber, 1 / t->o.delta, 0);
}

/* Losses of elements, unreduced. */
static sunup_value *element_losses(const sunup_trainer *t, sunup_value *output, sunup_value *target)
{
    if (is_loss(t, "bce_with_logits")) return binary_losses(t, output, target);
    if (is_loss(t, "mse")) return sunup_square(sunup_sub(output, target));
    if (is_loss(t, "l1")) return sunup_abs(sunup_sub(output, target));
    return bent_losses(t, output, target);
}

/* ------------------------------------------------------------------------------- means --- */

/* The loss that has an op of its own, or NULL. */
static sunup_value *plain_loss(const sunup_trainer *t, sunup_value *output, sunup_value *target)
{
    const sunup_train_options *o = &t->o;
    if (o->weight != NULL || o->focal > 0 || o->n_class_weights > 0) return NULL;
    if (is_loss(t, "cross_entropy"))
        return sunup_cross_entropy(output, target, NULL, o->label_smoothing);
    if (is_loss(t, "mse")) return sunup_mse(output, target);
    if (is_loss(t, "l1")) return sunup_l1(output, target);
    if (is_loss(t, "bce_with_logits") && o->n_pos_weight == 0)
        return sunup_bce_with_logits(output, target, NULL, NULL);
    return NULL;
}

/* Broadcasting must not hide a forgotten axis. */
static sunup_status check_same(const sunup_trainer *t, sunup_shape x, sunup_value *b)
{
    const sunup_shape y = sunup_value_shape(b);
    char room[2][SHAPE_TEXT];
    CHECK(sunup__same_shape(&x, &y), t->ctx, E_SHAPE,
          "loss %s of the output: %s are wanted, but the target '%s' is %s; they must be equal", t->o.loss,
          sunup__shape_text(&x, room[0]), sunup_value_name(b), sunup__shape_text(&y, room[1]));
    return SUNUP_OK;
}

static sunup_status check_counts(const sunup_trainer *t, sunup_value *output)
{
    const sunup_shape s = sunup_value_shape(output);
    const int64_t last = s.n > 0 ? s.d[s.n - 1] : 0;
    const int cw = t->o.n_class_weights, pw = t->o.n_pos_weight;
    CHECK(cw == 0 || cw == last, t->ctx, E_ARGUMENT,
          "class_weights has %d numbers, but the output has %lld classes", cw, (long long)last);
    CHECK(pw <= 1 || pw == last, t->ctx, E_ARGUMENT,
          "pos_weight has %d numbers, but the output's last axis has %lld; give one or as many", pw,
          (long long)last);
    CHECK(!is_loss(t, "cross_entropy") || last <= MAX_CLASSES ||
              (cw == 0 && t->o.focal == 0 && t->o.weight == NULL),
          t->ctx, E_UNSUPPORTED, "weighted cross_entropy of %lld classes; at most %d are possible",
          (long long)last, (int)MAX_CLASSES);
    return SUNUP_OK;
}

/* p->loss = mean of w l, p->weight = mean of w; NULL: w is 1. field: of the weights, or NULL. */
static sunup_status weigh(sunup_trainer *t, struct pass *p, sunup_value *target,
                          const struct field *field)
{
    sunup_value *loss, *weight = NULL;
    sunup_shape shape = sunup_value_shape(p->output);
    if (is_loss(t, "cross_entropy")) {
        shape.n--;
        TRY(check_same(t, shape, target));
        loss = row_losses(t, p->output, target, &weight);
    } else {
        TRY(check_same(t, shape, target));
        loss = element_losses(t, p->output, target);
    }
    if (field != NULL) {
        sunup_value *given = as_dtype(input_of(p->graph, field, p->count), sunup_value_dtype(loss));
        given = weight_of(given, loss);
        loss = sunup_mul(loss, given);
        weight = weight != NULL ? sunup_mul(weight, given) : given;
    }
    p->loss = mean(loss);
    p->weight = weight != NULL ? mean(weight) : NULL;
    return SUNUP_OK;
}

static sunup_status find_weight(const sunup_trainer *t, const sunup_data *data,
                                const struct field **field)
{
    *field = NULL;
    if (t->o.weight == NULL) return SUNUP_OK;
    const int i = sunup__data_field(data, t->o.weight);
    CHECK(i >= 0, t->ctx, E_ARGUMENT, "the data have no field '%s' for the weight", t->o.weight);
    *field = &data->fields[i];
    CHECK((*field)->dtype != SUNUP_I32, t->ctx, E_ARGUMENT,
          "field '%s' holds labels, but a weight must be a floating-point number (label: false)",
          t->o.weight);
    return SUNUP_OK;
}

/* Fraction of rows whose largest logit is the label. */
static sunup_value *fraction_right(sunup_value *output, sunup_value *label)
{
    sunup_value *guess = sunup_argmax(output, -1);
    const sunup_dtype dtype = sunup_value_dtype(output);
    return mean(sunup_compare(sunup_cast(guess, dtype), sunup_cast(label, dtype), SUNUP_EQ));
}

static sunup_status own_loss(const sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    CHECK(o->weight == NULL && o->n_class_weights == 0 && o->n_pos_weight == 0 && o->focal == 0,
          t->ctx, E_ARGUMENT,
          "the network has a loss of its own, in which weight, class_weights, pos_weight and focal "
          "of the run have no part");
    return SUNUP_OK;
}

/* A loss of the run, or one that the network makes: "loss", or where it has several the one that is named. */
static sunup_status find_loss(const sunup_trainer *t, struct pass *p)
{
    char hint[HINT_TEXT];
    int i = 0;
    while (i < LOSSES && !is_loss(t, losses[i])) i++;
    p->loss = sunup_graph_find(p->graph, i < LOSSES ? "loss" : t->o.loss);
    CHECK(i < LOSSES || p->loss != NULL, t->ctx, E_ARGUMENT,
          "there is no loss '%s'%s; known are cross_entropy, mse, l1, bce_with_logits, smooth_l1, "
          "huber, and what the network marks as an output",
          t->o.loss, sunup__hint(hint, t->o.loss, LOSSES, losses));
    return SUNUP_OK;
}

sunup_status sunup__train_add_loss(sunup_trainer *t, const sunup_data *data, struct pass *p)
{
    sunup_graph *g = p->graph;
    p->output = sunup_graph_find(g, "output");
    TRY(find_loss(t, p));
    CHECK(p->output != NULL || p->loss != NULL, t->ctx, E_ARGUMENT,
          "the network marks neither an \"output\" nor a \"loss\" (sunup_graph_output)");
    if (p->loss != NULL) return own_loss(t);
    int i;
    const struct field *weight;
    TRY(find_target(t, data, g, &i));
    TRY(find_weight(t, data, &weight));
    const struct field *f = &data->fields[i];
    const bool label = is_loss(t, "cross_entropy");
    CHECK(!label || f->dtype == SUNUP_I32, t->ctx, E_ARGUMENT,
          "field '%s' holds %s numbers, but loss cross_entropy needs class labels (label: true)",
          f->name, sunup_dtype_name(f->dtype));
    TRY(check_counts(t, p->output));
    p->target = input_of(g, f, p->count);
    sunup_value *y = p->target;
    if (!label) y = like_output(as_dtype(y, sunup_value_dtype(p->output)), p->output);
    p->loss = plain_loss(t, p->output, y);
    if (p->loss == NULL) TRY(weigh(t, p, y, weight));
    if (label) p->correct = fraction_right(p->output, p->target);
    return SUNUP_OK;
}
