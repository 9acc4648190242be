/* ranks.h - for programs that run under mpiexec: a check that ends the whole job, and the
 * communicator they share.
 *
 * These programs see the library's inside (comm/comm.h), as its own tests do. MUST works on every
 * rank alike; a failed one prints rank, line and the library's sentence, and the job ends with 1
 * instead of leaving the others to wait.
 */
#ifndef RANKS_H
#define RANKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sunup.h>

#include "comm/comm.h"

struct job {
    sunup_context *ctx;
    sunup_comm *comm;
    int rank, ranks;
};

#define MUST(job, cond)                                                                            \
    do {                                                                                           \
        if (!(cond)) must_failed((job), __FILE__, __LINE__, #cond);                                \
    } while (0)

static inline void must_failed(const struct job *job, const char *file, int line, const char *what)
{
    fprintf(stderr, "rank %d: %s:%d: %s does not hold; last error: %s\n", job->rank, file, line,
            what, sunup_error(job->ctx));
    fflush(stderr);
    sunup__comm_abort(job->comm, 1);
}

static inline bool error_says(const struct job *job, const char *what)
{
    return strstr(sunup_error(job->ctx), what) != NULL;
}

static inline void begin(struct job *job, double timeout_s)
{
    memset(job, 0, sizeof *job);
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = timeout_s;
    if (sunup_context_create(NULL, &job->ctx) != SUNUP_OK ||
        sunup_comm_create(job->ctx, &options, &job->comm) != SUNUP_OK) {
        fprintf(stderr, "no communicator: %s\n", sunup_error(job->ctx));
        exit(1);
    }
    job->rank = sunup_comm_rank(job->comm);
    job->ranks = sunup_comm_ranks(job->comm);
}

static inline void end(struct job *job)
{
    sunup_comm_destroy(&job->comm);
    sunup_context_destroy(&job->ctx);
}

#endif
