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
    struct cuts cuts;
    const struct slice *range; /* [buckets], NULL: they are equal parts */
    int own_rows, most_rows, most_kept;
    int stages, buckets, slots;
    struct stage stage[ROUTE_STAGES];
    int reduce_numbers, share_numbers; /* of what comes in */
    int numbers;                       /* of all messages of a slot, at most */
    int64_t slot_bytes;                /* landing memory of a slot */
    struct arena memory;
};

/* Slots: one bucket is added, one arrives, one leaves, one waits for a late rank. */
enum { SLOTS = 4 };

sunup_status sunup__layout(sunup_context *ctx, const struct stages_options *o, struct layout *l);
void sunup__layout_end(struct layout *l);
struct slice sunup__layout_bucket(const struct layout *l, int bucket);

static inline int sunup__stage_own(const struct stage *s)
{
    return s->first[s->digit + 1] - s->first[s->digit];
}

#endif
