/* bench.h - what the halves of `sunup bench` share: the ceilings of this machine and the list of rows.
 *
 * bench.c           the verb: which half, what is printed once
 * bench_ceiling.c   peak rates of all threads
 * bench_kernel.c    problems: leaves and nodes, by every way there is to compute them
 * bench_model.c     training steps of run files, against PyTorch's
 * bench_profile.c   where the time of a training step goes
 * bench_serve.c     our side of that race, a process of its own; of pairs of the tracker both
 * bench_comm.c      sums over ranks and other collectives
 * bench_list.c      lists of problems
 */
#ifndef SUNUP_BENCH_H
#define SUNUP_BENCH_H

#include "kernels/kernels.h"
#include "program.h"

/* Of all threads of the context together. */
struct ceilings {
    bool known;
    double flops_per_s;      /* f32 fused multiply-adds in registers, 2 flops each */
    double copy_bytes_per_s; /* of 64 MiB: bytes read + bytes written              */
};

struct bench {
    struct command *c;
    struct ceilings top;
    json_t *rows; /* one object a row, for --json */
    int64_t turns; /* begun by the clock, for planted faults */
};

/* Measured at the first call, for it takes 128 MiB; printed unless --json. */
sunup_status bench_ceilings(struct bench *b);
/* flop/s now, about a millisecond; seconds of one copy. */
double bench_fma(sunup_context *ctx, const struct kernels *k);
double bench_copy(sunup_context *ctx, const void *from, void *to, int64_t bytes);

/* each for every problem of a list, with its name or "". */
typedef sunup_status bench_each(void *arg, const char *name, const char *problem);
sunup_status bench_list(struct bench *b, const char *path, bench_each *each, void *arg);

sunup_status bench_model(struct bench *b, const char *run_file);
sunup_status bench_profile(struct bench *b, const char *run_file);
sunup_status bench_kernel(struct bench *b); /* all operands after the first */
sunup_status bench_comm(struct bench *b);   /* the same */
sunup_status bench_serve(struct bench *b);  /* the same */

#endif
