/* wire.c - start and end of MPI; with messages.c, mpi.c and shrink.c the only file that knows it (wire_none.c stands
 * in for all where it is absent).
 *
 * Owes: a duplicated communicator of our own, and memory shared with the ranks of this node for the
 * watchdog. MPI's own collectives are used to set up and to close only, because they wait without a
 * word for a rank that is lost; limit.c ends that.
 *
 * Needs MPI 3.0 and MPI_THREAD_FUNNELED. Once the communicator is broken MPI is never called again
 * except to abort, or to go on without the lost rank (shrink.c): MPI_Finalize would wait for it.
 */
#ifdef SUNUP_HAVE_MPI

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "comm/wire.h"

sunup_status sunup__wire_failed(sunup_comm *comm, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;
    MPI_Error_string(code, text, &n);
    sunup__comm_break(comm, SUNUP_E_PEER);
    comm->died = sunup__wire_died(code);
    (void)sunup__raise(comm->ctx, SUNUP_E_PEER, "rank %d of %d: %s failed in \"%s\": %s",
                       comm->rank, comm->ranks, what, comm->site, text);
    sunup__blame(comm->ctx, comm->rank, NULL, comm->site);
    return SUNUP_E_PEER;
}

/* --- open and close --- */

#define MAKING "the making of a communicator"

bool sunup__wire_running(void)
{
    int initialized, finalized;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    return initialized && !finalized;
}

static sunup_status start_mpi(sunup_comm *comm)
{
    int finalized, provided;
    if (sunup__wire_running()) return SUNUP_OK;
    MPI_Finalized(&finalized);
    CHECK(!finalized, comm->ctx, E_UNSUPPORTED,
          "MPI was finalised in this process and cannot be started again: keep the first "
          "communicator until "
          "the last one is destroyed, or initialise MPI yourself and pass sunup_comm_create_from a "
          "handle");
    TRY_MPI(comm, MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    comm->wire->finalize = true;
    CHECK(provided >= MPI_THREAD_FUNNELED, comm->ctx, E_UNSUPPORTED,
          "this MPI grants thread level %d, MPI_THREAD_FUNNELED (%d) is needed", provided,
          MPI_THREAD_FUNNELED);
    return SUNUP_OK;
}

/* The ranks that share memory; for tests, SUNUP_NODE_RANKS of them at a time, as if each lot were on a node. */
static sunup_status find_node(sunup_comm *comm)
{
    struct wire *w = comm->wire;
    MPI_Comm machine;
    int rank;
    const char *pretended = getenv("SUNUP_NODE_RANKS");
    const int lot = pretended != NULL && atoi(pretended) > 0 ? atoi(pretended) : INT_MAX;
    TRY_MPI(comm,
            MPI_Comm_split_type(w->all, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &machine),
            "MPI_Comm_split_type");
    MPI_Comm_rank(machine, &rank);
    TRY_MPI(comm, MPI_Comm_split(machine, rank / lot, comm->rank, &w->node), "MPI_Comm_split");
    TRY_MPI(comm, MPI_Comm_free(&machine), "MPI_Comm_free");
    return SUNUP_OK;
}

/* What the ranks of a node ask for is contiguous, in their order (MPI 3.0, 11.2.3), but begins at any
 * address: the first rank asks for a line more, so that the records can begin on one. */
static sunup_status allocate_records(sunup_comm *comm)
{
    enum { LINE = _Alignof(struct record) };
    struct wire *w = comm->wire;
    char *base;
    MPI_Aint bytes = (MPI_Aint)sizeof *comm->records;
    int unit;
    if (comm->node_rank == 0) bytes += LINE;
    TRY_MPI(comm, MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, w->node, &base, &w->window),
            "MPI_Win_allocate_shared (is /dev/shm full?)");
    TRY_MPI(comm, MPI_Win_lock_all(MPI_MODE_NOCHECK, w->window), "MPI_Win_lock_all");
    TRY_MPI(comm, MPI_Win_shared_query(w->window, 0, &bytes, &unit, &base), "MPI_Win_shared_query");
    base += -(uintptr_t)base % LINE; /* the same everywhere: pages are mapped whole */
    comm->records = (struct record *)(void *)base;
    return SUNUP_OK;
}

/* Those that are left of a node keep its memory: its first records, for there are fewer of them now. */
static sunup_status share_records(sunup_comm *comm, const sunup_comm *left_of)
{
    struct wire *w = comm->wire;
    if (left_of == NULL)
        TRY(find_node(comm));
    else
        TRY_MPI(comm, MPI_Comm_split(w->all, left_of->node, comm->rank, &w->node), "MPI_Comm_split");
    MPI_Comm_rank(w->node, &comm->node_rank);
    MPI_Comm_size(w->node, &comm->node_ranks);
    if (left_of == NULL)
        TRY(allocate_records(comm));
    else
        comm->records = left_of->records;
    sunup__watch_start(&comm->records[comm->node_rank], comm->rank);
    if (left_of == NULL) TRY_MPI(comm, MPI_Win_sync(w->window), "MPI_Win_sync");
    TRY_MPI(comm, MPI_Barrier(w->node), "MPI_Barrier");
    return SUNUP_OK;
}

static sunup_status open_wire(sunup_comm *comm, const int *mpi_comm_f, const sunup_comm *left_of)
{
    struct wire *w = sunup__alloc(sizeof *w);
    CHECK(w, comm->ctx, E_MEMORY, "no memory for a communicator");
    comm->wire = w;
    w->all = w->node = w->place = MPI_COMM_NULL;
    w->window = MPI_WIN_NULL;
    TRY(start_mpi(comm));
    const MPI_Comm source = mpi_comm_f ? MPI_Comm_f2c((MPI_Fint)*mpi_comm_f) : MPI_COMM_WORLD;
    CHECK(source != MPI_COMM_NULL, comm->ctx, E_ARGUMENT,
          "the MPI handle is MPI_COMM_NULL: this rank is not part of that communicator");
    TRY_MPI(comm, MPI_Comm_dup(source, &w->all), "MPI_Comm_dup");
    TRY_MPI(comm, MPI_Comm_set_errhandler(w->all, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    MPI_Comm_rank(w->all, &comm->rank);
    MPI_Comm_size(w->all, &comm->ranks);
    return comm->ranks > 1 ? share_records(comm, left_of) : SUNUP_OK;
}

sunup_status sunup__wire_open(sunup_comm *comm, const int *mpi_comm_f, const sunup_comm *left_of)
{
    struct limit *limit = sunup__limit_begin(comm, mpi_comm_f ? MAKING : "the start of MPI", false);
    const sunup_status status = open_wire(comm, mpi_comm_f, left_of);
    sunup__limit_end(&limit);
    return status;
}

sunup_status sunup__split_all(sunup_comm *comm, int colour, MPI_Comm *part)
{
    struct limit *limit = sunup__limit_begin(comm, MAKING, true);
    const int code = MPI_Comm_split(comm->wire->all, colour, comm->rank, part);
    sunup__limit_end(&limit);
    return code == MPI_SUCCESS ? SUNUP_OK : sunup__wire_failed(comm, code, "MPI_Comm_split");
}

sunup_status sunup__wire_split(sunup_comm *comm, int colour, int *mpi_comm_f)
{
    MPI_Comm part;
    TRY(sunup__split_all(comm, colour, &part));
    *mpi_comm_f = (int)MPI_Comm_c2f(part);
    return SUNUP_OK;
}

void sunup__wire_free(int mpi_comm_f)
{
    MPI_Comm part = MPI_Comm_f2c((MPI_Fint)mpi_comm_f);
    MPI_Comm_free(&part);
}

void sunup__wire_close(sunup_comm *comm)
{
    struct wire *w = comm->wire;
    if (w && comm->broken == SUNUP_OK) {
        struct limit *limit = sunup__limit_begin(comm, "the end of MPI", false);
        if (w->window != MPI_WIN_NULL) {
            MPI_Win_unlock_all(w->window);
            MPI_Win_free(&w->window);
        }
        if (w->place != MPI_COMM_NULL) MPI_Comm_free(&w->place);
        if (w->node != MPI_COMM_NULL) MPI_Comm_free(&w->node);
        if (w->all != MPI_COMM_NULL) MPI_Comm_free(&w->all);
        if (w->finalize) MPI_Finalize();
        sunup__limit_end(&limit);
    }
    if (w && comm->broken != SUNUP_OK) sunup__wire_revoke(w);
    sunup__free(w);
    comm->wire = NULL;
    comm->records = NULL;
}

static volatile sig_atomic_t abort_status;

static void leave_now(int number)
{
    (void)number;
    _exit(abort_status);
}

/* MPI_Abort may itself wait for the rank that does not answer (MPICH over UCX flushes its connections): after two
 * seconds this process leaves without it, and the launcher ends the others. */
void sunup__wire_abort(sunup_comm *comm, int exit_status)
{
    if (!comm->wire) return;
    abort_status = exit_status;
    (void)signal(SIGALRM, leave_now);
    (void)alarm(2);
    MPI_Abort(comm->wire->all, exit_status);
}

const char *sunup__comm_library(const sunup_comm *comm)
{
    static char name[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    if (comm->wire == NULL) return "no MPI";
    MPI_Get_library_version(name, &n);
    name[strcspn(name, ",\n")] = '\0'; /* the rest tells where and when it was built */
    return name;
}

#endif
