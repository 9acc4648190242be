/* import_read.c - rows, lines, numbers, times and JSON for the readers of other people's formats.
 *
 * Rows of samples are found again by an open-addressed table over their interned words, so that a
 * table of n lines costs n, whatever their order. Values grow in the history's arena by doubling:
 * what a row outgrew is lost there, at most as much as it holds.
 */
#include "track/import_read.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

sunup_status sunup__import_refuse(const struct import *im, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    CHECK(im->line > 0, im->ctx, E_FORMAT, "%s: %s", im->path, what);
    RAISE(im->ctx, E_FORMAT, "%s:%d: %s", im->path, im->line, what);
}

static sunup_status no_memory(const struct import *im)
{
    RAISE(im->ctx, E_MEMORY, "%s: no memory for its %d rows", im->path, im->run->n_rows);
}

/* ------------------------------------------------------------------- rows and facts --- */

sunup_status sunup__import_intern(struct import *im, const char *s, size_t n, const char **own)
{
    char room[256];
    char *copy = n < sizeof room || s == NULL ? room : sunup__alloc(n + 1);
    if (copy == NULL || s == NULL) return no_memory(im);
    memcpy(copy, s, n);
    copy[n] = '\0';
    *own = sunup__track_intern(im->h, copy);
    if (copy != room) sunup__free(copy);
    return *own != NULL ? SUNUP_OK : no_memory(im);
}

static sunup_status own(struct import *im, const char **s)
{
    *s = sunup__track_intern(im->h, *s);
    return *s != NULL ? SUNUP_OK : no_memory(im);
}

sunup_status sunup__import_origin(struct import *im, const char *suite, const char *engine)
{
    im->suite = im->o->suite != NULL ? im->o->suite : suite;
    im->engine = im->o->engine != NULL ? im->o->engine : engine;
    TRY(own(im, &im->suite));
    return own(im, &im->engine);
}

struct track_row sunup__import_row(const struct import *im, enum track_kind kind, const char *name,
                                   const char *quantity, const char *unit)
{
    struct track_row r = sunup__track_row(kind, im->suite, name, im->engine, quantity);
    r.unit = unit;
    r.source = im->o->source != NULL ? im->o->source : "vendor";
    return r;
}

static sunup_status own_words(struct import *im, struct track_row *r)
{
    const char **words[] = {&r->suite, &r->name,   &r->engine, &r->quantity,
                            &r->unit,  &r->source, &r->word,   &r->message};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) TRY(own(im, words[i]));
    return SUNUP_OK;
}

sunup_status sunup__import_add(struct import *im, const struct track_row *row)
{
    struct track_row r = *row;
    EXPECT(r.flops >= 0 && isfinite(r.flops), im, "the operations of %.100s are %g", r.name, r.flops);
    EXPECT(r.bytes >= 0 && isfinite(r.bytes), im, "the bytes of %.100s are %g", r.name, r.bytes);
    TRY(own_words(im, &r));
    struct track_row *to = sunup__track_add_row(im->h, im->run, r.kind);
    if (to == NULL) return no_memory(im);
    *to = r;
    return SUNUP_OK;
}

static bool same_row(const struct track_row *a, const struct track_row *b)
{
    return a->name == b->name && a->quantity == b->quantity && a->engine == b->engine &&
           a->suite == b->suite && a->ranks == b->ranks;
}

static size_t hash_of(const struct track_row *r)
{
    const uint64_t words[] = {(uintptr_t)r->name, (uintptr_t)r->quantity, (uintptr_t)r->engine,
                              (uintptr_t)r->suite, (uint64_t)r->ranks};
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    return (size_t)h;
}

/* Where the row stands in the index, or would: 1 + its number, 0. */
static int *find_entry(const struct import *im, const struct track_row *r)
{
    const size_t mask = (size_t)im->room - 1;
    size_t at = hash_of(r) & mask;
    while (im->index[at] != 0 && !same_row(&im->run->rows[im->index[at] - 1], r)) at = (at + 1) & mask;
    return &im->index[at];
}

static sunup_status grow_index(struct import *im)
{
    int *old = im->index;
    const int before = im->room;
    im->room = before > 0 ? 2 * before : 256;
    im->index = sunup__alloc((size_t)im->room * sizeof *im->index);
    for (int i = 0; im->index != NULL && i < before; i++)
        if (old[i] != 0) *find_entry(im, &im->run->rows[old[i] - 1]) = old[i];
    sunup__free(old);
    return im->index != NULL ? SUNUP_OK : no_memory(im);
}

static sunup_status append(struct import *im, struct track_row *r, double value)
{
    if ((r->n & (r->n - 1)) == 0) {
        double *more = sunup__arena_alloc(&im->h->arena, 2 * (size_t)(r->n + 1) * sizeof *more);
        if (more == NULL) return no_memory(im);
        if (r->n > 0) memcpy(more, r->values, (size_t)r->n * sizeof *more);
        r->values = more;
    }
    r->values[r->n++] = value;
    return SUNUP_OK;
}

/* The row that is like r, whose words become the history's. */
static sunup_status find_row(struct import *im, struct track_row *r, struct track_row **to)
{
    TRY(own_words(im, r));
    if (2 * im->used >= im->room) TRY(grow_index(im));
    int *entry = find_entry(im, r);
    if (*entry == 0) {
        TRY(sunup__import_add(im, r));
        *entry = im->run->n_rows;
        im->used++;
    }
    *to = &im->run->rows[*entry - 1];
    return SUNUP_OK;
}

sunup_status sunup__import_once(struct import *im, const struct track_row *row)
{
    struct track_row r = *row, *to;
    return find_row(im, &r, &to);
}

static bool is_amount(const char *unit)
{
    static const char *const units[] = {"s", "B/s", "flop/s", "B", "flop", "1/s"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i], unit) == 0) return true;
    return false;
}

sunup_status sunup__import_sample(struct import *im, const struct track_row *like, double value)
{
    struct track_row r = *like, *to;
    EXPECT(isfinite(value), im, "%.60s of %.100s is not a finite number", r.quantity, r.name);
    EXPECT(value >= 0 || !is_amount(r.unit), im, "%.60s of %.100s is %g", r.quantity, r.name, value);
    TRY(find_row(im, &r, &to));
    EXPECT(to->kind == TRACK_SAMPLES && to->unit == r.unit, im,
           "%.60s of %.100s is in '%.20s', and was in '%.20s' before", r.quantity, r.name, r.unit, to->unit);
    return append(im, to, value);
}

sunup_status sunup__import_outcome(struct import *im, const struct track_row *like, enum track_outcome o,
                                   const char *message)
{
    struct track_row r = *like, *to;
    r.tries = 0;
    r.seconds = 0;
    TRY(find_row(im, &r, &to));
    EXPECT(to->kind == TRACK_OUTCOME, im, "%.60s of %.100s is no outcome", r.quantity, r.name);
    const bool failed = o >= TRACK_CRASH;
    to->tries++;
    to->failures += failed;
    to->seconds += like->seconds;
    to->outcome = !failed && to->failures > 0 ? TRACK_FLAKY : o;
    if (failed) to->message = message;
    return failed ? own(im, &to->message) : SUNUP_OK;
}

sunup_status sunup__import_fact(struct import *im, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0' || sunup__track_fact(im->run, key)[0] != '\0') return SUNUP_OK;
    return sunup__track_add_fact(im->ctx, im->h, im->run, key, value);
}

/* ----------------------------------------------------------------------------- text --- */

struct slice sunup__slice_after(struct slice s, const char *from)
{
    return (struct slice){from, s.n - (size_t)(from - s.s)};
}

bool sunup__import_line(struct import *im, struct slice *line)
{
    if (im->rest.n == 0) return false;
    const char *end = memchr(im->rest.s, '\n', im->rest.n);
    const char *next = end != NULL ? end + 1 : im->rest.s + im->rest.n;
    *line = (struct slice){im->rest.s, (size_t)((end != NULL ? end : next) - im->rest.s)};
    if (line->n > 0 && line->s[line->n - 1] == '\r') line->n--;
    im->rest = sunup__slice_after(im->rest, next);
    im->line++;
    return true;
}

sunup_status sunup__import_whole(const struct import *im)
{
    EXPECT(im->rest.n > 0 && im->rest.s[im->rest.n - 1] == '\n', im,
           "its last line has no end: the file was cut off");
    return SUNUP_OK;
}

struct slice sunup__slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

bool sunup__slice_begins(struct slice s, const char *word)
{
    const size_t n = strlen(word);
    return s.n >= n && memcmp(s.s, word, n) == 0;
}

bool sunup__slice_is(struct slice s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

const char *sunup__slice_find(struct slice s, const char *word)
{
    return s.n > 0 ? memmem(s.s, s.n, word, strlen(word)) : NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice sunup__slice_trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.s[0])) s = sunup__slice_after(s, s.s + 1);
    while (s.n > 0 && is_blank(s.s[s.n - 1])) s.n--;
    return s;
}

struct slice sunup__slice_word(struct slice *rest)
{
    struct slice word = sunup__slice_trim(*rest);
    size_t n = 0;
    while (n < word.n && !is_blank(word.s[n])) n++;
    *rest = sunup__slice_after(word, word.s + n);
    word.n = n;
    return word;
}

/* Digits with sign, point and exponent: neither hexadecimal nor nan and inf, which strtod reads too. */
bool sunup__slice_number(struct slice s, double *x)
{
    char copy[64], *end;
    if (s.n == 0 || s.n >= sizeof copy) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isdigit((unsigned char)s.s[i]) && strchr("+-.eE", s.s[i]) == NULL) return false;
    memcpy(copy, s.s, s.n);
    copy[s.n] = '\0';
    *x = strtod(copy, &end);
    return end == copy + s.n && isfinite(*x);
}

/* ---------------------------------------------------------------------------- times --- */

/* Days since 1970 in the Gregorian calendar: years begin in March, so that the leap day is the last. */
static int64_t days_of(int year, int month, int day)
{
    const int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* "Z", "+01:00", "-0530" or nothing. */
static bool read_zone(const char *s, int *seconds)
{
    int hours, minutes, n = 0;
    *seconds = 0;
    if (s[0] == '\0' || strcmp(s, "Z") == 0) return true;
    if (s[0] != '+' && s[0] != '-') return false;
    if (sscanf(s + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2 || n != 5)
        if (sscanf(s + 1, "%2d%2d%n", &hours, &minutes, &n) != 2 || n != 4) return false;
    *seconds = (hours * 60 + minutes) * (s[0] == '-' ? -60 : 60);
    return s[1 + n] == '\0' && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

bool sunup__import_time(const char *text, int64_t *at)
{
    int y, mo, d, h = 0, mi = 0, s = 0, n = 0, zone;
    if (!isdigit((unsigned char)text[0])) return false;
    if (sscanf(text, "%4d-%2d-%2d%n", &y, &mo, &d, &n) != 3 || n != 10) return false;
    if (text[n] != '\0' && (sscanf(text, "%*10c%*1[T ]%2d:%2d:%2d%n", &h, &mi, &s, &n) != 3 || n != 19))
        return false;
    const char *rest = text + n;
    if (*rest == '.') rest += 1 + strspn(rest + 1, "0123456789");
    if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 ||
        s > 60)
        return false;
    if (!read_zone(rest, &zone)) return false;
    *at = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - zone;
    return *at > 0;
}

/* ----------------------------------------------------------------------------- JSON --- */

static sunup_status read_object(struct import *im, const json_t *root, import_root *read)
{
    EXPECT(json_is_object(root), im, "an object of JSON is expected");
    return read(im, root);
}

sunup_status sunup__import_json(struct import *im, import_root *read)
{
    json_error_t error;
    json_t *root = json_loadb(im->rest.s, im->rest.n, JSON_REJECT_DUPLICATES, &error);
    im->line = root == NULL ? error.line : 0;
    EXPECT(root != NULL, im, "no whole JSON: %s", error.text);
    const sunup_status status = read_object(im, root, read);
    json_decref(root);
    return status;
}

const char *sunup__import_word(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

sunup_status sunup__import_number(const struct import *im, const json_t *j, const char *key, double *x)
{
    const json_t *v = json_object_get(j, key);
    if (v == NULL || json_is_null(v)) return SUNUP_OK;
    EXPECT(json_is_number(v), im, "a number is expected for \"%.60s\"", key);
    *x = json_number_value(v);
    return SUNUP_OK;
}

sunup_status sunup__import_json_fact(struct import *im, const char *fact, const json_t *j, const char *key)
{
    char text[40];
    const json_t *v = json_object_get(j, key);
    if (json_is_integer(v))
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(text, sizeof text, "%.15g", json_real_value(v));
    else if (json_is_boolean(v))
        (void)snprintf(text, sizeof text, "%s", json_is_true(v) ? "yes" : "no");
    else
        return sunup__import_fact(im, fact, json_string_value(v));
    return sunup__import_fact(im, fact, text);
}
