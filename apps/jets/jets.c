/* jets.c - did a quark or a gluon make this jet? A particle-flow network (pfn.yaml) and ParticleNet (net.c) on jets of
 * Pythia 8, beside the number of particles and the jet's mass alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jets.h"

/* ---- samples ---- */

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    const struct jets *j = arg;
    const int64_t jet = j->from + sample;
    struct app_random r = app_random(j->seed, "turn", epoch, sample);
    const double angle = j->turn ? app_uniform(&r, 0, 2 * M_PI) : 0;
    const bool mirror = j->turn && app_uniform(&r, 0, 1) < 0.5;
    const struct jets_view v = {y[0], y[1], y[2]};
    jets_show(j, jet, angle, mirror, &v);
    *(int32_t *)y[3] = j->label[jet] > 0.5F;
    ((float *)y[4])[0] = j->n_particles[jet];
    ((float *)y[4])[1] = j->jet_mass[jet];
    return true;
}

static void end(void *arg)
{
    jets_end(arg);
}

/* part: which of the file's jets serve, as fractions. */
static sunup_status choose(struct app_data *d, struct jets *j)
{
    const double from = app_number(d, "from", 0), to = app_number(d, "to", 1);
    if (!(0 <= from && from < to && to <= 1))
        return app_error(app_context(d), SUNUP_E_ARGUMENT, "jets: from is %g and to %g; they are parts of the file, 0 <= from < to <= 1",
                         from, to);
    j->from = (int64_t)(from * (double)j->n);
    j->to = (int64_t)(to * (double)j->n);
    const int64_t most = app_samples(d);
    if (most > 0 && j->to - j->from > most) j->to = j->from + most;
    return j->to > j->from ? SUNUP_OK : app_error(app_context(d), SUNUP_E_ARGUMENT, "jets: no jet is left");
}

static sunup_status open_source(struct app_data *d, sunup_data **data)
{
    const sunup_tensor fields[] = {{"particles", SUNUP_F32, SUNUP_SHAPE(PARTICLES, FEATURES), NULL},
                                   {"mask", SUNUP_F32, SUNUP_SHAPE(PARTICLES, 1), NULL},
                                   {"at", SUNUP_F32, SUNUP_SHAPE(PARTICLES, 2), NULL},
                                   {"label", SUNUP_I32, SUNUP_SCALAR, NULL},
                                   {"simple", SUNUP_F32, SUNUP_SHAPE(2), NULL}};
    struct jets *j = jets_read(app_context(d), app_word(d, "file", "jets/jets.npz"));
    if (j == NULL) return SUNUP_E_FILE;
    j->seed = app_seed(d);
    j->turn = app_number(d, "turn", app_training(d) ? 1 : 0) != 0;
    const sunup_status status = choose(d, j);
    if (status != SUNUP_OK) {
        jets_end(j);
        return status;
    }
    const sunup_sampler sampler = {fill, end, j};
    return sunup_data_from_sampler(app_context(d), 5, fields, j->to - j->from, &sampler, data);
}

/* ---- scores ---- */

struct tally {
    int64_t n, right;
    float *score, *count, *mass; /* [samples] */
    int32_t *label;
};

static void visit(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct tally *t = arg;
    const float *simple = f[4];
    t->score[sample] = y[1] - y[0];
    t->count[sample] = -simple[0]; /* gluons have more */
    t->mass[sample] = -simple[1];
    t->label[sample] = *(const int32_t *)f[3];
    t->right += (y[1] > y[0]) == (t->label[sample] != 0);
    t->n++;
}

/* Fraction of gluons taken for quarks, and of quarks found, where the threshold passes each jet in turn. */
static int64_t roc(const struct tally *t, const float *score, int64_t points, double *x, double *y)
{
    double *sorted = malloc((size_t)t->n * sizeof *sorted);
    if (sorted == NULL) return 0;
    for (int64_t i = 0; i < t->n; i++) sorted[i] = (double)score[i];
    for (int64_t p = 0; p < points; p++) {
        const double cut = app_quantile(t->n, sorted, (double)p / (double)(points - 1));
        double taken[2] = {0}, all[2] = {0};
        for (int64_t i = 0; i < t->n; i++) {
            all[t->label[i]]++;
            taken[t->label[i]] += (double)score[i] >= cut;
        }
        x[p] = taken[0] / all[0];
        y[p] = taken[1] / all[1];
    }
    free(sorted);
    return points;
}

static sunup_status draw(const struct app_run *r, const struct tally *t)
{
    enum { POINTS = 101 };
    static double x[3][POINTS], y[3][POINTS];
    static const char *const names[3] = {"network", "number of particles", "jet mass"};
    const float *const scores[3] = {t->score, t->count, t->mass};
    struct app_series series[3];
    for (int i = 0; i < 3; i++)
        series[i] = (struct app_series){names[i], APP_LINE, roc(t, scores[i], POINTS, x[i], y[i]), x[i], y[i]};
    const struct app_plot plot = {"Quark or gluon: receiver operating characteristic", "gluon jets taken for quarks",
                                  "quark jets found", 3, series, NAN};
    return app_svg(r, "roc.svg", &plot);
}

static sunup_status score(struct app_run *r)
{
    const size_t n = (size_t)sunup_data_samples(r->eval);
    struct tally t = {.score = malloc(n * sizeof(float)),
                      .count = malloc(n * sizeof(float)),
                      .mass = malloc(n * sizeof(float)),
                      .label = malloc(n * sizeof(int32_t))};
    sunup_status status = SUNUP_E_MEMORY;
    if (t.score != NULL && t.count != NULL && t.mass != NULL && t.label != NULL)
        status = app_visit(r, r->eval, visit, &t);
    else
        (void)app_error(r->ctx, status, "no memory for the scores of %zu jets", n);
    if (status == SUNUP_OK) {
        const double auc = app_auc(t.n, t.score, t.label);
        /* Hanley and McNeil (1982), halves of the jets of each kind */
        const double q1 = auc / (2 - auc), q2 = 2 * auc * auc / (1 + auc), half = 0.5 * (double)t.n;
        const double error = sqrt((auc * (1 - auc) + (half - 1) * (q1 + q2 - 2 * auc * auc)) / (half * half));
        app_score(r, "auc", auc, APP_AT_LEAST, 0.855, "of all test jets");
        app_beside(r, "auc", "number of particles alone", app_auc(t.n, t.count, t.label));
        app_beside(r, "auc", "jet mass alone", app_auc(t.n, t.mass, t.label));
        app_beside(r, "auc", "PyTorch reference, 1,946 test jets", 0.860);
        app_score(r, "standard error of auc", error, APP_REPORT, 0, NULL);
        app_score(r, "accuracy", (double)t.right / (double)t.n, APP_REPORT, 0, NULL);
        app_score(r, "test jets", (double)t.n, APP_AT_LEAST, 8000, "fewer cannot resolve 0.01 in auc");
        status = draw(r, &t);
    }
    free(t.score);
    free(t.count);
    free(t.mass);
    free(t.label);
    return status;
}

const struct app app_jets = {
    .name = "jets",
    .question = "did a quark or a gluon make this jet?",
    .files = "jets/jets.npz jets/test.npz",
    .open = open_source,
    .build = jets_build,
    .score = score,
};
