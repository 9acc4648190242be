/* gather.c - all-gather: every rank's bytes to all ranks.
 *
 * direct   each sends to each: one latency, ranks - 1 messages a rank
 * bruck    each passes on what it has gathered so far, twice as much a round: log2(ranks) rounds,
 *          for small parts. Blocks travel to their final places, as at most two messages a round,
 *          so nothing is turned afterwards
 * ring     what came from the left goes on to the right: each link carries every byte once, for
 *          large parts
 * shared   through each rank's block of the node's pool (pool.h), the first piece with the
 *          meeting itself
 * mpi      MPI's own: mpi.c
 *
 * Source: Bruck et al., "Efficient algorithms for all-to-all communications in multiport
 * message-passing systems" (1997); Thakur, Rabenseifner, Gropp (2005).
 */
#include "base/integers.h"
#include "comm/pool.h"

/* --- direct --- */

/* [at, at + bytes) of every rank's part. The flight's first `ranks` numbers are receives, the
 * next ones sends. */
static sunup_status gather_piece(sunup_comm *comm, char *all, int64_t stride, int64_t at,
                                 int64_t bytes)
{
    for (int i = 1; i < comm->ranks; i++) {
        const int peer = (comm->rank + i) % comm->ranks; /* not all to rank 0 first */
        TRY(sunup__receive(&comm->flight, peer,
                           &(struct message){peer, TAG_DATA, all + peer * stride + at, bytes}));
    }
    for (int i = 1; i < comm->ranks; i++) {
        const int peer = (comm->rank + i) % comm->ranks;
        TRY(sunup__send(&comm->flight, comm->ranks + peer,
                        &(struct message){peer, TAG_DATA, all + comm->rank * stride + at, bytes}));
    }
    return sunup__wait_all(&comm->flight);
}

sunup_status sunup__gather_direct(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += WIRE_MAX)
        TRY(gather_piece(comm, t->to, t->bytes, at, least(WIRE_MAX, t->bytes - at)));
    return SUNUP_OK;
}

/* --- ring --- */

static struct message block_of(const struct blocks *b, int peer, int v)
{
    const int64_t left = most(0, b->end - v * b->stride);
    return (struct message){peer, TAG_DATA, b->at + least(v * b->stride, b->end),
                            least(b->bytes, left)};
}

sunup_status sunup__ring(sunup_comm *comm, const struct blocks *b)
{
    const int ranks = comm->ranks, v = (comm->rank - b->root + ranks) % ranks;
    const int right = (comm->rank + 1) % ranks, left = (comm->rank - 1 + ranks) % ranks;
    for (int step = 1; step < ranks; step++) {
        const struct message in = block_of(b, left, (v - step + ranks) % ranks),
                             out = block_of(b, right, (v - step + 1 + ranks) % ranks);
        TRY(sunup__receive(&comm->flight, 0, &in));
        TRY(sunup__send(&comm->flight, 1, &out));
        TRY(sunup__wait_all(&comm->flight));
    }
    return SUNUP_OK;
}

sunup_status sunup__gather_ring(sunup_comm *comm, const struct transfer *t)
{
    for (int64_t at = 0; at < t->bytes; at += WIRE_MAX) {
        const struct blocks b = {t->to + at, t->bytes, least(WIRE_MAX, t->bytes - at),
                                 comm->ranks * t->bytes, 0};
        TRY(sunup__ring(comm, &b));
    }
    return SUNUP_OK;
}

/* --- bruck --- */

typedef sunup_status post(struct flight *f, int number, const struct message *m);

/* Blocks [first, first + n), which may go on at block 0. */
static sunup_status post_run(sunup_comm *comm, post *how, int number, int peer,
                             const struct blocks *b)
{
    const int ranks = comm->ranks, first = b->root, n = (int)(b->end / b->stride);
    const int before = first + n <= ranks ? n : ranks - first;
    const int64_t bytes = before * b->stride;
    TRY(how(&comm->flight, number,
            &(struct message){peer, TAG_DATA, b->at + first * b->stride, bytes}));
    if (before == n) return SUNUP_OK;
    return how(&comm->flight, number + 1, &(struct message){peer, TAG_DATA, b->at, b->end - bytes});
}

/* After a round a rank has the parts of `have` ranks from its own upwards. */
sunup_status sunup__gather_bruck(sunup_comm *comm, const struct transfer *t)
{
    const int ranks = comm->ranks, me = comm->rank;
    if (t->bytes > WIRE_MAX / ranks) return sunup__gather_ring(comm, t);
    for (int have = 1; have < ranks; have *= 2) {
        const int n = have < ranks - have ? have : ranks - have;
        const struct blocks mine = {t->to, t->bytes, t->bytes, n * t->bytes, me},
                            theirs = {t->to, t->bytes, t->bytes, n * t->bytes, (me + have) % ranks};
        TRY(post_run(comm, sunup__receive, 0, (me + have) % ranks, &theirs));
        TRY(post_run(comm, sunup__send, 2, (me - have + ranks) % ranks, &mine));
        TRY(sunup__wait_all(&comm->flight));
    }
    return SUNUP_OK;
}

/* --- on one node --- */

sunup_status sunup__gather_show(sunup_comm *comm, const struct transfer *t)
{
    comm->shown = pool_shown(t->bytes);
    memcpy(pool_next(comm, comm->rank, t->bytes), t->from, (size_t)least(POOL_PIECE, t->bytes));
    return SUNUP_OK;
}

static void take(sunup_comm *comm, const struct transfer *t, int64_t at, int64_t n)
{
    for (int step = 1; step < comm->ranks; step++) {
        const int peer = (comm->rank + step) % comm->ranks; /* not all from one at once */
        memcpy(t->to + peer * t->bytes + at, pool_now(comm, peer, t->bytes), (size_t)n);
    }
    comm->turn++;
}

sunup_status sunup__gather_shared(sunup_comm *comm, const struct transfer *t)
{
    take(comm, t, 0, least(POOL_PIECE, t->bytes));
    for (int64_t at = POOL_PIECE; at < t->bytes; at += POOL_PIECE) {
        const int64_t n = least(POOL_PIECE, t->bytes - at);
        memcpy(pool_next(comm, comm->rank, t->bytes), t->to + comm->rank * t->bytes + at,
               (size_t)n);
        TRY(sunup__node_meet(comm));
        take(comm, t, at, n);
    }
    return SUNUP_OK;
}
