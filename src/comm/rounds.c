/* rounds.c - how many ranks meet: in round k each tells the one 2^k above it what it knows.
 *
 * After the round each knows whether twice as many below it showed the same card; after log2 of
 * their number it has heard of all. The answer is the same everywhere. Where the cards are not
 * alike all of them are gathered, and the ranks report as those that met directly do.
 *
 * rounds    all ranks: log2(ranks) messages of 48 bytes a rank
 * leaders   the ranks of a node show each other their cards in memory, the first one of each node
 *           goes through the rounds and shows its node the answer: log2(nodes) messages a node
 *
 * A rank that does not come holds up whoever waits for its messages: the report names the rank
 * waited for, and tells that it may be waiting itself (comm->relayed). On the own node the
 * records tell more.
 *
 * Source: Hensgen, Finkel, Manber, "Two algorithms for barrier synchronization" (1988).
 */
#include <string.h>

#include "comm/inside.h"

struct heard {
    struct card card; /* of whoever tells it */
    int64_t alike;    /* so are those of all that it has heard of */
};

/* Who goes through the rounds: rank[n], NULL for all; this rank is number `me` of them. */
struct party {
    const int *rank;
    int n, me;
};

static int peer_of(const struct party *p, int step)
{
    const int number = (p->me + step + p->n) % p->n;
    return p->rank != NULL ? p->rank[number] : number;
}

static sunup_status tell(sunup_comm *comm, const struct party *p, int step, struct heard *mine,
                         struct heard *other)
{
    TRY(sunup__receive(&comm->flight, 0,
                       &(struct message){peer_of(p, -step), TAG_MEET, other, sizeof *other}));
    TRY(sunup__send(&comm->flight, 1,
                    &(struct message){peer_of(p, step), TAG_MEET, mine, sizeof *mine}));
    return sunup__wait_all(&comm->flight);
}

static sunup_status hear_of_all(sunup_comm *comm, const struct party *p, struct heard *mine)
{
    struct heard other;
    for (int step = 1; step < p->n; step *= 2) {
        TRY(tell(comm, p, step, mine, &other));
        mine->alike =
            mine->alike && other.alike && memcmp(&mine->card, &other.card, sizeof mine->card) == 0;
    }
    comm->alike = mine->alike;
    return SUNUP_OK;
}

static sunup_status gather_cards(sunup_comm *comm)
{
    return sunup__gather_bruck(
        comm, &(struct transfer){.to = (char *)comm->cards, .bytes = sizeof *comm->cards});
}

sunup_status sunup__meet_rounds(sunup_comm *comm, const struct transfer *t)
{
    const struct party all = {NULL, comm->ranks, comm->rank};
    const struct card *card = &comm->cards[comm->rank];
    struct heard mine = {*card, card->status == SUNUP_OK};
    (void)t;
    comm->relayed = true;
    sunup_status status = hear_of_all(comm, &all, &mine);
    if (status == SUNUP_OK && !comm->alike) status = gather_cards(comm);
    comm->relayed = false;
    return status;
}

/* --- node by node --- */

/* The leader's answer is shown at the node's next meeting. */
static sunup_status hear_of_nodes(sunup_comm *comm, struct heard *mine)
{
    const struct party leaders = {comm->leaders, comm->nodes, comm->node};
    if (comm->node_rank == 0) {
        TRY(hear_of_all(comm, &leaders, mine));
        memcpy(sunup__sign(comm, 0, comm->meetings + 1)->shown, &mine->alike, sizeof mine->alike);
    }
    TRY(sunup__node_meet(comm));
    memcpy(&mine->alike, sunup__sign(comm, 0, comm->meetings)->shown, sizeof mine->alike);
    comm->alike = mine->alike;
    return SUNUP_OK;
}

sunup_status sunup__meet_leaders(sunup_comm *comm, const struct transfer *t)
{
    (void)t;
    TRY(sunup__node_show(comm, &comm->cards[comm->rank], false));
    struct heard mine = {comm->cards[comm->rank], sunup__node_alike(comm)};
    comm->relayed = true;
    sunup_status status = hear_of_nodes(comm, &mine);
    if (status == SUNUP_OK && !comm->alike) status = gather_cards(comm);
    comm->relayed = false;
    return status;
}
