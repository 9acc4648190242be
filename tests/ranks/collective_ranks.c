/* collective_ranks.c - calls that do not fit together, in every way that ranks meet: through the node's memory, from
 * each to each, in rounds, node by node (SUNUP_NODE_RANKS). What the calls give is for `sunup check comm`.
 *
 * All ranks must learn who calls what, or who cannot take part, return alike, and be in step afterwards.
 */
#include "base/context.h"
#include "ranks.h"

static void in_step(struct job *job)
{
    int mine = job->rank, all[64];
    MUST(job, sunup__comm_gather(job->comm, &mine, sizeof mine, all, "after") == SUNUP_OK);
    for (int r = 0; r < job->ranks; r++) MUST(job, all[r] == r);
}

static sunup_status fail_on(struct job *job, int rank)
{
    CHECK(job->rank != rank, job->ctx, E_FILE, "the file of rank %d is missing", rank);
    return SUNUP_OK;
}

static void failures(struct job *job)
{
    char text[64];
    for (int rank = 0; rank < job->ranks; rank++) {
        (void)snprintf(text, sizeof text, "the file of rank %d is missing", rank);
        MUST(job, sunup_comm_agree(job->comm, fail_on(job, rank)) == SUNUP_E_FILE);
        MUST(job, error_says(job, text));
    }
    in_step(job);
    /* All fail alike: still a failure. */
    MUST(job, sunup_comm_agree(job->comm, fail_on(job, job->rank)) == SUNUP_E_FILE);
    MUST(job,
         error_says(job, job->rank == 0 ? "the file of rank 0" : "rank 0: the file of rank 0"));
    in_step(job);
}

static void comparisons(struct job *job)
{
    char name[32];
    MUST(job, sunup__comm_compare(job->comm, 7, "the weights") == SUNUP_OK);
    for (int odd = 1; odd < job->ranks; odd++) {
        (void)snprintf(name, sizeof name, "rank %d has", odd);
        MUST(job, sunup__comm_compare(job->comm, job->rank == odd, "the weights") == SUNUP_E_PEER);
        MUST(job, error_says(job, name) && error_says(job, "(1 of"));
    }
    in_step(job);
}

/* One rank against the others, which is each in its turn. */
static void mismatches(struct job *job)
{
    char bytes[64 * 64] = {0}, to[64 * 64], name[32];
    for (int odd = 0; odd < job->ranks; odd++) {
        const bool me = job->rank == odd;
        (void)snprintf(name, sizeof name, "rank %d calls", odd);
        MUST(job, sunup__comm_broadcast(job->comm, bytes, 16, me ? 1 : 0, "root") == SUNUP_E_SHAPE);
        MUST(job, job->ranks == 2 || (error_says(job, name) && error_says(job, "from rank 1")));
        MUST(job, sunup__comm_alltoall(job->comm, bytes, me ? 8 : 4, to, "size") == SUNUP_E_SHAPE);
        MUST(job, error_says(job, "an all-to-all of 8 bytes a pair of ranks"));
        MUST(job, (me ? sunup__comm_barrier(job->comm, "mine")
                      : sunup__comm_gather(job->comm, bytes, 8, to, "ours")) == SUNUP_E_SHAPE);
        MUST(job, error_says(job, "a barrier") && error_says(job, "a gather of 8 bytes a rank"));
        in_step(job);
    }
}

static void bad_arguments(struct job *job)
{
    char bytes[64 * 64] = {0};
    const int last = job->ranks - 1;
    MUST(job, sunup__comm_gather(job->comm, bytes, -1, bytes, "negative") == SUNUP_E_ARGUMENT);
    MUST(job, sunup__comm_alltoall(job->comm, bytes, 8, bytes + 8, "overlap") == SUNUP_E_ARGUMENT);
    MUST(job, error_says(job, "must not overlap"));
    /* On one rank only: the others learn of it. */
    char *to = job->rank == last ? bytes : bytes + sizeof bytes / 2;
    MUST(job, sunup__comm_alltoall(job->comm, bytes, 8, to, "overlap") == SUNUP_E_ARGUMENT);
    MUST(job, error_says(job, "must not overlap"));
    in_step(job);
}

/* A rank that leaves is known to those that go on. */
static void early_leaver(struct job *job)
{
    if (job->rank == 0) return;
    MUST(job, sunup__comm_barrier(job->comm, "go on") == SUNUP_E_SHAPE);
    MUST(job, error_says(job, "the end of the communicator"));
}

static void all_ways(struct job *job, bool messages, const char *meeting)
{
    sunup_comm *first = job->comm;
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = 30;
    options.messages = messages;
    MUST(job, sunup_comm_create(job->ctx, &options, &job->comm) == SUNUP_OK);
    MUST(job, sunup__comm_force(job->comm, COLLECTIVE_barrier, meeting));
    in_step(job);
    failures(job);
    comparisons(job);
    mismatches(job);
    bad_arguments(job);
    early_leaver(job);
    sunup_comm_destroy(&job->comm);
    job->comm = first;
}

int main(void)
{
    struct job job;
    begin(&job, 60);
    const bool nodes = getenv("SUNUP_NODE_RANKS") != NULL;
    MUST(&job, sunup__comm_force(job.comm, COLLECTIVE_barrier, "rounds") ==
                   nodes); /* memory needs its meeting */
    MUST(&job, sunup__comm_force(job.comm, COLLECTIVE_barrier, NULL));
    MUST(&job, !sunup__comm_force(job.comm, COLLECTIVE_broadcast, "telepathy"));
    all_ways(&job, false, nodes ? "leaders" : "node");
    all_ways(&job, true, "direct");
    all_ways(&job, true, "rounds");
    if (job.rank == 0) printf("collectives agree on %d ranks\n", job.ranks);
    end(&job);
    return 0;
}
