/* tree_test.c - the tree without messages: blocks, their subtrees, and the bits of the sum for
 * every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "comm/inside.h"

enum { SHARDS = 70, RANKS = 16 };

/* Terms of which any other order gives other bits, with high probability. */
static float term(int shard, int salt)
{
    const uint32_t mix = ((uint32_t)shard * 2654435761u + (uint32_t)salt) * 2246822519u;
    if (mix % 5 == 0) return mix & 64 ? 0x1p60f : -0x1p60f;
    return (float)(int32_t)mix * 0x1p-20f;
}

/* The meaning: a node is left + right; without a right child it is the left one. */
static float meaning(int shards, int level, int start, int salt)
{
    if (level == 0) return term(start, salt);
    const int half = 1 << (level - 1);
    const float left = meaning(shards, level - 1, start, salt);
    return start + half < shards ? left + meaning(shards, level - 1, start + half, salt) : left;
}

static float total(int shards, int salt)
{
    int level = 0;
    while ((1 << level) < shards) level++;
    return meaning(shards, level, 0, salt);
}

static void blocks_partition_the_shards(void **state)
{
    (void)state;
    for (int shards = 1; shards <= SHARDS; shards++)
        for (int ranks = 1; ranks <= shards && ranks <= RANKS; ranks++) {
            int end = 0;
            for (int r = 0; r < ranks; r++) {
                int from, to;
                sunup__shards_of(shards, ranks, r, &from, &to);
                assert_int_equal(from, end);
                assert_true(to > from);
                assert_in_range(to - from, shards / ranks, shards / ranks + 1);
                end = to;
            }
            assert_int_equal(end, shards);
        }
}

static void subtrees_partition_any_block(void **state)
{
    (void)state;
    int start[TREE_DEPTH], level[TREE_DEPTH];
    for (int shards = 1; shards <= SHARDS; shards++)
        for (int from = 0; from < shards; from++)
            for (int to = from; to <= shards; to++) {
                int64_t at = from;
                const int n = sunup__subtrees(shards, from, to, start, level);
                for (int i = 0; i < n; i++) {
                    assert_int_equal(start[i], at);
                    assert_int_equal(start[i] % (1 << level[i]), 0);
                    at += (int64_t)1 << level[i];
                    assert_true(at <= to || to == shards);
                }
                assert_true(at == to || (to == shards && at > to));
            }
}

/* A subtree's parent must hold a shard from outside the block, else it were not maximal. */
static void subtrees_are_maximal(void **state)
{
    (void)state;
    int start[TREE_DEPTH], level[TREE_DEPTH];
    for (int shards = 1; shards <= SHARDS; shards++)
        for (int from = 0; from < shards; from++)
            for (int to = from + 1; to <= shards; to++) {
                const int n = sunup__subtrees(shards, from, to, start, level);
                for (int i = 0; i < n; i++) {
                    const int width = 2 << level[i], parent = start[i] / width * width;
                    const int end = parent + width < shards ? parent + width : shards;
                    assert_true(parent < from || end > to || (parent == 0 && width / 2 >= shards));
                }
            }
}

/* Add one rank's block as exchange.c does; leaves its partial sums in row[]. */
static int accumulate(int shards, int from, int to, int salt, struct subtree *node, float *row)
{
    int depth = 0;
    for (int i = from; i < to; i++) {
        const int top = depth;
        row[top] = term(i, salt);
        const int merges = sunup__tree_push(shards, node, &depth, (struct subtree){i, 0});
        for (int m = 0; m < merges; m++) row[top - 1 - m] += row[top - m];
    }
    return depth;
}

static void any_split_gives_the_same_bits(void **state)
{
    (void)state;
    struct subtree node[SHARDS + TREE_DEPTH];
    struct addition add[SHARDS];
    int kept[TREE_DEPTH];
    float row[SHARDS + TREE_DEPTH];
    int start[TREE_DEPTH], level[TREE_DEPTH];
    for (int shards = 1; shards <= SHARDS; shards++)
        for (int ranks = 1; ranks <= shards && ranks <= RANKS; ranks++)
            for (int salt = 0; salt < 20; salt++) {
                int parts = 0;
                for (int r = 0; r < ranks; r++) {
                    int from, to;
                    sunup__shards_of(shards, ranks, r, &from, &to);
                    const int n = accumulate(shards, from, to, salt, node + parts, row + parts);
                    assert_int_equal(n, sunup__subtrees(shards, from, to, start, level));
                    for (int i = 0; i < n; i++) {
                        assert_int_equal(node[parts + i].start, start[i]);
                        assert_int_equal(node[parts + i].level, level[i]);
                    }
                    parts += n;
                }
                assert_int_equal(sunup__tree_merge(shards, parts, node, add, kept), 1);
                assert_int_equal(kept[0], 0);
                for (int a = 0; a < parts - 1; a++) row[add[a].into] += row[add[a].from];
                const float right = total(shards, salt);
                assert_memory_equal(row, &right, sizeof right);
            }
}

/* The test could not fail if any order gave these bits. */
static void another_order_gives_other_bits(void **state)
{
    (void)state;
    int different = 0;
    for (int salt = 0; salt < 20; salt++) {
        float chain = 0;
        for (int i = 0; i < 12; i++) chain += term(i, salt);
        different += chain != total(12, salt);
    }
    assert_true(different > 5);
}

static void the_largest_tree_fits(void **state)
{
    (void)state;
    int start[TREE_DEPTH], level[TREE_DEPTH];
    const int n = sunup__subtrees(INT32_MAX, 1, INT32_MAX - 1, start, level);
    assert_in_range(n, 30, TREE_DEPTH);
    assert_int_equal(sunup__subtrees(INT32_MAX, 0, INT32_MAX, start, level), 1);
    assert_int_equal(level[0], 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_partition_the_shards),
        cmocka_unit_test(subtrees_partition_any_block),
        cmocka_unit_test(subtrees_are_maximal),
        cmocka_unit_test(any_split_gives_the_same_bits),
        cmocka_unit_test(another_order_gives_other_bits),
        cmocka_unit_test(the_largest_tree_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
