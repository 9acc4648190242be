/* bench_profile.c - `sunup bench profile RUN.yaml...`: where the time of a training step goes.
 *
 * The slowest steps of the plan first, alike ones summed: how often, their share of the whole, and
 * their share of what bounds them. Then what lies outside the plan: data, sums, optimizer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "bench.h"
#include "plan/plan.h"
#include "train/train.h"

enum { WARM = 3, LEAST_STEPS = 5, MOST_STEPS = 2000 };

/* Plan steps of one problem and maker. */
struct line {
    char problem[PROBLEM_TEXT];
    const char *maker, *layer;
    int count;
    double seconds, flops, bytes;
};

struct profile {
    struct bench *b;
    struct line *lines;
    int n;
    double step_s, plan_s; /* of the mean training step */
};

/* seconds: of all `runs` of the plan in a training step. */
static void add(struct profile *p, const struct step *s, double runs, double seconds)
{
    const struct cost cost = sunup__node_cost(s->node);
    struct line new = {.maker = s->maker->name, .layer = s->node->layer};
    sunup__problem_text(s->node, new.problem, sizeof new.problem);
    int i = 0;
    while (i < p->n && (strcmp(p->lines[i].problem, new.problem) != 0 ||
                        strcmp(p->lines[i].maker, new.maker) != 0))
        i++;
    if (i == p->n) p->lines[p->n++] = new;
    struct line *l = &p->lines[i];
    l->count++;
    l->seconds += seconds;
    l->flops += runs * cost.flops;
    l->bytes += runs * cost.bytes;
    p->plan_s += seconds;
}

static int slowest_first(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* Least seconds by the two ceilings. */
static double bound_s(const struct ceilings *top, const struct line *l)
{
    const double by_flops = l->flops / top->flops_per_s,
                 by_bytes = l->bytes / top->copy_bytes_per_s;
    return by_flops > by_bytes ? by_flops : by_bytes;
}

static void show_line(const struct profile *p, const struct line *l)
{
    const double bound = bound_s(&p->b->top, l);
    const bool by_memory = l->bytes / p->b->top.copy_bytes_per_s >= bound;
    (void)printf("  %8.3f ms %5.1f %% x%-3d %7.1f %-7s %4.0f %% of %-4s  %-24s %-60s %s\n",
                 1e3 * l->seconds, 100 * l->seconds / p->step_s, l->count,
                 1e-9 * (by_memory ? l->bytes : l->flops) / l->seconds,
                 by_memory ? "GB/s" : "GFLOP/s", 100 * bound / l->seconds,
                 by_memory ? "copy" : "FMA", l->maker, l->problem, l->layer);
}

static json_t *line_json(const struct profile *p, const struct line *l)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f}", "problem", l->problem, "maker",
                     l->maker, "layer", l->layer, "count", l->count, "seconds", l->seconds, "flops",
                     l->flops, "bytes", l->bytes, "share", bound_s(&p->b->top, l) / l->seconds);
}

static void print_lines(const struct profile *p, const char *run_file)
{
    (void)printf("  %s: %.3f ms a step, of them %.3f in %d kinds of plan steps\n", run_file,
                 1e3 * p->step_s, 1e3 * p->plan_s, p->n);
    for (int i = 0; i < p->n; i++) show_line(p, &p->lines[i]);
    const double rest = p->step_s - p->plan_s;
    (void)printf("  %8.3f ms %5.1f %% outside the plan: data, sums of gradients, optimizer\n",
                 1e3 * rest, 100 * rest / p->step_s);
}

static void show(struct profile *p, const char *run_file)
{
    json_t *lines = json_array();
    if (!p->b->c->json) print_lines(p, run_file);
    for (int i = 0; i < p->n; i++) (void)json_array_append_new(lines, line_json(p, &p->lines[i]));
    (void)json_array_append_new(p->b->rows,
                                json_pack("{s:s, s:f, s:f, s:o}", "run", run_file, "step_s",
                                          p->step_s, "plan_s", p->plan_s, "lines", lines));
}

/* step_s: of each plan step over `steps` training steps, of `runs` runs of the plan on this rank each. */
static sunup_status add_all(struct profile *p, const sunup_plan *plan, const double *step_s,
                            double runs, double steps)
{
    p->lines = sunup__alloc((size_t)(plan->n_steps + 1) * sizeof *p->lines);
    CHECK(p->lines != NULL, p->b->c->ctx, E_MEMORY, "no memory for a table");
    for (int i = 0; i < plan->n_steps; i++) add(p, &plan->steps[i], runs, step_s[i] / steps);
    qsort(p->lines, (size_t)p->n, sizeof *p->lines, slowest_first);
    return SUNUP_OK;
}

/* The mean of the steps of about `seconds`. */
static sunup_status take(struct profile *p, struct session *s)
{
    const struct command *c = p->b->c;
    sunup_plan *plan = sunup__trainer_plan(s->trainer);
    for (int i = 0; i < WARM; i++) TRY(sunup_trainer_step(s->trainer, NULL));
    TRY(sunup__plan_clock(plan));
    const double seconds = c->seconds > 0 ? c->seconds : 3, from_s = sunup__now_s();
    int steps = 0;
    for (; steps < LEAST_STEPS || (steps < MOST_STEPS && sunup__now_s() - from_s < seconds);
         steps++)
        TRY(sunup_trainer_step(s->trainer, NULL));
    p->step_s = (sunup__now_s() - from_s) / steps;
    return add_all(p, plan, plan->step_s, (double)s->run.o.shards * s->run.o.accumulate, steps);
}

sunup_status profile_trace(struct command *c, struct session *s)
{
    struct bench b = {.c = c};
    struct profile p = {.b = &b};
    const sunup_plan *plan = sunup__trainer_plan(s->trainer);
    double *step_s = sunup__alloc((size_t)(plan->n_steps + 1) * sizeof *step_s), seconds;
    CHECK(step_s != NULL, c->ctx, E_MEMORY, "no memory for a table");
    const double steps = (double)sunup__trainer_traced(s->trainer, step_s, &seconds);
    const int ranks = sunup_comm_ranks(c->comm);
    sunup_status status = steps > 0 ? bench_ceilings(&b) : SUNUP_OK;
    p.step_s = seconds / steps;
    if (status == SUNUP_OK && steps > 0)
        status = add_all(&p, plan, step_s, (double)s->run.o.shards * s->run.o.accumulate / ranks, steps);
    double bucket_s = 0, hidden_s = 0;
    if (status == SUNUP_OK) status = sunup__trainer_overlap(s->trainer, &bucket_s, &hidden_s);
    if (status == SUNUP_OK && steps > 0) print_lines(&p, s->run.path);
    if (status == SUNUP_OK && bucket_s > 0)
        (void)printf("  %8.3f ms a step in which gradients or weights travelled, %.0f %% of it while "
                     "kernels ran\n",
                     1e3 * bucket_s / steps, 100 * hidden_s / bucket_s);
    sunup__free(p.lines);
    sunup__free(step_s);
    return status;
}

sunup_status bench_profile(struct bench *b, const char *run_file)
{
    struct command one = *b->c; /* its own operand and ranks */
    struct session s = {0};
    struct profile p = {.b = b};
    one.operand[0] = run_file;
    TRY(bench_ceilings(b));
    sunup_status status = session_load(&one, &s);
    s.run.o.run_dir = NULL;
    s.run.o.max_steps = 0;
    s.run.o.epochs = 1e6;
    if (status == SUNUP_OK) status = session_start(&one, &s);
    if (status == SUNUP_OK) status = take(&p, &s);
    if (status == SUNUP_OK) show(&p, run_file);
    sunup__free(p.lines);
    session_close(&s);
    b->c->comm = one.comm;
    return status;
}
