/* import_pytest.c - pytest-benchmark's JSON (--benchmark-json, or --benchmark-save with
 * --benchmark-save-data).
 *
 * Every round's time is a sample, in seconds of one call; saved without the data, the median is the
 * one sample.
 */
#include <math.h>

#include "track/import_read.h"

static sunup_status read_benchmark(struct import *im, const json_t *j)
{
    const json_t *stats = json_object_get(j, "stats"), *data = json_object_get(stats, "data");
    const char *full = sunup__import_word(j, "fullname");
    const char *name = full[0] != '\0' ? full : sunup__import_word(j, "name");
    double median = NAN;
    EXPECT(name[0] != '\0', im, "a benchmark has no name");
    const struct track_row row = sunup__import_row(im, TRACK_SAMPLES, name, "time", "s");
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *t = json_array_get(data, i);
        EXPECT(json_is_number(t) && json_number_value(t) >= 0, im, "the data of %.60s are no times", name);
        TRY(sunup__import_sample(im, &row, json_number_value(t)));
    }
    if (json_array_size(data) > 0) return SUNUP_OK;
    TRY(sunup__import_number(im, stats, "median", &median));
    EXPECT(median >= 0, im, "%.60s has neither data nor a median", name);
    return sunup__import_sample(im, &row, median);
}

static sunup_status read_context(struct import *im, const json_t *root)
{
    const json_t *machine = json_object_get(root, "machine_info"),
                 *commit = json_object_get(root, "commit_info");
    const json_t *cpu = json_object_get(machine, "cpu");
    const char *engine = sunup__import_word(commit, "project"), *date = sunup__import_word(root, "datetime");
    if (engine[0] == '\0') engine = sunup__import_word(machine, "python_implementation");
    TRY(sunup__import_origin(im, "pytest-benchmark", engine[0] != '\0' ? engine : "Python"));
    TRY(sunup__import_fact(im, "machine", sunup__import_word(cpu, "brand_raw")));
    TRY(sunup__import_fact(im, "machine", sunup__import_word(machine, "node")));
    TRY(sunup__import_fact(im, "host", sunup__import_word(machine, "node")));
    TRY(sunup__import_json_fact(im, "cpus", cpu, "count"));
    TRY(sunup__import_fact(im, "kernel", sunup__import_word(machine, "release")));
    TRY(sunup__import_fact(im, "python", sunup__import_word(machine, "python_version")));
    TRY(sunup__import_fact(im, "compiler", sunup__import_word(machine, "python_compiler")));
    TRY(sunup__import_fact(im, "commit", sunup__import_word(commit, "id")));
    TRY(sunup__import_fact(im, "branch", sunup__import_word(commit, "branch")));
    TRY(sunup__import_json_fact(im, "dirty", commit, "dirty"));
    TRY(sunup__import_fact(im, "pytest_benchmark", sunup__import_word(root, "version")));
    EXPECT(date[0] == '\0' || sunup__import_time(date, &im->at), im, "'%.40s' is no time", date);
    return SUNUP_OK;
}

static sunup_status read_root(struct import *im, const json_t *root)
{
    const json_t *list = json_object_get(root, "benchmarks");
    EXPECT(json_is_array(list), im, "\"benchmarks\" is no list");
    TRY(read_context(im, root));
    for (size_t i = 0; i < json_array_size(list); i++) TRY(read_benchmark(im, json_array_get(list, i)));
    return SUNUP_OK;
}

sunup_status sunup__import_pytest(struct import *im)
{
    return sunup__import_json(im, read_root);
}
