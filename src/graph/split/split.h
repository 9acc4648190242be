/* split.h - a network's graph rewritten for slabs of its space or of its samples: every op once for each own slab.
 *
 * One space axis of the volumes, or the batch, is cut into parts. Each own slab has a program of its own, that of
 * the whole graph with shorter axes; programs meet in margins and combine only (ops/parts.h). A
 * value is either cut (each slab has its rows) or whole (each slab has a copy: weights, and what
 * has been summed over all slabs).
 *
 *   pointwise, softmax, linear ...   slab by slab
 *   permute, reshape                 slab by slab; the axis that is cut moves
 *   conv, conv_transpose, pooling    by samples, or in space on windows: the slab with the rows it
 *                                    needs of others; padding is left at the ends of the axis only
 *   sum, mean, cross-entropy         a term of each slab, combined
 *   batch norm, group norm           moments of each slab, combined in f64, then pointwise
 *
 * Weights reach the slabs through a binary tree of views, so that the gradients of slabs are added
 * along that tree: parts are a power of two, and so a rank's own slabs are a subtree.
 *
 * So the numbers of a slab depend on the number of parts alone, never on who holds which slab.
 */
#ifndef SUNUP_GRAPH_SPLIT_H
#define SUNUP_GRAPH_SPLIT_H

#include "graph/ops/parts.h"

struct split_options {
    struct parts parts;
    char axis; /* 'N', 'D', 'H' or 'W'; 0: the first of space that the volume has */
};

struct split;
/* whole must be finished and outlive *split, which lies in (*split)'s graph. */
sunup_status sunup__split_create(sunup_graph *whole, const struct split_options *o,
                                 struct split **split);
void sunup__split_destroy(struct split **split);
sunup_graph *sunup__split_graph(const struct split *s);
/* The part of a whole value (loss, average) that falls to the own slabs: parts of all processes add
 * up to it, exactly; the gradient of a loss begins here. */
sunup_value *sunup__split_share(const struct split *s, const sunup_value *v);
/* The own rows of a value, slab behind slab; a whole value as it is. */
sunup_value *sunup__split_own(const struct split *s, const sunup_value *v);
bool sunup__split_is_cut(const struct split *s, const sunup_value *v);

#endif
