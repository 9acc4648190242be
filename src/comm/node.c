/* node.c - partial sums of all ranks into the total on every rank, where all ranks are on one node and see each
 * other's partial sums (shared.c).
 *
 * Each rank owns a slice of the elements. It reads the slice's partial sums where their owners wrote them, adds them
 * in the tree's order in its first cache, and writes the total over the first partial sum of every rank. Nobody else
 * reads or writes that slice of any row, so nothing is copied in or out and one meeting of the ranks, after it, is
 * enough: the meeting before it is the collective's own.
 *
 * Owes: totals whose bits depend on the shards only, those of buckets.c. Slices and pieces decide where an element is
 * added, never in which order.
 *
 * Ceiling: a rank reads (parts / ranks) n elements and writes n, at the speed of memory or, up to some MB, of the
 * caches. Writes to others go past the caches: a line that another core has read takes ten times as long to be written
 * in the usual way where cores do not share a cache, and its owner reads it from memory next either way.
 */
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"

enum {
    PIECE = 2048, /* elements that are added at once */
    LINE = 16     /* slices end on cache lines */
};

/* One addition of the tree on a piece: slot = left + right, each a partial sum (part >= 0) or a slot. */
struct term {
    int part, slot;
};
struct fold {
    struct term left, right;
    int slot;
};

struct node_sum {
    sunup_comm *comm;
    struct sum sum;
    int parts, slots;
    char **part;       /* [parts] rows of all ranks, as mapped here */
    char **total;      /* [ranks] the row of each that the total is written over */
    struct fold *fold; /* [parts - 1] */
    char *room;        /* [threads][slots][PIECE] */
};

static int64_t room_bytes(const struct node_sum *s)
{
    return s->slots * PIECE * sunup__sum_element(&s->sum);
}

/* Which slot each addition leaves its sum in: a stack, since the tree merges neighbours. */
static bool lay_out_folds(struct node_sum *s, const struct addition *add)
{
    int *slot_of = sunup__alloc((size_t)s->parts * sizeof *slot_of), used = 0;
    if (slot_of == NULL) return false;
    for (int i = 0; i < s->parts; i++) slot_of[i] = -1;
    for (int i = 0; i < s->parts - 1; i++) {
        const int into = add[i].into, from = add[i].from;
        struct fold *f = &s->fold[i];
        f->left = (struct term){into, slot_of[into]};
        f->right = (struct term){from, slot_of[from]};
        if (slot_of[from] >= 0) used--; /* the topmost slot: it is free again */
        if (slot_of[into] < 0) slot_of[into] = used++;
        f->slot = slot_of[into];
        if (used > s->slots) s->slots = used;
    }
    sunup__free(slot_of);
    return true;
}

static sunup_status lay_out(struct node_sum *s, const struct shared *rows, int64_t row_bytes)
{
    const int ranks = s->comm->ranks, shards = s->sum.shards;
    struct subtree *node = sunup__alloc((size_t)shards * sizeof *node); /* parts <= shards */
    s->part = sunup__alloc((size_t)shards * sizeof *s->part);
    s->total = sunup__alloc((size_t)ranks * sizeof *s->total);
    struct addition *add = sunup__alloc((size_t)shards * sizeof *add);
    s->fold = sunup__alloc((size_t)shards * sizeof *s->fold);
    const bool room = node && s->part && s->total && add && s->fold;
    for (int r = 0; room && r < ranks; r++) {
        int from, to, start[TREE_DEPTH], level[TREE_DEPTH];
        sunup__shards_of(shards, ranks, r, &from, &to);
        const int own = sunup__subtrees(shards, from, to, start, level);
        for (int i = 0; i < own; i++) {
            node[s->parts] = (struct subtree){start[i], level[i]};
            s->part[s->parts++] = rows->block[r] + i * row_bytes;
        }
        s->total[r] = rows->block[r];
    }
    if (room) sunup__tree_additions(shards, s->parts, node, add);
    const bool laid = room && lay_out_folds(s, add);
    sunup__free(node);
    sunup__free(add);
    return laid ? SUNUP_OK : SUNUP_E_MEMORY;
}

sunup_status sunup__node_sum_create(sunup_comm *comm, const struct sum *sum,
                                    const struct shared *rows, int64_t row_bytes,
                                    struct node_sum **out)
{
    struct node_sum *s = *out = sunup__alloc(sizeof *s);
    sunup_status status = SUNUP_E_MEMORY;
    if (s != NULL) {
        s->comm = comm;
        s->sum = *sum;
        status = lay_out(s, rows, row_bytes);
    }
    if (status == SUNUP_OK) {
        s->room = sunup__alloc_aligned((size_t)(sum->threads * room_bytes(s)));
        if (s->room != NULL) return SUNUP_OK;
    }
    sunup__node_sum_destroy(out);
    RAISE(comm->ctx, E_MEMORY, "no memory for a sum over %d shards on %d ranks", sum->shards,
          comm->ranks);
}

void sunup__node_sum_destroy(struct node_sum **s)
{
    struct node_sum *x = *s;
    *s = NULL;
    if (x == NULL) return;
    sunup__free(x->part);
    sunup__free(x->total);
    sunup__free(x->fold);
    sunup__free(x->room);
    sunup__free(x);
}

/* --- a sum --- */

/* to = left + right, n elements. */
static void add(const struct sum *s, int64_t n, const char *left, const char *right, char *to)
{
    if (s->f64)
        s->k->f64.pointwise(PW_add, n, (double *)(void *)to, (const double *)(const void *)left,
                            (const double *)(const void *)right, NULL, NULL);
    else
        s->k->f32.pointwise(PW_add, n, (float *)(void *)to, (const float *)(const void *)left,
                            (const float *)(const void *)right, NULL, NULL);
}

/* Past the caches to memory that another rank reads next. */
static void give(const struct sum *s, int64_t n, const char *from, char *to)
{
    if (s->f64)
        s->k->f64.stream_rows(1, n, (const double *)(const void *)from, n, (double *)(void *)to, n);
    else
        s->k->f32.stream_rows(1, n, (const float *)(const void *)from, n, (float *)(void *)to, n);
}

static char *term_at(const struct node_sum *s, struct term t, char *room, int64_t offset)
{
    return t.slot >= 0 ? room + t.slot * PIECE * sunup__sum_element(&s->sum)
                       : s->part[t.part] + offset;
}

static void sum_piece(const struct node_sum *s, char *room, int64_t at, int64_t n)
{
    const int64_t offset = at * sunup__sum_element(&s->sum);
    const int me = s->comm->rank, last = s->parts - 2;
    char *total = s->total[me] + offset;
    for (int i = 0; i <= last; i++) {
        const struct fold *f = &s->fold[i];
        char *to = i == last ? total : term_at(s, (struct term){-1, f->slot}, room, offset);
        add(&s->sum, n, term_at(s, f->left, room, offset), term_at(s, f->right, room, offset), to);
    }
    for (int step = 1; step < s->comm->ranks; step++) {
        const int peer = (me + step) % s->comm->ranks; /* not all to one at once */
        give(&s->sum, n, total, s->total[peer] + offset);
    }
}

/* Thread i's share of the own slice. */
static void sum_share(void *arg, int64_t i)
{
    const struct node_sum *s = arg;
    const int64_t shares = (int64_t)s->comm->ranks * s->sum.threads,
                  share = (int64_t)s->comm->rank * s->sum.threads + i;
    const int64_t lines = ceil_div(s->sum.n, LINE),
                  end = least(s->sum.n, lines * (share + 1) / shares * LINE);
    for (int64_t at = lines * share / shares * LINE; at < end; at += PIECE)
        sum_piece(s, s->room + i * room_bytes(s), at, least(PIECE, end - at));
}

sunup_status sunup__node_sum_run(struct node_sum *s)
{
    sunup__parallel(s->sum.threads, s->sum.threads, sum_share, s);
    return sunup__node_meet(s->comm);
}
