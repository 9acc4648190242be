/* parts.c - shards that are cut into parts, by the space of each sample or by samples, and the ranks that share them.
 *
 * A shard is the business of one rank, or, where there are more ranks than shards, of a group of
 * neighbours: rank q of its r holds the parts [q parts/r, (q + 1) parts/r) of every sample of the
 * shard. The run's sums then have shards * r terms, a shard's next to each other: the tree over
 * them is that over shards * parts terms whose lowest levels the graph adds itself. So bits depend
 * on shards and parts, and neither on ranks nor on groups.
 *
 * Parts of space: each rank reads whole samples, which are in memory anyway, and slices its own parts of them. Parts
 * of samples: a rank reads its own samples, which are shards of their own to the stream and in evaluation.
 */
#include <string.h>

#include "base/memory.h"
#include "comm/halo.h"
#include "graph/split/split.h"
#include "train/trainer.h"

static bool is_power_of_two(int n)
{
    return n >= 1 && (n & (n - 1)) == 0;
}

/* Ranks that hold one shard; 0: these ranks cannot share these shards. */
static int group_of(const sunup_train_options *o, int ranks)
{
    if (ranks <= o->shards) return 1;
    const int each = ranks / o->shards;
    return ranks % o->shards == 0 && is_power_of_two(each) && each <= o->parts ? each : 0;
}

sunup_status sunup__train_check_parts(const sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    const int ranks = sunup_comm_ranks(t->comm);
    CHECK(is_power_of_two(o->parts), t->ctx, E_ARGUMENT, "parts is %d; it must be 1, 2, 4, 8 ...",
          o->parts);
    CHECK(o->split == NULL || (strlen(o->split) == 1 && strchr("NDHW", o->split[0]) != NULL),
          t->ctx, E_ARGUMENT, "split is \"%s\"; it must be N, D, H or W", o->split);
    CHECK(!sunup__train_by_samples(t) || o->batch / o->shards % o->parts == 0, t->ctx, E_ARGUMENT,
          "split N: the %lld samples of a shard do not fall into %d equal parts",
          (long long)(o->batch / o->shards), o->parts);
    CHECK(o->parts == 1 || !sunup__train_by_integers(t), t->ctx, E_ARGUMENT,
          "sum int32 rounds a rank's term to integers, but how many terms a shard of %d parts has "
          "depends on the ranks; use sum tree",
          o->parts);
    CHECK(o->parts > 1 || ranks <= o->shards, t->ctx, E_ARGUMENT,
          "%d ranks cannot share %d shards; start at most %d ranks or raise shards (which changes "
          "the run)",
          ranks, o->shards, o->shards);
    CHECK(group_of(o, ranks) > 0, t->ctx, E_ARGUMENT,
          "%d ranks cannot share %d shards of %d parts; start at most %d ranks, or %d times 2, 4 "
          ".. %d",
          ranks, o->shards, o->parts, o->shards, o->shards, o->parts);
    return SUNUP_OK;
}

sunup_status sunup__join_group(sunup_trainer *t)
{
    const int ranks = sunup_comm_ranks(t->comm), rank = sunup_comm_rank(t->comm);
    t->group = group_of(&t->o, ranks);
    t->member = rank % t->group;
    sunup__shards_of(t->o.shards, ranks / t->group, rank / t->group, &t->from, &t->to);
    return t->group > 1 ? sunup__halo_create(t->comm, t->group, &t->halo) : SUNUP_OK;
}

int sunup__train_terms(const sunup_trainer *t)
{
    return t->o.shards * t->group;
}

struct pieces_of_batch sunup__train_pieces(const sunup_trainer *t)
{
    if (!sunup__train_by_samples(t) || t->group == 1)
        return (struct pieces_of_batch){t->o.shards, t->from, t->to};
    const int first = t->from * t->group + t->member;
    return (struct pieces_of_batch){sunup__train_terms(t), first, first + 1};
}

struct pieces_of_batch sunup__evaluation_pieces(const sunup_trainer *t)
{
    if (!sunup__train_by_samples(t)) return (struct pieces_of_batch){t->o.shards, t->from, t->to};
    struct pieces_of_batch p = {.n = t->o.shards * t->o.parts};
    sunup__shards_of(p.n, sunup_comm_ranks(t->comm), sunup_comm_rank(t->comm), &p.from, &p.to);
    return p;
}

sunup_status sunup__pass_split(const sunup_trainer *t, struct pass *p)
{
    const int own = t->o.parts / t->group;
    const struct split_options o = {
        .axis = t->o.split != NULL ? t->o.split[0] : '\0',
        .parts = {.n = t->o.parts,
                  .first = t->member * own,
                  .own = own,
                  .link = t->halo != NULL ? sunup__halo_link(t->halo) : NULL}};
    TRY(sunup__split_create(p->graph, &o, &p->split));
    p->whole = p->graph;
    p->graph = sunup__split_graph(p->split);
    p->loss = sunup__split_share(p->split, p->loss);
    if (p->weight != NULL) p->weight = sunup__split_share(p->split, p->weight);
    if (p->correct != NULL) p->correct = sunup__split_share(p->split, p->correct);
    if (p->output != NULL) {
        p->cut = sunup__split_is_cut(p->split, p->output);
        p->output = sunup__split_own(p->split, p->output);
    }
    if (p->target != NULL) p->labels = sunup__split_own(p->split, p->target);
    return sunup_graph_finish(p->graph);
}

sunup_status sunup__pass_ready(const sunup_trainer *t, const struct pass *p, sunup_status mine)
{
    if (t->halo == NULL || !p->in_parts) return mine;
    TRY(sunup__halo_agree(t->halo, mine));
    return sunup__halo_reserve(t->halo, p->graph);
}

sunup_status sunup__settle(const sunup_trainer *t, sunup_status mine)
{
    return t->halo == NULL ? mine : sunup__halo_settle(t->halo, mine);
}

bool sunup__turn_broke(const sunup_trainer *t, sunup_status mine)
{
    return t->halo != NULL && sunup__late_messages(mine) && !t->ctx->blame.differs;
}
