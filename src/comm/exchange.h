/* exchange.h - an exchange as its files see it: exchange_layout.c makes it, exchange.c runs it,
 * integers.c adds its head up where that goes by integers.
 *
 * Rows: partial sums of all n elements, one behind the other. By integers the tree has the tail only,
 * and so have all rows; the head before the first one's tail is this rank's integers. Row i then begins
 * so many elements before its tail that offsets in rows are those in the sum, and touches no head.
 */
#ifndef SUNUP_COMM_EXCHANGE_H
#define SUNUP_COMM_EXCHANGE_H

#include "comm/inside.h"

struct exchange {
    sunup_comm *comm;
    struct exchange_options o;
    struct sum sum;
    int from, to, next; /* own shards, and the one awaited */
    struct rows rows;
    float *private_sizes;      /* of the own terms, if they are not shared */
    struct integers *integers; /* add the head; NULL: the tree does */
    bool again;
    int64_t merged;     /* elements of the shard at hand that are added in */
    char *memory;       /* rows and data that are not shared */
    char *data, *total;
    struct shared shared, news; /* rows and data of all ranks of the node; NULL blocks: not shared */
    struct node_sum *node;      /* adds those rows */
    struct listener listener;   /* of the head's total; hear NULL: none */
    struct exchange_way way;    /* of the head, where messages are sent */
    char way_text[WAY_TEXT + 8];
    struct stages *head, *tail; /* add what no node holds; NULL: all ranks are here */
    struct stages *sizes;       /* of integers, likewise */
    run_algorithm *exact;       /* adds the head's integers instead of stages; NULL: they do */
    struct sum tail_sum;
    char *tail_row[TREE_DEPTH]; /* of the rows that stages take */
    struct slice *bucket, *part; /* [buckets] of the head, and what of each is this rank's to pass on */
    int buckets, started;
    struct slice tail_part;
    int tried;         /* calls that tried how totals reach the others of the node, */
    double store_s[2]; /* and the least time by ordinary stores [0] and by those past the caches [1] */
    struct slice *own, *others; /* [buckets] slices of this rank, and of the one asked for last */
    uint64_t steps;             /* begun: with the elements that are complete, what peers wait for */
    sunup_status early;         /* of what was done before the ranks met */
    int64_t *words;             /* [ranks][words_room] of combine */
    int64_t words_room;
};

static inline bool sunup__exchange_has_integers(const struct exchange_options *o)
{
    return o->kind == SUM_INT32 && o->head > 0;
}
/* The first element that the tree adds. */
static inline int64_t sunup__exchange_tree_at(const struct exchange_options *o)
{
    return sunup__exchange_has_integers(o) ? o->head : 0;
}
/* Messages are needed: not all ranks see each other's rows. */
static inline bool sunup__over_wire(const struct exchange *x)
{
    return x->comm->ranks > 1 && (x->node == NULL || x->comm->nodes > 1);
}
struct cuts sunup__exchange_cuts(const struct exchange *x);
/* Nodes or ranks that send each other messages. */
static inline int sunup__exchange_members(const struct exchange *x)
{
    return x->node != NULL ? x->comm->nodes : x->comm->ranks;
}
/* What the head's messages are made of, as problems say it. */
static inline const char *sunup__exchange_of(const struct exchange *x)
{
    if (sunup__exchange_has_integers(&x->o)) return "int32";
    return x->o.f64 ? "f64" : "f32";
}
int64_t sunup__exchange_count(const struct exchange *x, int64_t bucket_bytes); /* of buckets */
/* Buckets, slices and stages once more, another way; rows and data stay. On failure it can only be destroyed. */
sunup_status sunup__exchange_lay(struct exchange *x, const struct exchange_way *way);
/* The rows that this rank's messages are parts of: its own, or the node's. */
int sunup__exchange_rows(const struct exchange *x, char *const **row);
/* How far a rank of the node is; see mark in exchange.c. */
_Atomic uint64_t *sunup__exchange_complete(const struct exchange *x, int node_rank);
/* verify.c, one node: before the sum (within the collective), and after it (a collective of its own). */
sunup_status sunup__verify_before(struct exchange *x, uint64_t *next);
sunup_status sunup__verify_after(struct exchange *x, const char *site, uint64_t next);
void sunup__exchange_find_slices(const struct exchange *x, int rank, struct slice *slices);
/* Where a rank of the node has the largest sizes of its terms. */
float *sunup__exchange_sizes(const struct exchange *x, int node_rank);

/* --- integers.c --- */
/* What is exchanged between members that have one row of integers each, and of sizes. */
struct sum sunup__integers_sum(const struct exchange_options *o, int members);
struct sum sunup__integers_sizes(const struct exchange_options *o, int members);
int64_t sunup__integers_row_bytes(const struct exchange_options *o); /* of sizes; 0: no integers */
int64_t sunup__integers_bytes(const struct exchange_options *o, int own_shards); /* that create allocates */
sunup_status sunup__integers_create(struct exchange *x); /* rows are laid out */
void sunup__integers_destroy(struct exchange *x);
void *sunup__integers_slot(const struct exchange *x);
void sunup__integers_push(struct exchange *x); /* the slot, whose tail goes to the row on top */
/* Between meet and leave: x->again; then, unless that is true, the head's totals of the own slices. */
sunup_status sunup__integers_decide(struct exchange *x);
sunup_status sunup__integers_total(struct exchange *x);
/* verify.c: a collective of its own, after total was called within comm->verified. */
sunup_status sunup__integers_verify(struct exchange *x, const char *site);
struct fixed_sum *sunup__integers_fixed(const struct exchange *x);

#endif
