/* node.c - partial sums of all ranks into the total on every rank, where all ranks are on one node and see each
 * other's partial sums (shared.c).
 *
 * Each rank owns a slice of the elements. It reads the slice's partial sums where their owners wrote them, adds them
 * in the tree's order in its first cache, and writes the total over the first partial sum of every rank. Nobody else
 * reads or writes that slice of any row, so nothing is copied in or out and one meeting of the ranks, after it, is
 * enough: the meeting before it is the collective's own. Small sums do without the second: their terms are shown in
 * the first, and each rank adds all of them.
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
    char **part;        /* [parts] rows of all ranks, as mapped here */
    bool small;         /* the terms of every rank fit beside its card: */
    char **shown[2];    /* [parts] where they are at odd and at even meetings */
    int own_first, own; /* partial sums of this rank */
    char **total;       /* [ranks] the row of each that the total is written over */
    struct fold *fold;  /* [parts - 1] */
    char *room;         /* [threads][slots][PIECE] */
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

/* Rows [0, own) of rank r follow the parts of the ranks before it. */
static void add_rows(struct node_sum *s, int r, int own, char *rows, int64_t row_bytes)
{
    const int64_t bytes = s->sum.n * sunup__sum_element(&s->sum);
    if (r == s->comm->rank) {
        s->own_first = s->parts;
        s->own = own;
    }
    s->small = s->small && own * bytes <= SHOWN_BYTES;
    for (int i = 0; i < own; i++) {
        for (int side = 0; side < 2 && s->small; side++)
            s->shown[side][s->parts] = s->comm->records[r].shown[side] + i * bytes;
        s->part[s->parts++] = rows + i * row_bytes;
    }
    s->total[r] = rows;
}

static sunup_status lay_out(struct node_sum *s, const struct shared *rows, int64_t row_bytes)
{
    const int ranks = s->comm->ranks, shards = s->sum.shards;
    const size_t pointers = (size_t)shards * sizeof(char *); /* parts <= shards */
    struct subtree *node = sunup__alloc((size_t)shards * sizeof *node);
    struct addition *add = sunup__alloc((size_t)shards * sizeof *add);
    s->part = sunup__alloc(pointers);
    for (int side = 0; side < 2; side++) s->shown[side] = sunup__alloc(pointers);
    s->total = sunup__alloc((size_t)ranks * sizeof *s->total);
    s->fold = sunup__alloc((size_t)shards * sizeof *s->fold);
    s->small = true;
    const bool room = node && s->part && s->shown[0] && s->shown[1] && s->total && add && s->fold;
    for (int r = 0; room && r < ranks; r++) {
        int from, to, start[TREE_DEPTH], level[TREE_DEPTH];
        sunup__shards_of(shards, ranks, r, &from, &to);
        const int own = sunup__subtrees(shards, from, to, start, level);
        for (int i = 0; i < own; i++) node[s->parts + i] = (struct subtree){start[i], level[i]};
        add_rows(s, r, own, rows->block[r], row_bytes);
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
    sunup__free(x->shown[0]);
    sunup__free(x->shown[1]);
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

static char *term_at(const struct node_sum *s, struct term t, char *const *part, int64_t offset,
                     char *room)
{
    const int64_t slot_bytes = PIECE * sunup__sum_element(&s->sum);
    return t.slot >= 0 ? room + t.slot * slot_bytes : part[t.part] + offset;
}

/* total = the tree's sum of n elements of all parts. */
static void fold(const struct node_sum *s, char *const *part, int64_t offset, int64_t n, char *room,
                 char *total)
{
    const int last = s->parts - 2;
    for (int i = 0; i <= last; i++) {
        const struct fold *f = &s->fold[i];
        char *to = i == last ? total : term_at(s, (struct term){-1, f->slot}, part, offset, room);
        add(&s->sum, n, term_at(s, f->left, part, offset, room),
            term_at(s, f->right, part, offset, room), to);
    }
}

static void sum_piece(const struct node_sum *s, char *room, int64_t at, int64_t n)
{
    const int64_t offset = at * sunup__sum_element(&s->sum);
    const int me = s->comm->rank;
    char *total = s->total[me] + offset;
    fold(s, s->part, offset, n, room, total);
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

void sunup__node_sum_show(const struct node_sum *s)
{
    const int64_t bytes = s->sum.n * sunup__sum_element(&s->sum);
    char *const *to = s->shown[(s->comm->meetings + 1) % 2] + s->own_first;
    for (int i = 0; i < s->own && s->small; i++)
        memcpy(to[i], s->part[s->own_first + i], (size_t)bytes);
}

sunup_status sunup__node_sum_run(struct node_sum *s)
{
    if (s->small) {
        fold(s, s->shown[s->comm->meetings % 2], 0, s->sum.n, s->room, s->total[s->comm->rank]);
        return SUNUP_OK;
    }
    sunup__parallel(s->sum.threads, s->sum.threads, sum_share, s);
    return sunup__node_meet(s->comm);
}
