/* import_read.h - what the readers of other people's formats share: the run that is built, its
 * text, numbers and units.
 *
 * A reader walks over the text, calls sunup__import_sample for each measurement, and refuses what
 * it does not understand; import.c has found the format and drops the run of a reader that fails.
 * Text is UTF-8 without NUL, which import.c has seen to. A row made by sunup__import_row has the
 * suite, engine and source of the import; its strings are the caller's until it is added. Numbers
 * are finite, decimal, and SI when they are added.
 */
#ifndef SUNUP_TRACK_IMPORT_READ_H
#define SUNUP_TRACK_IMPORT_READ_H

#include <jansson.h>
#include <string.h>

#include "track/import.h"

struct slice { /* of the text; not ended by 0 */
    const char *s;
    size_t n;
};

struct import {
    sunup_context *ctx;
    const char *path;
    const struct track_import *o;
    struct track_history *h;
    struct track_run *run;
    const char *suite, *engine; /* in the history; set by sunup__import_origin */
    struct slice rest;          /* what is to be read */
    int line;                   /* of the one read last; 0: of no line */
    int64_t at;                 /* the file's own time; 0: none */
    int *index;                 /* rows by what they are of */
    int room, used;
};

/* E_FORMAT with path and line. */
sunup_status sunup__import_refuse(const struct import *im, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define REFUSE(im, ...) return sunup__import_refuse((im), __VA_ARGS__)
#define EXPECT(cond, im, ...)                                                                                \
    do {                                                                                                     \
        if (!(cond)) REFUSE(im, __VA_ARGS__);                                                                \
    } while (0)
/* For messages: at most 60 bytes of a slice, "%.*s". */
#define SHOWN(slice) (int)((slice).n < 60 ? (slice).n : 60), (slice).s

/* ---- rows and facts */

/* Who is measured, by what: the options' words before the format's. */
sunup_status sunup__import_origin(struct import *im, const char *suite, const char *engine);
struct track_row sunup__import_row(const struct import *im, enum track_kind kind, const char *name,
                                   const char *quantity, const char *unit);
/* One more value of the row that is like this one in suite, name, engine, quantity and ranks; a new
 * row if there is none. No time, size or rate is below 0. */
sunup_status sunup__import_sample(struct import *im, const struct track_row *like, double value);
/* One more try of the row of outcomes that is like this one, whose seconds it took. The last try
 * tells how it ended. */
sunup_status sunup__import_outcome(struct import *im, const struct track_row *like, enum track_outcome o,
                                   const char *message);
/* A row as it is; and a row unless there is one like it. */
sunup_status sunup__import_add(struct import *im, const struct track_row *row);
sunup_status sunup__import_once(struct import *im, const struct track_row *row);
/* Nothing if value is NULL or "", or the key is there already. */
sunup_status sunup__import_fact(struct import *im, const char *key, const char *value);
/* s NULL, of a text that could not grow: E_MEMORY. */
sunup_status sunup__import_intern(struct import *im, const char *s, size_t n, const char **own);

/* ---- text */

bool sunup__import_line(struct import *im, struct slice *line); /* without its end; false: no more */
/* The last line has an end: programs write one, so a text without was cut off. */
sunup_status sunup__import_whole(const struct import *im);
struct slice sunup__slice(const char *s);
bool sunup__slice_is(struct slice s, const char *word);
bool sunup__slice_begins(struct slice s, const char *word);
const char *sunup__slice_find(struct slice s, const char *word); /* NULL: is not in it */
struct slice sunup__slice_trim(struct slice s);
struct slice sunup__slice_word(struct slice *rest); /* up to a blank; n 0: none is left */
struct slice sunup__slice_after(struct slice s, const char *from);
bool sunup__slice_number(struct slice s, double *x);
/* "2026-11-28T20:07:18.5+01:00", or with a blank for the T; no zone is UTC, no time the day's begin. */
bool sunup__import_time(const char *text, int64_t *at);

/* ---- units */

struct import_unit {
    const char *si; /* s, B/s, flop/s, B, flop, 1/s, or the unit itself */
    double factor;  /* of a number in it, to SI */
    enum track_better better;
    bool known; /* false: left as it is */
};
/* "us", "GB/s", "GFLOPS", "MiB", "Gbit/s" ... */
struct import_unit sunup__import_unit(const char *text);
/* "allreduce:f32:1MiB" of "all_reduce_perf", "float", 1048576, in the language of sunup's
 * benchmarks. room: 128 bytes. */
void sunup__import_collective(char *room, struct slice collective, struct slice dtype, double bytes);

/* The name of a case of benchdnn, in the history: the same problem of sunup if there is one, else
 * its own words. */
sunup_status sunup__import_benchdnn_name(struct import *im, struct slice problem, const char **name);

/* ---- JSON */

/* The whole text is an object, which `read` gets. */
typedef sunup_status import_root(struct import *im, const json_t *root);
sunup_status sunup__import_json(struct import *im, import_root *read);
const char *sunup__import_word(const json_t *j, const char *key); /* "" unless it is text */
/* *x is left alone if the key is absent or null; E_FORMAT if it is no number. */
sunup_status sunup__import_number(const struct import *im, const json_t *j, const char *key, double *x);
/* The fact `fact` of text, number or truth value at `key`. */
sunup_status sunup__import_json_fact(struct import *im, const char *fact, const json_t *j, const char *key);

/* ---- the readers: one file each */

sunup_status sunup__import_benchdnn(struct import *im);
sunup_status sunup__import_nccl(struct import *im);
sunup_status sunup__import_oneccl(struct import *im);
sunup_status sunup__import_osu(struct import *im);
sunup_status sunup__import_google(struct import *im);
sunup_status sunup__import_pytest(struct import *im);
sunup_status sunup__import_reframe(struct import *im);
sunup_status sunup__import_mllog(struct import *im);
sunup_status sunup__import_csv(struct import *im);

#endif
