/* sim.h - what the simulation's two files share: the job, and what stand_in.c counts for it. */
#ifndef SIM_H
#define SIM_H

#include "comm/inside.h"

/* One process holds all ranks, so what is global here is seen by all of them. */
struct sim {
    bool folded;             /* arrays of all ranks are one, and nothing is added: time only */
    int64_t folded_bytes;    /* of that one */
    double adds_bytes_per_s; /* memory traffic of additions; 0: they take no time */
    int64_t *sent_bytes;     /* [ranks] */
    double *owed_s;          /* [ranks] of additions, paid at the next message */
};
extern struct sim sim;

void sim_sleep(double s); /* simulated */

#endif
