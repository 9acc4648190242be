/* stages.h - the layout of a staged exchange, made by layout.c and walked by stages.c. */
#ifndef SUNUP_COMM_STAGES_H
#define SUNUP_COMM_STAGES_H

#include "base/memory.h"
#include "comm/inside.h"

/* One stage as this member sees it. Its rows are the partial sums of all its peers, ascending; the
 * own ones lie where the stage before left them, the others land. */
struct stage {
    int radix, digit;              /* peers, and which of them this member is */
    int *peer;                     /* [radix] ranks */
    int *first;                    /* [radix + 1] a peer's first row */
    int additions, kept_rows;      /* what merging makes of the rows */
    struct addition *addition;     /* [additions] */
    int *kept;                     /* [kept_rows] */
    int64_t landing, row_bytes;    /* of the rows that land, in a slot's memory */
    int reduce_first, share_first; /* message numbers, in a slot, of what comes in */
};

struct layout {
    struct sum sum;
    int64_t element, bucket_bytes; /* of an element; at least of a bucket */
    int64_t reduce_element;        /* of one in a message of a reduce */
    struct cuts cuts;
    const struct slice *range; /* [buckets], NULL: they are equal parts */
    int own_rows, most_rows, most_kept;
    int stages, buckets, slots;
    struct stage stage[ROUTE_STAGES];
    int reduce_numbers, share_numbers; /* of what comes in */
    int numbers;                       /* of all messages of a slot, at most */
    int64_t packed;                    /* where, in a slot's memory, messages are made of rows */
    int64_t slot_bytes;                /* landing and packing memory of a slot */
    struct arena memory;
};

/* --- rows_check.c: of members' rows, what was sent and what was added --- */
struct rows_check {
    sunup_comm *comm;
    bool on;
    int peers, buckets, first[ROUTE_STAGES]; /* peers of all stages, with this member in each; of a stage, the first */
    uint64_t *sent, *told;   /* [peers][buckets] to each, and what each says it sent */
    _Atomic uint64_t *used;  /* [peers][buckets] of each, as it was added or received */
    _Atomic int64_t wrong;   /* 1 + an element that was added twice with two results; 0: none */
};
/* Of a row on its way to or from a stage's peer. */
struct way {
    int stage, peer, bucket, row;
};
enum { ROW_SHARED = TREE_DEPTH }; /* the row of what a share sends */
struct chunk {
    const char *data;
    int64_t n;
};
bool sunup__rows_check_create(struct layout *l, struct rows_check *c);
void sunup__rows_check_begin(struct rows_check *c, bool on);
/* n elements of a row; nothing where the check is off. */
void sunup__rows_sent(struct rows_check *c, const struct sum *s, struct way w, const char *x, int64_t n);
void sunup__rows_used(struct rows_check *c, const struct sum *s, struct way w, const char *x, int64_t n);
/* Its i-th SUM_CHUNK elements, by the thread that adds them next. */
void sunup__rows_chunk_used(struct rows_check *c, const struct sum *s, struct way w, int64_t i, struct chunk x);
/* y += x, rounded as partial sums are, at most SUM_CHUNK elements; remembers if that differs when it is done again. */
void sunup__rows_add_twice(struct rows_check *c, const struct sum *s, struct slice piece, const char *x, char *y);
/* Nothing is under way. E_PEER: where tells the elements, n = 0: unknown. */
sunup_status sunup__rows_compare(struct rows_check *c, const struct layout *l, struct flight *f, struct slice *where);

/* Slots: one bucket is added, one arrives, one leaves, one waits for a late rank. */
enum { SLOTS = 4 };

sunup_status sunup__layout(sunup_context *ctx, const struct stages_options *o, struct layout *l);
void sunup__layout_end(struct layout *l);
struct slice sunup__layout_bucket(const struct layout *l, int bucket);

/* Messages of a reduce are halves of what they mean (bf16.c): all elements of the sum are rounded. */
static inline bool sunup__layout_packs(const struct layout *l)
{
    return l->sum.rounded > 0;
}
/* Bytes of a message in its slot. */
static inline int64_t sunup__packed_bytes(int64_t n)
{
    return (n * WIRE_BF16 + 63) / 64 * 64;
}

static inline int sunup__stage_own(const struct stage *s)
{
    return s->first[s->digit + 1] - s->first[s->digit];
}

#endif
