/* check_comm.h - what the two halves of `sunup check comm` share: check_comm.c (the caller's
 * bytes, and the table) and check_sums.c (sums over shards). */
#ifndef SUNUP_CHECK_COMM_H
#define SUNUP_CHECK_COMM_H

#include "comm/comm.h"
#include "program.h"

struct comm_check {
    struct command *c;
    sunup_comm *comm;      /* one of the two: */
    sunup_comm *both[2];   /* the node's memory where there is one; messages only */
    const char *algorithm; /* under check */
    bool one_clock;        /* all ranks are on one machine */
    int64_t checked, failed, row_checked, row_failed;
};

/* A byte of a call's result, `at`, is not what it must be; the first few are told. */
void check_wrong(struct comm_check *t, const char *what, int64_t bytes, int64_t at);
/* A row is finished: the failures of all ranks, on all. */
sunup_status check_add_up(struct comm_check *t, const char *what, const char *where);
sunup_status check_sums(struct comm_check *t, const char *where);
/* One of the sums of the table, of n elements, by the algorithm that is forced. */
static inline bool check_is_sum(enum collective what)
{
    return what >= COLLECTIVE_allreduce && what <= COLLECTIVE_reduce_scatter_int32;
}
sunup_status check_sum(struct comm_check *t, enum collective what, int64_t n);

#endif
