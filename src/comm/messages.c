/* messages.c - point-to-point messages by MPI.
 *
 * Owes: non-blocking sends and receives that are numbered by the caller and polled by MPI_Testsome.
 * Leaves waiting to watchdog.c, and MPI's start and end to wire.c. Kept apart from both so that a
 * simulation of many ranks (bench/sim) runs this very file.
 *
 * MPI matches messages of one sender, receiver and tag in the order in which they were sent.
 */
#ifdef SUNUP_HAVE_MPI

#include <stdio.h>

#include "base/counters.h"
#include "base/memory.h"
#include "comm/wire.h"

sunup_status sunup__flight_create(sunup_comm *comm, int room, struct flight *f)
{
    *f = (struct flight){.comm = comm, .room = room};
    const size_t n = (size_t)room;
    MPI_Request *requests = sunup__alloc(n * sizeof *requests);
    f->requests = requests;
    f->statuses = sunup__alloc(n * sizeof(MPI_Status));
    f->peer = sunup__alloc(n * sizeof *f->peer);
    f->landed = sunup__alloc(n * sizeof *f->landed);
    if (!f->requests || !f->statuses || !f->peer || !f->landed) {
        sunup__flight_end(f);
        RAISE(comm->ctx, E_MEMORY, "no memory for %d messages under way", room);
    }
    for (int i = 0; i < room; i++) {
        requests[i] = MPI_REQUEST_NULL;
        f->peer[i] = -1;
    }
    return SUNUP_OK;
}

void sunup__flight_end(struct flight *f)
{
    sunup__free(f->requests);
    sunup__free(f->statuses);
    sunup__free(f->peer);
    sunup__free(f->landed);
    *f = (struct flight){0};
}

void sunup__under_way(struct flight *f, int number, int peer)
{
    f->peer[number] = peer;
    f->left++;
    if (number >= f->high) f->high = number + 1;
}

sunup_status sunup__send(struct flight *f, int number, const struct message *m)
{
    MPI_Request *r = f->requests;
    TRY_MPI(f->comm,
            MPI_Isend(m->data, (int)m->bytes, MPI_BYTE, m->peer, m->tag, f->comm->wire->all,
                      &r[number]),
            "MPI_Isend");
    sunup__count(COUNT_MESSAGES, 1);
    sunup__count(COUNT_SENT_BYTES, m->bytes);
    sunup__under_way(f, number, m->peer);
    return SUNUP_OK;
}

sunup_status sunup__receive(struct flight *f, int number, const struct message *m)
{
    MPI_Request *r = f->requests;
    TRY_MPI(f->comm,
            MPI_Irecv(m->data, (int)m->bytes, MPI_BYTE, m->peer, m->tag, f->comm->wire->all,
                      &r[number]),
            "MPI_Irecv");
    sunup__under_way(f, number, m->peer);
    return SUNUP_OK;
}

static sunup_status message_failed(struct flight *f, int landed)
{
    const MPI_Status *status = f->statuses;
    int i = 0;
    while (i < landed - 1 && status[i].MPI_ERROR == MPI_SUCCESS) i++;
    char what[64];
    snprintf(what, sizeof what, "a message to or from rank %d", f->peer[f->landed[i]]);
    return sunup__wire_failed(f->comm, status[i].MPI_ERROR, what);
}

sunup_status sunup__poll(struct flight *f, int *landed)
{
    const int code = MPI_Testsome(f->high, f->requests, landed, f->landed, f->statuses);
    if (code == MPI_ERR_IN_STATUS) return message_failed(f, *landed);
    if (code != MPI_SUCCESS) return sunup__wire_failed(f->comm, code, "MPI_Testsome");
    if (*landed == MPI_UNDEFINED) *landed = 0;
    for (int i = 0; i < *landed; i++) f->peer[f->landed[i]] = -1;
    f->left -= *landed;
    if (f->left == 0) f->high = 0;
    return SUNUP_OK;
}

#endif
