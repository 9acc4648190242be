/* facts.c - what `--json` tells of a training beside its result: times of steps, exact counters, the kernels chosen.
 *
 * For programs that compare runs: times in samples, so that they can be tested; counters, of which a change is a fact.
 * docs/run-file.md lists the fields. Counters are rank 0's, and per step the mean over the steps after the first, in
 * which memory is still taken and kernels are still made.
 */
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/system.h"
#include "facts.h"
#include "train/train.h"

void facts_step(struct facts *f, double step_s)
{
    if (f->steps++ == 0)
        f->first_step_s = sunup__now_s() - f->start_s;
    else
        f->step_s[(f->steps - 2) % FACTS_STEPS] = step_s;
}

static int64_t kept(const struct facts *f)
{
    const int64_t n = f->steps - 1;
    return n < FACTS_STEPS ? n : FACTS_STEPS;
}

/* In the order in which they were made. */
static json_t *step_times(const struct facts *f)
{
    json_t *j = json_array();
    for (int64_t n = kept(f), i = f->steps - 1 - n; i < f->steps - 1; i++)
        (void)json_array_append_new(j, json_real(f->step_s[i % FACTS_STEPS]));
    return j;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void put_times(json_t *j, const struct facts *f, double samples)
{
    double sorted[FACTS_STEPS];
    const int64_t n = kept(f);
    (void)json_object_set_new(j, "step_s", step_times(f));
    if (f->steps < 1) return;
    (void)json_object_set_new(j, "first_step_s", json_real(f->first_step_s));
    if (n < 1) return;
    memcpy(sorted, f->step_s, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    (void)json_object_set_new(j, "samples_per_s", json_real(samples / sorted[n / 2]));
}

static void put_kernels(json_t *j, const sunup_trainer *t)
{
    char hash[20];
    json_t *makers = json_object();
    const sunup_plan *plan = sunup__trainer_plan(t);
    for (int i = 0; i < plan->n_steps; i++) {
        const char *name = plan->steps[i].maker->name;
        const json_int_t n = json_integer_value(json_object_get(makers, name));
        (void)json_object_set_new(makers, name, json_integer(n + 1));
    }
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)sunup__train_kernels(t));
    (void)json_object_set_new(j, "kernels", json_string(hash));
    (void)json_object_set_new(j, "makers", makers);
}

static void put_step_counts(json_t *j, const struct step_counts *c)
{
    const struct {
        const char *name;
        int64_t n;
    } entries[] = {{"step_allocations", c->sum.allocations},
                   {"collectives", c->sum.count[COUNT_COLLECTIVES]},
                   {"meetings", c->sum.count[COUNT_MEETINGS]},
                   {"messages", c->sum.count[COUNT_MESSAGES]},
                   {"sent_bytes", c->sum.count[COUNT_SENT_BYTES]},
                   {"instructions", c->sum.instructions}};
    for (size_t i = 0; i < sizeof entries / sizeof *entries && c->steps > 0; i++)
        if (entries[i].n >= 0)
            (void)json_object_set_new(j, entries[i].name,
                                      json_real((double)entries[i].n / (double)c->steps));
}

static json_t *counters(struct command *c, const struct session *s)
{
    const sunup_plan_info plan = sunup_plan_describe(sunup__trainer_plan(s->trainer));
    const int64_t bytes = sunup__trainer_bytes(s->trainer, sunup_comm_ranks(c->comm));
    json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:f, s:I}", "files_opened",
                          (json_int_t)sunup__counted(COUNT_FILES), "allocations",
                          (json_int_t)sunup__allocations(), "planned_bytes", (json_int_t)bytes,
                          "arena_bytes", (json_int_t)plan.arena_bytes, "flops",
                          plan.flops * s->run.o.shards * s->run.o.accumulate, "plan_steps",
                          (json_int_t)plan.steps);
    put_step_counts(j, sunup__trainer_counts(s->trainer));
    return j;
}

void facts_put(json_t *j, struct command *c, const struct session *s, const struct facts *f)
{
    put_times(j, f, (double)s->run.o.batch * s->run.o.accumulate);
    put_kernels(j, s->trainer);
    (void)json_object_set_new(j, "counters", counters(c, s));
}
