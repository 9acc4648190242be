/* bench_kernel.h - a row of `sunup bench kernel`: one problem, every way it was computed, and what bounds it.
 *
 * bench_kernel.c  lists, shorthand for gradients, the order of things
 * bench_pipe.c    several ops one after the other
 * bench_race.c    the clock: rounds in which every way has its turn
 * bench_table.c   what a row looks like on a terminal, in JSON, in CSV
 * bench_html.c    the picture of all rows
 */
#ifndef SUNUP_BENCH_KERNEL_H
#define SUNUP_BENCH_KERNEL_H

#include "bench.h"
#include "peer.h"
#include "plan/problem.h"

enum { BENCH_ROUNDS = 101, LEAST_ROUNDS = 5, BENCH_NAME = 64, BENCH_WAYS = PROBLEM_WAYS + 2 };

struct sampled {
    double s[BENCH_ROUNDS]; /* in the order of the rounds */
    int n;
    double median_s, q1_s, q3_s; /* set by sampled_finish */
};

struct timed_way {
    char name[BENCH_NAME]; /* the maker's, "plan" or "PyTorch" */
    struct sampled t;      /* n 0: not timed */
};

struct row {
    char name[BENCH_NAME];   /* "" if the list gives none */
    char text[PROBLEM_TEXT]; /* canonical; of a leaf as it was given */
    double flops;            /* of one call, taps in the padding left out */
    double bytes;            /* each operand and result moved once        */
    double fma_per_s,
        copy_s;     /* in the same rounds: flops/s of all threads; a copy that moves `bytes` */
    double bound_s; /* the larger of the two bounds             */
    struct sampled canary; /* seconds of that bound, round by round; n 0: a leaf */
    bool by_memory;
    struct timed_way ways[BENCH_WAYS];
    int n_ways, chosen;
};

struct kernel_bench {
    struct bench *b;
    double seconds; /* for a row */
    bool cold;
    struct peer torch; /* pid 0: none */
    void *sweep;       /* what is swept through the caches between cold calls */
    struct row *rows;
    int n_rows, room_rows;
};

void sampled_finish(struct sampled *t);
double bench_flops(const struct node *n);

/* "batch_norm:16x56x56x256|add|relu": a plan of all against op by op. */
struct pipe;
enum pipe_way { PIPE_PLAN, PIPE_APART, PIPE_ONEDNN, PIPE_WAYS };
/* On failure, too, *pipe is to be closed. */
sunup_status pipe_open(sunup_context *ctx, const char *text, struct pipe **pipe);
const char *pipe_text(const struct pipe *p);
sunup_plan *pipe_plan(const struct pipe *p);
struct cost pipe_cost(const struct pipe *p);
bool pipe_has(const struct pipe *p, enum pipe_way way);
sunup_status pipe_run(struct pipe *p, enum pipe_way way);
void pipe_close(struct pipe **pipe);

/* Fills all of the row but its name. A problem with '|' is a pipe. */
sunup_status bench_race(struct kernel_bench *k, const char *problem, struct row *r);
/* A leaf of kernels/leaves.def on one thread: "gemm:m64n48k300". */
sunup_status bench_leaf(struct kernel_bench *k, const char *problem, struct row *r);

void row_show(const struct row *r);
json_t *row_json(const struct row *r);
void row_csv_head(struct text *t);
void row_csv(struct text *t, const struct row *r);

/* Machine, date, settings, command: lines that start with `mark`. */
void bench_origin(struct text *t, sunup_context *ctx, const char *mark);
sunup_status bench_html(const struct kernel_bench *k, const char *path);

#endif
