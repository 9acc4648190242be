/* threads.c - sunup__parallel: one pool of workers for the process, as an OpenMP runtime would have.
 *
 * A loop is cut into blocks, and each thread has a run of them: the same part of the range in every loop, so that what
 * one step of a network leaves in a core's cache is there for the next. A thread that has none left claims those of
 * others. The loop ends when all blocks are done, not when all workers have come: a worker that the system does not run
 * at the moment costs nothing, so that more ranks or threads than cores degrade gently, where an OpenMP barrier waits
 * (docs/decisions/003-threads.md).
 * Idle workers spin for about a millisecond, since the next loop of a step is microseconds away, then sleep in the
 * kernel. They outlast the serial parts of a step: a worker that slept there was often woken on the caller's core, and
 * one run in four took the time of one thread. After the first microseconds they offer their core to others.
 *
 * Claim  a thread's ticket holds (generation, next block, end of its blocks). A claimer reads the ticket, then the
 *        loop's fields, then claims by compare-and-swap. A ticket is published after the fields of its loop, and they
 *        change only when all blocks are claimed, so a claim that succeeds has read fields that belong together.
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/system.h"

enum {
    MAX_WORKERS = 1023,
    SPINS = 40000,
    ALONE = 4000,
    SPINS_BEFORE_YIELD = 20000,
    BLOCKS_PER_THREAD = 4
};

struct ticket {
    _Alignas(64) atomic_ullong word; /* generation << 32 | next << 16 | end */
};

static struct {
    pthread_mutex_t busy; /* one loop at a time; a second caller runs its own serially */
    _Alignas(64) _Atomic(parallel_fn) task;
    _Atomic(void *) arg;
    atomic_llong n, block, blocks; /* iterations, iterations a block, blocks */
    atomic_bool back;              /* each part from its end */
    atomic_int threads;            /* that take part: the caller and workers below this */
    _Alignas(64) atomic_llong done;
    _Alignas(64) atomic_int generation; /* futex word: changes with every loop */
    atomic_int sleepers;
    int workers; /* started so far; under busy */
    struct ticket ticket[MAX_WORKERS + 1]; /* of the caller, of worker 1, 2 ... */
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local int thread_number;

int sunup__thread(void)
{
    return thread_number;
}

static void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static void wait_for_change(int seen)
{
    (void)syscall(SYS_futex, &pool.generation, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_all(void)
{
    (void)syscall(SYS_futex, &pool.generation, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* The first block of thread t. */
static long long part_from(long long t)
{
    return t * atomic_load_explicit(&pool.blocks, memory_order_relaxed) /
           atomic_load_explicit(&pool.threads, memory_order_relaxed);
}

/* Claim and run one of the blocks of thread t; false if none is left. */
static bool run_block(int t)
{
    unsigned long long ticket = atomic_load(&pool.ticket[t].word);
    const long long at = (long long)(ticket >> 16 & 0xffff), end = (long long)(ticket & 0xffff);
    if (at >= end) return false;
    const parallel_fn task = atomic_load_explicit(&pool.task, memory_order_relaxed);
    void *arg = atomic_load_explicit(&pool.arg, memory_order_relaxed);
    const long long n = atomic_load_explicit(&pool.n, memory_order_relaxed);
    const long long block = atomic_load_explicit(&pool.block, memory_order_relaxed);
    const bool back = atomic_load_explicit(&pool.back, memory_order_relaxed);
    const long long part = part_from(t), first = (back ? part + end - 1 - at : at) * block;
    if (!atomic_compare_exchange_strong(&pool.ticket[t].word, &ticket, ticket + (1 << 16)))
        return true;
    const long long last = first + block < n ? first + block : n;
    for (long long i = first; i < last; i++) task(arg, back ? first + last - 1 - i : i);
    atomic_fetch_add(&pool.done, 1);
    return true;
}

/* All blocks that can be had: one's own, then those of others. */
static void run_blocks(int thread)
{
    const int threads = atomic_load(&pool.threads);
    if (thread >= threads) return;
    for (int i = 0; i < threads; i++) {
        const int t = thread + i < threads ? thread + i : thread + i - threads;
        while (run_block(t)) {
        }
    }
}

static void *work(void *number)
{
    thread_number = (int)(intptr_t)number;
    for (int seen = 0;;) {
        run_blocks(thread_number);
        int spins = 0;
        while (atomic_load(&pool.generation) == seen && spins++ < SPINS) {
            pause_briefly();
            if (spins > ALONE && spins % 64 == 0) (void)sched_yield();
        }
        if (atomic_load(&pool.generation) == seen) {
            atomic_fetch_add(&pool.sleepers, 1);
            wait_for_change(seen);
            atomic_fetch_sub(&pool.sleepers, 1);
        }
        seen = atomic_load(&pool.generation);
    }
    return NULL;
}

/* Start workers until there are `wanted`; fewer is no failure, the loop is only slower. */
static void start_workers(int wanted)
{
    while (pool.workers < wanted && pool.workers < MAX_WORKERS) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(pool.workers + 1)) != 0) return;
        (void)pthread_detach(thread);
        pool.workers++;
    }
}

static void publish(int threads, int64_t n, bool back, parallel_fn task, void *arg)
{
    const int64_t block =
        (n + (int64_t)threads * BLOCKS_PER_THREAD - 1) / ((int64_t)threads * BLOCKS_PER_THREAD);
    const int64_t blocks = (n + block - 1) / block;
    const unsigned generation = (unsigned)atomic_load(&pool.generation) + 1;
    atomic_store_explicit(&pool.task, task, memory_order_relaxed);
    atomic_store_explicit(&pool.arg, arg, memory_order_relaxed);
    atomic_store_explicit(&pool.n, n, memory_order_relaxed);
    atomic_store_explicit(&pool.block, block, memory_order_relaxed);
    atomic_store_explicit(&pool.blocks, blocks, memory_order_relaxed);
    atomic_store_explicit(&pool.back, back, memory_order_relaxed);
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    atomic_store_explicit(&pool.threads, threads, memory_order_relaxed);
    for (int t = 0; t < threads; t++) {
        const unsigned long long from = (unsigned long long)part_from(t),
                                 end = (unsigned long long)part_from(t + 1);
        atomic_store_explicit(&pool.ticket[t].word,
                              (unsigned long long)generation << 32 | from << 16 | end,
                              memory_order_release);
    }
    atomic_store(&pool.generation, (int)generation);
    if (atomic_load(&pool.sleepers) > 0) wake_all();
}

/* Blocks that workers are still running; one of them may have been put off its core. */
static void wait_for_blocks(void)
{
    for (int spins = 0; atomic_load(&pool.done) < atomic_load(&pool.blocks); spins++) {
        if (spins < SPINS_BEFORE_YIELD)
            pause_briefly();
        else
            (void)sched_yield();
    }
}

static void run_loop(int threads, int64_t n, bool back, parallel_fn task, void *arg)
{
    if (threads > n) threads = (int)n;
    if (threads > MAX_WORKERS + 1) threads = MAX_WORKERS + 1;
    if (threads <= 1 || pthread_mutex_trylock(&pool.busy) != 0) {
        for (int64_t i = 0; i < n; i++) task(arg, back ? n - 1 - i : i);
        return;
    }
    start_workers(threads - 1);
    publish(threads, n, back, task, arg);
    run_blocks(0);
    wait_for_blocks();
    (void)pthread_mutex_unlock(&pool.busy);
}

void sunup__parallel(int threads, int64_t n, parallel_fn task, void *arg)
{
    run_loop(threads, n, false, task, arg);
}

void sunup__parallel_back(int threads, int64_t n, parallel_fn task, void *arg)
{
    run_loop(threads, n, true, task, arg);
}
