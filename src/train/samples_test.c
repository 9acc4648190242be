/* samples_test.c - shards in parts of samples: batch norm over all samples of a shard gives PyTorch's numbers of the
 * whole batch (tests/golden/make_batch_norm.py) for any number of parts, and what is refused.
 *
 * Bound: 1e-5 of the largest number, as in loss_test.c, over three steps.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <golden/batch_norm_golden.h>

#include "train/train.h"

struct problem {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *trainer;
};

static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    x = sunup_layer_batch_norm(sunup_layer_linear(x, "fc1", HIDDEN, false), "norm");
    sunup_graph_output(g, "output", sunup_layer_linear(sunup_relu(x), "fc2", OUT, false));
    return sunup_graph_finish(g);
}

static sunup_tensor tensor_of(const struct problem *p, const char *name)
{
    sunup_tensor t;
    for (int i = 0; sunup_model_tensor(p->model, i, &t) == SUNUP_OK; i++)
        if (strcmp(t.name, name) == 0) return t;
    fail_msg("no tensor %s", name);
    return t;
}

static sunup_status start(struct problem *p, int shards, int parts)
{
    const sunup_tensor fields[] = {{.name = "x",
                                    .dtype = SUNUP_F32,
                                    .shape = SUNUP_SHAPE(SAMPLES, IN),
                                    .data = (void *)(uintptr_t)golden_x},
                                   {.name = "label",
                                    .dtype = SUNUP_I32,
                                    .shape = SUNUP_SHAPE(SAMPLES),
                                    .data = (void *)(uintptr_t)golden_label}};
    *p = (struct problem){0};
    assert_int_equal(sunup_context_create(NULL, &p->ctx), SUNUP_OK);
    assert_int_equal(sunup_data_from_memory(p->ctx, 2, fields, &p->data), SUNUP_OK);
    assert_int_equal(sunup_model_create(p->ctx, build, NULL, 1, &p->model), SUNUP_OK);
    memcpy(tensor_of(p, "fc1.weight").data, golden_fc1, sizeof golden_fc1);
    memcpy(tensor_of(p, "fc2.weight").data, golden_fc2, sizeof golden_fc2);
    sunup_train_options o = sunup_train_defaults();
    o.batch = SAMPLES;
    o.shards = shards;
    o.parts = parts;
    o.split = "N";
    o.epochs = STEPS;
    o.optimizer.lr = golden_lr;
    return sunup_trainer_create(p->model, p->data, NULL, &o, &p->trainer);
}

static void end(struct problem *p)
{
    sunup_trainer_destroy(&p->trainer);
    sunup_model_destroy(&p->model);
    sunup_data_destroy(&p->data);
    sunup_context_destroy(&p->ctx);
}

static void statistics_are_of_the_whole_batch(void **state)
{
    (void)state;
    for (int parts = 1; parts <= SAMPLES; parts *= 2) {
        struct problem p;
        sunup_metrics m;
        if (start(&p, 1, parts) != SUNUP_OK) fail_msg("%s", sunup_error(p.ctx));
        for (int i = 0; i < STEPS; i++) {
            assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_OK);
            if (!(fabs(m.loss - golden_loss[i]) <= 1e-5))
                fail_msg("%d parts, step %d: loss %.9g, PyTorch has %.9g", parts, i, m.loss,
                         golden_loss[i]);
        }
        for (size_t t = 0; t < sizeof golden_after / sizeof *golden_after; t++) {
            const sunup_tensor w = tensor_of(&p, golden_after[t].name);
            for (int64_t i = 0; i < sunup__elements(&w.shape); i++)
                if (!(fabs(((const float *)w.data)[i] - golden_after[t].x[i]) <= 3e-5))
                    fail_msg("%d parts: %s[%d] is %.9g, PyTorch has %.9g", parts, w.name, (int)i,
                             (double)((const float *)w.data)[i], golden_after[t].x[i]);
        }
        end(&p);
    }
}

/* What the bound must see: statistics of half a batch. */
static void shards_have_statistics_of_their_own(void **state)
{
    (void)state;
    struct problem p;
    sunup_metrics m;
    assert_int_equal(start(&p, 2, 4), SUNUP_OK);
    assert_int_equal(sunup_trainer_step(p.trainer, &m), SUNUP_OK);
    assert_true(fabs(m.loss - golden_loss[0]) > 1e-3);
    end(&p);
}

/* Evaluation has no batch statistics: it does not depend on how batches are cut, nor does a last, small one. */
static void evaluation_takes_any_number_of_samples(void **state)
{
    (void)state;
    double loss[2];
    for (int i = 0; i < 2; i++) {
        struct problem p;
        sunup_metrics m;
        sunup_data *few;
        assert_int_equal(start(&p, 1, i == 0 ? 1 : 8), SUNUP_OK);
        const sunup_tensor fields[] = {{.name = "x",
                                        .dtype = SUNUP_F32,
                                        .shape = SUNUP_SHAPE(5, IN),
                                        .data = (void *)(uintptr_t)golden_x},
                                       {.name = "label",
                                        .dtype = SUNUP_I32,
                                        .shape = SUNUP_SHAPE(5),
                                        .data = (void *)(uintptr_t)golden_label}};
        assert_int_equal(sunup_data_from_memory(p.ctx, 2, fields, &few), SUNUP_OK);
        assert_int_equal(sunup_trainer_evaluate(p.trainer, few, &m), SUNUP_OK);
        loss[i] = m.loss;
        sunup_data_destroy(&few);
        end(&p);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-6);
}

static void unequal_parts_are_refused(void **state)
{
    (void)state;
    struct problem p;
    assert_int_equal(start(&p, 2, 16), SUNUP_E_ARGUMENT);
    assert_non_null(
        strstr(sunup_error(p.ctx), "the 8 samples of a shard do not fall into 16 equal parts"));
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_of_the_whole_batch),
        cmocka_unit_test(shards_have_statistics_of_their_own),
        cmocka_unit_test(evaluation_takes_any_number_of_samples),
        cmocka_unit_test(unequal_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
