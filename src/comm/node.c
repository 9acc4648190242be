/* node.c - partial sums of a node's ranks into one row, or the fewest rows that the tree allows, where the ranks see
 * each other's partial sums (shared.c). If all ranks are on the node the one row is the total.
 *
 * Each rank adds up slices of its own: it reads their partial sums where their owners wrote them, adds them in the
 * tree's order in its first cache, and writes the sums into rows of its own. Nobody else reads or writes those slices
 * of any row, so nothing is copied in or out. Small sums on one node need not even that: their terms are shown in the
 * meeting that begins the collective, and each rank adds all of them.
 *
 * Owes: sums whose bits depend on the shards only. Slices and pieces decide where an element is added, never in which
 * order.
 *
 * Ceiling: reads of (parts / ranks) n elements and writes of n / ranks a rank, at the speed of memory or, up to some
 * MB, of the caches.
 */
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/checksum.h"
#include "comm/inside.h"

enum { PIECE = 2048 }; /* elements that are added at once */

/* One addition of the tree on a piece: left + right, each a partial sum (slot < 0) or a slot, into a row (row >= 0) or
 * a slot. */
struct term {
    int part, slot;
};
struct fold {
    struct term left, right;
    int row, slot;
};

struct node_sum {
    sunup_comm *comm;
    struct sum sum;
    int64_t row_bytes;
    int parts, rows, slots, folds;
    int most;           /* parts of a rank at most */
    struct origin {
        int rank, row;
    } *origin;          /* [parts] of the node's ranks */
    char **part;        /* [parts] partial sums of the node's ranks, as mapped here */
    char **row;         /* [rows] the node's sums */
    char *more;         /* those that do not fit into a row of this rank */
    bool small;         /* the terms of every rank fit beside its card: */
    char **shown[2];    /* [parts] read there at even and odd meetings; the own ones in their rows */
    int own_first, own; /* partial sums of this rank */
    struct fold *fold;  /* [folds] */
    char *room;         /* [threads][slots + 1][PIECE] */
    char **place;       /* [threads][parts] */
    struct listener listener;
};

/* Of a thread: the slots, and a piece for a second look. */
static int64_t room_bytes(const struct node_sum *s)
{
    return (s->slots + 1) * PIECE * sunup__sum_element(&s->sum);
}

/* --- create and destroy --- */

/* Partial sums [0, own) of the node's rank i follow those of the ranks before it. */
static void add_parts(struct node_sum *s, int i, int own, char *first)
{
    const int64_t bytes = s->sum.n * sunup__sum_element(&s->sum);
    if (i == s->comm->node_rank) {
        s->own_first = s->parts;
        s->own = own;
    }
    s->small = s->small && own * bytes <= SHOWN_BYTES;
    s->most = own > s->most ? own : s->most;
    for (int p = 0; p < own; p++) {
        char *part = first + p * s->row_bytes;
        s->origin[s->parts] = (struct origin){i, p};
        for (int side = 0; side < 2 && s->small; side++)
            s->shown[side][s->parts] =
                i == s->comm->node_rank
                    ? part
                    : sunup__sign(s->comm, i, (uint64_t)side)->shown + p * bytes;
        s->part[s->parts++] = part;
    }
}

/* What becomes of each part: whether its sum is added to another's, the last addition into it (-1: none), and, while
 * folds are laid out, the slot of its sum so far. */
struct fate {
    bool ends;
    int last, slot, row;
};

/* A sum may overwrite a row of this rank only if that row is one of its terms; else it gets one of its own. */
static sunup_status lay_out_rows(struct node_sum *s, struct fate *fate)
{
    int more = 0, own = 0;
    for (int p = 0; p <= s->own_first; p++)
        if (!fate[p].ends) own = p;
    for (int p = 0; p < s->parts; p++) more += !fate[p].ends && fate[p].last >= 0 && p != own;
    const int64_t last = more > 0 ? s->sum.n * sunup__sum_element(&s->sum) : 0;
    s->more = sunup__alloc_aligned((size_t)(more * s->row_bytes + last));
    if (s->more == NULL) return SUNUP_E_MEMORY;
    for (int p = 0, used = 0; p < s->parts; p++) {
        if (fate[p].ends) continue;
        fate[p].row = s->rows;
        char **row = &s->row[s->rows++];
        if (fate[p].last < 0)
            *row = s->part[p];
        else
            *row = p == own ? s->part[s->own_first] : s->more + used++ * s->row_bytes;
    }
    return SUNUP_OK;
}

/* Slots are a stack, since the tree merges neighbours. */
static void lay_out_folds(struct node_sum *s, const struct addition *add, struct fate *fate)
{
    int used = 0;
    for (int i = 0; i < s->folds; i++) {
        struct fate *into = &fate[add[i].into], *from = &fate[add[i].from];
        struct fold *f = &s->fold[i];
        *f = (struct fold){{add[i].into, into->slot}, {add[i].from, from->slot}, -1, -1};
        used -= from->slot >= 0;
        if (!into->ends && into->last == i) {
            used -= into->slot >= 0;
            f->row = into->row;
            continue;
        }
        if (into->slot < 0) into->slot = used++;
        f->slot = into->slot;
        s->slots = used > s->slots ? used : s->slots;
    }
}

static sunup_status lay_out_sums(struct node_sum *s, const struct addition *add)
{
    struct fate *fate = sunup__alloc((size_t)s->parts * sizeof *fate);
    if (fate == NULL) return SUNUP_E_MEMORY;
    for (int p = 0; p < s->parts; p++) fate[p] = (struct fate){false, -1, -1, -1};
    for (int i = 0; i < s->folds; i++) {
        fate[add[i].into].last = i;
        fate[add[i].from].ends = true;
    }
    const sunup_status status = lay_out_rows(s, fate);
    if (status == SUNUP_OK) lay_out_folds(s, add, fate);
    sunup__free(fate);
    return status;
}

static sunup_status lay_out(struct node_sum *s, const struct shared *rows)
{
    const sunup_comm *comm = s->comm;
    const int shards = s->sum.shards;
    const size_t pointers = (size_t)shards * sizeof(char *); /* parts <= shards */
    struct subtree *node = sunup__alloc((size_t)shards * sizeof *node);
    struct addition *add = sunup__alloc((size_t)shards * sizeof *add);
    s->part = sunup__alloc(pointers);
    s->row = sunup__alloc(pointers);
    s->place = sunup__alloc((size_t)s->sum.threads * pointers);
    s->origin = sunup__alloc((size_t)shards * sizeof *s->origin);
    for (int side = 0; side < 2; side++) s->shown[side] = sunup__alloc(pointers);
    s->fold = sunup__alloc((size_t)shards * sizeof *s->fold);
    s->small = sunup__one_node(comm);
    const bool tables = s->part && s->row && s->place && s->origin && s->shown[0] && s->shown[1] && s->fold;
    const bool room = tables && node && add;
    for (int i = 0; room && i < comm->node_ranks; i++) {
        int from, to, start[TREE_DEPTH], level[TREE_DEPTH];
        sunup__shards_of(shards, comm->ranks, sunup__node_peer(comm, i), &from, &to);
        const int own = sunup__subtrees(shards, from, to, start, level);
        for (int p = 0; p < own; p++) node[s->parts + p] = (struct subtree){start[p], level[p]};
        add_parts(s, i, own, rows->block[i]);
    }
    int kept[TREE_DEPTH];
    if (room) s->folds = s->parts - sunup__tree_merge(shards, s->parts, node, add, kept);
    const sunup_status status = room ? lay_out_sums(s, add) : SUNUP_E_MEMORY;
    sunup__free(node);
    sunup__free(add);
    return status;
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
        s->row_bytes = row_bytes;
        s->listener.cuts = (struct cuts){sunup__cut_at_line, NULL};
        status = lay_out(s, rows);
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
    sunup__free(x->row);
    sunup__free(x->more);
    sunup__free(x->shown[0]);
    sunup__free(x->shown[1]);
    sunup__free(x->fold);
    sunup__free(x->room);
    sunup__free(x->place);
    sunup__free(x->origin);
    sunup__free(x);
}

int sunup__node_sum_rows(const struct node_sum *s, char *const **row)
{
    *row = s->row;
    return s->rows;
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

void sunup__give(const struct sum *s, int64_t n, const char *from, char *to)
{
    if (s->f64)
        s->k->f64.stream_rows(1, n, (const double *)(const void *)from, n, (double *)(void *)to, n);
    else
        s->k->f32.stream_rows(1, n, (const float *)(const void *)from, n, (float *)(void *)to, n);
}

static const char *term_at(const struct node_sum *s, struct term t, char *const *part,
                           int64_t offset, const char *room)
{
    const int64_t slot_bytes = PIECE * sunup__sum_element(&s->sum);
    return t.slot >= 0 ? room + t.slot * slot_bytes : part[t.part] + offset;
}

/* The sums of n elements of all parts into their rows, or (to not NULL) the only one into `to`. */
static void fold(const struct node_sum *s, char *const *part, struct slice piece, char *room, char *to)
{
    const int64_t element = sunup__sum_element(&s->sum), offset = piece.at * element;
    for (int i = 0; i < s->folds; i++) {
        const struct fold *f = &s->fold[i];
        char *sum = room + f->slot * PIECE * element;
        if (f->row >= 0) sum = to != NULL ? to : s->row[f->row] + offset;
        add(&s->sum, piece.n, term_at(s, f->left, part, offset, room),
            term_at(s, f->right, part, offset, room), sum);
        sunup__bf16_round(&s->sum, piece, sum);
    }
}

static void sum_piece(const struct node_sum *s, int thread, struct slice piece)
{
    fold(s, s->part, piece, s->room + thread * room_bytes(s), NULL);
    if (s->listener.hear != NULL) s->listener.hear(s->listener.arg, piece);
}

struct work {
    const struct node_sum *s;
    struct slice mine;
};

/* Thread i's part of the slice, piece by piece; both end where slices may. */
static void sum_part(void *arg, int64_t i)
{
    const struct work *w = arg;
    const struct cuts *cuts = &w->s->listener.cuts;
    const struct slice part = sunup__part(cuts, w->mine, i, w->s->sum.threads);
    for (int64_t at = part.at, end = part.at + part.n; at < end;) {
        const int64_t next = at + PIECE < end ? cuts->at(cuts->arg, at + PIECE) : end;
        const int64_t n = next > at ? next - at : least(PIECE, end - at);
        sum_piece(w->s, (int)i, (struct slice){at, n});
        at += n;
    }
}

void sunup__node_sum_run(struct node_sum *s, struct slice mine)
{
    struct work w = {s, mine};
    if (s->folds > 0 && mine.n > 0) sunup__parallel(s->sum.threads, s->sum.threads, sum_part, &w);
}

void sunup__node_sum_listen(struct node_sum *s, const struct listener *l)
{
    s->listener = *l;
}

/* --- partial sums that lie elsewhere --- */

int sunup__node_sum_most(const struct node_sum *s)
{
    return s->most;
}

void sunup__node_sum_of(const struct node_sum *s, int thread, const struct places *p, int64_t n, char *to)
{
    const int64_t element = sunup__sum_element(&s->sum);
    char **part = s->place + thread * s->sum.shards;
    for (int i = 0; i < s->parts; i++) /* they are only read */
        part[i] = (char *)(uintptr_t)p->at(p->arg, s->origin[i].rank, s->origin[i].row);
    for (int64_t at = 0; at < n; at += PIECE)
        fold(s, part, (struct slice){at, least(PIECE, n - at)}, s->room + thread * room_bytes(s), to + at * element);
}

/* --- a second look --- */

static uint64_t piece_sum(const struct node_sum *s, struct slice piece, const char *x)
{
    return sunup__checksum(x, piece.n * sunup__sum_element(&s->sum)) * (2 * (uint64_t)piece.at + 1);
}

uint64_t sunup__node_sum_verify(const struct node_sum *s, struct slice slice, const char *total)
{
    const int64_t element = sunup__sum_element(&s->sum);
    char *scratch = s->room + s->slots * PIECE * element;
    uint64_t sum = 0;
    for (int64_t at = slice.at, end = slice.at + slice.n; at < end; at += PIECE) {
        const struct slice piece = {at, least(PIECE, end - at)};
        if (total == NULL) fold(s, s->part, piece, s->room, scratch);
        sum += piece_sum(s, piece, total != NULL ? total + at * element : scratch);
    }
    return sum;
}

/* --- small sums --- */

bool sunup__node_sum_is_small(const struct node_sum *s)
{
    return s->small;
}

void sunup__node_sum_show(const struct node_sum *s)
{
    const int64_t bytes = s->sum.n * sunup__sum_element(&s->sum);
    char *to = sunup__sign(s->comm, s->comm->node_rank, s->comm->meetings + 1)->shown;
    s->comm->shown = s->own * bytes;
    for (int i = 0; i < s->own; i++)
        memcpy(to + i * bytes, s->part[s->own_first + i], (size_t)bytes);
}

void sunup__node_sum_small(const struct node_sum *s)
{
    fold(s, s->shown[s->comm->meetings % 2], (struct slice){0, s->sum.n}, s->room, NULL);
}
