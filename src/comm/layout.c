/* layout.c - what each stage of an exchange consists of, computed once.
 *
 * Owes: for every stage the peers, the rows of partial sums that meet there and the additions that
 * merge them, where what lands lies, and which elements are whose. Leaves the running to stages.c,
 * the radices to routes.c, the order of additions to tree.c.
 *
 * Invariant: before stage j all members that agree in the digits from j upwards stand for one
 * contiguous block of shards, whose maximal subtrees are their rows; and all members that agree in
 * the digits below j hold the same range of elements. So peers of stage j, who differ in digit j
 * only, have rows of neighbouring blocks for one range, and each takes a part of it.
 *
 * Cost: memory and time for (peers x rows) of each stage, log-like but for a direct route.
 */
#include <string.h>

#include "comm/stages.h"

/* A message of fewer bytes costs mostly its latency. */
enum { LEAST_SLICE_BYTES = 4096 };

/* --- elements --- */

/* The last place of the range that is <= at and where a slice may end. */
static int64_t cut(const struct cuts *c, struct slice range, int64_t at)
{
    if (at >= range.at + range.n) return range.at + range.n;
    const int64_t place = c->at ? c->at(c->arg, at) : at;
    return place > range.at ? place : range.at;
}

int64_t sunup__cut_at_line(const void *arg, int64_t at)
{
    enum { LINE = 16 };
    (void)arg;
    return at / LINE * LINE;
}

struct slice sunup__part(const struct cuts *c, struct slice range, int64_t i, int64_t d)
{
    const int64_t from = cut(c, range, range.at + range.n * i / d);
    return (struct slice){from, cut(c, range, range.at + range.n * (i + 1) / d) - from};
}

struct slice sunup__layout_bucket(const struct layout *l, int bucket)
{
    if (l->range != NULL) return l->range[bucket];
    return sunup__part(&l->cuts, (struct slice){0, l->sum.n}, bucket, l->buckets);
}

static sunup_status count_buckets(sunup_context *ctx, struct layout *l, int64_t bucket_bytes,
                                  int members)
{
    const int64_t least = (int64_t)LEAST_SLICE_BYTES * members;
    int64_t n = (bucket_bytes > least ? bucket_bytes : least) / l->element;
    if (n > WIRE_MAX / l->element) n = WIRE_MAX / l->element;
    const int64_t buckets = (l->sum.n + n - 1) / n;
    CHECK(buckets <= INT32_MAX, ctx, E_ARGUMENT,
          "%lld elements in buckets of %lld are too many buckets; raise bucket_bytes",
          (long long)l->sum.n, (long long)n);
    l->buckets = (int)buckets;
    return SUNUP_OK;
}

static bool copy_ranges(struct layout *l, const struct stages_options *o)
{
    const size_t bytes = (size_t)o->ranges * sizeof *o->range;
    struct slice *range = sunup__arena_alloc(&l->memory, bytes);
    if (range) memcpy(range, o->range, bytes);
    l->range = range;
    l->buckets = o->ranges;
    return range != NULL;
}

static sunup_status lay_out_buckets(sunup_context *ctx, struct layout *l,
                                    const struct stages_options *o)
{
    if (o->range == NULL)
        TRY(count_buckets(ctx, l, o->bucket_bytes, o->group->members));
    else
        CHECK(copy_ranges(l, o), ctx, E_MEMORY, "no memory for %d buckets", o->ranges);
    l->slots = l->buckets < SLOTS ? l->buckets : SLOTS;
    for (int b = 0; b < l->buckets; b++)
        CHECK(sunup__layout_bucket(l, b).n <= WIRE_MAX / l->element, ctx, E_UNSUPPORTED,
              "%lld elements that may not be cut are more than a message takes (%lld bytes)",
              (long long)sunup__layout_bucket(l, b).n, (long long)WIRE_MAX);
    return SUNUP_OK;
}

/* --- rows --- */

/* Members [from, to) as one block: their maximal subtrees. */
static int block_rows(const struct group *g, int shards, int from, int to, struct subtree *node)
{
    int start[TREE_DEPTH], level[TREE_DEPTH];
    const int n = sunup__subtrees(shards, g->from[from], g->from[to], start, level);
    for (int i = 0; node && i < n; i++) node[i] = (struct subtree){start[i], level[i]};
    return n;
}

/* Ranks of the stage's peers, and the rows that each brings; width: members of a peer's block. */
static bool lay_out_peers(struct layout *l, struct stage *s, const struct group *g, int width)
{
    s->digit = g->me / width % s->radix;
    s->peer = sunup__arena_alloc(&l->memory, (size_t)s->radix * sizeof *s->peer);
    s->first = sunup__arena_alloc(&l->memory, ((size_t)s->radix + 1) * sizeof *s->first);
    if (!s->peer || !s->first) return false;
    for (int i = 0; i < s->radix; i++) {
        const int member = g->me + (i - s->digit) * width, from = member / width * width;
        s->peer[i] = g->rank[member];
        s->first[i + 1] = s->first[i] + block_rows(g, l->sum.shards, from, from + width, NULL);
    }
    return true;
}

static bool lay_out_additions(struct layout *l, struct stage *s, const struct group *g, int width)
{
    const int rows = s->first[s->radix];
    s->addition = sunup__arena_alloc(&l->memory, (size_t)rows * sizeof *s->addition);
    s->kept = sunup__arena_alloc(&l->memory, TREE_DEPTH * sizeof *s->kept);
    struct subtree *node = sunup__alloc((size_t)rows * sizeof *node);
    if (node && s->addition && s->kept) {
        const int from = g->me / (width * s->radix) * (width * s->radix);
        for (int i = 0; i < s->radix; i++)
            block_rows(g, l->sum.shards, from + i * width, from + (i + 1) * width,
                       node + s->first[i]);
        s->kept_rows = sunup__tree_merge(l->sum.shards, rows, node, s->addition, s->kept);
        s->additions = rows - s->kept_rows;
    }
    sunup__free(node);
    return node && s->addition && s->kept;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static void number_messages(struct layout *l)
{
    int reduce_out = 0;
    for (struct stage *s = l->stage; s < l->stage + l->stages; s++) {
        const int own = sunup__stage_own(s), others = s->radix - 1;
        s->reduce_first = l->reduce_numbers;
        s->share_first = l->share_numbers;
        l->reduce_numbers += s->first[s->radix] - own;
        l->share_numbers += others;
        reduce_out += own * others;
        l->most_rows = larger(l->most_rows, s->first[s->radix]);
        l->most_kept = larger(l->most_kept, s->kept_rows);
    }
    l->numbers = larger(l->reduce_numbers + reduce_out, 2 * l->share_numbers);
}

static sunup_status lay_out_stages(struct layout *l, const struct stages_options *o)
{
    const struct group *g = o->group;
    int64_t messages = 0; /* of a slot */
    int width = 1;
    for (int j = 0; j < l->stages; j++) {
        struct stage *s = &l->stage[j];
        s->radix = o->route->radix[j];
        if (!lay_out_peers(l, s, g, width) || !lay_out_additions(l, s, g, width))
            return SUNUP_E_MEMORY;
        messages += s->first[s->radix] + (int64_t)(sunup__stage_own(s) + 2) * s->radix;
        width *= s->radix;
    }
    l->own_rows = block_rows(g, l->sum.shards, g->me, g->me + 1, NULL);
    l->most_kept = l->own_rows;
    if (messages * SLOTS > INT32_MAX) return SUNUP_E_MEMORY;
    number_messages(l);
    return SUNUP_OK;
}

/* --- memory --- */

/* Elements of a bucket before each stage, and of the own slice, at most. */
static void find_most(const struct layout *l, int64_t most[ROUTE_STAGES + 1])
{
    for (int b = 0; b < l->buckets; b++) {
        struct slice range = sunup__layout_bucket(l, b);
        for (int j = 0; j <= l->stages; j++) {
            if (range.n > most[j]) most[j] = range.n;
            if (j < l->stages)
                range = sunup__part(&l->cuts, range, l->stage[j].digit, l->stage[j].radix);
        }
    }
}

/* Each message of a reduce has its place: it is sent while later stages go on. */
static void lay_out_packing(struct layout *l, const int64_t most[ROUTE_STAGES + 1])
{
    l->packed = l->slot_bytes;
    for (int j = 0; j < l->stages; j++) {
        const struct stage *s = &l->stage[j];
        l->slot_bytes += sunup__stage_own(s) * (sunup__packed_bytes(most[j]) + 64 * s->radix);
    }
}

/* Rows land on cache lines, with room for the own part of the largest bucket. */
static void lay_out_landing(struct layout *l)
{
    int64_t most[ROUTE_STAGES + 1] = {0};
    find_most(l, most);
    for (int j = 0; j < l->stages; j++) {
        struct stage *s = &l->stage[j];
        s->row_bytes = (most[j + 1] * l->element + 63) / 64 * 64;
        s->landing = l->slot_bytes;
        l->slot_bytes += s->row_bytes * (s->first[s->radix] - sunup__stage_own(s));
    }
    if (sunup__layout_packs(l)) lay_out_packing(l, most);
}

sunup_status sunup__layout(sunup_context *ctx, const struct stages_options *o, struct layout *l)
{
    *l = (struct layout){.sum = *o->sum,
                         .element = sunup__sum_element(o->sum),
                         .bucket_bytes = o->bucket_bytes,
                         .cuts = {o->cut, o->cut_arg},
                         .stages = o->route->stages};
    l->reduce_element = sunup__layout_packs(l) ? WIRE_BF16 : l->element;
    TRY(lay_out_buckets(ctx, l, o));
    if (lay_out_stages(l, o) != SUNUP_OK)
        RAISE(ctx, E_MEMORY,
              "no memory to plan the exchange of %d members and %d shards on the route %s; try one "
              "with more stages",
              o->group->members, o->sum->shards, o->route->name);
    lay_out_landing(l);
    return SUNUP_OK;
}

void sunup__layout_end(struct layout *l)
{
    sunup__arena_end(&l->memory);
}
