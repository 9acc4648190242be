/* sum_ranks.c - the sum over shards on any number of ranks, against the plain recursion of
 * tree_sum.h, bit by bit.
 *
 * For shards S >= ranks, n in {0, 1, ranks - 1, ranks, 1000, 100003}, in shared memory and by
 * messages of two bucket sizes, f32 and f64, 1 and 2 threads, terms that cancel at 2^60. Each
 * exchange runs twice, and results lie one element off their alignment.
 */
#include "base/memory.h"
#include "base/system.h"
#include "kernels/kernels.h"
#include "ranks.h"
#include "tree_sum.h"

enum { N_MOST = 100003, N_SIZES = 6 };

struct reference {
    float f32[N_MOST];
    double f64[N_MOST];
};

struct problem {
    struct job job;
    struct kernels kernels;
    struct reference right;
    float out32[N_MOST + 1];
    double out64[N_MOST + 1];
};

static void make_reference(struct problem *p, int shards)
{
    for (int64_t i = 0; i < N_MOST; i++) {
        p->right.f32[i] = tree_sum_f32(shards, tree_height(shards), 0, i);
        p->right.f64[i] = tree_sum_f64(shards, tree_height(shards), 0, i);
    }
}

static void fill_terms(int shard, int64_t n, bool f64, void *slot)
{
    float *x32 = slot;
    double *x64 = slot;
    for (int64_t i = 0; i < n; i++) {
        if (f64)
            x64[i] = hostile_term(shard, i);
        else
            x32[i] = (float)hostile_term(shard, i);
    }
}

static void step(struct problem *p, struct exchange *x, int shards, int64_t n, bool f64)
{
    int from, to;
    sunup__shards_of(shards, p->job.ranks, p->job.rank, &from, &to);
    for (int i = from; i < to; i++) {
        void *slot = sunup__exchange_slot(x);
        MUST(&p->job, slot);
        fill_terms(i, n, f64, slot);
        sunup__exchange_push(x);
    }
    MUST(&p->job, !sunup__exchange_slot(x));
    void *out = f64 ? (void *)(p->out64 + 1) : (void *)(p->out32 + 1);
    const void *right = f64 ? (void *)p->right.f64 : (void *)p->right.f32;
    const size_t bytes = (size_t)n * (f64 ? 8 : 4);
    memset(out, 0xff, bytes);
    const int64_t allocations = sunup__allocations();
    MUST(&p->job, sunup__exchange_finish(x, "a step", out) == SUNUP_OK);
    MUST(&p->job, sunup__allocations() == allocations);
    MUST(&p->job, memcmp(out, right, bytes) == 0);
    MUST(&p->job, sunup__exchange_wait_s(x) >= 0);
}

static void streaming(struct problem *p, int shards, int64_t n, bool f64, int threads)
{
    struct exchange *x;
    MUST(&p->job,
         sunup__exchange_create(p->job.comm, &p->kernels, threads, shards, n, f64, &x) == SUNUP_OK);
    step(p, x, shards, n, f64);
    step(p, x, shards, n, f64);
    sunup__exchange_destroy(&x);
    MUST(&p->job, !x);
}

static void in_place(struct problem *p, int shards, int64_t n)
{
    int from, to;
    sunup__shards_of(shards, p->job.ranks, p->job.rank, &from, &to);
    float *terms = malloc((size_t)(to - from) * (size_t)n * sizeof *terms + 1);
    for (int i = from; i < to; i++) fill_terms(i, n, false, terms + (i - from) * n);
    memset(p->out32, 0xff, sizeof p->out32);
    MUST(&p->job, sunup_comm_sum_shards(p->job.comm, shards, n, terms, p->out32 + 1) == SUNUP_OK);
    MUST(&p->job, memcmp(p->out32 + 1, p->right.f32, (size_t)n * sizeof(float)) == 0);
    free(terms);
}

/* One communicator: all shard counts and sizes. */
static void sweep(struct problem *p)
{
    static const int shard_counts[] = {1, 2, 3, 5, 8, 12, 13, 16};
    const int ranks = p->job.ranks;
    const int64_t sizes[N_SIZES] = {0, 1, ranks - 1, ranks, 1000, N_MOST};
    for (size_t s = 0; s < sizeof shard_counts / sizeof *shard_counts; s++) {
        const int shards = shard_counts[s];
        if (shards < ranks) continue;
        make_reference(p, shards);
        for (int i = 0; i < N_SIZES; i++) {
            streaming(p, shards, sizes[i], false, 1 + i % 2);
            streaming(p, shards, sizes[i], true, 1 + i % 2);
            in_place(p, shards, sizes[i]);
        }
        const uint64_t hash = sunup__hash(p->out32 + 1, N_MOST * sizeof(float), 0);
        MUST(&p->job, sunup__comm_compare(p->job.comm, hash, "the sum") == SUNUP_OK);
    }
}

/* The same ranks with another bucket size: a second communicator beside the first. */
static void sweep_with_buckets(struct problem *p, int64_t bucket_bytes)
{
    sunup_comm *first = p->job.comm;
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = 60;
    options.bucket_bytes = bucket_bytes;
    options.messages = true;
    MUST(&p->job, sunup_comm_create(p->job.ctx, &options, &p->job.comm) == SUNUP_OK);
    MUST(&p->job, sunup_comm_ranks(p->job.comm) == p->job.ranks);
    sweep(p);
    sunup_comm_destroy(&p->job.comm);
    p->job.comm = first;
}

int main(int argc, char **argv)
{
    static struct problem p;
    begin(&p.job, 60);
    if (argc > 1) MUST(&p.job, p.job.ranks == atoi(argv[1]));
    MUST(&p.job, sunup__kernels_init(&p.kernels, sunup__cpu_flags(), p.job.ctx->options.isa));
    sweep(&p);
    sweep_with_buckets(&p, 10007);
    sweep_with_buckets(&p, 65536);
    if (p.job.rank == 0) printf("sums right on %d ranks\n", p.job.ranks);
    end(&p.job);
    return 0;
}
