/* record_write.c - a run as JSON Lines: head, rows, end. Defaults are left out, NaN is null.
 *
 * The name of a file is made of time, host, process and a count, so that writers on many nodes never meet; the file
 * appears whole by renaming. Text that is no UTF-8 is written with '?' in place of each bad byte.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/system.h"
#include "track/record.h"
#include "track/utf8.h"

static void put_string(struct text *t, const char *s)
{
    sunup__text(t, "\"");
    while (*s != '\0') {
        uint32_t point;
        const int n = sunup__utf8(s, SIZE_MAX, &point);
        if (n == 0)
            sunup__text(t, "?");
        else if (*s == '"' || *s == '\\')
            sunup__text(t, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            sunup__text(t, "\\u%04x", (unsigned)*s);
        else
            sunup__text(t, "%.*s", n, s);
        s += n > 0 ? n : 1;
    }
    sunup__text(t, "\"");
}

static void put_word(struct text *t, const char *key, const char *s, const char *usual)
{
    if (s == NULL || strcmp(s, usual) == 0) return;
    sunup__text(t, ",\"%s\":", key);
    put_string(t, s);
}

static void put_value(struct text *t, double x, int digits)
{
    if (isfinite(x))
        sunup__text(t, "%.*g", digits, x);
    else
        sunup__text(t, "null");
}

static void put_number(struct text *t, const char *key, double x, double usual)
{
    if (x == usual || isnan(x)) return;
    sunup__text(t, ",\"%s\":", key);
    put_value(t, x, 17);
}

/* Ten digits of a time: a hundredth of a nanosecond in a second. */
static void put_values(struct text *t, const char *key, const double *x, int n)
{
    sunup__text(t, ",\"%s\":[", key);
    for (int i = 0; i < n; i++) {
        if (i > 0) sunup__text(t, ",");
        put_value(t, x[i], 10);
    }
    sunup__text(t, "]");
}

static void put_moved(struct text *t, const struct track_row *r)
{
    if (r->n_moved == 0) return;
    sunup__text(t, ",\"moved\":[");
    for (int i = 0; i < r->n_moved; i++) {
        sunup__text(t, "%s{\"what\":", i > 0 ? "," : "");
        put_string(t, r->moved[i].what);
        put_number(t, "seconds", r->moved[i].seconds, NAN);
        put_number(t, "p", r->moved[i].p, NAN);
        sunup__text(t, "}");
    }
    sunup__text(t, "]");
}

static void put_outcome(struct text *t, const struct track_row *r)
{
    put_word(t, "outcome", sunup__track_outcome_name(r->outcome), "");
    put_number(t, "seconds", r->seconds, 0);
    put_number(t, "failures", r->failures, 0);
    put_number(t, "tries", r->tries, 1);
    put_number(t, "rank", r->rank, -1);
    put_number(t, "signal", r->signal, 0);
    put_number(t, "step", (double)r->step, -1);
    put_word(t, "layer", r->layer, "");
    put_word(t, "collective", r->collective, "");
    put_word(t, "message", r->message, "");
}

static void put_kind(struct text *t, const struct track_row *r)
{
    switch (r->kind) {
    case TRACK_SAMPLES:
        put_values(t, "values", r->values, r->n);
        if (r->n_canary > 0) put_values(t, "canary", r->canary, r->n_canary);
        break;
    case TRACK_PAIRS:
        put_values(t, "pairs", r->values, r->n);
        if (r->n_confirm > 0) put_values(t, "confirm", r->confirm, r->n_confirm);
        put_word(t, "baseline", r->baseline, "");
        put_moved(t, r);
        break;
    case TRACK_COUNT: put_number(t, "count", r->count, NAN); break;
    case TRACK_WORD: put_word(t, "word", r->word, "\1"); break;
    case TRACK_OUTCOME: put_outcome(t, r); break;
    case TRACK_KINDS: break;
    }
}

static void put_row(struct text *t, const struct track_row *r)
{
    static const char *const better[] = {"less", "more", "neither"};
    sunup__text(t, "{\"suite\":");
    put_string(t, r->suite);
    put_word(t, "name", r->name, "");
    put_word(t, "engine", r->engine, "sunup");
    put_word(t, "quantity", r->quantity, "");
    put_word(t, "unit", r->unit, "");
    put_word(t, "source", r->source, "sunup");
    put_word(t, "better", better[r->better], "less");
    put_kind(t, r);
    put_number(t, "flops", r->flops, 0);
    put_number(t, "bytes", r->bytes, 0);
    put_number(t, "bound_s", r->bound_s, 0);
    put_number(t, "ranks", r->ranks, 1);
    sunup__text(t, "}\n");
}

static void put_run(struct text *t, const struct track_run *run)
{
    sunup__text(t, "{\"sunup_track\":1,\"id\":");
    put_string(t, run->id);
    sunup__text(t, ",\"at\":%lld,\"facts\":{", (long long)run->at);
    for (int i = 0; i < run->n_facts; i++) {
        if (i > 0) sunup__text(t, ",");
        put_string(t, run->facts[i].key);
        sunup__text(t, ":");
        put_string(t, run->facts[i].value);
    }
    sunup__text(t, "}}\n");
    for (int i = 0; i < run->n_rows; i++) put_row(t, &run->rows[i]);
    sunup__text(t, "{\"end\":%d}\n", run->n_rows);
}

/* "20261128T195302Z-node17-4711-0" */
static void make_id(const struct track_run *run, char *id, size_t room)
{
    static atomic_int count;
    char host[64] = "host", date[32];
    struct tm tm;
    const time_t at = (time_t)run->at;
    (void)gethostname(host, sizeof host - 1);
    for (char *h = host; *h != '\0'; h++)
        if (*h == '/' || *h == '.') *h = '_';
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", gmtime_r(&at, &tm));
    (void)snprintf(id, room, "%s-%s-%d-%d", date, host, (int)getpid(), atomic_fetch_add(&count, 1));
}

static sunup_status write_as(sunup_context *ctx, const char *path, const struct track_run *run)
{
    struct text t = {0};
    CHECK(!sunup__file_exists(path), ctx, E_FILE, "%s: there is such a record already", path);
    put_run(&t, run);
    CHECK(t.s != NULL, ctx, E_MEMORY, "%s: no memory for its %d rows", path, run->n_rows);
    const sunup_status status = sunup__file_write(ctx, path, t.s, t.n);
    sunup__free(t.s);
    return status;
}

sunup_status sunup__track_write(sunup_context *ctx, const char *folder, struct track_run *run)
{
    char id[160];
    struct text path = {0};
    if (run->id == NULL || run->id[0] == '\0') {
        make_id(run, id, sizeof id);
        run->id = id;
    }
    CHECK(strchr(run->id, '/') == NULL, ctx, E_ARGUMENT, "run '%s': the name of a record has no '/'",
          run->id);
    sunup__text(&path, "%s/%s.jsonl", folder, run->id);
    CHECK(path.s != NULL, ctx, E_MEMORY, "%s: no memory for a path", folder);
    sunup_status status = sunup__make_folder(ctx, folder);
    if (status == SUNUP_OK) status = write_as(ctx, path.s, run);
    sunup__free(path.s);
    if (run->id == id) run->id = "";
    return status;
}
