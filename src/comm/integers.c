/* integers.c - the head of an exchange by block-scaled integers (fixed.c), exact whoever adds them when.
 *
 * A rank adds the heads of its own shards to one row of integers, two shards at once, and keeps the largest
 * size of each block of terms. At the end of a step first the sizes of all ranks are compared, 1/512 of a
 * row; then all ranks know, alike, whether the integers mean something. If not they return, and nothing else
 * has moved. Else
 *
 *   one rank, one node   a rank reads its slice of all rows of integers and writes the total over its own
 *   messages, nodes      a node's ranks add their integers up, each its parts of the buckets; the sums go on
 *                        the head's stages, where members have one row each, whatever their shards, or by an
 *                        EXACT algorithm of algorithms.def
 *
 * Owes: the verdict before a number is added up. Leaves buckets, slices and stages to exchange_layout.c.
 * Others of the node read this rank's row and sizes until they meet again: at the end of a reduce that says
 * again, else in the caller's next collective.
 *
 * Cost between nodes: an all-reduce of the sizes, 2 (1 - 1/members) of n / 512 floats a rank, with its
 * latency, before the head's 1 - 1/members of n; nothing leaves early.
 */
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/checksum.h"
#include "comm/exchange.h"

struct integers {
    struct fixed_sum *fixed;
    int ranks, me;       /* whose rows are seen here: of the node, or this one */
    const float **sizes; /* [ranks][blocks] the largest |term|                 */
    int32_t **row;       /* [ranks][head]                                      */
    char *mine;          /* the own row                                        */
    char *slot[2];       /* [n] of even and of odd own shards                  */
    uint64_t *terms_sum; /* [ranks of all] of the own terms of each rank's slices, where they are verified, */
    uint64_t total_sum;  /* and of the own slices' totals */
};

/* --- create and destroy --- */

struct sum sunup__integers_sum(const struct exchange_options *o, int members)
{
    return (struct sum){
        .threads = o->threads, .shards = members, .n = o->head, .k = o->k, .of = OF_INTEGERS};
}

struct sum sunup__integers_sizes(const struct exchange_options *o, int members)
{
    struct sum s = sunup__integers_sum(o, members);
    s.n = sunup__fixed_blocks(o->head);
    s.of = OF_SIZES;
    return s;
}

int64_t sunup__integers_row_bytes(const struct exchange_options *o)
{
    if (!sunup__exchange_has_integers(o)) return 0;
    return round_up(sunup__fixed_blocks(o->head) * (int64_t)sizeof(float), 64);
}

static int64_t slot_bytes(const struct exchange_options *o)
{
    return round_up(o->n * (int64_t)sizeof(float), 64);
}

int64_t sunup__integers_bytes(const struct exchange_options *o, int own_shards)
{
    if (!sunup__exchange_has_integers(o)) return 0;
    return sunup__fixed_bytes(o->head) + (own_shards > 1 ? 2 : 1) * slot_bytes(o);
}

static sunup_status allocate(const struct exchange *x, struct integers *e)
{
    const int64_t slots = x->to - x->from > 1 ? 2 : 1;
    e->sizes = sunup__alloc((size_t)e->ranks * sizeof *e->sizes);
    e->row = sunup__alloc((size_t)e->ranks * sizeof *e->row);
    e->terms_sum = sunup__alloc((size_t)x->comm->ranks * sizeof *e->terms_sum);
    e->slot[0] = sunup__alloc_aligned((size_t)(slots * slot_bytes(&x->o)));
    CHECK(e->sizes && e->row && e->terms_sum && e->slot[0], x->comm->ctx, E_MEMORY,
          "no memory for the %lld terms of a shard", (long long)x->o.n);
    e->slot[1] = e->slot[0] + (slots - 1) * slot_bytes(&x->o);
    return SUNUP_OK;
}

sunup_status sunup__integers_create(struct exchange *x)
{
    struct integers *e = x->integers = sunup__alloc(sizeof *e);
    CHECK(e != NULL, x->comm->ctx, E_MEMORY, "no memory for the integers of an exchange");
    e->ranks = x->node != NULL ? x->comm->node_ranks : 1;
    e->me = x->node != NULL ? x->comm->node_rank : 0;
    e->mine = x->total;
    TRY(allocate(x, e));
    for (int r = 0; r < e->ranks; r++) {
        char *first = x->node != NULL ? x->shared.block[r] : x->memory;
        e->row[r] = (int32_t *)(void *)first;
        e->sizes[r] = sunup__exchange_sizes(x, r);
    }
    struct sum head = x->sum;
    head.n = x->o.head;
    TRY(sunup__fixed_create(x->comm->ctx, &head, e->row[e->me], sunup__exchange_sizes(x, e->me),
                            &e->fixed));
    if (x->o.parts == 0) return SUNUP_OK;
    return sunup__fixed_parts(x->comm->ctx, e->fixed, x->o.parts, x->o.part_at);
}

void sunup__integers_destroy(struct exchange *x)
{
    struct integers *e = x->integers;
    x->integers = NULL;
    if (e == NULL) return;
    sunup__fixed_destroy(&e->fixed);
    sunup__free(e->sizes);
    sunup__free(e->row);
    sunup__free(e->terms_sum);
    sunup__free(e->slot[0]);
    sunup__free(e);
}

struct fixed_sum *sunup__integers_fixed(const struct exchange *x)
{
    return x->integers->fixed;
}

/* --- terms --- */

void *sunup__integers_slot(const struct exchange *x)
{
    return x->integers->slot[(x->next - x->from) % 2];
}

void sunup__integers_push(struct exchange *x)
{
    const struct integers *e = x->integers;
    const bool second = (x->next - x->from) % 2 == 1;
    const int64_t head_bytes = x->o.head * (int64_t)sizeof(float);
    char *slot = sunup__integers_slot(x);
    memcpy(x->rows.row[x->rows.depth] + head_bytes, slot + head_bytes,
           (size_t)((x->o.n - x->o.head) * (int64_t)sizeof(float)));
    const float *even = (const float *)(const void *)e->slot[0];
    if (second)
        sunup__fixed_add(e->fixed, even, (const float *)(const void *)slot);
    else if (x->next == x->to - 1)
        sunup__fixed_add(e->fixed, even, NULL);
}

/* --- the sum --- */

/* Ranks that decided differently would wait for each other. Collectives within one. */
static sunup_status compare_sizes(struct exchange *x, const char *sizes)
{
    sunup_comm *comm = x->comm;
    struct slice where;
    const sunup_status mine = x->sizes != NULL ? sunup__stages_compare(x->sizes, &where) : SUNUP_OK;
    return sunup__verify_result(comm, mine, sizes, sunup__fixed_blocks(x->o.head) * (int64_t)sizeof(float),
                                "largest terms of a sum");
}

sunup_status sunup__integers_decide(struct exchange *x)
{
    struct integers *e = x->integers;
    char *sizes = (char *)sunup__fixed_largest(e->fixed, e->sizes, e->ranks);
    if (x->sizes != NULL) TRY(sunup__stages_sum(x->sizes, &sizes, sizes));
    TRY(compare_sizes(x, sizes));
    x->again = sunup__fixed_decide(e->fixed);
    return SUNUP_OK;
}

struct node_work {
    const struct exchange *x;
    struct slice s;
};

static void add_node_chunk(void *arg, int64_t i)
{
    const struct node_work *w = arg;
    const struct integers *e = w->x->integers;
    const int64_t at = w->s.at + i * SUM_CHUNK, n = least(SUM_CHUNK, w->s.at + w->s.n - at);
    for (int r = 0; r < e->ranks; r++)
        if (r != e->me) w->x->o.k->f32.fixed_sum(n, e->row[r] + at, e->row[e->me] + at);
}

static void add_on_node(const struct exchange *x, struct slice s)
{
    struct node_work w = {x, s};
    if (x->integers->ranks > 1) sunup__parallel(x->o.threads, sunup__sum_chunks(s.n), add_node_chunk, &w);
}

/* Bucket by bucket: what the node has of this rank's part, into its row and on its way. */
static sunup_status exchange_by_stages(struct exchange *x)
{
    sunup__stages_begin(x->head, STAGES_REDUCE, &x->integers->mine, x->total);
    for (int b = 0; b < x->buckets; b++) {
        add_on_node(x, x->part[b]);
        TRY(sunup__stages_start(x->head, b));
    }
    return sunup__stages_finish(x->head);
}

static sunup_status exchange_exactly(struct exchange *x)
{
    const int each = x->node != NULL ? x->comm->node_ranks : 1;
    for (int b = 0; b < x->buckets; b++) {
        struct addends a = {.what = COLLECTIVE_reduce_scatter_int32,
                            .sum = sunup__integers_sum(&x->o, sunup__exchange_members(x)),
                            .rows = 1,
                            .row = &x->integers->mine,
                            .to = x->integers->mine + x->own[b].at * (int64_t)sizeof(int32_t),
                            .range = x->part[b],
                            .cuts = sunup__exchange_cuts(x),
                            .each = each};
        add_on_node(x, x->part[b]);
        TRY(x->exact(x->comm, &(struct transfer){.bytes = a.range.n * (int64_t)sizeof(int32_t), .sum = &a}));
    }
    return SUNUP_OK;
}

static uint64_t sum_slices(const int32_t *row, const struct slice *s, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum = sunup__checksum_plus(sum, sunup__checksum_integers(row + s[i].at, s[i].n));
    return sum;
}

/* Of the own terms, slice by slice of all ranks, before anybody adds to this row. */
static void look_at_terms(struct exchange *x)
{
    const struct integers *e = x->integers;
    for (int r = 0; r < x->comm->ranks; r++) {
        const struct slice *s;
        const int n = sunup__exchange_slices(x, r, &s);
        e->terms_sum[r] = sum_slices(e->row[e->me], s, n);
    }
}

/* Of the own slices' totals, which are still integers. */
static void look_at_totals(struct exchange *x)
{
    struct integers *e = x->integers;
    int32_t *total = e->row[e->me];
    sunup__tamper(x->comm, "integers", total + x->own[0].at, x->own[0].n * (int64_t)sizeof *total);
    e->total_sum = sum_slices(total, x->own, x->buckets);
}

/* On one node the rows are added up as they are read, unless the integers themselves are to be seen. */
sunup_status sunup__integers_total(struct exchange *x)
{
    const struct integers *e = x->integers;
    const int32_t *total = e->row[e->me];
    const bool verified = x->comm->verified, here = x->head == NULL;
    struct fixed_rows rows = {(const int32_t *const *)e->row, here && !verified ? e->ranks : 1};
    if (rows.n == 1) rows.row = &total;
    if (verified) look_at_terms(x);
    if (!here) TRY(x->exact != NULL ? exchange_exactly(x) : exchange_by_stages(x));
    for (int b = 0; here && verified && b < x->buckets; b++) add_on_node(x, x->own[b]);
    if (verified) look_at_totals(x);
    for (int b = 0; b < x->buckets; b++)
        sunup__fixed_value(e->fixed, &rows, x->own[b], (float *)(void *)x->total);
    return SUNUP_OK;
}

/* --- a second look: terms and totals have linear checksums --- */

static uint64_t told_by_all(const sunup_comm *comm, const uint64_t *told)
{
    uint64_t sum = 0;
    for (int r = 0; r < comm->ranks; r++) sum = sunup__checksum_plus(sum, told[r]);
    return sum;
}

/* The others of the node still have their terms of the own slices. */
static sunup_status name_adder(const struct exchange *x, const uint64_t *told)
{
    const struct integers *e = x->integers;
    const sunup_comm *comm = x->comm;
    for (int i = 0; i < e->ranks && sunup__one_node(comm); i++)
        if (i != e->me && sum_slices(e->row[i], x->own, x->buckets) != told[i])
            return sunup__other_numbers(comm, comm->rank, i, comm->sequence);
    (void)sunup__raise(comm->ctx, SUNUP_E_PEER,
                       "the sum of rank %d is not that of all ranks' terms in \"%s\": a processor adds wrong or "
                       "memory flips bits there, or on its way",
                       comm->first + comm->rank, comm->site);
    return sunup__differs(comm, comm->first + comm->rank, comm->site);
}

sunup_status sunup__integers_verify(struct exchange *x, const char *site)
{
    sunup_comm *comm = x->comm;
    uint64_t *told = comm->sums + comm->ranks;
    const int64_t bytes = sizeof *told;
    TRY(sunup__meet(comm, &(struct call){CALL_ALLTOALL, bytes, 0, site}, SUNUP_OK, 0));
    memcpy(comm->sums, x->integers->terms_sum, (size_t)comm->ranks * sizeof *told);
    told[comm->rank] = comm->sums[comm->rank];
    sunup_status status = sunup__verify_tell(comm);
    if (status == SUNUP_OK && told_by_all(comm, told) != x->integers->total_sum) status = name_adder(x, told);
    sunup__leave(comm);
    return sunup_comm_agree(comm, status);
}
