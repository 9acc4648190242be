/* track_run.h - what the files of track_run.c share: a case while it is measured.
 *
 * track_run.c       starts the cases, one after the other, and again what failed
 * track_outcome.c   how a process ended, in the words of track/record.h
 * track_rows.c      what it printed, as rows
 * track_identify.c  where it ran
 * track_exec.c      programs of others
 * track_callgrind.c how many instructions it takes
 * track_band.c      losses of many seeds: does one more belong to them?
 */
#ifndef SUNUP_TRACK_RUN_H
#define SUNUP_TRACK_RUN_H

#include "track.h"

enum { CANARIES = 10, LONG_TEXT = 1024 };

/* One case. */
struct measure {
    struct command *c;
    struct track_history *h;
    struct track_run *run;
    const char *program; /* its path */
    const char *scratch; /* a folder for what a case writes */
    const char *bands;   /* folder of the bands */
    const struct track_case *one;
    struct track_row outcome; /* so far */
    double canary[CANARIES];  /* seconds of a fixed kernel before and after */
    int n_canary;
    struct track_history said; /* by a program of others */
};

/* Finds the program and makes the folders; m is to be ended on failure, too. */
sunup_status track_measure_begin(struct measure *m, struct command *c, const char *program,
                                 struct track_history *h, struct track_run *run);
void track_measure_end(struct measure *m);
/* Starts the case with these words more (NULL at the end); the caller ends the child. */
sunup_status track_start(const struct measure *m, const char *const *more,
                         struct track_child *child);

/* The JSON object that a program printed among whatever else; NULL: none. failure: the one with
 * "error". */
json_t *track_answer(const char *out, bool failure);
/* Fills outcome, rank, step, layer, collective, signal, message of row; strings are h's. timeout_s
 * is for the message. */
void track_judge_child(const struct track_child *child, double timeout_s, struct track_history *h,
                       struct track_row *row);
/* Makes the case's outcome a failure; the message is printed into it. */
void track_blame(struct measure *m, enum track_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is what a case says right: weights as they must be, goals reached, the loss in its band? Blames
 * it if not. */
sunup_status track_check(struct measure *m, const json_t *answer);
/* Adds the rows of a case that passed. */
sunup_status track_rows(struct measure *m, const json_t *answer);

/* Of a training whose case asks for it, if valgrind is here. */
sunup_status track_instructions(struct measure *m);

/* track_exec.c: is there such a program; what it printed; its rows. */
bool track_exec_here(const char *program);
sunup_status track_exec_read(struct measure *m, const char *out);
sunup_status track_exec_rows(struct measure *m);

/* track_band.c: the interval that one more of n values falls into with 99.9 %; of logarithms if all
 * are above 0. */
struct band {
    int n;
    double low, high;
};
struct band track_band_of(const double *x, int n);
/* Of a file "seed,loss", or of the lines "variant,seed,score,value" of the run that have this
 * score; n 0: no such file. */
sunup_status track_band_read(struct command *c, const char *path, const char *score,
                             struct band *band);

#endif
