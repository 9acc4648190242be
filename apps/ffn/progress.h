/* progress.h - the state of a long task: objects done and their voxels, kept in a file so that it
 * may be stopped. */
#ifndef FFN_PROGRESS_H
#define FFN_PROGRESS_H

#include "ffn.h"

enum { FFN_OBJECTS = 2048 };

struct object {
    int64_t evaluations, voxels, differing; /* evaluations 0: not grown */
};
struct progress {
    sunup_context *ctx;
    char *path; /* NULL: nothing is kept */
    int64_t voxels;
    int32_t *own; /* [voxels] */
    struct {
        int64_t voxels, n, next,
            rejected; /* n objects of object[1..n]; next seed; evaluations for nothing */
        double seconds;
        struct object object[FFN_OBJECTS];
    } kept;
    double saved_s;
};
/* file: in the run's folder; what is there is gone on from. */
sunup_status ffn_progress_open(const struct app_run *r, const char *file, int64_t voxels,
                               struct progress *p);
void ffn_progress_end(struct progress *p);
/* now: else only once a minute. */
sunup_status ffn_progress_save(struct progress *p, bool now);

#endif
