/* sim.c - the exchange of gradients at thousands of ranks, simulated: how long it takes on a model
 * of a network, and that its bits are the tree's.
 *
 *     sim time ROUTE ELEMENTS BUCKET_BYTES ADDS_GBS      one sum over all ranks, a shard each
 *     sim bits ROUTE ELEMENTS BUCKET_BYTES SHARDS        the same with real numbers, checked
 *     sim train ROUTE BUCKET_BYTES STEP_MS               a step of ResNet-50 and its sums
 *
 * ROUTE: a name of algorithms.def, "chosen", or radices as in 8x5x5x5. ADDS_GBS: memory traffic of
 * the additions in GB/s, 0: they take no time.
 *
 * Owes: lines of figures for `run`. The algorithms are those of src/comm, the network is SimGrid's
 * model of the platform file: simulated, never measured. Noise, other jobs and work inside a node
 * are not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "comm/tree_sum.h"
#include "base/memory.h"
#include "comm/wire.h"
#include "sim.h"

#define START_S 1.0 /* all ranks begin at this simulated time: a barrier ends at different ones */

/* Of all ranks. */
static struct {
    int ranks, *rank, *from, shards;
    double *end_s;
    uint64_t hash;
    float *right; /* [n] the tree's sum */
    struct route route;
} job;

struct rank {
    struct sunup_comm comm;
    struct wire wire;
    struct sum sum;
    struct stages *st;
    int64_t bucket_bytes;
};

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "sim: %s\n", what);
    exit(2);
}

/* --- what all ranks share --- */

static struct network network(void)
{
    return (struct network){.latency_s = 1.5e-6,
                            .message_s = 0,
                            .bytes_per_s = 0.92 * 200e9,
                            .far_bytes_per_s = 0.92 * 165 * 25e9 / 64,
                            .neighbours = 64};
}

static void read_radices(const char *text, struct route *r)
{
    int product = 1;
    *r = (struct route){.name = text};
    for (const char *at = text; *at && r->stages < ROUTE_STAGES; at += *at == 'x') {
        r->radix[r->stages] = (int)strtol(at, (char **)(void *)&at, 10);
        if (r->radix[r->stages] < 2) refuse("a radix below 2");
        product *= r->radix[r->stages++];
    }
    if (product != job.ranks) refuse("the radices do not multiply to the number of ranks");
}

static void find_route(const char *name, const struct group *g, int64_t bytes)
{
    const struct network net = network();
    if (*name >= '0' && *name <= '9') {
        read_radices(name, &job.route);
        return;
    }
    if (strcmp(name, "chosen") == 0) {
        sunup__route_choose(&net, g, job.shards, bytes, &job.route);
        return;
    }
    for (int i = 0; i < sunup__routes(); i++)
        if (sunup__route(i, job.ranks, &net, &job.route) && strcmp(job.route.name, name) == 0)
            return;
    refuse("there is no such route for this number of ranks");
}

static void share_group(struct rank *r, const char *route)
{
    job.rank = calloc((size_t)job.ranks, sizeof *job.rank);
    job.from = calloc((size_t)job.ranks + 1, sizeof *job.from);
    job.end_s = calloc((size_t)job.ranks, sizeof *job.end_s);
    sim.sent_bytes = calloc((size_t)job.ranks, sizeof *sim.sent_bytes);
    sim.owed_s = calloc((size_t)job.ranks, sizeof *sim.owed_s);
    for (int i = 0; i < job.ranks; i++) {
        job.rank[i] = i;
        sunup__shards_of(job.shards, job.ranks, i, &job.from[i], &job.from[i + 1]);
    }
    const struct group g = {job.ranks, 0, job.rank, job.from};
    find_route(route, &g, r->sum.n * 4);
}

/* --- one rank --- */

static void open_rank(struct rank *r, const char *route)
{
    r->wire.all = MPI_COMM_WORLD;
    static sunup_context untraced;
    r->comm.ctx = &untraced;
    r->comm.wire = &r->wire;
    MPI_Comm_rank(MPI_COMM_WORLD, &r->comm.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &r->comm.ranks);
    job.ranks = r->comm.ranks;
    job.shards = r->sum.shards > 0 ? r->sum.shards : job.ranks;
    r->sum.shards = job.shards;
    if (!job.rank) share_group(r, route); /* whoever comes first: no other rank runs meanwhile */
    const struct group g = {job.ranks, r->comm.rank, job.rank, job.from};
    const struct stages_options o = {
        .sum = &r->sum, .group = &g, .route = &job.route, .bucket_bytes = r->bucket_bytes};
    if (sunup__stages_create(&r->comm, &o, &r->st) != SUNUP_OK) refuse("no exchange");
}

static int own_subtrees(const struct rank *r, int *start, int *level)
{
    const int me = r->comm.rank;
    return sunup__subtrees(job.shards, job.from[me], job.from[me + 1], start, level);
}

static void start_together(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    const double now_s = MPI_Wtime();
    if (now_s > START_S) refuse("ranks are late at the start");
    sim_sleep(START_S - now_s);
}

static void note_end(const struct rank *r)
{
    job.end_s[r->comm.rank] = MPI_Wtime() - START_S;
    MPI_Barrier(MPI_COMM_WORLD);
}

/* --- reports --- */

static double last_end_s(void)
{
    double last = 0;
    for (int i = 0; i < job.ranks; i++)
        if (job.end_s[i] > last) last = job.end_s[i];
    return last;
}

static int64_t most_sent(void)
{
    int64_t most = 0;
    for (int i = 0; i < job.ranks; i++)
        if (sim.sent_bytes[i] > most) most = sim.sent_bytes[i];
    return most;
}

static void print_costs(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const double cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                         1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    printf(",%.1f,%ld\n", cpu_s, u.ru_maxrss / 1024);
}

static void print_route(void)
{
    printf("%s,", job.route.name);
    for (int j = 0; j < job.route.stages; j++) printf("%s%d", j ? "x" : "", job.route.radix[j]);
}

/* nodes,route,radices,simulated ms,bytes that a rank sends at most,CPU s,resident MB */
static void report_time(const char *what)
{
    printf("%s,%d,", what, job.ranks);
    print_route();
    printf(",%.4f,%lld", 1e3 * last_end_s(), (long long)most_sent());
    print_costs();
}

/* --- time --- */

static void run_time(struct rank *r)
{
    int start[TREE_DEPTH], level[TREE_DEPTH];
    char *row[TREE_DEPTH], *all = sunup__alloc_aligned(0);
    const int rows = own_subtrees(r, start, level);
    for (int i = 0; i < rows; i++) row[i] = all;
    start_together();
    sunup__stages_sum(r->st, row, all);
    note_end(r);
    if (r->comm.rank == 0) report_time("time");
}

/* --- bits --- */

static uint64_t hash_of(const void *data, size_t bytes)
{
    const unsigned char *x = data;
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++) h = (h ^ x[i]) * 1099511628211u;
    return h;
}

static void make_right(int64_t n)
{
    job.right = calloc((size_t)n + 1, sizeof *job.right);
    for (int64_t i = 0; i < n; i++)
        job.right[i] = tree_sum_f32(job.shards, tree_height(job.shards), 0, i);
    job.hash = hash_of(job.right, (size_t)n * sizeof *job.right);
}

static float *real_row(int level, int start, int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; x && i < n; i++) x[i] = tree_sum_f32(job.shards, level, start, i);
    return x;
}

static void run_bits(struct rank *r)
{
    int start[TREE_DEPTH], level[TREE_DEPTH];
    char *row[TREE_DEPTH];
    const int64_t n = r->sum.n;
    const int rows = own_subtrees(r, start, level);
    if (!job.right) make_right(n);
    for (int i = 0; i < rows; i++) row[i] = (char *)real_row(level[i], start[i], n);
    float *total = calloc((size_t)n + 1, sizeof *total);
    start_together();
    sunup__stages_sum(r->st, row, (char *)total);
    if (memcmp(total, job.right, (size_t)n * sizeof *total) != 0) {
        printf("rank %d of %d: the sum is not the tree's\n", r->comm.rank, r->comm.ranks);
        exit(1);
    }
    note_end(r);
    if (r->comm.rank != 0) return;
    printf("bits,%d,", job.ranks);
    print_route();
    printf(",%d shards,%016llx", job.shards, (unsigned long long)job.hash);
    print_costs();
}

/* --- train --- */

/* ResNet-50 (K. He et al. 2015): parameters of a convolution and its norm, or of the last layer,
 * and its multiplications, which decide its share of the backward pass. */
enum { LAYERS_MOST = 64 };
struct net_layer {
    double parameters, work;
};

static int add_convolution(struct net_layer *l, int n, int in, int out, int taps, int pixels)
{
    l[n].parameters = (double)in * out * taps + 2.0 * out;
    l[n].work = (double)in * out * taps * pixels * pixels;
    return n + 1;
}

static int resnet50(struct net_layer *l)
{
    static const int blocks[] = {3, 4, 6, 3};
    int n = add_convolution(l, 0, 3, 64, 49, 112), in = 64;
    for (int s = 0; s < 4; s++)
        for (int b = 0; b < blocks[s]; b++) {
            const int width = 64 << s, pixels = 56 >> s;
            n = add_convolution(l, n, in, width, 1, pixels);
            n = add_convolution(l, n, width, width, 9, pixels);
            n = add_convolution(l, n, width, 4 * width, 1, pixels);
            if (b == 0) n = add_convolution(l, n, in, 4 * width, 1, pixels);
            in = 4 * width;
        }
    l[n] = (struct net_layer){2048 * 1000 + 1000, 2048 * 1000};
    return n + 1;
}

static double total_work(const struct net_layer *l, int layers)
{
    double all = 0;
    for (int i = 0; i < layers; i++) all += l[i].work;
    return all;
}

static int64_t parameters(void)
{
    struct net_layer l[LAYERS_MOST];
    double n = 0;
    for (int i = resnet50(l) - 1; i >= 0; i--) n += l[i].parameters;
    return (int64_t)n;
}

/* Gradients lie in the order in which they become complete, from the last layer to the first. A
 * third of the step is the forward pass. After each layer: buckets that are complete start, and
 * what has landed goes on. */
static void step(struct rank *r, double step_s)
{
    struct net_layer l[LAYERS_MOST];
    char *all = sunup__alloc_aligned(0), *row[] = {all};
    const int layers = resnet50(l), buckets = sunup__stages_buckets(r->st);
    const double work = total_work(l, layers);
    double complete = 0;
    int next = 0;
    bool done;
    sunup__stages_begin(r->st, STAGES_SUM, row, all);
    sim_sleep(step_s / 3);
    for (int i = layers - 1; i >= 0; i--) {
        sim_sleep(step_s * 2 / 3 * l[i].work / work);
        complete += l[i].parameters;
        for (; next < buckets; next++) {
            const struct slice b = sunup__stages_bucket(r->st, next);
            if ((double)(b.at + b.n) > complete) break;
            sunup__stages_start(r->st, next);
        }
        sunup__stages_progress(r->st, &done);
    }
    sunup__stages_finish(r->st);
}

/* As for time, with the step's time without sums over its time with them in per cent before the
 * costs. */
static void run_train(struct rank *r, double step_s)
{
    start_together();
    step(r, step_s);
    note_end(r);
    if (r->comm.rank != 0) return;
    printf("train,%d,", job.ranks);
    print_route();
    printf(",%.4f,%.2f", 1e3 * last_end_s(), 100 * step_s / last_end_s());
    print_costs();
}

/* --- main --- */

static void fold(int64_t elements)
{
    sim.folded = true;
    sim.folded_bytes = elements * 4 * 8 + (64 << 20);
}

int main(int argc, char **argv)
{
    struct rank r = {.sum = {.threads = 1}};
    MPI_Init(&argc, &argv);
    const bool train = argc > 1 && strcmp(argv[1], "train") == 0;
    if (argc != (train ? 5 : 6)) refuse("see the head of sim.c for what it takes");
    r.sum.n = train ? parameters() : atoll(argv[3]);
    r.bucket_bytes = atoll(argv[train ? 3 : 4]);
    if (strcmp(argv[1], "bits") == 0) r.sum.shards = atoi(argv[5]);
    if (strcmp(argv[1], "time") == 0) sim.adds_bytes_per_s = 1e9 * atof(argv[5]);
    if (strcmp(argv[1], "bits") != 0) fold(r.sum.n);
    open_rank(&r, argv[2]);
    if (train)
        run_train(&r, 1e-3 * atof(argv[4]));
    else if (sim.folded)
        run_time(&r);
    else
        run_bits(&r);
    MPI_Finalize();
    return 0;
}
