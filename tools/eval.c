/* eval.c - `sunup eval RUN.yaml`: trained weights on the evaluation data. */
#include <math.h>
#include <string.h>

#include "program.h"
#include "train/train.h"

/* --weights, or the newest checkpoint of the run folder. A checkpoint holds more than weights; only they are read. */
static sunup_status load_weights(struct command *c, struct session *s)
{
    if (c->weights == NULL && run_file_has_weights(&s->run, s->model)) return SUNUP_OK;
    if (c->weights == NULL) return sunup_trainer_restore(s->trainer, NULL);
    return sunup_comm_agree(c->comm, sunup_model_load_weights(s->model, c->weights));
}

static sunup_status eval(struct command *c, struct session *s)
{
    CHECK(s->eval != NULL, c->ctx, E_ARGUMENT, "%s: names no evaluation data (data.eval)",
          s->run.path);
    TRY(load_weights(c, s));
    sunup_metrics m;
    TRY(sunup_trainer_evaluate(s->trainer, s->eval, &m));
    if (sunup_comm_rank(c->comm) != 0) return SUNUP_OK;
    if (c->json) {
        json_t *j = metrics_json(&m);
        (void)json_object_set_new(j, "samples", json_integer(sunup_data_samples(s->eval)));
        print_json(j);
        return SUNUP_OK;
    }
    (void)printf("  %lld samples, loss %.4f", (long long)sunup_data_samples(s->eval), m.loss);
    if (isfinite(m.accuracy)) (void)printf(", accuracy %.4f", m.accuracy);
    (void)printf(", %.1f s\n", m.step_s);
    show_confusion(sunup__trainer_confusion(s->trainer));
    return SUNUP_OK;
}

int verb_eval(struct command *c)
{
    struct session s;
    sunup_status status = session_open(c, &s);
    if (status == SUNUP_OK) status = eval(c, &s);
    const int result = status == SUNUP_OK ? 0 : fail(c, status);
    session_close(&s);
    return result;
}
