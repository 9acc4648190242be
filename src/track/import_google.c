/* import_google.c - Google Benchmark's JSON (--benchmark_format=json, 1.5 and later).
 *
 * Every repetition is a sample of its benchmark. Aggregates are left out where repetitions are
 * there: they follow them directly; where only aggregates were written, the median is the one
 * sample. Counters are quantities of their own. A benchmark that was skipped with an error is an
 * outcome; one that ran is one as well, so that failures have a rate.
 */
#include <math.h>

#include "track/import_read.h"

struct google {
    struct import *im;
    const char *repeated; /* the benchmark whose repetitions were read last */
};

/* Keys that are numbers and no counters. */
static bool is_counter(const char *key)
{
    static const char *const known[] = {"family_index", "per_family_instance_index",
                                        "repetitions",  "repetition_index",
                                        "threads",      "iterations",
                                        "real_time",    "cpu_time"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], key) == 0) return false;
    return true;
}

static sunup_status add_counter(struct google *g, const char *name, const char *key, double value)
{
    struct track_row row = sunup__import_row(g->im, TRACK_SAMPLES, name, key, "");
    row.better = TRACK_NEITHER;
    if (strcmp(key, "bytes_per_second") == 0) {
        row.quantity = "bandwidth";
        row.unit = "B/s";
        row.better = TRACK_MORE;
    } else if (strcmp(key, "items_per_second") == 0) {
        row.unit = "1/s";
        row.better = TRACK_MORE;
    }
    return sunup__import_sample(g->im, &row, value);
}

static sunup_status add_time(struct google *g, const char *name, const json_t *j, const char *key,
                             const char *quantity)
{
    const char *text = sunup__import_word(j, "time_unit");
    const struct import_unit unit = sunup__import_unit(text[0] != '\0' ? text : "ns");
    double time = NAN;
    EXPECT(strcmp(unit.si, "s") == 0, g->im, "'%.20s' is no unit of time (%.60s)", text, name);
    TRY(sunup__import_number(g->im, j, key, &time));
    EXPECT(!isnan(time), g->im, "%s of %.60s is missing", key, name);
    const struct track_row row = sunup__import_row(g->im, TRACK_SAMPLES, name, quantity, "s");
    return sunup__import_sample(g->im, &row, unit.factor * time);
}

static sunup_status add_measured(struct google *g, const char *name, json_t *j)
{
    const char *key;
    json_t *v;
    TRY(add_time(g, name, j, "real_time", "time"));
    TRY(add_time(g, name, j, "cpu_time", "cpu_time"));
    json_object_foreach(j, key, v) if (json_is_number(v) && is_counter(key))
        TRY(add_counter(g, name, key, json_number_value(v)));
    return SUNUP_OK;
}

static sunup_status read_repetition(struct google *g, const char *name, json_t *j)
{
    const struct track_row outcome = sunup__import_row(g->im, TRACK_OUTCOME, name, "outcome", "");
    g->repeated = name;
    if (json_is_true(json_object_get(j, "skipped"))) return SUNUP_OK;
    if (json_is_true(json_object_get(j, "error_occurred")))
        return sunup__import_outcome(g->im, &outcome, TRACK_CRASH, sunup__import_word(j, "error_message"));
    TRY(sunup__import_outcome(g->im, &outcome, TRACK_OK, ""));
    return add_measured(g, name, j);
}

static sunup_status read_benchmark(struct google *g, json_t *j)
{
    const char *run = sunup__import_word(j, "run_name");
    const char *name = run[0] != '\0' ? run : sunup__import_word(j, "name");
    EXPECT(name[0] != '\0', g->im, "a benchmark has no name");
    if (strcmp(sunup__import_word(j, "run_type"), "aggregate") != 0) return read_repetition(g, name, j);
    const bool repeated = g->repeated != NULL && strcmp(g->repeated, name) == 0;
    if (repeated || strcmp(sunup__import_word(j, "aggregate_name"), "median") != 0) return SUNUP_OK;
    return add_measured(g, name, j);
}

static sunup_status read_context(struct import *im, const json_t *c)
{
    const char *program = sunup__import_word(c, "executable"), *date = sunup__import_word(c, "date");
    const char *slash = strrchr(program, '/');
    if (slash != NULL) program = slash + 1;
    TRY(sunup__import_origin(im, "google-benchmark", program[0] != '\0' ? program : "google-benchmark"));
    TRY(sunup__import_fact(im, "machine", sunup__import_word(c, "host_name")));
    TRY(sunup__import_fact(im, "host", sunup__import_word(c, "host_name")));
    TRY(sunup__import_json_fact(im, "cpus", c, "num_cpus"));
    TRY(sunup__import_json_fact(im, "cpu_scaling", c, "cpu_scaling_enabled"));
    TRY(sunup__import_json_fact(im, "library", c, "library_build_type"));
    TRY(sunup__import_json_fact(im, "library_version", c, "library_version"));
    EXPECT(date[0] == '\0' || sunup__import_time(date, &im->at), im, "'%.40s' is no time", date);
    return SUNUP_OK;
}

static sunup_status read_root(struct import *im, const json_t *root)
{
    struct google g = {.im = im};
    const json_t *list = json_object_get(root, "benchmarks");
    EXPECT(json_is_array(list), im, "\"benchmarks\" is no list");
    TRY(read_context(im, json_object_get(root, "context")));
    for (size_t i = 0; i < json_array_size(list); i++) TRY(read_benchmark(&g, json_array_get(list, i)));
    return SUNUP_OK;
}

sunup_status sunup__import_google(struct import *im)
{
    return sunup__import_json(im, read_root);
}
