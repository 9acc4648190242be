/* stages_ranks.c - staged exchanges of every route against the plain recursion of tree_sum.h, bit
 * by bit.
 *
 * Routes x shards {p, p + 1, 2p, 3p + 1, 16} x n {0, 1, p - 1, p, 100003} x f32, f64 x slices cut
 * anywhere, and at places of a random rule only. Each exchange runs as reduce and share, as sum,
 * and with its buckets started backwards and polled. Members follow the ranks or run against them.
 * Words before and behind every array must stay as they are, and so must elements that a reduce
 * does not own. Two ranks also exchange more buckets than there are tags.
 */
#include <sched.h>

#include "base/memory.h"
#include "base/system.h"
#include "comm/inside.h"
#include "ranks.h"
#include "comm/tree_sum.h"

enum { N_MOST = 100003, GUARD = 64, RANKS_MOST = 16 };

struct rule {
    int64_t places, place[N_MOST];
};

struct problem {
    struct job job;
    struct kernels kernels;
    int rank[RANKS_MOST], from[RANKS_MOST + 1];
    struct group group;
    struct rule rule;
    /* One exchange. */
    struct sum sum;
    int rows;
    struct subtree node[TREE_DEPTH];
    char *row[TREE_DEPTH];
    char *data, *right; /* the sum that must come out, and its making */
};

/* --- cut rules --- */

/* Runs of 1 to 64 elements that stay together, now and then of 5000. */
static void make_rule(struct rule *r)
{
    uint64_t mix = 12345;
    int64_t at = 0;
    for (r->places = 0; at < N_MOST; r->places++) {
        r->place[r->places] = at;
        mix = mix * 6364136223846793005u + 1442695040888963407u;
        at += mix >> 58 == 0 ? 5000 : (int64_t)(1 + (mix >> 40) % 64);
    }
}

static int64_t rule_cut(const void *arg, int64_t at)
{
    const struct rule *r = arg;
    int64_t low = 0, high = r->places;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (r->place[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return r->place[low];
}

/* --- arrays between guard words --- */

static size_t bytes_of(const struct problem *p)
{
    return (size_t)(p->sum.n * sunup__sum_element(&p->sum));
}

static char *guarded(size_t bytes)
{
    char *x = malloc(bytes + 2 * GUARD);
    if (!x) abort();
    memset(x, 0x5a, bytes + 2 * GUARD);
    return x + GUARD;
}

static bool intact(const char *x, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++)
        if (x[(ptrdiff_t)i - GUARD] != 0x5a || x[bytes + i] != 0x5a) return false;
    return true;
}

static void fill(const struct problem *p, struct subtree t, char *x)
{
    for (int64_t i = 0; i < p->sum.n; i++) {
        if (p->sum.f64)
            ((double *)(void *)x)[i] = tree_sum_f64(p->sum.shards, t.level, t.start, i);
        else
            ((float *)(void *)x)[i] = tree_sum_f32(p->sum.shards, t.level, t.start, i);
    }
}

/* The own partial sums as they are before an exchange. */
static void refill(const struct problem *p)
{
    for (int r = 0; r < p->rows; r++)
        memcpy(p->row[r], p->right + (size_t)(r + 1) * bytes_of(p), bytes_of(p));
    memset(p->data, 0xff, bytes_of(p));
}

static void make_arrays(struct problem *p)
{
    int start[TREE_DEPTH], level[TREE_DEPTH];
    const int me = p->group.me, shards = p->sum.shards;
    p->rows = sunup__subtrees(shards, p->from[me], p->from[me + 1], start, level);
    p->data = guarded(bytes_of(p));
    p->right = malloc((size_t)(p->rows + 1) * bytes_of(p) + 1);
    if (!p->right) abort();
    fill(p, (struct subtree){0, tree_height(shards)}, p->right);
    for (int r = 0; r < p->rows; r++) {
        p->row[r] = guarded(bytes_of(p));
        fill(p, (struct subtree){start[r], level[r]}, p->right + (size_t)(r + 1) * bytes_of(p));
    }
}

static void free_arrays(struct problem *p)
{
    for (int r = 0; r < p->rows; r++) {
        MUST(&p->job, intact(p->row[r], bytes_of(p)));
        free(p->row[r] - GUARD);
    }
    MUST(&p->job, intact(p->data, bytes_of(p)));
    free(p->data - GUARD);
    free(p->right);
}

/* --- what must hold --- */

/* Slices of all members in all buckets lie one behind the other in some order, and where they may
 * be cut. */
static void slices_cover(struct problem *p, const struct stages *st, bool ruled)
{
    char *owned = calloc((size_t)p->sum.n + 1, 1);
    if (!owned) abort();
    for (int b = 0; b < sunup__stages_buckets(st); b++) {
        const struct slice whole = sunup__stages_bucket(st, b);
        for (int m = 0; m < p->group.members; m++) {
            const struct slice s = sunup__stages_slice(st, b, m);
            MUST(&p->job, s.n >= 0 && s.at >= whole.at && s.at + s.n <= whole.at + whole.n);
            MUST(&p->job, !ruled || s.n == 0 || rule_cut(&p->rule, s.at) == s.at);
            for (int64_t i = s.at; i < s.at + s.n; i++) owned[i]++;
        }
    }
    for (int64_t i = 0; i < p->sum.n; i++) MUST(&p->job, owned[i] == 1);
    free(owned);
}

static bool is_right(const struct problem *p, struct slice s)
{
    const int64_t element = sunup__sum_element(&p->sum);
    return memcmp(p->data + s.at * element, p->right + s.at * element, (size_t)(s.n * element)) ==
           0;
}

static bool is_untouched(const struct problem *p, int64_t from, int64_t to)
{
    const int64_t element = sunup__sum_element(&p->sum);
    for (int64_t i = from * element; i < to * element; i++)
        if ((unsigned char)p->data[i] != 0xff) return false;
    return true;
}

static void own_slices_only(struct problem *p, const struct stages *st)
{
    for (int b = 0; b < sunup__stages_buckets(st); b++) {
        const struct slice all = sunup__stages_bucket(st, b);
        const struct slice own = sunup__stages_slice(st, b, p->group.me);
        MUST(&p->job, is_right(p, own));
        MUST(&p->job, is_untouched(p, all.at, own.at));
        MUST(&p->job, is_untouched(p, own.at + own.n, all.at + all.n));
    }
}

static void whole_is_right(struct problem *p)
{
    MUST(&p->job, is_right(p, (struct slice){0, p->sum.n}));
}

/* --- exchanges --- */

static void backwards(struct problem *p, struct stages *st, enum stages_work work)
{
    bool done = sunup__stages_buckets(st) == 0;
    sunup__stages_begin(st, work, p->row, p->data);
    for (int b = sunup__stages_buckets(st) - 1; b >= 0; b--)
        MUST(&p->job, sunup__stages_start(st, b) == SUNUP_OK);
    while (!done) {
        MUST(&p->job, sunup__stages_progress(st, &done) == SUNUP_OK);
        sched_yield(); /* ranks share cores here */
    }
}

static void all_ways(struct problem *p, struct stages *st)
{
    refill(p);
    MUST(&p->job, sunup__stages_reduce(st, p->row, p->data) == SUNUP_OK);
    own_slices_only(p, st);
    MUST(&p->job, sunup__stages_share(st, p->data) == SUNUP_OK);
    whole_is_right(p);
    refill(p);
    MUST(&p->job, sunup__stages_sum(st, p->row, p->data) == SUNUP_OK);
    whole_is_right(p);
    refill(p);
    backwards(p, st, STAGES_REDUCE);
    own_slices_only(p, st);
    backwards(p, st, STAGES_SHARE);
    whole_is_right(p);
}

/* The total over the last row. */
static void in_place(struct problem *p, struct stages *st)
{
    char *data = p->data;
    refill(p);
    p->data = p->row[p->rows - 1];
    MUST(&p->job, sunup__stages_sum(st, p->row, p->data) == SUNUP_OK);
    whole_is_right(p);
    p->data = data;
}

static void exchange(struct problem *p, const struct route *route, bool ruled)
{
    struct stages *st;
    const struct stages_options o = {.sum = &p->sum,
                                     .group = &p->group,
                                     .route = route,
                                     .cut = ruled ? rule_cut : NULL,
                                     .cut_arg = &p->rule,
                                     .bucket_bytes = 20000,
                                     .lane = ruled};
    MUST(&p->job, sunup__stages_create(p->job.comm, &o, &st) == SUNUP_OK);
    MUST(&p->job, sunup__stages_bytes(&o) >= 0);
    slices_cover(p, st, ruled);
    const int64_t allocations = sunup__allocations();
    all_ways(p, st);
    in_place(p, st);
    MUST(&p->job, sunup__allocations() == allocations);
    sunup__stages_destroy(&st);
    MUST(&p->job, !st);
}

static void routes(struct problem *p)
{
    const struct network net = {.neighbours = 4, .bytes_per_s = 1, .far_bytes_per_s = 1};
    struct route r;
    make_arrays(p);
    for (int i = 0; i < sunup__routes(); i++) {
        if (!sunup__route(i, p->group.members, &net, &r)) continue;
        exchange(p, &r, false);
        exchange(p, &r, true);
    }
    free_arrays(p);
}

/* Member i is rank i, or the ranks in reverse. */
static void make_group(struct problem *p, int shards, bool reverse)
{
    const int ranks = p->job.ranks;
    for (int i = 0; i < ranks; i++) {
        p->rank[i] = reverse ? ranks - 1 - i : i;
        sunup__shards_of(shards, ranks, i, &p->from[i], &p->from[i + 1]);
    }
    const int me = reverse ? ranks - 1 - p->job.rank : p->job.rank;
    p->group = (struct group){ranks, me, p->rank, p->from};
}

static void sizes(struct problem *p, int shards)
{
    const int64_t n[] = {0, 1, p->job.ranks - 1, p->job.ranks, N_MOST};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        for (int f64 = 0; f64 < 2; f64++) {
            p->sum = (struct sum){.threads = 1 + (int)i % 2,
                                   .shards = shards,
                                   .n = n[i],
                                   .f64 = f64 == 1,
                                   .k = &p->kernels};
            make_group(p, shards, i % 2 == 1);
            routes(p);
        }
}

/* More buckets than tags. */
static void many_buckets(struct problem *p)
{
    struct route r;
    const struct network net = sunup__network_defaults();
    p->sum = (struct sum){
        .threads = 1, .shards = 3, .n = 4200 * 5000, .f64 = true, .k = &p->kernels};
    p->sum.n /= p->job.ranks;
    make_group(p, p->sum.shards, false);
    make_arrays(p);
    MUST(&p->job, sunup__route(0, p->job.ranks, &net, &r));
    exchange(p, &r, false);
    free_arrays(p);
}

int main(int argc, char **argv)
{
    static struct problem p;
    begin(&p.job, 60);
    const int ranks = p.job.ranks, shards[] = {ranks, ranks + 1, 2 * ranks, 3 * ranks + 1, 16};
    if (argc > 1) MUST(&p.job, ranks == atoi(argv[1]));
    MUST(&p.job, sunup__kernels_init(&p.kernels, sunup__cpu_flags(), p.job.ctx->options.isa));
    make_rule(&p.rule);
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) sizes(&p, shards[i]);
    if (ranks == 2) many_buckets(&p);
    MUST(&p.job, sunup__comm_barrier(p.job.comm, "the end") == SUNUP_OK);
    if (p.job.rank == 0) printf("stages right on %d ranks\n", ranks);
    end(&p.job);
    return 0;
}
