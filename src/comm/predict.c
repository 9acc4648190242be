/* predict.c - what an exchange will cost on a machine that is only described: time, bytes sent, memory.
 *
 * The model: of each bucket a rank reads the partial sums of its part from its node's memory and writes their sum,
 * its link is busy with rows there and data back (routes.c), and the others of its node get what came in. Buckets
 * follow each other, so latencies of all but the last hide behind links that are busy. Nothing is measured here:
 * bench/sim tells how far the simulated network is from it.
 */
#include <math.h>

#include "base/integers.h"
#include "comm/inside.h"

static sunup_status check(sunup_context *ctx, const struct exchange_options *o, const struct machine *m)
{
    CHECK(m->ranks >= 1 && m->node_ranks >= 1 && m->ranks <= o->shards, ctx, E_ARGUMENT,
          "%d ranks cannot share %d shards; raise shards", m->ranks, o->shards);
    CHECK(m->ranks <= m->node_ranks || m->ranks % m->node_ranks == 0, ctx, E_ARGUMENT,
          "%d ranks do not fill nodes of %d; try %d", m->ranks, m->node_ranks,
          m->ranks / m->node_ranks * m->node_ranks);
    return SUNUP_OK;
}

/* Partial sums that each rank of a node brings, at most. */
static int rows_of_ranks(const struct exchange_options *o, int ranks)
{
    int start[TREE_DEPTH], level[TREE_DEPTH], rows = 0;
    for (int r = 0; r < ranks; r++) {
        int from, to;
        sunup__shards_of(o->shards, ranks, r, &from, &to);
        const int n = sunup__subtrees(o->shards, from, to, start, level);
        rows = n > rows ? n : rows;
    }
    return rows;
}

/* A rank's time in its node's memory for a bucket: rows of all ranks in, a row out, and the data of its part to the
 * others. */
static double node_s(const struct machine *m, int node_ranks, int rows, double bucket_bytes)
{
    const double part = bucket_bytes / node_ranks, moves = rows * node_ranks + 1 + 2 * (node_ranks - 1);
    return node_ranks > 1 ? moves * part / m->bytes_per_s : 0;
}

static void predict_wire(const struct exchange_options *o, const struct machine *m,
                         const struct group *g, double part_bytes, struct exchange_cost *cost)
{
    struct route r;
    const int64_t bytes = (int64_t)part_bytes, rows_bytes = o->bf16 ? bytes / 2 : bytes;
    sunup__route_choose(&m->net, g, o->shards, bytes, &r);
    const struct way_cost there = sunup__route_cost(&r, &m->net, g, o->shards, rows_bytes, false),
                          back = sunup__route_cost(&r, &m->net, g, o->shards, bytes, true);
    cost->route = r.name;
    cost->bucket_s += there.busy_s;
    cost->latency_s = there.latency_s;
    cost->share_s = cost->buckets * back.busy_s + back.latency_s;
    cost->sent_bytes = cost->buckets * (there.bytes + back.bytes);
}

sunup_status sunup__exchange_predict(sunup_context *ctx, const struct exchange_options *o,
                                     const struct machine *m, struct exchange_cost *cost)
{
    TRY(check(ctx, o, m));
    const int node_ranks = m->ranks < m->node_ranks ? m->ranks : m->node_ranks;
    const int nodes = m->ranks / node_ranks, rows = rows_of_ranks(o, m->ranks);
    const double bytes = (double)o->head * (o->f64 ? 8 : 4);
    const double most_bytes = fmax((double)sunup_comm_defaults().bucket_bytes, 4096.0 * m->ranks);
    *cost = (struct exchange_cost){.route = "", .buckets = nodes > 1 ? (int)ceil(bytes / most_bytes) : 1};
    const double bucket_bytes = bytes / cost->buckets;
    cost->bucket_s = node_s(m, node_ranks, rows, bucket_bytes);
    cost->memory_bytes = (double)sunup__exchange_bytes(o, m->ranks);
    if (nodes == 1) return SUNUP_OK;
    struct group g;
    CHECK(sunup__group_create(m->ranks, 0, o->shards, node_ranks, &g), ctx, E_MEMORY,
          "no memory for the exchange of %d ranks", m->ranks);
    predict_wire(o, m, &g, bucket_bytes / node_ranks, cost);
    sunup__group_end(&g);
    return SUNUP_OK;
}
