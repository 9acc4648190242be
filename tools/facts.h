/* facts.h - what a training tells programs about itself; see facts.c. */
#ifndef SUNUP_FACTS_H
#define SUNUP_FACTS_H

#include "program.h"

enum { FACTS_STEPS = 4096 };
struct facts {
    double start_s, first_step_s; /* of the program; from there to the end of the first step */
    int64_t steps;                /* made by this process */
    double step_s[FACTS_STEPS];   /* a ring, without the first */
};
void facts_step(struct facts *f, double step_s);
void facts_put(json_t *j, struct command *c, const struct session *s, const struct facts *f);

#endif
