/* overlap.c - gradients leave while the backward pass still computes others.
 *
 * Owes: after each step of the plan, in the last shard of this rank, the exchange learns how many elements of the
 * flat array are complete; it sends and lands what it can and does not wait. The flat array has the parameters in
 * the order in which the backward pass finishes them, so what is complete is a beginning of it.
 * Invariant: what is said to be complete is not written again; bits do not depend on it.
 */
#include "base/memory.h"
#include "train/trainer.h"

/* complete[i]: elements that are final after step i. Parameters ascend in memory as their index descends. */
sunup_status sunup__follow_gradients(sunup_trainer *t)
{
    const sunup_model *m = t->model;
    const sunup_plan *plan = t->pass->plan;
    const int64_t n = m->n_flat_parameters;
    t->complete = sunup__arena_alloc(&t->arena, (size_t)(plan->n_steps + 1) * sizeof *t->complete);
    CHECK(t->complete != NULL, t->ctx, E_MEMORY, "no memory to follow %d steps", plan->n_steps);
    int last = -1;
    for (int i = m->n_trained - 1; i >= 0; i--) {
        const int step = sunup__plan_writer(plan, t->pass->gradients[i]);
        const int64_t end = i > 0 ? sunup__model_trained(m, i - 1)->at : n;
        last = step > last ? step : last;
        if (last >= 0) t->complete[last] = end;
    }
    for (int i = 1; i < plan->n_steps; i++)
        if (t->complete[i] < t->complete[i - 1]) t->complete[i] = t->complete[i - 1];
    return SUNUP_OK;
}

static void passed(void *trainer, int step)
{
    const sunup_trainer *t = trainer;
    sunup__exchange_ready(t->exchange, t->complete[step]);
}

void sunup__overlap(sunup_trainer *t, bool on)
{
    const bool others = sunup_comm_ranks(t->comm) > 1;
    sunup__plan_watch(t->pass->plan, on && others ? passed : NULL, t);
}
