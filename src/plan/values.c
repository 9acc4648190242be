/* values.c - the plan's values from outside: bind, set, get, init.
 *
 * Owes: a sentence for whatever cannot be; the addresses in the steps, which run takes as they are.
 * Invariant: an external value has memory of its own or the caller's, and every slot of its root
 * holds its address.
 */
#include <stdio.h>
#include <string.h>

#include "plan/stages.h"

static const char *kind_of(const sunup_value *v)
{
    static const char *const kinds[] = {"input", "parameter", "state", "constant"};
    const struct source_attr *source = sunup__source(v);
    return source != NULL ? kinds[source->kind] : "value";
}

char *sunup__value_text(const sunup_value *v, char *room)
{
    char shape[SHAPE_TEXT];
    if (v == NULL)
        snprintf(room, PLAN_NAME, "NULL");
    else
        snprintf(room, PLAN_NAME, "%s '%.100s' %s", kind_of(v), v->name,
                 sunup__shape_text(&v->shape, shape));
    return room;
}

/* The value's place if it is external to the plan, else NULL. */
static struct placed *external(const sunup_plan *p, const sunup_value *v)
{
    if (v == NULL || v->node->graph != p->graph || v->id >= p->n_placed) return NULL;
    struct placed *at = &p->placed[v->id];
    return at->value == v && at->external ? at : NULL;
}

static sunup_status find(sunup_plan *p, const sunup_value *v, struct placed **at)
{
    char name[PLAN_NAME];
    *at = external(p, v);
    CHECK(*at != NULL, p->ctx, E_ARGUMENT,
          "%s is no input, parameter, state or output of the plan; list it as an output when the "
          "plan is made",
          sunup__value_text(v, name));
    CHECK(!p->dry, p->ctx, E_ARGUMENT, "%s: the plan was only described and has no memory",
          sunup__value_text(v, name));
    return SUNUP_OK;
}

static bool is_constant(const sunup_value *v)
{
    const struct source_attr *source = sunup__source(v);
    return source != NULL && source->kind == SOURCE_CONSTANT;
}

static bool is_parameter(const sunup_value *v)
{
    const struct source_attr *source = sunup__source(v);
    return source != NULL && source->kind == SOURCE_PARAMETER;
}

void *sunup__plan_address(const sunup_plan *p, const sunup_value *v)
{
    struct placed *at = external(p, v);
    if (at == NULL) return NULL;
    at->filled = true;
    return at->memory;
}

int sunup__plan_writer(const sunup_plan *p, const sunup_value *v)
{
    const struct placed *at = external(p, v);
    if (at == NULL) return -1;
    int i = p->n_steps - 1;
    for (; i >= 0; i--) {
        const struct node *n = p->steps[i].node;
        for (int o = 0; o < n->n_out; o++)
            if (p->placed[n->out[o]->id].root == at->root) return i;
    }
    return i;
}

void sunup__plan_patch(sunup_plan *p, int root, void *memory)
{
    for (int i = p->slot_from[root]; i < p->slot_from[root + 1]; i++) *p->slots[i].at = memory;
    p->placed[root].memory = memory;
    const int region = p->placed[root].region;
    if (region >= 0) {
        p->regions[region].memory = memory;
        p->regions[region].guarded = p->placed[root].owned;
    }
}

const sunup_value *sunup__plan_unfilled(const sunup_plan *p)
{
    for (int i = 0; i < p->n_externals; i++) {
        const struct placed *at = &p->placed[p->externals[i]];
        if (sunup__source(at->value) != NULL && !at->filled) return at->value;
    }
    return NULL;
}

/* Memory that a step writes may not be anyone else's; two sources may share (input and target). */
static sunup_status apart(sunup_plan *p, const sunup_value *v, const void *memory)
{
    const uintptr_t from = (uintptr_t)memory, to = from + (uintptr_t)sunup__value_bytes(v);
    for (int i = 0; i < p->n_externals; i++) {
        const struct placed *other = &p->placed[p->externals[i]];
        if (other->value == v) continue;
        if (sunup__source(v) != NULL && sunup__source(other->value) != NULL) continue;
        const uintptr_t at = (uintptr_t)other->memory;
        if (to <= at || from >= at + (uintptr_t)sunup__value_bytes(other->value)) continue;
        char a[PLAN_NAME], b[PLAN_NAME];
        RAISE(p->ctx, E_ARGUMENT,
              "the memory for %s overlaps that of %s, and a run writes one of them",
              sunup__value_text(v, a), sunup__value_text(other->value, b));
    }
    return SUNUP_OK;
}

sunup_status sunup_plan_bind(sunup_plan *plan, sunup_value *v, void *memory)
{
    if (plan == NULL) return SUNUP_E_ARGUMENT;
    char name[PLAN_NAME];
    struct placed *at;
    TRY(find(plan, v, &at));
    CHECK(!is_constant(v), plan->ctx, E_ARGUMENT,
          "%s belongs to the graph and cannot be bound; get copies it", sunup__value_text(v, name));
    CHECK(memory != NULL && (uintptr_t)memory % 64 == 0, plan->ctx, E_ARGUMENT,
          "memory %p for %s is not aligned to 64 bytes", memory, sunup__value_text(v, name));
    TRY(apart(plan, v, memory));
    if (at->owned) {
        const int64_t guard = plan->device->ops->guard_bytes;
        plan->device->ops->free(plan->device, (char *)at->memory - guard);
        at->owned = false;
        plan->owned_bytes -= sunup__value_bytes(v);
    }
    at->filled = true;
    if (is_parameter(v)) plan->weights_changed = true;
    sunup__plan_patch(plan, v->id, memory);
    return SUNUP_OK;
}

static sunup_status check_bytes(sunup_plan *p, const sunup_value *v, int64_t bytes)
{
    char name[PLAN_NAME];
    CHECK(bytes == sunup__value_bytes(v), p->ctx, E_SHAPE, "%s has %lld bytes of %s, not %lld",
          sunup__value_text(v, name), (long long)sunup__value_bytes(v), sunup_dtype_name(v->dtype),
          (long long)bytes);
    return SUNUP_OK;
}

sunup_status sunup_plan_set(sunup_plan *plan, sunup_value *v, const void *data, int64_t bytes)
{
    if (plan == NULL) return SUNUP_E_ARGUMENT;
    char name[PLAN_NAME];
    struct placed *at;
    TRY(find(plan, v, &at));
    CHECK(sunup__source(v) != NULL && !is_constant(v), plan->ctx, E_ARGUMENT,
          "%s is not set from outside: only inputs, parameters and states are",
          sunup__value_text(v, name));
    TRY(check_bytes(plan, v, bytes));
    CHECK(data != NULL || bytes == 0, plan->ctx, E_ARGUMENT, "%s: data is NULL",
          sunup__value_text(v, name));
    if (bytes > 0) memcpy(at->memory, data, (size_t)bytes);
    at->filled = true;
    if (is_parameter(v)) plan->weights_changed = true;
    return SUNUP_OK;
}

sunup_status sunup_plan_get(sunup_plan *plan, sunup_value *v, void *data, int64_t bytes)
{
    if (plan == NULL) return SUNUP_E_ARGUMENT;
    char name[PLAN_NAME];
    struct placed *at;
    TRY(find(plan, v, &at));
    TRY(check_bytes(plan, v, bytes));
    CHECK(data != NULL || bytes == 0, plan->ctx, E_ARGUMENT, "%s: data is NULL",
          sunup__value_text(v, name));
    CHECK(sunup__source(v) != NULL ? at->filled : plan->ran, plan->ctx, E_ARGUMENT,
          "%s has no numbers yet: %s", sunup__value_text(v, name),
          sunup__source(v) != NULL ? "set or bind it" : "run the plan first");
    if (bytes > 0) memcpy(data, at->memory, (size_t)bytes);
    return SUNUP_OK;
}

sunup_status sunup_plan_init(sunup_plan *plan, uint64_t seed)
{
    if (plan == NULL) return SUNUP_E_ARGUMENT;
    CHECK(!plan->dry, plan->ctx, E_ARGUMENT, "the plan was only described and has no memory");
    plan->weights_changed = true;
    for (int i = 0; i < plan->n_externals; i++) {
        struct placed *at = &plan->placed[plan->externals[i]];
        const struct source_attr *source = sunup__source(at->value);
        if (source == NULL || !at->owned) continue;
        if (source->kind != SOURCE_PARAMETER && source->kind != SOURCE_STATE) continue;
        const sunup_value *x = at->value;
        sunup__init_fill(source->init, x->name, seed, x->dtype, sunup__elements(&x->shape),
                         at->memory);
        at->filled = true;
    }
    return SUNUP_OK;
}
