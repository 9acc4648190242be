/* fault.h - faults planted on purpose, so that what finds faults can be tested: SUNUP_FAULT, a list with commas.
 *
 *   slow:OP:PERCENT      steps of plans of that op (conv, matmul ...; *: any) take so much longer
 *   crash:STEP[:RANK]    SIGSEGV at the start of that training step (from 0) on that rank (0)
 *   hang:STEP[:RANK]     the rank stays in that step for ever
 *   nan:STEP[:RANK]      what layers compute in that step becomes NaN
 *   flip:STEP[:RANK]     a bit of a weight flips before the first comparison of ranks from that step on
 *   wire:STEP[:RANK]     a bit flips in what lands next from another rank in that step, or in a sum with it on one node
 *   oom:STEP[:RANK]      an allocation of that step fails
 *
 * Owes: reading the variable, once, when a context is created, and the question what is due now. Leaves: doing it to
 * who runs steps (plan, train, the program's benchmarks). Without the variable a look at a pointer is all it costs.
 */
#ifndef SUNUP_BASE_FAULT_H
#define SUNUP_BASE_FAULT_H

#include <stdbool.h>

#include "base/context.h"

enum fault_kind { FAULT_SLOW, FAULT_CRASH, FAULT_HANG, FAULT_NAN, FAULT_FLIP, FAULT_WIRE, FAULT_OOM, FAULT_KINDS };
enum { FAULTS_MOST = 16, FAULT_OP = 48 };

struct faults {
    int n;
    struct fault {
        enum fault_kind kind;
        char op[FAULT_OP]; /* slow only, and */
        double percent;
        int64_t step;
        int rank;
        bool done; /* flip: once is enough */
    } list[FAULTS_MOST];
    bool poisoned; /* nan is due in the step under way */
};

/* NULL or "": none. E_ARGUMENT says what may stand there. */
sunup_status sunup__faults_plant(sunup_context *ctx, const char *text);
void sunup__faults_end(sunup_context *ctx);

/* Is one of that kind due, in this step of this rank? flip: in this step or a later one, and not yet done. */
bool sunup__fault_due(const sunup_context *ctx, enum fault_kind kind, int64_t step, int rank);
/* At the start of a step: crashes, hangs, or marks the step as poisoned, as is due. E_MEMORY: oom is. */
sunup_status sunup__fault_strike(sunup_context *ctx, int64_t step, int rank);
/* A step of this op has run since from_s: spins as long as it is to take longer. */
void sunup__fault_slow(const sunup_context *ctx, const char *op, double from_s);
/* flip has been done. */
void sunup__fault_done(sunup_context *ctx, enum fault_kind kind);

static inline sunup_status sunup__fault_step(sunup_context *ctx, int64_t step, int rank)
{
    return ctx->faults == NULL ? SUNUP_OK : sunup__fault_strike(ctx, step, rank);
}

#endif
