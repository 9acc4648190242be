/* track_band.c - losses of many seeds: `sunup track band CASE...` makes them, a case with seeds=N
 * must lie within.
 *
 * A training that ends with another seed's luck is no regression, one outside all seeds' is. The
 * band is where one more of N normal values falls with 99.9 %, of their logarithms if all are above
 * 0, as losses are. bench/bands/CASE.csv has a line "seed,loss" for each; an app's expected.csv has
 * "variant,seed,score,value".
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "base/words.h"
#include "track/stats.h"
#include "track_run.h"

enum { MOST_SEEDS = 1000, USUAL_SEEDS = 20 };
static const double confidence = 0.999;

struct band track_band_of(const double *x, int n)
{
    double logs[MOST_SEEDS] = {0};
    bool positive = true;
    if (n > MOST_SEEDS) n = MOST_SEEDS;
    for (int i = 0; i < n; i++) positive = positive && x[i] > 0;
    for (int i = 0; i < n; i++) logs[i] = positive ? log(x[i]) : x[i];
    const struct track_interval in = sunup__prediction_interval(logs, n, confidence);
    const bool constant = !isfinite(in.low) && n > 0; /* no variance */
    if (constant) return (struct band){n, x[0], x[0]};
    return positive ? (struct band){n, exp(in.low), exp(in.high)}
                    : (struct band){n, in.low, in.high};
}

/* ---- files ---- */

/* The value of a line; false: it is a comment, a heading, or another score's. */
static bool read_value(char *line, const char *score, double *value)
{
    char *end = strrchr(line, ',');
    if (end == NULL || line[0] == '#') return false;
    *end = '\0';
    if (score != NULL) {
        const char *what = strncmp(line, "run,", 4) == 0 ? strchr(line + 4, ',') : NULL;
        if (what == NULL || strcmp(what + 1, score) != 0) return false;
    }
    char *stop;
    *value = strtod(end + 1, &stop);
    return stop != end + 1 && isfinite(*value);
}

sunup_status track_band_read(struct command *c, const char *path, const char *score,
                             struct band *band)
{
    *band = (struct band){0};
    if (!sunup__file_exists(path)) return SUNUP_OK;
    void *data = NULL;
    size_t bytes = 0;
    TRY(sunup__file_read(c->ctx, path, &data, &bytes));
    char *text = sunup__alloc(bytes + 1), *save;
    double x[MOST_SEEDS];
    int n = 0;
    if (text != NULL) memcpy(text, data, bytes);
    sunup__free(data);
    CHECK(text != NULL, c->ctx, E_MEMORY, "no memory to read %s", path);
    for (char *line = strtok_r(text, "\r\n", &save); line != NULL && n < MOST_SEEDS;
         line = strtok_r(NULL, "\r\n", &save))
        n += read_value(line, score, &x[n]);
    sunup__free(text);
    if (n > 0) *band = track_band_of(x, n);
    return SUNUP_OK;
}

/* ---- making one ---- */

static sunup_status loss_of(struct measure *m, int seed, double *loss)
{
    char setting[32];
    struct track_child child;
    (void)snprintf(setting, sizeof setting, "seed=%d", seed);
    const char *const more[] = {"--set", setting, NULL};
    TRY(track_start(m, more, &child));
    track_judge_child(&child, m->one->timeout_s, m->h, &m->outcome);
    json_t *answer = track_answer(child.out, false);
    *loss = json_number_value(json_object_get(answer, "loss"));
    const bool good =
        m->outcome.outcome == TRACK_OK && json_is_number(json_object_get(answer, "loss"));
    json_decref(answer);
    track_child_end(&child);
    CHECK(good, m->c->ctx, E_PEER, "%s with seed %d: %s: %s", m->one->name, seed,
          sunup__track_outcome_name(m->outcome.outcome), m->outcome.message);
    return SUNUP_OK;
}

static sunup_status make_band(struct measure *m, struct text *t)
{
    const int seeds = m->one->seeds > 0 ? m->one->seeds : USUAL_SEEDS;
    CHECK(m->one->kind == CASE_TRAIN, m->c->ctx, E_ARGUMENT,
          "'%s' is no training; the bands of apps are apps/NAME/expected.csv, made by sunup app "
          "NAME --csv",
          m->one->name);
    sunup__text(t, "# losses of %s, sunup %s\nseed,loss\n", m->one->name, sunup_version());
    for (int seed = 1; seed <= seeds && seed <= MOST_SEEDS; seed++) {
        double loss;
        TRY(loss_of(m, seed, &loss));
        sunup__text(t, "%d,%.9g\n", seed, loss);
        if (!m->c->quiet) (void)printf("  %s seed %d loss %.6g\n", m->one->name, seed, loss);
        (void)fflush(stdout);
    }
    return SUNUP_OK;
}

static sunup_status write_band(struct measure *m)
{
    struct text t = {0}, path = {0};
    sunup_status status = make_band(m, &t);
    sunup__text(&path, "%s/%s.csv", m->bands, m->one->name);
    if (status == SUNUP_OK && (t.s == NULL || path.s == NULL))
        status = sunup__raise(m->c->ctx, SUNUP_E_MEMORY, "no memory for a band");
    if (status == SUNUP_OK) status = sunup__make_folder(m->c->ctx, m->bands);
    if (status == SUNUP_OK) status = sunup__file_write(m->c->ctx, path.s, t.s, t.n);
    struct band b = {0};
    if (status == SUNUP_OK) status = track_band_read(m->c, path.s, NULL, &b);
    if (status == SUNUP_OK)
        (void)printf("  %s: %d seeds, one more lies within %.6g .. %.6g\n", path.s, b.n, b.low,
                     b.high);
    sunup__free(t.s);
    sunup__free(path.s);
    return status;
}

int track_band(struct command *c)
{
    if (c->n_operands < 2) return complain(EXIT_USAGE, "sunup track band needs the names of cases");
    struct track_cases cases;
    struct measure m = {.scratch = NULL};
    struct track_history h = {0};
    sunup_status status =
        track_cases_load(c, track_suites(c), c->n_operands - 1, c->operand + 1, &cases);
    if (status == SUNUP_OK) status = track_measure_begin(&m, c, NULL, &h, NULL);
    for (int i = 0; status == SUNUP_OK && i < cases.n; i++) {
        m.one = &cases.cases[i];
        status = write_band(&m);
    }
    track_measure_end(&m);
    track_cases_end(&cases);
    sunup__track_end(&h);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
