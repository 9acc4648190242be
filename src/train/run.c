/* run.c - a whole run: steps, and what is due between them - evaluations, records, checkpoints, a clean stop.
 *
 * Invariant: whatever the moment at which a run ends, its newest checkpoint and the steps after it give the bits of
 * the run that was never interrupted. So nothing here may depend on when the process started.
 */
#include <math.h>

#include "train/trainer.h"

/* Means over the steps of an epoch, for the table that people read; a resumed run's are over its part. */
struct epoch_mean {
    double loss, accuracy;
    int64_t n;
};

static void add_step(struct epoch_mean *e, const sunup_metrics *m)
{
    e->loss += m->loss;
    e->accuracy += m->accuracy;
    e->n++;
}

static void tell_epoch(const sunup_trainer *t, struct epoch_mean *e, const sunup_metrics *last_step,
                       const sunup_metrics *eval)
{
    sunup_metrics m = *last_step;
    if (e->n > 0) {
        m.loss = e->loss / (double)e->n;
        m.accuracy = e->accuracy / (double)e->n;
    }
    *e = (struct epoch_mean){0};
    if (t->hooks.epoch != NULL) t->hooks.epoch(t->hooks.arg, &m, eval);
}

/* After the last step of an epoch: evaluation (once, also if the run stopped right here), schedule, checkpoint. */
static sunup_status end_epoch(sunup_trainer *t, sunup_data *eval, const sunup_metrics *train,
                              sunup_metrics *last)
{
    const int64_t epoch = t->step / t->steps_per_epoch;
    if (eval != NULL && t->evaluated < epoch) {
        TRY(sunup_trainer_evaluate(t, eval, last));
        sunup__schedule_feed(&t->schedule, last->loss);
        sunup__record_evaluation(t->recorder, train, last);
    }
    t->evaluated = epoch;
    return sunup__checkpoint_keep(t);
}

/* One step and all that is due after it. */
static sunup_status run_step(sunup_trainer *t, sunup_data *eval, struct epoch_mean *mean,
                             sunup_metrics *m, sunup_metrics *e)
{
    TRY(sunup_trainer_step(t, m));
    add_step(mean, m);
    const int64_t in_epoch = (t->step - 1) % t->steps_per_epoch + 1;
    if (t->hooks.step != NULL) t->hooks.step(t->hooks.arg, m, in_epoch, t->steps_per_epoch);
    if (t->o.log_steps > 0 && t->step % t->o.log_steps == 0) sunup__record_step(t->recorder, m);
    if (in_epoch == t->steps_per_epoch && !t->stopping) {
        TRY(end_epoch(t, eval, m, e));
        tell_epoch(t, mean, m, eval != NULL ? e : NULL);
    } else if (t->o.checkpoint_steps > 0 && fmod((double)t->step, t->o.checkpoint_steps) == 0) {
        return sunup__checkpoint_keep(t);
    }
    return SUNUP_OK;
}

/* A run that max_steps ends inside an epoch is evaluated too, and so is one that was complete when resumed. */
static sunup_status end_run(sunup_trainer *t, sunup_data *eval, struct epoch_mean *mean,
                            const sunup_metrics *m, sunup_metrics *e)
{
    const bool inside = t->step % t->steps_per_epoch != 0;
    if (inside) TRY(sunup__checkpoint_keep(t));
    if (eval != NULL && isnan(e->loss)) {
        TRY(sunup_trainer_evaluate(t, eval, e));
        if (inside) sunup__record_evaluation(t->recorder, m, e);
    }
    if (mean->n > 0) tell_epoch(t, mean, m, eval != NULL ? e : NULL);
    TRY(sunup__trace_write(t));
    return sunup__record_report(t->recorder, t, eval);
}

sunup_status sunup_trainer_run(sunup_trainer *t, sunup_data *eval, sunup_metrics *last)
{
    sunup__take_weights(t);
    TRY(sunup__checkpoint_claim(t));
    sunup_metrics m = {.step = t->step, .loss = NAN, .accuracy = NAN, .grad_norm = NAN}, e = m;
    struct epoch_mean mean = {0};
    const bool at_end = t->step > 0 && t->step % t->steps_per_epoch == 0;
    if (at_end && t->evaluated < t->step / t->steps_per_epoch) TRY(end_epoch(t, eval, &m, &e));
    while (t->step < t->total_steps && !t->stopping) {
        if (eval != NULL) e.loss = NAN; /* what was evaluated is no longer the newest */
        TRY(run_step(t, eval, &mean, &m, &e));
    }
    if (t->stopping) {
        TRY(sunup__checkpoint_keep(t));
        RAISE(t->ctx, E_STOPPED, "stopped on request after step %lld; resume with --resume",
              (long long)t->step);
    }
    TRY(end_run(t, eval, &mean, &m, &e));
    if (last != NULL) *last = eval != NULL ? e : m;
    return SUNUP_OK;
}

void sunup_trainer_stop(sunup_trainer *t)
{
    t->stop = 1;
}
