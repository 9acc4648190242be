/* slices.c - what of the weights this rank updates, and whole moments for checkpoints.
 *
 * Owes: the exchange, in whose memory the weights live while there is a trainer, and the optimizer over the slices that
 * it gives this rank; the memory that a rank needs. Between ranks and files moments are whole: they are collected on
 * rank 0 and spread from there, so a checkpoint does not depend on ranks.
 * Memory: weights whole once a memory of the node (shared.c) or once a rank, moments 1/ranks; rank 0 holds whole
 * moments only while a checkpoint is written.
 */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/integers.h"
#include "base/memory.h"
#include "comm/halo.h"
#include "train/trainer.h"

/* --- setting up --- */

sunup_status sunup__list_parameters(sunup_trainer *t)
{
    const sunup_model *m = t->model;
    struct segment *s = sunup__arena_alloc(&t->arena, (size_t)(m->n_trained + 1) * sizeof *s);
    int64_t *at = sunup__arena_alloc(&t->arena, (size_t)(m->n_trained + 1) * sizeof *at);
    CHECK(s != NULL && at != NULL, t->ctx, E_MEMORY, "no memory for %d parameters",
          m->n_trained);
    t->part_at = at;
    for (int i = 0; i < m->n_trained; i++) { /* ascending offsets */
        const struct model_tensor *p = sunup__model_trained(m, m->n_trained - 1 - i);
        s[i] = (struct segment){.name = p->t.name,
                                .at = p->at,
                                .n = sunup__elements(&p->t.shape),
                                .vector = p->t.shape.n <= 1};
        const int trained = m->n_trained - 1 - i;
        if (t->pass->factor[trained][0] != NULL) s[i].factors = &t->pass->factors[trained];
        at[i] = p->at;
    }
    t->parameters = (struct optimizer_job){.k = t->kernels,
                                           .threads = t->threads,
                                           .f64 = sunup__train_f64(t),
                                           .n = m->n_flat_parameters,
                                           .n_segments = m->n_trained,
                                           .segments = s};
    return sunup__optimizer_arrays(t->ctx, &t->o.optimizer, &t->n_arrays);
}

/* Gradients and weights, in the order in which they lie: "'fc.weight' to 'conv1.bias'". */
static void name_parameters(const void *arg, struct slice s, char *room)
{
    const struct optimizer_job *job = arg;
    const char *first = NULL, *last = "?";
    for (int i = 0; i < job->n_segments; i++) {
        const struct segment *p = &job->segments[i];
        if (p->at + p->n <= s.at || p->at >= s.at + s.n) continue;
        first = first != NULL ? first : p->name;
        last = p->name;
    }
    if (first == NULL || strcmp(first, last) == 0)
        (void)snprintf(room, NAMES_TEXT, "'%s'", last);
    else
        (void)snprintf(room, NAMES_TEXT, "'%s' to '%s'", first, last);
}

static struct exchange_options exchange_options(const sunup_trainer *t)
{
    return (struct exchange_options){.k = t->kernels,
                                     .threads = t->threads,
                                     .shards = sunup__train_terms(t),
                                     .n = t->terms.n,
                                     .head = t->model->n_flat_parameters,
                                     .data_n = t->model->n_flat,
                                     .f64 = sunup__train_f64(t),
                                     .bf16 = sunup__train_rounds_sums(t),
                                     .kind = sunup__train_by_integers(t) ? SUM_INT32 : SUM_TREE,
                                     .parts = t->parameters.n_segments,
                                     .part_at = t->part_at,
                                     .cut = sunup__optimizer_cut,
                                     .cut_arg = &t->parameters,
                                     .name = name_parameters,
                                     .name_arg = &t->parameters};
}

int64_t sunup__trainer_bytes(const sunup_trainer *t, int ranks)
{
    const struct exchange_options o = exchange_options(t);
    const int64_t slices = ceil_div(o.head, ranks);
    const int64_t elements = (t->o.accumulate > 1) * o.n + t->n_arrays * slices;
    const int64_t halo = t->halo != NULL ? sunup__halo_bytes(t->halo) : 0;
    const int64_t live = t->live != NULL ? sunup__live_bytes(t->live) : 0;
    const sunup_plan_info plan = sunup_plan_describe(t->pass->plan);
    const bool again = sunup__train_repeats(t, ceil_div(t->o.shards, ranks));
    return plan.arena_bytes + (again ? plan.prepared_bytes : 0) + halo + live + sunup__exchange_bytes(&o, ranks) +
           (elements - sunup__pass_spares(t, t->pass)) * sunup_dtype_bytes(t->model->dtype);
}

static void hear(void *trainer, struct slice piece)
{
    const sunup_trainer *t = trainer;
    sunup__optimizer_see(t->optimizer, sunup__exchange_total(t->exchange), piece);
}

void sunup__take_slices(sunup_trainer *t)
{
    static const struct slice none = {0, 0}; /* a rank may own nothing */
    const struct slice *own;
    t->parameters.n_slices = sunup__exchange_slices(t->exchange, sunup_comm_rank(t->comm), &own);
    t->parameters.slices = t->parameters.n_slices > 0 ? own : &none;
}

sunup_status sunup__share_weights(sunup_trainer *t)
{
    const struct exchange_options o = exchange_options(t);
    TRY(sunup__exchange_create(t->comm, &o, &t->exchange));
    sunup__model_move(t->model, sunup__exchange_data(t->exchange));
    TRY(sunup__pass_bind_weights(t, t->pass));
    sunup__take_slices(t);
    TRY(sunup__optimizer_create(t->ctx, &t->o.optimizer, &t->parameters, &t->optimizer));
    if (t->o.accumulate == 1) {
        t->hears = sunup__exchange_listen(t->exchange, hear, t);
        return SUNUP_OK;
    }
    t->sum_room = sunup__alloc_aligned((size_t)(o.n * sunup_dtype_bytes(t->model->dtype)));
    CHECK(t->sum_room != NULL, t->ctx, E_MEMORY, "no memory for the sum of %lld terms",
          (long long)o.n);
    return SUNUP_OK;
}

/* What other ranks read or wrote here is done: since then all have met in a call of the other trainer. */
void sunup__take_weights(sunup_trainer *t)
{
    void *here = sunup__exchange_data(t->exchange);
    if (t->model->flat != here) sunup__model_take(t->model, t->o.n_freeze, t->o.freeze, here);
}

/* --- the same weights on all ranks --- */

/* In the own copy, which the next step would write over: that is why it comes right before the look. */
static void plant_flip(sunup_trainer *t)
{
    if (!sunup__fault_due(t->ctx, FAULT_FLIP, t->step - 1, sunup_comm_rank(t->comm))) return;
    ((unsigned char *)t->model->tensors[0].t.data)[2] ^= 0x40;
    sunup__fault_done(t->ctx, FAULT_FLIP);
}

sunup_status sunup__compare_weights(sunup_trainer *t, const char *what)
{
    const sunup_model *m = t->model;
    plant_flip(t);
    const sunup_status status = sunup__comm_compare(t->comm, sunup_model_hash(m), what);
    if (status != SUNUP_E_PEER) return status;
    for (int i = 0; i < m->n_parameters + m->n_states; i++) {
        const sunup_tensor *w = &m->tensors[i].t;
        const int64_t bytes = sunup__elements(&w->shape) * sunup_dtype_bytes(w->dtype);
        char site[64];
        (void)snprintf(site, sizeof site, "'%s' of the weights", w->name);
        const sunup_status found =
            sunup__comm_compare(t->comm, sunup__hash(w->data, (size_t)bytes, 0), site);
        if (found == SUNUP_E_PEER) sunup__blame(t->ctx, t->ctx->blame.rank, w->name, what);
        TRY(found);
    }
    return status;
}

/* --- whole moments --- */

/* Memory for the whole of each on rank 0; one rank alone has them whole. */
static sunup_status make_room(const sunup_trainer *t, struct whole_moments *m)
{
    const int64_t bytes = t->model->n_flat_parameters * sunup_dtype_bytes(t->model->dtype);
    for (int i = 0; i < sunup__optimizer_moments(t->optimizer); i++) {
        m->data[i] = sunup__optimizer_moment(t->optimizer, i);
        if (sunup_comm_ranks(t->comm) == 1 || sunup_comm_rank(t->comm) > 0) continue;
        m->room[i] = sunup__alloc_aligned((size_t)bytes);
        CHECK(m->room[i] != NULL, t->ctx, E_MEMORY,
              "no memory to collect a moment of %lld bytes for a checkpoint", (long long)bytes);
        m->data[i] = m->room[i];
    }
    return SUNUP_OK;
}

sunup_status sunup__moments_collect(const sunup_trainer *t, struct whole_moments *m)
{
    TRY(sunup_comm_agree(t->comm, make_room(t, m)));
    if (sunup_comm_ranks(t->comm) == 1) return SUNUP_OK;
    for (int i = 0; i < sunup__optimizer_moments(t->optimizer); i++)
        TRY(sunup__exchange_collect(t->exchange, "moments of a checkpoint", 0,
                                    sunup__optimizer_moment(t->optimizer, i), m->room[i]));
    return SUNUP_OK;
}

void sunup__moments_end(struct whole_moments *m, sunup_status status)
{
    for (int i = 0; i < OPTIMIZER_MOMENTS && !sunup__late_messages(status); i++)
        sunup__free(m->room[i]);
}

sunup_status sunup__moment_spread(sunup_trainer *t, int i, void *whole)
{
    const int64_t bytes = t->model->n_flat_parameters * sunup_dtype_bytes(t->model->dtype);
    /* The slot for the next shard is free between steps. */
    void *data = whole != NULL ? whole : sunup__exchange_slot(t->exchange);
    TRY(sunup__comm_broadcast(t->comm, data, bytes, 0, "moments of a checkpoint"));
    sunup__optimizer_set_moment(t->optimizer, i, data);
    return SUNUP_OK;
}
