/* import_columns.h - the map that says which column of a table is what:
 * "name=problem,time=t_us:us,bytes=size:KiB".
 *
 *   FIELD=COLUMN[:UNIT[:BETTER]]
 *
 * separated by commas. A COLUMN with a comma or a colon stands in "quotes", where "" is one quote.
 *
 * FIELD is one of the words below, fact.KEY, or else the quantity that the column holds. COLUMN of
 * name, suite and engine may be a text with columns in braces: name="matmul:m{M}n{N}k{K}:f32". UNIT
 * is the column's (us, GB/s, ...), BETTER is less, more or neither; without it the unit tells.
 */
#ifndef SUNUP_TRACK_IMPORT_COLUMNS_H
#define SUNUP_TRACK_IMPORT_COLUMNS_H

#include "track/import_read.h"

enum column_field {
    COLUMN_NAME,
    COLUMN_SUITE,
    COLUMN_ENGINE,
    COLUMN_RANKS,
    COLUMN_BYTES,
    COLUMN_FLOPS,
    COLUMN_AT,       /* a time, or seconds since 1970; the earliest is the run's */
    COLUMN_OUTCOME,  /* ok, pass, passed, success, 0; anything else failed */
    COLUMN_QUANTITY, /* tables with a line for each quantity: its name, its unit, its value */
    COLUMN_UNIT,
    COLUMN_VALUE,
    COLUMN_WORDS, /* so many words above */
    COLUMN_FACT = COLUMN_WORDS,
    COLUMN_MEASURED
};
enum { MAP_ENTRIES = 64, TEMPLATE_PARTS = 32 };

struct column_entry {
    enum column_field field;
    const char *word; /* of a fact its key, of what is measured the quantity */
    const char *source, *unit;
    enum track_better better;
    int column;                         /* of the table; -1 before its head was read, or a template */
    int parts[TEMPLATE_PARTS], n_parts; /* the columns of a template, in its order */
};
struct column_map {
    int n;
    struct column_entry entry[MAP_ENTRIES];
};

/* E_ARGUMENT names the place in the text. Words are in the history. */
sunup_status sunup__columns_read(struct import *im, const char *text, struct column_map *map);
/* NULL: there is none. */
const struct column_entry *sunup__columns_find(const struct column_map *map, enum column_field field);
/* Which columns of the head titles[0..n-1] are meant. missing NULL: E_FORMAT names the nearest
 * title; else *missing tells whether any is. */
sunup_status sunup__columns_place(const struct import *im, struct column_map *map, int n, char *const *titles,
                                  bool *missing);
/* The entry's text in a line: a cell, or the template filled in. */
void sunup__columns_text(const struct column_entry *e, char *const *cells, struct text *t);

#endif
