/* context.h - what every handle hangs on: the last error, the log, threads and settings.
 *
 * Owes: one place that turns a failed condition into a sentence (RAISE) and carries it up (TRY).
 * Leaves: what device, kernels and tuning mean to the folders above; they keep their own state in `kept`.
 */
#ifndef SUNUP_BASE_CONTEXT_H
#define SUNUP_BASE_CONTEXT_H

#include <stdbool.h>
#include <sunup.h>

/* State that a higher folder attaches to the context; ended in reverse order of attaching. */
struct kept {
    void *p;
    void (*end)(void *p);
};
/* One owner a slot: base knows no folder above it but gives each a place. */
enum kept_slot { KEPT_KERNELS, KEPT_DEVICE, KEPT_TUNING, KEPT_SLOTS };

/* What programs may ask of the last error beside its sentence, as far as it is known. */
struct blame {
    int rank;                        /* who caused it; -1: unknown */
    int64_t step;                    /* of the training; -1        */
    bool differs;                    /* E_PEER: numbers differ between ranks */
    char layer[96], collective[96]; /* "": unknown                */
};

struct sunup_context {
    sunup_context_options options; /* strings are copies */
    char *error;                   /* last message, "" at first; never NULL */
    struct blame blame;            /* of that error */
    int threads;
    struct trace *trace; /* NULL: nothing is recorded; see trace.h */
    struct faults *faults; /* NULL: none are planted; see fault.h */
    /* MPI itself waits for a rank longer than the limit (comm/limit.c): called by a thread of its own with a sentence;
     * must end the process. NULL: then it may wait for ever. */
    void (*stuck)(void *arg, const char *report);
    void *stuck_arg;
    struct kept kept[KEPT_SLOTS];
};

/* Keep the message as the context's error and return status. sunup_error(ctx) may be among the arguments: the old
 * message is freed after the new one is written. */
sunup_status sunup__raise(sunup_context *ctx, sunup_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Of the error that was raised just now: the next one forgets it. layer, collective: NULL is unknown. */
void sunup__blame(sunup_context *ctx, int rank, const char *layer, const char *collective);
void sunup__log(sunup_context *ctx, sunup_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define RAISE(ctx, code, ...) return sunup__raise((ctx), SUNUP_##code, __VA_ARGS__)
#define CHECK(cond, ctx, code, ...)                                                                \
    do {                                                                                           \
        if (!(cond)) RAISE(ctx, code, __VA_ARGS__);                                                \
    } while (0)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const sunup_status try_status_ = (call);                                                   \
        if (try_status_ != SUNUP_OK) return try_status_;                                           \
    } while (0)

#endif
