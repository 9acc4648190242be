/* evaluate.c - loss, accuracy and confusion of a network over a data set.
 *
 * Each piece of a batch (a shard; where training cuts shards by samples, a part of one) adds up its own samples over
 * all batches in f64; one sum over the pieces ends it, so the figures have the same bits on any number of ranks. The
 * last, smaller batch is spread over the pieces, so up to PASS_CACHE different sizes occur; each has its own pass,
 * kept for the next evaluation.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "train/trainer.h"

enum { SUM_LOSS, SUM_WEIGHT, SUM_RIGHT, SUM_ROWS, SUM_FAILED, SUMS, MISTAKES = 24 };

struct evaluation {
    sunup_trainer *t;
    sunup_data *data;
    struct stream *stream;
    struct exchange *exchange;
    struct pieces_of_batch pieces;
    int classes;   /* 0: no labels      */
    int64_t n;     /* terms of a piece  */
    double *terms; /* [own pieces][n]   */
    struct mistake worst[MISTAKES];
    int n_worst;
    int64_t seen; /* samples of the batches before this one */
};

void sunup__evaluation_end(sunup_trainer *t)
{
    for (int i = 0; i < PASS_CACHE; i++) sunup__pass_destroy(&t->evaluation[i]);
    sunup__free(t->confusion.count);
    sunup__free(t->mistakes);
    t->confusion = (struct confusion){0};
    t->mistakes = NULL;
    t->n_mistakes = 0;
}

/* The pass for shards of `count` samples; the oldest one makes room. */
static sunup_status pass_for(sunup_trainer *t, const sunup_data *data, int64_t count,
                             struct pass **pass)
{
    for (int i = 0; i < PASS_CACHE; i++) {
        *pass = t->evaluation[i];
        if (*pass != NULL && (*pass)->count == count) return SUNUP_OK;
    }
    sunup__pass_destroy(&t->evaluation[PASS_CACHE - 1]);
    memmove(t->evaluation + 1, t->evaluation, (PASS_CACHE - 1) * sizeof t->evaluation[0]);
    t->evaluation[0] = NULL;
    TRY(sunup__pass_create(t, data, count, false, &t->evaluation[0]));
    *pass = t->evaluation[0];
    return SUNUP_OK;
}

static double logit(const struct pass *p, const void *y, int64_t i)
{
    return p->output->dtype == SUNUP_F64 ? ((const double *)y)[i] : (double)((const float *)y)[i];
}

/* Descending probability, then ascending sample: an order that does not depend on who found what. */
static int by_confidence(const void *a, const void *b)
{
    const struct mistake *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

static void keep_mistake(struct evaluation *e, struct mistake m)
{
    if (e->n_worst == MISTAKES && by_confidence(&m, &e->worst[MISTAKES - 1]) >= 0) return;
    if (e->n_worst < MISTAKES) e->n_worst++;
    e->worst[e->n_worst - 1] = m;
    qsort(e->worst, (size_t)e->n_worst, sizeof m, by_confidence);
}

static int largest(const struct pass *p, const void *y, int64_t row, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (logit(p, y, row * classes + c) > logit(p, y, row * classes + best)) best = c;
    return best;
}

/* Softmax probability of class `best`, which is the largest. */
static double confidence(const struct pass *p, const void *y, int64_t row, int classes, int best)
{
    const double top = logit(p, y, row * classes + best);
    double sum = 0;
    for (int c = 0; c < classes; c++) sum += exp(logit(p, y, row * classes + c) - top);
    return 1 / sum;
}

/* rows of labels: one a sample, or one a pixel. */
static void count_classes(struct evaluation *e, const struct pass *p, int64_t first, double *terms)
{
    const void *y = sunup__plan_address(p->plan, p->output);
    const int32_t *labels = sunup__plan_address(p->plan, p->labels);
    const int64_t rows = sunup__elements(&p->labels->shape);
    for (int64_t r = 0; r < rows; r++) {
        const int guess = largest(p, y, r, e->classes), truth = labels[r];
        if (guess == truth) terms[SUM_RIGHT] += 1;
        terms[SUMS + (int64_t)truth * e->classes + guess] += 1;
        if (guess == truth || rows != p->count || p->cut) continue;
        const double sure = confidence(p, y, r, e->classes, guess);
        keep_mistake(e, (struct mistake){first + r, truth, guess, (float)sure});
    }
    terms[SUM_ROWS] += (double)rows;
}

static double scalar(const struct pass *p, sunup_value *v)
{
    const void *x = sunup__plan_address(p->plan, v);
    return v->dtype == SUNUP_F64 ? *(const double *)x : (double)*(const float *)x;
}

/* Ranks that do not share a pass settle nothing. */
static sunup_status settle(const sunup_trainer *t, sunup_status mine)
{
    return sunup__train_by_samples(t) ? mine : sunup__settle(t, mine);
}

static sunup_status evaluate_shard(struct evaluation *e, const struct batch *b, int own,
                                   int64_t first)
{
    const int64_t count = b->counts[own];
    if (count == 0) return SUNUP_OK;
    struct pass *p;
    TRY(pass_for(e->t, e->data, count, &p));
    sunup_status status = sunup__pass_load(p, b->data[own]);
    if (status == SUNUP_OK)
        status = sunup_plan_run(p->plan, (sunup_random_key){.seed = e->t->o.seed});
    TRY(settle(e->t, status));
    double *terms = e->terms + own * e->n;
    const bool first_of_group = e->t->member == 0 || !p->in_parts;
    terms[SUM_LOSS] += (double)count * scalar(p, p->loss);
    if (p->weight != NULL)
        terms[SUM_WEIGHT] += (double)count * scalar(p, p->weight);
    else if (first_of_group)
        terms[SUM_WEIGHT] += (double)count;
    if (e->classes > 0 && (p->cut || first_of_group)) count_classes(e, p, first, terms);
    return SUNUP_OK;
}

/* Samples before each own shard in this batch: all shards' counts follow from the batch's size. */
static int64_t first_of_shard(const struct evaluation *e, int64_t in_batch, int shard)
{
    const int64_t each = in_batch / e->pieces.n, more = in_batch % e->pieces.n;
    return shard * each + (shard < more ? shard : more);
}

static sunup_status evaluate_batches(struct evaluation *e)
{
    const sunup_trainer *t = e->t;
    const struct batch *b;
    sunup_status status;
    while ((status = sunup__stream_next(e->stream, &b)) == SUNUP_OK) {
        const int64_t left = sunup_data_samples(e->data) - e->seen;
        const int64_t in_batch = left < t->o.batch ? left : t->o.batch;
        for (int own = 0; own < b->n_shards; own++) {
            const int64_t first = e->seen + first_of_shard(e, in_batch, e->pieces.from + own);
            TRY(evaluate_shard(e, b, own, first));
        }
        e->seen += in_batch;
    }
    return status == SUNUP_E_END ? SUNUP_OK : settle(t, status);
}

/* Sum the shards' terms over all ranks; a rank that failed says so in its terms. */
static sunup_status finish(struct evaluation *e, sunup_status mine, const double **sum)
{
    sunup_trainer *t = e->t;
    for (int s = e->pieces.from; s < e->pieces.to; s++) {
        double *terms = e->terms + (s - e->pieces.from) * e->n;
        if (mine != SUNUP_OK) terms[SUM_FAILED] = 1;
        memcpy(sunup__exchange_slot(e->exchange), terms, (size_t)e->n * sizeof *terms);
        sunup__exchange_push(e->exchange);
    }
    TRY(sunup__exchange_reduce(e->exchange, "sum of an evaluation"));
    *sum = sunup__exchange_total(e->exchange);
    return (*sum)[SUM_FAILED] != 0 ? sunup_comm_agree(t->comm, mine) : SUNUP_OK;
}

static sunup_status keep_confusion(struct evaluation *e, const double *sum)
{
    const int64_t cells = (int64_t)e->classes * e->classes;
    struct confusion *c = &e->t->confusion;
    c->classes = e->classes;
    if (c->count == NULL) c->count = sunup__alloc((size_t)cells * sizeof *c->count);
    CHECK(c->count != NULL, e->t->ctx, E_MEMORY, "no memory for a confusion matrix");
    for (int64_t i = 0; i < cells; i++) c->count[i] = (int64_t)sum[SUMS + i];
    return SUNUP_OK;
}

/* The worst of all ranks' worst. */
static sunup_status keep_mistakes(struct evaluation *e)
{
    sunup_trainer *t = e->t;
    const size_t bytes = sizeof e->worst, ranks = (size_t)sunup_comm_ranks(t->comm);
    for (int i = e->n_worst; i < MISTAKES; i++)
        e->worst[i] = (struct mistake){.sample = INT64_MAX, .p = -1};
    sunup__free(t->mistakes);
    t->mistakes = sunup__alloc(ranks * bytes);
    CHECK(t->mistakes != NULL, t->ctx, E_MEMORY, "no memory for the mistakes of an evaluation");
    TRY(sunup__comm_gather(t->comm, e->worst, (int64_t)bytes, t->mistakes,
                           "mistakes of an evaluation"));
    qsort(t->mistakes, ranks * MISTAKES, sizeof t->mistakes[0], by_confidence);
    t->n_mistakes = 0;
    while (t->n_mistakes < MISTAKES && t->mistakes[t->n_mistakes].p >= 0) t->n_mistakes++;
    return SUNUP_OK;
}

static sunup_status run(struct evaluation *e, sunup_metrics *metrics)
{
    sunup_trainer *t = e->t;
    for (int i = 0; i < PASS_CACHE; i++)
        if (t->evaluation[i] != NULL) sunup__plan_weights_changed(t->evaluation[i]->plan);
    const double start = sunup__now_s();
    const double *sum;
    const sunup_status mine = evaluate_batches(e);
    if (sunup__turn_broke(t, mine)) return mine;
    TRY(finish(e, mine, &sum));
    if (e->classes > 0) {
        TRY(keep_confusion(e, sum));
        TRY(keep_mistakes(e));
    }
    *metrics = (sunup_metrics){.step = t->step,
                               .epoch = (double)t->step / (double)t->steps_per_epoch,
                               .loss = sum[SUM_WEIGHT] > 0 ? sum[SUM_LOSS] / sum[SUM_WEIGHT] : 0,
                               .accuracy = e->classes > 0 ? sum[SUM_RIGHT] / sum[SUM_ROWS] : NAN,
                               .lr = NAN,
                               .grad_norm = NAN,
                               .step_s = sunup__now_s() - start};
    return SUNUP_OK;
}

/* Labels must be classes of the output: found here once, so that counting may index without looking. */
static sunup_status find_classes(struct evaluation *e)
{
    sunup_trainer *t = e->t;
    if (t->pass->correct == NULL) return SUNUP_OK;
    const sunup_shape *y = &t->pass->output->shape;
    const int64_t classes = y->d[y->n - 1];
    if (classes > MAX_CLASSES) return SUNUP_OK;
    const int field = sunup__data_field(e->data, t->pass->target->name);
    CHECK(field >= 0, t->ctx, E_ARGUMENT, "the evaluation data have no field '%s'",
          t->pass->target->name);
    e->classes = (int)classes;
    return SUNUP_OK;
}

static sunup_status prepare(struct evaluation *e)
{
    sunup_trainer *t = e->t;
    CHECK(sunup_data_samples(e->data) >= 1, t->ctx, E_ARGUMENT,
          "the evaluation data hold no sample");
    TRY(find_classes(e));
    e->n = SUMS + (int64_t)e->classes * e->classes;
    e->pieces = sunup__evaluation_pieces(t);
    e->terms = sunup__alloc((size_t)((e->pieces.to - e->pieces.from) * e->n) * sizeof *e->terms);
    CHECK(e->terms != NULL, t->ctx, E_MEMORY, "no memory for an evaluation");
    const struct exchange_options sums = {
        .k = t->kernels,
        .threads = t->threads,
        .shards = sunup__train_by_samples(t) ? e->pieces.n : sunup__train_terms(t),
        .n = e->n,
        .f64 = true};
    TRY(sunup__exchange_create(t->comm, &sums, &e->exchange));
    const struct stream_options o = {.batch = t->o.batch,
                                     .shards = e->pieces.n,
                                     .from = e->pieces.from,
                                     .to = e->pieces.to,
                                     .seed = t->o.seed};
    return sunup__stream_create(e->data, &o, &e->stream);
}

sunup_status sunup_trainer_evaluate(sunup_trainer *t, sunup_data *data, sunup_metrics *metrics)
{
    struct evaluation e = {.t = t, .data = data};
    sunup__take_weights(t);
    sunup_status status = prepare(&e);
    if (status == SUNUP_OK) status = run(&e, metrics);
    sunup__stream_destroy(&e.stream);
    sunup__exchange_destroy(&e.exchange);
    sunup__free(e.terms);
    return status;
}
