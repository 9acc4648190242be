/* bench_update.h - the end of a training step: gradients of all ranks summed, an Adam step, new weights on all. */
#ifndef SUNUP_BENCH_UPDATE_H
#define SUNUP_BENCH_UPDATE_H

#include "comm/comm.h"

enum update_way {
    UPDATE_FUSED, /* as in training: each rank sums, updates and shares slices */
    UPDATE_APART, /* our sum on all ranks, then the whole update on each       */
    UPDATE_MPI    /* MPI_Allreduce, then the whole update on each              */
};
struct updater;
/* n weights; all ranks call it. */
sunup_status updater_open(sunup_context *ctx, sunup_comm *comm, enum update_way way, int64_t n,
                          struct updater **u);
void updater_close(struct updater **u);
float *updater_gradient(struct updater *u); /* [n], to be written before each run */
sunup_status updater_run(struct updater *u, const char **weights);
void updater_weights(const struct updater *u, const char **weights);

#endif
