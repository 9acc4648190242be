/* problem.h - a problem with memory, ready to be computed by every maker that can: for benches and
 * checks.
 *
 *     struct problem p;
 *     TRY(sunup__problem_open(ctx, "conv:n1h5w5c3k4r3s3:same", &p));
 *     for (int i = 0; i < p.n_ways; i++) TRY(sunup__problem_run(&p, i));      first run makes it
 *     sunup__problem_close(&p);
 */
#ifndef SUNUP_PLAN_PROBLEM_H
#define SUNUP_PLAN_PROBLEM_H

#include "kernels/check.h"
#include "plan/plan.h"

enum { PROBLEM_WAYS = 32 };

struct way {
    const struct maker *maker;
    struct step step; /* run NULL: not made yet; with a workspace of its own */
};

/* All memory is the problem's own; all ways read the same operands and write the same outputs. */
struct problem {
    sunup_graph *graph;
    const struct node *node;
    struct device *device;
    void *in[CHAIN_IN], *out[CHAIN_STEPS]; /* no op that can be read has more */
    struct way ways[PROBLEM_WAYS];
    int n_ways;
    int chosen;              /* the way that a plan takes: the first, or that of the tuning file */
    bool weights_stay;       /* and are prepared before the first run: see struct step; set before that */
    bool stays[CHAIN_IN];    /* operands that are weights where that is so */
    char text[PROBLEM_TEXT]; /* canonical */
};

/* Reads the text, allocates, and draws the operands: inputs from [-1, 1), those that an
 * earlier op would have made (statistics of a norm) from [0.5, 1.5). */
sunup_status sunup__problem_open(sunup_context *ctx, const char *text, struct problem *p);
sunup_status sunup__problem_run(struct problem *p, int way);
/* The numbers of one such operand, different for each `which`. */
void sunup__problem_draw(const sunup_value *v, uint64_t which, void *memory);
void sunup__problem_close(struct problem *p);

/* Every way against the op's own in f64, adding to the report as the checks of leaves do; bounds at
 * problem_check.c. */
sunup_status sunup__problem_check(sunup_context *ctx, const char *text,
                                  struct check_report *report);

#endif
