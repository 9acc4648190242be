/* flip_ranks.c - one flipped bit in what one rank sent, received or summed is found, and all ranks are told.
 *
 * For every rank in turn, in each way of exchange ("sums", "messages", SUNUP_NODE_RANKS; in f32, bf16 and int32), and
 * ("calls") in every algorithm of every collective that moves a caller's bytes: it is right without a flip, gives
 * E_PEER on all ranks with one, and is right again afterwards. With "random" instead: many calls without a flip, none
 * of which may be found guilty, whatever the numbers.
 */
#include <math.h>
#include <sunup.h>

#include "base/system.h"
#include "comm/inside.h"
#include "ranks.h"

enum { N_MOST = 40000, SHARDS = 8 };

static int named; /* findings that told the tensors */

struct flip {
    const char *what;
    bool armed, done;
    int64_t bit;
    int64_t landed; /* bytes of all messages */
    const char *from, *to; /* messages that land elsewhere are left alone; NULL: anywhere */
};

static void flip_bit(void *arg, const char *what, void *data, int64_t bytes)
{
    struct flip *f = arg;
    if (strcmp(what, "message") == 0) f->landed += bytes;
    if (!f->armed || f->done || strcmp(what, f->what) != 0 || bytes == 0) return;
    if (f->from != NULL && ((char *)data < f->from || (char *)data >= f->to)) return;
    ((unsigned char *)data)[f->bit / 8 % bytes] ^= (unsigned char)(1 << f->bit % 8);
    f->done = true;
}

static float plain_term(int shard, int j)
{
    return (float)(shard + j % 13);
}

static sunup_status sum(struct job *job, struct exchange *x, int n_terms, float (*term)(int shard, int j))
{
    int from, to;
    sunup__shards_of(SHARDS, job->ranks, job->rank, &from, &to);
    for (int i = from; i < to; i++) {
        float *slot = sunup__exchange_slot(x);
        for (int j = 0; j < n_terms; j++) slot[j] = term(i, j);
        sunup__exchange_push(x);
    }
    return sunup__exchange_reduce(x, "gradients");
}

static sunup_status step(struct job *job, struct exchange *x, int n_terms, float (*term)(int shard, int j))
{
    int64_t word = 0;
    sunup__comm_verify(job->comm, true);
    sunup_status status = sum(job, x, n_terms, term);
    if (status == SUNUP_OK && sunup__exchange_again(x)) status = sum(job, x, n_terms, term);
    if (status == SUNUP_OK) status = sunup__exchange_combine(x, "norm", 1, &word);
    const struct slice *own;
    const int n = sunup__exchange_slices(x, job->rank, &own);
    for (int i = 0; i < n; i++) sunup__exchange_give(x, own[i].at, own[i].n);
    const sunup_status shared = sunup__exchange_share(x, "weights");
    return status != SUNUP_OK ? status : shared;
}

struct flip_case {
    int n, culprit;
    int64_t bit;
};

/* Elements of the gradients are in tensors of 1000. */
static void name_tensors(const void *arg, struct slice s, char *room)
{
    (void)arg;
    (void)snprintf(room, NAMES_TEXT, "'tensor %d' to 'tensor %d'", (int)(s.at / 1000), (int)((s.at + s.n - 1) / 1000));
}

/* Of what is added: who added it, in which collective, in which tensors unless it is in the tail. */
static void check_row(struct job *job, const struct flip *f, int culprit)
{
    char adds[64], received[64];
    const bool added = strcmp(f->what, "added") == 0;
    if (!added && strcmp(f->what, "row") != 0) return;
    (void)snprintf(adds, sizeof adds, "rank %d added ", culprit);
    (void)snprintf(received, sizeof received, "rank %d received other numbers", culprit);
    MUST(job, error_says(job, adds) || (!added && error_says(job, received)));
    MUST(job, error_says(job, "in \"gradients\" (collective ") || error_says(job, "largest terms"));
    named += error_says(job, "(in the numbers of 'tensor ");
}

static void try_flip(struct job *job, struct exchange *x, struct flip *f, struct flip_case c)
{
    *f = (struct flip){.what = f->what, .armed = job->rank == c.culprit, .bit = c.bit};
    const sunup_status status = step(job, x, c.n, plain_term);
    int64_t done = f->done;
    MUST(job, status == SUNUP_OK || status == SUNUP_E_PEER);
    MUST(job, sunup__exchange_combine(x, "was a bit flipped", 1, &done) == SUNUP_OK);
    MUST(job, (status == SUNUP_E_PEER) == (done > 0)); /* some ranks have nothing to flip */
    MUST(job, status == SUNUP_OK || error_says(job, "flips bits") || error_says(job, "differs between ranks"));
    if (status == SUNUP_E_PEER) check_row(job, f, c.culprit);
    f->armed = false;
    MUST(job, step(job, x, c.n, plain_term) == SUNUP_OK);
    if (job->rank == 0 && c.culprit == job->ranks - 1 && done > 0) printf("found: %s\n", f->what);
}

enum way { F32, BF16, INT32, WAYS };

/* Returns the bytes that land in a step. */
static int64_t try_all(struct job *job, const struct kernels *k, const char *what, int n, enum way way)
{
    struct exchange *x;
    struct flip f = {.what = what};
    const struct exchange_options o = {.k = k,
                                       .threads = 1,
                                       .shards = SHARDS,
                                       .n = n,
                                       .head = n - n / 40,
                                       .data_n = n,
                                       .bf16 = way == BF16,
                                       .name = name_tensors,
                                       .kind = way == INT32 ? SUM_INT32 : SUM_TREE};
    job->comm->tamper = flip_bit;
    job->comm->tamper_arg = &f;
    MUST(job, sunup__exchange_create(job->comm, &o, &x) == SUNUP_OK);
    MUST(job, step(job, x, n, plain_term) == SUNUP_OK);
    f.landed = 0;
    MUST(job, step(job, x, n, plain_term) == SUNUP_OK);
    const int64_t landed = f.landed;
    for (int r = 0; r < job->ranks; r++)
        for (int64_t bit = 3; bit < 100000; bit = bit * 31 + 1) try_flip(job, x, &f, (struct flip_case){n, r, bit});
    sunup__exchange_destroy(&x);
    job->comm->tamper = NULL;
    return landed;
}

static void try_exchanges(struct job *job, bool messages)
{
    struct kernels k;
    int64_t landed[WAYS];
    const char *what = messages ? "message" : "sum";
    MUST(job, sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    for (enum way way = F32; way < WAYS; way++) {
        landed[way] = try_all(job, &k, what, N_MOST, way);
        try_all(job, &k, what, 120, way); /* a small sum */
    }
    try_all(job, &k, "integers", N_MOST, INT32);
    try_all(job, &k, "received", N_MOST, INT32); /* the largest terms, which decide whether all repeat */
    for (enum way way = F32; messages && way < WAYS; way++) {
        try_all(job, &k, "row", N_MOST, way);
        try_all(job, &k, "added", N_MOST, way);
    }
    MUST(job, !messages || named > 0);
    /* Half of the reduce, all of the share: 3/4, and the tail; with one row a rank. */
    const bool one_row = (SHARDS % job->ranks) == 0;
    MUST(job, !messages || !one_row || (7 * landed[F32] < 10 * landed[BF16] && 5 * landed[BF16] < 4 * landed[F32]));
}

/* --- the caller's bytes --- */

enum { BYTES_MOST = 600000, RANKS_MOST = 16 };

struct bytes_call {
    enum collective what;
    int64_t bytes;
    int root;
};

static char *own, *all; /* [ranks][BYTES_MOST] */

/* As much as a call of so many bytes a rank reads or writes. */
static void fill_bytes(const struct job *job, int64_t bytes)
{
    uint32_t seed = (uint32_t)job->rank + 1;
    for (int64_t i = 0; i < job->ranks * bytes; i++)
        own[i] = all[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
}

static sunup_status move(struct job *job, const struct bytes_call *c)
{
    if (c->what == COLLECTIVE_broadcast) return sunup__comm_broadcast(job->comm, all, c->bytes, c->root, "bytes");
    if (c->what == COLLECTIVE_allgather) return sunup__comm_gather(job->comm, own, c->bytes, all, "bytes");
    return sunup__comm_alltoall(job->comm, own, c->bytes, all, "bytes");
}

/* Who is named must be who it was. */
static void check_name(struct job *job, const struct flip *f, int culprit)
{
    char name[64];
    MUST(job, error_says(job, "(collective ") && error_says(job, "in \"bytes\""));
    if (strcmp(f->what, "message") == 0) return; /* it may have been passed on */
    (void)snprintf(name, sizeof name, strcmp(f->what, "sent") == 0 ? "than rank %d sent" : "rank %d received", culprit);
    MUST(job, error_says(job, name));
}

static int64_t try_bytes(struct job *job, struct flip *f, const struct bytes_call *c, int culprit, int64_t bit)
{
    const bool message = strcmp(f->what, "message") == 0;
    int64_t done[RANKS_MOST], found = 0;
    fill_bytes(job, c->bytes);
    *f = (struct flip){.what = f->what, .armed = job->rank == culprit, .bit = bit};
    if (message) f->from = all, f->to = all + (int64_t)job->ranks * BYTES_MOST;
    const sunup_status status = move(job, c);
    const int64_t mine = f->done;
    f->armed = false;
    MUST(job, status == SUNUP_OK || status == SUNUP_E_PEER);
    if (status == SUNUP_E_PEER) check_name(job, f, culprit);
    MUST(job, sunup__comm_gather(job->comm, &mine, sizeof mine, done, "was a bit flipped") == SUNUP_OK);
    for (int r = 0; r < job->ranks; r++) found += done[r];
    MUST(job, (status == SUNUP_E_PEER) == (found > 0));
    MUST(job, move(job, c) == SUNUP_OK);
    return found;
}

/* Returns how many flips were found, of this algorithm and size. */
static int64_t try_size(struct job *job, struct flip *f, struct bytes_call c)
{
    int64_t found = 0;
    for (int culprit = 0; culprit < job->ranks; culprit++) {
        c.root = c.what == COLLECTIVE_broadcast ? (culprit * 2 + 1) % job->ranks : 0;
        found += try_bytes(job, f, &c, culprit, 8 * c.bytes - 1);
        c.root = c.what == COLLECTIVE_broadcast ? culprit : 0;
        found += try_bytes(job, f, &c, culprit, 5);
    }
    return found;
}

static void try_algorithm(struct job *job, struct flip *f, enum collective what, const char *name)
{
    static const char *const places[] = {"sent", "message", "received"};
    static const int64_t sizes[] = {1, 100, 3000, BYTES_MOST};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        const bool ours = strcmp(name, "shared") != 0 && strcmp(name, "mpi") != 0;
        int64_t found = 0;
        f->what = places[p];
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            found += try_size(job, f, (struct bytes_call){.what = what, .bytes = sizes[i]});
        MUST(job, (found > 0) == (ours || p != 1)); /* no message of ours, nothing to flip */
        if (job->rank == 0) printf("found: %lld %s in %s\n", (long long)found, places[p], name);
    }
}

/* The public sum's totals, and its messages. */
static void try_sum(struct job *job, struct flip *f, const char *what, int culprit)
{
    static float terms[SHARDS * 1000], total[1000];
    const int64_t n = culprit % 2 ? 3 : 1000;
    for (int armed = 1; armed >= 0; armed--) {
        int64_t done[RANKS_MOST], found = 0;
        for (int i = 0; i < SHARDS * 1000; i++) terms[i] = (float)(i % 7);
        *f = (struct flip){.what = what, .armed = armed && job->rank == culprit, .bit = 77};
        const sunup_status status = sunup_comm_sum_shards(job->comm, SHARDS, n, terms, total);
        const int64_t mine = f->done;
        f->armed = false;
        MUST(job, sunup__comm_gather(job->comm, &mine, sizeof mine, done, "was a bit flipped") == SUNUP_OK);
        for (int r = 0; r < job->ranks; r++) found += done[r];
        MUST(job, status == (found > 0 ? SUNUP_E_PEER : SUNUP_OK));
    }
}

static void try_calls(struct job *job)
{
    struct flip f = {.what = ""};
    job->comm->tamper = flip_bit;
    job->comm->tamper_arg = &f;
    sunup__comm_verify(job->comm, true);
    for (int w = COLLECTIVE_broadcast; w <= COLLECTIVE_alltoall; w++) {
        const enum collective what = (enum collective)w;
        for (int i = 0; sunup__collective_algorithm(what, i) != NULL; i++)
            if (sunup__comm_force(job->comm, what, sunup__collective_algorithm(what, i)))
                try_algorithm(job, &f, what, sunup__collective_algorithm(what, i));
        MUST(job, sunup__comm_force(job->comm, what, NULL));
    }
    for (int culprit = 0; culprit < job->ranks; culprit++) {
        try_sum(job, &f, "received", culprit);
        try_sum(job, &f, "message", culprit);
    }
    job->comm->tamper = NULL;
}

/* --- no flip, no finding --- */

static float odd_term(int shard, int j)
{
    static const float odd[] = {-0.0F, INFINITY, -INFINITY, 3e38F, -3e38F, 1e-45F, 1};
    if (j % 5 == 0) return j % 2 ? NAN : -NAN;
    return odd[(shard + j) % (int)(sizeof odd / sizeof *odd)];
}

static void random_calls(struct job *job)
{
    uint32_t seed = 5;
    fill_bytes(job, BYTES_MOST);
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        const int64_t range = i % 100 == 0 ? BYTES_MOST : i % 10 == 0 ? 10000 : 40;
        const struct bytes_call c = {.what = (enum collective)(seed >> 20) % COLLECTIVE_barrier,
                                     .bytes = (seed >> 8) % range,
                                     .root = (int)(seed >> 5) % job->ranks};
        MUST(job, move(job, &c) == SUNUP_OK);
    }
}

static void random_sums(struct job *job)
{
    static const int sizes[] = {1, 40, 2500, N_MOST};
    struct kernels k;
    MUST(job, sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    for (enum way way = F32; way < WAYS; way++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int part = 0; part < 3; part++) {
                struct exchange *x;
                const int n = sizes[i];
                const struct exchange_options o = {.k = &k, .threads = 1, .shards = SHARDS, .n = n, .data_n = n,
                                                   .head = n * part / 2, .bf16 = way == BF16 && part > 0,
                                                   .kind = way == INT32 ? SUM_INT32 : SUM_TREE};
                MUST(job, sunup__exchange_create(job->comm, &o, &x) == SUNUP_OK);
                for (int s = 0; s < 4; s++)
                    MUST(job, step(job, x, n, s % 2 ? plain_term : odd_term) == SUNUP_OK);
                sunup__exchange_destroy(&x);
            }
}

int main(int argc, char **argv)
{
    struct job job;
    begin(&job, 60);
    const char *mode = argc > 1 ? argv[1] : "";
    own = malloc((size_t)job.ranks * BYTES_MOST);
    all = malloc((size_t)job.ranks * BYTES_MOST);
    MUST(&job, own != NULL && all != NULL && job.ranks <= RANKS_MOST);
    sunup__comm_verify(job.comm, true);
    if (strcmp(mode, "calls") == 0) try_calls(&job);
    if (strcmp(mode, "random") == 0) random_calls(&job);
    if (strcmp(mode, "random") == 0) random_sums(&job);
    if (strcmp(mode, "sums") == 0) try_exchanges(&job, false);
    if (strcmp(mode, "messages") == 0) try_exchanges(&job, true);
    if (job.rank == 0) printf("flips found on %d ranks\n", job.ranks);
    free(own);
    free(all);
    end(&job);
    return 0;
}
