/* uno.c - how strongly does a drug act on a cancer cell line? CANDLE's Uno in two towers, scored twice from one training:
 * on new pairs of known lines and drugs, beside the additive model (drug + line), and on lines never seen, beside the mean
 * of each drug. "within drugs" leaves the drugs' means out, which most of R2 comes from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uno.h"

/* ---- rows ---- */

sunup_status rows_create(sunup_context *ctx, int64_t room, struct rows *a)
{
    *a = (struct rows){.place = malloc((size_t)room * 3 * sizeof *a->place),
                       .truth = malloc((size_t)room * sizeof *a->truth),
                       .said = calloc((size_t)room, sizeof *a->said)};
    if (a->place != NULL && a->truth != NULL && a->said != NULL) return SUNUP_OK;
    rows_end(a);
    return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld rows", (long long)room);
}

void rows_end(struct rows *a)
{
    free(a->place);
    free(a->truth);
    free(a->said);
    *a = (struct rows){0};
}

static void visit(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct rows *a = arg;
    memcpy(a->place + 3 * sample, f[FIELD_PLACE], 3 * sizeof *a->place);
    a->truth[sample] = *(const float *)f[FIELD_RESPONSE];
    if (y != NULL) a->said[sample] = y[0];
    a->n = sample + 1;
}

/* The rows of one part, in order. */
static sunup_status only(sunup_context *ctx, const struct rows *all, enum part part, struct rows *some)
{
    const sunup_status status = rows_create(ctx, all->n, some);
    for (int64_t i = 0; i < all->n && status == SUNUP_OK; i++) {
        if (all->place[3 * i + 2] != (int32_t)part) continue;
        memcpy(some->place + 3 * some->n, all->place + 3 * i, 3 * sizeof *all->place);
        some->truth[some->n] = all->truth[i];
        some->said[some->n++] = all->said[i];
    }
    return status;
}

/* ---- baselines: k = 1: the drug alone, k = 2: drug and line ---- */

enum { MOST = 1 << 15 }; /* rows of cells.tsv and of drugs.tsv: both are i16 */

static struct app_levels levels_of(const struct rows *a, int k, int32_t *level)
{
    for (int64_t i = 0; i < a->n; i++) {
        level[i * k] = a->place[3 * i + 1];
        if (k == 2) level[i * k + 1] = MOST + a->place[3 * i];
    }
    return (struct app_levels){a->n, 2 * MOST, k, level};
}

/* y [of->n]: fitted on the training rows. */
static sunup_status baseline(sunup_context *ctx, const struct rows *train, int k, const struct rows *of, float *y)
{
    const int64_t most = train->n > of->n ? train->n : of->n;
    int32_t *level = malloc((size_t)(most * k) * sizeof *level);
    double *effect = NULL;
    if (level != NULL) {
        struct app_levels a = levels_of(train, k, level);
        effect = app_effects(&a, train->truth);
        a = levels_of(of, k, level);
        if (effect != NULL) app_effects_predict(&a, effect, y);
    }
    const bool good = effect != NULL;
    free(effect);
    free(level);
    return good ? SUNUP_OK : app_error(ctx, SUNUP_E_MEMORY, "no memory for a baseline");
}

/* ---- scores ---- */

/* Less the mean of its drug over these very rows. */
static void centre(const struct rows *a, const float *y, float *z)
{
    double *sum = calloc(2 * (size_t)MOST, sizeof *sum);
    for (int64_t i = 0; i < a->n && sum != NULL; i++) {
        sum[2 * a->place[3 * i + 1]] += (double)y[i];
        sum[2 * a->place[3 * i + 1] + 1]++;
    }
    for (int64_t i = 0; i < a->n; i++) {
        const double *s = sum != NULL ? sum + 2 * a->place[3 * i + 1] : (double[2]){NAN, 1};
        z[i] = (float)((double)y[i] - s[0] / s[1]);
    }
    free(sum);
}

static double within_drugs(const struct rows *a, const float *y)
{
    float *z = malloc(2 * (size_t)a->n * sizeof *z);
    if (z == NULL) return NAN;
    centre(a, y, z);
    centre(a, a->truth, z + a->n);
    const double r = app_pearson(a->n, z, z + a->n);
    free(z);
    return r;
}

static double rmse(const struct rows *a, const float *y)
{
    return sqrt(app_mse(a->n, y, a->truth));
}

struct limits {
    double r2, pearson;
    const char *note;
};

static const char *named(char text[64], const char *what, const char *of)
{
    (void)snprintf(text, 64, "%s: %s", what, of);
    return text;
}

static void network(struct app_run *r, const struct rows *a, const char *of, const struct limits *l)
{
    char t[64];
    app_score(r, named(t, "R2", of), app_r2(a->n, a->said, a->truth), APP_AT_LEAST, l->r2, l->note);
    app_score(r, named(t, "Pearson", of), app_pearson(a->n, a->said, a->truth),
              l->pearson > 0 ? APP_AT_LEAST : APP_REPORT, l->pearson, NULL);
    app_score(r, named(t, "Pearson within drugs", of), within_drugs(a, a->said), APP_REPORT, 0, NULL);
    app_score(r, named(t, "rms error", of), rmse(a, a->said), APP_REPORT, 0, NULL);
}

static double beside(struct app_run *r, const struct rows *a, const char *of, const char *who, const float *y)
{
    char t[64];
    const double r2 = app_r2(a->n, y, a->truth), within = within_drugs(a, y);
    app_beside(r, named(t, "R2", of), who, r2);
    app_beside(r, named(t, "Pearson", of), who, app_pearson(a->n, y, a->truth));
    if (isfinite(within)) app_beside(r, named(t, "Pearson within drugs", of), who, within);
    app_beside(r, named(t, "rms error", of), who, rmse(a, y));
    return r2;
}

/* The goals of the smoke run are those of its recipe; any other run must beat the baseline. */
static sunup_status score_pairs(struct app_run *r, const struct rows *train, const struct rows *a, float *y)
{
    const char *const of = "new pairs";
    sunup_status status = baseline(r->ctx, train, 1, a, y);
    if (status != SUNUP_OK) return status;
    (void)beside(r, a, of, "mean of the drug", y);
    status = baseline(r->ctx, train, 2, a, y);
    if (status != SUNUP_OK) return status;
    const double additive = beside(r, a, of, "drug + line, least squares", y);
    const bool smoke = strcmp(r->variant, "run") == 0;
    const struct limits l = {smoke ? 0.84 : additive, smoke ? 0.915 : 0, NULL};
    network(r, a, of, &l);
    if (smoke) {
        app_beside(r, "R2: new pairs", "PyTorch reference, one seed, split by rows", 0.852);
        app_beside(r, "Pearson: new pairs", "PyTorch reference, one seed, split by rows", 0.923);
    }
    return SUNUP_OK;
}

static sunup_status score_lines(struct app_run *r, const struct rows *train, const struct rows *a, float *y)
{
    const char *const of = "unseen lines";
    const sunup_status status = baseline(r->ctx, train, 1, a, y);
    if (status != SUNUP_OK) return status;
    const struct limits l = {beside(r, a, of, "mean of the drug", y), 0, "goal: the drug's mean"};
    network(r, a, of, &l);
    return SUNUP_OK;
}

/* A number of 29 bits for who is trained on and who is held out, in order. */
static double split_hash(const struct rows *train, const struct rows *held)
{
    uint64_t h = 0xcbf29ce484222325U; /* FNV-1a */
    const struct rows *const sides[2] = {train, held};
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < 3 * sides[s]->n; i++)
            h = (h ^ (uint32_t)sides[s]->place[i]) * 0x100000001b3U;
    return (double)(h >> 35);
}

static void score_split(struct app_run *r, const struct rows *train, const struct rows *held, const int64_t n[2])
{
    char note[96];
    const double hash = split_hash(train, held);
    (void)snprintf(note, sizeof note, "%.0f: %lld rows trained on, %lld new pairs, %lld of unseen lines", hash,
                   (long long)train->n, (long long)n[0], (long long)n[1]);
    app_score(r, "hash of the split", hash, APP_REPORT, 0, note);
}

/* ---- the picture: predicted against measured, pairs on the left ---- */

enum { BINS = 80, PIXELS = 4, SIDE = BINS * PIXELS, GAP = 16 };

static void panel(const struct rows *a, double low, double high, int left, uint8_t *rgb)
{
    double count[BINS][BINS] = {{0}};
    double most = 1;
    for (int64_t i = 0; i < a->n; i++) {
        const double u = ((double)a->truth[i] - low) / (high - low), v = ((double)a->said[i] - low) / (high - low);
        if (!(u >= 0 && u < 1 && v >= 0 && v < 1)) continue;
        const double n = ++count[BINS - 1 - (int)(v * BINS)][(int)(u * BINS)];
        most = fmax(most, n);
    }
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const double t = log1p(count[y / PIXELS][x / PIXELS]) / log1p(most); /* white, blue, black */
            uint8_t *p = rgb + 3 * (y * (2 * SIDE + GAP) + left + x);
            p[0] = (uint8_t)(255 * pow(1 - t, 1.5));
            p[1] = (uint8_t)(255 * pow(1 - t, 1.1));
            p[2] = (uint8_t)(255 * (1 - 0.5 * t * t));
            if (x + y == SIDE - 1) p[0] = 220, p[1] = p[2] = 60; /* said = measured */
        }
}

static sunup_status draw(const struct app_run *r, const struct rows *pairs, const struct rows *lines)
{
    double mean = 0, square = 0;
    for (int64_t i = 0; i < pairs->n; i++) mean += (double)pairs->truth[i] / (double)pairs->n;
    for (int64_t i = 0; i < pairs->n; i++)
        square += pow((double)pairs->truth[i] - mean, 2) / (double)pairs->n;
    const double low = mean - 3 * sqrt(square), high = mean + 3 * sqrt(square);
    const size_t bytes = 3 * (size_t)SIDE * (2 * SIDE + GAP);
    uint8_t *rgb = malloc(bytes);
    if (rgb == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a picture");
    memset(rgb, 128, bytes);
    panel(pairs, low, high, 0, rgb);
    panel(lines, low, high, SIDE + GAP, rgb);
    const sunup_status status = app_png(r, "response.png", SIDE, 2 * SIDE + GAP, rgb);
    free(rgb);
    return status;
}

/* ---- the app ---- */

static sunup_status score_parts(struct app_run *r, const struct rows *train, const struct rows *held)
{
    struct rows pairs = {0}, lines = {0};
    float *y = malloc((size_t)held->n * sizeof *y);
    sunup_status status = only(r->ctx, held, PART_PAIRS, &pairs);
    if (status == SUNUP_OK) status = only(r->ctx, held, PART_LINES, &lines);
    if (status == SUNUP_OK && y == NULL)
        status = app_error(r->ctx, SUNUP_E_MEMORY, "no memory for %lld rows", (long long)held->n);
    if (status == SUNUP_OK) status = score_pairs(r, train, &pairs, y);
    if (status == SUNUP_OK) status = score_lines(r, train, &lines, y);
    if (status == SUNUP_OK) score_split(r, train, held, (int64_t[2]){pairs.n, lines.n});
    if (status == SUNUP_OK && r->run_dir != NULL) status = draw(r, &pairs, &lines);
    rows_end(&pairs);
    rows_end(&lines);
    free(y);
    return status;
}

static sunup_status score(struct app_run *r)
{
    if (r->train == NULL || sunup_data_samples(r->train) < 1)
        return app_error(r->ctx, SUNUP_E_ARGUMENT, "uno: the baselines need the training rows");
    struct rows train = {0}, held = {0};
    sunup_status status = rows_create(r->ctx, sunup_data_samples(r->train), &train);
    if (status == SUNUP_OK) status = rows_create(r->ctx, sunup_data_samples(r->eval), &held);
    if (status == SUNUP_OK) status = app_visit_fields(r->train, visit, &train);
    if (status == SUNUP_OK) status = app_visit(r, r->eval, visit, &held);
    if (status == SUNUP_OK) status = score_parts(r, &train, &held);
    rows_end(&train);
    rows_end(&held);
    return status;
}

const struct app app_uno = {
    .name = "uno",
    .question = "how strongly does a drug act on a cancer cell line?",
    .files = "gdsc/gdsc2.npz gdsc/gdsc1.npz gdsc/expression.npz gdsc/drugs.npz",
    .open = response_open,
    .score = score,
};
