/* sum_exact.c - sums that are exact in any order (int32, the larger of two sizes), by messages, in orders that follow
 * the ranks. Not for reals, whose bits follow the tree.
 *
 * ring       part i goes round to member i, each adding its own on the way; then (allreduce) parts go round once more.
 *            Each link carries every byte about once, whatever the number of members: for large sums. Parts travel in
 *            segments, so that one is added while the next one comes
 * doubling   in round j with the member 2^j apart, all elements: log2(members) latencies, for small sums. Where their
 *            number is no power of two, those in excess first give what they have to a neighbour, and get the sum last
 *
 * Source: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH" (2005).
 */
#include "base/integers.h"
#include "base/memory.h"
#include "comm/inside.h"

enum { LANDINGS = 2, SEGMENT = SUM_ROOM / LANDINGS, SENDS = 8 };

sunup_status sunup__exact_room(sunup_comm *comm)
{
    if (comm->room == NULL) comm->room = sunup__alloc_aligned(SUM_ROOM);
    CHECK(comm->room != NULL, comm->ctx, E_MEMORY, "no memory for %d bytes that land in a sum", SUM_ROOM);
    return SUNUP_OK;
}

sunup_status sunup__exact_sum_show(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    return sunup__exact_room(comm);
}

/* --- ring --- */

/* Unit u is segment u % segments of the part that comes in step u / segments. */
struct ring {
    sunup_comm *comm;
    const struct addends *a;
    int members, me, left, right; /* ranks of the neighbours */
    int64_t element, segments;
};

static struct ring ring_of(sunup_comm *comm, const struct addends *a)
{
    const int each = a->each, members = comm->ranks / each, me = comm->rank / each, place = comm->rank % each;
    struct ring r = {comm, a, members, me, .element = sunup__sum_element(&a->sum)};
    r.left = (me - 1 + members) % members * each + place;
    r.right = (me + 1) % members * each + place;
    int64_t longest = 0;
    for (int i = 0; i < members; i++) longest = most(longest, sunup__own_part(a, i, members).n);
    r.segments = ceil_div(longest * r.element, SEGMENT);
    return r;
}

/* Elements that come from the left in unit u or, as they left there one step before, go to the right. */
static struct slice unit(const struct ring *r, int64_t u, bool out)
{
    const int step = (int)(u / r->segments) + (out ? 1 : 2);
    const struct slice part = sunup__own_part(r->a, (r->me - step + 2 * r->members) % r->members, r->members);
    const int64_t at = least(u % r->segments * (SEGMENT / r->element), part.n);
    return (struct slice){part.at + at, least(SEGMENT / r->element, part.n - at)};
}

static char *landing(const struct ring *r, int64_t u)
{
    return r->comm->room + u % LANDINGS * SEGMENT;
}

static sunup_status await(struct flight *f, int number)
{
    int landed;
    while (f->peer[number] >= 0) TRY(sunup__wait(f, &landed));
    return SUNUP_OK;
}

static sunup_status receive_unit(const struct ring *r, int64_t u)
{
    const struct slice s = unit(r, u, false);
    if (s.n == 0) return SUNUP_OK;
    return sunup__receive(&r->comm->flight, (int)(u % LANDINGS),
                          &(struct message){r->left, TAG_DATA, landing(r, u), s.n * r->element});
}

static sunup_status send_unit(const struct ring *r, int64_t u)
{
    const struct slice s = unit(r, u, true);
    const int number = LANDINGS + (int)(u % SENDS);
    if (s.n == 0) return SUNUP_OK;
    TRY(await(&r->comm->flight, number));
    return sunup__send(&r->comm->flight, number,
                       &(struct message){r->right, TAG_DATA, r->a->row[0] + s.at * r->element, s.n * r->element});
}

static sunup_status add_unit(const struct ring *r, int64_t u)
{
    const struct slice s = unit(r, u, false);
    TRY(await(&r->comm->flight, (int)(u % LANDINGS)));
    sunup__sum_add(&r->a->sum, s.n, landing(r, u), r->a->row[0] + s.at * r->element);
    return SUNUP_OK;
}

/* What unit u sends was added in unit u - segments, or is the own one. */
sunup_status sunup__ring_scatter(sunup_comm *comm, const struct transfer *t)
{
    const struct ring r = ring_of(comm, t->sum);
    const int64_t units = (r.members - 1) * r.segments;
    for (int64_t u = 0; u < least(LANDINGS, units); u++) TRY(receive_unit(&r, u));
    for (int64_t u = 0; u < units; u++) {
        TRY(send_unit(&r, u));
        TRY(add_unit(&r, u));
        if (u + LANDINGS < units) TRY(receive_unit(&r, u + LANDINGS));
    }
    return sunup__wait_all(&comm->flight);
}

/* A part goes on as it came, in messages as large as can be. */
static sunup_status pass_part(const struct ring *r, int step)
{
    const struct slice in = sunup__own_part(r->a, (r->me - step + r->members) % r->members, r->members),
                       out = sunup__own_part(r->a, (r->me - step + 1 + r->members) % r->members, r->members);
    char *from = r->a->row[0] + out.at * r->element, *to = r->a->row[0] + in.at * r->element;
    const int64_t in_bytes = in.n * r->element, out_bytes = out.n * r->element;
    for (int64_t at = 0; at < most(in_bytes, out_bytes); at += WIRE_MAX) {
        if (at < in_bytes)
            TRY(sunup__receive(&r->comm->flight, 0,
                               &(struct message){r->left, TAG_DATA, to + at, least(WIRE_MAX, in_bytes - at)}));
        if (at < out_bytes)
            TRY(sunup__send(&r->comm->flight, 1,
                            &(struct message){r->right, TAG_DATA, from + at, least(WIRE_MAX, out_bytes - at)}));
        TRY(sunup__wait_all(&r->comm->flight));
    }
    return SUNUP_OK;
}

sunup_status sunup__ring_sum(sunup_comm *comm, const struct transfer *t)
{
    const struct ring r = ring_of(comm, t->sum);
    TRY(sunup__ring_scatter(comm, t));
    for (int step = 1; step < r.members; step++) TRY(pass_part(&r, step));
    return SUNUP_OK;
}

/* --- doubling --- */

/* Send x, or receive into `to` (NULL: neither), n bytes, and wait. */
static sunup_status trade(sunup_comm *comm, int peer, char *x, char *to, int64_t bytes)
{
    if (to != NULL) TRY(sunup__receive(&comm->flight, 0, &(struct message){peer, TAG_DATA, to, bytes}));
    if (x != NULL) TRY(sunup__send(&comm->flight, 1, &(struct message){peer, TAG_DATA, x, bytes}));
    return sunup__wait_all(&comm->flight);
}

/* Of the first 2 * excess ranks each odd one works for the even one below it. */
static sunup_status double_up(sunup_comm *comm, const struct sum *sum, int excess, int64_t n, char *x)
{
    const int me = comm->rank, power = comm->ranks - excess, v = me < 2 * excess ? me / 2 : me - excess;
    for (int bit = 1; bit < power; bit *= 2) {
        const int w = v ^ bit, peer = w < excess ? 2 * w + 1 : w + excess;
        TRY(trade(comm, peer, x, comm->room, n * sunup__sum_element(sum)));
        sunup__sum_add(sum, n, comm->room, x);
    }
    return SUNUP_OK;
}

static sunup_status sum_piece(sunup_comm *comm, const struct sum *sum, int64_t n, char *x)
{
    const int64_t bytes = n * sunup__sum_element(sum);
    int power = 1;
    while (2 * power <= comm->ranks) power *= 2;
    const int excess = comm->ranks - power;
    const bool paired = comm->rank < 2 * excess, works = !paired || comm->rank % 2 == 1;
    if (!works) {
        TRY(trade(comm, comm->rank + 1, x, NULL, bytes));
        return trade(comm, comm->rank + 1, NULL, x, bytes);
    }
    if (paired) {
        TRY(trade(comm, comm->rank - 1, NULL, comm->room, bytes));
        sunup__sum_add(sum, n, comm->room, x);
    }
    TRY(double_up(comm, sum, excess, n, x));
    return paired ? trade(comm, comm->rank - 1, x, NULL, bytes) : SUNUP_OK;
}

sunup_status sunup__doubling_sum(sunup_comm *comm, const struct transfer *t)
{
    const struct addends *a = t->sum;
    const int64_t element = sunup__sum_element(&a->sum), room = SUM_ROOM / element;
    for (int64_t at = 0; at < a->range.n; at += room)
        TRY(sum_piece(comm, &a->sum, least(room, a->range.n - at), a->row[0] + (a->range.at + at) * element));
    return SUNUP_OK;
}
