/* stages.h - the stages of planning, in the order in which sunup__plan_create runs them.
 *
 * Each reads what the ones before left in the plan and adds its own part. Stages take memory that
 * the plan keeps from plan->arena and memory of the moment from plan->scratch.
 */
#ifndef SUNUP_PLAN_STAGES_H
#define SUNUP_PLAN_STAGES_H

#include "plan/plan.h"

/* outputs -> wanted, nodes: what the outputs need, in the graph's order. */
sunup_status sunup__plan_order(sunup_plan *p);
/* nodes -> nodes: without those that no output needs; for stages that rewrite. */
sunup_status sunup__plan_drop_unread(sunup_plan *p);
/* Which forward values are made again for their gradients instead of kept: those inside all but the last of
 * `segments` (1: only what an op asks for) whose making costs up to `price` flops a byte of them. */
struct again {
    int segments;
    double price;
};
/* nodes -> nodes: copies of forward nodes before the gradients that read their results. */
sunup_status sunup__plan_recompute(sunup_plan *p, struct again how);
/* nodes -> nodes: batch norm as passes that only read, and pointwise work. */
sunup_status sunup__plan_expand(sunup_plan *p);
/* nodes -> nodes: pointwise neighbours joined into chains; sources first. */
sunup_status sunup__plan_fuse(sunup_plan *p);
/* nodes -> steps (node and number), placed (who shares whose memory, and when it is used). */
sunup_status sunup__plan_liveness(sunup_plan *p);
/* steps -> maker, run, data, workspace_bytes of each. */
sunup_status sunup__plan_choose(sunup_plan *p);
/* placed, steps -> offsets and arena_bytes. */
sunup_status sunup__plan_arena(sunup_plan *p);

/* Give the value's memory to every step that uses it (values.c). */
void sunup__plan_patch(sunup_plan *p, int root, void *memory);
/* The first input, parameter or state without numbers, NULL if there is none. */
const sunup_value *sunup__plan_unfilled(const sunup_plan *p);
/* "input 'x' [8, 3]" into room (PLAN_NAME bytes), for messages; returns room. */
char *sunup__value_text(const sunup_value *v, char *room);
enum { PLAN_NAME = 320 };

/* E_ARGUMENT for a planted fault of an op that does not exist (planted.c). */
sunup_status sunup__plan_faults(const sunup_plan *p);
int64_t sunup__value_bytes(const sunup_value *v);

static inline void *plan_alloc(sunup_plan *p, int64_t n, size_t width)
{
    return sunup__arena_alloc(&p->arena, (size_t)n * width);
}
static inline void *scratch_alloc(sunup_plan *p, int64_t n, size_t width)
{
    return sunup__arena_alloc(&p->scratch, (size_t)n * width);
}

/* A stage's allocation; on failure the stage ends. */
#define NEED(p, pointer)                                                                           \
    CHECK((pointer) != NULL, (p)->ctx, E_MEMORY, "no memory to describe a plan of %d nodes",       \
          (p)->n_nodes)

#endif
