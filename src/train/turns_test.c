/* turns_test.c - several trainers of one model: in turns they do what trainers that are made anew for each step do;
 * each leaves what it has frozen, keeps its own moments and position, and goes on from checkpoints; losses by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/train.h"

enum { SAMPLES = 16, IN = 3, PLAYERS = 2, TURNS = 6 };

struct problem {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_trainer *player[PLAYERS];
};

/* Each loss depends on both towers; the norm has states, which both move. The towers are of unlike sizes, so the flat
 * array of weights has another order for each player. */
static sunup_status build(sunup_graph *g, void *arg)
{
    (void)arg;
    sunup_value *x = sunup_input(g, "x", SUNUP_F32, SUNUP_SHAPE(sunup_graph_batch(g), IN));
    sunup_value *a = sunup_layer_batch_norm(sunup_layer_linear(x, "a.fc", 5, true), "a.norm");
    sunup_value *b = sunup_tanh(sunup_layer_linear(sunup_tanh(a), "b.fc", 2, true));
    sunup_graph_output(g, "output", b);
    sunup_graph_output(g, "first_loss", sunup_mean(sunup_square(b), 0, NULL, false));
    sunup_graph_output(g, "second_loss", sunup_mean(sunup_neg(sunup_exp(b)), 0, NULL, false));
    return sunup_graph_finish(g);
}

static sunup_train_options options(int player, const char *type)
{
    static const char *const frozen[] = {"b.*", "a.*"};
    sunup_train_options o = sunup_train_defaults();
    o.batch = SAMPLES; /* all of them in each step: where a player is in the data does not matter */
    o.shards = 2;
    o.shuffle = false;
    o.epochs = 1000;
    o.loss = player == 0 ? "first_loss" : "second_loss";
    o.freeze = &frozen[player];
    o.n_freeze = 1;
    o.optimizer.type = type;
    o.optimizer.lr = 0.1;
    return o;
}

static void start(struct problem *p)
{
    static float x[SAMPLES][IN];
    for (int i = 0; i < SAMPLES * IN; i++) x[i / IN][i % IN] = (float)(i * 7 % 11 - 5) / 4;
    const sunup_tensor field = {"x", SUNUP_F32, SUNUP_SHAPE(SAMPLES, IN), x};
    *p = (struct problem){0};
    assert_int_equal(sunup_context_create(NULL, &p->ctx), SUNUP_OK);
    assert_int_equal(sunup_data_from_memory(p->ctx, 1, &field, &p->data), SUNUP_OK);
    assert_int_equal(sunup_model_create(p->ctx, build, NULL, 1, &p->model), SUNUP_OK);
}

static void join(struct problem *p, int player, const char *type)
{
    const sunup_train_options o = options(player, type);
    if (sunup_trainer_create(p->model, p->data, NULL, &o, &p->player[player]) != SUNUP_OK)
        fail_msg("%s", sunup_error(p->ctx));
}

static void end(struct problem *p)
{
    for (int i = 0; i < PLAYERS; i++) sunup_trainer_destroy(&p->player[i]);
    sunup_model_destroy(&p->model);
    sunup_data_destroy(&p->data);
    sunup_context_destroy(&p->ctx);
}

/* Two steps of the first player to one of the second. */
static int whose(int turn)
{
    return turn % 3 == 2;
}

static void step(struct problem *p, int player)
{
    if (sunup_trainer_step(p->player[player], NULL) != SUNUP_OK)
        fail_msg("%s", sunup_error(p->ctx));
}

static void turns_are_steps_of_new_trainers(void **state)
{
    (void)state;
    struct problem p, anew;
    start(&p);
    start(&anew);
    for (int i = 0; i < PLAYERS; i++) join(&p, i, "sgd");
    for (int turn = 0; turn < TURNS; turn++) {
        const uint64_t before = sunup_model_hash(p.model);
        step(&p, whose(turn));
        join(&anew, whose(turn), "sgd");
        step(&anew, whose(turn));
        sunup_trainer_destroy(&anew.player[whose(turn)]);
        assert_true(sunup_model_hash(p.model) != before);
        assert_true(sunup_model_hash(p.model) == sunup_model_hash(anew.model));
    }
    sunup_trainer_destroy(&p.player[1]); /* while the other one has the weights, and then alone */
    step(&p, 0);
    sunup_trainer_destroy(&p.player[0]);
    join(&anew, 0, "sgd");
    step(&anew, 0);
    assert_true(sunup_model_hash(p.model) == sunup_model_hash(anew.model));
    end(&p);
    end(&anew);
}

static void copy_weights(const sunup_model *m, float to[4][16])
{
    sunup_tensor t;
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"a.fc.weight", "a.fc.bias", "b.fc.weight", "b.fc.bias"};
        for (int k = 0; sunup_model_tensor(m, k, &t) == SUNUP_OK; k++)
            if (strcmp(t.name, names[i]) == 0)
                memcpy(to[i], t.data, (size_t)sunup__elements(&t.shape) * sizeof(float));
    }
}

static void each_leaves_the_others_weights(void **state)
{
    (void)state;
    struct problem p;
    float before[4][16] = {{0}}, after[4][16] = {{0}};
    start(&p);
    for (int i = 0; i < PLAYERS; i++) join(&p, i, "adam");
    for (int turn = 0; turn < TURNS; turn++) {
        copy_weights(p.model, before);
        step(&p, whose(turn));
        copy_weights(p.model, after);
        for (int i = 0; i < 4; i++)
            assert_true((memcmp(before[i], after[i], sizeof before[i]) == 0) ==
                        (i / 2 != whose(turn)));
    }
    end(&p);
}

static void all_go_on_from_checkpoints(void **state)
{
    (void)state;
    char path[PLAYERS][64];
    struct problem whole, again;
    start(&whole);
    start(&again);
    for (int i = 0; i < PLAYERS; i++) {
        (void)snprintf(path[i], sizeof path[i], "/tmp/sunup-turns-%d-%d.safetensors", (int)getpid(),
                       i);
        join(&whole, i, "adam");
        join(&again, i, "adam");
    }
    for (int turn = 0; turn < 2 * TURNS; turn++) {
        for (int i = 0; i < PLAYERS && turn == TURNS; i++)
            assert_int_equal(sunup_trainer_save(whole.player[i], path[i]), SUNUP_OK);
        step(&whole, whose(turn));
    }
    for (int i = 0; i < PLAYERS; i++) {
        if (sunup_trainer_restore(again.player[i], path[i]) != SUNUP_OK)
            fail_msg("%s", sunup_error(again.ctx));
        (void)unlink(path[i]);
    }
    for (int turn = TURNS; turn < 2 * TURNS; turn++) step(&again, whose(turn));
    assert_true(sunup_model_hash(whole.model) == sunup_model_hash(again.model));
    end(&whole);
    end(&again);
}

/* An evaluation by one player is of the weights that the other one has just moved. */
static void evaluation_sees_the_newest_weights(void **state)
{
    (void)state;
    struct problem p;
    sunup_metrics before, after, same;
    start(&p);
    for (int i = 0; i < PLAYERS; i++) join(&p, i, "sgd");
    assert_int_equal(sunup_trainer_evaluate(p.player[0], p.data, &before), SUNUP_OK);
    step(&p, 1);
    assert_int_equal(sunup_trainer_evaluate(p.player[0], p.data, &after), SUNUP_OK);
    assert_true(after.loss != before.loss);
    const uint64_t hash = sunup_model_hash(p.model);
    sunup_trainer_destroy(&p.player[0]);
    join(&p, 0, "sgd");
    assert_true(sunup_model_hash(p.model) == hash);
    assert_int_equal(sunup_trainer_evaluate(p.player[0], p.data, &same), SUNUP_OK);
    assert_true(after.loss == same.loss);
    end(&p);
}

static void losses_are_known(void **state)
{
    (void)state;
    struct problem p;
    start(&p);
    sunup_train_options o = options(0, "sgd");
    o.loss = "third_loss";
    assert_int_equal(sunup_trainer_create(p.model, p.data, NULL, &o, &p.player[0]),
                     SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(p.ctx), "there is no loss 'third_loss'"));
    o.loss = "output";
    assert_int_equal(sunup_trainer_create(p.model, p.data, NULL, &o, &p.player[0]), SUNUP_E_SHAPE);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_steps_of_new_trainers),
        cmocka_unit_test(each_leaves_the_others_weights),
        cmocka_unit_test(all_go_on_from_checkpoints),
        cmocka_unit_test(evaluation_sees_the_newest_weights),
        cmocka_unit_test(losses_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
