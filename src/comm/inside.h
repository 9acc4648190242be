/* inside.h - what the files of comm share and nobody else sees.
 *
 * From bottom to top: tree.c (which sums, in which order), sum.c (additions), wire.c and messages.c
 * (the only files that know MPI), watchdog.c (waiting, and the report when it is in vain), small.c
 * (meet and the small collectives), shared.c (memory that a node's ranks share), node.c (partial sums
 * there), routes.c and stages.c (partial sums over the wire: which way, and on it), buckets.c (the
 * same, straight), exchange.c (a rank's own shards, and the public sum), comm.c (create and destroy).
 *
 * Invariant: a collective begins with sunup__meet, where every rank learns what every other one
 * calls. So a mismatch or a failed preparation is seen by all ranks alike, before any data moves,
 * and the next call is in step.
 */
#ifndef SUNUP_COMM_INSIDE_H
#define SUNUP_COMM_INSIDE_H

#include <stdatomic.h>

#include "comm/comm.h"
#include "kernels/kernels.h"

/* --- tree.c --- */
/* Nodes on a stack at most: 31 rising and 31 falling levels, and the new leaf. */
enum { TREE_DEPTH = 64 };

struct subtree {
    int start, level;
};
/* Push t on a stack of nodes that stand side by side, and merge siblings for as long as there are.
 * Returns the number of merges, each of which adds the topmost node's sum to the one below it. */
int sunup__tree_push(int shards, struct subtree *stack, int *depth, struct subtree t);

struct addition {
    int into, from;
};
/* The additions that turn n nodes, ascending and side by side, into the fewest: each adds a node's sum
 * to one below it. kept [TREE_DEPTH]: where the sums that are left lie, ascending; returns their
 * number k, after n - k additions. */
int sunup__tree_merge(int shards, int n, const struct subtree *node, struct addition *add,
                      int *kept);
/* The n - 1 additions that turn n nodes, ascending and together the whole tree, into the total at
 * node 0. */
void sunup__tree_additions(int shards, int n, const struct subtree *node, struct addition *add);

/* --- wire.c --- */
#define WIRE_MAX ((int64_t)1 << 30) /* bytes of a message: MPI counts in int */
/* MPI grants tags up to 32767. Below TAG_BUCKETS those of buckets.c, then LANES times as many for stages. */
enum { TAG_BUCKETS = 8192, LANES = 2, TAG_DATA = 32766, TAG_MEET = 32767 };

struct wire;                    /* MPI's handles */
bool sunup__wire_running(void); /* MPI is initialised and not finalised */
/* Fill rank, ranks, node_rank, node_ranks, records. mpi_comm_f NULL: all ranks of the job. */
sunup_status sunup__wire_open(sunup_comm *comm, const int *mpi_comm_f);
void sunup__wire_close(sunup_comm *comm); /* touches MPI only if the communicator is whole */
void sunup__wire_abort(sunup_comm *comm, int exit_status);

/* --- messages.c --- */
struct message {
    int peer, tag;
    void *data;
    int64_t bytes; /* <= WIRE_MAX */
};
/* Numbered messages under way: at most `room` at a time, numbers chosen by the caller. */
struct flight {
    sunup_comm *comm;
    int room, left;
    int *peer;      /* [room] of a message under way, else -1         */
    int *landed;    /* [room] numbers of those that the last wait saw */
    void *requests; /* [room] MPI_Request                             */
    void *statuses; /* [room] MPI_Status, of the last wait            */
};
sunup_status sunup__flight_create(sunup_comm *comm, int room, struct flight *f);
void sunup__flight_end(struct flight *f);
sunup_status sunup__send(struct flight *f, int number, const struct message *m);
sunup_status sunup__receive(struct flight *f, int number, const struct message *m);
sunup_status sunup__poll(struct flight *f, int *landed); /* no waiting; may see none */

/* --- watchdog.c --- */
enum { SITE_TEXT = 88, HOST_TEXT = 64, SHOWN_BYTES = 2048 };

/* What each rank shows the others when they meet. */
struct card {
    int32_t kind, status;
    int64_t n, detail;
    uint64_t sequence, value;
};
/* What a rank tells the others of its node about itself, in shared memory that it alone writes. */
struct record {
    _Alignas(64) _Atomic uint64_t sequence; /* collectives begun */
    _Atomic uint64_t meetings;              /* of the node, begun */
    _Atomic int inside;                     /* of the last collective */
    int rank, pid;
    uint64_t pid_space;   /* where pid is valid (containers) */
    double since_s;       /* monotonic clock of entering or leaving */
    char site[SITE_TEXT]; /* of the last collective begun */
    struct card card[2];  /* of this meeting and the one before, which some may still read */
    char shown[2][SHOWN_BYTES]; /* a small sum's terms, beside them */
};
void sunup__watch_start(struct record *mine, int rank);
void sunup__enter(sunup_comm *comm, const char *site);
void sunup__leave(sunup_comm *comm);
/* Until a message lands (at once if none is under way) or timeout_s pass: then E_HANG, naming the
 * absent. */
sunup_status sunup__wait(struct flight *f, int *landed);
sunup_status sunup__wait_all(struct flight *f);
/* Until all ranks of the node are here: what they wrote before into shared memory can be read. Within a
 * collective that all ranks of the node have entered. */
sunup_status sunup__node_meet(sunup_comm *comm);

/* --- small.c --- */
enum call_kind {
    CALL_BARRIER,
    CALL_COMPARE,
    CALL_AGREE,
    CALL_BROADCAST,
    CALL_GATHER,
    CALL_SUM_F32,
    CALL_SUM_F64,
    CALL_END
};
struct call {
    enum call_kind kind;
    int64_t n;      /* elements or bytes */
    int64_t detail; /* shards or root    */
    const char *site;
};
/* Enter a collective: all ranks' cards are in comm->cards after it. E_SHAPE naming the ranks if
 * they do not call the same; the first status that is not OK, on all ranks, if a rank came with
 * one. Each OK meeting needs a leave. */
sunup_status sunup__meet(sunup_comm *comm, const struct call *call, sunup_status mine,
                         uint64_t value);

/* --- shared.c --- */
struct shared {
    int ranks;
    char **block;   /* [ranks] each rank's block as mapped here; NULL: not shared */
    int64_t *bytes; /* [ranks] */
    bool whole;     /* all ranks have mapped all blocks */
};
/* A block of `bytes` (this rank's; others may want other sizes), zeroed. All ranks call it, and all must be on
 * one node. OK with block NULL if the system keeps them apart. */
sunup_status sunup__shared_create(sunup_comm *comm, int64_t bytes, struct shared *s);
void sunup__shared_end(struct shared *s); /* of the own mapping only: others may go on */

/* --- what is summed --- */
struct sum {
    int threads, shards;
    int64_t n;
    bool f64;
    const struct kernels *k;
};
static inline int64_t sunup__sum_element(const struct sum *s)
{
    return s->f64 ? 8 : 4;
}
/* sum.c: y += x, y = x; x and y are apart or the same. */
void sunup__sum_add(const struct sum *s, int64_t n, const char *x, char *y);
void sunup__sum_copy(const struct sum *s, int64_t n, const char *x, char *y);
/* Elements that a thread takes at once: a few rows of them stay in its cache. */
enum { SUM_CHUNK = 4096 };
static inline int64_t sunup__sum_chunks(int64_t n)
{
    return (n + SUM_CHUNK - 1) / SUM_CHUNK;
}

/* --- node.c --- */
struct node_sum;
/* rows: each rank's block begins with its partial sums, row_bytes apart, ascending. */
sunup_status sunup__node_sum_create(sunup_comm *comm, const struct sum *sum, const struct shared *rows,
                                    int64_t row_bytes, struct node_sum **s);
void sunup__node_sum_destroy(struct node_sum **s);
/* Before the meet: small terms are shown with the card. */
void sunup__node_sum_show(const struct node_sum *s);
/* Afterwards the first row of every rank is the total. Between meet and leave. */
sunup_status sunup__node_sum_run(struct node_sum *s);

/* --- routes.c --- */
/* Members [members] of an exchange: ranks of the communicator, ascending in the shards that they
 * stand for, [from[i], from[i + 1]); all together own all shards. A member may stand for a node. */
struct group {
    int members, me;
    const int *rank; /* [members] */
    const int *from; /* [members + 1] */
};

/* Stage j is among members that differ in digit j only; digit 0, the lowest, tells neighbours apart. The
 * product of the radices is the number of members. */
enum { ROUTE_STAGES = 32 };
struct route {
    const char *name;
    int stages, radix[ROUTE_STAGES];
};
/* What the choice of a route supposes of a network. */
struct network {
    double latency_s;       /* of a message, from send to receive */
    double message_s;       /* of a rank's time for each          */
    double bytes_per_s;     /* that a member sends to neighbours  */
    double far_bytes_per_s; /* and beyond them, when all do   */
    int neighbours;         /* members next to each other that have the better links */
};
struct network sunup__network_defaults(void);
int sunup__routes(void); /* how many there are, in the order of algorithms.def */
/* False if that route does not exist for so many members; the first always does. */
bool sunup__route(int number, int members, const struct network *net, struct route *r);
/* Predicted seconds of a bucket of `bytes`, summed and brought back. */
double sunup__route_s(const struct route *r, const struct network *net, const struct group *g,
                      int shards, int64_t bytes);
/* The route of the least predicted time. */
void sunup__route_choose(const struct network *net, const struct group *g, int shards,
                         int64_t bytes, struct route *r);

/* --- stages.c --- */
struct stages;
struct stages_options {
    const struct sum *sum;     /* copied */
    const struct group *group; /* read at creation only */
    const struct route *route;
    /* Where a slice may end: the last such place <= at (ascending in at, 0 for 0). NULL: anywhere. The end
     * of the n elements is always such a place. */
    int64_t (*cut)(const void *arg, int64_t at);
    const void *cut_arg;
    int64_t bucket_bytes; /* at least; more among many members */
    int lane;             /* < LANES: exchanges of other lanes may be under way at the same time */
};
/* All members call everything with the same sizes, and start buckets in the same order. Nothing is allocated
 * after creation. Each call that moves data stands between meet and leave. */
sunup_status sunup__stages_create(sunup_comm *comm, const struct stages_options *o,
                                  struct stages **st);
void sunup__stages_destroy(struct stages **st);
/* Landing memory of the member that needs most. */
int64_t sunup__stages_bytes(const struct stages_options *o);
int sunup__stages_buckets(const struct stages *st);
/* Bucket b's elements: its rows must be complete before it is started. */
struct slice sunup__stages_bucket(const struct stages *st, int b);
/* The elements of bucket b that member owns; none: n = 0. */
struct slice sunup__stages_slice(const struct stages *st, int b, int member);

/* rows: one for each own subtree, [n] each, ascending, overwritten. total [n]: valid in the own slices
 * afterwards, and it may be one of the rows. */
sunup_status sunup__stages_reduce(struct stages *st, char *const *rows, char *total);
/* data [n]: the own slices to all members, theirs to their places. */
sunup_status sunup__stages_share(struct stages *st, char *data);
/* Both, bucket by bucket: total [n] is the sum on all members. */
sunup_status sunup__stages_sum(struct stages *st, char *const *rows, char *total);

/* The same without waiting: begin, start each bucket once, and progress until all are done. */
enum stages_work { STAGES_REDUCE, STAGES_SHARE, STAGES_SUM };
/* data: total of a reduce or sum. rows: NULL for a share. */
void sunup__stages_begin(struct stages *st, enum stages_work work, char *const *rows, char *data);
sunup_status sunup__stages_start(struct stages *st, int bucket);
/* done: every bucket is. */
sunup_status sunup__stages_progress(struct stages *st, bool *done);
sunup_status sunup__stages_finish(struct stages *st); /* waits */

/* --- buckets.c --- */
struct buckets;
sunup_status sunup__buckets_create(sunup_comm *comm, const struct sum *s, struct buckets **b);
void sunup__buckets_destroy(struct buckets **b);
/* mine: [own subtrees] rows of n partial sums, ascending, overwritten; sum: [n] out. Between meet
 * and leave. */
sunup_status sunup__buckets_run(struct buckets *b, char *const *mine, char *sum);
int64_t sunup__buckets_bytes(const struct sum *s, int ranks, int64_t bucket_bytes);

/* --- comm.c --- */
struct sunup_comm {
    sunup_context *ctx;
    sunup_comm_options options;
    int rank, ranks, node_rank, node_ranks;
    bool crowded;             /* more ranks than cores on this node */
    uint64_t meetings;        /* of the node, begun */
    sunup_status broken;      /* not OK: a rank is lost, only destroy is left */
    uint64_t sequence;        /* collectives begun */
    char site[SITE_TEXT];     /* of the one under way */
    double wait_s;            /* spent waiting since creation */
    struct card *cards;       /* [ranks] of the last meeting, the own one among them */
    struct flight flight;     /* of the small collectives */
    struct record *records;   /* [node_ranks] shared with the node, NULL on one rank */
    char (*hosts)[HOST_TEXT]; /* [ranks], NULL until known */
    struct wire *wire;        /* NULL: one rank, MPI untouched */
};

/* All ranks are on this node and use its memory. */
static inline bool sunup__one_node(const sunup_comm *comm)
{
    return comm->ranks > 1 && comm->node_ranks == comm->ranks && !comm->options.messages;
}

#endif
