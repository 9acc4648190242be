/* csv.c - tables as text: a header line or none, separator , ; or tab, quotes, missing values.
 *
 * The first line decides: its separators are counted outside quotes (tab before ; before ,), and it is a header if
 * any of its cells is neither a number nor missing. A leading # of a header is skipped. Blank lines are skipped. A
 * missing value (empty, NA, N/A, null, ?) is NaN. Numbers are read as f64 in the C locale; a table of whole numbers
 * of 32 bits becomes i32. Source of the quoting: RFC 4180; line ends may be \n, \r\n or \r.
 */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "data/array.h"

enum { CELL = 128 };

struct cell {
    const char *s; /* without quotes and blanks around it */
    size_t n;
    bool last; /* of its line */
};

struct table {
    sunup_context *ctx;
    const char *name;
    const char *at, *end;
    int64_t line; /* of `at`, from 1 */
    char separator;
    int64_t columns;
    const char *first; /* first line of numbers */
    int64_t first_line;
    const char *header; /* NULL: none */
    int64_t *output;    /* [columns] place of a column in a row of the result, -1: unused */
    int64_t picked;
    bool flat; /* one column asked for by name: [rows] instead of [rows, 1] */
    locale_t c_locale;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

/* ---- cells ---- */

/* Takes a line's end; \r\n is one. */
static void end_line(struct table *t)
{
    if (t->at == t->end) return;
    const bool cr = *t->at++ == '\r';
    if (cr && t->at < t->end && *t->at == '\n') t->at++;
    t->line++;
}

static bool at_line_end(const struct table *t)
{
    return t->at == t->end || *t->at == '\n' || *t->at == '\r';
}

static void skip_blanks(struct table *t)
{
    while (t->at < t->end && is_blank(*t->at) && *t->at != t->separator) t->at++;
}

static sunup_status quoted(struct table *t, struct cell *c)
{
    const int64_t line = t->line;
    c->s = ++t->at;
    for (;; t->at++) {
        CHECK(t->at < t->end, t->ctx, E_FORMAT, "%s: line %lld: a quote is opened and never closed",
              t->name, (long long)line);
        if (*t->at == '\n') t->line++;
        if (*t->at != '"') continue;
        if (t->at + 1 == t->end || t->at[1] != '"') break;
        t->at++; /* "" inside quotes is a quote */
    }
    c->n = (size_t)(t->at++ - c->s);
    skip_blanks(t);
    CHECK(at_line_end(t) || *t->at == t->separator, t->ctx, E_FORMAT,
          "%s: line %lld: text follows a closing quote", t->name, (long long)t->line);
    return SUNUP_OK;
}

static sunup_status next_cell(struct table *t, struct cell *c)
{
    skip_blanks(t);
    if (t->at < t->end && *t->at == '"') {
        TRY(quoted(t, c));
    } else {
        c->s = t->at;
        while (!at_line_end(t) && *t->at != t->separator) t->at++;
        c->n = (size_t)(t->at - c->s);
        while (c->n > 0 && is_blank(c->s[c->n - 1])) c->n--;
    }
    c->last = at_line_end(t);
    if (c->last)
        end_line(t);
    else
        t->at++;
    return SUNUP_OK;
}

/* To the next line that is not blank; false at the end of the file. */
static bool next_line(struct table *t)
{
    while (t->at < t->end) {
        const char *p = t->at;
        while (p < t->end && is_blank(*p) && *p != t->separator) p++;
        if (p < t->end && *p != '\n' && *p != '\r') return true;
        t->at = p;
        end_line(t);
    }
    return false;
}

static bool cell_is(const struct cell *c, const char *word)
{
    return strlen(word) == c->n && strncasecmp(c->s, word, c->n) == 0;
}

/* False if the cell is no number; a missing one is NaN. */
static bool number(const struct table *t, const struct cell *c, double *value)
{
    char text[CELL];
    *value = NAN;
    if (c->n == 0 || cell_is(c, "na") || cell_is(c, "n/a") || cell_is(c, "null") || cell_is(c, "?"))
        return true;
    if (c->n >= CELL) return false;
    memcpy(text, c->s, c->n);
    text[c->n] = '\0';
    char *end;
    *value = strtod_l(text, &end, t->c_locale);
    return end == text + c->n;
}

/* ---- the first line ---- */

static char find_separator(const struct table *t)
{
    bool quote = false, tab = false, semicolon = false;
    for (const char *p = t->at; p < t->end && (quote || (*p != '\n' && *p != '\r')); p++) {
        quote ^= *p == '"';
        tab |= !quote && *p == '\t';
        semicolon |= !quote && *p == ';';
    }
    if (tab) return '\t';
    return semicolon ? ';' : ',';
}

static sunup_status first_line(struct table *t)
{
    if (t->end - t->at >= 3 && memcmp(t->at, "\xef\xbb\xbf", 3) == 0) t->at += 3; /* UTF-8 mark */
    CHECK(next_line(t), t->ctx, E_FORMAT, "%s: line %lld: the file holds no line", t->name,
          (long long)t->line);
    t->separator = find_separator(t);
    t->first = t->at;
    t->first_line = t->line;
    const bool comment = *t->at == '#';
    if (comment) t->at++;
    const char *from = t->at;
    struct cell c;
    double value;
    bool header = comment;
    do {
        TRY(next_cell(t, &c));
        header |= !number(t, &c, &value);
        t->columns++;
    } while (!c.last);
    if (!header) return SUNUP_OK;
    t->header = from;
    t->first = t->at;
    t->first_line = t->line;
    return SUNUP_OK;
}

/* ---- which columns ---- */

/* The column with this name in the header, -1 if there is none. */
static int64_t named(struct table *t, const char *s, size_t n)
{
    if (t->header == NULL) return -1;
    t->at = t->header;
    struct cell c;
    for (int64_t i = 0; i < t->columns; i++) {
        if (next_cell(t, &c) != SUNUP_OK) return -1;
        if (c.n == n && memcmp(c.s, s, n) == 0) return i;
    }
    return -1;
}

/* A number of digits only; -1 if it is not. "" is `otherwise`. */
static int64_t ordinal(const char *s, size_t n, int64_t otherwise)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || v > INT32_MAX) return -1;
        v = 10 * v + (s[i] - '0');
    }
    return n > 0 ? v : otherwise;
}

/* One part of the list: a name, a number, or "from:to" (from 0, without `to`, as in Python). */
static sunup_status pick(struct table *t, const char *s, size_t n)
{
    int64_t from = named(t, s, n), to = from + 1;
    const char *colon = memchr(s, ':', n);
    if (from < 0 && colon != NULL) {
        from = ordinal(s, (size_t)(colon - s), 0);
        to = ordinal(colon + 1, n - (size_t)(colon - s) - 1, t->columns);
        t->flat = false;
    } else if (from < 0) {
        from = ordinal(s, n, -1);
        to = from + 1;
    }
    CHECK(from >= 0 && from < to && to <= t->columns, t->ctx, E_ARGUMENT,
          "%s: there is no column '%.*s'; the %lld columns are numbered from 0%s", t->name, (int)n,
          s, (long long)t->columns, t->header != NULL ? " or named as in the header" : "");
    for (int64_t i = from; i < to; i++) {
        CHECK(t->output[i] < 0, t->ctx, E_ARGUMENT, "%s: column %lld is asked for twice", t->name,
              (long long)i);
        t->output[i] = t->picked++;
    }
    return SUNUP_OK;
}

static sunup_status pick_all(struct table *t, const char *columns)
{
    for (int64_t i = 0; i < t->columns; i++) t->output[i] = -1;
    t->flat = true;
    if (columns == NULL) return pick(t, t->columns == 1 ? "0" : "0:", t->columns == 1 ? 1 : 2);
    const char *s = columns;
    for (;;) {
        const size_t n = strcspn(s, ",");
        TRY(pick(t, s, n));
        if (s[n] == '\0') break;
        s += n + 1;
    }
    t->flat &= t->picked == 1;
    return SUNUP_OK;
}

/* ---- the numbers ---- */

static void rewind_rows(struct table *t)
{
    t->at = t->first;
    t->line = t->first_line;
}

static sunup_status count_rows(struct table *t, int64_t *rows)
{
    *rows = 0;
    for (rewind_rows(t); next_line(t); ++*rows) {
        const int64_t line = t->line;
        int64_t n = 0;
        struct cell c;
        do {
            TRY(next_cell(t, &c));
            n++;
        } while (!c.last);
        CHECK(n == t->columns, t->ctx, E_FORMAT,
              "%s: line %lld: %lld values where the first line has %lld", t->name, (long long)line,
              (long long)n, (long long)t->columns);
    }
    return SUNUP_OK;
}

static sunup_status read_rows(struct table *t, double *y)
{
    for (rewind_rows(t); next_line(t); y += t->picked)
        for (int64_t i = 0; i < t->columns; i++) {
            const int64_t line = t->line;
            struct cell c;
            double value = 0;
            TRY(next_cell(t, &c));
            if (t->output[i] < 0) continue;
            CHECK(number(t, &c, &value), t->ctx, E_FORMAT,
                  "%s: line %lld: column %lld: '%.*s' is not a number", t->name, (long long)line,
                  (long long)i, (int)(c.n < CELL ? c.n : CELL), c.s);
            y[t->output[i]] = value;
        }
    return SUNUP_OK;
}

static sunup_status read_table(struct table *t, const char *columns, struct array *a)
{
    int64_t rows = 0;
    TRY(first_line(t));
    t->output = sunup__alloc((size_t)t->columns * sizeof *t->output);
    CHECK(t->output != NULL, t->ctx, E_MEMORY, "%s: no memory for %lld columns", t->name,
          (long long)t->columns);
    TRY(pick_all(t, columns));
    TRY(count_rows(t, &rows));
    const sunup_shape shape = {t->flat ? 1 : 2, {rows, t->picked}};
    TRY(sunup__array_begin(t->ctx, t->name, SUNUP_F64, &shape, a));
    TRY(read_rows(t, a->data));
    return sunup__array_narrow(t->ctx, t->name, a);
}

sunup_status sunup__read_csv(sunup_context *ctx, const void *data, size_t bytes, const char *name,
                             const char *columns, struct array *a)
{
    struct table t = {.ctx = ctx, .name = name, .at = data, .line = 1};
    t.end = t.at + bytes;
    *a = (struct array){0};
    t.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(t.c_locale != (locale_t)0, ctx, E_MEMORY, "%s: no memory for a locale", name);
    const sunup_status status = read_table(&t, columns, a);
    freelocale(t.c_locale);
    sunup__free(t.output);
    if (status != SUNUP_OK) sunup__array_end(a);
    return status;
}
