/* collectives.c - which algorithm a collective takes, and the calls that move the caller's bytes. Sums: sum_calls.c.
 *
 * Owes: a choice that depends on nothing but the ranks, the bytes and whether all ranks share a
 * node's memory, so that ranks that make the same call take the same way. algorithms.def lists
 * the algorithms; docs/adding-an-algorithm.md tells how to add one.
 *
 * Measured choices, if there are any (choices.c), go before the limits below; these cost no measuring.
 * On one node they were measured with two ranks (docs/collectives.md): writing results past the
 * caches, and pieces of 64 KiB to 512 KiB, made no difference. Between nodes the limits are those
 * that MPICH ships (Thakur, Rabenseifner, Gropp, 2005); they have not been measured here.
 */
#include <string.h>

#include "base/integers.h"
#include "comm/pool.h"

struct algorithm {
    enum collective what;
    const char *name;
    enum { ANYWHERE, ONE_NODE, NODES, A_ROUTE } where;
    enum { BYTES, ANY, EXACT } of;
    show_algorithm *show;
    run_algorithm *run;
};

enum algorithm_number {
#define ALGORITHM(collective, name, where, of, show, run) collective##_##name,
#define ROUTE(name)                                       allreduce_##name,
#include "comm/algorithms.def"
    ALGORITHMS
};

static const struct algorithm algorithms[ALGORITHMS] = {
#define ALGORITHM(collective, name, where, of, show, run)                                          \
    {COLLECTIVE_##collective, #name, where, of, show, run},
#define ROUTE(name)                                                                                \
    {COLLECTIVE_allreduce, #name, A_ROUTE, ANY, sunup__routed_sum_show, sunup__routed_sum},
#include "comm/algorithms.def"
};

/* Sums of integers are collectives of their own, for each size may have another best algorithm: they take those of
 * reals, and the EXACT ones. */
static const struct {
    const char *name, *type;
    enum collective like;
    bool exact;
} collectives[COLLECTIVES] = {
#define LIKE(name, type) {#name, type, COLLECTIVE_##name, false}
    [COLLECTIVE_broadcast] = LIKE(broadcast, "u8"),
    [COLLECTIVE_allgather] = LIKE(allgather, "u8"),
    [COLLECTIVE_alltoall] = LIKE(alltoall, "u8"),
    [COLLECTIVE_allreduce] = LIKE(allreduce, "f32"),
    [COLLECTIVE_reduce_scatter] = LIKE(reduce_scatter, "f32"),
    [COLLECTIVE_allreduce_int32] = {"allreduce", "int32", COLLECTIVE_allreduce, true},
    [COLLECTIVE_reduce_scatter_int32] = {"reduce_scatter", "int32", COLLECTIVE_reduce_scatter, true},
    [COLLECTIVE_barrier] = LIKE(barrier, ""),
};

const char *sunup__collective_name(enum collective what)
{
    return collectives[what].name;
}

const char *sunup__collective_type(enum collective what)
{
    return collectives[what].type;
}

static bool serves(const struct algorithm *a, enum collective what)
{
    return a->what == collectives[what].like && (a->of != EXACT || collectives[what].exact);
}

/* --- choice --- */

enum {
    DIRECT_RANKS = 32,           /* messages from each to each are cheap up to here */
    FEW_RANKS = 4,               /* trees and rings gain nothing below */
    SCATTERED_BYTES = 512 << 10, /* of a broadcast */
    GATHERED_BYTES = 80 << 10, /* of all ranks: above, rounds of growing messages lose to a ring */
    SHARED_BYTES =
        4 << 20, /* of all ranks: above, MPI's one copy from process to process wins over two */
    DOUBLED_BYTES = 2 << 10 /* of an exact sum */
};

/* As if each rank had one partial sum; nothing is wrong with the first one where there is no memory to look. */
static enum algorithm_number fit_route(const sunup_comm *comm, int64_t bytes)
{
    const struct network net = sunup__network_defaults();
    struct group g;
    struct route r;
    if (!sunup__group_create(comm->ranks, comm->rank, comm->ranks, 1, &g)) return allreduce_direct;
    sunup__route_choose(&net, &g, comm->ranks, least(bytes, comm->options.bucket_bytes), &r);
    sunup__group_end(&g);
    int i = allreduce_direct;
    while (strcmp(algorithms[i].name, r.name) != 0) i++;
    return (enum algorithm_number)i;
}

static enum algorithm_number fit(const sunup_comm *comm, enum collective what, int64_t bytes)
{
    const bool pool = comm->pool.block != NULL, direct = comm->ranks <= DIRECT_RANKS;
    const bool cached = bytes <= SHARED_BYTES / comm->ranks;
    switch (what) {
    case COLLECTIVE_broadcast:
        if (pool) return broadcast_shared;
        return comm->ranks > FEW_RANKS && bytes >= SCATTERED_BYTES ? broadcast_scatter
                                                                   : broadcast_binomial;
    case COLLECTIVE_allgather:
        if (pool && cached) return allgather_shared;
        if (comm->ranks > FEW_RANKS && bytes <= GATHERED_BYTES / comm->ranks)
            return allgather_bruck;
        return direct ? allgather_direct : allgather_ring;
    case COLLECTIVE_alltoall:
        if (pool && cached) return alltoall_shared;
        return direct ? alltoall_direct : alltoall_pairwise;
    case COLLECTIVE_allreduce_int32:
        if (!pool && bytes <= DOUBLED_BYTES) return allreduce_doubling;
        return pool ? allreduce_shared : fit_route(comm, bytes);
    case COLLECTIVE_allreduce:
        return pool ? allreduce_shared : fit_route(comm, bytes);
    case COLLECTIVE_reduce_scatter_int32:
        if (!pool && !direct) return reduce_scatter_ring;
        return pool ? reduce_scatter_shared : reduce_scatter_direct;
    case COLLECTIVE_reduce_scatter:
        return pool ? reduce_scatter_shared : reduce_scatter_direct;
    default: /* that all share the node's memory is known when they have greeted each other */
        if (comm->hosts != NULL && sunup__one_node(comm)) return barrier_node;
        if (direct) return barrier_direct;
        return comm->nodes > 1 && comm->nodes < comm->ranks ? barrier_leaders : barrier_rounds;
    }
}

/* Of the nearest size, at most a factor of 2 away; -1: none was measured. */
static int measured(const struct tuned *t, int64_t bytes)
{
    int number = -1;
    double best = 2;
    for (int i = 0; i < t->n; i++) {
        const double apart = sunup__apart(t->bytes[i], bytes);
        if (apart > best) continue;
        best = apart;
        number = t->algorithm[i];
    }
    return number;
}

const struct algorithm *sunup__choose(const sunup_comm *comm, enum collective what, int64_t bytes)
{
    if (comm->forced[what] != NULL) return comm->forced[what];
    const int number = measured(&comm->tuned[what], bytes);
    return &algorithms[number >= 0 ? number : (int)fit(comm, what, bytes)];
}

/* The i-th algorithm of a collective. */
static const struct algorithm *algorithm_of(enum collective what, int i)
{
    for (int a = 0; a < ALGORITHMS; a++)
        if (serves(&algorithms[a], what) && i-- == 0) return &algorithms[a];
    return NULL;
}

const char *sunup__collective_algorithm(enum collective what, int i)
{
    const struct algorithm *a = algorithm_of(what, i);
    return a != NULL ? a->name : NULL;
}

const char *sunup__comm_choice(const sunup_comm *comm, enum collective what, int64_t bytes)
{
    return sunup__choose(comm, what, bytes)->name;
}

/* What one node's ranks read they must have met over: their meeting is not to be changed. */
static bool runs_here(const sunup_comm *comm, const struct algorithm *a)
{
    const struct network net = sunup__network_defaults();
    struct route route;
    switch (a->where) {
    case ONE_NODE:
        return comm->pool.block != NULL;
    case NODES:
        return comm->nodes > 1;
    case A_ROUTE:
        return sunup__route_named(a->name, comm->ranks, &net, &route);
    default:
        return a->what != COLLECTIVE_barrier || !sunup__one_node(comm);
    }
}

int sunup__algorithm_here(const sunup_comm *comm, enum collective what, const char *name)
{
    for (int i = 0; i < ALGORITHMS; i++)
        if (serves(&algorithms[i], what) && strcmp(algorithms[i].name, name) == 0)
            return runs_here(comm, &algorithms[i]) ? i : -1;
    return -1;
}

bool sunup__comm_force(sunup_comm *comm, enum collective what, const char *name)
{
    const int number = name != NULL ? sunup__algorithm_here(comm, what, name) : -1;
    comm->forced[what] = number >= 0 ? &algorithms[number] : NULL;
    return name == NULL || number >= 0;
}

static const struct algorithm *exact_scatter(int i)
{
    for (int a = 0; a < ALGORITHMS; a++)
        if (algorithms[a].what == COLLECTIVE_reduce_scatter && algorithms[a].of == EXACT && i-- == 0)
            return &algorithms[a];
    return NULL;
}

const char *sunup__exact_scatter_name(int i)
{
    const struct algorithm *a = exact_scatter(i);
    return a != NULL ? a->name : NULL;
}

run_algorithm *sunup__exact_scatter(const char *name)
{
    int i = 0;
    while (exact_scatter(i) != NULL && strcmp(exact_scatter(i)->name, name) != 0) i++;
    return exact_scatter(i) != NULL ? exact_scatter(i)->run : NULL;
}

/* --- the calls --- */

sunup_status sunup__run_meeting(sunup_comm *comm)
{
    return sunup__choose(comm, COLLECTIVE_barrier, 0)->run(comm, NULL);
}

sunup_status sunup__pool_create(sunup_comm *comm)
{
    if (!sunup__one_node(comm)) return SUNUP_OK;
    return sunup__shared_create(comm, 2 * POOL_PIECE, 0, &comm->pool);
}

static void keep_own(const sunup_comm *comm, enum collective what, const struct transfer *t)
{
    const int64_t own = comm->rank * t->bytes;
    if (what == COLLECTIVE_broadcast || t->sum != NULL || t->bytes == 0) return;
    memmove(t->to + own, what == COLLECTIVE_alltoall ? t->from + own : t->from, (size_t)t->bytes);
}

/* What the algorithm does is between the two looks: at what is sent and at what was received, or at both ends of
 * each of a sum's messages (those of stages look by themselves). */
static sunup_status run(sunup_comm *comm, enum collective what, const struct algorithm *a, const struct transfer *t)
{
    if (!comm->verified) return a->run(comm, t);
    sunup__flight_note(&comm->flight, t->sum != NULL);
    TRY(a->run(comm, t));
    return t->sum != NULL ? sunup__flight_compare(&comm->flight) : sunup__verify_received(comm, what, t);
}

/* All ranks know what one of them saw; of a sum that all of them have, also that it is the same. */
static sunup_status verified(sunup_comm *comm, const struct transfer *t, sunup_status mine, const char *site)
{
    if (t->sum != NULL && t->sum->all) return sunup__verify_result(comm, mine, t->sum->to, t->bytes, site);
    return sunup_comm_agree(comm, mine);
}

sunup_status sunup__move(sunup_comm *comm, enum collective what, const struct call *call,
                         sunup_status mine, const struct transfer *t)
{
    if (mine == SUNUP_OK && t->bytes < 0)
        mine = sunup__raise(comm->ctx, SUNUP_E_ARGUMENT, "%lld bytes to other ranks in \"%s\"",
                            (long long)t->bytes, call->site);
    const struct algorithm *a =
        comm->ranks > 1 && t->bytes > 0 ? sunup__choose(comm, what, t->bytes) : NULL;
    const bool able = a != NULL && mine == SUNUP_OK && comm->broken == SUNUP_OK;
    const uint64_t sum =
        able && comm->verified && t->sum == NULL ? sunup__verify_sent(comm, what, t) : 0;
    if (able && a->show != NULL) mine = a->show(comm, t);
    TRY(sunup__meet(comm, call, mine, sum));
    keep_own(comm, what, t);
    const sunup_status status = a != NULL ? run(comm, what, a, t) : SUNUP_OK;
    sunup__leave(comm);
    return a != NULL && comm->verified ? verified(comm, t, status, call->site) : status;
}

sunup_status sunup__comm_broadcast(sunup_comm *comm, void *data, int64_t bytes, int root,
                                   const char *site)
{
    sunup_status mine = SUNUP_OK;
    if (root < 0 || root >= comm->ranks)
        mine = sunup__raise(comm->ctx, SUNUP_E_ARGUMENT, "broadcast from rank %d of %d", root,
                            comm->ranks);
    return sunup__move(comm, COLLECTIVE_broadcast, &(struct call){CALL_BROADCAST, bytes, root, site}, mine,
                       &(struct transfer){.to = data, .bytes = bytes, .root = root});
}

sunup_status sunup__comm_gather(sunup_comm *comm, const void *mine, int64_t bytes, void *all,
                                const char *site)
{
    return sunup__move(comm, COLLECTIVE_allgather, &(struct call){CALL_GATHER, bytes, 0, site}, SUNUP_OK,
                       &(struct transfer){.from = mine, .to = all, .bytes = bytes});
}

sunup_status sunup__comm_alltoall(sunup_comm *comm, const void *from, int64_t bytes, void *to,
                                  const char *site)
{
    const int64_t all = comm->ranks * bytes;
    const uintptr_t a = (uintptr_t)from, b = (uintptr_t)to;
    sunup_status mine = SUNUP_OK;
    if (all > 0 && a < b + (uintptr_t)all && b < a + (uintptr_t)all)
        mine = sunup__raise(comm->ctx, SUNUP_E_ARGUMENT,
                            "an all-to-all of %lld bytes a pair writes what it still has to send: "
                            "from and to must not overlap",
                            (long long)bytes);
    return sunup__move(comm, COLLECTIVE_alltoall, &(struct call){CALL_ALLTOALL, bytes, 0, site}, mine,
                       &(struct transfer){.from = from, .to = to, .bytes = bytes});
}

sunup_status sunup__comm_barrier(sunup_comm *comm, const char *site)
{
    return sunup__move(comm, COLLECTIVE_barrier, &(struct call){CALL_BARRIER, 0, 0, site}, SUNUP_OK,
                       &(struct transfer){.bytes = 0});
}
