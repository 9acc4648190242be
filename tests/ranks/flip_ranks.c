/* flip_ranks.c - one flipped bit in what one rank summed or received is found, and all ranks are told.
 *
 * For every rank in turn, in each way of exchange (one node, messages, SUNUP_NODE_RANKS; in f32 and bf16): a
 * training-like step is right without a flip, gives E_PEER on all ranks with one, and is right again afterwards.
 */
#include <sunup.h>

#include "base/system.h"
#include "comm/inside.h"
#include "ranks.h"

enum { N_MOST = 40000, SHARDS = 8 };

struct flip {
    const char *what;
    bool armed, done;
    int64_t bit;
    int64_t landed; /* bytes of all messages */
};

static void flip_bit(void *arg, const char *what, void *data, int64_t bytes)
{
    struct flip *f = arg;
    if (strcmp(what, "message") == 0) f->landed += bytes;
    if (!f->armed || f->done || strcmp(what, f->what) != 0 || bytes == 0) return;
    ((unsigned char *)data)[f->bit / 8 % bytes] ^= (unsigned char)(1 << f->bit % 8);
    f->done = true;
}

static sunup_status step(struct job *job, struct exchange *x, int n_terms)
{
    int from, to;
    int64_t word = 0;
    sunup__exchange_verify(x, true);
    sunup__shards_of(SHARDS, job->ranks, job->rank, &from, &to);
    for (int i = from; i < to; i++) {
        float *slot = sunup__exchange_slot(x);
        for (int j = 0; j < n_terms; j++) slot[j] = (float)(i + j % 13);
        sunup__exchange_push(x);
    }
    sunup_status status = sunup__exchange_reduce(x, "gradients");
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

static void try_flip(struct job *job, struct exchange *x, struct flip *f, struct flip_case c)
{
    *f = (struct flip){.what = f->what, .armed = job->rank == c.culprit, .bit = c.bit};
    const sunup_status status = step(job, x, c.n);
    int64_t done = f->done;
    MUST(job, status == SUNUP_OK || status == SUNUP_E_PEER);
    MUST(job, sunup__exchange_combine(x, "was a bit flipped", 1, &done) == SUNUP_OK);
    MUST(job, (status == SUNUP_E_PEER) == (done > 0)); /* some ranks have nothing to flip */
    MUST(job, status == SUNUP_OK || error_says(job, "flips bits"));
    f->armed = false;
    MUST(job, step(job, x, c.n) == SUNUP_OK);
    if (job->rank == 0 && c.culprit == job->ranks - 1 && done > 0) printf("found: %s\n", f->what);
}

/* Returns the bytes that land in a step. */
static int64_t try_all(struct job *job, const struct kernels *k, bool messages, int n, bool bf16)
{
    struct exchange *x;
    struct flip f = {.what = messages ? "message" : "sum"};
    const struct exchange_options o = {.k = k,
                                       .threads = 1,
                                       .shards = SHARDS,
                                       .n = n,
                                       .head = n - n / 40,
                                       .data_n = n,
                                       .bf16 = bf16};
    job->comm->tamper = flip_bit;
    job->comm->tamper_arg = &f;
    MUST(job, sunup__exchange_create(job->comm, &o, &x) == SUNUP_OK);
    MUST(job, step(job, x, n) == SUNUP_OK);
    const int64_t landed = f.landed;
    for (int r = 0; r < job->ranks; r++)
        for (int64_t bit = 3; bit < 100000; bit = bit * 31 + 1) try_flip(job, x, &f, (struct flip_case){n, r, bit});
    sunup__exchange_destroy(&x);
    job->comm->tamper = NULL;
    return landed;
}

int main(int argc, char **argv)
{
    struct job job;
    struct kernels k;
    begin(&job, 60);
    MUST(&job, sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    const bool messages = argc > 1 && strcmp(argv[1], "messages") == 0;
    int64_t landed[2];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        landed[bf16] = try_all(&job, &k, messages, N_MOST, bf16);
        try_all(&job, &k, messages, 120, bf16); /* a small sum */
    }
    /* Half of the reduce, all of the share: 3/4, and the tail. */
    MUST(&job, !messages || (7 * landed[0] < 10 * landed[1] && 5 * landed[1] < 4 * landed[0]));
    end(&job);
    return 0;
}
