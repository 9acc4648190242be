/* nonfinite.c - which layer, on which rank, made the first number that is not finite.
 *
 * The step that failed is repeated on this rank's shards, one plan step at a time, looking at each result. That costs
 * nothing while all goes well, and the weights are still those before the step. The report of the lowest rank that
 * finds something is what every rank returns.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/trainer.h"

/* What each rank tells the others; text "": nothing was found. */
struct report {
    char text[400], layer[96];
};

static int64_t first_bad(const sunup_value *v, const void *p)
{
    const int64_t n = sunup__elements(&v->shape);
    for (int64_t i = 0; i < n; i++) {
        if (v->dtype == SUNUP_F32 && !isfinite(((const float *)p)[i])) return i;
        if (v->dtype == SUNUP_F64 && !isfinite(((const double *)p)[i])) return i;
    }
    return -1;
}

/* Inputs and weights first: then no layer is to blame. */
static bool bad_source(const sunup_trainer *t, struct report *report)
{
    const sunup_plan *plan = t->pass->plan;
    for (int i = 0; i < plan->n_placed; i++) {
        const struct placed *p = &plan->placed[i];
        if (p->value == NULL || sunup__source(p->value) == NULL || p->memory == NULL) continue;
        const int64_t at = first_bad(p->value, p->memory);
        if (at < 0) continue;
        (void)snprintf(report->text, sizeof report->text,
                       "'%s' itself holds a number that is not finite (element %lld)",
                       p->value->name, (long long)at);
        (void)snprintf(report->layer, sizeof report->layer, "%s", p->value->name);
        return true;
    }
    return false;
}

/* In a group of ranks the others need the rest of this one's steps. */
static bool bad_step(const sunup_trainer *t, const sunup_random_key *key, struct report *report)
{
    const sunup_plan *plan = t->pass->plan;
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < plan->n_steps && status == SUNUP_OK; i++) {
        const struct step *s = &plan->steps[i];
        status = sunup__step_run(s, key);
        if (status != SUNUP_OK || report->text[0] != '\0') continue;
        for (int o = 0; o < s->node->n_out; o++) {
            if (s->out[o] == NULL) continue;
            const int64_t at = first_bad(s->node->out[o], s->out[o]);
            if (at < 0) continue;
            (void)snprintf(report->text, sizeof report->text,
                           "layer '%s' (%s, step %d of the plan) made it first, at element %lld",
                           s->node->layer, s->node->op->name, i, (long long)at);
            (void)snprintf(report->layer, sizeof report->layer, "%s", s->node->layer);
            if (t->halo == NULL) return true;
        }
    }
    (void)sunup__settle(t, status);
    return report->text[0] != '\0';
}

static void search(sunup_trainer *t, const struct batch *b, struct report *report)
{
    for (int s = t->from; s < t->to; s++) {
        if (sunup__pass_load(t->pass, b->data[s - t->from]) != SUNUP_OK) return;
        const sunup_random_key key = {
            .seed = t->o.seed, .step = (uint64_t)b->number, .sample = s * t->pass->count};
        if (bad_source(t, report) && t->halo == NULL) return;
        if (bad_step(t, &key, report)) return;
    }
}

/* rank < 0: none has found it. */
static sunup_status tell(sunup_trainer *t, int rank, const struct report *r)
{
    (void)sunup__raise(t->ctx, SUNUP_E_NAN,
                       "step %lld: the loss is not finite; rank %d: %s. Try a lower lr, clip_norm, or "
                       "look at the data; the weights are those before this step",
                       (long long)t->step, rank >= 0 ? rank : 0,
                       rank >= 0 ? r->text
                                 : "no single layer can be named: the sum over shards is what is "
                                   "not finite");
    sunup__blame(t->ctx, rank, rank >= 0 ? r->layer : NULL, NULL);
    return SUNUP_E_NAN;
}

sunup_status sunup__train_find_nan(sunup_trainer *t, const struct batch *b)
{
    const int ranks = sunup_comm_ranks(t->comm);
    struct report mine = {.text = ""};
    search(t, b, &mine);
    struct report *all = sunup__alloc((size_t)ranks * sizeof *all);
    CHECK(all != NULL, t->ctx, E_MEMORY, "no memory for the report of a loss that is not finite");
    sunup_status status =
        sunup__comm_gather(t->comm, &mine, sizeof mine, all, "report of a loss that is not finite");
    int rank = 0;
    while (status == SUNUP_OK && rank < ranks && all[rank].text[0] == '\0') rank++;
    if (status == SUNUP_OK) status = tell(t, rank < ranks ? rank : -1, &all[rank < ranks ? rank : 0]);
    sunup__free(all);
    return status;
}
