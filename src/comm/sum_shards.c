/* sum_shards.c - the public sum, over buffers of the caller: by messages among all ranks, whatever they share.
 *
 * Cost: a plan of the exchange is made in each call; who sums often and much trains with an exchange.
 */
#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

sunup_status sunup__check_sum(sunup_comm *comm, int shards, int64_t n)
{
    CHECK(shards >= 1, comm->ctx, E_ARGUMENT, "a sum over %d shards; there must be at least one",
          shards);
    CHECK(comm->ranks <= shards, comm->ctx, E_ARGUMENT,
          "%d ranks share %d shards, so some would have nothing to do: start at most %d ranks, or "
          "raise shards "
          "(it is part of the run's definition)",
          comm->ranks, shards, shards);
    CHECK(n >= 0 && n < (int64_t)1 << 48, comm->ctx, E_ARGUMENT, "a sum of %lld elements",
          (long long)n);
    return SUNUP_OK;
}

struct call sunup__sum_call(const struct sum *s, const char *site)
{
    return (struct call){s->f64 ? CALL_SUM_F64 : CALL_SUM_F32, s->n, s->shards, site};
}

/* Everything that may fail on one rank alone, before the ranks meet. */
static sunup_status prepare(sunup_comm *comm, struct kernels *k, struct sum *s, struct stages **st)
{
    struct group g;
    struct route route;
    const struct network net = sunup__network_defaults();
    TRY(sunup__check_sum(comm, s->shards, s->n));
    CHECK(sunup__kernels_init(k, sunup__cpu_flags(), comm->ctx->options.isa), comm->ctx,
          E_UNSUPPORTED, "this processor has no instruction set \"%s\"", comm->ctx->options.isa);
    s->k = k;
    CHECK(sunup__group_create(comm->ranks, comm->rank, s->shards, 1, &g), comm->ctx, E_MEMORY,
          "no memory for the exchange of %d ranks", comm->ranks);
    sunup__route_choose(&net, &g, s->shards, comm->options.bucket_bytes, &route);
    const struct stages_options o = {
        .sum = s, .group = &g, .route = &route, .bucket_bytes = comm->options.bucket_bytes};
    const sunup_status status = sunup__stages_create(comm, &o, st);
    sunup__group_end(&g);
    return status;
}

static sunup_status add_up(sunup_comm *comm, const struct sum *s, struct stages *st, float *terms,
                           float *sum)
{
    struct rows rows = {.depth = 0};
    int from, to;
    sunup__shards_of(s->shards, comm->ranks, comm->rank, &from, &to);
    for (int i = from; i < to; i++) {
        rows.row[rows.depth] = (char *)(terms + (i - from) * s->n);
        sunup__rows_merge(s, &rows, i, (struct slice){0, s->n});
        sunup__rows_push(s, &rows, i);
    }
    return sunup__stages_sum(st, rows.row, (char *)sum);
}

sunup_status sunup_comm_sum_shards(sunup_comm *comm, int shards, int64_t n, float *terms,
                                   float *sum)
{
    struct kernels k;
    struct sum s = {.threads = comm->ctx->threads, .shards = shards, .n = n};
    struct stages *st = NULL;
    const struct call call = sunup__sum_call(&s, "sunup_comm_sum_shards");
    sunup_status status = sunup__meet(comm, &call, prepare(comm, &k, &s, &st), 0);
    if (status == SUNUP_OK) {
        status = add_up(comm, &s, st, terms, sum);
        sunup__leave(comm);
    }
    if (st != NULL) sunup__stages_destroy(&st);
    return status;
}
