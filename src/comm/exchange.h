/* exchange.h - an exchange as its two files see it: exchange_layout.c makes it, exchange.c runs it. */
#ifndef SUNUP_COMM_EXCHANGE_H
#define SUNUP_COMM_EXCHANGE_H

#include "comm/inside.h"

struct exchange {
    sunup_comm *comm;
    struct exchange_options o;
    struct sum sum;
    int from, to, next; /* own shards, and the one awaited */
    struct rows rows;
    int64_t merged;     /* elements of the shard at hand that are added in */
    char *memory;       /* rows and data that are not shared */
    char *data, *total;
    struct shared shared, news; /* rows and data of all ranks of the node; NULL blocks: not shared */
    struct node_sum *node;      /* adds those rows */
    struct listener listener;   /* of the head's total; hear NULL: none */
    struct stages *head, *tail; /* add what no node holds; NULL: all ranks are here */
    struct sum tail_sum;
    char *tail_row[TREE_DEPTH]; /* of the rows that stages take */
    struct slice *bucket, *part; /* [buckets] of the head, and what of each is this rank's to pass on */
    int buckets, started;
    struct slice tail_part;
    struct slice *own, *others; /* [buckets] slices of this rank, and of the one asked for last */
    uint64_t steps;             /* begun: with the elements that are complete, what peers wait for */
    sunup_status early;         /* of what was done before the ranks met */
    int64_t *words;             /* [ranks][words_room] of combine */
    int64_t words_room;
};

/* Messages are needed: not all ranks see each other's rows. */
static inline bool sunup__over_wire(const struct exchange *x)
{
    return x->comm->ranks > 1 && (x->node == NULL || x->comm->nodes > 1);
}
struct cuts sunup__exchange_cuts(const struct exchange *x);
/* The rows that this rank's messages are parts of: its own, or the node's. */
int sunup__exchange_rows(const struct exchange *x, char *const **row);
/* How far a rank of the node is; see mark in exchange.c. */
_Atomic uint64_t *sunup__exchange_complete(const struct exchange *x, int node_rank);
/* verify.c, one node: before the sum (within the collective), and after it (a collective of its own). */
sunup_status sunup__verify_before(struct exchange *x, uint64_t *next);
sunup_status sunup__verify_after(struct exchange *x, const char *site, uint64_t next);
void sunup__exchange_find_slices(const struct exchange *x, int rank, struct slice *slices);

#endif
