/* response.c - GDSC's tables as samples: a sample copies the row of its cell line and the row of its drug out of two tables
 * of features, which are made once, from the lines and drugs of the training rows only.
 *
 * Source's keys: table gdsc2 (gdsc1, both), target ln_ic50 (auc), held test (validation), split 1, genes 942.
 * Memory: the tables (a few MB) and 16 bytes a row, on every rank, for training and evaluation each.
 */
#include <stdlib.h>
#include <string.h>

#include "uno.h"

struct responses {
    int64_t n, room;
    int32_t *place; /* [n][3]: line, drug, part */
    float *y;
    sunup_tensor cell, descriptor, fingerprint; /* [lines][genes], [drugs][..], u8 [drugs][bytes] as f32 */
    float *drug;                                /* [drugs][descriptors + bits] */
    int64_t drug_features;
};

static void end(void *arg)
{
    struct responses *s = arg;
    free(s->place);
    free(s->y);
    free(s->drug);
    sunup_free(s->cell.data);
    sunup_free(s->descriptor.data);
    sunup_free(s->fingerprint.data);
    free(s);
}

static bool fill(void *arg, int64_t epoch, int64_t sample, void *const *field)
{
    (void)epoch;
    const struct responses *s = arg;
    const int32_t *place = s->place + 3 * sample;
    const int64_t genes = s->cell.shape.d[1], features = s->drug_features;
    memcpy(field[FIELD_CELL], (const float *)s->cell.data + place[0] * genes, (size_t)genes * sizeof(float));
    memcpy(field[FIELD_DRUG], s->drug + place[1] * features, (size_t)features * sizeof(float));
    *(float *)field[FIELD_RESPONSE] = s->y[sample];
    memcpy(field[FIELD_PLACE], place, 3 * sizeof *place);
    return true;
}

/* ---- rows ---- */

struct wish {
    const char *table, *target;
    bool training, validation;
    uint64_t split;
    int64_t genes;
    bool *line, *drug;         /* those of training rows */
    const float *molecule;     /* [drugs] */
};

static sunup_status make_room(sunup_context *ctx, struct responses *s, int64_t more)
{
    s->room += more;
    int32_t *place = realloc(s->place, (size_t)s->room * 3 * sizeof *place);
    if (place != NULL) s->place = place;
    float *y = realloc(s->y, (size_t)s->room * sizeof *y);
    if (y != NULL) s->y = y;
    if (place != NULL && y != NULL) return SUNUP_OK;
    return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld responses", (long long)s->room);
}

/* Rows of one table that this side of the split may see; lines and drugs of training rows are marked on both sides. */
static sunup_status take(sunup_context *ctx, struct responses *s, const struct wish *w, const sunup_tensor t[3])
{
    const int64_t rows = t[0].shape.d[0];
    const float *cell = t[0].data, *drug = t[1].data, *y = t[2].data;
    sunup_status status = make_room(ctx, s, rows);
    for (int64_t i = 0; i < rows && status == SUNUP_OK; i++) {
        const int32_t c = (int32_t)cell[i], d = (int32_t)drug[i];
        if (c < 0 || c >= s->cell.shape.d[0] || d < 0 || d >= s->descriptor.shape.d[0])
            return app_error(ctx, SUNUP_E_FORMAT, "row %lld: line %d of %lld, drug %d of %lld", (long long)i,
                             c, (long long)s->cell.shape.d[0], d, (long long)s->descriptor.shape.d[0]);
        const enum part part = part_of(c, (int64_t)w->molecule[d], w->split, w->validation);
        if (part == PART_TRAIN) w->line[c] = w->drug[d] = true;
        if (part == PART_OUT || (part == PART_TRAIN) != w->training) continue;
        memcpy(s->place + 3 * s->n, (int32_t[3]){c, d, (int32_t)part}, 3 * sizeof(int32_t));
        s->y[s->n++] = y[i];
    }
    return status;
}

static sunup_status read_table(sunup_context *ctx, struct responses *s, const struct wish *w, const char *file)
{
    const char *const members[3] = {"cell", "drug", w->target};
    sunup_tensor t[3] = {{0}};
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < 3 && status == SUNUP_OK; i++) status = app_read_f32(ctx, file, members[i], &t[i]);
    if (status == SUNUP_OK) status = take(ctx, s, w, t);
    for (int i = 0; i < 3; i++) sunup_free(t[i].data);
    return status;
}

/* ---- features ---- */

/* Descriptors, standardised, then the bits of the fingerprint as 0 and 1. */
static sunup_status join_drugs(sunup_context *ctx, struct responses *s)
{
    const int64_t drugs = s->descriptor.shape.d[0], n = s->descriptor.shape.d[1];
    const int64_t bits = 8 * s->fingerprint.shape.d[1];
    s->drug_features = n + bits;
    s->drug = malloc((size_t)(drugs * s->drug_features) * sizeof *s->drug);
    if (s->drug == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for %lld drugs", (long long)drugs);
    const float *x = s->descriptor.data, *packed = s->fingerprint.data;
    for (int64_t d = 0; d < drugs; d++) {
        float *to = s->drug + d * s->drug_features;
        memcpy(to, x + d * n, (size_t)n * sizeof *to);
        for (int64_t i = 0; i < bits; i++)
            to[n + i] = (float)((int)packed[d * (bits / 8) + i / 8] >> (i % 8) & 1);
    }
    return SUNUP_OK;
}

static sunup_status load(sunup_context *ctx, struct responses *s, struct wish *w)
{
    const bool both = strcmp(w->table, "both") == 0;
    sunup_tensor molecule = {0};
    sunup_status status = app_read_f32(ctx, "gdsc/expression.npz", "expression", &s->cell);
    if (status == SUNUP_OK) status = app_read_f32(ctx, "gdsc/drugs.npz", "descriptor", &s->descriptor);
    if (status == SUNUP_OK) status = app_read_f32(ctx, "gdsc/drugs.npz", "fingerprint", &s->fingerprint);
    if (status == SUNUP_OK) status = app_read_f32(ctx, "gdsc/drugs.npz", "molecule", &molecule);
    if (status == SUNUP_OK) {
        w->molecule = molecule.data;
        w->line = calloc((size_t)s->cell.shape.d[0], 1);
        w->drug = calloc((size_t)s->descriptor.shape.d[0], 1);
        if (w->line == NULL || w->drug == NULL)
            status = app_error(ctx, SUNUP_E_MEMORY, "no memory for marks of lines and drugs");
    }
    if (status == SUNUP_OK && (both || strcmp(w->table, "gdsc1") == 0))
        status = read_table(ctx, s, w, "gdsc/gdsc1.npz");
    if (status == SUNUP_OK && (both || strcmp(w->table, "gdsc2") == 0))
        status = read_table(ctx, s, w, "gdsc/gdsc2.npz");
    if (status == SUNUP_OK) status = app_columns(ctx, &s->cell, w->line, w->genes);
    if (status == SUNUP_OK) status = app_columns(ctx, &s->descriptor, w->drug, s->descriptor.shape.d[1]);
    if (status == SUNUP_OK) status = join_drugs(ctx, s);
    sunup_free(molecule.data);
    free(w->line);
    free(w->drug);
    return status;
}

/* ---- the source ---- */

static sunup_status one_of(struct app_data *d, const char *key, const char *const words[], const char **word)
{
    *word = app_word(d, key, words[0]);
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(*word, words[i]) == 0) return SUNUP_OK;
    return app_error(app_context(d), SUNUP_E_ARGUMENT, "uno: %s is '%s'; there are %s, %s%s%s", key, *word,
                     words[0], words[1], words[2] != NULL ? ", " : "", words[2] != NULL ? words[2] : "");
}

static sunup_status ask(struct app_data *d, struct wish *w)
{
    static const char *const tables[] = {"gdsc2", "gdsc1", "both", NULL};
    static const char *const targets[] = {"ln_ic50", "auc", NULL}, *const parts[] = {"test", "validation", NULL};
    const char *held;
    sunup_status status = one_of(d, "table", tables, &w->table);
    if (status == SUNUP_OK) status = one_of(d, "target", targets, &w->target);
    if (status == SUNUP_OK) status = one_of(d, "held", parts, &held);
    if (status != SUNUP_OK) return status;
    w->training = app_training(d);
    w->validation = strcmp(held, "validation") == 0;
    w->split = (uint64_t)app_number(d, "split", 1);
    w->genes = (int64_t)app_number(d, "genes", 942);
    return SUNUP_OK;
}

sunup_status response_open(struct app_data *d, sunup_data **data)
{
    struct wish w = {0};
    sunup_context *ctx = app_context(d);
    sunup_status status = ask(d, &w);
    if (status != SUNUP_OK) return status;
    struct responses *s = calloc(1, sizeof *s);
    if (s == NULL) return app_error(ctx, SUNUP_E_MEMORY, "no memory for responses");
    status = load(ctx, s, &w);
    if (status != SUNUP_OK) {
        end(s);
        return status;
    }
    const int64_t wanted = app_samples(d), n = wanted > 0 && wanted < s->n ? wanted : s->n;
    const sunup_tensor fields[FIELDS] = {
        [FIELD_CELL] = {"cell", SUNUP_F32, SUNUP_SHAPE(s->cell.shape.d[1]), NULL},
        [FIELD_DRUG] = {"drug", SUNUP_F32, SUNUP_SHAPE(s->drug_features), NULL},
        [FIELD_RESPONSE] = {"response", SUNUP_F32, SUNUP_SHAPE(1), NULL},
        [FIELD_PLACE] = {"place", SUNUP_I32, SUNUP_SHAPE(3), NULL}};
    const sunup_sampler sampler = {fill, end, s};
    return sunup_data_from_sampler(ctx, FIELDS, fields, n, &sampler, data);
}
