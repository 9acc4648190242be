/* halo_ranks.c - groups of ranks that hold slabs: rows come from whom they should, sums have all
 * terms, however often and whichever way; a failure of one is told to its group; a rank that stops
 * is named with its number in the job and the layer; so are two ranks between which a bit flips.
 *
 *   halo_ranks GROUP           groups of so many ranks, by shared memory and by messages
 *   halo_ranks GROUP flip      each rank in turn flips a bit of what it gives or of what lands
 *   halo_ranks GROUP stop      the last rank stops after two runs
 */
#include <signal.h>
#include <unistd.h>

#include "base/system.h"
#include "comm/halo.h"
#include "comm/inside.h"
#include "graph/interpret.h"
#include "ranks.h"

enum { ROWS = 2, WIDTH = 700, REACH = 3, RUNS = 6, MOST = 16 };

struct net {
    sunup_graph *g;
    sunup_value *x, *y[2]; /* the slab's window; the sum over the group's slabs */
    struct interpreter run;
    struct parts parts;
    struct kernels k;
};

static int64_t clip(int64_t row, int64_t rows)
{
    return row < 0 ? 0 : row > rows ? rows : row;
}

/* Each rank of a group of n holds one slab of ROWS rows and reads REACH more on both sides. */
static void build(struct job *job, struct halo *h, int n, struct net *net)
{
    int64_t cut[MOST + 1], from[MOST], to[MOST];
    for (int s = 0; s <= n; s++) cut[s] = s * ROWS;
    for (int s = 0; s < n; s++) {
        from[s] = clip(cut[s] - REACH, cut[n]);
        to[s] = clip(cut[s + 1] + REACH, cut[n]);
    }
    net->parts = (struct parts){n, job->rank % n, 1, sunup__halo_link(h)};
    MUST(job, sunup_graph_create(job->ctx, NULL, &net->g) == SUNUP_OK);
    net->x = sunup_input(net->g, "x", SUNUP_F32, SUNUP_SHAPE(ROWS, WIDTH));
    sunup__graph_layer(net->g, "conv7");
    sunup__windows(&net->parts, 0, (struct windows){cut, from, to}, &net->x, &net->y[0]);
    sunup__combine(&net->parts, &net->x, &net->y[1]);
    MUST(job, sunup_graph_finish(net->g) == SUNUP_OK);
    MUST(job, sunup__halo_reserve(h, net->g) == SUNUP_OK);
    MUST(job, sunup__kernels_init(&net->k, sunup__cpu_flags(), NULL));
    MUST(job, sunup__interpreter_create(net->g, 2, net->y, &net->run) == SUNUP_OK);
    net->run.kernels = &net->k;
    net->run.threads = 1;
}

static float number(int group, int run, int64_t row, int64_t column)
{
    return (float)(group * 1000000 + run * 10000 + row * 1000 + column);
}

static sunup_status run(struct job *job, struct net *net, int count)
{
    const int n = net->parts.n, group = job->rank / n, me = job->rank % n;
    float *x = sunup__interpreter_memory(&net->run, net->x);
    for (int64_t i = 0; i < (int64_t)ROWS * WIDTH; i++)
        x[i] = number(group, count, me * ROWS + i / WIDTH, i % WIDTH);
    const sunup_status status = sunup__interpreter_run(&net->run);
    if (status != SUNUP_OK) return status;
    const float *y = sunup__interpreter_memory(&net->run, net->y[0]),
                *sum = sunup__interpreter_memory(&net->run, net->y[1]);
    const int64_t first = clip(me * ROWS - REACH, n * ROWS);
    for (int64_t i = 0; i < sunup__elements(&net->y[0]->shape); i++)
        MUST(job, y[i] == number(group, count, first + i / WIDTH, i % WIDTH));
    for (int64_t i = 0; i < (int64_t)ROWS * WIDTH; i++) {
        float want = number(group, count, i / WIDTH, i % WIDTH);
        for (int s = 1; s < n; s++) want += number(group, count, s * ROWS + i / WIDTH, i % WIDTH);
        MUST(job, sum[i] == want);
    }
    return SUNUP_OK;
}

static void end_net(struct net *net)
{
    sunup__interpreter_end(&net->run);
    sunup_graph_destroy(&net->g);
}

/* The last rank of each group fails instead of a run: the others learn its words in their turn. */
static void failure_is_told(struct job *job, struct halo *h, struct net *net)
{
    const int n = net->parts.n, culprit = job->rank / n * n + n - 1;
    char says[32];
    sunup_status mine;
    if (job->rank == culprit)
        mine = sunup__raise(job->ctx, SUNUP_E_FORMAT, "a damaged volume");
    else
        mine = run(job, net, 0);
    MUST(job, sunup__halo_settle(h, mine) == SUNUP_E_FORMAT);
    MUST(job, error_says(job, "a damaged volume"));
    (void)snprintf(says, sizeof says, "rank %d: ", culprit);
    MUST(job, job->rank == culprit || error_says(job, says));
    MUST(job, sunup__halo_settle(h, run(job, net, 1)) == SUNUP_OK);
}

static void work(struct job *job, int each, bool messages)
{
    struct halo *h;
    struct net net;
    job->comm->options.messages = messages;
    MUST(job, sunup__halo_create(job->comm, each, &h) == SUNUP_OK);
    build(job, h, each, &net);
    for (int i = 0; i < RUNS; i++) MUST(job, sunup__halo_settle(h, run(job, &net, i)) == SUNUP_OK);
    failure_is_told(job, h, &net);
    end_net(&net);
    sunup__halo_destroy(&h);
}

/* --- a flipped bit --- */

struct flip {
    const char *what;
    int64_t bit;
    bool armed, done;
};

static void flip_bit(void *arg, const char *what, void *data, int64_t bytes)
{
    struct flip *f = arg;
    if (!f->armed || f->done || strcmp(what, f->what) != 0) return;
    ((unsigned char *)data)[f->bit / 8 % bytes] ^= (unsigned char)(1 << f->bit % 8);
    f->done = true;
}

/* Found by all ranks of its group and by nobody else, with the names of the rank and the layer. */
static void try_flip(struct job *job, struct halo *h, struct net *net, struct flip *f, int culprit)
{
    const int each = net->parts.n;
    const bool mine = job->rank / each == culprit / each, sent = strcmp(f->what, "sent") == 0;
    char says[48];
    f->armed = job->rank == culprit;
    f->done = false;
    const sunup_status status = sunup__halo_settle(h, run(job, net, 2));
    MUST(job, f->done == f->armed);
    MUST(job, status == (mine ? SUNUP_E_PEER : SUNUP_OK));
    (void)snprintf(says, sizeof says, sent ? "than rank %d sent in \"" : "rank %d received other", culprit);
    MUST(job, !mine || (error_says(job, says) && error_says(job, "in \"margins of 'conv7'\" (collective ")));
    f->armed = false;
    MUST(job, sunup__halo_settle(h, run(job, net, 3)) == SUNUP_OK);
}

static void flips(struct job *job, int each, bool messages)
{
    struct halo *h;
    struct net net;
    struct flip f = {.what = messages ? "message" : "sent"};
    job->comm->options.messages = messages;
    job->comm->tamper = flip_bit; /* its groups' as well */
    job->comm->tamper_arg = &f;
    MUST(job, sunup__halo_create(job->comm, each, &h) == SUNUP_OK);
    build(job, h, each, &net);
    sunup__comm_verify(job->comm, true);
    for (int culprit = 0; culprit < job->ranks; culprit++)
        for (f.bit = 3; f.bit < 100000; f.bit = f.bit * 31 + 1) try_flip(job, h, &net, &f, culprit);
    sunup__comm_verify(job->comm, false);
    job->comm->tamper = NULL;
    end_net(&net);
    sunup__halo_destroy(&h);
    if (job->rank == 0) printf("found: %s\n", f.what);
}

/* --- a rank that stops --- */

static void stop(struct job *job, int each)
{
    struct halo *h;
    struct net net;
    sunup_status status = SUNUP_OK;
    const int culprit = job->ranks - 1;
    char absent[32];
    MUST(job, sunup__halo_create(job->comm, each, &h) == SUNUP_OK);
    build(job, h, each, &net);
    for (int i = 0; i < RUNS && status == SUNUP_OK; i++) {
        if (job->rank == culprit && i == 2) raise(SIGSTOP);
        status = run(job, &net, i);
    }
    if (job->rank / each < culprit / each) sleep(10); /* the other group goes on */
    MUST(job, status == SUNUP_E_HANG);
    printf("report: %s\n", sunup_error(job->ctx));
    fflush(stdout);
    (void)snprintf(absent, sizeof absent, "absent: rank %d on ", culprit);
    MUST(job, error_says(job, absent));
    MUST(job, error_says(job, "stopped, state T"));
    MUST(job, error_says(job, "\"margins of 'conv7'\""));
    MUST(job, sunup__comm_barrier(job->comm, "after") == SUNUP_E_HANG);
    MUST(job, error_says(job, "can only be destroyed"));
    sunup__comm_abort(job->comm, 124);
}

int main(int argc, char **argv)
{
    const int each = argc > 1 ? atoi(argv[1]) : 2;
    const char *mode = argc > 2 ? argv[2] : "";
    struct job job;
    begin(&job, strcmp(mode, "stop") == 0 ? 2 : 60);
    if (strcmp(mode, "stop") == 0) stop(&job, each);
    for (int messages = 0; messages < 2; messages++)
        (strcmp(mode, "flip") == 0 ? flips : work)(&job, each, messages != 0);
    if (job.rank == 0) printf("halos right in groups of %d\n", each);
    end(&job);
    return 0;
}
