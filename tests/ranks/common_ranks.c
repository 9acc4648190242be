/* common_ranks.c - data of an exchange that ranks beside one memory have once (shared.c): after each step all of them
 * are right on every rank, whole huge pages of the head are one memory for those ranks and no others, and what lies
 * behind stays each rank's own. f32 and f64; memories and nodes as SUNUP_MEMORY_RANKS and SUNUP_NODE_RANKS pretend.
 */
#include <stdlib.h>

#include "base/system.h"
#include "comm/exchange.h"
#include "kernels/kernels.h"
#include "ranks.h"

enum { HUGE = 2 << 20, OWN = 1000, STEPS = 2 };

struct problem {
    struct job job;
    struct kernels kernels;
    struct exchange_options o;
};

static double number(const struct problem *p, const void *x, int64_t i)
{
    return p->o.f64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void put(const struct problem *p, void *x, int64_t i, double value)
{
    if (p->o.f64)
        ((double *)x)[i] = value;
    else
        ((float *)x)[i] = (float)value;
}

static double term(int64_t i, int step)
{
    return (double)(i % 1021 + step);
}

static void step(struct problem *p, struct exchange *x, int number_of)
{
    const struct slice *s;
    int from, to;
    char *data = sunup__exchange_data(x);
    sunup__shards_of(p->o.shards, p->job.ranks, p->job.rank, &from, &to);
    for (int k = from; k < to; k++) {
        void *slot = sunup__exchange_slot(x);
        for (int64_t i = 0; i < p->o.n; i++) put(p, slot, i, term(i, number_of));
        sunup__exchange_push(x);
    }
    MUST(&p->job, sunup__exchange_reduce(x, "sums") == SUNUP_OK);
    const void *total = sunup__exchange_total(x);
    const int n = sunup__exchange_slices(x, p->job.rank, &s);
    for (int k = 0; k < n; k++) {
        for (int64_t i = s[k].at; i < s[k].at + s[k].n; i++) put(p, data, i, number(p, total, i) + 1);
        sunup__exchange_give(x, s[k].at, s[k].n);
    }
    MUST(&p->job, sunup__exchange_share(x, "data") == SUNUP_OK);
    for (int64_t i = 0; i < p->o.head; i++)
        MUST(&p->job, number(p, data, i) == p->o.shards * term(i, number_of) + 1);
    for (int i = 0; i < OWN; i++) MUST(&p->job, number(p, data, p->o.head + i) == p->job.rank);
}

/* What the first rank of the world writes at i is seen by those beside its memory, or by none. */
static void look(struct problem *p, struct exchange *x, int64_t i, bool common)
{
    const char *memories = getenv("SUNUP_MEMORY_RANKS"), *nodes = getenv("SUNUP_NODE_RANKS");
    const int memory = memories != NULL ? atoi(memories) : p->job.ranks,
              node = nodes != NULL ? atoi(nodes) : p->job.ranks;
    const bool sees = p->job.rank == 0 || (common && p->job.rank < memory && p->job.rank < node);
    void *data = sunup__exchange_data(x);
    const double before = number(p, data, i);
    MUST(&p->job, sunup__comm_barrier(p->job.comm, "before a mark") == SUNUP_OK);
    if (p->job.rank == 0) put(p, data, i, -5);
    MUST(&p->job, sunup__comm_barrier(p->job.comm, "a mark") == SUNUP_OK);
    MUST(&p->job, number(p, data, i) == (sees ? -5 : before));
    MUST(&p->job, sunup__comm_barrier(p->job.comm, "after a look") == SUNUP_OK);
    if (p->job.rank == 0) put(p, data, i, before);
}

static void run(struct problem *p, bool f64)
{
    const int64_t element = f64 ? 8 : 4, head = (5 * HUGE / 2 + 64) / element;
    struct exchange *x;
    p->o = (struct exchange_options){.k = &p->kernels, .threads = 1, .shards = p->job.ranks + 1, .n = head + 3,
                                     .head = head, .data_n = head + OWN, .f64 = f64};
    MUST(&p->job, sunup__exchange_create(p->job.comm, &p->o, &x) == SUNUP_OK);
    void *data = sunup__exchange_data(x);
    for (int64_t i = 0; i < p->o.data_n; i++) MUST(&p->job, number(p, data, i) == 0);
    for (int i = 0; i < OWN; i++) put(p, data, head + i, p->job.rank);
    for (int i = 0; i < STEPS; i++) step(p, x, i);
    const bool shared = x->node != NULL;
    look(p, x, 0, shared);
    look(p, x, 2 * HUGE / element - 1, shared);
    look(p, x, 2 * HUGE / element, false);
    look(p, x, head, false);
    step(p, x, STEPS);
    sunup__exchange_destroy(&x);
}

int main(void)
{
    static struct problem p;
    begin(&p.job, 60);
    MUST(&p.job, sunup__kernels_init(&p.kernels, sunup__cpu_flags(), p.job.ctx->options.isa));
    run(&p, false);
    run(&p, true);
    if (p.job.rank == 0) printf("common data right on %d ranks\n", p.job.ranks);
    end(&p.job);
    return 0;
}
