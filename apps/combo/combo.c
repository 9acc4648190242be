/* combo.c - which two drugs help each other against a cancer cell line? CANDLE's Combo on O'Neil's measured pairs. One tower
 * for both drugs (they are the two rows of one value, so its weights are shared) and their sum behind it: the network
 * cannot tell their order. Drugs are numbers without structures here, so each is an embedding; a line is an embedding
 * beside its expression, which is 0, the mean, for the 7 lines that have none.
 *
 * Whole pairs of drugs are held out (the source's fold 0). `held: validation` leaves fold 0 out altogether and holds out
 * fold 1: there the recipe was chosen. Source's keys: held test (validation), genes 942.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

enum { FIELD_DRUGS, FIELD_CELL, FIELD_EXPRESSION, FIELD_SYNERGY, FIELDS };
enum { MEMBER_DRUG1, MEMBER_DRUG2, MEMBER_CELL, MEMBER_SYNERGY, MEMBER_FOLD, MEMBER_LINES, MEMBERS };
static const char *const members[MEMBERS] = {"drug1",   "drug2",     "cell",
                                             "synergy", "fold_pair", "cell_gdsc_index"};
static const char pairs_file[] = "oneil/pairs.npz";

/* ---- samples ---- */

struct combinations {
    int64_t n;
    int32_t *place; /* [n][3]: drug, drug, line */
    float *synergy; /* [n] */
    float *line;    /* [lines]: row of expression, -1: none */
    sunup_tensor expression;
};

static void end(void *arg)
{
    struct combinations *s = arg;
    free(s->place);
    free(s->synergy);
    sunup_free(s->line);
    sunup_free(s->expression.data);
    free(s);
}

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *field)
{
    (void)epoch;
    const struct combinations *s = arg;
    const int32_t *place = s->place + 3 * sample;
    const int64_t genes = s->expression.shape.d[1], row = (int64_t)s->line[place[2]];
    const size_t bytes = (size_t)genes * sizeof(float);
    memcpy(field[FIELD_DRUGS], place, 2 * sizeof *place);
    memcpy(field[FIELD_CELL], place + 2, sizeof *place);
    if (row >= 0)
        memcpy(field[FIELD_EXPRESSION], (const float *)s->expression.data + row * genes, bytes);
    else
        memset(field[FIELD_EXPRESSION], 0, bytes);
    *(float *)field[FIELD_SYNERGY] = s->synergy[sample];
    return true;
}

/* Is this fold's row for this side? */
static bool wanted(int fold, bool training, bool validation)
{
    const int held = validation ? 1 : 0;
    return training ? fold > held : fold == held;
}

static sunup_status take(sunup_context *ctx, struct combinations *s, const sunup_tensor *t, bool training,
                         bool validation)
{
    const int64_t rows = t[MEMBER_CELL].shape.d[0], lines = t[MEMBER_LINES].shape.d[0];
    s->place = malloc((size_t)rows * 3 * sizeof *s->place);
    s->synergy = malloc((size_t)rows * sizeof *s->synergy);
    if (s->place == NULL || s->synergy == NULL)
        return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld combinations", (long long)rows);
    for (int64_t i = 0; i < rows; i++) {
        if (!wanted((int)((const float *)t[MEMBER_FOLD].data)[i], training, validation)) continue;
        int32_t *place = s->place + 3 * s->n;
        for (int k = 0; k < 3; k++) place[k] = (int32_t)((const float *)t[MEMBER_DRUG1 + k].data)[i];
        if (place[2] < 0 || place[2] >= lines)
            return app_error(ctx, SUNUP_E_FORMAT, "%s: row %lld: line %d of %lld", pairs_file, (long long)i,
                             place[2], (long long)lines);
        s->synergy[s->n++] = ((const float *)t[MEMBER_SYNERGY].data)[i];
    }
    return SUNUP_OK;
}

/* Every line is trained on where pairs are held out, so those of the table are the training lines. */
static sunup_status standardise(sunup_context *ctx, struct combinations *s, int64_t lines, int64_t genes)
{
    bool *used = calloc((size_t)s->expression.shape.d[0], sizeof *used);
    if (used == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for marks of lines");
    sunup_status status = SUNUP_OK;
    for (int64_t i = 0; i < lines; i++) {
        if (s->line[i] >= (float)s->expression.shape.d[0])
            status = app_error(ctx, SUNUP_E_FORMAT, "%s: line %lld has row %.0f of expressions of %lld lines",
                               pairs_file, (long long)i, (double)s->line[i],
                               (long long)s->expression.shape.d[0]);
        else if (s->line[i] >= 0)
            used[(int64_t)s->line[i]] = true;
    }
    if (status == SUNUP_OK) status = app_columns(ctx, &s->expression, used, genes);
    free(used);
    return status;
}

static sunup_status load(struct app_data *d, struct combinations *s)
{
    sunup_context *ctx = app_context(d);
    const char *held = app_word(d, "held", "test");
    const bool validation = strcmp(held, "validation") == 0;
    const int64_t genes = (int64_t)app_number(d, "genes", 942);
    if (!validation && strcmp(held, "test") != 0)
        return app_error(ctx, SUNUP_E_ARGUMENT, "combo: held is '%s'; there are test and validation", held);
    sunup_tensor t[MEMBERS] = {{0}};
    sunup_status status = app_read_f32(ctx, "gdsc/expression.npz", "expression", &s->expression);
    for (int i = 0; i < MEMBERS && status == SUNUP_OK; i++)
        status = app_read_f32(ctx, pairs_file, members[i], &t[i]);
    if (status == SUNUP_OK) status = take(ctx, s, t, app_training(d), validation);
    s->line = t[MEMBER_LINES].data;
    if (status == SUNUP_OK) status = standardise(ctx, s, t[MEMBER_LINES].shape.d[0], genes);
    for (int i = 0; i < MEMBERS; i++)
        if (i != MEMBER_LINES) sunup_free(t[i].data);
    return status;
}

static sunup_status open_source(struct app_data *d, sunup_data **data)
{
    sunup_context *ctx = app_context(d);
    struct combinations *s = calloc(1, sizeof *s);
    if (s == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for combinations");
    const sunup_status status = load(d, s);
    if (status != SUNUP_OK) {
        end(s);
        return status;
    }
    const int64_t wish = app_samples(d), n = wish > 0 && wish < s->n ? wish : s->n;
    const sunup_tensor fields[FIELDS] = {
        [FIELD_DRUGS] = {"drugs", SUNUP_I32, SUNUP_SHAPE(2), NULL},
        [FIELD_CELL] = {"cell", SUNUP_I32, SUNUP_SHAPE(1), NULL},
        [FIELD_EXPRESSION] = {"expression", SUNUP_F32, SUNUP_SHAPE(s->expression.shape.d[1]), NULL},
        [FIELD_SYNERGY] = {"synergy", SUNUP_F32, SUNUP_SHAPE(1), NULL}};
    const sunup_sampler sampler = {fill, end, s};
    return sunup_data_from_sampler(ctx, FIELDS, fields, n, &sampler, data);
}

/* ---- scores ---- */

struct rows {
    int64_t n;
    int32_t *place;      /* [n][3] */
    float *truth, *said; /* [n] */
};

static sunup_status rows_create(sunup_context *ctx, int64_t room, struct rows *a)
{
    *a = (struct rows){.place = malloc((size_t)room * 3 * sizeof *a->place),
                       .truth = malloc((size_t)room * sizeof *a->truth),
                       .said = calloc((size_t)room, sizeof *a->said)};
    if (a->place != NULL && a->truth != NULL && a->said != NULL) return SUNUP_OK;
    return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld rows", (long long)room);
}

static void rows_end(struct rows *a)
{
    free(a->place);
    free(a->truth);
    free(a->said);
}

static void visit(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct rows *a = arg;
    memcpy(a->place + 3 * sample, f[FIELD_DRUGS], 2 * sizeof *a->place);
    a->place[3 * sample + 2] = *(const int32_t *)f[FIELD_CELL];
    a->truth[sample] = *(const float *)f[FIELD_SYNERGY];
    if (y != NULL) a->said[sample] = y[0];
    a->n = sample + 1;
}

/* Which of (drug, drug, line) a baseline knows; both drugs have one table of effects. */
static const struct baseline {
    const char *name;
    int first, k;
} baselines[] = {{"mean of the line", 2, 1}, {"the two drugs, least squares", 0, 2}, {"drugs + line, least squares", 0, 3}};

enum { LINES_AT = 1 << 15, LEVELS = 1 << 16 }; /* drugs and lines are i16 */

static struct app_levels levels_of(const struct rows *a, const struct baseline *b, int32_t *level)
{
    for (int64_t i = 0; i < a->n; i++)
        for (int j = 0; j < b->k; j++) {
            const int at = b->first + j;
            level[i * b->k + j] = a->place[3 * i + at] + (at == 2 ? LINES_AT : 0);
        }
    return (struct app_levels){a->n, LEVELS, b->k, level};
}

static sunup_status beside(struct app_run *r, const struct rows *train, const struct rows *test,
                           const struct baseline *b)
{
    const int64_t most = train->n > test->n ? train->n : test->n;
    int32_t *level = malloc((size_t)(most * b->k) * sizeof *level);
    float *y = malloc((size_t)test->n * sizeof *y);
    double *effect = NULL;
    if (level != NULL && y != NULL) {
        struct app_levels a = levels_of(train, b, level);
        effect = app_effects(&a, train->truth);
        a = levels_of(test, b, level);
        if (effect != NULL) app_effects_predict(&a, effect, y);
    }
    const bool good = effect != NULL;
    if (good) {
        app_beside(r, "Pearson", b->name, app_pearson(test->n, y, test->truth));
        app_beside(r, "mean square error", b->name, app_mse(test->n, y, test->truth));
    }
    free(effect);
    free(level);
    free(y);
    return good ? SUNUP_OK : app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a baseline");
}

static double variance(const struct rows *a)
{
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < a->n; i++) mean += (double)a->truth[i] / (double)a->n;
    for (int64_t i = 0; i < a->n; i++) sum += pow((double)a->truth[i] - mean, 2) / (double)a->n;
    return sum;
}

static sunup_status draw(const struct app_run *r, const struct rows *a)
{
    enum { MOST = 1200 };
    double x[MOST], y[MOST];
    const int64_t step = (a->n + MOST - 1) / MOST;
    int n = 0;
    for (int64_t i = 0; i < a->n && n < MOST; i += step) {
        if (!(fabs((double)a->truth[i]) < 100 && fabs((double)a->said[i]) < 100)) continue;
        x[n] = (double)a->truth[i];
        y[n++] = (double)a->said[i];
    }
    const double ends[2] = {-60, 100};
    const struct app_series series[2] = {{"held-out pair of drugs on a line", APP_POINTS, n, x, y},
                                         {"said = measured", APP_LINE, 2, ends, ends}};
    const struct app_plot plot = {"Synergy of two drugs (Loewe)", "measured", "said", 2, series, NAN};
    return app_svg(r, "synergy.svg", &plot);
}

static sunup_status score_rows(struct app_run *r, const struct rows *train, const struct rows *test)
{
    const bool smoke = strcmp(r->variant, "run") == 0;
    char note[96];
    (void)snprintf(note, sizeof note, "variance %.4g; %lld rows, trained on %lld", variance(test),
                   (long long)test->n, (long long)train->n);
    app_score(r, "Pearson", app_pearson(test->n, test->said, test->truth), APP_AT_LEAST, smoke ? 0.67 : 0.42,
              "held-out pairs of drugs");
    app_score(r, "mean square error", app_mse(test->n, test->said, test->truth), APP_AT_MOST,
              smoke ? 230 : 351, note);
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < 3 && status == SUNUP_OK; i++) status = beside(r, train, test, &baselines[i]);
    app_beside(r, "Pearson", "PyTorch reference, one seed", 0.697);
    app_beside(r, "mean square error", "PyTorch reference, one seed", 220);
    if (status == SUNUP_OK && r->run_dir != NULL) status = draw(r, test);
    return status;
}

static sunup_status score(struct app_run *r)
{
    if (r->train == NULL)
        return app_error(r->ctx, SUNUP_E_ARGUMENT, "combo: the baselines need the training rows");
    struct rows train = {0}, test = {0};
    sunup_status status = rows_create(r->ctx, sunup_data_samples(r->train), &train);
    if (status == SUNUP_OK) status = rows_create(r->ctx, sunup_data_samples(r->eval), &test);
    if (status == SUNUP_OK) status = app_visit_fields(r->train, visit, &train);
    if (status == SUNUP_OK) status = app_visit(r, r->eval, visit, &test);
    if (status == SUNUP_OK) status = score_rows(r, &train, &test);
    rows_end(&train);
    rows_end(&test);
    return status;
}

const struct app app_combo = {
    .name = "combo",
    .question = "which two drugs help each other against a cancer cell line?",
    .files = "oneil/pairs.npz gdsc/expression.npz",
    .open = open_source,
    .score = score,
};
