/* loss_test.c - every loss of a run with its options against PyTorch's numbers (tests/golden/make_loss.py), in shards
 * and in parts, and what is refused. One step of plain descent with lr 1 shows the gradient.
 *
 * Bound: 1e-5 of the largest number: f32, some ten roundings in each of 48 terms.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <golden/loss_golden.h>

#include "train/train.h"

enum { CASES = sizeof golden_losses / sizeof golden_losses[0], WIDE = 4 };

/* rows: of a sample; 1, or WIDE where the rows of the golden values are the space of fewer samples. */
struct problem {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *trainer;
    int64_t rows;
};

static sunup_status build(sunup_graph *g, void *arg)
{
    const struct problem *p = arg;
    const int64_t n = sunup_graph_batch(g);
    const sunup_shape s = p->rows == 1 ? SUNUP_SHAPE(n, IN) : SUNUP_SHAPE(n, p->rows, IN);
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, s);
    sunup_graph_output(g, "output", sunup_layer_linear(x, "fc", OUT, false));
    return sunup_graph_finish(g);
}

/* [samples, rows.., width]; width 0: no such axis. */
static sunup_tensor field(const struct problem *p, const char *name, int64_t width, const void *data)
{
    sunup_tensor t = {.name = name, .shape = {1, {SAMPLES / p->rows}}, .data = (void *)(uintptr_t)data};
    if (p->rows > 1) t.shape.d[t.shape.n++] = p->rows;
    if (width > 0) t.shape.d[t.shape.n++] = width;
    t.dtype = strcmp(name, "label") == 0 ? SUNUP_I32 : SUNUP_F32;
    return t;
}

static sunup_status make_data(struct problem *p)
{
    const sunup_tensor fields[] = {field(p, "x", IN, golden_x),
                                   field(p, "y", OUT, golden_y),
                                   field(p, "soft", OUT, golden_soft),
                                   field(p, "label", 0, golden_label),
                                   field(p, "by_sample", 0, golden_by_sample),
                                   field(p, "by_element", OUT, golden_by_element)};
    return sunup_data_from_memory(p->ctx, 6, fields, &p->data);
}

static sunup_train_options options(const struct problem *p, const struct golden_loss *c)
{
    sunup_train_options o = sunup_train_defaults();
    o.loss = c->o.loss;
    o.target = c->target;
    o.weight = c->o.weight;
    o.label_smoothing = c->o.label_smoothing;
    o.class_weights = c->o.class_weights;
    o.n_class_weights = c->o.n_class_weights;
    o.pos_weight = c->o.pos_weight;
    o.n_pos_weight = c->o.n_pos_weight;
    o.focal = c->o.focal;
    o.delta = c->o.delta;
    o.batch = SAMPLES / p->rows;
    o.shards = p->rows == 1 ? 4 : 2;
    o.parts = p->rows == 1 ? 1 : 2;
    o.shuffle = false;
    o.optimizer.lr = 1;
    return o;
}

static sunup_status start(struct problem *p, const sunup_train_options *o)
{
    TRY(sunup_context_create(NULL, &p->ctx));
    TRY(make_data(p));
    TRY(sunup_model_create(p->ctx, build, p, 1, &p->model));
    sunup_tensor w;
    TRY(sunup_model_tensor(p->model, 0, &w));
    memcpy(w.data, golden_start, sizeof golden_start);
    return sunup_trainer_create(p->model, p->data, NULL, o, &p->trainer);
}

static void end(struct problem *p)
{
    sunup_trainer_destroy(&p->trainer);
    sunup_model_destroy(&p->model);
    sunup_data_destroy(&p->data);
    sunup_context_destroy(&p->ctx);
}

static void check(const struct golden_loss *c, const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound))
        fail_msg("%s: %s is %.9g, PyTorch has %.9g", c->options, what, got, want);
}

static void run_case(const struct golden_loss *c, int64_t rows, int accumulate)
{
    struct problem p = {.rows = rows};
    sunup_train_options o = options(&p, c);
    o.batch /= accumulate;
    o.accumulate = accumulate;
    sunup_metrics before, step;
    if (start(&p, &o) != SUNUP_OK) fail_msg("%s: %s", c->options, sunup_error(p.ctx));
    assert_int_equal(sunup_trainer_evaluate(p.trainer, p.data, &before), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p.trainer, &step), SUNUP_OK);
    check(c, "loss", step.loss, c->loss, 1e-5 * fmax(1, c->loss));
    check(c, "evaluated loss", before.loss, c->loss, 1e-5 * fmax(1, c->loss));
    sunup_tensor w;
    assert_int_equal(sunup_model_tensor(p.model, 0, &w), SUNUP_OK);
    for (int i = 0; i < IN * OUT; i++)
        check(c, "gradient", golden_start[i] - ((const float *)w.data)[i], c->gradient[i], 1e-5);
    end(&p);
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) run_case(&golden_losses[i], 1, 1);
}

/* A weighted mean spans the batches that are accumulated; a plain mean is the same number then. */
static void spans_accumulated_batches(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) run_case(&golden_losses[i], 1, 2);
}

static void agrees_in_parts(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) run_case(&golden_losses[i], WIDE, 1);
}

static void refuses(sunup_train_options o, const char *part)
{
    struct problem p = {.rows = 1};
    const struct golden_loss none = {.target = "label", .o = o};
    const sunup_train_options all = options(&p, &none);
    assert_int_not_equal(start(&p, &all), SUNUP_OK);
    if (strstr(sunup_error(p.ctx), part) == NULL) fail_msg("'%s' lacks '%s'", sunup_error(p.ctx), part);
    end(&p);
}

static void says_what_does_not_fit(void **state)
{
    (void)state;
    static const double w[] = {1, 2, -1};
    refuses((sunup_train_options){.loss = "hubert", .delta = 1}, "did you mean 'huber'");
    refuses((sunup_train_options){.loss = "huber"}, "delta is 0");
    refuses((sunup_train_options){.loss = "mse", .delta = 1, .focal = 2},
            "focal belongs to loss cross_entropy or bce_with_logits, but the loss is mse");
    refuses((sunup_train_options){.loss = "mse", .delta = 1, .class_weights = w, .n_class_weights = 1},
            "class_weights belongs to loss cross_entropy, but");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .pos_weight = w, .n_pos_weight = 1},
            "pos_weight belongs to");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .class_weights = w, .n_class_weights = 2},
            "2 numbers, but the output has 3 classes");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .class_weights = w, .n_class_weights = 3},
            "class_weights holds -1 at place 2");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .weight = "wait"}, "no field 'wait'");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .weight = "label"}, "holds labels");
    refuses((sunup_train_options){.loss = "cross_entropy", .delta = 1, .weight = "by_element"},
            "weight 'by_element' is [4, 3], but the losses that it shall weigh are [4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_pytorch),
        cmocka_unit_test(spans_accumulated_batches),
        cmocka_unit_test(agrees_in_parts),
        cmocka_unit_test(says_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
