/* import_benchdnn.c - oneDNN's benchdnn in performance mode: its default report, csv, and custom
 * --perf-template.
 *
 * benchdnn prints the template that it reports by, "Output template: perf,%engine%,%impl%,...", and
 * this reader matches each line against it: from the left up to the problem, which may hold the
 * separators itself, and from the right back to it. Milliseconds, kilo, mega and giga become SI;
 * rates that follow from time, operations and bytes are left out where a time is there. A line that
 * begins as the template does must match; other lines are passed over, except that "N:FAILED ...
 * __REPRO: problem" is an outcome. Newer versions print "Template entries: " and a line of names
 * instead.
 */
#include <ctype.h>
#include <stdio.h>

#include "base/words.h"
#include "track/import_read.h"

enum { MOST_ENTRIES = 48, LONGEST = 4096 /* template */ };

enum what {
    TEXT,
    PROBLEM,
    DESCRIPTION,
    NAME,
    IMPL,
    ENGINE,
    TIME,
    CREATE,
    FLOPS,
    OPS,
    BANDWIDTH,
    BYTES,
    NUMBER
};

static const struct option {
    const char *name;
    enum what what;
} options[] = {
    {"prb", PROBLEM},   {"desc", DESCRIPTION}, {"DESC", DESCRIPTION}, {"name", NAME},
    {"impl", IMPL},     {"engine", ENGINE},    {"time", TIME},        {"ctime", CREATE},
    {"cptime", CREATE}, {"cpdtime", CREATE},   {"flops", FLOPS},      {"ops", OPS},
    {"bw", BANDWIDTH},  {"ibytes", BYTES},     {"obytes", BYTES},     {"iobytes", BYTES},
    {"clocks", NUMBER}, {"freq", NUMBER},      {"idx", NUMBER},       {"alg", TEXT},
    {"cfg", TEXT},      {"flags", TEXT},       {"activation", TEXT},  {"direction", TEXT},
    {"attr", TEXT},     {"axis", TEXT},        {"dir", TEXT},         {"dt", TEXT},
    {"group", TEXT},    {"sdt", TEXT},         {"stag", TEXT},        {"mb", TEXT},
    {"ddt", TEXT},      {"dtag", TEXT},        {"prop", TEXT},        {"tag", TEXT},
    {"stat_tag", TEXT}, {"wtag", TEXT},        {"ctx-init", TEXT},    {"ctx-exe", TEXT},
    {"driver", TEXT},
};
enum { OPTIONS = sizeof options / sizeof options[0] };

struct entry {
    const struct option *option;
    char mode; /* '-', '0', '+', or 0 */
    double unit;
    struct slice before; /* what stands between it and the one before */
    struct slice value;  /* of the line that is read */
};

struct benchdnn {
    struct import *im;
    int n, wide; /* entries; the one that may hold separators */
    bool timed, names_follow;
    struct entry entry[MOST_ENTRIES];
    struct slice tail; /* behind the last */
};

/* ------------------------------------------------------------------------- template --- */

/* "%-Gflops%" from behind its first percent sign; s is what follows the second. */
static sunup_status read_entry(const struct benchdnn *r, struct slice *s, struct entry *e)
{
    static const char prefixes[] = "KMG";
    static const double factors[] = {1e3, 1e6, 1e9};
    const char *names[OPTIONS], *at;
    char word[64], hint[HINT_TEXT];
    const char *end = memchr(s->s, '%', s->n);
    EXPECT(end != NULL, r->im, "an option of the template has no second %%");
    struct slice name = {s->s, (size_t)(end - s->s)};
    *s = sunup__slice_after(*s, end + 1);
    if (name.n > 0 && memchr("-0+", name.s[0], 3) != NULL) {
        e->mode = name.s[0];
        name = sunup__slice_after(name, name.s + 1);
    }
    e->unit = 1;
    if (name.n > 0 && (at = memchr(prefixes, name.s[0], 3)) != NULL) {
        e->unit = factors[at - prefixes];
        name = sunup__slice_after(name, name.s + 1);
    }
    for (int i = 0; i < OPTIONS; i++) {
        names[i] = options[i].name;
        if (sunup__slice_is(name, names[i])) e->option = &options[i];
    }
    (void)snprintf(word, sizeof word, "%.*s", SHOWN(name));
    EXPECT(e->option != NULL, r->im, "the template has an option '%s' that is unknown%s", word,
           sunup__hint(hint, word, OPTIONS, names));
    return SUNUP_OK;
}

/* The problem holds separators sooner than its description, and that sooner than others. */
static int widest(const struct benchdnn *r)
{
    static const enum what order[] = {PROBLEM, DESCRIPTION, NAME};
    for (size_t o = 0; o < sizeof order / sizeof order[0]; o++)
        for (int i = 0; i < r->n; i++)
            if (r->entry[i].option->what == order[o]) return i;
    return -1;
}

static sunup_status read_template(struct benchdnn *r, struct slice s)
{
    r->timed = false;
    EXPECT(s.n <= LONGEST, r->im, "the template has more than %d letters", LONGEST);
    for (r->n = 0;; r->n++) {
        const char *percent = memchr(s.s, '%', s.n);
        if (percent == NULL) break;
        EXPECT(r->n < MOST_ENTRIES, r->im, "the template has more than %d options", MOST_ENTRIES);
        struct entry *e = &r->entry[r->n];
        *e = (struct entry){.before = {s.s, (size_t)(percent - s.s)}};
        s = sunup__slice_after(s, percent + 1);
        TRY(read_entry(r, &s, e));
        EXPECT(r->n == 0 || e->before.n > 0, r->im,
               "nothing stands between options %d and %d of the template", r->n, r->n + 1);
        r->timed = r->timed || e->option->what == TIME;
    }
    r->tail = s;
    r->wide = widest(r);
    EXPECT(r->wide >= 0, r->im, "the template names no problem: %%prb%%, %%desc%% or %%name%%");
    return SUNUP_OK;
}

/* ------------------------------------------------------------------- a line against it --- */

static const char *find_last(struct slice s, struct slice what)
{
    for (size_t i = s.n; i-- > 0;)
        if (s.n - i >= what.n && memcmp(s.s + i, what.s, what.n) == 0) return s.s + i;
    return NULL;
}

static bool ends_with(struct slice *s, struct slice end)
{
    if (s->n < end.n || memcmp(s->s + s->n - end.n, end.s, end.n) != 0) return false;
    s->n -= end.n;
    return true;
}

/* From the left: each value ends where the next literal begins. */
static bool match_left(struct benchdnn *r, struct slice *s)
{
    for (int i = 0; i < r->wide; i++) {
        const struct slice next = r->entry[i + 1].before;
        const char *end = memmem(s->s, s->n, next.s, next.n);
        if (end == NULL) return false;
        r->entry[i].value = (struct slice){s->s, (size_t)(end - s->s)};
        *s = sunup__slice_after(*s, end + next.n);
    }
    return true;
}

static bool match(struct benchdnn *r, struct slice s)
{
    const struct slice first = r->entry[0].before;
    if (s.n < first.n || memcmp(s.s, first.s, first.n) != 0 || !ends_with(&s, r->tail)) return false;
    if (s.n < first.n) return false;
    s = sunup__slice_after(s, s.s + first.n);
    if (!match_left(r, &s)) return false;
    for (int i = r->n - 1; i > r->wide; i--) {
        const char *at = find_last(s, r->entry[i].before);
        if (at == NULL) return false;
        r->entry[i].value = sunup__slice_after(s, at + r->entry[i].before.n);
        s.n = (size_t)(at - s.s);
    }
    r->entry[r->wide].value = s;
    for (int i = 0; i < r->n; i++) {
        double x;
        if (r->entry[i].option->what >= TIME && !sunup__slice_number(r->entry[i].value, &x)) return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------- rows --- */

static const char *with_mode(const char *quantity, char mode, char room[32])
{
    const char *suffix = mode == '+' ? "_max" : mode == '0' ? "" : "_min";
    (void)snprintf(room, 32, "%s%s", quantity, suffix);
    return room;
}

static sunup_status add(const struct benchdnn *r, const struct entry *e, const struct track_row *like)
{
    char quantity[32];
    double x = 0;
    struct track_row row = *like;
    const enum what what = e->option->what;
    if ((what == FLOPS || what == BANDWIDTH) && r->timed) return SUNUP_OK;
    (void)sunup__slice_number(e->value, &x);
    x *= e->unit;
    if (what == TIME || what == CREATE) {
        x *= 1e-3;
        row.unit = "s";
        row.quantity = what == TIME     ? with_mode("time", e->mode, quantity)
                       : e->mode == '-' ? "create_time_cached"
                                        : "create_time";
    } else if (what == FLOPS || what == BANDWIDTH) {
        row.unit = what == FLOPS ? "flop/s" : "B/s";
        row.better = TRACK_MORE;
        row.quantity =
            with_mode(what == FLOPS ? "speed" : "bandwidth", e->mode == '-' ? '+' : e->mode, quantity);
    } else {
        return SUNUP_OK;
    }
    return sunup__import_sample(r->im, &row, x);
}

/* Both directions' bytes and the operations, which all rows of the problem have. */
static void add_sizes(const struct benchdnn *r, struct track_row *row)
{
    for (int i = 0; i < r->n; i++) {
        double x = 0;
        const struct entry *e = &r->entry[i];
        (void)sunup__slice_number(e->value, &x);
        if (e->option->what == OPS) row->flops = x * e->unit;
        if (e->option->what == BYTES) row->bytes += x * e->unit;
    }
}

static sunup_status add_words(struct benchdnn *r, const struct track_row *like)
{
    for (int i = 0; i < r->n; i++) {
        const struct entry *e = &r->entry[i];
        struct track_row row = *like;
        const char *word;
        if (e->option->what != IMPL && e->option->what != ENGINE) continue;
        TRY(sunup__import_intern(r->im, e->value.s, e->value.n, &word));
        if (e->option->what == ENGINE) TRY(sunup__import_fact(r->im, "device", word));
        if (e->option->what == ENGINE || word[0] == '\0') continue;
        row.kind = TRACK_WORD;
        row.quantity = "implementation";
        row.word = word;
        row.better = TRACK_NEITHER;
        TRY(sunup__import_once(r->im, &row));
    }
    return SUNUP_OK;
}

static sunup_status read_row(struct benchdnn *r)
{
    const char *name;
    const struct slice problem = sunup__slice_trim(r->entry[r->wide].value);
    EXPECT(problem.n > 0, r->im, "a problem without a name");
    TRY(sunup__import_benchdnn_name(r->im, problem, &name));
    struct track_row row = sunup__import_row(r->im, TRACK_SAMPLES, name, "", "");
    add_sizes(r, &row);
    for (int i = 0; i < r->n; i++) TRY(add(r, &r->entry[i], &row));
    TRY(add_words(r, &row));
    row = sunup__import_row(r->im, TRACK_OUTCOME, name, "outcome", "");
    return sunup__import_outcome(r->im, &row, TRACK_OK, "");
}

/* "12:UNIMPLEMENTED (reason) __REPRO: --conv ..." */
static sunup_status read_failure(struct benchdnn *r, struct slice line)
{
    static const char *const words[] = {"FAILED", "UNIMPLEMENTED", "INVALID_ARGUMENTS", "UNTESTED"};
    const char *repro = sunup__slice_find(line, "__REPRO: "), *name;
    const char *colon = memchr(line.s, ':', line.n);
    if (repro == NULL || colon == NULL || !isdigit((unsigned char)line.s[0])) return SUNUP_OK;
    const struct slice word = sunup__slice_after(line, colon + 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!sunup__slice_begins(word, words[i])) continue;
        TRY(sunup__import_benchdnn_name(r->im, sunup__slice_after(line, repro + strlen("__REPRO: ")), &name));
        const struct track_row row = sunup__import_row(r->im, TRACK_OUTCOME, name, "outcome", "");
        return sunup__import_outcome(r->im, &row, i == 0 ? TRACK_MISMATCH : TRACK_CRASH, words[i]);
    }
    return SUNUP_OK;
}

static sunup_status read_line(struct benchdnn *r, struct slice line)
{
    static const char *const heads[] = {"Output template: ", "Template entries: "};
    for (int i = 0; i < 2; i++) {
        if (!sunup__slice_begins(line, heads[i])) continue;
        r->names_follow = i == 1;
        return read_template(r, sunup__slice_after(line, line.s + strlen(heads[i])));
    }
    if (r->names_follow) { /* the template once more, without its percent signs */
        r->names_follow = false;
        return SUNUP_OK;
    }
    if (r->n > 0 && match(r, line)) return read_row(r);
    const struct slice first = r->n > 0 ? r->entry[0].before : sunup__slice("perf,");
    const bool reported = first.n > 0 && line.n >= first.n && memcmp(line.s, first.s, first.n) == 0;
    EXPECT(!reported || r->n > 0, r->im, "a report before its template (\"Output template: ...\")");
    EXPECT(!reported, r->im, "the report does not match its template");
    return read_failure(r, line);
}

sunup_status sunup__import_benchdnn(struct import *im)
{
    struct benchdnn r = {.im = im};
    struct slice line;
    TRY(sunup__import_whole(im));
    TRY(sunup__import_origin(im, "benchdnn", "oneDNN"));
    while (sunup__import_line(im, &line)) TRY(read_line(&r, line));
    return SUNUP_OK;
}
