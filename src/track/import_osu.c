/* import_osu.c - text of the OSU Micro-Benchmarks (3 to 7): latency, bandwidth, collectives, one
 * table a test.
 *
 * A test begins with "# OSU MPI... Test vN"; its columns stand in a line of their own, with -f the
 * least and largest over the ranks among them. MPI's own output around the tables is passed over, a
 * line of a table with a number too few is not. Megabytes are 10^6 bytes. Iterations say how a mean
 * was made and are no measurement. OSU prints no number of ranks: two for tests between two, twice
 * the pairs it tells, else unknown. Several tests in one file are one run.
 */
#include <ctype.h>
#include <stdio.h>

#include "base/words.h"
#include "track/import_read.h"

enum { MOST_COLUMNS = 24 };

static const struct known {
    const char *title, *quantity; /* quantity NULL: no measurement */
    const char *unit;
    double factor;
    enum track_better better;
} known[] = {
    {"Size", NULL, "B", 1, TRACK_NEITHER},
    {"Avg Latency(us)", "time", "s", 1e-6, TRACK_LESS},
    {"Avg Lat(us)", "time", "s", 1e-6, TRACK_LESS},
    {"Latency (us)", "time", "s", 1e-6, TRACK_LESS},
    {"Latency(us)", "time", "s", 1e-6, TRACK_LESS},
    {"Overall(us)", "time", "s", 1e-6, TRACK_LESS},
    {"Min Latency(us)", "time_min", "s", 1e-6, TRACK_LESS},
    {"Min Lat(us)", "time_min", "s", 1e-6, TRACK_LESS},
    {"Max Latency(us)", "time_max", "s", 1e-6, TRACK_LESS},
    {"Max Lat(us)", "time_max", "s", 1e-6, TRACK_LESS},
    {"Bandwidth (MB/s)", "bandwidth", "B/s", 1e6, TRACK_MORE},
    {"MB/s", "bandwidth", "B/s", 1e6, TRACK_MORE},
    {"Messages/s", "message_rate", "1/s", 1, TRACK_MORE},
    {"Compute(us)", "compute_time", "s", 1e-6, TRACK_NEITHER},
    {"Coll. Init(us)", "init_time", "s", 1e-6, TRACK_LESS},
    {"MPI_Test(us)", "test_time", "s", 1e-6, TRACK_LESS},
    {"MPI_Wait(us)", "wait_time", "s", 1e-6, TRACK_LESS},
    {"Pure Comm.(us)", "communication_time", "s", 1e-6, TRACK_LESS},
    {"Min Comm.(us)", "communication_time_min", "s", 1e-6, TRACK_LESS},
    {"Max Comm.(us)", "communication_time_max", "s", 1e-6, TRACK_LESS},
    {"Overlap(%)", "overlap", "", 1e-2, TRACK_MORE},
    {"P50 Tail Lat(us)", "time_p50", "s", 1e-6, TRACK_LESS},
    {"P90 Tail Lat(us)", "time_p90", "s", 1e-6, TRACK_LESS},
    {"P95 Tail Lat(us)", "time_p95", "s", 1e-6, TRACK_LESS},
    {"P99 Tail Lat(us)", "time_p99", "s", 1e-6, TRACK_LESS},
    {"P50 Tail BW(MB/s)", "bandwidth_p50", "B/s", 1e6, TRACK_MORE},
    {"P90 Tail BW(MB/s)", "bandwidth_p90", "B/s", 1e6, TRACK_MORE},
    {"P95 Tail BW(MB/s)", "bandwidth_p95", "B/s", 1e6, TRACK_MORE},
    {"P99 Tail BW(MB/s)", "bandwidth_p99", "B/s", 1e6, TRACK_MORE},
    {"Iterations", NULL, "", 1, TRACK_NEITHER},
    {"Transmit Size", NULL, "", 1, TRACK_NEITHER},
    {"Validation", "outcome", "", 1, TRACK_NEITHER},
};
enum { KNOWN = sizeof known / sizeof known[0] };

struct osu {
    struct import *im;
    char test[64]; /* "Allreduce", "Bandwidth" */
    char dtype[32];
    int ranks, n_columns; /* n_columns 0: before a table */
    const struct known *columns[MOST_COLUMNS];
};

/* --------------------------------------------------------------------------- heads --- */

/* "# OSU MPI-CUDA Allreduce Latency Test v7.4": what is between the two. */
static sunup_status read_title(struct osu *r, struct slice line)
{
    const char *end = sunup__slice_find(line, " Test");
    struct slice s = sunup__slice_after(line, line.s + strlen("# OSU "));
    EXPECT(end != NULL && end >= s.s, r->im, "the name of a test ends with \"Test\"");
    const struct slice version = sunup__slice_after(line, end + strlen(" Test"));
    s.n = (size_t)(end - s.s);
    const char *blank = sunup__slice_begins(s, "MPI_") ? NULL : sunup__slice_find(s, " ");
    if (blank != NULL) s = sunup__slice_after(s, blank + 1); /* the engine's name */
    const bool nonblocking = sunup__slice_begins(s, "Non-blocking ");
    if (nonblocking) s = sunup__slice_after(s, s.s + strlen("Non-blocking "));
    const struct slice latency = sunup__slice(" Latency");
    if (s.n > latency.n && sunup__slice_is(sunup__slice_after(s, s.s + s.n - latency.n), latency.s))
        s.n -= latency.n;
    (void)snprintf(r->test, sizeof r->test, "%s%.*s", nonblocking ? "i" : "", SHOWN(s));
    r->n_columns = 0;
    r->dtype[0] = '\0';
    r->ranks = strcmp(r->test, "Latency") == 0 || strcmp(r->test, "Bandwidth") == 0 ||
                       strcmp(r->test, "Bi-Directional Bandwidth") == 0
                   ? 2
                   : 0;
    char text[64];
    (void)snprintf(text, sizeof text, "%.*s", SHOWN(sunup__slice_trim(version)));
    return sunup__import_fact(r->im, "osu", text[0] == 'v' ? text + 1 : text);
}

static const struct known *column_at(struct slice s)
{
    for (int i = 0; i < KNOWN; i++)
        if (sunup__slice_begins(s, known[i].title)) return &known[i];
    return NULL;
}

static sunup_status unknown_column(const struct osu *r, struct slice s)
{
    const char *titles[KNOWN];
    char word[64], hint[HINT_TEXT];
    for (int i = 0; i < KNOWN; i++) titles[i] = known[i].title;
    size_t n = 0;
    while (n + 1 < s.n && !(s.s[n] == ' ' && s.s[n + 1] == ' ')) n++;
    s.n = n + 1 < s.n ? n : s.n;
    (void)snprintf(word, sizeof word, "%.*s", SHOWN(s));
    REFUSE(r->im, "the column '%s' is unknown%s", word, sunup__hint(hint, word, KNOWN, titles));
}

/* "Size       Avg Latency(us)": names have blanks of their own, so that only known ones can be told
 * apart. */
static sunup_status read_columns(struct osu *r, struct slice s)
{
    EXPECT(r->test[0] != '\0', r->im, "a table without the name of its test");
    for (r->n_columns = 0; s.n > 0; r->n_columns++) {
        const struct known *c = column_at(s);
        if (c == NULL) return unknown_column(r, s);
        EXPECT(r->n_columns < MOST_COLUMNS, r->im, "there are more than %d columns", MOST_COLUMNS);
        r->columns[r->n_columns] = c;
        s = sunup__slice_trim(sunup__slice_after(s, s.s + strlen(c->title)));
    }
    return SUNUP_OK;
}

/* "# Datatype: MPI_INT.", "# [ pairs: 15 ] [ window size: 64 ]" */
static sunup_status read_remark(struct osu *r, struct slice s)
{
    double pairs;
    if (sunup__slice_begins(s, "Datatype: ")) {
        s = sunup__slice_after(s, s.s + strlen("Datatype: "));
        if (s.n > 0 && s.s[s.n - 1] == '.') s.n--;
        (void)snprintf(r->dtype, sizeof r->dtype, "%.*s", s.n < sizeof r->dtype ? (int)s.n : 0, s.s);
    } else if (sunup__slice_begins(s, "[ pairs: ")) {
        s = sunup__slice_after(s, s.s + strlen("[ pairs: "));
        EXPECT(sunup__slice_number(sunup__slice_word(&s), &pairs) && pairs >= 0 && pairs < 1e8, r->im,
               "the number of pairs is no number");
        r->ranks = 2 * (int)pairs;
    }
    return SUNUP_OK;
}

/* -------------------------------------------------------------------------- tables --- */

static sunup_status add_cell(struct osu *r, const struct known *c, struct slice word,
                             const struct track_row *like)
{
    double x;
    struct track_row row = *like;
    if (c->quantity != NULL && strcmp(c->quantity, "outcome") == 0) {
        const bool failed = sunup__slice_is(word, "Fail");
        row.kind = TRACK_OUTCOME;
        row.quantity = "outcome";
        EXPECT(failed || sunup__slice_is(word, "Pass"), r->im, "a validation is Pass or Fail, not '%.*s'",
               SHOWN(word));
        return sunup__import_outcome(r->im, &row, failed ? TRACK_MISMATCH : TRACK_OK,
                                     failed ? "the data received are wrong" : "");
    }
    EXPECT(sunup__slice_number(word, &x), r->im, "'%.*s' is no number (%s)", SHOWN(word), c->title);
    if (c->quantity == NULL) return SUNUP_OK;
    row.quantity = c->quantity;
    row.unit = c->unit;
    row.better = c->better;
    return sunup__import_sample(r->im, &row, c->factor * x);
}

static sunup_status read_row(struct osu *r, struct slice line)
{
    char name[128];
    struct slice words[MOST_COLUMNS];
    double bytes = -1;
    int n = 0;
    for (struct slice w; n < MOST_COLUMNS && (w = sunup__slice_word(&line)).n > 0;) words[n++] = w;
    EXPECT(n == r->n_columns && sunup__slice_trim(line).n == 0, r->im,
           "%d numbers stand in a table of %d columns", n, r->n_columns);
    const bool sized = strcmp(r->columns[0]->title, "Size") == 0;
    EXPECT(!sized || (sunup__slice_number(words[0], &bytes) && bytes >= 0 && bytes < 1e15), r->im,
           "'%.*s' is no size of a message", SHOWN(words[0]));
    sunup__import_collective(name, sunup__slice(r->test), sunup__slice(r->dtype), bytes);
    struct track_row row = sunup__import_row(r->im, TRACK_SAMPLES, name, "", "");
    row.bytes = sized ? bytes : 0;
    row.ranks = r->ranks;
    for (int i = sized; i < n; i++) TRY(add_cell(r, r->columns[i], words[i], &row));
    return SUNUP_OK;
}

static sunup_status read_line(struct osu *r, struct slice line)
{
    struct slice s = sunup__slice_trim(line);
    if (sunup__slice_begins(line, "# OSU ")) return read_title(r, line);
    const bool remark = sunup__slice_begins(s, "#");
    if (remark) s = sunup__slice_trim(sunup__slice_after(s, s.s + 1));
    if (s.n > 0 && r->test[0] != '\0' && column_at(s) != NULL) return read_columns(r, s);
    if (remark) return read_remark(r, s);
    return r->n_columns > 0 && s.n > 0 && isdigit((unsigned char)s.s[0]) ? read_row(r, line) : SUNUP_OK;
}

sunup_status sunup__import_osu(struct import *im)
{
    struct osu r = {.im = im};
    struct slice line;
    TRY(sunup__import_whole(im));
    TRY(sunup__import_origin(im, "osu", "MPI"));
    while (sunup__import_line(im, &line)) TRY(read_line(&r, line));
    return SUNUP_OK;
}
