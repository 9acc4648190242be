/* alltoall.c - a part of its own from every rank to every other one.
 *
 * direct     all messages at once: one latency
 * pairwise   in step s with the ranks s above and s below: one message in and one out at a time,
 *            so that many ranks do not all send to one
 * shared     through each rank's block of the node's pool (pool.h), which holds a piece for each
 *            rank
 * mpi        MPI's own: mpi.c
 *
 * Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in
 * MPICH" (2005).
 */
#include "base/integers.h"
#include "comm/pool.h"

/* --- by messages --- */

static sunup_status receive(sunup_comm *comm, const struct transfer *t, int number, int peer,
                            int64_t at)
{
    return sunup__receive(&comm->flight, number,
                          &(struct message){peer, TAG_DATA, t->to + peer * t->bytes + at,
                                            least(WIRE_MAX, t->bytes - at)});
}

static sunup_status send(sunup_comm *comm, const struct transfer *t, int number, int peer,
                         int64_t at)
{
    char *part = (char *)(uintptr_t)t->from + peer * t->bytes + at; /* it is only read */
    return sunup__send(&comm->flight, number,
                       &(struct message){peer, TAG_DATA, part, least(WIRE_MAX, t->bytes - at)});
}

static int above(const sunup_comm *comm, int step)
{
    return (comm->rank + step) % comm->ranks;
}

/* The flight's first `ranks` numbers are receives, the next ones sends. */
sunup_status sunup__alltoall_direct(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += WIRE_MAX) {
        for (int i = 1; i < comm->ranks; i++)
            TRY(receive(comm, t, above(comm, i), above(comm, i), at));
        for (int i = 1; i < comm->ranks; i++)
            TRY(send(comm, t, comm->ranks + above(comm, i), above(comm, i), at));
        TRY(sunup__wait_all(&comm->flight));
    }
    return SUNUP_OK;
}

sunup_status sunup__alltoall_pairwise(sunup_comm *comm, const struct transfer *t)
{
    for (int step = 1; step < comm->ranks; step++)
        for (int64_t at = 0; at < t->bytes; at += WIRE_MAX) {
            TRY(receive(comm, t, 0, above(comm, comm->ranks - step), at));
            TRY(send(comm, t, 1, above(comm, step), at));
            TRY(sunup__wait_all(&comm->flight));
        }
    return SUNUP_OK;
}

/* --- on one node --- */

/* Bytes of a piece for one rank: where they are not shown beside the card, what a piece of the
 * pool has room for. */
static int64_t piece_bytes(const sunup_comm *comm, const struct transfer *t)
{
    return pool_is_small(comm->ranks * t->bytes) ? t->bytes
                                                 : least(t->bytes, POOL_PIECE / comm->ranks);
}

static void put(const sunup_comm *comm, const struct transfer *t, int64_t at)
{
    const int64_t piece = piece_bytes(comm, t), n = least(piece, t->bytes - at);
    char *room = pool_next(comm, comm->rank, comm->ranks * t->bytes);
    for (int r = 0; r < comm->ranks; r++)
        if (r != comm->rank) memcpy(room + r * piece, t->from + r * t->bytes + at, (size_t)n);
}

static void take(sunup_comm *comm, const struct transfer *t, int64_t at)
{
    const int64_t piece = piece_bytes(comm, t), n = least(piece, t->bytes - at);
    for (int step = 1; step < comm->ranks; step++) {
        const int peer = above(comm, step);
        const char *room = pool_now(comm, peer, comm->ranks * t->bytes);
        memcpy(t->to + peer * t->bytes + at, room + comm->rank * piece, (size_t)n);
    }
    comm->turn++;
}

sunup_status sunup__alltoall_show(sunup_comm *comm, const struct transfer *t)
{
    comm->shown = pool_shown(comm->ranks * t->bytes);
    put(comm, t, 0);
    return SUNUP_OK;
}

sunup_status sunup__alltoall_shared(sunup_comm *comm, const struct transfer *t)
{
    const int64_t piece = piece_bytes(comm, t);
    take(comm, t, 0);
    for (int64_t at = piece; at < t->bytes; at += piece) {
        put(comm, t, at);
        TRY(sunup__node_meet(comm));
        take(comm, t, at);
    }
    return SUNUP_OK;
}
