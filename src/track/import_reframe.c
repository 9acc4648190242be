/* import_reframe.c - a run report of ReFrame 4 (--report-file): performance variables, and how each
 * test ended.
 *
 * A test is named as ReFrame names it, "name @system:partition+environ". Runs of one session are
 * retries or repeats: their values are samples of one row, and a test that failed and then passed
 * is flaky. A test that missed its reference differs from what it must be, as one that failed its
 * sanity check does; any other failure is a crash, one of the scheduler is the infrastructure's,
 * and one that ran out of time is told by its words. A skipped test is no row. Up to 4.6
 * performance variables are a list of objects, later an object of lists.
 */
#include <math.h>
#include <stdio.h>

#include "base/words.h"
#include "track/import_read.h"

struct reframe {
    struct import *im;
    char name[256];
    int ranks;
};

/* -------------------------------------------------------------- performance variables --- */

/* Which way is better, of a unit that does not say: from the side of the reference that is guarded. */
static enum track_better guarded(const json_t *lower, const json_t *upper)
{
    if (json_is_number(lower) && !json_is_number(upper)) return TRACK_MORE;
    if (json_is_number(upper) && !json_is_number(lower)) return TRACK_LESS;
    return TRACK_NEITHER;
}

static sunup_status add_value(struct reframe *r, const char *quantity, const json_t *value, const char *unit,
                              enum track_better side)
{
    const struct import_unit u = sunup__import_unit(unit);
    if (value == NULL || json_is_null(value)) return SUNUP_OK; /* it could not be read from the output */
    EXPECT(json_is_number(value), r->im, "%.60s of %.100s is no number", quantity, r->name);
    struct track_row row = sunup__import_row(r->im, TRACK_SAMPLES, r->name, quantity, u.si);
    row.better = u.better == TRACK_NEITHER ? side : u.better;
    row.ranks = r->ranks;
    return sunup__import_sample(r->im, &row, u.factor * json_number_value(value));
}

/* "system:partition:variable": [value, reference, lower, upper, unit, result] */
static sunup_status read_values(struct reframe *r, json_t *values)
{
    const char *key;
    json_t *v;
    json_object_foreach(values, key, v)
    {
        const char *colon = strrchr(key, ':');
        const char *unit = json_string_value(json_array_get(v, 4));
        EXPECT(json_array_size(v) >= 5, r->im, "%.60s of %.100s is no list of five", key, r->name);
        TRY(add_value(r, colon != NULL ? colon + 1 : key, json_array_get(v, 0), unit != NULL ? unit : "",
                      guarded(json_array_get(v, 2), json_array_get(v, 3))));
    }
    return SUNUP_OK;
}

static sunup_status read_variables(struct reframe *r, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        const char *quantity = sunup__import_word(v, "name");
        EXPECT(quantity[0] != '\0', r->im, "a performance variable of %.100s has no name", r->name);
        TRY(add_value(r, quantity, json_object_get(v, "value"), sunup__import_word(v, "unit"),
                      guarded(json_object_get(v, "thres_lower"), json_object_get(v, "thres_upper"))));
    }
    return SUNUP_OK;
}

/* ---------------------------------------------------------------------------- outcomes --- */

static enum track_outcome failure(const json_t *test)
{
    const char *phase = sunup__import_word(test, "fail_phase"),
               *why = sunup__import_word(test, "fail_reason");
    const char *type = sunup__import_word(json_object_get(test, "fail_info"), "exc_type");
    if (strstr(why, "time limit") != NULL || strstr(why, "timed out") != NULL ||
        strstr(why, "timeout") != NULL)
        return TRACK_WALLTIME;
    if (strcmp(type, "JobSchedulerError") == 0) return TRACK_INFRASTRUCTURE;
    return strcmp(phase, "sanity") == 0 || strcmp(phase, "performance") == 0 ? TRACK_MISMATCH : TRACK_CRASH;
}

/* *counts false: it did not run. */
static sunup_status read_result(const struct reframe *r, const json_t *test, enum track_outcome *o,
                                bool *counts)
{
    static const char *const words[] = {"pass",  "success", "xfail", "xpass",   "fail",      "failure",
                                        "abort", "aborted", "skip",  "skipped", "fail_deps", "<unknown>"};
    enum { GOOD = 4, BAD = 6, ABORTED = 8, WORDS = sizeof words / sizeof words[0] };
    char hint[HINT_TEXT];
    const char *result = sunup__import_word(test, "result");
    int i = 0;
    while (i < WORDS && strcmp(words[i], result) != 0) i++;
    EXPECT(i < WORDS, r->im, "result '%.40s' of %.100s is unknown%s", result, r->name,
           sunup__hint(hint, result, WORDS, words));
    *o = i < GOOD ? TRACK_OK : i < BAD ? failure(test) : TRACK_INFRASTRUCTURE;
    *counts = i < ABORTED;
    return SUNUP_OK;
}

static sunup_status count_result(struct reframe *r, const json_t *test)
{
    enum track_outcome o = TRACK_OK;
    bool counts = false;
    struct track_row row = sunup__import_row(r->im, TRACK_OUTCOME, r->name, "outcome", "");
    row.ranks = r->ranks;
    TRY(read_result(r, test, &o, &counts));
    TRY(sunup__import_number(r->im, test, "time_total", &row.seconds));
    return counts ? sunup__import_outcome(r->im, &row, o, sunup__import_word(test, "fail_reason")) : SUNUP_OK;
}

/* ------------------------------------------------------------------------- the report --- */

static sunup_status read_test(struct reframe *r, const json_t *test)
{
    double ranks = 0;
    const char *name = sunup__import_word(test, "name");
    EXPECT(name[0] != '\0', r->im, "a test has no name");
    (void)snprintf(r->name, sizeof r->name, "%.120s @%.40s:%.40s+%.40s", name,
                   sunup__import_word(test, "system"), sunup__import_word(test, "partition"),
                   sunup__import_word(test, "environ"));
    TRY(sunup__import_number(r->im, test, "num_tasks", &ranks));
    EXPECT(ranks >= 0 && ranks <= 1e8, r->im, "%.100s has %g tasks", r->name, ranks);
    r->ranks = (int)ranks;
    TRY(sunup__import_fact(r->im, "machine", sunup__import_word(test, "system")));
    TRY(read_values(r, json_object_get(test, "perfvalues")));
    TRY(read_variables(r, json_object_get(test, "perfvars")));
    return count_result(r, test);
}

static sunup_status read_session(struct import *im, const json_t *s)
{
    double unix_s = 0;
    const char *start = sunup__import_word(s, "time_start");
    TRY(sunup__import_origin(im, "reframe", "ReFrame"));
    TRY(sunup__import_fact(im, "host", sunup__import_word(s, "hostname")));
    TRY(sunup__import_fact(im, "reframe", sunup__import_word(s, "version")));
    TRY(sunup__import_number(im, s, "time_start_unix", &unix_s));
    EXPECT(unix_s >= 0 && unix_s < 1e12, im, "time_start_unix %g is no time", unix_s);
    im->at = (int64_t)unix_s;
    EXPECT(im->at > 0 || start[0] == '\0' || sunup__import_time(start, &im->at), im, "'%.40s' is no time",
           start);
    return SUNUP_OK;
}

static sunup_status read_root(struct import *im, const json_t *root)
{
    struct reframe r = {.im = im};
    const json_t *runs = json_object_get(root, "runs");
    EXPECT(json_is_array(runs), im, "\"runs\" is no list");
    TRY(read_session(im, json_object_get(root, "session_info")));
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *tests = json_object_get(json_array_get(runs, i), "testcases");
        EXPECT(json_is_array(tests), im, "\"testcases\" of run %zu are no list", i);
        for (size_t k = 0; k < json_array_size(tests); k++) TRY(read_test(&r, json_array_get(tests, k)));
    }
    return SUNUP_OK;
}

sunup_status sunup__import_reframe(struct import *im)
{
    return sunup__import_json(im, read_root);
}
