/* plan.h - from a graph to a list of steps over one arena.
 *
 * Stages, each in its own file: order.c (which nodes, reachable from the outputs), fuse.c (pointwise chains become
 * one node), liveness.c (first and last use of every value; views and in-place share), arena.c (offsets), choose.c
 * (a maker for each node; tuning file), plan.c (assemble, run, set, get, print).
 *
 * Invariant: after create, run neither allocates nor checks shapes.
 */
#ifndef SUNUP_PLAN_H
#define SUNUP_PLAN_H

#include "device/device.h"

struct placed {                 /* where a value lives, index = value id in the plan */
    const sunup_value *value;
    int64_t offset;             /* in the arena; -1: bound or owned memory           */
    void *memory;               /* resolved address                                  */
    int first, last;            /* steps that write first and read last              */
    int root;                   /* index of the value whose memory this is (views, in-place), else itself */
    bool external;              /* source or plan output: memory of its own, can be bound */
    bool owned;                 /* we allocated `memory`                             */
};

struct sunup_plan {
    sunup_context *ctx;
    sunup_graph *graph;
    struct device *device;
    struct arena arena;         /* of descriptions, not of numbers                   */
    struct node **nodes;        /* fused nodes and graph nodes in running order      */
    int n_nodes;
    struct step *steps;
    int n_steps;
    struct placed *placed;
    int n_placed;
    int n_outputs;
    sunup_value **outputs;
    void *memory;               /* the arena of numbers                              */
    int64_t arena_bytes, unshared_bytes;
    double flops, bytes;
};

/* Memory the plan would take (arena + owned), without allocating it: create with `dry`. */
sunup_status sunup__plan_create(sunup_graph *graph, int n, sunup_value *const *outputs, bool dry, sunup_plan **plan);
/* Address of a value of the plan (source or output), NULL if it has none. */
void *sunup__plan_address(const sunup_plan *plan, const sunup_value *v);

/* Tuning file: choices by problem text. NULL if nothing is known. Loaded once per context. */
const char *sunup__tuned(sunup_context *ctx, const struct node *n);
/* Time each maker that can for every step of the plan on its own operands; write winners to the tuning file. */
sunup_status sunup__plan_tune(sunup_plan *plan, const char *path);
/* "conv:n16h56w56c64k64r3s3:f32": what the tuning file and tables call a node. */
void sunup__problem_text(const struct node *n, char *room, size_t room_bytes);

#endif
