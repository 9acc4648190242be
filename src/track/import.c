/* import.c - the formats, how each is recognised, and the run that a reader fills or that is
 * dropped.
 *
 * A file is recognised by words that its writer always prints, wherever they stand. The id of an
 * imported run is made of its time, the format and a hash of the text, so that the same file
 * imported twice is the same record, which sunup__track_write refuses the second time. Cost: a
 * search for each word, then the reader's.
 */
#include "track/import.h"

#include <stdio.h>
#include <time.h>

#include "base/words.h"
#include "track/import_read.h"
#include "track/utf8.h"

enum { WORDS_OF = 2 };

static const struct format {
    const char *name;
    const char *words[WORDS_OF]; /* all of them are in the text */
    const char *other[WORDS_OF]; /* or all of these */
    sunup_status (*read)(struct import *im);
} formats[] = {
    {"reframe", {"\"session_info\"", "\"testcases\""}, {NULL}, sunup__import_reframe},
    {"pytest-benchmark", {"\"machine_info\"", "\"benchmarks\""}, {NULL}, sunup__import_pytest},
    {"google-benchmark", {"\"context\"", "\"benchmarks\""}, {NULL}, sunup__import_google},
    {"nccl-tests", {"\"nccl_version\"", "\"results\""}, {NULL}, sunup__import_nccl},
    {"mllog", {":::MLLOG"}, {NULL}, sunup__import_mllog},
    {"benchdnn", {"Output template: "}, {"Template entries: "}, sunup__import_benchdnn},
    {"osu", {"# OSU "}, {NULL}, sunup__import_osu},
    {"oneccl", {"#ranks,collective,reduction"}, {"# Benchmarking: ", "t_avg[usec]"}, sunup__import_oneccl},
    {"csv", {NULL}, {NULL}, sunup__import_csv}, /* recognised by a map of its columns */
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

const char *const *sunup__track_formats(void)
{
    static const char *names[FORMATS + 1];
    for (int i = 0; i < FORMATS; i++) names[i] = formats[i].name;
    return names;
}

/* --------------------------------------------------------------------- which format --- */

static bool has_all(struct slice text, const char *const words[WORDS_OF])
{
    for (int i = 0; i < WORDS_OF && words[i] != NULL; i++)
        if (sunup__slice_find(text, words[i]) == NULL) return false;
    return words[0] != NULL;
}

static const struct format *recognised(const struct import *im)
{
    if (im->o->columns != NULL) return &formats[FORMATS - 1];
    for (int i = 0; i < FORMATS; i++)
        if (has_all(im->rest, formats[i].words) || has_all(im->rest, formats[i].other)) return &formats[i];
    return NULL;
}

static sunup_status by_name(const struct import *im, const struct format **f)
{
    char hint[HINT_TEXT];
    for (int i = 0; i < FORMATS; i++)
        if (strcmp(formats[i].name, im->o->format) == 0) *f = &formats[i];
    CHECK(*f != NULL, im->ctx, E_ARGUMENT, "there is no format '%s' to import%s", im->o->format,
          sunup__hint(hint, im->o->format, FORMATS, sunup__track_formats()));
    CHECK(im->o->columns == NULL || (*f)->read == sunup__import_csv, im->ctx, E_ARGUMENT,
          "columns are mapped in the format csv, not in %s", (*f)->name);
    return SUNUP_OK;
}

static sunup_status find_format(const struct import *im, const struct format **f)
{
    *f = NULL;
    if (im->o->format != NULL) return by_name(im, f);
    *f = recognised(im);
    if (*f != NULL) return SUNUP_OK;
    struct text names = {0};
    for (int i = 0; i < FORMATS; i++) sunup__text(&names, "%s%s", i > 0 ? ", " : "", formats[i].name);
    const sunup_status status = sunup__import_refuse(
        im, "this is none of the known formats (%s); name one, or map the columns of a table",
        names.s != NULL ? names.s : "");
    sunup__free(names.s);
    return status;
}

/* -------------------------------------------------------------------- the whole text --- */

static sunup_status check_text(struct import *im)
{
    if (sunup__slice_begins(im->rest, "\xef\xbb\xbf"))
        im->rest = sunup__slice_after(im->rest, im->rest.s + 3);
    struct slice s = im->rest;
    im->line = 1;
    while (s.n > 0) {
        uint32_t point;
        const int n = sunup__utf8(s.s, s.n, &point);
        EXPECT(n > 0 && point > 0, im, "byte 0x%02x is not UTF-8 text; convert the file (iconv -t UTF-8)",
               (unsigned)(unsigned char)s.s[0]);
        im->line += *s.s == '\n';
        s = sunup__slice_after(s, s.s + n);
    }
    im->line = 0;
    return SUNUP_OK;
}

/* --------------------------------------------------------------------------- the run --- */

static sunup_status name_run(struct import *im, const char *format, uint64_t hash, int64_t at)
{
    char id[96], date[32];
    struct tm tm;
    const time_t when = (time_t)at;
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", gmtime_r(&when, &tm));
    (void)snprintf(id, sizeof id, "%s-%s-%016llx", date, format, (unsigned long long)hash);
    im->run->at = at;
    im->run->id = sunup__track_intern(im->h, id);
    CHECK(im->run->id != NULL, im->ctx, E_MEMORY, "%s: no memory for a run", im->path);
    return SUNUP_OK;
}

static sunup_status read_run(struct import *im, int64_t at)
{
    const struct format *f;
    const uint64_t hash = sunup__track_hash(im->rest.s, im->rest.n);
    TRY(check_text(im));
    TRY(find_format(im, &f));
    TRY(sunup__import_fact(im, "format", f->name));
    TRY(f->read(im));
    im->line = 0;
    EXPECT(im->run->n_rows > 0, im, "there is no measurement in it (read as %s)", f->name);
    EXPECT(at > 0 || im->at > 0, im, "%s has no time of its own: say when it was measured", f->name);
    return name_run(im, f->name, hash, at > 0 ? at : im->at);
}

/* Its strings and numbers stay in the history's arena. */
static void drop_run(struct track_history *h)
{
    struct track_run *last = &h->runs[--h->n_runs];
    sunup__free(last->facts);
    sunup__free(last->rows);
}

sunup_status sunup__track_import(sunup_context *ctx, const char *path, const char *text, size_t bytes,
                                 const struct track_import *o, int64_t at, struct track_history *h)
{
    struct import im = {.ctx = ctx, .path = path, .o = o, .h = h, .rest = {text, bytes}};
    im.run = sunup__track_add_run(h, "", 0);
    CHECK(im.run != NULL, ctx, E_MEMORY, "%s: no memory for a run", path);
    im.run->path = sunup__track_intern(h, path);
    const sunup_status status = im.run->path != NULL ? read_run(&im, at) : SUNUP_E_MEMORY;
    sunup__free(im.index);
    if (status != SUNUP_OK) drop_run(h);
    return status;
}
