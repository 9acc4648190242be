/* import_mllog.c - ":::MLLOG" lines of MLPerf training logs (mlperf-logging): one run from
 * run_start to run_stop.
 *
 * Time to train is there only if the run reached its quality ("success"): a run that was aborted is
 * an outcome, diverged, not a fast run. Of each evaluation the accuracy, by epoch or by samples
 * seen; of the last one again under the benchmark's own name; some benchmarks log a loss under that
 * key, so less is better there. Lines of other kinds, and what stands before ":::MLLOG" (a rank, a
 * time), are passed over. Without run_stop the log was cut off, or its run died: neither can be
 * told from the log, and it is refused.
 */
#include <math.h>
#include <stdio.h>

#include "track/import_read.h"

struct mllog {
    struct import *im;
    char name[80]; /* the benchmark's; "training" until it is told */
    bool started, stopped, success;
    double start_ms, stop_ms, epochs;
    double last; /* evaluation; NaN: none yet */
    const char *quantity;
    enum track_better better;
};

/* Where eval_accuracy is a loss: those that mlperf-logging's rules bound from above. */
static bool is_loss(const char *benchmark)
{
    static const char *const names[] = {"gpt3",        "llama31_405b",    "llama31_8b", "llama2_70b_lora",
                                        "gpt_oss_20b", "deepseekv3_671b", "flux1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], benchmark) == 0) return true;
    return false;
}

static sunup_status read_evaluation(struct mllog *r, const json_t *j, const char *quantity)
{
    const json_t *metadata = json_object_get(j, "metadata");
    double value = NAN, epoch = NAN, samples = NAN;
    char name[128];
    TRY(sunup__import_number(r->im, j, "value", &value));
    TRY(sunup__import_number(r->im, metadata, "epoch_num", &epoch));
    TRY(sunup__import_number(r->im, metadata, "samples_count", &samples));
    EXPECT(isfinite(value), r->im, "an evaluation without a value");
    if (isnan(epoch) && isnan(samples)) return SUNUP_OK; /* of a part, or the aggregate of several */
    (void)snprintf(name, sizeof name, "%s:%s%.15g", r->name, isnan(epoch) ? "samples" : "epoch",
                   isnan(epoch) ? samples : epoch);
    struct track_row row = sunup__import_row(r->im, TRACK_SAMPLES, name, quantity, "");
    row.better = strcmp(quantity, "error") == 0 || is_loss(r->name) ? TRACK_LESS : TRACK_MORE;
    r->better = row.better;
    r->quantity = quantity;
    r->last = value;
    if (!isnan(epoch)) r->epochs = fmax(r->epochs, epoch);
    return sunup__import_sample(r->im, &row, value);
}

static sunup_status read_start(struct mllog *r, double ms)
{
    EXPECT(!r->started, r->im, "a second run_start: a file is one run");
    r->started = true;
    r->start_ms = ms;
    r->im->at = (int64_t)(ms / 1e3);
    return SUNUP_OK;
}

static sunup_status read_stop(struct mllog *r, const json_t *j, double ms)
{
    const char *status = sunup__import_word(json_object_get(j, "metadata"), "status");
    EXPECT(r->started && !r->stopped && ms >= r->start_ms, r->im, "run_stop without a run_start before it");
    EXPECT(strcmp(status, "success") == 0 || strcmp(status, "aborted") == 0, r->im,
           "run_stop has the status '%.30s', and is success or aborted", status);
    r->stopped = true;
    r->stop_ms = ms;
    r->success = strcmp(status, "success") == 0;
    return SUNUP_OK;
}

static sunup_status read_fact(struct mllog *r, const json_t *j, const char *key)
{
    static const char *const facts[][2] = {{"submission_platform", "machine"},
                                           {"submission_division", "division"},
                                           {"submission_status", "status"},
                                           {"global_batch_size", "global_batch_size"},
                                           {"seed", "seed"},
                                           {"number_of_nodes", "nodes"}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        if (strcmp(facts[i][0], key) == 0) return sunup__import_json_fact(r->im, facts[i][1], j, "value");
    return SUNUP_OK;
}

static sunup_status read_event(struct mllog *r, const json_t *j)
{
    const char *key = sunup__import_word(j, "key");
    double ms = NAN;
    TRY(sunup__import_number(r->im, j, "time_ms", &ms));
    EXPECT(key[0] != '\0' && ms >= 0 && ms < 1e15, r->im, "an event has a key and time_ms");
    if (strcmp(key, "submission_benchmark") == 0)
        (void)snprintf(r->name, sizeof r->name, "%.64s", sunup__import_word(j, "value"));
    if (strcmp(key, "submission_org") == 0)
        TRY(sunup__import_origin(r->im, "mlperf", sunup__import_word(j, "value")));
    if (strcmp(key, "run_start") == 0) return read_start(r, ms);
    if (strcmp(key, "run_stop") == 0) return read_stop(r, j, ms);
    if (strcmp(key, "eval_accuracy") == 0) return read_evaluation(r, j, "accuracy");
    if (strcmp(key, "eval_error") == 0) return read_evaluation(r, j, "error");
    return read_fact(r, j, key);
}

static sunup_status read_line(struct mllog *r, struct slice line)
{
    const char *mark = sunup__slice_find(line, ":::MLLOG");
    json_error_t error;
    if (mark == NULL) return SUNUP_OK;
    const struct slice text = sunup__slice_after(line, mark + strlen(":::MLLOG"));
    json_t *j = json_loadb(text.s, text.n, JSON_REJECT_DUPLICATES, &error);
    EXPECT(j != NULL, r->im, "no whole JSON after :::MLLOG: %s", error.text);
    const sunup_status status = read_event(r, j);
    json_decref(j);
    return status;
}

static sunup_status add_totals(struct mllog *r)
{
    const double seconds = (r->stop_ms - r->start_ms) / 1e3;
    struct track_row outcome = sunup__import_row(r->im, TRACK_OUTCOME, r->name, "outcome", "");
    struct track_row last = sunup__import_row(r->im, TRACK_SAMPLES, r->name, r->quantity, "");
    const struct track_row time = sunup__import_row(r->im, TRACK_SAMPLES, r->name, "time_to_train", "s");
    struct track_row epochs = sunup__import_row(r->im, TRACK_COUNT, r->name, "epochs", "");
    outcome.seconds = seconds;
    last.better = r->better;
    epochs.count = r->epochs;
    if (r->success) TRY(sunup__import_sample(r->im, &time, seconds));
    if (!isnan(r->last)) TRY(sunup__import_sample(r->im, &last, r->last));
    if (r->epochs > 0) TRY(sunup__import_add(r->im, &epochs));
    return sunup__import_outcome(r->im, &outcome, r->success ? TRACK_OK : TRACK_DIVERGED,
                                 r->success ? "" : "the run was aborted before it reached its quality");
}

sunup_status sunup__import_mllog(struct import *im)
{
    struct mllog r = {.im = im, .name = "training", .last = NAN, .quantity = "", .better = TRACK_MORE};
    struct slice line;
    TRY(sunup__import_whole(im));
    TRY(sunup__import_origin(im, "mlperf", "MLPerf"));
    while (sunup__import_line(im, &line)) TRY(read_line(&r, line));
    im->line = 0;
    EXPECT(r.stopped, im, "the log has no run_%s: it was cut off, or its run died",
           r.started ? "stop" : "start");
    return add_totals(&r);
}
