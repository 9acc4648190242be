/* tree.c - the one binary tree over the shards that decides the order of every sum.
 *
 * Owes: which shards a rank owns, the maximal aligned subtrees of a block, and the order in which
 * nodes that stand side by side are merged. Leaves the numbers to rows.c and stages.c; knows
 * no MPI.
 *
 * A node (start, level) covers [start, start + 2^level), start being a multiple of 2^level. Where
 * that reaches past the last shard and the node is a left child, its sibling is empty and the
 * node's sum is its parent's: it climbs. So every sum has one name, the highest, and two nodes are
 * merged exactly if they are siblings.
 */
#include "comm/inside.h"

void sunup__shards_of(int shards, int ranks, int rank, int *from, int *to)
{
    *from = (int)((int64_t)rank * shards / ranks);
    *to = (int)(((int64_t)rank + 1) * shards / ranks);
}

static int64_t width(struct subtree t)
{
    return (int64_t)1 << t.level;
}

static bool is_left(struct subtree t)
{
    return t.start % (2 * width(t)) == 0;
}

/* The highest node whose shards, as far as they exist, are those of t's start up to `to`. */
static struct subtree climb(int shards, struct subtree t, int64_t to)
{
    while (width(t) < shards && is_left(t)) {
        const int64_t end = t.start + 2 * width(t);
        if ((end < shards ? end : shards) > to) break;
        t.level++;
    }
    return t;
}

int sunup__subtrees(int shards, int from, int to, int *start, int *level)
{
    int n = 0;
    for (int64_t at = from; at < to; n++) {
        const struct subtree t = climb(shards, (struct subtree){(int)at, 0}, to);
        start[n] = t.start;
        level[n] = t.level;
        at += width(t);
    }
    return n;
}

int sunup__tree_push(int shards, struct subtree *stack, int *depth, struct subtree t)
{
    int merges = 0;
    t = climb(shards, t, t.start + width(t));
    while (*depth > 0 && stack[*depth - 1].level == t.level && is_left(stack[*depth - 1])) {
        t = stack[--*depth];
        t.level++;
        t = climb(shards, t, t.start + width(t));
        merges++;
    }
    stack[(*depth)++] = t;
    return merges;
}

int sunup__tree_merge(int shards, int n, const struct subtree *node, struct addition *add,
                      int *kept)
{
    struct subtree stack[TREE_DEPTH];
    int depth = 0, done = 0; /* kept[i]: where the sum of the i-th node on the stack lies */
    for (int i = 0; i < n; i++) {
        kept[depth] = i;
        const int top = depth;
        const int merges = sunup__tree_push(shards, stack, &depth, node[i]);
        for (int m = 0; m < merges; m++)
            add[done++] = (struct addition){kept[top - 1 - m], kept[top - m]};
    }
    return depth;
}
