/* exchange.c - a rank's own shards into partial sums as they come, and the sum of them over all
 * ranks.
 *
 * Owes: the streaming accumulation. Rows form a stack that mirrors the tree's: the next shard is
 * written into the row on top, and pushing it merges siblings downwards, as carries run in a binary
 * counter. What is left after the last own shard are the maximal subtrees of the block. If all ranks
 * are on one node the rows lie in memory that they share, and node.c adds them up where they are; else
 * buckets.c exchanges them. No allocation after creation.
 *
 * All merges of a push run chunk by chunk, so a row that was just summed is still in cache for the
 * next merge.
 */
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

/* A stack of nodes and of the rows that hold their sums. */
struct rows {
    struct subtree node[TREE_DEPTH];
    char *row[TREE_DEPTH];
    int depth;
};

struct exchange {
    sunup_comm *comm;
    struct sum sum;
    int from, to, next; /* own shards, and the one awaited */
    struct rows rows;
    struct shared shared;  /* the rows of all ranks of one node */
    struct node_sum *node; /* adds those */
    char *memory;          /* the rows where they are not shared: */
    struct buckets *buckets;
    double wait_s;
};

/* --- accumulation --- */

struct merge_work {
    const struct sum *sum;
    char *const *top; /* the topmost row; the others lie below it */
    int merges;
};

static void merge_chunk(void *arg, int64_t i)
{
    const struct merge_work *w = arg;
    const int64_t at = i * SUM_CHUNK, left = w->sum->n - at;
    const int64_t n = left < SUM_CHUNK ? left : SUM_CHUNK, offset = at * sunup__sum_element(w->sum);
    for (int m = 0; m < w->merges; m++)
        sunup__sum_add(w->sum, n, w->top[-m] + offset, w->top[-m - 1] + offset);
}

/* The row at the stack's top holds shard: merge. */
static void push(const struct sum *s, struct rows *r, int shard)
{
    struct merge_work w = {s, &r->row[r->depth], 0};
    w.merges = sunup__tree_push(s->shards, r->node, &r->depth, (struct subtree){shard, 0});
    if (w.merges > 0) sunup__parallel(s->threads, sunup__sum_chunks(s->n), merge_chunk, &w);
}

/* Rows needed to accumulate [from, to). */
static int rows_needed(int shards, int from, int to)
{
    struct subtree node[TREE_DEPTH];
    int depth = 0, most = 0;
    for (int i = from; i < to; i++) {
        if (depth + 1 > most) most = depth + 1;
        sunup__tree_push(shards, node, &depth, (struct subtree){i, 0});
    }
    return most;
}

static int64_t row_bytes(const struct sum *s)
{
    return (s->n * sunup__sum_element(s) + 63) / 64 * 64;
}

/* --- create and destroy --- */

static sunup_status check_sum(sunup_comm *comm, int shards, int64_t n)
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

/* Rows of their own for this rank, and messages. */
static sunup_status allocate_private(struct exchange *x, int rows)
{
    const int64_t bytes = row_bytes(&x->sum);
    x->memory = sunup__alloc_aligned((size_t)(rows * bytes));
    CHECK(x->memory, x->comm->ctx, E_MEMORY,
          "no memory for %d partial sums of %lld bytes: %d shards on %d ranks; more ranks or fewer "
          "shards need less",
          rows, (long long)bytes, x->sum.shards, x->comm->ranks);
    for (int i = 0; i < rows; i++) x->rows.row[i] = x->memory + i * bytes;
    return sunup__buckets_create(x->comm, &x->sum, &x->buckets);
}

static sunup_status allocate(struct exchange *x)
{
    const int rows = rows_needed(x->sum.shards, x->from, x->to);
    const int64_t bytes = row_bytes(&x->sum);
    if (sunup__one_node(x->comm)) TRY(sunup__shared_create(x->comm, rows * bytes, &x->shared));
    if (!sunup__exchange_is_shared(x)) return allocate_private(x, rows);
    for (int i = 0; i < rows; i++) x->rows.row[i] = x->shared.block[x->comm->rank] + i * bytes;
    return sunup__node_sum_create(x->comm, &x->sum, &x->shared, bytes, &x->node);
}

sunup_status sunup__exchange_create(sunup_comm *comm, const struct kernels *k, int threads,
                                    int shards, int64_t n, bool f64, struct exchange **out)
{
    *out = NULL;
    TRY(check_sum(comm, shards, n));
    struct exchange *x = sunup__alloc(sizeof *x);
    CHECK(x, comm->ctx, E_MEMORY, "no memory for the exchange of %lld elements", (long long)n);
    x->comm = comm;
    x->sum = (struct sum){threads, shards, n, f64, k};
    sunup__shards_of(shards, comm->ranks, comm->rank, &x->from, &x->to);
    x->next = x->from;
    *out = x;
    const sunup_status status = allocate(x);
    if (status != SUNUP_OK) sunup__exchange_destroy(out);
    return status;
}

/* On a broken communicator a message may still be reading the rows: they are left to the end of the
 * process. */
void sunup__exchange_destroy(struct exchange **x)
{
    if (!*x) return;
    sunup__buckets_destroy(&(*x)->buckets);
    sunup__node_sum_destroy(&(*x)->node);
    sunup__shared_end(&(*x)->shared);
    if ((*x)->comm->broken == SUNUP_OK) sunup__free((*x)->memory);
    sunup__free(*x);
    *x = NULL;
}

bool sunup__exchange_is_shared(const struct exchange *x)
{
    return x->shared.block != NULL;
}

int64_t sunup__exchange_bytes(int shards, int ranks, int64_t n, bool f64)
{
    const struct sum s = {.shards = shards, .n = n, .f64 = f64};
    int most = 0;
    for (int r = 0; r < ranks; r++) {
        int from, to;
        sunup__shards_of(shards, ranks, r, &from, &to);
        const int needed = rows_needed(shards, from, to);
        if (needed > most) most = needed;
    }
    return most * row_bytes(&s) +
           sunup__buckets_bytes(&s, ranks, sunup_comm_defaults().bucket_bytes);
}

/* --- a step --- */

void *sunup__exchange_slot(struct exchange *x)
{
    return x->next < x->to ? x->rows.row[x->rows.depth] : NULL;
}

void sunup__exchange_push(struct exchange *x)
{
    if (x->next < x->to) push(&x->sum, &x->rows, x->next);
    x->next++;
}

static sunup_status all_pushed(const struct exchange *x)
{
    CHECK(x->next == x->to, x->comm->ctx, E_INTERNAL,
          "%d shards were added on rank %d, which owns %d", x->next - x->from, x->comm->rank,
          x->to - x->from);
    return SUNUP_OK;
}

static struct call sum_call(const struct sum *s, const char *site)
{
    return (struct call){s->f64 ? CALL_SUM_F64 : CALL_SUM_F32, s->n, s->shards, site};
}

struct copy {
    const struct exchange *x;
    char *to;
};

static void copy_chunk(void *arg, int64_t i)
{
    const struct copy *c = arg;
    const int64_t n = c->x->sum.n, element = sunup__sum_element(&c->x->sum), at = i * SUM_CHUNK;
    const int64_t left = n - at < SUM_CHUNK ? n - at : SUM_CHUNK;
    memcpy(c->to + at * element, c->x->rows.row[0] + at * element, (size_t)(left * element));
}

static sunup_status sum_up(struct exchange *x, char *sum)
{
    if (sunup__exchange_is_shared(x)) TRY(sunup__node_sum_run(x->node));
    if (x->comm->ranks > 1 && x->buckets != NULL)
        return sunup__buckets_run(x->buckets, x->rows.row, sum);
    struct copy c = {x, sum};
    if (sum != NULL) sunup__parallel(x->sum.threads, sunup__sum_chunks(x->sum.n), copy_chunk, &c);
    return SUNUP_OK;
}

sunup_status sunup__exchange_finish(struct exchange *x, const char *site, void *sum)
{
    const double before_s = x->comm->wait_s;
    const struct call call = sum_call(&x->sum, site);
    if (x->node != NULL) sunup__node_sum_show(x->node);
    sunup_status status = sunup__meet(x->comm, &call, all_pushed(x), 0);
    if (status == SUNUP_OK) {
        status = sum_up(x, sum);
        sunup__leave(x->comm);
    }
    x->next = x->from;
    x->rows.depth = 0;
    x->wait_s = x->comm->wait_s - before_s;
    return status;
}

void *sunup__exchange_total(struct exchange *x)
{
    /* Of one rank its only partial sum; else node.c wrote the total over the first. */
    return x->rows.row[0];
}

double sunup__exchange_wait_s(const struct exchange *x)
{
    return x->wait_s;
}

/* --- the public sum --- */

/* Everything that may fail on one rank alone, before the ranks meet. */
static sunup_status prepare(sunup_comm *comm, struct kernels *k, struct sum *s, struct buckets **b)
{
    TRY(check_sum(comm, s->shards, s->n));
    CHECK(sunup__kernels_init(k, sunup__cpu_flags(), comm->ctx->options.isa), comm->ctx,
          E_UNSUPPORTED, "this processor has no instruction set \"%s\"", comm->ctx->options.isa);
    s->k = k;
    return sunup__buckets_create(comm, s, b);
}

sunup_status sunup_comm_sum_shards(sunup_comm *comm, int shards, int64_t n, float *terms,
                                   float *sum)
{
    struct kernels k;
    struct sum s = {.threads = comm->ctx->threads, .shards = shards, .n = n};
    struct buckets *b = NULL;
    const struct call call = sum_call(&s, "sunup_comm_sum_shards");
    sunup_status status = sunup__meet(comm, &call, prepare(comm, &k, &s, &b), 0);
    if (status == SUNUP_OK) {
        struct rows rows = {.depth = 0};
        int from, to;
        sunup__shards_of(shards, comm->ranks, comm->rank, &from, &to);
        for (int i = from; i < to; i++) {
            rows.row[rows.depth] = (char *)(terms + (i - from) * n);
            push(&s, &rows, i);
        }
        status = sunup__buckets_run(b, rows.row, (char *)sum);
        sunup__leave(comm);
    }
    sunup__buckets_destroy(&b);
    return status;
}
