/* trainer.c - the verbs of training, the whole flow from a batch to new weights.
 *
 *   stream -> shards of this rank -> plan (forward, backward) -> exchange (one sum over all shards)
 *          -> optimizer -> weights of the own slices -> exchange -> all weights; averages -> states; records,
 *          evaluations, checkpoints
 *
 * A step is a function of (weights, moments, seed, step) and of the run's definition (batch, shards, data); ranks
 * and threads only decide who computes what. What is needed to build this is in setup.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/trace.h"
#include "comm/halo.h"
#include "train/trainer.h"

static double number_at(const void *p, int64_t i, bool f64)
{
    return f64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put_number(void *p, int64_t i, bool f64, double x)
{
    if (f64)
        ((double *)p)[i] = x;
    else
        ((float *)p)[i] = (float)x;
}

static void *element(const sunup_trainer *t, void *flat, int64_t at)
{
    return (char *)flat + at * sunup_dtype_bytes(t->model->dtype);
}

/* Point the plan's outputs into the slot that takes this shard's terms. */
static sunup_status bind_slot(sunup_trainer *t, void *slot)
{
    if (slot == t->bound) return SUNUP_OK;
    struct pass *p = t->pass;
    for (int i = 0; i < t->model->n_trained; i++)
        if (p->factor[i][0] == NULL)
            TRY(sunup_plan_bind(p->plan, p->gradients[i],
                                element(t, slot, sunup__model_trained(t->model, i)->at)));
    for (int i = 0; i < p->n_averages; i++)
        TRY(sunup_plan_bind(p->plan, p->averages[i], element(t, slot, t->terms.average_at[i])));
    t->bound = slot;
    return SUNUP_OK;
}

static sunup_status scalar(const sunup_trainer *t, sunup_value *v, double *x)
{
    char room[8] = {0};
    TRY(sunup_plan_get(t->pass->plan, v, room, sunup_dtype_bytes(sunup_value_dtype(v))));
    if (sunup_value_dtype(v) == SUNUP_F64)
        memcpy(x, room, sizeof *x);
    else {
        float f;
        memcpy(&f, room, sizeof f);
        *x = (double)f;
    }
    return SUNUP_OK;
}

/* Between the tensors of the flat array lie a few elements of alignment: they must not hold old numbers. */
static void clear_gaps(const sunup_trainer *t, void *slot)
{
    const sunup_model *m = t->model;
    const int64_t bytes = sunup_dtype_bytes(m->dtype);
    int64_t end = 0;
    for (int i = m->n_trained - 1; i >= 0; i--) {
        const struct model_tensor *p = sunup__model_trained(m, i);
        memset(element(t, slot, end), 0, (size_t)((p->at - end) * bytes));
        end = p->at + sunup__elements(&p->t.shape);
    }
    memset(element(t, slot, end), 0, (size_t)((t->terms.n - end) * bytes));
}

static sunup_status run_shard(sunup_trainer *t, const struct batch *b, int shard)
{
    void *slot = sunup__exchange_slot(t->exchange);
    clear_gaps(t, slot);
    sunup_status status = bind_slot(t, slot);
    if (status == SUNUP_OK) status = sunup__pass_load(t->pass, b->data[shard - t->from]);
    const sunup_random_key key = {
        .seed = t->o.seed, .step = (uint64_t)b->number, .sample = shard * t->pass->count};
    const double traced_s = sunup__trace_now(t->ctx);
    if (status == SUNUP_OK) status = sunup_plan_run(t->pass->plan, key);
    sunup__trace_add(t->ctx, TRACE_PHASE, "shard", shard, traced_s);
    TRY(sunup__settle(t, status));
    double loss = 0, weight = 1.0 / t->group, correct = 0; /* of the shard, this rank's part */
    TRY(scalar(t, t->pass->loss, &loss));
    if (t->pass->weight != NULL) TRY(scalar(t, t->pass->weight, &weight));
    if (t->pass->correct != NULL) TRY(scalar(t, t->pass->correct, &correct));
    put_number(slot, t->terms.extras + EXTRA_LOSS, sunup__train_f64(t), loss);
    put_number(slot, t->terms.extras + EXTRA_WEIGHT, sunup__train_f64(t), weight);
    put_number(slot, t->terms.extras + EXTRA_CORRECT, sunup__train_f64(t), correct);
    put_number(slot, t->terms.extras + EXTRA_STOP, sunup__train_f64(t), t->stop ? 1 : 0);
    if (t->live != NULL)
        sunup__live_keep(t->live, shard - t->from,
                         sunup__plan_address(t->pass->plan, t->pass->output));
    sunup__exchange_push(t->exchange);
    return SUNUP_OK;
}

/* A step under way, as the optimizer's calls for other ranks see it. */
struct step_work {
    sunup_trainer *t;
    const struct batch *batch;
    sunup_status mine;  /* of this rank's shards of the batch */
    bool seen;          /* what all shards of the batch say beside their gradients: */
    sunup_status found; /* no step is made if it is not OK */
    double loss, weight, correct, data_s; /* loss: before it is divided by weight */
    bool stop;
};

static const char *name_site(const struct step_work *s, const char *what, char site[64])
{
    (void)snprintf(site, 64, "%s, step %lld", what, (long long)s->t->step);
    return site;
}

/* A rank that cannot compute its shards still takes part in the exchange, with zeros and a mark; then all know. */
static void push_failure(sunup_trainer *t)
{
    void *slot = sunup__exchange_slot(t->exchange);
    memset(slot, 0, (size_t)(t->terms.n * sunup_dtype_bytes(t->model->dtype)));
    put_number(slot, t->terms.extras + EXTRA_FAILED, sunup__train_f64(t), 1);
    sunup__exchange_push(t->exchange);
}

/* The own shards of the batch at hand, and the sum over all. */
static sunup_status sum_shards(struct step_work *s)
{
    sunup_trainer *t = s->t;
    for (int i = t->from; i < t->to; i++) {
        if (i == t->to - 1) sunup__overlap(t, true);
        s->mine = s->mine == SUNUP_OK ? run_shard(t, s->batch, i) : sunup__settle(t, s->mine);
        if (sunup__turn_broke(t, s->mine)) return s->mine;
        if (s->mine != SUNUP_OK) push_failure(t);
    }
    sunup__overlap(t, false);
    char site[64];
    const double traced_s = sunup__trace_now(t->ctx);
    const sunup_status status =
        sunup__exchange_reduce(t->exchange, name_site(s, "sum of gradients", site));
    sunup__trace_add(t->ctx, TRACE_PHASE, "sum of gradients", t->step, traced_s);
    return status;
}

static sunup_status next_batch(sunup_trainer *t, const struct batch **b)
{
    return t->live != NULL ? sunup__live_next(t, b) : sunup__stream_next(t->stream, b);
}

/* One batch: its sum over all shards comes into the exchange. Where that asks for them again, the same numbers are
 * computed: a shard's terms depend on the batch, its random key and the weights only, which have not changed. */
static sunup_status sum_batch(struct step_work *s)
{
    sunup_trainer *t = s->t;
    const double asked = sunup__now_s(), traced_s = sunup__trace_now(t->ctx);
    s->mine = next_batch(t, &s->batch);
    if (s->mine == SUNUP_OK)
        s->mine = sunup__fault_step(t->ctx, t->step, sunup_comm_rank(t->comm));
    if (sunup__fault_due(t->ctx, FAULT_WIRE, t->step, sunup_comm_rank(t->comm))) sunup__comm_flip(t->comm);
    sunup__trace_add(t->ctx, TRACE_PHASE, "wait for data", t->step, traced_s);
    s->data_s += sunup__now_s() - asked;
    s->seen = false;
    TRY(sum_shards(s));
    for (; sunup__exchange_again(t->exchange); t->repeated++) TRY(sum_shards(s));
    return SUNUP_OK;
}

/* All ranks see the same, and so agree. */
static sunup_status see_batch(struct step_work *s)
{
    sunup_trainer *t = s->t;
    const void *total = sunup__exchange_total(t->exchange);
    const bool f64 = sunup__train_f64(t);
    if (number_at(total, t->terms.extras + EXTRA_FAILED, f64) != 0)
        return sunup_comm_agree(t->comm, s->mine);
    const double loss = number_at(total, t->terms.extras + EXTRA_LOSS, f64) / t->o.shards;
    if (!isfinite(loss)) return sunup__train_find_nan(t, s->batch);
    s->loss += loss;
    s->weight += number_at(total, t->terms.extras + EXTRA_WEIGHT, f64) / t->o.shards;
    s->correct += number_at(total, t->terms.extras + EXTRA_CORRECT, f64) / t->o.shards;
    s->stop = s->stop || number_at(total, t->terms.extras + EXTRA_STOP, f64) > 0;
    if (t->live != NULL) sunup__live_seen(t->live, t->threads);
    return SUNUP_OK;
}

/* After the first combine of a batch its tail is whole: a batch that failed ends here, before anything was used. */
static sunup_status combine(void *work, int64_t n, int64_t *words)
{
    struct step_work *s = work;
    char site[64];
    TRY(sunup__exchange_combine(s->t->exchange, name_site(s, "norm of gradients", site), n, words));
    if (s->seen) return SUNUP_OK;
    s->seen = true;
    s->found = see_batch(s);
    return s->found;
}

static void give(void *work, int64_t at, int64_t n)
{
    const struct step_work *s = work;
    sunup__exchange_give(s->t->exchange, at, n);
}

static void add_piece(const sunup_trainer *t, const void *total, struct slice piece, bool first)
{
    const void *x = (const char *)total + piece.at * sunup_dtype_bytes(t->model->dtype);
    void *y = element(t, t->sum_room, piece.at);
    if (first)
        memcpy(y, x, (size_t)(piece.n * sunup_dtype_bytes(t->model->dtype)));
    else if (sunup__train_f64(t))
        t->kernels->f64.add_to(piece.n, x, y);
    else
        t->kernels->f32.add_to(piece.n, x, y);
}

/* The own slices and the tail of the batch's sum to those of the batches before. */
static void add_batch(sunup_trainer *t, bool first)
{
    const void *total = sunup__exchange_total(t->exchange);
    const int64_t head = t->parameters.n;
    for (int i = 0; i < t->parameters.n_slices; i++)
        add_piece(t, total, t->parameters.slices[i], first);
    add_piece(t, total, (struct slice){head, t->terms.n - head}, first);
}

static sunup_status sum_batches(struct step_work *s)
{
    sunup_trainer *t = s->t;
    for (int i = 0; i < t->o.accumulate; i++) {
        int64_t nothing = 0;
        TRY(sum_batch(s));
        /* The weight must be known before the gradient is scaled. */
        if (t->sum_room != NULL || t->pass->weight != NULL) TRY(combine(s, 1, &nothing));
        if (t->sum_room == NULL) continue;
        add_batch(t, i == 0);
    }
    t->sum = t->sum_room != NULL ? t->sum_room : sunup__exchange_total(t->exchange);
    return SUNUP_OK;
}

/* state = (1 - momentum) state + momentum * mean over shards. */
static void update_states(sunup_trainer *t)
{
    const struct average *averages = t->pass->graph->averages;
    const double scale = 1.0 / ((double)t->o.shards * t->o.accumulate);
    for (int i = 0; i < t->pass->n_averages; i++) {
        struct model_tensor *state = sunup__model_find(t->model, averages[i].state->name);
        const double momentum = averages[i].momentum;
        for (int64_t j = 0; j < sunup__elements(&state->t.shape); j++) {
            const double mean =
                number_at(t->sum, t->terms.average_at[i] + j, sunup__train_f64(t)) * scale;
            const double old = number_at(state->t.data, j, sunup__train_f64(t));
            put_number(state->t.data, j, sunup__train_f64(t),
                       (1 - momentum) * old + momentum * mean);
        }
    }
}

static sunup_status update_weights(struct step_work *s, double lr, double *norm)
{
    sunup_trainer *t = s->t;
    const struct optimizer_ranks ranks = {combine, give, s};
    const double weight = t->pass->weight != NULL ? s->weight : t->o.accumulate;
    const double scale = weight > 0 ? 1.0 / (t->o.shards * weight) : 0;
    if (t->hears) sunup__optimizer_seen(t->optimizer);
    sunup__pass_place_factors(t, t->pass);
    const sunup_status status =
        sunup__optimizer_step(t->optimizer, lr, scale, t->sum, t->model->flat, &ranks, norm);
    if (status == SUNUP_E_NAN && s->found == SUNUP_OK)
        RAISE(t->ctx, E_NAN, "step %lld: %s; the weights are those before this step",
              (long long)t->step, sunup_error(t->ctx));
    return status;
}

static sunup_status share_weights(const struct step_work *s)
{
    char site[64];
    const double traced_s = sunup__trace_now(s->t->ctx);
    const sunup_status status =
        sunup__exchange_share(s->t->exchange, name_site(s, "new weights", site));
    sunup__trace_add(s->t->ctx, TRACE_PHASE, "new weights", s->t->step, traced_s);
    return status;
}

/* For other ranks, since creation. */
static double waited(const sunup_trainer *t)
{
    const double in_halos = t->halo != NULL ? sunup__halo_wait_s(t->halo) : 0;
    return in_halos + sunup__exchange_wait_s(t->exchange);
}

static sunup_status make_step(sunup_trainer *t, sunup_metrics *metrics)
{
    sunup__trace_step(t);
    const double start = sunup__now_s(), waited_s = waited(t), traced_s = sunup__trace_now(t->ctx);
    struct step_work s = {.t = t};
    const bool checked = t->o.hash_steps > 0 && (t->step + 1) % t->o.hash_steps == 0;
    sunup__comm_verify(t->comm, checked);
    sunup__plan_weights_changed(t->pass->plan); /* by the last step, or by who read a checkpoint */
    TRY(sum_batches(&s));
    const double lr = sunup__schedule_lr(&t->schedule, t->step);
    double norm = 0;
    const double update_s = sunup__trace_now(t->ctx);
    TRY(update_weights(&s, lr, &norm));
    update_states(t);
    sunup__trace_add(t->ctx, TRACE_PHASE, "update", t->step, update_s);
    TRY(share_weights(&s));
    sunup__trace_add(t->ctx, TRACE_STEP, "step", t->step, traced_s);
    t->step++;
    sunup__comm_verify(t->comm, t->o.hash_steps > 0);
    if (checked) TRY(sunup__compare_weights(t, "weights"));
    if (s.stop) t->stopping = true;
    if (metrics != NULL)
        *metrics = (sunup_metrics){.step = t->step,
                                   .epoch = (double)t->step / (double)t->steps_per_epoch,
                                   .loss = s.weight > 0 ? s.loss / s.weight : 0,
                                   .accuracy =
                                       t->pass->correct != NULL ? s.correct / t->o.accumulate : NAN,
                                   .lr = lr,
                                   .grad_norm = norm,
                                   .step_s = sunup__now_s() - start,
                                   .data_s = s.data_s,
                                   .comm_s = waited(t) - waited_s};
    return SUNUP_OK;
}

/* Programs want the step beside the collective, not within its name (name_site). */
static sunup_status blame_step(const sunup_trainer *t, int64_t step, sunup_status status)
{
    struct blame *b = &t->ctx->blame;
    char end[32];
    const int n = snprintf(end, sizeof end, ", step %lld", (long long)step);
    const size_t length = strlen(b->collective), tail = (size_t)n;
    if (length > tail && strcmp(b->collective + length - tail, end) == 0)
        b->collective[length - tail] = '\0';
    b->step = step;
    return status;
}

sunup_status sunup_trainer_step(sunup_trainer *t, sunup_metrics *metrics)
{
    if (t->step >= t->total_steps) return SUNUP_E_END;
    sunup__take_weights(t);
    const struct counts from = sunup__counts();
    const int64_t step = t->step;
    const sunup_status status = make_step(t, metrics);
    if (status != SUNUP_OK) return blame_step(t, step, status);
    const struct counts to = sunup__counts();
    if (t->made++ == 0) return SUNUP_OK;
    sunup__counts_add(&t->counts.sum, &from, &to);
    t->counts.steps++;
    return SUNUP_OK;
}

const struct step_counts *sunup__trainer_counts(const sunup_trainer *t)
{
    return &t->counts;
}

void sunup__trainer_hooks(sunup_trainer *t, const struct train_hooks *hooks)
{
    t->hooks = *hooks;
}

const struct confusion *sunup__trainer_confusion(const sunup_trainer *t)
{
    return &t->confusion;
}

int64_t sunup__trainer_repeated(const sunup_trainer *t)
{
    return t->repeated;
}

sunup_plan *sunup__trainer_plan(const sunup_trainer *t)
{
    return t->pass->plan;
}

static sunup_status tune_pass(sunup_trainer *t)
{
    const struct batch *b;
    TRY(next_batch(t, &b));
    TRY(run_shard(t, b, t->from)); /* real numbers in every operand */
    return sunup__plan_tune(t->pass->plan);
}

sunup_status sunup__trainer_tune(sunup_trainer *t, const char *path, struct text *table)
{
    TRY(sunup_comm_agree(t->comm, tune_pass(t)));
    sunup__comm_verify(t->comm, false); /* as most steps go */
    TRY(sunup__exchange_tune(t->exchange, table));
    sunup__take_slices(t);
    TRY(sunup__comm_tune(t->comm, table));
    const bool first = sunup_comm_rank(t->comm) == 0;
    return sunup_comm_agree(t->comm, first ? sunup__tuning_save(t->ctx, path) : SUNUP_OK);
}

const char *sunup__trainer_exchange(const sunup_trainer *t)
{
    return sunup__exchange_text(t->exchange);
}
