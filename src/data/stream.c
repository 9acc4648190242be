/* stream.c - batches in order, prepared one ahead by a thread of their own, or several together by the consumer's.
 *
 *   epoch e    sample order[i] = permute(seed, e)(i), or i
 *   batch b    order[b * batch ... ], cut into `shards` equal runs; the last one of an evaluation is spread evenly
 *
 *   consumer   next -> 0 | use 0        | next -> 1 | use 1        | next -> 2 ...
 *   thread     fill 0      fill 1 . . . .             fill 2 . . . .
 *
 * Slots: the batch in use, the one before it (still valid by contract) and those being filled. Nothing is allocated
 * after create. The thread draws no number and reads no clock that could depend on when it runs.
 * Batches of few bytes are filled by the consumer: a thread that wakes for some microseconds takes them twice from the
 * worker whose core it lands on (two cores, an MLP of 100,000 parameters: half of a step). So are samples that are
 * made, where the step has all cores: the system would take a worker off its core for milliseconds on end, in which
 * the others wait for the block that it has claimed. Some batches are then made together, so that each thread has
 * samples to make.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "base/trace.h"
#include "data/deliver.h"

enum { ALIGN = 64, MESSAGE = 512, FEW_BYTES = 1 << 19 };
enum {
    SAMPLES_PER_THREAD = 2,
    MOST_AHEAD = 16, /* made together: some for each, as they differ; batches */
    RUNS_PER_THREAD = 4,
    LONGEST_RUN = 8
};

struct slot {
    struct batch batch;
    int64_t *counts; /* [shards of this rank] */
    void ***data;    /* [shards of this rank][fields] */
    sunup_status status;
    char message[MESSAGE];
};

/* Samples of one shard of a batch. */
struct filling {
    const struct stream *s;
    struct slot *slot;
    struct random_permutation order; /* of the epoch's samples */
    int shard;
    int64_t position; /* of the first */
    int64_t count;
    atomic_llong bad; /* the first sample that cannot be delivered, or count */
};

struct stream {
    sunup_data *d;
    struct stream_options o;
    struct delivery *deliveries; /* [fields] */
    int n_deliveries;
    int64_t batches;          /* a pass */
    int ahead, n_slots;       /* batches that are filled together; 2 more */
    int64_t run;              /* samples of a shard that are filled one after the other */
    struct slot *slots;       /* [n_slots] */
    struct filling *fillings; /* [ahead][shards of this rank] */
    struct arena tables;
    void *numbers; /* of all slots */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool by_consumer, started, stop;
    int64_t filled, taken; /* batches since `first`; filled - taken is at most `ahead` */
};

/* ---- the thread ---- */

static int64_t sample_of(const struct filling *f, int64_t i)
{
    if (!f->s->o.shuffle) return f->position + i;
    return (int64_t)sunup__random_permute(&f->order, (uint64_t)(f->position + i));
}

static char *place(const struct filling *fill, int f, int64_t i)
{
    const struct delivery *d = &fill->s->deliveries[f];
    return (char *)fill->slot->data[fill->shard][f] + i * d->elements * d->y_bytes;
}

static bool make_sample(const struct filling *fill, int64_t i)
{
    const struct stream *s = fill->s;
    const sunup_sampler *sampler = &s->d->sampler;
    void *y[MAX_MADE];
    for (int f = 0; f < s->n_deliveries; f++) y[f] = place(fill, f, i);
    bool good = sampler->fill(sampler->arg, s->o.training ? fill->slot->batch.epoch : 0,
                              sample_of(fill, i), y);
    for (int f = 0; f < s->n_deliveries; f++)
        good = good && sunup__deliver_made(&s->deliveries[f], y[f]);
    return good;
}

static bool deliver_sample(const struct filling *fill, int64_t i, int64_t sample, int64_t next)
{
    const struct stream *s = fill->s;
    struct move move = {0};
    if (s->o.training)
        move = sunup__draw_move(&s->o.augment, s->o.seed, fill->slot->batch.epoch, sample);
    for (int f = 0; f < s->n_deliveries; f++) sunup__deliver_soon(&s->deliveries[f], next);
    bool good = true;
    for (int f = 0; f < s->n_deliveries; f++)
        good = sunup__deliver(&s->deliveries[f], sample, &move, place(fill, f, i)) && good;
    return good;
}

/* Samples [i, end), one after the other: each one's number is needed twice and drawn once. */
static void fill_samples(struct filling *fill, int64_t i, int64_t end)
{
    const bool made = fill->s->d->sampler.fill != NULL;
    int64_t next = made ? 0 : sample_of(fill, i);
    for (; i < end; i++) {
        const int64_t sample = next;
        if (!made && i + 1 < fill->count) next = sample_of(fill, i + 1);
        const bool good = made ? make_sample(fill, i) : deliver_sample(fill, i, sample, next);
        long long bad = atomic_load(&fill->bad);
        while (!good && i < bad && !atomic_compare_exchange_weak(&fill->bad, &bad, i)) {
        }
    }
}

/* The sentence about a bad sample of a shard: made or delivered again, to find the field. */
static void explain(const struct filling *fill, int64_t i)
{
    const struct stream *s = fill->s;
    struct slot *slot = fill->slot;
    const struct move still = {0};
    const bool made = s->d->sampler.fill != NULL;
    if (made) (void)make_sample(fill, i);
    for (int f = 0; f < s->n_deliveries && slot->status == SUNUP_OK; f++) {
        const struct delivery *d = &s->deliveries[f];
        char *y = place(fill, f, i);
        if (made ? !sunup__deliver_made(d, y) : !sunup__deliver(d, sample_of(fill, i), &still, y))
            slot->status = sunup__deliver_error(d, sample_of(fill, i), made ? y : NULL,
                                                slot->message, sizeof slot->message);
    }
    if (slot->status != SUNUP_OK) return;
    slot->status = SUNUP_E_ARGUMENT;
    (void)snprintf(slot->message, sizeof slot->message, "the sampler cannot make sample %lld",
                   (long long)sample_of(fill, i));
}

/* Zeros after a short shard's samples: the network computes on them too. */
static void clear_rest(const struct stream *s, struct slot *slot, int shard)
{
    const int64_t count = slot->counts[shard];
    for (int f = 0; f < s->n_deliveries; f++) {
        const int64_t bytes = s->deliveries[f].elements * s->deliveries[f].y_bytes;
        memset((char *)slot->data[shard][f] + count * bytes, 0,
               (size_t)((slot->batch.count - count) * bytes));
    }
}

/* Runs of samples that a shard has room for. */
static int64_t runs(const struct stream *s)
{
    return ceil_div(s->o.batch / s->o.shards, s->run);
}

/* Task i: a run of samples, shard by shard. */
static void fill_task(void *arg, int64_t i)
{
    const struct stream *s = arg;
    struct filling *fill = &s->fillings[i / runs(s)];
    const int64_t from = i % runs(s) * s->run;
    if (from < fill->count) fill_samples(fill, from, least(fill->count, from + s->run));
}

static void begin_batch(struct stream *s, int64_t number, struct filling *fillings)
{
    struct slot *slot = &s->slots[number % s->n_slots];
    const int64_t in_epoch = number % s->batches;
    const int64_t start = in_epoch * s->o.batch;
    const int64_t left = s->d->samples - start;
    const int64_t n = left < s->o.batch ? left : s->o.batch;
    slot->batch.number = number;
    slot->batch.epoch = number / s->batches;
    slot->status = SUNUP_OK;
    const struct random_stream epoch = {s->o.seed, RANDOM_SHUFFLE, 0, (uint64_t)slot->batch.epoch};
    const struct random_permutation order = sunup__random_permutation(&epoch, (uint64_t)s->d->samples);
    for (int k = s->o.from; k < s->o.to; k++) {
        const int64_t from = k * n / s->o.shards, to = (k + 1) * n / s->o.shards;
        slot->counts[k - s->o.from] = to - from;
        fillings[k - s->o.from] =
            (struct filling){s, slot, order, k - s->o.from, start + from, to - from, to - from};
    }
}

static void end_shard(const struct filling *fill)
{
    if (fill->bad < fill->count && fill->slot->status == SUNUP_OK) explain(fill, fill->bad);
    clear_rest(fill->s, fill->slot, fill->shard);
}

static bool at_end(const struct stream *s, int64_t number)
{
    return !s->o.training && number >= s->batches;
}

/* The next batches, up to `ahead` of them; returns how many. */
static int64_t fill(struct stream *s, int64_t number, int threads)
{
    const double traced_s = sunup__trace_now(s->d->ctx);
    const int64_t shards = s->o.to - s->o.from;
    int64_t n = 0;
    for (; n < s->ahead && !at_end(s, number + n); n++)
        begin_batch(s, number + n, s->fillings + n * shards);
    sunup__parallel(threads, n * shards * runs(s), fill_task, s);
    for (int64_t i = 0; i < n * shards; i++) end_shard(&s->fillings[i]);
    sunup__trace_add(s->d->ctx, TRACE_DATA, "batch", number, traced_s);
    return n;
}

static void *work(void *arg)
{
    struct stream *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->stop && (s->filled > s->taken || at_end(s, s->o.first + s->filled)))
            (void)pthread_cond_wait(&s->changed, &s->lock);
        if (s->stop) break;
        const int64_t number = s->o.first + s->filled;
        (void)pthread_mutex_unlock(&s->lock);
        const int64_t more = fill(s, number, 1);
        (void)pthread_mutex_lock(&s->lock);
        s->filled += more;
        (void)pthread_cond_broadcast(&s->changed);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Signals are for the program's own threads: the new one inherits a mask that blocks all. */
static bool start_thread(struct stream *s)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    s->started = pthread_create(&s->thread, NULL, work, s) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->started;
}

/* ---- creation ---- */

static sunup_status check_options(const sunup_data *d, const struct stream_options *o)
{
    sunup_context *ctx = d->ctx;
    const sunup_augment *g = &o->augment;
    CHECK(o->batch >= 1 && o->shards >= 1 && o->batch % o->shards == 0, ctx, E_ARGUMENT,
          "a batch of %lld samples cannot be cut into %d equal shards; choose a batch that is a "
          "multiple of the shards",
          (long long)o->batch, o->shards);
    CHECK(0 <= o->from && o->from <= o->to && o->to <= o->shards, ctx, E_ARGUMENT,
          "shards %d to %d are not among %d", o->from, o->to, o->shards);
    CHECK(
        !o->training || o->batch <= d->samples, ctx, E_ARGUMENT,
        "the batch of %lld is larger than the data, which have %lld samples; choose a batch of at "
        "most %lld",
        (long long)o->batch, (long long)d->samples, (long long)d->samples);
    CHECK(o->first >= 0, ctx, E_ARGUMENT, "the first batch is %lld; it must be 0 or more",
          (long long)o->first);
    CHECK(g->shift >= 0 && g->crop >= 0, ctx, E_ARGUMENT,
          "augmentation: shift is %d and crop %d; they must be 0 or more", g->shift, g->crop);
    const bool made = d->sampler.fill != NULL;
    CHECK(!made || (g->shift == 0 && g->crop == 0 && !g->flip), ctx, E_UNSUPPORTED,
          "samples that a sampler makes are not augmented; let the sampler do it");
    CHECK(d->live.fill == NULL, ctx, E_UNSUPPORTED,
          "samples that follow from the network's output are for training only; evaluate on "
          "others");
    return SUNUP_OK;
}

static sunup_status create_deliveries(struct stream *s)
{
    s->deliveries = sunup__alloc((size_t)s->d->n_fields * sizeof *s->deliveries);
    CHECK(s->deliveries != NULL, s->d->ctx, E_MEMORY, "no memory for a stream of data");
    for (int f = 0; f < s->d->n_fields; f++) {
        TRY(sunup__delivery_create(s->d->ctx, &s->d->fields[f], &s->deliveries[f]));
        s->n_deliveries++;
    }
    return SUNUP_OK;
}

/* Bytes of field f in a shard, so that the next one starts aligned too. */
static int64_t field_bytes(const struct stream *s, int f)
{
    const struct delivery *d = &s->deliveries[f];
    const int64_t bytes = s->o.batch / s->o.shards * d->elements * d->y_bytes;
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Tables of one slot over numbers[]; returns where the next slot's begin, NULL without memory. */
static char *create_slot(struct stream *s, struct slot *slot, char *numbers)
{
    const int shards = s->o.to - s->o.from;
    slot->counts = sunup__arena_alloc(&s->tables, (size_t)shards * sizeof *slot->counts);
    slot->data = sunup__arena_alloc(&s->tables, (size_t)shards * sizeof *slot->data);
    if (slot->counts == NULL || slot->data == NULL) return NULL;
    for (int k = 0; k < shards; k++) {
        slot->data[k] = sunup__arena_alloc(&s->tables, (size_t)s->n_deliveries * sizeof(void *));
        if (slot->data[k] == NULL) return NULL;
        for (int f = 0; f < s->n_deliveries; f++) {
            slot->data[k][f] = numbers;
            numbers += field_bytes(s, f);
        }
    }
    slot->batch = (struct batch){.count = s->o.batch / s->o.shards,
                                 .n_shards = shards,
                                 .counts = slot->counts,
                                 .data = (void *const *const *)slot->data};
    return numbers;
}

/* Who fills batches of so many bytes, and how many at a time. */
static void share_work(struct stream *s, int64_t bytes)
{
    const int threads = s->d->ctx->threads;
    const bool few = bytes <= FEW_BYTES,
               busy = s->d->sampler.fill != NULL && threads >= sunup__cpu_count();
    const int64_t samples = s->o.batch / s->o.shards * (s->o.to - s->o.from),
                  wanted = (int64_t)SAMPLES_PER_THREAD * threads;
    s->by_consumer = few || busy;
    s->ahead = 1;
    if (busy && samples > 0) s->ahead = (int)((wanted + samples - 1) / samples);
    if (s->ahead > MOST_AHEAD) s->ahead = MOST_AHEAD;
    s->n_slots = s->ahead + 2;
    const int64_t run = samples / ((int64_t)RUNS_PER_THREAD * threads);
    s->run = busy || run < 1 ? 1 : least(run, LONGEST_RUN);
}

static sunup_status create_slots(struct stream *s)
{
    sunup_context *ctx = s->d->ctx;
    const int shards = s->o.to - s->o.from;
    int64_t bytes = 0;
    for (int f = 0; f < s->n_deliveries; f++) bytes += field_bytes(s, f);
    bytes *= shards;
    share_work(s, bytes);
    bytes *= s->n_slots;
    CHECK(bytes <= sunup__memory_available(), ctx, E_MEMORY,
          "%d batches of %lld samples need %.1f MB and %.1f MB are free; choose a smaller batch",
          s->n_slots, (long long)s->o.batch, 1e-6 * (double)bytes,
          1e-6 * (double)sunup__memory_available());
    s->slots = sunup__arena_alloc(&s->tables, (size_t)s->n_slots * sizeof *s->slots);
    s->fillings = sunup__arena_alloc(&s->tables, (size_t)(s->ahead * shards) * sizeof *s->fillings);
    char *numbers = s->numbers = sunup__alloc_aligned((size_t)bytes);
    if (s->slots == NULL || s->fillings == NULL) numbers = NULL;
    for (int i = 0; i < s->n_slots && numbers != NULL; i++)
        numbers = create_slot(s, &s->slots[i], numbers);
    CHECK(numbers != NULL, ctx, E_MEMORY, "no memory for %d batches of %.1f MB together",
          s->n_slots, 1e-6 * (double)bytes);
    return SUNUP_OK;
}

static sunup_status create(struct stream *s)
{
    TRY(check_options(s->d, &s->o));
    const int64_t samples = s->d->samples, batch = s->o.batch;
    s->batches = s->o.training ? samples / batch : (samples + batch - 1) / batch;
    TRY(create_deliveries(s));
    TRY(create_slots(s));
    CHECK(s->by_consumer || start_thread(s), s->d->ctx, E_MEMORY,
          "the thread that prepares batches cannot be started");
    return SUNUP_OK;
}

sunup_status sunup__stream_create(sunup_data *d, const struct stream_options *o,
                                  struct stream **out)
{
    *out = NULL;
    struct stream *s = sunup__alloc(sizeof *s);
    CHECK(s != NULL, d->ctx, E_MEMORY, "no memory for a stream of data");
    s->d = d;
    s->o = *o;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    const sunup_status status = create(s);
    *out = s;
    if (status != SUNUP_OK) sunup__stream_destroy(out);
    return status;
}

void sunup__stream_destroy(struct stream **stream)
{
    if (stream == NULL || *stream == NULL) return;
    struct stream *s = *stream;
    if (s->started) {
        (void)pthread_mutex_lock(&s->lock);
        s->stop = true;
        (void)pthread_cond_broadcast(&s->changed);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    for (int f = 0; f < s->n_deliveries; f++) sunup__delivery_end(&s->deliveries[f]);
    sunup__free(s->deliveries);
    sunup__arena_end(&s->tables);
    sunup__free(s->numbers);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    sunup__free(s);
    *stream = NULL;
}

int64_t sunup__stream_batches(const struct stream *s)
{
    return s->batches;
}

sunup_status sunup__stream_next(struct stream *s, const struct batch **b)
{
    *b = NULL;
    if (at_end(s, s->o.first + s->taken)) return SUNUP_E_END; /* no failure: no sentence */
    if (s->by_consumer && s->filled == s->taken)
        s->filled += fill(s, s->o.first + s->filled, s->d->ctx->threads);
    (void)pthread_mutex_lock(&s->lock);
    while (s->filled == s->taken) (void)pthread_cond_wait(&s->changed, &s->lock);
    struct slot *slot = &s->slots[(s->o.first + s->taken) % s->n_slots];
    if (slot->status == SUNUP_OK) s->taken++; /* a bad batch stays: asking again fails again */
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    if (slot->status != SUNUP_OK) return sunup__raise(s->d->ctx, slot->status, "%s", slot->message);
    *b = &slot->batch;
    return SUNUP_OK;
}
