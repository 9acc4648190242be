/* wire_none.c - the wire of a build without MPI: there is none, and one rank never asks for it.
 *
 * Owes: a clear answer to whoever wants more ranks. The message functions fail rather than pretend.
 */
#ifndef SUNUP_HAVE_MPI

#include "comm/inside.h"

static sunup_status none(const sunup_comm *comm)
{
    RAISE(comm->ctx, E_UNSUPPORTED,
          "this sunup was built without MPI and can train on one process only: build it with an "
          "MPI compiler "
          "found (cmake -DMPI_C_COMPILER=mpicc), or start it without mpiexec");
}

bool sunup__wire_running(void)
{
    return false;
}

sunup_status sunup__wire_open(sunup_comm *comm, const int *mpi_comm_f, const sunup_comm *left_of)
{
    (void)mpi_comm_f;
    (void)left_of;
    return none(comm);
}

sunup_status sunup__wire_split(sunup_comm *comm, int colour, int *mpi_comm_f)
{
    (void)colour;
    (void)mpi_comm_f;
    return none(comm);
}

void sunup__wire_free(int mpi_comm_f)
{
    (void)mpi_comm_f;
}

void sunup__wire_close(sunup_comm *comm)
{
    (void)comm;
}

void sunup__wire_abort(sunup_comm *comm, int exit_status)
{
    (void)comm;
    (void)exit_status;
}

sunup_status sunup__comm_mpi_sum(sunup_comm *comm, float *x, int64_t n)
{
    (void)x;
    (void)n;
    return none(comm);
}

sunup_status sunup__comm_mpi(sunup_comm *comm, enum collective what, const void *from,
                             int64_t bytes, void *to)
{
    (void)what;
    (void)from;
    (void)bytes;
    (void)to;
    return none(comm);
}

sunup_status sunup__broadcast_mpi(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

sunup_status sunup__gather_mpi(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

sunup_status sunup__alltoall_mpi(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

sunup_status sunup__meet_mpi(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

sunup_status sunup__mpi_sum(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

sunup_status sunup__mpi_scatter(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return none(comm);
}

const char *sunup__comm_library(const sunup_comm *comm)
{
    (void)comm;
    return "no MPI";
}

void sunup__under_way(struct flight *f, int number, int peer)
{
    (void)f;
    (void)number;
    (void)peer;
}

sunup_status sunup__flight_create(sunup_comm *comm, int room, struct flight *f)
{
    (void)room;
    (void)f;
    return none(comm);
}

void sunup__flight_end(struct flight *f)
{
    (void)f;
}

sunup_status sunup__send(struct flight *f, int number, const struct message *m)
{
    (void)number;
    (void)m;
    return none(f->comm);
}

sunup_status sunup__receive(struct flight *f, int number, const struct message *m)
{
    (void)number;
    (void)m;
    return none(f->comm);
}

sunup_status sunup__poll(struct flight *f, int *landed)
{
    *landed = 0;
    return none(f->comm);
}

void sunup__flight_note(struct flight *f, bool on)
{
    (void)f, (void)on;
}

sunup_status sunup__flight_compare(struct flight *f)
{
    return none(f->comm);
}

#endif
