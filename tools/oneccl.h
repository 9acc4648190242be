/* oneccl.h - sums by oneCCL within this process, for `sunup bench comm`; only where it was found (SUNUP_ONECCL). */
#ifndef SUNUP_TOOLS_ONECCL_H
#define SUNUP_TOOLS_ONECCL_H

#include "comm/comm.h"

struct oneccl;
/* On all ranks of comm. OK with *o NULL: the build has none. */
sunup_status oneccl_open(sunup_comm *comm, sunup_context *ctx, struct oneccl **o);
/* x [n] summed over the ranks, in place. It waits for a lost rank without a word. */
sunup_status oneccl_sum(struct oneccl *o, float *x, int64_t n);
void oneccl_close(struct oneccl **o);

#endif
