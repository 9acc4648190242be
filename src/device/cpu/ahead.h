/* ahead.h - memory that products will need, asked for by the products before them: each call of the
 * gemm leaf gets the next stretch of two runs, a line for each step of each of its tiles. Once it
 * is exhausted nothing is asked for twice. (A line each fourth step asks too late for convolutions, with a far third
 * level, too: 256 to 64 channels 217 instead of 286 GFLOP/s on a Xeon with AMX.) */
#ifndef SUNUP_DEVICE_CPU_AHEAD_H
#define SUNUP_DEVICE_CPU_AHEAD_H

#include "base/integers.h"
#include "kernels/kernels.h"

enum { TALLEST = 14, FLOATS = 16 }; /* rows of the leaf's tiles of two vectors; of a line */

/* Floats of both runs that no product has asked for yet. */
struct ahead {
    const float *x[2];
    int64_t n[2];
};

static inline void ask_ahead(struct ahead *f, struct gemm_f32 *g)
{
    const int run = f->n[0] > 0 ? 0 : 1;
    g->ahead = f->n[run] > 0 ? f->x[run] : NULL;
    if (g->ahead == NULL || g->m == 0) return;
    g->ahead_step = FLOATS;
    g->ahead_row = g->k * g->batch * FLOATS / ceil_div(g->m, ceil_div(g->m, TALLEST));
    f->x[run] += g->m * g->ahead_row;
    f->n[run] -= g->m * g->ahead_row;
}

#endif
