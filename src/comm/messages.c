/* messages.c - point-to-point messages by MPI.
 *
 * Owes: non-blocking sends and receives that are numbered by the caller and polled by MPI_Testsome; on
 * demand, that what arrived is what was sent, for a read of both and a small message a peer.
 * Leaves waiting to watchdog.c, and MPI's start and end to wire.c. Kept apart from both so that a
 * simulation of many ranks (bench/sim) runs this very file.
 *
 * MPI matches messages of one sender, receiver and tag in the order in which they were sent.
 */
#ifdef SUNUP_HAVE_MPI

#include <stdio.h>
#include <string.h>

#include "base/counters.h"
#include "base/memory.h"
#include "comm/checksum.h"
#include "comm/wire.h"

sunup_status sunup__flight_create(sunup_comm *comm, int room, struct flight *f)
{
    if (room < 2) room = 2; /* to compare takes two at a time */
    *f = (struct flight){.comm = comm, .room = room};
    const size_t n = (size_t)room;
    MPI_Request *requests = sunup__alloc(n * sizeof *requests);
    f->requests = requests;
    f->statuses = sunup__alloc(n * sizeof(MPI_Status));
    f->peer = sunup__alloc(n * sizeof *f->peer);
    f->landed = sunup__alloc(n * sizeof *f->landed);
    f->in = sunup__alloc(n * sizeof *f->in);
    f->notes = sunup__alloc((size_t)comm->ranks * sizeof *f->notes);
    if (!f->requests || !f->statuses || !f->peer || !f->landed || !f->in || !f->notes) {
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
    sunup__free(f->in);
    sunup__free(f->notes);
    *f = (struct flight){0};
}

/* Sums of both ends agree in any order of arrival; a message in the place of one of another tag changes them. */
static void note(struct flight *f, const struct message *m, uint64_t *sum)
{
    *sum += sunup__checksum(m->data, m->bytes) * (2 * (uint64_t)m->tag + 1);
    f->notes[m->peer].any = true;
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
    if (f->noted) note(f, m, &f->notes[m->peer].sent);
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
    f->in[number] = *m;
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

static void land(struct flight *f, int number)
{
    struct message *m = &f->in[number];
    f->peer[number] = -1;
    if (m->data == NULL) return;
    if (m->tag != TAG_MEET) sunup__tamper(f->comm, "message", m->data, m->bytes);
    if (f->noted) note(f, m, &f->notes[m->peer].landed);
    m->data = NULL;
}

sunup_status sunup__poll(struct flight *f, int *landed)
{
    const int code = MPI_Testsome(f->high, f->requests, landed, f->landed, f->statuses);
    if (code == MPI_ERR_IN_STATUS) return message_failed(f, *landed);
    if (code != MPI_SUCCESS) return sunup__wire_failed(f->comm, code, "MPI_Testsome");
    if (*landed == MPI_UNDEFINED) *landed = 0;
    for (int i = 0; i < *landed; i++) land(f, f->landed[i]);
    f->left -= *landed;
    if (f->left == 0) f->high = 0;
    return SUNUP_OK;
}

/* --- what arrived is what was sent --- */

void sunup__flight_note(struct flight *f, bool on)
{
    f->noted = on;
    if (on) memset(f->notes, 0, (size_t)f->comm->ranks * sizeof *f->notes);
}

/* Peers ascending, so that where there is room for one at a time no two wait in a circle. */
static sunup_status tell_sums(struct flight *f)
{
    int number = 0;
    for (int r = 0; r < f->comm->ranks; r++) {
        struct note *n = &f->notes[r];
        if (!n->any) continue;
        if (number + 2 > f->room) {
            TRY(sunup__wait_all(f));
            number = 0;
        }
        TRY(sunup__receive(f, number++, &(struct message){r, TAG_MEET, &n->told, sizeof n->told}));
        TRY(sunup__send(f, number++, &(struct message){r, TAG_MEET, &n->sent, sizeof n->sent}));
    }
    return sunup__wait_all(f);
}

sunup_status sunup__flight_compare(struct flight *f)
{
    if (!f->noted) return SUNUP_OK;
    f->noted = false;
    TRY(tell_sums(f));
    for (int r = 0; r < f->comm->ranks; r++)
        if (f->notes[r].any && f->notes[r].told != f->notes[r].landed)
            return sunup__other_numbers(f->comm, f->comm->rank, r, f->comm->sequence);
    return SUNUP_OK;
}

#endif
