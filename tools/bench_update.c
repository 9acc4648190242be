/* bench_update.c - see bench_update.h. The norm of the gradient is part of every way, as it is of training; all ways
 * give the same bits where the sum does.
 */
#include <string.h>

#include "base/memory.h"
#include "bench_update.h"
#include "device/device.h"
#include "optim/optim.h"

struct updater {
    sunup_context *ctx;
    sunup_comm *comm;
    enum update_way way;
    int64_t n;
    struct exchange *x; /* NULL: MPI sums */
    struct optimizer_job job;
    struct optimizer *optimizer;
    float *gradient, *memory; /* MPI's; weights that are not in the exchange */
    float *weights;
    bool hears; /* the optimizer sees gradients while they are summed */
};

static sunup_status open_exchange(struct updater *u)
{
    const bool fused = u->way == UPDATE_FUSED;
    const struct exchange_options o = {.k = u->job.k,
                                       .threads = u->job.threads,
                                       .shards = sunup_comm_ranks(u->comm),
                                       .n = u->n,
                                       .head = fused ? u->n : 0,
                                       .data_n = u->n,
                                       .cut = sunup__optimizer_cut,
                                       .cut_arg = &u->job};
    TRY(sunup__exchange_create(u->comm, &o, &u->x));
    u->weights = sunup__exchange_data(u->x);
    const struct slice *own;
    if (!fused) return SUNUP_OK;
    u->job.n_slices = sunup__exchange_slices(u->x, sunup_comm_rank(u->comm), &own);
    u->job.slices = own;
    return SUNUP_OK;
}

static sunup_status open_memory(struct updater *u)
{
    const size_t bytes = (size_t)u->n * sizeof(float);
    u->gradient = sunup__alloc_aligned(bytes);
    u->memory = u->weights = sunup__alloc_aligned(bytes);
    CHECK(u->gradient != NULL && u->memory != NULL, u->ctx, E_MEMORY, "no memory for %zu bytes",
          2 * bytes);
    memset(u->memory, 0, bytes);
    return SUNUP_OK;
}

static sunup_status open_all(struct updater *u)
{
    TRY(sunup__kernels(u->ctx, &u->job.k));
    u->job.threads = sunup_context_threads(u->ctx);
    u->job.n = u->n;
    const sunup_status mine = u->way == UPDATE_MPI ? open_memory(u) : open_exchange(u);
    TRY(sunup_comm_agree(u->comm, mine));
    sunup_optimizer_options o = sunup_optimizer_defaults();
    o.type = "adam";
    return sunup_comm_agree(u->comm, sunup__optimizer_create(u->ctx, &o, &u->job, &u->optimizer));
}

static void hear(void *arg, struct slice piece)
{
    const struct updater *u = arg;
    sunup__optimizer_see(u->optimizer, sunup__exchange_total(u->x), piece);
}

sunup_status updater_open(sunup_context *ctx, sunup_comm *comm, enum update_way way, int64_t n,
                          struct updater **out)
{
    struct updater *u = *out = sunup__alloc(sizeof *u);
    CHECK(u != NULL, ctx, E_MEMORY, "no memory for an update");
    *u = (struct updater){.ctx = ctx, .comm = comm, .way = way, .n = n};
    TRY(open_all(u));
    u->hears = way == UPDATE_FUSED && sunup__exchange_listen(u->x, hear, u);
    return SUNUP_OK;
}

void updater_close(struct updater **out)
{
    struct updater *u = *out;
    *out = NULL;
    if (u == NULL) return;
    sunup__optimizer_destroy(&u->optimizer);
    sunup__exchange_destroy(&u->x);
    sunup__free(u->gradient);
    sunup__free(u->memory);
    sunup__free(u);
}

float *updater_gradient(struct updater *u)
{
    return u->x != NULL ? sunup__exchange_slot(u->x) : u->gradient;
}

void updater_weights(const struct updater *u, const char **weights)
{
    *weights = (const char *)u->weights;
}

static sunup_status combine(void *arg, int64_t n, int64_t *words)
{
    const struct updater *u = arg;
    return sunup__exchange_combine(u->x, "norm", n, words);
}

static void give(void *arg, int64_t at, int64_t n)
{
    const struct updater *u = arg;
    sunup__exchange_give(u->x, at, n);
}

sunup_status updater_run(struct updater *u, const char **weights)
{
    const struct optimizer_ranks ranks = {combine, give, u};
    const bool fused = u->way == UPDATE_FUSED;
    double norm;
    if (u->way == UPDATE_MPI) {
        TRY(sunup__comm_mpi_sum(u->comm, u->gradient, u->n));
    } else {
        sunup__exchange_push(u->x);
        TRY(sunup__exchange_reduce(u->x, "gradients"));
    }
    const float *g = u->x != NULL ? sunup__exchange_total(u->x) : u->gradient;
    if (u->hears) sunup__optimizer_seen(u->optimizer);
    TRY(sunup__optimizer_step(u->optimizer, 1e-3, 1.0, g, u->weights, fused ? &ranks : NULL, &norm));
    updater_weights(u, weights);
    return fused ? sunup__exchange_share(u->x, "weights") : SUNUP_OK;
}
