/* small.c - how ranks meet, and what is no more than a meeting: compare and agree.
 *
 * Owes: sunup__meet. Every rank shows every other one a card of 40 bytes that says which collective
 * it calls, with which sizes, and whether it is able to. So all ranks know of a mismatch or a
 * failure before data moves, all return the same status, and the next collective is in step again;
 * and a rank that does not come is known by name.
 *
 * Cost: on one node a line written and one read for each other rank; else ranks - 1 messages a rank
 * and one latency. That form is chosen up to some tens of ranks because whoever is missing is exactly
 * who is absent; rounds.c has the one for many.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "comm/inside.h"

enum { NAMED_MOST = 8, CALL_TEXT = 96, ERROR_TEXT = 1024 };

/* --- meeting --- */

static const char *call_text(const struct card *c, char *room)
{
    switch ((enum call_kind)c->kind) {
    case CALL_BARRIER:
        snprintf(room, CALL_TEXT, "a barrier");
        break;
    case CALL_COMPARE:
        snprintf(room, CALL_TEXT, "a comparison");
        break;
    case CALL_AGREE:
        snprintf(room, CALL_TEXT, "an agreement");
        break;
    case CALL_END:
        snprintf(room, CALL_TEXT, "the end of the communicator");
        break;
    case CALL_TURN:
        snprintf(room, CALL_TEXT, "a turn of its plan");
        break;
    case CALL_GATHER:
        snprintf(room, CALL_TEXT, "a gather of %" PRId64 " bytes a rank", c->n);
        break;
    case CALL_SCATTER_F32:
        snprintf(room, CALL_TEXT, "a reduce-scatter of %" PRId64 " f32 over %" PRId64 " shards", c->n, c->detail);
        break;
    case CALL_SCATTER_INTEGERS:
        snprintf(room, CALL_TEXT, "a reduce-scatter of %" PRId64 " integers", c->n);
        break;
    case CALL_SUM_INTEGERS:
    case CALL_COMBINE:
        snprintf(room, CALL_TEXT, "a sum of %" PRId64 " integers", c->n);
        break;
    case CALL_SHARE:
        snprintf(room, CALL_TEXT, "a share of %" PRId64 " elements", c->n);
        break;
    case CALL_COLLECT:
        snprintf(room, CALL_TEXT, "a collection of %" PRId64 " elements on rank %" PRId64, c->n,
                 c->detail);
        break;
    case CALL_ALLTOALL:
        snprintf(room, CALL_TEXT, "an all-to-all of %" PRId64 " bytes a pair of ranks", c->n);
        break;
    case CALL_BROADCAST:
        snprintf(room, CALL_TEXT, "a broadcast of %" PRId64 " bytes from rank %" PRId64, c->n,
                 c->detail);
        break;
    case CALL_SUM_F32:
    case CALL_SUM_F64:
        snprintf(room, CALL_TEXT, "a sum of %" PRId64 " %s over %" PRId64 " shards", c->n,
                 c->kind == CALL_SUM_F32 ? "f32" : "f64", c->detail);
        break;
    case CALL_SUM_INT32:
        snprintf(room, CALL_TEXT, "a sum of %" PRId64 " f32 by int32 over %" PRId64 " shards", c->n,
                 c->detail);
        break;
    }
    return room;
}

static bool same_call(const struct card *a, const struct card *b)
{
    return a->kind == b->kind && a->n == b->n && a->detail == b->detail &&
           a->sequence == b->sequence;
}

/* What most ranks call, if more than half agree (Boyer and Moore's vote); else some rank's call. */
static const struct card *usual_call(const sunup_comm *comm)
{
    const struct card *usual = comm->cards;
    int votes = 0;
    for (int r = 0; r < comm->ranks; r++) {
        if (votes == 0) usual = &comm->cards[r];
        votes += same_call(usual, &comm->cards[r]) ? 1 : -1;
    }
    return usual;
}

static sunup_status check_calls(sunup_comm *comm)
{
    const struct card *usual = usual_call(comm);
    struct text t = {0};
    char room[CALL_TEXT];
    int odd = 0;
    for (int r = 0; r < comm->ranks; r++) {
        const struct card *c = &comm->cards[r];
        if (same_call(c, usual) || ++odd > NAMED_MOST) continue;
        sunup__text(&t, "%srank %d calls %s as its collective %" PRIu64, odd > 1 ? ", " : "",
                    comm->first + r, call_text(c, room), c->sequence);
    }
    if (odd == 0) return SUNUP_OK;
    const sunup_status status = sunup__raise(
        comm->ctx, SUNUP_E_SHAPE,
        "ranks call different collectives (here \"%s\"): %s%s, against %s as collective %" PRIu64
        " of the other %d. All ranks must make the same calls with the same sizes",
        comm->site, t.s ? t.s : "?", odd > NAMED_MOST ? " and more" : "", call_text(usual, room),
        usual->sequence, comm->ranks - odd);
    sunup__free(t.s);
    return status;
}

bool sunup__node_alike(const sunup_comm *comm)
{
    const struct card *mine = &comm->cards[comm->rank];
    if (mine->status != SUNUP_OK) return false;
    for (int i = 0; i < comm->node_ranks; i++) {
        const struct card *card = &sunup__sign(comm, i, comm->meetings)->card;
        if (i != comm->node_rank && memcmp(mine, card, sizeof *mine) != 0) return false;
    }
    return true;
}

/* Through the node's memory. */
sunup_status sunup__meet_node(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    TRY(sunup__node_show(comm, &comm->cards[comm->rank], comm->shown > 0));
    comm->alike = sunup__node_alike(comm);
    for (int r = 0; r < comm->ranks && !comm->alike; r++)
        comm->cards[r] = sunup__sign(comm, r, comm->meetings)->card;
    return SUNUP_OK;
}

/* From each to all. The flight's first `ranks` numbers are receives, the next ones sends. */
sunup_status sunup__meet_direct(sunup_comm *comm, const struct transfer *t)
{
    const int64_t bytes = sizeof *comm->cards;
    (void)t;
    for (int i = 1; i < comm->ranks; i++) {
        const int peer = (comm->rank + i) % comm->ranks; /* not all to rank 0 first */
        TRY(sunup__receive(&comm->flight, peer,
                           &(struct message){peer, TAG_MEET, &comm->cards[peer], bytes}));
    }
    for (int i = 1; i < comm->ranks; i++) {
        const int peer = (comm->rank + i) % comm->ranks;
        TRY(sunup__send(&comm->flight, comm->ranks + peer,
                        &(struct message){peer, TAG_MEET, &comm->cards[comm->rank], bytes}));
    }
    return sunup__wait_all(&comm->flight);
}

/* Ranks come to know whether the cards of all are alike, and those of all if they are not. */
static sunup_status show_cards(sunup_comm *comm)
{
    const struct card *mine = &comm->cards[comm->rank];
    comm->alike = false;
    TRY(sunup__run_meeting(comm));
    if (comm->alike) return SUNUP_OK;
    comm->alike = mine->status == SUNUP_OK;
    for (int r = 0; r < comm->ranks && comm->alike; r++)
        comm->alike = memcmp(mine, &comm->cards[r], sizeof *mine) == 0;
    return SUNUP_OK;
}

/* The first rank that came with a failure gives its status and its sentence to all. */
static sunup_status check_statuses(sunup_comm *comm, sunup_status mine)
{
    int r = 0;
    while (r < comm->ranks && comm->cards[r].status == SUNUP_OK) r++;
    if (r == comm->ranks) return SUNUP_OK;
    char text[ERROR_TEXT] = "";
    if (r == comm->rank) snprintf(text, sizeof text, "%s", sunup_error(comm->ctx));
    const struct transfer sentence = {.to = text, .bytes = sizeof text, .root = r};
    TRY(sunup__broadcast_binomial(comm, &sentence));
    if (r == comm->rank) return mine;
    const sunup_status status = (sunup_status)comm->cards[r].status;
    (void)sunup__raise(comm->ctx, status, "rank %d: %s", comm->first + r,
                       text[0] ? text : sunup_status_text(status));
    /* A message that failed breaks the communicator: whoever can still tell has seen numbers that differ. */
    if (status == SUNUP_E_PEER) return sunup__differs(comm, comm->first + r, NULL);
    sunup__blame(comm->ctx, comm->first + r, NULL, NULL);
    return status;
}

sunup_status sunup__meet(sunup_comm *comm, const struct call *call, sunup_status mine,
                         uint64_t value)
{
    if (comm->broken != SUNUP_OK && mine != SUNUP_OK) return mine;
    if (comm->broken != SUNUP_OK)
        return sunup__raise(
            comm->ctx, comm->broken,
            "\"%s\" cannot begin: the communicator broke in \"%s\" and can only be destroyed",
            call->site, comm->site);
    sunup__enter(comm, call->site);
    sunup_status status = mine;
    if (comm->ranks > 1) {
        comm->cards[comm->rank] =
            (struct card){(int32_t)call->kind, mine, call->n, call->detail, comm->sequence, value};
        status = show_cards(comm);
        if (status == SUNUP_OK && !comm->alike) status = check_calls(comm);
        if (status == SUNUP_OK && !comm->alike) status = check_statuses(comm, mine);
    }
    if (status != SUNUP_OK) sunup__leave(comm);
    return status;
}

/* --- no more than a meeting --- */

sunup_status sunup_comm_agree(sunup_comm *comm, sunup_status mine)
{
    TRY(sunup__meet(comm, &(struct call){CALL_AGREE, 0, 0, "agree on a status"}, mine, 0));
    sunup__leave(comm);
    return SUNUP_OK;
}

sunup_status sunup__comm_compare(sunup_comm *comm, uint64_t value, const char *what)
{
    TRY(sunup__meet(comm, &(struct call){CALL_COMPARE, 0, 0, what}, SUNUP_OK, value));
    sunup__leave(comm);
    if (comm->ranks == 1 || comm->alike) return SUNUP_OK;
    struct text t = {0};
    int odd = 0, first = 0;
    for (int r = 1; r < comm->ranks; r++) {
        if (comm->cards[r].value == comm->cards[0].value || ++odd > NAMED_MOST) continue;
        if (first == 0) first = r;
        sunup__text(&t, "%srank %d has %016" PRIx64, odd > 1 ? ", " : "", r, comm->cards[r].value);
    }
    if (odd == 0) return SUNUP_OK;
    (void)sunup__raise(comm->ctx, SUNUP_E_PEER,
                       "%s differs between ranks: rank 0 has %016" PRIx64
                       ", %s%s (%d of %d ranks differ). Ranks must run the "
                       "same binary, instruction set and tuning file; if "
                       "they do, suspect the memory of these nodes",
                       what, comm->cards[0].value, t.s ? t.s : "?",
                       odd > NAMED_MOST ? " and more" : "", odd, comm->ranks);
    sunup__free(t.s);
    return sunup__differs(comm, first, what);
}
