/* call_ranks.c - the small collectives, and what happens when ranks do not call the same.
 *
 * A mismatch, a rank that cannot take part, or one that leaves early must give the same status on
 * all ranks, name who it was, and leave the communicator in step.
 */
#include <mpi.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/system.h"
#include "kernels/kernels.h"
#include "ranks.h"

static unsigned char byte_of(int rank, int64_t i)
{
    return (unsigned char)((uint64_t)(rank + 1) * 131 + (uint64_t)i * 7);
}

static void gathers(struct job *job)
{
    static const int64_t sizes[] = {0, 1, 8, 4097, 100001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        unsigned char *mine = malloc((size_t)n + 1), *all = malloc((size_t)(n * job->ranks) + 1);
        for (int64_t i = 0; i < n; i++) mine[i] = byte_of(job->rank, i);
        MUST(job, sunup__comm_gather(job->comm, mine, n, all, "gather") == SUNUP_OK);
        for (int r = 0; r < job->ranks; r++)
            for (int64_t i = 0; i < n; i++) MUST(job, all[r * n + i] == byte_of(r, i));
        free(mine);
        free(all);
    }
}

static void broadcast(struct job *job, int64_t n, int root)
{
    unsigned char *data = malloc((size_t)n + 1);
    for (int64_t i = 0; i < n; i++) data[i] = job->rank == root ? byte_of(root, i) : 0xaa;
    MUST(job, sunup__comm_broadcast(job->comm, data, n, root, "broadcast") == SUNUP_OK);
    for (int64_t i = 0; i < n; i++) MUST(job, data[i] == byte_of(root, i));
    free(data);
}

static void broadcasts(struct job *job)
{
    for (int root = 0; root < job->ranks; root++) {
        broadcast(job, 0, root);
        broadcast(job, 1, root);
        broadcast(job, 70001, root);
    }
    broadcast(job, ((int64_t)17 << 20) + 3, job->ranks - 1); /* more than one piece */
    MUST(job,
         sunup__comm_broadcast(job->comm, NULL, 0, job->ranks, "from nobody") == SUNUP_E_ARGUMENT);
    MUST(job, sunup__comm_barrier(job->comm, "barrier") == SUNUP_OK);
}

static void comparisons(struct job *job)
{
    const int last = job->ranks - 1;
    char name[32];
    snprintf(name, sizeof name, "rank %d has", last);
    MUST(job, sunup__comm_compare(job->comm, 42, "the weights") == SUNUP_OK);
    if (last == 0) return;
    MUST(job, sunup__comm_compare(job->comm, job->rank == last ? 43 : 42, "the weights") ==
                  SUNUP_E_PEER);
    MUST(job, error_says(job, name) && error_says(job, "the weights differs"));
    MUST(job, last == 1 || !error_says(job, "rank 1 has"));
    MUST(job, sunup__comm_barrier(job->comm, "barrier") == SUNUP_OK);
}

static sunup_status fail_on(struct job *job, int rank)
{
    CHECK(job->rank != rank, job->ctx, E_FILE, "the file of rank %d is missing", rank);
    return SUNUP_OK;
}

static void agreements(struct job *job)
{
    const int last = job->ranks - 1;
    char text[64];
    MUST(job, sunup_comm_agree(job->comm, SUNUP_OK) == SUNUP_OK);
    snprintf(text, sizeof text, "the file of rank %d is missing", last);
    MUST(job, sunup_comm_agree(job->comm, fail_on(job, last)) == SUNUP_E_FILE);
    MUST(job, error_says(job, text)); /* the sentence travels too */
    const sunup_status mine = job->rank == 0 ? SUNUP_E_NAN : fail_on(job, last);
    MUST(job, sunup_comm_agree(job->comm, mine) == SUNUP_E_NAN);
    MUST(job, sunup_comm_agree(job->comm, SUNUP_OK) == SUNUP_OK);
}

static void mismatches(struct job *job)
{
    const int last = job->ranks - 1;
    float terms[80] = {0}, sum[16];
    char name[32], all[8 * 64];
    snprintf(name, sizeof name, "rank %d calls", last);
    if (last == 0) return;
    if (job->rank == last)
        MUST(job, sunup__comm_barrier(job->comm, "mine") == SUNUP_E_SHAPE);
    else
        MUST(job, sunup__comm_gather(job->comm, "8 bytes", 8, all, "ours") == SUNUP_E_SHAPE);
    MUST(job, last == 1 || (error_says(job, name) && error_says(job, "calls a barrier")));
    MUST(job, error_says(job, "a gather of 8 bytes"));
    const int64_t n = job->rank == last ? 9 : 10;
    MUST(job, sunup_comm_sum_shards(job->comm, 8, n, terms, sum) == SUNUP_E_SHAPE);
    MUST(job,
         error_says(job, "a sum of 9 f32 over 8 shards") && error_says(job, "a sum of 10 f32"));
    MUST(job, sunup_comm_sum_shards(job->comm, job->rank == last ? 8 : 9, 4, terms, sum) ==
                  SUNUP_E_SHAPE);
    MUST(job, sunup_comm_sum_shards(job->comm, job->ranks - 1, 4, terms, sum) == SUNUP_E_ARGUMENT);
    MUST(job, error_says(job, "ranks share"));
    MUST(job, sunup_comm_sum_shards(job->comm, 8, -1, terms, sum) == SUNUP_E_ARGUMENT);
    MUST(job, sunup_comm_sum_shards(job->comm, 8, 9, terms, sum) == SUNUP_OK);
    MUST(job, sum[0] == 0 && sum[8] == 0);
}

/* A rank that forgets a shard fails on all ranks, and the exchange works again in the next step. */
static void forgotten_shard(struct job *job)
{
    struct kernels k;
    struct exchange *x;
    const struct exchange_options o = {.k = &k, .threads = 1, .shards = 8, .n = 1, .f64 = true};
    int from, to;
    sunup__shards_of(8, job->ranks, job->rank, &from, &to);
    MUST(job, sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    MUST(job, sunup__exchange_create(job->comm, &o, &x) == SUNUP_OK);
    for (int again = 0; again < 2; again++) {
        const int end = again == 0 && job->rank == job->ranks - 1 ? to - 1 : to;
        for (int i = from; i < end; i++) {
            *(double *)sunup__exchange_slot(x) = i;
            sunup__exchange_push(x);
        }
        const sunup_status status = sunup__exchange_reduce(x, "step");
        MUST(job, status == (again == 0 ? SUNUP_E_INTERNAL : SUNUP_OK));
    }
    MUST(job, *(const double *)sunup__exchange_total(x) == 28);
    sunup__exchange_destroy(&x);
}

/* A rank without memory fails on all ranks before anybody waits for it. */
static void no_memory(struct job *job)
{
    float terms[80] = {0}, sum[10];
    if (job->rank == job->ranks - 1) sunup__fail_allocation(0);
    MUST(job, sunup_comm_sum_shards(job->comm, 9, 8, terms, sum) == SUNUP_E_MEMORY);
    sunup__fail_allocation(-1);
    MUST(job, error_says(job, "no memory for "));
    MUST(job, sunup_comm_sum_shards(job->comm, 9, 8, terms, sum) == SUNUP_OK);
}

static void other_communicators(struct job *job)
{
    MPI_Comm half;
    sunup_comm *comm;
    const int parity = job->rank % 2;
    MPI_Comm_split(MPI_COMM_WORLD, parity, job->rank, &half);
    MUST(job, sunup_comm_create_from(job->ctx, NULL, (int)MPI_Comm_c2f(half), &comm) == SUNUP_OK);
    MPI_Comm_free(&half); /* it was duplicated */
    MUST(job, sunup_comm_ranks(comm) == (job->ranks + 1 - parity) / 2);
    MUST(job, sunup_comm_rank(comm) == job->rank / 2);
    MUST(job, sunup__comm_compare(comm, (uint64_t)parity, "parity") == SUNUP_OK);
    sunup_comm_destroy(&comm);
    MUST(job, !comm);
}

/* The last rank destroys while the others go on: they hear of it instead of waiting, and all come
 * apart. */
static void early_leaver(struct job *job)
{
    sunup_comm *comm;
    MUST(job, sunup_comm_create(job->ctx, NULL, &comm) == SUNUP_OK);
    if (job->rank != job->ranks - 1 && job->ranks > 1) {
        MUST(job, sunup__comm_barrier(comm, "go on") == SUNUP_E_SHAPE);
        MUST(job, error_says(job, "the end of the communicator"));
    }
    sunup_comm_destroy(&comm);
}

static void bad_options(struct job *job)
{
    sunup_comm *comm;
    sunup_comm_options options = sunup_comm_defaults();
    options.bucket_bytes = 1000 + job->rank;
    if (job->ranks > 1) {
        MUST(job, sunup_comm_create(job->ctx, &options, &comm) == SUNUP_E_SHAPE && !comm);
        MUST(job, error_says(job, "bucket_bytes is 1001 on rank 1 and 1000 on rank 0"));
    }
    options.bucket_bytes = 0;
    MUST(job, sunup_comm_create(job->ctx, &options, &comm) == SUNUP_E_ARGUMENT && !comm);
}

int main(void)
{
    struct job job;
    begin(&job, 60);
    int node_rank, node_ranks, finalized;
    sunup__comm_node(job.comm, &node_rank, &node_ranks);
    MUST(&job, node_ranks == job.ranks && node_rank == job.rank); /* the tests run on one node */
    MUST(&job, sunup__launched_by_mpi());
    gathers(&job);
    broadcasts(&job);
    comparisons(&job);
    agreements(&job);
    mismatches(&job);
    forgotten_shard(&job);
    no_memory(&job);
    if (job.ranks > 1) other_communicators(&job);
    early_leaver(&job);
    bad_options(&job);
    const int rank = job.rank, ranks = job.ranks;
    end(&job);
    MPI_Finalized(&finalized);
    if (ranks > 1 && !finalized) return 1; /* who starts MPI ends it */
    if (rank == 0) printf("calls right on %d ranks\n", ranks);
    return 0;
}
