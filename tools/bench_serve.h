/* bench_serve.h - what answers questions about its time: a training, a kernel, a collective.
 *
 * A question is a line, an answer a line of JSON. First, unasked: how the start went.
 *
 *   N [CALLS]   N samples of CALLS (1) calls each: "times_s" of one call, "peak_bytes"
 *   clock       from now on the steps of its plan are timed: "steps", their names; each answer after this has
 *               "step_s", the seconds of each in one call (lower quartile of the samples)
 *
 * Of several ranks the first one listens and speaks. The end of the input is the end.
 */
#ifndef SUNUP_BENCH_SERVE_H
#define SUNUP_BENCH_SERVE_H

#include "bench.h"

struct served {
    sunup_status (*sample)(void *arg, int64_t calls, double *call_s); /* on all ranks */
    void *arg;
    sunup_plan *plan; /* NULL: has no steps to time */
    sunup_comm *comm; /* NULL: one process */
};

/* Until the input ends. start: the first line, to which the seconds since the program's start are added. */
sunup_status bench_answer(struct command *c, struct served *s, json_t *start);

/* bench_comm.c: `sunup bench serve comm PROBLEM` */
sunup_status bench_comm_serve(struct bench *b);

#endif
