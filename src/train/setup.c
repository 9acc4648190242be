/* setup.c - from a model, data and options to a trainer that is ready to step.
 *
 * Owes: every mismatch between network, data and options is found here, with a sentence, before the first step; so
 * is a lack of memory, from the plan's own prediction. A pass is one graph with its loss for one batch size; the
 * training pass also has gradients, which the plan writes straight into the terms of the exchange, or their factors
 * (factors.c).
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "base/words.h"
#include "graph/split/split.h"
#include "train/trainer.h"

enum { LINE = 16 }; /* elements that keep 64-byte alignment for f32, and for f64 too */

static int64_t aligned(int64_t n)
{
    return (n + LINE - 1) / LINE * LINE;
}

static sunup_shape batch_shape(int64_t count, const sunup_shape *sample)
{
    sunup_shape s = {.n = sample->n + 1, .d = {count}};
    for (int i = 0; i < sample->n; i++) s.d[i + 1] = sample->d[i];
    return s;
}

/* Every input of the graph (the target is one) with the data field of its name. */
static sunup_status match_inputs(sunup_trainer *t, const sunup_data *data, struct pass *p)
{
    const sunup_graph *g = p->graph;
    p->inputs = sunup__arena_alloc(&p->graph->arena, (size_t)g->n_nodes * sizeof *p->inputs);
    p->fields = sunup__arena_alloc(&p->graph->arena, (size_t)g->n_nodes * sizeof *p->fields);
    CHECK(p->inputs != NULL && p->fields != NULL, t->ctx, E_MEMORY, "no memory for a pass");
    for (int i = 0; i < g->n_nodes; i++) {
        sunup_value *v = g->nodes[i]->out[0];
        const struct source_attr *s = sunup__source(v);
        if (s == NULL || s->kind != SOURCE_INPUT) continue;
        const int field = sunup__data_field(data, v->name);
        CHECK(field >= 0, t->ctx, E_ARGUMENT,
              "the data have no field '%s', which the network takes as an input", v->name);
        const struct field *f = &data->fields[field];
        const sunup_shape want = batch_shape(p->held, &f->shape);
        char room[2][SHAPE_TEXT];
        CHECK(sunup__elements(&want) == sunup__elements(&v->shape) && f->dtype == v->dtype, t->ctx,
              E_SHAPE, "input '%s' of the network is %s %s, but the data give %s %s", v->name,
              sunup_dtype_name(v->dtype), sunup__shape_text(&v->shape, room[0]),
              sunup_dtype_name(f->dtype), sunup__shape_text(&want, room[1]));
        p->inputs[p->n_inputs] = v;
        p->fields[p->n_inputs++] = field;
    }
    return SUNUP_OK;
}

/* Two parameters may have the same gradient value (x + b + c): each needs memory of its own, so a copy is made. */
static sunup_value *own_value(sunup_value **before, int n, sunup_value *v)
{
    for (int i = 0; i < n; i++)
        if (before[i] == v) return sunup_scale(v, 1.0, 0.0);
    return v;
}

static sunup_status add_gradients(sunup_trainer *t, struct pass *p)
{
    const sunup_model *m = t->model;
    const int n = m->n_trained, n_averages = p->graph->n_averages;
    const size_t room = (size_t)(n + n_averages + 1) * sizeof(sunup_value *);
    sunup_value **parameters = sunup__arena_alloc(&p->graph->arena, room);
    p->gradients = sunup__arena_alloc(&p->graph->arena, room);
    CHECK(parameters != NULL && p->gradients != NULL, t->ctx, E_MEMORY,
          "no memory for %d gradients", n);
    for (int i = 0; i < n; i++)
        parameters[i] = sunup_graph_find(p->graph, sunup__model_trained(m, i)->t.name);
    sunup_gradient(p->loss, n, parameters, p->gradients);
    p->n_averages = n_averages;
    p->averages = p->gradients + n;
    for (int i = 0; i < n_averages; i++) p->averages[i] = p->graph->averages[i].value;
    for (int i = 1; i < n + n_averages; i++)
        p->gradients[i] = own_value(p->gradients, i, p->gradients[i]);
    return sunup__pass_find_factors(t, p);
}

sunup_status sunup__pass_bind_weights(const sunup_trainer *t, const struct pass *p)
{
    for (int i = 0; i < t->model->n_parameters + t->model->n_states; i++) {
        sunup_value *v = sunup_graph_find(p->graph, t->model->tensors[i].t.name);
        if (sunup__plan_address(p->plan, v) != NULL)
            TRY(sunup_plan_bind(p->plan, v, t->model->tensors[i].t.data));
    }
    return SUNUP_OK;
}

static void add_output(sunup_value **outputs, int *n, sunup_value *v)
{
    for (int i = 0; i < *n; i++)
        if (outputs[i] == v) return;
    outputs[(*n)++] = v;
}

/* Gradients, or their factors, and averages. */
static void add_terms(const sunup_trainer *t, const struct pass *p, sunup_value **outputs, int *n)
{
    const int n_trained = p->training ? t->model->n_trained : 0;
    for (int i = 0; i < n_trained + p->n_averages; i++) {
        const bool kept = i >= n_trained || p->factor[i][0] == NULL;
        if (kept) add_output(outputs, n, p->gradients[i]);
        for (int f = 0; f < 2 && !kept; f++)
            if (sunup__source(p->factor[i][f]) == NULL) add_output(outputs, n, p->factor[i][f]);
    }
}

static sunup_status compile(sunup_trainer *t, struct pass *p)
{
    const int n = (p->training ? 2 * t->model->n_trained : 0) + p->n_averages;
    sunup_value **outputs =
        sunup__arena_alloc(&p->graph->arena, (size_t)(n + 5) * sizeof(sunup_value *));
    CHECK(outputs != NULL, t->ctx, E_MEMORY, "no memory for %d outputs", n);
    int n_outputs = 0;
    outputs[n_outputs++] = p->loss;
    if (p->weight != NULL) outputs[n_outputs++] = p->weight;
    if (p->correct != NULL && p->training) outputs[n_outputs++] = p->correct;
    if (p->output != NULL && (!p->training || t->data->live.fill != NULL))
        outputs[n_outputs++] = p->output;
    if (p->split != NULL && p->correct != NULL && !p->training) outputs[n_outputs++] = p->labels;
    add_terms(t, p, outputs, &n_outputs);
    TRY(sunup_graph_finish(p->graph));
    CHECK(sunup__elements(&p->loss->shape) == 1, t->ctx, E_SHAPE,
          "the loss is not a single number");
    const struct plan_options o = {.memory_bytes = p->training ? t->o.memory_bytes : 0,
                                   .weights_stay = p->again};
    TRY(sunup__plan_create(p->graph, n_outputs, outputs, &o, &p->plan));
    return sunup__pass_bind_weights(t, p);
}

static sunup_status fill_pass(sunup_trainer *t, const sunup_data *data, struct pass *p)
{
    TRY(sunup__model_graph(t->model, p->count, p->training, &p->graph));
    TRY(sunup__train_add_loss(t, data, p));
    TRY(sunup_graph_finish(p->graph));
    p->labels = p->target;
    if (p->in_parts) TRY(sunup__pass_split(t, p));
    TRY(match_inputs(t, data, p));
    if (p->training) TRY(add_gradients(t, p));
    return compile(t, p);
}

bool sunup__train_repeats(const sunup_trainer *t, int64_t own_shards)
{
    return own_shards * t->o.accumulate > 1;
}

/* Whether passes of one size run more than once with the same weights. */
static bool runs_again(const sunup_trainer *t, const sunup_data *data, const struct pass *p)
{
    const int64_t own = t->to - t->from;
    if (p->training) return sunup__train_repeats(t, own);
    return p->count == t->o.batch / t->o.shards && own * (sunup_data_samples(data) / t->o.batch) > 1;
}

sunup_status sunup__pass_create(sunup_trainer *t, const sunup_data *data, int64_t count,
                                bool training, struct pass **pass)
{
    *pass = sunup__alloc(sizeof **pass);
    CHECK(*pass != NULL, t->ctx, E_MEMORY, "no memory for a pass");
    (*pass)->count = count;
    (*pass)->training = training;
    (*pass)->again = runs_again(t, data, *pass);
    (*pass)->in_parts = t->o.parts > 1 && (training || !sunup__train_by_samples(t));
    (*pass)->held = (*pass)->in_parts && sunup__train_by_samples(t) ? count / t->group : count;
    const sunup_status status = sunup__pass_ready(t, *pass, fill_pass(t, data, *pass));
    if (status != SUNUP_OK) sunup__pass_destroy(pass);
    return status;
}

void sunup__pass_destroy(struct pass **pass)
{
    if (*pass == NULL) return;
    sunup_plan_destroy(&(*pass)->plan);
    if ((*pass)->split != NULL) (*pass)->graph = (*pass)->whole;
    sunup__split_destroy(&(*pass)->split);
    sunup_graph_destroy(&(*pass)->graph);
    sunup__free(*pass);
    *pass = NULL;
}

sunup_status sunup__pass_load(const struct pass *p, void *const *fields)
{
    for (int i = 0; i < p->n_inputs; i++)
        if (sunup__plan_address(p->plan, p->inputs[i]) != NULL)
            TRY(sunup_plan_bind(p->plan, p->inputs[i], fields[p->fields[i]]));
    return SUNUP_OK;
}

static sunup_status check_sum(sunup_trainer *t)
{
    static const char *const sums[] = {"tree", "int32"};
    char hint[HINT_TEXT];
    CHECK(strcmp(t->o.sum, "tree") == 0 || sunup__train_by_integers(t), t->ctx, E_ARGUMENT,
          "there is no sum '%s'%s; known are tree, int32", t->o.sum,
          sunup__hint(hint, t->o.sum, 2, sums));
    if (!sunup__train_by_integers(t)) return SUNUP_OK;
    return sunup__fixed_check(t->ctx, t->o.shards, sunup__train_f64(t));
}

static sunup_status check_wire(sunup_trainer *t)
{
    static const char *const wires[] = {"f32", "bf16"};
    char hint[HINT_TEXT];
    CHECK(strcmp(t->o.wire, "f32") == 0 || sunup__train_rounds_sums(t), t->ctx, E_ARGUMENT,
          "there is no wire '%s'%s; known are f32, bf16", t->o.wire,
          sunup__hint(hint, t->o.wire, 2, wires));
    const struct exchange_options o = {.f64 = sunup__train_f64(t),
                                       .bf16 = sunup__train_rounds_sums(t),
                                       .kind = sunup__train_by_integers(t) ? SUM_INT32 : SUM_TREE};
    return sunup__bf16_check(t->ctx, &o);
}

sunup_status sunup__train_check_options(sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    const int64_t samples = sunup_data_samples(t->data);
    CHECK(o->batch >= 1 && o->shards >= 1 && o->accumulate >= 1, t->ctx, E_ARGUMENT,
          "batch %lld, shards %d and accumulate %d must all be at least 1", (long long)o->batch,
          o->shards, o->accumulate);
    CHECK(o->batch % o->shards == 0, t->ctx, E_ARGUMENT,
          "shards %d does not divide the batch of %lld; try shards %lld or batch %lld", o->shards,
          (long long)o->batch,
          (long long)(o->batch < o->shards ? o->batch : o->batch / (o->batch / o->shards)),
          (long long)((o->batch + o->shards - 1) / o->shards * o->shards));
    TRY(sunup__train_check_parts(t));
    CHECK(samples >= 1, t->ctx, E_ARGUMENT, "the data hold no sample");
    CHECK(o->batch <= samples, t->ctx, E_ARGUMENT,
          "a batch of %lld is larger than the data (%lld samples)", (long long)o->batch,
          (long long)samples);
    CHECK(o->epochs >= 0 && isfinite(o->epochs), t->ctx, E_ARGUMENT,
          "epochs is %g; it must be 0 or more", o->epochs);
    TRY(check_sum(t));
    TRY(check_wire(t));
    TRY(sunup__train_check_loss(t));
    return sunup__model_freeze(t->model, o->n_freeze, o->freeze);
}

static sunup_status lay_out_terms(sunup_trainer *t)
{
    struct terms *terms = &t->terms;
    const struct pass *p = t->pass;
    terms->average_at =
        sunup__arena_alloc(&t->arena, (size_t)(p->n_averages + 1) * sizeof *terms->average_at);
    CHECK(terms->average_at != NULL, t->ctx, E_MEMORY, "no memory for %d averages", p->n_averages);
    terms->averages = aligned(t->model->n_flat_parameters);
    int64_t at = terms->averages;
    for (int i = 0; i < p->n_averages; i++) {
        terms->average_at[i] = at;
        at = aligned(at + sunup__elements(&p->averages[i]->shape));
    }
    terms->extras = at;
    terms->n = aligned(at + EXTRAS);
    return SUNUP_OK;
}

static sunup_status check_memory(sunup_trainer *t)
{
    const int64_t want = sunup__trainer_bytes(t, sunup_comm_ranks(t->comm)),
                  have = sunup__memory_available();
    CHECK(want <= have, t->ctx, E_MEMORY,
          "this run needs about %.1f MB a rank, and %.1f MB are free; lower batch, or raise shards "
          "or ranks",
          1e-6 * (double)want, 1e-6 * (double)have);
    return SUNUP_OK;
}

sunup_status sunup__train_rewind(sunup_trainer *t)
{
    const struct pieces_of_batch pieces = sunup__train_pieces(t);
    const struct stream_options o = {.batch = t->o.batch,
                                     .shards = pieces.n,
                                     .from = pieces.from,
                                     .to = pieces.to,
                                     .seed = t->o.seed,
                                     .shuffle = t->o.shuffle,
                                     .training = true,
                                     .augment = t->o.augment,
                                     .first = t->step * t->o.accumulate};
    if (t->live != NULL) {
        sunup__live_rewind(t->live, o.first);
        return SUNUP_OK;
    }
    sunup__stream_destroy(&t->stream);
    return sunup__stream_create(t->data, &o, &t->stream);
}

static sunup_status count_steps(sunup_trainer *t)
{
    const int64_t batches = sunup_data_samples(t->data) / t->o.batch;
    t->steps_per_epoch = batches / t->o.accumulate;
    CHECK(t->steps_per_epoch >= 1, t->ctx, E_ARGUMENT,
          "accumulate %d asks for more batches than an epoch has (%lld)", t->o.accumulate,
          (long long)batches);
    t->total_steps = (int64_t)(t->o.epochs * (double)t->steps_per_epoch + 1e-9);
    if (t->o.max_steps > 0 && t->o.max_steps < t->total_steps) t->total_steps = t->o.max_steps;
    return SUNUP_OK;
}

uint64_t sunup__train_kernels(const sunup_trainer *t)
{
    uint64_t h = sunup__hash(t->kernels->isa, strlen(t->kernels->isa), 0);
    if (t->o.parts > 1) return h; /* ranks hold different parts, of which each has its steps */
    for (int i = 0; i < t->pass->plan->n_steps; i++) {
        const char *maker = t->pass->plan->steps[i].maker->name;
        h = sunup__hash(maker, strlen(maker), h);
    }
    return h;
}

/* The ranks must compute alike: the same network, weights, run and kernels, or the sum means nothing. */
static sunup_status compare_ranks(sunup_trainer *t)
{
    const sunup_train_options *o = &t->o;
    const double numbers[] = {(double)o->batch,
                              o->shards,
                              o->accumulate,
                              (double)o->seed,
                              o->epochs,
                              (double)t->terms.n,
                              (double)sunup__model_frozen(t->model),
                              t->o.parts,
                              t->o.split != NULL ? t->o.split[0] : 0,
                              sunup__train_by_integers(t),
                              sunup__train_rounds_sums(t),
                              (double)sunup_data_samples(t->data)};
    const uint64_t weights = sunup__hash(numbers, sizeof numbers, sunup_model_hash(t->model));
    TRY(sunup__comm_compare(t->comm, weights,
                            "the network, its first weights or the run's options"));
    return sunup__comm_compare(t->comm, sunup__train_kernels(t),
                               "the kernels chosen (processor, SUNUP_ISA, tuning file)");
}

sunup_status sunup__train_setup(sunup_trainer *t)
{
    TRY(sunup__join_group(t));
    TRY(sunup__kernels(t->ctx, &t->kernels));
    TRY(sunup_comm_agree(t->comm,
                         sunup__pass_create(t, t->data, t->o.batch / t->o.shards, true, &t->pass)));
    TRY(sunup_comm_agree(t->comm, sunup__live_create(t, &t->live)));
    TRY(lay_out_terms(t));
    TRY(count_steps(t));
    TRY(sunup__list_parameters(t));
    TRY(sunup__follow_gradients(t));
    /* max_steps ends a run early; its learning rates are those of the whole run. */
    CHECK(t->total_steps >= 1, t->ctx, E_ARGUMENT, "epochs %g of %lld steps is not one step",
          t->o.epochs, (long long)t->steps_per_epoch);
    TRY(sunup_comm_agree(t->comm, check_memory(t)));
    TRY(sunup__share_weights(t));
    const double whole = floor(t->o.epochs * (double)t->steps_per_epoch + 1e-9);
    const double samples = (double)t->o.batch * t->o.accumulate;
    const double lr = sunup__optimizer_lr(t->optimizer) *
                      sunup__optimizer_lr_factor(&t->o.optimizer, samples);
    TRY(sunup__schedule_create(t->ctx, &t->o.schedule, lr, whole, &t->schedule));
    TRY(sunup__train_rewind(t));
    return compare_ranks(t);
}
