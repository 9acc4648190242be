/* plan.c - assembling a plan from its stages, and running it.
 *
 * Owes: the order of the stages, the memory, every address in every step; after that a run is one
 * loop. Leaves: what is decided to the stages (stages.h), numbers from outside to values.c.
 * Invariant: run neither allocates nor looks at a shape or a type.
 */
#include <math.h>

#include "base/system.h"
#include "base/trace.h"
#include "plan/stages.h"

/* ----------------------------------------------------------------------------- slots --- */

/* The k-th of a step's operands and results, and where its address goes. */
static const sunup_value *value_at(const struct node *n, int k)
{
    return k < n->n_in ? n->in[k] : n->out[k - n->n_in];
}

static void **slot_at(const struct step *s, int k)
{
    return k < s->node->n_in ? &s->in[k] : &s->out[k - s->node->n_in];
}

static sunup_status make_rows(sunup_plan *p, struct step *s)
{
    const struct node *n = s->node;
    bool *dies = plan_alloc(p, n->n_in, sizeof *dies);
    s->in = plan_alloc(p, n->n_in, sizeof(void *));
    s->out = plan_alloc(p, n->n_out, sizeof(void *));
    CHECK(s->in != NULL && s->out != NULL && dies != NULL, p->ctx, E_MEMORY,
          "no memory for the operands of step %d", s->number);
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] == NULL) continue;
        const struct placed *r = &p->placed[p->placed[n->in[k]->id].root];
        dies[k] = !r->external && r->last == s->number;
    }
    s->dies = dies;
    return SUNUP_OK;
}

/* Every slot of every step, those of one root next to each other. */
static sunup_status list_slots(sunup_plan *p)
{
    int *next = scratch_alloc(p, p->n_placed, sizeof *next);
    p->slot_from = plan_alloc(p, p->n_placed + 1, sizeof *p->slot_from);
    NEED(p, next);
    NEED(p, p->slot_from);
    for (int i = 0; i < p->n_steps; i++) {
        const struct node *n = p->steps[i].node;
        for (int k = 0; k < n->n_in + n->n_out; k++)
            if (value_at(n, k) != NULL) p->slot_from[p->placed[value_at(n, k)->id].root + 1]++;
    }
    for (int r = 0; r < p->n_placed; r++) {
        p->slot_from[r + 1] += p->slot_from[r];
        next[r] = p->slot_from[r];
    }
    p->slots = plan_alloc(p, p->slot_from[p->n_placed], sizeof *p->slots);
    NEED(p, p->slots);
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        for (int k = 0; k < s->node->n_in + s->node->n_out; k++)
            if (value_at(s->node, k) != NULL)
                p->slots[next[p->placed[value_at(s->node, k)->id].root]++].at = slot_at(s, k);
    }
    return SUNUP_OK;
}

/* ---------------------------------------------------------------------------- memory --- */

static const struct source_attr *constant(const sunup_value *v)
{
    const struct source_attr *source = sunup__source(v);
    return source != NULL && source->kind == SOURCE_CONSTANT ? source : NULL;
}

/* A root with memory of its own that is ours until the caller binds another. */
static bool is_own(const sunup_plan *p, int v)
{
    const struct placed *at = &p->placed[v];
    return at->value != NULL && at->root == v && at->external && constant(at->value) == NULL;
}

static sunup_status enough_memory(sunup_plan *p)
{
    for (int v = 0; v < p->n_placed; v++)
        if (is_own(p, v)) p->owned_bytes += sunup__value_bytes(p->placed[v].value);
    if (p->dry) return SUNUP_OK;
    const int64_t available = sunup__memory_available(),
                  bytes = p->arena_bytes + p->owned_bytes + p->prepared_bytes;
    CHECK(bytes <= available, p->ctx, E_MEMORY,
          "the plan needs %.1f MiB (%.1f MiB of intermediate values, %.1f MiB of inputs, "
          "parameters and outputs), "
          "but %.1f MiB are free; a smaller batch needs less",
          (double)bytes / 0x1p20, (double)p->arena_bytes / 0x1p20, (double)p->owned_bytes / 0x1p20,
          (double)available / 0x1p20);
    return SUNUP_OK;
}

static sunup_status own_memory(sunup_plan *p, struct placed *at, void **memory)
{
    struct device *d = p->device;
    const int64_t guard = d->ops->guard_bytes;
    const int64_t bytes = (sunup__value_bytes(at->value) + 63) / 64 * 64 + 2 * guard;
    TRY(d->ops->alloc(d, bytes, memory));
    *memory = (char *)*memory + guard;
    at->owned = true;
    return SUNUP_OK;
}

/* Of a step's prepared weights, with what guards them. */
static int64_t prepared_room(const sunup_plan *p, const struct step *s)
{
    return s->prepared_bytes > 0 ? s->prepared_bytes + p->device->ops->guard_bytes : 0;
}

static void count_prepared(sunup_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) p->prepared_bytes += prepared_room(p, &p->steps[i]);
    if (p->prepared_bytes > 0) p->prepared_bytes += p->device->ops->guard_bytes;
}

static sunup_status give_prepared(sunup_plan *p)
{
    if (p->prepared_bytes == 0) return SUNUP_OK;
    TRY(p->device->ops->alloc(p->device, p->prepared_bytes, &p->prepared));
    char *at = (char *)p->prepared + p->device->ops->guard_bytes;
    for (int i = 0; i < p->n_steps; i++) {
        if (p->steps[i].prepared_bytes > 0) p->steps[i].prepared = at;
        at += prepared_room(p, &p->steps[i]);
    }
    return SUNUP_OK;
}

static sunup_status give_memory(sunup_plan *p)
{
    struct device *d = p->device;
    TRY(give_prepared(p));
    if (p->arena_bytes > 0) TRY(d->ops->alloc(d, p->arena_bytes, &p->memory));
    for (int v = 0; v < p->n_placed; v++) {
        struct placed *at = &p->placed[v];
        if (at->value == NULL || at->root != v) continue;
        void *memory = NULL;
        if (is_own(p, v)) {
            TRY(own_memory(p, at, &memory));
        } else if (at->external) {
            memory = constant(at->value)->data;
            at->filled = true;
        } else if (at->offset >= 0) {
            memory = (char *)p->memory + at->offset;
        }
        sunup__plan_patch(p, v, memory);
    }
    for (int i = 0; i < p->n_steps; i++)
        if (p->workspace_at[i] >= 0) p->steps[i].workspace = (char *)p->memory + p->workspace_at[i];
    return SUNUP_OK;
}

/* What a watching device is shown before each run. */
static sunup_status list_regions(sunup_plan *p)
{
    if (p->device->ops->begin == NULL) return SUNUP_OK;
    p->regions = plan_alloc(p, p->n_placed + 2 * p->n_steps, sizeof *p->regions);
    NEED(p, p->regions);
    for (int v = 0; v < p->n_placed; v++) {
        struct placed *at = &p->placed[v];
        if (at->value == NULL || at->root != v || at->memory == NULL) continue;
        at->region = p->n_regions;
        p->regions[p->n_regions++] = (struct region){.value = at->value,
                                                     .memory = at->memory,
                                                     .bytes = sunup__value_bytes(at->value),
                                                     .kept = sunup__source(at->value) != NULL,
                                                     .guarded = !at->external || at->owned};
    }
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        if (s->workspace != NULL)
            p->regions[p->n_regions++] = (struct region){
                .memory = s->workspace, .bytes = s->workspace_bytes, .guarded = true};
        if (s->prepared != NULL)
            p->regions[p->n_regions++] = (struct region){.memory = s->prepared,
                                                         .bytes = s->prepared_bytes,
                                                         .guarded = true,
                                                         .prepared = true};
    }
    return SUNUP_OK;
}

/* Before a run: prepared weights are there already, or have to be made. */
static void mark_prepared(sunup_plan *p)
{
    for (int i = 0; i < p->n_regions; i++)
        if (p->regions[i].prepared) p->regions[i].kept = !p->weights_changed;
}

/* ------------------------------------------------------------------ create and destroy --- */

static sunup_status check_outputs(sunup_plan *p)
{
    for (int i = 0; i < p->n_outputs; i++) {
        const sunup_value *v = p->outputs[i];
        CHECK(v != NULL && v->node->graph == p->graph && !sunup__is_poison(v), p->ctx, E_ARGUMENT,
              "output %d of the plan is %s", i, v == NULL ? "NULL" : "no value of the graph");
    }
    return SUNUP_OK;
}

static sunup_status assemble(sunup_plan *p, int n, sunup_value *const *outputs, struct again how)
{
    CHECK(n >= 0 && (n == 0 || outputs != NULL), p->ctx, E_ARGUMENT, "a plan of %d outputs", n);
    p->outputs = plan_alloc(p, n, sizeof(sunup_value *));
    NEED(p, p->outputs);
    for (int i = 0; i < n; i++) p->outputs[i] = outputs[i];
    p->n_outputs = n;
    TRY(sunup_graph_finish(p->graph));
    TRY(check_outputs(p));
    TRY(sunup__device(p->ctx, &p->device));
    TRY(sunup__plan_order(p));
    TRY(sunup__plan_recompute(p, how));
    TRY(sunup__plan_expand(p));
    TRY(sunup__plan_fuse(p));
    TRY(sunup__plan_liveness(p));
    TRY(sunup__plan_choose(p));
    TRY(sunup__plan_arena(p));
    count_prepared(p);
    for (int i = 0; i < p->n_steps; i++) TRY(make_rows(p, &p->steps[i]));
    TRY(list_slots(p));
    TRY(enough_memory(p));
    if (p->dry) return SUNUP_OK;
    TRY(give_memory(p));
    return list_regions(p);
}

static sunup_status create(sunup_graph *graph, int n, sunup_value *const *outputs,
                           const struct plan_options *options, struct again how, sunup_plan **plan)
{
    *plan = NULL;
    sunup_plan *p = sunup__alloc(sizeof *p);
    CHECK(p != NULL, graph->ctx, E_MEMORY, "no memory for a plan");
    p->ctx = graph->ctx;
    p->graph = graph;
    p->dry = options->dry;
    p->weights_stay = options->weights_stay;
    p->weights_changed = true;
    const sunup_status status = assemble(p, n, outputs, how);
    sunup__arena_end(&p->scratch);
    p->wanted = NULL;
    if (status != SUNUP_OK)
        sunup_plan_destroy(&p);
    else
        *plan = p;
    return status;
}

/* The cheapest values to make again so that the arena fits: none, then norms and pointwise work, whose time is that
 * of moving bytes, then convolutions of few channels, at last whatever there is. */
static sunup_status fit(sunup_graph *graph, int n, sunup_value *const *outputs, int64_t limit,
                        struct again *how)
{
    static const double prices[] = {32, 64, 128, 256, 512, 1024, INFINITY};
    static const int segments[] = {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
    enum { PRICES = sizeof prices / sizeof *prices, SEGMENTS = sizeof segments / sizeof *segments };
    int64_t least = INT64_MAX;
    for (int i = 0; i <= PRICES * SEGMENTS; i++) {
        if (i > 0) *how = (struct again){segments[(i - 1) % SEGMENTS], prices[(i - 1) / SEGMENTS]};
        sunup_plan *p;
        TRY(create(graph, n, outputs, &(struct plan_options){.dry = true}, *how, &p));
        const int64_t bytes = p->arena_bytes;
        sunup_plan_destroy(&p);
        if (bytes <= limit) return SUNUP_OK;
        if (bytes < least) least = bytes;
    }
    RAISE(graph->ctx, E_MEMORY,
          "the values of a pass do not fit into memory_bytes %lld: with forward values made again "
          "it takes %lld at least; a smaller batch, more shards, or parts on more ranks need less",
          (long long)limit, (long long)least);
}

/* Whether there is room for prepared weights. */
static sunup_status prepared_fit(sunup_graph *graph, int n, sunup_value *const *outputs,
                                 int64_t limit, struct again how, bool *they_do)
{
    sunup_plan *p;
    const struct plan_options with = {.dry = true, .weights_stay = true};
    TRY(create(graph, n, outputs, &with, how, &p));
    const int64_t bytes = p->arena_bytes + p->prepared_bytes;
    *they_do =
        (limit == 0 || bytes <= limit) && bytes + p->owned_bytes <= sunup__memory_available();
    sunup_plan_destroy(&p);
    return SUNUP_OK;
}

sunup_status sunup__plan_create(sunup_graph *graph, int n, sunup_value *const *outputs,
                                const struct plan_options *options, sunup_plan **plan)
{
    *plan = NULL;
    if (graph == NULL) return SUNUP_E_ARGUMENT;
    struct plan_options o = *options;
    struct again how = {.segments = 1};
    if (o.memory_bytes > 0) TRY(fit(graph, n, outputs, o.memory_bytes, &how));
    if (o.weights_stay) TRY(prepared_fit(graph, n, outputs, o.memory_bytes, how, &o.weights_stay));
    return create(graph, n, outputs, &o, how, plan);
}

sunup_status sunup_plan_create(sunup_graph *graph, int n, sunup_value *const *outputs,
                               sunup_plan **plan)
{
    return sunup__plan_create(graph, n, outputs, &(struct plan_options){0}, plan);
}

void sunup_plan_destroy(sunup_plan **plan)
{
    if (plan == NULL || *plan == NULL) return;
    sunup_plan *p = *plan;
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].end != NULL) p->steps[i].end(&p->steps[i]);
    for (int v = 0; v < p->n_placed; v++)
        if (p->placed[v].owned && p->placed[v].memory != NULL)
            p->device->ops->free(p->device,
                                 (char *)p->placed[v].memory - p->device->ops->guard_bytes);
    if (p->memory != NULL) p->device->ops->free(p->device, p->memory);
    if (p->prepared != NULL) p->device->ops->free(p->device, p->prepared);
    sunup__arena_end(&p->arena);
    sunup__free(p);
    *plan = NULL;
}

/* ------------------------------------------------------------------------------- run --- */

static sunup_status get_ready(sunup_plan *p)
{
    char name[PLAN_NAME];
    CHECK(!p->dry, p->ctx, E_ARGUMENT, "the plan was only described and has no memory");
    TRY(sunup__plan_faults(p));
    const sunup_value *unfilled = sunup__plan_unfilled(p);
    CHECK(unfilled == NULL, p->ctx, E_ARGUMENT,
          "%s has no numbers: set or bind it, or call sunup_plan_init for parameters and states",
          sunup__value_text(unfilled, name));
    p->ready = true;
    return SUNUP_OK;
}

sunup_status sunup__plan_clock(sunup_plan *plan)
{
    if (plan->step_s == NULL) plan->step_s = plan_alloc(plan, plan->n_steps, sizeof(double));
    NEED(plan, plan->step_s);
    for (int i = 0; i < plan->n_steps; i++) plan->step_s[i] = 0;
    return SUNUP_OK;
}

void sunup__plan_watch(sunup_plan *plan, void (*passed)(void *arg, int step), void *arg)
{
    plan->passed = passed;
    plan->passed_arg = arg;
}

void sunup__plan_weights_changed(sunup_plan *plan)
{
    plan->weights_changed = true;
}

static inline void prepare(const sunup_plan *p, const struct step *s)
{
    if (p->weights_changed && s->prepared != NULL) s->prepare(s);
}

/* Watched by the device or by the caller, timed or traced, or with faults. */
static sunup_status run_watched(sunup_plan *p, const sunup_random_key *key)
{
    struct device *d = p->device;
    mark_prepared(p);
    if (d->ops->begin != NULL) TRY(d->ops->begin(d, p->regions, p->n_regions));
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        const double from_s = p->step_s != NULL ? sunup__now_s() : 0;
        const double traced_s = p->traced ? sunup__trace_now(p->ctx) : 0;
        prepare(p, s);
        if (d->ops->before != NULL) TRY(d->ops->before(d, s));
        TRY(sunup__step_run(s, key));
        sunup__trace_add(p->ctx, TRACE_KERNEL, NULL, i, traced_s);
        if (p->step_s != NULL) p->step_s[i] += sunup__now_s() - from_s;
        if (d->ops->after != NULL) TRY(d->ops->after(d, s));
        if (p->passed != NULL) p->passed(p->passed_arg, i);
    }
    return SUNUP_OK;
}

sunup_status sunup_plan_run(sunup_plan *plan, sunup_random_key key)
{
    if (plan == NULL) return SUNUP_E_ARGUMENT;
    const struct device_ops *ops = plan->device->ops;
    if (!plan->ready) TRY(get_ready(plan));
    if (plan->step_s != NULL || ops->begin != NULL || ops->before != NULL || ops->after != NULL ||
        plan->passed != NULL || plan->traced || plan->ctx->faults != NULL)
        TRY(run_watched(plan, &key));
    else
        for (int i = 0; i < plan->n_steps; i++) {
            prepare(plan, &plan->steps[i]);
            TRY(plan->steps[i].run(&plan->steps[i], &key));
        }
    plan->ran = true;
    plan->weights_changed = false;
    return SUNUP_OK;
}

sunup_plan_info sunup_plan_describe(const sunup_plan *plan)
{
    sunup_plan_info info = {.size = sizeof info};
    if (plan == NULL) return info;
    info.steps = plan->n_steps;
    for (int i = 0; i < plan->n_steps; i++)
        for (int o = 0; o < plan->steps[i].node->n_out; o++) {
            const struct placed *at = &plan->placed[plan->steps[i].node->out[o]->id];
            const struct placed *root = &plan->placed[at->root];
            if (root->external || root->last >= 0) info.values++;
        }
    info.arena_bytes = plan->arena_bytes;
    info.unshared_bytes = plan->unshared_bytes;
    info.prepared_bytes = plan->prepared_bytes;
    info.flops = plan->flops;
    info.bytes = plan->bytes;
    return info;
}
