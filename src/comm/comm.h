/* comm.h - ranks, and sums whose bits do not depend on them.
 *
 * The sum has a fixed number S of terms (shards). Shards are the leaves of one binary tree: a node
 * of level l covers [a 2^l, (a+1) 2^l); where S is no power of two, an absent right child leaves
 * the left one unchanged. A rank owns a contiguous block of shards and adds them as they come
 * (binary counter), keeping one partial sum for each maximal aligned subtree. Exchange: slice by
 * slice, each rank receives all partial sums of its slice, or reads them where all ranks share a
 * node's memory, adds them in the tree's order, and sends the sum to all. IEEE addition commutes, so
 * only the tree decides the bits.
 *
 * Waiting is polling with a clock: after timeout_s the absent ranks are named and E_HANG returned.
 * MPI only.
 *
 * Every collective begins by comparing what the ranks call: if they differ all return E_SHAPE, if
 * one cannot take part all return its status and its sentence, and the communicator stays usable.
 * After E_HANG, or E_PEER of a failed message, it can only be destroyed, and memory given to that
 * call must stay until the process ends: a late message may still arrive in it. The first
 * communicator made by sunup_comm_create initialises MPI: destroy it last.
 */
#ifndef SUNUP_COMM_H
#define SUNUP_COMM_H

#include "base/context.h"

struct kernels;

struct slice {
    int64_t at, n;
};

/* --- the tree (tree.c; no MPI) --- */
/* [from, to) of the shards that rank owns. */
void sunup__shards_of(int shards, int ranks, int rank, int *from, int *to);
/* Maximal aligned subtrees of [from, to): level[i] and start[i], ascending start; returns their
 * number (<= 64). */
int sunup__subtrees(int shards, int from, int to, int *start, int *level);

/* Streaming accumulation of one rank's shards. */
struct exchange;
/* n elements f32 (f64 if f64). sum: [n] out, the total on every rank after finish. Memory:
 * (subtrees + log2 of the block + 1) * n. All ranks call it, with the same arguments. */
sunup_status sunup__exchange_create(sunup_comm *comm, const struct kernels *k, int threads,
                                    int shards, int64_t n, bool f64, struct exchange **x);
void sunup__exchange_destroy(struct exchange **x);
/* The ranks see each other's rows: the total can stay in the exchange. So it can on one rank. */
bool sunup__exchange_is_shared(const struct exchange *x);
/* Predicted memory of a rank whose rows are not shared, with the default bucket_bytes. */
int64_t sunup__exchange_bytes(int shards, int ranks, int64_t n, bool f64);
/* Where the next own shard's terms must be written ([n], not zeroed). */
void *sunup__exchange_slot(struct exchange *x);
/* The slot is full: add it in. Call for every own shard in ascending order. */
void sunup__exchange_push(struct exchange *x);
/* After all own shards: exchange. site: what this is ("step 12 gradients"), for reports. sum: [n]; NULL,
 * on one rank or where rows are shared: nothing is copied, and the total is where exchange_total says. */
sunup_status sunup__exchange_finish(struct exchange *x, const char *site, void *sum);
/* The total after a finish with NULL, until the next slot is filled. */
void *sunup__exchange_total(struct exchange *x);
double sunup__exchange_wait_s(const struct exchange *x); /* of the last finish */

/* --- small collectives, all with watchdog --- */
sunup_status sunup__comm_broadcast(sunup_comm *comm, void *data, int64_t bytes, int root,
                                   const char *site);
/* To all ranks: all [ranks][bytes]. */
sunup_status sunup__comm_gather(sunup_comm *comm, const void *mine, int64_t bytes, void *all,
                                const char *site);
sunup_status sunup__comm_barrier(sunup_comm *comm, const char *site);
/* E_PEER naming the ranks whose value differs from rank 0's. */
sunup_status sunup__comm_compare(sunup_comm *comm, uint64_t value, const char *what);
/* Ranks on this node and this rank's number there: for thread counts and binding. */
void sunup__comm_node(const sunup_comm *comm, int *node_rank, int *node_ranks);
/* MPI's own sum of x [n] over the ranks, in place, and the version of MPI: for comparison only. It waits for a lost
 * rank without a word. */
sunup_status sunup__comm_mpi_sum(sunup_comm *comm, float *x, int64_t n);
const char *sunup__comm_library(const sunup_comm *comm);
/* True if the environment says that this process was started by an MPI launcher. */
bool sunup__launched_by_mpi(void);
/* End the whole job at once with this exit status (the program only, after E_HANG or E_PEER). */
void sunup__comm_abort(sunup_comm *comm, int exit_status);

#endif
