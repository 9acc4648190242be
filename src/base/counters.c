/* counters.c - see counters.h. */
#include "base/counters.h"

#include <unistd.h>
#ifdef __linux__
#include <linux/perf_event.h>
#include <sys/syscall.h>
#endif

#include "base/memory.h"

_Atomic int64_t sunup__counters[COUNTERS];

static _Atomic int perf_file = -1;

bool sunup__instructions_begin(void)
{
    if (atomic_load(&perf_file) >= 0) return true;
#ifdef __linux__
    struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE,
                                .size = sizeof a,
                                .config = PERF_COUNT_HW_INSTRUCTIONS,
                                .inherit = 1,
                                .exclude_kernel = 1,
                                .exclude_hv = 1};
    atomic_store(&perf_file, (int)syscall(SYS_perf_event_open, &a, 0, -1, -1,
                                          (unsigned long)PERF_FLAG_FD_CLOEXEC));
#endif
    return atomic_load(&perf_file) >= 0;
}

int64_t sunup__instructions(void)
{
    const int file = atomic_load_explicit(&perf_file, memory_order_relaxed);
    int64_t n;
    return file >= 0 && read(file, &n, sizeof n) == (ssize_t)sizeof n ? n : -1;
}

struct counts sunup__counts(void)
{
    struct counts c = {.allocations = sunup__allocations(), .instructions = sunup__instructions()};
    for (int i = 0; i < COUNTERS; i++) c.count[i] = sunup__counted((enum count_kind)i);
    return c;
}

void sunup__counts_add(struct counts *sum, const struct counts *from, const struct counts *to)
{
    sum->allocations += to->allocations - from->allocations;
    for (int i = 0; i < COUNTERS; i++) sum->count[i] += to->count[i] - from->count[i];
    const bool known = sum->instructions >= 0 && from->instructions >= 0 && to->instructions >= 0;
    sum->instructions = known ? sum->instructions + to->instructions - from->instructions : -1;
}
