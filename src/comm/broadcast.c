/* broadcast.c - one rank's bytes to all.
 *
 * binomial   each rank that has them sends on to half of those who have not: log2(ranks) messages
 *            one after another, each of all bytes; pieces follow each other down the tree
 * scatter    a block to each rank down the same tree, then blocks around the ring: each rank
 *            sends about twice its bytes whatever the number of ranks
 * shared     through the root's block of the node's pool (pool.c), the first piece with the
 *            meeting itself
 * mpi        MPI's own: mpi.c
 *
 * Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in
 * MPICH" (2005).
 */
#include "base/integers.h"
#include "comm/pool.h"

/* Whoever has a piece sends it on while the root sends the next one. */
#define PIECE_BYTES ((int64_t)16 << 20)

/* The binomial tree: rank v (counted from the root) gets from v without its lowest bit and gives
 * to v + 2^b for each bit b below that one. */
static int lowest_bit(int v, int ranks)
{
    int bit = 1;
    while (bit < ranks && !(v & bit)) bit <<= 1;
    return bit;
}

static sunup_status send_down(sunup_comm *comm, char *data, int64_t bytes, int root)
{
    const int ranks = comm->ranks, v = (comm->rank - root + ranks) % ranks;
    const int bit = lowest_bit(v, ranks);
    if (v) {
        const int parent = (v - bit + root) % ranks;
        TRY(sunup__receive(&comm->flight, 0, &(struct message){parent, TAG_DATA, data, bytes}));
        TRY(sunup__wait_all(&comm->flight));
    }
    for (int b = bit >> 1, number = 0; b > 0; b >>= 1) {
        if (v + b >= ranks) continue;
        const int child = (v + b + root) % ranks;
        TRY(sunup__send(&comm->flight, number++, &(struct message){child, TAG_DATA, data, bytes}));
    }
    return sunup__wait_all(&comm->flight);
}

sunup_status sunup__broadcast_binomial(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += PIECE_BYTES)
        TRY(send_down(comm, t->to + at, least(PIECE_BYTES, t->bytes - at), t->root));
    return SUNUP_OK;
}

/* --- scatter --- */

/* Of blocks [v, v + width) what there is: a message that may be empty. */
static struct message run_of_blocks(const struct blocks *b, int peer, int v, int width)
{
    const int64_t from = least(v * b->stride, b->end), to = least((v + width) * b->stride, b->end);
    return (struct message){peer, TAG_DATA, b->at + from, to - from};
}

/* Each rank gets the blocks of its subtree and passes on those of its children's. */
static sunup_status scatter(sunup_comm *comm, const struct blocks *b)
{
    const int ranks = comm->ranks, v = (comm->rank - b->root + ranks) % ranks;
    const int bit = lowest_bit(v, ranks);
    if (v) {
        const struct message m = run_of_blocks(b, (v - bit + b->root) % ranks, v, bit);
        TRY(sunup__receive(&comm->flight, 0, &m));
        TRY(sunup__wait_all(&comm->flight));
    }
    for (int half = bit >> 1, number = 0; half > 0; half >>= 1) {
        if (v + half >= ranks) continue;
        const struct message m = run_of_blocks(b, (v + half + b->root) % ranks, v + half, half);
        TRY(sunup__send(&comm->flight, number++, &m));
    }
    return sunup__wait_all(&comm->flight);
}

sunup_status sunup__broadcast_scatter(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += WIRE_MAX) {
        const int64_t n = least(WIRE_MAX, t->bytes - at), block = ceil_div(n, comm->ranks);
        const struct blocks b = {t->to + at, block, block, n, t->root};
        TRY(scatter(comm, &b));
        TRY(sunup__ring(comm, &b));
    }
    return SUNUP_OK;
}

/* --- on one node --- */

sunup_status sunup__broadcast_show(sunup_comm *comm, const struct transfer *t)
{
    comm->shown = pool_shown(t->bytes);
    if (comm->rank == t->root)
        memcpy(pool_next(comm, t->root, t->bytes), t->to, (size_t)least(POOL_PIECE, t->bytes));
    return SUNUP_OK;
}

sunup_status sunup__broadcast_shared(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += POOL_PIECE) {
        const int64_t n = least(POOL_PIECE, t->bytes - at);
        if (at > 0 && comm->rank == t->root)
            memcpy(pool_next(comm, t->root, t->bytes), t->to + at, (size_t)n);
        if (at > 0) TRY(sunup__node_meet(comm));
        const char *piece = pool_now(comm, t->root, t->bytes);
        if (comm->rank != t->root) memcpy(t->to + at, piece, (size_t)n);
        comm->turn++;
    }
    return SUNUP_OK;
}
