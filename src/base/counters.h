/* counters.h - what this process has done so far, exactly: files opened, messages sent, meetings, instructions.
 *
 * A change in one of them is a fact where a change in a time is a guess. They are the process's, not a context's, and
 * only grow; who wants those of a step takes the difference. Allocations are counted by memory.h, what a plan will do
 * by the plan. Cost: an addition that nobody waits for, beside a system call or a message.
 */
#ifndef SUNUP_BASE_COUNTERS_H
#define SUNUP_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum count_kind {
    COUNT_FILES,       /* opened for data, weights and records; not what the system says of itself (/proc) */
    COUNT_COLLECTIVES, /* begun */
    COUNT_MEETINGS,    /* of the ranks of a node, in the memory that they share */
    COUNT_MESSAGES,    /* sent */
    COUNT_SENT_BYTES,  /* by messages */
    COUNTERS
};

extern _Atomic int64_t sunup__counters[COUNTERS];

static inline void sunup__count(enum count_kind what, int64_t n)
{
    (void)atomic_fetch_add_explicit(&sunup__counters[what], n, memory_order_relaxed);
}
/* One more, where one thread at a time counts this (MPI_THREAD_FUNNELED): a meeting takes as long as a few dozen
 * additions that others might interrupt. */
static inline void sunup__tick(enum count_kind what)
{
    const int64_t n = atomic_load_explicit(&sunup__counters[what], memory_order_relaxed);
    atomic_store_explicit(&sunup__counters[what], n + 1, memory_order_relaxed);
}
static inline int64_t sunup__counted(enum count_kind what)
{
    return atomic_load_explicit(&sunup__counters[what], memory_order_relaxed);
}

/* From now on instructions in user mode are counted, by perf_event_open(2), of this thread and of those that it
 * starts later. False: the system does not allow it, or the processor's counters are hidden, as in most virtual
 * machines. */
bool sunup__instructions_begin(void);
int64_t sunup__instructions(void); /* -1: they are not counted */

/* All of it at a moment, and what lies between two. */
struct counts {
    int64_t allocations, instructions, count[COUNTERS];
};
struct counts sunup__counts(void);
/* sum += to - from; instructions stay -1 where they are. */
void sunup__counts_add(struct counts *sum, const struct counts *from, const struct counts *to);

#endif
