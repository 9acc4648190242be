/* bench_serve.c - `sunup bench serve RUN.yaml`: a training that makes steps when asked.
 *
 * It speaks as bench/models/pytorch.py does, so that bench_model.c treats both alike: first a line about
 * the start, then for each line with a number of steps their times and the memory used so far. Of several
 * ranks the first one listens and speaks; its times are all ranks', since a step ends together.
 */
#include <stdlib.h>

#include "base/system.h"
#include "bench.h"
#include "comm/comm.h"
#include "train/train.h"

static void say(const struct command *c, json_t *j)
{
    if (sunup_comm_rank(c->comm) > 0) {
        json_decref(j);
        return;
    }
    (void)json_dumpf(j, stdout, JSON_COMPACT);
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(j);
}

static sunup_status steps(const struct command *c, struct session *s, int64_t n)
{
    json_t *times = json_array();
    for (int64_t i = 0; i < n; i++) {
        const double from_s = sunup__now_s();
        const sunup_status status = sunup_trainer_step(s->trainer, NULL);
        if (status != SUNUP_OK) {
            json_decref(times);
            return status;
        }
        (void)json_array_append_new(times, json_real(sunup__now_s() - from_s));
    }
    say(c, json_pack("{s:o, s:I}", "times_s", times, "peak_bytes", (json_int_t)sunup__memory_peak()));
    return SUNUP_OK;
}

/* The next number of steps, to all ranks; 0 at the end. */
static sunup_status listen(struct command *c, int64_t *n)
{
    char line[64];
    *n = 0;
    sunup_status mine = SUNUP_OK;
    if (sunup_comm_rank(c->comm) == 0 && fgets(line, sizeof line, stdin) != NULL) {
        *n = strtol(line, NULL, 10);
        if (*n < 1 || *n > 1000000)
            mine = sunup__raise(c->ctx, SUNUP_E_ARGUMENT,
                                "a number of steps was expected, not '%s'", line);
    }
    TRY(sunup_comm_agree(c->comm, mine));
    return sunup__comm_broadcast(c->comm, n, sizeof *n, 0, "number of steps");
}

static sunup_status serve(struct command *c, struct session *s)
{
    s->run.o.run_dir = NULL;
    s->run.o.max_steps = 0;
    s->run.o.epochs = 1e6;
    TRY(session_start(c, s));
    TRY(sunup_trainer_step(s->trainer, NULL));
    const sunup_plan_info p = sunup_plan_describe(sunup__trainer_plan(s->trainer));
    say(c, json_pack("{s:f, s:s, s:f, s:s}", "first_step_s", sunup__now_s() - c->start_s, "version",
                     sunup_version(), "flops", p.flops * s->run.o.shards, "numerics",
                     sunup_numerics_name(sunup_context_numerics(c->ctx))));
    for (;;) {
        int64_t n;
        TRY(listen(c, &n));
        if (n == 0) return SUNUP_OK;
        TRY(steps(c, s, n));
    }
}

sunup_status bench_serve(struct bench *b, const char *run_file)
{
    struct command one = *b->c; /* its own operand and ranks */
    struct session s = {0};
    one.operand[0] = run_file;
    sunup_status status = session_load(&one, &s);
    if (status == SUNUP_OK) status = serve(&one, &s);
    session_close(&s);
    b->c->comm = one.comm;
    return status;
}
