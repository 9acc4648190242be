/* sum_shared.c - sums of the callers' own buffers over the ranks of one node, in pieces through each rank's block of
 * the node's pool (pool.h).
 *
 * Rank r adds up part r. A piece is some elements of every part, and half of the block has room for one:
 *
 *     write   the elements of the others' parts, of all own rows, into the own block
 *     add     the own part's elements: own rows where they are, those of others in their blocks. The sum goes to its
 *             place, and (all) into the own block
 *     take    (all) the other parts' sums from their owners' blocks
 *
 * Between two meetings a rank adds piece i, writes i + 1 and takes i - 1, so a piece costs one meeting, and what
 * cores write for each other stays in their caches. A few bytes are shown beside the card instead, and each rank
 * adds up all it wants.
 *
 * Owes: the tree's bits (node.c adds), or exact sums. Cost a rank: of n elements of k rows, (ranks - 1) / ranks k n
 * written and as many read, n / ranks added, and (all) n / ranks written, (ranks - 1) / ranks n read.
 */
#include "base/integers.h"
#include "base/system.h"
#include "comm/pool.h"

enum { LINE = 16 };

struct pass {
    sunup_comm *comm;
    const struct addends *a;
    int64_t element, each, pieces; /* bytes; elements of a part in a piece; pieces */
    int most_rows;                 /* of a rank */
    bool small;                    /* shown beside the card */
    int64_t piece, tasks;          /* the one that is added now, and how many share the work */
};

/* --- who has what where --- */

/* The tree of the last number of shards is kept. */
static sunup_status find_tree(sunup_comm *comm, const struct sum *s)
{
    if (comm->tree != NULL && comm->tree_shards == s->shards) return SUNUP_OK;
    sunup__node_sum_destroy(&comm->tree);
    comm->tree_shards = s->shards;
    return sunup__node_sum_create(comm, s, &comm->pool, 0, &comm->tree);
}

static struct pass pass_of(sunup_comm *comm, const struct addends *a)
{
    struct pass p = {.comm = comm, .a = a, .element = sunup__sum_element(&a->sum)};
    p.most_rows = a->sum.of == OF_REALS ? sunup__node_sum_most(comm->tree) : 1;
    p.small = pool_is_small(p.most_rows * a->range.n * p.element);
    const int64_t room = POOL_PIECE / p.element / (p.most_rows * comm->ranks + 1);
    p.each = room > LINE ? room / LINE * LINE : most(1, room);
    p.pieces = ceil_div(ceil_div(a->range.n, comm->ranks), p.each);
    p.tasks = least(a->sum.threads, 1 + least(p.each, a->range.n / comm->ranks) / SUM_CHUNK);
    return p;
}

/* What of rank's part is in a piece, and of that what is task's. */
static struct slice share_of(const struct pass *p, int rank, int64_t piece, int64_t task)
{
    const struct cuts anywhere = {NULL, NULL};
    const struct slice part = sunup__own_part(p->a, rank, p->comm->ranks);
    const int64_t at = least(piece * p->each, part.n);
    const struct slice all = {part.at + at, least(p->each, part.n - at)};
    return sunup__part(&anywhere, all, task, p->tasks);
}

/* Of a piece in the block of `from`: elements `s` of row `row` (most_rows: of sums) that rank `to` reads. */
static char *place(const struct pass *p, int from, int64_t piece, int row, int to, struct slice s)
{
    const uint64_t half = (p->comm->turn + (uint64_t)piece) % 2;
    const int64_t part_at = sunup__own_part(p->a, row == p->most_rows ? from : to, p->comm->ranks).at;
    const int64_t block = row == p->most_rows ? (int64_t)row * p->comm->ranks : (int64_t)row * p->comm->ranks + to;
    return p->comm->pool.block[from] + (int64_t)half * POOL_PIECE +
           (block * p->each + s.at - part_at - piece * p->each) * p->element;
}

/* --- additions --- */

/* What an addition reads: elements from `s` on. */
struct reading {
    const struct pass *p;
    struct slice s;
};

static const char *shown_at(const struct pass *p, int rank, int row)
{
    const char *shown = sunup__sign(p->comm, rank, p->comm->meetings)->shown;
    return shown + row * p->a->range.n * p->element;
}

static const char *row_at(const void *arg, int rank, int row)
{
    const struct reading *r = arg;
    const struct pass *p = r->p;
    if (rank == p->comm->rank) return p->a->row[row] + r->s.at * p->element;
    if (p->small) return shown_at(p, rank, row) + (r->s.at - p->a->range.at) * p->element;
    return place(p, rank, p->piece, row, p->comm->rank, r->s);
}

static void add_exact(const struct reading *r, char *to)
{
    const struct pass *p = r->p;
    const struct sum *sum = &p->a->sum;
    for (int64_t at = 0; at < r->s.n; at += SUM_CHUNK) {
        const struct reading chunk = {p, {r->s.at + at, least(SUM_CHUNK, r->s.n - at)}};
        char *sums = to + at * p->element;
        sunup__sum_copy(sum, chunk.s.n, row_at(&chunk, p->comm->rank, 0), sums);
        for (int rank = 0; rank < p->comm->ranks; rank++)
            if (rank != p->comm->rank) sunup__sum_add(sum, chunk.s.n, row_at(&chunk, rank, 0), sums);
    }
}

/* The sum of elements s of all rows, to its place. */
static char *add_up(const struct pass *p, int64_t task, struct slice s)
{
    const struct reading r = {p, s};
    const struct slice own = sunup__own_part(p->a, p->comm->rank, p->comm->ranks);
    char *to = p->a->to + (s.at - (p->a->all ? p->a->range.at : own.at)) * p->element;
    if (s.n > 0 && p->a->sum.of == OF_REALS)
        sunup__node_sum_of(p->comm->tree, (int)task, &(struct places){row_at, &r}, s.n, to);
    else if (s.n > 0)
        add_exact(&r, to);
    return to;
}

/* --- a piece --- */

static void write_piece(const struct pass *p, int64_t piece, int64_t task)
{
    const int ranks = p->comm->ranks, me = p->comm->rank;
    for (int row = 0; row < p->a->rows; row++)
        for (int step = 1; step < ranks; step++) {
            const int rank = (me + step) % ranks;
            const struct slice s = share_of(p, rank, piece, task);
            memcpy(place(p, me, piece, row, rank, s), p->a->row[row] + s.at * p->element,
                   (size_t)(s.n * p->element));
        }
}

static void add_piece(const struct pass *p, int64_t task)
{
    const int me = p->comm->rank;
    const struct slice s = share_of(p, me, p->piece, task);
    const char *sums = add_up(p, task, s);
    if (p->a->all) memcpy(place(p, me, p->piece, p->most_rows, me, s), sums, (size_t)(s.n * p->element));
}

static void take_piece(const struct pass *p, int64_t piece, int64_t task)
{
    const int ranks = p->comm->ranks;
    for (int step = 1; step < ranks; step++) {
        const int rank = (p->comm->rank + step) % ranks; /* not all from one at once */
        const struct slice s = share_of(p, rank, piece, task);
        memcpy(p->a->to + (s.at - p->a->range.at) * p->element, place(p, rank, piece, p->most_rows, rank, s),
               (size_t)(s.n * p->element));
    }
}

static void first_task(void *arg, int64_t task)
{
    write_piece(arg, 0, task);
}

static void round_task(void *arg, int64_t task)
{
    const struct pass *p = arg;
    if (p->piece < p->pieces) add_piece(p, task);
    if (p->piece + 1 < p->pieces) write_piece(p, p->piece + 1, task);
    if (p->a->all && p->piece > 0) take_piece(p, p->piece - 1, task);
}

/* --- the sum --- */

static void show_rows(const struct pass *p)
{
    const struct addends *a = p->a;
    const int64_t bytes = a->range.n * p->element;
    char *to = sunup__sign(p->comm, p->comm->rank, p->comm->meetings + 1)->shown;
    p->comm->shown = a->rows * bytes;
    for (int row = 0; row < a->rows; row++)
        memcpy(to + row * bytes, a->row[row] + a->range.at * p->element, (size_t)bytes);
}

sunup_status sunup__shared_sum_show(sunup_comm *comm, const struct transfer *t)
{
    const struct addends *a = t->sum;
    if (a->sum.of == OF_REALS) TRY(find_tree(comm, &a->sum));
    struct pass p = pass_of(comm, a);
    if (p.small)
        show_rows(&p);
    else
        sunup__parallel((int)p.tasks, p.tasks, first_task, &p);
    return SUNUP_OK;
}

/* A piece's half is written again two meetings after it was read, also by the collective that follows: that one's
 * first piece goes to the other half than this one's last. */
sunup_status sunup__shared_sum(sunup_comm *comm, const struct transfer *t)
{
    struct pass p = pass_of(comm, t->sum);
    if (p.small) {
        (void)add_up(&p, 0, t->sum->all ? t->sum->range : sunup__own_part(t->sum, comm->rank, comm->ranks));
        return SUNUP_OK;
    }
    const int64_t rounds = p.pieces + (t->sum->all ? 1 : 0);
    for (p.piece = 0; p.piece < rounds; p.piece++) {
        if (p.piece > 0) TRY(sunup__node_meet(comm));
        sunup__parallel((int)p.tasks, p.tasks, round_task, &p);
    }
    comm->turn += (uint64_t)p.pieces;
    return SUNUP_OK;
}
