/* import_csv.c - any table with a head, by a map of its columns (import_columns.h).
 *
 * Separator: of comma, semicolon and tab the one that the first line holds most of, outside quotes.
 * Quotes as in RFC 4180, line ends \n or \r\n. Lines that begin with # and blank lines are passed
 * over; if a # line has all the columns of the map it is the head. A missing value (empty, NA, N/A,
 * null, nan, -) is no sample. Lines that agree in name, suite, engine, ranks and quantity are
 * repetitions of one row. The text is copied once; cells are ended by 0 in place.
 */
#include <stdio.h>
#include <strings.h>

#include "track/import_columns.h"

struct csv {
    struct import *im;
    struct column_map map;
    char *at, *end; /* of the copy */
    char separator;
    int n, room; /* cells */
    char **cells;
    int n_columns;
    struct text name, suite, engine;
};

/* ------------------------------------------------------------------------- separator --- */

static bool is_blank(char c, char separator)
{
    return (c == ' ' || c == '\t') && c != separator;
}

static const char *line_end(const char *at, const char *end)
{
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    return stop != NULL ? stop : end;
}

static char find_separator(const struct csv *c)
{
    static const char marks[] = ",;\t";
    int counts[3] = {0}, most = 0;
    const char *at = c->at, *stop = line_end(at, c->end);
    while (stop < c->end && (stop - at < 2 || *at == '#')) {
        at = stop + 1;
        stop = line_end(at, c->end);
    }
    for (bool quoted = false; at < stop; at++) {
        const char *mark = memchr(marks, *at, 3);
        quoted ^= *at == '"';
        if (mark != NULL && !quoted) counts[mark - marks]++;
    }
    for (int i = 1; i < 3; i++)
        if (counts[i] > counts[most]) most = i;
    return marks[most];
}

/* ----------------------------------------------------------------------------- cells --- */

static sunup_status add_cell(struct csv *c, char *cell)
{
    if (c->n == c->room) {
        const int room = c->room > 0 ? 2 * c->room : 16;
        char **more = sunup__realloc(c->cells, (size_t)room * sizeof *more);
        CHECK(more != NULL, c->im->ctx, E_MEMORY, "%s: no memory for a line of %d cells", c->im->path, c->n);
        c->cells = more;
        c->room = room;
    }
    c->cells[c->n++] = cell;
    return SUNUP_OK;
}

/* From behind a quote: the cell moves to where it begins, as "" becomes ". */
static sunup_status read_quoted(struct csv *c, const char *end, char **last)
{
    char *to = c->at;
    for (; c->at < end; *to++ = *c->at++) {
        c->im->line += *c->at == '\n';
        if (*c->at != '"') continue;
        if (c->at + 1 < end && c->at[1] == '"')
            c->at++;
        else
            break;
    }
    EXPECT(c->at < end, c->im, "a quote is opened and never closed");
    c->at++;
    while (c->at < end && is_blank(*c->at, c->separator)) c->at++;
    *last = to;
    return SUNUP_OK;
}

static void read_plain(struct csv *c, const char *end, char **last)
{
    char *from = c->at;
    while (c->at < end && *c->at != c->separator && *c->at != '\n') c->at++;
    *last = c->at;
    while (*last > from && (is_blank((*last)[-1], c->separator) || (*last)[-1] == '\r')) --*last;
}

/* The cells of a line that ends at `end` at the latest; c->at is behind it then. */
static sunup_status read_record(struct csv *c, char *end)
{
    c->n = 0;
    for (bool more = true; more;) {
        char *last = c->at;
        while (c->at < end && is_blank(*c->at, c->separator)) c->at++;
        const bool quoted = c->at < end && *c->at == '"';
        char *cell = c->at + quoted;
        if (quoted) {
            c->at++;
            TRY(read_quoted(c, end, &last));
        } else {
            read_plain(c, end, &last);
        }
        if (c->at < end && *c->at == '\r') c->at++;
        EXPECT(c->at == end || *c->at == c->separator || *c->at == '\n', c->im,
               "text follows the end of a quote");
        more = c->at < end && *c->at == c->separator;
        if (c->at < end) c->at++;
        *last = '\0'; /* the separator's place, or before it; of the last line the 0 behind the copy */
        TRY(add_cell(c, cell));
    }
    return SUNUP_OK;
}

static bool is_missing(const char *s)
{
    static const char *const words[] = {"", "NA", "N/A", "null", "None", "nan", "-"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i], s) == 0) return true;
    return false;
}

/* ------------------------------------------------------------------------------ head --- */

/* Is a line that begins with # the head? With its # or without. */
static sunup_status try_head(struct csv *c, char *end, bool *found)
{
    bool missing = true;
    const int line = c->im->line;
    const sunup_status status = read_record(c, end);
    if (status != SUNUP_OK && status != SUNUP_E_FORMAT) return status;
    if (status == SUNUP_OK) {
        TRY(sunup__columns_place(c->im, &c->map, c->n, c->cells, &missing));
        if (missing) {
            do c->cells[0]++;
            while (*c->cells[0] == ' ');
            TRY(sunup__columns_place(c->im, &c->map, c->n, c->cells, &missing));
        }
    }
    *found = !missing;
    c->at = end < c->end ? end + 1 : end;
    c->im->line = line;
    return SUNUP_OK;
}

/* Passes over blank lines and, unless they are asked for, remarks; *end is the line's. */
static bool next_line(struct csv *c, char **end, bool remarks)
{
    while (c->at < c->end) {
        *end = c->at + (line_end(c->at, c->end) - c->at);
        c->im->line++;
        const char *first = c->at;
        while (first < *end && (is_blank(*first, c->separator) || *first == '\r')) first++;
        if (first < *end && (remarks || *c->at != '#')) return true;
        c->at = *end < c->end ? *end + 1 : *end;
    }
    return false;
}

static sunup_status read_head(struct csv *c)
{
    char *end;
    while (next_line(c, &end, true)) {
        bool found = true;
        if (*c->at == '#') {
            TRY(try_head(c, end, &found));
        } else {
            TRY(read_record(c, c->end));
            TRY(sunup__columns_place(c->im, &c->map, c->n, c->cells, NULL));
        }
        c->n_columns = c->n;
        if (found) return SUNUP_OK;
    }
    REFUSE(c->im, "the table has no head, a line with the names of its columns");
}

/* ----------------------------------------------------------------------------- lines --- */

static sunup_status number(const struct csv *c, const struct column_entry *e, double *x)
{
    const char *cell = e != NULL ? c->cells[e->column] : "";
    if (is_missing(cell)) return SUNUP_OK;
    EXPECT(sunup__slice_number(sunup__slice(cell), x), c->im, "'%.60s' in the column '%.60s' is no number",
           cell, e->source);
    return SUNUP_OK;
}

/* A size that is not negative. */
static sunup_status size(const struct csv *c, enum column_field field, double *x)
{
    const struct column_entry *e = sunup__columns_find(&c->map, field);
    TRY(number(c, e, x));
    EXPECT(*x >= 0 && *x < 1e30, c->im, "%s are %g", e != NULL ? e->word : "", *x);
    if (e != NULL) *x *= sunup__import_unit(e->unit).factor;
    return SUNUP_OK;
}

static const char *text_of(const struct csv *c, enum column_field field, struct text *t, const char *other)
{
    const struct column_entry *e = sunup__columns_find(&c->map, field);
    t->n = 0;
    if (e == NULL) return other;
    sunup__columns_text(e, c->cells, t);
    return t->s;
}

static sunup_status read_at(struct csv *c)
{
    const struct column_entry *e = sunup__columns_find(&c->map, COLUMN_AT);
    const char *cell = e != NULL ? c->cells[e->column] : "";
    int64_t at = 0;
    double seconds;
    if (is_missing(cell)) return SUNUP_OK;
    if (sunup__slice_number(sunup__slice(cell), &seconds) && seconds > 0 && seconds < 1e12)
        at = (int64_t)seconds;
    else
        EXPECT(sunup__import_time(cell, &at), c->im,
               "'%.40s' in the column '%.60s' is no time, such as 2026-11-28T20:07:18Z", cell, e->source);
    if (c->im->at == 0 || at < c->im->at) c->im->at = at;
    return SUNUP_OK;
}

static sunup_status read_facts(struct csv *c)
{
    for (int i = 0; i < c->map.n; i++) {
        const struct column_entry *e = &c->map.entry[i];
        if (e->field != COLUMN_FACT || is_missing(c->cells[e->column])) continue;
        TRY(sunup__import_fact(c->im, e->word, c->cells[e->column]));
        const char *known = sunup__track_fact(c->im->run, e->word);
        EXPECT(strcmp(known, c->cells[e->column]) == 0, c->im,
               "%s is '%.40s' here and was '%.40s': a file is one run", e->word, c->cells[e->column], known);
    }
    return SUNUP_OK;
}

/* What the rows of a line have in common. */
static sunup_status read_common(struct csv *c, struct track_row *row)
{
    double ranks = row->ranks;
    const char *name = text_of(c, COLUMN_NAME, &c->name, "");
    const char *suite = text_of(c, COLUMN_SUITE, &c->suite, c->im->suite);
    const char *engine = text_of(c, COLUMN_ENGINE, &c->engine, c->im->engine);
    CHECK(name != NULL && suite != NULL && engine != NULL, c->im->ctx, E_MEMORY, "%s: no memory for a line",
          c->im->path);
    EXPECT(name[0] != '\0', c->im, "a line without the name of a case");
    *row = sunup__import_row(c->im, TRACK_SAMPLES, name, "", "");
    row->suite = suite;
    row->engine = engine;
    TRY(size(c, COLUMN_RANKS, &ranks));
    TRY(size(c, COLUMN_BYTES, &row->bytes));
    TRY(size(c, COLUMN_FLOPS, &row->flops));
    EXPECT(ranks <= 1e8 && ranks == (int)ranks, c->im, "%g is no number of ranks", ranks);
    row->ranks = (int)ranks;
    return SUNUP_OK;
}

static sunup_status add_measured(struct csv *c, const struct column_entry *e, const char *quantity,
                                 const char *unit_text, const struct track_row *like)
{
    double x;
    struct track_row row = *like;
    const struct import_unit unit = sunup__import_unit(unit_text);
    if (is_missing(c->cells[e->column])) return SUNUP_OK;
    TRY(number(c, e, &x));
    row.quantity = quantity;
    row.unit = unit.si;
    row.better = e->unit == unit_text || e->better != TRACK_NEITHER ? e->better : unit.better;
    return sunup__import_sample(c->im, &row, unit.factor * x);
}

static sunup_status add_outcome(struct csv *c, const struct column_entry *e, const struct track_row *like)
{
    static const char *const good[] = {"ok", "pass", "passed", "success", "0", "true"};
    const char *cell = c->cells[e->column];
    struct track_row row = *like;
    enum track_outcome o = TRACK_CRASH;
    if (is_missing(cell)) return SUNUP_OK;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (strcasecmp(good[i], cell) == 0) o = TRACK_OK;
    for (int i = 0; i < TRACK_OUTCOMES; i++)
        if (strcmp(sunup__track_outcome_name((enum track_outcome)i), cell) == 0) o = (enum track_outcome)i;
    row.kind = TRACK_OUTCOME;
    row.quantity = "outcome";
    return sunup__import_outcome(c->im, &row, o, cell);
}

/* Tables with a line for each quantity. */
static sunup_status add_long(struct csv *c, const struct column_entry *e, const struct track_row *row)
{
    const struct column_entry *quantity = sunup__columns_find(&c->map, COLUMN_QUANTITY);
    const struct column_entry *unit = sunup__columns_find(&c->map, COLUMN_UNIT);
    const char *name = c->cells[quantity->column];
    EXPECT(name[0] != '\0', c->im, "a line without the name of what is measured");
    return add_measured(c, e, name, unit != NULL ? c->cells[unit->column] : e->unit, row);
}

static sunup_status read_line(struct csv *c)
{
    struct track_row row = sunup__import_row(c->im, TRACK_SAMPLES, "", "", "");
    EXPECT(c->n == c->n_columns, c->im, "the line has %d cells, the head of the table %d", c->n,
           c->n_columns);
    TRY(read_common(c, &row));
    TRY(read_at(c));
    TRY(read_facts(c));
    for (int i = 0; i < c->map.n; i++) {
        const struct column_entry *e = &c->map.entry[i];
        if (e->field == COLUMN_MEASURED) TRY(add_measured(c, e, e->word, e->unit, &row));
        if (e->field == COLUMN_VALUE) TRY(add_long(c, e, &row));
        if (e->field == COLUMN_OUTCOME) TRY(add_outcome(c, e, &row));
    }
    return SUNUP_OK;
}

static sunup_status read_table(struct csv *c)
{
    char *end;
    c->separator = find_separator(c);
    TRY(read_head(c));
    while (next_line(c, &end, false)) {
        TRY(read_record(c, c->end));
        TRY(read_line(c));
    }
    return SUNUP_OK;
}

sunup_status sunup__import_csv(struct import *im)
{
    struct csv c = {.im = im};
    CHECK(im->o->columns != NULL, im->ctx, E_ARGUMENT,
          "%s: a table needs a map of its columns, such as name=problem,time=seconds:s", im->path);
    TRY(sunup__import_origin(im, "csv", "unknown"));
    TRY(sunup__columns_read(im, im->o->columns, &c.map));
    char *copy = sunup__alloc(im->rest.n + 1);
    CHECK(copy != NULL, im->ctx, E_MEMORY, "%s: no memory for %zu bytes", im->path, im->rest.n);
    memcpy(copy, im->rest.s, im->rest.n);
    c.at = copy;
    c.end = copy + im->rest.n;
    const sunup_status status = read_table(&c);
    sunup__free(copy);
    sunup__free(c.cells);
    sunup__free(c.name.s);
    sunup__free(c.suite.s);
    sunup__free(c.engine.s);
    return status;
}
