/* trace.h - when what happened on this rank: spans of time in a buffer, for a picture of a training step.
 *
 * A context that is traced has a buffer; without one, or while it is off, a call costs a look at a pointer. Spans are
 * added by any thread; one that finds the buffer full is counted and lost. Names must outlive the buffer.
 */
#ifndef SUNUP_BASE_TRACE_H
#define SUNUP_BASE_TRACE_H

#include <stdatomic.h>

#include "base/context.h"
#include "base/system.h"

enum trace_lane { TRACE_STEP, TRACE_PHASE, TRACE_KERNEL, TRACE_BUCKET, TRACE_WAIT, TRACE_DATA, TRACE_LANES };

struct trace_span {
    double from_s, to_s;
    const char *name; /* NULL in TRACE_KERNEL: the number tells the step of the plan */
    int64_t number;   /* of the step, bucket, shard ... */
    enum trace_lane lane;
};

struct trace {
    struct trace_span *spans;
    int64_t room;
    atomic_llong n; /* added, more than room if some were lost */
    atomic_bool on;
};

sunup_status sunup__trace_begin(sunup_context *ctx, int64_t room); /* off at first */
void sunup__trace_end(sunup_context *ctx);

/* The clock, or 0 where nothing is recorded. */
static inline double sunup__trace_now(const sunup_context *ctx)
{
    struct trace *t = ctx->trace;
    return t != NULL && atomic_load_explicit(&t->on, memory_order_relaxed) ? sunup__now_s() : 0;
}
/* A span that ends now; nothing if from_s is 0. */
void sunup__trace_add(sunup_context *ctx, enum trace_lane lane, const char *name, int64_t number,
                      double from_s);

#endif
