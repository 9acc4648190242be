/* conv_slots.h - one slot of memory for each task that runs at the moment, however many tasks there
 * are: a task takes its thread's, which is in the caches of that core, or any free one, and gives it back.
 * Which one it gets decides no result. */
#ifndef SUNUP_DEVICE_CPU_CONV_SLOTS_H
#define SUNUP_DEVICE_CPU_CONV_SLOTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/system.h"

enum { SLOT_WORDS = 16, SLOTS_MOST = SLOT_WORDS * 64 };
/* Tasks that a sweep makes for each thread, so that a thread which the system puts off its core
 * does not leave the others waiting. */
enum { TASKS_PER_THREAD = 4 };

struct conv_slots {
    int64_t n; /* as many as threads, SLOTS_MOST at most */
    atomic_ullong taken[SLOT_WORDS];
};

static inline int64_t conv_slots_count(int threads)
{
    return threads < SLOTS_MOST ? threads : SLOTS_MOST;
}

static inline int64_t conv_slot_take(struct conv_slots *s)
{
    const int64_t own = sunup__thread();
    const unsigned long long bit = 1ULL << own % 64;
    if (own < s->n && !(atomic_fetch_or(&s->taken[own / 64], bit) & bit)) return own;
    for (int64_t from = 0;; from = from + 64 < s->n ? from + 64 : 0) {
        unsigned long long taken = atomic_load(&s->taken[from / 64]);
        while (taken != ~0ULL) {
            const int free = __builtin_ctzll(~taken);
            if (from + free >= s->n) break;
            if (atomic_compare_exchange_weak(&s->taken[from / 64], &taken, taken | 1ULL << free))
                return from + free;
        }
    }
}

static inline void conv_slot_give(struct conv_slots *s, int64_t i)
{
    atomic_fetch_and(&s->taken[i / 64], ~(1ULL << i % 64));
}

#endif
