/* train_test.c - the trainer through the public interface: losses, element types, accumulation, lack of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/train.h"

enum { SAMPLES = 96, IN = 3 };

struct problem {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *trainer;
};

static const double truth[IN] = {0.5, -2, 1.25};

/* y = truth . x, exactly. */
static sunup_status make_data(struct problem *p)
{
    static float x[SAMPLES][IN], y[SAMPLES];
    const struct random_stream s = {.seed = 3, .purpose = RANDOM_TEST};
    for (int i = 0; i < SAMPLES; i++) {
        y[i] = 0;
        for (int j = 0; j < IN; j++) {
            x[i][j] = (float)(sunup__random_unit(&s, (uint64_t)(i * IN + j)) - 0.5);
            y[i] += (float)truth[j] * x[i][j];
        }
    }
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(SAMPLES, IN), x},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(SAMPLES), y}};
    return sunup_data_from_memory(p->ctx, 2, fields, &p->data);
}

static sunup_value *layer(sunup_graph *g)
{
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    return sunup_layer_linear(x, "fc", 1, false);
}

static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_graph_output(g, "output", layer(g));
    return sunup_graph_finish(g);
}

/* A loss of its own: mean |error|^3 through the graph, the target an input like any other. */
static sunup_status build_with_loss(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *y = sunup_input(g, "y", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), 1));
    sunup_value *e = sunup_abs(sunup_sub(layer(g), y));
    sunup_graph_output(g, "loss", sunup_mean(sunup_mul(e, sunup_square(e)), 0, NULL, false));
    return sunup_graph_finish(g);
}

static sunup_train_options options(void)
{
    sunup_train_options o = sunup_train_defaults();
    o.batch = 16;
    o.shards = 2;
    o.epochs = 30;
    o.loss = "mse";
    o.optimizer.type = "adam";
    o.optimizer.lr = 0.05;
    return o;
}

static sunup_status start(struct problem *p, sunup_build_fn fn, const sunup_train_options *o)
{
    TRY(sunup_context_create(NULL, &p->ctx));
    TRY(make_data(p));
    TRY(sunup_model_create(p->ctx, fn, NULL, 1, &p->model));
    return sunup_trainer_create(p->model, p->data, NULL, o, &p->trainer);
}

static void end(struct problem *p)
{
    sunup_trainer_destroy(&p->trainer);
    sunup_model_destroy(&p->model);
    sunup_data_destroy(&p->data);
    sunup_context_destroy(&p->ctx);
}

static uint64_t hash_of(const sunup_train_options *o, sunup_build_fn fn)
{
    struct problem p = {0};
    assert_int_equal(start(&p, fn, o), SUNUP_OK);
    assert_int_equal(sunup_trainer_run(p.trainer, NULL, NULL), SUNUP_OK);
    const uint64_t h = sunup_model_hash(p.model);
    end(&p);
    return h;
}

static void regression_finds_the_truth(void **state)
{
    (void)state;
    struct problem p = {0};
    const sunup_train_options o = options();
    sunup_metrics m;
    assert_int_equal(start(&p, build, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_run(p.trainer, p.data, &m), SUNUP_OK);
    assert_true(m.loss < 1e-4);
    assert_true(isnan(m.accuracy));
    sunup_tensor w;
    assert_int_equal(sunup_model_tensor(p.model, 0, &w), SUNUP_OK);
    for (int i = 0; i < IN; i++) assert_true(fabs((double)((float *)w.data)[i] - truth[i]) < 0.05);
    assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_E_END);
    end(&p);
}

/* The weights are the trainer's while it lives, and the model's again after it. */
static void weights_come_back(void **state)
{
    (void)state;
    struct problem p = {0};
    const sunup_train_options o = options();
    assert_int_equal(start(&p, build, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p.trainer, NULL), SUNUP_OK);
    const uint64_t hash = sunup_model_hash(p.model);
    sunup_trainer_destroy(&p.trainer);
    assert_true(sunup_model_hash(p.model) == hash);
    assert_int_equal(sunup_trainer_create(p.model, p.data, NULL, &o, &p.trainer), SUNUP_OK);
    assert_true(sunup_model_hash(p.model) == hash);
    assert_int_equal(sunup_trainer_step(p.trainer, NULL), SUNUP_OK);
    assert_true(sunup_model_hash(p.model) != hash);
    end(&p);
}

static void a_loss_of_its_own(void **state)
{
    (void)state;
    struct problem p = {0};
    const sunup_train_options o = options();
    sunup_metrics first, last;
    assert_int_equal(start(&p, build_with_loss, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p.trainer, &first), SUNUP_OK);
    assert_int_equal(sunup_trainer_run(p.trainer, p.data, &last), SUNUP_OK);
    assert_true(last.loss < 0.1 * first.loss);
    end(&p);
}

/* Two batches of 8 in one shard each are the two shards of a batch of 16: the same sum in the same order. */
static void accumulation_is_a_larger_batch(void **state)
{
    (void)state;
    sunup_train_options o = options();
    const uint64_t want = hash_of(&o, build);
    o.batch = 8;
    o.shards = 1;
    o.accumulate = 2;
    assert_int_equal(hash_of(&o, build), want);
    o.accumulate = 1;
    assert_true(hash_of(&o, build) != want);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    uint64_t h[3];
    for (int threads = 1; threads <= 3; threads++) {
        sunup_context_options c = sunup_context_defaults();
        c.threads = threads;
        struct problem p = {0};
        const sunup_train_options o = options();
        assert_int_equal(sunup_context_create(&c, &p.ctx), SUNUP_OK);
        assert_int_equal(make_data(&p), SUNUP_OK);
        assert_int_equal(sunup_model_create(p.ctx, build, NULL, 1, &p.model), SUNUP_OK);
        assert_int_equal(sunup_trainer_create(p.model, p.data, NULL, &o, &p.trainer), SUNUP_OK);
        assert_int_equal(sunup_trainer_run(p.trainer, NULL, NULL), SUNUP_OK);
        h[threads - 1] = sunup_model_hash(p.model);
        end(&p);
    }
    assert_int_equal(h[0], h[1]);
    assert_int_equal(h[0], h[2]);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct problem p = {0};
    const sunup_train_options o = options();
    assert_int_equal(start(&p, build, &o), SUNUP_OK);
    sunup_metrics m;
    assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_OK);
    const int64_t before = sunup__allocations();
    for (int i = 0; i < 20; i++) assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_OK);
    assert_int_equal(sunup__allocations(), before);
    end(&p);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    struct problem p = {0};
    sunup_train_options o = options();
    o.batch = 100;
    assert_int_equal(start(&p, build, &o), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(p.ctx), "larger than the data (96 samples)"));
    end(&p);
    o = options();
    o.loss = "cross_entropy";
    assert_int_equal(start(&p, build, &o), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(p.ctx), "label: true"));
    end(&p);
    o = options();
    o.target = "z";
    assert_int_equal(start(&p, build, &o), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(p.ctx), "no field 'z'"));
    end(&p);
}

/* ---- live samples ---- */

struct counter {
    int64_t filled, shown;
};

static bool refuse_at_three(void *arg, int64_t number, int64_t place, void *state, void *const *y)
{
    struct counter *c = state;
    const bool *refuse = arg;
    float *x = y[0], *target = y[1];
    for (int j = 0; j < IN; j++) x[j] = (float)(place + j) / 16 + (float)number;
    *target = 1;
    assert_true(c->filled == number && c->shown == number);
    c->filled++;
    return !(*refuse && number == 3 && place == 5);
}

static void count_output(void *arg, int64_t number, int64_t place, void *state, const void *output)
{
    (void)arg, (void)place;
    struct counter *c = state;
    assert_true(c->filled == number + 1 && isfinite(*(const float *)output));
    c->shown++;
}

static sunup_status live_run(struct problem *p, bool *refuse, int accumulate)
{
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(IN), NULL},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(1), NULL}};
    const sunup_live live = {.state_bytes = sizeof(struct counter),
                             .fill = refuse_at_three,
                             .seen = count_output,
                             .arg = refuse};
    sunup_train_options o = options();
    o.accumulate = accumulate;
    o.epochs = 1;
    TRY(sunup_context_create(NULL, &p->ctx));
    TRY(sunup_data_from_live(p->ctx, 2, fields, SAMPLES, &live, &p->data));
    TRY(sunup_model_create(p->ctx, build, NULL, 1, &p->model));
    TRY(sunup_trainer_create(p->model, p->data, NULL, &o, &p->trainer));
    return sunup_trainer_run(p->trainer, NULL, NULL);
}

/* Each place is filled, then shown its output, once a batch; a refusal names batch and slot. */
static void live_samples_take_turns(void **state)
{
    (void)state;
    bool refuse = false;
    sunup_metrics m;
    for (int accumulate = 1; accumulate <= 2; accumulate++) {
        struct problem p = {0};
        assert_int_equal(live_run(&p, &refuse, accumulate), SUNUP_OK);
        assert_int_equal(sunup_trainer_evaluate(p.trainer, p.data, &m), SUNUP_E_UNSUPPORTED);
        assert_non_null(strstr(sunup_error(p.ctx), "for training only"));
        end(&p);
    }
    refuse = true;
    struct problem p = {0};
    assert_int_equal(live_run(&p, &refuse, 1), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(p.ctx), "place 5 in batch 3"));
    end(&p);
}

static sunup_status one_step(struct problem *p)
{
    const sunup_train_options o = options();
    TRY(start(p, build, &o));
    return sunup_trainer_step(p->trainer, NULL);
}

/* Whichever allocation fails, the call says E_MEMORY or can do without it, and what was made is freed (the sanitizers
 * look). */
static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    struct problem p = {0};
    const int64_t before = sunup__allocations();
    assert_int_equal(one_step(&p), SUNUP_OK);
    const int64_t n = sunup__allocations() - before;
    end(&p);
    assert_true(n > 50);
    int64_t refused = 0;
    for (int64_t i = 0; i < n; i++) {
        sunup__fail_allocation(i);
        const sunup_status status = one_step(&p);
        sunup__fail_allocation(-1);
        assert_true(status == SUNUP_OK || status == SUNUP_E_MEMORY);
        refused += status == SUNUP_E_MEMORY;
        end(&p);
    }
    assert_true(refused > n / 2);
}

/* The tensors after one step of a network in YAML. */
static void step_of(const char *layers, struct problem *p)
{
    char text[512];
    snprintf(text, sizeof text, "model:\n  input: {name: x, shape: [3]}\n  layers:\n%s", layers);
    sunup_train_options o = options();
    o.optimizer.type = "sgd";
    o.shuffle = false;
    assert_int_equal(sunup_context_create(NULL, &p->ctx), SUNUP_OK);
    assert_int_equal(make_data(p), SUNUP_OK);
    if (sunup__model_parse(p->ctx, text, strlen(text), "net.yaml", 1, &p->model) != SUNUP_OK)
        fail_msg("%s", sunup_error(p->ctx));
    assert_int_equal(sunup_trainer_create(p->model, p->data, NULL, &o, &p->trainer), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p->trainer, NULL), SUNUP_OK);
}

/* Twice the same weights are one layer times 2: also the gradient. Twice the same norm moves the running statistics
 * twice, by 1 - 0.9^2 together, as a module of PyTorch that is called twice does. */
static void shared_weights_learn_from_both(void **state)
{
    (void)state;
    struct problem shared = {0}, single = {0};
    step_of("    - batch_norm: {name: n}\n    - batch_norm: {inputs: x, weights: n}\n    - add: [n, batch_norm1]\n"
            "    - linear: {name: fc, out_features: 1}\n"
            "    - linear: {name: again, inputs: add1, out_features: 1, weights: fc}\n    - add: [fc, again]\n",
            &shared);
    step_of("    - batch_norm: {name: n, momentum: 0.19}\n    - scale: 2\n"
            "    - linear: {name: fc, out_features: 1}\n    - scale: 2\n",
            &single);
    const int n = shared.model->n_parameters + shared.model->n_states;
    assert_int_equal(n, 6);
    assert_int_equal(single.model->n_parameters + single.model->n_states, n);
    for (int i = 0; i < n; i++) {
        const sunup_tensor *a = &shared.model->tensors[i].t, *b = &single.model->tensors[i].t;
        for (int64_t k = 0; k < sunup__elements(&a->shape); k++)
            assert_true(fabsf(((float *)a->data)[k] - ((float *)b->data)[k]) < 2e-6F);
    }
    end(&shared);
    end(&single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regression_finds_the_truth),
        cmocka_unit_test(weights_come_back),
        cmocka_unit_test(a_loss_of_its_own),
        cmocka_unit_test(accumulation_is_a_larger_batch),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(live_samples_take_turns),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(shared_weights_learn_from_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
