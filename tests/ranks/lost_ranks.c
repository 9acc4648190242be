/* lost_ranks.c - a rank stops before or within a collective of the caller's bytes: the others must name it in time.
 *
 *   lost_ranks MEETING COLLECTIVE [anywhere]
 *
 * MEETING: node, direct, rounds, or leaders (SUNUP_NODE_RANKS=2; who is on another node can only tell whom it waits
 * for). The rank stops before its third call; anywhere: by a timer, at some moment of many
 * calls, most of which are spent between the pieces of a large one.
 */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/system.h"
#include "ranks.h"

enum { CULPRIT = 1, BYTES = 3 << 20, CALLS = 3 };

static void stop(int signal)
{
    (void)signal;
    raise(SIGSTOP);
}

static sunup_status call(struct job *job, const char *what)
{
    static char from[8 * BYTES], to[8 * BYTES];
    if (strcmp(what, "broadcast") == 0) return sunup__comm_broadcast(job->comm, to, BYTES, 0, what);
    if (strcmp(what, "allgather") == 0) return sunup__comm_gather(job->comm, from, BYTES, to, what);
    if (strcmp(what, "alltoall") == 0)
        return sunup__comm_alltoall(job->comm, from, BYTES, to, what);
    return sunup__comm_barrier(job->comm, what);
}

static sunup_status calls(struct job *job, const char *what, bool anywhere)
{
    if (anywhere && job->rank == CULPRIT) {
        signal(SIGALRM, stop);
        setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 300000}, NULL);
    }
    for (int i = 1;; i++) {
        if (i == CALLS && !anywhere && job->rank == CULPRIT) raise(SIGSTOP);
        const sunup_status status = call(job, what);
        if (status != SUNUP_OK) return status;
    }
}

static void check_report(struct job *job, const char *meeting)
{
    const bool relayed = error_says(job, "absent, or waiting in turn for who is:");
    /* Who waited for a rank that has reported and ended in the meantime cannot name the lost one. */
    const bool left = error_says(job, "nobody any more");
    const bool rounds = strcmp(meeting, "rounds") == 0 || strcmp(meeting, "mpi") == 0;
    const bool leaders = strcmp(meeting, "leaders") == 0;
    MUST(job, !relayed || rounds || leaders);
    MUST(job, relayed || error_says(job, "absent: rank "));
    MUST(job, !error_says(job, ", rank ")); /* nobody else is accused */
    MUST(job, !left || relayed);
    if ((leaders && job->rank > 1) || left)
        MUST(job, relayed);
    else
        MUST(job, error_says(job, "rank 1 on ") && error_says(job, "stopped, state T"));
}

int main(int argc, char **argv)
{
    struct job job;
    const bool node = argc > 2 && strcmp(argv[1], "node") == 0;
    sunup_comm_options options = sunup_comm_defaults();
    sunup_comm *comm = NULL;
    begin(&job, 60);
    options.timeout_s = 1;
    options.messages = !node;
    MUST(&job, argc > 2 && sunup_comm_create(job.ctx, &options, &comm) == SUNUP_OK);
    job.comm = comm;
    MUST(&job, sunup__comm_force(comm, COLLECTIVE_barrier, argv[1]));
    for (int i = 0; i < COLLECTIVES && node; i++)
        (void)sunup__comm_force(comm, (enum collective)i, "shared");
    MUST(&job, calls(&job, argv[2], argc > 3) == SUNUP_E_HANG);
    printf("report: %s\n", sunup_error(job.ctx));
    fflush(stdout);
    check_report(&job, argv[1]);
    sleep(1); /* let every rank report before the job ends */
    sunup__comm_abort(comm, 124);
}
