/* verify.c - a second look at what ranks added up and sent each other, in collectives that the caller chooses.
 *
 * A caller's bytes: the checksum of what a rank sends is taken before the first byte moves and travels in the card of
 * the meeting (of an all-to-all, behind the data); whoever received looks at what the caller gets. Whichever algorithm
 * carries them, from end to end. Sums by messages: both ends of each message note its checksum (messages.c).
 *
 * Sums of one node, of reals: each rank adds the slice of the next one as well, before terms are overwritten, and keeps
 * a checksum only; afterwards the owner's total must have the same. So a core that adds wrong, and terms that two ranks
 * read differently, are found, and the ranks are named. Of integers: a linear checksum of the terms adds up to that of
 * the total, on a node and between nodes (integers.c).
 *
 * New weights that differ between ranks are found by their hash (sunup__comm_compare).
 *
 * Cost: of bytes a read of what is sent and of what is received and a meeting; of messages a read of both and a message
 * a peer; on one node the additions once more and two meetings; of integers a read of the terms and of the total.
 */
#include <string.h>

#include "base/memory.h"
#include "comm/checksum.h"
#include "comm/exchange.h"

void sunup__comm_verify(sunup_comm *comm, bool on)
{
    comm->verified = comm->ranks > 1 && (comm->verify == VERIFY_ALWAYS || (on && comm->verify == VERIFY_STEPS));
}

static void flip_once(void *arg, const char *what, void *data, int64_t bytes)
{
    sunup_comm *comm = arg;
    if ((strcmp(what, "message") != 0 && strcmp(what, "sum") != 0) || bytes < 4) return;
    ((unsigned char *)data)[bytes / 8 * 4 + 2] ^= 0x40;
    comm->tamper = NULL;
}

void sunup__comm_flip(sunup_comm *comm)
{
    comm->tamper = flip_once;
    comm->tamper_arg = comm;
}

/* --- the caller's bytes --- */

/* From one rank to another. */
struct part {
    char *data;
    int64_t bytes;
};

static struct part sent_to(const struct transfer *t, enum collective what, int rank)
{
    char *from = what == COLLECTIVE_broadcast ? t->to : (char *)(uintptr_t)t->from; /* it is only read */
    return (struct part){from + (what == COLLECTIVE_alltoall ? rank * t->bytes : 0), t->bytes};
}

static struct part received_from(const struct transfer *t, enum collective what, int rank)
{
    return (struct part){t->to + (what == COLLECTIVE_broadcast ? 0 : rank * t->bytes), t->bytes};
}

/* Of an all-to-all a card has no room for the sums: they go as it does. */
uint64_t sunup__verify_sent(sunup_comm *comm, enum collective what, const struct transfer *t)
{
    const bool each = what == COLLECTIVE_alltoall;
    if (what == COLLECTIVE_broadcast && comm->rank != t->root) return 0;
    for (int r = 0; r < (each ? comm->ranks : 1); r++) {
        const struct part p = sent_to(t, what, r);
        comm->sums[r] = sunup__checksum(p.data, p.bytes);
        if (!each || r != comm->rank) sunup__tamper(comm, "sent", p.data, p.bytes);
    }
    return each ? 0 : comm->sums[0];
}

uint64_t sunup__value_of(const sunup_comm *comm, int rank)
{
    return comm->cards[comm->alike ? comm->rank : rank].value;
}

static sunup_status compare_parts(sunup_comm *comm, enum collective what, const struct transfer *t,
                                  const uint64_t *told)
{
    for (int r = 0; r < comm->ranks; r++) {
        const struct part p = received_from(t, what, r);
        if (what == COLLECTIVE_broadcast ? r != t->root : r == comm->rank) continue; /* a root may get its own back */
        sunup__tamper(comm, "received", p.data, p.bytes);
        if (sunup__checksum(p.data, p.bytes) != (told != NULL ? told[r] : sunup__value_of(comm, r)))
            return sunup__other_numbers(comm, comm->rank, r, comm->sequence);
    }
    return SUNUP_OK;
}

/* By the way that needs no other meeting. */
sunup_status sunup__verify_tell(sunup_comm *comm)
{
    const struct transfer sums = {
        .from = (const char *)comm->sums, .to = (char *)(comm->sums + comm->ranks), .bytes = sizeof *comm->sums};
    return sunup__alltoall_pairwise(comm, &sums);
}

sunup_status sunup__verify_received(sunup_comm *comm, enum collective what, const struct transfer *t)
{
    if (what != COLLECTIVE_alltoall) return compare_parts(comm, what, t, NULL);
    TRY(sunup__verify_tell(comm));
    return compare_parts(comm, what, t, comm->sums + comm->ranks);
}

sunup_status sunup__verify_result(sunup_comm *comm, sunup_status mine, const void *result, int64_t bytes,
                                  const char *site)
{
    if (!comm->verified) return mine;
    TRY(sunup_comm_agree(comm, mine));
    sunup__tamper(comm, "received", (void *)(uintptr_t)result, bytes); /* of a test only */
    return sunup__comm_compare(comm, sunup__checksum(result, bytes), site);
}

/* --- sums of a node --- */

/* Checksums of the next rank's slice and tail, added up here. */
static uint64_t look_at_next(struct exchange *x, const struct slice *tail)
{
    const int next = (x->comm->rank + 1) % x->comm->ranks;
    const struct slice *slices;
    const int n = x->integers == NULL ? sunup__exchange_slices(x, next, &slices) : 0;
    uint64_t sum = sunup__node_sum_verify(x->node, *tail, NULL);
    for (int i = 0; i < n; i++) sum += sunup__node_sum_verify(x->node, slices[i], NULL);
    return sum;
}

static struct slice tail_of(const struct exchange *x, int rank)
{
    const struct cuts lines = {sunup__cut_at_line, NULL};
    struct slice s = sunup__part(&lines, (struct slice){0, x->o.n - x->o.head}, rank, x->comm->ranks);
    s.at += x->o.head;
    return s;
}

sunup_status sunup__verify_before(struct exchange *x, uint64_t *next)
{
    const struct slice tail = tail_of(x, (x->comm->rank + 1) % x->comm->ranks);
    *next = look_at_next(x, &tail);
    return sunup__node_meet(x->comm);
}

static uint64_t look_at_own(const struct exchange *x)
{
    uint64_t sum = sunup__node_sum_verify(x->node, tail_of(x, x->comm->rank), x->total);
    for (int b = 0; x->integers == NULL && b < x->buckets; b++)
        sum += sunup__node_sum_verify(x->node, x->own[b], x->total);
    return sum;
}

sunup_status sunup__verify_after(struct exchange *x, const char *site, uint64_t next)
{
    sunup_comm *comm = x->comm;
    const struct slice own = x->buckets > 0 && x->integers == NULL ? x->own[0] : tail_of(x, comm->rank);
    const int64_t element = sunup__sum_element(&x->sum);
    sunup__tamper(comm, "sum", x->total + own.at * element, own.n * element);
    const uint64_t mine[2] = {look_at_own(x), next};
    uint64_t(*all)[2] = sunup__alloc((size_t)comm->ranks * sizeof *all);
    sunup_status status = SUNUP_OK;
    if (all == NULL) status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for checksums");
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK) status = sunup__comm_gather(comm, mine, sizeof mine, all, site);
    for (int r = 0; status == SUNUP_OK && r < comm->ranks; r++) {
        const int owner = (r + 1) % comm->ranks;
        if (all[r][1] != all[owner][0])
            status = sunup__raise(comm->ctx, SUNUP_E_PEER,
                                  "ranks %d and %d add up the slice of rank %d differently in \"%s\": "
                                  "a processor adds wrong or memory flips bits",
                                  r, owner, owner, site);
        if (status != SUNUP_OK) (void)sunup__differs(comm, r, site);
    }
    sunup__free(all);
    return status;
}
