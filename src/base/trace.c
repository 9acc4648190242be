/* trace.c - see trace.h. */
#include "base/trace.h"

#include "base/memory.h"

sunup_status sunup__trace_begin(sunup_context *ctx, int64_t room)
{
    sunup__trace_end(ctx);
    struct trace *t = sunup__alloc(sizeof *t);
    struct trace_span *spans = sunup__alloc((size_t)room * sizeof *spans);
    if (t == NULL || spans == NULL) {
        sunup__free(t);
        sunup__free(spans);
        RAISE(ctx, E_MEMORY, "no memory for a trace of %lld spans", (long long)room);
    }
    t->spans = spans;
    t->room = room;
    ctx->trace = t;
    return SUNUP_OK;
}

void sunup__trace_end(sunup_context *ctx)
{
    if (ctx->trace == NULL) return;
    sunup__free(ctx->trace->spans);
    sunup__free(ctx->trace);
    ctx->trace = NULL;
}

void sunup__trace_add(sunup_context *ctx, enum trace_lane lane, const char *name, int64_t number,
                      double from_s)
{
    struct trace *t = ctx->trace;
    if (t == NULL || from_s == 0) return;
    const int64_t i = atomic_fetch_add_explicit(&t->n, 1, memory_order_relaxed);
    if (i < t->room) t->spans[i] = (struct trace_span){from_s, sunup__now_s(), name, number, lane};
}
