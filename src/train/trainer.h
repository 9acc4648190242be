/* trainer.h - what the files of this folder share: the trainer and its parts. */
#ifndef SUNUP_TRAINER_H
#define SUNUP_TRAINER_H

#include <signal.h>
#include <string.h>

#include "train/train.h"

/* One number that every shard adds to the sum beside its gradients. */
enum extra { EXTRA_LOSS, EXTRA_WEIGHT, EXTRA_CORRECT, EXTRA_STOP, EXTRA_FAILED, EXTRAS };

/* A graph of the network with its loss, ready to run on one shard of `count` samples. */
struct pass {
    int64_t count; /* samples                                                     */
    int64_t held;  /* of them in the inputs of this rank                          */
    bool training;
    bool again; /* it runs more than once between two updates */
    sunup_graph *graph;
    sunup_plan *plan;
    sunup_value *output, *target, *loss, *correct; /* correct, target: NULL if there is none */
    sunup_value *weight; /* loss is to be divided by it, after both are summed; NULL: by 1 */
    int n_inputs;
    sunup_value **inputs;    /* with the target, in the order of the data's fields           */
    int *fields;             /* data field of each                                           */
    sunup_value **gradients; /* training: of trained parameter i                             */
    sunup_value *(*factor)[2]; /* x and dy of gradient i, which is their product; NULL: it is kept   */
    struct factors *factors;   /* the same for the optimizer                                         */
    int n_averages;
    sunup_value **averages; /* training: what graph->averages take in                       */
    sunup_value *labels;    /* of output's rows: the target, or the own parts of it         */
    /* In parts: graph is split's. loss, weight and correct are the own share of the whole. */
    bool in_parts;
    struct split *split;
    sunup_graph *whole;
    bool cut; /* output holds the own parts, else every rank of the group has all of it */
};

/* Where a shard's terms stand in the flat sum: gradients as the weights, averages, extras. */
struct terms {
    int64_t n, averages, extras;
    int64_t *average_at;
};

enum { PASS_CACHE = 4 };

struct sunup_trainer {
    sunup_context *ctx;
    sunup_model *model;
    sunup_data *data;
    sunup_comm *comm;
    sunup_comm *own_comm;  /* made here because the caller gave none */
    sunup_train_options o; /* strings are copies */
    const struct kernels *kernels;
    int threads;
    int from, to;      /* shards of this rank */
    int group, member; /* ranks that hold the parts of each shard, and this one's number among them */
    struct halo *halo; /* between them; NULL: there is one */
    struct pass *pass; /* training */
    struct terms terms;
    struct stream *stream; /* NULL if samples are live */
    struct live *live;     /* else NULL */
    int64_t *complete;         /* [steps of the pass] gradients that are final after each */
    struct exchange *exchange; /* holds the model's weights, too */
    void *sum;      /* [terms.n] of the step, own slices and tail: in sum_room or in the exchange */
    void *sum_room; /* where batches are added up; NULL if a step has one */
    void *bound;    /* the slot that the plan's outputs point into */
    struct optimizer_job parameters; /* what is updated, here in the own slices */
    const int64_t *part_at;          /* [segments] where they begin */
    int n_arrays;                    /* that the optimizer keeps of them */
    struct optimizer *optimizer;
    bool hears; /* it sees gradients while they are summed */
    struct schedule schedule;
    struct arena arena;
    /* Evaluation's passes by count, made when first wanted; `evaluated` remembers the data they read. */
    struct pass *evaluation[PASS_CACHE];
    struct confusion confusion;
    struct mistake *mistakes;
    int n_mistakes;
    struct train_hooks hooks;
    struct recorder *recorder;
    /* Where the run is. */
    int64_t step, steps_per_epoch, total_steps;
    struct step_counts counts;
    int64_t made; /* steps since creation */
    int64_t repeated;  /* batches computed twice since creation, as the exchange asked */
    int64_t evaluated; /* epochs whose evaluation is done (plateau has seen it) */
    bool claimed;      /* run_dir is known to be this run's */
    int64_t trace_from, trace_to; /* steps that are traced; none if equal */
    double trace_zero_s;          /* the clock of this rank when all met */
    volatile sig_atomic_t stop; /* asked of this rank, at any moment */
    bool stopping;              /* known to all ranks since the same step */
};

static inline bool sunup__train_f64(const sunup_trainer *t)
{
    return t->model->dtype == SUNUP_F64;
}

static inline bool sunup__train_by_integers(const sunup_trainer *t)
{
    return strcmp(t->o.sum, "int32") == 0;
}

static inline bool sunup__train_rounds_sums(const sunup_trainer *t)
{
    return strcmp(t->o.wire, "bf16") == 0;
}

/* The samples of a shard are cut, not their space: then evaluation, which has no batch statistics, is not in parts. */
static inline bool sunup__train_by_samples(const sunup_trainer *t)
{
    return t->o.parts > 1 && t->o.split != NULL && t->o.split[0] == 'N';
}

/* setup.c */
/* Whether a rank with so many shards computes more than one with the same weights. */
bool sunup__train_repeats(const sunup_trainer *t, int64_t own_shards);
sunup_status sunup__pass_create(sunup_trainer *t, const sunup_data *data, int64_t count,
                                bool training, struct pass **pass);
void sunup__pass_destroy(struct pass **pass);
sunup_status sunup__pass_bind_weights(const sunup_trainer *t, const struct pass *p);
sunup_status sunup__pass_load(const struct pass *p, void *const *fields);
sunup_status sunup__train_check_options(sunup_trainer *t);
sunup_status sunup__train_setup(sunup_trainer *t);
sunup_status sunup__train_rewind(sunup_trainer *t); /* the stream starts at t->step again */
/* factors.c: gradients that are no outputs of the plan; before the plan is made, */
sunup_status sunup__pass_find_factors(const sunup_trainer *t, struct pass *p);
/* after it has run, and the elements that need no memory. */
void sunup__pass_place_factors(const sunup_trainer *t, const struct pass *p);
int64_t sunup__pass_spares(const sunup_trainer *t, const struct pass *p);
/* loss.c */
sunup_status sunup__train_check_loss(const sunup_trainer *t);
sunup_status sunup__train_add_loss(sunup_trainer *t, const sunup_data *data, struct pass *p);
/* parts.c */
sunup_status sunup__train_check_parts(const sunup_trainer *t);
sunup_status sunup__join_group(sunup_trainer *t); /* and the shards of this rank */
int sunup__train_terms(const sunup_trainer *t);   /* of every sum of the run */
/* How a batch is cut, and the pieces of it that this rank reads. */
struct pieces_of_batch {
    int n, from, to;
};
struct pieces_of_batch sunup__train_pieces(const sunup_trainer *t);
struct pieces_of_batch sunup__evaluation_pieces(const sunup_trainer *t);
sunup_status sunup__pass_split(const sunup_trainer *t, struct pass *p);
/* The group agrees that its passes are made, with what they will exchange. */
sunup_status sunup__pass_ready(const sunup_trainer *t, const struct pass *p, sunup_status mine);
/* After a run of a pass, or in its place: the group has one status. */
sunup_status sunup__settle(const sunup_trainer *t, sunup_status mine);
/* A run of a plan failed so that ranks cannot answer each other any more; not where numbers only differ. */
bool sunup__turn_broke(const sunup_trainer *t, sunup_status mine);
/* live.c: nothing for a trainer whose data are not live. */
#define LIVE_STATE "live.state"
sunup_status sunup__live_create(sunup_trainer *t, struct live **live);
void sunup__live_destroy(struct live **live);
int64_t sunup__live_bytes(const struct live *l);
sunup_status sunup__live_next(sunup_trainer *t, const struct batch **b);
void sunup__live_keep(struct live *l, int own_shard, const void *output);
void sunup__live_seen(struct live *l, int threads);
void sunup__live_rewind(struct live *l, int64_t batch);
/* All places' states as they are written, without data; collected on rank 0 (free *whole), and spread from there. */
sunup_tensor sunup__live_tensor(const sunup_trainer *t);
sunup_status sunup__live_collect(const sunup_trainer *t, char **whole);
sunup_status sunup__live_spread(const sunup_trainer *t, void *whole);
/* slices.c */
sunup_status sunup__list_parameters(sunup_trainer *t); /* what the optimizer will update */
/* Make the exchange, which holds the weights from now on, and the optimizer of this rank's slices. */
sunup_status sunup__share_weights(sunup_trainer *t);
void sunup__take_slices(sunup_trainer *t); /* where the exchange has them now */
/* The weights, if another trainer of the model has them: what every public call begins with. */
void sunup__take_weights(sunup_trainer *t);
/* E_PEER, naming the ranks and the first tensor that differ. */
sunup_status sunup__compare_weights(sunup_trainer *t, const char *what);
/* overlap.c: in the last own shard of a batch, gradients leave as they are made. */
sunup_status sunup__follow_gradients(sunup_trainer *t);
void sunup__overlap(sunup_trainer *t, bool on);
/* All moments as they are written: each whole, on rank 0. */
struct whole_moments {
    const void *data[OPTIMIZER_MOMENTS];
    void *room[OPTIMIZER_MOMENTS]; /* own memory of data, or NULL */
};
sunup_status sunup__moments_collect(const sunup_trainer *t, struct whole_moments *m);
void sunup__moments_end(struct whole_moments *m, sunup_status status);
/* Moment i from rank 0 (NULL elsewhere) to all ranks, which take their slices. */
sunup_status sunup__moment_spread(sunup_trainer *t, int i, void *whole);
/* Memory of a collective that failed so must stay: a late message may still arrive in it. */
static inline bool sunup__late_messages(sunup_status status)
{
    return status == SUNUP_E_HANG || status == SUNUP_E_PEER;
}
/* nonfinite.c: say which layer made the first number that is not finite, on which rank; returns E_NAN. */
sunup_status sunup__train_find_nan(sunup_trainer *t, const struct batch *b);
/* checkpoint.c */
sunup_status sunup__checkpoint_keep(sunup_trainer *t);  /* the next of run_dir, old ones removed */
sunup_status sunup__checkpoint_claim(sunup_trainer *t); /* run_dir is free, or this run's own */
/* evaluate.c */
void sunup__evaluation_end(sunup_trainer *t);

/* trace.c */
void sunup__trace_step(sunup_trainer *t);          /* before a step: records it, or not */
sunup_status sunup__trace_write(sunup_trainer *t); /* collective; nothing if nothing was asked for */

/* record.c: all on rank 0, NULL recorder elsewhere. */
sunup_status sunup__recorder_create(sunup_trainer *t, struct recorder **r);
void sunup__recorder_destroy(struct recorder **r);
void sunup__record_step(struct recorder *r, const sunup_metrics *m);
void sunup__record_evaluation(struct recorder *r, const sunup_metrics *train,
                              const sunup_metrics *eval);
/* A resumed run: forget what was recorded after this step. */
void sunup__record_rewind(struct recorder *r, int64_t step);
/* report.html and what else is written once: at the end of a run and at each evaluation. */
sunup_status sunup__record_report(struct recorder *r, sunup_trainer *t, sunup_data *eval);

#endif
