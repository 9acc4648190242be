/* check_comm.c - `mpiexec -n N sunup check comm`: every algorithm of every collective against
 * what it must give.
 *
 * The bytes of a call are a function of who sends them to whom and of their place, so each rank
 * knows its result. Each algorithm runs with n in {0, 1, ranks - 1, ranks, ranks + 1, big}
 * elements of 1, 4 and 8 bytes, at odd addresses, between guards, and in place where the call
 * allows it: through the node's memory and by messages. Sums: check_sums.c.
 *
 * Each rank counts its failures and says what the first ones are; the sums of all decide the exit
 * status.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/system.h"
#include "check_comm.h"

enum { GUARD = 64, ODD = 3, NAMED_MOST = 4, N_SIZES = 6, N_ELEMENTS = 3 };
#define BIG_BYTES 1300007 /* more than two pieces of the node's pool, and no multiple of anything */

void check_wrong(struct comm_check *t, const char *what, int64_t n, int64_t at)
{
    if (t->failed + t->row_failed++ >= NAMED_MOST) return;
    (void)printf("  FAILED rank %d: %s %s of %lld bytes, byte %lld\n", sunup_comm_rank(t->comm),
                 what, t->algorithm, (long long)n, (long long)at);
}

/* ------------------------------------------------------------------------- buffers --- */

/* Without a period: pieces that are taken for each other show. */
static char byte_of(int from, int to, int64_t i)
{
    const uint64_t k = (uint64_t)i + (uint64_t)(from * 31 + to + 1) * 0x9e3779b97f4a7c15u;
    return (char)(k * 0xbf58476d1ce4e5b9u >> 56);
}

static void fill(char *x, int from, int to, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = byte_of(from, to, i);
}

/* n bytes at an odd address, all 0x55, as are the guards around them. */
static char *take_room(char **memory, int64_t n)
{
    *memory = malloc((size_t)n + 2 * GUARD);
    if (*memory != NULL) memset(*memory, 0x55, (size_t)n + 2 * GUARD);
    return *memory != NULL ? *memory + ODD : NULL;
}

static bool guards_hold(const char *memory, int64_t n)
{
    for (int64_t i = 0; i < ODD; i++)
        if (memory[i] != 0x55) return false;
    for (int64_t i = ODD + n; i < n + 2 * GUARD; i++)
        if (memory[i] != 0x55) return false;
    return true;
}

/* Blocks [ranks][n]: block r is what r sent to `to`. */
static void compare_blocks(struct comm_check *t, const char *what, const char *x, int to, int64_t n)
{
    for (int r = 0; r < sunup_comm_ranks(t->comm); r++)
        for (int64_t i = 0; i < n; i++) {
            if (x[r * n + i] == byte_of(r, to, i)) continue;
            check_wrong(t, what, n, r * n + i);
            return;
        }
}

/* ------------------------------------------------------------------------- calls --- */

/* A call with room for `own` bytes that it reads and `all` that it writes. */
struct room {
    char *own_memory, *all_memory, *own, *all;
    int64_t own_bytes, all_bytes;
};

static sunup_status open_room(struct comm_check *t, struct room *m, int64_t own, int64_t all)
{
    *m = (struct room){.own_bytes = own, .all_bytes = all};
    m->own = take_room(&m->own_memory, own);
    m->all = take_room(&m->all_memory, all);
    sunup_status mine = SUNUP_OK;
    if (m->own == NULL || m->all == NULL)
        mine = sunup__raise(t->c->ctx, SUNUP_E_MEMORY, "no memory for %lld bytes",
                            (long long)(own + all));
    return sunup_comm_agree(t->comm, mine);
}

static void close_room(struct comm_check *t, struct room *m, const char *what)
{
    t->row_checked++;
    if (!guards_hold(m->own_memory, m->own_bytes) || !guards_hold(m->all_memory, m->all_bytes))
        check_wrong(t, what, m->all_bytes, -1);
    free(m->own_memory);
    free(m->all_memory);
}

static sunup_status check_broadcast(struct comm_check *t, int64_t n, int root)
{
    struct room m;
    const int rank = sunup_comm_rank(t->comm);
    TRY(open_room(t, &m, 0, n));
    if (rank == root) fill(m.all, root, 0, n);
    TRY(sunup__comm_broadcast(t->comm, m.all, n, root, "check"));
    for (int64_t i = 0; i < n; i++) {
        if (m.all[i] == byte_of(root, 0, i)) continue;
        check_wrong(t, "broadcast", n, i);
        break;
    }
    close_room(t, &m, "broadcast");
    return SUNUP_OK;
}

static sunup_status check_gather(struct comm_check *t, int64_t n, bool in_place)
{
    struct room m;
    const int rank = sunup_comm_rank(t->comm);
    TRY(open_room(t, &m, n, n * sunup_comm_ranks(t->comm)));
    char *mine = in_place ? m.all + rank * n : m.own;
    fill(mine, rank, 0, n);
    TRY(sunup__comm_gather(t->comm, mine, n, m.all, "check"));
    compare_blocks(t, in_place ? "allgather in place" : "allgather", m.all, 0, n);
    close_room(t, &m, "allgather");
    return SUNUP_OK;
}

static sunup_status check_alltoall(struct comm_check *t, int64_t n)
{
    struct room m;
    const int rank = sunup_comm_rank(t->comm), ranks = sunup_comm_ranks(t->comm);
    TRY(open_room(t, &m, n * ranks, n * ranks));
    for (int r = 0; r < ranks; r++) fill(m.own + r * n, rank, r, n);
    TRY(sunup__comm_alltoall(t->comm, m.own, n, m.all, "check"));
    compare_blocks(t, "alltoall", m.all, rank, n);
    close_room(t, &m, "alltoall");
    return SUNUP_OK;
}

/* Nobody leaves before the last one has come, which each rank is in its turn. */
static sunup_status check_barrier(struct comm_check *t)
{
    const int ranks = sunup_comm_ranks(t->comm), rank = sunup_comm_rank(t->comm);
    double *times = malloc((size_t)ranks * 2 * sizeof *times), mine[2], last = 0;
    TRY(sunup_comm_agree(t->comm, times != NULL ? SUNUP_OK : SUNUP_E_MEMORY));
    if (t->row_checked++ % ranks == rank) (void)usleep(200);
    mine[0] = sunup__now_s();
    TRY(sunup__comm_barrier(t->comm, "check"));
    mine[1] = sunup__now_s();
    TRY(sunup__comm_gather(t->comm, mine, sizeof mine, times, "times of a barrier"));
    for (int r = 0; r < ranks; r++) last = times[2 * r] > last ? times[2 * r] : last;
    if (t->one_clock && mine[1] < last) check_wrong(t, "barrier", 0, 0);
    free(times);
    return SUNUP_OK;
}

static sunup_status check_size(struct comm_check *t, enum collective what, int64_t n)
{
    const int last = sunup_comm_ranks(t->comm) - 1;
    if (check_is_sum(what)) return check_sum(t, what, n / 4);
    switch (what) {
    case COLLECTIVE_broadcast:
        TRY(check_broadcast(t, n, 0));
        return last > 0 ? check_broadcast(t, n, last) : SUNUP_OK;
    case COLLECTIVE_allgather:
        TRY(check_gather(t, n, false));
        return check_gather(t, n, true);
    case COLLECTIVE_alltoall:
        return check_alltoall(t, n);
    default:
        return check_barrier(t);
    }
}

/* ------------------------------------------------------------------------- the table --- */

static sunup_status sum_over_ranks(struct comm_check *t, int64_t mine, int64_t *sum)
{
    const int ranks = sunup_comm_ranks(t->comm);
    int64_t *all = malloc((size_t)ranks * sizeof *all);
    sunup_status status = sunup_comm_agree(t->comm, all != NULL ? SUNUP_OK : SUNUP_E_MEMORY);
    if (status == SUNUP_OK)
        status = sunup__comm_gather(t->comm, &mine, sizeof mine, all, "sum of a check");
    *sum = 0;
    for (int r = 0; status == SUNUP_OK && r < ranks; r++) *sum += all[r];
    free(all);
    return status;
}

/* A row is finished: the failures of all ranks, on all. */
sunup_status check_add_up(struct comm_check *t, const char *what, const char *where)
{
    int64_t failed;
    TRY(sum_over_ranks(t, t->row_failed, &failed));
    if (sunup_comm_rank(t->comm) == 0 && !t->c->json)
        (void)printf("  %-20s %-10s %-15s %5lld checked, %lld failed\n", what, t->algorithm, where,
                     (long long)t->row_checked, (long long)failed);
    (void)fflush(stdout);
    t->checked += t->row_checked;
    t->failed += failed;
    t->row_checked = t->row_failed = 0;
    return SUNUP_OK;
}

static sunup_status check_algorithm(struct comm_check *t, enum collective what, const char *where)
{
    static const int64_t elements[N_ELEMENTS] = {1, 4, 8};
    const int ranks = sunup_comm_ranks(t->comm);
    const int64_t sizes[N_SIZES] = {0, 1, ranks - 1, ranks, ranks + 1, -1};
    for (int e = 0; e < N_ELEMENTS; e++)
        for (int i = 0; i < N_SIZES; i++) {
            const int64_t big =
                what == COLLECTIVE_alltoall ? BIG_BYTES / ranks : BIG_BYTES / elements[e];
            if (sizes[i] < 0 && e > 0) continue; /* bytes are bytes: big ones once */
            if (check_is_sum(what) && elements[e] != 4 && sizes[i] >= 0) continue;
            TRY(check_size(t, what, (sizes[i] < 0 ? big : sizes[i]) * elements[e]));
        }
    char name[32];
    (void)snprintf(name, sizeof name, "%s%s%s", sunup__collective_name(what), check_is_sum(what) ? ":" : "",
                   check_is_sum(what) ? sunup__collective_type(what) : "");
    return check_add_up(t, name, where);
}

static sunup_status check_all(struct comm_check *t, const char *where)
{
    const int ranks = sunup_comm_ranks(t->comm);
    for (int w = 0; w < COLLECTIVES; w++) {
        const enum collective what = (enum collective)w;
        t->algorithm = "chosen";
        (void)sunup__comm_force(t->comm, what, NULL);
        TRY(check_algorithm(t, what, where));
        for (int i = 0; ranks > 1 && sunup__collective_algorithm(what, i) != NULL; i++) {
            t->algorithm = sunup__collective_algorithm(what, i);
            if (sunup__comm_force(t->comm, what, t->algorithm))
                TRY(check_algorithm(t, what, where));
        }
        (void)sunup__comm_force(t->comm, what, NULL);
    }
    return check_sums(t, where);
}

/* Ranks of one host share a clock. */
static sunup_status find_clock(struct comm_check *t)
{
    char host[64] = "", first[64];
    int64_t elsewhere;
    (void)gethostname(host, sizeof host - 1);
    memcpy(first, host, sizeof host);
    TRY(sunup__comm_broadcast(t->comm, first, sizeof first, 0, "host of rank 0"));
    TRY(sum_over_ranks(t, memcmp(host, first, sizeof host) != 0, &elsewhere));
    t->one_clock = elsewhere == 0;
    return SUNUP_OK;
}

sunup_status check_comm(struct command *c, int64_t *checked, int64_t *failed)
{
    static const char *const where[2] = {"in memory", "by messages"};
    struct comm_check t = {.c = c};
    sunup_comm_options o = sunup_comm_defaults();
    o.messages = true;
    if (c->comm == NULL) TRY(session_ranks(c));
    t.both[0] = c->comm;
    sunup_status status = sunup_comm_create(c->ctx, &o, &t.both[1]);
    if (sunup_comm_rank(c->comm) == 0 && !c->json)
        (void)printf("  %d ranks; %s\n", sunup_comm_ranks(c->comm), sunup__comm_library(c->comm));
    for (int i = 0; i < (sunup_comm_ranks(c->comm) > 1 ? 2 : 1) && status == SUNUP_OK; i++) {
        t.comm = t.both[i];
        status = find_clock(&t);
        if (status == SUNUP_OK) status = check_all(&t, where[i]);
    }
    sunup_comm_destroy(&t.both[1]);
    *checked += t.checked;
    *failed += t.failed;
    return status;
}
