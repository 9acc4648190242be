/* record.h - the recorder's inside, for the files that write one form of it each. */
#ifndef SUNUP_RECORD_H
#define SUNUP_RECORD_H

#include <stdio.h>

#include "train/trainer.h"

struct row {
    sunup_metrics m;
    bool eval;
};

struct events; /* tensorboard.c */

struct recorder {
    sunup_context *ctx;
    FILE *file;          /* NULL: no run folder */
    const char *run_dir; /* the trainer's */
    char *path;
    bool warned;
    struct row *rows; /* all of the run so far, for the report */
    int64_t n_rows, room_rows;
    struct events *events;
};

/* TensorBoard event file <run_dir>/events.out.tfevents.<time>.sunup: scalars train/loss, eval/accuracy ... */
sunup_status sunup__events_create(sunup_context *ctx, const char *run_dir, struct events **e);
void sunup__events_add(struct events *e, const sunup_metrics *m, bool eval);
void sunup__events_destroy(struct events **e);

#endif
