/* start_ranks.c - a rank stops, or comes late, where MPI itself waits: the others must name it within
 * the limit, and the job must end with 124.
 *
 *   start_ranks CALL     rank 1 stops before its first call of that MPI function, which this program
 *                        wraps as MPI's profiling interface lets it
 *   start_ranks late     rank 1 comes to MPI's start after half a minute
 *   start_ranks split    rank 1 stops before the MPI_Comm_split of an exact sum by MPI, of ranks of one
 *                        place in their nodes
 *   start_ranks part     rank 1 stops before the MPI_Comm_split of a communicator of some ranks
 */
#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include "comm/inside.h"
#include "ranks.h"

enum { CULPRIT = 1, WORDS = 1000 };

static const char *stops_in = "";

static void perhaps_stop(const char *call)
{
    const char *name = sunup__launcher_variable(), *rank = name != NULL ? getenv(name) : NULL;
    if (rank == NULL || atoi(rank) != CULPRIT || strcmp(call, stops_in) != 0) return;
    (void)raise(SIGSTOP);
}

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    perhaps_stop("MPI_Init_thread");
    return PMPI_Init_thread(argc, argv, required, provided);
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *next)
{
    perhaps_stop("MPI_Comm_dup");
    return PMPI_Comm_dup(comm, next);
}

int MPI_Comm_split(MPI_Comm comm, int colour, int key, MPI_Comm *next)
{
    perhaps_stop("MPI_Comm_split");
    return PMPI_Comm_split(comm, colour, key, next);
}

int MPI_Win_allocate_shared(MPI_Aint size, int unit, MPI_Info info, MPI_Comm comm, void *base, MPI_Win *window)
{
    perhaps_stop("MPI_Win_allocate_shared");
    return PMPI_Win_allocate_shared(size, unit, info, comm, base, window);
}

int MPI_Barrier(MPI_Comm comm)
{
    perhaps_stop("MPI_Barrier");
    return PMPI_Barrier(comm);
}

int MPI_Win_free(MPI_Win *window)
{
    perhaps_stop("MPI_Win_free");
    return PMPI_Win_free(window);
}

int MPI_Finalize(void)
{
    perhaps_stop("MPI_Finalize");
    return PMPI_Finalize();
}

static void stuck(void *arg, const char *report)
{
    (void)arg;
    printf("report: %s\n", report);
    fflush(stdout);
    _exit(124);
}

static void sum_by_mpi(struct job *job)
{
    static int32_t x[WORDS];
    char *row = (char *)x;
    struct addends a = {.what = COLLECTIVE_reduce_scatter_int32,
                        .sum = {.threads = 1, .shards = job->ranks, .n = WORDS, .of = OF_INTEGERS},
                        .rows = 1,
                        .row = &row,
                        .to = row,
                        .range = {0, WORDS},
                        .each = job->comm->node_ranks};
    const struct call call = {CALL_SCATTER_INTEGERS, WORDS, 0, "sum of gradients, step 3"};
    MUST(job, sunup__meet(job->comm, &call, SUNUP_OK, 0) == SUNUP_OK);
    stops_in = "MPI_Comm_split";
    (void)sunup__mpi_scatter(job->comm, &(struct transfer){.bytes = sizeof x, .sum = &a});
}

static void make_part(struct job *job)
{
    sunup_comm *part;
    stops_in = "MPI_Comm_split";
    (void)sunup__comm_split(job->comm, job->rank / 2, &part);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    const char *name = sunup__launcher_variable(), *rank = name != NULL ? getenv(name) : NULL;
    struct job job = {0};
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = 1;
    const bool made = strcmp(mode, "split") == 0 || strcmp(mode, "part") == 0;
    if (strncmp(mode, "MPI_", 4) == 0) stops_in = mode;
    if (strcmp(mode, "late") == 0 && rank != NULL && atoi(rank) == CULPRIT) (void)sleep(30);
    if (sunup_context_create(NULL, &job.ctx) != SUNUP_OK) return 1;
    job.ctx->stuck = stuck;
    if (sunup_comm_create(job.ctx, &options, &job.comm) != SUNUP_OK) {
        fprintf(stderr, "no communicator: %s\n", sunup_error(job.ctx));
        return 1;
    }
    job.rank = sunup_comm_rank(job.comm);
    job.ranks = sunup_comm_ranks(job.comm);
    if (made) (strcmp(mode, "split") == 0 ? sum_by_mpi : make_part)(&job);
    end(&job);
    return 1; /* the rank was missed by nobody */
}
