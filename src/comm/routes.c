/* routes.c - which members exchange in which stage, and which such route should be the fastest.
 *
 * Owes: the radices of each route of algorithms.def, and a choice without measurement by a model
 * of time, the same on all ranks because it looks at nothing that differs among them. Leaves
 * measured choices to choices.c, and walking a route to stages.c.
 *
 * The model: stages follow each other, each costs a latency, a rank's time for each message it
 * sends and takes, and its bytes at the speed of a link. Rows count: where blocks of shards are no
 * whole subtrees a member has k > 1 of them. Additions are not counted; they are alike on all
 * routes. Source: the postal model as in R. Thakur et al., Optimization of collective
 * communication operations in MPICH (2005).
 *
 * A large prime factor of the number of members costs as many messages in one stage: 10,007 nodes
 * are a worse choice than 10,000.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "comm/inside.h"

enum { WIDE = 8 };

/* --- the group --- */

bool sunup__group_create(int ranks, int me, int shards, int each, struct group *g)
{
    const int members = ranks / each;
    int *rank = sunup__alloc((size_t)(2 * members + 1) * sizeof *rank);
    if (rank == NULL) return false;
    int *from = rank + members, to;
    for (int i = 0; i < members; i++) {
        rank[i] = i * each + me % each;
        sunup__shards_of(shards, members, i, &from[i], &to);
    }
    from[members] = shards;
    *g = (struct group){members, me / each, rank, from};
    return true;
}

void sunup__group_end(struct group *g)
{
    sunup__free((void *)(uintptr_t)g->rank);
    *g = (struct group){0};
}

/* --- the routes: stages, 0 if there is no such --- */

static int smallest_factor(int n)
{
    for (int f = 2; f * f <= n; f++)
        if (n % f == 0) return f;
    return n;
}

static int primes(int n, int *radix)
{
    int stages = 0;
    for (; n > 1; n /= radix[stages - 1]) {
        radix[stages] = smallest_factor(n);
        stages++;
    }
    return stages;
}

/* The largest divisor of n up to most, 1 if there is none. */
static int divisor_up_to(int n, int most)
{
    int d = n < most ? n : most;
    while (d > 1 && n % d != 0) d--;
    return d > 1 ? d : 1;
}

static int wide_from(int n, int *radix)
{
    int stages = 0;
    for (; n > 1; n /= radix[stages - 1]) {
        const int d = divisor_up_to(n, WIDE);
        radix[stages] = d > 1 ? d : smallest_factor(n);
        stages++;
    }
    return stages;
}

static int direct(int members, const struct network *net, int *radix)
{
    (void)net;
    radix[0] = members;
    return 1;
}

static int nearest(int members, const struct network *net, int *radix)
{
    (void)net;
    const int stages = primes(members, radix);
    return stages > 1 ? stages : 0;
}

static int wide(int members, const struct network *net, int *radix)
{
    int prime[ROUTE_STAGES];
    (void)net;
    const int stages = wide_from(members, radix);
    return stages > 1 && stages < primes(members, prime) ? stages : 0;
}

static int blocks(int members, const struct network *net, int *radix)
{
    radix[0] = divisor_up_to(members, net->neighbours);
    if (radix[0] <= 1 || radix[0] == members) return 0;
    return 1 + wide_from(members / radix[0], radix + 1);
}

static const struct {
    const char *name;
    int (*make)(int members, const struct network *net, int *radix);
} routes[] = {
#define ROUTE(name) {#name, name},
#include "comm/algorithms.def"
};

int sunup__routes(void)
{
    return (int)(sizeof routes / sizeof *routes);
}

bool sunup__route(int number, int members, const struct network *net, struct route *r)
{
    *r = (struct route){.name = routes[number].name};
    if (members == 1) return number == 0; /* no stage at all */
    r->stages = routes[number].make(members, net, r->radix);
    return r->stages > 0;
}

bool sunup__route_named(const char *name, int members, const struct network *net, struct route *r)
{
    for (int i = 0; i < sunup__routes(); i++)
        if (strcmp(routes[i].name, name) == 0) return sunup__route(i, members, net, r);
    return false;
}

/* --- the choice --- */

/* Supposed of a node with one link of 200 Gbit/s, not measured. */
struct network sunup__network_defaults(void)
{
    return (struct network){.latency_s = 2e-6,
                            .message_s = 0.5e-6,
                            .bytes_per_s = 23e9,
                            .far_bytes_per_s = 23e9,
                            .neighbours = 16};
}

/* Most rows of a member when `width` neighbours stand for one block. */
static int most_rows(const struct group *g, int shards, int width)
{
    int most = 0, start[TREE_DEPTH], level[TREE_DEPTH];
    for (int i = 0; i < g->members; i += width) {
        const int rows = sunup__subtrees(shards, g->from[i], g->from[i + width], start, level);
        if (rows > most) most = rows;
    }
    return most;
}

/* Of the bytes among d members `step` apart, those that leave their neighbourhood: by the mean distance of two of the
 * members, where neighbourhoods are not whole blocks of them. */
static double far_share(const struct network *net, int step, int d)
{
    if (net->neighbours % (step * d) == 0) return 0;
    const double distance = step * (d + 1) / 3.0;
    return distance < net->neighbours ? distance / net->neighbours : 1;
}

struct way_cost sunup__route_cost(const struct route *r, const struct network *net,
                                  const struct group *g, int shards, int64_t bytes, bool share)
{
    struct way_cost c = {0};
    double range = (double)bytes;
    int width = 1;
    for (int j = 0; j < r->stages; j++) {
        const int rows = share ? 1 : most_rows(g, shards, width), d = r->radix[j];
        const double messages = (double)rows * (d - 1), far = far_share(net, width, d);
        width *= d;
        range /= d;
        c.latency_s += net->latency_s;
        c.bytes += messages * range;
        c.busy_s += messages * (2 * net->message_s + fmax(range / net->bytes_per_s,
                                                          far * range / net->far_bytes_per_s));
    }
    return c;
}

double sunup__route_s(const struct route *r, const struct network *net, const struct group *g,
                      int shards, int64_t bytes)
{
    const struct way_cost there = sunup__route_cost(r, net, g, shards, bytes, false),
                          back = sunup__route_cost(r, net, g, shards, bytes, true);
    return there.latency_s + there.busy_s + back.latency_s + back.busy_s;
}

void sunup__route_choose(const struct network *net, const struct group *g, int shards,
                         int64_t bytes, struct route *best)
{
    double best_s = 0;
    for (int i = 0; i < sunup__routes(); i++) {
        struct route r;
        if (!sunup__route(i, g->members, net, &r)) continue;
        const double s = sunup__route_s(&r, net, g, shards, bytes);
        if (i > 0 && s >= best_s) continue; /* the first is always there */
        best_s = s;
        *best = r;
    }
}
