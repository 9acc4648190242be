/* verify.c - a second look at what ranks added up and sent each other, in steps that the caller chooses.
 *
 * One node: each rank adds the slice of the next one as well, before terms are overwritten, and keeps a checksum only;
 * afterwards the owner's total must have the same. So a core that adds wrong, and terms that two ranks read
 * differently, are found, and the ranks are named. Messages: both ends sum up what they sent and received (stages.c).
 * New weights that differ between ranks are found by their hash (sunup__comm_compare).
 *
 * Cost: on one node the additions once more and two meetings; of messages a read of what is sent and of what lands.
 */
#include "base/memory.h"
#include "comm/exchange.h"

/* Checksums of the next rank's slice and tail, added up here. */
static uint64_t look_at_next(struct exchange *x, const struct slice *tail)
{
    const int next = (x->comm->rank + 1) % x->comm->ranks;
    const struct slice *slices;
    const int n = sunup__exchange_slices(x, next, &slices);
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
    for (int b = 0; b < x->buckets; b++)
        sum += sunup__node_sum_verify(x->node, x->own[b], x->total);
    return sum;
}

sunup_status sunup__verify_after(struct exchange *x, const char *site, uint64_t next)
{
    sunup_comm *comm = x->comm;
    const struct slice own = x->buckets > 0 ? x->own[0] : tail_of(x, comm->rank);
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
