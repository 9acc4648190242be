/* planted.c - what planted faults (base/fault.h) do to the steps of a plan: some take longer, some make NaN.
 *
 * Owes: the way in which a step runs where faults may be planted; whoever runs steps one by one (a watched run, the
 * search for a NaN, a benchmark) calls it. Cost without faults: a look at a pointer a step, and nothing in a plain run.
 */
#include <math.h>
#include <string.h>

#include "base/fault.h"
#include "base/system.h"
#include "plan/stages.h"

/* Every layer's, so that none can hide it (the larger of two numbers may be the other). */
static void poison(const struct step *s)
{
    for (int i = 0; s->node->layer[0] != '\0' && i < s->node->n_out; i++) {
        if (s->out[i] == NULL) continue;
        if (s->node->out[i]->dtype == SUNUP_F32) *(float *)s->out[i] = NAN;
        if (s->node->out[i]->dtype == SUNUP_F64) *(double *)s->out[i] = NAN;
    }
}

sunup_status sunup__step_run(const struct step *s, const sunup_random_key *key)
{
    const sunup_context *ctx = s->device->ctx;
    if (ctx->faults == NULL) return s->run(s, key);
    const double from_s = sunup__now_s();
    TRY(s->run(s, key));
    sunup__fault_slow(ctx, s->node->op->name, from_s);
    if (ctx->faults->poisoned) poison(s);
    return SUNUP_OK;
}

/* An op that does not exist would be slowed down by nothing, without a word. */
sunup_status sunup__plan_faults(const sunup_plan *p)
{
    sunup_context *ctx = p->ctx;
    for (int i = 0; ctx->faults != NULL && i < ctx->faults->n; i++) {
        const char *op = ctx->faults->list[i].op;
        CHECK(op[0] == '\0' || strcmp(op, "*") == 0 || sunup__op_find(op) != NULL, ctx, E_ARGUMENT,
              "SUNUP_FAULT: there is no op '%s'; sunup plan RUN.yaml lists those of a run", op);
    }
    return SUNUP_OK;
}
