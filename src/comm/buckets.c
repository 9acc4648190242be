/* buckets.c - partial sums of all ranks into the total on every rank, slice by slice.
 *
 * The n elements travel in buckets. In a bucket each rank owns a slice: it receives all partial
 * sums of the slice, adds them in the tree's order, and sends the total to all. A few buckets are
 * under way at once, each on its own:
 *
 *     bucket 0   terms ---> add ---> totals
 *     bucket 1     terms ---> add ---> totals
 *
 * Owes: totals whose bits depend on the shards only. Bucket size, slices and the order of arrival
 * decide where and when an element is added, never in which order. Everything is allocated at
 * creation, nothing in a run.
 *
 * Cost: a rank sends (own subtrees + 1) n (ranks - 1)/ranks elements, in (own subtrees + 1)(ranks -
 * 1) messages a bucket: good within a node and for some hundred ranks, beyond which the latency of
 * direct exchange counts. Source: docs/decisions/004-same-bits.md.
 */
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

/* Buckets at a time: one is added, one arrives, one leaves, one waits for a late rank. */
enum { UNDER_WAY = 4 };

struct bucket {
    int64_t at, n; /* its elements; n = 0: idle */
    int tag;       /* of its terms; + 1: totals */
    int used;      /* message numbers given out */
    int terms;     /* the first of them: terms that come in */
    int terms_left, left;
};

struct buckets {
    sunup_comm *comm;
    struct sum sum;
    int64_t element, bucket_n, count; /* bytes of an element, elements a bucket, buckets */
    int parts, own;                   /* partial sums of all ranks, of this rank */
    int *first;                       /* [ranks + 1] a rank's first partial sum */
    struct addition *addition;        /* [parts - 1] */
    int per_bucket;                   /* messages at most */
    struct flight flight;
    char *landing; /* [UNDER_WAY][parts - own] rows of the own slice */
    int64_t row_bytes;
    struct bucket bucket[UNDER_WAY];
    char **part;       /* [parts] of the slice being added */
    char *const *mine; /* the run's arguments */
    char *total;
};

/* --- layout --- */

static int64_t bucket_elements(const struct sum *s, int64_t bucket_bytes)
{
    int64_t n = bucket_bytes / sunup__sum_element(s);
    if (n > WIRE_MAX / sunup__sum_element(s)) n = WIRE_MAX / sunup__sum_element(s);
    if (n > s->n) n = s->n;
    return n > 1 ? n : 1;
}

/* Rows start on cache lines. */
static int64_t row_bytes(const struct sum *s, int ranks, int64_t bucket_n)
{
    const int64_t bytes = (bucket_n / ranks + 1) * sunup__sum_element(s);
    return (bytes + 63) / 64 * 64;
}

static int64_t under_way(const struct sum *s, int64_t bucket_n)
{
    const int64_t count = (s->n + bucket_n - 1) / bucket_n;
    return count < UNDER_WAY ? count : UNDER_WAY;
}

static int count_parts(int shards, int ranks, int rank)
{
    int from, to, start[TREE_DEPTH], level[TREE_DEPTH];
    sunup__shards_of(shards, ranks, rank, &from, &to);
    return sunup__subtrees(shards, from, to, start, level);
}

int64_t sunup__buckets_bytes(const struct sum *s, int ranks, int64_t bucket_bytes)
{
    if (ranks == 1) return 0;
    int64_t parts = 0;
    for (int r = 0; r < ranks; r++) parts += count_parts(s->shards, ranks, r);
    const int64_t bucket_n = bucket_elements(s, bucket_bytes);
    return under_way(s, bucket_n) * (parts - 1) * row_bytes(s, ranks, bucket_n);
}

/* Elements of rank's slice, counted in the whole sum. */
static void slice(const struct buckets *b, const struct bucket *k, int rank, int64_t *at,
                  int64_t *n)
{
    const int64_t from = k->n * rank / b->comm->ranks;
    *at = k->at + from;
    *n = k->n * (rank + 1) / b->comm->ranks - from;
}

/* --- create and destroy --- */

static sunup_status lay_out_tree(struct buckets *b)
{
    const int ranks = b->comm->ranks, shards = b->sum.shards;
    struct subtree *node = sunup__alloc((size_t)shards * sizeof *node); /* parts <= shards */
    if (!node) return SUNUP_E_MEMORY;
    for (int r = 0; r < ranks; r++) {
        int from, to, start[TREE_DEPTH], level[TREE_DEPTH];
        sunup__shards_of(shards, ranks, r, &from, &to);
        const int n = sunup__subtrees(shards, from, to, start, level);
        for (int i = 0; i < n; i++) node[b->first[r] + i] = (struct subtree){start[i], level[i]};
        b->first[r + 1] = b->first[r] + n;
    }
    b->parts = b->first[ranks];
    b->own = b->first[b->comm->rank + 1] - b->first[b->comm->rank];
    b->addition = sunup__alloc((size_t)b->parts * sizeof *b->addition);
    b->part = sunup__alloc((size_t)b->parts * sizeof *b->part);
    if (b->addition) sunup__tree_additions(shards, b->parts, node, b->addition);
    sunup__free(node);
    return b->addition && b->part ? SUNUP_OK : SUNUP_E_MEMORY;
}

static sunup_status lay_out_messages(struct buckets *b)
{
    const int others = b->comm->ranks - 1;
    const int64_t per = (int64_t)(b->parts - b->own) + (int64_t)(b->own + 2) * others;
    if (per * UNDER_WAY > INT32_MAX) return SUNUP_E_MEMORY;
    b->per_bucket = (int)per;
    b->row_bytes = row_bytes(&b->sum, b->comm->ranks, b->bucket_n);
    const int64_t rows = under_way(&b->sum, b->bucket_n) * (b->parts - b->own);
    b->landing = sunup__alloc_aligned((size_t)(rows * b->row_bytes));
    if (!b->landing) return SUNUP_E_MEMORY;
    return sunup__flight_create(b->comm, b->per_bucket * UNDER_WAY, &b->flight);
}

sunup_status sunup__buckets_create(sunup_comm *comm, const struct sum *s, struct buckets **out)
{
    struct buckets *b = sunup__alloc(sizeof *b);
    *out = b;
    CHECK(b, comm->ctx, E_MEMORY, "no memory for the exchange of %lld elements", (long long)s->n);
    b->comm = comm;
    b->sum = *s;
    b->element = sunup__sum_element(s);
    b->bucket_n = bucket_elements(s, comm->options.bucket_bytes);
    b->count = (s->n + b->bucket_n - 1) / b->bucket_n;
    b->first = sunup__alloc(((size_t)comm->ranks + 1) * sizeof *b->first);
    sunup_status status = b->first ? lay_out_tree(b) : SUNUP_E_MEMORY;
    if (status == SUNUP_OK && comm->ranks > 1) status = lay_out_messages(b);
    if (status == SUNUP_OK) return SUNUP_OK;
    sunup__buckets_destroy(out);
    RAISE(comm->ctx, E_MEMORY,
          "no memory for the exchange of %lld elements over %d ranks and %d shards: about %lld "
          "bytes; try a smaller "
          "bucket_bytes (%lld now)",
          (long long)s->n, comm->ranks, s->shards,
          (long long)sunup__buckets_bytes(s, comm->ranks, comm->options.bucket_bytes),
          (long long)comm->options.bucket_bytes);
}

/* On a broken communicator the memory that messages may still reach is left to the end of the
 * process. */
void sunup__buckets_destroy(struct buckets **b)
{
    struct buckets *x = *b;
    *b = NULL;
    if (!x) return;
    if (x->flight.left == 0) {
        sunup__flight_end(&x->flight);
        sunup__free(x->landing);
    }
    sunup__free(x->first);
    sunup__free(x->addition);
    sunup__free(x->part);
    sunup__free(x);
}

/* --- numbers --- */

struct slice_work {
    const struct buckets *b;
    char *total;
    int64_t n;
};

/* One chunk of the own slice: the tree's additions, then the total to its place. */
static void add_chunk(void *arg, int64_t i)
{
    const struct slice_work *w = arg;
    const struct buckets *b = w->b;
    const int64_t at = i * SUM_CHUNK, n = w->n - at < SUM_CHUNK ? w->n - at : SUM_CHUNK;
    const int64_t offset = at * b->element;
    for (int a = 0; a < b->parts - 1; a++)
        sunup__sum_add(&b->sum, n, b->part[b->addition[a].from] + offset,
                       b->part[b->addition[a].into] + offset);
    memcpy(w->total + offset, b->part[0] + offset, (size_t)(n * b->element));
}

static void add_rows(const struct buckets *b, char *total, int64_t n)
{
    struct slice_work w = {b, total, n};
    sunup__parallel(b->sum.threads, sunup__sum_chunks(n), add_chunk, &w);
}

/* --- messages --- */

static int next_number(struct buckets *b, struct bucket *k)
{
    k->left++;
    return (int)(k - b->bucket) * b->per_bucket + k->used++;
}

static char *landing_row(const struct buckets *b, const struct bucket *k, int part)
{
    const int own_first = b->first[b->comm->rank];
    const int row = part < own_first ? part : part - b->own; /* own sums do not land */
    return b->landing + ((k - b->bucket) * (int64_t)(b->parts - b->own) + row) * b->row_bytes;
}

static sunup_status receive_terms(struct buckets *b, struct bucket *k)
{
    int64_t at, n;
    slice(b, k, b->comm->rank, &at, &n);
    for (int peer = 0; n > 0 && peer < b->comm->ranks; peer++) {
        if (peer == b->comm->rank) continue;
        for (int i = b->first[peer]; i < b->first[peer + 1]; i++)
            TRY(sunup__receive(
                &b->flight, next_number(b, k),
                &(struct message){peer, k->tag, landing_row(b, k, i), n * b->element}));
    }
    k->terms = k->terms_left = k->used;
    return SUNUP_OK;
}

/* To each rank the partial sums of its slice; from each rank the total of its slice. */
static sunup_status send_terms(struct buckets *b, struct bucket *k)
{
    for (int step = 1; step < b->comm->ranks; step++) {
        const int peer = (b->comm->rank + step) % b->comm->ranks; /* not all to one at once */
        int64_t at, n;
        slice(b, k, peer, &at, &n);
        if (n == 0) continue;
        const int64_t offset = at * b->element, bytes = n * b->element;
        TRY(sunup__receive(&b->flight, next_number(b, k),
                           &(struct message){peer, k->tag + 1, b->total + offset, bytes}));
        for (int i = 0; i < b->own; i++)
            TRY(sunup__send(&b->flight, next_number(b, k),
                            &(struct message){peer, k->tag, b->mine[i] + offset, bytes}));
    }
    return SUNUP_OK;
}

static sunup_status start(struct buckets *b, struct bucket *k, int64_t number)
{
    const int64_t at = number * b->bucket_n, rest = b->sum.n - at;
    *k = (struct bucket){.at = at, .n = rest < b->bucket_n ? rest : b->bucket_n};
    k->tag = (int)(number * 2 % TAG_BUCKETS);
    TRY(receive_terms(b, k));
    return send_terms(b, k);
}

/* All terms of the own slice are here. */
static sunup_status add_and_send(struct buckets *b, struct bucket *k)
{
    int64_t at, n;
    slice(b, k, b->comm->rank, &at, &n);
    const int own_first = b->first[b->comm->rank];
    for (int i = 0; i < b->parts; i++) {
        const int own = i - own_first;
        b->part[i] =
            own >= 0 && own < b->own ? b->mine[own] + at * b->element : landing_row(b, k, i);
    }
    char *total = b->total + at * b->element;
    add_rows(b, total, n);
    for (int step = 1; step < b->comm->ranks; step++) {
        const int peer = (b->comm->rank + step) % b->comm->ranks;
        TRY(sunup__send(&b->flight, next_number(b, k),
                        &(struct message){peer, k->tag + 1, total, n * b->element}));
    }
    return SUNUP_OK;
}

static sunup_status land(struct buckets *b, int number)
{
    struct bucket *k = &b->bucket[number / b->per_bucket];
    k->left--;
    if (number % b->per_bucket >= k->terms || --k->terms_left > 0) return SUNUP_OK;
    return add_and_send(b, k);
}

static sunup_status run_over_wire(struct buckets *b)
{
    int64_t next = 0, done = 0;
    while (done < b->count) {
        for (struct bucket *k = b->bucket; k < b->bucket + UNDER_WAY; k++)
            if (k->n == 0 && next < b->count) TRY(start(b, k, next++));
        int landed;
        TRY(sunup__wait(&b->flight, &landed));
        for (int i = 0; i < landed; i++) TRY(land(b, b->flight.landed[i]));
        for (struct bucket *k = b->bucket; k < b->bucket + UNDER_WAY; k++) {
            if (k->n == 0 || k->left > 0) continue;
            k->n = 0;
            done++;
        }
    }
    return SUNUP_OK;
}

sunup_status sunup__buckets_run(struct buckets *b, char *const *mine, char *sum)
{
    b->mine = mine;
    b->total = sum;
    if (b->comm->ranks > 1) return run_over_wire(b);
    b->part[0] = mine[0]; /* one rank owns the whole tree: its one partial sum is the total */
    add_rows(b, sum, b->sum.n);
    return SUNUP_OK;
}
