/* plan.h - from a graph to a list of steps over one arena.
 *
 * Stages, each in its own file (stages.h): order.c (which nodes, reachable from the outputs),
 * recompute.c (forward values that are made again instead of kept: where an op asks for it, and
 * where memory is short), expand.c (batch norm as passes and pointwise work), fuse.c (pointwise
 * chains become one node), liveness.c (first and last use of every value; views and in-place
 * share), choose.c (a maker for each node; tuning.c the file of choices, tune.c fills it), arena.c
 * (offsets), plan.c (assemble, run), values.c (bind, set, get, init), print.c (the table),
 * problem.c (problem texts; problem_read.c the way back), planted.c (faults on purpose).
 *
 * Invariant: after create, run neither allocates nor checks shapes. The graph must outlive its
 * plans.
 */
#ifndef SUNUP_PLAN_H
#define SUNUP_PLAN_H

#include "device/device.h"

struct placed { /* where a value lives, index = value id in the plan */
    const sunup_value *value;
    int64_t offset;  /* in the arena; -1: bound or owned memory           */
    void *memory;    /* resolved address                                  */
    int first, last; /* steps that write first and read last              */
    int root;        /* index of the value whose memory this is (views, in-place) */
    int region;      /* its region for the device's watch, -1: none       */
    bool external;   /* source or plan output: memory of its own, can be bound */
    bool owned;      /* we allocated `memory`                             */
    bool filled;     /* a source that has its numbers                     */
};

struct sunup_plan {
    sunup_context *ctx;
    sunup_graph *graph;
    struct device *device;
    struct arena arena;  /* of descriptions, not of numbers                   */
    struct node **nodes; /* fused nodes and graph nodes in running order      */
    int n_nodes;
    int n_values, n_ids; /* of the graph and of the plan's own nodes          */
    int n_again;         /* forward nodes that run twice to save memory       */
    struct step *steps;
    int n_steps;
    struct placed *placed;
    int n_placed;
    int *externals; /* indices of the external values, which binding looks through */
    int n_externals;
    int n_outputs;
    sunup_value **outputs;
    void *memory;          /* the arena of numbers                              */
    int64_t *workspace_at; /* [n_steps] offsets in it, -1: none                 */
    int64_t arena_bytes, unshared_bytes;
    int64_t owned_bytes; /* of sources and outputs, until they are bound      */
    int64_t prepared_bytes; /* of the steps' weights in their makers' layouts */
    void *prepared;
    bool weights_stay;    /* see plan_options */
    bool weights_changed; /* since the last run that ended well */
    double flops, bytes;
    struct slot *slots;     /* every operand of every step, by root: what bind patches */
    int *slot_from;         /* [n_placed + 1] first slot of a root               */
    struct region *regions; /* all memory, for a device that watches it          */
    int n_regions;
    bool dry;   /* described only: has no memory                     */
    double *step_s; /* [n_steps] seconds of each since sunup__plan_clock; NULL: not timed */
    void (*passed)(void *arg, int step); /* after each step of a run; NULL: nobody asks  */
    void *passed_arg;
    bool traced; /* its steps are spans of the context's trace */
    bool ready; /* all sources are known to be filled                */
    bool ran;
    struct arena scratch; /* of the stages; ends with create                   */
    bool *wanted;         /* [n_placed] scratch: is an output                  */
};

/* Place in a step's `in` or `out` that holds the address of a value. */
struct slot {
    void **at;
};

struct plan_options {
    bool dry; /* only described, to know the memory it would take: arena_bytes + owned_bytes */
    int64_t memory_bytes; /* > 0: forward values are made again where the arena would be larger;
                             E_MEMORY if that is not enough                                          */
    bool weights_stay; /* parameters change only by set, bind and init, and where the caller says so: weights are
                          prepared (struct step) in the first run after a change, not in every run. Not if that
                          takes more than memory_bytes, with the arena, or than is free                     */
};
sunup_status sunup__plan_create(sunup_graph *graph, int n, sunup_value *const *outputs,
                                const struct plan_options *options, sunup_plan **plan);
/* Parameters have other numbers: for who writes memory that is bound to one. */
void sunup__plan_weights_changed(sunup_plan *plan);
/* From now on each run adds the time of each step to step_s, which starts at 0. Two readings of the clock a
 * step, so a plan of short steps takes a little longer. */
sunup_status sunup__plan_clock(sunup_plan *plan);
/* From now on passed(arg, i) is called after step i of each run, between the tasks of the threads: there comm takes
 * what is complete. NULL: nobody asks. */
void sunup__plan_watch(sunup_plan *plan, void (*passed)(void *arg, int step), void *arg);
/* s->run, and what planted faults do to it. */
sunup_status sunup__step_run(const struct step *s, const sunup_random_key *key);
/* The step that writes an output; -1: none does. */
int sunup__plan_writer(const sunup_plan *plan, const sunup_value *v);
/* Address of a value of the plan (source or output), NULL if it has none. A source counts as filled
 * from then on. */
void *sunup__plan_address(const sunup_plan *plan, const sunup_value *v);

/* Tuning file: choices by problem text. NULL if nothing is known. Loaded once per context. */
const char *sunup__tuned(sunup_context *ctx, const struct node *n);
/* Choice i from 0 on, of whatever kind; false: there are no more. Valid until the next choice is kept. */
bool sunup__tuning_at(sunup_context *ctx, int i, const char **problem, const char **maker);
/* Time each maker that can for every step of the plan on its own operands; the winners are choices of the context. */
sunup_status sunup__plan_tune(sunup_plan *plan);
/* A choice to be kept for the context, and the choices of the context written to a file. */
sunup_status sunup__tuning_set(sunup_context *ctx, const char *problem, const char *maker);
sunup_status sunup__tuning_save(sunup_context *ctx, const char *path);
/* "conv:n16h56w56c64k64r3s3:f32": what the tuning file and tables call a node. */
void sunup__problem_text(const struct node *n, char *room, size_t room_bytes);
enum { PROBLEM_TEXT = 256 };
/* The way back: a graph of inputs and the node that the text names (problem_read.c; also short
 * forms). E_ARGUMENT with the position for what is no problem; destroy the graph after use. */
sunup_status sunup__problem_read(sunup_context *ctx, const char *text, sunup_graph **graph,
                                 const struct node **n);

#endif
