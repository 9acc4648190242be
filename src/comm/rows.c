/* rows.c - a rank's own shards into partial sums as they come.
 *
 * Rows form a stack that mirrors the tree's: the next shard is written into the row on top, and pushing it
 * merges siblings downwards, as carries run in a binary counter. What is left after the last own shard are the
 * maximal subtrees of the block.
 *
 * All merges of a shard run chunk by chunk, so a row that was just summed is still in cache for the next
 * merge.
 */
#include <string.h>

#include "base/integers.h"
#include "base/system.h"
#include "comm/inside.h"

struct merge_work {
    const struct sum *sum;
    char *const *top; /* the topmost row; the others lie below it */
    int merges;
    struct slice s;
};

static void merge_chunk(void *arg, int64_t i)
{
    const struct merge_work *w = arg;
    const int64_t at = w->s.at + i * SUM_CHUNK, n = least(SUM_CHUNK, w->s.at + w->s.n - at);
    const int64_t offset = at * sunup__sum_element(w->sum);
    const struct slice piece = {at, n};
    sunup__bf16_round(w->sum, piece, w->top[0] + offset);
    for (int m = 0; m < w->merges; m++) {
        sunup__sum_add(w->sum, n, w->top[-m] + offset, w->top[-m - 1] + offset);
        sunup__bf16_round(w->sum, piece, w->top[-m - 1] + offset);
    }
}

void sunup__rows_merge(const struct sum *sum, const struct rows *r, int shard, struct slice s)
{
    struct subtree after[TREE_DEPTH];
    int depth = r->depth;
    struct merge_work w = {sum, &r->row[r->depth], 0, s};
    memcpy(after, r->node, (size_t)depth * sizeof *after);
    w.merges = sunup__tree_push(sum->shards, after, &depth, (struct subtree){shard, 0});
    if (w.merges > 0 || s.at < sum->rounded)
        sunup__parallel(sum->threads, sunup__sum_chunks(s.n), merge_chunk, &w);
}

void sunup__rows_push(const struct sum *sum, struct rows *r, int shard)
{
    sunup__tree_push(sum->shards, r->node, &r->depth, (struct subtree){shard, 0});
}

int sunup__rows_needed(int shards, int from, int to)
{
    struct subtree node[TREE_DEPTH];
    int depth = 0, most = 0;
    for (int i = from; i < to; i++) {
        if (depth + 1 > most) most = depth + 1;
        sunup__tree_push(shards, node, &depth, (struct subtree){i, 0});
    }
    return most;
}
