/* train.h - the loop and what it leaves behind: checkpoints, metrics, events, the report.
 *
 * Files: trainer.c (a step: the whole flow), run.c (a whole run), create.c, setup.c, loss.c and slices.c (before it),
 * evaluate.c, checkpoint.c, nonfinite.c, record.c (JSON Lines), tensorboard.c (event file), report.c (one HTML file).
 */
#ifndef SUNUP_TRAIN_H
#define SUNUP_TRAIN_H

#include "base/counters.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "data/data.h"
#include "model/model.h"
#include "optim/optim.h"
#include "plan/plan.h"

/* Where a run tells what happens; rank 0 only. All calls may be made with NULL (nothing is kept). */
struct recorder;

enum { MAX_CLASSES = 1000 };
struct confusion {
    int classes;    /* 0: not a classification */
    int64_t *count; /* [true][predicted]       */
};
struct mistake { /* a sample the network is most wrong about */
    int64_t sample;
    int truth, guess;
    float p; /* probability given to the guess */
};

/* Progress for people: the program sets these to draw bars and tables. All optional. */
struct train_hooks {
    void *arg;
    void (*step)(void *arg, const sunup_metrics *m, int64_t step_in_epoch, int64_t steps_in_epoch);
    void (*epoch)(void *arg, const sunup_metrics *train, const sunup_metrics *eval);
};
void sunup__trainer_hooks(sunup_trainer *t, const struct train_hooks *hooks);
const struct confusion *
sunup__trainer_confusion(const sunup_trainer *t); /* of the last evaluation */
/* Path of the newest checkpoint of a run folder; E_FILE if there is none. */
sunup_status sunup__checkpoint_newest(sunup_context *ctx, const char *run_dir, struct text *path);
/* Predicted bytes of a rank of `ranks`: weights, gradients, moments, exchange, plan arena. The data are in memory
 * before. */
int64_t sunup__trainer_bytes(const sunup_trainer *t, int ranks);

/* Measure the makers of the training pass on a batch of the data, the ways of the exchange and of collectives; rank 0's
 * winners go to a tuning file, and its times of those ways to `table`. */
sunup_status sunup__trainer_tune(sunup_trainer *t, const char *path, struct text *table);
/* Record steps [from, to), counted from now, and write run_dir/trace.json at the end of the run. Collective. */
sunup_status sunup__trainer_trace(sunup_trainer *t, int64_t from, int64_t to);
/* Seconds of each step of the training plan over all traced runs, [n_steps of sunup__trainer_plan]; how many steps were
 * traced, and their seconds. */
int64_t sunup__trainer_traced(const sunup_trainer *t, double *plan_step_s, double *steps_s);
/* Of the traced steps, seconds in which gradients or weights travelled, and how much of that while kernels ran. */
sunup_status sunup__trainer_overlap(const sunup_trainer *t, double *bucket_s, double *hidden_s);
/* How gradients travel: see sunup__exchange_text. */
const char *sunup__trainer_exchange(const sunup_trainer *t);
/* The plan of one shard's training pass, for tables and clocks. */
sunup_plan *sunup__trainer_plan(const sunup_trainer *t);
/* What this rank did within its steps but the first since creation, and their number. */
struct step_counts {
    int64_t steps;
    struct counts sum;
};
const struct step_counts *sunup__trainer_counts(const sunup_trainer *t);
/* Which kernels compute this run: the instruction set and the maker of every step. Bits depend on them. */
uint64_t sunup__train_kernels(const sunup_trainer *t);
/* Batches that were computed twice because gradients outgrew the integers of their sum (sum: int32). */
int64_t sunup__trainer_repeated(const sunup_trainer *t);

#endif
