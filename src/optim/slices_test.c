/* slices_test.c - optimizers that own slices: threads play ranks, each with its share of the chunks, and together they
 * must do what one optimizer over everything does, bit for bit: weights, moments, norms and refusals.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "optim/optim.h"

enum { N = 16 * 4000, SEGMENTS = 5, RANKS_MOST = 7, SLICES_MOST = 64, STEPS = 3 };

static const struct segment segments[SEGMENTS] = {{"a", 0, 50021, false, NULL},
                                                  {"empty", 50048, 0, true, NULL},
                                                  {"b", 50048, 13, true, NULL},
                                                  {"c", 50064, 4096, false, NULL},
                                                  {"d", 54160, 2 * 16 - 1, true, NULL}};

/* All that the ranks of a run share; every rank has its row of all else. */
struct world {
    sunup_optimizer_options o;
    struct kernels k;
    bool f64;
    int ranks, n_slices[RANKS_MOST];
    struct slice slices[RANKS_MOST][SLICES_MOST];
    pthread_barrier_t barrier;
    pthread_mutex_t mutex;
    int64_t words[4096];
    double bad; /* a gradient element of the second step; 0: none */
    char g[N * sizeof(double)], w[N * sizeof(double)];
    char moments[3][N * sizeof(double)];
    unsigned char given[N]; /* times in the last step */
};

struct rank {
    struct world *world;
    int number;
    sunup_context *ctx;
    struct optimizer *opt;
    sunup_status status;
    double norm;
    char error[256];
};

static int64_t width(const struct world *v)
{
    return v->f64 ? sizeof(double) : sizeof(float);
}

static void put(const struct world *v, void *flat, int64_t i, double x)
{
    if (v->f64)
        ((double *)flat)[i] = x;
    else
        ((float *)flat)[i] = (float)x;
}

static struct optimizer_job job_of(const struct world *v)
{
    return (struct optimizer_job){.k = &v->k,
                                  .threads = 1,
                                  .f64 = v->f64,
                                  .n = N,
                                  .n_segments = SEGMENTS,
                                  .segments = segments};
}

/* --- ranks --- */

static sunup_status combine(void *arg, int64_t n, int64_t *words)
{
    struct world *v = ((struct rank *)arg)->world;
    if (n > (int64_t)(sizeof v->words / sizeof v->words[0])) return SUNUP_E_INTERNAL;
    if (pthread_barrier_wait(&v->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        memset(v->words, 0, sizeof v->words);
    (void)pthread_barrier_wait(&v->barrier);
    (void)pthread_mutex_lock(&v->mutex);
    for (int64_t i = 0; i < n; i++) v->words[i] += words[i];
    (void)pthread_mutex_unlock(&v->mutex);
    (void)pthread_barrier_wait(&v->barrier);
    memcpy(words, v->words, (size_t)n * sizeof *words);
    return SUNUP_OK;
}

static void give(void *arg, int64_t at, int64_t n)
{
    struct world *v = ((struct rank *)arg)->world;
    for (int64_t i = at; i < at + n; i++) v->given[i]++;
}

static void *run_step(void *arg)
{
    struct rank *r = arg;
    const struct optimizer_ranks ranks = {combine, give, r};
    const bool alone = r->world->ranks == 1;
    r->status = sunup__optimizer_step(r->opt, 0.01, 0.5, r->world->g, r->world->w,
                                      alone ? NULL : &ranks, &r->norm);
    (void)snprintf(r->error, sizeof r->error, "%s", sunup_error(r->ctx));
    return NULL;
}

static void open_rank(struct world *v, struct rank *r, int number)
{
    struct optimizer_job job = job_of(v);
    job.n_slices = v->n_slices[number];
    job.slices = v->slices[number];
    *r = (struct rank){.world = v, .number = number};
    assert_int_equal(sunup_context_create(NULL, &r->ctx), SUNUP_OK);
    assert_int_equal(sunup__optimizer_create(r->ctx, &v->o, &job, &r->opt), SUNUP_OK);
}

/* The whole moments, from the ranks' slices. */
static void keep_moments(struct world *v, const struct rank *r)
{
    for (int m = 0; m < sunup__optimizer_moments(r->opt); m++) {
        const char *own = sunup__optimizer_moment(r->opt, m);
        for (int i = 0; i < v->n_slices[r->number]; i++) {
            const struct slice *s = &v->slices[r->number][i];
            memcpy(v->moments[m] + s->at * width(v), own, (size_t)(s->n * width(v)));
            own += s->n * width(v);
        }
    }
}

/* --- a run --- */

static void fill_gradient(struct world *v, int step)
{
    for (int s = 0; s < SEGMENTS; s++) { /* what lies between is nobody's to read */
        for (int64_t i = segments[s].at; i < segments[s].at + segments[s].n; i++)
            put(v, v->g, i, cos((double)i * (step + 1)) * ldexp(1, (int)(i % 40) - 30));
    }
    if (step == 1 && v->bad != 0) put(v, v->g, 50050, v->bad);
}

static void run_ranks(struct world *v, struct rank *r)
{
    pthread_t thread[RANKS_MOST];
    memset(v->given, 0, sizeof v->given);
    for (int i = 0; i < v->ranks; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_step, &r[i]), 0);
    for (int i = 0; i < v->ranks; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void check_given(const struct world *v)
{
    for (int64_t i = 0, s = 0; i < N && v->ranks > 1; i++) {
        while (s < SEGMENTS && i >= segments[s].at + segments[s].n) s++;
        assert_int_equal(v->given[i], s < SEGMENTS && i >= segments[s].at);
    }
}

/* All ranks return the same; updates counts those that were not refused. */
static void check_ranks(const struct world *v, const struct rank *r, bool bad, int64_t updates)
{
    for (int i = 0; i < v->ranks; i++) {
        assert_int_equal(r[i].status, bad ? SUNUP_E_NAN : SUNUP_OK);
        assert_true(!bad || strstr(r[i].error, "'b'") != NULL);
        assert_memory_equal(&r[i].norm, &r[0].norm, sizeof(double));
        assert_int_equal(sunup__optimizer_steps(r[i].opt), updates);
    }
}

static void run_steps(struct world *v, struct rank *r, double *norms)
{
    int64_t updates = 0;
    for (int step = 0; step < STEPS; step++) {
        const bool bad = step == 1 && v->bad != 0;
        fill_gradient(v, step);
        run_ranks(v, r);
        updates += !bad;
        check_ranks(v, r, bad, updates);
        if (!bad) check_given(v);
        norms[step] = bad ? 0 : r[0].norm;
    }
}

static void run(struct world *v, double *norms)
{
    struct rank r[RANKS_MOST];
    assert_int_equal(pthread_barrier_init(&v->barrier, NULL, (unsigned)v->ranks), 0);
    assert_int_equal(pthread_mutex_init(&v->mutex, NULL), 0);
    memset(v->g, 0xff, sizeof v->g);
    memset(v->w, 0, sizeof v->w);
    for (int64_t i = 0; i < N; i++) put(v, v->w, i, sin((double)i));
    for (int i = 0; i < v->ranks; i++) open_rank(v, &r[i], i);
    run_steps(v, r, norms);
    for (int i = 0; i < v->ranks; i++) {
        keep_moments(v, &r[i]);
        sunup__optimizer_destroy(&r[i].opt);
        sunup_context_destroy(&r[i].ctx);
    }
    (void)pthread_barrier_destroy(&v->barrier);
    (void)pthread_mutex_destroy(&v->mutex);
}

static void own_everything(struct world *v)
{
    v->ranks = 1;
    v->n_slices[0] = 1;
    v->slices[0][0] = (struct slice){0, N};
}

/* Slices that end where they may, nearest to random places, dealt out at random; a rank may get none. */
static void deal_slices(struct world *v, uint64_t seed)
{
    const struct random_stream s = {.seed = seed, .purpose = RANDOM_TEST};
    const struct optimizer_job job = job_of(v);
    uint64_t drawn = 0;
    v->ranks = 2 + (int)(sunup__random_unit(&s, drawn++) * (RANKS_MOST - 1));
    memset(v->n_slices, 0, sizeof v->n_slices);
    for (int64_t at = 0; at < N;) {
        const double step = sunup__random_unit(&s, drawn++) * 12000;
        int64_t end = sunup__optimizer_cut(&job, at + (int64_t)step);
        if (end <= at) end = sunup__optimizer_cut(&job, at + 4096);
        if (end <= at) end = N;
        const int r = (int)(sunup__random_unit(&s, drawn++) * v->ranks);
        assert_true(v->n_slices[r] < SLICES_MOST && end > at);
        v->slices[r][v->n_slices[r]++] = (struct slice){at, end - at};
        at = end;
    }
}

static struct world whole, parts;

static void same_bits_as_the_whole(const sunup_optimizer_options *o, bool f64, double bad)
{
    double want[STEPS], norms[STEPS];
    memset(&whole, 0, sizeof whole);
    memset(&parts, 0, sizeof parts);
    whole.o = parts.o = *o;
    whole.f64 = parts.f64 = f64;
    whole.bad = parts.bad = bad;
    assert_true(sunup__kernels_init(&whole.k, sunup__cpu_flags(), NULL));
    parts.k = whole.k;
    own_everything(&whole);
    run(&whole, want);
    for (uint64_t seed = 0; seed < 6; seed++) {
        deal_slices(&parts, seed);
        run(&parts, norms);
        assert_memory_equal(norms, want, sizeof want);
        assert_memory_equal(parts.w, whole.w, sizeof whole.w);
        assert_memory_equal(parts.moments, whole.moments, sizeof whole.moments);
    }
}

static void slices_change_no_bit(void **state)
{
    (void)state;
    static const char *const types[] = {"sgd",     "adam", "adamw", "adamax", "adagrad", "radam", "ranger",
                                        "rmsprop", "lars", "lamb"};
    for (int i = 0; i < 20; i++) {
        sunup_optimizer_options o = sunup_optimizer_defaults();
        o.type = types[i / 2];
        o.clip_norm = 1;
        o.momentum = strstr("sgd rmsprop lars", o.type) ? 0.9 : 0;
        o.weight_decay = 0.01;
        o.centered = strcmp(o.type, "rmsprop") == 0;
        same_bits_as_the_whole(&o, i % 2, 0);
    }
}

static void a_bad_gradient_is_told_everywhere(void **state)
{
    (void)state;
    static const char *const types[] = {"sgd", "lars", "lamb"};
    for (int i = 0; i < 9; i++) {
        sunup_optimizer_options o = sunup_optimizer_defaults();
        o.type = types[i / 3];
        same_bits_as_the_whole(&o, false,
                               i % 3 == 0   ? (double)NAN
                               : i % 3 == 1 ? INFINITY
                                            : -INFINITY);
    }
}

/* --- where slices may end --- */

static void cuts_lie_between_chunks(void **state)
{
    (void)state;
    const struct world v = {.f64 = false};
    const struct optimizer_job job = job_of(&v);
    int64_t last = 0;
    for (int64_t at = 0; at <= N; at++) {
        const int64_t cut = sunup__optimizer_cut(&job, at);
        assert_true(cut <= at && cut >= last && cut % 16 == 0);
        assert_int_equal(sunup__optimizer_cut(&job, cut), cut);
        assert_true(at == N || at > 54160 || at - cut < 4096);
        last = cut;
    }
    assert_int_equal(sunup__optimizer_cut(&job, 0), 0);
    assert_int_equal(sunup__optimizer_cut(&job, N), N);
    assert_int_equal(sunup__optimizer_cut(&job, 2049), 2048);
    assert_int_equal(sunup__optimizer_cut(&job, 50047), 50021 / 2048 * 2048);
    assert_int_equal(sunup__optimizer_cut(&job, 50063), 50048);
}

static void refuses(const struct slice *slices, int n, const char *part)
{
    struct kernels k;
    sunup_context *ctx;
    struct optimizer *opt;
    struct world v = {.f64 = false};
    struct optimizer_job job = job_of(&v);
    assert_true(sunup__kernels_init(&k, sunup__cpu_flags(), NULL));
    job.k = &k;
    job.slices = slices;
    job.n_slices = n;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(sunup__optimizer_create(ctx, NULL, &job, &opt), SUNUP_E_ARGUMENT);
    if (!strstr(sunup_error(ctx), part)) fail_msg("'%s' lacks '%s'", sunup_error(ctx), part);
    sunup_context_destroy(&ctx);
}

static void refuses_slices_that_cut_chunks(void **state)
{
    (void)state;
    refuses((struct slice[]){{0, 100}}, 1, "within a chunk");
    refuses((struct slice[]){{100, N - 100}}, 1, "within a chunk");
    refuses((struct slice[]){{2048, 2048}, {0, 2048}}, 2, "slice 1 is [0, +2048)");
    refuses((struct slice[]){{0, N + 1}}, 1, "slice 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_change_no_bit),
        cmocka_unit_test(a_bad_gradient_is_told_everywhere),
        cmocka_unit_test(cuts_lie_between_chunks),
        cmocka_unit_test(refuses_slices_that_cut_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
