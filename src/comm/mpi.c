/* mpi.c - collectives by the MPI library's own calls, which may know the network better (sums within switches, say).
 *
 * Owes: that they end. MPI's blocking calls wait for a lost rank without a word; so each is begun without blocking, is
 * under way as a message is (messages.c), and is polled and timed as one (watchdog.c). Nobody knows for whom MPI
 * waits, so a report can only tell what the records of the node say. The ranks have met before, so calls that differ
 * never come here.
 *
 * Sums are of int32 as unsigned words, which wrap; of sizes the larger of two. MPI counts in int: what is larger goes
 * in pieces.
 */
#ifdef SUNUP_HAVE_MPI

#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "comm/wire.h"

/* All messages of the library's own are over: number 0 is free. */
static MPI_Request *request_of(sunup_comm *comm)
{
    return comm->flight.requests;
}

/* The call has begun. What is reported if it does not end: whoever is behind on this node, or the next rank. */
static sunup_status finish(sunup_comm *comm)
{
    comm->relayed = true;
    sunup__under_way(&comm->flight, 0, (comm->rank + 1) % comm->ranks);
    const sunup_status status = sunup__wait_all(&comm->flight);
    comm->relayed = false;
    return status;
}

/* --- bytes --- */

sunup_status sunup__broadcast_mpi(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += WIRE_MAX) {
        const int n = (int)least(WIRE_MAX, t->bytes - at);
        TRY_MPI(comm, MPI_Ibcast(t->to + at, n, MPI_BYTE, t->root, comm->wire->all, request_of(comm)), "MPI_Ibcast");
        TRY(finish(comm));
    }
    return SUNUP_OK;
}

/* One call has a part of each rank, so only parts that one holds come here; larger ones go round the ring. */
sunup_status sunup__gather_mpi(sunup_comm *comm, const struct transfer *t)
{
    if (t->bytes > WIRE_MAX) return sunup__gather_ring(comm, t);
    const int n = (int)t->bytes;
    TRY_MPI(comm,
            MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, t->to, n, MPI_BYTE, comm->wire->all, request_of(comm)),
            "MPI_Iallgather");
    return finish(comm);
}

sunup_status sunup__alltoall_mpi(sunup_comm *comm, const struct transfer *t)
{
    if (t->bytes > WIRE_MAX) return sunup__alltoall_pairwise(comm, t);
    const int n = (int)t->bytes;
    TRY_MPI(comm,
            MPI_Ialltoall(t->from, n, MPI_BYTE, t->to, n, MPI_BYTE, comm->wire->all, request_of(comm)),
            "MPI_Ialltoall");
    return finish(comm);
}

/* --- meeting --- */

enum { CARD_WORDS = sizeof(struct card) / sizeof(uint64_t) };

/* Cards are alike if what all of them have in common is all that any of them has. */
sunup_status sunup__meet_mpi(sunup_comm *comm, const struct transfer *t)
{
    const struct card *mine = &comm->cards[comm->rank];
    uint64_t words[2 * CARD_WORDS], common[2 * CARD_WORDS];
    (void)t;
    memcpy(words, mine, sizeof *mine);
    for (int i = 0; i < CARD_WORDS; i++) words[CARD_WORDS + i] = ~words[i];
    TRY_MPI(comm,
            MPI_Iallreduce(words, common, 2 * CARD_WORDS, MPI_UINT64_T, MPI_BAND, comm->wire->all,
                           request_of(comm)),
            "MPI_Iallreduce");
    TRY(finish(comm));
    comm->alike = mine->status == SUNUP_OK; /* if they are alike, of all */
    for (int i = 0; i < CARD_WORDS; i++) comm->alike = comm->alike && common[CARD_WORDS + i] == ~common[i];
    if (comm->alike) return SUNUP_OK;
    return sunup__gather_mpi(comm, &(struct transfer){.to = (char *)comm->cards, .bytes = sizeof *comm->cards});
}

/* --- exact sums --- */

static MPI_Op op_of(const struct addends *a)
{
    return a->sum.of == OF_SIZES ? MPI_MAX : MPI_SUM;
}

sunup_status sunup__mpi_sum(sunup_comm *comm, const struct transfer *t)
{
    enum { MOST = WIRE_MAX / sizeof(uint32_t) };
    const struct addends *a = t->sum;
    uint32_t *x = (uint32_t *)(void *)a->row[0] + a->range.at;
    for (int64_t at = 0; at < a->range.n; at += MOST) {
        const int n = (int)least(MOST, a->range.n - at);
        TRY_MPI(comm,
                MPI_Iallreduce(MPI_IN_PLACE, x + at, n, MPI_UINT32_T, op_of(a), comm->wire->all, request_of(comm)),
                "MPI_Iallreduce");
        TRY(finish(comm));
    }
    return SUNUP_OK;
}

/* The ranks of one place in their nodes, by MPI's own communicator, which is made when it is first wanted. */
static sunup_status find_members(sunup_comm *comm, int each, MPI_Comm *members)
{
    struct wire *w = comm->wire;
    *members = w->all;
    if (each == 1) return SUNUP_OK;
    if (w->place == MPI_COMM_NULL) TRY(sunup__split_all(comm, comm->rank % each, &w->place));
    *members = w->place;
    return SUNUP_OK;
}

/* In place, MPICH 4.0 copies a part to where the first one was as if they did not overlap. */
static bool overlaps_first(const struct addends *a, int members)
{
    int64_t before = sunup__own_part(a, 0, members).n;
    for (int i = 1; i < members; i++) {
        const int64_t n = sunup__own_part(a, i, members).n;
        if (n > before) return true;
        before += n;
    }
    return false;
}

/* MPI leaves the own part's sum where the first part was. */
sunup_status sunup__mpi_scatter(sunup_comm *comm, const struct transfer *t)
{
    const struct addends *a = t->sum;
    const int members = comm->ranks / a->each, me = comm->rank / a->each;
    const struct slice own = sunup__own_part(a, me, members);
    uint32_t *x = (uint32_t *)(void *)a->row[0];
    MPI_Comm of;
    int *counts = (int *)(void *)comm->room;
    TRY(find_members(comm, a->each, &of)); /* with all ranks, whatever those of another place do then */
    if (a->range.n > WIRE_MAX / (int64_t)sizeof *x || members > SUM_ROOM / (int)sizeof *counts ||
        overlaps_first(a, members))
        return sunup__ring_scatter(comm, t);
    for (int i = 0; i < members; i++) counts[i] = (int)sunup__own_part(a, i, members).n;
    TRY_MPI(comm,
            MPI_Ireduce_scatter(MPI_IN_PLACE, x + a->range.at, counts, MPI_UINT32_T, op_of(a), of, request_of(comm)),
            "MPI_Ireduce_scatter");
    TRY(finish(comm));
    memmove(x + own.at, x + a->range.at, (size_t)own.n * sizeof *x);
    return SUNUP_OK;
}

/* --- for comparison --- */

sunup_status sunup__comm_mpi_sum(sunup_comm *comm, float *x, int64_t n)
{
    for (int64_t at = 0; at < n; at += WIRE_MAX / 4) {
        const int64_t part = n - at < WIRE_MAX / 4 ? n - at : WIRE_MAX / 4;
        TRY_MPI(comm,
                MPI_Allreduce(MPI_IN_PLACE, x + at, (int)part, MPI_FLOAT, MPI_SUM, comm->wire->all),
                "MPI_Allreduce");
    }
    return SUNUP_OK;
}

/* Parts of equal size: of n elements that the ranks divide. */
static sunup_status scatter(sunup_comm *comm, const void *from, int64_t bytes, MPI_Datatype type, void *to)
{
    const int n = (int)(bytes / 4 / comm->ranks);
    CHECK(bytes % (4 * comm->ranks) == 0, comm->ctx, E_ARGUMENT, "%lld bytes have no %d equal parts of words",
          (long long)bytes, comm->ranks);
    TRY_MPI(comm, MPI_Reduce_scatter_block(from, to, n, type, MPI_SUM, comm->wire->all), "MPI_Reduce_scatter_block");
    return SUNUP_OK;
}

sunup_status sunup__comm_mpi(sunup_comm *comm, enum collective what, const void *from,
                             int64_t bytes, void *to)
{
    const MPI_Comm all = comm->wire->all;
    const int n = (int)bytes;
    CHECK(bytes <= WIRE_MAX, comm->ctx, E_ARGUMENT, "%lld bytes are too many for one call of MPI",
          (long long)bytes);
    switch (what) {
    case COLLECTIVE_broadcast:
        TRY_MPI(comm, MPI_Bcast(to, n, MPI_BYTE, 0, all), "MPI_Bcast");
        break;
    case COLLECTIVE_allgather:
        TRY_MPI(comm, MPI_Allgather(from, n, MPI_BYTE, to, n, MPI_BYTE, all), "MPI_Allgather");
        break;
    case COLLECTIVE_alltoall:
        TRY_MPI(comm, MPI_Alltoall(from, n, MPI_BYTE, to, n, MPI_BYTE, all), "MPI_Alltoall");
        break;
    case COLLECTIVE_allreduce:
        TRY_MPI(comm, MPI_Allreduce(from, to, n / 4, MPI_FLOAT, MPI_SUM, all), "MPI_Allreduce");
        break;
    case COLLECTIVE_allreduce_int32:
        TRY_MPI(comm, MPI_Allreduce(from, to, n / 4, MPI_INT32_T, MPI_SUM, all), "MPI_Allreduce");
        break;
    case COLLECTIVE_reduce_scatter:
        return scatter(comm, from, bytes, MPI_FLOAT, to);
    case COLLECTIVE_reduce_scatter_int32:
        return scatter(comm, from, bytes, MPI_INT32_T, to);
    default:
        TRY_MPI(comm, MPI_Barrier(all), "MPI_Barrier");
    }
    return SUNUP_OK;
}

#endif
