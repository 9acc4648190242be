/* ahead.h - memory that products will need, asked for by the products before them: each call of the
 * gemm leaf gets the next stretch of two runs, a line for each step of each of its tiles. Once it
 * is exhausted nothing is asked for twice. (A line each fourth step asks too late for convolutions, with a far third
 * level, too: 256 to 64 channels 217 instead of 286 GFLOP/s on a Xeon with AMX.) */
#ifndef SUNUP_DEVICE_CPU_AHEAD_H
#define SUNUP_DEVICE_CPU_AHEAD_H

#include "base/integers.h"
#include "kernels/kernels.h"

enum { TALLEST = 14, FLOATS = 16 }; /* rows of the leaf's tiles of two vectors; of a line */
enum { FEW_ROWS_MOST = 3 };             /* of tiles that ask for two lines  */
enum { BLOCK_ROWS = 32, STEP_WORDS = 16 }; /* of gemm_bf16x3 */

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
    const bool narrow = g->n <= FLOATS; /* tiles of one vector: twice as tall, and ask for two lines */
    g->ahead_step = narrow || g->m <= FEW_ROWS_MOST ? 2 * FLOATS : FLOATS;
    g->ahead_row = g->k * g->batch * g->ahead_step / ceil_div(g->m, ceil_div(g->m, narrow ? 2 * TALLEST : TALLEST));
    f->x[run] += g->m * g->ahead_row;
    f->n[run] -= g->m * g->ahead_row;
}

/* The same for gemm_bf16x3: each step asks for so many lines, an even number. */
static inline void ask_ahead_lines(struct ahead *f, struct gemm_f32 *g, int64_t lines)
{
    const int run = f->n[0] > 0 ? 0 : 1;
    g->ahead = f->n[run] > 0 ? f->x[run] : NULL;
    g->ahead_step = lines;
    g->ahead_row = ceil_div(g->k, STEP_WORDS) * g->batch * lines * FLOATS / BLOCK_ROWS;
    const int64_t asked = g->ahead ? ceil_div(g->m, BLOCK_ROWS) * BLOCK_ROWS * g->ahead_row : 0;
    f->x[run] += asked;
    f->n[run] -= asked;
}

#endif
