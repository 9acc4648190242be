/* program.h - what the verbs share: options, the context, tables on a terminal, exit status.
 *
 * A verb is a file with one function; its row in program.c gives name, operands and help. Exit status: 0 ok, 1 error,
 * 2 usage, 3 the tracker found that something got worse, 124 a rank was lost or disagrees, 128+n stopped by signal n.
 */
#ifndef SUNUP_PROGRAM_H
#define SUNUP_PROGRAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <sunup.h>

#include "app.h"
#include "base/context.h"
#include "base/memory.h"
#include "model/model.h"

enum { EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_WORSE = 3, EXIT_LOST = 124, MAX_SET = 64, MAX_OPERANDS = 64 };

/* An option whose value may be left out: NULL. */
struct optional {
    bool given;
    const char *text;
};

/* Everything that can stand on a command line; a verb's row says which of it the verb takes. */
struct command {
    const char *verb;
    const char *operand[MAX_OPERANDS];
    int n_operands;
    const char *set[MAX_SET]; /* --set a.b=c */
    int n_set;
    bool json, quiet, cold, slurm, pbs;
    bool beats;              /* rank 0 is to give signs of life in run_dir */
    bool shrink;             /* when ranks die, those that are left go on */
    struct optional resume; /* text: the checkpoint, NULL: the newest */
    struct optional trace;  /* text: "10-20", NULL: these steps */
    bool full, train_bn;
    const char *weights, *task, *input, *output, *tuning, *csv, *html, *modes, *node;
    const char *from, *to;              /* whose order of axes the weights have */
    const char *time, *account, *queue; /* as the scheduler reads them */
    const char *history, *suites, *baseline, *candidate, *build, *program; /* of the tracker */
    const char *format, *columns, *source;                                 /* of what it imports */
    int64_t batch, ranks, steps, repeats, nodes, ranks_per_node, restarts, pairs;
    double seconds, start_s; /* start_s: clock at the program's start */
    sunup_context *ctx;
    sunup_comm *comm;
};

struct verb {
    const char *name, *operands, *summary, *options; /* options: names, separated by spaces */
    int (*run)(struct command *c);
};

int verb_train(struct command *c);
int verb_eval(struct command *c);
int verb_predict(struct command *c);
int verb_summary(struct command *c);
int verb_plan(struct command *c);
int verb_check(struct command *c);
/* check_comm.c: adds what it checked and what failed, on all ranks. */
sunup_status check_comm(struct command *c, int64_t *checked, int64_t *failed);
int verb_bench(struct command *c);
int verb_doctor(struct command *c);
int verb_config(struct command *c);
int verb_tune(struct command *c);
int verb_job(struct command *c);
int verb_app(struct command *c);
int verb_data(struct command *c);
int verb_convert(struct command *c);
int verb_track(struct command *c);

/* options.c: fills c; 0, or EXIT_USAGE after a message. */
int options_parse(struct command *c, const struct verb *v, int argc, char **argv);
void options_help(const struct verb *v, FILE *to);

/* build.c: version, commit, compiler, flags, libraries, as members of an object. */
void build_facts(json_t *j);

/* failure.c: report the context's error as "sunup: ..." on standard error; returns the exit status for `status`. */
int fail(struct command *c, sunup_status status);
/* What fail prints with --json; c->ctx may be NULL. */
void failure_print(const struct command *c, sunup_status status, const char *sentence);
/* Message without a context; returns EXIT_ERROR or EXIT_USAGE as given. */
int complain(int exit_status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* run_file.c: a run as its YAML file and --set describe it. */
struct field_list {
    sunup_field_options *fields;
    int n;
    const struct source *source; /* instead of fields: an app makes the samples */
};
struct run_file {
    struct arena arena;
    const char *path;
    char *model; /* path of the network, found beside the run file, or the name of an app that builds one */
    struct app_network network; /* by name: its input and classes */
    struct onnx_options onnx;
    struct field_list train, eval;
    sunup_train_options o;
    const char *numerics; /* NULL: the context's */
    const char *weights;  /* NULL: first weights are drawn */
    double timeout_s, bucket_bytes;
    const char *verify;
};
sunup_status run_file_load(struct command *c, const char *path, struct run_file *r);
/* run_open.c */
sunup_status run_file_data(struct command *c, const struct run_file *r, const struct field_list *list,
                           sunup_data **data);
sunup_status run_file_model(struct command *c, struct run_file *r, sunup_model **model);
/* The name of an app's network or one of the zoo; NULL: model is a file's. */
const char *run_file_named(const char *model);
/* A run file, or a network's own file: then only the model of *r is set. */
sunup_status run_file_or_network(struct command *c, const char *path, struct run_file *r);
/* An ONNX file brings its weights; they serve while the run has no folder yet. */
bool run_file_has_weights(const struct run_file *r, const sunup_model *model);
/* The run with every default filled in, as YAML. */
void run_file_print(const struct run_file *r, FILE *to);
void run_file_end(struct run_file *r);
/* Everything that a verb about one network needs. eval may end up NULL. */
struct session {
    struct run_file run;
    sunup_model *model;
    sunup_data *train, *eval;
    sunup_trainer *trainer;
    bool keeps_result; /* for whoever prints it with more; it is then not printed */
    json_t *result;    /* what train --json prints, rank 0; NULL: not kept */
};
sunup_status session_ranks(struct command *c); /* only the ranks, and their cores */
sunup_status session_open(struct command *c, struct session *s);  /* both of the next */
sunup_status session_load(struct command *c, struct session *s);  /* all but the trainer */
sunup_status session_start(struct command *c, struct session *s); /* the trainer */
/* Ranks have died: those that are left, without network and trainer, which are made again next. */
sunup_status session_shrink(struct command *c, struct session *s);
sunup_status session_again(struct command *c, struct session *s);
/* bench_profile.c: the plan steps of a trained session by their time in its trace, as share of the ceilings. */
sunup_status profile_trace(struct command *c, struct session *s);
sunup_status session_train(struct command *c, struct session *s); /* train.c: with progress and a summary */
void session_close(struct session *s);

/* lost.c: the ranks that the last E_HANG named; NULL: none. */
json_t *lost_list(const struct command *c);
/* A line in run_dir about the ranks that the last E_HANG named. */
void lost_record(const struct command *c, const char *run_dir);
/* With --shrink: true, after a report, if `status` is that ranks died. */
bool lost_go_on(const struct command *c, sunup_status status, const char *run_dir);
/* MPI itself waits too long for a rank: ends this process with 124, after the report. */
void lost_in_mpi(void *command, const char *report);
/* From now on rank 0 writes another number into run_dir/alive every few seconds, until its process ends. */
sunup_status beats_begin(struct command *c, const char *run_dir);

/* show.c: tables and the bar for people; only rank 0, and the bar only on a terminal. */
bool show_terminal(void);
void show_bar(const sunup_metrics *m, int64_t done, int64_t of);
void show_epoch_head(void);
void show_epoch(const sunup_metrics *train, const sunup_metrics *eval, double elapsed_s);
struct confusion;
void show_confusion(const struct confusion *c);
json_t *metrics_json(const sunup_metrics *m);
void print_json(json_t *j); /* and releases it */

#endif
