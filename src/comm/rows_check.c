/* rows_check.c - what became of rows on their way between members: checksums of what was sent and of what was added.
 *
 * Owes: a row's checksum where it is sent, and again, chunk by chunk, where a thread is about to add it: so the way
 * through packing, network and landing memory, and the wait for the other rows of a stage, are within. A member's own
 * part of its rows counts as sent to itself: what it adds is what it had when it sent the rest. At the end peers tell
 * each other, bucket by bucket, what they sent.
 *
 * Sums of checksums, weighted by row and chunk, so they agree in any order. Cost: a read of what is sent and of what
 * is added, and a message of 8 bytes a bucket to each peer; memory 24 bytes a bucket and peer.
 */
#include <string.h>

#include "base/integers.h"
#include "comm/checksum.h"
#include "comm/stages.h"

bool sunup__rows_check_create(struct layout *l, struct rows_check *c)
{
    c->buckets = l->buckets;
    for (int j = 0; j < l->stages; j++) {
        c->first[j] = c->peers;
        c->peers += l->stage[j].radix;
    }
    const size_t n = (size_t)c->peers * (size_t)c->buckets + 1;
    c->sent = sunup__arena_alloc(&l->memory, n * sizeof *c->sent);
    c->told = sunup__arena_alloc(&l->memory, n * sizeof *c->told);
    c->used = sunup__arena_alloc(&l->memory, n * sizeof *c->used);
    return c->sent && c->told && c->used;
}

void sunup__rows_check_begin(struct rows_check *c, bool on)
{
    const size_t n = (size_t)c->peers * (size_t)c->buckets;
    c->on = on;
    if (!on) return;
    memset(c->sent, 0, n * sizeof *c->sent);
    for (size_t i = 0; i < n; i++) atomic_store_explicit(&c->used[i], 0, memory_order_relaxed);
    atomic_store_explicit(&c->wrong, 0, memory_order_relaxed);
}

static size_t at(const struct rows_check *c, struct way w)
{
    return (size_t)(c->first[w.stage] + w.peer) * (size_t)c->buckets + (size_t)w.bucket;
}

static uint64_t chunk_sum(const struct sum *s, struct way w, int64_t i, const char *x, int64_t n)
{
    const uint64_t row = 2 * (uint64_t)w.row + 1, chunk = 2 * (uint64_t)i + 1;
    return sunup__checksum(x, n * sunup__sum_element(s)) * row * chunk;
}

static uint64_t row_sum(const struct sum *s, struct way w, const char *x, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < sunup__sum_chunks(n); i++) {
        const int64_t from = i * SUM_CHUNK;
        sum += chunk_sum(s, w, i, x + from * sunup__sum_element(s), least(SUM_CHUNK, n - from));
    }
    return sum;
}

void sunup__rows_sent(struct rows_check *c, const struct sum *s, struct way w, const char *x, int64_t n)
{
    if (c->on) c->sent[at(c, w)] += row_sum(s, w, x, n);
}

void sunup__rows_used(struct rows_check *c, const struct sum *s, struct way w, const char *x, int64_t n)
{
    if (c->on) (void)atomic_fetch_add_explicit(&c->used[at(c, w)], row_sum(s, w, x, n), memory_order_relaxed);
}

void sunup__rows_chunk_used(struct rows_check *c, const struct sum *s, struct way w, int64_t i, struct chunk x)
{
    (void)atomic_fetch_add_explicit(&c->used[at(c, w)], chunk_sum(s, w, i, x.data, x.n), memory_order_relaxed);
}

void sunup__rows_add_twice(struct rows_check *c, const struct sum *s, struct slice piece, const char *x, char *y)
{
    _Alignas(64) char again[SUM_CHUNK * sizeof(double)];
    sunup__sum_copy(s, piece.n, y, again);
    sunup__sum_add(s, piece.n, x, y);
    sunup__bf16_round(s, piece, y);
    sunup__tamper(c->comm, "added", y, piece.n * sunup__sum_element(s));
    sunup__sum_add(s, piece.n, x, again);
    sunup__bf16_round(s, piece, again);
    if (memcmp(again, y, (size_t)(piece.n * sunup__sum_element(s))) != 0)
        atomic_store_explicit(&c->wrong, piece.at + 1, memory_order_relaxed);
}

/* There is a number under way for each peer and direction: stages have as many in a bucket. */
static sunup_status tell(struct rows_check *c, const struct layout *l, struct flight *f)
{
    const int64_t bytes = c->buckets * (int64_t)sizeof *c->sent;
    int number = 0;
    for (int j = 0; j < l->stages; j++)
        for (int i = 0; i < l->stage[j].radix; i++) {
            const size_t first = at(c, (struct way){.stage = j, .peer = i});
            const int peer = l->stage[j].peer[i];
            if (i == l->stage[j].digit) {
                memcpy(c->told + first, c->sent + first, (size_t)bytes);
                continue;
            }
            TRY(sunup__receive(f, number++, &(struct message){peer, TAG_MEET, c->told + first, bytes}));
            TRY(sunup__send(f, number++, &(struct message){peer, TAG_MEET, c->sent + first, bytes}));
        }
    return sunup__wait_all(f);
}

static sunup_status wrong_here(const sunup_comm *comm, const char *what)
{
    const int me = comm->first + comm->rank;
    (void)sunup__raise(comm->ctx, SUNUP_E_PEER,
                       "rank %d %s in \"%s\" (collective %llu): a processor adds wrong or memory flips bits there", me,
                       what, comm->site, (unsigned long long)comm->sequence);
    return sunup__differs(comm, me, comm->site);
}

static sunup_status compare_peer(const struct rows_check *c, const struct layout *l, struct way w, struct slice *where)
{
    const int peer = l->stage[w.stage].peer[w.peer];
    for (w.bucket = 0; w.bucket < c->buckets; w.bucket++) {
        const uint64_t used = atomic_load_explicit(&c->used[at(c, w)], memory_order_relaxed);
        if (used == c->told[at(c, w)]) continue;
        *where = sunup__layout_bucket(l, w.bucket);
        if (peer != c->comm->rank) return sunup__other_numbers(c->comm, c->comm->rank, peer, c->comm->sequence);
        return wrong_here(c->comm, "added other numbers than it had");
    }
    return SUNUP_OK;
}

sunup_status sunup__rows_compare(struct rows_check *c, const struct layout *l, struct flight *f, struct slice *where)
{
    *where = (struct slice){0, 0};
    if (!c->on) return SUNUP_OK;
    c->on = false;
    TRY(tell(c, l, f));
    for (int j = 0; j < l->stages; j++)
        for (int i = 0; i < l->stage[j].radix; i++)
            TRY(compare_peer(c, l, (struct way){.stage = j, .peer = i}, where));
    const int64_t wrong = atomic_load_explicit(&c->wrong, memory_order_relaxed);
    if (wrong == 0) return SUNUP_OK;
    *where = (struct slice){wrong - 1, 1};
    return wrong_here(c->comm, "added the same numbers twice, with two results,");
}
