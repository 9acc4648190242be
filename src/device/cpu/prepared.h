/* prepared.h - weights in a maker's own layout: packed, transformed, or rounded.
 *
 * Where the operand stays from run to run (struct step) they lie in memory of the step's own, else first in its
 * workspace, where each run makes them. A maker that makes them in pieces, each right before it is used, asks for
 * nothing here where the operand does not stay.
 */
#ifndef SUNUP_DEVICE_CPU_PREPARED_H
#define SUNUP_DEVICE_CPU_PREPARED_H

#include "device/device.h"

static inline bool operand_stays(const struct step *s, int operand)
{
    return s->stays != NULL && s->stays[operand];
}

/* In make, once workspace_bytes is all the rest. */
static inline void ask_prepared(struct step *s, int operand, int64_t bytes, void (*prepare)(const struct step *s))
{
    const int64_t lines = (bytes + 63) / 64 * 64;
    if (lines == 0) return;
    s->prepare = prepare;
    if (operand_stays(s, operand))
        s->prepared_bytes = lines;
    else
        s->workspace_bytes += lines;
}

/* Where they are, filled or to be filled, and the rest of the workspace: prepare may use it, too. */
static inline void *prepared_weights(const struct step *s)
{
    return s->prepared != NULL ? s->prepared : s->workspace;
}

static inline void *workspace_behind(const struct step *s, int64_t bytes)
{
    return s->prepared != NULL ? s->workspace : (char *)s->workspace + (bytes + 63) / 64 * 64;
}

/* In a run, which makes them now if they are not there. */
static inline void *have_prepared(const struct step *s)
{
    if (s->prepared == NULL && s->prepare != NULL) s->prepare(s);
    return prepared_weights(s);
}

#endif
