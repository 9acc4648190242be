/* factors_test.c - gradients that are kept as factors: the same bits as gradients that are kept, less memory, no place
 * of theirs is touched; in networks where they share factors, where a factor is an input, and where none may be.
 *
 * The other side adds up two batches of the same samples, which no gradient as factors can do: its sum is twice the
 * gradient and its scale half as large, so every bit is that of one batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/trainer.h"

enum { TERMS_MOST = 16, WIDE = 16717, NARROW = 251, SAMPLES_MOST = 2 * (TERMS_MOST + 1) };

/* The large layer reads the input, flattened, or what is made of it. TWO of them have one dy. */
enum shape { INPUT, INNER, TWO };

static sunup_status build(sunup_graph *g, void *arg)
{
    const enum shape *shape = arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), WIDE, 1)), *y;
    sunup_value *flat = sunup_reshape(x, SUNUP_SHAPE(sunup_graph_batch(g), WIDE));
    if (*shape == INNER) flat = sunup_relu(sunup_scale(flat, 0.5, 0.1));
    y = sunup_layer_linear(flat, "large", NARROW, true);
    if (*shape == TWO) y = sunup_add(y, sunup_layer_linear(sunup_relu(flat), "other", NARROW, false));
    sunup_graph_output(g, "output", sunup_layer_linear(sunup_relu(y), "head", 1, true));
    return sunup_graph_finish(g);
}

struct run {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *trainer;
    int batch;
};

static sunup_status make_data(struct run *r)
{
    static float x[SAMPLES_MOST][WIDE], y[SAMPLES_MOST];
    const int samples = 2 * r->batch;
    const struct random_stream s = {.seed = 5, .purpose = RANDOM_TEST};
    for (int i = 0; i < samples; i++) {
        y[i] = (float)(i % r->batch % 3) - 1;
        for (int j = 0; j < WIDE; j++)
            x[i][j] = (float)(sunup__random_unit(&s, (uint64_t)(i % r->batch * WIDE + j)) - 0.5);
    }
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(samples, WIDE, 1), x},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(samples), y}};
    return sunup_data_from_memory(r->ctx, 2, fields, &r->data);
}

static sunup_train_options options(int batch)
{
    sunup_train_options o = sunup_train_defaults();
    o.batch = batch;
    o.shards = 1;
    o.shuffle = false;
    o.epochs = 8;
    o.loss = "mse";
    o.optimizer.type = "adam";
    o.optimizer.clip_norm = 0.5;
    return o;
}

static void start(struct run *r, enum shape shape, const sunup_train_options *o)
{
    assert_int_equal(sunup_context_create(NULL, &r->ctx), SUNUP_OK);
    assert_int_equal(make_data(r), SUNUP_OK);
    assert_int_equal(sunup_model_create(r->ctx, build, &shape, 1, &r->model), SUNUP_OK);
    assert_int_equal(sunup_trainer_create(r->model, r->data, NULL, o, &r->trainer), SUNUP_OK);
}

static void end(struct run *r)
{
    sunup_trainer_destroy(&r->trainer);
    sunup_model_destroy(&r->model);
    sunup_data_destroy(&r->data);
    sunup_context_destroy(&r->ctx);
}

static int factored(const struct run *r)
{
    int n = 0;
    for (int i = 0; i < r->model->n_trained; i++) n += r->trainer->pass->factor[i][0] != NULL;
    return n;
}

/* Of every place that belongs to factors the bytes stay as they are. */
static void mark_places(const struct run *r, bool check)
{
    float *slot = sunup__exchange_slot(r->trainer->exchange);
    for (int i = 0; i < r->model->n_trained; i++) {
        if (r->trainer->pass->factor[i][0] == NULL) continue;
        const struct model_tensor *p = sunup__model_trained(r->model, i);
        float *last = &slot[p->at + sunup__elements(&p->t.shape) - 1];
        if (check)
            assert_true(slot[p->at] == -77 && *last == -78);
        else {
            slot[p->at] = -77;
            *last = -78;
        }
    }
}

static void check_shape(enum shape shape, int batch, int want)
{
    struct run one = {.batch = batch}, sum = {.batch = batch};
    sunup_train_options o = options(batch);
    start(&one, shape, &o);
    o.accumulate = 2;
    start(&sum, shape, &o);
    assert_int_equal(factored(&one), want);
    assert_int_equal(factored(&sum), 0);
    mark_places(&one, false);
    for (int step = 0; step < 3; step++) {
        sunup_metrics a, b;
        assert_int_equal(sunup_trainer_step(one.trainer, &a), SUNUP_OK);
        assert_int_equal(sunup_trainer_step(sum.trainer, &b), SUNUP_OK);
        assert_true(a.loss == b.loss && a.grad_norm == b.grad_norm);
        for (int i = 0; i < one.model->n_parameters; i++) {
            const sunup_tensor *x = &one.model->tensors[i].t, *y = &sum.model->tensors[i].t;
            assert_memory_equal(x->data, y->data, (size_t)sunup__elements(&x->shape) * sizeof(float));
        }
    }
    mark_places(&one, true);
    assert_true(sunup__trainer_bytes(one.trainer, 1) < sunup__trainer_bytes(sum.trainer, 1));
    end(&one);
    end(&sum);
}

static void has_the_bits_of_kept_gradients(void **state)
{
    (void)state;
    check_shape(INPUT, 3, 1);
    check_shape(INNER, 1, 1);
    check_shape(INNER, TERMS_MOST, 1);
    check_shape(TWO, 3, 2);
}

static void keep(int batch, int shards)
{
    struct run r = {.batch = batch};
    sunup_train_options o = options(batch);
    o.shards = shards;
    start(&r, INNER, &o);
    assert_int_equal(factored(&r), 0);
    end(&r);
}

static void is_left_where_a_gradient_is_added_or_has_many_terms(void **state)
{
    (void)state;
    keep(3, 3);
    keep(TERMS_MOST + 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_bits_of_kept_gradients),
        cmocka_unit_test(is_left_where_a_gradient_is_added_or_has_many_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
