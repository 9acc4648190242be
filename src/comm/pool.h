/* pool.h - where the caller's bytes lie while the ranks of a node read them.
 *
 * A few are shown beside the card (struct sign); more go through the rank's block of the pool,
 * which is two pieces long. A piece is written, the ranks meet, and all read it. The next one
 * goes to the other half, so whoever writes over a piece has met all ranks once more since they
 * read it. All ranks count the pieces of all (comm->turn), whoever wrote them, and a collective
 * that fails to begin counts none.
 */
#ifndef SUNUP_COMM_POOL_H
#define SUNUP_COMM_POOL_H

#include <string.h>

#include "comm/inside.h"

#define POOL_PIECE ((int64_t)256 << 10) /* bytes */

static inline bool pool_is_small(int64_t bytes)
{
    return bytes <= SHOWN_BYTES;
}

/* Of a piece, what is shown beside the card. */
static inline int64_t pool_shown(int64_t bytes)
{
    return pool_is_small(bytes) ? bytes : 0;
}

static inline char *pool_at(const sunup_comm *comm, int rank, int64_t bytes, uint64_t meeting)
{
    return pool_is_small(bytes) ? sunup__sign(comm, rank, meeting)->shown
                                : comm->pool.block[rank] + (int64_t)(comm->turn % 2) * POOL_PIECE;
}

/* Of a collective that moves `bytes`: where rank's piece is written before the next meeting, */
static inline char *pool_next(const sunup_comm *comm, int rank, int64_t bytes)
{
    return pool_at(comm, rank, bytes, comm->meetings + 1);
}

/* and where it is read after it. Then comm->turn moves on. */
static inline char *pool_now(const sunup_comm *comm, int rank, int64_t bytes)
{
    return pool_at(comm, rank, bytes, comm->meetings);
}

#endif
