/* freeze_test.c - frozen parameters: untouched, in no norm, without gradients, moments or weight decay; everything else
 * as if they were trained too; checkpoints; what is refused.
 *
 * One step shows it: all other parameters get bit by bit the update that they get in a run that trains everything.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/words.h"
#include "train/trainer.h"

enum { SAMPLES = 32, IN = 3, MIDDLE = 5, PARAMETERS = 6, MOST = 64 };

struct problem {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *trainer;
    float start[PARAMETERS][MOST];
};

static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    x = sunup_relu(sunup_layer_linear(x, "stem.fc", MIDDLE, true));
    x = sunup_layer_batch_norm(x, "stem.norm");
    sunup_graph_output(g, "output", sunup_layer_linear(x, "head", 1, true));
    return sunup_graph_finish(g);
}

static sunup_status make_data(struct problem *p)
{
    static float x[SAMPLES][IN], y[SAMPLES];
    const struct random_stream s = {.seed = 3, .purpose = RANDOM_TEST};
    for (int i = 0; i < SAMPLES; i++) {
        y[i] = (float)(i % 5) - 2;
        for (int j = 0; j < IN; j++)
            x[i][j] = (float)(sunup__random_unit(&s, (uint64_t)(i * IN + j)) - 0.5);
    }
    const sunup_tensor fields[] = {{"x", SUNUP_F32, SUNUP_SHAPE(SAMPLES, IN), x},
                                   {"y", SUNUP_F32, SUNUP_SHAPE(SAMPLES), y}};
    return sunup_data_from_memory(p->ctx, 2, fields, &p->data);
}

static sunup_train_options options(int n, const char *const *freeze)
{
    sunup_train_options o = sunup_train_defaults();
    o.batch = 8;
    o.shards = 2;
    o.loss = "mse";
    o.optimizer.lr = 0.1;
    o.optimizer.weight_decay = 0.01;
    o.freeze = freeze;
    o.n_freeze = n;
    return o;
}

static const sunup_tensor *tensor(const struct problem *p, int i)
{
    return &p->model->tensors[i].t;
}

static sunup_status start(struct problem *p, const sunup_train_options *o)
{
    TRY(sunup_context_create(NULL, &p->ctx));
    TRY(make_data(p));
    TRY(sunup_model_create(p->ctx, build, NULL, 1, &p->model));
    for (int i = 0; i < PARAMETERS; i++)
        memcpy(p->start[i], tensor(p, i)->data,
               (size_t)sunup__elements(&tensor(p, i)->shape) * sizeof(float));
    return sunup_trainer_create(p->model, p->data, NULL, o, &p->trainer);
}

static void end(struct problem *p)
{
    sunup_trainer_destroy(&p->trainer);
    sunup_model_destroy(&p->model);
    sunup_data_destroy(&p->data);
    sunup_context_destroy(&p->ctx);
}

static bool same(const void *a, const void *b, const sunup_tensor *t)
{
    return memcmp(a, b, (size_t)sunup__elements(&t->shape) * sizeof(float)) == 0;
}

static const char *const stem[] = {"stem.*"}, *const two[] = {"stem.fc.?????t", "*.bias"};

/* One step of each: what is frozen stays, all else moves by the same bits. */
static void check_step(sunup_train_options o)
{
    struct problem all = {0}, some = {0};
    sunup_metrics m;
    assert_int_equal(start(&some, &o), SUNUP_OK);
    o.n_freeze = 0;
    assert_int_equal(start(&all, &o), SUNUP_OK);
    assert_true(some.trainer->pass->plan->n_steps < all.trainer->pass->plan->n_steps);
    assert_int_equal(sunup_trainer_step(all.trainer, &m), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(some.trainer, &m), SUNUP_OK);
    for (int i = 0; i < PARAMETERS; i++) {
        const sunup_tensor *a = tensor(&all, i), *s = tensor(&some, i);
        const bool frozen = some.model->tensors[i].frozen;
        assert_false(same(a->data, all.start[i], a));
        assert_true(same(s->data, frozen ? some.start[i] : a->data, s));
    }
    end(&all);
    end(&some);
}

static void stays_and_leaves_the_rest_alone(void **state)
{
    (void)state;
    sunup_train_options o = options(1, stem);
    check_step(o);
    o.optimizer.type = "adamw";
    check_step(o);
    o.optimizer.clip_value = 1e-3;
    o.accumulate = 2;
    check_step(o);
    o.freeze = two;
    o.n_freeze = 2;
    check_step(o);
}

/* The norm is that of the head's gradient, which plain descent with lr 1 shows. */
static void has_no_part_in_the_norm(void **state)
{
    (void)state;
    struct problem p = {0};
    sunup_train_options o = options(1, stem);
    o.optimizer.lr = 1;
    o.optimizer.weight_decay = 0;
    sunup_metrics m;
    assert_int_equal(start(&p, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_OK);
    double squares = 0;
    for (int i = 4; i < PARAMETERS; i++)
        for (int64_t k = 0; k < sunup__elements(&tensor(&p, i)->shape); k++)
            squares += pow((double)((float *)tensor(&p, i)->data)[k] - (double)p.start[i][k], 2);
    assert_true(fabs(m.grad_norm - sqrt(squares)) < 1e-5 * m.grad_norm);
    assert_int_equal(p.trainer->parameters.n_segments, 2);
    assert_int_equal(p.model->n_flat_parameters, 32); /* moments are for these only */
    end(&p);
}

static void resumes(void **state)
{
    (void)state;
    char path[] = "/tmp/freeze_test_XXXXXX";
    const int file = mkstemp(path);
    sunup_train_options o = options(1, stem);
    o.optimizer.type = "adam";
    struct problem once = {0}, again = {0}, other = {0};
    assert_int_equal(start(&once, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(once.trainer, NULL), SUNUP_OK);
    assert_int_equal(sunup_trainer_save(once.trainer, path), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(once.trainer, NULL), SUNUP_OK);
    assert_int_equal(start(&again, &o), SUNUP_OK);
    assert_int_equal(sunup_trainer_restore(again.trainer, path), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(again.trainer, NULL), SUNUP_OK);
    assert_true(sunup_model_hash(once.model) == sunup_model_hash(again.model));
    o.n_freeze = 0;
    assert_int_equal(start(&other, &o), SUNUP_OK);
    assert_int_not_equal(sunup_trainer_restore(other.trainer, path), SUNUP_OK);
    assert_non_null(strstr(sunup_error(other.ctx), "freeze"));
    sunup_trainer_destroy(&again.trainer); /* the next trainer of a model freezes what it likes */
    assert_int_equal(sunup_trainer_create(again.model, again.data, NULL, &o, &again.trainer), SUNUP_OK);
    assert_true(sunup_model_hash(once.model) == sunup_model_hash(again.model));
    assert_int_equal(again.model->n_trained, PARAMETERS);
    end(&once);
    end(&again);
    end(&other);
    (void)close(file);
    (void)unlink(path);
}

static void refuses(const char *pattern, const char *part)
{
    struct problem p = {0};
    const sunup_train_options o = options(1, &pattern);
    assert_int_equal(start(&p, &o), SUNUP_E_ARGUMENT);
    if (strstr(sunup_error(p.ctx), part) == NULL) fail_msg("'%s' lacks '%s'", sunup_error(p.ctx), part);
    end(&p);
}

static void says_what_matches_nothing(void **state)
{
    (void)state;
    refuses("stem.fc.wieght", "did you mean 'stem.fc.weight'");
    refuses("stem.norm.running_*", "is the name of none of the network's 6 parameters");
    refuses("*", "none of the network's 6 parameters to train");
}

static void matches_as_a_shell_does(void **state)
{
    (void)state;
    static const char *const yes[][2] = {{"", ""},         {"*", ""},         {"a*c", "abbc"},
                                         {"*b*c", "abcbc"}, {"a?c", "abc"},   {"**", "x"},
                                         {"*.bias", "a.b.bias"}, {"a*a*a", "aaaa"}};
    static const char *const no[][2] = {{"", "a"},    {"a", ""},       {"a*c", "abcd"},
                                        {"?", ""},    {"a*b*a", "aba b"}, {"fc", "fc.bias"}};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!sunup__matches(yes[i][0], yes[i][1])) fail_msg("%s, %s", yes[i][0], yes[i][1]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (sunup__matches(no[i][0], no[i][1])) fail_msg("%s, %s", no[i][0], no[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stays_and_leaves_the_rest_alone),
        cmocka_unit_test(has_no_part_in_the_norm),
        cmocka_unit_test(resumes),
        cmocka_unit_test(says_what_matches_nothing),
        cmocka_unit_test(matches_as_a_shell_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
