/* wire.h - MPI's handles, for the files that know MPI: wire.c, messages.c, mpi.c and shrink.c. */
#ifndef SUNUP_COMM_WIRE_H
#define SUNUP_COMM_WIRE_H

#include <mpi.h>

#include "comm/inside.h"

struct wire {
    MPI_Comm all, node;
    MPI_Comm place; /* of the same place in their nodes; made when wanted (mpi.c) */
    MPI_Win window;
    bool finalize; /* MPI was initialised by us */
};

/* E_PEER in MPI's words; the communicator is broken from now on. */
sunup_status sunup__wire_failed(sunup_comm *comm, int code, const char *what);

/* MPI_Comm_split of all ranks, which have met before. */
sunup_status sunup__split_all(sunup_comm *comm, int colour, MPI_Comm *part);

#define TRY_MPI(comm, call, what)                                                                  \
    do {                                                                                           \
        const int code_ = (call);                                                                  \
        if (code_ != MPI_SUCCESS) return sunup__wire_failed((comm), code_, (what));                \
    } while (0)

#endif
