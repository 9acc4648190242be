/* bench_serve.c - `sunup bench serve RUN.yaml | kernel PROBLEM | comm PROBLEM`: makes steps when asked.
 *
 * It speaks as bench/models/pytorch.py does, so that bench_model.c treats both alike, and a little more, so
 * that two programs can be asked in turns which of their steps take longer (track_pair.c). Of several ranks
 * the times are all ranks', since a step ends together; those of the plan's steps are the first one's. A
 * kernel is a plan of its problem: the way that a network goes.
 */
#include "bench_serve.h"

#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "bench_kernel.h"
#include "comm/comm.h"
#include "track/stats.h"
#include "train/train.h"

enum { MOST_SAMPLES = 1000000 };

/* What a question is about, for all ranks. */
struct question {
    int64_t samples, calls; /* samples 0: the end */
    int64_t clock;
};

static bool speaks(const struct served *s)
{
    return s->comm == NULL || sunup_comm_rank(s->comm) == 0;
}

static void say(const struct served *s, json_t *j)
{
    if (speaks(s)) {
        (void)json_dumpf(j, stdout, JSON_COMPACT);
        (void)printf("\n");
        (void)fflush(stdout);
    }
    json_decref(j);
}

/* ---- the steps of a plan ---- */

static json_t *step_names(const sunup_plan *plan)
{
    json_t *names = json_array();
    for (int i = 0; plan != NULL && i < plan->n_steps; i++) {
        const struct node *n = plan->steps[i].node;
        char problem[PROBLEM_TEXT];
        sunup__problem_text(n, problem, sizeof problem);
        const bool layer = n->layer != NULL && n->layer[0] != '\0';
        (void)json_array_append_new(names, json_sprintf("%s%s%s%s", problem, layer ? " (" : "",
                                                        layer ? n->layer : "", layer ? ")" : ""));
    }
    return names;
}

/* A row of seconds in one call, and the clock starts again. */
static void keep_steps(struct served *s, int64_t calls, double *row)
{
    for (int i = 0; i < s->plan->n_steps; i++) {
        row[i] = s->plan->step_s[i] / (double)calls;
        s->plan->step_s[i] = 0;
    }
}

/* Of each step the lower quartile over the n rows: a mean would hold whatever else ran on this core. */
static json_t *step_times(const struct served *s, const double *rows, int64_t n)
{
    json_t *times = json_array();
    double *x = sunup__alloc((size_t)n * sizeof *x);
    for (int i = 0; x != NULL && i < s->plan->n_steps; i++) {
        for (int64_t k = 0; k < n; k++) x[k] = rows[k * s->plan->n_steps + i];
        (void)json_array_append_new(times, json_real(sunup__quantile(x, (int)n, 0.25)));
    }
    sunup__free(x);
    return times;
}

static sunup_status start_clock(struct served *s)
{
    if (s->plan != NULL) TRY(sunup__plan_clock(s->plan));
    say(s, json_pack("{s:o}", "steps", step_names(s->plan)));
    return SUNUP_OK;
}

/* ---- questions ---- */

static sunup_status take_samples(struct served *s, const struct question *q, json_t *times,
                                 double *rows)
{
    for (int64_t i = 0; i < q->samples; i++) {
        double call_s;
        TRY(s->sample(s->arg, q->calls, &call_s));
        (void)json_array_append_new(times, json_real(call_s));
        if (rows != NULL) keep_steps(s, q->calls, rows + i * s->plan->n_steps);
    }
    return SUNUP_OK;
}

static sunup_status samples(struct command *c, struct served *s, const struct question *q)
{
    const bool timed = s->plan != NULL && s->plan->step_s != NULL;
    double *rows = NULL;
    if (timed) {
        rows = sunup__alloc((size_t)q->samples * (size_t)s->plan->n_steps * sizeof *rows);
        CHECK(rows != NULL, c->ctx, E_MEMORY, "no memory for the steps of %lld samples",
              (long long)q->samples);
    }
    json_t *times = json_array(), *answer = json_pack("{s:o}", "times_s", times);
    const sunup_status status = take_samples(s, q, times, rows);
    (void)json_object_set_new(answer, "peak_bytes", json_integer((json_int_t)sunup__memory_peak()));
    if (status == SUNUP_OK && timed)
        (void)json_object_set_new(answer, "step_s", step_times(s, rows, q->samples));
    sunup__free(rows);
    if (status == SUNUP_OK)
        say(s, answer);
    else
        json_decref(answer);
    return status;
}

static sunup_status read_question(sunup_context *ctx, const char *line, struct question *q)
{
    char *end;
    q->clock = strncmp(line, "clock", 5) == 0;
    q->calls = 1;
    if (q->clock) return SUNUP_OK;
    q->samples = strtol(line, &end, 10);
    if (*end == ' ') q->calls = strtol(end, &end, 10);
    CHECK(q->samples >= 1 && q->calls >= 1 && q->samples <= MOST_SAMPLES &&
              q->calls <= MOST_SAMPLES && (*end == '\n' || *end == '\0'),
          ctx, E_ARGUMENT, "'N', 'N CALLS' or 'clock' was expected, not '%.*s'",
          (int)strcspn(line, "\n"), line);
    return SUNUP_OK;
}

static sunup_status listen(struct command *c, const struct served *s, struct question *q)
{
    char line[64];
    *q = (struct question){0};
    sunup_status mine = SUNUP_OK;
    if (speaks(s) && fgets(line, sizeof line, stdin) != NULL) mine = read_question(c->ctx, line, q);
    if (s->comm == NULL) return mine;
    TRY(sunup_comm_agree(s->comm, mine));
    return sunup__comm_broadcast(s->comm, q, sizeof *q, 0, "question");
}

sunup_status bench_answer(struct command *c, struct served *s, json_t *start)
{
    (void)json_object_set_new(start, "first_step_s", json_real(sunup__now_s() - c->start_s));
    (void)json_object_set_new(start, "version", json_string(sunup_version()));
    (void)json_object_set_new(start, "numerics",
                              json_string(sunup_numerics_name(sunup_context_numerics(c->ctx))));
    say(s, start);
    for (;;) {
        struct question q;
        TRY(listen(c, s, &q));
        if (q.samples == 0 && !q.clock) return SUNUP_OK;
        TRY(q.clock ? start_clock(s) : samples(c, s, &q));
    }
}

/* ---- what is asked ---- */

static sunup_status sample_training(void *arg, int64_t calls, double *call_s)
{
    const struct session *s = arg;
    const double from_s = sunup__now_s();
    for (int64_t i = 0; i < calls; i++) TRY(sunup_trainer_step(s->trainer, NULL));
    *call_s = (sunup__now_s() - from_s) / (double)calls;
    return SUNUP_OK;
}

static sunup_status serve_training(struct command *c, struct session *s)
{
    s->run.o.run_dir = NULL;
    s->run.o.max_steps = 0;
    s->run.o.epochs = 1e6;
    TRY(session_start(c, s));
    TRY(sunup_trainer_step(s->trainer, NULL));
    struct served served = {.sample = sample_training,
                            .arg = s,
                            .plan = sunup__trainer_plan(s->trainer),
                            .comm = c->comm};
    const sunup_plan_info p = sunup_plan_describe(served.plan);
    return bench_answer(c, &served, json_pack("{s:f}", "flops", p.flops * s->run.o.shards));
}

static sunup_status serve_run(struct bench *b, const char *run_file)
{
    struct command one = *b->c; /* its own operand and ranks */
    struct session s = {0};
    one.operand[0] = run_file;
    sunup_status status = session_load(&one, &s);
    if (status == SUNUP_OK) status = serve_training(&one, &s);
    session_close(&s);
    b->c->comm = one.comm;
    return status;
}

static sunup_status sample_kernel(void *arg, int64_t calls, double *call_s)
{
    const double from_s = sunup__now_s();
    for (int64_t i = 0; i < calls; i++) TRY(pipe_run(arg, PIPE_PLAN));
    *call_s = (sunup__now_s() - from_s) / (double)calls;
    return SUNUP_OK;
}

static sunup_status serve_kernel(struct bench *b, const char *problem)
{
    struct pipe *p;
    sunup_status status = pipe_open(b->c->ctx, problem, &p);
    if (status == SUNUP_OK) status = pipe_run(p, PIPE_PLAN);
    if (status == SUNUP_OK) {
        struct served s = {.sample = sample_kernel, .arg = p, .plan = pipe_plan(p)};
        status = bench_answer(b->c, &s, json_pack("{s:f}", "flops", pipe_cost(p).flops));
    }
    pipe_close(&p);
    return status;
}

sunup_status bench_serve(struct bench *b)
{
    const char *const *words = b->c->operand + 1;
    const bool kernel = strcmp(words[0], "kernel") == 0, comm = strcmp(words[0], "comm") == 0;
    if (!kernel && !comm) return serve_run(b, words[0]);
    CHECK(b->c->n_operands == 3, b->c->ctx, E_ARGUMENT, "sunup bench serve %s needs one problem",
          words[0]);
    return kernel ? serve_kernel(b, words[1]) : bench_comm_serve(b);
}
