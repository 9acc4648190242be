/* stars.c - what kind of variable star is it? From four numbers: brightness, colour, period, amplitude. Scored beside the
 * nearest mean of a kind and the vote of the nearest stars, on the same stars. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stars.h"

static const char *const kinds[KINDS] = {
    "LPV OSARG",   "LPV SRV",         "LPV Mira",           "RRLyr RRab", "RRLyr RRc",
    "RRLyr RRd/e", "Cep fundamental", "Cep first overtone", "DSCT",       "T2Cep"};

struct tally {
    int64_t n;
    float *x, *measured; /* [n][FEATURES] */
    int32_t *kind, *said;
};

static void tally_end(struct tally *t)
{
    free(t->x);
    free(t->measured);
    free(t->kind);
    free(t->said);
}

static sunup_status tally_create(sunup_context *ctx, int64_t room, struct tally *t)
{
    const size_t n = (size_t)room;
    *t = (struct tally){.x = malloc(n * FEATURES * sizeof *t->x),
                        .measured = malloc(n * FEATURES * sizeof *t->measured),
                        .kind = malloc(n * sizeof *t->kind),
                        .said = calloc(n, sizeof *t->said)};
    return t->x != NULL && t->measured != NULL && t->kind != NULL && t->said != NULL
               ? SUNUP_OK
               : app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld stars", (long long)room);
}

static void visit(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct tally *t = arg;
    memcpy(t->x + sample * FEATURES, f[FIELD_STAR], FEATURES * sizeof *t->x);
    memcpy(t->measured + sample * FEATURES, f[FIELD_MEASURED], FEATURES * sizeof *t->measured);
    t->kind[sample] = *(const int32_t *)f[FIELD_LABEL];
    for (int32_t k = 1; k < KINDS && y != NULL; k++)
        if (y[k] > y[t->said[sample]]) t->said[sample] = k;
    t->n = sample + 1;
}

/* ---- measures ---- */

struct measure {
    double accuracy, balanced,
        recall[KINDS]; /* balanced: mean of the recalls; NaN for a kind without stars */
};

static struct measure measure(const struct tally *t, const int32_t *said)
{
    double right[KINDS] = {0}, all[KINDS] = {0}, kinds_there = 0;
    struct measure m = {0};
    for (int64_t i = 0; i < t->n; i++) {
        all[t->kind[i]]++;
        right[t->kind[i]] += said[i] == t->kind[i];
    }
    for (int k = 0; k < KINDS; k++) {
        m.accuracy += right[k] / (double)t->n;
        m.recall[k] = all[k] > 0 ? right[k] / all[k] : NAN;
        m.balanced += all[k] > 0 ? m.recall[k] : 0;
        kinds_there += all[k] > 0;
    }
    m.balanced /= kinds_there;
    return m;
}

/* ---- baselines: what they say of each star of t ---- */

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < FEATURES; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static void largest_kind(const struct tally *train, const struct tally *t, int32_t *said)
{
    int64_t count[KINDS] = {0};
    int32_t best = 0;
    for (int64_t i = 0; i < train->n; i++) count[train->kind[i]]++;
    for (int32_t k = 1; k < KINDS; k++)
        if (count[k] > count[best]) best = k;
    for (int64_t i = 0; i < t->n; i++) said[i] = best;
}

static void nearest_mean(const struct tally *train, const struct tally *t, int32_t *said)
{
    double sum[KINDS][FEATURES] = {{0}}, count[KINDS] = {0};
    float mean[KINDS][FEATURES];
    for (int64_t i = 0; i < train->n; i++) {
        for (int f = 0; f < FEATURES; f++)
            sum[train->kind[i]][f] += (double)train->x[i * FEATURES + f];
        count[train->kind[i]]++;
    }
    for (int k = 0; k < KINDS; k++)
        for (int f = 0; f < FEATURES; f++)
            mean[k][f] = count[k] > 0 ? (float)(sum[k][f] / count[k]) : INFINITY;
    for (int64_t i = 0; i < t->n; i++) {
        said[i] = 0;
        for (int32_t k = 1; k < KINDS; k++)
            if (distance(t->x + i * FEATURES, mean[k]) <
                distance(t->x + i * FEATURES, mean[said[i]]))
                said[i] = k;
    }
}

enum {
    NEIGHBOURS = 15,
    MOST_TAUGHT = 40000
}; /* training stars come in random order: the first serve */

static int32_t vote(const struct tally *train, const float *x)
{
    double near[NEIGHBOURS];
    int32_t kind[NEIGHBOURS], votes[KINDS] = {0}, best = 0;
    int n = 0;
    for (int64_t i = 0; i < train->n && i < MOST_TAUGHT; i++) {
        const double d = distance(x, train->x + i * FEATURES);
        if (n == NEIGHBOURS && d >= near[n - 1]) continue;
        int at = n < NEIGHBOURS ? n++ : n - 1;
        for (; at > 0 && near[at - 1] > d; at--) {
            near[at] = near[at - 1];
            kind[at] = kind[at - 1];
        }
        near[at] = d;
        kind[at] = train->kind[i];
    }
    for (int i = 0; i < n; i++) votes[kind[i]]++;
    for (int32_t k = 1; k < KINDS; k++)
        if (votes[k] > votes[best]) best = k;
    return best;
}

static void neighbours(const struct tally *train, const struct tally *t, int32_t *said)
{
    for (int64_t i = 0; i < t->n; i++) said[i] = vote(train, t->x + i * FEATURES);
}

/* ---- scores ---- */

/* The goals of the smoke run are those of its recipe; any other run must beat the neighbours. */
static sunup_status score_held(struct app_run *r, const struct tally *train,
                               const struct tally *held)
{
    static const struct {
        const char *who;
        void (*says)(const struct tally *train, const struct tally *t, int32_t *said);
    } others[] = {{"always the largest kind", largest_kind},
                  {"nearest mean of a kind", nearest_mean},
                  {"vote of the 15 nearest stars", neighbours}};
    int32_t *said = malloc((size_t)held->n * sizeof *said);
    if (said == NULL)
        return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for %lld stars", (long long)held->n);
    const bool smoke = strcmp(r->variant, "run") == 0;
    struct measure m = {0};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        others[i].says(train, held, said);
        m = measure(held, said);
        app_beside(r, "accuracy", others[i].who, m.accuracy);
        app_beside(r, "balanced accuracy", others[i].who, m.balanced);
    }
    free(said);
    const double goals[2] = {smoke ? 0.93 : m.accuracy, smoke ? 0.90 : m.balanced};
    m = measure(held, held->said);
    app_score(r, "accuracy", m.accuracy, APP_AT_LEAST, goals[0], "of stars held out");
    app_score(r, "balanced accuracy", m.balanced, APP_AT_LEAST, goals[1], "mean of the recalls");
    if (smoke) {
        app_beside(r, "accuracy", "PyTorch reference, other stars", 0.943);
        app_beside(r, "balanced accuracy", "PyTorch reference, other stars", 0.913);
    }
    for (int k = 0; k < KINDS; k++) {
        char what[64];
        (void)snprintf(what, sizeof what, "recall: %s", kinds[k]);
        app_score(r, what, m.recall[k], APP_REPORT, 0, NULL);
    }
    app_score(r, "stars trained on", (double)train->n, APP_REPORT, 0, NULL);
    app_score(r, "stars held out", (double)held->n, APP_REPORT, 0, NULL);
    return SUNUP_OK;
}

/* ---- the picture: period and colour by kind ---- */

enum { SHOWN = 120 }; /* stars of a kind */

static sunup_status draw(const struct app_run *r, const struct tally *t)
{
    static double x[KINDS][SHOWN], y[KINDS][SHOWN];
    struct app_series series[KINDS];
    for (int k = 0; k < KINDS; k++)
        series[k] = (struct app_series){kinds[k], APP_POINTS, 0, x[k], y[k]};
    for (int64_t i = 0; i < t->n; i++) {
        struct app_series *s = &series[t->kind[i]];
        if (s->n == SHOWN) continue;
        x[t->kind[i]][s->n] = (double)t->measured[i * FEATURES + PERIOD];
        y[t->kind[i]][s->n++] = (double)t->measured[i * FEATURES + COLOUR];
    }
    const struct app_plot plot = {"Variable stars held out",
                                  "log10 of the period in days",
                                  "colour V - I in magnitudes",
                                  KINDS,
                                  series,
                                  NAN};
    return app_svg(r, "stars.svg", &plot);
}

/* ---- the app ---- */

static sunup_status score(struct app_run *r)
{
    if (r->train == NULL || sunup_data_samples(r->train) < 1)
        return app_error(r->ctx, SUNUP_E_ARGUMENT, "stars: the baselines need the training stars");
    struct tally train = {0}, held = {0};
    sunup_status status = tally_create(r->ctx, sunup_data_samples(r->train), &train);
    if (status == SUNUP_OK) status = tally_create(r->ctx, sunup_data_samples(r->eval), &held);
    if (status == SUNUP_OK) status = app_visit_fields(r->train, visit, &train);
    if (status == SUNUP_OK) status = app_visit(r, r->eval, visit, &held);
    if (status == SUNUP_OK) status = score_held(r, &train, &held);
    if (status == SUNUP_OK && r->run_dir != NULL) status = draw(r, &held);
    tally_end(&train);
    tally_end(&held);
    return status;
}

const struct app app_stars = {
    .name = "stars",
    .question = "what kind of variable star is it?",
    .files = "ogle/stars.npz",
    .open = catalogue_open,
    .score = score,
};
