/* import_nccl.c - what nccl-tests writes with -J FILE (2.16 and later): collectives between GPUs.
 *
 * Of each size the time out of place and in place: with per-iteration timing every iteration's,
 * else the mean. Bus bandwidth is kept beside it, as its factor is the collective's; algorithm
 * bandwidth is size / time and is not. A size there is of the whole result for gathers and
 * all-to-alls, and of what one rank gives here. Numbers of ranks: the list of devices has one for
 * each process, which has nthreads x ngpus of them.
 */
#include <math.h>
#include <stdio.h>

#include "track/import_read.h"

struct nccl {
    struct import *im;
    const char *collective;
    int ranks;
    struct track_row row; /* what the rows of a result have in common */
    char name[192];
};

static const json_t *config_of(const json_t *root)
{
    return json_object_get(root, "config");
}

static const json_t *devices_of(const json_t *root)
{
    const json_t *inside = json_object_get(config_of(root), "devices");
    return inside != NULL ? inside : json_object_get(root, "devices");
}

static sunup_status read_ranks(struct nccl *r, const json_t *root)
{
    double threads = 1, gpus = 1;
    TRY(sunup__import_number(r->im, config_of(root), "nthreads", &threads));
    TRY(sunup__import_number(r->im, config_of(root), "ngpus", &gpus));
    const double ranks = threads * gpus * (double)json_array_size(devices_of(root));
    EXPECT(ranks >= 0 && ranks <= 1e8, r->im, "%g ranks are no number of ranks", ranks);
    r->ranks = (int)ranks;
    return SUNUP_OK;
}

static sunup_status read_facts(struct nccl *r, const json_t *root)
{
    const json_t *device = json_array_get(devices_of(root), 0);
    const char *path = json_string_value(json_array_get(json_object_get(root, "args"), 0));
    EXPECT(path != NULL, r->im, "args[0] tells the collective, and is not there");
    const char *slash = strrchr(path, '/');
    r->collective = slash != NULL ? slash + 1 : path;
    TRY(sunup__import_fact(r->im, "machine", sunup__import_word(device, "device_info")));
    TRY(sunup__import_fact(r->im, "host", sunup__import_word(device, "hostname")));
    TRY(sunup__import_json_fact(r->im, "nccl", root, "nccl_version"));
    const char *start = sunup__import_word(root, "start_time");
    EXPECT(start[0] == '\0' || sunup__import_time(start, &r->im->at), r->im, "'%.40s' is no time", start);
    return read_ranks(r, root);
}

static sunup_status add(struct nccl *r, const char *quantity, const char *unit, double value)
{
    struct track_row row = r->row;
    row.quantity = quantity;
    row.unit = unit;
    row.better = strcmp(unit, "s") == 0 ? TRACK_LESS : TRACK_MORE;
    return sunup__import_sample(r->im, &row, value);
}

/* Every iteration's time, if there are any; *n of them. */
static sunup_status add_iterations(struct nccl *r, const json_t *times, size_t *n)
{
    *n = json_array_size(times);
    for (size_t i = 0; i < *n; i++) {
        const json_t *t = json_array_get(times, i);
        EXPECT(json_is_number(t), r->im, "a time of %s is no number", r->name);
        TRY(add(r, "time", "s", 1e-6 * json_number_value(t)));
    }
    return SUNUP_OK;
}

static sunup_status read_body(struct nccl *r, const json_t *result, const char *body)
{
    const json_t *j = json_object_get(result, body);
    double time = NAN, bus = NAN;
    size_t n;
    char key[40];
    if (j == NULL || json_is_null(j)) return SUNUP_OK;
    (void)snprintf(key, sizeof key, "%s_per_iter", body);
    TRY(sunup__import_number(r->im, j, json_object_get(j, "time") != NULL ? "time" : "cpu_time", &time));
    TRY(sunup__import_number(r->im, j, "bus_bw", &bus));
    TRY(add_iterations(r, json_object_get(json_object_get(result, key), "times_us"), &n));
    if (n == 0) TRY(add(r, "time", "s", 1e-6 * time));
    return isnan(bus) ? SUNUP_OK : add(r, "bus_bandwidth", "B/s", 1e9 * bus);
}

/* What one rank gives, as sunup counts it. */
static double own_bytes(const struct nccl *r, double bytes)
{
    const bool whole =
        strncmp(r->collective, "all_gather", 10) == 0 || strncmp(r->collective, "alltoall", 8) == 0;
    return whole && r->ranks > 0 && fmod(bytes, r->ranks) == 0 ? bytes / r->ranks : bytes;
}

static sunup_status read_result(struct nccl *r, const json_t *result)
{
    double bytes = -1;
    const char *redop = sunup__import_word(result, "redop");
    TRY(sunup__import_number(r->im, result, "size", &bytes));
    EXPECT(bytes >= 0 && bytes < 1e15, r->im, "a result has a size, and not %g bytes", bytes);
    bytes = own_bytes(r, bytes);
    sunup__import_collective(r->name, sunup__slice(r->collective),
                             sunup__slice(sunup__import_word(result, "type")), bytes);
    if (redop[0] != '\0' && strcmp(redop, "sum") != 0 && strcmp(redop, "none") != 0)
        (void)snprintf(r->name + strlen(r->name), 40, ":%.32s", redop);
    r->row = sunup__import_row(r->im, TRACK_SAMPLES, r->name, "", "");
    r->row.bytes = bytes;
    r->row.ranks = r->ranks;
    TRY(read_body(r, result, "out_of_place"));
    (void)snprintf(r->name + strlen(r->name), 12, ":inplace");
    return read_body(r, result, "in_place");
}

/* Wrong numbers anywhere, or errors of the library. */
static sunup_status read_outcome(struct nccl *r, const json_t *root)
{
    double wrong = 0;
    const char *error = json_string_value(json_array_get(json_object_get(root, "errors"), 0));
    const bool failed = error != NULL && error[0] != '\0';
    TRY(sunup__import_number(r->im, json_object_get(root, "out_of_bounds"), "count", &wrong));
    sunup__import_collective(r->name, sunup__slice(r->collective), sunup__slice(""), -1);
    struct track_row row = sunup__import_row(r->im, TRACK_OUTCOME, r->name, "outcome", "");
    row.ranks = r->ranks;
    if (wrong > 0)
        return sunup__import_outcome(r->im, &row, TRACK_MISMATCH, "there are values out of bounds");
    return sunup__import_outcome(r->im, &row, failed ? TRACK_CRASH : TRACK_OK, failed ? error : "");
}

static sunup_status read_root(struct import *im, const json_t *root)
{
    struct nccl r = {.im = im};
    const json_t *results = json_object_get(root, "results");
    EXPECT(json_array_size(results) > 0, im, "\"results\" is no list of results");
    TRY(sunup__import_origin(im, "nccl-tests", "NCCL"));
    TRY(read_facts(&r, root));
    for (size_t i = 0; i < json_array_size(results); i++) TRY(read_result(&r, json_array_get(results, i)));
    return read_outcome(&r, root);
}

sunup_status sunup__import_nccl(struct import *im)
{
    return sunup__import_json(im, read_root);
}
