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
 * After E_HANG, or E_PEER of a failed message, it can only be destroyed (or shrunk), and memory given to that
 * call must stay until the process ends: a late message may still arrive in it. The first
 * communicator made by sunup_comm_create initialises MPI: destroy it last.
 */
#ifndef SUNUP_COMM_H
#define SUNUP_COMM_H

#include "base/context.h"

struct kernels;
struct text;

struct slice {
    int64_t at, n;
};

/* --- the tree (tree.c; no MPI) --- */
/* [from, to) of the shards that rank owns. */
void sunup__shards_of(int shards, int ranks, int rank, int *from, int *to);
/* Maximal aligned subtrees of [from, to): level[i] and start[i], ascending start; returns their
 * number (<= 64). */
int sunup__subtrees(int shards, int from, int to, int *start, int *level);

/* Streaming accumulation of one rank's shards, and the exchange of what they add up to.
 *
 * The n elements are a head, of which each rank owns slices, and a tail that every rank needs whole. A step:
 *
 *     slot, push        for every own shard, in ascending order; ready, where a shard's first elements are
 *                       complete before the rest, so that they can travel
 *     reduce            total: the sums of the own slices of the head, and the tail
 *     again?            rarely, with SUM_INT32: the same once more from the first slot on
 *     combine           as often as wanted: integers added over all ranks
 *     (the caller makes new data of its slices, calling give for each piece)
 *     share             data: all slices are on all ranks
 *
 * All ranks make the same calls with the same sizes. */
struct exchange;
enum sum_kind {
    SUM_TREE, /* f32 or f64, added along the tree */
    /* The head as block-scaled integers, exact in any order; the tail along the tree. Of f32 and at most 65536 shards.
     * For gradients whose sizes within 512 neighbours span less than 2^(28 - log2 S): see fixed.c. */
    SUM_INT32
};
/* E_UNSUPPORTED, with a sentence: not by integers. */
sunup_status sunup__fixed_check(sunup_context *ctx, int shards, bool f64);
struct exchange_options {
    const struct kernels *k;
    int threads, shards;
    int64_t n, head; /* elements; head = 0: an all-reduce, the total is whole on every rank */
    int64_t data_n;  /* elements of data, >= head; what lies beyond head is the rank's own affair */
    bool f64;
    /* Of f32 and SUM_TREE: terms and partial sums of the head are rounded to bf16, and travel as such. */
    bool bf16;
    enum sum_kind kind;
    /* SUM_INT32: where the head's tensors begin, ascending from 0; any term of one may become as large as its largest.
     * Read at creation. 0 parts: nothing is known. */
    int parts;
    const int64_t *part_at;
    /* Where a slice may end: the last such place <= at (ascending in at, 0 for 0). NULL: anywhere. */
    int64_t (*cut)(const void *arg, int64_t at);
    const void *cut_arg;
    /* What these elements of the head belong to, for reports, into room [NAMES_TEXT]. NULL: it is not told. */
    void (*name)(const void *arg, struct slice s, char *room);
    const void *name_arg;
};
enum { NAMES_TEXT = 96 };
/* E_UNSUPPORTED, with a sentence: not in bf16. */
sunup_status sunup__bf16_check(sunup_context *ctx, const struct exchange_options *o);
/* Memory: (subtrees + log2 of the block + 1) * n + data_n elements; with SUM_INT32 3 n + data_n, and
 * those rows of the tail. */
sunup_status sunup__exchange_create(sunup_comm *comm, const struct exchange_options *o,
                                    struct exchange **x);
void sunup__exchange_destroy(struct exchange **x);
/* Predicted memory of a rank whose rows and data are not shared, with the default bucket_bytes. */
int64_t sunup__exchange_bytes(const struct exchange_options *o, int ranks);
/* The slices of the head that `rank` owns, ascending, some may be empty; returns their number. Valid until the next
 * question about another rank. */
int sunup__exchange_slices(struct exchange *x, int rank, const struct slice **slices);
/* [data_n], 64-byte aligned, zeroed at creation; it lives as long as the exchange. Ranks beside one memory may have the
 * head once: outside of steps all write the same there, each byte once. */
void *sunup__exchange_data(struct exchange *x);
/* Where the next own shard's terms must be written ([n], not zeroed). */
void *sunup__exchange_slot(struct exchange *x);
/* The first n elements of the slot are complete and will not be written again; n ascends. Between the tasks of a
 * computation: it sends what can go, lands what has come, and does not wait. An error is reduce's. Nothing with
 * SUM_INT32, whose integers mean something only when the largest terms of all ranks are known. */
void sunup__exchange_ready(struct exchange *x, int64_t n);
/* The slot is full: add it in. Call for every own shard in ascending order. */
void sunup__exchange_push(struct exchange *x);
/* After all own shards. site: what this is ("step 12 gradients"), for reports. */
sunup_status sunup__exchange_reduce(struct exchange *x, const char *site);
/* After reduce, the same on all ranks: some terms were larger than foreseen, and there is no total. The caller must
 * compute and push the same terms again, and reduce; no step does so twice. Also true of the first step. */
bool sunup__exchange_again(const struct exchange *x);
/* With SUM_INT32: what the bits of later steps depend on, [*n], the same on all ranks between reduce and the next push;
 * for checkpoints. *n = 0 with SUM_TREE. restore: E_ARGUMENT if they cannot be such. */
const float *sunup__exchange_bounds(const struct exchange *x, int64_t *n);
sunup_status sunup__exchange_restore(struct exchange *x, const float *bounds);
/* From now on reduce calls hear for each piece of the total of own slices, on the thread that made
 * it and while it is in cache; pieces end where slices may. False if this exchange cannot: then nothing is called. */
bool sunup__exchange_listen(struct exchange *x, void (*hear)(void *arg, struct slice piece),
                            void *arg);
/* [n]: valid in the own slices after reduce, in the tail too after the first combine (without a head:
 * at once), until the next slot is filled. */
void *sunup__exchange_total(struct exchange *x);
/* words [n] summed over the ranks, in place: integers, so in any order. */
sunup_status sunup__exchange_combine(struct exchange *x, const char *site, int64_t n,
                                     int64_t *words);
/* The piece [at, at + n) of data, within an own slice, is new and still in cache: it may travel now. Any thread. */
void sunup__exchange_give(struct exchange *x, int64_t at, int64_t n);
sunup_status sunup__exchange_share(struct exchange *x, const char *site);
/* The slices of a flat array of which each rank has its own, one behind the other (mine), to the whole, all [head], on
 * rank root; all is NULL elsewhere. Elements as the exchange's. */
sunup_status sunup__exchange_collect(struct exchange *x, const char *site, int root,
                                     const void *mine, void *all);
/* How the head travels: "nearest:bucket16MiB", with ", tuned" if the tuning file says so; "" where no
 * message is sent. */
const char *sunup__exchange_text(const struct exchange *x);
double sunup__exchange_wait_s(const struct exchange *x); /* waited since creation */

/* --- what an exchange will cost (predict.c; no MPI) --- */
/* What the choice of a route supposes of a network. */
struct network {
    double latency_s;       /* of a message, from send to receive */
    double message_s;       /* of a rank's time for each          */
    double bytes_per_s;     /* that a rank sends to neighbours    */
    double far_bytes_per_s; /* and beyond them, when all do       */
    int neighbours;         /* nodes next to each other that have the better links */
};
struct network sunup__network_defaults(void);
struct machine {
    int ranks, node_ranks; /* of the job; of each node, 1: every rank is alone */
    double bytes_per_s;    /* that a rank reads or writes in its node's memory */
    struct network net;
};
struct exchange_cost {
    const char *route; /* of the head's buckets between nodes, "" on one node */
    int buckets;
    double bucket_s;   /* of a bucket: memory of the node and the link, busy one after the other */
    double latency_s;  /* of the last bucket, beside that */
    double share_s;    /* of all buckets on the way back */
    double sent_bytes; /* by a rank to other nodes, in a step */
    double memory_bytes; /* of the exchange on a rank */
};
sunup_status sunup__exchange_predict(sunup_context *ctx, const struct exchange_options *o,
                                     const struct machine *m, struct exchange_cost *cost);

/* --- a second look (verify.c) --- */
/* With `verify: steps`, from the next collective or slot on, until it is turned off: what is sent and summed is
 * looked at twice; what differs is E_PEER on all ranks, naming two of them. All ranks alike. */
enum verify { VERIFY_STEPS, VERIFY_ALWAYS, VERIFY_OFF };
void sunup__comm_verify(sunup_comm *comm, bool on);
/* A planted fault: one bit flips, in what lands here next or in the sum of this rank's slice on one node, once. */
void sunup__comm_flip(sunup_comm *comm);

/* --- small collectives, all with watchdog --- */
sunup_status sunup__comm_broadcast(sunup_comm *comm, void *data, int64_t bytes, int root,
                                   const char *site);
/* To all ranks: all [ranks][bytes]. */
sunup_status sunup__comm_gather(sunup_comm *comm, const void *mine, int64_t bytes, void *all,
                                const char *site);
/* Part r of from [ranks][bytes] to rank r, where it becomes this rank's part of to [ranks][bytes].
 * They must not overlap. */
sunup_status sunup__comm_alltoall(sunup_comm *comm, const void *from, int64_t bytes, void *to,
                                  const char *site);
sunup_status sunup__comm_barrier(sunup_comm *comm, const char *site);
/* E_PEER naming the ranks whose value differs from rank 0's. */
sunup_status sunup__comm_compare(sunup_comm *comm, uint64_t value, const char *what);
/* Ranks on this node and this rank's number there: for thread counts and binding. */
void sunup__comm_node(const sunup_comm *comm, int *node_rank, int *node_ranks);
/* x [n] summed over the ranks, in place on all of them: integers, which wrap, so in any order. */
sunup_status sunup__comm_sum_integers(sunup_comm *comm, int32_t *x, int64_t n, const char *site);
/* The same of elements [r n / ranks, (r + 1) n / ranks) only on rank r; the others are overwritten. */
sunup_status sunup__comm_scatter_integers(sunup_comm *comm, int32_t *x, int64_t n, const char *site);
/* Algorithms (algorithms.def) are chosen by ranks, bytes and place; checks and benches name them. Sums: those of reals
 * are sunup_comm_sum_shards and sunup_comm_scatter_shards. */
enum collective {
    COLLECTIVE_broadcast,
    COLLECTIVE_allgather,
    COLLECTIVE_alltoall,
    COLLECTIVE_allreduce,
    COLLECTIVE_reduce_scatter,
    COLLECTIVE_allreduce_int32,
    COLLECTIVE_reduce_scatter_int32,
    COLLECTIVE_barrier,
    COLLECTIVES
};
const char *sunup__collective_name(enum collective what); /* "allreduce" */
const char *sunup__collective_type(enum collective what); /* "int32" */
const char *sunup__collective_algorithm(enum collective what, int i); /* NULL: there are no more */
const char *sunup__comm_choice(const sunup_comm *comm, enum collective what, int64_t bytes);
/* All ranks alike, from the next call on; name NULL: the choice again. False: it does not run here. */
bool sunup__comm_force(sunup_comm *comm, enum collective what, const char *name);
/* What the tuning file of rank 0 says of them becomes the choice of all ranks (choices.c); an exchange
 * asks by itself. */
sunup_status sunup__comm_consult(sunup_comm *comm);
/* Measure the ways of an exchange in its own memory, and the collectives' algorithms; the winners are choices of the
 * context on all ranks, and rank 0's table of all is added to `table`. Partial sums are lost, data stay as they are if
 * they are equal on all ranks. */
sunup_status sunup__exchange_tune(struct exchange *x, struct text *table);
sunup_status sunup__comm_tune(sunup_comm *comm, struct text *table);
/* MPI's own call for the same, for comparison only. It waits for a lost rank without a word. Of sums `bytes` are those
 * of the vector, `from` may be `to`. */
sunup_status sunup__comm_mpi(sunup_comm *comm, enum collective what, const void *from,
                             int64_t bytes, void *to);
/* The last meeting before destroy, which makes it unless this was called: all ranks; E_HANG if one
 * does not come. */
sunup_status sunup__comm_leave(sunup_comm *comm);
/* Ranks that the last E_HANG named, at most 8; state as in its sentence: "gone", "stopped", "alive",
 * "of unknown state". */
struct lost {
    int rank;
    const char *host, *state;
};
int sunup__comm_lost(const sunup_comm *comm, const struct lost **lost);
/* E_UNSUPPORTED, with a sentence: this MPI, or the way it was started, does not go on when ranks die. */
sunup_status sunup__comm_check_shrink(const sunup_comm *comm);
/* The communicator broke because ranks are gone, for all that is known here. */
bool sunup__comm_died(const sunup_comm *comm);
/* *comm broke because ranks died. It becomes a communicator of those that are left, in their order, on all of them;
 * nothing that was made with the old one may be left. Some milliseconds; MPI waits for a rank that is stopped
 * (limit.c). E_UNSUPPORTED, *comm unchanged: no rank is known to be gone. After another error it may be shrunk again if
 * sunup__comm_died, else only be destroyed. MPI, which may wait for the dead at its end, is not finalised. */
sunup_status sunup__comm_shrink(sunup_comm **comm);
/* The variable in which this process' launcher tells its rank; NULL without a launcher. */
const char *sunup__launcher_variable(void);
/* MPI's own sum of x [n] over the ranks, in place, and the version of MPI: for comparison only. It waits for a lost
 * rank without a word. */
sunup_status sunup__comm_mpi_sum(sunup_comm *comm, float *x, int64_t n);
const char *sunup__comm_library(const sunup_comm *comm);
/* True if the environment says that this process was started by an MPI launcher. */
bool sunup__launched_by_mpi(void);
/* End the whole job at once with this exit status (the program only, after E_HANG or E_PEER). */
void sunup__comm_abort(sunup_comm *comm, int exit_status);

#endif
