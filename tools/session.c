/* session.c - what the verbs about one network open together: run file, ranks, data, network, trainer. */
#include "program.h"

#include "comm/comm.h"


/* Cores are shared by the ranks of a node unless the user has said how many threads each gets. */
static void share_cores(struct command *c)
{
    int rank, ranks;
    sunup__comm_node(c->comm, &rank, &ranks);
    if (c->ctx->options.threads > 0 || ranks <= 1) return;
    const int each = c->ctx->threads / ranks;
    c->ctx->threads = each > 0 ? each : 1;
}

static sunup_status open_ranks(struct command *c, const sunup_comm_options *o)
{
    const sunup_status status = sunup_comm_create(c->ctx, o, &c->comm);
    if (status == SUNUP_OK) share_cores(c);
    return status;
}

sunup_status session_ranks(struct command *c)
{
    return open_ranks(c, NULL);
}

static sunup_status open_parts(struct command *c, struct session *s)
{
    if (s->train == NULL) TRY(run_file_data(c, &s->run, &s->run.train, &s->train));
    if (s->eval == NULL) TRY(run_file_data(c, &s->run, &s->run.eval, &s->eval));
    return run_file_model(c, &s->run, &s->model);
}

sunup_status session_load(struct command *c, struct session *s)
{
    *s = (struct session){0};
    TRY(run_file_load(c, c->operand[0], &s->run));
    if (c->beats) TRY(beats_begin(c, s->run.o.run_dir));
    if (c->comm == NULL) {
        sunup_comm_options o = sunup_comm_defaults();
        o.timeout_s = s->run.timeout_s;
        o.bucket_bytes = (int64_t)s->run.bucket_bytes;
        o.verify = s->run.verify;
        TRY(open_ranks(c, &o));
    }
    return sunup_comm_agree(c->comm, open_parts(c, s));
}

sunup_status session_start(struct command *c, struct session *s)
{
    return sunup_trainer_create(s->model, s->train, c->comm, &s->run.o, &s->trainer);
}

sunup_status session_open(struct command *c, struct session *s)
{
    TRY(session_load(c, s));
    return session_start(c, s);
}

sunup_status session_shrink(struct command *c, struct session *s)
{
    sunup_trainer_destroy(&s->trainer);
    sunup_model_destroy(&s->model);
    TRY(sunup__comm_shrink(&c->comm));
    return c->beats ? beats_begin(c, s->run.o.run_dir) : SUNUP_OK;
}

sunup_status session_again(struct command *c, struct session *s)
{
    TRY(sunup_comm_agree(c->comm, open_parts(c, s)));
    return session_start(c, s);
}

void session_close(struct session *s)
{
    json_decref(s->result);
    sunup_trainer_destroy(&s->trainer);
    sunup_data_destroy(&s->train);
    sunup_data_destroy(&s->eval);
    sunup_model_destroy(&s->model);
    run_file_end(&s->run);
}
