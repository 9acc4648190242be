/* shrink.c - going on with the ranks that are left when others have died, where MPI has ULFM (user-level failure
 * mitigation: MPIX_Comm_revoke, _shrink and _agree, of Open MPI 5 under `mpiexec --with-ft ulfm`).
 *
 * Whoever sees that a rank is gone, by the watchdog or by MPI's word, breaks the communicator and comes here. Revoking
 * it ends the messages of those who wait for somebody else, so all who live come here; on a node they see it in the
 * record of whoever came first. What they get is a communicator like any other: nothing of the old one is used but
 * the memory of a node's records, since MPI's windows do not outlive a failure.
 *
 * Source: W. Bland, A. Bouteiller, T. Herault, G. Bosilca, J. Dongarra, "Post-failure recovery of MPI communication
 * capability: design and rationale" (2013).
 */
#include "comm/inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#if defined(SUNUP_HAVE_MPI) && defined(SUNUP_HAVE_ULFM)

#include "comm/wire.h"

#include <mpi-ext.h>

bool sunup__wire_died(int code)
{
    int kind = MPI_SUCCESS;
    MPI_Error_class(code, &kind);
    return kind == MPIX_ERR_PROC_FAILED || kind == MPIX_ERR_PROC_FAILED_PENDING || kind == MPIX_ERR_REVOKED;
}

/* Else the launcher ends all ranks when one dies. */
static bool started_for_it(void)
{
    const char *enabled = getenv("OMPI_MCA_mpi_ft_enable"); /* what --with-ft ulfm sets */
    return enabled != NULL && strcmp(enabled, "0") != 0;
}

void sunup__wire_revoke(const struct wire *w)
{
    if (!started_for_it()) return;
    if (w->node != MPI_COMM_NULL) MPIX_Comm_revoke(w->node);
    if (w->all != MPI_COMM_NULL) MPIX_Comm_revoke(w->all);
}

static sunup_status check_mpi(const sunup_comm *comm)
{
    CHECK(started_for_it(), comm->ctx, E_UNSUPPORTED,
          "this job ends when a rank dies, so the others cannot go on: start it with mpiexec --with-ft ulfm");
    return SUNUP_OK;
}

/* What MPI makes of those that are left, without a look at whether they come to use it. */
static sunup_status shrink_mpi(sunup_comm *comm, MPI_Comm *left)
{
    sunup__wire_revoke(comm->wire);
    TRY_MPI(comm, MPIX_Comm_shrink(comm->wire->all, left), "MPIX_Comm_shrink");
    TRY_MPI(comm, MPI_Comm_set_errhandler(*left, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    return SUNUP_OK;
}

/* True on all or on none: all have the new communicator. Who has not may be awaited by those who make it. */
static bool all_have_it(MPI_Comm left, bool mine)
{
    int flag = mine;
    if (!mine) MPIX_Comm_revoke(left);
    return MPIX_Comm_agree(left, &flag) == MPI_SUCCESS && flag != 0;
}

/* Those that are left at the end of an attempt are fewer if one died meanwhile: then it is made again. */
static sunup_status create_left(sunup_comm *old, sunup_comm **next)
{
    for (;;) {
        MPI_Comm left;
        TRY(shrink_mpi(old, &left));
        const sunup_status status = sunup__comm_create_left(old, (int)MPI_Comm_c2f(left), next);
        if (all_have_it(left, status == SUNUP_OK)) return SUNUP_OK;
        if (*next != NULL) sunup__comm_break(*next, SUNUP_E_PEER);
        sunup_comm_destroy(next);
        if (status != SUNUP_OK && status != SUNUP_E_PEER && status != SUNUP_E_HANG) return status;
    }
}

#else

bool sunup__wire_died(int code)
{
    (void)code;
    return false;
}

void sunup__wire_revoke(const struct wire *w)
{
    (void)w;
}

static sunup_status check_mpi(const sunup_comm *comm)
{
    RAISE(comm->ctx, E_UNSUPPORTED,
          "the MPI of this build ends a job when a rank dies (it has no ULFM): restart it, as the script of `sunup "
          "job` does, or build with Open MPI 5");
}

static sunup_status create_left(sunup_comm *old, sunup_comm **next)
{
    *next = NULL;
    return check_mpi(old);
}

#endif

sunup_status sunup__comm_check_shrink(const sunup_comm *comm)
{
    return comm->ranks > 1 ? check_mpi(comm) : SUNUP_OK;
}

/* "rank 2 on n17, rank 5 on n18": those of old that are none of the next one's, whose old numbers are given. */
static void list_lost(const sunup_comm *old, int ranks, const int *number, struct text *t)
{
    for (int r = 0, i = 0; r < old->ranks; r++) {
        if (i < ranks && number[i] == r) {
            i++;
            continue;
        }
        sunup__text(t, "%srank %d on %s", t->n > 0 ? ", " : "", r, old->hosts[r]);
    }
}

static sunup_status tell_lost(const sunup_comm *old, sunup_comm *next)
{
    struct text t = {0};
    int *number = sunup__alloc((size_t)next->ranks * sizeof *number);
    sunup_status status = SUNUP_OK;
    if (number == NULL) status = sunup__raise(next->ctx, SUNUP_E_MEMORY, "no memory for %d ranks", next->ranks);
    status = sunup_comm_agree(next, status);
    if (status == SUNUP_OK)
        status = sunup__comm_gather(next, &old->rank, sizeof *number, number, "those that are left");
    if (status == SUNUP_OK) {
        list_lost(old, next->ranks, number, &t);
        sunup__log(next->ctx, SUNUP_LOG_WARN, "lost: %s; %d of %d ranks go on", t.s != NULL ? t.s : "nobody",
                   next->ranks, old->ranks);
    }
    sunup__free(t.s);
    if (!(status == SUNUP_E_HANG || status == SUNUP_E_PEER)) sunup__free(number);
    return status;
}

sunup_status sunup__comm_shrink(sunup_comm **comm)
{
    sunup_comm *old = *comm, *next;
    TRY(check_mpi(old));
    CHECK(sunup__comm_died(old), old->ctx, E_UNSUPPORTED,
          "no rank is known to be gone, so the communicator cannot be shrunk");
    struct limit *limit = sunup__limit_begin(old, "the shrinking of the ranks", false);
    const sunup_status made = create_left(old, &next);
    sunup__limit_end(&limit);
    TRY(made);
    *comm = next; /* the log asks it who is first */
    const sunup_status status = tell_lost(old, next);
    sunup_comm_destroy(&old);
    return status;
}
