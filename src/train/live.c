/* live.c - samples that follow from what the network said before, and the state from which they do.
 *
 *   next    the own places' samples of the coming batch, from their states
 *   keep    a shard has run: its output, kept until the whole batch is known to be good
 *   seen    the batch is good on all ranks: each own place is shown its output, and its state may
 * change
 *
 * A place of the batch belongs to a shard and with it to one rank: states never travel but into a
 * checkpoint, one rank's after another's, and back. A batch that is computed again is the same
 * batch: nothing is filled or shown twice. Invariant: a state is a function of the run's
 * definition and of the weights up to this batch.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "data/deliver.h"
#include "train/trainer.h"

enum { ALIGN = 64, MESSAGE = 512 };

struct live {
    const sunup_live *o;
    struct delivery *deliveries; /* [fields] */
    int n_fields;
    int64_t first, places; /* own places */
    int64_t output_bytes;  /* of a place */
    char *state, *output;  /* [places][bytes] */
    char *numbers;         /* of all fields */
    void ***data;          /* [own shards][fields], into numbers */
    int64_t *counts;
    struct arena tables;
    struct batch batch;
    int64_t next;
    atomic_llong bad; /* the first own place that cannot be filled, or places */
};

/* ---- creation ---- */

static int64_t round_up(int64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static int64_t field_bytes(const struct live *l, int f)
{
    return round_up(l->batch.count * l->deliveries[f].elements * l->deliveries[f].y_bytes);
}

static int64_t numbers_bytes(const struct live *l)
{
    int64_t bytes = 0;
    for (int f = 0; f < l->n_fields; f++) bytes += field_bytes(l, f);
    return bytes * l->batch.n_shards;
}

int64_t sunup__live_bytes(const struct live *l)
{
    return l->places * (l->o->state_bytes + l->output_bytes) + numbers_bytes(l);
}

static bool reserve(struct live *l)
{
    const size_t shards = (size_t)l->batch.n_shards, fields = (size_t)l->n_fields;
    l->state = sunup__alloc_aligned((size_t)(l->places * l->o->state_bytes + ALIGN));
    l->output = sunup__alloc_aligned((size_t)(l->places * l->output_bytes + ALIGN));
    char *numbers = l->numbers = sunup__alloc_aligned((size_t)(numbers_bytes(l) + ALIGN));
    l->data = sunup__arena_alloc(&l->tables, shards * sizeof *l->data);
    l->counts = sunup__arena_alloc(&l->tables, shards * sizeof *l->counts);
    if (!l->state || !l->output || !l->numbers || !l->data || !l->counts) return false;
    memset(l->state, 0, (size_t)(l->places * l->o->state_bytes));
    for (size_t k = 0; k < shards; k++) {
        l->counts[k] = l->batch.count;
        l->data[k] = sunup__arena_alloc(&l->tables, fields * sizeof **l->data);
        if (l->data[k] == NULL) return false;
        for (int f = 0; f < l->n_fields; f++) {
            l->data[k][f] = numbers;
            numbers += field_bytes(l, f);
        }
    }
    l->batch.counts = l->counts;
    l->batch.data = (void *const *const *)l->data;
    return true;
}

static sunup_status check(const sunup_trainer *t)
{
    const sunup_value *y = t->pass->output;
    CHECK(t->o.parts == 1, t->ctx, E_UNSUPPORTED,
          "samples that follow from the network's output cannot be cut into %d parts", t->o.parts);
    CHECK(t->o.augment.shift == 0 && t->o.augment.crop == 0 && !t->o.augment.flip, t->ctx,
          E_UNSUPPORTED, "samples that follow from the network's output are not augmented");
    CHECK(y != NULL && y->shape.n > 0 && y->shape.d[0] == t->pass->count, t->ctx, E_ARGUMENT,
          "samples that follow from the network's output need a value \"output\" with a row for "
          "each of %lld samples",
          (long long)t->pass->count);
    return SUNUP_OK;
}

static sunup_status create(sunup_trainer *t, struct live *l)
{
    const sunup_value *y = t->pass->output;
    l->o = &t->data->live;
    l->first = t->from * t->pass->count;
    l->places = (t->to - t->from) * t->pass->count;
    l->output_bytes = sunup__elements(&y->shape) / t->pass->count * sunup_dtype_bytes(y->dtype);
    l->batch = (struct batch){.count = t->pass->count, .n_shards = t->to - t->from};
    l->deliveries = sunup__alloc((size_t)t->data->n_fields * sizeof *l->deliveries);
    CHECK(l->deliveries != NULL, t->ctx, E_MEMORY, "no memory for samples");
    for (; l->n_fields < t->data->n_fields; l->n_fields++)
        TRY(sunup__delivery_create(t->ctx, &t->data->fields[l->n_fields],
                                   &l->deliveries[l->n_fields]));
    CHECK(reserve(l), t->ctx, E_MEMORY, "no memory for %lld places of %.1f MB together",
          (long long)l->places, 1e-6 * (double)sunup__live_bytes(l));
    return SUNUP_OK;
}

sunup_status sunup__live_create(sunup_trainer *t, struct live **live)
{
    *live = NULL;
    if (t->data->live.fill == NULL) return SUNUP_OK;
    TRY(check(t));
    struct live *l = *live = sunup__alloc(sizeof *l);
    CHECK(l != NULL, t->ctx, E_MEMORY, "no memory for samples");
    return create(t, l); /* the trainer frees it */
}

void sunup__live_destroy(struct live **live)
{
    struct live *l = *live;
    if (l == NULL) return;
    for (int f = 0; f < l->n_fields; f++) sunup__delivery_end(&l->deliveries[f]);
    sunup__free(l->deliveries);
    sunup__free(l->state);
    sunup__free(l->output);
    sunup__free(l->numbers);
    sunup__arena_end(&l->tables);
    sunup__free(l);
    *live = NULL;
}

/* ---- a batch ---- */

static char *sample_at(const struct live *l, int64_t own, int f)
{
    const struct delivery *d = &l->deliveries[f];
    return (char *)l->data[own / l->batch.count][f] +
           own % l->batch.count * d->elements * d->y_bytes;
}

static void fill_place(void *live, int64_t own)
{
    struct live *l = live;
    void *y[MAX_MADE];
    for (int f = 0; f < l->n_fields; f++) y[f] = sample_at(l, own, f);
    bool good = l->o->fill(l->o->arg, l->batch.number, l->first + own,
                           l->state + own * l->o->state_bytes, y);
    for (int f = 0; f < l->n_fields; f++)
        good = good && sunup__deliver_made(&l->deliveries[f], y[f]);
    long long bad = atomic_load(&l->bad);
    while (!good && own < bad && !atomic_compare_exchange_weak(&l->bad, &bad, own)) {
    }
}

/* The field with a number that cannot be delivered, else the function's own refusal. */
static sunup_status explain(const sunup_trainer *t, const struct live *l)
{
    const int64_t place = l->first + l->bad;
    char message[MESSAGE];
    for (int f = 0; f < l->n_fields; f++) {
        const char *y = sample_at(l, l->bad, f);
        if (sunup__deliver_made(&l->deliveries[f], y)) continue;
        const sunup_status status =
            sunup__deliver_error(&l->deliveries[f], place, y, message, sizeof message);
        return sunup__raise(t->ctx, status, "batch %lld, where a place is called sample: %s",
                            (long long)l->batch.number, message);
    }
    RAISE(t->ctx, E_ARGUMENT, "the sample of place %lld in batch %lld cannot be made",
          (long long)place, (long long)l->batch.number);
}

sunup_status sunup__live_next(sunup_trainer *t, const struct batch **b)
{
    struct live *l = t->live;
    *b = NULL;
    l->batch.number = l->next;
    l->batch.epoch = l->next / (sunup_data_samples(t->data) / t->o.batch);
    l->bad = l->places;
    sunup__parallel(t->threads, l->places, fill_place, l);
    if (l->bad < l->places) return explain(t, l);
    l->next++;
    *b = &l->batch;
    return SUNUP_OK;
}

void sunup__live_keep(struct live *l, int own_shard, const void *output)
{
    const int64_t bytes = l->batch.count * l->output_bytes;
    memcpy(l->output + own_shard * bytes, output, (size_t)bytes);
}

static void show_place(void *live, int64_t own)
{
    const struct live *l = live;
    l->o->seen(l->o->arg, l->batch.number, l->first + own, l->state + own * l->o->state_bytes,
               l->output + own * l->output_bytes);
}

void sunup__live_seen(struct live *l, int threads)
{
    sunup__parallel(threads, l->places, show_place, l);
}

void sunup__live_rewind(struct live *l, int64_t batch)
{
    l->next = batch;
}

/* ---- checkpoints ---- */

sunup_tensor sunup__live_tensor(const sunup_trainer *t)
{
    return (sunup_tensor){.name = LIVE_STATE,
                          .dtype = SUNUP_U8,
                          .shape = SUNUP_SHAPE(t->o.batch, t->data->live.state_bytes)};
}

/* Where the states of rank r's places lie among all. */
static int64_t span(const sunup_trainer *t, int r, int64_t *at)
{
    int from, to;
    sunup__shards_of(t->o.shards, sunup_comm_ranks(t->comm), r, &from, &to);
    const int64_t shard_bytes = t->pass->count * t->data->live.state_bytes;
    *at = from * shard_bytes;
    return (to - from) * shard_bytes;
}

/* One rank's states after another's, from their rank or, on reading, from rank 0, which alone has
 * `whole`. */
static sunup_status move(const sunup_trainer *t, char *whole, char *room, bool out)
{
    for (int r = 0; r < sunup_comm_ranks(t->comm); r++) {
        int64_t at;
        const int64_t bytes = span(t, r, &at);
        const bool mine = r == sunup_comm_rank(t->comm);
        if (out && mine) memcpy(room, t->live->state, (size_t)bytes);
        if (!out && whole != NULL) memcpy(room, whole + at, (size_t)bytes);
        TRY(sunup__comm_broadcast(t->comm, room, bytes, out ? r : 0, "states of a checkpoint"));
        if (out && whole != NULL) memcpy(whole + at, room, (size_t)bytes);
        if (!out && mine) memcpy(t->live->state, room, (size_t)bytes);
    }
    return SUNUP_OK;
}

/* Room for the states of the rank that has most. */
static sunup_status carry(const sunup_trainer *t, char *whole, bool out)
{
    int64_t most = ALIGN, at;
    for (int r = 0; r < sunup_comm_ranks(t->comm); r++)
        if (span(t, r, &at) > most) most = span(t, r, &at);
    char *room = sunup__alloc_aligned((size_t)most);
    sunup_status status = room != NULL ? SUNUP_OK : SUNUP_E_MEMORY;
    if (status != SUNUP_OK) (void)sunup__raise(t->ctx, status, "no memory for states of places");
    status = sunup_comm_agree(t->comm, status);
    if (status == SUNUP_OK) status = move(t, whole, room, out);
    if (!sunup__late_messages(status)) sunup__free(room);
    return status;
}

sunup_status sunup__live_collect(const sunup_trainer *t, char **whole)
{
    *whole = NULL;
    if (t->live == NULL || t->data->live.state_bytes == 0) return SUNUP_OK;
    const bool first = sunup_comm_rank(t->comm) == 0;
    const int64_t bytes = t->o.batch * t->data->live.state_bytes;
    sunup_status mine = SUNUP_OK;
    if (first && (*whole = sunup__alloc_aligned((size_t)bytes)) == NULL)
        mine = sunup__raise(t->ctx, SUNUP_E_MEMORY, "no memory for states of %.1f MB",
                            1e-6 * (double)bytes);
    TRY(sunup_comm_agree(t->comm, mine));
    return carry(t, *whole, true);
}

sunup_status sunup__live_spread(const sunup_trainer *t, void *whole)
{
    if (t->live == NULL || t->data->live.state_bytes == 0) return SUNUP_OK;
    return carry(t, whole, false);
}
