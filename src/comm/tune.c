/* tune.c - which way is the fastest here, by measurement: routes and buckets of an exchange, and
 * algorithms of collectives.
 *
 * Owes: winners that are the same on all ranks, as choices of the context (choices.c reads them
 * back). A time is the slowest rank's, of production code, with its whole input written before. Ways
 * take turns, and each counts by its ratio to the first way's time in the same round: so a machine whose
 * speed changes meanwhile (the host moves its cores, others use the network) changes all alike. The
 * median of the ratios decides; the first way, which is what is taken without a file, stays unless
 * another one is faster by MARGIN. Hopeless ways are given up early.
 *
 * What it does not see: an exchange here has no computation to hide behind, so a way that overlaps
 * better, but takes longer alone, loses. Cost: some seconds, and the memory in which messages land.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/exchange.h"
#include "plan/plan.h"

enum { EXACT_MOST = 4, WAYS = 32, ROUNDS_LEAST = 5, ROUNDS_MOST = 9 };
/* Ratios. Equal code was seen 7 % apart. SOON: before ROUNDS_LEAST. */
static const double MARGIN = 0.95, HOPELESS = 1.25, HOPELESS_SOON = 4;

struct race {
    sunup_comm *comm;
    int ways, rounds;
    double limit_s;
    sunup_status (*turn)(void *arg, int way, double *s); /* this rank's time */
    void *arg;
    bool out[WAYS];
    double s[WAYS][ROUNDS_MOST];
};

/* The slowest rank's time, to all. */
static sunup_status slowest(sunup_comm *comm, double *s)
{
    double *all = sunup__alloc((size_t)comm->ranks * sizeof *all);
    sunup_status status = SUNUP_OK;
    if (all == NULL)
        status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for the times of %d ranks",
                              comm->ranks);
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK) status = sunup__comm_gather(comm, s, sizeof *s, all, "tuning");
    for (int r = 0; r < comm->ranks && status == SUNUP_OK; r++) *s = fmax(*s, all[r]);
    sunup__free(all);
    return status;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const struct race *r, int way, bool ratio)
{
    double x[ROUNDS_MOST];
    for (int i = 0; i < r->rounds; i++) x[i] = r->s[way][i] / (ratio ? r->s[0][i] : 1);
    qsort(x, (size_t)r->rounds, sizeof *x, ascending);
    return x[r->rounds / 2];
}

static int winner(const struct race *r)
{
    int best = 0;
    double least_ratio = MARGIN;
    for (int w = 1; w < r->ways; w++) {
        if (r->out[w] || middle(r, w, true) >= least_ratio) continue;
        best = w;
        least_ratio = middle(r, w, true);
    }
    return best;
}

static void give_up_hopeless(struct race *r)
{
    const double limit = r->rounds < ROUNDS_LEAST ? HOPELESS_SOON : HOPELESS;
    const int best = winner(r);
    for (int w = 1; w < r->ways; w++)
        if (!r->out[w] && middle(r, w, true) > limit * middle(r, best, true)) r->out[w] = true;
}

/* All ranks see the same times and so come to the same end; rank 0's clock ends the rounds. */
static sunup_status run_race(struct race *r)
{
    const double from_s = sunup__now_s();
    bool enough = false;
    while (!enough && r->rounds < ROUNDS_MOST) {
        for (int w = 0; w < r->ways; w++) {
            if (r->out[w]) continue;
            TRY(r->turn(r->arg, w, &r->s[w][r->rounds]));
            TRY(slowest(r->comm, &r->s[w][r->rounds]));
        }
        r->rounds++;
        give_up_hopeless(r);
        enough = r->rounds >= ROUNDS_LEAST && sunup__now_s() - from_s > r->limit_s;
        TRY(sunup__comm_broadcast(r->comm, &enough, sizeof enough, 0, "tuning"));
    }
    return SUNUP_OK;
}

/* A line of the table a way, and the winner kept. */
static sunup_status conclude(const struct race *r, const char *problem, char (*names)[WAY_TEXT],
                             struct text *table)
{
    const int best = winner(r);
    for (int w = 0; w < r->ways && r->comm->rank == 0; w++) {
        sunup__text(table, "  %-44s %-24s ", problem, names[w]);
        if (r->out[w])
            sunup__text(table, "given up\n");
        else
            sunup__text(table, "%11.1f us  %5.2f%s\n", 1e6 * middle(r, w, false),
                        middle(r, w, true), w == best ? "  taken" : "");
    }
    return sunup__tuning_set(r->comm->ctx, problem, names[best]);
}

/* --- an exchange --- */

struct exchange_race {
    struct exchange *x;
    int ways;
    struct exchange_way way[WAYS];
};

static void fill_rows(struct exchange *x)
{
    while (x->next < x->to) {
        memset(sunup__exchange_slot(x), 0, (size_t)(x->sum.n * sunup__sum_element(&x->sum)));
        sunup__exchange_push(x);
    }
}

/* As a step of training: sums, the own slices to the node, all slices to all. */
static sunup_status exchange_once(struct exchange *x, double *s)
{
    double from_s;
    do {
        fill_rows(x);
        TRY(sunup__comm_barrier(x->comm, "tuning"));
        from_s = sunup__now_s();
        TRY(sunup__exchange_reduce(x, "tuning"));
    } while (x->again);
    for (int b = 0; b < x->buckets; b++) sunup__exchange_give(x, x->own[b].at, x->own[b].n);
    TRY(sunup__exchange_share(x, "tuning"));
    *s = sunup__now_s() - from_s;
    return SUNUP_OK;
}

/* Twice: the first touches the memory in which messages land. */
static sunup_status exchange_turn(void *arg, int way, double *s)
{
    struct exchange_race *e = arg;
    TRY(sunup_comm_agree(e->x->comm, sunup__exchange_lay(e->x, &e->way[way])));
    TRY(exchange_once(e->x, s));
    return exchange_once(e->x, s);
}

static bool listed(const struct exchange_race *e, const char *route, int64_t count)
{
    for (int i = 0; i < e->ways; i++)
        if (strcmp(e->way[i].route, route) == 0 &&
            sunup__exchange_count(e->x, e->way[i].bucket_bytes) == count)
            return true;
    return false;
}

/* The n-th route of these members, or EXACT algorithm if this exchange takes them; NULL: none. */
static const char *way_name(const struct exchange *x, int n)
{
    const struct network net = sunup__network_defaults();
    struct route r;
    if (n < sunup__routes()) return sunup__route(n, sunup__exchange_members(x), &net, &r) ? r.name : NULL;
    const char *name = sunup__exact_scatter_name(n - sunup__routes());
    return name != NULL && sunup__exchange_takes(sunup__exchange_of(x), name) ? name : NULL;
}

/* First what is taken without a file; then each route with each size that makes another number of
 * buckets. */
static sunup_status list_ways(struct exchange_race *e)
{
    static const int64_t sizes[] = {4 << 20, 256 << 10, 1 << 20, 16 << 20, 64 << 20};
    const int names = sunup__routes() + EXACT_MOST;
    struct exchange *x = e->x;
    const struct exchange_way first = {.bucket_bytes = sunup_comm_defaults().bucket_bytes};
    TRY(sunup_comm_agree(x->comm, sunup__exchange_lay(x, &first)));
    e->way[0] = x->way;
    TRY(sunup__comm_broadcast(x->comm, &e->way[0], sizeof e->way[0], 0, "tuning"));
    e->ways = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n = 0; n < names && e->ways < WAYS; n++) {
            const char *name = way_name(x, n);
            if (name == NULL || listed(e, name, sunup__exchange_count(x, sizes[i]))) continue;
            struct exchange_way *way = &e->way[e->ways++];
            *way = (struct exchange_way){.bucket_bytes = sizes[i]};
            (void)snprintf(way->route, sizeof way->route, "%s", name);
        }
    return SUNUP_OK;
}

static sunup_status race_exchange(struct exchange_race *e, struct text *table)
{
    struct exchange *x = e->x;
    char names[WAYS][WAY_TEXT], problem[CHOICE_TEXT];
    TRY(list_ways(e));
    if (e->ways == 1) return SUNUP_OK; /* nothing to choose */
    struct race r = {
        .comm = x->comm, .ways = e->ways, .limit_s = 20, .turn = exchange_turn, .arg = e};
    TRY(run_race(&r));
    for (int w = 0; w < r.ways; w++) sunup__way_text(&e->way[w], names[w]);
    sunup__choice_problem(x->comm, COLLECTIVES, sunup__exchange_of(x),
                          x->o.head * sunup__sum_element(&x->sum), problem);
    return conclude(&r, problem, names, table);
}

sunup_status sunup__exchange_tune(struct exchange *x, struct text *table)
{
    struct exchange_race e = {.x = x};
    const struct exchange_way before = x->way;
    if (!sunup__over_wire(x) || x->o.head == 0) return SUNUP_OK;
    TRY(race_exchange(&e, table));
    return sunup_comm_agree(x->comm, sunup__exchange_lay(x, &before));
}

/* --- collectives --- */

struct collective_race {
    sunup_comm *comm;
    enum collective what;
    int64_t bytes, calls;
    char *from, *to; /* [ranks][bytes] */
    int ways;
    char name[WAYS][WAY_TEXT];
};

enum { CALLS_MOST = 16, LEAST_BYTES = 256, MOST_BYTES = 16 << 20, ALL_BYTES = 32 << 20 };

static sunup_status call(const struct collective_race *c)
{
    const int64_t n = c->bytes / 4; /* of sums */
    switch (c->what) {
    case COLLECTIVE_broadcast:
        return sunup__comm_broadcast(c->comm, c->to, c->bytes, 0, "tuning");
    case COLLECTIVE_allgather:
        return sunup__comm_gather(c->comm, c->from, c->bytes, c->to, "tuning");
    case COLLECTIVE_alltoall:
        return sunup__comm_alltoall(c->comm, c->from, c->bytes, c->to, "tuning");
    case COLLECTIVE_allreduce:
        return sunup_comm_sum_shards(c->comm, c->comm->ranks, n, (float *)(void *)c->from, (float *)(void *)c->to);
    case COLLECTIVE_reduce_scatter:
        return sunup_comm_scatter_shards(c->comm, c->comm->ranks, n, (float *)(void *)c->from, (float *)(void *)c->to);
    case COLLECTIVE_allreduce_int32:
        return sunup__comm_sum_integers(c->comm, (int32_t *)(void *)c->from, n, "tuning");
    case COLLECTIVE_reduce_scatter_int32:
        return sunup__comm_scatter_integers(c->comm, (int32_t *)(void *)c->from, n, "tuning");
    default:
        return sunup__comm_barrier(c->comm, "tuning");
    }
}

static sunup_status collective_turn(void *arg, int way, double *s)
{
    const struct collective_race *c = arg;
    char *in = c->what == COLLECTIVE_broadcast ? c->to : c->from;
    const int64_t n = c->bytes * (c->what == COLLECTIVE_alltoall ? c->comm->ranks : 1);
    (void)sunup__comm_force(c->comm, c->what, c->name[way]);
    TRY(sunup__comm_barrier(c->comm, "tuning"));
    *s = 0;
    for (int64_t i = 0; i < c->calls; i++) {
        memset(in, (int)i, (size_t)n);
        const double from_s = sunup__now_s();
        TRY(call(c));
        *s += (sunup__now_s() - from_s) / (double)c->calls;
    }
    return SUNUP_OK;
}

/* First the one that is taken without a file. */
static void list_algorithms(struct collective_race *c)
{
    const char *name, *first = sunup__comm_choice(c->comm, c->what, c->bytes);
    (void)snprintf(c->name[0], WAY_TEXT, "%s", first);
    c->ways = 1;
    for (int i = 0; (name = sunup__collective_algorithm(c->what, i)) != NULL && c->ways < WAYS; i++)
        if (strcmp(name, first) != 0 && sunup__algorithm_here(c->comm, c->what, name) >= 0)
            (void)snprintf(c->name[c->ways++], WAY_TEXT, "%s", name);
}

static sunup_status race_collective(struct collective_race *c, struct text *table)
{
    char problem[CHOICE_TEXT];
    list_algorithms(c);
    if (c->ways == 1) return SUNUP_OK;
    c->calls =
        c->bytes > 0 ? most(1, least(CALLS_MOST, ((int64_t)1 << 20) / c->bytes)) : CALLS_MOST;
    struct race r = {
        .comm = c->comm, .ways = c->ways, .limit_s = 0.5, .turn = collective_turn, .arg = c};
    TRY(run_race(&r));
    (void)sunup__comm_force(c->comm, c->what, NULL);
    sunup__choice_problem(c->comm, c->what, NULL, c->bytes, problem);
    return conclude(&r, problem, c->name, table);
}

static sunup_status race_sizes(struct collective_race *c, struct text *table)
{
    for (int what = 0; what < COLLECTIVE_barrier; what++) {
        const int64_t blocks = what == COLLECTIVE_allgather || what == COLLECTIVE_alltoall ? c->comm->ranks : 1;
        c->what = (enum collective)what;
        for (c->bytes = LEAST_BYTES; c->bytes <= MOST_BYTES && c->bytes * blocks <= ALL_BYTES;
             c->bytes *= 4)
            TRY(race_collective(c, table));
    }
    c->what = COLLECTIVE_barrier;
    c->bytes = 0;
    return race_collective(c, table);
}

sunup_status sunup__comm_tune(sunup_comm *comm, struct text *table)
{
    struct collective_race c = {.comm = comm};
    const size_t bytes = (size_t)ALL_BYTES;
    if (comm->ranks == 1) return SUNUP_OK;
    memset(comm->tuned, 0, sizeof comm->tuned);
    c.from = sunup__alloc_aligned(bytes);
    c.to = sunup__alloc_aligned(bytes);
    sunup_status status = SUNUP_OK;
    if (c.from == NULL || c.to == NULL)
        status = sunup__raise(comm->ctx, SUNUP_E_MEMORY, "no memory for two vectors of %zu bytes",
                              bytes);
    status = sunup_comm_agree(comm, status);
    if (status == SUNUP_OK) status = race_sizes(&c, table);
    if (comm->broken == SUNUP_OK) {
        sunup__free(c.from);
        sunup__free(c.to);
    }
    return status;
}
