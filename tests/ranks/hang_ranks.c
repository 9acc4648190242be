/* hang_ranks.c - one rank stops: the others must say which, within the time set, and the job must
 * end with 124.
 *
 *   hang_ranks abort     as the program does: the first to know ends the job
 *   hang_ranks destroy   as a library user may: destroy everything, return 124
 *   hang_ranks slow      the rank is alive but elsewhere: named with the place it was last seen at
 *   hang_ranks anywhere  the rank is stopped by a timer at some moment of many steps
 *
 * The stop comes in the third step, when two exchanges went well, or 0.3 s after the start.
 */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/system.h"
#include "kernels/kernels.h"
#include "ranks.h"

enum { CULPRIT = 1, SHARDS = 8, N = 5000, STEPS = 3 };

static void stop(int signal)
{
    (void)signal;
    raise(SIGSTOP);
}

static void stop_anywhere(const struct job *job)
{
    if (job->rank != CULPRIT) return;
    signal(SIGALRM, stop);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 300000}, NULL);
}

static sunup_status train(struct job *job, struct exchange *x, const char *mode)
{
    char site[64];
    int from, to;
    const bool anywhere = strcmp(mode, "anywhere") == 0;
    if (anywhere) stop_anywhere(job);
    sunup__shards_of(SHARDS, job->ranks, job->rank, &from, &to);
    for (int step = 1; step <= STEPS || anywhere; step++) {
        for (int i = from; i < to; i++) {
            memset(sunup__exchange_slot(x), 0, N * sizeof(float));
            sunup__exchange_push(x);
        }
        if (job->rank == CULPRIT && step == STEPS && !anywhere) {
            if (strcmp(mode, "slow") == 0) sleep(30);
            raise(SIGSTOP);
        }
        snprintf(site, sizeof site, "gradients of step %d", step);
        const sunup_status status = sunup__exchange_reduce(x, site);
        if (status != SUNUP_OK) return status;
    }
    return SUNUP_OK;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "abort";
    struct job job;
    struct kernels k;
    struct exchange *x;
    const struct exchange_options o = {.k = &k, .threads = 1, .shards = SHARDS, .n = N};
    begin(&job, 1);
    MUST(&job, sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    MUST(&job, sunup__exchange_create(job.comm, &o, &x) == SUNUP_OK);
    MUST(&job, train(&job, x, mode) == SUNUP_E_HANG);
    MUST(&job, error_says(&job, "absent: rank 1 on "));
    MUST(&job, error_says(&job, strcmp(mode, "slow") == 0 ? "alive" : "stopped, state T"));
    MUST(&job, strcmp(mode, "anywhere") == 0 || error_says(&job, "left \"gradients of step 2\""));
    MUST(&job, !error_says(&job, ", rank ")); /* nobody else is accused */
    printf("report: %s\n", sunup_error(job.ctx));
    fflush(stdout);
    MUST(&job, sunup__comm_barrier(job.comm, "after") == SUNUP_E_HANG);
    MUST(&job, error_says(&job, "can only be destroyed"));
    sleep(1); /* let every rank report before the job ends */
    if (strcmp(mode, "destroy") != 0) sunup__comm_abort(job.comm, 124);
    sunup__exchange_destroy(&x);
    end(&job);
    return 124;
}
