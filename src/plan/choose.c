/* choose.c - fourth stage: a maker for every step.
 *
 * Without a tuning file it is the device's first maker that can, which is a function of the node
 * alone; with one, the maker that the file names for this problem, if the device still has it and
 * it still can.
 */
#include <string.h>

#include "plan/stages.h"

enum { MAKERS = 32 };

/* Operands that no run writes and the caller changes seldom: parameters and constants, or views of one. */
static sunup_status mark_stays(sunup_plan *p, struct step *s)
{
    const struct node *n = s->node;
    bool *stays = plan_alloc(p, n->n_in, sizeof *stays);
    NEED(p, stays);
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] == NULL) continue;
        const struct source_attr *source =
            sunup__source(p->placed[p->placed[n->in[k]->id].root].value);
        stays[k] = source != NULL &&
                   (source->kind == SOURCE_PARAMETER || source->kind == SOURCE_CONSTANT);
    }
    s->stays = stays;
    return SUNUP_OK;
}

static sunup_status make(sunup_plan *p, struct step *s)
{
    const struct node *n = s->node;
    const struct maker *list[MAKERS];
    const int found = sunup__makers(p->device, n, list, MAKERS);
    CHECK(found > 0, p->ctx, E_UNSUPPORTED, "%s '%s': the device '%s' has no way to compute it",
          n->op->name, n->layer, p->device->ops->name);
    s->device = p->device;
    if (p->weights_stay) TRY(mark_stays(p, s));
    s->maker = list[0];
    const char *tuned = sunup__tuned(p->ctx, n);
    for (int i = 0; tuned != NULL && i < found; i++)
        if (strcmp(list[i]->name, tuned) == 0) s->maker = list[i];
    return s->maker->make(p->device, n, s);
}

sunup_status sunup__plan_choose(sunup_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        TRY(make(p, &p->steps[i]));
        const struct cost cost = sunup__node_cost(p->steps[i].node);
        p->flops += cost.flops;
        p->bytes += cost.bytes;
    }
    return SUNUP_OK;
}
