/* import_oneccl.c - oneCCL's benchmark: the CSV that it writes with --csv_filepath, and the table
 * that it prints.
 *
 * Both name their columns, which differ between versions; those that are needed are found by name.
 * Times are means over the iterations: t_avg over the ranks too, t_min of the fastest rank, t_max
 * of the slowest. Bytes are the elements of one buffer times the buffers of one call. The table
 * ends with "# All done"; without it the run, or the text, was cut off.
 */
#include <stdio.h>

#include "track/import_read.h"

enum {
    RANKS,
    COLLECTIVE,
    REDUCTION,
    DTYPE,
    DTYPE_SIZE,
    ELEMENTS,
    BUFFERS,
    BYTES,
    T_MIN,
    T_MAX,
    T_AVG,
    BUS,
    CELLS
};
static const char *const titles[CELLS] = {"#ranks",      "collective",       "reduction",   "dtype",
                                          "dtype_size",  "#elements/buffer", "#buffers",    "#bytes",
                                          "t_min[usec]", "t_max[usec]",      "t_avg[usec]", "busbw[GB/s]"};

struct oneccl {
    struct import *im;
    char separator; /* ' ': any number of blanks */
    int n_columns;  /* 0: before a table */
    int at[CELLS];  /* the column of each; -1: none */
    char collective[64], reduction[32], dtype[32];
    double ranks;
    bool done;
};

/* ---------------------------------------------------------------------------- cells --- */

/* false: no more. Between commas a cell may be empty. */
static bool next_cell(const struct oneccl *r, struct slice *rest, struct slice *cell)
{
    if (r->separator == ' ') {
        *cell = sunup__slice_word(rest);
        return cell->n > 0;
    }
    if (rest->s == NULL) return false;
    const char *comma = memchr(rest->s, r->separator, rest->n);
    *cell = *rest;
    if (comma != NULL) cell->n = (size_t)(comma - rest->s);
    *rest = comma != NULL ? sunup__slice_after(*rest, comma + 1) : (struct slice){NULL, 0};
    return true;
}

static sunup_status read_titles(struct oneccl *r, struct slice line)
{
    struct slice cell;
    for (int i = 0; i < CELLS; i++) r->at[i] = -1;
    for (r->n_columns = 0; next_cell(r, &line, &cell); r->n_columns++)
        for (int i = 0; i < CELLS; i++)
            if (sunup__slice_is(cell, titles[i])) r->at[i] = r->n_columns;
    const int needed[] = {T_AVG, r->separator == ' ' ? BYTES : ELEMENTS};
    for (size_t i = 0; i < 2; i++)
        EXPECT(r->at[needed[i]] >= 0, r->im, "the column %s is missing", titles[needed[i]]);
    return SUNUP_OK;
}

static sunup_status read_cells(const struct oneccl *r, struct slice line, struct slice cells[CELLS])
{
    struct slice cell;
    int n = 0;
    for (int i = 0; i < CELLS; i++) cells[i] = (struct slice){NULL, 0};
    for (; next_cell(r, &line, &cell); n++)
        for (int i = 0; i < CELLS; i++)
            if (r->at[i] == n) cells[i] = cell;
    EXPECT(n == r->n_columns, r->im, "%d cells stand in a table of %d columns", n, r->n_columns);
    return SUNUP_OK;
}

/* ----------------------------------------------------------------------------- rows --- */

static sunup_status number(const struct oneccl *r, const struct slice cells[CELLS], int which, double *x)
{
    if (r->at[which] < 0) return SUNUP_OK;
    EXPECT(sunup__slice_number(cells[which], x) && *x >= 0 && *x < 1e15, r->im, "'%.*s' is no number for %s",
           SHOWN(cells[which]), titles[which]);
    return SUNUP_OK;
}

static sunup_status bytes_of(const struct oneccl *r, const struct slice cells[CELLS], double *bytes)
{
    double elements = 0, size = 1, buffers = 1;
    if (r->at[BYTES] >= 0) return number(r, cells, BYTES, bytes);
    TRY(number(r, cells, ELEMENTS, &elements));
    TRY(number(r, cells, DTYPE_SIZE, &size));
    TRY(number(r, cells, BUFFERS, &buffers));
    *bytes = elements * size * buffers;
    return SUNUP_OK;
}

static sunup_status add(const struct oneccl *r, const struct slice cells[CELLS], const struct track_row *like)
{
    static const struct {
        int which;
        const char *quantity, *unit;
        double factor;
        enum track_better better;
    } kept[] = {{T_AVG, "time", "s", 1e-6, TRACK_LESS},
                {T_MIN, "time_min", "s", 1e-6, TRACK_LESS},
                {T_MAX, "time_max", "s", 1e-6, TRACK_LESS},
                {BUS, "bus_bandwidth", "B/s", 1e9, TRACK_MORE}};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct track_row row = *like;
        double x = 0;
        if (r->at[kept[i].which] < 0) continue;
        row.quantity = kept[i].quantity;
        row.unit = kept[i].unit;
        row.better = kept[i].better;
        TRY(number(r, cells, kept[i].which, &x));
        TRY(sunup__import_sample(r->im, &row, kept[i].factor * x));
    }
    return SUNUP_OK;
}

static sunup_status read_row(struct oneccl *r, struct slice line)
{
    char name[192];
    double bytes = 0, ranks = r->ranks;
    struct slice cells[CELLS];
    TRY(read_cells(r, line, cells));
    TRY(bytes_of(r, cells, &bytes));
    TRY(number(r, cells, RANKS, &ranks));
    EXPECT(ranks <= 1e8, r->im, "%g ranks are too many", ranks);
    const struct slice collective = r->at[COLLECTIVE] >= 0 ? cells[COLLECTIVE] : sunup__slice(r->collective);
    const struct slice dtype = r->at[DTYPE] >= 0 ? cells[DTYPE] : sunup__slice(r->dtype);
    const struct slice reduction = r->at[REDUCTION] >= 0 ? cells[REDUCTION] : sunup__slice(r->reduction);
    sunup__import_collective(name, collective, dtype, bytes);
    const bool sum = reduction.n == 0 || sunup__slice_is(reduction, "sum");
    if (!sum && strstr(name, "reduce") != NULL)
        (void)snprintf(name + strlen(name), 64, ":%.*s", SHOWN(reduction));
    struct track_row row = sunup__import_row(r->im, TRACK_SAMPLES, name, "", "");
    row.bytes = bytes;
    row.ranks = (int)ranks;
    return add(r, cells, &row);
}

/* ---------------------------------------------------------------------------- lines --- */

static bool after(struct slice line, const char *begin, char *room, size_t room_bytes)
{
    if (!sunup__slice_begins(line, begin)) return false;
    const struct slice s = sunup__slice_trim(sunup__slice_after(line, line.s + strlen(begin)));
    (void)snprintf(room, room_bytes, "%.*s", SHOWN(s));
    return true;
}

static sunup_status read_table_line(struct oneccl *r, struct slice line)
{
    char processes[64];
    struct slice s = sunup__slice_trim(line), first = s;
    if (after(s, "datatype:", r->dtype, sizeof r->dtype) || after(s, "dtype:", r->dtype, sizeof r->dtype) ||
        after(s, "reduction:", r->reduction, sizeof r->reduction) ||
        after(s, "# Benchmarking:", r->collective, sizeof r->collective))
        r->n_columns = 0;
    else if (after(s, "# #processes:", processes, sizeof processes))
        EXPECT(sunup__slice_number(sunup__slice(processes), &r->ranks) && r->ranks >= 1, r->im,
               "'%s' is no number of processes", processes);
    else if (sunup__slice_begins(s, "#bytes"))
        return read_titles(r, s);
    else if (sunup__slice_begins(s, "# All done"))
        r->done = true;
    double number_first;
    const bool row = r->n_columns > 0 && sunup__slice_number(sunup__slice_word(&first), &number_first);
    return row ? read_row(r, s) : SUNUP_OK;
}

static sunup_status read_csv_line(struct oneccl *r, struct slice line)
{
    if (sunup__slice_begins(line, titles[RANKS])) return read_titles(r, line);
    EXPECT(r->n_columns > 0, r->im, "the names of the columns (#ranks,...) are missing");
    return line.n > 0 ? read_row(r, line) : SUNUP_OK;
}

sunup_status sunup__import_oneccl(struct import *im)
{
    struct oneccl r = {.im = im, .separator = ' '};
    struct slice line;
    TRY(sunup__import_whole(im));
    TRY(sunup__import_origin(im, "oneccl", "oneCCL"));
    if (sunup__slice_begins(im->rest, titles[RANKS])) r.separator = ',';
    while (sunup__import_line(im, &line))
        TRY(r.separator == ',' ? read_csv_line(&r, line) : read_table_line(&r, line));
    im->line = 0;
    EXPECT(r.separator == ',' || r.done, im, "\"# All done\" is missing: the run or its text was cut off");
    return SUNUP_OK;
}
