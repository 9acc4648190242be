/* exchange_layout.c - creates an exchange: its memory, which elements are whose, and the stages that its
 * messages take.
 *
 * Owes: slices that tile the head and end only where the caller allows, the same on all ranks. Leaves
 * measured choices to choices.c, the running to exchange.c, the rows of a node to node.c, messages to
 * stages.c.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "comm/exchange.h"

enum { LEAST_SLICE_BYTES = 4096 }; /* a message of fewer bytes costs mostly its latency */

/* --- memory --- */

/* From a row to the next, and of all. */
static int64_t row_bytes(const struct exchange_options *o)
{
    return round_up((o->n - sunup__exchange_tree_at(o)) * (o->f64 ? 8 : 4), 64);
}

static int64_t rows_bytes(const struct exchange_options *o, int rows)
{
    const int64_t head = sunup__exchange_tree_at(o) * (int64_t)sizeof(int32_t);
    return round_up(head + rows * row_bytes(o), 64);
}

static int64_t data_bytes(const struct exchange_options *o)
{
    return round_up(o->data_n * (o->f64 ? 8 : 4), 64);
}

static struct sum sum_of(const struct exchange_options *o)
{
    return (struct sum){
        .threads = o->threads, .shards = o->shards, .n = o->n, .f64 = o->f64, .k = o->k,
        .rounded = o->bf16 ? o->head : 0};
}

static void lay_rows(struct exchange *x, char *first)
{
    const int64_t bytes = row_bytes(&x->o);
    for (int i = 0; i < TREE_DEPTH; i++) x->rows.row[i] = first + i * bytes;
    x->total = first; /* of one rank its only partial sum; else the total may overwrite the first */
}

static sunup_status allocate_private(struct exchange *x, int rows)
{
    const int64_t sizes_at = rows_bytes(&x->o, rows);
    const int64_t data_at = sizes_at + sunup__integers_row_bytes(&x->o);
    x->memory = sunup__alloc_aligned((size_t)(data_at + data_bytes(&x->o)));
    CHECK(x->memory, x->comm->ctx, E_MEMORY,
          "no memory for %d partial sums, %lld bytes: %d shards on %d ranks; more ranks or fewer "
          "shards need less",
          rows, (long long)sizes_at, x->sum.shards, x->comm->ranks);
    lay_rows(x, x->memory);
    x->private_sizes = (float *)(void *)(x->memory + sizes_at);
    x->data = x->memory + data_at;
    memset(x->data, 0, (size_t)data_bytes(&x->o));
    return SUNUP_OK;
}

/* Behind the rows lie sizes, and what the rank has complete. */
static int64_t shared_bytes(const struct exchange *x, int rows)
{
    return rows_bytes(&x->o, rows) + sunup__integers_row_bytes(&x->o) +
           (int64_t)sizeof(_Atomic uint64_t);
}

_Atomic uint64_t *sunup__exchange_complete(const struct exchange *x, int node_rank)
{
    char *end = x->shared.block[node_rank] + x->shared.bytes[node_rank];
    return (_Atomic uint64_t *)(void *)(end - sizeof(_Atomic uint64_t));
}

float *sunup__exchange_sizes(const struct exchange *x, int node_rank)
{
    if (x->node == NULL) return x->private_sizes;
    char *end = (char *)sunup__exchange_complete(x, node_rank);
    return (float *)(void *)(end - sunup__integers_row_bytes(&x->o));
}

static sunup_status allocate_shared(struct exchange *x, int rows)
{
    TRY(sunup__shared_create(x->comm, shared_bytes(x, rows), 0, &x->shared));
    if (x->shared.block == NULL) return SUNUP_OK;
    const int64_t head = x->o.head * sunup__sum_element(&x->sum);
    TRY(sunup__shared_create(x->comm, data_bytes(&x->o), head, &x->news));
    if (x->news.block == NULL) {
        sunup__shared_end(&x->shared);
        return SUNUP_OK;
    }
    lay_rows(x, x->shared.block[x->comm->node_rank]);
    x->data = x->news.block[x->comm->node_rank];
    return sunup__node_sum_create(x->comm, &x->sum, &x->shared, row_bytes(&x->o), &x->node);
}

/* --- whose elements --- */

struct cuts sunup__exchange_cuts(const struct exchange *x)
{
    if (x->o.cut != NULL) return (struct cuts){x->o.cut, x->o.cut_arg};
    return (struct cuts){sunup__cut_at_line, NULL};
}

/* What of a bucket a rank of the node passes on. */
static struct slice part_of(const struct exchange *x, struct slice bucket, int node_rank)
{
    const struct cuts c = sunup__exchange_cuts(x);
    return x->node != NULL ? sunup__part(&c, bucket, node_rank, x->comm->node_ranks) : bucket;
}

void sunup__exchange_find_slices(const struct exchange *x, int rank, struct slice *slices)
{
    const int each = x->node != NULL ? x->comm->node_ranks : 1;
    for (int b = 0; b < x->buckets; b++) {
        const struct slice part = part_of(x, x->bucket[b], rank % each);
        slices[b] = x->head != NULL ? sunup__stages_part(x->head, part, rank / each) : part;
    }
}

/* In one piece where no message is sent. */
int64_t sunup__exchange_count(const struct exchange *x, int64_t bucket_bytes)
{
    const int64_t bytes = most(bucket_bytes, LEAST_SLICE_BYTES * x->comm->ranks);
    const int64_t n = least(bytes, WIRE_MAX) / sunup__sum_element(&x->sum);
    return sunup__over_wire(x) ? ceil_div(x->o.head, n) : x->o.head > 0;
}

static sunup_status cut_buckets(struct exchange *x)
{
    const int64_t count = sunup__exchange_count(x, x->way.bucket_bytes);
    CHECK(count < INT32_MAX, x->comm->ctx, E_ARGUMENT,
          "%lld elements in buckets of %lld bytes are too many buckets; raise bucket_bytes",
          (long long)x->o.head, (long long)x->way.bucket_bytes);
    x->buckets = (int)count;
    x->bucket = sunup__alloc((size_t)(4 * count + 1) * sizeof *x->bucket);
    CHECK(x->bucket, x->comm->ctx, E_MEMORY, "no memory for %lld buckets", (long long)count);
    x->part = x->bucket + count;
    x->own = x->part + count;
    x->others = x->own + count;
    const struct cuts c = sunup__exchange_cuts(x);
    for (int b = 0; b < x->buckets; b++) {
        x->bucket[b] = sunup__part(&c, (struct slice){0, x->o.head}, b, count);
        x->part[b] = part_of(x, x->bucket[b], x->comm->node_rank);
    }
    const struct cuts lines = {sunup__cut_at_line, NULL};
    const struct slice tail = {0, x->o.n - x->o.head};
    x->tail_part = tail;
    if (x->node != NULL)
        x->tail_part = sunup__part(&lines, tail, x->comm->node_rank, x->comm->node_ranks);
    return SUNUP_OK;
}

/* Ranges of a sum on their way, by the route of that name; "": the model's for the first range. */
static sunup_status make_stages(struct exchange *x, const struct sum *sum, struct stages_options o,
                                struct route *route, struct stages **st)
{
    const struct network net = sunup__network_defaults();
    const int each = x->node != NULL ? x->comm->node_ranks : 1;
    struct group g;
    CHECK(sunup__group_create(x->comm->ranks, x->comm->rank, sum->shards, each, &g), x->comm->ctx,
          E_MEMORY, "no memory for the exchange of %d ranks", x->comm->ranks);
    if (!sunup__route_named(route->name, g.members, &net, route))
        sunup__route_choose(&net, &g, sum->shards, o.range[0].n * sunup__sum_element(sum), route);
    o.sum = sum;
    o.group = &g;
    o.route = route;
    const sunup_status status = sunup__stages_create(x->comm, &o, st);
    sunup__group_end(&g);
    return status;
}

static void note_way(struct exchange *x, const char *route)
{
    char text[WAY_TEXT];
    (void)snprintf(x->way.route, sizeof x->way.route, "%s", route);
    (void)snprintf(x->way_text, sizeof x->way_text, "%s%s", sunup__way_text(&x->way, text),
                   x->way.tuned ? ", tuned" : "");
}

static sunup_status make_head(struct exchange *x)
{
    const int members = sunup__exchange_members(x);
    const bool integers = sunup__exchange_has_integers(&x->o);
    const struct sum sum = integers ? sunup__integers_sum(&x->o, members) : x->sum;
    const struct cuts c = sunup__exchange_cuts(x);
    struct stages_options o = {
        .cut = c.at, .cut_arg = c.arg, .ranges = x->buckets, .range = x->part};
    /* Members own the same slices as in one stage, by which data come back. */
    const bool exact = sunup__exchange_takes(sunup__exchange_of(x), x->way.route);
    char name[sizeof x->way.route];
    (void)snprintf(name, sizeof name, "%s", x->way.route);
    struct route route = {.name = exact ? "direct" : name}, model = {.name = ""};
    if (exact) x->exact = sunup__exact_scatter(name);
    if (exact) TRY(sunup__exact_room(x->comm));
    TRY(make_stages(x, &sum, o, &route, &x->head));
    note_way(x, exact ? name : route.name);
    if (!integers) return SUNUP_OK;
    const struct sum sizes = sunup__integers_sizes(&x->o, members);
    const struct slice all = {0, sizes.n};
    o = (struct stages_options){.cut = sunup__cut_at_line, .ranges = 1, .range = &all, .lane = 1};
    return make_stages(x, &sizes, o, &model, &x->sizes);
}

static sunup_status make_tail(struct exchange *x)
{
    struct route model = {.name = ""};
    x->tail_sum = x->sum;
    x->tail_sum.n = x->o.n - x->o.head;
    x->tail_sum.rounded = 0;
    const struct stages_options o = {
        .cut = sunup__cut_at_line, .ranges = 1, .range = &x->tail_part, .lane = 1};
    return make_stages(x, &x->tail_sum, o, &model, &x->tail);
}

int sunup__exchange_rows(const struct exchange *x, char *const **row)
{
    if (x->node != NULL) return sunup__node_sum_rows(x->node, row);
    int start[TREE_DEPTH], level[TREE_DEPTH];
    *row = x->rows.row;
    return sunup__subtrees(x->sum.shards, x->from, x->to, start, level);
}

static sunup_status lay_wire(struct exchange *x)
{
    if (x->o.head > 0) TRY(make_head(x));
    if (x->o.head < x->o.n) TRY(make_tail(x));
    char *const *row;
    const int rows = sunup__exchange_rows(x, &row);
    for (int i = 0; i < rows; i++) x->tail_row[i] = row[i] + x->o.head * sunup__sum_element(&x->sum);
    return SUNUP_OK;
}

static void end_layout(struct exchange *x)
{
    sunup__stages_destroy(&x->head);
    sunup__stages_destroy(&x->tail);
    sunup__stages_destroy(&x->sizes);
    sunup__free(x->bucket);
    x->bucket = NULL;
    x->exact = NULL;
}

sunup_status sunup__exchange_lay(struct exchange *x, const struct exchange_way *way)
{
    end_layout(x);
    x->way = *way;
    TRY(cut_buckets(x));
    if (sunup__over_wire(x)) TRY(lay_wire(x));
    sunup__exchange_find_slices(x, x->comm->rank, x->own);
    return SUNUP_OK;
}

static sunup_status lay_out(struct exchange *x)
{
    const int rows = sunup__rows_needed(x->sum.shards, x->from, x->to);
    struct exchange_way way = {.bucket_bytes = x->comm->options.bucket_bytes};
    if (sunup__by_nodes(x->comm)) TRY(allocate_shared(x, rows));
    if (x->node == NULL) TRY(allocate_private(x, rows));
    if (sunup__over_wire(x) && x->o.head > 0)
        TRY(sunup__exchange_consult(x->comm, sunup__exchange_of(x),
                                    x->o.head * sunup__sum_element(&x->sum),
                                    sunup__exchange_members(x), &way));
    TRY(sunup__exchange_lay(x, &way));
    return sunup__exchange_has_integers(&x->o) ? sunup__integers_create(x) : SUNUP_OK;
}

sunup_status sunup__bf16_check(sunup_context *ctx, const struct exchange_options *o)
{
    CHECK(!o->bf16 || !o->f64, ctx, E_UNSUPPORTED,
          "partial sums in f64 do not travel in bf16; try wire: f32, or a network in f32");
    CHECK(!o->bf16 || o->kind == SUM_TREE, ctx, E_UNSUPPORTED,
          "sums of integers do not travel in bf16; try wire: f32, or sum: tree");
    return SUNUP_OK;
}

sunup_status sunup__exchange_create(sunup_comm *comm, const struct exchange_options *o,
                                    struct exchange **out)
{
    *out = NULL;
    TRY(sunup__check_sum(comm, o->shards, o->n));
    CHECK(o->head >= 0 && o->head <= o->n && o->data_n >= o->head, comm->ctx, E_INTERNAL,
          "a head of %lld of %lld elements, and data of %lld", (long long)o->head, (long long)o->n,
          (long long)o->data_n);
    TRY(sunup__bf16_check(comm->ctx, o));
    struct exchange *x = sunup__alloc(sizeof *x);
    CHECK(x, comm->ctx, E_MEMORY, "no memory for the exchange of %lld elements", (long long)o->n);
    x->comm = comm;
    x->o = *o;
    x->sum = sum_of(o);
    sunup__shards_of(o->shards, comm->ranks, comm->rank, &x->from, &x->to);
    x->next = x->from;
    x->merged = sunup__exchange_tree_at(o);
    *out = x;
    const sunup_status status = lay_out(x);
    if (status != SUNUP_OK) sunup__exchange_destroy(out);
    return status;
}

/* On a broken communicator a message may still be reading the rows, or bring words: they are left to the end of the
 * process. Rows that travel through a node's memory are read by its ranks only, each through a mapping of its own. */
void sunup__exchange_destroy(struct exchange **out)
{
    struct exchange *x = *out;
    *out = NULL;
    if (!x) return;
    const bool whole = x->comm->broken == SUNUP_OK, by_node = x->node != NULL && !sunup__over_wire(x);
    end_layout(x);
    sunup__integers_destroy(x);
    if (whole) sunup__free(x->words);
    if (whole || by_node) {
        sunup__node_sum_destroy(&x->node);
        sunup__shared_end(&x->shared);
        sunup__shared_end(&x->news);
        sunup__free(x->memory);
    }
    sunup__free(x);
}

/* What lands, if every rank exchanges with all others. */
static int64_t landing_bytes(const struct sum *s, int ranks)
{
    const struct network net = sunup__network_defaults();
    const int64_t bucket_bytes = sunup_comm_defaults().bucket_bytes;
    struct route route;
    struct group g;
    if (ranks == 1 || !sunup__group_create(ranks, 0, s->shards, 1, &g)) return 0;
    sunup__route_choose(&net, &g, s->shards, bucket_bytes, &route);
    const int64_t bytes = sunup__stages_bytes(&(struct stages_options){
        .sum = s, .group = &g, .route = &route, .bucket_bytes = bucket_bytes});
    sunup__group_end(&g);
    return bytes;
}

int64_t sunup__exchange_bytes(const struct exchange_options *o, int ranks)
{
    const struct sum s =
        sunup__exchange_has_integers(o) ? sunup__integers_sum(o, ranks) : sum_of(o);
    const int own_shards = (int)ceil_div(o->shards, ranks);
    int rows = 0;
    for (int r = 0; r < ranks; r++) {
        int from, to;
        sunup__shards_of(o->shards, ranks, r, &from, &to);
        rows = (int)most(rows, sunup__rows_needed(o->shards, from, to));
    }
    return rows_bytes(o, rows) + sunup__integers_row_bytes(o) +
           sunup__integers_bytes(o, own_shards) + data_bytes(o) + landing_bytes(&s, ranks);
}
