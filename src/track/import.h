/* import.h - other people's benchmark output as rows of a run.
 *
 * One file an input format in import_*.c, one row each in the table of import.c: name, how to
 * recognise it, how to read it. A reader adds what it understands and refuses, with path and line,
 * what it does not: a truncated or hostile file is E_FORMAT, never a crash, and adds no half of
 * itself.
 */
#ifndef SUNUP_TRACK_IMPORT_H
#define SUNUP_TRACK_IMPORT_H

#include "track/record.h"

struct track_import {
    const char *format;  /* NULL: recognised by content; one of benchdnn, nccl-tests, oneccl, osu,
                            google-benchmark, pytest-benchmark, reframe, mllog, csv */
    const char *columns; /* csv: "name=problem,time=seconds:s:less" - which column is what; see
                            import_columns.h and docs/tracking.md */
    const char *suite, *engine, *source; /* NULL: the format's own, and "vendor" */
};

/* Adds a run of `text` (bytes of it; need not end with 0) to h. path is for messages. at 0: the file's own time, or
 * E_FORMAT if it has none. */
sunup_status sunup__track_import(sunup_context *ctx, const char *path, const char *text, size_t bytes,
                                 const struct track_import *o, int64_t at, struct track_history *h);
/* The formats' names, for messages; NULL ends them. */
const char *const *sunup__track_formats(void);

#endif
