/* stages.c - partial sums of a group of ranks into totals, and totals back to all, stage by stage.
 *
 * A reduce is a reduce-scatter: in each stage a member sends every peer that peer's part of all
 * its rows, and merges the rows of its own part as the tree says. After the last stage one row is
 * left, the total of the own slice. A share is the all-gather: the stages backwards, in place.
 *
 *     reduce   rows of n --> rows of n/r0 --> rows of n/(r0 r1) --> ... --> the total of a slice
 *     share    [n] <--- ... <--- n/r0 <--- the own slice
 *
 * The n elements travel in buckets, a few at a time, each a machine of its own that goes on when
 * the messages of its stage have landed. All receives of a bucket are posted when it starts, since
 * each has its place: messages meet their receive however far ahead the sender is.
 *
 * Owes: totals whose bits depend on the shards only: route, buckets, slices and the order of
 * arrival decide where and when an element is added, never in which order. Leaves what the stages
 * are to layout.c, waiting to watchdog.c. Two members are peers in one stage only, and MPI keeps
 * the order of messages of one pair and tag: so a tag names the turn of a bucket and a direction,
 * not a stage.
 *
 * Where partial sums are bf16 (bf16.c) a reduce's messages are packed, half the bytes; a share's are not.
 *
 * Where the communicator is verified, rows are looked at where they are sent and where they are
 * added, and additions are made twice (rows_check.c).
 *
 * Cost of a reduce: sum over stages of own rows x (radix - 1)/radix of the stage's range in bytes
 * sent, and radix - 1 messages a row; with one row 1 - 1/members of n, as the share. Source: R.
 * Rabenseifner, Optimization of collective reduction operations (2004); docs/decisions/004.
 */
#include "comm/stages.h"

#include <string.h>

#include "base/system.h"
#include "base/trace.h"

/* Turns that have tags of their own. One begins when that of the same tag before it has ended, so
 * the order in which MPI keeps messages tells the two apart. */
enum { TURNS = TAG_BUCKETS / 2 };

struct parcel {
    int peer;
    char *data;
    int64_t n; /* elements; 0: there is no message */
};

struct slot {
    int bucket;                           /* < 0: idle */
    int turn;                             /* of its start: the same on all members */
    bool sharing;                         /* else reducing */
    int stage;                            /* whose messages are awaited */
    int left, sent;                       /* messages under way; sends begun */
    double from_s;                        /* start, where it is traced */
    int64_t packed;                       /* bytes of the memory that messages are packed in */
    int awaited[ROUTE_STAGES];            /* of a stage, to come in */
    struct slice range[ROUTE_STAGES + 1]; /* before each stage, and the own slice */
    char **row;                           /* partial sums of the present range */
    char *landing;
};

struct stages {
    sunup_comm *comm;
    struct layout layout;
    int tag; /* the lowest */
    struct slot slot[SLOTS];
    struct flight flight;
    char *landing;
    char **part; /* [most_rows] of the stage being merged */
    int *queue;  /* [buckets] started, in order */
    int queued, taken, done;
    enum stages_work work; /* of this run, and its arguments: */
    char *const *mine;
    char *data;
    struct parcel *awaited; /* [slots][numbers] where what comes in will lie */
    struct rows_check check;
};

/* --- create and destroy --- */

static sunup_status allocate(struct stages *st)
{
    struct layout *l = &st->layout;
    st->landing = sunup__alloc_aligned((size_t)(l->slots * l->slot_bytes));
    st->part = sunup__arena_alloc(&l->memory, (size_t)l->most_rows * sizeof *st->part);
    st->queue = sunup__arena_alloc(&l->memory, (size_t)l->buckets * sizeof *st->queue);
    st->awaited = sunup__arena_alloc(&l->memory, (size_t)(l->slots * l->numbers + 1) * sizeof *st->awaited);
    bool whole = st->landing && st->part && st->queue && st->awaited && sunup__rows_check_create(l, &st->check);
    for (int i = 0; i < l->slots; i++) {
        struct slot *s = &st->slot[i];
        s->bucket = -1;
        s->landing = whole ? st->landing + i * l->slot_bytes : NULL;
        s->row = sunup__arena_alloc(&l->memory, (size_t)l->most_kept * sizeof *s->row);
        whole = whole && s->row;
    }
    CHECK(whole, st->comm->ctx, E_MEMORY,
          "no memory for %d buckets of %lld bytes that land; try a smaller bucket_bytes (%lld now)",
          l->slots, (long long)l->slot_bytes, (long long)l->bucket_bytes);
    return sunup__flight_create(st->comm, l->slots * l->numbers, &st->flight);
}

sunup_status sunup__stages_create(sunup_comm *comm, const struct stages_options *o,
                                  struct stages **out)
{
    struct stages *st = sunup__alloc(sizeof *st);
    *out = st;
    CHECK(st, comm->ctx, E_MEMORY, "no memory for the exchange of %lld elements",
          (long long)o->sum->n);
    st->comm = st->check.comm = comm;
    st->tag = TAG_BUCKETS * (1 + o->lane);
    sunup_status status = sunup__layout(comm->ctx, o, &st->layout);
    if (status == SUNUP_OK) status = allocate(st);
    if (status != SUNUP_OK) sunup__stages_destroy(out);
    return status;
}

/* On a broken communicator the memory that messages may still reach is left to the end of the
 * process. */
void sunup__stages_destroy(struct stages **out)
{
    struct stages *st = *out;
    *out = NULL;
    if (!st) return;
    if (st->flight.left == 0) {
        sunup__flight_end(&st->flight);
        sunup__free(st->landing);
    }
    sunup__layout_end(&st->layout);
    sunup__free(st);
}

int64_t sunup__stages_bytes(const struct stages_options *o)
{
    struct layout l;
    const sunup_status status = sunup__layout(NULL, o, &l);
    const int64_t bytes = status == SUNUP_OK ? l.slots * l.slot_bytes : 0;
    sunup__layout_end(&l);
    return bytes;
}

/* --- whose elements --- */

int sunup__stages_buckets(const struct stages *st)
{
    return st->layout.buckets;
}

struct slice sunup__stages_bucket(const struct stages *st, int b)
{
    return sunup__layout_bucket(&st->layout, b);
}

struct slice sunup__stages_part(const struct stages *st, struct slice range, int member)
{
    for (int j = 0; j < st->layout.stages; j++) {
        const int radix = st->layout.stage[j].radix;
        range = sunup__part(&st->layout.cuts, range, member % radix, radix);
        member /= radix;
    }
    return range;
}

struct slice sunup__stages_slice(const struct stages *st, int b, int member)
{
    return sunup__stages_part(st, sunup__layout_bucket(&st->layout, b), member);
}

static void find_ranges(const struct layout *l, struct slot *k)
{
    k->range[0] = sunup__layout_bucket(l, k->bucket);
    for (int j = 0; j < l->stages; j++)
        k->range[j + 1] = sunup__part(&l->cuts, k->range[j], l->stage[j].digit, l->stage[j].radix);
}

/* --- messages --- */

static int64_t bytes_of(const struct stages *st, const struct slot *k, const struct parcel *p)
{
    return p->n * (k->sharing ? st->layout.element : st->layout.reduce_element);
}

static struct message message_of(const struct stages *st, const struct slot *k, struct parcel p)
{
    const int tag = st->tag + 2 * (k->turn % TURNS) + (k->sharing ? 1 : 0);
    return (struct message){p.peer, tag, p.data, bytes_of(st, k, &p)};
}

static int first_number(const struct stages *st, const struct slot *k)
{
    return (int)(k - st->slot) * st->layout.numbers;
}

static sunup_status send(struct stages *st, struct slot *k, struct parcel p)
{
    if (p.n == 0) return SUNUP_OK;
    const struct message m = message_of(st, k, p);
    const struct layout *l = &st->layout;
    const int before = k->sharing ? l->share_numbers : l->reduce_numbers;
    k->left++;
    return sunup__send(&st->flight, first_number(st, k) + before + k->sent++, &m);
}

static sunup_status receive(struct stages *st, struct slot *k, int number, struct parcel p)
{
    if (p.n == 0) return SUNUP_OK;
    const struct message m = message_of(st, k, p);
    k->left++;
    st->awaited[first_number(st, k) + number] = p;
    return sunup__receive(&st->flight, first_number(st, k) + number, &m);
}

/* The stage that awaits what landed under this number. */
static int stage_of(const struct layout *l, bool sharing, int number)
{
    int j = l->stages - 1;
    while (number < (sharing ? l->stage[j].share_first : l->stage[j].reduce_first)) j--;
    return j;
}

/* Not all to one peer at once: start with the next. */
static int peer_after(const struct stage *s, int step)
{
    return (s->digit + step) % s->radix;
}

/* --- reduce --- */

static char *landing_row(const struct slot *k, const struct stage *s, int row)
{
    const int others = row < s->first[s->digit] ? row : row - sunup__stage_own(s);
    return k->landing + s->landing + others * s->row_bytes;
}

/* What is packed lands in the second half of its row. */
static int64_t landing_offset(const struct layout *l, const struct stage *s)
{
    return sunup__layout_packs(l) ? s->row_bytes / 2 : 0;
}

static sunup_status receive_rows(struct stages *st, struct slot *k, int j)
{
    const struct stage *s = &st->layout.stage[j];
    const int64_t n = k->range[j + 1].n, at = landing_offset(&st->layout, s);
    int number = s->reduce_first;
    for (int i = 0; i < s->radix; i++)
        for (int r = s->first[i]; i != s->digit && r < s->first[i + 1]; r++)
            TRY(receive(st, k, number++, (struct parcel){s->peer[i], landing_row(k, s, r) + at, n}));
    k->awaited[j] = n > 0 ? number - s->reduce_first : 0;
    return SUNUP_OK;
}

struct packing {
    const struct sum *sum;
    int64_t n;
    const char *from;
    char *to;
};

static void pack_chunk(void *arg, int64_t i)
{
    const struct packing *w = arg;
    const int64_t at = i * SUM_CHUNK, n = w->n - at < SUM_CHUNK ? w->n - at : SUM_CHUNK;
    sunup__bf16_pack(w->sum, n, w->from + at * sunup__sum_element(w->sum), w->to + at * WIRE_BF16);
}

/* From or to a peer of stage j. */
static struct way way_of(const struct slot *k, int j, int peer, int row)
{
    return (struct way){.stage = j, .peer = peer, .bucket = k->bucket, .row = row};
}

/* The elements of a row as they travel. */
static char *packed(struct stages *st, struct slot *k, char *from, int64_t n)
{
    const struct layout *l = &st->layout;
    if (!sunup__layout_packs(l)) return from;
    char *to = k->landing + l->packed + k->packed;
    struct packing w = {&l->sum, n, from, to};
    k->packed += sunup__packed_bytes(n);
    sunup__parallel(l->sum.threads, sunup__sum_chunks(n), pack_chunk, &w);
    return to;
}

static sunup_status send_rows(struct stages *st, struct slot *k, int j)
{
    const struct layout *l = &st->layout;
    const struct stage *s = &l->stage[j];
    for (int step = 0; step < s->radix; step++) {
        const int i = peer_after(s, step);
        const struct slice part = sunup__part(&l->cuts, k->range[j], i, s->radix);
        const int64_t offset = (part.at - k->range[j].at) * l->element;
        for (int r = 0; r < sunup__stage_own(s); r++) {
            sunup__rows_sent(&st->check, &l->sum, way_of(k, j, i, r), k->row[r] + offset, part.n);
            if (i == s->digit) continue; /* it stays */
            char *data = packed(st, k, k->row[r] + offset, part.n);
            TRY(send(st, k, (struct parcel){s->peer[i], data, part.n}));
        }
    }
    return SUNUP_OK;
}

struct merge {
    struct stages *st;
    const struct slot *k;
    int stage; /* -1: nothing to add */
    struct slice own;
    char *to; /* not NULL: the sum's place, else it stays in its row */
};

/* Chunk i of all rows that meet, right before they are added. */
static void check_chunk(const struct merge *w, int64_t i, int64_t n)
{
    struct stages *st = w->st;
    const struct stage *s = &st->layout.stage[w->stage];
    const int64_t offset = i * SUM_CHUNK * st->layout.element;
    for (int peer = 0; peer < s->radix; peer++)
        for (int r = s->first[peer]; r < s->first[peer + 1]; r++) {
            sunup__tamper(st->comm, "row", st->part[r] + offset, n * st->layout.element);
            sunup__rows_chunk_used(&st->check, &st->layout.sum, way_of(w->k, w->stage, peer, r - s->first[peer]), i,
                                   (struct chunk){st->part[r] + offset, n});
        }
}

static void add(struct stages *st, struct slice piece, const char *x, char *y)
{
    if (st->check.on) {
        sunup__rows_add_twice(&st->check, &st->layout.sum, piece, x, y);
        return;
    }
    sunup__sum_add(&st->layout.sum, piece.n, x, y);
    sunup__bf16_round(&st->layout.sum, piece, y);
}

/* A chunk's additions, and the total to its place while it is in cache. */
static void merge_chunk(void *arg, int64_t i)
{
    const struct merge *w = arg;
    const struct layout *l = &w->st->layout;
    const int64_t at = i * SUM_CHUNK, n = w->own.n - at < SUM_CHUNK ? w->own.n - at : SUM_CHUNK;
    const int64_t offset = at * l->element;
    const struct stage *s = w->stage >= 0 ? &l->stage[w->stage] : NULL;
    char *const *part = w->st->part;
    if (s && w->st->check.on) check_chunk(w, i, n);
    for (int a = 0; s && a < s->additions; a++)
        add(w->st, (struct slice){w->own.at + at, n}, part[s->addition[a].from] + offset,
            part[s->addition[a].into] + offset);
    if (w->to) sunup__sum_copy(&l->sum, n, part[0] + offset, w->to + offset);
}

static void run_merge(struct merge w)
{
    sunup__parallel(w.st->layout.sum.threads, sunup__sum_chunks(w.own.n), merge_chunk, &w);
}

/* All rows of stage j are here: as few as the tree allows remain. */
static void merge(struct stages *st, struct slot *k, int j)
{
    const struct layout *l = &st->layout;
    const struct stage *s = &l->stage[j];
    const struct slice own = k->range[j + 1];
    const int64_t offset = (own.at - k->range[j].at) * l->element;
    for (int r = 0; r < s->first[s->radix]; r++) {
        const int mine = r - s->first[s->digit];
        st->part[r] =
            mine >= 0 && mine < sunup__stage_own(s) ? k->row[mine] + offset : landing_row(k, s, r);
    }
    char *to = j == l->stages - 1 ? st->data + own.at * l->element : NULL;
    run_merge((struct merge){st, k, j, own, to});
    for (int r = 0; r < s->kept_rows; r++) k->row[r] = st->part[s->kept[r]];
}

static sunup_status advance_reduce(struct stages *st, struct slot *k)
{
    const int stages = st->layout.stages;
    while (k->stage < stages && k->awaited[k->stage] == 0) {
        merge(st, k, k->stage);
        k->stage++;
        if (k->stage < stages) TRY(send_rows(st, k, k->stage));
    }
    return SUNUP_OK;
}

static sunup_status start_reduce(struct stages *st, struct slot *k)
{
    const struct layout *l = &st->layout;
    const int64_t offset = k->range[0].at * l->element;
    for (int r = 0; r < l->own_rows; r++) k->row[r] = st->mine[r] + offset;
    k->stage = 0;
    k->packed = 0;
    for (int j = 0; j < l->stages; j++) TRY(receive_rows(st, k, j));
    if (l->stages > 0) {
        TRY(send_rows(st, k, 0));
        return advance_reduce(st, k);
    }
    st->part[0] = k->row[0]; /* one member owns the whole tree */
    run_merge((struct merge){st, k, -1, k->range[0], st->data + offset});
    return SUNUP_OK;
}

/* --- share --- */

static sunup_status receive_parts(struct stages *st, struct slot *k, int j)
{
    const struct layout *l = &st->layout;
    const struct stage *s = &l->stage[j];
    int number = s->share_first;
    k->awaited[j] = 0;
    for (int step = 1; step < s->radix; step++) {
        const int i = peer_after(s, step);
        const struct slice part = sunup__part(&l->cuts, k->range[j], i, s->radix);
        char *to = st->data + part.at * l->element;
        TRY(receive(st, k, number++, (struct parcel){s->peer[i], to, part.n}));
        if (part.n > 0) k->awaited[j]++;
    }
    return SUNUP_OK;
}

static sunup_status send_own(struct stages *st, struct slot *k, int j)
{
    const struct stage *s = &st->layout.stage[j];
    const struct slice own = k->range[j + 1];
    char *from = st->data + own.at * st->layout.element;
    for (int step = 1; step < s->radix; step++) {
        const int i = peer_after(s, step);
        sunup__rows_sent(&st->check, &st->layout.sum, way_of(k, j, i, ROW_SHARED), from, own.n);
        TRY(send(st, k, (struct parcel){s->peer[i], from, own.n}));
    }
    return SUNUP_OK;
}

static sunup_status advance_share(struct stages *st, struct slot *k)
{
    while (k->stage >= 0 && k->awaited[k->stage] == 0) {
        k->stage--;
        if (k->stage >= 0) TRY(send_own(st, k, k->stage));
    }
    return SUNUP_OK;
}

static sunup_status start_share(struct stages *st, struct slot *k)
{
    k->sharing = true;
    k->sent = 0;
    k->stage = st->layout.stages - 1;
    for (int j = k->stage; j >= 0; j--) TRY(receive_parts(st, k, j));
    if (k->stage < 0) return SUNUP_OK;
    TRY(send_own(st, k, k->stage));
    return advance_share(st, k);
}

/* --- buckets --- */

/* The first of several stages moves most, over the nearest links. One bucket at a time is in it,
 * so that the later stages of others, over farther links, run beside it: simulated, 100
 * MB on 1000 nodes take 1.23 ms instead of 1.38 with all in step. */
static bool is_first(const struct stages *st, const struct slot *k)
{
    return st->layout.stages > 1 && !k->sharing && k->stage == 0;
}

static bool may_start(const struct stages *st)
{
    for (const struct slot *k = st->slot; k < st->slot + st->layout.slots; k++) {
        if (k->bucket < 0) continue;
        if (is_first(st, k) || st->taken - k->turn >= TURNS) return false;
    }
    return st->taken < st->queued;
}

static sunup_status start_slot(struct stages *st, struct slot *k)
{
    k->turn = st->taken++;
    k->bucket = st->queue[k->turn];
    k->sharing = false;
    k->sent = 0;
    k->from_s = sunup__trace_now(st->comm->ctx);
    find_ranges(&st->layout, k);
    return st->work == STAGES_SHARE ? start_share(st, k) : start_reduce(st, k);
}

/* Nothing of the slot is under way. What a reduce sent may lie where a share receives, so the one
 * ends before the other begins. */
static sunup_status end_slot(struct stages *st, struct slot *k)
{
    if (!k->sharing && st->work == STAGES_SUM) TRY(start_share(st, k));
    if (k->left > 0) return SUNUP_OK;
    sunup__trace_add(st->comm->ctx, TRACE_BUCKET, k->sharing ? "share" : "sum", k->bucket, k->from_s);
    k->bucket = -1;
    st->done++;
    return SUNUP_OK;
}

static int digit_of(const struct stage *s, int rank)
{
    int i = 0;
    while (s->peer[i] != rank) i++;
    return i;
}

static sunup_status land(struct stages *st, int number)
{
    const struct layout *l = &st->layout;
    struct slot *k = &st->slot[number / l->numbers];
    const int in_slot = number % l->numbers;
    k->left--;
    if (in_slot >= (k->sharing ? l->share_numbers : l->reduce_numbers)) return SUNUP_OK;
    const struct parcel *p = &st->awaited[number];
    const int j = stage_of(l, k->sharing, in_slot);
    if (sunup__layout_packs(l) && !k->sharing)
        sunup__bf16_unpack(p->n, p->data, p->data - landing_offset(l, &l->stage[j]));
    if (k->sharing)
        sunup__rows_used(&st->check, &l->sum, way_of(k, j, digit_of(&l->stage[j], p->peer), ROW_SHARED), p->data, p->n);
    k->awaited[j]--;
    return k->sharing ? advance_share(st, k) : advance_reduce(st, k);
}

/* Ends slots and fills them again until nothing more can be done without a message. */
static sunup_status turn_over(struct stages *st)
{
    for (struct slot *k = st->slot; k < st->slot + st->layout.slots; k++) {
        if (k->bucket >= 0 && k->left == 0) TRY(end_slot(st, k));
        while (k->bucket < 0 && may_start(st)) {
            TRY(start_slot(st, k));
            if (k->left == 0) TRY(end_slot(st, k));
        }
    }
    return SUNUP_OK;
}

void sunup__stages_begin(struct stages *st, enum stages_work work, char *const *rows, char *data)
{
    st->work = work;
    st->mine = rows;
    st->data = data;
    st->queued = st->taken = st->done = 0;
    sunup__rows_check_begin(&st->check, st->comm->verified);
}

sunup_status sunup__stages_start(struct stages *st, int bucket)
{
    st->queue[st->queued++] = bucket;
    return turn_over(st);
}

static sunup_status land_all(struct stages *st, int landed)
{
    for (int i = 0; i < landed; i++) TRY(land(st, st->flight.landed[i]));
    return turn_over(st);
}

sunup_status sunup__stages_progress(struct stages *st, bool *done)
{
    int landed = 0;
    if (st->flight.left > 0) TRY(sunup__poll(&st->flight, &landed));
    TRY(land_all(st, landed));
    *done = st->done == st->layout.buckets;
    return SUNUP_OK;
}

sunup_status sunup__stages_finish(struct stages *st)
{
    while (st->done < st->layout.buckets) {
        int landed;
        TRY(sunup__wait(&st->flight, &landed));
        TRY(land_all(st, landed));
    }
    return SUNUP_OK;
}

static sunup_status run(struct stages *st, enum stages_work work, char *const *rows, char *data)
{
    sunup__stages_begin(st, work, rows, data);
    for (int b = 0; b < st->layout.buckets; b++) TRY(sunup__stages_start(st, b));
    return sunup__stages_finish(st);
}

sunup_status sunup__stages_reduce(struct stages *st, char *const *rows, char *total)
{
    return run(st, STAGES_REDUCE, rows, total);
}

sunup_status sunup__stages_share(struct stages *st, char *data)
{
    return run(st, STAGES_SHARE, NULL, data);
}

sunup_status sunup__stages_sum(struct stages *st, char *const *rows, char *total)
{
    return run(st, STAGES_SUM, rows, total);
}

sunup_status sunup__stages_compare(struct stages *st, struct slice *where)
{
    return sunup__rows_compare(&st->check, &st->layout, &st->flight, where);
}
