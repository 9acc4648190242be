/* halo.c - see halo.h.
 *
 * Owes: turns without a second meeting. Rooms are double: a rank that has come to a turn has read
 * what it wanted of the last one, so the rooms of the one before may be written again. Where
 * messages carry the parcels, the senders wait for them to be gone and one room is enough, but who
 * writes need not know which it is.
 *
 * Where the communicator is verified, a rank tells every other one the checksum of all that it gives it in the turn:
 * behind the room, on one node; after the messages, else (messages.c). What differs is E_PEER before it is used, and
 * the others of the group learn of it in their next meeting.
 *
 * Cost: a meeting of the group, 40 bytes a pair of ranks; the parcels once. Verified, a read more of what is given and
 * of what is taken, and by messages one more of 8 bytes to each peer.
 */
#include "comm/halo.h"

#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/checksum.h"
#include "comm/inside.h"

struct halo {
    sunup_comm *group;
    struct parts_link link;
    struct parts_needs room;
    uint64_t turns;
    bool failed;          /* a meeting told all ranks of the group of a failure */
    struct shared shared; /* [2][stride] a rank: its room, and [ranks] checksums; block NULL: messages */
    int64_t stride;       /* bytes */
    char *own, *landing;  /* messages: [room.give], [room.take]          */
    struct flight flight;
};

/* On one node: of this turn. */
static char *shared_room(const struct halo *h, int rank)
{
    return h->shared.block[rank] + (int64_t)(h->turns % 2) * h->stride;
}

static char *room_of(void *arg)
{
    struct halo *h = arg;
    return h->own != NULL ? h->own : shared_room(h, h->group->rank);
}

/* --- a second look, on one node --- */

/* What a rank says that it gives each: [ranks]. */
static uint64_t *told_by(const struct halo *h, int rank)
{
    return (uint64_t *)(void *)(shared_room(h, rank) + h->room.give);
}

/* Of the parcels between two ranks in their order, which is the same on both sides. */
static uint64_t plus(uint64_t sum, const char *data, int64_t bytes)
{
    return sum * 3 + sunup__checksum(data, bytes);
}

static void tell_given(const struct halo *h, const struct turn *t)
{
    const sunup_comm *g = h->group;
    uint64_t *told = told_by(h, g->rank);
    char *room = shared_room(h, g->rank);
    memset(told, 0, (size_t)g->ranks * sizeof *told);
    for (int i = 0; i < t->n_give; i++) {
        const struct parcel *p = &t->give[i];
        told[p->peer] = plus(told[p->peer], room + p->at, p->bytes);
    }
    for (int i = 0; i < t->n_give; i++) sunup__tamper(g, "sent", room + t->give[i].at, t->give[i].bytes);
}

static sunup_status compare_taken(const struct halo *h, const struct turn *t)
{
    const sunup_comm *g = h->group;
    for (int r = 0; r < g->ranks; r++) {
        uint64_t sum = 0;
        for (int i = 0; i < t->n_take; i++)
            if (t->take[i].peer == r) sum = plus(sum, t->take[i].data, t->take[i].bytes);
        if (r != g->rank && sum != told_by(h, r)[g->rank])
            return sunup__other_numbers(g, g->rank, r, g->sequence);
    }
    return SUNUP_OK;
}

/* --- a turn --- */

static void look(const struct halo *h, struct turn *t)
{
    for (int i = 0; i < t->n_take; i++)
        t->take[i].data = shared_room(h, t->take[i].peer) + t->take[i].at;
}

/* Both sides list the parcels between them in the same order, in which messages arrive. */
static sunup_status carry(struct halo *h, struct turn *t)
{
    int64_t at = 0;
    sunup__flight_note(&h->flight, h->group->verified);
    for (int i = 0; i < t->n_take; i++) {
        struct parcel *p = &t->take[i];
        p->data = h->landing + at;
        const struct message m = {p->peer, TAG_DATA, h->landing + at, p->bytes};
        TRY(sunup__receive(&h->flight, i, &m));
        at += p->bytes;
    }
    for (int i = 0; i < t->n_give; i++) {
        const struct parcel *p = &t->give[i];
        const struct message m = {p->peer, TAG_DATA, h->own + p->at, p->bytes};
        TRY(sunup__send(&h->flight, t->n_take + i, &m));
    }
    TRY(sunup__wait_all(&h->flight));
    return sunup__flight_compare(&h->flight);
}

/* Ranks whose plans are out of step would read each other's rows as something else. */
static sunup_status same_turn(struct halo *h, const char *site)
{
    const sunup_comm *g = h->group;
    if (g->alike) return SUNUP_OK;
    for (int r = 0; r < g->ranks; r++)
        h->failed = h->failed || g->cards[r].value != g->cards[g->rank].value;
    for (int r = 0; r < g->ranks; r++)
        CHECK(g->cards[r].value == g->cards[g->rank].value, g->ctx, E_INTERNAL,
              "rank %d is in another turn than rank %d, which is at \"%s\"", g->first + r,
              g->first + g->rank, site);
    return SUNUP_OK;
}

static sunup_status meet(struct halo *h, const char *site, sunup_status mine)
{
    const uint64_t which = sunup__crc32(site, strlen(site), 0);
    const sunup_status status =
        sunup__meet(h->group, &(struct call){CALL_TURN, 0, 0, site}, mine, which);
    h->failed = status != SUNUP_OK;
    return status;
}

static sunup_status take_turn(void *arg, struct turn *t)
{
    struct halo *h = arg;
    const bool shared = h->own == NULL;
    h->group->verified = h->group->parent->verified;
    if (shared && h->group->verified) tell_given(h, t);
    TRY(meet(h, t->site, SUNUP_OK));
    sunup_status status = same_turn(h, t->site);
    if (status != SUNUP_OK) {
        sunup__leave(h->group);
        return status;
    }
    if (shared)
        look(h, t);
    else
        status = carry(h, t);
    if (shared && h->group->verified) status = compare_taken(h, t);
    h->turns++;
    sunup__leave(h->group);
    return status;
}

sunup_status sunup__halo_settle(struct halo *h, sunup_status mine)
{
    const bool known = h->failed;
    h->failed = false;
    if (known) return mine;
    const sunup_status status = meet(h, "end of a plan", mine);
    if (status == SUNUP_OK) sunup__leave(h->group);
    h->failed = false;
    return status;
}

/* --- room --- */

static void give_up_room(struct halo *h)
{
    sunup__shared_end(&h->shared);
    if (h->flight.left > 0) return; /* a late message may still arrive */
    sunup__flight_end(&h->flight);
    sunup__free(h->own);
    sunup__free(h->landing);
    h->own = h->landing = NULL;
}

static sunup_status make_messages(struct halo *h)
{
    sunup_status mine = SUNUP_OK;
    h->own = sunup__alloc_aligned((size_t)h->room.give);
    h->landing = sunup__alloc_aligned((size_t)h->room.take);
    if (h->own == NULL || h->landing == NULL)
        mine = sunup__raise(h->group->ctx, SUNUP_E_MEMORY, "no memory for margins of %lld bytes",
                            (long long)(h->room.give + h->room.take));
    if (mine == SUNUP_OK) mine = sunup__flight_create(h->group, h->room.parcels, &h->flight);
    return sunup_comm_agree(h->group, mine);
}

/* What any rank of the group needs. */
static sunup_status largest(struct halo *h, struct parts_needs *needs)
{
    const int ranks = h->group->ranks;
    struct parts_needs *all = sunup__alloc((size_t)ranks * sizeof *all), mine = *needs;
    sunup_status status = SUNUP_OK;
    if (all == NULL)
        status = sunup__raise(h->group->ctx, SUNUP_E_MEMORY, "no memory for %d ranks", ranks);
    status = sunup_comm_agree(h->group, status);
    if (status == SUNUP_OK)
        status = sunup__comm_gather(h->group, &mine, sizeof mine, all, "rows that slabs exchange");
    for (int r = 0; status == SUNUP_OK && r < ranks; r++) {
        needs->give = most(needs->give, all[r].give);
        needs->take = most(needs->take, all[r].take);
        needs->parcels = all[r].parcels > needs->parcels ? all[r].parcels : needs->parcels;
    }
    sunup__free(all);
    return status;
}

sunup_status sunup__halo_reserve(struct halo *h, const sunup_graph *g)
{
    struct parts_needs needs = h->room;
    const struct parts_needs more = sunup__parts_needs(g);
    needs.give = round_up(most(needs.give, most(more.give, 1)), 64);
    needs.take = round_up(most(needs.take, most(more.take, 1)), 64);
    needs.parcels = more.parcels > needs.parcels ? more.parcels : needs.parcels;
    TRY(largest(h, &needs));
    CHECK(most(needs.give, needs.take) <= WIRE_MAX, h->group->ctx, E_UNSUPPORTED,
          "margins of %lld bytes in one exchange; at most %lld can travel: take smaller batches",
          (long long)most(needs.give, needs.take), (long long)WIRE_MAX);
    if (needs.give <= h->room.give && needs.take <= h->room.take &&
        needs.parcels <= h->room.parcels)
        return SUNUP_OK;
    give_up_room(h);
    h->room = needs;
    h->turns = 0;
    h->stride = needs.give + round_up(h->group->ranks * (int64_t)sizeof(uint64_t), 64);
    if (sunup__one_node(h->group)) TRY(sunup__shared_create(h->group, 2 * h->stride, 0, &h->shared));
    return h->shared.block != NULL ? SUNUP_OK : make_messages(h);
}

/* --- life --- */

sunup_status sunup__halo_create(sunup_comm *comm, int each, struct halo **out)
{
    *out = NULL;
    struct halo *h = sunup__alloc(sizeof *h);
    sunup_status status = SUNUP_OK;
    if (h == NULL) status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for a halo");
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK) status = sunup__comm_split(comm, comm->rank / each, &h->group);
    if (status != SUNUP_OK) {
        sunup__free(h);
        return status;
    }
    h->link = (struct parts_link){h, room_of, take_turn};
    *out = h;
    return SUNUP_OK;
}

void sunup__halo_destroy(struct halo **halo)
{
    struct halo *h = *halo;
    *halo = NULL;
    if (h == NULL) return;
    const bool whole = h->group->broken == SUNUP_OK;
    sunup_comm_destroy(&h->group); /* nobody reads the others' rooms any more */
    if (whole) give_up_room(h);
    if (whole) sunup__free(h);
}

const struct parts_link *sunup__halo_link(struct halo *h)
{
    return &h->link;
}

sunup_status sunup__halo_agree(struct halo *h, sunup_status mine)
{
    return sunup_comm_agree(h->group, mine);
}

double sunup__halo_wait_s(const struct halo *h)
{
    return h->group->wait_s;
}

int64_t sunup__halo_bytes(const struct halo *h)
{
    return 2 * h->room.give + h->room.take;
}
