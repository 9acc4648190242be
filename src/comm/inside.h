/* inside.h - what the files of comm share and nobody else sees.
 *
 * From bottom to top: tree.c (which sums, in which order), sum.c and bf16.c (additions, roundings), wire.c,
 * messages.c and shrink.c (with mpi.c the only files that know MPI), watchdog.c (waiting, and the report when it
 * is in vain), limit.c (the same where MPI itself waits), small.c (meet, agree, compare), rounds.c (meetings of many
 * ranks), broadcast.c, gather.c and
 * alltoall.c (the caller's bytes), mpi.c (all of these by MPI's own calls), collectives.c (which algorithm),
 * shared.c (memory that a node's ranks share), node.c (partial sums there), routes.c, layout.c, stages.c and
 * rows_check.c (partial sums over the wire: which way, on it, and a second look), rows.c (a rank's own shards), fixed.c
 * (exact sums of integers; no messages), exchange_layout.c, integers.c and exchange.c (sums and what is made of them),
 * sum_calls.c (sums of the caller's buffers, by stages), sum_shared.c and sum_exact.c (the other algorithms of
 * these), verify.c (a second look at all of it), choices.c and tune.c (measured choices), comm.c (create and
 * destroy).
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

/* --- wire.c --- */
#define WIRE_MAX ((int64_t)1 << 30) /* bytes of a message: MPI counts in int */
/* MPI grants tags up to 32767. LANES times TAG_BUCKETS are those of stages. */
enum { TAG_BUCKETS = 8192, LANES = 2, TAG_DATA = 32766, TAG_MEET = 32767 };

struct wire;                    /* MPI's handles */
bool sunup__wire_running(void); /* MPI is initialised and not finalised */
/* Fill rank, ranks, node_rank, node_ranks, records. mpi_comm_f NULL: all ranks of the job. left_of: of this broken one
 * mpi_comm_f holds those that are left, on the same nodes; else NULL. */
sunup_status sunup__wire_open(sunup_comm *comm, const int *mpi_comm_f, const sunup_comm *left_of);
/* The handle of the ranks of one colour, to be freed. */
sunup_status sunup__wire_split(sunup_comm *comm, int colour, int *mpi_comm_f);
void sunup__wire_free(int mpi_comm_f);
void sunup__wire_close(sunup_comm *comm); /* touches MPI only if the communicator is whole */
void sunup__wire_abort(sunup_comm *comm, int exit_status);

/* --- shrink.c --- */
bool sunup__wire_died(int code); /* of MPI: a rank is gone, or another rank was told so */
void sunup__wire_revoke(const struct wire *w); /* who waits in it for others of those that live is told */

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
    int high;       /* numbers below it are in use: only those are polled */
    int *peer;      /* [room] of a message under way, else -1         */
    int *landed;    /* [room] numbers of those that the last wait saw */
    void *requests; /* [room] MPI_Request                             */
    void *statuses; /* [room] MPI_Status, of the last wait            */
    struct message *in; /* [room] what comes in under a number; data NULL: something else does */
    bool noted;         /* checksums are kept of what is sent and of what lands: */
    struct note *notes; /* [ranks] of the messages from and to each */
};
struct note {
    uint64_t sent, landed, told; /* told: what the peer says it sent */
    bool any;                    /* there was a message */
};
sunup_status sunup__flight_create(sunup_comm *comm, int room, struct flight *f);
void sunup__flight_end(struct flight *f);
sunup_status sunup__send(struct flight *f, int number, const struct message *m);
sunup_status sunup__receive(struct flight *f, int number, const struct message *m);
sunup_status sunup__poll(struct flight *f, int *landed); /* no waiting; may see none */
void sunup__under_way(struct flight *f, int number, int peer); /* a request of that number has begun */
/* From now on, if on, both ends of each message note its checksum, until compare: then what this rank received is what
 * its peers sent, or E_PEER. All who sent or received call both, with nothing under way. */
void sunup__flight_note(struct flight *f, bool on);
sunup_status sunup__flight_compare(struct flight *f);

/* --- watchdog.c --- */
enum { SITE_TEXT = 88, HOST_TEXT = 64, SHOWN_BYTES = 2048, LOST_MOST = 8 };

/* What each rank shows the others when they meet. */
struct card {
    int32_t kind, status;
    int64_t n, detail;
    uint64_t sequence, value;
};
/* What a rank puts up at a meeting of its node. A peer waits for the number and finds the card and the first bytes in
 * the same cache line: of a small sum nothing else moves between the cores. */
struct sign {
    _Alignas(64) _Atomic uint64_t meeting; /* of the node, begun */
    struct card card;
    char shown[SHOWN_BYTES]; /* a small collective's data */
};
/* What a rank tells the others of its node about itself, in shared memory that it alone writes. The first lines are
 * read only when a rank is late. */
struct record {
    _Alignas(64) _Atomic uint64_t sequence; /* collectives begun */
    _Atomic int inside;                     /* of the last collective */
    _Atomic int reported;                   /* has named a lost rank and ends: it is not the cause */
    int rank, pid;
    uint64_t pid_space;   /* where pid is valid (containers) */
    double begun_s;       /* monotonic clock of entering it, to some milliseconds */
    char site[SITE_TEXT]; /* of the last collective begun */
    struct sign sign[2];  /* of this meeting and the one before, which some may still read */
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
/* The same, and their cards and what they show can be read. light: nothing was written past the caches. */
sunup_status sunup__node_show(sunup_comm *comm, const struct card *card, bool light);
/* Of the rank `index` of the node, at the meeting of that number: the next one (comm->meetings + 1) or the last. */
struct sign *sunup__sign(const sunup_comm *comm, int index, uint64_t meeting);

/* Ranks of this node that are stopped, gone or behind, as a report tells them; nothing: none is. */
void sunup__watch_absent(sunup_comm *comm, struct text *t);

/* --- limit.c --- */
struct limit;
/* Around calls in which MPI itself waits for all ranks: after timeout_s + 2 s at most ctx->stuck is called with a
 * report, in which `what` is what is waited for. records: those of comm stay readable. NULL: nobody watches. */
struct limit *sunup__limit_begin(sunup_comm *comm, const char *what, bool records);
void sunup__limit_end(struct limit **limit);

/* --- small.c --- */
enum call_kind {
    CALL_BARRIER,
    CALL_COMPARE,
    CALL_AGREE,
    CALL_BROADCAST,
    CALL_GATHER,
    CALL_ALLTOALL,
    CALL_SUM_F32,
    CALL_SUM_F64,
    CALL_SUM_INT32,
    CALL_SUM_INTEGERS,
    CALL_SCATTER_F32,
    CALL_SCATTER_INTEGERS,
    CALL_COMBINE,
    CALL_SHARE,
    CALL_COLLECT,
    CALL_TURN,
    CALL_END
};
struct call {
    enum call_kind kind;
    int64_t n;      /* elements or bytes */
    int64_t detail; /* shards or root    */
    const char *site;
};
/* Enter a collective: afterwards all ranks' cards equal this one's (comm->alike) or are in comm->cards. E_SHAPE naming
 * the ranks if they do not call the same; the first status that is not OK, on all ranks, if a rank came with
 * one. Each OK meeting needs a leave. */
sunup_status sunup__meet(sunup_comm *comm, const struct call *call, sunup_status mine,
                         uint64_t value);

/* --- shared.c --- */
struct shared {
    int ranks;      /* of this node */
    char **block;   /* [ranks] each rank's block as mapped here; NULL: not shared */
    int64_t *bytes; /* [ranks] */
    int64_t common; /* bytes, in whole huge pages: */
    int *first;     /* [ranks] the rank in whose block those of each rank lie: itself, or one before it */
    bool whole;     /* all ranks of all nodes have mapped the blocks of their node */
};
/* A block of `bytes` (this rank's; others may want other sizes), zeroed; of its first `common` bytes (the same on all
 * ranks) whole huge pages are there once for all ranks beside one memory. All ranks call it, where sunup__by_nodes. OK
 * with block NULL if a system keeps its ranks apart. */
sunup_status sunup__shared_create(sunup_comm *comm, int64_t bytes, int64_t common, struct shared *s);
/* How many bytes at the beginning of to's block `from` need not write there: what it writes into its own block, or into
 * that of the first beside to's memory, is there. */
int64_t sunup__shared_there(const struct shared *s, int from, int to);
void sunup__shared_end(struct shared *s); /* of the own mapping only: others may go on */

/* --- collectives.c: the caller's bytes and sums --- */
struct addends;
struct transfer {
    const char *from; /* of an all-to-all: [ranks][bytes] */
    char *to;         /* broadcast: [bytes], in and out; else [ranks][bytes] */
    int64_t bytes;    /* of a sum: of its vector */
    int root;
    struct addends *sum; /* NULL: bytes are bytes */
};
typedef sunup_status run_algorithm(sunup_comm *comm, const struct transfer *t);  /* between meet and leave */
typedef sunup_status show_algorithm(sunup_comm *comm, const struct transfer *t); /* before */
#define ALGORITHM(collective, name, where, of, show, run) run_algorithm run;
#define SHOW(function) show_algorithm function;
#include "comm/algorithms.def"
struct algorithm;
/* A collective: meet, and run the algorithm that is chosen for it. mine: not OK if this rank cannot take part. */
sunup_status sunup__move(sunup_comm *comm, enum collective what, const struct call *call, sunup_status mine,
                         const struct transfer *t);
/* Of a reduce-scatter of exact sums; NULL: there is no such algorithm, or it needs one node. */
run_algorithm *sunup__exact_scatter(const char *name);
const char *sunup__exact_scatter_name(int i); /* the i-th of them; NULL: there are no more */
/* Measured choices of a collective: sizes in any order, numbers of algorithms. */
enum { TUNED_SIZES = 16 };
struct tuned {
    int32_t n, algorithm[TUNED_SIZES];
    int64_t bytes[TUNED_SIZES];
};
/* Number of the algorithm of that name, -1: it does not run here. The same on all ranks. */
int sunup__algorithm_here(const sunup_comm *comm, enum collective what, const char *name);
/* The algorithm of this call, the same on all ranks that make the same call. */
const struct algorithm *sunup__choose(const sunup_comm *comm, enum collective what, int64_t bytes);
bool sunup__node_alike(const sunup_comm *comm); /* small.c: all ranks of the node showed this one's */
sunup_status sunup__run_meeting(sunup_comm *comm); /* cards come to comm->cards, or comm->alike is set */
/* A block a rank of one node, through which the caller's bytes go (pool.h). All ranks call it. */
sunup_status sunup__pool_create(sunup_comm *comm);
/* Blocks that lie in the caller's memory stride apart, one a rank counted from `root`; the bytes end at `end`. */
struct blocks {
    char *at;
    int64_t stride, bytes, end;
    int root;
};
sunup_status sunup__ring(sunup_comm *comm, const struct blocks *b); /* gather.c: each has its own, all get all */

/* --- verify.c --- */
/* Around what moves a caller's bytes, where comm->verified: sent, before the first byte is shown, gives what the card
 * says; received, between run and leave, is this rank's verdict, which all learn of by an agreement after that. */
uint64_t sunup__verify_sent(sunup_comm *comm, enum collective what, const struct transfer *t);
sunup_status sunup__verify_received(sunup_comm *comm, enum collective what, const struct transfer *t);
/* A result [bytes] that all ranks have, after a collective that ended so on this one: E_PEER on all if somebody's
 * differs. A collective of its own; nothing where not comm->verified. */
sunup_status sunup__verify_result(sunup_comm *comm, sunup_status mine, const void *result, int64_t bytes,
                                  const char *site);
/* Within a collective: comm->sums[r] to rank r, where it becomes comm->sums[ranks + this rank]. */
sunup_status sunup__verify_tell(sunup_comm *comm);
/* The last meeting's value of that rank, where cards may differ. */
uint64_t sunup__value_of(const sunup_comm *comm, int rank);

/* --- what is summed --- */
enum addition_of {
    OF_REALS,
    OF_INTEGERS, /* int32, wrapping */
    OF_SIZES     /* |x| of f32: the larger of two, in the order of their bits, where NaN is the largest */
};
struct sum {
    int threads, shards;
    int64_t n;
    bool f64;
    const struct kernels *k;
    enum addition_of of;
    int64_t rounded; /* elements, the first ones, whose terms and partial sums are bf16 (bf16.c) */
};
static inline int64_t sunup__sum_element(const struct sum *s)
{
    return s->f64 ? 8 : 4;
}
/* sum.c: y += x, y = x; x and y are apart or the same. */
void sunup__sum_add(const struct sum *s, int64_t n, const char *x, char *y);
void sunup__sum_copy(const struct sum *s, int64_t n, const char *x, char *y);
/* --- bf16.c --- */
enum { WIRE_BF16 = 2 }; /* bytes of an element */
/* Elements `range` of the sum, at x: those that are to be rounded are. */
void sunup__bf16_round(const struct sum *s, struct slice range, char *x);
/* halves: room for n rounded up to even, aligned as a word. */
void sunup__bf16_pack(const struct sum *s, int64_t n, const char *x, char *halves);
/* halves may be the second half of x, for an even number of elements >= n. */
void sunup__bf16_unpack(int64_t n, const char *halves, char *x);
/* Elements that a thread takes at once: a few rows of them stay in its cache. */
enum { SUM_CHUNK = 4096 };
static inline int64_t sunup__sum_chunks(int64_t n)
{
    return (n + SUM_CHUNK - 1) / SUM_CHUNK;
}

/* --- layout.c --- */
/* Where a slice may end: the last such place <= at. at NULL: anywhere. */
struct cuts {
    int64_t (*at)(const void *arg, int64_t at);
    const void *arg;
};
int64_t sunup__cut_at_line(const void *arg, int64_t at);
/* Part i of d of a range, whose ends stay. */
struct slice sunup__part(const struct cuts *c, struct slice range, int64_t i, int64_t d);

/* --- fixed.c --- */
enum { FIXED_BLOCK = 512 }; /* elements of one exponent */
struct fixed_sum;
int64_t sunup__fixed_blocks(int64_t n);
/* A sum of block-scaled integers over all ranks, of which this one adds its own terms. Its integers and maxima, row
 * [n] and most [blocks], lie in memory of the caller's, where other ranks may see them. */
sunup_status sunup__fixed_create(sunup_context *ctx, const struct sum *s, int32_t *row, float *most,
                                 struct fixed_sum **f);
void sunup__fixed_destroy(struct fixed_sum **f);
/* Parts that begin at these elements, ascending from 0: terms of all blocks of a part are foreseen as large as its
 * largest bound. Without, each block is by itself. */
sunup_status sunup__fixed_parts(sunup_context *ctx, struct fixed_sum *f, int n, const int64_t *at);
int64_t sunup__fixed_bytes(int64_t n); /* what create allocates */
/* A term x [n], or two at less than twice the cost (z NULL: none). The first one begins a sum. */
void sunup__fixed_add(struct fixed_sum *f, const float *x, const float *z);
/* After all own terms, most [ranks][blocks] being the maxima of some ranks: the largest, [blocks], in memory that the
 * caller may raise further, until the next call. */
float *sunup__fixed_largest(struct fixed_sum *f, const float *const *most, int ranks);
/* Those being of all ranks, true if some block did not fit. Then all ranks must add the same terms again; this happens
 * once, and leaves nothing that one sum with these exponents would not. */
bool sunup__fixed_decide(struct fixed_sum *f);
struct fixed_rows {
    const int32_t *const *row; /* [n], each [elements] */
    int n;
};
/* After a decision: the slice of total is that of the sum of all rows. total may be one of them. */
void sunup__fixed_value(const struct fixed_sum *f, const struct fixed_rows *rows, struct slice slice,
                        float *total);
/* What later sums depend on, [blocks], between a decision and the next term: the same on all ranks. */
const float *sunup__fixed_bounds(const struct fixed_sum *f);
sunup_status sunup__fixed_restore(sunup_context *ctx, struct fixed_sum *f, const float *bounds);

/* --- node.c --- */
struct node_sum;
/* rows: each rank's block begins with its partial sums, row_bytes apart, ascending. n: of a row. */
sunup_status sunup__node_sum_create(sunup_comm *comm, const struct sum *sum, const struct shared *rows,
                                    int64_t row_bytes, struct node_sum **s);
void sunup__node_sum_destroy(struct node_sum **s);
/* The subtrees that the node's partial sums add up to (one if all ranks are here) and where their sums will be:
 * row[i] [n], ascending; returns their number. Row 0 is this rank's first unless nothing is added there. */
int sunup__node_sum_rows(const struct node_sum *s, char *const **row);
/* Of partial sums that lie elsewhere, all ranks on one node: most of a rank; and the sum of n elements of all of them,
 * to `to` (which may be one of them), by a thread < threads. Row i of rank r is found at `at`. */
int sunup__node_sum_most(const struct node_sum *s);
struct places {
    const char *(*at)(const void *arg, int rank, int row);
    const void *arg;
};
void sunup__node_sum_of(const struct node_sum *s, int thread, const struct places *p, int64_t n, char *to);
/* One node: the total fits beside the cards of a meeting. Before it, show; after it, run, on every rank. */
bool sunup__node_sum_is_small(const struct node_sum *s);
void sunup__node_sum_show(const struct node_sum *s);
void sunup__node_sum_small(const struct node_sum *s);
/* Who hears of each piece that is summed, on the thread that summed it, while it is in cache. */
struct listener {
    void (*hear)(void *arg, struct slice piece); /* NULL: nobody */
    void *arg;
    struct cuts cuts; /* where pieces end, if the slices do */
};
void sunup__node_sum_listen(struct node_sum *s, const struct listener *l);
/* Add up the elements of a slice, which no other rank of the node does; all of them have pushed. */
void sunup__node_sum_run(struct node_sum *s, struct slice mine);
/* One node: a checksum of the slice's total where it lies (total [n]), or of the same added up once more (NULL), before
 * terms are overwritten. */
uint64_t sunup__node_sum_verify(const struct node_sum *s, struct slice slice, const char *total);
/* Copy elements past the caches, to memory that another rank reads next. */
void sunup__give(const struct sum *s, int64_t n, const char *from, char *to);

/* --- rows.c --- */
/* A stack of nodes and of the rows that hold their sums. */
struct rows {
    struct subtree node[TREE_DEPTH];
    char *row[TREE_DEPTH];
    int depth;
};
/* The row at the stack's top holds elements s of `shard`: merge them downwards. Then, once all are merged, push. */
void sunup__rows_merge(const struct sum *sum, const struct rows *r, int shard, struct slice s);
void sunup__rows_push(const struct sum *sum, struct rows *r, int shard);
int sunup__rows_needed(int shards, int from, int to); /* to accumulate [from, to) */

/* --- sum_calls.c --- */
sunup_status sunup__check_sum(sunup_comm *comm, int shards, int64_t n);
struct call sunup__sum_call(const struct sum *s, const char *site);

/* --- sums of the caller's buffers --- */
/* Of elements `range` of rows. Member i owns part i of them. Members are all ranks, or each `each`-th one: those of
 * the same place in their nodes. */
struct addends {
    enum collective what;
    struct sum sum;
    int rows;         /* own partial sums, */
    char *const *row; /* [rows], ascending; overwritten. Of an exact sum there is one */
    bool all;         /* the sum of all elements is wanted at `to`, else that of the own part */
    char *to;         /* of an exact sum: within its row, in place */
    struct slice range;
    struct cuts cuts; /* where parts may end */
    int each;         /* 1, but for exact parts */
    struct stages *stages; /* of algorithms that need them, between show and the end of the call */
};
static inline struct slice sunup__own_part(const struct addends *a, int member, int members)
{
    return sunup__part(&a->cuts, a->range, member, members);
}
/* Memory in which exact sums land; before a collective that is one. */
enum { SUM_ROOM = 512 << 10 };
sunup_status sunup__exact_room(sunup_comm *comm);

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
/* Those with whom rank me exchanges: all ranks, or, each > 1, of each neighbouring `each` ranks (a node's) the one at
 * its place, for all of them; at least one shard a member. False without memory. */
bool sunup__group_create(int ranks, int me, int shards, int each, struct group *g);
void sunup__group_end(struct group *g);
int sunup__routes(void); /* how many there are, in the order of algorithms.def; "direct" is the first */
/* False if that route does not exist for so many members; the first always does. */
bool sunup__route(int number, int members, const struct network *net, struct route *r);
bool sunup__route_named(const char *name, int members, const struct network *net, struct route *r);
/* Of a bucket of `bytes` on its way to the slices, or (share) back: what each member waits for the first byte of the
 * stages, what its link is busy, what it sends. */
struct way_cost {
    double latency_s, busy_s, bytes;
};
struct way_cost sunup__route_cost(const struct route *r, const struct network *net, const struct group *g, int shards,
                                  int64_t bytes, bool share);
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
    /* The buckets themselves, if range is not NULL: each a range of the n elements. */
    int ranges;
    const struct slice *range;
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
/* The elements of bucket b that member owns, and of any range that were one; none: n = 0. */
struct slice sunup__stages_slice(const struct stages *st, int b, int member);
struct slice sunup__stages_part(const struct stages *st, struct slice range, int member);

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
/* After a run that began with comm->verified: what was added is what members had sent, and was added right, or E_PEER
 * with the elements among which it differs (n = 0: unknown). All members call it. */
sunup_status sunup__stages_compare(struct stages *st, struct slice *where);

/* --- choices.c --- */
enum { PLACE_TEXT = 64, CHOICE_TEXT = 128, WAY_TEXT = 48 };
/* How the head of an exchange travels. */
struct exchange_way {
    char route[16]; /* "": as the model says */
    int64_t bucket_bytes;
    bool tuned; /* it is from the tuning file */
};
/* "nearest:bucket16MiB" into room (WAY_TEXT). */
char *sunup__way_text(const struct exchange_way *way, char *room);
/* How many times one size is the other. */
static inline double sunup__apart(int64_t a, int64_t b)
{
    const double x = a > 0 ? (double)a : 1, y = b > 0 ? (double)b : 1;
    return x > y ? x / y : y / x;
}
/* COLLECTIVES: an exchange. of: its type, such as "f32". Into room (CHOICE_TEXT). */
char *sunup__choice_problem(const sunup_comm *comm, enum collective what, const char *of,
                            int64_t bytes, char *room);
/* An exchange of that type can take an EXACT algorithm of this name for its route. */
bool sunup__exchange_takes(const char *of, const char *name);
/* A collective: the way of an exchange of `bytes` among `members`. */
sunup_status sunup__exchange_consult(sunup_comm *comm, const char *of, int64_t bytes, int members,
                                     struct exchange_way *way);

/* --- comm.c --- */
/* The ranks of one colour, in their order. All ranks of comm call it; destroy the parts first. */
sunup_status sunup__comm_split(sunup_comm *comm, int colour, sunup_comm **part);
/* The ranks of mpi_comm_f, which are left of broken, with its options; E_PEER or E_HANG if they lose one meanwhile. */
sunup_status sunup__comm_create_left(const sunup_comm *broken, int mpi_comm_f, sunup_comm **comm);
/* A rank is lost for comm, and for what it is a part of: the others need not wait for this one any more. */
void sunup__comm_break(sunup_comm *comm, sunup_status status);

struct sunup_comm {
    sunup_context *ctx;
    sunup_comm_options options;
    int rank, ranks, node_rank, node_ranks;
    int node, nodes, *leaders; /* this rank's node; [nodes] the first rank of each; known with hosts */
    bool regular;             /* nodes have equally many ranks, which are neighbours */
    enum verify verify;
    bool verified;            /* sums and what is sent are checked, from the next collective on */
    uint64_t *sums;           /* [2][ranks] of what goes to each rank, and what each says it sent */
    /* For tests: may flip bits of what is to be sent ("sent"), has landed ("message"), is with the caller ("received"),
     * is about to be added ("row"), has been ("added"), or was summed ("sum", of integers "integers"). NULL else. Parts
     * inherit it. */
    void (*tamper)(void *arg, const char *what, void *data, int64_t bytes);
    void *tamper_arg;
    bool crowded;             /* more ranks than cores on this node */
    uint64_t meetings;        /* of the node, begun */
    sunup_status broken;      /* not OK: a rank is lost, only destroy and shrink are left */
    bool died;                /* because a rank is gone, as MPI says */
    bool left;                /* has met the others for the last time */
    uint64_t sequence;        /* collectives begun */
    char site[SITE_TEXT];     /* of the one under way */
    struct lost lost[LOST_MOST]; /* of the last E_HANG */
    int n_lost;
    double wait_s;            /* spent waiting since creation */
    struct card *cards;       /* [ranks] of the last meeting, the own one among them */
    bool alike;               /* all of them equal that one, and are not there */
    int64_t shown;            /* bytes, by ordinary stores only, beside the card of the next meeting or this one */
    bool relayed;             /* who is waited for may itself wait for the one that is absent */
    struct shared pool;       /* of one node; block NULL: there is none */
    uint64_t turn;            /* pieces that went through the pool */
    const struct algorithm *forced[COLLECTIVES]; /* NULL: chosen by ranks and bytes */
    struct tuned tuned[COLLECTIVES]; /* n = 0: nothing was measured */
    struct flight flight;     /* of the small collectives */
    struct node_sum *tree;    /* of sums of the caller's buffers on one node: the last number of shards */
    int tree_shards;
    char *room;               /* [SUM_ROOM] of exact sums, NULL until there is one */
    struct record *records;   /* [node_ranks] shared with the node, NULL on one rank */
    char (*hosts)[HOST_TEXT]; /* [ranks], NULL until known */
    struct wire *wire;        /* NULL: one rank, MPI untouched */
    sunup_comm *parent;       /* of which this is a part; NULL: of none */
    int first;                /* the rank there that is rank 0 here, for reports */
};

/* After an E_PEER was raised: it is because numbers of that rank are not those of another. Returns E_PEER. */
static inline sunup_status sunup__differs(const sunup_comm *comm, int rank, const char *site)
{
    sunup__blame(comm->ctx, rank, NULL, site);
    comm->ctx->blame.differs = true;
    return SUNUP_E_PEER;
}
/* What `receiver` has is not what `sender` had, in the collective of that number. */
static inline sunup_status sunup__other_numbers(const sunup_comm *comm, int receiver, int sender, uint64_t number)
{
    (void)sunup__raise(comm->ctx, SUNUP_E_PEER,
                       "rank %d received other numbers than rank %d sent in \"%s\" (collective %llu): memory or "
                       "network of their nodes flips bits",
                       comm->first + receiver, comm->first + sender, comm->site, (unsigned long long)number);
    return sunup__differs(comm, comm->first + receiver, comm->site);
}
static inline void sunup__tamper(const sunup_comm *comm, const char *what, void *data, int64_t bytes)
{
    if (comm->tamper != NULL) comm->tamper(comm->tamper_arg, what, data, bytes);
}
/* All ranks are on this node and use its memory. */
static inline bool sunup__one_node(const sunup_comm *comm)
{
    return comm->ranks > 1 && comm->node_ranks == comm->ranks && !comm->options.messages;
}
/* Each node has several ranks, equally many and neighbours, which use its memory. */
static inline bool sunup__by_nodes(const sunup_comm *comm)
{
    return comm->regular && comm->node_ranks > 1 && !comm->options.messages;
}
/* The rank of this node's rank i, where nodes have equally many. */
static inline int sunup__node_peer(const sunup_comm *comm, int i)
{
    return comm->rank - comm->node_rank + i;
}

#endif
