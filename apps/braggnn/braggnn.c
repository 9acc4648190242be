/* braggnn.c - where, to a fraction of a pixel, does a Bragg peak lie? The network of Liu et al. (2022) on simulated
 * peaks, beside the centre of mass, a least-squares fit, and the published weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peaks.h"

/* ---- samples: x, the patch to scale; centre, (column, row) / 11; counts, for those who want them as they were ---- */

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    double centre[2];
    peaks_draw(arg, epoch, sample, y[2], centre);
    peaks_normalise(y[2], y[0]);
    for (int i = 0; i < 2; i++) ((float *)y[1])[i] = (float)(centre[i] / SIDE);
    return true;
}

static sunup_status make(sunup_context *ctx, const struct peaks *p, int64_t samples, sunup_data **data)
{
    const sunup_tensor fields[3] = {{"x", SUNUP_F32, SUNUP_SHAPE(SIDE, SIDE, 1), NULL},
                                    {"centre", SUNUP_F32, SUNUP_SHAPE(2), NULL},
                                    {"counts", SUNUP_F32, SUNUP_SHAPE(PIXELS), NULL}};
    struct peaks *kept = malloc(sizeof *kept);
    if (kept == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for the simulator of peaks");
    *kept = *p;
    const sunup_sampler sampler = {fill, free, kept};
    return sunup_data_from_sampler(ctx, 3, fields, samples, &sampler, data);
}

static sunup_status open_source(struct app_data *d, sunup_data **data)
{
    const char *kind = app_word(d, "kind", "hard");
    const bool hard = strcmp(kind, "hard") == 0;
    if (!hard && strcmp(kind, "easy") != 0)
        return app_error(app_context(d), SUNUP_E_ARGUMENT, "braggnn: kind is '%s'; there are hard and easy",
                         kind);
    const struct peaks p = {app_seed(d), hard};
    const int64_t samples = app_samples(d) > 0 ? app_samples(d) : 20000;
    return make(app_context(d), &p, samples, data);
}

/* ---- scores: distances in pixels ---- */

enum way { BY_NETWORK, BY_MASS, BY_FIT, WAYS };

struct distances {
    int64_t n, room;
    double *of[WAYS]; /* [room] */
};

static double distance(const double a[2], const float *centre)
{
    return hypot(a[0] - SIDE * (double)centre[0], a[1] - SIDE * (double)centre[1]);
}

static void visit(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct distances *d = arg;
    const double said[2] = {SIDE * (double)y[0], SIDE * (double)y[1]};
    double found[2];
    d->of[BY_NETWORK][sample] = distance(said, f[1]);
    d->n = sample + 1;
    if (d->of[BY_MASS] == NULL) return;
    peaks_centre_of_mass(f[2], found);
    d->of[BY_MASS][sample] = distance(found, f[1]);
    peaks_fit(f[2], found);
    d->of[BY_FIT][sample] = distance(found, f[1]);
}

static double mean(int64_t n, const double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] / (double)n;
    return sum;
}

static const struct {
    const char *name;
    double q;
} quantiles[] = {{"median", 0.5}, {"p75", 0.75}, {"p95", 0.95}};

static void beside(struct app_run *r, const char *who, int64_t n, double *x)
{
    app_beside(r, "mean", who, mean(n, x));
    for (int i = 0; i < 3; i++) app_beside(r, quantiles[i].name, who, app_quantile(n, x, quantiles[i].q));
}

static bool make_room(struct distances *d, sunup_data *data, int ways)
{
    d->room = sunup_data_samples(data);
    bool good = true;
    for (int i = 0; i < ways; i++) {
        d->of[i] = malloc((size_t)d->room * sizeof(double));
        good = good && d->of[i] != NULL;
    }
    return good;
}

static void end_distances(struct distances *d)
{
    for (int i = 0; i < WAYS; i++) free(d->of[i]);
}

/* Histogram of distances up to a pixel. */
static sunup_status draw(const struct app_run *r, const struct distances *d)
{
    enum { BINS = 40 };
    static const char *const names[WAYS] = {"BraggNN", "centre of mass", "Voigt fit"};
    double x[BINS], y[WAYS][BINS] = {{0}};
    struct app_series series[WAYS];
    for (int w = 0; w < WAYS; w++) {
        for (int64_t i = 0; i < d->n; i++)
            if (d->of[w][i] < 1) y[w][(int)(BINS * d->of[w][i])] += (double)BINS / (double)d->n;
        series[w] = (struct app_series){names[w], APP_LINE, BINS, x, y[w]};
    }
    for (int b = 0; b < BINS; b++) x[b] = (b + 0.5) / BINS;
    const struct app_plot plot = {"Distance of the found from the true position", "pixels", "density",
                                  WAYS, series, NAN};
    return app_svg(r, "residuals.svg", &plot);
}

/* ---- the published weights ---- */

/* The i-th number of a tensor in the published order: convolutions K C R S, linear out x in; what the first linear layer
 * takes in was [C, H, W] there. */
static int64_t published_index(const sunup_tensor *t, int64_t i)
{
    const int64_t *d = t->shape.d;
    if (t->shape.n == 4) { /* ours: R S C K */
        const int64_t k = i % d[3], c = i / d[3] % d[2], rs = i / d[3] / d[2];
        return (k * d[2] + c) * d[0] * d[1] + rs;
    }
    if (t->shape.n == 1) return i;
    const int64_t out = i % d[1], in = i / d[1];
    const int64_t c = in % 8, hw = in / 8; /* 5 x 5 of 8 channels */
    return out * d[0] + (strcmp(t->name, "dense_layers.0.weight") == 0 ? c * 25 + hw : in);
}

static sunup_status take_published(struct app_run *r, const char *file)
{
    for (int i = 0; i < sunup_model_parameters(r->model); i++) {
        sunup_tensor mine, theirs;
        sunup_status status = sunup_model_tensor(r->model, i, &mine);
        if (status == SUNUP_OK) status = app_read_f32(r->ctx, file, mine.name, &theirs);
        if (status != SUNUP_OK) return status;
        int64_t n = 1, m = 1;
        for (int k = 0; k < mine.shape.n; k++) n *= mine.shape.d[k];
        for (int k = 0; k < theirs.shape.n; k++) m *= theirs.shape.d[k];
        if (n == m)
            for (int64_t k = 0; k < n; k++)
                ((float *)mine.data)[k] = ((const float *)theirs.data)[published_index(&mine, k)];
        else
            status = app_error(r->ctx, SUNUP_E_SHAPE, "%s: '%s' has %lld numbers, not %lld", file,
                               mine.name, (long long)m, (long long)n);
        sunup_free(theirs.data);
        if (status != SUNUP_OK) return status;
        if (strcmp(mine.name, "dense_layers.8.bias") == 0) /* the network adds the centre itself */
            for (int k = 0; k < 2; k++) ((float *)mine.data)[k] -= (float)(SIDE / 2) / SIDE;
    }
    return SUNUP_OK;
}

static sunup_status network_distances(struct app_run *r, sunup_data *data, struct distances *d)
{
    if (!make_room(d, data, 1)) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for distances");
    return app_visit(r, data, visit, d);
}

/* `--task published`: the published weights on easy peaks, whose coordinates must agree with ours. */
static sunup_status published(struct app_run *r, const char *word)
{
    if (strcmp(word, "published") != 0)
        return app_error(r->ctx, SUNUP_E_ARGUMENT, "braggnn has the task 'published', not '%s'", word);
    sunup_status status = take_published(r, "aps/braggnn_weights.npz");
    const struct peaks easy = {r->seed + 1, false}, hard = {r->seed + 1, true};
    for (int i = 0; i < 2 && status == SUNUP_OK; i++) {
        struct distances d = {0};
        sunup_data *data = NULL;
        status = make(r->ctx, i == 0 ? &easy : &hard, 4000, &data);
        if (status == SUNUP_OK) status = network_distances(r, data, &d);
        if (status == SUNUP_OK) {
            app_score(r, i == 0 ? "median, easy" : "median, hard", app_quantile(d.n, d.of[0], 0.5),
                      i == 0 ? APP_AT_MOST : APP_REPORT, 0.25, "pixels; published weights");
            app_score(r, i == 0 ? "p75, easy" : "p75, hard", app_quantile(d.n, d.of[0], 0.75), APP_REPORT,
                      0, "pixels; published weights");
        }
        end_distances(&d);
        sunup_data_destroy(&data);
    }
    return status;
}

static sunup_status score(struct app_run *r)
{
    struct distances d = {0};
    sunup_status status = SUNUP_E_MEMORY;
    if (make_room(&d, r->eval, WAYS))
        status = app_visit(r, r->eval, visit, &d);
    else
        (void)app_error(r->ctx, status, "no memory for distances");
    if (status == SUNUP_OK) {
        app_score(r, "mean", mean(d.n, d.of[BY_NETWORK]), APP_AT_MOST, 0.20, "pixels");
        for (int i = 0; i < 3; i++)
            app_score(r, quantiles[i].name, app_quantile(d.n, d.of[BY_NETWORK], quantiles[i].q),
                      quantiles[i].q == 0.75 ? APP_AT_MOST : APP_REPORT, 0.25, "pixels");
        beside(r, "centre of mass", d.n, d.of[BY_MASS]);
        beside(r, "least-squares Voigt fit", d.n, d.of[BY_FIT]);
        app_beside(r, "mean", "PyTorch reference, one seed", 0.140);
        app_beside(r, "p75", "PyTorch reference, one seed", 0.181);
        status = draw(r, &d);
    }
    end_distances(&d);
    return status;
}

const struct app app_braggnn = {
    .name = "braggnn",
    .question = "where, to a fraction of a pixel, does a Bragg peak lie on an X-ray detector?",
    .files = "",
    .open = open_source,
    .score = score,
    .task = published,
};
