/* parts.h - values that are cut into slabs along one axis, of which a process may hold only some.
 *
 *   margins       in: x of each own slab          out: rows before and behind each, two a slab
 *   margins_grad  in: gradients of those          out: what they give each own slab
 *   extend        in: before, x, behind           out: the rows one after the other
 *   combine       in: a term of each own slab     out: for each own slab the sum over ALL slabs
 *   moments       in: x [.., C]                   out: mean and biased variance of channels
 *
 * A process holds `own` neighbouring slabs from `first` on; own divides the number of slabs. Where
 * it does not hold all, margins and combine turn to the link: what was written to its room becomes
 * readable for the other processes, which all call the same turns in the same order. Results do not
 * depend on who holds what: rows are copies, and sums are added in the order of the slabs. combine
 * is its own adjoint, since each slab uses a sum of its own.
 */
#ifndef SUNUP_GRAPH_PARTS_H
#define SUNUP_GRAPH_PARTS_H

#include "graph/graph.h"

/* Bytes that travel: from `at` in the room of the process that gives them. */
struct parcel {
    int peer; /* process number: slab / own                          */
    int64_t at, bytes;
    const char *data; /* take: where they can be read after the turn */
};
struct turn {
    const char *site;
    int64_t bytes; /* that this process writes to its room */
    int n_give, n_take;
    const struct parcel *give;
    struct parcel *take;
};
struct parts_link {
    void *arg;
    char *(*room)(void *arg);
    /* take[..].data stays valid until room is asked for again. */
    sunup_status (*turn)(void *arg, struct turn *t);
};
struct parts {
    int n, first, own;
    const struct parts_link *link; /* NULL: all slabs are own */
};

/* Slab s of x has rows [cut[s], cut[s + 1]) of the axis; its window is [from[s], to[s]), which may
 * reach over any number of neighbours, or be smaller than the slab. */
struct windows {
    const int64_t *cut, *from, *to;
};
/* window[i]: the rows of own slab i's window. All arrays are copied. */
void sunup__windows(const struct parts *parts, int axis, struct windows w, sunup_value *const *x,
                    sunup_value **window);
/* y[i] = the sum over all slabs of x; all of one shape. */
void sunup__combine(const struct parts *parts, sunup_value *const *x, sunup_value **y);
/* The mean, and by sunup__output 1 the variance, of x's slab alone: [C], or of so many groups of channels of
 * each sample [N, groups]. */
sunup_value *sunup__moments(sunup_value *x, int64_t groups);
/* Such a statistic as a number for each channel of x: it broadcasts to x. */
sunup_value *sunup__by_channel(sunup_value *statistic, const sunup_shape *x);
/* Bytes, and parcels of both ways, that one turn of this graph moves at most. */
struct parts_needs {
    int64_t give, take;
    int parcels;
};
struct parts_needs sunup__parts_needs(const sunup_graph *g);
/* What this process gives to others in one run of the graph, in bytes. */
int64_t sunup__parts_sent(const sunup_graph *g);

/* --- what margins.c and combine.c share --- */
enum { PARTS_SITE = 96 };
/* A turn with its lists. */
struct delivery {
    struct turn turn;
    struct parcel *give, *take;
    char site[PARTS_SITE];
};
bool sunup__slab_is_own(const struct parts *p, int slab);
/* dx = the outputs of a node of op on the gradients of all outputs of n, zeros for those absent. */
void sunup__give_back(struct node *n, const struct op *op, const void *attr, sunup_value *const *dy,
                      sunup_value **dx);

#endif
