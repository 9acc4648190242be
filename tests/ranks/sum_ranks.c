/* sum_ranks.c - the sum over shards on any number of ranks, against the plain recursion of
 * tree_sum.h, bit by bit.
 *
 * For shards S >= ranks, n in {0, 1, ranks - 1, ranks, 1000, 40009}, in shared memory and by
 * messages of two bucket sizes, f32 and f64, 1 and 2 threads, terms that cancel at 2^60. Each
 * exchange runs twice or more; slices, what is shared of them and what one rank collects are checked too.
 * With a head in bf16, rounded as tree_sum.h says; a NaN and an Inf there.
 * With the head summed by integers, against fixed_sum.h: also steps that repeat, a NaN, and bounds
 * that are taken to another exchange.
 */
#include "base/integers.h"
#include "base/memory.h"
#include "base/system.h"
#include "comm/exchange.h"
#include "fixed_sum.h"
#include "kernels/kernels.h"
#include "ranks.h"
#include "comm/tree_sum.h"

enum { N_MOST = 40009, N_SIZES = 6, SHARDS_MOST = 16 };

struct reference {
    float f32[N_MOST];
    float bf16[N_MOST];
    double f64[N_MOST];
};

struct problem {
    struct job job;
    struct kernels kernels;
    struct reference right;
    float fixed[N_MOST]; /* of the head, by integers, */
    float factor;        /* of terms times this       */
    int repeats;
    float out32[N_MOST + 1];
    double out64[N_MOST + 1];
};

static void make_reference(struct problem *p, int shards)
{
    for (int64_t i = 0; i < N_MOST; i++) {
        p->right.f32[i] = tree_sum_f32(shards, tree_height(shards), 0, i);
        p->right.bf16[i] = tree_sum_bf16(shards, tree_height(shards), 0, i);
        p->right.f64[i] = tree_sum_f64(shards, tree_height(shards), 0, i);
    }
}

static void fill_hostile(int shard, int64_t n, bool f64, void *slot)
{
    float *x32 = slot;
    double *x64 = slot;
    for (int64_t i = 0; i < n; i++) {
        if (f64)
            x64[i] = hostile_term(shard, i);
        else
            x32[i] = (float)hostile_term(shard, i);
    }
}

static void fill_terms(const struct problem *p, int shard, const struct exchange_options *o,
                       void *slot)
{
    fill_hostile(shard, o->n, o->f64, slot);
    for (int64_t i = 0; o->kind == SUM_INT32 && i < o->head; i++)
        ((float *)slot)[i] = gentle_term(shard, i, p->factor);
    for (int64_t i = 0; o->bf16 && i < o->head; i++) ((float *)slot)[i] = like_term(shard, i);
}

static void must_be(struct problem *p, const struct exchange_options *o, const void *x, int64_t at,
                    int64_t n)
{
    const int64_t bytes = o->f64 ? 8 : 4;
    const void *right = o->f64 ? (void *)(p->right.f64 + at) : (void *)(p->right.f32 + at);
    if (o->kind == SUM_INT32 && at < o->head) right = p->fixed + at;
    if (o->bf16 && at < o->head) right = p->right.bf16 + at;
    MUST(&p->job, memcmp((const char *)x + at * bytes, right, (size_t)(n * bytes)) == 0);
}

/* Each rank's slices, which together are the head. */
static void check_slices(struct problem *p, struct exchange *x, const struct exchange_options *o)
{
    const struct slice *s;
    int64_t owned = 0;
    for (int r = 0; r < p->job.ranks; r++) {
        const int n = sunup__exchange_slices(x, r, &s);
        for (int i = 0; i < n; i++) {
            owned += s[i].n;
            MUST(&p->job, s[i].at >= 0 && s[i].n >= 0 && s[i].at + s[i].n <= o->head);
            MUST(&p->job, s[i].at == 0 || o->cut == NULL || o->cut(o->cut_arg, s[i].at) == s[i].at);
            if (r == p->job.rank) must_be(p, o, sunup__exchange_total(x), s[i].at, s[i].n);
        }
    }
    MUST(&p->job, owned == o->head);
}

/* Data made of the slices' totals are the head's total on all ranks; so is what one rank collects. */
static void spread(struct problem *p, struct exchange *x, const struct exchange_options *o)
{
    const struct slice *s;
    const int64_t bytes = o->f64 ? 8 : 4;
    const int n = sunup__exchange_slices(x, p->job.rank, &s), root = p->job.ranks - 1;
    char *data = sunup__exchange_data(x), *mine = malloc((size_t)(o->head * bytes) + 1);
    char *end = mine;
    for (int i = 0; i < n; i++) {
        const size_t size = (size_t)(s[i].n * bytes);
        const char *total = (const char *)sunup__exchange_total(x) + s[i].at * bytes;
        memcpy(data + s[i].at * bytes, total, size);
        memcpy(end, total, size);
        end += size;
        sunup__exchange_give(x, s[i].at, s[i].n);
    }
    MUST(&p->job, sunup__exchange_share(x, "new data") == SUNUP_OK);
    must_be(p, o, data, 0, o->head);
    char *all = p->job.rank == root ? malloc((size_t)(o->head * bytes) + 1) : NULL;
    MUST(&p->job, sunup__exchange_collect(x, "moments", root, mine, all) == SUNUP_OK);
    if (all != NULL) must_be(p, o, all, 0, o->head);
    free(all);
    free(mine);
}

/* All own shards, and their sum; false: again. early: terms may leave before the shard is pushed. */
static bool attempt(struct problem *p, struct exchange *x, const struct exchange_options *o,
                    bool early)
{
    int from, to;
    sunup__shards_of(o->shards, p->job.ranks, p->job.rank, &from, &to);
    for (int i = from; i < to; i++) {
        void *slot = sunup__exchange_slot(x);
        MUST(&p->job, slot);
        fill_terms(p, i, o, slot);
        for (int64_t n = 1; early && n < 2 * o->n; n *= 3) sunup__exchange_ready(x, least(n, o->n));
        sunup__exchange_push(x);
    }
    MUST(&p->job, !sunup__exchange_slot(x));
    MUST(&p->job, sunup__exchange_reduce(x, "a step") == SUNUP_OK);
    return !sunup__exchange_again(x);
}

static void step(struct problem *p, struct exchange *x, const struct exchange_options *o, bool early)
{
    p->repeats = 0;
    while (!attempt(p, x, o, early)) MUST(&p->job, ++p->repeats <= 1);
    int64_t words[3] = {p->job.rank, -p->job.rank, INT64_C(1) << 40};
    MUST(&p->job, o->head == 0 || sunup__exchange_combine(x, "words", 3, words) == SUNUP_OK);
    const int64_t ranks = p->job.ranks, all = ranks * (ranks - 1) / 2;
    MUST(&p->job, o->head == 0 || (words[0] == all && words[1] == -all && words[2] == ranks << 40));
    must_be(p, o, sunup__exchange_total(x), o->head, o->n - o->head);
    check_slices(p, x, o);
    if (o->head > 0) spread(p, x, o);
    MUST(&p->job, sunup__exchange_wait_s(x) >= 0);
}

static int64_t cut_at_odd_places(const void *arg, int64_t at)
{
    (void)arg;
    return at / 37 * 37;
}

/* Two steps in turn, the second without an allocation and with terms that leave early. Totals reach the other ranks of
 * a node by ordinary stores in the first and past the caches in the second; of few terms so many steps that one of
 * these ways was chosen. */
static void streaming(struct problem *p, struct exchange_options o)
{
    const int steps = o.head == 0 && o.n <= 1000 ? 8 : 2;
    struct exchange *x;
    o.k = &p->kernels;
    o.data_n = o.head + 5;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_OK);
    step(p, x, &o, false);
    const int64_t allocations = sunup__allocations();
    for (int i = 1; i < steps; i++) step(p, x, &o, true);
    MUST(&p->job, sunup__allocations() == allocations);
    sunup__exchange_destroy(&x);
    MUST(&p->job, !x);
}

/* As one sum for all; with a head that ends anywhere; with slices cut at places of the caller's. */
static void streaming_ways(struct problem *p, struct exchange_options o)
{
    streaming(p, o);
    o.head = o.n - o.n / 3;
    streaming(p, o);
    o.cut = cut_at_odd_places;
    streaming(p, o);
}

/* Inf and a NaN of all bits, which no carry of a rounding may turn into something else; and what is refused. */
static void beyond_numbers(struct problem *p, struct exchange_options o)
{
    struct exchange *x;
    int from, to;
    const uint32_t odd[3] = {0x7f800000, 0xff800000, 0x7fffffff};
    o.k = &p->kernels;
    o.bf16 = true;
    o.n = o.head = o.data_n = 1000;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_OK);
    sunup__shards_of(o.shards, p->job.ranks, p->job.rank, &from, &to);
    for (int i = from; i < to; i++) {
        float *slot = sunup__exchange_slot(x);
        for (int64_t j = 0; j < o.n; j++) {
            slot[j] = 0x1.fffffep-1F;
            if (i == j % o.shards) memcpy(slot + j, &odd[j % 3], sizeof *odd);
        }
        sunup__exchange_push(x);
    }
    MUST(&p->job, sunup__exchange_reduce(x, "odd numbers") == SUNUP_OK);
    const struct slice *s;
    const int n = sunup__exchange_slices(x, p->job.rank, &s);
    const float *total = sunup__exchange_total(x);
    for (const struct slice *piece = s; piece < s + n; piece++)
        for (int64_t i = piece->at; i < piece->at + piece->n; i++)
            MUST(&p->job, i % 3 == 2 ? isnan(total[i]) : memcmp(total + i, &odd[i % 3], 4) == 0);
    sunup__exchange_destroy(&x);
    o.f64 = true;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_E_UNSUPPORTED);
    o.f64 = false;
    o.kind = SUM_INT32;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_E_UNSUPPORTED);
    MUST(&p->job, error_says(&p->job, "sums of integers do not travel in bf16"));
}

/* Another exchange goes on from the bounds of this one. */
static void carry_on(struct problem *p, struct exchange *x, const struct exchange_options *o)
{
    int64_t blocks;
    struct exchange *y;
    const float *bounds = sunup__exchange_bounds(x, &blocks);
    MUST(&p->job, blocks == ceil_div(o->head, FIXED_SUM_BLOCK));
    MUST(&p->job, sunup__exchange_create(p->job.comm, o, &y) == SUNUP_OK);
    MUST(&p->job, sunup__exchange_restore(y, bounds) == SUNUP_OK);
    step(p, y, o, true);
    MUST(&p->job, p->repeats == 0);
    sunup__exchange_destroy(&y);
}

/* A step with a NaN: all of its block is NaN, nothing repeats, and the next step is right. */
static void poison(struct problem *p, struct exchange *x, const struct exchange_options *o)
{
    int from, to;
    sunup__shards_of(o->shards, p->job.ranks, p->job.rank, &from, &to);
    for (int i = from; i < to; i++) {
        void *slot = sunup__exchange_slot(x);
        fill_terms(p, i, o, slot);
        if (i == o->shards - 1) ((float *)slot)[o->head - 1] = NAN;
        sunup__exchange_push(x);
    }
    MUST(&p->job, sunup__exchange_reduce(x, "a NaN") == SUNUP_OK && !sunup__exchange_again(x));
    const struct slice *s;
    const int n = sunup__exchange_slices(x, p->job.rank, &s);
    const float *total = sunup__exchange_total(x);
    const int64_t bad = (o->head - 1) / FIXED_SUM_BLOCK;
    for (const struct slice *piece = s; piece < s + n; piece++)
        for (int64_t i = piece->at; i < piece->at + piece->n; i++)
            MUST(&p->job, i / FIXED_SUM_BLOCK == bad ? isnan(total[i]) : total[i] == p->fixed[i]);
    MUST(&p->job, sunup__exchange_share(x, "nothing new") == SUNUP_OK);
    step(p, x, o, false);
    MUST(&p->job, p->repeats == 0);
}

/* The first step repeats, the second does not, one whose gradients are 1000 times as large does. */
static void by_integers(struct problem *p, struct exchange_options o)
{
    struct exchange *x;
    o.k = &p->kernels;
    o.kind = SUM_INT32;
    o.data_n = o.head;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_OK);
    for (int i = 0; i < 3; i++) {
        p->factor = i < 2 ? 0.001F : 1;
        if (i != 1) fixed_sum(o.shards, o.head, p->factor, p->fixed);
        const int64_t allocations = sunup__allocations();
        step(p, x, &o, i > 0);
        MUST(&p->job, sunup__allocations() == allocations || i == 0);
        MUST(&p->job, p->repeats == (o.head > 0 && i != 1));
    }
    if (o.head > 0) carry_on(p, x, &o);
    if (o.head > 0) poison(p, x, &o);
    sunup__exchange_destroy(&x);
}

/* By the algorithms that only integers may take, where messages are sent. */
static void exactly(struct problem *p, struct exchange_options o)
{
    struct exchange *x;
    const char *name;
    o.k = &p->kernels;
    o.kind = SUM_INT32;
    o.data_n = o.head;
    MUST(&p->job, sunup__exchange_create(p->job.comm, &o, &x) == SUNUP_OK);
    p->factor = 1;
    fixed_sum(o.shards, o.head, p->factor, p->fixed);
    for (int i = 0; sunup__over_wire(x) && (name = sunup__exact_scatter_name(i)) != NULL; i++) {
        struct exchange_way way = {.bucket_bytes = 20000};
        (void)snprintf(way.route, sizeof way.route, "%s", name);
        MUST(&p->job, sunup__exchange_lay(x, &way) == SUNUP_OK);
        MUST(&p->job, o.head == 0 || strstr(sunup__exchange_text(x), name) != NULL);
        step(p, x, &o, i > 0);
        step(p, x, &o, true);
        MUST(&p->job, p->repeats == 0);
    }
    sunup__exchange_destroy(&x);
}

static void by_integers_ways(struct problem *p, int shards, int64_t n, int threads)
{
    struct exchange_options o = {.threads = threads, .shards = shards, .n = n, .head = n};
    by_integers(p, o);
    if (shards == SHARDS_MOST) exactly(p, o); /* a rank's row is one, whatever its shards */
    o.head = n - n / 3;
    by_integers(p, o);
    o.cut = cut_at_odd_places;
    by_integers(p, o);
    if (shards == SHARDS_MOST) exactly(p, o);
}

static void in_place(struct problem *p, int shards, int64_t n)
{
    int from, to;
    sunup__shards_of(shards, p->job.ranks, p->job.rank, &from, &to);
    float *terms = malloc((size_t)(to - from) * (size_t)n * sizeof *terms + 1);
    for (int i = from; i < to; i++) fill_hostile(i, n, false, terms + (i - from) * n);
    memset(p->out32, 0xff, sizeof p->out32);
    MUST(&p->job, sunup_comm_sum_shards(p->job.comm, shards, n, terms, p->out32 + 1) == SUNUP_OK);
    MUST(&p->job, memcmp(p->out32 + 1, p->right.f32, (size_t)n * sizeof(float)) == 0);
    free(terms);
}

/* A part of the sum on each rank, into the middle of words that stay. */
static void in_parts(struct problem *p, int shards, int64_t n)
{
    int from, to;
    const int64_t at = n * p->job.rank / p->job.ranks, part = n * (p->job.rank + 1) / p->job.ranks - at;
    sunup__shards_of(shards, p->job.ranks, p->job.rank, &from, &to);
    float *terms = malloc((size_t)(to - from) * (size_t)n * sizeof *terms + 1);
    float *sum = malloc((size_t)(part + 2) * sizeof *sum);
    for (int i = from; i < to; i++) fill_hostile(i, n, false, terms + (i - from) * n);
    sum[0] = sum[part + 1] = 7;
    MUST(&p->job, sunup_comm_scatter_shards(p->job.comm, shards, n, terms, sum + 1) == SUNUP_OK);
    MUST(&p->job, memcmp(sum + 1, p->right.f32 + at, (size_t)part * sizeof(float)) == 0);
    MUST(&p->job, sum[0] == 7 && sum[part + 1] == 7);
    free(terms);
    free(sum);
}

/* One communicator: all shard counts and sizes. */
static void sweep(struct problem *p)
{
    static const int shard_counts[] = {1, 2, 3, 5, 8, 12, 13, SHARDS_MOST};
    const int ranks = p->job.ranks;
    const int64_t sizes[N_SIZES] = {0, 1, ranks - 1, ranks, 1000, N_MOST};
    for (size_t s = 0; s < sizeof shard_counts / sizeof *shard_counts; s++) {
        const int shards = shard_counts[s];
        if (shards < ranks) continue;
        make_reference(p, shards);
        for (int i = 0; i < N_SIZES; i++) {
            struct exchange_options o = {.threads = 1 + i % 2, .shards = shards, .n = sizes[i]};
            streaming_ways(p, o);
            o.bf16 = true;
            streaming_ways(p, o);
            o.bf16 = false;
            o.f64 = true;
            streaming_ways(p, o);
            by_integers_ways(p, shards, least(sizes[i], 20011), 1 + i % 2);
            in_parts(p, shards, sizes[i]);
            in_place(p, shards, sizes[i]);
        }
        beyond_numbers(p, (struct exchange_options){.threads = 1, .shards = shards});
        const uint64_t hash = sunup__hash(p->out32 + 1, N_MOST * sizeof(float), 0);
        MUST(&p->job, sunup__comm_compare(p->job.comm, hash, "the sum") == SUNUP_OK);
    }
}

/* The same ranks with another bucket size: a second communicator beside the first. */
static void sweep_with_buckets(struct problem *p, int64_t bucket_bytes)
{
    sunup_comm *first = p->job.comm;
    sunup_comm_options options = sunup_comm_defaults();
    options.timeout_s = 30; /* before ctest gives up, so that who is missing is told */
    options.bucket_bytes = bucket_bytes;
    options.messages = true;
    MUST(&p->job, sunup_comm_create(p->job.ctx, &options, &p->job.comm) == SUNUP_OK);
    MUST(&p->job, sunup_comm_ranks(p->job.comm) == p->job.ranks);
    sweep(p);
    sunup_comm_destroy(&p->job.comm);
    p->job.comm = first;
}

int main(int argc, char **argv)
{
    static struct problem p;
    begin(&p.job, 60);
    if (argc > 1) MUST(&p.job, p.job.ranks == atoi(argv[1]));
    MUST(&p.job, sunup__kernels_init(&p.kernels, sunup__cpu_flags(), p.job.ctx->options.isa));
    sweep(&p);
    sweep_with_buckets(&p, 10007);
    sweep_with_buckets(&p, 32768);
    if (p.job.rank == 0) printf("sums right on %d ranks\n", p.job.ranks);
    end(&p.job);
    return 0;
}
