/* cosmictagger.c - which charge in a liquid-argon chamber came from the beam's neutrino, which from cosmic rays? A
 * three-plane U-Net (CosmicTagger; Acciarri et al. 2021) learns it from simulated events, and is asked about other
 * simulated events and about the official ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lartpc.h"

/* ---- samples: x, label: pictures of an event ---- */

struct source {
    sunup_context *ctx;
    struct readout *readout;   /* simulated events, or */
    struct official *official; /* the official ones */
    uint64_t seed;
    struct recipe how;
    int pool;
};

static void end_source(void *arg)
{
    struct source *s = arg;
    lartpc_readout_end(s->readout);
    official_end(s->official);
    free(s);
}

static bool fill_official(const struct source *s, int64_t event, float *x, int32_t *label)
{
    const size_t pixels = (size_t)PLANES * (size_t)(TICKS / s->pool) * (size_t)(WIRES / s->pool);
    memset(x, 0, pixels * sizeof *x);
    memset(label, 0, pixels * sizeof *label);
    for (int plane = 0; plane < PLANES; plane++) {
        struct hits h;
        official_hits(s->official, event, plane, &h);
        lartpc_pool(&h, plane, s->pool, x, label);
    }
    return true;
}

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *y)
{
    struct source *s = arg;
    if (s->official != NULL) return fill_official(s, sample, y[0], y[1]);
    struct app_random r = app_random(s->seed, "event", epoch, sample);
    struct deposits d = {0};
    lartpc_event(&r, &s->how, &d);
    const bool good = !d.short_of_memory && lartpc_image(s->readout, &r, &d, s->pool, y[0], y[1]);
    free(d.d);
    return good;
}

/* Takes s, also where it fails. */
static sunup_status make(struct source *s, int64_t samples, sunup_data **data)
{
    const int64_t rows = TICKS / s->pool, columns = WIRES / s->pool;
    const sunup_tensor fields[2] = {{"x", SUNUP_F32, SUNUP_SHAPE(PLANES, rows, columns, 1), NULL},
                                    {"label", SUNUP_I32, SUNUP_SHAPE(PLANES, rows, columns), NULL}};
    const sunup_sampler sampler = {fill, end_source, s};
    return sunup_data_from_sampler(s->ctx, 2, fields, samples, &sampler, data);
}

static sunup_status simulated(sunup_context *ctx, const struct source *as, int64_t samples,
                              sunup_data **data)
{
    struct source *s = malloc(sizeof *s);
    if (s == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for a simulator");
    *s = *as;
    s->ctx = ctx;
    const sunup_status status = lartpc_readout(ctx, s->seed, &s->how, &s->readout);
    if (status == SUNUP_OK) return make(s, samples, data);
    free(s);
    return status;
}

static sunup_status official(sunup_context *ctx, int pool, sunup_data **data)
{
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for events");
    s->ctx = ctx;
    s->pool = pool;
    const sunup_status status = official_open(ctx, &s->official);
    if (status == SUNUP_OK) return make(s, official_events(s->official), data);
    free(s);
    return status;
}

static sunup_status open_source(struct app_data *d, sunup_data **data)
{
    const char *word = app_word(d, "recipe", "sbnd");
    const bool plain = strcmp(word, "plain") == 0;
    if (!plain && strcmp(word, "sbnd") != 0)
        return app_error(app_context(d), SUNUP_E_ARGUMENT,
                         "cosmictagger: recipe is '%s'; it must be sbnd or plain", word);
    const struct recipe usual = plain ? lartpc_plain : lartpc_sbnd;
    struct source s = {.seed = app_seed(d), .how = usual};
    const double pool = app_number(d, "pool", 4);
    s.how.cosmics = app_number(d, "cosmics", usual.cosmics);
    s.how.noise = app_number(d, "noise", usual.noise);
    s.pool = pool == 1 || pool == 2 || pool == 4 || pool == 8 || pool == 16 ? (int)pool : 0;
    if (s.pool == 0 || s.how.cosmics < 0 || s.how.cosmics > 100 || s.how.noise < 0 ||
        s.how.noise > 2)
        return app_error(
            app_context(d), SUNUP_E_ARGUMENT,
            "cosmictagger: pool is %g, cosmics %g, noise %g; they must be 1, 2, 4, 8 or 16; "
            "0 to 100; 0 to 2",
            pool, s.how.cosmics, s.how.noise);
    return simulated(app_context(d), &s, app_samples(d) > 0 ? app_samples(d) : 600, data);
}

/* ---- scores ---- */

enum { LEVELS = 256 };

struct tally {
    int64_t pixels;                 /* of an event */
    int64_t by[CLASSES][CLASSES];   /* pixels by truth, prediction */
    int64_t level[LEVELS][CLASSES]; /* hits by charge, truth */
    uint8_t *kept;                  /* predictions of all samples, or NULL */
};

static int best_of(const float *y)
{
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        if (y[c] > y[best]) best = c;
    return best;
}

static int level_of(float x)
{
    const int level = (int)(x * (LEVELS / 2));
    return level < LEVELS ? level : LEVELS - 1;
}

/* y NULL: charges only. */
static void count(void *arg, int64_t sample, const float *y, const void *const *f)
{
    struct tally *t = arg;
    const float *x = f[0];
    const int32_t *truth = f[1];
    for (int64_t i = 0; i < t->pixels; i++) {
        t->level[level_of(x[i])][truth[i]]++;
        if (y == NULL) continue;
        const int said = best_of(y + CLASSES * i);
        t->by[truth[i]][said]++;
        if (t->kept != NULL) t->kept[sample * t->pixels + i] = (uint8_t)said;
    }
}

static double ratio(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : NAN;
}

static double iou(const struct tally *t, int c)
{
    int64_t any = -t->by[c][c];
    for (int k = 0; k < CLASSES; k++) any += t->by[c][k] + t->by[k][c];
    return ratio(t->by[c][c], any);
}

struct measures {
    double accuracy, other, cosmic,
        neutrino; /* other: accuracy where the truth is not background */
};

static struct measures measure(const struct tally *t)
{
    int64_t all = 0, right = 0, hits = 0, found = 0;
    for (int a = 0; a < CLASSES; a++)
        for (int b = 0; b < CLASSES; b++) {
            all += t->by[a][b];
            right += a == b ? t->by[a][b] : 0;
            hits += a > 0 ? t->by[a][b] : 0;
            found += a > 0 && a == b ? t->by[a][b] : 0;
        }
    return (struct measures){ratio(right, all), ratio(found, hits), iou(t, COSMIC),
                             iou(t, NEUTRINO)};
}

/* What "cosmic where the charge is at least level `from`" would score. */
static struct measures above(const struct tally *t, int from)
{
    struct tally b = {0};
    for (int l = 0; l < LEVELS; l++)
        for (int c = 0; c < CLASSES; c++) b.by[c][l >= from ? COSMIC : NOISE] += t->level[l][c];
    return measure(&b);
}

static const char *const names[] = {"accuracy", "non-background accuracy", "cosmic IoU",
                                    "neutrino IoU"};

static void beside(struct app_run *r, const char *of, const char *who, struct measures m)
{
    const double value[] = {m.accuracy, m.other, m.cosmic, m.neutrino};
    for (int i = 0; i < 4; i++) {
        char what[64] = "";
        (void)strcat(strcat(strcat(what, of), " "), names[i]);
        if (isfinite(value[i])) app_beside(r, what, who, value[i]);
    }
}

struct goals {
    double other, cosmic; /* 0: reported only */
};

static void report(struct app_run *r, const char *of, const struct tally *t, struct goals g)
{
    const struct measures m = measure(t);
    const double value[] = {m.accuracy, m.other, m.cosmic, m.neutrino},
                 goal[] = {0, g.other, g.cosmic, 0};
    for (int i = 0; i < 4; i++) {
        char what[64] = "";
        (void)strcat(strcat(strcat(what, of), " "), names[i]);
        app_score(r, what, value[i], goal[i] > 0 ? APP_AT_LEAST : APP_REPORT, goal[i], NULL);
    }
}

/* The level of charge with the best cosmic IoU on some events of training. */
static sunup_status best_level(struct app_run *r, int pool, int64_t pixels, int *level)
{
    struct tally t = {.pixels = pixels};
    const struct source like = {.seed = r->seed, .how = lartpc_sbnd, .pool = pool};
    sunup_data *data;
    sunup_status status = simulated(r->ctx, &like, 16, &data);
    if (status == SUNUP_OK) status = app_visit_fields(data, count, &t);
    sunup_data_destroy(&data);
    *level = 1;
    for (int l = 1; l < LEVELS; l++)
        if (above(&t, l).cosmic > above(&t, *level).cosmic) *level = l;
    return status;
}

/* ---- the picture: planes below each other; charge, truth, prediction ---- */

static void paint(uint8_t *rgb, int label, float x)
{
    static const uint8_t of[CLASSES][3] = {{255, 255, 255}, {30, 90, 200}, {220, 40, 30}};
    for (int k = 0; k < 3; k++) rgb[k] = of[label][k];
    if (label == NOISE && x >= 0) memset(rgb, (int)(255 - fminf(200 * x, 255)), 3);
}

static sunup_status draw(const struct app_run *r, int pool, const float *x, const int32_t *truth,
                         const uint8_t *said)
{
    const int64_t rows = TICKS / pool, columns = WIRES / pool, width = 3 * columns + 8;
    uint8_t *rgb = calloc((size_t)(PLANES * (rows + 4) * width), 3);
    if (rgb == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a picture");
    for (int64_t i = 0; i < PLANES * rows * columns; i++) {
        const int64_t plane = i / (rows * columns), row = i / columns % rows, column = i % columns;
        uint8_t *at = rgb + 3 * ((plane * (rows + 4) + rows - 1 - row) * width + column);
        paint(at, NOISE, x[i]);
        paint(at + 3 * (columns + 4), truth[i], -1);
        paint(at + 6 * (columns + 4), said[i], -1);
    }
    const sunup_status status = app_png(r, "event.png", PLANES * (rows + 4), width, rgb);
    free(rgb);
    return status;
}

struct shown {
    const struct app_run *run;
    int pool;
    int64_t event, pixels;
    const uint8_t *kept;
    sunup_status status;
};

static void show(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)y;
    struct shown *s = arg;
    if (sample == s->event)
        s->status = draw(s->run, s->pool, f[0], f[1], s->kept + sample * s->pixels);
}

/* ---- all together ---- */

static sunup_status score_official(struct app_run *r, int pool, int64_t pixels, int level)
{
    sunup_data *data;
    sunup_status status = official(r->ctx, pool, &data);
    if (status != SUNUP_OK) return status;
    struct tally t = {.pixels = pixels,
                      .kept = malloc((size_t)(sunup_data_samples(data) * pixels))};
    if (t.kept == NULL) status = app_error(r->ctx, SUNUP_E_MEMORY, "no memory for predictions");
    if (status == SUNUP_OK) status = app_visit(r, data, count, &t);
    if (status == SUNUP_OK) {
        report(r, "official", &t, (struct goals){0, 0.75});
        beside(r, "official", "all background", above(&t, LEVELS));
        beside(r, "official", "cosmic above a charge", above(&t, level));
        beside(r, "official", "PyTorch reference, trained on plain events",
               (struct measures){NAN, 0.575, 0.523, 0.140});
        beside(r, "official", "benchmark's goals, trained on 43,075 official events",
               (struct measures){0.999, 0.95, 0.90, 0.70});
        struct shown s = {r, pool, 2, pixels, t.kept, SUNUP_OK};
        if (r->run_dir != NULL) status = app_visit_fields(data, show, &s);
        if (status == SUNUP_OK) status = s.status;
    }
    free(t.kept);
    sunup_data_destroy(&data);
    return status;
}

/* Events of the recipe on whose events the reference was measured; no run's training has their seed. */
static sunup_status score_plain(struct app_run *r, int pool, int64_t pixels)
{
    const struct source like = {.seed = ~r->seed, .how = lartpc_plain, .pool = pool};
    struct tally t = {.pixels = pixels};
    sunup_data *data;
    sunup_status status = simulated(r->ctx, &like, 24, &data);
    if (status == SUNUP_OK) status = app_visit(r, data, count, &t);
    sunup_data_destroy(&data);
    if (status != SUNUP_OK) return status;
    report(r, "plain", &t, (struct goals){0, 0});
    beside(r, "plain", "all background", above(&t, LEVELS));
    beside(r, "plain", "PyTorch reference, trained on such events",
           (struct measures){0.999, 0.925, 0.925, 0.176});
    return SUNUP_OK;
}

static sunup_status score(struct app_run *r)
{
    const sunup_shape shape = app_field_shape(r->eval, 0);
    int level;
    const int64_t pixels = shape.d[0] * shape.d[1] * shape.d[2];
    const int pool = (int)(WIRES / shape.d[2]);
    struct tally t = {.pixels = pixels};
    sunup_status status = app_visit(r, r->eval, count, &t);
    if (status == SUNUP_OK) status = best_level(r, pool, pixels, &level);
    if (status != SUNUP_OK) return status;
    report(r, "simulated", &t, (struct goals){0.88, 0.85});
    beside(r, "simulated", "all background", above(&t, LEVELS));
    beside(r, "simulated", "cosmic above a charge", above(&t, level));
    status = score_plain(r, pool, pixels);
    return status == SUNUP_OK ? score_official(r, pool, pixels, level) : status;
}

const struct app app_cosmictagger = {
    .name = "cosmictagger",
    .question =
        "which charge in a liquid-argon chamber is the neutrino's, which came with cosmic rays?",
    .files = "cosmictagger/cosmic_tagging_light.h5",
    .open = open_source,
    .score = score,
};
