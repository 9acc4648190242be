/* stand_in.c - what stands below stages.c in a simulation: memory, threads, waiting and additions.
 *
 * Owes: that stages.c, layout.c, routes.c, tree.c and messages.c run unchanged in SimGrid's SMPI,
 * where all ranks are light threads of one process. Waiting is MPI_Waitsome, because polling with
 * a clock would never let simulated time go on. In a simulation of time only, all large arrays are
 * one block that nobody touches, and additions are counted, not made.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"
#include "comm/wire.h"
#include "sim.h"

struct sim sim;

void sim_sleep(double s)
{
    const struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

/* Nothing is traced, and what is counted is looked at by nobody. */
_Atomic int64_t sunup__counters[COUNTERS];

double sunup__now_s(void)
{
    return 0;
}

void sunup__trace_add(sunup_context *ctx, enum trace_lane lane, const char *name, int64_t number,
                      double from_s)
{
    (void)ctx, (void)lane, (void)name, (void)number, (void)from_s;
}

static int rank_here(void)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", rank_here(), what);
    abort();
}

/* --- errors end the simulation --- */

sunup_status sunup__raise(sunup_context *ctx, sunup_status code, const char *format, ...)
{
    char text[512];
    va_list args;
    (void)ctx;
    (void)code;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail(text);
}

void sunup__blame(sunup_context *ctx, int rank, const char *layer, const char *collective)
{
    (void)ctx, (void)rank, (void)layer, (void)collective;
}

sunup_status sunup__wire_failed(sunup_comm *comm, int code, const char *what)
{
    (void)comm;
    (void)code;
    fail(what);
}

/* --- memory --- */

void *sunup__alloc(size_t bytes)
{
    return calloc(bytes + 1, 1);
}

void *sunup__alloc_aligned(size_t bytes)
{
    static char *one;
    if (!sim.folded) return aligned_alloc(64, (bytes + 64) / 64 * 64);
    if ((int64_t)bytes > sim.folded_bytes)
        fail("an array is larger than the one that stands for all");
    if (!one) one = SMPI_SHARED_MALLOC((size_t)sim.folded_bytes);
    return one;
}

void sunup__free(void *p)
{
    free(p);
}

struct arena_block {
    struct arena_block *before;
    max_align_t data[];
};

void *sunup__arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_block *b = calloc(1, sizeof *b + bytes + 1);
    if (!b) return NULL;
    b->before = a->last;
    a->last = b;
    return b->data;
}

void sunup__arena_end(struct arena *a)
{
    while (a->last) {
        struct arena_block *before = a->last->before;
        free(a->last);
        a->last = before;
    }
}

/* --- numbers --- */

void sunup__parallel(int threads, int64_t n, parallel_fn task, void *arg)
{
    (void)threads;
    for (int64_t i = 0; i < n; i++) task(arg, i);
}

void sunup__sum_add(const struct sum *s, int64_t n, const char *x, char *y)
{
    const float *from = (const float *)(const void *)x;
    float *to = (float *)(void *)y;
    if (sim.adds_bytes_per_s > 0) /* two are read, one is written */
        sim.owed_s[rank_here()] += 3.0 * (double)(n * sunup__sum_element(s)) / sim.adds_bytes_per_s;
    for (int64_t i = 0; !sim.folded && i < n; i++) to[i] += from[i];
}

void sunup__sum_copy(const struct sum *s, int64_t n, const char *x, char *y)
{
    if (!sim.folded && x != y) memcpy(y, x, (size_t)(n * sunup__sum_element(s)));
}

/* --- messages --- */

static void pay(int rank)
{
    if (sim.owed_s[rank] <= 0) return;
    const double s = sim.owed_s[rank];
    sim.owed_s[rank] = 0;
    sim_sleep(s);
}

/* messages.c is compiled to send by this. */
int sim_send(const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
             MPI_Request *r);
int sim_send(const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
             MPI_Request *r)
{
    const int rank = rank_here();
    pay(rank);
    sim.sent_bytes[rank] += n;
    return MPI_Isend(data, n, type, to, tag, comm, r);
}

sunup_status sunup__wait(struct flight *f, int *landed)
{
    *landed = 0;
    pay(f->comm->rank);
    if (f->left == 0) return SUNUP_OK;
    if (MPI_Waitsome(f->room, f->requests, landed, f->landed, f->statuses) != MPI_SUCCESS)
        fail("MPI_Waitsome");
    for (int i = 0; i < *landed; i++) f->peer[f->landed[i]] = -1;
    f->left -= *landed;
    if (f->left == 0) f->high = 0;
    return SUNUP_OK;
}

sunup_status sunup__wait_all(struct flight *f)
{
    int landed;
    while (f->left > 0) TRY(sunup__wait(f, &landed));
    return SUNUP_OK;
}
