/* inside.h - what the files of split share: split.c (the pass, sources), rules.c (ops by rows),
 * windows.c (ops that read neighbours), sums.c (ops that read everything).
 */
#ifndef SUNUP_GRAPH_SPLIT_INSIDE_H
#define SUNUP_GRAPH_SPLIT_INSIDE_H

#include "graph/split/split.h"

/* What became of a value: of[own] copies, or slabs with rows [cut[s], cut[s + 1]) of an axis. */
struct slabs {
    const int64_t *cut; /* [parts + 1]; NULL: whole */
    sunup_value **of;   /* [own]; NULL: not there (yet) */
    int axis;
};

struct split {
    sunup_graph *whole, *graph;
    const struct parts *parts; /* in the graph's arena */
    int axis;                  /* of the inputs that are cut; 0: their samples */
    sunup_shape volume;        /* of the first input that is cut; axis 0: the batch */
    int64_t align;             /* rows that strides make one of */
    struct slabs *slabs;       /* [values of whole] */
};

typedef void (*split_rule)(struct split *s, const struct node *n);
/* NULL: there is no such op in split graphs. */
split_rule sunup__split_rule(const struct op *op);
void sunup__split_conv(struct split *s, const struct node *n);
void sunup__split_conv_transpose(struct split *s, const struct node *n);
void sunup__split_pool(struct split *s, const struct node *n);
void sunup__split_upsample(struct split *s, const struct node *n);
void sunup__split_sum(struct split *s, const struct node *n);
void sunup__split_norm(struct split *s, const struct node *n); /* batch norm, group norm */
void sunup__split_cross_entropy(struct split *s, const struct node *n);

static inline struct slabs *slabs_of(const struct split *s, const sunup_value *v)
{
    return &s->slabs[v->id];
}
static inline bool is_cut(const struct split *s, const sunup_value *v)
{
    return v != NULL && slabs_of(s, v)->cut != NULL;
}
/* Own slab i of v; NULL for NULL. */
static inline sunup_value *slab_of(const struct split *s, const sunup_value *v, int i)
{
    return v == NULL ? NULL : slabs_of(s, v)->of[i];
}
/* Rows of own slab i. */
static inline int64_t rows_of(const struct split *s, const int64_t *cut, int i)
{
    const int slab = s->parts->first + i;
    return cut[slab + 1] - cut[slab];
}
/* Room for n pointers or numbers in the graph's arena; NULL: recorded as a mistake. */
void *sunup__split_room(struct split *s, int64_t n, size_t width);
/* of[own] for value v, cut along axis or (cut NULL) whole, still empty; NULL: no memory. */
sunup_value **sunup__split_begin(struct split *s, const sunup_value *v, const int64_t *cut,
                                 int axis);
/* "conv 'c1' ...": a mistake; n's values are poison. */
void sunup__split_refuse(struct split *s, const struct node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Own slabs of v with other cuts (in the graph's arena), [own] out. */
void sunup__split_recut(struct split *s, const sunup_value *v, const int64_t *cut,
                        sunup_value **out);
/* n's op with this attribute on own slab i of its operands, in order. */
sunup_value *sunup__split_remake(struct split *s, const struct node *n, const void *attr,
                                 sunup_value *const *in);

#endif
