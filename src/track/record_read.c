/* record_read.c - records back into a history.
 *
 * A line that is no JSON, a row without a kind or with another number of rows than the end says makes the whole file
 * not whole: none of it is kept. Keys that are not known are passed over, so that older programs read newer records;
 * a record of a later format is refused. Cost: a pass of jansson over each line.
 */
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/system.h"
#include "track/record.h"

struct reader {
    sunup_context *ctx;
    struct track_history *h;
    struct track_run *run;
    const char *path;
    int line;
    bool ended;
};

#define NEED_LINE(cond, r, ...)                                                                    \
    do {                                                                                           \
        if (!(cond)) return bad_line((r), __VA_ARGS__);                                            \
    } while (0)

static sunup_status bad_line(const struct reader *r, const char *what, const char *key)
{
    RAISE(r->ctx, E_FORMAT, "%s:%d: %s%s%s", r->path, r->line, what, key[0] != '\0' ? " " : "", key);
}

/* ---------------------------------------------------------------------- one value --- */

static sunup_status read_word(struct reader *r, const json_t *j, const char *key, const char **s)
{
    const json_t *v = json_object_get(j, key);
    if (v == NULL) return SUNUP_OK;
    NEED_LINE(json_is_string(v), r, "text is expected for", key);
    *s = sunup__track_intern(r->h, json_string_value(v));
    CHECK(*s != NULL, r->ctx, E_MEMORY, "%s:%d: no memory", r->path, r->line);
    return SUNUP_OK;
}

static sunup_status read_number(struct reader *r, const json_t *j, const char *key, double *x)
{
    const json_t *v = json_object_get(j, key);
    if (v == NULL) return SUNUP_OK;
    NEED_LINE(json_is_number(v), r, "a number is expected for", key);
    *x = json_number_value(v);
    return SUNUP_OK;
}

static sunup_status read_int(struct reader *r, const json_t *j, const char *key, int *n)
{
    double x = *n;
    TRY(read_number(r, j, key, &x));
    NEED_LINE(x >= -1e9 && x <= 1e9, r, "a whole number is expected for", key);
    *n = (int)x;
    return SUNUP_OK;
}

static sunup_status read_values(struct reader *r, const json_t *j, const char *key, double **x,
                                int *n)
{
    const json_t *v = json_object_get(j, key);
    if (v == NULL) return SUNUP_OK;
    const size_t size = json_array_size(v);
    NEED_LINE(json_is_array(v) && size < 1u << 24, r, "a list of numbers is expected for", key);
    *x = sunup__arena_alloc(&r->h->arena, (size + 1) * sizeof **x);
    CHECK(*x != NULL, r->ctx, E_MEMORY, "%s:%d: no memory", r->path, r->line);
    for (size_t i = 0; i < size; i++) {
        const json_t *e = json_array_get(v, i);
        NEED_LINE(json_is_number(e) || json_is_null(e), r, "a list of numbers is expected for", key);
        (*x)[i] = json_is_null(e) ? NAN : json_number_value(e);
    }
    *n = (int)size;
    return SUNUP_OK;
}

/* One of the names[0..n-1], by its index. */
static sunup_status read_choice(struct reader *r, const json_t *j, const char *key, int n,
                                const char *const *names, int *choice)
{
    const json_t *v = json_object_get(j, key);
    if (v == NULL) return SUNUP_OK;
    for (int i = 0; i < n && json_is_string(v); i++) {
        if (strcmp(json_string_value(v), names[i]) != 0) continue;
        *choice = i;
        return SUNUP_OK;
    }
    return bad_line(r, "an unknown word stands for", key);
}

/* --------------------------------------------------------------------------- rows --- */

static sunup_status read_moved(struct reader *r, const json_t *j, struct track_row *row)
{
    const json_t *list = json_object_get(j, "moved");
    const size_t n = json_array_size(list);
    if (n == 0) return SUNUP_OK;
    row->moved = sunup__arena_alloc(&r->h->arena, n * sizeof *row->moved);
    CHECK(row->moved != NULL, r->ctx, E_MEMORY, "%s:%d: no memory", r->path, r->line);
    for (size_t i = 0; i < n; i++) {
        struct track_moved *m = &row->moved[i];
        *m = (struct track_moved){"", NAN, NAN};
        const json_t *e = json_array_get(list, i);
        NEED_LINE(json_is_object(e), r, "objects are expected in", "moved");
        TRY(read_word(r, e, "what", &m->what));
        TRY(read_number(r, e, "seconds", &m->seconds));
        TRY(read_number(r, e, "p", &m->p));
    }
    row->n_moved = (int)n;
    return SUNUP_OK;
}

static sunup_status read_outcome(struct reader *r, const json_t *j, struct track_row *row)
{
    const char *names[TRACK_OUTCOMES];
    int outcome = TRACK_OK;
    double step = -1;
    for (int i = 0; i < TRACK_OUTCOMES; i++) names[i] = sunup__track_outcome_name((enum track_outcome)i);
    TRY(read_choice(r, j, "outcome", TRACK_OUTCOMES, names, &outcome));
    row->outcome = (enum track_outcome)outcome;
    TRY(read_number(r, j, "seconds", &row->seconds));
    TRY(read_int(r, j, "failures", &row->failures));
    TRY(read_int(r, j, "tries", &row->tries));
    TRY(read_int(r, j, "rank", &row->rank));
    TRY(read_int(r, j, "signal", &row->signal));
    TRY(read_number(r, j, "step", &step));
    NEED_LINE(step >= -1 && step < 9e15, r, "a whole number is expected for", "step");
    row->step = (int64_t)step;
    TRY(read_word(r, j, "layer", &row->layer));
    TRY(read_word(r, j, "collective", &row->collective));
    return read_word(r, j, "message", &row->message);
}

static sunup_status read_kind(struct reader *r, const json_t *j, struct track_row *row)
{
    switch (row->kind) {
    case TRACK_SAMPLES:
        TRY(read_values(r, j, "values", &row->values, &row->n));
        return read_values(r, j, "canary", &row->canary, &row->n_canary);
    case TRACK_PAIRS:
        TRY(read_values(r, j, "pairs", &row->values, &row->n));
        TRY(read_values(r, j, "confirm", &row->confirm, &row->n_confirm));
        TRY(read_word(r, j, "baseline", &row->baseline));
        return read_moved(r, j, row);
    case TRACK_COUNT: return read_number(r, j, "count", &row->count);
    case TRACK_WORD: return read_word(r, j, "word", &row->word);
    default: return read_outcome(r, j, row);
    }
}

static sunup_status read_row(struct reader *r, const json_t *j)
{
    static const char *const keys[TRACK_KINDS] = {"values", "pairs", "count", "word", "outcome"};
    static const char *const better[] = {"less", "more", "neither"};
    int kind = 0, choice = TRACK_LESS;
    while (kind < TRACK_KINDS && json_object_get(j, keys[kind]) == NULL) kind++;
    NEED_LINE(kind < TRACK_KINDS, r, "a row has values, pairs, a count, a word or an outcome", "");
    struct track_row *row = sunup__track_add_row(r->h, r->run, (enum track_kind)kind);
    CHECK(row != NULL, r->ctx, E_MEMORY, "%s:%d: no memory for a row", r->path, r->line);
    row->engine = "sunup";
    TRY(read_word(r, j, "suite", &row->suite));
    TRY(read_word(r, j, "name", &row->name));
    TRY(read_word(r, j, "engine", &row->engine));
    TRY(read_word(r, j, "quantity", &row->quantity));
    TRY(read_word(r, j, "unit", &row->unit));
    TRY(read_word(r, j, "source", &row->source));
    TRY(read_choice(r, j, "better", 3, better, &choice));
    row->better = (enum track_better)choice;
    TRY(read_number(r, j, "flops", &row->flops));
    TRY(read_number(r, j, "bytes", &row->bytes));
    TRY(read_number(r, j, "bound_s", &row->bound_s));
    TRY(read_int(r, j, "ranks", &row->ranks));
    return read_kind(r, j, row);
}

/* -------------------------------------------------------------------------- files --- */

static sunup_status read_head(struct reader *r, const json_t *j)
{
    const char *id = "", *key;
    double at = 0, format = 0;
    json_t *v, *facts = json_object_get(j, "facts");
    TRY(read_number(r, j, "sunup_track", &format));
    NEED_LINE(format == 1, r, "no record, or one of a later format: it begins with", "\"sunup_track\":1");
    TRY(read_word(r, j, "id", &id));
    TRY(read_number(r, j, "at", &at));
    NEED_LINE(at >= 0 && at < 1e12, r, "seconds since 1970 are expected for", "at");
    r->run = sunup__track_add_run(r->h, id, (int64_t)at);
    CHECK(r->run != NULL, r->ctx, E_MEMORY, "%s: no memory for a run", r->path);
    r->run->path = sunup__track_intern(r->h, r->path);
    json_object_foreach(facts, key, v)
    {
        NEED_LINE(json_is_string(v), r, "text is expected for the fact", key);
        TRY(sunup__track_add_fact(r->ctx, r->h, r->run, key, json_string_value(v)));
    }
    return SUNUP_OK;
}

static sunup_status read_line(struct reader *r, const json_t *j)
{
    const json_t *end = json_object_get(j, "end");
    NEED_LINE(json_is_object(j), r, "an object is expected", "");
    NEED_LINE(!r->ended, r, "there is more after the end", "");
    if (r->run == NULL) return read_head(r, j);
    if (end == NULL) return read_row(r, j);
    NEED_LINE(json_integer_value(end) == r->run->n_rows, r, "the end counts another number of rows", "");
    r->ended = true;
    return SUNUP_OK;
}

static sunup_status read_lines(struct reader *r, const char *text, size_t bytes)
{
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        r->line++;
        json_error_t error;
        json_t *j = json_loadb(at, (size_t)(stop - at), JSON_REJECT_DUPLICATES, &error);
        if (j == NULL) return bad_line(r, error.text, "");
        const sunup_status status = read_line(r, j);
        json_decref(j);
        TRY(status);
        at = stop + 1;
    }
    NEED_LINE(r->ended, r, "the record is not whole: its end is missing", "");
    return SUNUP_OK;
}

/* Strings and numbers of a refused file stay in the arena until the history's end. */
static void drop_last(struct track_history *h)
{
    struct track_run *last = &h->runs[--h->n_runs];
    sunup__free(last->facts);
    sunup__free(last->rows);
}

sunup_status sunup__track_parse(sunup_context *ctx, const char *path, const char *text, size_t bytes,
                                struct track_history *h)
{
    struct reader r = {.ctx = ctx, .h = h, .path = path};
    const int before = h->n_runs;
    const sunup_status status = read_lines(&r, text, bytes);
    if (status != SUNUP_OK && h->n_runs > before) drop_last(h);
    return status;
}

static sunup_status load_file(sunup_context *ctx, const char *path, struct track_history *h)
{
    void *data;
    size_t bytes;
    TRY(sunup__file_read(ctx, path, &data, &bytes));
    const sunup_status status = sunup__track_parse(ctx, path, data, bytes, h);
    sunup__free(data);
    if (status != SUNUP_E_FORMAT) return status;
    h->passed_over++;
    sunup__log(ctx, SUNUP_LOG_WARN, "record passed over: %s", sunup_error(ctx));
    return SUNUP_OK;
}

static bool is_record(const char *name)
{
    const size_t n = strlen(name);
    return n > 6 && strcmp(name + n - 6, ".jsonl") == 0;
}

static sunup_status load_folder(sunup_context *ctx, const char *folder, struct track_history *h,
                                int depth);

static sunup_status load_entry(sunup_context *ctx, const char *folder, const char *name,
                               struct track_history *h, int depth)
{
    struct text path = {0};
    struct stat st;
    sunup__text(&path, "%s/%s", folder, name);
    CHECK(path.s != NULL, ctx, E_MEMORY, "%s: no memory for a path", folder);
    sunup_status status = SUNUP_OK;
    if (stat(path.s, &st) != 0)
        ; /* gone meanwhile */
    else if (S_ISDIR(st.st_mode) && depth > 0)
        status = load_folder(ctx, path.s, h, depth - 1);
    else if (S_ISREG(st.st_mode) && is_record(name))
        status = load_file(ctx, path.s, h);
    sunup__free(path.s);
    return status;
}

static sunup_status load_folder(sunup_context *ctx, const char *folder, struct track_history *h,
                                int depth)
{
    DIR *d = opendir(folder);
    if (d == NULL) return SUNUP_OK;
    sunup_status status = SUNUP_OK;
    for (struct dirent *e; status == SUNUP_OK && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') status = load_entry(ctx, folder, e->d_name, h, depth);
    (void)closedir(d);
    return status;
}

sunup_status sunup__track_load(sunup_context *ctx, const char *folder, struct track_history *h)
{
    enum { DEPTH = 4 }; /* folders by machine and year */
    TRY(load_folder(ctx, folder, h, DEPTH));
    sunup__track_sort(h);
    return SUNUP_OK;
}
