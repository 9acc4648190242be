/* track.h - what the parts of `sunup track` share: cases, processes, measurements.
 *
 * track.c          the verb: which part; report, import, query
 * track_case.c     suites: text files of cases
 * track_child.c    a process with a time limit: what it said, how it ended
 * track_outcome.c  how it ended, in the words of track/record.h
 * track_run.c      suites into a run: every case a process of its own, twice if it failed
 * track_compare.c  baseline and candidate in turns
 * track_selftest.c how often this machine cries wolf, and what it can see
 * track_bisect.c   the commit that did it
 * track_weekly.c   all of it in order, for cron and pipelines; the pinned baseline
 * track_band.c     the losses of many seeds
 * track_query.c    the history in SQL
 */
#ifndef SUNUP_TRACK_TOOL_H
#define SUNUP_TRACK_TOOL_H

#include "program.h"
#include "track/judge.h"

/* A line of a suite: NAME [KEY=VALUE ...] : KIND WORDS...
 *
 *   conv_56        : kernel conv:n16c64h56w56k64r3s3:same
 *   sum_1M ranks=2 : comm allreduce:f32:1MiB
 *   lenet  ranks=2 timeout=120 OMP_NUM_THREADS=1 : train bench/models/lenet/run.yaml --set epochs=1
 *   gw             : app gw
 *   osu    ranks=2 : exec osu_allreduce -m 4:1048576
 *
 * Keys in capitals are the process's environment; the others: ranks (1), timeout (seconds, 600), seeds (of a
 * band, 0), callgrind (steps whose instructions are counted, 0), same_as (a case of the suite whose weights this
 * one must have, bit for bit), format (of what a program of others prints: track/import.h). Paths are as seen from
 * the folder that the suites' folder `bench` stands in, or from the suite file if they begin with "./". */
/* Before CASE_APP two programs can take turns. */
enum case_kind { CASE_KERNEL, CASE_COMM, CASE_TRAIN, CASE_APP, CASE_EXEC, CASE_KINDS };
enum { CASE_WORDS = 48, CASE_SETTINGS = 16 };
struct track_case {
    const char *suite, *name; /* suite: the file's name without .txt */
    enum case_kind kind;
    int ranks, seeds, callgrind, n_words, n_settings;
    double timeout_s;
    const char *same_as; /* NULL: none */
    const char *format;  /* of what a program of others prints; NULL: recognised */
    const char *words[CASE_WORDS];          /* after the kind, NULL at the end */
    const char *settings[CASE_SETTINGS]; /* "NAME=value", NULL at the end */
};
struct track_cases {
    struct arena arena;
    int n;
    struct track_case *cases;
};
/* All *.txt of the folder, in order of name, or that one file; only suites, or cases, that a word of `only` names,
 * if there are any. An unknown word is E_ARGUMENT with the nearest name. */
sunup_status track_cases_load(struct command *c, const char *folder, int n_only, const char *const *only,
                              struct track_cases *cases);
void track_cases_end(struct track_cases *cases);

/* How a process ended. Its output is kept to 1 MiB a stream, the last of it. */
struct track_child {
    char *out, *err;
    int exit_status;  /* -1: by a signal */
    int signal;
    bool timed_out;   /* it was stopped because its time was up: SIGTERM, then SIGKILL */
    bool oom_killed;  /* the system says that it killed for memory meanwhile */
    double seconds;
    int64_t peak_bytes;
};
/* argv and settings end with NULL. With E_* only if it cannot be started; how it ends is no error. Its whole
 * process group ends with it. */
sunup_status track_child_run(sunup_context *ctx, const char *const *argv, const char *const *settings,
                             double timeout_s, struct track_child *child);
void track_child_end(struct track_child *child);

/* Measure all cases, each as a process of `program` (NULL: this one), into the run: rows of samples, counts, words,
 * and one outcome a case. What a failed case says is a row, not an error. --seconds is passed on
 * to cases of kernels and collectives that say none. */
sunup_status track_measure(struct command *c, const char *program, const struct track_cases *cases,
                           struct track_history *h, struct track_run *run);
/* Facts of this machine and build, and of the launcher and the environment. program NULL: this one. */
sunup_status track_identify(struct command *c, const char *program, struct track_history *h,
                            struct track_run *run);
/* Baseline and candidate (programs; candidate NULL: this one) in turns: a row of pairs a case. pairs 0: as many as
 * the test needs. What is found is looked at a second time; of training steps, what moved inside. */
sunup_status track_compare(struct command *c, const char *baseline, const char *candidate,
                           const struct track_cases *cases, struct track_history *h,
                           struct track_run *run);

/* The parts of the verb: each returns the exit status. */
int track_report(struct command *c);
int track_selftest(struct command *c);
int track_bisect(struct command *c);
int track_weekly(struct command *c);
int track_band(struct command *c);
int track_query(struct command *c);
int track_pin(struct command *c);

/* track.c, for the other parts. */
const char *track_folder(const struct command *c); /* of the history */
const char *track_suites(const struct command *c);
/* A run of now with its facts, in h. */
sunup_status track_begin(struct command *c, struct track_history *h, struct track_run **run);
int track_failures(const struct track_run *run); /* outcomes that failed */
void track_show(const struct command *c, const struct track_history *h, const struct track_verdict *v);
/* The exit status: of an error, or EXIT_WORSE if anything is. */
int track_done(struct command *c, sunup_status status, int worse);

#endif
