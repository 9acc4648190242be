/* channel_pass.h - what the passes of channel_norm.c and channel_norm_grad.c share: x
 * [samples][rows][c] cut into pieces of rows, and vectors of channels.
 *
 * The pieces follow from the shape alone; what they sum is added in their order, in f64.
 */
#ifndef SUNUP_GRAPH_CHANNEL_PASS_H
#define SUNUP_GRAPH_CHANNEL_PASS_H

#include "graph/ops/channel_norm.h"
#include "graph/ops/op.h"

struct pass {
    const struct exec *e;
    const struct channel_norm_attr *a;
    sunup_dtype dtype;
    struct pieces pieces; /* of the rows of a sample                      */
    struct pieces slices; /* of the groups of a sample: about 64 channels */
    int64_t from, round;  /* the sample where a round begins; samples of a round, all at first: no bit depends on it */
    int64_t used;         /* bytes of the workspace                       */
};

struct pass sunup__channel_pass(const struct exec *e, const struct channel_norm_attr *a,
                                sunup_dtype dtype);
/* The next n numbers of the workspace. */
void *sunup__channel_room(struct pass *p, int64_t n, sunup_dtype dtype);

/* Piece i of all samples' pieces: its sample, first element in x, and rows. */
struct span {
    int64_t sample, first, rows;
};
static inline struct span span_of(const struct pass *p, int64_t i)
{
    const int64_t s = i / p->pieces.count, k = i % p->pieces.count;
    return (struct span){s, (s * p->a->rows + piece_from(&p->pieces, k)) * p->a->c,
                         piece_length(&p->pieces, k)};
}

/* Slice i of all samples' slices: groups [from, to), counted over all samples. */
struct slice {
    int64_t sample, from, to;
};
static inline struct slice slice_of(const struct pass *p, int64_t i)
{
    const int64_t s = i / p->slices.count, k = i % p->slices.count;
    const int64_t from = s * p->a->groups + piece_from(&p->slices, k);
    return (struct slice){s, from, from + piece_length(&p->slices, k)};
}
/* Channels of a group, and numbers that share one mean. */
static inline int64_t group_width(const struct channel_norm_attr *a)
{
    return a->c / a->groups;
}
static inline double group_size(const struct channel_norm_attr *a)
{
    return (double)a->rows * (double)group_width(a);
}

/* to[n] = parts [samples * pieces][c] at piece i and channel `from`. */
void sunup__channel_part(const struct pass *p, const void *parts, int64_t i, int64_t from,
                         int64_t n, double *to);
/* A result like x is too large to be found in a cache by who reads it. */
bool sunup__channel_streams(const struct pass *p);
/* Tasks for each piece, and for each slice, of the samples of a round; back: what was read last is first. */
void sunup__for_pieces(const struct pass *p, parallel_fn task, void *arg);
void sunup__for_pieces_back(const struct pass *p, parallel_fn task, void *arg);
void sunup__for_slices(const struct pass *p, parallel_fn task, void *arg);

/* Channels at a time where parts are added up. */
enum { CHANNEL_TILE = 64 };

#endif
