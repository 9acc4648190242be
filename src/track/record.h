/* record.h - what a run of the tracker leaves behind: one file of JSON Lines, written whole and renamed.
 *
 * A file is a head, rows, and an end that counts them; without the end it is not whole and is passed over with a
 * warning. Every repetition of a time is kept. A row is one of four kinds: samples (times, rates, losses), a count
 * (exact: a change is a fact), a word (exact too: the maker that was chosen, the hash of the weights), or the outcome
 * of a case (ok, crash, hang ...). Pairs are samples of a kind of their own: logarithms of candidate / baseline,
 * taken in turns in one job. docs/tracking.md has the format; strings live in the history's arena, equal ones once.
 */
#ifndef SUNUP_TRACK_RECORD_H
#define SUNUP_TRACK_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"
#include "base/memory.h"

enum track_kind { TRACK_SAMPLES, TRACK_PAIRS, TRACK_COUNT, TRACK_WORD, TRACK_OUTCOME, TRACK_KINDS };
enum track_better { TRACK_LESS, TRACK_MORE, TRACK_NEITHER };
/* How a case ended. From CRASH on it failed. */
enum track_outcome {
    TRACK_OK,
    TRACK_FLAKY,          /* failed, and passed when it was run again: `message` is of the failure */
    TRACK_CRASH,          /* by a signal or an error of its own */
    TRACK_HANG,           /* silent past its time, or a rank was lost: rank, collective, layer */
    TRACK_NAN,            /* step, layer, rank */
    TRACK_DIVERGED,       /* a loss outside the band of its seeds */
    TRACK_MISMATCH,       /* bits differ between ranks, or from what they must be */
    TRACK_OOM,            /* no memory */
    TRACK_WALLTIME,       /* the job's limit came first */
    TRACK_INFRASTRUCTURE, /* the node or the launcher, not the program */
    TRACK_OUTCOMES
};

struct track_row {
    const char *suite;    /* kernels, collectives, models, apps; of imports the benchmark's name */
    const char *name;     /* of the case, such as conv:n16c64h56w56k64r3s3 */
    const char *engine;   /* who computed it: sunup, oneDNN, PyTorch, MPI, oneCCL ... */
    const char *quantity; /* time, bandwidth, loss, allocations, maker ... */
    const char *unit;     /* s, B/s, flop/s, B, "" */
    const char *source;   /* "sunup", or "vendor" for what others published or ran */
    enum track_kind kind;
    enum track_better better;
    int n;                /* samples or pairs */
    double *values;
    int n_canary;
    double *canary;       /* seconds of a fixed kernel beside them: what the machine itself did */
    double count;
    const char *word;
    /* 0: unknown. For rooflines and curves; bytes of a collective are its vector's. */
    double flops, bytes, bound_s;
    int ranks;
    /* outcome only */
    enum track_outcome outcome;
    double seconds; /* that the case took, of all its tries */
    int failures, tries;
    int rank, signal;             /* -1, 0: unknown */
    int64_t step;                 /* -1: unknown */
    const char *layer, *collective, *message; /* "": unknown */
    /* pairs only */
    const char *baseline; /* its commit or version */
    int n_confirm;
    double *confirm; /* pairs of a second look, at what the first one found */
    /* what moved inside, most first: "conv:... (layer 3)" and the seconds a step it took more (or less, < 0) */
    int n_moved;
    struct track_moved {
        const char *what;
        double seconds, p;
    } *moved;
};

/* "commit": "3f2a...", "machine": ..., in the order of the file. Keys that tell series apart are in series.h. */
struct track_fact {
    const char *key, *value;
};
struct track_run {
    const char *id, *path; /* the file's name without .jsonl; where it was read */
    int64_t at;            /* seconds since 1970, UTC */
    int n_facts, n_rows;
    struct track_fact *facts;
    struct track_row *rows;
};

/* Runs in order of time, then of id. Each array grows by itself; all is released by sunup__track_end. */
struct track_history {
    struct arena arena;
    struct track_words *words; /* strings that were seen */
    int n_runs, room;
    struct track_run *runs;
    int passed_over; /* files that were not whole or not ours */
};

/* A row with every default, of kind `kind`. The strings are the caller's. */
struct track_row sunup__track_row(enum track_kind kind, const char *suite, const char *name,
                                  const char *engine, const char *quantity);
const char *sunup__track_outcome_name(enum track_outcome o);
const char *sunup__track_fact(const struct track_run *run, const char *key); /* "" if absent */

/* Writes folder/ID.jsonl. run->id NULL: made of time, host and process, so that writers never meet; another file of
 * that name is E_FILE. The rows' strings need not be in a history. */
sunup_status sunup__track_write(sunup_context *ctx, const char *folder, struct track_run *run);
/* All whole files folder/ *.jsonl, and those of its folders; a missing folder is an empty history. */
sunup_status sunup__track_load(sunup_context *ctx, const char *folder, struct track_history *h);
/* One file from memory, added at the end: for loading and fuzzing. E_FORMAT names path and line. */
sunup_status sunup__track_parse(sunup_context *ctx, const char *path, const char *text, size_t bytes,
                                struct track_history *h);
void sunup__track_sort(struct track_history *h);
void sunup__track_end(struct track_history *h);

/* For readers that build runs in a history. NULL: no memory. A run or row is zeroed or has the defaults; pointers to
 * runs hold until the next one is added, those to rows too. */
const char *sunup__track_intern(struct track_history *h, const char *s);
uint64_t sunup__track_hash(const char *s, size_t bytes); /* FNV-1a */
struct track_run *sunup__track_add_run(struct track_history *h, const char *id, int64_t at);
struct track_row *sunup__track_add_row(struct track_history *h, struct track_run *run,
                                       enum track_kind kind);
sunup_status sunup__track_add_fact(sunup_context *ctx, struct track_history *h, struct track_run *run,
                                   const char *key, const char *value);

#endif
