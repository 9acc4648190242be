/* exchange.c - a rank's own shards into partial sums as they come, the sum of them over all ranks,
 * slice by slice, and what is made of the slices back to all.
 *
 * rows.c adds the shards up as they come. Then:
 *
 *   one rank      its one row is the total
 *   one node      rows and data lie in memory that the ranks share: node.c adds the rows up where they
 *                 are, and new data are written where they are wanted, once a memory (shared.c)
 *   messages      stages.c exchanges rows and data between all ranks
 *   nodes         node.c makes the rows of a node from those of its ranks, each rank for a part of
 *                 every bucket; stages.c exchanges these parts between ranks of the same place in their
 *                 nodes, and what comes in is written to the others of the node
 *
 * With SUM_INT32 that is how the tail goes; the head goes by integers.c, over the same buckets and slices.
 *
 * By messages, buckets leave as soon as the last own shard's terms are complete there (ready), while
 * the rest is still computed. No allocation in a step.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"
#include "comm/exchange.h"

enum { STORE_TRIALS = 6, STORE_STEP = 1024 };

/* --- questions --- */

int sunup__exchange_slices(struct exchange *x, int rank, const struct slice **slices)
{
    const bool me = rank == x->comm->rank;
    if (!me) sunup__exchange_find_slices(x, rank, x->others);
    *slices = me ? x->own : x->others;
    return x->buckets;
}

void *sunup__exchange_data(struct exchange *x)
{
    return x->data;
}

void *sunup__exchange_total(struct exchange *x)
{
    return x->total;
}

bool sunup__exchange_listen(struct exchange *x, void (*hear)(void *arg, struct slice piece), void *arg)
{
    if (x->node == NULL || sunup__over_wire(x) || x->integers != NULL ||
        sunup__node_sum_is_small(x->node))
        return false;
    x->listener = (struct listener){hear, arg, sunup__exchange_cuts(x)};
    return true;
}

bool sunup__exchange_again(const struct exchange *x)
{
    return x->again;
}

const float *sunup__exchange_bounds(const struct exchange *x, int64_t *n)
{
    *n = x->integers != NULL ? sunup__fixed_blocks(x->o.head) : 0;
    return x->integers != NULL ? sunup__fixed_bounds(sunup__integers_fixed(x)) : NULL;
}

sunup_status sunup__exchange_restore(struct exchange *x, const float *bounds)
{
    if (x->integers == NULL) return SUNUP_OK;
    return sunup__fixed_restore(x->comm->ctx, sunup__integers_fixed(x), bounds);
}

const char *sunup__exchange_text(const struct exchange *x)
{
    return x->way_text;
}

double sunup__exchange_wait_s(const struct exchange *x)
{
    return x->comm->wait_s;
}

/* --- what leaves early --- */

/* Of this step the first `n` elements are complete here. */
static uint64_t mark(const struct exchange *x, int64_t n)
{
    return x->steps * (uint64_t)(x->o.n + 1) + (uint64_t)n;
}

static bool complete_on_node(const struct exchange *x, int64_t n)
{
    for (int i = 0; x->node != NULL && i < x->comm->node_ranks; i++)
        if (atomic_load_explicit(sunup__exchange_complete(x, i), memory_order_acquire) < mark(x, n)) return false;
    return true;
}

/* Start the buckets whose rows are complete on all ranks of the node, of the first n elements. */
static sunup_status start_buckets(struct exchange *x, int64_t n)
{
    for (; x->started < x->buckets; x->started++) {
        const struct slice b = x->bucket[x->started];
        if (b.at + b.n > n || !complete_on_node(x, b.at + b.n)) return SUNUP_OK;
        if (x->started == 0) {
            char *const *row;
            (void)sunup__exchange_rows(x, &row);
            sunup__stages_begin(x->head, STAGES_REDUCE, row, x->total);
        }
        if (x->node != NULL) sunup__node_sum_run(x->node, x->part[x->started]);
        TRY(sunup__stages_start(x->head, x->started));
    }
    return SUNUP_OK;
}

static void say_complete(struct exchange *x, int64_t n)
{
    if (x->node != NULL)
        atomic_store_explicit(sunup__exchange_complete(x, x->comm->node_rank), mark(x, n), memory_order_release);
}

static void merge_up_to(struct exchange *x, int64_t n)
{
    sunup__rows_merge(&x->sum, &x->rows, x->next, (struct slice){x->merged, n - x->merged});
    x->merged = n;
}

void sunup__exchange_ready(struct exchange *x, int64_t n)
{
    if (x->head == NULL || x->integers != NULL) return;
    if (x->next != x->to - 1 || x->early != SUNUP_OK) return;
    if (least(n, x->o.head) > x->merged) {
        merge_up_to(x, least(n, x->o.head));
        say_complete(x, x->merged);
    }
    bool done = false;
    x->early = start_buckets(x, x->merged);
    if (x->early == SUNUP_OK && x->started > 0) x->early = sunup__stages_progress(x->head, &done);
}

/* --- a step --- */

void *sunup__exchange_slot(struct exchange *x)
{
    if (x->next >= x->to) return NULL;
    return x->integers != NULL ? sunup__integers_slot(x) : x->rows.row[x->rows.depth];
}

void sunup__exchange_push(struct exchange *x)
{
    if (x->next < x->to) {
        if (x->integers != NULL) sunup__integers_push(x);
        merge_up_to(x, x->sum.n);
        sunup__rows_push(&x->sum, &x->rows, x->next);
    }
    x->merged = sunup__exchange_tree_at(&x->o);
    x->next++;
    if (x->next == x->to) say_complete(x, x->sum.n);
}

static sunup_status all_pushed(const struct exchange *x)
{
    if (x->early != SUNUP_OK) return x->early;
    CHECK(x->next == x->to, x->comm->ctx, E_INTERNAL,
          "%d shards were added on rank %d, which owns %d", x->next - x->from, x->comm->rank,
          x->to - x->from);
    return SUNUP_OK;
}

/* From own memory to that of the node's other ranks, the slice of n elements at `at` of what begins at from. */
static void give_to_node(const struct exchange *x, const struct shared *to, const char *from,
                         struct slice s)
{
    const int me = x->comm->node_rank, ranks = x->comm->node_ranks;
    const int64_t element = sunup__sum_element(&x->sum), end = s.at + s.n;
    for (int step = 1; step < ranks; step++) {
        const int peer = (me + step) % ranks; /* not all to one at once */
        const int64_t at = most(s.at, sunup__shared_there(to, me, peer) / element);
        if (at < end) sunup__give(&x->sum, end - at, from + at * element, to->block[peer] + at * element);
    }
}

static void stream_total(void *arg, struct slice piece)
{
    const struct exchange *x = arg;
    give_to_node(x, &x->shared, x->total, piece);
}

/* By ordinary stores: the piece's terms were read just now, so its lines are at hand. In steps for which no library
 * takes string instructions, which are slower between cores that share no cache. */
static void store_total(void *arg, struct slice piece)
{
    const struct exchange *x = arg;
    const int64_t offset = piece.at * sunup__sum_element(&x->sum), bytes = piece.n * sunup__sum_element(&x->sum);
    for (int step = 1; step < x->comm->node_ranks; step++) {
        char *to = x->shared.block[(x->comm->node_rank + step) % x->comm->node_ranks] + offset;
        for (int64_t at = 0; at < bytes; at += STORE_STEP)
            memcpy(to + at, x->total + offset + at, (size_t)least(STORE_STEP, bytes - at));
    }
}

/* Which stores are faster depends on cores, caches and size, and no bit on them: the first calls take turns. */
static bool streams(const struct exchange *x)
{
    return x->tried < STORE_TRIALS ? x->tried % 2 == 1 : x->store_s[true] < x->store_s[false];
}

static void note_trial(struct exchange *x, double from_s)
{
    double *best_s = &x->store_s[streams(x)];
    const double took_s = sunup__now_s() - from_s;
    if (x->tried < 2 || took_s < *best_s) *best_s = took_s;
    x->tried++;
}

/* A total leaves while it is in the first cache. */
static void sum_tail_on_node(struct exchange *x)
{
    const struct listener others = {streams(x) ? stream_total : store_total, x, {sunup__cut_at_line, NULL}},
                          nobody = {.cuts = others.cuts};
    sunup__node_sum_listen(x->node, &others);
    sunup__node_sum_run(x->node, (struct slice){x->o.head + x->tail_part.at, x->tail_part.n});
    sunup__node_sum_listen(x->node, &nobody);
}

static sunup_status sum_tail_over_wire(struct exchange *x)
{
    const struct slice mine = {x->o.head + x->tail_part.at, x->tail_part.n};
    if (x->node != NULL) sunup__node_sum_run(x->node, mine);
    TRY(sunup__stages_sum(x->tail, x->tail_row, x->total + x->o.head * sunup__sum_element(&x->sum)));
    if (x->node != NULL) give_to_node(x, &x->shared, x->total, mine);
    return SUNUP_OK;
}

/* The sentence about a difference ends with the names of what differs. */
static sunup_status compare_head(struct exchange *x)
{
    sunup_context *ctx = x->comm->ctx;
    struct slice where;
    char names[NAMES_TEXT];
    const sunup_status status = sunup__stages_compare(x->head, &where);
    if (status == SUNUP_OK || where.n == 0 || x->o.name == NULL) return status;
    const struct blame blame = ctx->blame;
    x->o.name(x->o.name_arg, where, names);
    (void)sunup__raise(ctx, status, "%s (in the numbers of %s)", sunup_error(ctx), names);
    sunup__blame(ctx, blame.rank, names, blame.collective);
    ctx->blame.differs = blame.differs;
    return status;
}

/* Both in any case: the other ranks take part in them. */
static sunup_status compare_sums(struct exchange *x)
{
    sunup_status head = SUNUP_OK, tail = SUNUP_OK;
    struct slice where;
    if (x->head != NULL) head = compare_head(x);
    if (x->tail != NULL) tail = sunup__stages_compare(x->tail, &where);
    return head != SUNUP_OK ? head : tail;
}

static void sum_head_on_node(struct exchange *x)
{
    const struct listener nobody = {.cuts = {sunup__cut_at_line, NULL}};
    const double from_s = sunup__trace_now(x->comm->ctx);
    if (x->listener.hear != NULL) sunup__node_sum_listen(x->node, &x->listener);
    sunup__node_sum_run(x->node, x->part[0]);
    sunup__trace_add(x->comm->ctx, TRACE_BUCKET, "sum on node", 0, from_s);
    sunup__node_sum_listen(x->node, &nobody);
}

static sunup_status sum_head(struct exchange *x)
{
    if (x->integers != NULL) return sunup__integers_total(x);
    if (sunup__over_wire(x)) {
        TRY(start_buckets(x, x->o.head));
        TRY(sunup__stages_finish(x->head));
        x->started = 0; /* nothing is under way any more */
        return SUNUP_OK;
    }
    if (x->node != NULL) sum_head_on_node(x);
    return SUNUP_OK;
}

static sunup_status sum_tail(struct exchange *x)
{
    if (x->tail != NULL) return sum_tail_over_wire(x);
    if (x->node != NULL) sum_tail_on_node(x);
    return SUNUP_OK;
}

/* Terms are shown in the meeting; not where they are looked at twice, which takes a meeting more. */
static bool shows(const struct exchange *x)
{
    return x->node != NULL && x->integers == NULL && sunup__node_sum_is_small(x->node) &&
           !x->comm->verified;
}

/* Without a head the call ends only when the totals of all ranks are there. Before a repetition, whose first term
 * overwrites what others of the node have looked at, it ends when all have. */
static sunup_status sum_up(struct exchange *x)
{
    if (shows(x)) {
        sunup__node_sum_small(x->node);
        return SUNUP_OK;
    }
    const bool whole = x->node != NULL && x->o.head == 0, tries = whole && x->tried < STORE_TRIALS;
    const double from_s = tries ? sunup__now_s() : 0;
    if (x->integers != NULL) TRY(sunup__integers_decide(x));
    if (!x->again && x->buckets > 0) TRY(sum_head(x));
    if (!x->again) TRY(sum_tail(x));
    if (whole || (x->node != NULL && x->again)) TRY(sunup__node_meet(x->comm));
    if (tries) note_trial(x, from_s);
    return x->again ? SUNUP_OK : compare_sums(x);
}

/* If the ranks do not agree to go on, messages that left early stay under way: nothing may follow them. */
static void end_early(struct exchange *x, sunup_status status)
{
    if (status != SUNUP_OK && x->started > 0) x->comm->broken = status;
    x->early = SUNUP_OK;
    x->started = 0;
    x->next = x->from;
    x->merged = sunup__exchange_tree_at(&x->o);
    x->rows.depth = 0;
    x->steps++;
}

/* What all ranks do after a sum that was right on this one or not. */
static sunup_status verify_sum(struct exchange *x, const char *site, bool looks, uint64_t next, sunup_status mine)
{
    TRY(sunup_comm_agree(x->comm, mine));
    if (x->again) return SUNUP_OK;
    if (looks) TRY(sunup__verify_after(x, site, next));
    return x->integers != NULL && x->buckets > 0 ? sunup__integers_verify(x, site) : SUNUP_OK;
}

sunup_status sunup__exchange_reduce(struct exchange *x, const char *site)
{
    struct call call = sunup__sum_call(&x->sum, site);
    const bool looks = x->comm->verified && sunup__one_node(x->comm) && x->node != NULL;
    uint64_t next = 0;
    if (x->integers != NULL) call.kind = CALL_SUM_INT32;
    if (shows(x)) sunup__node_sum_show(x->node);
    sunup_status status = sunup__meet(x->comm, &call, all_pushed(x), 0);
    if (status == SUNUP_OK) {
        if (looks) status = sunup__verify_before(x, &next);
        if (status == SUNUP_OK) status = sum_up(x);
        sunup__leave(x->comm);
    }
    end_early(x, status);
    return x->comm->verified ? verify_sum(x, site, looks, next, status) : status;
}

static sunup_status room_for_words(struct exchange *x, int64_t n)
{
    if (n <= x->words_room) return SUNUP_OK;
    sunup__free(x->words);
    x->words_room = 0;
    x->words = sunup__alloc((size_t)(x->comm->ranks * n) * sizeof *x->words);
    CHECK(x->words != NULL, x->comm->ctx, E_MEMORY, "no memory for %lld integers of %d ranks",
          (long long)n, x->comm->ranks);
    x->words_room = n;
    return SUNUP_OK;
}

static void add_words(const struct exchange *x, int64_t n, int64_t *words)
{
    memset(words, 0, (size_t)n * sizeof *words);
    for (int r = 0; r < x->comm->ranks; r++)
        for (int64_t i = 0; i < n; i++) words[i] += x->words[r * n + i];
}

/* Beside the cards of one meeting. */
static sunup_status combine_shown(struct exchange *x, const char *site, int64_t n, int64_t *words)
{
    sunup_comm *comm = x->comm;
    const size_t bytes = (size_t)n * sizeof *words;
    const struct transfer t = {.from = (const char *)words, .to = (char *)x->words, .bytes = (int64_t)bytes};
    const uint64_t sum = comm->verified ? sunup__verify_sent(comm, COLLECTIVE_allgather, &t) : 0;
    memcpy(sunup__sign(comm, comm->rank, comm->meetings + 1)->shown, words, bytes);
    TRY(sunup__meet(comm, &(struct call){CALL_COMBINE, n, 0, site}, SUNUP_OK, sum));
    for (int r = 0; r < comm->ranks; r++)
        memcpy(x->words + r * n, sunup__sign(comm, r, comm->meetings)->shown, bytes);
    const sunup_status status =
        comm->verified ? sunup__verify_received(comm, COLLECTIVE_allgather, &t) : SUNUP_OK;
    sunup__leave(comm);
    return comm->verified ? sunup_comm_agree(comm, status) : status;
}

sunup_status sunup__exchange_combine(struct exchange *x, const char *site, int64_t n, int64_t *words)
{
    const int64_t bytes = n * (int64_t)sizeof *words;
    if (x->comm->ranks == 1) return SUNUP_OK;
    if (n > x->words_room) TRY(sunup_comm_agree(x->comm, room_for_words(x, n)));
    if (sunup__one_node(x->comm) && bytes <= SHOWN_BYTES)
        TRY(combine_shown(x, site, n, words));
    else
        TRY(sunup__comm_gather(x->comm, words, bytes, x->words, site));
    add_words(x, n, words);
    return SUNUP_OK;
}

/* --- new data --- */

void sunup__exchange_give(struct exchange *x, int64_t at, int64_t n)
{
    if (x->node != NULL) give_to_node(x, &x->news, x->data, (struct slice){at, n});
}

/* What came in for the node; the own slice has been given piece by piece. */
static void give_parts(const struct exchange *x)
{
    for (int b = 0; b < x->buckets; b++) {
        const struct slice part = x->part[b], own = x->own[b];
        const int64_t own_end = own.at + own.n, end = part.at + part.n;
        give_to_node(x, &x->news, x->data, (struct slice){part.at, own.at - part.at});
        give_to_node(x, &x->news, x->data, (struct slice){own_end, end - own_end});
    }
}

static sunup_status share_over_wire(struct exchange *x)
{
    sunup_status same = SUNUP_OK;
    if (x->head != NULL) TRY(sunup__stages_share(x->head, x->data));
    if (x->head != NULL) same = compare_head(x);
    if (x->node == NULL) return same;
    give_parts(x);
    TRY(sunup__node_meet(x->comm));
    return same;
}

sunup_status sunup__exchange_share(struct exchange *x, const char *site)
{
    TRY(sunup__meet(x->comm, &(struct call){CALL_SHARE, x->o.head, 0, site}, SUNUP_OK, 0));
    const sunup_status status = sunup__over_wire(x) ? share_over_wire(x) : SUNUP_OK;
    sunup__leave(x->comm);
    return x->comm->verified ? sunup_comm_agree(x->comm, status) : status;
}

/* --- slices to one rank --- */

static sunup_status pass_on(struct exchange *x, int from, int to, int64_t bytes, char *data)
{
    struct flight *f = &x->comm->flight;
    for (int64_t at = 0; at < bytes; at += WIRE_MAX) {
        const int64_t n = least(WIRE_MAX, bytes - at);
        if (x->comm->rank == from)
            TRY(sunup__send(f, 0, &(struct message){to, TAG_DATA, data + at, n}));
        else
            TRY(sunup__receive(f, 0, &(struct message){from, TAG_DATA, data + at, n}));
        TRY(sunup__wait_all(f));
    }
    return SUNUP_OK;
}

/* The slices of one rank, which root and that rank know of. */
static sunup_status collect_from(struct exchange *x, int rank, int root, char *mine, char *all)
{
    const int64_t element = sunup__sum_element(&x->sum);
    const struct slice *s;
    const int n = sunup__exchange_slices(x, rank, &s);
    for (int i = 0; i < n; i++) {
        char *whole = all != NULL ? all + s[i].at * element : NULL;
        if (rank == root)
            memcpy(whole, mine, (size_t)(s[i].n * element));
        else
            TRY(pass_on(x, rank, root, s[i].n * element, x->comm->rank == rank ? mine : whole));
        if (x->comm->rank == rank) mine += s[i].n * element;
    }
    return SUNUP_OK;
}

sunup_status sunup__exchange_collect(struct exchange *x, const char *site, int root,
                                     const void *mine, void *all)
{
    const int me = x->comm->rank;
    sunup_status status = SUNUP_OK;
    TRY(sunup__meet(x->comm, &(struct call){CALL_COLLECT, x->o.head, root, site}, SUNUP_OK, 0));
    sunup__flight_note(&x->comm->flight, x->comm->verified);
    for (int r = 0; r < x->comm->ranks && status == SUNUP_OK; r++)
        if (me == root || me == r) status = collect_from(x, r, root, (char *)mine, all);
    if (status == SUNUP_OK) status = sunup__flight_compare(&x->comm->flight);
    sunup__leave(x->comm);
    return x->comm->verified ? sunup_comm_agree(x->comm, status) : status;
}

