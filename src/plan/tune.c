/* tune.c - measuring: every maker that can, on the plan's own operands, and the fastest one
 * remembered.
 *
 * Makers of a step take turns, so that a change of the machine's speed meets all alike, and the
 * least time of each counts. The first maker (what is used without a file) stays unless another one
 * is faster by MARGIN: noise must not make choices. What the plan's values hold afterwards is not
 * specified; plans made from then on use the choices.
 */
#include <string.h>

#include "base/system.h"
#include "plan/stages.h"

enum { MAKERS = 32, ROUNDS = 7 };
static const double MARGIN = 0.98;

struct trial {
    struct step step;
    double least_s;
};

static void end_trials(struct trial *trials, int n)
{
    for (int i = 0; i < n; i++) {
        struct step *s = &trials[i].step;
        if (s->end != NULL) s->end(s);
        if (s->workspace != NULL) s->device->ops->free(s->device, s->workspace);
    }
}

static sunup_status prepare(const struct step *of, const struct maker *maker, struct trial *t)
{
    struct device *d = of->device;
    *t = (struct trial){.step = *of, .least_s = 1e300};
    t->step.maker = maker;
    t->step.run = NULL;
    t->step.end = NULL;
    t->step.data = t->step.workspace = t->step.prepared = NULL;
    t->step.workspace_bytes = t->step.prepared_bytes = 0;
    t->step.prepare = NULL;
    t->step.stays = NULL; /* preparing counts: a rank with one shard a step does it in each run */
    TRY(maker->make(d, of->node, &t->step));
    if (t->step.workspace_bytes > 0)
        TRY(d->ops->alloc(d, t->step.workspace_bytes, &t->step.workspace));
    return SUNUP_OK;
}

static sunup_status race(struct trial *trials, int n)
{
    const sunup_random_key key = {0};
    for (int round = 0; round <= ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            const double start_s = sunup__now_s();
            TRY(trials[i].step.run(&trials[i].step, &key));
            const double time_s = sunup__now_s() - start_s;
            if (round > 0 && time_s < trials[i].least_s) trials[i].least_s = time_s;
        }
    return SUNUP_OK;
}

static sunup_status tune_step(sunup_plan *p, const struct step *s)
{
    const struct maker *list[MAKERS];
    const int n = sunup__makers(p->device, s->node, list, MAKERS);
    if (n < 2) return SUNUP_OK;
    struct trial trials[MAKERS];
    sunup_status status = SUNUP_OK;
    int made = 0;
    while (made < n && status == SUNUP_OK) {
        status = prepare(s, list[made], &trials[made]);
        made++;
    }
    if (status == SUNUP_OK) status = race(trials, n);
    int best = 0;
    for (int i = 1; i < n && status == SUNUP_OK; i++) {
        const double limit_s = trials[best].least_s * (best == 0 ? MARGIN : 1);
        if (trials[i].least_s < limit_s) best = i;
    }
    end_trials(trials, made);
    if (status != SUNUP_OK) return status;
    char problem[PROBLEM_TEXT];
    sunup__problem_text(s->node, problem, sizeof problem);
    return sunup__tuning_set(p->ctx, problem, list[best]->name);
}

/* True: a step before s asks the same question. */
static bool asked(const sunup_plan *p, int s)
{
    char mine[PROBLEM_TEXT], other[PROBLEM_TEXT];
    sunup__problem_text(p->steps[s].node, mine, sizeof mine);
    for (int i = 0; i < s; i++) {
        if (p->steps[i].node->op != p->steps[s].node->op) continue;
        sunup__problem_text(p->steps[i].node, other, sizeof other);
        if (strcmp(mine, other) == 0) return true;
    }
    return false;
}

sunup_status sunup__plan_tune(sunup_plan *p)
{
    const struct device_ops *ops = p->device->ops;
    CHECK(!p->dry && ops->before == NULL && ops->after == NULL, p->ctx, E_UNSUPPORTED,
          "the device '%s' watches its steps: times on it say nothing; tune on another", ops->name);
    const sunup_value *unfilled = sunup__plan_unfilled(p);
    char name[PLAN_NAME];
    CHECK(unfilled == NULL, p->ctx, E_ARGUMENT, "%s has no numbers: tuning runs every step",
          sunup__value_text(unfilled, name));
    const sunup_random_key key = {0};
    for (int i = 0; i < p->n_steps; i++) {
        if (!asked(p, i)) TRY(tune_step(p, &p->steps[i]));
        if (p->steps[i].prepared != NULL) p->steps[i].prepare(&p->steps[i]);
        TRY(p->steps[i].run(&p->steps[i], &key));
    }
    return SUNUP_OK;
}
