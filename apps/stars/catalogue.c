/* catalogue.c - the catalogue as samples: stars of the ten kinds that have all four numbers, at most `cap` of a kind.
 *
 * No other column is read: which of them are missing follows from the kind of the star, and so does the part of the sky.
 * Source's keys: cap 8000 (0: all stars), held test (validation), split 1.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stars.h"

static const double test = 0.2, validation = 0.1; /* shares */

struct place place_of(const float star[FEATURES], uint64_t split, bool validating)
{
    int64_t key[2];
    memcpy(key, star, sizeof key);
    struct app_random r = app_random(split, "star", key[0], key[1]);
    const double u = app_uniform(&r, 0, 1), turn = app_uniform(&r, 0, 1);
    const double out = validating ? test : 0, held = validating ? test + validation : test;
    return (struct place){u < out ? PART_OUT : u < held ? PART_HELD : PART_TRAIN, turn};
}

/* ---- reading ---- */

struct star {
    float x[FEATURES];
    int32_t kind;
    struct place place;
};

struct catalogue {
    uint64_t split;
    bool validating;
    int64_t n;
    struct star *star;
};

static bool known(const float *x)
{
    return isfinite(x[0]) && isfinite(x[1]) && isfinite(x[2]) && isfinite(x[3]);
}

/* t: I, V, period, amplitude, kind */
static sunup_status take(sunup_context *ctx, const sunup_tensor t[5], struct catalogue *c)
{
    const int64_t rows = t[0].shape.d[0];
    const float *column[5];
    for (int i = 0; i < 5; i++) {
        column[i] = t[i].data;
        if (t[i].shape.n != 1 || t[i].shape.d[0] != rows)
            return app_error(ctx, SUNUP_E_SHAPE,
                             "ogle/stars.npz: column %d does not have %lld rows", i,
                             (long long)rows);
    }
    c->star = malloc((size_t)(rows > 0 ? rows : 1) * sizeof *c->star);
    if (c->star == NULL)
        return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld stars", (long long)rows);
    for (int64_t i = 0; i < rows; i++) {
        struct star s = {
            {column[0][i], column[1][i] - column[0][i], log10f(column[2][i]), log10f(column[3][i])},
            (int32_t)column[4][i],
            {0}};
        if (s.kind < 0 || !known(s.x)) continue;
        if (s.kind >= KINDS)
            return app_error(ctx, SUNUP_E_FORMAT, "ogle/stars.npz: row %lld: kind %d of %d",
                             (long long)i, s.kind, KINDS);
        const float own[FEATURES] = {column[0][i], column[1][i], column[2][i], column[3][i]};
        s.place = place_of(own, c->split, c->validating);
        c->star[c->n++] = s;
    }
    return SUNUP_OK;
}

static sunup_status read_stars(sunup_context *ctx, struct catalogue *c)
{
    static const char *const members[5] = {"I", "V", "period1", "amplitude1", "class10"};
    sunup_tensor t[5] = {{0}};
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < 5 && status == SUNUP_OK; i++)
        status = app_read_f32(ctx, "ogle/stars.npz", members[i], &t[i]);
    if (status == SUNUP_OK) status = take(ctx, t, c);
    for (int i = 0; i < 5; i++) sunup_free(t[i].data);
    return status;
}

/* ---- choosing ---- */

static int by_turn(const void *a, const void *b)
{
    const struct star *p = a, *q = b;
    if (p->place.turn != q->place.turn) return p->place.turn < q->place.turn ? -1 : 1;
    return memcmp(p->x, q->x, sizeof p->x); /* equal numbers are drawn to equal turns */
}

/* The first `cap` of each kind, all of them if it is 0. */
static void keep_first(struct catalogue *c, int64_t cap)
{
    int64_t count[KINDS] = {0}, kept = 0;
    qsort(c->star, (size_t)c->n, sizeof *c->star, by_turn);
    for (int64_t i = 0; i < c->n; i++)
        if (cap == 0 || count[c->star[i].kind]++ < cap) c->star[kept++] = c->star[i];
    c->n = kept;
}

struct columns {
    int64_t n;
    float *x, *measured; /* [n][FEATURES] */
    int32_t *label;
};

static sunup_status columns_create(sunup_context *ctx, int64_t room, struct columns *t)
{
    const size_t n = (size_t)room + 1;
    *t = (struct columns){.x = malloc(n * FEATURES * sizeof *t->x),
                          .measured = malloc(n * FEATURES * sizeof *t->measured),
                          .label = malloc(n * sizeof *t->label)};
    return t->x != NULL && t->measured != NULL && t->label != NULL
               ? SUNUP_OK
               : app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld stars", (long long)room);
}

static void columns_end(struct columns *t)
{
    free(t->x);
    free(t->measured);
    free(t->label);
}

/* All stars, made comparable by the training stars; then those of `part`. */
static sunup_status fill(sunup_context *ctx, const struct catalogue *c, enum part part,
                         struct columns *t)
{
    bool *used = malloc((size_t)(c->n + 1) * sizeof *used);
    if (used == NULL)
        return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld stars", (long long)c->n);
    for (int64_t i = 0; i < c->n; i++) {
        memcpy(t->x + i * FEATURES, c->star[i].x, sizeof c->star[i].x);
        used[i] = c->star[i].place.part == PART_TRAIN;
    }
    sunup_tensor all = {"star", SUNUP_F32, SUNUP_SHAPE(c->n, FEATURES), t->x};
    const sunup_status status = app_columns(ctx, &all, used, FEATURES);
    free(used);
    for (int64_t i = 0; i < c->n; i++) {
        if (c->star[i].place.part != part) continue;
        memmove(t->x + t->n * FEATURES, t->x + i * FEATURES, FEATURES * sizeof *t->x);
        memcpy(t->measured + t->n * FEATURES, c->star[i].x, sizeof c->star[i].x);
        t->label[t->n++] = c->star[i].kind;
    }
    return status;
}

static sunup_status deliver(sunup_context *ctx, const struct catalogue *c, enum part part,
                            int64_t most, sunup_data **data)
{
    struct columns t;
    sunup_status status = columns_create(ctx, c->n, &t);
    if (status == SUNUP_OK) status = fill(ctx, c, part, &t);
    if (status == SUNUP_OK && t.n == 0)
        status = app_error(ctx, SUNUP_E_ARGUMENT, "stars: no star is left");
    const int64_t n = most > 0 && most < t.n ? most : t.n;
    const sunup_tensor fields[FIELDS] = {
        [FIELD_STAR] = {"star", SUNUP_F32, SUNUP_SHAPE(n, FEATURES), t.x},
        [FIELD_LABEL] = {"label", SUNUP_I32, SUNUP_SHAPE(n), t.label},
        [FIELD_MEASURED] = {"measured", SUNUP_F32, SUNUP_SHAPE(n, FEATURES), t.measured}};
    if (status == SUNUP_OK) status = sunup_data_from_memory(ctx, FIELDS, fields, data);
    columns_end(&t);
    return status;
}

sunup_status catalogue_open(struct app_data *d, sunup_data **data)
{
    sunup_context *ctx = app_context(d);
    const char *held = app_word(d, "held", "test");
    const double cap = app_number(d, "cap", 8000), split = app_number(d, "split", 1);
    struct catalogue c = {.split = (uint64_t)split, .validating = strcmp(held, "validation") == 0};
    if (!c.validating && strcmp(held, "test") != 0)
        return app_error(ctx, SUNUP_E_ARGUMENT, "stars: held is '%s'; there are test, validation",
                         held);
    if (!(cap >= 0 && cap <= 1e9 && cap == floor(cap)))
        return app_error(ctx, SUNUP_E_ARGUMENT,
                         "stars: cap is %g; it must be a whole number, 0 for all stars", cap);
    sunup_status status = read_stars(ctx, &c);
    if (status == SUNUP_OK) {
        keep_first(&c, (int64_t)cap);
        status = deliver(ctx, &c, app_training(d) ? PART_TRAIN : PART_HELD, app_samples(d), data);
    }
    free(c.star);
    return status;
}
